"""What a result depends on beside its parameters: versions, hardware, libraries."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

__all__ = ["cpu_model", "environment", "hardware", "versions"]

REQUIRED: Final = ("numpy", "h5py", "rich", "typer", "matplotlib")
PURPOSES: Final = {
    "analysis": "structure and dynamics observables",
    "io": "trajectory files of other programs",
    "flow": "normalizing flows, torch tensors",
    "cupy": "ensembles on the GPU, CuPy arrays",
}
"""What the extras of glassnf are for; which libraries belong to them the installed package knows."""

_REQUIREMENT: Final = re.compile(r"""([\w.-]+).*;.*extra\s*==\s*['"](\w+)['"]""")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def cpu_model() -> str:
    """Return the name of the processor, as the operating system gives it."""
    if sys.platform == "linux":
        try:
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
                if line.lower().startswith(("model name", "cpu model", "hardware")):
                    return " ".join(line.partition(":")[2].split())
        except OSError:
            pass
    if sys.platform == "darwin":
        try:
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    return platform.processor() or platform.machine() or "unknown"


def usable_threads() -> int:
    """Return the number of threads that this process may run at once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """Describe the machine: processor, threads, instruction sets, CUDA devices."""
    from .. import _core, cuda

    return {
        "cpu": cpu_model(),
        "machine": platform.machine(),
        "threads": usable_threads(),
        "instruction_set": _core.instruction_set(),
        "instruction_sets": list(_core.instruction_sets()),
        "cuda": cuda.is_available(),
        "cuda_why_not": cuda.why_not() or None,
        "cuda_devices": cuda_devices(),
    }


def cuda_devices() -> list[dict[str, Any]]:
    """Return name and memory in bytes of every CUDA device; of one that does not answer, why."""
    from .. import cuda

    found: list[dict[str, Any]] = []
    for ordinal in range(cuda.device_count()):
        entry: dict[str, Any] = {"device": f"cuda:{ordinal}"}
        try:
            entry["name"] = cuda.device_name(ordinal)
            entry.update(cuda.memory(ordinal)._asdict())
        except cuda.CudaError as error:
            entry["error"] = str(error)
        found.append(entry)
    return found


def versions() -> dict[str, str | None]:
    """Return the versions of glassnf, Python and the libraries it needs."""
    from .. import __version__

    return {"glassnf": __version__, "python": platform.python_version(), **{name: _version(name) for name in REQUIRED}}


def optional_libraries() -> list[dict[str, str | None]]:
    """Return each optional library with its version (None where it is not installed), its extra and what it is for."""
    try:
        requirements = importlib.metadata.requires("glassnf") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    found = []
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is not None and match[2] in PURPOSES:
            found.append({"name": match[1], "version": _version(match[1]), "extra": match[2], "purpose": PURPOSES[match[2]]})
    return found


def environment() -> dict[str, Any]:
    """Return versions, platform, hardware and optional libraries in one dict."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "hardware": hardware(),
        "optional_libraries": optional_libraries(),
    }
