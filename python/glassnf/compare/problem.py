"""What a sampler of your own is given and gives back: a problem with counted energies, and samples.

A sampler sees a `Problem`: K configurations at a high temperature, a temperature to sample, and energies that are counted. It
answers with `Samples`. Nothing here knows algorithms; `own` puts the two together, and docs/own_sampler.md explains them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from .. import _arrays, _check
from ..systems import System

if TYPE_CHECKING:
    from ..ensemble import Ensemble

__all__ = ["PluginError", "Problem", "Sampler", "Samples", "in_words", "pairs_of"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

_NARROW = ("float16", "float32")


class PluginError(RuntimeError):
    """A sampler of the user's own failed, or gave something that cannot be samples; one sentence that names the sampler."""


def in_words(error: BaseException) -> str:
    """Return type and message of an exception in one line."""
    return ": ".join([type(error).__name__, " ".join(str(error).split())]).removesuffix(": ")


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of all runs, made since the ones before.

    Attributes
    ----------
    positions
        (n, K, N, d), or (K, N, d) for one of each run, in sigma: NumPy, torch or CuPy, any finite coordinates. They are looked
        at before the sampler goes on, so that an array that is yielded may be changed afterwards.
    species
        (n, K, N), (K, N) or (N,) species indices, in every configuration as many of each as in the system; None for those of
        the start, ``problem.species``.
    log_weights
        (n, K), or (K,) for one of each run: log of the target density over the density that the sampler drew from, up to a
        constant that may differ between runs but not within one; minus infinity for a weight of zero. None for samples of the
        target itself, from a chain.
    """

    positions: Any
    species: Any = None
    log_weights: Any = None


@runtime_checkable
class Sampler(Protocol):
    """A sampler of one's own: a class whose instances are made as ``Class(problem, **settings)``."""

    def run(self, budget: int) -> Any:
        """Go on until ``problem.evaluations`` is about `budget` in all, and return or yield the new `Samples`."""


def pairs_of(system: System) -> float:
    """Return the pair distances that count for the energy of one configuration.

    The kernels of energies do not report what they look at. In boxes below three cutoffs a side, where they look at every pair,
    it is N (N - 1) / 2; in larger ones the share of it that is in the same or in neighbouring cells of a uniform liquid.
    """
    cells = np.floor(system.box / system.cutoff_distance)
    share = float(np.prod(3.0 / cells)) if (cells >= 3.0).all() else 1.0
    return 0.5 * system.n * (system.n - 1) * share


class Problem:
    """What there is to sample, with energies that are counted.

    Parameters
    ----------
    system
        The system.
    temperature
        Temperature to sample, in epsilon / k_B.
    positions, species
        (K, N, d), sigma, and (K, N): the starts of the K runs, independent, in equilibrium at `start_temperature`.
    start_temperature
        In epsilon / k_B.
    seed
        For the random numbers of the sampler.
    threads
        Number of threads that it may use, or None for all.
    device
        Where the comparison takes place: ``"cpu"`` or ``"cuda:K"``, as torch knows it too.
    adaptation
        Evaluations per run, from the start, in which settings such as a step size may adapt. Samples made meanwhile belong to
        no distribution, and no estimate uses those of a chain.
    listener
        Called with `evaluations` whenever some have been counted, or None.

    Attributes
    ----------
    beta : float
        1 / temperature.
    runs, n, dimension : int
        K, N, d.
    """

    def __init__(
        self,
        system: System,
        temperature: float,
        positions: npt.ArrayLike,
        species: npt.ArrayLike,
        *,
        start_temperature: float = 1.0,
        seed: int = 1,
        threads: int | None = None,
        device: str = "cpu",
        adaptation: int = 100,
        listener: Callable[[float], None] | None = None,
    ) -> None:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {_check.describe(system)}")
        self.system = system
        self.temperature = _check.positive_float("temperature", temperature)
        self.beta = 1.0 / self.temperature
        self.start_temperature = _check.positive_float("start_temperature", start_temperature)
        self.seed = _check.nonnegative_int("seed", seed)
        self.threads = None if threads is None else _check.positive_int("threads", threads)
        self.device = _check.string("device", device)
        self.adaptation = _check.nonnegative_int("adaptation", adaptation)
        self.n, self.dimension = system.n, system.dimension
        self._positions = _check.float_array("positions", positions, (None, self.n, self.dimension)).copy()
        self.runs = len(self._positions)
        shape = (self.runs, self.n)
        self._species: IntArray = _check.int_array(
            "species", species, shape, low=0, high=system.n_species - 1, dtype=np.int32
        ).copy()
        self._elsewhere: dict[str, Any] = {}
        self._pairs = pairs_of(system)
        self._configurations = 0.0
        self._pair_evaluations = 0.0
        self._listener = listener

    @classmethod
    def of(cls, ensemble: Ensemble, temperature: float, **options: Any) -> Problem:
        """Return the problem that starts from the configurations of an ensemble, all at one temperature.

        Parameters
        ----------
        ensemble
            K replicas.
        temperature
            To sample, in epsilon / k_B.
        options
            `seed`, `threads`, `adaptation`, `listener`, as above.
        """
        from ..ensemble import Ensemble

        if not isinstance(ensemble, Ensemble):
            raise TypeError(f"ensemble: expected an Ensemble, got {_check.describe(ensemble)}")
        return cls(
            ensemble.system,
            temperature,
            _arrays.to_host(ensemble.positions),
            _arrays.to_host(ensemble.species),
            start_temperature=1.0 / float(ensemble.beta[0]),
            device=ensemble.device,
            **options,
        )

    # ---- where the runs start ----------------------------------------------------------------------------------------------

    @property
    def positions(self) -> FloatArray:
        """Starts of the runs (K, N, d), in sigma; a new NumPy array each time."""
        return self._positions.copy()

    @property
    def species(self) -> IntArray:
        """Species of the starts (K, N), in another order in every run; a new NumPy array each time."""
        return self._species.copy()

    @property
    def box(self) -> FloatArray:
        """Sides of the periodic box (d,), in sigma."""
        return np.array(self.system.box)

    def rng(self) -> np.random.Generator:
        """Return NumPy's random numbers with the seed of the problem; torch has ``Generator().manual_seed(problem.seed)``."""
        return np.random.default_rng(self.seed)

    # ---- what is spent -----------------------------------------------------------------------------------------------------

    @property
    def evaluations(self) -> float:
        """Energies evaluated so far, with or without forces, per run: all configurations together, divided by K."""
        return self._configurations / self.runs

    @property
    def pair_evaluations(self) -> float:
        """Pair distances looked at so far, per run."""
        return self._pair_evaluations / self.runs

    def charge(self, configurations: float, pair_evaluations: float | None = None) -> None:
        """Count energies that were evaluated by other code than `energy` and `energy_and_forces`.

        Parameters
        ----------
        configurations
            How many, in all runs together; parts of one count as parts, such as 4 / N for a trial move of one particle.
        pair_evaluations
            Pair distances looked at, or None for what this many calls of `energy` would have counted.
        """
        count = _check.nonnegative_float("configurations", configurations)
        pairs = (
            count * self._pairs if pair_evaluations is None else _check.nonnegative_float("pair_evaluations", pair_evaluations)
        )
        self._configurations += count
        self._pair_evaluations += pairs
        if self._listener is not None:
            self._listener(self.evaluations)

    # ---- energies ----------------------------------------------------------------------------------------------------------

    def energy(self, positions: Any, species: Any = None) -> Any:
        """Return the potential energies of configurations, and count them.

        Parameters
        ----------
        positions
            (..., N, d), sigma: any number of configurations, NumPy, torch or CuPy, wherever they are. Torch positions that
            require a gradient can be differentiated once, by ``backward`` or ``torch.autograd.grad``, at no further cost.
        species
            (..., N), or anything that spreads to it. None for those of the start, where the last of the dots is K: one
            configuration of each run, or several groups of such.

        Returns
        -------
        (...) float64, epsilon
            In the kind of `positions`.

        Raises
        ------
        TypeError, ValueError
            If a shape, type or value is not as above, or a coordinate is not finite; nothing is counted then.
        """
        from ..energy import energy

        flat, kinds, lead = self._flat(positions, species)
        result = energy(self.system, flat, kinds, threads=self.threads)
        self.charge(float(flat.shape[0]))
        with _arrays.guard(flat):
            return result.reshape(lead) if lead else result[0]

    def energy_and_forces(self, positions: Any, species: Any = None) -> tuple[Any, Any]:
        """Return energies (...), epsilon, and forces (..., N, d), epsilon/sigma; counts as `energy` does, once."""
        from ..energy import energy_and_forces

        flat, kinds, lead = self._flat(positions, species)
        result, forces = energy_and_forces(self.system, flat, kinds, threads=self.threads)
        self.charge(float(flat.shape[0]))
        with _arrays.guard(flat):
            return result.reshape(lead) if lead else result[0], forces.reshape((*lead, self.n, self.dimension))

    def _flat(self, positions: Any, species: Any) -> tuple[Any, Any, tuple[int, ...]]:
        """Return positions (R, N, d) and species (R, N) in one place, and the shape that R stands for."""
        array = positions if _arrays.is_torch(positions) else _arrays.native("positions", positions)
        tail = (self.n, self.dimension)
        if tuple(array.shape[-2:]) != tail:
            raise ValueError(f"positions: expected shape (..., {self.n}, {self.dimension}), got {tuple(array.shape)}")
        lead = tuple(int(length) for length in array.shape[:-2])
        with _arrays.guard(array):
            if _arrays.dtype_name(array) in _NARROW:
                array = array.double() if _arrays.is_torch(array) else array.astype(np.float64)
            kinds = self._kinds(array, lead, species)
            return array.reshape((math.prod(lead), *tail)), kinds, lead

    def _kinds(self, positions: Any, lead: tuple[int, ...], species: Any) -> Any:
        """Return species (R, N) of positions (*lead, N, d)."""
        if species is not None:
            kinds = _arrays.native("species", species)
        elif lead[-1:] == (self.runs,):
            kinds = self._own_species(positions)
        else:
            raise ValueError(
                f"species: expected species for positions of shape {tuple(positions.shape)}, which are not one for each of "
                f"{self.runs} runs, got None"
            )
        if kinds.shape[-1:] != (self.n,) or not _spreads(tuple(kinds.shape[:-1]), lead):
            raise ValueError(f"species: expected shape {(*lead, self.n)} or one that spreads to it, got {tuple(kinds.shape)}")
        return _arrays.namespace(kinds).broadcast_to(kinds, (*lead, self.n)).reshape((math.prod(lead), self.n))

    def _own_species(self, like: Any) -> Any:
        """Return the species of the start where positions are."""
        if not _arrays.on_gpu(like):
            return self._species
        place = f"{_arrays.namespace(like).__name__} {_arrays.device_of(like).name}"
        if place not in self._elsewhere:
            self._elsewhere[place] = _arrays.put(self._species, like)
        return self._elsewhere[place]


def _spreads(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Return whether an array of this shape can be broadcast to the target."""
    return len(shape) <= len(target) and all(
        have in (1, want) for have, want in zip(reversed(shape), reversed(target), strict=False)
    )
