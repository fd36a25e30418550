"""The short version of `kill_harness`, in a process of its own: a few kills of one algorithm of each kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import glassnf as gnf

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL and fork")

HARNESS = Path(__file__).parent / "kill_harness.py"
RESULT = HARNESS.parents[1] / "bench" / "results" / "kills.json"


def harness(tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    path = os.pathsep.join([str(Path(gnf.__file__).parents[1]), str(HARNESS.parent)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    output = tmp_path / "kills.json"
    command = [sys.executable, str(HARNESS), *arguments, "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(output.read_text(encoding="utf-8"))["algorithms"]
    return found


def test_killed_runs_end_with_the_same_bytes(tmp_path: Path) -> None:
    names = ["swap", "md hybrid swap", "pt swap, adaptive ladder", "pa mc, blocks", "nf", "train"]
    found = harness(tmp_path, "--kills", "2", "--at-calls", "2", *names)
    assert {one["algorithm"] for one in found} == set(names)
    assert all(one["identical"] and one["kills"] == 2 and one["kills_at_calls"] == 2 for one in found)


@pytest.mark.slow
def test_every_algorithm_killed(tmp_path: Path) -> None:
    assert all(one["identical"] for one in harness(tmp_path, "--kills", "10", "--at-calls", "10"))


def test_the_measured_kills_cover_every_algorithm(tmp_path: Path) -> None:
    """A new algorithm in the harness has no result yet; ``nox -s kills`` makes it."""
    import kill_harness

    assert [one["algorithm"] for one in json.loads(RESULT.read_text(encoding="utf-8"))["algorithms"]] == list(
        kill_harness.ALGORITHMS
    )
