"""How far a run goes, and at which sweeps it records."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check
from ..ensemble import MAX_STEP, Ensemble
from ..systems import System

__all__ = ["check_advance", "check_explore", "check_records", "log_schedule", "record_sweeps"]


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
    _check.fits_memory("records", records, 4 * count, "records")
    return np.unique(np.rint(np.geomspace(1.0, last, count)).astype(np.int64)) if count > 1 else np.array([last])


def check_advance(system: System, ensemble: Ensemble, name: str, value: object) -> int:
    """Check an ensemble that a sampler is to advance by `value` sweeps or time steps, called `name`; return the number."""
    if not isinstance(ensemble, Ensemble):
        raise TypeError(f"ensemble: expected an Ensemble, got {type(ensemble).__name__}")
    if ensemble.system != system:
        raise ValueError(f"ensemble: expected one of the sampler's system {system!r}, got {ensemble.system!r}")
    count = _check.nonnegative_int(name, value)
    ensemble.validate()
    if ensemble.step + count > MAX_STEP:
        raise ValueError(f"{name}: expected step + {name} at most {MAX_STEP}, got {ensemble.step} + {count}")
    return count


def check_explore(ensemble: object, sweeps: object) -> int:
    """Check no more than types, as outer algorithms call this often; return the number of sweeps or time steps."""
    if not isinstance(ensemble, Ensemble):
        raise TypeError(f"ensemble: expected an Ensemble, got {_check.describe(ensemble)}")
    return _check.nonnegative_int("sweeps", sweeps)


def check_records(records: int, ensemble: Ensemble, vectors: int) -> None:
    """Raise ValueError where so many records, with so many vectors for each particle, do not fit into memory."""
    per_replica = 2 + ensemble.system.n * (ensemble.system.dimension * vectors + (0.5 if vectors else 0.0))
    _check.fits_memory("records", records, records * ensemble.replicas * per_replica, "records")


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
    _check.fits_memory("record_every", record_every, sweeps // every, "records")
    return np.arange(every, sweeps + 1, every, dtype=np.int64)
