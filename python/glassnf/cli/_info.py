"""``glassnf info``: versions, hardware, instruction sets, CUDA, optional libraries."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["describe"]


def _device(entry: dict[str, Any]) -> str:
    if "error" in entry:
        return f"does not answer: {entry['error']}"
    return f"{entry['name']}, {entry['free'] / 2**30:.1f} of {entry['total'] / 2**30:.1f} GiB free"


def describe(data: dict[str, Any]) -> str:
    """Return the information as lines of text."""
    versions, hardware = data["versions"], data["hardware"]
    libraries = ", ".join(
        f"{name} {version or 'missing'}" for name, version in versions.items() if name not in ("glassnf", "python")
    )
    others = ", ".join(name for name in hardware["instruction_sets"] if name != hardware["instruction_set"])
    cuda = "available" if hardware["cuda"] else f"not used: {hardware['cuda_why_not']}"
    devices = [(entry["device"], _device(entry)) for entry in hardware["cuda_devices"]]
    lines = [
        ("glassnf", versions["glassnf"]),
        ("Python", f"{versions['python']} ({sys.executable})"),
        ("platform", data["platform"]),
        ("processor", hardware["cpu"]),
        ("threads", str(hardware["threads"])),
        ("instruction set", hardware["instruction_set"] + (f" (also built: {others})" if others else "")),
        ("CUDA", cuda),
        *devices,
        ("libraries", libraries),
    ]
    for entry in data["optional_libraries"]:
        state = entry["version"] or f"not installed: pip install 'glassnf[{entry['extra']}]'"
        lines.append((entry["name"], f"{state} ({entry['purpose']})"))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines) + "\n"
