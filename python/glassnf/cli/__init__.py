"""The command line: ``glassnf info``, ``glassnf sample``, ``glassnf compare``.

Exit codes: 0 done, 2 bad input (one sentence on the standard error, and with ``--json`` an object ``{"error": ...}`` on the
standard output), 3 the dynamics blew up (likewise), 130 and 143 stopped by Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from . import _arguments as arg
from ._arguments import Text, Texts, option
from ._errors import BAD_INPUT, CommandError, fail, guarded

__all__ = ["app", "main"]

app = typer.Typer(
    name="glassnf",
    help="Sample supercooled liquids, and measure which algorithm does it at what cost.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context, version: Annotated[bool, option(None, "Print the version and exit.", "--version")] = False
) -> None:
    if version:
        from .. import __version__

        typer.echo(f"glassnf {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command("info")
@guarded
def info(ctx: typer.Context, json: arg.Json = False) -> None:
    """Show versions, processor, threads, instruction set, why CUDA is or is not used, and optional libraries."""
    _print_info(json)


def _print_info(json: bool) -> None:
    from ..compare.environment import environment
    from ..compare.jsonable import dumps
    from ._info import describe

    data = environment()
    sys.stdout.write(dumps(data) if json else describe(data))


@app.command("sample")
@guarded
def sample(
    ctx: typer.Context,
    system: arg.SystemName = None,
    particles: arg.Particles = None,
    temperature: arg.Temperature = None,
    algorithm: arg.AlgorithmName = None,
    replicas: arg.Replicas = None,
    equilibration: arg.Equilibration = None,
    sweeps: arg.Sweeps = None,
    record_every: arg.RecordEvery = None,
    threads: arg.Threads = None,
    device: arg.DeviceName = None,
    seed: arg.Seed = None,
    output: arg.Output = None,
    checkpoint_every: arg.CheckpointEvery = None,
    resume: arg.Resume = False,
    overwrite: arg.Overwrite = False,
    config: arg.Config = None,
    quiet: arg.Quiet = False,
    json: arg.Json = False,
    swap_probability: arg.SwapProbability = None,
    steps: arg.Steps = None,
    timestep: arg.Timestep = None,
    thermostat: arg.Thermostat = None,
    friction: arg.Friction = None,
    relaxation_time: arg.RelaxationTime = None,
    swap_every: arg.SwapEvery = None,
    explorer: arg.ExplorerName = None,
    temperatures: arg.Temperatures = None,
    ladders: arg.Ladders = None,
    sweeps_per_exchange: arg.SweepsPerExchange = None,
    fixed_ladder: arg.FixedLadder = False,
    start: arg.Start = None,
    population: arg.Population = None,
    sweeps_per_step: arg.SweepsPerStep = None,
    culling_fraction: arg.CullingFraction = None,
    block: arg.Block = None,
) -> None:
    """Sample one system, from random starts, into an HDF5 file: molecular dynamics, Monte Carlo, tempering or annealing.

    Example: glassnf sample --system ka2d -n 43 -T 0.3 --algorithm swap --replicas 64 --sweeps 100000 --seed 1 -o run.h5

    Ctrl-C and SIGTERM leave a valid file; go on with: glassnf sample --resume -o run.h5
    """
    from ._sample import sample as run_sample

    try:
        code = run_sample(dict(ctx.params), config)
    except KeyboardInterrupt:
        raise CommandError("interrupted twice; the file, if there is one, holds the latest checkpoint", 130) from None
    raise typer.Exit(code)


@app.command("compare")
@guarded
def compare(
    ctx: typer.Context,
    system: arg.SystemName = None,
    particles: arg.Particles = None,
    temperature: Annotated[
        Texts, option("NUMBER", "Temperatures in epsilon / k_B: 0.4,0.3 or -T 0.4 -T 0.3.", "-T", "--temperature")
    ] = None,
    quick: Annotated[
        bool, option(None, "About a minute: T = 0.3 unless -T is given; replaces old results.", "--quick")
    ] = False,
    algorithms: Annotated[Texts, option("NAMES", "Algorithms, baseline first (default: mc,swap).", "--algorithms")] = None,
    runs: Annotated[Text, option("INTEGER", "Independent runs of each algorithm (default: 32).", "--runs")] = None,
    budget: Annotated[
        Text, option("SECONDS", "Wall time to aim at, for all together (default: 900; 70 with --quick).", "--budget")
    ] = None,
    sweeps: Annotated[Text, option("SWEEPS", "Largest budget of a run, in place of what --budget allows.", "--sweeps")] = None,
    reference_sweeps: Annotated[
        Text, option("SWEEPS", "Length of the reference run, in place of what --budget allows.", "--reference-sweeps")
    ] = None,
    reference_replicas: Annotated[
        Text, option("INTEGER", "Replicas of the reference run (default: 64).", "--reference-replicas")
    ] = None,
    reference: Annotated[Text, option("FILE", "Take the reference from this compare.json.", "--reference")] = None,
    no_cache: Annotated[bool, option(None, "Neither read nor write the cache of references.", "--no-cache")] = False,
    start_temperature: Annotated[
        Text, option("NUMBER", "Temperature of the starts (default: 1, or twice the highest -T).", "--start-temperature")
    ] = None,
    target_energy_error: Annotated[
        Text, option("NUMBER", "Error of <U>/N at which costs are compared (default: 0.02).", "--target-energy-error")
    ] = None,
    target_heat_error: Annotated[
        Text, option("NUMBER", "Error of C_v/N at which costs are compared (default: 0.2).", "--target-heat-error")
    ] = None,
    threads: arg.Threads = None,
    device: arg.DeviceName = None,
    seed: arg.Seed = None,
    output: Annotated[Text, option("FOLDER", "Folder for the results (default: glassnf-compare).", "-o", "--output")] = None,
    overwrite: Annotated[bool, option(None, "Replace old results in the folder.", "--overwrite")] = False,
    config: arg.Config = None,
    quiet: arg.Quiet = False,
    json: arg.Json = False,
) -> None:
    """Compare sampling algorithms: error against cost of <U>/N and C_v, speed-ups, and who is in equilibrium.

    Writes compare.json, compare.csv, compare.png and compare.svg. The cost of a run is its share of the batch of all runs.
    With --sweeps and --reference-sweeps the results depend on the seed alone, not on the machine's speed.
    """
    from ._compare import compare_command

    try:
        code = compare_command(dict(ctx.params), config, ["glassnf", *sys.argv[1:]])
    except KeyboardInterrupt:
        raise CommandError("interrupted; no results have been written", 130) from None
    raise typer.Exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line and return the exit code; usage errors are one sentence, and an object with ``--json``."""
    if arguments in (["info"], ["info", "--json"]):  # straight to it: the parser would take a third of the time of this command
        _print_info("--json" in arguments)
        return 0
    try:
        code = app(args=arguments, prog_name="glassnf", standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        message = " ".join(str(error.format_message()).split())
        fail(message, BAD_INPUT, json="--json" in arguments)
        return BAD_INPUT
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point of the ``glassnf`` command."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has gone; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    raise SystemExit(code)
