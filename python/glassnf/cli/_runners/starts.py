"""Where replicas start: at random, or half of them from below the temperature, so that the two halves can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from .._chain import Turn
from .._errors import CommandError
from .._options import Choices
from .._sample_options import SWAP_PROBABILITY, twice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ensemble import Ensemble
    from ...systems import System

__all__ = ["choose_starts", "from_cold", "start_replicas"]

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


def start_replicas(
    parameters: dict[str, Any],
    system: System,
    temperatures: npt.NDArray[np.float64],
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
        (R,) of the run; replicas of one unit stand together.
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
    from ...ensemble import Ensemble
    from ...samplers import MonteCarlo

    seed = parameters["seed"]
    ensemble = Ensemble.random(system, replicas=temperatures.size, temperature=temperatures, seed=seed)
    mask = from_cold(parameters, units)
    if mask is None:
        return ensemble
    cold = np.flatnonzero(np.repeat(mask, temperatures.size // units))
    lowest = float(temperatures.min())
    moving = Ensemble.random(system, cold.size, twice("--temperature", lowest), derived_seed(seed, "cold starts"))
    sampler = MonteCarlo(system, swap_probability=SWAP_PROBABILITY if system.n_species > 1 else 0.0, threads=threads)

    def relay(done: int, total: int, info: Mapping[str, Any]) -> None:
        if turn.stop.number is not None:
            raise CommandError("stopped before the run began, while its cold starts were annealed", turn.stop.exit_code)
        turn.show("cold starts", float(moving.step), float(STAGES * STAGE_SWEEPS), "")

    for temperature in np.geomspace(twice("--temperature", lowest), DEPTH * lowest, STAGES).tolist():
        moving.beta[:] = 1.0 / temperature
        sampler.equilibrate(moving, sweeps=STAGE_SWEEPS, progress=relay)
    for name in ("positions", "images", "species", "energy"):
        getattr(ensemble, name)[cold] = getattr(moving, name)
    return ensemble
