"""Small flows in NumPy, for tests of samplers: a pair field with its divergence, a translation, and flows that are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import glassnf as gnf
from glassnf.certify.fluids import RadialFlow
from glassnf.ensemble import wrap_positions
from glassnf.flows import Transport

Array = npt.NDArray[Any]


class PairFlow:
    """dx_i/dbeta = sum_j phi_ab(d_ij, beta) r_ij, r_ij = x_i - x_j, integrated with RK4 in steps of equal size, either way.

    phi = strength_ab (1 + slope beta) (1 - d^2/outer^2)^3 (1 - d^2/turn^2) for d < outer, with two continuous derivatives, else
    zero, outer below half the box. On the way to the cold a positive strength drives particles apart, those beyond `turn`
    together. Its divergence is exact: sum_i sum_{j != i} [D phi + d phi'(d)].

    Parameters
    ----------
    system
        Species counts and box.
    hot, cold
        Range of temperatures.
    strength
        A number, or (S, S): by species of the particle that moves, and of its neighbour.
    slope
        Of the strength with beta.
    outer
        Default: 0.49 of the shortest side.
    turn
        Where the field changes its sign. Default: nowhere.
    steps
        Over the whole range.
    """

    def __init__(
        self,
        system: gnf.systems.System,
        hot: float,
        cold: float,
        strength: Any = 0.1,
        slope: float = 0.1,
        outer: float | None = None,
        turn: float | None = None,
        steps: int = 8,
    ) -> None:
        self.system, self.hot, self.cold, self.steps, self.slope = system, hot, cold, steps, slope
        self.strength = np.broadcast_to(np.asarray(strength, dtype=np.float64), (system.n_species, system.n_species))
        self.outer = 0.49 * float(system.box.min()) if outer is None else outer
        self.bend = 0.0 if turn is None else (self.outer / turn) ** 2
        self.calls: list[tuple[int, float, float, int]] = []  # replicas, beta_from, beta_to, steps

    def field(self, x: Array, species: Array, beta: float) -> tuple[Array, Array]:
        """Return the velocity (R, N, d) and the divergence (R,)."""
        delta = x[:, :, None] - x[:, None]
        delta -= self.system.box * np.rint(delta / self.system.box)
        q = (delta**2).sum(axis=-1) / self.outer**2
        a = self.strength[species[:, :, None], species[:, None]] * (1.0 + self.slope * beta)
        inside = np.maximum(1.0 - q, 0.0)
        turned = 1.0 - self.bend * q
        phi, d_phi = a * inside**3 * turned, -2.0 * a * q * (3.0 * inside**2 * turned + self.bend * inside**3)
        divergence = self.system.dimension * phi + d_phi
        itself = np.arange(x.shape[1])
        divergence[:, itself, itself] = 0.0
        return (phi[..., None] * delta).sum(axis=2), divergence.sum(axis=(1, 2))

    def default_steps(self, beta_from: float, beta_to: float) -> int:
        whole = 1.0 / self.cold - 1.0 / self.hot
        return max(2, int(np.ceil(self.steps * abs(beta_to - beta_from) / whole - 1e-9)))

    def transport(
        self,
        positions: Array,
        species: Array,
        beta_from: float,
        beta_to: float,
        *,
        steps: int | None = None,
        threads: int | None = None,
    ) -> Transport:
        n = self.default_steps(beta_from, beta_to) if steps is None else steps
        self.calls.append((len(positions), beta_from, beta_to, n))
        h = (beta_to - beta_from) / n
        x, log_jacobian = np.array(positions), np.zeros(len(positions))
        for k in range(n):
            at = beta_from + (beta_to - beta_from) * np.array([k, k + 0.5, k + 1.0]) / n
            v1, j1 = self.field(x, species, at[0])
            v2, j2 = self.field(x + 0.5 * h * v1, species, at[1])
            v3, j3 = self.field(x + 0.5 * h * v2, species, at[1])
            v4, j4 = self.field(x + h * v3, species, at[2])
            x = x + h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4)
            log_jacobian += h / 6.0 * (j1 + 2.0 * j2 + 2.0 * j3 + j4)
        wrapped, crossings = wrap_positions(x, self.system.box)
        return Transport(wrapped, crossings.astype(np.int32), log_jacobian, n)

    def describe(self) -> dict[str, Any]:
        return {
            "flow": "pair field for tests",
            "strength": self.strength.tolist(),
            "slope": self.slope,
            "outer": self.outer,
            "bend": self.bend,
        }


class TranslationFlow(PairFlow):
    """Moves all particles by the same vector: energies and weights stay those of the identity."""

    def field(self, x: Array, species: Array, beta: float) -> tuple[Array, Array]:
        return np.full(x.shape, 0.3 * (1.0 + beta)), np.zeros(len(x))


class LeakyFlow(PairFlow):
    """A pair flow whose divergence is wrong, by a third."""

    def field(self, x: Array, species: Array, beta: float) -> tuple[Array, Array]:
        velocity, right = super().field(x, species, beta)
        return velocity, right / 1.5


class BrokenFlow(PairFlow):
    """Answers NaN for the log Jacobian of its first configuration."""

    def transport(self, *args: Any, **options: Any) -> Transport:
        good = super().transport(*args, **options)
        good.log_jacobian[0] = np.nan
        return good


class NeglectfulFlow(RadialFlow):
    """The same map with half of its log Jacobian: wrong, and consistently so on the way back."""

    def transport(self, *args: Any, **options: Any) -> Transport:
        moved = super().transport(*args, **options)
        moved.log_jacobian[:] *= 0.5
        return moved
