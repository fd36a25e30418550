"""The checkpoint before the latest one: kept, used where the latest is damaged, never replaced by a damaged file."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glassnf.io import DamagedFileError, FileFormatError, PreviousCheckpointWarning, RunFile, atomic_write, files
from test_io_runfile import make

posix = pytest.mark.skipif(os.name != "posix", reason="signals and locks of POSIX")


def two_checkpoints(folder: Path) -> RunFile:
    """Return a run with checkpoints of steps 1 and 2."""
    run = RunFile.create(folder / "run.h5", make(), {"a": 1})
    for step in (1, 2):
        run.append({"sweep": [step]}, {"sum": step})
        run.checkpoint(make(step))
    return run


def step_of(path: Path) -> int:
    return int(RunFile.open(path).ensemble.step)


def damage(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_the_checkpoint_before_is_kept(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path)
    assert (step_of(run.path), step_of(run.previous)) == (2, 1)
    assert run.previous == tmp_path / "run.h5.previous"
    run.checkpoint(make(3))
    assert (step_of(run.path), step_of(run.previous)) == (3, 2)
    run.remove_previous()
    run.remove_previous()
    assert os.listdir(tmp_path) == ["run.h5"]
    run.checkpoint(make(4))
    assert (step_of(run.path), step_of(run.previous)) == (4, 3)


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty", "overwritten", "missing"])
def test_recovery(tmp_path: Path, how: str) -> None:
    path = two_checkpoints(tmp_path).path
    if how == "flipped":
        damage(path)
    elif how == "missing":
        path.unlink()
    else:
        path.write_bytes({"truncated": path.read_bytes()[:-1], "empty": b"", "overwritten": b"something else"}[how])
    kind = FileNotFoundError if how == "missing" else DamagedFileError
    with pytest.raises(kind, match=r"run\.h5.*; '.*run\.h5\.previous' is the checkpoint before it$"):
        RunFile.open(path)
    with pytest.warns(PreviousCheckpointWarning, match=r"run\.h5\.previous' is the checkpoint before it; going on from that$"):
        run = RunFile.recover(path)
    assert (run.path, run.ensemble.step, run.n_records, int(run.counters["sum"])) == (path, 1, 1, 1)
    run.checkpoint(make(7))  # the damaged file does not take the place of the good one
    assert (step_of(path), step_of(run.previous)) == (7, 1)
    run.checkpoint(make(8))
    assert (step_of(path), step_of(run.previous)) == (8, 7)


def test_nothing_to_recover_from(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path)
    damage(run.path)
    damage(run.previous, 600)
    with pytest.raises(DamagedFileError, match=r"run\.h5: expected the SHA-256"):
        RunFile.recover(run.path)
    run.previous.unlink()
    with pytest.raises(DamagedFileError, match=r"another program has changed it$"):
        RunFile.recover(run.path)
    with pytest.raises(FileNotFoundError, match=r"^path: expected an existing file, got '.*none\.h5'$"):
        RunFile.recover(tmp_path / "none.h5")


def test_a_file_of_a_later_version_is_not_replaced_by_an_older_one(tmp_path: Path) -> None:
    path = two_checkpoints(tmp_path).path
    path.write_bytes(path.read_bytes().replace(b"glassnf 2\n", b"glassnf 3\n", 1))
    with pytest.raises(FileFormatError, match="another version of glassnf wrote the file"):
        RunFile.recover(path)


@pytest.mark.parametrize("how", ["damaged", "replaced", "removed"])
def test_a_file_that_was_touched_never_becomes_the_checkpoint_before(tmp_path: Path, how: str) -> None:
    run = two_checkpoints(tmp_path)
    if how == "damaged":
        damage(run.path)
    else:
        run.path.unlink()
        if how == "replaced":
            run.path.write_bytes(b"something else")
    assert "run.h5.previous' holds the checkpoint before" in run.last_good()
    run.checkpoint(make(3))
    assert (step_of(run.path), step_of(run.previous)) == (3, 1)
    assert run.last_good() == f"{str(run.path)!r} holds the checkpoint of step 3"


def test_a_new_run_has_no_checkpoint_of_an_old_one(tmp_path: Path) -> None:
    path = two_checkpoints(tmp_path).path
    RunFile.create(path, make(5), {}, overwrite=True)
    assert os.listdir(tmp_path) == ["run.h5"]


def test_names_too_long_for_a_second_one_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^path: expected a file name of at most 240 bytes"):
        RunFile.create(tmp_path / ("a" * 241), make(), {})
    assert os.listdir(tmp_path) == []


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    run = two_checkpoints(tmp_path)
    assert (step_of(run.path), step_of(run.previous)) == (2, 1)
    real = os.replace

    def fail_for_new(source: Path, target: Path) -> None:
        if str(source).endswith(".tmp"):
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", fail_for_new)
    with pytest.raises(OSError, match="Input/output error"):
        run.checkpoint(make(3))
    assert step_of(run.path) == 2  # it has its name again
    assert os.listdir(tmp_path) == ["run.h5"]
    monkeypatch.setattr(os, "replace", real)
    run.checkpoint(make(3))
    assert step_of(run.path) == 3


@posix
def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    import fcntl

    dead, living, other = (tmp_path / f".{name}.tmp" for name in (f"a.{'0' * 16}", f"a.{'1' * 16}", "a.b"))
    for path in (dead, living, other):
        path.write_bytes(b"half a file")
    with living.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with atomic_write(tmp_path / "a") as temporary:
            temporary.write_text("whole")
            with atomic_write(tmp_path / "a") as second:  # a thread or another process, at the same time
                second.write_text("other")
            assert (tmp_path / "a").read_text() == "other"
    assert (tmp_path / "a").read_text() == "whole"
    assert sorted(os.listdir(tmp_path)) == sorted(["a", living.name, other.name])


@posix
def test_a_temporary_file_taken_for_a_leftover_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False, False, True]
    monkeypatch.setattr(files, "_is_ours", lambda descriptor: answers.pop(0))
    with atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("x")
    assert answers == []
    assert (tmp_path / "a").read_text() == "x"


@posix
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_kill_at_every_call_of_a_checkpoint(tmp_path: Path, links: bool) -> None:
    """In a process of its own, which forks for every kill."""
    command = f"import kill_points; print(kill_points.every_call({str(tmp_path)!r}, links={links}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(name for name in sys.path if name)}
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = ast.literal_eval(done.stdout)
    assert found["kills"] >= 20
    assert found["latest"] == {2, 3} if links else found["latest"] == {2, 3, None}
    assert found["previous"] == {1, 2}
    assert found["recovered"] == {2, 3}
