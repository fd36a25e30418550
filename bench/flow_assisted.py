"""What a flow does for parallel tempering and population annealing, and what it costs: ka2d, N = 43, T = 0.5 to 0.3.

The flow is read from a file, or trained here; a flow of messages is also used without them, as the pair field that it began
with. Measured, all from the same equilibrium configurations, on one core:

exchange    acceptance between T = 0.4 and 0.3, plain and assisted, with errors from the ladders; costs of an exchange
tempering   ladders 0.5, 0.4, 0.3 with and without the flow, and a plain one of five temperatures: <U>/N and C_v at T = 0.3,
            round trips, wall time
annealing   from 0.5 to 0.3 with the same culled fraction: temperature steps, ESS of a step, log Z, <U>/N, C_v, wall time

<U>/N and C_v at T = 0.3 are compared with swap Monte Carlo, which also moves the replicas in the other two.

    python bench/flow_assisted.py --flow flow.safetensors -o bench/results/flow_assisted.json
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

import common
import glassnf as gnf
from glassnf.samplers.harvest import harvest

HOT, COLD = 0.5, 0.3
COARSE = (0.5, 0.4, 0.3)
FINE = (0.5, 0.44, 0.39, 0.345, 0.3)
PAIR = (0.4, 0.3)


def get_flow(system: gnf.systems.System, options: Any) -> tuple[Any, dict[str, Any]]:
    """Return the flow, and how it came about."""
    if options.flow is not None:
        flow = gnf.flows.load(options.flow, system)
    else:
        flow = gnf.flows.train(system, HOT, COLD, options.seed, layers=options.layers, samples=options.samples, threads=1)
    about: dict[str, Any] = {"describe": flow.describe(), "hot": flow.hot, "cold": flow.cold}
    if flow.report is not None:
        about["report"] = {
            name: getattr(flow.report, name)
            for name in ("expected_ess", "ceiling_ess", "plain_ess", "measured_ess", "sample_seconds", "fit_seconds")
        }
        about["explained"] = {f"{node.temperature:g}": node.explained for node in flow.report.nodes}
    return flow, about


def equilibrium(mc: gnf.MonteCarlo, temperatures: Any, ladders: int, sweeps: int, seed: int) -> gnf.Ensemble:
    """Return ladders in equilibrium: each temperature by swap Monte Carlo alone, with the exchanges of a ladder of five."""
    pt = gnf.ParallelTempering(mc.system, FINE, mc, ladders, 5)
    ensemble = pt.random(seed)
    pt.equilibrate(ensemble, sweeps, adapt_ladder=False)
    at = {t: np.flatnonzero(ensemble.beta == 1.0 / t) for t in FINE}
    chosen = [ensemble[at[min(FINE, key=lambda have: abs(have - t))]] for t in temperatures]
    order = np.arange(len(temperatures) * ladders).reshape(len(temperatures), ladders).T.ravel()
    fields = {
        name: np.concatenate([getattr(part, name) for part in chosen])[order] for name in ("positions", "species", "move_size")
    }
    wanted = np.tile(temperatures, ladders)
    moved = gnf.Ensemble.from_arrays(
        mc.system,
        fields["positions"],
        species=fields["species"],
        move_size=fields["move_size"],
        temperature=wanted,
        seed=seed + 1,
    )
    mc.equilibrate(moved, sweeps // 2)
    return moved


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


def exchanges(mc: gnf.MonteCarlo, flows: dict[str, Any], options: Any) -> dict[str, Any]:
    start = equilibrium(mc, PAIR, options.ladders, options.equilibration, 11)
    results: dict[str, Any] = {}
    for name, flow in flows.items():
        pt = gnf.ParallelTempering(mc.system, PAIR, mc, options.ladders, options.interval, flow=flow)
        ensemble = start.copy()
        begin = time.perf_counter()
        record = pt.run(ensemble, 2 * options.rounds * options.interval)
        cached = np.abs(ensemble.energy - gnf.energy(mc.system, ensemble.positions, ensemble.species)).max()
        common.require(bool(cached < 1e-9), "cached energies differ from recomputed ones")
        results[name] = by_ladder(record.accepts[0], record.attempts[0]) | {
            "attempts": int(record.attempts.sum()),
            "wall_time": time.perf_counter() - begin,
        }
        if record.transport is not None:
            transport = record.transport
            results[name] |= {
                "flow_time": transport.time,
                "explorer_time": transport.explorer_time,
                "seconds_per_attempt": transport.time / int(record.attempts.sum()),
                "replica_sweeps_per_attempt": transport.time
                / int(record.attempts.sum())
                / (transport.explorer_time / (2 * options.rounds * options.interval * ensemble.replicas)),
                "steps": int(transport.steps[0]),
                "integration_error": float(transport.error[0]),
                "log_weight": transport.log_weight[0].tolist(),
                "log_weight_deviation": transport.log_weight_deviation[0].tolist(),
            }
    return results


def tempering(mc: gnf.MonteCarlo, flows: dict[str, Any], reference: dict[str, float], options: Any) -> dict[str, Any]:
    cases = {"three temperatures, " + name: (COARSE, flow) for name, flow in flows.items()}
    cases["five temperatures, plain"] = (FINE, None)
    results: dict[str, Any] = {}
    for name, (ladder, flow) in cases.items():
        pt = gnf.ParallelTempering(mc.system, ladder, mc, options.ladders // 2, options.interval, flow=flow)
        ensemble = equilibrium(mc, ladder, pt.ladders, options.equilibration, 12)
        record = pt.run(ensemble, options.sweeps, record_every=options.interval)
        results[name] = against(record.energy_at(COLD), mc.system, reference) | {
            "acceptance": record.acceptance.tolist(),
            "round_trips_per_1000_rounds_and_ladder": 1000.0 * float(record.round_trips.mean()) / record.rounds,
            "round_trips_per_1000_replica_sweeps": 1000.0 * record.total_round_trips / (options.sweeps * ensemble.replicas),
            "round_trips_per_s": record.total_round_trips / record.wall_time,
            "wall_time": record.wall_time,
            "flow_time": 0.0 if record.transport is None else record.transport.time,
            "steps": None if record.transport is None else record.transport.steps.tolist(),
        }
    return results


def annealing(mc: gnf.MonteCarlo, flows: dict[str, Any], reference: dict[str, float], options: Any) -> dict[str, Any]:
    start = harvest(
        mc, HOT, options.population, 13, replicas=min(options.population, 512), equilibration_sweeps=options.equilibration
    ).ensemble
    results: dict[str, Any] = {}
    for culling in options.culling:
        for name, flow in flows.items():
            pa = gnf.PopulationAnnealing(
                mc.system, HOT, COLD, mc, options.sweeps_per_step, culling, equilibration_sweeps=0, flow=flow
            )
            result = pa.run(start, seed=14)
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
                "wall_time": result.wall_time,
                "flow_time": result.flow_time,
                "integration_error": float(result.flow_error.max()),
                "integration_steps": result.flow_steps.tolist(),
            }
        plain = results[f"culled {culling:g}, plain"]
        for name in flows:
            case = results[f"culled {culling:g}, {name}"]
            case["fewer_steps_than_plain"] = plain["steps_of_full_length"] / case["steps_of_full_length"]
            case["wall_time_of_plain"] = plain["wall_time"] / case["wall_time"]
    return results


def measure(options: Any) -> dict[str, Any]:
    system = gnf.systems.ka2d(n=43)
    flow, about = get_flow(system, options)
    flows = {"plain": None, **({"pair field": flow.without_messages()} if flow.field.layers else {}), "flow": flow}
    mc = gnf.MonteCarlo(system, swap_probability=0.2, threads=1)
    chains = equilibrium(mc, (COLD,), options.ladders, options.equilibration, 15)
    begin = time.perf_counter()
    reference = against(mc.run(chains, options.reference, record_every=10).energy, system, None)
    reference["wall_time"] = time.perf_counter() - begin
    parts = {
        "exchange": lambda: exchanges(mc, flows, options),
        "tempering": lambda: tempering(mc, flows, reference, options),
        "annealing": lambda: annealing(mc, flows, reference, options),
    }
    results = {name: part() for name, part in parts.items() if name in options.parts}
    settings = {name: value for name, value in vars(options).items() if name not in ("output", "cpu", "flow", "repetitions")}
    return {"settings": settings, "flow": about, "swap Monte Carlo": reference, "results": results}


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--flow", type=Path, help="file of a trained flow; default: train one")
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
    cpu = common.pin(options.cpu)
    common.report("flow_assisted", cpu, options.output, measure(options))


if __name__ == "__main__":
    main()
