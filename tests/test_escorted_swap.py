"""The maps of the escorted exchange: exact inverses, exact Jacobians, and a distribution that must not change."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from test_bench import result
from tolerances import FALSE_ALARM

torch = pytest.importorskip("torch")

BENCH = Path(__file__).resolve().parent.parent / "bench"
BOX = torch.tensor([6.0, 6.0], dtype=torch.float64)


def load(name: str) -> ModuleType:
    sys.path.insert(0, str(BENCH))
    try:
        spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCH))
    return module


escort = load("escort")


def random_chain(rounds: int = 2, strength: float = 1.0, seed: int = 3) -> Any:
    """Return a chain of maps with random weights; moves of the centre stay invertible."""
    generator = torch.Generator().manual_seed(seed)
    move = escort.chain(3, 0.5, 2.9, rounds)
    with torch.no_grad():
        for step in move.maps:
            for name, weight in step.named_parameters():
                size = 0.005 if name == "weights" else 0.5
                weight.copy_(strength * size * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return move


def state(replicas: int, n: int = 12, d: int = 2, seed: int = 5) -> tuple[Any, ...]:
    """Return uniform positions, species, and one particle of species 0 and one of species 2 for each configuration."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand((replicas, n, d), generator=generator, dtype=torch.float64) * 6.0
    species = torch.stack([torch.arange(n)[torch.randperm(n, generator=generator)] % 3 for _ in range(replicas)])
    low, high = escort.pick(species, 0, 2, generator)
    return x, species, low, high


@pytest.mark.parametrize("inverse", [False, True])
def test_the_spline_is_undone_by_its_inverse(inverse: bool) -> None:
    radial = random_chain(1).maps[0]
    knots = escort.spline_knots(radial.heights, radial.slopes, 0.5, 2.9)
    r = torch.linspace(0.3, 3.1, 4001, dtype=torch.float64).requires_grad_()
    channel = torch.arange(4001) % 3
    image, log_slope = escort.spline(r, channel, knots, 0.5, 2.9, inverse=inverse)
    back, other = escort.spline(image, channel, knots, 0.5, 2.9, inverse=not inverse)
    assert (back - r).abs().max() < 1e-12
    assert (log_slope + other).abs().max() < 1e-9
    (slope,) = torch.autograd.grad(image.sum(), r)
    assert (torch.log(slope) - log_slope).abs().max() < 1e-10
    assert (image - r).abs().max() > 0.05


def test_no_weights_no_motion() -> None:
    x, species, low, high = state(5)
    after, exchanged, log_jacobian = escort.chain(3, 0.5, 2.9, 2)(x, species, low, high, BOX)
    assert (after - x).abs().max() < 1e-13
    assert log_jacobian.abs().max() < 1e-12
    rows = torch.arange(5)
    assert (exchanged[rows, low] == 2).all()
    assert (exchanged[rows, high] == 0).all()


@pytest.mark.parametrize("d", [2, 3])
def test_the_move_is_an_involution(d: int) -> None:
    move, box = random_chain(), torch.full((d,), 6.0, dtype=torch.float64)
    x, species, low, high = state(200, d=d)
    after, exchanged, log_jacobian = move(x, species, low, high, box)
    back, restored, other = move(after, exchanged, high, low, box)
    assert (after - x).abs().amax((1, 2)).median() > 0.05
    assert escort.minimum_image(back - x, box).abs().max() < 1e-12
    assert torch.equal(restored, species)
    assert (log_jacobian + other).abs().max() < 1e-10
    assert escort.returns(move, x, after, species, low, high, box).all()


@pytest.mark.parametrize("d", [2, 3])
def test_the_jacobian_is_that_of_automatic_differentiation(d: int) -> None:
    move, box = random_chain(), torch.full((d,), 6.0, dtype=torch.float64)
    x, species, low, high = state(4, d=d)
    log_jacobian = move(x, species, low, high, box)[2].detach()
    for k in range(4):
        one = slice(k, k + 1)

        def image(flat: Any, one: slice = one) -> Any:
            return move(flat.reshape(1, -1, d), species[one], low[one], high[one], box)[0].reshape(-1)

        jacobian = torch.autograd.functional.jacobian(image, x[one].reshape(-1))
        assert abs(float(torch.linalg.slogdet(jacobian)[1] - log_jacobian[k])) < 1e-10


def distances_after_a_trial(jacobian: bool) -> Any:
    """Make one trial of an ideal gas, uniform before; return the distances from low centres to all others below half a box."""
    move, generator = random_chain(), torch.Generator().manual_seed(8)
    x, species, low, high = state(20_000, n=6)
    with torch.no_grad():
        after, exchanged, log_jacobian = move(x, species, low, high, BOX)
    gain = log_jacobian if jacobian else torch.zeros_like(log_jacobian)
    take = torch.rand(len(x), generator=generator, dtype=torch.float64).log() < gain
    assert 0.3 < take.double().mean() <= 1.0
    x = torch.where(take[:, None, None], after, x)
    species = torch.where(take[:, None], exchanged, species)
    centre = torch.where(take, high, low)  # whichever has species 0
    other = torch.where(take, low, high)
    rows = torch.arange(len(x))
    r = escort.minimum_image(x - x[rows, centre][:, None], BOX).norm(dim=-1)
    kept = escort.free_particles(x, centre, other) & (r < 3.0)
    return r[kept].numpy()


def test_an_ideal_gas_stays_uniform() -> None:
    # Kolmogorov-Smirnov against area, false alarm 1e-5; without the Jacobian the same test must fail, so that it has power.
    # Distances within a configuration are independent: particles of an ideal gas are.
    assert kstest((distances_after_a_trial(True) / 3.0) ** 2, "uniform").pvalue > FALSE_ALARM
    assert kstest((distances_after_a_trial(False) / 3.0) ** 2, "uniform").pvalue < 1e-9


def test_the_response_is_recovered_from_displacements() -> None:
    experiment = load("escorted_swap")
    truth = random_chain(1, strength=0.15).maps[0]
    target = escort.Escort([truth])
    x, species, low, high = state(600, n=16)
    with torch.no_grad():
        after = target(x, species, low, high, BOX)[0]
    fitted = escort.Radial(3, 0.5, 2.9)
    data = {"before": x, "after": after, "species": species, "low": low, "high": high}
    experiment.fit_response(data, fitted, BOX, ridge=1e-8)
    r = torch.linspace(0.6, 2.8, 200, dtype=torch.float64)
    for kind in range(3):
        channel = torch.full((200,), kind)
        found, wanted = (
            escort.spline(r, channel, escort.spline_knots(m.heights, m.slopes, 0.5, 2.9), 0.5, 2.9, inverse=False)[0]
            for m in (fitted, truth)
        )
        motion = (wanted - r).detach().norm()
        assert (found - wanted).detach().norm() < 0.25 * motion
        assert motion > 0.05


@pytest.mark.slow
def test_the_experiment_runs(tmp_path: Path) -> None:
    path = tmp_path / "escorted_swap.json"
    sizes = ("--replicas", 8, "--equilibration", 200, "--records", 4, "--quenches", 16, "--iterations", 3)
    document = result("escorted_swap.py", path, *sizes, "--repeats", 1, "--trials", 2, "--repetitions", 2, "--temperature", 1.0)
    assert set(document["pairs"]) == {"A-B", "A-C", "B-C"}
    for case in document["pairs"].values():
        assert 0.0 <= case["radial_and_centre"]["acceptance"]["value"] <= 1.0
        assert np.isfinite(case["invariance"]["exact"]["energy_change"]["value"])
