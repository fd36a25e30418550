"""The Python side of the CUDA backend on any machine: arrays and ensembles on imaginary GPUs (fake_cupy), against the CPU.

The imaginary kernels are those of the CPU, so that everything must agree bit for bit. What real GPUs do is in test_cuda.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cases
import fake_cupy
import glassnf as gnf
from cases import assert_identical, small
from glassnf import _arrays, _batch, _core
from glassnf.certify import reference
from glassnf.ensemble import MAX_STEP, wrap_positions
from glassnf.io import RunFile
from tolerances import FP64_REDUCTION

KA2D = gnf.systems.ka2d(43)
OBLONG = cases.mixture(cases.potential("lj_smooth", 2), 30, np.array([6.5, 7.75]))
NAMES = ("positions", "images", "species", "beta", "energy", "ids", "move_size")


pytestmark = pytest.mark.usefixtures("cupy")


def batch(system: Any = KA2D, replicas: int = 3) -> tuple[Any, Any]:
    return cases.lattice_batch(system, replicas, seed=31)


def kernels() -> list[tuple[str, dict[str, Any]]]:
    return fake_cupy.state.calls


def host(value: Any) -> Any:
    assert isinstance(value, fake_cupy.ndarray), type(value)
    return value.get()


def assert_same_bits(on_gpu: gnf.Ensemble, on_cpu: gnf.Ensemble) -> None:
    """Compare an ensemble on a GPU with one on the CPU."""
    assert on_gpu.device.startswith("cuda:")
    for name in NAMES:
        assert isinstance(getattr(on_gpu, name), fake_cupy.ndarray), name
    assert_identical(on_gpu.to("cpu"), on_cpu)


# --------------------------------------------------------------------------------------------------------- energies and forces


@pytest.mark.parametrize("device", [0, 1])
@pytest.mark.parametrize("system", [KA2D, OBLONG, gnf.systems.ka(200)], ids=["square", "oblong", "cube"])
def test_energies_are_answered_in_kind(system: Any, device: int, cupy: Any) -> None:
    positions, species = batch(system)
    expected = [*gnf.energy_and_forces(system, positions, species), gnf.virial(system, positions, species)]
    with cupy.cuda.Device(device):
        x, s = cupy.asarray(positions), cupy.asarray(species)
    answers = [*gnf.energy_and_forces(system, x, s), gnf.virial(system, x, s)]
    answers += [gnf.energy(system, x, s), gnf.forces(system, x, s)]
    for answer, wanted in zip(answers, [*expected, *expected[:2]], strict=True):
        assert answer.device.id == device
        np.testing.assert_array_equal(host(answer), wanted)
    name, arguments = kernels()[0]
    assert (name, arguments["device"], arguments["mixed"], arguments["virial"]) == ("energy", device, False, 0)
    assert arguments["positions"] == x.data.ptr  # no copy
    assert arguments["species"] == s.data.ptr


def test_pressure(cupy: Any) -> None:
    positions, species = batch()
    x, s = cupy.asarray(positions), cupy.asarray(species)
    temperatures = np.array([0.5, 0.7, 1.0])
    for temperature in (0.5, temperatures, temperatures.tolist()):
        expected = gnf.pressure(KA2D, positions, species, temperature=temperature)
        np.testing.assert_array_equal(host(gnf.pressure(KA2D, x, s, temperature=temperature)), expected)
    with pytest.raises(ValueError, match=r"^temperature: expected a number or shape \(3,\)"):
        gnf.pressure(KA2D, x, s, temperature=[1.0])


def test_single_configurations_give_arrays_without_axes(cupy: Any) -> None:
    positions, species = batch()
    x = cupy.asarray(positions[0])
    u, f = gnf.energy_and_forces(KA2D, x, cupy.asarray(species[0]))
    assert u.shape == ()
    assert f.shape == (43, 2)
    assert float(u) == gnf.energy(KA2D, positions[0], species[0])
    assert gnf.energy(KA2D, cupy.empty((0, 43, 2))).shape == (0,)
    assert len(kernels()) == 1


def test_species_may_be_left_out_be_a_list_or_of_any_integer_type(cupy: Any) -> None:
    positions, species = batch()
    x = cupy.asarray(positions)
    np.testing.assert_array_equal(host(gnf.energy(KA2D, x)), gnf.energy(KA2D, positions))
    expected = gnf.energy(KA2D, positions, species)
    for dtype in (np.int64, np.uint8, np.int16, np.uint64):
        np.testing.assert_array_equal(host(gnf.energy(KA2D, x, cupy.asarray(species.astype(dtype)))), expected)
    np.testing.assert_array_equal(host(gnf.energy(KA2D, x, species.tolist())), expected)
    np.testing.assert_array_equal(
        host(gnf.energy(KA2D, x, species[1].tolist())), gnf.energy(KA2D, positions, np.tile(species[1], (3, 1)))
    )


def test_layouts_that_kernels_cannot_read_are_copied(cupy: Any) -> None:
    positions, species = batch()
    expected = gnf.energy(KA2D, positions, species)
    wide = np.full((3, 43, 4), np.nan)
    wide[..., ::2] = positions
    x, s = cupy.asarray(wide)[..., ::2], cupy.asarray(np.asfortranarray(species))
    assert not x.flags.c_contiguous
    np.testing.assert_array_equal(host(gnf.energy(KA2D, x, s)), expected)


@pytest.mark.parametrize("system", [KA2D, OBLONG], ids=["square", "oblong"])
def test_coordinates_are_wrapped_on_the_device_as_on_the_host(system: Any, cupy: Any) -> None:
    positions, species = batch(system)
    box = np.array(system.box)
    rng = np.random.default_rng(3)
    for moved in (
        positions + box * rng.integers(-5, 6, positions.shape),
        np.where(rng.random(positions.shape) < 0.01, -5e-324, positions),
        np.where(rng.random(positions.shape) < 0.01, box, positions),
        np.where(rng.random(positions.shape) < 0.01, np.nextafter(box, 0.0), positions),
        positions + 2.0**30 * box,
        positions - 2.0**30.5 * box,
    ):
        given = cupy.asarray(moved)
        np.testing.assert_array_equal(host(gnf.forces(system, given, species.tolist())), gnf.forces(system, moved, species))
        np.testing.assert_array_equal(given.get(), moved)
        wrapped, crossings = wrap_positions(given, box)
        expected, expected_crossings = wrap_positions(moved, box)
        assert host(wrapped).tobytes() == expected.tobytes()
        assert host(crossings).dtype == np.int64
        np.testing.assert_array_equal(host(crossings), expected_crossings)


def test_the_host_waits_for_the_device_once(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    positions, species = batch()
    x, s = cupy.asarray(positions), cupy.asarray(species)
    reads: list[Any] = []
    for name in ("get", "item", "__bool__", "__int__", "__float__"):
        original = getattr(fake_cupy.ndarray, name)

        def counted(self: Any, of: Callable[..., Any] = original) -> Any:
            reads.append(self)
            return of(self)

        monkeypatch.setattr(fake_cupy.ndarray, name, counted)
    for given in (x, x + 2.0 * float(KA2D.box[0])):
        reads.clear()
        gnf.energy_and_forces(KA2D, given, s)
        assert len(reads) == 1


@pytest.mark.parametrize("kind", ["cupy", "other"])
def test_objects_with_the_cuda_array_interface(kind: str, cupy: Any) -> None:
    positions, species = batch()

    class Other:
        def __init__(self, array: Any) -> None:
            self.array = array
            self.__cuda_array_interface__ = array.__cuda_array_interface__

    put = Other if kind == "other" else lambda array: array
    x = cupy.asarray(positions)
    answer = gnf.energy(KA2D, put(x), put(cupy.asarray(species)))
    np.testing.assert_array_equal(host(answer), gnf.energy(KA2D, positions, species))
    assert kernels()[0][1]["positions"] == x.data.ptr


def test_work_is_queued_on_the_current_stream_of_the_device_of_the_arrays(cupy: Any) -> None:
    positions, _ = batch()
    with cupy.cuda.Device(1):
        x = cupy.asarray(positions)
        stream = cupy.cuda.Stream(77)
    with stream, cupy.cuda.Stream(55):  # of device 1 and of device 0
        gnf.energy(KA2D, x)
        gnf.energy(KA2D, cupy.asarray(positions))
        assert cupy.cuda.get_current_stream(1) is stream
    assert [(arguments["device"], arguments["stream"]) for _, arguments in kernels()] == [(1, 77), (0, 55)]


def test_bad_arrays_are_refused_as_on_the_host(cupy: Any) -> None:
    positions, species = batch()
    x, s = cupy.asarray(positions), cupy.asarray(species)
    wrong = positions.copy()
    wrong[1, 2, 1] = np.nan
    far = positions.copy()
    far[2, 42, 0] = 1e300
    bad: list[tuple[Any, Any, type[Exception], str]] = [
        (x.astype(np.float32), s, TypeError, "positions: expected an array of type float64, got type float32"),
        (x.astype(np.int64), s, TypeError, "positions: expected an array of type float64, got type int64"),
        (x[:, :42], s, ValueError, r"positions: expected shape \(R, 43, 2\) or \(43, 2\), got \(3, 42, 2\)"),
        (cupy.asarray(wrong), s, ValueError, r"positions: expected finite coordinates, got nan at index \(1, 2, 1\)"),
        (cupy.asarray(far), s, ValueError, r"positions: expected coordinates within 2\*\*31 box lengths, got 1e\+300 at index"),
        (x, s + 1, ValueError, "species: expected indices from 0 to 2, got 3"),
        (x, s - 1, ValueError, "species: expected indices from 0 to 2, got -1"),
        (x, cupy.asarray(species.astype(np.int64) + 2**32), ValueError, "species: expected indices from 0 to 2"),
        (x, s.astype(np.float64), TypeError, "species: expected integers, got type float64"),
        (x, s.astype(bool), TypeError, "species: expected integers, got type bool"),
        (x, s[:2], ValueError, r"species: expected shape \(3, 43\) or \(43,\), got \(2, 43\)"),
        (x, species, ValueError, "species: expected an array on cuda:0, where the positions are, got one on cpu"),
        (positions, s, ValueError, "species: expected an array on cpu, where the positions are, got one on cuda:0"),
        (positions.tolist(), s, ValueError, "species: expected an array on cpu, where the positions are, got one on cuda:0"),
        (x, [0.5] * 43, TypeError, "species: expected integers, got type float64"),
    ]
    with cupy.cuda.Device(1):
        there = cupy.asarray(species)
    bad.append((x, there, ValueError, "species: expected an array on cuda:0, where the positions are, got one on cuda:1"))
    for coordinates, kinds, error, message in bad:
        for function in (gnf.energy, gnf.virial):
            with pytest.raises(error, match=f"^{message}"):
                function(KA2D, coordinates, kinds)
    assert kernels() == []


def test_precision(cupy: Any) -> None:
    positions, species = batch()
    x, s = cupy.asarray(positions), cupy.asarray(species)
    for function in (gnf.energy, gnf.forces, gnf.energy_and_forces, gnf.virial):
        function(KA2D, x, s, precision="mixed")
        assert kernels()[-1][1]["mixed"] is True
        with pytest.raises(ValueError, match="^precision: expected 'float64' for arrays on the CPU, got 'mixed'"):
            function(KA2D, positions, species, precision="mixed")
        with pytest.raises(ValueError, match="^precision: expected one of 'float64', 'mixed', got 'float32'"):
            function(KA2D, x, s, precision="float32")
    gnf.pressure(KA2D, x, s, temperature=1.0, precision="mixed")
    assert kernels()[-1][1]["mixed"] is True
    assert gnf.energy(KA2D, positions, species, precision="float64").shape == (3,)


@pytest.mark.parametrize("system", [KA2D, OBLONG], ids=["square", "oblong"])
def test_torch_tensors_take_the_same_way(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch tensors in host memory, taken for tensors on a GPU."""
    torch = pytest.importorskip("torch")
    positions, species = batch(system)
    monkeypatch.setattr(_arrays, "on_gpu", _arrays.is_torch)
    monkeypatch.setattr(_arrays, "device_of", lambda array: _arrays.Device(1) if _arrays.is_torch(array) else _arrays.HOST)
    monkeypatch.setattr(_arrays, "stream_of", lambda array: 5)
    monkeypatch.setattr(_core, "cuda_energy", lambda *system, device, stream, mixed, **rest: _core.energy(*system, **rest))
    box = np.array(system.box)
    for moved in (positions, positions + 3.0 * box, positions - 2.0**30.5 * box, np.where(positions > 5.0, box, positions)):
        expected = gnf.energy_and_forces(system, moved, species)
        for kinds in (torch.from_numpy(species), torch.from_numpy(species).long(), species.tolist()):
            answers = gnf.energy_and_forces(system, torch.from_numpy(moved), kinds)
            for answer, wanted in zip(answers, expected, strict=True):
                assert isinstance(answer, torch.Tensor)
                np.testing.assert_array_equal(answer.numpy(), wanted)
    x = torch.from_numpy(positions + box).requires_grad_()
    gnf.energy(system, x, torch.from_numpy(species)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), -gnf.forces(system, positions + box, species))
    assert gnf.energy(system, torch.from_numpy(positions[0])).shape == ()
    one = gnf.pressure(system, torch.from_numpy(positions), temperature=[1.0, 2.0, 3.0])
    np.testing.assert_array_equal(one.numpy(), gnf.pressure(system, positions, temperature=[1.0, 2.0, 3.0]))
    strided = torch.from_numpy(np.repeat(positions, 2, axis=2))[..., ::2]
    np.testing.assert_array_equal(gnf.virial(system, strided).numpy(), gnf.virial(system, positions))
    wrong = positions.copy()
    wrong[1, 2, 1] = np.nan
    for x, s, message in (
        (wrong, species, r"positions: expected finite coordinates, got nan at index \(1, 2, 1\)"),
        (positions, species + 5, "species: expected indices from 0 to"),
        (positions.astype(np.float32), species, "positions: expected an array of type float64, got type float32"),
        (positions, species.astype(np.float64), "species: expected integers, got type float64"),
        (positions, species > 0, "species: expected integers, got type bool"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            gnf.energy(system, torch.from_numpy(x), torch.from_numpy(s))


def test_checks_of_values_agree_in_all_libraries(cupy: Any) -> None:
    torch = pytest.importorskip("torch")
    positions, species = batch(OBLONG)
    box = np.array(OBLONG.box)
    moved = positions * 40.0 - 77.0
    expected = wrap_positions(moved, box)[0]
    for put, take in ((cupy.asarray, host), (torch.from_numpy, lambda tensor: tensor.numpy())):
        wrapped, kinds = _batch.checked_on_gpu(put(moved), put(species), box, OBLONG.n_species)
        assert take(wrapped).tobytes() == expected.tobytes()
        np.testing.assert_array_equal(take(kinds), species)
        assert _arrays.dtype_name(kinds) == "int32"
        same, _ = _batch.checked_on_gpu(wrapped, kinds[0], box, OBLONG.n_species)
        assert same is wrapped


def test_full_memory_is_an_error_of_glassnf(cupy: Any) -> None:
    positions, species = batch()
    x, s = cupy.asarray(positions), cupy.asarray(species)
    fake_cupy.state.largest = x.nbytes - 1
    with pytest.raises(gnf.cuda.CudaOutOfMemoryError, match="^the GPU has not enough free memory for energies and forces: use"):
        gnf.forces(KA2D, x, s)
    fake_cupy.state.largest = 2**40
    np.testing.assert_array_equal(host(gnf.forces(KA2D, x, s)), gnf.forces(KA2D, positions, species))


# ------------------------------------------------------------------------------------------------------------------- ensembles


@pytest.mark.parametrize(("name", "full"), [("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")])
def test_ensembles_move_between_devices(name: str, full: str) -> None:
    on_cpu = gnf.Ensemble.random(KA2D, 4, [0.5, 0.6, 0.7, 0.8], seed=5)
    on_gpu = gnf.Ensemble.random(KA2D, 4, [0.5, 0.6, 0.7, 0.8], seed=5, device=name)
    assert on_gpu.device == full
    assert_same_bits(on_gpu, on_cpu)
    for field in NAMES:
        assert getattr(on_gpu, field).device.id == int(full[-1])
    assert on_gpu.to(full) is on_gpu
    assert on_gpu.to(name) is on_gpu
    assert not on_gpu.identical_to(on_cpu)
    moved = on_cpu.to(name)
    assert moved.identical_to(on_gpu)
    moved.positions[0, 0, 0] = 0.25
    assert not moved.identical_to(on_gpu)
    assert on_cpu.positions[0, 0, 0] == on_gpu.to("cpu").positions[0, 0, 0]
    elsewhere = on_gpu.to("cuda:1" if full == "cuda:0" else "cuda:0")
    assert elsewhere.device != full
    assert_same_bits(elsewhere, on_cpu)


def test_cuda_means_the_current_device(cupy: Any) -> None:
    with cupy.cuda.Device(1):
        ensemble = small().to("cuda")
    assert ensemble.device == "cuda:1"


def test_fields_are_plain_arrays_that_may_be_assigned(cupy: Any) -> None:
    ensemble, on_cpu = small().to("cuda"), small()
    for each in (ensemble, on_cpu):
        each.beta[:] = 1 / 0.5
        each.move_size[1] = 0.2
        each.seed = 99
    assert_same_bits(ensemble, on_cpu)
    ensemble.beta = 1.0 / np.array([0.4, 0.5, 0.6])  # type: ignore[assignment]
    ensemble.move_size = [0.1, 0.2, 0.3]  # type: ignore[assignment]
    ensemble.ids = np.array([4, 2, 9])
    ensemble.positions = np.asfortranarray(on_cpu.positions)
    ensemble.velocities = np.zeros((3, 43, 2))
    ensemble.device = "cuda"
    ensemble.validate()
    assert ensemble.device == "cuda:0"
    assert ensemble.positions.flags.c_contiguous
    assert isinstance(ensemble.velocities, fake_cupy.ndarray)
    np.testing.assert_array_equal(host(ensemble.beta), 1.0 / np.array([0.4, 0.5, 0.6]))
    with cupy.cuda.Device(1):
        ensemble.beta = cupy.asarray(on_cpu.beta)
    with pytest.raises(ValueError, match="^beta: expected an array on cuda:0 or the CPU, got one on cuda:1"):
        ensemble.validate()
    on_cpu.beta = cupy.asarray(on_cpu.beta)
    on_cpu.validate()
    assert type(on_cpu.beta) is np.ndarray


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_slices_copies_and_concatenation(device: str, cupy: Any) -> None:
    on_cpu, ensemble = small(6), small(6).to(device)
    for index in (slice(1, 4), [5, 0], 2, -1, np.array([True, False] * 3), np.array([3, 1])):
        assert_same_bits(ensemble[index], on_cpu[index])
    with cupy.cuda.Device(int(device[-1])):
        cold = ensemble.energy < float(np.median(on_cpu.energy))
    assert_same_bits(ensemble[cold], on_cpu[on_cpu.energy < np.median(on_cpu.energy)])
    for clone in (ensemble.copy(), copy.copy(ensemble), copy.deepcopy(ensemble)):
        assert clone.identical_to(ensemble)
        clone.positions[0, 0, 0] = 0.125
        assert not clone.identical_to(ensemble)
    parts = list(ensemble)
    assert [part.device for part in parts] == [device] * 6
    assert gnf.Ensemble.concatenate(parts).identical_to(ensemble)
    with pytest.raises(ValueError, match=rf"^ensembles\[1\].device: expected 'cpu' of the first ensemble, got '{device}'"):
        gnf.Ensemble.concatenate([on_cpu[:2], ensemble[3:]])
    with pytest.raises(IndexError, match="^index: expected replicas from 0 to 5, got 6"):
        ensemble[6]


def test_wrap_unwrapped_temperature_and_energy() -> None:
    on_cpu, ensemble = small(), small().to("cuda:1")
    for each in (on_cpu, ensemble):
        each.positions = np.asarray(small().positions) + 20.0
        each.wrap()
        each.validate()
        each.update_energy()
    assert_same_bits(ensemble, on_cpu)
    np.testing.assert_array_equal(host(ensemble.unwrapped()), on_cpu.unwrapped())
    np.testing.assert_array_equal(host(ensemble.temperature), on_cpu.temperature)
    expected = reference.energy(on_cpu.positions, on_cpu.species, **reference.parameters(KA2D))
    np.testing.assert_allclose(host(ensemble.energy), expected, rtol=FP64_REDUCTION)
    ensemble.beta[:] = 0.0
    assert np.isinf(host(ensemble.temperature)).all()


def test_text() -> None:
    on_cpu, ensemble = small(temperature=[0.25, 0.5, 1.0]), small(temperature=[0.25, 0.5, 1.0]).to("cuda:1")
    assert repr(ensemble) == repr(on_cpu).replace("'cpu'", "'cuda:1'")
    assert str(ensemble) == str(on_cpu).replace("cpu", "cuda:1")


def test_from_arrays(cupy: Any) -> None:
    positions, species = batch()
    outside = positions + 20.0
    options: dict[str, Any] = {
        "species": species,
        "images": np.full(positions.shape, 3),
        "velocities": np.ones(positions.shape),
        "temperature": [0.5, 0.6, 0.7],
        "seed": 4,
        "ids": [7, 8, 9],
        "move_size": 0.2,
        "step": 17,
    }
    on_cpu = gnf.Ensemble.from_arrays(KA2D, outside, **options)
    with cupy.cuda.Device(1):
        x, s = cupy.asarray(outside), cupy.asarray(species)
    assert_same_bits(gnf.Ensemble.from_arrays(KA2D, outside, **options, device="cuda"), on_cpu)
    assert_same_bits(gnf.Ensemble.from_arrays(KA2D, x, **options), on_cpu)
    assert gnf.Ensemble.from_arrays(KA2D, x, **options).device == "cuda:1"
    assert_same_bits(gnf.Ensemble.from_arrays(KA2D, x, **{**options, "species": s}), on_cpu)
    assert_identical(gnf.Ensemble.from_arrays(KA2D, x, **{**options, "species": s}, device="cpu"), on_cpu)
    defaults = gnf.Ensemble.from_arrays(KA2D, x, temperature=0.5, seed=4)
    assert_same_bits(defaults, gnf.Ensemble.from_arrays(KA2D, outside, temperature=0.5, seed=4))
    defaults.positions[0, 0, 0] = 0.125
    np.testing.assert_array_equal(x.get(), outside)
    with pytest.raises(ValueError, match="^positions: expected an array on cuda:0 or the CPU, got one on cuda:1"):
        gnf.Ensemble.from_arrays(KA2D, x, temperature=0.5, seed=4, device="cuda:0")


BAD_FIELDS: list[tuple[str, Any]] = [
    ("positions", np.nan),
    ("positions", np.inf),
    ("positions", -0.1),
    ("positions", 100.0),
    ("beta", np.nan),
    ("beta", -1.0),
    ("energy", np.inf),
    ("move_size", 0.0),
    ("move_size", np.nan),
    ("species", -1),
    ("species", 3),
    ("ids", -1),
    ("ids", 2**40),
    ("ids", 1),
]


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_validate_says_the_same_on_every_device(field: str, value: Any) -> None:
    messages = []
    for device in ("cpu", "cuda:1"):
        ensemble = small()
        getattr(ensemble, field).reshape(-1)[-1] = value
        if device != "cpu":
            bad = getattr(ensemble, field)
            ensemble = small().to(device)
            setattr(ensemble, field, bad)
        with pytest.raises((TypeError, ValueError)) as caught:
            ensemble.validate()
        messages.append((type(caught.value), str(caught.value)))
    assert messages[0] == messages[1]
    assert messages[0][1].startswith(f"{field}: expected")


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_validate_checks_what_is_on_the_device(field: str, value: Any) -> None:
    ensemble = small().to("cuda")
    array = getattr(ensemble, field)
    array[(-1,) * array.ndim] = value
    with pytest.raises((TypeError, ValueError), match=f"^{field}: expected"):
        ensemble.validate()


def test_validate_checks_the_composition_on_the_device() -> None:
    messages = []
    for device in ("cpu", "cuda"):
        ensemble = small().to(device)
        ensemble.species[1] = 2
        with pytest.raises(
            ValueError, match=r"^species: expected the composition \(\d+, \d+, \d+\) .* in replica 1$"
        ) as caught:
            ensemble.validate()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("field", NAMES)
def test_validate_checks_types_and_shapes_on_the_device(field: str, cupy: Any) -> None:
    ensemble = small().to("cuda")
    array = getattr(ensemble, field)
    fewer = array[:2]  # than the other fields have
    for wrong in (fewer, array.astype(bool), array.astype(np.complex128), None, "text"):
        setattr(ensemble, field, wrong)
        with pytest.raises((TypeError, ValueError), match=f"^{field if wrong is not fewer else '.*'}: expected"):
            ensemble.validate()
    if array.dtype.kind == "i":
        setattr(ensemble, field, array.astype(np.int16))
        ensemble.validate()
        assert getattr(ensemble, field).dtype == array.dtype


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_files_do_not_know_devices(device: str, tmp_path: Path) -> None:
    on_cpu, ensemble = small(), small().to(device)
    ensemble.save(tmp_path / "gpu.h5")
    assert_identical(gnf.Ensemble.load(tmp_path / "gpu.h5"), on_cpu)
    again = gnf.Ensemble.load(tmp_path / "gpu.h5", device=device)
    assert again.identical_to(ensemble)
    run = RunFile.create(tmp_path / "run.h5", ensemble, {"of": "a test"})
    assert run.ensemble.device == "cpu"
    run.checkpoint(ensemble)
    assert_identical(RunFile.open(tmp_path / "run.h5").ensemble, on_cpu)
    for suffix in ("xyz", "gsd", "lammpstrj"):
        pytest.importorskip({"xyz": "extxyz", "gsd": "gsd", "lammpstrj": "lammpsio"}[suffix])
        gnf.io.write(tmp_path / f"gpu.{suffix}", ensemble)
        gnf.io.write(tmp_path / f"cpu.{suffix}", on_cpu)
        read = [gnf.io.read(tmp_path / f"{name}.{suffix}", KA2D, temperature=0.6) for name in ("gpu", "cpu")]
        assert read[0].identical_to(read[1])


def test_observables_take_fields_of_an_ensemble_on_a_device() -> None:
    on_cpu, ensemble = small(), small().to("cuda")
    found = [gnf.observables.radial_distribution(each.positions, KA2D.box, species=each.species) for each in (ensemble, on_cpu)]
    np.testing.assert_array_equal(found[0].total, found[1].total)


# ----------------------------------------------------------------------------------------------------------------- Monte Carlo


def assert_same_record(a: gnf.MCRecord, b: gnf.MCRecord) -> None:
    names = ("sweeps", "energy", "beta", "displacement_attempts", "displacement_accepts", "swap_attempts", "swap_accepts")
    for name in (*names, "positions", "species"):
        first, second = getattr(a, name), getattr(b, name)
        assert type(first) is type(second) in (np.ndarray, type(None)), name
        np.testing.assert_array_equal(first, second, err_msg=name)
    assert a.pair_evaluations == b.pair_evaluations
    assert type(a.pair_evaluations) is int


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
@pytest.mark.parametrize("swap_probability", [0.0, 0.2])
def test_monte_carlo_is_that_of_the_cpu(device: str, swap_probability: float, cupy: Any) -> None:
    on_cpu, ensemble = small(4, [0.4, 0.5, 0.6, 2.0]), small(4, [0.4, 0.5, 0.6, 2.0]).to(device)
    mc = gnf.MonteCarlo(KA2D, swap_probability=swap_probability)
    done = [mc.equilibrate(each, 75) for each in (on_cpu, ensemble)]
    np.testing.assert_array_equal(done[0].displacement_acceptance, done[1].displacement_acceptance)
    assert type(done[1].displacement_acceptance) is np.ndarray
    assert done[0].pair_evaluations == done[1].pair_evaluations
    assert type(done[1].pair_evaluations) is int
    assert_same_bits(ensemble, on_cpu)
    assert (on_cpu.move_size != 0.1).all()
    records = [mc.run(each, 40, record_every=7, record_positions=True) for each in (ensemble, on_cpu)]
    assert_same_record(*records)
    assert_same_bits(ensemble, on_cpu)
    assert_same_record(*(mc.run(each, 10) for each in (ensemble, on_cpu)))
    assert_same_record(*(mc.run(each, 0) for each in (ensemble, on_cpu)))
    assert {arguments["device"] for _, arguments in kernels()} == {int(device[-1])}
    assert not any(arguments.get("checkerboard") for _, arguments in kernels())


def test_equilibration_without_a_whole_block() -> None:
    result = gnf.MonteCarlo(KA2D).equilibrate(small().to("cuda"), 7)
    assert np.isnan(result.displacement_acceptance).all()


def test_run_save_load_run(tmp_path: Path) -> None:
    whole, cut = small(), small().to("cuda:1")
    mc = gnf.MonteCarlo(KA2D)
    mc.equilibrate(whole, 60)
    mc.equilibrate(cut, 40)
    cut.save(tmp_path / "half.h5")
    again = gnf.Ensemble.load(tmp_path / "half.h5", device="cuda:0")
    mc.equilibrate(again, 20)
    assert_same_bits(again, whole)


def test_the_device_keeps_few_records_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from glassnf.samplers import monte_carlo

    ensemble, on_cpu = small().to("cuda"), small()
    one = on_cpu.energy.nbytes + on_cpu.positions.nbytes + on_cpu.species.nbytes
    monkeypatch.setattr(monte_carlo, "_RECORD_BYTES", 3 * one + 1)
    mc = gnf.MonteCarlo(KA2D)
    at = np.array([1, 2, 3, 4, 5, 9, 10, 30])
    records = [mc.run(each, 35, record_at=at, record_positions=True) for each in (ensemble, on_cpu)]
    assert_same_record(*records)
    assert_same_bits(ensemble, on_cpu)
    assert max(len(arguments["record_at"]) for _, arguments in kernels()) == 3


def test_progress_sees_numbers_of_the_host() -> None:
    seen: dict[str, list[Any]] = {"cpu": [], "cuda": []}
    for device, calls in seen.items():
        ensemble = small().to(device)
        mc = gnf.MonteCarlo(KA2D)
        mc.equilibrate(ensemble, 40, progress=lambda *call, calls=calls: calls.append(call))
        mc.run(ensemble, 5, progress=lambda *call, calls=calls: calls.append(call))
    for (done, total, info), (_, _, expected) in zip(seen["cuda"], seen["cpu"], strict=False):
        assert done <= total
        assert {type(value) for value in info.values()} == {float}
        assert info == pytest.approx(expected, rel=1e-14)


def test_a_failing_progress_function_leaves_device_and_stream_as_they_were(cupy: Any) -> None:
    ensemble, on_cpu = small().to("cuda:1"), small()

    def fail(*_: Any) -> None:
        assert fake_cupy.state.current == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gnf.MonteCarlo(KA2D).equilibrate(ensemble, 40, progress=fail)
    assert fake_cupy.state.current == 0
    gnf.MonteCarlo(KA2D).equilibrate(on_cpu, 20)
    assert_same_bits(ensemble, on_cpu)


@pytest.mark.parametrize("when", ["before", "after"])
def test_interrupted_calls_leave_a_valid_ensemble(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble, on_cpu = small().to("cuda"), small()
    real = _core.cuda_monte_carlo

    def interrupted(*arguments: Any, **options: Any) -> None:
        if when == "after":
            real(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(_core, "cuda_monte_carlo", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gnf.MonteCarlo(KA2D).equilibrate(ensemble, 20)
    if when == "after":
        gnf.MonteCarlo(KA2D).equilibrate(on_cpu, 20)
    assert_same_bits(ensemble, on_cpu)


def test_monte_carlo_runs_on_the_current_stream(cupy: Any) -> None:
    ensemble = small().to("cuda:1")
    with cupy.cuda.Device(1):
        stream = cupy.cuda.Stream(123)
    with stream:
        gnf.MonteCarlo(KA2D).run(ensemble, 3)
        gnf.MonteCarlo(KA2D).equilibrate(ensemble, 3)
    assert [arguments["stream"] for _, arguments in kernels()] == [123, 123]


def test_checkerboard_of_large_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(_core, "cuda_monte_carlo", lambda *_, checkerboard=False, **options: seen.append(checkerboard))
    monkeypatch.setattr(_core, "monte_carlo", lambda *_, checkerboard=False, **options: seen.append(checkerboard))
    large = gnf.systems.ka2d(1290)
    on_cpu = small(1, n=1290)
    for given, device in [(None, "cuda"), (True, "cuda"), (False, "cuda"), (None, "cpu"), (True, "cpu"), (False, "cpu")]:
        gnf.MonteCarlo(large, checkerboard=given).run(on_cpu.copy().to(device), 1)
    gnf.MonteCarlo(KA2D).run(small().to("cuda"), 1)
    assert seen == [True, True, False, False, True, False, False]
    with pytest.raises(ValueError, match="^checkerboard: expected a box of at least four cutoffs of 2.5 .* got 6.006,"):
        gnf.MonteCarlo(KA2D, checkerboard=True)
    monkeypatch.setattr(_core, "cuda_sequential_limit", lambda system: 10)
    gnf.MonteCarlo(KA2D).run(small().to("cuda"), 1)  # too small a box
    assert seen[-1] is False
    assert "checkerboard=True" in repr(gnf.MonteCarlo(large, checkerboard=True))
    for wrong in (1, "yes", 0.0):
        with pytest.raises(TypeError, match="^checkerboard: expected True or False"):
            gnf.MonteCarlo(large, checkerboard=wrong)  # type: ignore[arg-type]


def test_a_large_system_on_a_device_is_that_of_a_checkerboard_on_the_cpu() -> None:
    ensemble, on_cpu = small(2, n=1290).to("cuda"), small(2, n=1290)
    gnf.MonteCarlo(on_cpu.system).run(ensemble, 5)
    gnf.MonteCarlo(on_cpu.system, checkerboard=True).run(on_cpu, 5)
    assert kernels()[-1][1]["checkerboard"] is True
    assert_same_bits(ensemble, on_cpu)


def test_bad_calls_move_nothing() -> None:
    ensemble, before = small().to("cuda"), small()
    mc = gnf.MonteCarlo(KA2D)
    ensemble.step = before.step = MAX_STEP
    for call in (
        lambda: mc.run(ensemble, 1),
        lambda: mc.run(ensemble, -1),
        lambda: mc.run(ensemble, 0, record_at=[1]),
        lambda: mc.equilibrate(ensemble, 1),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
    ensemble.move_size[2] = 1e9
    with pytest.raises(ValueError, match="^move_size: expected at most half the box"):
        mc.run(ensemble, 0)
    ensemble.move_size[2] = 0.1
    assert_same_bits(ensemble, before)
    assert kernels() == []


def test_full_memory_in_ensembles_and_monte_carlo() -> None:
    ensemble = small(8)
    on_gpu = ensemble.to("cuda")
    fake_cupy.state.largest = on_gpu.positions.nbytes - 1
    for call in (
        lambda: ensemble.to("cuda"),
        on_gpu.copy,
        on_gpu.unwrapped,
        on_gpu.wrap,
        lambda: gnf.Ensemble.concatenate([on_gpu[:4], on_gpu[4:]]),
        lambda: gnf.MonteCarlo(KA2D).run(on_gpu, 1, record_every=1, record_positions=True),
    ):
        with pytest.raises(gnf.cuda.CudaOutOfMemoryError, match="use fewer replicas at once"):
            call()
    fake_cupy.state.largest = 2**40
    assert_same_bits(on_gpu, ensemble)
    for replicas in (10**7, 10**12):
        with pytest.raises(gnf.cuda.CudaOutOfMemoryError, match=r"^replicas: expected as many as fit into 8.0 GiB of memory"):
            gnf.Ensemble.random(KA2D, replicas, 1.0, seed=1, device="cuda:1")
