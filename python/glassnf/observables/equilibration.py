"""Whether a result is in equilibrium: equilibrated, not equilibrated, or cannot tell, with the checks that say so.

A `Verdict` follows from its checks: one that fails makes it "not equilibrated", else one that decides nothing makes it "cannot
tell". Two kinds of checks are kept apart. Tests of significance (drift, forward-backward) ask whether the records contradict
equilibrium, and they alone can fail; each does so by chance with a probability of `FALSE_ALARM`, however long correlations
are, where the spread of 8 replicas or more gives the error. Requirements (autocorrelation time, effective samples, R-hat) ask
whether there are enough records for that to mean anything: a run that is too short fails none of them, however badly its
replicas agree. ``bench/equilibration.py`` measures the rates, see docs/equilibration.md. This module needs NumPy only.

References
----------
Vehtari, Gelman, Simpson, Carpenter, Buerkner 2021, Bayesian Analysis 16, 667 (rank-normalised split R-hat, effective samples).
Gelman, Rubin 1992, Statistical Science 7, 457 (starts that are spread more widely than the target).
Geweke 1992, in Bayesian Statistics 4 (Oxford), p. 169 (the beginning of a chain against its end).
Sokal 1997, in Functional Integration (Plenum), p. 131 (length of a run in autocorrelation times).
Katzgraber, Koerner, Young 2006, Phys. Rev. B 73, 224432 (averages that stop to depend on the length of the run).
Wallace 1959, Ann. Math. Stat. 30, 1121 (normal deviate of a t deviate).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from glassnf import _check
from glassnf.observables._inputs import FloatArray, series_2d
from glassnf.observables.statistics import AUTO_REPLICAS, autocorrelation_time, estimate_mean, split_rhat

__all__ = [
    "CANNOT_TELL",
    "EQUILIBRATED",
    "NOT_EQUILIBRATED",
    "Check",
    "Verdict",
    "chain_checks",
    "forward_backward",
    "judge_chains",
    "sigma_limit",
]

EQUILIBRATED: Final = "equilibrated"
NOT_EQUILIBRATED: Final = "not equilibrated"
CANNOT_TELL: Final = "cannot tell"

FALSE_ALARM: Final = 1e-3
"""Probability with which a test of significance fails records of equilibrium."""

R_HAT_LIMIT: Final = 1.05
"""R-hat up to which 8 replicas or more agree; about that of runs of 40 autocorrelation times."""

R_HAT_FEW: Final = 1.01
"""The same of fewer replicas, which may agree by chance (Vehtari et al. 2021, for 4 chains)."""

LEAST_TIMES: Final = 50.0
"""Length of a run in integrated autocorrelation times."""

LEAST_SAMPLES: Final = 400.0
"""Effective samples, all replicas together (Vehtari et al. 2021, section 4.1)."""

LEAST_RECORDS: Final = 8
_LEAST_REPLICAS: Final = 4  # on one side, for an error by their spread
_RESOLUTION: Final = 0.25  # of a difference, in standard deviations of the series, for agreement to mean anything
_MOST_VALUES: Final = 1 << 16  # that R-hat ranks; of more, every so many records and replicas are taken, but at least
_LEAST_RANKED: Final = 64


@dataclass(frozen=True)
class Check:
    """One question that was asked of a result.

    Attributes
    ----------
    name
        What was looked at, such as ``"R-hat"``.
    value, limit
        Its number, NaN where there is none, and the one it was held against.
    outcome
        True: passed. False: failed, the result is not in equilibrium. None: nothing can be said.
    sentence
        The same in words, without capital and full stop.
    """

    name: str
    value: float
    limit: float
    outcome: bool | None
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """The answer to "is this in equilibrium?".

    Attributes
    ----------
    status
        ``"equilibrated"``, ``"not equilibrated"`` or ``"cannot tell"``.
    checks
        What it rests on.
    sentence
        Status, and the checks that decided it, in words.
    """

    status: str
    checks: tuple[Check, ...]
    sentence: str

    @classmethod
    def of(cls, checks: Iterable[Check], unseen: str = "") -> Verdict:
        """Return the verdict that follows from checks; without any, nothing can be told.

        Parameters
        ----------
        checks
            What was asked.
        unseen
            What they cannot see, in words; the sentence says so where they all pass.

        Raises
        ------
        TypeError
            If they are something else.
        """
        try:
            asked = tuple(checks)
        except TypeError:
            raise TypeError(f"checks: expected several checks, got {_check.describe(checks)}") from None
        for check in asked:
            if not isinstance(check, Check):
                raise TypeError(f"checks: expected checks, got {_check.describe(check)}")
        outcomes = [check.outcome for check in asked]
        if False in outcomes:
            status = NOT_EQUILIBRATED
        else:
            status = EQUILIBRATED if asked and None not in outcomes else CANNOT_TELL
        wanted = {NOT_EQUILIBRATED: False, CANNOT_TELL: None, EQUILIBRATED: True}[status]
        said = [check.sentence for check in asked if check.outcome is wanted]
        if unseen and status == EQUILIBRATED:
            said.append(unseen)
        return cls(status, asked, f"{status}: {'; '.join(said) or 'nothing was measured'}")

    @property
    def equilibrated(self) -> bool | None:
        """True, False, or None where nothing can be told."""
        return {EQUILIBRATED: True, NOT_EQUILIBRATED: False}.get(self.status)

    @property
    def mark(self) -> str:
        """What tables put behind a number: nothing, ``*`` where it is not of equilibrium, ``?`` where nothing can be told."""
        return mark_of(self.equilibrated)

    def __str__(self) -> str:
        return self.sentence

    def __getitem__(self, name: str) -> Check:
        """Return the check of that name; KeyError where it was not made."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return status, sentence and checks in terms of dicts, for JSON."""
        return {"status": self.status, "sentence": self.sentence, "checks": [asdict(check) for check in self.checks]}


def mark_of(equilibrated: bool | None) -> str:
    """Return the mark of `Verdict.mark`."""
    return "?" if equilibrated is None else "" if equilibrated else "*"


def summarised(name: str, verdicts: Mapping[str, Verdict]) -> list[Check]:
    """Return the check, called `name`, that several verdicts pass, or none where there are none.

    Its value is the number of those that are not "equilibrated"; its sentence names them and gives the reasons of the first.
    """
    if not verdicts:
        return []
    outcomes = [verdict.equilibrated for verdict in verdicts.values()]
    worst = False if False in outcomes else None if None in outcomes else True
    bad = {label: verdict for label, verdict in verdicts.items() if verdict.equilibrated is worst}
    short = len(outcomes) - sum(outcome is True for outcome in outcomes)
    if worst is True:
        words = f"all of {', '.join(verdicts)} equilibrated" if len(verdicts) < 4 else f"{len(verdicts)} {name} equilibrated"
    else:
        label, first = next(iter(bad.items()))
        others = f" and {len(bad) - 1} more of {len(verdicts)} {name}" if len(bad) > 1 else ""
        words = f"{label} ({first.sentence}){others}"
    return [Check(name, float(short), 0.0, worst, words)]


# ------------------------------------------------------------------------------------------------------------ significance


def sigma_limit(tests: int = 1) -> float:
    """Return the deviation in standard errors that the largest of some tests exceeds with probability `FALSE_ALARM` at most."""
    return NormalDist().inv_cdf(1.0 - FALSE_ALARM / (2.0 * _check.positive_int("tests", tests)))


def normal_of_t(t: float, dof: int) -> float:
    """Return the normal deviate of the same tail probability as a t deviate (Wallace 1959, his second approximation)."""
    if not math.isfinite(t) or t == 0.0:
        return t
    scale = (8.0 * dof + 1.0) / (8.0 * dof + 3.0)
    return math.copysign(scale * math.sqrt(dof * math.log1p(t * t / dof)), t)


def _deviate(difference: float, error: float, dof: int) -> float:
    if error > 0.0:
        return normal_of_t(difference / error, dof)
    return 0.0 if difference == 0.0 else math.copysign(math.inf, difference)


def _change(x: FloatArray, early: slice, late: slice) -> float:
    """Return late less early mean in standard errors: from the spread of the replicas, of few from the autocorrelation time.

    Four replicas or more have a spread too, but one that is known so badly that it counts only where their autocorrelation time
    is not known.
    NaN where there are fewer, and it is not.
    """
    replicas = x.shape[1]
    tau = autocorrelation_time(x) if replicas < AUTO_REPLICAS else None
    if tau is None or (replicas >= _LEAST_REPLICAS and not tau.converged):
        change = x[late].mean(axis=0) - x[early].mean(axis=0)
        return _deviate(float(change.mean()), float(change.std(ddof=1)) / math.sqrt(replicas), replicas - 1)
    if not tau.converged:
        return math.nan
    effective = [len(x[part]) * replicas / (2.0 * tau.value) for part in (early, late)]
    error = math.sqrt(float(x.var()) * sum(1.0 / count for count in effective))
    return _deviate(float(x[late].mean() - x[early].mean()), error, max(1, round(min(effective))))


def _identical(x: FloatArray) -> bool:
    """Return whether there are several replicas (records, R), all with the same records."""
    return x.shape[1] > 1 and bool((x == x[:, :1]).all())


def _sigmas(value: float) -> str:
    """Return a deviation in words, without sign; four digits are enough for a large one."""
    size = abs(value)
    if math.isinf(size):
        return "without any spread"
    return f"{size:.1f} sigma" if size < 1e3 else f"{size:.4g} sigma"


def drift_check(groups: list[FloatArray]) -> Check:
    """Compare the halves of the records, and their first tenth with their second half, in each group of replicas."""
    n = len(groups[0])
    half, tenth = n // 2, n // 10
    contrasts = [(slice(0, half), slice(n - half, n))]
    if tenth >= 2:
        contrasts.append((slice(0, tenth), slice(n - half, n)))
    limit = sigma_limit(len(groups) * len(contrasts))
    if any(_identical(group) and group.max() > group.min() for group in groups):
        return Check("drift", math.nan, limit, None, "replicas are identical, without a spread to tell a drift by")
    found = [_change(group, *contrast) for group in groups for contrast in contrasts]
    known = [value for value in found if not math.isnan(value)]
    if not known:
        return Check("drift", math.nan, limit, None, "too few replicas, and too short a run, to tell a drift")
    worst = max(known, key=abs)
    if abs(worst) > limit:
        way = "down" if worst < 0.0 else "up"
        return Check("drift", worst, limit, False, f"the energy still drifts {way} ({_sigmas(worst)})")
    if len(known) < len(found):
        return Check("drift", worst, limit, None, "too few replicas, and too short a run, to exclude a drift")
    return Check("drift", worst, limit, True, f"no drift ({abs(worst):.1f} sigma)")


# --------------------------------------------------------------------------------------------------------------- the rules


def shown_r_hat(value: float) -> str:
    """Return R-hat with three decimals, a large one with four digits; ``infinite`` where replicas never change but differ."""
    return "infinite" if math.isinf(value) else f"{value:.3f}" if value < 1e3 else f"{value:.4g}"


def r_hat_check(x: FloatArray) -> Check:
    """Return whether replicas (records, R) agree with each other and with themselves.

    It never fails: records of equilibrium that are shorter than their memory have any R-hat, infinite ones too.
    """
    thinned = x[:: max(1, min(math.ceil(x.size / _MOST_VALUES), len(x) // _LEAST_RANKED))]
    if x.shape[1] > _LEAST_RANKED:
        thinned = thinned[:, :: max(1, min(math.ceil(thinned.size / _MOST_VALUES), x.shape[1] // _LEAST_RANKED))]
    value = split_rhat(thinned, rank_normalised=True)
    limit = R_HAT_LIMIT if x.shape[1] >= AUTO_REPLICAS else R_HAT_FEW
    if value <= limit:
        return Check("R-hat", value, limit, True, f"R-hat {shown_r_hat(value)}")
    found = "is infinite" if math.isinf(value) else f"{shown_r_hat(value)} above {limit:g}"
    return Check("R-hat", value, limit, None, f"R-hat {found}, the run is too short for replicas to agree")


def _lengths(x: FloatArray) -> list[Check]:
    """Hold the run against its autocorrelation time, and count effective samples."""
    if x.max() == x.min():
        return [Check("run / tau", math.nan, LEAST_TIMES, None, "the energy never changes")]
    tau, closed = estimate_mean(x, method="auto").tau, autocorrelation_time(x).converged
    times, ess = len(x) / tau, x.size / (2.0 * tau)
    long = closed and times >= LEAST_TIMES
    words = f"{times:.3g} autocorrelation times"
    if long:
        words = f"the run is {words}"
    elif times < LEAST_TIMES:
        words = f"the run is only {words}, {LEAST_TIMES:g} are needed"
    else:
        words = "the run is too short for its autocorrelation time to be known"
    checks = [Check("run / tau", times, LEAST_TIMES, long or None, words)]
    enough = ess >= LEAST_SAMPLES
    words = f"{ess:.3g} effective samples"
    words = words if enough else f"only {words}, {LEAST_SAMPLES:g} are needed"
    return [*checks, Check("effective samples", ess, LEAST_SAMPLES, enough or None, words)]


def chain_checks(series: object, *, from_cold: object = None, regular: bool = True, alone: bool = False) -> list[Check]:
    """Return the checks of `judge_chains`; with `alone`, a single replica may do, as it has other evidence."""
    x = _check.float_array("series", series, finite=False)
    if x.ndim in (1, 2) and (len(x) < LEAST_RECORDS or x.size == 0):
        words = f"only {len(x)} record{'' if len(x) == 1 else 's'}, {LEAST_RECORDS} are needed"
        return [Check("records", float(len(x)), float(LEAST_RECORDS), None, words)]
    if not np.isfinite(x).all():
        return [Check("records", math.nan, math.nan, None, "an energy is not finite")]
    (x,) = _scaled(series_2d("series", x))
    cold = _cold(from_cold, x.shape[1])
    checks = [r_hat_check(x), drift_check([x] if cold is None else [x[:, ~cold], x[:, cold]])]
    if cold is not None:
        checks.append(forward_backward(x[:, ~cold], x[:, cold]))
    if x.shape[1] == 1 and not alone:
        checks.append(Check("replicas", 1.0, 2.0, None, "a single replica has no other to agree with, however long it is"))
    if not _check.boolean("regular", regular):
        return [*checks, Check("run / tau", math.nan, LEAST_TIMES, None, "records at unequal intervals have no tau")]
    return [*checks, *_lengths(x)]


def _scaled(*arrays: FloatArray) -> list[FloatArray]:
    """Shift and scale arrays alike, so that squares neither overflow nor vanish; no check depends on the unit."""
    largest = max(float(np.abs(array).max()) for array in arrays) or 1.0
    shares = [array / largest for array in arrays]
    centred = [share - shares[0].mean() for share in shares]
    spread = max(float(np.abs(array).max()) for array in centred)
    return [array / spread for array in centred] if spread > 0.0 else centred


def _cold(from_cold: object, replicas: int) -> npt.NDArray[np.bool_] | None:
    """Return which replicas started cold, of which there must be some and some not; None if that was not said."""
    if from_cold is None:
        return None
    try:
        mask = np.asarray(from_cold)
    except ValueError:
        raise ValueError(f"from_cold: expected booleans, got {_check.describe(from_cold)}") from None
    if mask.dtype != np.bool_ or mask.shape != (replicas,):
        raise ValueError(f"from_cold: expected booleans of shape {(replicas,)}, got {mask.dtype} of shape {mask.shape}")
    if mask.all() or not mask.any():
        raise ValueError(f"from_cold: expected replicas of either kind, got {'only' if mask.all() else 'no'} cold ones")
    return mask


def judge_chains(series: object, *, from_cold: object = None, regular: bool = True) -> Verdict:
    """Judge the energies, or another observable, of replicas at one temperature.

    - R-hat: rank-normalised split R-hat, of ranks and folded ranks (Vehtari et al. 2021). Up to 1.05
      passes, with fewer than 8 replicas up to 1.01; more says that the run is too short, no more.
    - drift: the halves of the records, and their first tenth and second half, differ (Geweke 1992). From 8 replicas on by a t
      test over the replicas, which assumes nothing about correlations in time; of fewer by the autocorrelation time, and where
      that is not known by the t test from 4 on.
    - replicas: two or more. One that is stuck looks like one in equilibrium: nothing can be told of a single replica.
    - forward-backward, with `from_cold`: see `forward_backward`. Drifts of hot and cold replicas are then tested apart.
    - run / tau: the run is 50 integrated autocorrelation times or longer (Sokal 1997); tau is the larger of that of the gamma
      method and that which the spread of 8 replicas or more gives (`estimate_mean`).
    - effective samples: 400 or more, all replicas together (Vehtari et al. 2021).

    Parameters
    ----------
    series
        (records,) or (records, R), at equal intervals.
    from_cold
        (R,) booleans: which replicas started from below the temperature, the others from above. Default: nothing is known.
    regular
        Whether the intervals are equal. If not, there is no autocorrelation time, and nothing can be told at best.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above. Too few records, or energies that are not finite, are no error: nothing can be told.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(1).normal(size=(500, 16))
    >>> judge_chains(noise).status
    'equilibrated'
    >>> judge_chains(noise + np.linspace(1.0, 0.0, 500)[:, None]).status
    'not equilibrated'
    >>> judge_chains(noise[:20]).status
    'cannot tell'
    """
    return Verdict.of(chain_checks(series, from_cold=from_cold, regular=regular))


def forward_backward(hot: object, cold: object) -> Check:
    """Compare replicas that started from above the temperature with others that started from below.

    A liquid that has not relaxed remembers from which side it came: from above its energy is too high, from below too low. The
    means of the replicas on either side are compared by Welch's t test, which assumes nothing about correlations in time; with
    fewer than 4 replicas on a side the errors are those of autocorrelation times, where these are known. Agreement counts only
    where the error of the difference is below a quarter of the standard deviation of the records.

    Parameters
    ----------
    hot, cold
        (records,) or (records, R): energies at the same temperature. Numbers of records and replicas may differ.

    Raises
    ------
    TypeError, ValueError
        On a bad series.
    """
    sides = _scaled(series_2d("hot", hot), series_2d("cold", cold))
    name, limit = "forward-backward", sigma_limit()
    difference = float(sides[0].mean() - sides[1].mean())
    variances = [_variance_of_mean(side) for side in sides]
    if any(math.isnan(variance) for variance, _ in variances):
        return Check(name, math.nan, limit, None, "too few replicas, and too short a run, to compare starts")
    total = sum(variance for variance, _ in variances)
    weights = [variance**2 / dof for variance, dof in variances]
    dof = round(total**2 / sum(weights)) if sum(weights) > 0.0 else 1
    sigmas = _deviate(difference, math.sqrt(total), max(1, dof))
    if all(_identical(side) for side in sides) and max(side.max() for side in sides) > min(side.min() for side in sides):
        return Check(name, math.nan, limit, None, "replicas are identical, without a spread to compare starts by")
    if abs(sigmas) > limit:
        words = f"replicas that start hot end {'above' if sigmas > 0.0 else 'below'} those that start cold"
        return Check(name, sigmas, limit, False, f"{words} ({_sigmas(sigmas)})")
    spread = math.sqrt(0.5 * sum(float(side.var()) for side in sides))
    if math.sqrt(total) > _RESOLUTION * spread:
        return Check(name, sigmas, limit, None, "hot and cold starts agree, but too coarsely to mean anything")
    return Check(name, sigmas, limit, True, f"hot and cold starts agree ({abs(sigmas):.1f} sigma)")


def _variance_of_mean(x: FloatArray) -> tuple[float, int]:
    """Return the squared error of a mean with its degrees of freedom; NaN where it is not known."""
    replicas = x.shape[1]
    if replicas >= _LEAST_REPLICAS:
        return float(x.mean(axis=0).var(ddof=1)) / replicas, replicas - 1
    tau = autocorrelation_time(x) if x.size > 1 else None
    if tau is None or not tau.converged:
        return math.nan, 1
    return float(x.var()) / tau.ess, max(1, round(tau.ess) - 1)
