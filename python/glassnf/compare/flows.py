"""A flow in a comparison: samples of the hot end of its range, made anew for each budget, are carried down and weighted."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import _arrays
from .algorithms import Cost, Diagnosis, Estimate, FloatArray, Progress, RunOptions
from .starts import derived_seed
from .tempering import copies

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..flows import Flow
    from ..samplers import MCRecord
    from ..systems import System

__all__ = ["FlowAlgorithm", "shape_of"]

LEAST_REPLICAS: Final = 16
EQUILIBRATION_SHARE: Final = 0.4
MOST_EQUILIBRATION: Final = 2_000
SPACING: Final = 200
"""Sweeps between samples: local Monte Carlo of ka2d at T = 0.5 forgets its energy in about 450, and to carry a sample of 43
particles by a flow with two layers of messages takes as long as about 180."""
WIDTH: Final = 0.15
"""Replicas over the square root of the budget."""

_CHUNK: Final = 32_768  # samples of all runs, carried at once


def shape_of(budget: int) -> tuple[int, int, int, int]:
    """Return replicas, sweeps of equilibration, records, and sweeps between them, of a run with a budget of all its sweeps."""
    replicas = max(LEAST_REPLICAS, round(WIDTH * math.sqrt(budget)))
    each = budget / replicas
    equilibration = min(MOST_EQUILIBRATION, max(1, round(EQUILIBRATION_SHARE * each)))
    records = max(1, round((each - equilibration) / SPACING))
    return replicas, equilibration, records, max(1, round((each - equilibration) / records))


class FlowAlgorithm:
    """K independent sets of weighted samples; the base sampler at the hot end of the flow is local Monte Carlo.

    The replicas of a run are copies of its one configuration, which swap moves part and equilibrate at the hot end of the flow,
    as they do for population annealing. All this is part of the cost; the training of the flow is not.

    Parameters
    ----------
    system
        The system.
    temperature
        Temperature of interest, within the range of the flow, in epsilon / k_B.
    options
        Threads, flow.

    Raises
    ------
    ValueError
        If there is no flow.
    """

    BASE: Final = "mc"

    def __init__(self, system: System, temperature: float, options: RunOptions) -> None:
        from ..samplers._carry import Integration, check_flow, check_temperature

        if options.flow is None:
            raise ValueError("flow: expected a flow for the algorithm nf, got None")
        self._flow: Flow = check_flow(system, options.flow)
        self._system = system
        self._temperature = check_temperature("temperature", temperature, self._flow)
        self._options = options
        self._integration = Integration.checked(None, 0.01, 1024, 256, options.threads)
        self._start: Ensemble | None = None
        self._cost = Cost(0.0, 0.0)
        self._report: dict[str, Any] = {}
        self._samples = 0
        self._ess: FloatArray = np.zeros(0)
        self._largest: FloatArray = np.zeros(0)

    def prepare(self, ensemble: Ensemble) -> None:
        """Take the starting configurations."""
        self._start = ensemble.copy()

    def advance(self, budget: int, progress: Progress | None = None) -> Estimate:
        """Make base samples of all runs within about `budget` sweeps each, carry them, and return the weighted averages."""
        from ..observables.weights import weight_summary, weighted_energy

        if self._start is None:
            raise RuntimeError("prepare: expected to be called before the runs advance")
        begin, runs = time.perf_counter(), len(self._start)
        shape = shape_of(budget)
        energy, log_w, pairs, carried = self._sample(shape, budget, progress)
        found = [weighted_energy(u, w, 1.0 / self._temperature, self._system.n) for u, w in zip(energy, log_w, strict=True)]
        summaries = [weight_summary(w) for w in log_w]
        self._ess = np.array([summary.ess for summary in summaries])
        self._largest = np.array([summary.largest for summary in summaries])
        self._samples = energy.shape[1]
        self._cost = Cost((time.perf_counter() - begin) / runs, pairs / runs)
        self._report = {
            "base": self.BASE,
            "hot": self._flow.hot,
            "flow": self._flow.describe(),
            "replicas": shape[0],
            "equilibration_sweeps": shape[1],
            "spacing": shape[3],
            "samples": self._samples,
            "ess": float(self._ess.mean()),
            "largest_weight": float(self._largest.max()),
            **carried,
        }
        return Estimate(
            mean_energy=np.array([one.mean for one in found]) / self._system.n,
            specific_heat=np.array([one.specific_heat for one in found]),
        )

    def _sample(
        self, shape: tuple[int, int, int, int], budget: int, progress: Progress | None
    ) -> tuple[FloatArray, FloatArray, int, dict[str, Any]]:
        """Return energies and log weights (K, samples), pair evaluations, and what there is to report."""
        from ..samplers import MonteCarlo

        start: Any = self._start
        replicas, equilibration, records, spacing = shape
        runs = len(start)
        index = np.repeat(np.arange(runs, dtype=np.int64), replicas)
        members = copies(start, index, self._flow.hot, derived_seed(int(start.seed), "flow", budget))
        threads = self._options.threads
        parting = MonteCarlo(self._system, swap_probability=0.2 if self._system.n_species > 1 else 0.0, threads=threads)
        pairs = parting.equilibrate(members, sweeps=equilibration).pair_evaluations
        base = MonteCarlo(self._system, swap_probability=0.0, threads=threads)
        energies, weights = [], []
        steps, error, seconds, done = 0, 0.0, 0.0, 0
        while done < records:
            count = min(max(1, _CHUNK // index.size), records - done)
            record = base.run(members, sweeps=count * spacing, record_every=spacing, record_positions=True)
            clock = time.perf_counter()
            u, w, more, carried = self._carry(record)
            seconds += time.perf_counter() - clock
            energies.append(u.reshape(count, runs, replicas))
            weights.append(w.reshape(count, runs, replicas))
            pairs += record.pair_evaluations + more
            steps, error, done = max(steps, carried[0]), max(error, carried[1]), done + count
            if progress is not None:
                progress(int(budget * done / records), budget, {"energy_per_particle": float(u.mean()) / self._system.n})
        by_run = [np.moveaxis(np.concatenate(parts), 1, 0).reshape(runs, -1) for parts in (energies, weights)]
        return by_run[0], by_run[1], pairs, {"steps": steps, "integration_error": error, "flow_time": seconds / runs}

    def _carry(self, record: MCRecord) -> tuple[FloatArray, FloatArray, int, tuple[int, float]]:
        """Carry the records of a stretch; return energies, log weights, pair evaluations, steps and integration error."""
        from ..energy import energy
        from ..ensemble import wrap_positions
        from ..samplers._carry import Batch, carry

        shape = record.positions.shape[2:] if record.positions is not None else ()
        positions, crossings = wrap_positions(np.asarray(record.positions).reshape(-1, *shape), self._system.box)
        species = np.asarray(record.species).reshape(positions.shape[:2])
        before = np.asarray(_arrays.to_host(energy(self._system, positions, species, threads=self._options.threads)))
        batch = Batch(positions, crossings.astype(np.int32), species, before)
        moved = carry(self._system, self._flow, batch, 1.0 / self._flow.hot, 1.0 / self._temperature, self._integration)
        return moved.batch.energy, moved.log_weights, moved.pair_evaluations, (moved.steps, moved.integration_error)

    def cost(self) -> Cost:
        """Return what one run of the latest budget has cost, training apart."""
        return self._cost

    def trace(self) -> None:
        """Return nothing: energies on the way belong to another temperature."""
        return

    def report(self) -> dict[str, Any]:
        """Return settings and weights of the runs of the latest budget."""
        return self._report

    def diagnosis(self) -> Diagnosis:
        """Return the effective number of samples, and whether single samples have more than a tenth of the weight."""
        ess = float(self._ess.mean())
        said = f"ESS {ess:.3g} of {self._samples} samples a run"
        dominated = int((self._largest > max(0.1, 5.0 / self._samples)).sum())
        if dominated:
            return Diagnosis(faults=(f"in {dominated} runs one sample has more than a tenth of the weight ({said})",))
        return Diagnosis(remarks=(said,))
