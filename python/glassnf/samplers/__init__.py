"""Samplers: each advances an `Ensemble` in place and returns a record."""

from __future__ import annotations

from .explorer import Explorer
from .inherent_structures import InherentStructures, inherent_structures
from .ladder import geometric_ladder
from .molecular_dynamics import BlowUpError, MDRecord, MolecularDynamics
from .monte_carlo import Equilibration, MCRecord, MonteCarlo
from .parallel_tempering import ParallelTempering
from .pt_record import PoorExchangeWarning, PTEquilibration, PTRecord
from .schedule import log_schedule

__all__ = [
    "BlowUpError",
    "Equilibration",
    "Explorer",
    "InherentStructures",
    "MCRecord",
    "MDRecord",
    "MolecularDynamics",
    "MonteCarlo",
    "PTEquilibration",
    "PTRecord",
    "ParallelTempering",
    "PoorExchangeWarning",
    "geometric_ladder",
    "inherent_structures",
    "log_schedule",
]
