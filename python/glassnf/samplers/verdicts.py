"""Verdicts on what samplers return: the rules of `glassnf.observables.equilibration`, applied to records."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..observables.equilibration import Check, Verdict, chain_checks, judge_chains, sigma_limit, summarised
from ..observables.outer_checks import (
    LAG,
    LEAST_POPULATION,
    agreement_check,
    anneal_checks,
    integration_check,
    ladder_checks,
    log_z_spread_check,
    summary_checks,
)
from ..observables.statistics import estimate_mean
from ..observables.weights import WeightSummary, weight_summary
from .ladder import round_trip_rate

if TYPE_CHECKING:
    from .annealing_result import PAResult
    from .flow_chains import FlowMetropolisRecord
    from .flow_result import FlowResult
    from .harvest import Harvest
    from .molecular_dynamics import MDRecord
    from .monte_carlo import MCRecord
    from .pt_record import PTRecord

__all__ = ["forward_backward"]

FloatArray = npt.NDArray[np.float64]

CONSERVED = 1e-2
"""Variance of a replica's total energy over that of its potential energy, below which it is conserved."""

KINETIC_TOLERANCE = 0.1
"""Of the kinetic temperature, relative."""


def regular(at: npt.NDArray[Any]) -> bool:
    """Return whether records are at equal intervals."""
    return bool(at.size < 3 or (np.diff(at) == at[1] - at[0]).all())


def chains(energy: FloatArray, beta: FloatArray, at: npt.NDArray[Any]) -> Verdict:
    """Judge chains (records, R), those of each temperature apart.

    Parameters
    ----------
    energy
        (records, R).
    beta
        (R,).
    at
        (records,) sweeps or steps.
    """
    equal = regular(at)
    different = np.unique(beta)
    if different.size <= 1:
        return judge_chains(energy, regular=equal)
    by_temperature = {f"T = {1.0 / b:.6g}": judge_chains(energy[:, beta == b], regular=equal) for b in different[::-1].tolist()}
    return Verdict.of(summarised("temperatures", by_temperature))


def of_dynamics(record: MDRecord) -> Verdict:
    """Judge molecular dynamics; where the total energy is conserved, each replica keeps the one that it was given.

    Replicas then differ for ever, and only changes in time can be judged: at best nothing can be told.
    """
    if conserved(record.energy, record.kinetic_energy):
        return conserving(record.energy, regular(record.steps))
    found = chains(record.energy, record.beta, record.steps)
    if not len(record.energy):
        return found
    return Verdict.of([*found.checks, kinetic_check(record.kinetic_energy, record.beta, record.n, record.dimension)])


def kinetic_check(kinetic: FloatArray, beta: FloatArray, n: int, dimension: int) -> Check:
    """Return whether the kinetic temperature is that of the thermostat, the one average of dynamics that is known.

    It fails where it is off by more than chance allows and by more than a tenth, which is left to the error of the time step; a
    thermostat that is far too weak is seen so. Whether the momentum of the whole counts is left open.

    Parameters
    ----------
    kinetic
        (records, R), one record at least.
    beta
        (R,).
    n, dimension
        Of the system.
    """
    least = dimension * max(n - 1, 1)
    ratios = 2.0 * kinetic * beta / least
    value = float(ratios.mean())
    most = n * dimension / least
    off = max(value / most - 1.0, 1.0 - value, 0.0)
    words = f"the kinetic temperature is {value:.3g} times that of the thermostat"
    if off <= KINETIC_TOLERANCE:
        return Check("kinetic temperature", off, KINETIC_TOLERANCE, True, words)
    error = estimate_mean(ratios, method="auto").error if len(ratios) > 1 else math.inf
    sure = math.isfinite(error) and off > sigma_limit() * error
    return Check("kinetic temperature", off, KINETIC_TOLERANCE, False if sure else None, words)


def conserved(energy: FloatArray, kinetic: FloatArray) -> bool:
    """Return whether the total energy of every replica (records, R) stays what it is, unlike its parts."""
    if len(energy) < 2:
        return False
    return bool(((energy + kinetic).var(axis=0) <= CONSERVED * energy.var(axis=0)).all())


def conserving(energy: FloatArray, equal: bool = True) -> Verdict:
    """Judge dynamics at constant energy by changes in time alone."""
    found = judge_chains(energy - energy.mean(axis=0), regular=equal) if len(energy) else judge_chains(energy)
    kept = [check for check in found.checks if check.name != "R-hat"]
    words = "every replica keeps the total energy that it began with, so that the average is that of the beginning"
    return Verdict.of([*kept, Check("constant energy", math.nan, math.nan, None, words)])


def of_ladder(record: PTRecord) -> Verdict:
    """Judge parallel tempering; see `ladder`."""
    attempts, accepts = record.attempts.sum(axis=1), record.accepts.sum(axis=1)
    equal = regular(record.sweeps)
    return ladder(record.energy, record.temperatures, attempts, accepts, record.round_trips, equal=equal)[0]


def ladder(
    energy: FloatArray,
    temperatures: FloatArray,
    attempts: npt.NDArray[np.int64],
    accepts: npt.NDArray[np.int64],
    round_trips: npt.NDArray[np.int64],
    from_cold: npt.NDArray[np.bool_] | None = None,
    *,
    equal: bool = True,
) -> tuple[Verdict, list[Verdict]]:
    """Judge parallel tempering as a whole, and each of its temperatures.

    Ladders are replicas. What is said of the exchanges and the round trips counts for every temperature: ladders that agree
    without them may agree on their start; and a single ladder is enough, as its replicas exchange.

    Parameters
    ----------
    energy
        (records, M, ladders).
    temperatures
        (M,).
    attempts, accepts
        (M - 1,) exchanges of all ladders.
    round_trips
        (ladders,).
    from_cold
        (ladders,) which started from below.
    equal
        Whether records are at equal intervals.
    """
    rejections = 1.0 - accepts / np.maximum(attempts, 1)
    expected = round_trip_rate(rejections) * 2.0 * float(attempts.max(initial=0))  # a round attempts every second pair
    outer = ladder_checks(attempts, accepts, round_trips, expected)
    alone = [
        Verdict.of(chain_checks(energy[:, k], from_cold=from_cold, regular=equal, alone=True)) for k in range(temperatures.size)
    ]
    cold = int(np.argmin(temperatures))
    others = {f"T = {temperatures[k]:.6g}": alone[k] for k in range(temperatures.size) if k != cold}
    whole = Verdict.of([*alone[cold].checks, *outer, *summarised("other temperatures", others)])
    return whole, [Verdict.of([*verdict.checks, *outer]) for verdict in alone]


def of_anneal(result: PAResult) -> Verdict:
    """Judge population annealing; what families cannot see the sentence says."""
    return Verdict.of(anneal_checks(result.population, result.rho_t, float(result.rho_f[-1])), LAG)


def of_runs(runs: list[PAResult], log_z: FloatArray, sizes: FloatArray) -> Verdict:
    """Judge the weighted average of independent anneals.

    The population is that of all runs together, against the mean rho_t; each run's own verdict counts where it fails. The
    variance of log Z over the runs is to be below 1/2, where weighted and plain averages are the same within their errors: its
    upper limit is, as that of few runs may be small by chance.
    """
    own = [of_anneal(run) for run in runs]
    failed = sum(verdict.equilibrated is False for verdict in own)
    words = f"{failed} of {len(runs)} runs are not in equilibrium" if failed else "no run fails on its own"
    checks = [Check("runs", float(failed), 0.0, failed == 0, words)]
    share = float(sizes.sum() / max(float(run.rho_t.max()) for run in runs))
    enough = share >= LEAST_POPULATION
    words = f"all populations together are {'' if enough else 'only '}{share:.3g} times rho_t"
    words += "" if enough else f", {LEAST_POPULATION:g} times are needed"
    checks.append(Check("families", share, LEAST_POPULATION, enough or None, words))
    return Verdict.of([*checks, log_z_spread_check(log_z)], LAG)


def by_group(energy: FloatArray, groups: npt.NDArray[np.int64]) -> FloatArray:
    """Return samples (S,) as (records, groups), those of each group in their order, as many as the smallest group has."""
    _, counts = np.unique(groups, return_counts=True)
    first = np.cumsum(counts) - counts
    order = np.argsort(groups, kind="stable")
    return np.asarray(energy[order[first[None, :] + np.arange(counts.min())[:, None]]])


def of_harvest(harvest: Harvest) -> Verdict:
    """Judge a harvest as the chains that it was taken from."""
    return judge_chains(by_group(np.asarray(harvest.ensemble.energy), harvest.groups))


def of_flow(result: FlowResult) -> Verdict:
    """Judge weighted samples: base samples as chains, weights, integrator, and what a reference says of the flow."""
    base = judge_chains(by_group(np.asarray(result.base.energy), result.base_groups))
    checks = [Check("base samples", math.nan, math.nan, base.equilibrated, f"base samples {base.sentence}")]
    limit = result.pareto_k_limit
    summaries = {
        f"T = {stop.temperature:.6g}": WeightSummary(result.samples, stop.ess, stop.largest_weight, stop.pareto_k, limit)
        for stop in result.stops
        if stop.resampled
    }
    checks += summarised("stops", {name: Verdict.of(summary_checks(weights)) for name, weights in summaries.items()})
    checks += [*summary_checks(weight_summary(result.log_weights)), integration_check(result.integration_error)]
    if result.check is not None:
        found = result.check
        checks.append(
            agreement_check(
                "forward-backward",
                "log Z from hot and from cold samples",
                (found.log_z_forward, found.log_z_forward_error),
                (found.log_z_reverse, found.log_z_reverse_error),
            )
        )
    return Verdict.of(checks)


def of_flow_chains(record: FlowMetropolisRecord) -> Verdict:
    """Judge chains of flow Metropolis; a chain that has rejected a tenth of the run's proposals in a row is stuck."""
    found = judge_chains(record.energy, regular=regular(record.proposals))
    longest = int(record.longest_rejection.max()) if record.longest_rejection.size else 0
    good = record.attempts > 0 and 10 * longest <= record.attempts
    words = f"up to {longest} proposals in a row were rejected, of {record.attempts} in this run"
    stuck = Check("rejections in a row", float(longest), record.attempts / 10.0, good or None, words)
    return Verdict.of([*found.checks, stuck, integration_check(record.integration_error)])


# -------------------------------------------------------------------------------------------------------- from either side


def forward_backward(hot: MCRecord | MDRecord | PTRecord, cold: MCRecord | MDRecord | PTRecord) -> Verdict:
    """Judge two runs at the same temperature, of which one has come from above it, and the other from below.

    From above: from random starts, or from a higher temperature. From below: from configurations that were annealed further
    than to the temperature, by swap Monte Carlo for instance, or that are crystalline. Each run is judged as its own record's
    verdict does, and then their average energies are compared, see `observables.forward_backward`. Of parallel tempering the
    coldest temperatures are compared.

    Parameters
    ----------
    hot, cold : MCRecord, MDRecord or PTRecord
        Of the same kind and system; all replicas at one temperature, or ladders with the same coldest one.

    Raises
    ------
    TypeError, ValueError
        If they are not.

    Examples
    --------
    >>> import glassnf as gnf
    >>> system = gnf.systems.ka2d(n=43)
    >>> mc = gnf.MonteCarlo(system, swap_probability=0.0, threads=1)
    >>> hot = gnf.Ensemble.random(system, replicas=8, temperature=0.3, seed=1)
    >>> cold = gnf.Ensemble.random(system, replicas=8, temperature=0.15, seed=2)
    >>> _ = gnf.MonteCarlo(system, threads=1).equilibrate(cold, sweeps=200)
    >>> cold.beta[:] = 1.0 / 0.3
    >>> verdict = gnf.samplers.forward_backward(*(mc.run(e, sweeps=100, record_every=5) for e in (hot, cold)))
    >>> verdict.equilibrated in (False, None)
    True
    """
    from ..observables.equilibration import forward_backward as compare

    (hot_energy, hot_t), (cold_energy, cold_t) = (_one_temperature(name, r) for name, r in (("hot", hot), ("cold", cold)))
    if type(hot) is not type(cold) or hot.n != cold.n:
        raise ValueError(f"cold: expected a {type(hot).__name__} of {hot.n} particles, got {type(cold).__name__} of {cold.n}")
    if not math.isclose(hot_t, cold_t, rel_tol=1e-9):
        raise ValueError(f"cold: expected a run at temperature {hot_t:.6g}, got {cold_t:.6g}")
    each = {"from above": hot.verdict, "from below": cold.verdict}
    if not (len(hot_energy) and len(cold_energy)):
        return Verdict.of(summarised("runs", each))
    return Verdict.of([compare(hot_energy, cold_energy), *summarised("runs", each)])


def _one_temperature(name: str, record: Any) -> tuple[FloatArray, float]:
    """Return the energies (records, R) of a record at its temperature, or its coldest one, and that temperature."""
    from .molecular_dynamics import MDRecord
    from .monte_carlo import MCRecord
    from .pt_record import PTRecord

    if isinstance(record, PTRecord):
        coldest = float(record.temperatures.min())
        return record.energy_at(coldest), coldest
    if not isinstance(record, (MCRecord, MDRecord)):
        raise TypeError(f"{name}: expected an MCRecord, MDRecord or PTRecord, got {type(record).__name__}")
    if np.unique(record.beta).size != 1:
        raise ValueError(f"{name}: expected replicas at one temperature, got several")
    return record.energy, float(1.0 / record.beta[0])
