"""Polishing: losses and their gradients, the bound of the reverse divergence, and that flows get better."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import glassnf as gnf  # noqa: E402
from glassnf.flows import FlowError, RadialFlow  # noqa: E402
from glassnf.flows.equivariant import EquivariantField  # noqa: E402
from glassnf.flows.polishing import (  # noqa: E402
    continuity_residual,
    log_z_by_integration,
    negative_log_likelihood,
    path_gradient_loss,
    polish,
    reverse_functional,
)
from glassnf.flows.regression import NodeSamples  # noqa: E402
from glassnf.flows.torch_field import TorchFlow  # noqa: E402
from glassnf.flows.torch_twin import integrate  # noqa: E402
from torch_fields import COLD, HOT, batch, field, soft  # noqa: E402

SYSTEM = soft(6, 2, side=3.9)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.lru_cache(maxsize=1)
def samples() -> tuple[NodeSamples, ...]:
    """Return equilibrium samples at three temperatures, one of each chain."""
    nodes = []
    for temperature in (1.0, 0.7, 0.5):
        ensemble = gnf.Ensemble.random(SYSTEM, 1024, temperature=temperature, seed=round(10 * temperature))
        mc = gnf.MonteCarlo(SYSTEM, threads=1)
        mc.equilibrate(ensemble, 200)
        nodes.append(NodeSamples(1.0 / temperature, ensemble.positions, ensemble.species, np.arange(1024)))
    return tuple(nodes)


def closed(module: Any) -> Any:
    return module.velocity_and_divergence


def gradients(loss: Any, module: Any) -> Any:
    return torch.cat(
        [g.reshape(-1) for g in torch.autograd.grad(loss, list(module.parameters()), allow_unused=True) if g is not None]
    )


@pytest.mark.parametrize("name", ["pair", "one layer"])
def test_the_path_gradient_is_the_gradient_without_the_score(name: str) -> None:
    # d/dw E[log q(x_1) + beta U(x_1)] is the path part plus that of log q at fixed x_1. All three on the same configurations,
    # by different routes: forward with all derivatives, and back from the images with the weights alive.
    module = field(name, SYSTEM, size=0.03)
    x, species = (torch.tensor(a) for a in batch(SYSTEM, 4))
    species = species.long()
    whole = gradients(reverse_functional(closed(module), SYSTEM, x, species, 1.0, 2.0, 16).mean(), module)
    betas = torch.linspace(1.0, 2.0, 33, dtype=torch.float64)
    image = integrate(lambda k, y: closed(module)(y, species, betas[k]), x, 1.0, 2.0, 16)[0].detach()
    score = gradients(-negative_log_likelihood(closed(module), SYSTEM, image, species, 1.0, 2.0, 16).mean(), module)
    path = gradients(path_gradient_loss(module, closed, SYSTEM, x, species, 1.0, 2.0, 16), module)
    assert float((whole - score - path).norm()) < 2e-3 * float(path.norm())
    assert float(score.norm()) > 0.05 * float(path.norm())


def test_the_path_gradient_of_a_network_takes_its_divergence_from_automatic_differentiation() -> None:
    system = soft(3, 2)
    module = field("network", system, size=0.05)
    flow = TorchFlow(system, module, HOT, COLD)
    x, species = (torch.tensor(a) for a in batch(system, 2))
    species = species.long()

    def rate_of(some: Any) -> Any:
        return TorchFlow(system, some, HOT, COLD).rate

    whole = gradients(reverse_functional(flow.rate, system, x, species, 1.0, 2.0, 8).mean(), module)
    betas = torch.linspace(1.0, 2.0, 17, dtype=torch.float64)
    image = integrate(lambda k, y: flow.rate(y, species, betas[k]), x, 1.0, 2.0, 8)[0].detach()
    score = gradients(-negative_log_likelihood(flow.rate, system, image, species, 1.0, 2.0, 8).mean(), module)
    path = gradients(path_gradient_loss(module, rate_of, system, x, species, 1.0, 2.0, 8), module)
    assert float((whole - score - path).norm()) < 1e-2 * float(path.norm())


def test_losses_of_a_field_that_moves_nothing() -> None:
    node = samples()[0]
    x, species = torch.tensor(node.positions[:9]), torch.tensor(node.species[:9]).long()
    module = EquivariantField(SYSTEM, HOT, COLD)
    energy, forces = (torch.tensor(a) for a in gnf.energy_and_forces(SYSTEM, node.positions[:9], node.species[:9]))
    rate = TorchFlow(SYSTEM, module, HOT, COLD).rate
    found = reverse_functional(rate, SYSTEM, x, species, 1.0, 2.0, 8)
    assert (found - energy).abs().max() < 1e-12
    assert (negative_log_likelihood(rate, SYSTEM, x, species, 1.0, 2.0, 8) - energy).abs().max() < 1e-12
    residual = continuity_residual(rate, x, species, 1.0, energy, float(energy.mean()), forces)
    assert (residual + energy - energy.mean()).abs().max() < 1e-12


def test_log_z_of_oscillators() -> None:
    # 12 harmonic degrees of freedom: U is gamma distributed, log Z = -6 log beta. Five standard errors: a false alarm in 2e6.
    rng = np.random.default_rng(3)
    betas = np.linspace(1.0, 2.0, 5)
    found, error = log_z_by_integration(betas.tolist(), [rng.gamma(6.0, 1.0 / b, 20_000) for b in betas])
    assert abs(found + 6.0 * np.log(2.0)) < 5.0 * error + 2e-3
    assert 0.005 < error < 0.03


@pytest.mark.parametrize(
    "objective, iterations, rate", [("continuity", 60, 0.01), ("likelihood", 6, 0.01), ("reverse", 6, 0.01)]
)
def test_a_pair_field_gets_better(objective: str, iterations: int, rate: float) -> None:
    module = field("pair", SYSTEM, size=0.003)
    flow = RadialFlow(SYSTEM, module.field(), HOT, COLD, steps=8)
    better, report = polish(flow, samples(), objective=objective, iterations=iterations, batch=64, rate=rate)
    assert report.after < report.before
    assert report.losses[:, 1].min() == report.after
    assert report.reverse_kl > -5.0 * report.reverse_kl_error
    assert report.integration_error < 0.01
    assert np.array_equal(flow.field.pair, module.field().pair)
    assert isinstance(better, RadialFlow)
    assert not np.array_equal(better.field.pair, flow.field.pair)


@pytest.mark.slow
def test_a_network_gets_better_and_stays_itself() -> None:
    module = EquivariantField(SYSTEM, HOT, COLD, features=4, radial=6)
    flow = TorchFlow(SYSTEM, module, HOT, COLD, steps=8)
    nodes = [NodeSamples(n.beta, n.positions[:128], n.species[:128], n.groups[:128]) for n in samples()]
    better, report = polish(flow, nodes, iterations=20, batch=32, rate=0.02, seed=1)
    assert better is flow
    assert report.after < 0.995 * report.before
    assert module.last.detach().abs().max() > 0.0


class Overstated(torch.nn.Module):
    """A field whose divergence is wrong by a constant."""

    def __init__(self, excess: float) -> None:
        super().__init__()
        self.field, self.excess = field("pair", SYSTEM, size=0.003), excess

    def forward(self, x: Any, species: Any, beta: Any) -> Any:
        return self.field(x, species, beta)

    def velocity_and_divergence(self, x: Any, species: Any, beta: Any) -> tuple[Any, Any]:
        velocity, divergence = self.field.velocity_and_divergence(x, species, beta)
        return velocity, divergence + self.excess


def test_a_broken_bound_is_an_error() -> None:
    assert polish(TorchFlow(SYSTEM, Overstated(0.0), HOT, COLD), samples(), iterations=0)[1].reverse_kl > 0.0
    with pytest.raises(FlowError, match="reverse Kullback-Leibler divergence is -.* cannot be"):
        polish(TorchFlow(SYSTEM, Overstated(2.0), HOT, COLD), samples(), iterations=0)


def test_the_same_seed_gives_the_same_flow() -> None:
    flow = RadialFlow(SYSTEM, field("one layer", SYSTEM, size=0.003).field(), HOT, COLD, steps=8)
    one, two = (polish(flow, samples(), iterations=3, batch=16, seed=5)[0] for _ in range(2))
    other = polish(flow, samples(), iterations=3, batch=16, seed=6)[0]
    assert one.describe() == two.describe()
    assert one.describe() != other.describe() or flow.describe() == one.describe()


@pytest.mark.parametrize(
    "arguments, kind, message",
    [
        ({"objective": "magic"}, ValueError, "objective: expected"),
        ({"steps": 4}, ValueError, "steps: expected"),
        ({"batch": 0}, ValueError, "batch: expected"),
        ({"rate": 0.0}, ValueError, "rate: expected"),
        ({"samples": samples}, TypeError, "samples: expected NodeSamples of two temperatures"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    flow = RadialFlow(SYSTEM, field("pair", SYSTEM).field(), HOT, COLD, steps=8)
    given = dict(arguments)
    nodes = [samples()[0]] if "samples" in given else samples()
    given.pop("samples", None)
    with pytest.raises(kind, match=message):
        polish(flow, nodes, **given)


def test_bad_flows_and_samples() -> None:
    flow = RadialFlow(SYSTEM, field("pair", SYSTEM).field(), HOT, COLD, steps=8)
    with pytest.raises(TypeError, match="flow: expected a RadialFlow or a TorchFlow, got str"):
        polish("flow", samples())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="samples: expected temperatures from the hottest"):
        polish(flow, samples()[::-1])
    few = [NodeSamples(n.beta, n.positions, n.species, np.zeros(1024, np.int64)) for n in samples()]
    with pytest.raises(ValueError, match="samples: expected 8 chains or more"):
        polish(flow, few)
    with pytest.raises(ValueError, match="beta_from: expected a temperature between"):
        polish(RadialFlow(SYSTEM, field("pair", SYSTEM).field(), 0.9, COLD, steps=8), samples())
