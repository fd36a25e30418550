"""Samplers: each advances an `Ensemble` in place and returns a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names
from ._anneal import Anneal
from .annealing_result import PAResult, PopulationCollapseWarning, WeightedAverage, weighted_average
from .explorer import CountingExplorer, Explorer
from .harvest import Harvest, harvest
from .inherent_structures import InherentStructures, inherent_structures
from .ladder import geometric_ladder
from .molecular_dynamics import BlowUpError, MDRecord, MolecularDynamics
from .monte_carlo import Equilibration, MCRecord, MonteCarlo
from .parallel_tempering import ParallelTempering
from .population_annealing import PopulationAnnealing
from .pt_record import FlowExchanges, PoorExchangeWarning, PTEquilibration, PTRecord
from .schedule import log_schedule

if TYPE_CHECKING:
    from .flow_chains import FlowChains, FlowMetropolisRecord
    from .flow_metropolis import FlowMetropolis
    from .flow_result import DominatedWeightsWarning, FlowCheck, FlowResult, FlowStop
    from .flow_sampler import FlowSampler
    from .verdicts import forward_backward

__all__ = [
    "Anneal",
    "BlowUpError",
    "CountingExplorer",
    "DominatedWeightsWarning",
    "Equilibration",
    "Explorer",
    "FlowChains",
    "FlowCheck",
    "FlowExchanges",
    "FlowMetropolis",
    "FlowMetropolisRecord",
    "FlowResult",
    "FlowSampler",
    "FlowStop",
    "Harvest",
    "InherentStructures",
    "MCRecord",
    "MDRecord",
    "MolecularDynamics",
    "MonteCarlo",
    "PAResult",
    "PTEquilibration",
    "PTRecord",
    "ParallelTempering",
    "PoorExchangeWarning",
    "PopulationAnnealing",
    "PopulationCollapseWarning",
    "WeightedAverage",
    "forward_backward",
    "geometric_ladder",
    "harvest",
    "inherent_structures",
    "log_schedule",
    "weighted_average",
]

# Imported when first asked for, so that `import glassnf` stays quick.
_MODULES = {
    "DominatedWeightsWarning": "flow_result",
    "FlowChains": "flow_chains",
    "FlowCheck": "flow_result",
    "FlowMetropolis": "flow_metropolis",
    "FlowMetropolisRecord": "flow_chains",
    "FlowResult": "flow_result",
    "FlowSampler": "flow_sampler",
    "FlowStop": "flow_result",
    "forward_backward": "verdicts",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES, __all__)
