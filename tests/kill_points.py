"""Where a process that writes a file can be killed: instruments for children of `kill_harness`, and kills at every point."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glassnf.io import RunFile, files, hdf5
from test_io_runfile import make

__all__ = ["Blackbox", "every_call", "instrument"]


@dataclass
class Blackbox:
    """Shared memory in which a child notes what it does: whether it is writing, and how many calls of writing it has made."""

    memory: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 4096))

    @property
    def writing(self) -> bool:
        return self.memory[0] != 0

    @property
    def calls(self) -> int:
        return int.from_bytes(self.memory[8:16], "little")

    def set_writing(self, value: bool) -> None:
        self.memory[0] = int(value)

    def count(self) -> int:
        calls = self.calls + 1
        self.memory[8:16] = calls.to_bytes(8, "little")
        return calls

    def clear(self) -> None:
        self.memory[:16] = bytes(16)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def instrument(box: Blackbox, fatal: int | None, when: str) -> None:
    """Count the calls by which files are written, and die at one of them."""

    def wrapped(call: Callable[..., Any], partly: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def replacement(*arguments: Any, **options: Any) -> Any:
            mine = box.count() == fatal
            if mine and when == "before":
                die()
            if mine and when == "within" and partly is not None:
                partly(*arguments)
                die()
            try:
                return call(*arguments, **options)
            finally:
                if mine:
                    die()

        return replacement

    for name in ("open", "fsync", "link", "replace", "unlink"):
        setattr(os, name, wrapped(getattr(os, name)))

    class Raw(io.FileIO):
        write = wrapped(io.FileIO.write, lambda self, data: io.FileIO.write(self, memoryview(data)[: len(data) // 2]))

    hdf5.open = lambda path, mode, **_: (Raw if "w" in mode else io.FileIO)(path, mode)
    Path.write_text = wrapped(Path.write_text, lambda self, text: Path.write_bytes(self, text[: len(text) // 2].encode()))
    Path.write_bytes = wrapped(Path.write_bytes)

    real = files.atomic_write

    @contextlib.contextmanager
    def watched(*arguments: Any, **options: Any) -> Any:
        box.set_writing(True)
        with real(*arguments, **options) as temporary:
            yield temporary
        box.set_writing(False)

    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("glassnf") and getattr(module, "atomic_write", None) is real:
            module.atomic_write = watched


def every_call(folder: str, *, links: bool) -> dict[str, Any]:
    """Kill a process before, within and after every call by which it writes a checkpoint, of step 3 after those of 1 and 2.

    Parameters
    ----------
    folder
        Empty.
    links
        Whether the file system has hard links.

    Returns
    -------
    dict
        Number of kills, and the steps found: in the file, in the one before it, and by `RunFile.recover`; None for no file. All
        are read, so that a damaged file is an error.
    """
    os.chdir(folder)
    run = RunFile.create("run.h5", make(), {})
    for step in (1, 2):
        run.checkpoint(make(step))
    pristine = {name: Path(name).read_bytes() for name in ("run.h5", "run.h5.previous")}
    found: dict[str, Any] = {"kills": 0, "latest": set(), "previous": set(), "recovered": set()}
    for fatal in range(1, 1000):
        for when in ("before", "within", "after"):
            for name in os.listdir("."):
                os.unlink(name)
            for name, content in pristine.items():
                Path(name).write_bytes(content)
            if not _killed(fatal, when, links):
                return found
            found["kills"] += 1
            for name, key in (("run.h5", "latest"), ("run.h5.previous", "previous")):
                found[key].add(RunFile.open(name).ensemble.step if os.path.exists(name) else None)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the checkpoint before, where there are no links
                again = RunFile.recover("run.h5")
            found["recovered"].add(again.ensemble.step)
            again.checkpoint(make(3))
            again.remove_previous()
            assert os.listdir(".") == ["run.h5"], os.listdir(".")
            assert RunFile.open("run.h5").ensemble.step == 3
    raise AssertionError("a checkpoint takes more than a thousand calls")


def _killed(fatal: int, when: str, links: bool) -> bool:
    """Write the checkpoint in a child that dies at a call; return whether it did, and not come to its end."""
    process = os.fork()
    if process == 0:
        code = 1
        with contextlib.suppress(BaseException):
            if not links:
                os.link = _no_links
            run = RunFile.open("run.h5")
            instrument(Blackbox(), fatal, when)
            run.checkpoint(make(3))
            code = 0
        os._exit(code)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


def _no_links(*arguments: Any, **options: Any) -> None:
    raise PermissionError(1, "Operation not permitted")
