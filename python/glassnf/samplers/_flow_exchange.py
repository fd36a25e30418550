"""Exchanges between temperatures that a flow assists (Invernizzi et al., J. Phys. Chem. Lett. 13, 11643, 2022).

Replicas a and b at neighbouring temperatures propose y_a = T(x_a) and y_b = T^-1(x_b), T the map of the flow from beta_a to
beta_b, and are accepted with probability min(1, exp(log w_a + log w_b)), that is with

    beta_a U(x_a) + beta_b U(x_b) - beta_a U(y_b) - beta_b U(y_a) + log |det dT(x_a)| + log |det dT^-1(x_b)|.

The map (x_a, x_b) -> (y_b, y_a) is its own inverse if T and T^-1 are one map, and its Jacobian is the product of the two, so
that the product of the two Boltzmann distributions stays what it is. As in plain exchanges replicas keep their identity and
change temperature: replica a has y_a and beta_b afterwards. Velocities are scaled by sqrt(beta_a / beta_b), which is exact too:
the Jacobians of the two scalings have the product 1, and beta K stays what it is.

In terms of effective energies (`_effective`) the exponent is (beta_a - beta_b) (E_a - E_b): the native exchange decides, with
E for U, by the same random numbers. With the flow that does nothing this is the plain algorithm, bit for bit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, cuda
from ..ensemble import Ensemble
from ..flows.transport import FlowError
from ._effective import LOST, Carried, MapError, Settings, carry, enough_steps
from ._tempering import Exchanges, exchange
from .pt_record import FlowExchanges

__all__ = ["FlowExchange", "Work"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_CHECKED = 16  # configurations of each temperature, of as many ladders, that the map is tried on


@dataclass
class _Host:
    """The fields of an ensemble that a flow reads, in host memory."""

    positions: FloatArray
    species: npt.NDArray[np.int32]
    energy: FloatArray

    @classmethod
    def of(cls, ensemble: Ensemble) -> _Host:
        return cls(*(_arrays.to_host(getattr(ensemble, name)) for name in ("positions", "species", "energy")))


class FlowExchange:
    """Rounds of flow-assisted exchanges on one ladder of temperatures, and what they count.

    Rungs are counted from the hottest, pair k is that of the rungs k and k + 1.

    Parameters
    ----------
    settings : Settings
    temperatures : (M,) float64, epsilon
        In any order.
    interval, every : int
        Sweeps per exchange; two rounds, an even and an odd one, of `every` pairs of rounds have the flow.
    ladders : int

    Attributes
    ----------
    steps : (M - 1,) int64
        Of the integrator, by pair, chosen by `choose_steps`; 0 at first: those of the flow.
    errors : list of MapError
        By pair, found when the steps were chosen.
    """

    def __init__(self, settings: Settings, temperatures: FloatArray, interval: int, every: int, ladders: int) -> None:
        self.settings = settings
        self.beta = np.sort(1.0 / temperatures)
        self.interval, self.every = interval, every
        pairs = self.beta.size - 1
        self.steps: IntArray = np.zeros(pairs, dtype=np.int64)
        self.errors: list[MapError] = []
        self.attempts: IntArray = np.zeros((pairs, ladders), dtype=np.int64)
        self.accepts: IntArray = np.zeros((pairs, ladders), dtype=np.int64)
        self.sums: FloatArray = np.zeros((pairs, 2, 3))  # pair; hot to cold, cold to hot; number, log weights, their squares
        self.time = 0.0
        self._pending: list[tuple[Any, Any]] = []

    # ---- when ----------------------------------------------------------------------------------------------------------------

    def due(self, step: int) -> bool:
        """Return whether the round of exchanges that belongs to a step has the flow."""
        return (step // self.interval) // 2 % self.every == 0

    def plain_until(self, step: int) -> int:
        """Return the last step, not before `step`, up to which all rounds after `step` are plain ones, and complete."""
        last = step // self.interval
        while not self.due((last + 1) * self.interval):
            last += 1
        return max(step, last * self.interval)

    # ---- how exactly ---------------------------------------------------------------------------------------------------------

    def choose_steps(self, ensemble: Ensemble, exchanges: Exchanges, *, least: IntArray | None) -> None:
        """Find how many steps each pair needs, on the present configurations, of 16 ladders at most.

        Parameters
        ----------
        ensemble : Ensemble
        exchanges : Exchanges
        least : (M - 1,) int64, optional
            Steps to begin with. Default: those of the flow.

        Raises
        ------
        FlowError
            If a map is not as exact as wanted with the most steps that are allowed.
        """
        begin = time.perf_counter()
        host, accuracy = _Host.of(ensemble), self.settings.accuracy
        order = _arrays.to_host(exchanges.order)[:_CHECKED]
        self.errors = []
        for pair in range(self.steps.size):
            ways = []
            for side in (0, 1):
                who = self._replicas(order, pair + side)
                beta_from, beta_to = float(self.beta[pair + side]), float(self.beta[pair + 1 - side])
                ways.append((host.positions[who], host.species[who], host.energy[who], beta_from, beta_to))
            first = None if least is None or least[pair] == 0 else int(least[pair])
            worst = enough_steps(self.settings, ways, steps=first, reversible=True)
            if not worst.within(accuracy):
                hot, cold = 1.0 / self.beta[pair], 1.0 / self.beta[pair + 1]
                raise FlowError(
                    f"flow: expected a map that is exact and reversible to {accuracy.log_weight:.2g} in log weight and "
                    f"{accuracy.position:.2g} sigma, got {worst} (at most {accuracy.most_steps}) between T = {hot:.6g} and "
                    f"{cold:.6g}: equilibrate the replicas first, raise flow_max_steps, or train a smoother flow"
                )
            self.steps[pair] = worst.steps
            self.errors.append(worst)
        self.time += time.perf_counter() - begin

    # ---- exchanges -----------------------------------------------------------------------------------------------------------

    @staticmethod
    def _replicas(order: npt.NDArray[np.int32], rung: int) -> IntArray:
        """Return which replicas of the ensemble are at a rung, one of each ladder."""
        return np.asarray(order[:, rung] + order.shape[1] * np.arange(order.shape[0]), dtype=np.int64)

    def _carry(self, host: _Host, order: npt.NDArray[np.int32], pair: int, side: int) -> tuple[IntArray, Carried]:
        """Carry the replicas of one side of a pair, 0 the hot one, in all ladders, to the temperature of the other."""
        who = self._replicas(order, pair + side)
        hot, cold = float(self.beta[pair]), float(self.beta[pair + 1])
        beta_from, beta_to = (hot, cold) if side == 0 else (cold, hot)
        steps = int(self.steps[pair]) or None
        carried = carry(
            self.settings, host.positions[who], host.species[who], host.energy[who], beta_from, beta_to, steps=steps
        )
        return who, carried

    def effective(self, ensemble: Ensemble, exchanges: Exchanges) -> FloatArray:
        """Return the effective energies (M - 1, 2, ladders) of all pairs, the hot replica of each first; nothing changes."""
        begin = time.perf_counter()
        host, order = _Host.of(ensemble), _arrays.to_host(exchanges.order)
        found = np.empty((self.steps.size, 2, order.shape[0]))
        for pair in range(self.steps.size):
            for side in (0, 1):
                found[pair, side] = self._carry(host, order, pair, side)[1].effective
        self.time += time.perf_counter() - begin
        return found

    def exchange(self, ensemble: Ensemble, exchanges: Exchanges) -> None:
        """Do the round of exchanges that belongs to ``ensemble.step``.

        Raises
        ------
        FlowError
            If a configuration could not be carried; nothing has changed then.
        """
        begin = time.perf_counter()
        host, order = _Host.of(ensemble), _arrays.to_host(exchanges.order)
        first = (ensemble.step // self.interval) % 2
        pairs = range(first, self.steps.size, 2)
        carried = {(pair, side): self._carry(host, order, pair, side) for pair in pairs for side in (0, 1)}
        effective = host.energy.copy()
        for who, moved in carried.values():
            effective[who] = moved.effective
        with cuda.find_device(ensemble.device).current():
            shadow, after = _shadow(ensemble, effective), exchanges.copy()
            exchange(shadow, self.interval, after)
            accepted = _arrays.to_host(after.accepts) - _arrays.to_host(exchanges.accepts)
            self._pending = [
                *_moved(ensemble, host.energy, carried, accepted),
                *((getattr(ensemble, name), getattr(shadow, name)) for name in ("beta", "move_size")),
                *(((ensemble.velocities, shadow.velocities),) if ensemble.velocities is not None else ()),
                *exchanges.pairs_with(after),
                *self._counts(carried, host.energy, accepted),
            ]
        self.time += time.perf_counter() - begin
        self.settle()

    def record(self, explorer_time: float, cold_first: bool) -> FlowExchanges:
        """Return what was counted, by pairs in the order in which the ladder was given."""
        number, attempts = self.sums[:, :, 0], self.attempts.sum(axis=1)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.sums[:, :, 1] / number
            spread = np.sqrt(np.maximum(self.sums[:, :, 2] / number - mean**2, 0.0))
            lost = 1.0 - number / attempts
        errors = np.array([max(e.log_weight, e.reversal) for e in self.errors] or [np.nan] * self.steps.size)
        turn = slice(None, None, -1) if cold_first else slice(None)
        return FlowExchanges(
            attempts=self.attempts[turn].copy(),
            accepts=self.accepts[turn].copy(),
            log_weight=mean[turn, turn].copy(),
            log_weight_deviation=spread[turn, turn].copy(),
            lost=lost[turn, turn].copy(),
            steps=self.steps[turn].copy(),
            error=errors[turn].copy(),
            time=self.time,
            explorer_time=explorer_time,
        )

    def settle(self) -> None:
        """Complete a round that Ctrl-C cut when its outcome was known. Every part of it may be done twice."""
        for target, value in self._pending:
            target[...] = value
        self._pending = []

    def _counts(
        self, carried: dict[tuple[int, int], tuple[IntArray, Carried]], energy: FloatArray, accepted: IntArray
    ) -> list[tuple[FloatArray | IntArray, FloatArray | IntArray]]:
        attempts, accepts, sums = self.attempts.copy(), self.accepts + accepted.T, self.sums.copy()
        for (pair, side), (who, moved) in carried.items():
            width = self.beta[pair + side] - self.beta[pair + 1 - side]
            sound = width * (moved.effective - energy[who]) > -LOST
            log_weight = width * moved.effective[sound]
            sums[pair, side] += log_weight.size, log_weight.sum(), (log_weight**2).sum()
            attempts[pair] += 1 if side == 0 else 0
        return [(self.attempts, attempts), (self.accepts, accepts), (self.sums, sums)]


@dataclass
class Work:
    """What a run or an equilibration counts on the way."""

    exchanges: Exchanges
    pair_evaluations: int = 0
    rounds: int = 0  # of `exchanges`, known without a look at the device
    flow: FlowExchange | None = None
    explorer_time: float = 0.0  # s, where there is a flow

    def exchange(self, ensemble: Ensemble, interval: int) -> None:
        """Do the round of exchanges that belongs to ``ensemble.step``, with the flow where it is its turn."""
        if self.flow is not None and interval == self.flow.interval and self.flow.due(ensemble.step):
            self.flow.exchange(ensemble, self.exchanges)
        else:
            exchange(ensemble, interval, self.exchanges)


def _shadow(ensemble: Ensemble, effective: FloatArray) -> Ensemble:
    """Return what the native exchange needs: copies of what it changes, and effective energies."""
    shadow = object.__new__(Ensemble)
    shadow.__dict__.update(ensemble.__dict__)
    shadow.beta, shadow.move_size = ensemble.beta.copy(), ensemble.move_size.copy()
    if ensemble.velocities is not None:
        shadow.velocities = ensemble.velocities.copy()
    shadow.energy = _arrays.put(effective, ensemble.energy)
    return shadow


def _moved(
    ensemble: Ensemble, energy: FloatArray, carried: dict[tuple[int, int], tuple[IntArray, Carried]], accepted: IntArray
) -> list[tuple[Any, Any]]:
    """Return the arrays of an ensemble that accepted exchanges change, with what they become."""
    rows, positions, images, energies = [], [], [], energy.copy()
    for (pair, _), (who, moved) in carried.items():
        yes = accepted[:, pair].astype(bool)
        rows.append(who[yes])
        positions.append(moved.positions[yes])
        images.append(moved.images[yes])
        energies[who[yes]] = moved.energy[yes]
    if not sum(part.size for part in rows):
        return []
    chosen = np.concatenate(rows)
    new_positions, new_images = ensemble.positions.copy(), ensemble.images.copy()
    where = _arrays.put(chosen, ensemble.ids)
    new_positions[where] = _arrays.put(np.concatenate(positions), ensemble.positions)
    new_images[where] = new_images[where] + _arrays.put(np.concatenate(images), ensemble.images)
    return [
        (ensemble.positions, new_positions),
        (ensemble.images, new_images),
        (ensemble.energy, _arrays.put(energies, ensemble.energy)),
    ]
