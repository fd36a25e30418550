"""Samplers: each advances an `Ensemble` in place and returns a record."""

from __future__ import annotations

from .explorer import Explorer
from .inherent_structures import InherentStructures, inherent_structures
from .molecular_dynamics import BlowUpError, MDRecord, MolecularDynamics
from .monte_carlo import Equilibration, MCRecord, MonteCarlo
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
    "inherent_structures",
    "log_schedule",
]
