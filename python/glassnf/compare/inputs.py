"""Checks of the content of a compare.json, for everything that is made from it: figures, tables, pages."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .. import _check

__all__ = ["of_comparison"]

Function = TypeVar("Function", bound=Callable[..., Any])

_KEYS = {"data": "temperatures", "entry": "algorithms", "algorithm": "name"}
_OBSERVABLES = ("mean_energy", "specific_heat")
_COSTS = ("wall_time", "pair_evaluations")


def _check_axes(name: str, value: object) -> None:
    from matplotlib.axes import Axes

    if not isinstance(value, Axes):
        raise TypeError(f"{name}: expected matplotlib axes, got {_check.describe(value)}")


def _check_figure(name: str, value: object) -> None:
    from matplotlib.figure import Figure

    if not isinstance(value, Figure):
        raise TypeError(f"{name}: expected a matplotlib figure, got {_check.describe(value)}")


def _check_content(name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected a mapping from a compare.json, got {_check.describe(value)}")
    if _KEYS[name] not in value:
        raise ValueError(f"{name}: expected a mapping from a compare.json, with the key {_KEYS[name]!r}, got one without")


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "data": _check_content,
    "entry": _check_content,
    "algorithm": _check_content,
    "axes": _check_axes,
    "figure": _check_figure,
    "observable": lambda name, value: _check.choice(name, value, _OBSERVABLES),
    "cost": lambda name, value: _check.choice(name, value, _COSTS),
    "at_end_of_baseline": _check.boolean,
    "ident": _check.string,
    "title": _check.string,
    "path": _check.path,
    "folder": _check.path,
}


def of_comparison(function: Function) -> Function:
    """Make a function check its arguments, and say in one sentence that the content of a compare.json is not what it should be.

    What the content lacks deep inside is only found on the way; the error that it causes there is the cause of the ValueError.
    """
    names = list(inspect.signature(function).parameters)
    content = next((name for name in names if name in _KEYS), None)

    @functools.wraps(function)
    def checked(*arguments: Any, **options: Any) -> Any:
        for name, value in [*zip(names, arguments, strict=False), *options.items()]:
            if name in _CHECKS:
                _CHECKS[name](name, value)
        try:
            return function(*arguments, **options)
        except (KeyError, IndexError, AttributeError, TypeError) as error:
            if content is None:
                raise
            found = f"{type(error).__name__}: {_check.printable(str(error), 200)}"
            raise ValueError(
                f"{content}: expected what a compare.json of this version holds, got something else ({found})"
            ) from error

    return checked  # type: ignore[return-value]
