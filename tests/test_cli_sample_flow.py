"""``glassnf sample --algorithm nf``: what the file holds, runs that go on bit for bit, options that do not belong."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from glassnf.cli import run
from glassnf.flows import RadialFlow, save
from glassnf.io.runfile import RunFile
from runs import same_runs
from test_cli_flow_assisted import weak_flow

HOT, COLD = 0.8, 0.7
BASE = ["sample", "-T", str(COLD), "--algorithm", "nf", "--seed", "3", "--replicas", "6"]
LENGTHS = ["--equilibration", "60", "--sweeps", "70", "--record-every", "20"]
SYSTEM = gnf.systems.ka2d(43)


@pytest.fixture
def flow(tmp_path: Path) -> list[str]:
    """Return options that name the file of a flow."""
    save(tmp_path / "weak.safetensors", weak_flow())
    return ["--flow", str(tmp_path / "weak.safetensors")]


def test_the_file_and_the_averages(flow: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.h5"
    assert run([*BASE, *flow, *LENGTHS, "--json", "-o", str(path)]) == 0
    said = json.loads(capsys.readouterr().out)
    file = RunFile.open(path)
    records = file.records
    np.testing.assert_array_equal(records["sweep"], [80, 100, 120])  # the last 10 sweeps end without a record
    assert records["positions"].shape == (3, 6, 43, 2)
    assert file.ensemble.step == 130
    assert file.ensemble.beta.tolist() == [1.0 / HOT] * 6
    assert said["samples"] == 18
    assert said["hot"] == HOT
    # The same by the library: replicas equilibrated, recorded, carried.
    mc = gnf.MonteCarlo(SYSTEM, 0.2)
    hot = gnf.Ensemble.random(SYSTEM, 6, HOT, seed=3)
    mc.equilibrate(hot, 60)
    states = []
    for _ in range(3):
        mc.run(hot, 20)
        states.append(hot.copy())
    base = gnf.Ensemble.from_arrays(
        SYSTEM,
        np.concatenate([state.positions for state in states]),
        species=np.concatenate([state.species for state in states]),
        temperature=HOT,
        seed=3,
    )
    result = gnf.FlowSampler(SYSTEM, weak_flow(), hot=HOT, cold=COLD, steps=said["steps"]).run_from(
        base, np.tile(np.arange(6), 3)
    )
    np.testing.assert_array_equal(records["log_weight"].ravel(), result.log_weights)
    np.testing.assert_array_equal(records["energy"].ravel(), result.energy_after)
    np.testing.assert_array_equal(records["positions"].reshape(18, 43, 2), result.ensemble.positions)
    assert said["mean_energy"] == pytest.approx({"value": result.mean_energy / 43, "error": result.mean_energy_error / 43})
    assert said["log_z"] == pytest.approx({"value": result.log_z_ratio, "error": result.log_z_ratio_error})
    assert said["ess"] == pytest.approx(result.ess)
    assert said["specific_heat"]["value"] == pytest.approx(result.specific_heat)
    assert 0.0 < said["integration_error"] < 0.01


def test_a_run_in_pieces_is_the_same(flow: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by SIGINT after each of some turns and resumed; and made longer."""
    import os
    import signal

    from glassnf.cli._runners.flow import FlowRunner

    whole, pieces = tmp_path / "whole.h5", tmp_path / "pieces.h5"
    assert run([*BASE, *flow, *LENGTHS, "--sweeps", "100", "--quiet", "-o", str(whole)]) == 0
    advance = FlowRunner.advance

    def one_turn(self: FlowRunner, turn: Any) -> None:
        advance(self, turn)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("glassnf.cli._chain._CHUNK_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(FlowRunner, "advance", one_turn)
        code = run([*BASE, *flow, *LENGTHS, "--quiet", "-o", str(pieces)])
        stops = 1
        while code == 128 + signal.SIGINT:
            code = run(["sample", "--resume", "--quiet", "-o", str(pieces)])
            stops += 1
    assert code == 0
    assert stops > 4
    assert RunFile.open(pieces).n_records == 3
    assert run(["sample", "--resume", "--sweeps", "100", "--quiet", "-o", str(pieces)]) == 0
    monkeypatch.undo()
    a, b = RunFile.open(whole), RunFile.open(pieces)
    same_runs(a, b)
    assert a.n_records == 5


def test_tables_in_words(flow: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*BASE, *flow, *LENGTHS, "-o", str(tmp_path / "run.h5")]) == 0
    text = capsys.readouterr().out
    shown, judged = re.search(r"effective samples +\S ([\d.]+) of", text), re.search(r"([\d.]+)\s+effective samples?[,;]", text)
    assert shown is not None
    assert judged is None or shown[1] == judged[1]
    for words in (
        "T = 0.8 to 0.7, nf (swap)",
        "<U>/N",
        "log Z, relative to the hot one",
        "effective samples",
        "steps, error",
    ):
        assert words in text
    few = ["--equilibration", "20", "--sweeps", "200", "--record-every", "10"]
    assert run([*BASE, *flow, "-T", "0.5", *few, "-o", str(tmp_path / "b.h5")]) == 0
    assert "ONE SAMPLE dominates" in capsys.readouterr().out
    assert run([*BASE, *flow, "--equilibration", "0", "--sweeps", "10", "-o", str(tmp_path / "c.h5")]) == 0
    assert "too few records" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-T", "0.4"], "--temperature: expected a temperature from 0.5 to 0.8, the range of the flow, got 0.4"),
        (["--start", "0.9"], "--start: expected a temperature from 0.5 to 0.8, the range of the flow, got 0.9"),
        (["--start", "0.7"], "--temperature: expected one below the hot one, 0.7, got 0.7"),
        (["--explorer", "md", "--thermostat", "nve"], "--thermostat: expected langevin or rescaling for the samples of a flow"),
        (["--population", "5"], "--population: expected no such option with --algorithm nf --explorer swap"),
        (["--explorer", "mc", "--swap-probability", "0.5"], "--swap-probability: expected no such option with"),
    ],
)
def test_options_that_make_no_sense(
    flow: list[str], options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*BASE, *flow, *LENGTHS, *options, "-o", str(tmp_path / "run.h5")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run.h5").exists()


def test_a_flow_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.h5"
    assert run(["sample", "-T", "0.7", "--algorithm", "nf", "-o", str(path)]) == 2
    assert "--flow: expected the file of a trained flow with --algorithm nf, got none" in capsys.readouterr().err
    missing = str(tmp_path / "none.safetensors")
    assert run(["sample", "-T", "0.7", "--algorithm", "nf", "--flow", missing, "-o", str(path)]) == 2
    assert "none.safetensors" in capsys.readouterr().err


def test_going_on_with_another_flow_is_refused(flow: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.h5"
    assert run([*BASE, *flow, *LENGTHS, "--quiet", "-o", str(path)]) == 0
    save(flow[1], weak_flow(0.005))
    assert run(["sample", "--resume", "--sweeps", "90", "-o", str(path)]) == 2
    message = capsys.readouterr().err
    assert "expected the parameters of the run in" in message
    assert "flow_is.hash: " in message


def test_a_flow_that_fails_leaves_the_file(
    flow: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RadialFlow.transport

    def broken(*args: Any, **options: Any) -> Any:
        moved = real(*args, **options)
        return replace(moved, log_jacobian=np.full_like(moved.log_jacobian, np.nan))

    monkeypatch.setattr(RadialFlow, "transport", broken)
    path = tmp_path / "run.h5"
    assert run([*BASE, *flow, *LENGTHS, "--quiet", "-o", str(path)]) == 2
    assert "expected finite positions and Jacobians" in capsys.readouterr().err
    assert RunFile.open(path).n_records == 0


def test_dynamics_may_move_the_replicas(flow: list[str], tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    assert run([*BASE, *flow, *LENGTHS, "--explorer", "md", "--quiet", "-o", str(path)]) == 0
    file = RunFile.open(path)
    assert file.n_records == 3
    assert file.ensemble.velocities is not None
    assert np.isfinite(file.records["log_weight"]).all()
