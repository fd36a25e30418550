"""The reference values that a comparison measures errors against: a long swap Monte Carlo run with its own error bars.

Many independent replicas start from a high temperature, relax for as long as the production will last, and run. The errors
come from the replicas alone, which are independent whatever the correlations in time: the standard error of their means for
the energy, and the jackknife over replicas for the specific heat.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from .. import _check
from ..io.text import read_json
from .algorithms import BLOCK
from .jsonable import dumps
from .starts import hot_start
from .verdict import R_HAT_LIMIT, SIGMA_LIMIT, sigmas, split_r_hat

if TYPE_CHECKING:
    from ..systems import System

__all__ = [
    "Reference",
    "ReferenceOptions",
    "cached_reference",
    "make_reference",
    "pooled_specific_heat",
    "read_reference",
    "shipped_reference",
    "shipped_references",
    "specific_heat_of_moments",
]

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int, int, Mapping[str, Any]], None]

SWAP_PROBABILITY: Final = 0.2
RELAXATION_SHARE: Final = 1.0
SHIPPED_FORMAT: Final = "glassnf reference, version 1"
_SHIPPED: Final = ("reference_ka2d_43.json",)  # written by bench/make_reference.py


@dataclass(frozen=True)
class ReferenceOptions:
    """How a reference run is made.

    Attributes
    ----------
    replicas
        Independent runs, at least 8.
    sweeps
        Sweeps of production of each replica, a multiple of 20; as many are spent before on relaxation.
    seed
        Seed of the run.
    start_temperature, start_sweeps
        Temperature and length of the runs that make the starting configurations.
    record_every
        Sweeps between records.
    """

    replicas: int
    sweeps: int
    seed: int
    start_temperature: float
    start_sweeps: int
    record_every: int = 10


@dataclass(frozen=True)
class Reference:
    """Equilibrium averages of one system at one temperature.

    Attributes
    ----------
    system_hash
        Hash of the system they belong to.
    temperature
        In epsilon / k_B.
    mean_energy, mean_energy_error
        Potential energy per particle and its standard error, in epsilon.
    specific_heat, specific_heat_error
        Configurational specific heat per particle and its standard error, in k_B.
    r_hat, drift_sigmas
        Split R-hat of the energy, and the second half of the production less the first, in standard errors.
    replicas, sweeps, seed
        Size and seed of the run.
    wall_time
        Seconds that it took, starts included.
    source
        Where the numbers come from: ``"swap MC"``, ``"local MC"``, a cache, or a file.
    """

    system_hash: str
    temperature: float
    mean_energy: float
    mean_energy_error: float
    specific_heat: float
    specific_heat_error: float
    r_hat: float
    drift_sigmas: float
    replicas: int
    sweeps: int
    seed: int
    wall_time: float
    source: str

    @property
    def sound(self) -> bool:
        """Whether the run that made it passes its own checks."""
        return not (self.r_hat > R_HAT_LIMIT or abs(self.drift_sigmas) > SIGMA_LIMIT)

    def values(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return (value, error) of the mean energy and of the specific heat."""
        return (self.mean_energy, self.mean_energy_error), (self.specific_heat, self.specific_heat_error)


def pooled_specific_heat(energy: FloatArray, n: int, temperature: float) -> tuple[float, float]:
    """Return the configurational specific heat per particle and its jackknife error over replicas.

    Parameters
    ----------
    energy
        (records, R) energy per particle, in epsilon.
    n
        Number of particles.
    temperature
        In epsilon / k_B.

    Returns
    -------
    value, error
        In k_B: N (<e^2> - <e>^2) / T^2 with averages over all replicas, less the bias that the jackknife finds.
    """
    shifted = energy - energy.mean()
    return specific_heat_of_moments(shifted.mean(axis=0), (shifted**2).mean(axis=0), n, temperature)


def specific_heat_of_moments(first: FloatArray, second: FloatArray, n: int, temperature: float) -> tuple[float, float]:
    """Return what `pooled_specific_heat` does, from the moments of each replica.

    Parameters
    ----------
    first, second
        (R,) averages of the energy per particle and of its square, in epsilon and epsilon^2. A constant may have been
        subtracted from the energies.
    n
        Number of particles.
    temperature
        In epsilon / k_B.
    """
    replicas = first.size
    total = second.mean() - first.mean() ** 2
    left_out = (second.sum() - second) / (replicas - 1) - ((first.sum() - first) / (replicas - 1)) ** 2
    value = replicas * total - (replicas - 1) * left_out.mean()
    error = math.sqrt((replicas - 1) * float(left_out.var()))
    scale = n / temperature**2
    return float(value) * scale, error * scale


def reference_swap_probability(system: System) -> float:
    """Return the share of swaps among the trial moves of a reference run."""
    return SWAP_PROBABILITY if system.n_species > 1 else 0.0


def reference_method(system: System) -> str:
    """Return what a reference run is."""
    return "swap MC" if system.n_species > 1 else "local MC"


def make_reference(
    system: System,
    temperature: float,
    options: ReferenceOptions,
    *,
    threads: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Reference:
    """Run swap Monte Carlo, local where there is one species, for long and return its averages.

    Raises
    ------
    ValueError
        If an option makes no sense.
    """
    from ..samplers import MonteCarlo

    _check.integer("replicas", options.replicas, low=8)
    if options.sweeps < 4 * BLOCK or options.sweeps % BLOCK:
        raise ValueError(f"sweeps: expected a multiple of {BLOCK} of at least {4 * BLOCK}, got {options.sweeps}")
    begin = time.perf_counter()
    relaxation = max(1, round(RELAXATION_SHARE * options.sweeps / BLOCK)) * BLOCK
    total = relaxation + options.sweeps
    ensemble = hot_start(
        system,
        options.replicas,
        options.seed,
        temperature=options.start_temperature,
        sweeps=options.start_sweeps,
        threads=threads,
        device=device,
    )
    ensemble.beta[:] = 1.0 / temperature
    sampler = MonteCarlo(system, swap_probability=reference_swap_probability(system), threads=threads)

    def relay(offset: int) -> Progress:
        return lambda done, _, info: progress(offset + done, total, info) if progress is not None else None

    sampler.equilibrate(ensemble, sweeps=relaxation, progress=relay(0))
    record = sampler.run(ensemble, sweeps=options.sweeps, record_every=options.record_every, progress=relay(relaxation))
    return _averages(system, temperature, options, record.energy / system.n, time.perf_counter() - begin)


def _averages(system: System, temperature: float, options: ReferenceOptions, energy: FloatArray, wall_time: float) -> Reference:
    means = energy.mean(axis=0)
    heat, heat_error = pooled_specific_heat(energy, system.n, temperature)
    middle = len(energy) // 2
    return Reference(
        system_hash=system.hash,
        temperature=temperature,
        mean_energy=float(means.mean()),
        mean_energy_error=float(means.std(ddof=1)) / math.sqrt(options.replicas),
        specific_heat=heat,
        specific_heat_error=heat_error,
        r_hat=split_r_hat(energy),
        drift_sigmas=sigmas(energy[middle:].mean(axis=0) - energy[:middle].mean(axis=0), 0.0, 0.0),
        replicas=options.replicas,
        sweeps=options.sweeps,
        seed=options.seed,
        wall_time=wall_time,
        source=reference_method(system),
    )


def cache_folder() -> Path:
    """Return the folder that keeps references between comparisons: glassnf/references in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "glassnf" / "references"


def cached_reference(
    system: System,
    temperature: float,
    options: ReferenceOptions,
    *,
    threads: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Reference:
    """Return the reference for exactly these options from the cache, or make it and keep it there.

    A cache that cannot be read or written is passed over in silence: it only saves time.
    """
    from .. import __version__

    key = dumps([system.hash, temperature, asdict(options), __version__]).encode()
    path = cache_folder() / f"{hashlib.sha256(key).hexdigest()[:32]}.json"
    try:
        return replace(reference_from_dict(read_json(path)), source=f"cache ({path.name})")
    except (OSError, ValueError, TypeError, KeyError):
        pass
    reference = make_reference(system, temperature, options, threads=threads, device=device, progress=progress)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, dumps(asdict(reference)))
    except OSError:
        pass
    return reference


def shipped_reference(system: System, temperature: float) -> Reference | None:
    """Return the reference that is shipped with the package for a system at a temperature, or None if there is none.

    Parameters
    ----------
    system
        The system; what counts is its hash.
    temperature
        In epsilon / k_B.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    FileFormatError
        If the file is damaged.

    Examples
    --------
    >>> from glassnf import systems
    >>> reference = shipped_reference(systems.ka2d(n=43), 0.4)
    >>> reference.source
    'shipped with glassnf (swap MC with exchanges)'
    >>> shipped_reference(systems.ka2d(n=43), 0.41) is None
    True
    """
    wanted = _check.positive_float("temperature", temperature)
    for entry in shipped_references(system):
        if math.isclose(entry.temperature, wanted, rel_tol=1e-9):
            return entry
    return None


def shipped_references(system: System) -> tuple[Reference, ...]:
    """Return all references that are shipped with the package for a system, from the highest temperature to the lowest.

    Their `seed` is the one from which those of the runs were derived, `replicas` counts those of all runs together, and
    `r_hat` is the largest of a run.
    """
    from ..data import shipped_file
    from ..systems import System as SystemType

    if not isinstance(system, SystemType):
        raise TypeError(f"system: expected a System, got {type(system).__name__}")
    found = (_read_shipped(shipped_file(name)) for name in _SHIPPED)
    entries = [entry for table in found for entry in table if entry.system_hash == system.hash]
    return tuple(sorted(entries, key=lambda entry: -entry.temperature))


def _read_shipped(path: Path) -> list[Reference]:
    """Read a table of references."""
    from ..io.files import FileFormatError

    try:
        data = read_json(path)
        if data["format"] != SHIPPED_FORMAT:
            raise ValueError(f"format {data['format']!r}")
        return [_of_shipped(data, entry) for entry in data["temperatures"]]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise FileFormatError(
            f"{path}: expected a table of references, got something else or a damaged one ({error})"
        ) from None


def _of_shipped(data: Mapping[str, Any], entry: Mapping[str, Any]) -> Reference:
    runs = entry["runs"]
    about = {
        "system_hash": data["system_hash"],
        "replicas": sum(run["replicas"] for run in runs),
        "sweeps": runs[0]["sweeps"],
        "seed": data["seed"],
        "wall_time": sum(run["wall_time"] for run in runs),
        "source": f"shipped with glassnf ({entry['method']})",
    }
    return reference_from_dict({**entry, **about})


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: readers and crashes see the old file or the new one."""
    from ..io.files import atomic_write

    with atomic_write(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def read_reference(path: Path, system: System, temperature: float) -> Reference:
    """Read the reference for this system and temperature from the compare.json of an earlier comparison.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a comparison, or holds no reference for this system at this temperature.
    """
    try:
        data = read_json(path)
        entries = [reference_from_dict(entry["reference"]) for entry in data["temperatures"]]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"reference: expected the compare.json of a comparison, got {path} ({error})") from None
    for entry in entries:
        if entry.system_hash == system.hash and entry.temperature == temperature:
            return replace(entry, source=str(path))
    known = ", ".join(f"T = {entry.temperature:g}" for entry in entries if entry.system_hash == system.hash)
    found = f"{known} only" if known else "another system"
    raise ValueError(f"reference: expected one for this system at T = {temperature:g} in {path}, got {found}")


def reference_from_dict(data: Mapping[str, Any]) -> Reference:
    values: dict[str, Any] = {
        field.name: math.nan if data[field.name] is None else data[field.name] for field in fields(Reference)
    }
    reference = Reference(**values)
    for name in ("temperature", "mean_energy", "mean_energy_error", "specific_heat", "specific_heat_error"):
        _check.finite_float(name, getattr(reference, name))
    return reference
