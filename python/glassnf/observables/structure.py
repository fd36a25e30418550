"""Static structure: partial pair correlation functions and structure factors, in 2 and 3 dimensions.

Positions are (..., N, d), wrapped or not; all leading axes are frames to average over. `species` is (N,) or (..., N), since
swap moves exchange species, but the composition must stay the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glassnf import _check
from glassnf.observables._freud import freud_box, freud_points, largest_radius, library
from glassnf.observables._inputs import ComplexArray, FloatArray, Frames, IntArray, box_sides, frames

__all__ = [
    "RadialDistribution",
    "StructureFactor",
    "radial_distribution",
    "structure_factor",
    "structure_factor_at",
    "wave_vectors",
]

_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class RadialDistribution:
    """Pair correlation functions.

    Attributes
    ----------
    r
        (bins,) middles of the bins.
    edges
        (bins + 1,).
    total
        (bins,) g(r) without regard to species.
    partials
        (S, S, bins) g_ab(r), symmetric in a and b; NaN where there is no pair (a missing species, or a = b with one particle).
    n_frames
        Number of configurations averaged over.
    """

    r: FloatArray
    edges: FloatArray
    total: FloatArray
    partials: FloatArray
    n_frames: int


@dataclass(frozen=True, eq=False)
class StructureFactor:
    """Static structure factors, averaged over the wave vectors of each bin.

    Attributes
    ----------
    k
        (bins,) mean modulus of the wave vectors of the bin.
    total
        (bins,) S(k).
    partials
        (S, S, bins) S_ab(k), Ashcroft-Langreth; NaN for a species without particles.
    n_vectors
        (bins,) wave vectors in the bin, k and -k counted once. Empty bins are left out.
    n_frames
        Number of configurations averaged over.
    """

    k: FloatArray
    total: FloatArray
    partials: FloatArray
    n_vectors: IntArray
    n_frames: int


# -------------------------------------------------------------------------------------------------------- pair correlation


def _ball_volumes(edges: FloatArray, dimension: int) -> FloatArray:
    return math.pi * edges**2 if dimension == 2 else 4.0 / 3.0 * math.pi * edges**3


def _pair_counts(data: Frames, bins: int, r_max: float) -> FloatArray:
    """Pairs (i of a, j of b, i != j) by distance, summed over frames, as (S, S, bins); a = b counts both orders."""
    freud = library("pair correlation functions")
    rdf = freud.density.RDF(bins, r_max)
    box = freud_box(freud, data.box)
    species = len(data.counts)
    ends = np.cumsum(data.counts)
    counts = np.zeros((species, species, bins))
    ball = {"mode": "ball", "r_max": r_max, "exclude_ii": False}
    for frame in data.positions:
        points = freud_points(frame, data.box)
        parts = [points[end - count : end] for end, count in zip(ends, data.counts, strict=True)]
        for a in range(species):
            if len(parts[a]) > 1:
                rdf.compute((box, parts[a]))
                counts[a, a] += rdf.bin_counts
            for b in range(a + 1, species):
                if len(parts[a]) > 0 and len(parts[b]) > 0:
                    rdf.compute((box, parts[a]), query_points=parts[b], neighbors=ball)
                    counts[a, b] += rdf.bin_counts
    upper = np.triu_indices(species, 1)
    counts[upper[1], upper[0]] = counts[upper]
    return counts


def radial_distribution(
    positions: object, box: object, species: object = None, *, bins: int = 100, r_max: float | None = None
) -> RadialDistribution:
    """Return the total and partial pair correlation functions.

    g_ab(r) is the number of pairs of a particle of a and another particle of b at distance r, divided by the number expected if
    every pair were placed independently and uniformly: N_a N_b for a != b, and N_a (N_a - 1), not N_a^2, for a = b, times the
    volume of the shell over that of the box. So g = 1 exactly for an ideal gas of any N, and g -> 1 far away in a liquid up to
    corrections of order 1/N from the liquid itself. (The other convention, which tends to (N_a - 1)/N_a, is this g_aa times
    (N_a - 1)/N_a.) Pairs are found and binned by freud (``freud.density.RDF``), which works in single precision.

    Parameters
    ----------
    positions
        (..., N, d) in units of sigma.
    box
        (d,).
    species
        (N,) or (..., N) integers from 0; None for one species.
    bins
        Number of bins from 0 to `r_max`.
    r_max
        At most half the shortest side of the box, the default (less a relative 1e-6 for single precision).

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    ImportError
        If freud is not installed.
    """
    data = frames(positions, box, species)
    bins = _check.integer("bins", bins, 1, 2**20)
    limit = largest_radius(data.box)
    radius = limit if r_max is None else _check.magnitude("r_max", r_max)
    if radius > 0.5 * float(data.box.min()):
        raise ValueError(f"r_max: expected at most half the shortest side ({0.5 * data.box.min():g}), got {radius:g}")
    radius = min(radius, limit)
    counts = _pair_counts(data, bins, radius)
    edges = np.linspace(0.0, radius, bins + 1)
    shell = np.diff(_ball_volumes(edges, data.dimension)) / data.volume * len(data.positions)
    number = data.counts.astype(np.float64)
    pairs = np.outer(number, number) - np.diag(number)
    partials = np.full(counts.shape, np.nan)
    np.divide(counts, pairs[:, :, None] * shell, out=partials, where=pairs[:, :, None] > 0)
    total = np.full(bins, np.nan) if data.n < 2 else counts.sum(axis=(0, 1)) / (data.n * (data.n - 1) * shell)
    return RadialDistribution(0.5 * (edges[1:] + edges[:-1]), edges, total, partials, len(data.positions))


# -------------------------------------------------------------------------------------------------------- structure factor


def _upper_half(n: IntArray) -> IntArray:
    """Of integer vectors (K, d) keep those whose first non-zero component is positive: one of each pair k, -k, and not 0."""
    positive = np.zeros(len(n), dtype=bool)
    undecided = np.ones(len(n), dtype=bool)
    for axis in range(n.shape[1]):
        positive |= undecided & (n[:, axis] > 0)
        undecided &= n[:, axis] == 0
    return np.asarray(n[positive], dtype=np.int64)


def _integer_vectors(name: str, box: FloatArray, k_max: float) -> IntArray:
    """All integer vectors of one half-space whose wave vector 2 pi n / box is not longer than `k_max`."""
    reach = np.floor(k_max * (1.0 + 1e-12) * box / (2.0 * math.pi))
    _check.fits_memory(name, k_max, 8.0 * float(np.prod(2.0 * reach + 1.0)), "wave vectors")
    most = reach.astype(np.int64)
    axes = [np.arange(0 if i == 0 else -m, m + 1) for i, m in enumerate(most.tolist())]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, box.size)
    modulus = np.linalg.norm(2.0 * math.pi * grid / box, axis=1)
    return _upper_half(grid[modulus <= k_max * (1.0 + 1e-12)])


def wave_vectors(box: object, k: float, *, width: float | None = None, max_vectors: int | None = None) -> FloatArray:
    """Return the wave vectors that fit the periodic box with a modulus near `k`.

    Allowed are k = 2 pi (n_1 / L_1, ..., n_d / L_d) with integer n; of k and -k, which are equivalent, one is returned.

    Parameters
    ----------
    box
        (d,).
    k
        Wanted modulus, in 1/sigma.
    width
        Largest allowed difference between modulus and `k`; by default pi / max(box), half the spacing along the longest side.
    max_vectors
        Stop before this number is passed, nearest moduli first, all vectors of one modulus together (they are symmetry
        images of each other in a square or cubic box), but return at least the nearest modulus. None: no limit.

    Returns
    -------
    numpy.ndarray
        (K, d), K >= 1, sorted by distance of the modulus from `k`.

    Raises
    ------
    TypeError
        On a wrong type.
    ValueError
        On a bad argument, or where no allowed modulus is within `width`; the message names the nearest one.
    """
    sides = box_sides("box", box)
    target = _check.magnitude("k", k)
    half_width = math.pi / float(sides.max()) if width is None else _check.magnitude("width", width)
    reach = max(target + half_width, 2.0 * math.pi / float(sides.min()))
    vectors = 2.0 * math.pi * _integer_vectors("k", sides, reach) / sides
    modulus = np.linalg.norm(vectors, axis=1)
    off = np.abs(modulus - target)
    if off.min() > half_width:
        nearest = float(modulus[off.argmin()])
        raise ValueError(f"k: expected an allowed modulus within {half_width:g} (nearest: {nearest:g}), got {target:g}")
    order = np.argsort(off, kind="stable")
    order = order[off[order] <= half_width]
    if max_vectors is not None:
        most = _check.positive_int("max_vectors", max_vectors)
        shells = np.union1d(np.flatnonzero(np.abs(np.diff(modulus[order])) > 1e-9 * target) + 1, [len(order)])
        fitting = shells[shells <= most]
        order = order[: int(fitting[-1] if fitting.size else shells[0])]
    return np.asarray(vectors[order], dtype=np.float64)


def _density_modes(points: FloatArray, box: FloatArray, most: IntArray) -> ComplexArray:
    """Sum of exp(-i k r) over the particles, (F, N, d) -> (F, n_1 from 0, n_2 from -m_2[, n_3 from -m_3])."""
    phases = []
    for axis in range(box.size):
        n = np.arange(0 if axis == 0 else -most[axis], most[axis] + 1)
        phases.append(np.exp((-2j * math.pi / box[axis]) * points[:, :, axis, None] * n))
    if box.size == 2:
        return np.asarray(np.swapaxes(phases[0], 1, 2) @ phases[1], dtype=np.complex128)
    modes = np.empty((len(points), *(p.shape[2] for p in phases)), dtype=np.complex128)
    for i in range(phases[0].shape[2]):
        modes[:, i] = np.swapaxes(phases[0][:, :, i, None] * phases[1], 1, 2) @ phases[2]
    return modes


def _mode_products(data: Frames, n: IntArray) -> FloatArray:
    """Mean over frames of Re rho_a(k) rho_b(-k), (S, S, K), for the integer vectors n (K, d)."""
    most = np.abs(n).max(axis=0)
    index = tuple(n[:, axis] + (0 if axis == 0 else most[axis]) for axis in range(data.dimension))
    species = len(data.counts)
    products = np.zeros((species, species, len(n)))
    entries = (int(most[0]) + 1) * int(np.prod(2 * most[1:] + 1)) + data.n * int(np.sum(2 * most + 1))
    step = max(1, _CHUNK // entries)
    for start in range(0, len(data.positions), step):
        modes = []
        for a in range(species):
            rho = _density_modes(data.of_species(a)[start : start + step], data.box, most)
            modes.append(np.moveaxis(rho, 0, -1)[index])
        for a in range(species):
            for b in range(a, species):
                products[a, b] += (modes[a].real * modes[b].real + modes[a].imag * modes[b].imag).sum(axis=1)
    lower = np.tril_indices(species, -1)
    products[lower] = products[lower[1], lower[0]]
    return products / len(data.positions)


def _bin_modes(modulus: FloatArray, bins: int | None, k_min: float, k_max: float) -> IntArray:
    """Bin number of each modulus, without gaps."""
    if bins is None:
        number = np.round(modulus / k_max, 9)
    else:
        number = np.minimum(np.floor((modulus - k_min) / (k_max - k_min) * bins), bins - 1)
    return np.asarray(np.unique(number, return_inverse=True)[1].reshape(-1), dtype=np.int64)


def structure_factor(
    positions: object, box: object, species: object = None, *, k_max: float, k_min: float = 0.0, bins: int | None = 100
) -> StructureFactor:
    """Return the static structure factor S(k) and its partials, from all wave vectors that fit the box.

    S(k) = <|rho(k)|^2> / N and S_ab(k) = <rho_a(k) rho_b(-k)> / sqrt(N_a N_b) with rho_a(k) = sum over particles of a of exp(-i
    k r) (Ashcroft and Langreth 1967), so that S = sum_ab sqrt(x_a x_b) S_ab, and S_ab -> delta_ab at large k and in an ideal
    gas. The sum is exact, in double precision, over every k = 2 pi n / L with k_min <= |k| <= k_max, k = 0 excepted; its cost
    is frames x particles x wave vectors. (``freud.diffraction.StaticStructureFactorDirect`` knows no 2D boxes, and picks its
    wave vectors at random even when asked for all.)

    Parameters
    ----------
    positions
        (..., N, d) in units of sigma.
    box
        (d,).
    species
        (N,) or (..., N) integers from 0; None for one species.
    k_max, k_min
        Range of |k| in 1/sigma.
    bins
        Number of bins of equal width, of which empty ones are left out; None: one bin for each modulus that occurs.

    Raises
    ------
    TypeError, ValueError
        On a bad argument, or where no wave vector lies in the range.
    """
    data = frames(positions, box, species)
    top = _check.magnitude("k_max", k_max)
    low = _check.nonnegative_float("k_min", k_min)
    if low >= top:
        raise ValueError(f"k_min: expected less than k_max ({top:g}), got {low:g}")
    count = None if bins is None else _check.integer("bins", bins, 1, 2**20)
    n = _integer_vectors("k_max", data.box, top)
    modulus = np.linalg.norm(2.0 * math.pi * n / data.box, axis=1)
    n, modulus = n[modulus >= low], modulus[modulus >= low]
    if len(n) == 0:
        shortest = 2.0 * math.pi / float(data.box.max())
        raise ValueError(f"k_max: expected a range that holds a wave vector of the box (shortest {shortest:g}), got {top:g}")
    products = _mode_products(data, n)
    number = _bin_modes(modulus, count, low, top)
    vectors = np.bincount(number)
    binned = np.array([[np.bincount(number, weights=entry) for entry in row] for row in products]) / vectors
    norm = np.sqrt(np.outer(data.counts, data.counts))[:, :, None]
    partials = np.full(binned.shape, np.nan)
    np.divide(binned, norm, out=partials, where=norm > 0)
    return StructureFactor(
        k=np.bincount(number, weights=modulus) / vectors,
        total=binned.sum(axis=(0, 1)) / data.n,
        partials=partials,
        n_vectors=vectors.astype(np.int64),
        n_frames=len(data.positions),
    )


def structure_factor_at(positions: object, box: object, vectors: object) -> FloatArray:
    """Return the structure factor at given wave vectors, <|sum_i exp(-i k r_i)|^2> / N, not averaged over directions.

    Parameters
    ----------
    positions
        (..., N, d) in units of sigma.
    box
        (d,).
    vectors
        (K, d) wave vectors that fit the box (see `wave_vectors`), in 1/sigma.

    Returns
    -------
    numpy.ndarray
        (K,)

    Raises
    ------
    TypeError, ValueError
        On a bad argument, or a wave vector that does not fit the box.
    """
    data = frames(positions, box)
    k = _check.float_array("vectors", vectors, (None, data.dimension))
    n = k * data.box / (2.0 * math.pi)
    misfit = np.abs(n - np.round(n)).max(axis=1, initial=0.0) > 1e-6
    if misfit.any():
        bad = int(np.flatnonzero(misfit)[0])
        raise ValueError(f"vectors: expected multiples of 2 pi / box, got {k[bad].tolist()} at index {bad}")
    total = np.zeros(len(k))
    for frame in data.positions:
        for start in range(0, len(k), max(1, _CHUNK // data.n)):
            part = slice(start, start + max(1, _CHUNK // data.n))
            phase = frame @ k[part].T
            total[part] += np.cos(phase).sum(axis=0) ** 2 + np.sin(phase).sum(axis=0) ** 2
    return total / (data.n * len(data.positions))
