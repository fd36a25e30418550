"""The native kernels of the flow fields, against the plain reference, and what must hold of every field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cases import Array, jittered_lattice, mixture, potential, shuffled_species
from flow_reference import Field, Splines, divergence_by_complex_step, runge_kutta
from glassnf import _arrays, _core
from glassnf._native import native_system
from glassnf.flows import FlowError
from glassnf.flows._native import trajectory, velocity_and_divergence
from glassnf.flows.tables import RadialTables
from glassnf.systems import System
from tolerances import EXACT, FP64_REDUCTION

AGREEMENT = 1e-10  # of the divergence, relative to the sum of the sizes of its terms: what issue and reference ask for
SYSTEMS = [(2, 1, 20), (2, 3, 43), (3, 2, 30), (3, 5, 33)]  # dimension, species, particles
SMALL_SYSTEMS = [(2, 1, 12), (2, 3, 19), (3, 2, 15)]  # for derivatives by complex steps, one for every coordinate
LAYERS = [0, 1, 2, 3]


def system_of(d: int, n_species: int, n: int, spread: float = 1.0) -> System:
    """Return a mixture at about the density of a liquid, in a box whose sides differ."""
    side = (n / 1.1) ** (1.0 / d)
    box = side * np.array([1.0, 1.07, 0.95][:d]) * spread
    return mixture(potential("wca", n_species), n, box)


def field_of(
    system: System, seed: int, layers: int = 0, *, intervals: int = 12, reach: float | None = None, inner: float = 0.4
) -> Field:
    outer = 0.47 * float(system.box.min()) if reach is None else reach
    return Field(seed, system.n_species, outer, layers, inner=inner, intervals=intervals)


def tables_of(field: Field, scales: Any = (1.0,)) -> RadialTables:
    """Return tables with a stage for each scale of the pair functions."""
    return RadialTables(*field.table_arguments(scales))


def stages(steps: int) -> Array:
    """Return scales for so many steps, different at every stage."""
    return np.asarray(1.0 + 0.1 * np.arange(2 * steps + 1))


def batch_of(system: System, replicas: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    positions = np.stack([jittered_lattice(rng, system.n, system.box) for _ in range(replicas)])
    shift = rng.uniform(size=(replicas, 1, system.dimension)) * system.box  # so that some particles are close to the sides
    return (positions + shift) % system.box, shuffled_species(rng, system, replicas)


def close(found: Any, expected: Any, tolerance: float) -> None:
    """Compare arrays relative to the largest entry."""
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=tolerance * float(np.abs(expected).max()))


# ---- against the reference ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("d", "n_species", "n", "layers"),
    [*((*system, 0) for system in SYSTEMS), *((*system, layers) for system in SMALL_SYSTEMS for layers in (1, 2, 3))],
)
def test_field_agrees_with_reference(d: int, n_species: int, n: int, layers: int) -> None:
    system = system_of(d, n_species, n)
    field = field_of(system, 1, layers)
    positions, species = batch_of(system, 11, 2)
    v, divergence = velocity_and_divergence(system, positions, species, tables_of(field), threads=1)
    for r in range(0, 11, 10 if layers else 1):
        x, a = positions[r], species[r]
        close(v[r], field.velocity(x, a, system.box), 1e3 * FP64_REDUCTION)
        assert divergence[r] == pytest.approx(field.divergence(x, a, system.box), rel=AGREEMENT, abs=AGREEMENT)


def test_divergence_of_a_pair_field_is_the_trace_of_its_jacobian() -> None:
    system = system_of(2, 3, 20)
    field = field_of(system, 3)
    (x,), (species,) = batch_of(system, 1, 4)
    _, divergence = velocity_and_divergence(system, x, species, tables_of(field))
    expected = divergence_by_complex_step(lambda y: field.velocity(y, species, system.box), x)
    assert divergence == pytest.approx(expected, rel=AGREEMENT, abs=AGREEMENT)


@pytest.mark.parametrize("layers", LAYERS)
def test_divergence_by_finite_differences_of_the_kernel(layers: int) -> None:
    # Velocities are twice continuously differentiable: central differences of 1e-6 are good to about 1e-9 of them.
    system = system_of(2, 2, 12)
    tables = tables_of(field_of(system, 5, layers))
    (x,), (species,) = batch_of(system, 1, 6)
    step = 1e-6
    moved = np.stack([x + sign * step * unit for unit in np.eye(24).reshape(24, 12, 2) for sign in (1.0, -1.0)])
    v, _ = velocity_and_divergence(system, moved, species, tables)
    difference = (v[0::2] - v[1::2]).reshape(24, 24) / (2.0 * step)
    _, divergence = velocity_and_divergence(system, x, species, tables)
    assert divergence == pytest.approx(np.trace(difference), abs=1e-6 * float(np.abs(difference).sum()))


def test_two_particles_by_hand() -> None:
    system = mixture(potential("wca", 2), 2, np.array([6.0, 6.0]))
    # One spline of weight w on the knots 0.5, 1, ..., 2.5: at d = 1.5 it is 2/3 w with slope zero.
    weights = np.array([[[9.0], [3.0]], [[3.0], [9.0]]])
    tables = RadialTables(0.5, 2.5, Splines(0.5, 2.5, weights).table()[None, None])
    x = np.array([[0.2, 3.0], [4.7, 3.0]])  # 1.5 apart through the side of the box
    v, divergence = velocity_and_divergence(system, x, np.array([0, 1]), tables)
    np.testing.assert_allclose(v, [[2.0 * 1.5, 0.0], [-2.0 * 1.5, 0.0]], rtol=0.0, atol=1e-14)
    assert divergence == pytest.approx(2.0 * (2.0 * 2.0), abs=1e-13)


@pytest.mark.parametrize("distance", [0.0, 0.3999999, 0.4, 0.4000001, 1.0, 1.5, 1.9999999, 2.0, 2.0000001, 3.9])
def test_ends_of_the_tables(distance: float) -> None:
    system = mixture(potential("wca", 1), 2, np.array([8.0, 8.0, 8.0]))
    splines = Splines.random(np.random.default_rng(7), 1, 0.4, 2.0, 8)
    x = np.array([[1.0, 1.0, 1.0], [1.0 + distance, 1.0, 1.0]])
    v, divergence = velocity_and_divergence(system, x, None, RadialTables(0.4, 2.0, splines.table()[None, None]))
    zeros = np.zeros(1, int)
    phi = splines(np.array([distance]), zeros, zeros)[0]
    np.testing.assert_allclose(v, phi * np.array([x[0] - x[1], x[1] - x[0]]), rtol=0.0, atol=1e-13)
    slope = splines(np.array([distance]), zeros, zeros, 1)[0]
    assert divergence == pytest.approx(2.0 * (3.0 * phi + distance * slope), abs=1e-13)
    if not 0.4 < distance <= 2.0:
        assert not v.any()
        assert divergence == 0.0


# ---- trajectories ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("d", "n_species", "n", "layers", "h"),
    [(2, 3, 43, 0, 0.004), (3, 2, 30, 0, -0.006), (2, 3, 14, 1, -0.006), (2, 2, 14, 2, 0.004), (3, 1, 10, 3, -0.006)],
)
def test_trajectory_agrees_with_reference(d: int, n_species: int, n: int, layers: int, h: float) -> None:
    system = system_of(d, n_species, n)
    field, steps = field_of(system, 8, layers), 2
    scales = stages(steps)
    positions, species = batch_of(system, 10, 9)
    moved = trajectory(system, positions, species, tables_of(field, scales), h, threads=1)
    assert moved.steps == steps
    assert moved.images.dtype == np.int32
    assert layers or moved.images.any()  # some particle crosses a side
    assert ((moved.positions >= 0.0) & (moved.positions < system.box)).all()
    for r in range(0, 10, 9):

        def evaluate(stage: int, x: Array, a: Array = species[r]) -> tuple[Array, float]:
            scale = float(scales[stage])
            return field.velocity(x, a, system.box, scale), field.divergence(x, a, system.box, scale)

        end, integral = runge_kutta(evaluate, positions[r], steps, h)
        close(moved.positions[r] + moved.images[r] * system.box, end, 1e3 * FP64_REDUCTION)
        assert moved.log_jacobian[r] == pytest.approx(integral, rel=AGREEMENT, abs=AGREEMENT)


@pytest.mark.parametrize("layers", LAYERS)
def test_log_jacobian_is_that_of_the_map(layers: int) -> None:
    # The determinant of the discrete map by central differences, whose error here is about 1e-7, and the integral of the
    # divergence, which differs from it by the error of the integrator, about 1e-6 at this step.
    system = system_of(2, 2, 6)
    tables = tables_of(field_of(system, 10, layers), stages(16))
    (x,), (species,) = batch_of(system, 1, 11)
    step = 1e-5
    x = 0.1 * system.box + 0.8 * x  # no start leaves the box
    starts = np.stack([x, *(x + sign * step * unit for unit in np.eye(12).reshape(12, 6, 2) for sign in (1.0, -1.0))])
    moved = trajectory(system, starts, species, tables, 3e-4)
    ends = (moved.positions + moved.images * system.box).reshape(25, 12)
    jacobian = (ends[1::2] - ends[2::2]).T / (2.0 * step)
    sign, log_determinant = np.linalg.slogdet(jacobian)
    assert sign == 1.0
    assert abs(log_determinant) > 0.1
    assert moved.log_jacobian[0] == pytest.approx(log_determinant, abs=1e-5)


@pytest.mark.parametrize("layers", [0, 2])
def test_order_and_way_back(layers: int) -> None:
    """The error of n steps falls as n^-4, and the same stages backwards lead back."""
    system = system_of(2, 3, 43)
    field = field_of(system, 12, layers, intervals=6)
    positions, species = batch_of(system, 3, 13)

    def tables(steps: int) -> RadialTables:
        return tables_of(field, np.cos(np.linspace(0.0, 1.0, 2 * steps + 1)))  # smooth in beta

    def end(steps: int) -> Array:
        moved = trajectory(system, positions, species, tables(steps), 0.03 / steps)
        return np.append((moved.positions + moved.images * system.box).ravel(), moved.log_jacobian)

    coarse, middle, fine = end(4), end(8), end(64)
    order = np.log2(np.abs(coarse - fine).max() / np.abs(middle - fine).max())
    assert 3.3 < order < 4.7
    there = trajectory(system, positions, species, tables(64), 0.03 / 64)
    back = trajectory(system, there.positions, species, tables(64).reversed(), -0.03 / 64)
    close(back.positions + (there.images + back.images) * system.box, positions, 1e-7)
    np.testing.assert_allclose(back.log_jacobian, -there.log_jacobian, rtol=0.0, atol=1e-6)


def test_images_are_added_to() -> None:
    system = system_of(2, 1, 20)
    tables = tables_of(field_of(system, 14), stages(1))
    positions, species = batch_of(system, 2, 15)
    expected = trajectory(system, positions, species, tables, 0.02)
    images = np.full(positions.shape, 7, np.int32)
    call_trajectory(system, positions, species, tables, 0.02, images=images)
    np.testing.assert_array_equal(images, expected.images + 7)


def call_trajectory(
    system: System, positions: Array, species: Array, tables: RadialTables, h: float, *, images: Array, threads: int = 1
) -> Array:
    """Call the kernel itself, which checks no values: positions are moved in place, the log Jacobians returned."""
    log_jacobian = np.zeros(positions.shape[0])
    _core.flow_trajectory(
        native_system(system),
        replicas=positions.shape[0],
        positions=_arrays.address(positions),
        images=_arrays.address(images),
        species=_arrays.address(species),
        log_jacobian=_arrays.address(log_jacobian),
        inner=tables.inner,
        outer=tables.outer,
        intervals=tables.intervals,
        pair=_arrays.address(tables.pair),
        layers=tables.layers,
        message_inner=tables.message_inner,
        message_outer=tables.message_outer,
        message_intervals=tables.message_intervals,
        messages=_arrays.address(tables.messages),
        steps=tables.steps,
        step_size=h,
        threads=threads,
    )
    return log_jacobian


# ---- the same bits -----------------------------------------------------------------------------------------------------------


def same_transport(a: Any, b: Any) -> None:
    for name in ("positions", "images", "log_jacobian"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize(
    ("d", "n_species", "n", "layers", "search"),
    [
        (2, 3, 43, 0, 1),
        (3, 2, 30, 0, 1),
        (2, 3, 400, 0, 2),
        (3, 2, 300, 0, 2),
        (2, 3, 43, 1, 1),
        (2, 3, 300, 1, 2),
        (2, 3, 43, 2, 1),
        (3, 2, 30, 3, 1),
        (2, 2, 150, 2, 2),
    ],
)
def test_threads_batches_instruction_sets(
    d: int, n_species: int, n: int, layers: int, search: int, instruction_set: Any
) -> None:
    system = system_of(d, n_species, n)
    tables = tables_of(field_of(system, 16, layers, reach=0.3 * float(system.box.min())), stages(2))
    positions, species = batch_of(system, 11, 17)
    expected = trajectory(system, positions, species, tables, 0.004, threads=1, search=search)
    field = velocity_and_divergence(system, positions, species, tables, stage=2, threads=1, search=search)
    for threads in (2, 3, 7):
        same_transport(trajectory(system, positions, species, tables, 0.004, threads=threads, search=search), expected)
    for r in (0, 4, 10):
        one = slice(r, r + 1)
        alone = trajectory(system, positions[one], species[one], tables, 0.004, threads=1, search=search)
        np.testing.assert_array_equal(alone.positions, expected.positions[one])
        np.testing.assert_array_equal(alone.log_jacobian, expected.log_jacobian[one])
    for name in _core.instruction_sets():
        instruction_set(name)
        same_transport(trajectory(system, positions, species, tables, 0.004, threads=1, search=search), expected)
        again = velocity_and_divergence(system, positions, species, tables, stage=2, threads=1, search=search)
        for found, wanted in zip(again, field, strict=True):
            np.testing.assert_array_equal(found, wanted, err_msg=name)


@pytest.mark.parametrize("layers", [0, 1])
def test_company_of_another_composition(layers: int) -> None:
    """Eight replicas side by side may have species in different numbers; none of them notices."""
    system = system_of(2, 3, 20)
    tables = tables_of(field_of(system, 18, layers), stages(1))
    positions, species = batch_of(system, 8, 19)
    species[1], species[2, :7], species[5] = 2, 0, [0, 1] * 10
    together = trajectory(system, positions, species, tables, 0.01, threads=1)
    for r in range(8):
        alone = trajectory(system, positions[r : r + 1], species[r : r + 1], tables, 0.01)
        close(alone.positions, together.positions[r : r + 1], EXACT)
        np.testing.assert_array_equal(alone.log_jacobian, together.log_jacobian[r : r + 1])


# ---- cells -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize(
    ("d", "n_species", "n", "cells"), [(2, 1, 250, 3.02), (2, 3, 400, 6.4), (3, 2, 500, 3.01), (3, 5, 600, 4.2)]
)
def test_cells_agree_with_all_pairs(d: int, n_species: int, n: int, cells: float, layers: int) -> None:
    system = system_of(d, n_species, n)
    tables = tables_of(field_of(system, 20, layers, reach=float(system.box.min()) / cells, inner=0.0), stages(2))
    positions, species = batch_of(system, 2, 21)
    pairs = velocity_and_divergence(system, positions, species, tables, search=1)
    by_cells = velocity_and_divergence(system, positions, species, tables, search=2)
    for found, expected in zip(by_cells, pairs, strict=True):
        close(found, expected, 20.0 * FP64_REDUCTION)
    h = 0.05 / float(np.abs(pairs[0]).max())  # so that particles move about a tenth
    pairs, by_cells = (trajectory(system, positions, species, tables, h, search=search) for search in (1, 2))
    unwrapped = [moved.positions + moved.images * system.box for moved in (pairs, by_cells)]
    close(unwrapped[1], unwrapped[0], 20.0 * FP64_REDUCTION)
    close(by_cells.log_jacobian, pairs.log_jacobian, 20.0 * FP64_REDUCTION)


def test_cells_need_three_a_side() -> None:
    system = system_of(2, 1, 250)
    tables = tables_of(field_of(system, 20, reach=float(system.box.min()) / 2.9))
    with pytest.raises(ValueError, match="search: expected a box of three"):
        velocity_and_divergence(system, *batch_of(system, 1, 1), tables, search=2)


# ---- symmetries --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "search"), [(0, 1), (0, 2), (1, 1), (1, 2), (3, 1)])
def test_equivariance(layers: int, search: int) -> None:
    n = 300
    system = mixture(potential("wca", 3), n, np.full(3, 7.0))
    tables = tables_of(field_of(system, 22, layers, reach=2.2), stages(1))
    (x,), (species,) = batch_of(system, 1, 23)
    h = 0.05 / float(np.abs(velocity_and_divergence(system, x, species, tables)[0]).max())

    def moved(positions: Array, kinds: Array = species) -> tuple[Array, float]:
        result = trajectory(system, positions, kinds, tables, h, search=search)
        return result.positions[0], float(result.log_jacobian[0])

    end, log_jacobian = moved(x)
    order, shift = np.random.default_rng(24).permutation(n), np.array([0.3, -1.7, 11.0])
    cases = {
        "permutation": (moved(x[order], species[order]), end[order]),
        "translation": (moved(x + shift), end + shift),
        "axes": (moved(x[:, [2, 0, 1]]), end[:, [2, 0, 1]]),
        "reflection": (moved(x * [-1.0, 1.0, -1.0]), end * [-1.0, 1.0, -1.0]),
    }
    for name, ((found, found_log_jacobian), expected) in cases.items():
        difference = found - expected
        difference -= 7.0 * np.rint(difference / 7.0)
        assert np.abs(difference).max() < 1e-11, name
        assert found_log_jacobian == pytest.approx(log_jacobian, rel=1e-11), name


# ---- bad input ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, 1e18])
@pytest.mark.parametrize(("n", "reach", "layers"), [(20, 1.5, 0), (400, 2.0, 0), (20, 1.5, 2), (400, 2.0, 1)])
def test_lost_positions_stay_in_their_replica(bad: float, n: int, reach: float, layers: int) -> None:
    system = system_of(2, 2, n)
    tables = tables_of(field_of(system, 25, layers, reach=reach), stages(1))
    positions, species = batch_of(system, 9, 26)
    fine = trajectory(system, positions, species, tables, 0.004, threads=1)
    broken, images = positions.copy(), np.zeros(positions.shape, np.int32)
    broken[4, 3, 1] = bad
    log_jacobian = call_trajectory(system, broken, species, tables, 0.004, images=images)
    others = np.arange(9) != 4
    assert not np.isfinite(log_jacobian[4])
    np.testing.assert_array_equal(log_jacobian[others], fine.log_jacobian[others])
    np.testing.assert_array_equal(broken[others], fine.positions[others])
    np.testing.assert_array_equal(images[others], fine.images[others])


@pytest.mark.parametrize(("n", "reach", "layers"), [(20, 1.5, 0), (400, 2.0, 0), (20, 1.5, 3), (400, 2.0, 1)])
def test_fields_that_blow_up_are_reported(n: int, reach: float, layers: int) -> None:
    system = system_of(2, 2, n)
    wild = tables_of(field_of(system, 27, layers, reach=reach), 1e200 * stages(2))
    positions, species = batch_of(system, 3, 28)
    with pytest.raises(FlowError, match="lost 3 of 3 configurations, the first of them number 0") as error:
        trajectory(system, positions, species, wild, 1.0)
    assert error.value.replicas == (0, 1, 2)


def test_arguments() -> None:
    system = system_of(2, 2, 20)
    tables = tables_of(field_of(system, 29), (1.0, 1.1))
    positions, species = batch_of(system, 2, 30)
    with pytest.raises(ValueError, match=r"tables: expected 2 n \+ 1 stages"):
        trajectory(system, positions, species, tables, 0.1)
    with pytest.raises(ValueError, match="stage: expected an integer from 0 to 1, got 2"):
        velocity_and_divergence(system, positions, species, tables, stage=2)
    with pytest.raises(TypeError, match="tables: expected RadialTables, got dict"):
        velocity_and_divergence(system, positions, species, {})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="beta_step: expected a finite number"):
        trajectory(system, positions, species, tables.stage(0), np.inf)
    with pytest.raises(ValueError, match="positions: expected finite"):
        velocity_and_divergence(system, np.where(positions == positions[0, 0, 0], np.nan, positions), species, tables)
    with pytest.raises(ValueError, match="tables: expected functions of 3 species, got 2"):
        velocity_and_divergence(system_of(2, 3, 20), positions, species, tables)
    with pytest.raises(ValueError, match="tables: expected functions that end within half of the box"):
        velocity_and_divergence(mixture(potential("wca", 2), 20, np.full(2, 1.99 * tables.outer)), positions, species, tables)


def test_dense_jacobians_have_a_limit() -> None:
    system = system_of(2, 1, 1025)
    tables = tables_of(field_of(system, 35, 2, reach=2.0))
    with pytest.raises(ValueError, match="layers: expected at most one for more than 1024 particles, got 2"):
        velocity_and_divergence(system, *batch_of(system, 1, 36), tables)


def test_empty_and_single() -> None:
    system = system_of(2, 2, 20)
    tables = tables_of(field_of(system, 31, 1), stages(1))
    positions, species = batch_of(system, 2, 32)
    v, divergence = velocity_and_divergence(system, positions[:0], species[:0], tables)
    assert v.shape == (0, 20, 2)
    assert divergence.shape == (0,)
    assert trajectory(system, positions[:0], species[:0], tables, 0.1).positions.shape == (0, 20, 2)
    one, its_divergence = velocity_and_divergence(system, positions[1], species[1], tables)
    both, divergences = velocity_and_divergence(system, positions, species, tables)
    np.testing.assert_array_equal(one, both[1])
    assert its_divergence == divergences[1]
    still = trajectory(system, positions, species, tables.stage(0), 0.1)
    np.testing.assert_array_equal(still.positions, positions)
    assert not still.log_jacobian.any()


# ---- tables ------------------------------------------------------------------------------------------------------------------


def test_tables_are_checked() -> None:
    good = Splines.random(np.random.default_rng(33), 2, 0.5, 2.0, 8).table()[None, None]
    tables = RadialTables(0.5, 2.0, good)
    assert (tables.stages, tables.layers, tables.n_species, tables.intervals, tables.steps) == (1, 0, 2, 8, 0)
    assert tables.pair.ctypes.data % 64 == 0
    assert not tables.pair.flags.writeable
    with pytest.raises(ValueError, match="outer: expected a number above inner"):
        RadialTables(2.0, 2.0, good)
    with pytest.raises(ValueError, match="pair: expected shape"):
        RadialTables(0.5, 2.0, good[..., :3])
    with pytest.raises(ValueError, match=r"pair: expected shape \(stages, L \+ 1, S, S"):
        RadialTables(0.5, 2.0, good[:, :, :1])
    with pytest.raises(ValueError, match="pair: expected finite numbers"):
        RadialTables(0.5, 2.0, np.where(good == good.max(), np.nan, good))
    with pytest.raises(ValueError, match="pair: expected 3 to"):
        RadialTables(0.5, 2.0, good[..., :2, :])
    lopsided = good.copy()
    lopsided[0, 0, 0, 1] *= 2.0
    with pytest.raises(ValueError, match="pair: expected the same function for species a, b and b, a"):
        RadialTables(0.5, 2.0, lopsided)
    with pytest.raises(ValueError, match="messages: expected those of 1 layers, got None"):
        RadialTables(0.5, 2.0, np.repeat(good, 2, axis=1))
    with pytest.raises(ValueError, match=r"messages: expected shape .* = \(1, 1, 2, 2, 2\) with 1 to 3 layers"):
        RadialTables(0.5, 2.0, np.repeat(good, 2, axis=1), 0.5, 1.5, np.repeat(good, 3, axis=1)[:, None])
    with pytest.raises(ValueError, match="message_outer: expected a number above message_inner"):
        RadialTables(0.5, 2.0, np.repeat(good, 2, axis=1), 0.5, 0.5, np.repeat(good, 2, axis=1)[:, None])


@pytest.mark.parametrize(("row", "column"), [(4, 0), (4, 1), (8, 3), (1, 0), (1, 2)])
def test_tables_without_smooth_joints(row: int, column: int) -> None:
    table = Splines.random(np.random.default_rng(34), 2, 0.5, 2.0, 8).table()[None, None]
    good = table.copy()
    table[0, 0, 1, 1, row, column] += 1e-3
    with pytest.raises(
        ValueError, match=r"pair: expected functions twice .* got a jump of .* of the function at \(0, 0, 1, 1\)"
    ):
        RadialTables(0.5, 2.0, table)
    good[0, 0, 0, 0, 0, 0] = 1e-3
    with pytest.raises(ValueError, match="pair: expected zeros in the first and last row"):
        RadialTables(0.5, 2.0, good)
