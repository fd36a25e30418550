"""The radial basis of a flow, cubic B-splines on uniform knots, and the functions of beta that their coefficients are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .. import _check
from ..systems import System

__all__ = ["RadialBasis", "TemperatureBasis"]

FloatArray = npt.NDArray[np.float64]

# Rows: the four pieces of a cubic B-spline, from the first interval of its support to the last; columns: powers of
# s = (d - knot) / h.
_PIECES = np.array([[0.0, 0.0, 0.0, 1.0], [1.0, 3.0, 3.0, -3.0], [4.0, 0.0, -6.0, 3.0], [1.0, -3.0, 3.0, -1.0]]) / 6.0


@dataclass(frozen=True)
class RadialBasis:
    """Cubic B-splines whose support lies within ``[inner, outer]``: twice continuously differentiable and zero at both ends.

    Attributes
    ----------
    inner, outer : float, sigma
        Range of distances; `outer` less than half of every side of the box, or the field jumps and has no exact divergence.
    intervals : int
        Number of equal intervals, at least 4; there are ``intervals - 3`` splines.
    """

    inner: float
    outer: float
    intervals: int

    def __post_init__(self) -> None:
        inner = _check.positive_float("inner", self.inner)
        outer = _check.positive_float("outer", self.outer)
        if not inner < outer:
            raise ValueError(f"outer: expected a number above inner = {inner}, got {outer}")
        _check.integer("intervals", self.intervals, 4, 4096)

    @property
    def size(self) -> int:
        """Number of splines."""
        return self.intervals - 3

    def check_box(self, name: str, system: System) -> None:
        """Raise ValueError unless the range fits into half of the box."""
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {_check.describe(system)}")
        half = 0.5 * min(float(side) for side in system.box)
        if not self.outer < half:
            raise ValueError(
                f"{name}: expected a range of less than half the box, {half:.6g}, got {self.outer:.6g}: "
                "beyond it the field would jump"
            )

    def table(self, coefficients: FloatArray) -> FloatArray:
        """Return sums of splines as piecewise cubics.

        Parameters
        ----------
        coefficients : (..., size)

        Returns
        -------
        (..., intervals + 2, 4) float64
            Powers of s = (d - knot) / h on each interval; the first and last row, for all smaller and larger distances, are
            zero. See `RadialTables`.
        """
        coefficients = _check.float_array("coefficients", coefficients)
        if coefficients.ndim == 0 or coefficients.shape[-1] != self.size:
            raise ValueError(f"coefficients: expected shape (..., {self.size}), got {coefficients.shape}")
        shape = coefficients.shape[:-1]
        padded = np.zeros((*shape, self.intervals + 3))
        padded[..., 3:-3] = coefficients
        table = np.zeros((*shape, self.intervals + 2, 4))
        for piece, powers in enumerate(_PIECES):
            first = 3 - piece  # spline k has its piece p on interval k + p; padding has moved the splines by three
            table[..., 1:-1, :] += padded[..., first : first + self.intervals, None] * powers
        return table


@dataclass(frozen=True)
class TemperatureBasis:
    """Functions of the inverse temperature: Chebyshev polynomials of log beta, divided by beta.

    In a harmonic solid dx/dbeta = -(x - x_min) / (2 beta), so that what is left for the polynomials is nearly constant.

    Attributes
    ----------
    beta_hot, beta_cold : float, 1/epsilon
        Ends of the range, ``beta_hot < beta_cold``.
    size : int
        Number of functions.
    """

    beta_hot: float
    beta_cold: float
    size: int

    def __post_init__(self) -> None:
        hot, cold = _check.magnitude("beta_hot", self.beta_hot), _check.magnitude("beta_cold", self.beta_cold)
        if not hot < cold:
            raise ValueError(f"beta_cold: expected a number above beta_hot = {hot}, got {cold}")
        _check.integer("size", self.size, 1, 256)

    def __call__(self, beta: float | FloatArray) -> FloatArray:
        """Return the functions at inverse temperatures (...,) as (..., size)."""
        beta = np.asarray(beta, dtype=np.float64)
        middle = 0.5 * np.log(self.beta_hot * self.beta_cold)
        z = 2.0 * (np.log(beta) - middle) / np.log(self.beta_cold / self.beta_hot)
        values: FloatArray = np.polynomial.chebyshev.chebvander(z.ravel(), self.size - 1)
        return values.reshape(*beta.shape, self.size) / beta[..., None]
