"""Samplers of one's own in a comparison: exact where they are, charged for what they do, and caught where they lie.

Averages are compared at 5 standard errors (false alarms 6e-7 each), verdicts at the 4 sigma of the comparison (6e-5 for each of
two averages, and below 1e-3 for R-hat and drift); seeds are fixed.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import glassnf as gnf
import own_samplers
from glassnf.compare import (
    Algorithm,
    DiagnosedAlgorithm,
    PluginError,
    Problem,
    RunOptions,
    Samples,
    TrainedAlgorithm,
    Training,
    find_sampler,
)
from glassnf.compare.own import SamplerAlgorithm
from own_samplers import COLD, HOT, TWO
from tolerances import STATISTICAL

HMC_FILE = Path(__file__).resolve().parent.parent / "examples" / "hmc_torch.py"
LIQUID = gnf.systems.ka2d(8 * 43)
OPTIONS = RunOptions(threads=1, adaptation=100)


def made(kind: type, *, runs: int = 24, options: RunOptions = OPTIONS, temperature: float = COLD) -> SamplerAlgorithm:
    algorithm = SamplerAlgorithm(kind, kind.__name__, TWO.system, temperature, options)
    algorithm.prepare(TWO.draw(runs, HOT, seed=3))
    return algorithm


def deviations(estimate: Any, temperature: float = COLD) -> tuple[float, float]:
    """Return the distances of the averages of energy and specific heat from the exact ones, in standard errors."""
    found = []
    for values, exact in (
        (estimate.mean_energy, TWO.mean_energy(temperature) / 2),
        (estimate.specific_heat, TWO.specific_heat(temperature)),
    ):
        found.append(float(values.mean() - exact) / (values.std(ddof=1) / math.sqrt(len(values))))
    return found[0], found[1]


# ---- exact -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "budget"),
    [
        (own_samplers.Draws, 4_000),
        (own_samplers.Reweighted, 4_000),
        (own_samplers.Carried, 4_000),
        pytest.param(own_samplers.Metropolis, 8_000, marks=pytest.mark.slow),
    ],
)
def test_exact_averages(kind: type, budget: int) -> None:
    """The adapter adds no bias: exact samplers give exact averages, of chains and of weighted samples."""
    algorithm = made(kind)
    algorithm.advance(budget // 2)
    estimate = algorithm.advance(budget)
    assert estimate.mean_energy.shape == estimate.specific_heat.shape == (24,)
    assert max(map(abs, deviations(estimate))) < STATISTICAL


def test_hmc_of_the_example() -> None:
    """The example samples two particles exactly, at whatever time step."""
    hmc = find_sampler(f"{HMC_FILE}:HMC")
    options = RunOptions(threads=1, adaptation=500, settings={"steps": 8, "acceptance": 0.8})
    algorithm = made(hmc, options=options, temperature=HOT)
    estimate = algorithm.advance(6_000)
    assert max(map(abs, deviations(estimate, HOT))) < STATISTICAL
    own = algorithm.report()["own"]
    assert own["steps"] == 8
    assert own["time_step"] > 0.02  # adapted, from 0.01
    assert 0.6 < own["acceptance"] < 1.0
    assert algorithm.cost().pair_evaluations == algorithm.report()["evaluations"]  # one pair


# ---- the protocol ------------------------------------------------------------------------------------------------------------


def test_it_is_an_algorithm() -> None:
    algorithm = made(own_samplers.Draws)
    assert isinstance(algorithm, Algorithm)
    assert isinstance(algorithm, DiagnosedAlgorithm)
    assert isinstance(algorithm, TrainedAlgorithm)
    assert algorithm.training() is None


def test_the_trace_of_a_chain() -> None:
    algorithm = made(own_samplers.Metropolis, runs=6)
    start = algorithm.trace()
    assert start is not None
    np.testing.assert_allclose(start.energy, TWO.draw(6, HOT, seed=3).energy[None] / 2, rtol=1e-12)
    algorithm.advance(40)
    first = algorithm.trace()
    algorithm.advance(100)
    trace = algorithm.trace()
    assert trace is not None
    np.testing.assert_array_equal(trace.sweeps, [0, *range(2, 101)])  # the first evaluation is of the start
    np.testing.assert_array_equal(trace.energy[:40], first.energy)
    estimate = algorithm._estimate(100)
    np.testing.assert_allclose(estimate.mean_energy, trace.energy[trace.sweeps > 50].mean(axis=0), rtol=1e-12)
    heat = 2.0 * trace.energy[trace.sweeps > 50].var(axis=0) / COLD**2
    np.testing.assert_allclose(estimate.specific_heat, heat, rtol=1e-12)


def test_the_energies_are_those_of_the_configurations() -> None:
    """Energies are computed from the samples, in any kind of array, one or several at a time, wrapped or not."""
    torch = pytest.importorskip("torch")
    start = gnf.Ensemble.random(LIQUID, 3, 2.0, seed=1)
    seen = np.stack([start.positions, start.positions + 0.01, start.positions[::-1] - 7 * LIQUID.box, start.positions])
    orders = np.stack([start.species, start.species, start.species[::-1], start.species])

    class Given:
        def __init__(self, problem: Problem) -> None:
            self.problem = problem

        def run(self, budget: int) -> Iterator[Samples]:
            self.problem.charge(budget * self.problem.runs)
            yield Samples(seen[0])
            yield Samples(seen[1:2].tolist())
            yield Samples(torch.tensor(seen[2:], requires_grad=True), torch.tensor(orders[2:]))

    algorithm = SamplerAlgorithm(Given, "given", LIQUID, 1.0, OPTIONS)
    algorithm.prepare(start)
    algorithm.advance(100)
    trace = algorithm.trace()
    assert trace is not None
    expected = [gnf.energy(LIQUID, x, s) / LIQUID.n for x, s in zip(seen, orders, strict=True)]
    np.testing.assert_allclose(trace.energy[1:], expected, rtol=1e-12)
    assert start.species.std(axis=0).any()  # runs have orders of their own
    np.testing.assert_array_equal(trace.sweeps, [0, 100, 100, 100, 100])


def test_pieces_share_the_evaluations_between_them() -> None:
    algorithm = made(own_samplers.Draws, runs=4)
    algorithm.advance(300)
    trace = algorithm.trace()
    assert trace is not None
    np.testing.assert_array_equal(trace.sweeps, np.arange(301))


def test_restarts_begin_anew() -> None:
    algorithm = made(own_samplers.Carried, runs=4)
    algorithm.advance(80)
    first = algorithm.report()
    algorithm.advance(160)
    again = algorithm.report()
    assert (first["evaluations"], again["evaluations"]) == (80, 160)
    assert (first["samples"], again["samples"]) == (40, 80)
    assert first["diagnostics"]["ess"][0] != again["diagnostics"]["ess"][0]
    assert algorithm.trace() is None


def test_runs_repeat() -> None:
    first, again = (made(own_samplers.Metropolis, runs=4).advance(200) for _ in range(2))
    np.testing.assert_array_equal(first.mean_energy, again.mean_energy)


def test_settings_reach_the_constructor() -> None:
    algorithm = made(own_samplers.Metropolis, options=RunOptions(threads=1, settings={"size": 0.123}))
    algorithm.advance(100)
    report = algorithm.report()
    assert report["settings"] == {"size": 0.123}
    assert report["own"]["size"] == 0.123
    assert report["own"]["random"].startswith("Generator(")
    assert len(report["own"]["energies"]) == 24
    assert report["sampler"] == "own_samplers:Metropolis"
    source = Path(own_samplers.__file__).read_bytes()
    assert report["source"] == hashlib.sha256(source).hexdigest()


# ---- costs -------------------------------------------------------------------------------------------------------------------


def test_costs_are_those_of_the_sampler() -> None:
    """Sleep in run and constructor is charged, sleep in the listener and the energies of the samples are not."""

    class Sleepy(own_samplers.Draws):
        def __init__(self, problem: Problem) -> None:
            time.sleep(0.1)
            super().__init__(problem)

        def run(self, budget: int) -> Iterator[Samples]:
            time.sleep(0.25)
            self.problem.charge(self.problem.runs * (budget - self.problem.evaluations))
            yield Samples(np.tile(self.problem.positions, (4, 1, 1, 1)))
            time.sleep(0.05)

    algorithm = made(Sleepy, runs=4)
    told: list[tuple[int, int]] = []

    def listener(done: int, total: int, info: Any) -> None:
        told.append((done, total))
        time.sleep(0.5)

    algorithm.advance(100, listener)
    assert told == [(100, 100)]
    assert 0.4 / 4 <= algorithm.cost().wall_time < 0.6 / 4
    assert algorithm.cost().pair_evaluations == 100
    algorithm.advance(200)
    assert algorithm.cost().wall_time > 0.7 / 4


def test_the_energies_of_the_samples_are_free() -> None:
    algorithm = made(own_samplers.Reweighted, runs=4)
    algorithm.advance(1_000)
    assert algorithm.cost().pair_evaluations == 1_000  # of the sampler; the adapter computed as many
    assert algorithm.report()["samples"] == 1_000


@pytest.mark.parametrize(
    ("declared", "training"),
    [
        (None, None),
        (0, None),
        (12.5, Training(12.5, source="declared by Trained")),
        (Training(3.0, 1e9, "a flow"), Training(3.0, 1e9, "a flow")),
    ],
)
def test_declared_training(declared: Any, training: Training | None) -> None:
    class Trained(own_samplers.Draws):
        training_cost = declared

    found = made(Trained).training()
    assert (found is None) == (training is None)
    if found is not None and training is not None:
        assert (found.wall_time, found.source) == (training.wall_time, training.source)


@pytest.mark.parametrize("declared", [-1.0, math.nan, "long"])
def test_bad_training(declared: Any) -> None:
    class Trained(own_samplers.Draws):
        training_cost = declared

    with pytest.raises(PluginError, match="sampler Trained: training_cost: expected a non-negative finite number"):
        made(Trained).training()


def test_torch_keeps_to_the_threads() -> None:
    torch = pytest.importorskip("torch")
    seen = []

    class Threads(own_samplers.Draws):
        def run(self, budget: int) -> Iterator[Samples]:
            seen.append(torch.get_num_threads())
            yield from super().run(budget)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        made(Threads).advance(40)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [1]


# ---- weights -----------------------------------------------------------------------------------------------------------------


def test_diagnosis_of_weights() -> None:
    good = made(own_samplers.Reweighted)
    good.advance(2_000)
    found = good.diagnosis()
    assert not found.faults
    assert found.remarks[0].startswith("ESS 0.")
    assert "of 2000 samples a run, k-hat " in found.remarks[0]
    assert made(own_samplers.Draws).diagnosis().faults == ()


def test_a_heavy_tail_is_a_fault() -> None:
    """Weights with 1/0.9 finite moments."""

    class Heavy(own_samplers.Draws):
        def run(self, budget: int) -> Samples:
            count = budget - int(self.problem.evaluations)
            positions = self.draw(count, COLD)
            self.problem.charge(count * self.problem.runs)
            return Samples(positions, log_weights=0.9 * self.problem.rng().exponential(size=positions.shape[:2]))

    algorithm = made(Heavy, runs=16)
    algorithm.advance(4_000)
    faults = algorithm.diagnosis().faults
    assert any("k-hat is above 0.70" in fault for fault in faults)


def test_dominated_weights_are_a_fault() -> None:
    class Dominated(own_samplers.Draws):
        def run(self, budget: int) -> Samples:
            count = budget - int(self.problem.evaluations)
            self.problem.charge(count * self.problem.runs)
            log_w = np.full((count, self.problem.runs), -np.inf)
            log_w[::2] = 0.0
            log_w[0, :3] = math.log(count)
            return Samples(self.draw(count, COLD), log_weights=log_w)

    algorithm = made(Dominated)
    estimate = algorithm.advance(400)
    assert "in 3 runs one sample has more than a tenth of the weight" in algorithm.diagnosis().faults
    assert algorithm.report()["diagnostics"]["ess"][5] == pytest.approx(0.5)  # weights of zero count for nothing
    assert np.isfinite(estimate.mean_energy).all()


def test_equal_weights_are_a_mean_over_all() -> None:
    class Equal(own_samplers.Draws):
        def run(self, budget: int) -> Iterator[Samples]:
            for piece in super().run(budget):
                yield Samples(piece.positions, log_weights=np.zeros(piece.positions.shape[:2]))

    chain, weighted = made(own_samplers.Draws, runs=4), made(Equal, runs=4)
    chain.advance(400)
    trace = chain.trace()
    assert trace is not None
    np.testing.assert_allclose(weighted.advance(400).mean_energy, trace.energy[1:].mean(axis=0), rtol=1e-12)


# ---- what is refused ---------------------------------------------------------------------------------------------------------


def returning(*pieces: Any, spend: float = 1.0) -> type:
    """Return the class of a sampler that yields these, made for a system of two particles and 4 runs."""

    class Returning:
        def __init__(self, problem: Problem) -> None:
            self.problem = problem

        def run(self, budget: int) -> Iterator[Any]:
            self.problem.charge(spend * budget * self.problem.runs)
            yield from pieces

    return Returning


GOOD = np.linspace(0.0, 5.0, 5 * 4 * 2 * 2).reshape(5, 4, 2, 2)
HOLE, GAP = np.array(GOOD), np.array(GOOD)
HOLE[2, 1, 0, 0], GAP[2, 1, 0, 0] = np.nan, np.inf


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([GOOD], "run: expected to return or yield Samples, got an array"),
        ([Samples(GOOD[:, :3])], r"positions: expected shape \(n, 4, 2, 2\) or \(4, 2, 2\), got \(5, 3, 2, 2\)"),
        ([Samples(GOOD[None])], r"positions: expected shape .*, got \(1, 5, 4, 2, 2\)"),
        ([Samples("abc")], "positions: expected shape"),
        ([Samples(None)], "positions: expected"),
        ([Samples(HOLE)], "positions: expected finite coordinates, got nan"),
        ([Samples(GAP)], "positions: expected finite coordinates, got inf"),
        ([Samples(GOOD + 1j)], "positions: expected an array of floats, got type complex128"),
        ([Samples(GOOD, np.zeros((4, 3), dtype=int))], r"species: expected shape \(2,\) or .*, got \(4, 3\)"),
        ([Samples(GOOD, np.zeros((4, 2)))], "species: expected an array of integers, got type float64"),
        ([Samples(GOOD, np.ones((4, 2), dtype=int))], "species: expected integers from 0 to 0, got 1"),
        ([Samples(GOOD, log_weights=np.zeros(4))], r"log_weights: expected shape \(5, 4\), got \(4,\)"),
        ([Samples(GOOD, log_weights=np.full((5, 4), np.nan))], "log_weights: expected numbers .*, got nan at index .0, 0"),
        ([Samples(GOOD, log_weights=np.full((5, 4), np.inf))], "log_weights: expected numbers or minus infinity, got inf at"),
        ([Samples(GOOD, log_weights=np.full((5, 4), -np.inf))], "log_weights: expected at least one weight above zero"),
        ([Samples(GOOD), Samples(GOOD, log_weights=np.zeros((5, 4)))], "log_weights: expected samples without weights, as"),
        ([Samples(GOOD, log_weights=np.zeros((5, 4))), Samples(GOOD)], "log_weights: expected samples with weights, as"),
        ([], "run: expected samples, got none within 100 evaluations per run"),
        ([Samples(GOOD[:0])], "run: expected samples, got none within 100 evaluations per run"),
        ([Samples(GOOD[0])], "run: expected at least 2 samples .* first 50%, which do not count, got 1"),
        ([Samples(GOOD[:1], log_weights=np.zeros((1, 4)))], "run: expected at least 2 samples .*, got 1"),
    ],
)
def test_bad_samples(pieces: list[Any], message: str) -> None:
    with pytest.raises(PluginError, match=f"^sampler Returning: {message}"):
        made(returning(*pieces), runs=4).advance(100)


def test_a_changed_composition() -> None:
    system = gnf.systems.ka2d(43)
    start = gnf.Ensemble.random(system, 4, 2.0, seed=1)
    species = np.array(start.species)
    species[2, 0] = (species[2, 0] + 1) % 3

    class Alchemist:
        def __init__(self, problem: Problem) -> None:
            self.problem = problem

        def run(self, budget: int) -> Samples:
            self.problem.charge(4 * budget)
            return Samples(self.problem.positions, species)

    algorithm = SamplerAlgorithm(Alchemist, "alchemist", system, 1.0, OPTIONS)
    algorithm.prepare(start)
    counts = tuple(np.bincount(species[2], minlength=3).tolist())
    with pytest.raises(PluginError) as caught:
        algorithm.advance(100)
    expected = f"sampler alchemist: species: expected the composition (20, 11, 12), got {counts} at index (2,)"
    assert str(caught.value) == expected


@pytest.mark.parametrize(("spend", "stopped"), [(0.0, "0"), (0.5, "50"), (1.5, "150")])
def test_budgets_are_kept(spend: float, stopped: str) -> None:
    sampler = returning(Samples(GOOD), spend=spend)
    with pytest.raises(PluginError, match=f"run: expected to stop within 25% of its budget of 100 .* stopped at {stopped} "):
        made(sampler, runs=4).advance(100)


def test_a_generator_without_end() -> None:
    class Endless(own_samplers.Metropolis):
        def run(self, budget: int) -> Iterator[Samples]:
            while True:
                yield from super().run(budget * 100)

    with pytest.raises(PluginError, match="run: expected to stop within 25% of its budget of 100 .* stopped at 126 "):
        made(Endless, runs=4).advance(100)


def test_errors_of_the_sampler_are_one_sentence() -> None:
    class Broken(own_samplers.Draws):
        def __init__(self, problem: Problem, bad: bool = False) -> None:
            super().__init__(problem)
            if bad:
                raise KeyError("no such thing")

        def run(self, budget: int) -> Iterator[Samples]:
            yield Samples(self.problem.positions)
            self.problem.energy(np.zeros((3, 2)))

    with pytest.raises(PluginError) as caught:
        made(Broken, runs=4).advance(100)
    assert str(caught.value) == ("sampler Broken: run failed (ValueError: positions: expected shape (..., 2, 2), got (3, 2))")
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(PluginError, match=r"^sampler Broken: the constructor failed \(KeyError: 'no such thing'\)$"):
        made(Broken, options=RunOptions(settings={"bad": True}))


def test_interrupts_are_no_errors_of_the_sampler() -> None:
    class Interrupted(own_samplers.Draws):
        def run(self, budget: int) -> Iterator[Samples]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(Interrupted).advance(100)


def test_a_failing_report_costs_nothing() -> None:
    class Silent(own_samplers.Metropolis):
        def report(self) -> dict[str, Any]:
            raise OSError("no")

    algorithm = made(Silent)
    algorithm.advance(100)
    assert algorithm.report()["own"] == {"error": "OSError: no"}


def test_misuse_by_the_comparison() -> None:
    algorithm = SamplerAlgorithm(own_samplers.Draws, "draws", TWO.system, COLD, OPTIONS)
    for call in (lambda: algorithm.advance(100), algorithm.cost):
        with pytest.raises(RuntimeError, match="prepare: expected to be called"):
            call()
    algorithm.prepare(TWO.draw(4, HOT, seed=1))
    algorithm.advance(100)
    with pytest.raises(ValueError, match="budget: expected more than the 100 evaluations already done, got 100"):
        algorithm.advance(100)


ANY_ARRAY = arrays.arrays(
    dtype=st.sampled_from([np.float64, np.float32, np.int32, np.int64, np.bool_, np.complex128]),
    shape=st.one_of(
        arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
        st.sampled_from([(4, 2, 2), (3, 4, 2, 2), (4, 2), (3, 4, 2), (3, 4), (4,), (0, 4, 2, 2)]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(ANY_ARRAY, st.one_of(st.none(), ANY_ARRAY), st.one_of(st.none(), ANY_ARRAY))
def test_samples_are_taken_or_refused(positions: Any, species: Any, log_weights: Any) -> None:
    """Whatever comes back, the answer is finite averages or a PluginError that names sampler and field."""
    algorithm = made(returning(Samples(positions, species, log_weights), Samples(positions, species, log_weights)), runs=4)
    try:
        estimate = algorithm.advance(100)
    except PluginError as error:
        text = str(error)
        assert text.startswith(("sampler Returning: ", "sampler Returning: run: expected"))
        assert "expected" in text
        assert "\n" not in text
        return
    assert positions.dtype.kind == "f"
    assert positions.shape in {(4, 2, 2), (positions.shape[0], 4, 2, 2)}
    assert np.isfinite(estimate.mean_energy).all()
    assert np.isfinite(estimate.specific_heat).all()
