"""The torch operators on a real GPU: gradients, streams, tracing compilers. Skipped without a GPU, as in test_cuda.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cases
import glassnf as gnf
from conftest import require_gpu
from tolerances import FP64_REDUCTION

torch = pytest.importorskip("torch")

from glassnf import torch_ops  # noqa: E402

# First use of some parts of torch.compile warns about its own internals.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*")

KA2D = gnf.systems.ka2d(43)


@pytest.fixture(autouse=True)
def cuda() -> None:
    require_gpu(torch=True)


def example(kind: str = "lj_smooth", dimension: int = 2, n: int = 11, replicas: int = 3) -> tuple[Any, Any, Any]:
    """Return a system, positions (R, N, d) and species (R, N) on the GPU."""
    pair = cases.potential(kind, 2)
    system = cases.mixture(pair, n, cases.cells_box(pair, (2.1, 2.2, 2.3)[:dimension]))
    positions, species = cases.lattice_batch(system, replicas, seed=3)
    return system, torch.from_numpy(positions).cuda(), torch.from_numpy(species).cuda()


def operands(system: Any, positions: Any, species: Any) -> tuple[Any, ...]:
    return positions, species, *torch_ops.system_tensors(system)[1:]


def test_gradients_are_minus_the_forces() -> None:
    system, positions, species = example()
    x = positions.clone().requires_grad_()
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, device="cuda")
    energy = gnf.energy(system, x, species)
    assert energy.device == x.device
    (energy * weights).sum().backward()
    forces = gnf.forces(system, positions, species)
    assert torch.equal(x.grad, -weights[:, None, None] * forces)
    on_cpu = gnf.forces(system, positions.cpu(), species.cpu())
    assert (forces.cpu() - on_cpu).abs().max() <= FP64_REDUCTION * on_cpu.abs().max()
    one = positions[0].clone().requires_grad_()
    torch_ops.energy(system, one).backward()
    assert torch.equal(one.grad, -gnf.forces(system, positions[0]))


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("kind", cases.KIND_NAMES)
def test_gradcheck(kind: str, dimension: int) -> None:
    system, positions, species = example(kind, dimension, n=7, replicas=2)
    x = positions.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: torch_ops.energy(system, x, species), (x,), atol=1e-6, rtol=1e-5)
    raw = torch.ops.glassnf.energy.default
    assert torch.autograd.gradcheck(lambda x: raw(*operands(system, x, species)), (x,), atol=1e-6, rtol=1e-5)


def test_opcheck() -> None:
    system, positions, species = example()
    energy, energy_forces = torch.ops.glassnf.energy.default, torch.ops.glassnf.energy_forces.default
    torch.library.opcheck(energy, operands(system, positions, species))
    torch.library.opcheck(energy, operands(system, positions.clone().requires_grad_(), species))
    torch.library.opcheck(energy_forces, operands(system, positions, species))
    # Not test_aot_dispatch: it differentiates the forces too.
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    differentiable = operands(system, positions.clone().requires_grad_(), species)
    torch.library.opcheck(energy_forces, differentiable, test_utils=checks)


def test_compile() -> None:
    torch._dynamo.reset()
    system, positions, species = example()
    compiled = torch.compile(lambda x: gnf.energy(system, x, species).square(), backend="aot_eager", fullgraph=True)
    x = positions.clone().requires_grad_()
    compiled(x).sum().backward()
    u, f = gnf.energy_and_forces(system, positions, species)
    torch.testing.assert_close(x.grad, -2.0 * u[:, None, None] * f, rtol=1e-14, atol=0.0)
    whole = torch.compile(lambda x: torch_ops.energy(system, x), backend="aot_eager", fullgraph=True)
    assert torch.equal(whole(positions), gnf.energy(system, positions))


def test_vmap() -> None:
    system, positions, species = example(replicas=6)
    mapped = torch.vmap(lambda x, s: torch_ops.energy(system, x, s))(positions, species)
    assert torch.equal(mapped, gnf.energy(system, positions, species))


def test_values_of_a_system_may_be_on_the_gpu() -> None:
    system, positions, species = example()
    tensors = torch_ops.system_tensors(system)
    moved = torch_ops.SystemTensors(*(value.cuda() if isinstance(value, torch.Tensor) else value for value in tensors))
    assert torch.equal(torch_ops.energy(moved, positions, species), torch_ops.energy(system, positions, species))
    assert torch.equal(torch_ops.energy(moved, positions), torch_ops.energy(system, positions))


def test_mixed_precision_of_gradients() -> None:
    system, positions, species = example(n=30)
    x = positions.clone().requires_grad_()
    gnf.energy(system, x, species, precision="mixed").sum().backward()
    assert torch.equal(x.grad, -gnf.forces(system, positions, species, precision="mixed"))
    assert not torch.equal(x.grad, -gnf.forces(system, positions, species))


def test_work_waits_for_its_turn_on_the_current_stream() -> None:
    """Positions are written on a stream that is busy; energies must wait for them, and for nothing else."""
    positions, species = (torch.from_numpy(array).cuda() for array in cases.lattice_batch(KA2D, 100, seed=9))
    expected = gnf.energy(KA2D, positions, species).cpu()
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        x = torch.full_like(positions, 0.25)
        torch.cuda._sleep(200_000_000)
        x.copy_(positions)
        u = gnf.energy(KA2D, x, species)
        x.requires_grad_()
        v = gnf.energy(KA2D, x, species)
        v.sum().backward()
        assert torch.cuda.current_stream() == stream
        assert torch.equal(u.cpu(), expected)
        assert torch.equal(v.detach().cpu(), expected)
        assert torch.equal(x.grad, -gnf.forces(KA2D, positions, species))
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert torch.cuda.current_device() == 0


def test_tensors_with_species_of_another_library() -> None:
    require_gpu(cupy=True)
    import cupy

    positions, species = cases.lattice_batch(KA2D, 4, seed=10)
    x, s = torch.from_numpy(positions).cuda(), cupy.asarray(species)
    expected = gnf.energy(KA2D, x, torch.from_numpy(species).cuda())
    assert torch.equal(gnf.energy(KA2D, x, s), expected)
    answer = gnf.energy(KA2D, cupy.asarray(positions), torch.from_numpy(species).cuda())
    assert isinstance(answer, cupy.ndarray)
    np.testing.assert_array_equal(answer.get(), expected.cpu().numpy())
    assert gnf.Ensemble.from_arrays(KA2D, x, species=s, temperature=1.0, seed=1).device == "cuda:0"


def test_full_memory_is_an_error_and_leaves_the_process_usable() -> None:
    positions = torch.from_numpy(cases.lattice_batch(KA2D, 1, seed=10)[0]).cuda()
    with pytest.raises(gnf.cuda.CudaOutOfMemoryError, match="use fewer replicas at once"):
        gnf.energy(KA2D, positions.expand(10**9, 43, 2))
    with pytest.raises(gnf.cuda.CudaOutOfMemoryError, match="use fewer replicas at once"):
        torch_ops.energy(KA2D, positions.expand(10**9, 43, 2))
    assert torch.isfinite(gnf.energy(KA2D, positions)).all()


def test_tensors_that_are_refused() -> None:
    system, positions, species = example()
    for function in (gnf.energy, torch_ops.energy):
        x = positions.clone().requires_grad_()
        with pytest.raises(TypeError, match="float64"):
            function(system, x.float(), species)
        with pytest.raises(ValueError, match="^species: expected .* on c.*, where the positions are, got one on c"):
            function(system, x, species.cpu())
        with pytest.raises(ValueError, match="^species: expected indices from 0 to 1, got 2"):
            function(system, x, species + 1)
        with pytest.raises(ValueError, match="^positions: expected finite coordinates, got inf at index"):
            function(system, x / 0.0, species)
