"""What is shipped with the package: reference values and a trained flow. Each file says by which command it was made."""

from __future__ import annotations

from pathlib import Path

from .._check import describe

__all__ = ["shipped_file"]


def shipped_file(name: str) -> Path:
    """Return the path of a file that is shipped with the package.

    Parameters
    ----------
    name : str
        Its name; the file need not exist.
    """
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ValueError(f"name: expected the name of a file without a folder, got {describe(name)}")
    return Path(__file__).resolve().parent / name
