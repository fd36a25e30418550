"""The ranking at equal cost, amortised training and break-even runs, on curves whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassnf.compare.analysis import ErrorCurve, amortised_speed_up, break_even_runs, error_curve, speed_up
from glassnf.compare.ranking import error_at, rank

COST = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
FALLING = [1.0, 0.5, 0.25, 0.125, 0.0625]


def _curve(error: list[float], cost: np.ndarray = COST, spread: float = 0.0, seed: int = 1) -> ErrorCurve:
    values = np.array(error)
    factors = np.exp(spread * np.random.default_rng(seed).standard_normal((2000, 1)))
    return ErrorCurve(cost, values, values, values, values * factors, np.array([values] * 3))


def test_errors_are_interpolated_in_logarithms() -> None:
    error = 1.0 / np.sqrt(COST)
    assert float(error_at(COST, error, 10.0)) == pytest.approx(10.0**-0.5, rel=1e-12)
    for cost, value in zip(COST, error, strict=True):
        assert float(error_at(COST, error, float(cost))) == value
    both = error_at(COST, np.array([error, 3.0 * error]), 10.0)
    assert both == pytest.approx([10.0**-0.5, 3.0 * 10.0**-0.5], rel=1e-12)


def test_there_is_no_error_outside_a_curve() -> None:
    for cost in (0.99, 16.01):
        assert np.isnan(error_at(COST, np.ones((3, 5)), cost)).tolist() == [True] * 3


def test_errors_of_zero_do_not_warn() -> None:
    assert float(error_at(COST, np.array([1.0, 0.0, 0.0, 0.0, 0.0]), 3.0)) == 0.0


def test_the_order_at_the_least_of_the_final_costs() -> None:
    curves = {"slow": _curve(FALLING), "fast": _curve(FALLING, COST / 8.0), "middle": _curve(FALLING, COST / 2.0)}
    found = rank(curves)
    assert [(entry.name, entry.rank, entry.ties) for entry in found] == [("fast", 1, ()), ("middle", 2, ()), ("slow", 3, ())]
    assert {entry.cost for entry in found} == {2.0}
    assert [entry.error for entry in found] == pytest.approx([0.0625, 0.25, 0.5])


def test_the_order_is_that_at_this_cost_and_not_at_the_end() -> None:
    # "late" ends with the smaller error, but has spent eight times as much by then.
    early, late = _curve([0.1] * 5), _curve([1.0, 0.5, 0.25, 0.125, 0.01], 8.0 * COST)
    assert [entry.name for entry in rank({"late": late, "early": early})] == ["early", "late"]


def test_ties_are_those_that_the_runs_do_not_settle() -> None:
    # The logarithms of two errors differ by 0.1, 3, and 3.1, their resamples by 0.28 (one standard deviation).
    curves = {
        "a": _curve([1.0] * 5, spread=0.2, seed=1),
        "b": _curve([math.exp(0.1)] * 5, spread=0.2, seed=2),
        "c": _curve([math.exp(3.0)] * 5, spread=0.2, seed=3),
    }
    found = {entry.name: entry for entry in rank(curves)}
    assert (found["a"].rank, found["b"].rank, found["c"].rank) == (1, 2, 3)
    assert (found["a"].ties, found["b"].ties, found["c"].ties) == (("b",), ("a",), ())
    assert found["a"].low == pytest.approx(math.exp(-1.96 * 0.2), rel=0.05)
    assert found["a"].high == pytest.approx(math.exp(1.96 * 0.2), rel=0.05)


def test_equal_errors_share_a_rank_and_are_tied() -> None:
    found = rank({"a": _curve([1.0] * 5), "b": _curve([1.0] * 5), "c": _curve([2.0] * 5)})
    assert [(entry.rank, entry.ties) for entry in found] == [(1, ("b",)), (1, ("a",)), (3, ())]


def test_an_algorithm_whose_smallest_budget_costs_more_comes_last_and_nothing_is_settled() -> None:
    found = rank({"dear": _curve([0.01] * 5, 100.0 * COST), "cheap": _curve([1.0] * 5), "worse": _curve([2.0] * 5)})
    assert [(entry.name, entry.rank, entry.ties) for entry in found] == [
        ("cheap", 1, ("dear",)),
        ("worse", 2, ("dear",)),
        ("dear", 3, ("cheap", "worse")),
    ]
    assert math.isnan(found[-1].error)
    assert math.isnan(found[-1].high)


def test_algorithms_without_an_error_are_tied_with_each_other() -> None:
    found = rank({"a": _curve([0.1] * 5, 100.0 * COST), "b": _curve([0.2] * 5, 200.0 * COST), "c": _curve([1.0] * 5)})
    assert [(entry.rank, entry.ties) for entry in found] == [(1, ("a", "b")), (2, ("c", "b")), (2, ("c", "a"))]


def test_a_good_algorithm_is_not_last_because_it_stopped_earlier() -> None:
    # At a cost of 1, where "good" stops, it is ten times as accurate as "poor", and "dear" has not begun.
    good = _curve([0.3, 0.1, 0.03], np.array([0.01, 0.1, 1.0]))
    poor = _curve([1.0, 0.3, 0.1], np.array([0.1, 1.0, 10.0]))
    dear = _curve([0.3, 0.2, 0.1], np.array([5.0, 10.0, 20.0]))
    found = rank({"poor": poor, "dear": dear, "good": good})
    assert [(entry.name, entry.rank, entry.ties) for entry in found] == [
        ("good", 1, ("dear",)),
        ("poor", 2, ("dear",)),
        ("dear", 3, ("good", "poor")),
    ]
    assert [entry.error for entry in found[:2]] == [0.03, 0.3]
    assert {entry.cost for entry in found} == {1.0}


def test_an_algorithm_whose_costs_do_not_rise_is_not_last() -> None:
    # Wall times of anneals of 160, 320 and 640 sweeps, as they were measured.
    runs = np.array([[0.3], [0.2], [0.1]]) * np.ones(4)
    restarting = error_curve(np.array([0.030, 0.0091, 0.0078]), runs, 0.0, 0.0, seed=1, reference_seed=3)
    other = error_curve(np.array([0.005, 0.01, 0.02]), 5.0 * runs, 0.0, 0.0, seed=2, reference_seed=3)
    found = rank({"other": other, "restarting": restarting})
    assert [(entry.name, entry.rank, entry.ties) for entry in found] == [("restarting", 1, ()), ("other", 2, ())]
    assert (found[0].error, found[0].cost) == (pytest.approx(0.1), 0.0078)


def test_rankings_of_none_and_of_one() -> None:
    assert rank({}) == ()
    (only,) = rank({"a": _curve(FALLING)})
    assert (only.rank, only.ties, only.error, only.cost) == (1, (), 0.0625, 16.0)


def test_ties_of_equal_algorithms_are_found_at_the_stated_rate() -> None:
    # 300 pairs of algorithms with the same true error, 32 runs each: the bootstrap calls their order settled in about 5% of
    # them (somewhat more, because its intervals are somewhat short). More than 12% have a probability below 1e-3 at 7%.
    generator = np.random.default_rng(9)
    settled = 0
    for seed in range(300):
        curves = {
            name: error_curve(
                np.ones(1),
                generator.standard_normal((1, 32)),
                0.0,
                0.0,
                seed=2 * seed + place,
                reference_seed=0,
                resamples=800,
            )
            for place, name in enumerate("ab")
        }
        settled += rank(curves)[0].ties == ()
    assert 0 < settled <= 36


def test_the_error_of_the_reference_settles_no_order_and_unsettles_none() -> None:
    # Errors of 0.1 and 0.12 without spread, the reference known to 0.05: the first is smaller in 98.6% of the places where the
    # true value may be. Drawn for each algorithm anew, the reference would leave the order open.
    def order(seeds: tuple[int, int]) -> tuple[str, ...]:
        curves = {
            name: error_curve(np.ones(1), np.full((1, 8), value), 0.0, 0.05, seed=place, reference_seed=seeds[place])
            for place, (name, value) in enumerate({"a": 0.1, "b": 0.12}.items())
        }
        return rank(curves)[0].ties

    assert order((7, 7)) == ()
    assert order((7, 8)) == ("b",)


@given(st.lists(st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=5), min_size=1, max_size=5), st.floats(0.3, 3.0))
@settings(deadline=None, max_examples=100)
def test_ranks_are_consistent(errors: list[list[float]], stretch: float) -> None:
    curves = {str(place): _curve(error, COST * stretch**place) for place, error in enumerate(errors)}
    found = rank(curves)
    assert sorted(entry.name for entry in found) == sorted(curves)
    assert found[0].rank == 1
    assert found[0].cost == min(curve.cost[-1] for curve in curves.values())
    for entry in found:
        lost = math.isnan(entry.error)
        assert lost == (curves[entry.name].cost[0] > entry.cost)
        better = sum(not math.isnan(other.error) if lost else other.error < entry.error for other in found)
        assert entry.rank == 1 + better
        assert not lost or len(entry.ties) == len(found) - 1
        for other in found:
            assert (other.name in entry.ties) == (entry.name in other.ties)


def test_training_is_shared_by_the_runs() -> None:
    slow, fast = _curve(FALLING), _curve(FALLING, COST / 8.0)
    assert speed_up(slow, fast, 0.25).value == pytest.approx(8.0)
    ratio = amortised_speed_up(slow, fast, 0.25, training=48.0, runs=32)  # 4 against 0.5 + 1.5
    assert (ratio.bound, ratio.value, ratio.low, ratio.high) == (
        "=",
        pytest.approx(2.0),
        pytest.approx(2.0),
        pytest.approx(2.0),
    )
    assert amortised_speed_up(slow, fast, 0.25, training=0.0, runs=32) == speed_up(slow, fast, 0.25)
    at_end = amortised_speed_up(slow, fast, None, training=64.0, runs=32)  # 16 against 2 + 2
    assert at_end.value == pytest.approx(4.0)


def test_bounds_stay_bounds_when_training_is_added() -> None:
    flat, fast = _curve([1.0] * 5), _curve(FALLING, COST / 8.0)
    ratio = amortised_speed_up(flat, fast, 0.25, training=48.0, runs=32)
    assert (ratio.bound, ratio.value, ratio.high) == (">", 8.0, math.inf)
    assert amortised_speed_up(fast, flat, 0.25, training=48.0, runs=32).bound == "<"
    assert amortised_speed_up(flat, flat, 0.25, training=48.0, runs=32).bound == "?"


def test_break_even() -> None:
    slow, fast = _curve(FALLING), _curve(FALLING, COST / 8.0)
    runs = break_even_runs(slow, fast, 0.25, training=35.0)
    assert runs == pytest.approx(10.0)  # 35 + 10 * 0.5 = 10 * 4
    assert amortised_speed_up(slow, fast, 0.25, training=35.0, runs=10).value == pytest.approx(1.0)
    assert break_even_runs(slow, fast, None, training=35.0) == pytest.approx(2.5)
    stuck = _curve([1.0, 0.5, 0.25, 0.25, 0.25])  # at its last error from 4 on, where the other has spent 0.5
    assert break_even_runs(stuck, fast, None, training=35.0) == pytest.approx(10.0)
    assert math.isnan(break_even_runs(_curve([0.25] * 5), fast, None, training=35.0))  # the baseline's cost is at most 1


def test_break_even_where_it_never_comes_or_cannot_be_told() -> None:
    slow, fast, flat = _curve(FALLING), _curve(FALLING, COST / 8.0), _curve([1.0] * 5)
    assert break_even_runs(fast, slow, 0.25, training=35.0) == math.inf
    assert math.isnan(break_even_runs(slow, flat, 0.25, training=35.0))  # never gets there
    assert math.isnan(break_even_runs(_curve([0.1] * 5), fast, 0.25, training=35.0))  # the baseline's cost is at most this
    assert break_even_runs(flat, fast, 0.25, training=35.0) == pytest.approx(35.0 / 15.5)  # at most: the baseline costs more
    assert math.isnan(break_even_runs(flat, _curve(FALLING, 8.0 * COST), 0.25, training=35.0))  # 32 against at least 16
