"""Two particles in a periodic box, whose averages are known by quadrature, and exact samples of them by rejection."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ensemble import Ensemble
from ..systems import PairPotential, System, custom
from . import reference

__all__ = ["TwoParticles", "count_distances", "distance_bins"]

Array = npt.NDArray[Any]

_CUTOFF = 2.5
_SPHERE = {2: 2.0 * math.pi, 3: 4.0 * math.pi}
_NODES = 2000


@functools.cache
def _quadrature() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights


def distance_bins(system: System, beta: float) -> tuple[Array, Array]:
    """Return edges (32,) of distances up to the cutoff, and the probabilities (32,) of these bins and of all beyond."""
    pair, d = system.potential, system.dimension
    edges = np.linspace(0.0, pair.cutoff_distance, 32)
    fine = np.linspace(edges[:-1], edges[1:], 2001, axis=1)
    shell = _SPHERE[d] * fine ** (d - 1)
    weights = _trapezoid(shell * np.exp(-beta * reference.reduced_energy(pair, fine)), fine)
    ball = _SPHERE[d] / d * edges[-1] ** d
    weights = np.append(weights, system.volume - ball)
    return edges, weights / weights.sum()


def _trapezoid(values: Array, at: Array) -> Array:
    return np.asarray((0.5 * (values[:, 1:] + values[:, :-1]) * np.diff(at, axis=1)).sum(axis=1))


def count_distances(system: System, positions: Array, edges: Array) -> Array:
    """Return which bin (R,) the distance of the first two particles is in."""
    r = np.linalg.norm(reference.minimum_image(positions[:, 1] - positions[:, 0], system.box), axis=1)
    return np.asarray(np.searchsorted(edges, r, side="right") - 1)


class TwoParticles:
    """Particles of one species, or of two that are alike, in a square or cube of 2.2 cutoffs.

    Integrals are over the vector between them: a ball of the cutoff by Gauss-Legendre in the distance, flat beyond.

    Parameters
    ----------
    species
        1 or 2.
    potential
        Of one species. Default: Lennard-Jones, smooth at 2.5.
    dimension
        2 or 3.
    """

    def __init__(self, species: int = 1, potential: PairPotential | None = None, dimension: int = 2) -> None:
        self.potential = PairPotential("lj_smooth", 1.0, 1.0) if potential is None else potential
        one = self.potential
        pair = one
        if species == 2:
            sigma, epsilon, cutoff = (np.full((2, 2), m[0][0]) for m in (one.sigma, one.epsilon, one.cutoff))
            fixed = one.kind in ("wca", "harmonic")
            pair = PairPotential(one.kind, sigma, epsilon, None if fixed else cutoff, one.exponent)
        composition = (2,) if species == 1 else (1, 1)
        self.cutoff = float(pair.cutoff_distance)
        self.dimension = dimension
        self.system = custom("pair", potential=pair, composition=composition, box=2.2 * self.cutoff, dimension=dimension)
        nodes, weights = _quadrature()
        self.r, self.dr = 0.5 * self.cutoff * (nodes + 1.0), 0.5 * self.cutoff * weights
        self.u = self.energy(self.r)
        self.shell = _SPHERE[dimension] * self.r ** (dimension - 1)
        self.beyond = self.system.volume - _SPHERE[dimension] / dimension * self.cutoff**dimension

    def energy(self, r: Array) -> Array:
        """Return V(r)."""
        return reference.reduced_energy(self.potential, r)

    def average(self, temperature: float, values: Array, beyond: float = 0.0) -> float:
        """Return the average of a function of the distance, given at the nodes `r` and as its mean beyond the cutoff."""
        boltzmann = self.shell * np.exp(-self.u / temperature) * self.dr
        return (float((values * boltzmann).sum()) + beyond * self.beyond) / (float(boltzmann.sum()) + self.beyond)

    def log_z(self, temperature: float) -> float:
        """Return log of the integral over the relative position."""
        return math.log(float((self.shell * np.exp(-self.u / temperature) * self.dr).sum()) + self.beyond)

    def mean_energy(self, temperature: float) -> float:
        """Return <U>."""
        return self.average(temperature, self.u)

    def specific_heat(self, temperature: float) -> float:
        """Return (<U^2> - <U>^2) / (2 T^2)."""
        return (self.average(temperature, self.u**2) - self.mean_energy(temperature) ** 2) / (2.0 * temperature**2)

    def pressure(self, temperature: float) -> float:
        """Return the pressure, 2 T / V - <r V'(r)> / (d V)."""
        h = 1e-6 * self.cutoff
        slope = (self.energy(self.r + h) - self.energy(self.r - h)) / (2.0 * h)
        virial = -self.average(temperature, self.r * slope)
        return (2.0 * temperature + virial / self.dimension) / float(self.system.volume)

    def bins(self, temperature: float, count: int = 24) -> tuple[Array, Array]:
        """Return edges of distance bins, and their probabilities, that of all beyond the cutoff the last."""
        edges = np.linspace(0.34 * self.cutoff, self.cutoff, count)
        fine = np.linspace(edges[:-1], edges[1:], 2001, axis=1)
        shell = _SPHERE[self.dimension] * fine ** (self.dimension - 1)
        inside = _trapezoid(shell * np.exp(-self.energy(fine) / temperature), fine)
        z = math.exp(self.log_z(temperature))
        probabilities = np.append(inside, self.beyond) / z
        return edges, np.append(1.0 - probabilities.sum(), probabilities)

    def count(self, positions: Array, edges: Array, weights: Array | None = None) -> Array:
        """Return how many configurations (or how much weight) are in each bin, those nearer than the first edge first."""
        r = self.distance(positions)
        return np.bincount(np.searchsorted(edges, r, side="right"), weights=weights, minlength=edges.size + 1)

    def distance(self, positions: Array) -> Array:
        """Return the distances (R,); ValueError if one is not finite, because it would be counted as a large one."""
        if not np.isfinite(positions).all():
            raise ValueError("positions: expected finite numbers")
        delta = reference.minimum_image(positions[:, 1] - positions[:, 0], self.system.box)
        return np.asarray(np.linalg.norm(delta, axis=1))

    def draw(self, count: int, temperature: float, seed: Any, ensemble_seed: int = 5) -> Ensemble:
        """Return exact samples, independent of each other."""
        rng = np.random.default_rng(seed)
        lowest = float(self.u.min())
        found: list[Array] = []
        while sum(map(len, found)) < count:
            delta = rng.uniform(-0.5, 0.5, (4 * count, self.dimension)) * self.system.box
            u = self.energy(np.linalg.norm(delta, axis=1))
            found.append(delta[rng.random(u.size) < np.exp((lowest - u) / temperature)])
        delta = np.concatenate(found)[:count]
        first = rng.uniform(0.0, 1.0, (count, self.dimension)) * self.system.box
        positions = np.stack([first, first + delta], axis=1)
        return Ensemble.from_arrays(
            self.system, positions, temperature=temperature, seed=ensemble_seed, move_size=0.3 * self.system.box[0]
        )
