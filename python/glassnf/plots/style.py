"""What all figures share: palette, fonts, markers, legends, files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ..compare.inputs import of_comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["COSTS", "GREY", "OKABE_ITO", "STYLE", "SYMBOLS", "save"]

FloatArray = npt.NDArray[np.float64]

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

GREY: Final = "#5F5F5F"
PAPER: Final = "#FFFFFF"
SYMBOLS: Final = {
    "mean_energy": (r"$\langle U \rangle / N$", r"$\epsilon$"),
    "specific_heat": (r"$C_v / N$", r"$k_B$"),
}
COSTS: Final = {
    "wall_time": "wall time per run (s)",
    "pair_evaluations": "pair evaluations per run",
}
TEMPERATURE: Final = r"temperature ($\epsilon / k_B$)"
WIDTH: Final = 7.5
"""Width of all figures, in inches."""

_DODGE: Final = 0.35
_MOST_TICKS: Final = 7
_SHORT: Final = 1.8
"""Decades of an axis up to which there is room for numbers between them."""
_LONGEST: Final = 24
"""Characters of a name."""
_LEGEND_CHARACTERS: Final = 92
_SYMBOL_CHARACTERS: Final = 7


def array(values: Sequence[float | None]) -> FloatArray:
    """Return numbers as an array, None as NaN."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def entries_of(data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the temperatures of a comparison; ValueError where there are none."""
    entries = data.get("temperatures")
    if not isinstance(entries, Sequence) or not entries:
        raise ValueError("data: expected the content of a compare.json with at least one temperature, got something else")
    return entries


def algorithms_of(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the algorithms that have a result at any temperature, each once, in the order of the comparison."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        for algorithm in entry["algorithms"]:
            found.setdefault(algorithm["name"], algorithm)
    return list(found.values())


def plain(text: str) -> str:
    """Return a user's text so that matplotlib writes it as it is: dollars, a first underscore; of long ones the beginning."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    if len(shown) > _LONGEST:
        shown = f"{shown[: _LONGEST - 1]}\u2026"
    return f"{' ' if shown.startswith('_') else ''}{shown}".replace("$", r"\$")


def look(algorithm: Mapping[str, Any], equilibrated: bool | None = True) -> dict[str, Any]:
    """Return how to draw a line of an algorithm: colour, marker, dashes where it is a user's own.

    Markers are open where its runs are not in equilibrium, and filled by half where that cannot be told.
    """
    return {
        "color": algorithm["colour"],
        "marker": algorithm["marker"],
        "linestyle": (0, (4, 1.5)) if algorithm.get("foreign") else "-",
        "markerfacecolor": PAPER if equilibrated is False else algorithm["colour"],
        "markerfacecoloralt": PAPER,
        "fillstyle": "left" if equilibrated is None else "full",
        "markeredgecolor": algorithm["colour"],
        "markeredgewidth": 1.1,
    }


SIGNS: Final = {
    "measured": "\u25cf measured",
    "bound": "\u25cb with an arrow: bound",
    "unknown": "\u00d7 undecided",
    "late": "\u25cb not in equilibrium",
    "doubt": "\u25d0 cannot tell",
    "good": "\u25cf in equilibrium",
    "target": "- - - target",
    "reference": "\u2014 reference",
}


OUTCOMES: Final[dict[bool | None, str]] = {True: "good", False: "late", None: "doubt"}
"""Names of `SIGNS` by verdict."""

MARKS: Final[dict[bool | None, str]] = {True: "", False: "*", None: "?"}
"""What stands beside a marker whose filling means something else."""

DOUBTS: Final[dict[bool | None, str]] = {False: "not in equilibrium", None: "cannot tell"}
"""What these mean."""


def outcomes(entries: Sequence[Mapping[str, Any]]) -> set[bool | None]:
    """Return which verdicts there are in a comparison."""
    return {algorithm["verdict"]["equilibrated"] for entry in entries for algorithm in entry["algorithms"]}


def handles(algorithms: Sequence[Mapping[str, Any]]) -> list[Line2D]:
    """Return one line of a legend for each algorithm."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], label=plain(algorithm["label"]), **look(algorithm)) for algorithm in algorithms]


def legend(figure: Figure, lines: Sequence[Line2D], title: str, signs: Sequence[str] = ()) -> None:
    """Put title, signs and a legend above all panels, the latter in as many rows as it needs."""
    words = "\n".join([title, *(["    ".join(signs)] if signs else [])])
    if not lines:
        figure.suptitle(words, fontsize=8.0)
        return
    widths = [len(str(line.get_label())) + _SYMBOL_CHARACTERS for line in lines]
    columns = next(
        count
        for count in range(len(lines), 0, -1)
        if count == 1 or sum(max(widths[first::count]) for first in range(count)) <= _LEGEND_CHARACTERS
    )
    in_columns = [line for first in range(columns) for line in lines[first::columns]]  # matplotlib fills columns, we read rows
    made = figure.legend(
        handles=in_columns, loc="outside upper center", ncols=columns, title=words, title_fontsize=8.0, columnspacing=1.4,
        handlelength=1.8,
    )  # fmt: skip
    made.get_title().set_multialignment("center")


def system_of(data: Mapping[str, Any]) -> str:
    """Return what was simulated, for the title of a figure."""
    system = data["system"]
    return f"{plain(system['name'])}, N = {system['n']}"


def temperature_text(temperature: float) -> str:
    """Return a temperature with its unit."""
    return f"T = {temperature:g} $\\epsilon / k_B$"


def number_panels(panels: Sequence[Axes]) -> None:
    """Write (a), (b), ... above panels that are more than one."""
    if len(panels) > 1:
        for place, axes in enumerate(panels):
            axes.set_title(f"({_letters(place)})", loc="left", fontweight="bold")


def _letters(place: int) -> str:
    return ("" if place < 26 else chr(ord("a") + place // 26 - 1)) + chr(ord("a") + place % 26)


def tidy_decades(axis: Axis) -> None:
    """Label decades only, and show at least two of them, so that labels of a logarithmic axis never overlap."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = np.log10(axis.get_view_interval())
    if np.floor(high) - np.ceil(low) < 1.0:
        below, above = low - np.floor(low), np.ceil(high) - high
        if np.floor(high) >= np.ceil(low):  # one decade shows: take in the nearer one beside it
            low, high = (np.floor(low), high) if below <= above else (low, np.ceil(high))
        else:
            low, high = np.floor(low), np.ceil(high)
        change = axis.axes.set_xlim if axis is axis.axes.xaxis else axis.axes.set_ylim
        change(10.0**low, 10.0**high)
    axis.set_minor_formatter(NullFormatter())
    if high - low > 6.0:
        axis.set_major_locator(LogLocator(numticks=7))


def name_rows(axes: Axes, algorithms: Sequence[Mapping[str, Any]]) -> None:
    """Give each algorithm a row of its own, the first at the top, with its name at the left."""
    axes.set_yticks(range(len(algorithms)), [plain(algorithm["label"]) for algorithm in algorithms])
    axes.set_ylim(len(algorithms) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0.0)


def dodge(temperatures: Sequence[float], count: int) -> FloatArray:
    """Return (count,) small shifts along the temperature, so that the error bars of algorithms stand side by side."""
    ordered = np.unique(np.asarray(temperatures, dtype=np.float64))
    room = float(np.diff(ordered).min()) if ordered.size > 1 else 0.0
    return (np.arange(count) - 0.5 * (count - 1)) * _DODGE * room / max(count, 1)


def name_temperatures(axes: Axes, temperatures: Sequence[float]) -> None:
    """Make the horizontal axis one of several temperatures, with room for the shifts of `dodge`."""
    low, high = min(temperatures), max(temperatures)
    room = 0.05 * (high - low) + 0.5 * _DODGE * float(np.diff(np.unique(np.asarray(temperatures))).min())
    axes.set_xlim(low - room, high + room)
    if len(temperatures) <= _MOST_TICKS:
        axes.set_xticks(sorted(temperatures), [f"{value:g}" for value in sorted(temperatures)])
    axes.set_xlabel(TEMPERATURE)


def label_numbers(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers: 1, 2, 5, 10, ..., or decades where it is long."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = np.log10(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high - low < _SHORT else (1.0,), numticks=15))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1.0 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of all figures, and leave matplotlib's settings as they were."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # in the names of users
        yield


def freeze_layout(figure: Figure) -> None:
    """Lay out the panels once, here, and not again for each file that is written."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")


@of_comparison
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
    from ..io.files import atomic_write

    kind = Path(path).suffix.lower().lstrip(".")
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(f"path: expected a name that ends in .png, .svg or .pdf, got {str(path)!r}")
    dates: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with styled(), atomic_write(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=300, metadata=dates.get(kind))
