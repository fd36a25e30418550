"""Tolerances of the tests, by the reason for which two numbers may differ."""

from __future__ import annotations

EXACT = 0.0
"""Same operations in the same order: the same bits."""

FP64_REDUCTION = 1e-12
"""Relative, against the largest term: float64 sums in another order, formulas written in another form."""

CACHED_ENERGY = 1e-9
"""Absolute in epsilon: energies that Monte Carlo keeps by differences, against energies computed anew."""

STATISTICAL = 5.0
"""In standard deviations of a normal variable: exceeded by chance in 6e-7 of all cases."""

FALSE_ALARM = 1e-5
"""Probability with which a correct program fails a single chi-square or Kolmogorov-Smirnov test; seeds are fixed."""

FP32_KERNEL = 1e-5
"""Relative, against the sum of the sizes of all terms: sums in float64 of terms evaluated in float32 (precision="mixed")."""
