"""All wrong values in every argument of every public function: ``python -m bad_input.sweep [NAME ...]``, in the folder tests.

The tests draw a few of them. One line for each function, argument and kind of failure; the exit code is 1 if there is any.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from . import analysis_calls, flow_calls, sampling_calls
from .call import Call
from .values import all_wrong
from .verdict import judge_error, not_finite

MEMORY = 2 << 30  # bytes that a call may take beyond what the process has
SECONDS = 20.0


def limit_memory() -> None:
    """Bound the address space, so that a call that asks for all of the memory fails and does not take the machine with it."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def attempt(call: Call, argument: str, value: Any) -> str | None:
    """Return what a function does wrong when it is called with one argument replaced, or None."""
    function, arguments = call.make()
    begin = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = function(**{**arguments, argument: value})
        except Exception as error:
            return judge_error(error, argument, arguments, call.names)
    if time.monotonic() - begin > SECONDS:
        return f"{time.monotonic() - begin:.0f} seconds"
    return None if call.nan else not_finite(result)


def sweep(name: str, call: Call) -> tuple[int, dict[str, str]]:
    """Return the number of calls, and the failures by argument and kind."""
    count, failures = 0, {}
    _, arguments = call.make()
    for argument in call.judged:
        for value in all_wrong(arguments[argument], work=argument in call.work):
            count += 1
            faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
            problem = attempt(call, argument, value)
            if problem is not None:
                failures.setdefault(f"{name}({argument}): {problem.split(',')[0][:45]}", f"{value!r:.120} -> {problem}")
    faulthandler.cancel_dump_traceback_later()
    return count, failures


def main() -> int:
    """Sweep over the functions named on the command line, or all, and return the exit code."""
    wanted = sys.argv[1:]
    begin, total, failed = time.monotonic(), 0, 0
    calls = {**sampling_calls.calls(), **flow_calls.calls(), **analysis_calls.calls()}
    limit_memory()
    with tempfile.TemporaryDirectory() as empty:
        import os

        os.chdir(empty)
        for name, call in calls.items():
            if wanted and not any(word in name for word in wanted):
                continue
            count, failures = sweep(name, call)
            total, failed = total + count, failed + len(failures)
            for key, text in failures.items():
                print(f"{key.split('):', 1)[0]}) {text}".encode("unicode_escape").decode(), flush=True)
    print(f"{total} calls, {failed} failures, {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
