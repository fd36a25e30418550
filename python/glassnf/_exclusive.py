"""One thread at a time: what a sampler advances, no other thread may touch meanwhile."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ParamSpec, TypeVar

__all__ = ["Turn", "exclusive"]

P = ParamSpec("P")
T = TypeVar("T")


class Turn:
    """Whose turn it is to work on an object that calls itself `noun`.

    The thread that has the turn may take it again; to others it is an error, not a wait: they would go on from a state that
    they have not seen. Pickles and deep copies get a turn of their own. A process forked while another thread had the turn
    never gets it, as it should be: that thread is not there, and left the object half advanced.
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Turn, (self.noun,)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn, or raise RuntimeError if another thread has it."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                f"{self.noun}: expected one that no other thread is using, got one in use (give each thread one of its own, "
                "made before its work begins)"
            )
        try:
            yield
        finally:
            self._lock.release()


def exclusive(*names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a method take the turns of some of its arguments while it runs: ``"self"``, or the name of its first argument.

    Arguments without a `Turn` are left to the checks of the method.
    """

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with ExitStack() as stack:
                for name in names:
                    place = 0 if name == "self" else 1
                    subject = args[place] if len(args) > place else kwargs.get(name)
                    turn = getattr(subject, "_turn", None)
                    if isinstance(turn, Turn):
                        stack.enter_context(turn.taken())
                return method(*args, **kwargs)

        return call

    return decorate
