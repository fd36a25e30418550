"""The command line: ``glassnf info``, ``glassnf sample``, ``glassnf compare``.

Exit codes: 0 done, 2 bad input (one sentence on the standard error, and with ``--json`` an object ``{"error": ...}`` on the
standard output), 130 and 143 stopped by Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Optional

import typer

from ._errors import BAD_INPUT, CommandError, fail, guarded

__all__ = ["app", "main"]

Text = Optional[str]  # noqa: UP045  (typer evaluates the annotation at run time, on Python 3.10 too)
Texts = Optional[list[str]]  # noqa: UP045

app = typer.Typer(
    name="glassnf",
    help="Sample supercooled liquids, and measure which algorithm does it at what cost.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _option(metavar: str | None, help_text: str, *names: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help_text, show_default=False)


Config = Annotated[Text, _option("FILE", "TOML file with options; keys are the long names. The command line wins.", "--config")]
Json = Annotated[bool, _option(None, "Print one JSON object on the standard output and nothing else there.", "--json")]
Quiet = Annotated[bool, _option(None, "No progress bar and no table.", "--quiet")]
Threads = Annotated[Text, _option("INTEGER", "Threads of the CPU (default: all).", "--threads")]
DeviceName = Annotated[Text, _option("cpu|cuda|cuda:K", "Where to compute (default: cpu).", "--device")]
SystemName = Annotated[Text, _option("NAME|FILE", "Name, or .toml or .json file, of the system (default: ka2d).", "--system")]
Particles = Annotated[Text, _option("INTEGER", "Number of particles (default: the model's; 43 for ka2d).", "-n", "--particles")]
Seed = Annotated[Text, _option("INTEGER", "Seed of the random numbers (default: 1).", "--seed")]


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context, version: Annotated[bool, _option(None, "Print the version and exit.", "--version")] = False
) -> None:
    if version:
        from .. import __version__

        typer.echo(f"glassnf {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command("info")
@guarded
def info(ctx: typer.Context, json: Json = False) -> None:
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
    system: SystemName = None,
    particles: Particles = None,
    temperature: Annotated[Text, _option("NUMBER", "Temperature in epsilon / k_B. Required.", "-T", "--temperature")] = None,
    algorithm: Annotated[Text, _option("mc|swap", "Local or swap Monte Carlo (default: swap).", "--algorithm")] = None,
    swap_probability: Annotated[
        Text, _option("NUMBER", "Share of trial moves that are swaps (default: 0.2).", "--swap-probability")
    ] = None,
    replicas: Annotated[Text, _option("INTEGER", "Independent replicas (default: 64).", "--replicas")] = None,
    equilibration: Annotated[
        Text,
        _option("SWEEPS", "Sweeps before production; move sizes adapt (default: a quarter of --sweeps).", "--equilibration"),
    ] = None,
    sweeps: Annotated[
        Text, _option("SWEEPS", "Sweeps of production (N trial moves each) (default: 10000).", "--sweeps")
    ] = None,
    record_every: Annotated[Text, _option("SWEEPS", "Sweeps between energy records (default: 10).", "--record-every")] = None,
    threads: Threads = None,
    device: DeviceName = None,
    seed: Seed = None,
    output: Annotated[Text, _option("FILE", "HDF5 file to write. Required.", "-o", "--output")] = None,
    checkpoint_every: Annotated[
        Text, _option("SECONDS", "Time between checkpoints of the file (default: 60).", "--checkpoint-every")
    ] = None,
    resume: Annotated[
        bool,
        _option(None, "Go on with the run in the file, bit for bit; its parameters hold, only --sweeps may grow.", "--resume"),
    ] = False,
    overwrite: Annotated[bool, _option(None, "Replace the file if it exists.", "--overwrite")] = False,
    config: Config = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Sample one system at one temperature, from random starts, into an HDF5 file.

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
    system: SystemName = None,
    particles: Particles = None,
    temperature: Annotated[
        Texts, _option("NUMBER", "Temperatures in epsilon / k_B: 0.4,0.3 or -T 0.4 -T 0.3.", "-T", "--temperature")
    ] = None,
    quick: Annotated[
        bool, _option(None, "About a minute: T = 0.3 unless -T is given; replaces old results.", "--quick")
    ] = False,
    algorithms: Annotated[Texts, _option("NAMES", "Algorithms, baseline first (default: mc,swap).", "--algorithms")] = None,
    runs: Annotated[Text, _option("INTEGER", "Independent runs of each algorithm (default: 32).", "--runs")] = None,
    budget: Annotated[
        Text, _option("SECONDS", "Wall time to aim at, for all together (default: 900; 70 with --quick).", "--budget")
    ] = None,
    sweeps: Annotated[Text, _option("SWEEPS", "Largest budget of a run, in place of what --budget allows.", "--sweeps")] = None,
    reference_sweeps: Annotated[
        Text, _option("SWEEPS", "Length of the reference run, in place of what --budget allows.", "--reference-sweeps")
    ] = None,
    reference_replicas: Annotated[
        Text, _option("INTEGER", "Replicas of the reference run (default: 64).", "--reference-replicas")
    ] = None,
    reference: Annotated[Text, _option("FILE", "Take the reference from this compare.json.", "--reference")] = None,
    no_cache: Annotated[bool, _option(None, "Neither read nor write the cache of references.", "--no-cache")] = False,
    start_temperature: Annotated[
        Text, _option("NUMBER", "Temperature of the starts (default: 1, or twice the highest -T).", "--start-temperature")
    ] = None,
    target_energy_error: Annotated[
        Text, _option("NUMBER", "Error of <U>/N at which costs are compared (default: 0.02).", "--target-energy-error")
    ] = None,
    target_heat_error: Annotated[
        Text, _option("NUMBER", "Error of C_v/N at which costs are compared (default: 0.2).", "--target-heat-error")
    ] = None,
    threads: Threads = None,
    device: DeviceName = None,
    seed: Seed = None,
    output: Annotated[Text, _option("FOLDER", "Folder for the results (default: glassnf-compare).", "-o", "--output")] = None,
    overwrite: Annotated[bool, _option(None, "Replace old results in the folder.", "--overwrite")] = False,
    config: Config = None,
    quiet: Quiet = False,
    json: Json = False,
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
