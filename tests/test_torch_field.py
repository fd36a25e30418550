"""Fields made with torch: exact divergences, symmetries, the density they give, and what TorchFlow refuses."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import glassnf as gnf  # noqa: E402
from glassnf.flows import FlowError  # noqa: E402
from glassnf.flows.equivariant import EquivariantField  # noqa: E402
from glassnf.flows.torch_field import TorchFlow, divergence, field_errors  # noqa: E402
from glassnf.flows.torch_twin import TableField, integrate  # noqa: E402
from torch_fields import COLD, HOT, NAMES, Truncated, batch, field, soft  # noqa: E402

BETA = 1.4


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors(positions: Any, species: Any) -> tuple[Any, Any]:
    return torch.tensor(positions), torch.tensor(species).long()


def whole_jacobian(map_of: Any, x: Any) -> Any:
    return torch.autograd.functional.jacobian(lambda flat: map_of(flat.reshape(x.shape)).reshape(-1), x.reshape(-1))


# ---- divergence -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_divergence_is_the_trace_of_the_jacobian(name: str, d: int) -> None:
    system = soft(9, d)
    module = field(name, system)
    x, kinds = tensors(*batch(system, 3))
    beta = torch.tensor(BETA, dtype=torch.float64)
    for chunk in (None, 4):
        velocity, found = divergence(module, x, kinds, beta, chunk=chunk)
        assert torch.equal(velocity, module(x, kinds, beta))
        for k in range(3):
            jacobian = whole_jacobian(lambda y, k=k: module(y[None], kinds[k : k + 1], beta)[0], x[k])
            assert abs(float(jacobian.trace() - found[k].detach())) < 1e-10
            assert abs(float(found[k].detach())) > 1e-3


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("name", NAMES[:4])
def test_the_closed_form_is_the_derivative(name: str, d: int) -> None:
    system = soft(12, d)
    module = field(name, system)
    x, kinds = tensors(*batch(system, 4))
    velocity, found = module.velocity_and_divergence(x, kinds, BETA)
    reference, trace = divergence(module, x, kinds, torch.tensor(BETA, dtype=torch.float64))
    assert (velocity - reference).abs().max() < 1e-13
    assert (found - trace).abs().max() < 1e-10


def test_the_weights_of_tables_have_the_derivatives_of_differences() -> None:
    system = soft(8, 2)
    module = field("two layers", system)
    x, kinds = tensors(*batch(system, 2))
    generator = torch.Generator().manual_seed(1)
    probe = torch.randn(x.shape, generator=generator, dtype=torch.float64)

    def scalar() -> Any:
        velocity, trace = module.velocity_and_divergence(x, kinds, BETA)
        return (velocity * probe).sum() + trace.sum()

    for weight in (module.pair, module.message):
        (gradient,) = torch.autograd.grad(scalar(), weight)
        step = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            weight.add_(1e-5 * step)
            above = scalar()
            weight.sub_(2e-5 * step)
            below = scalar()
            weight.add_(1e-5 * step)
        assert float((gradient * step).sum()) == pytest.approx(float((above - below) / 2e-5), rel=1e-6)


@pytest.mark.parametrize("name", ["pair", "two layers", "network"])
def test_the_integral_is_the_determinant_of_the_map(name: str) -> None:
    system = soft(4, 2)
    module = field(name, system, size=0.05)
    flow = TorchFlow(system, module, HOT, COLD, steps=16)
    positions, species = batch(system, 1)
    x, kinds = tensors(positions, species)
    betas = torch.linspace(1.0, 2.0, 33, dtype=torch.float64)
    found = flow.transport(positions, species, 1.0, 2.0)
    assert found.steps == 16
    for k in range(1):

        def image(y: Any, k: int = k) -> Any:
            rate = lambda stage, z: (module(z, kinds[k : k + 1], betas[stage]), torch.zeros(1, dtype=torch.float64))  # noqa: E731
            return integrate(rate, y[None], 1.0, 2.0, 16)[0][0]

        exact = torch.linalg.slogdet(whole_jacobian(image, x[k]))[1]
        assert found.log_jacobian[k] == pytest.approx(float(exact), abs=2e-4)
        assert abs(float(exact)) > 0.01
    moved = found.positions + found.images * np.array(system.box)
    assert np.abs(moved - positions).max() > 0.002


# ---- symmetries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_fields_obey_the_symmetries(name: str, d: int) -> None:
    system = soft(9, d)
    for seed in range(3):
        errors = field_errors(system, field(name, system), *batch(system, 3), beta=BETA, seed=seed)
        assert max(errors.translation, errors.reflection, errors.permutation, errors.batch) < 1e-12
        assert errors.jump < 1e-6


class Broken(torch.nn.Module):
    """A pair field that breaks one rule."""

    def __init__(self, system: Any, rule: str) -> None:
        super().__init__()
        self.pair, self.rule = field("pair", system), rule

    def forward(self, x: Any, species: Any, beta: Any) -> Any:
        v = self.pair(x, species, beta)
        if self.rule == "translation":
            return v * (1.0 + 0.1 * torch.sin(x))
        if self.rule == "reflection":
            return v * torch.tensor([1.0, 1.1], dtype=torch.float64)
        if self.rule == "permutation":
            return v * (1.0 + 0.1 * torch.arange(x.shape[1], dtype=torch.float64))[:, None]
        return v + 0.1 * v.mean(0)


@pytest.mark.parametrize("rule", ["translation", "reflection", "permutation", "batch"])
def test_broken_symmetries_are_seen(rule: str) -> None:
    system = soft(9, 2)
    errors = field_errors(system, Broken(system, rule), *batch(system, 3), beta=BETA)
    assert getattr(errors, rule) > 1e-3
    assert errors.worst > 1e-3


def test_a_jump_at_half_the_box_is_seen() -> None:
    system = soft(9, 2)
    assert field_errors(system, Truncated(system, 0.1), *batch(system, 3), beta=BETA).jump > 1e-3


def test_the_centre_of_mass_stays() -> None:
    system = soft(9, 2)
    x, kinds = tensors(*batch(system, 3))
    for name in ("pair", "network"):
        assert field(name, system)(x, kinds, BETA).sum(1).abs().max() < 1e-14


def test_radial_functions_are_twice_differentiable_at_the_cutoff() -> None:
    system = soft(2, 2)
    module = field("network", system, size=1.0)
    kinds = torch.tensor([[0, 1]])

    def along(r: Any) -> Any:
        x = torch.stack([torch.zeros(2, dtype=torch.float64), torch.stack([r, torch.zeros_like(r)])])[None]
        return module(x, kinds, BETA)[0, 1, 0]

    for order in range(3):  # the value and two derivatives go to zero with the distance from the cutoff
        sizes = []
        for gap in (1e-2, 1e-3):
            r = torch.tensor(1.9 - gap, dtype=torch.float64, requires_grad=True)
            value = along(r)
            for _ in range(order):
                (value,) = torch.autograd.grad(value, r, create_graph=True)
            sizes.append(abs(float(value.detach())))
        assert sizes[1] < 0.2 * sizes[0]


# ---- the density ----------------------------------------------------------------------------------------------------------


def integral_of_q(module: Any, system: Any, grid: int = 64) -> float:
    """Return the integral of the density that the flow makes of a uniform one, for two particles, over their relative position.

    q(x) = |det dF^-1/dx| / V. The flow conserves the centre of mass, so that the relative position is all that counts. The
    midpoint rule on a torus converges faster than any power of the grid for smooth densities.
    """
    side, d = float(system.box[0]), system.dimension
    points = (np.arange(grid) + 0.5) / grid * side
    relative = np.array(list(itertools.product(points, repeat=d)))
    positions = np.zeros((len(relative), 2, d))
    positions[:, 1] = relative
    species = np.tile(system.species, (len(relative), 1))
    flow = TorchFlow(system, module, HOT, COLD, steps=16, batch=4096)
    back = flow.transport(positions, species, 1.0 / COLD, 1.0 / HOT)
    return float(np.exp(back.log_jacobian).mean())


@pytest.mark.parametrize("name", ["pair", "one layer", pytest.param("two layers", marks=pytest.mark.slow), "network"])
def test_the_density_of_two_particles_is_normalised(name: str) -> None:
    system = soft(2, 2)
    module = field(name, system, size=0.05)
    positions = np.array([[[0.0, 0.0], [0.9, 0.3]]])
    flow = TorchFlow(system, module, HOT, COLD)
    assert abs(flow.transport(positions, system.species, 1.0, 2.0).log_jacobian[0]) > 0.05
    grid = 32 if name == "network" else 64  # the network is smoother
    assert integral_of_q(module, system, grid) == pytest.approx(1.0, abs=5e-4)


def test_the_density_of_two_particles_is_normalised_in_three_dimensions() -> None:
    system = soft(2, 3)
    assert integral_of_q(field("pair", system, size=0.05), system, grid=24) == pytest.approx(1.0, abs=1e-3)


def test_a_field_with_a_jump_is_not_normalised() -> None:
    system = soft(2, 2)
    assert abs(integral_of_q(Truncated(system, 0.05), system) - 1.0) > 0.05


@pytest.mark.parametrize("name", ["pair", "two layers", "network"])
def test_the_way_back_undoes_the_way(name: str) -> None:
    system = soft(6, 2)
    flow = TorchFlow(system, field(name, system, size=0.03), HOT, COLD, steps=16)
    positions, species = batch(system, 3)
    there = flow.transport(positions, species, 1.0, 2.0)
    back = flow.transport(there.positions, species, 2.0, 1.0)
    apart = back.positions - positions
    apart -= system.box * np.rint(apart / system.box)
    assert np.abs(apart).max() < 1e-6
    assert np.abs(there.log_jacobian + back.log_jacobian).max() < 1e-4
    assert np.abs(there.log_jacobian).min() > 1e-3


# ---- the flow as an object ------------------------------------------------------------------------------------------------


def test_transport_wraps_and_counts_box_crossings() -> None:
    system = soft(6, 2)
    flow = TorchFlow(system, field("pair", system, size=0.3), HOT, COLD, batch=2)
    positions, species = batch(system, 5)
    whole = flow.transport(positions, species, 1.0, 2.0)
    assert (whole.positions >= 0.0).all()
    assert (whole.positions < 4.0).all()
    shifted = flow.transport(positions + np.array([1.7, 0.0]), species, 1.0, 2.0)
    apart = shifted.positions + 4.0 * shifted.images - whole.positions - 4.0 * whole.images - np.array([1.7, 0.0])
    assert np.abs(apart - 4.0 * np.rint(apart / 4.0)).max() < 1e-12
    assert np.abs(shifted.log_jacobian - whole.log_jacobian).max() < 1e-12
    alone = flow.transport(positions[3:4], species[3:4], 1.0, 2.0)
    assert np.abs(alone.positions - whole.positions[3:4]).max() < 1e-13
    assert whole.images.dtype == np.int32


def test_a_shorter_way_takes_fewer_steps() -> None:
    system = soft(6, 2)
    flow = TorchFlow(system, field("pair", system), HOT, COLD, steps=12)
    positions, species = batch(system, 2)
    assert flow.transport(positions, species, 1.0, 1.5).steps == 6
    assert flow.transport(positions, species, 1.0, 1.01).steps == 2
    assert flow.transport(positions, species, 1.0, 2.0, steps=5).steps == 5
    nowhere = flow.transport(positions, species, 1.5, 1.5)
    assert nowhere.steps == 0
    assert np.array_equal(nowhere.positions, positions)
    assert not nowhere.log_jacobian.any()


def test_an_untrained_network_moves_nothing() -> None:
    system = soft(6, 2)
    positions, species = batch(system, 2)
    flow = TorchFlow(system, EquivariantField(system, HOT, COLD), HOT, COLD, steps=2)
    found = flow.transport(positions, species, 1.0, 2.0)
    assert np.array_equal(found.positions, positions)
    assert not found.log_jacobian.any()


def test_the_description_tells_weights_apart() -> None:
    system = soft(6, 2)
    one, other = (TorchFlow(system, field("pair", system, seed=s), HOT, COLD).describe() for s in (1, 2))
    again = TorchFlow(system, field("pair", system, seed=1), HOT, COLD).describe()
    assert one == again
    assert one["weights"] != other["weights"]
    assert one["system"] == system.hash


def test_fields_that_blow_up_are_named() -> None:
    system = soft(6, 2)

    class Blows(torch.nn.Module):
        def forward(self, x: Any, species: Any, beta: Any) -> Any:
            bad = (x[:, 0, 0] > 2.0).double()[:, None, None]
            return x * torch.where(bad > 0, torch.inf, 0.0)

    positions, species = batch(system, 3)
    positions[:, 0, 0] = 1.0, 3.0, 1.0
    with pytest.raises(FlowError, match="not finite") as caught:
        TorchFlow(system, Blows(), HOT, COLD).transport(positions, species, 1.0, 2.0)
    assert caught.value.replicas == (1,)


@pytest.mark.slow
def test_the_sampler_takes_a_torch_flow() -> None:
    system = soft(6, 2)
    flow = TorchFlow(system, EquivariantField(system, HOT, COLD), HOT, COLD, steps=2)
    found = gnf.FlowSampler(system, flow).run(samples=128, seed=3)
    assert 0.05 < found.ess <= 1.0
    still = gnf.FlowSampler(system, gnf.flows.IdentityFlow(system, HOT, COLD)).run(samples=128, seed=3)
    assert found.ess == pytest.approx(still.ess, rel=1e-9)  # an untrained network is the identity


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"hot": 0.5, "cold": 1.0}, "cold: expected a temperature below hot"),
        ({"hot": -1.0}, "hot: expected"),
        ({"steps": 1}, "steps: expected"),
        ({"chunk": 0}, "chunk: expected"),
        ({"batch": 0}, "batch: expected"),
    ],
)
def test_bad_arguments_of_the_flow(arguments: dict[str, Any], message: str) -> None:
    system = soft(6, 2)
    with pytest.raises(ValueError, match=message):
        TorchFlow(system, field("pair", system), **{"hot": HOT, "cold": COLD, **arguments})


def test_bad_objects() -> None:
    system = soft(6, 2)
    with pytest.raises(TypeError, match="system: expected a System, got str"):
        TorchFlow("ka2d", field("pair", system), HOT, COLD)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="module: expected a torch.nn.Module, got function"):
        TorchFlow(system, lambda x: x, HOT, COLD)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cutoff: expected a distance below 2"):
        EquivariantField(system, HOT, COLD, cutoff=2.0)
    with pytest.raises(TypeError, match="field: expected a MessageField, got str"):
        TableField(system, "pair")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="field: expected a range of less than half the box"):
        TableField(soft(6, 2, side=3.6), field("pair", system).field())
    with pytest.raises(ValueError, match="field: expected one of 1 species, got 2"):
        TableField(soft(6, 2, kinds=1), field("pair", system).field())


def test_bad_batches() -> None:
    system = soft(6, 2)
    flow = TorchFlow(system, field("pair", system), HOT, COLD)
    positions, species = batch(system, 2)
    with pytest.raises(ValueError, match="beta_to: expected a temperature between 0.5 and 1"):
        flow.transport(positions, species, 1.0, 2.1)
    with pytest.raises(ValueError, match="positions: expected shape"):
        flow.transport(positions[:, :5], species, 1.0, 2.0)
    wrong = TorchFlow(system, Truncated(soft(6, 2), 0.1), HOT, COLD)
    wrong.module.forward = lambda x, s, b: x[:, :, :1].expand(-1, -1, 1)  # type: ignore[method-assign]
    with pytest.raises((ValueError, RuntimeError)):
        wrong.transport(positions, species, 1.0, 2.0)
