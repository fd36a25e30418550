"""What parallel tempering and population annealing ask of the sampler that moves their replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..systems import System

__all__ = ["Explorer"]


@runtime_checkable
class Explorer(Protocol):
    """A sampler that leaves the Boltzmann distribution of every replica, at its own temperature, invariant.

    Its unit of time is called a sweep here: N trial moves of Monte Carlo, one time step of molecular dynamics. What it does
    must depend on the ensemble (seed, step, ids and the other fields) and on its own frozen settings only, so that an outer
    algorithm restarts bit for bit.

    Attributes
    ----------
    system : System
    """

    system: System

    def prepare(self, ensemble: Ensemble, sweeps: int) -> int:
        """Check an ensemble that is about to be advanced by `sweeps`, give it what is missing (velocities), return `sweeps`.

        Raises
        ------
        TypeError, ValueError
            If the ensemble does not fit the sampler or is not valid; nothing has moved then.
        """

    def explore(self, ensemble: Ensemble, sweeps: int) -> int:
        """Advance a prepared ensemble in place by `sweeps`, settings frozen, and return the pair evaluations of all replicas.

        ``ensemble.step`` grows by `sweeps`, and ``ensemble.energy`` is current afterwards. Whatever ends the call early leaves
        the ensemble valid, with the step that belongs to it.
        """

    def adapt(self, ensemble: Ensemble, sweeps: int) -> int:
        """Do the same while adapting what the sampler adapts in equilibration, such as ``ensemble.move_size``."""

    def describe(self) -> dict[str, Any]:
        """Return the settings that decide on its results, as numbers and strings, with the name under ``"explorer"``."""
