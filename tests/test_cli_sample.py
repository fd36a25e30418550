"""``glassnf sample``: results, checkpoints, signals, and runs that go on bit for bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from glassnf.cli import run
from glassnf.cli._chain import Chain, Pace, StopRequest
from glassnf.cli._console import Bar
from glassnf.cli._runners import runner_of
from glassnf.io.runfile import RunFile
from runs import same_runs

BASE = ["sample", "-T", "0.5", "--replicas", "4", "--seed", "3", "--record-every", "10"]


def _sample(path: Path, *arguments: str) -> RunFile:
    assert run([*BASE, "-o", str(path), "--quiet", *arguments]) == 0
    return RunFile.open(path)


@pytest.fixture
def straight(tmp_path: Path) -> RunFile:
    """A run that nothing interrupted."""
    return _sample(tmp_path / "straight.h5", "--sweeps", "300", "--equilibration", "100")


def test_the_file_holds_what_the_library_gives(straight: RunFile) -> None:
    system = gnf.systems.ka2d(43)
    ensemble = gnf.Ensemble.random(system, replicas=4, temperature=0.5, seed=3)
    sampler = gnf.MonteCarlo(system, swap_probability=0.2)
    sampler.equilibrate(ensemble, sweeps=100)
    record = sampler.run(ensemble, sweeps=300, record_every=10)
    assert straight.ensemble.identical_to(ensemble)
    np.testing.assert_array_equal(straight.records["sweep"], record.sweeps)
    np.testing.assert_array_equal(straight.records["energy"], record.energy)
    np.testing.assert_array_equal(straight.counters["displacement_accepts"], record.displacement_accepts)
    np.testing.assert_array_equal(straight.counters["swap_attempts"], record.swap_attempts)
    assert straight.parameters["temperature"] == 0.5
    assert straight.parameters["algorithm"] == "swap"


def test_chunks_and_threads_change_nothing(straight: RunFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassnf.cli._chain._CHUNK_SECONDS", 0.0)
    arguments = ["--sweeps", "300", "--equilibration", "100", "--threads", "1", "--checkpoint-every", "0.05"]
    same_runs(straight, _sample(tmp_path / "chunks.h5", *arguments))


@pytest.mark.parametrize("stop_after", [1, 3, 5, 6, 9])
def test_a_stopped_run_goes_on_bit_for_bit(
    straight: RunFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stop_after: int
) -> None:
    monkeypatch.setattr("glassnf.cli._chain._CHUNK_SECONDS", 0.001)
    measure, calls = Pace.measure, 0

    def stopping(self: Pace, sweeps: int, seconds: float) -> None:
        nonlocal calls
        calls += 1
        measure(self, sweeps, 0.001 * sweeps / 37)  # chunks of 37 sweeps in production, 20 in equilibration
        if calls == stop_after:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Pace, "measure", stopping)
    path = tmp_path / "stopped.h5"
    arguments = [*BASE, "-o", str(path), "--sweeps", "300", "--equilibration", "100"]
    assert run([*arguments, "--json"]) == 143
    captured = capsys.readouterr()
    assert captured.err.startswith("glassnf: stopped after ")
    assert f"resume with: glassnf sample --resume -o {path}" in captured.err
    assert json.loads(captured.out)["complete"] is False
    stopped = RunFile.open(path)
    assert 0 < stopped.ensemble.step < 400
    assert run(["sample", "--resume", "-o", str(path), "--quiet"]) == 0
    same_runs(straight, RunFile.open(path))


def test_a_finished_run_can_be_made_longer(straight: RunFile, tmp_path: Path) -> None:
    path = tmp_path / "short.h5"
    _sample(path, "--sweeps", "117", "--equilibration", "100")
    assert run(["sample", "--resume", "-o", str(path), "--sweeps", "300", "--quiet"]) == 0
    longer = RunFile.open(path)
    same_runs(straight, longer)
    assert longer.parameters == straight.parameters


def test_resuming_a_finished_run_changes_nothing(straight: RunFile, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", "--resume", "-o", str(straight.path)]) == 0
    same_runs(straight, RunFile.open(straight.path))
    assert "<U>/N" in capsys.readouterr().out


def test_changed_parameters_are_refused(straight: RunFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = straight.path.read_bytes()
    config = tmp_path / "changes.toml"
    config.write_text("T = 0.4\nseed = 4\nsweeps = 200\n", encoding="utf-8")
    assert run(["sample", "--resume", "-o", str(straight.path), "--config", str(config), "--algorithm", "mc", "-n", "44"]) == 2
    message = capsys.readouterr().err
    for difference in ("temperature: 0.5 != 0.4", "seed: 3 != 4", "sweeps: 300 != 200, which may only grow", "n: 43 != 44"):
        assert difference in message
    assert "algorithm: 'swap' != 'mc'" in message
    assert run(["sample", "--resume", "-o", str(straight.path), "--system", "ka"]) == 2
    assert "system: 'ka2d' != 'ka'" in capsys.readouterr().err
    assert run(["sample", "--resume", "--overwrite", "-o", str(straight.path)]) == 2
    assert straight.path.read_bytes() == before


def test_files_are_not_overwritten_unless_asked(straight: RunFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = straight.path.read_bytes()
    assert run([*BASE, "-o", str(straight.path)]) == 2
    assert "exists; use --resume or --overwrite" in capsys.readouterr().err
    assert straight.path.read_bytes() == before
    assert _sample(straight.path, "--sweeps", "20", "--overwrite").parameters["sweeps"] == 20


def test_other_files_cannot_be_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ensemble.h5"
    gnf.Ensemble.random(gnf.systems.ka2d(43), replicas=2, temperature=1.0, seed=1).save(path)
    assert run(["sample", "--resume", "-o", str(path)]) == 2
    path.write_bytes(b"no HDF5")
    assert run(["sample", "--resume", "-o", str(path)]) == 2
    RunFile.create(
        tmp_path / "run.h5", gnf.Ensemble.random(gnf.systems.ka2d(43), replicas=2, temperature=1.0, seed=1), {"a": 1}
    )
    assert run(["sample", "--resume", "-o", str(tmp_path / "run.h5")]) == 2
    assert "expected a file made by glassnf sample" in capsys.readouterr().err


def test_the_result_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*BASE, "-o", str(tmp_path / "run.h5"), "--sweeps", "400", "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    energy = RunFile.open(tmp_path / "run.h5").records["energy"]
    assert result["complete"] is True
    assert result["parameters"]["equilibration"] == 100
    assert result["records"] == 40
    assert result["mean_energy"]["value"] == pytest.approx(energy.mean() / 43, rel=1e-12)
    assert result["mean_energy"]["error"] > 0.0
    assert result["specific_heat"]["value"] > 0.0
    assert 0.0 < result["displacement_acceptance"] < 1.0
    assert 0.0 < result["swap_acceptance"] < 1.0
    assert result["r_hat"] > 0.9
    assert result["equilibrated"] is None  # of so short a run
    assert result["verdict"]["sentence"].startswith("cannot tell: ")


def test_the_error_is_never_below_the_spread_of_the_replicas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At this temperature the energy has a slow mode of small amplitude, which the gamma method alone misses."""
    arguments = ["-T", "0.4", "--replicas", "16", "--seed", "3", "--sweeps", "4000", "--record-every", "4"]
    assert run(["sample", *arguments, "-o", str(tmp_path / "run.h5"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["mean_energy"]
    energy = RunFile.open(tmp_path / "run.h5").records["energy"]
    spread = energy.mean(axis=0).std(ddof=1) / np.sqrt(16) / 43
    assert found["error"] == pytest.approx(spread, rel=1e-9)
    assert found["method"] == "replicas"
    assert found["error"] > 1.2 * gnf.observables.mean_energy(energy, 43, method="gamma").error


def test_a_run_without_records_has_no_averages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-o", str(tmp_path / "run.h5"), "--sweeps", "0", "--equilibration", "20"]
    assert run([*BASE, *arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["mean_energy"] is None
    assert result["r_hat"] is None
    assert run(["sample", "--resume", "-o", str(tmp_path / "run.h5")]) == 0
    assert "too few records" in capsys.readouterr().out


def test_local_monte_carlo_and_a_system_of_your_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    system = gnf.systems.ka2d(44)
    system.to_toml(tmp_path / "mine.toml")
    config = tmp_path / "run.toml"
    config.write_text(
        f"""system = "{tmp_path / "mine.toml"}"\nalgorithm = "mc"\nreplicas = 2\nsweeps = 40\nequilibration = 20\nT = 0.7\n""",
        encoding="utf-8",
    )
    assert run(["sample", "--config", str(config), "-o", str(tmp_path / "run.h5"), "--replicas", "3"]) == 0
    capsys.readouterr()
    done = RunFile.open(tmp_path / "run.h5")
    assert done.ensemble.system == system
    assert len(done.ensemble) == 3
    assert done.counters["swap_attempts"].sum() == 0
    assert done.parameters["swap_probability"] == 0.0
    assert run(["sample", "--config", str(config), "-n", "43", "-o", str(tmp_path / "x.h5")]) == 2
    assert "--particles: expected 44" in capsys.readouterr().err


def _run_and_signal(arguments: list[str], path: Path, after: int, number: signal.Signals) -> int:
    """Run in a process of its own, send a signal once the file has got beyond `after` sweeps; return where it stands then."""
    command = [sys.executable, "-c", "from glassnf.cli import main; main()", *arguments, "--checkpoint-every", "0.1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60.0
    while (not path.exists() or RunFile.open(path).ensemble.step <= after) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60.0)
    assert process.returncode == 128 + number, err
    assert out == ""
    assert err.startswith("glassnf: stopped after ")
    return RunFile.open(path).ensemble.step


def test_a_killed_process_leaves_a_file_to_go_on_from(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    arguments = [*BASE, "--sweeps", "1000000000", "--equilibration", "40", "--record-every", "100", "-o", str(path)]
    first = _run_and_signal(arguments, path, 0, signal.SIGTERM)
    second = _run_and_signal(["sample", "--resume", "-o", str(path)], path, first, signal.SIGINT)
    assert 0 < first < second
    stopped = RunFile.open(path)
    system = gnf.systems.ka2d(43)
    ensemble = gnf.Ensemble.random(system, replicas=4, temperature=0.5, seed=3)
    sampler = gnf.MonteCarlo(system, swap_probability=0.2)
    sampler.equilibrate(ensemble, sweeps=40)
    record = sampler.run(ensemble, sweeps=second - 40, record_every=100)
    assert stopped.ensemble.identical_to(ensemble)
    np.testing.assert_array_equal(stopped.records["energy"], record.energy)


def test_a_second_signal_interrupts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)

    def twice(self: Pace, sweeps: int, seconds: float) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Pace, "measure", twice)
    path = tmp_path / "run.h5"
    assert run([*BASE, "-o", str(path), "--sweeps", "100", "--quiet"]) == 130
    assert RunFile.open(path).ensemble.step == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_a_chain_that_is_asked_to_stop_before_it_starts(straight: RunFile) -> None:
    run_file = RunFile.open(straight.path)
    run_file.parameters["sweeps"] = 10_000
    runner = runner_of("swap")(run_file, None, "cpu")
    Chain(runner, Bar(quiet=True), 60.0).advance(StopRequest(number=signal.SIGTERM))
    assert not runner.done
    same_runs(straight, RunFile.open(straight.path))
