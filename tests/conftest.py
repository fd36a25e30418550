"""What all tests share: the devices on which the samplers run."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
import pytest

import glassnf as gnf
from glassnf._optional import available

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; programs that tests start inherit it
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.default_int_handler)


def missing(reason: str) -> NoReturn:
    """Skip a test that needs a GPU, or fail it if GLASSNF_REQUIRE_GPU=1."""
    if os.environ.get("GLASSNF_REQUIRE_GPU") == "1":
        pytest.fail(f"GLASSNF_REQUIRE_GPU=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def require_gpu(*, cupy: bool = False, torch: bool = False) -> None:
    """Skip or fail a test unless there is a GPU, and the libraries that it needs."""
    if not gnf.cuda.is_available():
        missing(gnf.cuda.why_not())
    if cupy and not available("cupy"):
        missing("CuPy is not installed")
    if torch:
        if not available("torch"):
            missing("torch is not installed")
        if not importlib.import_module("torch").cuda.is_available():
            missing("this torch finds no CUDA device")


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Run a test once per device; without a CUDA device skip with the reason, or fail if GLASSNF_REQUIRE_GPU=1."""
    name: str = request.param
    if name == "cuda":
        require_gpu(cupy=True)
    return name


@pytest.fixture
def gpu() -> str:
    """Return the name of the device on which a test that needs a GPU, and CuPy, runs."""
    require_gpu(cupy=True)
    return "cuda"


@pytest.fixture(params=["cupy", "torch"])
def put_on_gpu(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Return a function that copies a NumPy array to the GPU, once for each library."""
    if request.param == "cupy":
        require_gpu(cupy=True)
        return lambda array: importlib.import_module("cupy").asarray(array)
    require_gpu(torch=True)
    return lambda array: importlib.import_module("torch").as_tensor(np.array(array), device="cuda")


@pytest.fixture
def on_device(device: str) -> Callable[[Any], Any]:
    """Return a function that puts a NumPy array where the functions of the energy backend will find it."""
    if device == "cpu":
        return np.asarray
    return lambda array: importlib.import_module("cupy").asarray(array)


@pytest.fixture
def instruction_set() -> Any:
    """Return the function that chooses the instruction set; the one in use before comes back after the test."""
    from glassnf import _core

    before = _core.instruction_set()
    yield _core.use_instruction_set
    _core.use_instruction_set(before)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imaginary GPUs, whose kernels are those of the CPU; the current device and stream are as before when a test ends."""
    import fake_cupy

    yield fake_cupy.install(monkeypatch)
    assert fake_cupy.state.current == 0
    assert not any(fake_cupy.state.streams.values())


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave figures and pages undrawn, which take seconds, where a test is about numbers; module fixtures come before it."""
    from glassnf import plots
    from glassnf.compare import page

    monkeypatch.setattr(plots, "figures", lambda data: {})
    monkeypatch.setattr(page, "page", lambda data, figures: "<!doctype html>")
