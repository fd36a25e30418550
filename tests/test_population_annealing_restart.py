"""Population annealing is a function of seed and settings: threads, blocks, pieces, files and Ctrl-C change no bit."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import fake_cupy
import glassnf as gnf
from cases import assert_identical
from glassnf import io
from glassnf.samplers import Anneal, PAResult, _anneal, _population, monte_carlo, population_annealing

pytestmark = pytest.mark.filterwarnings("ignore::glassnf.samplers.PopulationCollapseWarning")  # populations are tiny here

KA2D = gnf.systems.ka2d(43)
REPLICAS = 24
SCHEDULE = [1.0, 0.9, 0.8]


def annealing(threads: int = 1, swaps: float = 0.2, **options: Any) -> gnf.PopulationAnnealing:
    explorer = gnf.MonteCarlo(KA2D, swaps, threads=threads)
    settings: dict[str, Any] = {"start": 1.0, "target": 0.8, "sweeps_per_step": 7, "equilibration_sweeps": 45}
    if "temperatures" in options:
        settings |= {"start": None, "target": None}
    return gnf.PopulationAnnealing(KA2D, explorer=explorer, **(settings | options))


def assert_same(a: PAResult, b: PAResult) -> None:
    for item in fields(PAResult):
        if item.name == "ensemble":
            assert_identical(a.ensemble, b.ensemble)
        elif item.name != "wall_time":
            np.testing.assert_array_equal(getattr(a, item.name), getattr(b, item.name), err_msg=item.name)


@pytest.fixture(scope="module")
def whole() -> PAResult:
    """Return the result that all other ways of getting it are compared with."""
    result = annealing().run(REPLICAS, seed=5)
    assert 3 <= result.temperatures.size <= 12
    assert (result.temperatures[0], result.temperatures[-1]) == (1.0, 0.8)
    assert result.families[-1] < REPLICAS
    return result


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a piece of work be a few replicas and a few sweeps."""
    monkeypatch.setattr(population_annealing, "_PIECE_SECONDS", 1e-9)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads(threads: int, whole: PAResult) -> None:
    assert_same(annealing(threads).run(REPLICAS, seed=5), whole)


@pytest.mark.parametrize("block", [1, 5, 23, 24, 100])
def test_blocks(block: int, whole: PAResult) -> None:
    assert_same(annealing(block=block).run(REPLICAS, seed=5), whole)


def test_pieces(small_pieces: None, whole: PAResult) -> None:
    calls: list[tuple[int, int, dict[str, Any]]] = []
    result = annealing().run(REPLICAS, seed=5, progress=lambda *call: calls.append(call))
    assert_same(result, whole)
    assert len(calls) > 3 * whole.temperatures.size
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert done[-1] == calls[-1][1]
    stages = [call[2]["stage"] for call in calls]
    assert stages == sorted(stages, key=["equilibration", "annealing", "finished"].index)
    info = calls[-1][2]
    assert (info["families"], info["rho_t"]) == (whole.families[-1], whole.rho_t[-1])
    assert info["temperature"] == pytest.approx(0.8)
    assert 0.1 < info["acceptance"] < 0.9


@pytest.mark.parametrize("block", [None, 9])
def test_on_a_gpu(block: int | None, whole: PAResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """The population on a device, or blocks that travel: an imaginary GPU with the kernels of the CPU, and the same bits."""
    fake_cupy.install(monkeypatch)
    result = annealing(block=block).run(REPLICAS, seed=5, device="cuda:1")
    assert result.ensemble.device == ("cuda:1" if block is None else "cpu")
    for name in ("log_z", "mean_energy", "rho_t", "move_size", "energy", "acceptance"):
        np.testing.assert_array_equal(getattr(result, name), getattr(whole, name), err_msg=name)
    assert_identical(result.ensemble.to("cpu"), whole.ensemble)


def test_other_seeds_give_other_runs(whole: PAResult) -> None:
    other = annealing().run(REPLICAS, seed=6)
    assert not np.array_equal(other.ensemble.positions, whole.ensemble.positions)


def test_given_replicas(whole: PAResult) -> None:
    """Random starts given as an ensemble are those that a number asks for; the ensemble given is not touched."""
    start = gnf.Ensemble.random(KA2D, REPLICAS, 1.0, seed=5)
    before = start.copy()
    assert_same(annealing().run(start), whole)
    assert_identical(start, before)
    start.seed = 3
    assert_same(annealing().run(start, seed=5), whole)


# ---- molecular dynamics ------------------------------------------------------------------------------------------------------


def dynamics(thermostat: str | None, **options: Any) -> gnf.PopulationAnnealing:
    md = gnf.MolecularDynamics(KA2D, timestep=0.004, thermostat=thermostat, threads=1)
    settings: dict[str, Any] = {"start": 1.0, "target": 0.9, "sweeps_per_step": 30, "equilibration_sweeps": 45}
    return gnf.PopulationAnnealing(KA2D, explorer=md, **(settings | options))


@pytest.mark.parametrize("thermostat", [None, "langevin"])
def test_molecular_dynamics(thermostat: str | None, small_pieces: None, tmp_path: Path) -> None:
    """Any explorer: the same bits in blocks and pieces and after a restart, and new velocities at each new temperature."""
    expected = dynamics(thermostat).run(REPLICAS, seed=7)
    assert expected.temperatures.size >= 3
    assert np.isnan(expected.acceptance).all()
    assert_same(dynamics(thermostat, block=5).run(REPLICAS, seed=7), expected)
    pa = dynamics(thermostat)
    anneal = pa.begin(REPLICAS, seed=7)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    while not anneal.finished:
        with contextlib.suppress(KeyboardInterrupt):
            pa.advance(anneal, progress=stop)
        anneal.save(tmp_path / "anneal.h5")
        anneal = Anneal.load(tmp_path / "anneal.h5")
    assert_same(pa.finish(anneal), expected)
    velocities = expected.ensemble.velocities
    assert velocities is not None
    copies = np.unique(velocities.reshape(REPLICAS, -1), axis=0)
    assert len(copies) == REPLICAS


def test_velocities_after_resampling() -> None:
    """Those of the new temperature: variance T (1 - 1/N), within 5 sigma; copies have their own."""
    pa = dynamics(None, target=0.5, equilibration_sweeps=0, sweeps_per_step=1, culling_fraction=0.3)
    anneal = pa.begin(400, seed=8)
    pa.advance(anneal)
    velocities = anneal.population.velocities
    assert velocities is not None
    assert anneal.temperature < 0.95
    expected = anneal.temperature * (1.0 - 1.0 / 43)
    assert abs((velocities**2).mean() / expected - 1.0) < 5.0 * np.sqrt(2.0 / velocities.size)
    assert len(np.unique(velocities[:, 0, 0])) == 400
    assert len(np.unique(anneal.population.positions[:, 0, 0])) < 350


# ---- files -------------------------------------------------------------------------------------------------------------------


def test_saved_and_loaded_after_every_piece(small_pieces: None, whole: PAResult, tmp_path: Path) -> None:
    path = tmp_path / "anneal.h5"
    anneal = annealing().begin(REPLICAS, seed=5)
    cut_inside = 0

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    while not anneal.finished:
        with contextlib.suppress(KeyboardInterrupt):
            annealing(block=7).advance(anneal, progress=stop)
        cut_inside += 0 < anneal.done.sum() < anneal.stage.sweeps * REPLICAS
        anneal.save(path)
        anneal = Anneal.load(path)
    assert cut_inside > 5
    assert_same(annealing().finish(anneal), whole)


def test_in_a_run_file_of_the_caller(whole: PAResult, tmp_path: Path) -> None:
    pa = annealing()
    anneal = pa.begin(REPLICAS, seed=5)
    run = io.RunFile.create(tmp_path / "run.h5", anneal.population, {"mine": 1, "pa": pa.describe()})
    for _ in range(4):
        pa.advance(anneal)
    run.checkpoint(anneal.population, anneal.to_state())
    read = io.RunFile.open(tmp_path / "run.h5")
    again = Anneal.from_state(read.ensemble, read.parameters["pa"], read.state)
    while not again.finished:
        pa.advance(again)
    assert_same(pa.finish(again), whole)
    pa.advance(again)  # nothing is left to do
    assert_same(pa.finish(again), whole)


def test_other_settings_are_refused(tmp_path: Path) -> None:
    anneal = annealing().begin(4, seed=5)
    for other, name in (
        (annealing(sweeps_per_step=8), "sweeps_per_step: 8 != 7"),
        (annealing(swaps=0.1), "explorer.swap_probability: 0.1 != 0.2"),
        (annealing(temperatures=SCHEDULE), "culling_fraction"),
    ):
        with pytest.raises(ValueError, match=f"anneal: expected one begun with the settings of this sampler.*{name}"):
            other.advance(anneal)
        with pytest.raises(ValueError, match="anneal: expected one begun with the settings"):
            other.finish(anneal)
    with pytest.raises(ValueError, match="anneal: expected a finished one, got one at temperature 1"):
        annealing().finish(anneal)
    with pytest.raises(TypeError, match="anneal: expected an Anneal, got int"):
        annealing().advance(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="state: expected the state of population annealing"):
        Anneal.from_state(anneal.population, {}, {"something": 1})
    state = anneal.to_state()
    with pytest.raises(ValueError, match=r"state\['families'\]: expected integers from 0 to 3"):
        Anneal.from_state(anneal.population, {}, state | {"families": np.array([0, 1, 2, 4])})
    with pytest.raises(ValueError, match=r"state\['done'\]: expected shape"):
        Anneal.from_state(anneal.population, {}, state | {"done": np.zeros(3, dtype=np.int64)})


# ---- Ctrl-C ------------------------------------------------------------------------------------------------------------------

FILES = {module.__file__ for module in (_anneal, _population, monte_carlo, population_annealing)}


@contextlib.contextmanager
def interrupt_at(line: int) -> Iterator[None]:
    """Raise KeyboardInterrupt at the given line, counted from here, of the code of the samplers."""
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in FILES:
            return None
        left -= event == "line"
        if left == 0 and event == "line":
            raise KeyboardInterrupt
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(previous)


@pytest.mark.parametrize("block", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupt_at_any_line(block: int | None, small_pieces: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of equilibration, and a temperature step with its resampling: cut at every line, they go on bit for bit.

    With blocks they travel to an imaginary GPU and back.
    """
    if block is not None:
        fake_cupy.install(monkeypatch)
    device = "cpu" if block is None else "cuda:0"
    pa = annealing(temperatures=[1.0, 0.5], sweeps_per_step=3, equilibration_sweeps=0, block=block)
    start = pa.begin(3, seed=8, device=device)
    start.population.velocities = None
    state = start.to_state()

    def fresh() -> Anneal:
        return Anneal.from_state(start.population.copy(), start.parameters, state, device)

    def complete(anneal: Anneal) -> PAResult:
        while not anneal.finished:
            pa.advance(anneal)
        return pa.finish(anneal)

    expected = complete(fresh())
    assert expected.families[-1] < 3
    line, finished = 0, False
    while not finished:
        line += 1
        anneal = fresh()
        with interrupt_at(line):
            pa.advance(anneal)
            finished = True
        assert_same(complete(anneal), expected)
    assert line > 100
