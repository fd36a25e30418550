"""The clock that runs while the code of a user's sampler does, and the threads that it may use meanwhile."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from .. import _arrays

__all__ = ["Clock", "torch_threads"]


class Clock:
    """A stopwatch that runs while the code of the sampler does.

    Attributes
    ----------
    seconds
        What it has measured.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def start(self) -> None:
        """Go on."""
        self._since = time.perf_counter()

    def stop(self) -> None:
        """Stop once all that was queued on a GPU is done."""
        if self._since is not None:
            _wait_for_gpu()
            self.seconds += time.perf_counter() - self._since
            self._since = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run for a while."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop for a while, if it runs."""
        if self._since is None:
            yield
            return
        self.stop()
        try:
            yield
        finally:
            self.start()


def _wait_for_gpu() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    if "cupy" in sys.modules:
        _arrays.cupy().cuda.get_current_stream().synchronize()


@contextlib.contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Hold torch, where it is loaded, to the threads of the comparison."""
    torch = sys.modules.get("torch")
    if torch is None or threads is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
