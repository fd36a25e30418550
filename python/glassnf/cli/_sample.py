"""``glassnf sample``: equilibrated configurations of one system at one temperature, in a file that a run can go on from.

The file is a `glassnf.io.RunFile`: the ensemble, the records ``sweep`` (records,) and ``energy`` (records, R), of which the
first counts all sweeps since the start, equilibration included, and the counters of the production.
"""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import _check
from ._chain import Chain, Schedule, catch_signals
from ._console import Bar, print_tables, short_number
from ._errors import CommandError, user_input
from ._options import Choices, Option, choose, flag, floats, fraction, integer, positive, text

if TYPE_CHECKING:
    from rich.table import Table

    from ..io.runfile import RunFile
    from ..systems import System

__all__ = ["OPTIONS", "find_system", "sample"]

ALGORITHMS: Final = ("mc", "swap")
TARGET_ACCEPTANCE: Final = 0.3
PROGRAM: Final = "glassnf sample"


def _one(name: str, value: object) -> float:
    values = floats(name, value)
    if len(values) != 1:
        raise ValueError(f"{name}: expected one temperature, got {len(values)}")
    return values[0]


def _algorithm(name: str, value: object) -> str:
    return _check.choice(name, value, ALGORITHMS)


OPTIONS: Final = (
    Option("system", text, "ka2d"),
    Option("particles", integer(1), None, "n"),
    Option("temperature", _one, None, "T"),
    Option("algorithm", _algorithm, "swap"),
    Option("swap-probability", fraction),
    Option("replicas", integer(1), 64),
    Option("equilibration", integer(0)),
    Option("sweeps", integer(0), 10_000),
    Option("record-every", integer(1), 10),
    Option("threads", integer(1)),
    Option("device", text, "cpu"),
    Option("seed", integer(0, 2**64 - 1), 1),
    Option("output", text, None, "o"),
    Option("checkpoint-every", positive, 60.0),
    Option("resume", flag, False),
    Option("overwrite", flag, False),
    Option("quiet", flag, False),
    Option("json", flag, False),
)


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


@dataclass(frozen=True)
class Parameters:
    """All that decides on the numbers of a run; `device` does for systems so large that a GPU orders the trials otherwise."""

    system: System
    temperature: float
    algorithm: str
    swap_probability: float
    replicas: int
    equilibration: int
    sweeps: int
    record_every: int
    seed: int
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        """Return what the file of the run stores of them; the system itself is stored with the ensemble."""
        return {
            "program": PROGRAM,
            "system": self.system.name,
            "system_hash": self.system.hash,
            "n": self.system.n,
            "temperature": self.temperature,
            "algorithm": self.algorithm,
            "swap_probability": self.swap_probability,
            "replicas": self.replicas,
            "equilibration": self.equilibration,
            "sweeps": self.sweeps,
            "record_every": self.record_every,
            "seed": self.seed,
            "device": self.device,
            "target_acceptance": TARGET_ACCEPTANCE,
        }


def _new_parameters(choices: Choices) -> Parameters:
    if choices["temperature"] is None:
        raise CommandError("--temperature (-T): expected a positive number, got none")
    algorithm, given = choices["algorithm"], choices["swap-probability"]
    if algorithm == "mc" and given not in (None, 0.0):
        raise CommandError(f"--swap-probability: expected 0 or no such option with --algorithm mc, got {given:g}")
    if algorithm == "swap" and given == 0.0:
        raise CommandError("--swap-probability: expected more than 0 with --algorithm swap, got 0; use --algorithm mc")
    equilibration = choices["equilibration"]
    return Parameters(
        system=find_system(choices["system"], choices["particles"]),
        temperature=choices["temperature"],
        algorithm=algorithm,
        swap_probability=0.0 if algorithm == "mc" else (0.2 if given is None else given),
        replicas=choices["replicas"],
        equilibration=equilibration if equilibration is not None else math.ceil(choices["sweeps"] / 80) * 20,
        sweeps=choices["sweeps"],
        record_every=choices["record-every"],
        seed=choices["seed"],
        device=choices["device"],
    )


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
        If an option makes no sense; nothing has been written then.
    """
    choices = choose(OPTIONS, given, config)
    if choices["output"] is None:
        raise CommandError("--output (-o): expected the name of a file, got none")
    with catch_signals() as stop:
        run, parameters = _open(choices) if choices["resume"] else _create(choices)
        schedule = Schedule(
            parameters.equilibration, parameters.sweeps, parameters.record_every, checkpoint_every=choices["checkpoint-every"]
        )
        with user_input():
            sampler = _sampler(parameters, choices["threads"])
        with Bar(choices["quiet"] or choices["json"]) as bar:
            with user_input():
                chain = Chain(sampler, run, schedule, bar, parameters.device)
            chain.advance(stop)
    result = summary(run, parameters, chain)
    if choices["json"]:
        from ..compare.jsonable import dumps

        sys.stdout.write(dumps(result))
    elif not choices["quiet"] and result["complete"]:
        print_tables([_table(result)])
    if stop.number is not None and not chain.done:
        command = shlex.join(["glassnf", "sample", "--resume", "-o", str(run.path)])
        done = int(run.ensemble.step)
        sys.stderr.write(f"glassnf: stopped after {done} of {schedule.total} sweeps; resume with: {command}\n")
        return stop.exit_code
    return 0


def _sampler(parameters: Parameters, threads: int | None) -> Any:
    from ..samplers import MonteCarlo

    return MonteCarlo(
        parameters.system,
        swap_probability=parameters.swap_probability,
        target_acceptance=TARGET_ACCEPTANCE,
        threads=threads,
    )


def _create(choices: Choices) -> tuple[RunFile, Parameters]:
    """Make the starting configurations and the file of a new run, both in host memory."""
    from .. import cuda
    from ..ensemble import Ensemble
    from ..io.runfile import RunFile

    parameters, path = _new_parameters(choices), Path(choices["output"])
    if path.exists() and not choices["overwrite"]:
        raise CommandError(f"--output: expected the name of a new file, got {path}, which exists; use --resume or --overwrite")
    if not path.parent.is_dir():
        raise CommandError(f"--output: expected a file in a folder that exists, got {path}")
    with user_input():
        _ = cuda.find_device(parameters.device).xp  # raises where the device cannot be used
        ensemble = Ensemble.random(
            parameters.system, replicas=parameters.replicas, temperature=parameters.temperature, seed=parameters.seed
        )
        return RunFile.create(path, ensemble, parameters.to_dict(), overwrite=choices["overwrite"]), parameters


def _open(choices: Choices) -> tuple[RunFile, Parameters]:
    """Open the file of a run to go on with it, if what was asked for is what it holds.

    Only `sweeps` may have grown, and `device` may be another one.
    """
    from ..io.runfile import RunFile, differences

    path = choices["output"]
    if choices["overwrite"]:
        raise CommandError("--overwrite: expected not to be given with --resume")
    with user_input():
        run = RunFile.open(path)
    stored = run.parameters
    if stored.get("program") != PROGRAM:
        raise CommandError(f"--resume: expected a file made by {PROGRAM}, got {path}, which is not")
    stored = {**stored, "device": choices["device"] if "device" in choices.explicit else stored.get("device", "cpu")}
    asked = _asked(choices, stored)
    if asked["sweeps"] > stored["sweeps"]:
        stored = {**stored, "sweeps": asked["sweeps"]}
    changed = differences(stored, asked)
    if changed:
        listed = "; ".join(changed)
        raise CommandError(f"--resume: expected the parameters of the run in {path}, got others (file != asked): {listed}")
    run.parameters = stored
    names = [field.name for field in fields(Parameters) if field.name != "system"]
    return run, Parameters(system=run.ensemble.system, **{name: stored[name] for name in names})


def _asked(choices: Choices, stored: dict[str, Any]) -> dict[str, Any]:
    """Return the stored parameters with those replaced that were given explicitly."""
    asked = dict(stored)
    for option in OPTIONS:
        if option.key in choices.explicit and option.parameter in stored and option.key != "system":
            asked[option.parameter] = choices[option.key]
    if (
        "algorithm" in choices.explicit
        and "swap-probability" not in choices.explicit
        and asked["algorithm"] != stored["algorithm"]
    ):
        asked["swap_probability"] = 0.0 if asked["algorithm"] == "mc" else 0.2
    if "particles" in choices.explicit:
        asked["n"] = choices["particles"]
    if "system" in choices.explicit:
        system = find_system(choices["system"], choices["particles"])
        asked |= {"system": system.name, "system_hash": system.hash, "n": system.n}
    return asked


# ---------------------------------------------------------------------------------------------------------------- the results


def summary(run: RunFile, parameters: Parameters, chain: Chain) -> dict[str, Any]:
    """Return the averages of a run so far, and how it went."""
    from ..compare.verdict import R_HAT_LIMIT

    system, counters, records = parameters.system, run.counters, run.records
    energy = records.get("energy", np.empty((0, parameters.replicas)))
    attempts, accepts = np.sum(counters.get("swap_attempts", 0)), np.sum(counters.get("swap_accepts", 0))
    moves, accepted = np.sum(counters.get("displacement_attempts", 0)), np.sum(counters.get("displacement_accepts", 0))
    averages = _averages(energy, parameters)
    r_hat = averages.pop("r_hat")
    return {
        "output": str(run.path),
        "complete": chain.done,
        "step": int(run.ensemble.step),
        "parameters": parameters.to_dict(),
        "records": len(energy),
        **averages,
        "r_hat": r_hat,
        "equilibrated": None if r_hat is None else bool(r_hat <= R_HAT_LIMIT),
        "displacement_acceptance": float(accepted / moves) if moves else None,
        "swap_acceptance": float(accepts / attempts) if attempts else None,
        "swap_acceptance_by_pair": _by_pair(counters),
        "species_names": list(system.species_names),
        "move_size": float(np.mean(run.ensemble.move_size)),
        "moves_per_second": chain.sweeps_done * system.n * parameters.replicas / chain.seconds if chain.seconds else None,
        "seconds": chain.seconds,
        "pair_evaluations": int(counters.get("pair_evaluations", 0)),
    }


def _averages(energy: np.ndarray[Any, np.dtype[np.float64]], parameters: Parameters) -> dict[str, Any]:
    """Return <U>/N, C_v/N with errors, and R-hat; None where there are too few records."""
    from ..observables import mean_energy, specific_heat, split_rhat

    found: dict[str, Any] = {"mean_energy": None, "specific_heat": None, "r_hat": None}
    if len(energy) >= 4:
        system = parameters.system
        found["mean_energy"] = mean_energy(energy, system.n).to_dict()
        found["specific_heat"] = specific_heat(energy, parameters.temperature, system.n, system.dimension).to_dict()
        found["r_hat"] = split_rhat(energy)
    return found


def _by_pair(counters: dict[str, Any]) -> list[list[float | None]] | None:
    """Return the swap acceptance of each pair of species, summed over the replicas; None where none was tried."""
    if "swap_attempts" not in counters:
        return None
    attempts, accepts = counters["swap_attempts"].sum(axis=0), counters["swap_accepts"].sum(axis=0)
    pairs = zip(attempts.tolist(), accepts.tolist(), strict=True)
    return [[b / a if a else None for a, b in zip(row, other, strict=True)] for row, other in pairs]


def _table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    from ..compare.verdict import R_HAT_LIMIT
    from ..observables.estimate import format_uncertainty

    def shown(name: str) -> str:
        estimate = result[name]
        return "too few records" if estimate is None else format_uncertainty(estimate["value"], estimate["error"])

    parameters = result["parameters"]
    title = (
        f"{parameters['system']}, N = {parameters['n']}, T = {parameters['temperature']:g}, {parameters['algorithm']}: "
        f"{parameters['replicas']} replicas x {parameters['sweeps']:,} sweeps"
    )
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_row("<U>/N", f"{shown('mean_energy')} epsilon")
    table.add_row("C_v/N, configurational", f"{shown('specific_heat')} k_B")
    for label, key in (("acceptance of displacements", "displacement_acceptance"), ("acceptance of swaps", "swap_acceptance")):
        if result[key] is not None:
            table.add_row(label, f"{result[key]:.3g}")
    if result["moves_per_second"] is not None:
        table.add_row("trial moves per second", short_number(result["moves_per_second"]))
    if result["r_hat"] is None:
        table.add_row("R-hat", "too few records")
    elif result["equilibrated"]:
        table.add_row("R-hat", f"{result['r_hat']:.3f}: the replicas agree")
    else:
        verdict = f"{result['r_hat']:.3f} > {R_HAT_LIMIT}: the replicas do not agree, NOT equilibrated or too short"
        table.add_row("R-hat", verdict, style="red")
    table.add_row("file", result["output"])
    return table
