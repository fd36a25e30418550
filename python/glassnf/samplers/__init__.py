"""Samplers: each advances an `Ensemble` in place and returns a record."""

from __future__ import annotations

from .explorer import Explorer
from .ladder import geometric_ladder
from .monte_carlo import Equilibration, MCRecord, MonteCarlo
from .parallel_tempering import ParallelTempering
from .pt_record import PoorExchangeWarning, PTEquilibration, PTRecord
from .schedule import log_schedule

__all__ = [
    "Equilibration",
    "Explorer",
    "MCRecord",
    "MonteCarlo",
    "PTEquilibration",
    "PTRecord",
    "ParallelTempering",
    "PoorExchangeWarning",
    "geometric_ladder",
    "log_schedule",
]
