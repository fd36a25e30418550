"""Flows in safetensors files: numbers in tensors, everything else as JSON in the metadata; nothing in them is executed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._core import __version__
from ..io.files import FileFormatError, atomic_write, existing_file
from ..io.text import parse_json
from ..systems import System
from .message_field import MessageField
from .radial_flow import RadialFlow
from .report import TrainingReport
from .splines import RadialBasis, TemperatureBasis

__all__ = ["load", "save"]

_FORMAT = "glassnf.radial_flow"
_VERSION = 1
_MOST_STEPS = 2**20


def save(path: str | os.PathLike[str], flow: RadialFlow) -> None:
    """Write a flow to a safetensors file, in one step.

    The metadata have the system, the range of temperatures, the steps of the integrator, the radial bases, and the report of
    the training with the provenance of its samples.

    Parameters
    ----------
    path : str or path
    flow : RadialFlow

    Raises
    ------
    TypeError, OSError
        If `flow` is not a RadialFlow, or the file cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    if not isinstance(flow, RadialFlow):
        raise TypeError(f"flow: expected a RadialFlow, got {type(flow).__name__}")
    field = flow.field
    about = {
        "version": _VERSION,
        "glassnf": __version__,
        "system": flow.system.to_dict(),
        "system_hash": flow.system.hash,
        "hot": flow.hot,
        "cold": flow.cold,
        "steps": flow.steps,
        "pair_basis": [field.pair_basis.inner, field.pair_basis.outer, field.pair_basis.intervals],
        "message_basis": [field.message_basis.inner, field.message_basis.outer, field.message_basis.intervals],
        "beta_range": [field.temperature_basis.beta_hot, field.temperature_basis.beta_cold],
        "hash": flow.hash,
        "report": None if flow.report is None else flow.report.to_dict(),
    }
    tensors = {"pair": np.ascontiguousarray(field.pair), "message": np.ascontiguousarray(field.message)}
    content = to_bytes(tensors, metadata={"format": _FORMAT, "flow": json.dumps(about)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def load(path: str | os.PathLike[str], system: System | None = None) -> RadialFlow:
    """Read a flow.

    Parameters
    ----------
    path : str or path
        What `RadialFlow.save` wrote.
    system : System, optional
        The system that it is wanted for. Default: the one in the file.

    Returns
    -------
    RadialFlow

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is not such a file, or damaged.
    ValueError
        If the flow was trained for another system, composition or box; `RadialFlow.for_system` makes one for another size of
        the same liquid.
    """
    file = existing_file(path)
    if system is not None and not isinstance(system, System):
        raise TypeError(f"system: expected a System, got {type(system).__name__}")
    about, tensors = _read(file)
    try:
        flow = _flow_of(about, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise FileFormatError(f"{file}: not a flow that glassnf can use: {error}") from error
    if flow.hash != about.get("hash") or flow.system.hash != about.get("system_hash"):
        raise FileFormatError(f"{file}: the contents do not agree with the hash stored with them: the file is damaged")
    if system is not None and system != flow.system:
        raise ValueError(
            f"{file}: expected a flow trained for {system!r}, got one for {flow.system!r}{_difference(system, flow.system)}"
        )
    return flow


def _read(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the description and the tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as content:
            metadata = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in list(content.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        raise FileFormatError(f"{file}: expected a safetensors file, got something else or a damaged one ({error})") from None
    if metadata.get("format") != _FORMAT:
        found = metadata.get("format")
        raise FileFormatError(f"{file}: expected a flow of glassnf, got a safetensors file of format {found!r}")
    try:
        about = parse_json(metadata["flow"].encode("utf-8", "replace"))
    except (KeyError, ValueError) as error:
        raise FileFormatError(
            f"{file}: expected a description of the flow in the metadata, got none that can be read"
        ) from error
    if not isinstance(about, dict) or about.get("version") != _VERSION:
        version = about.get("version") if isinstance(about, dict) else None
        raise FileFormatError(f"{file}: expected version {_VERSION} of the format, got {version!r}")
    return about, tensors


def _flow_of(about: dict[str, Any], tensors: dict[str, Any]) -> RadialFlow:
    """Return the flow of a description."""
    system = System.from_dict(about["system"])
    bases = [RadialBasis(i, o, k) for i, o, k in (about["pair_basis"], about["message_basis"])]
    pair, message = (_check.float_array(name, tensors[name]) for name in ("pair", "message"))
    beta_hot, beta_cold = (_check.positive_float("beta_range", beta) for beta in about["beta_range"])
    _check.integer("steps", about["steps"], 1, _MOST_STEPS)
    temperature = TemperatureBasis(beta_hot, beta_cold, int(pair.shape[1]))
    field = MessageField(system.n_species, bases[0], bases[1], temperature, pair, message)
    report = None if about["report"] is None else TrainingReport.from_dict(about["report"])
    return RadialFlow(system, field, about["hot"], about["cold"], about["steps"], report)


def _difference(wanted: System, got: System) -> str:
    """Return the first thing in which two systems differ, as it reads at the end of a sentence."""
    if wanted.potential != got.potential:
        return ": their potentials differ"
    if wanted.composition != got.composition:
        return f": compositions {wanted.composition} and {got.composition}"
    return f": boxes {[float(x) for x in wanted.box]} and {[float(x) for x in got.box]}"
