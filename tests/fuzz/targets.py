"""The readers to fuzz: for each where it starts, what it does with the content of a file, and what it may answer.

A check raises nothing where the reader behaves: it returned something valid, or refused the file in one sentence.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glassnf.io import FileFormatError, container, load_ensemble, read_extxyz, read_gsd, read_lammps_dump, read_records
from glassnf.io.runfile import RunFile

from . import mutate, oracle, recipes, seeds

DIMENSIONS = (None, 2, 3)


@dataclass(frozen=True)
class Target:
    """A reader under test.

    Attributes
    ----------
    check
        Called with the content of a file.
    seeds
        Returns valid contents by name.
    modules
        Python modules whose branches the fuzzer follows.
    codec
        How to change values inside; None for bytes only.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], dict[str, bytes]]
    modules: tuple[str, ...]
    codec: mutate.Codec | None = None


@functools.cache
def folder() -> Path:
    """A folder in memory where there is one, removed at the end of the process."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    held = tempfile.TemporaryDirectory(prefix="glassnf-fuzz-", dir=memory)
    _held.append(held)
    return Path(held.name)


_held: list[Any] = []


def _file(name: str, content: bytes) -> Path:
    path = folder() / name
    path.write_bytes(content)
    return path


# -------------------------------------------------------------------------------------------------------------------- HDF5


def _read_hdf5(path: Path) -> None:
    ensemble = oracle.read(load_ensemble, path, FileFormatError)
    if ensemble is not None:
        oracle.valid_ensemble(ensemble)
    run = oracle.read(RunFile.open, path, FileFormatError)
    if run is not None:
        oracle.valid_ensemble(run.ensemble)
        oracle.valid_numbers(run.records)
        oracle.valid_numbers(run.counters)
        oracle.must(run.n_records >= 0, "records")
    records = oracle.read(read_records, path, FileFormatError)
    if records is not None:
        oracle.valid_numbers(records)


def check_hdf5(content: bytes) -> None:
    _read_hdf5(_file("input.h5", content))


def check_hdf5_forged(content: bytes) -> None:
    """As `check_hdf5`, with a seal that is right: what libhdf5 makes of bytes of somebody who means harm."""
    image = bytearray(content.ljust(container.BLOCK + 1, b"\0"))
    container.seal(memoryview(image))
    _read_hdf5(_file("input.h5", bytes(image)))


def check_hdf5_content(content: bytes) -> None:
    path = folder() / "input.h5"
    try:
        recipes.make_hdf5(path, recipes.read_recipe(content))
    except recipes.BadRecipe:
        return
    _read_hdf5(path)


def secret() -> Path:
    """A sound file beside the input, from which nothing must be read."""
    path = folder() / "secret.h5"
    if not path.exists():
        path.write_bytes(seeds.hdf5()["run"])
    return path


def hdf5_content_seeds() -> dict[str, bytes]:
    found = {}
    for name, content in seeds.hdf5().items():
        recipe = recipes.hdf5_recipe(_file("seed.h5", content))
        found[name] = json.dumps(recipe).encode()
        if name == "run":
            hostile = recipes.hostile_hdf5(recipe, Path("secret.h5"))
            found |= {f"{name}_{kind}": json.dumps(value).encode() for kind, value in hostile.items()}
    return found


# ------------------------------------------------------------------------------------------------------------ trajectories


def _read_frames(reader: Callable[..., Any], path: Path) -> None:
    for dimension in DIMENSIONS:
        frames = oracle.read(functools.partial(reader, dimension=dimension), path, FileFormatError)
        if frames is not None:
            oracle.valid_frames(frames)
            _to_ensemble(frames)


def _to_ensemble(frames: Any) -> None:
    """An ensemble of frames is valid, or there is none."""
    try:
        ensemble = frames.to_ensemble(seeds.little_system(frames.box.size), temperature=1.0)
    except ValueError as error:
        oracle.must(str(error).isprintable(), f"not a printable sentence: {error}")
        return
    oracle.valid_ensemble(ensemble)


def check_gsd(content: bytes) -> None:
    _read_frames(read_gsd, _file("input.gsd", content))


def check_gsd_content(content: bytes) -> None:
    path = folder() / "input.gsd"
    try:
        recipes.make_gsd(path, recipes.read_recipe(content))
    except recipes.BadRecipe:
        return
    _read_frames(read_gsd, path)


def gsd_content_seeds() -> dict[str, bytes]:
    made = {name: recipes.gsd_recipe(_file("seed.gsd", content)) for name, content in seeds.gsd().items()}
    return {name: json.dumps(recipe).encode() for name, recipe in made.items()}


def check_extxyz(content: bytes) -> None:
    _read_frames(read_extxyz, _file("input.xyz", content))


def check_lammps(content: bytes) -> None:
    _read_frames(read_lammps_dump, _file("input.dump", content))


# ------------------------------------------------------------------------------------------------------------ TOML and JSON


def _read_system(path: Path) -> None:
    from glassnf.systems import load

    system = oracle.read(load, path, (TypeError, ValueError))
    if system is not None:
        oracle.valid_system(system)


def check_system_toml(content: bytes) -> None:
    _read_system(_file("input.toml", content))


def check_system_json(content: bytes) -> None:
    _read_system(_file("input.json", content))


def check_config(content: bytes) -> None:
    from glassnf.cli import _compare, _sample, _train
    from glassnf.cli._errors import CommandError
    from glassnf.cli._options import choose

    path = _file("input.toml", content)
    for command in (_sample, _train, _compare):
        choices = oracle.read(lambda _, options=command.OPTIONS: choose(options, {}, str(path)), path, CommandError)
        if choices is not None:
            json.dumps({key: str(value) for key, value in choices.values.items()})


def check_comparison(content: bytes) -> None:
    """A compare.json: references are taken from it, and its pages and figures are drawn from it."""
    from glassnf import systems
    from glassnf.compare.reference import read_reference

    path = _file("compare.json", content)
    system = systems.ka2d()
    reference = oracle.read(lambda file: read_reference(file, system, 0.4), path, ValueError)
    if reference is not None:
        oracle.must(all(np.isfinite(number) for pair in reference.values() for number in pair), "reference")


def check_part(content: bytes) -> None:
    """A piece of an interrupted comparison: a result, a reference, or neither."""
    from glassnf.compare.parts import result_from_dict
    from glassnf.compare.reference import reference_from_dict

    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return
    for reader in (result_from_dict, reference_from_dict):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            reader(data)


# ------------------------------------------------------------------------------------------------------------------- flows


def check_flow(content: bytes) -> None:
    from glassnf.flows import FlowError, load

    path = _file("input.safetensors", _rehashed(content))
    flow = oracle.read(load, path, (FileFormatError, FlowError))
    if flow is None:
        return
    oracle.valid_system(flow.system)
    ensemble = seeds.little_ensemble()
    if flow.system == ensemble.system and flow.steps < 100:
        try:
            moved = flow.transport(ensemble.positions, ensemble.species, 1.0 / flow.hot, 1.0 / flow.cold, steps=2)
        except FlowError:  # coefficients of any size are finite, and where they carry a particle need not be
            return
        oracle.must(moved.positions.shape == ensemble.positions.shape, "shape of what a flow moves")


def _rehashed(content: bytes) -> bytes:
    """Put the right hashes into a flow, as one who means harm would do; bytes that are no flow stay as they are."""
    from glassnf.flows import storage

    try:
        value = mutate.SAFETENSORS[0](content)
        about = value["header"]["__metadata__"]["flow"]
        path = _file("hash.safetensors", content)
        flow = storage._flow_of(about, storage._read(path)[1])
        about["hash"], about["system_hash"] = flow.hash, flow.system.hash
        return mutate.SAFETENSORS[1](value)
    except Exception:
        return content


def check_training(content: bytes) -> None:
    from glassnf.flows._checkpoint import TrainingCheckpoint

    path = folder() / "input.training"
    try:
        recipes.make_hdf5(path, recipes.read_recipe(content))
    except recipes.BadRecipe:
        return

    def read(file: Path) -> TrainingCheckpoint:
        return TrainingCheckpoint(file, seeds.TRAINING_SETTINGS, resume=True)

    kept = oracle.read(read, path, ValueError)
    if kept is not None:
        oracle.valid_numbers({f"pair_{k}": pair for k, (pair, _) in enumerate(kept.layers)})


def training_seeds() -> dict[str, bytes]:
    made = {name: recipes.hdf5_recipe(_file("seed.h5", content)) for name, content in seeds.training().items()}
    return {name: json.dumps(recipe).encode() for name, recipe in made.items()}


LIBRARY = ("hdf5_forged",)
"""Targets that find faults of libraries in C, which the project cannot mend; see SECURITY.md. Not part of ``nox -s fuzz``."""

_IO = ("glassnf.io", "glassnf.systems", "glassnf._check", "glassnf.ensemble")

TARGETS: dict[str, Target] = {
    "hdf5": Target(check_hdf5, seeds.hdf5, _IO),
    "hdf5_forged": Target(check_hdf5_forged, seeds.hdf5, _IO),
    "hdf5_content": Target(check_hdf5_content, hdf5_content_seeds, _IO, mutate.JSON),
    "gsd": Target(check_gsd, seeds.gsd, (*_IO, "gsd.hoomd")),
    "gsd_content": Target(check_gsd_content, gsd_content_seeds, (*_IO, "gsd.hoomd"), mutate.JSON),
    "extxyz": Target(check_extxyz, seeds.extxyz, (*_IO, "extxyz")),
    "lammps": Target(check_lammps, seeds.lammps, (*_IO, "lammpsio")),
    "system_toml": Target(check_system_toml, seeds.system_toml, (*_IO, "tomllib"), mutate.TOML),
    "system_json": Target(check_system_json, seeds.system_json, (*_IO, "json"), mutate.JSON),
    "config": Target(check_config, seeds.config, (*_IO, "glassnf.cli", "tomllib"), mutate.TOML),
    "comparison": Target(check_comparison, seeds.comparison, ("glassnf.compare", "json"), mutate.JSON),
    "part": Target(check_part, seeds.parts, ("glassnf.compare", "json"), mutate.JSON),
    "flow": Target(check_flow, seeds.flow, (*_IO, "glassnf.flows", "json"), mutate.SAFETENSORS),
    "training": Target(check_training, training_seeds, (*_IO, "glassnf.flows", "json"), mutate.JSON),
}
