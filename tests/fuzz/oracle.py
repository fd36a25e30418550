"""What a reader may do with a file that somebody else made: return something valid, or one sentence that names the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from glassnf.io import Frames
from glassnf.systems import System

LONGEST_SENTENCE = 1500


class Broken(AssertionError):
    """A reader did what it must not do."""


def sentence(error: BaseException, path: Path) -> None:
    """Check that an error is one printable sentence of reasonable length that names the file."""
    text = str(error)
    if not text.strip() or not text.isprintable():
        raise Broken(f"not a printable sentence: {text!r}") from error
    if len(text) > LONGEST_SENTENCE:
        raise Broken(f"{len(text)} characters: {text[:200]!r}") from error
    if path.name not in text:
        raise Broken(f"does not name the file: {text!r}") from error


def read(reader: Callable[[Path], Any], path: Path, refusal: type[Exception] | tuple[type[Exception], ...]) -> Any:
    """Return what a reader makes of a file, or None where it refuses it as it should; anything else it raises goes through."""
    try:
        return reader(path)
    except refusal as error:
        sentence(error, path)
        return None


def must(condition: bool, what: str) -> None:
    if not condition:
        raise Broken(what)


def valid_frames(frames: Frames) -> None:
    """Check all that the docstring of `Frames` promises."""
    shape = frames.positions.shape
    must(len(shape) == 3 and min(shape) > 0 and shape[2] == frames.box.size in (2, 3), f"shape {shape}")
    must(bool(np.isfinite(frames.positions).all() and np.isfinite(frames.box).all()), "NaN or infinity")
    must(bool((frames.box > 0.0).all()), "a box without extent")
    must(bool(((frames.positions >= 0.0) & (frames.positions < frames.box)).all()), "positions outside the box")
    must(frames.images.shape == shape and frames.images.dtype == np.int32, "images")
    must(frames.species.shape == shape[:2] and frames.species.dtype == np.int32, "species")
    must(bool((frames.species >= 0).all()) and int(frames.species.max()) < len(frames.types), "species without a name")
    must(len(set(frames.types)) == len(frames.types), "names that are not distinct")
    must(all(isinstance(name, str) and name.isprintable() for name in frames.types), "names that cannot be printed")
    must(frames.steps.shape == shape[:1] and frames.steps.dtype == np.int64, "steps")
    warm = frames.temperature
    must(warm is None or (warm.shape == shape[:1] and bool((np.isfinite(warm) & (warm > 0.0)).all())), "temperature")
    must(bool(np.isfinite(frames.unwrapped()).all()), "unwrapped coordinates")


def valid_system(system: System) -> None:
    """Check that a system describes itself: through a dictionary it comes back as it is."""
    must(isinstance(system, System), f"not a System: {type(system)}")
    must(bool(np.isfinite(system.box).all()) and system.n > 0, "box or number of particles")
    must(np.isfinite(system.density) and np.isfinite(system.volume), "density")
    must(System.from_dict(system.to_dict()) == system, "another system comes back")
    must(str(system).replace("\n", "").isprintable() and repr(system).isprintable(), "names that cannot be printed")


def valid_ensemble(ensemble: Any) -> None:
    ensemble.validate()
    valid_system(ensemble.system)
    for name in ("positions", "velocities", "beta", "energy", "move_size"):
        value = getattr(ensemble, name)
        must(value is None or bool(np.isfinite(value).all()), f"{name}: NaN or infinity")


def valid_numbers(arrays: dict[str, Any]) -> None:
    for name, array in arrays.items():
        must(isinstance(array, np.ndarray) and array.dtype.kind in "iufb", f"{name}: {type(array)}")
