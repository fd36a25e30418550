"""The loop of ``glassnf sample``: chunks of a run between which it shows progress, writes checkpoints and hears signals."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._console import Bar, short_number

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..io.runfile import RunFile
    from ..samplers import MonteCarlo

__all__ = ["ADAPTATION_BLOCK", "Chain", "Schedule", "StopRequest", "catch_signals"]

ADAPTATION_BLOCK: Final = 20
"""Sweeps between two adaptations of the move size. Chunks of the equilibration are multiples of it, so that a restart repeats
the same adaptations."""

_CHUNK_SECONDS: Final = 0.3


@dataclass
class StopRequest:
    """Whether a signal has asked the run to stop, and which."""

    number: int | None = None

    @property
    def exit_code(self) -> int:
        """128 plus the number of the signal, as shells have it."""
        return 128 + (self.number or 0)


@contextlib.contextmanager
def catch_signals() -> Iterator[StopRequest]:
    """Collect Ctrl-C and SIGTERM, so that a run can stop at the end of a chunk; a second one interrupts at once.

    Outside the main thread signals cannot be caught, and the request stays empty.
    """
    request = StopRequest()

    def handle(number: int, _: object) -> None:
        if request.number is not None:
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


@dataclass(frozen=True)
class Schedule:
    """How long the run is and when it records.

    Attributes
    ----------
    equilibration
        Sweeps before production, in which the move size adapts.
    sweeps
        Sweeps of production.
    record_every
        Sweeps of production between two records.
    checkpoint_every
        Seconds between two checkpoints.
    """

    equilibration: int
    sweeps: int
    record_every: int
    checkpoint_every: float

    @property
    def total(self) -> int:
        """Sweeps of the whole run."""
        return self.equilibration + self.sweeps


class Chain:
    """A run that continues from where its file stands.

    Parameters
    ----------
    sampler
        The sampler.
    run
        The file of the run; its ensemble is where the run goes on.
    schedule
        Length, records, checkpoints.
    bar
        Where progress is shown.
    device
        Where to compute.
    """

    def __init__(self, sampler: MonteCarlo, run: RunFile, schedule: Schedule, bar: Bar, device: str = "cpu") -> None:
        self._sampler = sampler
        self._run = run
        self._schedule = schedule
        self._bar = bar
        self._ensemble: Ensemble = run.ensemble.copy().to(device)
        self._rate: float | None = None
        self.seconds = 0.0
        self.sweeps_done = 0

    @property
    def done(self) -> bool:
        """Whether the run has reached its end."""
        return int(self._ensemble.step) >= self._schedule.total

    def advance(self, stop: StopRequest) -> None:
        """Run to the end, or to the end of the chunk in which a signal came; the last thing is a checkpoint."""
        last = time.monotonic()
        while not self.done and stop.number is None:
            step = int(self._ensemble.step)
            begin = time.perf_counter()
            if step < self._schedule.equilibration:
                self._equilibrate(min(self._chunk(ADAPTATION_BLOCK), self._schedule.equilibration - step))
            else:
                self._produce(min(self._chunk(1), self._schedule.total - step))
            self._measure(int(self._ensemble.step) - step, time.perf_counter() - begin)
            if time.monotonic() - last >= self._schedule.checkpoint_every and not self.done:
                self._run.checkpoint(self._ensemble)
                last = time.monotonic()
        self._run.checkpoint(self._ensemble)

    def _chunk(self, unit: int) -> int:
        """Return the sweeps that take about `_CHUNK_SECONDS`, a multiple of `unit`; a short first chunk measures the speed."""
        if self._rate is None:
            return ADAPTATION_BLOCK
        return max(1, int(self._rate * _CHUNK_SECONDS) // unit) * unit

    def _measure(self, sweeps: int, seconds: float) -> None:
        self.sweeps_done += sweeps
        self.seconds += seconds
        rate = sweeps / max(seconds, 1e-9)
        self._rate = rate if self._rate is None else 0.5 * (rate + self._rate)

    def _equilibrate(self, sweeps: int) -> None:
        self._sampler.equilibrate(self._ensemble, sweeps=sweeps, progress=self._relay("equilibration", 0))

    def _produce(self, sweeps: int) -> None:
        done = int(self._ensemble.step) - self._schedule.equilibration
        every = self._schedule.record_every
        due = np.arange((done // every + 1) * every, done + sweeps + 1, every, dtype=np.int64) - done
        relay = self._relay("production", self._schedule.equilibration)
        record = self._sampler.run(self._ensemble, sweeps=sweeps, record_at=due, progress=relay)
        self._run.append(
            {"sweep": record.sweeps, "energy": record.energy},
            {
                "displacement_attempts": record.displacement_attempts,
                "displacement_accepts": record.displacement_accepts,
                "swap_attempts": record.swap_attempts,
                "swap_accepts": record.swap_accepts,
                "pair_evaluations": record.pair_evaluations,
                "wall_time": float(record.wall_time),
            },
        )

    def _relay(self, stage: str, before: int) -> Callable[[int, int, dict[str, Any]], None]:
        """Return a function that shows the progress of a stage, which began after `before` sweeps of the whole run."""
        total = self._schedule.equilibration if stage == "equilibration" else self._schedule.sweeps

        def relay(done: int, of: int, info: dict[str, Any]) -> None:
            self._bar.update(stage, int(self._ensemble.step) - before, total, self._note(info))

        return relay

    def _note(self, info: dict[str, Any]) -> str:
        """Return the remark behind the bar: trial moves per second, mean energy, acceptances."""
        acceptance = f"acc {info['displacement_acceptance']:.2f}"
        if self._sampler.swap_probability > 0.0:
            acceptance += f", swap {info['swap_acceptance']:.3f}"
        parts = [f"<U>/N {info['energy_per_particle']:.3f}", acceptance]
        if self._rate is not None:
            parts.insert(0, f"{short_number(self._rate * self._ensemble.n * len(self._ensemble))} moves/s")
        return ", ".join(parts)
