"""Define a liquid of your own, save it, check its energies against the formula, and sample it.

A binary mixture of soft discs, V(r) = epsilon (sigma_ab / r)^12, with diameters 1 and 1.4, smooth at the cutoff.

python examples/own_system.py [--quick]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import glassnf as gnf
from glassnf import observables
from glassnf.systems import PairPotential


def soft_discs(n: int = 64) -> gnf.systems.System:
    """Describe an equimolar mixture of n soft discs of diameters 1 and 1.4 at number density 0.75."""
    diameters = np.array([1.0, 1.4])
    potential = PairPotential(
        "inverse_power",
        exponent=12,
        sigma=(diameters[:, None] + diameters) / 2,
        epsilon=1.0,  # for every pair
        cutoff=2.0,  # in units of sigma_ab
    )
    return gnf.systems.custom(
        "soft discs",
        composition={"small": n // 2, "large": n - n // 2},
        species_names=["small", "large"],
        potential=potential,
        density=0.75,
        dimension=2,
    )


def energy_by_formula(system: gnf.systems.System, positions: np.ndarray, species: np.ndarray) -> float:
    """Sum the pair potential over all pairs of one configuration, as one would on paper."""
    total = 0.0
    for i in range(system.n):
        for j in range(i):
            difference = positions[i] - positions[j]
            difference -= system.box * np.round(difference / system.box)
            total += float(system.potential.energy(np.linalg.norm(difference), species[i], species[j]))
    return total


def main() -> None:
    """Define, save, load, check, sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny run that only shows that everything works")
    options = parser.parse_args()
    replicas, sweeps = (4, 400) if options.quick else (32, 10_000)

    system = soft_discs()
    print(system)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "soft_discs.toml")
        system.to_toml(path)  # glassnf sample --system soft_discs.toml -T 1.0 -o run.h5 reads it
        assert gnf.systems.load(path) == system
    gnf.systems.register("soft discs", soft_discs)  # now glassnf.systems.by_name knows it

    ensemble = gnf.Ensemble.random(system, replicas=replicas, temperature=1.0, seed=3)
    by_hand = energy_by_formula(system, ensemble.positions[0], ensemble.species[0])
    print(f"energy of replica 0   {ensemble.energy[0]:.10f}, by the formula {by_hand:.10f}")
    assert np.isclose(ensemble.energy[0], by_hand, rtol=1e-12)

    mc = gnf.MonteCarlo(system, swap_probability=0.2)
    mc.equilibrate(ensemble, sweeps=sweeps // 2)
    record = mc.run(ensemble, sweeps=sweeps, record_every=10)
    print(f"<U>/N at T = 1        {observables.mean_energy(record.energy, system.n)}")
    print(f"accepted swaps        {record.swap_acceptance[:, 0, 1].mean():.2e}")


if __name__ == "__main__":
    main()
