"""The one place that knows about array libraries: NumPy, torch and CuPy.

Arrays live in host memory (NumPy arrays, torch CPU tensors, nested lists) or in the memory of a GPU (torch CUDA tensors, CuPy
arrays, and other objects with ``__cuda_array_interface__``, which CuPy takes over without a copy). Neither torch nor CuPy is
imported before the caller has used it, but for CuPy where an ensemble is to live on a GPU.

Kernels receive addresses; everything is checked first, because the address of a non-contiguous array, or of one with another
type, silently reads garbage. Work on a GPU is queued on the caller's current stream of the GPU that holds the arrays: torch's
for tensors, CuPy's for all else. Temporary arrays come from the pools of these libraries, which hand memory out again in the
order of the stream, so that they may go out of scope while the kernel that reads them is still queued.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._optional import require

__all__ = [
    "HOST",
    "Device",
    "address",
    "as_cupy",
    "beside",
    "contiguous",
    "current_ordinal",
    "device_of",
    "dtype_name",
    "empty",
    "extremes",
    "fold",
    "guard",
    "is_torch",
    "namespace",
    "native",
    "on_gpu",
    "out_of_memory",
    "put",
    "stream_of",
    "to_host",
    "writable",
]

_CUPY_PURPOSE = "arrays on the GPU"
_NOTHING = contextlib.nullcontext()


# ---- devices -----------------------------------------------------------------------------------------------------------------


def cupy() -> Any:
    """Import CuPy; ImportError says how to install it."""
    return require("cupy", extra="cupy", purpose=_CUPY_PURPOSE, package="cupy-cuda13x")


@dataclass(frozen=True)
class Device:
    """A place for arrays: host memory (`HOST`), or the memory of one GPU.

    Attributes
    ----------
    ordinal : int or None
        Number of the GPU as CUDA counts, None for host memory.
    """

    ordinal: int | None = None

    @property
    def name(self) -> str:
        """``"cpu"`` or ``"cuda:K"``."""
        return "cpu" if self.ordinal is None else f"cuda:{self.ordinal}"

    @property
    def xp(self) -> Any:
        """The library whose arrays ensembles hold here: NumPy or CuPy."""
        return np if self.ordinal is None else cupy()

    def current(self) -> AbstractContextManager[Any]:
        """Make this GPU the current one within a ``with`` statement, and the one before current again after it."""
        return _NOTHING if self.ordinal is None else cupy().cuda.Device(self.ordinal)


HOST = Device()
"""Host memory."""


def current_ordinal() -> int:
    """Return the number of the current GPU of this thread: CuPy's or torch's if one of them is in use, else 0."""
    if "cupy" in sys.modules:
        return int(cupy().cuda.Device().id)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return int(torch.cuda.current_device())
    return 0


# ---- what an array is --------------------------------------------------------------------------------------------------------


def is_torch(value: object) -> bool:
    """Whether `value` is a torch tensor; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_cupy(value: object) -> bool:
    library = sys.modules.get("cupy")
    return library is not None and isinstance(value, library.ndarray)


def on_gpu(value: Any) -> bool:
    """Whether `value` is an array in the memory of a GPU, of any library."""
    if isinstance(value, np.ndarray):
        return False
    return bool(value.device.type == "cuda") if is_torch(value) else hasattr(value, "__cuda_array_interface__")


def native(name: str, value: Any) -> Any:
    """Return an array argument as a torch tensor without gradient, a CuPy array or a NumPy array, in place where possible.

    Raises
    ------
    ValueError
        If it is neither in host memory nor on a CUDA device, or is no array of numbers.
    ImportError
        If it is an array of some other library on a GPU and CuPy is not installed.
    """
    if isinstance(value, np.ndarray) or _is_cupy(value):
        return value
    if is_torch(value):
        if value.device.type not in ("cpu", "cuda"):
            raise ValueError(f"{name}: expected a tensor on the CPU or a CUDA device, got one on {value.device}")
        return value.detach()
    if on_gpu(value):
        return as_cupy(value)
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        text = " ".join(repr(value).split())
        raise ValueError(f"{name}: expected an array of numbers, got {text[:80]} ({error})") from None


def device_of(array: Any) -> Device:
    """Return where an array of NumPy, torch or CuPy is."""
    if not on_gpu(array):
        return HOST
    return Device(int(array.device.index if is_torch(array) else array.device.id))


def namespace(array: Any) -> Any:
    """Return the library of an array: the module numpy, torch or cupy."""
    if isinstance(array, np.ndarray):
        return np
    return sys.modules["torch"] if is_torch(array) else cupy()


def dtype_name(array: Any) -> str:
    """Return the name of the type of the entries, the same in all libraries."""
    return str(array.dtype).removeprefix("torch.")


def guard(array: Any) -> AbstractContextManager[Any]:
    """Make the GPU of an array the current one within a ``with`` statement; torch does that by itself."""
    return device_of(array).current() if _is_cupy(array) else _NOTHING


def address(array: Any) -> int:
    """Return the address of a C-contiguous array, 0 for None."""
    if array is None:
        return 0
    if isinstance(array, np.ndarray) and array.flags.c_contiguous:
        return int(array.ctypes.data)
    if is_torch(array):
        if not array.is_contiguous():
            raise ValueError(f"expected a contiguous tensor, got strides {array.stride()} for shape {tuple(array.shape)}")
        return int(array.data_ptr())
    if not array.flags.c_contiguous:
        raise ValueError(f"expected a C-contiguous array, got strides {array.strides} for shape {array.shape}")
    return int(array.data.ptr)


def stream_of(array: Any) -> int:
    """Return the caller's current stream on the GPU of an array, as the integer that CUDA knows it by."""
    ordinal = device_of(array).ordinal
    if is_torch(array):
        return int(sys.modules["torch"].cuda.current_stream(ordinal).cuda_stream)
    with guard(array):
        return int(cupy().cuda.get_current_stream().ptr)


# ---- from one place or layout to another -------------------------------------------------------------------------------------


def to_host(value: Any) -> npt.NDArray[Any]:
    """Return a NumPy array of anything: a view of arrays in host memory, a copy of those on a GPU once their stream is done."""
    if isinstance(value, np.ndarray):
        return value
    if is_torch(value):
        view: npt.NDArray[Any] = value.detach().cpu().numpy()
        return view
    if on_gpu(value):
        library = cupy()
        copied: npt.NDArray[Any] = library.asnumpy(as_cupy(value))
        return copied
    return np.asarray(value)


def put(array: Any, like: Any) -> Any:
    """Return an array in host memory as an array of the library and on the device of `like`; a copy unless both are NumPy."""
    if is_torch(like):
        return sys.modules["torch"].as_tensor(np.array(array), device=like.device)
    return namespace(like).asarray(array)


def as_cupy(value: Any) -> Any:
    """Return an array on a GPU as a CuPy array of the same memory, on the same GPU."""
    if _is_cupy(value):
        return value
    if is_torch(value):
        _wait_for(value)
        value = value.detach()
    return cupy().asarray(value)


def beside(array: Any, like: Any) -> Any:
    """Return an array on the GPU of `like` as one of the library of `like`, of the same memory."""
    if namespace(array) is namespace(like):
        return array
    if not is_torch(like):
        return as_cupy(array)
    _wait_for(array)
    return sys.modules["torch"].as_tensor(array, device=like.device)


def _wait_for(array: Any) -> None:
    """Wait until an array is complete: another library's kernels may run on another stream."""
    if is_torch(array):
        sys.modules["torch"].cuda.current_stream(array.device).synchronize()
    else:
        with guard(array):
            cupy().cuda.get_current_stream().synchronize()


def contiguous(array: Any, dtype: str) -> Any:
    """Return an array with entries of the type named, laid out as kernels read it: itself where it fits, else a copy."""
    if is_torch(array):
        return array.to(getattr(sys.modules["torch"], dtype)).contiguous()
    if _is_cupy(array):
        return namespace(array).ascontiguousarray(array, dtype=dtype)
    return np.require(array, dtype=dtype, requirements=["C", "A"])


def writable(array: Any) -> Any:
    """Return a contiguous array that kernels may write to; a copy of a read-only one."""
    return array if _is_cupy(array) else np.require(array, requirements=["C", "A", "W", "E"])


def empty(shape: Sequence[int], like: Any) -> Any:
    """Return a new float64 array of the library and on the device of `like`; call it under `guard` of `like`."""
    if is_torch(like):
        torch = sys.modules["torch"]
        return torch.empty(tuple(shape), dtype=torch.float64, device=like.device)
    return namespace(like).empty(tuple(shape), dtype=np.float64)


# ---- arithmetic that all libraries do alike ----------------------------------------------------------------------------------


def extremes(*arrays: Any) -> list[tuple[float, float]]:
    """Return (smallest, largest) of each of several arrays that are not empty; NaN where an array has one.

    All results come to the host at once: the host waits for the GPU a single time.
    """
    if is_torch(arrays[0]):
        torch = sys.modules["torch"]
        found = [value.to(torch.float64) for array in arrays for value in torch.aminmax(array)]
        flat = torch.stack(found).tolist()
    else:
        found = [value.astype(np.float64) for array in arrays for value in (array.min(), array.max())]
        flat = to_host(namespace(arrays[0]).stack(found)).tolist()
    return list(zip(flat[::2], flat[1::2], strict=True))


def fold(positions: Any, box: Any, cells: Any) -> tuple[Any, Any]:
    """Fold coordinates into [0, box), given ``cells = floor(positions / box)`` of size below 2**31.

    One elementary operation at a time, so that all libraries and devices give the same bits. See `ensemble.wrap_positions`.

    Parameters
    ----------
    positions, cells : (..., d) float64
    box : (d,) float64
        Of the same library, on the same device.

    Returns
    -------
    wrapped, crossings : (..., d) float64
        With ``0 <= wrapped < box``, and whole numbers of box lengths so that ``positions = wrapped + crossings * box``.
    """
    xp = namespace(positions)
    wrapped = positions - box * cells
    above = wrapped >= box
    wrapped, cells = xp.where(above, wrapped - box, wrapped), xp.where(above, cells + 1.0, cells)
    below = wrapped < 0.0
    wrapped, cells = xp.where(below, wrapped + box, wrapped), xp.where(below, cells - 1.0, cells)
    rounded_up = wrapped >= box  # a tiny negative number plus L
    return xp.where(rounded_up, 0.0, wrapped), xp.where(rounded_up, cells + 1.0, cells)


# ---- errors ------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def out_of_memory(action: str) -> Iterator[None]:
    """Turn the errors by which torch and CuPy say that a GPU's memory is full into `glassnf.cuda.CudaOutOfMemoryError`.

    Parameters
    ----------
    action
        What was being done, as it reads after "for".
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        kind = type(error)
        if kind.__name__ != "OutOfMemoryError" or kind.__module__.split(".")[0] not in ("cupy", "torch"):
            raise
        text = " ".join(str(error).split())
        raise _core.CudaOutOfMemoryError(
            f"the GPU has not enough free memory for {action}: use fewer replicas at once, or free memory that other arrays or "
            f"programs hold ({text})"
        ) from error
