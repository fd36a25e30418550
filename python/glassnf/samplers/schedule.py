"""At which sweeps a run records."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check

__all__ = ["log_schedule", "record_sweeps"]


def log_schedule(sweeps: int, records: int) -> npt.NDArray[np.int64]:
    """Distinct sweep numbers from 1 to `sweeps`, spaced evenly in their logarithm.

    Parameters
    ----------
    sweeps : int
        Last sweep, at least 1.
    records : int
        How many to aim at, at least 1; small numbers that round alike are kept once.

    Returns
    -------
    (records,) int64
        Increasing, for ``MonteCarlo.run(..., record_at=...)``.
    """
    last = _check.positive_int("sweeps", sweeps)
    count = _check.positive_int("records", records)
    return np.unique(np.rint(np.geomspace(1.0, last, count)).astype(np.int64)) if count > 1 else np.array([last])


def record_sweeps(sweeps: int, record_every: int | None, record_at: Any) -> npt.NDArray[np.int64]:
    """Return the relative sweeps (1 ... sweeps) at which to record, from either of the two arguments."""
    if record_every is not None and record_at is not None:
        raise ValueError("record_at: expected either record_every or record_at, got both")
    if record_at is not None:
        at = _check.int_array("record_at", record_at, (None,), low=1, high=max(sweeps, 1)).astype(np.int64)
        if at.size and (sweeps == 0 or (np.diff(at) <= 0).any()):
            raise ValueError(
                f"record_at: expected increasing sweep numbers from 1 to {sweeps}, got {_check.describe(record_at)}"
            )
        return at
    if record_every is None:
        return np.empty(0, dtype=np.int64)
    every = _check.positive_int("record_every", record_every)
    return np.arange(every, sweeps + 1, every, dtype=np.int64)
