"""Bond-orientational order of particles and their neighbours, through freud."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glassnf import _check
from glassnf.observables._freud import freud_box, freud_points, largest_radius, library
from glassnf.observables._inputs import ComplexArray, FloatArray, Frames, frames

__all__ = ["bond_order", "steinhardt"]

_NEIGHBOURS = ("nearest", "voronoi", "cutoff")


class _Neighbours:
    """Neighbours of the particles of one frame after another, as freud takes them."""

    def __init__(self, data: Frames, kind: str, number: int, cutoff: float | None, weighted: bool) -> None:
        self.kind = _check.choice("neighbours", kind, _NEIGHBOURS)
        if weighted and self.kind != "voronoi":
            raise ValueError(f"weighted: expected False unless neighbours is 'voronoi', got True with {self.kind!r}")
        if (cutoff is not None) != (self.kind == "cutoff"):
            raise ValueError(f"cutoff: expected a distance exactly where neighbours is 'cutoff', got {cutoff} with {kind!r}")
        if cutoff is not None:
            cutoff = _check.magnitude("cutoff", cutoff)
            if cutoff > 0.5 * float(data.box.min()):
                raise ValueError(f"cutoff: expected at most half the shortest side ({0.5 * data.box.min():g}), got {cutoff:g}")
            self.cutoff = min(cutoff, largest_radius(data.box))
        self.number = _check.integer("number", number, 1, 2**20)
        if self.kind == "nearest" and self.number >= data.n:
            raise ValueError(f"number: expected fewer neighbours than the {data.n} particles, got {self.number}")

    def of(self, freud: Any, system: tuple[Any, Any]) -> Any:
        """Return freud's ``neighbors`` argument for (box, points)."""
        if self.kind == "voronoi":
            return freud.locality.Voronoi().compute(system).nlist
        if self.kind == "nearest":
            return {"mode": "nearest", "num_neighbors": self.number, "exclude_ii": True}
        return {"mode": "ball", "r_max": self.cutoff, "exclude_ii": True}


def _particle_orders(freud: Any, order: Any, data: Frames, bonds: _Neighbours) -> npt.NDArray[Any]:
    """Apply freud's `order` to every frame: (*lead, N)."""
    sides = freud_box(freud, data.box)
    rows = []
    for frame in data.positions:
        system = (sides, freud_points(frame, data.box))
        rows.append(order.compute(system, neighbors=bonds.of(freud, system)).particle_order.copy())
    return np.stack(rows).reshape(*data.lead, data.n)


def bond_order(
    positions: object,
    box: object,
    k: int = 6,
    *,
    neighbours: str = "nearest",
    cutoff: float | None = None,
    weighted: bool = False,
) -> ComplexArray:
    """Return the k-fold bond-orientational order of each particle in 2D, psi_k = mean over neighbours of exp(i k phi).

    phi is the angle of the bond with the x axis; |psi_k| = 1 in a perfect lattice of that symmetry, psi_6 for the triangular
    and psi_4 for the square one. The order of a whole configuration is ``abs(psi.mean(axis=-1))``. Computed by
    ``freud.order.Hexatic``.

    Parameters
    ----------
    positions
        (..., N, 2) in units of sigma.
    box
        (2,).
    k
        Symmetry.
    neighbours
        "nearest": the k nearest particles; "voronoi": those that share an edge of the Voronoi cell; "cutoff": those within
        `cutoff`.
    cutoff
        Distance for "cutoff", at most half the shortest side.
    weighted
        With "voronoi", weigh each neighbour by the length of the shared edge (Mickel et al. 2013, J. Chem. Phys. 138, 044501),
        which is continuous in the positions.

    Returns
    -------
    numpy.ndarray
        (..., N) complex128; 0 for a particle without neighbours.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    ImportError
        If freud is not installed.

    References
    ----------
    Nelson, Halperin 1979, Phys. Rev. B 19, 2457.
    """
    data = frames(positions, box)
    if data.dimension != 2:
        raise ValueError(f"positions: expected 2 dimensions (in 3D use steinhardt), got {data.dimension}")
    fold = _check.integer("k", k, 1, 1000)
    weighted = _check.boolean("weighted", weighted)
    bonds = _Neighbours(data, neighbours, fold, cutoff, weighted)
    freud = library("bond-orientational order")
    result = _particle_orders(freud, freud.order.Hexatic(fold, weighted), data, bonds).astype(np.complex128)
    return np.nan_to_num(result, copy=False, nan=0.0)


def steinhardt(
    positions: object,
    box: object,
    degree: int = 6,
    *,
    average: bool = False,
    neighbours: str = "nearest",
    number: int = 12,
    cutoff: float | None = None,
    weighted: bool = False,
) -> FloatArray:
    """Return the Steinhardt order parameter q_l of each particle in 3D.

    q_l = sqrt(4 pi / (2 l + 1) sum_m |mean over neighbours of Y_lm|^2), e.g. q_6 = 0.5745 in fcc and 0.4848 in hcp with 12
    neighbours. Computed by ``freud.order.Steinhardt``.

    Parameters
    ----------
    positions
        (..., N, 3) in units of sigma.
    box
        (3,).
    degree
        Degree l of the spherical harmonics, at least 1.
    average
        Average Y_lm over the particle and its neighbours first (Lechner, Dellago 2008, J. Chem. Phys. 129, 114707).
    neighbours
        "nearest": the `number` nearest particles; "voronoi": those that share a face; "cutoff": those within `cutoff`.
    number
        Number of neighbours for "nearest".
    cutoff
        Distance for "cutoff", at most half the shortest side.
    weighted
        With "voronoi", weigh each neighbour by the area of the shared face (Mickel et al. 2013, J. Chem. Phys. 138, 044501).

    Returns
    -------
    numpy.ndarray
        (..., N); NaN for a particle without neighbours.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    ImportError
        If freud is not installed.

    References
    ----------
    Steinhardt, Nelson, Ronchetti 1983, Phys. Rev. B 28, 784.
    """
    data = frames(positions, box)
    if data.dimension != 3:
        raise ValueError(f"positions: expected 3 dimensions (in 2D use bond_order), got {data.dimension}")
    degree = _check.integer("degree", degree, 1, 100)
    averaged, weighted = _check.boolean("average", average), _check.boolean("weighted", weighted)
    bonds = _Neighbours(data, neighbours, number, cutoff, weighted)
    freud = library("bond-orientational order")
    order = freud.order.Steinhardt(degree, average=averaged, weighted=weighted)
    return _particle_orders(freud, order, data, bonds).astype(np.float64)
