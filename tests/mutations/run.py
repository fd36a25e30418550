"""Apply every deliberate error to a copy of the source, build it where it must be, and see what catches it.

    python tests/mutations/run.py -o bench/results/mutations.json               all, one by one: half an hour on two cores
    python tests/mutations/run.py --only "stale force" --keep build/mutants     one, in a folder that is kept
    python tests/mutations/run.py --write docs/certification.md                 the table in the documentation, from the results

For each mutant, and once for the source as it is, ``glassnf certify --quick --only ...`` and some tests of the suite are run.
Builds are of the baseline's kernels alone, with -O1: bits do not depend on the instruction set. ccache is used if it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results" / "mutations.json"
COPIED = ("CMakeLists.txt", "pyproject.toml", "cpp", "cuda", "python", "tests")
IGNORED = shutil.ignore_patterns("*.so", "__pycache__", ".hypothesis", "cpp_build")
BEGIN, END = "<!-- mutations: begin -->", "<!-- mutations: end -->"
TIME_LIMIT = 900.0
LEVEL = 0.005 / 250.0
"""Of one p-value: as in a whole quick certificate, which has some 220 of them, and not as among the few that are run here."""


class Copy:
    """A copy of the source, its build, and the folder of both.

    Parameters
    ----------
    folder
        Created if need be; a build that is there is used again.
    """

    def __init__(self, folder: Path) -> None:
        self.source, self.build = folder / "source", folder / "build"
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            self._take(ROOT / name, self.source / name)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.source / "python"), str(self.source / "tests")]),
            "CCACHE_BASEDIR": str(folder),
            "CCACHE_NOHASHDIR": "1",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "1000",  # pytest leaves messages out where lines are short
        }

    def _take(self, origin: Path, target: Path) -> None:
        """Copy what differs, so that times of files, by which builds go, stay."""
        if origin.is_file():
            if not target.exists() or target.read_bytes() != origin.read_bytes():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(origin, target)
            return
        names = os.listdir(origin)
        for name in set(names) - IGNORED(str(origin), names):
            self._take(origin / name, target / name)

    def compile(self) -> float:
        """Build the native module and put it into the package; return the seconds."""
        clock = time.perf_counter()
        if not (self.build / "build.ninja").exists():
            import pybind11

            options = [
                "-DGLASSNF_CUDA=OFF",
                "-DGLASSNF_INSTRUCTION_SETS=none",
                "-DCMAKE_BUILD_TYPE=None",
                "-DCMAKE_CXX_FLAGS=-O1",
                f"-DPython_EXECUTABLE={sys.executable}",
                f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            ]
            if shutil.which("ccache"):
                options.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
            self._call(["cmake", "-S", str(self.source), "-B", str(self.build), "-G", "Ninja", *options])
        self._call(["cmake", "--build", str(self.build)])
        (module,) = self.build.glob("_core*.so")
        shutil.copyfile(module, self.source / "python" / "glassnf" / module.name)
        return time.perf_counter() - clock

    def _call(self, command: list[str]) -> None:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")

    def certify(self, words: tuple[str, ...]) -> list[dict[str, str]]:
        """Return which checks fail, and how: by a p-value, a limit, or otherwise."""
        certificate = self.source / "certificate.json"
        certificate.unlink(missing_ok=True)
        command = [sys.executable, "-m", "glassnf", "certify", "--quick", "--quiet", "--only", ",".join(words)]
        done = self._timed([*command, "-o", str(certificate)])
        if done is None:
            return [{"name": "glassnf certify", "how": "time-out"}]
        if not certificate.exists():
            return [{"name": "glassnf certify", "how": f"crash, exit code {done.returncode}"}]
        checks = json.loads(certificate.read_text(encoding="utf-8"))["checks"]
        failed = [c for c in checks if c["outcome"] == "failed" and (c["p_value"] is None or c["p_value"] < LEVEL)]
        return [{"name": c["name"], "how": _how(c)} for c in failed]

    def tests(self, suite: tuple[str, ...]) -> list[dict[str, str]]:
        """Return the first test that fails, and how, or nothing."""
        if not suite:
            return []
        options = ["-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--maxfail=1", "-rfE"]
        tests = [str(self.source / "tests" / name) for name in suite]
        configuration = ["-c", str(self.source / "pyproject.toml"), "--rootdir", str(self.source)]
        done = self._timed([sys.executable, "-m", "pytest", *options, *configuration, *tests])
        if done is None:
            return [{"name": "pytest", "how": "time-out"}]
        lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        if done.returncode not in (0, 1) or (done.returncode == 1 and not lines):
            return [{"name": "pytest", "how": f"crash, exit code {done.returncode}"}]
        found = []
        for line in lines:
            kind, rest = line.split(" ", 1)
            name, _, message = rest.partition(" - ")
            assertion = kind == "FAILED" and message.startswith(("assert", "Assert"))
            how = "assertion" if assertion else f"exception: {message.split(':')[0][:60]}"
            found.append({"name": name.removeprefix("tests/"), "how": how})
        return found

    def _timed(self, command: list[str]) -> subprocess.CompletedProcess[str] | None:
        try:
            return subprocess.run(
                command, env=self.environment, cwd=self.source, capture_output=True, text=True, timeout=TIME_LIMIT
            )
        except subprocess.TimeoutExpired:
            return None


def _how(check: dict[str, Any]) -> str:
    if check["p_value"] is not None:
        return f"p-value {check['p_value']:.1g}"
    if check["expected"] is None:
        return "exception"
    return "limit"


def by_physics(found: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return those of the failures that are of a comparison, and not of a crash, a time-out or an exception."""
    return [one for one in found if one["how"].startswith(("p-value", "limit", "assertion"))]


def mutate(mutant: Mutant, copy: Copy) -> dict[str, Any]:
    """Apply one mutant, see what catches it, and take it back."""
    file = copy.source / mutant.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: expected its text once in {mutant.file}, got it {text.count(mutant.old)} times")
    clock = time.perf_counter()
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        built = copy.compile() if mutant.native else 0.0
        checks, tests = copy.certify(mutant.certify), copy.tests(mutant.suite)
    finally:
        file.write_text(text, encoding="utf-8")
    return {
        "name": mutant.name,
        "file": mutant.file,
        "breaks": mutant.breaks,
        "certify": checks,
        "suite": tests,
        "caught": bool(by_physics(checks) or by_physics(tests)),
        "digest": mutant.digest,
        "build_seconds": round(built, 1),
        "seconds": round(time.perf_counter() - clock, 1),
    }


def unchanged(copy: Copy) -> dict[str, Any]:
    """Run everything on the source as it is: nothing may fail."""
    words = tuple(dict.fromkeys(word for mutant in MUTANTS for word in mutant.certify))
    suite = tuple(dict.fromkeys(name for mutant in MUTANTS for name in mutant.suite))
    return {"certify": copy.certify(words), "suite": copy.tests(suite)}


def run(chosen: list[Mutant], folder: Path, output: Path | None, control: bool) -> bool:
    """Run the mutants, write what is known after each, and return whether all were caught."""
    sys.path.insert(0, str(ROOT / "python"))
    from glassnf.compare.environment import cpu_model

    known: dict[str, Any] = {}
    if output is not None and output.exists():
        known = {row["name"]: row for row in json.loads(output.read_text(encoding="utf-8"))["mutants"]}
    copy = Copy(folder)
    copy.compile()
    data: dict[str, Any] = {"command": "python tests/mutations/run.py -o bench/results/mutations.json", "cpu": cpu_model()}
    if control:
        data["unchanged"] = unchanged(copy)
        print("the source as it is:", data["unchanged"], flush=True)
    elif output is not None and output.exists():
        data["unchanged"] = json.loads(output.read_text(encoding="utf-8")).get("unchanged")
    for place, mutant in enumerate(sorted(chosen, key=lambda one: one.native)):
        row = mutate(mutant, copy)
        known[mutant.name] = row
        print(f"{place + 1}/{len(chosen)}", json.dumps(row), flush=True)
        if output is not None:
            rows = [known[one.name] for one in MUTANTS if one.name in known]
            output.write_text(json.dumps({**data, "mutants": rows}, indent=1) + "\n", encoding="utf-8")
    copy.compile()  # the build of the source as it is, for the next time
    return all(known[mutant.name]["caught"] for mutant in chosen)


def table(results: dict[str, Any]) -> str:
    """Return the table of which check caught which mutant, and how."""

    def short(found: list[dict[str, str]]) -> str:
        ordered = by_physics(found) + [one for one in found if one not in by_physics(found)]
        shown = [f"{one['name'].replace('|', '/').split('[')[0]} ({one['how']})" for one in ordered[:2]]
        return ("; ".join(shown) + (f" and {len(found) - 2} more" if len(found) > 2 else "")) or "-"

    rows = results["mutants"]
    lines = ["| error | where | caught by `certify` | caught by the suite |", "| --- | --- | --- | --- |"]
    for row in rows:
        lines.append(
            f"| **{row['name']}**: {row['breaks']} | `{row['file']}` | {short(row['certify'])} | {short(row['suite'])} |"
        )
    caught = [sum(bool(by_physics(row[name])) for row in rows) for name in ("certify", "suite")]
    head = (
        f"{sum(row['caught'] for row in rows)} of {len(rows)} are caught: {caught[0]} by `certify`, {caught[1]} by the tests "
        "beside it. What counts is a p-value, a limit, or a failed assertion; crashes, time-outs and exceptions do not."
    )
    return "\n".join([head, "", *lines])


def write(document: Path) -> None:
    """Put the table into a document, between its marks."""
    text = document.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    document.write_text(f"{head}{BEGIN}\n{table(results)}\n{END}{tail}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="JSON file; mutants that it has and that are not run stay in it")
    parser.add_argument("--only", action="append", help="the name of a mutant; may be given several times")
    parser.add_argument("--python", action="store_true", help="only mutants that need no build")
    parser.add_argument("--native", action="store_true", help="only mutants that need a build")
    parser.add_argument("--keep", type=Path, help="folder of the copy and its build, kept (default: a temporary one)")
    parser.add_argument("--missing", action="store_true", help="only mutants that the output does not have yet")
    parser.add_argument("--no-control", action="store_true", help="leave out the source as it is")
    parser.add_argument("--write", type=Path, help="write the table into this document, and run nothing")
    arguments = parser.parse_args()
    if arguments.write is not None:
        write(arguments.write)
        return
    wanted = {False: not arguments.native, True: not arguments.python}
    chosen = [m for m in MUTANTS if wanted[m.native] and (not arguments.only or m.name in arguments.only)]
    if arguments.missing and arguments.output is not None and arguments.output.exists():
        there = {row["name"] for row in json.loads(arguments.output.read_text(encoding="utf-8"))["mutants"]}
        chosen = [m for m in chosen if m.name not in there]
    if not chosen:
        raise SystemExit(f"--only: expected names among {', '.join(m.name for m in MUTANTS)}")
    with tempfile.TemporaryDirectory() as temporary:
        caught = run(chosen, arguments.keep or Path(temporary), arguments.output, not arguments.no_control)
    raise SystemExit(0 if caught else 1)


if __name__ == "__main__":
    main()
