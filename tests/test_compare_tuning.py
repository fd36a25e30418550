"""Tuning of algorithms by successive halving, on algorithms whose answers are known; and the built-in candidates.

Comparisons of means have a false-alarm rate of 6e-7 each (5 sigma); seeds are fixed.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from flows_for_tests import PairFlow
from glassnf.certify.pairs import TwoParticles
from glassnf.compare import tuning as tuning_module
from glassnf.compare.algorithms import AlgorithmSpec, Cost, Estimate, RunOptions, Trace, get_algorithm
from glassnf.compare.anneals import anneal_together
from glassnf.compare.explorers import explorer_of, longest_timestep
from glassnf.compare.reference import Reference
from glassnf.compare.starts import hot_start
from glassnf.compare.tempering import ENOUGH_ATTEMPTS, ladder_of
from glassnf.compare.tuning import Tuning, tune
from tolerances import STATISTICAL

TWO = TwoParticles(species=2)
T, HOT = 0.5, 1.0
ENERGY, HEAT = -2.0, 1.0
RUNS = 16


def reference(system: gnf.systems.System = TWO.system, energy: float = ENERGY, heat: float = HEAT) -> Reference:
    return Reference(system.hash, T, energy, 1e-4, heat, 1e-3, 1.0, 0.0, 64, 1000, 1, 1.0, "exact")


def start(seed: int) -> gnf.Ensemble:
    return TWO.draw(RUNS, HOT, seed=seed)


class Clock:
    """Time that passes only where an algorithm says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Law:
    """Runs whose errors are exactly scale / sqrt(sweeps), at a cost per sweep of its own; no randomness."""

    made: list[Law]

    def __init__(self, options: RunOptions, clock: Clock | None) -> None:
        self.settings, self.options, self.clock = dict(options.settings), options, clock
        self.budgets: list[int] = []
        self.starts: Any = None

    def prepare(self, ensemble: gnf.Ensemble) -> None:
        self.starts = np.array(ensemble.positions)

    def advance(self, budget: int, progress: Any = None) -> Estimate:
        if self.settings.get("fails"):
            raise RuntimeError("it blew up")
        before = 0 if self.settings.get("restarts") or not self.budgets else self.budgets[-1]
        if self.clock is not None:
            self.clock.now += RUNS * self.settings.get("cost", 1.0) * (budget - before) * 1e-6
        self.budgets.append(budget)
        error = self.settings["scale"] / math.sqrt(budget) * np.resize([1.0, -1.0], RUNS)
        return Estimate(ENERGY + error, HEAT + error)

    def cost(self) -> Cost:
        spent = self.settings.get("cost", 1.0) * self.budgets[-1]
        return Cost(1e-6 * spent, 10.0 * spent)

    def trace(self) -> Trace | None:
        return None

    def report(self) -> dict[str, Any]:
        return {}


class Learning(Law):
    def learnt(self) -> dict[str, Any]:
        return {"ladder": tuple(self.budgets[-1:])}


def law(
    candidates: Sequence[Mapping[str, Any]] | None, clock: Clock | None = None, kind: type[Law] = Law, **options: Any
) -> tuple[AlgorithmSpec, list[Law]]:
    made: list[Law] = []

    def factory(system: Any, temperature: float, run_options: RunOptions) -> Law:
        made.append(kind(run_options, clock))
        return made[-1]

    asked = None if candidates is None else lambda *_: candidates
    return AlgorithmSpec("law", "law", "#000000", "o", factory, candidates=asked, **options), made


def by_sweeps(spec: AlgorithmSpec, sweeps: int, **changes: Any) -> Tuning:
    arguments: dict[str, Any] = {"runs": RUNS, "seed": 3, "seconds": None, "sweeps": sweeps, **changes}
    return tune(spec, TWO.system, T, start, reference(), RunOptions(threads=1), **arguments)


def by_time(spec: AlgorithmSpec, seconds: float, **changes: Any) -> Tuning:
    arguments: dict[str, Any] = {"runs": RUNS, "seed": 3, "seconds": seconds, "sweeps": None, **changes}
    return tune(spec, TWO.system, T, start, reference(), RunOptions(threads=1), **arguments)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(tuning_module, "time", fake)
    return fake


EIGHT = tuple({"scale": scale, "cost": 1.0} for scale in (5.0, 7.0, 3.0, 8.0, 2.0, 6.0, 4.0, 9.0))


def test_halving() -> None:
    """Eight candidates, then four, then two: the winner is the best, and each round keeps the better half."""
    spec, _ = law(EIGHT)
    found = by_sweeps(spec, 64_000)
    assert found.settings == {"scale": 2.0, "cost": 1.0}
    assert math.isnan(found.rate)
    scales = [[trial.settings["scale"] for trial in found.trials if trial.round == number] for number in (1, 2, 3)]
    assert scales == [[5.0, 7.0, 3.0, 8.0, 2.0, 6.0, 4.0, 9.0], [5.0, 3.0, 2.0, 4.0], [3.0, 2.0]]
    kept = [{trial.settings["scale"] for trial in found.trials if trial.round == n and trial.kept} for n in (1, 2, 3)]
    assert kept == [{5.0, 3.0, 2.0, 4.0}, {3.0, 2.0}, {2.0}]


def test_sweeps_are_shared_equally() -> None:
    """Of 64,000 sweeps 32,000 go to eight, 16,000 to four, 16,000 to two; each goes on where it stood."""
    spec, made = law(EIGHT)
    found = by_sweeps(spec, 64_000)
    assert {trial.round: trial.sweeps for trial in found.trials} == {1: 4_000, 2: 8_000, 3: 16_000}
    assert sum(one.budgets[-1] for one in made) == 64_000
    assert all(first < second for one in made for first, second in zip(one.budgets, one.budgets[1:], strict=False))
    assert len(made) == 8


def test_scores_are_cost_times_both_errors() -> None:
    spec, _ = law(EIGHT[:2])
    for trial in by_sweeps(spec, 8_000).trials:
        assert trial.mean_energy_error == pytest.approx(trial.settings["scale"] / math.sqrt(trial.sweeps), rel=1e-12)
        assert trial.specific_heat_error == pytest.approx(trial.mean_energy_error, rel=1e-10)
        assert trial.pair_evaluations == 10.0 * trial.sweeps
        assert trial.score == pytest.approx(10.0 * trial.settings["scale"] ** 2, rel=1e-10)


def test_cost_counts() -> None:
    """Half the error at five times the cost loses; at three times it wins."""
    assert by_sweeps(law(({"scale": 2.0}, {"scale": 1.0, "cost": 5.0}))[0], 8_000).settings == {"scale": 2.0}
    assert by_sweeps(law(({"scale": 2.0}, {"scale": 1.0, "cost": 3.0}))[0], 8_000).settings == {"scale": 1.0, "cost": 3.0}


def test_ties_go_to_the_earlier() -> None:
    candidates = tuple({"scale": 3.0, "number": number} for number in range(5))
    assert by_sweeps(law(candidates)[0], 40_000).settings["number"] == 0


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 8])
def test_any_number_of_candidates(count: int) -> None:
    found = by_sweeps(law(EIGHT[:count])[0], 64_000)
    assert found.settings["scale"] == min(one["scale"] for one in EIGHT[:count])
    assert sum(trial.kept for trial in found.trials if trial.round == found.trials[-1].round) == 1
    assert found.trials[-1].round == {2: 1, 3: 2, 4: 2}.get(count, 3)


def test_few_sweeps_try_few_candidates() -> None:
    """The first candidates, as many as get a budget that makes sense; one alone needs no trial."""
    spec, made = law(EIGHT, first_budget=1_000)
    assert {trial.settings["scale"] for trial in by_sweeps(spec, 6_000).trials} == {5.0, 7.0, 3.0}
    made.clear()
    found = by_sweeps(spec, 3_000)
    assert found.settings == EIGHT[0]
    assert found.trials == ()
    assert made == []


def test_all_begin_alike() -> None:
    """Same starts for all candidates, for which the tuning's seed decides; and time to adapt before the first estimate."""
    spec, made = law(EIGHT[:3])
    by_sweeps(spec, 9_000)
    first = [np.array(one.starts) for one in made]
    np.testing.assert_array_equal(first[0], first[2])
    assert all(one.options.adaptation <= one.budgets[0] // 2 for one in made)
    assert all(one.options.adaptation % 20 == 0 for one in made)
    made.clear()
    by_sweeps(spec, 9_000, seed=4)
    assert not np.array_equal(made[0].starts, first[0])


def test_restarts_spend_budgets_anew() -> None:
    candidates = tuple({**one, "restarts": True} for one in EIGHT[:4])
    spec, made = law(candidates, restarts=True)
    assert by_sweeps(spec, 32_000).settings["scale"] == 3.0
    assert sum(sum(one.budgets) for one in made) <= 32_000
    assert sum(sum(one.budgets) for one in made) > 0.8 * 32_000
    assert all(len(set(one.budgets)) == len(one.budgets) for one in made)


def test_failures_are_dropped() -> None:
    spec, _ = law(({"scale": 1.0, "fails": True}, {"scale": 5.0}, {"scale": 4.0}))
    found = by_sweeps(spec, 12_000)
    assert found.settings == {"scale": 4.0}
    (failed,) = [trial for trial in found.trials if trial.failure]
    assert failed.failure == "it blew up"
    assert failed.score == math.inf
    assert not failed.kept
    with pytest.raises(RuntimeError, match="law: none of its settings can be used: it blew up"):
        by_sweeps(law(({"scale": 1.0, "fails": True}, {"scale": 2.0, "fails": True}))[0], 12_000)


def test_what_is_learnt_is_handed_on() -> None:
    found = by_sweeps(law(EIGHT[:2], kind=Learning)[0], 8_000)
    assert found.settings == {**EIGHT[0], "ladder": (4_000,)}
    assert all("ladder" not in trial.settings for trial in found.trials)


def test_time_is_shared_equally(clock: Clock) -> None:
    """Whatever a sweep costs, every candidate of a round has used the same time, within a tenth; all of it is used, no more."""
    candidates = tuple({"scale": 3.0, "cost": cost} for cost in (1.0, 0.5, 2.0, 4.0))
    spec, made = law(candidates, clock)
    found = by_time(spec, 8.0)
    assert found.settings["cost"] == 0.5
    assert 0.85 * 8.0 < found.seconds < 8.0
    for trial in found.trials:
        if trial.round == 1:
            assert trial.wall_time * RUNS == pytest.approx(1.0, rel=0.15)
        else:
            assert trial.wall_time * RUNS == pytest.approx(3.0, rel=0.15)
    assert found.rate == pytest.approx(1.0 / (RUNS * 0.5e-6), rel=1e-9)
    assert len(made) == 4


def test_time_of_restarts(clock: Clock) -> None:
    candidates = tuple({"scale": scale, "restarts": True} for scale in (3.0, 4.0, 2.0, 5.0))
    spec, _ = law(candidates, clock, restarts=True, first_budget=3_200)
    found = by_time(spec, 20.0)
    assert found.settings["scale"] == 2.0
    assert 0.75 * 20.0 < found.seconds < 1.02 * 20.0
    assert found.rate == pytest.approx(1.0 / (RUNS * 1e-6), rel=1e-9)
    assert {trial.round for trial in found.trials} == {1, 2}


def test_a_slow_machine_tries_what_it_can(clock: Clock) -> None:
    """Where even a few sweeps take longer than the time of a trial, the last candidates are left out."""
    spec, _ = law(tuple({"scale": one["scale"], "cost": 500.0} for one in EIGHT), clock)
    found = by_time(spec, 6.0)
    tried = {trial.settings["scale"] for trial in found.trials}
    assert tried == {5.0}
    assert found.seconds < 8.0


def test_a_rate_without_candidates(clock: Clock) -> None:
    def factory(system: Any, temperature: float, options: RunOptions) -> Law:
        assert options.settings == {}
        one = Law(options, clock)
        one.settings = {"scale": 3.0}
        return one

    found = by_time(AlgorithmSpec("law", "law", "#000000", "o", factory), 8.0)
    assert found.settings == {}
    assert found.rate == pytest.approx(1.0 / (RUNS * 1e-6), rel=1e-9)
    assert found.seconds < 2.0
    assert len(found.trials) == 1


def test_progress_is_told() -> None:
    heard: list[tuple[int, int, Mapping[str, Any]]] = []
    by_sweeps(law(EIGHT[:4])[0], 16_000, progress=lambda *event: heard.append(event))
    assert [done for done, _, _ in heard] == sorted(done for done, _, _ in heard)
    assert {total for _, total, _ in heard} == {16_000}
    assert heard[-1][0] == 16_000
    assert [info["round"] for _, _, info in heard] == [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"runs": 1}, ValueError, "runs: expected"),
        ({"seconds": 3.0}, ValueError, "seconds: expected either a time or sweeps, got 3.0 and 4000"),
        ({"sweeps": None}, ValueError, "seconds: expected either a time or sweeps, got None and None"),
        ({"sweeps": 0}, ValueError, "sweeps: expected"),
        ({"sweeps": None, "seconds": -1.0}, ValueError, "seconds: expected"),
        ({"runs": 8}, ValueError, f"start: expected 8 configurations, got {RUNS}"),
    ],
)
def test_bad_arguments(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        by_sweeps(law(EIGHT)[0], **{"sweeps": 4_000, **changes})


def test_bad_candidates() -> None:
    with pytest.raises(ValueError, match="candidates: expected 1 to 8 of law, got 9"):
        by_sweeps(law((*EIGHT, EIGHT[0]))[0], 4_000)
    with pytest.raises(ValueError, match="candidates: expected 1 to 8 of law, got 0"):
        by_sweeps(law(())[0], 4_000)
    with pytest.raises(TypeError, match="candidates: expected mappings of settings of law, got str"):
        by_sweeps(law(("fast",))[0], 4_000)  # type: ignore[arg-type]


# ---- the candidates of the algorithms ----------------------------------------------------------------------------------------


def candidates_of(name: str, system: gnf.systems.System, temperature: float, hot: float) -> Sequence[Mapping[str, Any]]:
    build = get_algorithm(name).candidates
    assert build is not None
    return build(system, temperature, hot, RunOptions(threads=1))


FLOW = PairFlow(TWO.system, 0.8, 0.4, 0.1, turn=1.1, steps=4)
BUILT_IN = ("md", "mc", "swap", "pt", "pa", "nf")


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_first_candidate_is_what_is_done_untold(name: str) -> None:
    spec = get_algorithm(name)
    found = candidates_of(name, TWO.system, T, HOT)
    assert 2 <= len(found) <= tuning_module.MOST_CANDIDATES
    assert len({repr(sorted(one.items())) for one in found}) == len(found)
    estimates = []
    for settings in ({}, found[0]):
        algorithm = spec.factory(TWO.system, T, RunOptions(threads=1, adaptation=400, flow=FLOW, settings=settings))
        algorithm.prepare(TWO.draw(3, HOT, seed=1))
        estimates.append(algorithm.advance(2_000).mean_energy)
    np.testing.assert_array_equal(*estimates)


@pytest.mark.parametrize("name", BUILT_IN)
def test_unknown_settings_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"settings: expected keys among .*, got 'colour'"):
        get_algorithm(name).factory(TWO.system, T, RunOptions(flow=FLOW, settings={"colour": 1}))


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name in BUILT_IN for place in range(len(candidates_of(name, TWO.system, T, HOT)))]
)
def test_every_candidate_is_exact(name: str, place: int) -> None:
    """Two particles: means over 24 runs against quadrature. Dynamics may be off by its time step, less than 1e-3 in <U>/N."""
    dynamics = name == "md" or candidates_of(name, TWO.system, T, HOT)[place].get("explorer") == "md"
    settings = candidates_of(name, TWO.system, T, HOT)[place]
    algorithm = get_algorithm(name).factory(
        TWO.system, T, RunOptions(threads=1, adaptation=1_000, flow=FLOW, settings=settings)
    )
    algorithm.prepare(TWO.draw(24, HOT, seed=3))
    estimate = algorithm.advance(60_000 if dynamics else 24_000)
    for values, exact, bias in (
        (estimate.mean_energy, TWO.mean_energy(T) / 2, 1e-3 if dynamics else 0.0),
        (estimate.specific_heat, TWO.specific_heat(T), 0.02 if dynamics else 0.0),
    ):
        assert abs(values.mean() - exact) < STATISTICAL * values.std(ddof=1) / math.sqrt(24) + bias
        assert values.std() < 0.3


@pytest.mark.parametrize("name", ["mc", "pt"])
def test_tuning_by_sweeps_repeats_itself(name: str) -> None:
    system = gnf.systems.ka2d(43)

    def hot(seed: int) -> gnf.Ensemble:
        return hot_start(system, 4, seed, temperature=1.0, sweeps=100, threads=1)

    spec = get_algorithm(name)
    arguments: dict[str, Any] = {"runs": 4, "seed": 7, "seconds": None, "sweeps": 2 * 2 * max(spec.first_budget, 400)}
    first, second = (
        tune(spec, system, 0.6, hot, reference(system, -2.28, 1.05), RunOptions(threads=threads), **arguments)
        for threads in (1, 2)
    )
    assert first.settings == second.settings
    assert [trial.score for trial in first.trials] == [trial.score for trial in second.trials]
    assert len(first.trials) >= 2


# ---- what the adapters report, and anneals in one batch ----------------------------------------------------------------------


@pytest.mark.parametrize("explorer", ["mc", "md"])
def test_anneals_in_one_batch(explorer: str) -> None:
    """log Z of two particles, 16 runs of 512 replicas from exact samples, against quadrature."""
    runs, size = 16, 512

    def explorers(temperature: float) -> Any:
        return explorer_of(TWO.system, {"explorer": explorer, "target_acceptance": 0.3}, temperature, 1)

    found = anneal_together(
        TWO.draw(runs * size, HOT, seed=11),
        explorers,
        T,
        seeds=range(runs),
        sweeps=20,
        last_sweeps=40,
        culling_fraction=0.05,
    )
    exact = TWO.log_z(T) - TWO.log_z(HOT)
    assert abs(found.log_z.mean() - exact) < STATISTICAL * found.log_z.std(ddof=1) / math.sqrt(runs)
    assert found.log_z.std(ddof=1) < 0.1 * exact
    assert found.temperatures[0] == pytest.approx(HOT)
    assert found.temperatures[-1] == T
    assert (np.diff(found.temperatures) < 0.0).all()
    steps = len(found.temperatures)
    assert found.rho_t.shape == found.families.shape == found.ess.shape == (steps, runs)
    assert (np.diff(found.families, axis=0) <= 0).all()
    assert (found.families[0] == size).all()
    assert (found.families * found.rho_t >= size * (1.0 - 1e-12)).all()  # equal where families are of one size
    assert ((found.ess > 0.5) & (found.ess <= 1.0)).all()


def test_runs_of_a_batch_are_their_own() -> None:
    """Seeds of the resampling belong to runs: another seed for one of them changes that run alone, at a given schedule."""

    def energies(seeds: Sequence[int]) -> Any:
        return anneal_together(
            TWO.draw(4 * 32, HOT, seed=11),
            lambda temperature: gnf.MonteCarlo(TWO.system, swap_probability=0.0, threads=1),
            0.9 * HOT,
            seeds=seeds,
            sweeps=5,
            last_sweeps=10,
            culling_fraction=0.9,  # one step
        ).mean_energy

    first, second = energies([1, 2, 3, 4]), energies([1, 2, 7, 4])
    np.testing.assert_array_equal(first[[0, 1, 3]], second[[0, 1, 3]])
    assert first[2] != second[2]


def run_of(name: str, budget: int, **settings: Any) -> Any:
    options = RunOptions(threads=1, adaptation=800, settings=settings)
    algorithm = get_algorithm(name).factory(TWO.system, T, options)
    algorithm.prepare(TWO.draw(3, HOT, seed=1))
    algorithm.advance(budget)
    return algorithm


def test_diagnostics_of_parallel_tempering_and_the_ladder_that_is_learnt() -> None:
    first = run_of("pt", 40_000)
    found = first.report()["diagnostics"]
    rungs = len(found["temperatures"])
    assert found["acceptance"].shape == (rungs - 1,)
    assert found["flow"].shape == (rungs,)
    assert (found["flow"][[0, -1]] == [1.0, 0.0]).all()  # the first is the coldest
    assert found["round_trips"].shape == (3,)
    ladder = first.learnt()["temperatures"]
    assert (np.sum(first._attempts, axis=1) >= ENOUGH_ATTEMPTS).all()
    assert len(ladder) == rungs
    assert (ladder[0], ladder[-1]) == (T, HOT)
    again = run_of("pt", 8_000, temperatures=ladder).report()["diagnostics"]
    np.testing.assert_allclose(again["temperatures"], ladder, rtol=1e-12)


def test_a_ladder_by_few_exchanges_is_not_handed_on() -> None:
    """Short trials: nothing is learnt, and a run with what tuning hands on adapts its ladder as one without does."""
    options = RunOptions(threads=1, adaptation=4_000, settings={"exchange_acceptance": 0.9, "sweeps_per_exchange": 5})
    algorithm: Any = get_algorithm("pt").factory(TWO.system, T, options)
    algorithm.prepare(TWO.draw(3, HOT, seed=1))
    algorithm.advance(8_000)
    assert (np.sum(algorithm._attempts, axis=1) < ENOUGH_ATTEMPTS).all()
    assert algorithm.learnt() == {}
    first = np.array(ladder_of(TWO.system, T, HOT, 0.9))
    adapted = algorithm.report()["diagnostics"]["temperatures"]
    assert adapted.shape == first.shape
    assert not np.allclose(adapted, first, rtol=1e-6)


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_budget_is_charged_for_imports(name: str) -> None:
    """In a new process, the runs load no module after `prepare`."""
    script = f"""
import sys
import glassnf as gnf
from glassnf.compare.algorithms import RunOptions, get_algorithm
system = gnf.systems.ka2d(43)
options = RunOptions(threads=1, adaptation=200, flow=gnf.flows.shipped(system))
algorithm = get_algorithm({name!r}).factory(system, 0.55, options)
start = gnf.Ensemble.random(system, 2, temperature=0.7, seed=1)
gnf.MonteCarlo(system, threads=1).equilibrate(start, 100)
algorithm.prepare(start)
before = set(sys.modules)
algorithm.advance(400)
algorithm.advance(800)
print(sorted(set(sys.modules) - before))
"""
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_diagnostics_of_population_annealing() -> None:
    algorithm = run_of("pa", 8_000)
    report = algorithm.report()
    found = report["diagnostics"]
    assert found["temperatures"].shape == found["rho_t"].shape == found["families"].shape == found["ess"].shape
    assert found["population"] == report["population"]
    spent = report["population"] * (
        report["equilibration_sweeps"] + report["temperature_steps"] * report["sweeps_per_step"] + report["sweeps_at_target"]
    )
    assert spent < 1.3 * 8_000


def test_time_steps() -> None:
    assert longest_timestep(0.3) == longest_timestep(0.5) == 0.01
    assert longest_timestep(2.0) == pytest.approx(0.005)
    steps = {one["thermostat"]: one["timestep"] for one in candidates_of("md", gnf.systems.ka2d(43), 0.5, HOT)}
    assert steps == {"langevin": 0.01, "rescaling": 0.004}
    # Measured at T = 0.5 (docs/molecular_dynamics.md): shifts of <U>/N are -4.1 dt^2 and 57.7 dt^2.
    assert max(4.1 * steps["langevin"] ** 2, 57.7 * steps["rescaling"] ** 2) < 1e-3
