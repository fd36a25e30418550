"""Pair potentials: their parameters, and NumPy formulas for documentation, plots and tests."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _check

__all__ = ["CORE", "KINDS", "PairPotential"]

Matrix: TypeAlias = tuple[tuple[float, ...], ...]

KINDS: Final = ("lj_smooth", "lj_shifted", "inverse_power", "wca", "harmonic")
"""Names of the pair potentials."""

CORE: Final = 0.01
"""Distance, in units of sigma_ab, below which a potential is continued as a constant."""

_KIND_CODES: Final[dict[str, int]] = {"lj_smooth": 0, "lj_shifted": 0, "wca": 0, "inverse_power": 1, "harmonic": 2}
_DEFAULT_CUTOFFS: Final = {"lj_smooth": 2.5, "lj_shifted": 2.5, "inverse_power": 1.25}
_FIXED_CUTOFFS: Final = {"wca": 2.0 ** (1.0 / 6.0), "harmonic": 1.0}
_DEFAULT_EXPONENT: Final = 12
_LARGEST_EXPONENT: Final = 64
_SCALE_LIMIT: Final = 1e30  # parameters within [1e-30, 1e30] keep every energy and force finite in float64


@dataclass(frozen=True, init=False)
class PairPotential:
    r"""A pair potential with one set of parameters per pair of species.

    With x = r / sigma_ab, cut at x_c = cutoff_ab, where it is zero from there on:

    =============== ==================================================================================================
    kind            V(r)
    =============== ==================================================================================================
    lj_smooth       4 eps [x^-12 - x^-6 + C4 x^4 + C2 x^2 + C0]; V, V' and V'' vanish at x_c
    lj_shifted      4 eps [x^-12 - x^-6 + C0]; V vanishes at x_c
    wca             lj_shifted with x_c = 2^(1/6), the minimum, so that V' vanishes there too
    inverse_power   eps [x^-n + C4 x^4 + C2 x^2 + C0]; V, V' and V'' vanish at x_c
    harmonic        (eps / 2) (1 - x)^2 for x < 1
    =============== ==================================================================================================

    Below x = 0.01 a potential is continued as the constant V(0.01), with force zero, so that energies stay finite.

    Parameters
    ----------
    kind
        One of ``"lj_smooth"``, ``"lj_shifted"``, ``"inverse_power"``, ``"wca"``, ``"harmonic"``.
    sigma
        Lengths sigma_ab, shape (S, S), symmetric; a number stands for the same length for all pairs.
    epsilon
        Energies epsilon_ab, shape (S, S), symmetric; a number stands for the same energy for all pairs.
    cutoff
        x_c for each pair in units of sigma_ab, shape (S, S), symmetric, or one number. Default 2.5 for the Lennard-Jones
        kinds and 1.25 for ``inverse_power``; fixed for ``wca`` (2^(1/6)) and ``harmonic`` (1).
    exponent
        n of ``inverse_power``, 1 to 64, default 12. The other kinds do not use it and keep the default.

    Attributes
    ----------
    kind : str
    sigma, epsilon, cutoff : tuple of tuples of float
        Shape (S, S).
    exponent : int

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type, not positive and finite, not symmetric, or of no use to this kind.

    Notes
    -----
    The even polynomials are those of Gutiérrez, Karmakar, Pollack and Procaccia, EPL 111, 56009 (2015), and of Ninarello,
    Berthier and Coslovich, PRX 7, 021039 (2017). WCA: Weeks, Chandler and Andersen, J. Chem. Phys. 54, 5237 (1971).
    """

    kind: str
    sigma: Matrix
    epsilon: Matrix
    cutoff: Matrix
    exponent: int

    def __init__(
        self,
        kind: str,
        sigma: npt.ArrayLike,
        epsilon: npt.ArrayLike,
        cutoff: npt.ArrayLike | None = None,
        exponent: int | None = None,
    ) -> None:
        kind = _check.choice("kind", kind, KINDS)
        n_species = _count_species(sigma=sigma, epsilon=epsilon, cutoff=cutoff)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "sigma", _pair_matrix("sigma", sigma, n_species))
        object.__setattr__(self, "epsilon", _pair_matrix("epsilon", epsilon, n_species))
        object.__setattr__(self, "cutoff", _cutoff_matrix(kind, cutoff, n_species))
        object.__setattr__(self, "exponent", _exponent_of(kind, exponent))

    # -- sizes and codes ----------------------------------------------------------------------------------------------

    @property
    def n_species(self) -> int:
        """Number of species S."""
        return len(self.sigma)

    @property
    def kind_code(self) -> int:
        """The functor family of the native kernels: 0 Lennard-Jones, 1 inverse power, 2 harmonic."""
        return _KIND_CODES[self.kind]

    @functools.cached_property
    def cutoff_distance(self) -> float:
        """The largest distance at which any pair interacts, max of cutoff_ab * sigma_ab."""
        return float(np.max(np.array(self.cutoff) * np.array(self.sigma)))

    # -- formulas -----------------------------------------------------------------------------------------------------

    def coefficients(self) -> npt.NDArray[np.float64]:
        """Return the numbers the kernels evaluate, shape (S, S, 6): 1/sigma^2, k, q_c = x_c^2, c4, c2, c0.

        With q = x^2 and i3 = q^-3, V = k [i3^2 - i3 + c4 q^2 + c2 q + c0] and k = 4 eps for the Lennard-Jones kinds,
        V = k [q^(-n/2) + c4 q^2 + c2 q + c0] and k = eps for ``inverse_power``, V = (k/2) (1 - sqrt q)^2 and k = eps for
        ``harmonic``.
        """
        sigma, xc = np.array(self.sigma), np.array(self.cutoff)
        table = np.zeros((self.n_species, self.n_species, 6))
        table[..., 0] = 1.0 / (sigma * sigma)
        table[..., 1] = (4.0 if self.kind_code == 0 else 1.0) * np.array(self.epsilon)
        table[..., 2] = xc * xc
        if self.kind == "lj_smooth":
            table[..., 3] = 6.0 * xc**-10 - 21.0 * xc**-16
            table[..., 4] = 48.0 * xc**-14 - 15.0 * xc**-8
            table[..., 5] = 10.0 * xc**-6 - 28.0 * xc**-12
        elif self.kind in ("lj_shifted", "wca"):
            table[..., 5] = xc**-6 - xc**-12
        elif self.kind == "inverse_power":
            n = float(self.exponent)
            table[..., 3] = -n * (n + 2.0) / 8.0 * xc ** (-n - 4.0)
            table[..., 4] = n * (n + 4.0) / 4.0 * xc ** (-n - 2.0)
            table[..., 5] = -(n + 2.0) * (n + 4.0) / 8.0 * xc**-n
        return table

    def energy(self, r: npt.ArrayLike, a: npt.ArrayLike = 0, b: npt.ArrayLike = 0) -> npt.NDArray[np.float64]:
        """Return V(r) between species `a` and `b`.

        Parameters
        ----------
        r
            Distances of at least zero, any shape.
        a, b
            Species indices, broadcast against `r`.

        Returns
        -------
        numpy.ndarray
            Energies, shape of the broadcast arguments.

        Raises
        ------
        TypeError, ValueError
            If a distance is negative or not finite, or a species index is out of range.
        """
        x, table = self._reduced(r, a, b)
        k, c4, c2, c0 = table[..., 1], table[..., 3], table[..., 4], table[..., 5]
        q = np.maximum(x, CORE) ** 2
        if self.kind_code == 2:
            energy = 0.5 * k * (1.0 - np.sqrt(q)) ** 2
        else:
            repulsion = q**-6 - q**-3 if self.kind_code == 0 else q ** (-0.5 * self.exponent)
            energy = k * (repulsion + (c4 * q + c2) * q + c0)
        return np.asarray(np.where(x * x < table[..., 2], energy, 0.0))

    def force(self, r: npt.ArrayLike, a: npt.ArrayLike = 0, b: npt.ArrayLike = 0) -> npt.NDArray[np.float64]:
        """Return the radial force -dV/dr between species `a` and `b`, positive where they repel.

        Parameters, shapes and errors are those of `energy`.
        """
        x, table = self._reduced(r, a, b)
        k, c4, c2 = table[..., 1], table[..., 3], table[..., 4]
        y = np.maximum(x, CORE)
        if self.kind_code == 0:
            slope = k * (-12.0 * y**-13 + 6.0 * y**-7 + 4.0 * c4 * y**3 + 2.0 * c2 * y)
        elif self.kind_code == 1:
            slope = k * (-self.exponent * y ** -(self.exponent + 1.0) + 4.0 * c4 * y**3 + 2.0 * c2 * y)
        else:
            slope = -k * (1.0 - y)
        inside = (x >= CORE) & (x * x < table[..., 2])
        return np.asarray(np.where(inside, -slope * np.sqrt(table[..., 0]), 0.0))

    def _reduced(
        self, r: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return x = r / sigma_ab and the coefficients of each pair, after checks."""
        distance = _check.float_array("r", r)
        if (distance < 0.0).any():
            raise ValueError(f"r: expected distances of at least zero, got {distance.min()}")
        first = _check.int_array("a", a, low=0, high=self.n_species - 1)
        second = _check.int_array("b", b, low=0, high=self.n_species - 1)
        shapes = {"r": distance.shape, "a": first.shape, "b": second.shape}
        try:
            np.broadcast_shapes(*shapes.values())
        except ValueError:
            raise ValueError(f"r: expected shapes of r, a and b that go together, got {_check.describe(shapes)}") from None
        table = self.coefficients()[first, second]
        return distance * np.sqrt(table[..., 0]), table

    # -- exchange -----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters this kind uses, as plain lists and numbers (see `from_dict`)."""
        result: dict[str, Any] = {
            "kind": self.kind,
            "sigma": [list(row) for row in self.sigma],
            "epsilon": [list(row) for row in self.epsilon],
        }
        if self.kind not in _FIXED_CUTOFFS:
            result["cutoff"] = [list(row) for row in self.cutoff]
        if self.kind == "inverse_power":
            result["exponent"] = self.exponent
        return result

    @classmethod
    def from_dict(cls, data: object) -> PairPotential:
        """Build a potential from a mapping with the names of the constructor's arguments.

        Raises
        ------
        TypeError, ValueError
            As the constructor; and if a key is missing or unknown, in which case the nearest valid one is named.
        """
        values = _check.keys("potential", data, ("kind", "sigma", "epsilon"), ("cutoff", "exponent"))
        return cls(**values)

    def __str__(self) -> str:
        return self.describe()

    def describe(self, species_names: tuple[str, ...] | None = None) -> str:
        """Return the parameters as a readable table, one row per pair of species."""
        names = tuple(str(a) for a in range(self.n_species))
        if species_names is not None:
            if not isinstance(species_names, (list, tuple)) or len(species_names) != self.n_species:
                raise TypeError(f"species_names: expected {self.n_species} names, got {_check.describe(species_names)}")
            names = tuple(_check.string("species_names", name) for name in species_names)
        title = f"{self.kind} (exponent {self.exponent})" if self.kind == "inverse_power" else self.kind
        width = max(4, 2 * max(len(name) for name in names) + 1)
        lines = [title, f"{'pair':<{width}}{'sigma':>10}{'epsilon':>10}{'cutoff':>10}"]
        for a in range(self.n_species):
            for b in range(a, self.n_species):
                numbers = (self.sigma[a][b], self.epsilon[a][b], self.cutoff[a][b])
                lines.append(f"{f'{names[a]}-{names[b]}':<{width}}" + "".join(f"{number:>10.6g}" for number in numbers))
        return "\n".join(lines)


def _count_species(**parameters: npt.ArrayLike | None) -> int:
    """Return S from the first parameter that is a matrix, or 1 where all are numbers."""
    for name, value in parameters.items():
        if value is not None:
            shape = _check.float_array(name, value, finite=False).shape
            if len(shape) == 2:
                return int(shape[0])
    return 1


def _pair_matrix(name: str, value: npt.ArrayLike, n_species: int) -> Matrix:
    """Return an (S, S) matrix of positive finite numbers as nested tuples; a number is repeated."""
    array = _check.float_array(name, value)
    if array.ndim == 0:
        array = np.full((n_species, n_species), float(array))
    if n_species == 0:
        raise ValueError(f"{name}: expected at least one species, got shape {array.shape}")
    _check.array_shape(name, array, (n_species, n_species))
    outside = ~((array >= 1.0 / _SCALE_LIMIT) & (array <= _SCALE_LIMIT))
    if outside.any():
        a, b = (int(i) for i in np.argwhere(outside)[0])
        limits = f"[{1.0 / _SCALE_LIMIT:g}, {_SCALE_LIMIT:g}]"
        raise ValueError(f"{name}: expected positive numbers in {limits}, got {array[a, b]} for species {a} and {b}")
    if not np.array_equal(array, array.T):
        a, b = (int(i) for i in np.argwhere(array != array.T)[0])
        raise ValueError(
            f"{name}: expected a symmetric matrix, got {array[a, b]} for species {a} and {b} but {array[b, a]} for {b} and {a}"
        )
    return tuple(tuple(float(entry) for entry in row) for row in array)


def _cutoff_matrix(kind: str, cutoff: npt.ArrayLike | None, n_species: int) -> Matrix:
    """Return x_c of every pair: as given, the default, or the fixed one of `kind`."""
    if kind in _FIXED_CUTOFFS:
        fixed = _FIXED_CUTOFFS[kind]
        if cutoff is not None and not np.all(_check.float_array("cutoff", cutoff) == fixed):
            raise ValueError(
                f"cutoff: expected none, as {kind!r} has the fixed cutoff {fixed!r}, got {_check.describe(cutoff)}"
            )
        return _pair_matrix("cutoff", fixed if cutoff is None else cutoff, n_species)
    matrix = _pair_matrix("cutoff", _DEFAULT_CUTOFFS[kind] if cutoff is None else cutoff, n_species)
    smallest = min(min(row) for row in matrix)
    if smallest <= CORE:
        raise ValueError(f"cutoff: expected numbers above {CORE} (in units of sigma_ab), got {smallest}")
    return matrix


def _exponent_of(kind: str, exponent: int | None) -> int:
    """Return the exponent of an inverse power, or the default for kinds that have none."""
    if exponent is None:
        return _DEFAULT_EXPONENT
    number = _check.integer("exponent", exponent, 1, _LARGEST_EXPONENT)
    if kind != "inverse_power" and number != _DEFAULT_EXPONENT:
        raise ValueError(f"exponent: expected none, as {kind!r} has no exponent to choose, got {number}")
    return number
