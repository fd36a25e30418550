"""Independent configurations at a high temperature, where every comparison begins."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..systems import System

__all__ = ["derived_seed", "hot_start"]


def derived_seed(seed: int, *labels: object) -> int:
    """Return a seed for one purpose, from the seed of the whole and labels that say which purpose.

    Different labels give seeds that have nothing to do with each other (63 bits of a SHA-256 hash).
    """
    text = "/".join(["glassnf", str(seed), *(repr(label) for label in labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def hot_start(
    system: System,
    replicas: int,
    seed: int,
    *,
    temperature: float,
    sweeps: int,
    threads: int | None = None,
    device: str = "cpu",
) -> Ensemble:
    """Return replicas relaxed at a high temperature from random places, by swap Monte Carlo where there are species to swap.

    Local moves alone forget a random arrangement of the species slowly, even at high temperatures: some 5000 sweeps for ka2d at
    T = 1. The starts are to be in equilibrium, so that no algorithm begins with the memory of how they were made.

    Parameters
    ----------
    system
        The system.
    replicas
        Number of replicas.
    seed
        Seed of the random numbers.
    temperature
        The high temperature, in epsilon / k_B.
    sweeps
        Length of the relaxation, a multiple of 20.
    threads
        Number of threads, or None for all.
    device
        Where they are to be: ``"cpu"``, ``"cuda"`` or ``"cuda:K"``.
    """
    from ..ensemble import Ensemble
    from ..samplers import MonteCarlo

    ensemble = Ensemble.random(system, replicas=replicas, temperature=temperature, seed=seed, device=device)
    swap_probability = 0.2 if system.n_species > 1 else 0.0
    MonteCarlo(system, swap_probability=swap_probability, threads=threads).equilibrate(ensemble, sweeps=sweeps)
    return ensemble
