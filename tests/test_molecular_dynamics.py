"""Molecular dynamics against the plain NumPy reference, exact properties of its integrators, and the same bits everywhere."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import cases
import glassnf as gnf
from glassnf import _core
from glassnf._arrays import to_host
from glassnf.certify import reference
from glassnf.samplers import BlowUpError, MolecularDynamics, MonteCarlo
from tolerances import CACHED_ENERGY, FALSE_ALARM, STATISTICAL

pytest.importorskip("scipy.stats")

Array = npt.NDArray[Any]
THERMOSTATS = ("nve", "langevin", "rescaling")


def liquid(replicas: int = 3, n: int = 43, temperature: float = 0.6) -> gnf.Ensemble:
    """Return a relaxed liquid with velocities, the same at every call."""
    ensemble = cases.small(replicas, temperature, n)
    MonteCarlo(ensemble.system, threads=1).equilibrate(ensemble, sweeps=60)
    ensemble.draw_velocities()
    return ensemble


def assert_same(a: gnf.Ensemble, b: gnf.Ensemble) -> None:
    np.testing.assert_array_equal(to_host(a.velocities), to_host(b.velocities), err_msg="velocities")
    cases.assert_identical(a, b)


def use_search(monkeypatch: pytest.MonkeyPatch, search: int) -> None:
    """Make native calls find neighbours in one way: 1 all pairs, 2 lists."""
    original = _core.molecular_dynamics
    monkeypatch.setattr(_core, "molecular_dynamics", lambda *a, **k: original(*a, **k, search=search))


# ------------------------------------------------------------------------------------------------------- against the reference


def verlet(system: gnf.systems.System, x: Array, v: Array, species: Array, timestep: float, steps: int) -> tuple[Array, Array]:
    """Integrate unwrapped coordinates by velocity Verlet with the forces of the reference."""
    box = np.array(system.box)

    def forces(at: Array) -> Array:
        return np.asarray(reference.forces(at % box, species, **reference.parameters(system)))

    f = forces(x)
    for _ in range(steps):
        v = v + 0.5 * timestep * f
        x = x + timestep * v
        f = forces(x)
        v = v + 0.5 * timestep * f
    return x, v


SYSTEMS = [
    (kind, dimension, cells)
    for kind, dimension, cells in itertools.product(cases.KIND_NAMES, (2, 3), (2.1, 4.3))
    if not (dimension == 3 and cells > 3 and kind != "lj_smooth")
]


@pytest.mark.parametrize("kind, dimension, cells", SYSTEMS)
@pytest.mark.parametrize("search", [1, 2])
def test_velocity_verlet_of_every_potential(
    kind: str, dimension: int, cells: float, search: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_search(monkeypatch, search)
    pair = cases.potential(kind, 3, different_cutoffs=True)
    box = cases.cells_box(pair, (cells,) * dimension)
    n = int(0.6 * float(np.prod(box)))
    system = cases.mixture(pair, min(n, 300), box)
    positions, species = cases.lattice_batch(system, 2, seed=3)
    ensemble = gnf.Ensemble.from_arrays(system, positions, species=species, temperature=0.5, seed=1)
    ensemble.draw_velocities()
    start = ensemble.copy()
    MolecularDynamics(system, timestep=0.002, thermostat="nve", threads=1).run(ensemble, 20)
    x, v = verlet(system, start.unwrapped(), start.velocities, start.species, 0.002, 20)
    np.testing.assert_allclose(ensemble.unwrapped(), x, rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(ensemble.velocities, v, rtol=0.0, atol=1e-8)
    np.testing.assert_allclose(
        ensemble.energy, gnf.energy(system, ensemble.positions, ensemble.species), rtol=0.0, atol=CACHED_ENERGY
    )


def test_energy_is_that_of_monte_carlo_bit_for_bit(device: str) -> None:
    ensemble = liquid().to(device)
    MolecularDynamics(ensemble.system, threads=1).run(ensemble, 50)
    energy = to_host(ensemble.energy).copy()
    MonteCarlo(ensemble.system, threads=1).run(ensemble, 0)
    np.testing.assert_array_equal(energy, to_host(ensemble.energy))


# --------------------------------------------------------------------------------------------------- properties that are exact


def test_energy_error_grows_as_the_square_of_the_time_step() -> None:
    start = liquid(16, temperature=0.5)
    error = []
    for timestep in (0.008, 0.004, 0.002):
        ensemble = start.copy()
        md = MolecularDynamics(start.system, timestep=timestep, thermostat="nve", threads=2)
        record = md.run(ensemble, round(8.0 / timestep), record_every=round(0.08 / timestep))
        first = start.energy + 0.5 * (start.velocities**2).sum(axis=(1, 2))
        deviation = record.total_energy - first
        error.append(math.sqrt(float((deviation**2).mean())))
    ratios = np.array(error[:-1]) / np.array(error[1:])
    # Second order: 4. Higher orders and the different times of the records leave a few percent.
    assert ((ratios > 3.5) & (ratios < 4.6)).all(), ratios


def test_no_drift_of_the_energy_over_a_long_run() -> None:
    ensemble = liquid(8, temperature=0.5)
    md = MolecularDynamics(ensemble.system, timestep=0.004, thermostat="nve", threads=2)
    record = md.run(ensemble, 50_000, record_every=100)
    half = len(record.time) // 2
    change = record.total_energy[half:].mean(axis=0) - record.total_energy[:half].mean(axis=0)
    noise = record.total_energy.std(axis=0)
    assert np.abs(change).max() < 0.5 * noise.max()
    assert np.abs(record.total_energy - record.total_energy[0]).max() < 0.1  # of about 43 * 2.4


def test_time_reversal() -> None:
    ensemble = liquid()
    start = ensemble.copy()
    md = MolecularDynamics(ensemble.system, timestep=0.004, thermostat="nve", threads=1)
    md.run(ensemble, 100)
    ensemble.velocities *= -1.0
    md.run(ensemble, 100)
    np.testing.assert_allclose(ensemble.unwrapped(), start.unwrapped(), rtol=0.0, atol=1e-7)
    np.testing.assert_allclose(-ensemble.velocities, start.velocities, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("thermostat", ["nve", "rescaling"])
@pytest.mark.parametrize("n", [43, 172])
def test_momentum_is_conserved(thermostat: str, n: int) -> None:
    ensemble = liquid(2, n)
    MolecularDynamics(ensemble.system, thermostat=thermostat, threads=1).run(ensemble, 500)
    assert np.abs(ensemble.velocities.sum(axis=1)).max() < 1e-9


def test_records_are_those_of_single_steps() -> None:
    ensemble = liquid()
    again = ensemble.copy()
    md = MolecularDynamics(ensemble.system, threads=1)
    record = md.run(ensemble, 30, record_at=[1, 7, 30], record_positions=True, record_velocities=True)
    np.testing.assert_array_equal(record.steps, again.step + np.array([1, 7, 30]))
    np.testing.assert_allclose(record.time, np.array([1, 7, 30]) * md.timestep)
    for place, steps in enumerate((1, 6, 23)):
        md.run(again, steps)
        np.testing.assert_array_equal(record.positions[place], again.unwrapped())
        np.testing.assert_array_equal(record.velocities[place], again.velocities)
        np.testing.assert_array_equal(record.species[place], again.species)
        np.testing.assert_array_equal(record.energy[place], again.energy)
        kinetic = 0.5 * (again.velocities**2).sum(axis=(1, 2))
        np.testing.assert_allclose(record.kinetic_energy[place], kinetic, rtol=0.0, atol=1e-8)
    np.testing.assert_array_equal(record.total_energy, record.energy + record.kinetic_energy)
    assert_same(ensemble, again)


# ----------------------------------------------------------------------------------------------------------- random velocities


def test_drawn_velocities_are_normal() -> None:
    from scipy.stats import kstest

    system = gnf.systems.ka2d(43)
    ensemble = gnf.Ensemble.random(system, 400, temperature=0.7, seed=3)
    ensemble.draw_velocities()
    assert np.abs(ensemble.velocities.mean(axis=1)).max() < 1e-14
    # Taking the mean off leaves a variance of T (1 - 1/N).
    scaled = ensemble.velocities / math.sqrt(0.7 * (1 - 1 / 43))
    # KS of 34,400 nearly independent numbers: false alarm 1e-5.
    assert kstest(scaled.ravel(), "norm").pvalue > FALSE_ALARM
    assert kstest(scaled[:, 0, 0] * scaled[:, 1, 1], scaled[:, 0, 1] * scaled[:, 1, 0]).pvalue > FALSE_ALARM


def test_drawn_velocities_belong_to_seed_step_id_and_temperature() -> None:
    ensemble = cases.small(4)
    ensemble.draw_velocities()
    first = ensemble.velocities.copy()
    part = ensemble[[2, 0]]
    part.draw_velocities()
    np.testing.assert_array_equal(part.velocities, first[[2, 0]])
    ensemble.step += 1
    ensemble.draw_velocities()
    assert (ensemble.velocities != first).all()
    ensemble.step -= 1
    ensemble.beta[:] /= 4.0
    ensemble.draw_velocities()
    np.testing.assert_allclose(ensemble.velocities, 2.0 * first, rtol=1e-14)


# ---------------------------------------------------------------------------------------------------- the same bits everywhere


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("n", [43, 172])
def test_threads_batches_and_searches(thermostat: str, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = liquid(11 if n == 43 else 3, n)
    md = MolecularDynamics(start.system, thermostat=thermostat, threads=1)
    expected = start.copy()
    md.run(expected, 150)
    for threads in (2, 3):
        other = start.copy()
        MolecularDynamics(start.system, thermostat=thermostat, threads=threads).run(other, 150)
        assert_same(expected, other)
    single = start[1]
    md.run(single, 150)
    assert_same(single, expected[1])
    for search in (1, 2):
        with monkeypatch.context() as patch:
            use_search(patch, search)
            other = start.copy()
            md.run(other, 150)
            assert_same(expected, other)


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("name", ["avx512", "avx2", "baseline"])
def test_instruction_sets(thermostat: str, name: str, instruction_set: Any) -> None:
    if name not in _core.instruction_sets():
        pytest.skip(f"this machine has no {name}")
    start = liquid(3, 172)
    md = MolecularDynamics(start.system, thermostat=thermostat, threads=1, swap_every=20)
    results = []
    for choice in (name, "baseline"):
        instruction_set(choice)
        ensemble = start.copy()
        md.run(ensemble, 60)
        results.append(ensemble)
    assert_same(*results)


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("n, swap_every", [(43, None), (172, None), (43, 7)])
def test_run_save_load_run(thermostat: str, n: int, swap_every: int | None, tmp_path: Path) -> None:
    whole = liquid(3, n)
    pieces = whole.copy()
    md = MolecularDynamics(whole.system, thermostat=thermostat, swap_every=swap_every, threads=1)
    record = md.run(whole, 100, record_every=10)
    first = md.run(pieces, 33, record_at=[10, 20, 30])
    pieces.save(tmp_path / "state.h5")
    pieces = gnf.Ensemble.load(tmp_path / "state.h5")
    second = md.run(pieces, 67, record_at=[7, 17, 27, 37, 47, 57, 67])
    assert_same(whole, pieces)
    np.testing.assert_array_equal(record.energy, np.concatenate([first.energy, second.energy]))
    np.testing.assert_array_equal(record.kinetic_energy, np.concatenate([first.kinetic_energy, second.kinetic_energy]))


@pytest.mark.parametrize("step", [2**32 - 40, 2**40])
def test_large_steps(step: int) -> None:
    whole = liquid()
    whole.step = step
    pieces = whole.copy()
    md = MolecularDynamics(whole.system, threads=1)
    md.run(whole, 80)
    for _ in range(4):
        md.run(pieces, 20)
    assert_same(whole, pieces)


def test_explorer_protocol() -> None:
    a, b = liquid(8), liquid(8)
    md = MolecularDynamics(a.system, threads=1)
    assert isinstance(md, gnf.samplers.Explorer)
    record = md.run(a, 40)
    md.prepare(b, 40)
    assert md.explore(b, 15) + md.explore(b, 25) == record.pair_evaluations == 8 * 40 * 43 * 42 // 2
    assert_same(a, b)


# ----------------------------------------------------------------------------------------------------------------------- swaps


@pytest.mark.parametrize("n", [43, 172])
def test_hybrid_is_dynamics_and_swap_sweeps_in_turn(n: int) -> None:
    """Forces are those of the species after the swaps: the hybrid equals stretches of dynamics between sweeps of swaps."""
    hybrid = liquid(4, n, temperature=1.0)
    by_hand = hybrid.copy()
    record = MolecularDynamics(hybrid.system, swap_every=5, threads=1).run(hybrid, 60)
    md, mc = MolecularDynamics(hybrid.system, threads=1), MonteCarlo(hybrid.system, swap_probability=1.0, threads=1)
    accepted = np.zeros_like(record.swap_accepts)
    done = 0
    while done < 60:
        count = min(5 - by_hand.step % 5, 60 - done)
        md.run(by_hand, count)
        done += count
        if by_hand.step % 5 == 0:
            by_hand.step -= 1  # the random numbers of the step that was: Monte Carlo from here on has others
            swaps = mc.run(by_hand, 1)
            accepted += swaps.swap_accepts
    assert record.swap_accepts.sum() > 0
    np.testing.assert_array_equal(accepted, record.swap_accepts)
    assert_same(hybrid, by_hand)


# --------------------------------------------------------------------------------------------------------------------- trouble


def test_a_time_step_that_blows_up() -> None:
    ensemble = liquid(12)
    ensemble.velocities[9] *= 40.0
    before = ensemble.copy()
    md = MolecularDynamics(ensemble.system, timestep=0.02, thermostat="nve", threads=2)
    with pytest.raises(BlowUpError, match=r"blew up at step \d+ in replica 9: .* timestep") as caught:
        md.run(ensemble, 10_000)
    assert caught.value.replica == 9
    assert before.step < caught.value.step <= before.step + 50
    assert_same(ensemble, before)


def test_a_blow_up_in_the_last_step_of_a_call() -> None:
    """Two particles that meet: the step that throws them apart is the last, and must not be taken."""
    pair = cases.potential("lj_shifted", 1)
    system = gnf.systems.custom("two", potential=pair, species=[0, 0], box=[6.0, 6.0])
    positions = [[[2.0, 3.0], [3.0, 3.0]]]
    velocities = [[[95.0, 0.0], [-95.0, 0.0]]]
    ensemble = gnf.Ensemble.from_arrays(system, positions, velocities=velocities, temperature=1.0, seed=1)
    before = ensemble.copy()
    with pytest.raises(BlowUpError) as caught:
        MolecularDynamics(system, timestep=0.005, thermostat="nve").run(ensemble, 1, record_every=1)
    assert caught.value.step == 1
    assert_same(ensemble, before)


def test_a_native_call_that_fails_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = liquid()
    before = ensemble.copy()

    def half_way(*args: Any, **kwargs: Any) -> None:
        ensemble.positions[0] += 0.01
        raise MemoryError

    monkeypatch.setattr(_core, "molecular_dynamics", half_way)
    with pytest.raises(MemoryError):
        MolecularDynamics(ensemble.system).run(ensemble, 10)
    assert_same(ensemble, before)


@pytest.mark.parametrize("dimension", [2, 3])
def test_boxes_whose_side_is_a_power_of_two(dimension: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are padded with a place far away, which must not come back by whole boxes."""
    system = gnf.systems.custom(
        "cube", potential=cases.potential("lj_smooth", 2), species=[0] * 14 + [1] * 15, box=[8.0] * dimension
    )
    positions, species = cases.lattice_batch(system, 2, seed=4)
    results = []
    for search in (1, 2):
        with monkeypatch.context() as patch:
            use_search(patch, search)
            ensemble = gnf.Ensemble.from_arrays(system, positions, species=species, temperature=0.3, seed=1)
            MolecularDynamics(system, timestep=0.002, threads=1).run(ensemble, 100)
            results.append(ensemble)
    assert_same(*results)


@pytest.mark.parametrize("search", [1, 2])
def test_overlapping_particles_blow_up(search: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use_search(monkeypatch, search)
    ensemble = liquid()
    ensemble.positions[1, 3] = ensemble.positions[1, 4]
    ensemble.update_energy()
    before = ensemble.copy()
    with pytest.raises(BlowUpError) as caught:
        MolecularDynamics(ensemble.system, threads=1).run(ensemble, 10)
    assert (caught.value.replica, caught.value.step) == (1, before.step + 1)
    assert_same(ensemble, before)


def test_a_blow_up_keeps_what_went_before() -> None:
    ensemble = liquid()
    md = MolecularDynamics(ensemble.system, timestep=0.004, threads=1)
    md.run(ensemble, 60)
    again = ensemble.copy()
    ensemble.velocities[0, 0] = 70.0
    kept = ensemble.copy()
    with pytest.raises(BlowUpError):
        MolecularDynamics(ensemble.system, timestep=0.05, threads=1).run(ensemble, 500)
    assert_same(ensemble, kept)
    ensemble.velocities[...] = again.velocities
    md.run(ensemble, 10)
    md.run(again, 10)
    assert_same(ensemble, again)


def test_interrupts_between_native_calls() -> None:
    whole, pieces = liquid(), liquid()
    md = MolecularDynamics(whole.system, threads=1, swap_every=10)
    md.run(whole, 300)

    def stop(done: int, total: int, info: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    target = whole.step
    while pieces.step < target:
        with pytest.raises(KeyboardInterrupt):
            md._pace = 1e-4
            md.run(pieces, target - pieces.step, progress=stop)
    assert_same(whole, pieces)


def test_progress_says_what_is_happening() -> None:
    ensemble = liquid()
    seen: list[tuple[int, int, dict[str, Any]]] = []
    MolecularDynamics(ensemble.system, threads=1, swap_every=10).run(ensemble, 200, progress=lambda *a: seen.append(a))
    assert seen[-1][:2] == (200, 200)
    assert {"energy_per_particle", "kinetic_temperature", "swap_acceptance"} <= set(seen[-1][2])
    assert 0.3 < seen[-1][2]["kinetic_temperature"] < 1.0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"timestep": 0.0}, "timestep: expected a positive finite number"),
        ({"timestep": math.nan}, "timestep: expected a positive finite number"),
        ({"thermostat": "berendsen"}, "thermostat: expected one of 'nve', 'langevin', 'rescaling'"),
        ({"friction": -1.0}, "friction: expected a positive finite number"),
        ({"relaxation_time": 0}, "relaxation_time: expected a positive finite number"),
        ({"swap_every": 0}, "swap_every: expected an integer from 1"),
        ({"swap_every": 2**70}, "swap_every: expected an integer from 1"),
        ({"swap_every": 1.5}, "swap_every: expected an integer from 1"),
        ({"threads": 0}, "threads: expected an integer from 1"),
        ({"swap_weights": [[0, -1, 0], [-1, 0, 0], [0, 0, 0]]}, "swap_weights: expected a symmetric matrix"),
    ],
)
def test_bad_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        MolecularDynamics(gnf.systems.ka2d(43), **arguments)


def test_bad_runs() -> None:
    ensemble = liquid()
    before = ensemble.copy()
    md = MolecularDynamics(ensemble.system)
    with pytest.raises(ValueError, match="steps: expected a non-negative integer, got -1"):
        md.run(ensemble, -1)
    with pytest.raises(ValueError, match="record_at: expected either"):
        md.run(ensemble, 10, record_every=1, record_at=[1])
    with pytest.raises(TypeError, match="record_velocities: expected True or False"):
        md.run(ensemble, 10, record_velocities=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ensemble: expected one of the sampler's system"):
        md.run(cases.small(n=44), 10)
    with pytest.raises(TypeError, match="ensemble: expected an Ensemble"):
        md.run("run.h5", 10)  # type: ignore[arg-type]
    assert_same(ensemble, before)
    ensemble.velocities[1, 2, 0] = math.nan
    with pytest.raises(ValueError, match="velocities: expected"):
        md.run(ensemble, 10)
    ensemble = liquid()
    ensemble.beta[1] = 0.0
    with pytest.raises(ValueError, match="beta: expected positive numbers"):
        md.run(ensemble, 10)
    one = gnf.systems.custom("one", potential=cases.potential("wca", 1), species=[0] * 4, box=[4.0, 4.0])
    with pytest.raises(ValueError, match="swap_every: expected None in a system without unlike"):
        MolecularDynamics(one, swap_every=10)


def test_statistical_sigma_is_used() -> None:
    """Kinetic temperature of a Langevin run against its target, from independent replicas."""
    ensemble = liquid(64, temperature=0.8)
    MolecularDynamics(ensemble.system, timestep=0.003, threads=2, friction=5.0).run(ensemble, 1000)
    square = (ensemble.velocities**2).sum(axis=(1, 2)) / (43 * 2)
    assert abs(square.mean() - 0.8) < STATISTICAL * 0.8 * math.sqrt(2.0 / (64 * 86))
