"""Small systems for checks: mixtures with parameters of their own for every pair of species, and starts without overlaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..systems import PairPotential, System, custom

__all__ = [
    "KIND_NAMES",
    "cells_box",
    "jittered_lattice",
    "lattice_batch",
    "mixture",
    "potential",
    "shuffled_species",
    "symmetric",
]

Array = npt.NDArray[Any]

KIND_NAMES = ("lj_smooth", "lj_shifted", "inverse_power", "wca", "harmonic")


def symmetric(rng: np.random.Generator, n: int, low: float, high: float) -> Array:
    """Return a symmetric (n, n) matrix of uniform numbers."""
    upper = np.triu(rng.uniform(low, high, (n, n)))
    return np.asarray(upper + np.triu(upper, 1).T)


def potential(kind: str, n_species: int, *, different_cutoffs: bool = False, exponent: int | None = None) -> PairPotential:
    """Return a pair potential with sigma and epsilon of its own for every pair of species, the same at every call."""
    rng = np.random.default_rng([n_species, KIND_NAMES.index(kind)])
    sigma, epsilon = symmetric(rng, n_species, 0.8, 1.1), symmetric(rng, n_species, 0.5, 1.5)
    cutoff: Any = None
    if kind in ("lj_smooth", "lj_shifted", "inverse_power"):
        usual = 1.6 if kind == "inverse_power" else 2.5
        cutoff = symmetric(rng, n_species, 0.6 * usual, usual) if different_cutoffs else usual
    return PairPotential(kind, sigma, epsilon, cutoff, exponent)


def mixture(pair: PairPotential, n: int, box: Array) -> System:
    """Return n particles in a box, the species in equal parts as far as possible."""
    species = np.sort(np.arange(n) % pair.n_species).astype(np.int32)
    return custom("mixture", potential=pair, species=species, box=box)


def cells_box(pair: PairPotential, cells: tuple[float, ...]) -> Array:
    """Return the box that holds these numbers of cutoffs along its sides."""
    return np.asarray(cells, dtype=np.float64) * pair.cutoff_distance


def jittered_lattice(rng: np.random.Generator, n: int, box: Array, jitter: float = 0.2) -> Array:
    """Return (n, d) positions on a lattice that fills the box, shifted at random; no two particles come near each other."""
    box = np.asarray(box, dtype=np.float64)
    sides = np.ones(box.size, dtype=int)
    while sides.prod() < n:
        sides[np.argmax(box / sides)] += 1
    places = rng.choice(sides.prod(), size=n, replace=False)
    lattice = np.stack(np.unravel_index(places, tuple(sides)), axis=1)
    moved = lattice + 0.5 + rng.uniform(-jitter, jitter, lattice.shape)
    return np.asarray(moved / sides * box)


def shuffled_species(rng: np.random.Generator, system: System, replicas: int) -> Array:
    """Return (R, N) species with the composition of the system in an order of each replica's own."""
    return np.stack([rng.permutation(system.species) for _ in range(replicas)]).astype(np.int32)


def lattice_batch(system: System, replicas: int, seed: int) -> tuple[Array, Array]:
    """Return positions (R, N, d) without close pairs, and shuffled species (R, N)."""
    rng = np.random.default_rng(seed)
    positions = np.stack([jittered_lattice(rng, system.n, system.box) for _ in range(replicas)])
    return positions, shuffled_species(rng, system, replicas)
