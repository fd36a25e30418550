"""Figures, drawn with matplotlib on no screen: nothing here opens a window or changes matplotlib's global state.

Colours are those of Okabe and Ito, which readers with any common form of colour blindness can tell apart; markers differ too.
A figure of a comparison is drawn from the content of its compare.json alone, so it can be drawn again at any time:

>>> import json
>>> from glassnf import plots
>>> data = json.load(open("glassnf-compare/compare.json"))  # doctest: +SKIP
>>> plots.save(plots.speed_up(data), "figure.svg")  # doctest: +SKIP

============== ===========================================================================================================
`comparison`   for each temperature the relaxation of the energy and the errors of <U>/N and C_v against cost
`speed_up`     how many times cheaper than the baseline each algorithm is, against temperature; bounds as arrows
`equilibrium`  <U>/N and C_v against temperature with the reference; open markers out of equilibrium, half-filled ones unknown
`diagnostics`  exchanges of parallel tempering, families of population annealing, weights of flows
`figures`      all of them that the data allow, by name
============== ===========================================================================================================

`error_against_cost`, `energy_relaxation`, `speed_up_against_temperature`, `observable_against_temperature` and
`diagnostic_panels` draw single panels. `save` writes a file, `inline_svg` returns markup for a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..compare.inputs import of_comparison
from .curves import comparison, energy_relaxation, error_against_cost
from .diagnosis import diagnostic_panels, diagnostics
from .inline import inline_svg
from .speed import speed_up, speed_up_against_temperature
from .states import equilibrium, observable_against_temperature
from .style import OKABE_ITO, STYLE, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "OKABE_ITO",
    "STYLE",
    "comparison",
    "diagnostic_panels",
    "diagnostics",
    "energy_relaxation",
    "equilibrium",
    "error_against_cost",
    "figures",
    "inline_svg",
    "observable_against_temperature",
    "save",
    "speed_up",
    "speed_up_against_temperature",
]

_FIGURES: Final[dict[str, Callable[[Mapping[str, Any]], Figure | None]]] = {
    "compare": comparison,
    "speed_up": speed_up,
    "equilibrium": equilibrium,
    "diagnostics": diagnostics,
}


@of_comparison
def figures(data: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw all figures of a comparison for which it has the numbers.

    Parameters
    ----------
    data
        Content of a compare.json.

    Returns
    -------
    dict
        ``"compare"`` (see `comparison`), ``"speed_up"``, ``"equilibrium"``, ``"diagnostics"``; without the second where there
        are no speed-ups, and without the last where no algorithm tells what it needs.

    Raises
    ------
    ValueError
        If `data` is not a comparison.
    """
    made = {name: draw(data) for name, draw in _FIGURES.items()}
    return {name: figure for name, figure in made.items() if figure is not None}
