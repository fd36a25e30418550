"""A sampler of one's own in the comparison: hybrid Monte Carlo (HMC), written with torch.

Any class with these two methods can be compared with the algorithms of glassnf; docs/own_sampler.md says what it may have
beside. Here all K runs advance together, as one batch of tensors.

    glassnf compare -T 0.5 --sampler examples/hmc_torch.py:HMC
    python examples/hmc_torch.py [--quick]

Hybrid Monte Carlo (Duane, Kennedy, Pendleton, Roweth, Phys. Lett. B 195, 216, 1987) draws momenta, follows Newton's equations
for a while by the leapfrog scheme, and accepts or rejects the end with the Metropolis rule, which makes it exact at any step.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import Any

import torch

from glassnf import systems
from glassnf.compare import Problem, Samples, Settings, compare, register_algorithm, spec_of


class HMC:
    """Hybrid Monte Carlo of K runs at once; all masses are 1.

    Parameters
    ----------
    problem
        What there is to sample.
    steps
        Mean number of leapfrog steps of a trajectory; each one draws its own, from half to one and a half of this, so that no
        vibration is always caught at the same phase.
    acceptance
        Share of accepted trajectories at which the time step settles.
    """

    label = "HMC"
    least_budget = 800  # energy evaluations per run; half of the first budget may be spent on adaptation
    candidates = ({"steps": 20}, {"steps": 10}, {"steps": 40}, {"steps": 20, "acceptance": 0.9})

    def __init__(self, problem: Problem, steps: int = 20, acceptance: float = 0.7) -> None:
        self.problem = problem
        self.steps, self.target = steps, acceptance
        self.random = torch.Generator(device=problem.device).manual_seed(problem.seed)
        self.positions = torch.tensor(problem.positions, device=problem.device)
        self.species = torch.tensor(problem.species, device=problem.device)
        self.box = torch.tensor(problem.box, device=problem.device)
        self.energy, self.forces = problem.energy_and_forces(self.positions, self.species)
        self.time_step, self.adaptations = 0.01, 0
        self.accepted: list[float] = []

    def run(self, budget: int) -> Iterator[Samples]:
        """Go on until `budget` energies of each run have been evaluated in all; yield the K configurations as they come."""
        while self.problem.evaluations + self.steps // 2 < budget:
            adapting = self.problem.evaluations < self.problem.adaptation
            acceptance = self.trajectory()
            if adapting:  # and never later: a step that depends on the past of a chain spoils its distribution
                self.adaptations += 1
                self.time_step *= math.exp((acceptance - self.target) / math.sqrt(self.adaptations))
            else:
                self.accepted.append(acceptance)
            yield Samples(self.positions, self.species)

    def trajectory(self) -> float:
        """Follow a trajectory in every run, accept or reject its end, and return the mean acceptance probability."""
        temperature, step = self.problem.temperature, self.time_step
        low, high = max(1, self.steps // 2), self.steps + self.steps // 2
        count = int(torch.randint(low, high + 1, (), generator=self.random, device=self.positions.device))
        momenta = math.sqrt(temperature) * self.normal(self.positions.shape)
        before = self.energy + 0.5 * momenta.square().sum((1, 2))
        positions, energy, forces = self.positions, self.energy, self.forces
        momenta = momenta + 0.5 * step * forces
        for taken in range(1, count + 1):
            positions = torch.remainder(positions + step * momenta, self.box)
            energy, forces = self.problem.energy_and_forces(positions, self.species)
            momenta = momenta + (step if taken < count else 0.5 * step) * forces
        after = energy + 0.5 * momenta.square().sum((1, 2))
        probability = torch.exp((before - after) / temperature).clamp(max=1.0)
        accept = self.uniform(len(probability)) < probability
        self.positions = torch.where(accept[:, None, None], positions, self.positions)
        self.forces = torch.where(accept[:, None, None], forces, self.forces)
        self.energy = torch.where(accept, energy, self.energy)
        return float(probability.mean())

    def normal(self, shape: torch.Size) -> torch.Tensor:
        """Return normal random numbers."""
        return torch.randn(shape, generator=self.random, dtype=torch.float64, device=self.positions.device)

    def uniform(self, count: int) -> torch.Tensor:
        """Return random numbers from [0, 1)."""
        return torch.rand(count, generator=self.random, dtype=torch.float64, device=self.positions.device)

    def report(self) -> dict[str, Any]:
        """Return what belongs into the record of a comparison."""
        acceptance = sum(self.accepted) / len(self.accepted) if self.accepted else None
        return {"time_step": self.time_step, "steps": self.steps, "acceptance": acceptance}


def main() -> None:
    """Compare it with molecular dynamics and local Monte Carlo, from Python."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny run that only shows that everything works")
    quick = parser.parse_args().quick
    spec = spec_of(HMC)
    register_algorithm(spec)
    settings = Settings(
        systems.ka2d(n=43),
        temperatures=(0.7,),
        algorithms=("md", "mc", spec.name),
        runs=8 if quick else 32,
        seconds=None,
        sweeps=3_200 if quick else 25_600,
        reference_sweeps=3_200 if quick else 51_200,
        cache=False,
    )
    for result in compare(settings).results:
        print(f"T = {result.temperature}, <U>/N of the reference {result.reference.mean_energy:.4f}")
        for one in result.algorithms:
            error, cost = one.curves["mean_energy", "wall_time"].error[-1], one.costs["wall_time"][-1]
            print(f"{one.spec.label:>8}: error of <U>/N {error:.4f} after {cost:.3f} s a run; {one.verdict.sentence}")
        for ratio in result.speed_ups:
            if ratio.at_end_of_baseline and ratio.observable == "mean_energy":
                found = ratio.ratio
                times = f"{found.bound} {found.value:.2g} ({found.low:.2g} to {found.high:.2g}) times"
                print(f"{ratio.algorithm:>8}: {times} cheaper than {ratio.baseline} in {ratio.cost.replace('_', ' ')}")


if __name__ == "__main__":
    main()
