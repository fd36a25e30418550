"""Exclusive use of a file or folder by one process, for as long as it lives."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["InUseError", "Lock"]


class InUseError(ValueError):
    """Another process is using what this one wants for itself."""


class Lock:
    """A lock file, locked by this process until `release` or its end, however that comes.

    The file is removed by `release`. A process that has opened it before that, and gets the lock after, finds that the name
    belongs to no file or another one, and tries again: two processes never hold the lock of one name. Where the file system has
    no locks, or nothing can be written, there is none.

    Parameters
    ----------
    path : pathlib.Path
        Of the lock file.
    message : str
        Of the error.

    Raises
    ------
    InUseError
        If another process, or another object of this one, holds the lock.
    """

    def __init__(self, path: Path, message: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        access = os.O_RDONLY  # a file system with files that are open for writing cannot become read-only
        while os.name == "posix":
            try:
                descriptor = os.open(path, access | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError:
                return
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_named(descriptor):
                    self._descriptor = descriptor
                    return
            except BlockingIOError:
                raise InUseError(message) from None
            except OSError as error:
                if error.errno != errno.EBADF or access == os.O_RDWR:
                    return
                access = os.O_RDWR  # as NFS demands
            finally:
                if self._descriptor is None:
                    os.close(descriptor)

    def _is_named(self, descriptor: int) -> bool:
        """Whether the name belongs to the file that has just been locked."""
        mine = os.fstat(descriptor)
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (found.st_dev, found.st_ino)

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None
