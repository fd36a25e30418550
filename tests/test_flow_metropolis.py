"""Independence Metropolis with a flow: exact samples stay exact, decisions are replayed, restarts keep every bit.

Chi-square tests have a false-alarm rate of 1e-5 (tolerances.FALSE_ALARM), comparisons of means one of 6e-7 (5 sigma); seeds are
fixed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import cases
import glassnf as gnf
from flows_for_tests import BrokenFlow, LeakyFlow, PairFlow
from glassnf.certify.pairs import TwoParticles
from glassnf.certify.statistics import chi_square_p, symmetry_p
from glassnf.flows import FlowError, IdentityFlow
from glassnf.samplers import FlowChains
from replay import block, uniform
from tolerances import FALSE_ALARM, STATISTICAL

Array = npt.NDArray[Any]

HOT, COLD = 0.8, 0.4
TWO = TwoParticles()
PROPOSAL_STREAM = 8


def metropolis(flow: Any, **options: Any) -> gnf.FlowMetropolis:
    settings: dict[str, Any] = {"hot": HOT, "cold": COLD, "base_sweeps": 1, "sweeps": 0, "threads": 1}
    return gnf.FlowMetropolis(TWO.system, flow, **(settings | options))


def pair_flow(kind: type[PairFlow] = PairFlow, **options: Any) -> PairFlow:
    return kind(TWO.system, HOT, COLD, 0.1, **({"turn": 1.1, "steps": 4} | options))


def exact_chains(fm: gnf.FlowMetropolis, count: int) -> FlowChains:
    return fm.begin_from(TWO.draw(count, COLD, seed=1), TWO.draw(count, HOT, seed=2))


# --------------------------------------------------------------------------------------------------------------- invariance


@pytest.mark.parametrize("sweeps", [0, 1])
@pytest.mark.parametrize("flow", [IdentityFlow(TWO.system), pair_flow()], ids=["identity", "pair"])
def test_exact_samples_stay_exact_on_both_sides(flow: Any, sweeps: int) -> None:
    """Proposals after a single sweep of the base depend on the past: the step must be exact all the same, for both ends."""
    count = 8_000
    fm = metropolis(flow, sweeps=sweeps)
    chains = exact_chains(fm, count)
    before = chains.cold.positions.copy()
    record = fm.run(chains, 4)
    assert 0.3 < float(record.acceptance.mean()) < 0.95
    for ensemble, temperature in ((chains.cold, COLD), (chains.hot, HOT)):
        edges, probabilities = TWO.bins(temperature)
        counts = TWO.count(ensemble.positions, edges)
        assert chi_square_p(counts, count * probabilities) > FALSE_ALARM
        _, wrong = TWO.bins(1.3 * temperature)
        assert chi_square_p(counts, count * wrong) < FALSE_ALARM  # it has power
    edges, _ = TWO.bins(COLD, 6)
    first, last = (np.searchsorted(edges, TWO.distance(x), side="right") for x in (before, chains.cold.positions))
    if sweeps == 0:  # four exchanges with a base that moves in between: a reversible chain seen from the cold side
        pairs = np.zeros((7, 7))
        np.add.at(pairs, (first, last), 1.0)
        assert symmetry_p(pairs) > FALSE_ALARM
    np.testing.assert_allclose(
        chains.cold.energy, gnf.energy(TWO.system, chains.cold.positions, chains.cold.species), rtol=1e-12, atol=1e-12
    )


def test_a_wrong_jacobian_is_found() -> None:
    count = 8_000
    fm = metropolis(pair_flow(LeakyFlow))
    chains = exact_chains(fm, count)
    fm.run(chains, 12)
    edges, probabilities = TWO.bins(COLD)
    assert chi_square_p(TWO.count(chains.cold.positions, edges), count * probabilities) < FALSE_ALARM


def test_averages_from_random_starts() -> None:
    """Chains that are begun, equilibrated and run as users do; one error for each chain, all independent."""
    fm = metropolis(pair_flow(), base_sweeps=5, sweeps=3)
    chains = fm.begin(400, seed=3, equilibration_sweeps=100)
    record = fm.run(chains, 40, record_every=2)
    assert record.energy.shape == (20, 400)
    np.testing.assert_array_equal(record.proposals, np.arange(2, 41, 2))
    means = record.energy.mean(axis=0)
    miss = means.mean() - TWO.mean_energy(COLD)
    assert abs(miss) < STATISTICAL * means.std(ddof=1) / math.sqrt(400)
    assert chains.cold.step == 100 + 40 * 3
    assert chains.hot.step == 100 + 40 * 5
    assert record.integration_error < 0.01
    assert record.reversibility_error < 0.01
    assert record.pair_evaluations > 0
    assert record.wall_time >= record.base_time + record.explorer_time + record.flow_time


# --------------------------------------------------------------------------------------------------------------- decisions


def test_decisions_are_those_of_the_formula() -> None:
    """Each decision again, from energies, Jacobians and random numbers of the documented place."""
    fm = metropolis(pair_flow(steps=4), sweeps=2)
    chains = exact_chains(fm, 60)
    flow, beta = fm.flow, (1.0 / HOT, 1.0 / COLD)
    for proposal in range(3):
        hot, cold = chains.hot.copy(), chains.cold.copy()
        fm.base.explore(hot, 1)
        fm.explorer.explore(cold, 2)
        there = flow.transport(hot.positions, hot.species, *beta)
        back = flow.transport(cold.positions, cold.species, *beta[::-1])
        u = {name: gnf.energy(TWO.system, x, hot.species) for name, x in (("y", hot.positions), ("x", cold.positions))}
        u |= {name: gnf.energy(TWO.system, x, hot.species) for name, x in (("Fy", there.positions), ("Fx", back.positions))}
        proposed = -beta[1] * u["Fy"] + beta[0] * u["y"] + there.log_jacobian
        present = -beta[1] * u["x"] + beta[0] * u["Fx"] - back.log_jacobian
        numbers = [uniform(*block(cold.seed, PROPOSAL_STREAM, proposal, int(k), 0, 0)[:2]) for k in cold.ids]
        accepted = proposed - present >= np.log(numbers)
        record = fm.run(chains, 1)
        np.testing.assert_array_equal(record.accepts, accepted)
        assert 0 < accepted.sum() < 60
        np.testing.assert_array_equal(chains.cold.positions[accepted], there.positions[accepted])
        np.testing.assert_array_equal(chains.cold.positions[~accepted], cold.positions[~accepted])
        np.testing.assert_array_equal(chains.hot.positions[accepted], back.positions[accepted])
        np.testing.assert_array_equal(chains.hot.positions[~accepted], hot.positions[~accepted])


def test_identity_exchanges_configurations_of_a_liquid() -> None:
    """With the identity a step is an exchange of parallel tempering: min(1, exp((beta_c - beta_h)(U_c - U_h)))."""
    start = cases.small(replicas=12)
    cold, hot = start[:6], start[6:]
    cold.beta[:], hot.beta[:] = 1.0 / 0.55, 1.0 / 0.6
    fm = gnf.FlowMetropolis(
        start.system,
        IdentityFlow(start.system),
        hot=0.6,
        cold=0.55,
        base_sweeps=1,
        sweeps=1,
        explorer=gnf.MonteCarlo(start.system, 0.0),
    )
    chains = fm.begin_from(cold, hot)
    assert chains.hot.ids.tolist() == [6, 7, 8, 9, 10, 11]
    moved = {"cold": chains.cold.copy(), "hot": chains.hot.copy()}
    fm.explorer.explore(moved["cold"], 1)
    fm.base.explore(moved["hot"], 1)
    fm.run(chains, 1)
    delta = (1 / 0.55 - 1 / 0.6) * (moved["cold"].energy - moved["hot"].energy)
    numbers = [uniform(*block(start.seed, PROPOSAL_STREAM, 0, int(k), 0, 0)[:2]) for k in moved["cold"].ids]
    accepted = delta >= np.log(numbers)
    assert 0 < accepted.sum() < 6
    for side, other in (("cold", "hot"), ("hot", "cold")):
        now = getattr(chains, side)
        for name in ("positions", "species", "images"):
            wanted = np.where(
                accepted.reshape(-1, *[1] * (getattr(now, name).ndim - 1)),
                getattr(moved[other], name),
                getattr(moved[side], name),
            )
            np.testing.assert_array_equal(getattr(now, name), wanted)


def test_runs_of_rejections_are_counted() -> None:
    fm = metropolis(pair_flow())
    chains = exact_chains(fm, 50)
    longest, now = np.zeros(50, dtype=int), np.zeros(50, dtype=int)
    for _ in range(12):
        accepted = fm.run(chains, 1).accepts.astype(bool)
        now = np.where(accepted, 0, now + 1)
        longest = np.maximum(longest, now)
    np.testing.assert_array_equal(chains.longest_rejection, longest)
    np.testing.assert_array_equal(chains.rejections, now)
    assert longest.max() > 2


# -------------------------------------------------------------------------------------------------------------- integration


def test_steps_are_refined_and_frozen() -> None:
    flow = PairFlow(TWO.system, HOT, COLD, 1.2, turn=1.1)
    fm = metropolis(flow, steps=1, tolerance=1e-3)
    chains = exact_chains(fm, 200)
    record = fm.run(chains, 3)
    assert record.steps > 2
    assert record.integration_error <= 1e-3
    assert record.reversibility_error <= 1e-3
    taken = {call[3] for call in flow.calls[-4:]}
    assert taken == {record.steps}
    with pytest.raises(FlowError, match="max_steps = 2 are not allowed"):
        fm = metropolis(flow, steps=1, tolerance=1e-6, max_steps=2)
        fm.run(exact_chains(fm, 200), 1)


def test_a_flow_that_does_not_come_back_is_refused() -> None:
    class OneWay(PairFlow):
        """Its Jacobian is off by the same number either way."""

        def transport(self, *args: Any, **options: Any) -> Any:
            moved = super().transport(*args, **options)
            moved.log_jacobian[:] += 0.1
            return moved

    fm = metropolis(pair_flow(OneWay), max_steps=16)
    with pytest.raises(FlowError, match=r"a way back that undoes the way there to 0.01 in log w, got 0.2 with 16 steps"):
        fm.run(exact_chains(fm, 20), 1)
    fm = metropolis(pair_flow(BrokenFlow))
    with pytest.raises(FlowError, match="finite positions and Jacobians"):
        fm.run(exact_chains(fm, 20), 1)


# ------------------------------------------------------------------------------------------------------------------ restart


def same(a: FlowChains, b: FlowChains) -> None:
    cases.assert_identical(a.cold, b.cold)
    cases.assert_identical(a.hot, b.hot)
    for name in ("accepts", "rejections", "longest_rejection", "proposals", "steps", "first_steps", "integration_error"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.fixture
def liquid() -> gnf.FlowMetropolis:
    system = gnf.systems.ka2d(43)
    flow = PairFlow(system, 0.9, 0.8, 0.01, outer=2.2, steps=2)
    return gnf.FlowMetropolis(system, flow, gnf.MonteCarlo(system, threads=1), base_sweeps=3, sweeps=2, threads=1)


def test_restart_is_bit_for_bit(liquid: gnf.FlowMetropolis, tmp_path: Path) -> None:
    whole = liquid.begin(4, seed=9, equilibration_sweeps=40)
    liquid.run(whole, 6)
    part = liquid.begin(4, seed=9, equilibration_sweeps=40)
    liquid.run(part, 2)
    part.save(tmp_path / "chains.h5")
    loaded = FlowChains.load(tmp_path / "chains.h5")
    same(loaded, part)
    liquid.run(loaded, 4)
    same(loaded, whole)
    assert 0 < whole.accepts.sum() < 24


def test_ctrl_c_anywhere_leaves_the_chains_as_they_must_be(liquid: gnf.FlowMetropolis, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = liquid.begin(3, seed=9, equilibration_sweeps=20)
    liquid.run(whole, 4)
    for place in ("explorer", "flow", "progress", "settle"):
        chains = liquid.begin(3, seed=9, equilibration_sweeps=20)
        calls = [0]

        def stop(*_: Any, calls: list[int] = calls, **__: Any) -> None:
            calls[0] += 1
            if calls[0] == 3:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            if place == "flow":
                real = liquid.flow.transport
                patch.setattr(liquid.flow, "transport", lambda *a, real=real, stop=stop, **k: (stop(), real(*a, **k))[1])
            elif place == "explorer":
                explore = liquid.base.explore
                patch.setattr(liquid.base, "explore", lambda *a, real=explore, stop=stop: (real(*a), stop())[0])
            elif place == "settle":
                settle = FlowChains.settle
                patch.setattr(FlowChains, "settle", lambda self, real=settle, stop=stop: (stop(), real(self))[1])
            liquid.run(chains, 4, progress=stop if place == "progress" else None)
        chains.settle()
        assert calls[0] == 3
        assert chains.proposals < 4
        liquid.run(chains, 4 - chains.proposals)
        for name in ("accepts", "longest_rejection"):
            np.testing.assert_array_equal(getattr(chains, name), getattr(whole, name))
        cases.assert_identical(chains.cold, whole.cold)
        cases.assert_identical(chains.hot, whole.hot)


def test_going_on_with_other_settings_is_refused(liquid: gnf.FlowMetropolis) -> None:
    chains = liquid.begin(2, seed=1, equilibration_sweeps=0)
    other = gnf.FlowMetropolis(liquid.system, liquid.flow, liquid.base, base_sweeps=4, sweeps=2)
    with pytest.raises(ValueError, match="chains: expected ones begun with base_sweeps = 4, got 3"):
        other.run(chains, 1)
    with pytest.raises(TypeError, match="chains: expected FlowChains, got int"):
        liquid.run(3, 1)  # type: ignore[arg-type]


def test_records_of_configurations(liquid: gnf.FlowMetropolis) -> None:
    chains = liquid.begin(2, seed=1, equilibration_sweeps=0)
    record = liquid.run(chains, 4, record_every=2, record_positions=True)
    assert record.positions is not None
    assert record.species is not None
    assert record.positions.shape == (2, 2, 43, 2)
    np.testing.assert_array_equal(record.positions[-1], chains.cold.positions)
    np.testing.assert_allclose(gnf.energy(liquid.system, record.positions[0], record.species[0]), record.energy[0], atol=1e-9)
    empty = liquid.run(chains, 0)
    assert empty.energy.shape == (0, 2)
    assert np.isnan(empty.acceptance).all()


# ------------------------------------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"base_sweeps": 0}, ValueError, "base_sweeps: expected a positive integer, got 0"),
        ({"sweeps": -1}, ValueError, "sweeps: expected a non-negative integer, got -1"),
        ({"cold": 0.3}, ValueError, "cold: expected a temperature from 0.4 to 0.8, the range of the flow, got 0.3"),
        ({"hot": 0.4, "cold": 0.4}, ValueError, "cold: expected a temperature below hot = 0.4, got 0.4"),
        ({"explorer": 3}, TypeError, "explorer: expected a sampler such as MonteCarlo, got int"),
        ({"base": "mc"}, TypeError, "base: expected a sampler such as MonteCarlo, got str"),
        ({"tolerance": 0.0}, ValueError, "tolerance: expected a positive finite number, got 0.0"),
        ({"steps": 2000}, ValueError, "steps: expected an integer from 1 to 1024, got 2000"),
        ({"device": "gpu"}, ValueError, "device: expected"),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        metropolis(pair_flow(), **options)


def test_bad_starts() -> None:
    fm = metropolis(pair_flow())
    cold, hot = TWO.draw(4, COLD, seed=1), TWO.draw(4, HOT, seed=2)
    with pytest.raises(ValueError, match=r"cold: expected samples of temperature 0.4, got one of 0.8"):
        fm.begin_from(hot, hot)
    with pytest.raises(ValueError, match=r"hot: expected 4 replicas, one for each chain, got 2"):
        fm.begin_from(cold, hot[:2])
    with pytest.raises(TypeError, match="cold: expected an Ensemble, got None"):
        fm.begin_from(None, hot)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="chains: expected a positive integer, got 0"):
        fm.begin(0, seed=1)
    with pytest.raises(ValueError, match="state: expected the state of flow Metropolis, got something else"):
        FlowChains.from_state(cold, {}, {"algorithm": "other"})
