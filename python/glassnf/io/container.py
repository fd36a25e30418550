"""The seal of a file: a block of 512 bytes at its start, which says how many bytes follow and what their SHA-256 is.

The block is text, padded with zeros to the length that HDF5 allows in front of a file (its "user block"), so that h5py, h5dump
and all other programs open a sealed file as it is::

    glassnf 2
    bytes 00000000000000071680
    sha256 6a09e667...

The second line counts the bytes after the block. `check` compares length and checksum before any library sees the rest: a
damaged file is found out by forty lines of Python, not by a library in C. The block itself must be, byte for byte, the one that
these values make, so that no bit of a file can change without notice. A seal is no signature: who wants to forge one can.
"""

from __future__ import annotations

import hashlib
import os
from typing import IO, Final

from .files import DamagedFileError, FileFormatError

__all__ = ["BLOCK", "VERSION", "check", "seal"]

BLOCK: Final = 512
"""Bytes of the block."""

VERSION: Final = 2
"""Of the format of sealed files. Version 1 had no seal."""

_NAME: Final = b"glassnf "
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_CHUNK: Final = 1 << 20


def _block(length: int, digest: str) -> bytes:
    text = b"%s%d\nbytes %020d\nsha256 %s\n" % (_NAME, VERSION, length, digest.encode("ascii"))
    return text.ljust(BLOCK, b"\0")


def seal(image: memoryview) -> None:
    """Write the block into the first 512 bytes of the content of a file, whose other bytes are final.

    Parameters
    ----------
    image : memoryview
        Bytes, writable, at least 512.
    """
    rest = image[BLOCK:]
    image[:BLOCK] = _block(rest.nbytes, hashlib.sha256(rest).hexdigest())


def check(file: IO[bytes]) -> bool:
    """Compare a file, open for reading at its start, with its seal.

    Parameters
    ----------
    file : binary file

    Returns
    -------
    bool
        True if every byte is as it was written; False for an HDF5 file without a seal. The file is at its start again.

    Raises
    ------
    DamagedFileError
        If it is truncated or any bit has changed, is empty, or is of another format.
    FileFormatError
        If a later version of glassnf sealed it.
    OSError
        If it cannot be read.
    """
    size = os.fstat(file.fileno()).st_size
    block = file.read(BLOCK)
    if block.startswith(_HDF5):
        file.seek(0)
        return False
    length = _length(block, size)
    if size - BLOCK != length:
        raise DamagedFileError(f"expected {BLOCK + length} bytes, got {size}: the file is truncated or damaged")
    digest, left = hashlib.sha256(), length
    while left > 0:
        piece = file.read(min(_CHUNK, left))
        if not piece:
            raise DamagedFileError(f"expected {BLOCK + length} bytes, got {size - left}: the file is truncated")
        digest.update(piece)
        left -= len(piece)
    if block != _block(length, digest.hexdigest()):
        raise DamagedFileError(
            "expected the SHA-256 that the file begins with, got another: it is damaged, or another program has changed it"
        )
    file.seek(0)
    return True


def _length(block: bytes, size: int) -> int:
    """Return how many bytes the block says that follow it, once it is known to be a block of this version."""
    if size == 0:
        raise DamagedFileError("expected an HDF5 file of glassnf, got an empty file")
    lines = block.split(b"\n", 2)
    version, count = lines[0][len(_NAME) :], lines[1] if len(lines) == 3 else b""
    if not block.startswith(_NAME) or not version.isdigit():
        raise DamagedFileError("expected an HDF5 file of glassnf, got a damaged file or one of another format")
    if version != b"%d" % VERSION:
        raise FileFormatError(
            f"format_version: expected {VERSION}, got {version.decode()[:20]}: another version of glassnf wrote the file"
        )
    if len(block) < BLOCK or not (count.startswith(b"bytes ") and len(count) == 26 and count[6:].isdigit()):
        raise DamagedFileError("expected an HDF5 file of glassnf, got a truncated or damaged one")
    return int(count[6:])
