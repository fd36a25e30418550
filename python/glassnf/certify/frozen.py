"""Species on a lattice of particles that do not move: all their assignments, with exact probabilities."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ensemble import Ensemble
from ..systems import custom
from . import reference
from .systems import cells_box, jittered_lattice, potential

__all__ = ["Frozen"]

Array = npt.NDArray[Any]


class Frozen:
    """Particles that do not move, with all assignments of their species.

    Parameters
    ----------
    composition
        At most 8 particles in all, or two species.
    temperature
        Of `probabilities`, of `ensemble` and of `draw`, epsilon.
    cells
        Sides of the box in cutoffs.

    Attributes
    ----------
    states : list of tuples
        Species of the particles, (K, N).
    energy, probabilities : (K,) float64
    """

    def __init__(self, composition: tuple[int, ...], temperature: float, cells: tuple[float, ...] = (2.2, 2.3)) -> None:
        n = sum(composition)
        pair = potential("lj_smooth", len(composition))
        box = cells_box(pair, cells)
        self.system = custom("frozen", potential=pair, composition=composition, box=box)
        rng = np.random.default_rng(105)
        side = min(1.12 * math.ceil(math.sqrt(n)), float(box.min()))
        self.positions = jittered_lattice(rng, n, np.full(2, side), jitter=0.1)
        self.temperature = temperature
        self.states = (
            sorted(set(itertools.permutations(self.system.species.tolist()))) if n < 9 else self._by_places(composition)
        )
        kinds = np.array(self.states)
        repeated = np.broadcast_to(self.positions, (len(kinds), n, 2))
        self.energy = reference.energy(repeated, kinds, **reference.parameters(self.system))
        self.probabilities = self.probabilities_at(temperature)
        self.index = {state: k for k, state in enumerate(self.states)}
        self.digits = len(composition) ** np.arange(n, dtype=np.int64)
        codes = kinds @ self.digits
        self.order = np.argsort(codes)
        self.codes = codes[self.order]

    @staticmethod
    def _by_places(composition: tuple[int, ...]) -> list[tuple[int, ...]]:
        n, few = sum(composition), composition[1]
        states = []
        for places in itertools.combinations(range(n), few):
            state = np.zeros(n, dtype=int)
            state[list(places)] = 1
            states.append(tuple(int(s) for s in state))
        return states

    def probabilities_at(self, temperature: float) -> Array:
        """Return the Boltzmann distribution (K,)."""
        weights = np.exp(-(self.energy - self.energy.min()) / temperature)
        return np.asarray(weights / weights.sum())

    def averages(self, temperature: float) -> tuple[float, float, float]:
        """Return <U>, C_v (per particle) and the log of the mean Boltzmann factor of all states."""
        p, lowest = self.probabilities_at(temperature), float(self.energy.min())
        mean = float(p @ self.energy)
        heat = float(p @ (self.energy - mean) ** 2) / (self.system.n * temperature**2)
        return mean, heat, math.log(float(np.exp(-(self.energy - lowest) / temperature).mean())) - lowest / temperature

    def ensemble(self, species: Array, seed: int, move_size: float = 0.1) -> Ensemble:
        """Return an ensemble with these species (R, N)."""
        positions = np.tile(self.positions, (len(species), 1, 1))
        return Ensemble.from_arrays(
            self.system, positions, species=species, temperature=self.temperature, seed=seed, move_size=move_size
        )

    def state_of(self, species: Array) -> Array:
        """Return the number of the state (R,) of species (R, N)."""
        codes = species.astype(np.int64) @ self.digits
        place = np.searchsorted(self.codes, codes)
        if not np.array_equal(self.codes[np.minimum(place, self.codes.size - 1)], codes):
            raise ValueError("species: expected the composition of the system in every replica")
        return np.asarray(self.order[place])

    def draw(self, count: int, seed: Any) -> Array:
        """Return the species (R, N) of independent states in equilibrium."""
        return np.array(self.states)[np.random.default_rng(seed).choice(len(self.states), count, p=self.probabilities)]

    def transition_matrix(self, weights: Array | None) -> Array:
        """Return the matrix of one swap trial: pair of species by weight, one particle of each, Metropolis."""
        counts = np.array(self.system.composition, dtype=np.float64)
        weights = np.outer(counts, counts) if weights is None else np.asarray(weights, dtype=np.float64)
        pairs = list(itertools.combinations(range(counts.size), 2))
        total = sum(weights[a, b] for a, b in pairs)
        matrix = np.zeros((len(self.states),) * 2)
        for k, state in enumerate(self.states):
            for a, b in pairs:
                for i, j in itertools.product(np.flatnonzero(np.equal(state, a)), np.flatnonzero(np.equal(state, b))):
                    new = list(state)
                    new[i], new[j] = b, a
                    other = self.index[tuple(new)]
                    accepted = min(1.0, math.exp(-(self.energy[other] - self.energy[k]) / self.temperature))
                    matrix[k, other] += weights[a, b] / total / (counts[a] * counts[b]) * accepted
            matrix[k, k] += 1.0 - matrix[k].sum()
        return matrix
