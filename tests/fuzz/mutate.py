"""Changing a file where it hurts: a value somewhere inside, in place of a byte anywhere.

Bytes that libFuzzer changes seldom get past the parser of a format. So half of the changes are made here, to the tree of
values that a file of the format holds: what comes out is well-formed, and wrong.
"""

from __future__ import annotations

import json
import math
import random
import struct
import sys
from collections.abc import Callable
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    43,
    2**31 - 1,
    2**31,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**30,
    10**400,
    0.0,
    -0.0,
    0.5,
    1e-320,
    1e-30,
    1e30,
    1e308,
    -1e308,
    math.nan,
    math.inf,
    -math.inf,
    "",
    " ",
    "a",
    "A",
    "0",
    "nan",
    "1e400",
    "é",
    "\x00",
    "\x1b[31m",
    "\n",
    "‮",
    "../../../etc/passwd",
    "/etc/passwd",
    "A" * 4000,
    "{}",
    "__import__('os').abort()",
    "${HOME}",
    "0.5,0.4",
    "1:2:3",
    "1:2:1000000000",
    [],
    {},
    [[]],
    [None],
    [0],
    [1.0],
    ["a"],
    [0] * 50,
    {"": None},
    {"a": 1},
)

Path = tuple[Any, ...]


MOST_PLACES, DEEPEST = 5_000, 50


def _places(value: Any) -> list[Path]:
    """Return where there is something in a tree, level by level, up to a limit: changes repeat what they find."""
    found: list[Path] = [()]
    items = [value]
    for path, item in zip(found, items, strict=True):  # both grow
        if len(found) > MOST_PLACES or len(path) > DEEPEST:
            break
        inside = item.items() if isinstance(item, dict) else enumerate(item[:200]) if isinstance(item, list) else ()
        for key, one in inside:
            found.append((*path, key))
            items.append(one)
    return found


def _get(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def change(value: Any, rng: random.Random) -> Any:
    """Return a tree of dictionaries, lists, numbers and strings with one change; `value` itself may change too."""
    places = _places(value)
    path = rng.choice(places)
    kind = rng.randrange(8)
    if not path:
        return rng.choice(HOSTILE) if kind == 0 and rng.random() < 0.1 else change_inside(value, rng, places)
    parent, key = _get(value, path[:-1]), path[-1]
    if kind == 0:
        parent.pop(key)
    elif kind == 1:
        parent[key] = _get(value, rng.choice(places))
    elif kind == 2 and isinstance(parent, dict):
        parent[rng.choice(("", "a", "name", "é", "\x1b[0m", str(key) + "_", str(key)[::-1]))] = parent.pop(key)
    elif kind == 3 and isinstance(parent, list):
        parent.insert(key, rng.choice((parent[key], rng.choice(HOSTILE))))
    elif kind == 4:
        parent[key] = nudge(parent[key], rng)
    elif kind == 5:
        parent[key] = [parent[key]] * rng.choice((1, 1, 2, 7, 300))
    else:
        parent[key] = rng.choice(HOSTILE)
    return value


def change_inside(value: Any, rng: random.Random, places: list[Path]) -> Any:
    return change(value, rng) if len(places) > 1 else rng.choice(HOSTILE)


def nudge(value: Any, rng: random.Random) -> Any:
    """Return something near a value: the next number, a longer or shorter text, a list in another order."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, value - 1, -value, value * 2, value * 10**6, float(value), str(value)))
    if isinstance(value, float):
        return rng.choice((-value, value * (1.0 + 1e-15), value * 1e-9, value * 1e9, str(value)))
    if isinstance(value, str):
        return rng.choice((value + "x", value[:-1], value.upper(), value * 3, value + "\x00", value + "\x1b[2J"))
    if isinstance(value, list):
        return rng.choice((value[::-1], value[:-1], value + value, [*value, None], sorted(value, key=repr)))
    return value


Codec = tuple[Callable[[bytes], Any], Callable[[Any], bytes]]
"""How the bytes of a format become a tree of values, and the way back."""


def _dump_json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _load_toml(content: bytes) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(content.decode("utf-8"))


def _dump_toml(value: Any) -> bytes:
    import tomli_w

    return tomli_w.dumps(value).encode("utf-8", "surrogatepass")


def _load_safetensors(content: bytes) -> Any:
    """Return the header, with the JSON in its metadata as a tree, and the tensors as numbers of bytes to come after it."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    about = header.get("__metadata__", {}).get("flow")
    if isinstance(about, str):
        header["__metadata__"]["flow"] = json.loads(about)
    return {"header": header, "data": content[8 + length :].hex()}


def _dump_safetensors(value: Any) -> bytes:
    header, data = value["header"], bytes.fromhex(value["data"])
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if isinstance(metadata, dict) and not isinstance(metadata.get("flow"), str):
        metadata = {**metadata, "flow": json.dumps(metadata.get("flow"))}
        header = {**header, "__metadata__": metadata}
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data


JSON: Codec = (json.loads, _dump_json)
TOML: Codec = (_load_toml, _dump_toml)
SAFETENSORS: Codec = (_load_safetensors, _dump_safetensors)


def mutated(content: bytes, seed: int, codec: Codec) -> bytes | None:
    """Return a file with one to four changes of the values in it; None where `content` is not a file of the format."""
    rng = random.Random(seed)
    load, dump = codec
    try:
        value = load(content)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            value = change(value, rng)
        return dump(value)
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError, OverflowError, MemoryError, struct.error):
        return None
