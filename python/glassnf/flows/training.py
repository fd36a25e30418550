"""Training of flows: equilibrium samples, the continuity equation as a regression, diagnostics on samples held out."""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _check
from .._native import threads_of
from ..systems import System
from ._checkpoint import TrainingCheckpoint
from ._diagnosis import diagnose
from ._processes import from_first_process, least_of_processes, process_of, sum_over_processes
from .message_field import MessageField
from .radial_flow import RadialFlow, check_layers
from .regression import Fit, Moments, NodeSamples, feature_kinds, layer_moments, layer_of, solve_continuity
from .report import TrainingReport
from .splines import RadialBasis, TemperatureBasis

if TYPE_CHECKING:
    from ..samplers.explorer import Explorer

__all__ = ["train"]

Progress = Callable[[int, int, dict[str, Any]], None]

_NODE_DISTANCE = 0.15  # of log beta, between temperatures of samples
_MOST_TERMS = 5  # functions of beta
_MOST_SPECIES = 8
_MOST_PARTICLES = 4096
_MOST_COUPLED = 4096  # configurations that matching moves each way: its sums are dearer than those of the continuity equation
_UNITS = 1000  # of progress, for the samples of a temperature and for a layer


def train(
    system: System,
    hot: float,
    cold: float,
    seed: int,
    *,
    layers: int = 2,
    samples: int = 20_000,
    temperatures: Sequence[float] | None = None,
    sampler: Explorer | None = None,
    replicas: int = 512,
    spacing: int = 50,
    equilibration_sweeps: int = 4_000,
    pair: RadialBasis | None = None,
    message: RadialBasis | None = None,
    ridge: float = 3e-3,
    method: str = "continuity",
    matching_sweeps: int = 5,
    steps: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    diagnostics: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> RadialFlow:
    """Train a flow between two temperatures, on equilibrium samples made for it.

    Along p_beta ~ exp(-beta U) with dx/dbeta = v the exact field obeys the continuity equation
    div v + beta v.F = U - <U>_beta. A `MessageField` is linear in the functions of its last layer, so that each layer is one
    linear least-squares problem on samples of p_beta alone: no pairs of configurations, no gradient descent. The residual of
    the regression is what log weights gain per unit of beta.

    In a group of torch.distributed processes every process makes `samples` of its own, the sums of the regression are added up,
    and all return the same flow; the diagnostics are those of the first process's samples.

    Parameters
    ----------
    system : System
    hot, cold : float, epsilon
        Range of temperatures, ``cold < hot``.
    seed : int
        From 0 to 2**63 - 1.
    layers : int
        Layers of messages, from 0 (pair field) to 3. Each makes the flow better and dearer.
    samples : int
        Equilibrium configurations at each temperature; an eighth of the replicas is held out of the fit.
    temperatures : sequence of floats, optional
        Temperatures of the samples, `hot` and `cold` among them. Default: about every 0.15 in log beta, at least three.
    sampler : Explorer, optional
        What makes the samples. Default: swap Monte Carlo.
    replicas, spacing, equilibration_sweeps : int
        Of the samples; see `glassnf.samplers.harvest`. At least 16 replicas.
    pair, message : RadialBasis, optional
        Radial functions. Default: cubic splines from 0.6 of the smallest to 2.5 (pair) and 2 (message) of the largest sigma, or
        half the box, with intervals of a tenth (pair) and a sixth (message) of sigma.
    ridge : float
        Relative regularisation of the normal equations.
    method : {"continuity", "matching"}
        What is fitted: the continuity equation, or the displacements of configurations that local Monte Carlo moves for
        `matching_sweeps` sweeps at a neighbouring temperature (dynamical flow matching). The second is for comparison: it
        takes longer, and its fields are worse.
    matching_sweeps : int
    steps : int, optional
        Default number of integration steps of the flow. Default: the smallest that keeps log weights of held-out configurations
        within 0.005 of those with twice as many.
    checkpoint : path, optional
        File that keeps what is done, replaced in one step. Each process of a group needs its own.
    resume : bool
        Go on with the checkpoint, or the one before it (named ``.previous``) where it is damaged; the result is the same as
        without the interruption.
    diagnostics : bool
        Measure effective sample sizes and the basin ceiling on held-out samples.
    threads : int, optional
        CPU threads; never changes the result.
    progress : callable, optional
        ``progress(done, total, info)``. A KeyboardInterrupt there ends the training; the checkpoint stays.

    Returns
    -------
    RadialFlow
        With a `TrainingReport`.

    Warns
    -----
    glassnf.io.CheckpointWarning, glassnf.io.PreviousCheckpointWarning
        If a checkpoint cannot be written, and the training goes on without it; if the one before the latest is used.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    FileFormatError
        If the checkpoint to resume from is damaged.
    FlowError
        If the fitted field cannot be integrated.
    """
    _check.callback("progress", progress)
    plan = _Plan.checked(
        system,
        hot,
        cold,
        seed,
        layers,
        samples,
        temperatures,
        replicas,
        spacing,
        equilibration_sweeps,
        pair,
        message,
        ridge,
        method,
        matching_sweeps,
    )
    explorer = _explorer(system, sampler, threads)
    if steps is not None:
        _check.positive_int("steps", steps)
    measure = _check.boolean("diagnostics", diagnostics)
    workers = threads_of(threads)
    kept = TrainingCheckpoint(checkpoint, plan.settings(explorer), _check.boolean("resume", resume))
    clock = time.perf_counter()
    total = _UNITS * (len(plan.temperatures) + layers + 1)
    _make_samples(plan, explorer, kept, total, progress)
    fit = _fit(plan, kept, workers, total, progress)
    said = ""
    hot, cold = plan.temperatures[0], plan.temperatures[-1]
    if process_of()[0] == 0:  # of several processes the first judges the flow, with its own samples, and tells the others
        flow = diagnose(
            system,
            fit,
            kept.nodes,
            hot=hot,
            cold=cold,
            steps=steps,
            measure=measure,
            threads=workers,
            sample_seconds=sum(seconds for seconds, _ in kept.costs),
            started=clock,
            pair_evaluations=sum(pairs for _, pairs in kept.costs),
            provenance=plan.settings(explorer),
        )
        assert flow.report is not None
        said = json.dumps([flow.steps, flow.report.to_dict()])
    count, report = json.loads(from_first_process(said))
    return RadialFlow(system, fit.field, hot, cold, count, TrainingReport.from_dict(report))


@dataclass(frozen=True)
class _Plan:
    """The checked arguments that decide on the result."""

    system: System
    temperatures: tuple[float, ...]
    seed: int
    layers: int
    samples: int
    replicas: int
    spacing: int
    equilibration_sweeps: int
    pair: RadialBasis
    message: RadialBasis
    ridge: float
    method: str
    matching_sweeps: int
    basis: TemperatureBasis = field(repr=False)

    @classmethod
    def checked(
        cls,
        system: System,
        hot: float,
        cold: float,
        seed: int,
        layers: int,
        samples: int,
        temperatures: Sequence[float] | None,
        replicas: int,
        spacing: int,
        equilibration_sweeps: int,
        pair: RadialBasis | None,
        message: RadialBasis | None,
        ridge: float,
        method: str,
        matching_sweeps: int,
    ) -> _Plan:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        if system.n_species > _MOST_SPECIES:
            raise ValueError(
                f"system: expected at most {_MOST_SPECIES} species, got {system.n_species}: radial functions of every pair "
                "of species would have to be learnt"
            )
        hot, cold = _check.positive_float("hot", hot), _check.positive_float("cold", cold)
        if not cold < hot:
            raise ValueError(f"cold: expected a temperature below hot = {hot}, got {cold}")
        nodes = _temperatures(hot, cold, temperatures)
        pair, message = _bases(system, pair, message)
        check_layers("layers", system, _check.integer("layers", layers, 0, 3))
        if system.n > _MOST_PARTICLES:
            raise ValueError(
                f"system: expected at most {_MOST_PARTICLES} particles, got {system.n}; a flow trained on a smaller system of "
                "the same liquid can be taken to a larger one, see RadialFlow.for_system"
            )
        return cls(
            system,
            nodes,
            _check.integer("seed", seed, 0, 2**63 - 1),
            _check.integer("layers", layers, 0, 3),
            _check.integer("samples", samples, 256),
            _check.integer("replicas", replicas, 16),
            _check.positive_int("spacing", spacing),
            _check.nonnegative_int("equilibration_sweeps", equilibration_sweeps),
            pair,
            message,
            _check.positive_float("ridge", ridge),
            _check.choice("method", method, ("continuity", "matching")),
            _check.positive_int("matching_sweeps", matching_sweeps),
            TemperatureBasis(1.0 / hot, 1.0 / cold, min(len(nodes), _MOST_TERMS)),
        )

    def settings(self, explorer: Explorer) -> dict[str, Any]:
        """Return what decides on the result, as numbers, strings and lists."""
        return {
            "method": self.method,
            "matching_sweeps": self.matching_sweeps if self.method == "matching" else None,
            "system_hash": self.system.hash,
            "temperatures": list(self.temperatures),
            "seed": self.seed,
            "layers": self.layers,
            "samples": self.samples,
            "replicas": self.replicas,
            "spacing": self.spacing,
            "equilibration_sweeps": self.equilibration_sweeps,
            "pair_basis": [self.pair.inner, self.pair.outer, self.pair.intervals],
            "message_basis": [self.message.inner, self.message.outer, self.message.intervals],
            "ridge": self.ridge,
            "process": process_of()[0],
            "processes": process_of()[1],
            "sampler": explorer.describe(),
        }


def _temperatures(hot: float, cold: float, given: Sequence[float] | None) -> tuple[float, ...]:
    """Return the temperatures of the samples, from hot to cold."""
    if given is None:
        count = max(3, 1 + math.ceil(math.log(hot / cold) / _NODE_DISTANCE))
        inner = [float(t) for t in np.exp(np.linspace(math.log(hot), math.log(cold), count))[1:-1]]
        return (hot, *inner, cold)
    values = _check.float_array("temperatures", given, (None,))
    ordered = sorted({float(t) for t in values}, reverse=True)
    if len(ordered) != values.size or len(ordered) < 2 or ordered[0] != hot or ordered[-1] != cold:
        raise ValueError(
            f"temperatures: expected distinct temperatures from hot = {hot} to cold = {cold}, got {values.tolist()}"
        )
    return tuple(ordered)


def _bases(system: System, pair: RadialBasis | None, message: RadialBasis | None) -> tuple[RadialBasis, RadialBasis]:
    """Return the radial bases, defaults for None."""
    sigma = np.asarray(system.potential.sigma, dtype=np.float64)
    inner, largest, half = 0.6 * float(sigma.min()), float(sigma.max()), 0.5 * min(float(side) for side in system.box)

    def default(reach: float, width: float) -> RadialBasis:
        outer = min(reach * largest, 0.995 * half)
        return RadialBasis(inner, outer, max(6, round((outer - inner) / (width * largest))))

    pair = default(2.5, 0.08) if pair is None else pair
    message = default(2.0, 1.0 / 6.0) if message is None else message
    for name, basis in (("pair", pair), ("message", message)):
        if not isinstance(basis, RadialBasis):
            raise TypeError(f"{name}: expected a RadialBasis, got {type(basis).__name__}")
        basis.check_box(name, system)
    return pair, message


def _explorer(system: System, sampler: Explorer | None, threads: int | None) -> Explorer:
    """Return what makes the samples."""
    from ..samplers import MonteCarlo
    from ..samplers.explorer import Explorer as ExplorerProtocol

    if sampler is None:
        return MonteCarlo(system, swap_probability=0.2 if system.n_species > 1 else 0.0, threads=threads)
    if not isinstance(sampler, ExplorerProtocol):
        raise TypeError(f"sampler: expected a sampler such as MonteCarlo, got {type(sampler).__name__}")
    if sampler.system != system:
        raise ValueError(f"sampler: expected a sampler of {system!r}, got one of {sampler.system!r}")
    return sampler


def _make_samples(plan: _Plan, explorer: Explorer, kept: TrainingCheckpoint, total: int, progress: Progress | None) -> None:
    """Make the samples of all temperatures that are not there yet."""
    from ..samplers.harvest import harvest

    for k in range(len(kept.nodes), len(plan.temperatures)):
        temperature = plan.temperatures[k]

        def report(done: int, of: int, _info: dict[str, Any], k: int = k, temperature: float = temperature) -> None:
            if progress is not None:
                progress(_UNITS * k + _UNITS * done // of, total, {"stage": f"samples at T = {temperature:.4g}"})

        seed = int(np.random.SeedSequence([plan.seed, process_of()[0], k]).generate_state(1, np.uint64)[0])
        found = harvest(
            explorer,
            temperature,
            plan.samples,
            seed,
            replicas=plan.replicas,
            spacing=plan.spacing,
            equilibration_sweeps=plan.equilibration_sweeps,
            progress=report,
        )
        samples = NodeSamples(1.0 / temperature, found.ensemble.positions, found.ensemble.species, found.groups)
        kept.add_node(samples, found.wall_time, found.pair_evaluations)


def _fit(plan: _Plan, kept: TrainingCheckpoint, threads: int, total: int, progress: Progress | None) -> Fit:
    """Fit the layers, each on top of the ones below."""
    below: MessageField | None = None
    fit: Fit | None = None
    betas = [node.beta for node in kept.nodes]
    finished = least_of_processes(min(len(kept.layers), plan.layers))  # the last layer is fitted again, for its residuals
    del kept.layers[finished:]
    for layer in range(plan.layers + 1):
        if layer < finished:
            pair, message = kept.layers[layer]
            below = MessageField(plan.system.n_species, plan.pair, plan.message, plan.basis, pair, message)
            continue

        def report(done: int, of: int, layer: int = layer) -> None:
            if progress is not None:
                start = _UNITS * (len(plan.temperatures) + layer)
                progress(start + _UNITS * done // of, total, {"stage": f"layer {layer}"})

        moments = layer_moments(plan.system, kept.nodes, plan.pair, plan.message, below, threads, report)
        summed = [(_summed(a), _summed(b)) for a, b in moments]
        kinds = feature_kinds(plan.system.n_species, plan.pair, plan.message, layer)
        if plan.method == "continuity":
            solution = solve_continuity(summed, plan.basis(np.asarray(betas)), plan.ridge, kinds)
        else:
            solution = _matched(plan, kept, below, kinds, threads)
        fit = layer_of(plan.system, betas, summed, solution, plan.pair, plan.message, plan.basis, below)
        below = fit.field
        kept.add_layer(below.pair, below.message)
    assert fit is not None
    return fit


def _summed(moments: Moments) -> Moments:
    return Moments(sum_over_processes(moments.data))


def _matched(
    plan: _Plan, kept: TrainingCheckpoint, below: MessageField | None, kinds: npt.NDArray[np.int64], threads: int
) -> npt.NDArray[np.float64]:
    """Return the coefficients of a layer by dynamical flow matching."""
    from .matching import couple, match_moments, solve_matching

    most = max(256, _MOST_COUPLED // (len(kept.nodes) - 1))
    couplings = [
        couple(plan.system, hot, cold, plan.matching_sweeps, most, plan.seed + 2 * k, threads)
        for k, (hot, cold) in enumerate(itertools.pairwise(kept.nodes))
    ]
    total = match_moments(plan.system, couplings, plan.pair, plan.message, plan.basis, below, threads)
    return solve_matching(sum_over_processes(total), plan.basis.size, plan.ridge, kinds)
