"""The batch of replicas: construction, validation, wrapping, slicing, copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glassnf.certify import reference
from glassnf.ensemble import MAX_ID, MAX_STEP, Ensemble, wrap_positions
from glassnf.systems import PairPotential, System, custom

FP64_REDUCTION = 1e-12


def small_system(dimension: int = 2) -> System:
    potential = PairPotential("inverse_power", sigma=[[1.0, 0.8], [0.8, 0.9]], epsilon=1.0)
    return custom("mixture", potential=potential, composition=(3, 2), box=[3.0, 3.5, 4.0][:dimension])


def small_arrays(replicas: int = 4, dimension: int = 2, seed: int = 1) -> np.ndarray:
    """Return positions without overlaps worth the name: a jittered lattice, far outside of the box."""
    rng = np.random.default_rng(seed)
    lattice = np.array([[0.2, 0.3, 0.1], [1.4, 0.4, 1.3], [0.3, 1.6, 2.6], [1.5, 1.7, 0.2], [2.4, 2.8, 1.5]])[:, :dimension]
    return lattice + rng.uniform(-0.1, 0.1, (replicas, 5, dimension)) + 3.0 * rng.integers(-3, 4, (replicas, 1, dimension))


def make(replicas: int = 4, dimension: int = 2, **changes: Any) -> Ensemble:
    arguments: dict[str, Any] = {"temperature": 0.5, "seed": 7}
    arguments.update(changes)
    return Ensemble.from_arrays(small_system(dimension), small_arrays(replicas, dimension), **arguments)


# --------------------------------------------------------------------------------------------------------------- construction


@pytest.mark.parametrize("dimension", [2, 3])
def test_defaults(dimension: int) -> None:
    positions = small_arrays(4, dimension)
    ensemble = make(4, dimension)
    system = ensemble.system
    assert (ensemble.replicas, len(ensemble), ensemble.n, ensemble.step, ensemble.seed) == (4, 4, 5, 0, 7)
    assert ensemble.device == "cpu"
    assert ensemble.velocities is None
    np.testing.assert_array_equal(ensemble.species, np.tile(system.species, (4, 1)))
    np.testing.assert_array_equal(ensemble.ids, [0, 1, 2, 3])
    np.testing.assert_array_equal(ensemble.beta, np.full(4, 2.0))
    np.testing.assert_array_equal(ensemble.temperature, np.full(4, 0.5))
    np.testing.assert_array_equal(ensemble.move_size, np.full(4, 0.1))
    np.testing.assert_allclose(ensemble.unwrapped(), positions, rtol=0, atol=1e-14)
    expected = reference.energy(positions, ensemble.species, **reference.parameters(system))
    np.testing.assert_allclose(ensemble.energy, expected, rtol=1e-9, atol=1e-14)  # wrapping itself rounds the coordinates
    wrapped = reference.energy(ensemble.positions, ensemble.species, **reference.parameters(system))
    np.testing.assert_allclose(ensemble.energy, wrapped, rtol=FP64_REDUCTION, atol=1e-14)
    types = {
        name: getattr(ensemble, name).dtype for name in ("positions", "images", "species", "beta", "energy", "ids", "move_size")
    }
    assert types == {
        "positions": np.float64,
        "images": np.int32,
        "species": np.int32,
        "beta": np.float64,
        "energy": np.float64,
        "ids": np.int64,
        "move_size": np.float64,
    }


def test_everything_given() -> None:
    velocities = np.random.default_rng(0).normal(size=(4, 5, 2))
    species = np.array([[0, 0, 0, 1, 1], [1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [1, 1, 0, 0, 0]])
    images = np.full((4, 5, 2), 7)
    ensemble = make(
        species=species,
        images=images,
        velocities=velocities,
        temperature=[0.25, 0.5, 1.0, 2.0],
        seed=2**64 - 1,
        step=MAX_STEP,
        ids=[5, 0, MAX_ID, 2],
        move_size=np.array([0.1, 0.2, 0.3, 0.4]),
    )
    np.testing.assert_array_equal(ensemble.species, species)
    np.testing.assert_array_equal(ensemble.beta, [4.0, 2.0, 1.0, 0.5])
    np.testing.assert_array_equal(ensemble.ids, [5, 0, MAX_ID, 2])
    np.testing.assert_array_equal(ensemble.move_size, [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(ensemble.unwrapped() - images * ensemble.system.box, small_arrays(), rtol=0, atol=1e-13)
    assert ensemble.velocities is not None
    np.testing.assert_array_equal(ensemble.velocities, velocities)
    assert (ensemble.seed, ensemble.step) == (2**64 - 1, MAX_STEP)


def test_arrays_are_copied_and_lists_are_converted() -> None:
    positions = small_arrays()
    velocities = np.zeros_like(positions)
    ensemble = Ensemble.from_arrays(small_system(), positions, velocities=velocities, temperature=1, seed=0)
    before = ensemble.copy()
    positions += 0.5
    velocities += 0.5
    assert ensemble.identical_to(before)
    from_lists = Ensemble.from_arrays(
        small_system(), small_arrays().tolist(), velocities=(0 * velocities).tolist(), temperature=1.0, seed=0
    )
    assert from_lists.identical_to(ensemble)
    integers = [[[0, 0], [1, 0], [2, 0], [0, 2], [2, 2]]]
    assert Ensemble.from_arrays(small_system(), integers, temperature=1.0, seed=0).positions.dtype == np.float64


def test_random() -> None:
    system = small_system()
    ensemble = Ensemble.random(system, replicas=3, temperature=[0.5, 1.0, 2.0], seed=11)
    ensemble.validate()
    np.testing.assert_array_equal(ensemble.ids, [0, 1, 2])
    np.testing.assert_array_equal(ensemble.temperature, [0.5, 1.0, 2.0])
    assert (ensemble.seed, ensemble.step) == (11, 0)
    assert np.isfinite(ensemble.energy).all()
    assert Ensemble.random(system, 3, [0.5, 1.0, 2.0], 11).identical_to(ensemble)
    assert not np.array_equal(Ensemble.random(system, 3, 1.0, 12).positions, ensemble.positions)
    np.testing.assert_array_equal(Ensemble.random(system, 2, 1.0, 11).positions, ensemble.positions[:2])  # replicas stand alone


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"replicas": 0}, ValueError, "replicas: expected a positive integer, got 0"),
        ({"replicas": 2.0}, TypeError, "replicas: expected a positive integer"),
        ({"replicas": True}, TypeError, "replicas: expected a positive integer"),
        ({"temperature": -1.0}, ValueError, "temperature: expected positive numbers, got -1.0 for replica 0"),
        ({"temperature": [1.0]}, ValueError, r"temperature: expected shape \(3,\), got shape \(1,\)"),
        ({"seed": -1}, ValueError, "seed: expected an integer from 0 to 18446744073709551615, got -1"),
        ({"seed": 2**64}, ValueError, "seed: expected an integer from 0"),
        ({"seed": 1.0}, TypeError, "seed: expected an integer"),
        ({"device": "gpu"}, ValueError, "device: expected one of 'cpu', 'cuda', 'cuda:0', got 'gpu'"),
        ({"system": "ka2d"}, TypeError, "system: expected a glassnf System, got 'ka2d'"),
    ],
)
def test_random_refuses(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"system": small_system(), "replicas": 3, "temperature": 1.0, "seed": 1, **changes}
    with pytest.raises(error, match=f"^{message}"):
        Ensemble.random(**arguments)


def bad_positions(kind: str) -> Any:
    positions = small_arrays()
    if kind in ("nan", "inf"):
        positions[2, 3, 1] = float(kind)
        return positions
    changed: dict[str, Any] = {
        "float32": positions.astype(np.float32),
        "integers": np.ones((4, 5, 2), dtype=np.int64),
        "particles": positions[:, :4],
        "dimension": np.zeros((4, 5, 3)),
        "one replica": positions[0],
        "no replica": positions[:0],
        "far": positions * 1e300,
        "far2": positions + 3.0 * 2.0**31,
        "text": [["a"]],
        "ragged": [[[0.0, 0.0], [1.0]]],
        "complex": positions + 1j,
    }
    return changed[kind]


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("nan", ValueError, r"expected finite numbers, got nan at index \(2, 3, 1\)"),
        ("inf", ValueError, r"expected finite numbers, got inf at index \(2, 3, 1\)"),
        ("float32", TypeError, "expected an array of type float64, got type float32"),
        ("integers", TypeError, "expected an array of type float64, got type int64"),
        ("complex", TypeError, "expected an array of type float64, got type complex128"),
        ("particles", ValueError, r"expected shape \(any, 5, 2\), got shape \(4, 4, 2\)"),
        ("dimension", ValueError, r"expected shape \(any, 5, 2\), got shape \(4, 5, 3\)"),
        ("one replica", ValueError, r"expected shape \(any, 5, 2\), got shape \(5, 2\)"),
        ("no replica", ValueError, r"expected at least one replica, got shape \(0, 5, 2\)"),
        ("far", ValueError, r"expected coordinates within 2\*\*31 box lengths, got"),
        ("far2", ValueError, r"expected coordinates within 2\*\*31 box lengths, got"),
        ("text", TypeError, "expected an array of real numbers"),
        ("ragged", TypeError, "expected an array of real numbers"),
    ],
)
def test_bad_positions(kind: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^positions: {message}"):
        Ensemble.from_arrays(small_system(), bad_positions(kind), temperature=1.0, seed=0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"temperature": 0.0}, ValueError, "temperature: expected positive numbers, got 0.0 for replica 0"),
        ({"temperature": [1.0, 1.0, -0.5, 1.0]}, ValueError, "temperature: expected positive numbers, got -0.5 for replica 2"),
        ({"temperature": np.nan}, ValueError, "temperature: expected finite numbers"),
        ({"temperature": np.inf}, ValueError, "temperature: expected finite numbers"),
        ({"temperature": "hot"}, TypeError, "temperature: expected an array of real numbers"),
        ({"temperature": None}, TypeError, "temperature: expected an array of real numbers"),
        ({"temperature": [1.0, 2.0]}, ValueError, r"temperature: expected shape \(4,\), got shape \(2,\)"),
        ({"species": [0, 0, 1, 1, 2]}, ValueError, r"species: expected integers from 0 to 1, got 2 at index \(4,\)"),
        ({"species": [0, 0, 1, 1, -1]}, ValueError, "species: expected integers from 0 to 1, got -1"),
        ({"species": [0, 0, 1, 1, 1]}, ValueError, r"species: expected the composition \(3, 2\) of the system, got \(2, 3\)"),
        ({"species": [0.0, 0.0, 0.0, 1.0, 1.0]}, TypeError, "species: expected an array of integers, got type float64"),
        ({"species": [0, 0, 1]}, ValueError, r"species: expected shape \(5,\), got shape \(3,\)"),
        ({"species": [[0, 0, 0, 1, 1]]}, ValueError, r"species: expected shape \(4, 5\), got shape \(1, 5\)"),
        ({"images": np.zeros((4, 5, 2))}, TypeError, "images: expected an array of integers, got type float64"),
        ({"images": np.zeros((4, 5, 3), int)}, ValueError, r"images: expected shape \(4, 5, 2\), got shape \(4, 5, 3\)"),
        ({"images": np.full((4, 5, 2), 2**31 - 1)}, ValueError, "images: expected integers from"),
        ({"velocities": np.full((4, 5, 2), np.nan)}, ValueError, "velocities: expected finite numbers, got nan"),
        ({"velocities": np.zeros((4, 5, 3))}, ValueError, "velocities: expected shape"),
        ({"velocities": np.zeros((4, 5, 2), np.float32)}, TypeError, "velocities: expected an array of type float64"),
        ({"seed": -1}, ValueError, "seed: expected an integer from 0"),
        ({"seed": "7"}, TypeError, "seed: expected an integer from 0"),
        ({"step": -1}, ValueError, "step: expected an integer from 0"),
        ({"step": 2**44}, ValueError, "step: expected an integer from 0"),
        ({"ids": [0, 1, 2, 1]}, ValueError, "ids: expected distinct numbers, got 1 more than once"),
        ({"ids": [0, 1, 2, -1]}, ValueError, "ids: expected integers from 0"),
        ({"ids": [0, 1, 2, 2**40]}, ValueError, "ids: expected integers from 0"),
        ({"ids": [0, 1, 2]}, ValueError, r"ids: expected shape \(4,\), got shape \(3,\)"),
        ({"ids": [0.0, 1.0, 2.0, 3.0]}, TypeError, "ids: expected an array of integers"),
        ({"move_size": 0.0}, ValueError, "move_size: expected positive numbers, got 0.0"),
        ({"move_size": [0.1, 0.1, -0.1, 0.1]}, ValueError, "move_size: expected positive numbers, got -0.1 for replica 2"),
    ],
)
def test_bad_arguments(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        make(**changes)


def test_errors_come_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*arguments: Any) -> Any:
        raise AssertionError("energies were computed")

    import sys

    import glassnf.energy  # noqa: F401

    monkeypatch.setattr(sys.modules["glassnf.energy"], "energy", work)
    with pytest.raises(ValueError, match="^seed"):
        make(seed=-1)
    with pytest.raises(AssertionError):
        make()


# ------------------------------------------------------------------------------------------------------------------ wrapping


def test_wrapping_at_the_edges() -> None:
    length = 3.3
    below = np.nextafter(length, 0.0)
    box = np.array([length])
    given_ = np.array(
        [0.0, -0.0, length, below, -length, 2 * length, -1e-300, -5e-324, 1e-300, -below, np.nextafter(length, 9.0)]
    )
    wrapped, crossings = wrap_positions(given_[:, None], box)
    expected = [0.0, 0.0, 0.0, below, 0.0, 0.0, 0.0, 0.0, 1e-300, length - below, np.nextafter(length, 9.0) - length]
    np.testing.assert_array_equal(wrapped[:, 0], expected)
    np.testing.assert_array_equal(crossings[:, 0], [0, 0, 1, 0, -1, 2, 0, 0, 0, -1, 1])
    assert not np.signbit(wrapped).any()


coordinates = st.floats(-1e6, 1e6) | st.floats(-1e-300, 1e-300) | st.integers(-1000, 1000).map(float)


@settings(deadline=None, max_examples=200)
@given(
    positions=hnp.arrays(np.float64, (3, 4, 2), elements=coordinates),
    box=hnp.arrays(np.float64, (2,), elements=st.floats(0.5, 1000.0)),
)
def test_wrapping_keeps_the_place(positions: np.ndarray, box: np.ndarray) -> None:
    positions[0, 0] = 3 * box  # exactly on a corner
    positions[0, 1] = np.nextafter(box, 0.0)
    wrapped, crossings = wrap_positions(positions, box)
    assert (wrapped >= 0.0).all()
    assert (wrapped < box).all()
    assert not np.signbit(wrapped).any()
    np.testing.assert_allclose(wrapped + crossings * box, positions, rtol=1e-14, atol=4e-16 * box.max())
    again, none = wrap_positions(wrapped, box)
    assert again.tobytes() == wrapped.tobytes()
    assert not none.any()
    np.testing.assert_array_equal(wrap_positions(wrapped[0, 1], box)[0], np.nextafter(box, 0.0))


def test_wrap_method() -> None:
    ensemble = make()
    unwrapped = ensemble.unwrapped()
    shift = np.array([10.0, -20.0])
    ensemble.positions = ensemble.positions + shift
    with pytest.raises(ValueError, match=r"^positions: expected coordinates in \[0, 3.0\), got .* at index \(0, 0, 0\) \(wrap"):
        ensemble.validate()
    ensemble.wrap()
    ensemble.validate()
    np.testing.assert_allclose(ensemble.unwrapped(), unwrapped + shift, rtol=0, atol=1e-13)
    ensemble.positions[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match="^positions: expected finite numbers, got nan"):
        ensemble.wrap()


# ---------------------------------------------------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("positions", np.full((4, 5, 2), np.nan), ValueError, "positions: expected finite numbers, got nan"),
        ("positions", np.zeros((4, 5, 2), np.float32), TypeError, "positions: expected an array of type float64"),
        ("positions", np.full((4, 5, 2), -1e-9), ValueError, r"positions: expected coordinates in \[0, 3.0\), got -1e-09"),
        ("positions", np.full((4, 5, 2), 3.0), ValueError, r"positions: expected coordinates in \[0, 3.0\), got 3.0"),
        ("positions", np.zeros((0, 5, 2)), ValueError, "positions: expected at least one replica"),
        ("positions", None, TypeError, "positions: expected"),
        ("images", np.zeros((3, 5, 2), np.int32), ValueError, r"images: expected shape \(4, 5, 2\)"),
        ("images", None, TypeError, "images: expected"),
        ("species", np.zeros((4, 5), np.int32), ValueError, "species: expected the composition"),
        ("species", np.full((4, 5), 9), ValueError, "species: expected integers from 0 to 1, got 9"),
        ("velocities", np.full((4, 5, 2), np.inf), ValueError, "velocities: expected finite numbers"),
        ("beta", np.array([1.0, 1.0, -1.0, 1.0]), ValueError, "beta: expected non-negative numbers, got -1.0 for replica 2"),
        ("beta", np.full(4, np.nan), ValueError, "beta: expected finite numbers"),
        ("beta", np.ones(3), ValueError, r"beta: expected shape \(4,\)"),
        ("energy", np.full(4, np.nan), ValueError, "energy: expected finite numbers"),
        ("ids", np.zeros(4, np.int64), ValueError, "ids: expected distinct numbers, got 0"),
        ("move_size", np.zeros(4), ValueError, "move_size: expected positive numbers"),
        ("move_size", 0.1, ValueError, "move_size: expected shape"),
        ("seed", -1, ValueError, "seed: expected an integer"),
        ("step", 2**44, ValueError, "step: expected an integer"),
        ("step", 1.5, TypeError, "step: expected an integer"),
        ("device", "tpu", ValueError, "device: expected one of"),
        ("system", None, TypeError, "system: expected a glassnf System"),
    ],
)
def test_validate_checks_every_field(name: str, value: Any, error: type[Exception], message: str) -> None:
    ensemble = make()
    setattr(ensemble, name, value)
    with pytest.raises(error, match=f"^{message}"):
        ensemble.validate()


def test_validate_prepares_fields_for_native_code() -> None:
    ensemble = make()
    before = ensemble.copy()
    wide = np.zeros((4, 5, 4))
    wide[..., ::2] = ensemble.positions
    ensemble.positions = wide[..., ::2]
    ensemble.species = np.asfortranarray(ensemble.species).astype(np.int64)
    ensemble.beta = [2, 2, 2, 2]  # type: ignore[assignment]
    ensemble.move_size = np.broadcast_to(np.float64(0.1), 4)
    ensemble.seed = np.uint64(7)  # type: ignore[assignment]
    ensemble.validate()
    assert ensemble.identical_to(before)
    for name in ("positions", "images", "species", "beta", "energy", "ids", "move_size"):
        flags = getattr(ensemble, name).flags
        assert flags.c_contiguous, name
        assert flags.writeable, name
    assert type(ensemble.seed) is int


def test_infinite_temperature_may_be_set() -> None:
    ensemble = make()
    ensemble.beta[:] = 0.0
    ensemble.validate()
    assert np.isinf(ensemble.temperature).all()
    assert "T=inf" in repr(ensemble)


def test_overlapping_particles_have_a_finite_energy() -> None:
    positions = np.zeros((1, 5, 2))
    ensemble = Ensemble.from_arrays(small_system(), positions, temperature=1.0, seed=0)
    assert np.isfinite(ensemble.energy).all()
    assert ensemble.energy[0] > 1e20


# ---------------------------------------------------------------------------------------------------- slices, copies, joining


def test_slices_are_copies_and_keep_ids() -> None:
    ensemble = make(ids=[9, 4, 7, 1], temperature=[1.0, 2.0, 3.0, 4.0], step=33, velocities=np.ones((4, 5, 2)))
    for index, chosen in [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [3, 2, 1, 0]),
        (2, [2]),
        (-1, [3]),
        (np.int64(1), [1]),
        ([2, 0], [2, 0]),
        (np.array([-1, 1]), [3, 1]),
        (np.array([True, False, False, True]), [0, 3]),
    ]:
        part = ensemble[index]
        for name in ("positions", "images", "species", "velocities", "beta", "energy", "ids", "move_size"):
            np.testing.assert_array_equal(getattr(part, name), getattr(ensemble, name)[chosen], err_msg=f"{name} {index}")
            assert not np.shares_memory(getattr(part, name), getattr(ensemble, name))
        assert (part.seed, part.step, part.replicas) == (7, 33, len(chosen))
    assert [part.ids[0] for part in ensemble] == [9, 4, 7, 1]


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (4, IndexError, "index: expected replicas from 0 to 3, got 4"),
        (-5, IndexError, "index: expected replicas from 0 to 3, got -5"),
        ([0, 9], IndexError, "index: expected replicas from 0 to 3, got 9"),
        ([0, 0], ValueError, "index: expected distinct replicas"),
        ([0, -4], ValueError, "index: expected distinct replicas"),
        (slice(2, 2), ValueError, "index: expected at least one of the 4 replicas, got none"),
        ([], ValueError, "index: expected at least one of the 4 replicas, got none"),
        (np.zeros(4, bool), ValueError, "index: expected at least one of the 4 replicas, got none"),
        (np.ones(3, bool), ValueError, r"index: expected shape \(4,\), got shape \(3,\)"),
        ([[0, 1]], ValueError, "index: expected shape"),
        (1.0, TypeError, "index: expected an array of integers"),
        ("a", TypeError, "index: expected an array of integers"),
    ],
)
def test_bad_indices(index: Any, error: type[Exception], message: str) -> None:
    ensemble = make()
    with pytest.raises(error, match=f"^{message}"):
        ensemble[index]


def test_concatenate_undoes_slicing() -> None:
    for velocities in (None, np.ones((4, 5, 2))):
        ensemble = make(velocities=velocities)
        assert Ensemble.concatenate([ensemble[:1], ensemble[1:3], ensemble[3:]]).identical_to(ensemble)
        assert Ensemble.concatenate(list(ensemble)).identical_to(ensemble)


def test_concatenate_refuses() -> None:
    ensemble = make()
    other = ensemble[2:]
    for name, value in [("seed", 8), ("step", 1)]:
        changed = other.copy()
        setattr(changed, name, value)
        with pytest.raises(ValueError, match=rf"^ensembles\[1\].{name}: expected {getattr(ensemble, name)} of the first"):
            Ensemble.concatenate([ensemble[:2], changed])
    with pytest.raises(ValueError, match="^ids: expected distinct numbers"):
        Ensemble.concatenate([ensemble, ensemble])
    with pytest.raises(ValueError, match="^ensembles: expected at least one ensemble"):
        Ensemble.concatenate([])
    with pytest.raises(TypeError, match=r"^ensembles\[1\]: expected an Ensemble, got int"):
        Ensemble.concatenate([ensemble, 3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"^ensembles\[1\].velocities"):
        other.velocities = np.zeros((2, 5, 2))
        Ensemble.concatenate([ensemble[:2], other])
    with pytest.raises(ValueError, match=r"^ensembles\[1\].system"):
        Ensemble.concatenate([ensemble, make(dimension=3)])


@pytest.mark.parametrize("duplicate", [Ensemble.copy, copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies(duplicate: Any) -> None:
    ensemble = make(velocities=np.ones((4, 5, 2)), step=12)
    other = duplicate(ensemble)
    assert other.identical_to(ensemble)
    assert other.system == ensemble.system
    other.positions[0, 0, 0] += 1e-16
    other.beta[:] = 3.0
    assert not other.identical_to(ensemble)
    assert ensemble.beta[0] == 2.0


def test_identical_to_sees_every_bit() -> None:
    ensemble = make(velocities=np.zeros((4, 5, 2)))
    for name in ("positions", "images", "species", "velocities", "beta", "energy", "ids", "move_size"):
        other = ensemble.copy()
        array = getattr(other, name)
        array.view(np.uint8).reshape(-1)[0] ^= 1
        assert not other.identical_to(ensemble), name
    for name, value in [("seed", 8), ("step", 1), ("velocities", None), ("system", small_system(3))]:
        other = ensemble.copy()
        setattr(other, name, value)
        assert not other.identical_to(ensemble), name
    negative_zero = ensemble.copy()
    negative_zero.velocities = -np.zeros((4, 5, 2))
    assert not negative_zero.identical_to(ensemble)
    assert not ensemble.identical_to("ensemble")  # type: ignore[arg-type]


def test_update_energy() -> None:
    ensemble = make()
    old = ensemble.energy.copy()
    ensemble.positions[:, 0] = ensemble.positions[:, 1] + 0.01
    ensemble.wrap()
    ensemble.update_energy()
    expected = reference.energy(ensemble.positions, ensemble.species, **reference.parameters(ensemble.system))
    np.testing.assert_allclose(ensemble.energy, expected, rtol=FP64_REDUCTION)
    assert (ensemble.energy > old).all()


def test_device() -> None:
    ensemble = make()
    assert ensemble.to("cpu") is ensemble
    with pytest.raises(RuntimeError):
        ensemble.to("cuda")
    with pytest.raises(RuntimeError):
        Ensemble.random(small_system(), 1, 1.0, 0, device="cuda")
    with pytest.raises(ValueError, match="^device: expected one of 'cpu', 'cuda', 'cuda:0', got 'CUDA'; did you mean 'cuda'"):
        ensemble.to("CUDA")


def test_text() -> None:
    ensemble = make(temperature=[0.25, 0.5, 1.0, 2.0])
    assert repr(ensemble) == "Ensemble(mixture, N=5, d=2, replicas=4, T=0.25..2, seed=7, step=0, device='cpu')"
    lines = str(ensemble).splitlines()
    assert lines[0] == "Ensemble"
    assert "  temperature  0.25 to 2" in lines
    assert "  replicas     4" in lines
