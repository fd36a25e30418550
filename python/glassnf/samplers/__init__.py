"""Samplers: each advances an `Ensemble` in place and returns a record."""

from __future__ import annotations

from ._anneal import Anneal
from .annealing_result import PAResult, PopulationCollapseWarning, WeightedAverage, weighted_average
from .explorer import CountingExplorer, Explorer
from .flow_chains import FlowChains, FlowMetropolisRecord
from .flow_metropolis import FlowMetropolis
from .flow_result import DominatedWeightsWarning, FlowCheck, FlowResult, FlowStop
from .flow_sampler import FlowSampler
from .harvest import Harvest, harvest
from .inherent_structures import InherentStructures, inherent_structures
from .ladder import geometric_ladder
from .molecular_dynamics import BlowUpError, MDRecord, MolecularDynamics
from .monte_carlo import Equilibration, MCRecord, MonteCarlo
from .parallel_tempering import ParallelTempering
from .population_annealing import PopulationAnnealing
from .pt_record import FlowExchanges, PoorExchangeWarning, PTEquilibration, PTRecord
from .schedule import log_schedule

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
    "geometric_ladder",
    "harvest",
    "inherent_structures",
    "log_schedule",
    "weighted_average",
]
