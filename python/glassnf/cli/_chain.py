"""The loop of ``glassnf sample``: turns of a run between which it shows progress, writes checkpoints and hears signals."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ._console import Bar
from ._errors import CANNOT_WRITE, CommandError, cannot_write, warn

if TYPE_CHECKING:
    from ._runners.base import Runner

__all__ = ["Chain", "Pace", "StopRequest", "Turn", "catch_signals"]

_CHUNK_SECONDS: Final = 0.3
_FIRST_CHUNK: Final = 20
_GIVE_UP_SECONDS: Final = 3600.0
"""How long a run goes on when its checkpoints cannot be written, before it ends."""

Show = Callable[[str, float, float, str], None]


@dataclass
class StopRequest:
    """Whether a signal has asked the run to stop, and which."""

    number: int | None = None

    @property
    def exit_code(self) -> int:
        """128 plus the number of the signal, as shells have it."""
        return 128 + (self.number or 0)


@contextlib.contextmanager
def catch_signals(*, at_once: bool = False) -> Iterator[StopRequest]:
    """Collect Ctrl-C and SIGTERM, so that a run can stop at the end of a chunk; a second one interrupts at once.

    With `at_once` the first one interrupts too, and is known afterwards. Outside the main thread signals cannot be caught, and
    the request stays empty.
    """
    request = StopRequest()

    def handle(number: int, _: object) -> None:
        if at_once or request.number is not None:
            request.number = request.number or number
            raise KeyboardInterrupt
        request.number = number

    previous: dict[int, Any] = {}
    try:
        for caught in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):
                previous[caught] = signal.signal(caught, handle)
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Pace:
    """How fast a run goes, to choose chunks of about `_CHUNK_SECONDS`. It never changes results.

    Attributes
    ----------
    rate
        Sweeps or time steps per second, or None before the first chunk.
    amount, seconds
        All that was measured.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self.amount = 0
        self.seconds = 0.0

    def chunk(self, unit: int = 1) -> int:
        """Return the size of the next chunk, a multiple of `unit`; a short first one measures the speed."""
        wanted = _FIRST_CHUNK if self.rate is None else int(self.rate * _CHUNK_SECONDS)
        return max(1, wanted // unit) * unit

    def measure(self, amount: int, seconds: float) -> None:
        """Take in how long a chunk took."""
        self.amount += amount
        self.seconds += seconds
        rate = amount / max(seconds, 1e-9)
        self.rate = rate if self.rate is None else 0.5 * (rate + self.rate)


@dataclass
class Turn:
    """One turn of a run: where it shows progress, and when it should hand back.

    Attributes
    ----------
    show
        Called as ``show(stage, done, total, note)``.
    stop
        Whether a signal has come.
    """

    show: Show
    stop: StopRequest
    began: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether the turn has lasted long enough, or a signal has come."""
        return self.stop.number is not None or time.monotonic() - self.began >= _CHUNK_SECONDS


class Chain:
    """A run that continues from where its file stands.

    Where a checkpoint cannot be written (the disk is full, the folder is away), the run says so and goes on, and tries again
    when the next one is due: a disk may be emptied, and a file system may come back. It ends after an hour of that, or if the
    last checkpoint fails. The latest good one is never touched.

    Parameters
    ----------
    runner
        The algorithm at work.
    bar
        Where progress is shown.
    checkpoint_every
        Seconds between two checkpoints.
    """

    def __init__(self, runner: Runner, bar: Bar, checkpoint_every: float) -> None:
        self._runner = runner
        self._bar = bar
        self._checkpoint_every = checkpoint_every
        self._failing_since: float | None = None

    def advance(self, stop: StopRequest) -> None:
        """Run to the end, or to the end of the turn in which a signal came; the last thing is a checkpoint.

        Raises
        ------
        CommandError
            If the last checkpoint cannot be written, or none could be for an hour; or if the dynamics blows up.
        """
        complete, last = self._runner.done, time.monotonic()
        while not self._runner.done and stop.number is None:
            self._runner.advance(Turn(self._bar.update, stop))
            if time.monotonic() - last >= self._checkpoint_every and not self._runner.done:
                self._checkpoint()
                last = time.monotonic()
        try:
            if not complete:  # of a complete run nothing has changed, and its disk may be read-only
                self._runner.checkpoint()
        except (OSError, MemoryError) as error:
            raise self._given_up(error) from None
        if self._runner.done:
            try:
                self._runner.run.remove_previous()
            except OSError as error:
                warn(f"{cannot_write(error, self._runner.run.previous)}: the checkpoint before the last could not be removed")

    def _checkpoint(self) -> None:
        """Write a checkpoint, or warn that it failed."""
        try:
            self._runner.checkpoint()
        except (OSError, MemoryError) as error:
            now = time.monotonic()
            if self._failing_since is None:
                self._failing_since = now
                what = cannot_write(error, self._runner.run.path)
                warn(f"{what}; {self._runner.run.last_good()}; the run goes on and tries again")
            elif now - self._failing_since >= _GIVE_UP_SECONDS:
                raise self._given_up(error) from None
            return
        if self._failing_since is not None:
            warn(f"{self._runner.run.path}: checkpoints can be written again")
            self._failing_since = None

    def _given_up(self, error: OSError | MemoryError) -> CommandError:
        run = self._runner.run
        return CommandError(f"{cannot_write(error, run.path)}; {run.last_good()}", CANNOT_WRITE)
