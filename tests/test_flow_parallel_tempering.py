"""Flow-assisted parallel tempering: exact distributions, the plain algorithm with the identity, restarts, bad flows.

Chi-square tests have a false-alarm rate of 1e-5 each (tolerances.FALSE_ALARM), comparisons of averages of 6e-7 (five standard
deviations); seeds are fixed.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fake_cupy
import glassnf as gnf
from cases import assert_identical
from flows_for_tests import BrokenFlow, NeglectfulFlow, PairFlow, TranslationFlow
from glassnf import _core
from glassnf.certify.fluids import RadialFlow, Still, bins_of, draw_pairs, fluid, reference
from glassnf.certify.statistics import chi_square_p
from glassnf.flows import FlowError, IdentityFlow, Transport
from test_parallel_tempering import LADDER, Plain, assert_same_records, started
from tolerances import CACHED_ENERGY, FALSE_ALARM, STATISTICAL

pytest.importorskip("scipy.stats")

Array = npt.NDArray[Any]
KA2D = gnf.systems.ka2d(43)
FIXED = settings(deadline=None, derandomize=True, database=None)


def tempering(flow: Any, ladders: int = 2, every: int = 3, explorer: Any = None, **options: Any) -> gnf.ParallelTempering:
    mc = gnf.MonteCarlo(KA2D, threads=1) if explorer is None else explorer
    return gnf.ParallelTempering(KA2D, options.pop("temperatures", LADDER), mc, ladders, every, flow=flow, **options)


def pair_flow(kind: type[PairFlow] = PairFlow, **options: Any) -> PairFlow:
    """Return a flow of ka2d that moves particles by some hundredths of sigma between neighbours of the ladder."""
    return kind(KA2D, 1.2, 0.55, **({"strength": -0.02} | options))


def dynamics() -> gnf.MolecularDynamics:
    return gnf.MolecularDynamics(KA2D, timestep=0.004, thermostat="langevin", friction=2.0, threads=1)


# ---- the plain algorithm again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow_every", [1, 3])
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("explorer", [None, Plain(KA2D, threads=1), dynamics()], ids=["native", "any", "dynamics"])
def test_the_identity_is_the_plain_algorithm(explorer: Any, every: int, flow_every: int) -> None:
    plain, assisted = (
        tempering(None, 2, every, explorer),
        tempering(IdentityFlow(KA2D), 2, every, explorer, flow_every=flow_every),
    )
    a = started(plain)
    b = a.copy()
    first = plain.run(a, 40, record_every=4, record_positions=True)
    second = assisted.run(b, 40, record_every=4, record_positions=True)
    assert first.accepts.sum() > 5
    assert_identical(a, b)
    assert_same_records(first, second, same_work=False)
    np.testing.assert_array_equal(first.positions, second.positions)
    assert first.transport is None
    assert second.transport is not None
    assert (second.transport.steps == 0).all()
    assert second.transport.attempts.sum() == (first.attempts.sum() if flow_every == 1 else second.transport.attempts.sum())
    if flow_every == 3:
        rounds = [t for t in range(1, 40 // every + 1) if t // 2 % 3 == 0]
        expected = [sum(t % 2 == pair % 2 for t in rounds) for pair in range(3)]
        np.testing.assert_array_equal(second.transport.attempts, np.tile(np.array(expected)[:, None], (1, 2)))


@pytest.mark.parametrize("ladder", [LADDER, LADDER[::-1]], ids=["falling", "rising"])
def test_equilibration_with_the_identity_is_the_plain_one(ladder: list[float]) -> None:
    plain, assisted = tempering(None, 2, 5, temperatures=ladder), tempering(IdentityFlow(KA2D), 2, 5, temperatures=ladder)
    a = started(plain)
    b = a.copy()
    first, second = plain.equilibrate(a, 1_600), assisted.equilibrate(b, 1_600)
    assert len(first.history) == 5
    assert_identical(a, b)
    for name in ("temperatures", "move_size", "rejection", "history"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def test_a_translation_leaves_all_decisions_alone() -> None:
    """Energies and weights are those of the identity; positions go along, unwrapped ones without a jump."""
    plain = tempering(None, 2, 1, Still(KA2D))
    assisted = tempering(TranslationFlow(KA2D, 1.2, 0.55), 2, 1, Still(KA2D))
    a = started(plain)
    b = a.copy()
    first, second = plain.run(a, 12, record_every=1), assisted.run(b, 12, record_every=1)
    np.testing.assert_array_equal(first.accepts, second.accepts)
    np.testing.assert_array_equal(a.beta, b.beta)
    np.testing.assert_allclose(first.energy, second.energy, atol=CACHED_ENERGY, rtol=0.0)
    # The way from beta to beta' is the integral of 0.3 (1 + beta), whatever the stations.
    start = started(plain).beta
    way = 0.3 * (b.beta - start) + 0.15 * (b.beta**2 - start**2)
    np.testing.assert_allclose(b.unwrapped(), a.unwrapped() + way[:, None, None], atol=1e-11)
    assert (b.images != a.images).any()


# ---- exact distributions -----------------------------------------------------------------------------------------------------

TEMPERATURES = np.array([1.0, 0.6, 0.4])


def exact_start(ladders: int, seed: int) -> gnf.Ensemble:
    system, rng = fluid(2), np.random.default_rng(seed)
    samples = np.stack([draw_pairs(system, t, ladders, rng) for t in TEMPERATURES], axis=1)
    return gnf.Ensemble.from_arrays(
        system, samples.reshape(-1, 2, 2), temperature=np.tile(TEMPERATURES, ladders), seed=seed + 1
    )


def distances(ensemble: gnf.Ensemble, temperature: float, edges: Array) -> Array:
    here = ensemble.beta == 1.0 / temperature
    assert here.sum() * TEMPERATURES.size == ensemble.replicas
    return bins_of(ensemble.system, ensemble.positions[here], edges)


def fluid_flow(n: int = 2, strength: float = -0.15) -> PairFlow:
    return PairFlow(fluid(n), 1.0, 0.4, strength=strength, slope=0.2)


FLUID_FLOWS = [fluid_flow(), fluid_flow(strength=0.25), RadialFlow(1.0, 0.4)]


@pytest.mark.parametrize("flow", FLUID_FLOWS, ids=["inwards", "outwards", "exact"])
@pytest.mark.parametrize("rounds", [1, 2, pytest.param(5, marks=pytest.mark.slow)])
def test_exchanges_leave_equilibrium_alone(rounds: int, flow: Any) -> None:
    """Exact samples, exchanges and nothing else: every temperature keeps its distribution, neighbours stay independent."""
    ladders = 20_000
    ensemble = exact_start(ladders, 301)
    before = ensemble.copy()
    pt = gnf.ParallelTempering(fluid(2), TEMPERATURES, Still(fluid(2)), ladders, 1, flow=flow)
    record = pt.run(ensemble, rounds)
    assert record.accepts.sum() > 0.3 * ladders
    moved = np.abs(ensemble.unwrapped() - before.unwrapped())
    assert (moved.max(axis=(1, 2)) > 0.01).mean() > 0.2
    bins = []
    for temperature in TEMPERATURES:
        exact = reference(2, temperature)
        counts = distances(ensemble, temperature, exact.edges)
        assert chi_square_p(np.bincount(counts, minlength=25), ladders * exact.probabilities) > FALSE_ALARM
        place = np.argsort(np.flatnonzero(ensemble.beta == 1.0 / temperature) // 3)
        bins.append((counts[place], exact.probabilities))
    for (a, p), (b, q) in itertools.pairwise(bins):
        joint = np.bincount(a * 25 + b, minlength=625)
        assert chi_square_p(joint, ladders * np.outer(p, q)) > FALSE_ALARM


def test_an_exact_flow_is_nearly_always_accepted() -> None:
    """What is left is that it cannot change how often two particles are within half a box of each other."""
    ladders = 2_000
    ensemble = exact_start(ladders, 301)
    still = Still(fluid(2))
    plain = gnf.ParallelTempering(fluid(2), TEMPERATURES, still, ladders, 1).run(ensemble.copy(), 1)
    pt = gnf.ParallelTempering(fluid(2), TEMPERATURES, still, ladders, 1, flow=RadialFlow(1.0, 0.4))
    record = pt.run(ensemble, 1)
    assert record.acceptance[1] > 0.92 > 0.88 > plain.acceptance[1]
    assert record.transport is not None
    assert record.transport.error[1] < 1e-10


def test_a_wrong_jacobian_is_seen_by_the_test_above() -> None:
    ladders = 20_000
    ensemble = exact_start(ladders, 301)
    pt = gnf.ParallelTempering(fluid(2), TEMPERATURES, Still(fluid(2)), ladders, 1, flow=NeglectfulFlow(1.0, 0.4))
    pt.run(ensemble, 5)
    exact = reference(2, 0.4)
    counts = np.bincount(distances(ensemble, 0.4, exact.edges), minlength=25)
    assert chi_square_p(counts, ladders * exact.probabilities) < FALSE_ALARM


@pytest.mark.parametrize("n", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_few_particles_in_a_box(n: int) -> None:
    """Monte Carlo and assisted exchanges: distances and <U> of the last configurations of independent ladders."""
    system, ladders = fluid(n), 4_000
    flow = fluid_flow(n)
    mc = gnf.MonteCarlo(system, swap_probability=0.0, threads=1)
    pt = gnf.ParallelTempering(system, TEMPERATURES, mc, ladders, 4, flow=flow)
    start = np.zeros((pt.replicas, n, 2))
    start[:, :, 0] = np.arange(n) * system.box[0] / n
    ensemble = pt.start(gnf.Ensemble.from_arrays(system, start, temperature=1.0, seed=302))
    ensemble.move_size[:] = 0.3 * system.box[0] * ensemble.temperature
    record = pt.run(ensemble, 80)
    assert record.transport is not None
    np.testing.assert_array_equal(record.transport.accepts, record.accepts)
    recomputed = gnf.energy(system, ensemble.positions, ensemble.species)
    np.testing.assert_allclose(ensemble.energy, recomputed, atol=CACHED_ENERGY, rtol=0.0)
    for temperature in TEMPERATURES:
        exact = reference(n, temperature)
        counts = np.bincount(distances(ensemble, temperature, exact.edges), minlength=25)
        assert chi_square_p(counts, ladders * exact.probabilities) > FALSE_ALARM
        if temperature == TEMPERATURES[-1]:  # the test has power
            assert chi_square_p(counts, ladders * reference(n, 1.3 * temperature).probabilities) < FALSE_ALARM
        energy = ensemble.energy[ensemble.beta == 1.0 / temperature]
        assert abs(energy.mean() - exact.mean_energy) < STATISTICAL * energy.std() / np.sqrt(ladders)


@pytest.mark.slow
def test_mbar_of_three_particles() -> None:
    """All temperatures are sampled exactly, so that the records can be combined as those of plain tempering."""
    pytest.importorskip("pymbar")
    system = fluid(3)
    mc = gnf.MonteCarlo(system, swap_probability=0.0, threads=1)
    pt = gnf.ParallelTempering(system, TEMPERATURES, mc, 16, 2, flow=fluid_flow(3))
    ensemble = pt.random(seed=303)
    ensemble.move_size[:] = 0.3 * system.box[0] * ensemble.temperature
    pt.run(ensemble, 100)
    record = pt.run(ensemble, 1_200, record_every=4)
    mbar = record.mbar()
    for temperature in (1.0, 0.75, 0.6, 0.5, 0.4):
        exact = reference(3, temperature)
        mean, log_z = mbar.mean_energy(temperature), mbar.log_z(temperature)
        assert abs(float(mean.value) - exact.mean_energy) < STATISTICAL * float(mean.error)
        assert float(mean.error) < 0.03
        miss = float(log_z.value) - (exact.log_z - reference(3, 1.0).log_z)
        assert abs(miss) <= STATISTICAL * float(log_z.error) + 1e-9


# ---- what is kept current ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("explorer", [None, dynamics()], ids=["swaps", "dynamics"])
def test_energies_and_velocities_belong_to_configurations(explorer: Any) -> None:
    pt = tempering(pair_flow(), 3, 2, explorer)
    ensemble = started(pt)
    record = pt.run(ensemble, 60, record_every=6, record_positions=True)
    assert record.accepts.sum() > 10
    for temperature in LADDER:
        positions, species = record.positions_at(temperature)
        recomputed = gnf.energy(KA2D, positions.reshape(-1, 43, 2), species.reshape(-1, 43)).reshape(10, 3)
        np.testing.assert_allclose(recomputed, record.energy_at(temperature), atol=CACHED_ENERGY, rtol=0.0)
    ensemble.validate()
    np.testing.assert_array_equal(np.sort(ensemble.beta.reshape(3, 4), axis=1), np.tile(1.0 / np.array(LADDER), (3, 1)))


def test_velocities_follow_the_temperature() -> None:
    pt = tempering(pair_flow(), 2, 1, Still(KA2D))
    ensemble = started(pt)
    ensemble.velocities = np.sqrt(ensemble.temperature)[:, None, None] * np.ones_like(ensemble.positions)
    record = pt.run(ensemble, 50)
    assert record.accepts.sum() > 20
    expected = np.broadcast_to(np.sqrt(ensemble.temperature)[:, None, None], ensemble.velocities.shape)
    np.testing.assert_allclose(ensemble.velocities, expected, rtol=1e-13)


def test_one_call_of_the_flow_for_all_ladders() -> None:
    flow = pair_flow()
    pt = tempering(flow, 5, 2)
    ensemble = started(pt)
    pt.run(ensemble, 0)
    flow.calls.clear()
    pt.run(ensemble, 8, state={"visits": np.zeros(20, dtype=np.int32), "flow_steps": np.full(3, 2)})
    beta = 1.0 / np.array(LADDER)
    odd, even = [(1, 2), (2, 1)], [(0, 1), (1, 0), (2, 3), (3, 2)]
    assert flow.calls == [(5, beta[a], beta[b], 2) for a, b in [*odd, *even, *odd, *even]]


def test_works_of_the_record() -> None:
    """Means of log weights against those of the present configurations, carried by hand; and that acceptances follow them."""
    flow, ladders = fluid_flow(), 2_000
    ensemble = exact_start(ladders, 304)
    before = ensemble.copy()
    pt = gnf.ParallelTempering(fluid(2), TEMPERATURES, Still(fluid(2)), ladders, 1, flow=flow)
    record = pt.run(ensemble, 1)  # one odd round: the pair of 0.6 and 0.4
    assert record.transport is not None
    np.testing.assert_array_equal(record.transport.attempts.sum(axis=1), [0, ladders])
    assert np.isnan(record.transport.log_weight[0]).all()
    logs, sound = [], []
    for a, b in ((0.6, 0.4), (0.4, 0.6)):
        here = before.beta == 1.0 / a
        moved = flow.transport(before.positions[here], before.species[here], 1 / a, 1 / b, steps=int(record.transport.steps[1]))
        u = gnf.energy(fluid(2), moved.positions)
        logs.append(before.energy[here] / a - u / b + moved.log_jacobian)
        sound.append(logs[-1] - before.energy[here] * (1 / a - 1 / b) > -100.0)
    kept = [values[mask] for values, mask in zip(logs, sound, strict=True)]
    np.testing.assert_allclose(record.transport.log_weight[1], [values.mean() for values in kept], rtol=1e-10)
    np.testing.assert_allclose(record.transport.log_weight_deviation[1], [values.std() for values in kept], rtol=1e-8)
    np.testing.assert_allclose(record.transport.lost[1], [1.0 - mask.mean() for mask in sound], atol=1e-12)
    assert 0.0 < record.transport.lost[1].max() < 0.05
    expected = np.minimum(1.0, np.exp(logs[0] + logs[1]))
    error = np.sqrt((expected * (1.0 - expected)).sum()) / ladders
    assert abs(record.transport.acceptance[1] - expected.mean()) < STATISTICAL * error
    assert 0.0 < record.transport.time < record.wall_time


@pytest.mark.slow
def test_equilibration_measures_assisted_exchanges() -> None:
    """The rejection rates that the ladder is placed by are those that production then has, and not those of plain exchanges."""
    system, ladders = fluid(3), 32
    flow = fluid_flow(3, strength=0.4)  # a bad one: it makes exchanges rarer
    mc = gnf.MonteCarlo(system, swap_probability=0.0, threads=1)
    pt = gnf.ParallelTempering(system, [1.0, 0.6, 0.5, 0.4], mc, ladders, 4, flow=flow)
    ensemble = pt.random(seed=305)
    report = pt.equilibrate(ensemble, 1_600)
    record = pt.run(ensemble, 800, record_every=4)
    assert record.transport is not None
    error = (
        np.sqrt(0.25 / record.attempts.sum(axis=1)) * 3.0
    )  # records of a ladder are correlated: three times independent ones
    assert (np.abs(report.rejection - (1.0 - record.transport.acceptance)) < 3.0 * error).all()
    assert report.rejection.max() - report.rejection.min() < 0.1
    plain = gnf.samplers.ladder.rejection_rates(record.temperatures, record.energy)
    assert (report.rejection - plain > 5.0 * error).all()


# ---- the same bits -----------------------------------------------------------------------------------------------------------


def test_restart_from_a_file_and_cut_runs(tmp_path: Path) -> None:
    def new() -> gnf.ParallelTempering:
        return tempering(pair_flow(), 2, 4)

    whole, pieces = started(new()), started(new())
    record = new().run(whole, 50, record_every=10)
    state, accepts, energies = None, 0, []
    for sweeps in (7, 13, 30):
        pieces.save(tmp_path / "run.h5")
        pieces = gnf.Ensemble.load(tmp_path / "run.h5")
        at = [s - pieces.step for s in (10, 20, 30, 40, 50) if 0 < s - pieces.step <= sweeps]
        part = new().run(pieces, sweeps, record_at=at, state=state)
        state, accepts = part.state, accepts + part.accepts
        energies.append(part.energy)
    assert record.accepts.sum() > 5
    assert_identical(whole, pieces)
    np.testing.assert_array_equal(accepts, record.accepts)
    np.testing.assert_array_equal(np.concatenate(energies), record.energy)
    for name in ("visits", "flow_steps"):
        np.testing.assert_array_equal(state[name], record.state[name])


def test_a_ladder_does_the_same_alone_and_from_either_end() -> None:
    together, alone = tempering(pair_flow(), 3, 2), tempering(pair_flow(), 1, 2)
    turned = tempering(pair_flow(), 3, 2, temperatures=LADDER[::-1])
    batch = started(together)
    single, other = batch[4:8], batch.copy()
    record = together.run(batch, 30, record_every=5)
    alone.run(single, 30, state={"visits": np.zeros(4, dtype=np.int32), "flow_steps": record.state["flow_steps"]})
    assert_identical(batch[4:8], single)
    second = turned.run(other, 30, record_every=5)
    assert_identical(batch, other)
    assert record.transport is not None
    assert second.transport is not None
    for name in ("attempts", "accepts", "steps", "error"):
        np.testing.assert_array_equal(getattr(record.transport, name), getattr(second.transport, name)[::-1])
    np.testing.assert_array_equal(record.transport.log_weight, second.transport.log_weight[::-1, ::-1])


@pytest.mark.parametrize("velocities", [False, True])
def test_imaginary_gpus_do_what_the_cpu_does(velocities: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cupy.install(monkeypatch)
    pt = tempering(pair_flow(), 2, 3)
    on_cpu = started(pt)
    if velocities:
        on_cpu.velocities = np.ones_like(on_cpu.positions)
    on_gpu = on_cpu.to("cuda:1")
    first, second = pt.run(on_gpu, 40, record_every=4), pt.run(on_cpu, 40, record_every=4)
    assert second.accepts.sum() > 5
    assert_same_records(first, second, same_work=False)
    assert_identical(on_gpu.to("cpu"), on_cpu)


@pytest.mark.parametrize("place", ["before", "after", "settling"])
def test_interrupts_lose_no_exchange(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, ensemble = started(tempering(None)), started(tempering(None))
    record = tempering(pair_flow(), 2, 4).run(whole, 40)
    state = {"visits": np.zeros(8, dtype=np.int32), "flow_steps": record.state["flow_steps"]}
    native, calls = _core.exchange, 0

    def exchange(**arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if place == "before" and calls == 3:
            raise KeyboardInterrupt
        native(**arguments)
        if place == "after" and calls == 3:
            raise KeyboardInterrupt

    from glassnf.samplers._flow_exchange import FlowExchange

    settle, settled = FlowExchange.settle, 0

    def half(self: FlowExchange) -> None:
        nonlocal settled
        settled += 1
        if place == "settling" and settled == 3:
            for target, value in self._pending[:4]:
                target[...] = value
            raise KeyboardInterrupt
        settle(self)

    monkeypatch.setattr(_core, "exchange", exchange)
    monkeypatch.setattr(FlowExchange, "settle", half)
    with pytest.raises(KeyboardInterrupt):
        tempering(pair_flow(), 2, 4).run(ensemble, 40, state=state)
    monkeypatch.undo()
    assert ensemble.step == 12
    tempering(pair_flow(), 2, 4).run(ensemble, 28, state=state)
    assert_identical(whole, ensemble)


# ---- bad flows ---------------------------------------------------------------------------------------------------------------


class Irreversible(PairFlow):
    """Has one map on the way to the cold and another one back."""

    def transport(self, positions: Any, species: Any, beta_from: float, beta_to: float, **options: Any) -> Transport:
        moved = super().transport(positions, species, beta_from, beta_to, **options)
        if beta_to < beta_from:
            moved.log_jacobian[:] += 0.05
        return moved


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"flow": 3}, TypeError, r"^flow: expected a flow such as .*, got int$"),
        ({"flow": IdentityFlow(gnf.systems.ka2d(44))}, ValueError, r"^flow: expected one of .*n=43.*, got one of .*n=44"),
        (
            {"flow": PairFlow(KA2D, 1.0, 0.5)},
            ValueError,
            r"^flow: expected one for temperatures from 1\.2 to 0\.55, the ends of the ladder, got one for 1 to 0\.5$",
        ),
        ({"flow": PairFlow(KA2D, 1.2, 0.6)}, ValueError, r"^flow: .*got one for 1\.2 to 0\.6$"),
        ({"flow_every": 0}, ValueError, r"^flow_every: expected"),
        ({"flow_every": 1.5}, TypeError, r"^flow_every: expected"),
        ({"flow_tolerance": 0.0}, ValueError, r"^flow_tolerance: expected"),
        ({"flow_position_tolerance": np.nan}, ValueError, r"^flow_position_tolerance: expected"),
        ({"flow_max_steps": 0}, ValueError, r"^flow_max_steps: expected"),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tempering(**({"flow": pair_flow()} | options))


@FIXED
@given(st.floats(0.05, 5.0), st.floats(0.05, 5.0))
def test_any_range_covers_the_ladder_or_is_refused(hot: float, cold: float) -> None:
    assume(cold < hot)
    flow = IdentityFlow(KA2D, hot, cold)
    if hot >= LADDER[0] and cold <= LADDER[-1]:
        assert tempering(flow).describe()["flow"]["flow"] == "identity"
        return
    with pytest.raises(ValueError, match=r"^flow: expected one for temperatures"):
        tempering(flow)


@pytest.mark.parametrize("wrong", [np.zeros(2, dtype=int), np.array([4, 4, -1]), np.array([4.0, 4.0, 4.0])])
def test_bad_states(wrong: Any) -> None:
    pt = tempering(pair_flow())
    ensemble = started(pt)
    before = ensemble.copy()
    with pytest.raises((TypeError, ValueError), match=r"^state\['flow_steps'\]: expected"):
        pt.run(ensemble, 10, state={"visits": np.zeros(8, dtype=np.int32), "flow_steps": wrong})
    assert_identical(ensemble, before)


@pytest.mark.parametrize(
    ("flow", "options", "message"),
    [
        (pair_flow(strength=-0.3, steps=2), {"flow_max_steps": 2}, r"with 2 steps \(at most 2\) between T = "),
        (pair_flow(), {"flow_tolerance": 1e-15, "flow_max_steps": 8}, r"exact and reversible to 1e-15 in log weight"),
        (
            pair_flow(),
            {"flow_position_tolerance": 1e-17, "flow_max_steps": 11},
            r"sigma on the way back with 6 steps \(at most 11\)",
        ),
        (pair_flow(Irreversible), {"flow_max_steps": 8}, r"0\.05 in log weight and .* sigma on the way back"),
        (
            pair_flow(BrokenFlow),
            {},
            r"expected finite coordinates and Jacobians, got others for 1 of 2 configurations on the way",
        ),
    ],
)
def test_maps_that_are_not_exact_are_refused_before_anything_moves(flow: Any, options: dict[str, Any], message: str) -> None:
    pt = tempering(flow, **options)
    ensemble = started(pt)
    before = ensemble.copy()
    with pytest.raises(FlowError, match=message):
        pt.run(ensemble, 10)
    assert_identical(ensemble, before)


def test_steps_are_doubled_until_they_are_enough() -> None:
    flow = pair_flow(strength=-0.1, steps=3)
    pt = tempering(flow, flow_tolerance=1e-4)
    ensemble = started(pt)
    record = pt.run(ensemble, 12)
    assert record.transport is not None
    assert (record.transport.steps > 2).any()
    assert (record.transport.error < 1e-4).all()
    np.testing.assert_array_equal(pt.flow_steps, record.transport.steps)
    np.testing.assert_array_equal(record.state["flow_steps"], record.transport.steps)
    loose = tempering(flow, flow_tolerance=10.0, flow_position_tolerance=1.0).run(started(pt), 0)
    assert loose.transport is not None
    assert (loose.transport.steps == 2).all()
    assert (loose.transport.error > 1e-4).any()


def test_a_flow_that_fails_on_the_way_leaves_a_valid_ensemble() -> None:
    flow = pair_flow(BrokenFlow)
    pt = tempering(flow, 2, 3)
    ensemble = started(pt)
    state = {"visits": np.zeros(8, dtype=np.int32), "flow_steps": np.full(3, 2)}
    with pytest.raises(FlowError, match=r"on the way from T = 0\.9 to 0\.7 \(the first: 0\)") as caught:
        pt.run(ensemble, 10, state=state)
    assert caught.value.replicas == (0,)
    assert ensemble.step == 3
    ensemble.validate()
    np.testing.assert_allclose(
        gnf.energy(KA2D, ensemble.positions, ensemble.species), ensemble.energy, atol=CACHED_ENERGY, rtol=0.0
    )
    np.testing.assert_array_equal(np.sort(ensemble.beta.reshape(2, 4), axis=1), np.tile(1.0 / np.array(LADDER), (2, 1)))


def test_the_description_tells_flows_apart() -> None:
    settings_of = [tempering(flow).describe() for flow in (None, IdentityFlow(KA2D), pair_flow(), pair_flow(slope=0.2))]
    assert "flow" not in settings_of[0]
    assert len({str(item) for item in settings_of}) == 4
    assert "flow=IdentityFlow" in repr(tempering(IdentityFlow(KA2D)))
