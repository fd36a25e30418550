"""Figures are drawn from the content of a compare.json alone."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassnf import plots


def _algorithm(name: str, label: str, colour: str, level: float, equilibrated: bool) -> dict[str, Any]:
    cost = np.array([0.01, 0.02, 0.04, 0.08])
    error = level / np.sqrt(cost)
    errors = {"rms": error.tolist(), "low": (0.8 * error).tolist(), "high": (1.2 * error).tolist()}
    return {
        "name": name,
        "label": label,
        "colour": colour,
        "marker": "o",
        "cost": {"wall_time": cost.tolist(), "pair_evaluations": (1e9 * cost).tolist()},
        "errors": {"mean_energy": errors, "specific_heat": errors},
        "verdict": {"equilibrated": equilibrated},
        "relaxation": {
            "sweeps": [0, 10, 100, 1000],
            "wall_time": [0.0, 0.0008, 0.008, 0.08],
            "mean": [-1.8, -2.2, -2.5, -2.6 + level],
            "error": [0.02, 0.01, 0.01, None],
        },
    }


@pytest.fixture
def data() -> dict[str, Any]:
    """The parts of a compare.json that a figure needs."""
    speed_up = {
        "algorithm": "swap",
        "observable": "mean_energy",
        "cost": "wall_time",
        "target_error": 0.01,
        "at_end_of_baseline": False,
    }
    entry = {
        "temperature": 0.3,
        "reference": {"mean_energy": -2.6, "mean_energy_error": 0.001, "specific_heat": 1.1, "specific_heat_error": 0.01},
        "algorithms": [
            _algorithm("mc", "local MC", "#D55E00", 0.1, False),
            _algorithm("swap", "swap MC", "#0072B2", 0.003, True),
        ],
        "speed_ups": [
            {**speed_up, "bound": ">", "value": 40.0},
            {**speed_up, "observable": "specific_heat", "bound": "?", "value": None},
        ],
    }
    return {"system": {"name": "ka2d", "n": 43}, "settings": {"runs": 32}, "temperatures": [entry]}


def test_figures_are_written_and_repeat(data: dict[str, Any], tmp_path: Path) -> None:
    first, second = plots.comparison(data), plots.comparison(data)
    names = [f"{place}{suffix}" for place in ("first", "second") for suffix in (".png", ".svg")]
    for name in names:
        plots.save(first if name.startswith("first") else second, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for suffix in (".png", ".svg"):
        content = (tmp_path / f"first{suffix}").read_bytes()
        assert len(content) > 5000
        assert content == (tmp_path / f"second{suffix}").read_bytes()


def test_axes_have_names_and_units(data: dict[str, Any]) -> None:
    data["temperatures"].append(copy.deepcopy(data["temperatures"][0]))
    for cost, word in (("wall_time", "(s)"), ("pair_evaluations", "pair evaluations")):
        figure = plots.comparison(data, cost)
        assert len(figure.axes) == 6
        for axes in figure.axes:
            assert axes.get_xlabel()
            assert axes.get_ylabel().endswith((r"($\epsilon$)", r"($k_B$)"))
        assert word in figure.axes[1].get_xlabel()


def test_what_the_figure_says(data: dict[str, Any]) -> None:
    figure = plots.comparison(data)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("local MC: not equilibrated") == 1
    assert "swap MC: > 40\u00d7 cheaper at 0.01" in texts
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["local MC", "swap MC"]


def test_colours_differ(data: dict[str, Any]) -> None:
    lines = plots.comparison(data).axes[1].get_lines()[:2]
    assert len({line.get_color() for line in lines}) == 2
    assert {line.get_color() for line in lines} <= set(plots.OKABE_ITO.values())


def test_drawing_needs_no_screen_and_leaves_matplotlib_alone(data: dict[str, Any]) -> None:
    import matplotlib as mpl

    before = {key: mpl.rcParams[key] for key in plots.STYLE}
    plots.comparison(data)
    assert {key: mpl.rcParams[key] for key in plots.STYLE} == before
    code = "import sys; import glassnf.plots; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: plots.comparison({}), "data: expected the content of a compare.json"),
        (lambda data: plots.comparison({"temperatures": []}), "data: expected the content of a compare.json"),
        (lambda data: plots.comparison(data, "walltime"), "did you mean 'wall_time'?"),
        (
            lambda data: plots.save(plots.comparison(data), "figure.gif"),
            r"path: expected a name that ends in .png, .svg or .pdf",
        ),
    ],
)
def test_bad_arguments(data: dict[str, Any], call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        call(data)
