"""A stand-in for CuPy and the CUDA kernels, so that the Python side of the CUDA backend runs on any machine.

Its arrays are in host memory, but behave as if they were on one of two GPUs: NumPy refuses to take them for its own, they do
not mix with NumPy arrays, operations on an array of another GPU than the current one are errors (CuPy would need peer access),
and scalars drawn from them are arrays without axes. Only what glassnf uses is here; everything has the name, the arguments and
the meaning that it has in CuPy. `install` puts the module in the place of CuPy, and CPU kernels in that of the CUDA kernels.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from glassnf import _core

DEVICES = 2

state = types.SimpleNamespace(current=0, streams={}, addresses={}, calls=[], largest=2**40)
"""The current device; the current stream of each device where it is not the default; the device of each address that was asked
for; the calls of kernels; the largest array in bytes that fits into the memory."""


class Device:
    """A GPU; the current one without an argument. As a context manager it is the current one within the block."""

    def __init__(self, number: int | None = None) -> None:
        self.id = state.current if number is None else int(number)
        assert 0 <= self.id < DEVICES
        self._before: list[int] = []

    def __enter__(self) -> Device:
        self._before.append(state.current)
        state.current = self.id
        return self

    def __exit__(self, *error: object) -> None:
        state.current = self._before.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id


class Stream:
    """A stream of the current device, which the block of a ``with`` statement makes the current one."""

    def __init__(self, ptr: int = 0) -> None:
        self.ptr, self.device_id, self.synchronized = ptr, state.current, 0
        self._before: list[Any] = []

    def __enter__(self) -> Stream:
        self._before.append(state.streams.get(self.device_id))
        state.streams[self.device_id] = self
        return self

    def __exit__(self, *error: object) -> None:
        state.streams[self.device_id] = self._before.pop()

    def synchronize(self) -> None:
        self.synchronized += 1


def get_current_stream(device_id: int = -1) -> Stream:
    return state.streams.get(state.current if device_id < 0 else device_id) or Stream(0)


class OutOfMemoryError(MemoryError):
    """CuPy's."""

    __module__ = "cupy.cuda.memory"


class _Pointer:
    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


class _Foreign:
    """Gives NumPy the memory that an object on the GPU describes."""

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = {**interface, "version": 3}


def _put(host: Any, device: int | None = None) -> ndarray:
    array = np.asarray(host)
    if device is None and array.nbytes > state.largest:  # a view of memory says on which device
        raise OutOfMemoryError(f"Out of memory allocating {array.nbytes} bytes")
    return ndarray(array, state.current if device is None else device)


def _take(value: Any) -> Any:
    """Return what an operation on the current device may use: memory of this device, or a number."""
    if isinstance(value, ndarray):
        if value.device.id != state.current:
            raise RuntimeError(f"an array on device {value.device.id} was used while device {state.current} was current")
        return value.host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (list, tuple)):
        return type(value)(_take(item) for item in value)
    return value


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on a GPU."""

    def __init__(self, host: Any, device: int) -> None:
        self.host = host
        self.device = Device(device)

    shape = property(lambda self: self.host.shape)
    dtype = property(lambda self: self.host.dtype)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    nbytes = property(lambda self: self.host.nbytes)
    strides = property(lambda self: self.host.strides)
    flags = property(lambda self: self.host.flags)

    @property
    def data(self) -> _Pointer:
        address = int(self.host.ctypes.data)
        state.addresses[address] = self.device.id
        return _Pointer(address)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.host.__array_interface__, "version": 3}

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one.")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        assert method == "__call__"
        assert not options
        with np.errstate(all="ignore"):  # a GPU does not warn
            return _put(ufunc(*(_take(value) for value in inputs)))

    def get(self) -> Any:
        return self.host.copy()

    def item(self) -> Any:
        return self.host.item()

    def __len__(self) -> int:
        return len(self.host)

    def __bool__(self) -> bool:
        return bool(self.host)

    def __int__(self) -> int:
        return int(self.host)

    def __float__(self) -> float:
        return float(self.host)

    def __getitem__(self, index: Any) -> ndarray:
        return _put(self.host[_take(index)], self.device.id)

    def __setitem__(self, index: Any, value: Any) -> None:
        whole = index is Ellipsis or (isinstance(index, slice) and index == slice(None))
        self.host[_take(index)] = value if whole and isinstance(value, np.ndarray) else _take(value)

    def copy(self) -> ndarray:
        return _put(_take(self).copy())

    def astype(self, dtype: Any) -> ndarray:
        return _put(_take(self).astype(dtype))

    def reshape(self, *shape: Any) -> ndarray:
        return _put(self.host.reshape(*shape), self.device.id)

    def ravel(self) -> ndarray:
        return _put(self.host.ravel(), self.device.id)

    def any(self, axis: int | None = None) -> ndarray:
        return _put(_take(self).any(axis=axis))

    def all(self) -> ndarray:
        return _put(_take(self).all())

    def min(self) -> ndarray:
        return _put(_take(self).min())

    def max(self) -> ndarray:
        return _put(_take(self).max())

    def sum(self) -> ndarray:
        return _put(_take(self).sum())

    def mean(self) -> ndarray:
        return _put(_take(self).mean())


def asarray(value: Any, dtype: Any = None) -> ndarray:
    if isinstance(value, ndarray):
        moved = value if value.device.id == state.current else _put(value.host.copy())
        return moved if dtype is None or moved.dtype == dtype else moved.astype(dtype)
    if hasattr(value, "__cuda_array_interface__"):
        return _put(np.asarray(_Foreign(value.__cuda_array_interface__)))
    return _put(np.array(value, dtype=dtype))


def array(value: Any, dtype: Any = None, order: str = "K") -> ndarray:
    host = _take(value) if isinstance(value, ndarray) else value
    return _put(np.array(host, dtype=dtype, order=order))  # type: ignore[call-overload]


def asnumpy(value: ndarray) -> Any:
    return value.get()


def ascontiguousarray(value: Any, dtype: Any = None) -> ndarray:
    host = _take(asarray(value))
    fits = host.flags.c_contiguous and (dtype is None or host.dtype == dtype)
    return value if fits and isinstance(value, ndarray) else _put(np.ascontiguousarray(host, dtype=dtype))


def empty(shape: Any, dtype: Any = np.float64) -> ndarray:
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size > state.largest:
        raise OutOfMemoryError(f"Out of memory allocating {size} bytes")
    host = np.empty(shape, dtype=dtype)
    host.view(np.uint8).fill(0xA5)  # memory that was never written is not zero
    return _put(host)


def zeros(shape: Any, dtype: Any = np.float64) -> ndarray:
    return _put(np.zeros(shape, dtype=dtype))


def full(shape: Any, value: Any) -> ndarray:
    return _put(np.full(shape, value))


def arange(count: int, dtype: Any = None) -> ndarray:
    return _put(np.arange(count, dtype=dtype))


def bincount(values: ndarray, minlength: int = 0) -> ndarray:
    return _put(np.bincount(_take(values), minlength=minlength))


def _function(name: str) -> Any:
    numpy_function = getattr(np, name)

    def function(*arguments: Any) -> ndarray:
        with np.errstate(all="ignore"):
            return _put(numpy_function(*(_take(argument) for argument in arguments)))

    function.__name__ = name
    return function


abs = _function("abs")
broadcast_to = _function("broadcast_to")
clip = _function("clip")
concatenate = _function("concatenate")
floor = _function("floor")
isfinite = _function("isfinite")
maximum = _function("maximum")
minimum = _function("minimum")
nan_to_num = _function("nan_to_num")
sort = _function("sort")
stack = _function("stack")
tile = _function("tile")
where = _function("where")

cuda = types.SimpleNamespace(
    Device=Device,
    Stream=Stream,
    get_current_stream=get_current_stream,
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
)

# ---- the kernels -------------------------------------------------------------------------------------------------------------

_IN_HOST_MEMORY = (
    *("seed", "step", "sweeps", "replicas", "swap_threshold", "pair_thresholds", "record_at", "completed"),
    *("steps", "thermostat", "swap_every"),
    *("rungs", "components", "interval", "parents"),
    *("intervals", "pair", "layers", "message_intervals", "messages"),
)


def _checked(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Note a call of a kernel, and return the arguments that the CPU's kernel takes."""
    state.calls.append((name, dict(arguments)))
    device, stream = arguments.pop("device"), arguments.pop("stream")
    arguments.pop("mixed")
    assert stream == get_current_stream(device).ptr
    for key, value in arguments.items():
        if key not in _IN_HOST_MEMORY and type(value) is int and value != 0:
            assert state.addresses.get(value) == device, f"{key}: expected memory of device {device}"
    return arguments


def _cuda_energy(system: Any, *, mixed: bool = False, **arguments: Any) -> None:
    _core.energy(system, **_checked("energy", {**arguments, "mixed": mixed}))


def _cuda_monte_carlo(system: Any, *, mixed: bool = False, **arguments: Any) -> None:
    _core.monte_carlo(system, **_checked("monte_carlo", {**arguments, "mixed": mixed}))


def _cuda_molecular_dynamics(system: Any, **arguments: Any) -> None:
    _core.molecular_dynamics(system, **_checked("molecular_dynamics", {**arguments, "mixed": False}))


def _cuda_exchange(**arguments: Any) -> None:
    _core.exchange(**_checked("exchange", {**arguments, "mixed": False}))


def _cuda_gather_replicas(*, arrays: Any, **arguments: Any) -> None:
    for address, _ in arrays:
        assert state.addresses.get(address) == arguments["device"]
    _core.gather_replicas(arrays=arrays, **_checked("gather", {**arguments, "mixed": False}))


def _cuda_flow_field(system: Any, **arguments: Any) -> None:
    _core.flow_field(system, **_checked("flow_field", {**arguments, "mixed": False}))


def _cuda_flow_trajectory(system: Any, **arguments: Any) -> None:
    _core.flow_trajectory(system, **_checked("flow_trajectory", {**arguments, "mixed": False}))


def install(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Put this module in the place of CuPy and CPU kernels in the place of CUDA kernels; return it in its first state."""
    state.current, state.largest = 0, 2**40
    for collection in (state.streams, state.addresses, state.calls):
        collection.clear()
    module = sys.modules[__name__]
    monkeypatch.setitem(sys.modules, "cupy", module)
    replacements: dict[str, Any] = {
        "cuda_built": lambda: True,
        "cuda_device_count": lambda: DEVICES,
        "cuda_why_not": lambda: "",
        "cuda_device_name": lambda device: f"Imaginary GPU {device}",
        "cuda_memory": lambda device: (2**32, 2**33),
        "cuda_sequential_limit": lambda system: 500,
        "cuda_energy": _cuda_energy,
        "cuda_exchange": _cuda_exchange,
        "cuda_flow_field": _cuda_flow_field,
        "cuda_flow_trajectory": _cuda_flow_trajectory,
        "cuda_gather_replicas": _cuda_gather_replicas,
        "cuda_monte_carlo": _cuda_monte_carlo,
        "cuda_molecular_dynamics": _cuda_molecular_dynamics,
    }
    for name, value in replacements.items():
        monkeypatch.setattr(_core, name, value)
    return module
