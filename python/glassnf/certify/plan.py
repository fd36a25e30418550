"""What a check is, what it is given, and what it finds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .statistics import chi_square_p, normal_p, student_p, symmetry_p

if TYPE_CHECKING:
    from ..ensemble import Ensemble

__all__ = ["Case", "Context", "Finding", "case", "close", "counted", "equal", "measured", "replicated", "reversible"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Finding:
    """One comparison.

    Attributes
    ----------
    quantity : str
    p_value : float or None
        Of a statistical comparison: the probability that a correct program differs as much or more.
    observed, expected : float or None
    error : float or None
        Standard error of `observed`, of a comparison of two numbers.
    limit : float or None
        Of a comparison without chance: the largest difference allowed.
    """

    quantity: str
    p_value: float | None = None
    observed: float | None = None
    expected: float | None = None
    error: float | None = None
    limit: float | None = None

    @property
    def within(self) -> bool:
        """Whether a comparison without chance is within its limit; NaN, and what an error left without numbers, is not."""
        if self.observed is None or self.expected is None or self.limit is None:
            return False
        return abs(self.observed - self.expected) <= self.limit


@dataclass(frozen=True)
class Context:
    """What a case may use.

    Attributes
    ----------
    seed : int
        Of the certificate.
    label : str
        Name of the case; its random numbers are its own.
    quick : bool
    device : str
    threads : int or None
    share : float
        Of the samples; less than 1 where p-values are to be uniform, and need not see small errors.
    """

    seed: int
    label: str = ""
    quick: bool = True
    device: str = "cpu"
    threads: int | None = None
    share: float = 1.0

    def number(self, *names: object) -> int:
        """Return a seed of 63 bits for a purpose."""
        text = "/".join(str(part) for part in (self.seed, self.label, *names))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def rng(self, *names: object) -> np.random.Generator:
        """Return a generator for a purpose."""
        return np.random.default_rng(self.number("numpy", *names))

    def count(self, quick: int, full: int) -> int:
        """Return a number of samples or of sweeps."""
        return max(2, round(self.share * (quick if self.quick else full)))

    def there(self, ensemble: Ensemble) -> Ensemble:
        """Return an ensemble on the device of the case."""
        return ensemble if self.device == "cpu" else ensemble.to(self.device)


Run = Callable[[Context], Iterable[Finding]]


@dataclass(frozen=True)
class Case:
    """A group of comparisons that share a simulation.

    Attributes
    ----------
    sampler : str
        What is checked.
    system : str
        On what.
    run : callable
    quick : bool
        Whether it is part of ``--quick``.
    devices : tuple of str
        ``"cpu"``, ``"cuda"``, or both.
    precision : str
    needs : str or None
        A module that may be missing.
    """

    sampler: str
    system: str
    run: Run
    quick: bool = True
    devices: tuple[str, ...] = ("cpu",)
    precision: str = "float64"
    needs: str | None = None

    @property
    def name(self) -> str:
        """Sampler and system."""
        return f"{self.sampler}: {self.system}"


BOTH = ("cpu", "cuda")


def case(sampler: str, system: str, run: Run, **options: Any) -> Case:
    """Return a case that runs on both kinds of device."""
    return Case(sampler, system, run, **({"devices": BOTH} | options))


# ---- findings ----------------------------------------------------------------------------------------------------------------


def counted(quantity: str, counts: Array, probabilities: Array) -> Finding:
    """Compare counts of independent samples with probabilities, by chi-square."""
    total = float(np.sum(counts))
    return Finding(quantity, chi_square_p(counts, total * np.asarray(probabilities) / np.sum(probabilities)))


def reversible(quantity: str, before: Array, after: Array, states: int) -> Finding:
    """Compare transitions between states with their reverse."""
    counts = np.bincount(np.asarray(before) * states + np.asarray(after), minlength=states**2).reshape(states, states)
    return Finding(quantity, symmetry_p(counts))


def measured(quantity: str, observed: float, error: float, expected: float = 0.0) -> Finding:
    """Compare a number that is normally distributed, with a known error, with what it should be."""
    observed, error, expected = float(observed), float(error), float(expected)
    deviation = (observed - expected) / error if error > 0.0 else math.nan if observed != expected else 0.0
    return Finding(quantity, normal_p(deviation), observed, expected, error)


def replicated(quantity: str, values: Array, expected: float | Array) -> Finding:
    """Compare the mean of independent values with a number, or with the mean of other independent values (Welch's test)."""
    values = np.asarray(values, dtype=np.float64).ravel()
    mean, variance, degrees = float(values.mean()), float(values.var(ddof=1)) / values.size, float(values.size - 1)
    target = float(np.mean(expected))
    if np.ndim(expected):
        others = np.asarray(expected, dtype=np.float64).ravel()
        other = float(others.var(ddof=1)) / others.size
        if variance + other > 0.0:
            degrees = (variance + other) ** 2 / (variance**2 / degrees + other**2 / (others.size - 1))
        variance += other
    error = math.sqrt(variance)
    if error == 0.0:
        return Finding(quantity, 1.0 if mean == target else 0.0, mean, target, error)
    return Finding(quantity, student_p((mean - target) / error, degrees), mean, target, error)


def close(quantity: str, observed: float, expected: float, limit: float) -> Finding:
    """Compare two numbers that may differ by rounding, or by the order of a method, only."""
    return Finding(quantity, observed=float(observed), expected=float(expected), limit=float(limit))


def equal(quantity: str, a: Array, b: Array) -> Finding:
    """Compare two arrays bit by bit: the number of entries that differ."""
    a, b = np.asarray(a), np.asarray(b)
    different = a.size + b.size if a.shape != b.shape else int((a != b).sum())
    return Finding(quantity, observed=float(different), expected=0.0, limit=0.0)
