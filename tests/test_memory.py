"""Memory stays flat over 10^4 calls of every entry point; the sizes that are measured are those of the process."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
CALLS = 10_000
PARTS = 5

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="this system does not say how much memory is in use"
)

# Growth in bytes a call. An array or a list that is lost is at least 100.
LIMIT = 100.0

LEAK = "a leak of one array a call"


def resident() -> int:
    """Return the memory of this process, in bytes, as the system counts it."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(name: str, calls: int) -> float:
    """Return by how many bytes a call memory grows: the median of five parts, because allocators grow in single steps."""
    import memory_calls

    call = (memory_calls.leak if name == LEAK else memory_calls.CALLS[name])()
    for _ in range(calls // 10):
        call()
    gc.collect()
    before, grown = resident(), []
    for _ in range(PARTS):
        for _ in range(calls // PARTS):
            call()
        gc.collect()
        grown.append((resident() - before) / (calls // PARTS))
        before = resident()
    return statistics.median(grown)


def measure(names: list[str], calls: int) -> dict[str, float]:
    """Measure in a process of its own, where nothing else allocates."""
    program = (
        "import sys, test_memory as t\n"
        "for name in sys.argv[2:]: print(name, t.growth(name, int(sys.argv[1])), sep='\\t', flush=True)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(calls), *names], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: float(value) for name, value in (line.split("\t") for line in done.stdout.splitlines())}


@needs_proc
@pytest.mark.slow
def test_memory_stays_flat() -> None:
    import memory_calls

    found = measure(list(memory_calls.CALLS), CALLS)
    assert found.keys() == memory_calls.CALLS.keys()
    assert {name: value for name, value in found.items() if value > LIMIT} == {}, found


@needs_proc
def test_memory_stays_flat_of_the_fastest_calls() -> None:
    names = ["energy", "forces", "monte carlo", "molecular dynamics"]
    assert {name: value for name, value in measure(names, 1000).items() if value > 5 * LIMIT} == {}


@needs_proc
def test_a_leak_is_seen() -> None:
    found = measure(["energy", LEAK], 1000)
    assert found[LEAK] > 2 * LIMIT
