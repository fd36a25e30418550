"""How well flows trained in minutes do: effective sample sizes on fresh configurations, explained variance, the basin ceiling.

For each temperature step and each of several training seeds: a flow with messages is trained (samples included in the time),
and so is its pair field; 10,240 fresh equilibrium configurations of the hot temperature are carried to the cold one. Reported
beside them: plain reweighting of the same configurations, forward effective sample sizes from fresh configurations of the
cold temperature, free energies both ways and by Bennett's acceptance ratio, the explained variance on configurations that the
training did not see, and what a flow that stays in its basin could reach at most. `--sizes` carries the first field of a step
to larger systems of the same density, by smaller and smaller steps.

    python bench/flow_training.py -o bench/results/flow_training.json
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from typing import Any

import numpy as np

import common
import glassnf as gnf

STEPS = ((0.5, 0.4), (0.4, 0.3))


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def fresh(system: gnf.systems.System, temperature: float, samples: int, seed: int) -> Any:
    """Return equilibrium configurations of 256 chains, which take longer to forget their random starts when it is cold."""
    explorer = gnf.MonteCarlo(system, swap_probability=0.2)
    sweeps = 10_000 if temperature > 0.35 else 40_000
    return gnf.harvest(
        explorer, temperature, samples, seed, replicas=min(256, samples), spacing=200, equilibration_sweeps=sweeps
    )


def measure(flow: Any, hot: Any, cold: Any) -> dict[str, Any]:
    """Return effective sample sizes and free energies of a flow on fresh configurations."""
    sampler = gnf.FlowSampler(flow.system, flow, hot=flow.hot, cold=flow.cold)
    clock = time.perf_counter()
    result = sampler.run_from(hot.ensemble, groups=hot.groups, reference=cold.ensemble, reference_groups=cold.groups)
    check = result.check
    return {
        "ess": result.ess,
        "largest_weight": result.largest_weight,
        "pareto_k": result.pareto_k,
        "ess_forward": check.ess_forward,
        "log_z_forward": [check.log_z_forward, check.log_z_forward_error],
        "log_z_reverse": [check.log_z_reverse, check.log_z_reverse_error],
        "log_z_bar": [check.log_z_bar, check.log_z_bar_error],
        "integration_steps": flow.steps,
        "integration_error": result.integration_error,
        "mean_energy_per_particle": [result.mean_energy / flow.system.n, result.mean_energy_error / flow.system.n],
        "seconds": time.perf_counter() - clock,
    }


def explained(flow: Any, samples: Any, temperature: float) -> float:
    """Return the fraction of the variance of U that the native field explains on fresh configurations."""
    positions, species = samples.ensemble.positions, samples.ensemble.species
    velocity, divergence = flow.velocity_and_divergence(positions, species, 1.0 / temperature)
    energy, forces = gnf.energy_and_forces(flow.system, positions, species)
    work = divergence + np.einsum("rnd,rnd->r", velocity, forces) / temperature
    return float(1.0 - np.var(energy - work) / np.var(energy))


def one_step(hot: float, cold: float, options: Any) -> dict[str, Any]:
    """Train and measure for one temperature step."""
    system = gnf.systems.ka2d(n=options.n)
    log(f"fresh configurations at {hot} and {cold}")
    at_hot, at_cold = (fresh(system, t, options.samples, 1_000_003 + i) for i, t in enumerate((hot, cold)))
    plain = measure(gnf.flows.IdentityFlow(system, hot, cold), at_hot, at_cold)
    runs = []
    for seed in range(1, options.seeds + 1):
        clock = time.perf_counter()
        flow = gnf.flows.train(
            system,
            hot,
            cold,
            seed,
            layers=options.layers,
            method=options.method,
            samples=options.training_samples,
            diagnostics=seed == 1,
        )
        seconds = time.perf_counter() - clock
        report = flow.report
        pair = flow.without_messages()
        run = {
            "seed": seed,
            "training_seconds": seconds if seed > 1 else report.sample_seconds + report.fit_seconds,
            "sample_seconds": report.sample_seconds,
            "expected_ess": report.expected_ess,
            "explained_at_cold": explained(flow, at_cold, cold),
            "explained_at_cold_pair": explained(pair, at_cold, cold),
            "messages": measure(flow, at_hot, at_cold),
            "pair": measure(pair, at_hot, at_cold),
        }
        if seed == 1:
            run |= {"report": report.to_dict(), "ceiling_ess": report.ceiling_ess}
            if options.flows is not None:
                flow.save(options.flows / f"ka2d_{options.n}_{hot}_{cold}.safetensors")
            sizes = [larger(flow, n, options) for n in options.sizes]
        runs.append(run)
        log(f"{hot} -> {cold} seed {seed}: ESS {run['messages']['ess']:.3f}, pair {run['pair']['ess']:.3f}, {seconds:.0f} s")

    def mean(of: Any) -> float:
        return float(statistics.mean(of(run) for run in runs))

    return {
        "hot": hot,
        "cold": cold,
        "plain": plain,
        "runs": runs,
        "means": {
            "ess_messages": mean(lambda r: r["messages"]["ess"]),
            "ess_pair": mean(lambda r: r["pair"]["ess"]),
            "explained_messages": mean(lambda r: r["explained_at_cold"]),
            "explained_pair": mean(lambda r: r["explained_at_cold_pair"]),
            "training_seconds": mean(lambda r: r["training_seconds"]),
        },
        "sizes": sizes,
    }


def larger(flow: Any, n: int, options: Any) -> dict[str, Any]:
    """Return the effective sample size of one step of a larger system from the hot temperature, by the size of the step."""
    system = gnf.systems.ka2d(n=n)
    one = flow.for_system(system)
    at_hot = fresh(system, flow.hot, options.size_samples, 77 + n)
    beta, rows = 1.0 / flow.hot, []
    for share in (1.0, 0.75, 0.5, 0.375, 0.25):
        cold = 1.0 / (beta + share * (1.0 / flow.cold - beta))
        both = [
            gnf.FlowSampler(system, f, hot=flow.hot, cold=cold, tolerance=0.02).run_from(at_hot.ensemble, groups=at_hot.groups)
            for f in (one, gnf.flows.IdentityFlow(system, flow.hot, flow.cold))
        ]
        step = 1.0 / cold - beta
        rows.append({"cold": cold, "beta_step": step, "ess": both[0].ess, "ess_plain": both[1].ess})
        log(f"N = {n}: step {step:.3f} ESS {both[0].ess:.3f}, plain {both[1].ess:.3f}")
    return {"n": n, "samples": options.size_samples, "rows": rows, "beta_step_for_ess_0.3": _step_for(rows, 0.3)}


def _step_for(rows: list[dict[str, Any]], target: float) -> float | None:
    """Return the step of beta that has this ESS: -log ESS grows as the square of the step; interpolated in its root."""
    points = sorted((math.sqrt(max(0.0, -math.log(row["ess"]))), row["beta_step"]) for row in rows)
    wanted = math.sqrt(-math.log(target))
    if not points[0][0] <= wanted <= points[-1][0]:
        return None
    return float(np.interp(wanted, [p[0] for p in points], [p[1] for p in points]))


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0])
    parser.add_argument("-n", type=int, default=43, help="particles")
    parser.add_argument("--layers", type=int, default=2, help="layers of messages")
    parser.add_argument("--method", default="continuity", help="what training fits: continuity or matching")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each step")
    parser.add_argument("--samples", type=int, default=10_240, help="fresh configurations")
    parser.add_argument(
        "--training-samples", type=int, default=20_000, help="configurations at each temperature of the training"
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[172], help="larger systems, of the same density")
    parser.add_argument("--size-samples", type=int, default=2_048, help="configurations of a larger system")
    parser.add_argument("--flows", type=common.Path, help="folder in which to keep the flows of the first seed")
    options = parser.parse_args()
    steps = [one_step(hot, cold, options) for hot, cold in STEPS]
    settings = {k: v for k, v in vars(options).items() if k in ("n", "layers", "seeds", "samples", "training_samples")}
    common.report("flow_training", None, options.output, {"settings": settings, "steps": steps})


if __name__ == "__main__":
    main()
