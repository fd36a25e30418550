"""Every CUDA kernel once, on systems as small as can be, against the CPU backend: what compute-sanitizer is to look at.

Arrays are allocated one by one, without a pool, so that memcheck sees where each ends, and only kernels of glassnf run on them.

    compute-sanitizer --tool memcheck python bench/sanitizer_case.py
"""

from __future__ import annotations

import os
import sys

os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"

from collections.abc import Iterator
from typing import Any

import numpy as np

import glassnf as gnf
from glassnf import _core
from glassnf._native import native_system
from glassnf.flows._native import trajectory, velocity_and_divergence
from glassnf.flows.splines import RadialBasis
from glassnf.flows.tables import RadialTables
from glassnf.systems import PairPotential, System, custom

ONE = 1 << 32  # probability 1 on the scale of the native interface
MIXED_TOLERANCE = 1e-4


class Device:
    """Arrays in device memory, made by CuPy or torch; only copies, no kernels of theirs."""

    def __init__(self) -> None:
        try:
            import cupy

            cupy.cuda.set_allocator(None)
            self.module = cupy
        except ImportError:
            import torch

            self.module = torch
        self.torch = self.module.__name__ == "torch"
        self.stream = 0  # the default stream

    def put(self, array: np.ndarray[Any, Any]) -> Any:
        array = np.ascontiguousarray(array)
        return self.module.from_numpy(array.copy()).to("cuda") if self.torch else self.module.asarray(array)

    def get(self, array: Any) -> np.ndarray[Any, Any]:
        """Return a copy on the host; the copy waits for the kernels before it."""
        return np.asarray(array.cpu().numpy() if self.torch else array.get())

    def address(self, array: Any) -> int:
        return int(array.data_ptr() if self.torch else array.data.ptr)


def mixture(kind: str, n: int, side: float, dimension: int) -> System:
    """Two species in a cubic box."""
    exponent = 12 if kind == "inverse_power" else None
    sigma, epsilon = np.array([[1.0, 0.9], [0.9, 0.8]]), np.array([[1.0, 1.2], [1.2, 0.7]])
    potential = PairPotential(kind, sigma, epsilon, None if kind in ("wca", "harmonic") else 2.0, exponent)
    return custom(kind, potential=potential, species=(np.arange(n) % 2).astype(np.int32), box=np.full(dimension, side))


def systems() -> Iterator[tuple[str, System, int]]:
    """All paths: all pairs and cells, two and three dimensions, every form of the potential. Name, system, replicas."""
    yield "N=43", gnf.systems.ka2d(n=43), 3
    yield "N=44", gnf.systems.ka2d(n=44), 33
    yield "N=300, cells", gnf.systems.ka2d(n=300), 2
    yield "N=700, cells", gnf.systems.ka2d(n=700), 1
    yield "3D, all pairs", gnf.systems.ka(n=160), 2
    yield "3D, cells", mixture("lj_smooth", 500, 10.0, 3), 1
    yield "N=1100, sorted energies", gnf.systems.ka2d(n=1100), 2
    for kind in ("inverse_power", "harmonic", "wca"):
        yield f"{kind}, 2D", mixture(kind, 40, 6.0, 2), 2
        yield f"{kind}, 3D", mixture(kind, 60, 5.0, 3), 2


def start(system: System, replicas: int) -> gnf.Ensemble:
    """A few sweeps away from a random start: no overlaps."""
    ensemble = gnf.Ensemble.random(system, replicas=replicas, temperature=1.0, seed=3)
    gnf.MonteCarlo(system, swap_probability=0.2, threads=1).run(ensemble, 5)
    return ensemble


def energies(device: Device, ensemble: gnf.Ensemble, *, mixed: bool) -> None:
    """Energy alone, and with forces and virial."""
    system, x, s = ensemble.system, ensemble.positions, ensemble.species
    replicas, n, d = x.shape
    positions, species = device.put(x), device.put(s)
    native = native_system(system)
    u, f = gnf.energy_and_forces(system, x, s, threads=1)
    w = gnf.virial(system, x, s, threads=1)
    for full in (False, True):
        shapes = ((replicas,), (replicas, n, d), (replicas, d, d))
        energy, forces, virial = (device.put(np.full(shape, np.nan)) for shape in shapes)
        _core.cuda_energy(
            native,
            replicas=replicas,
            positions=device.address(positions),
            species=device.address(species),
            energy=device.address(energy),
            forces=device.address(forces) if full else 0,
            virial=device.address(virial) if full else 0,
            device=0,
            stream=device.stream,
            mixed=mixed,
        )
        allowed = MIXED_TOLERANCE if mixed else 1e-11
        close("energies", device.get(energy), u, allowed)
        if full:
            close("forces", device.get(forces), f, allowed)
            close("virials", device.get(virial), w, allowed)


def close(what: str, found: np.ndarray[Any, Any], expected: Any, allowed: float) -> None:
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not error < allowed:
        sys.exit(f"{what} are off by {error} of the largest")


def moves(device: Device, ensemble: gnf.Ensemble, *, checkerboard: bool) -> None:
    """Sweeps with swaps, and records of everything, against the CPU, bit for bit."""
    system, sweeps, at = ensemble.system, 2, [1, 2]
    replicas, n, d = ensemble.positions.shape
    pairs = system.n_species * (system.n_species - 1) // 2
    names = ("positions", "images", "species", "beta", "energy", "ids", "move_size")
    state = {name: device.put(getattr(ensemble, name)) for name in names}
    shapes = {"displacement_attempts": (replicas,), "displacement_accepts": (replicas,), "swap_attempts": (replicas, pairs)}
    shapes |= {"swap_accepts": (replicas, pairs), "pair_evaluations": (replicas,)}
    counters = {name: device.put(np.zeros(shape, dtype=np.int64)) for name, shape in shapes.items()}
    records = {
        "record_energy": device.put(np.full((len(at), replicas), np.nan)),
        "record_positions": device.put(np.full((len(at), replicas, n, d), np.nan)),
        "record_species": device.put(np.full((len(at), replicas, n), -1, dtype=np.int32)),
    }
    plan = {
        "seed": ensemble.seed,
        "step": ensemble.step,
        "sweeps": sweeps,
        "swap_threshold": ONE // 5,
        "pair_thresholds": [ONE * (k + 1) // pairs for k in range(pairs)],
        "record_at": at,
    }
    arrays = {name: device.address(array) for name, array in {**state, **counters, **records}.items()}
    target = {"device": 0, "stream": device.stream, "checkerboard": checkerboard}
    _core.cuda_monte_carlo(native_system(system), replicas=replicas, **arrays, **plan, **target)
    there = {name: device.get(array) for name, array in {**state, **records}.items()}
    here_state = {name: np.ascontiguousarray(getattr(ensemble, name)).copy() for name in names}
    here_records = {name: np.empty_like(there[name]) for name in records}
    here_counters = {name: np.zeros(shape, dtype=np.int64) for name, shape in shapes.items()}
    every = {**here_state, **here_records, **here_counters}
    addresses = {name: int(array.ctypes.data) for name, array in every.items()}
    _core.monte_carlo(native_system(system), replicas=replicas, **addresses, **plan, checkerboard=checkerboard, threads=1)
    for name in ("positions", "images", "species", "energy", *records):
        if not np.array_equal(every[name], there[name]):
            sys.exit(f"{name} differ from those of the CPU after {sweeps} sweeps")


def steps(device: Device, ensemble: gnf.Ensemble, thermostat: int, swap_every: int) -> None:
    """Time steps, with records of everything, against the CPU, bit for bit."""
    system, at = ensemble.system, [1, 3]
    replicas, n, d = ensemble.positions.shape
    pairs = system.n_species * (system.n_species - 1) // 2
    moved = ensemble.copy()
    moved.draw_velocities()
    names = ("positions", "velocities", "images", "species", "beta", "energy", "ids", "move_size")
    counts = {"pair_evaluations": (replicas,), "failure": (replicas,)}
    counts |= {"swap_attempts": (replicas, pairs), "swap_accepts": (replicas, pairs)}
    host = {name: np.ascontiguousarray(getattr(moved, name)).copy() for name in names}
    host |= {name: np.zeros(shape, dtype=np.int64) for name, shape in counts.items()}
    host |= {f"record_{name}": np.full((len(at), replicas), np.nan) for name in ("energy", "kinetic")}
    host |= {f"record_{name}": np.full((len(at), replicas, n, d), np.nan) for name in ("positions", "velocities")}
    host["record_species"] = np.full((len(at), replicas, n), -1, dtype=np.int32)
    there = {name: device.put(array) for name, array in host.items()}
    plan = {
        "seed": moved.seed,
        "step": moved.step,
        "steps": 4,
        "timestep": 0.0005,
        "thermostat": thermostat,
        "friction": 1.0,
        "relaxation_time": 0.1,
        "record_at": at,
        "swap_every": swap_every,
        "pair_thresholds": [ONE * (k + 1) // pairs for k in range(pairs)],
    }
    native = native_system(system)
    addresses = {name: device.address(array) for name, array in there.items()}
    _core.cuda_molecular_dynamics(native, replicas=replicas, **addresses, **plan, device=0, stream=device.stream)
    addresses = {name: int(array.ctypes.data) for name, array in host.items()}
    _core.molecular_dynamics(native, replicas=replicas, **addresses, **plan, threads=1)
    for name in host:
        if name != "pair_evaluations" and not np.array_equal(host[name], device.get(there[name])):
            sys.exit(f"{name} differ from those of the CPU after 4 time steps")


def exchanges(device: Device) -> None:
    """Two rounds of exchanges in three ladders, with velocities, against the CPU, bit for bit."""
    ladders, rungs, components = 3, 5, 7
    rng = np.random.default_rng(2)
    replicas = ladders * rungs
    host: dict[str, np.ndarray[Any, Any]] = {
        "beta": np.tile(np.linspace(1.0, 1.4, rungs), ladders),
        "move_size": np.tile(np.linspace(0.2, 0.1, rungs), ladders),
        "energy": rng.normal(-80.0, 3.0, replicas),
        "ids": np.arange(replicas, dtype=np.int64),
        "order": np.tile(np.arange(rungs, dtype=np.int32), (ladders, 1)),
        "velocities": rng.normal(size=(replicas, components)),
        "visits": np.zeros(replicas, dtype=np.int32),
        "trips": np.zeros(ladders, dtype=np.int64),
    }
    host |= {name: np.zeros((ladders, rungs - 1), dtype=np.int64) for name in ("attempts", "accepts")}
    host |= {name: np.zeros((ladders, rungs), dtype=np.int64) for name in ("from_hot", "from_cold")}
    there = {name: device.put(array) for name, array in host.items()}
    shape: dict[str, Any] = {"replicas": replicas, "rungs": rungs, "components": components, "seed": 1, "interval": 10}
    for step in (10, 20):
        addresses = {name: device.address(array) for name, array in there.items()}
        _core.cuda_exchange(**addresses, **shape, step=step, device=0, stream=device.stream)
        addresses = {name: int(array.ctypes.data) for name, array in host.items()}
        _core.exchange(**addresses, **shape, step=step)
    for name, array in host.items():
        if not np.array_equal(array, device.get(there[name])):
            sys.exit(f"{name} differ from those of the CPU after exchanges")


def flows(device: Device) -> None:
    """A trajectory and a field of every kernel of the flows, against the CPU."""
    rng = np.random.default_rng(3)
    for system, replicas in ((gnf.systems.ka2d(n=43), 3), (gnf.systems.ka2d(n=100), 2), (gnf.systems.ka(n=160), 2)):
        ensemble, kinds = start(system, replicas), system.n_species
        for layers in range(3):
            pair, message = RadialBasis(0.5, 2.4, 12), RadialBasis(0.5, 1.9, 8)
            weights = rng.normal(size=(3, layers + 1, kinds, kinds, pair.size))
            functions = pair.table(weights + np.swapaxes(weights, -2, -3))
            weights = 0.2 * rng.normal(size=(3, layers, 2, kinds, kinds, message.size))
            messages = message.table(weights + np.swapaxes(weights, -2, -3)) if layers else None
            tables = RadialTables(pair.inner, pair.outer, functions, message.inner, message.outer, messages)
            flow(device, ensemble, tables)


def flow(device: Device, ensemble: gnf.Ensemble, tables: RadialTables) -> None:
    """One step of a flow, and its field."""
    system, x, s = ensemble.system, ensemble.positions, ensemble.species
    h = 0.05 / float(np.abs(velocity_and_divergence(system, x, s, tables, threads=1)[0]).max())
    functions = {
        "inner": tables.inner,
        "outer": tables.outer,
        "intervals": tables.intervals,
        "pair": int(tables.pair.ctypes.data),
        "layers": tables.layers,
        "message_inner": tables.message_inner,
        "message_outer": tables.message_outer,
        "message_intervals": tables.message_intervals,
        "messages": 0 if tables.messages is None else int(tables.messages.ctypes.data),
    }
    target = {"replicas": ensemble.replicas, **functions, "device": 0, "stream": device.stream}
    native, scalars = native_system(system), np.full(ensemble.replicas, np.nan)
    v, u, species = device.put(np.full(x.shape, np.nan)), device.put(scalars), device.put(s)
    arrays = {"positions": device.put(x), "species": species, "velocity": v, "divergence": u}
    _core.cuda_flow_field(native, **{name: device.address(array) for name, array in arrays.items()}, **target)
    velocity, divergence = velocity_and_divergence(system, x, s, tables, threads=1)
    close("velocities", device.get(v), velocity, 1e-11)
    close("divergences", device.get(u), divergence, 1e-11)
    arrays = {"positions": device.put(x), "images": device.put(np.zeros(x.shape, np.int32)), "species": species}
    arrays["log_jacobian"] = device.put(scalars)
    addresses = {name: device.address(array) for name, array in arrays.items()}
    _core.cuda_flow_trajectory(native, **addresses, **target, steps=1, step_size=h)
    moved = trajectory(system, x, s, tables, h, threads=1)
    end = device.get(arrays["positions"]) + device.get(arrays["images"]) * system.box
    close("positions after a flow", end, moved.positions + moved.images * system.box, 1e-11)
    close("log Jacobians", device.get(arrays["log_jacobian"]), moved.log_jacobian, 1e-11)


def copies(device: Device) -> None:
    """Replicas copied from their parents, in pieces of memory of several sizes."""
    parents = np.array([0, 0, 2, 0, 2, 5], dtype=np.int64)
    for dtype, width in ((np.uint8, 3), (np.int32, 5), (np.float64, 1), (np.float64, 86)):
        array = np.arange(6 * width).reshape(6, width).astype(dtype)
        there = device.put(array)
        memory = [(device.address(there), array[0].nbytes)]
        _core.cuda_gather_replicas(replicas=6, parents=int(parents.ctypes.data), arrays=memory, device=0, stream=device.stream)
        if not np.array_equal(device.get(there), array[parents]):
            sys.exit("copies of replicas are wrong")


def main() -> None:
    if not gnf.cuda.is_available():
        print(f"no CUDA kernels to run: {gnf.cuda.why_not()}", file=sys.stderr)
        sys.exit(2)
    device = Device()
    for name, system, replicas in systems():
        ensemble = start(system, replicas)
        for mixed in (False, True):
            energies(device, ensemble, mixed=mixed)
        moves(device, ensemble, checkerboard=False)
        for thermostat in range(3):
            steps(device, ensemble, thermostat, swap_every=2 if thermostat == 1 else 0)
        print(f"{name}: energies, moves and time steps", flush=True)
    for name, system in (("2D", gnf.systems.ka2d(n=300)), ("3D", mixture("lj_smooth", 400, 9.0, 3))):
        moves(device, start(system, 1), checkerboard=True)
        print(f"{name}: checkerboard", flush=True)
    exchanges(device)
    copies(device)
    print("exchanges and copies", flush=True)
    flows(device)
    print("flows", flush=True)


if __name__ == "__main__":
    main()
