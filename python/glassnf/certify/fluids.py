"""Two and three particles in a periodic box, with distributions by quadrature, an exact flow, and an explorer that rests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ensemble import Ensemble, wrap_positions
from ..flows.transport import Transport
from ..systems import PairPotential, System, custom
from .reference import minimum_image, reduced_energy

__all__ = ["PAIR", "RadialFlow", "Reference", "Still", "bins_of", "draw_pairs", "fluid", "reference"]

Array = npt.NDArray[Any]

PAIR = PairPotential("lj_smooth", 1.0, 1.0)
_GRID = 512


def fluid(n: int) -> System:
    """Return n particles of one species in a square of side 5.5."""
    return custom("few", potential=PAIR, composition=(n,), box=2.2 * PAIR.cutoff_distance, dimension=2)


class Still:
    """An explorer that leaves every configuration where it is: what moves then is the outer algorithm's doing."""

    def __init__(self, system: System) -> None:
        self.system = system

    def prepare(self, ensemble: Ensemble, sweeps: int) -> int:
        """Check the ensemble."""
        ensemble.validate()
        return sweeps

    def explore(self, ensemble: Ensemble, sweeps: int) -> int:
        """Let time pass."""
        ensemble.step += sweeps
        return 0

    def adapt(self, ensemble: Ensemble, sweeps: int) -> int:
        """Let time pass."""
        return self.explore(ensemble, sweeps)

    def describe(self) -> dict[str, Any]:
        """Return its name."""
        return {"explorer": "still"}


def draw_pairs(system: System, temperature: float, count: int, rng: np.random.Generator) -> Array:
    """Return exact samples (count, 2, 2) of the positions of two particles, by rejection."""
    lowest = reduced_energy(PAIR, np.linspace(0.7, 2.6, 5000), 0, 0).min()
    found: list[Array] = []
    while sum(map(len, found)) < count:
        delta = rng.uniform(-0.5, 0.5, (4 * count, 2)) * system.box
        u = reduced_energy(PAIR, np.linalg.norm(delta, axis=1), 0, 0)
        found.append(delta[rng.random(u.size) < np.exp((lowest - u) / temperature)])
    delta = np.concatenate(found)[:count]
    first = rng.uniform(0.0, 1.0, (count, 2)) * system.box
    return np.asarray(np.mod(np.stack([first, first + delta], axis=1), system.box))


@dataclass(frozen=True)
class Reference:
    """Exact answers for n particles at one temperature.

    Attributes
    ----------
    mean_energy : float, epsilon
    log_z : float
        Of the configurational integral over the volume to the power n.
    probabilities : (bins,) float64
        Of the distance of the first two particles, by `edges`; the last bin is all beyond the last edge.
    edges : (bins,) float64, sigma
    """

    mean_energy: float
    log_z: float
    probabilities: Array
    edges: Array


def reference(n: int, temperature: float) -> Reference:
    """Integrate over the relative positions of two or three particles on a grid.

    For three, with f = exp(-beta V): the weight of r_12 is f(r) times the convolution of f with itself, by Fourier transforms.
    """
    system = fluid(n)
    side = float(system.box[0])
    along = minimum_image(side * np.arange(_GRID) / _GRID, np.array(side))
    r = np.hypot(along[:, None], along[None, :])
    v = np.asarray(reduced_energy(PAIR, np.maximum(r, 0.3), 0, 0))
    weights = np.exp(-v / temperature)
    if n == 3:
        transform = np.fft.rfft2(weights)
        weights = weights * np.fft.irfft2(transform**2, s=weights.shape) / weights.size
    edges = np.concatenate([[0.0], np.linspace(0.95, 2.4, 24)])
    bins = np.searchsorted(edges, r.ravel(), side="right") - 1
    p = np.bincount(bins, weights=weights.ravel(), minlength=edges.size)
    pairs = n * (n - 1) / 2
    mean = pairs * float((v * weights).sum() / weights.sum())
    return Reference(mean, math.log(weights.mean()), p / p.sum(), edges)


def bins_of(system: System, positions: Array, edges: Array) -> Array:
    """Return which bin (R,) the distance of the first two particles is in."""
    r = np.linalg.norm(minimum_image(positions[:, 1] - positions[:, 0], system.box), axis=1)
    return np.asarray(np.searchsorted(edges, r, side="right") - 1)


class RadialFlow:
    """Moves the second of two particles so that distances below half the box get the distribution of the other temperature.

    The map of the distance r is F^-1(F(r)), with the cumulative distributions of the two temperatures inside that circle as
    tables; its Jacobian in the plane is that of the interpolated map, and its inverse is the map back, both exactly. What is
    left in the weights is one constant inside the circle and another one outside.

    Parameters
    ----------
    strength
        1: as described. Others: as for temperatures in between (below 1) or beyond, so that weights differ.
    """

    def __init__(self, hot: float, cold: float, strength: float = 1.0) -> None:
        self.system, self.hot, self.cold, self.steps, self.strength = fluid(2), hot, cold, 1, strength
        self.radius = 0.5 * float(self.system.box[0])
        self.nodes = np.linspace(0.0, self.radius, 4001)
        middle = 0.5 * (self.nodes[1:] + self.nodes[:-1])
        self.middle, self.energy = middle, np.asarray(reduced_energy(PAIR, np.maximum(middle, 0.3), 0, 0))

    def cumulative(self, beta: float) -> Array:
        """Return the cumulative distribution of distances at the nodes."""
        weights = self.middle * np.exp(-np.minimum(self.strength * beta * self.energy, 200.0))
        table = np.append(0.0, np.cumsum(weights))
        return np.asarray(table / table[-1])

    def transport(
        self,
        positions: Array,
        species: Array,
        beta_from: float,
        beta_to: float,
        *,
        steps: int | None = None,
        threads: int | None = None,
    ) -> Transport:
        """Carry pairs of particles from one inverse temperature to another."""
        start, end = self.cumulative(beta_from), self.cumulative(beta_to)
        delta = minimum_image(positions[:, 1] - positions[:, 0], self.system.box)
        r = np.linalg.norm(delta, axis=1)
        inside = r < self.radius
        level = np.interp(r, self.nodes, start)
        new = np.where(inside, np.interp(level, end, self.nodes), r)
        log_jacobian = np.zeros(r.size)
        cell, place = (np.minimum(np.searchsorted(self.nodes, x, side="right") - 1, 3999) for x in (r, new))
        slope = np.log(np.diff(start)[cell]) - np.log(np.diff(end)[place])
        log_jacobian[inside] = (slope + np.log(new / r))[inside]
        moved = positions.copy()
        moved[:, 1] = positions[:, 0] + minimum_image(positions[:, 1] - positions[:, 0], self.system.box) * (new / r)[:, None]
        images = np.rint((moved[:, 1] - positions[:, 1]) / self.system.box)
        moved[:, 1] -= images * self.system.box  # it has not crossed the box, only the image that was nearest
        wrapped, crossings = wrap_positions(moved, self.system.box)
        return Transport(wrapped, crossings.astype(np.int32), log_jacobian, 1)

    def describe(self) -> dict[str, Any]:
        """Return its name and strength."""
        return {"flow": "radial", "strength": self.strength}
