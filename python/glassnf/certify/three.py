"""Three unlike particles in a periodic square: the densities of their separations, by convolution."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ensemble import Ensemble
from ..systems import PairPotential, custom
from .reference import minimum_image, reduced_energy

__all__ = ["ThreeUnlike"]

Array = npt.NDArray[Any]

_POINTS = 1024
_BINS = 16
_CLOSEST = 0.3


class ThreeUnlike:
    """One particle of each of three species.

    The separation of A and B has the density exp(-beta V_AB) times the convolution of exp(-beta V_AC) and exp(-beta V_BC).

    Parameters
    ----------
    temperature
        epsilon
    """

    pairs = ((0, 1), (0, 2), (1, 2))

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        pair = PairPotential(
            "lj_smooth",
            sigma=[[1.0, 1.0, 0.8], [1.0, 1.0, 1.1], [0.8, 1.1, 1.0]],
            epsilon=[[1.0, 0.6, 1.4], [0.6, 1.0, 1.0], [1.4, 1.0, 1.0]],
        )
        self.side = 2.1 * float(pair.cutoff_distance)
        self.system = custom("three", potential=pair, composition=(1, 1, 1), box=[self.side, self.side])
        x = minimum_image(np.arange(_POINTS) / _POINTS * self.side, np.array(self.side))
        r = np.maximum(np.hypot(x[:, None], x[None, :]), _CLOSEST)
        self._x = x
        energy = {pair_: reduced_energy(pair, r, *pair_) for pair_ in self.pairs}
        factor = {pair_: np.exp(-u / temperature) for pair_, u in energy.items()}
        self._density: dict[tuple[int, int], Array] = {}
        self.mean_energy = 0.0
        for a, b in self.pairs:
            (c,) = {0, 1, 2} - {a, b}
            around = np.fft.rfft2(factor[min(a, c), max(a, c)]) * np.fft.rfft2(factor[min(b, c), max(b, c)])
            density = factor[a, b] * np.fft.irfft2(around, s=r.shape)
            self._density[a, b] = density / density.sum()
            self.mean_energy += float((self._density[a, b] * energy[a, b]).sum())

    def ensemble(self, replicas: int, seed: int) -> Ensemble:
        """Return replicas that all have the same configuration, far from each other's contact."""
        start = np.array([[0.1, 0.1], [0.45, 0.5], [0.75, 0.85]]) * self.side
        return Ensemble.from_arrays(
            self.system,
            np.tile(start, (replicas, 1, 1)),
            temperature=self.temperature,
            seed=seed,
            move_size=0.25 * self.side,
        )

    @classmethod
    @functools.cache
    def at(cls, temperature: float) -> ThreeUnlike:
        """Return the one of a temperature; its densities take a second."""
        return cls(temperature)

    def probabilities(self, a: int, b: int) -> Array:
        """Return the probabilities of 16 x 16 bins of |x| and |y| of the separation of two species."""
        fold = np.abs(self._x) / (0.5 * self.side) * _BINS
        place = np.minimum(fold.astype(int), _BINS - 1)
        on_edge = fold == np.rint(fold)  # grid points on a border between bins count half on either side
        membership = np.zeros((_POINTS, _BINS))
        membership[np.arange(_POINTS), place] = np.where(on_edge, 0.5, 1.0)
        membership[np.arange(_POINTS), np.where(fold == 0, 0, place - on_edge)] += np.where(on_edge, 0.5, 0.0)
        return np.asarray((membership.T @ self._density[a, b] @ membership).ravel())

    def count(self, ensemble: Ensemble, a: int, b: int) -> Array:
        """Return how many replicas are in each of these bins."""
        if not np.isfinite(ensemble.positions).all():
            raise ValueError("positions: expected finite numbers")
        order = np.argsort(ensemble.species, axis=1)
        by_species = np.take_along_axis(ensemble.positions, order[:, :, None], axis=1)
        delta = np.abs(minimum_image(by_species[:, b] - by_species[:, a], np.asarray(self.system.box)))
        cell = np.minimum((delta / (0.5 * self.side) * _BINS).astype(int), _BINS - 1)
        return np.bincount(cell[:, 0] * _BINS + cell[:, 1], minlength=_BINS**2)
