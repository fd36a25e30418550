"""Samplers of the user's own: found by module, by file or by entry point, checked, and made entries of the register.

``package.module:Class`` is imported with the current folder on the path, ``path/to/file.py:Class`` from the file, and a name
without a colon is an entry point in the group ``glassnf.samplers``. docs/own_sampler.md says what such a class has to be.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import _check
from .algorithms import Algorithm, AlgorithmSpec, RunOptions, algorithm_names, get_algorithm, register_algorithm
from .own import SamplerAlgorithm, foreign, source_digest
from .problem import PluginError, in_words

if TYPE_CHECKING:
    from types import ModuleType

    from ..systems import System

__all__ = [
    "GROUP",
    "MOST_CANDIDATES",
    "PluginError",
    "digest_of",
    "entry_points",
    "find_sampler",
    "load_samplers",
    "spec_of",
]

GROUP: Final = "glassnf.samplers"
MOST_CANDIDATES: Final = 8

_LONGEST_PLACE: Final = 1000
_FORMS: Final = "package.module:Class, path/to/file.py:Class or the name of an entry point"
_LOOKS: Final = (("#000000", "X"), ("#882255", "*"), ("#999933", "h"), ("#332288", "<"), ("#44AA99", ">"), ("#AA4499", "d"))
"""What figures draw own samplers with, in the order in which they come: black, then Tol's muted colours, which differ from each
other and from the colours of the other algorithms for colour-blind readers too."""
_MARKERS: Final = "os^v<>dDpPhHXx*+8"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{6}")

_specs: dict[tuple[type, str], AlgorithmSpec] = {}


# ---- finding a class ---------------------------------------------------------------------------------------------------------


def find_sampler(where: str) -> type:
    """Import a sampler class.

    Parameters
    ----------
    where
        ``"package.module:Class"``, ``"path/to/file.py:Class"``, or the name of an entry point in the group glassnf.samplers.
        The current folder, or that of the file, joins the import path.

    Raises
    ------
    ValueError
        If there is no such module, file, entry point or class, the import fails, or the class is no sampler; one sentence.
    """
    text = _check.string("sampler", where)
    if len(text) > _LONGEST_PLACE:
        raise ValueError(f"sampler: expected {_FORMS}, got {_check.describe(text)}")
    place, colon, attribute = text.rpartition(":")
    if not colon:
        return _checked_class(text, _entry_point(text))
    if not place or not all(part.isidentifier() for part in attribute.split(".")):
        raise ValueError(f"sampler: expected {_FORMS}, got {text!r}")
    if place.endswith(".py"):
        module = _module_of_file(text, Path(place))
    elif all(part.isidentifier() for part in place.split(".")):
        module = _module_of_name(text, place)
    else:
        raise ValueError(f"sampler: expected {_FORMS}, got {text!r}")
    return _checked_class(text, _attribute(text, module, attribute))


def entry_points() -> dict[str, Any]:
    """Return the entry points of the group glassnf.samplers by name; nothing is imported."""
    from importlib import metadata

    return {entry.name: entry for entry in metadata.entry_points(group=GROUP)}


def _entry_point(name: str) -> Any:
    known = entry_points()
    if name not in known:
        near = _check.nearest(name, known)
        hint = f"; did you mean {near!r}?" if near is not None else ""
        found = ", ".join(known) or "none"
        raise ValueError(f"sampler: expected {_FORMS} (installed entry points: {found}), got {name!r}{hint}")
    try:
        return known[name].load()
    except (Exception, SystemExit) as error:
        raise _import_failed(name, error) from error


def _import_failed(where: str, error: BaseException) -> ValueError:
    return ValueError(f"sampler: the import of {where!r} failed ({in_words(error)})")


def _put_on_path(folder: str) -> None:
    """Let modules be found in a folder, as Python does for the folder of a script."""
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _module_of_name(where: str, name: str) -> ModuleType:
    _put_on_path(str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None or not f"{name}.".startswith(f"{missing}."):  # a module that it imports
            raise _import_failed(where, error) from error
        raise ValueError(
            f"sampler: expected a module that can be imported in {Path.cwd()}, got {where!r}: there is no module {missing!r}"
        ) from error


def _module_of_file(where: str, path: Path) -> ModuleType:
    """Import a file under a name of its own, once."""
    if not path.is_file():
        raise ValueError(f"sampler: expected a Python file, got {where!r}: there is no file {os.fspath(path)!r}")
    full = path.resolve()
    name = f"glassnf_sampler_{full.stem}_{hashlib.sha256(os.fsencode(full)).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    _put_on_path(str(full.parent))
    spec = importlib.util.spec_from_file_location(name, full)
    if spec is None or spec.loader is None:
        raise ValueError(f"sampler: expected a Python file, got {where!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _import_failed(where, error) from error
    return module


def _attribute(where: str, module: ModuleType, path: str) -> object:
    found: object = module
    for part in path.split("."):
        if not hasattr(found, part):
            names = [name for name in vars(module) if isinstance(vars(module)[name], type) and not name.startswith("_")]
            near = _check.nearest(part, names)
            hint = f"; did you mean {near!r}?" if near is not None else ""
            raise ValueError(f"sampler: expected a class, got {where!r}: there is no {part!r} in it{hint}")
        found = getattr(found, part)
    return found


# ---- what a class must be ----------------------------------------------------------------------------------------------------


def _checked_class(where: str, found: object) -> type:
    if not isinstance(found, type):
        raise ValueError(f"sampler: expected a class, got {where!r}, which is {_check.describe(found)}")
    run = getattr(found, "run", None)
    if not callable(run):
        raise ValueError(f"sampler: expected a class with a method run(budget), got {where!r}, which has none")
    _check_call(where, run, ("self", "budget"), "run(self, budget)")
    _check_call(where, found, ("problem",), "a constructor that can be called with a problem alone")
    return found


def _check_call(where: str, function: Any, arguments: tuple[str, ...], expected: str, **settings: Any) -> None:
    """Check that something can be called with these positional arguments and settings, where its signature is known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*arguments, **settings)
    except TypeError as error:
        raise ValueError(f"sampler: expected {expected}, got {where!r} with the signature {signature} ({error})") from None


def _text(kind: type, attribute: str, pattern: re.Pattern[str] | None, expected: str) -> str | None:
    value = getattr(kind, attribute, None)
    if value is None:
        return None
    if not isinstance(value, str) or (pattern is not None and not pattern.fullmatch(value)):
        raise ValueError(f"{attribute}: expected {expected} in the sampler {kind.__qualname__}, got {_check.describe(value)}")
    return _check.string(attribute, value)


# ---- entries of the register -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Own:
    """The functions of an entry, for a class and its name."""

    kind: type
    name: str

    def make(self, system: System, temperature: float, options: RunOptions) -> Algorithm:
        return SamplerAlgorithm(self.kind, self.name, system, temperature, options)

    def least_budget(self, system: System, temperature: float, start_temperature: float) -> int:
        return int(self.kind.least_budget)  # type: ignore[attr-defined]

    def candidates(
        self, system: System, temperature: float, start_temperature: float, options: RunOptions
    ) -> Sequence[Mapping[str, Any]]:
        """Return the settings that the class offers for tuning, checked."""
        offered = self.kind.candidates  # type: ignore[attr-defined]
        if callable(offered):
            with foreign(self.name, "candidates"):
                offered = offered(system, temperature, start_temperature)
        try:
            return _checked_candidates(self.kind, offered)
        except ValueError as error:
            raise PluginError(f"sampler {self.name}: {error}") from error


def _checked_candidates(kind: type, offered: object) -> tuple[dict[str, Any], ...]:
    """Return candidates as a tuple of dicts with which the class can be called."""
    if isinstance(offered, (str, Mapping)) or not isinstance(offered, Iterable):
        raise ValueError(f"candidates: expected a sequence of mappings, got {_check.describe(offered)}")
    found = tuple(offered)
    if not 1 <= len(found) <= MOST_CANDIDATES:
        raise ValueError(f"candidates: expected 1 to {MOST_CANDIDATES} mappings, got {len(found)}")
    for one in found:
        if not isinstance(one, Mapping) or not all(isinstance(key, str) for key in one):
            raise ValueError(f"candidates: expected mappings from names of settings to values, got {_check.describe(one)}")
        _check_call(kind.__qualname__, kind, ("problem",), f"a constructor that takes the candidate {dict(one)}", **one)
    return tuple(dict(one) for one in found)


def spec_of(kind: type, name: str | None = None) -> AlgorithmSpec:
    """Return a sampler class as an entry of the register of algorithms, the same one at each call.

    Parameters
    ----------
    kind
        The class.
    name
        What the user types. None for its attribute ``name``, or else the name of the class.

    Raises
    ------
    ValueError
        If it is no sampler, or one of its attributes (name, label, colour, marker, least_budget, candidates) is wrong.
    """
    kind = _checked_class(_check.printable(str(getattr(kind, "__qualname__", _check.describe(kind))), 100), kind)
    called = name if name is not None else _text(kind, "name", None, "a name") or kind.__name__
    if not _NAME.fullmatch(_check.string("name", called)):
        raise ValueError(f"name: expected letters, digits, '_', '.' and '-', first a letter, got {called!r}")
    if (kind, called) in _specs:
        return _specs[kind, called]
    colour, marker = _LOOKS[len(_specs) % len(_LOOKS)]
    least, own = getattr(kind, "least_budget", None), _Own(kind, called)
    if least is not None:
        _check.positive_int("least_budget", least)
    offered = getattr(kind, "candidates", None)
    if offered is not None and not callable(offered):
        _checked_candidates(kind, offered)
    spec = AlgorithmSpec(
        name=called,
        label=_text(kind, "label", None, "a text") or called,
        colour=_text(kind, "colour", _COLOUR, "a colour such as '#000000'") or colour,
        marker=_text(kind, "marker", re.compile(f"[{re.escape(_MARKERS)}]"), f"one of {_MARKERS}") or marker,
        factory=own.make,
        restarts=_check.boolean("restarts", getattr(kind, "restarts", False)),
        least_budget=None if least is None else own.least_budget,
        candidates=None if offered is None else own.candidates,
        foreign=True,
    )
    return _specs.setdefault((kind, called), spec)


def digest_of(spec: AlgorithmSpec) -> str | None:
    """Return the SHA-256 of the file that an own sampler is written in, None for all other algorithms.

    Results are those of the code that made them only as long as this stays the same.
    """
    return next((source_digest(kind) for (kind, _), known in _specs.items() if known is spec), None)


def load_samplers(where: Iterable[str]) -> tuple[AlgorithmSpec, ...]:
    """Import samplers and register them as algorithms; loading one again gives the same entry, and one named twice comes once.

    Parameters
    ----------
    where
        As for `find_sampler`; an entry point keeps its own name.

    Raises
    ------
    ValueError
        If one cannot be found, is no sampler, or has a name that another algorithm has; none is registered then.
    """
    wrong = TypeError(f"where: expected a list of samplers, got {_check.describe(where)}")
    if isinstance(where, (str, bytes)):
        raise wrong
    try:
        places = tuple(where)
    except TypeError:
        raise wrong from None
    specs = tuple(spec_of(find_sampler(place), None if ":" in place else place) for place in places)
    for place, spec in zip(places, specs, strict=True):
        clash = [other for other in specs if other.name == spec.name and other is not spec]
        if clash or (spec.name in algorithm_names() and get_algorithm(spec.name) is not spec):
            raise ValueError(
                f"sampler: expected a name that no other algorithm has, got {spec.name!r} of {place!r}: "
                f"give the class another one as its attribute name"
            )
    for spec in specs:
        register_algorithm(spec)
    return tuple(dict.fromkeys(specs))
