"""Chains of which everything is known, for ``bench/equilibration.py --synthetic``: false alarms and power of the tests.

A chain is AR(1) of unit variance, begun in equilibrium, so that its autocorrelation function is a single exponential. Runs of
300 records are from 1 to 300 integrated autocorrelation times long, in sets of 1 to 32 replicas. What is off has a transient of
the same time scale added, which relaxes from a value that makes the average over the records off by a given number of standard
deviations: in all replicas alike, or, where starts are from both sides, in the half that started hot.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from glassnf.observables import Verdict, forward_backward, judge_chains
from glassnf.observables.equilibration import drift_check
from glassnf.observables.outer_checks import log_z_spread_check

REPLICAS = (1, 4, 8, 32)
LENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
BIASES = (0.0, 0.5, 1.0)
RECORDS = 300
BATCH = 250

Array = np.ndarray


def chains(rng: np.random.Generator, phi: float, replicas: int, sets: int) -> Array:
    """Return stationary chains (records, replicas, sets)."""
    x = rng.normal(size=(RECORDS, replicas, sets))
    x[1:] *= math.sqrt(1.0 - phi * phi)
    for t in range(1, RECORDS):
        x[t] += phi * x[t - 1]
    return x


def transient(phi: float, bias: float) -> Array:
    """Return what relaxes (records,), with a mean of `bias`."""
    decay = phi ** np.arange(RECORDS)
    return np.asarray(bias * decay / decay.mean())


def sets_of(seed: int, place: tuple[int, ...], length: float, replicas: int, sets: int) -> Iterator[Array]:
    """Yield sets (records, replicas), in equilibrium."""
    tau = RECORDS / length
    phi = (2.0 * tau - 1.0) / (2.0 * tau + 1.0)
    rng = np.random.default_rng([seed, *place])
    for begin in range(0, sets, BATCH):
        x = chains(rng, phi, replicas, min(BATCH, sets - begin))
        yield from np.moveaxis(x, 2, 0)


def cell(
    seed: int, place: tuple[int, ...], replicas: int, length: float, bias: float, sets: int, judged: int
) -> dict[str, Any]:
    """Return how often each test fails, and what the verdicts on the first sets are."""
    tau = RECORDS / length
    off = transient((2.0 * tau - 1.0) / (2.0 * tau + 1.0), bias)[:, None]
    cold = np.arange(replicas) >= (replicas + 1) // 2
    failed: Counter[str] = Counter()
    verdicts: dict[str, list[Verdict]] = {"verdicts": [], "verdicts_both": []}
    for k, x in enumerate(sets_of(seed, place, length, replicas, sets)):
        one_side, both = x + off, x + off * ~cold
        failed["drift"] += drift_check([one_side]).outcome is False
        if replicas > 1:
            sides = both[:, ~cold], both[:, cold]
            failed["drift of either side"] += drift_check(list(sides)).outcome is False
            failed["forward-backward"] += forward_backward(*sides).outcome is False
        if k < judged:
            verdicts["verdicts"].append(judge_chains(one_side))
            if replicas > 1:
                verdicts["verdicts_both"].append(judge_chains(both, from_cold=cold))
    counted = {name: dict(Counter(one.status for one in found)) for name, found in verdicts.items() if found}
    row = {"replicas": replicas, "times": length, "bias": bias, "sets": sets, "failed": dict(failed), "judged": judged}
    return {**row, **counted}


def log_z_rates(seed: int, sets: int) -> list[dict[str, Any]]:
    """Return how often the log Z of some runs, normal deviates of a given variance, passes."""
    rows = []
    for runs in (2, 4, 10, 20):
        for variance in (0.02, 0.1, 0.5, 5.0):
            rng = np.random.default_rng([seed, runs, round(100 * variance)])
            values = math.sqrt(variance) * rng.normal(size=(sets, runs))
            passed = sum(log_z_spread_check(one).outcome is True for one in values)
            rows.append({"runs": runs, "variance": variance, "sets": sets, "passed": passed})
    return rows


def measure(seed: int, sets: int, judged: int) -> dict[str, Any]:
    """Return rates on chains that are in equilibrium, and on those that are not."""
    rows = []
    for i, replicas in enumerate(REPLICAS):
        for j, length in enumerate(LENGTHS):
            for k, bias in enumerate(BIASES):
                many = sets if bias == 0.0 else min(sets, 100)
                rows.append(cell(seed, (i, j, k), replicas, length, bias, many, min(many, judged)))
    return {"seed": seed, "records": RECORDS, "rows": rows, "log_z": log_z_rates(seed, min(sets, 1000))}
