"""The kernels of the flow fields: checks, memory, calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays, _check, _core
from .._batch import Batch, answer, as_batch
from .._native import native_system, threads_of
from ..systems import System
from .tables import RadialTables
from .transport import FlowError, Transport

__all__ = ["trajectory", "velocity_and_divergence"]


def velocity_and_divergence(
    system: System,
    positions: Any,
    species: Any,
    tables: RadialTables,
    *,
    stage: int = 0,
    threads: int | None = None,
    search: int = 0,
) -> tuple[Any, Any]:
    """Field of one set of tables at given configurations.

    Parameters
    ----------
    system : System
    positions : (R, N, d) or (N, d) float64, sigma
        As in `glassnf.energy`: of NumPy, torch or CuPy, on the CPU or a GPU. Coordinates need not be wrapped.
    species : (R, N) or (N,) integers, optional
        None: the order of ``system.species``.
    tables : RadialTables
    stage : int
        Which set of tables.
    threads : int, optional
        CPU threads; never changes the result.
    search : {0, 1, 2}
        For tests, of the CPU: all pairs (1) or cells (2) instead of the faster of the two; results differ in rounding.

    Returns
    -------
    velocity : (R, N, d) or (N, d), sigma/beta
    divergence : (R,) or scalar, 1/beta
        Not finite where the field is not.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the tables do not fit the system.
    """
    batch, count = _checked(system, positions, species, tables), threads_of(threads)
    stage = _check.integer("stage", stage, 0, tables.stages - 1)
    search = _check.integer("search", search, 0, 2)
    with _arrays.guard(batch.positions), _arrays.out_of_memory("velocities"):
        velocity = _arrays.empty(batch.positions.shape, batch.positions)
        divergence = _arrays.empty(batch.positions.shape[:1], batch.positions)
        arguments = {
            "replicas": int(batch.positions.shape[0]),
            "positions": _arrays.address(batch.positions),
            "species": _arrays.address(batch.species),
            "velocity": _arrays.address(velocity),
            "divergence": _arrays.address(divergence),
            **_table_arguments(tables, stage),
        }
        device = _arrays.device_of(batch.positions)
        if device.ordinal is None:
            _core.flow_field(native_system(system), **arguments, search=search, threads=count)
        else:
            stream = _arrays.stream_of(batch.positions)
            _core.cuda_flow_field(native_system(system), **arguments, device=device.ordinal, stream=stream)
    return answer(batch, velocity), answer(batch, divergence)


def trajectory(
    system: System,
    positions: Any,
    species: Any,
    tables: RadialTables,
    beta_step: float,
    *,
    threads: int | None = None,
    search: int = 0,
) -> Transport:
    """Carry configurations along a flow: classical Runge-Kutta steps of fourth order, and the integral of the divergence.

    Parameters
    ----------
    system, positions, species, threads, search
        As in `velocity_and_divergence`.
    tables : RadialTables
        With 2 n + 1 stages for n steps: beginning, middle of the first step, its end, ...
    beta_step : float, 1/epsilon
        Length of a step, negative on the way to higher temperatures.

    Returns
    -------
    Transport
        Arrays (R, N, d) and (R,), also of one configuration; of NumPy, or on the GPU of the positions and of their library.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the tables do not fit the system.
    FlowError
        If a position or a Jacobian is not finite at the end.
    """
    batch, count = _checked(system, positions, species, tables), threads_of(threads)
    steps, h = tables.steps, _check.finite_float("beta_step", beta_step)
    search = _check.integer("search", search, 0, 2)
    start = batch.positions
    with _arrays.guard(start), _arrays.out_of_memory("a flow"):
        moved = start.clone() if _arrays.is_torch(start) else start.copy()
        images = _arrays.put(np.zeros(tuple(moved.shape), np.int32), moved)
        log_jacobian = _arrays.empty(moved.shape[:1], moved)
        arguments = {
            "replicas": int(moved.shape[0]),
            "positions": _arrays.address(moved),
            "images": _arrays.address(images),
            "species": _arrays.address(batch.species),
            "log_jacobian": _arrays.address(log_jacobian),
            **_table_arguments(tables),
            "steps": steps,
            "step_size": h,
        }
        device = _arrays.device_of(moved)
        if device.ordinal is None:
            _core.flow_trajectory(native_system(system), **arguments, search=search, threads=count)
        else:
            _core.cuda_flow_trajectory(
                native_system(system), **arguments, device=device.ordinal, stream=_arrays.stream_of(moved)
            )
    lost = np.flatnonzero(~np.isfinite(_arrays.to_host(log_jacobian)))
    if lost.size:
        raise FlowError(
            f"the flow lost {lost.size} of {moved.shape[0]} configurations, the first of them number {lost[0]}: positions or "
            "Jacobians are not finite",
            tuple(int(r) for r in lost),
        )
    return Transport(moved, images, log_jacobian, steps)


def _checked(system: System, positions: Any, species: Any, tables: RadialTables) -> Batch:
    if not isinstance(tables, RadialTables):
        raise TypeError(f"tables: expected RadialTables, got {type(tables).__name__}")
    batch = as_batch(system, positions, species)
    if tables.n_species != system.n_species:
        raise ValueError(f"tables: expected functions of {system.n_species} species, got {tables.n_species}")
    half = 0.5 * float(np.min(system.box))
    if not tables.reach <= half:
        raise ValueError(
            f"tables: expected functions that end within half of the box, {half}, got some that reach {tables.reach}"
        )
    return batch


def _table_arguments(tables: RadialTables, stage: int = 0) -> dict[str, Any]:
    """Return the arguments of the kernels; the stages from the one given on."""
    return {
        "inner": tables.inner,
        "outer": tables.outer,
        "intervals": tables.intervals,
        "pair": _arrays.address(tables.pair[stage]),
        "layers": tables.layers,
        "message_inner": tables.message_inner,
        "message_outer": tables.message_outer,
        "message_intervals": tables.message_intervals,
        "messages": _arrays.address(None if tables.messages is None else tables.messages[stage]),
    }
