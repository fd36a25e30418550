"""What the CUDA benchmarks share: the device and its limits, arrays on it, and the hand counts of instructions.

Arrays and events come from torch or, where that is missing, from CuPy. With ``device="cpu"`` everything runs on the CPU
backend, so that the scripts themselves can be tested where there is no GPU.
"""

from __future__ import annotations

import functools
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import glassnf as gnf
from glassnf import _core
from glassnf._native import native_system

FP64_LANES = 64  # double-precision lanes of a multiprocessor, compute capability 8.0 and 9.0; others have fewer
ISSUE_LANES = 128  # 32-bit lanes: four schedulers issue one warp instruction each per clock

# Instructions on the double-precision pipe, counted from cpp/include/glassnf/box.hpp and potentials.hpp for the ka2d liquid
# (two dimensions, Lennard-Jones). Comparisons go through that pipe too; selections, loads and the approximate reciprocal
# (MUFU.RCP64H) do not. A negation or absolute value is free, being part of the operand.
#
# One pair of a Monte Carlo row (quantised_pair_energy):
#   x_j - x_i, L - |dx|, comparison of the two, per axis 3                                     6
#   r^2: one product, one fused                                                                2
#   q = r^2 / sigma^2                                                                          1
#   q not below the floor, not above the cut                                                   2
#   1 / q: two Newton steps and one correction from an approximation, all fused                5
#   q^-3, q^-3 - 1                                                                             3
#   (c4 q + c2) q + c0, and its sum with q^-3 (q^-3 - 1)                                       3
#   prefactor * reduced, rounded to the energy quantum                                         2
#   sum                                                                                        1
FP64_PER_PAIR = 25
# Finding out that a pair is beyond the cutoff: differences, minimum image, r^2, comparison.
FP64_PER_DISTANCE = 9
# A trial beside its rows: threshold and proposal, drawn by one lane (40); acceptance, wrapping and the exact sum (20, made by
# all lanes of the group and counted once).
FP64_PER_TRIAL = 60
# One ordered pair of energy and forces (pair_energy_and_force): difference and signed minimum image 5 per axis, 10; r^2 2; q 1;
# floor 1; 1 / q 5; q^-3 and q^-3 - 1 3; polynomial, sum, prefactor 4; slope 4; its factors 3; cutoff and floor of the force 2;
# sum 1; force on i, one fused per axis, 2.
FP64_PER_FORCE_PAIR = 38
# One ordered pair of molecular dynamics (PairLaw::add_force of particle_dynamics.hpp): difference and signed minimum image
# 4 per axis, 8; r^2 2; q 1; 1 / q 5; q^-3 2, q^-1 q^-3 1; -6 q^-3 + 3 1; slope of the polynomial, sum 2; scale 1; cutoff 1;
# force rounded to its quantum and summed, 3 per axis, 6.
FP64_PER_DYNAMICS_PAIR = 30
# The same in mixed precision (energies only), which is bound by issue, not by the double-precision pipe: difference of
# integers, its conversion and unit 3 per axis, 6; r^2 2; q 1; floor 1; 1 / q 6 (MUFU.RCP and its refinement); q^-3 and
# q^-3 - 1 3; polynomial, sum, prefactor 4; slope 4; its factors 3; cut and floor of both, comparisons and selections, 5; sum 1;
# force on i 2; conversion to double and sum, every eighth pair, 1.
ISSUE_PER_FORCE_PAIR_MIXED = 39
ISSUE_PER_DISTANCE_MIXED = 9  # 6, r^2, comparison
ROWS = 2  # the proposed and the present one
FORCE_BYTES = 16 + 4 + 16  # of a particle: position and species in, force out; energies are nothing beside it


# ---- hand counts -------------------------------------------------------------------------------------------------------------


def all_pairs(system: gnf.systems.System) -> bool:
    """Whether cells would not help."""
    return bool((system.box < 4.0 * system.cutoff_distance).any())


def candidates(system: gnf.systems.System) -> float:
    """Particles that a row looks at: those of nine cells one cutoff wide."""
    return float(9.0 * system.n / np.prod(np.floor(system.box / system.cutoff_distance))) - 1.0


def row_instructions(system: gnf.systems.System, pair: float, distance: float) -> float:
    """Instructions of a row: all pairs, or the distances of all candidates and the pairs within the largest cutoff."""
    if all_pairs(system):
        return (system.n - 1) * pair
    return candidates(system) * distance + near(system) * pair


def near(system: gnf.systems.System) -> float:
    """Particles within the largest cutoff."""
    return float(system.density * math.pi * system.cutoff_distance**2) - 1.0


def trial_instructions(system: gnf.systems.System) -> float:
    """Double-precision instructions of one displacement trial."""
    return ROWS * row_instructions(system, FP64_PER_PAIR, FP64_PER_DISTANCE) + FP64_PER_TRIAL


def force_instructions(system: gnf.systems.System, *, mixed: bool) -> float:
    """Instructions of energy and forces of one configuration on the pipe that binds, every ordered pair evaluated."""
    counts = (ISSUE_PER_FORCE_PAIR_MIXED, ISSUE_PER_DISTANCE_MIXED) if mixed else (FP64_PER_FORCE_PAIR, FP64_PER_DISTANCE)
    return system.n * row_instructions(system, *counts)


def step_instructions(system: gnf.systems.System) -> float:
    """Double-precision instructions of one time step of one replica, its force pairs alone."""
    return system.n * row_instructions(system, FP64_PER_DYNAMICS_PAIR, FP64_PER_DISTANCE)


def limits(facts: dict[str, Any], system: gnf.systems.System, what: str, *, mixed: bool = False) -> dict[str, float]:
    """Return the hand-counted upper bound of a rate on this device: of trial moves ("trial"), configurations ("forces") or time
    steps of a replica ("step")."""
    clock, processors = facts.get("clock_hz"), facts.get("multiprocessors")
    if not clock or not processors:
        return {}
    lanes = processors * clock * (ISSUE_LANES if mixed else FP64_LANES)
    counts: dict[str, Callable[[gnf.systems.System], float]] = {
        "trial": trial_instructions,
        "step": step_instructions,
        "forces": functools.partial(force_instructions, mixed=mixed),
    }
    instructions = counts[what](system)
    found = {"instructions": instructions, "limit_per_s": lanes / instructions}
    if what == "forces" and facts.get("bytes_per_s"):
        found["limit_of_bandwidth_per_s"] = facts["bytes_per_s"] / (system.n * FORCE_BYTES)
    return found


# ---- the device --------------------------------------------------------------------------------------------------------------


def library(device: str) -> Any:
    """Return the module whose arrays live on the device: NumPy on the CPU, torch or CuPy on the GPU."""
    if device == "cpu":
        return np
    try:
        import torch

        if torch.cuda.is_available():
            return torch
    except ImportError:
        pass
    try:
        import cupy

        return cupy
    except ImportError:
        return None


def require(device: str) -> None:
    """Leave with status 2, saying why, if there is no GPU or nothing to make arrays on it with."""
    if device == "cpu":
        return
    reason = "" if gnf.cuda.is_available() else gnf.cuda.why_not()
    if not reason and library(device) is None:
        reason = "neither torch with CUDA nor CuPy is installed, one of which has to make the arrays"
    if reason:
        print(f"no CUDA benchmark: {reason}", file=sys.stderr)
        sys.exit(2)


def _query(fields: str) -> list[str]:
    """Return what nvidia-smi says about the first device, or nothing."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return [word.strip() for word in done.stdout.strip().split(",")] if done.returncode == 0 else []


def _from_cupy() -> dict[str, Any]:
    import cupy

    attributes = cupy.cuda.Device(0).attributes
    version = cupy.cuda.runtime.runtimeGetVersion()
    return {
        "multiprocessors": attributes.get("MultiProcessorCount"),
        "clock_hz": 1e3 * attributes["ClockRate"] if attributes.get("ClockRate") else None,
        "l2_bytes": attributes.get("L2CacheSize"),
        "shared_bytes": attributes.get("MaxSharedMemoryPerMultiprocessor"),
        "cupy": cupy.__version__,
        "cuda_runtime": f"{version // 1000}.{version % 1000 // 10}",
    }


def _from_torch() -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {"torch": torch.__version__, "torch_cuda": torch.version.cuda}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        clock = getattr(properties, "clock_rate", 0)
        found |= {
            "multiprocessors": properties.multi_processor_count,
            "clock_hz": 1e3 * clock if clock else None,
            "l2_bytes": getattr(properties, "L2_cache_size", None),
        }
    return found


def facts(device: str) -> dict[str, Any]:
    """Describe the GPU: what limits it, and the versions under it. The clock is the highest that the device allows itself."""
    if device == "cpu":
        return {"name": "none (the CPU backend in its place)"}
    found: dict[str, Any] = {"name": _core.cuda_device_name(0)}
    for ask in (_from_torch, _from_cupy):
        try:
            found |= {name: value for name, value in ask().items() if value is not None}
        except Exception as error:  # a library that is missing or broken must not stop the others
            print(f"{ask.__name__}: {error}", file=sys.stderr)
    words = _query("driver_version,clocks.max.sm,compute_cap")
    if len(words) == 3:
        found |= {"driver": words[0], "compute_capability": words[2]}
        if words[1].isdigit():
            found.setdefault("clock_hz", 1e6 * int(words[1]))
    return found


def clock_now() -> float | None:
    """Return the clock of the multiprocessors at this moment in Hz, as nvidia-smi reads it."""
    words = _query("clocks.sm")
    return 1e6 * int(words[0]) if words and words[0].isdigit() else None


_PEAK = r"""
extern "C" __global__ void peak(double* out, double b, int rounds) {
  double a[8];
  for (int k = 0; k < 8; ++k) a[k] = threadIdx.x + k;
  for (int i = 0; i < rounds; ++i)
#pragma unroll
    for (int k = 0; k < 8; ++k) a[k] = fma(a[k], b, 1.0);
  double sum = 0.0;
  for (int k = 0; k < 8; ++k) sum += a[k];
  if (sum == 0.25) out[threadIdx.x] = sum;
}
"""


def peak() -> dict[str, float]:
    """Measure what the device does: fused multiply-adds in double precision, and bytes copied; needs CuPy, else nothing."""
    try:
        import cupy

        kernel = cupy.RawKernel(_PEAK, "peak")
        out = cupy.zeros(1024)
        blocks, threads, rounds = 16 * cupy.cuda.Device(0).attributes["MultiProcessorCount"], 256, 20_000
        arguments = (out, np.float64(0.5), np.int32(rounds))
        seconds = min(timed("cuda", lambda: kernel((blocks,), (threads,), arguments)) for _ in range(4))
        source = cupy.zeros(1 << 27)  # 1 GB
        target = cupy.empty_like(source)
        copy = min(timed("cuda", lambda: cupy.copyto(target, source)) for _ in range(4))
    except Exception as error:  # the peak is a comfort, not a condition
        print(f"peak not measured: {error}", file=sys.stderr)
        return {}
    return {"fp64_per_s": 8.0 * rounds * blocks * threads / seconds, "bytes_per_s": 2.0 * source.nbytes / copy}


# ---- arrays and time ---------------------------------------------------------------------------------------------------------


def put(array: np.ndarray[Any, Any], device: str) -> Any:
    """Return a copy of a NumPy array on the device."""
    module = library(device)
    if module is np:
        return array.copy()
    return module.as_tensor(array, device=device) if module.__name__ == "torch" else module.asarray(array)


def get(array: Any) -> np.ndarray[Any, Any]:
    """Return a copy of an array as NumPy array."""
    if isinstance(array, np.ndarray):
        return array.copy()
    return np.asarray(array.cpu().numpy() if hasattr(array, "cpu") else array.get())


def address(array: Any) -> int:
    if isinstance(array, np.ndarray):
        return int(array.ctypes.data)
    return int(array.data_ptr() if hasattr(array, "data_ptr") else array.data.ptr)


def stream() -> int:
    """Return the handle of the current stream of the library that makes the arrays."""
    module = library("cuda")
    if module.__name__ == "torch":
        return int(module.cuda.current_stream().cuda_stream)
    return int(module.cuda.get_current_stream().ptr)


def synchronize(device: str) -> None:
    module = library(device)
    if module is np:
        return
    if module.__name__ == "torch":
        module.cuda.synchronize()
    else:
        module.cuda.Device().synchronize()


def timed(device: str, work: Callable[[], Any]) -> float:
    """Return the seconds that `work` takes: between two events on the current stream, or by the clock on the CPU."""
    module = library(device)
    if module is np:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    if module.__name__ == "torch":
        before, after = (module.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        work()
        after.record()
        after.synchronize()
        return float(before.elapsed_time(after)) / 1e3
    before, after = (module.cuda.Event() for _ in range(2))
    before.record()
    work()
    after.record()
    after.synchronize()
    return float(module.cuda.get_elapsed_time(before, after)) / 1e3


class Kernel:
    """The energy kernel without the public function around it: outputs allocated beforehand, nothing checked."""

    def __init__(self, system: gnf.systems.System, positions: Any, species: Any, device: str, *, mixed: bool = False) -> None:
        self.system, self.positions, self.species, self.device = native_system(system), positions, species, device
        replicas = int(positions.shape[0])
        self.energy, self.forces = put(np.zeros(replicas), device), put(np.zeros(positions.shape), device)
        self.replicas, self.mixed = replicas, mixed

    def __call__(self) -> None:
        arrays = {name: address(getattr(self, name)) for name in ("positions", "species", "energy", "forces")}
        if self.device == "cpu":
            _core.energy(self.system, replicas=self.replicas, **arrays, threads=1)
        else:
            _core.cuda_energy(self.system, replicas=self.replicas, **arrays, device=0, stream=stream(), mixed=self.mixed)
