"""A comparison as one HTML page that needs nothing beside it: no scripts, no other files, no network.

Figures are inline SVG. Colours follow the reader's light or dark scheme, and are those of paper in print. Everything is made
from the content of a compare.json, and everything in it that a user may have written is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any, Final

from .conditions import conditions
from .markup import Cell, cell, escape, items, prose, swatch, table
from .words import (
    SYMBOLS,
    UNITS,
    baseline_of,
    format_ratio,
    labels_of,
    pays_after,
    place_of,
    short,
    speed_up_of,
    summary,
    summary_of,
    verdicts,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["page"]

_HEADLINE: Final = (
    "How many times cheaper than {baseline} each algorithm is at equal error, in wall time. Filled markers are measured, "
    "with 95% intervals over the runs; open markers with an arrow are bounds, because one of the two never gets there, or "
    "is there with its smallest budget already. Top: to know the average to within a fixed error. Bottom: to know it as well "
    "as {baseline} does in the end, whether or not its runs are in equilibrium by then; {baseline} is charged with what it "
    "took to stay at or below that error."
)
_EQUILIBRIUM: Final = (
    "What the algorithms say after their last budget, beside the reference. Open markers: the runs are not in "
    "equilibrium, and their own error bars, drawn here, are not to be trusted. Half-filled markers: that cannot be told."
)
_CURVES: Final = (
    "Left: the energy along the runs, from their start at a high temperature. Middle and right: root-mean-square error "
    "over the runs against the cost of a run; below the grey edge errors are not resolved, because the reference is not "
    "better known."
)
_DIAGNOSTICS: Final = (
    "Parallel tempering: share of exchanges accepted between neighbouring temperatures, and share of the replicas there "
    "that were last at the cold end of the ladder (flow). Population annealing: effective sample size, families and rho_t "
    "along the anneal, as shares of the population. Flows: distribution of the log weights, effective sample size, and "
    "k-hat of the largest weights, above 0.7 of which averages are unreliable."
)


def page(data: Mapping[str, Any], figures: Mapping[str, Figure] | None = None) -> str:
    """Return the HTML page of a comparison.

    Parameters
    ----------
    data
        Content of a compare.json.
    figures
        What `glassnf.plots.figures` has made of it, to save time; None to draw them here.
    """
    from .. import plots

    drawn = plots.figures(data) if figures is None else figures
    system, entries = data["system"], data["temperatures"]
    title = f"Sampling {system['name']}, N = {system['n']}: algorithms compared"
    sections = [_summary(data), _headline(data, drawn)]
    for place, entry in enumerate(entries):
        alone = {**data, "temperatures": [entry]}
        own = drawn if len(entries) == 1 else {"compare": plots.comparison(alone), "diagnostics": plots.diagnostics(alone)}
        sections.append(_temperature(data, entry, place, own))
    sections.append(conditions(data))
    links = [("summary", "Summary"), *((_ident(place), f"T = {entry['temperature']:g}") for place, entry in enumerate(entries))]
    links += [("tuning", "Settings"), ("conditions", "Conditions"), ("method", "How to read this")]
    template = Template(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        generator=escape(_version(data)),
        title=escape(title),
        meta=escape(_meta(data)),
        navigation=" ".join(f'<a href="#{target}">{escape(text)}</a>' for target, text in links),
        content="\n".join(sections),
    )


def _ident(place: int) -> str:
    return f"temperature-{place}"


def _meta(data: Mapping[str, Any]) -> str:
    hardware, seconds = data["hardware"], data["seconds"]
    took = (
        f"{seconds:.0f} s"
        if seconds < 600.0
        else f"{seconds / 60.0:.0f} min"
        if seconds < 6000.0
        else f"{seconds / 3600.0:.1f} h"
    )
    threads = data["settings"]["threads"] or hardware["threads"]
    where = f"{hardware['cpu']}, {threads} thread{'s' if threads != 1 else ''}"
    devices = [device.get("name", "") for device in hardware["cuda_devices"]]
    if str(data["settings"]["device"]).startswith("cuda"):
        where += f", {data['settings']['device']} ({', '.join(devices)})"
    runs = data["settings"]["runs"]
    parts = (data["created"][:10], f"{runs} independent runs of each algorithm", where, _version(data), took)
    return " · ".join(parts)


def _version(data: Mapping[str, Any]) -> str:
    return f"glassnf {data['versions']['glassnf']}"


def _figure(figure: Figure | None, ident: str, caption: str, title: str) -> str:
    """Return a figure with its caption, or nothing where there is none."""
    from .. import plots

    if figure is None:
        return ""
    drawing = plots.inline_svg(figure, f"{ident}-svg", title)
    return f'<figure id="{ident}">\n{drawing}\n<figcaption>{prose(caption)}</figcaption>\n</figure>'


def _summary(data: Mapping[str, Any]) -> str:
    said = "\n".join(f"<p>{prose(sentence)}</p>" for sentence in summary(data))
    notes = f"<h3>Notes</h3>\n{items(data['notes'])}" if data["notes"] else ""
    return f'<section id="summary">\n<h2>Summary</h2>\n<div class="summary">\n{said}\n</div>\n{notes}\n</section>'


def _headline(data: Mapping[str, Any], figures: Mapping[str, Figure]) -> str:
    labels = labels_of(data)
    baseline = next((labels[str(baseline_of(entry))] for entry in data["temperatures"] if entry["speed_ups"]), "")
    parts = [
        _figure(figures.get("speed_up"), "figure-speed-up", _HEADLINE.format(baseline=baseline), "Speed-up of each algorithm"),
        _figure(
            figures.get("equilibrium"), "figure-equilibrium", _EQUILIBRIUM, "Energy and specific heat beside the reference"
        ),
    ]
    return "\n".join(["<section>", "<h2>Speed-up and equilibrium</h2>", *filter(None, parts), "</section>"])


def _temperature(data: Mapping[str, Any], entry: Mapping[str, Any], place: int, figures: Mapping[str, Figure | None]) -> str:
    """Return the section of one temperature."""
    labels = labels_of(data)
    at = f"T = {entry['temperature']:g}"
    parts = [
        f'<section id="{_ident(place)}">\n<h2>{at} ε/k<sub>B</sub></h2>',
        "\n".join(f"<p>{prose(sentence)}</p>" for sentence in summary_of(data, entry)),
        _figure(figures.get("compare"), f"figure-curves-{place}", _CURVES, f"Energy and errors against cost, {at}"),
        _results(entry),
        "<h3>Verdicts</h3>",
        items([f"{label}: {sentence}." for label, sentence in verdicts(entry, labels)]),
        _ranking(entry, labels) if entry["ranking"] else "",
        _speed_ups(entry, labels) if entry["speed_ups"] else "",
        _figure(figures.get("diagnostics"), f"figure-diagnostics-{place}", _DIAGNOSTICS, f"Diagnostics, {at}"),
        "</section>",
    ]
    return "\n".join(filter(None, parts))


def _results(entry: Mapping[str, Any]) -> str:
    """Return the table of what was found after the last budget."""
    from ..observables.estimate import format_uncertainty

    reference = entry["reference"]
    headings = ["", "rank", "in equilibrium", "R-hat", "sweeps", "time (s)", "pair evaluations"]
    rows: list[list[Cell]] = [
        [cell("reference"), cell(""), _verdict(reference["sound"]), cell(_number(reference["r_hat"], ".3f"))]
    ]
    rows[0] += [cell("")] * 3
    for name, symbol in SYMBOLS.items():
        headings += [f"{symbol} ({UNITS[name]})", "r.m.s. error"]
        rows[0] += [cell(format_uncertainty(reference[name], reference[f"{name}_error"])), cell("")]
    for algorithm in entry["algorithms"]:
        found, verdict = place_of(entry, algorithm["name"]), algorithm["verdict"]
        row = [swatch(algorithm), cell("-" if found is None or found["error"] is None else found["rank"])]
        row += [_verdict(verdict["equilibrated"]), cell(_number(verdict["r_hat"], ".3f"))]
        row += [cell(f"{algorithm['sweeps'][-1]:,}"), cell(f"{algorithm['cost']['wall_time'][-1]:.3g}")]
        row.append(cell(f"{algorithm['cost']['pair_evaluations'][-1]:.3g}"))
        for name in SYMBOLS:
            estimates = algorithm["estimates"][name]
            row.append(cell(format_uncertainty(estimates["mean"][-1], _standard_error(estimates["runs"][-1]))))
            row.append(cell(f"{algorithm['errors'][name]['rms'][-1]:.2g}"))
        rows.append(row)
    caption = f"After the last budget at T = {entry['temperature']:g}. Sweeps, time and pair evaluations are those of one run. "
    caption += f"Reference: {reference['source']}, {reference['replicas']} replicas of {reference['sweeps']:,} sweeps."
    return table(caption, headings, rows)


def _standard_error(runs: list[float]) -> float:
    from statistics import stdev

    return float(stdev(runs) / len(runs) ** 0.5)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _verdict(good: bool | None) -> Cell:
    return cell(*{True: ("yes", "good"), False: ("NO", "bad"), None: ("cannot tell", "doubt")}[good])


def _ranking(entry: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    by_name = {algorithm["name"]: algorithm for algorithm in entry["algorithms"]}
    rows = []
    for place in entry["ranking"]:
        algorithm = by_name[place["name"]]
        error = "no result at this cost"
        if place["error"] is not None:
            error = f"{place['error']:.2g} ({place['low']:.2g} to {place['high']:.2g})"
        ties = ", ".join(labels[name] for name in place["ties"]) or "none"
        rows.append(
            [
                swatch(algorithm),
                cell("-" if place["error"] is None else place["rank"]),
                cell(error),
                cell(ties, "text"),
                _verdict(algorithm["verdict"]["equilibrated"]),
            ]
        )
    cost = short(entry["ranking"][0]["cost"])
    caption = f"Ranking by the error of <U>/N after {cost} s a run, the least that any of the algorithms has spent in all"
    return table(caption, ["", "rank", "r.m.s. error (epsilon)", "order not settled with", "in equilibrium"], rows)


def _speed_ups(entry: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Return the table of all speed-ups, and one of what training leaves of them where there is training."""
    baseline = labels[str(baseline_of(entry))]
    headings = ["", "to know"]
    for error in ("to within", f"as {baseline} in the end, to"):
        headings += [error, "wall time", "pair evaluations"]
    rows: list[list[Cell]] = []
    trained: list[list[Cell]] = []
    for algorithm in entry["algorithms"]:
        for observable, symbol in SYMBOLS.items():
            row = [swatch(algorithm), (prose(symbol), "text")]
            for at_end in (False, True):
                kinds = ("wall_time", "pair_evaluations")
                found = [speed_up_of(entry, algorithm["name"], observable, cost, at_end) for cost in kinds]
                row += [_error(found[0]), *(cell("" if one is None else format_ratio(one)) for one in found)]
                trained += [_trained(algorithm, one) for one in found if one is not None and one["amortised"] is not None]
            if any(text for text, _ in row[2:]):
                rows.append(row)
    made = [table(f"Times cheaper than {baseline} at equal error, with 95% intervals", headings, rows)]
    if trained:
        caption = (
            f"Times cheaper than {baseline}, with the training divided by the number of runs and added to the cost of each"
        )
        headings = ["", "to know", "to within", "cost", "without training", "with training", "pays after"]
        made.append(table(caption, headings, trained))
    return "\n".join(made)


def _error(found: Mapping[str, Any] | None) -> Cell:
    return cell("") if found is None else (prose(f"{found['target_error']:.2g} {UNITS[found['observable']]}"), "")


def _trained(algorithm: Mapping[str, Any], found: Mapping[str, Any]) -> list[Cell]:
    """Return the row of a speed-up in the table of training."""
    return [
        swatch(algorithm),
        (prose(SYMBOLS[found["observable"]]), "text"),
        _error(found),
        cell(found["cost"].replace("_", " "), "text"),
        cell(format_ratio(found)),
        cell(format_ratio(found["amortised"])),
        cell(pays_after(found) or "unknown or never", "text"),
    ]
