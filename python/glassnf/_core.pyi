"""Native core of glassnf. Private: use the Python API of the package.

Arrays are passed as addresses (`glassnf._arrays.address`); 0 stands for "none". Made with pybind11-stubgen and corrected by
hand: the members of the enumeration have values, integers are plain `int`. tests/test_stubs.py compares it with the module.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

__version__: str

class Stream(enum.IntEnum):
    """The named streams of random numbers."""

    MONTE_CARLO_TRIAL = 1
    RANDOM_START = 2
    RANDOM_SPECIES = 3
    VELOCITIES = 4
    THERMOSTAT = 5
    REPLICA_EXCHANGE = 6
    RESAMPLING = 7
    PROPOSAL = 8
    STATISTICS = 9
    CHECKERBOARD = 10
    CHECKERBOARD_GRID = 11

class CudaError(RuntimeError):
    """CUDA failed or cannot be used."""

class CudaOutOfMemoryError(CudaError):
    """The memory of a CUDA device is full."""

class System:
    """A system as the kernels see it."""

    def __init__(
        self,
        *,
        n: int,
        box: Sequence[float],
        cutoff: float,
        kind: int,
        exponent: int,
        species_count: int,
        coefficients: Sequence[float],
        largest_epsilon: float,
    ) -> None: ...

def cuda_built() -> bool: ...
def cuda_device_count() -> int: ...
def cuda_device_name(device: int) -> str: ...
def cuda_energy(
    system: System,
    *,
    replicas: int,
    positions: int,
    species: int,
    energy: int,
    forces: int = 0,
    virial: int = 0,
    device: int,
    stream: int,
    mixed: bool = False,
) -> None: ...
def cuda_exchange(
    *,
    replicas: int,
    rungs: int,
    beta: int,
    move_size: int,
    energy: int,
    ids: int,
    order: int,
    velocities: int = 0,
    components: int = 0,
    seed: int,
    step: int,
    interval: int,
    attempts: int,
    accepts: int,
    visits: int,
    trips: int,
    from_hot: int,
    from_cold: int,
    device: int,
    stream: int,
) -> None: ...
def cuda_flow_field(
    system: System,
    *,
    replicas: int,
    positions: int,
    species: int,
    velocity: int,
    divergence: int,
    inner: float,
    outer: float,
    intervals: int,
    pair: int,
    layers: int = 0,
    message_inner: float = 0.0,
    message_outer: float = 0.0,
    message_intervals: int = 0,
    messages: int = 0,
    device: int,
    stream: int,
) -> None: ...
def cuda_flow_trajectory(
    system: System,
    *,
    replicas: int,
    positions: int,
    images: int,
    species: int,
    log_jacobian: int,
    inner: float,
    outer: float,
    intervals: int,
    pair: int,
    layers: int = 0,
    message_inner: float = 0.0,
    message_outer: float = 0.0,
    message_intervals: int = 0,
    messages: int = 0,
    steps: int,
    step_size: float,
    device: int,
    stream: int,
) -> None: ...
def cuda_gather_replicas(
    *, replicas: int, parents: int, arrays: Sequence[tuple[int, int]], device: int, stream: int
) -> None: ...
def cuda_memory(device: int) -> tuple[int, int]: ...
def cuda_molecular_dynamics(
    system: System,
    *,
    replicas: int,
    positions: int,
    velocities: int,
    images: int,
    species: int,
    beta: int,
    energy: int,
    ids: int,
    seed: int,
    step: int,
    steps: int,
    timestep: float,
    thermostat: int,
    friction: float,
    relaxation_time: float,
    record_at: Sequence[int],
    record_energy: int = 0,
    record_kinetic: int = 0,
    record_positions: int = 0,
    record_velocities: int = 0,
    record_species: int = 0,
    pair_evaluations: int,
    failure: int,
    swap_every: int = 0,
    pair_thresholds: Sequence[int] = [],
    move_size: int = 0,
    swap_attempts: int = 0,
    swap_accepts: int = 0,
    completed: int = 0,
    device: int,
    stream: int,
) -> None: ...
def cuda_monte_carlo(
    system: System,
    *,
    replicas: int,
    positions: int,
    images: int,
    species: int,
    beta: int,
    energy: int,
    ids: int,
    move_size: int,
    seed: int,
    step: int,
    sweeps: int,
    swap_threshold: int,
    pair_thresholds: Sequence[int],
    record_at: Sequence[int],
    record_energy: int = 0,
    record_positions: int = 0,
    record_species: int = 0,
    displacement_attempts: int,
    displacement_accepts: int,
    swap_attempts: int,
    swap_accepts: int,
    pair_evaluations: int,
    completed: int = 0,
    checkerboard: bool = False,
    device: int,
    stream: int,
    mixed: bool = False,
) -> None: ...
def cuda_sequential_limit(system: System) -> int: ...
def cuda_why_not() -> str: ...
def energy(
    system: System,
    *,
    replicas: int,
    positions: int,
    species: int,
    energy: int,
    forces: int = 0,
    virial: int = 0,
    threads: int = 1,
) -> None: ...
def exchange(
    *,
    replicas: int,
    rungs: int,
    beta: int,
    move_size: int,
    energy: int,
    ids: int,
    order: int,
    velocities: int = 0,
    components: int = 0,
    seed: int,
    step: int,
    interval: int,
    attempts: int,
    accepts: int,
    visits: int,
    trips: int,
    from_hot: int,
    from_cold: int,
) -> None: ...
def flow_features(
    system: System,
    *,
    replicas: int,
    positions: int,
    species: int,
    forces: int,
    beta: int,
    pair_inner: float,
    pair_outer: float,
    pair_intervals: int,
    message_inner: float,
    message_outer: float,
    message_intervals: int,
    layers: int,
    pair_coefficients: int,
    message_coefficients: int,
    features: int,
    threads: int = 1,
) -> None: ...
def flow_field(
    system: System,
    *,
    replicas: int,
    positions: int,
    species: int,
    velocity: int,
    divergence: int,
    inner: float,
    outer: float,
    intervals: int,
    pair: int,
    layers: int = 0,
    message_inner: float = 0.0,
    message_outer: float = 0.0,
    message_intervals: int = 0,
    messages: int = 0,
    search: int = 0,
    threads: int = 1,
) -> None: ...
def flow_trajectory(
    system: System,
    *,
    replicas: int,
    positions: int,
    images: int,
    species: int,
    log_jacobian: int,
    inner: float,
    outer: float,
    intervals: int,
    pair: int,
    layers: int = 0,
    message_inner: float = 0.0,
    message_outer: float = 0.0,
    message_intervals: int = 0,
    messages: int = 0,
    steps: int,
    step_size: float,
    search: int = 0,
    threads: int = 1,
) -> None: ...
def gather_replicas(*, replicas: int, parents: int, arrays: Sequence[tuple[int, int]], threads: int = 1) -> None: ...
def instruction_set() -> str: ...
def instruction_sets() -> list[str]: ...
def maxwell_velocities(
    *,
    replicas: int,
    n: int,
    dimension: int,
    temperature: int,
    ids: int,
    seed: int,
    step: int,
    velocities: int,
) -> None: ...
def minimise(
    system: System,
    *,
    replicas: int,
    positions: int,
    velocities: int,
    images: int,
    species: int,
    beta: int,
    energy: int,
    ids: int,
    timestep: float,
    largest_timestep: float,
    tolerance: float,
    most_iterations: int,
    iterations: int,
    largest_force: int,
    search: int = 0,
    threads: int = 1,
) -> None: ...
def molecular_dynamics(
    system: System,
    *,
    replicas: int,
    positions: int,
    velocities: int,
    images: int,
    species: int,
    beta: int,
    energy: int,
    ids: int,
    seed: int,
    step: int,
    steps: int,
    timestep: float,
    thermostat: int,
    friction: float,
    relaxation_time: float,
    record_at: Sequence[int],
    record_energy: int = 0,
    record_kinetic: int = 0,
    record_positions: int = 0,
    record_velocities: int = 0,
    record_species: int = 0,
    pair_evaluations: int,
    failure: int,
    swap_every: int = 0,
    pair_thresholds: Sequence[int] = [],
    move_size: int = 0,
    swap_attempts: int = 0,
    swap_accepts: int = 0,
    completed: int = 0,
    search: int = 0,
    threads: int = 1,
) -> None: ...
def monte_carlo(
    system: System,
    *,
    replicas: int,
    positions: int,
    images: int,
    species: int,
    beta: int,
    energy: int,
    ids: int,
    move_size: int,
    seed: int,
    step: int,
    sweeps: int,
    swap_threshold: int,
    pair_thresholds: Sequence[int],
    record_at: Sequence[int],
    record_energy: int = 0,
    record_positions: int = 0,
    record_species: int = 0,
    displacement_attempts: int,
    displacement_accepts: int,
    swap_attempts: int,
    swap_accepts: int,
    pair_evaluations: int,
    completed: int = 0,
    checkerboard: bool = False,
    search: int = 0,
    threads: int = 1,
) -> None: ...
def parallel_tempering(
    system: System,
    *,
    replicas: int,
    positions: int,
    images: int,
    species: int,
    beta: int,
    energy: int,
    ids: int,
    move_size: int,
    seed: int,
    step: int,
    sweeps: int,
    swap_threshold: int,
    pair_thresholds: Sequence[int],
    record_at: Sequence[int],
    record_energy: int = 0,
    record_positions: int = 0,
    record_species: int = 0,
    displacement_attempts: int,
    displacement_accepts: int,
    swap_attempts: int,
    swap_accepts: int,
    pair_evaluations: int,
    completed: int = 0,
    checkerboard: bool = False,
    rungs: int,
    interval: int,
    order: int,
    attempts: int,
    accepts: int,
    visits: int,
    trips: int,
    from_hot: int,
    from_cold: int,
    record_order: int = 0,
    velocities: int = 0,
    search: int = 0,
    threads: int = 1,
) -> None: ...
def philox(counter: Sequence[int], key: int) -> list[int]: ...
def resample(*, replicas: int, weights: int, seed: int, step: int, parents: int) -> None: ...
def reweight(
    *, replicas: int, energy: int, beta_step: float, extreme: float, weights: int
) -> tuple[int, float, float, float]: ...
def trial(seed: int, step: int, id: int, move: int) -> tuple[int, int, int, int, list[float], float]: ...
def uniform(seed: int, stream: Stream, step: int, id: int, count: int, out: int) -> None: ...
def use_instruction_set(name: str) -> None: ...
