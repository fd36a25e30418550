"""The certificate: what was checked where, with what outcome, as data, and a digest over all of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from .. import _check
from .statistics import holm

__all__ = ["FORMAT", "Certificate", "load"]

FORMAT: Final = "glassnf certificate"
_VERSION: Final = 1
_MOST_BYTES: Final = 64 * 2**20
_REQUIRED: Final = ("format", "format_version", "created", "settings", "environment", "family", "passed", "checks", "digest")


@dataclass(frozen=True)
class Certificate:
    """The result of `certify`.

    Attributes
    ----------
    data : dict
        What is written to the file: ``format``, ``format_version``, ``created``, ``settings`` (quick, device, seed, level),
        ``environment`` (versions, hardware), ``family`` (statistical checks, level, smallest p-value, largest one rejected),
        ``passed``, ``checks``, and ``digest``, the SHA-256 of all the rest as canonical JSON.
    """

    data: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether no check has failed."""
        return bool(self.data["passed"])

    @property
    def checks(self) -> list[dict[str, Any]]:
        """One entry for each comparison: sampler, system, quantity, device, precision, outcome, numbers."""
        found: list[dict[str, Any]] = self.data["checks"]
        return found

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The checks that have failed."""
        return [check for check in self.checks if check["outcome"] == "failed"]

    @property
    def digest(self) -> str:
        """The digest that the certificate bears."""
        return str(self.data["digest"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the certificate as JSON.

        Raises
        ------
        OSError
            If it cannot be written; a file that was there is as it was.
        """
        from ..compare.jsonable import dumps
        from ..io.files import atomic_write

        with atomic_write(path) as temporary:
            Path(temporary).write_text(dumps(self.data), encoding="utf-8")

    def problems(self) -> list[str]:
        """Return what does not hold together. Empty: nothing.

        Digest, outcomes, numbers of the family and verdict are made anew from all the rest and compared; every check is there
        once, and what was not run has a reason. The digest is no signature: whoever alters a certificate can make a new one.
        """
        found = []
        level = float(self.data["settings"]["level"])
        if digest_of(self.data) != self.digest:
            found.append("digest: expected that of the contents, got another: the file has been altered")
        found += _inconsistent(self.checks)
        outcomes = judge([dict(check) for check in self.checks], level)
        wrong = [a["name"] for a, b in zip(self.checks, outcomes, strict=True) if a["outcome"] != b["outcome"]]
        if wrong:
            found.append(f"checks: expected outcomes that follow from the numbers, got others in {len(wrong)}: {wrong[0]}")
        for name, value in family_of(outcomes, level).items():
            got = self.data["family"].get(name)
            if got != value or isinstance(got, bool):
                found.append(f"family: expected {name} {value}, which follows from the rest, got {got}")
        if self.passed != verdict(outcomes):
            found.append(f"passed: expected {verdict(outcomes)}, which follows from the checks, got {self.passed}")
        return found


def _inconsistent(checks: list[dict[str, Any]]) -> list[str]:
    """Return a check whose reason does not go with its outcome, or that is there twice, in a sentence; or nothing."""
    found = []
    numbers = ("p_value", "observed", "expected", "limit")
    for check in checks:
        left = check["outcome"] == "not run"
        if left and (not check["reason"] or any(check[name] is not None for name in numbers)):
            found.append(f"checks: expected a reason and no numbers where nothing was run, got others: {check['name']}")
        elif check["reason"] and not left:
            found.append(f"checks: expected no reason where a check was run, got one: {check['name']}")
    count = Counter((check["name"], check["device"], check["precision"]) for check in checks)
    found += [f"checks: expected each one once, got {n} times: {name}" for (name, *_), n in count.items() if n > 1]
    return found[:1]


def family_of(checks: list[dict[str, Any]], level: float) -> dict[str, Any]:
    """Return how many checks of which kind there are, and what holds for all of them together."""
    run = [check for check in checks if check["outcome"] != "not run"]
    p_values = [check["p_value"] for check in run if check["p_value"] is not None]
    return {
        "method": "Holm",
        "false_alarm_rate": level,
        "statistical_checks": len(p_values),
        "checks_without_chance": len(run) - len(p_values),
        "not_run": len(checks) - len(run),
        "smallest_p_value": min(p_values, default=None),
    }


def verdict(checks: list[dict[str, Any]]) -> bool:
    """Return whether something was checked, and nothing has failed."""
    outcomes = {check["outcome"] for check in checks}
    return "passed" in outcomes and "failed" not in outcomes


def judge(checks: list[dict[str, Any]], level: float) -> list[dict[str, Any]]:
    """Set the outcome of every check that was run, in place: by Holm's method for p-values, by limits for the rest."""
    chance = [check for check in checks if check["outcome"] != "not run" and check["p_value"] is not None]
    if chance:
        rejected = holm(np.array([check["p_value"] for check in chance]), level)
        for check, no in zip(chance, rejected, strict=True):
            check["outcome"] = "failed" if no else "passed"
    for check in checks:
        if check["outcome"] != "not run" and check["p_value"] is None:
            numbers = (check["observed"], check["expected"], check["limit"])
            good = None not in numbers and abs(numbers[0] - numbers[1]) <= numbers[2]
            check["outcome"] = "passed" if good else "failed"
    return checks


def digest_of(data: dict[str, Any]) -> str:
    """Return the SHA-256 of everything but the digest, as JSON with sorted keys and no spaces."""
    rest = {name: value for name, value in data.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: str | os.PathLike[str]) -> Certificate:
    """Read a certificate; `Certificate.problems` says whether it holds together.

    Raises
    ------
    TypeError
        If `path` is not a path.
    OSError
        If the file cannot be read.
    ValueError
        If it is not a certificate.
    """
    from ..io.text import parse_json, read_bytes

    content = read_bytes(path, _MOST_BYTES)
    shown = _check.printable(os.fspath(path))
    try:
        data = parse_json(content, parse_constant=_no_constant)
    except ValueError as error:
        raise ValueError(f"{shown}: expected a certificate, got a file that is not JSON") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"{shown}: expected a certificate of glassnf, got something else")
    if data.get("format_version") != _VERSION:
        raise ValueError(f"{shown}: expected a certificate of version {_VERSION}, got {data.get('format_version')!r}")
    data = _check.keys(shown, data, required=_REQUIRED, optional=())
    _check_contents(shown, data)
    return Certificate(data)


def _no_constant(name: str) -> None:
    raise ValueError(f"expected finite numbers, got {name}")


def _check_contents(shown: str, data: dict[str, Any]) -> None:
    def number(value: object) -> bool:
        return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf"))

    checks = data["checks"]
    good = isinstance(checks, list) and isinstance(data["passed"], bool) and isinstance(data["settings"], dict)
    level = data["settings"].get("level") if good else None
    good = good and isinstance(level, float) and 0.0 < level < 1.0 and isinstance(data["family"], dict)
    for check in checks if good else ():
        good = good and isinstance(check, dict)
        good = good and all(isinstance(check.get(name), str) for name in ("name", "sampler", "device", "precision"))
        good = good and isinstance(check.get("reason", 0), (str, type(None)))
        good = good and check.get("outcome") in ("passed", "failed", "not run")
        good = good and all(
            name in check and number(check[name]) for name in ("p_value", "observed", "expected", "error", "limit")
        )
        good = good and (check["p_value"] is None or 0.0 <= check["p_value"] <= 1.0)
    if not good:
        raise ValueError(f"{shown}: expected a certificate of glassnf, got one whose contents are not as they must be")


def assemble(settings: dict[str, Any], created: str, checks: list[dict[str, Any]]) -> Certificate:
    """Judge the checks and return the certificate."""
    from ..compare.environment import environment
    from ..compare.jsonable import jsonable

    judge(checks, settings["level"])
    data = {
        "format": FORMAT,
        "format_version": _VERSION,
        "created": created,
        "settings": settings,
        "environment": environment(),
        "family": family_of(checks, settings["level"]),
        "passed": verdict(checks),
        "checks": checks,
    }
    plain = json.loads(json.dumps(jsonable(data), allow_nan=False))
    return Certificate(plain | {"digest": digest_of(plain)})
