"""Error curves, costs at equal error, speed-ups and verdicts, on data whose answers are known."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glassnf as gnf
from glassnf.compare.algorithms import RunOptions, get_algorithm
from glassnf.compare.analysis import ErrorCurve, Ratio, _reach_of_resamples, cost_to_reach, error_curve, speed_up
from glassnf.compare.jsonable import dumps, jsonable
from glassnf.compare.planning import geometric_budgets
from glassnf.compare.reference import pooled_specific_heat
from glassnf.compare.runner import relaxation
from glassnf.compare.starts import derived_seed
from glassnf.compare.verdict import judge, sigmas
from glassnf.compare.words import format_ratio

COST = np.array([1.0, 2.0, 4.0, 8.0, 16.0])


def _curve(error: list[float], cost: np.ndarray = COST, spread: float = 0.0) -> ErrorCurve:
    values = np.array(error)
    factors = np.exp(spread * np.random.default_rng(1).standard_normal((200, 1)))
    return ErrorCurve(cost, values, values, values, values * factors, np.array([values] * 3))


def test_cost_is_interpolated_in_logarithms() -> None:
    reach = cost_to_reach(COST, 1.0 / np.sqrt(COST), 10.0**-0.5)
    assert reach.bound == "="
    assert reach.cost == pytest.approx(10.0, rel=1e-12)


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 2.0]), min_size=5, max_size=5), min_size=1, max_size=20),
    st.sampled_from([0.1, 0.3, 0.5, 1.0]),
)
def test_resamples_are_reached_as_one_curve_is(errors: list[list[float]], target: float) -> None:
    costs, kinds = _reach_of_resamples(COST, np.array(errors), np.full(len(errors), target))
    for error, cost, kind in zip(errors, costs, kinds, strict=True):
        reach = cost_to_reach(COST, np.array(error), target)
        assert reach.bound == {0: "=", 1: ">", -1: "<"}[int(kind)]
        assert cost == pytest.approx(reach.cost, rel=1e-12)


def test_a_passing_dip_does_not_count() -> None:
    reach = cost_to_reach(COST, np.array([1.0, 0.01, 1.0, 0.5, 0.25]), 0.5)
    assert reach.bound == "="
    assert reach.cost == pytest.approx(8.0)


def test_costs_that_are_bounds() -> None:
    assert cost_to_reach(COST, np.ones(5), 0.5) == (cost_to_reach(COST, np.full(5, 2.0), 0.5))
    assert (cost_to_reach(COST, np.ones(5), 0.5).bound, cost_to_reach(COST, np.ones(5), 0.5).cost) == (">", 16.0)
    assert (cost_to_reach(COST, np.ones(5), 2.0).bound, cost_to_reach(COST, np.ones(5), 2.0).cost) == ("<", 1.0)
    assert cost_to_reach(COST, np.array([1.0, 1.0, 0.0, 0.0, 0.0]), 0.5).cost == 4.0


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=5),
    st.floats(1e-3, 1e3),
)
@settings(deadline=None, max_examples=200)
def test_the_cost_is_always_one_that_was_spent(errors: list[float], target: float) -> None:
    reach = cost_to_reach(COST, np.array(errors), target)
    assert COST[0] <= reach.cost <= COST[-1]
    assert (reach.bound == ">") == (errors[-1] > target)
    assert (reach.bound == "<") == (max(errors) <= target)


def test_speed_up_of_a_known_factor() -> None:
    slow, fast = _curve([1.0, 0.5, 0.25, 0.125, 0.0625]), _curve([1.0, 0.5, 0.25, 0.125, 0.0625], COST / 7.0)
    ratio = speed_up(slow, fast, 0.2)
    assert ratio.bound == "="
    assert ratio.value == pytest.approx(7.0)
    assert ratio.low == pytest.approx(7.0)
    assert ratio.high == pytest.approx(7.0)


def test_speed_up_over_a_baseline_that_never_gets_there_is_a_bound() -> None:
    ratio = speed_up(_curve([1.0] * 5), _curve([1.0, 0.5, 0.25, 0.125, 0.0625]), 0.25)
    assert (ratio.bound, ratio.value, ratio.low, ratio.high) == (">", 4.0, 4.0, math.inf)
    assert format_ratio(jsonable(ratio)) == "> 4 (> 4)"


def test_speed_up_bounds_of_the_other_kinds() -> None:
    falling, flat = _curve([1.0, 0.5, 0.25, 0.125, 0.0625]), _curve([1.0] * 5)
    assert (speed_up(falling, flat, 0.25).bound, speed_up(falling, flat, 0.25).value) == ("<", 0.25)
    both = speed_up(flat, flat, 0.25)
    assert both.bound == "?"
    assert math.isnan(both.value)
    assert (both.low, both.high) == (0.0, math.inf)
    assert format_ratio(jsonable(both)) == "undecided"
    low = _curve([0.1] * 5)
    assert (speed_up(flat, low, 0.25).bound, speed_up(flat, low, 0.25).value) == (">", 16.0)
    assert speed_up(low, low, 0.25).bound == "?"


def test_a_baseline_that_stands_still_has_its_last_error_early() -> None:
    fast = _curve([1.0, 0.5, 0.25, 0.125, 0.0625], COST / 8.0)
    stuck = _curve([1.0, 0.25, 0.25, 0.25, 0.25])
    ratio = speed_up(stuck, fast, None)  # 2 against 0.5, and not 16 against 0.5
    assert (ratio.bound, ratio.value, ratio.low, ratio.high) == ("=", 4.0, 4.0, 4.0)
    at_once = speed_up(_curve([0.2, 0.25, 0.25, 0.24, 0.25]), fast, None)  # at most 1 against 0.5
    assert (at_once.bound, at_once.value, at_once.low, at_once.high) == ("<", 2.0, 0.0, 2.0)
    assert speed_up(stuck, stuck, None).value == 1.0
    assert speed_up(_curve([0.2] * 5), _curve([0.1] * 5), None).bound == "?"


def test_a_baseline_that_still_improves_has_its_last_error_at_the_end() -> None:
    slow, fast = _curve([1.0, 0.5, 0.25, 0.125, 0.0625]), _curve([1.0, 0.5, 0.25, 0.125, 0.0625], COST / 7.0)
    assert speed_up(slow, fast, None).value == pytest.approx(7.0, rel=1e-15)
    dip = _curve([1.0, 0.01, 0.5, 0.3, 0.125])  # a passing dip is no end
    assert speed_up(dip, fast, None).value == pytest.approx(14.0, rel=1e-15)


def test_in_each_resample_the_baseline_has_an_end_of_its_own() -> None:
    # The errors of the baseline fall in the first resample, stand still from 4 on in the second; the other's are fixed.
    values = np.array([1.0, 0.5, 0.25, 0.125, 0.0625])
    resampled = np.array([values, [1.0, 0.5, 0.25, 0.25, 0.25]])
    slow = ErrorCurve(COST, values, values, values, resampled, np.array([values] * 3))
    fast = ErrorCurve(COST / 8.0, values, values, values, np.array([values] * 2), np.array([values] * 3))
    ratio = speed_up(slow, fast, None)
    assert (ratio.low, ratio.high) == (8.0, 8.0)
    faster = ErrorCurve(COST / 8.0, values, values, values, np.array([values, values**2]), np.array([values] * 3))
    assert speed_up(slow, faster, None).high == pytest.approx(16.0)  # 4 against 0.25 for the square of 0.5


@given(st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=5))
@settings(deadline=None, max_examples=200)
def test_the_last_error_is_always_reached(errors: list[float]) -> None:
    reach = cost_to_reach(COST, np.array(errors), errors[-1])
    assert reach.bound == ("<" if max(errors) == errors[-1] else "=")
    above = [place for place in range(5) if errors[place] > errors[-1]]
    if above == [0, 1, 2, 3]:
        assert reach.cost == COST[-1]
    if above:
        assert COST[above[-1]] <= reach.cost <= COST[above[-1] + 1]


def test_an_interval_is_open_where_resamples_do_not_get_there() -> None:
    slow = _curve([1.0, 0.6, 0.36, 0.22, 0.13], spread=0.3)  # some 40% of the resamples stay above the target
    ratio = speed_up(slow, _curve([1.0, 0.5, 0.25, 0.125, 0.0625], spread=0.1), 0.14)
    assert ratio.bound == "="
    assert 0.0 < ratio.low <= ratio.value
    assert ratio.high == math.inf


def test_error_curve_covers_the_true_error() -> None:
    # 400 data sets of 32 runs with true error 1: the 95% percentile interval of an r.m.s. covers somewhat less than 95%. A
    # coverage below 0.85 has a probability below 1e-6 if the true coverage is 0.92.
    generator = np.random.default_rng(5)
    covered = 0
    for seed in range(400):
        runs = generator.standard_normal((1, 32))
        curve = error_curve(np.ones(1), runs, 0.0, 0.0, seed=seed, reference_seed=0, resamples=400)
        covered += bool(curve.low[0] <= 1.0 <= curve.high[0])
        assert curve.error[0] == pytest.approx(math.sqrt(float((runs**2).mean())))
    assert covered / 400 > 0.85


def test_error_curve_includes_the_error_of_the_reference() -> None:
    sharp = error_curve(np.ones(1), np.full((1, 8), 0.1), 0.0, 0.0, seed=1, reference_seed=2)
    blurred = error_curve(np.ones(1), np.full((1, 8), 0.1), 0.0, 0.05, seed=1, reference_seed=2)
    assert sharp.high[0] - sharp.low[0] == pytest.approx(0.0, abs=1e-12)
    assert blurred.high[0] == pytest.approx(0.1 + 1.96 * 0.05, abs=0.01)


def test_error_curve_refuses_shapes_that_do_not_agree() -> None:
    with pytest.raises(ValueError, match=r"^estimates: expected shape \(budgets, runs\)"):
        error_curve(np.ones(3), np.ones((2, 8)), 0.0, 0.0, seed=1, reference_seed=2)


@pytest.mark.parametrize(
    ("cost", "kept"),
    [
        ([1.0, 2.0, 3.0], [0, 1, 2]),
        ([0.030, 0.0091, 0.0078], [2]),
        ([3.0, 1.0, 2.0], [1, 2]),
        ([1.0, 3.0, 2.0], [0, 2]),
        ([1.0, 1.0, 2.0], [1, 2]),
        ([2.0, 2.0, 2.0], [2]),
        ([5.0], [0]),
    ],
)
def test_a_budget_that_costs_no_less_than_a_larger_one_is_no_point(cost: list[float], kept: list[int]) -> None:
    runs = np.random.default_rng(1).standard_normal((len(cost), 8))
    curve = error_curve(np.array(cost), runs, 0.0, 0.1, seed=1, reference_seed=2)
    even = error_curve(np.arange(1.0, len(cost) + 1.0), runs, 0.0, 0.1, seed=1, reference_seed=2)
    assert curve.cost.tolist() == [cost[place] for place in kept]
    assert (np.diff(curve.cost) > 0.0).all()
    np.testing.assert_array_equal(curve.resampled, even.resampled[:, kept])
    for name in ("error", "low", "high"):
        np.testing.assert_array_equal(getattr(curve, name), getattr(even, name)[kept])
    np.testing.assert_array_equal(curve.of_budgets, even.of_budgets)
    np.testing.assert_array_equal(even.of_budgets, [even.error, even.low, even.high])


def test_a_first_budget_that_was_dear_does_not_bound_the_cost() -> None:
    runs = np.array([[0.3], [0.2], [0.1]]) * np.ones(4)
    curve = error_curve(np.array([0.030, 0.0091, 0.0078]), runs, 0.0, 0.0, seed=1, reference_seed=2)
    reach = cost_to_reach(curve.cost, curve.error, 0.5)
    assert (reach.cost, reach.bound) == (0.0078, "<")


def test_algorithms_share_the_error_of_the_reference() -> None:
    # Two algorithms whose runs have no spread and the same bias: where the true value lies moves both errors alike, and the
    # ratio of their costs not at all.
    runs = np.array([[0.4], [0.2], [0.1]]) * np.ones(8)
    curves = [
        error_curve(np.array([1.0, 2.0, 4.0]) / factor, runs, 0.0, 0.02, seed=int(factor), reference_seed=5)
        for factor in (1.0, 4.0)
    ]
    np.testing.assert_array_equal(curves[0].resampled, curves[1].resampled)
    assert curves[0].resampled[:, -1].std() == pytest.approx(0.02, rel=0.1)
    shared = speed_up(curves[0], curves[1], None)
    assert (shared.low, shared.value, shared.high) == (pytest.approx(4.0), pytest.approx(4.0), pytest.approx(4.0))
    apart = error_curve(np.array([0.25, 0.5, 1.0]), runs, 0.0, 0.02, seed=4, reference_seed=6)
    assert speed_up(curves[0], apart, None).low < 3.6


def test_a_comparison_moves_the_reference_for_all_algorithms_alike() -> None:
    from types import SimpleNamespace

    from glassnf.compare import runner

    def curves(name: str, temperature: float, spread: float) -> np.ndarray:
        runs = 0.1 + spread * np.random.default_rng(1).standard_normal((2, 8))
        made = {
            "estimates": dict.fromkeys(("mean_energy", "specific_heat"), runs),
            "costs": dict.fromkeys(("wall_time", "pair_evaluations"), (1.0, 2.0)),
        }
        reference: Any = SimpleNamespace(temperature=temperature, values=lambda: ((0.0, 0.02), (0.0, 0.02)))
        run: Any = SimpleNamespace(_settings=SimpleNamespace(seed=1))
        return runner._Run._curves(run, reference, name, made)["mean_energy", "wall_time"].resampled

    np.testing.assert_array_equal(curves("md", 0.4, 0.0), curves("swap", 0.4, 0.0))
    assert (curves("md", 0.4, 0.0) != curves("md", 0.3, 0.0)).all()
    assert (curves("md", 0.4, 0.1) != curves("swap", 0.4, 0.1)).mean() > 0.9  # the runs are picked for each


def test_runs_of_algorithms_are_resampled_independently() -> None:
    runs = np.random.default_rng(3).standard_normal((1, 32))
    first, second = (error_curve(np.ones(1), runs, 0.0, 0.0, seed=seed, reference_seed=5).resampled[:, 0] for seed in (1, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1  # 2000 resamples: 4.5 standard deviations


def test_pooled_specific_heat_of_gaussian_energies() -> None:
    # Normal energies of variance s^2: C_v = N s^2 / T^2. The tolerance is 4 of the errors found: false alarms 1 in 15,000.
    energy = -2.5 + 0.05 * np.random.default_rng(3).standard_normal((2000, 16))
    value, error = pooled_specific_heat(energy, 43, 0.3)
    expected = 43 * 0.05**2 / 0.3**2
    assert value == pytest.approx(expected, abs=4.0 * error)
    assert error == pytest.approx(expected * math.sqrt(2.0 / 32000), rel=0.5)


def _series(seed: int, tau: float, start: float, records: int = 4000, runs: int = 16) -> np.ndarray:
    """Return (records, runs) of an autoregressive process of unit variance / 100 that starts at `start` and decays to 0."""
    generator, decay = np.random.default_rng(seed), math.exp(-1.0 / tau)
    noise = 0.1 * math.sqrt(1.0 - decay**2) * generator.standard_normal((records, runs))
    series, value = np.empty((records, runs)), np.full(runs, start)
    for i in range(records):
        value = decay * value + noise[i]
        series[i] = value
    return series


def _judge(series: np.ndarray) -> tuple[bool, str]:
    late = series[len(series) // 2 :]
    heat = pooled_specific_heat(late, 100, 1.0)
    verdict = judge(late.mean(axis=0), heat, ((0.0, 1e-4), (1.0, 1e-3)), late)
    return verdict.equilibrated, verdict.sentence


def test_runs_in_equilibrium_are_called_so() -> None:
    # False alarms: below 1e-3 for each of the five.
    for seed in range(5):
        equilibrated, sentence = _judge(_series(seed, tau=5.0, start=0.0))
        assert equilibrated, sentence
        assert sentence.startswith("equilibrated: ")


def test_runs_that_relax_slowly_are_not() -> None:
    equilibrated, sentence = _judge(_series(1, tau=4000.0, start=1.0))
    assert not equilibrated
    assert sentence.startswith("not equilibrated: ")
    for words in ("above the reference", "still drifts down"):
        assert words in sentence


def test_runs_stuck_apart_are_not() -> None:
    places = 0.3 * np.random.default_rng(2).standard_normal(16)
    series = 0.01 * _series(1, tau=2.0, start=0.0) + places - places.mean()
    equilibrated, sentence = _judge(series)
    assert not equilibrated
    assert "R-hat" in sentence


def test_a_sampler_of_the_wrong_distribution_is_caught() -> None:
    equilibrated, sentence = _judge(_series(1, tau=5.0, start=0.0) - 0.1)
    assert not equilibrated
    assert "below the reference" in sentence


def test_verdict_without_a_trace() -> None:
    generator = np.random.default_rng(1)
    verdict = judge(generator.normal(0, 0.1, 32), (1.0, 0.02), ((0.0, 0.01), (1.0, 0.01)), None)
    assert verdict.equilibrated
    assert math.isnan(verdict.r_hat)
    assert "nan" not in verdict.sentence


def test_sigmas_of_values_without_spread() -> None:
    assert sigmas(np.full(4, 1.0), 1.0, 0.0) == 0.0
    assert sigmas(np.full(4, 1.0), 2.0, 0.0) == -math.inf
    assert sigmas(np.full(4, 1.0), 0.0, 0.5) == pytest.approx(2.0)


def test_adaptation_is_charged_for_what_it_evaluates(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    for name in ("equilibrate", "run"):
        method = getattr(gnf.MonteCarlo, name)

        def spy(*arguments: Any, method: Any = method, **options: Any) -> Any:
            result = method(*arguments, **options)
            counted.append(result.pair_evaluations)
            return result

        monkeypatch.setattr(gnf.MonteCarlo, name, spy)
    system = gnf.systems.ka2d(43)
    algorithm = get_algorithm("mc").factory(system, 0.5, RunOptions(threads=1, adaptation=60))
    algorithm.prepare(gnf.Ensemble.random(system, replicas=4, temperature=1.0, seed=1))
    for budget, calls in ((40, 2), (160, 4)):  # all adaptation; 20 sweeps more of it, and production
        algorithm.advance(budget)
        assert len(counted) == calls
        assert algorithm.cost().pair_evaluations == sum(counted) / 4
        assert algorithm.cost().pair_evaluations >= budget * 43 * 42


def test_relaxation_averages_every_record_once() -> None:
    from glassnf.compare.algorithms import Trace

    sweeps = np.concatenate([[0], np.arange(20, 501, 20), np.arange(510, 8001, 10)])
    energy = np.random.default_rng(1).standard_normal((len(sweeps), 8))
    found = relaxation(Trace(sweeps, energy), [1000, 8000], np.array([1.0, 6.0]))
    assert found.sweeps[0] == 0
    assert found.sweeps[-1] == 8000
    assert (np.diff(found.sweeps) > 0).all()
    assert found.wall_time[0] == 0.0
    assert found.wall_time[-1] == 6.0
    assert np.interp(4500, found.sweeps, found.wall_time) == pytest.approx(3.5, rel=0.02)
    assert found.mean[0] == pytest.approx(energy[0].mean())
    assert found.mean[1] == pytest.approx(energy[1].mean())
    last = energy[sweeps > found.sweeps[-2]]
    assert found.mean[-1] == pytest.approx(last.mean())


@given(st.integers(8, 500_000))
@settings(deadline=None, max_examples=200)
def test_budgets_grow_geometrically_to_the_largest(blocks: int) -> None:
    budgets = geometric_budgets(20 * blocks)
    assert budgets[-1] == 20 * blocks
    assert len(budgets) >= 2
    assert all(budget % 20 == 0 for budget in budgets)
    assert all(1.5 <= b / a <= 3.0 for a, b in itertools.pairwise(budgets))
    assert 40 <= budgets[0] <= 200


def test_derived_seeds_are_distinct_and_fixed() -> None:
    seeds = {derived_seed(seed, label, 0.3) for seed in range(50) for label in ("mc", "swap")}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(1, "mc", 0.3) == derived_seed(1, "mc", 0.3)


def test_json_has_no_nan() -> None:
    ratio = Ratio(math.nan, "?", 0.0, math.inf)
    assert jsonable({"a": np.array([1.0, math.nan]), "b": ratio, 3: (np.int64(2), np.bool_(True))}) == {
        "a": [1.0, None],
        "b": {"value": None, "bound": "?", "low": 0.0, "high": None},
        "3": [2, True],
    }
    assert dumps([math.inf]) == "[\n  null\n]\n"
    with pytest.raises(TypeError, match=r"^value: expected something that JSON can hold, got object"):
        jsonable(object())


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (Ratio(12.3, "=", 9.12, 16.0), "12 (9.1 to 16)"),
        (Ratio(310.0, ">", 280.0, math.inf), "> 310 (> 280)"),
        (Ratio(0.25, "<", 0.0, 0.31), "< 0.25 (< 0.31)"),
        (Ratio(12345.0, "=", 9000.0, math.inf), "12,345 (> 9,000)"),
    ],
)
def test_speed_ups_in_words(ratio: Ratio, text: str) -> None:
    assert format_ratio(jsonable(ratio)) == text
