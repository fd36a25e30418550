"""What a flow does for parallel tempering and population annealing, and what it costs: ka2d, N = 43, T = 0.3 at the cold end.

The flow is read from a file, or trained here; a flow of messages is also used without them, as the pair field that it began
with. Measured on one core, from the same equilibrium configurations:

exchange    acceptance between T = 0.4 and 0.3, plain and assisted, with errors from the ladders; costs of an exchange
tempering   ladders of few temperatures with and without the flow, and a plain one of twice as many: <U>/N and C_v at T = 0.3,
            round trips, time
annealing   from the hot end with the same culled fraction: temperature steps, ESS of a step, log Z, <U>/N, C_v, time

<U>/N and C_v at T = 0.3 are compared with swap Monte Carlo, which also moves the replicas in the other two. Seconds are those
of the processor, so that other programs disturb less. Several files, of flows from temperature to temperature, make one flow.

    python bench/flow_assisted.py --flow hot.safetensors cold.safetensors -o bench/results/flow_assisted.json
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import common
import glassnf as gnf
from glassnf.samplers.harvest import harvest

HOT, COLD = 0.5, 0.3
LADDERS = {0.5: ((0.5, 0.4, 0.3), (0.5, 0.45, 0.4, 0.35, 0.3)), 0.4: ((0.4, 0.3), (0.4, 0.35, 0.3))}
"""By the hot end of the flow: few temperatures, and twice as many intervals."""
PAIR = (0.4, 0.3)


class Chain:
    """Several flows, each going on where the one before it ends."""

    def __init__(self, flows: list[Any]) -> None:
        self.flows = sorted(flows, key=lambda flow: -flow.hot)
        self.system, self.hot, self.cold = flows[0].system, self.flows[0].hot, self.flows[-1].cold
        self.steps = sum(flow.steps for flow in flows)
        meet = all(a.cold == b.hot for a, b in itertools.pairwise(self.flows))
        common.require(meet, f"expected flows whose ranges meet, got {self.flows}")

    def transport(
        self,
        positions: Any,
        species: Any,
        beta_from: float,
        beta_to: float,
        *,
        steps: int | None = None,
        threads: int | None = None,
    ) -> Any:
        legs = self.flows if beta_to > beta_from else self.flows[::-1]
        images, log_jacobian, done = np.zeros(positions.shape, np.int32), np.zeros(len(positions)), 0
        for flow in legs:
            start, end = (float(np.clip(beta, 1.0 / flow.hot, 1.0 / flow.cold)) for beta in (beta_from, beta_to))
            if start == end:
                continue
            share = None if steps is None else max(1, round(steps * abs((end - start) / (beta_to - beta_from))))
            moved = flow.transport(positions, species, start, end, steps=share, threads=threads)
            positions, done = moved.positions, done + moved.steps
            images, log_jacobian = images + moved.images, log_jacobian + moved.log_jacobian
        return gnf.flows.Transport(positions, images, log_jacobian, done)

    def describe(self) -> dict[str, Any]:
        return {"flow": "chain", "flows": [flow.describe() for flow in self.flows]}

    def without_messages(self) -> Chain:
        return Chain([flow.without_messages() for flow in self.flows])


def get_flow(system: gnf.systems.System, options: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Return the flow, and how it came about."""
    if options.flow:
        flows = [gnf.flows.load(path, system) for path in options.flow]
    else:
        flows = [gnf.flows.train(system, HOT, COLD, options.seed, layers=options.layers, samples=options.samples, threads=1)]
    about = []
    for flow in flows:
        about.append({"describe": flow.describe()})
        if flow.report is not None:
            about[-1]["report"] = {
                name: getattr(flow.report, name)
                for name in ("expected_ess", "ceiling_ess", "plain_ess", "measured_ess", "sample_seconds", "fit_seconds")
            }
            about[-1]["explained"] = {f"{node.temperature:g}": node.explained for node in flow.report.nodes}
    return Chain(flows), about


class Pool:
    """Equilibrium configurations of all temperatures, made once, by swap Monte Carlo with exchanges."""

    def __init__(self, mc: gnf.MonteCarlo, temperatures: tuple[float, ...], ladders: int, sweeps: int) -> None:
        self.mc, self.ladders = mc, ladders
        pt = gnf.ParallelTempering(mc.system, temperatures, mc, ladders, 5)
        self.ensemble = pt.random(seed=11)
        pt.equilibrate(self.ensemble, sweeps, adapt_ladder=False)
        pt.run(self.ensemble, sweeps // 2)

    def __call__(self, temperatures: tuple[float, ...], ladders: int, seed: int) -> gnf.Ensemble:
        """Return ladders of some of the temperatures."""
        who = np.stack([np.flatnonzero(self.ensemble.beta == 1.0 / t)[:ladders] for t in temperatures], axis=1).ravel()
        fields = {name: getattr(self.ensemble, name)[who] for name in ("positions", "species", "move_size")}
        wanted = np.tile(temperatures, ladders)
        return gnf.Ensemble.from_arrays(self.mc.system, **fields, temperature=wanted, seed=seed)


def against(energy: Any, system: gnf.systems.System, reference: dict[str, float] | None) -> dict[str, float]:
    """Return <U>/N and C_v at the cold temperature from energies (records, chains), and their distance from a reference."""
    mean = gnf.observables.mean_energy(energy, system.n)
    heat = gnf.observables.specific_heat(energy, COLD, system.n, system.dimension)
    return compared(mean.value, mean.error, heat.value, heat.error, reference)


def compared(u: float, du: float, c: float, dc: float, reference: dict[str, float] | None) -> dict[str, float]:
    found = {"energy": float(u), "energy_error": float(du), "heat": float(c), "heat_error": float(dc)}
    if reference is not None:
        for name in ("energy", "heat"):
            width = float(np.hypot(found[f"{name}_error"], reference[f"{name}_error"]))
            found[f"{name}_sigmas"] = (found[name] - reference[name]) / width
    return found


def by_ladder(accepts: Any, attempts: Any) -> dict[str, float]:
    """Return the acceptance of a pair, and its error from the spread of the ladders."""
    rates = accepts / attempts
    return {"acceptance": float(rates.mean()), "error": float(rates.std(ddof=1) / np.sqrt(rates.size))}


def exchanges(mc: gnf.MonteCarlo, pool: Pool, flows: dict[str, Any], options: Any) -> dict[str, Any]:
    start = pool(PAIR, options.ladders, 12)
    results: dict[str, Any] = {}
    for name, flow in flows.items():
        pt = gnf.ParallelTempering(mc.system, PAIR, mc, options.ladders, options.interval, flow=flow)
        ensemble = start.copy()
        begin = time.process_time()
        record = pt.run(ensemble, 2 * options.rounds * options.interval)
        seconds = time.process_time() - begin
        cached = np.abs(ensemble.energy - gnf.energy(mc.system, ensemble.positions, ensemble.species)).max()
        common.require(bool(cached < 1e-9), "cached energies differ from recomputed ones")
        results[name] = by_ladder(record.accepts[0], record.attempts[0]) | {
            "attempts": int(record.attempts.sum()),
            "seconds": seconds,
        }
        if record.transport is not None:
            transport = record.transport
            results[name] |= {
                "share_of_the_flow": transport.time / (transport.time + transport.explorer_time),
                "replica_sweeps_per_attempt": transport.time
                / int(record.attempts.sum())
                / (transport.explorer_time / (2 * options.rounds * options.interval * ensemble.replicas)),
                "steps": int(transport.steps[0]),
                "integration_error": float(transport.error[0]),
                "lost": transport.lost[0].tolist(),
                "log_weight": transport.log_weight[0].tolist(),
                "log_weight_deviation": transport.log_weight_deviation[0].tolist(),
            }
    return results


def tempering(
    mc: gnf.MonteCarlo, pool: Pool, flows: dict[str, Any], reference: dict[str, float], options: Any
) -> dict[str, Any]:
    coarse, fine = LADDERS[flows["flow"].hot]
    cases = {f"{len(coarse)} temperatures, {name}": (coarse, flow) for name, flow in flows.items()}
    cases[f"{len(fine)} temperatures, plain"] = (fine, None)
    results: dict[str, Any] = {}
    for name, (ladder, flow) in cases.items():
        pt = gnf.ParallelTempering(mc.system, ladder, mc, options.ladders // 2, options.interval, flow=flow)
        ensemble = pool(ladder, pt.ladders, 13)
        begin = time.process_time()
        record = pt.run(ensemble, options.sweeps, record_every=options.interval)
        seconds = time.process_time() - begin
        results[name] = against(record.energy_at(COLD), mc.system, reference) | {
            "acceptance": record.acceptance.tolist(),
            "round_trips": record.total_round_trips,
            "round_trips_per_1000_rounds_and_ladder": 1000.0 * float(record.round_trips.mean()) / record.rounds,
            "round_trips_per_1e6_replica_sweeps": 1e6 * record.total_round_trips / (options.sweeps * ensemble.replicas),
            "round_trips_per_s": record.total_round_trips / seconds,
            "seconds": seconds,
            "share_of_the_flow": 0.0
            if record.transport is None
            else record.transport.time / (record.transport.time + record.transport.explorer_time),
            "steps": None if record.transport is None else record.transport.steps.tolist(),
        }
    return results


def annealing(mc: gnf.MonteCarlo, flows: dict[str, Any], reference: dict[str, float], options: Any) -> dict[str, Any]:
    hot = flows["flow"].hot
    start = harvest(mc, hot, options.population, 14, replicas=min(options.population, 256)).ensemble
    results: dict[str, Any] = {}
    for culling in options.culling:
        for name, flow in flows.items():
            pa = gnf.PopulationAnnealing(
                mc.system, hot, COLD, mc, options.sweeps_per_step, culling, equilibration_sweeps=0, flow=flow
            )
            begin = time.process_time()
            result = pa.run(start, seed=15)
            seconds = time.process_time() - begin
            n, last = mc.system.n, -1
            u, du = result.mean_energy[last] / n, result.mean_energy_error[last] / n
            found = compared(u, du, result.specific_heat[last], result.specific_heat_error[last], reference)
            steps = np.diff(1.0 / result.temperatures)
            results[f"culled {culling:g}, {name}"] = found | {
                "temperature_steps": int(steps.size),
                "steps_of_full_length": steps.size - 1 + float(np.clip(steps[-1] / steps[-2], 0.0, 1.0))
                if steps.size > 1
                else 1.0,
                "ess_of_a_step": float(np.mean(result.ess[1:-1])) if steps.size > 1 else float(result.ess[-1]),
                "log_z": float(result.log_z[last]),
                "log_z_error": float(result.log_z_error[last]),
                "rho_t": float(result.rho_t[last]),
                "seconds": seconds,
                "share_of_the_flow": result.flow_time / result.wall_time,
                "integration_error": float(result.flow_error.max()),
                "integration_steps": result.flow_steps.tolist(),
            }
        plain = results[f"culled {culling:g}, plain"]
        for name in flows:
            case = results[f"culled {culling:g}, {name}"]
            case["fewer_steps_than_plain"] = plain["steps_of_full_length"] / case["steps_of_full_length"]
            case["time_of_plain"] = plain["seconds"] / case["seconds"]
    return results


def measure(options: Any) -> dict[str, Any]:
    system = gnf.systems.ka2d(n=43)
    flow, about = get_flow(system, options)
    common.require(flow.hot in LADDERS and flow.cold == COLD, f"expected a flow from {sorted(LADDERS)} to {COLD}, got {flow}")
    layers = max(part.field.layers for part in flow.flows)
    flows = {"plain": None, **({"pair field": flow.without_messages()} if layers else {}), "flow": flow}
    mc = gnf.MonteCarlo(system, swap_probability=0.2, threads=1)
    pool = Pool(mc, LADDERS[flow.hot][1], options.ladders, options.equilibration)
    chains = pool((COLD,), options.ladders, 16)
    begin = time.process_time()
    reference = against(mc.run(chains, options.reference, record_every=10).energy, system, None)
    reference["seconds"] = time.process_time() - begin
    parts = {
        "exchange": lambda: exchanges(mc, pool, flows, options),
        "tempering": lambda: tempering(mc, pool, flows, reference, options),
        "annealing": lambda: annealing(mc, flows, reference, options),
    }
    results = {name: part() for name, part in parts.items() if name in options.parts}
    skipped = ("output", "cpu", "flow", "repetitions")
    settings = {name: value for name, value in vars(options).items() if name not in skipped}
    return {"settings": settings, "flow": about, "swap Monte Carlo": reference, "results": results}


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--flow", type=Path, nargs="+", help="files of trained flows; default: train one")
    parser.add_argument("--layers", type=int, default=2, help="layers of messages of a flow that is trained")
    parser.add_argument("--samples", type=int, default=20_000, help="samples per temperature of a flow that is trained")
    parser.add_argument("--seed", type=int, default=1, help="of a flow that is trained")
    parser.add_argument("--parts", nargs="+", default=["exchange", "tempering", "annealing"], help="what to measure")
    parser.add_argument("--ladders", type=int, default=64, help="independent ladders; half as many in tempering")
    parser.add_argument("--interval", type=int, default=20, help="sweeps between exchanges")
    parser.add_argument("--rounds", type=int, default=100, help="attempts of each ladder in the exchange part")
    parser.add_argument("--sweeps", type=int, default=4_000, help="of every replica in the tempering part")
    parser.add_argument("--population", type=int, default=2_000, help="of the annealing part")
    parser.add_argument("--sweeps-per-step", type=int, default=50, help="of the annealing part")
    parser.add_argument("--culling", nargs="+", type=float, default=[0.1, 0.2], help="culled fractions of the annealing part")
    parser.add_argument("--equilibration", type=int, default=6_000, help="sweeps")
    parser.add_argument("--reference", type=int, default=20_000, help="sweeps of swap Monte Carlo")
    options = parser.parse_args()
    sys.argv = [Path(word).name if word.endswith(".safetensors") else word for word in sys.argv]  # for the report
    cpu = common.pin(options.cpu)
    common.report("flow_assisted", cpu, options.output, measure(options))


if __name__ == "__main__":
    main()
