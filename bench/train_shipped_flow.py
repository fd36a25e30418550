"""Train the flow that is shipped with the package, and measure what it reaches.

Without --flow a flow of ka2d, N = 43, from T = 0.6 to 0.2 is trained, half an hour on a core, and written to --save. With
--flow existing ones are measured, all on the same fresh configurations: effective sample sizes from several base temperatures
to several targets, beside those of plain reweighting, and free energies from base samples alone against those from both ends by
Bennett's acceptance ratio.

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
    """Carry configurations from one temperature to another, and back, and return what their weights are worth."""
    hot, target = (round(1.0 / float(samples.ensemble.beta[0]), 6) for samples in (base, cold))
    sampler = gnf.FlowSampler(flow.system, flow, hot=hot, cold=target, threads=options.threads)
    clock = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gnf.DominatedWeightsWarning)  # the figures are here to tell
        found = sampler.run_from(base.ensemble, groups=base.groups, reference=cold.ensemble, reference_groups=cold.groups)
    check, n = found.check, flow.system.n
    log(f"{hot} to {target}: ESS {found.ess:.4f}, forward {check.ess_forward:.4f}")
    return {
        "base": hot,
        "target": target,
        "ess": found.ess,
        "ess_forward": check.ess_forward,
        "largest_weight": found.largest_weight,
        "pareto_k": found.pareto_k,
        "log_z": [check.log_z_forward, check.log_z_forward_error],
        "log_z_bar": [check.log_z_bar, check.log_z_bar_error],
        "mean_energy_per_particle": [found.mean_energy / n, found.mean_energy_error / n],
        "integration_steps": max(stop.steps for stop in found.stops),
        "integration_error": found.integration_error,
        "seconds": time.perf_counter() - clock,
    }


def measured(flows: list[Any], options: Any) -> dict[str, Any]:
    """Return what each flow makes of fresh configurations, its pair field too, and plain reweighting."""
    system = flows[0].system
    ways = [(base, target) for base in options.bases for target in options.targets if target < base]
    samples = {t: fresh(system, t, options) for t in sorted({t for one in ways for t in one}, reverse=True)}

    def of(flow: Any) -> list[dict[str, Any]]:
        return [way(flow, samples[base], samples[target], options) for base, target in ways]

    found = []
    for flow in flows:
        log(f"{flow!r}")
        pair = of(flow.without_messages()) if flow.field.layers and not found else None
        found.append({**flow.describe(), "report": flow.report.to_dict(), "ways": of(flow), "pair_field": pair})
    log("plain reweighting")
    return {"flows": found, "plain": of(gnf.flows.IdentityFlow(system, flows[0].hot, flows[0].cold))}


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
    parser.add_argument("--flow", type=common.Path, nargs="+", help="measure these flows; train one if not given")
    parser.add_argument("--save", type=common.Path, help="where a new flow is kept")
    parser.add_argument("--bases", type=float, nargs="+", default=BASES, help="temperatures of the base samples")
    parser.add_argument("--targets", type=float, nargs="+", default=TARGETS, help="temperatures that they are carried to")
    parser.add_argument("--samples", type=int, default=10_240, help="fresh configurations of each temperature")
    parser.add_argument("--relaxation", type=int, default=20_000, help="sweeps before the first of them")
    options = parser.parse_args()
    if options.flow is None:
        flows = [trained(options)]
        if options.save is not None:
            flows[0].save(options.save)
        log(f"trained: ESS {flows[0].report.measured_ess:.4f} over the whole range on configurations held out")
    else:
        flows = [gnf.flows.load(path) for path in options.flow]
    if options.flow is not None or options.output is not None:
        settings = {"samples": options.samples, "spacing": options.spacing, "relaxation": options.relaxation}
        common.report("shipped_flow", None, options.output, {"settings": settings, **measured(flows, options)}, quiet=True)


if __name__ == "__main__":
    main()
