"""``glassnf train``: the file, what it prints, interruptions, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import glassnf as gnf
from glassnf.cli import run

QUICK = [
    "train", "-n", "43", "--hot", "1.0", "--cold", "0.9", "--samples", "512", "--replicas", "32", "--equilibration", "100",
    "--spacing", "10", "--layers", "1", "--seed", "3",
]  # fmt: skip


def test_a_flow_from_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "flow.safetensors"
    assert run([*QUICK, "-o", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    flow = gnf.flows.load(file, gnf.systems.ka2d(n=43))
    assert flow.hash == said["hash"]
    assert said["nodes"][0]["temperature"] == 1.0
    assert said["provenance"]["seed"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["flow.safetensors"]  # no checkpoint stays
    again = gnf.flows.train(
        gnf.systems.ka2d(n=43), 1.0, 0.9, 3, layers=1, samples=512, replicas=32, equilibration_sweeps=100, spacing=10
    )
    assert again.hash == flow.hash
    # What is there is not lost, unless one says so; without --json a table and the figures.
    assert run([*QUICK, "-o", str(file)]) == 2
    assert "use --overwrite" in capsys.readouterr().err
    assert run([*QUICK, "-o", str(file), "--overwrite"]) == 0
    text = capsys.readouterr().out
    assert "explained" in text
    assert "Effective sample size from T = 1 to 0.9" in text


def test_a_stopped_training_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "flow.safetensors"
    long = [*QUICK[:-4], "--layers", "1", "--seed", "3", "--samples", "3072", "-o", str(file), "--quiet"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", "from glassnf.cli import main; main()", *long]
    checkpoint = tmp_path / "flow.safetensors.training.h5"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120.0
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 143, error
    assert "--resume" in error
    assert not file.exists()
    assert run(long) == 2  # the checkpoint is not thrown away
    assert run([*long, "--resume"]) == 0
    assert file.exists()
    assert not checkpoint.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--cold", "1.5"], "cold: expected a temperature below hot"),
        (["--layers", "7"], "--layers: expected"),
        (["--sampler", "nuts"], "--sampler: expected"),
        (["--samples", "10"], "--samples: expected"),
        (["--system", "ka3d"], "ka3d"),
        (["--resume"], "--resume: expected the checkpoint"),
        (["--temperatures", "1.0,0.95"], "temperatures: expected distinct temperatures"),
    ],
)
def test_bad_options_are_one_sentence(
    change: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*QUICK, "-o", str(tmp_path / "flow.safetensors"), *change]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--cold", "0.4", "-o", str(tmp_path / "x.safetensors")]) == 2
    assert "--hot: expected a temperature" in capsys.readouterr().err
    assert run(["train", "--hot", "0.5", "--cold", "0.4"]) == 2
    assert "--output (-o): expected" in capsys.readouterr().err
