"""Small systems and fields for the tests of torch flows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cases import jittered_lattice, shuffled_species
from glassnf.flows import MessageField, RadialBasis, TemperatureBasis
from glassnf.flows.equivariant import EquivariantField
from glassnf.flows.message_field import species_pairs
from glassnf.flows.torch_twin import TableField
from glassnf.systems import PairPotential, System, custom

HOT, COLD = 1.0, 0.5
NAMES = ("pair", "one layer", "two layers", "three layers", "network")


def soft(n: int, d: int, side: float = 4.0, kinds: int = 2) -> System:
    """Return a mixture of soft particles in a box that is a square or a cube."""
    species = np.sort(np.arange(n) % kinds).astype(np.int32)
    sigma = np.array([[1.2, 1.0], [1.0, 0.9]])[:kinds, :kinds]
    return custom("soft", potential=PairPotential("harmonic", sigma, 2.0), species=species, box=np.full(d, side))


def batch(system: System, replicas: int, seed: int = 4) -> tuple[Any, Any]:
    """Return positions (R, N, d) without close pairs, and shuffled species, as NumPy arrays."""
    rng = np.random.default_rng(seed)
    positions = np.stack([jittered_lattice(rng, system.n, system.box) for _ in range(replicas)])
    return positions, shuffled_species(rng, system, replicas)


def field(name: str, system: System, size: float = 0.05, seed: int = 7) -> Any:
    """Return a field with random weights, so that velocities are of order `size`."""
    generator = torch.Generator().manual_seed(seed)
    if name == "network":
        module: Any = EquivariantField(system, HOT, COLD, features=6, radial=6, cutoff=1.9, seed=seed)
        with torch.no_grad():
            module.last.copy_(size * torch.randn(module.last.shape, generator=generator, dtype=torch.float64))
        return module
    layers = NAMES.index(name)
    rng = np.random.default_rng(seed)
    pair, message = RadialBasis(0.1, 1.9, 9), RadialBasis(0.1, 1.7, 8)
    terms, pairs = 3, len(species_pairs(system.n_species))
    return TableField(
        system,
        MessageField(
            system.n_species,
            pair,
            message,
            TemperatureBasis(1.0 / HOT, 1.0 / COLD, terms),
            size * rng.normal(size=(layers + 1, terms, pairs, pair.size)),
            0.3 * rng.normal(size=(layers, terms, 2, pairs, message.size)),
        ),
    )


class Truncated(torch.nn.Module):
    """What must not be: a pair field that is still there where the nearest image changes."""

    def __init__(self, system: System, size: float) -> None:
        super().__init__()
        self.register_buffer("box", torch.tensor(np.array(system.box)))
        self.size = size

    def forward(self, positions: Any, species: Any, beta: Any) -> Any:
        ray = positions[:, :, None, :] - positions[:, None, :, :]
        ray = ray - self.box * torch.round(ray.detach() / self.box)
        weight = self.size * torch.exp(-0.25 * (ray * ray).sum(-1))
        return (weight[..., None] * ray).sum(2)
