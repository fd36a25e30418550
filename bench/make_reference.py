"""Make the reference values that are shipped with the package: <U>/N and C_v of one system, by long swap Monte Carlo.

- Temperatures of the ladder, 0.5 to 0.2: each seed is a run of independent ladders, swap Monte Carlo whose neighbours in
  temperature exchange every 10 sweeps. At T = 0.2 swap moves alone forget their start too slowly.
- The temperatures above, and as a check of the others as far down as swap Monte Carlo alone can do it, 0.3: each seed is a run
  of independent replicas at that temperature. A pilot run measures the autocorrelation time of the energy, and the errors that
  its length gives. From these follow a relaxation of 50 autocorrelation times, and a production that brings the errors of one
  seed to the targets.

Odd seeds start hot, in equilibrium at T = 1 or above, and so approach from above; even seeds start cold, slowly cooled to half
the (lowest) temperature, where their energy is below the one sought, and approach from below. If relaxation or production
were too short, the two kinds would disagree. Seeds are compared with each other (chi^2), hot with cold, the first halves of
all productions with the second ones, and runs with and without exchanges.

Each run is kept in a file of its own as soon as it is done; the same command goes on where it was interrupted, and with more
seeds it adds runs to those there are. The table of the documentation is printed.

    python bench/make_reference.py --parts build/reference -o python/glassnf/data/reference_ka2d_43.json
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import common
import glassnf as gnf
from glassnf.compare.environment import cpu_model
from glassnf.compare.reference import SHIPPED_FORMAT, pooled_specific_heat, specific_heat_of_moments, write_text
from glassnf.compare.starts import derived_seed, hot_start
from glassnf.compare.verdict import SIGMA_LIMIT, sigmas
from glassnf.observables import autocorrelation_time, estimate_mean, format_uncertainty, split_rhat

TEMPERATURES = (1.0, 0.8, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2)
LADDER = (0.2, 0.225, 0.25, 0.275, 0.3, 0.35, 0.4, 0.45, 0.5)
LEAST_ALONE = 0.3  # below, swap Monte Carlo alone is no check
OBSERVABLES = ("mean_energy", "specific_heat")
SWAP_PROBABILITY = 0.2
RECORD_EVERY = 10
PILOT_REPLICAS = 32
RELAXATION_TIMES = 50  # sweeps of relaxation, and of production at least, over the autocorrelation time of the energy
COOLING_STAGES = 20
SWEEPS_PER_EXCHANGE = 10
ADAPTATION = 1_000  # sweeps in which the move sizes of ladders adapt
KNEE = 0.4  # temperature above which twice the error of <U>/N will do


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def round_up(sweeps: float, least: int) -> int:
    """Return the next larger number with two significant digits, at least `least`, a multiple of 20."""
    unit = max(100, 10 ** (math.floor(math.log10(max(sweeps, 1.0))) - 1))
    return max(least, math.ceil(sweeps / unit) * unit)


# ---- runs --------------------------------------------------------------------------------------------------------------------


def sampler_of(options: Any) -> Any:
    return gnf.MonteCarlo(options.liquid, swap_probability=SWAP_PROBABILITY, threads=options.threads)


def start_of(coldest: float, hottest: float, replicas: int, seed: int, cooling: int, options: Any) -> Any:
    """Return replicas in equilibrium at T = 1 or twice `hottest`, cooled to half of `coldest` if `cooling` is not 0."""
    hot = max(1.0, 2.0 * hottest)
    ensemble = hot_start(options.liquid, replicas, seed, temperature=hot, sweeps=options.start_sweeps, threads=options.threads)
    if cooling:
        for stage in np.geomspace(hot, 0.5 * coldest, COOLING_STAGES):
            ensemble.beta[:] = 1.0 / stage
            sampler_of(options).equilibrate(ensemble, sweeps=max(20, cooling // COOLING_STAGES))
    return ensemble


def produce(ensemble: Any, temperature: float, relaxation: int, sweeps: int, options: Any) -> Any:
    """Relax and run; return energies per particle, (records, R)."""
    ensemble.beta[:] = 1.0 / temperature
    sampler = sampler_of(options)
    sampler.equilibrate(ensemble, sweeps=relaxation)
    return sampler.run(ensemble, sweeps=sweeps, record_every=RECORD_EVERY).energy / options.liquid.n


def pilot(temperature: float, options: Any) -> dict[str, Any]:
    """Measure the autocorrelation time, and choose the lengths of the runs."""
    seed = derived_seed(options.seed, "pilot", temperature)
    ensemble = start_of(temperature, temperature, PILOT_REPLICAS, seed, 0, options)
    energy = produce(ensemble, temperature, options.pilot_sweeps, options.pilot_sweeps, options)
    tau = RECORD_EVERY * autocorrelation_time(energy).value
    error = estimate_mean(energy).error
    heat, heat_error = pooled_specific_heat(energy, options.liquid.n, temperature)
    wanted = options.energy_error * (1.0 if temperature <= KNEE else 2.0)
    excess = max(error / wanted, heat_error / (options.heat_error * heat))
    share = PILOT_REPLICAS / options.replicas
    least = max(options.least_sweeps, round_up(RELAXATION_TIMES * tau, 100))
    return {
        "autocorrelation_sweeps": tau,
        "relaxation": least,
        "sweeps": round_up(excess**2 * share * options.pilot_sweeps, least),
    }


def figures(energy: Any, temperature: float, options: Any) -> dict[str, Any]:
    """Return the averages of a run and the moments of each replica in both halves, from energies per particle (records, R)."""
    halves = energy[: len(energy) // 2], energy[len(energy) // 2 :]
    heat, heat_error = pooled_specific_heat(energy, options.liquid.n, temperature)
    return {
        "replicas": options.replicas,
        "mean_energy": float(energy.mean()),
        "mean_energy_error": float(energy.mean(axis=0).std(ddof=1)) / math.sqrt(options.replicas),
        "specific_heat": heat,
        "specific_heat_error": heat_error,
        "r_hat": float(split_rhat(energy)),
        "drift_sigmas": sigmas(halves[1].mean(axis=0) - halves[0].mean(axis=0), 0.0, 0.0),
        "first_moments": [half.mean(axis=0).tolist() for half in halves],
        "second_moments": [(half**2).mean(axis=0).tolist() for half in halves],
    }


def one_alone(temperature: float, number: int, lengths: dict[str, Any], options: Any) -> dict[str, Any]:
    """Run one seed of swap Monte Carlo at one temperature."""
    seed, begin = derived_seed(options.seed, "reference", temperature, number), time.perf_counter()
    relaxation, sweeps = lengths["relaxation"], lengths["sweeps"]
    cooling = relaxation // 2 if number % 2 == 0 else 0
    ensemble = start_of(temperature, temperature, options.replicas, seed, cooling, options)
    started = float(np.mean(ensemble.energy)) / options.liquid.n
    energy = produce(ensemble, temperature, relaxation, sweeps, options)
    return {
        "number": number,
        "seed": seed,
        "start": "cold" if cooling else "hot",
        "energy_of_start": started,
        "relaxation": relaxation,
        "sweeps": sweeps,
        "wall_time": time.perf_counter() - begin,
        **figures(energy, temperature, options),
    }


def one_exchanging(number: int, options: Any) -> dict[str, Any]:
    """Run one seed of ladders; return a run, as `one_alone` does, for each of their temperatures."""
    seed, begin = derived_seed(options.seed, "exchanges", number), time.perf_counter()
    ladder, relaxation, sweeps = sorted(options.ladder), options.exchange_relaxation, options.exchange_sweeps
    cooling = relaxation // 2 if number % 2 == 0 else 0
    ensemble = start_of(ladder[0], ladder[-1], options.replicas * len(ladder), seed, cooling, options)
    started = float(np.mean(ensemble.energy)) / options.liquid.n
    ensemble.beta[:] = np.tile(1.0 / np.array(ladder), options.replicas)
    sampler = sampler_of(options)
    sampler.equilibrate(ensemble, sweeps=min(ADAPTATION, relaxation))
    tempering = gnf.ParallelTempering(options.liquid, ladder, sampler, options.replicas, SWEEPS_PER_EXCHANGE)
    tempering.run(ensemble, sweeps=relaxation, record_every=relaxation)
    record = tempering.run(ensemble, sweeps=sweeps, record_every=RECORD_EVERY)
    wall_time = (time.perf_counter() - begin) / len(ladder)
    about = {
        "number": number,
        "seed": seed,
        "start": "cold" if cooling else "hot",
        "energy_of_start": started,
        "relaxation": relaxation,
        "sweeps": sweeps,
        "wall_time": wall_time,
        "round_trips": int(record.total_round_trips),
        "least_acceptance": float(record.acceptance.min()),
    }
    runs = {}
    for temperature in ladder:
        energy = record.energy_at(temperature) / options.liquid.n
        tau = RECORD_EVERY * estimate_mean(energy, method="replicas").tau
        runs[f"{temperature:g}"] = {**about, "autocorrelation_sweeps": tau, **figures(energy, temperature, options)}
    return {"runs": runs}


def kept(name: str, make: Any, settings: dict[str, Any], options: Any) -> dict[str, Any]:
    """Return a part from its file, if the same settings have made it, or make it and keep it."""
    file = options.parts / f"{name}.json"
    settings = {
        "system_hash": options.liquid.hash,
        "glassnf": gnf.__version__,
        "seed": options.seed,
        "replicas": options.replicas,
        "start_sweeps": options.start_sweeps,
        **settings,
    }
    if file.is_file():
        found = json.loads(file.read_text(encoding="utf-8"))
        common.require(found["settings"] == settings, f"{file} was made with other options: remove it or use another folder")
        return dict(found["part"])
    part: dict[str, Any] = make()
    write_text(file, json.dumps({"settings": settings, "part": part}, indent=1, allow_nan=False) + "\n")
    return part


def runs_alone(temperature: float, seeds: int, options: Any) -> list[dict[str, Any]]:
    """Return the runs of some seeds at one temperature."""
    names = ("energy_error", "heat_error", "pilot_sweeps", "least_sweeps")
    settings = {name: getattr(options, name) for name in names}
    lengths = kept(f"pilot_{temperature:g}", lambda: pilot(temperature, options), settings, options)
    log(f"T = {temperature:g}: {lengths}")
    runs = []
    for number in range(1, seeds + 1):
        make = functools.partial(one_alone, temperature, number, lengths, options)
        runs.append(kept(f"run_{temperature:g}_{number}", make, settings, options))
        runs[-1]["autocorrelation_sweeps"] = lengths["autocorrelation_sweeps"]
        log(f"T = {temperature:g}, {said(runs[-1])}")
    return runs


def runs_exchanging(options: Any) -> list[dict[str, Any]]:
    """Return the runs of all seeds of ladders, by temperature."""
    settings = {name: getattr(options, name) for name in ("ladder", "exchange_relaxation", "exchange_sweeps")}
    settings["ladder"] = sorted(settings["ladder"])
    runs = []
    for number in range(1, options.exchange_seeds + 1):
        make = functools.partial(one_exchanging, number, options)
        runs.append(kept(f"exchanges_{number}", make, settings, options)["runs"])
        for name, run in runs[-1].items():
            log(f"exchanges, T = {name}, {said(run)}")
    return runs


def said(run: dict[str, Any]) -> str:
    return (
        f"seed {run['number']} ({run['start']}): <U>/N = {run['mean_energy']:.5f} +- {run['mean_energy_error']:.5f}, C_v = "
        f"{run['specific_heat']:.4f} +- {run['specific_heat_error']:.4f}, R-hat {run['r_hat']:.4f}, drift "
        f"{run['drift_sigmas']:.1f}, {run['wall_time']:.0f} s"
    )


# ---- the table ---------------------------------------------------------------------------------------------------------------


def combined(temperature: float, runs: list[dict[str, Any]], options: Any) -> dict[str, Any]:
    """Return the averages over all replicas of all seeds, and what the comparisons of seeds, starts and halves say."""
    first, second = (np.concatenate([run[f"{which}_moments"] for run in runs], axis=1) for which in ("first", "second"))
    means, n = first.mean(axis=0), options.liquid.n
    heat, heat_error = specific_heat_of_moments(means, second.mean(axis=0), n, temperature)
    by_half = [specific_heat_of_moments(f, s, n, temperature) for f, s in zip(first, second, strict=True)]
    entry = {
        "temperature": temperature,
        "mean_energy": float(means.mean()),
        "mean_energy_error": float(means.std(ddof=1)) / math.sqrt(means.size),
        "specific_heat": heat,
        "specific_heat_error": heat_error,
        "r_hat": max(run["r_hat"] for run in runs),
        "drift_sigmas": sigmas(first[1] - first[0], 0.0, 0.0),
        "drift_sigmas_specific_heat": (by_half[1][0] - by_half[0][0]) / math.hypot(by_half[0][1], by_half[1][1]),
        **{f"chi2_{name}": chi2([run[name] for run in runs], [run[f"{name}_error"] for run in runs]) for name in OBSERVABLES},
        **{f"cold_less_hot_sigmas_{name}": cold_less_hot(runs, name) for name in OBSERVABLES},
        "degrees_of_freedom": len(runs) - 1,
        "method": "swap MC with exchanges" if "round_trips" in runs[0] else "swap MC",
        "autocorrelation_sweeps": sum(run["autocorrelation_sweeps"] for run in runs) / len(runs),
        "runs": [{key: value for key, value in run.items() if not key.endswith("_moments")} for run in runs],
    }
    for name in ("drift_sigmas", "drift_sigmas_specific_heat", *(f"cold_less_hot_sigmas_{name}" for name in OBSERVABLES)):
        common.require(abs(entry[name]) < SIGMA_LIMIT, f"T = {temperature:g}: {name} is {entry[name]:.1f}")
    return entry


def at_one(temperature: float, exchanging: list[dict[str, Any]], options: Any) -> dict[str, Any]:
    """Return the averages at one temperature, with those of swap Monte Carlo alone beside those of ladders."""
    name = f"{temperature:g}"
    if not exchanging or name not in exchanging[0]:
        return combined(temperature, runs_alone(temperature, options.seeds, options), options)
    entry = combined(temperature, [runs[name] for runs in exchanging], options)
    if temperature >= LEAST_ALONE:
        check = combined(temperature, runs_alone(temperature, options.check_seeds, options), options)
        for one in OBSERVABLES:
            error = math.hypot(entry[f"{one}_error"], check[f"{one}_error"])
            check[f"sigmas_{one}"] = (check[one] - entry[one]) / error
            common.require(abs(check[f"sigmas_{one}"]) < SIGMA_LIMIT, f"T = {name}: without exchanges {one} differs")
        entry["swap_alone"] = check
    return entry


def chi2(values: list[float], errors: list[float]) -> float:
    """Return the sum of squared deviations from the weighted mean, in units of the errors."""
    x, weight = np.array(values), 1.0 / np.array(errors) ** 2
    return float((weight * (x - (weight * x).sum() / weight.sum()) ** 2).sum())


def cold_less_hot(runs: list[dict[str, Any]], name: str) -> float:
    """Return the difference between the means of the cold and the hot starts in standard errors."""
    mean, variance = {}, {}
    for start in ("cold", "hot"):
        of_start = [run for run in runs if run["start"] == start]
        mean[start] = sum(run[name] for run in of_start) / len(of_start)
        variance[start] = sum(run[f"{name}_error"] ** 2 for run in of_start) / len(of_start) ** 2
    return float((mean["cold"] - mean["hot"]) / math.sqrt(variance["cold"] + variance["hot"]))


def table(entries: list[dict[str, Any]]) -> str:
    """Return the table as it stands in the documentation."""
    checks = ("chi^2/dof", "cold - hot", "second - first half", "swap alone")
    head = ("T", "<U>/N", "C_v/N", "tau", "relaxation", "production", *checks)
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for entry in entries:
        run, alone = entry["runs"][0], entry.get("swap_alone")
        pairs = (
            [entry[f"chi2_{name}"] / entry["degrees_of_freedom"] for name in OBSERVABLES],
            [entry[f"cold_less_hot_sigmas_{name}"] for name in OBSERVABLES],
            [entry["drift_sigmas"], entry["drift_sigmas_specific_heat"]],
            [] if alone is None else [alone[f"sigmas_{name}"] for name in OBSERVABLES],
        )
        cells = (
            f"{entry['temperature']:g}",
            *(format_uncertainty(entry[name], entry[f"{name}_error"]) for name in OBSERVABLES),
            f"{entry['autocorrelation_sweeps']:.0f}",
            f"{run['relaxation']:,}",
            f"{len(entry['runs']) * run['replicas']} x {run['sweeps']:,}",
            *(", ".join(f"{value:.1f}" for value in pair) for pair in pairs),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(entries: list[dict[str, Any]], options: Any) -> None:
    """Write the file."""
    words = [str(word) for word in sys.argv[1:]]
    document = {
        "format": SHIPPED_FORMAT,
        "system": options.liquid.to_dict(),
        "system_hash": options.liquid.hash,
        "method": "swap MC",
        "seed": options.seed,
        "swap_probability": SWAP_PROBABILITY,
        "record_every": RECORD_EVERY,
        "ladder": sorted(options.ladder),
        "sweeps_per_exchange": SWEEPS_PER_EXCHANGE,
        "start_sweeps": options.start_sweeps,
        "command": " ".join(["python", "bench/make_reference.py", *words]),
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "machine": f"{cpu_model()}, {gnf._core.instruction_set()}",
        "glassnf": gnf.__version__,
        "temperatures": entries,
    }
    write_text(options.output, json.dumps(document, indent=1, allow_nan=False) + "\n")


def arguments() -> Any:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0] if __doc__ else "", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--parts", type=Path, required=True, help="folder that keeps finished runs")
    parser.add_argument("--system", default="ka2d", help="model")
    parser.add_argument("-n", type=int, default=43, help="particles")
    parser.add_argument(
        "--temperatures", type=float, nargs="+", default=TEMPERATURES, help="in epsilon / k_B; done from high to low"
    )
    parser.add_argument("--seed", type=int, default=1, help="from which those of all runs are derived")
    parser.add_argument(
        "--seeds", type=int, default=12, help="runs at each temperature above the ladder, an even number of them"
    )
    parser.add_argument("--check-seeds", type=int, default=4, help="the same, of swap moves alone within the ladder")
    parser.add_argument("--replicas", type=int, default=64, help="replicas, or ladders, of each run, at least 8")
    parser.add_argument(
        "--ladder", type=float, nargs="*", default=LADDER, help="temperatures that exchange; none at all if empty"
    )
    parser.add_argument("--exchange-seeds", type=int, default=4, help="runs of ladders, an even number of them")
    parser.add_argument("--exchange-relaxation", type=int, default=15_000, help="sweeps of each replica of a ladder")
    parser.add_argument("--exchange-sweeps", type=int, default=15_000, help="the same, of production")
    parser.add_argument("--energy-error", type=float, default=8e-4, help="of <U>/N that one seed is to reach up to T = 0.4")
    parser.add_argument("--heat-error", type=float, default=0.01, help="relative one of C_v that one seed is to reach")
    parser.add_argument("--pilot-sweeps", type=int, default=10_000, help="relaxation and production of the pilot run")
    parser.add_argument("--least-sweeps", type=int, default=5_000, help="relaxation and production of a run at least")
    parser.add_argument("--start-sweeps", type=int, default=2_000, help="at the temperature where runs begin")
    parser.add_argument("--threads", type=int, help="threads, all if not given; the result does not depend on them")
    options = parser.parse_args()
    for name in ("seeds", "check_seeds", "exchange_seeds"):
        value = getattr(options, name)
        if value < 2 or value % 2:
            parser.error(f"--{name.replace('_', '-')}: expected an even number, half for each kind of start, got {value}")
    return options


def main() -> None:
    options = arguments()
    options.liquid = gnf.systems.by_name(options.system, options.n)
    options.parts.mkdir(parents=True, exist_ok=True)
    exchanging = runs_exchanging(options) if options.ladder else []
    entries = [at_one(temperature, exchanging, options) for temperature in sorted(options.temperatures, reverse=True)]
    write(entries, options)
    print(table(entries))


if __name__ == "__main__":
    main()
