"""The Monte Carlo algorithm once more in plain Python: slow, all pairs, energies from the NumPy reference.

Philox is written here from the paper, and the meaning of its words from the documentation of the package, so that a replay
shares nothing with the kernels but the description of the algorithm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnf.certify import reference
from glassnf.systems import System

Array = npt.NDArray[Any]

WORD = 2**32 - 1
MONTE_CARLO_STREAM = 1


def philox4x32_10(counter: tuple[int, int, int, int], key: int) -> tuple[int, int, int, int]:
    """Return one block of Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC11)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key & WORD, key >> 32
    for _ in range(10):
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & WORD, (p0 >> 32) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


def block(seed: int, stream: int, step: int, replica: int, move: int, draw: int) -> tuple[int, int, int, int]:
    """Return the four words of a named place in the random numbers."""
    last = stream << 24 | draw << 20 | (step >> 32) << 8 | replica >> 32
    return philox4x32_10((move, step & WORD, replica & WORD, last), seed)


def uniform(high: int, low: int) -> float:
    """Return the number in (0, 1] that two words stand for."""
    return 1.0 - ((high << 20) | (low >> 12)) * 2.0**-52


@dataclass
class Trial:
    """The random numbers of one trial."""

    pick: int
    kind: int
    pair: int
    second: int
    step: tuple[float, float, float]
    threshold: float


def trial(seed: int, step: int, replica: int, move: int) -> Trial:
    """Return the random numbers of one trial."""
    w = block(seed, MONTE_CARLO_STREAM, step, replica, move, 0) + block(seed, MONTE_CARLO_STREAM, step, replica, move, 1)
    x, y, z = ((w[k] + 0.5) / 2.0**31 - 1.0 for k in (2, 3, 4))
    return Trial(w[0], w[1], w[2], w[5], (x, y, z), -math.log(uniform(w[6], w[7])))


@dataclass
class Replay:
    """One replica, advanced sweep by sweep in place."""

    system: System
    positions: Array  # (N, d), wrapped
    species: Array  # (N,)
    beta: float
    move_size: float
    seed: int
    replica: int
    swap_probability: float
    swap_weights: Array | None = None
    images: Array = field(init=False)
    displacements: list[int] = field(default_factory=lambda: [0, 0])  # attempts, accepts
    swap_attempts: Array = field(init=False)
    swap_accepts: Array = field(init=False)
    ambiguous: bool = False  # whether a decision was so near to a tie that rounding may decide it

    def __post_init__(self) -> None:
        """Copy the state and number the pairs of species."""
        self.positions, self.species = self.positions.copy(), self.species.copy()
        self.images = np.zeros(self.positions.shape, dtype=np.int64)
        s = self.system.n_species
        self.swap_attempts, self.swap_accepts = np.zeros((s, s), dtype=np.int64), np.zeros((s, s), dtype=np.int64)
        counts = np.array(self.system.composition, dtype=np.float64)
        weights = np.outer(counts, counts) if self.swap_weights is None else self.swap_weights
        pairs = [(a, b) for a in range(s) for b in range(a + 1, s)]
        cumulative = np.cumsum([weights[a, b] if counts[a] * counts[b] else 0.0 for a, b in pairs])
        self.pairs = [
            (a, b, round(total / cumulative[-1] * 2.0**32)) for (a, b), total in zip(pairs, cumulative, strict=True) if total
        ]
        self.parameters = reference.parameters(self.system)

    def row(self, particle: int, x: Array, kinds: Array) -> Array:
        """Return the energies (N,) of a particle at x with all others, zero with itself."""
        p = self.parameters
        delta = x - self.positions
        delta -= p["box"] * np.rint(delta / p["box"])
        r = np.sqrt((delta * delta).sum(axis=1))
        a, b = kinds[particle], kinds
        energies, _ = reference.pair(r, p["kind"], p["sigma"][a, b], p["epsilon"][a, b], p["cutoff"][a, b], p["exponent"])
        energies[particle] = 0.0
        return energies

    def accepts(self, rows: list[tuple[float, Array]], threshold: float) -> bool:
        """Decide as Metropolis did on the sum of signed rows of energies, and note a decision that rounding may turn."""
        change = math.fsum(sign * term for sign, row in rows for term in row)
        size = math.fsum(abs(term) for _, row in rows for term in row)
        if abs(self.beta * change - threshold) < self.beta * (1e-10 + 1e-13 * size) + 1e-14 * threshold:
            self.ambiguous = True
        return self.beta * change <= threshold

    def energy(self) -> float:
        """Return the potential energy."""
        rows = [self.row(i, self.positions[i], self.species) for i in range(self.system.n)]
        return 0.5 * math.fsum(term for row in rows for term in row)

    def sweep(self, step: int) -> None:
        """Do N trials."""
        lists = [list(np.flatnonzero(self.species == a)) for a in range(self.system.n_species)]
        for move in range(self.system.n):
            words = trial(self.seed, step, self.replica, move)
            if words.kind < round(self.swap_probability * 2.0**32):
                self.swap(words, lists)
            else:
                self.displace(words)

    def displace(self, words: Trial) -> None:
        """Try one displacement."""
        particle = words.pick * self.system.n >> 32
        d, box = self.system.dimension, self.system.box
        x = self.positions[particle] + self.move_size * np.array(words.step[:d])
        images = np.zeros(d, dtype=np.int64)
        for k in range(d):
            if x[k] < 0.0:
                x[k] += box[k]
                images[k] -= 1
            if x[k] >= box[k]:
                x[k] -= box[k]
                images[k] += 1
        new = self.row(particle, x, self.species)
        old = self.row(particle, self.positions[particle], self.species)
        self.displacements[0] += 1
        if self.accepts([(1.0, new), (-1.0, old)], words.threshold):
            self.displacements[1] += 1
            self.positions[particle] = x
            self.images[particle] += images

    def swap(self, words: Trial, lists: list[list[int]]) -> None:
        """Try to exchange the species of two particles."""
        a, b = next((a, b) for a, b, threshold in self.pairs if words.pair < threshold)
        at_a, at_b = words.pick * len(lists[a]) >> 32, words.second * len(lists[b]) >> 32
        i, j = lists[a][at_a], lists[b][at_b]
        exchanged = self.species.copy()
        exchanged[i], exchanged[j] = b, a
        rows = []
        for kinds, sign in ((exchanged, 1.0), (self.species, -1.0)):
            row_i, row_j = self.row(i, self.positions[i], kinds), self.row(j, self.positions[j], kinds)
            rows += [(sign, row_i), (sign, row_j)]
        self.swap_attempts[a, b] += 1
        self.swap_attempts[b, a] += 1
        if self.accepts(rows, words.threshold):
            self.swap_accepts[a, b] += 1
            self.swap_accepts[b, a] += 1
            self.species = exchanged
            lists[a][at_a], lists[b][at_b] = j, i
