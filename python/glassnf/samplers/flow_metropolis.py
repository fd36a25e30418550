"""Independence Metropolis with a flow: chains at a low temperature whose proposals are carried there from a higher one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _check, _core, cuda
from .._exclusive import exclusive
from ..ensemble import Ensemble
from ..flows.transport import Flow, FlowError
from ..systems import System
from ._carry import Batch, Carried, Integration, carry, check_flow
from ._flow_run import batch_of
from .explorer import Explorer
from .flow_chains import FlowChains, FlowMetropolisRecord, Proposal
from .flow_sampler import named_explorer, path_of, samples_at

__all__ = ["FlowMetropolis"]

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int, int, dict[str, Any]], None]

_CHECK_EVERY = 64  # proposals


class FlowMetropolis:
    """Independence Metropolis with a flow, exact however often it proposes.

    Each of R chains at the cold temperature has a replica of its own at the hot temperature. A proposal takes the present
    configuration y of the hot replica, after `base_sweeps` sweeps of the base sampler, and carries it to x' = F(y). With the
    chain at x it is accepted with probability

        min(1, exp(log w' - log w)),  log w' = -beta_cold U(x') + beta_hot U(y) + log |det dF/dy|,

    where log w belongs to y' = F^-1(x), found by carrying x backward: x may have moved by other means. Then the chain goes to
    x', and the hot replica to y'. Where y is independent of the past, this is independence Metropolis (Gabrie, Rotskoff,
    Vanden-Eijnden, PNAS 119, e2109420119, 2022). Where it is not, because `base_sweeps` are few, a hot replica that stayed at y
    would make the chain biased; the return of y' makes every step an exchange, reversible for both temperatures at once, at no
    cost and with the same acceptance. Between proposals the chain does `sweeps` sweeps of its explorer.

    The map backward is the integral of the same field, with as many steps. At the first proposal, and every 64 from there, log
    weights with n and 2n steps, and those of the way there and back, are compared; n is doubled while they differ by more than
    `tolerance`, and frozen in between.

    Parameters
    ----------
    system : System
    flow : Flow
        Of this composition and box. Its weights are frozen.
    base : Explorer, optional
        What moves the hot replicas. Default: swap Monte Carlo, local where there is one species.
    hot, cold : float, epsilon
        Default: the ends of the range of the flow.
    explorer : Explorer, optional
        What moves the chains between proposals. Default: `base`.
    base_sweeps : int
        Between two proposals, at least 1.
    sweeps : int
        Of the explorer between two proposals, at least 0.
    steps, tolerance, max_steps : int, float, int
        Of the integrator, as for `FlowSampler`.
    device : str
        Where the base sampler and the explorer work.
    threads : int, optional
        Of the CPU, for the flow.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """

    def __init__(
        self,
        system: System,
        flow: Flow,
        base: Explorer | None = None,
        hot: float | None = None,
        cold: float | None = None,
        *,
        explorer: Explorer | None = None,
        base_sweeps: int = 100,
        sweeps: int = 10,
        steps: int | None = None,
        tolerance: float = 0.01,
        max_steps: int = 1024,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        self.system = system
        self.flow = check_flow(system, flow)
        self.hot, self.cold = path_of(self.flow, hot, cold, None)
        self.base = named_explorer("base", system, base, None)
        self.explorer = named_explorer("explorer", system, explorer, self.base)
        self.base_sweeps = _check.positive_int("base_sweeps", base_sweeps)
        self.sweeps = _check.nonnegative_int("sweeps", sweeps)
        self.integration = Integration.checked(steps, tolerance, max_steps, 1, threads)
        self.device = cuda.find_device(device).name

    def __repr__(self) -> str:
        return (
            f"FlowMetropolis({self.system!r}, {self.flow!r}, base={self.base!r}, hot={self.hot}, cold={self.cold}, "
            f"base_sweeps={self.base_sweeps}, sweeps={self.sweeps})"
        )

    def describe(self) -> dict[str, Any]:
        """Return the settings that decide on the chains, as numbers and strings."""
        return {
            "algorithm": "flow_metropolis",
            "system": self.system.hash,
            "hot": self.hot,
            "cold": self.cold,
            "base_sweeps": self.base_sweeps,
            "sweeps": self.sweeps,
            "steps": self.integration.steps,
            "tolerance": self.integration.tolerance,
            "max_steps": self.integration.max_steps,
            "flow": self.flow.describe(),
            "base": self.base.describe(),
            "explorer": self.explorer.describe(),
        }

    # ---- chains ------------------------------------------------------------------------------------------------------------

    def begin(self, chains: int, seed: int, *, equilibration_sweeps: int = 4_000) -> FlowChains:
        """Make chains and their hot replicas from random starts, and equilibrate them, adapting their move sizes.

        Parameters
        ----------
        chains : int
            R.
        seed : int
            From 0 to 2**64 - 1.
        equilibration_sweeps : int
            Of the explorer at the cold, and of the base sampler at the hot temperature.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        glassnf.cuda.CudaError, ImportError
            If the device cannot be used.
        """
        count = _check.positive_int("chains", chains)
        _check.fits_memory("chains", chains, 4 * count * self.system.n * self.system.dimension, "chains")
        sweeps = _check.nonnegative_int("equilibration_sweeps", equilibration_sweeps)
        start = Ensemble.random(self.system, 2 * count, self.hot, seed)
        cold, hot = start[:count], start[count:]
        cold.beta[:] = 1.0 / self.cold
        cold = self._move(cold, self.explorer, sweeps, adapt=True)[0]
        hot = self._move(hot, self.base, sweeps, adapt=True)[0]
        return FlowChains(cold, hot, self.describe())

    def begin_from(self, cold: Ensemble, hot: Ensemble) -> FlowChains:
        """Make chains from equilibrium configurations of the caller's.

        Parameters
        ----------
        cold, hot : Ensemble
            R replicas each, at the two temperatures; copied. The seed is that of `cold`, and the hot replicas get ids beyond
            those of the chains.

        Raises
        ------
        TypeError, ValueError
            If they do not fit.
        """
        chains = samples_at("cold", cold, self.system, self.cold, 1)
        base = samples_at("hot", hot, self.system, self.hot, 1)
        if base.replicas != chains.replicas:
            raise ValueError(f"hot: expected {chains.replicas} replicas, one for each chain, got {base.replicas}")
        base.seed = chains.seed
        base.ids = int(chains.ids.max()) + 1 + np.arange(base.replicas, dtype=np.int64)
        base.validate()
        return FlowChains(chains, base, self.describe())

    def _move(self, ensemble: Ensemble, explorer: Explorer, sweeps: int, *, adapt: bool = False) -> tuple[Ensemble, int]:
        """Do sweeps where the explorers work; return the ensemble in host memory and the pair evaluations."""
        if sweeps == 0:
            return ensemble, 0
        moving = ensemble.to(self.device)
        explorer.prepare(moving, sweeps)
        pairs = explorer.adapt(moving, sweeps) if adapt else explorer.explore(moving, sweeps)
        return moving.to("cpu"), pairs

    # ---- running -----------------------------------------------------------------------------------------------------------

    @exclusive("chains")
    def run(
        self,
        chains: FlowChains,
        proposals: int,
        *,
        record_every: int = 1,
        record_positions: bool = False,
        progress: Progress | None = None,
    ) -> FlowMetropolisRecord:
        """Advance the chains in place by a number of proposals, and record.

        Parameters
        ----------
        chains : FlowChains
            Begun with these settings.
        proposals : int
            To every chain, not negative.
        record_every : int
            Record after every so many proposals of this run.
        record_positions : bool
            Also record positions and species.
        progress : callable, optional
            ``progress(done, total, info)`` after every proposal. A KeyboardInterrupt, there or anywhere, leaves the chains as
            they must be: going on, or saving and loading them before, gives the bits of an uninterrupted run.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        glassnf.flows.FlowError
            If a result is not finite, or the integration error is above the tolerance with `max_steps` steps.
        """
        _check.callback("progress", progress)
        self._check(chains)
        total = _check.nonnegative_int("proposals", proposals)
        every = _check.positive_int("record_every", record_every)
        _check.boolean("record_positions", record_positions)
        clock, before, first = time.perf_counter(), chains.accepts.copy(), chains.proposals
        spent = {"base": 0.0, "explorer": 0.0, "flow": 0.0}
        at, energy, positions, species, pairs = [], [], [], [], 0
        for done in range(1, total + 1):
            pairs += self._explore(chains, spent)
            proposal = self._propose(chains)
            pairs += proposal.pair_evaluations
            spent["flow"] += proposal.flow_time
            chains.enter(proposal)
            if done % every == 0:
                at.append(chains.proposals)
                energy.append(chains.cold.energy.copy())
                if record_positions:
                    positions.append(chains.cold.positions.copy())
                    species.append(chains.cold.species.copy())
            if progress is not None:
                progress(done, total, self._info(chains))
        shape = (len(at), *chains.cold.positions.shape)
        return FlowMetropolisRecord(
            proposals=np.array(at, dtype=np.int64),
            energy=np.array(energy).reshape(len(at), chains.cold.replicas),
            n=self.system.n,
            dimension=self.system.dimension,
            attempts=chains.proposals - first,
            accepts=chains.accepts - before,
            longest_rejection=chains.longest_rejection.copy(),
            steps=chains.steps,
            integration_error=chains.integration_error,
            reversibility_error=chains.reversibility_error,
            pair_evaluations=pairs,
            wall_time=time.perf_counter() - clock,
            base_time=spent["base"],
            flow_time=spent["flow"],
            explorer_time=spent["explorer"],
            positions=np.array(positions).reshape(shape) if record_positions else None,
            species=np.array(species, dtype=np.int32).reshape(shape[:3]) if record_positions else None,
        )

    def _check(self, chains: FlowChains) -> None:
        if not isinstance(chains, FlowChains):
            raise TypeError(f"chains: expected FlowChains, got {type(chains).__name__}")
        chains.settle()
        mine = self.describe()
        for name, value in mine.items():
            if chains.parameters.get(name) != value:
                raise ValueError(f"chains: expected ones begun with {name} = {value!r}, got {chains.parameters.get(name)!r}")

    def _explore(self, chains: FlowChains, spent: dict[str, float]) -> int:
        """Do the sweeps that are left before the next proposal, wherever a run was interrupted; return the pair evaluations."""
        cold_first, hot_first = chains.first_steps
        clock = time.perf_counter()
        left = hot_first + (chains.proposals + 1) * self.base_sweeps - chains.hot.step
        chains.hot, pairs = self._move(chains.hot, self.base, left)
        between = time.perf_counter()
        left = cold_first + (chains.proposals + 1) * self.sweeps - chains.cold.step
        chains.cold, more = self._move(chains.cold, self.explorer, left)
        spent["base"] += between - clock
        spent["explorer"] += time.perf_counter() - between
        return pairs + more

    def _propose(self, chains: FlowChains) -> Proposal:
        """Carry both sides over, and decide; nothing changes yet."""
        cold, hot = chains.cold, chains.hot
        forward, backward, error, reversibility, pairs = self._carry_both(chains)
        ratio = forward.log_weights + backward.log_weights
        accepted = ratio >= _log_uniform(cold.seed, chains.proposals, cold.ids)

        def chosen(new: Batch, old: Batch) -> Batch:
            pairs_of_fields = zip(_fields(new), _fields(old), strict=True)
            return Batch(*(np.where(accepted.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs_of_fields))

        return Proposal(
            cold=chosen(forward.batch, batch_of(cold)),
            hot=chosen(backward.batch, batch_of(hot)),
            accepted=accepted,
            steps=forward.steps,
            integration_error=error,
            reversibility_error=reversibility,
            pair_evaluations=pairs,
            flow_time=forward.wall_time + backward.wall_time,
        )

    def _carry_both(self, chains: FlowChains) -> tuple[Carried, Carried, float, float, int]:
        """Carry hot replicas to the cold temperature and chains to the hot one, with equal steps, checked now and then."""
        cold, hot = batch_of(chains.cold), batch_of(chains.hot)
        way, back = (1.0 / self.hot, 1.0 / self.cold), (1.0 / self.cold, 1.0 / self.hot)
        steps = chains.steps or self.integration.steps
        check = chains.proposals % _CHECK_EVERY == 0
        pairs = 0
        while True:
            rule = replace(self.integration, steps=steps, check_samples=cold.size if check else 0)
            forward = carry(self.system, self.flow, hot, *way, rule)
            backward = carry(self.system, self.flow, cold, *back, replace(rule, steps=forward.steps or None))
            pairs += forward.pair_evaluations + backward.pair_evaluations
            if not check:
                return forward, backward, 0.0, 0.0, pairs
            if backward.steps == forward.steps:
                unchecked = replace(rule, steps=forward.steps or None, check_samples=0)
                again = carry(self.system, self.flow, backward.batch, *way, unchecked)
                pairs += again.pair_evaluations
                missed = float(np.abs(again.log_weights + backward.log_weights).max())
                if missed <= self.integration.tolerance:
                    error = max(forward.integration_error, backward.integration_error)
                    return forward, backward, error, missed, pairs
                if forward.steps == 0 or 2 * forward.steps > self.integration.max_steps:
                    raise FlowError(
                        f"flow: expected a way back that undoes the way there to {self.integration.tolerance:g} in log w, "
                        f"got {missed:.3g} with {forward.steps} steps, and more than max_steps = "
                        f"{self.integration.max_steps} are not allowed"
                    )
            steps = 2 * forward.steps if backward.steps == forward.steps else backward.steps

    def _info(self, chains: FlowChains) -> dict[str, Any]:
        return {
            "energy_per_particle": float(chains.cold.energy.mean()) / self.system.n,
            "acceptance": float(chains.accepts.mean()) / chains.proposals,
            "longest_rejection": int(chains.longest_rejection.max()),
        }


def _fields(batch: Batch) -> tuple[npt.NDArray[Any], ...]:
    return batch.positions, batch.images, batch.species, batch.energy


def _log_uniform(seed: int, proposal: int, ids: npt.NDArray[np.int64]) -> FloatArray:
    """Return the logarithm of one uniform number in (0, 1] for each chain."""
    numbers = np.empty(ids.size)
    one = np.empty(1)
    for place, chain in enumerate(ids.tolist()):
        _core.uniform(seed, _core.Stream.PROPOSAL, proposal, chain, 1, _arrays.address(one))
        numbers[place] = one[0]
    return np.asarray(np.log(numbers))
