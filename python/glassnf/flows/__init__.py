"""Normalizing flows: maps that carry configurations between temperatures with an exact Jacobian."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names
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

__getattr__, __dir__ = lazy_names(__name__, _MODULES, __all__)
