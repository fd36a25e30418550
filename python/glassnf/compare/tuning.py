"""Settings of an algorithm, chosen by measurement: successive halving of its candidates at an equal share of the time.

Every algorithm gets the same time for tuning, however many candidates it has. All of them share the first half of it equally,
the better half of them the next part, and so on, for at most `MOST_ROUNDS` rounds (Jamieson and Talwalkar, AISTATS 2016;
Karnin, Koren and Somekh, ICML 2013). A candidate goes on in a later round where it stood, so that what remains is
tried for longer and longer. All candidates of an algorithm begin at the same configurations and with the same seed, which are
none of the comparison, so that they differ in nothing but their settings.

The score of a candidate is its cost times the root-mean-square errors of <U>/N and of C_v over the runs, against the reference,
at the largest cost that all candidates of the round have reached (between two budgets the errors are interpolated in
logarithms): in the statistical regime errors fall as the root of the cost, and the score does not depend on how long the trial
was; far from equilibrium the errors at equal cost decide. The lowest score wins; of equal ones the candidate that is first in
the list. With K runs a score is uncertain by about 1 / sqrt(K), so that settings within some 20% of the best are found, not
the best itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .. import _check
from .algorithms import BLOCK, Algorithm, AlgorithmSpec, Cost, Estimate, LearningAlgorithm, Progress, RunOptions

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..systems import System
    from .reference import Reference

__all__ = ["MOST_CANDIDATES", "MOST_ROUNDS", "Trial", "Tuning", "tune"]

MOST_CANDIDATES: Final = 8
MOST_ROUNDS: Final = 3

_UNIT: Final = 2 * BLOCK
"""Budgets are multiples of it: half of the first one is for adaptation, in whole blocks."""
_LEAST_FIRST: Final = 200
"""Sweeps of the first budget of a trial, if not a quarter of the least that makes sense in a comparison is more."""
_GROWTH: Final = 8.0
"""Largest ratio of two budgets in a row, because the pace of a small one foretells that of a much larger one badly."""
_SAFETY: Final = 0.95
_ALONE: Final = 0.25
"""Part of the time that a single candidate takes, whose rate alone is wanted."""
_ENOUGH: Final = 0.9
"""Part of its time after which a candidate is not advanced again."""


@dataclass(frozen=True)
class Trial:
    """What a candidate did in a round.

    Attributes
    ----------
    round
        1, 2, ...
    settings
        Those of the candidate.
    sweeps
        Budget of a run at the end of the round.
    wall_time
        Cost of a run with this budget, s.
    pair_evaluations
        Likewise, number of pair distances.
    mean_energy_error, specific_heat_error
        Root-mean-square errors of the runs against the reference, in epsilon and k_B.
    score
        Cost times both errors, at a cost that all candidates of the round have reached; infinite for one that failed.
    kept
        Whether the candidate went on to the next round, or won the last.
    failure
        What stopped it, or nothing.
    """

    round: int
    settings: Mapping[str, Any]
    sweeps: int
    wall_time: float
    pair_evaluations: float
    mean_energy_error: float
    specific_heat_error: float
    score: float
    kept: bool
    failure: str = ""


@dataclass(frozen=True)
class Tuning:
    """The settings of an algorithm, and how they were found.

    Attributes
    ----------
    settings
        The candidate that won, with what it has learnt on the way (see `LearningAlgorithm`); empty where the algorithm has no
        candidates.
    rate
        Sweeps of one run per second in which all runs together advance, of the winner in its last trial; NaN where sweeps were
        given, or nothing was tried.
    seconds
        Time spent.
    trials
        By round, in the order of the candidates.
    """

    settings: Mapping[str, Any]
    rate: float
    seconds: float
    trials: tuple[Trial, ...]


class _Candidate:
    """One set of settings, its runs so far, and what they have used up: seconds, or sweeps."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self.algorithm: Algorithm | None = None
        self.estimate: Estimate | None = None
        self.budget = 0
        self.spent = 0.0
        self.pace = 0.0
        """What a sweep uses up, the first budget left out."""
        self.later = (0.0, 0)
        """What the budgets after the first have used up, and their sweeps; of algorithms that begin anew, the largest."""
        self.curve: list[tuple[float, float]] = []
        """Cost, and the product of both errors, after each budget."""
        self.failure = ""

    def require(self) -> Algorithm:
        assert self.algorithm is not None
        return self.algorithm


class _Tuner:
    """Successive halving of the candidates of one algorithm."""

    def __init__(
        self,
        spec: AlgorithmSpec,
        system: System,
        temperature: float,
        start: Ensemble,
        reference: Reference,
        options: RunOptions,
        *,
        by_time: bool,
        total: float,
        progress: Progress | None,
    ) -> None:
        self._spec = spec
        self._system = system
        self._temperature = temperature
        self._start = start
        self._reference = reference
        self._options = options
        self._by_time = by_time
        self._total = total
        self._progress = progress
        self._used = 0.0
        hot = 1.0 / float(start.beta[0])
        least = 0 if spec.least_budget is None else spec.least_budget(system, temperature, hot)
        self._unit = math.lcm(_UNIT, options.record_every)
        self._least = self._up(max(_UNIT, least))

    def run(self, candidates: Sequence[Mapping[str, Any]]) -> tuple[_Candidate, list[Trial]]:
        """Return the candidate that wins, and all trials."""
        alive = [_Candidate(settings) for settings in candidates]
        if not self._by_time:
            # As many candidates as can have a budget that makes sense; a single one needs no trial.
            affordable = int(0.5 * self._total / max(self._least, self._spec.first_budget))
            alive = alive[: max(1, affordable)]
            if len(alive) == 1:
                return alive[0], []
        rounds = _rounds(len(alive))
        trials: list[Trial] = []
        allotted = 0.0
        for number in range(1, rounds + 1):
            share = 0.5 ** min(number, rounds - 1) if rounds > 1 else 1.0
            allotted += share * self._total / len(alive)
            if number == 1 and self._by_time:
                alive = self._affordable(alive, share * self._total)
                allotted = share * self._total / len(alive)
            for candidate in alive:
                self._bring(candidate, allotted, number)
            common = min((one.curve[-1][0] for one in alive if not one.failure), default=0.0)
            scores = {id(one): self._score(one, common) for one in alive}
            order = sorted(alive, key=lambda one: scores[id(one)])
            count = 1 if number == rounds else (len(alive) + 1) // 2
            winners = [candidate for candidate in order[:count] if not candidate.failure]
            trials += [self._trial(number, one, scores[id(one)], one in winners) for one in alive]
            if not winners:
                raise RuntimeError(f"{self._spec.label}: none of its settings can be used: {alive[0].failure}")
            alive = [candidate for candidate in alive if candidate in winners]
        return alive[0], trials

    def _affordable(self, candidates: list[_Candidate], seconds: float) -> list[_Candidate]:
        """Return the first candidates, as many as can have a budget that makes sense, by the pace of the first of all."""
        self._attempt(candidates[0], lambda: self._begin(candidates[0], seconds))
        if candidates[0].failure:
            return candidates
        needed = max(self._spec.first_budget // 2 * candidates[0].pace, candidates[0].spent)
        return candidates[: max(1, int(seconds / needed))]

    # ---- budgets -----------------------------------------------------------------------------------------------------------

    def _up(self, sweeps: float) -> int:
        return max(1, math.ceil(sweeps / self._unit)) * self._unit

    def _down(self, sweeps: float) -> int:
        return int(sweeps // self._unit) * self._unit

    def _attempt(self, candidate: _Candidate, action: Callable[[], None]) -> None:
        try:
            action()
        except RuntimeError as error:  # a flow that cannot be integrated, dynamics that blow up
            candidate.failure = str(error).splitlines()[0] if str(error) else type(error).__name__

    def _bring(self, candidate: _Candidate, allotted: float, number: int) -> None:
        """Advance a candidate until it has used up what is allotted to it, but at least once."""
        if not candidate.failure:
            self._attempt(candidate, lambda: self._use(candidate, allotted))
        if self._progress is not None:
            scale = 1000.0 if self._by_time else 1.0
            done, total = int(scale * min(self._used, self._total)), int(scale * self._total)
            self._progress(done, total, {"round": number, "settings": candidate.settings})

    def _use(self, candidate: _Candidate, allotted: float) -> None:
        self._begin(candidate, allotted)
        while candidate.spent < _ENOUGH * allotted:
            budget = self._next_budget(candidate, allotted - candidate.spent)
            if budget is None:
                break
            self._advance(candidate, budget)

    def _begin(self, candidate: _Candidate, allotted: float) -> None:
        """Make the runs and do the first budgets: half of the first is for adaptation, and the second tells the pace."""
        if candidate.budget > 0:
            return
        first = max(self._least, self._up(max(self._spec.first_budget // 4, _LEAST_FIRST)))
        if not self._by_time:
            first = min(first, max(self._least, self._down(0.5 * allotted)))
        self._make(candidate, first)
        self._advance(candidate, first)
        if self._by_time:  # the first may have waited for imports
            self._advance(candidate, 2 * first)

    def _make(self, candidate: _Candidate, first: int) -> None:
        adaptation = min(max(self._options.adaptation, BLOCK), first // 2 // BLOCK * BLOCK)
        options = replace(self._options, adaptation=adaptation, settings=candidate.settings)
        candidate.algorithm = self._spec.factory(self._system, self._temperature, options)
        candidate.algorithm.prepare(self._start)
        candidate.budget = 0

    def _next_budget(self, candidate: _Candidate, left: float) -> int | None:
        """Return the next budget of a candidate, or None where another one would not be worth its while."""
        more = _SAFETY * left / candidate.pace if self._by_time else left
        if self._spec.restarts:
            # A budget is done anew: what is left must be enough for one about as large as the last.
            budget = self._down(min(more, _GROWTH * candidate.budget))
            return budget if budget >= max(self._least, candidate.budget // 2) and budget != candidate.budget else None
        budget = self._down(min(candidate.budget + more, _GROWTH * candidate.budget))
        return budget if budget >= candidate.budget + self._least else None

    def _advance(self, candidate: _Candidate, budget: int) -> None:
        begin = time.perf_counter()
        candidate.estimate = candidate.require().advance(budget)
        seconds = time.perf_counter() - begin
        sweeps = budget if self._spec.restarts else budget - candidate.budget
        used = seconds if self._by_time else float(sweeps)
        if not candidate.budget:
            candidate.pace = max(used, 1e-9) / sweeps
        else:
            before = candidate.later if not self._spec.restarts else (0.0, 0)
            if sweeps >= candidate.later[1] or not self._spec.restarts:
                candidate.later = before[0] + used, before[1] + sweeps
            candidate.pace = max(candidate.later[0], 1e-9) / candidate.later[1]
        candidate.spent += used
        candidate.budget = budget
        candidate.curve.append((self._cost(candidate.require().cost()), math.prod(self._errors(candidate))))
        self._used += used

    # ---- scores ------------------------------------------------------------------------------------------------------------

    def _cost(self, cost: Cost) -> float:
        return cost.wall_time if self._by_time else cost.pair_evaluations

    def _errors(self, candidate: _Candidate) -> tuple[float, float]:
        estimate = candidate.estimate
        if estimate is None:
            return math.nan, math.nan
        values = (estimate.mean_energy, self._reference.mean_energy), (estimate.specific_heat, self._reference.specific_heat)
        energy, heat = (float(np.sqrt(np.mean((np.asarray(found) - exact) ** 2))) for found, exact in values)
        return energy, heat

    def _score(self, candidate: _Candidate, cost: float) -> float:
        """Return a cost times the errors that the candidate has at it."""
        if candidate.failure:
            return math.inf
        points = sorted((c, e) for c, e in candidate.curve if c > 0.0 and e > 0.0 and math.isfinite(c * e))
        if not points:
            return math.inf
        if cost <= points[0][0]:  # statistical errors
            return math.prod(points[0])
        costs, errors = np.log(np.array(points)).T
        return cost * math.exp(float(np.interp(math.log(cost), costs, errors)))

    def _trial(self, number: int, candidate: _Candidate, score: float, kept: bool) -> Trial:
        algorithm = candidate.algorithm
        cost = Cost(math.nan, math.nan) if algorithm is None or candidate.failure else algorithm.cost()
        return Trial(
            number,
            candidate.settings,
            candidate.budget,
            cost.wall_time,
            cost.pair_evaluations,
            *((math.nan, math.nan) if candidate.failure else self._errors(candidate)),
            score,
            kept,
            candidate.failure,
        )


def _rounds(candidates: int) -> int:
    """Return how many rounds leave one of so many."""
    return max(1, min(MOST_ROUNDS, math.ceil(math.log2(candidates))))


def tune(
    spec: AlgorithmSpec,
    system: System,
    temperature: float,
    start: Callable[[int], Ensemble],
    reference: Reference,
    options: RunOptions,
    *,
    runs: int,
    seed: int,
    seconds: float | None,
    sweeps: int | None,
    progress: Progress | None = None,
) -> Tuning:
    """Choose the settings of an algorithm among its candidates.

    Parameters
    ----------
    spec
        The algorithm. One without candidates has its rate measured, in a single trial.
    system, temperature
        What is to be sampled.
    start
        Called with a seed: returns `runs` independent configurations at the high temperature. Not charged.
    reference
        What errors are measured against.
    options
        As for the runs of the comparison, without settings; the adaptation is cut where trials are short.
    runs
        Number K of runs of a candidate, at least 2.
    seed
        Seed of the trials, another one than that of the runs.
    seconds
        Time for all trials together, or None.
    sweeps
        Where `seconds` is None: sweeps of a run, of all trials together. Costs in the scores are then pair evaluations, so that
        the choice does not depend on the machine.
    progress
        Called after every trial with (done, total, info), in milliseconds or sweeps.

    Raises
    ------
    ValueError
        If an argument makes no sense.
    RuntimeError
        If every candidate fails.
    """
    _check.integer("runs", runs, low=2)
    if (seconds is None) == (sweeps is None):
        raise ValueError(f"seconds: expected either a time or sweeps, got {seconds} and {sweeps}")
    total = _check.positive_float("seconds", seconds) if seconds is not None else float(_check.positive_int("sweeps", sweeps))
    begin = time.perf_counter()
    ensemble = start(seed)
    if len(ensemble) != runs:
        raise ValueError(f"start: expected {runs} configurations, got {len(ensemble)}")
    candidates = _candidates(spec, system, temperature, 1.0 / float(ensemble.beta[0]), options)
    total *= 1.0 if len(candidates) > 1 else _ALONE
    tuner = _Tuner(
        spec, system, temperature, ensemble, reference, options, by_time=seconds is not None, total=total, progress=progress
    )
    best, trials = tuner.run(candidates)
    settings = dict(best.settings)
    if isinstance(best.algorithm, LearningAlgorithm):
        settings.update(best.algorithm.learnt())
    rate = 1.0 / best.pace if seconds is not None else math.nan
    return Tuning(settings, rate, time.perf_counter() - begin, tuple(trials))


def _candidates(
    spec: AlgorithmSpec, system: System, temperature: float, start_temperature: float, options: RunOptions
) -> Sequence[Mapping[str, Any]]:
    """Return the candidates of an algorithm after checks, or its defaults alone."""
    if spec.candidates is None:
        return ({},)
    candidates = tuple(spec.candidates(system, temperature, start_temperature, options))
    if not 1 <= len(candidates) <= MOST_CANDIDATES:
        raise ValueError(f"candidates: expected 1 to {MOST_CANDIDATES} of {spec.name}, got {len(candidates)}")
    for candidate in candidates:
        if not isinstance(candidate, Mapping):
            raise TypeError(f"candidates: expected mappings of settings of {spec.name}, got {type(candidate).__name__}")
    return candidates
