"""Running the checks, one case after the other, and making the certificate."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from .. import _check, cuda
from .._optional import available
from .certificate import Certificate, assemble
from .plan import Case, Context, Finding

__all__ = ["FALSE_ALARM", "all_cases", "certify", "chosen_cases", "findings_of"]

FALSE_ALARM: Final = 0.005
"""Family-wise false-alarm rate: the probability that a correct program fails any statistical check of a certificate."""

Progress = Callable[[int, int, dict[str, Any]], None]


def all_cases() -> tuple[Case, ...]:
    """Return all cases, in the order in which they run."""
    from . import annealing, dynamics, flows, kernels, liquid, monte_carlo, observables, tempering

    modules = (kernels, observables, monte_carlo, dynamics, tempering, annealing, flows, liquid)
    return tuple(case for module in modules for case in module.CASES)


def chosen_cases(only: object) -> tuple[Case, ...]:
    """Return the cases whose names contain one of some words; all of them for None.

    Raises
    ------
    TypeError, ValueError
        If `only` is not a sequence of words, or one of them is in no name.
    """
    cases = all_cases()
    if only is None:
        return cases
    if not isinstance(only, (str, list, tuple)):
        raise TypeError(f"only: expected words from the names of checks, got {only!r}")
    words = [only] if isinstance(only, str) else list(only)
    for word in words:
        if not any(_check.string("only", word).lower() in case.name.lower() for case in cases):
            parts = dict.fromkeys(part for case in cases for part in case.sampler.split(", "))  # commas separate words
            samplers = ", ".join(repr(part) for part in parts)
            raise ValueError(f"only: expected words from the names of checks (such as {samplers}), got {word!r}")
    return tuple(case for case in cases if any(word.lower() in case.name.lower() for word in words))


def certify(
    *,
    quick: bool = False,
    device: str = "cpu",
    seed: int = 1,
    level: float = FALSE_ALARM,
    only: Sequence[str] | str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """Check every sampler against exact answers and against each other (`docs/certification.md`).

    Parameters
    ----------
    quick : bool
        Fewer samples and fewer systems: a minute of one core.
    device : str
        ``"cpu"``: checks of GPUs are entered as not run. ``"cuda"`` or ``"cuda:K"``: both kinds are run.
    seed : int
        From 0 to 2**63 - 1. Another seed makes an independent certificate.
    level : float
        Family-wise false-alarm rate of all statistical checks together.
    only : str or several, optional
        Words from the names of samplers and systems: what has none of them is entered as not run.
    threads : int, optional
        Of the CPU; never changes the numbers.
    progress : callable, optional
        ``progress(done, total, info)`` before each case, named by ``info["case"]``. A KeyboardInterrupt there ends it all.

    Returns
    -------
    Certificate

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    glassnf.cuda.CudaError, ImportError
        If the device cannot be used.
    """
    _check.boolean("quick", quick)
    place = cuda.find_device(device)
    seed = _check.integer("seed", seed, 0, 2**63 - 1)
    level = _check.probability("level", level)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    chosen = chosen_cases(only)
    settings = {"quick": quick, "device": place.name, "seed": seed, "level": level, "threads": threads}
    settings |= {"only": None if only is None else [only] if isinstance(only, str) else list(only)}
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    rows: list[dict[str, Any]] = []
    work = [(case, where) for case in all_cases() for where in case.devices]
    for done, (case, where) in enumerate(work):
        target = "cpu" if where == "cpu" else "cuda" if place.ordinal is None else place.name
        if progress is not None:
            progress(done, len(work), {"case": case.name, "device": target})
        context = Context(seed, f"{case.name}/{where}", quick, target, threads)
        why = _why_not(case, chosen, target, place.ordinal is None, quick)
        rows += [_row(case, target, None, 0.0, why)] if why else _rows(case, context)
    if progress is not None:
        progress(len(work), len(work), {"case": "", "device": ""})
    return assemble(settings, created, rows)


def _why_not(case: Case, chosen: tuple[Case, ...], target: str, on_cpu: bool, quick: bool) -> str:
    """Return why a case is not run, or nothing."""
    if case not in chosen:
        return "not chosen"
    if target != "cpu" and on_cpu:
        return cuda.why_not() or "the device of this certificate is cpu"
    if quick and not case.quick:
        return "not part of a quick certificate"
    if case.needs is not None and not available(case.needs):
        return f"{case.needs} is not installed"
    return ""


def findings_of(case: Case, context: Context) -> list[Finding]:
    """Run a case; one that raises an error, or compares nothing, has a failed finding that says so."""
    found: list[Finding] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found.extend(case.run(context))
        except Exception as error:
            found.append(Finding(f"{type(error).__name__}: {' '.join(str(error).split())}", limit=0.0))
    return found or [Finding("nothing was compared", limit=0.0)]


def _rows(case: Case, context: Context) -> list[dict[str, Any]]:
    start = time.perf_counter()
    found = findings_of(case, context)
    seconds = (time.perf_counter() - start) / max(len(found), 1)
    return [_row(case, context.device, finding, seconds, "") for finding in found]


def _row(case: Case, device: str, finding: Finding | None, seconds: float, why: str) -> dict[str, Any]:
    from .. import _core

    numbers = dataclasses.asdict(finding if finding is not None else Finding("all"))
    return {
        "name": f"{case.name}: {numbers['quantity']}",
        "sampler": case.sampler,
        "system": case.system,
        **numbers,
        "device": device,
        "instruction_set": _core.instruction_set() if device == "cpu" else None,
        "precision": case.precision,
        "outcome": "not run" if why else "run",
        "reason": why or None,
        "seconds": round(seconds, 4),
    }
