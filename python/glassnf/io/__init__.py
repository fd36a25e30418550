"""Files: ensembles and runs in HDF5, trajectories in GSD, extended XYZ and LAMMPS dumps.

Only HDF5 keeps everything (random numbers, velocities, energies). The others exchange configurations with other programs; they
need the extra ``io``: ``pip install 'glassnf[io]'``.
"""

from __future__ import annotations

from . import hdf5
from .dispatch import read, write
from .extxyz_format import read_extxyz, write_extxyz
from .files import CheckpointWarning, DamagedFileError, FileFormatError, PreviousCheckpointWarning, atomic_write
from .frames import Frames
from .gsd_format import read_gsd, write_gsd
from .hdf5 import load_ensemble, save_ensemble
from .lammps_format import read_lammps_dump, write_lammps_dump
from .runfile import RunFile, differences, read_records

__all__ = [
    "CheckpointWarning",
    "DamagedFileError",
    "FileFormatError",
    "Frames",
    "PreviousCheckpointWarning",
    "RunFile",
    "atomic_write",
    "differences",
    "hdf5",
    "load_ensemble",
    "read",
    "read_extxyz",
    "read_gsd",
    "read_lammps_dump",
    "read_records",
    "save_ensemble",
    "write",
    "write_extxyz",
    "write_gsd",
    "write_lammps_dump",
]
