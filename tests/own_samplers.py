"""Samplers of the kind that users write, honest ones and liars, most of them for two particles, where averages are exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from flows_for_tests import PairFlow
from glassnf.certify.pairs import TwoParticles
from glassnf.compare import Problem, Samples
from glassnf.flows.transport import log_weights_of

TWO = TwoParticles()
HOT, COLD = 0.8, 0.4


class Draws:
    """Independent exact samples of two particles by rejection, in chunks of 200 of each run."""

    label = "exact draws"
    off = 1.0  # draws at this multiple of the temperature

    def __init__(self, problem: Problem) -> None:
        self.problem, self.calls = problem, 0

    def draw(self, count: int, temperature: float) -> Any:
        self.calls += 1
        seed = (self.problem.seed + self.calls) % 2**32
        drawn = TWO.draw(count * self.problem.runs, temperature, seed)
        return np.asarray(drawn.positions).reshape(count, self.problem.runs, 2, 2)

    def run(self, budget: int) -> Iterator[Samples]:
        while self.problem.evaluations < budget:
            count = min(200, budget - int(self.problem.evaluations))
            positions = self.draw(count, self.off * self.problem.temperature)
            self.problem.charge(count * self.problem.runs)
            yield Samples(positions)


class HotDraws(Draws):
    """Draws at the wrong temperature: the first liar."""

    off = 1.1


class Reweighted(Draws):
    """Draws at the temperature of the starts, weighted."""

    label = "reweighted draws"
    share = 1.0  # of the exponent that is used

    def run(self, budget: int) -> Samples:
        count = budget - int(self.problem.evaluations)
        positions = self.draw(count, HOT)
        energy = self.problem.energy(positions)
        return Samples(positions, log_weights=self.share * (1.0 / HOT - self.problem.beta) * energy)


class Unweighted(Reweighted):
    """Forgets its weights."""

    share = 0.0


class Carried(Draws):
    """Draws at the temperature of the starts, carried by a flow with its Jacobian."""

    jacobian = 1.0
    restarts = True

    def run(self, budget: int) -> Samples:
        problem = self.problem
        count = budget // 2
        flow = PairFlow(problem.system, HOT, COLD, 0.1, turn=1.1, steps=6)
        start = self.draw(count, HOT)
        flat = start.reshape(-1, 2, 2)
        species = np.zeros(flat.shape[:2], dtype=np.int32)
        moved = flow.transport(flat, species, 1.0 / HOT, problem.beta)
        end = moved.positions.reshape(start.shape)
        before, after = problem.energy(start), problem.energy(end)
        log_jacobian = self.jacobian * moved.log_jacobian.reshape(before.shape)
        return Samples(end, log_weights=log_weights_of(before, after, log_jacobian, 1.0 / HOT, problem.beta))


class NoJacobian(Carried):
    """Drops the Jacobian of its map: the second liar."""

    jacobian = 0.0


class Metropolis:
    """Metropolis Monte Carlo that moves all particles at once; `scale` multiplies the energy, honestly only by 1."""

    label = "global Metropolis"
    scale = 1.0
    least_budget = 40
    candidates = ({"size": 0.3}, {"size": 0.1})

    def __init__(self, problem: Problem, size: float = 0.3) -> None:
        self.problem, self.size = problem, size
        self.random = problem.rng()
        self.positions = problem.positions
        self.energy = self.scale * problem.energy(self.positions)

    def run(self, budget: int) -> Iterator[Samples]:
        while self.problem.evaluations < budget:
            moved = self.positions + self.random.uniform(-self.size, self.size, self.positions.shape)
            energy = self.scale * self.problem.energy(moved)
            accept = self.random.random(len(energy)) < np.exp(np.minimum(0.0, -self.problem.beta * (energy - self.energy)))
            self.positions = np.where(accept[:, None, None], moved, self.positions)
            self.energy = np.where(accept, energy, self.energy)
            yield Samples(self.positions)

    def report(self) -> dict[str, Any]:
        return {"size": self.size, "random": self.random, "energies": self.energy}


class Softened(Metropolis):
    """Samples a modified energy: the third liar."""

    scale = 0.8
