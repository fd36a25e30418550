"""What parallel tempering and population annealing ask of the sampler that moves their replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..systems import System

__all__ = ["CountingExplorer", "Explorer"]


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


@runtime_checkable
class CountingExplorer(Explorer, Protocol):
    """An explorer that counts its trials, so that an outer algorithm can adapt one move size for many replicas.

    Attributes
    ----------
    target_acceptance : float
        Accepted fraction of the displacements at which the move size is good.
    """

    target_acceptance: float

    def new_counters(self, ensemble: Ensemble) -> Any:
        """Return arrays of zeros: `displacement_attempts`, `displacement_accepts`, `pair_evaluations`, integers by replica."""

    def explore(self, ensemble: Ensemble, sweeps: int, counters: Any = None) -> int:
        """Advance as `Explorer.explore`, adding to counters, which are complete whenever ``ensemble.step`` has advanced."""
