"""What parallel tempering costs beside its explorer: N = 43, one thread, exchanges after every 1, 5 and 10 sweeps.

Measured: replica-sweeps per second of the same replicas at the temperatures of a ladder, moved by Monte Carlo alone (many
sweeps a call) and by parallel tempering, by turns. Seconds are those of the processor, so that other programs disturb less.
Reported: medians, and the overhead: the median over the repetitions of the ratio of the two rates, less one. Before a number
counts, energies that were kept must equal recomputed ones.

    python bench/parallel_tempering.py -o bench/results/parallel_tempering.json
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import common
import glassnf as gnf

HOTTEST, COLDEST, TEMPERATURES = 1.0, 0.3, 12
INTERVALS = (1, 5, 10)


class Case:
    """One ensemble that goes on from call to call, moved by the explorer or by parallel tempering."""

    def __init__(self, start: gnf.Ensemble, pt: gnf.ParallelTempering | None, mc: gnf.MonteCarlo, seconds: float) -> None:
        self.ensemble, self.sampler = start.copy(), mc if pt is None else pt
        self.acceptance: list[float] = []
        self.sweeps = 200
        self.sweeps = max(200, int(seconds * self() / self.ensemble.replicas))
        self.acceptance = []

    def __call__(self) -> float:
        start = time.process_time()
        record = self.sampler.run(self.ensemble, self.sweeps, record_every=max(1, self.sweeps // 20))
        elapsed = time.process_time() - start
        if isinstance(record, gnf.PTRecord):
            self.acceptance.append(float(record.acceptance.mean()))
        return self.sweeps * self.ensemble.replicas / elapsed

    def check(self) -> None:
        cached, ensemble = self.ensemble.energy, self.ensemble
        recomputed = gnf.energy(ensemble.system, ensemble.positions, ensemble.species)
        common.require(bool(np.abs(cached - recomputed).max() < 1e-9), "cached energies differ from recomputed ones")


def measure(options: Any) -> dict[str, Any]:
    system = gnf.systems.ka2d(n=43)
    ladder = gnf.geometric_ladder(HOTTEST, COLDEST, TEMPERATURES)
    results: dict[str, Any] = {}
    for name, swaps in (("local moves", 0.0), ("20 % swaps", 0.2)):
        mc = gnf.MonteCarlo(system, swap_probability=swaps, threads=1)
        tempering = {f"every {k}": gnf.ParallelTempering(system, ladder, mc, 1, k) for k in INTERVALS}
        start = tempering["every 10"].random(seed=1)
        gnf.ParallelTempering(system, ladder, gnf.MonteCarlo(system, threads=1), 1, 10).equilibrate(
            start, options.equilibration, adapt_ladder=False
        )
        cases = {"explorer": Case(start, None, mc, options.seconds)}
        cases |= {key: Case(start, pt, mc, options.seconds) for key, pt in tempering.items()}
        rates = common.interleave(cases, options.repetitions)
        for case in cases.values():
            case.check()
        overheads = {key: common.ratio(rates, "explorer", key) for key in tempering}
        results[name] = {
            "replica_sweeps_per_s": {key: {"median": common.median_of(v), "values": v} for key, v in rates.items()},
            "overhead": {
                key: {"median": ratio["median"] - 1.0, "values": [v - 1.0 for v in ratio["values"]]}
                for key, ratio in overheads.items()
            },
            "acceptance": {key: common.median_of(cases[key].acceptance) for key in tempering},
        }
    return {
        "settings": {
            "n": 43,
            "temperatures": ladder.tolist(),
            "threads": 1,
            "seconds": options.seconds,
            "repetitions": options.repetitions,
        },
        "results": results,
    }


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=0.15, help="length of each measurement")
    parser.add_argument("--equilibration", type=int, default=10_000, help="sweeps")
    options = parser.parse_args()
    cpu = common.pin(options.cpu)
    common.report("parallel_tempering", cpu, options.output, measure(options))


if __name__ == "__main__":
    main()
