"""The CUDA backend on a real GPU, against the NumPy reference and the CPU backend.

Without a GPU these tests are skipped, and with GLASSNF_REQUIRE_GPU=1 they fail. What needs no GPU is in test_cuda_arrays.py and
test_cuda_errors.py, torch operators are in test_cuda_torch.py.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cases
import glassnf as gnf
from cases import assert_identical, small
from glassnf._arrays import to_host
from glassnf.certify import reference
from glassnf.ensemble import wrap_positions
from glassnf.observables import mean_energy, specific_heat
from glassnf.systems import System
from test_energy import CUBES, SQUARES, check, number_for
from tolerances import CACHED_ENERGY, FP32_KERNEL, FP64_REDUCTION, STATISTICAL

Put = Callable[[Any], Any]

KA2D = gnf.systems.ka2d(43)
NAMES = ("positions", "images", "species", "beta", "energy", "ids", "move_size")


def equilibrated(replicas: int, temperature: float, n: int = 43) -> gnf.Ensemble:
    """Return liquid configurations, made on the CPU."""
    ensemble = gnf.Ensemble.random(gnf.systems.ka2d(n), replicas, temperature, seed=21)
    gnf.MonteCarlo(ensemble.system).equilibrate(ensemble, 200)
    return ensemble


def assert_same_record(a: gnf.MCRecord, b: gnf.MCRecord) -> None:
    names = ("sweeps", "energy", "beta", "displacement_attempts", "displacement_accepts", "swap_attempts", "swap_accepts")
    for name in (*names, "positions", "species"):
        first, second = getattr(a, name), getattr(b, name)
        assert type(first) is type(second) in (np.ndarray, type(None)), name
        np.testing.assert_array_equal(first, second, err_msg=name)


# ------------------------------------------------------------------------------------------------- energies, forces and virials


@pytest.mark.parametrize("kind", cases.KIND_NAMES)
@pytest.mark.parametrize("cells", [SQUARES[0], SQUARES[3], SQUARES[5], SQUARES[8], CUBES[1], CUBES[3]], ids=str)
def test_energies_of_all_potentials(kind: str, cells: tuple[float, ...], gpu: str) -> None:
    cupy = importlib.import_module("cupy")
    pair = cases.potential(kind, 2, different_cutoffs=True)
    box = cases.cells_box(pair, cells)
    system = cases.mixture(pair, number_for(box, 0.9, 300), box)
    check(system, *cases.lattice_batch(system, 3, seed=1), put=cupy.asarray)


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 43, 64, 127, 300, 1290])
@pytest.mark.parametrize("dimension", [2, 3])
def test_energies_of_all_sizes(n: int, dimension: int, gpu: str) -> None:
    cupy = importlib.import_module("cupy")
    pair = cases.potential("lj_smooth", min(3, n))
    side = max(2.05 * pair.cutoff_distance, float(n) ** (1.0 / dimension))
    system = cases.mixture(pair, n, np.full(dimension, side))
    check(system, *cases.lattice_batch(system, 2, seed=n), put=cupy.asarray)


@pytest.mark.parametrize("replicas", [1, 2, 31, 1000])
def test_energies_of_any_number_of_replicas(replicas: int, put_on_gpu: Put) -> None:
    check(KA2D, *cases.lattice_batch(KA2D, replicas, seed=2), put=put_on_gpu)


def test_energies_of_one_large_replica(put_on_gpu: Put) -> None:
    for system in (gnf.systems.ka2d(20_000), gnf.systems.ka(12_000)):
        positions, species = cases.lattice_batch(system, 1, seed=3)
        u, f = gnf.energy_and_forces(system, positions, species)
        gpu_u, gpu_f = (to_host(x) for x in gnf.energy_and_forces(system, put_on_gpu(positions), put_on_gpu(species)))
        # The pairs of a lattice repel or attract by about one epsilon each: the sum of their sizes is of the order of N.
        np.testing.assert_allclose(gpu_u, u, rtol=FP64_REDUCTION, atol=FP64_REDUCTION * system.n)
        np.testing.assert_allclose(gpu_f, f, rtol=0.0, atol=FP64_REDUCTION * np.abs(f).max())


@pytest.mark.parametrize("system", [KA2D, cases.mixture(cases.potential("wca", 2), 60, np.array([9.0, 7.5]))], ids=["43", "60"])
def test_coordinates_need_not_be_wrapped_or_contiguous(system: System, put_on_gpu: Put) -> None:
    positions, species = cases.lattice_batch(system, 3, seed=4)
    rng = np.random.default_rng(4)
    outside = positions + np.array(system.box) * rng.integers(-4, 5, positions.shape)
    wrapped = wrap_positions(outside, system.box)[0]
    expected = to_host(gnf.forces(system, put_on_gpu(wrapped), put_on_gpu(species)))
    np.testing.assert_array_equal(to_host(gnf.forces(system, put_on_gpu(outside), put_on_gpu(species))), expected)
    wide = put_on_gpu(np.repeat(wrapped, 2, axis=2))[..., ::2]
    np.testing.assert_array_equal(to_host(gnf.forces(system, wide, put_on_gpu(species))), expected)


def test_answers_are_in_kind(put_on_gpu: Put) -> None:
    positions, species = cases.lattice_batch(KA2D, 3, seed=5)
    x, s = put_on_gpu(positions), put_on_gpu(species)
    u, f = gnf.energy_and_forces(KA2D, x, s)
    w = gnf.virial(KA2D, x, s)
    p = gnf.pressure(KA2D, x, s, temperature=[0.5, 0.6, 0.7])
    for answer, shape in ((u, (3,)), (f, (3, 43, 2)), (w, (3, 2, 2)), (p, (3,))):
        assert type(answer) is type(x)
        assert tuple(answer.shape) == shape
        assert answer.device == x.device
    one = gnf.energy(KA2D, x[1], s[1])
    assert type(one) is type(x)
    assert tuple(one.shape) == ()
    assert float(one) == to_host(u)[1]
    np.testing.assert_array_equal(to_host(gnf.energy(KA2D, x)), to_host(gnf.energy(KA2D, x, KA2D.species.tolist())))
    assert tuple(gnf.energy(KA2D, x[:0], s[:0]).shape) == (0,)


def test_same_input_same_bits(put_on_gpu: Put) -> None:
    for system, replicas in ((KA2D, 2000), (gnf.systems.ka2d(20_000), 1)):
        positions, species = cases.lattice_batch(system, replicas, seed=6)
        x, s = put_on_gpu(positions), put_on_gpu(species)
        runs = [(*gnf.energy_and_forces(system, x, s), gnf.virial(system, x, s)) for _ in range(3)]
        for run in runs[1:]:
            for first, other in zip(runs[0], run, strict=True):
                np.testing.assert_array_equal(to_host(other), to_host(first))


def test_bad_arrays(put_on_gpu: Put) -> None:
    positions, species = cases.lattice_batch(KA2D, 3, seed=7)
    wrong = positions.copy()
    wrong[2, 3, 1] = np.nan
    x, s = put_on_gpu(positions), put_on_gpu(species)
    for coordinates, kinds, message in (
        (put_on_gpu(wrong), s, r"positions: expected finite coordinates, got nan at index \(2, 3, 1\)"),
        (put_on_gpu(wrong.astype(np.float32)), s, "positions: expected an array of type float64, got type float32"),
        (x[:, :42], s, r"positions: expected shape"),
        (x, put_on_gpu(species + 2), "species: expected indices from 0 to 2"),
        (x, species, "species: expected an array on cuda:0, where the positions are, got one on cpu"),
        (positions, s, "species: expected an array on cpu, where the positions are, got one on cuda:0"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            gnf.energy(KA2D, coordinates, kinds)
    check(KA2D, positions, species, put=put_on_gpu)


@pytest.mark.parametrize("n", [43, 300, 2500])
def test_mixed_precision(n: int, put_on_gpu: Put) -> None:
    system = gnf.systems.ka2d(n)
    positions, species = cases.lattice_batch(system, 1 if n > 1000 else 20, seed=8)
    x, s = put_on_gpu(positions), put_on_gpu(species)
    u, f = (to_host(value) for value in gnf.energy_and_forces(system, x, s))
    w = to_host(gnf.virial(system, x, s))
    mixed_u, mixed_f = (to_host(value) for value in gnf.energy_and_forces(system, x, s, precision="mixed"))
    mixed_w = to_host(gnf.virial(system, x, s, precision="mixed"))
    local = np.abs(reference.local_energies(positions, species, **reference.parameters(system))).sum(axis=1)
    strongest = np.abs(f).max(axis=(1, 2))
    assert (np.abs(mixed_u - u) <= FP32_KERNEL * local).all()
    assert (np.abs(mixed_f - f) <= FP32_KERNEL * strongest[:, None, None]).all()
    assert (np.abs(mixed_w - w) <= FP32_KERNEL * n * strongest[:, None, None]).all()
    assert (mixed_f != f).any()  # it is another kernel


# ---- streams and devices -----------------------------------------------------------------------------------------------------


def test_work_waits_for_its_turn_on_the_current_stream_of_cupy(gpu: str) -> None:
    """Positions are written on a stream that is busy; energies must wait for them, and for nothing else."""
    cupy = importlib.import_module("cupy")
    positions, species = cases.lattice_batch(KA2D, 100, seed=9)
    expected = to_host(gnf.energy(KA2D, cupy.asarray(positions), cupy.asarray(species)))
    good, s = cupy.asarray(positions), cupy.asarray(species)
    heavy = cupy.ones((4096, 4096))
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream:
        x = cupy.full_like(good, 0.25)
        for _ in range(10):
            heavy = heavy @ heavy * 1e-6
        x[...] = good
        u = gnf.energy(KA2D, x, s)
        x[...] = 0.25  # after the energies
        assert cupy.cuda.get_current_stream().ptr == stream.ptr
        np.testing.assert_array_equal(u.get(), expected)
    ensemble = small(100).to(gpu)
    on_cpu = small(100)
    with stream:
        ensemble.beta[:] = 1.0 / 0.7
        gnf.MonteCarlo(KA2D).run(ensemble, 5)
    on_cpu.beta[:] = 1.0 / 0.7
    gnf.MonteCarlo(KA2D).run(on_cpu, 5)
    assert cupy.cuda.get_current_stream().ptr == 0
    assert_identical(ensemble.to("cpu"), on_cpu)


def test_several_devices(gpu: str) -> None:
    cupy = importlib.import_module("cupy")
    last = gnf.cuda.device_count() - 1
    if last == 0:
        pytest.skip("there is one GPU only")
    on_cpu = small()
    ensemble = on_cpu.to(f"cuda:{last}")
    mc = gnf.MonteCarlo(KA2D)
    assert_same_record(mc.run(ensemble, 20, record_every=5), mc.run(on_cpu, 20, record_every=5))
    assert_identical(ensemble.to("cpu"), on_cpu)
    assert gnf.energy(KA2D, ensemble.positions, ensemble.species).device.id == last
    assert cupy.cuda.Device().id == 0
    other = on_cpu.to("cuda:0")
    with pytest.raises(
        ValueError, match=f"^species: expected an array on cuda:{last}, where the positions are, got one on cuda:0"
    ):
        gnf.energy(KA2D, ensemble.positions, other.species)
    assert_identical(ensemble.to("cuda:0"), other)


def test_names_and_memory_of_devices(gpu: str) -> None:
    assert gnf.cuda.device_name(gpu)
    free, total = gnf.cuda.memory(gpu)
    assert 0 < free <= total
    count = gnf.cuda.device_count()
    for name in (f"cuda:{count}", "cuda:99"):
        with pytest.raises(ValueError, match="^device: expected 'cpu', 'cuda' or one of the devices"):
            small().to(name)


def test_full_memory_is_an_error_and_leaves_the_process_usable(gpu: str) -> None:
    cupy = importlib.import_module("cupy")
    positions, species = cases.lattice_batch(KA2D, 1, seed=10)
    many = cupy.broadcast_to(cupy.asarray(positions), (10**9, 43, 2))
    with pytest.raises(gnf.cuda.CudaOutOfMemoryError, match="use fewer replicas at once"):
        gnf.energy(KA2D, many)
    with pytest.raises(gnf.cuda.CudaOutOfMemoryError, match="use fewer replicas at once"):
        gnf.Ensemble.random(KA2D, 10**9, 1.0, seed=1, device=gpu)
    check(KA2D, positions, species, put=cupy.asarray)
    ensemble = small().to(gpu)
    gnf.MonteCarlo(KA2D).run(ensemble, 5)


# ------------------------------------------------------------------------------------------------------------------- ensembles


def test_ensembles_on_the_gpu_are_those_of_the_cpu(gpu: str, tmp_path: Path) -> None:
    cupy = importlib.import_module("cupy")
    on_cpu = gnf.Ensemble.random(KA2D, 5, [0.5, 0.6, 0.7, 0.8, 0.9], seed=11)
    ensemble = gnf.Ensemble.random(KA2D, 5, [0.5, 0.6, 0.7, 0.8, 0.9], seed=11, device=gpu)
    assert ensemble.device == "cuda:0"
    for name in NAMES:
        assert isinstance(getattr(ensemble, name), cupy.ndarray), name
    assert_identical(ensemble.to("cpu"), on_cpu)
    assert repr(ensemble) == repr(on_cpu).replace("'cpu'", "'cuda:0'")
    assert str(ensemble) == str(on_cpu).replace("cpu", "cuda:0")
    for each in (ensemble, on_cpu):
        each.beta[:] = 1 / 0.5
        each.positions = each.positions + 20.0
        each.wrap()
        each.validate()
    np.testing.assert_array_equal(to_host(ensemble.unwrapped()), on_cpu.unwrapped())
    np.testing.assert_array_equal(to_host(ensemble.temperature), on_cpu.temperature)
    assert_identical(ensemble[[3, 1]].to("cpu"), on_cpu[[3, 1]])
    assert_identical(ensemble[1:4].to("cpu"), on_cpu[1:4])
    chosen = ensemble[ensemble.energy < float(np.median(on_cpu.energy))]
    assert_identical(chosen.to("cpu"), on_cpu[on_cpu.energy < np.median(on_cpu.energy)])
    assert gnf.Ensemble.concatenate(list(ensemble)).identical_to(ensemble)
    assert ensemble.copy().identical_to(ensemble)
    ensemble.save(tmp_path / "gpu.h5")
    assert_identical(gnf.Ensemble.load(tmp_path / "gpu.h5"), on_cpu)
    assert gnf.Ensemble.load(tmp_path / "gpu.h5", device=gpu).identical_to(ensemble)
    assert gnf.Ensemble.from_arrays(KA2D, ensemble.positions, temperature=1.0, seed=1).device == "cuda:0"
    ensemble.update_energy()
    np.testing.assert_allclose(to_host(ensemble.energy), gnf.energy(KA2D, on_cpu.positions, on_cpu.species), rtol=1e-11)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("positions", np.nan),
        ("positions", -0.1),
        ("beta", -1.0),
        ("energy", np.inf),
        ("move_size", 0.0),
        ("species", 3),
        ("ids", 1),
    ],
)
def test_validate_checks_on_the_gpu(field: str, value: Any, gpu: str) -> None:
    messages = []
    for device in ("cpu", gpu):
        ensemble = small().to(device)
        array = getattr(ensemble, field)
        array[(-1,) * array.ndim] = value
        with pytest.raises((TypeError, ValueError), match=f"^{field}: expected") as caught:
            ensemble.validate()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


# ----------------------------------------------------------------------------------------------------------------- Monte Carlo


@pytest.mark.parametrize("swap_probability", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("temperature", [0.3, 0.5, 1.0])
def test_trajectories_are_those_of_the_cpu(temperature: float, swap_probability: float, gpu: str) -> None:
    on_cpu = equilibrated(8, temperature)
    ensemble = on_cpu.to(gpu)
    mc = gnf.MonteCarlo(KA2D, swap_probability=swap_probability)
    records = [mc.run(each, 1_000, record_every=100, record_positions=True) for each in (ensemble, on_cpu)]
    assert_same_record(*records)
    assert_identical(ensemble.to("cpu"), on_cpu)


@pytest.mark.parametrize(
    "system", [gnf.systems.ka2d(100), gnf.systems.ka2d(300), gnf.systems.ka(200)], ids=["100", "300", "3d"]
)
def test_trajectories_of_other_systems_are_those_of_the_cpu(system: System, gpu: str) -> None:
    on_cpu = gnf.Ensemble.random(system, 3, 1.0, seed=12)
    ensemble = on_cpu.to(gpu)
    mc = gnf.MonteCarlo(system, checkerboard=False)
    for each in (on_cpu, ensemble):
        mc.equilibrate(each, 60)
    assert_same_record(*(mc.run(each, 60, record_every=20) for each in (ensemble, on_cpu)))
    assert_identical(ensemble.to("cpu"), on_cpu)


@pytest.mark.parametrize("n", [1290, 5000])
def test_checkerboard_is_that_of_the_cpu(n: int, gpu: str) -> None:
    on_cpu = gnf.Ensemble.random(gnf.systems.ka2d(n), 2, 1.0, seed=13)
    ensemble = on_cpu.to(gpu)
    mc = gnf.MonteCarlo(on_cpu.system, checkerboard=True)
    for each in (on_cpu, ensemble):
        mc.equilibrate(each, 40)
    assert_same_record(*(mc.run(each, 40, record_every=20, record_positions=True) for each in (ensemble, on_cpu)))
    assert_identical(ensemble.to("cpu"), on_cpu)


@pytest.mark.parametrize(("n", "checkerboard"), [(43, None), (1290, False), (1290, True), (20_000, None)])
def test_two_runs_are_the_same(n: int, checkerboard: bool | None, gpu: str) -> None:
    ends = []
    for _ in range(2):
        ensemble = small(2 if n > 43 else 500, n=n).to(gpu)
        mc = gnf.MonteCarlo(ensemble.system, checkerboard=checkerboard)
        mc.equilibrate(ensemble, 40)
        ends.append((ensemble, mc.run(ensemble, 40, record_every=10, record_positions=True)))
    assert_same_record(ends[0][1], ends[1][1])
    assert ends[0][0].identical_to(ends[1][0])


@pytest.mark.parametrize(("n", "checkerboard"), [(43, None), (300, None), (1290, True), (20_000, None)])
def test_energies_kept_by_differences_are_those_computed_anew(n: int, checkerboard: bool | None, gpu: str) -> None:
    ensemble = small(3, n=n).to(gpu)
    mc = gnf.MonteCarlo(ensemble.system, checkerboard=checkerboard)
    for _ in range(3):
        record = mc.run(ensemble, 50, record_every=50)
        anew = to_host(gnf.energy(ensemble.system, ensemble.positions, ensemble.species))
        np.testing.assert_allclose(to_host(ensemble.energy), anew, rtol=0.0, atol=CACHED_ENERGY * max(1.0, n / 1000.0))
        np.testing.assert_array_equal(record.energy[-1], to_host(ensemble.energy))
        ensemble.validate()  # composition, wrapping
    trials = record.displacement_attempts + np.triu(record.swap_attempts).sum(axis=(1, 2))
    if checkerboard is None and n < 1000:
        np.testing.assert_array_equal(trials, 50 * n)
    else:
        np.testing.assert_allclose(trials, 50 * n, rtol=0.05)


def test_cutting_and_batching_change_nothing(gpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = small(6).to(gpu), small(6).to(gpu)
    mc = gnf.MonteCarlo(KA2D)
    mc.equilibrate(whole, 60)
    mc.run(whole, 60)
    mc.equilibrate(cut, 40)
    mc.equilibrate(cut, 20)
    cut.save(tmp_path / "half.h5")
    parts = list(gnf.Ensemble.load(tmp_path / "half.h5", device=gpu))
    monkeypatch.setattr(gnf.MonteCarlo, "_chunk", lambda self, ensemble: 7)
    for part in parts:
        mc.run(part, 60)
    assert gnf.Ensemble.concatenate(parts).identical_to(whole)


@pytest.mark.parametrize(
    ("temperature", "sweeps", "equilibration"), [(1.0, 2_000, 1_000), (0.5, 5_000, 2_000), (0.3, 24_000, 6_000)]
)
def test_averages_are_those_of_the_cpu(temperature: float, sweeps: int, equilibration: int, gpu: str) -> None:
    """Different seeds, so that the trajectories have nothing in common."""
    found = []
    for device, seed in (("cpu", 14), (gpu, 15)):
        ensemble = gnf.Ensemble.random(KA2D, 64, temperature, seed=seed, device=device)
        mc = gnf.MonteCarlo(KA2D)
        mc.equilibrate(ensemble, equilibration)
        record = mc.run(ensemble, sweeps, record_every=4)
        found.append((mean_energy(record.energy, 43), specific_heat(record.energy, temperature, 43, 2)))
    for first, second in zip(*found, strict=True):
        assert abs(first.value - second.value) < STATISTICAL * math.hypot(first.error, second.error)


def test_averages_of_a_checkerboard(gpu: str) -> None:
    found = []
    for checkerboard, seed in ((False, 16), (True, 17)):
        ensemble = gnf.Ensemble.random(gnf.systems.ka2d(1290), 16, 0.7, seed=seed, device=gpu)
        mc = gnf.MonteCarlo(ensemble.system, checkerboard=checkerboard)
        mc.equilibrate(ensemble, 1_000)
        found.append(mean_energy(mc.run(ensemble, 1_500, record_every=5).energy, 1290, method="replicas"))
    assert abs(found[0].deviation(found[1])) < STATISTICAL
