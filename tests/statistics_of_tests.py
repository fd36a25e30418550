"""Tests of agreement between counts or samples and exact distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SMALLEST_EXPECTED = 8.0


def chi_square_p(observed: Array, expected: Array) -> float:
    """Return the p-value of Pearson's chi-square of counts against expected counts of the same total.

    Bins that expect fewer than 8 counts are joined with each other first.
    """
    from scipy.stats import chi2

    observed, expected = np.ravel(observed).astype(np.float64), np.ravel(expected).astype(np.float64)
    assert observed.shape == expected.shape
    assert abs(observed.sum() - expected.sum()) < 1e-6 * observed.sum()
    assert not observed[expected == 0.0].any()
    order = np.argsort(expected)
    observed, expected = observed[order], expected[order]
    small = int(np.searchsorted(np.cumsum(expected), _SMALLEST_EXPECTED)) + 1
    while small < expected.size and expected[small] < _SMALLEST_EXPECTED:
        small += 1
    observed = np.append(observed[small:], observed[:small].sum())
    expected = np.append(expected[small:], expected[:small].sum())
    assert expected.size >= 2
    return float(chi2.sf(np.sum((observed - expected) ** 2 / expected), expected.size - 1))


def symmetry_p(counts: Array) -> float:
    """Return the p-value of detailed balance: counts[i, j] of transitions i to j in equilibrium against counts[j, i]."""
    from scipy.stats import chi2

    upper = np.triu_indices(counts.shape[0], k=1)
    forward, backward = counts[upper].astype(np.float64), counts.T[upper].astype(np.float64)
    total = forward + backward
    enough = total >= 2 * _SMALLEST_EXPECTED
    assert enough.sum() >= 1
    return float(chi2.sf(np.sum((forward - backward)[enough] ** 2 / total[enough]), int(enough.sum())))
