"""A number with its error bar."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from .. import _check

__all__ = ["Estimate", "format_uncertainty"]

_FIXED_POINT_RANGE = (1e-4, 1e8)


def format_uncertainty(value: float, error: float, digits: int = 2) -> str:
    """Return `value` with `error` (one standard deviation) in brackets, e.g. ``-2.3651(12)``.

    The error is rounded to `digits` significant digits and counts in units of the last digit shown, or has a decimal point of
    its own where it is 1 or more, e.g. ``12.3(1.2)``. Very small and very large numbers get a common exponent.

    Examples
    --------
    >>> format_uncertainty(-2.36512, 0.00123)
    '-2.3651(12)'
    >>> format_uncertainty(1234.5, 12.3)
    '1234(12)'
    >>> format_uncertainty(1.2345e-9, 3e-12)
    '1.2345(30)e-09'
    """
    if not (_is_number(value) and _is_number(error)):
        wrong, given = ("error", error) if _is_number(value) else ("value", value)
        raise TypeError(f"{wrong}: expected a number, got {_check.describe(given)}")
    value, error, digits = float(value), float(error), _check.integer("digits", digits, 1, 15)
    if not (math.isfinite(value) and math.isfinite(error)) or error == 0.0:
        return f"{value:.10g}({error:g})"
    error = abs(error)
    largest = max(abs(value), error)
    if not _FIXED_POINT_RANGE[0] <= largest < _FIXED_POINT_RANGE[1]:
        power = math.floor(math.log10(largest))
        scale = 10.0**-power if power > -300 else 1e300
        if not math.isfinite(error * scale) or error * scale == 0.0:
            return f"{value:.10g}({error:g})"
        power = max(-300, power)
        return f"{_fixed_point(value * scale, error * scale, digits)}e{power:+03d}"
    return _fixed_point(value, error, digits)


def _is_number(value: object) -> bool:
    """Whether it is a real number that a float can hold, NaN and infinities included: errors may be unknown."""
    try:
        return not isinstance(value, (bool, str, bytes)) and isinstance(float(value), float)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def _fixed_point(value: float, error: float, digits: int) -> str:
    decimals = min(digits - 1 - math.floor(math.log10(error)), 300)
    if round(error, decimals) >= 10.0 ** (digits - decimals):  # 0.0996 has become 0.100: one digit less
        decimals -= 1
    if decimals <= 0:
        return f"{round(value, decimals):.0f}({round(error, decimals):.0f})"
    shown = f"{error:.{decimals}f}"
    if float(shown) < 1.0:
        shown = str(int(shown.replace(".", "")))
    return f"{value:.{decimals}f}({shown})"


@dataclass(frozen=True)
class Estimate:
    """The estimate of an average, with its statistical error.

    Prints as ``-2.3651(12)``; ``float(estimate)`` is the value.

    Attributes
    ----------
    value
        The estimate.
    error
        One standard deviation of `value`.
    tau
        Integrated autocorrelation time, in records, of what was averaged; 1/2 for independent records, NaN where none applies.
    ess
        Effective number of independent samples, n_samples / (2 tau).
    n_samples
        Number of samples used, all replicas together.
    method
        How the error was found.
    """

    value: float
    error: float
    tau: float
    ess: float
    n_samples: int
    method: str

    def __str__(self) -> str:
        return format_uncertainty(self.value, self.error)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __float__(self) -> float:
        return self.value

    def scaled(self, factor: float, shift: float = 0.0) -> Estimate:
        """Return the estimate of ``factor * x + shift``, both constants exactly known."""
        factor, shift = _check.finite_float("factor", factor), _check.finite_float("shift", shift)
        value, error = self.value * factor + shift, self.error * abs(factor)
        return Estimate(value, error, self.tau, self.ess, self.n_samples, self.method)

    def deviation(self, other: Estimate | float) -> float:
        """Return (self - other) in units of the combined standard deviation; for independent errors.

        NaN where the error is unknown, and where both errors are zero infinite (0 for equal values).
        """
        other_error = other.error if isinstance(other, Estimate) else 0.0
        difference = self.value - (other.value if isinstance(other, Estimate) else _check.finite_float("other", other))
        sigma = math.hypot(self.error, other_error)
        if sigma == 0.0:
            return 0.0 if difference == 0.0 else math.copysign(math.inf, difference)
        return difference / sigma

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict of plain numbers and strings."""
        return asdict(self)
