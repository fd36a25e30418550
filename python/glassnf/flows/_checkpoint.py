"""The checkpoint of a training: samples and layers finished so far, in one sealed HDF5 file.

Layout, besides what `glassnf.io.hdf5` describes::

    /training/about   JSON text: settings, inverse temperatures, number of layers
    /training/costs   (nodes, 2) float64: seconds and pair evaluations of the samples of each temperature
    /nodes/K          positions (n, N, d), species (n, N), groups (n,) at the K-th temperature
    /layers/K         pair, message: coefficients of the field with K + 1 layers

The file before the latest one stays beside it, as ``NAME.previous``, until the training is complete.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check
from ..io import hdf5
from ..io.files import (
    CheckpointWarning,
    DamagedFileError,
    FileFormatError,
    PreviousCheckpointWarning,
    Stamp,
    output_file,
    previous_file,
    stamp_of,
)
from ..io.runfile import differences, listed
from .regression import NodeSamples

__all__ = ["TrainingCheckpoint"]


class TrainingCheckpoint:
    """What a training keeps to go on after an interruption.

    A checkpoint that cannot be written is a `CheckpointWarning`, and the next one is tried all the same; the first, which says
    that the training has begun, must succeed.

    Parameters
    ----------
    path : str, path or None
        None: nothing is kept.
    settings : dict
        All that decides on the result; a checkpoint of other settings is refused.
    resume : bool
        Go on with the file, which must exist, or the one before it, instead of starting it anew.
    """

    def __init__(self, path: str | os.PathLike[str] | None, settings: dict[str, Any], resume: bool) -> None:
        self.path: Path | None = None if path is None else output_file(path)
        self.settings = json.loads(json.dumps(settings))
        self.nodes: list[NodeSamples] = []
        self.layers: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
        self.costs: list[tuple[float, int]] = []  # seconds and pair evaluations of the samples of each node
        self._stamp: Stamp | None = None  # of the file, if this object has written or read it
        if self.path is None:
            if resume:
                raise ValueError("checkpoint: expected the file to resume from, got None")
            return
        if resume:
            self._recover(self.path)
        else:
            self._write(self.path)
            previous_file(self.path).unlink(missing_ok=True)

    def add_node(self, samples: NodeSamples, seconds: float, pair_evaluations: int) -> None:
        """Keep the samples of one more temperature."""
        self.nodes.append(samples)
        self.costs.append((seconds, pair_evaluations))
        self._try_to_write()

    def add_layer(self, pair: npt.NDArray[np.float64], message: npt.NDArray[np.float64]) -> None:
        """Keep the coefficients of the field with one more layer."""
        self.layers.append((pair, message))
        self._try_to_write()

    def _try_to_write(self) -> None:
        if self.path is None:
            return
        try:
            self._write(self.path)
        except (OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or error or "not enough memory"
            message = f"{self.path}: the checkpoint could not be written ({reason}); the training goes on without it"
            warnings.warn(message, CheckpointWarning, stacklevel=4)

    def _write(self, path: Path) -> None:
        untouched = self._stamp is not None and self._stamp == stamp_of(path)
        about = {"settings": self.settings, "betas": [node.beta for node in self.nodes], "layers": len(self.layers)}
        with hdf5.create(path, keep_previous=untouched) as file:
            hdf5.write_header(file)
            group = file.create_group("training")
            hdf5.write_json(group, "about", about)
            hdf5.write_dataset(group, "costs", np.array(self.costs, dtype=np.float64).reshape(-1, 2))
            for k, node in enumerate(self.nodes):
                group = file.create_group(f"nodes/{k}")
                for name in ("positions", "species", "groups"):
                    hdf5.write_dataset(group, name, getattr(node, name))
            for k, (pair, message) in enumerate(self.layers):
                group = file.create_group(f"layers/{k}")
                hdf5.write_dataset(group, "pair", pair)
                hdf5.write_dataset(group, "message", message)
        self._stamp = stamp_of(path)

    # ---- reading -----------------------------------------------------------------------------------------------------------

    def _recover(self, path: Path) -> None:
        """Read the file, or the one before it where it is damaged or missing."""
        stamp = stamp_of(path)
        try:
            self._read(path)
            self._stamp = stamp
        except (DamagedFileError, FileNotFoundError) as error:
            previous = previous_file(path)
            if not previous.is_file():
                raise
            self._read(previous)
            warnings.warn(f"{error}; going on from that", PreviousCheckpointWarning, stacklevel=4)

    def _read(self, path: Path) -> None:
        with hdf5.open_for_reading(path) as file:
            about = hdf5.read_json(hdf5.read_group(file, "training"), "about")
            if not isinstance(about, dict) or not isinstance(about.get("settings"), dict):
                raise FileFormatError("training/about: expected the settings of a training, got something else")
            changed = differences(about["settings"], self.settings)
            nodes, costs, layers = ([], [], []) if changed else _content(file, about)
        if changed:
            raise ValueError(
                f"checkpoint: expected one of the same training, got {str(path)!r} with other settings (file != asked): "
                + listed(changed)
            )
        self.nodes, self.costs, self.layers = nodes, costs, layers


def _content(file: Any, about: dict[str, Any]) -> tuple[list[NodeSamples], list[tuple[float, int]], list[tuple[Any, Any]]]:
    """Return samples, their costs and the layers of a checkpoint, after checking that they belong together."""
    betas, count = about["betas"], about["layers"]
    if not isinstance(betas, list) or type(count) is not int or not 0 <= count <= 16:
        raise FileFormatError("training/about: expected inverse temperatures and a number of layers, got something else")
    costs = hdf5.read_dataset(hdf5.read_group(file, "training"), "costs", (len(betas), 2), np.float64)
    nodes = []
    for k, beta in enumerate(betas):
        group = hdf5.read_group(file, f"nodes/{k}")
        positions = hdf5.read_dataset(group, "positions", (None, None, None), np.float64)
        species = hdf5.read_dataset(group, "species", positions.shape[:2], np.int32)
        groups = hdf5.read_dataset(group, "groups", positions.shape[:1], np.int64)
        _check.float_array("positions", positions)
        _check.int_array("species", species, low=0)
        nodes.append(NodeSamples(_check.positive_float("betas", beta), positions, species, groups))
    layers = []
    for k in range(count):
        group = hdf5.read_group(file, f"layers/{k}")
        pair = hdf5.read_dataset(group, "pair", (None,) * 4, np.float64)
        message = hdf5.read_dataset(group, "message", (None,) * 5, np.float64)
        layers.append((_check.float_array("pair", pair), _check.float_array("message", message)))
    _check.float_array("costs", costs)
    return nodes, [(float(seconds), int(pairs)) for seconds, pairs in costs.tolist()], layers
