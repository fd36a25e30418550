"""The one place that speaks to freud about boxes and points."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glassnf import _optional
from glassnf.observables._inputs import FloatArray


def library(purpose: str) -> Any:
    """Import freud; ImportError with the command that installs it."""
    return _optional.require("freud", extra="analysis", purpose=purpose)


def freud_box(freud: Any, box: FloatArray) -> Any:
    """Return freud's box of the sides `box`, (2,) or (3,)."""
    if box.size == 2:
        return freud.box.Box(Lx=box[0], Ly=box[1], is2D=True)
    return freud.box.Box(Lx=box[0], Ly=box[1], Lz=box[2])


def freud_points(positions: FloatArray, box: FloatArray) -> npt.NDArray[np.float32]:
    """Return positions (N, d) in [0, box) as freud wants them: (N, 3) float32, about the origin, z = 0 in 2D."""
    points = np.zeros((len(positions), 3), dtype=np.float32)
    points[:, : box.size] = positions - 0.5 * box
    return points


def largest_radius(box: FloatArray) -> float:
    """Largest radius freud's neighbour search takes: half the shortest side, less its float32 rounding."""
    return 0.5 * float(box.min()) * (1.0 - 1e-6)
