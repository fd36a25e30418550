"""The part of bench/cuda_backend.py that measures the flows: fields and trajectories of many replicas of N = 43."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import common
import flow_tables
import glassnf as gnf
import gpu
from glassnf.flows._native import trajectory, velocity_and_divergence

STEPS = 4
BETA_STEP = 1e-3
TOLERANCE = 1e-10  # of the largest: the order of sums differs
MOST_LAYERS = 2
ON_CORE = 256  # replicas

Calls = Callable[[str, Callable[[], Any], float, int], Callable[[], float]]


def flows(here: gnf.Ensemble, options: Any, calls: Calls) -> dict[str, Any]:
    """Evaluations of the field of one replica per second: velocity with divergence alone, and within trajectories.

    `calls` measures how often a piece of work for so many configurations is done in a second (bench/cuda_backend.py).
    """
    system, device, replicas = here.system, options.device, here.replicas
    few = slice(0, min(replicas, ON_CORE))
    small = (system, here.positions[few], here.species[few])
    large = (system, gpu.put(here.positions, device), gpu.put(here.species, device))
    cases: dict[str, Callable[[], float]] = {}
    against: dict[str, str] = {}
    agreed: dict[str, Any] = {}
    for layers in range(MOST_LAYERS + 1):
        tables, name = flow_tables.tables_of(system, layers, 2 * STEPS + 1), flow_tables.name_of(layers)
        agreed[f"fields of N={system.n}, {name}"] = check(large, here, tables)
        for what, work, count in (("", field, 1), ("trajectory, ", way, 4 * STEPS)):
            core, case = f"one core, N={system.n}, {what}{name}", f"N={system.n} x {replicas}, {what}{name}"
            threads = functools.partial(work, *small, tables, threads=1)
            cases[core] = calls("cpu", threads, options.seconds, count * len(small[1]))
            cases[case] = calls(device, functools.partial(work, *large, tables), options.seconds, count * replicas)
            against[case] = core
    rates = common.interleave(cases, options.repetitions)
    return {
        "agreement": agreed,
        "evaluations_per_s": {n: {"median": common.median_of(values), "values": values} for n, values in rates.items()},
        "ratios": {f"{name} / {core}": common.ratio(rates, name, core) for name, core in against.items()},
    }


def field(*arguments: Any, **options: Any) -> Any:
    return velocity_and_divergence(*arguments, **options)


def way(*arguments: Any, **options: Any) -> Any:
    return trajectory(*arguments, BETA_STEP, **options)


def check(large: Any, here: gnf.Ensemble, tables: Any) -> dict[str, float]:
    """Both backends, on a few replicas: the largest differences, relative to the largest number."""
    system, x, s = large
    few = slice(0, min(here.replicas, 64))
    expected = field(system, here.positions[few], here.species[few], tables)
    found = [gpu.get(array) for array in field(system, x[few], s[few], tables)]
    errors = [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected, strict=True)]
    common.require(max(errors) < TOLERANCE, f"velocities and divergences are off by {errors} of the largest")
    return dict(zip(("velocity", "divergence"), errors, strict=True))
