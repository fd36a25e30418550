"""Put the results of ``glassnf compare`` into the README.

    python docs/update_readme.py quick "2 cores of such a machine"
    python docs/update_readme.py lower "2 cores of such a machine" report/

The first runs ``glassnf compare --quick`` and takes its tables and figure. The second takes the speed-ups at all temperatures
from the folder of a finished comparison, and keeps its numbers as bench/results/comparison.json.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from glassnf.compare.words import equilibrated, format_ratio, labels_of, place_of, speed_up_of

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
OBSERVABLES = {"mean_energy": "<U>/N", "specific_heat": "C_v/N"}


def replace_block(name: str, text: str) -> None:
    """Put a text between the marks of a block in the README."""
    readme = ROOT / "README.md"
    block = re.compile(rf"<!-- {re.escape(name)} -->\n.*?<!-- /{re.escape(name.split(':')[0])} -->", re.DOTALL)
    whole = f"<!-- {name} -->\n{text}\n<!-- /{name.split(':')[0]} -->"
    old = readme.read_text(encoding="utf-8")
    if block.search(old) is None:
        raise SystemExit(f"README.md: expected a block {name}, got none")
    readme.write_text(block.sub(lambda _: whole, old), encoding="utf-8")


def quick(machine: str) -> None:
    """Run the quick comparison."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["glassnf", "compare", "--quick", "-o", folder]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        data = json.loads(Path(folder, "compare.json").read_text(encoding="utf-8"))
        shutil.copyfile(Path(folder, "compare.png"), IMAGES / "compare-quick.png")
    tables = "\n".join(line.rstrip() for line in printed.splitlines() if folder not in line).strip()
    caption = f"`glassnf compare --quick` on {machine}, {data['created'][:10]}; it took {data['seconds']:.0f} s."
    replace_block("numbers: glassnf compare --quick", f"```\n{tables}\n```\n\n{caption}")


def lower(machine: str, folder: Path) -> None:
    """Take the results of a comparison at several temperatures."""
    data = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    shutil.copyfile(folder / "speed_up.png", IMAGES / "comparison-speed-up.png")
    words = list(data["command"] or ())
    if "-o" in words:
        place = words.index("-o")
        del words[place : place + 2]
    data["command"] = words
    kept = ROOT / "bench" / "results" / "comparison.json"
    kept.write_text(json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    command = " ".join(data["command"])
    parts = [_table(data, observable) for observable in OBSERVABLES]
    parts += [_errors(data)]
    parts += [
        "![Times cheaper than molecular dynamics at equal error, against temperature](docs/images/comparison-speed-up.png)"
    ]
    parts += [
        f"`{command}` on {machine}, {data['created'][:10]}; it took {data['seconds'] / 60.0:.0f} minutes "
        f"([all numbers](bench/results/comparison.json)). *: not in equilibrium after its last budget; ?: cannot tell."
    ]
    replace_block("lower", "\n\n".join(parts))


def _heading(data: dict[str, Any], first: str) -> list[str]:
    temperatures = [f"T = {entry['temperature']:g}" for entry in data["temperatures"]]
    return [f"| {first} | {' | '.join(temperatures)} |", f"| --- |{' ---: |' * len(temperatures)}"]


def _table(data: dict[str, Any], observable: str) -> str:
    """Return the speed-ups at the error that the baseline ends with."""
    labels = labels_of(data)
    baseline = data["settings"]["algorithms"][0]
    lines = _heading(
        data, f"times cheaper than {labels[baseline]} to know {OBSERVABLES[observable]} as well as it does in the end"
    )
    for name in data["settings"]["algorithms"][1:]:
        cells = []
        for entry in data["temperatures"]:
            found = speed_up_of(entry, name, observable, "wall_time", at_end_of_baseline=True)
            cells.append("-" if found is None else format_ratio(found) + _mark(entry, name))
        lines.append(f"| {labels[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _errors(data: dict[str, Any]) -> str:
    """Return the errors at equal wall time, with the rank."""
    labels = labels_of(data)
    lines = _heading(data, "r.m.s. error of <U>/N at equal wall time (rank)")
    for name in data["settings"]["algorithms"]:
        cells = []
        for entry in data["temperatures"]:
            place = place_of(entry, name)
            known = place is not None and place["error"] is not None
            cells.append(f"{place['error']:.2g} ({place['rank']})" + _mark(entry, name) if known and place else "-")
        lines.append(f"| {labels[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mark(entry: dict[str, Any], name: str) -> str:
    """Return a star where an algorithm is out of equilibrium, a question mark where that cannot be told."""
    return {True: "", False: "\\*", None: "?"}[equilibrated(entry, name)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["quick"] and len(sys.argv) == 3:
        quick(sys.argv[2])
    elif sys.argv[1:2] == ["lower"] and len(sys.argv) == 4:
        lower(sys.argv[2], Path(sys.argv[3]))
    else:
        raise SystemExit(__doc__)
