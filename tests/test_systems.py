"""Systems: the named models, user-defined ones, identity, immutability, files, and every error."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassnf import systems
from glassnf.systems import PairPotential, System, catalogue

FIXED = settings(deadline=None, max_examples=60, derandomize=True, database=None)
LJ = PairPotential("lj_smooth", 1.0, 1.0)
BINARY = PairPotential("lj_shifted", [[1.0, 0.8], [0.8, 0.88]], [[1.0, 1.5], [1.5, 0.5]])


@st.composite
def potentials(draw: st.DrawFn) -> PairPotential:
    n = draw(st.integers(1, 4))

    def matrix(low: float, high: float) -> list[list[float]]:
        numbers = st.floats(low, high, allow_nan=False)
        entries = {(a, b): draw(numbers) for a in range(n) for b in range(a, n)}
        return [[entries[min(a, b), max(a, b)] for b in range(n)] for a in range(n)]

    kind = draw(st.sampled_from(["lj_smooth", "lj_shifted", "inverse_power", "wca", "harmonic"]))
    cutoff = None if kind in ("wca", "harmonic") else draw(st.one_of(st.none(), st.just(matrix(1.01, 4.0))))
    exponent = draw(st.integers(1, 64)) if kind == "inverse_power" else None
    return PairPotential(kind, matrix(1e-3, 1e3), matrix(1e-6, 1e6), cutoff, exponent)


@st.composite
def any_systems(draw: st.DrawFn) -> System:
    potential = draw(potentials())
    counts = draw(st.lists(st.integers(0, 30), min_size=potential.n_species, max_size=potential.n_species))
    counts[draw(st.integers(0, potential.n_species - 1))] += 1
    factors = draw(st.lists(st.floats(2.0, 50.0), min_size=2, max_size=3))
    printable = st.text("ABab09_-.'\"\\é粒#=[", min_size=1, max_size=8)
    names = draw(st.lists(printable, min_size=potential.n_species, max_size=potential.n_species, unique=True))
    box = [math.nextafter(factor * potential.cutoff_distance, math.inf) for factor in factors]
    return systems.custom(draw(printable), potential=potential, composition=counts, box=box, species_names=names)


# -- named models -----------------------------------------------------------------------------------------------------


def test_ka2d_has_the_published_parameters() -> None:
    system = systems.ka2d()
    assert system == systems.ka2d(n=43)
    assert (system.name, system.n, system.dimension, system.n_species) == ("ka2d", 43, 2, 3)
    assert system.species_names == ("A", "B", "C")
    assert system.potential.kind == "lj_smooth"
    assert system.potential.sigma == ((1.0, 0.8, 0.9), (0.8, 0.88, 0.8), (0.9, 0.8, 0.94))
    assert system.potential.epsilon == ((1.0, 1.5, 0.75), (1.5, 0.5, 1.5), (0.75, 1.5, 0.75))
    assert system.potential.cutoff == ((2.5,) * 3,) * 3
    assert system.cutoff_distance == 2.5
    assert system.box[0] == system.box[1] == math.sqrt(43 / (1290 / 32.8962**2))
    assert system.density == pytest.approx(1290 / 32.8962**2, rel=1e-15)
    assert systems.ka2d(1290).box == pytest.approx([32.8962, 32.8962], rel=1e-15)


@pytest.mark.parametrize(
    ("n", "composition"),
    [
        (43, (20, 11, 12)),
        (44, (20, 12, 12)),
        (1290, (600, 330, 360)),
        (86, (40, 22, 24)),
        (30, (14, 8, 8)),  # 13.95, 7.67, 8.37
        (31, (14, 8, 9)),  # 14.42, 7.93, 8.65
        (45, (21, 11, 13)),  # 20.93, 11.51, 12.56
        (100, (46, 26, 28)),  # 46.51, 25.58, 27.91
        (100_000, (46512, 25581, 27907)),
    ],
)
def test_compositions_of_ka2d(n: int, composition: tuple[int, ...]) -> None:
    system = systems.ka2d(n)
    assert system.composition == composition
    assert system.n == n


def test_compositions_are_always_nearest_to_the_ratio() -> None:
    for ratio in ((20, 11, 12), (4, 1), (1, 1, 1, 1)):
        for n in range(1, 300):
            counts = catalogue.apportion(n, ratio)
            assert sum(counts) == n
            assert all(abs(count - n * part / sum(ratio)) < 1.0 for count, part in zip(counts, ratio, strict=True))
    assert catalogue.apportion(2, (1, 1, 1, 1)) == (1, 1, 0, 0)


def test_ka_has_the_published_parameters() -> None:
    system = systems.ka(n=1000)
    assert system == systems.ka()
    assert (system.name, system.n, system.dimension, system.composition) == ("ka", 1000, 3, (800, 200))
    assert system.potential == BINARY
    assert system.density == pytest.approx(1.2, rel=1e-14)
    assert systems.ka(1000, density=1.0).box == pytest.approx([10.0] * 3, rel=1e-14)
    assert systems.ka(204).composition == (163, 41)


def test_the_smallest_sizes_of_the_named_models() -> None:
    assert systems.ka2d(30).box.min() >= 5.0
    assert systems.ka(150).box.min() >= 5.0
    message = r"^n: expected at least 30, the smallest n whose box has every side at least 2 x the largest cutoff \(5\.0\) at "
    with pytest.raises(ValueError, match=message + r"density 1\.19206, got 29$"):
        systems.ka2d(29)
    with pytest.raises(ValueError, match=r"^n: expected at least 150, .* at density 1\.2, got 149$"):
        systems.ka(149)
    with pytest.raises(ValueError, match=r"^n: expected at least 125, .* at density 1, got 124$"):
        systems.ka(124, density=1.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ValueError, r"^n: expected a positive integer, got 0$"),
        ({"n": 1000.0}, TypeError, r"^n: expected a positive integer, got 1000\.0 \(float\)$"),
        ({"n": "43"}, TypeError, r"^n: expected a positive integer, got '43' \(str\)$"),
        ({"density": -1.2}, ValueError, r"^density: expected a number from 1e-06 to 1e\+06, got -1\.2$"),
        ({"density": math.nan}, ValueError, r"^density: expected a number from .*, got nan$"),
        ({"density": None}, TypeError, r"^density: expected a number from .*, got None"),
    ],
)
def test_bad_arguments_of_named_models(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        systems.ka(**arguments)


# -- the register -----------------------------------------------------------------------------------------------------


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_registered", {})


def make_gas(n: int = 10) -> System:
    return systems.custom("gas", potential=LJ, composition=[n], box=[10.0, 10.0])


@pytest.mark.usefixtures("register")
def test_models_by_name() -> None:
    assert systems.names() == ("ka2d", "ka")
    assert systems.by_name("ka2d") == systems.ka2d()
    assert systems.by_name("ka2d", n=44) == systems.ka2d(44)
    assert systems.by_name("ka", 500) == systems.ka(500)
    systems.register("gas", make_gas)
    systems.register("gas", make_gas)  # the same again is harmless, as when a module is run twice
    assert systems.names() == ("ka2d", "ka", "gas")
    assert systems.by_name("gas").n == 10
    assert systems.by_name("gas", n=12).n == 12


@pytest.mark.usefixtures("register")
def test_errors_of_the_register() -> None:
    with pytest.raises(ValueError, match=r"^system: expected one of 'ka2d', 'ka', got 'ka2D'; did you mean 'ka2d'\?$"):
        systems.by_name("ka2D")
    with pytest.raises(TypeError, match=r"^system: expected one of .*, got 43 \(int\)$"):
        systems.by_name(43)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^n: expected a positive integer, got -1$"):
        systems.by_name("ka2d", n=-1)
    with pytest.raises(ValueError, match=r"^name: expected a name that is not taken, got 'ka2d'$"):
        systems.register("ka2d", make_gas)
    with pytest.raises(TypeError, match=r"^factory: expected a function that returns a System, got "):
        systems.register("gas", systems.ka2d())  # type: ignore[arg-type]
    systems.register("gas", make_gas)
    with pytest.raises(ValueError, match=r"^name: expected a name that is not taken, got 'gas'$"):
        systems.register("gas", lambda n=10: make_gas(n))
    systems.register("wrong", lambda: 3)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match=r"^system: expected the factory of 'wrong' to return a System, got 3$"):
        systems.by_name("wrong")


# -- custom systems ---------------------------------------------------------------------------------------------------


def test_the_ways_to_describe_a_system_agree() -> None:
    first = systems.custom("mix", potential=BINARY, composition=[3, 2], box=[6.0, 6.0])
    others = [
        systems.custom("mix", potential=BINARY, species=[1, 0, 0, 1, 0], box=[6, 6]),
        systems.custom("mix", potential=BINARY, composition=np.array([3, 2], dtype=np.uint8), box=np.full(2, 6.0)),
        systems.custom("mix", potential=BINARY, composition={"B": 2, "A": 3}, box=6.0, dimension=2),
        systems.custom("mix", potential=BINARY, composition=(3, 2), density=5 / 36, dimension=2, species_names=["A", "B"]),
        System("mix", [0, 0, 0, 1, 1], (6.0, 6.0), BINARY),
        System.from_dict({"name": "mix", "potential": BINARY, "composition": [3, 2], "density": 5 / 36, "dimension": 2}),
    ]
    for other in others:
        assert other == first
        assert hash(other) == hash(first)
        assert other.hash == first.hash
    assert first.species.tolist() == [0, 0, 0, 1, 1]
    assert first.composition == (3, 2)
    assert first.volume == 36.0
    assert first.density == 5 / 36


def test_boxes_may_be_oblong_and_species_empty() -> None:
    system = systems.custom("slab", potential=BINARY, composition={"B": 4}, box=[5.0, 6.0, 7.0])
    assert (system.dimension, system.volume, system.composition, system.n_species) == (3, 210.0, (0, 4), 2)


def test_species_names_by_default() -> None:
    assert systems.ka2d().species_names == ("A", "B", "C")
    many = systems.custom("many", potential=PairPotential("wca", np.ones((30, 30)), 1.0), composition=[1] * 30, box=[9.0, 9.0])
    assert many.species_names[:2] == ("S0", "S1")


GOOD: dict[str, Any] = {"potential": BINARY, "composition": [3, 2], "box": [6.0, 6.0]}


def without(*names: str, **more: Any) -> dict[str, Any]:
    return {**{key: value for key, value in GOOD.items() if key not in names}, **more}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            without(box=[5.0, 4.9]),
            ValueError,
            r"^box: expected every side at least 2 x the largest cutoff \(5\.0\), got \(5, 4\.9\)$",
        ),
        (
            without(box=[4.0, 4.0]),
            ValueError,
            r"^box: expected .*, got \(4, 4\) for n = 5; at this density the smallest n .* is 8$",
        ),
        (without("box", density=1.2, dimension=3), ValueError, r"^box: expected every side .* n whose box fits is 150$"),
        (without(box=[6.0]), ValueError, r"^box: expected 2 or 3 sides, got 1$"),
        (without(box=[6.0] * 4), ValueError, r"^box: expected 2 or 3 sides, got 4$"),
        (without(box=[[6.0, 6.0]]), ValueError, r"^box: expected shape \(any,\), got shape \(1, 2\)$"),
        (without(box=[6.0, -6.0]), ValueError, r"^box: expected positive sides in .*, got \(6, -6\)$"),
        (without(box=[6.0, math.nan]), ValueError, r"^box: expected finite numbers, got nan at index \(1,\)$"),
        (without(box=[6.0, math.inf]), ValueError, r"^box: expected finite numbers, got inf at index \(1,\)$"),
        (without(box=[6.0, 1e200]), ValueError, r"^box: expected positive sides in .*, got \(6, 1e\+200\)$"),
        (without(box="big"), TypeError, r"^box: expected an array of real numbers, got 'big' \(str\)$"),
        (without(box=6.0), ValueError, r"^dimension: expected 2 or 3 together with a box of one number, got none$"),
        (without(box=[6.0, 6.0], dimension=3), ValueError, r"^box: expected shape \(3,\), got shape \(2,\)$"),
        (without("box"), ValueError, r"^box: expected either box or density, got neither$"),
        (without(density=0.1, dimension=2), ValueError, r"^box: expected either box or density, got both$"),
        (without("box", density=0.1), ValueError, r"^dimension: expected 2 or 3 together with density, got none$"),
        (without("box", density=0.0, dimension=2), ValueError, r"^density: expected a positive finite number, got 0\.0$"),
        (without("box", density=0.1, dimension=4), ValueError, r"^dimension: expected an integer from 2 to 3, got 4$"),
        (without("box", density=0.1, dimension=2.0), TypeError, r"^dimension: expected an integer from 2 to 3, got 2\.0"),
        (without("composition"), ValueError, r"^composition: expected either composition or species, got neither$"),
        (without(species=[0, 1]), ValueError, r"^composition: expected either composition or species, got both$"),
        (without(composition=[3]), ValueError, r"^composition: expected shape \(2,\), got shape \(1,\)$"),
        (without(composition=[0, 0]), ValueError, r"^composition: expected from 1 to 2147483647 particles in all, got 0$"),
        (
            without(composition=[2**31 - 1] * 2),
            ValueError,
            r"^composition: expected from 1 to 2147483647 particles in all, got 4",
        ),
        (without(composition=[3, -2]), ValueError, r"^composition: expected integers from 0 to \d+, got -2 at index \(1,\)$"),
        (without(composition=[3, 2.0]), TypeError, r"^composition: expected an array of integers, got type float64$"),
        (without(composition={"A": 3, "b": 2}), ValueError, r"^composition: expected keys among A, B, got 'b'; .* key is 'B'$"),
        (without(composition={"A": -3}), ValueError, r"^composition\['A'\]: expected a non-negative integer, got -3$"),
        (without("composition", species=[]), ValueError, r"^species: expected at least one particle, got none$"),
        (
            without("composition", species=[0, 2]),
            ValueError,
            r"^species: expected integers from 0 to 1, got 2 at index \(1,\)$",
        ),
        (without("composition", species=[0, -1]), ValueError, r"^species: expected integers from 0 to 1, got -1"),
        (without("composition", species=[0.0, 1.0]), TypeError, r"^species: expected an array of integers, got type float64$"),
        (without("composition", species=[[0, 1]]), ValueError, r"^species: expected shape \(any,\), got shape \(1, 2\)$"),
        (without(potential="lj_smooth"), TypeError, r"^potential: expected a PairPotential, got 'lj_smooth'$"),
        (without(species_names=["A"]), ValueError, r"^species_names: expected 2 distinct names, got \['A'\]$"),
        (without(species_names=["A", "A"]), ValueError, r"^species_names: expected 2 distinct names, got \['A', 'A'\]$"),
        (without(species_names=["A", ""]), ValueError, r"^species_names\[1\]: expected a non-empty printable string, got ''$"),
        (without(species_names="AB"), TypeError, r"^species_names: expected a sequence of names, got 'AB'$"),
        (
            without(species_names=[1, 2]),
            TypeError,
            r"^species_names\[0\]: expected a non-empty printable string, got 1 \(int\)$",
        ),
    ],
)
def test_bad_arguments_of_custom(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        systems.custom("mix", **arguments)


def test_bad_names() -> None:
    with pytest.raises(ValueError, match=r"^name: expected a non-empty printable string, got ''$"):
        systems.custom("", **GOOD)
    with pytest.raises(TypeError, match=r"^name: expected a non-empty printable string, got None"):
        systems.custom(None, **GOOD)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^potential: expected a PairPotential, got None$"):
        System("mix", [0], [6.0, 6.0], None)  # type: ignore[arg-type]


# -- identity and immutability ----------------------------------------------------------------------------------------


def test_equality_and_hash_are_by_value() -> None:
    system = systems.ka2d(43)
    again = systems.ka2d(43)
    assert system is not again
    assert system == again
    assert {system: 1}[again] == 1
    different = [
        systems.ka2d(44),
        systems.ka(150),
        System("other", system.species, system.box, system.potential),
        System("ka2d", system.species, system.box * np.nextafter(1.0, 2.0), system.potential),
        System("ka2d", np.roll(system.species, 1) * 0, system.box, system.potential),
        System("ka2d", system.species, system.box, system.potential, ["A", "B", "D"]),
        System("ka2d", system.species, system.box, PairPotential.from_dict({**system.potential.to_dict(), "cutoff": 2.4})),
    ]
    assert len({system, *different}) == 8
    assert all(other != system for other in different)
    assert system != "ka2d"
    assert (system == 3) is False


def test_the_hash_never_changes() -> None:
    """Files record it, so a new value would make old checkpoints foreign."""
    system = systems.custom("mix", potential=BINARY, composition=[3, 2], box=[6.0, 6.5])
    text = (
        '{"box":[6.0,6.5],"composition":[3,2],"name":"mix","potential":{"cutoff":[[2.5,2.5],[2.5,2.5]],'
        '"epsilon":[[1.0,1.5],[1.5,0.5]],"kind":"lj_shifted","sigma":[[1.0,0.8],[0.8,0.88]]},"species_names":["A","B"]}'
    )
    assert system.hash == hashlib.sha256(text.encode()).hexdigest()


def test_a_system_cannot_be_changed() -> None:
    species, box = np.array([1, 0], dtype=np.int32), np.array([6.0, 6.0])
    system = System("mix", species, box, BINARY)
    species[:] = 0
    box[:] = 1.0
    assert system.species.tolist() == [0, 1]
    assert system.box.tolist() == [6.0, 6.0]
    for array in (system.species, system.box):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        system.box = box  # type: ignore[misc]
    with pytest.raises(AttributeError):
        system.n = 3  # type: ignore[misc]
    assert system.species.dtype == np.int32
    assert system.box.dtype == np.float64


def test_text() -> None:
    system = systems.ka2d(43)
    assert repr(system) == "<System 'ka2d': n=43 (20:11:12), 2D, density=1.19206, lj_smooth>"
    lines = str(system).splitlines()
    assert lines[:7] == [
        "name          ka2d",
        "n             43",
        "composition   A: 20, B: 11, C: 12",
        "dimension     2",
        "box           6.006 x 6.006",
        "density       1.19206",
        "potential     lj_smooth",
    ]
    assert lines[7].split() == ["pair", "sigma", "epsilon", "cutoff"]
    assert [line.split() for line in lines[8:]][4] == ["B-C", "0.8", "1.5", "2.5"]


# -- round trips ------------------------------------------------------------------------------------------------------


@FIXED
@given(system=any_systems())
def test_copies_are_equal(system: System) -> None:
    assert System.from_dict(system.to_dict()) == system
    assert System.from_dict(json.loads(json.dumps(system.to_dict()))) == system
    for again in (pickle.loads(pickle.dumps(system)), copy.deepcopy(system), copy.copy(system)):
        assert again == system
        assert not again.box.flags.writeable
    assert str(system)
    assert "\n" not in repr(system)


@FIXED
@given(system=any_systems())
@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_files_keep_every_bit(tmp_path_factory: pytest.TempPathFactory, suffix: str, system: System) -> None:
    path = tmp_path_factory.getbasetemp() / f"system{suffix}"
    (system.to_toml if suffix == ".toml" else system.to_json)(path)
    again = systems.load(path)
    assert again == system
    assert again.potential == system.potential
    np.testing.assert_array_equal(again.box, system.box)
    np.testing.assert_array_equal(again.species, system.species)
    assert again.species_names == system.species_names


def test_a_file_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ncomposition = {B = 20, A = 80}\ndensity = 1.0\ndimension = 2\n\n'
        '[potential]\nkind = "inverse_power"\nsigma = [[1, 1.2], [1.2, 1.4]]\nepsilon = 1\nexponent = 18\n'
    )
    system = systems.load(str(path))
    assert system.composition == (80, 20)
    assert system.box == pytest.approx([10.0, 10.0])
    assert system.potential == PairPotential("inverse_power", [[1.0, 1.2], [1.2, 1.4]], 1.0, 1.25, 18)


GOOD_TOML = (
    'name = "mine"\ncomposition = [5]\nbox = [6.0, 6.0]\n[potential]\nkind = "lj_smooth"\nsigma = [[1.0]]\nepsilon = [[1.0]]\n'
)
GOOD_JSON = '{"name": "m", "composition": [5], "box": [6, 6], "potential": {"kind": "wca", "sigma": 1, "epsilon": 1}}'


def test_the_good_texts_are_good(tmp_path: Path) -> None:
    for name, text in (("a.toml", GOOD_TOML), ("a.JSON", GOOD_JSON)):
        (tmp_path / name).write_text(text)
        assert systems.load(tmp_path / name).n == 5


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        (
            "a.toml",
            "boxx = [1.0]\n" + GOOD_TOML,
            ValueError,
            r"system: expected keys among .*, got 'boxx'; .* valid key is 'box'$",
        ),
        ("a.toml", GOOD_TOML + "cutof = 2.5\n", ValueError, r"potential: expected keys among .*, got 'cutof'; .* is 'cutoff'$"),
        ("a.toml", GOOD_TOML.replace("lj_smooth", "lj_smoot"), ValueError, r"kind: expected .*; did you mean 'lj_smooth'\?$"),
        (
            "a.toml",
            GOOD_TOML.replace("6.0", "4.0"),
            ValueError,
            r"box: expected every side at least 2 x the largest cutoff \(5\.0\)",
        ),
        ("a.toml", GOOD_TOML.replace("6.0", "nan"), ValueError, r"box: expected finite numbers, got nan"),
        ("a.toml", GOOD_TOML.replace("[5]", "[5.0]"), TypeError, r"composition: expected an array of integers"),
        ("a.toml", 'format = "other"\n' + GOOD_TOML, ValueError, r"format: expected 'glassnf-system', got 'other'$"),
        (
            "a.toml",
            "format_version = 2\n" + GOOD_TOML,
            ValueError,
            r"format_version: expected 1, got 2: the file is of another",
        ),
        ("a.toml", GOOD_TOML[:52], ValueError, r"expected a TOML file, got text that is not: "),
        ("a.toml", "", ValueError, r"system: expected the key 'name', got only these keys: none$"),
        ("a.toml", b"\x89HDF\r\n\x1a\n\xff\xfe", ValueError, r"expected a TOML file, got text that is not: "),
        ("a.json", GOOD_JSON[:-1], ValueError, r"expected a JSON file, got text that is not: "),
        ("a.json", b"\xff\xfe\x00", ValueError, r"expected a JSON file, got text that is not: "),
        ("a.json", "[" * 100_000, ValueError, r"expected a JSON file, got text that is not: "),
        ("a.json", "[1, 2]", TypeError, r"expected a JSON object, got \[1, 2\]$"),
        ("a.json", GOOD_JSON.replace("[6, 6]", "[6, NaN]"), ValueError, r"box: expected finite numbers, got nan"),
        ("a.json", GOOD_JSON.replace('"m",', '"m", "name": "k",'), ValueError, r"the key 'name' appears twice$"),
        (
            "a.json",
            GOOD_JSON.replace('{"kind"', '{"kin"'),
            ValueError,
            r"potential: expected keys among .*'kin'; .* is 'kind'$",
        ),
        (
            "a.json",
            '{"name": "m", "potential": 3}',
            TypeError,
            r"potential: expected a table of keys and values, got 3 \(int\)$",
        ),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str | bytes, error: type[Exception], message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(error, match=message) as caught:
        systems.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        systems.load(tmp_path / "absent.toml")
    with pytest.raises(ValueError, match=r"^path: expected a name that ends in \.toml or \.json, got '.*system\.yaml'$"):
        systems.load(tmp_path / "system.yaml")
    with pytest.raises(ValueError, match=r"^path: expected a name that ends in \.json, got '.*system\.toml'$"):
        systems.ka2d().to_json(tmp_path / "system.toml")
    with pytest.raises(FileNotFoundError):
        systems.ka2d().to_toml(tmp_path / "absent" / "system.toml")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "system.toml"
    systems.ka2d(43).to_toml(path)

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(OSError, match="no space left"):
                systems.ka2d(44).to_toml(path)
        assert systems.load(path) == systems.ka2d(43)
        assert [entry.name for entry in tmp_path.iterdir()] == ["system.toml"]
    systems.ka2d(44).to_toml(path)
    assert systems.load(path) == systems.ka2d(44)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")
def test_a_write_keeps_permissions_and_links(tmp_path: Path) -> None:
    path, link = tmp_path / "system.json", tmp_path / "link.json"
    systems.ka2d(43).to_json(path)
    path.chmod(0o640)
    link.symlink_to(path.name)
    systems.ka2d(44).to_json(link)
    assert link.is_symlink()
    assert systems.load(path) == systems.ka2d(44)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_another_process_reads_the_same_system(tmp_path: Path) -> None:
    """The hash does not depend on the process, as Python's own hash of strings does."""
    path = tmp_path / "system.toml"
    systems.ka2d(43).to_toml(path)
    code = "import sys; from glassnf import systems; print(systems.load(sys.argv[1]).hash)"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == systems.ka2d(43).hash
