"""Options from the command line and from a TOML file: one table for each command, one way to read a value.

A value given on the command line wins over the file, and the file over the default. Both are checked alike, here, and not by
the command line's parser, so that they give the same messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _check
from ._errors import CommandError, user_input

__all__ = ["Choices", "Option", "choose", "duration", "flag", "floats", "fraction", "integer", "positive", "text", "words"]

Convert = Callable[[str, object], Any]


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes
    ----------
    key
        Its long name without the dashes, also the key in a file.
    convert
        Called as ``convert(name, value)`` with a string from the command line or a value from the file; returns the checked
        value.
    default
        The value where neither gives one.
    aliases
        Its other names without the dashes, allowed in a file too.
    owners
        To which algorithms it belongs; empty where it belongs to all.
    """

    key: str
    convert: Convert
    default: Any = None
    aliases: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()

    @property
    def parameter(self) -> str:
        """The name of the parameter of the command's function."""
        return self.key.replace("-", "_")


@dataclass(frozen=True)
class Choices:
    """The values of all options.

    Attributes
    ----------
    values
        By key.
    explicit
        Keys that were given, on the command line or in the file.
    """

    values: dict[str, Any]
    explicit: frozenset[str]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


def integer(low: int | None = None, high: int | None = None) -> Convert:
    """Return a conversion to an integer from `low` to `high`; 1e6 is one."""

    def convert(name: str, value: object) -> int:
        return _check.integer(name, _number(value, whole=True), low, high)

    return convert


def positive(name: str, value: object) -> float:
    """Convert to a positive finite number."""
    return _check.positive_float(name, _number(value))


def duration(name: str, value: object) -> float:
    """Convert to a positive number of seconds: ``300``, ``300s``, ``5m`` or ``1.5h``."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    scale = 1.0
    if isinstance(value, str) and value.strip()[-1:].lower() in units:
        scale, value = units[value.strip()[-1].lower()], value.strip()[:-1]
    try:
        return scale * positive(name, value)
    except TypeError:
        raise TypeError(f"{name}: expected a time such as 300, 5m or 1h, got {value!r}") from None


def fraction(name: str, value: object) -> float:
    """Convert to a probability."""
    return _check.probability(name, _number(value))


def floats(name: str, value: object) -> tuple[float, ...]:
    """Convert to positive numbers: ``0.5,0.4``, an option given several times, or a list."""
    return tuple(positive(name, entry) for entry in _split(value))


def words(name: str, value: object) -> tuple[str, ...]:
    """Convert to names: ``mc,swap``, an option given several times, or a list."""
    return tuple(text(name, entry) for entry in _split(value))


def text(name: str, value: object) -> str:
    """Convert to a string that is not empty."""
    return _check.string(name, value)


def flag(name: str, value: object) -> bool:
    """Convert to a boolean."""
    return _check.boolean(name, value)


def _number(value: object, *, whole: bool = False) -> object:
    """Return the number that a string from the command line spells; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return int(value)
    except ValueError:
        pass
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if whole and number.is_integer() else number


def _split(value: object) -> list[object]:
    entries = list(value) if isinstance(value, (list, tuple)) else [value]
    parts: list[object] = []
    for entry in entries:
        parts.extend([part.strip() for part in entry.split(",")] if isinstance(entry, str) else [entry])
    return parts


def choose(options: Sequence[Option], given: Mapping[str, Any], config: str | None) -> Choices:
    """Combine command line, file and defaults.

    Parameters
    ----------
    options
        The options of the command.
    given
        Parameters of the command's function by name; None, False and empty lists stand for options that were not given.
    config
        Name of a TOML file, or None.

    Raises
    ------
    CommandError
        If the file cannot be read, has a key that is not an option (the message names the nearest), or a value is not
        acceptable.
    """
    from_file = _read(options, config) if config is not None else {}
    values: dict[str, Any] = {}
    explicit = set()
    with user_input():
        for option in options:
            raw = given.get(option.parameter)
            if raw is not None and raw is not False and raw != [] and raw != ():
                values[option.key] = option.convert(f"--{option.key}", raw)
            elif option.key in from_file:
                values[option.key] = option.convert(f"{config}: {option.key}", from_file[option.key])
            else:
                values[option.key] = option.default
                continue
            explicit.add(option.key)
    return Choices(values, frozenset(explicit))


def _read(options: Sequence[Option], config: str) -> dict[str, Any]:
    """Read a TOML file of options, by their full keys."""
    from ..io.text import parse_toml, read_bytes

    with user_input():
        content = read_bytes(_check.path("--config", config))
    try:
        data = parse_toml(content)
    except ValueError as error:
        raise CommandError(f"{config}: expected a TOML file, got text that is not: {error}") from None
    names = {alias: option.key for option in options for alias in (option.key, option.parameter, *option.aliases)}
    found: dict[str, Any] = {}
    for name, value in data.items():
        if name not in names:
            near = _check.nearest(name, [option.key for option in options])
            hint = f"; did you mean {near!r}?" if near is not None else f", expected one of {', '.join(o.key for o in options)}"
            raise CommandError(f"{config}: unknown key {_check.describe(name)}{hint}")
        if names[name] in found:
            raise CommandError(f"{config}: the key {names[name]!r} is given twice, once as {name!r}")
        found[names[name]] = value
    return found
