"""Samplers: each advances an `Ensemble` in place and returns a record."""

from __future__ import annotations

from .explorer import Explorer
from .monte_carlo import Equilibration, MCRecord, MonteCarlo
from .schedule import log_schedule

__all__ = ["Equilibration", "Explorer", "MCRecord", "MonteCarlo", "log_schedule"]
