"""Verdicts from arrays: exact rates of the tests of significance, and what each rule says.

Statistical tests run at fixed seeds. "false alarm p" is the probability that a correct implementation would fail at a random
seed.
"""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from glassnf import observables as obs
from glassnf.compare.jsonable import dumps
from glassnf.observables import equilibration as eq
from glassnf.observables import outer_checks as outer

Array = np.ndarray


def ar1(rng: np.random.Generator, phi: float, records: int, *replicas: int) -> Array:
    """Stationary AR(1) of unit variance, (records, *replicas): tau = (1 + phi) / (1 - phi) / 2."""
    x = np.empty((records, *replicas))
    x[0] = rng.normal(size=replicas)
    noise = rng.normal(size=(records, *replicas)) * math.sqrt(1.0 - phi * phi)
    for t in range(1, records):
        x[t] = phi * x[t - 1] + noise[t]
    return x


# ------------------------------------------------------------------------------------------------------------------ verdicts


def _check(outcome: bool | None, name: str = "a") -> obs.Check:
    return obs.Check(name, 1.0, 2.0, outcome, f"{name} is {outcome}")


@pytest.mark.parametrize(
    ("outcomes", "status", "equilibrated", "mark"),
    [
        ((True, True), "equilibrated", True, ""),
        ((True, None), "cannot tell", None, "?"),
        ((None, False, True), "not equilibrated", False, "*"),
        ((), "cannot tell", None, "?"),
    ],
)
def test_a_verdict_follows_from_its_checks(
    outcomes: tuple[bool | None, ...], status: str, equilibrated: bool | None, mark: str
) -> None:
    verdict = obs.Verdict.of(_check(outcome, f"check {k}") for k, outcome in enumerate(outcomes))
    assert (verdict.status, verdict.equilibrated, verdict.mark) == (status, equilibrated, mark)
    assert str(verdict).startswith(f"{status}: ")
    said = verdict.sentence.partition(": ")[2]
    assert said == (
        "; ".join(f"check {k} is {o}" for k, o in enumerate(outcomes) if o is equilibrated) or "nothing was measured"
    )
    assert json.loads(dumps(verdict.to_dict()))["checks"] == [dict(vars(check)) for check in verdict.checks]


def test_checks_by_name() -> None:
    verdict = obs.Verdict.of([_check(True, "a"), _check(None, "b")])
    assert verdict["b"].outcome is None
    with pytest.raises(KeyError, match="c"):
        verdict["c"]


def test_several_verdicts_in_one_check() -> None:
    good, bad, unknown = (obs.Verdict.of([_check(outcome, "x")]) for outcome in (True, False, None))
    assert eq.summarised("runs", {}) == []
    (check,) = eq.summarised("runs", {"one": good, "two": bad, "three": unknown, "four": bad})
    assert (check.outcome, check.value) == (False, 3.0)
    assert check.sentence == "two (not equilibrated: x is False) and 1 more of 4 runs"
    (check,) = eq.summarised("runs", {"one": good, "two": unknown})
    assert (check.outcome, check.sentence) == (None, "two (cannot tell: x is None)")
    (check,) = eq.summarised("runs", {"one": good, "two": good})
    assert (check.outcome, check.sentence) == (True, "all of one, two equilibrated")


# -------------------------------------------------------------------------------------------------------------- significance


@pytest.mark.parametrize("dof", [1, 3, 7, 15, 63])
def test_normal_deviates_of_t_deviates(dof: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    t = np.array([-60.0, -5.0, -1.0, 0.3, 2.0, 8.0])
    exact = stats.norm.isf(stats.t.sf(np.abs(t), dof)) * np.sign(t)
    np.testing.assert_allclose([eq.normal_of_t(value, dof) for value in t], exact, rtol=0.02 if dof > 3 else 0.2)
    assert eq.normal_of_t(math.inf, dof) == math.inf


def test_limits_of_significance() -> None:
    assert eq.sigma_limit() == pytest.approx(3.2905, abs=1e-4)
    assert eq.sigma_limit(4) == pytest.approx(3.6623, abs=1e-4)
    with pytest.raises(ValueError, match="tests: expected a positive integer, got 0"):
        eq.sigma_limit(0)


def test_the_false_alarms_of_a_drift_are_as_stated_however_long_correlations_are() -> None:
    """4000 sets of 8 replicas, as long as their autocorrelation time: 1e-3 of them at most fail (false alarm p 1e-4: 14)."""
    x = ar1(np.random.default_rng(11), 0.95, 40, 8, 4000)
    failed = sum(eq.drift_check([x[:, :, k]]).outcome is False for k in range(x.shape[2]))
    assert failed <= 14
    lenient = sum(abs(eq.drift_check([x[:, :, k]]).value) > 1.96 for k in range(x.shape[2]))
    assert lenient > 150  # the test has not lost its power: two contrasts at 5% each, far from independent


def test_the_false_alarms_and_the_power_of_a_drift_of_few_replicas() -> None:
    """4000 sets of 5 replicas too short for a tau: 1e-3 of them at most fail (false alarm p 1e-4: 14); of a large one, most."""
    x = ar1(np.random.default_rng(15), 0.95, 40, 5, 4000)
    found = [eq.drift_check([x[:, :, k]]) for k in range(x.shape[2])]
    assert sum(check.outcome is False for check in found) <= 14
    assert all(math.isfinite(check.value) for check in found)  # none is left undecided
    falling = x[:, :, :400] + np.linspace(20.0, 0.0, 40)[:, None, None]
    assert sum(eq.drift_check([falling[:, :, k]]).outcome is False for k in range(400)) > 200
    assert eq.drift_check([falling[:, :3, 0]]).outcome is None  # three are too few, and tau is not known


def test_the_false_alarms_of_starts_from_both_sides_are_as_stated() -> None:
    """4000 sets of 4 + 6 replicas (false alarm p 1e-4: 14 failures; Welch's t is a little conservative here)."""
    x = ar1(np.random.default_rng(12), 0.9, 30, 10, 4000)
    found = [obs.forward_backward(x[:, :4, k], 3.0 * x[:, 4:, k]) for k in range(x.shape[2])]
    assert sum(check.outcome is False for check in found) <= 14
    assert sum(abs(check.value) > 1.96 for check in found) > 100


def test_a_difference_between_starts_is_found() -> None:
    x = ar1(np.random.default_rng(13), 0.5, 400, 16)
    same = obs.forward_backward(x[:, :8], x[:, 8:])
    assert same.outcome is True
    apart = obs.forward_backward(x[:, :8] + 1.0, x[:200, 8:])
    assert apart.outcome is False
    assert apart.value > 0.0
    assert "start hot end above" in apart.sentence
    assert obs.forward_backward(x[:3, :4], x[:3, 4:8]).outcome is None  # too coarse
    assert obs.forward_backward(x[:5, :1], x[:5, 1:2]).outcome is None  # no error at all
    long = ar1(np.random.default_rng(14), 0.5, 5000, 2)
    assert obs.forward_backward(long[:, 0], long[:, 1]).outcome is True  # errors by autocorrelation
    assert obs.forward_backward(long[:, 0] - 1.0, long[:, 1]).outcome is False


# -------------------------------------------------------------------------------------------------------------------- chains


@pytest.mark.parametrize("replicas", [2, 4, 8, 64])
def test_long_runs_of_equilibrium_are_equilibrated(replicas: int) -> None:
    """tau = 1.5 records; 1200 effective samples at least. Both tests of significance fail with p 2e-3 at most."""
    x = ar1(np.random.default_rng(20), 0.5, max(300, 5000 // replicas), replicas)
    verdict = obs.judge_chains(x)
    assert verdict.status == "equilibrated", verdict.sentence
    assert {check.name for check in verdict.checks} == {"R-hat", "drift", "run / tau", "effective samples"}
    assert verdict["effective samples"].value == pytest.approx(x.size / 3.0, rel=0.3)
    assert verdict["run / tau"].value == pytest.approx(len(x) / 1.5, rel=0.35)


def test_a_single_replica_cannot_tell() -> None:
    """However long: one that is stuck in a glass looks like this."""
    x = ar1(np.random.default_rng(20), 0.5, 5000, 1)
    verdict = obs.judge_chains(x)
    assert verdict.status == "cannot tell"
    assert [check.name for check in verdict.checks if check.outcome is not True] == ["replicas"]
    assert "a single replica has no other to agree with" in verdict.sentence
    assert eq.Verdict.of(eq.chain_checks(x, alone=True)).equilibrated  # a ladder, whose replicas exchange


@pytest.mark.parametrize(("records", "replicas", "short"), [(60, 64, "run / tau"), (200, 1, "effective samples")])
def test_short_runs_cannot_tell(records: int, replicas: int, short: str) -> None:
    verdict = obs.judge_chains(ar1(np.random.default_rng(21), 0.5, records, replicas))
    assert verdict.status == "cannot tell"
    assert verdict[short].outcome is None
    assert re.search("only .*, (50|400) are needed", verdict[short].sentence)


@pytest.mark.parametrize("replicas", [1, 4, 16])
def test_a_drift_is_found(replicas: int) -> None:
    x = ar1(np.random.default_rng(22), 0.5, 2000, replicas) + np.linspace(1.0, 0.0, 2000)[:, None]
    verdict = obs.judge_chains(x)
    assert verdict.status == "not equilibrated"
    assert verdict["drift"].value < 0.0
    assert "still drifts down" in verdict.sentence


def test_a_beginning_that_is_off_is_found() -> None:
    """The first twentieth, which hardly moves the halves apart."""
    x = ar1(np.random.default_rng(23), 0.5, 1000, 16)
    x[:50] += 0.5
    assert obs.judge_chains(x)["drift"].outcome is False
    half = len(x) // 2
    change = x[half:].mean(axis=0) - x[:half].mean(axis=0)
    assert abs(change.mean()) / (change.std(ddof=1) / 4.0) < 3.0


@pytest.mark.parametrize("replicas", [2, 6, 16])
def test_replicas_that_stay_where_they_are(replicas: int) -> None:
    """Each near a level of its own: nothing drifts, and the levels may be those of equilibrium."""
    rng = np.random.default_rng(24)
    x = ar1(rng, 0.5, 500, replicas) + 3.0 * rng.normal(size=replicas)
    verdict = obs.judge_chains(x)
    assert verdict["R-hat"].value > 1.5
    assert (verdict["R-hat"].outcome, verdict.status) == (None, "cannot tell")


@pytest.mark.parametrize("replicas", [4, 8, 32])
def test_runs_shorter_than_their_memory_are_not_condemned(replicas: int) -> None:
    """50 sets in equilibrium, half as long as tau: every R-hat is large (false alarm p 2e-3: 2 of 50 drift)."""
    x = ar1(np.random.default_rng(31), 0.995, 100, replicas, 50)
    verdicts = [obs.judge_chains(x[:, :, k]) for k in range(50)]
    assert min(verdict["R-hat"].value for verdict in verdicts) > 1.2
    assert sum(verdict.status == "not equilibrated" for verdict in verdicts) <= 1
    assert not any(verdict.status == "equilibrated" for verdict in verdicts)


def test_few_replicas_are_held_against_a_lower_limit() -> None:
    rng = np.random.default_rng(25)
    x = ar1(rng, 0.5, 4000, 8) + 0.22 * np.array([-1.0, 1.0] * 4)
    few, many = obs.judge_chains(x[:, :4])["R-hat"], obs.judge_chains(x)["R-hat"]
    assert 1.01 < few.value < 1.05
    assert (few.limit, few.outcome) == (1.01, None)
    assert (many.limit, many.outcome) == (1.05, True)


def test_a_slow_mode_of_small_amplitude_makes_the_run_short() -> None:
    """A tenth of the variance never relaxes: the gamma method does not see it, the spread of 16 replicas does."""
    rng = np.random.default_rng(26)
    x = math.sqrt(0.9) * ar1(rng, 0.5, 1000, 16) + math.sqrt(0.1) * rng.normal(size=16)
    assert obs.autocorrelation_time(x).converged
    assert len(x) / obs.autocorrelation_time(x).value > 50.0
    assert obs.judge_chains(x)["run / tau"].outcome is None


def test_starts_from_both_sides() -> None:
    rng = np.random.default_rng(27)
    cold = np.arange(16) % 2 == 0
    x = ar1(rng, 0.5, 1000, 16)
    verdict = obs.judge_chains(x, from_cold=cold)
    assert verdict.status == "equilibrated", verdict.sentence
    assert verdict["forward-backward"].outcome is True
    apart = x - 0.5 * cold
    assert obs.judge_chains(apart).status != "not equilibrated"
    assert obs.judge_chains(apart, from_cold=cold).status == "not equilibrated"
    towards = x + np.where(cold, -1.0, 1.0) * np.linspace(0.7, 0.0, 1000)[:, None]  # drifts that cancel in the mean
    assert obs.judge_chains(towards)["drift"].outcome is True
    assert obs.judge_chains(towards, from_cold=cold)["drift"].outcome is False


@pytest.mark.parametrize("records", [0, 1, 7])
def test_too_few_records(records: int) -> None:
    verdict = obs.judge_chains(np.zeros((records, 4)))
    assert verdict.status == "cannot tell"
    assert f"{records} record" in verdict.sentence


def test_records_that_say_nothing() -> None:
    assert obs.judge_chains(np.full((100, 4), 2.0)).sentence.startswith("cannot tell: ")
    assert "the energy never changes" in obs.judge_chains(np.full((100, 4), 2.0)).sentence
    x = ar1(np.random.default_rng(28), 0.5, 1000, 16)
    assert "unequal intervals" in obs.judge_chains(x, regular=False).sentence
    x[3, 2] = np.nan
    assert obs.judge_chains(x).sentence == "cannot tell: an energy is not finite"


def test_identical_replicas_say_nothing() -> None:
    """They have no spread, so that any difference would be one of infinitely many standard errors."""
    x = np.repeat(np.random.default_rng(32).normal(size=(100, 1)), 32, axis=1)
    for series in (x, x + np.linspace(0.0, 1.0, 100)[:, None]):
        verdict = obs.judge_chains(series)
        assert (verdict.status, verdict["drift"].outcome) == ("cannot tell", None)
        assert "replicas are identical" in verdict.sentence
        assert "inf" not in verdict.sentence
    verdict = obs.judge_chains(np.hstack([x, x + 1.0]), from_cold=np.arange(64) >= 32)
    assert verdict["forward-backward"].outcome is None
    assert "to compare starts by" in verdict.sentence


def test_r_hat_in_words() -> None:
    apart = np.repeat(np.arange(4.0)[None, :], 20, axis=0)
    check = eq.r_hat_check(apart)
    assert (check.value, check.sentence) == (math.inf, "R-hat is infinite, the run is too short for replicas to agree")
    assert eq.shown_r_hat(1.0184) == "1.018"
    assert eq.shown_r_hat(207277753918271.281) == "2.073e+14"
    assert eq.shown_r_hat(math.inf) == "infinite"


def test_weights_and_ladders_and_populations_that_are_too_few() -> None:
    words = outer.judge_weights(np.zeros(1)).sentence
    assert "1 weight is too few" in words
    assert "only 1 effective sample, 100 are needed" in words
    trips = outer.ladder_checks([200], [100], [3], 50.0)[1]
    assert trips.sentence == "only 3 round trips, 10 are needed"
    assert outer.ladder_checks([200], [100], [0], 500.0)[1].sentence == "no replica has been at both ends"
    families = outer.anneal_checks(100, np.array([2.0]), 1.0)[0]
    assert families.sentence == "the population is only 50 times rho_t, 100 times are needed"


def test_many_records_are_thinned_for_r_hat() -> None:
    x = ar1(np.random.default_rng(29), 0.5, 5000, 64)
    found = obs.judge_chains(x)["R-hat"].value
    assert found == obs.split_rhat(x[::5], rank_normalised=True)
    wide = ar1(np.random.default_rng(30), 0.5, 20, 5000)  # of few records of many replicas, fewer replicas
    assert obs.judge_chains(wide)["R-hat"].value == obs.split_rhat(wide[:, ::2], rank_normalised=True)


@pytest.mark.parametrize(
    ("cold", "message"),
    [
        ([True, False], r"from_cold: expected booleans of shape \(4,\), got bool of shape \(2,\)"),
        ([0, 1, 0, 1], r"from_cold: expected booleans of shape \(4,\), got int64 of shape \(4,\)"),
        ([True] * 4, "from_cold: expected replicas of either kind, got only cold ones"),
        ([False] * 4, "from_cold: expected replicas of either kind, got no cold ones"),
    ],
)
def test_bad_starts(cold: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        obs.judge_chains(np.zeros((20, 4)), from_cold=np.array(cold))


def test_bad_series() -> None:
    with pytest.raises(ValueError, match="series: expected a non-empty array"):
        obs.judge_chains(np.zeros((20, 4, 2)))
    with pytest.raises(TypeError, match="series: expected an array of real numbers"):
        obs.judge_chains(["a"] * 20)
    with pytest.raises(ValueError, match="cold: expected"):
        obs.forward_backward([1.0, 2.0], [])


# ------------------------------------------------------------------------------------------------------------------- weights


def test_weights() -> None:
    rng = np.random.default_rng(40)
    assert obs.judge_weights(0.5 * rng.normal(size=4000)).status == "equilibrated"
    heavy = obs.judge_weights(5.0 * rng.normal(size=4000))
    assert heavy["largest weight"].outcome is None
    assert "of the weight, more than 0.1" in heavy["largest weight"].sentence
    one = obs.judge_weights(np.where(np.arange(4000) == 0, 8.0, 0.0))  # one that is large
    assert (one["largest weight"].outcome, one.status) == (None, "cannot tell")
    pareto = obs.judge_weights(0.85 * rng.exponential(size=4000))  # weights of tail index 0.85: a mean, no variance
    assert pareto["Pareto k-hat"].value == pytest.approx(0.85, abs=0.2)
    assert pareto["Pareto k-hat"].outcome is None
    useless = obs.judge_weights(2.0 * rng.exponential(size=4000))
    assert useless["Pareto k-hat"].outcome is False
    few = obs.judge_weights(0.1 * rng.normal(size=20))
    assert few.status == "cannot tell"
    assert few["Pareto k-hat"].outcome is None
    assert few["effective weights"].outcome is None


def test_agreement_of_two_estimates() -> None:
    agree = outer.agreement_check("a", "log Z here and there", (1.0, 0.1), (1.2, 0.1))
    assert (agree.outcome, agree.sentence) == (True, "log Z here and there agree (1.4 sigma)")
    assert outer.agreement_check("a", "b", (1.0, 0.1), (2.0, 0.1)).outcome is False
    assert outer.agreement_check("a", "b", (1.0, math.nan), (2.0, 0.1)).outcome is None
    assert outer.integration_check(0.01).outcome is True
    assert outer.integration_check(0.2).outcome is False


# ------------------------------------------------------------------------------------------------------- ladders, populations


@pytest.mark.parametrize(
    ("attempts", "accepts", "trips", "expected", "outcomes"),
    [
        ([1000, 1000], [400, 300], [8, 9], 50.0, (True, True)),
        ([1000, 1000], [400, 5], [8, 9], 50.0, (False, True)),
        ([1000, 50], [400, 20], [8, 9], 50.0, (None, True)),
        ([1000, 1000], [400, 300], [0, 0], 200.0, (True, False)),
        ([1000, 1000], [400, 300], [0, 0], 20.0, (True, None)),
        ([1000, 1000], [400, 300], [4, 5], 500.0, (True, None)),
        ([0], [0], [0], math.nan, (None, None)),
    ],
)
def test_ladders(
    attempts: list[int], accepts: list[int], trips: list[int], expected: float, outcomes: tuple[bool | None, bool | None]
) -> None:
    checks = outer.ladder_checks(np.array(attempts), np.array(accepts), np.array(trips), expected)
    assert tuple(check.outcome for check in checks) == outcomes


@pytest.mark.parametrize(("rho", "outcome"), [(5.0, True), (20.0, None), (150.0, False)])
def test_families(rho: float, outcome: bool | None) -> None:
    families, variance = outer.anneal_checks(1000, np.array([1.0, rho]), 80.0)
    assert families.outcome is outcome
    assert families.value == pytest.approx(1000.0 / rho)
    assert variance.outcome is True
    assert variance.value == pytest.approx(0.08)


def test_populations_of_which_little_is_known() -> None:
    assert outer.anneal_checks(1000, np.ones(3), 200.0)[1].outcome is None
    assert outer.anneal_checks(1000, np.ones(3), math.nan)[1].outcome is None
    assert [check.outcome for check in outer.anneal_checks(1000, np.empty(0), math.nan)] == [None]


@pytest.mark.parametrize("runs", [2, 3, 10, 60])
def test_log_z_of_runs_is_judged_by_an_upper_limit(runs: int) -> None:
    """Runs whose variance is at the limit pass in 5%, and those ten times above it in less (false alarm p 1e-4)."""
    stats = pytest.importorskip("scipy.stats")
    assert outer._chi_square_quantile(0.05, runs - 1) == pytest.approx(stats.chi2.ppf(0.05, runs - 1), rel=1e-9)
    rng = np.random.default_rng(41)
    for variance, most in ((0.5, 0.05), (5.0, float(stats.chi2.cdf(0.1 * stats.chi2.ppf(0.05, runs - 1), runs - 1)))):
        found = [outer.log_z_spread_check(math.sqrt(variance) * rng.normal(size=runs)) for _ in range(400)]
        assert sum(check.outcome is True for check in found) <= stats.binom.isf(1e-4, 400, most)
        assert not any(check.outcome is False for check in found)
    sure = outer.log_z_spread_check(np.array([3.0, 3.001] * (runs // 2 + 1)))
    assert sure.outcome is True
    assert "at most" in sure.sentence


def test_log_z_of_one_run() -> None:
    with pytest.raises(ValueError, match="log_z: expected at least 2 runs, got 1"):
        outer.log_z_spread_check([1.0])


def test_what_checks_cannot_see_is_said_where_they_pass() -> None:
    assert obs.Verdict.of([_check(True)], "nothing of b").sentence == "equilibrated: a is True; nothing of b"
    assert obs.Verdict.of([_check(None)], "nothing of b").sentence == "cannot tell: a is None"
    assert obs.Verdict.of([], "nothing of b").sentence == "cannot tell: nothing was measured"
