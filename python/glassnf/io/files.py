"""Replacing a file in one step, with or without keeping the one before, and the errors that all readers raise."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from .._check import path as check_path
from .._check import printable

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "CheckpointWarning",
    "DamagedFileError",
    "FileFormatError",
    "PreviousCheckpointWarning",
    "Stamp",
    "atomic_write",
    "existing_file",
    "hint_of_previous",
    "output_file",
    "previous_file",
    "stamp_of",
]

Stamp = tuple[int, int, int, int]
"""Which file it is, how long, and when it was last changed; see `stamp_of`."""

_LONGEST_STEM = 100
_LONGEST_NAME = 240  # bytes; with a suffix it must fit into the 255 of file systems
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EXDEV}
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES}


class FileFormatError(ValueError):
    """A file cannot be read: it is truncated, damaged, of another format or version, or contradicts itself.

    The message is one line that can be printed on a terminal, whatever the file holds.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DamagedFileError(FileFormatError):
    """The bytes of a file are not those that were written: it is truncated, changed, or cannot be read."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; the work goes on without it."""


class PreviousCheckpointWarning(UserWarning):
    """The latest checkpoint is damaged or missing, and the one before it is used."""


def output_file(path: str | os.PathLike[str]) -> Path:
    """Return the file that writing to `path` replaces (the target of a symbolic link), once it is known that it can be made.

    Raises
    ------
    TypeError
        If `path` is not a path.
    FileNotFoundError, IsADirectoryError
        If the folder does not exist, or `path` is a folder.
    FileFormatError
        If it is a device or a pipe, whose place the file would take.
    """
    target = Path(os.path.realpath(check_path("path", path)))
    if target.is_dir():
        raise IsADirectoryError(f"path: expected a file name, got the folder {str(target)!r}")
    if target.exists() and not target.is_file():
        raise FileFormatError(f"path: expected the name of a file, got the device or pipe {str(target)!r}")
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
        raise FileNotFoundError(f"path: expected an existing file, got {str(file)!r}{hint_of_previous(file)}") from None
    if not stat.S_ISREG(mode):
        raise FileFormatError(f"path: expected a regular file, got {str(file)!r}")
    try:
        with file.open("rb"):
            pass
    except PermissionError:
        raise PermissionError(f"path: expected a file that may be read, got {str(file)!r}") from None
    return file


def previous_file(path: str | os.PathLike[str]) -> Path:
    """Return the name under which the checkpoint before the latest one is kept: that of the file, and ``.previous``.

    Raises
    ------
    TypeError
        If `path` is not a path.
    ValueError
        If the name is too long for that, or something else than a file has that name.
    """
    target = Path(os.path.realpath(check_path("path", path)))
    if len(os.fsencode(target.name)) > _LONGEST_NAME:
        raise ValueError(f"path: expected a file name of at most {_LONGEST_NAME} bytes, got {target.name!r}")
    previous = target.with_name(target.name + ".previous")
    if previous.exists() and not previous.is_file():
        raise ValueError(f"path: expected {str(previous)!r} to be free for the checkpoint before, got a folder or device there")
    return previous


def hint_of_previous(path: str | os.PathLike[str]) -> str:
    """Return a remark on the checkpoint before the one in a file, if there is one."""
    with contextlib.suppress(OSError, ValueError):
        previous = previous_file(path)
        if previous.is_file():
            return f"; {str(previous)!r} is the checkpoint before it"
    return ""


def stamp_of(path: str | os.PathLike[str]) -> Stamp | None:
    """Return device, inode, size and time of change of a file, the same while nobody touches it; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary files that killed processes have left beside a file; those of living processes stay.

    A temporary file is locked for as long as it is written to, and a lock ends with its process. Where the file system has no
    locks, nothing is removed.
    """
    if os.name != "posix":
        return
    pattern = re.compile(re.escape(f".{target.name[:_LONGEST_STEM]}.") + r"[0-9a-f]{16}\.tmp")
    for name in os.listdir(target.parent):
        if pattern.fullmatch(name):
            with contextlib.suppress(OSError):
                _remove_unlocked(target.parent / name)


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(descriptor)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Flush a renaming to disk, where the file system can."""
    if os.name != "posix":
        return
    try:
        _sync(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def _temporary_name(target: Path) -> Path:
    return target.with_name(f".{target.name[:_LONGEST_STEM]}.{secrets.token_hex(8)}.tmp")


def _temporary(target: Path) -> tuple[Path, int]:
    """Make an empty temporary file beside a file; return its name and a descriptor, which locks it until it is closed."""
    while True:
        path = _temporary_name(target)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        if _is_ours(descriptor):
            return path, descriptor
        os.close(descriptor)


def _is_ours(descriptor: int) -> bool:
    """Lock a file that was just made; False if another process has taken it for a leftover, and removes it."""
    if os.name != "posix":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return os.fstat(descriptor).st_nlink > 0


def _keep(target: Path, previous: Path) -> bool:
    """Give a file the second name `previous`, in place of the file that has it.

    Returns
    -------
    bool
        Whether it has lost its own name by that, because the file system has no hard links.
    """
    while True:
        link = _temporary_name(target)
        try:
            os.link(target, link)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.replace(target, previous)
            return True
        try:
            os.replace(link, previous)
            return False
        except FileNotFoundError:  # another process has taken the link for a leftover
            continue
        finally:  # renaming one name of a file to another name of the same file does nothing
            with contextlib.suppress(OSError):
                link.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, keep_previous: bool = False) -> Iterator[Path]:
    """Replace a file in one step, so that readers, crashes and kills see either the old file or the whole new one.

    The body of the ``with`` statement writes the file whose name it is given: an empty temporary file in the same folder. When
    the body ends, that file is flushed to disk and renamed over `path`, and the renaming is flushed too. When the body raises,
    the temporary file is removed and `path` is untouched. A process killed meanwhile may leave a file named
    ``.<name>.<random>.tmp`` behind, which the next one to write the file removes, and the old file untouched.

    A symbolic link stays, and the file that it points to is replaced. The permissions of an existing file are kept; a new file
    gets those of the umask.

    Parameters
    ----------
    path : str or path
    keep_previous : bool
        Whether the file that is replaced stays, as `previous_file`, in place of the one of that name. At every moment one of
        the two names has a whole file; both have, where the file system has hard links.

    Yields
    ------
    pathlib.Path
        The temporary file.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written to, or the disk is full.
    """
    target, moved = output_file(path), False
    previous = previous_file(target) if keep_previous else None
    try:
        _remove_leftovers(target)
        temporary, lock = _temporary(target)
        try:
            yield temporary
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
            _sync(temporary, os.O_RDWR)
            if previous is not None:
                moved = _keep(target, previous)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):  # the error that is under way says more
                temporary.unlink(missing_ok=True)
            if moved and previous is not None and not target.exists():
                with contextlib.suppress(OSError):
                    os.replace(previous, target)
            raise
        finally:
            os.close(lock)
        _sync_folder(target.parent)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(target)
        raise
