"""A flow in a comparison: chains at a temperature within its range, whose configurations are carried down and weighted."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .algorithms import BLOCK, Cost, Diagnosis, Estimate, FloatArray, Progress, RunOptions, Training, settings_of
from .explorers import explorer_of, import_early

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..flows import Flow
    from ..observables.weights import WeightSummary
    from ..systems import System

__all__ = ["FlowAlgorithm", "base_temperature", "candidates"]

_CHUNK: Final = 32_768  # samples of all runs, carried at once
_LEAST_RECORDS: Final = 4  # of a run in its first budget
_BLOCKS: Final = 8  # of consecutive samples, for the error of a run's own mean
_CHECKED: Final = 32  # one configuration of so many is carried with twice the steps as well
_LEAST_CHECKED: Final = 32
_MOST_CHECKED: Final = 256
_BINS: Final = 60
_DEEPEST: Final = 20.0  # nats below the mean weight, where the histogram ends


def base_temperature(flow: Flow, temperature: float, height: float) -> float:
    """Return a temperature between that of interest (height 0) and the hot end of a flow (height 1), interpolated in logs."""
    hot = float(flow.hot)
    return min(hot, temperature * math.exp(height * math.log(hot / temperature)))


def candidates(
    system: System, temperature: float, start_temperature: float, options: RunOptions
) -> Sequence[Mapping[str, Any]]:
    """Return heights of the base, explorers and spacings.

    A lower base has larger effective sample sizes, and samples that take longer to make.
    """
    shapes = (
        (0.75, "md", 1000),
        (0.5, "md", 1000),
        (1.0, "md", 1000),
        (0.75, "md", 3000),
        (0.25, "md", 1000),
        (0.75, "mc", 300),
    )
    return tuple({"height": height, "explorer": explorer, "spacing": spacing} for height, explorer, spacing in shapes)


class FlowAlgorithm:
    """K chains at a base temperature; the flow carries their configurations to the temperature of interest, with weights.

    The chains start from the hot configurations of the comparison, and move by molecular dynamics or local Monte Carlo.
    Configurations are carried from the part of each budget that is not discarded. All this is part of the cost; the training
    of the flow is not.

    A budget costs what a run that goes straight to it would pay: the chain from its beginning, and carrying the configurations
    that the averages of this budget use, with energies, log weights and checks. Those that only smaller budgets have used
    are not charged again, as no run would carry configurations to discard them. Time and pair evaluations of a batch are shared
    equally by its configurations. Carrying is never charged less than at a smaller budget, so that costs ascend.

    Settings: where the base is between the temperature of interest (0) and the hot end of the flow (1), the explorer, and the
    sweeps between configurations.

    Parameters
    ----------
    system
        The system.
    temperature
        Temperature of interest, within the range of the flow, in epsilon / k_B.
    options
        Threads, flow, settings.

    Raises
    ------
    ValueError
        If there is no flow.
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"height": 0.75, "explorer": "md", "spacing": 1000, "target_acceptance": 0.3}

    def __init__(self, system: System, temperature: float, options: RunOptions) -> None:
        from ..samplers._carry import Integration, check_flow, check_temperature

        if options.flow is None:
            raise ValueError("flow: expected a flow for the algorithm nf, got None")
        self._flow: Flow = check_flow(system, options.flow)
        self._system = system
        self._temperature = check_temperature("temperature", temperature, self._flow)
        self._options = options
        self._settings = settings_of(options, self.DEFAULTS)
        self._base = base_temperature(self._flow, temperature, self._settings["height"])
        self._sampler = explorer_of(system, self._settings, self._base, options.threads)
        self._integration = Integration.checked(None, 0.01, 1024, _MOST_CHECKED, options.threads)
        self._ensemble: Ensemble | None = None
        self._begin = 0
        self._at: list[int] = []
        self._energy: list[FloatArray] = []
        self._log_weights: list[FloatArray] = []
        self._spent: list[npt.NDArray[np.float64]] = []
        self._chain, self._carrying = np.zeros(2), np.zeros(2)
        self._steps, self._error = 0, 0.0
        self._summaries: list[WeightSummary] = []

    def prepare(self, ensemble: Ensemble) -> None:
        """Take the starting configurations and set the temperature of the chains.

        What a flow does at its first use, such as tables, is done here, before the clock runs, with one configuration.
        """
        from .. import energy, observables  # noqa: F401
        from ..samplers import _carry  # noqa: F401

        import_early()
        self._ensemble = ensemble.copy()
        self._ensemble.beta[:] = 1.0 / self._base
        self._begin = int(self._ensemble.step)
        positions, species = (_arrays.to_host(array[:1]) for array in (ensemble.positions, ensemble.species))
        betas = 1.0 / self._base, 1.0 / self._temperature
        self._flow.transport(positions, species, *betas, steps=1, threads=self._options.threads)

    def advance(self, budget: int, progress: Progress | None = None) -> Estimate:
        """Bring every chain to `budget` sweeps, carry its configurations, and return the weighted averages."""
        done = self._done()
        if budget <= done:
            raise ValueError(f"budget: expected more than the {done} sweeps already done, got {budget}")
        begin, carried = time.perf_counter(), len(self._spent)
        self._adapt(min(budget // 2, self._options.adaptation))
        first = max(self._done(), int(self._options.discard * budget))
        # Backwards from the end, so that short budgets have samples too.
        spacing = max(1, min(int(self._settings["spacing"]), (budget - first) // _LEAST_RECORDS))
        at = np.arange(budget, first, -spacing, dtype=np.int64)[::-1]
        for low in range(0, at.size, self._most):
            self._sample(at[low : low + self._most], progress, budget)
        elsewhere = sum(float(spent[:, 0].sum()) for spent in self._spent[carried:])
        self._chain[0] += time.perf_counter() - begin - elsewhere
        self._charge(budget)
        return self._estimate(budget)

    def _done(self) -> int:
        return int(self._require_ensemble().step) - self._begin

    def _require_ensemble(self) -> Ensemble:
        if self._ensemble is None:
            raise RuntimeError("prepare: expected to be called before the runs advance")
        return self._ensemble

    @property
    def _most(self) -> int:
        """Records that are carried at once."""
        return max(1, _CHUNK // len(self._require_ensemble()))

    # ---- chains ------------------------------------------------------------------------------------------------------------

    def _adapt(self, sweeps: int) -> None:
        """Let the explorer adapt in the first sweeps of all."""
        left = (sweeps - self._done()) // BLOCK * BLOCK
        if left > 0:
            self._chain[1] += self._sampler.adapt(self._require_ensemble(), left)

    def _sample(self, at: npt.NDArray[np.int64], progress: Progress | None, budget: int) -> None:
        """Go on to some numbers of sweeps, and carry the configurations that the chains have there."""
        ensemble, done = self._require_ensemble(), self._done()
        record = self._sampler.run(ensemble, int(at[-1]) - done, record_at=at - done, record_positions=True)
        begin = time.perf_counter()
        energy, log_weights, pairs = self._carry(record.positions, record.species)
        spent = np.array([time.perf_counter() - begin, pairs])
        self._spent.append(np.tile(spent / at.size, (at.size, 1)))
        self._chain[1] += record.pair_evaluations
        self._at += at.tolist()
        self._energy.append(energy.reshape(at.size, -1))
        self._log_weights.append(log_weights.reshape(at.size, -1))
        self._tell(progress, budget, energy_per_particle=float(energy.mean()) / self._system.n)

    def _tell(self, progress: Progress | None, budget: int, **info: float) -> None:
        if progress is not None:
            progress(self._done(), budget, info)

    def _carry(self, unwrapped: Any, kinds: Any) -> tuple[FloatArray, FloatArray, int]:
        """Carry configurations (records, K, N, d); return energies and log weights, one after another, and pair evaluations."""
        from ..energy import energy
        from ..ensemble import wrap_positions
        from ..samplers._carry import Batch, carry

        shape = np.shape(unwrapped)
        positions, crossings = wrap_positions(np.asarray(unwrapped).reshape(-1, *shape[2:]), self._system.box)
        species = np.asarray(kinds).reshape(positions.shape[:2])
        before = np.asarray(_arrays.to_host(energy(self._system, positions, species, threads=self._options.threads)))
        batch = Batch(positions, crossings.astype(np.int32), species, before)
        checked = max(_LEAST_CHECKED, min(_MOST_CHECKED, batch.size // _CHECKED))
        integration = replace(self._integration, check_samples=checked, steps=self._steps or None)
        moved = carry(self._system, self._flow, batch, 1.0 / self._base, 1.0 / self._temperature, integration)
        self._steps, self._error = max(self._steps, moved.steps), max(self._error, moved.integration_error)
        n = self._system.n
        return moved.batch.energy, moved.log_weights, moved.pair_evaluations + batch.size * (n * (n - 1) // 2)

    # ---- averages ----------------------------------------------------------------------------------------------------------

    def _late(self, budget: int) -> npt.NDArray[np.bool_]:
        """Return which configurations are from the part of a budget that is not discarded."""
        return np.array(self._at) > self._options.discard * budget

    def _charge(self, budget: int) -> None:
        """Charge carrying the configurations of a budget."""
        self._spent = [np.concatenate(self._spent)]
        self._carrying = np.maximum(self._carrying, self._spent[0][self._late(budget)].sum(axis=0))

    def _window(self, budget: int) -> tuple[FloatArray, FloatArray]:
        """Return energies and log weights (samples, K) of the part of a budget that is not discarded."""
        self._energy, self._log_weights = [np.concatenate(self._energy)], [np.concatenate(self._log_weights)]
        late = self._late(budget)
        return self._energy[0][late], self._log_weights[0][late]

    def _estimate(self, budget: int) -> Estimate:
        from ..observables.weights import weight_summary, weighted_energy

        energy, log_w = self._window(budget)
        samples = len(energy)
        blocks = np.arange(samples) * _BLOCKS // samples if samples >= 2 * _BLOCKS else np.arange(samples)
        beta, n = 1.0 / self._temperature, self._system.n
        found = [weighted_energy(u, w, beta, n, blocks) for u, w in zip(energy.T, log_w.T, strict=True)]
        self._summaries = [weight_summary(w) for w in log_w.T]
        self._histogram = np.histogram(_relative(log_w), bins=_BINS)
        return Estimate(
            mean_energy=np.array([one.mean for one in found]) / n,
            specific_heat=np.array([one.specific_heat for one in found]),
        )

    def cost(self) -> Cost:
        """Return the share of one run in what going straight to the latest budget costs, training apart."""
        wall_time, pair_evaluations = (self._chain + self._carrying) / len(self._require_ensemble())
        return Cost(float(wall_time), float(pair_evaluations))

    def trace(self) -> None:
        """Return nothing: energies on the way belong to another temperature."""
        return

    def training(self) -> Training | None:
        """Return what the training of the flow has cost, as its report says; None where it has none."""
        report = getattr(self._flow, "report", None)
        if report is None:
            return None
        return Training(
            wall_time=float(report.sample_seconds + report.fit_seconds),
            pair_evaluations=float(report.pair_evaluations),
            source=f"flow from T = {self._flow.hot:g} to {self._flow.cold:g}, pair evaluations of its samples only",
        )

    def report(self) -> dict[str, Any]:
        """Return settings and weights of the latest budget."""
        ess = np.array([summary.ess for summary in self._summaries])
        counts, edges = self._histogram
        samples = self._summaries[0].samples
        return {
            **self._settings,
            "base_temperature": self._base,
            "flow": self._flow.describe(),
            "samples": samples,
            "ess": float(ess.mean()),
            "largest_weight": max(summary.largest for summary in self._summaries),
            "steps": self._steps,
            "integration_error": self._error,
            "flow_time": float(self._carrying[0]) / len(self._summaries),
            "diagnostics": {
                "log_weight_edges": edges,
                "log_weight_counts": counts,
                "ess": ess,
                "pareto_k": np.array([summary.pareto_k for summary in self._summaries]),
                "samples": samples,
            },
        }

    def diagnosis(self) -> Diagnosis:
        """Return the effective number of samples, and whether single samples have more than a tenth of the weight."""
        samples = self._summaries[0].samples
        said = f"ESS {float(np.mean([one.ess for one in self._summaries])):.3g} of {samples} samples a run"
        dominated = sum(one.largest > max(0.1, 5.0 / samples) for one in self._summaries)
        if dominated:
            return Diagnosis(faults=(f"in {dominated} runs one sample has more than a tenth of the weight ({said})",))
        return Diagnosis(remarks=(said,))


def _relative(log_w: FloatArray) -> FloatArray:
    """Return log weights over the mean weight of all, those far below it at the edge."""
    top = float(log_w.max())
    mean = top + math.log(float(np.exp(log_w - top).mean()))
    return np.maximum(log_w.ravel() - mean, -_DEEPEST)
