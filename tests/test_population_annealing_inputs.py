"""Population annealing with bad input: every argument is checked before any work, and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
import glassnf as gnf
from glassnf.samplers import PAResult, PopulationCollapseWarning
from test_monte_carlo_inputs import NOT_INTEGERS, NOT_NUMBERS, refused

KA2D = gnf.systems.ka2d(43)
PA = gnf.PopulationAnnealing
OUTSIDE = st.one_of(st.floats(max_value=0.0), st.floats(min_value=1.0), st.just(float("nan")))


def make(**options: Any) -> gnf.PopulationAnnealing:
    return PA(KA2D, **({"start": 1.0, "target": 0.9, "sweeps_per_step": 2, "equilibration_sweeps": 20} | options))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(value=st.one_of(NOT_NUMBERS, OUTSIDE))
def test_bad_culling_fractions(value: Any) -> None:
    refused(lambda: make(culling_fraction=value), "culling_fraction")


@settings(deadline=None, max_examples=60, derandomize=True)
@given(value=st.one_of(NOT_NUMBERS, st.floats(max_value=0.0), st.sampled_from([float("nan"), float("inf")])))
def test_bad_temperatures(value: Any) -> None:
    refused(lambda: make(start=value), "start")
    refused(lambda: make(target=value), "target")


@settings(deadline=None, max_examples=60, derandomize=True)
@given(start=st.floats(0.01, 10.0), factor=st.floats(1.0, 100.0))
def test_a_target_above_the_start(start: float, factor: float) -> None:
    refused(lambda: make(start=start, target=start * factor), "target")


@settings(deadline=None, max_examples=60, derandomize=True)
@given(value=st.one_of(NOT_INTEGERS, st.none(), st.integers(max_value=0)))
def test_bad_counts(value: Any) -> None:
    refused(lambda: make(sweeps_per_step=value), "sweeps_per_step")
    if value is not None:
        refused(lambda: make(block=value), "block")
    if value != 0 or isinstance(value, bool):
        refused(lambda: make(equilibration_sweeps=value), "equilibration_sweeps")


@settings(deadline=None, max_examples=60, derandomize=True)
@given(value=st.one_of(NOT_INTEGERS, st.none(), st.integers(max_value=1), st.integers(min_value=2**24 + 1)))
def test_bad_populations(value: Any) -> None:
    refused(lambda: make().run(value, seed=1), "population")


@settings(deadline=None, max_examples=60, derandomize=True)
@given(value=st.one_of(NOT_INTEGERS, st.none(), st.integers(max_value=-1), st.integers(min_value=2**64)))
def test_bad_seeds(value: Any) -> None:
    refused(lambda: make().run(5, seed=value), "seed")


ASCENDING = ([0.5, 1.0], [1.0, 0.5, 0.7])
NOT_POSITIVE = ([1.0, 0.0], [1.0, -0.5], [1.0, np.nan], [np.inf, 1.0])


@pytest.mark.parametrize(
    "schedule",
    [[], [1.0], [1.0, 1.0], 1.0, [[1.0, 0.5]], "hot", [True, False], None, *ASCENDING, *NOT_POSITIVE],
    ids=str,
)
def test_bad_schedules(schedule: Any) -> None:
    name = "start" if schedule is None else "temperatures"
    refused(lambda: PA(KA2D, temperatures=schedule), name)


def test_a_schedule_beside_its_ends() -> None:
    refused(lambda: PA(KA2D, start=1.0, temperatures=[1.0, 0.5]), "start")
    refused(lambda: PA(KA2D, target=0.5, temperatures=[1.0, 0.5]), "target")
    refused(lambda: PA(KA2D, start=1.0), "target")
    pa = PA(KA2D, temperatures=[1.0, 0.5])
    assert (pa.start, pa.target) == (1.0, 0.5)


def test_other_bad_arguments() -> None:
    refused(lambda: PA("ka2d", 1.0, 0.5), "system")  # type: ignore[arg-type]
    refused(lambda: make(explorer="mc"), "explorer")
    refused(lambda: make(explorer=gnf.MonteCarlo(gnf.systems.ka2d(44))), "explorer")
    for flag in (1, "yes", None):
        refused(lambda flag=flag: make(adapt_move_size=flag), "adapt_move_size")
        refused(lambda flag=flag: make(record_energy=flag), "record_energy")
    refused(lambda: make().run(cases.small(n=44)), "population")
    refused(lambda: make().run(cases.small(replicas=1)), "population")
    refused(lambda: make().run(cases.small(), seed=-1), "seed")
    broken = cases.small()
    broken.positions[0, 0, 0] = np.nan
    refused(lambda: make().run(broken), "positions")
    refused(lambda: make().run(3, seed=1, device="tpu"), "device")


def test_one_species_is_annealed_without_swaps() -> None:
    system = cases.mixture(cases.potential("lj_smooth", 1), 5, np.full(2, 6.0))
    pa = PA(system, 1.0, 0.9, sweeps_per_step=3, equilibration_sweeps=0)
    assert pa.describe()["explorer"]["swap_probability"] == 0.0
    result = pa.run(12, seed=1)
    assert result.temperatures[-1] == 0.9
    assert np.isfinite(result.log_z).all()


def test_the_ensemble_stays_valid_and_hot_or_cold() -> None:
    seen: list[float] = []
    pa = make(temperatures=[1.0, 0.95, 0.9], start=None, target=None)
    result = pa.run(40, seed=3, progress=lambda done, total, info: seen.append(info["temperature"]))
    result.ensemble.validate()
    np.testing.assert_array_equal(result.ensemble.ids, np.arange(40))
    np.testing.assert_array_equal(result.ensemble.beta, 1.0 / 0.9)
    assert result.ensemble.step == 20 + 3 * 2
    np.testing.assert_array_equal(result.temperatures, [1.0, 0.95, 0.9])
    assert [seen[0], seen[-1]] == pytest.approx([1.0, 0.9])
    recomputed = gnf.energy(KA2D, result.ensemble.positions, result.ensemble.species)
    np.testing.assert_allclose(result.energy[-1], recomputed, atol=1e-9)
    assert result.energy.shape == (3, 40)
    assert result.mean_energy[-1] == pytest.approx(recomputed.mean())
    text = str(result)
    assert "1 to 0.9 in 2 steps" in text
    assert "40 replicas of ka2d, N = 43" in text
    assert make(record_energy=False).run(80, seed=1).energy.shape == (0, 80)


# ---- collapse ----------------------------------------------------------------------------------------------------------------


def test_a_population_that_collapses_warns_once() -> None:
    """From T = 1 to 0.2 in a single step almost all of the weight is that of one replica."""
    pa = PA(KA2D, temperatures=[1.0, 0.2, 0.19], sweeps_per_step=5, equilibration_sweeps=100)
    with pytest.warns(
        PopulationCollapseWarning, match=r"at temperature 0.2 the 60 replicas descend from \d+ of the start"
    ) as seen:
        result = pa.run(60, seed=2)
    assert len(seen) == 1
    assert result.collapsed
    assert result.rho_t[1] > 6.0
    assert result.ess[1] < 0.1


def test_a_single_family() -> None:
    """Nothing breaks where one replica has all the weight; errors of averages are unknown then."""
    pa = PA(KA2D, temperatures=[1.0, 0.02], sweeps_per_step=1, equilibration_sweeps=20)
    with pytest.warns(PopulationCollapseWarning):
        result = pa.run(20, seed=2)
    assert result.families[-1] == 1
    assert result.rho_t[-1] == 20.0
    assert np.isnan(result.mean_energy_error[-1])
    assert np.isfinite(result.specific_heat[-1])


def test_small_enough_steps_do_not_warn() -> None:
    result = make(sweeps_per_step=5).run(200, seed=1)
    assert not result.collapsed


# ---- averages over runs ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two() -> list[PAResult]:
    return [make(temperatures=[1.0, 0.95], start=None, target=None).run(50, seed=seed) for seed in (1, 2)]


def test_bad_runs_to_average(two: list[PAResult]) -> None:
    refused(lambda: gnf.weighted_average(two[:1]), "results")
    refused(lambda: gnf.weighted_average([]), "results")
    refused(lambda: gnf.weighted_average([two[0], two[0]]), "results")
    refused(lambda: gnf.weighted_average([*two, 3]), "results[2]")  # type: ignore[list-item]
    other = make(temperatures=[1.0, 0.9], start=None, target=None).run(50, seed=3)
    refused(lambda: gnf.weighted_average([*two, other]), "results[2]")
    liquid = PA(gnf.systems.ka2d(44), temperatures=[1.0, 0.95], sweeps_per_step=2, equilibration_sweeps=20).run(50, seed=4)
    refused(lambda: gnf.weighted_average([*two, liquid]), "results[2]")


def test_the_average_of_two_runs(two: list[PAResult]) -> None:
    average = gnf.weighted_average(two)
    z = np.exp([run.log_z[-1] - two[0].log_z[-1] for run in two])
    np.testing.assert_allclose(average.weights, z / z.sum())
    energy = np.concatenate([run.energy[-1] for run in two])
    weights = np.repeat(average.weights / 50, 50)
    mean = float((weights * energy).sum())
    assert average.mean_energy == pytest.approx(mean)
    variance = float((weights * (energy - mean) ** 2).sum())
    assert average.specific_heat == pytest.approx(variance / (43 * 0.95**2))
    assert average.log_z == pytest.approx(two[0].log_z[-1] + np.log(z.mean()))
    assert average.rho_f == pytest.approx(50 * np.var([run.log_z[-1] for run in two], ddof=1))
    assert average.temperature == 0.95
