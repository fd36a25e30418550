"""Polishing of a trained flow by gradient descent: continuity, maximum likelihood, reverse KL with path gradients.

Regression (`train`) fits the layers of a field one after the other, each in closed form. Here all weights of a field, or those
of any torch module, move together.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _check, torch_ops
from .._optional import require
from ..energy import energy_and_forces
from ..systems import System
from .radial_flow import RadialFlow
from .regression import NodeSamples, held_out
from .torch_field import TorchFlow
from .torch_twin import TableField, integrate
from .transport import FlowError, check_betas

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="flow", purpose="polishing flows")

__all__ = [
    "OBJECTIVES",
    "PolishReport",
    "continuity_residual",
    "log_z_by_integration",
    "negative_log_likelihood",
    "path_gradient_loss",
    "polish",
    "reverse_functional",
]

Tensor = Any
Rate = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
Progress = Callable[[int, int, dict[str, Any]], None]
FloatArray = npt.NDArray[np.float64]

OBJECTIVES = ("continuity", "likelihood", "reverse")
"""What `polish` can minimise."""

_LEAST_STEPS = 8  # through a coarser integrator training finds maps whose discrete Jacobian is not the integrated one
_JUDGED = 512  # held-out configurations of a temperature on which a loss is judged
_PROBED, _PROBES = 128, 4  # configurations and random signs that tell how much each weight matters
_FLOOR = 1e-3  # least such influence of a weight, in units of the largest one
_CHECKS = 10  # of the loss on held-out configurations, while training
_SIGMAS = 5.0  # by which the reverse functional may fall below its bound


# ---- what is minimised -----------------------------------------------------------------------------------------------------


def _carry(rate: Rate, x: Tensor, species: Tensor, beta_from: float, beta_to: float, steps: int) -> tuple[Tensor, Tensor]:
    betas = torch.linspace(beta_from, beta_to, 2 * steps + 1, dtype=x.dtype, device=x.device)
    return integrate(lambda stage, y: rate(y, species, betas[stage]), x, beta_from, beta_to, steps)


def _energy(system: System, x: Tensor, species: Tensor) -> Tensor:
    return torch_ops.energy(system, x, species.int(), threads=1)


def reverse_functional(
    rate: Rate, system: System, x: Tensor, species: Tensor, beta_from: float, beta_to: float, steps: int
) -> Tensor:
    """Return beta_to U(x_1) - beta_from U(x_0) - log |det dx_1/dx_0|, (R,), for equilibrium samples x_0 at `beta_from`.

    Its mean is the Kullback-Leibler divergence from the flow's density to the equilibrium at `beta_to`, minus log Z(beta_to) /
    Z(beta_from): never below the latter.
    """
    image, log_jacobian = _carry(rate, x, species, beta_from, beta_to, steps)
    start = _energy(system, x, species)
    return beta_to * _energy(system, image, species) - beta_from * start - log_jacobian


def path_gradient_loss(
    module: Any,
    rate_of: Callable[[Any], Rate],
    system: System,
    x: Tensor,
    species: Tensor,
    beta_from: float,
    beta_to: float,
    steps: int,
) -> Tensor:
    """Return a scalar whose gradient in the weights is the path gradient of the mean of `reverse_functional`.

    The gradient of E[log q(x_1) + beta_to U(x_1)] has a part along x_1(weights), and one of log q at fixed x_1, whose mean is
    zero and whose noise is not. Only the first is kept (Roeder, Wu, Duvenaud, NeurIPS 2017; Vaitl, Nicoli, Nakajima, Kessel,
    ICML 2022): it vanishes for every single sample once the flow is exact. The gradient of log q comes from the way back, with
    the weights frozen.

    Parameters
    ----------
    module : torch.nn.Module
    rate_of : callable
        ``rate_of(module)`` gives velocity and divergence.
    """
    betas = torch.linspace(beta_from, beta_to, 2 * steps + 1, dtype=x.dtype, device=x.device)
    nothing = torch.zeros(x.shape[0], dtype=x.dtype, device=x.device)
    image = integrate(lambda stage, y: (module(y, species, betas[stage]), nothing), x, beta_from, beta_to, steps)[0]
    frozen = copy.deepcopy(module).requires_grad_(False)
    place = image.detach().requires_grad_()
    back, log_jacobian = _carry(rate_of(frozen), place, species, beta_to, beta_from, steps)
    total = log_jacobian - beta_from * _energy(system, back, species) + beta_to * _energy(system, place, species)
    (slope,) = torch.autograd.grad(total.sum(), place)
    return (slope * image).sum() / len(x)


def negative_log_likelihood(
    rate: Rate, system: System, x: Tensor, species: Tensor, beta_from: float, beta_to: float, steps: int
) -> Tensor:
    """Return -log q(x) - log Z(beta_from), (R,), of equilibrium samples x at `beta_to` under the flow from `beta_from`."""
    back, log_jacobian = _carry(rate, x, species, beta_to, beta_from, steps)
    return beta_from * _energy(system, back, species) - log_jacobian


def continuity_residual(
    rate: Rate, x: Tensor, species: Tensor, beta: float, energy: Tensor, mean_energy: float, forces: Tensor
) -> Tensor:
    """Return div v + beta v.F - (U - <U>), (R,): zero for the exact field, at every configuration."""
    velocity, divergence = rate(x, species, torch.as_tensor(beta, dtype=x.dtype, device=x.device))
    return divergence + beta * (velocity * forces).sum((1, 2)) - (energy - mean_energy)


def log_z_by_integration(betas: Sequence[float], energies: Sequence[FloatArray]) -> tuple[float, float]:
    """Return log Z(last beta) / Z(first beta), minus the integral of <U>, and its standard error.

    Parameters
    ----------
    betas : sequence of K floats, 1/epsilon
    energies : sequence of K arrays (n_k,), epsilon
        Independent samples.

    Notes
    -----
    The trapezoidal rule with its end correction, because the slope of <U> is known to be -var(U): exact for cubics.
    """
    mean = np.array([e.mean() for e in energies])
    slope = -np.array([e.var() for e in energies])
    error = np.array([e.std() / math.sqrt(e.size) for e in energies])
    step = np.diff(np.asarray(betas, dtype=np.float64))
    whole = float(np.sum(0.5 * step * (mean[1:] + mean[:-1]) + step**2 / 12.0 * (slope[:-1] - slope[1:])))
    weight = 0.5 * (np.append(step, 0.0) + np.append(0.0, step))
    return -whole, float(np.sqrt(np.sum((weight * error) ** 2)))


# ---- polishing -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PolishReport:
    """What polishing did.

    Attributes
    ----------
    objective : str
    iterations : int
    before, after : float
        The loss on configurations that do not train. For "continuity" the mean over temperatures of the squared residual over
        var(U), one minus the explained variance; for the others nats.
    losses : (checks, 2) float64
        Iteration, and the loss on configurations that do not train.
    reverse_kl : float
        Divergence from the flow's density to equilibrium at the cold end, nats: the mean of `reverse_functional` plus the
        logarithm of the ratio of partition functions.
    reverse_kl_error : float
        Standard error; the divergence is never below zero by more than noise.
    integration_error : float
        Largest change of a log weight when the steps of the integrator are doubled.
    """

    objective: str
    iterations: int
    before: float
    after: float
    losses: FloatArray = field(repr=False)
    reverse_kl: float
    reverse_kl_error: float
    integration_error: float


@dataclass(frozen=True)
class _Node:
    """Samples of one temperature as tensors, those that train and those that judge."""

    beta: float
    train: tuple[Tensor, ...]  # positions, species, energies, forces
    judge: tuple[Tensor, ...]
    mean_energy: float
    energy_variance: float
    energies: FloatArray


def polish(
    flow: RadialFlow | TorchFlow,
    samples: Sequence[NodeSamples],
    *,
    objective: str = "continuity",
    iterations: int = 200,
    batch: int = 128,
    rate: float = 1e-3,
    steps: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[RadialFlow | TorchFlow, PolishReport]:
    """Improve all weights of a flow together, by Adam, on equilibrium samples.

    The weights that were best on configurations that do not train are kept, the first ones included: by this measure a flow
    does not get worse.

    Parameters
    ----------
    flow : RadialFlow or TorchFlow
        A `RadialFlow` is left as it is; the module of a `TorchFlow` is changed.
    samples : sequence of NodeSamples
        From the hottest to the coldest temperature of the flow; chains with number 7, 15, ... judge. log Z is integrated over
        these temperatures: three or more are better than two.
    objective : {"continuity", "likelihood", "reverse"}
        The residual of the continuity equation at all temperatures, with no integration; maximum likelihood of the cold
        samples; the reverse Kullback-Leibler divergence of hot samples, by path gradients.
    iterations, batch : int
    rate : float
        Step of Adam for each weight: by how much it changes the residual of the continuity equation, as a root mean square
        over configurations, in units of the standard deviation of U. Radial functions at contact and far away differ by many
        orders of magnitude in this, so that no step in the weights themselves would do.
    steps : int
        Runge-Kutta steps of "likelihood" and "reverse", at least 8.
    seed : int
    progress : callable, optional
        ``progress(done, total, info)``.

    Returns
    -------
    flow, PolishReport

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    FlowError
        If a loss is not finite, or the reverse functional falls below -log Z ratio by more than five standard errors: then the
        integrated divergence is not that of the map.
    """
    _check.callback("progress", progress)
    module, rate_of = _trainee(flow)
    objective = _check.choice("objective", objective, OBJECTIVES)
    iterations, batch = _check.nonnegative_int("iterations", iterations), _check.positive_int("batch", batch)
    scale, steps = _check.positive_float("rate", rate), _check.integer("steps", steps, _LEAST_STEPS, None)
    nodes = _nodes(flow, samples)
    generator = torch.Generator().manual_seed(_check.nonnegative_int("seed", seed))
    job = _Job(flow.system, module, rate_of, nodes, objective, steps)
    optimiser = _Adam(module, job.sizes(generator), scale)
    best, kept = job.judged(), copy.deepcopy(module.state_dict())
    losses, every = [(0, best)], max(1, iterations // _CHECKS)
    before = best
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for done in range(1, iterations + 1):
            loss = job.loss(done, batch, generator)
            if not bool(torch.isfinite(loss)):
                raise FlowError(f"the loss is not finite in iteration {done}; a smaller rate than {scale:g} may help")
            optimiser.step(loss, min(1.0, 2.0 * (iterations - done + 1) / iterations))
            if done % every == 0 or done == iterations:
                now = job.judged()
                losses.append((done, now))
                if now < best:
                    best, kept = now, copy.deepcopy(module.state_dict())
                if progress is not None:
                    progress(done, iterations, {"loss": now})
    finally:  # the best weights so far, however it ends
        torch.set_num_threads(threads)
        module.load_state_dict(kept)
    kl, error, coarse = job.check_bound()
    table = np.array(losses, dtype=np.float64)
    report = PolishReport(objective, iterations, before, best, table, kl, error, coarse)
    if isinstance(flow, TorchFlow):
        return flow, report
    return RadialFlow(flow.system, module.field(), flow.hot, flow.cold, flow.steps), report


def _trainee(flow: Any) -> tuple[Any, Callable[[Any], Rate]]:
    """Return the module to train, and what makes its rate."""
    if isinstance(flow, RadialFlow):
        return TableField(flow.system, flow.field), lambda module: module.velocity_and_divergence
    if isinstance(flow, TorchFlow):
        like = flow

        def rate_of(module: Any) -> Rate:
            return TorchFlow(like.system, module, like.hot, like.cold, steps=like.steps, chunk=like.chunk).rate

        return flow.module, rate_of
    raise TypeError(f"flow: expected a RadialFlow or a TorchFlow, got {type(flow).__name__}")


class _Adam:
    """Adam (Kingma, Ba, ICLR 2015) with a step size of its own for every weight."""

    def __init__(self, module: Any, sizes: list[Tensor], rate: float) -> None:
        self.weights = [p for p in module.parameters() if p.requires_grad]
        self.steps = [rate * size for size in sizes]
        self.first = [torch.zeros_like(p) for p in self.weights]
        self.second = [torch.zeros_like(p) for p in self.weights]
        self.count = 0

    def step(self, loss: Tensor, share: float) -> None:
        """Follow the gradient of a loss with a share of the full step."""
        slopes: Any = torch.autograd.grad(loss, self.weights, allow_unused=True)  # None where a weight has no say
        self.count += 1
        with torch.no_grad():
            for weight, slope, step, one, two in zip(self.weights, slopes, self.steps, self.first, self.second, strict=True):
                if slope is None:
                    continue
                one.lerp_(slope, 0.1)
                two.lerp_(slope * slope, 0.001)
                mean, square = one / (1.0 - 0.9**self.count), two / (1.0 - 0.999**self.count)
                weight.sub_(share * step * mean / (square.sqrt() + 1e-30))


def _nodes(flow: RadialFlow | TorchFlow, samples: Sequence[NodeSamples]) -> list[_Node]:
    if len(samples) < 2 or not all(isinstance(node, NodeSamples) for node in samples):
        raise TypeError("samples: expected NodeSamples of two temperatures or more")
    betas = [node.beta for node in samples]
    if sorted(betas) != betas:
        raise ValueError(f"samples: expected temperatures from the hottest to the coldest, got {[1.0 / b for b in betas]}")
    check_betas(flow, betas[0], betas[-1])
    nodes = []
    for sample in samples:
        energy, forces = energy_and_forces(flow.system, sample.positions, sample.species)
        judges = held_out(sample.groups)
        if judges.all() or not judges.any():
            raise ValueError(f"samples: expected 8 chains or more, so that some judge, got {np.unique(sample.groups).size}")
        arrays = (sample.positions, sample.species.astype(np.int64), energy, forces)
        train, judge = (tuple(torch.tensor(a[part]) for a in arrays) for part in (~judges, judges))
        judge = tuple(tensor[:: max(1, len(tensor) // _JUDGED)][:_JUDGED] for tensor in judge)
        nodes.append(_Node(sample.beta, train, judge, float(energy.mean()), float(energy.var()), energy))
    return nodes


@dataclass(frozen=True)
class _Job:
    system: System
    module: Any
    rate_of: Callable[[Any], Rate]
    nodes: list[_Node]
    objective: str
    steps: int

    @property
    def ends(self) -> tuple[float, float]:
        return self.nodes[0].beta, self.nodes[-1].beta

    def loss(self, iteration: int, batch: int, generator: Any) -> Tensor:
        """Return the loss of some configurations that train."""
        by_kind = {"continuity": iteration % len(self.nodes), "likelihood": -1, "reverse": 0}
        node = self.nodes[by_kind[self.objective]]
        chosen = torch.randint(len(node.train[0]), (batch,), generator=generator)
        part = tuple(tensor[chosen] for tensor in node.train)
        if self.objective == "reverse":
            x, species = part[:2]
            return path_gradient_loss(self.module, self.rate_of, self.system, x, species, *self.ends, self.steps)
        return self._mean(node, part)

    def _mean(self, node: _Node, part: tuple[Tensor, ...]) -> Tensor:
        rate = self.rate_of(self.module)
        x, species, energy, forces = part
        if self.objective == "continuity":
            residual = continuity_residual(rate, x, species, node.beta, energy, node.mean_energy, forces)
            return residual.square().mean() / node.energy_variance
        objective = negative_log_likelihood if self.objective == "likelihood" else reverse_functional
        return objective(rate, self.system, x, species, *self.ends, self.steps).mean()

    def sizes(self, generator: Any) -> list[Tensor]:
        """Return the change of every weight that changes the residual of the continuity equation by the spread of U.

        The gradient of a sum of residuals with random signs has, on average, the sum of their squared gradients as its square.
        """
        weights = [p for p in self.module.parameters() if p.requires_grad]
        squares = [torch.zeros_like(p) for p in weights]
        for node in self.nodes:
            x, species, energy, forces = (tensor[:_PROBED] for tensor in node.train)
            rate = self.rate_of(self.module)
            residual = continuity_residual(rate, x, species, node.beta, energy, node.mean_energy, forces)
            for probe in range(_PROBES):
                signs = torch.randint(2, residual.shape, generator=generator).to(residual) * 2.0 - 1.0
                total = (signs * residual).sum()
                slopes: Any = torch.autograd.grad(total, weights, allow_unused=True, retain_graph=probe + 1 < _PROBES)
                for square, slope in zip(squares, slopes, strict=True):
                    if slope is not None:
                        square += slope * slope / (len(residual) * node.energy_variance * len(self.nodes) * _PROBES)
        sizes = []
        for weight, square in zip(weights, squares, strict=True):
            largest = float(square.max()) if square.numel() else 0.0
            if largest > 0.0:
                sizes.append(1.0 / square.clamp(min=_FLOOR**2 * largest).sqrt())
            else:  # behind weights that are zero: nothing is known yet
                size = float(weight.detach().square().mean().sqrt()) if weight.numel() else 0.0
                sizes.append(torch.full_like(weight, size if size > 0.0 else 1.0))
        return sizes

    def judged(self) -> float:
        """Return the loss of the configurations that do not train."""
        nodes = {"continuity": self.nodes, "likelihood": self.nodes[-1:], "reverse": self.nodes[:1]}[self.objective]
        with torch.no_grad():
            return float(np.mean([float(self._mean(node, node.judge)) for node in nodes]))

    def check_bound(self) -> tuple[float, float, float]:
        """Return the reverse divergence, its error, and the integration error; FlowError if the divergence is negative."""
        rate, (x, species, _, _) = self.rate_of(self.module), self.nodes[0].judge
        with torch.no_grad():
            coarse, fine = (
                reverse_functional(rate, self.system, x, species, *self.ends, steps) for steps in (self.steps, 2 * self.steps)
            )
        log_z, log_z_error = log_z_by_integration([n.beta for n in self.nodes], [n.energies for n in self.nodes])
        kl = float(fine.mean()) + log_z
        error = math.hypot(float(fine.std()) / math.sqrt(len(fine)), log_z_error)
        if not math.isfinite(kl) or kl < -_SIGMAS * error:
            raise FlowError(
                f"the reverse Kullback-Leibler divergence is {kl:.3g} +- {error:.2g}, which cannot be: the integration is too "
                "coarse, or the divergence is not that of the field"
            )
        return kl, error, float((fine - coarse).abs().max())
