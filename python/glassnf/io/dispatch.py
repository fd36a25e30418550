"""Ensembles from and to files, by the suffix of their names."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy.typing as npt

from .. import _check
from ..systems import System
from . import hdf5
from .extxyz_format import read_extxyz, write_extxyz
from .frames import Frames
from .gsd_format import read_gsd, write_gsd
from .lammps_format import read_lammps_dump, write_lammps_dump

if TYPE_CHECKING:
    from ..ensemble import Ensemble

__all__ = ["read", "write"]

_HDF5 = (".h5", ".hdf5")
_READERS: dict[str, Callable[..., Frames]] = {
    ".gsd": read_gsd,
    ".xyz": read_extxyz,
    ".extxyz": read_extxyz,
    ".lammpstrj": read_lammps_dump,
    ".dump": read_lammps_dump,
}
_WRITERS: dict[str, Callable[..., None]] = {
    ".gsd": write_gsd,
    ".xyz": write_extxyz,
    ".extxyz": write_extxyz,
    ".lammpstrj": write_lammps_dump,
    ".dump": write_lammps_dump,
}


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = _check.path("path", path).suffix.lower()
    if suffix not in (*_HDF5, *_READERS):
        raise ValueError(
            f"path: expected a name that ends in {', '.join((*_HDF5, *_READERS))}, got {_check.describe(str(path))}"
        )
    return suffix


def write(path: str | os.PathLike[str], ensemble: Ensemble) -> None:
    """Write an ensemble in the format that the suffix names, replacing an old file atomically.

    Parameters
    ----------
    path : str or path
        Ending in .h5 or .hdf5 (everything, bit for bit), .gsd (single precision), .xyz or .extxyz, .lammpstrj or .dump: the
        latter three hold positions, images and species, a frame for each replica; GSD and XYZ hold the temperatures too.
    ensemble : Ensemble

    Raises
    ------
    ImportError
        If the library that the format needs is not installed.
    TypeError, ValueError
        If the suffix is none of these, or `ensemble` is not a valid Ensemble.
    OSError
        If the file cannot be written; an old file is then untouched.
    """
    suffix = _suffix(path)
    hdf5.check_ensemble(ensemble)
    if suffix in _HDF5:
        hdf5.save_ensemble(path, ensemble)
    else:
        _WRITERS[suffix](path, ensemble)


def read(
    path: str | os.PathLike[str], system: System, *, temperature: npt.ArrayLike | None = None, seed: int | None = None
) -> Ensemble:
    """Read an ensemble of a given system from a file, one replica for each frame.

    Parameters
    ----------
    path : str or path
        As in `write`. Files of other programs are welcome: species are matched by name, or by number from 1.
    system : System
        Dimension, box and composition of the file must be those of the system.
    temperature : float or (R,) array, epsilon, optional
        Default: that of the file. LAMMPS dumps have none.
    seed : int, optional
        Seed of the random numbers. Default: that of an HDF5 file, 0 for other files.

    Returns
    -------
    Ensemble

    Raises
    ------
    ImportError
        If the library that the format needs is not installed.
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is malformed, truncated or of another format.
    TypeError, ValueError
        If the suffix is unknown, the file is not one of this system, or no temperature is known.
    """
    from ..ensemble import inverse, per_replica

    suffix = _suffix(path)
    if not isinstance(system, System):
        raise TypeError(f"system: expected a glassnf System, got {_check.describe(system)} ({type(system).__name__})")
    if suffix not in _HDF5:
        frames = _READERS[suffix](path, dimension=system.dimension)
        try:
            return frames.to_ensemble(system, temperature=temperature, seed=0 if seed is None else seed)
        except ValueError as error:
            raise type(error)(f"{_check.printable(os.fspath(path))}: {error}") from error
    ensemble = hdf5.load_ensemble(path)
    if ensemble.system != system:
        raise ValueError(f"system: expected {system!r}, got {ensemble.system!r} in {os.fspath(path)!r}")
    if temperature is not None:
        ensemble.beta = inverse("temperature", per_replica("temperature", temperature, ensemble.replicas))
    if seed is not None:
        ensemble.seed = seed
    ensemble.validate()
    return ensemble
