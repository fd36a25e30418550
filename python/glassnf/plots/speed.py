"""The speed-up over the baseline: what the comparison is about."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .. import _check
from ..compare.inputs import of_comparison
from .style import (
    COSTS,
    DOUBTS,
    GREY,
    MARKS,
    PAPER,
    SIGNS,
    SYMBOLS,
    WIDTH,
    algorithms_of,
    dodge,
    entries_of,
    freeze_layout,
    handles,
    label_numbers,
    legend,
    name_rows,
    name_temperatures,
    number_panels,
    outcomes,
    plain,
    styled,
    system_of,
    temperature_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["speed_up", "speed_up_against_temperature"]

_ARROW: Final = 13.0  # points
_COUNTED: Final = {"wall_time": "wall time", "pair_evaluations": "pair evaluations"}


@of_comparison
def speed_up_against_temperature(
    axes: Axes, data: Mapping[str, Any], observable: str, cost: str = "wall_time", *, at_end_of_baseline: bool = False
) -> None:
    """Draw how many times cheaper than the baseline each algorithm is, against temperature, with 95% intervals.

    A bound is an open marker with an arrow to the side on which the speed-up lies, and an interval that the resampled runs
    leave open ends in an arrow too. A star stands beside the marker of an algorithm that is not in equilibrium, a question mark
    where that cannot be told. Where the ratio is undecided there is a cross at the foot and no number. At a
    single temperature, algorithms have rows and the speed-up is the horizontal axis.

    Parameters
    ----------
    axes
        Where to draw.
    data
        Content of a compare.json.
    observable
        ``"mean_energy"`` or ``"specific_heat"``.
    cost
        ``"wall_time"`` or ``"pair_evaluations"``.
    at_end_of_baseline
        Whether costs are compared at the error that the baseline ends with, rather than at the one that was asked for.

    Raises
    ------
    ValueError
        If `observable` or `cost` is none of these, or `data` is not a comparison.
    """
    _check.choice("observable", observable, tuple(SYMBOLS))
    _check.choice("cost", cost, tuple(COSTS))
    entries = entries_of(data)
    chosen = [_chosen(entry, observable, cost, at_end_of_baseline) for entry in entries]
    algorithms = _compared(entries)
    temperatures = [entry["temperature"] for entry in entries]
    rows = len(entries) == 1
    (axes.set_xscale if rows else axes.set_yscale)("log")
    _set_limits(axes, [found for by_name in chosen for found in by_name.values()], rows)
    (axes.axvline if rows else axes.axhline)(1.0, color=GREY, linewidth=0.8, zorder=0)
    shifts = dodge(temperatures, len(algorithms))
    for place, algorithm in enumerate(algorithms):
        points = [
            (float(place) if rows else temperature + float(shifts[place]), by_name[algorithm["name"]])
            for temperature, by_name in sorted(zip(temperatures, chosen, strict=True), key=lambda pair: float(pair[0]))
            if algorithm["name"] in by_name
        ]
        if not rows:
            _connect(axes, algorithm, points)
        for x, found in points:
            _draw_point(axes, algorithm, x, found, rows)
        _draw_marks(axes, algorithm, points, _marks(entries, algorithm["name"], chosen), rows)
    _name_axes(axes, algorithms, temperatures, observable, cost)


def _chosen(entry: Mapping[str, Any], observable: str, cost: str, at_end: bool) -> dict[str, Mapping[str, Any]]:
    """Return the speed-ups of one kind at one temperature, by algorithm."""
    wanted = (observable, cost, at_end)
    return {
        found["algorithm"]: found
        for found in entry["speed_ups"]
        if (found["observable"], found["cost"], found["at_end_of_baseline"]) == wanted
    }


def _marks(entries: Sequence[Mapping[str, Any]], name: str, chosen: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Return what stands beside the speed-ups of an algorithm, in the order of temperatures, by its verdict."""
    ordered = sorted(zip(entries, chosen, strict=True), key=lambda pair: float(pair[0]["temperature"]))
    verdicts = [
        next(one["verdict"]["equilibrated"] for one in entry["algorithms"] if one["name"] == name)
        for entry, by_name in ordered
        if name in by_name
    ]
    return [MARKS[verdict] for verdict in verdicts]


def _compared(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the algorithms that have a speed-up at any temperature."""
    names = {found["algorithm"] for entry in entries for found in entry["speed_ups"]}
    return [algorithm for algorithm in algorithms_of(entries) if algorithm["name"] in names]


def _numbers(found: Mapping[str, Any]) -> list[float]:
    """Return what has to be seen of a speed-up: value and finite ends of its interval."""
    if not _known(found):
        return []
    return [value for value in (found["value"], found["low"], found["high"]) if value is not None and value > 0.0]


def _known(found: Mapping[str, Any]) -> bool:
    return found["bound"] != "?" and found["value"] is not None and found["value"] > 0.0


def _set_limits(axes: Axes, speed_ups: Sequence[Mapping[str, Any]], rows: bool) -> None:
    """Show all numbers and 1, with room for arrows and crosses."""
    numbers = [1.0, *(value for found in speed_ups for value in _numbers(found))]
    low, high = math.log10(min(numbers)), math.log10(max(numbers))
    room = 0.16 * max(high - low, 1.0)
    (axes.set_xlim if rows else axes.set_ylim)(10.0 ** (low - room), 10.0 ** (high + room))
    label_numbers(axes.xaxis if rows else axes.yaxis)


def _connect(axes: Axes, algorithm: Mapping[str, Any], points: Sequence[tuple[float, Mapping[str, Any]]]) -> None:
    """Draw the curve between neighbouring temperatures, dotted where an end is a bound."""
    known = [(x, found) for x, found in points if _known(found)]
    for (x, one), (next_x, other) in itertools.pairwise(known):
        certain = one["bound"] == other["bound"] == "="
        style: Any = ((0, (4, 1.5)) if algorithm.get("foreign") else "-") if certain else (0, (1, 1.5))
        axes.plot(
            [x, next_x], [one["value"], other["value"]], color=algorithm["colour"], linestyle=style, linewidth=1.1,
            gid=f"curve {algorithm['name']}",
        )  # fmt: skip


def _draw_point(axes: Axes, algorithm: Mapping[str, Any], x: float, found: Mapping[str, Any], rows: bool) -> None:
    colour, marker = algorithm["colour"], algorithm["marker"]
    if not _known(found):
        across = axes.get_yaxis_transform() if rows else axes.get_xaxis_transform()
        place = ([0.03], [x]) if rows else ([x], [0.03])
        axes.plot(*place, color=colour, marker="x", linestyle="none", transform=across, gid=f"unknown {algorithm['name']}")
        return
    value, bound = found["value"], found["bound"]
    low = found["low"] if found["low"] is not None and found["low"] > 0.0 else None
    high = found["high"]
    ends = [value if low is None else low, value if high is None else high]
    axes.plot(*((ends, [x, x]) if rows else ([x, x], ends)), color=colour, linewidth=1.0, solid_capstyle="butt")
    for opens, side in ((bound == ">" or high is None, 1.0), (bound == "<" or low is None, -1.0)):
        if opens:
            start = {"=": ends[1] if side > 0.0 else ends[0]}.get(bound, value)
            _draw_arrow(axes, (start, x) if rows else (x, start), side, colour, rows)
    face = colour if bound == "=" else PAPER
    axes.plot(
        *(([value], [x]) if rows else ([x], [value])), marker=marker, color=colour, linestyle="none", markerfacecolor=face,
        markeredgewidth=1.1, markersize=5.0, zorder=3, gid=f"{bound} {algorithm['name']}",
    )  # fmt: skip


def _draw_marks(
    axes: Axes,
    algorithm: Mapping[str, Any],
    points: Sequence[tuple[float, Mapping[str, Any]]],
    marks: Sequence[str],
    rows: bool,
) -> None:
    """Write beside the markers which are not of equilibrium."""
    for (x, found), mark in zip(points, marks, strict=True):
        if mark and _known(found):
            axes.annotate(
                mark, (found["value"], x) if rows else (x, found["value"]), xytext=(3.0, 2.0), textcoords="offset points",
                fontsize=8.0, fontweight="bold", color=algorithm["colour"], gid=f"mark {algorithm['name']}",
            )  # fmt: skip


def _draw_arrow(axes: Axes, start: tuple[float, float], side: float, colour: str, rows: bool) -> None:
    arrow = {"arrowstyle": "<|-", "color": colour, "linewidth": 1.0, "shrinkA": 0.0, "shrinkB": 0.0, "mutation_scale": 6.0}
    length = side * _ARROW
    shift = (length, 0.0) if rows else (0.0, length)
    axes.annotate("", start, xytext=shift, textcoords="offset points", arrowprops=arrow)


def _name_axes(
    axes: Axes, algorithms: Sequence[Mapping[str, Any]], temperatures: Sequence[float], observable: str, cost: str
) -> None:
    label = f"speed-up in {_COUNTED[cost]}, {SYMBOLS[observable][0]}"
    if len(temperatures) == 1:
        name_rows(axes, algorithms)
        axes.set_xlabel(label)
        return
    name_temperatures(axes, temperatures)
    axes.set_ylabel(label)


@of_comparison
def speed_up(data: Mapping[str, Any], cost: str = "wall_time") -> Figure | None:
    """Draw the speed-up over the baseline against temperature, one curve for each algorithm, in four panels.

    The columns are <U>/N and C_v; costs are compared at the error that was asked for in the first row, and at the error that
    the baseline ends with in the second. See `speed_up_against_temperature`.

    Parameters
    ----------
    data
        Content of a compare.json.
    cost
        ``"wall_time"`` or ``"pair_evaluations"``.

    Returns
    -------
    Figure or None
        None where the comparison has no speed-ups.

    Raises
    ------
    ValueError
        If `cost` is neither, or `data` is not a comparison.
    """
    from matplotlib.figure import Figure

    entries, _ = entries_of(data), _check.choice("cost", cost, tuple(COSTS))
    algorithms = _compared(entries)
    if not algorithms:
        return None
    speed_ups = [found for entry in entries for found in entry["speed_ups"]]
    labels = {algorithm["name"]: plain(algorithm["label"]) for algorithm in algorithms_of(entries)}
    baseline = labels[speed_ups[0]["baseline"]]
    kinds = [kind for kind in (False, True) if any(found["at_end_of_baseline"] == kind for found in speed_ups)]
    height = 0.85 + 0.2 * len(algorithms) if len(entries) == 1 else 2.6
    with styled():
        figure = Figure(figsize=(WIDTH, height * len(kinds) + 0.6), layout="constrained")
        panels: Any = figure.subplots(len(kinds), 2, squeeze=False)
        for row, at_end in zip(panels, kinds, strict=True):
            for axes, observable in zip(row, SYMBOLS, strict=True):
                speed_up_against_temperature(axes, data, observable, cost, at_end_of_baseline=at_end)
                axes.tick_params(labelleft=len(entries) > 1 or axes is row[0])
                axes.set_title(_at_which_error(speed_ups, observable, at_end, baseline), loc="right")
        number_panels(list(panels.flat))
        single = len(entries) == 1
        counted = [found for found in speed_ups if found["cost"] == cost]
        signs = _signs(counted) + [f"{MARKS[one]} {words}" for one, words in DOUBTS.items() if one in outcomes(entries)]
        legend(figure, [] if single else handles(algorithms), _title(data, baseline, single), signs)
        freeze_layout(figure)
    return figure


def _at_which_error(speed_ups: Sequence[Mapping[str, Any]], observable: str, at_end: bool, baseline: str) -> str:
    if at_end:
        return f"to the error {baseline} ends with"
    targets = {
        found["target_error"] for found in speed_ups if found["observable"] == observable and not found["at_end_of_baseline"]
    }
    return f"to within {min(targets):.2g} {SYMBOLS[observable][1]}" if len(targets) == 1 else "to the error asked for"


def _title(data: Mapping[str, Any], baseline: str, single: bool) -> str:
    where = f", {temperature_text(data['temperatures'][0]['temperature'])}" if single else ""
    return f"{system_of(data)}{where}: times cheaper than {baseline} at equal error, 95% intervals"


def _signs(speed_ups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the markers mean, those that are used."""
    known = [found for found in speed_ups if _known(found)]
    used = {
        "measured": any(found["bound"] == "=" for found in known),
        "bound": any(found["bound"] in "<>" for found in known),
        "unknown": len(known) < len(speed_ups),
    }
    return [SIGNS[name] for name, is_used in used.items() if is_used]
