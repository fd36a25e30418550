"""One run of a `FlowSampler`: base samples on their way from the hot to the cold temperature, stop by stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..ensemble import Ensemble
from ..observables.weights import log_z_of_weights, normalised_weights, weight_summary, weighted_energy
from ._carry import Batch, carry
from ._population import copy_replicas, parents_of, reweight
from .flow_result import FlowResult, FlowStop, warn_of_weights

if TYPE_CHECKING:
    from .flow_sampler import FlowSampler

__all__ = ["PROGRESS_TOTAL", "FlowRun", "Progress", "batch_of"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Progress = Callable[[int, int, dict[str, Any]], None]

PROGRESS_TOTAL = 10_000


def batch_of(ensemble: Ensemble) -> Batch:
    """Return the configurations of an ensemble in host memory, without copies."""
    return Batch(ensemble.positions, ensemble.images, ensemble.species, ensemble.energy)


class FlowRun:
    """Base samples on their way to the cold temperature."""

    def __init__(self, sampler: FlowSampler, base: Ensemble, groups: IntArray, device: str, tell: Progress) -> None:
        self.sampler, self.base, self.device, self.tell = sampler, base, device, tell
        self.clock = time.perf_counter()
        self.here = base.copy()
        self.here.velocities = None
        self.groups = self.base_groups = groups
        self.log_w = np.zeros(base.replicas)
        self.log_z = 0.0  # of the resamplings so far
        self.influence = np.zeros(int(groups.max()) + 1)  # of each group on log_z, to first order
        self.stops: list[FlowStop] = []
        self.pairs = 0
        self.flow_time = self.relax_time = 0.0
        self.energy_before = self.here.energy

    def result(self, base_pairs: int, base_time: float) -> FlowResult:
        """Go all the way, and return what is found."""
        sampler = self.sampler
        for leg in range(1, len(sampler.temperatures)):
            self._transport(leg)
            if sampler.sweeps_per_stop > 0 and leg < len(sampler.temperatures) - 1:
                self._relax(leg)
        return self._measure(base_pairs, base_time)

    def _transport(self, leg: int) -> None:
        sampler, here = self.sampler, self.here
        temperatures = sampler.temperatures
        legs = len(temperatures) - 1

        def tell(part: float) -> None:
            info = {"stage": "flow", "temperature": temperatures[leg]}
            self.tell(int(PROGRESS_TOTAL * (leg - 1 + part) / legs), PROGRESS_TOTAL, info)

        beta_from, beta_to = 1.0 / temperatures[leg - 1], 1.0 / temperatures[leg]
        carried = carry(sampler.system, sampler.flow, batch_of(here), beta_from, beta_to, sampler.integration, tell)
        self.energy_before = here.energy
        here.positions, here.images, here.energy = carried.batch.positions, carried.batch.images, carried.batch.energy
        here.beta[:] = beta_to
        here.validate()
        self.log_w = self.log_w + carried.log_weights
        self.pairs += carried.pair_evaluations
        self.flow_time += carried.wall_time
        summary = weight_summary(self.log_w)
        warn_of_weights(summary, temperatures[leg], stacklevel=5)
        log_z = self.log_z + normalised_weights(self.log_w)[1]
        self.stops.append(
            FlowStop(
                temperatures[leg],
                carried.steps,
                carried.integration_error,
                carried.checked,
                summary.ess,
                summary.largest,
                summary.pareto_k,
                log_z,
                sampler.sweeps_per_stop > 0 and leg < legs,
            )
        )

    def _relax(self, leg: int) -> None:
        """Resample by the weights, and do sweeps."""
        clock = time.perf_counter()
        explorer, sweeps, here = self.sampler.explorer, self.sampler.sweeps_per_stop, self.here
        weighted = reweight(-self.log_w, 1.0)
        parents = parents_of(weighted, here.seed, here.step)
        self._influence(weighted.tau() - 1.0)
        self.log_z += weighted.log_mean
        copy_replicas(here, parents)
        self.groups = self.groups[parents]
        self.log_w = np.zeros(here.replicas)
        moving = here.to(self.device)
        explorer.prepare(moving, sweeps)
        self.pairs += explorer.explore(moving, sweeps)
        self.here = moving.to("cpu")
        self.here.velocities = None
        self.here.update_energy()
        self.relax_time += time.perf_counter() - clock

    def _influence(self, excess: FloatArray) -> None:
        self.influence += np.bincount(self.groups, weights=excess, minlength=self.influence.size) / excess.size

    def _log_z(self) -> tuple[float, float]:
        """Return log Z(cold) / Z(hot) and its error: a jackknife over the groups, to first order where there were stops."""
        log_z, error = log_z_of_weights(self.log_w, self.groups)
        if not any(stop.resampled for stop in self.stops):
            return log_z, error
        self._influence(normalised_weights(self.log_w)[0] * self.log_w.size - 1.0)
        count = self.influence.size
        spread = float((self.influence**2).sum())
        return self.log_z + log_z, float(np.sqrt(count / (count - 1) * spread)) if count > 1 else np.nan

    def _measure(self, base_pairs: int, base_time: float) -> FlowResult:
        sampler, here = self.sampler, self.here
        summary = weight_summary(self.log_w)
        energies = weighted_energy(here.energy, self.log_w, 1.0 / sampler.cold, sampler.system.n, self.groups)
        log_z, log_z_error = self._log_z()
        return FlowResult(
            ensemble=here,
            base=self.base,
            temperatures=np.array(sampler.temperatures),
            n=sampler.system.n,
            dimension=sampler.system.dimension,
            samples=here.replicas,
            groups=self.groups,
            base_groups=self.base_groups,
            log_weights=self.log_w,
            energy_before=self.energy_before,
            energy_after=here.energy.copy(),
            mean_energy=energies.mean,
            mean_energy_error=energies.mean_error,
            specific_heat=energies.specific_heat,
            specific_heat_error=energies.specific_heat_error,
            log_z_ratio=log_z,
            log_z_ratio_error=log_z_error,
            ess=summary.ess,
            largest_weight=summary.largest,
            pareto_k=summary.pareto_k,
            pareto_k_limit=summary.pareto_k_limit,
            stops=tuple(self.stops),
            steps=max(stop.steps for stop in self.stops),
            integration_error=max(stop.integration_error for stop in self.stops),
            pair_evaluations=base_pairs + self.pairs,
            base_pair_evaluations=base_pairs,
            wall_time=base_time + time.perf_counter() - self.clock,
            base_time=base_time,
            flow_time=self.flow_time,
            relax_time=self.relax_time,
            provenance={
                **sampler.describe(),
                "seed": here.seed,
                "samples": here.replicas,
                "versions": {"glassnf": _core.__version__, "numpy": np.__version__},
            },
        )
