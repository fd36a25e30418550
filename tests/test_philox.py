"""The counter-based random numbers: known answers, the layout of counters, and their use by other streams."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from glassnf import _core
from glassnf.certify.statistics import chi_square_p
from tolerances import FALSE_ALARM, STATISTICAL

# From the kat_vectors file of Random123.
KNOWN = [
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
STREAMS = {
    "MONTE_CARLO_TRIAL": 1,
    "RANDOM_START": 2,
    "RANDOM_SPECIES": 3,
    "VELOCITIES": 4,
    "THERMOSTAT": 5,
    "REPLICA_EXCHANGE": 6,
    "RESAMPLING": 7,
    "PROPOSAL": 8,
    "STATISTICS": 9,
}

words = st.integers(0, 2**32 - 1)
seeds = st.integers(0, 2**64 - 1)


def uniform(seed: int, stream: int, step: int, replica: int, count: int) -> np.ndarray:
    values = np.full(count + 1, -1.0)
    _core.uniform(seed, _core.Stream(stream), step, replica, count, values.ctypes.data)
    assert values[count] == -1.0
    return values[:count]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter: tuple[int, int, int, int], key: int, expected: tuple[int, ...]) -> None:
    assert tuple(_core.philox(list(counter), key)) == expected
    assert replay.philox4x32_10(counter, key) == expected


@settings(deadline=None, max_examples=200, derandomize=True)
@given(counter=st.tuples(words, words, words, words), key=seeds)
def test_any_block_is_that_of_the_paper(counter: tuple[int, int, int, int], key: int) -> None:
    assert tuple(_core.philox(list(counter), key)) == replay.philox4x32_10(counter, key)


def test_streams_keep_their_numbers() -> None:
    """A stream that changes its number makes old runs irreproducible."""
    found = {name: int(value) for name, value in _core.Stream.__members__.items()}
    assert {name: found.get(name) for name in STREAMS} == STREAMS
    assert len(set(found.values())) == len(found)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(seed=seeds, step=st.integers(0, 2**44 - 1), replica=st.integers(0, 2**40 - 1), move=words)
def test_words_of_a_trial(seed: int, step: int, replica: int, move: int) -> None:
    pick, kind, pair, second, direction, threshold = _core.trial(seed, step, replica, move)
    expected = replay.trial(seed, step, replica, move)
    assert (pick, kind, pair, second) == (expected.pick, expected.kind, expected.pair, expected.second)
    assert tuple(direction) == expected.step
    assert all(-1.0 < x < 1.0 for x in direction)
    assert threshold >= 0.0
    assert threshold == pytest.approx(expected.threshold, rel=5e-16)


@pytest.mark.parametrize("field", ["step", "replica", "move", "seed"])
def test_high_and_low_parts_of_every_counter_matter(field: str) -> None:
    bits = {"step": 44, "replica": 40, "move": 32, "seed": 64}[field]
    base = {"seed": 7, "step": 5, "replica": 3, "move": 1}
    seen = {tuple(_core.trial(*base.values())[4])}
    for bit in range(bits):
        seen.add(tuple(_core.trial(*{**base, field: base[field] ^ (1 << bit)}.values())[4]))
    assert len(seen) == bits + 1


def test_thresholds_are_exponential() -> None:
    """-log u: Kolmogorov-Smirnov against 1 - exp(-x), false alarm 1e-5; and the fraction above 1, at 5 sigma."""
    scipy_stats = pytest.importorskip("scipy.stats")
    values = np.array([_core.trial(11, step, 0, move)[5] for step in range(100) for move in range(300)])
    assert scipy_stats.kstest(values, "expon").pvalue > FALSE_ALARM
    p = math.exp(-1.0)
    assert abs((values > 1.0).mean() - p) < STATISTICAL * math.sqrt(p * (1 - p) / values.size)


@pytest.mark.parametrize(("stream", "step", "replica"), [(2, 0, 0), (3, 0, 2**39 + 5), (9, 2**43 + 2**33 + 1, 7)])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 8])
def test_uniform_numbers(stream: int, step: int, replica: int, count: int) -> None:
    values = uniform(2**63 + 5, stream, step, replica, count)
    expected = []
    for move in range((count + 1) // 2):
        w = replay.block(2**63 + 5, stream, step, replica, move, 0)
        expected += [replay.uniform(w[0], w[1]), replay.uniform(w[2], w[3])]
    np.testing.assert_array_equal(values, expected[:count])


def test_uniform_numbers_are_uniform() -> None:
    """Chi-square of 100 bins, and of 10 x 10 bins of neighbours; false alarm 1e-5 each."""
    values = uniform(1, 2, 0, 0, 200_000)
    assert values.min() > 0.0
    assert values.max() <= 1.0
    bins = np.minimum((values * 100).astype(int), 99)
    assert chi_square_p(np.bincount(bins, minlength=100), np.full(100, values.size / 100)) > FALSE_ALARM
    tens = bins // 10
    pairs = np.bincount(tens[::2] * 10 + tens[1::2], minlength=100)
    assert chi_square_p(pairs, np.full(100, values.size / 200)) > FALSE_ALARM


def test_streams_and_replicas_are_independent() -> None:
    """Correlation of 20,000 numbers of neighbouring keys, at 5 sigma."""
    n = 20_000
    series = [
        uniform(1, 2, 0, 0, n),
        uniform(1, 3, 0, 0, n),
        uniform(1, 2, 1, 0, n),
        uniform(1, 2, 0, 1, n),
        uniform(2, 2, 0, 0, n),
    ]
    correlation = np.corrcoef(series) - np.eye(len(series))
    assert np.abs(correlation).max() < STATISTICAL / math.sqrt(n)


def test_limits() -> None:
    values = np.zeros(2)
    for step, replica, message in ((2**44, 0, "step: expected less than"), (0, 2**40, "id: expected less than")):
        with pytest.raises(ValueError, match=f"^{message}"):
            _core.uniform(1, _core.Stream.RANDOM_START, step, replica, 2, values.ctypes.data)
    with pytest.raises(ValueError, match="^count: expected"):
        _core.uniform(1, _core.Stream.RANDOM_START, 0, 0, -1, values.ctypes.data)
