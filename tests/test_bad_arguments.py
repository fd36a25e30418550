"""Every public function refuses wrong arguments in one sentence that names them, and never answers with NaN."""

from __future__ import annotations

import faulthandler
import resource
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import glassnf as gnf
from bad_input import analysis_calls, flow_calls, sampling_calls
from bad_input.call import Call
from bad_input.public import EXEMPT, RECORDS, needed, public
from bad_input.values import HUGE, same_arrays, wrong
from bad_input.verdict import judge_error, not_finite, same

CALLS: dict[str, Call] = {**sampling_calls.calls(), **flow_calls.calls(), **analysis_calls.calls()}

UNTRIED = {
    "glassnf.compare.compare": "runs for ten seconds",
    "glassnf.compare.comparison_to_dict": "needs what a comparison has found",
    "glassnf.compare.write_files": "draws all figures; see test_cli_compare.py",
    "glassnf.cuda.device_name": "needs a device",
    "glassnf.cuda.memory": "needs a device",
    "glassnf.cuda.require": "needs a device",
}
"""Calls that are not made as they are."""

_EXAMPLES = 8
_SETTINGS = settings(
    deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
_MEMORY = 2 << 30  # bytes that a call may take beyond what the process has
_SECONDS = 60


def test_there_is_a_call_of_every_public_function() -> None:
    there = {name.split(":")[0] for name in CALLS}
    assert sorted(set(needed()) - there) == [], "add valid calls of these to tests/bad_input"
    assert sorted(there - set(public())) == []
    kinds = {name.split(".")[-1] for name in public()}
    assert sorted(RECORDS - kinds) == []
    assert sorted(set(EXEMPT) - set(public())) == []


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Bound memory and time, so that a call that takes all of one fails here and does not take the machine with it."""
    monkeypatch.chdir(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, hard))
    faulthandler.dump_traceback_later(_SECONDS * 4, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def attempt(call: Call, argument: str, value: Any) -> str | None:
    """Return what a function does wrong when it is called with one argument replaced, or None."""
    function, arguments = call.make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = function(**{**arguments, argument: value})
        except Exception as error:
            return judge_error(error, argument, arguments, call.names)
    return None if call.nan else not_finite(result)


@pytest.mark.parametrize("name", sorted(CALLS.keys() - UNTRIED))
def test_the_calls_are_right(name: str) -> None:
    """Without it an error that a valid argument causes would pass for one of the wrong argument."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function, arguments = CALLS[name].make()
        result = function(**arguments)
    assert CALLS[name].nan or not_finite(result) is None


@pytest.mark.parametrize("name", sorted(name for name, call in CALLS.items() if call.judged))
@settings(_SETTINGS, max_examples=_EXAMPLES)
@given(draw=st.data())
def test_wrong_arguments(name: str, draw: st.DataObject) -> None:
    call = CALLS[name]
    _, arguments = call.make()
    argument = draw.draw(st.sampled_from(call.judged))
    value = draw.draw(wrong(arguments[argument], work=argument in call.work))
    problem = attempt(call, argument, value)
    assert problem is None, f"{name}({argument}={value!r:.200}): {problem}"


@pytest.mark.parametrize("name", sorted(name for name, call in CALLS.items() if call.exact))
def test_numbers_stored_otherwise_are_the_same_numbers(name: str) -> None:
    """Arrays that are not contiguous, read-only or of the other byte order: the same result to the last bit, or an error."""
    call = CALLS[name]
    function, arguments = call.make()
    arrays = {key: value for key, value in arguments.items() if isinstance(value, np.ndarray) and value.ndim}
    expected = None
    for argument, array in arrays.items():
        for variant in same_arrays(array):
            if expected is None:
                expected = function(**arguments)
            function, fresh = call.make()
            try:
                result = function(**{**fresh, argument: variant})
            except TypeError as error:
                assert judge_error(error, argument, arguments, call.names) is None
                continue
            assert same(expected, result), (argument, variant.dtype, variant.strides)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: gnf.Ensemble.random(gnf.systems.ka2d(), HUGE, 1.0, seed=1),
        lambda: gnf.systems.ka(n=2**31 - 1),
        lambda: gnf.geometric_ladder(0.5, 1.0, HUGE),
    ],
)
def test_sizes_are_checked_before_memory_is_asked_for(ask: Any) -> None:
    with pytest.raises(ValueError, match="memory|at most|to"):
        ask()
