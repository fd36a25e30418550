"""Systems and configurations that several test files use."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

import glassnf as gnf
from glassnf._arrays import to_host
from glassnf.certify.systems import (
    KIND_NAMES,
    cells_box,
    jittered_lattice,
    lattice_batch,
    mixture,
    potential,
    shuffled_species,
    symmetric,
)

Array = npt.NDArray[Any]

__all__ = [
    "KIND_NAMES",
    "assert_identical",
    "cells_box",
    "jittered_lattice",
    "lattice_batch",
    "mixture",
    "potential",
    "shuffled_species",
    "small",
    "symmetric",
]


@functools.lru_cache(maxsize=16)
def _start(replicas: int, n: int) -> gnf.Ensemble:
    return gnf.Ensemble.random(gnf.systems.ka2d(n), replicas, 1.0, seed=1)


def small(replicas: int = 3, temperature: Any = 0.6, n: int = 43) -> gnf.Ensemble:
    """Return a new ensemble of ka2d, the same at every call."""
    ensemble = _start(replicas, n).copy()
    ensemble.beta[:] = 1.0 / np.asarray(temperature)
    return ensemble


def assert_identical(a: gnf.Ensemble, b: gnf.Ensemble) -> None:
    """Check that two ensembles are the same, bit for bit, and name the field that is not."""
    for name in ("positions", "images", "species", "beta", "energy", "ids", "move_size"):
        np.testing.assert_array_equal(to_host(getattr(a, name)), to_host(getattr(b, name)), err_msg=name)
    assert a.identical_to(b)
