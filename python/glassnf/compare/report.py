"""A comparison as a dict (for JSON), as CSV, as tables in the terminal, and as files in a folder."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .analysis import CONFIDENCE, RESAMPLES, Ratio
from .environment import environment
from .jsonable import dumps, jsonable
from .reference import RELAXATION_SHARE, Reference, reference_swap_probability, write_text
from .runner import COSTS, OBSERVABLES, AlgorithmResult, Comparison, SpeedUp, TemperatureResult
from .verdict import R_HAT_LIMIT, SIGMA_LIMIT

if TYPE_CHECKING:
    from rich.table import Table

    from ..flows import Flow

__all__ = ["FILES", "comparison_to_csv", "comparison_to_dict", "format_ratio", "tables", "write_files"]

FORMAT: Final = "glassnf-compare"
FORMAT_VERSION: Final = 3
FILES: Final = ("compare.json", "compare.csv", "compare.png", "compare.svg")
SYMBOLS: Final = {"mean_energy": "<U>/N", "specific_heat": "C_v/N"}
UNITS: Final = {
    "temperature": "epsilon / k_B",
    "mean_energy": "epsilon per particle",
    "specific_heat": "k_B per particle, configurational part",
    "wall_time": "s per run: wall time of the batch of runs divided by their number",
    "pair_evaluations": "pair distances per run",
    "sweeps": "sweeps per run, of all its replicas; a sweep is N trial moves, or one time step of molecular dynamics",
}


def comparison_to_dict(comparison: Comparison, command: list[str] | None = None) -> dict[str, Any]:
    """Return all there is to know about a comparison, ready for JSON.

    Parameters
    ----------
    comparison
        The comparison.
    command
        The command line that made it, if one did.
    """
    settings, plan = comparison.settings, comparison.plan
    data = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": comparison.started,
        "command": command,
        "seconds": comparison.seconds,
        **environment(),
        "system": {"hash": settings.system.hash, "n": settings.system.n, **settings.system.to_dict()},
        "units": UNITS,
        "settings": {
            "temperatures": settings.temperatures,
            "algorithms": settings.algorithms,
            "runs": settings.runs,
            "seed": settings.seed,
            "threads": settings.threads,
            "device": settings.device,
            "seconds": settings.seconds,
            "sweeps": settings.sweeps,
            "budgets": plan.budgets,
            "adaptation_sweeps": {name: options.adaptation for name, options in plan.options.items()},
            "record_every": {name: options.record_every for name, options in plan.options.items()},
            "discarded_share": {name: options.discard for name, options in plan.options.items()},
            "flow": None if settings.flow is None else _flow_to_dict(settings.flow),
            "start_temperature": settings.hot,
            "start_sweeps": settings.start_sweeps,
            "reference_replicas": settings.reference_replicas,
            "reference_sweeps": plan.reference_sweeps,
            "reference_relaxation_share": RELAXATION_SHARE,
            "reference_swap_probability": reference_swap_probability(settings.system),
            "confidence": CONFIDENCE,
            "resamples": RESAMPLES,
            "r_hat_limit": R_HAT_LIMIT,
            "sigma_limit": SIGMA_LIMIT,
        },
        "notes": comparison.notes,
        "temperatures": [_temperature_to_dict(result) for result in comparison.results],
    }
    converted: dict[str, Any] = jsonable(data)
    return converted


def _flow_to_dict(flow: Flow) -> dict[str, Any]:
    """Return what the flow is, and what its training has cost, which no run is charged with."""
    training = getattr(flow, "report", None)
    return {**flow.describe(), "training": None if training is None else training.to_dict()}


def _temperature_to_dict(result: TemperatureResult) -> dict[str, Any]:
    return {
        "temperature": result.temperature,
        "reference": {**jsonable(result.reference), "sound": result.reference.sound},
        "algorithms": [_algorithm_to_dict(entry) for entry in result.algorithms],
        "speed_ups": [_speed_up_to_dict(entry) for entry in result.speed_ups],
    }


def _algorithm_to_dict(result: AlgorithmResult) -> dict[str, Any]:
    spec = result.spec
    return {
        "name": spec.name,
        "label": spec.label,
        "colour": spec.colour,
        "marker": spec.marker,
        "seed": result.seed,
        "settings": result.report,
        "sweeps": result.sweeps,
        "cost": result.costs,
        "estimates": {name: {"mean": values.mean(axis=1), "runs": values} for name, values in result.estimates.items()},
        "errors": {
            name: {
                "rms": result.curves[name, COSTS[0]].error,
                "low": result.curves[name, COSTS[0]].low,
                "high": result.curves[name, COSTS[0]].high,
            }
            for name in OBSERVABLES
        },
        "verdict": result.verdict,
        "relaxation": result.relaxation,
    }


def _speed_up_to_dict(entry: SpeedUp) -> dict[str, Any]:
    return {
        "algorithm": entry.algorithm,
        "baseline": entry.baseline,
        "observable": entry.observable,
        "cost": entry.cost,
        "target_error": entry.target,
        "at_end_of_baseline": entry.at_end_of_baseline,
        "bound": entry.ratio.bound,
        "value": entry.ratio.value,
        "low": entry.ratio.low,
        "high": entry.ratio.high,
    }


def comparison_to_csv(data: dict[str, Any]) -> str:
    """Return one row for each temperature, algorithm and budget, from the dict of `comparison_to_dict`."""
    columns = ["temperature", "algorithm", "sweeps", "wall_time_s", "pair_evaluations"]
    for name in OBSERVABLES:
        columns += [name, f"{name}_rms_error", f"{name}_rms_error_low", f"{name}_rms_error_high"]
        columns += [f"{name}_reference", f"{name}_reference_error"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*columns, "equilibrated_at_last_budget"])
    for entry in data["temperatures"]:
        reference = entry["reference"]
        for algorithm in entry["algorithms"]:
            for b, sweeps in enumerate(algorithm["sweeps"]):
                row = [entry["temperature"], algorithm["name"], sweeps, *(algorithm["cost"][kind][b] for kind in COSTS)]
                for name in OBSERVABLES:
                    errors = algorithm["errors"][name]
                    row += [algorithm["estimates"][name]["mean"][b], errors["rms"][b], errors["low"][b], errors["high"][b]]
                    row += [reference[name], reference[f"{name}_error"]]
                writer.writerow([*row, algorithm["verdict"]["equilibrated"]])
    return stream.getvalue()


def _short(value: float) -> str:
    """Return a positive number with two significant digits, or three before the point."""
    if value >= 99.5:
        return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"
    return f"{value:.2g}" if value < 9.95 else f"{value:.0f}"


def format_ratio(ratio: Ratio) -> str:
    """Return a speed-up with its interval in words: ``12 (9.1 to 16)``, ``> 310 (> 280)``, or ``neither gets there``."""
    if ratio.bound == "?" or not math.isfinite(ratio.value):
        return "neither gets there"
    low = f"{_short(ratio.low)}" if ratio.low > 0.0 else None
    high = f"{_short(ratio.high)}" if math.isfinite(ratio.high) else None
    if low is not None and high is not None:
        interval = f"{low} to {high}"
    elif low is not None:
        interval = f"> {low}"
    else:
        interval = f"< {high}" if high is not None else "open"
    sign = "" if ratio.bound == "=" else f"{ratio.bound} "
    return f"{sign}{_short(ratio.value)} ({interval})"


def tables(comparison: Comparison) -> list[Table]:
    """Return the tables for the terminal, two for each temperature: what was found, and what it cost."""
    made = []
    for result in comparison.results:
        made.append(_findings(comparison, result))
        if result.speed_ups:
            made.append(_costs(result))
    return made


def _table(title: str, left: int, headings: tuple[str, ...]) -> Table:
    """Return an empty table that fits into 80 columns; the first `left` columns are aligned to the left."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False
    )
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < left else "right", no_wrap=True)
    return table


def _findings(comparison: Comparison, result: TemperatureResult) -> Table:
    from ..observables.estimate import format_uncertainty

    system, runs = comparison.settings.system, comparison.settings.runs
    title = f"{system.name}, N = {system.n}, T = {result.temperature:g}: {runs} runs of each algorithm"
    table = _table(title, 1, ("", "sweeps", "s/run", "<U>/N", "error", "C_v/N", "error", "R-hat", "equil."))
    table.add_row(*_reference_row(result.reference))
    for entry in result.algorithms:
        row = [entry.spec.label, _thousands(int(entry.sweeps[-1])), f"{entry.costs['wall_time'][-1]:.2g}"]
        for name in OBSERVABLES:
            final = entry.estimates[name][-1]
            row += [
                format_uncertainty(float(final.mean()), float(final.std(ddof=1)) / math.sqrt(len(final))),
                f"{entry.curves[name, 'wall_time'].error[-1]:.2g}",
            ]
        r_hat = entry.verdict.r_hat
        row += [f"{r_hat:.3f}" if math.isfinite(r_hat) else "-", "yes" if entry.verdict.equilibrated else "NO"]
        table.add_row(*row, style=None if entry.verdict.equilibrated else "red")
    return table


def _thousands(sweeps: int) -> str:
    return f"{sweeps / 1000:g}k" if sweeps >= 1000 else str(sweeps)


def _reference_row(reference: Reference) -> list[str]:
    from ..observables.estimate import format_uncertainty

    return [
        "reference",
        f"{reference.replicas}x{_thousands(reference.sweeps)}",
        "",
        format_uncertainty(reference.mean_energy, reference.mean_energy_error),
        "",
        format_uncertainty(reference.specific_heat, reference.specific_heat_error),
        "",
        f"{reference.r_hat:.3f}",
        "yes" if reference.sound else "NO",
    ]


def _costs(result: TemperatureResult) -> Table:
    labels = {entry.spec.name: entry.spec.label for entry in result.algorithms}
    baseline = labels[result.speed_ups[0].baseline]
    title = f"Times cheaper than {baseline} at equal error (95% interval)"
    table = _table(title, 3, ("", "to know", "to within", "in wall time", "in pair evaluations"))
    table.caption, table.caption_justify = f"* the error that {baseline} ends with", "left"
    rows: dict[tuple[str, str, bool], dict[str, SpeedUp]] = {}
    for entry in result.speed_ups:
        rows.setdefault((entry.algorithm, entry.observable, entry.at_end_of_baseline), {})[entry.cost] = entry
    for (name, observable, at_end), by_cost in rows.items():
        target = f"{by_cost[COSTS[0]].target:.2g}" + ("*" if at_end else " ")
        table.add_row(labels[name], SYMBOLS[observable], target, *(format_ratio(by_cost[cost].ratio) for cost in COSTS))
    return table


def write_files(data: dict[str, Any], folder: Path) -> list[Path]:
    """Write compare.json, compare.csv, compare.png and compare.svg, each in one step, and return their paths.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    from .. import plots

    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "compare.json", dumps(data))
    write_text(folder / "compare.csv", comparison_to_csv(data))
    figure = plots.comparison(data)
    plots.save(figure, folder / "compare.png")
    plots.save(figure, folder / "compare.svg")
    return [folder / name for name in FILES]
