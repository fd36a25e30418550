"""Trained flows that are shipped with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..systems import System

if TYPE_CHECKING:
    from .radial_flow import RadialFlow

__all__ = ["shipped"]

# By the hash of the system; bench/train_shipped_flow.py writes the files.
_FILES: Final = {"54f4d9c1602474e4c84e450eb671e12271defe5164448a2482b2dd4744ed99bb": "flow_ka2d_43.safetensors"}


def shipped(system: System) -> RadialFlow | None:
    """Return the trained flow that is shipped with the package for a system, or None if there is none for it.

    There is one for `ka2d` with 43 particles, from T = 0.6 to 0.2, or between any two temperatures in that range. What it
    reaches and by which command it was trained is in docs/flows.md and in its report.

    Parameters
    ----------
    system : System

    Returns
    -------
    RadialFlow or None

    Raises
    ------
    TypeError
        If `system` is not a System.
    FileFormatError
        If the file is damaged.

    Examples
    --------
    >>> import glassnf as gnf
    >>> flow = gnf.flows.shipped(gnf.systems.ka2d(n=43))
    >>> flow.hot, flow.cold
    (0.6, 0.2)
    >>> gnf.flows.shipped(gnf.systems.ka2d(n=44)) is None
    True
    """
    if not isinstance(system, System):
        raise TypeError(f"system: expected a System, got {type(system).__name__}")
    name = _FILES.get(system.hash)
    if name is None:
        return None
    from ..data import shipped_file
    from .storage import load

    return load(shipped_file(name), system)
