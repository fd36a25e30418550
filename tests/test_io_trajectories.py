"""GSD, extended XYZ and LAMMPS dumps: round trips, files of other programs, malformed files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gsd.hoomd
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glassnf import io
from glassnf.ensemble import Ensemble
from glassnf.io import FileFormatError, Frames
from glassnf.systems import PairPotential, System, custom

GSD_POSITION = 1e-7
"""Error of a coordinate in GSD, in box sides: float32 of numbers up to half a side."""

TEXT_FORMATS = [(".xyz", io.write_extxyz, io.read_extxyz), (".dump", io.write_lammps_dump, io.read_lammps_dump)]
FORMATS = [*TEXT_FORMATS, (".gsd", io.write_gsd, io.read_gsd)]


def mixture(dimension: int = 2, names: tuple[str, ...] | None = None) -> System:
    potential = PairPotential("inverse_power", sigma=[[1.0, 0.8], [0.8, 0.9]], epsilon=1.0)
    return custom("mix", potential=potential, composition=(3, 2), box=[3.0, 10 / 3, 4.1][:dimension], species_names=names)


def make(dimension: int = 2, replicas: int = 3, names: tuple[str, ...] | None = None) -> Ensemble:
    rng = np.random.default_rng(5)
    species = np.array([[0, 1, 0, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 1]])[:replicas]
    positions = rng.uniform(-20, 20, (replicas, 5, dimension))
    temperature = rng.uniform(0.1, 1.0, replicas)
    return Ensemble.from_arrays(mixture(dimension, names), positions, species=species, temperature=temperature, seed=3)


# ---------------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".xyz", ".extxyz", ".XYZ", ".lammpstrj", ".dump"])
def test_ensembles_come_back_bit_for_bit(tmp_path: Path, dimension: int, suffix: str) -> None:
    ensemble = make(dimension)
    path = tmp_path / f"a{suffix}"
    io.write(path, ensemble)
    temperature = ensemble.temperature if suffix in (".lammpstrj", ".dump") else None
    found = io.read(path, ensemble.system, temperature=temperature)
    for name in ("positions", "images", "species", "energy"):
        assert getattr(found, name).tobytes() == getattr(ensemble, name).tobytes(), name
    np.testing.assert_array_equal(found.temperature, ensemble.temperature)
    assert (found.seed, found.step) == ((3, 0) if suffix in (".h5", ".hdf5") else (0, 0))
    assert io.read(str(path), ensemble.system, temperature=0.5, seed=9).seed == 9
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("dimension", [2, 3])
def test_gsd_keeps_single_precision(tmp_path: Path, dimension: int) -> None:
    ensemble = make(dimension)
    path = tmp_path / "a.gsd"
    io.write(path, ensemble)
    found = io.read(path, ensemble.system)
    scale = ensemble.system.box
    np.testing.assert_allclose((found.unwrapped() - ensemble.unwrapped()) / scale, 0.0, atol=GSD_POSITION)
    np.testing.assert_array_equal(found.species, ensemble.species)
    np.testing.assert_array_equal(found.temperature, ensemble.temperature)
    with gsd.hoomd.open(str(path), "r") as file:
        frame = file[1]
    assert frame.configuration.dimensions == dimension
    assert frame.configuration.step == 1
    assert frame.particles.types == ["A", "B"]
    assert (np.abs(frame.particles.position[:, :dimension]) <= 0.5 * scale.astype(np.float32)).all()
    np.testing.assert_array_equal(frame.particles.image[:, :dimension], ensemble.images[1])


@pytest.mark.parametrize("edge", [0.0, np.nextafter(3.0, 0.0), 1e-9])
def test_gsd_at_the_edges_of_the_box(tmp_path: Path, edge: float) -> None:
    """A coordinate that single precision rounds to L is 0 of the next image."""
    io.write_gsd(tmp_path / "a.gsd", (np.full((1, 2), edge), [0], [3.0, 3.0]))
    frames = io.read_gsd(tmp_path / "a.gsd")
    assert (frames.positions < 3.0).all()
    np.testing.assert_allclose(frames.unwrapped(), edge, atol=3 * GSD_POSITION)


@pytest.mark.parametrize(("suffix", "write", "read"), FORMATS)
def test_arrays_of_records(tmp_path: Path, suffix: str, write: Callable[..., None], read: Callable[..., Frames]) -> None:
    """Unwrapped positions of one replica at several times."""
    rng = np.random.default_rng(2)
    positions, species, box = rng.normal(0, 30, (4, 6, 3)), rng.integers(0, 3, (4, 6)), np.array([2.0, 3.0, 5.0])
    species[0] = [0, 1, 2, 0, 1, 2]
    path = tmp_path / f"a{suffix}"
    write(path, (positions, species, box), steps=[0, 10, 100, 2**40])
    frames = read(path)
    assert len(frames) == 4
    np.testing.assert_array_equal(frames.steps, [0, 10, 100, 2**40])
    assert frames.types == (("1", "2", "3") if suffix == ".dump" else ("A", "B", "C"))
    np.testing.assert_array_equal(frames.species, species)
    np.testing.assert_array_equal(frames.box, box)
    assert frames.temperature is None
    np.testing.assert_allclose(frames.unwrapped(), positions, rtol=0, atol=2e-6 if suffix == ".gsd" else 1e-13)
    write(path, frames)  # Frames are a source too
    again = read(path)
    if suffix != ".gsd":
        assert again.positions.tobytes() == frames.positions.tobytes()
    for name in ("images", "species", "box", "steps"):
        np.testing.assert_array_equal(getattr(again, name), getattr(frames, name))
    assert again.types == frames.types
    write(path, (positions[0], species[0], box))
    np.testing.assert_array_equal(read(path).species, species[:1])


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    positions=hnp.arrays(np.float64, (2, 3, 2), elements=st.floats(-1e5, 1e5)),
    box=hnp.arrays(np.float64, (2,), elements=st.floats(1e-3, 1e3)),
)
def test_text_keeps_every_bit(tmp_path: Path, positions: np.ndarray, box: np.ndarray) -> None:
    for suffix, write, read in TEXT_FORMATS:
        path = tmp_path / f"a{suffix}"
        write(path, (positions, [0, 1, 1], box))
        first = read(path, dimension=2)
        np.testing.assert_array_equal(first.box, box)
        write(path, first)
        second = read(path, dimension=2)
        assert second.positions.tobytes() == first.positions.tobytes()
        assert second.images.tobytes() == first.images.tobytes()


@pytest.mark.parametrize(("suffix", "write", "read"), FORMATS)
def test_dimension(tmp_path: Path, suffix: str, write: Callable[..., None], read: Callable[..., Frames]) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, (np.ones((1, 2, 2)), [0, 0], [3.0, 3.0]))
    assert read(path).positions.shape == (1, 2, 2)
    write(path, (np.ones((1, 2, 3)), [0, 0], [3.0, 3.0, 3.0]))
    assert read(path).positions.shape == (1, 2, 3)
    with pytest.raises(FileFormatError, match=rf"a{suffix}: positions: expected"):
        read(path, dimension=2)


def test_names_of_species(tmp_path: Path) -> None:
    ensemble = make(names=("small ones", "large ones"))
    io.write(tmp_path / "a.gsd", ensemble)
    assert io.read_gsd(tmp_path / "a.gsd").types == ("small ones", "large ones")
    io.write_gsd(tmp_path / "b.gsd", ensemble, types=("klein", "größer"))
    assert io.read_gsd(tmp_path / "b.gsd").types == ("1", "2")
    io.write(tmp_path / "a.xyz", ensemble)
    assert io.read_extxyz(tmp_path / "a.xyz").types == ("1", "2")  # names that a column cannot hold
    for name in ("a.gsd", "a.xyz"):
        np.testing.assert_array_equal(io.read(tmp_path / name, ensemble.system).species, ensemble.species)
    io.write_extxyz(tmp_path / "a.xyz", ensemble, types=("Si", "O"))
    frames = io.read_extxyz(tmp_path / "a.xyz")
    assert frames.types == ("O", "Si")
    with pytest.raises(ValueError, match=r"a\.xyz: species: expected the types small ones, large ones or 1, 2 .*, got O, Si$"):
        io.read(tmp_path / "a.xyz", ensemble.system)
    np.testing.assert_array_equal(io.read(tmp_path / "a.xyz", mixture(names=("Si", "O"))).species, ensemble.species)
    with pytest.raises(ValueError, match="^types: expected at least 2 different names"):
        io.write_extxyz(tmp_path / "a.xyz", ensemble, types=("Si", "Si"))


def test_types_beyond_nine_are_in_order(tmp_path: Path) -> None:
    io.write_lammps_dump(tmp_path / "a.dump", (np.zeros((12, 2)), np.arange(12), [3.0, 3.0]))
    frames = io.read_lammps_dump(tmp_path / "a.dump")
    assert frames.types == tuple(str(k) for k in range(1, 13))
    np.testing.assert_array_equal(frames.species[0], np.arange(12))


# ------------------------------------------------------------------------------------------------------ files of other programs

ATOOMS = """5
columns:species,position dt:1 cell:3.0,3.5 rho:0.476 T:0.231 Model:mix
2 -1.4 -1.7
1 -0.5 0.25
1 1.4999 1.7
2 0.0 -0.0
1 1e-1 1.5
"""


def test_atooms_dialect(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(ATOOMS)
    system = custom("mix", potential=mixture().potential, composition=(3, 2), box=[3.0, 3.5])
    frames = io.read_extxyz(path)
    assert frames.types == ("1", "2")
    np.testing.assert_array_equal(frames.box, [3.0, 3.5])
    expected = [[-1.4, -1.7], [-0.5, 0.25], [1.4999, 1.7], [0.0, 0.0], [0.1, 1.5]]
    np.testing.assert_allclose(frames.unwrapped()[0], expected, rtol=0, atol=1e-15)
    ensemble = io.read(path, system)
    np.testing.assert_array_equal(ensemble.species, [[1, 0, 0, 1, 0]])
    np.testing.assert_array_equal(ensemble.temperature, [0.231])
    np.testing.assert_array_equal(io.read(path, system, temperature=0.5).temperature, [0.5])
    path.write_text(ATOOMS + ATOOMS.replace("dt:1", "step:200").replace(" T:0.231", ""))
    frames = io.read_extxyz(path)
    np.testing.assert_array_equal(frames.steps, [0, 200])
    assert frames.temperature is None
    path.write_text("1\ncolumns:id,position,velocity,radius step:7 cell:3.0,3.5,4.0\nA 1 2 3 0.1 0.2 0.3 0.5\n")
    assert io.read_extxyz(path).positions.tolist() == [[[1.0, 2.0, 3.0]]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cell:3.0,3.5", "cell:3.0", "cell: expected 2 or 3 sides separated by commas, got '3.0'"),
        ("cell:3.0,3.5", "cell:a,b", "cell: expected 2 or 3 sides separated by commas, got 'a,b'"),
        ("cell:3.0,3.5", "", "cell: expected 2 or 3 sides separated by commas, got ''"),
        ("cell:3.0,3.5", "cell:-3.0,3.5", "box: expected positive finite sides"),
        ("cell:3.0,3.5", "cell:nan,3.5", "box: expected positive finite sides"),
        ("species,position", "species,position,colour", "columns: expected columns among .*, got colour"),
        ("species,position", "position", "columns: expected species and position once each, got 'position'"),
        ("species,position", "species,position,position", "columns: expected species and position once each"),
        ("1 -0.5 0.25", "1 -0.5", "expected an extended XYZ file, got an error"),
        ("1 -0.5 0.25", "1 -0.5 x", "expected an extended XYZ file, got an error"),
        ("1 -0.5 0.25\n", "", r"line 7: expected atom 5 of 5, got nothing"),
        ("T:0.231", "T:-1", "temperature: expected positive finite numbers"),
    ],
)
def test_malformed_atooms_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(ATOOMS.replace(old, new))
    with pytest.raises(FileFormatError, match=rf"a\.xyz: {message}"):
        io.read_extxyz(path)


def test_plain_extended_xyz(tmp_path: Path) -> None:
    """Element names, extra columns, a tail of blank lines, no image column, unwrapped coordinates."""
    path = tmp_path / "a.xyz"
    head = (
        '2\nProperties=species:S:1:pos:R:3:forces:R:3 Lattice="3.0 0.0 0.0 0.0 4.0 0.0 0.0 0.0 5.0" energy=-1.5 pbc="T T T"\n'
    )
    path.write_text(head + "Si 1.0 2.0 3.0 0 0 0\nO -1.0 9.0 3.0 0 0 0\n\n\n")
    frames = io.read_extxyz(path)
    assert frames.types == ("O", "Si")
    np.testing.assert_array_equal(frames.species, [[1, 0]])
    np.testing.assert_array_equal(frames.unwrapped(), [[[1.0, 2.0, 3.0], [-1.0, 9.0, 3.0]]])
    np.testing.assert_array_equal(frames.positions, [[[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]]])


XYZ = """2
Lattice="3.0 0.0 0.0 0.0 4.0 0.0 0.0 0.0 5.0" Properties=species:S:1:pos:R:3:image:I:3 step=4 temperature=0.5
A 1.0 2.0 3.0 0 0 0
B 1.5 2.0 3.0 0 -1 0
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'Lattice="3.0 0.0 0.0 0.0 4.0 0.0 0.0 0.0 5.0" ',
            "",
            "Lattice: expected a box in the comment line of frame 0, got none",
        ),
        ("3.0 0.0 0.0 0.0 4.0", "3.0 0.1 0.0 0.0 4.0", "Lattice: expected a box with right angles"),
        ("3.0 0.0 0.0 0.0 4.0", "3.0 0.0", "expected an extended XYZ file, got an error: Lattice has wrong shape"),
        ("3.0 0.0 0.0 0.0 4.0", "-3.0 0.0 0.0 0.0 4.0", "box: expected positive finite sides"),
        ("B 1.5", "B nan", "expected an extended XYZ file, got an error"),
        ("B 1.5", "B 1e999", ".*expected"),
        ("B 1.5", "B 1e300", r"positions: expected coordinates within 2\*\*31 box lengths"),
        ("B 1.5", "B", "expected an extended XYZ file, got an error"),
        ("B 1.5", "B 1 1.5", "expected an extended XYZ file, got an error"),
        ("pos:R:3", "pos:R:2:x:R:1", "pos: expected 3 columns of numbers in frame 0"),
        ("pos:R:3", "coordinates:R:3", "Properties: expected the columns species and pos, got species, coordinates, image"),
        ("pos:R:3", "pos:S:3", "pos: expected 3 columns of numbers"),
        ("species:S:1", "element:S:1", "Properties: expected the columns species and pos, got element, pos, image"),
        ("pos:R:3", "pos:R:999999999", "Properties: expected 1 to 64 columns each"),
        ("pos:R:3", "pos:R:0", "Properties: expected 1 to 64 columns each"),
        ("image:I:3", "image:R:3", "image: expected 3 columns of integers"),
        ("image:I:3", "image:I:2:y:I:1", "image: expected 3 columns of integers"),
        ("0 -1 0", "0 -2147483648 0\n2", ".*expected"),
        ("2\nL", "3\nL", "line 5: expected atom 3 of 3, got nothing"),
        ("2\nL", "1\nL", "line 4: expected a number of atoms, got 'B 1.5"),
        ("2\nL", "0\nL", "line 1: expected a number of atoms, got '0'"),
        ("2\nL", "-2\nL", "line 1: expected a number of atoms, got '-2'"),
        ("2\nL", "99999999999999\nL", "line 1: expected a number of atoms"),
        ("2\nL", "999999999\nL", "line 5: expected atom 3 of 999999999, got nothing"),
        ("2\nL", "\n2\nL", "line 1: expected a number of atoms, got a blank line before more text"),
        ("2\nL", "two\nL", "line 1: expected a number of atoms, got 'two'"),
        ("Properties=", "Properties=2 P=", "Properties: expected name:type:columns, once or more, got 'Properties=2'"),
        ("Properties=", "Properties=[1,2] P=", "Properties: expected name:type:columns"),
        ("Properties=", '"Properties"=2 Properties=', "Properties: expected name:type:columns"),
        ("Properties=", '"Propertie\\s"=2 Properties=', "comment: expected backslashes before quotes"),
        ("0 -1 0", "0 -1 0\0", r"line 4: expected text, got the control character '.x00'"),
        ("2\nL", "2\nL\r", r"line 2: expected text, got the control character '.r'"),
        ("temperature=0.5", "temperature=-0.5", "temperature: expected positive finite numbers"),
    ],
)
def test_malformed_extended_xyz(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(XYZ)
    assert io.read_extxyz(path).steps.tolist() == [4]
    assert old in XYZ
    path.write_text(XYZ.replace(old, new))
    with pytest.raises(FileFormatError, match=rf"a\.xyz: {message}"):
        io.read_extxyz(path)


def test_frames_that_do_not_belong_together(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(XYZ + XYZ.replace('Lattice="3.0', 'Lattice="3.5'))
    with pytest.raises(FileFormatError, match=r"a\.xyz: box: expected \[3.0, 4.0, 5.0\] of the first frame in frame 1, got"):
        io.read_extxyz(path)
    path.write_text(XYZ + XYZ.replace("2\nL", "3\nL") + "A 1 1 1 0 0 0\n")
    with pytest.raises(FileFormatError, match=r"a\.xyz: positions: expected shape \(2, 3\) in frame 1, got \(3, 3\)"):
        io.read_extxyz(path)
    path.write_text(XYZ + "1\ncolumns:species,position cell:3,4,5\nA 1 1 1\n")
    with pytest.raises(FileFormatError, match=r"a\.xyz: expected one dialect in all frames"):
        io.read_extxyz(path)


DUMP = """ITEM: TIMESTEP
40
ITEM: NUMBER OF ATOMS
3
ITEM: BOX BOUNDS pp pp pp
-1.0 2.0
0.0 4.0
-2.5 2.5
ITEM: ATOMS id type x y z ix iy iz vx
2 1 0.5 1.0 0.0 0 0 1 0.1
3 2 -0.5 1.5 1.0 0 0 0 0.1
1 1 1.5 2.0 2.0 -1 0 0 0.1
"""


def test_dump_of_lammps(tmp_path: Path) -> None:
    """Atoms out of order, a box away from the origin, image flags, more columns."""
    path = tmp_path / "a.dump"
    path.write_text(DUMP)
    frames = io.read_lammps_dump(path)
    np.testing.assert_array_equal(frames.box, [3.0, 4.0, 5.0])
    np.testing.assert_array_equal(frames.species, [[0, 0, 1]])
    np.testing.assert_array_equal(frames.unwrapped(), [[[-1.5, 2.0, 2.0], [0.5, 1.0, 5.0], [-0.5, 1.5, 1.0]]])
    assert frames.steps.tolist() == [40]
    for kind, rows in {
        "xu yu zu": ["0.5 1.0 5.0", "-0.5 1.5 1.0", "-1.5 2.0 2.0"],
        "xs ys zs": ["0.5 0.25 0.5", f"{1 / 6!r} 0.375 0.7", f"{5 / 6!r} 0.5 0.9"],
    }.items():
        text = DUMP.replace("x y z", kind)
        for old, new in zip(["0.5 1.0 0.0", "-0.5 1.5 1.0", "1.5 2.0 2.0"], rows, strict=True):
            text = text.replace(old, new)
        path.write_text(text)
        np.testing.assert_allclose(io.read_lammps_dump(path).unwrapped(), frames.unwrapped(), rtol=0, atol=1e-14, err_msg=kind)
    path.write_text("ITEM: UNITS\nlj\nITEM: TIME\n0.5\n" + DUMP + DUMP.replace("\n40\n", "\n50\n"))
    assert io.read_lammps_dump(path).steps.tolist() == [40, 50]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ITEM: TIMESTEP\n", "", "line 1: expected 'ITEM: TIMESTEP', got '40'"),
        ("ITEM: NUMBER OF ATOMS\n3\n", "", "line 7: expected 'ITEM: NUMBER OF ATOMS' before the atoms"),
        ("ATOMS\n3\n", "ATOMS\n4\n", "line 12: expected 9 columns, got ''"),
        ("ATOMS\n3\n", "ATOMS\n2\n", "line 12: expected 'ITEM: TIMESTEP', got '1 1 1.5"),
        ("ATOMS\n3\n", "ATOMS\n0\n", "line 4: expected a number of atoms, got '0'"),
        ("ATOMS\n3\n", "ATOMS\n-3\n", "line 4: expected a number of atoms, got '-3'"),
        ("ATOMS\n3\n", "ATOMS\n9999999999\n", "line 4: expected a number of atoms"),
        ("ATOMS\n3\n", "ATOMS\n999999999\n", "line 12: expected 9 columns, got ''"),
        ("pp pp pp\n-1.0 2.0", "xy xz yz pp pp pp\n-1.0 2.0 0.5", ".*expected"),
        ("-1.0 2.0", "2.0 -1.0", ".*expected"),
        ("-1.0 2.0", "a b", "expected a LAMMPS text dump, got an error"),
        ("-1.0 2.0", "-1.0", "expected a LAMMPS text dump, got an error"),
        ("x y z", "fx fy fz", "ATOMS: expected the columns type, x, y and z, got"),
        ("x y z", "x y y", "line 9: expected different columns"),
        ("id type", "id kind", "ATOMS: expected the columns type, x, y and z, got"),
        ("3 2 -0.5", "3 2 nan", "positions: expected finite coordinates, got NaN or infinity"),
        ("3 2 -0.5", "3 2 word", "expected a LAMMPS text dump, got an error"),
        ("3 2 -0.5", "3 two -0.5", "expected a LAMMPS text dump, got an error"),
        ("3 2 -0.5", "3 -0.5", "line 11: expected 9 columns, got"),
        ("0 0 1 0.1", "0 0 5000000000 0.1", ".*expected"),
        ("\n40\n", "\nforty\n", "expected a LAMMPS text dump, got an error"),
        ("ITEM: BOX BOUNDS pp pp pp\n-1.0 2.0\n0.0 4.0\n-2.5 2.5\n", "", "expected 1 frames, got 0"),
    ],
)
def test_malformed_dumps(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "a.dump"
    assert old in DUMP
    path.write_text(DUMP.replace(old, new))
    with pytest.raises(FileFormatError, match=rf"a\.dump: {message}"):
        io.read_lammps_dump(path)


def test_dump_frames_with_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.dump"
    path.write_text(DUMP + DUMP.replace("id type", "type id"))
    with pytest.raises(
        FileFormatError, match=r"a\.dump: ATOMS: expected the columns 'id type x .* in every frame, got 'type id"
    ):
        io.read_lammps_dump(path)


def test_gsd_of_hoomd(tmp_path: Path) -> None:
    path = tmp_path / "a.gsd"
    frame = gsd.hoomd.Frame()
    frame.particles.N = 2
    frame.particles.position = [[-1.0, 0.0, 1.5], [1.0, 1.0, 0.0]]
    frame.configuration.box = [4.0, 4.0, 4.0, 0.0, 0.0, 0.0]
    with gsd.hoomd.open(str(path), "w") as file:
        file.append(frame)
    frames = io.read_gsd(path)
    np.testing.assert_array_equal(frames.positions, [[[1.0, 2.0, 3.5], [3.0, 3.0, 2.0]]])
    assert frames.types == ("A",)
    assert frames.temperature is None
    frame.configuration.box = [4.0, 4.0, 4.0, 0.1, 0.0, 0.0]
    with gsd.hoomd.open(str(path), "w") as file:
        file.append(frame)
    with pytest.raises(FileFormatError, match=r"a\.gsd: box: expected a box with right angles, got the tilt factors \[0.1"):
        io.read_gsd(path)
    frame.configuration.box = [4.0, 4.0, 4.0, 0.0, 0.0, 0.0]
    frame.particles.typeid = [0, 7]
    with gsd.hoomd.open(str(path), "w") as file:
        file.append(frame)
    with pytest.raises(FileFormatError, match=r"a\.gsd: species: expected indices below the number of types, 1, got 7"):
        io.read_gsd(path)
    with gsd.hoomd.open(str(path), "w") as file:
        pass
    with pytest.raises(FileFormatError, match=r"a\.gsd: expected at least one frame, got none"):
        io.read_gsd(path)


# ---------------------------------------------------------------------------------------------------------- damage of any kind


@pytest.mark.parametrize(("suffix", "write", "read"), FORMATS)
def test_foreign_and_missing_files(tmp_path: Path, suffix: str, write: Any, read: Callable[..., Frames]) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(FileNotFoundError, match="^path: expected an existing file"):
        read(path)
    with pytest.raises(FileFormatError, match="^path: expected a regular file"):
        read(tmp_path)
    for content in (b"", b"\n", b"\x00\x01\xff\xfe" * 50, b"5\n\n", b"hello world\n" * 5, b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=rf"a{suffix}: .*(expected|got)"):
            read(path)


@pytest.mark.parametrize(("suffix", "write", "read"), FORMATS)
def test_truncated_and_damaged_files(tmp_path: Path, suffix: str, write: Any, read: Callable[..., Frames]) -> None:
    """A cut or damaged file is an error, or reads as fewer or other frames that are valid in themselves; nothing else."""
    path = tmp_path / f"a{suffix}"
    write(path, make())
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    outcomes = {"error": 0, "frames": 0}
    damages = [content[:length] for length in range(0, len(content) - 1, max(1, len(content) // 60))]
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            damaged[place] = rng.integers(256)
        damages.append(bytes(damaged))
    for damage in damages:
        path.write_bytes(damage)
        try:
            frames = read(path)
        except FileFormatError as error:
            assert str(error).startswith(str(path))
            outcomes["error"] += 1
        else:
            assert np.isfinite(frames.positions).all()
            assert (frames.positions >= 0).all()
            assert (frames.positions < frames.box).all()
            outcomes["frames"] += 1
    assert outcomes["error"] > 30


@pytest.mark.parametrize(("suffix", "write", "read"), TEXT_FORMATS)
def test_a_cut_between_lines_is_seen(tmp_path: Path, suffix: str, write: Any, read: Callable[..., Frames]) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, make(replicas=2))
    lines = path.read_text().splitlines(keepends=True)
    for count in range(1, len(lines)):
        path.write_text("".join(lines[:count]))
        if count == len(lines) // 2:
            assert len(read(path)) == 1
        else:
            with pytest.raises(FileFormatError):
                read(path)


@pytest.mark.parametrize(("suffix", "write", "read"), FORMATS)
def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, suffix: str, write: Any, read: Callable[..., Frames], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, make())
    before = path.read_bytes()

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write(path, make(replicas=1))
    monkeypatch.undo()
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="^positions: expected finite numbers"):
        write(path, (np.full((1, 2, 2), np.nan), [0, 0], [3.0, 3.0]))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ((np.zeros((1, 2, 3)), [0, 0], [3.0, 3.0]), ValueError, r"positions: expected shape \(any, any, 2\)"),
        ((np.zeros((0, 2, 2)), [0, 0], [3.0, 3.0]), ValueError, "positions: expected at least one frame of one particle"),
        ((np.zeros((1, 2, 2)), [0], [3.0, 3.0]), ValueError, r"species: expected shape \(1, 2\)"),
        ((np.zeros((1, 2, 2)), [0, -1], [3.0, 3.0]), ValueError, "species: expected integers from 0"),
        ((np.zeros((1, 2, 2)), [0.0, 1.0], [3.0, 3.0]), TypeError, "species: expected an array of integers"),
        ((np.zeros((1, 2, 2)), [0, 1], [3.0, 0.0]), ValueError, "box: expected 2 or 3 positive sides"),
        ((np.zeros((1, 2, 2)), [0, 1], [3.0]), ValueError, "box: expected 2 or 3 positive sides"),
        ((np.zeros((1, 2, 2)), [0, 1]), TypeError, "source: expected an Ensemble, Frames or"),
        (np.zeros((1, 2, 2)), TypeError, "source: expected an Ensemble, Frames or"),
    ],
)
def test_bad_sources(tmp_path: Path, source: Any, error: type[Exception], message: str) -> None:
    for suffix, write, _ in FORMATS:
        with pytest.raises(error, match=f"^{message}"):
            write(tmp_path / f"a{suffix}", source)
    with pytest.raises(ValueError, match="^steps: expected"):
        io.write_gsd(tmp_path / "a.gsd", make(), steps=[1])
    assert os.listdir(tmp_path) == []


# ----------------------------------------------------------------------------------------------------------- read, write,
# extras


def test_suffixes(tmp_path: Path) -> None:
    for name in ("a", "a.txt", "a.h5.bak"):
        with pytest.raises(ValueError, match=r"^path: expected a name that ends in .h5, .hdf5, .gsd, .xyz, .extxyz"):
            io.write(tmp_path / name, make())
        with pytest.raises(ValueError, match=r"^path: expected a name that ends in .h5, .hdf5, .gsd, .xyz, .extxyz"):
            io.read(tmp_path / name, mixture())
    with pytest.raises(TypeError, match="^path: expected a file name, got 3"):
        io.write(3, make())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^ensemble: expected an Ensemble, got str"):
        io.write(tmp_path / "a.xyz", "ensemble")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^system: expected a glassnf System, got 'ka2d'"):
        io.read(tmp_path / "a.xyz", "ka2d")  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".h5", ".gsd", ".xyz", ".dump"])
def test_files_of_another_system(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    io.write(path, make())
    potential = mixture().potential
    box = [3.0, 10 / 3]
    others = {
        "box": custom("mix", potential=potential, composition=(3, 2), box=[3.0, 3.4]),
        "positions": custom("mix", potential=potential, composition=(3, 3), box=box),
        "species": custom("mix", potential=potential, composition=(2, 3), box=box),
    }
    for name, system in others.items():
        argument = "system" if suffix == ".h5" else name
        with pytest.raises(ValueError, match=f"{argument}: expected .*, got"):
            io.read(path, system, temperature=1.0)
    with pytest.raises(ValueError, match="expected"):
        io.read(path, mixture(3), temperature=1.0)


def test_unknown_temperatures(tmp_path: Path) -> None:
    io.write(tmp_path / "a.dump", make())
    with pytest.raises(ValueError, match=r"a\.dump: temperature: expected a number, because the file has none, got None"):
        io.read(tmp_path / "a.dump", mixture())
    for temperature in (-1.0, np.nan, [1.0, 2.0]):
        with pytest.raises(ValueError, match="temperature: expected"):
            io.read(tmp_path / "a.dump", mixture(), temperature=temperature)
    io.write(tmp_path / "a.h5", make())
    np.testing.assert_array_equal(io.read(tmp_path / "a.h5", mixture(), temperature=0.25).beta, [4.0, 4.0, 4.0])
    for temperature in (-1.0, 0.0, np.nan, [1.0, 2.0]):
        with pytest.raises(ValueError, match="^temperature: expected"):
            io.read(tmp_path / "a.h5", mixture(), temperature=temperature)


@pytest.mark.parametrize(
    ("module", "function", "name"),
    [
        ("gsd.hoomd", io.read_gsd, "a.gsd"),
        ("extxyz", io.read_extxyz, "a.xyz"),
        ("lammpsio", io.read_lammps_dump, "a.dump"),
    ],
)
def test_missing_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, function: Callable[..., Frames], name: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"^{module} is needed for .* files: pip install 'glassnf\[io\]'"):
        function(tmp_path / name)
