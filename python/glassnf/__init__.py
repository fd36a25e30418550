"""Sampling supercooled liquids on one energy backend.

>>> import glassnf as gnf
>>> system = gnf.systems.ka2d(n=43)
>>> ensemble = gnf.Ensemble.random(system, replicas=64, temperature=0.5, seed=7)
>>> mc = gnf.MonteCarlo(system, swap_probability=0.2)
>>> mc.equilibrate(ensemble, sweeps=2_000)
>>> record = mc.run(ensemble, sweeps=10_000, record_every=10)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _entry, certify, cuda, flows, io, observables, systems
from ._core import __version__
from ._lazy import lazy_names
from .energy import energy, energy_and_forces, forces, pressure, virial
from .ensemble import Ensemble
from .samplers import (
    BlowUpError,
    Equilibration,
    InherentStructures,
    MCRecord,
    MDRecord,
    MolecularDynamics,
    MonteCarlo,
    ParallelTempering,
    PAResult,
    PopulationAnnealing,
    PTEquilibration,
    PTRecord,
    geometric_ladder,
    harvest,
    inherent_structures,
    log_schedule,
    weighted_average,
)

if TYPE_CHECKING:
    from .samplers import DominatedWeightsWarning, FlowMetropolis, FlowResult, FlowSampler

__all__ = [
    "BlowUpError",
    "DominatedWeightsWarning",
    "Ensemble",
    "Equilibration",
    "FlowMetropolis",
    "FlowResult",
    "FlowSampler",
    "InherentStructures",
    "MCRecord",
    "MDRecord",
    "MolecularDynamics",
    "MonteCarlo",
    "PAResult",
    "PTEquilibration",
    "PTRecord",
    "ParallelTempering",
    "PopulationAnnealing",
    "__version__",
    "certify",
    "cuda",
    "energy",
    "energy_and_forces",
    "flows",
    "forces",
    "geometric_ladder",
    "harvest",
    "inherent_structures",
    "io",
    "log_schedule",
    "observables",
    "pressure",
    "systems",
    "virial",
    "weighted_average",
]

_OF_SAMPLERS = ("DominatedWeightsWarning", "FlowMetropolis", "FlowResult", "FlowSampler")

__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(_OF_SAMPLERS, "samplers"), __all__)

if _entry.EARLY:
    _entry.restore()
