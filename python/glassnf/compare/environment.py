"""What a result depends on beside its parameters: versions, hardware, libraries."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

__all__ = ["cpu_model", "environment", "hardware", "versions"]

REQUIRED: Final = ("numpy", "h5py", "rich", "typer", "matplotlib")
OPTIONAL: Final[dict[str, tuple[str, str]]] = {
    "freud-analysis": ("analysis", "structure and dynamics observables"),
    "scipy": ("analysis", "structure and dynamics observables"),
    "gsd": ("io", "GSD trajectories"),
    "ase": ("io", "extended XYZ and LAMMPS files"),
    "chemfiles": ("io", "extended XYZ and LAMMPS files"),
    "torch": ("flow", "normalizing flows, torch tensors"),
    "cupy": ("cupy", "CuPy arrays"),
}


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
    """Describe the machine: processor, threads, instruction sets, CUDA device."""
    from .. import _core, cuda

    available = bool(cuda.is_available())
    return {
        "cpu": cpu_model(),
        "machine": platform.machine(),
        "threads": usable_threads(),
        "instruction_set": _core.instruction_set(),
        "instruction_sets": list(_core.instruction_sets()),
        "cuda": available,
        "cuda_why_not": None if available else cuda.why_not(),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of glassnf, Python and the libraries it needs."""
    from .. import __version__

    return {"glassnf": __version__, "python": platform.python_version(), **{name: _version(name) for name in REQUIRED}}


def optional_libraries() -> list[dict[str, str | None]]:
    """Return each optional library with its version (None where it is not installed), its extra and what it is for."""
    found = []
    for name, (extra, purpose) in OPTIONAL.items():
        version = _version(name)
        if name == "cupy" and version is None:  # its wheels are named after the CUDA version they are built for
            version = next((v for v in (_version("cupy-cuda13x"), _version("cupy-cuda12x")) if v is not None), None)
        found.append({"name": name, "version": version, "extra": extra, "purpose": purpose})
    return found


def environment() -> dict[str, Any]:
    """Return versions, platform, hardware and optional libraries in one dict."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "hardware": hardware(),
        "optional_libraries": optional_libraries(),
    }
