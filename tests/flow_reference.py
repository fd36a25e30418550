"""Plain NumPy reference of the flow fields: all pairs, radial functions as sums of B-splines, no code of the package.

Velocities are written down as in the mathematics; divergences come from complex steps, which have no truncation error, and for
pair fields from the formula too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def b_spline(x: Array, order: int = 0) -> Array:
    """Return the cubic B-spline with the knots 0 .. 4, or a derivative of it, by truncated powers; x may be complex."""
    power, factor = 3 - order, (6.0, 2.0, 1.0, 1.0)[order]
    total = np.zeros_like(x)
    for k, binomial in enumerate((1.0, -4.0, 6.0, -4.0, 1.0)):
        total = total + np.where(np.real(x) > k, binomial * (x - k) ** power, 0.0)
    return total / factor


class Splines:
    """Radial functions phi_ab(d) = sum_m w_abm B((d - inner) / h - m), for pairs of species.

    Parameters
    ----------
    weights : (S, S, M)
        Symmetric; for M + 3 intervals of length h between `inner` and `outer`.
    """

    def __init__(self, inner: float, outer: float, weights: Array) -> None:
        self.inner, self.outer, self.weights = inner, outer, np.asarray(weights, dtype=np.float64)
        self.intervals = self.weights.shape[-1] + 3
        self.h = (outer - inner) / self.intervals

    @classmethod
    def random(
        cls, rng: np.random.Generator, n_species: int, inner: float, outer: float, intervals: int, size: float = 1.0
    ) -> Splines:
        """Return functions with weights of their own for every pair of species."""
        weights = size * rng.normal(size=(n_species, n_species, intervals - 3))
        return cls(inner, outer, weights + np.swapaxes(weights, 0, 1))

    def __call__(self, d: Array, a: Array, b: Array, order: int = 0) -> Array:
        """Return phi_ab(d), or its derivative of the order given, for arrays of distances and species."""
        x = (d - self.inner) / self.h
        total = np.zeros_like(x)
        for m in range(self.weights.shape[-1]):
            total = total + self.weights[a, b, m] * b_spline(x - m, order)
        return np.where(np.real(d) < self.outer, total, 0.0) / self.h**order

    def table(self) -> Array:
        """Return (S, S, intervals + 2, 4) coefficients: the Taylor polynomials about the knots."""
        s = self.weights.shape[0]
        a, b, row = np.ogrid[:s, :s, : self.intervals]
        knot = self.inner + self.h * row + np.zeros((s, s, 1))
        inside = knot + 0.5 * self.h  # where the third derivative, constant between knots, is looked up
        coefficients = np.zeros((s, s, self.intervals + 2, 4))
        for order, factorial in enumerate((1.0, 1.0, 2.0, 6.0)):
            where = inside if order == 3 else knot
            coefficients[:, :, 1:-1, order] = self(where, a, b, order) * self.h**order / factorial
        return coefficients


def displacements(x: Array, box: Array) -> tuple[Array, Array]:
    """Return r_ij = x_i - x_j (N, N, d), the nearest images, and distances (N, N) with ones on the diagonal."""
    r = x[:, None, :] - x[None, :, :]
    r = r - box * np.rint(np.real(r) / box)
    squares = np.sum(r * r, axis=-1)
    np.fill_diagonal(squares, 1.0)
    return r, np.sqrt(squares)


def pair_velocity(x: Array, species: Array, box: Array, phi: Splines) -> Array:
    """Return v_i = sum_j phi_ab(d) r_ij (N, d) of one configuration; x may be complex."""
    r, d = displacements(x, box)
    f = phi(d, species[:, None], species[None, :])
    np.fill_diagonal(f, 0.0)
    return np.asarray(np.einsum("ij,ijk->ik", f, r))


def pair_divergence(x: Array, species: Array, box: Array, phi: Splines) -> float:
    """Return sum_ij [D phi + d phi'] of one configuration."""
    _, d = displacements(x, box)
    a, b = species[:, None], species[None, :]
    terms = x.shape[-1] * phi(d, a, b) + d * phi(d, a, b, 1)
    np.fill_diagonal(terms, 0.0)
    return float(terms.sum())


def messages(w: Array, x: Array, species: Array, box: Array, neighbours: Splines, own: Splines) -> Array:
    """Return sum_j [E (e . w_j) + C (e . w_i)] e, with e = r_ij / d."""
    r, d = displacements(x, box)
    e = r / d[:, :, None]
    along = neighbours(d, species[:, None], species[None, :]) * np.einsum("ijk,jk->ij", e, w)
    along = along + own(d, species[:, None], species[None, :]) * np.einsum("ijk,ik->ij", e, w)
    np.fill_diagonal(along, 0.0)
    return np.asarray(np.einsum("ij,ijk->ik", along, e))


class Field:
    """A field of L layers of messages, with random radial functions; `scale` multiplies those of pairs."""

    def __init__(
        self,
        seed: int,
        n_species: int,
        reach: float,
        layers: int = 0,
        *,
        inner: float = 0.4,
        intervals: int = 12,
        message_reach: float | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.layers = layers
        self.pair = [Splines.random(rng, n_species, inner, reach, intervals) for _ in range(layers + 1)]
        ends = (1.1 * inner, 0.85 * reach if message_reach is None else message_reach)
        self.messages = [[Splines.random(rng, n_species, *ends, 7, 0.3) for _ in range(2)] for _ in range(layers)]

    def velocity(self, x: Array, species: Array, box: Array, scale: float = 1.0) -> Array:
        """Return (N, d) velocities of one configuration; x may be complex."""
        w = scale * pair_velocity(x, species, box, self.pair[0])
        for layer in range(self.layers):
            w = messages(w, x, species, box, *self.messages[layer])
            w = w + scale * pair_velocity(x, species, box, self.pair[layer + 1])
        return w

    def divergence(self, x: Array, species: Array, box: Array, scale: float = 1.0) -> float:
        """Return the divergence of one configuration, by formula for a pair field, else by complex steps."""
        if not self.layers:
            return scale * pair_divergence(x, species, box, self.pair[0])
        return divergence_by_complex_step(lambda y: self.velocity(y, species, box, scale), x)

    def table_arguments(self, scales: Any) -> tuple[Any, ...]:
        """Return the arguments of RadialTables, with a stage for each scale."""
        pair = np.stack([phi.table() for phi in self.pair])
        factors = np.asarray(scales, dtype=np.float64)[:, None, None, None, None, None]
        ends = (self.pair[0].inner, self.pair[0].outer)
        if not self.layers:
            return (*ends, factors * pair)
        tables = np.stack([[phi.table() for phi in layer] for layer in self.messages])
        first = self.messages[0][0]
        return (*ends, factors * pair, first.inner, first.outer, np.stack([tables] * len(factors)))


def divergence_by_complex_step(velocity: Any, x: Array) -> float:
    """Return the trace of the Jacobian of velocity(x), exact to rounding."""
    step, total = 1e-100, 0.0
    for i in range(x.shape[0]):
        for k in range(x.shape[1]):
            moved = x.astype(np.complex128)
            moved[i, k] += 1j * step
            total += float(velocity(moved)[i, k].imag) / step
    return total


def runge_kutta(field: Any, x: Array, steps: int, h: float) -> tuple[Array, float]:
    """Return the end (unwrapped) and the integral of the divergence of field(stage, x) -> velocity, divergence."""
    total = 0.0
    for m in range(steps):
        v1, d1 = field(2 * m, x)
        v2, d2 = field(2 * m + 1, x + 0.5 * h * v1)
        v3, d3 = field(2 * m + 1, x + 0.5 * h * v2)
        v4, d4 = field(2 * m + 2, x + h * v3)
        x = x + h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4)
        total += h / 6.0 * (d1 + 2.0 * d2 + 2.0 * d3 + d4)
    return x, total
