"""A million particles on the CPU within 4 GB: every operation in a process of its own, whose address space is limited.

Measured: time and the largest resident memory of each. The start in two dimensions is the one of ``glassnf sample``; in three
it is a jittered lattice, which swap Monte Carlo then melts. Before a number counts, the energy that a sampler carried along is
compared with a fresh one, and what was saved with what was loaded.

    python bench/large_system.py -o bench/results/large_system.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import common
import glassnf as gnf

LIMIT = 4_000_000_000
"""Bytes of address space, which resident memory cannot exceed."""

PARTS = {2: "two_dimensions", 3: "three_dimensions"}
TEMPERATURE = 1.0
SEED = 20261126


def system_of(dimension: int, n: int) -> gnf.systems.System:
    return gnf.systems.ka2d(n=n) if dimension == 2 else gnf.systems.ka(n=n)


def lattice(dimension: int, n: int) -> gnf.Ensemble:
    """Return particles on a simple cubic lattice, species at random, shaken by a tenth of its constant."""
    system, rng = system_of(dimension, n), np.random.default_rng(SEED)
    side = int(np.ceil(n ** (1.0 / dimension) - 1e-9))
    places = np.stack(np.unravel_index(np.arange(n), (side,) * dimension), axis=-1)
    shaken = (places + rng.uniform(0.4, 0.6, places.shape)) * (system.box / side)
    species = rng.permutation(system.species)
    return gnf.Ensemble.from_arrays(system, shaken[None], species=species[None], temperature=TEMPERATURE, seed=SEED)


def check_energy(ensemble: gnf.Ensemble) -> None:
    fresh = float(gnf.energy(ensemble.system, ensemble.positions, ensemble.species)[0])
    drift = abs(float(ensemble.energy[0]) - fresh) / abs(fresh)
    common.require(drift < 1e-8, f"energy carried along is off by {drift}")


def advanced(sampler: Any, ensemble: gnf.Ensemble, count: int) -> None:
    sampler.run(ensemble, count, record_every=1)
    check_energy(ensemble)


def save_and_load(ensemble: gnf.Ensemble, folder: Path) -> None:
    path = folder / "saved.h5"
    ensemble.save(path)
    common.require(gnf.Ensemble.load(path).identical_to(ensemble), "what was loaded is not what was saved")
    path.unlink()


def operations(threads: int, folder: Path) -> dict[str, Callable[[gnf.Ensemble], object]]:
    """Return what is done with an ensemble of one replica."""

    def monte_carlo(ensemble: gnf.Ensemble, **settings: Any) -> None:
        advanced(gnf.MonteCarlo(ensemble.system, threads=threads, **settings), ensemble, 5)

    def dynamics(ensemble: gnf.Ensemble, **settings: Any) -> None:
        advanced(gnf.MolecularDynamics(ensemble.system, timestep=0.001, threads=threads, **settings), ensemble, 10)

    return {
        "load": lambda e: None,
        "energy": lambda e: gnf.energy(e.system, e.positions, e.species, threads=threads),
        "forces": lambda e: gnf.forces(e.system, e.positions, e.species, threads=threads),
        "virial": lambda e: gnf.virial(e.system, e.positions, e.species, threads=threads),
        "monte carlo, 5 sweeps": lambda e: monte_carlo(e, swap_probability=0.0),
        "swap, 5 sweeps": monte_carlo,
        "checkerboard, 5 sweeps": lambda e: monte_carlo(e, checkerboard=True),
        "langevin dynamics, 10 steps": dynamics,
        "hybrid dynamics, 10 steps": lambda e: dynamics(e, swap_every=5),
        "inherent structure, 20 iterations": lambda e: gnf.inherent_structures(e, max_iterations=20, threads=threads),
        "save and load": lambda e: save_and_load(e, folder),
    }


def child(options: argparse.Namespace) -> None:
    """Do one thing, and print what it took."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    folder, wall, busy = options.folder, time.perf_counter(), time.process_time()
    if options.operation == "random start":
        ensemble = gnf.Ensemble.random(system_of(options.dimension, options.particles), 1, TEMPERATURE, SEED)
        ensemble.save(folder / "start.h5")
    elif options.operation == "lattice start":
        ensemble = lattice(options.dimension, options.particles)
        gnf.MonteCarlo(ensemble.system, threads=options.threads).equilibrate(ensemble, 20)
        ensemble.save(folder / "start.h5")
    else:
        ensemble = gnf.Ensemble.load(folder / "start.h5")
        wall, busy = time.perf_counter(), time.process_time()
        operations(options.threads, folder)[options.operation](ensemble)
    took = {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - busy}
    print(json.dumps({**took, "largest_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def run_child(options: argparse.Namespace, folder: Path, dimension: int, operation: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--operation", operation, "--folder", str(folder), "--dimension", str(dimension)]
    command += ["--particles", str(options.particles), "--threads", str(options.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    common.require(done.returncode == 0, f"{operation} in {dimension} dimensions: {done.stderr.strip()[-500:]}")
    result: dict[str, float] = {name: round(value, 3) for name, value in json.loads(done.stdout).items()}
    print(f"d = {dimension}, {operation}: {result}", file=sys.stderr, flush=True)
    return result


PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from glassnf.cli import main
sys.argv = ["glassnf", *sys.argv[2:]]
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, file=sys.stderr)
"""


def command_line(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Time ``glassnf sample``, whose file is the start of all else in two dimensions."""
    words = ["sample", "--system", "ka2d", "-n", options.particles, "-T", TEMPERATURE, "--algorithm", "swap", "--replicas", 1]
    words += ["--equilibration", 20, "--sweeps", 10, "--seed", SEED, "--threads", options.threads, "--quiet"]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(LIMIT), *map(str, words), "-o", str(folder / "start.h5")],
        capture_output=True,
        text=True,
        check=False,
    )
    common.require(done.returncode == 0, f"glassnf sample: {done.stderr.strip()[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    check_energy(gnf.Ensemble.load(folder / "start.h5"))
    result = {
        "seconds": round(time.perf_counter() - start, 1),
        "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "largest_memory_bytes": float(done.stderr.split()[-1]),
    }
    print(f"glassnf sample: {result}", file=sys.stderr, flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    parser.add_argument("--particles", type=int, default=10**6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--operations", nargs="+", choices=list(operations(1, Path())), help="some of them; default: all")
    parser.add_argument("--dimensions", nargs="+", type=int, choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--operation", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--dimension", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.operation:
        child(options)
        return
    results: dict[str, Any] = {"limit_bytes": LIMIT, "particles": options.particles, "threads": options.threads}
    names = options.operations or list(operations(1, Path()))
    for dimension, part in PARTS.items():
        if dimension not in options.dimensions:
            continue
        with tempfile.TemporaryDirectory(prefix="glassnf-large-") as name:
            folder = Path(name)
            if dimension == 2:
                results[part] = {"glassnf sample": command_line(options, folder)}
            else:
                results[part] = {"lattice start": run_child(options, folder, dimension, "lattice start")}
            results[part] |= {each: run_child(options, folder, dimension, each) for each in names}
        finish(options, results)


def finish(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Check the memory of all, and write the file: after each part, because the parts take long."""
    largest = max(case["largest_memory_bytes"] for part in PARTS.values() for case in results.get(part, {}).values())
    common.require(largest < LIMIT, f"{largest} bytes of memory")
    common.report("large_system", None, options.output, {**results, "largest_memory_bytes": largest}, flags=False)


if __name__ == "__main__":
    main()
