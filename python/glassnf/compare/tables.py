"""Tables of a comparison for the terminal, 80 columns wide; everything from the content of its compare.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .words import SYMBOLS, baseline_of, equilibrated, format_ratio, labels_of, place_of, short, speed_up_of

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

__all__ = ["tables"]

_ANSWERS: Final = {True: "yes", False: "NO", None: "?"}
_STYLES: Final = {True: None, False: "red", None: "yellow"}
_MARKS: Final = {True: " ", False: "!", None: "?"}
_MOST_COLUMNS: Final = 5
_LONGEST_LABEL: Final = 11


def tables(data: Mapping[str, Any]) -> list[Group]:
    """Return the tables for the terminal: for each temperature what was found and what it cost, and of several an overview.

    Parameters
    ----------
    data
        Content of a compare.json.
    """
    made = []
    for entry in data["temperatures"]:
        made.append(_findings(data, entry))
        if entry["speed_ups"]:
            made.append(_costs(entry, labels_of(data)))
    if len(data["temperatures"]) > 1 and any(entry["speed_ups"] for entry in data["temperatures"]):
        made += _overviews(data)
    return made


def _table(left: int, headings: tuple[str, ...]) -> Table:
    """Return an empty table; the first `left` columns are aligned to the left, and a long name in the first is cut."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(
            heading, justify="left" if place < left else "right", no_wrap=True, overflow="ellipsis",
            max_width=_LONGEST_LABEL if place == 0 else None,
        )  # fmt: skip
    return table


def _framed(title: str, table: Table, caption: str) -> Group:
    """Return a table with a line above it and words below it, whose width is that of the terminal and not of the table."""
    from rich.console import Group
    from rich.text import Text

    return Group(Text(title, style="bold"), table, Text(caption, style="italic"), "")


def _findings(data: Mapping[str, Any], entry: Mapping[str, Any]) -> Group:
    from rich.markup import escape

    from ..observables.estimate import format_uncertainty

    title = f"{data['system']['name']}, N = {data['system']['n']}, T = {entry['temperature']:g}: "
    title += f"{data['settings']['runs']} runs of each algorithm"
    table = _table(1, ("", "#", "s/run", "<U>/N", "error", "C_v/N", "error", "R-hat", "eq."))
    table.add_row(*_reference_row(entry["reference"]))
    for algorithm in entry["algorithms"]:
        place = place_of(entry, algorithm["name"])
        row = [escape(algorithm["label"]), "-" if place is None or place["error"] is None else str(place["rank"])]
        row.append(f"{algorithm['cost']['wall_time'][-1]:.2g}")
        for name in SYMBOLS:
            runs = algorithm["estimates"][name]["runs"][-1]
            mean = math.fsum(runs) / len(runs)
            spread = math.sqrt(math.fsum((value - mean) ** 2 for value in runs) / (len(runs) - 1))
            row += [format_uncertainty(mean, spread / math.sqrt(len(runs))), f"{algorithm['errors'][name]['rms'][-1]:.2g}"]
        verdict = algorithm["verdict"]
        row += ["-" if verdict["r_hat"] is None else f"{verdict['r_hat']:.2f}", _ANSWERS[verdict["equilibrated"]]]
        table.add_row(*row, style=_STYLES[verdict["equilibrated"]])
    return _framed(title, table, "#: rank by the error of <U>/N at equal wall time; eq.: in equilibrium (?: cannot tell)")


def _reference_row(reference: Mapping[str, Any]) -> list[str]:
    from ..observables.estimate import format_uncertainty

    row = ["reference", "", ""]
    for name in SYMBOLS:
        row += [format_uncertainty(reference[name], reference[f"{name}_error"]), ""]
    return [*row, "-" if reference["r_hat"] is None else f"{reference['r_hat']:.2f}", _ANSWERS[reference["sound"]]]


def _ratio(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else format_ratio(found)


def _costs(entry: Mapping[str, Any], labels: Mapping[str, str]) -> Group:
    from rich.markup import escape

    baseline = labels[str(baseline_of(entry))]
    asked = {found["observable"]: found["target_error"] for found in entry["speed_ups"] if not found["at_end_of_baseline"]}
    ends = {found["observable"]: found["target_error"] for found in entry["speed_ups"] if found["at_end_of_baseline"]}
    title = f"T = {entry['temperature']:g}: times cheaper than {baseline} at equal error (95% interval)"
    table = _table(2, ("", "to know", "at target, time", "at its end, time", "at its end, pairs"))
    for name in labels:
        for observable, symbol in SYMBOLS.items():
            kinds = (("wall_time", False), ("wall_time", True), ("pair_evaluations", True))
            found = [speed_up_of(entry, name, observable, cost, at_end) for cost, at_end in kinds]
            if any(one is not None for one in found):
                table.add_row(escape(labels[name]), symbol, *map(_ratio, found))
    parts = [f"target: {_errors(asked)}" if asked else "", f"end of {baseline}: {_errors(ends)}" if ends else ""]
    parts += ["undecided: neither gets there, or both at once", "pairs: pair evaluations instead of time"]
    return _framed(title, table, "; ".join(part for part in parts if part))


def _errors(by_observable: Mapping[str, float]) -> str:
    return ", ".join(f"{SYMBOLS[name]} {error:.2g}" for name, error in by_observable.items())


def _overviews(data: Mapping[str, Any]) -> list[Group]:
    """Return tables of speed-ups against temperature, without intervals, as many temperatures in each as there is room for."""
    from rich.markup import escape

    entries, labels = data["temperatures"], labels_of(data)
    baseline = labels[str(next(baseline_of(entry) for entry in entries if entry["speed_ups"]))]
    title = f"Times cheaper than {baseline} in wall time, at the error that {baseline} ends with"
    made = []
    for first in range(0, len(entries), _MOST_COLUMNS):
        part = entries[first : first + _MOST_COLUMNS]
        table = _table(2, ("", "to know", *(f"T = {entry['temperature']:g}" for entry in part)))
        for name, label in labels.items():
            for observable, symbol in SYMBOLS.items():
                if any(speed_up_of(entry, name, observable, "wall_time", True) is not None for entry in part):
                    table.add_row(escape(label), symbol, *(_cell(entry, name, observable) for entry in part))
        made.append(_framed(title, table, "!: not in equilibrium; ?: cannot tell; -: no result"))
    return made


def _cell(entry: Mapping[str, Any], name: str, observable: str) -> str:
    found = speed_up_of(entry, name, observable, "wall_time", True)
    if found is None or found["value"] is None:
        return "- "
    sign = "" if found["bound"] == "=" else f"{found['bound']} "
    return f"{sign}{short(found['value'])}{_MARKS[equilibrated(entry, name)]}"
