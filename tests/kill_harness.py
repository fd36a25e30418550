"""Kill every algorithm with SIGKILL at random moments, go on, and compare the file with that of an uninterrupted run.

    python tests/kill_harness.py --kills 100 -o bench/results/kills.json
    python tests/kill_harness.py -o bench/results/kills.json --write docs/restart.md
    python tests/kill_harness.py --kills 4 --at-calls 4 swap "pt md"       # two of them, quickly

Each run is a process of its own, forked from one that has imported everything, which executes `glassnf.cli.run` as the command
line does, with a checkpoint after every turn. A trial begins a run, and then, again and again, kills it and goes on with
``--resume`` until it is complete, as a job script would. Two kinds of kills:

* at a random moment: the parent sends SIGKILL after a random time, from zero to a good part of what the whole run takes. Shared
  memory tells whether the process was writing a file just then.
* at a system call: the process kills itself at a random one of the calls by which files are written (open, write, fsync, link,
  rename, unlink): before it, after it, or in the middle of a write, of which only half is done.

What a file must agree in is every byte but those of: the date of its creation, the seconds spent, and the number of pair
evaluations (each native call begins by evaluating the energy, so that it depends on how a run is cut, as the seconds do).
`canonical` puts zeros in their place. Nothing may be left beside the files of an uninterrupted run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

import glassnf as gnf
from glassnf import cli, flows, plots
from glassnf.cli import _chain
from glassnf.compare import page
from glassnf.io import atomic_write
from kill_points import Blackbox, instrument
from test_cli_flow_assisted import weak_flow

__all__ = ["ALGORITHMS", "canonical", "kill"]

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later: of os.fork where a library has started threads

TURN: Final = 0.002
"""Seconds of a turn in the children, instead of 0.3: it never changes results, and makes more checkpoints."""

SAMPLE: Final = "sample --seed 3 --quiet --threads 1 --checkpoint-every 1e-9"
RESUME: Final = "sample --resume --quiet --threads 1 --checkpoint-every 1e-9"
CHAINS: Final = "-T 0.5 --replicas 4 --record-every 10"
MD: Final = f"{SAMPLE} --algorithm md {CHAINS} --equilibration 50 --steps 200"
PT: Final = f"{SAMPLE} --algorithm pt --temperatures 0.5:0.8:3 --ladders 2 --record-every 4 --equilibration 40"
PA: Final = f"{SAMPLE} --algorithm pa -T 0.6 --population 24 --culling-fraction 0.2 --equilibration 30"
NF: Final = f"{SAMPLE} --algorithm nf -T 0.7 --flow flow.safetensors --equilibration 40"

ALGORITHMS: Final = {
    "mc": f"{SAMPLE} --algorithm mc {CHAINS} --equilibration 100 --sweeps 200",
    "swap": f"{SAMPLE} --algorithm swap {CHAINS} --equilibration 100 --sweeps 200",
    "md langevin": MD,
    "md rescaling": f"{MD} --thermostat rescaling",
    "md nve": f"{MD} --thermostat nve",
    "md hybrid swap": f"{MD} --swap-every 15",
    "pt swap, adaptive ladder": f"{PT} --sweeps 120 --sweeps-per-exchange 4",
    "pt mc, fixed ladder": f"{PT} --sweeps 120 --explorer mc --fixed-ladder",
    "pt md": f"{PT} --sweeps 120 --explorer md --sweeps-per-exchange 20",
    "pt flow": f"{PT} --sweeps 60 --sweeps-per-exchange 4 --flow flow.safetensors",
    "pa swap": f"{PA} --start 1 --sweeps-per-step 4",
    "pa mc, blocks": f"{PA} --start 1 --sweeps-per-step 4 --explorer mc --block 7",
    "pa md": f"{PA} --start 1 --sweeps-per-step 10 --explorer md",
    "pa flow": f"{PA} --sweeps-per-step 4 --flow flow.safetensors",
    "nf": f"{NF} --replicas 8 --sweeps 60 --record-every 5",
    "nf md": f"{NF} --replicas 4 --sweeps 200 --record-every 20 --explorer md",
    "nf-metropolis": "nf-metropolis",
    "train": "train -n 43 --hot 1.0 --cold 0.8 --samples 256 --replicas 16 --equilibration 40 --spacing 4 --layers 1 "
    "--temperatures 1.0,0.9,0.8 --seed 3 --threads 1 --quiet --steps 4",
    "compare": "compare --algorithms md,mc,swap -T 0.7,0.6 --sweeps 160 --reference-sweeps 80 --reference-replicas 8 --runs 4 "
    "--no-cache --tuning 0 --threads 1 --quiet",
}
"""The command line of each, but for the output; nf-metropolis has no command, see `_metropolis`."""

TIMINGS: Final = {"wall_time", "pair_evaluations", "seconds", "created", "command", "speed_ups", "ranking", "flow_time"}
"""Of a comparison, and what follows from them."""

# ------------------------------------------------------------------------------------------------- files without their timings


def canonical(path: Path) -> bytes:
    """Return the content of a result with zeros in place of dates, seconds and pair evaluations, and without its seal."""
    content = path.read_bytes()
    if path.suffix == ".h5":
        return _without_timings_h5(content)
    if path.suffix == ".json":
        return json.dumps(_without_timings(json.loads(content)), sort_keys=True).encode()
    size = int.from_bytes(content[:8], "little")  # safetensors
    header = json.loads(content[8 : 8 + size])
    about = json.loads(header["__metadata__"]["flow"])
    about["report"] = {name: value for name, value in about["report"].items() if not name.endswith("seconds")}
    return json.dumps([header["pair"], header["message"], about], sort_keys=True).encode() + content[8 + size :]


def _without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_timings(entry) for key, entry in value.items() if key not in TIMINGS}
    return [_without_timings(entry) for entry in value] if isinstance(value, list) else value


def _without_timings_h5(content: bytes) -> bytes:
    image = io.BytesIO(content)
    with h5py.File(image, "r+") as file:
        created = file.attrs["created"].encode()
        for name in ("counters/wall_time", "counters/pair_evaluations", "state/arrays/wall_time", "state/arrays/flow_time"):
            if name in file:
                file[name][...] = 0
        if "state/arrays/counts" in file:  # of population annealing: attempts, accepts, pair evaluations
            file["state/arrays/counts"][2] = 0
    changed = image.getvalue()[512:]
    assert changed.count(created) == 1
    return changed.replace(created, b"0" * len(created))


# ---------------------------------------------------------------------------------------------------------------- the children


def _metropolis(arguments: list[str]) -> int:
    """Flow Metropolis of the library, saved after every proposal."""
    path = Path(arguments[arguments.index("-o") + 1])
    sampler = gnf.FlowMetropolis(
        gnf.systems.ka2d(43), flows.load("flow.safetensors"), hot=0.8, cold=0.7, base_sweeps=4, sweeps=2, threads=1,
    )  # fmt: skip
    chains = (
        gnf.samplers.FlowChains.load(path) if "--resume" in arguments else sampler.begin(6, seed=3, equilibration_sweeps=20)
    )
    while chains.proposals < 30:
        sampler.run(chains, 1)
        chains.save(path)
    return 0


def _child(arguments: list[str], box: Blackbox, fatal: int | None, when: str, log: Path) -> None:
    code = 99
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _chain._CHUNK_SECONDS = TURN
        plots.figures = lambda data: {}
        page.page = lambda data, figures: "<!doctype html>"
        instrument(box, fatal, when)
        code = _metropolis(arguments) if arguments[0] == "nf-metropolis" else cli.run(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


# ------------------------------------------------------------------------------------------------------------------ the parent


@dataclass
class Outcome:
    """What was done to one algorithm."""

    algorithm: str
    runs: int = 0
    kills: int = 0
    kills_while_writing: int = 0
    kills_at_calls: int = 0
    begun_anew: int = 0
    bytes: int = 0
    seconds_of_a_run: float = 0.0
    seconds: float = 0.0
    identical: bool = True
    differing: list[str] = field(default_factory=list)


class Trials:
    """Runs of one algorithm in a folder of its own."""

    def __init__(self, algorithm: str, folder: Path, seed: int) -> None:
        self.outcome = Outcome(algorithm)
        self._folder, self._box = folder, Blackbox()
        self._arguments = ALGORITHMS[algorithm].split()
        self._command = self._arguments[0]
        self._begun = False
        self._rng = np.random.default_rng([seed, *algorithm.encode()])
        folder.mkdir()
        os.chdir(folder)
        weak_flow().save("flow.safetensors")

    def _result(self, name: str) -> Path:
        """Return the file to compare."""
        if self._command == "compare":
            return self._folder / name / "compare.json"
        return self._folder / f"{name}{'.safetensors' if self._command == 'train' else '.h5'}"

    def _start(self, name: str, fatal: int | None = None, when: str = "") -> int:
        """Start or resume a run, and return the number of its process."""
        output = self._result(name).parent if self._command == "compare" else self._result(name)
        resume = ["--resume"] if self._resumable(name) else []
        if self._command == "compare" and not resume and self._result(name).exists():
            resume = ["--overwrite"]  # killed after its last act; the next comparison clears what that left
        arguments = RESUME.split() if self._command == "sample" and resume else [*self._arguments, *resume]
        self._box.clear()
        if not resume and self._begun:
            self.outcome.begun_anew += 1
        self._begun = True
        log = self._folder / f"{name}.log"
        process = os.fork()
        if process == 0:
            _child([*arguments, "-o", str(output)], self._box, fatal, when, log)
        return process

    def _resumable(self, name: str) -> bool:
        """Whether there is something to resume, as a job script would find out."""
        if self._command == "compare":
            return (self._folder / name / "parts" / "settings.json").exists()
        if self._command == "train":
            return (self._folder / f"{name}.safetensors.training.h5").exists()
        return self._result(name).exists()

    def _complete(self, name: str) -> bool:
        """Whether a training was killed after its last act; `sample` can be resumed, and `compare` done anew."""
        return self._command == "train" and self._result(name).exists() and not self._resumable(name)

    def _wait(self, process: int, name: str) -> bool:
        """Wait for the end of a run; return whether it was killed. Any other failure is an error."""
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return True
        if os.waitstatus_to_exitcode(status) != 0:
            log = (self._folder / f"{name}.log").read_text(encoding="utf-8")
            raise RuntimeError(f"{self.outcome.algorithm}, {name}: ended with status {status}: {log[-3000:]}")
        return False

    def straight(self) -> bytes:
        """Do the uninterrupted run, and measure it."""
        begin = time.perf_counter()
        killed = self._wait(self._start("straight"), "straight")
        assert not killed
        self.outcome.seconds_of_a_run = time.perf_counter() - begin
        self._longest, self._calls = 0.7 * self.outcome.seconds_of_a_run, self._box.calls
        self.outcome.bytes = self._result("straight").stat().st_size
        self._left = self._listing("straight")
        return canonical(self._result("straight"))

    def _listing(self, name: str) -> list[str]:
        """Return the names of all that a run has left, hidden files included."""
        found = [
            str(path.relative_to(self._folder))
            for path in self._folder.rglob("*")
            if name in str(path.relative_to(self._folder))
        ]
        return sorted(one.replace(name, "NAME") for one in found)

    def interrupted(self, name: str, kills: int, at_calls: bool) -> int:
        """Do one run with up to so many kills; return how many there were."""
        self._begun = False
        done = 0
        while True:
            fatal = int(self._rng.integers(1, max(2, self._calls // 2))) if at_calls and done < kills else None
            process = self._start(name, fatal, str(self._rng.choice(["before", "within", "after"])))
            if not at_calls and done < kills:
                time.sleep(float(self._rng.uniform(0.0, self._longest)))
                os.kill(process, signal.SIGKILL)  # a process that has ended is there until it is waited for
            if not self._wait(process, name):
                if not at_calls and done < kills:  # faster than the signal
                    self._longest *= 0.8
                break
            done += 1
            self.outcome.kills_while_writing += int(self._box.writing and not at_calls)
            if self._complete(name):  # killed after its last act
                break
        self.outcome.runs += 1
        return done

    def compare(self, name: str, expected: bytes) -> None:
        """Compare what is there with the uninterrupted run, and remove it if it is the same."""
        for problem in self._problems(name, expected):
            self.outcome.identical = False
            self.outcome.differing.append(f"{name}: {problem}")
            return
        for path in sorted(self._folder.rglob("*"), reverse=True):
            if name in str(path.relative_to(self._folder)):
                path.rmdir() if path.is_dir() else path.unlink()

    def _problems(self, name: str, expected: bytes) -> list[str]:
        found = canonical(self._result(name))
        problems = []
        if found != expected:
            places = [k for k, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b]
            problems.append(f"{len(found)} bytes instead of {len(expected)}, {len(places)} differ, first at {places[:5]}")
        if self._listing(name) != self._left:
            problems.append(f"left {self._listing(name)} instead of {self._left}")
        return problems


def kill(algorithm: str, kills: int, at_calls: int, folder: Path, seed: int = 1, per_run: int = 20) -> Outcome:
    """Kill runs of an algorithm and return what came of it.

    Parameters
    ----------
    algorithm
        A key of `ALGORITHMS`.
    kills, at_calls
        Numbers of kills at random moments, and at system calls of writing.
    folder
        Where to work; must exist.
    seed
        Of the moments.
    per_run
        Kills of a run before it is left to finish.
    """
    _import_all()
    begin = time.perf_counter()
    trials = Trials(algorithm, folder / algorithm.replace(" ", "-").replace(",", ""), seed)
    expected = trials.straight()
    outcome, number = trials.outcome, 0
    for target, kind in ((kills, False), (at_calls, True)):
        done = 0
        while done < target:
            number += 1
            name = f"trial{number:04d}"
            done += trials.interrupted(name, min(per_run, target - done), kind)
            trials.compare(name, expected)
        if kind:
            outcome.kills_at_calls = done
        else:
            outcome.kills = done
    outcome.seconds = time.perf_counter() - begin
    return outcome


def _import_all() -> None:
    """Import what the commands import when they run, once and not in every child; nothing is computed."""
    for name in (
        "_sample",
        "_train",
        "_compare",
        "_runners.parallel_tempering",
        "_runners.population_annealing",
        "_runners.flow",
    ):
        importlib.import_module(f"glassnf.cli.{name}")
    for name in ("compare.runner", "compare.report", "flows.training", "flows._diagnosis", "samplers.harvest", "_random_start"):
        importlib.import_module(f"glassnf.{name}")
    with contextlib.redirect_stderr(io.StringIO()):
        assert cli.run(["sample", "--resume", "-o", "there-is-no-such-file.h5"]) == 2


def main() -> int:
    """Run the command line; the exit code is 1 where a file differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithms", nargs="*", metavar="ALGORITHM", help=f"default: all of {', '.join(ALGORITHMS)}")
    parser.add_argument("--kills", type=int, default=100, help="at random moments, of each algorithm")
    parser.add_argument("--at-calls", type=int, default=25, help="at system calls of writing, of each algorithm")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the result; those of other algorithms stay in it")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="only put the table of the JSON file into a document")
    options = parser.parse_args()
    if options.write is not None:
        _write(options.write, json.loads(options.output.read_text(encoding="utf-8")))
        return 0
    output = None if options.output is None else options.output.absolute()
    failed = False
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for algorithm in options.algorithms or ALGORITHMS:
            outcome = kill(algorithm, options.kills, options.at_calls, Path(folder), options.seed)
            failed |= not outcome.identical
            print(
                f"{algorithm}: {outcome.kills} kills ({outcome.kills_while_writing} while writing), {outcome.kills_at_calls} "
                f"at calls, in {outcome.runs} runs, {outcome.seconds:.0f} s: "
                f"{'identical' if outcome.identical else outcome.differing}",
                flush=True,
            )
            if output is not None:
                command = f"python tests/kill_harness.py --kills {options.kills} --at-calls {options.at_calls}"
                _store(output, f"{command} --seed {options.seed} -o {output.name}", outcome)
        os.chdir("/")
    return int(failed)


def _write(document: Path, result: dict[str, Any]) -> None:
    """Put the table of a result between the marks of a document."""
    lines = [
        "| algorithm | kills | of these while writing | kills at system calls | runs | bytes of the file | the same bytes |"
    ]
    lines.append("| --- | " + "---: | " * 5 + "--- |")
    for one in result["algorithms"]:
        numbers = [one[name] for name in ("kills", "kills_while_writing", "kills_at_calls", "runs", "bytes")]
        verdict = "yes" if one["identical"] else "NO"
        lines.append(f"| {one['algorithm']} | {' | '.join(f'{number:,}' for number in numbers)} | {verdict} |")
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    table = "\n".join([*lines, "", f"`{result['command']}`, {result['date']}; {versions}."])
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- kills -->\n")
    _, _, after = rest.partition("<!-- /kills -->")
    with atomic_write(document) as temporary:
        temporary.write_text(f"{before}<!-- kills -->\n{table}\n<!-- /kills -->{after}", encoding="utf-8")


def _store(path: Path, command: str, outcome: Outcome) -> None:
    """Put an outcome into a JSON file, in which those of other algorithms stay."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"algorithms": []}
    found = {one["algorithm"]: one for one in old["algorithms"]} | {outcome.algorithm: vars(outcome)}
    result = {
        "command": command,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": {"cpus": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
        "versions": {"glassnf": gnf.__version__, "h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version},
        "algorithms": [found[name] for name in ALGORITHMS if name in found],
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
