"""Normalizing flows: maps that carry configurations between temperatures with an exact Jacobian."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .message_field import MessageField
from .radial_flow import RadialFlow
from .report import NodeReport, TrainingReport
from .splines import RadialBasis, TemperatureBasis
from .storage import load, save
from .tables import RadialTables
from .training import train
from .transport import Flow, FlowError, IdentityFlow, Transport

if TYPE_CHECKING:
    from .equivariant import EquivariantField
    from .polishing import PolishReport, polish
    from .torch_field import FieldErrors, TorchFlow, field_errors
    from .torch_twin import TableField

__all__ = [
    "EquivariantField",
    "FieldErrors",
    "Flow",
    "FlowError",
    "IdentityFlow",
    "MessageField",
    "NodeReport",
    "PolishReport",
    "RadialBasis",
    "RadialFlow",
    "RadialTables",
    "TableField",
    "TemperatureBasis",
    "TorchFlow",
    "TrainingReport",
    "Transport",
    "field_errors",
    "load",
    "polish",
    "save",
    "train",
]

_NEEDS_TORCH = {
    "EquivariantField": "equivariant",
    "FieldErrors": "torch_field",
    "PolishReport": "polishing",
    "TableField": "torch_twin",
    "TorchFlow": "torch_field",
    "field_errors": "torch_field",
    "polish": "polishing",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for."""
    if name in _NEEDS_TORCH:
        return getattr(importlib.import_module(f".{_NEEDS_TORCH[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
