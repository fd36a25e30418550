"""Error against cost, and the energy along the runs, at one temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .. import _check
from ..compare.inputs import of_comparison
from .style import (
    COSTS,
    GREY,
    OKABE_ITO,
    OUTCOMES,
    SIGNS,
    SYMBOLS,
    WIDTH,
    algorithms_of,
    array,
    entries_of,
    freeze_layout,
    handles,
    legend,
    look,
    number_panels,
    outcomes,
    styled,
    system_of,
    temperature_text,
    tidy_decades,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["comparison", "energy_relaxation", "error_against_cost"]

_HEIGHT: Final = 2.5
_BAND: Final = 0.15
_DASHES: Final[Any] = (0, (4, 3))
_BELOW_FLOOR: Final = 1.8


@of_comparison
def error_against_cost(axes: Axes, entry: Mapping[str, Any], observable: str, cost: str = "wall_time") -> None:
    """Draw the error of each algorithm against its cost, with 95% bands, the error of the reference and the target error.

    Markers are open where the runs of an algorithm are not in equilibrium, and filled by half where that cannot be told.

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
    symbol, unit = SYMBOLS[_check.choice("observable", observable, tuple(SYMBOLS))]
    _check.choice("cost", cost, tuple(COSTS))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for algorithm in entry["algorithms"]:
        x, errors = array(algorithm["cost"][cost]), algorithm["errors"][observable]
        axes.fill_between(
            x, array(errors["low"]), array(errors["high"]), color=algorithm["colour"], alpha=_BAND, linewidth=0.0
        )  # fmt: skip
        axes.plot(x, array(errors["rms"]), **look(algorithm, algorithm["verdict"]["equilibrated"]))
    floor = entry["reference"][f"{observable}_error"]
    low, high = axes.get_ylim()
    if floor > 0.0:
        low = min(low, floor / _BELOW_FLOOR)
        axes.axhspan(low / 10.0, floor, color=GREY, alpha=0.18, linewidth=0.0)
        axes.annotate(
            "error of the reference", (0.02, floor), xycoords=("axes fraction", "data"), xytext=(0, -1.5),
            textcoords="offset points", va="top", fontsize=6.5, color=GREY,
        )  # fmt: skip
    _draw_targets(axes, entry["speed_ups"], observable)
    axes.set_ylim(low, high)
    tidy_decades(axes.xaxis)
    tidy_decades(axes.yaxis)
    axes.set_xlabel(COSTS[cost])
    axes.set_ylabel(f"r.m.s. error of {symbol} ({unit})")


def _draw_targets(axes: Axes, speed_ups: Sequence[Mapping[str, Any]], observable: str) -> None:
    """Draw the errors at which costs are compared, but for those that the baseline ends with."""
    shown = [entry for entry in speed_ups if entry["observable"] == observable and not entry["at_end_of_baseline"]]
    for target in sorted({entry["target_error"] for entry in shown}):
        axes.axhline(target, color=GREY, linewidth=0.8, linestyle=_DASHES, zorder=0)


@of_comparison
def energy_relaxation(axes: Axes, entry: Mapping[str, Any]) -> None:
    """Draw the energy along the runs of each algorithm, from the high-temperature start, with the reference as a band.

    Bands are two standard errors over the runs to either side, and of the reference likewise. Algorithms that have no energies
    along the way, such as population annealing, are drawn with what they say after each budget, and their markers. Of the
    others the end is marked; markers are open where the runs are not in equilibrium, filled by half where that cannot be told.

    Parameters
    ----------
    axes
        Where to draw.
    entry
        One of ``temperatures`` in the content of a compare.json.
    """
    axes.set_xscale("log")
    symbol, unit = SYMBOLS["mean_energy"]
    reference, error = entry["reference"]["mean_energy"], entry["reference"]["mean_energy_error"]
    for algorithm in entry["algorithms"]:
        trace = algorithm["relaxation"]
        cost, mean, spread = (array(trace[key]) for key in ("wall_time", "mean", "error"))
        moving = cost > 0.0
        cost, mean, spread = cost[moving], mean[moving], spread[moving]
        colour = algorithm["colour"]
        axes.fill_between(cost, mean - 2 * spread, mean + 2 * spread, color=colour, alpha=_BAND, linewidth=0.0)
        style = look(algorithm, algorithm["verdict"]["equilibrated"])
        each = len(cost) == len(algorithm["sweeps"])
        axes.plot(cost, mean, markevery=1 if each else [-1], **style)
    axes.axhspan(reference - 2 * error, reference + 2 * error, color=GREY, alpha=0.35, linewidth=0.0, zorder=0)
    axes.axhline(reference, color=OKABE_ITO["black"], linewidth=0.8, zorder=1)
    axes.annotate(
        "equilibrium (reference)", (0.02, reference), xycoords=("axes fraction", "data"), xytext=(0, -3),
        textcoords="offset points", va="top", fontsize=6.5, color=OKABE_ITO["black"],
    )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.06 * (high - low), high)  # room for the words
    tidy_decades(axes.xaxis)
    axes.set_xlabel("wall time per run (s), from the start")
    axes.set_ylabel(f"{symbol} ({unit})")


@of_comparison
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
    from matplotlib.figure import Figure

    entries = entries_of(data)
    with styled():
        figure = Figure(figsize=(WIDTH, _HEIGHT * len(entries) + 0.5), layout="constrained")
        rows: Any = figure.subplots(len(entries), 3, squeeze=False)
        for row, entry in zip(rows, entries, strict=True):
            energy_relaxation(row[0], entry)
            error_against_cost(row[1], entry, "mean_energy", cost)
            error_against_cost(row[2], entry, "specific_heat", cost)
            row[0].set_title(temperature_text(entry["temperature"]), loc="right")
        number_panels(list(rows.flat))
        signs = [SIGNS[OUTCOMES[one]] for one in (False, None) if one in outcomes(entries)]
        if any(not found["at_end_of_baseline"] for entry in entries for found in entry["speed_ups"]):
            signs.append(SIGNS["target"])
        note = f"{system_of(data)}; {data['settings']['runs']} independent runs each; shaded: 95% intervals"
        legend(figure, handles(algorithms_of(entries)), note, signs)
        freeze_layout(figure)
    return figure
