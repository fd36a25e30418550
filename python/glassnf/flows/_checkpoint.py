"""The checkpoint of a training: samples and layers finished so far, in one file that is replaced in one step."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check
from ..io.files import FileFormatError, atomic_write, existing_file, output_file
from ..io.npz import read_npz
from ..io.text import parse_json
from .regression import NodeSamples

__all__ = ["TrainingCheckpoint"]

_FORMAT = "glassnf training 1"


class TrainingCheckpoint:
    """What a training keeps to go on after an interruption.

    Parameters
    ----------
    path : str, path or None
        None: nothing is kept.
    settings : dict
        All that decides on the result; a checkpoint of other settings is refused.
    resume : bool
        Go on with the file, which must exist, instead of starting it anew.
    """

    def __init__(self, path: str | os.PathLike[str] | None, settings: dict[str, Any], resume: bool) -> None:
        self.path: Path | None = None if path is None else output_file(path)
        self.settings = json.loads(json.dumps(settings))
        self.nodes: list[NodeSamples] = []
        self.layers: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
        self.costs: list[tuple[float, int]] = []  # seconds and pair evaluations of the samples of each node
        if resume:
            if path is None:
                raise ValueError("checkpoint: expected the file to resume from, got None")
            self._read(existing_file(path))

    def add_node(self, samples: NodeSamples, seconds: float, pair_evaluations: int) -> None:
        """Keep the samples of one more temperature."""
        self.nodes.append(samples)
        self.costs.append((seconds, pair_evaluations))
        self._write()

    def add_layer(self, pair: npt.NDArray[np.float64], message: npt.NDArray[np.float64]) -> None:
        """Keep the coefficients of the field with one more layer."""
        self.layers.append((pair, message))
        self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        arrays: dict[str, Any] = {}
        for k, node in enumerate(self.nodes):
            arrays |= {f"positions_{k}": node.positions, f"species_{k}": node.species, f"groups_{k}": node.groups}
        for k, (pair, message) in enumerate(self.layers):
            arrays |= {f"pair_{k}": pair, f"message_{k}": message}
        about = {
            "format": _FORMAT,
            "settings": self.settings,
            "betas": [node.beta for node in self.nodes],
            "costs": self.costs,
            "layers": len(self.layers),
        }
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

    def _read(self, file: Path) -> None:
        try:
            content = read_npz(file)
            about = parse_json(content["about"].tobytes())
            if about["format"] != _FORMAT:
                raise FileFormatError(f"{file}: expected a checkpoint of a training, got {about['format']!r}")
            self._check_settings(file, about["settings"])
            self.nodes = [_node(content, k, beta) for k, beta in enumerate(about["betas"])]
            self.costs = [_cost(*cost) for cost in about["costs"]]
            if len(self.costs) != len(self.nodes):
                raise FileFormatError(f"{file}: expected {len(self.nodes)} costs, got {len(self.costs)}")
            count = _check.integer("layers", about["layers"], 0, len(content))
            self.layers = [
                (_coefficients(content, f"pair_{k}", 4), _coefficients(content, f"message_{k}", 5)) for k in range(count)
            ]
        except (AttributeError, KeyError, TypeError, OSError) as error:
            raise FileFormatError(
                f"{file}: expected a checkpoint of a training, got a damaged or another file ({error})"
            ) from error
        except ValueError as error:
            if isinstance(error, FileFormatError) or str(error).startswith("checkpoint:"):
                raise
            raise FileFormatError(
                f"{file}: expected a checkpoint of a training, got a damaged or another file ({error})"
            ) from error

    def _check_settings(self, file: Path, found: dict[str, Any]) -> None:
        for name, value in self.settings.items():
            if found.get(name) != value:
                raise ValueError(
                    f"checkpoint: expected one of the same training, got {str(file)!r} with "
                    f"{name} = {_check.describe(found.get(name))} instead of {value!r}"
                )


def _node(content: dict[str, npt.NDArray[Any]], k: int, beta: object) -> NodeSamples:
    """Return the samples of one temperature after a look at their shapes and numbers."""
    positions = _check.float_array(f"positions_{k}", content[f"positions_{k}"], (None, None, None))
    species = _check.int_array(f"species_{k}", content[f"species_{k}"], positions.shape[:2], low=0, dtype=np.int32)
    groups = _check.int_array(f"groups_{k}", content[f"groups_{k}"], positions.shape[:1], low=0)
    return NodeSamples(_check.positive_float("betas", beta), positions, species, groups)


def _cost(seconds: object, pairs: object) -> tuple[float, int]:
    return _check.nonnegative_float("costs", seconds), _check.nonnegative_int("costs", pairs)


def _coefficients(content: dict[str, npt.NDArray[Any]], name: str, axes: int) -> npt.NDArray[np.float64]:
    return _check.float_array(name, content[name], (None,) * axes)
