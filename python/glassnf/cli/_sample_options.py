"""The options of ``glassnf sample``: which there are, and to which algorithms each belongs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import _check
from ._errors import CommandError
from ._options import Choices, Option, flag, floats, fraction, integer, positive, text

if TYPE_CHECKING:
    from ..systems import System

__all__ = [
    "ALGORITHMS",
    "EXPLORERS",
    "OPTIONS",
    "engine_of",
    "for_species",
    "given_by",
    "refuse_foreign",
    "resolve_engine",
    "twice",
]

ALGORITHMS: Final = ("md", "mc", "swap", "pt", "pa", "nf")
EXPLORERS: Final = ("mc", "swap", "md")
STARTS: Final = ("hot", "both")
THERMOSTATS: Final = ("nve", "langevin", "rescaling")

TARGET_ACCEPTANCE: Final = 0.3
SWAP_PROBABILITY: Final = 0.2
TIMESTEP: Final = 0.005
FRICTION: Final = 1.0
RELAXATION_TIME: Final = 0.5

_MONTE_CARLO: Final = ("mc", "swap")
_DYNAMICS: Final = ("md", "--explorer md")
_OUTER: Final = ("pt", "pa", "nf")


def _one(name: str, value: object) -> float:
    values = floats(name, value)
    if len(values) != 1:
        raise ValueError(f"{name}: expected one temperature, got {len(values)}")
    return _temperatures(name, values)[0]


MOST_TEMPERATURES: Final = 100_000
"""Of a ladder by its ends, far more than any can use, and few enough to be made at once."""


def _temperatures(name: str, values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(_check.magnitude(name, value) for value in values)


def twice(name: str, temperature: float) -> float:
    """Return the larger of 1 and twice a temperature, where ladders and anneals begin."""
    return max(1.0, _check.magnitude(f"twice {name}", 2.0 * temperature))


def _choice(options: tuple[str, ...]) -> Callable[[str, object], str]:
    def convert(name: str, value: object) -> str:
        return _check.choice(name, value, options)

    return convert


def _file(name: str, value: object) -> str:
    """Convert to the name of a file, from the root, so that a run can be resumed from any folder."""
    return str(Path(text(name, value)).absolute())


def ladder(name: str, value: object) -> tuple[float, ...]:
    """Convert to the temperatures of a ladder, ascending: a list of at least two, or ``LOW:HIGH:COUNT``, geometric."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and ":" in value:
        parts = value.split(":")
        if len(parts) != 3:
            raise ValueError(f"{name}: expected a list of temperatures or LOW:HIGH:COUNT, got {value!r}")
        low, high = _temperatures(name, (positive(name, parts[0]), positive(name, parts[1])))
        count = integer(2)(name, parts[2])
        if not low < high:
            raise ValueError(f"{name}: expected LOW below HIGH in LOW:HIGH:COUNT, got {value!r}")
        from ..samplers import geometric_ladder

        if count > MOST_TEMPERATURES:
            raise ValueError(f"{name}: expected at most {MOST_TEMPERATURES:,} temperatures, got {count:,}")
        return tuple(geometric_ladder(low, high, count).tolist())
    values = _temperatures(name, tuple(sorted(floats(name, value))))
    if len(values) < 2:
        raise ValueError(f"{name}: expected at least two temperatures, got {len(values)}")
    for a, b in itertools.pairwise(values):
        if a == b:
            raise ValueError(f"{name}: expected distinct temperatures, got {a:g} twice")
    return values


OPTIONS: Final = (
    Option("system", text, "ka2d"),
    Option("particles", integer(1), None, ("n",)),
    Option("temperature", _one, None, ("T",)),
    Option("algorithm", _choice(ALGORITHMS), "swap"),
    Option("replicas", integer(1), owners=(*_MONTE_CARLO, "md", "nf")),
    Option("equilibration", integer(0)),
    Option("sweeps", integer(0), owners=(*_MONTE_CARLO, "pt", "nf")),
    Option("record-every", integer(1), owners=(*_MONTE_CARLO, "md", "pt", "nf")),
    Option("swap-probability", fraction, owners=(*_MONTE_CARLO, "--explorer swap")),
    Option("steps", integer(0), owners=("md",)),
    Option("timestep", positive, owners=_DYNAMICS),
    Option("thermostat", _choice(THERMOSTATS), owners=_DYNAMICS),
    Option("friction", positive, owners=_DYNAMICS),
    Option("relaxation-time", positive, owners=_DYNAMICS),
    Option("swap-every", integer(1), owners=_DYNAMICS),
    Option("explorer", _choice(EXPLORERS), owners=_OUTER),
    Option("temperatures", ladder, owners=("pt",)),
    Option("ladders", integer(1), owners=("pt",)),
    Option("sweeps-per-exchange", integer(1), owners=("pt",)),
    Option("starts", _choice(STARTS), "hot", owners=(*_MONTE_CARLO, "md", "pt")),
    Option("fixed-ladder", flag, False, owners=("pt",)),
    Option("start", _one, owners=("pa", "nf")),
    Option("population", integer(2), owners=("pa",)),
    Option("sweeps-per-step", integer(1), owners=("pa",)),
    Option("culling-fraction", fraction, owners=("pa",)),
    Option("block", integer(1), owners=("pa",)),
    Option("flow", _file, owners=("pt", "pa", "nf")),
    Option("threads", integer(1)),
    Option("device", text, "cpu"),
    Option("seed", integer(0, 2**64 - 1), 1),
    Option("output", text, None, ("o",)),
    Option("checkpoint-every", positive, 60.0),
    Option("resume", flag, False),
    Option("overwrite", flag, False),
    Option("require-equilibrated", flag, False),
    Option("quiet", flag, False),
    Option("json", flag, False),
)


def engine_of(algorithm: str, explorer: str | None) -> str:
    """Return what moves the particles: the algorithm itself, or its explorer."""
    return (explorer or "swap") if algorithm in _OUTER else algorithm


def for_species(choices: Choices, system: System) -> Choices:
    """Return the choices with local Monte Carlo as the default where there are no two species to swap.

    Raises
    ------
    CommandError
        If swap moves were asked for all the same.
    """
    if system.n_species > 1:
        return choices
    defaults = {}
    for key in ("algorithm", "explorer"):
        if key not in choices.explicit:
            defaults[key] = "mc"
        elif choices[key] == "swap":
            raise CommandError(f"--{key}: expected no swap moves for {system.name}, which has one species, got swap; use mc")
    return Choices({**choices.values, **defaults}, choices.explicit)


def refuse_foreign(choices: Choices, algorithm: str, explorer: str | None) -> None:
    """Refuse options that were given but belong to other algorithms.

    Raises
    ------
    CommandError
        Naming the first such option, and to which algorithms it belongs.
    """
    have = {algorithm, f"--explorer {engine_of(algorithm, explorer)}"} if algorithm in _OUTER else {algorithm}
    for option in OPTIONS:
        if option.key not in choices.explicit or not option.owners or have & set(option.owners):
            continue
        advice = {"sweeps": {"md": "; use --steps"}, "steps": {"mc": "; use --sweeps", "swap": "; use --sweeps"}}
        advice["replicas"] = {"pt": "; use --ladders", "pa": "; use --population"}
        hint = advice.get(option.key, {}).get(algorithm, "")
        with_what = algorithm if algorithm not in _OUTER else f"{algorithm} --explorer {engine_of(algorithm, explorer)}"
        raise CommandError(
            f"--{option.key}: expected no such option with --algorithm {with_what}, it belongs to {_owners(option)}{hint}"
        )


def _owners(option: Option) -> str:
    algorithms = [name for name in option.owners if not name.startswith("--")]
    others = [name for name in option.owners if name.startswith("--")]
    return " and ".join([f"--algorithm {'|'.join(algorithms)}", *others])


def given_by(choices: Choices, key: str, default: Any) -> Any:
    """Return an option's value, or a default that depends on the algorithm."""
    value = choices[key]
    return default if value is None else value


def resolve_engine(choices: Choices, engine: str, system: System) -> dict[str, Any]:
    """Return the parameters of what moves the particles, with their defaults.

    Raises
    ------
    CommandError
        If they do not go together.
    """
    return _dynamics(choices) if engine == "md" else {"swap_probability": _swap_probability(choices, engine, system)}


def _swap_probability(choices: Choices, engine: str, system: System) -> float:
    given = choices["swap-probability"]
    if engine == "mc":
        if given not in (None, 0.0):
            raise CommandError(f"--swap-probability: expected 0 or no such option with --algorithm mc, got {given:g}")
        return 0.0
    if given == 0.0:
        raise CommandError(f"--swap-probability: expected more than 0 with swap moves, got 0; use mc in place of {engine}")
    return SWAP_PROBABILITY if given is None else float(given)


def _dynamics(choices: Choices) -> dict[str, Any]:
    thermostat = given_by(choices, "thermostat", "langevin")
    for key, owner in (("friction", "langevin"), ("relaxation-time", "rescaling")):
        if key in choices.explicit and thermostat != owner:
            raise CommandError(f"--{key}: expected no such option with --thermostat {thermostat}, it belongs to {owner}")
    return {
        "timestep": given_by(choices, "timestep", TIMESTEP),
        "thermostat": thermostat,
        "friction": given_by(choices, "friction", FRICTION) if thermostat == "langevin" else None,
        "relaxation_time": given_by(choices, "relaxation-time", RELAXATION_TIME) if thermostat == "rescaling" else None,
        "swap_every": choices["swap-every"],
    }
