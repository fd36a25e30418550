"""Two particles in a periodic square, whose averages are known by quadrature, and exact samples of them by rejection."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

import glassnf as gnf
import reference
from glassnf.systems import PairPotential, custom

Array = npt.NDArray[Any]

CUTOFF = 2.5


class TwoParticles:
    """Lennard-Jones particles of one species, or of two, in a square of 2.2 cutoffs.

    Integrals are over the vector between them: a disc of the cutoff by Gauss-Legendre in the distance, flat beyond.
    """

    def __init__(self, species: int = 1) -> None:
        pair = PairPotential("lj_smooth", np.ones((species, species)), np.ones((species, species)))
        composition = (2,) if species == 1 else (1, 1)
        self.system = custom("pair", potential=pair, composition=composition, box=2.2 * CUTOFF, dimension=2)
        nodes, weights = np.polynomial.legendre.leggauss(2000)
        self.r, self.dr = 0.5 * CUTOFF * (nodes + 1.0), 0.5 * CUTOFF * weights
        self.u = self.energy(self.r)
        self.beyond = self.system.volume - math.pi * CUTOFF**2

    @staticmethod
    def energy(r: Array) -> Array:
        """Return V(r)."""
        return np.asarray(reference.pair(r, "lj_smooth", 1.0, 1.0)[0])

    def _moment(self, temperature: float, power: int) -> float:
        boltzmann = 2.0 * math.pi * self.r * np.exp(-self.u / temperature) * self.dr
        return float((self.u**power * boltzmann).sum()) + (self.beyond if power == 0 else 0.0)

    def log_z(self, temperature: float) -> float:
        """Return log of the integral over the relative position."""
        return math.log(self._moment(temperature, 0))

    def mean_energy(self, temperature: float) -> float:
        """Return <U>."""
        return self._moment(temperature, 1) / self._moment(temperature, 0)

    def specific_heat(self, temperature: float) -> float:
        """Return (<U^2> - <U>^2) / (2 T^2)."""
        mean = self.mean_energy(temperature)
        square = self._moment(temperature, 2) / self._moment(temperature, 0)
        return (square - mean**2) / (2.0 * temperature**2)

    def bins(self, temperature: float, count: int = 24) -> tuple[Array, Array]:
        """Return edges of distance bins, and their probabilities, that of all beyond the cutoff the last."""
        edges = np.linspace(0.85, CUTOFF, count)
        fine = np.linspace(edges[:-1], edges[1:], 2001, axis=1)
        inside = np.trapezoid(2.0 * math.pi * fine * np.exp(-self.energy(fine) / temperature), fine, axis=1)
        z = self._moment(temperature, 0)
        probabilities = np.append(inside, self.beyond) / z
        return edges, np.append(1.0 - probabilities.sum(), probabilities)

    def count(self, positions: Array, edges: Array, weights: Array | None = None) -> Array:
        """Return how many configurations (or how much weight) are in each bin, those nearer than the first edge first."""
        r = self.distance(positions)
        return np.bincount(np.searchsorted(edges, r, side="right"), weights=weights, minlength=edges.size + 1)

    def distance(self, positions: Array) -> Array:
        """Return the distances (R,)."""
        delta = positions[:, 1] - positions[:, 0]
        delta -= self.system.box * np.rint(delta / self.system.box)
        return np.asarray(np.linalg.norm(delta, axis=1))

    def draw(self, count: int, temperature: float, seed: int, ensemble_seed: int = 5) -> gnf.Ensemble:
        """Return exact samples, independent of each other."""
        rng = np.random.default_rng(seed)
        lowest = float(self.u.min())
        found: list[Array] = []
        while sum(map(len, found)) < count:
            delta = rng.uniform(-0.5, 0.5, (4 * count, 2)) * self.system.box
            u = self.energy(np.linalg.norm(delta, axis=1))
            found.append(delta[rng.random(u.size) < np.exp((lowest - u) / temperature)])
        delta = np.concatenate(found)[:count]
        first = rng.uniform(0.0, 1.0, (count, 2)) * self.system.box
        positions = np.stack([first, first + delta], axis=1)
        return gnf.Ensemble.from_arrays(
            self.system, positions, temperature=temperature, seed=ensemble_seed, move_size=0.3 * self.system.box[0]
        )
