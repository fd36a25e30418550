"""What a comparison has found, in words; everything from the content of its compare.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = [
    "SYMBOLS",
    "baseline_of",
    "equilibrated",
    "format_ratio",
    "labels_of",
    "listing",
    "pays_after",
    "place_of",
    "sentences",
    "short",
    "speed_up_of",
    "summary",
    "summary_of",
    "training_of",
    "verdicts",
]

SYMBOLS: Final = {"mean_energy": "<U>/N", "specific_heat": "C_v/N"}
UNITS: Final = {"mean_energy": "epsilon", "specific_heat": "k_B"}


def short(value: float) -> str:
    """Return a positive number with two significant digits, or three before the point."""
    if value >= 99.5:
        return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"
    return f"{value:.2g}" if value < 9.95 else f"{value:.0f}"


def format_ratio(ratio: Mapping[str, Any]) -> str:
    """Return a speed-up with its interval in words: ``12 (9.1 to 16)``, ``> 310 (> 280)``, or ``undecided``.

    Undecided is what neither of the two algorithms gets to, or both do within their smallest budgets.

    Parameters
    ----------
    ratio
        ``bound``, ``value``, ``low``, ``high`` of a speed-up in a compare.json.
    """
    if ratio["bound"] == "?" or ratio["value"] is None:
        return "undecided"
    low = short(ratio["low"]) if ratio["low"] is not None and ratio["low"] > 0.0 else None
    high = short(ratio["high"]) if ratio["high"] is not None else None
    if low is not None and high is not None:
        interval = f"{low} to {high}"
    elif low is not None:
        interval = f"> {low}"
    else:
        interval = f"< {high}" if high is not None else "open"
    sign = "" if ratio["bound"] == "=" else f"{ratio['bound']} "
    return f"{sign}{short(ratio['value'])} ({interval})"


def listing(words: Sequence[str]) -> str:
    """Return words as ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def labels_of(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the label of each algorithm that has a result or an excuse at any temperature, by name."""
    found: dict[str, str] = {}
    for entry in data["temperatures"]:
        found |= {algorithm["name"]: algorithm["label"] for algorithm in entry["algorithms"]}
    for entry in data["temperatures"]:
        for absent in entry["not_run"]:
            found.setdefault(absent["name"], absent.get("label") or absent["name"])
    return found


def baseline_of(entry: Mapping[str, Any]) -> str | None:
    """Return the name of the baseline of the speed-ups at a temperature, or None where there are none."""
    return entry["speed_ups"][0]["baseline"] if entry["speed_ups"] else None


def place_of(entry: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return the place of an algorithm in the ranking at a temperature."""
    return next((place for place in entry["ranking"] if place["name"] == name), None)


def speed_up_of(
    entry: Mapping[str, Any], name: str, observable: str, cost: str, at_end_of_baseline: bool
) -> Mapping[str, Any] | None:
    """Return one speed-up of an algorithm at a temperature, or None where there is no such thing."""
    wanted = (name, observable, cost, at_end_of_baseline)
    for found in entry["speed_ups"]:
        if (found["algorithm"], found["observable"], found["cost"], found["at_end_of_baseline"]) == wanted:
            return dict(found)
    return None


def summary(data: Mapping[str, Any]) -> list[str]:
    """Return what the comparison has found in a sentence or two for each temperature: who wins, by how much, who is stuck.

    Parameters
    ----------
    data
        Content of a compare.json.
    """
    entries, labels = data["temperatures"], labels_of(data)
    said = _overall(entries, labels) if len(entries) > 1 else []
    for entry in entries:
        parts = [*_victory(entry, labels), *_without_baseline(data, entry, labels), *_balance(entry, labels)]
        said.append(f"T = {entry['temperature']:g}: {' '.join(parts or ['No algorithm has a result.'])}")
    return said


def _overall(entries: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[str]:
    """Say who has the smallest error at which temperatures, with ties, and who of them is out of equilibrium."""
    winners: dict[str, list[str]] = {}
    for entry in entries:
        if len(entry["ranking"]) > 1:
            first = [f"{labels[name]}{_aside(entry, name)}" for name in _first(entry)]
            who = listing(first) + (", tied," if len(first) > 1 else "")
            winners.setdefault(who, []).append(f"{entry['temperature']:g}")
    if not winners:
        return []
    who, temperatures = next(iter(winners.items()))
    if len(temperatures) == len(entries):
        ends = "have the smallest errors" if who.endswith(" tied,") else "has the smallest error"
        return [f"{who} {ends} of <U>/N at equal wall time at every temperature."]
    parts = [f"{who} at T = {listing(temperatures)}" for who, temperatures in winners.items()]
    return [f"The smallest error of <U>/N at equal wall time: {'; '.join(parts)}."]


def _first(entry: Mapping[str, Any]) -> list[str]:
    """Return the name of the best algorithm and of those with an error that is not settled to be larger."""
    best, *others = entry["ranking"]
    return [best["name"], *(place["name"] for place in others if place["name"] in best["ties"] and place["error"] is not None)]


def equilibrated(entry: Mapping[str, Any], name: str) -> bool | None:
    """Return whether the runs of an algorithm are in equilibrium at a temperature; None where that cannot be told."""
    found = next((one["verdict"]["equilibrated"] for one in entry["algorithms"] if one["name"] == name), None)
    return None if found is None else bool(found)


def _aside(entry: Mapping[str, Any], name: str) -> str:
    """Return a remark behind the name of an algorithm that is not known to be in equilibrium."""
    return {True: "", False: " (not in equilibrium)", None: " (equilibrium uncertain)"}[equilibrated(entry, name)]


def _victory(entry: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """Say who comes first, and how much cheaper than the baseline all are at the error that it ends with."""
    places, baseline = entry["ranking"], baseline_of(entry)
    if not places:
        return []
    first = _first(entry)
    names = listing([labels[name] for name in first])
    said = [f"{names} come first, tied" if len(first) > 1 else f"{names} {'comes first' if len(places) > 1 else 'is alone'}"]
    for outcome, words in ((False, "not in equilibrium"), (None, "not known to be in equilibrium")):
        late = [labels[name] for name in first if equilibrated(entry, name) is outcome]
        if late:
            said[0] += f", but {listing(late)} {'is' if len(late) == 1 else 'are'} {words}"
    lost = [labels[place["name"]] for place in places if place["error"] is None]
    if lost:
        verb = "has" if len(lost) == 1 else "have"
        said.append(f"At the wall time where errors are compared {listing(lost)} {verb} no result yet")
    gains = {place["name"]: speed_up_of(entry, place["name"], "mean_energy", "wall_time", True) for place in places}
    known = [(name, found) for name, found in gains.items() if found is not None and found["bound"] != "?"]
    if baseline is not None and known:
        start = f"Times cheaper than {labels[baseline]}, at the error of <U>/N that it ends with (95% intervals)"
        said.append(f"{start}: {', '.join(f'{labels[name]} {format_ratio(found)}' for name, found in known)}")
    return [f"{sentence}." for sentence in said]


def _without_baseline(data: Mapping[str, Any], entry: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """Say that a temperature has no speed-ups, because the baseline has no result there."""
    names, baseline = [algorithm["name"] for algorithm in entry["algorithms"]], data["settings"]["algorithms"][0]
    if not names or baseline in names:
        return []
    return [f"There are no speed-ups, because {labels.get(baseline, baseline)}, the baseline, has no result."]


def summary_of(data: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
    """Return what was found at one temperature, in sentences, with intervals.

    Parameters
    ----------
    data
        Content of a compare.json.
    entry
        One of its ``temperatures``.
    """
    labels = labels_of(data)
    said = [*_gains(entry, labels), *_without_baseline(data, entry, labels), *training_of(entry), *_balance(entry, labels)]
    return said or ["No algorithm has a result."]


def _gains(entry: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """Say by how much the algorithms are cheaper than the baseline, the best first."""
    said = []
    for observable, symbol in SYMBOLS.items():
        found = [
            (labels[place["name"]], speed_up_of(entry, place["name"], observable, "wall_time", True))
            for place in entry["ranking"]
        ]
        parts = [f"{label} {format_ratio(one)}" for label, one in found if one is not None and one["bound"] != "?"]
        if parts:
            baseline = labels[str(baseline_of(entry))]
            start = f"Times cheaper than {baseline} to know {symbol} as well as {baseline} does in the end"
            said.append(f"{start} (95% intervals): {', '.join(parts)}.")
    return said


def training_of(entry: Mapping[str, Any]) -> list[str]:
    """Say what was spent on training at a temperature, and from when on it pays."""
    said = []
    for algorithm in entry["algorithms"]:
        training = algorithm["training"]
        if training is None:
            continue
        words = f"The training of {algorithm['label']}, {short(training['wall_time'])} s, is in none of these costs"
        found = speed_up_of(entry, algorithm["name"], "mean_energy", "wall_time", True)
        if found is not None and found["amortised"] is not None and found["amortised"]["bound"] != "?":
            words += f"; shared by the runs it leaves a speed-up of {format_ratio(found['amortised'])} in <U>/N"
            runs = pays_after(found)
            if runs is not None:
                words += f", and it has paid after {runs}"
        said.append(f"{words}.")
    return said


def pays_after(found: Mapping[str, Any]) -> str | None:
    """Return after how many runs training has paid, as ``about 41 runs``; None where this is not known, or never.

    Parameters
    ----------
    found
        A speed-up in a compare.json, with ``break_even_runs``.
    """
    if found["break_even_runs"] is None:
        return None
    count = max(1, math.ceil(found["break_even_runs"]))
    runs = f"{short(count)} run{'' if count == 1 else 's'}"
    if (found["low"] or 0.0) <= 1.0:  # a run may be no cheaper at all
        return f"about {runs}, if at all"
    return f"{'at most' if found['bound'] == '>' else 'about'} {runs}"


def _balance(entry: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """Say who is out of equilibrium, and who was not run."""
    said = []
    for outcome, words in ((False, "Not in equilibrium"), (None, "Equilibrium cannot be told")):
        late = [one["label"] for one in entry["algorithms"] if equilibrated(entry, one["name"]) is outcome]
        if late:
            said.append(f"{words}: {listing(late)}.")
    if not said and entry["algorithms"] and entry["reference"]["sound"]:
        said.append("No check of equilibrium fails.")
    if not entry["reference"]["sound"]:
        said.append("The reference fails its own checks, and errors against it mean little.")
    if entry["not_run"]:
        said.append(f"Not run: {listing([labels[absent['name']] for absent in entry['not_run']])}.")
    return said


def verdicts(entry: Mapping[str, Any], labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return label and verdict of each algorithm at a temperature, those that were not run last."""
    said = [(algorithm["label"], algorithm["verdict"]["sentence"]) for algorithm in entry["algorithms"]]
    return said + [(labels[absent["name"]], f"not run: {absent['reason']}") for absent in entry["not_run"]]


def sentences(data: Mapping[str, Any]) -> list[str]:
    """Return what goes with the tables in the terminal: the summary, a verdict on each algorithm, notes.

    Parameters
    ----------
    data
        Content of a compare.json.
    """
    several, labels = len(data["temperatures"]) > 1, labels_of(data)
    said = summary(data)
    for entry in data["temperatures"]:
        where = f" at T = {entry['temperature']:g}" if several else ""
        said += [f"{label}{where}: {verdict}." for label, verdict in verdicts(entry, labels)]
        said += [f"T = {entry['temperature']:g}: {sentence}" if several else sentence for sentence in training_of(entry)]
    return said + [f"Note: {note}" for note in data["notes"]]
