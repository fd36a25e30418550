"""What happens where there is no usable GPU: every way to the CUDA backend ends in the documented error, and nothing breaks.

The functions in Python are tested with a runtime that finds no device, on every machine. The native ones are tested in a
process from which CUDA hides all devices.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnf as gnf
from cases import small
from glassnf import _core
from glassnf.flows._native import trajectory, velocity_and_divergence
from glassnf.flows.tables import RadialTables

KA2D = gnf.systems.ka2d(43)
WHY = "the CUDA runtime found no usable device: a reason of this test"
MESSAGE = f"expected a usable CUDA device for 'cuda', but {WHY}"


@pytest.fixture(params=[True, False], ids=["with CUDA", "without CUDA"])
def no_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build with or without the CUDA backend, on a machine without a GPU."""
    monkeypatch.setattr(_core, "cuda_built", lambda: request.param)
    monkeypatch.setattr(_core, "cuda_device_count", lambda: 0)
    monkeypatch.setattr(_core, "cuda_why_not", lambda: WHY)


class OnGPU:
    """An array that says that it is on a GPU."""

    def __init__(self, shape: tuple[int, ...], dtype: str = "<f8") -> None:
        self.__cuda_array_interface__ = {"shape": shape, "typestr": dtype, "data": (4096, False), "version": 3}


def test_errors_are_what_they_are_called() -> None:
    cuda = gnf.cuda
    assert issubclass(cuda.CudaError, RuntimeError)
    assert issubclass(cuda.CudaUnavailableError, cuda.CudaError)
    assert issubclass(cuda.CudaOutOfMemoryError, cuda.CudaError)
    assert cuda.CudaError is _core.CudaError
    assert cuda.CudaOutOfMemoryError is _core.CudaOutOfMemoryError


@pytest.mark.usefixtures("no_gpu")
def test_state() -> None:
    assert gnf.cuda.is_available() is False
    assert gnf.cuda.device_count() == 0
    assert gnf.cuda.why_not() == WHY


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_devices(device: str, tmp_path: Path) -> None:
    ensemble = small()
    ensemble.save(tmp_path / "start.h5")
    strange = small()
    strange.device = device
    for name, call in {
        "to": lambda: ensemble.to(device),
        "random": lambda: gnf.Ensemble.random(KA2D, 10**9, 1.0, 1, device=device),
        "from_arrays": lambda: gnf.Ensemble.from_arrays(KA2D, ensemble.positions, temperature=1.0, seed=1, device=device),
        "load": lambda: gnf.Ensemble.load(tmp_path / "start.h5", device=device),
        "validate": strange.validate,
        "run": lambda: gnf.MonteCarlo(KA2D).run(strange, 1),
        "dynamics": lambda: gnf.MolecularDynamics(KA2D).run(strange, 1),
        "memory": lambda: gnf.cuda.memory(device),
        "device_name": lambda: gnf.cuda.device_name(device),
    }.items():
        with pytest.raises(gnf.cuda.CudaUnavailableError) as caught:
            call()
        assert str(caught.value) == f"device: {MESSAGE}", name
    with pytest.raises(gnf.cuda.CudaUnavailableError, match="^device: expected a usable CUDA device"):
        gnf.cuda.require()
    gnf.MonteCarlo(KA2D).run(ensemble, 1)


@pytest.mark.usefixtures("no_gpu")
def test_arrays() -> None:
    x = OnGPU((3, 43, 2))
    for function in (gnf.energy, gnf.forces, gnf.energy_and_forces, gnf.virial):
        with pytest.raises(gnf.cuda.CudaUnavailableError) as caught:
            function(KA2D, x)
        assert str(caught.value) == f"positions: {MESSAGE}"
    with pytest.raises(gnf.cuda.CudaUnavailableError):
        gnf.pressure(KA2D, x, temperature=1.0)
    tables = RadialTables(0.5, 2.5, np.zeros((1, 1, 3, 3, 6, 4)))
    for function in (velocity_and_divergence, lambda *arguments: trajectory(*arguments, 0.1)):
        with pytest.raises(gnf.cuda.CudaUnavailableError, match="^positions: expected a usable CUDA device"):
            function(KA2D, x, None, tables)
    with pytest.raises(gnf.cuda.CudaUnavailableError):
        gnf.energy(KA2D, x, precision="mixed")


@pytest.mark.usefixtures("no_gpu")
def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x = torch.empty(3, 43, 2, dtype=torch.float64, device="cuda")
        with pytest.raises(gnf.cuda.CudaUnavailableError, match="^positions: expected a usable CUDA device"):
            gnf.energy(KA2D, x)


def test_shapes_of_torch_operators_on_a_gpu_that_is_not_there() -> None:
    """What torch.compile and torch.export see."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available() and torch.cuda.device_count() < 2:
        pytest.skip("torch makes fake tensors of existing GPUs only, and this machine has one")
    from torch._subclasses.fake_tensor import FakeTensorMode

    from glassnf import torch_ops

    tensors = torch_ops.system_tensors(KA2D)
    with FakeTensorMode(allow_non_fake_inputs=True):
        x = torch.empty(3, 43, 2, dtype=torch.float64, device="cuda:1")
        species = torch.empty(3, 43, dtype=torch.int64, device="cuda:1")
        for kinds in (species, None, KA2D.species.tolist()):
            energy = torch_ops.energy(KA2D, x, kinds)
            assert (energy.device, energy.dtype, tuple(energy.shape)) == (x.device, torch.float64, (3,))
        assert torch_ops.energy(KA2D, x, precision="mixed").shape == (3,)
        energy, forces = torch.ops.glassnf.energy_forces(x, species, *tensors[1:])
        assert (energy.device, forces.device, forces.shape) == (x.device, x.device, x.shape)
        for wrong in (species.cpu(), species.to("cuda:0"), np.tile(KA2D.species, (3, 1))):
            with pytest.raises(
                ValueError, match="^species: expected a tensor on cuda:1, where the positions are, got one on c"
            ):
                torch_ops.energy(KA2D, x, wrong)
        with pytest.raises(ValueError, match="^species: expected a tensor on cuda:1, where the positions are, got one on cpu"):
            torch.ops.glassnf.energy(x, species.cpu(), *tensors[1:])


def test_precision_of_torch_tensors_in_host_memory() -> None:
    torch = pytest.importorskip("torch")
    from glassnf import torch_ops

    x = torch.from_numpy(small().positions).requires_grad_()
    for function in (gnf.energy, torch_ops.energy):
        with pytest.raises(ValueError, match="^precision: expected 'float64' for arrays on the CPU, got 'mixed'"):
            function(KA2D, x, precision="mixed")
        with pytest.raises(ValueError, match="^precision: expected one of 'float64', 'mixed', got 'double'"):
            function(KA2D, x, precision="double")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("command", ["sample", "compare"])
def test_commands(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from glassnf.cli import run

    output = tmp_path / "out"
    assert run([command, "-T", "0.5", "-o", str(output), "--device", "cuda", "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"glassnf: error: device: {MESSAGE}\n"
    assert json.loads(printed.out)["error"]["message"] == f"device: {MESSAGE}"
    assert not output.exists()


@pytest.mark.usefixtures("no_gpu")
def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    from glassnf.cli import run

    assert run(["info"]) == 0
    assert f"not used: {WHY}" in capsys.readouterr().out
    assert run(["info", "--json"]) == 0
    hardware = json.loads(capsys.readouterr().out)["hardware"]
    assert (hardware["cuda"], hardware["cuda_why_not"], hardware["cuda_devices"]) == (False, WHY, [])


NATIVE = """
import glassnf as gnf, numpy as np
from glassnf import _core
from glassnf._native import native_system

native = native_system(gnf.systems.ka2d(43))
array = np.zeros(3 * 43 * 2)
a = array.ctypes.data
state = dict.fromkeys("positions images species beta energy ids move_size displacement_attempts".split(), a)
state |= dict.fromkeys("displacement_accepts swap_attempts swap_accepts pair_evaluations".split(), a)
dynamics = dict.fromkeys(
    "positions velocities images species beta energy ids pair_evaluations failure".split(), a
)
ladder = dict.fromkeys("beta move_size energy ids order attempts accepts visits trips from_hot from_cold".split(), a)
field = dict(inner=0.5, outer=2.5, intervals=1, pair=a)
calls = {
    "flow_trajectory": lambda: _core.cuda_flow_trajectory(
        native, replicas=1, positions=a, images=a, species=a, log_jacobian=a, **field, steps=0, step_size=0.1, device=0,
        stream=0,
    ),
    "flow_field": lambda: _core.cuda_flow_field(
        native, replicas=1, positions=a, species=a, velocity=a, divergence=a, **field, device=0, stream=0,
    ),
    "energy": lambda: _core.cuda_energy(native, replicas=1, positions=a, species=a, energy=a, device=0, stream=0),
    "monte_carlo": lambda: _core.cuda_monte_carlo(
        native, replicas=1, **state, seed=1, step=0, sweeps=1, swap_threshold=0, pair_thresholds=[0, 0, 0], record_at=[],
        device=0, stream=0,
    ),
    "molecular_dynamics": lambda: _core.cuda_molecular_dynamics(
        native, replicas=1, **dynamics, seed=1, step=0, steps=1, timestep=0.005, thermostat=0, friction=0.0,
        relaxation_time=0.0, record_at=[], device=0, stream=0,
    ),
    "exchange": lambda: _core.cuda_exchange(
        replicas=2, rungs=2, **ladder, seed=1, step=1, interval=1, device=0, stream=0,
    ),
    "gather": lambda: _core.cuda_gather_replicas(
        replicas=2, parents=a, arrays=[(a, 8)], device=0, stream=0
    ),
    "device_name": lambda: _core.cuda_device_name(0),
    "memory": lambda: _core.cuda_memory(0),
    "sequential_limit": lambda: _core.cuda_sequential_limit(native),
}
assert not gnf.cuda.is_available()
assert gnf.cuda.why_not()
for name, call in calls.items():
    try:
        call()
    except gnf.cuda.CudaError as error:
        assert gnf.cuda.why_not() in str(error), (name, error)
    else:
        assert name == "sequential_limit", name
assert not array.any()
ensemble = gnf.Ensemble.random(gnf.systems.ka2d(43), 2, 1.0, seed=1)
gnf.MonteCarlo(ensemble.system).run(ensemble, 2)
print("still here")
"""


def test_native_functions_where_cuda_finds_no_device() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done: Any = subprocess.run([sys.executable, "-c", NATIVE], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "still here"
