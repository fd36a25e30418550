"""Monte Carlo: what must hold exactly. Cached energies, counters, adaptation, bit-for-bit determinism."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import cases
import glassnf as gnf
import glassnf.samplers.monte_carlo as sampler
from cases import assert_identical, small
from glassnf.certify import reference
from glassnf.systems import PairPotential, System, custom
from tolerances import CACHED_ENERGY

Array = npt.NDArray[Any]

ALL_PAIRS, CELLS = 1, 2  # values of `search` of the native function


def lattice_start(system: System, replicas: int, temperature: float, seed: int, move_size: float = 0.2) -> gnf.Ensemble:
    positions, species = cases.lattice_batch(system, replicas, seed)
    return gnf.Ensemble.from_arrays(system, positions, species=species, temperature=temperature, seed=seed, move_size=move_size)


def assert_same_record(a: gnf.MCRecord, b: gnf.MCRecord) -> None:
    names = ("sweeps", "energy", "beta", "displacement_attempts", "displacement_accepts", "swap_attempts", "swap_accepts")
    for name in (*names, "positions", "species"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def check_cached_energy(ensemble: gnf.Ensemble, *, relative: float = 0.0) -> None:
    expected = gnf.energy(ensemble.system, ensemble.positions, ensemble.species)
    np.testing.assert_allclose(ensemble.energy, expected, rtol=relative, atol=CACHED_ENERGY)


# ------------------------------------------------------------------------------------------------------------- cached energies


@pytest.mark.parametrize(
    ("system", "temperature", "move_size"),
    [
        (gnf.systems.ka2d(43), 0.5, 0.1),
        (gnf.systems.ka2d(43), 20.0, 1.0),
        (cases.mixture(cases.potential("lj_shifted", 5), 10, np.full(3, 5.6)), 0.8, 0.5),
        (cases.mixture(cases.potential("inverse_power", 2, exponent=1), 20, np.full(2, 4.0)), 100.0, 1.0),
        (cases.mixture(cases.potential("inverse_power", 9, exponent=7), 18, np.full(2, 4.0)), 3.0, 0.5),
        (cases.mixture(cases.potential("wca", 1), 10, np.full(2, 3.4)), 1.0, 0.3),
        (cases.mixture(cases.potential("harmonic", 2), 30, np.full(2, 2.6)), 10.0, 0.5),
        (cases.mixture(cases.potential("harmonic", 1), 30, np.full(3, 2.4)), 0.01, 0.1),
    ],
    ids=["ka2d", "hot-ka2d", "lj_shifted-5", "inverse_power-1", "inverse_power-9", "wca", "hot-harmonic", "cold-harmonic"],
)
def test_cached_energy_after_millions_of_moves(system: System, temperature: float, move_size: float) -> None:
    """Ten million moves of ka2d, two million of the others, looked at every tenth of the way."""
    moves = 10_000_000 if system.name == "ka2d" else 2_000_000
    ensemble = lattice_start(system, 2, temperature, seed=201, move_size=move_size)
    mc = gnf.MonteCarlo(system, swap_probability=0.2 if system.n_species > 1 else 0.0)
    for _ in range(10):
        mc.run(ensemble, moves // 20 // system.n + 1)
        check_cached_energy(ensemble)
    expected = reference.energy(ensemble.positions, ensemble.species, **reference.parameters(system))
    np.testing.assert_allclose(ensemble.energy, expected, rtol=0, atol=CACHED_ENERGY)


@pytest.mark.parametrize("system", [gnf.systems.ka2d(1290), gnf.systems.ka(1300)], ids=["ka2d", "ka"])
def test_cached_energy_through_cells(system: System) -> None:
    ensemble = gnf.Ensemble.random(system, 2, 1.0, seed=202)
    mc = gnf.MonteCarlo(system)
    for _ in range(4):
        mc.run(ensemble, 60)
        check_cached_energy(ensemble)


@pytest.mark.parametrize("kind", cases.KIND_NAMES)
@pytest.mark.parametrize("cells", [(2.2, 2.6), (4.1, 5.0), (4.0, 3.0, 4.0)], ids=str)
def test_cached_energy_from_overlapping_particles(kind: str, cells: tuple[float, ...]) -> None:
    pair = cases.potential(kind, 2)
    box = cases.cells_box(pair, cells)
    system = cases.mixture(pair, 40, box)
    rng = np.random.default_rng(203)
    d = box.size
    doubled = np.repeat(rng.uniform(0.0, 1.0, (20, d)) * box, 2, axis=0)
    positions = np.stack(
        [
            np.tile(0.5 * box, (40, 1)),
            doubled,
            np.mod(doubled + rng.uniform(-0.01, 0.01, doubled.shape), box),
            rng.uniform(0.0, 1.0, (40, d)) * box,
        ]
    )
    for temperature in (0.5, 1e3, 1e20):
        ensemble = gnf.Ensemble.from_arrays(system, positions, temperature=temperature, seed=204, move_size=0.3)
        start = ensemble.energy.copy()
        mc = gnf.MonteCarlo(system)
        for sweeps in (1, 1, 1, 5, 20):
            record = mc.run(ensemble, sweeps, record_every=1)
            assert np.isfinite(ensemble.energy).all()
            np.testing.assert_array_equal(record.energy[-1], ensemble.energy)
            check_cached_energy(ensemble, relative=1e-9)
        if temperature < 1.0 and kind != "harmonic":
            assert (ensemble.energy[:3] < 1e-3 * start[:3]).all()
            mc.run(ensemble, 600)
            check_cached_energy(ensemble, relative=1e-9)


def test_infinite_temperature_accepts_everything() -> None:
    ensemble = small(temperature=1.0)
    ensemble.beta[:] = 0.0
    record = gnf.MonteCarlo(ensemble.system, swap_probability=0.5).run(ensemble, 20, record_every=1)
    np.testing.assert_array_equal(record.displacement_accepts, record.displacement_attempts)
    np.testing.assert_array_equal(record.swap_accepts, record.swap_attempts)
    assert np.isfinite(record.energy).all()
    check_cached_energy(ensemble, relative=1e-9)


# -------------------------------------------------------------------------------------------- composition, images, counters


@pytest.mark.parametrize("n", [43, 300])
def test_composition_is_conserved_and_images_follow(n: int) -> None:
    ensemble = small(n=n, temperature=5.0)
    ensemble.move_size[:] = 0.9
    before = ensemble.copy()
    record = gnf.MonteCarlo(ensemble.system).run(ensemble, 200, record_every=1, record_positions=True)
    assert record.positions is not None
    assert record.species is not None
    for species in record.species:
        np.testing.assert_array_equal(np.sort(species, axis=1), np.tile(ensemble.system.species, (3, 1)))
    assert (record.species[-1] != before.species).any()
    # In one sweep no particle moves as far as a box side; a wrong image would be a jump of a whole one.
    box = ensemble.system.box
    steps = np.diff(np.concatenate([before.unwrapped()[None], record.positions]), axis=0)
    assert np.abs(steps).max() < 0.8 * box.min()
    np.testing.assert_array_equal(record.positions[-1], ensemble.unwrapped())
    assert np.abs(ensemble.images).max() >= 1
    ensemble.validate()


@pytest.mark.parametrize("swap_probability", [0.0, 0.2, 1.0])
def test_counters_add_up(swap_probability: float) -> None:
    ensemble = small()
    n, sweeps = ensemble.n, 400
    record = gnf.MonteCarlo(ensemble.system, swap_probability=swap_probability).run(ensemble, sweeps)
    swaps = np.triu(record.swap_attempts).sum(axis=(1, 2))
    np.testing.assert_array_equal(record.displacement_attempts + swaps, sweeps * n)
    np.testing.assert_array_equal(record.swap_attempts, np.swapaxes(record.swap_attempts, 1, 2))
    np.testing.assert_array_equal(record.swap_accepts, np.swapaxes(record.swap_accepts, 1, 2))
    assert (record.swap_accepts <= record.swap_attempts).all()
    assert (record.displacement_accepts <= record.displacement_attempts).all()
    np.testing.assert_array_equal(np.diagonal(record.swap_attempts, axis1=1, axis2=2), 0)
    # Binomial, at 6 sigma.
    assert np.abs(swaps / (sweeps * n) - swap_probability).max() <= 6.0 * np.sqrt(
        swap_probability * (1 - swap_probability) / (sweeps * n)
    )
    if swap_probability < 1.0:
        np.testing.assert_array_equal(
            record.displacement_acceptance, record.displacement_accepts / record.displacement_attempts
        )
    else:
        assert np.isnan(record.displacement_acceptance).all()
    if swap_probability == 0.0:
        assert np.isnan(record.swap_acceptance).all()
        np.testing.assert_array_equal(ensemble.species, small().species)
    trials = ensemble.replicas * sweeps * n
    assert (n - 1) * trials <= record.pair_evaluations <= 5 * (n - 1) * trials
    assert record.wall_time > 0.0
    assert record.n == n
    assert record.dimension == 2


def test_equilibrate_counts_pair_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of all blocks, and as many as `run` counts in the same calls."""
    cut_runs(monkeypatch, 20)
    start = small()
    mc = gnf.MonteCarlo(start.system)
    moved = start.copy()
    counted = mc.equilibrate(moved, 90).pair_evaluations
    trials = start.replicas * 90 * start.n
    assert type(counted) is int
    assert (start.n - 1) * trials <= counted <= 5 * (start.n - 1) * trials
    blocks = [start.copy(), start.copy()]
    assert mc.equilibrate(blocks[0], 20).pair_evaluations == mc.run(blocks[1], 20).pair_evaluations
    parts = [mc.equilibrate(blocks[0], sweeps).pair_evaluations for sweeps in (40, 20, 10)]
    assert mc.equilibrate(start.copy(), 20).pair_evaluations + sum(parts) == counted
    assert mc.equilibrate(start, 0).pair_evaluations == 0


def test_counters_are_those_of_the_run_alone() -> None:
    a, b = small(), small()
    mc = gnf.MonteCarlo(a.system)
    first, second = mc.run(a, 7), mc.run(a, 13)
    whole = mc.run(b, 20)
    for name in ("displacement_attempts", "displacement_accepts", "swap_attempts", "swap_accepts"):
        np.testing.assert_array_equal(getattr(first, name) + getattr(second, name), getattr(whole, name))


# ------------------------------------------------------------------------------------------------------------------ adaptation


@pytest.mark.parametrize("target", [0.2, 0.3, 0.6])
def test_equilibrate_reaches_the_target_acceptance(target: float) -> None:
    temperatures = np.repeat([0.3, 0.5, 1.0, 3.0], 8)
    ensemble = small(replicas=32, temperature=temperatures)
    mc = gnf.MonteCarlo(ensemble.system, target_acceptance=target)
    result = mc.equilibrate(ensemble, 2_000)
    assert result.sweeps == 2_000
    assert result.displacement_acceptance.shape == (32,)
    np.testing.assert_array_equal(ensemble.beta, 1.0 / temperatures)
    record = mc.run(ensemble, 400)
    by_temperature = record.displacement_acceptance.reshape(4, 8).mean(axis=1)
    np.testing.assert_allclose(by_temperature, target, atol=0.03)
    sizes = ensemble.move_size.reshape(4, 8).mean(axis=1)
    assert (np.diff(sizes) > 0.0).all()


def test_run_leaves_the_move_size_alone() -> None:
    ensemble = small()
    ensemble.move_size[:] = [0.05, 0.1, 0.3]
    gnf.MonteCarlo(ensemble.system).run(ensemble, 100)
    np.testing.assert_array_equal(ensemble.move_size, [0.05, 0.1, 0.3])


def test_move_size_stays_within_half_the_box() -> None:
    system = custom("gas", potential=PairPotential("harmonic", 1.0, 1.0), composition=(3,), box=[8.0, 9.0])
    ensemble = lattice_start(system, 2, 100.0, seed=205)
    mc = gnf.MonteCarlo(system, swap_probability=0.0)
    mc.equilibrate(ensemble, 400)
    np.testing.assert_array_equal(ensemble.move_size, 4.0)
    mc.run(ensemble, 100)
    check_cached_energy(ensemble)


def test_every_replica_has_its_own_temperature_and_move_size() -> None:
    """A batch of different temperatures is the same as each replica alone."""
    temperatures = [0.4, 0.7, 1.5, 4.0]
    batch = small(replicas=4, temperature=temperatures)
    batch.move_size[:] = [0.05, 0.1, 0.2, 0.4]
    alone = [part.copy() for part in batch]
    mc = gnf.MonteCarlo(batch.system)
    mc.equilibrate(batch, 60)
    record = mc.run(batch, 200, record_every=20)
    for r, part in enumerate(alone):
        mc.equilibrate(part, 60)
        single = mc.run(part, 200, record_every=20)
        np.testing.assert_array_equal(single.energy[:, 0], record.energy[:, r])
    assert_identical(gnf.Ensemble.concatenate(alone), batch)
    mean = record.energy.mean(axis=0)
    assert (np.diff(mean) > 0.0).all()
    assert (np.diff(batch.move_size) > 0.0).all()


# ---------------------------------------------------------------------------------------------------- determinism, bit for bit


def cut_runs(monkeypatch: pytest.MonkeyPatch, sweeps: int) -> None:
    """Make native calls of so many sweeps."""
    monkeypatch.setattr(gnf.MonteCarlo, "_chunk", lambda self, ensemble: sweeps)


@pytest.mark.parametrize(("n", "replicas"), [(43, 9), (1290, 3)])
def test_threads(n: int, replicas: int) -> None:
    results = []
    for threads in (1, 2, 3, None):
        ensemble = small(replicas=replicas, n=n)
        mc = gnf.MonteCarlo(ensemble.system, threads=threads)
        mc.equilibrate(ensemble, 40)
        results.append((ensemble, mc.run(ensemble, 40, record_every=8, record_positions=True)))
    for ensemble, record in results[1:]:
        assert_identical(ensemble, results[0][0])
        assert_same_record(record, results[0][1])


def test_one_batch_of_64_is_64_batches_of_one() -> None:
    batch = small(replicas=64)
    parts = [part.copy() for part in batch]
    mc = gnf.MonteCarlo(batch.system, threads=2)
    mc.equilibrate(batch, 100)
    record = mc.run(batch, 200, record_every=50)
    for r, part in enumerate(parts):
        mc.equilibrate(part, 100)
        np.testing.assert_array_equal(mc.run(part, 200, record_every=50).energy[:, 0], record.energy[:, r])
    assert_identical(gnf.Ensemble.concatenate(parts), batch)


def test_any_part_of_a_batch_goes_on_alone() -> None:
    batch = small(replicas=10)
    mc = gnf.MonteCarlo(batch.system)
    mc.run(batch, 30)
    some = batch[[7, 2, 5]]
    mc.run(batch, 30)
    mc.run(some, 30)
    assert_identical(some, batch[[7, 2, 5]])


@pytest.mark.parametrize("n", [43, 300])
def test_run_save_load_run(n: int, tmp_path: Path) -> None:
    whole = small(n=n)
    cut = whole.copy()
    mc = gnf.MonteCarlo(whole.system)
    record = mc.run(whole, 120, record_every=10)
    first = mc.run(cut, 60, record_every=10)
    cut.save(tmp_path / "half.h5")
    loaded = gnf.Ensemble.load(tmp_path / "half.h5")
    assert_identical(loaded, cut)
    second = gnf.MonteCarlo(loaded.system).run(loaded, 60, record_every=10)
    assert_identical(loaded, whole)
    np.testing.assert_array_equal(np.concatenate([first.energy, second.energy]), record.energy)
    np.testing.assert_array_equal(np.concatenate([first.sweeps, second.sweeps]), record.sweeps)


@pytest.mark.parametrize("pieces", [[20, 40], [60], [20] * 3, [40, 20]], ids=str)
def test_equilibrate_save_load_equilibrate(pieces: list[int], tmp_path: Path) -> None:
    whole, cut = small(), small()
    mc = gnf.MonteCarlo(whole.system)
    mc.equilibrate(whole, 75)
    for k, sweeps in enumerate([*pieces, 15]):
        mc.equilibrate(cut, sweeps)
        cut.save(tmp_path / f"{k}.h5")
        cut = gnf.Ensemble.load(tmp_path / f"{k}.h5")
    assert_identical(cut, whole)
    assert (whole.move_size != 0.1).all()


def test_equilibrate_adapts_after_whole_blocks_of_20_sweeps_of_the_step() -> None:
    ensemble = small()
    mc = gnf.MonteCarlo(ensemble.system)
    mc.equilibrate(ensemble, 19)
    np.testing.assert_array_equal(ensemble.move_size, 0.1)
    mc.equilibrate(ensemble, 1 + 19)
    np.testing.assert_array_equal(ensemble.move_size, 0.1)
    mc.equilibrate(ensemble, 1 + 20)
    assert (ensemble.move_size != 0.1).all()


@pytest.mark.parametrize(
    "system",
    [
        gnf.systems.ka2d(300),
        gnf.systems.ka2d(1290),
        gnf.systems.ka(1300),
        cases.mixture(cases.potential("lj_smooth", 5, different_cutoffs=True), 200, np.array([17.0, 12.5])),
        cases.mixture(cases.potential("inverse_power", 2), 400, np.array([7.5, 7.3, 8.1])),
        cases.mixture(cases.potential("harmonic", 9), 300, np.array([14.0, 19.0])),
        cases.mixture(cases.potential("wca", 1), 60, np.array([30.0, 41.0])),
    ],
    ids=["ka2d-300", "ka2d-1290", "ka", "five-species", "inverse-power-3d", "harmonic-9", "dilute"],
)
@pytest.mark.parametrize(("temperature", "move_size"), [(0.5, 0.1), (5.0, 0.3), (2.0, 1.2), (1e4, 0.5)])
def test_every_search_for_neighbours(
    system: System, temperature: float, move_size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pairs, cells, and what the kernel chooses (neighbour lists, where they pay): the same bits.

    At the highest temperature particles overlap, and sums of enormous energies depend on their order in the last bit.
    """
    start = lattice_start(system, 2, temperature, seed=206)
    start.move_size[:] = [move_size, 0.5 * move_size]
    sweeps = 9 if temperature < 1e3 else 3
    mc = gnf.MonteCarlo(system, swap_probability=0.2 if system.n_species > 1 else 0.0)
    chosen = start.copy()
    record = mc.run(chosen, sweeps, record_every=3)
    native = sampler._core.monte_carlo
    evaluations = []
    for search in ALL_PAIRS, CELLS:
        monkeypatch.setattr(sampler._core, "monte_carlo", functools.partial(native, search=search))
        other = start.copy()
        its_record = mc.run(other, sweeps, record_every=3)
        if temperature > 1e3:
            np.testing.assert_allclose(other.energy, chosen.energy, rtol=1e-14)
            np.testing.assert_allclose(its_record.energy, record.energy, rtol=1e-14)
            other.energy, its_record = chosen.energy, dataclasses.replace(its_record, energy=record.energy)
        assert_identical(other, chosen)
        assert_same_record(its_record, record)
        evaluations.append(its_record.pair_evaluations)
    assert record.displacement_accepts.min() > 0
    assert record.pair_evaluations < evaluations[0]
    assert evaluations[1] < evaluations[0]


@pytest.mark.slow
@pytest.mark.parametrize("system", [gnf.systems.ka2d(1290), gnf.systems.ka(1300)], ids=["ka2d", "ka"])
def test_every_search_for_neighbours_over_many_sweeps(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    start = gnf.Ensemble.random(system, 2, 0.6, seed=208)
    mc = gnf.MonteCarlo(system)
    mc.equilibrate(start, 200)
    chosen, by_cells = start.copy(), start.copy()
    mc.run(chosen, 3_000)
    monkeypatch.setattr(sampler._core, "monte_carlo", functools.partial(sampler._core.monte_carlo, search=CELLS))
    mc.run(by_cells, 3_000)
    assert_identical(by_cells, chosen)
    check_cached_energy(chosen)


@pytest.mark.parametrize(
    ("system", "temperature"),
    [
        (gnf.systems.ka2d(43), 0.5),
        (gnf.systems.ka2d(300), 0.5),
        (gnf.systems.ka2d(43), 1e4),
        (gnf.systems.ka2d(300), 1e4),
        (cases.mixture(cases.potential("harmonic", 2), 40, np.full(2, 2.6)), 2.0),
        (cases.mixture(cases.potential("inverse_power", 2, exponent=2), 40, np.full(2, 4.0)), 200.0),
    ],
    ids=["ka2d-43", "ka2d-300", "rough-43", "rough-300", "harmonic", "soft"],
)
def test_cutting_a_run_into_native_calls(system: System, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps = 300 if system.n < 100 else 80
    whole = gnf.Ensemble.random(system, 3, temperature, seed=207)
    cut, by_sweep = whole.copy(), whole.copy()
    cut_runs(monkeypatch, 1_000)
    record = gnf.MonteCarlo(system).run(whole, sweeps, record_every=7, record_positions=True)
    cut_runs(monkeypatch, 1)
    calls: list[int] = []
    other = gnf.MonteCarlo(system).run(
        cut, sweeps, record_every=7, record_positions=True, progress=lambda done, total, info: calls.append(done)
    )
    assert calls == list(range(1, sweeps + 1))
    assert_identical(cut, whole)
    assert_same_record(other, record)
    mc = gnf.MonteCarlo(system)
    for _ in range(sweeps):
        mc.run(by_sweep, 1)
    assert_identical(by_sweep, whole)


@pytest.mark.parametrize("boundary", [2**32, 2**40, 2**44 - 1 - 5])
def test_runs_across_large_steps(boundary: int, tmp_path: Path) -> None:
    start = small()
    arguments: dict[str, Any] = {"species": start.species, "temperature": 0.6, "seed": 5}
    ids = [2**32 - 1, 2**32, 2**40 - 1]
    whole = gnf.Ensemble.from_arrays(start.system, start.positions, step=boundary - 5, ids=ids, **arguments)
    cut = whole.copy()
    mc = gnf.MonteCarlo(start.system)
    record = mc.run(whole, 10, record_every=1)
    np.testing.assert_array_equal(record.sweeps, np.arange(boundary - 4, boundary + 6))
    mc.run(cut, 5)
    cut.save(tmp_path / "cut.h5")
    cut = gnf.Ensemble.load(tmp_path / "cut.h5")
    mc.run(cut, 5)
    assert_identical(cut, whole)
    shifted = gnf.Ensemble.from_arrays(start.system, start.positions, step=boundary % 2**32, ids=[0, 1, 2], **arguments)
    mc.run(shifted, 10)
    assert (shifted.positions != whole.positions).any(axis=(1, 2)).all()


def test_the_last_step() -> None:
    start = small()
    last = 2**44 - 1
    ensemble = gnf.Ensemble.from_arrays(
        start.system, start.positions, species=start.species, temperature=1.0, seed=5, step=last - 3
    )
    mc = gnf.MonteCarlo(start.system)
    before = ensemble.copy()
    for advance in (mc.run, mc.equilibrate):
        with pytest.raises(ValueError, match="^sweeps: expected step \\+ sweeps at most"):
            advance(ensemble, 4)
    assert_identical(ensemble, before)
    mc.run(ensemble, 3)
    assert ensemble.step == last
    ensemble.validate()


@pytest.mark.parametrize("change", ["seed", "id", "step"])
def test_seed_id_and_step_choose_the_random_numbers(change: str) -> None:
    start = small(replicas=1)
    arguments: dict[str, Any] = {"species": start.species, "temperature": 0.6, "seed": 5, "step": 3, "ids": [4]}
    a = gnf.Ensemble.from_arrays(start.system, start.positions, **arguments)
    arguments.update({"seed": {"seed": 6}, "id": {"ids": [5]}, "step": {"step": 4}}[change])
    b = gnf.Ensemble.from_arrays(start.system, start.positions, **arguments)
    mc = gnf.MonteCarlo(start.system)
    mc.run(a, 1)
    mc.run(b, 1)
    assert (a.positions != b.positions).any()


# --------------------------------------------------------------------------------------------------------------- records


def test_records_at_chosen_sweeps() -> None:
    every = small()
    mc = gnf.MonteCarlo(every.system)
    start = every.copy()
    all_of_them = mc.run(every, 100, record_every=1, record_positions=True)
    np.testing.assert_array_equal(all_of_them.sweeps, np.arange(1, 101))
    assert all_of_them.energy.shape == (100, 3)
    assert all_of_them.positions is not None
    assert all_of_them.species is not None
    schedules: list[dict[str, Any]] = [
        {"record_at": gnf.log_schedule(100, 12)},
        {"record_at": [1, 2, 3, 50, 99]},
        {"record_at": np.array([100], dtype=np.uint8)},
        {"record_every": 7},
        {"record_every": 100},
        {"record_every": 1000},
        {},
    ]
    for schedule in schedules:
        ensemble = start.copy()
        record = mc.run(ensemble, 100, record_positions=True, **schedule)
        at = record.sweeps - start.step - 1
        np.testing.assert_array_equal(record.energy, all_of_them.energy[at])
        np.testing.assert_array_equal(record.positions, all_of_them.positions[at])
        np.testing.assert_array_equal(record.species, all_of_them.species[at])
        assert_identical(ensemble, every)
        np.testing.assert_array_equal(record.beta, ensemble.beta)
    energies = gnf.energy(every.system, all_of_them.positions[::9].reshape(-1, 43, 2), all_of_them.species[::9].reshape(-1, 43))
    np.testing.assert_allclose(all_of_them.energy[::9].ravel(), energies, rtol=0, atol=1e-9)


def test_records_hold_unwrapped_positions() -> None:
    ensemble = small(temperature=5.0)
    ensemble.move_size[:] = 0.9
    record = gnf.MonteCarlo(ensemble.system).run(ensemble, 200, record_every=200, record_positions=True)
    assert record.positions is not None
    np.testing.assert_array_equal(record.positions[-1], ensemble.unwrapped())
    assert (record.positions < 0.0).any()
    without = gnf.MonteCarlo(ensemble.system).run(ensemble, 2, record_every=1)
    assert without.positions is None
    assert without.species is None


def test_no_sweeps() -> None:
    ensemble = small()
    before = ensemble.copy()
    mc = gnf.MonteCarlo(ensemble.system)
    record = mc.run(ensemble, 0, record_every=1)
    assert record.energy.shape == (0, 3)
    mc.equilibrate(ensemble, 0)
    assert_identical(ensemble, before)


# ------------------------------------------------------------------------------------------------------ progress, interruption


def test_progress() -> None:
    ensemble = small()
    mc = gnf.MonteCarlo(ensemble.system)
    for advance in (mc.run, mc.equilibrate):
        seen: list[tuple[int, int]] = []

        def look(done: int, total: int, info: dict[str, Any], seen: list[tuple[int, int]] = seen) -> None:
            seen.append((done, total))
            assert {"energy_per_particle", "displacement_acceptance", "swap_acceptance"} <= set(info)
            assert np.isfinite(info["energy_per_particle"])
            assert 0.0 <= info["displacement_acceptance"] <= 1.0

        advance(ensemble, 100, progress=look)
        assert [total for _, total in seen] == [100] * len(seen)
        done = [d for d, _ in seen]
        assert done == sorted(set(done))
        assert done[-1] == 100


@pytest.mark.parametrize("method", ["run", "equilibrate"])
def test_keyboard_interrupt_in_the_progress_callback(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ensemble is whole, after a whole number of sweeps, and goes on bit for bit."""
    cut_runs(monkeypatch, 3)
    whole, stopped = small(), small()
    mc = gnf.MonteCarlo(whole.system)

    def stop(done: int, total: int, info: dict[str, Any]) -> None:
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        getattr(mc, method)(stopped, 100, progress=stop)
    assert 40 <= stopped.step < 100
    stopped.validate()
    check_cached_energy(stopped)
    getattr(mc, method)(stopped, 100 - stopped.step)
    getattr(mc, method)(whole, 100)
    assert_identical(stopped, whole)


@pytest.mark.parametrize("method", ["run", "equilibrate"])
def test_a_signal_during_native_code(method: str) -> None:
    """Control-C, as it comes: at any moment, mostly while the kernels run."""
    for delay in (0.03, 0.07, 0.11):
        stopped = small(replicas=16)
        whole = stopped.copy()
        mc = gnf.MonteCarlo(stopped.system, threads=1)
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        previous = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                getattr(mc, method)(stopped, 10_000_000)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            timer.cancel()
            timer.join()
            signal.signal(signal.SIGINT, previous)
        stopped.validate()
        assert stopped.step > 0
        check_cached_energy(stopped)
        getattr(mc, method)(whole, stopped.step)
        assert_identical(whole, stopped)


@pytest.mark.parametrize("method", ["run", "equilibrate"])
def test_an_interrupt_at_any_line(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step, positions and move size belong together wherever Ctrl-C comes, and the run goes on bit for bit."""
    cut_runs(monkeypatch, 20)
    start = small()
    mc = gnf.MonteCarlo(start.system)
    whole = start.copy()
    getattr(mc, method)(whole, 60)
    steps, line = [], 0
    while steps[-1:] != [60]:  # to the last commit
        line += 1
        stopped = start.copy()
        with interrupt_at(line):
            getattr(mc, method)(stopped, 60)
        stopped.validate()
        check_cached_energy(stopped)
        steps.append(stopped.step)
        getattr(mc, method)(stopped, 60 - stopped.step)
        assert_identical(stopped, whole)
    assert set(steps) == {0, 20, 40, 60}
    assert steps == sorted(steps)


@contextlib.contextmanager
def interrupt_at(line: int) -> Iterator[None]:
    """Raise KeyboardInterrupt at the given line, counted from here, of the code of the sampler."""
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != sampler.__file__:
            return None
        left -= event == "line"
        if left == 0 and event == "line":
            raise KeyboardInterrupt
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(previous)
