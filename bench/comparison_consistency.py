"""Are the intervals of `glassnf compare` right? Comparisons with different seeds, with K runs of each algorithm and with 2 K.

All comparisons have the same budgets in sweeps, so that what they find does not depend on the speed of the machine as long as
costs are counted in pair evaluations; those in wall time are reported beside them, but they are of this machine as it was.

For every algorithm, observable, target error and kind of cost, two seeds give two speed-ups over the first algorithm with a 95%
interval each. In logarithms their difference has a standard error from the two half-widths on the sides that face each other;
they are consistent if it is less than 1.96 of these, which 95% should be. Speed-ups that are bounds are consistent if the
intervals overlap. The half-widths of 2 K runs over those of K should be about 0.71.

    python bench/comparison_consistency.py -o bench/results/comparison_consistency.json
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
from typing import Any

import common
import glassnf as gnf
from glassnf.compare import Settings, compare
from glassnf.compare.jsonable import jsonable
from glassnf.compare.results import COSTS
from glassnf.compare.settings import TUNING_SHARE

ALGORITHMS = ("md", "mc", "swap", "pt", "pa", "nf")


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def one(runs: int, seed: int, options: Any) -> dict[str, Any]:
    """Return the speed-ups of one comparison."""
    settings = Settings(
        gnf.systems.by_name(options.system, options.n),
        (options.temperature,),
        tuple(options.algorithms),
        runs=runs,
        seed=seed,
        threads=options.threads,
        sweeps=options.sweeps,
        tuning=options.tuning,
        target_energy_error=options.energy_error,
        target_heat_error=options.heat_error,
        seconds=options.reference_seconds,
        cache=False,
    )
    comparison = compare(settings)
    result = comparison.results[0]
    log(f"K = {runs}, seed {seed}: {comparison.seconds:.0f} s")
    return {
        "runs": runs,
        "seed": seed,
        "seconds": comparison.seconds,
        "reference": jsonable(result.reference),
        "algorithms": {
            entry.spec.name: {
                "sweeps": int(entry.sweeps[-1]),
                "cost": {kind: float(values[-1]) for kind, values in entry.costs.items()},
                "error": {name: float(entry.curves[name, "wall_time"].error[-1]) for name in entry.estimates},
                "chosen": None if entry.tuning is None else entry.tuning["settings"],
                "equilibrated": entry.verdict.equilibrated,
            }
            for entry in result.algorithms
        },
        "not_run": {entry.name: entry.reason for entry in result.not_run},
        "speed_ups": [jsonable(entry) for entry in result.speed_ups],
    }


def key(entry: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a speed-up is of; the target where it is the baseline's own error differs from comparison to comparison."""
    return entry["algorithm"], entry["observable"], entry["at_end_of_baseline"], entry["cost"]


def ratio_of(entry: dict[str, Any]) -> tuple[str, float, float, float]:
    """Return bound, value and interval; what is not finite comes as None from JSON."""
    ratio = entry["ratio"]
    value = math.nan if ratio["value"] is None else ratio["value"]
    return ratio["bound"], value, ratio["low"] or 0.0, math.inf if ratio["high"] is None else ratio["high"]


def closed(entry: dict[str, Any]) -> bool:
    """Return whether a speed-up is a number with a finite interval."""
    bound, _, low, high = ratio_of(entry)
    return bound == "=" and low > 0.0 and math.isfinite(high)


def consistent(one: dict[str, Any], other: dict[str, Any]) -> bool | None:
    """Return whether two speed-ups of the same thing agree; None where nothing is known of one of them."""
    if "?" in (one["ratio"]["bound"], other["ratio"]["bound"]):
        return None
    (_, lesser, low, high), (_, greater, other_low, other_high) = sorted(map(ratio_of, (one, other)), key=lambda r: r[1])
    if closed(one) and closed(other):
        return math.log(greater / lesser) <= math.hypot(math.log(high / lesser), math.log(greater / other_low))
    return low <= other_high and other_low <= high


def width(entry: dict[str, Any]) -> float:
    """Return the width of a closed interval in logarithms."""
    _, _, low, high = ratio_of(entry)
    return math.log(high / low)


def agreement(made: list[dict[str, Any]], runs: int, cost: str) -> dict[str, Any]:
    """Return how many pairs of speed-ups from different seeds agree, and those that do not."""
    of_runs = [{key(entry): entry for entry in one["speed_ups"]} for one in made if one["runs"] == runs]
    verdicts = {}
    for (i, first), (j, second) in itertools.combinations(enumerate(of_runs), 2):
        for name in first.keys() & second.keys():
            if name[3] == cost:
                verdicts[(i, j, *name)] = consistent(first[name], second[name])
    known = [verdict for verdict in verdicts.values() if verdict is not None]
    apart = sorted(name for name, verdict in verdicts.items() if verdict is False)
    return {
        "pairs": len(known),
        "consistent": sum(known),
        "unknown": len(verdicts) - len(known),
        "apart": [list(a) for a in apart],
    }


def shrinkage(made: list[dict[str, Any]], few: int, many: int, cost: str) -> dict[str, Any]:
    """Return the widths of intervals with many runs over those with few, of the same seed and speed-up."""
    found: dict[str, list[float]] = {}
    for one, other in itertools.product(made, made):
        if (one["runs"], other["runs"]) != (few, many) or one["seed"] != other["seed"]:
            continue
        wide = {key(entry): entry for entry in one["speed_ups"] if closed(entry)}
        narrow = {key(entry): entry for entry in other["speed_ups"] if closed(entry)}
        for name in sorted(wide.keys() & narrow.keys()):
            if name[3] == cost:
                found.setdefault(name[0], []).append(width(narrow[name]) / width(wide[name]))
    every = [value for values in found.values() for value in values]
    return {
        "count": len(every),
        "median": statistics.median(every) if every else None,
        "geometric_mean": statistics.geometric_mean(every) if every else None,
        "narrower": sum(value < 1.0 for value in every),
        "expected": math.sqrt(few / many),
        "medians": {name: statistics.median(values) for name, values in found.items()},
    }


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--system", default="ka2d", help="model")
    parser.add_argument("-n", type=int, default=43, help="particles")
    parser.add_argument("--temperature", type=float, default=0.4, help="in epsilon / k_B")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS, help="the first is the baseline")
    parser.add_argument("--runs", type=int, nargs=2, default=(16, 32), help="K, few and many")
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2), help="two at least")
    parser.add_argument("--sweeps", type=int, default=25_600, help="largest budget of a run, all its replicas together")
    parser.add_argument("--tuning", type=float, default=TUNING_SHARE, help="share of it that goes to the choice of settings")
    parser.add_argument("--energy-error", type=float, default=0.02, help="of <U>/N at which costs are compared")
    parser.add_argument("--heat-error", type=float, default=0.2, help="of C_v at which costs are compared")
    parser.add_argument("--reference-seconds", type=float, default=120.0, help="for a reference, where none is shipped")
    parser.add_argument("--threads", type=int, help="threads, all if not given")
    options = parser.parse_args()
    if len(set(options.seeds)) < 2:
        parser.error("--seeds: expected two different ones at least")
    made = [one(runs, seed, options) for runs in options.runs for seed in options.seeds]
    names = (
        "system",
        "n",
        "temperature",
        "algorithms",
        "runs",
        "seeds",
        "sweeps",
        "tuning",
        "energy_error",
        "heat_error",
        "threads",
    )
    results = {
        "settings": {name: getattr(options, name) for name in names},
        "comparisons": made,
        "agreement": {str(runs): {cost: agreement(made, runs, cost) for cost in COSTS} for runs in options.runs},
        "shrinkage": {cost: shrinkage(made, *options.runs, cost) for cost in COSTS},
    }
    log(f"agreement: {results['agreement']}")
    log(f"shrinkage: {results['shrinkage']}")
    common.report("comparison_consistency", None, options.output, results, quiet=True)


if __name__ == "__main__":
    main()
