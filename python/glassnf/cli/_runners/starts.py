"""Where replicas start: at random, or half of them from below the temperature, so that the two halves can be compared.

A signal ends all of it: there is no file of the run yet, and nothing to go on from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from .._chain import StopRequest, Turn
from .._errors import CommandError
from .._options import Choices
from .._sample_options import SWAP_PROBABILITY, twice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ensemble import Ensemble
    from ...systems import System

__all__ = ["choose_starts", "from_cold", "random_replicas", "start_replicas"]

DEPTH: Final = 0.5
"""Temperature to which cold starts are annealed, over that of the run."""

STAGES: Final = 20
STAGE_SWEEPS: Final = 200


def choose_starts(choices: Choices, units: int, what: str) -> dict[str, Any]:
    """Return the parameter ``starts``: ``"hot"``, or ``"both"`` where there are two replicas (or ladders) or more.

    Raises
    ------
    CommandError
        If there is one only.
    """
    if choices["starts"] == "both" and units < 2:
        raise CommandError(f"--starts: expected hot with a single {what}, got both")
    return {"starts": choices["starts"]}


def from_cold(parameters: dict[str, Any], units: int) -> npt.NDArray[np.bool_] | None:
    """Return which replicas (or ladders) started cold, the second half of them; None where none did."""
    return np.arange(units) >= (units + 1) // 2 if parameters.get("starts") == "both" else None


def _go_on(stop: StopRequest, what: str) -> None:
    if stop.number is not None:
        raise CommandError(f"stopped before the run began, while its {what}", stop.exit_code)


def random_replicas(
    system: System, temperatures: npt.ArrayLike, seed: int, turn: Turn, *, replicas: int = 1, units: int = 1
) -> Ensemble:
    """Return `units` times so many replicas at random; a signal is heard while they are made.

    Parameters
    ----------
    temperatures
        One, or those of the replicas of one unit.

    Raises
    ------
    CommandError
        If a signal has come.
    """
    from ...ensemble import random_ensemble

    def check() -> None:
        _go_on(turn.stop, "random starts were made")

    return random_ensemble(system, replicas, temperatures, seed, units=units, check=check)


def start_replicas(
    parameters: dict[str, Any],
    system: System,
    temperatures: list[float],
    units: int,
    threads: int | None,
    turn: Turn,
) -> Ensemble:
    """Return replicas at random, the second half annealed to below the lowest temperature if that was asked for.

    The anneal is by swap Monte Carlo, local where there is one species: 20 temperatures from the larger of 1 and twice the
    temperature down to half of it, 200 sweeps each. Warming is left to the equilibration.

    Parameters
    ----------
    temperatures
        Of the replicas of one unit, which stand together.
    units
        Replicas or ladders.
    threads
        Number of threads, or None for all.
    turn
        Where progress is shown, and whether a signal has come.

    Raises
    ------
    CommandError
        If a signal has come.
    """
    from ...compare.starts import derived_seed
    from ...samplers import MonteCarlo

    seed, size = parameters["seed"], len(temperatures)
    ensemble = random_replicas(system, temperatures, seed, turn, replicas=size, units=units)
    mask = from_cold(parameters, units)
    if mask is None:
        return ensemble
    cold = np.flatnonzero(np.repeat(mask, size))
    lowest = float(min(temperatures))
    hot = twice("--temperature", lowest)
    moving = random_replicas(system, hot, derived_seed(seed, "cold starts"), turn, replicas=cold.size)
    sampler = MonteCarlo(system, swap_probability=SWAP_PROBABILITY if system.n_species > 1 else 0.0, threads=threads)

    def relay(done: int, total: int, info: Mapping[str, Any]) -> None:
        _go_on(turn.stop, "cold starts were annealed")
        turn.show("cold starts", float(moving.step), float(STAGES * STAGE_SWEEPS), "")

    for temperature in np.geomspace(hot, DEPTH * lowest, STAGES).tolist():
        moving.beta[:] = 1.0 / temperature
        sampler.equilibrate(moving, sweeps=STAGE_SWEEPS, progress=relay)
    for name in ("positions", "images", "species", "energy"):
        getattr(ensemble, name)[cold] = getattr(moving, name)
    return ensemble
