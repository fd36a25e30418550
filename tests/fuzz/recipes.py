"""HDF5 and GSD files made by the libraries of these formats from a description in JSON, so that they are sound but hostile.

A fuzzer that changes bytes of an HDF5 file tests the HDF5 library. One that changes a recipe tests the reader: groups where
arrays should be, arrays of other shapes and types, shapes without data, links to other files, filters, text that is not JSON.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

MOST_BYTES = 1 << 20  # of an array that a recipe makes
MOST_PROMISED = 1 << 48  # elements that an array without data may promise


class BadRecipe(ValueError):
    """A recipe that does not describe a file."""


def read_recipe(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadRecipe(str(error)) from None
    if not isinstance(value, dict):
        raise BadRecipe("not an object")
    return value


def array_of(entry: Any) -> Any:
    """Return the array that an entry ``{"dtype": ..., "shape": [...], "data": [...]}`` describes; data repeat."""
    try:
        dtype, shape = np.dtype(str(entry["dtype"])), [int(length) for length in entry["shape"]]
        if len(shape) > 8 or min(shape, default=0) < 0 or math.prod(shape) * max(1, dtype.itemsize) > MOST_BYTES:
            raise BadRecipe("shape")
        data = entry.get("data", [0])
        with np.errstate(all="ignore"):
            return np.resize(np.array(data if data else [0]).astype(dtype), shape)
    except BadRecipe:
        raise
    except Exception as error:
        raise BadRecipe(str(error)) from None


def entry_of(array: Any) -> dict[str, Any]:
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": array.ravel().tolist()}


# -------------------------------------------------------------------------------------------------------------------- HDF5


def hdf5_recipe(path: Path) -> dict[str, Any]:
    """Return the recipe of a file: names of groups and arrays with their attributes, in the order of the file."""
    import h5py

    recipe: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            recipe[name] = {"kind": "group"}
        elif item.dtype == np.uint8:
            recipe[name] = {"kind": "json", "value": json.loads(item[()].tobytes()), "checksum": True}
        else:
            recipe[name] = {"kind": "array", **entry_of(np.asarray(item[()])), "checksum": item.fletcher32}
        attributes = {key: value.item() if isinstance(value, np.generic) else value for key, value in item.attrs.items()}
        if attributes:
            recipe[name]["attributes"] = attributes

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        recipe["/"] = {"kind": "group", "attributes": dict(_plain(file.attrs))}
    return recipe


def _plain(attributes: Any) -> list[tuple[str, Any]]:
    return [(key, value.item() if isinstance(value, np.generic) else value) for key, value in attributes.items()]


def make_hdf5(path: Path, recipe: dict[str, Any]) -> None:
    from glassnf.io import hdf5

    with hdf5.create(path) as file:  # with a seal that is right, as one who means harm would put it there
        for name, entry in recipe.items():
            if not isinstance(entry, dict):
                continue
            try:
                item = file if name == "/" else _make_item(file, name, entry)
                attributes = entry.get("attributes", {})
                for key, value in attributes.items() if item is not None else ():
                    item.attrs[key] = array_of(value) if isinstance(value, dict) else value
            except BadRecipe:
                continue
            except (TypeError, ValueError, KeyError, RuntimeError, OSError, AttributeError, OverflowError, NotImplementedError):
                continue  # the library would not write such a thing


def _make_item(file: Any, name: str, entry: dict[str, Any]) -> Any:
    import h5py

    kind = entry.get("kind")
    if kind == "group":
        return file.require_group(name)
    if kind == "json":
        text = json.dumps(entry.get("value")).encode("utf-8", "surrogatepass")
        return file.create_dataset(name, data=np.frombuffer(text, dtype=np.uint8), chunks=(len(text),), fletcher32=True)
    if kind == "text":
        return file.create_dataset(name, data=str(entry.get("value")))
    if kind == "array":
        array = array_of(entry)
        filters = {key: entry[key] for key in ("fletcher32", "shuffle", "compression", "scaleoffset") if key in entry}
        checked = bool(entry.get("checksum")) and array.ndim > 0 and array.size > 0
        return file.create_dataset(name, data=array, **({"chunks": True, "fletcher32": True} if checked else {}), **filters)
    if kind == "promise":  # a shape without data
        shape = [int(length) for length in entry["shape"]]
        if math.prod(shape) > MOST_PROMISED:
            raise BadRecipe("shape")
        return file.create_dataset(name, shape=shape, dtype=str(entry["dtype"]), chunks=entry.get("chunks"))
    if kind == "names":  # many hard links to one array
        for number in range(min(int(entry["count"]), 10_000)):
            file[f"{entry['target']}{number}"] = file[str(entry["target"])]
    elif kind == "link":
        file[name] = h5py.SoftLink(str(entry["target"]))
    elif kind == "external link":
        file[name] = h5py.ExternalLink(str(entry["file"]), str(entry["target"]))
    elif kind == "external":
        size = 8 * math.prod(int(length) for length in entry["shape"])
        file.create_dataset(name, shape=entry["shape"], dtype="<f8", external=[(str(entry["file"]), 0, size)])
    elif kind == "virtual":
        layout = h5py.VirtualLayout(shape=tuple(entry["shape"]), dtype=str(entry["dtype"]))
        layout[...] = h5py.VirtualSource(str(entry["file"]), str(entry["target"]), shape=tuple(entry["shape"]))
        file.create_virtual_dataset(name, layout)
    elif kind == "compound":
        file.create_dataset(name, data=np.zeros(4, dtype=[("a", "<f8"), ("b", "<i4")]))
    elif kind == "reference":
        file.create_dataset(name, data=np.array([file.ref] * 4, dtype=h5py.ref_dtype))
    return None


def hostile_hdf5(recipe: dict[str, Any], secret: Path) -> dict[str, dict[str, Any]]:
    """Return recipes with one thing wrong that a change at random would seldom find; `secret` is a file beside."""
    positions = "ensemble/positions"
    shape, dtype = recipe[positions]["shape"], recipe[positions]["dtype"]
    promise = {"kind": "promise", "shape": [2, 10**9, 2], "dtype": dtype}
    wrong = {
        "soft_link": {"kind": "link", "target": "/elsewhere"},
        "external_link": {"kind": "external link", "file": str(secret), "target": "/ensemble/positions"},
        "external_storage": {"kind": "external", "file": str(secret), "shape": shape},
        "virtual": {"kind": "virtual", "file": str(secret), "target": positions, "shape": shape, "dtype": dtype},
        "promise": promise,
        "promise_chunks": {**promise, "chunks": [1, 10**8, 1]},
        "compound": {"kind": "compound"},
        "reference": {"kind": "reference"},
        "text": {"kind": "text", "value": "positions"},
        "group": {"kind": "group"},
        "compressed": {**recipe[positions], "checksum": False, "compression": "gzip"},
        "nan": {**recipe[positions], "data": [math.nan]},
        "half": {**recipe[positions], "dtype": "<f2"},
    }
    made = {name: {**recipe, positions: entry} for name, entry in wrong.items()}
    big = {"kind": "array", "dtype": "<f8", "shape": [20_000], "data": [0.0], "checksum": True}
    made["many_names"] = {**recipe, "counters/x": big, "more": {"kind": "names", "target": "counters/x", "count": 5}}
    made["loop"] = {**recipe, "ensemble/system": {"kind": "link", "target": "/ensemble/system"}}
    made["more_particles"] = {**recipe, "ensemble/system": _with_composition(recipe["ensemble/system"], [2**31 - 1, 0])}
    return made


def _with_composition(entry: dict[str, Any], counts: list[int]) -> dict[str, Any]:
    return {**entry, "value": {**entry["value"], "composition": counts}}


# --------------------------------------------------------------------------------------------------------------------- GSD


def gsd_recipe(path: Path) -> dict[str, Any]:
    """Return the chunks of a GSD file, a list for each frame."""
    from gsd import fl

    frames = []
    with fl.open(name=str(path), mode="r") as file:
        names = file.find_matching_chunk_names("")
        for frame in range(file.nframes):
            present = [name for name in names if file.chunk_exists(frame=frame, name=name)]
            frames.append({name: entry_of(file.read_chunk(frame=frame, name=name)) for name in present})
    return {"schema": "hoomd", "frames": frames}


def make_gsd(path: Path, recipe: dict[str, Any]) -> None:
    from gsd import fl

    schema = recipe.get("schema")
    text = isinstance(schema, str) and 0 < len(schema) < 60 and schema.isascii() and schema.isprintable()
    name = schema if text else "hoomd"
    frames = recipe.get("frames")
    with fl.open(name=str(path), mode="w", application="fuzz", schema=name, schema_version=[1, 4]) as file:
        for frame in (frames if isinstance(frames, list) else [])[:20]:
            for chunk, entry in frame.items() if isinstance(frame, dict) else ():
                try:
                    file.write_chunk(name=chunk, data=array_of(entry))
                except (BadRecipe, ValueError, TypeError, RuntimeError, KeyError, OSError, OverflowError):
                    continue
            file.end_frame()
