"""``glassnf train``: a flow between two temperatures, from nothing, in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._chain import catch_signals
from ._console import Bar, print_tables
from ._errors import CommandError, shown_warnings, user_input, writing
from ._options import Choices, Option, choose, flag, floats, integer, positive, text
from ._sample import find_system

if TYPE_CHECKING:
    from ..flows import RadialFlow
    from ..samplers.explorer import Explorer
    from ..systems import System

__all__ = ["OPTIONS", "train_command"]

_SAMPLERS: Final = ("swap", "mc", "md")


def _sampler(name: str, value: object) -> str:
    from .. import _check

    return _check.choice(name, value, _SAMPLERS)


OPTIONS: Final = (
    Option("system", text, "ka2d"),
    Option("particles", integer(1), None, ("n",)),
    Option("hot", positive),
    Option("cold", positive),
    Option("layers", integer(0, 3), 2),
    Option("samples", integer(256), 20_000),
    Option("temperatures", floats),
    Option("sampler", _sampler),
    Option("replicas", integer(16), 512),
    Option("spacing", integer(1)),
    Option("equilibration", integer(0)),
    Option("steps", integer(1)),
    Option("seed", integer(0, 2**63 - 1), 1),
    Option("threads", integer(1)),
    Option("output", text, None, ("o",)),
    Option("overwrite", flag, False),
    Option("resume", flag, False),
    Option("quiet", flag, False),
    Option("json", flag, False),
)


def train_command(given: dict[str, Any], config: str | None) -> int:
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
    from .. import flows
    from ..io.files import CheckpointWarning, PreviousCheckpointWarning, previous_file

    choices = choose(OPTIONS, given, config)
    for name in ("hot", "cold"):
        if choices[name] is None:
            raise CommandError(f"--{name}: expected a temperature, got none")
    output, checkpoint = _files(choices)
    system = find_system(choices["system"], choices["particles"])
    with user_input():
        sampler = _make_sampler(choices, system)
    md = choices["sampler"] == "md"
    equilibration = choices["equilibration"] if choices["equilibration"] is not None else 40_000 if md else 4_000
    with catch_signals() as stop, Bar(choices["quiet"] or choices["json"]) as bar:

        def progress(done: int, total: int, info: dict[str, Any]) -> None:
            bar.update("training", done, total, info["stage"])
            if stop.number is not None:
                raise KeyboardInterrupt

        try:
            with user_input(), shown_warnings(PreviousCheckpointWarning, CheckpointWarning), writing(checkpoint):
                flow = flows.train(
                    system,
                    choices["hot"],
                    choices["cold"],
                    choices["seed"],
                    layers=choices["layers"],
                    samples=choices["samples"],
                    temperatures=choices["temperatures"],
                    sampler=sampler,
                    replicas=choices["replicas"],
                    spacing=choices["spacing"] or (500 if md else 50),
                    equilibration_sweeps=equilibration,
                    steps=choices["steps"],
                    checkpoint=checkpoint,
                    resume=choices["resume"],
                    threads=choices["threads"],
                    progress=progress,
                )
        except KeyboardInterrupt:
            there = checkpoint.exists()
            advice = f"; go on with --resume (checkpoint {checkpoint})" if there else ""
            sys.stderr.write(f"glassnf: stopped{advice}\n")
            return stop.exit_code if stop.number is not None else 130
    with writing(output, f"; go on with --resume (checkpoint {checkpoint})"):
        flow.save(output)
    for file in (previous_file(checkpoint), checkpoint):  # in this order: a kill in between leaves one to go on from
        file.unlink(missing_ok=True)
    _report(flow, output, choices)
    return 0


def _files(choices: Choices) -> tuple[Path, Path]:
    """Return the file of the flow and that of the checkpoint, once nothing can be lost."""
    from ..io.files import output_file, previous_file

    if choices["output"] is None:
        raise CommandError("--output (-o): expected the name of a file, got none")
    with user_input():
        output = output_file(choices["output"])
        checkpoint = output.with_name(output.name + ".training.h5")
        there = checkpoint.exists() or previous_file(checkpoint).exists()
    if output.exists() and not (choices["overwrite"] or (choices["resume"] and there)):
        raise CommandError(f"--output: expected a new file, got {output}, which exists; use --overwrite")
    if choices["resume"] and not there:
        raise CommandError(f"--resume: expected the checkpoint {checkpoint}, which does not exist")
    if there and not (choices["resume"] or choices["overwrite"]):
        raise CommandError(
            f"--output: there is a training to go on with, {checkpoint}; use --resume, or --overwrite to start anew"
        )
    return output, checkpoint


def _make_sampler(choices: Choices, system: System) -> Explorer | None:
    """Return what makes the samples; None is the default of `train`."""
    from ..samplers import MolecularDynamics, MonteCarlo

    name, threads = choices["sampler"], choices["threads"]
    if name == "md":
        return MolecularDynamics(system, timestep=0.005, thermostat="langevin", threads=threads)
    if name == "mc":
        return MonteCarlo(system, swap_probability=0.0, threads=threads)
    if name == "swap" and system.n_species < 2:
        raise ValueError("--sampler: expected mc or md where there is one species, got 'swap'")
    return None


def _report(flow: RadialFlow, output: Path, choices: Choices) -> None:
    """Say what was found."""
    report = flow.report
    assert report is not None
    if choices["json"]:
        from ..compare.jsonable import dumps

        sys.stdout.write(dumps({"output": str(output), "steps": flow.steps, "hash": flow.hash, **report.to_dict()}))
        return
    if choices["quiet"]:
        return
    from ._tables import flow_table

    print_tables([flow_table(flow)])

    def share(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.3g}"

    sys.stdout.write(
        f"Effective sample size from T = {flow.hot:g} to {flow.cold:g}: {share(report.measured_ess)} measured on "
        f"{report.measured_samples} configurations, {share(report.expected_ess)} expected,\n"
        f"{share(report.plain_ess)} without a flow, {share(report.ceiling_ess)} for an ideal flow that stays in its basin.\n"
        f"Integration: {flow.steps} steps, error of log weights {share(report.integration_error)}.\n"
        f"Wrote {output}. Samples took {report.sample_seconds:.0f} s, the fit {report.fit_seconds:.0f} s.\n"
    )
