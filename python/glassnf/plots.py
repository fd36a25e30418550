"""Figures, drawn with matplotlib on no screen: nothing here opens a window or changes matplotlib's global state.

Colours are those of Okabe and Ito, which readers with any common form of colour blindness can tell apart; markers differ too.
A figure of a comparison is drawn from the content of its compare.json alone, so it can be drawn again at any time:

>>> import json
>>> from glassnf import plots
>>> plots.save(plots.comparison(json.load(open("glassnf-compare/compare.json"))), "figure.svg")  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from . import _check

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["OKABE_ITO", "comparison", "energy_relaxation", "error_against_cost", "save"]

OKABE_ITO: Final[dict[str, str]] = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
}
"""The palette of Okabe and Ito, Color Universal Design (2008)."""

STYLE: Final[Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.5,
    "ytick.minor.width": 0.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.0,
    "mathtext.default": "regular",
    "svg.hashsalt": "glassnf",
}

_GREY: Final = "#5F5F5F"
_LABELS: Final = {
    "mean_energy": (r"$\langle U \rangle / N$", r"$\epsilon$"),
    "specific_heat": (r"$C_v / N$", r"$k_B$"),
}
_COSTS: Final = {
    "wall_time": "wall time per run (s)",
    "pair_evaluations": "pair evaluations per run",
}
_PANEL_WIDTH: Final = 2.5
_PANEL_HEIGHT: Final = 2.35


def error_against_cost(axes: Axes, entry: Mapping[str, Any], observable: str, cost: str = "wall_time") -> None:
    """Draw the error of each algorithm against its cost, with 95% bands, the error of the reference and the target error.

    Parameters
    ----------
    axes
        Where to draw.
    entry
        One of ``temperatures`` in the content of a compare.json.
    observable
        ``"mean_energy"`` or ``"specific_heat"``.
    cost
        ``"wall_time"`` or ``"pair_evaluations"``.

    Raises
    ------
    ValueError
        If `observable` or `cost` is none of these.
    """
    symbol, unit = _LABELS[_check.choice("observable", observable, tuple(_LABELS))]
    _check.choice("cost", cost, tuple(_COSTS))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for algorithm in entry["algorithms"]:
        x, errors = _array(algorithm["cost"][cost]), algorithm["errors"][observable]
        colour, marker = algorithm["colour"], algorithm["marker"]
        axes.fill_between(x, _array(errors["low"]), _array(errors["high"]), color=colour, alpha=0.22, linewidth=0.0)
        axes.plot(x, _array(errors["rms"]), color=colour, marker=marker, label=algorithm["label"])
    floor = entry["reference"][f"{observable}_error"]
    low, high = axes.get_ylim()
    if floor > 0.0:
        low = min(low, floor / 1.6)
        axes.axhspan(low / 10.0, floor, color=_GREY, alpha=0.18, linewidth=0.0)
        axes.annotate(
            "error of the reference", (0.02, floor), xycoords=("axes fraction", "data"), xytext=(0, -1.5),
            textcoords="offset points", va="top", fontsize=6.5, color=_GREY,
        )  # fmt: skip
    shown = [entry for entry in entry["speed_ups"] if entry["observable"] == observable and entry["cost"] == cost]
    for target in {speed_up["target_error"] for speed_up in shown if not speed_up["at_end_of_baseline"]}:
        axes.axhline(target, color=_GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.set_ylim(low, high)
    _tidy_ticks(axes)
    axes.set_xlabel(_COSTS[cost])
    axes.set_ylabel(f"r.m.s. error of {symbol} ({unit})")
    _write_speed_ups(axes, entry["algorithms"], shown)
    if observable == "mean_energy" and len(entry["algorithms"]) == 2:
        _draw_speed_up(axes, entry["algorithms"], shown, cost)


def _tidy_ticks(axes: Axes) -> None:
    """Label decades only, and show at least two on each axis, so that labels never overlap."""
    from matplotlib.ticker import NullFormatter

    for axis, limits, change in ((axes.xaxis, axes.get_xlim(), axes.set_xlim), (axes.yaxis, axes.get_ylim(), axes.set_ylim)):
        axis.set_minor_formatter(NullFormatter())
        low, high = np.log10(limits)
        if np.floor(high) - np.ceil(low) < 1.0:
            below, above = low - np.floor(low), np.ceil(high) - high
            if np.floor(high) >= np.ceil(low):  # one decade shows: take in the nearer one beside it
                low, high = (np.floor(low), high) if below <= above else (low, np.ceil(high))
            else:
                low, high = np.floor(low), np.ceil(high)
            change(10.0**low, 10.0**high)


def _write_speed_ups(axes: Axes, algorithms: Sequence[Mapping[str, Any]], speed_ups: Sequence[Mapping[str, Any]]) -> None:
    """Write the speed-ups at the target error into the lower left corner, where no curve runs."""
    by_name = {algorithm["name"]: algorithm for algorithm in algorithms}
    known = [entry for entry in speed_ups if entry["value"] is not None and not entry["at_end_of_baseline"]]
    for line, entry in enumerate(reversed(known)):
        algorithm = by_name[entry["algorithm"]]
        sign = {"=": "", ">": "> ", "<": "< "}.get(entry["bound"], "")
        number = f"{entry['value']:,.0f}" if entry["value"] >= 9.95 else f"{entry['value']:.2g}"
        axes.text(
            0.03, 0.12 + 0.075 * line, f"{algorithm['label']}: {sign}{number}\u00d7 cheaper at {entry['target_error']:.2g}",
            transform=axes.transAxes, ha="left", va="bottom", color=algorithm["colour"], fontsize=7.0,
        )  # fmt: skip


def _draw_speed_up(
    axes: Axes, algorithms: Sequence[Mapping[str, Any]], speed_ups: Sequence[Mapping[str, Any]], cost: str
) -> None:
    """Draw an arrow at the error that the baseline ends with, as long as the speed-up there."""
    for entry in speed_ups:
        if not entry["at_end_of_baseline"] or entry["bound"] not in ("=", ">") or entry["value"] < 3.0:
            continue
        right = algorithms[0]["cost"][cost][-1]
        left, error = right / entry["value"], entry["target_error"]
        arrow = {"arrowstyle": "<->", "color": _GREY, "linewidth": 0.8, "shrinkA": 2.0, "shrinkB": 4.0}
        axes.annotate("", (right, error), xytext=(left, error), arrowprops=arrow)
        factor = f"{'' if entry['bound'] == '=' else '> '}{entry['value']:,.0f}\u00d7"
        axes.annotate(
            factor, (float(np.sqrt(left * right)), error), xytext=(0, -2), textcoords="offset points",
            ha="center", va="top", fontsize=7.0, color=_GREY,
        )  # fmt: skip


def energy_relaxation(axes: Axes, entry: Mapping[str, Any]) -> None:
    """Draw the energy along the runs of each algorithm, from the high-temperature start, with the reference as a band.

    Bands are two standard errors over the runs to either side, and of the reference likewise. Algorithms that have no energies
    along the way, such as population annealing, are drawn with what they say after each budget.

    Parameters
    ----------
    axes
        Where to draw.
    entry
        One of ``temperatures`` in the content of a compare.json.
    """
    axes.set_xscale("log")
    symbol, unit = _LABELS["mean_energy"]
    reference, error = entry["reference"]["mean_energy"], entry["reference"]["mean_energy_error"]
    for algorithm in entry["algorithms"]:
        trace = algorithm["relaxation"]
        cost, mean, spread = (_array(trace[key]) for key in ("wall_time", "mean", "error"))
        moving = cost > 0.0
        colour = algorithm["colour"]
        axes.fill_between(
            cost[moving], (mean - 2 * spread)[moving], (mean + 2 * spread)[moving], color=colour, alpha=0.22, linewidth=0.0
        )
        axes.plot(cost[moving], mean[moving], color=colour, label=algorithm["label"])
    late = [algorithm for algorithm in entry["algorithms"] if not algorithm["verdict"]["equilibrated"]]
    for line, algorithm in enumerate(late):
        axes.text(
            0.99, 0.99 - 0.075 * line, f"{algorithm['label']}: not equilibrated", transform=axes.transAxes,
            ha="right", va="top", fontsize=7.0, color=algorithm["colour"],
        )  # fmt: skip
    axes.axhspan(reference - 2 * error, reference + 2 * error, color=_GREY, alpha=0.35, linewidth=0.0, zorder=0)
    axes.axhline(reference, color=OKABE_ITO["black"], linewidth=0.8, zorder=1)
    axes.annotate(
        "equilibrium (reference)", (0.02, reference), xycoords=("axes fraction", "data"), xytext=(0, -3),
        textcoords="offset points", va="top", fontsize=6.5, color=OKABE_ITO["black"],
    )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.06 * (high - low), high + 0.08 * len(late) * (high - low))  # room for the words
    axes.set_xlabel("wall time per run (s), from the start")
    axes.set_ylabel(f"{symbol} ({unit})")


def comparison(data: Mapping[str, Any], cost: str = "wall_time") -> Figure:
    """Draw a comparison: for each temperature the relaxation of the energy and the errors of <U>/N and C_v/N against cost.

    Parameters
    ----------
    data
        Content of a compare.json.
    cost
        ``"wall_time"`` or ``"pair_evaluations"``.

    Raises
    ------
    ValueError
        If `cost` is neither, or `data` is not a comparison.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    entries = data.get("temperatures")
    if not isinstance(entries, Sequence) or not entries:
        raise ValueError("data: expected the content of a compare.json with at least one temperature, got something else")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3 * _PANEL_WIDTH, _PANEL_HEIGHT * len(entries) + 0.35), layout="constrained")
        rows: Any = figure.subplots(len(entries), 3, squeeze=False)
        for row, entry in zip(rows, entries, strict=True):
            energy_relaxation(row[0], entry)
            error_against_cost(row[1], entry, "mean_energy", cost)
            error_against_cost(row[2], entry, "specific_heat", cost)
            row[0].set_title(f"T = {entry['temperature']:g} $\\epsilon / k_B$", loc="right")
        for place, axes in enumerate(rows.flat):
            axes.set_title(f"({chr(ord('a') + place % 26)})", loc="left", fontweight="bold")
        handles, labels = rows[0][1].get_legend_handles_labels()
        system, runs = data["system"], data["settings"]["runs"]
        note = f"{system['name']}, N = {system['n']}; {runs} independent runs each; shaded: 95% intervals"
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), title=note, title_fontsize=8.0)
        _freeze_layout(figure)
    return figure


def _freeze_layout(figure: Figure) -> None:
    """Lay out the panels once, here, and not again for each file that is written."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure to a file, in the format of its suffix (.png, .svg, .pdf), replacing an old file in one step.

    Parameters
    ----------
    figure
        The figure.
    path
        The file; PNG is written at 300 dots per inch. The same figure gives the same bytes.

    Raises
    ------
    ValueError
        If the suffix is none of these.
    OSError
        If the file cannot be written.
    """
    import matplotlib as mpl

    from .io.files import atomic_write

    kind = Path(path).suffix.lower().lstrip(".")
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(f"path: expected a name that ends in .png, .svg or .pdf, got {str(path)!r}")
    dates: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with mpl.rc_context(STYLE), atomic_write(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=300, metadata=dates.get(kind))


def _array(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return numbers as an array, None as NaN."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
