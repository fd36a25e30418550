"""What parallel tempering, population annealing and flows tell of themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..compare.inputs import of_comparison
from .style import (
    DOUBTS,
    GREY,
    MARKS,
    PAPER,
    TEMPERATURE,
    WIDTH,
    FloatArray,
    array,
    entries_of,
    freeze_layout,
    number_panels,
    outcomes,
    plain,
    styled,
    system_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["diagnostic_panels", "diagnostics"]

_HEIGHT: Final = 2.5
_MOST_COLUMNS: Final = 3


@of_comparison
def diagnostic_panels(algorithm: Mapping[str, Any]) -> list[Callable[[Axes], None]]:
    """Return a function for each panel that the ``diagnostics`` of an algorithm allow; each draws on the axes it is given.

    Parameters
    ----------
    algorithm
        One of ``algorithms`` in the content of a compare.json.

    Returns
    -------
    list
        Panels of exchanges (from ``acceptance``), of a population (from ``rho_t``), of log weights (from
        ``log_weight_counts``), whichever there are.
    """
    found = algorithm.get("diagnostics") or {}
    kinds = {"acceptance": _draw_exchanges, "rho_t": _draw_population, "log_weight_counts": _draw_weights}

    def bound(draw: Callable[[Axes, Mapping[str, Any]], None]) -> Callable[[Axes], None]:
        return lambda axes: draw(axes, algorithm)

    return [bound(draw) for key, draw in kinds.items() if found.get(key)]


def _draw_exchanges(axes: Axes, algorithm: Mapping[str, Any]) -> None:
    """Draw the acceptance between neighbouring temperatures, and the share of replicas that come from the top."""
    found, colour = algorithm["diagnostics"], algorithm["colour"]
    ladder = array(found["temperatures"])
    order = np.argsort(ladder)
    axes.plot(
        0.5 * (ladder[1:] + ladder[:-1]), array(found["acceptance"]), color=colour, marker=algorithm["marker"],
        label="accepted",
    )  # fmt: skip
    if found.get("flow"):
        axes.plot(ladder[order], array(found["flow"])[order], color=GREY, marker=".", linestyle=(0, (4, 1.5)), label="flow")
    axes.set_ylim(0.0, 1.3)
    axes.set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_xlabel(TEMPERATURE)
    axes.set_ylabel("share of exchanges, of replicas")
    trips = array(found.get("round_trips") or [])
    words = f"{_number(float(trips.mean()))} round trips a run ({trips.min():g} to {trips.max():g})" if trips.size else ""
    _explain(axes, words)


def _draw_population(axes: Axes, algorithm: Mapping[str, Any]) -> None:
    """Draw effective sample size, families and rho_t along the anneal, as shares of the population."""
    found, colour = algorithm["diagnostics"], algorithm["colour"]
    steps, population = array(found["temperatures"]), float(found["population"])
    series = (
        ("ess", "ESS", "-", "."),
        ("families", "families", "-", algorithm["marker"]),
        ("rho_t", r"$\rho_t$", (0, (4, 1.5)), "."),
    )
    for key, label, dashes, marker in series:
        if not found.get(key):
            continue
        values = array(found[key])
        share = values if key == "ess" and np.nanmax(values) <= 1.0 else values / population
        ink = GREY if key == "ess" else colour
        face = PAPER if key == "rho_t" else ink
        axes.plot(steps, share, color=ink, linestyle=dashes, marker=marker, markerfacecolor=face, markersize=3.0, label=label)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(low, max(high, 1.0) * (max(high, 1.0) / low) ** 0.35)
    axes.set_xlabel(TEMPERATURE)
    axes.set_ylabel("share of the population")
    _explain(axes, f"population {found['population']:,}, first run")


def _draw_weights(axes: Axes, algorithm: Mapping[str, Any]) -> None:
    """Draw the histogram of the log weights, with effective sample size and k-hat in words."""
    found, colour = algorithm["diagnostics"], algorithm["colour"]
    counts, edges = array(found["log_weight_counts"]), array(found["log_weight_edges"])
    total = max(float(counts.sum()), 1.0)
    axes.stairs(counts / total / np.diff(edges), edges, color=colour, fill=True, alpha=0.45)
    axes.stairs(counts / total / np.diff(edges), edges, color=colour, linewidth=1.1)
    low, high = axes.get_ylim()
    axes.set_ylim(low, 1.3 * high)
    axes.set_xlabel("log weight")
    axes.set_ylabel("density")
    lines = [f"ESS {_percent(array(found['ess']), found)}"] if found.get("ess") else []
    k = array(found.get("pareto_k") or [])
    if np.isfinite(k).any():  # none where there are too few samples for a tail
        lines.append(f"k-hat {_number(float(np.nanmean(k)))} (at most {_number(float(np.nanmax(k)))})")
    _explain(axes, "\n".join(lines))


def _percent(ess: FloatArray, found: Mapping[str, Any]) -> str:
    samples = found.get("samples")
    share = float(np.nanmean(ess)) if np.nanmax(ess) <= 1.0 or not samples else float(np.nanmean(ess)) / samples
    return f"{100.0 * share:.2g}%" + (f" of {samples:,} samples a run" if samples else "")


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 1.0 else f"{value:.2f}"


def _explain(axes: Axes, words: str) -> None:
    """Write words into the upper left corner, and the labels of curves below, where room was made for them."""
    axes.text(0.03, 0.99, words, transform=axes.transAxes, ha="left", va="top", fontsize=6.5, color=GREY)
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(
            loc="upper left", bbox_to_anchor=(0.0, 0.95), ncols=3, fontsize=6.5, handlelength=1.6, columnspacing=0.9,
            borderaxespad=0.1, borderpad=0.2,
        )  # fmt: skip


@of_comparison
def diagnostics(data: Mapping[str, Any]) -> Figure | None:
    """Draw what the algorithms tell of themselves, one row of panels for each temperature.

    Parameters
    ----------
    data
        Content of a compare.json.

    Returns
    -------
    Figure or None
        None where no algorithm tells anything; see `diagnostic_panels`.

    Raises
    ------
    ValueError
        If `data` is not a comparison.
    """
    from matplotlib.figure import Figure

    rows = _rows(entries_of(data))
    if not rows:
        return None
    columns = max(len(panels) for panels in rows)
    with styled():
        figure = Figure(figsize=(WIDTH * max(columns, 2) / _MOST_COLUMNS, _HEIGHT * len(rows) + 0.3), layout="constrained")
        grid: Any = figure.subplots(len(rows), columns, squeeze=False)
        drawn = []
        for line, panels in zip(grid, rows, strict=True):
            for axes, panel in zip(line, panels, strict=False):
                temperature, label, draw = panel
                draw(axes)
                axes.set_title(f"{label}, T = {temperature:g}", loc="right")
                drawn.append(axes)
            for axes in line[len(panels) :]:
                axes.set_axis_off()
        number_panels(drawn)
        title = f"{system_of(data)}: what the algorithms tell of themselves"
        found = outcomes(entries_of(data))
        signs = [f"{MARKS[one]} {words}" for one, words in DOUBTS.items() if one in found]
        figure.suptitle("\n".join([title, *(["    ".join(signs)] if signs else [])]), fontsize=8.5)
        freeze_layout(figure)
    return figure


def _rows(entries: Sequence[Mapping[str, Any]]) -> list[list[tuple[float, str, Callable[[Axes], None]]]]:
    """Return the panels of each temperature that has any, in lines of three at most."""
    rows = []
    for entry in entries:
        panels = [
            (entry["temperature"], plain(algorithm["label"]) + MARKS[algorithm["verdict"]["equilibrated"]], draw)
            for algorithm in entry["algorithms"]
            for draw in diagnostic_panels(algorithm)
        ]
        rows += [panels[first : first + _MOST_COLUMNS] for first in range(0, len(panels), _MOST_COLUMNS)]
    return rows
