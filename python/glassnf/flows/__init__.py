"""Normalizing flows: maps that carry configurations between temperatures with an exact Jacobian."""

from __future__ import annotations

from .message_field import MessageField
from .radial_flow import RadialFlow
from .report import NodeReport, TrainingReport
from .splines import RadialBasis, TemperatureBasis
from .storage import load, save
from .tables import RadialTables
from .training import train
from .transport import Flow, FlowError, IdentityFlow, Transport

__all__ = [
    "Flow",
    "FlowError",
    "IdentityFlow",
    "MessageField",
    "NodeReport",
    "RadialBasis",
    "RadialFlow",
    "RadialTables",
    "TemperatureBasis",
    "TrainingReport",
    "Transport",
    "load",
    "save",
    "train",
]
