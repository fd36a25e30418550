"""Print the results as markdown tables, from the JSON files that the benchmarks wrote.

python bench/report.py [files; default: bench/results/*.json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

TARGETS = {
    "displacements: glassnf / brute force": "4, aim 6",
    "glassnf: N=1290 / N=43": "0.5",
    "glassnf: N=100000 / N=43": "0.33",
    "energy and forces: glassnf / torch.compile": "8, aim 12",
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Three digits: 1.23 M, 45.6 k, 0.123."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def ratios(document: dict[str, Any]) -> str:
    rows = []
    for name, ratio in document["ratios"].items():
        low, high = min(ratio["values"]), max(ratio["values"])
        rows.append((name, TARGETS.get(name, ""), f"{ratio['median']:.3g}", f"{low:.3g} to {high:.3g}"))
    return table(("ratio", "wanted", "median", "range"), rows)


def rates(values: dict[str, Any], unit: str) -> str:
    return table(("case", unit), ((name, number(rate["median"])) for name, rate in values.items()))


def monte_carlo(document: dict[str, Any]) -> list[str]:
    limits = (
        (
            name,
            f"{limit['pairs_per_move']:.1f}",
            number(limit["pairs_per_s"]),
            f"{100 * limit['fraction_of_flops']:.1f} %",
            f"{100 * limit['fraction_of_divisions']:.1f} %",
        )
        for name, limit in document["limits"].items()
    )
    peak = document["peak"]
    return [
        rates(document["moves_per_s"], "moves/s"),
        ratios(document),
        table(("displacements", "pairs per move", "pairs/s", "of the flop limit", "of the division limit"), limits),
        f"Limits of the core: {peak['flops_per_s'] / 1e9:.1f} Gflop/s, {number(peak['divisions_per_s'])} divisions/s; "
        f"{document['flops_per_pair']} flops and one division per pair.",
    ]


def energy(document: dict[str, Any]) -> list[str]:
    limits = document["limits"]
    return [
        rates(document["configurations_per_s"], "configurations/s"),
        ratios(document),
        f"Opponent: {document['settings']['opponent']}, torch {document['settings']['torch']}. glassnf: "
        f"{number(limits['pairs_per_s'])} pairs/s, {document['flops_per_pair']} flops each, "
        f"{100 * limits['fraction_of_flops']:.1f} % of the flop limit of {document['peak']['flops_per_s'] / 1e9:.1f} Gflop/s.",
    ]


def kernels(document: dict[str, Any]) -> list[str]:
    rows = [
        (f"{name}, {size}", *(number(next(iter(rate.values()))) for rate in found.values()))
        for name, sizes in document["kernels"].items()
        for size, found in sizes.items()
    ]
    return [table(("kernels", "energies/s", "forces/s", "displacements/s", "moves/s with 20 % swaps"), rows)]


SECTIONS = {"monte_carlo": monte_carlo, "energy": energy, "kernels": kernels}


def section(path: Path) -> str:
    """Return the tables of one file, with its date, machine and command."""
    document = json.loads(path.read_text(encoding="utf-8"))
    about = document["machine"]
    when = (
        f"`{document['command']}`, {document['date'][:10]}, {about['cpu']}, one core of {about['cores']}, "
        f"{about['instruction_set']}, {about['compiler']}, load average {about['load_average'][0]:.1f}."
    )
    return "\n\n".join([f"### {document['benchmark']}", when, *SECTIONS[document["benchmark"]](document)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="*", help="JSON files; default: all of bench/results")
    parser.add_argument("--write", type=Path, help="replace the results in this document, between its two marks")
    options = parser.parse_args()
    files = options.files or sorted((FOLDER / "results").glob("*.json"))
    text = "\n\n".join(section(path) for path in files)
    if options.write is None:
        print(text)
        return
    before, _, rest = options.write.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        parser.error(f"{options.write}: expected the marks {BEGIN} and {END}")
    options.write.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
