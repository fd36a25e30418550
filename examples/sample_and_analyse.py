"""Sample the two-dimensional Kob-Andersen liquid by swap Monte Carlo and measure it, with error bars.

python examples/sample_and_analyse.py [--quick] [--temperature 0.5]
"""

from __future__ import annotations

import argparse

import numpy as np

import glassnf as gnf
from glassnf import observables


def main() -> None:
    """Sample, check that the replicas agree, print averages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny run that only shows that everything works")
    parser.add_argument("--temperature", type=float, default=0.5)
    options = parser.parse_args()
    replicas, sweeps = (8, 400) if options.quick else (64, 20_000)

    system = gnf.systems.ka2d(n=43)
    ensemble = gnf.Ensemble.random(system, replicas=replicas, temperature=options.temperature, seed=1)
    mc = gnf.MonteCarlo(system, swap_probability=0.2)
    mc.equilibrate(ensemble, sweeps=sweeps // 2)
    record = mc.run(ensemble, sweeps=sweeps, record_every=10)
    print(system)
    print(f"{sweeps} sweeps of {replicas} replicas at T = {options.temperature} in {record.wall_time:.1f} s")

    # Are the replicas in one equilibrium? R-hat compares their halves with each other; 1.01 is a usual limit.
    print(f"R-hat of the energy          {observables.split_rhat(record.energy):.4f}")
    tau = observables.autocorrelation_time(record.energy)
    print(f"autocorrelation time         {10 * tau.value:.0f} sweeps")

    # Averages; the errors account for the autocorrelation.
    print(f"<U>/N                        {observables.mean_energy(record.energy, system.n)}")
    heat = observables.specific_heat(record.energy, options.temperature, system.n, system.dimension)
    print(f"C_v/N, configurational       {heat}")
    pressure = gnf.pressure(system, ensemble.positions, ensemble.species, temperature=options.temperature)
    error = pressure.std(ddof=1) / np.sqrt(replicas)
    print(f"pressure, last configuration {observables.format_uncertainty(pressure.mean(), error)}")

    # How often moves are accepted: by replica for displacements, by pair of species for swaps.
    print(f"accepted displacements       {record.displacement_acceptance.mean():.3f}")
    accepted = record.swap_acceptance.mean(axis=0)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        print(f"accepted swaps {system.species_names[a]} <-> {system.species_names[b]}       {accepted[a, b]:.4f}")


if __name__ == "__main__":
    main()
