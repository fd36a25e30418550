"""Exact properties of the native flows: densities that are normalised, Jacobians of the maps themselves, symmetries."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import cases
import glassnf as gnf
from glassnf.flows import MessageField, RadialBasis, RadialFlow, TemperatureBasis
from test_flow_training import random_field

Array = Any


def two_particles(dimension: int) -> gnf.systems.System:
    """Return two particles of two species whose interaction ends well within half of the box."""
    return cases.mixture(cases.potential("harmonic", 2), 2, np.full(dimension, 5.0))


def pair_flow(system: gnf.systems.System, outer: float, layers: int = 1) -> RadialFlow:
    """Return a flow that moves pairs by some tenths of sigma, with functions up to a given distance."""
    rng = np.random.default_rng(5)
    pair, message = RadialBasis(0.1, outer, 12), RadialBasis(0.1, outer, 8)
    field = MessageField(
        system.n_species,
        pair,
        message,
        TemperatureBasis(1.0, 2.0, 2),
        0.15 * rng.normal(size=(layers + 1, 2, 3, pair.size)),
        0.3 * rng.normal(size=(layers, 2, 2, 3, message.size)),
    )
    return RadialFlow(system, field, hot=1.0, cold=0.5, steps=32)


@pytest.mark.parametrize(("dimension", "points"), [(2, 320), (3, 48)])
def test_density_of_two_particles_is_normalised(dimension: int, points: int) -> None:
    # q(x_1) = p(x_0) |dx_0/dx_1|, with p the uniform density; the integral over the relative position, by the trapezoidal rule.
    system = two_particles(dimension)
    flow = pair_flow(system, outer=2.49)
    axis = (np.arange(points) + 0.5) * 5.0 / points
    grid = np.stack(np.meshgrid(*[axis] * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)
    positions = np.stack([np.zeros_like(grid), grid], axis=1)
    species = np.tile(np.array([0, 1], np.int32), (grid.shape[0], 1))
    back = flow.transport(positions, species, 2.0, 1.0)
    density = np.exp(back.log_jacobian)
    assert density.std() > 0.1  # it is far from uniform
    assert density.mean() == pytest.approx(1.0, abs=2e-4 if dimension == 2 else 5e-3)


def test_a_field_cut_at_half_the_box_is_refused() -> None:
    # Beyond half of the box the nearest image jumps and the integral above is not 1: see flows.md.
    system = two_particles(2)
    with pytest.raises(ValueError, match="less than half the box"):
        pair_flow(system, outer=2.6)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_log_jacobian_is_that_of_the_discrete_map(layers: int) -> None:
    # det dx_1/dx_0 by central differences of the whole map; the quadrature of the divergence converges to it as n^-4.
    potential = cases.potential("inverse_power", 2)
    system = cases.mixture(potential, 9, cases.cells_box(potential, (2.1, 2.1)))
    field = random_field(system, layers, seed=layers, size=0.12)
    flow = RadialFlow(system, field, hot=1.0, cold=0.5, steps=4)
    positions, species = cases.lattice_batch(system, 1, seed=1)
    h, size = 1e-5, 18
    shifts = np.concatenate([h * np.eye(size), -h * np.eye(size)]).reshape(-1, 9, 2)
    box = np.asarray(system.box)
    errors = []
    for steps in (4, 8, 16):
        moved = flow.transport((positions + shifts) % box, np.repeat(species, 2 * size, axis=0), 1.0, 2.0, steps=steps)
        unwrapped = moved.positions + moved.images * box + ((positions + shifts) - (positions + shifts) % box)
        jacobian = (unwrapped[:size] - unwrapped[size:]).reshape(size, size) / (2.0 * h)
        sign, exact = np.linalg.slogdet(jacobian)
        assert sign > 0
        errors.append(abs(float(flow.transport(positions, species, 1.0, 2.0, steps=steps).log_jacobian[0]) - exact))
        scale = abs(exact)
    assert scale > 0.1
    assert errors[2] < 2e-4
    assert errors[2] < 0.2 * errors[0] + 1e-6


@pytest.mark.parametrize("dimension", [2, 3])
def test_symmetries_of_the_field(dimension: int) -> None:
    potential = cases.potential("inverse_power", 2)
    system = cases.mixture(potential, 20, cases.cells_box(potential, (2.1,) * dimension))
    flow = RadialFlow(system, random_field(system, 2, seed=3), hot=1.0, cold=0.5, steps=4)
    x, species = cases.lattice_batch(system, 1, seed=4)
    box = np.asarray(system.box)
    v, div = flow.velocity_and_divergence(x, species, 1.3)

    def same(positions: Array, kinds: Array, velocity: Array) -> None:
        found, divergence = flow.velocity_and_divergence(positions % box, kinds, 1.3)
        np.testing.assert_allclose(found, velocity, rtol=1e-9, atol=1e-9 * np.abs(v).max())
        np.testing.assert_allclose(divergence, div, rtol=1e-9)

    rng = np.random.default_rng(2)
    same(x + rng.normal(size=dimension), species, v)  # translation
    order = rng.permutation(20)
    same(x[:, order], species[:, order], v[:, order])  # permutation, species along with it
    for axes in itertools.permutations(range(dimension)):  # the box is a square or a cube
        signs = rng.choice([-1.0, 1.0], size=dimension)
        same(signs * x[:, :, axes], species, signs * v[:, :, axes])
    centre = flow.without_messages().velocity_and_divergence(x, species, 1.3)[0].sum(axis=1)
    assert np.abs(centre).max() < 1e-10 * np.abs(v).max()


def test_identity_flow_moves_nothing() -> None:
    system = gnf.systems.ka2d(n=43)
    x, species = cases.lattice_batch(system, 3, seed=4)
    there = gnf.flows.IdentityFlow(system).transport(x, species, 1.0, 3.0)
    assert np.array_equal(there.positions, x)
    assert not there.images.any()
    assert not there.log_jacobian.any()
