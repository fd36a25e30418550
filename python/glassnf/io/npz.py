"""NumPy archives that somebody else may have made: read without unpickling, and without memory that the file does not fill.

`numpy.load` trusts the headers: an archive of a kilobyte may promise an array of a terabyte, or unpack to one. Here every member
must be stored as it is, uncompressed as `numpy.savez` writes it, and as long as its header says.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .files import FileFormatError

__all__ = ["read_npz"]

_MOST_MEMBERS: Final = 10_000
_LONGEST_HEADER: Final = 10_000


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of numbers in an archive that `numpy.savez` wrote, by name.

    Raises
    ------
    FileFormatError
        If it is not such an archive, or is damaged: each member carries a checksum.
    OSError
        If the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise FileFormatError(f"{path}: expected at most {_MOST_MEMBERS} arrays, got {len(members)}")
            size = path.stat().st_size
            return {_name(member): _array(archive, member, size) for member in members}
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except OSError:
        raise
    except Exception as error:  # zipfile raises whatever it comes across
        raise FileFormatError(f"{path}: expected an archive of arrays, got a damaged or another file ({error})") from error


def _name(member: zipfile.ZipInfo) -> str:
    name = member.filename
    if not name.endswith(".npy") or not name[:-4].isidentifier() or len(name) > 100:
        raise FileFormatError(f"expected members such as 'positions_0.npy', got {name!r}")
    return name[:-4]


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> npt.NDArray[Any]:
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 0x1 or member.file_size > size:
        raise FileFormatError(f"{member.filename}: expected an array stored without compression, got another member")
    content = archive.read(member)  # checks the CRC-32
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise FileFormatError(f"{member.filename}: expected an array of format 1 or 2, got {version}")
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(stream, max_header_size=_LONGEST_HEADER)
    if dtype.kind not in "iuf" or dtype.hasobject:
        raise FileFormatError(f"{member.filename}: expected numbers, got type {dtype}")
    needed = math.prod(shape) * dtype.itemsize
    data = content[stream.tell() :]
    if min(shape, default=0) < 0 or len(data) != needed:
        raise FileFormatError(f"{member.filename}: expected {needed} bytes for shape {shape}, got {len(data)}")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C").copy()
