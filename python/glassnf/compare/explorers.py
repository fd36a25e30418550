"""What moves replicas in algorithms that only choose, exchange or carry them: local Monte Carlo or molecular dynamics.

Swap moves alone would sample these liquids, so that parallel tempering, population annealing and the base of the flow do
without them. Molecular dynamics has a cheap sweep, a time step; which of the two is better is a matter of measurement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .. import _check

if TYPE_CHECKING:
    from ..samplers import MolecularDynamics, MonteCarlo
    from ..systems import System

__all__ = ["EXPLORERS", "explorer_of", "import_early", "longest_timestep"]

EXPLORERS: Final = ("mc", "md")
FRICTION: Final = 1.0


def longest_timestep(temperature: float) -> float:
    """Return the longest time step (tau) that a comparison takes: 0.01 tau, above T = 0.5 less, as particles are faster.

    With BAOAB <U>/N is then off by less than 1e-3, measured for ka2d at T = 0.5 and 0.3 (docs/molecular_dynamics.md); with
    0.015 tau it is off by about 1e-3. For other systems it was not measured.
    """
    return 0.01 * min(1.0, math.sqrt(0.5 / temperature))


def import_early() -> None:
    """Import what NumPy itself imports only when a function first needs it, so that no run is charged for it."""
    import numpy.ma
    import numpy.polynomial  # noqa: F401


def explorer_of(
    system: System, settings: Mapping[str, Any], temperature: float, threads: int | None
) -> MonteCarlo | MolecularDynamics:
    """Return the sampler that the settings of an algorithm ask for.

    Parameters
    ----------
    system
        What it moves.
    settings
        ``"explorer"``: ``"mc"``, local Monte Carlo, with the ``"target_acceptance"`` of its displacements; or ``"md"``,
        Langevin dynamics with the longest time step.
    temperature
        The highest at which it moves anything, in epsilon / k_B.
    threads
        Number of threads, or None for all.
    """
    from ..samplers import MolecularDynamics, MonteCarlo

    if _check.choice("explorer", settings["explorer"], EXPLORERS) == "md":
        step = longest_timestep(temperature)
        return MolecularDynamics(system, timestep=step, thermostat="langevin", friction=FRICTION, threads=threads)
    return MonteCarlo(system, swap_probability=0.0, target_acceptance=settings["target_acceptance"], threads=threads)
