"""A comparison as a dict (for JSON), as CSV, and as files in a folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import _check
from .algorithms import get_algorithm
from .analysis import CONFIDENCE, RESAMPLES
from .environment import environment
from .inputs import of_comparison
from .jsonable import dumps, jsonable
from .reference import RELAXATION_SHARE, reference_swap_probability, shipped_references, write_text
from .results import COSTS, OBSERVABLES, AlgorithmResult, Comparison, SpeedUp, TemperatureResult
from .tables import tables
from .verdict import R_HAT_LIMIT, SIGMA_LIMIT, status_of
from .words import sentences

if TYPE_CHECKING:
    from ..flows import Flow
    from ..systems import System

__all__ = ["comparison_to_csv", "comparison_to_dict", "sentences", "speed_ups_to_csv", "tables", "write_files"]

FORMAT: Final = "glassnf-compare"
FORMAT_VERSION: Final = 4
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
    if not isinstance(comparison, Comparison):
        raise TypeError(f"comparison: expected a Comparison, got {_check.describe(comparison)}")
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
            "profile": settings.profile,
            "temperatures": settings.temperatures,
            "algorithms": settings.algorithms,
            "runs": settings.runs,
            "seed": settings.seed,
            "threads": settings.threads,
            "device": settings.device,
            "seconds": settings.seconds,
            "seconds_per_algorithm": plan.seconds,
            "sweeps": settings.sweeps,
            "tuning_share": settings.tuning,
            "stop_when_failed": settings.stop_when_failed,
            "flow": None if settings.flow is None else _flow_to_dict(settings.flow),
            "start_temperature": settings.hot,
            "start_sweeps": settings.start_sweeps,
            "reference_replicas": settings.reference_replicas,
            "reference_sweeps": plan.reference_sweeps,
            "reference_relaxation_share": RELAXATION_SHARE,
            "reference_swap_probability": reference_swap_probability(settings.system),
            "target_energy_error": settings.target_energy_error,
            "target_heat_error": settings.target_heat_error,
            "confidence": CONFIDENCE,
            "resamples": RESAMPLES,
            "r_hat_limit": R_HAT_LIMIT,
            "sigma_limit": SIGMA_LIMIT,
        },
        "notes": comparison.notes,
        "reference_curve": _reference_curve(settings.system),
        "temperatures": [_temperature_to_dict(result) for result in comparison.results],
    }
    converted: dict[str, Any] = jsonable(data)
    return converted


def _reference_curve(system: System) -> list[dict[str, float]]:
    """Return the averages that come with glassnf for a system, at all temperatures, for the figures."""
    names = ("temperature", *(f"{name}{kind}" for name in OBSERVABLES for kind in ("", "_error")))
    return [{name: getattr(reference, name) for name in names} for reference in shipped_references(system)]


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
        "ranking": result.ranking,
        "not_run": [
            {"name": entry.name, "label": get_algorithm(entry.name).label, "reason": entry.reason} for entry in result.not_run
        ],
    }


def _algorithm_to_dict(result: AlgorithmResult) -> dict[str, Any]:
    spec = result.spec
    return {
        "name": spec.name,
        "label": spec.label,
        "colour": spec.colour,
        "marker": spec.marker,
        "foreign": result.foreign,
        "seed": result.seed,
        "settings": result.report,
        "sweeps": result.sweeps,
        "cost": result.costs,
        "estimates": {name: {"mean": values.mean(axis=1), "runs": values} for name, values in result.estimates.items()},
        "errors": {
            name: dict(zip(("rms", "low", "high"), result.curves[name, COSTS[0]].of_budgets, strict=True))
            for name in OBSERVABLES
        },
        "verdict": result.verdict,
        "relaxation": result.relaxation,
        "tuning": result.tuning,
        "training": result.training,
        "diagnostics": result.diagnostics,
    }


def _speed_up_to_dict(entry: SpeedUp) -> dict[str, Any]:
    return {
        "algorithm": entry.algorithm,
        "baseline": entry.baseline,
        "observable": entry.observable,
        "cost": entry.cost,
        "target_error": entry.target,
        "at_end_of_baseline": entry.at_end_of_baseline,
        **jsonable(entry.ratio),
        "amortised": entry.amortised,
        "break_even_runs": entry.break_even_runs,
    }


@of_comparison
def comparison_to_csv(data: Mapping[str, Any]) -> str:
    """Return one row for each temperature, algorithm and budget, from the dict of `comparison_to_dict`."""
    columns = ["temperature", "algorithm", "sweeps", "wall_time_s", "pair_evaluations"]
    for name in OBSERVABLES:
        columns += [name, f"{name}_rms_error", f"{name}_rms_error_low", f"{name}_rms_error_high"]
        columns += [f"{name}_reference", f"{name}_reference_error"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*columns, "verdict_at_last_budget"])
    for entry in data["temperatures"]:
        reference = entry["reference"]
        for algorithm in entry["algorithms"]:
            for b, sweeps in enumerate(algorithm["sweeps"]):
                row = [entry["temperature"], algorithm["name"], sweeps, *(algorithm["cost"][kind][b] for kind in COSTS)]
                for name in OBSERVABLES:
                    errors = algorithm["errors"][name]
                    row += [algorithm["estimates"][name]["mean"][b], errors["rms"][b], errors["low"][b], errors["high"][b]]
                    row += [reference[name], reference[f"{name}_error"]]
                writer.writerow([*row, status_of(algorithm["verdict"]["equilibrated"])])
    return stream.getvalue()


def speed_ups_to_csv(data: Mapping[str, Any]) -> str:
    """Return one row for each speed-up, from the dict of `comparison_to_dict`; open ends of intervals are empty."""
    kinds = ("algorithm", "baseline", "observable", "cost", "target_error", "at_end_of_baseline")
    numbers = ("bound", "value", "low", "high")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["temperature", *kinds, *numbers, *(f"amortised_{name}" for name in numbers), "break_even_runs"])
    for entry in data["temperatures"]:
        for found in entry["speed_ups"]:
            amortised = found["amortised"] or dict.fromkeys(numbers)
            row = [entry["temperature"], *(found[name] for name in (*kinds, *numbers)), *(amortised[name] for name in numbers)]
            writer.writerow([*row, found["break_even_runs"]])
    return stream.getvalue()


@of_comparison
def write_files(data: dict[str, Any], folder: Path) -> list[Path]:
    """Write the report, each file in one step, numbers first, and return the paths.

    When all is written, pieces that `compare` has kept in this folder are removed. The files are report.html, compare.json,
    compare.csv, speed_ups.csv, and the figures of `glassnf.plots.figures`, each as PNG and SVG.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    from .. import plots
    from .page import page
    from .parts import Parts

    folder.mkdir(parents=True, exist_ok=True)
    numbers = {
        "compare.json": dumps(data),
        "compare.csv": comparison_to_csv(data),
        "speed_ups.csv": speed_ups_to_csv(data),
    }
    for name, text in numbers.items():
        write_text(folder / name, text)
    figures = plots.figures(data)
    write_text(folder / "report.html", page(data, figures))
    names = ["report.html", *numbers]
    for stem, figure in figures.items():
        for suffix in (".png", ".svg"):
            plots.save(figure, folder / f"{stem}{suffix}")
            names.append(f"{stem}{suffix}")
    Parts(folder).remove()
    return [folder / name for name in names]
