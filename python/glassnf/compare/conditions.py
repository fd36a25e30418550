"""The second part of the report's page: how settings were chosen, and on what the numbers depend."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from .markup import Cell, cell, escape, flat, swatch, table

__all__ = ["conditions"]


def conditions(data: Mapping[str, Any]) -> str:
    """Return the sections on settings and conditions.

    Parameters
    ----------
    data
        Content of a compare.json.
    """
    return "\n".join([_settings(data), _conditions(data)])


def _settings(data: Mapping[str, Any]) -> str:
    parts = ['<section id="tuning">', "<h2>Settings of the algorithms</h2>"]
    for entry in data["temperatures"]:
        at = f"T = {entry['temperature']:g}"
        parts.append(f"<h3>{at}</h3>")
        parts.append(_chosen(entry, at))
        for algorithm in entry["algorithms"]:
            if algorithm["tuning"] is not None and algorithm["tuning"]["trials"]:
                parts.append(_trials(algorithm, at))
    return "\n".join([*parts, "</section>"])


def _pairs(values: Mapping[str, Any] | None) -> str:
    """Return settings in a line."""
    return "; ".join(f"{name} = {text}" for name, text in flat(values or {}))


def _chosen(entry: Mapping[str, Any], at: str) -> str:
    rows = []
    for algorithm in entry["algorithms"]:
        tuning, training = algorithm["tuning"], algorithm["training"]
        found = {} if tuning is None else tuning["settings"]
        chosen = _pairs(found) or "its own"
        used = _pairs({name: value for name, value in algorithm["settings"].items() if found.get(name) != value})
        if training is not None:
            used = f"{used}; training: {_pairs(training)}" if used else f"training: {_pairs(training)}"
        rows.append([swatch(algorithm), cell(algorithm["seed"]), cell(chosen, "long"), cell(used, "long")])
    return table(
        f"Seeds and settings at {at}", ["", "seed", "chosen by trials", "other settings, adapted values, acceptances"], rows
    )


def _trials(algorithm: Mapping[str, Any], at: str) -> str:
    """Return all trials of an algorithm at a temperature, folded up."""
    tuning = algorithm["tuning"]
    headings = [
        "settings",
        "round",
        "sweeps",
        "time (s)",
        "pair evaluations",
        "error of <U>/N",
        "error of C_v/N",
        "score",
        "kept",
    ]
    rows: list[list[Cell]] = []
    for trial in tuning["trials"]:
        row = [cell(_pairs(trial["settings"]) or "its own"), cell(trial["round"]), cell(f"{trial['sweeps']:,}")]
        for name in ("wall_time", "pair_evaluations", "mean_energy_error", "specific_heat_error", "score"):
            row.append(cell("-" if trial[name] is None else f"{trial[name]:.3g}"))
        kept = "yes" if trial["kept"] else trial.get("failure") or "no"
        rows.append([*row, cell(kept, "long" if trial.get("failure") else "")])
    summary = f"{algorithm['label']}: {len(rows)} trials in {tuning['seconds']:.2g} s"
    caption = f"Trials of {algorithm['label']} at {at}; costs are those of a run, the score is cost times both errors"
    return f"<details>\n<summary>{escape(summary)}</summary>\n{table(caption, headings, rows)}\n</details>"


def _conditions(data: Mapping[str, Any]) -> str:
    parts = ['<section id="conditions">', "<h2>Conditions</h2>"]
    if data["command"]:
        parts += ["<h3>Command</h3>", f"<pre>{escape(shlex.join(data['command']))}</pre>"]
    about = {"created": data["created"], "took": f"{data['seconds']:.0f} s", "platform": data["platform"]}
    optional = {one["name"]: one["version"] or "not installed" for one in data["optional_libraries"]}
    tables = {
        "Comparison": {**about, **data["settings"]},
        "System": data["system"],
        "Hardware": data["hardware"],
        "Versions": {**data["versions"], **optional},
        "Units": data["units"],
    }
    for title, values in tables.items():
        rows = [[cell(name), cell(text, "long")] for name, text in flat(values)]
        parts.append(table(title, ["name", "value"], rows))
    return "\n".join([*parts, "</section>"])
