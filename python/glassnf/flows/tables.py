"""Radial functions of a flow's field, in the tables that all kernels read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .. import _check

__all__ = ["RadialTables"]

FloatArray = npt.NDArray[np.float64]

_JOINTS = 1e-8  # largest jump at a knot, of a function or its first two derivatives, relative to the largest coefficient
_MOST_INTERVALS = 65536
_MOST_LAYERS = 3


@dataclass(frozen=True, eq=False)
class RadialTables:
    """Radial functions of a field as piecewise cubics on uniform knots, for pairs of species, at the stages of an integrator.

    The field is a chain of layers. With r = x_i - x_j the nearest image, d = |r| and e = r / d,

        w0_i = sum_j p0(d) r,
        wl_i = sum_j pl(d) r + sum_j [El(d) (e . w(l-1)_j) + Cl(d) (e . w(l-1)_i)] e      for l = 1 .. L,

    and the velocity is wL; without messages (L = 0) it is a pair field. All functions are symmetric in the pair of species.

    Between two knots a function is c0 + s (c1 + s (c2 + s c3)) with s = (d - knot) / h in [0, 1) and h = (outer - inner) /
    intervals. The first row stands for all distances below the inner end, the last for all beyond the outer one; both are
    zero. Functions are twice continuously differentiable everywhere, at both ends too: a field with a jump within the box has
    no density that the divergence could give.

    Attributes
    ----------
    inner, outer : float, sigma
        Range of the pair functions p; `outer` is at most half of every side of the box.
    pair : (stages, L + 1, S, S, intervals + 2, 4) float64, 1/beta
        Coefficients c0 .. c3 of p0 .. pL. An integrator of n Runge-Kutta steps takes 2 n + 1 stages: the beginning, the middle
        of the first step, its end, ...
    message_inner, message_outer : float, sigma
        Range of the functions E and C.
    messages : (stages, L, 2, S, S, intervals + 2, 4) float64, 1, or None
        Coefficients of E (index 0 of the third axis) and C (1) of the layers 1 .. L.

    Raises
    ------
    TypeError, ValueError
        If a shape or a value is not as above.
    """

    inner: float
    outer: float
    pair: FloatArray
    message_inner: float = 0.0
    message_outer: float = 0.0
    messages: FloatArray | None = None

    def __post_init__(self) -> None:
        pair = _checked_table("pair", self.pair, "(stages, L + 1, S, S, intervals + 2, 4)", 6)
        object.__setattr__(self, "pair", pair)
        self._set_range("inner", "outer")
        if self.messages is None:
            if pair.shape[1] != 1:
                raise ValueError(f"messages: expected those of {pair.shape[1] - 1} layers, got None")
            return
        messages = _checked_table("messages", self.messages, "(stages, L, 2, S, S, intervals + 2, 4)", 7)
        expected = (pair.shape[0], pair.shape[1] - 1, 2, *pair.shape[2:4])
        if messages.shape[:5] != expected or not 1 <= expected[1] <= _MOST_LAYERS:
            raise ValueError(
                f"messages: expected shape (stages, L, 2, S, S, ...) = {expected} with 1 to {_MOST_LAYERS} layers, got "
                f"{messages.shape[:5]}"
            )
        object.__setattr__(self, "messages", messages)
        self._set_range("message_inner", "message_outer")

    def _set_range(self, inner_name: str, outer_name: str) -> None:
        inner = _check.nonnegative_float(inner_name, getattr(self, inner_name))
        outer = _check.positive_float(outer_name, getattr(self, outer_name))
        if not inner < outer:
            raise ValueError(f"{outer_name}: expected a number above {inner_name} = {inner}, got {outer}")
        object.__setattr__(self, inner_name, inner)
        object.__setattr__(self, outer_name, outer)

    @property
    def stages(self) -> int:
        """Number of sets of functions."""
        return int(self.pair.shape[0])

    @property
    def layers(self) -> int:
        """Number of layers of messages, L; 0 for a pair field."""
        return int(self.pair.shape[1]) - 1

    @property
    def n_species(self) -> int:
        """Number of species."""
        return int(self.pair.shape[2])

    @property
    def intervals(self) -> int:
        """Number of intervals of the pair functions."""
        return int(self.pair.shape[4]) - 2

    @property
    def message_intervals(self) -> int:
        """Number of intervals of the functions E and C; 0 without messages."""
        return 0 if self.messages is None else int(self.messages.shape[5]) - 2

    @property
    def reach(self) -> float:
        """Largest distance at which two particles know of each other, sigma."""
        return max(self.outer, self.message_outer) if self.layers else self.outer

    @property
    def steps(self) -> int:
        """Steps of the integrator for which there are stages; ValueError if their number is not odd."""
        if self.stages % 2 == 0:
            raise ValueError(f"tables: expected 2 n + 1 stages for n steps of the integrator, got {self.stages}")
        return self.stages // 2

    def stage(self, index: int) -> RadialTables:
        """Return the functions of one stage alone."""
        index = _check.integer("index", index, 0, self.stages - 1)
        return self._of_stages(slice(index, index + 1))

    def reversed(self) -> RadialTables:
        """Return the functions of the way back: the same stages, the last first."""
        return self._of_stages(slice(None, None, -1))

    def _of_stages(self, stages: slice) -> RadialTables:
        messages = None if self.messages is None else self.messages[stages]
        return RadialTables(self.inner, self.outer, self.pair[stages], self.message_inner, self.message_outer, messages)


def _checked_table(name: str, value: object, shape: str, dimensions: int) -> FloatArray:
    """Return a read-only table whose rows of four doubles lie within cache lines."""
    table = _check.float_array(name, value)
    if table.ndim != dimensions or table.shape[-1] != 4 or table.shape[-3] != table.shape[-4] or 0 in table.shape:
        raise ValueError(f"{name}: expected shape {shape}, got {table.shape}")
    if not 3 <= table.shape[-2] <= _MOST_INTERVALS + 2:
        raise ValueError(f"{name}: expected 3 to {_MOST_INTERVALS + 2} rows, got {table.shape[-2]}")
    if not (table == np.swapaxes(table, -3, -4)).all():
        raise ValueError(f"{name}: expected the same function for species a, b and b, a")
    _check_joints(name, table)
    memory = np.empty(table.size + 8)
    first = (-memory.ctypes.data // 8) % 8
    copy: FloatArray = memory[first : first + table.size].reshape(table.shape)
    copy[...] = table
    copy.flags.writeable = False
    return copy


def _check_joints(name: str, table: FloatArray) -> None:
    """Raise ValueError unless functions (..., rows, 4) are twice continuously differentiable, from zero to zero."""
    if table[..., 0, :].any() or table[..., -1, :].any():
        raise ValueError(f"{name}: expected zeros in the first and last row, for distances below the range and beyond it")
    c0, c1, c2, c3 = np.moveaxis(table, -1, 0)
    ends = np.stack([c0 + c1 + c2 + c3, c1 + 2.0 * c2 + 3.0 * c3, 2.0 * c2 + 6.0 * c3])
    jumps = np.abs(ends[..., :-1] - np.stack([c0, c1, 2.0 * c2])[..., 1:])
    worst = float(jumps.max(initial=0.0))
    if worst > _JOINTS * float(np.abs(table).max(initial=0.0)):
        place = tuple(int(i) for i in np.unravel_index(int(jumps.argmax()), jumps.shape))
        what = ("function", "slope", "curvature")[place[0]]
        raise ValueError(
            f"{name}: expected functions twice continuously differentiable and zero at both ends, got a jump of {worst:g} of "
            f"the {what} before row {place[-1] + 1} of the function at {place[1:-1]}"
        )
