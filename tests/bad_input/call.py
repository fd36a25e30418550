"""A valid call of a public function, in which one argument at a time is replaced."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

Make = Callable[[], tuple[Callable[..., Any], dict[str, Any]]]


@dataclass(frozen=True)
class Call:
    """A public function with valid arguments.

    Attributes
    ----------
    make
        Returns the function, or bound method, and new arguments for it.
    work
        Arguments that are amounts of work, which must not become large.
    loose
        Arguments that take anything: what is put there proves nothing.
    nan
        Whether a result may hold NaN or infinities for arguments that are accepted, and why.
    exact
        Whether the same numbers, stored otherwise, give the same bits.
    names
        Other names by which messages call an argument.
    judged
        Arguments of which something can be proved.
    """

    make: Make
    work: Collection[str] = ()
    loose: Collection[str] = ()
    nan: str = ""
    exact: bool = True
    names: dict[str, str] = field(default_factory=dict)
    judged: Collection[str] = ()


def call(
    function: Callable[..., Any],
    /,
    *,
    work: Collection[str] = (),
    loose: Collection[str] = (),
    nan: str = "",
    exact: bool = True,
    names: dict[str, str] | None = None,
    **arguments: Any,
) -> Call:
    """Return a call with arguments that are made anew each time where they are functions without a name of their own."""

    def make() -> tuple[Callable[..., Any], dict[str, Any]]:
        made = {name: value.make() if isinstance(value, New) else value for name, value in arguments.items()}
        return function, made

    judged = tuple(name for name in arguments if name not in loose)
    return Call(make, work, loose, nan, exact, names or {}, judged)


def method(
    owner: Callable[[], Any],
    name: str,
    /,
    *,
    work: Collection[str] = (),
    loose: Collection[str] = (),
    nan: str = "",
    exact: bool = True,
    names: dict[str, str] | None = None,
    **arguments: Any,
) -> Call:
    """Return a call of a method of a new object."""
    plain = call(len, loose=loose, **arguments)

    def make() -> tuple[Callable[..., Any], dict[str, Any]]:
        return getattr(owner(), name), plain.make()[1]

    return Call(make, work, loose, nan, exact, names or {}, plain.judged)


@dataclass(frozen=True)
class New:
    """An argument that is made anew for each call, because the function may change it."""

    make: Callable[[], Any]
