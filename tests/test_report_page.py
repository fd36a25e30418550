"""The report of a comparison in words, tables, CSV and HTML, from the content of a compare.json alone."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from comparison_data import KINDS, comparison_data
from glassnf import plots
from glassnf.compare.markup import flat
from glassnf.compare.page import page
from glassnf.compare.report import comparison_to_csv, speed_ups_to_csv, write_files
from glassnf.compare.tables import tables
from glassnf.compare.words import format_ratio, listing, pays_after, sentences, speed_up_of, summary, summary_of

FIGURES = ("compare", "speed_up", "equilibrium", "diagnostics")
VOID = {"meta", "link", "br", "hr", "img", "input"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NASTY = "<script>alert(1)</script> & \"quotes\" 'x' [bold]b[/bold] $"
MEASURE = """
<script>
addEventListener("load", () => {
  const found = [...document.querySelectorAll("figure")].map(figure => {
    const svg = figure.querySelector("svg"), outer = svg.getBoundingClientRect(), inner = svg.getBBox();
    const shown = svg.checkVisibility({opacityProperty: true, visibilityProperty: true});
    const painted = [...svg.querySelectorAll("path, use, text")].filter(part => part.getBoundingClientRect().width > 0).length;
    return [figure.id, outer.width, outer.height, inner.width, inner.height, shown, painted];
  });
  const broken = [...document.images].filter(image => !image.complete || image.naturalWidth === 0).length;
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const result = document.createElement("pre");
  result.id = "measured";
  result.textContent = JSON.stringify({figures: found, broken: broken, wide: wide});
  document.body.append(result);
});
</script>
"""


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return comparison_data((0.4, 0.3))


@pytest.fixture
def data(made: dict[str, Any]) -> dict[str, Any]:
    """A comparison at two temperatures, a copy to change."""
    return copy.deepcopy(made)


@pytest.fixture(scope="module")
def html(made: dict[str, Any]) -> str:
    """Its page."""
    return page(made)


class Reader(HTMLParser):
    """Checks that elements are closed in order, and collects ids, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: dict[str, int] = {}
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        for name, value in attrs:
            assert value is not None
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href", "srcset", "data"):
                self.links.append(value)
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        assert tag not in VOID
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        """All text, with single spaces."""
        return " ".join("".join(self.text).split())


def test_the_page_stands_alone(html: str) -> None:
    reader = Reader(html)
    assert html.startswith("<!DOCTYPE html>\n<html lang=")
    assert len(reader.ids) == len(set(reader.ids))
    assert "script" not in reader.tags
    assert "img" not in reader.tags
    for link in reader.links:
        assert link == "data:," or (link.startswith("#") and link[1:] in reader.ids), link
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)", html)
    assert reader.tags["figure"] == reader.tags["svg"] == 2 + 2 * 2
    assert reader.tags["h1"] == reader.tags["title"] - reader.tags["svg"] == 1
    assert len(html) < 2_000_000


def test_the_page_has_all_there_is_to_know(html: str, made: dict[str, Any]) -> None:
    words = Reader(html).words
    for entry in made["temperatures"]:
        for algorithm in entry["algorithms"]:
            assert str(algorithm["seed"]) in words
            assert f"{algorithm['sweeps'][-1]:,}" in words
            for trial in (algorithm["tuning"] or {"trials": []})["trials"]:
                assert f"{trial['score']:.3g}" in words
        for found in entry["speed_ups"]:
            if found["break_even_runs"] is not None:
                assert f"{pays_after(found)}" in words
        for absent in entry["not_run"]:
            assert f"not run: {absent['reason']}" in words
    for part in (made["versions"], made["hardware"], made["units"], made["settings"]):
        for name, text in flat(part):
            assert name in words
            assert " ".join(text.split()).replace("<U>", "\u27e8U\u27e9") in words
    for text in (
        "glassnf compare -T 0.4,0.3 -o report",
        made["platform"],
        *made["notes"],
        *(kind[0] for kind in KINDS.values()),
    ):
        assert text in words


def test_the_page_says_first_who_wins(html: str) -> None:
    words = Reader(html).words
    said = "Summary swap MC has the smallest error of \u27e8U\u27e9/N at equal wall time at every temperature. T = 0.4: swap MC"
    assert words.index(said) < 400
    assert words.index("Not in equilibrium: MD") < words.index("Speed-up and equilibrium")


def test_what_users_write_is_escaped(html: str) -> None:
    data = comparison_data(names=("md", "nf", "hmc"))
    data["notes"], data["command"] = [NASTY], ["glassnf", NASTY]
    data["system"]["name"] = data["hardware"]["cpu"] = data["platform"] = NASTY
    for entry in data["temperatures"]:
        entry["not_run"] = [{"name": NASTY, "reason": NASTY}]
        entry["reference"]["source"] = NASTY
        for algorithm in entry["algorithms"]:
            algorithm["label"], algorithm["settings"] = NASTY, {NASTY: [NASTY, {NASTY: NASTY}], "b": {NASTY: None}}
            algorithm["verdict"]["sentence"] = NASTY
            if algorithm["tuning"]:
                algorithm["tuning"]["trials"][0] |= {"settings": {NASTY: NASTY}, "failure": NASTY, "kept": False}
            if algorithm["training"]:
                algorithm["training"]["source"] = NASTY
    text = page(data)
    assert "<script" not in text
    reader = Reader(text)
    assert set(reader.tags) == set(Reader(html).tags)
    assert reader.words.count("<script>alert(1)</script> & \"quotes\" 'x' [bold]b[/bold] $") > 30
    shown = _printed(data)
    assert "[bold]b[/bold]" in "".join(sentences(data))
    assert "<script>al" in shown


def test_colours_that_are_none_stay_out_of_the_style(data: dict[str, Any]) -> None:
    from glassnf.compare.markup import swatch

    assert "style" not in swatch({"label": "x", "colour": "red; background: url(x)"})[0]
    assert 'style="background: #0072B2"' in swatch({"label": "x", "colour": "#0072B2"})[0]


def test_a_page_of_one_algorithm_and_of_none() -> None:
    alone = comparison_data(names=("swap",))
    reader = Reader(page(alone))
    assert reader.tags["figure"] == 2
    assert "T = 0.4: swap MC is alone. No check of equilibrium fails." in reader.words
    entry = alone["temperatures"][0]
    entry["algorithms"], entry["ranking"], entry["not_run"] = [], [], [{"name": "swap", "reason": "no time"}]
    assert "T = 0.4: Not run: swap." in Reader(page(alone)).words
    assert sentences(alone) == ["T = 0.4: Not run: swap.", "swap: not run: no time."]


def _printed(data: dict[str, Any], width: int = 80) -> str:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), no_color=True)
    for table in tables(data):
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("temperatures", [(0.4,), (0.5, 0.4, 0.35, 0.3, 0.25, 0.2)])
def test_tables_fit_into_80_columns(temperatures: tuple[float, ...]) -> None:
    text = _printed(comparison_data(temperatures))
    assert max(map(len, text.splitlines())) <= 80
    assert "\u2026" not in text
    for label, *_ in KINDS.values():
        assert label in text
    assert text.count("runs of each algorithm") == len(temperatures)
    assert ("Times cheaper than MD in wall time" in text) == (len(temperatures) > 1)


def test_tables_hold_the_numbers(data: dict[str, Any]) -> None:
    lines = _printed(data).splitlines()
    entry = data["temperatures"][1]
    first = next(place for place, line in enumerate(lines) if "T = 0.3: 16 runs" in line)
    rows = {line.split("  ")[0].strip(): line for line in lines[first : first + 14]}
    ranks = {place["name"]: place["rank"] for place in entry["ranking"]}
    for algorithm in entry["algorithms"]:
        line = rows[algorithm["label"]]
        assert line.split()[len(algorithm["label"].split())] == str(ranks[algorithm["name"]])
        assert line.rstrip().endswith("yes" if algorithm["verdict"]["equilibrated"] else "NO")
        assert f"{algorithm['errors']['mean_energy']['rms'][-1]:.2g}" in line
    overview = lines[next(place for place, line in enumerate(lines) if "to know  T = 0.4  T = 0.3" in line) :]
    assert any(line.startswith(" local MC") and line.rstrip().endswith("!") for line in overview)  # not in equilibrium at 0.3
    assert any(line.startswith(" HMC (torch)") and line.rstrip().endswith("-") for line in overview)  # not run there


def test_words_of_the_summary(data: dict[str, Any]) -> None:
    said = summary(data)
    assert len(said) == 3
    gain = speed_up_of(data["temperatures"][0], "swap", "mean_energy", "wall_time", True)
    assert gain is not None
    start = "T = 0.4: swap MC comes first. Times cheaper than MD, at the error of <U>/N that it ends with (95% intervals): "
    assert said[1].startswith(f"{start}swap MC {format_ratio(gain)}, ")
    late = [one["label"] for one in data["temperatures"][1]["algorithms"] if not one["verdict"]["equilibrated"]]
    assert "MD" in late
    assert "swap MC" not in late
    assert said[2].endswith(f"Not in equilibrium: {listing(late)}. Not run: HMC (torch).")
    data["temperatures"][1]["reference"]["sound"] = False
    assert "The reference fails its own checks" in summary(data)[2]


def _ranking(entry: dict[str, Any], *names: str, ties: tuple[str, ...] = ()) -> None:
    """Give a temperature a ranking, in which the first is tied with `ties`."""
    places = {place["name"]: place for place in entry["ranking"]}
    entry["ranking"] = [{**places[name], "rank": rank, "error": 0.01, "ties": []} for rank, name in enumerate(names, 1)]
    entry["ranking"][0]["ties"] = list(ties)


def _equilibrium(entry: dict[str, Any], late: tuple[str, ...] = ()) -> None:
    for algorithm in entry["algorithms"]:
        algorithm["verdict"]["equilibrated"] = algorithm["name"] not in late


def test_ties_come_first_together(data: dict[str, Any]) -> None:
    first, second = data["temperatures"]
    for entry in (first, second):
        _equilibrium(entry)
        _ranking(entry, "swap", "pt", "nf", "md")
    equal = "of <U>/N at equal wall time"
    assert summary(data)[0] == f"swap MC has the smallest error {equal} at every temperature."
    second["ranking"][0]["ties"] = ["nf", "pt"]
    said = summary(data)
    assert said[0] == f"The smallest error {equal}: swap MC at T = 0.4; swap MC, PT and NF, tied, at T = 0.3."
    assert said[1].startswith("T = 0.4: swap MC comes first. ")
    assert said[2].startswith("T = 0.3: swap MC, PT and NF come first, tied. ")
    first["ranking"][0]["ties"] = ["nf", "pt"]
    assert summary(data)[0] == f"swap MC, PT and NF, tied, have the smallest errors {equal} at every temperature."
    second["ranking"] = second["ranking"][:1]  # one that is alone has won nothing
    assert summary(data)[0] == f"The smallest error {equal}: swap MC, PT and NF, tied, at T = 0.4."


def test_a_winner_out_of_equilibrium_is_called_so(data: dict[str, Any]) -> None:
    for entry in data["temperatures"]:
        _equilibrium(entry)
        _ranking(entry, "md", "swap", "pt")
    _equilibrium(data["temperatures"][1], late=("md", "pt"))
    said = summary(data)
    assert said[0].endswith(": MD at T = 0.4; MD (not in equilibrium) at T = 0.3.")
    assert said[1].startswith("T = 0.4: MD comes first. ")
    assert said[2].startswith("T = 0.3: MD comes first, but MD is not in equilibrium. ")
    data["temperatures"][1]["ranking"][0]["ties"] = ["swap", "pt"]
    assert summary(data)[2].startswith("T = 0.3: MD, swap MC and PT come first, tied, but MD and PT are not in equilibrium. ")


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out, which take seconds, where a test is about words."""
    monkeypatch.setattr(plots, "figures", lambda data: {})
    for name in ("comparison", "diagnostics"):
        monkeypatch.setattr(plots, name, lambda data: None)


@pytest.mark.usefixtures("without_figures")
def test_an_algorithm_without_an_error_is_not_tied_for_the_first_place(data: dict[str, Any]) -> None:
    entry = data["temperatures"][0]
    _ranking(entry, "swap", "nf", "pt", ties=("pt",))
    entry["ranking"][-1] |= {"error": None, "low": None, "high": None, "ties": ["swap", "nf"]}
    said = summary(data)[1]
    assert said.startswith("T = 0.4: swap MC comes first. At the wall time where errors are compared PT has no result yet. ")
    words = Reader(page(data)).words
    assert "PT-no result at this costswap MC, NF" in words
    assert "the least that any of the algorithms has spent in all" in words


@pytest.mark.usefixtures("without_figures")
def test_a_missing_baseline_is_named(data: dict[str, Any]) -> None:
    entry, sentence = data["temperatures"][1], "There are no speed-ups, because MD, the baseline, has no result."
    assert not any(sentence in said for said in (*summary(data), *summary_of(data, entry)))
    entry["algorithms"] = [one for one in entry["algorithms"] if one["name"] != "md"]
    entry["ranking"] = [one for one in entry["ranking"] if one["name"] != "md"]
    entry["speed_ups"] = []
    entry["not_run"].append({"name": "md", "reason": "it failed"})
    assert sentence in summary(data)[2]
    assert sentence not in summary(data)[1]
    assert sentence in summary_of(data, entry)
    assert sentence in Reader(page(data)).words


def test_equilibrium_is_claimed_of_no_unsound_reference(data: dict[str, Any]) -> None:
    entry, sentence = data["temperatures"][0], "No check of equilibrium fails."
    _equilibrium(entry)
    assert sentence in summary(data)[1]
    assert sentence in summary_of(data, entry)
    entry["reference"]["sound"] = False
    assert sentence not in summary(data)[1]
    assert sentence not in summary_of(data, entry)
    entry["reference"]["sound"] = True
    _equilibrium(entry, late=("md",))
    assert "Not in equilibrium: MD." in summary(data)[1]
    assert sentence not in summary(data)[1]


@pytest.mark.usefixtures("without_figures")
def test_what_is_said_of_training(data: dict[str, Any]) -> None:
    kind = {"algorithm": "nf", "observable": "mean_energy", "cost": "wall_time", "at_end_of_baseline": True}
    (found,) = [one for one in data["temperatures"][0]["speed_ups"] if kind.items() <= one.items()]
    found |= {"amortised": {"bound": "=", "value": 0.5, "low": 0.4, "high": 0.6}, "break_even_runs": 40.2}
    found |= {"bound": "=", "value": 3.0, "low": 1.5, "high": 5.0}
    (said,) = [one for one in sentences(data) if one.startswith("T = 0.4: The training of NF")]
    assert said.endswith(
        "92 s, is in none of these costs; shared by the runs it leaves a speed-up of 0.5 (0.4 to 0.6) in <U>/N, and it has "
        "paid after about 41 runs."
    )
    found["bound"] = ">"
    assert any("paid after at most 41 runs." in one for one in sentences(data))
    found["low"] = 0.9  # a run may cost as much as one of the baseline
    assert any("paid after about 41 runs, if at all." in one for one in sentences(data))
    assert "about 41 runs, if at all" in Reader(page(data)).words
    found |= {"low": 1.5, "break_even_runs": 0.3}
    assert pays_after(found) == "at most 1 run"
    found["break_even_runs"] = None
    assert not any("paid after" in one for one in sentences(data) if one.startswith("T = 0.4"))


def test_every_verdict_and_note_is_said(data: dict[str, Any]) -> None:
    said = sentences(data)
    for entry in data["temperatures"]:
        for algorithm in entry["algorithms"]:
            assert f"{algorithm['label']} at T = {entry['temperature']:g}: {algorithm['verdict']['sentence']}." in said
    assert "HMC (torch) at T = 0.3: not run: the sampler raised an error: box < 0 & so on." in said
    assert said[-1] == f"Note: {data['notes'][0]}"


def test_lists_in_words() -> None:
    assert [listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_settings_are_written_out() -> None:
    values = {"a": {"b": 0.123456789, "c": [1, 2.5, None]}, "d": True, "e": {}, "f": list(range(50)), "g": None}
    assert flat(values) == [
        ("a.b", "0.12346"),
        ("a.c", "1, 2.5, none"),
        ("d", "yes"),
        ("e", "none"),
        ("f", "0, 1, 2, ..., 49 (50 values)"),
        ("g", "none"),
    ]


def test_csv(data: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(comparison_to_csv(data))))
    assert len(rows) == (7 + 6) * 6
    assert (
        float(rows[0]["mean_energy_rms_error"]) == data["temperatures"][0]["algorithms"][0]["errors"]["mean_energy"]["rms"][0]
    )
    rows = list(csv.DictReader(io.StringIO(speed_ups_to_csv(data))))
    assert len(rows) == sum(len(entry["speed_ups"]) for entry in data["temperatures"]) == (6 + 5) * 8
    for row, found in zip(rows, data["temperatures"][0]["speed_ups"], strict=False):
        assert row["algorithm"] == found["algorithm"]
        assert row["bound"] == found["bound"]
        assert row["value"] == ("" if found["value"] is None else str(found["value"]))
        assert row["amortised_low"] == ("" if found["amortised"] is None else str(found["amortised"]["low"]))
        assert row["break_even_runs"] == ("" if found["break_even_runs"] is None else str(found["break_even_runs"]))


def test_files_are_written(tmp_path: Path) -> None:
    data = comparison_data(names=("md", "pt"))
    paths = write_files(data, tmp_path / "new" / "folder")
    names = {path.name for path in paths}
    assert names == {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert names == {"report.html", "compare.json", "compare.csv", "speed_ups.csv"} | {
        f"{stem}{suffix}" for stem in FIGURES for suffix in (".png", ".svg")
    }
    assert json.loads((tmp_path / "new" / "folder" / "compare.json").read_text(encoding="utf-8")) == data


@pytest.fixture(scope="module")
def browser() -> str:
    """The command of a Chromium."""
    found = next((path for name in BROWSERS if (path := shutil.which(name)) is not None), None)
    if found is None:
        pytest.skip(f"needs Chromium: none of {', '.join(BROWSERS)} is installed")
    return found


def _visit(browser: str, path: Path, folder: Path, *options: str) -> tuple[str, list[str]]:
    """Open a page and return its final markup and what came up on the console."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--window-size=1000,800", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=5000", *options]
    command += ["--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def _measured(dom: str) -> dict[str, Any]:
    from html import unescape

    match = re.search(r'<pre id="measured">(.*?)</pre>', dom, re.DOTALL)
    assert match is not None
    found: dict[str, Any] = json.loads(unescape(match[1]))
    return found


def test_every_figure_shows_in_a_browser(browser: str, html: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(html.replace("</body>", f"{MEASURE}</body>"), encoding="utf-8")
    dom, console = _visit(browser, path, tmp_path)
    assert console == []
    found = _measured(dom)
    assert found["broken"] == 0
    assert found["wide"] <= 0  # nothing scrolls sideways but tables
    assert len(found["figures"]) == Reader(html).tags["figure"] == 6
    for name, width, height, inner_width, inner_height, shown, painted in found["figures"]:
        assert shown, name
        assert min(width, inner_width) > 300.0, name
        assert min(height, inner_height) > 100.0, name
        assert painted > 100, name
    path.write_text(html, encoding="utf-8")
    assert _visit(browser, path, tmp_path)[1] == []


def test_the_browser_would_tell(browser: str, html: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    hidden = html.replace("<figure ", '<figure style="display: none" ', 1)
    extra = '<img src="missing.png" alt="">\n<script>nothing()</script>'
    path.write_text(hidden.replace("</body>", f"{extra}{MEASURE}</body>"), encoding="utf-8")
    dom, console = _visit(browser, path, tmp_path)
    assert any("nothing is not defined" in line for line in console)
    found = _measured(dom)
    assert found["broken"] == 1
    assert [entry[5] for entry in found["figures"]] == [False, True, True, True, True, True]
