"""Whether the CUDA backend can be used on this machine, and why not; the devices and their memory; the errors it raises."""

from __future__ import annotations

import re
from typing import NamedTuple

from . import _arrays, _check, _core
from ._core import CudaError, CudaOutOfMemoryError

__all__ = [
    "CudaError",
    "CudaOutOfMemoryError",
    "CudaUnavailableError",
    "Memory",
    "device_count",
    "device_name",
    "is_available",
    "memory",
    "require",
    "why_not",
]


class CudaUnavailableError(CudaError):
    """CUDA was asked for where it cannot be used: no GPU, a driver too old, or a build without the CUDA backend."""


class Memory(NamedTuple):
    """Memory of a device in bytes, of which `free` is left for new arrays of any program."""

    free: int
    total: int


def is_available() -> bool:
    """Whether ``device="cuda"`` works: the build has CUDA kernels and there is a usable device."""
    return _core.cuda_built() and _core.cuda_device_count() > 0


def why_not() -> str:
    """Return one sentence on why CUDA cannot be used, with what to do about it; empty when it can."""
    return "" if is_available() else _core.cuda_why_not()


def require(name: str = "device") -> None:
    """Raise unless CUDA can be used.

    Parameters
    ----------
    name : str
        The argument that asks for CUDA, for the message.

    Raises
    ------
    CudaUnavailableError
        With the sentence of `why_not`.
    """
    if not is_available():
        raise CudaUnavailableError(f"{name}: expected a usable CUDA device for 'cuda', but {why_not()}")


def device_count() -> int:
    """Return the number of usable devices, 0 where there is none; never raises."""
    return _core.cuda_device_count() if _core.cuda_built() else 0


def device_name(device: int | str = "cuda") -> str:
    """Return the name of a device as its driver gives it.

    Parameters
    ----------
    device : int or str
        Number of the device, ``"cuda:K"``, or ``"cuda"`` for the current one.

    Raises
    ------
    CudaUnavailableError
        If CUDA cannot be used.
    TypeError, ValueError
        If there is no such device.
    """
    ordinal = _ordinal(device)
    return _core.cuda_device_name(ordinal)


def memory(device: int | str = "cuda") -> Memory:
    """Return free and total memory of a device in bytes. Arguments and errors as `device_name`."""
    ordinal = _ordinal(device)
    return Memory(*_core.cuda_memory(ordinal))


def _ordinal(device: int | str) -> int:
    found = find_device(device if isinstance(device, str) else f"cuda:{_check.nonnegative_int('device', device)}")
    if found.ordinal is None:
        raise ValueError(f"device: expected 'cuda' or 'cuda:K', got {device!r}")
    return found.ordinal


def find_device(name: object) -> _arrays.Device:
    """Return the device of a name: ``"cpu"``, ``"cuda"`` for the current CUDA device of this thread, or ``"cuda:K"``.

    Raises
    ------
    TypeError, ValueError
        If the name is none of these, or there are not so many devices.
    CudaUnavailableError
        If it names a CUDA device and CUDA cannot be used.
    """
    if isinstance(name, str) and name == "cpu":
        return _arrays.HOST
    numbered = re.fullmatch(r"cuda:(0|[1-9][0-9]{0,8})", name) if isinstance(name, str) else None
    if numbered is None:
        _check.choice("device", name, ("cpu", "cuda", "cuda:0"))
    require()
    ordinal = int(numbered[1]) if numbered is not None else _arrays.current_ordinal()
    if ordinal >= device_count():
        last = device_count() - 1
        names = "'cuda:0'" if last == 0 else f"'cuda:0' to 'cuda:{last}'"
        raise ValueError(f"device: expected 'cpu', 'cuda' or one of the devices {names}, got {name!r}")
    return _arrays.Device(ordinal)
