"""``glassnf certify``: the samplers of this installation against exact answers, and a certificate."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._chain import catch_signals
from ._console import Bar, print_tables
from ._errors import INTERRUPTED, CommandError, fail, user_input, writing
from ._options import Choices, Option, choose, flag, fraction, integer, text, words

if TYPE_CHECKING:
    from rich.table import Table

    from ..certify import Certificate

__all__ = ["FAILED", "OPTIONS", "certify_command"]

FAILED: Final = 1
"""Exit code where a check has failed."""

OPTIONS: Final = (
    Option("quick", flag, False),
    Option("device", text, "cpu"),
    Option("seed", integer(0, 2**63 - 1), 1),
    Option("false-alarm-rate", fraction),
    Option("only", words),
    Option("verify", text),
    Option("threads", integer(1)),
    Option("output", text, None, ("o",)),
    Option("overwrite", flag, False),
    Option("quiet", flag, False),
    Option("json", flag, False),
)


def certify_command(given: dict[str, Any], config: str | None) -> int:
    """Run the command and return its exit code: 1 where a check has failed.

    Parameters
    ----------
    given
        Options from the command line by parameter name, None where not given.
    config
        Name of a TOML file with more of them, or None.

    Raises
    ------
    CommandError
        If an option makes no sense, or the checks are stopped; nothing has been written then.
    """
    choices = choose(OPTIONS, given, config)
    if choices["verify"] is not None:
        return _verify(choices)
    output = _file(choices)
    certificate = _certify(choices)
    try:
        if output is not None:
            with user_input(), writing(output):
                certificate.save(output)
    except CommandError as error:  # the checks are not lost: they have taken long
        _report(certificate, choices, None)
        fail(error.message, error.code, json=False)  # the object on the standard output is the certificate
        return error.code
    _report(certificate, choices, output)
    return 0 if certificate.passed else FAILED


def _file(choices: Choices) -> Path | None:
    from ..io.files import output_file

    if choices["output"] is None:
        return None
    with user_input():
        output = output_file(choices["output"])
    if output.exists() and not choices["overwrite"]:
        raise CommandError(f"--output: expected a new file, got {output}, which exists; use --overwrite")
    return output


def _certify(choices: Choices) -> Certificate:
    """Run the checks."""
    from ..certify import FALSE_ALARM, certify
    from ..certify.run import chosen_cases

    with user_input():
        chosen_cases(choices["only"])
    level = FALSE_ALARM if choices["false-alarm-rate"] is None else choices["false-alarm-rate"]
    if not 0.0 < level < 1.0:
        raise CommandError(f"--false-alarm-rate: expected a number between 0 and 1, got {level:g}")
    with catch_signals() as stop, Bar(choices["quiet"] or choices["json"]) as bar:

        def progress(done: int, total: int, info: dict[str, Any]) -> None:
            bar.update("checks", done, total, info["case"])
            if stop.number is not None:
                raise KeyboardInterrupt

        try:
            with user_input():
                return certify(
                    quick=choices["quick"],
                    device=choices["device"],
                    seed=choices["seed"],
                    level=level,
                    only=choices["only"],
                    threads=choices["threads"],
                    progress=progress,
                )
        except KeyboardInterrupt:
            code = INTERRUPTED if stop.number is None else stop.exit_code
            raise CommandError("stopped; there is no certificate", code) from None


def _verify(choices: Choices) -> int:
    from ..certify import load

    others = [f"--{option.key}" for option in OPTIONS if option.key in choices.explicit - {"verify", "quiet", "json"}]
    if others:
        raise CommandError(f"--verify: expected no other options than --quiet and --json, got {', '.join(others)}")
    with user_input():
        certificate = load(choices["verify"])
    problems = certificate.problems()
    if problems:
        raise CommandError(f"{choices['verify']}: " + "; ".join(problems), FAILED)
    _report(certificate, choices, None)
    return 0 if certificate.passed else FAILED


def _report(certificate: Certificate, choices: Choices, output: Path | None) -> None:
    """Say what was found."""
    data = certificate.data
    if choices["json"]:
        from ..compare.jsonable import dumps

        sys.stdout.write(dumps(data))
        return
    if choices["quiet"]:
        return
    print_tables([summary_table(certificate), *([failure_table(certificate)] if certificate.failures else [])])
    family = data["family"]
    smallest = family["smallest_p_value"]
    lines = [
        f"{'Passed' if certificate.passed else 'FAILED'}: {family['statistical_checks']} statistical checks"
        + ("" if smallest is None else f" (smallest p-value {smallest:.2g})")
        + f", {family['checks_without_chance']} without chance.",
        *_left_out(certificate),
        f"A correct program fails with a probability below {family['false_alarm_rate']:g}, all checks together.",
        f"Digest {certificate.digest} (a checksum, not a signature).",
    ]
    if output is not None:
        lines.append(f"Wrote {output}.")
    sys.stdout.write("\n".join(lines) + "\n")


def _left_out(certificate: Certificate) -> list[str]:
    """Return a line for each reason for which cases were not run."""
    reasons = Counter(check["reason"] for check in certificate.checks if check["outcome"] == "not run")
    return [f"Not run: {count} case{'s' if count > 1 else ''}, {reason}." for reason, count in reasons.items()]


def summary_table(certificate: Certificate) -> Table:
    """Return a table with a row for each sampler, device and precision of which something was run."""
    from rich.table import Table

    table = Table(title="Certification", title_justify="left")
    for name in ("sampler", "device", "precision", "checks", "failed", "smallest p", "not run"):
        table.add_column(name, justify="left" if name in ("sampler", "device", "precision") else "right", no_wrap=True)
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for check in certificate.checks:
        rows.setdefault((check["sampler"], check["device"], check["precision"]), []).append(check)
    for key, checks in rows.items():
        run = [check for check in checks if check["outcome"] != "not run"]
        if not run:
            continue
        p_values = [check["p_value"] for check in run if check["p_value"] is not None]
        failed = sum(check["outcome"] == "failed" for check in run)
        numbers = (
            str(len(run)),
            str(failed or ""),
            f"{min(p_values):.2g}" if p_values else "",
            str(len(checks) - len(run) or ""),
        )
        table.add_row(*key, *numbers, style="bold red" if failed else None)
    return table


def failure_table(certificate: Certificate) -> Table:
    """Return a table of the checks that have failed."""
    from rich.table import Table

    table = Table(title="Failed", title_justify="left")
    for name in ("check", "device", "observed", "expected", "error or limit", "p-value"):
        table.add_column(name, overflow="fold")

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.6g}"

    for check in certificate.failures:
        error = check["error"] if check["p_value"] is not None else check["limit"]
        numbers = (check["observed"], check["expected"], error, check["p_value"])
        table.add_row(check["name"], check["device"], *(number(value) for value in numbers))
    return table
