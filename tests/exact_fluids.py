"""Two and three particles in a periodic box, whose distributions are known by quadrature, and an explorer that does nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import glassnf as gnf
from glassnf.systems import PairPotential, System, custom
from test_monte_carlo_exact import minimum_image, reduced_energy

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

    def prepare(self, ensemble: gnf.Ensemble, sweeps: int) -> int:
        ensemble.validate()
        return sweeps

    def explore(self, ensemble: gnf.Ensemble, sweeps: int) -> int:
        ensemble.step += sweeps
        return 0

    def adapt(self, ensemble: gnf.Ensemble, sweeps: int) -> int:
        return self.explore(ensemble, sweeps)

    def describe(self) -> dict[str, Any]:
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
    return np.searchsorted(edges, r, side="right") - 1
