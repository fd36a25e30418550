"""Steps of population annealing that a flow makes.

Annealed importance sampling with deterministic maps between the temperatures: Vaikuntanathan, Jarzynski, Phys. Rev. Lett. 100,
190601 (2008); with resampling, Arbel, Matthews, Doucet, ICML 2021. From beta to beta' the flow carries every replica x to y,
which then stands for beta' with the weight

    log w = beta U(x) - beta' U(y) + log |det dy/dx| = -(beta' - beta) E,

E its effective energy (`_effective`). Weights, culled fraction, log Z and resampling are those of plain population annealing
with E in place of U. With a flow that was trained on other samples, and temperatures that are given, exp(log_z) has no bias.

Finding beta'. E depends on beta', but little. For a guess of the step a strided eighth of the population (at least 64 replicas)
is carried; a fit of E - U against U, with the residuals of that eighth, foretells E of the others, and thereby the step at
which the culled fraction is as wanted. There the steps of the integrator are chosen on 64 replicas, and the whole population is
carried. If its culled fraction is off by more than a tenth, it goes on from there, back or forth, to the step that its own E
asks for. With the flow that does nothing E is U, and all bits are those of plain population annealing.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .. import _arrays
from ..ensemble import Ensemble
from ..flows.transport import FlowError
from ._effective import LOST, Carried, MapError, Settings, carry, enough_steps
from ._population import Moved, Reweighting, find_step, reweight

__all__ = ["FlowStep", "flow_step", "given_flow_step"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

_SHARE = 8  # one replica in so many foretells the step
_FEWEST = 64  # replicas to foretell it by, and to check the integrator on
_CLOSE = 0.1  # relative miss of the culled fraction that is good enough
_MOST_CORRECTIONS = 8
_WORSE = 10.0  # times shorter than without the flow: a step that is not worth taking


@dataclass(frozen=True)
class FlowStep:
    """A step of the temperature that has been found.

    Attributes
    ----------
    weighted : Reweighting
        With effective energies.
    moved : Moved
        Where all replicas are then.
    error : MapError
        Of the integrator.
    seconds : float
    """

    weighted: Reweighting
    moved: Moved
    error: MapError
    seconds: float


@dataclass
class _Population:
    """A population at beta, in host memory, on its way."""

    settings: Settings
    positions: FloatArray
    species: IntArray
    energy: FloatArray
    beta: float

    def carry(self, beta_to: float, who: slice = slice(None), steps: int | None = None) -> Carried:
        """Carry some replicas."""
        return carry(self.settings, self.positions[who], self.species[who], self.energy[who], self.beta, beta_to, steps=steps)

    def checked_steps(self, beta_to: float) -> MapError:
        """Return the error at the steps that are enough, on 64 replicas.

        Raises
        ------
        FlowError
            If there are none among those allowed.
        """
        who = slice(None, None, max(1, self.energy.size // _FEWEST))
        way = (self.positions[who], self.species[who], self.energy[who], self.beta, beta_to)
        found = enough_steps(self.settings, [way], steps=None, reversible=False)
        accuracy = self.settings.accuracy
        if not found.within(accuracy):
            raise FlowError(
                f"flow: expected weights that are exact to {accuracy.log_weight:.2g}, got an error of {found} (at most "
                f"{accuracy.most_steps}) between T = {1.0 / self.beta:.6g} and {1.0 / beta_to:.6g}: raise flow_max_steps, or "
                "train a smoother flow"
            )
        return found


def _on_host(settings: Settings, population: Ensemble, energy: FloatArray, beta: float) -> _Population:
    positions, species = (_arrays.to_host(getattr(population, name)) for name in ("positions", "species"))
    return _Population(settings, positions, species, energy, beta)


def given_flow_step(settings: Settings, population: Ensemble, energy: FloatArray, beta: float, beta_to: float) -> FlowStep:
    """Carry the population to the next temperature of a schedule that is given, and weight it."""
    begin = time.perf_counter()
    host = _on_host(settings, population, energy, beta)
    error = host.checked_steps(beta_to)
    carried = host.carry(beta_to, steps=error.steps or None)
    return _finished(population, reweight(carried.effective, beta_to - beta), carried, error, begin)


def flow_step(
    settings: Settings,
    population: Ensemble,
    energy: FloatArray,
    beta: float,
    farthest: float,
    culling_fraction: float,
    previous: float,
) -> FlowStep:
    """Find the step at which the culled fraction is as wanted, carry the population there, and weight it.

    Parameters
    ----------
    settings : Settings
    population : Ensemble
    energy : (R,) float64, epsilon
        In host memory.
    beta : float, 1/epsilon
    farthest : float, 1/epsilon
        The longest step.
    culling_fraction : float
    previous : float, 1/epsilon
        The step before this one, to begin with; 0 if there was none.

    Raises
    ------
    FlowError
        If the flow fails, its weights are not as exact as wanted, or the step is ten times shorter than that of reweighting
        alone.
    """
    begin = time.perf_counter()
    host = _on_host(settings, population, energy, beta)
    plain = find_step(energy, farthest, culling_fraction).beta_step
    guess = min(previous, farthest) if previous > 0.0 else plain
    step = find_step(_foretold(host, beta + guess), farthest, culling_fraction).beta_step
    _require_worth(step, plain, beta)
    error = host.checked_steps(beta + step)
    carried = host.carry(beta + step, steps=error.steps or None)
    for _ in range(_MOST_CORRECTIONS):
        weighted = reweight(carried.effective, step)
        if weighted.culled <= culling_fraction and step == farthest:
            break
        if abs(weighted.culled / culling_fraction - 1.0) <= _CLOSE:
            break
        wanted = find_step(carried.effective, farthest, culling_fraction).beta_step
        _require_worth(wanted, plain, beta)
        carried = _go_on(host, carried, step, wanted)
        step = wanted
    else:
        weighted = reweight(carried.effective, step)
    return _finished(population, weighted, carried, error, begin)


def _require_worth(step: float, plain: float, beta: float) -> None:
    """Refuse a flow with which an anneal would take many times the steps that it takes without one."""
    if step * _WORSE < plain:
        raise FlowError(
            f"flow: expected weights that allow longer temperature steps than reweighting alone, got a step of beta of "
            f"{step:.3g} from T = {1.0 / beta:.6g}, where it takes {plain:.3g} without the flow: the flow is not one for this "
            "liquid and these temperatures, or needs more training"
        )


def _foretold(host: _Population, beta_to: float) -> FloatArray:
    """Return effective energies (R,) of a step, from those of some replicas."""
    stride = min(_SHARE, max(1, host.energy.size // _FEWEST))
    some = slice(None, None, stride)
    energy = host.energy[some]
    excess = host.carry(beta_to, some).effective - energy
    most = float(np.median(excess)) + LOST / (beta_to - host.beta)
    sound = excess < most  # and not of particles that overlap
    centre, mean = float(energy[sound].mean()), float(excess[sound].mean())
    centred = energy - centre
    spread = float((centred[sound] ** 2).sum())
    slope = float((centred * excess)[sound].sum()) / spread if spread > 0.0 else 0.0
    residual = np.minimum(excess, most) - mean - slope * centred
    # Each replica gets the residual of the one before it that was carried; those themselves get all of their own.
    foretold: FloatArray = host.energy + (
        mean + slope * (host.energy - centre) + residual[np.arange(host.energy.size) // stride]
    )
    return foretold


def _go_on(host: _Population, carried: Carried, step: float, wanted: float) -> Carried:
    """Carry replicas that have done one step to where another would have taken them; the log weights of both ways add up."""
    here = _Population(host.settings, carried.positions, host.species, carried.energy, host.beta + step)
    more = here.carry(host.beta + wanted)
    effective = (step * carried.effective + (wanted - step) * more.effective) / wanted
    if np.array_equal(carried.effective, more.effective):  # of a flow that does nothing: no rounding either
        effective = carried.effective
    return replace(
        more,
        images=carried.images + more.images,
        effective=effective,
        log_jacobian=carried.log_jacobian + more.log_jacobian,
        steps=carried.steps + more.steps,
    )


def _finished(population: Ensemble, weighted: Reweighting, carried: Carried, error: MapError, begin: float) -> FlowStep:
    if not math.isfinite(weighted.log_mean):
        raise FlowError(f"flow: expected weights with a finite sum, got log {weighted.log_mean}")
    images = _arrays.to_host(population.images) + carried.images
    moved = Moved(carried.positions, images, carried.energy)
    return FlowStep(weighted, moved, replace(error, steps=carried.steps), time.perf_counter() - begin)
