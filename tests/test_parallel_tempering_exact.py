"""Parallel tempering against exact distributions, and its records against exact averages.

Chi-square tests have a false-alarm rate of 1e-5 each (tolerances.FALSE_ALARM), comparisons of averages of 6e-7 (five standard
deviations); seeds are fixed. Samples of distributions are the last configurations of thousands of independent ladders.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import cases
import glassnf as gnf
from exact_energies import GaussianExplorer
from glassnf import _core
from glassnf._arrays import address
from glassnf.certify.frozen import Frozen
from glassnf.certify.pairs import count_distances, distance_bins
from glassnf.certify.statistics import chi_square_p
from glassnf.samplers.ladder import local_barrier, rejection_rates, round_trip_rate
from glassnf.systems import PairPotential, custom
from tolerances import FALSE_ALARM, FP64_REDUCTION, STATISTICAL

pytest.importorskip("scipy.stats")

Array = npt.NDArray[Any]
KA2D = gnf.systems.ka2d(43)
TEMPERATURES = np.array([0.9, 0.55, 0.35])


def probabilities(frozen: Frozen, temperature: float) -> Array:
    weights = np.exp(-(frozen.energy - frozen.energy.min()) / temperature)
    return np.asarray(weights / weights.sum())


def at_temperatures(ensemble: gnf.Ensemble, values: Array, temperatures: Array = TEMPERATURES) -> list[Array]:
    """Return values (R,) in one array (ladders,) for each temperature; in each ladder every temperature occurs once."""
    beta = ensemble.beta.reshape(-1, temperatures.size)
    by_ladder = values.reshape(beta.shape)
    masks = [beta == 1.0 / t for t in temperatures]
    assert all((mask.sum(axis=1) == 1).all() for mask in masks)
    return [by_ladder[mask] for mask in masks]


# -------------------------------------------------------------------------------------------------------- exact distributions


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("composition", [(3, 3), (2, 2, 2)], ids=str)
def test_species_on_a_frozen_lattice(composition: tuple[int, ...], every: int) -> None:
    ladders = 8_000
    frozen = Frozen(composition, temperature=0.35)
    mc = gnf.MonteCarlo(frozen.system, swap_probability=1.0)
    pt = gnf.ParallelTempering(frozen.system, TEMPERATURES, mc, ladders, every)
    ensemble = pt.start(frozen.ensemble(np.tile(frozen.states[0], (pt.replicas, 1)), seed=201))
    record = pt.run(ensemble, 30)
    assert (record.acceptance > 0.1).all()
    assert (record.acceptance < 0.98).all()
    for temperature, states in zip(TEMPERATURES, at_temperatures(ensemble, frozen.state_of(ensemble.species)), strict=True):
        counts = np.bincount(states, minlength=len(frozen.states))
        assert chi_square_p(counts, ladders * probabilities(frozen, temperature)) > FALSE_ALARM
        assert chi_square_p(counts, ladders * probabilities(frozen, 1.5 * temperature)) < FALSE_ALARM  # the test has power


@pytest.mark.parametrize("sweeps", [1, 2, 5])
def test_equilibrium_stays_equilibrium(sweeps: int) -> None:
    """From exact samples: every temperature keeps its distribution, and neighbours stay independent of each other."""
    ladders = 20_000
    frozen = Frozen((3, 3), temperature=0.35)
    mc = gnf.MonteCarlo(frozen.system, swap_probability=1.0)
    pt = gnf.ParallelTempering(frozen.system, TEMPERATURES, mc, ladders, 1)
    rng = np.random.default_rng(202)
    states = [rng.choice(len(frozen.states), ladders, p=probabilities(frozen, t)) for t in TEMPERATURES]
    species = np.array(frozen.states)[np.stack(states, axis=1).ravel()]
    ensemble = pt.start(frozen.ensemble(species, seed=203))
    record = pt.run(ensemble, sweeps)
    assert record.accepts.sum() > 0.3 * ladders
    after = at_temperatures(ensemble, frozen.state_of(ensemble.species))
    exact = [probabilities(frozen, t) for t in TEMPERATURES]
    kinds = len(frozen.states)
    for counts, p in zip((np.bincount(s, minlength=kinds) for s in after), exact, strict=True):
        assert chi_square_p(counts, ladders * p) > FALSE_ALARM
    for k in range(2):
        joint = np.bincount(after[k] * kinds + after[k + 1], minlength=kinds**2)
        assert chi_square_p(joint, ladders * np.outer(exact[k], exact[k + 1])) > FALSE_ALARM


def test_two_particles_in_a_box() -> None:
    ladders, temperatures = 8_000, np.array([0.3, 0.5, 1.0])
    pair = PairPotential("lj_smooth", 1.0, 1.0)
    system = custom("pair", potential=pair, composition=(2,), box=2.2 * pair.cutoff_distance, dimension=2)
    pt = gnf.ParallelTempering(system, temperatures, gnf.MonteCarlo(system, swap_probability=0.0), ladders, 2)
    start = np.zeros((pt.replicas, 2, 2))
    start[:, 1] = 0.5 * system.box
    ensemble = pt.start(gnf.Ensemble.from_arrays(system, start, temperature=1.0, seed=204))
    ensemble.move_size[:] = 0.3 * system.box[0] * ensemble.temperature
    pt.run(ensemble, 80)
    for k, temperature in enumerate(temperatures):
        edges, p = distance_bins(system, 1.0 / temperature)
        bins = at_temperatures(ensemble, count_distances(system, ensemble.positions, edges), temperatures)[k]
        assert chi_square_p(np.bincount(bins, minlength=p.size), ladders * p) > FALSE_ALARM
        _, wrong = distance_bins(system, 1.3 / temperature)
        assert chi_square_p(np.bincount(bins, minlength=p.size), ladders * wrong) < FALSE_ALARM


# ----------------------------------------------------------------------------------------- the exchange itself, move by move


def exchange_once(beta: Array, energy: Array, seed: int, step: int, interval: int, first_id: int = 0) -> dict[str, Array]:
    """Call the native exchange on one ladder in the order of its temperatures."""
    rungs = beta.size
    arrays: dict[str, Array] = {
        "beta": beta.copy(),
        "move_size": 0.1 / beta,
        "energy": energy.copy(),
        "ids": np.arange(first_id, first_id + rungs),
        "order": np.argsort(beta).astype(np.int32),
        "attempts": np.zeros(rungs - 1, dtype=np.int64),
        "accepts": np.zeros(rungs - 1, dtype=np.int64),
        "visits": np.zeros(rungs, dtype=np.int32),
        "trips": np.zeros(1, dtype=np.int64),
        "from_hot": np.zeros(rungs, dtype=np.int64),
        "from_cold": np.zeros(rungs, dtype=np.int64),
    }
    addresses = {name: address(array) for name, array in arrays.items()}
    _core.exchange(replicas=rungs, rungs=rungs, seed=seed, step=step, interval=interval, **addresses)
    return arrays


def expected_exchange(beta: Array, energy: Array, seed: int, step: int, interval: int, first_id: int) -> Array:
    """Return the inverse temperatures after a round, by the formula, from the random numbers by name."""
    beta = beta.copy()
    order = np.argsort(beta)
    for pair in range((step // interval) % 2, beta.size - 1, 2):
        a, b = order[pair], order[pair + 1]
        counter = [pair, step & 0xFFFFFFFF, first_id, (6 << 24) | ((step >> 32) << 8)]
        high, low = _core.philox(counter, seed)[:2]
        u = 2.0 - (1.0 + ((high << 20) | (low >> 12)) / 2.0**52)
        if math.log(u) <= (beta[a] - beta[b]) * (energy[a] - energy[b]):
            beta[a], beta[b] = beta[b], beta[a]
    return beta


def test_decisions_follow_the_formula_and_the_named_random_numbers() -> None:
    assert _core.Stream.REPLICA_EXCHANGE == 6
    rng = np.random.default_rng(205)
    changed = 0
    for trial in range(500):
        rungs = int(rng.integers(2, 9))
        beta = rng.permutation(np.cumsum(rng.uniform(0.05, 0.5, rungs)))
        energy = rng.normal(0.0, 4.0, rungs)
        interval, seed, first = int(rng.integers(1, 9)), int(rng.integers(2**63)), int(rng.integers(2**31))
        step = interval * int(rng.integers(2**35))
        found = exchange_once(beta, energy, seed, step, interval, first)
        wanted = expected_exchange(beta, energy, seed, step, interval, first)
        np.testing.assert_array_equal(found["beta"], wanted, err_msg=str(trial))
        np.testing.assert_array_equal(found["move_size"], 0.1 / wanted)
        np.testing.assert_array_equal(found["beta"][found["order"]], np.sort(beta))  # a permutation
        np.testing.assert_array_equal(found["energy"], energy)
        changed += int((found["beta"] != beta).any())
    assert 100 < changed < 500


@pytest.mark.parametrize("shift", [0.0, 1e300, -1e300])
def test_extreme_energies(shift: float) -> None:
    beta = np.array([1.0, 2.0])
    assert exchange_once(beta, np.array([-1e300, 1e300]) + shift, 1, 0, 1)["accepts"].tolist() == [1]
    assert exchange_once(beta, np.array([1e300, -1e300]) + shift, 1, 0, 1)["accepts"].tolist() == [0]
    assert exchange_once(beta, np.zeros(2) + shift, 1, 0, 1)["accepts"].tolist() == [1]


# --------------------------------------------------------------------------- energies drawn exactly: Gaussian density of states


def test_gaussian_ladder() -> None:
    """Acceptances, round trips, flow and barrier of independent energies, whose theory is exact."""
    model = GaussianExplorer(KA2D, 3.0)
    beta = np.linspace(0.5, 2.5, 9)
    ladders, rounds = 40, 4_000
    pt = gnf.ParallelTempering(KA2D, 1.0 / beta, model, ladders, 1)
    ensemble = pt.start(cases.small(pt.replicas))
    pt.run(ensemble, 100)
    record = pt.run(ensemble, rounds, record_every=4)
    exact = model.rejection(pt.temperatures)
    error = np.sqrt(exact * (1.0 - exact) / record.attempts.sum(axis=1))
    assert (np.abs(1.0 - record.acceptance - exact) < STATISTICAL * error).all()
    assert record.barrier == pytest.approx(exact.sum(), abs=STATISTICAL * math.sqrt((error**2).sum()))
    assert record.recommended_temperatures == round(2.0 * exact.sum()) + 1
    np.testing.assert_allclose(rejection_rates(record.temperatures, record.energy), exact, atol=0.005)
    np.testing.assert_allclose(local_barrier(record.energy), 3.0 / math.sqrt(math.pi), rtol=0.02)
    # Energies at every temperature are still those of the model: means within five standard deviations.
    samples = record.energy.shape[0] * ladders
    assert (np.abs(record.energy.mean(axis=(0, 2)) + beta * 9.0) < STATISTICAL * 3.0 / math.sqrt(samples)).all()
    # Round trips per round and ladder: 1 / (2 + 2 sum r / (1 - r)), here about 0.11. The error is that of the mean of the
    # ladders; the tolerance five of them, about 2 %. Trips under way when a run of 4,000 rounds begins or ends: 1e-3.
    rates = record.round_trips / rounds
    theory = round_trip_rate(exact)
    assert theory == pytest.approx(1.0 / (2.0 + 2.0 * (exact / (1.0 - exact)).sum()), rel=FP64_REDUCTION)
    assert rates.mean() == pytest.approx(theory, abs=STATISTICAL * rates.std(ddof=1) / math.sqrt(ladders) + 1e-3 * theory)
    assert STATISTICAL * rates.std(ddof=1) / math.sqrt(ladders) < 0.03 * theory
    assert record.round_trip_rate_limit == pytest.approx(theory, rel=0.02)
    # With equal rejection everywhere the flow is a straight line, but for the ends, where replicas turn round.
    np.testing.assert_allclose(record.flow + record.flow[::-1], 1.0, atol=0.01)
    assert record.flow[0] == 0.0
    np.testing.assert_allclose(np.diff(record.flow[1:-1]), np.ptp(record.flow[1:-1]) / 6, atol=0.01)


def test_round_trips_of_replicas_that_are_always_accepted() -> None:
    """Without rejections the replicas go round like clockwork, one round trip in 2 M rounds each."""
    model = GaussianExplorer(KA2D, 1e-9)
    pt = gnf.ParallelTempering(KA2D, np.linspace(1.0, 2.0, 5), model, 3, 1)
    ensemble = pt.start(cases.small(15))
    record = pt.run(ensemble, 10)
    record = pt.run(ensemble, 100, state=record.state)
    np.testing.assert_array_equal(record.round_trips, 50)  # 5 replicas, 10 rounds a trip
    assert record.total_round_trips == 150
    assert round_trip_rate(np.zeros(4)) == 0.5
    assert round_trip_rate([0.5, 1.0]) == 0.0


def test_mbar_of_the_gaussian_ladder() -> None:
    pytest.importorskip("pymbar")
    model = GaussianExplorer(KA2D, 3.0)
    beta = np.linspace(0.5, 2.0, 6)
    pt = gnf.ParallelTempering(KA2D, 1.0 / beta, model, 4, 1)
    record = pt.run(pt.start(cases.small(24)), 2_000, record_every=2)
    mbar = record.mbar(discard=10)
    assert (mbar.inefficiency < 3.0).all()
    between = 1.0 / np.array([[0.5, 0.6, 0.93], [1.4, 1.77, 2.0]])
    mean, heat, log_z = mbar.mean_energy(between), mbar.specific_heat(between), mbar.log_z(between)
    assert mean.value.shape == heat.error.shape == log_z.value.shape == (2, 3)
    exact_mean, exact_heat = -9.0 / between, 9.0 / (43 * between**2)
    exact_log_z = model.log_z(1.0 / between) - model.log_z(0.5)
    for found, exact in ((mean, exact_mean), (heat, exact_heat)):
        assert (np.abs(found.value - exact) < STATISTICAL * found.error).all()
        assert (found.error < 0.03 * np.abs(exact)).all()
    assert log_z.value[0, 0] == pytest.approx(0.0, abs=1e-12)
    assert (np.abs(log_z.value - exact_log_z).ravel()[1:] < STATISTICAL * log_z.error.ravel()[1:]).all()
    assert (log_z.error < 0.05).all()
    total = mbar.specific_heat(1.0, kind="total")
    assert total.value == pytest.approx(float(mbar.specific_heat(1.0).value) + 1.0, rel=FP64_REDUCTION)


# ------------------------------------------------------------------------------------------ MBAR of an enumerated system


@pytest.fixture(scope="module")
def enumerated() -> tuple[Frozen, gnf.PTRecord]:
    frozen = Frozen((4, 3, 1), temperature=0.35)
    mc = gnf.MonteCarlo(frozen.system, swap_probability=0.3)
    pt = gnf.ParallelTempering(frozen.system, [1.0, 0.6, 0.4, 0.3], mc, 24, 1)
    ensemble = frozen.ensemble(np.tile(frozen.states[0], (pt.replicas, 1)), seed=206, move_size=1e-9)
    ensemble = pt.start(ensemble)
    pt.run(ensemble, 200)
    return frozen, pt.run(ensemble, 1_500, record_every=1)


def exact_averages(frozen: Frozen, temperature: float) -> tuple[float, float, float]:
    """Return <U>, C_v and log Z."""
    p = probabilities(frozen, temperature)
    mean = float(p @ frozen.energy)
    heat = float(p @ (frozen.energy - mean) ** 2) / (frozen.system.n * temperature**2)
    low = frozen.energy.min()
    return mean, heat, math.log(np.exp(-(frozen.energy - low) / temperature).sum()) - low / temperature


def test_mbar_of_an_enumerated_system(enumerated: tuple[Frozen, gnf.PTRecord]) -> None:
    """<U>, C_v and log Z at temperatures of the ladder and between; within five standard deviations of the exact values."""
    pytest.importorskip("pymbar")
    frozen, record = enumerated
    mbar = record.mbar()
    assert (mbar.inefficiency > 1.3).all()  # one sweep does not decorrelate
    for temperature in (1.0, 0.8, 0.6, 0.47, 0.4, 0.33, 0.3):
        mean, heat, log_z = exact_averages(frozen, temperature)
        for found, exact in (
            (mbar.mean_energy(temperature), mean),
            (mbar.specific_heat(temperature), heat),
            (mbar.log_z(temperature), log_z - exact_averages(frozen, 1.0)[2]),
        ):
            assert abs(float(found.value) - exact) <= STATISTICAL * float(found.error) + 1e-12
            assert float(found.error) < 0.1 * max(abs(exact), 0.1)


def test_errors_of_mbar_are_right(enumerated: tuple[Frozen, gnf.PTRecord]) -> None:
    """Of 24 ladders analysed one by one the deviations scatter as their errors say; records are correlated.

    The sum of 24 squared standard normal variables is between 6.4 and 60 but for 1e-4 of all cases.
    """
    pytest.importorskip("pymbar")
    frozen, record = enumerated
    hot = exact_averages(frozen, 1.0)[2]
    exact = {t: exact_averages(frozen, t) for t in (0.47, 0.3)}
    deviations = []
    for ladder in range(24):
        one = dataclasses.replace(
            record,
            energy=record.energy[:, :, ladder : ladder + 1],
            replica=record.replica[:, :, ladder : ladder + 1] - 4 * ladder,
        )
        mbar = one.mbar()
        row = []
        for temperature, (mean, heat, log_z) in exact.items():
            for found, value in (
                (mbar.mean_energy(temperature), mean),
                (mbar.specific_heat(temperature), heat),
                (mbar.log_z(temperature), log_z - hot),
            ):
                row.append((float(found.value) - value) / float(found.error))
        deviations.append(row)
    chi2 = (np.array(deviations) ** 2).sum(axis=0)
    assert (chi2 > 6.4).all(), chi2
    assert (chi2 < 60.0).all(), chi2


# ---------------------------------------------------------------------------------------------------------- a real glass former


def spread_of_ladders(values: Array, statistic: Any) -> tuple[float, float]:
    """Return a statistic of (records, ladders) and its jackknife error, by leaving out one ladder at a time.

    Ladders are independent: their spread sees every slow mode.
    """
    ladders = values.shape[1]
    deleted = np.array([statistic(np.delete(values, k, axis=1)) for k in range(ladders)])
    return float(statistic(values)), math.sqrt((ladders - 1) * float(deleted.var()))


@pytest.mark.slow
def test_local_moves_reach_low_temperatures_as_swaps_do() -> None:
    """ka2d, N = 43: <U>/N and C_v at T = 0.25 by parallel tempering with local moves only and by swap Monte Carlo.

    Within three standard deviations of both together, from the spread of 8 ladders and of 32 replicas. From random starts a
    ladder forgets its start in some 10^5 sweeps; 5 * 10^5 are left out. About five minutes on two cores.
    """
    cold, n = 0.25, KA2D.n
    swap = gnf.MonteCarlo(KA2D, swap_probability=0.2)
    reference = gnf.Ensemble.random(KA2D, 32, 0.6, seed=207)
    swap.equilibrate(reference, 4_000)
    for temperature in (0.45, 0.35, 0.3, cold):
        reference.beta[:] = 1.0 / temperature
        swap.equilibrate(reference, 10_000)
    energies = swap.run(reference, 150_000, record_every=20).energy

    local = gnf.MonteCarlo(KA2D, swap_probability=0.0)
    pt = gnf.ParallelTempering(KA2D, gnf.geometric_ladder(1.2, cold, 13), local, ladders=8, sweeps_per_exchange=2)
    ensemble = pt.random(seed=208)
    pt.equilibrate(ensemble, 20_000)
    pt.run(ensemble, 500_000)
    record = pt.run(ensemble, 500_000, record_every=50)
    assert record.round_trips.min() > 50
    assert record.acceptance.min() > 0.4
    for statistic in (lambda u: u.mean() / n, lambda u: u.var() / (n * cold**2)):
        found, found_error = spread_of_ladders(record.energy_at(cold), statistic)
        wanted, wanted_error = spread_of_ladders(energies, statistic)
        message = f"local {found} +- {found_error}, swap {wanted} +- {wanted_error}"
        print(message)
        assert abs(found - wanted) < 3.0 * math.hypot(found_error, wanted_error), message
        assert found_error < 0.04 * abs(found), message
