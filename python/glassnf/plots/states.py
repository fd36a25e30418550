"""What the algorithms say about equilibrium, against temperature, beside the reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import _check
from ..compare.inputs import of_comparison
from .style import (
    GREY,
    OKABE_ITO,
    OUTCOMES,
    SIGNS,
    SYMBOLS,
    WIDTH,
    FloatArray,
    algorithms_of,
    array,
    dodge,
    entries_of,
    freeze_layout,
    handles,
    legend,
    look,
    name_rows,
    name_temperatures,
    number_panels,
    outcomes,
    styled,
    system_of,
    temperature_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["equilibrium", "observable_against_temperature"]

_TWO: Final = 1.96
_PLACES: Final = {True: "in", False: "out of", None: "perhaps in"}

Point = tuple[float, float, float, "bool | None"]
"""Temperature, value, standard error, and whether it is one of equilibrium."""


@of_comparison
def observable_against_temperature(axes: Axes, data: Mapping[str, Any], observable: str) -> None:
    """Draw what each algorithm says after its last budget, with 95% bars, and the reference with its 95% band.

    <U>/N is drawn less the reference. Markers are open where the runs of an algorithm are not in equilibrium, and half
    filled where that cannot be told. The curve of the reference goes through the reference data of the system, where there are
    any, and else through the references of the comparison. At a single temperature, algorithms have rows and the observable is
    the horizontal axis.

    Parameters
    ----------
    axes
        Where to draw.
    data
        Content of a compare.json.
    observable
        ``"mean_energy"`` or ``"specific_heat"``.

    Raises
    ------
    ValueError
        If `observable` is neither, or `data` is not a comparison.
    """
    _check.choice("observable", observable, tuple(SYMBOLS))
    entries = sorted(entries_of(data), key=lambda entry: float(entry["temperature"]))
    algorithms, rows = algorithms_of(entries), len(entries) == 1
    less = observable == "mean_energy"
    _draw_reference(axes, data, entries, observable, less)
    shifts = dodge([entry["temperature"] for entry in entries], len(algorithms))
    drawn = []
    for place, algorithm in enumerate(algorithms):
        points = [
            _point(entry, found, observable, less)
            for entry in entries
            for found in entry["algorithms"]
            if found["name"] == algorithm["name"]
        ]
        x = np.array([float(place) if rows else point[0] + shifts[place] for point in points])
        _draw_points(axes, algorithm, x, points, rows)
        drawn += points
    errors = [float(entry["reference"][f"{observable}_error"]) for entry in entries]
    values = [0.0 if less else float(entry["reference"][observable]) for entry in entries]
    bands = [value + side * _TWO * error for value, error in zip(values, errors, strict=True) for side in (-1.0, 1.0)]
    _fit(axes, drawn, bands, _linear(max(errors)) if less else None, rows)
    _name_axes(axes, algorithms, entries, observable, less)


def _point(entry: Mapping[str, Any], algorithm: Mapping[str, Any], observable: str, less: bool) -> Point:
    """Return temperature, value, standard error, and whether the runs are in equilibrium."""
    runs = array(algorithm["estimates"][observable]["runs"][-1])
    value = float(runs.mean()) - (entry["reference"][observable] if less else 0.0)
    return entry["temperature"], value, float(runs.std(ddof=1)) / math.sqrt(runs.size), algorithm["verdict"]["equilibrated"]


def _draw_points(axes: Axes, algorithm: Mapping[str, Any], x: FloatArray, points: Sequence[Point], rows: bool) -> None:
    value, half = np.array([point[1] for point in points]), _TWO * np.array([point[2] for point in points])
    if not rows:
        axes.plot(x, value, **{**look(algorithm), "marker": "none", "linewidth": 0.9, "alpha": 0.7})
    for at, one, bar, (_, _, _, equilibrated) in zip(x, value, half, points, strict=True):
        style: dict[str, Any] = {
            **look(algorithm, equilibrated),
            "xerr" if rows else "yerr": bar,
            "linestyle": "none",
            "elinewidth": 1.0,
            "markersize": 4.8,
            "zorder": 3.0,
        }
        place = (one, at) if rows else (at, one)
        axes.errorbar(place[0], place[1], gid=f"{_PLACES[equilibrated]} equilibrium {algorithm['name']}", **style)


def _draw_reference(
    axes: Axes, data: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], observable: str, less: bool
) -> None:
    black = OKABE_ITO["black"]
    if len(entries) == 1:
        reference = entries[0]["reference"]
        value, half = (0.0 if less else reference[observable]), _TWO * reference[f"{observable}_error"]
        axes.axvspan(value - half, value + half, color=GREY, alpha=0.3, linewidth=0.0, zorder=0)
        axes.axvline(value, color=black, linewidth=0.9, zorder=1)
        return
    shipped = data.get("reference_curve")
    points = [entry["reference"] for entry in entries] if less or not shipped else shipped
    points = sorted(points, key=lambda point: float(point["temperature"]))
    x, half = (
        array([point["temperature"] for point in points]),
        _TWO * array([point[f"{observable}_error"] for point in points]),
    )
    value = np.zeros_like(x) if less else array([point[observable] for point in points])
    axes.fill_between(x, value - half, value + half, color=GREY, alpha=0.3, linewidth=0.0, zorder=0)
    axes.plot(x, value, color=black, linewidth=0.9, marker=".", markersize=3.0, zorder=1, gid="reference")


def _fit(
    axes: Axes,
    points: Sequence[Point],
    references: Sequence[float],
    linear: float | None,
    rows: bool,
) -> None:
    """Show all values and the bars of runs in equilibrium; bars of others may leave the panel.

    With `linear`, small and large values show alike: the axis is linear up to it, and logarithmic beyond.
    """
    bars = [value + side * _TWO * error for _, value, error, equilibrated in points if equilibrated for side in (-1.0, 1.0)]
    shown = np.array([*(point[1] for point in points), *bars, *references])
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    room = 0.08 * max(high - low, 1e-6)
    limits = low - room, high + room
    if linear is not None and max(abs(low), abs(high)) > 2.0 * linear:
        (axes.set_xscale if rows else axes.set_yscale)("symlog", linthresh=linear, linscale=0.7)
        limits = min(1.6 * low, low - 0.3 * linear), max(1.6 * high, high + 0.3 * linear)
    (axes.set_xlim if rows else axes.set_ylim)(*limits)


def _linear(error: float) -> float:
    """Return the difference from the reference up to which an axis is linear: a power of ten, a few errors of the reference."""
    return 10.0 ** math.ceil(math.log10(5.0 * error)) if error > 0.0 else 1e-3


def _name_axes(
    axes: Axes, algorithms: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]], observable: str, less: bool
) -> None:
    symbol, unit = SYMBOLS[observable]
    label = f"{symbol} less the reference ({unit})" if less else f"{symbol} ({unit})"
    temperatures = [entry["temperature"] for entry in entries]
    if len(temperatures) == 1:
        name_rows(axes, algorithms)
        axes.set_xlabel(label)
        return
    name_temperatures(axes, temperatures)
    axes.set_ylabel(label)


@of_comparison
def equilibrium(data: Mapping[str, Any]) -> Figure:
    """Draw <U>/N less the reference and C_v/N against temperature; see `observable_against_temperature`.

    Parameters
    ----------
    data
        Content of a compare.json.

    Raises
    ------
    ValueError
        If `data` is not a comparison.
    """
    from matplotlib.figure import Figure

    entries = entries_of(data)
    algorithms, single = algorithms_of(entries), len(entries) == 1
    with styled():
        height = 0.85 + 0.2 * len(algorithms) if single else 2.8
        figure = Figure(figsize=(WIDTH, height + 0.6), layout="constrained")
        panels: Any = figure.subplots(1, 2)
        for axes, observable in zip(panels, SYMBOLS, strict=True):
            observable_against_temperature(axes, data, observable)
            axes.tick_params(labelleft=not single or axes is panels[0])
        number_panels(list(panels))
        signs = [SIGNS[OUTCOMES[one]] for one in (True, False, None) if one in outcomes(entries)] + [SIGNS["reference"]]
        where = f", {temperature_text(entries[0]['temperature'])}" if single else ""
        title = f"{system_of(data)}{where}: after the last budget, 95% intervals"
        legend(figure, [] if single else handles(algorithms), title, signs)
        freeze_layout(figure)
    return figure
