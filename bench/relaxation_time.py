"""Structural relaxation times of ka2d, N = 1290, by molecular dynamics from configurations equilibrated by swap Monte Carlo.

The authors of the model publish tau_alpha = 2200 tau at T = 0.30 (readme of the data set GlassBench). Two definitions
are measured:

- bond breaking: the share of the neighbours of a particle (closer than 1.35 sigma_ab at time 0) that are still
  neighbours (closer than 1.7 sigma_ab), averaged over particles; the time at which it falls to 1/2. Long waves, which
  in two dimensions carry particles along with their cage, leave it alone.
- F_s(k, t) at k = 6.8 / sigma, of all particles and of species A: the time at which it falls to 1/e.

    python bench/relaxation_time.py -o bench/results/relaxation_time.json
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import common
import glassnf as gnf
from glassnf import observables

PUBLISHED = 2200.0
NEAR, FAR = 1.35, 1.7
WAVE_NUMBER = 6.8


def reduced_distances(positions: Any, species: Any, system: Any) -> Any:
    """Return r_ij / sigma_ab of all pairs of one configuration, (N, N)."""
    box = np.array(system.box)
    delta = positions[:, None] - positions[None]
    delta -= box * np.rint(delta / box)
    return np.sqrt((delta**2).sum(axis=-1)) / np.array(system.potential.sigma)[species[:, None], species[None]]


def bond_correlation(positions: Any, species: Any, system: Any) -> Any:
    """Return the share of bonds that are left, (records, R), counted from the first record."""
    records, replicas = positions.shape[:2]
    left = np.empty((records, replicas))
    for r in range(replicas):
        bonds = (reduced_distances(positions[0, r], species[0, r], system) < NEAR) & ~np.eye(system.n, dtype=bool)
        count = bonds.sum(axis=1)
        for t in range(records):
            kept = (reduced_distances(positions[t, r], species[t, r], system) < FAR) & bonds
            left[t, r] = (kept.sum(axis=1) / count).mean()
    return left


def crossing(time: Any, values: Any, level: float) -> tuple[float, float]:
    """Return the time at which the mean over replicas crosses a level, and a jackknife error over replicas."""
    whole = observables.crossing_time(time, values.mean(axis=1), level)
    count = values.shape[1]
    deleted = np.array(
        [observables.crossing_time(time, np.delete(values, r, axis=1).mean(axis=1), level) for r in range(count)]
    )
    return float(whole), float(math.sqrt((count - 1) * deleted.var()))


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--temperature", type=float, default=0.30)
    parser.add_argument("-n", type=int, default=1290)
    parser.add_argument("--replicas", type=int, default=6)
    parser.add_argument("--time", type=float, default=8_000.0, help="length of each run, tau")
    parser.add_argument("--sweeps", type=int, default=20_000, help="of swap Monte Carlo before")
    parser.add_argument("--timestep", type=float, default=0.01)
    options = parser.parse_args()
    system = gnf.systems.ka2d(options.n)
    ensemble = gnf.Ensemble.random(system, options.replicas, temperature=options.temperature, seed=30)
    mc = gnf.MonteCarlo(system)
    mc.equilibrate(ensemble, options.sweeps // 2)
    energies = mc.run(ensemble, options.sweeps, record_every=10).energy / system.n
    half = len(energies) // 2
    md = gnf.MolecularDynamics(system, timestep=options.timestep, thermostat="rescaling", relaxation_time=10.0)
    steps = round(options.time / options.timestep)
    record = md.run(ensemble, steps, record_at=gnf.log_schedule(steps, 60), record_positions=True)
    bonds = bond_correlation(record.positions, record.species, system)
    time = record.time - record.time[0]
    scattering = observables.self_intermediate_scattering(record.positions, time, system.box, WAVE_NUMBER, origins=1, width=1.0)
    large = observables.self_intermediate_scattering(
        record.positions, time, system.box, WAVE_NUMBER, origins=1, width=1.0, species=record.species, of=0
    )
    large_time, large_error = crossing(time, large.replicas, math.exp(-1.0))
    bond_time, bond_error = crossing(time, bonds, 0.5)
    bond_time_e, bond_error_e = crossing(time, bonds, math.exp(-1.0))
    fs_time, fs_error = crossing(time, scattering.replicas, math.exp(-1.0))
    found = {
        "bond breaking, 1/2": (bond_time, bond_error),
        "bond breaking, 1/e": (bond_time_e, bond_error_e),
        "F_s, all particles": (fs_time, fs_error),
        "F_s, species A": (large_time, large_error),
    }
    results = {
        "settings": {
            "temperature": options.temperature,
            "n": options.n,
            "replicas": options.replicas,
            "time": options.time,
            "timestep": options.timestep,
            "thermostat": "rescaling, relaxation time 10",
            "swap_monte_carlo_sweeps": options.sweeps * 3 // 2,
        },
        "published": PUBLISHED,
        "energy_per_particle": {
            "swap_monte_carlo_halves": [float(energies[:half].mean()), float(energies[half:].mean())],
            "molecular_dynamics": float(record.energy.mean()) / system.n,
        },
        "relaxation_times": {
            name: {"value": value if math.isfinite(value) else None, "error": error if math.isfinite(error) else None}
            for name, (value, error) in found.items()
        },
        "curves": {
            "time": time.tolist(),
            "bonds": bonds.mean(axis=1).tolist(),
            "fs": scattering.value.tolist(),
        },
    }
    common.report("relaxation_time", None, options.output, results)


if __name__ == "__main__":
    main()
