"""Whether the energy that Monte Carlo carries along drifts from that of the configuration, over 10^10 trial moves.

Every case is one native call: the kernel computes the energy once, at the start, and then only adds the changes of accepted
moves, so that whatever it loses it has lost for good. (`MonteCarlo.run` is kinder: it begins anew every tenth of a second.) At
records along the way, and at the end, the energy that was carried is compared with a fresh ``glassnf.energy`` of the same
configuration, whose pairs are summed in plain double precision; at the end also, bit for bit, with that of a kernel just
opened.

    python bench/long_run.py -o bench/results/long_run.json                     # all cases, hours
    python bench/long_run.py -o bench/results/long_run.json --case board        # one of them, added to the file
    python bench/long_run.py --trials 1e6                                       # a rehearsal
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import common
import glassnf as gnf
from glassnf.samplers.monte_carlo import Records

LIMIT = 1e-8
"""Of the drift relative to the energy."""

SEED = 20261126
EQUILIBRATION = 2000


@dataclass(frozen=True)
class Case:
    """One long call; `trials` is of all replicas, of which there is one."""

    what: str
    system: gnf.systems.System
    trials: float
    temperature: float
    swaps: float = 0.2
    step: int = 0
    checkerboard: bool = False
    search: int = 0  # of neighbours: 2 insists on cells


def cases() -> dict[str, Case]:
    liquid, middle, solid_state = gnf.systems.ka2d(), gnf.systems.ka2d(n=1290), gnf.systems.ka(n=1000)
    return {
        "pairs": Case("ka2d, N = 43: all pairs, kept", liquid, 1e10, 0.5),
        "local": Case(
            "ka2d, N = 43: all pairs, kept, no swaps, steps across 2^32", liquid, 3e8, 0.5, swaps=0.0, step=2**32 - 10**6
        ),
        "lists": Case("ka2d, N = 1290: neighbour lists", middle, 3e8, 0.5),
        "cells": Case("ka2d at density 0.3, N = 1290: cells", dilute(), 1e8, 2.0, search=2),
        "space": Case("ka in three dimensions, N = 1000: neighbour lists", solid_state, 1e8, 0.6),
        "board": Case("ka2d, N = 1290: checkerboard", middle, 1e8, 0.5, checkerboard=True),
    }


def dilute() -> gnf.systems.System:
    """The same mixture as a gas, whose moves are too long for neighbour lists."""
    system = gnf.systems.ka2d(n=1290)
    return gnf.systems.custom(
        "ka2d-dilute", potential=system.potential, composition=system.composition, density=0.3, dimension=2
    )


class LongRun:
    """A native call in a thread of its own, and what its records say while it lasts."""

    def __init__(self, case: Case, records: int, equilibration: int) -> None:
        self.case, self.system = case, case.system
        self.sampler = gnf.MonteCarlo(
            case.system, swap_probability=case.swaps, threads=1, checkerboard=case.checkerboard or None
        )
        self.ensemble = self.start(equilibration)
        n, d = case.system.n, case.system.dimension
        self.sweeps = max(records, int(case.trials) // n + (int(case.trials) % n > 0))
        at = np.linspace(0, self.sweeps, records + 1).astype(np.int64)[1:]
        self.records = Records(
            at, np.full((records, 1), np.nan), np.full((records, 1, n, d), np.nan), np.full((records, 1, n), -1, dtype=np.int32)
        )
        self.counters = self.sampler.counters(self.ensemble)
        self.first_step = self.ensemble.step
        self.seconds = 0.0
        self.error: BaseException | None = None
        self.drifts: list[float] = []

    def start(self, equilibration: int) -> gnf.Ensemble:
        """Equilibrate with swaps, which are fast, and with the case's own moves; then set the step."""
        ensemble = gnf.Ensemble.random(self.system, replicas=1, temperature=self.case.temperature, seed=SEED)
        gnf.MonteCarlo(self.system, threads=1).equilibrate(ensemble, equilibration)
        self.sampler.equilibrate(ensemble, equilibration)
        ensemble.step = self.case.step or ensemble.step
        return ensemble

    def call(self) -> None:
        start = time.process_time()
        try:
            completed = np.zeros(1, dtype=np.int64)
            arguments = self.sampler.native_arguments(self.ensemble, self.sweeps, self.counters, completed, self.records)
            gnf._core.monte_carlo(gnf._native.native_system(self.system), **arguments, search=self.case.search, threads=1)
            self.ensemble.step += int(completed[0])
        except BaseException as error:
            self.error = error
        self.seconds = time.process_time() - start

    def drift_of_record(self, index: int) -> float:
        """Relative difference of the energy carried along and that of the recorded configuration."""
        wrapped, _ = gnf.ensemble.wrap_positions(self.records.positions[index], self.system.box)
        fresh = float(gnf.energy(self.system, wrapped, self.records.species[index], threads=1)[0])
        return abs(float(self.records.energy[index, 0]) - fresh) / abs(fresh)

    def measure(self) -> None:
        """Compare the records that there are so far; a record is whole once the next has begun, or the call has ended."""
        energies = self.records.energy[:, 0]
        whole = int(np.count_nonzero(~np.isnan(energies))) - (0 if self.seconds else 1)
        while len(self.drifts) < whole:
            self.drifts.append(self.drift_of_record(len(self.drifts)))

    def ends_exactly(self) -> bool:
        """Whether a kernel opened on the last configuration finds the energy that was carried to it, bit for bit."""
        again = self.ensemble.copy()
        again.energy[:] = 0.0
        self.sampler._advance(again, 0, self.sampler.counters(again))
        return again.energy.tobytes() == self.ensemble.energy.tobytes()

    def summary(self) -> dict[str, Any]:
        done = len(self.drifts)
        sweeps = int(self.records.at[done - 1]) if done else 0
        attempts = int(self.counters.displacement_attempts.sum() + self.counters.swap_attempts.sum())
        finished = bool(self.seconds)
        result = {
            "what": self.case.what,
            "temperature": self.case.temperature,
            "swap_probability": self.case.swaps,
            "first_step": self.first_step,
            "trials": sweeps * self.system.n,
            "finished": finished,
            "records": done,
            "largest_relative_drift": max(self.drifts, default=None),
            "last_relative_drift": self.drifts[-1] if done else None,
        }
        if finished:
            fresh = float(gnf.energy(self.system, self.ensemble.positions, self.ensemble.species, threads=1)[0])
            accepts = int(self.counters.displacement_accepts.sum() + self.counters.swap_accepts.sum())
            result |= {
                "energy": float(self.ensemble.energy[0]),
                "energy_computed_anew": fresh,
                "same_bits_as_a_fresh_kernel": self.ends_exactly(),
                "counted_trials": attempts,
                "accepted_trials": accepts,
                "pair_evaluations": int(self.counters.pair_evaluations.sum()),
                "processor_seconds": round(self.seconds, 1),
            }
        return result

    def check(self, result: dict[str, Any]) -> None:
        common.require(result["largest_relative_drift"] < LIMIT, f"the energy drifted by {result['largest_relative_drift']}")
        common.require(result["same_bits_as_a_fresh_kernel"], "a fresh kernel finds another energy")
        trials = self.sweeps * self.system.n
        if not self.case.checkerboard:  # whose sweeps have N trials on average
            common.require(result["counted_trials"] == trials, f"{trials} trials, but {result['counted_trials']} were counted")


def save(path: Path | None, name: str, result: dict[str, Any]) -> None:
    """Put a case into the file, beside those of other processes."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {**result, "command": common.command(path)}
    lock = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(path.read_text(encoding="utf-8"))["cases"] if path.exists() else {}
        order = [*cases(), *known]
        results = {**known, name: result}
        common.report(
            "long_run",
            None,
            path,
            {"limit": LIMIT, "cases": {key: results[key] for key in dict.fromkeys(order) if key in results}},
            quiet=True,
            flags=False,
        )
    finally:
        os.close(lock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    parser.add_argument("--case", nargs="+", choices=sorted(cases()), help="some of the cases; default: all")
    parser.add_argument("--trials", type=float, help="trials of each case; default: its own number")
    parser.add_argument("--records", type=int, default=100, help="comparisons on the way")
    parser.add_argument("--equilibration", type=int, default=EQUILIBRATION, help="sweeps before each case, twice")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between looks at a run")
    options = parser.parse_args()
    for name, case in cases().items():
        if options.case and name not in options.case:
            continue
        if options.trials:
            case = Case(**{**case.__dict__, "trials": options.trials})
        run = LongRun(case, options.records, options.equilibration)
        worker = threading.Thread(target=run.call, daemon=True)
        worker.start()
        while worker.is_alive():
            worker.join(options.every)
            run.measure()
            result = run.summary()
            print(f"{name}: {result['trials']:.3g} trials, largest drift {result['largest_relative_drift']}", file=sys.stderr)
            save(options.output, name, result)
        if run.error is not None:
            raise run.error
        run.check(result)
        print(json.dumps({name: result}, indent=2))


if __name__ == "__main__":
    main()
