"""Flow-assisted population annealing: exact distributions, Z without bias, the plain algorithm with the identity, restarts.

Chi-square tests have a false-alarm rate of 1e-5 each (tolerances.FALSE_ALARM), comparisons of averages of 6e-7 (five standard
deviations); seeds are fixed.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fake_cupy
import glassnf as gnf
from flows_for_tests import BrokenFlow, NeglectfulFlow, PairFlow, TranslationFlow
from glassnf.certify.fluids import RadialFlow, Still, bins_of, draw_pairs, fluid, reference
from glassnf.certify.statistics import chi_square_p
from glassnf.flows import FlowError, IdentityFlow
from glassnf.samplers import Anneal, PAResult, population_annealing
from test_population_annealing_restart import REPLICAS, SCHEDULE, annealing, assert_same, dynamics, interrupt_at
from tolerances import CACHED_ENERGY, FALSE_ALARM, STATISTICAL

pytest.importorskip("scipy.stats")

pytestmark = pytest.mark.filterwarnings("ignore::glassnf.samplers.PopulationCollapseWarning")  # populations are tiny here

Array = npt.NDArray[Any]
KA2D = gnf.systems.ka2d(43)
FIXED = settings(deadline=None, derandomize=True, database=None)


def pair_flow(kind: type[PairFlow] = PairFlow, **options: Any) -> PairFlow:
    return kind(KA2D, 1.0, 0.5, **({"strength": -0.02} | options))


def same_but_time(a: PAResult, b: PAResult) -> None:
    for item in fields(PAResult):
        if item.name == "ensemble":
            assert a.ensemble.identical_to(b.ensemble)
        elif item.name not in ("wall_time", "flow_time"):
            np.testing.assert_array_equal(getattr(a, item.name), getattr(b, item.name), err_msg=item.name)


# ---- the plain algorithm again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"temperatures": SCHEDULE}, {"target": 0.5, "culling_fraction": 0.3}], ids=str)
def test_the_identity_is_the_plain_algorithm(options: dict[str, Any]) -> None:
    plain = annealing(**options).run(REPLICAS, seed=5)
    assisted = annealing(flow=IdentityFlow(KA2D), **options).run(REPLICAS, seed=5)
    same_but_time(plain, assisted)
    assert plain.flow_time == 0.0 < assisted.flow_time
    assert (assisted.flow_steps == 0).all()


@pytest.mark.slow
def test_the_identity_is_the_plain_algorithm_in_a_large_population() -> None:
    """Where steps are foretold from an eighth of the population."""
    options: dict[str, Any] = {"target": 0.7, "sweeps_per_step": 1, "equilibration_sweeps": 0}
    plain, assisted = annealing(**options), annealing(flow=IdentityFlow(KA2D), **options)
    first, second = plain.run(800, seed=5), assisted.run(800, seed=5)
    assert first.temperatures.size > 4
    same_but_time(first, second)


@pytest.mark.parametrize("thermostat", [None, "langevin"])
def test_the_identity_with_molecular_dynamics(thermostat: str | None) -> None:
    plain = dynamics(thermostat).run(REPLICAS, seed=7)
    same_but_time(plain, dynamics(thermostat, flow=IdentityFlow(KA2D)).run(REPLICAS, seed=7))


# ---- exact distributions -----------------------------------------------------------------------------------------------------

HOT, COLD = 1.0, 0.4
STEPS = [HOT, 0.6, COLD]


def fluid_flow(n: int = 2, strength: float = -0.15) -> PairFlow:
    return PairFlow(fluid(n), HOT, COLD, strength=strength, slope=0.2)


def exact_start(replicas: int, seed: int) -> gnf.Ensemble:
    samples = draw_pairs(fluid(2), HOT, replicas, np.random.default_rng(seed))
    return gnf.Ensemble.from_arrays(fluid(2), samples, temperature=HOT, seed=seed + 1)


def anneal_pairs(replicas: int, seed: int, flow: Any, explorer: Any = None, **options: Any) -> PAResult:
    """Anneal exact samples of two particles."""
    chosen: dict[str, Any] = {"temperatures": STEPS, "sweeps_per_step": 1, "equilibration_sweeps": 0, "adapt_move_size": False}
    pa = gnf.PopulationAnnealing(
        fluid(2), explorer=Still(fluid(2)) if explorer is None else explorer, flow=flow, **(chosen | options)
    )
    return pa.run(exact_start(replicas, seed))


@pytest.mark.parametrize("options", [{}, {"temperatures": None, "start": HOT, "target": COLD}], ids=["fixed", "adaptive"])
@pytest.mark.parametrize(
    "flow", [fluid_flow(strength=-0.05), RadialFlow(HOT, COLD), RadialFlow(HOT, COLD, 0.3)], ids=["pair", "exact", "short"]
)
def test_averages_of_two_particles(flow: Any, options: dict[str, Any]) -> None:
    """Transport, weights and resampling alone: <U> and log Z at every temperature."""
    result = anneal_pairs(20_000, 401, flow, **options)
    assert (result.flow_error <= 0.01).all()
    for k, temperature in enumerate(result.temperatures):
        exact = reference(2, float(temperature))
        assert abs(result.mean_energy[k] - exact.mean_energy) < STATISTICAL * result.mean_energy_error[k]
        assert abs(result.log_z[k] - (exact.log_z - reference(2, HOT).log_z)) <= STATISTICAL * result.log_z_error[k]
        assert result.mean_energy_error[k] < 0.02
    recomputed = gnf.energy(fluid(2), result.ensemble.positions)
    np.testing.assert_allclose(result.ensemble.energy, recomputed, atol=CACHED_ENERGY, rtol=0.0)


def test_a_wrong_jacobian_is_seen_by_the_test_above() -> None:
    result = anneal_pairs(20_000, 401, NeglectfulFlow(HOT, COLD))
    exact = reference(2, COLD)
    assert abs(result.mean_energy[-1] - exact.mean_energy) > STATISTICAL * result.mean_energy_error[-1]
    assert abs(result.log_z[-1] - (exact.log_z - reference(2, HOT).log_z)) > STATISTICAL * result.log_z_error[-1]


def test_distances_of_two_particles() -> None:
    """With sweeps enough to part the copies, the population is a sample of independent configurations."""
    replicas = 8_000
    mc = gnf.MonteCarlo(fluid(2), swap_probability=0.0, threads=1)
    result = anneal_pairs(replicas, 402, fluid_flow(), mc, sweeps_per_step=40)
    exact = reference(2, COLD)
    counts = np.bincount(bins_of(fluid(2), result.ensemble.positions, exact.edges), minlength=25)
    assert chi_square_p(counts, replicas * exact.probabilities) > FALSE_ALARM
    assert chi_square_p(counts, replicas * reference(2, 1.3 * COLD).probabilities) < FALSE_ALARM  # it has power


def test_three_particles() -> None:
    system, replicas = fluid(3), 4_000
    mc = gnf.MonteCarlo(system, swap_probability=0.0, threads=1)
    pa = gnf.PopulationAnnealing(system, HOT, COLD, mc, 20, 0.1, equilibration_sweeps=60, flow=fluid_flow(3, strength=-0.05))
    result = pa.run(replicas, seed=403)
    for k, temperature in enumerate(result.temperatures):
        exact = reference(3, float(temperature))
        assert abs(result.mean_energy[k] - exact.mean_energy) < STATISTICAL * result.mean_energy_error[k]
        assert abs(result.log_z[k] - (exact.log_z - reference(3, HOT).log_z)) <= STATISTICAL * result.log_z_error[k]


@pytest.mark.slow
def test_z_has_no_bias_at_any_population() -> None:
    """The mean of Z over 1000 populations of 4; log Z does have a bias."""
    z = []
    target = reference(2, COLD).log_z - reference(2, HOT).log_z
    flow, runs = RadialFlow(HOT, COLD, 3.0), 1_000
    starts = exact_start(4 * runs, 404)
    pa = gnf.PopulationAnnealing(
        fluid(2), temperatures=[HOT, COLD], explorer=Still(fluid(2)), sweeps_per_step=1, equilibration_sweeps=0,
        adapt_move_size=False, flow=flow,
    )  # fmt: skip
    for k in range(runs):
        z.append(math.exp(pa.run(starts[4 * k : 4 * k + 4], seed=k).log_z[-1] - target))
    assert abs(np.mean(z) - 1.0) < STATISTICAL * np.std(z) / math.sqrt(runs)
    assert np.mean(np.log(z)) < -STATISTICAL * np.std(np.log(z)) / math.sqrt(runs)  # the test sees a bias where there is one


def test_temperatures_are_chosen_by_the_weights_of_the_flow() -> None:
    """The culled fraction is as wanted, and a good flow needs fewer temperatures than none."""
    options: dict[str, Any] = {"temperatures": None, "start": HOT, "target": COLD, "culling_fraction": 0.05}
    flows = (None, RadialFlow(HOT, COLD), RadialFlow(HOT, COLD, 0.5), fluid_flow())
    results = [anneal_pairs(2_000, 405, flow, **options) for flow in flows]
    none, exact, short, bad = (result.temperatures.size for result in results)
    assert exact < short < none < bad
    for result in results:
        np.testing.assert_allclose(result.culled[1:-1], 0.05, rtol=0.1)
        assert result.culled[-1] <= 0.055
        assert (result.temperatures[0], result.temperatures[-1]) == (HOT, COLD)


def test_a_translation_moves_replicas_and_nothing_else() -> None:
    options: dict[str, Any] = {"temperatures": None, "start": HOT, "target": COLD}
    plain = anneal_pairs(500, 406, None, **options)
    moved = anneal_pairs(500, 406, TranslationFlow(fluid(2), HOT, COLD), **options)
    np.testing.assert_allclose(moved.temperatures, plain.temperatures, rtol=1e-9)
    np.testing.assert_allclose(moved.log_z, plain.log_z, atol=1e-9)
    first, last = 1.0 / HOT, 1.0 / COLD
    way = 0.3 * (last - first) + 0.15 * (last**2 - first**2)
    np.testing.assert_allclose(moved.ensemble.unwrapped(), plain.ensemble.unwrapped() + way, atol=1e-9)
    assert (moved.ensemble.images != plain.ensemble.images).any()


# ---- the same bits -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> PAResult:
    """Return the result that all other ways of getting it are compared with."""
    result = annealing(flow=pair_flow()).run(REPLICAS, seed=5)
    assert result.temperatures.size >= 3
    assert result.families[-1] < REPLICAS
    return result


@pytest.mark.parametrize("options", [{"block": 5}, {"threads": 3}], ids=str)
def test_blocks_and_threads(options: dict[str, Any], whole: PAResult) -> None:
    same_but_time(annealing(flow=pair_flow(), **options).run(REPLICAS, seed=5), whole)


@pytest.mark.parametrize("block", [None, 9])
def test_on_a_gpu(block: int | None, whole: PAResult, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cupy.install(monkeypatch)
    result = annealing(block=block, flow=pair_flow()).run(REPLICAS, seed=5, device="cuda:1")
    for name in ("log_z", "mean_energy", "rho_t", "move_size", "energy", "flow_steps", "flow_error"):
        np.testing.assert_array_equal(getattr(result, name), getattr(whole, name), err_msg=name)
    assert result.ensemble.to("cpu").identical_to(whole.ensemble)


def test_saved_and_loaded_after_every_piece(whole: PAResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population_annealing, "_PIECE_SECONDS", 1e-9)
    pa = annealing(flow=pair_flow())
    anneal = pa.begin(REPLICAS, seed=5)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    while not anneal.finished:
        with contextlib.suppress(KeyboardInterrupt):
            annealing(flow=pair_flow()).advance(anneal, progress=stop)
        anneal.save(tmp_path / "anneal.h5")
        anneal = Anneal.load(tmp_path / "anneal.h5")
    assert anneal.flow_time > 0.0
    same_but_time(pa.finish(anneal), whole)


def test_states_from_before_there_were_flows() -> None:
    pa = annealing()
    anneal = pa.begin(4, seed=5)
    pa.advance(anneal)
    while not anneal.rows:
        pa.advance(anneal)
    state = anneal.to_state()
    old = {name: value for name, value in state.items() if "flow" not in name}
    old["stage"] = {name: value for name, value in state["stage"].items() if "flow" not in name}
    assert len(old) == len(state) - 3
    again = Anneal.from_state(anneal.population.copy(), anneal.parameters, old)
    while not anneal.finished:
        pa.advance(anneal)
        pa.advance(again)
    assert_same(pa.finish(anneal), pa.finish(again))


def test_an_interrupt_at_any_line() -> None:
    """A temperature step with its transport and resampling, cut at every line, goes on bit for bit."""
    pa = gnf.PopulationAnnealing(
        fluid(2), temperatures=[HOT, COLD], sweeps_per_step=3, equilibration_sweeps=0, flow=RadialFlow(HOT, COLD, 4.0)
    )
    start = pa.begin(exact_start(6, 407))
    state = start.to_state()

    def fresh() -> Anneal:
        return Anneal.from_state(start.population.copy(), start.parameters, state)

    def complete(anneal: Anneal) -> PAResult:
        while not anneal.finished:
            pa.advance(anneal)
        return pa.finish(anneal)

    expected = complete(fresh())
    assert expected.flow_steps[-1] > 0
    assert expected.families[-1] < 6
    line, finished = 0, False
    while not finished:
        line += 1
        anneal = fresh()
        with interrupt_at(line):
            pa.advance(anneal)
            finished = True
        same_but_time(complete(anneal), expected)
    assert line > 60


# ---- bad flows ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"flow": "flow.safetensors"}, TypeError, r"^flow: expected a flow such as .*, got str$"),
        ({"flow": IdentityFlow(gnf.systems.ka2d(44))}, ValueError, r"^flow: expected one of .*n=43.*, got one of .*n=44"),
        (
            {"flow": PairFlow(KA2D, 0.9, 0.5)},
            ValueError,
            r"^flow: expected one for temperatures from 1 to 0\.8, the ends of the anneal, got one for 0\.9 to 0\.5$",
        ),
        ({"flow_tolerance": -1.0}, ValueError, r"^flow_tolerance: expected"),
        ({"flow_tolerance": math.inf}, ValueError, r"^flow_tolerance: expected"),
        ({"flow_max_steps": 2.0}, TypeError, r"^flow_max_steps: expected"),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        annealing(**({"flow": pair_flow()} | options))


@FIXED
@given(st.floats(0.05, 5.0), st.floats(0.05, 5.0))
def test_any_range_covers_the_anneal_or_is_refused(hot: float, cold: float) -> None:
    assume(cold < hot)
    flow = IdentityFlow(KA2D, hot, cold)
    if hot >= 1.0 and cold <= 0.8:
        assert annealing(flow=flow).describe()["flow"]["flow"] == "identity"
        return
    with pytest.raises(ValueError, match=r"^flow: expected one for temperatures"):
        annealing(flow=flow)


@pytest.mark.parametrize(
    ("flow", "options", "message"),
    [
        (
            pair_flow(),
            {"flow_tolerance": 1e-15, "flow_max_steps": 8},
            r"expected weights that are exact to 1e-15, got .* steps \(at most 8\)",
        ),
        (pair_flow(BrokenFlow), {}, r"expected finite coordinates and Jacobians, got others for 1 of 24"),
    ],
)
@pytest.mark.parametrize("schedule", [{}, {"temperatures": SCHEDULE}], ids=["adaptive", "fixed"])
def test_flows_that_fail_leave_the_anneal_where_it_was(flow: Any, options: dict[str, Any], message: str, schedule: Any) -> None:
    pa = annealing(flow=flow, equilibration_sweeps=0, **options, **schedule)
    anneal = pa.begin(REPLICAS, seed=5)
    with pytest.raises(FlowError, match=message):
        pa.advance(anneal)
    assert not anneal.rows
    assert (anneal.done == anneal.stage.sweeps).all()
    assert anneal.temperature == pytest.approx(1.0)
    anneal.population.validate()


def test_steps_are_doubled_until_they_are_enough() -> None:
    flow = pair_flow(strength=-0.1, steps=2)
    result = annealing(temperatures=[1.0, 0.5], flow=flow, flow_tolerance=1e-5).run(REPLICAS, seed=5)
    assert (result.flow_steps[1:] > 2).any()
    assert (result.flow_error[1:] <= 1e-5).all()
    assert (result.flow_error[1:] > 0.0).all()
    assert "flow" in str(result)


def test_a_flow_that_is_worse_than_none_is_refused_at_once() -> None:
    """Rather than that an anneal takes thousands of tiny steps."""
    pa = annealing(flow=pair_flow(strength=3.0), target=0.5, equilibration_sweeps=0, flow_tolerance=1e3)
    anneal = pa.begin(REPLICAS, seed=5)
    with pytest.raises(FlowError, match=r"got a step of beta of [\d.e-]+ from T = 1, where it takes 0\.\d+ without the flow"):
        pa.advance(anneal)
    assert not anneal.rows


def test_other_flows_are_refused_by_an_anneal_under_way() -> None:
    anneal = annealing(flow=pair_flow()).begin(4, seed=5)
    for other in (None, IdentityFlow(KA2D), pair_flow(slope=0.3)):
        with pytest.raises(ValueError, match="anneal: expected one begun with the settings of this sampler.*flow"):
            annealing(flow=other).advance(anneal)
