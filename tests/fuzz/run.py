"""Fuzz one reader for some seconds: ``python tests/fuzz/run.py TARGET --seconds 600`` (needs atheris).

What is found is written to ``--findings``, one file for each input that a reader cannot bear; the exit code is then not zero.
With --keep-going the run does not end there, and prints each new kind of failure (type of error and line) once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import atheris

_BYTES = 2 << 30  # of address space beyond what the process has when it starts to fuzz


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, help="folder where inputs that reach new branches are kept")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz/findings"))
    parser.add_argument("--report", type=Path, help="JSON file to which a line with executions and seconds is added")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer; 0: from the clock")
    parser.add_argument("--keep-going", action="store_true")
    return parser.parse_args()


class Fuzzer:
    """Runs a check, counts, and keeps what fails."""

    def __init__(self, name: str, target: Any, findings: Path, keep_going: bool) -> None:
        self.name, self.target, self.findings, self.keep_going = name, target, findings, keep_going
        self.executions = 0
        self.failures: dict[str, str] = {}

    def __call__(self, content: bytes) -> None:
        self.executions += 1
        try:
            self.target.check(content)
        except BaseException as error:
            if not self.keep_going or isinstance(error, KeyboardInterrupt):
                raise
            self._keep(content, error)

    def _keep(self, content: bytes, error: BaseException) -> None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/glassnf/" in frame.filename]
        last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} {type(error.__cause__).__name__}"
        if kind in self.failures:
            return
        self.failures[kind] = str(error)[:300]
        self.findings.mkdir(parents=True, exist_ok=True)
        path = self.findings / f"{self.name}-{hashlib.sha256(content).hexdigest()[:12]}"
        path.write_bytes(content)
        sys.stderr.write(f"\n==== {self.name}: {kind}: {error!s:.300}\n     kept as {path}\n")


def _mutator(codec: Any) -> Any:
    from fuzz.mutate import mutated

    def change(content: bytes, most: int, seed: int) -> bytes:
        if random.Random(seed).random() < 0.75:
            found = mutated(content, seed, codec)
            if found is not None and len(found) <= most:
                return found
        return bytes(atheris.Mutate(content, most))

    return change


def _report(path: Path, line: dict[str, Any]) -> None:
    lines = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    path.write_text(json.dumps([*lines, line], indent=1) + "\n", encoding="utf-8")


def main() -> None:
    options = _arguments()
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root / "tests")]
    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["glassnf", "gsd.hoomd", "extxyz", "lammpsio", "tomllib"]):
        from fuzz.targets import TARGETS

        target = TARGETS[options.target]
        seeds = target.seeds()
        for content in seeds.values():
            target.check(content)  # imports everything, and a valid file must pass
    fuzzer = Fuzzer(options.target, target, options.findings, options.keep_going)
    corpus = options.corpus or Path("build/fuzz/corpus") / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    options.findings.mkdir(parents=True, exist_ok=True)
    for name, content in seeds.items():
        (corpus / f"seed-{name}").write_bytes(content)
    committed = root / "tests" / "data" / "corpus" / options.target
    for file in sorted(committed.glob("*")) if committed.is_dir() else ():
        (corpus / f"committed-{file.name}").write_bytes(file.read_bytes())
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _BYTES, used + _BYTES))
    longest = max(4096, 2 * max(len(content) for content in seeds.values()))
    begin = time.time()
    flags = [f"-max_total_time={options.seconds}", "-timeout=20", "-rss_limit_mb=3000", f"-max_len={longest}", "-print_final_stats=1"]
    flags += [f"-artifact_prefix={options.findings}/{options.target}-", f"-seed={options.seed}"]
    extra = {} if target.codec is None else {"custom_mutator": _mutator(target.codec)}

    def finished() -> None:
        seconds = round(time.time() - begin, 1)
        line = {"target": options.target, "executions": fuzzer.executions, "seconds": seconds, "failures": fuzzer.failures}
        sys.stderr.write(f"\n{json.dumps(line)}\n")
        if options.report is not None:
            _report(options.report, line)

    import atexit

    atexit.register(finished)
    atheris.Setup([sys.argv[0], *flags, str(corpus)], fuzzer, **extra)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
