"""Parallel tempering and population annealing on a GPU, imaginary (fake_cupy) and real, against the CPU: the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cases
import fake_cupy
import glassnf as gnf
from cases import assert_identical
from glassnf import _core
from glassnf._arrays import address, stream_of, to_host
from glassnf.samplers._population import copy_replicas

KA2D = gnf.systems.ka2d(43)


@pytest.fixture(params=["imaginary", "real"])
def any_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test on an imaginary GPU and on a real one."""
    if request.param == "imaginary":
        fake_cupy.install(monkeypatch)
        return "cuda:1"
    name: str = request.getfixturevalue("gpu")
    return name


def test_tempering_with_dynamics(any_gpu: str) -> None:
    """Velocities are scaled where temperatures are exchanged."""
    md = gnf.MolecularDynamics(KA2D, timestep=0.004, threads=1)
    pt = gnf.ParallelTempering(KA2D, [1.2, 0.9, 0.7, 0.55], md, 3, 10)
    on_cpu = pt.start(cases.small(pt.replicas))
    gnf.MonteCarlo(KA2D, threads=1).run(on_cpu, 40)
    on_cpu.draw_velocities()
    on_gpu = on_cpu.to(any_gpu)
    records = [pt.run(each, 100, record_every=20) for each in (on_gpu, on_cpu)]
    assert records[1].accepts.sum() > 3
    np.testing.assert_array_equal(records[0].energy, records[1].energy)
    np.testing.assert_array_equal(records[0].replica, records[1].replica)
    np.testing.assert_array_equal(records[0].accepts, records[1].accepts)
    np.testing.assert_array_equal(to_host(on_gpu.velocities), on_cpu.velocities)
    assert_identical(on_gpu.to("cpu"), on_cpu)


@pytest.mark.parametrize("explorer", ["monte carlo", "dynamics"])
def test_annealing(explorer: str, any_gpu: str) -> None:
    mover: Any = gnf.MonteCarlo(KA2D) if explorer == "monte carlo" else gnf.MolecularDynamics(KA2D, timestep=0.003)
    pa = gnf.PopulationAnnealing(KA2D, 1.0, 0.8, mover, 5, equilibration_sweeps=20, adapt_move_size=False)
    start = cases.small(40, 1.0)
    gnf.MonteCarlo(KA2D).run(start, 60)
    on_gpu, on_cpu = pa.run(start, seed=4, device=any_gpu), pa.run(start, seed=4)
    assert on_cpu.culled.sum() > 0
    np.testing.assert_array_equal(on_gpu.energy, on_cpu.energy)
    np.testing.assert_array_equal(on_gpu.log_z, on_cpu.log_z)
    assert on_gpu.families == on_cpu.families
    assert_identical(on_gpu.ensemble.to("cpu"), on_cpu.ensemble)


@pytest.mark.parametrize("velocities", [False, True])
@pytest.mark.parametrize(("replicas", "n"), [(5, 43), (1000, 43), (7, 300)])
def test_copies_of_replicas(replicas: int, n: int, velocities: bool, any_gpu: str) -> None:
    on_cpu = cases.small(replicas, n=n)
    on_cpu.energy[:] = np.arange(replicas)
    if velocities:
        on_cpu.draw_velocities()
    on_gpu = on_cpu.to(any_gpu)
    rng = np.random.default_rng(5)
    parents = np.arange(replicas)
    parents[1::2] = rng.choice(parents[::2], parents[1::2].size)
    before = on_cpu.copy()
    for ensemble in (on_gpu, on_cpu):
        copy_replicas(ensemble, parents)
        copy_replicas(ensemble, parents)  # does no harm
    for name in ("positions", "images", "species", "energy", *(["velocities"] if velocities else [])):
        np.testing.assert_array_equal(to_host(getattr(on_gpu, name)), getattr(before, name)[parents], err_msg=name)
    assert_identical(on_gpu.to("cpu"), on_cpu)


def test_arrays_of_any_size(gpu: str) -> None:
    """Pieces of memory that are not whole words, and a batch in which all stay."""
    import importlib

    cupy = importlib.import_module("cupy")
    parents = np.array([0, 0, 2, 2, 0], dtype=np.int64)
    for dtype, width in ((np.uint8, 3), (np.int32, 1), (np.int32, 6), (np.float64, 5), (np.float64, 32)):
        host = np.random.default_rng(3).integers(0, 255, (5, width)).astype(dtype)
        array = cupy.asarray(host)
        for chosen in (np.arange(5), parents):
            _core.cuda_gather_replicas(
                replicas=5,
                parents=address(chosen),
                arrays=[(address(array), host[0].nbytes)],
                device=0,
                stream=stream_of(array),
            )
            np.testing.assert_array_equal(to_host(array), host[chosen])
