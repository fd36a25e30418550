"""What is shipped with the package: reference values and a trained flow. Each file says by which command it was made."""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped_file"]


def shipped_file(name: str) -> Path:
    """Return the path of a file that is shipped with the package.

    Parameters
    ----------
    name : str
        Its name; the file need not exist.
    """
    return Path(__file__).resolve().parent / name
