"""Figures are drawn from the content of a compare.json alone."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from comparison_data import KINDS, comparison_data
from glassnf import plots

SEVERAL = (0.4, 0.3)
NAMES = ("compare", "speed_up", "equilibrium", "diagnostics")


@pytest.fixture(scope="module")
def one_made() -> dict[str, Any]:
    return comparison_data()


@pytest.fixture(scope="module")
def several_made() -> dict[str, Any]:
    return comparison_data(SEVERAL)


@pytest.fixture
def one(one_made: dict[str, Any]) -> dict[str, Any]:
    """A comparison at one temperature, a copy to change."""
    return copy.deepcopy(one_made)


@pytest.fixture
def several(several_made: dict[str, Any]) -> dict[str, Any]:
    """A comparison at four temperatures, a copy to change."""
    return copy.deepcopy(several_made)


@pytest.fixture(scope="module")
def of_one(one_made: dict[str, Any]) -> dict[str, Figure]:
    """All figures of a comparison at one temperature, to look at."""
    return plots.figures(one_made)


@pytest.fixture(scope="module")
def of_several(several_made: dict[str, Any]) -> dict[str, Figure]:
    """All figures of a comparison at several temperatures, to look at."""
    return plots.figures(several_made)


def _drawn(axes: Axes, kind: str) -> dict[str, list[Line2D]]:
    """Return the lines that are labelled, in their gid, with a word such as ``>`` and the name of an algorithm, by name."""
    found: dict[str, list[Line2D]] = {}
    for line in axes.get_lines():
        gid = line.get_gid() or ""
        if gid.startswith(f"{kind} "):
            found.setdefault(gid.removeprefix(f"{kind} "), []).append(line)
    return found


def _words(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


def test_the_data_of_these_tests_are_json(several: dict[str, Any]) -> None:
    assert json.loads(json.dumps(several, allow_nan=False)) == several


def test_figures_are_written_and_repeat(tmp_path: Path) -> None:
    data = comparison_data(names=("md", "swap"))
    for draw, suffix in ((plots.comparison, ".svg"), (plots.speed_up, ".svg"), (plots.equilibrium, ".png")):
        for name in "ab":
            plots.save(draw(data), tmp_path / f"{name}{suffix}")  # type: ignore[operator]
        content = (tmp_path / f"a{suffix}").read_bytes()
        assert len(content) > 5000
        assert content == (tmp_path / f"b{suffix}").read_bytes()


def test_axes_have_names_and_units(of_one: dict[str, Figure], of_several: dict[str, Figure]) -> None:
    named = re.compile(r"\((s|\$\\epsilon\$|\$k_B\$|\$\\epsilon / k_B\$)\)|speed-up|per run|log weight|density|share")
    assert tuple(of_one) == tuple(of_several) == NAMES
    for figures in (of_one, of_several):
        for kind, figure in figures.items():
            rows = figures is of_one and kind in ("speed_up", "equilibrium")  # algorithms have names beside the axis
            for axes in figure.axes:
                assert named.search(axes.get_xlabel()), (kind, axes.get_xlabel())
                assert rows or named.search(axes.get_ylabel()), (kind, axes.get_ylabel())
            if rows:
                assert [label.get_text() for label in figure.axes[0].get_yticklabels()][-1] == "HMC (torch)"


@pytest.mark.parametrize("which", ["of_one", "of_several"])
def test_words_stay_inside_and_apart(which: str, request: pytest.FixtureRequest) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for name, figure in request.getfixturevalue(which).items():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        width, height = figure.get_size_inches() * figure.dpi
        boxes = [(text.get_text(), text.get_fontsize(), text.get_window_extent(renderer)) for text in _shown(figure)]
        assert len(boxes) > 20
        for text, _, box in boxes:
            assert box.x0 > -1.0, (name, text)
            assert box.y0 > -1.0, (name, text)
            assert box.x1 < width + 1.0, (name, text)
            assert box.y1 < height + 1.0, (name, text)
        large = [(text, box) for text, size, box in boxes if size > 7.0]  # smaller ones are remarks in a panel
        for place, (text, box) in enumerate(large):
            for other, another in large[:place]:
                overlap = min(box.x1, another.x1) - max(box.x0, another.x0), min(box.y1, another.y1) - max(box.y0, another.y0)
                assert min(overlap) < 1.0, (name, text, other)


def _shown(figure: Figure) -> list[Text]:
    """Return the words of a figure without the labels of ticks that lie outside their axis."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
                hidden |= {label for label, on in ((tick.label1, tick.label1.get_visible()),) if not on}
                hidden.add(tick.label2)
    return [text for text in _words(figure) if text not in hidden]


def test_colours_and_markers_differ(of_one: dict[str, Figure]) -> None:
    lines = [line for line in of_one["compare"].axes[1].get_lines() if line.get_marker() != "None"]
    assert len(lines) == len(KINDS)
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == len(KINDS)
    assert {line.get_color() for line in lines} <= set(plots.OKABE_ITO.values())
    assert [line.get_linestyle() for line in lines] == ["-"] * 6 + ["--"]  # the sampler of the user


def test_open_markers_are_those_out_of_equilibrium(several: dict[str, Any]) -> None:
    entry = several["temperatures"][1]
    late = {algorithm["colour"] for algorithm in entry["algorithms"] if not algorithm["verdict"]["equilibrated"]}
    assert 0 < len(late) < len(KINDS)
    figure = plots.comparison({**several, "temperatures": [entry]})
    for axes in figure.axes:
        for line in axes.get_lines():
            if line.get_marker() not in ("None", None):
                assert (line.get_markerfacecolor() == "#FFFFFF") == (line.get_color() in late)
    assert "\u25cb not in equilibrium" in figure.legends[0].get_title().get_text()
    assert "not in" not in plots.comparison(comparison_data(names=("swap", "pt"))).legends[0].get_title().get_text()


def test_targets_and_reference_errors_are_drawn(of_one: dict[str, Figure]) -> None:
    axes = of_one["compare"].axes[1]
    assert [
        line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "--" and line.get_marker() == "None"
    ] == [0.02]
    assert "error of the reference" in [text.get_text() for text in axes.texts]


def test_speed_ups_are_where_they_are(of_several: dict[str, Figure], several: dict[str, Any]) -> None:
    axes = of_several["speed_up"].axes[2]  # <U>/N at the error that the baseline ends with
    for bound in "=<>":
        drawn = {
            (name, float(line.get_ydata()[0])) for name, lines in _drawn(axes, bound).items() for line in lines
        }  # fmt: skip
        expected = {
            (found["algorithm"], found["value"])
            for entry in several["temperatures"]
            for found in entry["speed_ups"]
            if (found["observable"], found["cost"], found["at_end_of_baseline"], found["bound"])
            == ("mean_energy", "wall_time", True, bound)
        }
        assert drawn == expected
    low, high = axes.get_ylim()
    assert low < 1.0 < high


def _a_speed_up(data: dict[str, Any], **change: Any) -> dict[str, Any]:
    """Leave one speed-up in the first temperature, changed."""
    entry = data["temperatures"][0]
    kind = ("swap", "mean_energy", "wall_time", False)
    entry["speed_ups"] = [
        {**found, **change}
        for found in entry["speed_ups"]
        if (found["algorithm"], found["observable"], found["cost"], found["at_end_of_baseline"]) == kind
    ]
    assert len(entry["speed_ups"]) == 1
    return data


@pytest.mark.parametrize(
    ("change", "face", "arrows"),
    [
        ({"bound": "=", "value": 12.0, "low": 9.0, "high": 16.0}, "#0072B2", []),
        ({"bound": "=", "value": 12.0, "low": 9.0, "high": None}, "#0072B2", [1]),
        ({"bound": "=", "value": 12.0, "low": 0.0, "high": 16.0}, "#0072B2", [-1]),
        ({"bound": ">", "value": 310.0, "low": 280.0, "high": None}, "#FFFFFF", [1]),
        ({"bound": "<", "value": 0.25, "low": 0.0, "high": 0.31}, "#FFFFFF", [-1]),
    ],
)
@pytest.mark.parametrize("temperatures", [(0.4,), (0.4, 0.3)])
def test_bounds_are_arrows_and_open_markers(
    temperatures: tuple[float, ...], change: dict[str, Any], face: str, arrows: list[int]
) -> None:
    data = _a_speed_up(comparison_data(temperatures, names=("md", "swap")), **change)
    for entry in data["temperatures"][1:]:
        entry["speed_ups"] = []
    figure = plots.speed_up(data)
    assert figure is not None
    axes = figure.axes[0]
    rows = len(temperatures) == 1
    ((line,),) = _drawn(axes, change["bound"]).values()
    assert line.get_markerfacecolor() == face
    assert float((line.get_xdata() if rows else line.get_ydata())[0]) == change["value"]
    along = 0 if rows else 1
    assert [int(np.sign(text.xyann[along])) for text in axes.texts] == arrows  # type: ignore[attr-defined]
    for text in axes.texts:
        assert text.xyann[1 - along] == 0.0  # type: ignore[attr-defined]
    for number in (change["value"], change["low"] or 1.0, change["high"] or 1.0):
        limits = axes.get_xlim() if rows else axes.get_ylim()
        assert limits[0] < number < limits[1]


def test_where_nothing_is_decided_no_number_is_drawn(several: dict[str, Any]) -> None:
    data = _a_speed_up(several, bound="?", value=None, low=0.0, high=None)
    data["temperatures"] = data["temperatures"][:1]
    figure = plots.speed_up(data)
    assert figure is not None
    axes = figure.axes[0]
    assert not any(_drawn(axes, bound) for bound in "=<>")
    assert not axes.texts
    ((cross,),) = _drawn(axes, "unknown").values()
    assert cross.get_marker() == "x"
    assert "\u00d7 undecided" in figure._suptitle.get_text()  # type: ignore[attr-defined]


def test_curves_between_bounds_are_dotted(of_several: dict[str, Figure]) -> None:
    for axes in of_several["speed_up"].axes:
        known = {name for bound in "=<>" for name in _drawn(axes, bound)}
        bounds = {
            (name, float(line.get_ydata()[0]))
            for bound in "<>"
            for name, lines in _drawn(axes, bound).items()
            for line in lines
        }
        for name, lines in _drawn(axes, "curve").items():
            assert name in known
            for line in lines:
                dotted = line.get_linestyle() == ":" or line._unscaled_dash_pattern[1] == (1, 1.5)  # type: ignore[attr-defined]
                assert dotted == any((name, float(y)) in bounds for y in line.get_ydata())


def test_equilibrium_is_seen(of_several: dict[str, Figure], several: dict[str, Any]) -> None:
    for axes, observable in zip(of_several["equilibrium"].axes, ("mean_energy", "specific_heat"), strict=True):
        for good, kind in ((True, "in equilibrium"), (False, "out of equilibrium")):
            counts = {name: len(points) for name, points in _drawn(axes, kind).items()}
            expected: dict[str, int] = {}
            for entry in several["temperatures"]:
                for algorithm in entry["algorithms"]:
                    if algorithm["verdict"]["equilibrated"] == good:
                        expected[algorithm["name"]] = expected.get(algorithm["name"], 0) + 1
            assert counts == expected
        low, high = axes.get_ylim()
        for entry in several["temperatures"]:
            for algorithm in entry["algorithms"]:
                value = algorithm["estimates"][observable]["mean"][-1]
                value -= entry["reference"][observable] if observable == "mean_energy" else 0.0
                assert low < value < high


def test_the_reference_curve_is_the_shipped_one(several: dict[str, Any]) -> None:
    (line,) = [line for line in plots.equilibrium(several).axes[1].get_lines() if line.get_gid() == "reference"]
    assert len(line.get_xdata()) == len(several["reference_curve"]) == 10
    del several["reference_curve"]
    (line,) = [line for line in plots.equilibrium(several).axes[1].get_lines() if line.get_gid() == "reference"]
    assert list(line.get_xdata()) == sorted(SEVERAL)


def test_diagnostics_are_drawn_for_those_who_tell(of_one: dict[str, Figure], one: dict[str, Any]) -> None:
    figure = of_one["diagnostics"]
    assert [axes.get_title(loc="right") for axes in figure.axes] == ["PT, T = 0.4", "PA, T = 0.4", "NF, T = 0.4"]
    words = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    for word in ("round trips a run", "population 22", "ESS 3", "k-hat"):
        assert word in words
    tempering, annealing, flow = (one["temperatures"][0]["algorithms"][place]["diagnostics"] for place in (3, 4, 5))
    lines = figure.axes[0].get_lines()
    assert list(lines[0].get_ydata()) == tempering["acceptance"]
    assert list(lines[1].get_ydata()) == tempering["flow"]
    shares = {line.get_label(): line.get_ydata() for line in figure.axes[1].get_lines()}
    np.testing.assert_allclose(shares["families"], np.array(annealing["families"]) / 22.0)
    np.testing.assert_allclose(shares["ESS"], np.array(annealing["ess"]) / 22.0)
    heights, edges, _ = figure.axes[2].patches[0].get_data()  # type: ignore[attr-defined]
    assert list(edges) == flow["log_weight_edges"]
    assert float((heights * np.diff(edges)).sum()) == pytest.approx(1.0)


def test_gaps_in_diagnostics_are_gaps(one: dict[str, Any]) -> None:
    tempering, annealing, flow = (one["temperatures"][0]["algorithms"][place]["diagnostics"] for place in (3, 4, 5))
    tempering["acceptance"][0] = tempering["flow"][3] = None
    annealing["ess"] = None
    flow["pareto_k"][0] = None
    assert plots.diagnostics(one) is not None
    for algorithm in one["temperatures"][0]["algorithms"]:
        algorithm["diagnostics"] = None
    assert plots.diagnostics(one) is None


def test_one_algorithm_alone() -> None:
    data = comparison_data(names=("swap",))
    assert plots.speed_up(data) is None
    assert tuple(plots.figures(data)) == ("compare", "equilibrium")


def test_a_temperature_at_which_nothing_was_run() -> None:
    data = comparison_data(SEVERAL, names=("md", "pt"))
    data["temperatures"][-1] |= {"algorithms": [], "speed_ups": [], "ranking": []}
    assert tuple(plots.figures(data)) == NAMES


def test_names_of_users_are_taken_as_they_are(tmp_path: Path) -> None:
    labels = ["$x_{$", "_hidden", "a\nb", "<b>&", "\u7121", "x" * 80, r"\alpha $"]
    data = comparison_data()
    data["system"]["name"] = "$_{"
    for algorithm, label in zip(data["temperatures"][0]["algorithms"], labels, strict=True):
        algorithm["label"] = label
    for draw in (plots.speed_up, plots.equilibrium, plots.diagnostics):
        plots.save(draw(data), tmp_path / "figure.svg")  # type: ignore[operator]
        ET.parse(tmp_path / "figure.svg")
    shown = {text.get_text().replace("\\$", "$").strip() for text in plots.comparison(data).legends[0].get_texts()}
    assert {text[:3] for text in shown} == {label.replace("\n", " ")[:3] for label in labels}
    assert max(map(len, shown)) == 24


def test_inline_svg_can_share_a_page(of_one: dict[str, Figure]) -> None:
    names = list(of_one)
    page = "".join(plots.inline_svg(of_one[name], f"f{place}", f"<{name}>") for place, name in enumerate(names))
    root = ET.fromstring(f"<page>{page}</page>")
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(ids)
    assert set(ids) - used == {f"f{place}-title" for place in range(4)}
    assert page.count("<svg") == page.count("viewBox") == 4
    assert "&lt;diagnostics&gt;</title>" in page
    for word in ("currentColor", "var(--figure-grey, #5f5f5f)", "var(--figure-paper, #ffffff)"):
        assert word in page
        page = page.replace(word, "")
    for word in ("<style", "<metadata", "<!--", "xlink", "#000000", "#5f5f5f", "#ffffff", "<script"):
        assert word not in page


def test_drawing_needs_no_screen_and_leaves_matplotlib_alone(one: dict[str, Any]) -> None:
    import matplotlib as mpl

    before = {key: mpl.rcParams[key] for key in plots.STYLE}
    plots.equilibrium(one)
    assert {key: mpl.rcParams[key] for key in plots.STYLE} == before
    code = "import sys; import glassnf.plots; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("draw", [plots.comparison, plots.speed_up, plots.equilibrium, plots.diagnostics, plots.figures])
@pytest.mark.parametrize("data", [{}, {"temperatures": []}, {"temperatures": None}])
def test_what_is_no_comparison_is_refused(draw: Any, data: Any) -> None:
    with pytest.raises(ValueError, match=r"^data: expected (the content of|a mapping from) a compare\.json"):
        draw(data)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: plots.comparison(data, "walltime"), r"did you mean 'wall_time'\?"),
        (lambda data: plots.speed_up(data, "walltime"), r"did you mean 'wall_time'\?"),
        (lambda data: plots.speed_up_against_temperature(Figure().subplots(), data, "energy"), r"^observable: expected"),
        (lambda data: plots.observable_against_temperature(Figure().subplots(), data, "energy"), r"^observable: expected"),
        (lambda data: plots.inline_svg(Figure(), "1x", "title"), r"^ident: expected a letter, then letters, .* got '1x'"),
        (
            lambda data: plots.save(plots.comparison(data), "figure.gif"),
            r"^path: expected a name that ends in .png, .svg or .pdf",
        ),
    ],
)
def test_bad_arguments(one: dict[str, Any], call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(one)
