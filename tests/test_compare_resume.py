"""An interrupted comparison goes on with the pieces that are done, and ends with the numbers of an uninterrupted one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from glassnf.cli import run
from glassnf.compare import (
    AlgorithmSpec,
    Cost,
    Estimate,
    Event,
    Settings,
    algorithms,
    compare,
    comparison_to_dict,
    register_algorithm,
    write_files,
)
from glassnf.compare.parts import Parts, result_from_dict, result_to_dict

pytestmark = pytest.mark.usefixtures("undrawn")

TIMINGS = {"wall_time", "pair_evaluations", "seconds", "created", "command", "speed_ups", "ranking", "flow_time"}
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
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]  # they stay until the report is written


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    first, rest = _Stop(10**9), _Stop(10**9)
    compare(SETTINGS, first, folder=tmp_path)
    assert Parts(tmp_path).count() == 2 * (1 + 3)
    compare(SETTINGS, rest, folder=tmp_path, resume=True)
    assert len(rest.stages) == 2 * 3  # a line for each algorithm at each temperature


def test_a_report_that_cannot_be_drawn_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glassnf import plots

    def fail(data: Any) -> Any:
        raise RuntimeError("no ink")

    settings = replace(SETTINGS, temperatures=(0.7,), algorithms=("mc",))
    comparison = compare(settings, folder=tmp_path)
    monkeypatch.setattr(plots, "figures", fail)
    with pytest.raises(RuntimeError, match="no ink"):
        write_files(comparison_to_dict(comparison), tmp_path)
    assert (tmp_path / "compare.json").exists()
    assert Parts(tmp_path).count() == 2
    monkeypatch.undo()
    write_files(comparison_to_dict(compare(settings, folder=tmp_path, resume=True)), tmp_path)
    assert not Parts(tmp_path).exist


@pytest.mark.skipif(os.name != "posix", reason="file locks are of POSIX")
def test_two_comparisons_in_one_folder(tmp_path: Path) -> None:
    first = Parts(tmp_path)
    first.begin(SETTINGS, resume=False)
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"which another comparison is using$"):
            compare(SETTINGS, folder=tmp_path, resume=resume)
    assert first.exist
    first.release()
    second = Parts(tmp_path)
    second.begin(SETTINGS, resume=True)
    second.release()
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_pieces_that_cannot_be_kept_are_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Parts, "put", full)
    comparison = compare(replace(SETTINGS, temperatures=(0.7,), algorithms=("mc",)), folder=tmp_path)
    assert len(comparison.results[0].algorithms) == 1
    assert sum("No space left on device" in note for note in comparison.notes) == 2


class _Broken:
    """An algorithm that fails when it has done some work."""

    def __init__(self, system: Any, temperature: float, options: Any) -> None:
        self.runs = 0

    def prepare(self, ensemble: Any) -> None:
        self.runs = len(ensemble)

    def advance(self, budget: int, progress: Any = None) -> Estimate:
        if budget > 100:
            raise RuntimeError("the dynamics\nblew up")
        return Estimate(np.zeros(self.runs), np.ones(self.runs))

    def cost(self) -> Cost:
        return Cost(1.0, 1.0)

    def trace(self) -> None:
        return None

    def report(self) -> dict[str, Any]:
        return {}


def test_what_fails_is_named_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algorithms, "_register", dict(algorithms._register))
    register_algorithm(AlgorithmSpec("broken", "broken", "#000000", "x", _Broken))
    settings = replace(SETTINGS, algorithms=("broken", "mc", "swap"))
    comparison = compare(settings, folder=tmp_path)
    for result in comparison.results:
        assert [one.spec.name for one in result.algorithms] == ["mc", "swap"]
        assert [(one.name, one.reason) for one in result.not_run] == [("broken", "it has failed: the dynamics blew up")]
        assert result.speed_ups == ()  # there is no baseline
    assert "T = 0.6: broken has failed: the dynamics blew up" in comparison.notes
    assert len(write_files(comparison_to_dict(comparison), tmp_path)) >= 4


def test_the_baseline_is_never_given_up() -> None:
    settings = replace(SETTINGS, temperatures=(0.3, 0.28, 0.26), algorithms=("mc", "md"), stop_when_failed=True)
    comparison = compare(settings)  # 320 sweeps equilibrate nothing here
    assert all(not one.verdict.equilibrated for result in comparison.results for one in result.algorithms)
    assert [[one.name for one in result.not_run] for result in comparison.results] == [[], [], ["md"]]
    assert "not known to be in equilibrium at T = 0.3 and 0.28" in comparison.results[2].not_run[0].reason


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
    with pytest.raises(ValueError, match=r"\(file != asked\): runs: 4 != 8; seed: 1 != 2$"):
        compare(replace(SETTINGS, runs=8, seed=2), folder=tmp_path, resume=True)
    kept = (tmp_path / "parts" / "settings.json").read_bytes()
    (tmp_path / "parts" / "settings.json").write_text("[]", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"^resume: expected the settings of a comparison in .*, got something else, and no piece"
    ):
        compare(replace(SETTINGS, seed=2), folder=tmp_path, resume=True)
    parts = Parts(tmp_path)
    parts.begin(SETTINGS, resume=True)  # the pieces say that these are the settings
    parts.release()
    assert (tmp_path / "parts" / "settings.json").read_bytes() == kept
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
    assert "seed: 1 != 2" in capsys.readouterr().err
    assert run(["compare", *arguments, "--overwrite", "--resume"]) == 2
    assert run(["compare", *arguments, "--resume"]) == 0
    both = [json.loads((tmp_path / name / "compare.json").read_text(encoding="utf-8")) for name in ("whole", "killed")]
    assert _without_timings(both[0]) == _without_timings(both[1])
    assert not parts.exists()


@pytest.mark.parametrize(("number", "code", "how"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")])
def test_a_signal_is_a_sentence(
    number: int, code: int, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glassnf.cli import _compare

    before = signal.getsignal(number)
    monkeypatch.setattr(_compare._Display, "show", lambda *_: signal.raise_signal(number))
    assert run(["compare", *TINY, "--algorithms", "mc", "-T", "0.7", "--json", "-o", str(tmp_path)]) == code
    said = capsys.readouterr()
    assert said.err.startswith(f"glassnf: error: {how}; 0 finished pieces are kept, go on with: ")
    assert json.loads(said.out)["error"]["exit_code"] == code
    assert signal.getsignal(number) is before
    assert Parts(tmp_path).exist


def test_a_kill_while_pieces_are_removed_leaves_none_of_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished comparison cannot be taken for an interrupted one, and the next one in its folder clears what is left."""

    class Killed(BaseException):
        pass

    def half(folder: Path) -> None:
        next(folder.iterdir()).unlink()
        raise Killed

    parts = Parts(tmp_path)
    parts.begin(SETTINGS, resume=False)
    parts.put(0.5, "mc", {"a": 1})
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(shutil, "rmtree", half)
        parts.remove()
    parts.release()
    assert not parts.exist
    assert [path.name for path in tmp_path.iterdir()] == [".parts-removed"]
    parts.begin(SETTINGS, resume=False)
    parts.remove()
    parts.release()
    assert not list(tmp_path.iterdir())
