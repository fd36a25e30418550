"""A sampler of the user's own as an algorithm of a comparison.

The comparison trusts it with nothing that decides: energies of its samples are computed anew, outside of its clock, the number
of particles of each species is counted, and the clock is the comparison's. What it says of its own (temperature, weights)
shows in its averages, which the verdict holds against the reference.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from .. import _arrays, _check
from .algorithms import Cost, Diagnosis, Estimate, FloatArray, Progress, RunOptions, Trace, Training
from .clock import Clock, torch_threads
from .jsonable import jsonable
from .problem import PluginError, Problem, Samples, in_words
from .starts import derived_seed

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..systems import System

__all__ = ["BUDGET_SLACK", "LEAST_SAMPLES", "SamplerAlgorithm", "foreign", "source_digest"]

BUDGET_SLACK: Final = 0.25
"""How far from its budget a sampler may stop, as a share of it."""
LEAST_SAMPLES: Final = 2
"""Samples of each run that an estimate needs."""
LARGEST_SHARE: Final = 0.1
LARGE_SHARE: Final = 0.01
_TELL_EVERY: Final = 0.2  # s
_NOTHING: Final = -1e4  # log of a weight next to the largest that is none


@contextlib.contextmanager
def foreign(name: str, action: str) -> Iterator[None]:
    """Turn whatever the code of a sampler raises into a `PluginError` of one sentence, with the original as its cause."""
    try:
        yield
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"sampler {name}: {action} failed ({in_words(error)})") from error


@dataclass
class _Taken:
    """Energies per particle (n, K) of samples, when they were made (n,), and log weights (n, K) where there are some."""

    evaluations: list[FloatArray]
    energy: list[FloatArray]
    log_weights: list[FloatArray]

    @property
    def count(self) -> int:
        return sum(len(part) for part in self.energy)

    @property
    def weighted(self) -> bool | None:
        """Whether there are weights; None without samples."""
        return bool(self.log_weights) if self.energy else None

    def merged(self) -> tuple[FloatArray, FloatArray]:
        """Return (n,) evaluations and (n, K) energies."""
        self.evaluations, self.energy = [np.concatenate(self.evaluations)], [np.concatenate(self.energy)]
        return self.evaluations[0], self.energy[0]

    def weights(self) -> FloatArray:
        """Return log weights (n, K), those of zero finite but next to nothing beside the largest."""
        self.log_weights = [np.concatenate(self.log_weights)]
        log_w = self.log_weights[0]
        top = np.where(np.isfinite(log_w).any(axis=0), log_w.max(axis=0), 0.0)
        return np.asarray(np.maximum(log_w - top, _NOTHING))


def source_digest(kind: type) -> str | None:
    """Return the SHA-256 of the file that a class is written in, which tells whether it was edited; None without a file."""
    try:
        return hashlib.sha256(Path(inspect.getfile(kind)).read_bytes()).hexdigest()
    except (OSError, TypeError):
        return None


class SamplerAlgorithm:
    """K runs of a sampler of the user's own.

    Parameters
    ----------
    kind
        Its class.
    name
        How messages call it.
    system, temperature, options
        As for every algorithm; ``options.settings`` are keyword arguments of the class.
    """

    def __init__(self, kind: type, name: str, system: System, temperature: float, options: RunOptions) -> None:
        self._kind = kind
        self._name = name
        self._system = system
        self._temperature = temperature
        self._options = options
        self._restarts = bool(getattr(kind, "restarts", False))
        self._start: Ensemble | None = None
        self._problem: Problem | None = None
        self._sampler: Any = None
        self._clock = Clock()
        self._taken = _Taken([], [], [])
        self._progress: Progress | None = None
        self._budget = 0
        self._told = 0.0

    # ---- the protocol of a comparison --------------------------------------------------------------------------------------

    def prepare(self, ensemble: Ensemble) -> None:
        """Take the starting configurations, and make the sampler, at its cost."""
        self._start = ensemble.copy()
        if not self._restarts:
            self._make(derived_seed(int(ensemble.seed), "sampler"))

    def advance(self, budget: int, progress: Progress | None = None) -> Estimate:
        """Let the sampler run to `budget` energy evaluations per run, and return the averages of its samples.

        Raises
        ------
        PluginError
            If it fails, stops elsewhere, or returns what cannot be samples of the system.
        """
        if self._start is None:
            raise RuntimeError("prepare: expected to be called before the runs advance")
        if self._restarts:
            self._make(derived_seed(int(self._start.seed), "sampler", budget))
        elif budget <= self._budget:
            raise ValueError(f"budget: expected more than the {self._budget} evaluations already done, got {budget}")
        self._budget, self._progress, self._told = budget, progress, time.perf_counter()
        self._run(budget)
        done = self._require_problem().evaluations
        if not abs(done - budget) <= BUDGET_SLACK * budget:
            raise self._error(
                f"run: expected to stop within {BUDGET_SLACK:.0%} of its budget of {budget} energy evaluations per run, "
                f"stopped at {done:g} (least_budget may ask for larger budgets, problem.charge counts energies of other code)"
            )
        return self._estimate(budget)

    def cost(self) -> Cost:
        """Return the share of one run in the time of the sampler, and the pairs that it looked at by way of its problem."""
        problem = self._require_problem()
        return Cost(self._clock.seconds / problem.runs, problem.pair_evaluations)

    def trace(self) -> Trace | None:
        """Return the energies of the samples of a chain, the start first; None where samples are weighted."""
        if self._taken.weighted or self._start is None:
            return None
        start = np.array(_arrays.to_host(self._start.energy))[None, :] / self._system.n
        if not self._taken.count:
            return Trace(np.zeros(1, dtype=np.int64), start)
        when, energy = self._taken.merged()
        sweeps = np.concatenate([[0], np.round(when)]).astype(np.int64)
        return Trace(sweeps, np.concatenate([start, energy]))

    def report(self) -> dict[str, Any]:
        """Return where the sampler comes from, its settings, what it made, and what it reports itself."""
        described: dict[str, Any] = {
            "sampler": f"{self._kind.__module__}:{self._kind.__qualname__}",
            "source": source_digest(self._kind),
            "settings": {key: _plain(value) for key, value in self._options.settings.items()},
            "restarts": self._restarts,
            "weighted": bool(self._taken.weighted),
            "samples": self._taken.count,
            "evaluations": self._require_problem().evaluations,
        }
        own = getattr(self._sampler, "report", None)
        if callable(own):
            try:
                described["own"] = {str(key): _plain(value) for key, value in dict(own()).items()}
            except Exception as error:  # the results are worth more than the remarks on them
                described["own"] = {"error": f"{type(error).__name__}: {error}"}
        if self._taken.weighted:
            described["diagnostics"] = self._weight_diagnostics()
        return described

    def diagnosis(self) -> Diagnosis:
        """Return how even the weights are, and whether they are too uneven for averages; nothing for a chain.

        The limits are those of `glassnf.FlowSampler`: a tenth of the weight in one sample, or a hundredth where k-hat is above
        its limit, and more than 5 and 10 times the share of equal weights where samples are few.
        """
        if not self._taken.weighted:
            return Diagnosis()
        from ..observables.weights import pareto_k_limit

        found, samples = self._weight_diagnostics(), self._taken.count
        tails, largest, limit = found["pareto_k"], found["largest"], pareto_k_limit(samples)
        said = f"ESS {float(np.mean(found['ess'])):.3g} of {samples} samples a run"
        if np.isfinite(tails).all():
            said += f", k-hat {float(np.median(tails)):.2f}"
        faults = []
        few = largest > max(LARGEST_SHARE, 5.0 / samples)
        heavy = (largest > max(LARGE_SHARE, 10.0 / samples)) & (tails > limit) & np.isfinite(tails)
        if few.any():
            faults.append(f"in {few.sum()} runs one sample has more than a tenth of the weight")
        if heavy.any():
            faults.append(
                f"in {heavy.sum()} runs k-hat is above {limit:.2f} and one sample has more than a hundredth of the weight"
            )
        return Diagnosis(tuple(faults), (said,))

    def training(self) -> Training | None:
        """Return the training that the sampler declares as its `training_cost`, in seconds or as `Training`."""
        with foreign(self._name, "training_cost"):
            declared = getattr(self._sampler if self._sampler is not None else self._kind, "training_cost", None)
        if declared is None or isinstance(declared, Training):
            return declared
        try:
            seconds = _check.nonnegative_float("training_cost", declared)
        except (TypeError, ValueError) as error:
            raise self._error(str(error)) from error
        return Training(seconds, source=f"declared by {self._name}") if seconds > 0.0 else None

    # ---- running the code of the user --------------------------------------------------------------------------------------

    def _make(self, seed: int) -> None:
        """Make problem and sampler anew; nothing is spent before."""
        self._clock, self._taken, self._budget = Clock(), _Taken([], [], []), 0
        problem = Problem.of(
            self._start,  # type: ignore[arg-type]
            self._temperature,
            seed=seed,
            threads=self._options.threads,
            adaptation=self._options.adaptation,
            listener=self._tell,
        )
        self._problem = problem
        with torch_threads(self._options.threads), foreign(self._name, "the constructor"), self._clock.running():
            self._sampler = self._kind(problem, **self._options.settings)

    def _run(self, budget: int) -> None:
        """Take all samples of one call of `run`, the clock running only while the sampler works."""
        problem, most = self._require_problem(), (1.0 + BUDGET_SLACK) * budget
        since = problem.evaluations
        with torch_threads(self._options.threads), contextlib.closing(self._pieces(budget)) as pieces:
            for piece in pieces:
                now = problem.evaluations
                self._take(piece, since, now)
                since = now
                if now > most:  # a generator that never ends
                    break

    def _pieces(self, budget: int) -> Generator[Any, None, None]:
        """Yield what one call of `run` returns or yields."""
        with foreign(self._name, "run"), self._clock.running():
            result = self._sampler.run(budget)
        if result is None or isinstance(result, Samples):
            yield from () if result is None else (result,)
            return
        if not hasattr(result, "__next__"):
            raise self._error(f"run: expected to return or yield Samples, got {_check.describe(result)}")
        end = object()
        while True:
            with foreign(self._name, "run"), self._clock.running():
                piece = next(result, end)
            if piece is end:
                return
            yield piece

    def _tell(self, evaluations: float) -> None:
        """Pass progress on now and then; the time of the listener is not the sampler's."""
        if self._progress is None or time.perf_counter() < self._told + _TELL_EVERY:
            return
        with self._clock.paused():
            self._progress(min(int(evaluations), self._budget), self._budget, {})
        self._told = time.perf_counter()

    # ---- its samples -------------------------------------------------------------------------------------------------------

    def _take(self, piece: Any, since: float, now: float) -> None:
        """Check samples that were made between two numbers of evaluations, and keep their energies."""
        if not isinstance(piece, Samples):
            raise self._error(f"run: expected to return or yield Samples, got {_check.describe(piece)}")
        try:
            energy, log_weights = self._checked(piece)
        except (TypeError, ValueError) as error:
            raise self._error(str(error)) from error
        if not len(energy):
            return
        if self._taken.weighted not in (None, log_weights is not None):
            before, here = ("with", "without") if self._taken.weighted else ("without", "with")
            raise self._error(f"log_weights: expected samples {before} weights, as before, got some {here}")
        when = since + (now - since) * np.arange(1, len(energy) + 1) / len(energy)
        self._taken.evaluations.append(when)
        self._taken.energy.append(energy / self._system.n)
        if log_weights is not None:
            self._taken.log_weights.append(log_weights)

    def _checked(self, piece: Samples) -> tuple[FloatArray, FloatArray | None]:
        """Return energies (n, K) of whole systems, computed here, and log weights (n, K) or None."""
        from ..energy import energy

        problem = self._require_problem()
        runs, tail = problem.runs, (problem.n, problem.dimension)
        positions = _arrays.native("positions", piece.positions)
        shape = tuple(int(length) for length in positions.shape)
        if shape[-3:] != (runs, *tail) or len(shape) not in (3, 4):
            expected = f"(n, {runs}, {tail[0]}, {tail[1]}) or ({runs}, {tail[0]}, {tail[1]})"
            raise ValueError(f"positions: expected shape {expected}, got {shape}")
        if not _arrays.dtype_name(positions).startswith("float"):
            raise TypeError(f"positions: expected an array of floats, got type {_arrays.dtype_name(positions)}")
        count = shape[0] if len(shape) == 4 else 1
        if not count:
            return np.zeros((0, runs)), None
        species = self._species(piece.species, count, single=len(shape) == 3)
        log_weights = None if piece.log_weights is None else _log_weights(piece.log_weights, count, runs, len(shape) == 3)
        with _arrays.guard(positions):
            flat = _arrays.contiguous(positions, "float64").reshape((count * runs, *tail))
            kinds = _arrays.put(species, flat) if _arrays.on_gpu(flat) else species
            found = energy(self._system, flat, kinds, threads=self._options.threads)
        return np.array(_arrays.to_host(found)).reshape(count, runs), log_weights

    def _species(self, given: Any, count: int, *, single: bool) -> npt.NDArray[np.int32]:
        """Return species (n K, N), every configuration with the composition of the system."""
        problem = self._require_problem()
        runs, n = problem.runs, problem.n
        if given is None:
            kinds = problem.species
        else:
            kinds = _check.int_array("species", _arrays.to_host(given), low=0, high=self._system.n_species - 1, dtype=np.int32)
            allowed = ((n,), (runs, n), (count, runs, n))[: 2 if single else 3]
            if kinds.shape not in allowed:
                raise ValueError(f"species: expected shape {' or '.join(map(str, allowed))}, got {kinds.shape}")
            wrong = (np.sort(kinds, axis=-1) != np.sort(self._system.species)).any(axis=-1)
            if wrong.any():
                place = _check.first_place(wrong)
                found = tuple(np.bincount(kinds[place], minlength=self._system.n_species).tolist())
                where = f" at index {place}" if place else ""
                raise ValueError(f"species: expected the composition {self._system.composition}, got {found}{where}")
        return np.ascontiguousarray(np.broadcast_to(kinds, (count, runs, n)).reshape(count * runs, n))

    def _estimate(self, budget: int) -> Estimate:
        from ..observables.weights import weighted_energy

        if not self._taken.count:
            raise self._error(f"run: expected samples, got none within {budget} evaluations per run")
        when, energy = self._taken.merged()
        n = self._system.n
        if self._taken.weighted:
            self._require_samples(len(energy), budget, "")
            log_w, beta = self._taken.weights(), 1.0 / self._temperature
            if (log_w.max(axis=0) < 0.0).any():
                raise self._error("log_weights: expected at least one weight above zero in each run, got none in some")
            found = [weighted_energy(n * u, w, beta, n) for u, w in zip(energy.T, log_w.T, strict=True)]
            return Estimate(
                mean_energy=np.array([one.mean for one in found]) / n,
                specific_heat=np.array([one.specific_heat for one in found]),
            )
        window = energy[when > self._options.discard * budget]
        self._require_samples(len(window), budget, f" after the first {self._options.discard:.0%}, which do not count")
        return Estimate(mean_energy=window.mean(axis=0), specific_heat=window.var(axis=0) * n / self._temperature**2)

    def _require_samples(self, count: int, budget: int, where: str) -> None:
        if count < LEAST_SAMPLES:
            raise self._error(
                f"run: expected at least {LEAST_SAMPLES} samples of each run within {budget} evaluations{where}, got {count} "
                f"(least_budget may ask for larger budgets)"
            )

    def _weight_diagnostics(self) -> dict[str, Any]:
        """Return ESS (a fraction), k-hat, largest weight of each run, and a histogram of log weights, their mean in a run 1."""
        from ..observables.weights import log_mean_exp, weight_summary

        log_w = self._taken.weights()
        summaries = [weight_summary(column) for column in log_w.T]
        relative = log_w - np.array([log_mean_exp(column) for column in log_w.T])
        counts, edges = np.histogram(relative[log_w > _NOTHING], bins=40)
        return {
            "ess": np.array([one.ess for one in summaries]),
            "pareto_k": np.array([one.pareto_k for one in summaries]),
            "largest": np.array([one.largest for one in summaries]),
            "samples": self._taken.count,
            "log_weight_edges": edges,
            "log_weight_counts": counts,
        }

    def _require_problem(self) -> Problem:
        if self._problem is None:
            raise RuntimeError("prepare: expected to be called before the runs advance")
        return self._problem

    def _error(self, text: str) -> PluginError:
        return PluginError(f"sampler {self._name}: {text}")


def _log_weights(given: Any, count: int, runs: int, single: bool) -> FloatArray:
    """Return log weights (n, K), finite or minus infinity."""
    array = _check.float_array("log_weights", _arrays.to_host(given), finite=False)
    allowed = ((runs,), (1, runs)) if single else ((count, runs),)
    if array.shape not in allowed:
        raise ValueError(f"log_weights: expected shape {allowed[0]}, got {array.shape}")
    bad = np.isnan(array) | (array == np.inf)
    if bad.any():
        place = _check.first_place(bad)
        raise ValueError(f"log_weights: expected numbers or minus infinity, got {array[place]} at index {place}")
    return array.reshape(count, runs)


def _plain(value: object) -> Any:
    """Return a value as JSON can hold it, or what Python prints for it."""
    try:
        if isinstance(value, Mapping):
            return {str(key): _plain(entry) for key, entry in value.items()}
        return jsonable(_arrays.to_host(value) if hasattr(value, "__array__") else value)
    except TypeError:
        return repr(value)
