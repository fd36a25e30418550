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
    """Return replicas relaxed at a high temperature by local Monte Carlo from random places.

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
    MonteCarlo(system, swap_probability=0.0, threads=threads).equilibrate(ensemble, sweeps=sweeps)
    return ensemble
