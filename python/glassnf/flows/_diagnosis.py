"""Held-out diagnostics of a fitted field, and the flow along it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..energy import energy
from ..systems import System
from .radial_flow import RadialFlow
from .regression import Fit, NodeSamples, Residual, held_out
from .report import NodeReport, TrainingReport
from .transport import FlowError, log_weights_of

__all__ = ["diagnose"]

FloatArray = npt.NDArray[np.float64]

_QUENCHED = 512  # held-out configurations of a temperature whose inherent structures are sought
_TRIED = 1024  # configurations on which the number of steps is chosen
_ERROR = 0.005  # of a log weight, that an automatic number of steps may leave
_MOST_STEPS = 256


def diagnose(
    system: System,
    fit: Fit,
    nodes: Sequence[NodeSamples],
    *,
    hot: float,
    cold: float,
    steps: int | None,
    measure: bool,
    threads: int,
    sample_seconds: float,
    started: float,
    pair_evaluations: int,
    provenance: dict[str, Any],
) -> RadialFlow:
    """Return the flow along a field with its report: steps of the integrator, effective sample sizes, the basin ceiling."""
    flow = RadialFlow(system, fit.field, hot, cold, 8 if steps is None else steps)
    start = _held_out(nodes[0])
    if steps is None:
        flow.steps = _choose_steps(flow, start, threads)
    basins = [_basin_spread(system, node, threads) if measure else None for node in nodes]
    plain, flowing, error = _effective(flow, start, threads) if measure else (None, None, None)
    reports = tuple(_node_report(r, basin) for r, basin in zip(fit.residuals, basins, strict=True))
    betas = np.array([r.beta for r in fit.residuals])
    known = [basin for basin in basins if basin is not None]
    flow.report = TrainingReport(
        nodes=reports,
        expected_ess=_ess_of_spread(betas, np.array([r.spread for r in fit.residuals])),
        ceiling_ess=_ess_of_spread(betas, np.array(known)) if len(known) == betas.size else None,
        plain_ess=plain,
        measured_ess=flowing,
        measured_samples=int(start.groups.size),
        integration_error=error,
        sample_seconds=sample_seconds,
        fit_seconds=max(0.0, time.perf_counter() - started - sample_seconds),
        pair_evaluations=pair_evaluations,
        provenance=provenance,
    )
    return flow


def _held_out(node: NodeSamples) -> NodeSamples:
    kept = held_out(node.groups)
    return NodeSamples(node.beta, node.positions[kept], node.species[kept], node.groups[kept])


def _ess_of_spread(betas: FloatArray, spread: FloatArray) -> float:
    """Return exp(-s^2) of the integral s of a spread over beta."""
    return float(np.exp(-(np.trapezoid(spread, betas) ** 2)))


def _node_report(residual: Residual, basin: float | None) -> NodeReport:
    return NodeReport(
        temperature=1.0 / residual.beta,
        samples=residual.samples,
        held_out=residual.held_out,
        energy_spread=residual.energy_spread,
        explained_train=residual.train,
        explained=residual.held_out_variance,
        residual_spread=residual.spread,
        largest_z=residual.largest_z,
        basin_spread=basin,
        ceiling=None if basin is None else 1.0 - (basin / residual.energy_spread) ** 2,
    )


def _log_weights(flow: RadialFlow, start: NodeSamples, steps: int, threads: int) -> FloatArray:
    """Return log weights of configurations carried from the hottest to the coldest temperature."""
    beta_to = 1.0 / flow.cold
    end = flow.transport(start.positions, start.species, start.beta, beta_to, steps=steps, threads=threads)
    before = energy(flow.system, start.positions, start.species, threads=threads)
    after = energy(flow.system, end.positions, start.species, threads=threads)
    return log_weights_of(before, after, end.log_jacobian, start.beta, beta_to)


def _choose_steps(flow: RadialFlow, start: NodeSamples, threads: int) -> int:
    """Return the smallest of some numbers of steps that is accurate enough."""
    part = NodeSamples(start.beta, start.positions[:_TRIED], start.species[:_TRIED], start.groups[:_TRIED])
    steps = 2
    coarse = _log_weights(flow, part, steps, threads)
    while True:
        fine = _log_weights(flow, part, 2 * steps, threads)
        error = float(np.abs(fine - coarse).max())
        if error <= _ERROR:
            return steps
        steps, coarse = 2 * steps, fine
        if steps > _MOST_STEPS:
            raise FlowError(
                f"the fitted field cannot be integrated: with {steps} steps log weights still change by {error:.3g} when the "
                f"number of steps is doubled (expected at most {_ERROR}); train on more samples or with a larger ridge"
            )


def _effective(flow: RadialFlow, start: NodeSamples, threads: int) -> tuple[float, float, float]:
    """Return effective sample sizes without and with the flow, and the integration error."""
    from ..observables.weights import weight_summary

    plain = (start.beta - 1.0 / flow.cold) * energy(flow.system, start.positions, start.species, threads=threads)
    coarse, fine = (_log_weights(flow, start, steps, threads) for steps in (flow.steps, 2 * flow.steps))
    return weight_summary(plain).ess, weight_summary(coarse).ess, float(np.abs(fine - coarse).max())


def _basin_spread(system: System, node: NodeSamples, threads: int) -> float | None:
    """Return the standard deviation of inherent-structure energies of held-out configurations; None if they do not converge."""
    from ..ensemble import Ensemble
    from ..samplers import inherent_structures

    kept = _held_out(node)
    part = slice(None, None, max(1, kept.groups.size // _QUENCHED))
    ensemble = Ensemble.from_arrays(
        system, kept.positions[part][:_QUENCHED], species=kept.species[part][:_QUENCHED], temperature=1.0 / node.beta, seed=0
    )
    found = inherent_structures(ensemble, threads=threads)
    values = found.energy[found.converged]
    return float(values.std()) if values.size > 0.9 * ensemble.energy.size else None
