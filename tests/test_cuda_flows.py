"""Flows on a GPU against those on the CPU: the same but for the order of sums, in kind and on the device of the positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cases import lattice_batch, mixture, potential
from flow_reference import Field
from glassnf import _arrays
from glassnf.flows import FlowError
from glassnf.flows._native import trajectory, velocity_and_divergence
from glassnf.flows.tables import RadialTables

TOLERANCE = 1e-11  # relative, against the largest: sums of at most a few thousand terms, and one step of an integrator

PutOnGPU = Callable[[Any], Any]


def close(found: Any, expected: Any) -> None:
    largest = float(np.abs(expected).max())
    np.testing.assert_allclose(_arrays.to_host(found), expected, rtol=0.0, atol=TOLERANCE * largest)


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize(("d", "n"), [(2, 43), (2, 150), (3, 60), (3, 130)])
def test_fields_and_trajectories(d: int, n: int, layers: int, put_on_gpu: PutOnGPU) -> None:
    system = mixture(potential("wca", 3), n, np.full(d, (n / 1.1) ** (1.0 / d)))
    field = Field(1, 3, 0.47 * float(system.box.min()), layers)
    tables = RadialTables(*field.table_arguments([1.0, 1.1, 1.2]))
    positions, species = lattice_batch(system, 5, 2)
    there = put_on_gpu(positions), put_on_gpu(species)
    expected = velocity_and_divergence(system, positions, species, tables, stage=1)
    found = velocity_and_divergence(system, *there, tables, stage=1)
    for a, b in zip(found, expected, strict=True):
        assert type(a) is type(there[0])
        assert _arrays.device_of(a) == _arrays.device_of(there[0])
        close(a, b)
    h = 0.05 / float(np.abs(expected[0]).max())
    here = trajectory(system, positions, species, tables, h)
    moved = trajectory(system, *there, tables, h)
    images = _arrays.to_host(moved.images)
    assert images.dtype == np.int32
    close(_arrays.to_host(moved.positions) + images * system.box, here.positions + here.images * system.box)
    close(moved.log_jacobian, here.log_jacobian)
    np.testing.assert_array_equal(_arrays.to_host(there[0]), positions)  # of the caller, and left alone


def test_same_bits_in_any_company(put_on_gpu: PutOnGPU) -> None:
    system = mixture(potential("wca", 2), 40, np.full(2, 6.0))
    tables = RadialTables(*Field(3, 2, 2.8, 2).table_arguments([1.0]))
    positions, species = lattice_batch(system, 9, 4)
    v, divergence = (
        _arrays.to_host(a) for a in velocity_and_divergence(system, put_on_gpu(positions), put_on_gpu(species), tables)
    )
    for r in (0, 5, 8):
        one = put_on_gpu(positions[r : r + 1]), put_on_gpu(species[r : r + 1])
        alone = [_arrays.to_host(a) for a in velocity_and_divergence(system, *one, tables)]
        np.testing.assert_array_equal(alone[0][0], v[r])
        assert alone[1][0] == divergence[r]


def test_fields_that_blow_up(put_on_gpu: PutOnGPU) -> None:
    system = mixture(potential("wca", 1), 20, np.full(2, 5.0))
    tables = RadialTables(*Field(5, 1, 2.0).table_arguments([1e200, 1e200, 1e200]))
    positions, species = lattice_batch(system, 3, 6)
    with pytest.raises(FlowError, match="lost 3 of 3 configurations"):
        trajectory(system, put_on_gpu(positions), put_on_gpu(species), tables, 1.0)


def test_limits(put_on_gpu: PutOnGPU) -> None:
    system = mixture(potential("wca", 1), 20, np.full(2, 5.0))
    positions = put_on_gpu(lattice_batch(system, 1, 7)[0])
    three = RadialTables(*Field(8, 1, 2.0, 3).table_arguments([1.0]))
    with pytest.raises(ValueError, match="layers: expected at most 2 on a CUDA device, got 3"):
        velocity_and_divergence(system, positions, None, three)
    large = mixture(potential("wca", 1), 5000, np.full(2, 70.0))
    pairs = RadialTables(*Field(8, 1, 2.0).table_arguments([1.0]))
    with pytest.raises(
        ValueError, match="n: the state of 5000 particles in a flow of 0 layers takes .* bytes of shared memory"
    ):
        velocity_and_divergence(large, put_on_gpu(lattice_batch(large, 1, 9)[0]), None, pairs)
