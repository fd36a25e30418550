"""Dynamical flow matching: the field that carries configurations the way a few sweeps at a neighbouring temperature do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..ensemble import Ensemble
from ..samplers.monte_carlo import MonteCarlo
from ..systems import System
from . import _native
from .features import feature_count
from .message_field import MessageField, species_pairs
from .regression import NodeSamples, held_out, solve_ridge
from .splines import RadialBasis, TemperatureBasis

__all__ = ["Coupling", "couple", "match_moments", "solve_matching"]

FloatArray = npt.NDArray[np.float64]

_CHUNK = 256  # configurations whose vectors are in memory at a time
_TIMES = (1.0 / 6.0, 0.5, 5.0 / 6.0)  # where on the way fields are compared; each third of the pairs has one of them
_ADAPTATION_SWEEPS = 200


class Coupling:
    """Pairs of configurations of two temperatures that belong together.

    Attributes
    ----------
    beta_hot, beta_cold : float, 1/epsilon
    hot : (n, N, d) float64, sigma
        Wrapped positions at the hotter temperature.
    shift : (n, N, d) float64, sigma
        Displacements from there to the colder one, without the motion of the whole.
    species : (n, N) int32
    """

    def __init__(
        self, beta_hot: float, beta_cold: float, hot: FloatArray, shift: FloatArray, species: npt.NDArray[np.int32]
    ) -> None:
        self.beta_hot, self.beta_cold = beta_hot, beta_cold
        self.hot, self.species = hot, species
        self.shift = shift - shift.mean(axis=1, keepdims=True)


def couple(
    system: System, hot: NodeSamples, cold: NodeSamples, sweeps: int, most: int, seed: int, threads: int | None
) -> Coupling:
    """Return pairs: equilibrium configurations, and what local Monte Carlo at the other temperature makes of them, both ways.

    Independent configurations of a dense liquid must not be coupled: they are most of a particle diameter apart even after
    optimal assignment. The same configuration a few sweeps later is not.

    Parameters
    ----------
    system : System
    hot, cold : NodeSamples
        Of neighbouring temperatures; samples held out are left out.
    sweeps : int
        Of local Monte Carlo, without swaps, which would exchange the particles to be followed.
    most : int
        At most so many pairs each way.
    seed : int
    threads : int, optional
    """
    explorer = MonteCarlo(system, swap_probability=0.0, threads=threads)
    starts, ends, kinds = [], [], []
    for way, (start, other) in enumerate(((hot, cold), (cold, hot))):
        kept = np.flatnonzero(~held_out(start.groups))[:most]
        ensemble = Ensemble.from_arrays(
            system, start.positions[kept], species=start.species[kept], temperature=1.0 / other.beta, seed=seed + way
        )
        trial = ensemble[: min(64, kept.size)]
        explorer.equilibrate(trial, _ADAPTATION_SWEEPS)
        ensemble.move_size[:] = trial.move_size.mean()
        explorer.prepare(ensemble, sweeps)
        explorer.explore(ensemble, sweeps)
        before = start.positions[kept]
        after = ensemble.positions + ensemble.images * np.asarray(system.box)
        starts.append(before if way == 0 else ensemble.positions)
        ends.append(after - before if way == 0 else before - after)
        kinds.append(start.species[kept])
    return Coupling(hot.beta, cold.beta, np.concatenate(starts), np.concatenate(ends), np.concatenate(kinds))


def _unit_fields(
    system: System, beta: float, pair: RadialBasis, message: RadialBasis, below: MessageField | None
) -> Iterator[MessageField]:
    """Yield fields with one function of the last layer each, in the order of `continuity_features`."""
    pairs = len(species_pairs(system.n_species))
    one = TemperatureBasis(0.5 * beta, 2.0 * beta, 1)
    scale = beta  # undoes the 1 / beta of the basis
    layers = 0 if below is None else below.layers + 1
    lower = None if below is None else below.at(beta)
    for k in range(feature_count(system.n_species, pair, message, layers)):
        p, m = np.zeros((layers + 1, 1, pairs, pair.size)), np.zeros((layers, 1, 2, pairs, message.size))
        if lower is not None:
            p[:-1, 0], m[:-1, 0] = scale * lower[0], scale * lower[1]
        if k < pairs * pair.size:
            p[-1].reshape(-1)[k] = scale
        else:
            m[-1].reshape(-1)[k - pairs * pair.size] = scale
        yield MessageField(system.n_species, pair, message, one, p, m)


def match_moments(
    system: System,
    couplings: Sequence[Coupling],
    pair: RadialBasis,
    message: RadialBasis,
    temperature: TemperatureBasis,
    below: MessageField | None,
    threads: int | None = None,
) -> FloatArray:
    """Return the normal equations of the last layer: sums over pairs of products of its vectors and the displacement per beta.

    Returns
    -------
    (T K + 2, T K + 2) float64
        The last row but one is that of the displacement, and the last element counts its components; those of several
        processes add up.
    """
    layers = 0 if below is None else below.layers + 1
    size, terms = feature_count(system.n_species, pair, message, layers), temperature.size
    box = np.asarray(system.box)
    total = np.zeros((terms * size + 2, terms * size + 2))
    for coupling in couplings:
        step = coupling.beta_cold - coupling.beta_hot
        for third, t in enumerate(_TIMES):
            beta = coupling.beta_hot + t * step
            tables = [field.tables([beta]) for field in _unit_fields(system, beta, pair, message, below)]
            weights = temperature(beta)
            chosen = np.arange(third, coupling.species.shape[0], len(_TIMES))
            for first in range(0, chosen.size, _CHUNK):
                part = chosen[first : first + _CHUNK]
                x = coupling.hot[part] + t * coupling.shift[part]
                x -= np.floor(x / box) * box
                vectors = np.stack(
                    [
                        _native.velocity_and_divergence(system, x, coupling.species[part], table, threads=threads)[0].ravel()
                        for table in tables
                    ]
                )
                target = coupling.shift[part].ravel() / step
                square, product = vectors @ vectors.T, vectors @ target
                total[:-2, :-2] += np.kron(np.outer(weights, weights), square)
                total[:-2, -2] += np.kron(weights, product)
                total[-2, -2] += target @ target
                total[-1, -1] += target.size
    total[-2, :-2] = total[:-2, -2]
    return total


def solve_matching(total: FloatArray, terms: int, ridge: float, kinds: npt.NDArray[np.int64]) -> FloatArray:
    """Return coefficients (T, K) of the field nearest to the displacements of `match_moments`; `kinds` as in `solve_ridge`."""
    noise = float(total[-2, -2] / total[-1, -1])  # at most: the displacements are mostly noise
    return solve_ridge(total[:-2, :-2], total[:-2, -2], ridge, np.tile(kinds, terms), noise).reshape(terms, -1)
