"""Where the program ``glassnf`` begins, also as ``python -m glassnf``: Ctrl-C while libraries are imported ends it at once.

Left to Python it would be a traceback, or a library's advice on how to install it. The package imports this module first, and
nothing here is slow to import. A program that merely imports the package keeps its handlers.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["EARLY", "end_at_once", "ends_at_once", "main", "restore"]


def _is_program() -> bool:
    """Return whether this process is the command, not another program that imports the package."""
    if not sys.argv:
        return False
    if sys.argv[0] == "-m":  # so it is until the module has been found, for which its package is imported
        return any(word in ("glassnf", "glassnf.__main__", "-mglassnf") for word in sys.orig_argv)
    return Path(sys.argv[0]).name in ("glassnf", "glassnf.exe")


def end_at_once() -> bool:
    """Have Ctrl-C end the process without a word, where it would raise KeyboardInterrupt; return whether that is so now."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or of somebody else
        return False
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:  # not the main thread
        return False
    return True


def restore() -> None:
    """Have Ctrl-C raise KeyboardInterrupt again."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def ends_at_once() -> Iterator[None]:
    """Do as `end_at_once`, for a while."""
    changed = end_at_once()
    try:
        yield
    finally:
        if changed:
            restore()


EARLY = _is_program() and end_at_once()
"""Whether `restore` is due when the package has been imported."""


def main() -> None:
    """Entry point of the ``glassnf`` command."""
    with ends_at_once():
        from .cli import main as command
    command()
