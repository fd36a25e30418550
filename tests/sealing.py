"""Files changed on purpose, with a seal that fits: what an attacker, or a mistake in glassnf, could write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from glassnf.io import container

__all__ = ["changed", "seal_again"]


@contextlib.contextmanager
def changed(path: Path) -> Iterator[Any]:
    """Open a sealed HDF5 file to change it, and seal it again."""
    with h5py.File(path, "r+") as file:
        yield file
    seal_again(path)


def seal_again(path: Path) -> None:
    """Give a file the seal of its content as it is now."""
    content = bytearray(path.read_bytes())
    container.seal(memoryview(content))
    path.write_bytes(content)
