"""``glassnf compare``: which algorithm samples a supercooled liquid, at what cost."""

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..compare.settings import TUNING_SHARE
from ._chain import StopRequest, catch_signals
from ._console import Bar, print_tables
from ._errors import INTERRUPTED, CommandError, user_input, writing
from ._options import Choices, Option, choose, duration, flag, floats, fraction, integer, positive, text, words
from ._sample import find_system

if TYPE_CHECKING:
    from ..compare import Event, Settings

__all__ = ["OPTIONS", "compare_command"]


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
    Option("particles", integer(1), None, ("n",)),
    Option("temperatures", floats, None, ("T", "temperature")),
    Option("quick", flag, False),
    Option("full", flag, False),
    Option("algorithms", words),
    Option("sampler", words),
    Option("flow", text),
    Option("runs", integer(4), 32),
    Option("seed", integer(0, 2**63 - 1), 1),
    Option("threads", integer(1)),
    Option("device", text, "cpu"),
    Option("budget", duration),
    Option("tuning", fraction, TUNING_SHARE),
    Option("sweeps", budgets),
    Option("reference-sweeps", integer(1)),
    Option("reference-replicas", integer(8), 64),
    Option("reference", text),
    Option("no-cache", flag, False),
    Option("start-temperature", positive),
    Option("target-energy-error", positive, 0.02),
    Option("target-heat-error", positive, 0.2),
    Option("output", text, "glassnf-compare", ("o",)),
    Option("overwrite", flag, False),
    Option("resume", flag, False),
    Option("quiet", flag, False),
    Option("json", flag, False),
)


@dataclass(frozen=True)
class Profile:
    """What is compared where nothing else is asked for: temperatures, and the time for all."""

    temperatures: tuple[float, ...]
    seconds: float
    stop_when_failed: bool = False


PROFILES: Final = {
    "quick": Profile((0.4,), 270.0),
    "default": Profile((0.4, 0.3, 0.25), 3600.0),
    "full": Profile((0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2), 8 * 3600.0, stop_when_failed=True),
}
"""Temperatures in epsilon / k_B, those of ka2d; seconds."""


def _profile(choices: Choices) -> str:
    if choices["quick"] and choices["full"]:
        raise CommandError("--full: expected not to be given with --quick")
    return "quick" if choices["quick"] else "full" if choices["full"] else "default"


def _settings(choices: Choices) -> Settings:
    from ..compare import Settings
    from ..compare.plugin import load_samplers
    from ..compare.settings import usual_algorithms
    from ._runners.flow_file import load_flow

    name = _profile(choices)
    profile = PROFILES[name]
    fixed = choices["sweeps"] is not None and (choices["reference-sweeps"] is not None or choices["reference"] is not None)
    if fixed and choices["budget"] is not None:
        raise CommandError("--budget: expected not to be given where --sweeps and the reference leave nothing to choose")
    reference = choices["reference"]
    with user_input():
        system = find_system(choices["system"], choices["particles"])
        temperatures = choices["temperatures"] or (profile.temperatures if system.name == "ka2d" else None)
        if temperatures is None:
            raise CommandError("--temperatures (-T): expected one or several positive numbers for this system, got none")
        flow = None if choices["flow"] is None else load_flow(choices["flow"], system)
        own = tuple(spec.name for spec in load_samplers(choices["sampler"] or ()))
        named = choices["algorithms"] or usual_algorithms(system, temperatures, flow)
        return Settings(
            system=system,
            flow=flow,
            temperatures=tuple(sorted(temperatures, reverse=True)),
            algorithms=(*named, *(name for name in own if name not in named)),
            runs=choices["runs"],
            seed=choices["seed"],
            threads=choices["threads"],
            device=choices["device"],
            seconds=None if fixed else choices["budget"] or profile.seconds,
            sweeps=choices["sweeps"],
            reference_sweeps=choices["reference-sweeps"],
            reference_replicas=choices["reference-replicas"],
            reference=None if reference is None else Path(reference),
            cache=not choices["no-cache"],
            start_temperature=choices["start-temperature"],
            target_energy_error=choices["target-energy-error"],
            target_heat_error=choices["target-heat-error"],
            tuning=choices["tuning"],
            stop_when_failed=profile.stop_when_failed,
            profile=name,
        )


def _folder(choices: Choices) -> Path:
    """Return the folder for the results, made if need be, after checking that nothing is lost in it."""
    from ..compare.parts import Parts

    folder = Path(choices["output"])
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"--output: expected a folder, got the file {folder}")
    if choices["resume"] and choices["overwrite"]:
        raise CommandError("--overwrite: expected not to be given with --resume")
    careful = not (choices["overwrite"] or choices["resume"])
    old = folder / "compare.json"
    if careful and old.exists() and not (choices["quick"] and _profile_of(old) == "quick"):
        raise CommandError(f"--output: expected a folder without results, got {folder}, which has some; use --overwrite")
    parts = Parts(folder)
    if careful and parts.exist and not (choices["quick"] and parts.profile == "quick"):
        raise CommandError(
            f"--output: expected an empty folder, got {folder} with an interrupted comparison; use --resume or --overwrite"
        )
    with user_input():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _profile_of(path: Path) -> str | None:
    """Return the profile of the comparison in a compare.json; --quick replaces the results of --quick, and no others."""
    from ..io.text import read_json

    try:
        profile = read_json(path)["settings"]["profile"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return profile if isinstance(profile, str) else None


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
    from ..compare import comparison_to_dict, write_files
    from ..compare.jsonable import dumps
    from ..compare.parts import Parts
    from ..compare.runner import check_reference, compare_in_parts

    choices = choose(OPTIONS, given, config)
    settings = _settings(choices)
    with user_input():
        check_reference(settings)
    folder = _folder(choices)
    parts = Parts(folder)
    with user_input(), writing(folder):
        parts.begin(settings, resume=choices["resume"])
    stop = StopRequest()
    try:
        with catch_signals(at_once=True) as stop:
            with _Display(settings, choices["quiet"]) as display:
                comparison = compare_in_parts(settings, display.show, parts)
            data = comparison_to_dict(comparison, command)
            with user_input(), writing(folder, f"; {parts.count()} finished pieces are kept, go on with --resume"):
                paths = write_files(data, folder)
    except KeyboardInterrupt:
        again = [word for word in command if word not in ("--overwrite", "--resume")]
        how = "terminated" if stop.number == signal.SIGTERM else "interrupted"
        words = f"{how}; {parts.count()} finished pieces are kept, go on with: {shlex.join([*again, '--resume'])}"
        raise CommandError(words, INTERRUPTED if stop.number is None else stop.exit_code) from None
    finally:
        parts.release()
    if choices["json"]:
        sys.stdout.write(dumps(data))
    elif not choices["quiet"]:
        _print(data, paths)
    return 0


class _Display:
    """Progress of a comparison: a bar for the whole, a bar for what is under way, and a line for everything that is done."""

    def __init__(self, settings: Settings, quiet: bool) -> None:
        self._settings = settings
        self._bar = Bar(quiet)
        self._stage: str | None = None
        self._done = 0

    def __enter__(self) -> _Display:
        self._bar.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.__exit__(*exception)

    def show(self, event: Event) -> None:
        """Hear an event."""
        stage = f"T = {event.temperature:g}, {event.label}"
        total = len(self._settings.temperatures) * len(self._settings.algorithms)
        if stage != self._stage:
            if self._stage is not None:
                self._bar.remove(self._stage)
            self._stage = stage
            self._bar.update("comparison", self._done, total, f"{self._done} of {total}")
        if event.finished is not None:
            self._done += 1
            self._bar.update("comparison", self._done, total, f"{self._done} of {total}")
            self._bar.say(event.finished)
        else:
            self._bar.update(stage, event.done, event.total, _note(event))


def _note(event: Event) -> str:
    """Return the remark behind a bar: sweeps, and what the algorithm tells."""
    info = event.info
    if info.get("tuning"):
        return "choosing its settings"
    parts = [f"{event.done:,.0f} sweeps"]
    if "families" in info:
        parts += [f"T {info['temperature']:.3f}", f"{info['families']} families"]
    if "round_trips" in info:
        parts.append(f"{info['round_trips']} round trips")
    if "energy_per_particle" in info:
        parts.append(f"<U>/N {info['energy_per_particle']:.3f}")
    return ", ".join(parts)


def _print(data: dict[str, Any], paths: list[Path]) -> None:
    from ..compare.report import sentences, tables

    print_tables(tables(data))
    for sentence in sentences(data):
        sys.stdout.write(f"{sentence}\n")
    names = ", ".join(path.name for path in paths)
    sys.stdout.write(f"Wrote {names} to {paths[0].parent}{'' if str(paths[0].parent).endswith('/') else '/'}\n")
    sys.stdout.write(f"Took {data['seconds']:.0f} s.\n")
