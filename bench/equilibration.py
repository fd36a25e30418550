"""How often is a verdict wrong? Runs of ka2d, N = 43, that are known to be in equilibrium, and runs that are known not to be.

Starts in equilibrium are configurations of parallel tempering by swap Monte Carlo. From these, from random places after 200
sweeps, and from below (annealed by swap Monte Carlo to half the temperature), swap and local Monte Carlo record 64 replicas.
What is known: runs from equilibrium are in equilibrium, however short; other runs are not where the average over all replicas
and the records used is off the shipped reference by more than a fifth of the standard deviation of the energy of one
configuration, and by four standard errors. Runs that are neither count nowhere. Each run is then cut into groups of replicas
and into its first records, and every piece gets a verdict of its own; pieces of one run are not independent where they share
records. Anneals of populations are judged alike: slow ones by swap moves, and fast ones by local moves.
Rates as low as 1e-3 need more than that: ``--synthetic`` measures them on chains that are no liquid (`synthetic_chains`).

    python bench/equilibration.py --synthetic -o bench/results/equilibration_synthetic.json
    python bench/equilibration.py -o bench/results/equilibration.json
    python bench/report.py bench/results/equilibration.json --write docs/equilibration.md
"""

from __future__ import annotations

import math
import sys
import warnings
from collections import Counter
from typing import Any

import numpy as np

import common
import glassnf as gnf
import synthetic_chains
from glassnf.compare.reference import Reference, shipped_reference
from glassnf.observables import Verdict, judge_chains
from glassnf.observables.equilibration import CANNOT_TELL, EQUILIBRATED, NOT_EQUILIBRATED

LADDER = (0.2, 0.225, 0.26, 0.3, 0.36, 0.42, 0.5, 0.63, 0.8, 1.0)
STATUSES = (EQUILIBRATED, CANNOT_TELL, NOT_EQUILIBRATED)
OFF = 0.2
"""Of an average, in standard deviations of one configuration, from which on a run is known not to be in equilibrium."""

SETTLED = 4.0
"""The same in standard errors."""


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


class Runs:
    """Records of every case at every temperature."""

    def __init__(self, options: Any, seed: int) -> None:
        self.options, self.seed = options, seed
        self.system = gnf.systems.ka2d(n=43)
        self.samplers = {
            "swap": gnf.MonteCarlo(self.system, swap_probability=0.2, threads=options.threads),
            "local": gnf.MonteCarlo(self.system, swap_probability=0.0, threads=options.threads),
        }

    def equilibrium(self) -> dict[float, gnf.Ensemble]:
        """Return replicas in equilibrium at each temperature, from four moments of parallel tempering."""
        options = self.options
        ladders = options.replicas // 4
        temperatures = np.array(sorted({*LADDER, *options.temperatures}))
        pt = gnf.ParallelTempering(self.system, temperatures, self.samplers["swap"], ladders, 5)
        moving = gnf.Ensemble.random(self.system, ladders * temperatures.size, np.tile(temperatures, ladders), self.seed)
        pt.equilibrate(moving, options.preparation, adapt_ladder=False)
        taken: dict[float, list[gnf.Ensemble]] = {t: [] for t in options.temperatures}
        for _ in range(4):
            record = pt.run(moving, options.preparation // 4, record_every=10)
            beta = np.asarray(moving.beta)
            for t, parts in taken.items():
                parts.append(moving[np.flatnonzero(np.isclose(beta, 1.0 / t))].copy())
        log(f"seed {self.seed}: {record.total_round_trips} round trips in the last quarter")
        return {t: self._joined(parts, t) for t, parts in taken.items()}

    def _joined(self, parts: list[gnf.Ensemble], temperature: float) -> gnf.Ensemble:
        """Return configurations as replicas with random numbers of their own."""
        fields = {
            name: np.concatenate([np.asarray(getattr(part, name)) for part in parts])
            for name in ("positions", "species", "move_size")
        }
        positions, seed = fields.pop("positions"), self.seed + 1000
        return gnf.Ensemble.from_arrays(self.system, positions, temperature=temperature, seed=seed, **fields)

    def at(self, temperature: float, equilibrium: gnf.Ensemble) -> dict[str, np.ndarray]:
        """Return energies (records, replicas) of each case at a temperature."""
        found = {}
        for place, (name, sampler) in enumerate(self.samplers.items()):
            start = equilibrium.copy()
            sampler.equilibrate(start, 100)  # only the move sizes change: it is in equilibrium
            found[f"{name}, from equilibrium"] = self._records(sampler, start)
            hot = gnf.Ensemble.random(self.system, self.options.replicas, temperature, self.seed + 2000 + place)
            sampler.equilibrate(hot, 200)
            found[f"{name}, from above"] = self._records(sampler, hot)
            cold = self._cold(temperature, self.seed + 3000 + place)
            sampler.equilibrate(cold, 200)
            found[f"{name}, from below"] = self._records(sampler, cold)
        return found

    def _cold(self, temperature: float, seed: int) -> gnf.Ensemble:
        """Return replicas annealed to half the temperature, and set to the temperature."""
        moving = gnf.Ensemble.random(self.system, self.options.replicas, max(1.0, 2.0 * temperature), seed)
        for value in np.geomspace(max(1.0, 2.0 * temperature), 0.5 * temperature, 10).tolist():
            moving.beta[:] = 1.0 / value
            self.samplers["swap"].equilibrate(moving, self.options.preparation // 20)
        moving.beta[:] = 1.0 / temperature
        return moving

    def _records(self, sampler: gnf.MonteCarlo, start: gnf.Ensemble) -> np.ndarray:
        every = self.options.record_every
        return np.asarray(sampler.run(start, self.options.records * every, record_every=every).energy)


# ------------------------------------------------------------------------------------------------------------- what is known


def bias(energy: np.ndarray, n: int, reference: Reference) -> tuple[float, float]:
    """Return how far an average is off the reference, in standard deviations of one configuration, and its error."""
    fluctuation = math.sqrt(reference.specific_heat * reference.temperature**2 / n)
    means = energy.mean(axis=0) / n
    error = math.hypot(float(means.std(ddof=1)) / math.sqrt(means.size), reference.mean_energy_error)
    return (float(means.mean()) - reference.mean_energy) / fluctuation, error / fluctuation


def truth(case: str, off: float, error: float) -> str:
    """Return ``"equilibrium"``, ``"off"``, or ``"between"``."""
    if case.endswith("from equilibrium"):
        return "equilibrium"
    return "off" if abs(off) > OFF and abs(off) > SETTLED * error else "between"


# ------------------------------------------------------------------------------------------------------------------- judging


def pieces(found: dict[str, np.ndarray], records: int, replicas: int) -> dict[str, list[Verdict]]:
    """Return the verdicts on groups of replicas of each case, and of groups from either side."""
    made: dict[str, list[Verdict]] = {}
    for case, energy in found.items():
        groups = range(0, energy.shape[1] - replicas + 1, replicas)
        made[case] = [judge_chains(energy[:records, k : k + replicas]) for k in groups]
    half = replicas // 2
    for name in ("swap", "local"):
        hot, cold = (found[f"{name}, from {side}"][:records] for side in ("above", "below"))
        mask = np.arange(replicas) >= half
        if half:
            made[f"{name}, from both sides"] = [
                judge_chains(np.concatenate([hot[:, k : k + half], cold[:, k : k + half]], axis=1), from_cold=mask)
                for k in range(0, hot.shape[1] - half + 1, half)
            ]
    return made


def judged(found: dict[str, np.ndarray], temperature: float, n: int, options: Any) -> list[dict[str, Any]]:
    """Return a row for each case, length and number of replicas at a temperature."""
    reference = shipped_reference(gnf.systems.ka2d(n=n), temperature)
    common.require(reference is not None, f"there is no reference at T = {temperature:g}")
    assert reference is not None
    rows = []
    for records in sorted({max(16, options.records // part) for part in (10, 3, 1)}):
        known = {case: bias(energy[:records], n, reference) for case, energy in found.items()}
        for replicas in options.groups:
            for case, verdicts in pieces(found, records, replicas).items():
                if case in known:
                    off, error = known[case]
                    state = truth(case, off, error)
                else:  # from both sides: off where either side is
                    off, error = max(
                        (known[case.replace("both sides", side)] for side in ("above", "below")), key=lambda b: abs(b[0])
                    )
                    state = truth(case, off, error)
                faults = Counter(check.name for one in verdicts for check in one.checks if check.outcome is False)
                rows.append(
                    {
                        "temperature": temperature,
                        "case": case,
                        "records": records,
                        "replicas": replicas,
                        "truth": state,
                        "bias": off,
                        "bias_error": error,
                        "verdicts": {status: sum(one.status == status for one in verdicts) for status in STATUSES},
                        "failed": dict(faults),
                    }
                )
    return rows


def anneals(options: Any, seed: int) -> list[dict[str, Any]]:
    """Return rows of populations annealed to T = 0.5: slow ones by swap moves, fast ones by a local sweep per temperature."""
    system = gnf.systems.ka2d(n=43)
    rows, target = [], 0.5
    kinds = {"anneal, slow": (0.2, options.slow), "anneal, fast": (0.0, 1)}
    for case, (swap, sweeps) in kinds.items():
        explorer = gnf.MonteCarlo(system, swap_probability=swap, threads=options.threads)
        pa = gnf.PopulationAnnealing(
            system,
            start=1.0,
            target=target,
            explorer=explorer,
            sweeps_per_step=sweeps,
            equilibration_sweeps=options.preparation // 4,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gnf.samplers.PopulationCollapseWarning)  # the verdict says so
            results = [pa.run(options.population, seed + 4000 + k) for k in range(options.anneals)]
        reference = shipped_reference(system, target)
        assert reference is not None
        fluctuation = math.sqrt(reference.specific_heat * target**2 / system.n)
        ends = np.array([result.mean_energy[-1] for result in results]) / system.n
        off = (float(ends.mean()) - reference.mean_energy) / fluctuation
        error = float(ends.std(ddof=1)) / math.sqrt(ends.size) / fluctuation
        verdicts = [result.verdict for result in results]
        faults = Counter(check.name for one in verdicts for check in one.checks if check.outcome is False)
        rows.append(
            {
                "temperature": target,
                "case": case,
                "records": int(results[0].temperatures.size),
                "replicas": options.population,
                "truth": "equilibrium" if case.endswith("slow") else truth(case, off, error),
                "bias": off,
                "bias_error": error,
                "verdicts": {status: sum(one.status == status for one in verdicts) for status in STATUSES},
                "failed": dict(faults),
            }
        )
        log(f"{case}: off by {off:.2f}({error:.2f}), {rows[-1]['verdicts']}, {dict(faults)}")
    return rows


# -------------------------------------------------------------------------------------------------------------------- rates


def added(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Return the verdicts of rows, summed."""
    return {status: sum(row["verdicts"][status] for row in rows) for status in STATUSES}


def rates(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, int]]]:
    """Return counts of verdicts by what is known, for few and for many replicas, with and without starts from both sides."""
    chosen = {
        "one replica": lambda row: row["replicas"] == 1,
        "4 replicas": lambda row: row["replicas"] == 4 and "both" not in row["case"],
        "8 replicas or more": lambda row: row["replicas"] >= 8 and "both" not in row["case"],
        "4 replicas, from both sides": lambda row: row["replicas"] == 4 and "both" in row["case"],
        "8 replicas or more, from both sides": lambda row: row["replicas"] >= 8 and "both" in row["case"],
        "annealed populations": lambda row: row["case"].startswith("anneal"),
    }
    found = {}
    for name, wanted in chosen.items():
        kept = [row for row in rows if wanted(row) and row["case"].startswith("anneal") == name.startswith("anneal")]
        by_truth = {state: added([row for row in kept if row["truth"] == state]) for state in ("equilibrium", "off")}
        found[name] = {state: counts for state, counts in by_truth.items() if sum(counts.values())}
    return found


def parser() -> Any:
    made = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    made.add_argument("--temperatures", type=float, nargs="+", default=(1.0, 0.5, 0.3, 0.2), help="in epsilon / k_B")
    made.add_argument("--replicas", type=int, default=64, help="of each case, a multiple of 4")
    made.add_argument("--groups", type=int, nargs="+", default=(1, 4, 8, 16, 32), help="replicas that are judged together")
    made.add_argument("--records", type=int, default=1000, help="of each run")
    made.add_argument("--record-every", type=int, default=4, help="sweeps")
    made.add_argument("--preparation", type=int, default=6000, help="sweeps before parallel tempering is in equilibrium")
    made.add_argument("--population", type=int, default=800, help="replicas of an anneal")
    made.add_argument("--anneals", type=int, default=8, help="of each kind")
    made.add_argument("--slow", type=int, default=20, help="sweeps per temperature of a slow anneal")
    made.add_argument("--seeds", type=int, nargs="+", default=(1,), help="of independent repetitions")
    made.add_argument("--synthetic", action="store_true", help="synthetic chains instead; takes a minute")
    made.add_argument("--sets", type=int, default=1000, help="of synthetic chains in equilibrium, of each kind")
    made.add_argument("--judged", type=int, default=20, help="of these that get a whole verdict")
    made.add_argument("--threads", type=int, default=1, help="threads")
    return made


def main() -> None:
    options = parser().parse_args()
    if options.synthetic:
        synthetic = synthetic_chains.measure(options.seeds[0], options.sets, options.judged)
        common.report("equilibration_synthetic", None, options.output, synthetic, quiet=True)
        return
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        runs = Runs(options, seed)
        for temperature, start in runs.equilibrium().items():
            made = judged(runs.at(temperature, start), temperature, runs.system.n, options)
            for row in made:
                rows.append({"seed": seed, **row})
            whole = [row for row in made if row["records"] == options.records and row["replicas"] == max(options.groups)]
            for row in whole:
                log(f"T = {temperature:g}, {row['case']}: off by {row['bias']:.2f}({row['bias_error']:.2f}), {row['verdicts']}")
            write(rows, options)
        rows += [{"seed": seed, **row} for row in anneals(options, seed)]
    log(str(write(rows, options)["rates"]))


def write(rows: list[dict[str, Any]], options: Any) -> dict[str, Any]:
    """Write what there is so far, and return it."""
    names = (
        "temperatures",
        "replicas",
        "groups",
        "records",
        "record_every",
        "preparation",
        "population",
        "anneals",
        "slow",
        "seeds",
    )
    settings = {name: getattr(options, name) for name in names}
    results = {"settings": settings, "rates": rates(rows), "rows": rows}
    common.report("equilibration", None, options.output, results, quiet=True)
    return results


if __name__ == "__main__":
    main()
