"""Flows as samplers: equilibrium samples of a high temperature, carried to a lower one and weighted."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check
from ..ensemble import Ensemble
from ..flows.transport import Flow
from ..observables.weights import bennett_log_z, forward_ess, log_z_of_weights
from ..systems import System
from ._carry import Batch, Carried, Integration, carry, check_flow, check_temperature
from ._flow_run import PROGRESS_TOTAL, FlowRun, Progress, batch_of
from .explorer import Explorer
from .flow_result import FlowCheck, FlowResult
from .harvest import harvest
from .population_annealing import _explorer

__all__ = ["FlowSampler", "named_explorer", "path_of", "samples_at"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MAX_SAMPLES = 2**24
_BASE_SHARE = 0.5  # of the progress
_SAME_TEMPERATURE = 1e-9


class FlowSampler:
    """Weighted samples at a low temperature by a flow from a higher one.

    Independent replicas are equilibrated at the hot temperature by the base sampler and recorded at intervals; the flow carries
    each record x_0 to x_1, which gets the weight

        log w = -beta_cold U(x_1) + beta_hot U(x_0) + log |det dx_1/dx_0|.

    Weighted averages are those of the cold temperature for any flow, as the number of samples grows (targeted free energy
    perturbation: Jarzynski, Phys. Rev. E 65, 046122, 2002; Boltzmann generators: Noe, Olsson, Koehler, Wu, Science 365,
    eaaw1147, 2019), and log(Z_cold / Z_hot) = log mean w. With `glassnf.flows.IdentityFlow` it is plain reweighting, bit for
    bit.

    With several temperatures the way is cut into legs. Without relaxation (`sweeps_per_stop` = 0) the weights of the legs
    multiply. With it, samples are resampled by their weights at every stop but the last and do some sweeps of the explorer
    there, and log Z adds up: population annealing with transport.

    The weights trust the integrator: see `tolerance`. Everything is a function of settings and seed.

    Parameters
    ----------
    system : System
    flow : Flow
        Of this composition and box. Its weights are frozen.
    base : Explorer, optional
        The base sampler. Default: swap Monte Carlo, local where there is one species.
    hot, cold : float, epsilon
        Default: the ends of the range of the flow.
    temperatures : sequence of floats, optional
        In place of hot and cold: falling, from hot by way of stops to cold, at least two.
    sweeps_per_stop : int
        Sweeps of `explorer` at every stop between hot and cold.
    explorer : Explorer, optional
        What relaxes samples at stops, with the move sizes of the base samples. Default: `base`.
    replicas, spacing, equilibration_sweeps : int
        Of the base samples, see `harvest`.
    steps : int, optional
        Of the integrator between two temperatures, to begin with. Default: those of the flow.
    tolerance : float
        On every run the log weights of `check_samples` samples, spread evenly, and of a quarter as many of the heaviest are
        computed with n and with 2n steps. While the largest difference is above the tolerance, n is doubled; it may not go
        beyond `max_steps`. Samples more than 20 nats lighter than the heaviest do not count.
    max_steps, check_samples : int
    threads : int, optional
        Of the CPU, for the flow.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import glassnf as gnf
    >>> system = gnf.systems.ka2d(n=43)
    >>> nf = gnf.FlowSampler(system, gnf.flows.IdentityFlow(system), hot=0.5, cold=0.45, equilibration_sweeps=200, spacing=5)
    >>> result = nf.run(samples=256, seed=77)
    >>> 0.1 < result.ess < 1.0
    True
    """

    def __init__(
        self,
        system: System,
        flow: Flow,
        base: Explorer | None = None,
        hot: float | None = None,
        cold: float | None = None,
        *,
        temperatures: npt.ArrayLike | None = None,
        sweeps_per_stop: int = 0,
        explorer: Explorer | None = None,
        replicas: int = 64,
        spacing: int = 50,
        equilibration_sweeps: int = 4_000,
        steps: int | None = None,
        tolerance: float = 0.01,
        max_steps: int = 1024,
        check_samples: int = 256,
        threads: int | None = None,
    ) -> None:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        self.system = system
        self.flow = check_flow(system, flow)
        self.temperatures = path_of(self.flow, hot, cold, temperatures)
        self.base = named_explorer("base", system, base, None)
        self.explorer = named_explorer("explorer", system, explorer, self.base)
        self.sweeps_per_stop = _check.nonnegative_int("sweeps_per_stop", sweeps_per_stop)
        self.replicas = _check.integer("replicas", replicas, 2)
        self.spacing = _check.positive_int("spacing", spacing)
        self.equilibration_sweeps = _check.nonnegative_int("equilibration_sweeps", equilibration_sweeps)
        self.integration = Integration.checked(steps, tolerance, max_steps, check_samples, threads)

    def __repr__(self) -> str:
        return (
            f"FlowSampler({self.system!r}, {self.flow!r}, base={self.base!r}, temperatures={list(self.temperatures)}, "
            f"sweeps_per_stop={self.sweeps_per_stop})"
        )

    @property
    def hot(self) -> float:
        """First temperature, epsilon."""
        return self.temperatures[0]

    @property
    def cold(self) -> float:
        """Last temperature, epsilon."""
        return self.temperatures[-1]

    def describe(self) -> dict[str, Any]:
        """Return the settings that decide on the result, as numbers and strings."""
        return {
            "algorithm": "flow_sampler",
            "system": self.system.hash,
            "temperatures": list(self.temperatures),
            "sweeps_per_stop": self.sweeps_per_stop,
            "replicas": self.replicas,
            "spacing": self.spacing,
            "equilibration_sweeps": self.equilibration_sweeps,
            "steps": self.integration.steps,
            "tolerance": self.integration.tolerance,
            "max_steps": self.integration.max_steps,
            "check_samples": self.integration.check_samples,
            "flow": self.flow.describe(),
            "base": self.base.describe(),
            "explorer": self.explorer.describe(),
        }

    # ---- running -----------------------------------------------------------------------------------------------------------

    def run(
        self,
        samples: int = 10_000,
        seed: int | None = None,
        *,
        device: str = "cpu",
        reference: Ensemble | None = None,
        reference_groups: npt.ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> FlowResult:
        """Make base samples, carry them to the cold temperature, and weight them.

        Parameters
        ----------
        samples : int
            2 to 2**24.
        seed : int
            From 0 to 2**64 - 1.
        device : str
            Where the base sampler and the explorer work: ``"cpu"``, ``"cuda"`` or ``"cuda:K"``. The result is in host memory.
        reference, reference_groups : optional
            Samples of the cold temperature for `check_against`.
        progress : callable, optional
            ``progress(done, total, info)``, with the stage in ``info["stage"]``. A KeyboardInterrupt there ends the run.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        glassnf.flows.FlowError
            If a result is not finite, or the integration error is above the tolerance with `max_steps` steps.
        glassnf.cuda.CudaError, ImportError
            If the device cannot be used.

        Warns
        -----
        DominatedWeightsWarning
            If one sample has more than a tenth of the weight, or more than a hundredth while Pareto k-hat is above its limit.
        """
        _check.callback("progress", progress)
        count = _check.integer("samples", samples, 2, _MAX_SAMPLES)
        if seed is None:
            raise TypeError("seed: expected an integer, got None")
        if reference is not None:
            self._check_reference(reference, reference_groups)
        made = harvest(
            self.base,
            self.hot,
            count,
            seed,
            replicas=self.replicas,
            spacing=self.spacing,
            equilibration_sweeps=self.equilibration_sweeps,
            device=device,
            progress=_share(progress, 0.0, _BASE_SHARE),
        )
        run = FlowRun(self, made.ensemble, made.groups, device, _share(progress, _BASE_SHARE, 1.0))
        result = run.result(made.pair_evaluations, made.wall_time)
        return self._checked(result, reference, reference_groups)

    def run_from(
        self,
        base: Ensemble,
        groups: npt.ArrayLike | None = None,
        *,
        seed: int | None = None,
        device: str = "cpu",
        reference: Ensemble | None = None,
        reference_groups: npt.ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> FlowResult:
        """Do the same with base samples of the caller's.

        Parameters
        ----------
        base : Ensemble
            Equilibrium samples of the hot temperature, at least 2. It is left as it is; energies are computed anew.
        groups : (S,) integers, optional
            Samples with equal numbers, records of one chain for instance, depend on each other. Default: none do.
        seed : int, optional
            For resampling and relaxation at stops. Default: that of `base`.
        device, reference, reference_groups, progress
            As in `run`.
        """
        _check.callback("progress", progress)
        samples = samples_at("base", base, self.system, self.hot, 2)
        number = _groups("groups", groups, samples.replicas)
        if seed is not None:
            samples.seed = _check.integer("seed", seed, 0, 2**64 - 1)
        if reference is not None:
            self._check_reference(reference, reference_groups)
        result = FlowRun(self, samples, number, device, _share(progress, 0.0, 1.0)).result(0, 0.0)
        return self._checked(result, reference, reference_groups)

    def check_against(self, result: FlowResult, cold: Ensemble, groups: npt.ArrayLike | None = None) -> FlowCheck:
        """Compare a result with samples of the cold temperature from another sampler: the flow backward, and both ways.

        Parameters
        ----------
        result : FlowResult
            Of this sampler, without relaxation at stops.
        cold : Ensemble
            Equilibrium samples of the cold temperature, at least 2.
        groups : (S,) integers, optional
            As in `run_from`.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        glassnf.flows.FlowError
            As in `run`.
        """
        if not isinstance(result, FlowResult):
            raise TypeError(f"result: expected a FlowResult, got {type(result).__name__}")
        if tuple(result.temperatures) != self.temperatures or result.ensemble.system != self.system:
            raise ValueError(f"result: expected one of {self!r}, got one with temperatures {result.temperatures.tolist()}")
        samples, number = self._check_reference(cold, groups)
        clock = time.perf_counter()
        there, log_w = self._carry_all(batch_of(samples), self.temperatures[::-1], [stop.steps for stop in result.stops[::-1]])
        count = min(self.integration.check_samples, samples.replicas)
        some = np.linspace(0, samples.replicas - 1, count).astype(np.int64)
        _, back = self._carry_all(there[-1].batch.part(some), self.temperatures, [leg.steps for leg in there[::-1]])
        target = -log_w
        reverse, reverse_error = log_z_of_weights(log_w, number)
        bar, bar_error = bennett_log_z(result.log_weights, target, result.groups, number)
        return FlowCheck(
            log_z_forward=result.log_z_ratio,
            log_z_forward_error=result.log_z_ratio_error,
            log_z_reverse=-reverse,
            log_z_reverse_error=reverse_error,
            log_z_bar=bar,
            log_z_bar_error=bar_error,
            ess_reverse=result.ess,
            ess_forward=forward_ess(target),
            log_weights=target,
            reversibility_error=float(np.abs(back + log_w[some]).max()),
            integration_error=max(leg.integration_error for leg in there),
            steps=max(leg.steps for leg in there),
            wall_time=time.perf_counter() - clock,
        )

    def _carry_all(self, start: Batch, temperatures: tuple[float, ...], steps: list[int]) -> tuple[list[Carried], FloatArray]:
        """Carry a batch along temperatures without stopping, and return the legs and the sum of the log weights."""
        legs: list[Carried] = []
        log_w = np.zeros(start.size)
        for here, there, n in zip(temperatures[:-1], temperatures[1:], steps, strict=True):
            integration = replace(self.integration, steps=n or None)
            leg = carry(self.system, self.flow, legs[-1].batch if legs else start, 1.0 / here, 1.0 / there, integration)
            log_w = log_w + leg.log_weights
            legs.append(leg)
        return legs, log_w

    # ---- arguments ---------------------------------------------------------------------------------------------------------

    def _check_reference(self, reference: object, groups: npt.ArrayLike | None) -> tuple[Ensemble, IntArray]:
        if self.sweeps_per_stop > 0 and len(self.temperatures) > 2:
            raise ValueError(
                f"reference: expected none for a sampler that relaxes at stops (sweeps_per_stop = {self.sweeps_per_stop}), "
                "which is no map that could be reversed, got one"
            )
        samples = samples_at("reference", reference, self.system, self.cold, 2)
        return samples, _groups("reference_groups", groups, samples.replicas)

    def _checked(self, result: FlowResult, reference: Ensemble | None, groups: npt.ArrayLike | None) -> FlowResult:
        if reference is None:
            return result
        check = self.check_against(result, reference, groups)
        return replace(result, check=check, wall_time=result.wall_time + check.wall_time)


def _share(progress: Progress | None, low: float, high: float) -> Progress:
    """Return a listener for a part of the work, that tells `progress` of the whole."""

    def tell(done: int, total: int, info: dict[str, Any]) -> None:
        if progress is not None:
            progress(int(PROGRESS_TOTAL * (low + (high - low) * done / max(total, 1))), PROGRESS_TOTAL, info)

    return tell


def named_explorer(name: str, system: System, explorer: Explorer | None, default: Explorer | None) -> Explorer:
    """Return an explorer of the system; messages speak of the argument `name`."""
    if explorer is None and default is not None:
        return default
    try:
        return _explorer(system, explorer)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("explorer:", f"{name}:", 1)) from None


def samples_at(name: str, value: object, system: System, temperature: float, least: int) -> Ensemble:
    """Return a copy, in host memory and with fresh energies, of samples of a system at a temperature."""
    if not isinstance(value, Ensemble):
        raise TypeError(f"{name}: expected an Ensemble, got {type(value).__name__}")
    if value.system != system:
        raise ValueError(f"{name}: expected one of {system!r}, got one of {value.system!r}")
    if not least <= value.replicas <= _MAX_SAMPLES:
        raise ValueError(f"{name}: expected {least} to {_MAX_SAMPLES} samples, got {value.replicas}")
    value.validate()
    samples = value.copy() if value.device == "cpu" else value.to("cpu")
    off = np.abs(samples.beta * temperature - 1.0) > _SAME_TEMPERATURE
    if off.any():
        found = 1.0 / float(samples.beta[off][0]) if samples.beta[off][0] > 0.0 else np.inf
        raise ValueError(f"{name}: expected samples of temperature {temperature:g}, got one of {found:g}")
    samples.update_energy()
    return samples


def _groups(name: str, value: npt.ArrayLike | None, size: int) -> IntArray:
    """Return group numbers from 0 on, (S,)."""
    if value is None:
        return np.arange(size, dtype=np.int64)
    given = _check.int_array(name, value, (size,))
    return np.asarray(np.unique(given, return_inverse=True)[1].reshape(-1), dtype=np.int64)


def path_of(flow: Flow, hot: float | None, cold: float | None, temperatures: npt.ArrayLike | None) -> tuple[float, ...]:
    """Return the temperatures given, or hot and cold, or the range of the flow."""
    if temperatures is None:
        ends = [("hot", hot, flow.hot), ("cold", cold, flow.cold)]
        for name, value, default in ends:
            if value is None and not 0.0 < default < np.inf:
                raise TypeError(f"{name}: expected a temperature, for a flow without a range of its own, got None")
        first, last = (check_temperature(name, default if value is None else value, flow) for name, value, default in ends)
        if not last < first:
            raise ValueError(f"cold: expected a temperature below hot = {first:g}, got {last:g}")
        return first, last
    if hot is not None or cold is not None:
        name, value = ("hot", hot) if hot is not None else ("cold", cold)
        raise ValueError(f"{name}: expected None beside a list of temperatures, got {value}")
    given = _check.float_array("temperatures", temperatures, (None,))
    if given.size < 2:
        raise ValueError(f"temperatures: expected at least 2, got {given.size}")
    if not (np.diff(given) < 0.0).all():
        raise ValueError(f"temperatures: expected falling numbers, got {given.tolist()}")
    return tuple(check_temperature("temperatures", float(value), flow) for value in given)
