"""Error of <U>/N by molecular dynamics against the time step, for both thermostats, ka2d, N = 43.

Hybrid molecular dynamics with swap sweeps every 0.2 tau, so that runs are in equilibrium; the reference is swap Monte
Carlo. All errors are standard errors over replicas, and a weighted fit of a + b dt^2 gives the limit of vanishing
time step.

    python bench/time_step.py -o bench/results/time_step.json

With ``--paired``, for low temperatures: runs of dynamics alone, from configurations that swap Monte Carlo has equilibrated, the
same for all time steps. Replicas hardly leave their basins, and what differs is how their vibrations are sampled. The shifts of
<U>/N and of C_v against Langevin dynamics at 0.005 tau are taken replica by replica, errors are jackknives over replicas.

    python bench/time_step.py --paired --temperature 0.3 --replicas 256 --time 100
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import common
import glassnf as gnf

TIMESTEPS = (0.005, 0.01, 0.015, 0.02)
PAIRED = (("langevin", 0.01), ("langevin", 0.015), ("langevin", 0.02), ("langevin", 0.03), ("rescaling", 0.004))
FINEST = 0.005
EQUILIBRATION = 5_000  # sweeps of swap Monte Carlo


def over_replicas(values: Any) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def energies(start: Any, timestep: float, thermostat: str, time: float, swap_every: int | None) -> Any:
    """Return energies (records, replicas), the first tenth of the run left out."""
    ensemble = start.copy()
    ensemble.draw_velocities()
    settings = {"friction": 1.0, "relaxation_time": 0.5, "swap_every": swap_every}
    md = gnf.MolecularDynamics(start.system, timestep=timestep, thermostat=thermostat, **settings)
    md.run(ensemble, round(0.1 * time / timestep))
    return md.run(ensemble, round(0.9 * time / timestep), record_every=round(0.1 / timestep)).energy


def dynamics(start: Any, timestep: float, thermostat: str, time: float) -> tuple[float, float]:
    """Return <U>/N and its error of hybrid dynamics."""
    return over_replicas(energies(start, timestep, thermostat, time, round(0.2 / timestep)).mean(axis=0) / start.n)


def averages(energy: Any, n: int, temperature: float) -> tuple[Any, Any]:
    """Return <U>/N and C_v (2,) of energies (records, replicas), and those without each of the replicas (2, replicas)."""

    def of(mean: Any, square: Any) -> Any:
        return np.stack([mean / n, (square - mean**2) / (n * temperature**2)])

    moments, others = [energy.mean(axis=0), (energy**2).mean(axis=0)], energy.shape[1] - 1
    return of(*(one.mean() for one in moments)), of(*((one.sum() - one) / others for one in moments))


def paired(start: Any, temperature: float, time: float) -> list[dict[str, Any]]:
    """Return the shifts of <U>/N and C_v against the finest time step."""
    whole, parts = averages(energies(start, FINEST, "langevin", time, None), start.n, temperature)
    rows = []
    for thermostat, timestep in PAIRED:
        found, pieces = averages(energies(start, timestep, thermostat, time, None), start.n, temperature)
        errors = np.sqrt((start.replicas - 1) * (pieces - parts).var(axis=1))
        values = dict(zip(("mean_energy", "specific_heat"), (found - whole).tolist(), strict=True))
        spread = dict(zip(("mean_energy_error", "specific_heat_error"), errors.tolist(), strict=True))
        rows.append({"thermostat": thermostat, "timestep": timestep, **values, **spread})
    return rows


def main_paired(options: Any) -> None:
    start = gnf.Ensemble.random(gnf.systems.ka2d(43), options.replicas, temperature=options.temperature, seed=17)
    gnf.MonteCarlo(start.system).equilibrate(start, EQUILIBRATION)
    results = {
        "settings": {"temperature": options.temperature, "n": 43, "replicas": options.replicas, "time": options.time},
        "start": over_replicas(np.array(start.energy) / 43),
        "finest": FINEST,
        "shifts": paired(start, options.temperature, options.time),
    }
    common.report("time_step_paired", None, options.output, results)


def fit(values: Any, errors: Any) -> dict[str, float]:
    """Weighted least squares of a + b dt^2."""
    weights = 1.0 / np.array(errors)
    design = np.stack([np.ones(len(TIMESTEPS)), np.array(TIMESTEPS) ** 2], axis=1) * weights[:, None]
    covariance = np.linalg.inv(design.T @ design)
    a, b = covariance @ design.T @ (np.array(values) * weights)
    return {
        "limit": float(a),
        "limit_error": math.sqrt(covariance[0, 0]),
        "slope": float(b),
        "slope_error": math.sqrt(covariance[1, 1]),
    }


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--time", type=float, default=2_000.0, help="length of each run, tau")
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--paired", action="store_true", help="shifts between runs from the same configurations, without swaps")
    options = parser.parse_args()
    if options.paired:
        main_paired(options)
        return
    system = gnf.systems.ka2d(43)
    start = gnf.Ensemble.random(system, options.replicas, temperature=options.temperature, seed=17)
    mc = gnf.MonteCarlo(system)
    sweeps = max(100, round(10 * options.time))
    mc.equilibrate(start, sweeps)
    reference = over_replicas(mc.run(start.copy(), 2 * sweeps, record_every=10).energy.mean(axis=0) / 43)
    thermostats: dict[str, Any] = {}
    for thermostat in ("langevin", "rescaling"):
        values, errors = zip(*(dynamics(start, dt, thermostat, options.time) for dt in TIMESTEPS), strict=True)
        line = fit(values, errors)
        line["sigmas_from_monte_carlo"] = (line["limit"] - reference[0]) / math.hypot(line["limit_error"], reference[1])
        thermostats[thermostat] = {"energy_per_particle": values, "errors": errors, **line}
    results = {
        "settings": {"temperature": options.temperature, "n": 43, "replicas": options.replicas, "time": options.time},
        "timesteps": TIMESTEPS,
        "monte_carlo": {"energy_per_particle": reference[0], "error": reference[1]},
        "thermostats": thermostats,
    }
    common.report("time_step", None, options.output, results)


if __name__ == "__main__":
    main()
