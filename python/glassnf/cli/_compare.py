"""``glassnf compare``: which algorithm samples a supercooled liquid, at what cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._console import Bar, print_tables
from ._errors import CommandError, user_input
from ._options import Choices, Option, choose, flag, floats, integer, positive, text, words
from ._sample import find_system

if TYPE_CHECKING:
    from ..compare import Comparison, Event, Settings

__all__ = ["OPTIONS", "compare_command"]

QUICK_TEMPERATURE: Final = 0.3
QUICK_SECONDS: Final = 90.0
SECONDS: Final = 900.0


def budgets(name: str, value: object) -> int | dict[str, int]:
    """Convert to one budget for all algorithms, or to one for each: ``md=6400,mc=12800``, or a table in a file."""
    if isinstance(value, dict):
        return {key: integer(1)(f"{name}.{key}", entry) for key, entry in value.items()}
    if not (isinstance(value, str) and "=" in value):
        return int(integer(1)(name, value))
    found: dict[str, int] = {}
    for part in value.split(","):
        key, equals, number = (piece.strip() for piece in part.partition("="))
        if not equals or key in found:
            raise ValueError(f"{name}: expected NAME=SWEEPS once for each algorithm, got {value!r}")
        found[key] = integer(1)(f"{name} of {key}", number)
    return found


OPTIONS: Final = (
    Option("system", text, "ka2d"),
    Option("particles", integer(1), None, "n"),
    Option("temperature", floats, None, "T"),
    Option("algorithms", words),
    Option("flow", text),
    Option("runs", integer(4), 32),
    Option("seed", integer(0, 2**63 - 1), 1),
    Option("threads", integer(1)),
    Option("device", text, "cpu"),
    Option("budget", positive),
    Option("sweeps", budgets),
    Option("reference-sweeps", integer(1)),
    Option("reference-replicas", integer(8), 64),
    Option("reference", text),
    Option("no-cache", flag, False),
    Option("start-temperature", positive),
    Option("target-energy-error", positive, 0.02),
    Option("target-heat-error", positive, 0.2),
    Option("output", text, "glassnf-compare", "o"),
    Option("overwrite", flag, False),
    Option("quick", flag, False),
    Option("quiet", flag, False),
    Option("json", flag, False),
)


def _settings(choices: Choices) -> Settings:
    from ..compare import Settings
    from ._runners.flow_file import load_flow

    quick = choices["quick"]
    temperatures = choices["temperature"] or ((QUICK_TEMPERATURE,) if quick else None)
    if temperatures is None:
        raise CommandError("--temperature (-T): expected one or several positive numbers, or --quick, got none")
    fixed = choices["sweeps"] is not None and (choices["reference-sweeps"] is not None or choices["reference"] is not None)
    if fixed and choices["budget"] is not None:
        raise CommandError("--budget: expected not to be given where --sweeps and the reference leave nothing to choose")
    reference = choices["reference"]
    with user_input():
        system = find_system(choices["system"], choices["particles"])
        return Settings(
            system=system,
            flow=None if choices["flow"] is None else load_flow(choices["flow"], system),
            temperatures=tuple(sorted(temperatures, reverse=True)),
            algorithms=choices["algorithms"],
            runs=choices["runs"],
            seed=choices["seed"],
            threads=choices["threads"],
            device=choices["device"],
            seconds=None if fixed else choices["budget"] or (QUICK_SECONDS if quick else SECONDS),
            sweeps=choices["sweeps"],
            reference_sweeps=choices["reference-sweeps"],
            reference_replicas=choices["reference-replicas"],
            reference=None if reference is None else Path(reference),
            cache=not choices["no-cache"],
            start_temperature=choices["start-temperature"],
            target_energy_error=choices["target-energy-error"],
            target_heat_error=choices["target-heat-error"],
        )


def _folder(choices: Choices) -> Path:
    """Return the folder for the results, made if need be, after checking that nothing is lost in it."""
    folder = Path(choices["output"])
    old = folder / "compare.json"
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"--output: expected a folder, got the file {folder}")
    if old.exists() and not (choices["overwrite"] or choices["quick"]):
        raise CommandError(f"--output: expected a folder without results, got {folder}, which has some; use --overwrite")
    with user_input():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def compare_command(given: dict[str, Any], config: str | None, command: list[str]) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    given
        Options from the command line by parameter name, None where not given.
    config
        Name of a TOML file with more of them, or None.
    command
        The command line, for the record.

    Raises
    ------
    CommandError
        If an option makes no sense.
    """
    from ..compare import compare, comparison_to_dict, write_files
    from ..compare.jsonable import dumps
    from ..compare.reference import read_reference

    choices = choose(OPTIONS, given, config)
    settings = _settings(choices)
    if settings.reference is not None:
        with user_input():
            for temperature in settings.temperatures:
                read_reference(settings.reference, settings.system, temperature)
    folder = _folder(choices)
    with Bar(choices["quiet"]) as bar:
        comparison = compare(settings, lambda event: _show(bar, event, len(settings.temperatures)))
    data = comparison_to_dict(comparison, command)
    with user_input():
        paths = write_files(data, folder)
    if choices["json"]:
        sys.stdout.write(dumps(data))
    elif not choices["quiet"]:
        _print(comparison, paths)
    return 0


def _show(bar: Bar, event: Event, temperatures: int) -> None:
    stage = event.label
    if event.temperature is not None and temperatures > 1:
        stage += f", T = {event.temperature:g}"
    bar.update(stage, event.done, event.total, "" if event.stage == "calibration" else _note(event))


def _note(event: Event) -> str:
    """Return the remark behind a bar: sweeps, and what the algorithm tells."""
    parts, info = [f"{event.done:,} sweeps"], event.info
    if "families" in info:
        parts += [f"T {info['temperature']:.3f}", f"{info['families']} families"]
    if "round_trips" in info:
        parts.append(f"{info['round_trips']} round trips")
    if "energy_per_particle" in info:
        parts.append(f"<U>/N {info['energy_per_particle']:.3f}")
    return ", ".join(parts)


def _print(comparison: Comparison, paths: list[Path]) -> None:
    from ..compare.report import tables

    print_tables(tables(comparison))
    several = len(comparison.results) > 1
    for result in comparison.results:
        for entry in result.algorithms:
            where = f" at T = {result.temperature:g}" if several else ""
            sys.stdout.write(f"{entry.spec.label}{where}: {entry.verdict.sentence}.\n")
    for note in comparison.notes:
        sys.stdout.write(f"Note: {note}\n")
    names = ", ".join(path.name for path in paths)
    sys.stdout.write(f"Wrote {names} to {paths[0].parent}{'' if str(paths[0].parent).endswith('/') else '/'}\n")
    sys.stdout.write(f"Took {comparison.seconds:.0f} s.\n")
