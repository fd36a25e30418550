"""Bad input of parallel tempering: refused before any work, in one style of message."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
import glassnf as gnf
from cases import assert_identical
from glassnf.samplers.ladder import check_temperatures, equal_ladder, recommended_temperatures, rejection_rates
from tolerances import FP64_REDUCTION

KA2D = gnf.systems.ka2d(43)
FIXED = settings(deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize(
    ("temperatures", "error", "message"),
    [
        ([], ValueError, r"^temperatures: expected at least two temperatures, got an empty ladder$"),
        ([0.5], ValueError, r"^temperatures: expected at least two temperatures, got a single one, 0\.5$"),
        (0.5, ValueError, r"^temperatures: expected shape \(any,\), got shape \(\)"),
        ([[1.0, 0.5]], ValueError, r"^temperatures: expected shape \(any,\), got shape \(1, 2\)"),
        (
            [1.0, 0.5, 0.7],
            ValueError,
            r"^temperatures: expected an increasing or a decreasing ladder, got 0\.5 before 0\.7 at index 1$",
        ),
        (
            [0.5, 0.7, 0.6],
            ValueError,
            r"^temperatures: expected an increasing or a decreasing ladder, got 0\.7 before 0\.6 at index 1$",
        ),
        ([1.0, 0.7, 0.7, 0.5], ValueError, r"^temperatures: expected distinct temperatures, got 0\.7 more than once$"),
        ([0.5, np.nextafter(0.5, 1.0)], ValueError, r"^temperatures: expected distinct temperatures, got 0\.5"),
        ([1.0, 0.0], ValueError, r"^temperatures: expected positive numbers, got 0\.0 at index 1$"),
        ([1.0, -0.5], ValueError, r"^temperatures: expected positive numbers, got -0\.5 at index 1$"),
        ([math.inf, 1.0], ValueError, r"^temperatures: expected finite numbers, got inf"),
        ([1.0, math.nan], ValueError, r"^temperatures: expected finite numbers, got nan"),
        ([1.0, 5e-324], ValueError, r"^temperatures: expected numbers with a finite inverse"),
        (["1", "2"], TypeError, r"^temperatures: expected an array of real numbers"),
        ([True, False], TypeError, r"^temperatures: expected an array of real numbers"),
        (None, TypeError, r"^temperatures: expected an array of real numbers"),
    ],
)
def test_ladders(temperatures: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gnf.ParallelTempering(KA2D, temperatures)


@FIXED
@given(st.lists(st.floats() | st.integers(-3, 3), max_size=6))
def test_any_list_is_a_ladder_or_an_error(values: list[float]) -> None:
    try:
        ladder = check_temperatures(values)
    except ValueError as error:
        assert str(error).startswith("temperatures: expected")
        return
    assert ladder.size == len(values) >= 2
    assert (ladder > 0.0).all()
    steps = np.diff(1.0 / ladder)
    assert (steps > 0.0).all() or (steps < 0.0).all()


@FIXED
@given(
    st.lists(st.floats(0.01, 10.0), min_size=2, max_size=12, unique=True),
    st.data(),
    st.integers(2, 30),
)
def test_any_barrier_gives_a_ladder(values: list[float], data: st.DataObject, count: int) -> None:
    try:
        ladder = check_temperatures(sorted(values))
    except ValueError:
        return  # two that differ in the last bits
    increments = data.draw(st.lists(st.floats(0.0, 20.0), min_size=ladder.size - 1, max_size=ladder.size - 1))
    try:
        new = equal_ladder(ladder, increments, count)
    except ValueError as error:  # so steep that neighbours coincide
        assert "distinct" in str(error) or "increasing" in str(error)
        return
    assert new.shape == (count,)
    np.testing.assert_array_equal(new[[0, -1]], ladder[[0, -1]])
    assert (np.diff(new) > 0.0).all()


def test_other_arguments() -> None:
    ladder = [1.0, 0.8]
    other = gnf.MonteCarlo(gnf.systems.ka2d(44))
    for arguments, error, message in (
        ({"system": 3}, TypeError, r"^system: expected a System, got int"),
        ({"explorer": "swap"}, TypeError, r"^explorer: expected a sampler such as MonteCarlo, got str"),
        ({"explorer": other}, ValueError, r"^explorer: expected a sampler of the system"),
        ({"ladders": 0}, ValueError, r"^ladders: expected a positive integer, got 0"),
        ({"ladders": 1.5}, TypeError, r"^ladders: expected a positive integer"),
        ({"sweeps_per_exchange": 0}, ValueError, r"^sweeps_per_exchange: expected an integer from 1"),
        ({"sweeps_per_exchange": 2.0}, TypeError, r"^sweeps_per_exchange: expected an integer from 1"),
    ):
        with pytest.raises(error, match=message):
            gnf.ParallelTempering(**{"system": KA2D, "temperatures": ladder, **arguments})


def test_ensembles_that_do_not_fit_stay_as_they_are() -> None:
    pt = gnf.ParallelTempering(KA2D, [1.0, 0.8, 0.7], ladders=2)
    good = pt.start(cases.small(6))
    for ensemble, error, message in (
        ("ensemble", TypeError, r"^ensemble: expected an Ensemble, got str"),
        (cases.small(5), ValueError, r"^ensemble: expected 6 replicas \(3 temperatures, 2 ladders\), got 5"),
        (cases.small(6, n=44), ValueError, r"^ensemble: expected one of the sampler's system"),
        (
            cases.small(6),
            ValueError,
            r"^beta: expected every temperature of the ladder once in each ladder \(start\(\) sets them\)",
        ),
    ):
        before = ensemble.copy() if isinstance(ensemble, gnf.Ensemble) else None
        for work in (pt.run, pt.equilibrate):
            with pytest.raises(error, match=message):
                work(ensemble, 10)
        if before is not None:
            assert_identical(ensemble, before)
    good.beta[:] = good.beta[[0, 1, 3, 2, 4, 5]]  # both ladders have three temperatures, but one of them twice
    with pytest.raises(ValueError, match=r"in ladder 0$"):
        pt.run(good, 10)
    with pytest.raises(ValueError, match=r"^ensemble: expected 6 replicas"):
        pt.start(cases.small(3))


def test_arguments_of_runs() -> None:
    pt = gnf.ParallelTempering(KA2D, [1.0, 0.8])
    ensemble = pt.start(cases.small(2))
    before = ensemble.copy()
    for arguments, error, message in (
        ({"sweeps": -1}, ValueError, r"^sweeps: expected a non-negative integer"),
        ({"record_every": 0}, ValueError, r"^record_every: expected a positive integer"),
        ({"record_at": [11]}, ValueError, r"^record_at: expected integers from 1 to 10"),
        ({"record_positions": 1}, TypeError, r"^record_positions: expected True or False"),
        ({"state": {"trips": 1}}, ValueError, r"^state: expected keys among visits"),
        ({"state": {"visits": [0]}}, ValueError, r"^state\['visits'\]: expected shape \(2,\)"),
        ({"state": {"visits": [0, 4]}}, ValueError, r"^state\['visits'\]: expected integers from 0 to 3"),
    ):
        with pytest.raises(error, match=message):
            pt.run(ensemble, **{"sweeps": 10, **arguments})
    with pytest.raises(TypeError, match=r"^adapt_ladder: expected True or False"):
        pt.equilibrate(ensemble, 10, adapt_ladder=1)  # type: ignore[arg-type]
    assert_identical(ensemble, before)


def test_temperatures_that_the_record_does_not_have() -> None:
    pt = gnf.ParallelTempering(KA2D, [1.0, 0.8])
    record = pt.run(pt.start(cases.small(2)), 20, record_every=2)
    with pytest.raises(
        ValueError, match=r"^temperature: expected one of the ladder, 1, 0\.8 \(between them: mbar\(\)\), got 0\.9"
    ):
        record.energy_at(0.9)
    with pytest.raises(ValueError, match=r"^positions: expected a run with record_positions=True"):
        record.positions_at(0.8)
    assert record.energy_at(0.8 * (1.0 + 1e-12)).shape == (10, 1)
    pytest.importorskip("pymbar")
    mbar = record.mbar()
    with pytest.raises(ValueError, match=r"^temperature: expected numbers from 0\.8 to 1\.0, the ends of the ladder, got 0\.7"):
        mbar.log_z([0.9, 0.7])
    with pytest.raises(ValueError, match=r"^kind: expected one of"):
        mbar.specific_heat(0.9, kind="all")
    with pytest.raises(ValueError, match=r"^discard: expected an integer from 0 to 9"):
        record.mbar(discard=10)
    with pytest.raises(ValueError, match=r"^record: expected at least 2 records"):
        record.mbar(discard=9)


def test_geometric_ladders() -> None:
    ladder = gnf.geometric_ladder(1.0, 0.25, 5)
    np.testing.assert_allclose(ladder[1:] / ladder[:-1], 0.25**0.25)
    assert ladder[0] == 1.0
    assert ladder[-1] == 0.25
    assert (np.diff(gnf.geometric_ladder(0.3, 0.9, 2)) > 0.0).all()
    for arguments, message in (
        ((1.0, 1.0, 3), r"^temperatures: expected distinct"),
        ((1.0, 0.5, 1), r"^count: expected an integer of at least 2"),
        ((0.0, 0.5, 3), r"^first: expected a positive finite number"),
        ((1.0, math.inf, 3), r"^last: expected a positive finite number"),
    ):
        with pytest.raises(ValueError, match=message):
            gnf.geometric_ladder(*arguments)
    assert recommended_temperatures(0.0) == 2
    assert recommended_temperatures(3.1) == 7


def test_what_a_ladder_says_of_itself() -> None:
    pt = gnf.ParallelTempering(KA2D, [1.0, 0.8], ladders=3, sweeps_per_exchange=7)
    assert pt.replicas == 6
    assert pt.describe()["explorer"] == "monte_carlo"
    assert pt.describe()["temperatures"] == [1.0, 0.8]
    assert "2 temperatures from 1 to 0.8" in repr(pt)
    assert "ladders=3" in repr(pt)
    np.testing.assert_array_equal(pt.random(seed=1).temperature, 1.0 / (1.0 / np.array([1.0, 0.8] * 3)))
    one_species = gnf.systems.custom(
        "pure", potential=gnf.systems.PairPotential("lj_smooth", 1.0, 1.0), composition=(30,), density=0.6, dimension=2
    )
    assert gnf.ParallelTempering(one_species, [1.0, 0.8]).explorer.describe()["swap_probability"] == 0.0


@FIXED
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20), st.floats(0.01, 50.0))
def test_rejection_rates_are_means_over_all_pairs(seed: int, records: int, ladders: int, width: float) -> None:
    energy = np.random.default_rng(seed).normal(-100.0, width, (records, 3, ladders))
    temperatures = np.array([0.4, 0.5, 1.3])
    expected = []
    for k in range(2):
        a, b = energy[:, k].ravel(), energy[:, k + 1].ravel()
        exponent = (1.0 / temperatures[k] - 1.0 / temperatures[k + 1]) * (a[:, None] - b)
        expected.append(1.0 - np.exp(np.minimum(exponent, 0.0)).mean())
    np.testing.assert_allclose(rejection_rates(temperatures, energy), expected, atol=FP64_REDUCTION)
    np.testing.assert_allclose(rejection_rates(temperatures[::-1], energy[:, ::-1]), expected[::-1], atol=FP64_REDUCTION)
