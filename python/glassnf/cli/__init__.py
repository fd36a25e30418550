"""The command line: ``glassnf info``, ``sample``, ``train``, ``compare`` and ``certify``.

Exit codes: 0 done, 1 a check of ``certify`` failed, 2 bad input (one sentence on the standard error, and with ``--json`` an
object ``{"error": ...}`` on the standard output), 3 the dynamics blew up (likewise), 4 with ``--require-equilibrated`` where
the verdict is another one, 5 results cannot be written, 130 and 143 stopped by Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from . import _arguments as arg
from ._errors import BAD_INPUT, CANNOT_WRITE, INTERRUPTED, CommandError, fail, guarded

__all__ = ["app", "main"]

app = typer.Typer(
    name="glassnf",
    help="Sample supercooled liquids, and measure which algorithm does it at what cost.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(ctx: typer.Context, version: arg.Version = False) -> None:
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
    starts: arg.Starts = None,
    threads: arg.Threads = None,
    device: arg.DeviceName = None,
    seed: arg.Seed = None,
    output: arg.Output = None,
    checkpoint_every: arg.CheckpointEvery = None,
    resume: arg.Resume = False,
    overwrite: arg.Overwrite = False,
    require_equilibrated: arg.RequireEquilibrated = False,
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
    flow: arg.FlowFile = None,
) -> None:
    """Sample one system, from random starts, into an HDF5 file: molecular dynamics, Monte Carlo, tempering, annealing, flows.

    Example: glassnf sample --system ka2d -n 43 -T 0.3 --algorithm swap --replicas 64 --sweeps 100000 --seed 1 -o run.h5

    Ctrl-C and SIGTERM leave a valid file; go on with: glassnf sample --resume -o run.h5
    """
    from ._sample import sample as run_sample

    try:
        code = run_sample(dict(ctx.params), config)
    except KeyboardInterrupt:
        raise CommandError("interrupted twice; the file, if there is one, holds the latest checkpoint", 130) from None
    raise typer.Exit(code)


@app.command("train")
@guarded
def train(
    ctx: typer.Context,
    system: arg.SystemName = None,
    particles: arg.Particles = None,
    hot: arg.Hot = None,
    cold: arg.Cold = None,
    layers: arg.Layers = None,
    samples: arg.TrainingSamples = None,
    temperatures: arg.TrainingTemperatures = None,
    sampler: arg.SamplerName = None,
    replicas: arg.TrainingReplicas = None,
    spacing: arg.Spacing = None,
    equilibration: arg.TrainingEquilibration = None,
    steps: arg.IntegrationSteps = None,
    threads: arg.Threads = None,
    seed: arg.Seed = None,
    output: arg.FlowOutput = None,
    overwrite: arg.Overwrite = False,
    resume: arg.ResumeTraining = False,
    config: arg.Config = None,
    quiet: arg.Quiet = False,
    json: arg.Json = False,
) -> None:
    """Train a normalizing flow between two temperatures, from nothing: samples are made first.

    Example: glassnf train --system ka2d -n 43 --hot 0.5 --cold 0.4 -o flow.safetensors

    Ctrl-C and SIGTERM leave a checkpoint beside the output; go on with the same command and --resume.
    """
    from ._train import train_command

    raise typer.Exit(train_command(dict(ctx.params), config))


@app.command("compare")
@guarded
def compare(
    ctx: typer.Context,
    system: arg.SystemName = None,
    particles: arg.Particles = None,
    temperatures: arg.TemperatureList = None,
    quick: arg.Quick = False,
    full: arg.Full = False,
    algorithms: arg.AlgorithmList = None,
    sampler: arg.OwnSamplers = None,
    flow: arg.FlowFile = None,
    runs: arg.Runs = None,
    budget: arg.Budget = None,
    tuning: arg.Tuning = None,
    sweeps: arg.LargestBudget = None,
    reference_sweeps: arg.ReferenceSweeps = None,
    reference_replicas: arg.ReferenceReplicas = None,
    reference: arg.Reference = None,
    no_cache: arg.NoCache = False,
    start_temperature: arg.StartTemperature = None,
    target_energy_error: arg.TargetEnergyError = None,
    target_heat_error: arg.TargetHeatError = None,
    threads: arg.Threads = None,
    device: arg.DeviceName = None,
    seed: arg.Seed = None,
    output: arg.Folder = None,
    overwrite: arg.OverwriteFolder = False,
    resume: arg.ResumeComparison = False,
    config: arg.Config = None,
    quiet: arg.Quiet = False,
    json: arg.Json = False,
) -> None:
    """Compare sampling algorithms: error against cost of <U>/N and C_v, speed-ups, and who is in equilibrium.

    Without --quick or --full: ka2d with 43 particles at T = 0.4, 0.3 and 0.25, in an hour. Writes report.html, tables
    (compare.csv, compare.json) and figures. The cost of a run is its share of the batch of all runs; that of parallel tempering
    is the whole ladder's, that of population annealing the whole population's, and a flow is charged with the samples that it
    starts from. With --sweeps and --reference-sweeps the results depend on the seed alone, not on the machine's speed.
    """
    from ._compare import compare_command

    raise typer.Exit(compare_command(dict(ctx.params), config, ["glassnf", *sys.argv[1:]]))


@app.command("certify")
@guarded
def certify(
    ctx: typer.Context,
    quick: arg.QuickCertificate = False,
    device: arg.DeviceName = None,
    seed: arg.Seed = None,
    false_alarm_rate: arg.FalseAlarmRate = None,
    only: arg.OnlyChecks = None,
    verify: arg.Verify = None,
    threads: arg.Threads = None,
    output: arg.CertificateOutput = None,
    overwrite: arg.Overwrite = False,
    config: arg.Config = None,
    quiet: arg.Quiet = False,
    json: arg.Json = False,
) -> None:
    """Check all samplers of this installation against exact answers and against each other; exit code 1 if a check fails.

    Example: glassnf certify --quick -o certificate.json

    The certificate has every comparison with its p-value, versions, hardware and seed. All checks together fail a correct
    program with a probability below --false-alarm-rate.
    """
    from ._certify import certify_command

    raise typer.Exit(certify_command(dict(ctx.params), config))


def run(arguments: list[str]) -> int:
    """Run the command line and return the exit code; usage errors are one sentence, and an object with ``--json``."""
    try:
        if arguments in (["info"], ["info", "--json"]):  # straight to it: the parser would take a third of the time of it
            _print_info("--json" in arguments)
            return 0
        code = app(args=arguments, prog_name="glassnf", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):  # some versions of the parser make the one the other
        fail("interrupted", INTERRUPTED, json="--json" in arguments)
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        message = " ".join(str(error.format_message()).split())
        fail(message, BAD_INPUT, json="--json" in arguments)
        return BAD_INPUT
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point of the ``glassnf`` command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever has started this process
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    code = 0
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has gone; nothing more can be said to it
        _discard_output()
        code = 1
    except OSError as error:
        if not _is_of_output(error):
            raise
        _discard_output()
        fail(f"standard output: {error.strerror}", CANNOT_WRITE, json=False)
        code = code or CANNOT_WRITE
    raise SystemExit(code)


def _is_of_output(error: OSError) -> bool:
    """Return whether the standard output still fails in this way: the error does not say of what it is."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as again:
        return again.errno == error.errno
    return False


def _discard_output() -> None:
    """Have the interpreter, when it ends, write nowhere what the standard output did not take."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
