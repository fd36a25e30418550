"""What FlowSampler and harvest refuse, with which words; nothing has moved then."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glassnf as gnf
from flows_for_tests import PairFlow
from glassnf.certify.pairs import TwoParticles
from glassnf.flows import IdentityFlow

TWO = TwoParticles()
OTHER = gnf.systems.ka2d(43)
FLOW = PairFlow(TWO.system, 0.8, 0.4, 0.1)


def build(**options: Any) -> gnf.FlowSampler:
    return gnf.FlowSampler(TWO.system, **({"flow": FLOW} | options))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"flow": None}, TypeError, "flow: expected a flow such as glassnf.flows.IdentityFlow, got NoneType"),
        ({"flow": IdentityFlow(OTHER)}, ValueError, r"flow: expected one of <System 'pair.*, got one of <System 'ka2d"),
        ({"hot": 0.9}, ValueError, "hot: expected a temperature from 0.4 to 0.8, the range of the flow, got 0.9"),
        ({"cold": 0.39}, ValueError, "cold: expected a temperature from 0.4 to 0.8, the range of the flow, got 0.39"),
        ({"hot": 0.5, "cold": 0.6}, ValueError, "cold: expected a temperature below hot = 0.5, got 0.6"),
        ({"hot": -1.0}, ValueError, "hot: expected a positive finite number, got -1.0"),
        ({"hot": "warm"}, TypeError, "hot: expected a positive finite number, got 'warm'"),
        ({"temperatures": [0.8]}, ValueError, "temperatures: expected at least 2, got 1"),
        ({"temperatures": [0.8, 0.5, 0.6]}, ValueError, "temperatures: expected falling numbers, got"),
        ({"temperatures": [0.8, 0.3]}, ValueError, "temperatures: expected a temperature from 0.4 to 0.8, .*, got 0.3"),
        ({"temperatures": [0.8, 0.5], "hot": 0.8}, ValueError, "hot: expected None beside a list of temperatures, got 0.8"),
        ({"temperatures": [0.8, 0.5], "cold": 0.5}, ValueError, "cold: expected None beside a list of temperatures, got 0.5"),
        ({"flow": IdentityFlow(TWO.system)}, TypeError, "hot: expected a temperature, for a flow without a range of its own"),
        ({"flow": IdentityFlow(TWO.system), "hot": 1.0}, TypeError, "cold: expected a temperature, for a flow without"),
        ({"base": 3}, TypeError, "base: expected a sampler such as MonteCarlo, got int"),
        ({"base": gnf.MonteCarlo(OTHER)}, ValueError, "base: expected one of <System 'pair"),
        ({"explorer": gnf.MonteCarlo(OTHER)}, ValueError, "explorer: expected one of <System 'pair"),
        ({"sweeps_per_stop": -1}, ValueError, "sweeps_per_stop: expected a non-negative integer, got -1"),
        ({"replicas": 1}, ValueError, "replicas: expected an integer of at least 2, got 1"),
        ({"spacing": 0}, ValueError, "spacing: expected a positive integer, got 0"),
        ({"equilibration_sweeps": 1.5}, TypeError, "equilibration_sweeps: expected a non-negative integer, got 1.5"),
        ({"steps": 0}, ValueError, "steps: expected an integer from 1 to 1024, got 0"),
        ({"max_steps": 0}, ValueError, "max_steps: expected a positive integer, got 0"),
        ({"tolerance": float("nan")}, ValueError, "tolerance: expected a positive finite number, got nan"),
        ({"check_samples": 0}, ValueError, "check_samples: expected a positive integer, got 0"),
    ],
)
def test_bad_settings(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(**options)


def test_the_system_must_be_one() -> None:
    with pytest.raises(TypeError, match="system: expected a System, got str"):
        gnf.FlowSampler("ka2d", FLOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"samples": 1, "seed": 1}, ValueError, "samples: expected an integer from 2 to 16777216, got 1"),
        ({"samples": 2.0, "seed": 1}, TypeError, "samples: expected an integer from 2 to 16777216, got 2.0"),
        ({"samples": 10}, TypeError, "seed: expected an integer, got None"),
        ({"samples": 10, "seed": -1}, ValueError, "seed: expected an integer from 0 to"),
        ({"samples": 10, "seed": 1, "device": "gpu"}, ValueError, "device: expected"),
        ({"samples": 10, "seed": 1, "reference": 5}, TypeError, "reference: expected an Ensemble, got int"),
    ],
)
def test_bad_runs(options: dict[str, Any], error: type[Exception], message: str) -> None:
    calls = len(FLOW.calls)
    with pytest.raises(error, match=message):
        build().run(**options)
    assert len(FLOW.calls) == calls


def test_bad_base_samples() -> None:
    nf = build()
    hot, cold = TWO.draw(6, 0.8, seed=1), TWO.draw(6, 0.4, seed=1)
    for base, groups, error, message in (
        (3, None, TypeError, "base: expected an Ensemble, got int"),
        (cold, None, ValueError, "base: expected samples of temperature 0.8, got one of 0.4"),
        (hot[:1], None, ValueError, "base: expected 2 to 16777216 samples, got 1"),
        (gnf.Ensemble.random(OTHER, 2, 0.8, seed=1), None, ValueError, "base: expected one of <System 'pair"),
        (hot, [0, 1], ValueError, r"groups: expected shape \(6,\), got shape \(2,\)"),
        (hot, [0.0] * 6, TypeError, "groups: expected an array of integers, got type float64"),
    ):
        with pytest.raises(error, match=message):
            nf.run_from(base, groups)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reference: expected samples of temperature 0.4, got one of 0.8"):
        nf.run_from(hot, reference=hot)
    with pytest.raises(ValueError, match=r"reference_groups: expected shape \(6,\), got shape \(1,\)"):
        nf.run_from(hot, reference=cold, reference_groups=[1])
    broken = hot.copy()
    broken.positions[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="positions: expected finite numbers, got nan"):
        nf.run_from(broken)


def test_energies_of_base_samples_are_computed_anew() -> None:
    stale = TWO.draw(20, 0.8, seed=1)
    right = build().run_from(stale)
    stale.energy[:] = 0.0
    assert build().run_from(stale).mean_energy == right.mean_energy
    assert (stale.energy == 0.0).all()  # what was given is left as it is


def test_a_relaxed_chain_has_no_map_to_check() -> None:
    nf = build(temperatures=[0.8, 0.6, 0.4], sweeps_per_stop=1)
    hot, cold = TWO.draw(30, 0.8, seed=1), TWO.draw(30, 0.4, seed=1)
    with pytest.raises(
        ValueError, match=r"reference: expected none for a sampler that relaxes at stops \(sweeps_per_stop = 1\)"
    ):
        nf.run_from(hot, reference=cold)
    result = build().run_from(hot)
    with pytest.raises(ValueError, match="result: expected one of FlowSampler"):
        build(cold=0.5).check_against(result, cold)
    with pytest.raises(TypeError, match="result: expected a FlowResult, got None"):
        build().check_against(None, cold)  # type: ignore[arg-type]


def test_groups_may_have_any_numbers() -> None:
    hot = TWO.draw(40, 0.8, seed=1)
    labels = np.repeat([7, -3, 100, 12], 10)
    result = build().run_from(hot, labels)
    assert result.replicas == 4
    np.testing.assert_array_equal(result.groups, np.unique(labels, return_inverse=True)[1])
    other = build().run_from(hot, np.repeat([0, 1, 2, 3], 10))
    assert other.mean_energy_error == pytest.approx(result.mean_energy_error, rel=1e-12)


def test_bad_harvests() -> None:
    mc = gnf.MonteCarlo(OTHER)
    for options, error, message in (
        ({"temperature": 0.0}, ValueError, "temperature: expected a positive finite number, got 0.0"),
        ({"samples": 1}, ValueError, "samples: expected an integer of at least 2, got 1"),
        ({"explorer": None}, TypeError, "explorer: expected a sampler such as MonteCarlo, got NoneType"),
        ({"replicas": 0}, ValueError, "replicas: expected an integer of at least 2, got 0"),
        ({"spacing": -1}, ValueError, "spacing: expected a positive integer, got -1"),
    ):
        settings_: dict[str, Any] = {"explorer": mc, "temperature": 0.5, "samples": 10, "seed": 1}
        with pytest.raises(error, match=message):
            gnf.harvest(**(settings_ | options))


@pytest.mark.filterwarnings("ignore::glassnf.DominatedWeightsWarning")  # two samples are not many
@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 40),
    replicas=st.integers(2, 12),
    spacing=st.integers(1, 4),
    cold=st.floats(0.41, 0.79),
    seed=st.integers(0, 2**64 - 1),
)
def test_any_good_settings(count: int, replicas: int, spacing: int, cold: float, seed: int) -> None:
    """Whatever the numbers: as many samples as asked for, weights of sum 1, the cold temperature, finite averages."""
    nf = build(cold=cold, replicas=replicas, spacing=spacing, equilibration_sweeps=0)
    result = nf.run(samples=count, seed=seed)
    assert result.samples == count == result.ensemble.replicas
    assert result.replicas == min(count, replicas)
    assert result.weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert result.ensemble.beta.tolist() == [1.0 / cold] * count
    assert np.isfinite([result.mean_energy, result.mean_energy_error, result.specific_heat, result.log_z_ratio]).all()
    assert 1.0 / count <= result.ess * (1.0 + 1e-9)
    result.ensemble.validate()
    assert nf.run(samples=count, seed=seed).ensemble.identical_to(result.ensemble)
    assert "Flow sampler" in str(result)


def test_import_stays_light() -> None:
    heavy = ("torch", "scipy", "pymbar", "safetensors")
    code = f"import glassnf, sys; glassnf.FlowSampler; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
