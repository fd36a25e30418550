"""Options of the commands as the parser and ``--help`` see them; what values they take is in `_options` and the commands."""

from __future__ import annotations

from typing import Annotated, Any, Final, Optional

import typer

Text = Optional[str]  # noqa: UP045  (typer evaluates the annotation at run time, on Python 3.10 too)
Texts = Optional[list[str]]  # noqa: UP045

MONTE_CARLO: Final = "Monte Carlo (mc, swap; also --explorer)"
DYNAMICS: Final = "Molecular dynamics (md; also --explorer md)"
TEMPERING: Final = "Parallel tempering (pt)"
ANNEALING: Final = "Population annealing (pa)"


def option(metavar: str | None, help_text: str, *names: str, panel: str | None = None) -> Any:
    """Return the declaration of an option; those of one panel stand together in ``--help``."""
    return typer.Option(*names, metavar=metavar, help=help_text, show_default=False, rich_help_panel=panel)


# Options of several commands.
Config = Annotated[Text, option("FILE", "TOML file with options; keys are the long names. The command line wins.", "--config")]
Json = Annotated[bool, option(None, "Print one JSON object on the standard output and nothing else there.", "--json")]
Quiet = Annotated[bool, option(None, "No progress bar and no table.", "--quiet")]
Threads = Annotated[Text, option("INTEGER", "Threads of the CPU (default: all).", "--threads")]
DeviceName = Annotated[Text, option("cpu|cuda|cuda:K", "Where to compute (default: cpu).", "--device")]
SystemName = Annotated[Text, option("NAME|FILE", "Name, or .toml or .json file, of the system (default: ka2d).", "--system")]
Particles = Annotated[Text, option("INTEGER", "Number of particles (default: the model's; 43 for ka2d).", "-n", "--particles")]
Seed = Annotated[Text, option("INTEGER", "Seed of the random numbers (default: 1).", "--seed")]
Overwrite = Annotated[bool, option(None, "Replace the file if it exists.", "--overwrite")]

Version = Annotated[bool, option(None, "Print the version and exit.", "--version")]

# Options of glassnf sample.
Temperature = Annotated[
    Text, option("NUMBER", "Temperature in epsilon / k_B; the lowest one of pt, pa and nf. Required.", "-T", "--temperature")
]
AlgorithmName = Annotated[
    Text,
    option(
        "md|mc|swap|pt|pa|nf",
        "Molecular dynamics, local or swap Monte Carlo, parallel tempering, population annealing, a normalizing flow (default: "
        "swap; mc where there is one species).",
        "--algorithm",
    ),
]
Replicas = Annotated[Text, option("INTEGER", "Independent replicas of md, mc, swap, nf (default: 64).", "--replicas")]
Equilibration = Annotated[
    Text,
    option(
        "SWEEPS",
        "Sweeps, or time steps of md, before production; move sizes and ladders adapt (default: a quarter of the production; "
        "1000 at the start temperature of pa, 4000 at that of nf).",
        "--equilibration",
    ),
]
Sweeps = Annotated[
    Text, option("SWEEPS", "Sweeps of production of mc, swap, pt, nf; N trial moves each (default: 10000).", "--sweeps")
]
RecordEvery = Annotated[
    Text,
    option("SWEEPS", "Sweeps, or time steps of md, between energy records (default: 10; md 100; nf 50).", "--record-every"),
]
Starts = Annotated[
    Text,
    option(
        "hot|both",
        "Random starts, or half of the replicas (ladders of pt) from below the temperature, annealed by swap Monte Carlo, so "
        "that the verdict can compare the two (default: hot).",
        "--starts",
    ),
]
RequireEquilibrated = Annotated[
    bool, option(None, "Exit with code 4 unless the verdict is that the run is equilibrated.", "--require-equilibrated")
]
Output = Annotated[Text, option("FILE", "HDF5 file to write. Required.", "-o", "--output")]
CheckpointEvery = Annotated[
    Text, option("SECONDS", "Time between checkpoints of the file (default: 60).", "--checkpoint-every")
]
Resume = Annotated[
    bool,
    option(
        None, "Go on with the run in the file, bit for bit; its parameters hold, only --sweeps or --steps may grow.", "--resume"
    ),
]
SwapProbability = Annotated[
    Text, option("NUMBER", "Share of trial moves that are swaps (default: 0.2).", "--swap-probability", panel=MONTE_CARLO)
]
Steps = Annotated[Text, option("STEPS", "Time steps of production (default: 100000).", "--steps", panel=DYNAMICS)]
Timestep = Annotated[Text, option("NUMBER", "Time step, in tau (default: 0.005).", "--timestep", panel=DYNAMICS)]
Thermostat = Annotated[
    Text,
    option(
        "nve|langevin|rescaling",
        "None (after equilibration by Langevin dynamics), Langevin (BAOAB), or stochastic velocity rescaling "
        "(default: langevin).",
        "--thermostat",
        panel=DYNAMICS,
    ),
]
Friction = Annotated[Text, option("NUMBER", "Langevin friction, in 1/tau (default: 1).", "--friction", panel=DYNAMICS)]
RelaxationTime = Annotated[
    Text,
    option("NUMBER", "Relaxation time of velocity rescaling, in tau (default: 0.5).", "--relaxation-time", panel=DYNAMICS),
]
SwapEvery = Annotated[
    Text,
    option("STEPS", "Time steps between sweeps of swap moves (default: no swaps).", "--swap-every", panel=DYNAMICS),
]
ExplorerName = Annotated[
    Text,
    option(
        "mc|swap|md",
        "What moves the replicas of pt, pa and nf (default: swap; mc with one species).",
        "--explorer",
        panel=TEMPERING,
    ),
]
Temperatures = Annotated[
    Texts,
    option(
        "LIST|LOW:HIGH:COUNT",
        "The ladder: 0.3,0.4,0.55,1 or geometric, 0.3:1:10 (default: from -T to the larger of 1 and 2 T, as many as about half "
        "of the exchanges are accepted).",
        "--temperatures",
        panel=TEMPERING,
    ),
]
Ladders = Annotated[Text, option("INTEGER", "Independent ladders (default: 8).", "--ladders", panel=TEMPERING)]
SweepsPerExchange = Annotated[
    Text,
    option(
        "SWEEPS",
        "Sweeps, or time steps of --explorer md, between exchanges (default: 10; md 100).",
        "--sweeps-per-exchange",
        panel=TEMPERING,
    ),
]
FixedLadder = Annotated[
    bool,
    option(None, "Keep the ladder; otherwise equilibration adapts the inner temperatures.", "--fixed-ladder", panel=TEMPERING),
]
Start = Annotated[
    Text,
    option(
        "NUMBER",
        "First temperature (default: the larger of 1 and 2 T; of nf the hot end of the flow).",
        "--start",
        panel=ANNEALING,
    ),
]
Population = Annotated[Text, option("INTEGER", "Replicas (default: 1000).", "--population", panel=ANNEALING)]
SweepsPerStep = Annotated[
    Text,
    option(
        "SWEEPS",
        "Sweeps, or time steps of --explorer md, at each temperature (default: 100).",
        "--sweeps-per-step",
        panel=ANNEALING,
    ),
]
CullingFraction = Annotated[
    Text,
    option("NUMBER", "Share of replicas culled at each temperature (default: 0.1).", "--culling-fraction", panel=ANNEALING),
]
Block = Annotated[
    Text,
    option(
        "INTEGER",
        "Replicas advanced at once, for populations larger than the memory of a GPU (default: all).",
        "--block",
        panel=ANNEALING,
    ),
]

# Options of glassnf compare.
TemperatureList = Annotated[
    Texts,
    option(
        "NUMBER",
        "Temperatures in epsilon / k_B: 0.4,0.3 or -T 0.4 -T 0.3 (default: 0.4,0.3,0.25 for ka2d).",
        "-T",
        "--temperatures",
        "--temperature",
    ),
]
Quick = Annotated[bool, option(None, "Five minutes: T = 0.4 unless -T is given; replaces old results.", "--quick")]
Full = Annotated[
    bool,
    option(
        None,
        "T from 0.5 to 0.2 unless -T is given, 8 hours unless --budget is; an algorithm that is not known to be in equilibrium "
        "at two temperatures in a row is not run at lower ones.",
        "--full",
    ),
]
OwnSamplers = Annotated[
    Texts,
    option(
        "MODULE:CLASS|FILE:CLASS|NAME",
        "A sampler of your own to compare too, or the entry point of an installed one (docs/own_sampler.md); may be repeated.",
        "--sampler",
    ),
]
Tuning = Annotated[
    Text,
    option(
        "SHARE",
        "Share of the time of each algorithm for the choice of its settings (default: 0.2; 0: settings as they are).",
        "--tuning",
    ),
]
AlgorithmList = Annotated[
    Texts,
    option(
        "NAMES",
        "Algorithms, baseline first (default: md,mc,swap,pt,pa,nf; no swap with one species, no nf without a flow).",
        "--algorithms",
    ),
]
FlowFile = Annotated[
    Text, option("FILE", "Trained flow (glassnf train): of nf, or to assist the exchanges of pt and the steps of pa.", "--flow")
]
Runs = Annotated[Text, option("INTEGER", "Independent runs of each algorithm (default: 32).", "--runs")]
Budget = Annotated[
    Text,
    option(
        "TIME",
        "Wall time to aim at, for all together: 300, 5m, 1h (default: 1h; 270 with --quick, 8h with --full).",
        "--budget",
    ),
]
LargestBudget = Annotated[
    Text,
    option(
        "SWEEPS|NAME=SWEEPS,...",
        "Largest budget of a run, in sweeps of all its replicas or time steps, for all algorithms or for each; in place of "
        "what --budget allows.",
        "--sweeps",
    ),
]
ReferenceSweeps = Annotated[
    Text, option("SWEEPS", "Length of the reference run, in place of what --budget allows.", "--reference-sweeps")
]
ReferenceReplicas = Annotated[Text, option("INTEGER", "Replicas of the reference run (default: 64).", "--reference-replicas")]
Reference = Annotated[
    Text,
    option("FILE", "Take the reference from this compare.json (default: from the package, or made first).", "--reference"),
]
NoCache = Annotated[bool, option(None, "Neither read nor write the cache of references.", "--no-cache")]
StartTemperature = Annotated[
    Text, option("NUMBER", "Temperature of the starts (default: 1, or twice the highest -T).", "--start-temperature")
]
TargetEnergyError = Annotated[
    Text, option("NUMBER", "Error of <U>/N at which costs are compared (default: 0.02).", "--target-energy-error")
]
TargetHeatError = Annotated[
    Text, option("NUMBER", "Error of C_v/N at which costs are compared (default: 0.2).", "--target-heat-error")
]
Folder = Annotated[Text, option("FOLDER", "Folder for the results (default: glassnf-compare).", "-o", "--output")]
ResumeComparison = Annotated[bool, option(None, "Go on with the interrupted comparison in the folder.", "--resume")]
OverwriteFolder = Annotated[bool, option(None, "Replace old results in the folder.", "--overwrite")]

# Options of glassnf train.
Hot = Annotated[Text, option("NUMBER", "Temperature to start from, in epsilon / k_B. Required.", "--hot")]
Cold = Annotated[Text, option("NUMBER", "Temperature to arrive at. Required.", "--cold")]
Layers = Annotated[
    Text, option("0|1|2|3", "Layers of messages; 0 is a pair field, cheaper and not as good (default: 2).", "--layers")
]
TrainingSamples = Annotated[
    Text, option("INTEGER", "Equilibrium configurations at each temperature (default: 20000).", "--samples")
]
TrainingTemperatures = Annotated[
    Texts, option("LIST", "Temperatures of the samples (default: about every 15 %, three at least).", "--temperatures")
]
SamplerName = Annotated[
    Text, option("swap|mc|md", "What makes the samples (default: swap; mc where there is one species).", "--sampler")
]
TrainingReplicas = Annotated[Text, option("INTEGER", "Independent replicas of the sampler (default: 512).", "--replicas")]
Spacing = Annotated[
    Text, option("SWEEPS", "Sweeps, or time steps of md, between samples of a replica (default: 50; md 500).", "--spacing")
]
TrainingEquilibration = Annotated[
    Text,
    option("SWEEPS", "Sweeps, or time steps of md, before the first sample (default: 4000; md 40000).", "--equilibration"),
]
IntegrationSteps = Annotated[
    Text, option("INTEGER", "Steps of the integrator from hot to cold (default: as many as accuracy needs).", "--steps")
]
FlowOutput = Annotated[Text, option("FILE", "File to write, in safetensors format. Required.", "-o", "--output")]
ResumeTraining = Annotated[bool, option(None, "Go on with an interrupted training of the same options.", "--resume")]

# Options of glassnf certify.
QuickCertificate = Annotated[bool, option(None, "Fewer samples and systems: a minute of one core.", "--quick")]
FalseAlarmRate = Annotated[
    Text,
    option("NUMBER", "Probability that a correct program fails, all checks together (default: 0.005).", "--false-alarm-rate"),
]
OnlyChecks = Annotated[
    Texts, option("WORDS", "Only checks with one of these words in the names of sampler and system, e.g. swap,flow.", "--only")
]
Verify = Annotated[Text, option("FILE", "Check digest and verdict of a certificate, and run nothing.", "--verify")]
CertificateOutput = Annotated[Text, option("FILE", "JSON file to write (default: none).", "-o", "--output")]
