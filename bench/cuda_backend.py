"""The CUDA backend against one CPU core of the same machine, through the functions that users call.

Measured: trial moves per second of many small replicas (N = 43), of medium ones (N = 1290) and of a single large one, without
and with 20 % swap trials; energies with forces per second, in double and mixed precision, by the public function and by the
kernel alone; fields of flows and trajectories along them; what a call of the torch operator costs. Reported: medians, the ratio
to the same job on one core, and the fraction of the limit that bench/gpu.py counts by hand. Before a number counts, both
backends must agree: energies, forces and flows to rounding, and positions, species and energies after the first sweeps bit
for bit.

    python bench/cuda_backend.py -o bench/results/cuda.json

Without a GPU it says why and exits with status 2. A part that fails is reported under "errors", the others still run, and the
status is 1.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

import common
import cuda_flows
import glassnf as gnf
import gpu

TEMPERATURE = 0.5
MOVE_SIZE = 0.12
TIMESTEP = 0.002  # of molecular dynamics, from configurations that are hardly relaxed
SWAPS = 0.2
MEDIUM, BOARD = 1290, 20_000
ENERGY_TOLERANCE = 1e-12  # relative, double precision
MIXED_TOLERANCE = 1e-5  # relative
Rates = dict[str, list[float]]


# ---- liquids -----------------------------------------------------------------------------------------------------------------


def lattice(system: gnf.systems.System, replicas: int) -> gnf.Ensemble:
    """A square lattice, the species of each replica shuffled: quicker to make than a random start, and without overlaps."""
    columns = int(np.ceil(np.sqrt(system.n)))
    place = np.arange(system.n)
    one = (np.stack([place % columns, place // columns], axis=1) + 0.5) * (system.box / columns)
    species = np.random.default_rng(1).permuted(np.tile(system.species, (replicas, 1)), axis=1)
    return gnf.Ensemble.from_arrays(
        system, np.tile(one, (replicas, 1, 1)), species=species, temperature=TEMPERATURE, seed=1, move_size=MOVE_SIZE
    )


def liquid(n: int, replicas: int, sweeps: int, device: str, **options: Any) -> gnf.Ensemble:
    """Replicas after `sweeps` sweeps with swaps, on the device."""
    system = gnf.systems.ka2d(n=n)
    ensemble = moved(lattice(system, replicas), device)
    gnf.MonteCarlo(system, swap_probability=SWAPS, **options).run(ensemble, sweeps)
    return ensemble


def moved(ensemble: gnf.Ensemble, device: str) -> gnf.Ensemble:
    """Return a copy on the device."""
    return ensemble.copy() if ensemble.device == device else ensemble.to(device)


def on_cpu(ensemble: gnf.Ensemble) -> gnf.Ensemble:
    return moved(ensemble, "cpu")


def precisions(device: str) -> tuple[str, ...]:
    return ("float64",) if device == "cpu" else ("float64", "mixed")


def precision_option(precision: str) -> dict[str, Any]:
    """Return the keyword of mixed precision; double precision is the default everywhere."""
    return {} if precision == "float64" else {"precision": precision}


def label(n: int, replicas: int, swaps: float) -> str:
    return f"N={n} x {replicas}" + with_swaps(swaps)


def with_swaps(swaps: float) -> str:
    return f", {100 * swaps:.0f} % swaps" if swaps else ""


# ---- agreement of the backends -----------------------------------------------------------------------------------------------


def check_energies(n: int, replicas: int, device: str, **options: Any) -> dict[str, float]:
    """Energies and forces of both backends: the largest difference, relative to the energy and to the largest force."""
    ensemble = on_cpu(liquid(n, replicas, 100, device, **options))
    system, x, s = ensemble.system, ensemble.positions, ensemble.species
    u, f = gnf.energy_and_forces(system, x, s)
    on_device = gpu.put(x, device), gpu.put(s, device)
    found: dict[str, float] = {}
    for precision in precisions(device):
        v, g = (gpu.get(array) for array in gnf.energy_and_forces(system, *on_device, **precision_option(precision)))
        error, force_error = float(np.abs(v / u - 1.0).max()), float(np.abs(g - f).max() / np.abs(f).max())
        allowed = ENERGY_TOLERANCE if precision == "float64" else MIXED_TOLERANCE
        common.require(error < allowed, f"N={n}, {precision}: energies are off by {error}")
        common.require(force_error < 100 * allowed, f"N={n}, {precision}: forces are off by {force_error} of the largest")
        found |= {f"energy, {precision}": error, f"forces, {precision}": force_error}
    return found


def check_moves(n: int, replicas: int, sweeps: int, device: str, **options: Any) -> dict[str, Any]:
    """Positions, species and energies of both backends after the same sweeps: the same bits."""
    start = on_cpu(liquid(n, replicas, 50, device, **options))
    sampler = gnf.MonteCarlo(start.system, swap_probability=SWAPS, **options)
    there = moved(start, device)
    sampler.run(start, sweeps)
    sampler.run(there, sweeps)
    back = on_cpu(there)
    for name in ("positions", "species", "energy"):
        a, b = getattr(start, name), getattr(back, name)
        wrong = int((a != b).reshape(replicas, -1).any(axis=1).sum())
        common.require(wrong == 0, f"N={n}: {name} of {wrong} of {replicas} replicas differ after {sweeps} sweeps")
    return {"replicas": replicas, "sweeps": sweeps, "same_bits": True}


def agreement(options: Any, facts: dict[str, Any]) -> dict[str, Any]:
    device = options.device
    found: dict[str, Any] = {
        "energies of N=43": check_energies(43, min(options.replicas), device),
        "first sweeps of N=43": check_moves(43, min(64, *options.replicas), 20, device),
        f"energies of N={MEDIUM}": check_energies(MEDIUM, min(64, options.medium_replicas), device),
        f"first sweeps of N={MEDIUM}": check_moves(MEDIUM, min(4, options.medium_replicas), 20, device),
    }
    if options.largest:
        found[f"energies of N={options.largest}"] = check_energies(options.largest, 1, device, checkerboard=True)
        found[f"first sweeps of N={BOARD}, checkerboard"] = check_moves(BOARD, 1, 20, device, checkerboard=True)
    return {"agreement": found}


# ---- trial moves -------------------------------------------------------------------------------------------------------------


class Moves:
    """A sampler on replicas of its own; each call goes on with them and returns trial moves per second."""

    def __init__(self, start: gnf.Ensemble, seconds: float, swaps: float, **options: Any) -> None:
        self.ensemble, self.swaps, self.system = moved(start, start.device), swaps, start.system
        self.sampler = gnf.MonteCarlo(self.system, swap_probability=swaps, **options)
        self.per_sweep = self.system.n * start.replicas
        self.sweeps = max(1, int((2e5 if start.device == "cpu" else 2e7) / self.per_sweep))
        self.pairs_per_move = self.acceptance = 0.0
        rate = self()
        if self.sweeps * self.per_sweep / rate < seconds:
            self.sweeps = max(1, int(seconds * self() / self.per_sweep))
            self()  # the length of native calls follows the speed of those before

    def __call__(self) -> float:
        start = time.perf_counter()
        record = self.sampler.run(self.ensemble, self.sweeps)
        elapsed = time.perf_counter() - start
        self.pairs_per_move = float(record.pair_evaluations) / (self.sweeps * self.per_sweep)
        self.acceptance = float(record.displacement_acceptance.mean())
        return self.sweeps * self.per_sweep / elapsed

    def check(self) -> dict[str, float]:
        """Cached against recomputed energy, both as the CPU adds up."""
        here = on_cpu(self.ensemble)
        recomputed = gnf.energy(self.system, here.positions, here.species)
        error = float(np.abs(here.energy - recomputed).max()) / self.system.n
        common.require(error < 1e-10, f"cached energies are off by {error} per particle")
        return {
            "energy_per_particle": float(recomputed.mean()) / self.system.n,
            "cached_energy_error_per_particle": error,
            "acceptance": self.acceptance,
            "pairs_per_move": self.pairs_per_move,
        }


def measure_moves(
    cases: dict[str, Moves],
    cores: dict[str, Moves],
    against: dict[str, str],
    options: Any,
    facts: dict[str, Any],
    repetitions: int | None = None,
) -> dict[str, Any]:
    """Run all cases in turn; `against` names the case on one core for each case on the device."""
    every: dict[str, Callable[[], float]] = {**cases, **cores}
    rates = common.interleave(every, repetitions or options.repetitions)
    state = {name: case.check() for name, case in {**cases, **cores}.items()}
    compare_energies({**cases, **cores}, state)
    limits = {}
    for name, case in cases.items():
        found = gpu.limits(facts, case.system, "trial")
        if found and case.swaps == 0.0:
            limits[name] = {**found, "fraction": common.median_of(rates[name]) / found["limit_per_s"]}
    return {
        "moves_per_s": medians(rates),
        "ratios": {f"{name} / {core}": common.ratio(rates, name, core) for name, core in against.items()},
        "limits": limits,
        "state": state,
    }


def compare_energies(cases: dict[str, Moves], state: dict[str, dict[str, float]]) -> None:
    """All cases with swaps, which equilibrate, sample the same liquid; 64 replicas of N = 43 know its energy to 0.01."""
    energies = {
        name: state[name]["energy_per_particle"]
        for name, case in cases.items()
        if case.swaps and case.ensemble.replicas * case.system.n > 2000 and case.system.n < 1000
    }
    if energies:
        apart = max(energies.values()) - min(energies.values())
        common.require(apart < 0.08, f"energies per particle differ by {apart}: {energies}")


def medians(rates: Rates) -> dict[str, Any]:
    return {name: {"median": common.median_of(values), "values": values} for name, values in rates.items()}


def many_moves(n: int, counts: list[int], sweeps: int, options: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Batches of replicas of N particles against a small batch on one core."""
    cases: dict[str, Moves] = {}
    cores: dict[str, Moves] = {}
    against = {}
    few = on_cpu(liquid(n, min(min(counts), 64 if n < 1000 else 1), sweeps, options.device))
    starts = {replicas: liquid(n, replicas, sweeps, options.device) for replicas in counts}
    for swaps in (0.0, SWAPS):
        core = f"one core, N={n}" + with_swaps(swaps)
        cores[core] = Moves(few, 2 * options.seconds, swaps, threads=1)
        for replicas, start in starts.items():
            name = label(n, replicas, swaps)
            cases[name] = Moves(start, options.seconds, swaps)
            against[name] = core
    return measure_moves(cases, cores, against, options, facts)


def small_moves(options: Any, facts: dict[str, Any]) -> dict[str, Any]:
    return many_moves(43, options.replicas, options.equilibration, options, facts)


def medium_moves(options: Any, facts: dict[str, Any]) -> dict[str, Any]:
    return many_moves(MEDIUM, [options.medium_replicas], min(options.equilibration, 200), options, facts)


def large_moves(options: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """One large replica: the checkerboard on the device and on one core, and the sequential order on one core."""
    n = options.largest
    start = liquid(n, 1, min(options.equilibration, 100), options.device, checkerboard=True)
    here = on_cpu(start)
    cases: dict[str, Moves] = {}
    against = {}
    cores = {
        f"one core, N={n}, sequential": Moves(here, options.seconds, 0.0, threads=1),
        f"one core, N={n}": Moves(here, options.seconds, 0.0, threads=1, checkerboard=True),
        f"one core, N={n}, 20 % swaps": Moves(here, options.seconds, SWAPS, threads=1, checkerboard=True),
    }
    for swaps in (0.0, SWAPS):
        name = label(n, 1, swaps)
        cases[name] = Moves(start, options.seconds, swaps, checkerboard=True)
        against[name] = f"one core, N={n}" + with_swaps(swaps)
    return measure_moves(cases, cores, against, options, facts, repetitions=min(3, options.repetitions))  # seconds on one core


# ---- energies and forces -----------------------------------------------------------------------------------------------------


def calls(device: str, work: Callable[[], Any], seconds: float, configurations: int) -> Callable[[], float]:
    """Return a function that measures configurations per second over about `seconds`."""
    work()
    gpu.synchronize(device)
    count = max(1, int(seconds / max(gpu.timed(device, work), 1e-6)))

    def rate() -> float:
        def repeat() -> None:
            for _ in range(count):
                work()

        return configurations * count / gpu.timed(device, repeat)

    return rate


def energies(options: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Energies and forces, of many small configurations and of one large one."""
    cases: dict[str, Callable[[], float]] = {}
    limits: dict[str, dict[str, float]] = {}
    against: dict[str, str] = {}
    sizes = [(43, max(options.replicas))] + ([(options.largest, 1)] if options.largest else [])
    for n, replicas in sizes:
        board = {"checkerboard": True} if n > MEDIUM else {}
        here = on_cpu(liquid(n, replicas, min(100, options.equilibration), options.device, **board))
        add_energies(here, f"N={n} x {replicas}", cases, limits, against, options, facts)
    rates = common.interleave(cases, options.repetitions)
    for name, limit in limits.items():
        limit["fraction"] = common.median_of(rates[name]) / limit["limit_per_s"]
    return {
        "configurations_per_s": medians(rates),
        "ratios": {f"{name} / {core}": common.ratio(rates, name, core) for name, core in against.items()},
        "limits": limits,
    }


def add_energies(
    here: gnf.Ensemble,
    name: str,
    cases: dict[str, Callable[[], float]],
    limits: dict[str, dict[str, float]],
    against: dict[str, str],
    options: Any,
    facts: dict[str, Any],
) -> None:
    system, device, replicas = here.system, options.device, here.replicas
    x, s = gpu.put(here.positions, device), gpu.put(here.species, device)
    few = slice(0, min(replicas, 1024))
    core = f"one core, N={system.n}"

    def on_core() -> None:
        gnf.energy_and_forces(system, here.positions[few], here.species[few], threads=1)

    def public(precision: str) -> Callable[[], Any]:
        return lambda: gnf.energy_and_forces(system, x, s, **precision_option(precision))

    cases[core] = calls("cpu", on_core, options.seconds, min(replicas, 1024))
    for precision in precisions(device):
        mixed = precision == "mixed"
        kernel = gpu.Kernel(system, x, s, device, mixed=mixed)
        for what, work in (("energy and forces", public(precision)), ("kernel alone", kernel)):
            case = f"{name}, {what}" + (", mixed" if mixed else "")
            cases[case] = calls(device, work, options.seconds, replicas)
            against[case] = core
            found = gpu.limits(facts, system, "forces", mixed=mixed)
            if found:
                limits[case] = found


# ---- molecular dynamics ------------------------------------------------------------------------------------------------------


class Steps:
    """Molecular dynamics of replicas of its own; each call goes on with them and returns time steps of a replica per second."""

    def __init__(self, start: gnf.Ensemble, seconds: float, thermostat: str, **options: Any) -> None:
        self.ensemble, self.system = moved(start, start.device), start.system
        self.sampler = gnf.MolecularDynamics(self.system, timestep=TIMESTEP, thermostat=thermostat, **options)
        self.steps = max(10, int((2e3 if start.device == "cpu" else 2e6) / start.replicas / (self.system.n / 43)))
        rate = self()
        if self.steps * start.replicas / rate < seconds:
            self.steps = max(10, int(seconds * self() / start.replicas))
            self()  # the length of native calls follows the speed of those before

    def __call__(self) -> float:
        start = time.perf_counter()
        self.sampler.run(self.ensemble, self.steps)
        return self.steps * self.ensemble.replicas / (time.perf_counter() - start)


def check_steps(start: gnf.Ensemble, steps: int) -> dict[str, Any]:
    """State and energies of both backends after the same time steps: the same bits."""
    here, there = on_cpu(start), moved(start, start.device)
    for ensemble in (here, there):
        gnf.MolecularDynamics(start.system, timestep=TIMESTEP, thermostat="langevin").run(ensemble, steps)
    back = on_cpu(there)
    for name in ("positions", "velocities", "energy"):
        same = np.array_equal(getattr(here, name), getattr(back, name))
        common.require(same, f"N={start.n}: {name} differ from those of the CPU after {steps} time steps")
    return {"replicas": start.replicas, "steps": steps, "same_bits": True}


def dynamics(options: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Time steps of many small replicas, of medium ones, and of a single large one."""
    cases: dict[str, Callable[[], float]] = {}
    against: dict[str, str] = {}
    limits: dict[str, dict[str, float]] = {}
    agreed: dict[str, Any] = {}
    sizes = [(43, options.replicas), (MEDIUM, [options.medium_replicas])]
    if options.largest:
        sizes.append((options.largest, [1]))
    for n, counts in sizes:
        sweeps = min(options.equilibration, 200 if n <= MEDIUM else 60)
        board = {"checkerboard": True} if n > MEDIUM else {}
        for replicas in counts:
            start = liquid(n, replicas, sweeps, options.device, **board)
            start.draw_velocities()
            if replicas == min(counts):
                few = start[: 64 if n == 43 else 1]
                agreed[f"first time steps of N={n}"] = check_steps(few, 20 if n <= MEDIUM else 2)
                core = f"one core, N={n}, time steps"
                if n <= MEDIUM:
                    cases[core] = Steps(on_cpu(few), 2 * options.seconds, "nve", threads=1)
            for thermostat in ("nve", "langevin") if n == 43 and replicas == min(counts) else ("nve",):
                name = f"N={n} x {replicas}, {thermostat}"
                cases[name] = Steps(start, options.seconds, thermostat)
                if core in cases:
                    against[name] = core
                found = gpu.limits(facts, start.system, "step")
                if found:
                    limits[name] = found
    rates = common.interleave(cases, options.repetitions)
    for name, limit in limits.items():
        limit["fraction"] = common.median_of(rates[name]) / limit["limit_per_s"]
    return {
        "agreement": agreed,
        "steps_per_s": medians(rates),
        "ratios": {f"{name} / {core}": common.ratio(rates, name, core) for name, core in against.items()},
        "limits": limits,
    }


# ---- flows -------------------------------------------------------------------------------------------------------------------


def flows(options: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Fields and trajectories of flows, of many small configurations."""
    return cuda_flows.flows(on_cpu(liquid(43, max(options.replicas), 100, options.device)), options, calls)


# ---- the cost of a call ------------------------------------------------------------------------------------------------------


def overhead(options: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Microseconds per call with one configuration of N = 43: almost all of it is the way to the kernel."""
    try:
        import torch
    except ImportError:
        return {"overhead_us": {}, "notes": ["torch is not installed: its operator was not timed"]}
    device = options.device
    here = on_cpu(liquid(43, 1, 20, device))
    system = here.system
    x, s = torch.as_tensor(here.positions, device=device), torch.as_tensor(here.species, device=device)
    y = x.detach().clone().requires_grad_()

    def with_gradient() -> None:
        torch.autograd.grad(gnf.energy(system, y, s).sum(), y)

    arrays = (here.positions, here.species) if device == "cpu" else (x, s)
    works: dict[str, Callable[[], Any]] = {
        "kernel alone": gpu.Kernel(system, arrays[0], arrays[1], device),
        "gnf.energy_and_forces": lambda: gnf.energy_and_forces(system, x, s),
        "gnf.energy": lambda: gnf.energy(system, x, s),
        "torch operator": lambda: gnf.energy(system, y, s),
        "torch operator and gradient": with_gradient,
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.repetitions):
        for name, work in works.items():
            times[name].append(microseconds(work, device))
    return {"overhead_us": medians(times)}


def microseconds(work: Callable[[], Any], device: str, count: int = 100) -> float:
    work()
    gpu.synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        work()
    gpu.synchronize(device)
    return 1e6 * (time.perf_counter() - start) / count


# ---- all of it ---------------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    "agreement": agreement,
    "small": small_moves,
    "dynamics": dynamics,
    "energies": energies,
    "flows": flows,
    "large": large_moves,
    "medium": medium_moves,
    "overhead": overhead,
}


def merge(results: dict[str, Any], found: dict[str, Any]) -> None:
    """Put the tables of a part beside those of the others."""
    for name, value in found.items():
        if isinstance(value, dict):
            results.setdefault(name, {}).update(value)
        else:
            results.setdefault(name, []).extend(value)


def measure(options: Any, cpu: int | None) -> dict[str, Any]:
    facts = gpu.facts(options.device)
    results: dict[str, Any] = {
        "settings": {
            "temperature": TEMPERATURE,
            "move_size": MOVE_SIZE,
            "seconds": options.seconds,
            "repetitions": options.repetitions,
        },
        "device": facts,
        "peak": {} if options.device == "cpu" else gpu.peak(),
        "errors": {},
    }
    facts["bytes_per_s"] = results["peak"].get("bytes_per_s")
    for name in options.parts:
        if name == "large" and not options.largest:
            continue
        start = time.perf_counter()
        try:
            merge(results, PARTS[name](options, facts))
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            results["errors"][name] = f"{type(error).__name__}: {error}"
        if options.device != "cpu":
            facts["clock_under_load_hz"] = gpu.clock_now()
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
        common.report("cuda", cpu, options.output, results, quiet=True)  # what is known so far, should time run out
    return results


def main() -> None:
    parser = common.arguments((__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.15, help="length of each measurement")
    parser.add_argument("--replicas", type=int, nargs="+", default=[4096, 16384, 65536], help="replicas of N = 43")
    parser.add_argument("--medium-replicas", type=int, default=1024, help=f"replicas of N = {MEDIUM}")
    parser.add_argument("--largest", type=int, default=1_000_000, help="particles of the single replica; 0: leave it out")
    parser.add_argument("--equilibration", type=int, default=400, help="sweeps at N = 43 (fewer for larger N)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="what to measure")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to test the script itself")
    options = parser.parse_args()
    gpu.require(options.device)
    cpu = common.pin(options.cpu)
    results = measure(options, cpu)
    common.report("cuda", cpu, options.output, results)
    if results["errors"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
