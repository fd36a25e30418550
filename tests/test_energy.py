"""Energies, forces and virials: against the O(N^2) NumPy reference, finite differences, exact pair values; bad input."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
import glassnf as gnf
from glassnf._arrays import to_host
from glassnf.certify import reference
from glassnf.systems import PairPotential, System
from tolerances import CACHED_ENERGY, FP64_REDUCTION

Array = npt.NDArray[Any]
Put = Callable[[Any], Any]

SMALL = cases.mixture(cases.potential("lj_smooth", 2), 4, np.array([6.0, 7.0]))
GOOD = np.array([[[0.5, 0.5], [2.0, 2.0], [4.0, 1.0], [3.0, 5.0]]])

DATA = Path(__file__).parent / "data"

# Boxes by the number of cutoffs along their sides: all pairs, exactly 2 and 3 cutoffs, 3, 4 and more cells, unequal sides.
SQUARES = [(2.0, 2.0), (2.7, 2.2), (3.0, 3.0), (3.0, 4.0), (4.0, 4.0), (4.3, 5.9), (7.1, 3.2), (8.0, 6.5), (12.0, 2.5)]
CUBES = [(2.0, 2.0, 2.0), (2.6, 2.2, 3.5), (3.0, 3.0, 3.0), (3.1, 3.0, 4.2), (4.0, 4.0, 4.0), (5.2, 3.3, 4.1)]


def check(system: System, positions: Array, species: Array, put: Put = np.asarray, tolerance: float = FP64_REDUCTION) -> None:
    """Compare energy, forces and virial with the reference, relative to the largest local energy, force and component."""
    parameters = reference.parameters(system)
    local, forces, virial = reference._sums(positions, species, **parameters)
    energy = 0.5 * local.sum(axis=1)
    u, f = gnf.energy_and_forces(system, put(positions), put(species))
    w = gnf.virial(system, put(positions), put(species))
    alone = gnf.energy(system, put(positions), put(species))
    u, f, w, alone = (to_host(value) for value in (u, f, w, alone))
    np.testing.assert_array_equal(alone, u)
    np.testing.assert_array_equal(to_host(gnf.forces(system, put(positions), put(species))), f)
    largest = np.abs(local).max(axis=1, initial=0.1)
    assert (np.abs(u - energy) <= tolerance * np.maximum(largest, np.abs(energy))).all()
    strongest = np.abs(forces).max(axis=(1, 2), initial=0.1)
    assert (np.abs(f - forces) <= tolerance * strongest[:, None, None]).all()
    widest = np.maximum(np.abs(virial).max(axis=(1, 2), initial=0.1), strongest)
    assert (np.abs(w - virial) <= tolerance * widest[:, None, None]).all()
    np.testing.assert_array_equal(w, np.swapaxes(w, 1, 2))
    assert (np.abs(f.sum(axis=1)) <= 1e-13 * system.n * strongest[:, None]).all()


def number_for(box: Array, density: float, most: int = 400) -> int:
    return max(2, min(most, round(density * float(np.prod(box)))))


# ------------------------------------------------------------------------------------------------------- against the reference


@pytest.mark.parametrize("kind", cases.KIND_NAMES)
@pytest.mark.parametrize("cells", SQUARES + CUBES, ids=str)
def test_boxes(kind: str, cells: tuple[float, ...], on_device: Put) -> None:
    pair = cases.potential(kind, 3)
    box = cases.cells_box(pair, cells)
    system = cases.mixture(pair, number_for(box, 0.9), box)
    check(system, *cases.lattice_batch(system, 2, seed=1), put=on_device)


@pytest.mark.parametrize("side", [4.0, 5.0, 6.0, 8.0, 10.0, 16.0, 32.0])
@pytest.mark.parametrize("kind", cases.KIND_NAMES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_boxes_of_round_sides(side: float, kind: str, dimension: int) -> None:
    """Powers of two and the like, where products with the inverse of the side are exact; N is no multiple of eight."""
    pair = cases.potential(kind, 2)
    box = np.full(dimension, side)
    if side < 2.0 * pair.cutoff_distance:
        pair = PairPotential(kind, np.array(pair.sigma) * 0.6, pair.epsilon)
    system = cases.mixture(pair, 2 * (number_for(box, 0.7, 300) // 2) + 1, box)
    check(system, *cases.lattice_batch(system, 1, seed=1))


@pytest.mark.parametrize("kind", cases.KIND_NAMES)
@pytest.mark.parametrize("species", [1, 2, 4, 5, 8, 9, 17])
@pytest.mark.parametrize("different_cutoffs", [False, True])
@pytest.mark.parametrize("cells", [(2.3, 2.5), (5.0, 4.1), (2.1, 2.2, 2.1), (4.1, 4.0, 3.2)], ids=str)
def test_species_and_cutoffs(kind: str, species: int, different_cutoffs: bool, cells: tuple[float, ...]) -> None:
    pair = cases.potential(kind, species, different_cutoffs=different_cutoffs)
    box = cases.cells_box(pair, cells)
    system = cases.mixture(pair, max(2 * species, number_for(box, 0.9, 200)), box)
    check(system, *cases.lattice_batch(system, 2, seed=2))


@pytest.mark.parametrize("exponent", [1, 2, 3, 12, 17, 18, 64])
@pytest.mark.parametrize("cells", [(2.3, 2.5), (5.0, 4.1)], ids=str)
def test_exponents(exponent: int, cells: tuple[float, ...]) -> None:
    pair = cases.potential("inverse_power", 2, exponent=exponent)
    box = cases.cells_box(pair, cells)
    system = cases.mixture(pair, number_for(box, 0.9), box)
    # x^-64 turns a rounding error of one ulp of x into 64.
    check(system, *cases.lattice_batch(system, 3, seed=3), tolerance=FP64_REDUCTION * max(1.0, exponent / 16.0))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 15, 16, 17, 43, 44, 300, 1290])
@pytest.mark.parametrize("dimension", [2, 3])
def test_numbers_of_particles(n: int, dimension: int) -> None:
    pair = cases.potential("lj_smooth", min(3, n))
    side = max(2.05 * pair.cutoff_distance, (n / 1.0) ** (1.0 / dimension))
    system = cases.mixture(pair, n, np.full(dimension, side))
    check(system, *cases.lattice_batch(system, 1 if n > 1000 else 3, seed=n))


@pytest.mark.parametrize("n", [43, 44, 100, 1290])
def test_ka2d(n: int) -> None:
    system = gnf.systems.ka2d(n)
    check(system, *cases.lattice_batch(system, 1 if n > 1000 else 3, seed=4))


@pytest.mark.parametrize("n", [200, 500, 1100])
def test_ka(n: int) -> None:
    system = gnf.systems.ka(n)
    check(system, *cases.lattice_batch(system, 1, seed=5))


@pytest.mark.parametrize("cells", [(2.2, 2.6), (3.0, 3.0), (4.0, 4.0), (7.0, 5.0), (2.1, 2.2, 3.0), (4.0, 4.0, 3.0)], ids=str)
@pytest.mark.parametrize("kind", cases.KIND_NAMES)
def test_particles_on_faces_edges_corners_and_cell_borders(kind: str, cells: tuple[float, ...]) -> None:
    """Coordinates are 0, box - ulp, or a border between cells, to the last bit and one ulp on either side."""
    pair = cases.potential(kind, 2)
    box = cases.cells_box(pair, cells)
    rng = np.random.default_rng(6)
    d = box.size
    sides = np.maximum(1, np.floor(box / 0.95).astype(int))
    system = cases.mixture(pair, int(min(sides.prod(), 150)), box)
    batch = []
    for _ in range(6):
        # One candidate per cell of a lattice of spacing above 1, then most coordinates pulled to a border nearby.
        lattice = np.stack(np.unravel_index(rng.choice(sides.prod(), system.n, replace=False), tuple(sides)), axis=1)
        x = lattice / sides * box
        grid = np.maximum(3, np.floor(box / pair.cutoff_distance).astype(int))
        for k in range(d):
            borders = np.arange(grid[k] + 1) / grid[k] * box[k]
            nearest = borders[np.abs(x[:, k, None] - borders).argmin(axis=1)]
            near = np.abs(nearest - x[:, k]) < 0.12
            moved = np.where(near, nearest, x[:, k])
            ulps = rng.integers(-1, 2, system.n)
            moved = np.where(ulps < 0, np.nextafter(moved, -1.0), np.where(ulps > 0, np.nextafter(moved, 1e9), moved))
            moved = np.where((lattice[:, k] == 0) & (rng.random(system.n) < 0.5), np.nextafter(box[k], 0.0), moved)
            x[:, k] = np.clip(moved, 0.0, np.nextafter(box[k], 0.0))
        batch.append(x)
    positions = np.stack(batch)
    assert (positions == 0.0).any()
    assert (positions == np.nextafter(box, 0.0)).any()
    check(system, positions, cases.shuffled_species(rng, system, len(batch)))


def test_every_corner_of_the_box_is_the_same_point() -> None:
    """Two particles near opposite corners interact as if they were next to each other."""
    for d in (2, 3):
        system = cases.mixture(cases.potential("lj_smooth", 1), 2, np.full(d, 12.0))
        centre = np.zeros((1, 2, d))
        centre[0, 0], centre[0, 1] = 6.0, 6.875
        wanted = gnf.energy(system, centre)[0]
        for corner in np.ndindex(*(2,) * d):
            for shift in (0.0, 0.5, 0.25, 0.875):
                moved = centre - 6.0 - shift + 12.0 * np.array(corner)
                assert gnf.energy(system, moved)[0] == pytest.approx(wanted, rel=1e-14)


# ------------------------------------------------------------------------------------------------------------ exact pair values


def pair_rows() -> list[dict[str, Any]]:
    content = json.loads((DATA / "pair_energies.json").read_text(encoding="utf-8"))
    return [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("through_cells", [False, True])
def test_exact_two_particle_table(dimension: int, through_cells: bool) -> None:
    rows = pair_rows()
    assert len(rows) > 200
    for row in rows:
        pair = PairPotential(row["kind"], row["sigma"], row["epsilon"], row["cutoff"], row["exponent"])
        cells = 12.0 if through_cells else 2.0
        box = np.full(dimension, max(cells * pair.cutoff_distance, 7.5))
        # Cells are used from some number of particles on: these are out of reach of the pair and of each other.
        far = [(4.0 + 1.5 * i, 4.0 + 1.5 * j, 4.0)[:dimension] for i in range(5) for j in range(5)] if through_cells else []
        system = cases.mixture(pair, 2 + len(far), box)
        positions = np.zeros((dimension, system.n, dimension))
        if through_cells:
            positions[:, 2:] = np.array(far) * pair.cutoff_distance
        for axis in range(dimension):
            positions[axis, 1, axis] = row["r"]
        u, f = gnf.energy_and_forces(system, positions)
        scale = 1e-14 * row["epsilon"] * max(1.0, row["exponent"] ** 2 / 144.0)
        np.testing.assert_allclose(u, row["energy"], rtol=FP64_REDUCTION, atol=scale, err_msg=str(row))
        for axis in range(dimension):
            wanted = np.zeros((system.n, dimension))
            wanted[1, axis] = row["force"]
            wanted[0, axis] = -row["force"]
            np.testing.assert_allclose(f[axis], wanted, rtol=FP64_REDUCTION, atol=100 * scale, err_msg=str(row))


# ------------------------------------------------------------------------------------------------------------------ derivatives


@pytest.mark.parametrize("kind", cases.KIND_NAMES)
@pytest.mark.parametrize("cells", [(2.3, 2.5), (4.2, 5.0), (2.1, 2.0, 2.4), (4.0, 3.0, 4.0)], ids=str)
def test_forces_are_minus_the_gradient(kind: str, cells: tuple[float, ...]) -> None:
    pair = cases.potential(kind, 2, different_cutoffs=kind == "lj_smooth")
    box = cases.cells_box(pair, cells)
    system = cases.mixture(pair, number_for(box, 0.9, 100), box)
    positions, species = cases.lattice_batch(system, 1, seed=7)
    forces = gnf.forces(system, positions, species)[0]
    rng = np.random.default_rng(8)
    h = 1e-4
    for particle in rng.choice(system.n, 6, replace=False):
        for axis in range(box.size):
            moved = np.repeat(positions, 4, axis=0)
            moved[:, particle, axis] += h * np.array([-2.0, -1.0, 1.0, 2.0])
            u = gnf.energy(system, moved, species[0])
            slope = (u[0] - 8.0 * u[1] + 8.0 * u[2] - u[3]) / (12.0 * h)
            # h^4 V''''' is below 1e-6 of the largest force; the kinks of cut potentials would count as h V'' or (V' - 0).
            assert forces[particle, axis] == pytest.approx(-slope, abs=1e-6 * max(1.0, np.abs(forces).max()))


@pytest.mark.parametrize("kind", ["lj_smooth", "inverse_power"])
@pytest.mark.parametrize("cells", [(2.3, 2.5), (4.2, 5.0), (2.1, 2.2, 2.4), (4.1, 3.2, 4.5)], ids=str)
def test_virial_is_the_response_to_stretching(kind: str, cells: tuple[float, ...]) -> None:
    """W_aa = -dU/d(strain_aa): box and positions are stretched together along one axis."""
    pair = cases.potential(kind, 2)
    box = cases.cells_box(pair, cells)
    system = cases.mixture(pair, number_for(box, 0.9, 150), box)
    positions, species = cases.lattice_batch(system, 1, seed=9)
    virial = gnf.virial(system, positions, species)[0]
    h = 1e-4
    for axis in range(box.size):
        u = []
        for step in (-2.0, -1.0, 1.0, 2.0):
            stretch = np.ones(box.size)
            stretch[axis] += step * h
            u.append(gnf.energy(cases.mixture(pair, system.n, box * stretch), positions * stretch, species)[0])
        slope = (u[0] - 8.0 * u[1] + 8.0 * u[2] - u[3]) / (12.0 * h)
        assert virial[axis, axis] == pytest.approx(-slope, abs=1e-6 * np.abs(virial).max())


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("cells", [2.4, 5.0])
def test_virial_is_the_response_to_shear(dimension: int, cells: float) -> None:
    """W_ab = -dU/d(strain_ab) for a cluster away from the faces, where shear does not change the box."""
    pair = cases.potential("lj_smooth", 3)
    box = np.full(dimension, cells * pair.cutoff_distance)
    rng = np.random.default_rng(10)
    cluster = np.full(dimension, 4.0 if dimension == 2 else 2.8)
    inner = cases.jittered_lattice(rng, 16, cluster) + 0.5 * (box - cluster)
    system = cases.mixture(pair, 16, box)
    virial = gnf.virial(system, inner[None])[0]
    h = 1e-4
    for a in range(dimension):
        for b in range(dimension):
            u = []
            for step in (-2.0, -1.0, 1.0, 2.0):
                sheared = inner.copy()
                sheared[:, a] += step * h * (inner[:, b] - 0.5 * box[b])
                u.append(gnf.energy(system, sheared))
            slope = (u[0] - 8.0 * u[1] + 8.0 * u[2] - u[3]) / (12.0 * h)
            assert virial[a, b] == pytest.approx(-slope, abs=1e-6 * np.abs(virial).max())


@pytest.mark.parametrize("n", [43, 300])
def test_pressure(n: int) -> None:
    system = gnf.systems.ka2d(n)
    positions, species = cases.lattice_batch(system, 3, seed=11)
    virial = reference.virial(positions, species, **reference.parameters(system))
    temperature = np.array([0.3, 0.5, 1.0])
    wanted = (n * temperature + 0.5 * np.trace(virial, axis1=1, axis2=2)) / system.volume
    pressure = gnf.pressure(system, positions, species, temperature=temperature)
    np.testing.assert_allclose(pressure, wanted, rtol=1e-11)
    assert gnf.pressure(system, positions[1], species[1], temperature=0.5) == pressure[1]
    tensor = gnf.virial(system, positions, species)
    by_observables = gnf.observables.pressure_from_virial(tensor, n, system.box, temperature)
    np.testing.assert_allclose(by_observables, wanted, rtol=1e-11)


# --------------------------------------------------------------------------------------------------------------------- overlaps


@pytest.mark.parametrize("kind", cases.KIND_NAMES)
@pytest.mark.parametrize("cells", [(2.3, 2.5), (4.2, 5.0), (2.1, 2.2, 2.4), (4.1, 3.2, 4.5)], ids=str)
def test_overlaps_are_finite(kind: str, cells: tuple[float, ...]) -> None:
    pair = cases.potential(kind, 2)
    box = cases.cells_box(pair, cells)
    system = cases.mixture(pair, 60, box)
    rng = np.random.default_rng(12)
    coincident = np.broadcast_to(0.3 * box, (60, box.size))
    doubled = np.repeat(rng.uniform(0.0, 1.0, (30, box.size)) * box, 2, axis=0)
    close = doubled + rng.uniform(0.0, 0.01, doubled.shape)
    anywhere = rng.uniform(0.0, 1.0, (60, box.size)) * box
    positions = np.mod(np.stack([coincident, doubled, close, anywhere]), box)
    u, f = gnf.energy_and_forces(system, positions)
    w = gnf.virial(system, positions)
    for value in (u, f, w):
        assert np.isfinite(value).all()
    if kind != "harmonic":
        assert (u[:3] > 1e10).all()
    np.testing.assert_array_equal(f[0], 0.0)
    np.testing.assert_array_equal(w[0], 0.0)
    wanted = reference.energy(positions, system.species, **reference.parameters(system))
    np.testing.assert_allclose(u, wanted, rtol=1e-9)  # x^-12 of a distance that is itself a small difference
    core = 0.01 * np.array(pair.sigma)
    constant = sum(float(pair.energy(core[a, b] * 0.5, a, b)) for i, a in enumerate(system.species) for b in system.species[:i])
    assert u[0] == pytest.approx(constant, rel=FP64_REDUCTION)


# ---------------------------------------------------------------------------------------- threads, batches, kinds of arrays


@pytest.mark.parametrize(("n", "replicas"), [(43, 700), (300, 40), (1290, 33), (12_000, 1), (20_000, 2)])
def test_threads_and_batching_do_not_change_a_bit(n: int, replicas: int) -> None:
    system = gnf.systems.ka2d(n)
    positions, species = cases.lattice_batch(system, replicas, seed=13)
    u, f = gnf.energy_and_forces(system, positions, species, threads=1)
    w = gnf.virial(system, positions, species, threads=1)
    for threads in (2, 3):
        u2, f2 = gnf.energy_and_forces(system, positions, species, threads=threads)
        np.testing.assert_array_equal(u2, u)
        np.testing.assert_array_equal(f2, f)
        np.testing.assert_array_equal(gnf.virial(system, positions, species, threads=threads), w)
        np.testing.assert_array_equal(gnf.energy(system, positions, species, threads=threads), u)
    for r in range(min(replicas, 5)):
        u1, f1 = gnf.energy_and_forces(system, positions[r], species[r])
        assert np.shape(u1) == ()
        assert u1 == u[r]
        np.testing.assert_array_equal(f1, f[r])
        np.testing.assert_array_equal(gnf.virial(system, positions[r], species[r]), w[r])


def test_threads_over_the_cells_of_a_large_system_in_three_dimensions() -> None:
    system = gnf.systems.ka(12_000)
    positions, species = cases.lattice_batch(system, 1, seed=14)
    u, f = gnf.energy_and_forces(system, positions, species, threads=1)
    u2, f2 = gnf.energy_and_forces(system, positions, species, threads=2)
    np.testing.assert_array_equal(u2, u)
    np.testing.assert_array_equal(f2, f)


def test_lists_and_default_species() -> None:
    positions = np.concatenate([GOOD, GOOD + 0.25])
    u = gnf.energy(SMALL, positions)
    assert type(u) is np.ndarray
    np.testing.assert_array_equal(gnf.energy(SMALL, positions.tolist()), u)
    np.testing.assert_array_equal(gnf.energy(SMALL, positions, SMALL.species), u)
    np.testing.assert_array_equal(gnf.energy(SMALL, positions, [0, 0, 1, 1]), u)
    np.testing.assert_array_equal(gnf.energy(SMALL, positions, np.tile(SMALL.species, (2, 1)).astype(np.uint8)), u)
    np.testing.assert_array_equal(gnf.energy(SMALL, positions, SMALL.species.astype(np.int64)), u)
    assert gnf.energy(SMALL, positions[0]) == u[0]
    assert gnf.energy(SMALL, positions, [0, 1, 0, 1])[0] != u[0]
    whole = [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert gnf.energy(SMALL, whole) == gnf.energy(SMALL, np.array(whole, dtype=np.float64))
    assert gnf.energy(SMALL, np.empty((0, 4, 2))).shape == (0,)
    assert gnf.forces(SMALL, np.empty((0, 4, 2))).shape == (0, 4, 2)


def test_arguments_are_not_changed_and_may_be_read_only() -> None:
    system = gnf.systems.ka2d(43)
    positions, species = cases.lattice_batch(system, 2, seed=16)
    outside = positions + 10.0
    before = [array.copy() for array in (positions, species, outside)]
    for array in (positions, outside):
        gnf.energy_and_forces(system, array, species)
    for array, old in zip((positions, species, outside), before, strict=True):
        np.testing.assert_array_equal(array, old)
        array.setflags(write=False)
    gnf.energy_and_forces(system, positions, species)
    gnf.energy_and_forces(system, outside, species)


def test_torch_tensors_are_answered_in_kind() -> None:
    torch = pytest.importorskip("torch")
    system = gnf.systems.ka2d(43)
    positions, species = cases.lattice_batch(system, 3, seed=17)
    u, f = gnf.energy_and_forces(system, positions, species)
    w = gnf.virial(system, positions, species)
    x, s = torch.from_numpy(positions), torch.from_numpy(species)
    tu, tf = gnf.energy_and_forces(system, x, s)
    tw = gnf.virial(system, x, s)
    for tensor, array in ((tu, u), (tf, f), (tw, w), (gnf.energy(system, x, s), u), (gnf.energy(system, x, species), u)):
        assert isinstance(tensor, torch.Tensor)
        assert tensor.dtype == torch.float64
        assert tensor.device.type == "cpu"
        np.testing.assert_array_equal(tensor.numpy(), array)
    one = gnf.energy(system, x[0], s[0])
    assert isinstance(one, torch.Tensor)
    assert one.shape == ()
    assert float(one) == u[0]
    strided = torch.from_numpy(np.repeat(positions, 2, axis=1))[:, ::2]
    assert not strided.is_contiguous()
    np.testing.assert_array_equal(gnf.energy(system, strided, s).numpy(), u)
    with pytest.raises(TypeError, match="^positions: expected an array of type float64, got type float32"):
        gnf.energy(system, x.float(), s)
    with pytest.raises(TypeError, match="^species: expected integers"):
        gnf.energy(system, x, s.double())


def test_layouts_that_kernels_cannot_read_are_copied() -> None:
    system = gnf.systems.ka2d(43)
    positions, species = cases.lattice_batch(system, 4, seed=18)
    u, f = gnf.energy_and_forces(system, positions, species)
    wide = np.full((4, 43, 6), np.nan)
    wide[..., ::3] = positions
    unaligned = np.frombuffer(b"x" + positions.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(positions.shape)
    assert not unaligned.flags.aligned
    for other in (np.asfortranarray(positions), wide[..., ::3], np.flip(np.flip(positions, 1).copy(), 1), unaligned):
        u2, f2 = gnf.energy_and_forces(system, other, np.asfortranarray(species))
        np.testing.assert_array_equal(u2, u)
        np.testing.assert_array_equal(f2, f)
    np.testing.assert_array_equal(gnf.energy(system, positions[::-1], species[::-1]), u[::-1])
    np.testing.assert_array_equal(gnf.energy(system, positions, np.repeat(species, 2, axis=1)[:, ::2]), u)


@pytest.mark.parametrize("shift", [1.0, -1.0, 3.0, -1000.0])
def test_coordinates_need_not_be_wrapped(shift: float) -> None:
    system = gnf.systems.ka2d(300)
    positions, species = cases.lattice_batch(system, 2, seed=19)
    moved = positions + shift * np.random.default_rng(0).integers(0, 2, positions.shape) * system.box
    wanted = gnf.energy(system, positions, species)
    np.testing.assert_allclose(gnf.energy(system, moved, species), wanted, rtol=1e-12 * max(1.0, abs(shift)))


# -------------------------------------------------------------------------------------------------------------------- bad input


def put_into_good(value: float) -> Array:
    array = GOOD.copy()
    array[0, 2, 1] = value
    return array


BAD_POSITIONS: list[tuple[Any, Any, str]] = [
    (put_into_good(np.nan), ValueError, r"positions: expected finite coordinates, got nan at index \(0, 2, 1\)"),
    (put_into_good(np.inf), ValueError, r"positions: expected finite coordinates, got inf at index \(0, 2, 1\)"),
    (put_into_good(-np.inf), ValueError, r"positions: expected finite coordinates, got -inf at index \(0, 2, 1\)"),
    (put_into_good(1e300), ValueError, r"positions: expected coordinates within"),
    (GOOD.astype(np.float32), TypeError, "positions: expected an array of type float64, got type float32"),
    (GOOD.astype(np.int64), TypeError, "positions: expected an array of type float64, got type int64"),
    (GOOD.astype(complex), TypeError, "positions: expected an array of type float64, got type complex128"),
    (GOOD.astype(">f8"), TypeError, "positions: expected an array of type float64"),
    (GOOD.astype(object), TypeError, "positions: expected"),
    (GOOD[:, :3], ValueError, r"positions: expected shape \(R, 4, 2\) or \(4, 2\), got \(1, 3, 2\)"),
    (GOOD[0, 0], ValueError, "positions: expected shape"),
    (GOOD[None], ValueError, "positions: expected shape"),
    (np.zeros((1, 4, 3)), ValueError, "positions: expected shape"),
    ("abc", TypeError, "positions: expected"),
    (None, TypeError, "positions: expected"),
    ([[["a", "b"]]], TypeError, "positions: expected"),
    ([[0.0, 1.0], [2.0]], (TypeError, ValueError), "positions: expected"),
    (5.0, ValueError, "positions: expected"),
    ([[True, False]] * 4, TypeError, "positions: expected"),
]


@pytest.mark.parametrize(("positions", "error", "message"), BAD_POSITIONS, ids=range(len(BAD_POSITIONS)))
@pytest.mark.parametrize("function", [gnf.energy, gnf.forces, gnf.energy_and_forces, gnf.virial])
def test_bad_positions(function: Callable[..., Any], positions: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        function(SMALL, positions)


@pytest.mark.parametrize(
    ("species", "error", "message"),
    [
        ([0, 0, 1, 2], ValueError, "species: expected indices from 0 to 1, got 2"),
        ([0, -1, 1, 1], ValueError, "species: expected indices from 0 to 1, got -1"),
        (np.array([0, 0, 1, 2**63], np.uint64), ValueError, "species: expected indices from 0 to 1, got 9223372036854775808"),
        ([0.0, 0.0, 1.0, 1.0], TypeError, "species: expected integers, got type float64"),
        ([False, False, True, True], TypeError, "species: expected integers, got type bool"),
        (["A", "A", "B", "B"], TypeError, "species: expected integers"),
        ([0, 0, 1], ValueError, r"species: expected shape \(1, 4\) or \(4,\), got \(3,\)"),
        ([[0, 0, 1, 1]] * 2, ValueError, r"species: expected shape \(1, 4\) or \(4,\), got \(2, 4\)"),
        (0, ValueError, "species: expected shape"),
        ([[0, 0], [1]], (TypeError, ValueError), "species: expected"),
    ],
    ids=range(10),
)
def test_bad_species(species: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        gnf.energy(SMALL, GOOD, species)


def test_other_bad_arguments() -> None:
    with pytest.raises(TypeError, match="^system: expected a System, got str"):
        gnf.energy("ka2d", GOOD)  # type: ignore[arg-type]
    for threads in (0, -1, 4097):
        with pytest.raises(ValueError, match="^threads: expected an integer from 1 to 4096"):
            gnf.energy(SMALL, GOOD, threads=threads)
    for wrong in (1.0, True, "2"):
        with pytest.raises(TypeError, match="^threads: expected an integer"):
            gnf.energy(SMALL, GOOD, threads=wrong)  # type: ignore[arg-type]
    for temperature in (0.0, -1.0, [0.0], np.nan, np.inf, [1.0, 2.0]):
        with pytest.raises(ValueError, match="^temperature: expected"):
            gnf.pressure(SMALL, GOOD, temperature=temperature)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(cases.KIND_NAMES),
    species=st.integers(1, 9),
    sides=st.lists(st.floats(2.0, 6.0), min_size=2, max_size=3),
    density=st.floats(0.05, 1.0),
    different=st.booleans(),
)
def test_any_system_agrees_with_the_reference(
    seed: int, kind: str, species: int, sides: list[float], density: float, different: bool
) -> None:
    pair = cases.potential(kind, species, different_cutoffs=different)
    box = cases.cells_box(pair, tuple(sides))
    system = cases.mixture(pair, max(species, number_for(box, density, 120)), box)
    check(system, *cases.lattice_batch(system, 1, seed=seed))


# ------------------------------------------------------------------------------------------------- equilibrium configurations


def test_committed_equilibrium_configuration() -> None:
    """A configuration of this package's own swap Monte Carlo at T = 0.3, with the energy that the NumPy reference gave it."""
    with np.load(DATA / "ka2d_n1290.npz") as data:
        positions, species, energy = data["positions"], data["species"], float(data["energy"])
    system = gnf.systems.ka2d(1290)
    assert system.composition == (600, 330, 360)
    np.testing.assert_array_equal(np.bincount(species), system.composition)
    assert gnf.energy(system, positions, species) == pytest.approx(energy, rel=FP64_REDUCTION)
    assert -2.68 < energy / 1290 < -2.55
    check(system, positions[None], species[None])


@pytest.mark.skipif(
    "GLASSNF_REFERENCE_DATA" not in os.environ,
    reason="GLASSNF_REFERENCE_DATA is not set to the folder of ka2d_n1290_T0.231.xyz, a configuration by the model's authors",
)
def test_configuration_of_the_authors_of_the_model() -> None:
    path = Path(os.environ["GLASSNF_REFERENCE_DATA"]) / "ka2d_n1290_T0.231.xyz"
    columns = np.loadtxt(path, skiprows=2)
    species, positions = columns[:, 0].astype(np.int32) - 1, np.ascontiguousarray(columns[:, 1:3])
    system = gnf.systems.ka2d(1290)
    np.testing.assert_allclose(system.box, 32.8962, rtol=1e-6)
    np.testing.assert_array_equal(np.bincount(species), system.composition)
    assert gnf.energy(system, positions, species) / 1290 == pytest.approx(-2.676832, abs=5e-7)
    expected = reference.energy(positions[None], species, **reference.parameters(system))[0]
    assert gnf.energy(system, positions, species) == pytest.approx(expected, rel=FP64_REDUCTION)
    ensemble = gnf.Ensemble.from_arrays(system, positions[None], species=species, temperature=0.231, seed=1)
    gnf.MonteCarlo(system).run(ensemble, 2)
    np.testing.assert_allclose(
        ensemble.energy, gnf.energy(system, ensemble.positions, ensemble.species), rtol=0, atol=CACHED_ENERGY
    )
