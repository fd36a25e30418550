"""Print the results as markdown tables, from the JSON files that the benchmarks wrote.

python bench/report.py [files; default: bench/results/*.json]
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

TARGETS = {
    "displacements: glassnf / brute force": "4, aim 6",
    "glassnf: N=1290 / N=43": "0.5",
    "glassnf: N=100000 / N=43": "0.33",
    "energy and forces: glassnf / torch.compile": "8, aim 12",
    "glassnf, N=43, cut potential / LAMMPS": "2, aim 3",
    "glassnf, N=1290, cut potential / LAMMPS": "1.3, aim 2",
    "annealing / its own sweeps": "below 1.03",
    "cost: pair field, N=43 / energies and forces": "at most 2.5",
    "trajectory: native / torch, pair field, N=43": "20",
    "explorer, same calls / annealing": "below 1.03",
    "explorer, long calls / annealing": "below 1.03",
}

CUDA_TARGETS = {
    **{f"N=43 x {replicas}": "2 G, aim 5 G" for replicas in (4096, 16384, 65536)},
    "N=1290 x 1024": "500 M",
    "N=1000000 x 1": "200 M",
    "N=43 x 4096, nve": "50 M",
    "N=43 x 65536, energy and forces": "50 M, aim 100 M",
    "N=43 x 65536, pair field": "20 M",
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Three digits: 1.23 M, 45.6 k, 0.123."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def ratios(document: dict[str, Any]) -> str:
    rows = []
    for name, ratio in document["ratios"].items():
        low, high = min(ratio["values"]), max(ratio["values"])
        rows.append((name, TARGETS.get(name, ""), f"{ratio['median']:.3g}", f"{low:.3g} to {high:.3g}"))
    return table(("ratio", "wanted", "median", "range"), rows)


def rates(values: dict[str, Any], unit: str) -> str:
    return table(("case", unit), ((name, number(rate["median"])) for name, rate in values.items()))


def monte_carlo(document: dict[str, Any]) -> list[str]:
    limits = (
        (
            name,
            f"{limit['pairs_per_move']:.1f}",
            number(limit["pairs_per_s"]),
            f"{100 * limit['fraction_of_flops']:.1f} %",
            f"{100 * limit['fraction_of_divisions']:.1f} %",
        )
        for name, limit in document["limits"].items()
    )
    peak = document["peak"]
    return [
        rates(document["moves_per_s"], "moves/s"),
        ratios(document),
        table(("displacements", "pairs per move", "pairs/s", "of the flop limit", "of the division limit"), limits),
        f"Limits of the core: {peak['flops_per_s'] / 1e9:.1f} Gflop/s, {number(peak['divisions_per_s'])} divisions/s; "
        f"{document['flops_per_pair']} flops and one division per pair.",
    ]


def energy(document: dict[str, Any]) -> list[str]:
    limits = document["limits"]
    return [
        rates(document["configurations_per_s"], "configurations/s"),
        ratios(document),
        f"Opponent: {document['settings']['opponent']}, torch {document['settings']['torch']}. glassnf: "
        f"{number(limits['pairs_per_s'])} pairs/s, {document['flops_per_pair']} flops each, "
        f"{100 * limits['fraction_of_flops']:.1f} % of the flop limit of {document['peak']['flops_per_s'] / 1e9:.1f} Gflop/s.",
    ]


def kernels(document: dict[str, Any]) -> list[str]:
    rows = [
        (f"{name}, {size}", *(number(next(iter(rate.values()))) for rate in found.values()))
        for name, sizes in document["kernels"].items()
        for size, found in sizes.items()
    ]
    return [table(("kernels", "energies/s", "forces/s", "displacements/s", "moves/s with 20 % swaps"), rows)]


def parallel_tempering(document: dict[str, Any]) -> list[str]:
    rows = []
    for case, found in document["results"].items():
        for key, overhead in found["overhead"].items():
            low, high = min(overhead["values"]), max(overhead["values"])
            rate = number(found["replica_sweeps_per_s"][key]["median"])
            spread = f"{100 * low:.1f} % to {100 * high:.1f} %"
            row = (f"{case}, exchanges {key} sweeps", rate, "3 %", f"{100 * overhead['median']:.1f} %", spread)
            rows.append(row)
    return [table(("parallel tempering at N = 43", "replica-sweeps/s", "at most", "overhead", "range"), rows)]


def dynamics(document: dict[str, Any]) -> list[str]:
    peak, settings = document["peak"], document["settings"]
    limits = (
        (
            name,
            f"{limit['pairs_per_step']:.0f}",
            number(limit["pairs_per_s"]),
            f"{100 * limit['fraction_of_flops']:.1f} %",
            f"{100 * limit['fraction_of_divisions']:.1f} %",
        )
        for name, limit in document["limits"].items()
    )
    skins = ", ".join(f"{skin:g} at {size}" for size, skin in settings["skin_of_lammps"].items())
    return [
        rates(document["steps_per_s"], "steps/s of one replica"),
        *([ratios(document), f"Opponent: {settings['opponent']}, fastest skin {skins}."] if document["ratios"] else []),
        table(("molecular dynamics", "pairs per step", "pairs/s", "of the flop limit", "of the division limit"), limits),
        f"Limits of the core: {peak['flops_per_s'] / 1e9:.1f} Gflop/s, {number(peak['divisions_per_s'])} divisions/s; "
        f"{document['flops_per_pair']} flops and one division per pair.",
    ]


def time_step(document: dict[str, Any]) -> list[str]:
    rows = [
        (f"{name}, dt = {dt:g}", f"{value:.5f}", f"{error:.5f}")
        for name, found in document["thermostats"].items()
        for dt, value, error in zip(document["timesteps"], found["energy_per_particle"], found["errors"], strict=True)
    ]
    rows += [
        (f"{name}, dt -> 0", f"{found['limit']:.5f}", f"{found['limit_error']:.5f}")
        for name, found in document["thermostats"].items()
    ]
    reference = document["monte_carlo"]
    rows.append(("swap Monte Carlo", f"{reference['energy_per_particle']:.5f}", f"{reference['error']:.5f}"))
    return [table((f"ka2d, N = 43, T = {document['settings']['temperature']:g}", "<U>/N", "standard error"), rows)]


def time_step_paired(document: dict[str, Any]) -> list[str]:
    rows = [
        (
            f"{shift['thermostat']}, dt = {shift['timestep']:g}",
            f"{shift['mean_energy']:.5f}",
            f"{shift['mean_energy_error']:.5f}",
            f"{shift['specific_heat']:.3f}",
            f"{shift['specific_heat_error']:.3f}",
        )
        for shift in document["shifts"]
    ]
    case = f"ka2d, N = 43, T = {document['settings']['temperature']:g}, against dt = {document['finest']:g}"
    return [table((case, "shift of <U>/N", "error", "shift of C_v", "error"), rows)]


def relaxation_time(document: dict[str, Any]) -> list[str]:
    rows = [
        (name, f"{found['value']:.0f}" if found["value"] else "longer", f"{found['error']:.0f}" if found["error"] else "")
        for name, found in document["relaxation_times"].items()
    ]
    settings = document["settings"]
    size = f"ka2d, N = {settings['n']}, T = {settings['temperature']:g}"
    return [table((size, "tau", "error"), rows), f"Published by the authors: {document['published']:.0f} tau."]


def cuda_rates(document: dict[str, Any], values: dict[str, Any], unit: str) -> str:
    """One row per case: its rate, what was wanted, how far from the limit counted by hand, and how many cores it is worth."""
    cores = {key.partition(" / ")[0]: ratio for key, ratio in document.get("ratios", {}).items()}
    rows = []
    for name, rate in values.items():
        limit = document.get("limits", {}).get(name)
        fraction = f"{100 * limit['fraction']:.0f} % of {number(limit['limit_per_s'])}" if limit else ""
        times = f"{cores[name]['median']:.3g}" if name in cores else ""
        rows.append((name, number(rate["median"]), CUDA_TARGETS.get(name, ""), fraction, times))
    return table(("case", unit, "wanted", "of the limit counted by hand", "times one core"), rows)


def cuda(document: dict[str, Any]) -> list[str]:
    device, peak, parts = document["device"], document.get("peak", {}), []
    clock = f", {device['clock_hz'] / 1e9:.2f} GHz at most" if device.get("clock_hz") else ""
    processors = f", {device['multiprocessors']} multiprocessors" if device.get("multiprocessors") else ""
    driver = f", driver {device['driver']}" if device.get("driver") else ""
    parts.append(f"{device['name']}{processors}{clock}{driver}.")
    units = {"moves_per_s": "moves/s", "steps_per_s": "time steps/s", "configurations_per_s": "configurations/s"}
    units["evaluations_per_s"] = "evaluations of a field/s"
    for key, unit in units.items():
        if document.get(key):
            parts.append(cuda_rates(document, document[key], unit))
    if document.get("overhead_us"):
        rows = ((name, f"{rate['median']:.1f}") for name, rate in document["overhead_us"].items())
        parts.append(table(("one configuration of N = 43", "microseconds per call"), rows))
    if peak:
        flops, traffic = number(peak["fp64_per_s"]), number(peak["bytes_per_s"])
        parts.append(f"Measured in the same run: {flops} fused multiply-adds/s in double precision, {traffic} bytes/s copied.")
    parts += [f"Part {name} failed: {error}" for name, error in document.get("errors", {}).items()]
    return parts


def microbenchmarks(document: dict[str, Any]) -> str:
    """Return the table of a file that Google Benchmark wrote."""
    context, rows = document["context"], []
    for run in document["benchmarks"]:
        found = [f"{number(run[unit])} {unit}" for unit in ("moves/s", "steps/s", "configurations/s", "pairs/s") if unit in run]
        took = f"{run['real_time']:.3g} {run['time_unit']}" if "real_time" in run else run.get("error_message", "")
        rows.append((run["name"].removesuffix("/manual_time"), took, *[*found, "", ""][:2]))
    title = Path(context["executable"]).name
    return f"### {title}\n\n{context['date'][:10]}.\n\n" + table(("kernel", "time", "rate", "distances"), rows)


def population_annealing(document: dict[str, Any]) -> list[str]:
    return [ratios(document), rates(document["replica_sweeps_per_cpu_s"], "replica-sweeps per s of CPU time")]


def flow_field(document: dict[str, Any]) -> list[str]:
    limits = document["limits"]
    return [
        rates(document["evaluations_per_s"], "configurations/s"),
        ratios(document),
        f"Opponent: the torch twin, eager, torch {document['settings']['torch']}. glassnf, trajectory of a pair field: "
        f"{number(limits['pairs_per_s'])} pairs/s, {document['flops_per_pair']} flops each, "
        f"{100 * limits['fraction_of_flops']:.1f} % of the flop limit of {document['peak']['flops_per_s'] / 1e9:.1f} Gflop/s.",
    ]


def flow_assisted(document: dict[str, Any]) -> list[str]:
    def measured(found: dict[str, Any]) -> list[str]:
        return [
            f"{found['energy']:.4f} ± {found['energy_error']:.4f} ({found['energy_sigmas']:+.1f})",
            f"{found['heat']:.3f} ± {found['heat_error']:.3f} ({found['heat_sigmas']:+.1f})",
        ]

    results, parts = document["results"], []
    if "exchange" in results:
        rows = [
            (
                name,
                f"{found['acceptance']:.3f} ± {found['error']:.3f}",
                f"{found['steps']}" if "steps" in found else "",
                f"{found['replica_sweeps_per_attempt']:.3g}" if "steps" in found else "",
            )
            for name, found in results["exchange"].items()
        ]
        parts.append(table(("exchange, T = 0.4 and 0.3", "acceptance", "steps", "cost of one in sweeps of a replica"), rows))
    if "tempering" in results:
        rows = [
            (
                name,
                ", ".join(f"{rate:.2f}" for rate in found["acceptance"]),
                f"{found['round_trips_per_1e6_replica_sweeps']:.0f}",
                f"{found['round_trips_per_s']:.3g}",
                *measured(found),
            )
            for name, found in results["tempering"].items()
        ]
        head = (
            "parallel tempering",
            "acceptance",
            "round trips per 1e6 sweeps",
            "per s",
            "<U>/N at 0.3 (sigmas)",
            "C_v at 0.3",
        )
        parts.append(table(head, rows))
    if "annealing" in results:
        rows = [
            (
                name,
                f"{found['temperature_steps']}",
                f"{found['ess_of_a_step']:.3f}",
                f"{found['fewer_steps_than_plain']:.2f}",
                f"{found['time_of_plain']:.2f}",
                *measured(found),
            )
            for name, found in results["annealing"].items()
        ]
        head = (
            "population annealing",
            "steps",
            "ESS of one",
            "times fewer",
            "times faster",
            "<U>/N at 0.3 (sigmas)",
            "C_v at 0.3",
        )
        parts.append(table(head, rows))
    reference = document["swap Monte Carlo"]
    parts.append(
        f"Swap Monte Carlo at T = 0.3: <U>/N {reference['energy']:.4f} ± {reference['energy_error']:.4f}, "
        f"C_v {reference['heat']:.3f} ± {reference['heat_error']:.3f}."
    )
    return parts


def escorted_swap(document: dict[str, Any]) -> list[str]:
    def percent(found: dict[str, float]) -> str:
        return f"{100 * found['value']:.2g}({100 * found['error']:.1g}) %"

    kinds = ("fitted_to_quenches", "radial", "radial_and_centre")
    rows = [
        (
            name,
            f"{100 * case['plain_counted']:.2g} %",
            *(percent(case[kind]["acceptance"]) for kind in kinds),
            *(percent(case["ceiling"][kind]) for kind in ("harmonic_free_energy", "energy")),
        )
        for name, case in document["pairs"].items()
    ]
    whole = document["every_unlike_pair_equally_often"]
    rows.append(("all", *(f"{100 * whole[kind]:.2g} %" for kind in ("plain", *kinds, "ceiling")), ""))
    head = ("exchange", "plain", "fitted to quenches", "radial", "radial and centre", "ceiling, harmonic", "ceiling, energies")
    works = [
        (
            name,
            *(f"{case[kind]['work_quantiles'][q]:.1f}" for kind in ("plain", "radial_and_centre") for q in ("10", "50", "90")),
        )
        for name, case in document["pairs"].items()
    ]
    parts = ("plain 10 %", "50 %", "90 %", "radial and centre 10 %", "50 %", "90 %")
    cost = document["cost"]
    return [
        "Acceptance",
        table(head, rows),
        "Quantiles of the work, in units of T",
        table(("exchange", *parts), works),
        f"A plain trial takes {1e6 * cost['plain_trial_s']:.2g} us, "
        f"an energy from scratch {1e6 * cost['energy_from_scratch_s']:.2g} us.",
    ]


def flow_training(document: dict[str, Any]) -> list[str]:
    rows, sizes = [], []
    for step in document["steps"]:
        first, means = step["runs"][0], step["means"]
        name = f"{step['hot']} to {step['cold']}"
        rows.append(
            (
                name,
                f"{step['plain']['ess']:.3f}",
                f"{means['ess_pair']:.3f}",
                f"{means['ess_messages']:.3f}",
                f"{first['messages']['ess_forward']:.3f}",
                f"{first['ceiling_ess']:.2f}",
                f"{means['explained_pair']:.3f}",
                f"{means['explained_messages']:.3f}",
                f"{first['report']['nodes'][-1]['ceiling']:.2f}",
                f"{means['training_seconds']:.0f}",
            )
        )
        for size in step["sizes"]:
            for row in size["rows"]:
                ess = f"{row['ess']:.3f}", f"{row['ess_plain']:.4f}"
                scaled = -math.log(row["ess"]) / (size["n"] * row["beta_step"] ** 2)
                sizes.append((f"{size['n']}, from T = {step['hot']}", f"{row['beta_step']:.3f}", *ess, f"{scaled:.4f}"))
            wanted = size["beta_step_for_ess_0.3"]
            found = "none of these" if wanted is None else f"{wanted:.3f}"
            sizes.append((f"{size['n']}, from T = {step['hot']}", found, "0.300", "", ""))
    head = (
        "T",
        "plain",
        "pair field",
        "messages",
        "forward",
        "ceiling",
        "explained, pair",
        "messages",
        "ceiling",
        "training, s",
    )
    settings = document["settings"]
    return [
        f"ESS, and explained variance of U at the colder temperature, on {settings['samples']} fresh configurations, N = "
        f"{settings['n']}, {settings['layers']} layers; means over {settings['seeds']} trainings on "
        f"{settings['training_samples']} configurations of each temperature:",
        table(head, rows),
        "The field of N = 43 in a larger system:",
        table(("N", "step of beta", "ESS", "plain", "-log ESS / (N step^2)"), sizes),
    ]


def shipped_flow(document: dict[str, Any]) -> list[str]:
    flows, plain, columns = document["flows"], document["plain"], [("plain", document["plain"])]
    for flow in flows:
        columns += [] if flow["pair_field"] is None else [("pair field", flow["pair_field"])]
        columns.append((f"{flow['layers']} layers", flow["ways"]))
    rows = []
    for place, (way, last) in enumerate(zip(plain, flows[-1]["ways"], strict=True)):
        ess = (f"{found[place]['ess']:.3g}" for _, found in columns)
        rest = f"{last['ess_forward']:.3g}", f"{last['pareto_k']:.2f}", str(last["integration_steps"])
        rows.append((f"{way['base']:g} to {way['target']:g}", *ess, *rest))
    explained = [[node["explained"] for node in flow["report"]["nodes"]] for flow in flows]
    nodes = (
        (f"{node['temperature']:.3f}", *(f"{of_flow[i]:.3f}" for of_flow in explained), f"{node['ceiling'] or math.nan:.3f}")
        for i, node in enumerate(flows[-1]["report"]["nodes"])
    )
    layers = [f"{flow['layers']} layers" for flow in flows]
    times = [(flow["report"]["sample_seconds"], flow["report"]["fit_seconds"]) for flow in flows]
    return [
        table(("T", *(name for name, _ in columns), "forward ESS", "k-hat", "steps"), rows),
        f"{document['settings']['samples']} fresh configurations of each temperature; the last three columns: the last flow.",
        table(("T", *(f"explained, {name}" for name in layers), "ceiling"), nodes),
        *(f"{name}: samples {one:.0f} s, fit {other:.0f} s." for name, (one, other) in zip(layers, times, strict=True)),
    ]


def comparison_consistency(document: dict[str, Any]) -> list[str]:
    def interval(entry: dict[str, Any]) -> str:
        ratio = entry["ratio"]
        if ratio["bound"] == "?":
            return "unknown"
        within = f"> {ratio['low']:.3g}" if ratio["high"] is None else f"{ratio['low']:.3g} to {ratio['high']:.3g}"
        sign = "" if ratio["bound"] == "=" else f"{ratio['bound']} "
        return f"{sign}{ratio['value']:.3g} ({within})"

    made, cost = document["comparisons"], "pair_evaluations"
    found: dict[tuple[Any, ...], list[str]] = {}
    for one in made:
        for entry in one["speed_ups"]:
            if entry["cost"] == cost:
                target = "the baseline's last" if entry["at_end_of_baseline"] else f"{entry['target']:g}"
                found.setdefault((entry["algorithm"], entry["observable"], target), []).append(interval(entry))
    rows = [(", ".join(name), *values) for name, values in found.items() if len(values) == len(made)]
    head = ("speed-up in pair evaluations, to know, error", *(f"K = {one['runs']}, seed {one['seed']}" for one in made))
    agreed = [
        (f"K = {runs}, {kind}", str(by_cost[kind]["pairs"]), str(by_cost[kind]["consistent"]), str(by_cost[kind]["unknown"]))
        for runs, by_cost in document["agreement"].items()
        for kind in by_cost
    ]
    shrunk = [
        (
            kind,
            str(one["count"]),
            str(one["narrower"]),
            *("" if one[k] is None else f"{one[k]:.2f}" for k in ("median", "expected")),
        )
        for kind, one in document["shrinkage"].items()
    ]
    return [
        table(head, rows),
        table(("pairs of seeds", "speed-ups", "consistent", "unknown"), agreed),
        table(("widths of intervals, many runs over few", "speed-ups", "narrower", "median", "expected"), shrunk),
    ]


def equilibration(document: dict[str, Any]) -> list[str]:
    """Return how often verdicts are wrong."""

    def share(count: int, total: int) -> str:
        return f"{count} of {total}" + (f" ({100.0 * count / total:.3g}%)" if count else "")

    head = ("judged together", "known", "equilibrated", "cannot tell", "not equilibrated")
    rows = [
        (
            name,
            "in equilibrium" if state == "equilibrium" else "not",
            *(share(one, sum(counts.values())) for one in counts.values()),
        )
        for name, by_truth in document["rates"].items()
        for state, counts in by_truth.items()
    ]
    wrong = [
        (
            f"{row['temperature']:g}",
            row["case"],
            str(row["records"]),
            str(row["replicas"]),
            f"{row['bias']:+.2f}({row['bias_error']:.2f})",
            *map(str, row["verdicts"].values()),
        )
        for row in document["rows"]
        if row["replicas"] == max(document["settings"]["groups"]) or row["case"].startswith("anneal")
    ]
    columns = ("T", "runs", "records", "replicas", "off by", "equilibrated", "cannot tell", "not equilibrated")
    return [
        table(head, rows),
        "The largest groups one by one; what they are off by is in standard deviations:",
        table(columns, wrong),
    ]


def equilibration_synthetic(document: dict[str, Any]) -> list[str]:
    """Return how often tests and verdicts are wrong on chains of which everything is known."""
    rows = document["rows"]
    tests = ("drift", "drift of either side", "forward-backward")

    def share(kept: list[dict[str, Any]], test: str) -> str:
        counted = [row for row in kept if test in row["failed"]]
        sets, failed = sum(row["sets"] for row in counted), sum(row["failed"][test] for row in counted)
        return f"{failed} of {sets} ({100.0 * failed / sets:.2g}%)" if sets else ""

    def lines(bias: float, group: str) -> list[tuple[str, ...]]:
        kept = [row for row in rows if row["bias"] == bias]
        values = sorted({row[group] for row in kept})
        cells = [(f"{value:g}", [row for row in kept if row[group] == value]) for value in values]
        return [(name, *(share(some, test) for test in tests)) for name, some in [*cells, ("all", kept)]]

    def judged(row: dict[str, Any], name: str) -> tuple[str, ...]:
        found = row.get(name, {})
        words = ("equilibrated", "cannot tell", "not equilibrated")
        return tuple(str(found.get(status, 0)) for status in words) if found else ("",) * 3

    columns = ("equilibrated", "cannot tell", "not equilibrated")
    verdicts = [
        (f"{row['bias']:g}", str(row["replicas"]), f"{row['times']:g}", *judged(row, "verdicts"), *judged(row, "verdicts_both"))
        for row in rows
    ]
    parts = ["False alarms, in equilibrium, by replicas:", table(("replicas", *tests), lines(0.0, "replicas"))]
    parts += ["The same by the length of the run in tau:", table(("run / tau", *tests), lines(0.0, "times"))]
    for bias in sorted({row["bias"] for row in rows} - {0.0}):
        for group, words in (("replicas", "replicas"), ("times", "run / tau")):
            parts += [f"Power, off by {bias:g} standard deviations, by {words}:", table((words, *tests), lines(bias, group))]
    passed = ((str(one["runs"]), f"{one['variance']:g}", f"{one['passed']} of {one['sets']}") for one in document["log_z"])
    parts += ["log Z over runs of population annealing:", table(("runs", "true variance", "passes"), passed)]
    head = ("off by", "replicas", "run / tau", *columns, *(f"{name}, both sides" for name in columns))
    return [*parts, f"Verdicts on the first {rows[0]['judged']} sets:", table(head, verdicts)]


def long_run(document: dict[str, Any]) -> list[str]:
    rows = (
        (
            case["what"],
            number(case["trials"]),
            f"{case['largest_relative_drift']:.1g}",
            "yes" if case.get("same_bits_as_a_fresh_kernel") else "",
        )
        for case in document["cases"].values()
        if case["records"]
    )
    return [table(("one call", "trial moves", "largest relative drift", "bits of a fresh kernel"), rows)]


def large_system(document: dict[str, Any]) -> list[str]:
    parts = {"2": document.get("two_dimensions", {}), "3": document.get("three_dimensions", {})}
    rows = (
        (f"{name}, d = {d}", f"{case['processor_seconds']:.1f}", f"{case['largest_memory_bytes'] / 1e9:.2f}")
        for d, part in parts.items()
        for name, case in part.items()
    )
    return [table((f"N = {document['particles']}", "processor s", "largest memory, GB"), rows)]


SECTIONS = {
    "equilibration": equilibration,
    "equilibration_synthetic": equilibration_synthetic,
    "long_run": long_run,
    "large_system": large_system,
    "comparison_consistency": comparison_consistency,
    "shipped_flow": shipped_flow,
    "escorted_swap": escorted_swap,
    "flow_training": flow_training,
    "flow_assisted": flow_assisted,
    "monte_carlo": monte_carlo,
    "energy": energy,
    "kernels": kernels,
    "dynamics": dynamics,
    "parallel_tempering": parallel_tempering,
    "population_annealing": population_annealing,
    "flow_field": flow_field,
    "time_step": time_step,
    "time_step_paired": time_step_paired,
    "relaxation_time": relaxation_time,
    "cuda": cuda,
}


def section(path: Path) -> str:
    """Return the tables of one file, with its date, machine and command."""
    document = json.loads(path.read_text(encoding="utf-8"))
    if "benchmarks" in document:
        return microbenchmarks(document)
    if document.get("format") == "glassnf-compare":  # the README has its tables
        return f"### comparison\n\n`{' '.join(document['command'])}`, {document['created'][:10]}: see the README."
    about = document["machine"]
    when = (
        f"`{document['command']}`, {document['date'][:10]}, {about['cpu']}, one core of {about['cores']}, "
        f"{about['instruction_set']}, {about['compiler']}, load average {about['load_average'][0]:.1f}."
    )
    return "\n\n".join([f"### {document['benchmark']}", when, *SECTIONS[document["benchmark"]](document)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="*", help="JSON files; default: all of bench/results")
    parser.add_argument("--write", type=Path, help="replace the results in this document, between its two marks")
    options = parser.parse_args()
    files = options.files or sorted((FOLDER / "results").glob("*.json"))
    text = "\n\n".join(section(path) for path in files)
    if options.write is None:
        print(text)
        return
    before, _, rest = options.write.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        parser.error(f"{options.write}: expected the marks {BEGIN} and {END}")
    options.write.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
