"""An interrupted comparison goes on with the pieces that are done, and ends with the numbers of an uninterrupted one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import glassnf as gnf
from glassnf.cli import run
from glassnf.compare import Event, Settings, compare, comparison_to_dict
from glassnf.compare.parts import Parts, result_from_dict, result_to_dict

TIMINGS = {"wall_time", "pair_evaluations", "seconds", "created", "command", "speed_ups", "ranking", "flow_time", "wall_time_s"}
# Tuning is out of the way: in its deterministic mode it is part of the results like all else, and takes longer than all else.
SETTINGS = Settings(
    gnf.systems.ka2d(43), (0.7, 0.6), ("md", "mc", "swap"), runs=4, sweeps=320, reference_sweeps=80, reference_replicas=8,
    seconds=None, cache=False, threads=1, tuning=0.0,
)  # fmt: skip


def _without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_timings(entry) for key, entry in value.items() if key not in TIMINGS}
    return [_without_timings(entry) for entry in value] if isinstance(value, list) else value


class _Stop:
    """Press Ctrl-C at the n-th event."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.stages: list[tuple[float, str]] = []

    def __call__(self, event: Event) -> None:
        self.left -= 1
        self.stages.append((event.temperature, event.stage))
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole() -> Any:
    return _without_timings(comparison_to_dict(compare(SETTINGS)))


@pytest.mark.parametrize("event", [1, 4, 9, 14, 20])
def test_interrupted_anywhere(whole: Any, tmp_path: Path, event: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        compare(SETTINGS, _Stop(event), folder=tmp_path)
    assert Parts(tmp_path).exist
    rest = _Stop(10**9)
    resumed = compare(SETTINGS, rest, folder=tmp_path, resume=True)
    assert _without_timings(comparison_to_dict(resumed)) == whole
    assert not Parts(tmp_path).exist
    assert not list(tmp_path.iterdir())


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    first = _Stop(10**9)
    compare(SETTINGS, first, folder=tmp_path)
    events = len(first.stages)
    with pytest.raises(KeyboardInterrupt):
        compare(SETTINGS, _Stop(events - 1), folder=tmp_path)
    assert Parts(tmp_path).count() >= 6
    rest = _Stop(10**9)
    compare(SETTINGS, rest, folder=tmp_path, resume=True)
    assert len(rest.stages) < events / 2


def test_damaged_pieces_are_made_anew(whole: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compare(SETTINGS, _Stop(12), folder=tmp_path)
    for place, path in enumerate(sorted((tmp_path / "parts").glob("0.*.json"))):
        path.write_bytes(path.read_bytes()[: 40 * place])
    assert _without_timings(comparison_to_dict(compare(SETTINGS, folder=tmp_path, resume=True))) == whole


def test_other_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^resume: expected an interrupted comparison in .*, got none"):
        compare(SETTINGS, folder=tmp_path, resume=True)
    with pytest.raises(ValueError, match=r"^folder: expected the folder"):
        compare(SETTINGS, resume=True)
    with pytest.raises(KeyboardInterrupt):
        compare(SETTINGS, _Stop(9), folder=tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    with pytest.raises(ValueError, match=r"runs was 4, is 8; seed was 1, is 2$"):
        compare(replace(SETTINGS, runs=8, seed=2), folder=tmp_path, resume=True)
    (tmp_path / "parts" / "settings.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match=r"^resume: expected the settings of a comparison in"):
        compare(SETTINGS, folder=tmp_path, resume=True)
    del before[tmp_path / "parts" / "settings.json"]
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_result_survives_json() -> None:
    result = compare(replace(SETTINGS, temperatures=(0.7,), algorithms=("mc",))).results[0].algorithms[0]
    data = json.loads(json.dumps(result_to_dict(result), allow_nan=False))
    assert result_to_dict(result_from_dict(data)) == result_to_dict(result)


TINY = [
    "--sweeps",
    "1600",
    "--reference-sweeps",
    "80",
    "--reference-replicas",
    "8",
    "--runs",
    "4",
    "--no-cache",
    "--tuning",
    "0",
]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX")
def test_killed_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    algorithms = ["--algorithms", "md,mc,swap", "-T", "0.7,0.6", "--threads", "1"]
    assert run(["compare", *TINY, *algorithms, "--quiet", "-o", str(tmp_path / "whole")]) == 0
    arguments = [*TINY, *algorithms, "--quiet", "-o", str(tmp_path / "killed")]
    process = subprocess.Popen([sys.executable, "-m", "glassnf", "compare", *arguments])
    parts = tmp_path / "killed" / "parts"
    deadline = time.monotonic() + 120.0
    while len(list(parts.glob("0.*.json"))) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.returncode == 0:
        pytest.skip("it was faster than the signal")
    assert run(["compare", *arguments]) == 2
    assert "with an interrupted comparison; use --resume or --overwrite" in capsys.readouterr().err
    assert run(["compare", *arguments, "--seed", "2", "--resume"]) == 2
    assert "seed was 1, is 2" in capsys.readouterr().err
    assert run(["compare", *arguments, "--overwrite", "--resume"]) == 2
    assert run(["compare", *arguments, "--resume"]) == 0
    both = [json.loads((tmp_path / name / "compare.json").read_text(encoding="utf-8")) for name in ("whole", "killed")]
    assert _without_timings(both[0]) == _without_timings(both[1])
    assert not parts.exists()
