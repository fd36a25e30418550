"""Molecular dynamics on a GPU: by the CPU's kernels on imaginary GPUs (fake_cupy), and by the real ones against the CPU.

Trajectories must have the same bits on both. Without a GPU the tests of the second kind are skipped, and with
GLASSNF_REQUIRE_GPU=1 they fail.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cases
import fake_cupy
import glassnf as gnf
from cases import assert_identical, small
from glassnf import _core
from glassnf._arrays import address, to_host
from glassnf.samplers import BlowUpError, MDRecord, MolecularDynamics
from glassnf.systems import System

KA2D = gnf.systems.ka2d(43)
THERMOSTATS = ("nve", "langevin", "rescaling")


@pytest.fixture
def imaginary(cupy: Any) -> Any:
    """Imaginary GPUs under the name of the parameter that asks for them."""
    return cupy


@pytest.fixture(params=["imaginary", "real"])
def any_gpu(request: pytest.FixtureRequest) -> str:
    """Run a test on an imaginary GPU and on a real one."""
    if request.param == "imaginary":
        request.getfixturevalue("imaginary")
        return "cuda:1"
    name: str = request.getfixturevalue("gpu")
    return name


def liquid(replicas: int = 3, n: int = 43, temperature: float = 0.6) -> gnf.Ensemble:
    """Return a relaxed liquid with velocities, on the CPU, the same at every call."""
    ensemble = small(replicas, temperature, n)
    gnf.MonteCarlo(ensemble.system, threads=1).equilibrate(ensemble, sweeps=60)
    ensemble.draw_velocities()
    return ensemble


def lattice(system: System, replicas: int = 2, temperature: float = 0.5) -> gnf.Ensemble:
    """Return a molten lattice with velocities, on the CPU."""
    positions, species = cases.lattice_batch(system, replicas, seed=3)
    ensemble = gnf.Ensemble.from_arrays(system, positions, species=species, temperature=temperature, seed=1, move_size=0.03)
    gnf.MonteCarlo(system, swap_probability=0.0, checkerboard=False).run(ensemble, 40)
    ensemble.draw_velocities()
    return ensemble


def dynamics(system: System, thermostat: str = "langevin", **options: Any) -> MolecularDynamics:
    return MolecularDynamics(system, timestep=0.004, thermostat=thermostat, relaxation_time=0.2, threads=1, **options)


def assert_same(on_gpu: gnf.Ensemble, on_cpu: gnf.Ensemble) -> None:
    assert on_gpu.device.startswith("cuda:")
    np.testing.assert_array_equal(to_host(on_gpu.velocities), on_cpu.velocities, err_msg="velocities")
    assert_identical(on_gpu.to("cpu"), on_cpu)


def assert_same_record(a: MDRecord, b: MDRecord) -> None:
    for name in ("steps", "time", "energy", "kinetic_energy", "beta", "positions", "velocities", "species"):
        first, second = getattr(a, name), getattr(b, name)
        assert type(first) is type(second) in (np.ndarray, type(None)), name
        np.testing.assert_array_equal(first, second, err_msg=name)
    np.testing.assert_array_equal(a.swap_attempts, b.swap_attempts)
    np.testing.assert_array_equal(a.swap_accepts, b.swap_accepts)


# ------------------------------------------------------------------------------------------------------- the same as on the CPU


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("swap_every", [None, 7])
def test_trajectories_are_those_of_the_cpu(thermostat: str, swap_every: int | None, any_gpu: str) -> None:
    on_cpu = liquid(5)
    ensemble = on_cpu.to(any_gpu)
    md = dynamics(KA2D, thermostat, swap_every=swap_every)
    records = [
        md.run(each, 100, record_at=[1, 7, 8, 50, 100], record_positions=True, record_velocities=True)
        for each in (ensemble, on_cpu)
    ]
    assert_same_record(*records)
    assert_same(ensemble, on_cpu)
    if swap_every is None:
        assert records[0].pair_evaluations == records[1].pair_evaluations
    else:
        assert records[0].swap_accepts.sum() > 0


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("n", [1, 2, 17, 48, 49, 96, 97, 172, 256])
def test_trajectories_of_small_systems(n: int, thermostat: str, gpu: str) -> None:
    pair = cases.potential("lj_smooth", min(3, n), different_cutoffs=True)
    side = max(2.05 * pair.cutoff_distance, (n / 0.8) ** 0.5)
    on_cpu = lattice(cases.mixture(pair, n, np.full(2, side)))
    ensemble = on_cpu.to(gpu)
    md = dynamics(on_cpu.system, thermostat)
    assert_same_record(*(md.run(each, 60, record_every=20) for each in (ensemble, on_cpu)))
    assert_same(ensemble, on_cpu)


@pytest.mark.parametrize("kind", cases.KIND_NAMES)
@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("n", [60, 200, 700])
def test_trajectories_of_all_potentials(kind: str, dimension: int, n: int, gpu: str) -> None:
    pair = cases.potential(kind, 3)
    side = max(2.05 * pair.cutoff_distance, (n / 0.8) ** (1.0 / dimension))
    on_cpu = lattice(cases.mixture(pair, n, np.array([1.1 * side, *[side] * (dimension - 1)])))
    ensemble = on_cpu.to(gpu)
    md = dynamics(on_cpu.system)
    options: dict[str, Any] = {"record_every": 10, "record_positions": True, "record_velocities": True}
    assert_same_record(*(md.run(each, 30, **options) for each in (ensemble, on_cpu)))
    assert_same(ensemble, on_cpu)


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("system", [gnf.systems.ka2d(1290), gnf.systems.ka(1000), gnf.systems.ka2d(20_000)], ids=str)
def test_trajectories_of_large_systems(system: System, thermostat: str, gpu: str) -> None:
    on_cpu = lattice(system, 1 if system.n > 2000 else 3)
    ensemble = on_cpu.to(gpu)
    md = MolecularDynamics(system, timestep=0.002, thermostat=thermostat, relaxation_time=0.2)
    assert_same_record(*(md.run(each, 20, record_every=10, record_positions=True) for each in (ensemble, on_cpu)))
    assert_same(ensemble, on_cpu)


def test_hybrid_of_a_large_system(gpu: str) -> None:
    on_cpu = liquid(2, n=1290)
    ensemble = on_cpu.to(gpu)
    md = dynamics(on_cpu.system, swap_every=5)
    assert_same_record(*(md.run(each, 20, record_every=4, record_positions=True) for each in (ensemble, on_cpu)))
    assert_same(ensemble, on_cpu)


# ---------------------------------------------------------------------------------------------------------- the same every time


@pytest.mark.parametrize(("n", "replicas", "swap_every"), [(43, 1000, None), (43, 100, 6), (1290, 4, None)])
def test_two_runs_are_the_same(n: int, replicas: int, swap_every: int | None, gpu: str) -> None:
    ends = []
    start = small(replicas, n=n).to(gpu)
    gnf.MonteCarlo(start.system).equilibrate(start, 40)
    for _ in range(2):
        ensemble = start.copy()
        md = dynamics(ensemble.system, "rescaling", swap_every=swap_every)
        ends.append((ensemble, md.run(ensemble, 40, record_every=10, record_positions=True)))
    assert_same_record(ends[0][1], ends[1][1])
    assert ends[0][0].identical_to(ends[1][0])


@pytest.mark.parametrize(("n", "swap_every"), [(43, None), (43, 6), (300, None)])
def test_cutting_and_batching_change_nothing(
    n: int, swap_every: int | None, any_gpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = liquid(5, n).to(any_gpu)
    cut = whole.copy()
    md = dynamics(whole.system, "rescaling", swap_every=swap_every)
    md.run(whole, 60)
    md.run(cut, 25)
    cut.save(tmp_path / "half.h5")
    parts = list(gnf.Ensemble.load(tmp_path / "half.h5", device=any_gpu))
    monkeypatch.setattr(MolecularDynamics, "_chunk", lambda self, ensemble: 4)
    for part in parts:
        md.run(part, 35)
    assert gnf.Ensemble.concatenate(parts).identical_to(whole)


def test_energies_are_those_of_monte_carlo(any_gpu: str) -> None:
    for n in (43, 300):
        ensemble = liquid(3, n).to(any_gpu)
        dynamics(ensemble.system).run(ensemble, 30)
        energy = to_host(ensemble.energy)
        gnf.MonteCarlo(ensemble.system, checkerboard=False).run(ensemble, 0)
        np.testing.assert_array_equal(energy, to_host(ensemble.energy))


# -------------------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("n", [43, 300])
@pytest.mark.parametrize("swap_every", [None, 3])
def test_a_blow_up_is_found_at_the_step_of_the_cpu(n: int, swap_every: int | None, any_gpu: str) -> None:
    on_cpu = liquid(4, n)
    on_cpu.step = 1000
    ensemble = on_cpu.to(any_gpu)
    before = ensemble.copy()
    caught = []
    for each in (on_cpu, ensemble):
        with pytest.raises(BlowUpError, match=r"^molecular dynamics blew up at step 10\d\d in replica \d: ") as error:
            # Too long a time step, but not for the first ten.
            MolecularDynamics(each.system, timestep=0.025, thermostat="nve", swap_every=swap_every).run(each, 200)
        caught.append((error.value.step, error.value.replica))
    assert caught[0] == caught[1]
    assert caught[0][0] > 1010
    assert ensemble.identical_to(before)


@pytest.mark.usefixtures("imaginary")
def test_calls_of_the_kernel() -> None:
    ensemble = liquid().to("cuda:1")
    with fake_cupy.Device(1):
        stream = fake_cupy.Stream(123)
    md = dynamics(KA2D)
    with stream:
        md.run(ensemble, 20, record_every=5)
    name, arguments = fake_cupy.state.calls[-1]
    assert (name, arguments["device"], arguments["stream"], arguments["steps"]) == ("molecular_dynamics", 1, 123, 20)
    assert arguments["record_at"] == [5, 10, 15, 20]
    assert arguments["positions"] == address(ensemble.positions)
    assert arguments["record_positions"] == 0


@pytest.mark.usefixtures("imaginary")
def test_the_device_keeps_few_records_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from glassnf.samplers import molecular_dynamics

    on_cpu = liquid()
    ensemble = on_cpu.to("cuda")
    one = 2 * on_cpu.energy.nbytes + 2 * on_cpu.positions.nbytes + on_cpu.species.nbytes
    monkeypatch.setattr(molecular_dynamics, "_RECORD_BYTES", 3 * one + 1)
    md = dynamics(KA2D)
    options: dict[str, Any] = {"record_at": [1, 2, 3, 4, 5, 9, 10, 30], "record_positions": True, "record_velocities": True}
    assert_same_record(*(md.run(each, 35, **options) for each in (ensemble, on_cpu)))
    assert_same(ensemble, on_cpu)
    assert max(len(arguments["record_at"]) for _, arguments in fake_cupy.state.calls) == 3


@pytest.mark.usefixtures("imaginary")
@pytest.mark.parametrize("when", ["before", "after"])
def test_interrupted_calls_leave_a_valid_ensemble(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = liquid()
    ensemble = on_cpu.to("cuda")
    real = _core.cuda_molecular_dynamics

    def interrupted(*arguments: Any, **options: Any) -> None:
        if when == "after":
            real(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(_core, "cuda_molecular_dynamics", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dynamics(KA2D).run(ensemble, 20)
    if when == "after":
        dynamics(KA2D).run(on_cpu, 20)
    assert_same(ensemble, on_cpu)


@pytest.mark.usefixtures("imaginary")
def test_progress_sees_numbers_of_the_host() -> None:
    seen: dict[str, list[Any]] = {"cpu": [], "cuda": []}
    for device, calls in seen.items():
        ensemble = liquid().to(device)
        dynamics(KA2D, swap_every=5).run(ensemble, 20, progress=lambda *call, calls=calls: calls.append(call))
    for (done, total, info), (_, _, expected) in zip(seen["cuda"], seen["cpu"], strict=False):
        assert done <= total
        assert {type(value) for value in info.values()} == {float}
        assert info == pytest.approx(expected, rel=1e-12)


def test_swaps_need_few_particles(gpu: str) -> None:
    system = gnf.systems.ka2d(70_000)
    ensemble = lattice(system, 1).to(gpu)
    with pytest.raises(ValueError, match="^swap_every: molecular dynamics with swaps .* takes at most 65535 particles"):
        dynamics(system, swap_every=2).run(ensemble, 4)
