"""``glassnf sample``: equilibrated configurations of one system, in a file that a run can go on from.

The file is a `glassnf.io.RunFile`: the ensemble, the records, the counters of the production, and the state of the algorithm.
What the records are each module of `_runners` says.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._chain import Chain, StopRequest, Turn, catch_signals
from ._console import Bar, print_tables
from ._errors import CANNOT_WRITE, CommandError, cannot_write, shown_warnings, user_input, warn
from ._options import Choices, choose
from ._runners import Runner, runner_of
from ._runners.base import check_length
from ._sample_options import OPTIONS, for_species, refuse_foreign

if TYPE_CHECKING:
    from ..io.runfile import RunFile
    from ..systems import System

__all__ = ["OPTIONS", "find_system", "sample"]

PROGRAM: Final = "glassnf sample"

UNSETTLED: Final = 4
"""Exit code of ``--require-equilibrated`` where the verdict is another one."""


def find_system(name: str, n: int | None) -> System:
    """Return a system by its name, or from a TOML or JSON file; `n` must then be that of the file, if it is given.

    Raises
    ------
    CommandError
        If there is no such system or file, or `n` does not suit it.
    """
    from .. import systems

    with user_input():
        if name.lower().endswith((".toml", ".json")) or "/" in name:
            system = systems.load(name)
            if n is not None and n != system.n:
                raise ValueError(f"--particles: expected {system.n}, the number in {name}, or no such option, got {n}")
            return system
        return systems.by_name(name, n)


def sample(given: dict[str, Any], config: str | None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    given
        Options from the command line by parameter name, None where not given.
    config
        Name of a TOML file with more of them, or None.

    Raises
    ------
    CommandError
        If an option makes no sense; nothing has been written then. Or if dynamics blows up; the file holds the last good state.
        Or if the file cannot be written; the message says where the latest good checkpoint is.
    """
    from ..io.files import CheckpointWarning

    choices = choose(OPTIONS, given, config)
    if choices["output"] is None:
        raise CommandError("--output (-o): expected the name of a file, got none")
    with catch_signals() as stop, _alone(choices["output"]), shown_warnings(CheckpointWarning):
        run = _open(choices) if choices["resume"] else _new(choices, stop)
        runner = _runner(run, choices["threads"])
        if not choices["resume"]:  # now that every option has been accepted
            _begin(run)
        with Bar(choices["quiet"] or choices["json"]) as bar:
            Chain(runner, bar, choices["checkpoint-every"]).advance(stop)
    return _report(runner, choices, stop)


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep other processes from running what goes into the same file."""
    from ..io.files import output_file
    from ..io.locks import Lock

    with user_input():
        try:
            path = output_file(name)
        except FileNotFoundError:  # said better later
            path = None
        message = f"--output: expected a file of its own, got {name}, on which another process is working"
        lock = None if path is None else Lock(path.with_name(f".{path.name[:100]}.lock"), message)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _runner(run: RunFile, threads: int | None) -> Runner:
    """Return what advances a run, once it is known that the parts of its file belong together."""
    with user_input():
        try:
            return runner_of(run.parameters["algorithm"])(run, threads, run.parameters["device"])
        except (LookupError, AttributeError, ArithmeticError) as error:
            what = f"{type(error).__name__}: {error}"
            raise CommandError(f"{run.path}: expected parameters, state and records of a run, got others ({what})") from error


def _begin(run: RunFile) -> None:
    """Write the file of a new run."""
    try:
        run.begin()
    except (OSError, MemoryError) as error:
        raise CommandError(cannot_write(error, run.path), CANNOT_WRITE) from None


def _report(runner: Runner, choices: Choices, stop: StopRequest) -> int:
    """Print what was found, and return the exit code."""
    result = _summary(runner)
    if choices["json"]:
        from ..compare.jsonable import dumps

        sys.stdout.write(dumps(result))
    elif not choices["quiet"] and result["complete"]:
        print_tables(runner.tables(result))
    if stop.number is not None and not runner.done:
        command = shlex.join(["glassnf", "sample", "--resume", "-o", str(runner.run.path)])
        sys.stderr.write(f"glassnf: stopped after {runner.progress}; resume with: {command}\n")
        return stop.exit_code
    if choices["require-equilibrated"] and result["equilibrated"] is not True:
        sys.stderr.write(f"glassnf: {result['verdict']['sentence']}\n")
        return UNSETTLED
    return 0


def _summary(runner: Runner) -> dict[str, Any]:
    """Return the averages of a run so far, and how it went."""
    run = runner.run
    return {
        "output": str(run.path),
        "complete": runner.done,
        "step": int(run.ensemble.step),
        "parameters": runner.parameters,
        "records": run.n_records,
        "species_names": list(runner.system.species_names),
        **runner.summary(),
        "seconds": runner.seconds,
        "pair_evaluations": runner.pair_evaluations,
    }


# ------------------------------------------------------------------------------------------------------------ new and old runs


def _new_parameters(choices: Choices) -> tuple[dict[str, Any], System]:
    """Return what the file of a new run stores; the system itself is stored with the ensemble."""
    if choices["temperature"] is None and choices["temperatures"] is None:
        raise CommandError("--temperature (-T): expected a positive number, got none")
    system = find_system(choices["system"], choices["particles"])
    choices = for_species(choices, system)
    algorithm = choices["algorithm"]
    refuse_foreign(choices, algorithm, choices["explorer"])
    with user_input():
        own = runner_of(algorithm).choose(choices, system)
    common = {
        "program": PROGRAM,
        "system": system.name,
        "system_hash": system.hash,
        "n": system.n,
        "temperature": choices["temperature"],
        "algorithm": algorithm,
        "seed": choices["seed"],
        "device": choices["device"],
    }
    return {**common, **own}, system


def _new(choices: Choices, stop: StopRequest) -> RunFile:
    """Make the starting configurations of a new run, in host memory; its file is not written yet."""
    from .. import cuda
    from ..io.files import hint_of_previous, previous_file
    from ..io.runfile import RunFile, plain

    (parameters, system), path = _new_parameters(choices), Path(choices["output"])
    if path.exists() and not choices["overwrite"]:
        raise CommandError(f"--output: expected the name of a new file, got {path}, which exists; use --resume or --overwrite")
    with user_input():
        left = previous_file(path)
        if left.exists() and not choices["overwrite"]:
            raise ValueError(
                f"--output: expected the name of a new file, got {path}{hint_of_previous(path)}; use --resume or --overwrite"
            )
    if not path.parent.is_dir():
        raise CommandError(f"--output: expected a file in a folder that exists, got {path}")
    with user_input():
        _ = cuda.find_device(parameters["device"]).xp  # raises where the device cannot be used
        with Bar(choices["quiet"] or choices["json"]) as bar:
            turn = Turn(bar.update, stop)
            ensemble = runner_of(parameters["algorithm"]).start(parameters, system, choices["threads"], turn)
        values = plain("parameters", parameters)
        return RunFile(path, ensemble=ensemble, parameters=values, state={}, records={}, counters={}, created=None)


def _open(choices: Choices) -> RunFile:
    """Open the file of a run to go on with it, if what was asked for is what it holds.

    Only the number of sweeps or steps may have grown, `device` may be another one, and the file of the flow may have moved.
    """
    from ..io.files import PreviousCheckpointWarning
    from ..io.hdf5 import glassnf_version
    from ..io.runfile import RunFile, differences, listed

    path = choices["output"]
    if choices["overwrite"]:
        raise CommandError("--overwrite: expected not to be given with --resume")
    with user_input(), shown_warnings(PreviousCheckpointWarning):
        run = RunFile.recover(path)
    stored = _stored(run)
    if choices["algorithm"] == stored["algorithm"] or "algorithm" not in choices.explicit:
        refuse_foreign(choices, stored["algorithm"], stored.get("explorer"))
    stored = {**stored, "device": choices["device"] if "device" in choices.explicit else stored.get("device", "cpu")}
    asked = _asked(choices, stored)
    grows = runner_of(stored["algorithm"]).grows
    if grows is not None and asked[grows] > stored[grows]:
        check_length(grows, int(stored.get("equilibration", 0)), asked[grows])
        stored = {**stored, grows: asked[grows]}
    asked |= _flow_now(choices, stored, run.ensemble.system)
    if "flow" in stored and asked["flow_is"] == stored["flow_is"]:
        stored = {**stored, "flow": asked["flow"]}
    changed = differences(stored, asked)
    if changed:
        changed = [f"{line}, which may only grow" if line.startswith(f"{grows}: ") else line for line in changed]
        what = f"the parameters of the run in {path}, got others (file != asked): {listed(changed)}"
        raise CommandError(f"--resume: expected {what}")
    if run.written_by not in (None, glassnf_version()):
        warn(f"glassnf {run.written_by} wrote {path}, this is {glassnf_version()}: the rest of the run may have other bits")
    run.parameters = stored
    return run


def _stored(run: RunFile) -> dict[str, Any]:
    """Return the parameters of a run, once it is known that they are those of this command, and of the system in its file."""
    from ..io.runfile import differences, listed
    from ._sample_options import ALGORITHMS

    stored = run.parameters
    if stored.get("program") != PROGRAM or stored.get("algorithm") not in ALGORITHMS:
        raise CommandError(f"--resume: expected a file made by {PROGRAM}, got {run.path}, which is not")
    grows = runner_of(stored["algorithm"]).grows
    if (grows is not None and type(stored.get(grows)) is not int) or ("flow" in stored) is not ("flow_is" in stored):
        raise CommandError(f"{run.path}: expected the parameters of a run, got others")
    system = run.ensemble.system
    inside = {"system": system.name, "system_hash": system.hash, "n": system.n}
    changed = differences({name: stored.get(name) for name in inside}, inside)
    if changed:
        what = f"the system that its parameters name, got another (named != there): {listed(changed)}"
        raise CommandError(f"{run.path}: expected {what}")
    return stored


def _asked(choices: Choices, stored: dict[str, Any]) -> dict[str, Any]:
    """Return the stored parameters with those replaced that were given explicitly."""
    asked = dict(stored)
    for option in OPTIONS:
        if option.key in choices.explicit and option.parameter in stored and option.key != "system":
            asked[option.parameter] = choices[option.key]
    if "particles" in choices.explicit:
        asked["n"] = choices["particles"]
    if "system" in choices.explicit:
        system = find_system(choices["system"], choices["particles"])
        asked |= {"system": system.name, "system_hash": system.hash, "n": system.n}
    return asked


def _flow_now(choices: Choices, stored: dict[str, Any], system: System) -> dict[str, Any]:
    """Return what the parameters say of the flow, if it is the one asked for, or else the stored one as it is now."""
    from ._runners.flow_file import load_flow

    if "flow" not in stored:
        return {"flow": choices["flow"]} if "flow" in choices.explicit else {}
    path = choices["flow"] if "flow" in choices.explicit else stored["flow"]
    return {"flow": path, "flow_is": load_flow(path, system).describe()}
