"""Training of flows: features against the native field, the regression, files, restarts, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cases
import glassnf as gnf
from glassnf.flows import FlowError, MessageField, RadialBasis, RadialFlow, TemperatureBasis
from glassnf.flows.features import continuity_features, feature_count
from glassnf.flows.regression import Moments
from glassnf.io import FileFormatError, PreviousCheckpointWarning

QUICK: dict[str, Any] = {"samples": 512, "replicas": 32, "equilibration_sweeps": 200, "spacing": 10, "diagnostics": False}


def random_field(system: gnf.systems.System, layers: int, seed: int, size: float = 0.3) -> MessageField:
    """Return a field of one function of beta with random coefficients."""
    rng = np.random.default_rng(seed)
    half = 0.5 * float(min(system.box))
    pair, message = RadialBasis(0.5, 0.95 * half, 9), RadialBasis(0.6, 0.8 * half, 7)
    pairs = system.n_species * (system.n_species + 1) // 2
    return MessageField(
        system.n_species,
        pair,
        message,
        TemperatureBasis(1.0, 2.0, 1),
        size * rng.normal(size=(layers + 1, 1, pairs, pair.size)),
        size * rng.normal(size=(layers, 1, 2, pairs, message.size)),
    )


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("dimension", [2, 3])
def test_features_are_divergence_and_work_of_the_native_field(layers: int, dimension: int) -> None:
    potential = cases.potential("inverse_power", 2)
    system = cases.mixture(potential, 24, cases.cells_box(potential, (2.2,) * dimension))
    positions, species = cases.lattice_batch(system, 3, seed=layers)
    field, beta = random_field(system, layers, seed=10 * dimension + layers), 1.4
    pair, message = field.at(beta)
    flow = RadialFlow(system, field, hot=1.0, cold=0.5, steps=4)
    velocity, divergence = flow.velocity_and_divergence(positions, species, beta)
    forces = gnf.forces(system, positions, species)
    wanted = divergence + beta * np.einsum("rnd,rnd->r", velocity, forces)
    features = continuity_features(
        system, positions, species, forces, beta, field.pair_basis, field.message_basis, pair[:-1], message[:-1]
    )
    last = np.concatenate([pair[-1].ravel(), message[-1].ravel()]) if layers else pair[-1].ravel()
    assert features.shape == (3, feature_count(2, field.pair_basis, field.message_basis, layers))
    np.testing.assert_allclose(features @ last, wanted, rtol=1e-10, atol=1e-10 * np.abs(wanted).max())


def test_features_do_not_depend_on_threads() -> None:
    system = gnf.systems.ka2d(n=43)
    positions, species = cases.lattice_batch(system, 40, seed=3)
    field = random_field(system, 2, seed=3)
    pair, message = field.at(1.2)
    forces = gnf.forces(system, positions, species)
    one, three = (
        continuity_features(
            system, positions, species, forces, 1.2, field.pair_basis, field.message_basis, pair[:-1], message[:-1], threads
        )
        for threads in (1, 3)
    )
    assert np.array_equal(one, three)


@pytest.mark.slow
def test_features_have_mean_zero_in_equilibrium() -> None:
    # 2048 samples of 512 independent chains, two decorrelation times apart; fewer than 200 features. A normal mean exceeds 5
    # standard errors with probability 6e-7: false alarms in 1 run of 8000. With forces that are wrong the means are not zero.
    system = gnf.systems.ka2d(n=43)
    found = gnf.harvest(
        gnf.MonteCarlo(system, swap_probability=0.2), 1.0, 2048, 5, replicas=512, spacing=100, equilibration_sweeps=500
    )
    positions, species = found.ensemble.positions, found.ensemble.species
    field = random_field(system, 2, seed=8)
    pair, message = field.at(1.0)
    arguments = (1.0, field.pair_basis, field.message_basis, pair[:-1], message[:-1])
    forces = gnf.forces(system, positions, species)
    energy = gnf.energy(system, positions, species)

    def largest(force: Any) -> float:
        moments = Moments.zero(feature_count(3, field.pair_basis, field.message_basis, 2))
        moments.add(energy, continuity_features(system, positions, species, force, *arguments))
        return moments.largest_z()

    assert largest(forces) < 5.0
    assert largest(0.9 * forces) > 8.0


def test_moments_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    energy, features = rng.normal(size=200) - 50.0, rng.normal(size=(200, 4))
    moments = Moments.zero(4)
    moments.add(energy[:90], features[:90])
    moments.add(energy[90:], features[90:])
    c = rng.normal(size=4)
    assert moments.energy_variance == pytest.approx(energy.var(), rel=1e-9)
    assert moments.residual_variance(c) == pytest.approx((energy - features @ c).var(), rel=1e-9)
    square, product = moments.products()
    np.testing.assert_allclose(square, features.T @ features / 200)
    np.testing.assert_allclose(product, features.T @ (energy - energy.mean()) / 200, atol=1e-12)


@pytest.fixture(scope="module")
def system() -> gnf.systems.System:
    return gnf.systems.ka2d(n=43)


@pytest.fixture(scope="module")
def flow(system: gnf.systems.System) -> RadialFlow:
    """Trained well enough to beat plain reweighting."""
    return gnf.flows.train(
        system, hot=1.0, cold=0.85, seed=4, layers=1, samples=6144, replicas=256, spacing=20, equilibration_sweeps=400
    )


def test_training_explains_and_beats_plain_reweighting(flow: RadialFlow) -> None:
    report = flow.report
    assert report is not None
    assert [node.temperature for node in report.nodes] == pytest.approx([1.0, 0.85**0.5, 0.85])
    for node in report.nodes:
        assert node.samples + node.held_out == 6144
        assert node.held_out == 6144 // 8
        assert 0.45 < node.explained < node.explained_train + 0.05 < 0.8
        assert node.largest_z < 6.0
        assert node.ceiling is not None
        assert node.explained < node.ceiling < 1.0
    assert report.plain_ess is not None
    assert report.measured_ess is not None
    assert report.ceiling_ess is not None
    assert report.plain_ess + 0.1 < report.measured_ess < report.ceiling_ess
    assert abs(report.measured_ess - report.expected_ess) < 0.15
    assert report.integration_error is not None
    assert report.integration_error < 0.02
    assert report.provenance["sampler"]["explorer"] == "monte_carlo"


def test_training_does_not_depend_on_threads_and_does_on_the_seed(system: gnf.systems.System) -> None:
    one, two, other = (
        gnf.flows.train(system, 1.0, 0.9, seed, layers=1, threads=threads, steps=4, **QUICK)
        for seed, threads in ((1, 1), (1, 2), (2, 2))
    )
    assert one.hash == two.hash
    assert one.hash != other.hash


@pytest.mark.slow
def test_matching_learns_a_field_like_that_of_the_continuity_equation(system: gnf.systems.System) -> None:
    # Two regressions that share nothing but the samples. Displacements of a few sweeps are noisy and only part of the way.
    arguments: dict[str, Any] = {**QUICK, "samples": 1024, "replicas": 64, "layers": 0, "steps": 4}
    one, other = (gnf.flows.train(system, 1.0, 0.7, 5, method=method, **arguments) for method in ("continuity", "matching"))
    positions, species = cases.small(16, temperature=0.9).positions, cases.small(16, temperature=0.9).species
    a, b = (f.velocity_and_divergence(positions, species, 1.2)[0].ravel() for f in (one, other))
    assert np.corrcoef(a, b)[0, 1] > 0.2  # 0.35; a wrong sign or scale of time would show


def test_resumed_training_is_the_same(system: gnf.systems.System, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"hot": 1.0, "cold": 0.9, "seed": 3, "layers": 2, "steps": 4, **QUICK}
    whole = gnf.flows.train(system, **arguments)
    file = tmp_path / "training.h5"
    # Stopped within the second temperature, then between the layers.
    for limit in (1_500, 4_200):

        def stop(done: int, total: int, info: dict[str, Any], limit: int = limit) -> None:
            if done > limit:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            gnf.flows.train(system, checkpoint=file, resume=file.exists(), progress=stop, **arguments)
    again = gnf.flows.train(system, checkpoint=file, resume=True, **arguments)
    assert again.hash == whole.hash
    with pytest.raises(ValueError, match="checkpoint: expected one of the same training"):
        gnf.flows.train(system, checkpoint=file, resume=True, **{**arguments, "seed": 4})
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.warns(PreviousCheckpointWarning, match=r"truncated or damaged; .*h5.previous' is the checkpoint before it"):
        assert gnf.flows.train(system, checkpoint=file, resume=True, **arguments).hash == whole.hash
    for name in ("training.h5", "training.h5.previous"):
        (tmp_path / name).write_bytes(file.read_bytes()[:-200])
    with pytest.raises(FileFormatError, match="damaged"):
        gnf.flows.train(system, checkpoint=file, resume=True, **arguments)


def test_flow_survives_a_file(flow: RadialFlow, tmp_path: Path) -> None:
    file = tmp_path / "flow.safetensors"
    flow.save(file)
    back = gnf.flows.load(file, flow.system)
    assert back.hash == flow.hash
    assert back.report == flow.report
    assert back.steps == flow.steps
    positions, species = cases.lattice_batch(flow.system, 4, seed=1)
    a, b = (f.transport(positions, species, 1.0, 1.0 / 0.85) for f in (flow, back))
    assert np.array_equal(a.positions, b.positions)
    assert np.array_equal(a.log_jacobian, b.log_jacobian)
    other = gnf.systems.ka2d(n=44)
    with pytest.raises(ValueError, match="compositions"):
        gnf.flows.load(file, other)
    with pytest.raises(ValueError, match="boxes"):
        gnf.flows.load(file, gnf.systems.System.from_dict({**flow.system.to_dict(), "box": [6.0, 6.1]}))
    content = bytearray(file.read_bytes())
    steps = content.replace(b'\\"steps\\": ' + str(flow.steps).encode(), b'\\"steps\\": 1')
    assert steps != content
    file.write_bytes(steps)
    with pytest.raises(FileFormatError, match="damaged"):
        gnf.flows.load(file)
    content[-5] ^= 64
    file.write_bytes(content)
    with pytest.raises(FileFormatError, match="damaged"):
        gnf.flows.load(file)
    file.write_bytes(b"no flow")
    with pytest.raises(FileFormatError, match="safetensors"):
        gnf.flows.load(file)
    with pytest.raises(FileNotFoundError):
        gnf.flows.load(tmp_path / "none.safetensors")


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    file = tmp_path / "foreign.safetensors"
    save_file({"weight": np.zeros(3)}, file)
    with pytest.raises(FileFormatError, match="expected a flow of glassnf"):
        gnf.flows.load(file)
    save_file({"pair": np.zeros(3)}, file, metadata={"format": "glassnf.radial_flow", "flow": json.dumps({"version": 99})})
    with pytest.raises(FileFormatError, match="version"):
        gnf.flows.load(file)


def test_transport_goes_both_ways(flow: RadialFlow) -> None:
    found = gnf.harvest(gnf.MonteCarlo(flow.system), 1.0, 64, 9, replicas=64, spacing=10, equilibration_sweeps=300)
    x, species = found.ensemble.positions, found.ensemble.species
    there = flow.transport(x, species, 1.0, 1.0 / 0.85, steps=32)
    back = flow.transport(there.positions, species, 1.0 / 0.85, 1.0, steps=32)
    box = flow.system.box
    shift = back.positions - x
    assert np.abs(shift - box * np.rint(shift / box)).max() < 1e-7
    np.testing.assert_allclose(back.log_jacobian, -there.log_jacobian, atol=1e-6)
    assert np.abs(there.positions - x).max() > 1e-3


def test_transport_does_not_depend_on_what_came_before(flow: RadialFlow, tmp_path: Path) -> None:
    positions, species = cases.lattice_batch(flow.system, 2, seed=3)
    flow.save(tmp_path / "flow.safetensors")
    one, other = (gnf.flows.load(tmp_path / "flow.safetensors") for _ in range(2))
    for steps in range(2, 9):
        other.transport(positions, species, 1.15, 1.01, steps=steps)
        a, b = (f.transport(positions, species, 1.01, 1.15, steps=steps) for f in (one, other))
        assert np.array_equal(a.positions, b.positions)
        assert np.array_equal(a.log_jacobian, b.log_jacobian)


def test_no_way_to_go_is_checked_all_the_same(flow: RadialFlow) -> None:
    positions, species = cases.lattice_batch(flow.system, 2, seed=3)
    there = flow.transport(positions + 6.0 * np.asarray(flow.system.box), species, 1.1, 1.1)
    np.testing.assert_allclose(there.positions, positions, atol=1e-12)
    assert not there.log_jacobian.any()
    with pytest.raises(ValueError, match="positions"):
        flow.transport(np.full((2, 3), np.nan), species, 1.1, 1.1)


def test_one_field_for_two_sizes(flow: RadialFlow) -> None:
    large = flow.for_system(gnf.systems.ka2d(n=172))
    positions, species = cases.lattice_batch(large.system, 2, seed=2)
    velocity, divergence = large.velocity_and_divergence(positions, species, 1.1)
    assert velocity.shape == (2, 172, 2)
    assert np.isfinite(divergence).all()
    with pytest.raises(ValueError, match="at most one layer"):
        RadialFlow(gnf.systems.ka2d(n=1075), random_field(gnf.systems.ka2d(n=43), 2, seed=1), 1.0, 0.5, 4)
    with pytest.raises(ValueError, match="system: expected the potential"):
        flow.for_system(gnf.systems.ka(n=200))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cold": 1.2}, "cold: expected a temperature below hot"),
        ({"hot": -1.0}, "hot: expected"),
        ({"layers": 4}, "layers: expected"),
        ({"samples": 10}, "samples: expected"),
        ({"replicas": 4}, "replicas: expected"),
        ({"ridge": 0.0}, "ridge: expected"),
        ({"temperatures": [1.0, 0.95]}, "temperatures: expected distinct temperatures from hot"),
        ({"pair": RadialBasis(0.5, 3.2, 20)}, "pair: expected a range of less than half the box"),
        ({"seed": -1}, "seed: expected"),
        ({"system": gnf.systems.ka2d(n=1075)}, "layers: expected at most one layer"),
        ({"system": gnf.systems.ka2d(n=4300), "layers": 0}, "system: expected at most 4096 particles"),
        ({"method": "gradient"}, "method: expected"),
        ({"matching_sweeps": 0}, "matching_sweeps: expected"),
        ({"steps": 0}, "steps: expected"),
        ({"resume": True}, "checkpoint: expected the file to resume from"),
    ],
)
def test_bad_arguments_are_named_before_any_work(system: gnf.systems.System, change: dict[str, Any], message: str) -> None:
    def progress(done: int, total: int, info: dict[str, Any]) -> None:
        raise AssertionError("work has started")

    with pytest.raises(ValueError, match=message):
        gnf.flows.train(**{"system": system, "hot": 1.0, "cold": 0.9, "seed": 1, "progress": progress, **change})


def test_wrong_kinds_are_named(system: gnf.systems.System, flow: RadialFlow) -> None:
    with pytest.raises(TypeError, match="system: expected a System"):
        gnf.flows.train("ka2d", 1.0, 0.9, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sampler: expected a sampler of"):
        gnf.flows.train(system, 1.0, 0.9, 1, sampler=gnf.MonteCarlo(gnf.systems.ka2d(n=44)))
    with pytest.raises(ValueError, match="beta_to: expected a temperature between 0.85 and 1"):
        flow.transport(*cases.lattice_batch(system, 1, seed=1), 1.0, 2.0)
    with pytest.raises(FlowError, match="not been trained"):
        RadialFlow(
            system,
            replace(flow.field, pair=0.0 * flow.field.pair, message=0.0 * flow.field.message),
            flow.hot,
            flow.cold,
            flow.steps,
        )


_WORKER = """
import sys
import torch.distributed as dist
import glassnf as gnf
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
flow = gnf.flows.train(
    gnf.systems.ka2d(n=43), 1.0, 0.9, 1, layers=1, samples=256, replicas=16, equilibration_sweeps=100, spacing=5, threads=1
)
print(flow.hash, flow.report.nodes[0].samples, flow.steps, flow.report.measured_ess, flow.report.provenance["process"])
dist.destroy_process_group()
"""


def test_two_processes_train_one_flow(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _WORKER, str(rank), str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    lines = [worker.communicate(timeout=240)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert lines[0] == lines[1]
    assert lines[0][-1] == "0"
    assert int(lines[0][1]) == 2 * 256 * 7 // 8
