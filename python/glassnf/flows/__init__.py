"""Normalizing flows: maps that carry configurations between temperatures with an exact Jacobian."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .transport import Flow, FlowError, IdentityFlow, Transport

if TYPE_CHECKING:
    from .equivariant import EquivariantField
    from .message_field import MessageField
    from .polishing import PolishReport, polish
    from .radial_flow import RadialFlow
    from .report import NodeReport, TrainingReport
    from .shipping import shipped
    from .splines import RadialBasis, TemperatureBasis
    from .storage import load, save
    from .tables import RadialTables
    from .torch_field import FieldErrors, TorchFlow, field_errors
    from .torch_twin import TableField
    from .training import train

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
    "shipped",
    "train",
]

# Where a name is found when it is first asked for: samplers need the protocol alone, and `import glassnf` has to be quick.
_MODULES = {
    "EquivariantField": "equivariant",
    "FieldErrors": "torch_field",
    "MessageField": "message_field",
    "NodeReport": "report",
    "PolishReport": "polishing",
    "RadialBasis": "splines",
    "RadialFlow": "radial_flow",
    "RadialTables": "tables",
    "TableField": "torch_twin",
    "TemperatureBasis": "splines",
    "TorchFlow": "torch_field",
    "TrainingReport": "report",
    "field_errors": "torch_field",
    "load": "storage",
    "polish": "polishing",
    "save": "storage",
    "shipped": "shipping",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    """Import what is first asked for, torch with some of it."""
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, those not yet imported too."""
    return __all__
