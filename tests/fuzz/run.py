"""Fuzz one reader for some seconds: ``python tests/fuzz/run.py TARGET --seconds 600`` (needs atheris).

Each input that a reader cannot bear is kept in ``--findings``, once for each kind of failure (type of error and line); a worker
that dies or hangs is started anew for the rest of the time. The exit code is 1 if anything was found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import resource
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

_BYTES = 2 << 30  # of address space beyond what the process has when it starts to fuzz
_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ["glassnf", "gsd.hoomd", "extxyz", "lammpsio", "tomllib"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="for new inputs and findings")
    parser.add_argument("--report", type=Path, help="JSON file to which an entry with executions and seconds is added")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer; 0: from the clock")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


# -------------------------------------------------------------------------------------------------------------- the worker


class Fuzzer:
    """Runs a check, and keeps the first input of each kind of failure."""

    def __init__(self, name: str, target: Any, findings: Path) -> None:
        self.name, self.target, self.findings = name, target, findings
        self.known = {file.read_text(encoding="utf-8").splitlines()[0] for file in findings.glob(f"{name}-*.txt")}

    def __call__(self, content: bytes) -> None:
        try:
            self.target.check(content)
        except Exception as error:
            self._keep(content, error)

    def _keep(self, content: bytes, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in frames if "/glassnf/" in frame.filename] or list(frames)
        kind = f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"
        cause = error.__cause__
        if cause is not None and cause.__traceback__ is not None:
            last = traceback.extract_tb(cause.__traceback__)[-1]
            kind += f" from {type(cause).__name__} at {Path(last.filename).name}:{last.lineno}"
        if kind in self.known:
            return
        self.known.add(kind)
        path = self.findings / f"{self.name}-{hashlib.sha256(content).hexdigest()[:12]}"
        path.write_bytes(content)
        text = f"{kind}\n{str(error).encode('unicode_escape').decode()[:2000]}\n"
        path.with_suffix(".txt").write_text(text, encoding="utf-8")


def _mutator(codec: Any) -> Any:
    import atheris

    from fuzz.mutate import mutated

    def change(content: bytes, most: int, seed: int) -> bytes:
        if random.Random(seed).random() < 0.75:
            found = mutated(content, seed, codec)
            if found is not None and len(found) <= most:
                return found
        return bytes(atheris.Mutate(content, most))

    return change


def _work(options: argparse.Namespace) -> None:
    import atheris

    sys.path[:0] = [str(_ROOT / "tests")]
    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=_PACKAGES):
        from fuzz.targets import TARGETS

        target = TARGETS[options.target]
        seeds = target.seeds()
        for content in seeds.values():
            target.check(content)  # imports everything, and a valid file must pass
    findings, corpus = options.folder / "findings", options.folder / "corpus" / options.target
    for name, content in seeds.items():
        (corpus / f"seed-{name}").write_bytes(content)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _BYTES, used + _BYTES))
    longest = max(4096, 2 * max(len(content) for content in seeds.values()))
    limits = [f"-max_total_time={options.seconds}", "-timeout=20", "-rss_limit_mb=3000", f"-max_len={longest}"]
    output = ["-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={findings}/{options.target}-", f"-seed={options.seed}"]
    extra = {} if target.codec is None else {"custom_mutator": _mutator(target.codec)}
    fuzzer = Fuzzer(options.target, target, findings)
    atheris.Setup([sys.argv[0], *limits, *output, str(corpus)], fuzzer, **extra)
    atheris.Fuzz()


# -------------------------------------------------------------------------------------------------------------- the parent


def _run_worker(options: argparse.Namespace, seconds: int) -> tuple[int, int, str]:
    """Return the exit code, the number of executions, and what the worker wrote."""
    arguments = [options.target, "--folder", str(options.folder), "--seconds", str(seconds), "--seed", str(options.seed)]
    command = [sys.executable, str(Path(__file__).resolve()), *arguments, "--worker"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=seconds + 300, check=False)
    text = done.stderr.decode("utf-8", "replace")
    found = re.search(r"stat::number_of_executed_units:\s*(\d+)", text) or re.search(r"^#(\d+)", text, re.MULTILINE)
    return done.returncode, int(found.group(1)) if found else 0, text


def _prepare(options: argparse.Namespace) -> Path:
    corpus, findings = options.folder / "corpus" / options.target, options.folder / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    committed = _ROOT / "tests" / "data" / "corpus" / options.target
    for file in sorted(committed.glob("*")) if committed.is_dir() else ():
        (corpus / f"committed-{file.name}").write_bytes(file.read_bytes())
    return findings


def _what(path: Path) -> str:
    """Return what a finding is: the failure, or the name of the input on which a worker died."""
    return path.read_text(encoding="utf-8").splitlines()[0] if path.suffix == ".txt" else path.name


def main() -> int:
    """Run the command and return its exit code."""
    options = _arguments()
    if options.worker:
        _work(options)
        return 0
    findings = _prepare(options)
    before = set(findings.iterdir())
    begin, executions, deaths = time.monotonic(), 0, 0
    while (left := options.seconds - int(time.monotonic() - begin)) > 0 and deaths < 20:
        code, count, text = _run_worker(options, left)
        executions += count
        if code != 0:
            deaths += 1
            sys.stderr.write(f"{options.target}: the worker ended with {code}:\n{text[-3000:]}\n")
            if count == 0:
                break
    new = sorted(path for path in set(findings.iterdir()) - before if path.name.startswith(f"{options.target}-"))
    entry = {
        "target": options.target,
        "executions": executions,
        "seconds": round(time.monotonic() - begin, 1),
        "deaths": deaths,
        "findings": [_what(path) for path in new if not path.with_suffix(".txt").exists() or path.suffix == ".txt"],
    }
    sys.stdout.write(json.dumps(entry) + "\n")
    if options.report is not None:
        entries = json.loads(options.report.read_text(encoding="utf-8")) if options.report.exists() else []
        options.report.write_text(json.dumps([*entries, entry], indent=1) + "\n", encoding="utf-8")
    return 1 if new or deaths else 0


if __name__ == "__main__":
    raise SystemExit(main())
