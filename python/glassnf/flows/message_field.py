"""Fields of radial functions and messages, linear in the coefficients of the last layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .. import _check
from .splines import RadialBasis, TemperatureBasis
from .tables import RadialTables

__all__ = ["MessageField", "species_pairs"]

FloatArray = npt.NDArray[np.float64]


def species_pairs(n_species: int) -> list[tuple[int, int]]:
    """Return the unordered pairs of species in the order of all coefficients: (0, 0), (0, 1), ..., (1, 1), ..."""
    return [(a, b) for a in range(n_species) for b in range(a, n_species)]


@dataclass(frozen=True, eq=False)
class MessageField:
    """A velocity dx/dbeta = v(x, beta) of radial functions of pairs of particles and layers of messages between neighbours.

    The zeroth layer is the pair field; each further layer adds messages along the bonds e = r_ij / d_ij::

        w0_i = sum_j p0(d_ij) r_ij
        wl_i = sum_j pl(d_ij) r_ij + sum_j [E(d_ij) (e . w_j) + C(d_ij) (e . w_i)] e,    w of the layer below
        v = wL

    Near a minimum of the energy the exact field is a Newton step, H^-1 F / (2 beta). The pair field learns the forces F, and
    each layer one more power of the Hessian H. Radial functions depend on the pair of species, not on its order, so that the
    pair field moves no centre of mass. The field is equivariant under permutations within a species, translations, and the
    symmetry group of the box, and twice continuously differentiable.

    Attributes
    ----------
    n_species : int
    pair_basis, message_basis : RadialBasis
    temperature_basis : TemperatureBasis
    pair : (L + 1, T, P, pair_basis.size) float64
        Coefficients of p0 ... pL, for T functions of beta and P unordered pairs of species.
    message : (L, T, 2, P, message_basis.size) float64
        Those of E and C of layers 1 ... L.
    """

    n_species: int
    pair_basis: RadialBasis
    message_basis: RadialBasis
    temperature_basis: TemperatureBasis
    pair: FloatArray
    message: FloatArray

    def __post_init__(self) -> None:
        _check.integer("n_species", self.n_species, 1, 64)
        for name, kind in (
            ("pair_basis", RadialBasis),
            ("message_basis", RadialBasis),
            ("temperature_basis", TemperatureBasis),
        ):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name}: expected a {kind.__name__}, got {_check.describe(getattr(self, name))}")
        for name, axes in (("pair", 4), ("message", 5)):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != np.float64:
                raise TypeError(f"{name}: expected an array of type float64, got {_check.describe(array)}")
            _check.array_shape(name, array, (None,) * axes)
        pairs, terms = len(species_pairs(self.n_species)), self.temperature_basis.size
        layers = self.message.shape[0]
        for name, array, shape in (
            ("pair", self.pair, (layers + 1, terms, pairs, self.pair_basis.size)),
            ("message", self.message, (layers, terms, 2, pairs, self.message_basis.size)),
        ):
            if array.shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name}: expected finite coefficients")

    @property
    def layers(self) -> int:
        """Number of layers of messages, L."""
        return int(self.message.shape[0])

    def at(self, beta: float) -> tuple[FloatArray, FloatArray]:
        """Return the coefficients at one inverse temperature: (L + 1, P, size) of pairs, (L, 2, P, size) of messages."""
        weights = self._weights("beta", _check.positive_float("beta", beta))
        return np.einsum("t,ltpk->lpk", weights, self.pair), np.einsum("t,ltmpk->lmpk", weights, self.message)

    def tables(self, betas: npt.ArrayLike) -> RadialTables:
        """Return the radial functions at inverse temperatures (K,), one stage for each."""
        weights = self._weights("betas", _check.float_array("betas", betas, (None,)))
        pair = np.einsum("st,ltpk->slpk", weights, self.pair)
        message = np.einsum("st,ltmpk->slmpk", weights, self.message)
        square = np.empty((self.n_species, self.n_species), np.int64)
        for index, (a, b) in enumerate(species_pairs(self.n_species)):
            square[a, b] = square[b, a] = index
        pairs = self.pair_basis.table(pair)[:, :, square]
        if not self.layers:
            return RadialTables(self.pair_basis.inner, self.pair_basis.outer, pairs)
        messages = self.message_basis.table(message)[:, :, :, square]
        return RadialTables(
            self.pair_basis.inner, self.pair_basis.outer, pairs, self.message_basis.inner, self.message_basis.outer, messages
        )

    def _weights(self, name: str, betas: float | FloatArray) -> FloatArray:
        """Return the functions of temperature, which are polynomials and grow fast beyond the range of the basis."""
        with np.errstate(all="ignore"):
            weights = self.temperature_basis(betas)
        if not np.size(betas) or np.min(betas) <= 0.0 or not np.isfinite(weights).all():
            low, high = self.temperature_basis.beta_hot, self.temperature_basis.beta_cold
            raise ValueError(f"{name}: expected inverse temperatures near {low:g} to {high:g}, got {_check.describe(betas)}")
        return weights

    def below(self) -> MessageField:
        """Return the field without its last layer."""
        return MessageField(
            self.n_species, self.pair_basis, self.message_basis, self.temperature_basis, self.pair[:-1], self.message[:-1]
        )
