"""What the benchmark scripts share: pinning to a core, C programs, medians, the machine, and the JSON files."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
FLAGS = ["-O3", "-march=native", "-ffast-math"]


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all scripts have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    parser.add_argument("--cpu", type=int, help="core to run on; by default the one that is least busy now")
    parser.add_argument("--repetitions", type=int, default=5, help="repetitions; medians are reported")
    return parser


# ---- the core ----------------------------------------------------------------------------------------------------------------


def _busy_ticks() -> dict[int, int]:
    ticks = {}
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit():
            times = [int(field) for field in fields]
            ticks[int(name[3:])] = sum(times) - times[3] - times[4]  # all but idle and waiting for disks
    return ticks


def pin(cpu: int | None) -> int | None:
    """Run this process and its children on one core; return which, or None where that cannot be done."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    if cpu is None:
        allowed = sorted(os.sched_getaffinity(0))
        try:
            before = _busy_ticks()
            time.sleep(0.5)
            after = _busy_ticks()
            cpu = min(allowed, key=lambda c: after.get(c, 0) - before.get(c, 0))
        except OSError:
            cpu = allowed[-1]
    os.sched_setaffinity(0, {cpu})
    return cpu


# ---- C programs --------------------------------------------------------------------------------------------------------------


@contextmanager
def build_folder() -> Iterator[Path]:
    """Give a temporary folder for programs."""
    with tempfile.TemporaryDirectory(prefix="glassnf-bench-") as folder:
        yield Path(folder)


def build(source: Path, folder: Path) -> Path:
    """Compile a C file as the issue of the benchmark asks: gcc -O3 -march=native -ffast-math."""
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        sys.exit("gcc: expected a C compiler on the path (or its name in the environment variable CC), got none")
    program = folder / source.stem
    subprocess.run([compiler, *FLAGS, "-o", str(program), str(source), "-lm"], check=True)
    return program


def output_of(program: Path, *arguments: object) -> list[str]:
    """Run a program and return the words that it prints."""
    command = [str(program), *(str(argument) for argument in arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def machine_peak(folder: Path, seconds: float) -> dict[str, float]:
    """Measure the double-precision limits of one core (bench/peak.c)."""
    flops, divisions = (float(word) for word in output_of(build(FOLDER / "peak.c", folder), seconds))
    return {"flops_per_s": flops, "divisions_per_s": divisions}


# ---- measuring ---------------------------------------------------------------------------------------------------------------


def interleave(cases: dict[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """Run all cases in turn, again and again, so that disturbances of the machine hit them alike; return their rates."""
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for repetition in range(repetitions):
        for name, case in cases.items():
            rates[name].append(case())
        print(f"repetition {repetition + 1} of {repetitions}: ", end="", file=sys.stderr)
        print(", ".join(f"{name} {values[-1]:.4g}" for name, values in rates.items()), file=sys.stderr)
    return rates


def ratio(rates: dict[str, list[float]], above: str, below: str) -> dict[str, Any]:
    """Return the median, over repetitions, of the ratio of two rates measured one after the other, and all of them."""
    values = [a / b for a, b in zip(rates[above], rates[below], strict=True)]
    return {
        "median": statistics.median(values),
        "of_medians": median_of(rates[above]) / median_of(rates[below]),
        "values": values,
    }


def median_of(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def require(condition: bool, message: str) -> None:
    """Stop with an error if the numbers under comparison are not the same physics."""
    if not condition:
        sys.exit(f"benchmark refused: {message}")


# ---- reports -----------------------------------------------------------------------------------------------------------------


def machine(cpu: int | None) -> dict[str, Any]:
    """Describe machine, compiler and versions."""
    import numpy as np

    import glassnf
    from glassnf import _core
    from glassnf.compare.environment import cpu_model

    compiler = os.environ.get("CC", "gcc")
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout.partition("\n")[0]
    return {
        "cpu": cpu_model(),
        "core": cpu,
        "cores": os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "instruction_set": _core.instruction_set(),
        "compiler": version,
        "flags": " ".join(FLAGS),
        "glassnf": glassnf.__version__,
        "numpy": np.__version__,
        "python": sys.version.partition(" ")[0],
    }


def command(output: Path | None) -> str:
    """Return the command line, with the folder of the output left out."""
    words = [word if output is None or word != str(output) else f"bench/results/{output.name}" for word in sys.argv[1:]]
    return " ".join(["python", f"bench/{Path(sys.argv[0]).name}", *words])


def report(
    name: str, cpu: int | None, output: Path | None, results: dict[str, Any], *, quiet: bool = False, flags: bool = True
) -> None:
    """Write a result to a file, with the date, the command and the machine, and print it.

    `flags`: whether C programs took part, which were compiled with them.
    """
    document = {
        "benchmark": name,
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "command": command(output),
        "machine": {key: value for key, value in machine(cpu).items() if flags or key != "flags"},
        **results,
    }
    text = json.dumps(document, indent=2, allow_nan=False)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n", encoding="utf-8")
    if not quiet:
        print(text)
