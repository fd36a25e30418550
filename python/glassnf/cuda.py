"""Whether the CUDA backend can be used on this machine, and why not."""

from __future__ import annotations

from . import _core

__all__ = ["is_available", "require", "why_not"]

_NO_KERNELS = "this version of glassnf detects CUDA devices but has no CUDA kernels yet; use device='cpu'"


def is_available() -> bool:
    """Whether ``device="cuda"`` works: the build has CUDA kernels and there is a usable device."""
    return False


def why_not() -> str:
    """Return one sentence on why CUDA cannot be used, with what to do about it; empty when it can."""
    if not _core.cuda_built() or _core.cuda_device_count() == 0:
        return _core.cuda_why_not()
    return _NO_KERNELS


def require() -> None:
    """Raise unless CUDA can be used.

    Raises
    ------
    RuntimeError
        With the sentence of `why_not`.
    """
    if not is_available():
        raise RuntimeError(f"device: expected a usable CUDA device for 'cuda', but {why_not()}")
