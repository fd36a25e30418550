"""Monte Carlo with bad input: every argument and field of the ensemble is checked before any work, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cases
import glassnf as gnf
from cases import assert_identical, small

KA2D = gnf.systems.ka2d(43)
ONE_SPECIES = cases.mixture(cases.potential("lj_smooth", 1), 5, np.full(2, 6.0))
NOT_NUMBERS = st.one_of(st.none(), st.text(max_size=3), st.booleans(), st.lists(st.floats(), max_size=2), st.complex_numbers())
NOT_INTEGERS = st.one_of(st.text(max_size=3), st.booleans(), st.floats(), st.lists(st.integers(), max_size=2))


def refused(call: Callable[[], Any], name: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value).startswith(f"{name}:"), str(caught.value)
    assert "expected" in str(caught.value)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(value=st.one_of(NOT_NUMBERS, st.floats(max_value=-1e-12), st.floats(min_value=1.0 + 1e-12), st.just(float("nan"))))
def test_bad_probabilities(value: Any) -> None:
    refused(lambda: gnf.MonteCarlo(KA2D, swap_probability=value), "swap_probability")
    refused(lambda: gnf.MonteCarlo(KA2D, target_acceptance=value), "target_acceptance")


@settings(deadline=None, max_examples=60, derandomize=True)
@given(value=st.one_of(NOT_INTEGERS, st.integers(max_value=-1), st.just(2**70)))
def test_bad_counts_of_sweeps(value: Any) -> None:
    ensemble = small(replicas=1)
    before = ensemble.copy()
    mc = gnf.MonteCarlo(KA2D)
    refused(lambda: mc.run(ensemble, value), "sweeps")
    refused(lambda: mc.equilibrate(ensemble, value), "sweeps")
    assert_identical(ensemble, before)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(value=st.one_of(NOT_INTEGERS, st.integers(max_value=0)))
def test_bad_record_every(value: Any) -> None:
    ensemble = small(replicas=1)
    before = ensemble.copy()
    refused(lambda: gnf.MonteCarlo(KA2D).run(ensemble, 10, record_every=value), "record_every")
    assert_identical(ensemble, before)


@pytest.mark.parametrize(
    "value",
    [[0, 1], [1, 1], [2, 1], [11], [-1], [1.0, 2.0], [True], ["1"], 5, [[1, 2]], [np.nan], "abc", [2**70]],
    ids=str,
)
def test_bad_record_at(value: Any) -> None:
    ensemble = small(replicas=1)
    before = ensemble.copy()
    refused(lambda: gnf.MonteCarlo(KA2D).run(ensemble, 10, record_at=value), "record_at")
    refused(lambda: gnf.MonteCarlo(KA2D).run(ensemble, 10, record_at=[1], record_every=1), "record_at")
    refused(lambda: gnf.MonteCarlo(KA2D).run(ensemble, 0, record_at=[1]), "record_at")
    assert_identical(ensemble, before)


@pytest.mark.parametrize(
    "weights",
    [
        np.ones((2, 2)),
        np.ones(3),
        [[0, 1, 2], [1, 0, 3], [2, 4, 0]],
        [[0, -1, 1], [-1, 0, 1], [1, 1, 0]],
        np.full((3, 3), np.nan),
        np.full((3, 3), np.inf),
        np.zeros((3, 3)),
        np.eye(3),
        "uniform",
        [[True] * 3] * 3,
        [[0, 1], [1]],
    ],
    ids=range(11),
)
def test_bad_swap_weights(weights: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^swap_(weights|probability): expected"):
        gnf.MonteCarlo(KA2D, swap_weights=weights)


def test_other_bad_arguments() -> None:
    mc = gnf.MonteCarlo(KA2D)
    ensemble = small(replicas=1)
    refused(lambda: gnf.MonteCarlo("ka2d"), "system")  # type: ignore[arg-type]
    refused(lambda: gnf.MonteCarlo(ONE_SPECIES), "swap_probability")
    refused(lambda: gnf.MonteCarlo(KA2D, target_acceptance=0.0), "target_acceptance")
    refused(lambda: gnf.MonteCarlo(KA2D, target_acceptance=1.0), "target_acceptance")
    for threads in (0, -1, 1.5, True, "2", 10**6):
        refused(lambda threads=threads: gnf.MonteCarlo(KA2D, threads=threads), "threads")
    refused(lambda: mc.run(None, 1), "ensemble")  # type: ignore[arg-type]
    refused(lambda: mc.run(small(n=44, replicas=1), 1), "ensemble")
    refused(lambda: mc.equilibrate(small(n=44, replicas=1), 1), "ensemble")
    for flag in (1, "yes", None):
        refused(lambda flag=flag: mc.run(ensemble, 1, record_positions=flag), "record_positions")
    refused(lambda: gnf.Ensemble.random(KA2D, 0, 1.0, 1), "replicas")
    for temperature in (0.0, -1.0, np.nan, np.inf, [1.0, 2.0], "hot"):
        refused(lambda temperature=temperature: gnf.Ensemble.random(KA2D, 1, temperature, 1), "temperature")


def test_the_environment_chooses_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSNF_THREADS", "3")
    assert gnf.MonteCarlo(KA2D).threads == 3
    for wrong in ("0", "many", "1.5", ""):
        monkeypatch.setenv("GLASSNF_THREADS", wrong)
        refused(lambda: gnf.MonteCarlo(KA2D), "GLASSNF_THREADS")


BAD_FIELDS: dict[str, list[Any]] = {
    "positions": [np.nan, np.inf, -0.1, 100.0],
    "beta": [np.nan, np.inf, -1.0],
    "energy": [np.nan, np.inf],
    "move_size": [np.nan, np.inf, 0.0, -0.1, 1e9],
    "species": [-1, 3],
    "ids": [-1, 2**40],
}


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in BAD_FIELDS.items() for value in values])
@pytest.mark.parametrize("method", ["run", "equilibrate"])
def test_bad_values_in_fields_of_the_ensemble(field: str, value: Any, method: str) -> None:
    ensemble = small()
    getattr(ensemble, field).reshape(-1)[-1] = value
    positions, step = ensemble.positions.copy(), ensemble.step
    refused(lambda: getattr(gnf.MonteCarlo(KA2D), method)(ensemble, 5), field)
    np.testing.assert_array_equal(ensemble.positions, positions)
    assert ensemble.step == step


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    field=st.sampled_from(["positions", "images", "species", "beta", "energy", "ids", "move_size", "seed", "step"]),
    value=st.one_of(NOT_NUMBERS, st.integers(-5, -1), st.just(2**80), st.just(np.zeros((2, 2))), st.just(np.zeros(0))),
)
def test_bad_fields_of_the_ensemble(field: str, value: Any) -> None:
    ensemble = small()
    setattr(ensemble, field, value)
    refused(lambda: gnf.MonteCarlo(KA2D).run(ensemble, 5), field)


def test_fields_that_kernels_cannot_read_are_made_readable() -> None:
    plain, odd = small(), small()
    odd.positions = np.asfortranarray(odd.positions)
    odd.images = np.repeat(odd.images, 2, axis=1)[:, ::2]
    odd.species = odd.species.astype(np.int64)
    odd.beta = odd.beta.tolist()  # type: ignore[assignment]
    odd.move_size = np.broadcast_to(np.float64(0.1), 3)
    mc = gnf.MonteCarlo(plain.system)
    mc.run(plain, 10)
    mc.run(odd, 10)
    assert_identical(odd, plain)


def test_log_schedule() -> None:
    schedule = gnf.log_schedule(10_000, 30)
    assert schedule[0] == 1
    assert schedule[-1] == 10_000
    assert (np.diff(schedule) > 0).all()
    assert schedule.size <= 30
    assert schedule.dtype == np.int64
    ratios = schedule[-10:] / schedule[-11:-1]
    np.testing.assert_allclose(ratios, 10_000 ** (1 / 29), rtol=0.02)
    np.testing.assert_array_equal(gnf.log_schedule(1, 5), [1])
    np.testing.assert_array_equal(gnf.log_schedule(7, 1), [7])
    np.testing.assert_array_equal(gnf.log_schedule(3, 100), [1, 2, 3])
    for arguments in ((0, 3), (3, 0), (-1, 2)):
        with pytest.raises(ValueError, match="expected a positive integer"):
            gnf.log_schedule(*arguments)
