"""What moves replicas in algorithms that only choose, exchange or carry them: local Monte Carlo or molecular dynamics.

Swap moves alone would sample these liquids, so that parallel tempering, population annealing and the base of the flow do
without them. Molecular dynamics has a cheap sweep, a time step; which of the two is better is a matter of measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .. import _check

if TYPE_CHECKING:
    from ..samplers import MolecularDynamics, MonteCarlo
    from ..systems import System

__all__ = ["EXPLORERS", "explorer_of"]

EXPLORERS: Final = ("mc", "md")
TIMESTEP: Final = 0.015
FRICTION: Final = 1.0


def explorer_of(system: System, settings: Mapping[str, Any], threads: int | None) -> MonteCarlo | MolecularDynamics:
    """Return the sampler that the settings of an algorithm ask for.

    Parameters
    ----------
    system
        What it moves.
    settings
        ``"explorer"``: ``"mc"``, local Monte Carlo, with the ``"target_acceptance"`` of its displacements; or ``"md"``,
        Langevin dynamics with the longest time step and the friction that tuning of molecular dynamics may choose too.
    threads
        Number of threads, or None for all.
    """
    from ..samplers import MolecularDynamics, MonteCarlo

    if _check.choice("explorer", settings["explorer"], EXPLORERS) == "md":
        return MolecularDynamics(system, timestep=TIMESTEP, thermostat="langevin", friction=FRICTION, threads=threads)
    return MonteCarlo(system, swap_probability=0.0, target_acceptance=settings["target_acceptance"], threads=threads)
