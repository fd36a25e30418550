"""Argument checks and the import of optional libraries: accepted values, converted types, and every message."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassnf import _check, _optional

FIXED = settings(deadline=None, max_examples=50, derandomize=True, database=None)


@pytest.mark.parametrize("value", [3, np.int32(3), np.uint8(3), np.array(3)])
def test_integers_of_any_make_become_int(value: Any) -> None:
    for check in (_check.positive_int, _check.nonnegative_int, _check.integer):
        result = check("n", value)
        assert result == 3
        assert type(result) is int


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), np.array(2.0), Fraction(4, 2)])
def test_numbers_of_any_make_become_float(value: Any) -> None:
    for check in (_check.finite_float, _check.positive_float, _check.nonnegative_float):
        result = check("x", value)
        assert result == 2.0
        assert type(result) is float


@pytest.mark.parametrize("value", [True, np.True_, 3.0, "3", None, [3], 3j, np.array([3])])
@pytest.mark.parametrize("check", [_check.positive_int, _check.nonnegative_int, _check.integer])
def test_not_integers(check: Callable[[str, Any], int], value: Any) -> None:
    with pytest.raises(TypeError, match=r"^n: expected an? .*integer, got "):
        check("n", value)


@pytest.mark.parametrize(
    "value", [False, np.False_, "3", b"3", None, [3.0], 3j, np.complex128(1), np.array([1.0]), np.array("1")]
)
@pytest.mark.parametrize("check", [_check.finite_float, _check.positive_float, _check.nonnegative_float, _check.probability])
def test_not_numbers(check: Callable[[str, Any], float], value: Any) -> None:
    with pytest.raises(TypeError, match=r"^x: expected a .*, got "):
        check("x", value)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (_check.positive_int, 0, "v: expected a positive integer, got 0"),
        (_check.positive_int, -2, "v: expected a positive integer, got -2"),
        (_check.nonnegative_int, -1, "v: expected a non-negative integer, got -1"),
        (_check.finite_float, math.nan, "v: expected a finite number, got nan"),
        (_check.finite_float, -math.inf, "v: expected a finite number, got -inf"),
        (_check.finite_float, 10**400, "v: expected a finite number, got 1000"),
        (_check.positive_float, 0.0, "v: expected a positive finite number, got 0.0"),
        (_check.positive_float, math.inf, "v: expected a positive finite number, got inf"),
        (_check.nonnegative_float, -0.5, "v: expected a non-negative finite number, got -0.5"),
        (_check.nonnegative_float, math.nan, "v: expected a non-negative finite number, got nan"),
        (_check.probability, 1.5, "v: expected a probability in [0, 1], got 1.5"),
        (_check.probability, -1e-300, "v: expected a probability in [0, 1], got -1e-300"),
        (_check.probability, math.nan, "v: expected a probability in [0, 1], got nan"),
        (_check.string, " ", "v: expected a non-empty printable string, got ' '"),
        (_check.string, "a\nb", "v: expected a non-empty printable string, got 'a\\nb'"),
    ],
)
def test_values_out_of_range(check: Callable[[str, Any], Any], value: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        check("v", value)
    assert str(caught.value).startswith(message)


def test_ranges() -> None:
    assert _check.integer("n", 5, 1, 5) == 5
    assert _check.number_in("x", 0.5, 0.5, 1.0) == 0.5
    for low, high, text in ((1, 4, "from 1 to 4"), (6, None, "of at least 6"), (None, 4, "of at most 4")):
        with pytest.raises(ValueError, match=rf"^n: expected an integer {text}, got 5$"):
            _check.integer("n", 5, low, high)
    with pytest.raises(ValueError, match=r"^x: expected a number from 0 to 2\.5, got nan$"):
        _check.number_in("x", math.nan, 0.0, 2.5)


def test_booleans_and_strings() -> None:
    assert _check.boolean("flag", np.True_) is True
    with pytest.raises(TypeError, match=r"^flag: expected True or False, got 1 \(int\)$"):
        _check.boolean("flag", 1)
    assert _check.string("name", "ka2d") == "ka2d"
    with pytest.raises(TypeError, match=r"^name: expected a non-empty printable string, got 3 \(int\)$"):
        _check.string("name", 3)


def test_choice_names_the_nearest_option() -> None:
    options = ("swap", "local", "Langevin")
    assert _check.choice("algorithm", "swap", options) == "swap"
    with pytest.raises(
        ValueError, match=r"^algorithm: expected one of 'swap', 'local', 'Langevin', got 'swp'; did you mean 'swap'\?$"
    ):
        _check.choice("algorithm", "swp", options)
    with pytest.raises(ValueError, match=r"did you mean 'Langevin'\?$"):
        _check.choice("algorithm", "langevin", options)
    with pytest.raises(ValueError, match=r"got 'xyz'$"):
        _check.choice("algorithm", "xyz", options)
    with pytest.raises(TypeError, match=r"^algorithm: expected one of .*, got None \(NoneType\)$"):
        _check.choice("algorithm", None, options)


def test_keys() -> None:
    assert _check.keys("t", MappingProxyType({"a": 1, "b": 2}), ("a",), ("b", "c")) == {"a": 1, "b": 2}
    with pytest.raises(
        ValueError, match=r"^t: expected keys among sweeps, seed, got 'sweep'; the nearest valid key is 'sweeps'$"
    ):
        _check.keys("t", {"sweep": 1}, ("sweeps",), ("seed",))
    with pytest.raises(ValueError, match=r"^t: expected the key 'sweeps', got only these keys: none$"):
        _check.keys("t", {}, ("sweeps",))
    with pytest.raises(ValueError, match=r"^t: expected keys among a, got 7$"):
        _check.keys("t", {7: 1}, ("a",))
    with pytest.raises(TypeError, match=r"^t: expected a table of keys and values, got 3 \(int\)$"):
        _check.keys("t", 3)


def test_long_values_are_cut_short_in_messages() -> None:
    with pytest.raises(TypeError) as caught:
        _check.positive_int("n", list(range(1000)))
    assert len(str(caught.value)) < 150
    assert _check.describe(np.zeros((3, 2), dtype=np.float32)) == "an array of shape (3, 2) and type float32"


def test_float_array_converts_without_needless_copies() -> None:
    fitting = np.arange(6.0).reshape(2, 3)
    assert _check.float_array("x", fitting, (2, None)) is fitting
    for other in (fitting.astype(np.float32), fitting.astype(np.int16), fitting.astype(">f8"), np.asfortranarray(fitting)):
        result = _check.float_array("x", other, (None, 3))
        assert result.dtype == np.float64
        assert result.dtype.isnative
        assert result.flags.c_contiguous
        np.testing.assert_array_equal(result, fitting)
    assert _check.float_array("x", fitting[:, ::2]).flags.c_contiguous
    assert _check.float_array("x", [], (0,)).shape == (0,)
    assert np.isnan(_check.float_array("x", [math.nan], finite=False)).all()


@pytest.mark.parametrize(
    ("value", "shape", "error", "message"),
    [
        ([1.0, 2.0], (3,), ValueError, r"^x: expected shape \(3,\), got shape \(2,\)$"),
        ([1.0, 2.0], (None, 2), ValueError, r"^x: expected shape \(any, 2\), got shape \(2,\)$"),
        (1.0, (None,), ValueError, r"^x: expected shape \(any,\), got shape \(\)$"),
        ([1.0], (), ValueError, r"^x: expected shape \(\), got shape \(1,\)$"),
        ([[1.0, math.nan]], None, ValueError, r"^x: expected finite numbers, got nan at index \(0, 1\)$"),
        ([-math.inf], None, ValueError, r"^x: expected finite numbers, got -inf at index \(0,\)$"),
        ([True], None, TypeError, r"^x: expected an array of real numbers, got type bool$"),
        ([1j], None, TypeError, r"^x: expected an array of real numbers, got type complex128$"),
        (["1"], None, TypeError, r"^x: expected an array of real numbers, got \['1'\] \(list\)$"),
        ([None], None, TypeError, r"^x: expected an array of real numbers, got \[None\] \(list\)$"),
        ([[1.0], [1.0, 2.0]], None, TypeError, r"^x: expected an array of real numbers, got \[\[1\.0\], \[1\.0, 2\.0\]\]"),
        (np.array(["2020-01-01"], dtype="M8[D]"), None, TypeError, r"^x: expected an array of real numbers, got type datetime"),
    ],
)
def test_bad_float_arrays(value: Any, shape: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _check.float_array("x", value, shape)


def test_int_array_converts_and_checks_limits() -> None:
    result = _check.int_array("s", [[0, 1], [2, 0]], (2, 2), low=0, high=2, dtype=np.int32)
    assert result.dtype == np.int32
    assert result.flags.c_contiguous
    assert _check.int_array("s", np.array([1, 2], dtype=np.uint64)).dtype == np.int64
    assert _check.int_array("s", [], (0,), dtype=np.int32).dtype == np.int32
    fitting = np.arange(4, dtype=np.int32)
    assert _check.int_array("s", fitting, dtype=np.int32) is fitting


@pytest.mark.parametrize(
    ("value", "options", "error", "message"),
    [
        ([0, 3], {"low": 0, "high": 2}, ValueError, r"^s: expected integers from 0 to 2, got 3 at index \(1,\)$"),
        ([0, -1], {"low": 0, "high": 2}, ValueError, r"^s: expected integers from 0 to 2, got -1 at index \(1,\)$"),
        ([2**31], {"dtype": np.int32}, ValueError, r"^s: expected integers from -2147483648 to 2147483647, got 2147483648"),
        (
            np.array([2**63], dtype=np.uint64),
            {},
            ValueError,
            r"^s: expected integers from -9223372036854775808 to 9223372036854775807",
        ),
        ([[0]], {"shape": (None,)}, ValueError, r"^s: expected shape \(any,\), got shape \(1, 1\)$"),
        ([0.0, 1.0], {}, TypeError, r"^s: expected an array of integers, got type float64$"),
        ([False], {}, TypeError, r"^s: expected an array of integers, got type bool$"),
        ("AB", {}, TypeError, r"^s: expected an array of integers, got 'AB' \(str\)$"),
        ([2**70], {}, TypeError, r"^s: expected an array of integers"),
    ],
)
def test_bad_int_arrays(value: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _check.int_array("s", value, **options)


@FIXED
@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=5),
        st.complex_numbers(),
        st.lists(st.one_of(st.floats(), st.integers(), st.text(max_size=2), st.none()), max_size=3),
        st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    )
)
def test_every_check_returns_or_names_the_argument(value: Any) -> None:
    checks: list[Callable[[str, Any], Any]] = [
        _check.positive_int,
        _check.nonnegative_int,
        _check.integer,
        _check.finite_float,
        _check.positive_float,
        _check.nonnegative_float,
        _check.probability,
        _check.boolean,
        _check.string,
        _check.float_array,
        _check.int_array,
        _check.keys,
        lambda name, v: _check.choice(name, v, ("a", "b")),
    ]
    for check in checks:
        try:
            check("argument", value)
        except (TypeError, ValueError) as error:
            assert str(error).startswith("argument: expected "), (check, value)
            assert ", got " in str(error)


# -- optional libraries -----------------------------------------------------------------------------------------------


def test_require_returns_the_module() -> None:
    assert _optional.require("math", extra="analysis", purpose="arithmetic") is math
    assert _optional.available("math")


def test_a_missing_module_is_explained() -> None:
    message = r"^no_such_module is needed for order parameters: pip install 'glassnf\[analysis\]'$"
    with pytest.raises(ImportError, match=message) as caught:
        _optional.require("no_such_module", extra="analysis", purpose="order parameters")
    assert caught.value.name == "no_such_module"
    assert not _optional.available("no_such_module")
    with pytest.raises(ImportError, match=r"^no_such_module\.part is needed for x: pip install"):
        _optional.require("no_such_module.part", extra="io", purpose="x")
    assert not _optional.available("no_such_module.part")


@pytest.mark.parametrize(
    ("source", "reason"),
    [("import no_such_dependency", "No module named 'no_such_dependency'"), ("raise OSError('no library')", "no library")],
)
def test_a_broken_module_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str) -> None:
    (tmp_path / "broken_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_module", raising=False)
    message = (
        rf"^broken_module is needed for x: pip install 'glassnf\[io\]' \(it is installed, but its import failed: {reason}\)$"
    )
    with pytest.raises(ImportError, match=message):
        _optional.require("broken_module", extra="io", purpose="x")
