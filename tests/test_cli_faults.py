"""Disks that are full, read-only or gone, files that are damaged or put together wrongly: one sentence, nothing good lost."""

from __future__ import annotations

import errno
import io
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassnf.cli import run
from glassnf.cli._chain import Chain
from glassnf.io import CheckpointWarning, RunFile, hdf5
from runs import same_runs
from sealing import changed
from test_cli_flow_assisted import weak_flow

QUICKLY = ["sample", "--seed", "3", "--quiet", "--threads", "1"]
SWAP = [
    *QUICKLY,
    "--checkpoint-every",
    "1e-9",
    "-T",
    "0.5",
    "--replicas",
    "2",
    "--record-every",
    "5",
    "--equilibration",
    "20",
    "--sweeps",
    "200",
]
RESUME = ["sample", "--resume", "--quiet", "--threads", "1"]

FAULTS = {
    errno.ENOSPC: "No space left on device",
    errno.EDQUOT: "Disk quota exceeded",
    errno.EIO: "Input/output error",
    errno.EROFS: "Read-only file system",
}


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a checkpoint of every 20 sweeps or so."""
    monkeypatch.setattr("glassnf.cli._chain._CHUNK_SECONDS", 0.0)
    monkeypatch.setattr("glassnf.cli._chain.Pace.chunk", lambda self, unit=1: -(-20 // unit) * unit)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> RunFile:
    """A run that nothing disturbed."""
    path = tmp_path_factory.mktemp("straight") / "run.h5"
    assert run([*SWAP, "-o", str(path)]) == 0
    return RunFile.open(path)


@pytest.fixture
def at_checkpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], Any]], None]:
    """Return a function that has something happen just before the n-th checkpoint after the first."""

    def arrange(number: int, action: Callable[[], Any]) -> None:
        real, left = Chain._checkpoint, number

        def checkpoint(self: Chain) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                action()
            real(self)

        monkeypatch.setattr(Chain, "_checkpoint", checkpoint)

    return arrange


def broken_disk(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Make every write of an HDF5 file fail, half-way."""

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(memoryview(data)[: len(data) // 2])
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(hdf5, "open", lambda path, mode, **_: (Full if "w" in mode else io.FileIO)(path, mode), raising=False)


def goes_on(path: Path, straight: RunFile, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that a run can be resumed to the end, and is the one that nothing disturbed."""
    assert run([*RESUME, "-o", str(path)]) == 0
    same_runs(straight, RunFile.open(path))
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    capsys.readouterr()


# ------------------------------------------------------------------------------------------------------------------ the disk


@pytest.mark.parametrize("number", FAULTS)
def test_a_disk_that_fails(
    number: int,
    tmp_path: Path,
    straight: RunFile,
    at_checkpoint: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run.h5"
    with monkeypatch.context() as patch:
        at_checkpoint(4, lambda: broken_disk(patch, number))
        assert run([*SWAP, "-o", str(path)]) == 5
    warning, error = capsys.readouterr().err.splitlines()
    what = f"{path}: {FAULTS[number]}; '{path}' holds the checkpoint of step 60"
    assert warning == f"glassnf: warning: {what}; the run goes on and tries again"
    assert error == f"glassnf: error: {what}"
    assert RunFile.open(path).ensemble.step == 60
    assert sorted(one.name for one in tmp_path.iterdir()) == ["run.h5", "run.h5.previous"]
    goes_on(path, straight, capsys)


def test_a_disk_that_is_emptied_in_time(
    tmp_path: Path, straight: RunFile, at_checkpoint: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_checkpoint(2, lambda: broken_disk(monkeypatch, errno.ENOSPC))
    at_checkpoint(5, lambda: monkeypatch.delattr(hdf5, "open"))
    path = tmp_path / "run.h5"
    assert run([*SWAP, "-o", str(path)]) == 0
    warning, again = capsys.readouterr().err.splitlines()
    assert "No space left on device" in warning
    assert again == f"glassnf: warning: {path}: checkpoints can be written again"
    same_runs(straight, RunFile.open(path))


def test_a_run_does_not_go_on_for_ever(
    tmp_path: Path, at_checkpoint: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("glassnf.cli._chain._GIVE_UP_SECONDS", 0.0)
    at_checkpoint(2, lambda: broken_disk(monkeypatch, errno.ENOSPC))
    at_checkpoint(4, lambda: pytest.fail("the run has not given up"))
    assert run([*SWAP, "-o", str(tmp_path / "run.h5")]) == 5
    assert capsys.readouterr().err.endswith("run.h5' holds the checkpoint of step 20\n")


def test_a_disk_that_fails_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken_disk(monkeypatch, errno.ENOSPC)
    assert run([*SWAP, "-o", str(tmp_path / "run.h5")]) == 5
    assert capsys.readouterr().err == f"glassnf: error: {tmp_path / 'run.h5'}: No space left on device\n"
    assert list(tmp_path.iterdir()) == []


def test_no_memory_for_a_checkpoint(
    tmp_path: Path, straight: RunFile, at_checkpoint: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: Any) -> None:
        raise MemoryError

    path = tmp_path / "run.h5"
    with monkeypatch.context() as patch:
        at_checkpoint(3, lambda: patch.setattr(hdf5, "write_ensemble", fail))
        assert run([*SWAP, "-o", str(path)]) == 5
    assert f"{path}: not enough memory to write the file; '{path}' holds the checkpoint of step 40" in capsys.readouterr().err
    goes_on(path, straight, capsys)


def test_a_folder_that_vanishes(
    tmp_path: Path, straight: RunFile, at_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    at_checkpoint(3, lambda: shutil.rmtree(folder))
    assert run([*SWAP, "-o", str(folder / "run.h5")]) == 5
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("glassnf: error: path: expected a name in an existing folder, got ")
    assert error.endswith(f"; there is no checkpoint in '{folder / 'run.h5'}'")
    folder.mkdir()
    at_checkpoint(2, lambda: folder.rename(tmp_path / "away"))
    at_checkpoint(4, lambda: (tmp_path / "away").rename(folder))  # such as a file system that is mounted again
    assert run([*SWAP, "-o", str(folder / "run.h5")]) == 0
    same_runs(straight, RunFile.open(folder / "run.h5"))


def test_a_folder_in_place_of_the_file(
    tmp_path: Path, straight: RunFile, at_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.h5"

    def replace() -> None:
        path.unlink()
        path.mkdir()

    at_checkpoint(4, replace)
    assert run([*SWAP, "-o", str(path)]) == 5
    error = capsys.readouterr().err.splitlines()[-1]
    assert "path: expected a file name, got the folder" in error
    assert error.endswith(f"'{path}.previous' holds the checkpoint before the latest one")
    path.rmdir()
    assert run([*RESUME, "-o", str(path)]) == 0
    assert capsys.readouterr().err.count("going on from that") == 1
    same_runs(straight, RunFile.open(path))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a quarter of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_real_disk_that_is_full(small_disk: Path, straight: RunFile, capsys: pytest.CaptureFixture[str]) -> None:
    path, ballast = small_disk / "run.h5", small_disk / "ballast"
    ballast.write_bytes(b"x" * 140_000)  # there is space for two files, and not for three
    assert run([*SWAP, "-o", str(path)]) == 5
    warning, error = capsys.readouterr().err.splitlines()
    assert f"{path}: No space left on device; '{path}' holds the checkpoint of step " in warning
    assert error.startswith(f"glassnf: error: {path}: No space left on device; '{path}' holds the checkpoint of step ")
    assert 20 <= RunFile.open(path).ensemble.step < 220
    assert sorted(one.name for one in small_disk.iterdir()) == ["ballast", "run.h5", "run.h5.previous"]
    ballast.unlink()
    goes_on(path, straight, capsys)


def test_a_real_disk_that_becomes_read_only(
    small_disk: Path, straight: RunFile, at_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_disk / "run.h5"

    def mount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(small_disk)], check=True)

    at_checkpoint(4, lambda: mount("ro"))
    assert run([*SWAP, "-o", str(path)]) == 5
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith(f": Read-only file system; '{path}' holds the checkpoint of step 60")
    assert run([*RESUME, "-o", str(path)]) == 5  # nothing can be written yet
    capsys.readouterr()
    mount("rw")
    goes_on(path, straight, capsys)


# ------------------------------------------------------------------------------------------------------------- damaged files


def stopped(path: Path, at_checkpoint: Any) -> None:
    """Leave a run of 60 sweeps with its checkpoints, as a kill does."""

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    at_checkpoint(4, die)
    with pytest.raises(Killed):
        run([*SWAP, "-o", str(path)])


@pytest.mark.parametrize("how", ["flipped", "empty", "missing"])
def test_going_on_from_the_checkpoint_before(
    how: str, tmp_path: Path, straight: RunFile, at_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.h5"
    stopped(path, at_checkpoint)
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if how == "flipped" else b"")
    assert run([*RESUME, "-o", str(path)]) == 0
    said = capsys.readouterr().err
    assert said.startswith("glassnf: warning: ")
    assert said.endswith(f"'{path}.previous' is the checkpoint before it; going on from that\n")
    assert said.count("\n") == 1
    same_runs(straight, RunFile.open(path))
    assert [one.name for one in tmp_path.iterdir()] == ["run.h5"]


def change(path: Path, name: str, value: Any) -> None:
    with changed(path) as file:
        group, _, last = name.rpartition("/")
        del file[name]
        if last in ("parameters", "values"):
            hdf5.write_json(file[group] if group else file, last, value)
        elif value is not None:
            hdf5.write_dataset(file[group], last, value)


def refused(path: Path, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = path.read_bytes()
    assert run([*RESUME, "-o", str(path)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert path.read_bytes() == before


def test_files_put_together_wrongly(tmp_path: Path, at_checkpoint: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.h5"
    stopped(path, at_checkpoint)
    good, parameters = path.read_bytes(), RunFile.open(path).parameters
    cases: list[tuple[dict[str, Any], str]] = [
        ({"parameters": {**parameters, "replicas": 3}}, "expected 3 replicas, as its parameters say, got 2"),
        ({"parameters": {**parameters, "record_every": 7}}, "expected 5 records at step 60, got 8"),
        ({"parameters": {**parameters, "record_every": 0}}, "expected parameters, state and records of a run"),
        (
            {"parameters": {**parameters, "n": 44}},
            "expected the system that its parameters name, got another (named != there): n",
        ),
        ({"parameters": {**parameters, "system_hash": "0"}}, "system_hash: '0' != "),
        ({"parameters": {**parameters, "algorithm": "magic"}}, "expected a file made by glassnf sample"),
        ({"parameters": {**parameters, "sweeps": "many"}}, "expected the parameters of a run, got others"),
        ({"parameters": {k: v for k, v in parameters.items() if k != "swap_probability"}}, "'swap_probability'"),
        ({"records/sweep": np.arange(7), "records/energy": np.zeros((7, 2))}, "expected 8 records at step 60, got 7"),
    ]
    for values, message in cases:
        path.write_bytes(good)
        for name, value in values.items():
            change(path, name, value)
        refused(path, message, capsys)
    path.write_bytes(good)
    assert run([*RESUME, "-o", str(path)]) == 0


LADDER = [*QUICKLY, "--algorithm", "pt", "--temperatures", "0.5,0.6,0.7", "--ladders", "2", "--equilibration", "20"]
ANNEAL = [*QUICKLY, "--algorithm", "pa", "-T", "0.7", "--start", "0.75", "--population", "8", "--culling-fraction", "0.4"]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of complete runs."""
    folder = tmp_path_factory.mktemp("states")
    for name, arguments in (
        ("pt", [*LADDER, "--sweeps", "40"]),
        ("pa", [*ANNEAL, "--equilibration", "9", "--sweeps-per-step", "2"]),
    ):
        assert run([*arguments, "-o", str(folder / name)]) == 0
    return {name: (folder / name).read_bytes() for name in ("pt", "pa")}


@pytest.mark.parametrize(
    ("algorithm", "name", "value", "message"),
    [
        ("pt", "temperatures", np.array([0.5, 0.6]), "expected 4 replicas (2 temperatures, 2 ladders), got 6"),
        ("pt", "temperatures", np.array([0.5, 0.6, 0.8]), "expected every temperature of the ladder once"),
        ("pt", "visits", np.zeros(5, np.int32), "state['visits']: expected shape (6,)"),
        ("pt", "visits", np.full(6, 9, np.int32), "state['visits']: expected"),
        ("pa", "families", np.full(8, 8), "state['families']: expected integers from 0 to 7"),
        ("pa", "families", np.arange(7), "state['families']: expected shape (8,)"),
        ("pa", "families", None, "state: expected the key 'families'"),
        ("pa", "row_rho_t", np.zeros(99), "expected as many energies as entries of each 'row_...'"),
    ],
)
def test_states_that_do_not_fit(
    algorithm: str,
    name: str,
    value: Any,
    message: str,
    states: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run.h5"
    path.write_bytes(states[algorithm])
    change(path, f"state/arrays/{name}", value)
    refused(path, message, capsys)


def test_a_device_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever may, as root may, would lose /dev/null by --overwrite."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert run([*LADDER, "--sweeps", "20", "--overwrite", "-o", str(pipe)]) != 0
    assert "expected the name of a file, got the device or pipe" in capsys.readouterr().err
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_where_the_checkpoint_before_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.h5"
    assert run([*LADDER, "--sweeps", "20", "-o", str(path)]) == 0
    before = path.read_bytes()
    Path(f"{path}.previous").mkdir()
    assert run([*LADDER, "--sweeps", "20", "--overwrite", "-o", str(path)]) == 2
    assert "run.h5.previous' to be free for the checkpoint before" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_complete_run_is_not_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.h5"
    assert run([*LADDER, "--sweeps", "20", "-o", str(path)]) == 0
    when = path.stat().st_mtime_ns
    assert run([*RESUME, "-o", str(path)]) == 0
    assert path.stat().st_mtime_ns == when


@pytest.mark.parametrize(
    "options", [["--algorithm", "mc", "--sweeps", "17592186044416"], ["--algorithm", "md", "--steps", "1e17"]]
)
def test_a_run_longer_than_steps_can_count(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", "-T", "0.8", "--replicas", "2", *options, "-o", str(tmp_path / "run.h5")]) == 2
    assert "expected at most 17,592,186,044,415" in capsys.readouterr().err
    path = tmp_path / "short.h5"
    assert run(["sample", "-T", "0.8", "--replicas", "2", "--algorithm", "mc", "--sweeps", "20", "-o", str(path)]) == 0
    assert run([*RESUME, "-o", str(path), "--sweeps", "1e17"]) == 2
    assert "--sweeps: expected at most 17,592,186,044,415 sweeps" in capsys.readouterr().err


def test_all_differences_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow, other, path = (tmp_path / name for name in ("a.safetensors", "b.safetensors", "run.h5"))
    weak_flow().save(flow)
    weak_flow(0.003).save(other)
    command = [*LADDER, "--sweeps", "20", "--flow", str(flow), "-o", str(path)]
    assert run(command) == 0
    wrong = ["--ladders", "3", "--seed", "4", "--flow", str(other), "--system", "ka2d", "-n", "44", "--sweeps", "10"]
    assert run([*RESUME, *wrong, "-o", str(path)]) == 2
    said = capsys.readouterr().err
    for difference in ("ladders: 2 != 3", "seed: 3 != 4", "n: 43 != 44", "sweeps: 20 != 10", "system_hash: ", "flow_is.hash: "):
        assert difference in said
    flow.rename(tmp_path / "moved.safetensors")
    assert run([*RESUME, "--sweeps", "40", "-o", str(path)]) == 2
    assert "a.safetensors" in capsys.readouterr().err
    assert run([*RESUME, "--sweeps", "40", "--flow", str(tmp_path / "moved.safetensors"), "-o", str(path)]) == 0
    assert RunFile.open(path).parameters["flow"] == str(tmp_path / "moved.safetensors")


def test_a_file_of_another_version_of_the_package(
    tmp_path: Path, straight: RunFile, at_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.h5"
    stopped(path, at_checkpoint)
    with changed(path) as file:
        file.attrs["glassnf_version"] = "0.0.9"
    assert run([*RESUME, "-o", str(path)]) == 0
    assert "glassnf 0.0.9 wrote" in capsys.readouterr().err
    same_runs(straight, RunFile.open(path))


# ------------------------------------------------------------------------------------------------------- trainings, comparisons


TRAIN = [
    "train", "-n", "43", "--hot", "1.0", "--cold", "0.9", "--samples", "256", "--replicas", "16", "--equilibration", "20",
    "--spacing", "2", "--layers", "0", "--temperatures", "1.0,0.9", "--steps", "2", "--threads", "1", "--quiet",
]  # fmt: skip


def test_a_training_whose_checkpoints_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glassnf.flows import _checkpoint, load, storage

    whole, file = tmp_path / "whole.safetensors", tmp_path / "flow.safetensors"
    assert run([*TRAIN, "-o", str(whole)]) == 0
    real, calls = hdf5.create, 0

    def create(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **options)

    def full(*arguments: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint.hdf5, "create", create)
        patch.setattr(storage, "atomic_write", full)
        assert run([*TRAIN, "-o", str(file)]) == 5
    warning, error = capsys.readouterr().err.splitlines()
    assert "the checkpoint could not be written (No space left on device); the training goes on without it" in warning
    checkpoint = f"{file}.training.h5"
    assert error == f"glassnf: error: {file}: No space left on device; go on with --resume (checkpoint {checkpoint})"
    assert not file.exists()
    content = Path(checkpoint).read_bytes()
    Path(checkpoint).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert run([*TRAIN, "--resume", "-o", str(file)]) == 0
    assert "going on from that" in capsys.readouterr().err
    assert load(file).hash == load(whole).hash
    assert sorted(one.name for one in tmp_path.iterdir()) == ["flow.safetensors", "whole.safetensors"]


def test_all_differences_of_a_training_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glassnf.flows import storage

    def full(*arguments: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "flow.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(storage, "atomic_write", full)
        assert run([*TRAIN, "-o", str(file)]) == 5
    assert run([*TRAIN, "--resume", "--seed", "4", "--spacing", "3", "-o", str(file)]) == 2
    said = capsys.readouterr().err
    assert "(file != asked): seed: 1 != 4; spacing: 2 != 3" in said


def test_a_report_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], undrawn: None
) -> None:
    from glassnf.compare import report

    options = "--algorithms mc,swap -T 0.7 --sweeps 160 --reference-sweeps 80 --reference-replicas 8 --runs 4 --no-cache"
    command = ["compare", *options.split(), "--tuning", "0", "--threads", "1", "--quiet", "-o", str(tmp_path / "out")]

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(report, "write_text", full)
        assert run(command) == 5
    said = capsys.readouterr().err
    assert "No space left on device; 3 finished pieces are kept, go on with --resume\n" in said
    piece = next((tmp_path / "out" / "parts").glob("0.7-mc*.json"))
    piece.write_text(piece.read_text(encoding="utf-8").replace("0", "1", 1), encoding="utf-8")  # in the checksum or beyond
    assert run([*command, "--resume"]) == 0
    assert (tmp_path / "out" / "report.html").exists()
    settings = tmp_path / "out" / "parts" / "settings.json"
    assert not settings.exists()


# -------------------------------------------------------------------------------------------------- two of one, and blow-ups


def test_the_only_good_checkpoint_is_not_thrown_away(
    tmp_path: Path, straight: RunFile, at_checkpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.h5"
    stopped(path, at_checkpoint)
    path.unlink()
    assert run([*SWAP, "-o", str(path)]) == 2
    assert f"'{path}.previous' is the checkpoint before it; use --resume or --overwrite" in capsys.readouterr().err
    with pytest.raises(FileExistsError, match=r"run\.h5\.previous' is the checkpoint before it$"):
        RunFile.create(path, straight.ensemble, {})
    assert [one.name for one in tmp_path.iterdir()] == ["run.h5.previous"]
    goes_on(path, straight, capsys)
    assert run([*SWAP, "--overwrite", "-o", str(path)]) == 0
    same_runs(straight, RunFile.open(path))


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_two_processes_on_one_file(tmp_path: Path, at_checkpoint: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path, found = tmp_path / "run.h5", []
    at_checkpoint(2, lambda: found.append(run([*RESUME, "-o", str(path)])))
    assert run([*SWAP, "-o", str(path)]) == 0
    assert found == [2]
    error = f"glassnf: error: --output: expected a file of its own, got {path}, on which another process is working\n"
    assert capsys.readouterr().err == error
    assert [one.name for one in tmp_path.iterdir()] == ["run.h5"]
    (tmp_path / ".run.h5.lock").touch()  # of a process that was killed
    assert run([*RESUME, "-o", str(path)]) == 0
    assert [one.name for one in tmp_path.iterdir()] == ["run.h5"]


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glassnf.io import locks

    path, real, calls = tmp_path / "lock", locks.Lock._is_named, 0

    def late(self: Any, descriptor: int) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            path.unlink()  # the one who held it before is done
        return real(self, descriptor)

    monkeypatch.setattr(locks.Lock, "_is_named", late)
    lock = locks.Lock(path, "in use")
    assert (calls, path.exists()) == (2, True)
    with pytest.raises(locks.InUseError, match="in use"):
        locks.Lock(path, "in use")
    lock.release()
    locks.Lock(path, "in use").release()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_somebody_else_goes_on_with(tmp_path: Path, straight: RunFile) -> None:
    run_file = RunFile.create(tmp_path / "run.h5", straight.ensemble, {})
    RunFile.open(run_file.path).checkpoint(straight.ensemble)
    with pytest.warns(CheckpointWarning, match="something else has written a checkpoint of step 220 since the last one"):
        run_file.checkpoint(straight.ensemble)


def test_dynamics_that_blows_up_on_a_full_disk(
    tmp_path: Path, at_checkpoint: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glassnf.samplers import BlowUpError, MolecularDynamics

    def blow_up() -> None:
        def fail(*arguments: Any, **options: Any) -> None:
            raise BlowUpError("the energy is infinite", 50, 0)

        broken_disk(monkeypatch, errno.ENOSPC)
        monkeypatch.setattr(MolecularDynamics, "run", fail)

    path = tmp_path / "run.h5"
    at_checkpoint(3, blow_up)
    arguments = ["--algorithm", "md", "-T", "0.5", "--replicas", "2", "--equilibration", "20", "--steps", "100"]
    assert run([*QUICKLY, "--checkpoint-every", "1e-9", *arguments, "-o", str(path)]) == 3
    error = capsys.readouterr().err.splitlines()[-1]
    told = f"{path}: No space left on device; '{path}' holds the checkpoint of step 40"
    assert error == f"glassnf: error: the energy is infinite; {told}"
    assert RunFile.open(path).ensemble.step == 40


def test_a_checkpoint_before_the_last_that_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: RunFile) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    path = tmp_path / "run.h5"
    real = RunFile.begin

    def begin(self: RunFile) -> None:
        real(self)
        monkeypatch.setattr(RunFile, "remove_previous", fail)

    monkeypatch.setattr(RunFile, "begin", begin)
    assert run([*SWAP, "-o", str(path)]) == 0
    said = capsys.readouterr().err
    assert said.endswith("run.h5.previous: Operation not permitted: the checkpoint before the last could not be removed\n")


# ---------------------------------------------------------------------------------------------------------- the standard output


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which ``$GLASSNF`` is the command."""
    program = f"{shlex.quote(sys.executable)} -c 'from glassnf.cli import main; main()'"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        ["bash", "-c", command.replace("$GLASSNF", program)], capture_output=True, text=True, env=environment, timeout=120
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(("command", "unbuffered"), [("info", ""), ("info --json", "1"), ("compare --help", "")])
def test_a_standard_output_that_is_full(command: str, unbuffered: str) -> None:
    done = shell(f"PYTHONUNBUFFERED={unbuffered} $GLASSNF {command} > /dev/full")
    assert (done.returncode, done.stderr) == (5, "glassnf: error: standard output: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_run_whose_table_cannot_be_printed(tmp_path: Path, straight: RunFile) -> None:
    words = [word for word in SWAP if word != "--quiet"]
    done = shell(f"$GLASSNF {shlex.join(words)} -o {tmp_path}/run.h5 > /dev/full")
    assert (done.returncode, done.stderr) == (5, "glassnf: error: standard output: No space left on device\n")
    same_runs(straight, RunFile.open(tmp_path / "run.h5"))


def test_a_standard_output_that_is_closed() -> None:
    done = shell("$GLASSNF info >&-")
    assert (done.returncode, done.stderr) == (0, "")
    done = shell("$GLASSNF nonsense >&- 2>&-")
    assert done.returncode == 2
    done = shell("$GLASSNF info | true; $GLASSNF compare --help | head -1")
    assert done.stderr == ""
