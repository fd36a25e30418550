"""What all samplers that exchange species share: how often which pair of species is tried, and counts by pair."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import _check
from ..systems import System

__all__ = ["by_species", "pair_thresholds", "swap_weights_of"]


def by_species(counts: npt.NDArray[np.int64], n_species: int) -> npt.NDArray[np.int64]:
    """Return counts by pair of species (R, pairs) as a symmetric array (R, S, S)."""
    full = np.zeros((counts.shape[0], n_species, n_species), dtype=np.int64)
    a, b = np.triu_indices(n_species, k=1)
    full[:, a, b] = full[:, b, a] = counts[:, : a.size]
    return full


def swap_weights_of(system: System, given: npt.ArrayLike | None) -> npt.NDArray[np.float64]:
    """Return the relative frequency of swap trials by pair of species (S, S); None: every unlike pair of particles alike."""
    s = system.n_species
    counts = np.asarray(system.composition, dtype=np.float64)
    pairs_of_particles = np.outer(counts, counts)
    np.fill_diagonal(pairs_of_particles, 0.0)
    if given is None:
        return pairs_of_particles
    weights = _check.float_array("swap_weights", given, (s, s)).copy()
    np.fill_diagonal(weights, 0.0)
    if (weights < 0.0).any() or not np.array_equal(weights, weights.T):
        raise ValueError(f"swap_weights: expected a symmetric matrix without negative numbers, got {_check.describe(given)}")
    weights[pairs_of_particles == 0.0] = 0.0
    return weights


def pair_thresholds(weights: npt.NDArray[np.float64]) -> list[int]:
    """Cumulative weights of the pairs (0,1), (0,2), ..., (1,2), ... on a scale of 2^32."""
    a, b = np.triu_indices(weights.shape[0], k=1)
    cumulative = np.cumsum(weights[a, b])
    if not cumulative.size or cumulative[-1] == 0.0:
        return [0] * int(cumulative.size)
    return [int(t) for t in np.rint(cumulative / cumulative[-1] * 2.0**32)]
