"""How time is shared out, and which budgets follow."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glassnf as gnf
from glassnf.compare import Settings, planning
from glassnf.compare.algorithms import get_algorithm
from glassnf.compare.planning import budgets_for, geometric_budgets, make_plan, measure_rate, one_more, run_options

SETTINGS = Settings(gnf.systems.ka2d(43), (0.4, 0.3, 0.25), runs=4, seconds=1000.0)


def test_the_time_is_all_used_and_algorithms_share_it_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "shipped_reference", lambda system, temperature: object())
    plan = make_plan(SETTINGS)
    assert plan.reference_sweeps == {0.4: 0, 0.3: 0, 0.25: 0}
    assert sum(plan.seconds.values()) * 6 == pytest.approx(1000.0 - planning.OVERHEAD)
    assert plan.seconds[0.3] / plan.seconds[0.4] == pytest.approx(1.4)
    assert plan.seconds[0.25] / plan.seconds[0.3] == pytest.approx(1.4)


def test_an_algorithm_that_cannot_run_leaves_its_time_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "shipped_reference", lambda system, temperature: object())
    plan = make_plan(replace(SETTINGS, temperatures=(0.7, 0.4)))
    assert plan.seconds[0.4] / plan.seconds[0.7] == pytest.approx(1.4 * 5 / 6)  # the flow begins at 0.6


def test_a_reference_that_has_to_be_made_takes_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "shipped_reference", lambda system, temperature: None)
    monkeypatch.setattr(planning, "measure_rate", lambda settings, name, temperature: 1e4)
    plan = make_plan(replace(SETTINGS, temperatures=(0.4,)))
    seconds = 1000.0 - planning.OVERHEAD
    assert plan.seconds[0.4] == pytest.approx((1.0 - planning.REFERENCE_SHARE) * seconds / 6)
    # 4 runs in place of 64 replicas, half of it relaxation: 1e4 x 4 / 64 / 2 sweeps a second.
    wanted = planning.REFERENCE_SHARE * seconds * 1e4 * 4 / 64 / 2
    assert 0.75 * wanted < plan.reference_sweeps[0.4] <= wanted


@given(st.integers(min_value=8, max_value=10**7), st.integers(min_value=1, max_value=10**4))
def test_budgets_double(blocks: int, first: int) -> None:
    largest, smallest = 20 * blocks, 40 * first
    budgets = geometric_budgets(largest, smallest)
    assert budgets[-1] == largest
    assert budgets[0] <= smallest
    assert all(budget % 20 == 0 and budget > 0 for budget in budgets)
    assert len(budgets) >= 3 or largest < 4 * budgets[0] * 1.5
    ratios = np.diff(np.log2(budgets))
    assert (ratios > math.log2(1.49)).all() or largest < 160
    assert (ratios < math.log2(3.01)).all()


@given(st.floats(min_value=1.0, max_value=1e12))
def test_budgets_depend_on_speed_in_steps_only(rate: float) -> None:
    budgets = budgets_for(SETTINGS, "mc", 10.0, rate)
    assert budgets[:2] == (200, 400)
    assert budgets[-1] >= 3200
    assert budgets[-1] <= max(10.0 * rate, 3200)
    assert budgets[-1] > 0.79 * min(10.0 * rate, 1e300) or budgets[-1] == 3200
    # anneals are made anew for every budget, and all of them together have to fit
    anneals = budgets_for(SETTINGS, "pa", 10.0, rate)
    assert sum(anneals) <= max(10.0 * rate, 4000)
    assert anneals[-1] > 0.45 * min(10.0 * rate, 1e300) or anneals[-1] == 3200
    assert all(2 * first < second <= 10 * first for first, second in itertools.pairwise(anneals))


def test_time_that_is_left_is_used() -> None:
    chain, anneal = get_algorithm("mc"), get_algorithm("pa")
    assert one_more(chain, 3200, 1e-3, 3.3) == [6400]
    assert one_more(chain, 3200, 1e-3, 1.5) == []  # 4700 sweeps in all are not half as much again
    assert one_more(chain, 3200, 1e-3, 1e9) == [12800]
    assert one_more(chain, 3200, 1e-3, -1.0) == []
    assert one_more(anneal, 3200, 1e-3, 4.9) == [4800]  # an anneal begins anew
    assert one_more(anneal, 3200, 1e-3, 4.7) == []


def test_the_first_half_of_the_first_budget_is_for_adaptation() -> None:
    options = run_options(SETTINGS, (200, 400, 800), {"timestep": 0.01})
    assert options.adaptation == 100
    assert options.settings == {"timestep": 0.01}
    assert options.flow is SETTINGS.flow
    assert options.record_every == 10
    assert run_options(SETTINGS, (200, 10_000_000), {}).record_every == 100


@pytest.mark.parametrize("name", ["md", "mc", "swap", "pt", "pa"])
def test_the_rate_is_of_all_runs_together(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_CALIBRATION_TIME", 0.02)
    rate = measure_rate(replace(SETTINGS, threads=1), name, 0.4)
    assert 10.0 < rate < 1e7


def test_the_flow_of_the_package_is_used_where_it_reaches() -> None:
    assert SETTINGS.flow is not None
    assert SETTINGS.algorithms == ("md", "mc", "swap", "pt", "pa", "nf")
    assert Settings(gnf.systems.ka2d(43), (0.7,)).algorithms == ("md", "mc", "swap", "pt", "pa")
    assert Settings(gnf.systems.ka2d(44), (0.4,)).algorithms == ("md", "mc", "swap", "pt", "pa")
    assert SETTINGS.obstacle("nf", 0.4) is None
    assert SETTINGS.obstacle("mc", 7.0) is None
    assert "does not hold 0.7" in str(SETTINGS.obstacle("nf", 0.7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"system": gnf.systems.ka2d(44), "algorithms": ("nf",)},
            "flow: expected a trained flow for the algorithm nf, got None",
        ),
        (
            {"algorithms": ("nf",), "temperatures": (0.7, 0.8)},
            "temperatures: expected at least one that nf can reach, got none",
        ),
        ({"tuning": 0.6}, "tuning: expected a share from 0 to 0.5, got 0.6"),
        ({"tuning": math.nan}, "tuning: expected a finite number, got nan"),
    ],
)
def test_bad_settings(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**{"system": gnf.systems.ka2d(43), "temperatures": (0.4,), **change})
