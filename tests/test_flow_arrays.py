"""Flows of arrays on imaginary GPUs (fake_cupy), whose kernels are those of the CPU: answers in kind, with the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fake_cupy
import glassnf as gnf
from cases import lattice_batch
from flow_reference import Field
from glassnf.flows import FlowError
from glassnf.flows._native import trajectory, velocity_and_divergence
from glassnf.flows.tables import RadialTables

KA2D = gnf.systems.ka2d(43)


pytestmark = pytest.mark.usefixtures("cupy")


def tables(layers: int, scale: float = 1.0) -> RadialTables:
    return RadialTables(*Field(1, 3, 2.5, layers).table_arguments([scale, 1.1 * scale, 1.2 * scale]))


@pytest.mark.parametrize("device", [0, 1])
@pytest.mark.parametrize("layers", [0, 2])
def test_answers_in_kind(layers: int, device: int, cupy: Any) -> None:
    positions, species = lattice_batch(KA2D, 3, seed=1)
    with cupy.cuda.Device(device):
        x, s = cupy.asarray(positions), cupy.asarray(species)
    expected = velocity_and_divergence(KA2D, positions, species, tables(layers), stage=1)
    found = velocity_and_divergence(KA2D, x, s, tables(layers), stage=1)
    for answer, wanted in zip(found, expected, strict=True):
        assert answer.device.id == device
        np.testing.assert_array_equal(answer.get(), wanted)
    here, there = (trajectory(KA2D, *arrays, tables(layers), 0.001) for arrays in ((positions, species), (x, s)))
    for name in ("positions", "images", "log_jacobian"):
        answer = getattr(there, name)
        assert answer.device.id == device
        np.testing.assert_array_equal(answer.get(), getattr(here, name))
    assert there.images.dtype == np.int32
    np.testing.assert_array_equal(x.get(), positions)  # the caller's, left alone
    assert [name for name, _ in fake_cupy.state.calls] == ["flow_field", "flow_trajectory"]


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    positions, species = lattice_batch(KA2D, 2, seed=2)
    x, s = torch.from_numpy(positions), torch.from_numpy(species)
    v, divergence = velocity_and_divergence(KA2D, x, s, tables(1))
    expected = velocity_and_divergence(KA2D, positions, species, tables(1))
    assert torch.is_tensor(v)
    np.testing.assert_array_equal(v.numpy(), expected[0])
    np.testing.assert_array_equal(divergence.numpy(), expected[1])


def test_lost_configurations(cupy: Any) -> None:
    positions, species = lattice_batch(KA2D, 2, seed=3)
    with pytest.raises(FlowError, match="lost 2 of 2 configurations"):
        trajectory(KA2D, cupy.asarray(positions), cupy.asarray(species), tables(0, 1e200), 1.0)
