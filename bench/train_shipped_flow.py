"""Train the flow that is shipped with the package, and measure what it reaches.

Without --flow a flow of ka2d, N = 43, from T = 0.6 to 0.2 is trained, about five minutes on two cores, and written to --save.
With --flow an existing one is measured: effective sample sizes on fresh configurations from several base temperatures to
several targets, with those of plain reweighting of the same configurations, and free energies against those from swap
Monte Carlo at the target by Bennett's acceptance ratio.

    python bench/train_shipped_flow.py --save python/glassnf/data/flow_ka2d_43.safetensors
    python bench/train_shipped_flow.py --flow python/glassnf/data/flow_ka2d_43.safetensors -o bench/results/shipped_flow.json
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import common
import glassnf as gnf

BASES = (0.6, 0.5, 0.45, 0.4)
TARGETS = (0.4, 0.35, 0.3, 0.25, 0.2)


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def shown(clock: float) -> Any:
    """Return a listener that tells every ten seconds how far the training is."""
    told = [clock]

    def progress(done: int, total: int, info: dict[str, Any]) -> None:
        now = time.perf_counter()
        if now - told[0] > 10.0:
            told[0] = now
            log(f"{now - clock:.0f} s: {100 * done // total} %, {info['stage']}")

    return progress


def trained(options: Any) -> Any:
    """Return a new flow."""
    return gnf.flows.train(
        gnf.systems.ka2d(n=options.n),
        options.hot,
        options.cold,
        options.seed,
        layers=options.layers,
        samples=options.training_samples,
        replicas=options.replicas,
        spacing=options.spacing,
        equilibration_sweeps=options.equilibration,
        threads=options.threads,
        progress=shown(time.perf_counter()),
    )


def fresh(system: Any, temperature: float, options: Any) -> Any:
    """Return equilibrium configurations of independent replicas, with seeds that no training has."""
    log(f"fresh configurations at T = {temperature}")
    explorer = gnf.MonteCarlo(system, swap_probability=0.2, threads=options.threads)
    return gnf.harvest(
        explorer,
        temperature,
        options.samples,
        10_000_019 + round(1000 * temperature),
        replicas=min(256, options.samples // 2),
        spacing=options.spacing,
        equilibration_sweeps=options.relaxation,
    )


def way(flow: Any, base: Any, cold: Any, options: Any) -> dict[str, Any]:
    """Carry the configurations of one temperature to another and return what their weights are worth."""
    hot, target = (float(1.0 / h.ensemble.beta[0]) for h in (base, cold))
    rows: dict[str, Any] = {"base": round(hot, 6), "target": round(target, 6)}
    for name, one in (("flow", flow), ("plain", gnf.flows.IdentityFlow(flow.system, flow.hot, flow.cold))):
        sampler = gnf.FlowSampler(flow.system, one, hot=rows["base"], cold=rows["target"], threads=options.threads)
        clock = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gnf.DominatedWeightsWarning)  # the figures are here to tell
            found = sampler.run_from(base.ensemble, groups=base.groups, reference=cold.ensemble, reference_groups=cold.groups)
        check = found.check
        rows[name] = {
            "ess": found.ess,
            "ess_forward": check.ess_forward,
            "largest_weight": found.largest_weight,
            "pareto_k": found.pareto_k,
            "log_z": [check.log_z_forward, check.log_z_forward_error],
            "log_z_bar": [check.log_z_bar, check.log_z_bar_error],
            "mean_energy_per_particle": [found.mean_energy / flow.system.n, found.mean_energy_error / flow.system.n],
            "integration_steps": max(stop.steps for stop in found.stops),
            "integration_error": found.integration_error,
            "seconds_both_ways": time.perf_counter() - clock,
        }
    log(f"{rows['base']} to {rows['target']}: ESS {rows['flow']['ess']:.3f}, plain {rows['plain']['ess']:.4f}")
    return rows


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("-n", type=int, default=43, help="particles")
    parser.add_argument("--hot", type=float, default=0.6, help="hottest temperature of the flow")
    parser.add_argument("--cold", type=float, default=0.2, help="coldest temperature of the flow")
    parser.add_argument("--layers", type=int, default=2, help="layers of messages")
    parser.add_argument("--seed", type=int, default=1, help="seed of the training")
    parser.add_argument(
        "--training-samples", type=int, default=20_000, help="configurations at each temperature of the training"
    )
    parser.add_argument("--replicas", type=int, default=256, help="independent chains that make them")
    parser.add_argument("--spacing", type=int, default=100, help="sweeps between the samples of a chain")
    parser.add_argument("--equilibration", type=int, default=8_000, help="sweeps of a chain before its first sample")
    parser.add_argument("--threads", type=int, help="threads; all if not given")
    parser.add_argument("--flow", type=common.Path, help="measure this flow; train one if not given")
    parser.add_argument("--save", type=common.Path, help="where a new flow is kept")
    parser.add_argument("--bases", type=float, nargs="+", default=BASES, help="temperatures of the base samples")
    parser.add_argument("--targets", type=float, nargs="+", default=TARGETS, help="temperatures that they are carried to")
    parser.add_argument("--samples", type=int, default=10_240, help="fresh configurations of each temperature")
    parser.add_argument("--relaxation", type=int, default=20_000, help="sweeps before the first of them")
    options = parser.parse_args()
    if options.flow is None:
        flow = trained(options)
        if options.save is not None:
            flow.save(options.save)
        log(f"trained: ESS {flow.report.measured_ess:.3f} from {flow.hot} to {flow.cold} on configurations held out")
        if options.output is None:
            return
    else:
        flow = gnf.flows.load(options.flow)
    temperatures = sorted({*options.bases, *options.targets}, reverse=True)
    samples = {temperature: fresh(flow.system, temperature, options) for temperature in temperatures}
    ways = [
        way(flow, samples[base], samples[target], options)
        for base in options.bases
        for target in options.targets
        if target < base
    ]
    results = {"flow": flow.describe(), "report": flow.report.to_dict(), "samples": options.samples, "ways": ways}
    common.report("shipped_flow", None, options.output, results)


if __name__ == "__main__":
    main()
