"""A model whose energies at a temperature are drawn exactly: a Gaussian density of states, for tests of outer algorithms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import glassnf as gnf


class GaussianExplorer:
    """Draws energies from g(U) exp(-beta U) with a density of states g of variance width^2: normal, of mean -beta width^2.

    Positions stay where they are. Draws depend on seed, step and ids, as those of a real explorer.
    """

    def __init__(self, system: gnf.systems.System, width: float) -> None:
        self.system = system
        self.width = width

    def prepare(self, ensemble: gnf.Ensemble, sweeps: int) -> int:
        ensemble.validate()
        return sweeps

    def explore(self, ensemble: gnf.Ensemble, sweeps: int) -> int:
        ensemble.step += sweeps
        noise = np.random.default_rng([ensemble.seed, ensemble.step]).standard_normal(ensemble.replicas)
        ensemble.energy[:] = -ensemble.beta * self.width**2 + self.width * noise
        return 0

    def adapt(self, ensemble: gnf.Ensemble, sweeps: int) -> int:
        return self.explore(ensemble, sweeps)

    def describe(self) -> dict[str, Any]:
        return {"explorer": "gaussian", "width": self.width}

    def rejection(self, temperatures: Any) -> Any:
        """Return the exact rejection rates between neighbours: 1 - erfc(width |beta - beta'| / 2)."""
        difference = np.abs(np.diff(1.0 / np.asarray(temperatures)))
        return np.array([math.erf(0.5 * self.width * d) for d in difference])

    def log_z(self, beta: Any) -> Any:
        """Return log Z up to a constant."""
        return 0.5 * (np.asarray(beta) * self.width) ** 2
