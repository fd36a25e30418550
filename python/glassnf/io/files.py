"""Replacing a file in one step, and the error that all readers raise."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from .._check import path as check_path
from .._check import printable

__all__ = ["FileFormatError", "atomic_write", "existing_file", "output_file"]

_LONGEST_STEM = 100


class FileFormatError(ValueError):
    """A file cannot be read: it is truncated, damaged, of another format or version, or contradicts itself.

    The message is one line that can be printed on a terminal, whatever the file holds.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def output_file(path: str | os.PathLike[str]) -> Path:
    """Return the file that writing to `path` replaces (the target of a symbolic link), once it is known that it can be made.

    Raises
    ------
    TypeError
        If `path` is not a path.
    FileNotFoundError, IsADirectoryError
        If the folder does not exist, or `path` is a folder.
    """
    target = Path(os.path.realpath(check_path("path", path)))
    if target.is_dir():
        raise IsADirectoryError(f"path: expected a file name, got the folder {str(target)!r}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path: expected a name in an existing folder, got {str(path)!r}")
    return target


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` as a Path once it is known to be a readable file.

    Raises
    ------
    TypeError
        If `path` is not a path.
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    FileFormatError
        If it is a folder or a device.
    """
    file = check_path("path", path)
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"path: expected an existing file, got {str(file)!r}") from None
    if not stat.S_ISREG(mode):
        raise FileFormatError(f"path: expected a regular file, got {str(file)!r}")
    try:
        with file.open("rb"):
            pass
    except PermissionError:
        raise PermissionError(f"path: expected a file that may be read, got {str(file)!r}") from None
    return file


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Replace a file in one step, so that readers, crashes and kills see either the old file or the whole new one.

    The body of the ``with`` statement writes the file whose name it is given: an empty temporary file in the same folder. When
    the body ends, that file is flushed to disk and renamed over `path`, and the renaming is flushed too. When the body raises,
    the temporary file is removed and `path` is untouched. A process killed meanwhile may leave a file named
    ``.<name>.<random>.tmp`` behind, and the old file untouched.

    A symbolic link stays, and the file that it points to is replaced. The permissions of an existing file are kept; a new file
    gets those of the umask.

    Parameters
    ----------
    path : str or path

    Yields
    ------
    pathlib.Path
        The temporary file.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written to, or the disk is full.
    """
    target = output_file(path)
    temporary = target.with_name(f".{target.name[:_LONGEST_STEM]}.{secrets.token_hex(8)}.tmp")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        _sync(target.parent, os.O_RDONLY)
