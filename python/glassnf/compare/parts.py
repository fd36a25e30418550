"""The pieces of a comparison that are done, kept in a folder, so that an interrupted comparison can go on.

A piece is a reference, or one algorithm at one temperature, with the choice of its settings. Each is a file that is written in
one step: a line with the SHA-256 of the rest, one with that of the settings of the comparison, and JSON. A damaged piece is
made again, and the pieces vouch for damaged settings. Floating-point numbers in JSON are exact, so a resumed comparison has the
numbers of an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..io.locks import Lock
from ..io.runfile import differences, listed
from ..io.text import parse_json
from .algorithms import Training, get_algorithm
from .analysis import ErrorCurve
from .jsonable import dumps, jsonable
from .reference import write_text
from .results import AlgorithmResult, Relaxation
from .settings import Settings
from .verdict import Check, Verdict

__all__ = ["Parts", "result_from_dict", "result_to_dict", "settings_to_dict"]

FOLDER: Final = "parts"
_SETTINGS: Final = "settings.json"
_LOCK: Final = ".glassnf-compare.lock"
_SEAL: Final = "sha256 "
_OF: Final = "of settings "


class Parts:
    """Pieces in the folder ``parts`` of a folder for results.

    Parameters
    ----------
    folder
        The folder for results.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._done_with = folder / f".{FOLDER}-removed"
        self._lock: Lock | None = None
        self._settings = ""

    @property
    def exist(self) -> bool:
        """Whether an interrupted comparison has left any."""
        return any(self._folder.glob("*.json"))

    def begin(self, settings: Settings, *, resume: bool) -> None:
        """Take the folder, and empty it, or, to resume, check that the pieces in it belong to a comparison with these settings.

        Raises
        ------
        ValueError
            If there is nothing to resume, the settings differ (the message lists where), or another process uses the folder.
        OSError
            If the folder cannot be written.
        """
        self._acquire()
        try:
            text = dumps(settings_to_dict(settings))
            self._settings = hashlib.sha256(text.encode()).hexdigest()
            if resume:
                self._check(settings)
                return
            self.remove()
            self._folder.mkdir(parents=True)
            self._write(_SETTINGS, settings_to_dict(settings))
        except BaseException:
            self.release()
            raise

    def _check(self, settings: Settings) -> None:
        if not self.exist:
            raise ValueError(f"resume: expected an interrupted comparison in {self._folder.parent}, got none")
        theirs = self._read(_SETTINGS)
        if theirs is None:
            if not any(self._read(path.name) for path in self._folder.glob("*.json")):
                what = f"the settings of a comparison in {self._folder / _SETTINGS}"
                raise ValueError(
                    f"resume: expected {what}, got something else, and no piece of one with the settings asked for"
                )
            self._write(_SETTINGS, settings_to_dict(settings))  # they were damaged, and the pieces name the same ones
            return
        changed = differences(theirs, json.loads(dumps(settings_to_dict(settings))))
        if changed:
            raise ValueError(
                f"resume: expected the settings of the interrupted comparison, got others (file != asked): {listed(changed)}"
            )

    def _acquire(self) -> None:
        """Lock the folder against other processes, until `release` or the end of this one, however it comes."""
        if self._lock is None:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            message = f"output: expected a folder of its own, got {self._folder.parent}, which another comparison is using"
            self._lock = Lock(self._folder.parent / _LOCK, message)

    def release(self) -> None:
        """Let other processes have the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def profile(self) -> str | None:
        """The profile of the comparison that the pieces belong to."""
        settings = self._read(_SETTINGS)
        return None if settings is None else settings.get("profile")

    def get(self, temperature: float, name: str) -> dict[str, Any] | None:
        """Return a piece, or None if there is none that can be read."""
        return self._read(_file(temperature, name))

    def put(self, temperature: float, name: str, piece: Mapping[str, Any]) -> None:
        """Keep a piece."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write(_file(temperature, name), piece)

    def count(self) -> int:
        """Return how many pieces there are."""
        return sum(1 for path in self._folder.glob("*.json") if path.name != _SETTINGS)

    def remove(self) -> None:
        """Remove all pieces: they lose their name in one step, and what a kill leaves of them goes the next time."""
        self._sweep()
        if self._folder.is_dir():
            self._folder.rename(self._done_with)
            self._sweep()

    def _sweep(self) -> None:
        if self._done_with.is_dir():
            shutil.rmtree(self._done_with)

    def _write(self, file: str, content: Mapping[str, Any]) -> None:
        text = f"{_OF}{'' if file == _SETTINGS else self._settings}\n{dumps(content)}"
        write_text(self._folder / file, f"{_SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n{text}")

    def _read(self, file: str) -> dict[str, Any] | None:
        """Return the content of a file, or None if there is none, it is damaged, or a piece of another comparison."""
        try:
            first, _, text = (self._folder / file).read_text(encoding="utf-8").partition("\n")
            if first != f"{_SEAL}{hashlib.sha256(text.encode()).hexdigest()}":
                return None
            settings, _, content = text.partition("\n")
            if settings != f"{_OF}{'' if file == _SETTINGS else self._settings}":
                return None
            data = parse_json(content.encode("utf-8"))
        except (OSError, ValueError):
            return None
        return data if isinstance(data, dict) else None


def _file(temperature: float, name: str) -> str:
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
    return f"{temperature!r}-{safe}.json"


def settings_to_dict(settings: Settings) -> dict[str, Any]:
    """Return all settings, in terms of JSON."""
    from .. import __version__

    known = {field.name: getattr(settings, field.name) for field in fields(settings)}
    flow = known.pop("flow")
    return {
        **{name: jsonable(value) for name, value in known.items() if name != "system"},
        "system": settings.system.hash,
        "flow": None if flow is None else jsonable(flow.describe()),
        "glassnf": __version__,
    }


def result_to_dict(result: AlgorithmResult) -> dict[str, Any]:
    """Return all of a result but the curves, which follow from the rest and the reference."""
    return {
        field.name: jsonable(getattr(result, field.name)) for field in fields(result) if field.name not in ("spec", "curves")
    } | {"name": result.spec.name}


def result_from_dict(data: Mapping[str, Any], curves: Mapping[tuple[str, str], ErrorCurve] | None = None) -> AlgorithmResult:
    """Return the result that `result_to_dict` has made a dict of, with other curves.

    Raises
    ------
    KeyError, TypeError, ValueError
        If something is missing or of the wrong kind.
    """
    trace, training = data["relaxation"], data["training"]
    return AlgorithmResult(
        spec=get_algorithm(data["name"]),
        sweeps=np.array(data["sweeps"], dtype=np.int64),
        costs={kind: _array(series) for kind, series in data["costs"].items()},
        estimates={name: _array(series) for name, series in data["estimates"].items()},
        curves=dict(curves or {}),
        verdict=_verdict(data["verdict"]),
        relaxation=Relaxation(
            np.array(trace["sweeps"], dtype=np.int64), *(_array(trace[name]) for name in ("wall_time", "mean", "error"))
        ),
        report=data["report"],
        seed=data["seed"],
        tuning=data["tuning"],
        training=None if training is None else Training(**_numbers(training)),
        diagnostics=data["diagnostics"],
    )


def _numbers(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict with NaN in place of None, which is what JSON has for it."""
    return {name: math.nan if value is None else value for name, value in data.items()}


def _verdict(data: Any) -> Verdict:
    """Return a verdict; None stands for NaN in its numbers, but not in its outcomes."""
    outcomes = [data["equilibrated"], *(check["outcome"] for check in data["checks"])]
    if not all(outcome is None or isinstance(outcome, bool) for outcome in outcomes):
        raise ValueError(f"verdict: expected outcomes that are true, false or null, got {outcomes}")
    checks = tuple(Check(**{**_numbers(check), "outcome": check["outcome"]}) for check in data["checks"])
    return Verdict(**{**_numbers(data), "equilibrated": data["equilibrated"], "checks": checks})


def _array(values: Any) -> Any:
    if values and isinstance(values[0], list):
        return np.array([[math.nan if value is None else value for value in row] for row in values], dtype=np.float64)
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
