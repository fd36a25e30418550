"""Parallel tempering in a comparison: a run is one ladder, and its cost is that of all replicas of the ladder."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from .algorithms import Diagnosis, Progress, RunOptions, settings_of
from .chains import ChainAlgorithm
from .explorers import explorer_of

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..samplers import ParallelTempering
    from ..systems import System

__all__ = ["ParallelTemperingAlgorithm", "candidates", "copies", "least_budget"]

LEAST_SWEEPS: Final = 4
"""Of each replica in the first budget: half of them adapt, the others are recorded."""
ENOUGH_ATTEMPTS: Final = 400
"""Exchanges of each pair, of all ladders together, after which a ladder is handed on: acceptances are then known to 0.025, if
attempts are independent."""


def ladder_of(system: System, temperature: float, hot: float, acceptance: float = 0.5) -> tuple[float, ...]:
    """Return a ladder from a temperature up to a hot one, or to a quarter more where that is as cold."""
    from ..samplers.guesses import suggested_ladder

    return suggested_ladder(system.n, temperature, max(hot, 1.25 * temperature), acceptance)


def least_budget(system: System, temperature: float, start_temperature: float) -> int:
    """Return the smallest budget that gives every replica of the ladder a few sweeps."""
    return LEAST_SWEEPS * len(ladder_of(system, temperature, start_temperature))


def candidates(
    system: System, temperature: float, start_temperature: float, options: RunOptions
) -> Sequence[Mapping[str, Any]]:
    """Return ladders up to the starts and to parts of the way there (in log T), narrow and wide steps, and both explorers."""
    start = max(start_temperature, 1.25 * temperature)
    half, two_thirds = math.sqrt(temperature * start), (temperature * start**2) ** (1.0 / 3.0)
    shapes = (
        (None, 0.15, 50, "md"),
        (half, 0.15, 50, "md"),
        (two_thirds, 0.15, 20, "md"),
        (half, 0.3, 50, "md"),
        (None, 0.3, 50, "md"),
        (half, 0.3, 5, "mc"),
    )
    return tuple(
        {"hot": hot, "exchange_acceptance": acceptance, "sweeps_per_exchange": sweeps, "explorer": explorer}
        for hot, acceptance, sweeps, explorer in shapes
    )


def copies(ensemble: Ensemble, index: npt.NDArray[np.int64], temperature: npt.ArrayLike, seed: int) -> Ensemble:
    """Return copies of replicas as an ensemble of their own, with ids 0, 1, ..., where the ensemble is.

    Parameters
    ----------
    ensemble
        Where the configurations come from.
    index
        (R,) which of its replicas each copy is of.
    temperature
        Of all copies, or (R,), in epsilon / k_B.
    seed
        Of their random numbers.
    """
    from .. import cuda
    from ..ensemble import Ensemble as EnsembleType

    place = cuda.find_device(ensemble.device)
    with place.current():
        chosen = place.xp.asarray(index)
        positions, species, move_size = ensemble.positions[chosen], ensemble.species[chosen], ensemble.move_size[chosen]
    return EnsembleType.from_arrays(
        ensemble.system,
        positions,
        species=species,
        temperature=temperature,
        seed=seed,
        step=int(ensemble.step),
        move_size=move_size,
        device=ensemble.device,
    )


class ParallelTemperingAlgorithm(ChainAlgorithm):
    """K ladders from the temperature of interest up to a hot one.

    All replicas of a ladder start from copies of the run's one configuration, which part on the way. The ladder and the move
    sizes adapt in the first part of the first budget, and are the same in all runs. Settings: the hot end (epsilon; None for
    the temperature of the starts), the acceptance of exchanges for which the first guess of the ladder is made, sweeps between
    exchanges, the explorer and the acceptance to which its move sizes adapt; `temperatures` in place of the first two is a
    ladder that is kept.

    Tuning hands on the ladder of the candidate that won, as it does the other settings that it chose: it was paid for with the
    time for tuning, which all algorithms have alike, and runs are not charged for finding it again. A ladder by fewer than
    `ENOUGH_ATTEMPTS` exchanges of each pair would be noise that all runs keep: it is not handed on, and runs adapt their own.
    """

    MOST_RECORDS: Final = 2000
    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "hot": None,
        "exchange_acceptance": 0.15,
        "sweeps_per_exchange": 50,
        "explorer": "md",
        "target_acceptance": 0.3,
    }

    def __init__(self, system: System, temperature: float, options: RunOptions) -> None:
        super().__init__(system, temperature, options)
        self._settings = settings_of(options, self.DEFAULTS, ("temperatures",))
        self._sampler: ParallelTempering | None = None
        self._visits: dict[str, Any] | None = None
        self._round_trips = np.zeros(0, dtype=np.int64)
        self._attempts: Any = 0
        self._accepts: Any = 0
        self._from_hot: Any = 0
        self._from_cold: Any = 0

    def _begin(self, ensemble: Ensemble) -> Ensemble:
        from ..samplers import ParallelTempering

        settings, ladder = self._settings, self._ladder(1.0 / float(ensemble.beta[0]))
        self._sampler = ParallelTempering(
            self._system,
            ladder,
            explorer=explorer_of(self._system, settings, max(ladder), self._options.threads),
            ladders=self._runs,
            sweeps_per_exchange=settings["sweeps_per_exchange"],
        )
        self._round_trips = np.zeros(self._runs, dtype=np.int64)
        index = np.repeat(np.arange(self._runs, dtype=np.int64), len(ladder))
        return copies(ensemble, index, np.tile(ladder, self._runs), int(ensemble.seed))

    def _ladder(self, start_temperature: float) -> tuple[float, ...]:
        settings = self._settings
        if "temperatures" in settings:
            return tuple(float(value) for value in settings["temperatures"])
        hot = start_temperature if settings["hot"] is None else settings["hot"]
        return ladder_of(self._system, self._temperature, hot, settings["exchange_acceptance"])

    @property
    def _tempering(self) -> ParallelTempering:
        if self._sampler is None:
            raise RuntimeError("prepare: expected to be called before the runs advance")
        return self._sampler

    @property
    def _rungs(self) -> int:
        return len(self._tempering.temperatures)

    def _done(self) -> int:
        return super()._done() * self._rungs

    def _advance(self, budget: int, progress: Progress | None) -> None:
        from ..samplers import PoorExchangeWarning

        ensemble = self._require_ensemble()
        target = self._start + budget // self._rungs
        if target <= int(ensemble.step):
            raise ValueError(
                f"budget: expected at least one more sweep of each of {self._rungs} replicas, {self._done() + self._rungs} "
                f"in all, got {budget}"
            )

        def tell(sweeps: int, total: int, info: Mapping[str, Any]) -> None:
            if progress is not None:
                progress(min(budget, self._done()), budget, info)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PoorExchangeWarning)  # the report has the acceptances
            if int(ensemble.step) == self._start:
                sweeps = self._options.adaptation // self._rungs
                report = self._tempering.equilibrate(
                    ensemble, sweeps, adapt_ladder="temperatures" not in self._settings, progress=tell
                )
                self._pair_evaluations += report.pair_evaluations
            while int(ensemble.step) < target:
                self._produce(min(self._every * self.MOST_RECORDS, target - int(ensemble.step)), tell)

    @property
    def _every(self) -> int:
        """Sweeps between records: as the options say, with dynamics from exchange to exchange, but some in the first budget."""
        wanted = self._options.record_every
        if self._settings["explorer"] == "md":
            wanted = max(wanted, int(self._settings["sweeps_per_exchange"]))  # a call of the explorer ends with each record
        return max(1, min(wanted, self._options.adaptation // (8 * self._rungs)))

    def _produce(self, sweeps: int, tell: Progress) -> None:
        record = self._tempering.run(
            self._require_ensemble(), sweeps, record_every=self._every, progress=tell, state=self._visits
        )
        self._visits = record.state
        self._pair_evaluations += record.pair_evaluations
        self._append((record.sweeps - self._start) * self._rungs, record.energy_at(self._temperature))
        self._round_trips = self._round_trips + record.round_trips
        self._attempts = self._attempts + record.attempts
        self._accepts = self._accepts + record.accepts
        self._from_hot = self._from_hot + record.from_hot
        self._from_cold = self._from_cold + record.from_cold

    def learnt(self) -> dict[str, Any]:
        """Return a ladder with the same ends for equal rejection rates, by those of the exchanges so far; {} after few."""
        from ..samplers.ladder import equal_ladder

        if np.ndim(self._attempts) == 0 or np.sum(self._attempts, axis=1).min() < ENOUGH_ATTEMPTS:
            return {}
        temperatures = equal_ladder(self._tempering.temperatures, 1.0 - self._acceptance())
        return {"temperatures": tuple(temperatures.tolist())}

    def _acceptance(self) -> npt.NDArray[np.float64]:
        """Return the accepted fraction of the exchanges of each pair (M - 1,), all ladders; NaN where none was tried."""
        attempts, accepts = np.sum(self._attempts, axis=1), np.sum(self._accepts, axis=1)
        return np.asarray(np.where(attempts > 0, accepts / np.maximum(attempts, 1), np.nan))

    def report(self) -> dict[str, Any]:
        """Return the settings, the barrier, and for the figures the ladder, acceptances of exchanges, trips and flow."""
        acceptance = self._acceptance()
        hot, cold = np.sum(self._from_hot, axis=1), np.sum(self._from_cold, axis=1)
        return {
            **{name: self._settings[name] for name in ("explorer", "sweeps_per_exchange", "target_acceptance")},
            "sweeps_of_each_replica": int(self._require_ensemble().step) - self._start,
            "adaptation_sweeps": self._options.adaptation,
            "barrier": float((1.0 - acceptance).sum()),
            "diagnostics": {
                "temperatures": self._tempering.temperatures,
                "acceptance": acceptance,
                "round_trips": self._round_trips,
                "flow": np.where(hot + cold > 0, cold / np.maximum(hot + cold, 1), np.nan),
            },
        }

    def diagnosis(self) -> Diagnosis:
        """Return whether replicas have been at both ends of the ladders."""
        mean = float(self._round_trips.mean())
        said = f"{mean:.3g} round trips a run"
        return Diagnosis(doubts=(said,)) if mean < 1.0 else Diagnosis(remarks=(said,))
