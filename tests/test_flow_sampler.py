"""FlowSampler against exact answers: two particles by quadrature, plain reweighting and population annealing to the bit.

Comparisons of means have a false-alarm rate of 6e-7 each (5 sigma), chi-square tests one of 1e-5; seeds are fixed.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import cases
import glassnf as gnf
from flows_for_tests import BrokenFlow, LeakyFlow, PairFlow, TranslationFlow
from glassnf.certify.pairs import TwoParticles
from glassnf.certify.statistics import chi_square_p
from glassnf.flows import FlowError, IdentityFlow
from glassnf.samplers._carry import Batch, Integration, carry
from glassnf.samplers._flow_run import batch_of
from test_cli_flow_assisted import weak_flow
from tolerances import EXACT, FALSE_ALARM, FP64_REDUCTION, STATISTICAL

Array = npt.NDArray[Any]

HOT, COLD = 0.8, 0.4
TWO = TwoParticles()
EXACT_LOG_Z = TWO.log_z(COLD) - TWO.log_z(HOT)
UNCHECKED = Integration(None, 0.01, 64, 0, None)


def pair_flow(strength: float = 0.1, kind: type[PairFlow] = PairFlow, **options: Any) -> PairFlow:
    """Return a flow that draws two particles into the well of their potential on the way to the cold."""
    return kind(TWO.system, HOT, COLD, strength, **({"turn": 1.1} | options))


def sampler(flow: Any, **options: Any) -> gnf.FlowSampler:
    return gnf.FlowSampler(TWO.system, flow, **({"hot": HOT, "cold": COLD} | options))


# ------------------------------------------------------------------------------------------------------------- exact weights


@pytest.mark.parametrize("ends", [(HOT, COLD), (COLD, HOT)], ids=["cooling", "heating"])
def test_weights_carry_the_partition_function_by_quadrature(ends: tuple[float, float]) -> None:
    """The integral of exp(-beta_from U) w over all configurations is Z at the other end: no sampling, no random number."""
    side, grid = float(TWO.system.box[0]), 200
    axis = side * ((np.arange(grid) + 0.5) / grid - 0.5)
    delta = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    positions = np.mod(np.stack([np.zeros_like(delta), delta], axis=1), side)
    species = np.zeros(positions.shape[:2], dtype=np.int32)
    u = gnf.energy(TWO.system, positions, species)
    start = Batch(positions, np.zeros(positions.shape, np.int32), species, u)
    there, back = (1.0 / t for t in ends)
    rule = Integration(8, 0.01, 64, 0, None)
    for flow, tolerance in ((pair_flow(), 1e-4), (TranslationFlow(TWO.system, HOT, COLD), 1e-4)):
        done = carry(TWO.system, flow, start, there, back, rule)
        z = float(np.exp(done.log_weights - there * u).mean()) * side**2
        assert math.log(z) == pytest.approx(TWO.log_z(ends[1]), abs=tolerance)
    leaky = carry(TWO.system, pair_flow(kind=LeakyFlow), start, there, back, rule)
    z = float(np.exp(leaky.log_weights - there * u).mean()) * side**2
    assert abs(math.log(z) - TWO.log_z(ends[1])) > 0.01  # a wrong divergence is seen


@pytest.fixture(scope="module")
def exact_hot() -> gnf.Ensemble:
    return TWO.draw(20_000, HOT, seed=1)


@pytest.mark.parametrize(
    "flow",
    [IdentityFlow(TWO.system), TranslationFlow(TWO.system, HOT, COLD), pair_flow(), pair_flow(0.02, turn=None)],
    ids=["identity", "translation", "good", "bad"],
)
def test_two_particles(flow: Any, exact_hot: gnf.Ensemble) -> None:
    """From exact samples any flow gives <U>, the specific heat, log Z and the distribution of the cold temperature."""
    result = sampler(flow).run_from(exact_hot)
    assert abs(result.log_z_ratio - EXACT_LOG_Z) < STATISTICAL * result.log_z_ratio_error
    assert abs(result.mean_energy - TWO.mean_energy(COLD)) < STATISTICAL * result.mean_energy_error
    assert abs(result.specific_heat - TWO.specific_heat(COLD)) < STATISTICAL * result.specific_heat_error
    assert result.log_z_ratio_error < 0.02
    assert result.mean_energy_error < 0.02
    np.testing.assert_allclose(
        result.energy_after, gnf.energy(TWO.system, result.ensemble.positions, result.ensemble.species), rtol=1e-12, atol=1e-12
    )
    drawn = result.resampled(seed=3)
    edges, probabilities = TWO.bins(COLD)
    counts = TWO.count(drawn.positions, edges, None)
    weighted = TWO.count(result.ensemble.positions, edges, result.weights)
    # Weighted samples vary as S x ESS independent ones, roughly; the resampled ones hardly add to it.
    effective = result.ess * result.samples
    assert chi_square_p(np.rint(effective * weighted) + 0.0, _same_total(effective * weighted, probabilities)) > FALSE_ALARM
    np.testing.assert_allclose(counts / result.samples, weighted, atol=2.0 / result.samples * (1 + counts.max() ** 0.5))


def _same_total(observed: Array, probabilities: Array) -> Array:
    return np.asarray(np.rint(observed).sum() * probabilities)


def test_a_good_flow_raises_the_ess_and_a_wrong_one_is_found(exact_hot: gnf.Ensemble) -> None:
    plain = sampler(IdentityFlow(TWO.system)).run_from(exact_hot)
    good = sampler(pair_flow()).run_from(exact_hot)
    assert good.ess > plain.ess + 0.05
    assert good.log_z_ratio_error < 0.8 * plain.log_z_ratio_error
    leaky = sampler(pair_flow(kind=LeakyFlow)).run_from(exact_hot)
    assert abs(leaky.log_z_ratio - EXACT_LOG_Z) > 2.0 * STATISTICAL * leaky.log_z_ratio_error


def test_identity_is_plain_reweighting_to_the_bit(exact_hot: gnf.Ensemble) -> None:
    result = sampler(IdentityFlow(TWO.system)).run_from(exact_hot)
    u = gnf.energy(TWO.system, exact_hot.positions, exact_hot.species)
    plain = gnf.observables.reweight(u, 1.0 / HOT, 1.0 / COLD)
    np.testing.assert_array_equal(result.ensemble.positions, exact_hot.positions)
    np.testing.assert_array_equal(result.weights, plain.weights.ravel())
    np.testing.assert_array_equal(result.log_weights, -(1.0 / COLD - 1.0 / HOT) * u)
    assert result.mean_energy == plain.mean.value
    assert result.log_z_ratio == plain.log_z_ratio.value
    assert result.ess == pytest.approx(plain.ess_fraction, rel=FP64_REDUCTION)
    assert (result.steps, result.integration_error) == (0, EXACT)


def test_identity_on_a_liquid_with_base_samples_of_its_own() -> None:
    system = gnf.systems.ka2d(43)
    nf = gnf.FlowSampler(
        system, IdentityFlow(system), hot=0.8, cold=0.75, replicas=8, spacing=5, equilibration_sweeps=200, threads=1
    )
    result = nf.run(samples=100, seed=77)
    plain = gnf.observables.reweight(gnf.energy(system, result.base.positions, result.base.species), 1 / 0.8, 1 / 0.75)
    assert result.mean_energy == plain.mean.value
    assert result.log_z_ratio == plain.log_z_ratio.value
    assert result.base_pair_evaluations > 0
    assert result.pair_evaluations == result.base_pair_evaluations + 2 * 100 * 43 * 42 // 2  # energies, those of the check too
    np.testing.assert_array_equal(result.groups, np.arange(100) % 8)
    assert result.provenance["flow"] == {"flow": "identity"}
    assert result.wall_time >= result.base_time + result.flow_time


def test_base_samples_are_the_records_of_the_base_sampler() -> None:
    """The samples are those of Monte Carlo, equilibrated and recorded at the stated spacing, bit for bit."""
    system = gnf.systems.ka2d(43)
    mc = gnf.MonteCarlo(system, threads=1)
    made = gnf.harvest(mc, 0.9, samples=19, seed=4, replicas=6, spacing=7, equilibration_sweeps=150)
    same = gnf.Ensemble.random(system, 6, 0.9, seed=4)
    mc.equilibrate(same, 150)
    record = mc.run(same, 28, record_every=7, record_positions=True)
    assert record.positions is not None
    np.testing.assert_array_equal(made.ensemble.species, np.concatenate(record.species)[:19])
    np.testing.assert_array_equal(made.ensemble.unwrapped(), np.concatenate(record.positions)[:19])
    np.testing.assert_allclose(made.ensemble.energy, record.energy.ravel()[:19], atol=1e-9)
    assert (made.replicas, made.spacing, made.equilibration_sweeps) == (6, 7, 150)
    assert made.pair_evaluations > 0


# ------------------------------------------------------------------------------------------------------------- honest errors


@pytest.mark.slow
def test_errors_are_those_of_independent_runs() -> None:
    """Scores (estimate - exact) / error of 100 runs with correlated base samples have a standard deviation near 1.

    It is known to 7 %, and Student's distribution with 15 degrees of freedom adds 7 %: allowed are 0.75 to 1.4. Errors that
    take all samples for independent are far too small.
    """
    nf = sampler(pair_flow(), replicas=16, spacing=1, equilibration_sweeps=60)
    scores, naive = [], []
    for seed in range(100):
        result = nf.run(samples=16 * 25, seed=seed)
        alone = gnf.observables.log_z_of_weights(result.log_weights)[1]
        scores.append(
            (
                (result.log_z_ratio - EXACT_LOG_Z) / result.log_z_ratio_error,
                (result.mean_energy - TWO.mean_energy(COLD)) / result.mean_energy_error,
                (result.specific_heat - TWO.specific_heat(COLD)) / result.specific_heat_error,
            )
        )
        naive.append((result.log_z_ratio - EXACT_LOG_Z) / alone)
    spread = np.std(scores, axis=0)
    assert ((spread > 0.75) & (spread < 1.4)).all(), spread
    assert np.std(naive) > 1.8


# ------------------------------------------------------------------------------------------------------------------- chains


def test_a_chain_without_relaxation_multiplies_weights(exact_hot: gnf.Ensemble) -> None:
    flow = pair_flow(steps=16)
    one = sampler(flow).run_from(exact_hot[:2000])
    chain = sampler(flow, hot=None, cold=None, temperatures=[HOT, 0.6, 0.5, COLD]).run_from(exact_hot[:2000])
    np.testing.assert_allclose(chain.log_weights, one.log_weights, atol=1e-6)
    assert chain.log_z_ratio == pytest.approx(one.log_z_ratio, abs=1e-6)
    assert [stop.temperature for stop in chain.stops] == [0.6, 0.5, COLD]
    assert not any(stop.resampled for stop in chain.stops)
    assert chain.stops[0].ess > chain.stops[1].ess > chain.stops[2].ess == chain.ess


@pytest.mark.parametrize("sweeps", [1, 20])
@pytest.mark.parametrize("flow", [IdentityFlow(TWO.system), pair_flow()], ids=["identity", "pair"])
def test_a_chain_with_relaxation(flow: Any, sweeps: int, exact_hot: gnf.Ensemble) -> None:
    nf = sampler(flow, hot=None, cold=None, temperatures=[HOT, 0.55, COLD], sweeps_per_stop=sweeps)
    result = nf.run_from(exact_hot)
    assert abs(result.log_z_ratio - EXACT_LOG_Z) < STATISTICAL * result.log_z_ratio_error
    assert abs(result.mean_energy - TWO.mean_energy(COLD)) < STATISTICAL * result.mean_energy_error
    assert result.log_z_ratio_error < 0.02
    assert [stop.resampled for stop in result.stops] == [True, False]
    assert result.stops[-1].log_z == pytest.approx(result.log_z_ratio, rel=FP64_REDUCTION)
    at_stop = TWO.log_z(0.55) - TWO.log_z(HOT)
    assert abs(result.stops[0].log_z - at_stop) < STATISTICAL * result.log_z_ratio_error
    assert result.ess > sampler(flow).run_from(exact_hot).ess
    again = nf.run_from(exact_hot)
    assert again.ensemble.identical_to(result.ensemble)
    assert again.log_z_ratio == result.log_z_ratio
    other = nf.run_from(exact_hot, seed=6)
    assert other.log_z_ratio != result.log_z_ratio


def test_errors_of_chains_are_those_of_independent_runs() -> None:
    """As above, of log Z after a resampling: 100 runs."""
    nf = sampler(IdentityFlow(TWO.system), hot=None, cold=None, temperatures=[HOT, 0.55, COLD], sweeps_per_stop=2)
    scores = []
    for seed in range(100):
        result = nf.run_from(TWO.draw(400, HOT, seed=1000 + seed, ensemble_seed=seed))
        energy = (result.mean_energy - TWO.mean_energy(COLD)) / result.mean_energy_error
        scores.append(((result.log_z_ratio - EXACT_LOG_Z) / result.log_z_ratio_error, energy))
    spread = np.std(scores, axis=0)
    assert ((spread > 0.75) & (spread < 1.3)).all(), spread


def test_identity_with_relaxation_is_population_annealing() -> None:
    """The same parents, sweeps and configurations; log Z up to the quantum of the energies that Monte Carlo keeps."""
    mc = gnf.MonteCarlo(cases.small().system, threads=1)
    start = cases.small(replicas=40, temperature=0.6)
    options = {"explorer": mc, "sweeps_per_step": 5, "equilibration_sweeps": 0, "adapt_move_size": False}
    pa = [
        gnf.PopulationAnnealing(mc.system, temperatures=[0.6, 0.58, 0.56][: k + 2], **options).run(start)  # type: ignore[arg-type]
        for k in range(2)
    ]
    base = start.copy()
    mc.run(base, 5)
    nf = gnf.FlowSampler(mc.system, IdentityFlow(mc.system), mc, temperatures=[0.6, 0.58, 0.56], sweeps_per_stop=5)
    result = nf.run_from(base)
    np.testing.assert_array_equal(result.ensemble.positions, pa[0].ensemble.positions)
    np.testing.assert_array_equal(result.ensemble.species, pa[0].ensemble.species)
    assert result.log_z_ratio == pytest.approx(pa[1].log_z[-1], abs=1e-8)
    assert result.stops[0].log_z == pytest.approx(pa[0].log_z[-1], abs=1e-8)


# ---------------------------------------------------------------------------------------------------------------- reference


@pytest.mark.parametrize("temperatures", [[HOT, COLD], [HOT, 0.55, COLD]], ids=["one leg", "two legs"])
def test_forward_reverse_and_bar_agree(exact_hot: gnf.Ensemble, temperatures: list[float]) -> None:
    nf = sampler(pair_flow(), hot=None, cold=None, temperatures=temperatures)
    result = nf.run_from(exact_hot, reference=TWO.draw(20_000, COLD, seed=2))
    check = result.check
    assert check is not None
    for name in ("forward", "reverse", "bar"):
        miss = abs(getattr(check, f"log_z_{name}") - EXACT_LOG_Z)
        assert miss < STATISTICAL * getattr(check, f"log_z_{name}_error"), name
    assert check.log_z_bar_error <= 1.02 * min(check.log_z_forward_error, check.log_z_reverse_error)
    assert check.ess_forward == pytest.approx(check.ess_reverse, abs=0.05)
    assert check.reversibility_error < 1e-6
    assert check.integration_error < 0.01
    assert "BAR" in str(result)
    leaky = sampler(pair_flow(kind=LeakyFlow)).run_from(exact_hot, reference=TWO.draw(20_000, COLD, seed=2)).check
    assert leaky is not None
    apart = abs(leaky.log_z_forward - leaky.log_z_reverse)
    assert apart > STATISTICAL * math.hypot(leaky.log_z_forward_error, leaky.log_z_reverse_error)


def test_forward_ess_sees_what_the_flow_misses() -> None:
    """Hot samples without any of the bound pairs: reverse weights look even, forward ones do not."""
    hot, cold = TWO.draw(4000, 5.0, seed=3), TWO.draw(4000, 0.25, seed=4)
    far = hot[TWO.distance(hot.positions) > 1.6]
    result = sampler(IdentityFlow(TWO.system), hot=5.0, cold=0.25).run_from(far, reference=cold)
    assert result.check is not None
    assert result.ess > 0.9
    assert result.check.ess_forward < 0.3


# -------------------------------------------------------------------------------------------------------------- integration


def test_coarse_steps_are_refined(exact_hot: gnf.Ensemble) -> None:
    """From 1 step on, n doubles until n and 2n agree; the result is near that of a fine integration."""
    flow = pair_flow(1.2)
    some = exact_hot[:1500]
    rough = sampler(flow, steps=1, tolerance=1e-3).run_from(some)
    assert rough.steps > 2
    assert rough.integration_error <= 1e-3
    fine = sampler(flow, steps=256, tolerance=1e-3).run_from(some)
    relevant = fine.log_weights > fine.log_weights.max() - 15.0
    assert np.abs(rough.log_weights - fine.log_weights)[relevant].max() < 5e-3
    stop = rough.stops[0]
    assert stop.checked == 256 + 64 - np.intersect1d(_subset(1500), np.argsort(-rough.log_weights, kind="stable")[:64]).size


def _subset(size: int) -> Array:
    return np.linspace(0, size - 1, 256).astype(np.int64)


def test_heavy_samples_are_checked_too(exact_hot: gnf.Ensemble) -> None:
    """A batch whose evenly spread samples need few steps, but not its heaviest one."""
    flow = pair_flow(1.2)
    far = exact_hot[TWO.distance(exact_hot.positions) > 2.695]
    start = batch_of(exact_hot[:5000])
    log_w = [carry(TWO.system, flow, start, 1.0 / HOT, 1.0 / COLD, replace(UNCHECKED, steps=n)).log_weights for n in (1, 2)]
    heavy = np.flatnonzero((np.abs(log_w[0] - log_w[1]) > 0.01) & (log_w[0] > 0.2))[:1]
    assert heavy.size == 1
    positions = np.concatenate([far.positions[:300], exact_hot.positions[heavy], far.positions[300:340]])
    base = gnf.Ensemble.from_arrays(TWO.system, positions, temperature=HOT, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gnf.DominatedWeightsWarning)
        easy = sampler(flow, steps=1, tolerance=1e-3, check_samples=2).run_from(far)
        found = sampler(flow, steps=1, tolerance=1e-3, check_samples=2).run_from(base)
    assert easy.steps < found.steps


def test_too_coarse_is_refused(exact_hot: gnf.Ensemble) -> None:
    with pytest.raises(FlowError, match=r"2 and 4 steps agree on to 1e-07 from temperature 0.8 to 0.4, got a difference of "):
        sampler(pair_flow(1.2), steps=1, tolerance=1e-7, max_steps=2).run_from(exact_hot[:100])


def test_a_flow_that_is_not_finite_is_refused(exact_hot: gnf.Ensemble) -> None:
    with pytest.raises(
        FlowError, match=r"finite positions and Jacobians, got others for 1 of 100 .* number 0 the first"
    ) as error:
        sampler(BrokenFlow(TWO.system, HOT, COLD)).run_from(exact_hot[:100])
    assert error.value.replicas == (0,)


def test_results_do_not_depend_on_the_number_of_samples_carried_at_once(
    exact_hot: gnf.Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sampler(pair_flow()).run_from(exact_hot[:500])
    monkeypatch.setattr("glassnf.samplers._carry._BLOCK", 64)
    pieces = sampler(pair_flow()).run_from(exact_hot[:500])
    np.testing.assert_array_equal(whole.log_weights, pieces.log_weights)
    assert whole.ensemble.identical_to(pieces.ensemble)


# ----------------------------------------------------------------------------------------------------- warnings and progress


def test_dominated_weights_warn_with_numbers() -> None:
    base = TWO.draw(200, 3.0, seed=8)
    nf = sampler(IdentityFlow(TWO.system), hot=3.0, cold=0.06)
    with pytest.warns(
        gnf.DominatedWeightsWarning, match=r"temperature 0.06 one of 200 samples has \d\d\.\d% of the weight, .*k-hat"
    ):
        result = nf.run_from(base)
    assert result.largest_weight > 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler(IdentityFlow(TWO.system), hot=3.0, cold=2.0).run_from(base)


def test_averages_of_observables(exact_hot: gnf.Ensemble) -> None:
    result = sampler(pair_flow()).run_from(exact_hot)
    value, error = result.average(result.ensemble.energy)
    assert value == pytest.approx(result.mean_energy, rel=FP64_REDUCTION)
    assert error == pytest.approx(result.mean_energy_error, rel=1e-9)
    edges, probabilities = TWO.bins(COLD)
    near, spread = result.average(1.0 * (TWO.distance(result.ensemble.positions) < edges[6]))
    assert abs(near - probabilities[:7].sum()) < STATISTICAL * spread


def test_progress_and_ctrl_c() -> None:
    heard: list[tuple[int, int, str]] = []
    nf = sampler(pair_flow(), replicas=4, spacing=2, equilibration_sweeps=150)
    nf.run(samples=2100, seed=1, progress=lambda done, total, info: heard.append((done, total, info["stage"])))
    done = [entry[0] for entry in heard]
    assert done == sorted(done)
    assert heard[-1][0] == heard[-1][1]
    assert {entry[2] for entry in heard} == {"equilibration", "base samples", "flow"}

    def stop(done: int, total: int, info: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nf.run(samples=2100, seed=1, progress=stop)


def test_a_native_flow_on_a_liquid(tmp_path: Path) -> None:
    """The same bits for any number of threads, and from a file; steps are doubled until the weights stand."""
    flow = weak_flow()
    system = flow.system
    flow.save(tmp_path / "weak.safetensors")
    loaded = gnf.flows.load(tmp_path / "weak.safetensors", system)
    made = [
        gnf.FlowSampler(
            system,
            one,
            gnf.MonteCarlo(system, threads=threads),
            cold=0.75,
            replicas=6,
            spacing=5,
            equilibration_sweeps=200,
            steps=1,
            threads=threads,
        ).run(samples=60, seed=5)
        for one, threads in ((flow, 1), (loaded, 2))
    ]
    np.testing.assert_array_equal(made[0].log_weights, made[1].log_weights)
    assert made[0].ensemble.identical_to(made[1].ensemble)
    assert 0.0 < made[0].integration_error < 0.01
    assert made[0].provenance["flow"] == flow.describe()
    assert (made[0].log_weights != -(1 / 0.75 - 1 / 0.8) * made[0].energy_before).all()


def test_base_samples_on_any_device(device: str) -> None:
    """Wherever the base sampler works, its samples come in host memory, with energies of their own."""
    system = gnf.systems.ka2d(43)
    made = gnf.harvest(
        gnf.MonteCarlo(system, threads=1),
        0.9,
        samples=12,
        seed=4,
        replicas=4,
        spacing=3,
        equilibration_sweeps=60,
        device=device,
    )
    assert made.ensemble.device == "cpu"
    np.testing.assert_array_equal(made.ensemble.energy, gnf.energy(system, made.ensemble.positions, made.ensemble.species))
    same = gnf.harvest(gnf.MonteCarlo(system, threads=1), 0.9, 12, 4, replicas=4, spacing=3, equilibration_sweeps=60)
    np.testing.assert_array_equal(made.ensemble.species, same.ensemble.species)
    nf = gnf.FlowSampler(system, IdentityFlow(system), temperatures=[0.9, 0.88, 0.86], sweeps_per_stop=2)
    result = nf.run_from(made.ensemble, made.groups, device=device)
    assert result.ensemble.device == "cpu"
    np.testing.assert_allclose(result.log_z_ratio, nf.run_from(made.ensemble, made.groups).log_z_ratio, rtol=1e-9)
