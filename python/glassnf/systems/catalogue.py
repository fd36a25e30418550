"""The models that come with glassnf, each with its source, and the register of models by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .. import _check
from .potential import PairPotential
from .system import LARGEST_N, System, custom, smallest_n

__all__ = ["by_name", "ka", "ka2d", "names", "register"]

KA2D_DENSITY: Final = 1290 / 32.8962**2
_KA2D_RATIO: Final = (20, 11, 12)
_KA2D_EXCEPTIONS: Final = {44: (20, 12, 12)}  # the composition used by the authors; rounding would give 21:11:12
_KA_RATIO: Final = (4, 1)


def apportion(n: int, ratio: Sequence[int]) -> tuple[int, ...]:
    """Return whole numbers that sum to `n` and are nearest to `ratio` (largest remainders; ties go to the first)."""
    whole = sum(ratio)
    counts = [n * part // whole for part in ratio]
    remainders = [n * part % whole for part in ratio]
    order = sorted(range(len(ratio)), key=lambda a: (-remainders[a], a))
    for a in order[: n - sum(counts)]:
        counts[a] += 1
    return tuple(counts)


def _count(n: object) -> int:
    count = _check.positive_int("n", n)
    if count > LARGEST_N:
        raise ValueError(f"n: expected at most {LARGEST_N} particles, got {count}")
    return count


def _check_size(n: int, density: float, dimension: int, potential: PairPotential) -> int:
    """Return `n`, large enough for the box of a named model."""
    count = _count(n)
    _check.fits_memory("n", count, 32 * count, "particles")
    least = smallest_n(density, dimension, potential.cutoff_distance)
    if count < least:
        raise ValueError(
            f"n: expected at least {least}, the smallest n whose box has every side at least 2 x the largest cutoff "
            f"({2.0 * potential.cutoff_distance}) at density {density:.6g}, got {count}"
        )
    return count


def ka2d(n: int = 43) -> System:
    """Describe the two-dimensional ternary Kob-Andersen liquid, the default model.

    Lennard-Jones with a smooth cutoff at 2.5 sigma_ab, at number density 1290 / 32.8962^2 = 1.19206. The composition is the
    nearest to 20:11:12 (20:12:12 for n = 44). C particles are of a size between A and B and make swap moves efficient.

    Parameters
    ----------
    n
        Number of particles, at least 30; the published sizes are 43, 44 and 1290.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer, or too small for the cutoff.

    Notes
    -----
    Jung, Biroli and Berthier, Phys. Rev. Lett. 130, 238202 (2023) and Mach. Learn.: Sci. Technol. 5, 035053 (2024).
    """
    potential = PairPotential(
        "lj_smooth",
        sigma=[[1.0, 0.8, 0.9], [0.8, 0.88, 0.8], [0.9, 0.8, 0.94]],
        epsilon=[[1.0, 1.5, 0.75], [1.5, 0.5, 1.5], [0.75, 1.5, 0.75]],
        cutoff=2.5,
    )
    count = _check_size(n, KA2D_DENSITY, 2, potential)
    composition = _KA2D_EXCEPTIONS.get(count, apportion(count, _KA2D_RATIO))
    return custom("ka2d", potential=potential, composition=composition, density=KA2D_DENSITY, dimension=2)


def ka(n: int = 1000, density: float = 1.2) -> System:
    """Describe the Kob-Andersen liquid: three dimensions, 80% A and 20% B, Lennard-Jones cut and shifted at 2.5 sigma_ab.

    Parameters
    ----------
    n
        Number of particles, at least 150 at density 1.2.
    density
        Number density, in units of sigma_AA^-3.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a positive number, or `n` is too small for the cutoff.

    Notes
    -----
    Kob and Andersen, Phys. Rev. E 51, 4626 (1995).
    """
    potential = PairPotential("lj_shifted", sigma=[[1.0, 0.8], [0.8, 0.88]], epsilon=[[1.0, 1.5], [1.5, 0.5]], cutoff=2.5)
    number_density = _check.number_in("density", density, 1e-6, 1e6)
    count = _check_size(n, number_density, 3, potential)
    return custom("ka", potential=potential, composition=apportion(count, _KA_RATIO), density=number_density, dimension=3)


_BUILT_IN: Final[dict[str, Callable[..., System]]] = {"ka2d": ka2d, "ka": ka}
_registered: dict[str, Callable[..., System]] = {}


def register(name: str, factory: Callable[..., System]) -> None:
    """Make a model of your own available by name, for `by_name` and the command line.

    Parameters
    ----------
    name
        A name that no model has yet.
    factory
        Called as ``factory()`` for the default size or ``factory(n=n)``; returns a `System`.

    Raises
    ------
    TypeError, ValueError
        If `name` is not a string or is taken by another factory, or if `factory` cannot be called.
    """
    name = _check.string("name", name)
    if not callable(factory):
        raise TypeError(f"factory: expected a function that returns a System, got {_check.describe(factory)}")
    taken = _BUILT_IN.get(name, _registered.get(name))
    if taken is not None and taken is not factory:
        raise ValueError(f"name: expected a name that is not taken, got {name!r}")
    if taken is None:
        _registered[name] = factory


def names() -> tuple[str, ...]:
    """Return the names of all models: those of glassnf first, then the registered ones in order."""
    return (*_BUILT_IN, *_registered)


def by_name(name: str, n: int | None = None) -> System:
    """Return the model of this name, with `n` particles or its default number.

    Raises
    ------
    TypeError, ValueError
        If there is no such model (the message names the nearest), if `n` does not suit it, or if its factory returns
        something that is not a `System`.
    """
    name = _check.choice("system", name, names())
    factory = _BUILT_IN[name] if name in _BUILT_IN else _registered[name]
    system = factory() if n is None else factory(n=_count(n))
    if not isinstance(system, System):
        raise TypeError(f"system: expected the factory of {name!r} to return a System, got {_check.describe(system)}")
    return system
