"""One thread at a time: what a sampler advances, no other thread may touch meanwhile."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ParamSpec, TypeVar

__all__ = ["Turn", "exclusive"]

P = ParamSpec("P")
T = TypeVar("T")


_PATIENCE = 60.0  # seconds to wait for the brief work of another thread
_GLANCE = 0.02  # seconds between looks at what it does


class Turn:
    """Whose turn it is to work on an object that calls itself `noun`.

    The thread that has the turn may take it again. Brief work (copies, checks, files) of several threads waits for each other.
    But while a sampler advances the object, it is an error for others and not a wait: they would go on from a state that they
    have not seen. Pickles and deep copies get a turn of their own. A process forked while another thread had the turn never
    gets it, as it should be: that thread is not there, and left the object half advanced.
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._lock = threading.RLock()
        self._advancing = 0  # how often the thread that has the turn has taken it for longer work

    def __reduce__(self) -> tuple[Any, ...]:
        return Turn, (self.noun,)

    @contextmanager
    def taken(self, *, briefly: bool = False) -> Iterator[None]:
        """Have the turn, or raise RuntimeError if another thread has it for longer work."""
        if not self._lock.acquire(blocking=False):
            self._wait()
        try:
            self._advancing += not briefly
            try:
                yield
            finally:
                self._advancing -= not briefly
        finally:
            self._lock.release()

    def _wait(self) -> None:
        until = time.monotonic() + _PATIENCE
        while not self._advancing and time.monotonic() < until:
            if self._lock.acquire(timeout=_GLANCE):
                return
        raise RuntimeError(
            f"{self.noun}: expected one that no other thread is using, got one in use (give each thread one of its own, "
            "made before its work begins)"
        )


def exclusive(*names: str, briefly: bool = False) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a method take the turns of some of its arguments while it runs: ``"self"``, or the name of its first argument.

    `briefly` is for work that ends by itself in a moment, and may wait for that of others. Arguments without a `Turn` are left
    to the checks of the method.
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
                        stack.enter_context(turn.taken(briefly=briefly))
                return method(*args, **kwargs)

        return call

    return decorate
