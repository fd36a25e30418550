"""The algorithms of ``glassnf sample``, one module for each family; `Runner` is what they share."""

from __future__ import annotations

from .base import Runner

__all__ = ["Runner", "runner_of"]


def runner_of(algorithm: str) -> type[Runner]:
    """Return the class that runs an algorithm."""
    if algorithm == "md":
        from .molecular_dynamics import MolecularDynamicsRunner

        return MolecularDynamicsRunner
    if algorithm == "pt":
        from .parallel_tempering import ParallelTemperingRunner

        return ParallelTemperingRunner
    if algorithm == "pa":
        from .population_annealing import PopulationAnnealingRunner

        return PopulationAnnealingRunner
    if algorithm == "nf":
        from .flow import FlowRunner

        return FlowRunner
    from .monte_carlo import MonteCarloRunner

    return MonteCarloRunner
