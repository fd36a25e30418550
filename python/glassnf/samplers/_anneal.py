"""The state of population annealing under way: everything that a restart needs, and how it is saved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check, cuda
from .._exclusive import Turn, exclusive
from ..ensemble import Ensemble
from ._population import Moved, copy_replicas, place

__all__ = ["Anneal", "Row", "Stage"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """What was found at one temperature; the fields are those of `PAResult`."""

    beta: float
    log_z: float
    log_z_error: float
    ess: float
    culled: float
    families: int
    rho_t: float
    rho_s: float
    mean_energy: float
    mean_energy_error: float
    specific_heat: float
    specific_heat_error: float
    acceptance: float
    move_size: float
    flow_steps: int = 0
    flow_error: float = 0.0


@dataclass(frozen=True)
class Stage:
    """What stays as it is while all replicas do the sweeps of one temperature, or a round of equilibration.

    Attributes
    ----------
    beta : float, 1/epsilon
    step : int
        Of the population before these sweeps.
    sweeps : int
        To be done; 0 once the anneal is finished.
    equilibrated : int
        Sweeps of equilibration done before; the anneal proper begins when it is all of them.
    move_size : float, sigma
        Of all replicas; 0 where it is left alone.
    log_z, ess, culled : float
        Of the reweighting that led here.
    attempts, accepts : int
        Displacements counted before.
    finished : bool
    flow_steps : int
    flow_error : float
        Of the flow that led here, see `PAResult`.
    """

    beta: float
    step: int
    sweeps: int
    equilibrated: int
    move_size: float
    log_z: float
    ess: float
    culled: float
    attempts: int
    accepts: int
    finished: bool = False
    flow_steps: int = 0
    flow_error: float = 0.0


@dataclass(frozen=True)
class Transition:
    """The way from one stage to the next, found before anything changes."""

    stage: Stage
    parents: IntArray | None
    families: IntArray
    influence: FloatArray
    rows: tuple[Row, ...]
    energies: tuple[FloatArray, ...]
    moved: Moved | None = None  # by a flow, before the copies


class Anneal:
    """Population annealing under way: made by `PopulationAnnealing.begin`, advanced by `PopulationAnnealing.advance`.

    It can be saved at any time, in the middle of a temperature step too, and goes on with the same bits: with `save` and
    `load`, or as a population and a `to_state` mapping in a `glassnf.io.RunFile` of the caller's.

    Attributes
    ----------
    population : Ensemble
        All replicas. In the middle of a step some may have done more sweeps than others: its `step` is that of the step's
        start.
    parameters : dict
        Settings that decide on the result; going on with others is an error.
    families : (R,) int64
        Which replica of the start each one descends from.
    device : str
        Where replicas are advanced; the population may be in host memory all the same.
    finished : bool
    """

    def __init__(self, population: Ensemble, parameters: Mapping[str, Any], stage: Stage, device: str) -> None:
        replicas = population.replicas
        self._turn = Turn("anneal")
        self.population = population
        self.parameters = dict(parameters)
        self.stage = stage
        self.device = device
        self.prepared = False
        self.families: IntArray = np.arange(replicas, dtype=np.int64)
        self.influence: FloatArray = np.zeros(replicas)
        self.done: IntArray = np.zeros(replicas, dtype=np.int64)  # sweeps of this stage that each replica has done
        self.counts: IntArray = np.zeros(3, dtype=np.int64)  # displacement attempts, accepts; pair evaluations
        self.rows: tuple[Row, ...] = ()
        self.energies: tuple[FloatArray, ...] = ()
        self.wall_time = 0.0
        self.flow_time = 0.0
        self.warned = False
        self._pending: Transition | None = None

    @exclusive("self", briefly=True)
    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    @property
    def finished(self) -> bool:
        """Whether the target has been reached and measured."""
        return self.stage.finished

    @property
    def replicas(self) -> int:
        """Size of the population, R."""
        return self.population.replicas

    @property
    def temperature(self) -> float:
        """Present temperature, epsilon."""
        return 1.0 / self.stage.beta

    def __repr__(self) -> str:
        state = "finished" if self.finished else f"T={self.temperature:.6g}"
        return f"Anneal({self.population.system.name}, population={self.replicas}, {state}, temperatures={len(self.rows)})"

    # ---- from stage to stage -----------------------------------------------------------------------------------------------

    def enter(self, transition: Transition) -> None:
        """Begin the next stage; if Ctrl-C comes in between, `settle` completes it."""
        self._pending = transition
        self.settle()

    def settle(self) -> None:
        """Complete a transition that was begun. Every part of it may be done twice."""
        if self._pending is None:
            return
        new, population = self._pending, self.population
        if new.moved is not None:
            place(population, new.moved)
        if new.parents is not None:
            copy_replicas(population, new.parents)
        with cuda.find_device(population.device).current():
            population.beta[...] = new.stage.beta
            if new.stage.move_size > 0.0:
                population.move_size[...] = new.stage.move_size
        population.step = new.stage.step
        if new.parents is not None and population.velocities is not None:
            population.draw_velocities()  # copies part by it too
        self.families, self.influence, self.rows, self.energies = new.families, new.influence, new.rows, new.energies
        self.done[:] = 0
        self.stage = new.stage
        self._pending = None

    # ---- files -------------------------------------------------------------------------------------------------------------

    @exclusive("self", briefly=True)
    def to_state(self) -> dict[str, Any]:
        """Return everything but the population and the parameters, as arrays, numbers and strings for `RunFile.checkpoint`."""
        self.settle()
        columns = {f"row_{item.name}": np.array([getattr(row, item.name) for row in self.rows]) for item in fields(Row)}
        return {
            "algorithm": "population_annealing",
            "stage": asdict(self.stage),
            "families": self.families.copy(),
            "influence": self.influence.copy(),
            "done": self.done.copy(),
            "counts": self.counts.copy(),
            "energies": np.array(self.energies).reshape(len(self.energies), self.replicas),
            "wall_time": np.array(self.wall_time),  # as arrays, so that the layout of a file does not depend on the time taken
            "flow_time": np.array(self.flow_time),
            "warned": self.warned,
            **columns,
        }

    @classmethod
    def from_state(
        cls, population: Ensemble, parameters: Mapping[str, Any], state: Mapping[str, Any], device: str | None = None
    ) -> Anneal:
        """Return the anneal that `to_state` described.

        Parameters
        ----------
        population : Ensemble
            As it was then; used in place.
        parameters : mapping
            `Anneal.parameters` of then.
        state : mapping
        device : str, optional
            Where replicas are to be advanced. Default: where the population is.

        Raises
        ------
        TypeError, ValueError
            If `state` is not of population annealing, or does not fit the population.
        """
        if not isinstance(population, Ensemble):
            raise TypeError(f"population: expected an Ensemble, got {type(population).__name__}")
        if not isinstance(state, Mapping) or state.get("algorithm") != "population_annealing":
            raise ValueError("state: expected the state of population annealing, got something else")
        missing = {"stage", "families", "influence", "done", "counts", "energies", "wall_time", "warned"} - set(state)
        if missing:
            raise ValueError(f"state: expected the key {min(missing)!r}, got a state without it")
        required = {item.name for item in fields(Stage) if item.default is MISSING}
        optional = {item.name for item in fields(Stage)} - required
        anneal = cls(
            population,
            parameters,
            Stage(**_check.keys("state['stage']", state["stage"], required, optional)),
            population.device if device is None else device,
        )
        replicas = anneal.replicas
        integers = {"families": (0, replicas - 1), "done": (0, None), "counts": (0, None)}
        for name, (low, high) in integers.items():
            shape = (3,) if name == "counts" else (replicas,)
            setattr(anneal, name, _check.int_array(f"state[{name!r}]", state[name], shape, low=low, high=high).copy())
        anneal.influence = _check.float_array("state['influence']", state["influence"], (replicas,)).copy()
        energies = _check.float_array("state['energies']", state["energies"], (None, replicas))
        anneal.energies = tuple(energies.copy())
        # Files from before there were flows have no columns of them.
        kept = [item.name for item in fields(Row) if item.default is MISSING or f"row_{item.name}" in state]
        columns = {name: np.asarray(state.get(f"row_{name}", ())).ravel().tolist() for name in kept}
        lengths = {len(energies), *map(len, columns.values())}
        if len(lengths) > 1:
            raise ValueError(f"state: expected as many energies as entries of each 'row_...', got {sorted(lengths)} of them")
        anneal.rows = tuple(Row(**{name: column[k] for name, column in columns.items()}) for k in range(len(columns["beta"])))
        anneal.wall_time, anneal.warned = float(state["wall_time"]), bool(state["warned"])
        anneal.flow_time = float(state.get("flow_time", 0.0))
        return anneal

    @exclusive("self", briefly=True)
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that `load` reads, replacing an old one atomically."""
        from ..io import RunFile

        state = self.to_state()
        run = RunFile(
            path, ensemble=self.population, parameters=self.parameters, state={}, records={}, counters={}, created=None
        )
        run.checkpoint(self.population, state)

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = "cpu") -> Anneal:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or path
        device : str
            Where replicas are to be advanced, as in `PopulationAnnealing.begin`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        glassnf.io.FileFormatError, ValueError
            If the file is damaged, or is not one of population annealing.
        """
        from ..io import RunFile

        run = RunFile.open(path)
        return cls.from_state(run.ensemble, run.parameters, run.state, cuda.find_device(device).name)
