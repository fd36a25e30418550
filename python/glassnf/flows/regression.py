"""The continuity equation as a regression: moments of features over equilibrium samples, and the field that fits them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..energy import energy_and_forces
from ..systems import System
from .features import continuity_features, feature_count
from .message_field import MessageField, species_pairs
from .splines import RadialBasis, TemperatureBasis

__all__ = [
    "Fit",
    "Moments",
    "NodeSamples",
    "Residual",
    "feature_kinds",
    "held_out",
    "layer_moments",
    "layer_of",
    "solve_continuity",
    "solve_ridge",
]

FloatArray = npt.NDArray[np.float64]

_CHUNK = 1024  # configurations whose features are in memory at a time


@dataclass(frozen=True)
class NodeSamples:
    """Equilibrium samples of one inverse temperature.

    Attributes
    ----------
    beta : float, 1/epsilon
    positions : (n, N, d) float64, sigma
    species : (n, N) int32
    groups : (n,) int64
        Chain that each sample comes from; a chain is either trained on or held out, never both.
    """

    beta: float
    positions: FloatArray
    species: npt.NDArray[np.int32]
    groups: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Moments:
    """Sums over samples of the energy U and the features S; those of several processes add up.

    Attributes
    ----------
    data : (K + 2, K + 2) float64
        Sums of products of (1, U, S_1, ..., S_K).
    """

    data: FloatArray

    @classmethod
    def zero(cls, features: int) -> Moments:
        """Return the moments of no sample."""
        return cls(np.zeros((features + 2, features + 2)))

    def add(self, energy: FloatArray, features: FloatArray) -> None:
        """Add samples (n,) and (n, K), in place."""
        rows = np.concatenate([np.ones((energy.size, 1)), energy[:, None], features], axis=1)
        self.data[...] += rows.T @ rows

    @property
    def count(self) -> float:
        """Number of samples."""
        return float(self.data[0, 0])

    @property
    def mean_energy(self) -> float:
        """Mean of U."""
        return float(self.data[0, 1]) / self.count

    @property
    def energy_variance(self) -> float:
        """Variance of U."""
        return float(self.data[1, 1]) / self.count - self.mean_energy**2

    def products(self) -> tuple[FloatArray, FloatArray]:
        """Return the means of S S^T, (K, K), and of S (U - <U>), (K,)."""
        mean = self.data[0, 2:] / self.count
        return self.data[2:, 2:] / self.count, self.data[1, 2:] / self.count - self.mean_energy * mean

    def residual_variance(self, coefficients: FloatArray) -> float:
        """Return the variance of U - sum_k c_k S_k."""
        c = np.concatenate([[1.0], -coefficients])
        second = float(c @ self.data[1:, 1:] @ c) / self.count
        first = float(c @ self.data[0, 1:]) / self.count
        return max(second - first**2, 0.0)

    def largest_z(self) -> float:
        """Return the largest |mean| of a feature in units of its standard error, if samples were independent."""
        mean = self.data[0, 2:] / self.count
        variance = np.diag(self.data)[2:] / self.count - mean**2
        seen = variance > 1e-12 * max(float(variance.max(initial=0.0)), 1e-300)
        if not seen.any():
            return 0.0
        return float(np.abs(mean[seen] / np.sqrt(variance[seen] / self.count)).max())


@dataclass(frozen=True)
class Residual:
    """How well a field fits at one inverse temperature.

    Attributes
    ----------
    beta : float, 1/epsilon
    samples, held_out : int
    energy_spread : float, epsilon
        Standard deviation of U.
    train, held_out_variance : float
        Explained fraction of the variance of U, on the samples of the fit and on those held out.
    spread : float, epsilon
        Standard deviation of what is left of U, held out.
    largest_z : float
        Largest |mean| of a feature in units of its standard error; the exact mean is zero.
    """

    beta: float
    samples: int
    held_out: int
    energy_spread: float
    train: float
    held_out_variance: float
    spread: float
    largest_z: float


@dataclass(frozen=True)
class Fit:
    """A field, and how well it fits at each inverse temperature of its samples."""

    field: MessageField
    residuals: tuple[Residual, ...]


def held_out(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which samples are kept from the fit: those of every eighth chain."""
    kept: npt.NDArray[np.bool_] = groups % 8 == 7
    return kept


def _chunks(size: int) -> Iterator[slice]:
    for first in range(0, size, _CHUNK):
        yield slice(first, min(first + _CHUNK, size))


def layer_moments(
    system: System,
    nodes: Sequence[NodeSamples],
    pair: RadialBasis,
    message: RadialBasis,
    below: MessageField | None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[tuple[Moments, Moments]]:
    """Return, for each node, the moments of the samples of the fit and of those held out, of the layer above a field.

    Parameters
    ----------
    system : System
    nodes : sequence of NodeSamples
    pair, message : RadialBasis
    below : MessageField or None
        The layers below; None for the pair field.
    threads : int, optional
    progress : callable, optional
        ``progress(done, total)`` in configurations.
    """
    layers = 0 if below is None else below.layers + 1
    size = feature_count(system.n_species, pair, message, layers)
    total, done = sum(node.groups.size for node in nodes), 0
    result = []
    for node in nodes:
        moments = (Moments.zero(size), Moments.zero(size))
        no_pair, no_message = np.zeros((0, 0, 0)), np.zeros((0, 0, 0, 0))
        pair_below, message_below = (no_pair, no_message) if below is None else below.at(node.beta)
        for part in _chunks(node.groups.size):
            positions, species = node.positions[part], node.species[part]
            energy, forces = energy_and_forces(system, positions, species, threads=threads)
            features = continuity_features(
                system, positions, species, forces, node.beta, pair, message, pair_below, message_below, threads
            )
            kept = held_out(node.groups[part])
            moments[0].add(energy[~kept], features[~kept])
            moments[1].add(energy[kept], features[kept])
            done += positions.shape[0]
            if progress is not None:
                progress(done, total)
        result.append(moments)
    return result


def solve_ridge(matrix: FloatArray, vector: FloatArray, ridge: float, kinds: npt.NDArray[np.int64], noise: float) -> FloatArray:
    """Return the solution of normal equations, regularised.

    `ridge` times the diagonal is added; and, so that functions that hardly any sample sees do not fit that sample's noise, the
    coefficients of each kind are given a normal prior, whose width is the largest of those that are well determined (empirical
    Bayes, once).

    Parameters
    ----------
    matrix, vector : (M, M) and (M,)
    ridge : float
    kinds : (M,) int
        Unknowns of a kind have a common scale.
    noise : float
        Variance of what the regression leaves, in the units of the matrix times a coefficient squared.
    """
    diagonal = np.diag(matrix)
    seen = diagonal > 1e-20 * diagonal.max(initial=0.0)
    scale = np.sqrt(np.where(seen, diagonal, 1.0))

    def solve(prior: FloatArray) -> FloatArray:
        scaled = matrix / scale[:, None] / scale[None, :] + np.diag(ridge + prior / scale**2)
        found: FloatArray = np.where(seen, np.linalg.solve(scaled, vector / scale) / scale, 0.0)
        return found

    first = solve(np.zeros_like(diagonal))
    prior = np.zeros_like(diagonal)
    for kind in np.unique(kinds):
        here = kinds == kind
        known = here & seen & (diagonal >= np.median(diagonal[here & seen])) if (here & seen).any() else here & seen
        width = float(np.max(first[known] ** 2)) if known.any() else 0.0
        prior[here] = noise / max(width, 1e-300)
    return solve(prior)


def feature_kinds(n_species: int, pair: RadialBasis, message: RadialBasis, layers: int) -> npt.NDArray[np.int64]:
    """Return (K,) what the features of `continuity_features` are of: 0 pair functions, 1 messages E, 2 messages C."""
    pairs = len(species_pairs(n_species))
    counts = [pair.size, message.size, message.size] if layers else [pair.size]
    return np.repeat(np.arange(len(counts)), [pairs * count for count in counts])


def solve_continuity(
    moments: Sequence[tuple[Moments, Moments]], weights: FloatArray, ridge: float, kinds: npt.NDArray[np.int64]
) -> FloatArray:
    """Return coefficients (T, K) that leave the least variance of U, summed over temperatures.

    The sum over nodes of the mean of (sum_k c_k(beta) S_k - (U - <U>))^2 is a quadratic form in the coefficients.

    Parameters
    ----------
    moments : sequence of pairs of Moments
        Of each temperature; the first of a pair counts.
    weights : (nodes, T)
        Functions of beta at the nodes.
    ridge : float
    kinds : (K,) int
        See `solve_ridge`.
    """
    size, terms = moments[0][0].data.shape[0] - 2, weights.shape[1]
    matrix = np.zeros((terms, size, terms, size))
    vector = np.zeros((terms, size))
    for (node, _), w in zip(moments, weights, strict=True):
        square, product = node.products()
        matrix += w[:, None, None, None] * w[None, None, :, None] * square[None, :, None, :]
        vector += w[:, None] * product
    noise = float(np.mean([node.energy_variance / node.count for node, _ in moments]))  # at most
    return solve_ridge(matrix.reshape(terms * size, -1), vector.ravel(), ridge, np.tile(kinds, terms), noise).reshape(
        terms, size
    )


def layer_of(
    system: System,
    nodes: Sequence[float],
    moments: Sequence[tuple[Moments, Moments]],
    solution: FloatArray,
    pair: RadialBasis,
    message: RadialBasis,
    temperature: TemperatureBasis,
    below: MessageField | None,
) -> Fit:
    """Return the field with one more layer, and how well it fits.

    Parameters
    ----------
    system : System
    nodes : sequence of floats, 1/epsilon
        Inverse temperatures of the moments.
    moments : sequence of pairs of Moments
        Of the samples of the fit and of those held out.
    solution : (T, K)
        Coefficients of the layer.
    pair, message : RadialBasis
    temperature : TemperatureBasis
    below : MessageField or None
        The layers below.
    """
    pairs, terms = len(species_pairs(system.n_species)), temperature.size
    new_pair = solution[:, : pairs * pair.size].reshape(1, terms, pairs, pair.size)
    if below is None:
        field = MessageField(
            system.n_species, pair, message, temperature, new_pair, np.zeros((0, terms, 2, pairs, message.size))
        )
    else:
        new = solution[:, pairs * pair.size :].reshape(1, terms, 2, pairs, message.size)
        both = np.concatenate([below.pair, new_pair]), np.concatenate([below.message, new])
        field = MessageField(system.n_species, pair, message, temperature, *both)
    weights = temperature(np.asarray(nodes))
    return Fit(field, tuple(_residual(b, w @ solution, *m) for b, w, m in zip(nodes, weights, moments, strict=True)))


def _residual(beta: float, coefficients: FloatArray, train: Moments, kept: Moments) -> Residual:
    """Return how well coefficients (K,) fit at one temperature."""
    judge = kept if kept.count > 1 else train
    return Residual(
        beta=float(beta),
        samples=int(train.count),
        held_out=int(kept.count),
        energy_spread=float(np.sqrt(judge.energy_variance)),
        train=1.0 - train.residual_variance(coefficients) / train.energy_variance,
        held_out_variance=1.0 - judge.residual_variance(coefficients) / judge.energy_variance,
        spread=float(np.sqrt(judge.residual_variance(coefficients))),
        largest_z=train.largest_z(),
    )
