"""Verdicts on the results of samplers, of ``glassnf sample`` and of comparisons, and how tables and figures show them.

False alarms: where one expects "equilibrated" fails a correct implementation with a probability below 5e-3 at a random
seed; seeds are fixed.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import signal
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from comparison_data import comparison_data
from flows_for_tests import PairFlow
from glassnf import observables as obs
from glassnf import plots
from glassnf.certify.pairs import TwoParticles
from glassnf.cli import run
from glassnf.compare import words
from glassnf.compare.algorithms import Diagnosis
from glassnf.compare.jsonable import jsonable
from glassnf.compare.page import page
from glassnf.compare.parts import _verdict
from glassnf.compare.report import comparison_to_csv, tables
from glassnf.compare.verdict import judge
from glassnf.io.runfile import RunFile
from glassnf.samplers import PTRecord, verdicts
from runs import same_runs

TWO = TwoParticles()
SYSTEM = gnf.systems.ka2d(n=43)


def _monte_carlo(swap_probability: float = 0.2) -> gnf.MonteCarlo:
    return gnf.MonteCarlo(SYSTEM, swap_probability=swap_probability, threads=1)


# ------------------------------------------------------------------------------------------------------------------- records


def test_every_result_has_a_verdict() -> None:
    """A new class of results without one is an error here; those that hold no samples are named."""
    without = {"Anneal", "Equilibration", "FlowCheck", "FlowExchanges", "FlowStop", "InherentStructures", "PTEquilibration"}
    classes = {name: getattr(gnf.samplers, name) for name in gnf.samplers.__all__ if name[0].isupper()}
    results = {name for name, kind in classes.items() if dataclasses.is_dataclass(kind)}
    assert {name for name in results if not hasattr(classes[name], "verdict")} <= without | {"WeightedAverage"}
    assert "verdict" in {field.name for field in dataclasses.fields(gnf.samplers.WeightedAverage)}
    assert {
        "MCRecord",
        "MDRecord",
        "PTRecord",
        "PAResult",
        "FlowResult",
        "FlowMetropolisRecord",
        "Harvest",
    } <= results - without


def test_a_liquid_that_relaxes_and_one_that_does_not() -> None:
    hot = gnf.Ensemble.random(SYSTEM, replicas=16, temperature=2.0, seed=1)
    sampler = _monte_carlo()
    sampler.equilibrate(hot, sweeps=300)
    record = sampler.run(hot, sweeps=1500, record_every=5)
    assert record.verdict.status == "equilibrated", record.verdict.sentence
    assert record.verdict.checks == obs.judge_chains(record.energy).checks
    cold = gnf.Ensemble.random(SYSTEM, replicas=16, temperature=0.2, seed=1)
    frozen = _monte_carlo(0.0).run(cold, sweeps=200, record_every=5).verdict
    assert frozen.status == "not equilibrated"
    assert frozen["drift"].outcome is False
    assert frozen["R-hat"].value > 1.5


def test_replicas_are_judged_with_those_of_their_temperature() -> None:
    ensemble = gnf.Ensemble.random(SYSTEM, replicas=16, temperature=np.repeat([2.0, 4.0], 8), seed=2)
    sampler = _monte_carlo()
    sampler.equilibrate(ensemble, sweeps=300)
    record = sampler.run(ensemble, sweeps=3000, record_every=10)
    assert obs.judge_chains(record.energy)["R-hat"].value > 1.5  # as if the temperatures were one
    (check,) = record.verdict.checks
    assert check.outcome is True, check.sentence
    assert check.sentence == "all of T = 2, T = 4 equilibrated"
    shifted = replace(record, energy=record.energy + np.linspace(20.0, 0.0, 300)[:, None] * (np.arange(16) < 8))
    assert shifted.verdict.sentence.startswith("not equilibrated: T = 2 (not equilibrated: ")


def test_records_at_unequal_intervals_have_no_autocorrelation_time() -> None:
    ensemble = gnf.Ensemble.random(TWO.system, replicas=8, temperature=2.0, seed=3)
    sampler = gnf.MonteCarlo(TWO.system, swap_probability=0.0, threads=1)
    sampler.equilibrate(ensemble, sweeps=400)
    record = sampler.run(ensemble, sweeps=1024, record_at=2 ** np.arange(11))
    assert "unequal intervals" in record.verdict.sentence
    assert sampler.run(ensemble, sweeps=0).verdict.status == "cannot tell"


def test_a_thermostat_that_is_too_weak_is_seen() -> None:
    """Kinetic temperature twice that of the thermostat: it fails once there is enough of it to tell, and not before."""
    rng, beta = np.random.default_rng(3), np.full(4, 2.0)
    kinetic = rng.gamma(41.0, 0.5, size=(500, 4))  # 82 degrees of freedom at T = 0.5
    assert verdicts.kinetic_check(kinetic, beta, 42, 2).outcome is True
    check = verdicts.kinetic_check(2.0 * kinetic, beta, 42, 2)
    assert check.outcome is False
    assert "the kinetic temperature is 2" in check.sentence
    assert verdicts.kinetic_check(2.0 * kinetic[:1], beta, 42, 2).outcome is None
    one = np.full((300, 1), 5.0) + rng.normal(size=(300, 1))
    assert verdicts.kinetic_check(one, beta[:1], 1, 2).outcome is False
    ensemble = gnf.Ensemble.random(SYSTEM, replicas=2, temperature=0.8, seed=1)
    md = gnf.MolecularDynamics(SYSTEM, thermostat="langevin", friction=1.0, timestep=0.004, threads=1)
    md.run(ensemble, 1000)
    record = md.run(ensemble, 1000, record_every=10)
    assert record.verdict["kinetic temperature"].outcome is True
    hot = replace(record, beta=3.0 * record.beta)
    assert hot.verdict.status == "not equilibrated"


def test_dynamics_at_constant_energy_cannot_tell() -> None:
    def record(thermostat: str) -> gnf.samplers.MDRecord:
        ensemble = gnf.Ensemble.random(SYSTEM, replicas=8, temperature=1.0, seed=4)
        _monte_carlo().equilibrate(ensemble, sweeps=200)
        md = gnf.MolecularDynamics(SYSTEM, thermostat=thermostat, timestep=0.005, threads=1)
        return md.run(ensemble, steps=600, record_every=10)

    conserving = record("nve").verdict
    assert conserving.status == "cannot tell", conserving.sentence
    assert conserving["constant energy"].outcome is None
    assert "R-hat" not in {check.name for check in conserving.checks}
    assert "R-hat" in {check.name for check in record("langevin").verdict.checks}


@pytest.fixture(scope="module")
def tempering() -> PTRecord:
    """A record of two particles, at temperatures where they exchange and forget all the time."""
    pt = gnf.ParallelTempering(TWO.system, [0.8, 1.2], gnf.MonteCarlo(TWO.system, 0.0, threads=1), ladders=8)
    ensemble = gnf.Ensemble.random(TWO.system, replicas=16, temperature=np.tile([0.8, 1.2], 8), seed=5)
    pt.equilibrate(ensemble, sweeps=400, adapt_ladder=False)
    return pt.run(ensemble, sweeps=16_000, record_every=40)


def test_tempering(tempering: PTRecord) -> None:
    verdict = tempering.verdict
    assert verdict.status == "equilibrated", verdict.sentence
    assert {"R-hat", "exchanges", "round trips", "other temperatures"} <= {check.name for check in verdict.checks}
    assert verdict["round trips"].value == tempering.total_round_trips
    still = replace(tempering, round_trips=np.zeros(8, dtype=np.int64))
    assert still.verdict["round trips"].outcome is False  # exchanges would have carried replicas to and fro
    apart = replace(tempering, accepts=tempering.accepts * 0)
    assert apart.verdict["exchanges"].outcome is False
    hot = tempering.energy.copy()
    hot[:, 1] += np.linspace(0.0, 9.0, len(hot))[:, None]
    drifting = replace(tempering, energy=hot).verdict
    assert drifting["drift"].outcome is True  # of the coldest
    assert drifting["other temperatures"].outcome is False
    assert drifting.status == "not equilibrated"


def _anneal(seed: int, sweeps: int = 20, population: int = 300) -> gnf.samplers.PAResult:
    explorer = gnf.MonteCarlo(TWO.system, 0.0, threads=1)
    pa = gnf.PopulationAnnealing(
        TWO.system, start=1.2, target=0.8, explorer=explorer, sweeps_per_step=sweeps, equilibration_sweeps=100
    )
    return pa.run(population, seed)


def test_annealed_populations_and_their_average() -> None:
    results = [_anneal(seed) for seed in range(1, 5)]
    one = results[0]
    assert one.verdict.status == "equilibrated", one.verdict.sentence
    assert {check.name for check in one.verdict.checks} == {"families", "variance of log Z"}
    assert one.verdict["variance of log Z"].value == pytest.approx(one.log_z_error[-1] ** 2)
    few = replace(one, rho_t=one.rho_t * 0.0 + 100.0)
    assert few.verdict.status == "not equilibrated"
    assert few.collapsed
    average = gnf.samplers.weighted_average(results)
    assert average.verdict.status == "equilibrated", average.verdict.sentence
    for verdict in (one.verdict, average.verdict):
        assert verdict.sentence.endswith("compare with an anneal of twice the sweeps")
    assert "families do not see" not in few.verdict.sentence
    spoiled = gnf.samplers.weighted_average([few, *results[1:]])
    assert spoiled.verdict["runs"].outcome is False
    spread = [replace(run, log_z=run.log_z + 3.0 * k) for k, run in enumerate(results)]
    assert gnf.samplers.weighted_average(spread).verdict["variance of log Z"].outcome is None


def test_a_population_that_collapses_is_found() -> None:
    pa = gnf.PopulationAnnealing(
        SYSTEM, start=1.0, target=0.6, explorer=_monte_carlo(0.0), sweeps_per_step=1, equilibration_sweeps=100
    )
    with pytest.warns(gnf.samplers.PopulationCollapseWarning):
        verdict = pa.run(100, 6).verdict
    assert verdict["families"].outcome is False
    assert "few families carry the averages" in verdict.sentence


def test_harvests_and_flows() -> None:
    explorer = gnf.MonteCarlo(TWO.system, 0.0, threads=1)
    made = gnf.samplers.harvest(explorer, 0.8, 3200, 7, replicas=32, spacing=20, equilibration_sweeps=200)
    assert made.verdict.status == "equilibrated", made.verdict.sentence
    energies = verdicts.by_group(np.asarray(made.ensemble.energy), made.groups)
    np.testing.assert_array_equal(energies[1], np.asarray(made.ensemble.energy)[32:64])
    flow = PairFlow(TWO.system, 0.8, 0.6, 0.05, turn=1.1)
    sampler = gnf.FlowSampler(TWO.system, flow, hot=0.8, cold=0.6)
    result = sampler.run_from(made.ensemble, made.groups)
    assert result.verdict.status == "equilibrated", result.verdict.sentence
    unknown = sampler.run_from(made.ensemble).verdict
    assert unknown.status == "cannot tell"
    assert unknown["base samples"].outcome is None  # nothing is known of how they were made
    heavy = replace(result, log_weights=result.log_weights - 40.0 * (np.arange(3200) > 0))
    assert heavy.verdict["largest weight"].outcome is None
    cold = TWO.draw(400, 0.6, seed=8)
    checked = sampler.run_from(made.ensemble, made.groups, reference=cold)
    assert checked.check is not None
    assert checked.verdict["forward-backward"].outcome is True
    wrong = replace(checked.check, log_z_reverse=checked.check.log_z_reverse + 1.0)
    assert replace(checked, check=wrong).verdict["forward-backward"].outcome is False


def test_chains_of_flow_metropolis() -> None:
    flow = PairFlow(TWO.system, 0.8, 0.6, 0.05, turn=1.1, steps=4)
    metropolis = gnf.FlowMetropolis(TWO.system, flow, hot=0.8, cold=0.6, base_sweeps=2, sweeps=1, threads=1)
    record = metropolis.run(metropolis.begin_from(TWO.draw(32, 0.6, seed=1), TWO.draw(32, 0.8, seed=2)), 200)
    assert record.verdict.status == "equilibrated", record.verdict.sentence
    stuck = replace(record, longest_rejection=np.full(32, 150))
    assert stuck.verdict["rejections in a row"].outcome is None
    assert replace(record, integration_error=0.3).verdict["integration"].outcome is False


# -------------------------------------------------------------------------------------------------------- from either side


def test_runs_from_above_and_from_below() -> None:
    hot = gnf.Ensemble.random(SYSTEM, replicas=8, temperature=0.25, seed=11)
    cold = gnf.Ensemble.random(SYSTEM, replicas=8, temperature=0.15, seed=12)
    _monte_carlo().equilibrate(cold, sweeps=600)
    cold.beta[:] = 4.0
    local = _monte_carlo(0.0)
    one, other = (local.run(ensemble, sweeps=100, record_every=5) for ensemble in (hot, cold))
    verdict = gnf.samplers.forward_backward(one, other)
    assert verdict.status == "not equilibrated"
    assert verdict["forward-backward"].outcome is False
    assert verdict["forward-backward"].value > 0.0
    turned = gnf.samplers.forward_backward(other, one)
    assert turned["forward-backward"].value == pytest.approx(-verdict["forward-backward"].value)
    assert gnf.samplers.forward_backward(local.run(hot, 0), local.run(cold, 0)).status == "cannot tell"


def test_runs_from_either_side_that_do_not_belong_together(tempering: PTRecord) -> None:
    sampler = _monte_carlo(0.0)
    one, other = (sampler.run(gnf.Ensemble.random(SYSTEM, 2, t, seed=1), 0) for t in (1.0, 1.1))
    with pytest.raises(ValueError, match=r"cold: expected a run at temperature 1, got 1\.1"):
        gnf.samplers.forward_backward(one, other)
    with pytest.raises(ValueError, match="cold: expected a MCRecord of 43 particles, got PTRecord of 2"):
        gnf.samplers.forward_backward(one, tempering)
    with pytest.raises(TypeError, match="cold: expected an MCRecord, MDRecord or PTRecord, got float"):
        gnf.samplers.forward_backward(one, 1.0)  # type: ignore[arg-type]
    mixed = sampler.run(gnf.Ensemble.random(SYSTEM, 2, np.array([1.0, 2.0]), seed=1), 0)
    with pytest.raises(ValueError, match="hot: expected replicas at one temperature, got several"):
        gnf.samplers.forward_backward(mixed, one)
    assert gnf.samplers.forward_backward(tempering, tempering).status == "equilibrated"


# ------------------------------------------------------------------------------------------------------------ glassnf sample

BASE = ["sample", "--replicas", "8", "--threads", "1", "--quiet"]


def _json(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run([*BASE, "-o", str(path), "--json", *arguments]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_starts_from_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-T", "0.2", "--algorithm", "mc", "--sweeps", "200", "--equilibration", "40"]
    result = _json(capsys, tmp_path / "both.h5", *arguments, "--starts", "both")
    assert result["parameters"]["starts"] == "both"
    assert result["equilibrated"] is False
    checks = {check["name"]: check for check in result["verdict"]["checks"]}
    assert checks["forward-backward"]["outcome"] is False
    assert checks["forward-backward"]["value"] > 0.0
    hot = _json(capsys, tmp_path / "hot.h5", *arguments)
    assert hot["parameters"]["starts"] == "hot"
    both, plain = (RunFile.open(tmp_path / f"{name}.h5").records["energy"] for name in ("both", "hot"))
    np.testing.assert_array_equal(both[:, :4], plain[:, :4])
    assert both[:, 4:].mean() < plain[:, 4:].mean() - 5.0


def test_cold_starts_hear_signals_and_show_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes while cold starts are annealed stops the run before there is a file; threads are those asked for."""
    from glassnf.cli import _sample

    shown: list[tuple[str, float, float]] = []
    threads: list[int | None] = []
    stops: list[_sample.StopRequest] = []
    made = gnf.MonteCarlo.__init__

    def watch(self: gnf.MonteCarlo, *arguments: Any, **options: Any) -> None:
        threads.append(options["threads"])
        made(self, *arguments, **options)

    class Turn(_sample.Turn):
        def __init__(self, show: Any, stop: Any) -> None:
            stops.append(stop)
            super().__init__(self.see, stop)

        def see(self, stage: str, done: float, total: float, note: str) -> None:
            shown.append((stage, done, total))
            if done >= 400.0:
                stops[-1].number = signal.SIGTERM

    monkeypatch.setattr(_sample, "Turn", Turn)
    monkeypatch.setattr(gnf.MonteCarlo, "__init__", watch)
    arguments = [*BASE, "-T", "0.5", "--starts", "both", "--sweeps", "40", "-o", str(tmp_path / "a.h5")]
    assert run(arguments) == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
    assert threads == [1]
    assert shown[0] == ("cold starts", 20.0, 4000.0)
    assert shown[-1] == ("cold starts", 400.0, 4000.0)  # it ended with the next block


@pytest.mark.parametrize(
    "size", [["--replicas", "20000"], ["--algorithm", "pa", "--population", "20000"], ["--particles", "20000"]]
)
def test_random_starts_hear_signals(tmp_path: Path, capsys: pytest.CaptureFixture[str], size: list[str]) -> None:
    """A signal that comes while replicas are made stops the run before there is a file, within a step of the relaxation."""
    from glassnf import _random_start

    calls, relax = [0], _random_start._relax

    def signalled(*arguments: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return relax(*arguments, **options)

    def evaluate(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        return evaluated(*arguments, **options)

    evaluated = _random_start.evaluate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_random_start, "_relax", signalled)
        patch.setattr(_random_start, "evaluate", evaluate)
        arguments = ["sample", "-T", "0.8", "--seed", "3", "--threads", "1", *size]
        assert run([*arguments, "-o", str(tmp_path / "a.h5")]) == 128 + signal.SIGTERM
    assert "stopped before the run began, while its random starts were made" in capsys.readouterr().err
    assert calls == [0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "size",
    [
        ["--replicas", "1000000000"],
        ["--algorithm", "md", "--replicas", "1000000000"],
        ["--algorithm", "pt", "--ladders", "1000000000"],
        ["--algorithm", "pa", "--population", "1000000000"],
    ],
)
def test_replicas_that_fit_into_no_memory_are_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: list[str]
) -> None:
    tracemalloc.start()
    try:
        assert run(["sample", "-T", "0.8", *size, "-o", str(tmp_path / "a.h5")]) == 2
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "replicas: expected " in capsys.readouterr().err
    assert peak < 1 << 28
    assert not list(tmp_path.iterdir())


def test_runs_from_both_sides_go_on_bit_for_bit(tmp_path: Path) -> None:
    arguments = [*BASE, "-T", "0.5", "--starts", "both", "--equilibration", "40"]
    assert run([*arguments, "-o", str(tmp_path / "a.h5"), "--sweeps", "60"]) == 0
    assert run([*arguments, "-o", str(tmp_path / "a.h5"), "--sweeps", "120", "--resume"]) == 0
    assert run([*arguments, "-o", str(tmp_path / "b.h5"), "--sweeps", "120"]) == 0
    same_runs(RunFile.open(tmp_path / "a.h5"), RunFile.open(tmp_path / "b.h5"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--replicas", "1", "--starts", "both"], "--starts: expected hot with a single replica, got both"),
        (["--algorithm", "pt", "--ladders", "1", "--starts", "both"], "--starts: expected hot with a single ladder, got both"),
        (["--algorithm", "pa", "--starts", "both"], "--starts: expected no such option with --algorithm pa"),
        (["--starts", "cold"], "--starts: expected"),
    ],
)
def test_starts_that_make_no_sense(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sample", "-T", "0.5", "-o", str(tmp_path / "a.h5"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.h5").exists()


def test_the_verdict_as_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = ["-T", "3", "--sweeps", "4000", "--equilibration", "200", "--require-equilibrated"]
    assert _json(capsys, tmp_path / "a.h5", *long)["equilibrated"] is True
    short = ["-T", "0.5", "--sweeps", "100", "--equilibration", "0", "--require-equilibrated"]
    assert run([*BASE, "-o", str(tmp_path / "b.h5"), *short]) == 4
    assert capsys.readouterr().err.startswith(("glassnf: cannot tell: ", "glassnf: not equilibrated: "))
    assert _json(capsys, tmp_path / "b.h5", "--resume")["complete"] is True  # it asks for nothing


@pytest.mark.parametrize("algorithm", ["mc", "md", "pt", "pa"])
def test_tables_mark_what_is_not_equilibrated(algorithm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {
        "mc": ["--replicas", "8", "--sweeps", "200", "--equilibration", "0"],
        "md": ["--replicas", "8", "--steps", "400", "--record-every", "10", "--equilibration", "0"],
        "pt": ["--temperatures", "0.2,0.25", "--ladders", "8", "--sweeps", "100", "--equilibration", "0", "--explorer", "mc"],
        "pa": ["--population", "30", "--sweeps-per-step", "1", "--equilibration", "0", "--explorer", "mc"],
    }[algorithm]
    temperature = [] if algorithm == "pt" else ["-T", "0.2"]
    arguments = [*temperature, "--algorithm", algorithm, "--threads", "1", "-o", str(tmp_path / "a.h5"), *options]
    assert run(["sample", *arguments]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert ")* epsilon" in text or ")* " in text
    assert "* not equilibrated: " in text


def test_an_anneal_that_has_not_arrived_cannot_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glassnf.cli._runners.population_annealing import PopulationAnnealingRunner as Runner

    run(
        [
            "sample",
            "-T",
            "0.9",
            "--algorithm",
            "pa",
            "--population",
            "100",
            "--start",
            "1",
            "-o",
            str(tmp_path / "a.h5"),
            "--quiet",
        ]
    )
    runner = Runner(RunFile.open(tmp_path / "a.h5"), 1, "cpu")
    assert "target" not in {check["name"] for check in runner.summary()["verdict"]["checks"]}
    monkeypatch.setattr(Runner, "done", False)
    assert runner.summary()["verdict"]["checks"][-1]["sentence"] == "the target has not been reached"


# ----------------------------------------------------------------------------------------------------------------- comparisons


def _judge(r: float = 0.0, spread: float = 0.01, **options: Any) -> Any:
    """Judge 16 runs of independent records, with a share r of the variance that never relaxes."""
    rng = np.random.default_rng(3)
    levels = rng.normal(size=16)
    levels = (levels - levels.mean()) / levels.std()
    energy = spread * (np.sqrt(1.0 - r) * rng.normal(size=(400, 16)) + np.sqrt(r) * levels)
    return judge(energy.mean(axis=0), (1.0, 0.01), ((0.0, 1e-4), (1.0, 0.01)), energy, **options)


def test_comparisons_tell_three_things_apart() -> None:
    good = _judge()
    assert (good.status, good.equilibrated) == ("equilibrated", True)
    assert good.sentence.startswith("equilibrated: energy and specific heat agree with the reference within 4 sigma, R-hat 1.0")
    short = _judge(0.3)
    assert (short.status, short.equilibrated) == ("cannot tell", None)
    assert 1.05 < short.r_hat < 1.5
    apart = _judge(0.7)
    assert (apart.status, apart.equilibrated) == ("cannot tell", None)
    assert apart.r_hat > 1.5
    assert _judge(fluctuation=0.1).equilibrated is True
    coarse = _judge(fluctuation=1e-4)
    assert (coarse.equilibrated, coarse.sentence.startswith("cannot tell: the error of <U>/N is ")) == (None, True)
    assert _judge(diagnosis=Diagnosis(doubts=("0.2 round trips a run",))).sentence == "cannot tell: 0.2 round trips a run"
    assert _judge(diagnosis=Diagnosis(faults=("few",), doubts=("b",), remarks=("c",))).sentence == "not equilibrated: few; b; c"
    few = judge(np.zeros(16) + 1e-5 * np.arange(16), (1.0, 0.01), ((0.0, 1e-4), (1.0, 0.01)), np.zeros((4, 16)))
    assert few.status == "cannot tell"


def test_verdicts_come_back_from_the_pieces_of_a_comparison() -> None:
    for verdict in (_judge(), _judge(0.3), _judge(0.7), _judge(diagnosis=Diagnosis(doubts=("a",)))):
        again = _verdict(jsonable(verdict))
        np.testing.assert_equal(dataclasses.asdict(again), dataclasses.asdict(verdict))


@pytest.mark.parametrize(
    "damage",
    [{"equilibrated": "yes"}, {"checks": [{"outcome": 1}]}, {"checks": [[1, 2]]}, {"checks": 3}, {"colour": "red"}],
    ids=["outcome", "outcome of a check", "no check", "no checks", "unknown"],
)
def test_damaged_verdicts_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        _verdict({**jsonable(_judge()), **damage})


@pytest.fixture
def doubtful() -> dict[str, Any]:
    """Two temperatures; of swap MC nothing can be told at either, and PT is out of equilibrium."""
    data = comparison_data((0.4, 0.3), ("md", "swap", "pt"), not_run=False)
    for entry in data["temperatures"]:
        for algorithm, outcome in zip(entry["algorithms"], (True, None, False), strict=True):
            algorithm["verdict"]["equilibrated"] = outcome
    return data


def test_words_and_tables_of_what_cannot_be_told(doubtful: dict[str, Any]) -> None:
    from rich.console import Console

    entry = doubtful["temperatures"][0]
    assert [words.equilibrated(entry, name) for name in ("md", "swap", "pt", "none")] == [True, None, False, None]
    said = " ".join(words.summary(doubtful))
    assert "Not in equilibrium: PT. Equilibrium cannot be told: swap MC." in said
    console = Console(width=80, file=io.StringIO())
    for table in tables(doubtful):
        console.print(table)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.split() for line in printed.splitlines()]
    answers = {
        line[0]: line[-1] for line in lines if line and line[0] in ("MD", "swap", "PT") and line[-1] in ("yes", "NO", "?")
    }
    assert answers == {"MD": "yes", "swap": "?", "PT": "NO"}
    rows = list(csv.DictReader(io.StringIO(comparison_to_csv(doubtful))))
    found = {row["algorithm"]: row["verdict_at_last_budget"] for row in rows}
    assert found == {"md": "equilibrated", "swap": "cannot tell", "pt": "not equilibrated"}


def test_figures_and_page_of_what_cannot_be_told(doubtful: dict[str, Any]) -> None:
    made = plots.figures(doubtful)
    lines = {line.get_gid(): line for axes in made["equilibrium"].axes for line in axes.lines if line.get_gid()}
    fills = {gid: lines[gid].get_fillstyle() for gid in lines if gid.endswith((" swap", " md"))}
    assert fills == {"perhaps in equilibrium swap": "left", "in equilibrium md": "full"}
    assert lines["out of equilibrium pt"].get_markerfacecolor() == "#FFFFFF"
    texts = [text for axes in made["speed_up"].axes for text in axes.texts if (text.get_gid() or "").startswith("mark ")]
    assert {text.get_gid(): text.get_text() for text in texts} == {"mark swap": "?", "mark pt": "*"}
    for name in ("compare", "equilibrium"):
        legend = made[name].legends[0].get_title().get_text()
        assert "\u25d0 cannot tell" in legend
        assert "\u25cb not in equilibrium" in legend
    assert "* not in equilibrium    ? cannot tell" in made["speed_up"].legends[0].get_title().get_text()
    titles = [axes.get_title(loc="right") for axes in made["diagnostics"].axes]
    assert "PT*, T = 0.4" in titles
    html = page(doubtful, {})
    assert '<td class="doubt">cannot tell</td>' in html
    assert '<td class="bad">NO</td>' in html
