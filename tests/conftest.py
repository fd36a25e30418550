"""What all tests share: the device on which the samplers run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glassnf as gnf


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Run a test once per device; without a CUDA device skip with the reason, or fail if GLASSNF_REQUIRE_GPU=1."""
    name: str = request.param
    if name == "cuda" and not gnf.cuda.is_available():
        reason = gnf.cuda.why_not()
        if os.environ.get("GLASSNF_REQUIRE_GPU") == "1":
            pytest.fail(f"GLASSNF_REQUIRE_GPU=1, but {reason}", pytrace=False)
        pytest.skip(reason)
    return name


@pytest.fixture
def on_device(device: str) -> Callable[[Any], Any]:
    """Return a function that puts a NumPy array where the functions of the energy backend will find it."""

    def put(array: Any) -> Any:
        if device == "cpu":
            return np.asarray(array)
        import torch

        return torch.as_tensor(np.asarray(array), device=device)

    return put


@pytest.fixture
def instruction_set() -> Any:
    """Return the function that chooses the instruction set; the one in use before comes back after the test."""
    from glassnf import _core

    before = _core.instruction_set()
    yield _core.use_instruction_set
    _core.use_instruction_set(before)
