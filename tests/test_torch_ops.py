"""The torch operators: values, gradients, tracing compilers, batching, bad input; and that glassnf does without torch."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import glassnf as gnf
from cases import cells_box, lattice_batch, mixture, potential
from glassnf import torch_ops
from glassnf.systems import PairPotential, System

# First use of some parts of torch.compile warns about its own internals.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*")

KINDS = ("lj_smooth", "lj_shifted", "inverse_power", "wca", "harmonic")


def example(kind: str = "lj_smooth", dimension: int = 2, n: int = 11, replicas: int = 3, cells: float = 2.1) -> tuple[Any, ...]:
    """Return a system, positions (R, N, d) and species (R, N) as tensors."""
    pair = potential(kind, 2)
    system = mixture(pair, n, cells_box(pair, (cells, cells + 0.1, cells + 0.2)[:dimension]))
    positions, species = lattice_batch(system, replicas, seed=3)
    return system, torch.from_numpy(positions), torch.from_numpy(species)


def with_grad(positions: torch.Tensor) -> torch.Tensor:
    return positions.clone().requires_grad_()


def operands(system: System, positions: torch.Tensor, species: torch.Tensor) -> tuple[Any, ...]:
    return positions, species, *torch_ops.system_tensors(system)[1:]


# --------------------------------------------------------------------------------------------------------- values and gradients


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_as_the_numpy_functions(kind: str, dimension: int) -> None:
    system, positions, species = example(kind, dimension)
    u, f = gnf.energy_and_forces(system, positions.numpy(), species.numpy())
    assert np.array_equal(torch_ops.energy(system, positions, species).numpy(), u)
    x = with_grad(positions)
    energy = torch_ops.energy(system, x, species)
    assert np.array_equal(energy.detach().numpy(), u)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    assert np.array_equal(gradient.numpy(), -f)


def test_same_bits_through_cells() -> None:
    system, positions, species = example(n=150, replicas=2, cells=4.3)
    u, f = gnf.energy_and_forces(system, positions.numpy(), species.numpy())
    x = with_grad(positions)
    energy = torch_ops.energy(system, x, species)
    energy.sum().backward()
    assert np.array_equal(energy.detach().numpy(), u)
    assert np.array_equal(x.grad.numpy(), -f)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck(kind: str, dimension: int) -> None:
    system, positions, species = example(kind, dimension, n=7, replicas=2)
    assert torch.autograd.gradcheck(
        lambda x: torch_ops.energy(system, x, species), (with_grad(positions),), atol=1e-6, rtol=1e-5
    )
    raw = torch.ops.glassnf.energy.default
    assert torch.autograd.gradcheck(lambda x: raw(*operands(system, x, species)), (with_grad(positions),), atol=1e-6, rtol=1e-5)


@pytest.fixture
def thread_counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of threads of each call of the kernels."""
    seen: list[int] = []
    native = torch_ops._core.energy

    def energy(*arguments: Any, threads: int, **options: Any) -> None:
        seen.append(threads)
        native(*arguments, threads=threads, **options)

    monkeypatch.setattr(torch_ops._core, "energy", energy)
    monkeypatch.setenv("GLASSNF_THREADS", "5")
    return seen


def test_threads_reach_the_kernels(thread_counts: list[int]) -> None:
    system, positions, species = example()
    gnf.energy(system, with_grad(positions), species, threads=3)
    gnf.energy(system, with_grad(positions), species)
    with torch.no_grad():
        gnf.energy(system, with_grad(positions), species, threads=2)
    torch.vmap(lambda x: torch_ops.energy(system, x, threads=4))(positions[None])
    assert thread_counts == [3, 5, 2, 4]
    raw = torch.ops.glassnf.energy
    raw(*operands(system, with_grad(positions), species), 2).sum().backward()
    raw(*operands(system, with_grad(positions), species)).sum().backward()
    assert thread_counts[4:] == [2, 2, 5, 5]
    with pytest.raises(ValueError, match=r"^threads: expected an integer from 1 to 4096, got 0"):
        gnf.energy(system, with_grad(positions), species, threads=0)


@pytest.mark.slow
def test_threads_reach_the_kernels_through_a_compiler(thread_counts: list[int]) -> None:
    torch._dynamo.reset()
    system, positions, species = example()
    compiled = torch.compile(gnf.energy, backend="aot_eager", fullgraph=True)
    for threads in (3, 2, 4, None):
        compiled(system, with_grad(positions), species, threads=threads).sum().backward()
    assert thread_counts == [3, 2, 4, 5]


def test_glassnf_energy_uses_the_operator() -> None:
    system, positions, species = example()
    x = with_grad(positions)
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    (gnf.energy(system, x, species) * weights).sum().backward()
    expected = -weights[:, None, None] * gnf.forces(system, positions, species)
    assert torch.equal(x.grad, expected)
    assert not gnf.energy(system, positions, species).requires_grad


def test_single_configuration_and_default_species() -> None:
    system, positions, _ = example()
    x = with_grad(positions[0])
    energy = torch_ops.energy(system, x)
    assert energy.shape == ()
    assert energy.item() == gnf.energy(system, positions[0].numpy())
    energy.backward()
    assert torch.equal(x.grad, -gnf.forces(system, positions[0]))


def test_gradient_of_coordinates_outside_the_box_and_of_views() -> None:
    system, positions, species = example()
    shifted = with_grad(positions + torch.from_numpy(np.array(system.box)) * torch.tensor([2.0, -1.0]))
    torch_ops.energy(system, shifted, species).sum().backward()
    strided = positions.transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    assert not strided.is_contiguous()
    torch_ops.energy(system, strided, species.to(torch.int64)).sum().backward()
    forces = gnf.forces(system, positions, species)
    torch.testing.assert_close(shifted.grad, -forces, rtol=1e-9, atol=1e-9)  # the shift itself is rounded
    assert torch.equal(strided.grad, -forces)


def test_no_replicas() -> None:
    system, positions, species = example()
    x = with_grad(positions[:0])
    energy = torch_ops.energy(system, x, species[:0])
    assert energy.shape == (0,)
    energy.sum().backward()
    assert x.grad.shape == x.shape


def test_overlaps_give_finite_energies_and_gradients() -> None:
    system, positions, species = example()
    x = positions.clone()
    x[:, 1] = x[:, 0]
    x.requires_grad_()
    energy = torch_ops.energy(system, x, species)
    energy.sum().backward()
    assert torch.isfinite(energy).all()
    assert (energy > 1e20).all()
    assert torch.isfinite(x.grad).all()


def test_second_derivatives_are_refused() -> None:
    system, positions, species = example()
    x = with_grad(positions)
    (gradient,) = torch.autograd.grad(torch_ops.energy(system, x, species).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivatives"):
        gradient.sum().backward()
    (gradient,) = torch.autograd.grad(torch.ops.glassnf.energy(*operands(system, x, species)).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivatives"):
        gradient.sum().backward()


@pytest.mark.parametrize("place, name", [(2, "box"), (3, "cutoff"), (4, "coefficients")])
@pytest.mark.parametrize("operator", ["energy", "energy_forces"])
def test_derivatives_in_constants_are_refused(operator: str, place: int, name: str) -> None:
    arguments = list(operands(*example()))
    arguments[place] = with_grad(arguments[place])
    result = getattr(torch.ops.glassnf, operator)(*arguments)
    energy = result if operator == "energy" else result[0]
    with pytest.raises(NotImplementedError, match=f"^{name}: expected a tensor without requires_grad"):
        energy.sum().backward()


# ----------------------------------------------------------------------------------------------- tracing compilers and batching


@pytest.mark.parametrize("dimension", [2, 3])
def test_opcheck(dimension: int) -> None:
    system, positions, species = example(dimension=dimension)
    energy, energy_forces = torch.ops.glassnf.energy.default, torch.ops.glassnf.energy_forces.default
    torch.library.opcheck(energy, operands(system, positions, species))
    torch.library.opcheck(energy, operands(system, with_grad(positions), species))
    torch.library.opcheck(energy_forces, operands(system, positions, species))
    # Not test_aot_dispatch: it differentiates the forces too.
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(energy_forces, operands(system, with_grad(positions), species), test_utils=checks)


def weighted(system: Any, positions: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
    return (2.0 * torch_ops.energy(system, positions, species) + 1.0).sum()


@pytest.mark.parametrize("as_tensors", [False, True])
def test_compile_does_not_specialise_on_the_system(as_tensors: bool) -> None:
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(weighted, backend=counter, fullgraph=True)
    system, positions, species = example()
    other_box = gnf.systems.custom("other", potential=system.potential, species=system.species, box=system.box * 1.125)
    other_potential = mixture(PairPotential("lj_shifted", sigma=[[0.9, 0.8], [0.8, 0.7]], epsilon=1.5), system.n, system.box)
    counts = []
    for each in (system, other_box, other_potential):
        tensors = torch_ops.system_tensors(each)
        x = with_grad(positions)
        value = compiled(tensors if as_tensors else each, x, species)
        value.backward()
        torch.testing.assert_close(value.detach(), weighted(each, positions, species), rtol=1e-14, atol=0.0)
        torch.testing.assert_close(x.grad, -2.0 * gnf.forces(each, positions, species), rtol=1e-14, atol=0.0)
        counts.append(counter.frame_count)
    assert counts[0] > 0
    assert counts[1:] == [counts[0]] * 2


def test_compile_of_glassnf_energy_with_a_fresh_system() -> None:
    torch._dynamo.reset()
    system, positions, species = example()
    compiled = torch.compile(lambda x: gnf.energy(system, x, species).square(), backend="aot_eager", fullgraph=True)
    x = with_grad(positions)
    compiled(x).sum().backward()
    u, f = gnf.energy_and_forces(system, positions, species)
    torch.testing.assert_close(x.grad, -2.0 * u[:, None, None] * f, rtol=1e-14, atol=0.0)
    compiled = torch.compile(lambda x: torch_ops.energy(system, x, species), backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(positions), u)


def test_compiled_errors_come_from_values() -> None:
    torch._dynamo.reset()
    system, positions, species = example()
    compiled = torch.compile(weighted, backend="aot_eager", fullgraph=True)
    compiled(system, positions, species)
    with pytest.raises(ValueError, match=r"^species: expected indices from 0 to 1, got 2"):
        compiled(system, positions, species + 1)


def test_export() -> None:
    class Model(torch.nn.Module):
        def __init__(self, system: System) -> None:
            super().__init__()
            self.tensors = torch_ops.system_tensors(system)

        def forward(self, positions: torch.Tensor) -> torch.Tensor:
            return torch_ops.energy(self.tensors, positions)

    system, positions, _ = example()
    program = torch.export.export(Model(system), (positions,))
    assert torch.equal(program.module()(positions + 0.25), gnf.energy(system, positions + 0.25))


def test_vmap() -> None:
    system, positions, species = example(replicas=6)
    u, f = gnf.energy_and_forces(system, positions, species)
    x = with_grad(positions)
    mapped = torch.vmap(lambda x, s: torch_ops.energy(system, x, s))(x, species)
    assert torch.equal(mapped.detach(), u)
    mapped.sum().backward()
    assert torch.equal(x.grad, -f)
    # A batch of batches, the mapped axis in the middle, species shared.
    stacked = torch.stack([positions, positions + 0.125], dim=2)
    both = torch.vmap(lambda x: torch_ops.energy(system, x, species), in_dims=2)(stacked)
    assert torch.equal(both, torch.stack([u, gnf.energy(system, positions + 0.125, species)]))
    tensors = torch_ops.system_tensors(system)
    boxes = torch.stack([tensors.box, tensors.box * 1.5])
    with pytest.raises(NotImplementedError, match=r"^box: expected the same for all"):
        torch.vmap(lambda box: torch_ops.energy(tensors._replace(box=box), positions, species))(boxes)


# -------------------------------------------------------------------------------------------------------------------- bad input


def test_arguments_are_checked() -> None:
    system, positions, species = example()
    energy = torch_ops.energy
    not_finite = positions.clone()
    not_finite[1, 2, 0] = np.nan
    with pytest.raises(TypeError, match=r"^positions: expected a tensor of type torch.float64, got torch.float32"):
        energy(system, positions.float(), species)
    with pytest.raises(ValueError, match=r"^positions: expected a tensor on the CPU or a CUDA device, got one on meta"):
        energy(system, positions.to("meta"), species)
    with pytest.raises(TypeError, match=r"^positions: expected a tensor, got ndarray"):
        energy(system, positions.numpy(), species)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^positions: expected shape \(R, 11, 2\) or \(11, 2\), got \(3, 10, 2\)"):
        energy(system, positions[:, :10], species)
    with pytest.raises(ValueError, match=r"^positions: expected finite coordinates, got nan at index \(1, 2, 0\)"):
        energy(system, not_finite, species)
    with pytest.raises(TypeError, match=r"^species: expected integers, got a tensor of type torch.float64"):
        energy(system, positions, species.double())
    with pytest.raises(ValueError, match=r"^species: expected shape \(3, 11\) or \(11,\), got \(2, 11\)"):
        energy(system, positions, species[:2])
    with pytest.raises(ValueError, match=r"^species: expected indices from 0 to 1, got -1"):
        energy(system, positions, species - 1)
    with pytest.raises(TypeError, match=r"^system: expected a System or SystemTensors, got str"):
        energy("ka2d", positions, species)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^system: expected a System or SystemTensors, got str"):
        torch_ops.system_tensors("ka2d")  # type: ignore[arg-type]


def test_operands_of_the_raw_operators_are_checked() -> None:
    good = list(operands(*example()))
    changes: list[tuple[int, Any, str]] = [
        (0, good[0].float(), "positions: expected a tensor of type torch.float64"),
        (0, good[0][0], "positions: expected shape"),
        (1, good[1][0], "species: expected shape"),
        (1, good[1].double(), "species: expected integers"),
        (2, good[2].float(), "box: expected a tensor of type"),
        (2, good[2] * 0.5, "box: expected sides of at least two cutoffs"),
        (2, good[2] * np.nan, "box: expected"),
        (3, good[3][None], "cutoff: expected a scalar"),
        (3, good[3] * 0.9, "cutoff: expected at least the largest cutoff distance"),
        (4, good[4][0], "coefficients: expected shape"),
        (4, good[4] * 0.0, "coefficients: expected finite numbers"),
        (5, 3, "kind: expected 0, 1 or 2"),
    ]
    for place, value, message in changes:
        arguments = [*good[:place], value, *good[place + 1 :]]
        for operator in (torch.ops.glassnf.energy, torch.ops.glassnf.energy_forces):
            with pytest.raises((TypeError, ValueError), match=f"^{message}"):
                operator(*arguments)


def test_a_system_with_tensors_is_the_same_system() -> None:
    system, _, _ = example()
    before, text = hash(system), repr(system)
    tensors = torch_ops.system_tensors(system)
    assert torch_ops.system_tensors(system) is tensors
    assert (hash(system), repr(system)) == (before, text)
    for clone in (pickle.loads(pickle.dumps(system)), copy.deepcopy(system)):
        assert clone == system
        assert torch.equal(torch_ops.system_tensors(clone).coefficients, tensors.coefficients)


# ---------------------------------------------------------------------------------------------------------------------- imports


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60)


def test_import_brings_no_optional_library() -> None:
    heavy = ("torch", "cupy", "freud", "gsd", "scipy", "matplotlib", "typer", "rich")
    code = f"import sys, glassnf; print([name for name in {heavy!r} if name in sys.modules])"
    assert run_python("-c", code).stdout.strip() == "[]"


def test_energies_of_arrays_bring_no_torch() -> None:
    code = """
import sys, glassnf as gnf
ensemble = gnf.Ensemble.random(gnf.systems.ka2d(n=43), replicas=2, temperature=1.0, seed=1)
gnf.MonteCarlo(ensemble.system).run(ensemble, 2)
gnf.forces(ensemble.system, ensemble.positions, ensemble.species)
print("torch" in sys.modules)
"""
    assert run_python("-c", code).stdout.strip() == "False"
