"""Parallel tempering on GPUs: imaginary ones (fake_cupy), whose kernels are those of the CPU, and a real one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cases
import fake_cupy
import glassnf as gnf
from cases import assert_identical

KA2D = gnf.systems.ka2d(43)


def tempering() -> tuple[gnf.ParallelTempering, gnf.Ensemble]:
    pt = gnf.ParallelTempering(KA2D, [1.2, 0.9, 0.7, 0.55], gnf.MonteCarlo(KA2D, threads=1), 2, 3)
    ensemble = pt.start(cases.small(pt.replicas))
    ensemble.move_size[:] = 0.1 * ensemble.temperature
    return pt, ensemble


def compare(on_gpu: gnf.Ensemble, on_cpu: gnf.Ensemble, pt: gnf.ParallelTempering, sweeps: int) -> None:
    """Run the same on both and compare all that is recorded."""
    first = pt.run(on_gpu, sweeps, record_every=4, record_positions=True)
    second = pt.run(on_cpu, sweeps, record_every=4, record_positions=True)
    assert second.accepts.sum() > 5
    for name, value in vars(second).items():
        if name == "state":
            np.testing.assert_array_equal(first.state["visits"], value["visits"])
        elif isinstance(value, np.ndarray):
            assert isinstance(getattr(first, name), np.ndarray)
            np.testing.assert_array_equal(getattr(first, name), value, err_msg=name)
    assert_identical(on_gpu.to("cpu"), on_cpu)


@pytest.mark.parametrize("velocities", [False, True])
def test_imaginary_gpus_do_what_the_cpu_does(velocities: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cupy.install(monkeypatch)
    pt, on_cpu = tempering()
    if velocities:
        on_cpu.velocities = np.ones_like(on_cpu.positions)
    compare(on_cpu.to("cuda:1"), on_cpu, pt, 40)
    exchanges: list[dict[str, Any]] = [arguments for name, arguments in fake_cupy.state.calls if name == "exchange"]
    assert [arguments["step"] for arguments in exchanges] == list(range(3, 40, 3))
    assert all(arguments["device"] == 1 for arguments in exchanges)
    assert all((arguments["velocities"] != 0) == velocities for arguments in exchanges)


def test_equilibration_on_imaginary_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cupy.install(monkeypatch)
    pt, on_cpu = tempering()
    other, _ = tempering()
    on_gpu = on_cpu.to("cuda:0")
    first, second = pt.equilibrate(on_gpu, 640), other.equilibrate(on_cpu, 640)
    np.testing.assert_array_equal(first.temperatures, second.temperatures)
    np.testing.assert_array_equal(first.move_size, second.move_size)
    assert_identical(on_gpu.to("cpu"), on_cpu)


def test_a_real_gpu_does_what_the_cpu_does(gpu: str) -> None:
    pt, on_cpu = tempering()
    compare(on_cpu.to(gpu), on_cpu, pt, 40)
