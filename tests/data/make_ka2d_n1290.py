"""Write ka2d_n1290.npz: an equilibrium configuration of the ternary liquid, N = 1290, T = 0.3, with its reference energy.

Run: python tests/data/make_ka2d_n1290.py (about ten minutes). Swap Monte Carlo from a random start; the energy is that of
the O(N^2) NumPy reference.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import glassnf as gnf

sys.path.insert(0, str(Path(__file__).parents[1]))
from glassnf.certify import reference

TEMPERATURE = 0.3
SWEEPS = 400_000
SEED = 20240917


def main() -> None:
    """Sample and write."""
    system = gnf.systems.ka2d(1290)
    ensemble = gnf.Ensemble.random(system, replicas=1, temperature=TEMPERATURE, seed=SEED)
    mc = gnf.MonteCarlo(system, swap_probability=0.2, threads=1)
    mc.equilibrate(ensemble, 2_000)
    record = mc.run(ensemble, SWEEPS, record_every=1_000)
    quarters = record.energy[:, 0].reshape(4, -1).mean(axis=1) / system.n
    print("energy per particle in the four quarters of the run:", quarters)
    positions, species = ensemble.positions[0], ensemble.species[0]
    energy = reference.energy(positions[None], species, **reference.parameters(system))[0]
    np.savez_compressed(
        Path(__file__).with_name("ka2d_n1290.npz"),
        positions=positions,
        species=species.astype(np.int8),
        energy=energy,
        temperature=TEMPERATURE,
        box=system.box,
    )
    print(f"energy per particle {energy / system.n:.6f}")


if __name__ == "__main__":
    main()
