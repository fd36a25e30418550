"""Write pair_energies.json: energies and forces of two particles, computed with fractions and rounded once at the end.

Run: python tests/data/make_pair_energies.py. All inputs are float64 numbers taken exactly; every kind of potential is a
rational function of them (the shift of WCA is exactly eps, and its cutoff is the condition x^6 < 2), so the results are exact.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).with_name("pair_energies.json")
CORE = Fraction(1, 100)

# kind, sigma, epsilon, cutoff in units of sigma, exponent
POTENTIALS: tuple[tuple[str, float, float, float, int], ...] = (
    ("lj_smooth", 1.0, 1.0, 2.5, 12),
    ("lj_smooth", 0.8, 1.5, 2.5, 12),
    ("lj_smooth", 0.94, 0.75, 1.75, 12),
    ("lj_shifted", 1.0, 1.0, 2.5, 12),
    ("lj_shifted", 0.88, 0.5, 2.5, 12),
    ("wca", 1.0, 1.0, 2.0 ** (1.0 / 6.0), 12),
    ("wca", 1.4, 0.3, 2.0 ** (1.0 / 6.0), 12),
    ("inverse_power", 1.0, 1.0, 1.25, 12),
    ("inverse_power", 1.1, 2.0, 1.25, 18),
    ("inverse_power", 1.0, 1.0, 3.0, 1),
    ("inverse_power", 0.9, 0.5, 1.5, 7),
    ("inverse_power", 1.0, 1.0, 1.1, 64),
    ("harmonic", 1.0, 1.0, 1.0, 12),
    ("harmonic", 1.4, 2.5, 1.0, 12),
)
DISTANCES = (0.0, 0.005, 0.02, 0.25, 0.5, 0.8, 0.9, 0.96875, 1.0, 1.0625, 1.125, 1.25, 1.5, 1.9, 2.0, 2.25, 2.375, 2.5, 3.5)


def _bare(kind: str, x: Fraction, exponent: int) -> tuple[Fraction, Fraction]:
    """Return the bare potential in units of its prefactor, and its derivative by x."""
    if kind == "inverse_power":
        return x**-exponent, -exponent * x ** (-exponent - 1)
    return x**-12 - x**-6, -12 * x**-13 + 6 * x**-7


def _polynomial(kind: str, xc: Fraction, n: int) -> tuple[Fraction, Fraction, Fraction]:
    """Return C4, C2, C0 of the term C4 x^4 + C2 x^2 + C0."""
    if kind == "lj_smooth":
        return 6 * xc**-10 - 21 * xc**-16, 48 * xc**-14 - 15 * xc**-8, 10 * xc**-6 - 28 * xc**-12
    if kind == "inverse_power":
        return (
            Fraction(-n * (n + 2), 8) * xc ** (-n - 4),
            Fraction(n * (n + 4), 4) * xc ** (-n - 2),
            Fraction(-(n + 2) * (n + 4), 8) * xc**-n,
        )
    if kind == "wca":
        return Fraction(0), Fraction(0), Fraction(1, 4)
    return Fraction(0), Fraction(0), xc**-6 - xc**-12


def exact(kind: str, sigma: float, epsilon: float, cutoff: float, exponent: int, r: float) -> tuple[Fraction, Fraction]:
    """Return the exact V(r) and -dV/dr of one pair."""
    s, eps, xc = Fraction(sigma), Fraction(epsilon), Fraction(cutoff)
    x = Fraction(r) / s
    y = max(x, CORE)
    if (kind == "wca" and y**6 >= 2) or (kind == "harmonic" and y >= 1) or (kind != "wca" and y >= xc):
        return Fraction(0), Fraction(0)
    if kind == "harmonic":
        value, slope, prefactor = (1 - y) ** 2 / 2, y - 1, eps
    else:
        c4, c2, c0 = _polynomial(kind, xc, exponent)
        bare, bare_slope = _bare(kind, y, exponent)
        value, slope = bare + c4 * y**4 + c2 * y**2 + c0, bare_slope + 4 * c4 * y**3 + 2 * c2 * y
        prefactor = eps if kind == "inverse_power" else 4 * eps
    return prefactor * value, Fraction(0) if x < CORE else -prefactor * slope / s


def table() -> dict[str, Any]:
    """Return the whole content of the file."""
    columns = ["kind", "sigma", "epsilon", "cutoff", "exponent", "r", "energy", "force"]
    rows = []
    for potential in POTENTIALS:
        for r in DISTANCES:
            energy, force = exact(*potential, r)
            rows.append([*potential, r, float(energy), float(force)])
    return {
        "about": "exact two-particle energies V and forces -dV/dr, by make_pair_energies.py",
        "columns": columns,
        "rows": rows,
    }


def text() -> str:
    """Return the file as text, one row of the table a line."""
    data = table()
    rows = ",\n".join("  " + json.dumps(row) for row in data["rows"])
    head = f'{{\n "about": {json.dumps(data["about"])},\n "columns": {json.dumps(data["columns"])},\n "rows": [\n'
    return head + rows + "\n ]\n}\n"


if __name__ == "__main__":
    OUTPUT.write_text(text(), encoding="utf-8")
