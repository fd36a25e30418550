"""An equivariant network as a field: an example of a torch module for `TorchFlow`, and a start for one's own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .._optional import require
from ..systems import System
from .torch_field import temperature_range

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="flow", purpose="flows made of torch modules")

__all__ = ["EquivariantField"]

Tensor = Any


class EquivariantField(torch.nn.Module):
    r"""Velocities from messages that know distances only, after Satorras, Hoogeboom and Welling (ICML 2021).

    With d the distance of the nearest image of j from i, radial functions b_m(d) = exp(-(d - d_m)^2 / 2 w^2) u(d) and the
    envelope u(d) = (1 - d^2 / r_c^2)^3, whose value and first two derivatives vanish at r_c, below half of the box:

        h_i^0 = M_0(s_i, beta, sum_j W[s_j] b(d_ij)),                     scalars from species and density
        h_i^l = h_i^(l-1) + M_l(h_i^(l-1), beta, sum_j (V_l b(d_ij)) * (P_l h_j^(l-1))),
        v_i   = sum_j [(A h_i + A h_j) . b(d_ij)] r_ij,                   r_ij = x_i - x_j.

    The weight of r_ij is symmetric in i and j, so that the centre of mass stays. Everything depends on distances of nearest
    images and is summed over particles: velocities follow translations on the torus, permutations within a species, and the
    symmetries of the box, in two dimensions and three. All functions are smooth at distances above zero. The last layer starts
    at zero: an untrained field moves nothing.

    Parameters
    ----------
    system : System
    hot, cold : float, epsilon
        Temperatures; the networks see a variable that goes from -1 to 1 between 1/hot and 1/cold.
    features : int
        Scalars per particle.
    radial : int
        Radial functions.
    rounds : int
        Rounds of messages between scalars, l above.
    cutoff : float, optional, sigma
        r_c. Default: 2.5, or 0.98 times half of the shortest side where that is less.
    seed : int
        Of the initial weights.
    """

    def __init__(
        self,
        system: System,
        hot: float,
        cold: float,
        *,
        features: int = 16,
        radial: int = 10,
        rounds: int = 1,
        cutoff: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        self.hot, self.cold = temperature_range(hot, cold)
        features, radial = _check.positive_int("features", features), _check.integer("radial", radial, 2, None)
        rounds = _check.nonnegative_int("rounds", rounds)
        half = 0.5 * min(float(side) for side in system.box)
        self.cutoff = min(2.5, 0.98 * half) if cutoff is None else _check.positive_float("cutoff", cutoff)
        if self.cutoff >= half:
            raise ValueError(f"cutoff: expected a distance below {half:g}, half of the shortest side, got {self.cutoff:g}")
        kinds = system.n_species
        places = np.linspace(0.2, 1.0, radial) * self.cutoff
        self.width = 1.5 * float(places[1] - places[0])
        self.register_buffer("_places", torch.tensor(places))
        self.register_buffer("_box", torch.tensor(np.array(system.box)))
        generator = torch.Generator().manual_seed(_check.nonnegative_int("seed", seed))

        def weights(*shape: int, scale: float = 1.0) -> torch.nn.Parameter:
            size = scale / math.sqrt(shape[-1])
            return torch.nn.Parameter(size * torch.randn(shape, generator=generator, dtype=torch.float64))

        self.species = weights(kinds, features, scale=math.sqrt(features))
        self.density = weights(kinds * radial, features)
        self.first = weights(features, 2 * features + 2)
        self.edges = torch.nn.ParameterList([weights(features, radial) for _ in range(rounds)])
        self.senders = torch.nn.ParameterList([weights(features, features) for _ in range(rounds)])
        self.updates = torch.nn.ParameterList([weights(features, 2 * features + 2) for _ in range(rounds)])
        self.last = torch.nn.Parameter(torch.zeros(features, radial, dtype=torch.float64))

    def forward(self, positions: Tensor, species: Tensor, beta: Tensor | float) -> Tensor:
        """Return the velocity (R, N, d) of positions (R, N, d), species (R, N) and one beta."""
        low, high = 1.0 / self.hot, 1.0 / self.cold
        t = (2.0 * torch.as_tensor(beta, dtype=positions.dtype, device=positions.device) - low - high) / (high - low)
        time = torch.stack([torch.ones_like(t), t])
        ray, basis = self._radial(positions)
        replicas, n = species.shape
        context = time.expand(replicas, n, 2)
        own = torch.nn.functional.one_hot(species, len(self.species)).to(positions.dtype)
        density = torch.einsum("rijm,rjs->rism", basis, own).flatten(2) @ self.density
        h = torch.tanh(torch.cat([self.species[species], density, context], -1) @ self.first.T)
        for edges, senders, updates in zip(self.edges, self.senders, self.updates, strict=True):
            message = self._message(basis, edges, h @ senders.T)
            h = h + torch.tanh(torch.cat([h, message, context], -1) @ updates.T)
        one_sided = torch.einsum("rijm,rim->rij", basis, h @ self.last)
        return torch.einsum("rij,rija->ria", one_sided + one_sided.transpose(1, 2), ray)

    @staticmethod
    def _message(basis: Tensor, edges: Tensor, sent: Tensor) -> Tensor:
        """Return the sum over j of (V b(d_ij)) * sent_j, (R, N, F), without an array of pairs times features."""
        by_radial = edges.T[None, None] * sent[:, :, None, :]  # (R, N, M, F)
        return torch.einsum("rijm,rjmf->rif", basis, by_radial)

    def _radial(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return rays (R, N, N, d) and radial functions (R, N, N, M); those of a particle with itself are zero."""
        ray = positions[:, :, None, :] - positions[:, None, :, :]
        box: Any = self._box
        ray = ray - box * torch.round(ray.detach() / box)
        itself = torch.eye(positions.shape[1], dtype=positions.dtype, device=positions.device)
        distance = torch.sqrt((ray * ray).sum(-1) + (2.0 * self.cutoff) ** 2 * itself)
        envelope = (1.0 - (distance / self.cutoff) ** 2).clamp(min=0.0) ** 3
        places: Any = self._places
        z = (distance[..., None] - places) / self.width
        return ray, torch.exp(-0.5 * z * z) * envelope[..., None]
