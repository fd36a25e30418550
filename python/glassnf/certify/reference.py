"""Plain NumPy reference for energies, forces and virials: all pairs, minimum image, no other code of the package.

Arguments of all functions: positions (R, N, d), species (R, N) or (N,), box (d,), and the pair potential: kind, sigma (S, S),
epsilon (S, S), cutoff (S, S) or a number, in units of sigma_ab, exponent (inverse power only). `parameters(system)` takes box
and potential from a system, so that ``energy(positions, species, **parameters(system))`` reads well.

The even polynomial of the smooth potentials is written here as minus the Taylor polynomial, of second order in q = x^2 and
about the cutoff, of the bare potential; the package uses its expanded form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "CORE",
    "energy",
    "forces",
    "local_energies",
    "minimum_image",
    "pair",
    "parameters",
    "reduced_energy",
    "virial",
]

Array = npt.NDArray[Any]

CORE = 0.01
"""Below this x = r / sigma_ab a potential is constant."""

_PAIRS_AT_ONCE = 1 << 20


def parameters(system: Any) -> dict[str, Any]:
    """Return the keyword arguments of the functions below for a system of the package."""
    potential = system.potential
    return {
        "box": np.array(system.box),
        "kind": potential.kind,
        "sigma": np.array(potential.sigma),
        "epsilon": np.array(potential.epsilon),
        "cutoff": np.array(potential.cutoff),
        "exponent": potential.exponent,
    }


def minimum_image(delta: Array, box: Array) -> Array:
    """Return distance vectors (..., d) to the nearest images in a periodic box (d,)."""
    return np.asarray(delta - box * np.rint(delta / box))


def reduced_energy(potential: Any, r: Array, a: int = 0, b: int = 0) -> Array:
    """Return V(r) of a pair of species of a `PairPotential`."""
    sigma, epsilon, cutoff = (np.array(m)[a, b] for m in (potential.sigma, potential.epsilon, potential.cutoff))
    return np.asarray(pair(r, potential.kind, sigma, epsilon, cutoff, potential.exponent)[0])


def _bare(kind: str, q: Array, n: float) -> tuple[Array, Array, Array]:
    """Return g(q), g'(q), g''(q) of the bare potential in units of its prefactor, q = x^2."""
    if kind == "inverse_power":
        m = n / 2.0
        return q**-m, -m * q ** (-m - 1.0), m * (m + 1.0) * q ** (-m - 2.0)
    return q**-6.0 - q**-3.0, -6.0 * q**-7.0 + 3.0 * q**-4.0, 42.0 * q**-8.0 - 12.0 * q**-5.0


def pair(
    r: Array, kind: str, sigma: Array, epsilon: Array, cutoff: Array | float = 2.5, exponent: int = 12
) -> tuple[Array, Array]:
    """Return V(r) and -V'(r) / r for distances r; sigma, epsilon and cutoff are those of each pair (broadcast)."""
    if kind == "wca":
        cutoff = 2.0 ** (1.0 / 6.0)
    x = r / sigma
    y = np.maximum(x, CORE)
    if kind == "harmonic":
        energy = np.where(y < 1.0, 0.5 * epsilon * (1.0 - y) ** 2, 0.0)
        slope = np.where(y < 1.0, -epsilon * (1.0 - y) / sigma, 0.0)
    else:
        prefactor = epsilon if kind == "inverse_power" else 4.0 * epsilon
        q, qc = y * y, np.asarray(cutoff * cutoff)
        g, g1, _ = _bare(kind, q, exponent)
        h, h1, h2 = _bare(kind, qc, exponent)
        if kind in ("lj_shifted", "wca"):
            h1, h2 = np.zeros_like(h1), np.zeros_like(h2)
        inside = x < cutoff
        energy = np.where(inside, prefactor * (g - h - h1 * (q - qc) - 0.5 * h2 * (q - qc) ** 2), 0.0)
        slope = np.where(inside, prefactor * (g1 - h1 - h2 * (q - qc)) * 2.0 * y / sigma, 0.0)
    outside_core = x >= CORE
    return energy, np.where(outside_core, -slope / np.where(outside_core, r, 1.0), 0.0)


def _sums(
    positions: Array,
    species: Array,
    box: Array,
    kind: str,
    sigma: Array,
    epsilon: Array,
    cutoff: Array | float = 2.5,
    exponent: int = 12,
) -> tuple[Array, Array, Array]:
    """Return local energies (R, N), forces (R, N, d) and virial (R, d, d), by blocks of rows of the pair matrix."""
    positions, box = np.asarray(positions, dtype=np.float64), np.asarray(box, dtype=np.float64)
    replicas, n, d = positions.shape
    species = np.broadcast_to(np.asarray(species), (replicas, n))
    sigma, epsilon = np.atleast_2d(sigma), np.atleast_2d(epsilon)
    cutoff = np.broadcast_to(np.asarray(cutoff, dtype=np.float64), sigma.shape)
    local, forces, virial = np.zeros((replicas, n)), np.zeros((replicas, n, d)), np.zeros((replicas, d, d))
    rows = max(1, _PAIRS_AT_ONCE // max(n, 1))
    for k in range(replicas):
        for first in range(0, n, rows):
            i = np.arange(first, min(first + rows, n))
            delta = positions[k, i, None, :] - positions[k, None, :, :]
            delta -= box * np.rint(delta / box)
            r = np.sqrt(np.sum(delta * delta, axis=-1))
            a, b = species[k, i, None], species[k, None, :]
            energy, f_over_r = pair(r, kind, sigma[a, b], epsilon[a, b], cutoff[a, b], exponent)
            itself = (np.arange(i.size), i)
            energy[itself] = 0.0
            f_over_r[itself] = 0.0
            local[k, i] = energy.sum(axis=1)
            forces[k, i] = np.einsum("ij,ija->ia", f_over_r, delta)
            virial[k] += 0.5 * np.einsum("ij,ija,ijb->ab", f_over_r, delta, delta)
    return local, forces, virial


def local_energies(positions: Array, species: Array, **potential: Any) -> Array:
    """Return the energy of each particle with all others, sum over j of V_ij, shape (R, N). They add up to 2 U."""
    return _sums(positions, species, **potential)[0]


def energy(positions: Array, species: Array, **potential: Any) -> Array:
    """Return the potential energy U of each replica, shape (R,)."""
    return np.asarray(0.5 * _sums(positions, species, **potential)[0].sum(axis=1))


def forces(positions: Array, species: Array, **potential: Any) -> Array:
    """Return the forces -dU/dx, shape (R, N, d)."""
    return _sums(positions, species, **potential)[1]


def virial(positions: Array, species: Array, **potential: Any) -> Array:
    """Return W_ab = sum over pairs of F_a r_b, shape (R, d, d); the pressure tensor is (N T 1 + W) / V."""
    return _sums(positions, species, **potential)[2]
