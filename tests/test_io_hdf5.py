"""Ensembles in HDF5 files: bit for bit back, and clear errors for every other file."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glassnf.ensemble import Ensemble
from glassnf.io import DamagedFileError, FileFormatError, RunFile, container, hdf5, load_ensemble, save_ensemble
from glassnf.io.container import BLOCK
from glassnf.systems import PairPotential, System, custom
from sealing import changed, seal_again


def small_system(dimension: int = 2) -> System:
    potential = PairPotential("inverse_power", sigma=[[1.0, 0.8], [0.8, 0.9]], epsilon=1.0)
    return custom("mixture µ", potential=potential, composition=(3, 2), box=[3.0, 10.0 / 3.0, 4.0][:dimension])


def make(replicas: int = 3, dimension: int = 2, velocities: bool = True) -> Ensemble:
    rng = np.random.default_rng(5)
    shape = (replicas, 5, dimension)
    species = np.array([[0, 1, 0, 1, 0]] * replicas)
    return Ensemble.from_arrays(
        small_system(dimension),
        rng.uniform(-20, 20, shape),
        species=species,
        velocities=rng.normal(size=shape) if velocities else None,
        temperature=rng.uniform(0.1, 1.0, replicas),
        seed=2**64 - 3,
        step=2**44 - 7,
        ids=2**40 - 1 - np.arange(replicas),
        move_size=rng.uniform(0.01, 0.5, replicas),
    )


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("velocities", [True, False])
def test_round_trip_is_exact(tmp_path: Path, dimension: int, velocities: bool) -> None:
    ensemble = make(dimension=dimension, velocities=velocities)
    ensemble.energy[0] = np.nextafter(ensemble.energy[0], 0.0)  # stored, not computed again
    path = tmp_path / "a.h5"
    ensemble.save(path)
    assert Ensemble.load(path).identical_to(ensemble)
    ensemble[:1].save(str(path))
    assert Ensemble.load(str(path)).identical_to(ensemble[:1])
    assert os.listdir(tmp_path) == ["a.h5"]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    positions=hnp.arrays(np.float64, (2, 5, 2), elements=st.floats(-1e6, 1e6)),
    velocities=hnp.arrays(np.float64, (2, 5, 2), elements=st.floats(allow_nan=False, allow_infinity=False)),
    seed=st.integers(0, 2**64 - 1),
    temperature=st.floats(1e-6, 1e6),
)
def test_round_trip_of_any_numbers(
    tmp_path: Path, positions: np.ndarray, velocities: np.ndarray, seed: int, temperature: float
) -> None:
    ensemble = Ensemble.from_arrays(small_system(), positions, velocities=velocities, temperature=temperature, seed=seed)
    save_ensemble(tmp_path / "a.h5", ensemble)
    assert load_ensemble(tmp_path / "a.h5").identical_to(ensemble)


def test_attributes(tmp_path: Path) -> None:
    make().save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert file.attrs["format"] == "glassnf"
        assert file.attrs["format_version"] == 2
        assert isinstance(file.attrs["glassnf_version"], str)
        assert str(file.attrs["created"]).endswith("+00:00")
        assert json.loads(file["ensemble/system"][()].tobytes()) == make().system.to_dict()


def test_groups_may_lie_anywhere(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        hdf5.write_ensemble(file.create_group("deep/inside"), make())
        assert hdf5.read_ensemble(file["deep/inside"]).identical_to(make())


def test_an_invalid_ensemble_is_not_written(tmp_path: Path) -> None:
    ensemble = make()
    path = tmp_path / "a.h5"
    ensemble.save(path)
    before = path.read_bytes()
    ensemble.positions[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="^positions: expected finite numbers, got nan"):
        ensemble.save(path)
    with pytest.raises(TypeError, match="^ensemble: expected an Ensemble, got dict"):
        save_ensemble(path, {})  # type: ignore[arg-type]
    assert path.read_bytes() == before


def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    old = make()
    old.save(path)
    real = hdf5.write_dataset

    def fail(group: Any, name: str, array: np.ndarray) -> None:
        if name == "ids":
            raise OSError(28, "No space left on device")
        real(group, name, array)

    monkeypatch.setattr(hdf5, "write_dataset", fail)
    with pytest.raises(OSError, match="No space left"):
        old[:1].save(path)
    monkeypatch.undo()
    assert Ensemble.load(path).identical_to(old)
    assert os.listdir(tmp_path) == ["a.h5"]


# --------------------------------------------------------------------------------------------------------------- other files


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="^path: expected an existing file, got '.*no.h5'"):
        Ensemble.load(tmp_path / "no.h5")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an HDF5 file of glassnf, got an empty file"),
        (b"3\n\nA 0 0\n", "expected an HDF5 file of glassnf, got a damaged file or one of another format"),
        (b"\x89HDF\r\n\x1a\n", "expected an HDF5 file of glassnf, got a truncated or damaged file"),
        (b"\x00" * 4096, "expected an HDF5 file of glassnf, got a damaged file or one of another format"),
        (b"glassnf", "expected an HDF5 file of glassnf, got a damaged file or one of another format"),
        (b"glassnf 2", "expected an HDF5 file of glassnf, got a truncated or damaged one"),
        (b"glassnf 2\nbytes 1\n", "expected an HDF5 file of glassnf, got a truncated or damaged one"),
        (b"glassnf 3\n" + b"\x00" * 600, "format_version: expected 2, got 3: another version of glassnf wrote the file"),
    ],
)
def test_foreign_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=rf"a\.h5: {message}"):
        Ensemble.load(path)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="^path: expected a regular file"):
        Ensemble.load(tmp_path)


def test_foreign_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = [1, 2]
    with pytest.raises(
        FileFormatError, match=r"a\.h5: format: expected 'glassnf', got None: the file was not written by glassnf"
    ):
        Ensemble.load(path)


@pytest.mark.parametrize("part", [0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_truncated_files(tmp_path: Path, part: float) -> None:
    path = tmp_path / "a.h5"
    make().save(path)
    content = path.read_bytes()
    for length in {int(len(content) * part), int(len(content) * part) // 8 * 8, len(content) - int(1 / part)}:
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError, match=r"a\.h5: expected"):
            Ensemble.load(path)


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    make().save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(3)
    places = {*range(0, 8 * 120, 2), *rng.integers(0, 8 * len(content), 300).tolist()}
    for place in places:
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=r"a\.h5: (expected|format_version)"):
            Ensemble.load(path)
    for extra in (b"\0", b"x" * 512):
        path.write_bytes(content + extra)
        with pytest.raises(DamagedFileError, match=f"expected {len(content)} bytes, got {len(content) + len(extra)}"):
            Ensemble.load(path)


def test_damage_never_reaches_the_hdf5_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    make().save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(h5py, "File", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(DamagedFileError, match="expected the SHA-256 that the file begins with, got another"):
        Ensemble.load(path)


def test_a_disk_that_cannot_be_read_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    make().save(path)

    def fail(file: Any) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(container, "check", fail)
    with pytest.raises(DamagedFileError, match=r"a\.h5: expected a file that can be read, got an error: .*Input/output error"):
        Ensemble.load(path)


def test_arrays_have_checksums_behind_the_seal(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    ensemble = make()
    ensemble.save(path)
    content = path.read_bytes()
    for name in ("positions", "species", "velocities", "ids"):
        start = content.index(getattr(ensemble, name).tobytes())
        damaged = bytearray(content)
        damaged[start + 5] ^= 0x10
        path.write_bytes(damaged)
        seal_again(path)
        with pytest.raises(FileFormatError, match=r"a\.h5: expected an undamaged file"):
            Ensemble.load(path)


def test_random_damage_behind_the_seal_raises_nothing_but_format_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    ensemble = make()
    ensemble.save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(BLOCK, len(content), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        seal_again(path)
        try:
            Ensemble.load(path).validate()
        except FileFormatError as error:
            assert str(path) in str(error)


def test_the_seal_is_text_that_says_what_it_covers(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    make().save(path)
    content = path.read_bytes()
    digest = hashlib.sha256(content[BLOCK:]).hexdigest()
    assert content[:BLOCK].rstrip(b"\0").decode() == f"glassnf 2\nbytes {len(content) - BLOCK:020d}\nsha256 {digest}\n"
    with h5py.File(path, "r") as file:  # other programs see plain HDF5
        assert file["ensemble/positions"].shape == (3, 5, 2)


def test_the_same_ensemble_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        with hdf5.create(tmp_path / name) as file:
            hdf5.write_header(file, "2026-01-01T00:00:00+00:00")
            hdf5.write_ensemble(file.create_group("ensemble"), make())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_files_without_a_seal(tmp_path: Path) -> None:
    """Those of version 1 are read; a file of version 2 that has lost it was rewritten by another program."""
    old = RunFile.open(Path(__file__).parent / "data" / "run_version_1.h5")
    assert (old.ensemble.step, old.n_records, old.parameters) == (3, 3, {"sweeps": 4, "T": 0.5})
    np.testing.assert_array_equal(old.state["ladder"], [0.5, 0.25])
    np.testing.assert_array_equal(old.records["energy"][:, 1], 2.0 * np.sqrt([0, 1, 2]))
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        hdf5.write_header(file)
    with pytest.raises(FileFormatError, match=r"a\.h5: expected the block with the SHA-256 at the start, got none: another"):
        Ensemble.load(path)


def tamper(path: Path, name: str, value: Any) -> None:
    with changed(path) as file:
        del file[name]
        if value is not None:
            file[name] = value


@pytest.mark.parametrize("name", ["positions", "images", "species", "beta", "energy", "ids", "move_size", "system"])
def test_missing_fields_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.h5"
    make().save(path)
    tamper(path, f"ensemble/{name}", None)
    with pytest.raises(FileFormatError, match=rf"a\.h5: {name}: expected a dataset of this name in '/ensemble', got nothing"):
        Ensemble.load(path)


def test_missing_attributes_and_groups_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for name in ("seed", "step"):
        make().save(path)
        with changed(path) as file:
            del file["ensemble"].attrs[name]
        with pytest.raises(FileFormatError, match=rf"a\.h5: {name}: expected this attribute in '/ensemble'"):
            Ensemble.load(path)
    make().save(path)
    tamper(path, "ensemble", None)
    with pytest.raises(FileFormatError, match=r"a\.h5: ensemble: expected a group of this name in '/', got nothing"):
        Ensemble.load(path)
    with changed(path) as file:
        file["ensemble"] = [1.0]
    with pytest.raises(FileFormatError, match=r"a\.h5: ensemble: expected a group of this name in '/', got a dataset"):
        Ensemble.load(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("positions", np.zeros((3, 5, 3)), r"system: expected a box of 3 sides"),
        ("positions", np.zeros((3, 4, 2)), r"system: expected a composition of 4 particles"),
        ("positions", np.zeros((3, 5)), r"positions: expected shape \(replicas, particles, dimensions\), got \(3, 5\)"),
        ("positions", np.zeros((2, 5, 2)), r"images: expected shape \(2, 5, 2\), got \(3, 5, 2\)"),
        ("positions", np.zeros((3, 5, 2), np.float32), "positions: expected type float64, got float32"),
        ("positions", np.full((3, 5, 2), np.nan), "ensemble: .*positions: expected finite numbers, got nan"),
        ("positions", np.full((3, 5, 2), 99.0), "ensemble: .*positions: expected coordinates in"),
        ("positions", "text", "positions: expected numbers, got type object"),
        ("images", np.zeros((3, 5, 2)), "images: expected type int32, got float64"),
        ("species", np.full((3, 5), 9, np.int32), "ensemble: .*species: expected integers from 0 to 1, got 9"),
        ("species", np.zeros((3, 5), np.int32), "ensemble: .*species: expected the composition"),
        ("velocities", np.zeros((3, 5, 1)), r"velocities: expected shape \(3, 5, 2\), got \(3, 5, 1\)"),
        ("beta", np.full(3, -1.0), "ensemble: .*beta: expected non-negative"),
        ("energy", np.zeros(4), r"energy: expected shape \(3\), got \(4,\)"),
        ("ids", np.zeros(3, np.int64), "ensemble: .*ids: expected distinct"),
        ("move_size", np.zeros(3), "ensemble: .*move_size: expected positive"),
    ],
)
def test_tampered_arrays(tmp_path: Path, name: str, value: Any, message: str) -> None:
    path = tmp_path / "a.h5"
    make().save(path)
    tamper(path, f"ensemble/{name}", value)
    with pytest.raises(FileFormatError, match=rf"a\.h5: {message}"):
        Ensemble.load(path)


@pytest.mark.parametrize("name", ["positions", "images", "energy", "system"])
def test_enormous_shapes_are_refused_before_allocation(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.h5"
    make().save(path)
    with changed(path) as file:
        group = file["ensemble"]
        dtype, dimensions = group[name].dtype, group[name].ndim
        del group[name]
        shape = (2**40, 5, 2)[:dimensions]
        group.create_dataset(name, shape=shape, dtype=dtype, chunks=(1024, 5, 2)[:dimensions])
    with pytest.raises(FileFormatError, match=rf"a\.h5: {name}: expected \d+ bytes for shape .*, got 0 in the file"):
        Ensemble.load(path)


GOOD = {"name": "x", "composition": [3, 2], "box": [3.0, 3.0], "potential": {}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "system: expected JSON text, got text that is not"),
        (b"\xff\xfe", "system: expected JSON text, got text that is not"),
        (b"[" * 100_000, "system: expected JSON text, got text that is not"),
        (b"[1, 2]", "system: expected a JSON object"),
        (json.dumps({**GOOD, "composition": None}).encode(), "system: expected a JSON object with the keys"),
        (json.dumps({**GOOD, "composition": [10**12, 0]}).encode(), "system: expected a composition of 5 particles"),
        (json.dumps({**GOOD, "composition": [2.5, 2.5]}).encode(), "system: expected a composition of 5 particles"),
        (json.dumps({**GOOD, "box": [3.0]}).encode(), "system: expected a box of 2 sides"),
        (json.dumps(GOOD).encode(), "system: expected a description of a system, got one that is not valid: .*kind"),
    ],
)
def test_broken_systems(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "a.h5"
    make().save(path)
    tamper(path, "ensemble/system", np.frombuffer(text, np.uint8))
    with pytest.raises(FileFormatError, match=rf"a\.h5: {message}"):
        Ensemble.load(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format", "hoomd", "format: expected 'glassnf', got 'hoomd'"),
        ("format", 7, "format: expected 'glassnf', got 7"),
        ("format", np.array([1.0, 2.0]), "format: expected 'glassnf', got array"),
        ("format_version", 3, "format_version: expected 2, got 3: another version of glassnf wrote the file"),
        ("format_version", "one", "format_version: expected an integer attribute in '/', got 'one'"),
        ("format_version", [1, 2], "format_version: expected an integer attribute in '/'"),
    ],
)
def test_other_versions(tmp_path: Path, name: str, value: Any, message: str) -> None:
    path = tmp_path / "a.h5"
    make().save(path)
    with changed(path) as file:
        file.attrs[name] = value
    with pytest.raises(FileFormatError, match=rf"a\.h5: {message}"):
        Ensemble.load(path)
