"""Parallel tempering: what it must be independent of, what it records, adaptation, restart and Ctrl-C.

Bits are compared with `assert_identical`; exact distributions are in test_parallel_tempering_exact.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cases
import glassnf as gnf
from cases import assert_identical
from exact_energies import GaussianExplorer
from glassnf import _core
from glassnf.samplers import PoorExchangeWarning
from glassnf.samplers.ladder import equal_ladder, rejection_rates
from tolerances import CACHED_ENERGY

KA2D = gnf.systems.ka2d(43)
LADDER = [1.2, 0.9, 0.7, 0.55]


class Plain(gnf.MonteCarlo):
    """Monte Carlo that `ParallelTempering` does not know: it goes the way of any explorer, exchange by exchange."""


def tempering(ladders: int = 2, every: int = 3, explorer: type[gnf.MonteCarlo] = gnf.MonteCarlo, **options: Any) -> Any:
    mc = explorer(KA2D, threads=options.pop("threads", 1))
    return gnf.ParallelTempering(KA2D, options.pop("temperatures", LADDER), mc, ladders, every)


def started(pt: gnf.ParallelTempering, replicas: int | None = None) -> gnf.Ensemble:
    """Return a liquid at the temperatures of the ladder, move sizes different at each."""
    ensemble = pt.start(cases.small(pt.replicas if replicas is None else replicas))
    ensemble.move_size[:] = 0.1 * ensemble.temperature
    return ensemble


def assert_same_records(a: gnf.PTRecord, b: gnf.PTRecord, *, same_work: bool = True) -> None:
    for name in ("temperatures", "sweeps", "energy", "replica", "attempts", "accepts", "round_trips", "from_hot", "from_cold"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    np.testing.assert_array_equal(a.state["visits"], b.state["visits"])
    if same_work:  # neighbour lists hold more or less pairs, depending on when they were made
        assert a.pair_evaluations == b.pair_evaluations
    assert a.rounds == b.rounds


# ---------------------------------------------------------------------------------------------------------------- the same bits


@pytest.mark.parametrize("every", [1, 3, 7])
def test_the_native_loop_is_the_loop_of_any_explorer(every: int) -> None:
    native, general = tempering(2, every), tempering(2, every, Plain)
    a, b = started(native), started(general)
    a.velocities, b.velocities = np.ones_like(a.positions), np.ones_like(b.positions)
    first = native.run(a, 40, record_every=4, record_positions=True)
    second = general.run(b, 40, record_every=4, record_positions=True)
    assert first.accepts.sum() > 5
    assert_identical(a, b)
    assert_same_records(first, second)
    np.testing.assert_array_equal(first.positions, second.positions)
    np.testing.assert_array_equal(first.species, second.species)


@pytest.mark.parametrize("threads", [2, 3, 5, 16])
@pytest.mark.parametrize("ladders", [1, 4])
def test_threads_change_nothing(ladders: int, threads: int) -> None:
    one, several = tempering(ladders, 2), tempering(ladders, 2, threads=threads)
    a, b = started(one), started(several)
    assert_same_records(one.run(a, 50, record_every=7), several.run(b, 50, record_every=7))
    assert_identical(a, b)


@pytest.mark.parametrize("explorer", [gnf.MonteCarlo, Plain])
@pytest.mark.parametrize("cuts", [[1] * 24, [5, 7, 12], [6, 6, 6, 6], [23, 1]], ids=str)
def test_cutting_a_run_changes_nothing(explorer: Any, cuts: list[int]) -> None:
    pt = tempering(2, 3, explorer)
    whole, pieces = started(pt), started(pt)
    record = pt.run(whole, 24, record_every=1)
    state, energies, trips, accepts = None, [], 0, 0
    for sweeps in cuts:
        part = pt.run(pieces, sweeps, record_every=1, state=state)
        state = part.state
        energies.append(part.energy)
        trips, accepts = trips + part.round_trips, accepts + part.accepts
    assert_identical(whole, pieces)
    np.testing.assert_array_equal(np.concatenate(energies), record.energy)
    np.testing.assert_array_equal(accepts, record.accepts)
    np.testing.assert_array_equal(trips, record.round_trips)
    np.testing.assert_array_equal(state["visits"], record.state["visits"])


def test_a_ladder_does_the_same_alone_and_among_others() -> None:
    together, alone = tempering(3, 2), tempering(1, 2)
    batch = started(together)
    single = batch[4:8]
    record, of_one = together.run(batch, 30, record_every=5), alone.run(single, 30, record_every=5)
    assert_identical(batch[4:8], single)
    np.testing.assert_array_equal(record.energy[:, :, 1], of_one.energy[:, :, 0])
    np.testing.assert_array_equal(record.replica[:, :, 1] - 4, of_one.replica[:, :, 0])
    np.testing.assert_array_equal(record.accepts[:, 1], of_one.accepts[:, 0])


def test_a_ladder_may_be_given_from_either_end() -> None:
    down, up = tempering(2, 1), tempering(2, 1, temperatures=LADDER[::-1])
    a = started(down)
    b = a.copy()
    first, second = down.run(a, 30, record_every=3), up.run(b, 30, record_every=3)
    assert_identical(a, b)
    for name, value in vars(first).items():
        other = getattr(second, name)
        if name in ("energy", "replica"):
            np.testing.assert_array_equal(value, other[:, ::-1])
        elif name in ("temperatures", "attempts", "accepts", "from_hot", "from_cold"):
            np.testing.assert_array_equal(value, other[::-1])
        elif name in ("sweeps", "round_trips"):
            np.testing.assert_array_equal(value, other)
    np.testing.assert_array_equal(first.flow, second.flow[::-1])
    assert first.flow[0] == 0.0
    assert first.flow[-1] == 1.0


@pytest.mark.parametrize("moves", [[0.15, 0.12, 0.1, 0.05], [0.7, 0.55, 0.3, 0.08]], ids=["lists", "lists and cells"])
def test_large_systems_whose_move_sizes_change_the_neighbour_search(moves: list[float]) -> None:
    """Native engines stay open while their move size changes; the loop of any explorer sets all up anew."""
    system = gnf.systems.ka2d(500)
    ladder = [1.0, 0.995, 0.99, 0.985]  # of neighbours that exchange
    native = gnf.ParallelTempering(system, ladder, gnf.MonteCarlo(system, threads=2), 1, 2)
    general = gnf.ParallelTempering(system, ladder, Plain(system, threads=2), 1, 2)
    a = native.start(cases.small(4, n=500))
    a.move_size[:] = moves
    b = a.copy()
    first, second = native.run(a, 24, record_every=6), general.run(b, 24, record_every=6)
    assert first.accepts.sum() >= 6
    assert_identical(a, b)
    assert_same_records(first, second, same_work=False)


@pytest.mark.parametrize("explorer", [gnf.MonteCarlo, Plain])
def test_restart_from_a_file(tmp_path: Path, explorer: Any) -> None:
    pt = tempering(2, 4, explorer)
    whole, half = started(pt), started(pt)
    record = pt.run(whole, 50, record_every=10)
    before = pt.run(half, 25)
    half.save(tmp_path / "half.h5")
    again = gnf.Ensemble.load(tmp_path / "half.h5")
    after = tempering(2, 4, explorer).run(again, 25, record_at=[5, 15, 25], state=before.state)
    assert_identical(whole, again)
    np.testing.assert_array_equal(record.energy[2:], after.energy)
    np.testing.assert_array_equal(record.state["visits"], after.state["visits"])


@pytest.mark.parametrize("swap_every", [None, 10])
def test_molecular_dynamics_as_the_explorer(swap_every: int | None) -> None:
    """Cut into pieces, and one ladder alone; velocities are drawn where there are none, and follow the temperature."""

    def dynamics(ladders: int) -> gnf.ParallelTempering:
        md = gnf.MolecularDynamics(KA2D, timestep=0.004, thermostat="langevin", friction=2.0, swap_every=swap_every, threads=1)
        return gnf.ParallelTempering(KA2D, LADDER, md, ladders, 5)

    whole = started(dynamics(2))
    pieces, alone = whole.copy(), whole[4:]
    record = dynamics(2).run(whole, 60, record_every=6, record_positions=True)
    assert record.accepts.sum() > 3
    for sweeps in (7, 13, 40):
        dynamics(2).run(pieces, sweeps)
    dynamics(1).run(alone, 60)
    assert_identical(whole, pieces)
    assert_identical(whole[4:], alone)
    for temperature in LADDER:
        positions, species = record.positions_at(temperature)
        recomputed = gnf.energy(KA2D, positions.reshape(-1, 43, 2), species.reshape(-1, 43)).reshape(10, 2)
        np.testing.assert_allclose(recomputed, record.energy_at(temperature), atol=CACHED_ENERGY, rtol=0.0)


# ------------------------------------------------------------------------------------------------------------------ the record


@pytest.mark.parametrize("explorer", [gnf.MonteCarlo, Plain])
def test_energies_belong_to_configurations_and_temperatures(explorer: Any) -> None:
    pt = tempering(3, 2, explorer)
    ensemble = started(pt)
    record = pt.run(ensemble, 60, record_every=6, record_positions=True)
    assert record.energy.shape == record.replica.shape == (10, 4, 3)
    np.testing.assert_array_equal(record.sweeps, np.arange(6, 61, 6))
    for temperature in LADDER:
        positions, species = record.positions_at(temperature)
        recomputed = gnf.energy(KA2D, positions.reshape(-1, 43, 2), species.reshape(-1, 43)).reshape(10, 3)
        np.testing.assert_allclose(recomputed, record.energy_at(temperature), atol=CACHED_ENERGY, rtol=0.0)
    # A permutation at every record, and the last one is where the ensemble is.
    np.testing.assert_array_equal(
        np.sort(record.replica.transpose(0, 2, 1), axis=2), np.tile(np.arange(12).reshape(3, 4), (10, 1, 1))
    )
    for k, temperature in enumerate(LADDER):
        np.testing.assert_array_equal(ensemble.beta[record.replica[-1, k]], 1.0 / temperature)
        np.testing.assert_array_equal(ensemble.move_size[record.replica[-1, k]], 0.1 * (1.0 / (1.0 / temperature)))
        np.testing.assert_array_equal(ensemble.energy[record.replica[-1, k]], record.energy_at(temperature)[-1])
    by_replica = record.replica_energy()
    np.testing.assert_array_equal(by_replica[-1], ensemble.energy)
    np.testing.assert_array_equal(np.sort(by_replica, axis=1), np.sort(record.energy.reshape(10, -1), axis=1))
    np.testing.assert_array_equal(ensemble.ids, np.arange(12))


def test_attempts_alternate_between_even_and_odd_pairs() -> None:
    pt = tempering(2, 3)
    ensemble = started(pt)
    ensemble.step = 4
    record = pt.run(ensemble, 30)  # rounds at the steps 6 (even), 9 (odd), ..., 33 (odd)
    assert record.rounds == 10
    np.testing.assert_array_equal(record.attempts, [[5, 5], [5, 5], [5, 5]])
    one = pt.run(ensemble, 2)
    assert one.rounds == 1  # at the step 36, even
    np.testing.assert_array_equal(one.attempts, [[1, 1], [0, 0], [1, 1]])
    assert np.isnan(one.acceptance[1])
    assert np.isnan(one.barrier)
    assert one.recommended_temperatures == 0


def test_velocities_follow_the_temperature() -> None:
    pt = tempering(2, 1)
    ensemble = started(pt)
    ensemble.velocities = np.sqrt(ensemble.temperature)[:, None, None] * np.ones_like(ensemble.positions)
    record = pt.run(ensemble, 50)
    assert record.accepts.sum() > 20
    expected = np.broadcast_to(np.sqrt(ensemble.temperature)[:, None, None], ensemble.velocities.shape)
    np.testing.assert_allclose(ensemble.velocities, expected, rtol=1e-13)


def test_nothing_to_do() -> None:
    pt = tempering(2, 1)
    ensemble = started(pt)
    before = ensemble.copy()
    record = pt.run(ensemble, 0, record_every=1)
    assert_identical(ensemble, before)
    assert record.energy.shape == (0, 4, 2)
    assert record.rounds == record.total_round_trips == 0
    assert np.isnan(record.local_barrier).all()
    assert np.isnan(record.flow).all()


# ------------------------------------------------------------------------------------------------------------------- adaptation


def test_equilibration_equalises_rejections() -> None:
    model = GaussianExplorer(KA2D, 4.0)
    pt = gnf.ParallelTempering(KA2D, gnf.geometric_ladder(2.0, 0.5, 8), model, 8, 5)
    given = model.rejection(pt.temperatures)
    assert given.max() > 2.0 * given.min()
    ensemble = pt.start(cases.small(64))
    report = pt.equilibrate(ensemble, 16_000)
    exact = model.rejection(pt.temperatures)
    np.testing.assert_allclose(exact, exact.mean(), rtol=0.05)
    np.testing.assert_allclose(report.rejection, exact, rtol=0.05)
    np.testing.assert_array_equal(report.temperatures, pt.temperatures)
    assert pt.temperatures[0] == 2.0
    assert pt.temperatures[-1] == 0.5
    assert len(report.history) == 5
    assert report.recommended_temperatures == round(2.0 * report.barrier) + 1
    # Frozen: the ensemble has the new ladder, and runs on it.
    record = pt.run(ensemble, 20_000, record_every=20)
    np.testing.assert_allclose(1.0 - record.acceptance, exact, atol=5.0 * np.sqrt(0.25 / record.attempts.sum(axis=1)).max())
    np.testing.assert_allclose(record.local_barrier, 4.0 / np.sqrt(np.pi), rtol=0.05)  # half the mean difference of two normals


def test_a_ladder_with_gaps_is_mended() -> None:
    """From neighbours that never exchange, by the local barrier, which needs no exchange to be measured."""
    model = GaussianExplorer(KA2D, 10.0)
    temperatures = 1.0 / np.array([0.5, 0.55, 0.6, 0.65, 0.7, 2.0])
    pt = gnf.ParallelTempering(KA2D, temperatures, model, 4, 1)
    assert model.rejection(temperatures).max() > 0.9999
    pt.equilibrate(pt.start(cases.small(24)), 4_000)
    exact = model.rejection(pt.temperatures)
    np.testing.assert_allclose(exact, exact.mean(), rtol=0.02)


def test_equilibration_of_a_liquid() -> None:
    pt = gnf.ParallelTempering(KA2D, [1.0, 0.9, 0.5, 0.45], gnf.MonteCarlo(KA2D, threads=2), 4, 2)
    ensemble = pt.start(cases.small(16))
    report = pt.equilibrate(ensemble, 8_000)
    assert report.rejection.max() - report.rejection.min() < 0.15
    assert (np.diff(report.move_size) < 0.0).all()
    for k, temperature in enumerate(pt.temperatures):
        here = ensemble.beta == 1.0 / temperature
        assert here.sum() == 4
        np.testing.assert_array_equal(ensemble.move_size[here], report.move_size[k])
    assert ensemble.step == 8_000
    frozen = pt.temperatures.copy()
    record = pt.run(ensemble, 500, record_every=10)
    np.testing.assert_array_equal(pt.temperatures, frozen)
    np.testing.assert_allclose(rejection_rates(record.temperatures, record.energy), 1.0 - record.acceptance, atol=0.15)


def test_equilibration_may_leave_the_ladder_alone() -> None:
    pt = tempering(2, 2)
    ensemble = started(pt)
    report = pt.equilibrate(ensemble, 400, adapt_ladder=False)
    np.testing.assert_array_equal(pt.temperatures, LADDER)
    assert len(report.history) == 1
    np.testing.assert_array_equal(np.sort(ensemble.beta.reshape(2, 4), axis=1), np.tile(1.0 / np.array(LADDER), (2, 1)))


def test_neighbours_that_never_exchange_are_reported() -> None:
    model = GaussianExplorer(KA2D, 8.0)
    pt = gnf.ParallelTempering(KA2D, [2.0, 1.8, 0.5], model, 2, 1)
    ensemble = pt.start(cases.small(6))
    with pytest.warns(
        PoorExchangeWarning, match=r"^temperatures: expected neighbours that exchange, got an acceptance of 0"
    ) as caught:
        pt.run(ensemble, 1_000, record_every=10)
    (warning,) = caught
    assert Path(warning.filename).name == "test_parallel_tempering.py"
    text = str(warning.message)
    assert "between T = 1.8 and 0.5" in text
    assert "T = 2 and" not in text
    suggested = [float(word) for word in text.partition("temperatures, ")[2].split(", ")]
    assert f"{len(suggested)} temperatures" in text
    assert model.rejection(suggested).max() < 0.65
    # Also where nothing was recorded.
    with pytest.warns(PoorExchangeWarning, match="from the measured energies"):
        pt.run(ensemble, 1_000)


def test_equal_ladders_keep_their_ends_and_direction() -> None:
    for ladder in (np.array([2.0, 1.0, 0.5]), np.array([0.5, 1.0, 2.0])):
        new = equal_ladder(ladder, [0.2, 0.4], 9)
        assert new.shape == (9,)
        np.testing.assert_array_equal(new[[0, -1]], ladder[[0, -1]])
        assert (np.diff(new) * (ladder[1] - ladder[0]) > 0.0).all()
    np.testing.assert_allclose(1.0 / equal_ladder(1.0 / np.array([1.0, 2.0, 4.0]), [0.3, 0.6], 7), np.linspace(1.0, 4.0, 7))


# ----------------------------------------------------------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("explorer", [gnf.MonteCarlo, Plain])
def test_interrupted_runs_go_on_with_the_same_bits(explorer: Any) -> None:
    whole, interrupted = started(tempering(2, 4)), started(tempering(2, 4))
    tempering(2, 4).run(whole, 400)

    def stop(done: int, total: int, info: dict[str, Any]) -> None:
        assert {"acceptance", "round_trips", "coldest", "hottest"} <= set(info)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tempering(2, 4, explorer).run(interrupted, 400, progress=stop)
    assert 0 < interrupted.step < 400
    tempering(2, 4, explorer).run(interrupted, 400 - interrupted.step)
    assert_identical(whole, interrupted)


@pytest.mark.parametrize("place", ["after the sweeps", "before the exchange", "after the exchange"])
def test_interrupts_between_sweeps_and_exchange(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Plain):
        def explore(self, ensemble: gnf.Ensemble, sweeps: int) -> int:
            evaluations = super().explore(ensemble, sweeps)
            if place == "after the sweeps" and ensemble.step == 12:
                raise KeyboardInterrupt
            return evaluations

    native = _core.exchange
    calls = 0

    def exchange(**arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if place == "before the exchange" and calls == 3:
            raise KeyboardInterrupt
        native(**arguments)
        if place == "after the exchange" and calls == 3:
            raise KeyboardInterrupt

    whole = started(tempering(2, 4))
    tempering(2, 4).run(whole, 40)
    pt = tempering(2, 4, Interrupted)
    ensemble = started(pt)
    monkeypatch.setattr(_core, "exchange", exchange)
    with pytest.raises(KeyboardInterrupt):
        pt.run(ensemble, 40)
    monkeypatch.undo()
    assert ensemble.step == 12
    tempering(2, 4).run(ensemble, 28)
    assert_identical(whole, ensemble)


def test_an_interrupt_after_the_native_call(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, ensemble = started(tempering(1, 3)), started(tempering(1, 3))
    tempering(1, 3).run(whole, 30)
    native = _core.parallel_tempering

    def interrupted(*arguments: Any, **named: Any) -> None:
        native(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(_core, "parallel_tempering", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tempering(1, 3).run(ensemble, 30)
    monkeypatch.undo()
    assert ensemble.step == 10
    tempering(1, 3).run(ensemble, 20)
    assert_identical(whole, ensemble)
