"""Error of <U>/N by molecular dynamics against the time step, for both thermostats, ka2d, N = 43, T = 0.5.

Hybrid molecular dynamics with swap sweeps every 0.2 tau, so that runs are in equilibrium; the reference is swap Monte
Carlo. All errors are standard errors over replicas, and a weighted fit of a + b dt^2 gives the limit of vanishing
time step.

    python bench/time_step.py -o bench/results/time_step.json
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import common
import glassnf as gnf

TEMPERATURE = 0.5
TIMESTEPS = (0.005, 0.01, 0.015, 0.02)


def over_replicas(values: Any) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def dynamics(start: Any, timestep: float, thermostat: str, time: float) -> tuple[float, float]:
    """Return <U>/N and its error, the first tenth of the run left out."""
    ensemble = start.copy()
    ensemble.draw_velocities()
    settings = {"friction": 1.0, "relaxation_time": 0.5, "swap_every": round(0.2 / timestep)}
    md = gnf.MolecularDynamics(start.system, timestep=timestep, thermostat=thermostat, **settings)
    md.run(ensemble, round(0.1 * time / timestep))
    record = md.run(ensemble, round(0.9 * time / timestep), record_every=round(0.1 / timestep))
    return over_replicas(record.energy.mean(axis=0) / start.n)


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
    options = parser.parse_args()
    system = gnf.systems.ka2d(43)
    start = gnf.Ensemble.random(system, options.replicas, temperature=TEMPERATURE, seed=17)
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
        "settings": {"temperature": TEMPERATURE, "n": 43, "replicas": options.replicas, "time": options.time},
        "timesteps": TIMESTEPS,
        "monte_carlo": {"energy_per_particle": reference[0], "error": reference[1]},
        "thermostats": thermostats,
    }
    common.report("time_step", None, options.output, results)


if __name__ == "__main__":
    main()
