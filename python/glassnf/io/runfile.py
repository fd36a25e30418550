"""The file of a long run: its latest checkpoint and all that it has recorded.

Layout, besides what `glassnf.io.hdf5` describes::

    /ensemble       the ensemble at the latest checkpoint
    /parameters     JSON text of the parameters of the run
    /records/NAME   (records, ...) arrays, all of the same length, such as sweep (records,) and energy (records, R)
    /counters/NAME  sums over the whole run, such as accepted moves
    /state/values   JSON text of what an outer algorithm adapts besides the ensemble; its arrays in /state/arrays/NAME

Checkpoints, records, counters and state always belong together, because each checkpoint rewrites the whole file beside the old
one and then takes its place. A process killed at any moment leaves the previous checkpoint or the new one, never a mixture. The
old file stays as ``NAME.previous`` until the next checkpoint, or until the run is complete; `RunFile.recover` goes on from it
where the file itself has been damaged. A file that was damaged or replaced since it was written never takes that place.

The price is that a checkpoint costs time proportional to all records so far (about 10 ms, plus 10 s per GB), that records stay
in memory, once more while they are written, and that there must be space for three files. A caller bounds the total by the
interval between checkpoints, and should record positions rarely.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _check
from . import hdf5
from .files import (
    CheckpointWarning,
    DamagedFileError,
    FileFormatError,
    PreviousCheckpointWarning,
    Stamp,
    existing_file,
    hint_of_previous,
    output_file,
    previous_file,
    stamp_of,
)

if TYPE_CHECKING:
    from ..ensemble import Ensemble

__all__ = ["RunFile", "differences", "read_records"]

Arrays = dict[str, npt.NDArray[Any]]

_LONGEST_NAME = 60  # of a parameter, in messages
_LONGEST_LIST = 1000


def plain(name: str, value: object) -> Any:
    """Return `value` as what JSON can hold: arrays and tuples become lists, NumPy scalars become numbers.

    Raises
    ------
    TypeError
        If it holds anything but None, booleans, numbers, strings, arrays, lists, tuples and mappings with string keys; the
        message names the place.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return plain(name, value.item())
    if isinstance(value, np.ndarray):
        return plain(name, value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(f"{name}[{place}]", item) for place, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{name}: expected keys that are strings, got {key!r}")
        return {key: plain(f"{name}.{key}", item) for key, item in value.items()}
    raise TypeError(f"{name}: expected a number, string, list or mapping, got {type(value).__name__}")


def differences(parameters_a: Mapping[str, Any], parameters_b: Mapping[str, Any]) -> list[str]:
    """Return one line per parameter that is not the same in both mappings, such as ``"swap_probability: 0.2 != 0"``.

    Numbers are compared by value (1 equals 1.0), nested mappings key by key, and lists as wholes.

    Parameters
    ----------
    parameters_a, parameters_b
        Mappings as `RunFile.create` takes them; a resumed run compares those of the file with its own.

    Returns
    -------
    list of str
        Sorted by name; empty if all are the same. Names and values may come from any file: they are shortened, and nothing in
        them moves the cursor of a terminal.
    """
    for name, value in (("parameters_a", parameters_a), ("parameters_b", parameters_b)):
        if not isinstance(value, Mapping):
            raise TypeError(f"{name}: expected a mapping, got {type(value).__name__}")
    return _differences("", plain("parameters_a", parameters_a), plain("parameters_b", parameters_b))


def _differences(prefix: str, a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    lines = []
    for key in sorted(set(a) | set(b)):
        name = prefix + _check.printable(key, _LONGEST_NAME)
        if key not in a:
            lines.append(f"{name}: absent != {_check.describe(b[key])}")
        elif key not in b:
            lines.append(f"{name}: {_check.describe(a[key])} != absent")
        elif isinstance(a[key], dict) and isinstance(b[key], dict):
            lines.extend(_differences(f"{name}.", a[key], b[key]))
        elif not _same(a[key], b[key]):
            lines.append(f"{name}: {_described(a[key], b[key])}")
    return lines


def _described(a: Any, b: Any) -> str:
    """Return two values that are not the same, so that they differ in what is shown of them."""
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        place = next(k for k, (x, y) in enumerate(zip(a, b, strict=True)) if not _same(x, y))
        if len(repr(a)) + len(repr(b)) > _check.LONGEST_DESCRIPTION:
            return f"[{place}] of {len(a)}: {_described(a[place], b[place])}"
    shown = _check.describe(a), _check.describe(b)
    return f"{shown[0]} != {shown[1]}" if shown[0] != shown[1] else f"{shown[0]} != one that begins alike"


def listed(changed: list[str]) -> str:
    """Return the lines of `differences` as part of a sentence; of very many, the first ones and the number of the others."""
    lines = [_check.printable(line, _LONGEST_LIST // 2) for line in changed]
    shown = int(np.searchsorted(np.cumsum([len(line) + 2 for line in lines]), _LONGEST_LIST, side="right"))
    return "; ".join(lines if shown == len(lines) else [*lines[:shown], f"and {len(lines) - shown} more"])


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, bool) is not isinstance(b, bool):
        return False
    both_nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    return both_nan or bool(a == b)


def _check_names(name: str, mapping: object) -> dict[str, Any]:
    if not isinstance(mapping, Mapping):
        raise TypeError(f"{name}: expected a mapping from names to arrays, got {type(mapping).__name__}")
    for key in mapping:
        if not isinstance(key, str) or not key or "/" in key or "\0" in key or key.strip(".") == "":
            raise ValueError(f"{name}: expected names without '/' that are not empty, got {key!r}")
    return dict(mapping)


def _numbers(name: str, value: object) -> npt.NDArray[Any]:
    array = np.array(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected an array of numbers, got type {array.dtype}")
    return array


class RunFile:
    """The file of a long run. See the module for what it holds and what a checkpoint costs.

    Attributes
    ----------
    path : pathlib.Path
    previous : pathlib.Path
        Where the checkpoint before the latest one is, if it is there.
    parameters : dict
        As given to `create`, with arrays and tuples as lists.
    ensemble : Ensemble
        A copy in host memory, of the latest checkpoint.
    state : dict
        Of the latest checkpoint.
    written_by : str or None
        The version of glassnf that wrote the file, if it was read.
    counters : dict of arrays
        Sums over all calls of `append`, those since the latest checkpoint included.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        ensemble: Ensemble,
        parameters: dict[str, Any],
        state: dict[str, Any],
        records: Arrays,
        counters: Arrays,
        created: str | None,
    ) -> None:
        """Hold what `create` and `open` give; use those."""
        self.path = output_file(path)
        self.previous = previous_file(self.path)
        self.written_by: str | None = None
        self._stamp: Stamp | None = None  # of the file at `path`, if this object has written or read it
        self.parameters = parameters
        self.ensemble = ensemble
        self.state = state
        self.counters = counters
        self._chunks: dict[str, list[npt.NDArray[Any]]] = {name: [array] for name, array in records.items()}
        self._created = created

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        ensemble: Ensemble,
        parameters: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> RunFile:
        """Write a new run file with a first checkpoint and no records.

        Parameters
        ----------
        path : str or path
        ensemble : Ensemble
            The state from which the run starts.
        parameters : mapping
            What the run was asked to do: None, booleans, numbers, strings, and lists, arrays and mappings of them.
        overwrite : bool
            Whether to replace a file that exists.

        Raises
        ------
        FileExistsError
            If the file, or the checkpoint before it, exists and `overwrite` is false.
        TypeError, ValueError
            If an argument is not as above.
        """
        hdf5.check_ensemble(ensemble)
        ensemble.validate()
        if not isinstance(parameters, Mapping):
            raise TypeError(f"parameters: expected a mapping, got {type(parameters).__name__}")
        values = plain("parameters", parameters)
        target = output_file(path)
        if not _check.boolean("overwrite", overwrite) and target.exists():
            raise FileExistsError(f"path: expected the name of a new file, got {str(path)!r}, which exists")
        if previous_file(target).exists() and not overwrite:
            raise FileExistsError(f"path: expected the name of a new file, got {str(path)!r}{hint_of_previous(target)}")
        run = cls(target, ensemble=ensemble, parameters=values, state={}, records={}, counters={}, created=None)
        run.begin()
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFile:
        """Read a run file, to use it or to go on appending to it.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        FileFormatError
            If it is truncated, foreign, of another version or inconsistent.
        """
        stamp = stamp_of(existing_file(path))
        with hdf5.open_for_reading(path) as file:
            parameters = hdf5.read_json(file, "parameters")
            state_group = hdf5.read_group(file, "state")
            values = hdf5.read_json(state_group, "values")
            if not isinstance(parameters, dict) or not isinstance(values, dict):
                raise FileFormatError("parameters, state: expected JSON objects, got other JSON values")
            created, version = file.attrs.get("created"), file.attrs.get("glassnf_version")
            run = cls(
                path,
                ensemble=hdf5.read_ensemble(hdf5.read_group(file, "ensemble")),
                parameters=parameters,
                state={**values, **_read_arrays(hdf5.read_group(state_group, "arrays"))},
                records=_read_records(file),
                counters=_read_arrays(hdf5.read_group(file, "counters")),
                created=created if isinstance(created, str) else None,
            )
        run._stamp, run.written_by = stamp, version if isinstance(version, str) else None
        return run

    @classmethod
    def recover(cls, path: str | os.PathLike[str]) -> RunFile:
        """Read a run file to go on with it, or the checkpoint before, where the latest one is damaged or missing.

        Warns
        -----
        PreviousCheckpointWarning
            If the checkpoint before the latest one is used; the message says why.

        Raises
        ------
        FileNotFoundError, FileFormatError
            As `open`, if there is no checkpoint before that can be read, or a later version of glassnf wrote the file.
        """
        try:
            return cls.open(path)
        except (DamagedFileError, FileNotFoundError) as error:
            previous = previous_file(path)
            try:
                run = cls.open(previous)
            except (OSError, ValueError):
                raise error from None
            warnings.warn(f"{error}; going on from that", PreviousCheckpointWarning, stacklevel=2)
        run.path, run.previous, run._stamp = output_file(path), previous, None
        return run

    def begin(self) -> None:
        """Write the first checkpoint of a new run; then nothing of an old run in a file of that name remains."""
        self.checkpoint(self.ensemble)
        self.remove_previous()

    def last_good(self) -> str:
        """Return where the latest good checkpoint is, in half a sentence."""
        if self._stamp is not None and self._stamp == stamp_of(self.path):
            return f"{str(self.path)!r} holds the checkpoint of step {self.ensemble.step}"
        if self.previous.is_file():
            return f"{str(self.previous)!r} holds the checkpoint before the latest one"
        return f"there is no checkpoint in {str(self.path)!r}"

    def remove_previous(self) -> None:
        """Remove the checkpoint before the latest one, as a complete run does not need it."""
        self.previous.unlink(missing_ok=True)

    @property
    def records(self) -> Arrays:
        """All records so far, each (records, ...), those since the latest checkpoint included."""
        for chunks in self._chunks.values():
            if len(chunks) > 1:
                chunks[:] = [np.concatenate(chunks)]
        return {name: chunks[0] for name, chunks in self._chunks.items()}

    @property
    def n_records(self) -> int:
        """Number of records so far."""
        lengths = [sum(len(chunk) for chunk in chunks) for chunks in self._chunks.values()]
        return lengths[0] if lengths else 0

    def append(self, records: Mapping[str, npt.ArrayLike], counters: Mapping[str, npt.ArrayLike] | None = None) -> None:
        """Take copies of new records and add to the counters, in memory: `checkpoint` writes them.

        Parameters
        ----------
        records : mapping from name to (new records, ...) array
            The same names, types and trailing shapes in every call.
        counters : mapping from name to array or number, optional
            Added to what is there; the same shapes in every call.

        Raises
        ------
        TypeError, ValueError
            If names, types or shapes do not fit; nothing has been taken then.
        """
        new = {name: _numbers(f"records[{name!r}]", value) for name, value in _check_names("records", records).items()}
        sums = {
            name: _numbers(f"counters[{name!r}]", value)
            for name, value in _check_names("counters", {} if counters is None else counters).items()
        }
        self._check_records(new)
        for name, array in sums.items():
            old = self.counters.get(name)
            if old is None:
                sums[name] = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
            elif old.shape != array.shape:
                raise ValueError(f"counters[{name!r}]: expected shape {old.shape}, got {array.shape}")
            elif (old.dtype.kind == "f") is not (array.dtype.kind == "f"):
                raise TypeError(f"counters[{name!r}]: expected type {old.dtype}, got {array.dtype}")
            else:
                sums[name] = np.asarray(old + array.astype(old.dtype))
        for name, array in new.items():
            self._chunks.setdefault(name, []).append(array)
        self.counters.update(sums)

    def _check_records(self, new: Arrays) -> None:
        for name, array in new.items():
            if array.ndim == 0:
                raise ValueError(f"records[{name!r}]: expected an array whose first axis counts records, got a number")
        lengths = {name: len(array) for name, array in new.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"records: expected arrays with as many records each, got {lengths}")
        if not self._chunks or not new:
            return
        if set(new) != set(self._chunks):
            raise ValueError(f"records: expected the names {sorted(self._chunks)}, got {sorted(new)}")
        for name, array in new.items():
            old = self._chunks[name][0]
            if array.shape[1:] != old.shape[1:] or array.dtype != old.dtype:
                expected = f"shape (any, {', '.join(map(str, old.shape[1:]))}) and type {old.dtype}"
                raise ValueError(f"records[{name!r}]: expected {expected}, got shape {array.shape} and type {array.dtype}")

    def checkpoint(self, ensemble: Ensemble, state: Mapping[str, Any] | None = None) -> None:
        """Write the ensemble, the state and everything appended so far, replacing the file atomically.

        Parameters
        ----------
        ensemble : Ensemble
            Of the same system as the one given to `create`.
        state : mapping, optional
            What an outer algorithm adapts. NumPy arrays at the top level come back as arrays, bit for bit; other values are
            stored as JSON, where arrays and tuples become lists.

        Raises
        ------
        TypeError, ValueError
            If an argument is not valid.
        OSError
            If the file cannot be written. The file still holds the previous checkpoint then, as it does whenever the call does
            not return, whatever the reason.

        Warns
        -----
        CheckpointWarning
            If another process has written the file since it was last read or written here.
        """
        hdf5.check_ensemble(ensemble)
        ensemble.validate()
        if ensemble.system != self.ensemble.system:
            raise ValueError(f"ensemble: expected an ensemble of {self.ensemble.system!r}, got one of {ensemble.system!r}")
        items = _check_names("state", {} if state is None else state)
        arrays = {key: _numbers(f"state[{key!r}]", item) for key, item in items.items() if isinstance(item, np.ndarray)}
        values = plain("state", {key: item for key, item in items.items() if key not in arrays})
        stamp = stamp_of(self.path)
        untouched = self._stamp is not None and self._stamp == stamp
        if self._stamp is not None and stamp is not None and not untouched:
            self._warn_of_another()
        try:
            self._write(ensemble, values, arrays, untouched)
        except BaseException:
            if stamp_of(self.path) != stamp:  # the very last step has failed, and the file may be the new one
                self._stamp = None
            raise
        self._stamp = stamp_of(self.path)
        self.ensemble = ensemble.copy() if ensemble.device == "cpu" else ensemble.to("cpu")
        self.state = {**values, **arrays}

    def _write(self, ensemble: Ensemble, values: dict[str, Any], arrays: Arrays, keep_previous: bool) -> None:
        with hdf5.create(self.path, keep_previous=keep_previous) as file:
            hdf5.write_header(file, self._created)
            hdf5.write_ensemble(file.create_group("ensemble"), ensemble)
            hdf5.write_json(file, "parameters", self.parameters)
            group = file.create_group("state")
            hdf5.write_json(group, "values", values)
            _write_arrays(group.create_group("arrays"), arrays)
            _write_arrays(file.create_group("records"), self.records)
            _write_arrays(file.create_group("counters"), self.counters)
            self._created = str(file.attrs["created"])

    def _warn_of_another(self) -> None:
        """Warn if the file was written by somebody else since; a damaged one is just replaced."""
        try:
            step = hdf5.load_ensemble(self.path).step
        except (OSError, ValueError):
            return
        message = f"{self.path}: something else has written a checkpoint of step {step} since the last one; it is replaced"
        warnings.warn(message, CheckpointWarning, stacklevel=3)

    def __repr__(self) -> str:
        return f"RunFile({str(self.path)!r}, records={self.n_records}, step={self.ensemble.step})"


def _write_arrays(group: Any, arrays: Arrays) -> None:
    for name, array in sorted(arrays.items()):  # so that the bytes do not depend on which came first
        hdf5.write_dataset(group, name, array)


def _read_arrays(group: Any) -> Arrays:
    return {name: hdf5.read_dataset(group, name) for name in group}


def _read_records(file: Any) -> Arrays:
    group = hdf5.read_group(file, "records")
    shapes = {name: tuple(hdf5.find_dataset(group, name).shape) for name in group}
    lengths = {name: shape[0] if shape else None for name, shape in shapes.items()}
    if None in lengths.values() or len(set(lengths.values())) > 1:
        raise FileFormatError(f"records: expected arrays with as many records each, got shapes {shapes}")
    return _read_arrays(group)


def read_records(path: str | os.PathLike[str]) -> Arrays:
    """Read the records of a run file: a mapping from name to (records, ...) array.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is truncated, foreign, of another version or inconsistent.
    """
    with hdf5.open_for_reading(path) as file:
        return _read_records(file)
