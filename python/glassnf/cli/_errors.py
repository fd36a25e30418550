"""How a command fails: one sentence on the standard error, an exit code, and with ``--json`` an object on standard output."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import typer

from .. import cuda
from .._check import printable
from ..flows.transport import FlowError

__all__ = [
    "BAD_INPUT",
    "CANNOT_WRITE",
    "INTERRUPTED",
    "CommandError",
    "cannot_write",
    "fail",
    "guarded",
    "shown_warnings",
    "user_input",
    "warn",
]

BAD_INPUT: Final = 2

CANNOT_WRITE: Final = 5
"""Exit code where results cannot be written: the disk is full, the folder has vanished or may not be written to."""

INTERRUPTED: Final = 130
"""Exit code where Ctrl-C has stopped the command: 128 plus the number of the signal, as shells have it."""

Command = TypeVar("Command", bound=Callable[..., None])


class CommandError(Exception):
    """A failure that the user can mend.

    Parameters
    ----------
    message
        One sentence.
    code
        Exit code of the command.
    """

    def __init__(self, message: str, code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.message = printable(message, 4000)
        self.code = code


@contextlib.contextmanager
def user_input() -> Iterator[None]:
    """Turn the errors that bad input causes into a `CommandError`; only around checks, so that bugs keep their traceback."""
    try:
        yield
    except (ValueError, TypeError, ImportError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        name = f"{error.filename}: " if error.filename is not None else ""
        raise CommandError(f"{name}{error.strerror or error}") from error
    except MemoryError as error:
        raise CommandError("not enough memory for this many particles and replicas") from error


def cannot_write(error: OSError | MemoryError, path: str | os.PathLike[str]) -> str:
    """Return what kept a file from being written, in half a sentence that begins with its name."""
    if isinstance(error, MemoryError):
        return f"{os.fspath(path)}: not enough memory to write the file"
    if error.strerror is None:
        return str(error)
    return f"{os.fspath(path)}: {error.strerror}"


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], advice: str = "") -> Iterator[None]:
    """Turn the errors of writing a file into a `CommandError` that says what failed, and ends with an advice."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{cannot_write(error, path)}{advice}", CANNOT_WRITE) from None


def warn(message: str) -> None:
    """Say something on the standard error, in one line, and go on."""
    sys.stderr.write(f"glassnf: warning: {' '.join(message.split())}\n")


@contextlib.contextmanager
def shown_warnings(*categories: type[Warning]) -> Iterator[None]:
    """Show warnings of these categories as `warn` does."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
            if issubclass(category, categories):
                warn(str(message))
            else:
                others(message, category, *place, **options)

        for category in categories:
            warnings.simplefilter("always", category)
        warnings.showwarning = show
        yield


def fail(message: str, code: int, *, json: bool) -> None:
    """Report a failure on the standard error, and with `json` as an object on the standard output."""
    if json:
        from ..compare.jsonable import dumps

        sys.stdout.write(dumps({"error": {"message": message, "exit_code": code}}))
    sys.stderr.write(f"glassnf: error: {message}\n")


def guarded(command: Command) -> Command:
    """Make a command report a `CommandError` and exit with its code; its first argument is the typer context."""

    @functools.wraps(command)
    def run(ctx: typer.Context, **options: Any) -> None:
        try:
            command(ctx, **options)
        except CommandError as error:
            fail(error.message, error.code, json=bool(options.get("json")))
            raise typer.Exit(error.code) from None
        except (cuda.CudaUnavailableError, cuda.CudaOutOfMemoryError, FlowError) as error:
            message = printable(str(error), 4000)
            fail(message, BAD_INPUT, json=bool(options.get("json")))
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:  # where there was nothing to keep yet, or no longer
            fail("interrupted", INTERRUPTED, json=bool(options.get("json")))
            raise typer.Exit(INTERRUPTED) from None

    return run  # type: ignore[return-value]
