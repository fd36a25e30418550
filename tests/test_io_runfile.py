"""The file of a long run: records, counters, state, and survival of kills."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glassnf.io.hdf5
from glassnf.ensemble import Ensemble
from glassnf.io import FileFormatError, RunFile, differences, read_records
from glassnf.io.runfile import listed
from glassnf.systems import PairPotential, custom
from sealing import changed


def make(step: int = 0, n: int = 4) -> Ensemble:
    system = custom("soft", potential=PairPotential("harmonic", sigma=[[1.0]], epsilon=1.0), composition=(n,), box=[3.0, 3.0])
    positions = np.random.default_rng(1).uniform(0, 3, (2, n, 2))
    return Ensemble.from_arrays(system, positions, temperature=0.5, seed=3, step=step)


def some_records(first: int, count: int) -> dict[str, np.ndarray]:
    sweeps = np.arange(first, first + count)
    return {"sweep": sweeps, "energy": np.sqrt(sweeps)[:, None] * [1.0, 2.0], "species": np.ones((count, 2, 4), np.int32)}


def test_a_run_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    parameters = {
        "sweeps": 100,
        "swap_probability": 0.2,
        "name": "a",
        "at": np.array([1, 2]),
        "nothing": None,
        "deep": {"x": (1, 2.5)},
    }
    run = RunFile.create(path, make(), parameters)
    assert RunFile.open(path).records == {}
    run.append(some_records(0, 3), {"accepted": [1, 2], "pairs": 7, "time": 0.1})
    run.append(some_records(3, 0), {"accepted": [0, 0], "pairs": 0, "time": 0.0})
    run.checkpoint(make(3), {"ladder": np.array([0.1, 1 / 3]), "round": 4, "names": ["a"], "deep": {"pi": 0.1 + 0.2}})

    again = RunFile.open(path)
    assert again.n_records == 3
    assert again.ensemble.identical_to(make(3))
    again.append(some_records(3, 2), {"accepted": [10, 20], "pairs": np.int64(1), "time": 0.2})
    assert RunFile.open(path).n_records == 3  # not before the next checkpoint
    again.checkpoint(make(5))

    final = RunFile.open(path)
    assert final.parameters == {
        "sweeps": 100,
        "swap_probability": 0.2,
        "name": "a",
        "at": [1, 2],
        "nothing": None,
        "deep": {"x": [1, 2.5]},
    }
    assert differences(final.parameters, parameters) == []
    assert final.ensemble.identical_to(make(5))
    assert Ensemble.load(path).identical_to(make(5))
    assert final.state == {}
    for records in (final.records, read_records(path)):
        assert set(records) == {"sweep", "energy", "species"}
        for name, expected in some_records(0, 5).items():
            assert records[name].dtype == expected.dtype
            assert records[name].tobytes() == expected.tobytes()
    np.testing.assert_array_equal(final.counters["accepted"], [11, 22])
    assert final.counters["accepted"].dtype == np.int64
    assert (final.counters["pairs"].shape, int(final.counters["pairs"])) == ((), 8)
    assert float(final.counters["time"]) == 0.1 + 0.0 + 0.2
    assert sorted(os.listdir(tmp_path)) == ["run.h5", "run.h5.previous"]
    assert RunFile.open(again.previous).ensemble.identical_to(make(3))
    again.remove_previous()
    assert os.listdir(tmp_path) == ["run.h5"]
    assert "records=5, step=5" in repr(final)


def test_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    run = RunFile.create(path, make(), {})
    state = {
        "ladder": np.array([0.1, 1 / 3, np.nan]),
        "families": np.arange(4, dtype=np.int32),
        "deep": {"pi": 0.1 + 0.2},
        "n": 3,
    }
    run.checkpoint(make(), state)
    for found in (run.state, RunFile.open(path).state):
        assert set(found) == set(state)
        for name in ("ladder", "families"):
            assert found[name].dtype == state[name].dtype  # type: ignore[attr-defined]
            assert found[name].tobytes() == state[name].tobytes()  # type: ignore[attr-defined]
        assert found["deep"] == {"pi": 0.1 + 0.2}
        assert found["n"] == 3


def test_the_creation_date_stays(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    RunFile.create(path, make(), {})
    with changed(path) as file:
        file.attrs["created"] = "2001-01-01T00:00:00+00:00"
    RunFile.open(path).checkpoint(make(1))
    with h5py.File(path, "r") as file:
        assert file.attrs["created"] == "2001-01-01T00:00:00+00:00"


def test_an_old_run_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    RunFile.create(path, make(1), {})
    with pytest.raises(FileExistsError, match=r"^path: expected the name of a new file, got '.*run\.h5', which exists"):
        RunFile.create(path, make(2), {})
    assert RunFile.open(path).ensemble.step == 1
    RunFile.create(path, make(2), {}, overwrite=True)
    assert RunFile.open(path).ensemble.step == 2


def test_records_are_copied(tmp_path: Path) -> None:
    run = RunFile.create(tmp_path / "run.h5", make(), {})
    records = some_records(0, 2)
    counters = {"accepted": np.array([1, 2])}
    run.append(records, counters)
    records["sweep"][:] = -1
    counters["accepted"][:] = -1
    np.testing.assert_array_equal(run.records["sweep"], [0, 1])
    np.testing.assert_array_equal(run.counters["accepted"], [1, 2])
    ensemble = make(9)
    run.checkpoint(ensemble)
    ensemble.step = 10
    assert run.ensemble.step == 9


@pytest.mark.parametrize(
    ("records", "counters", "error", "message"),
    [
        ({"sweep": [1]}, {}, ValueError, r"records: expected the names \['energy', 'species', 'sweep'\], got \['sweep'\]"),
        ({**some_records(0, 2), "sweep": [1]}, {}, ValueError, "records: expected arrays with as many records each"),
        ({**some_records(0, 1), "sweep": 1}, {}, ValueError, r"records\['sweep'\]: expected an array whose first axis"),
        ({**some_records(0, 1), "sweep": ["a"]}, {}, TypeError, r"records\['sweep'\]: expected an array of numbers"),
        ({**some_records(0, 1), "sweep": [1.0]}, {}, ValueError, r"records\['sweep'\]: expected shape .* and type int64, got"),
        ({**some_records(0, 1), "energy": np.zeros((1, 3))}, {}, ValueError, r"records\['energy'\]: expected shape \(any, 2\)"),
        ([1], {}, TypeError, "records: expected a mapping"),
        ({"a/b": [1]}, {}, ValueError, "records: expected names without '/'"),
        (some_records(0, 1), {"accepted": [1]}, ValueError, r"counters\['accepted'\]: expected shape \(2,\), got \(1,\)"),
        (some_records(0, 1), {"accepted": [1.0, 2.0]}, TypeError, r"counters\['accepted'\]: expected type int64, got float64"),
        (some_records(0, 1), {"..": 1}, ValueError, "counters: expected names without '/'"),
    ],
)
def test_bad_records_are_refused_whole(
    tmp_path: Path, records: Any, counters: Any, error: type[Exception], message: str
) -> None:
    run = RunFile.create(tmp_path / "run.h5", make(), {})
    run.append(some_records(0, 1), {"accepted": [1, 2]})
    with pytest.raises(error, match=f"^{message}"):
        run.append(records, counters)
    assert run.n_records == 1
    np.testing.assert_array_equal(run.counters["accepted"], [1, 2])


def test_bad_arguments(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with pytest.raises(TypeError, match="^ensemble: expected an Ensemble"):
        RunFile.create(path, None, {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^parameters: expected a mapping, got list"):
        RunFile.create(path, make(), [])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^parameters.a.b\[1\]: expected a number, string, list or mapping, got object"):
        RunFile.create(path, make(), {"a": {"b": [1, object()]}})
    with pytest.raises(TypeError, match="^parameters: expected keys that are strings, got 1"):
        RunFile.create(path, make(), {1: 2})  # type: ignore[dict-item]
    with pytest.raises(FileNotFoundError, match="^path: expected a name in an existing folder"):
        RunFile.create(tmp_path / "no" / "run.h5", make(), {})
    assert os.listdir(tmp_path) == []
    run = RunFile.create(path, make(), {})
    with pytest.raises(ValueError, match="^ensemble: expected an ensemble of <System"):
        run.checkpoint(make(n=3))
    broken = make()
    broken.beta[:] = np.nan
    with pytest.raises(ValueError, match="^beta: expected finite numbers"):
        run.checkpoint(broken)
    with pytest.raises(TypeError, match="^state.a: expected a number"):
        run.checkpoint(make(), {"a": object()})
    assert RunFile.open(path).ensemble.identical_to(make())


# ------------------------------------------------------------------------------------------------------------------- failures


def test_a_failing_checkpoint_leaves_the_previous_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.h5"
    run = RunFile.create(path, make(), {})
    run.append(some_records(0, 2))
    run.checkpoint(make(2), {"a": 1})
    run.append(some_records(2, 2))

    def fail(*arguments: Any, **keywords: Any) -> None:
        raise OSError(28, "No space left on device")

    for place in ("os.replace", "os.fsync", "os.link", "glassnf.io.hdf5.write_json"):
        with monkeypatch.context() as patch:
            patch.setattr(place, fail)
            with pytest.raises(OSError, match="No space left"):
                run.checkpoint(make(4), {"a": 2})
        found = RunFile.open(path)
        assert (found.n_records, found.ensemble.step, found.state) == (2, 2, {"a": 1})
        assert sorted(os.listdir(tmp_path)) == ["run.h5", "run.h5.previous"]
        assert RunFile.open(run.previous).ensemble.step == 0
    run.checkpoint(make(4), {"a": 2})
    found = RunFile.open(path)
    assert (found.n_records, found.ensemble.step, found.state) == (4, 4, {"a": 2})


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_truncated_run_files(tmp_path: Path, part: float) -> None:
    path = tmp_path / "run.h5"
    run = RunFile.create(path, make(), {})
    run.append(some_records(0, 50), {"accepted": [1, 2]})
    run.checkpoint(make(50))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    for function in (RunFile.open, read_records, Ensemble.load):
        with pytest.raises(FileFormatError, match=r"run\.h5: expected"):
            function(path)


def test_an_ensemble_file_is_not_a_run_file(tmp_path: Path) -> None:
    make().save(tmp_path / "a.h5")
    with pytest.raises(FileFormatError, match=r"a\.h5: parameters: expected a dataset of this name in '/', got nothing"):
        RunFile.open(tmp_path / "a.h5")
    with pytest.raises(FileFormatError, match=r"a\.h5: records: expected a group of this name in '/', got nothing"):
        read_records(tmp_path / "a.h5")
    with pytest.raises(FileNotFoundError, match="^path: expected an existing file"):
        RunFile.open(tmp_path / "b.h5")


def test_tampered_run_files(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"

    def fresh() -> None:
        run = RunFile.create(path, make(), {}, overwrite=True)
        run.append(some_records(0, 3))
        run.checkpoint(make())

    fresh()
    with changed(path) as file:
        del file["records/sweep"]
        file["records/sweep"] = np.arange(4)
    with pytest.raises(FileFormatError, match="records: expected arrays with as many records each"):
        read_records(path)
    fresh()
    with changed(path) as file:
        del file["records/sweep"]
        file["records"].create_dataset("sweep", shape=(2**45,), dtype=np.int64, chunks=(1024,))
    with pytest.raises(FileFormatError, match="sweep: expected 281474976710656 bytes for shape .*, got 0"):
        read_records(path)
    fresh()
    with changed(path) as file:
        del file["parameters"]
        glassnf.io.hdf5.write_json(file, "parameters", [1])
    with pytest.raises(FileFormatError, match="parameters, state: expected JSON objects"):
        RunFile.open(path)


# ---------------------------------------------------------------------------------------------------------------- differences


def test_differences() -> None:
    a = {"sweeps": 1000, "T": 0.3, "swap": 0.2, "at": [1, 2], "mc": {"a": 1, "b": True}, "x": None, "nan": float("nan")}
    assert differences(a, dict(a)) == []
    assert differences(a, {**a, "sweeps": 1000.0, "at": np.array([1.0, 2.0]), "T": np.float64(0.3)}) == []
    b = {"sweeps": 2000, "T": 0.3, "at": (1, 3), "mc": {"a": 1, "b": 1}, "x": 0, "nan": float("nan"), "new": "word"}
    assert differences(a, b) == [
        "at: [1, 2] != [1, 3]",
        "mc.b: True != 1",
        "new: absent != 'word'",
        "swap: 0.2 != absent",
        "sweeps: 1000 != 2000",
        "x: None != 0",
    ]
    assert differences({"a": {"b": 1}}, {"a": 1}) == ["a: {'b': 1} != 1"]
    with pytest.raises(TypeError, match="^parameters_b.a: expected"):
        differences({}, {"a": {1, 2}})


def test_differences_can_be_shown_whatever_is_in_a_file() -> None:
    """As a fuzzer found: names that move the cursor, values without end."""
    (line,) = differences({"\x1b[2J": 1}, {})
    assert line == "\\x1b[2J: 1 != absent"
    long = [0.5] * 400
    assert differences({"cold": long}, {"cold": [*long[:-1], 0.25]}) == ["cold: [399] of 400: 0.5 != 0.25"]
    (line,) = differences({"name": "a" * 500}, {"name": "a" * 501})
    assert line.endswith("... != one that begins alike")
    assert len(line) < 150
    (line,) = differences({"a" * 500: {"b" * 500: 10**400}}, {"a" * 500: {}})
    assert line.endswith("... != absent")
    assert len(line) < 250
    few = [f"parameter_{k}: {k} != {k + 1}" for k in range(30)]
    assert listed(few) == "; ".join(few)
    assert listed(["x" * 600, *few * 20]).endswith("more")
    assert len(listed(["x" * 6000, *few * 20])) < 1100


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_parameters_survive_json(parameters: dict[str, Any]) -> None:
    assert differences(json.loads(json.dumps(parameters)), parameters) == []
