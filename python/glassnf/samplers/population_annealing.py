"""Population annealing: a population of replicas is cooled in small steps, reweighted and resampled at each."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _check, cuda
from .._exclusive import exclusive
from .._native import default_threads
from ..ensemble import Ensemble
from ..flows.transport import Flow
from ..systems import System
from ._anneal import Anneal, Row, Stage, Transition
from ._effective import Accuracy, Settings, check_range
from ._families import error_of_log_z, error_of_mean, influence_of_step, sizes_of
from ._flow_annealing import FlowStep, flow_step, given_flow_step
from ._population import Reweighting, bring_back, find_step, host_energy, parents_of, reweight, take
from .annealing_result import PAResult, PopulationCollapseWarning
from .explorer import CountingExplorer, Explorer
from .monte_carlo import ADAPTATION_BLOCK, MonteCarlo, _exp

__all__ = ["PopulationAnnealing"]

Progress = Callable[[int, int, dict[str, Any]], None]

_MAX_POPULATION = 2**24
_PIECE_SECONDS = 0.5  # of work between two chances to stop and to report
_PROGRESS_TOTAL = 10_000
_ADAPTATION_LIMIT = 0.5  # largest change of log(move_size) between two temperatures
_COLLAPSE = 0.1  # of the population: the mean square family size that is too much


class PopulationAnnealing:
    """Population annealing (Hukushima and Iba, AIP Conf. Proc. 690, 200, 2003; Machta, Phys. Rev. E 82, 026704, 2010).

    R replicas are equilibrated at a high temperature. Then, again and again, the temperature is lowered by a small step; each
    replica is copied, or culled, so that it has tau = exp(-(beta' - beta) U) / mean children on average (systematic resampling:
    floor or ceil of tau); and all replicas do `sweeps_per_step` sweeps of the explorer. The products of the mean weights give
    the partition function. Results depend on the seed and on the settings, not on threads, block, or how a run is cut.

    Steps of the temperature are chosen so that the expected fraction of culled replicas is `culling_fraction` (Barash, Weigel,
    Borovsky, Janke, Shchur, Comput. Phys. Commun. 220, 341, 2017, adapt the overlap of histograms to the same end); the last
    one ends on `target` exactly. Or `temperatures` are given, and then exp(log_z) has no bias at any population, provided that
    the move size is not adapted.

    The move size is one number for all replicas. It is frozen during the sweeps of a temperature, and changed between
    temperatures by the acceptance of the whole population at the last one. So the moves of a replica depend on what it did
    before only through an average over R replicas: the bias is of order 1/R, as that of the adaptive temperature steps (Beskos,
    Jasra, Kantas, Thiery, Ann. Appl. Probab. 26, 1111, 2016), and vanishes with it.

    Velocities, if there are any, are drawn anew at the new temperature in all replicas after each resampling: exact for any
    explorer, and copies part at once, with dynamics that has no noise too.

    Parameters
    ----------
    system : System
    start, target : float, epsilon
        Temperatures, target below start.
    explorer : Explorer, optional
        What moves the replicas: `MonteCarlo`, `MolecularDynamics`. Default: swap Monte Carlo, local where there is one species.
    sweeps_per_step : int
        At each temperature, at least 1.
    culling_fraction : float
        Between 0 and 1.
    temperatures : sequence of floats, optional
        A fixed schedule in place of start, target and culling_fraction: falling, at least two.
    equilibration_sweeps : int
        At the first temperature, before the anneal; the move size adapts every 20 of them.
    adapt_move_size : bool
        Whether the move size is adapted, in equilibration and after. If not, that of each replica stays as it is.
    block : int, optional
        How many replicas are advanced at once. The population then stays in host memory, and blocks of it travel to the device
        and back: it may be larger than the memory of a GPU. Default: all on a GPU; on the CPU as many as take about half a
        second.
    record_energy : bool
        Whether the result has the energies of all replicas at all temperatures.
    flow : Flow, optional
        Carries the replicas from each temperature to the next, where they are weighted with the log Jacobian of the way beside
        their energies (`docs/population_annealing.md`). Steps of the temperature are then chosen by these weights, and are the
        longer, the better the flow. It must have been trained on other samples, and must not change.
    flow_tolerance : float
        Largest error of a log weight by the size of the integrator's steps, found at every temperature on 64 replicas; the
        steps are doubled until it is met.
    flow_max_steps : int
        Steps of the integrator between two temperatures beyond which the flow is refused with a `FlowError`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """

    def __init__(
        self,
        system: System,
        start: float | None = None,
        target: float | None = None,
        explorer: Explorer | None = None,
        sweeps_per_step: int = 100,
        culling_fraction: float = 0.1,
        *,
        temperatures: npt.ArrayLike | None = None,
        equilibration_sweeps: int = 1_000,
        adapt_move_size: bool = True,
        block: int | None = None,
        record_energy: bool = True,
        flow: Flow | None = None,
        flow_tolerance: float = 0.01,
        flow_max_steps: int = 128,
    ) -> None:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        self.system = system
        self.temperatures = _schedule(start, target, temperatures)
        self.adaptive = temperatures is None
        self.culling_fraction = _check.probability("culling_fraction", culling_fraction)
        if not 0.0 < self.culling_fraction < 1.0:
            raise ValueError(f"culling_fraction: expected a number between 0 and 1, got {culling_fraction}")
        self.explorer: Explorer = _explorer(system, explorer)
        self.sweeps_per_step = _check.positive_int("sweeps_per_step", sweeps_per_step)
        self.equilibration_sweeps = _check.nonnegative_int("equilibration_sweeps", equilibration_sweeps)
        self.adapt_move_size = _check.boolean("adapt_move_size", adapt_move_size)
        self.block = None if block is None else _check.positive_int("block", block)
        self.record_energy = _check.boolean("record_energy", record_energy)
        accuracy = Accuracy.of(flow_tolerance, math.inf, flow_max_steps)
        self._flow: Settings | None = None
        if flow is not None:
            checked = check_range(flow, system, self.start, self.target, "the anneal")
            self._flow = Settings(checked, system, accuracy, getattr(self.explorer, "threads", None))
        self._pace = 0.0  # seconds per replica-sweep of the last piece, to size the next; never changes results

    def __repr__(self) -> str:
        schedule = f"culling_fraction={self.culling_fraction}" if self.adaptive else f"temperatures={len(self.temperatures)}"
        return (
            f"PopulationAnnealing({self.system!r}, start={self.start}, target={self.target}, explorer={self.explorer!r}, "
            f"sweeps_per_step={self.sweeps_per_step}, {schedule})"
        )

    @property
    def start(self) -> float:
        """First temperature, epsilon."""
        return self.temperatures[0]

    @property
    def target(self) -> float:
        """Last temperature, epsilon."""
        return self.temperatures[-1]

    def describe(self) -> dict[str, Any]:
        """Return the settings that decide on the result, as numbers and strings."""
        return {
            "algorithm": "population_annealing",
            "temperatures": list(self.temperatures),
            "culling_fraction": self.culling_fraction if self.adaptive else None,
            "sweeps_per_step": self.sweeps_per_step,
            "equilibration_sweeps": self.equilibration_sweeps,
            "adapt_move_size": self.adapt_move_size,
            "record_energy": self.record_energy,
            "explorer": self.explorer.describe(),
            **({} if self._flow is None else {"flow": self._flow.describe()}),
        }

    # ---- running -----------------------------------------------------------------------------------------------------------

    def run(
        self,
        population: int | Ensemble,
        seed: int | None = None,
        *,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> PAResult:
        """Anneal a population from start to target: `begin`, `advance` until it is finished, `finish`.

        Parameters are those of `begin` and `advance`.
        """
        _check.callback("progress", progress)
        anneal = self.begin(population, seed, device=device)
        while not anneal.finished:
            self.advance(anneal, progress=progress)
        return self.finish(anneal)

    def begin(self, population: int | Ensemble, seed: int | None = None, *, device: str = "cpu") -> Anneal:
        """Make the population; `advance` does the rest.

        Parameters
        ----------
        population : int or Ensemble
            Number of replicas R, 2 to 2**24, for random starts. Or the replicas themselves, which are copied: independent of
            each other, and in equilibrium at the start temperature unless `equilibration_sweeps` bring them there.
        seed : int, optional
            From 0 to 2**64 - 1. Default: that of the Ensemble given.
        device : str
            Where replicas are advanced: ``"cpu"``, ``"cuda"`` or ``"cuda:K"``.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        glassnf.cuda.CudaError, ImportError
            If the device cannot be used, or has not the memory.
        """
        place = cuda.find_device(device)
        home = place.name if self.block is None else "cpu"
        if isinstance(population, Ensemble):
            replicas = self._given(population, seed, home)
        else:
            count = _check.positive_int("population", population)
            _check_size(count)
            if seed is None:
                raise TypeError("seed: expected an integer, got None")
            replicas = Ensemble.random(self.system, count, self.start, seed, device=home)
        with cuda.find_device(home).current():
            replicas.beta[...] = 1.0 / self.start
        self.explorer.prepare(replicas, self.equilibration_sweeps + self.sweeps_per_step)
        move_size = self._common_move_size(replicas) if self.adapt_move_size else 0.0
        if move_size > 0.0:
            with cuda.find_device(home).current():
                replicas.move_size[...] = move_size
        stage = Stage(1.0 / self.start, replicas.step, self._round(0), 0, move_size, 0.0, 1.0, 0.0, 0, 0)
        return Anneal(replicas, self.describe(), stage, place.name)

    @exclusive("anneal")
    def advance(self, anneal: Anneal, *, progress: Progress | None = None) -> None:
        """Do what is left of the present stage, the sweeps of one temperature or a round of equilibration, and go to the next.

        Parameters
        ----------
        anneal : Anneal
            Advanced in place; nothing happens if it is finished.
        progress : callable, optional
            ``progress(done, total, info)`` after every piece of about half a second, with done/total the part of the way from
            the start to the target in beta. A KeyboardInterrupt, there or anywhere, leaves the anneal as it must be: advancing
            it again, or saving and loading it before, gives the bits of an uninterrupted run.

        Raises
        ------
        TypeError, ValueError
            If `anneal` was begun with other settings, or its population is not valid.
        FlowError
            If the flow fails on the way to the next temperature, or its weights are not as exact as wanted; the anneal is then
            where it was, all sweeps done.
        """
        _check.callback("progress", progress)
        self._check(anneal)
        self._prepare(anneal)
        while not anneal.finished:
            clock = time.perf_counter()
            try:
                whole = not self._do_a_piece(anneal)
                if whole:
                    anneal.enter(self._next(anneal))
            finally:
                anneal.wall_time += time.perf_counter() - clock
            if progress is not None:
                progress(*self._progress(anneal))
            if whole:
                self._warn(anneal)
                return

    @exclusive("anneal", briefly=True)
    def finish(self, anneal: Anneal) -> PAResult:
        """Return the result of a finished anneal.

        Raises
        ------
        TypeError, ValueError
            If it is not an Anneal, was begun with other settings, or is not finished.
        """
        self._check(anneal)
        anneal.settle()
        if not anneal.finished:
            raise ValueError(f"anneal: expected a finished one, got one at temperature {anneal.temperature:.6g}")
        rows = anneal.rows
        columns: dict[str, Any] = {
            name: np.array([getattr(row, name) for row in rows]) for name in Row.__dataclass_fields__ if name != "beta"
        }
        temperatures = 1.0 / np.array([row.beta for row in rows])
        if self.adaptive:
            temperatures[[0, -1]] = self.temperatures  # as given, without the rounding of 1 / (1 / T)
        else:
            temperatures[:] = self.temperatures
        return PAResult(
            ensemble=anneal.population,
            temperatures=temperatures,
            n=self.system.n,
            dimension=self.system.dimension,
            population=anneal.replicas,
            rho_f=anneal.replicas * columns["log_z_error"] ** 2,
            energy=np.array(anneal.energies).reshape(len(anneal.energies), anneal.replicas),
            pair_evaluations=int(anneal.counts[2]),
            wall_time=anneal.wall_time,
            flow_time=anneal.flow_time,
            **columns,
        )

    # ---- the population at the start ---------------------------------------------------------------------------------------

    def _given(self, population: Ensemble, seed: int | None, home: str) -> Ensemble:
        if population.system != self.system:
            raise ValueError(f"population: expected one of {self.system!r}, got one of {population.system!r}")
        _check_size(population.replicas)
        population.validate()
        copied = population.copy() if population.device == home else population.to(home)
        if seed is not None:
            copied.seed = seed
            copied.validate()
        return copied

    def _common_move_size(self, population: Ensemble) -> float:
        """Return the mean move size, the same bits wherever the population is."""
        sizes = _arrays.to_host(population.move_size)
        return math.fsum(sizes.tolist()) / sizes.size

    def _check(self, anneal: Anneal) -> None:
        if not isinstance(anneal, Anneal):
            raise TypeError(f"anneal: expected an Anneal, got {type(anneal).__name__}")
        if anneal.population.system != self.system:
            raise ValueError(f"anneal: expected one of {self.system!r}, got one of {anneal.population.system!r}")
        from ..io.runfile import differences, listed

        others = differences(self.describe(), anneal.parameters)
        if others:
            raise ValueError(f"anneal: expected one begun with the settings of this sampler, got others: {listed(others)}")

    # ---- sweeps ------------------------------------------------------------------------------------------------------------

    def _prepare(self, anneal: Anneal) -> None:
        """Complete what Ctrl-C may have cut, and check a population that comes from elsewhere, once."""
        anneal.settle()
        home = anneal.device if self.block is None else "cpu"
        if anneal.population.device != home:
            anneal.population = anneal.population.to(home)
        if not anneal.prepared:
            self.explorer.prepare(anneal.population, anneal.stage.sweeps)
            anneal.prepared = True

    def _counts(self) -> bool:
        return isinstance(self.explorer, CountingExplorer)

    def _round(self, equilibrated: int) -> int:
        """Sweeps of the stage that begins after so many sweeps of equilibration."""
        left = self.equilibration_sweeps - equilibrated
        if left <= 0:
            return self.sweeps_per_step
        return min(left, ADAPTATION_BLOCK) if self._counts() and self.adapt_move_size else left

    def _do_a_piece(self, anneal: Anneal) -> bool:
        """Advance some replicas by some sweeps; False if there is nothing left to do in this stage."""
        behind = np.flatnonzero(anneal.done < anneal.stage.sweeps)
        if not behind.size:
            return False
        low = int(behind[0])
        done = int(anneal.done[low])
        left = anneal.stage.sweeps - done
        most, sweeps = self._size_of_piece(anneal, left)
        same = anneal.done[low : low + most] == done
        high = low + (int(same.size) if same.all() else int(np.argmin(same)))
        clock = time.perf_counter()
        part = take(anneal.population, low, high, anneal.done, anneal.device)
        try:
            self._explore(anneal, part, sweeps)
            bring_back(anneal.population, low, high, anneal.done, part)
        except BaseException:  # Ctrl-C may come at any line: the sweeps that were done count, and those only
            bring_back(anneal.population, low, high, anneal.done, part)
            raise
        self._pace = (time.perf_counter() - clock) / (sweeps * (high - low))
        return True

    def _size_of_piece(self, anneal: Anneal, sweeps: int) -> tuple[int, int]:
        """Return how many replicas to advance by how many sweeps; results do not depend on it."""
        threads = int(getattr(self.explorer, "threads", default_threads()))
        fewest = min(anneal.replicas, 8 * threads)
        on_cpu = anneal.device == "cpu"
        if self.block is not None or not on_cpu:
            replicas = min(anneal.replicas, self.block or anneal.replicas)
        elif self._pace == 0.0:
            replicas = fewest
        else:
            replicas = min(anneal.replicas, max(fewest, int(_PIECE_SECONDS / (self._pace * sweeps))))
        if self._pace > 0.0 and anneal.device == anneal.population.device:
            worth = max(ADAPTATION_BLOCK, int(2.0 * _PIECE_SECONDS / (self._pace * replicas)))
            if worth < sweeps:  # to a multiple of the block, at which explorers that adapt may be cut
                step = anneal.population.step + (anneal.stage.sweeps - sweeps)
                sweeps = min(sweeps, worth - (step + worth) % ADAPTATION_BLOCK)
        return replicas, sweeps

    def _explore(self, anneal: Anneal, part: Ensemble, sweeps: int) -> None:
        explorer, counts = self.explorer, anneal.counts
        if not isinstance(explorer, CountingExplorer):
            equilibrating = anneal.stage.equilibrated < self.equilibration_sweeps
            advance = explorer.adapt if equilibrating and self.adapt_move_size else explorer.explore
            counts[2] += advance(part, sweeps)
            return
        counters = explorer.new_counters(part)
        before, step = counts.copy(), part.step
        try:
            explorer.explore(part, sweeps, counters)
            counts[:] = before + _totals(counters)
        except BaseException:
            if part.step > step:  # Ctrl-C came when the sweeps were done
                counts[:] = before + _totals(counters)
            raise

    # ---- from temperature to temperature -----------------------------------------------------------------------------------

    def _next(self, anneal: Anneal) -> Transition:
        """Find what follows when all replicas have done their sweeps; nothing changes yet."""
        stage, families = anneal.stage, anneal.families
        step = stage.step + stage.sweeps
        attempts, accepts = int(anneal.counts[0]), int(anneal.counts[1])
        tried, accepted = attempts - stage.attempts, accepts - stage.accepts
        following = replace(stage, step=step, attempts=attempts, accepts=accepts)
        if stage.equilibrated < self.equilibration_sweeps:
            equilibrated = stage.equilibrated + stage.sweeps
            following = replace(
                following,
                sweeps=self._round(equilibrated),
                equilibrated=equilibrated,
                move_size=self._adapted(anneal, tried, accepted),
            )
            return Transition(following, None, families, anneal.influence, (), ())
        energy = host_energy(anneal.population)
        rows = (*anneal.rows, self._measure(anneal, energy, accepted / tried if tried else math.nan))
        energies = (*anneal.energies, energy) if self.record_energy else ()
        if stage.beta == 1.0 / self.target:
            following = replace(following, sweeps=0, finished=True)
            return Transition(following, None, families, anneal.influence, rows, energies)
        beta, weighted, carried = self._cool(anneal, energy)
        parents = parents_of(weighted, anneal.population.seed, step)
        following = replace(
            following,
            beta=beta,
            sweeps=self.sweeps_per_step,
            move_size=self._adapted(anneal, tried, accepted),
            log_z=stage.log_z + weighted.log_mean,
            ess=weighted.ess,
            culled=weighted.culled,
            flow_steps=0 if carried is None else carried.error.steps,
            flow_error=0.0 if carried is None else carried.error.log_weight,
        )
        influence = anneal.influence + influence_of_step(weighted.tau(), families)
        moved = None if carried is None else carried.moved
        return Transition(following, parents, families[parents], influence, rows, energies, moved)

    def _cool(self, anneal: Anneal, energy: npt.NDArray[np.float64]) -> tuple[float, Reweighting, FlowStep | None]:
        """Return the next inverse temperature, the population weighted for it, and what the flow did."""
        beta, carried = anneal.stage.beta, None
        if not self.adaptive:
            following = 1.0 / self.temperatures[len(anneal.rows) + 1]
            if self._flow is None:
                return following, reweight(energy, following - beta), None
            carried = given_flow_step(self._flow, anneal.population, energy, beta, following)
        else:
            farthest = 1.0 / self.target - beta
            if self._flow is not None:
                before = beta - anneal.rows[-1].beta if anneal.rows else 0.0
                carried = flow_step(
                    self._flow, anneal.population, energy, beta, farthest, self.culling_fraction, previous=before
                )
            found = find_step(energy, farthest, self.culling_fraction) if carried is None else carried.weighted
            following = 1.0 / self.target if found.beta_step == farthest else beta + found.beta_step
        if carried is None:
            return following, found, None
        anneal.flow_time += carried.seconds
        return following, carried.weighted, carried

    def _adapted(self, anneal: Anneal, tried: int, accepted: int) -> float:
        """Return the move size of the next stage, from the acceptance of the whole population in this one; 0: left alone."""
        size, explorer = anneal.stage.move_size, self.explorer
        if size == 0.0:
            return 0.0
        if not isinstance(explorer, CountingExplorer):
            return self._common_move_size(anneal.population)
        if not tried:
            return size
        change = max(-_ADAPTATION_LIMIT, min(_ADAPTATION_LIMIT, accepted / tried - explorer.target_acceptance))
        return min(size * float(_exp(np.array([change]))[0]), 0.5 * float(self.system.box.min()))

    def _measure(self, anneal: Anneal, energy: npt.NDArray[np.float64], acceptance: float) -> Row:
        stage, families = anneal.stage, anneal.families
        count, rho_t, rho_s = sizes_of(families)
        mean = float(energy.mean())
        mean_error = error_of_mean(energy, families)
        squares = (energy - mean) ** 2
        per_particle = stage.beta**2 / self.system.n
        bias = mean_error**2 if math.isfinite(mean_error) else 0.0
        return Row(
            beta=stage.beta,
            log_z=stage.log_z,
            log_z_error=error_of_log_z(anneal.influence),
            ess=stage.ess,
            culled=stage.culled,
            families=count,
            rho_t=rho_t,
            rho_s=rho_s,
            mean_energy=mean,
            mean_energy_error=mean_error,
            specific_heat=per_particle * (float(squares.mean()) + bias),
            specific_heat_error=per_particle * error_of_mean(squares, families),
            acceptance=acceptance,
            move_size=self._common_move_size(anneal.population),
            flow_steps=stage.flow_steps,
            flow_error=stage.flow_error,
        )

    # ---- what the caller hears ---------------------------------------------------------------------------------------------

    def _progress(self, anneal: Anneal) -> tuple[int, int, dict[str, Any]]:
        stage, rows = anneal.stage, anneal.rows
        first, last = 1.0 / self.start, 1.0 / self.target
        count, rho_t, _ = sizes_of(anneal.families)
        tried = int(anneal.counts[0]) - stage.attempts
        acceptance = (int(anneal.counts[1]) - stage.accepts) / tried if tried else (rows[-1].acceptance if rows else math.nan)
        equilibrating = stage.equilibrated < self.equilibration_sweeps
        energy = _arrays.to_host(anneal.population.energy).mean()
        info = {
            "stage": "equilibration" if equilibrating else "finished" if stage.finished else "annealing",
            "temperature": anneal.temperature,
            "beta_step": stage.beta - rows[-1].beta if rows and not stage.finished else 0.0,
            "temperatures": len(rows),
            "sweeps": float(anneal.done.mean()),
            "sweeps_of_stage": stage.sweeps,
            "families": count,
            "rho_t": rho_t,
            "ess": stage.ess,
            "log_z": stage.log_z,
            "acceptance": acceptance,
            "energy_per_particle": float(energy) / self.system.n,
        }
        way = (stage.beta - first) / (last - first)
        done = _PROGRESS_TOTAL if stage.finished else int(0.999 * _PROGRESS_TOTAL * way)
        return done, _PROGRESS_TOTAL, info

    def _warn(self, anneal: Anneal) -> None:
        if anneal.warned or not anneal.rows:
            return
        row = anneal.rows[-1]
        if row.rho_t <= _COLLAPSE * anneal.replicas or row.families == anneal.replicas:
            return
        anneal.warned = True
        warnings.warn(
            f"population annealing: at temperature {1.0 / row.beta:.4g} the {anneal.replicas} replicas descend from "
            f"{row.families} of the start (rho_t = {row.rho_t:.3g}, more than a tenth of the population): averages and errors "
            "are unreliable from here on. Use a larger population, more sweeps_per_step, or smaller temperature steps",
            PopulationCollapseWarning,
            stacklevel=4,
        )


def _totals(counters: Any) -> npt.NDArray[np.int64]:
    arrays = (counters.displacement_attempts, counters.displacement_accepts, counters.pair_evaluations)
    return np.array([int(_arrays.to_host(array).sum()) for array in arrays], dtype=np.int64)


def _check_size(population: int) -> None:
    if not 2 <= population <= _MAX_POPULATION:
        raise ValueError(f"population: expected 2 to {_MAX_POPULATION} replicas, got {population}")


def _explorer(system: System, explorer: Explorer | None) -> Explorer:
    if explorer is None:
        return MonteCarlo(system, swap_probability=0.2 if system.n_species > 1 else 0.0)
    if not isinstance(explorer, Explorer):
        raise TypeError(f"explorer: expected a sampler such as MonteCarlo, got {type(explorer).__name__}")
    if explorer.system != system:
        raise ValueError(f"explorer: expected one of {system!r}, got one of {explorer.system!r}")
    return explorer


def _schedule(start: float | None, target: float | None, temperatures: npt.ArrayLike | None) -> tuple[float, ...]:
    """Return the temperatures given, or start and target."""
    if temperatures is None:
        for name, value in (("start", start), ("target", target)):
            if value is None:
                raise TypeError(f"{name}: expected a temperature, or a schedule in temperatures, got None")
        first, last = _check.positive_float("start", start), _check.positive_float("target", target)
        if not last < first or 1.0 / last == 1.0 / first:
            raise ValueError(f"target: expected a temperature below start = {first}, got {last}")
        return first, last
    if start is not None or target is not None:
        name = "start" if start is not None else "target"
        raise ValueError(
            f"{name}: expected None beside a schedule in temperatures, got {start if start is not None else target}"
        )
    given = _check.float_array("temperatures", temperatures, (None,))
    if given.size < 2:
        raise ValueError(f"temperatures: expected at least 2, got {given.size}")
    if not (np.diff(given) < 0.0).all():
        raise ValueError(f"temperatures: expected falling numbers, got {_check.describe(temperatures)}")
    if not given[-1] > 0.0 or not (np.diff(1.0 / given) > 0.0).all():
        raise ValueError(f"temperatures: expected positive numbers whose inverses differ, got {_check.describe(temperatures)}")
    return tuple(float(value) for value in given)
