"""The state of `FlowMetropolis`: everything that a restart needs, how it is saved, and the record of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _check
from .._exclusive import Turn, exclusive
from ..ensemble import Ensemble
from ._carry import Batch

if TYPE_CHECKING:
    from ..observables.equilibration import Verdict

__all__ = ["FlowChains", "FlowMetropolisRecord", "Proposal"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_ARRAYS = ("positions", "images", "species", "beta", "energy", "ids", "move_size")
_MOVED = ("positions", "images", "species", "energy")


@dataclass(frozen=True)
class Proposal:
    """What a proposal leads to, found before anything changes.

    Attributes
    ----------
    cold, hot : Batch
        Configurations afterwards.
    accepted : (R,) bool
    steps : int
    integration_error, reversibility_error : float
    pair_evaluations : int
    flow_time : float, s
    """

    cold: Batch
    hot: Batch
    accepted: npt.NDArray[np.bool_]
    steps: int
    integration_error: float
    reversibility_error: float
    pair_evaluations: int
    flow_time: float


@dataclass(frozen=True)
class FlowMetropolisRecord:
    """What `FlowMetropolis.run` saw.

    Attributes
    ----------
    proposals : (records,) int64
        Proposals done since the chains were begun, at each record.
    energy : (records, R) float64, epsilon
        Of the cold chains.
    n, dimension : int
    attempts : int
        Proposals of this run, to every chain.
    accepts : (R,) int64
        Accepted in this run.
    longest_rejection : (R,) int64
        Longest run of rejected proposals of each chain since it was begun, a present one included.
    steps : int
        Of the integrator, at the end.
    integration_error, reversibility_error : float
        Largest difference of log w between these and twice as many steps, and largest |log w| of the way there and back,
        since the chains were begun.
    pair_evaluations : int
        Distances evaluated in this run.
    wall_time, base_time, flow_time, explorer_time : float, s
        In all; of the base sampler, of transport with its checks, of moves between proposals.
    positions : (records, R, N, d) float64, sigma, or None
        Wrapped.
    species : (records, R, N) int32, or None
    """

    proposals: IntArray
    energy: FloatArray
    n: int
    dimension: int
    attempts: int
    accepts: IntArray
    longest_rejection: IntArray
    steps: int
    integration_error: float
    reversibility_error: float
    pair_evaluations: int
    wall_time: float
    base_time: float
    flow_time: float
    explorer_time: float
    positions: FloatArray | None = field(default=None, repr=False)
    species: npt.NDArray[np.int32] | None = field(default=None, repr=False)

    @property
    def acceptance(self) -> FloatArray:
        """Accepted fraction of the proposals (R,); NaN where none was made."""
        return np.asarray(self.accepts / self.attempts) if self.attempts else np.full(self.accepts.size, np.nan)

    @property
    def verdict(self) -> Verdict:
        """Whether the chains are in equilibrium, and accept proposals often enough."""
        from .verdicts import of_flow_chains

        return of_flow_chains(self)


class FlowChains:
    """Chains of `FlowMetropolis`: made by its `begin`, advanced by its `run`, saved at any time.

    Attributes
    ----------
    cold : Ensemble
        R chains at the cold temperature.
    hot : Ensemble
        The replica of the base sampler that makes the proposals of each chain.
    parameters : dict
        Settings that decide on the chains; going on with others is an error.
    proposals : int
        Done so far.
    accepts : (R,) int64
    rejections, longest_rejection : (R,) int64
        Rejected proposals since the last accepted one, and most of them in a row.
    steps : int
        Of the integrator; 0 before the first proposal, and if the flow integrates nothing.
    integration_error, reversibility_error : float
        Largest so far.
    """

    def __init__(self, cold: Ensemble, hot: Ensemble, parameters: Mapping[str, Any]) -> None:
        self._turn = Turn("chains")
        self.cold, self.hot, self.parameters = cold, hot, dict(parameters)
        self.first_steps = (int(cold.step), int(hot.step))
        self.proposals = 0
        self.accepts: IntArray = np.zeros(cold.replicas, dtype=np.int64)
        self.rejections: IntArray = np.zeros(cold.replicas, dtype=np.int64)
        self.longest_rejection: IntArray = np.zeros(cold.replicas, dtype=np.int64)
        self.steps = 0
        self.integration_error = self.reversibility_error = 0.0
        self._pending: tuple[int, Proposal, IntArray, IntArray, IntArray] | None = None

    def __repr__(self) -> str:
        return f"FlowChains({self.cold.system.name}, chains={self.cold.replicas}, proposals={self.proposals})"

    @exclusive("self", briefly=True)
    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    # ---- from proposal to proposal -----------------------------------------------------------------------------------------

    def enter(self, proposal: Proposal) -> None:
        """Take what a proposal leads to; if Ctrl-C comes in between, `settle` completes it."""
        rejections = np.where(proposal.accepted, 0, self.rejections + 1)
        longest = np.maximum(self.longest_rejection, rejections)
        self._pending = (self.proposals + 1, proposal, self.accepts + proposal.accepted, rejections, longest)
        self.settle()

    def settle(self) -> None:
        """Complete a proposal that was begun. Every part of it may be done twice."""
        if self._pending is None:
            return
        count, proposal, self.accepts, self.rejections, self.longest_rejection = self._pending
        for name in _MOVED:
            setattr(self.cold, name, getattr(proposal.cold, name))
            setattr(self.hot, name, getattr(proposal.hot, name))
        self.steps = proposal.steps
        self.integration_error = max(self.integration_error, proposal.integration_error)
        self.reversibility_error = max(self.reversibility_error, proposal.reversibility_error)
        self.proposals = count
        self._pending = None

    # ---- files -------------------------------------------------------------------------------------------------------------

    @exclusive("self", briefly=True)
    def to_state(self) -> dict[str, Any]:
        """Return everything but `cold` and `parameters`, as arrays, numbers and strings for `RunFile.checkpoint`."""
        self.settle()
        hot = {name: np.array(getattr(self.hot, name)) for name in _ARRAYS}
        if self.hot.velocities is not None:
            hot["velocities"] = np.array(self.hot.velocities)
        return {
            "algorithm": "flow_metropolis",
            "hot": hot,
            "hot_step": self.hot.step,
            "first_steps": np.array(self.first_steps, dtype=np.int64),
            "proposals": self.proposals,
            "accepts": self.accepts.copy(),
            "rejections": self.rejections.copy(),
            "longest_rejection": self.longest_rejection.copy(),
            "steps": self.steps,
            "integration_error": self.integration_error,
            "reversibility_error": self.reversibility_error,
        }

    @classmethod
    def from_state(cls, cold: Ensemble, parameters: Mapping[str, Any], state: Mapping[str, Any]) -> FlowChains:
        """Return the chains that `to_state` described.

        Parameters
        ----------
        cold : Ensemble
            As it was then; used in place.
        parameters, state : mapping

        Raises
        ------
        TypeError, ValueError
            If `state` is not of flow Metropolis, or does not fit.
        """
        if not isinstance(cold, Ensemble):
            raise TypeError(f"cold: expected an Ensemble, got {type(cold).__name__}")
        if not isinstance(state, Mapping) or state.get("algorithm") != "flow_metropolis":
            raise ValueError("state: expected the state of flow Metropolis, got something else")
        fields = dict(state["hot"])
        fields.setdefault("velocities", None)
        hot = Ensemble(cold.system, **fields, seed=cold.seed, step=int(state["hot_step"]))
        chains = cls(cold, hot, parameters)
        first_cold, first_hot = _check.int_array("state['first_steps']", state["first_steps"], (2,), low=0).tolist()
        chains.first_steps = (first_cold, first_hot)
        for name in ("accepts", "rejections", "longest_rejection"):
            setattr(chains, name, _check.int_array(f"state[{name!r}]", state[name], (cold.replicas,), low=0).copy())
        chains.proposals, chains.steps = int(state["proposals"]), int(state["steps"])
        chains.integration_error = float(state["integration_error"])
        chains.reversibility_error = float(state["reversibility_error"])
        return chains

    @exclusive("self", briefly=True)
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that `load` reads, replacing an old one atomically."""
        from ..io import RunFile

        state = self.to_state()
        run = RunFile(path, ensemble=self.cold, parameters=self.parameters, state={}, records={}, counters={}, created=None)
        run.checkpoint(self.cold, state)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FlowChains:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        glassnf.io.FileFormatError, ValueError
            If the file is damaged, or is not one of flow Metropolis.
        """
        from ..io import RunFile

        run = RunFile.open(path)
        return cls.from_state(run.ensemble, run.parameters, run.state)
