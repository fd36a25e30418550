"""Pair potentials: exact two-particle values, smoothness at the cutoff, F = -dV/dr, parameters and their errors."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassnf.certify import reference
from glassnf.systems import PairPotential

DATA = Path(__file__).parent / "data"
FP64_REDUCTION = 1e-12  # relative
WCA_CUTOFF = 2.0 ** (1.0 / 6.0)
TERNARY_SIGMA = [[1.0, 0.8, 0.9], [0.8, 0.88, 0.8], [0.9, 0.8, 0.94]]
TERNARY_EPSILON = [[1.0, 1.5, 0.75], [1.5, 0.5, 1.5], [0.75, 1.5, 0.75]]

POTENTIALS = [
    PairPotential("lj_smooth", 1.0, 1.0),
    PairPotential("lj_smooth", 0.8, 1.5, 1.75),
    PairPotential("lj_shifted", 0.88, 0.5),
    PairPotential("wca", 1.4, 0.3),
    PairPotential("inverse_power", 1.0, 1.0),
    PairPotential("inverse_power", 1.1, 2.0, 1.5, 18),
    PairPotential("inverse_power", 1.0, 1.0, 3.0, 1),
    PairPotential("inverse_power", 0.9, 0.5, 1.25, 7),
    PairPotential("harmonic", 1.4, 2.5),
]
ids = [f"{p.kind}-{p.sigma[0][0]}-{p.exponent}" for p in POTENTIALS]


def load_table() -> tuple[list[dict[str, Any]], Any]:
    spec = importlib.util.spec_from_file_location("make_pair_energies", DATA / "make_pair_energies.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    content = json.loads((DATA / "pair_energies.json").read_text(encoding="utf-8"))
    return [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]], script


# -- formulas ---------------------------------------------------------------------------------------------------------


def test_the_table_of_pair_energies_is_what_its_script_writes() -> None:
    _, script = load_table()
    assert (DATA / "pair_energies.json").read_text(encoding="utf-8") == script.text()


def test_energies_and_forces_agree_with_the_exact_table() -> None:
    rows, _ = load_table()
    assert {row["kind"] for row in rows} == {"lj_smooth", "lj_shifted", "wca", "inverse_power", "harmonic"}
    for row in rows:
        potential = PairPotential(row["kind"], row["sigma"], row["epsilon"], row["cutoff"], row["exponent"])
        # Rounding scales with the largest term: x^-n against polynomial coefficients of size up to n^2.
        scale = 1e-14 * row["epsilon"] * max(1.0, row["exponent"] ** 2 / 144.0)
        assert potential.energy(row["r"]) == pytest.approx(row["energy"], rel=FP64_REDUCTION, abs=scale), row
        assert potential.force(row["r"]) == pytest.approx(row["force"], rel=FP64_REDUCTION, abs=100 * scale), row


def test_the_reference_agrees_with_the_exact_table() -> None:
    rows, _ = load_table()
    for row in rows:
        r, sigma, epsilon = (np.array(row[name]) for name in ("r", "sigma", "epsilon"))
        energy, f_over_r = reference.pair(r, row["kind"], sigma, epsilon, row["cutoff"], row["exponent"])
        scale = 1e-14 * row["epsilon"] * max(1.0, row["exponent"] ** 2 / 144.0)
        assert energy == pytest.approx(row["energy"], rel=FP64_REDUCTION, abs=scale), row
        assert f_over_r * r == pytest.approx(row["force"], rel=FP64_REDUCTION, abs=100 * scale), row


@pytest.mark.parametrize("potential", POTENTIALS, ids=ids)
def test_force_is_minus_the_derivative_of_the_energy(potential: PairPotential) -> None:
    rng = np.random.default_rng(1)
    sigma, xc = potential.sigma[0][0], potential.cutoff[0][0]
    r = sigma * rng.uniform(0.7, xc - 1e-3, 200)
    h = 1e-3 * sigma
    derivative = np.zeros_like(r)
    for weight, step in ((672.0, 1), (-168.0, 2), (32.0, 3), (-3.0, 4)):  # eighth-order central difference
        inner, outer = potential.energy(r - step * h / 8), potential.energy(r + step * h / 8)
        derivative += weight * (outer - inner) / (840.0 * h / 8)
    # Rounding of V, up to about 4e-16 * |V|, over a step of 1e-4: below 1e-9 of the largest force.
    assert np.abs(potential.force(r) + derivative).max() < 1e-9 * np.abs(potential.force(r)).max()


@pytest.mark.parametrize("cutoff", [1.1, 1.25, 1.75, 2.5, 4.0])
def test_lj_smooth_and_its_two_derivatives_vanish_at_the_cutoff(cutoff: float) -> None:
    _, k, q, c4, c2, c0 = PairPotential("lj_smooth", 1.0, 1.0, cutoff).coefficients()[0, 0]
    x = cutoff
    assert (k, q) == (4.0, x * x)
    assert x**-12 - x**-6 + c4 * x**4 + c2 * x**2 + c0 == pytest.approx(0.0, abs=1e-14)
    assert -12 * x**-13 + 6 * x**-7 + 4 * c4 * x**3 + 2 * c2 * x == pytest.approx(0.0, abs=1e-13)
    assert 156 * x**-14 - 42 * x**-8 + 12 * c4 * x**2 + 2 * c2 == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("n", range(1, 65))
def test_inverse_power_and_its_two_derivatives_vanish_at_the_cutoff(n: int) -> None:
    x = 1.25
    _, k, q, c4, c2, c0 = PairPotential("inverse_power", 2.0, 3.0, x, n).coefficients()[0, 0]
    assert (k, q) == (3.0, x * x)
    tiny = 1e-13 * n * n * x**-n
    assert x**-n + c4 * x**4 + c2 * x**2 + c0 == pytest.approx(0.0, abs=tiny)
    assert -n * x ** (-n - 1) + 4 * c4 * x**3 + 2 * c2 * x == pytest.approx(0.0, abs=tiny)
    assert n * (n + 1) * x ** (-n - 2) + 12 * c4 * x**2 + 2 * c2 == pytest.approx(0.0, abs=tiny)


@pytest.mark.parametrize("potential", POTENTIALS, ids=ids)
def test_the_energy_goes_to_zero_at_the_cutoff_with_the_promised_power(potential: PairPotential) -> None:
    power = {"lj_smooth": 3, "inverse_power": 3, "lj_shifted": 1, "wca": 2, "harmonic": 2}[potential.kind]
    rc = potential.cutoff_distance
    h = 2e-3 * rc
    near, far = potential.energy(rc - h), potential.energy(rc - 2 * h)
    assert far / near == pytest.approx(2.0**power, rel=0.1)
    assert (potential.energy([rc * (1 + 1e-15), 1.5 * rc, 100.0 * rc]) == 0.0).all()
    assert (potential.force([rc * (1 + 1e-15), 1.5 * rc, 100.0 * rc]) == 0.0).all()


@pytest.mark.parametrize("potential", POTENTIALS, ids=ids)
def test_the_core_is_flat_and_finite(potential: PairPotential) -> None:
    sigma = potential.sigma[0][0]
    r = sigma * np.array([0.0, 1e-300, 1e-5, 0.009999])
    energy = potential.energy(r)
    assert np.isfinite(energy).all()
    assert (energy == energy[0]).all()
    assert energy[0] == pytest.approx(potential.energy(sigma * 0.01), rel=1e-13)
    assert (potential.force(r) == 0.0).all()


def test_wca_is_shifted_lennard_jones_cut_at_its_minimum() -> None:
    wca, shifted = PairPotential("wca", 1.0, 1.0), PairPotential("lj_shifted", 1.0, 1.0, WCA_CUTOFF)
    r = np.linspace(0.8, 1.3, 101)
    np.testing.assert_array_equal(wca.energy(r), shifted.energy(r))
    assert wca.energy(1.0) == pytest.approx(1.0, rel=1e-15)


def test_coefficients_of_all_pairs() -> None:
    potential = PairPotential("lj_shifted", TERNARY_SIGMA, TERNARY_EPSILON)
    table = potential.coefficients()
    assert table.shape == (3, 3, 6)
    assert table.dtype == np.float64
    np.testing.assert_array_equal(table, table.transpose(1, 0, 2))
    np.testing.assert_allclose(table[..., 0], 1.0 / np.array(TERNARY_SIGMA) ** 2, rtol=1e-15)
    np.testing.assert_array_equal(table[..., 1], 4.0 * np.array(TERNARY_EPSILON))
    assert (table[..., 2] == 6.25).all()
    assert (table[..., 3:5] == 0.0).all()
    np.testing.assert_allclose(table[..., 5], 2.5**-6 - 2.5**-12, rtol=1e-15)
    assert (PairPotential("harmonic", 1.0, 3.0).coefficients() == [[[1.0, 3.0, 1.0, 0.0, 0.0, 0.0]]]).all()


def test_species_arguments_choose_the_pair_and_broadcast() -> None:
    potential = PairPotential("lj_smooth", TERNARY_SIGMA, TERNARY_EPSILON)
    single = PairPotential("lj_smooth", 0.9, 0.75)
    r = np.linspace(0.8, 2.0, 5)
    np.testing.assert_array_equal(potential.energy(r, 0, 2), single.energy(r))
    np.testing.assert_array_equal(potential.force(r, 2, 0), single.force(r))
    table = potential.energy(1.0, np.arange(3)[:, None], np.arange(3))
    assert table.shape == (3, 3)
    np.testing.assert_array_equal(table, table.T)


def test_bad_arguments_of_the_formulas() -> None:
    potential = PairPotential("wca", 1.0, 1.0)
    with pytest.raises(ValueError, match=r"^r: expected distances of at least zero, got -1\.0$"):
        potential.energy([1.0, -1.0])
    with pytest.raises(ValueError, match=r"^r: expected finite numbers, got nan"):
        potential.force(np.nan)
    with pytest.raises(ValueError, match=r"^b: expected integers from 0 to 0, got 1"):
        potential.energy(1.0, 0, 1)
    with pytest.raises(TypeError, match=r"^a: expected an array of integers"):
        potential.energy(1.0, 0.5, 0)


# -- parameters -------------------------------------------------------------------------------------------------------


def test_numbers_are_broadcast_and_defaults_filled_in() -> None:
    potential = PairPotential("lj_smooth", TERNARY_SIGMA, 1, 2)
    assert potential.n_species == 3
    assert potential.epsilon == ((1.0, 1.0, 1.0),) * 3
    assert potential.cutoff == ((2.0, 2.0, 2.0),) * 3
    assert PairPotential("lj_smooth", 1, TERNARY_EPSILON).n_species == 3
    assert PairPotential("lj_shifted", 1, 1, np.full((2, 2), 3.0)).n_species == 2
    assert PairPotential("lj_smooth", 1, 1).cutoff == ((2.5,),)
    assert PairPotential("inverse_power", 1, 1).cutoff == ((1.25,),)
    assert PairPotential("inverse_power", 1, 1).exponent == 12
    assert PairPotential("wca", 1, 1).cutoff == ((WCA_CUTOFF,),)
    assert PairPotential("harmonic", 1, 1).cutoff == ((1.0,),)


def test_arrays_lists_and_tuples_give_equal_potentials() -> None:
    first = PairPotential("lj_smooth", TERNARY_SIGMA, TERNARY_EPSILON, 2.5)
    second = PairPotential(
        kind="lj_smooth",
        sigma=np.asfortranarray(TERNARY_SIGMA),
        epsilon=tuple(map(tuple, TERNARY_EPSILON)),
        cutoff=np.full((3, 3), 2.5),
    )
    assert first == second
    assert hash(first) == hash(second)
    assert len({first, second}) == 1
    assert first != PairPotential("lj_shifted", TERNARY_SIGMA, TERNARY_EPSILON, 2.5)
    assert first != PairPotential("lj_smooth", TERNARY_SIGMA, TERNARY_EPSILON, 2.4)
    assert first != object()


def test_kind_codes_and_cutoff_distance() -> None:
    codes = {"lj_smooth": 0, "lj_shifted": 0, "wca": 0, "inverse_power": 1, "harmonic": 2}
    assert {kind: PairPotential(kind, 1.0, 1.0).kind_code for kind in codes} == codes
    cutoff = [[2.0, 3.0], [3.0, 2.0]]
    assert PairPotential("lj_smooth", [[1.0, 0.8], [0.8, 1.1]], 1.0, cutoff).cutoff_distance == 0.8 * 3.0


def test_a_potential_cannot_be_changed() -> None:
    potential = PairPotential("wca", 1.0, 1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        potential.kind = "harmonic"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del potential.sigma
    potential.coefficients()[...] = 0.0
    assert potential.coefficients()[0, 0, 1] == 4.0


@pytest.mark.parametrize("potential", POTENTIALS, ids=ids)
def test_copies_are_equal(potential: PairPotential) -> None:
    assert PairPotential.from_dict(potential.to_dict()) == potential
    assert PairPotential.from_dict(json.loads(json.dumps(potential.to_dict()))) == potential
    assert pickle.loads(pickle.dumps(potential)) == potential
    assert dataclasses.replace(potential) == potential
    assert eval(repr(potential), {"PairPotential": PairPotential}) == potential


def test_text_shows_every_pair_once() -> None:
    lines = str(PairPotential("inverse_power", TERNARY_SIGMA, TERNARY_EPSILON, exponent=18)).splitlines()
    assert lines[0] == "inverse_power (exponent 18)"
    assert lines[1].split() == ["pair", "sigma", "epsilon", "cutoff"]
    assert [line.split()[0] for line in lines[2:]] == ["0-0", "0-1", "0-2", "1-1", "1-2", "2-2"]
    assert lines[4].split() == ["0-2", "0.9", "0.75", "1.25"]


GOOD: dict[str, Any] = {"kind": "lj_smooth", "sigma": [[1.0, 0.8], [0.8, 0.9]], "epsilon": 1.0}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"kind": "lj_smoth"}, ValueError, r"^kind: expected one of .*, got 'lj_smoth'; did you mean 'lj_smooth'\?$"),
        ({"kind": "zzz"}, ValueError, r"^kind: expected one of .*'harmonic', got 'zzz'$"),
        ({"kind": 3}, TypeError, r"^kind: expected one of .*, got 3 \(int\)$"),
        ({"sigma": [[1.0, 0.8], [0.7, 0.9]]}, ValueError, r"^sigma: expected a symmetric matrix, got 0\.8 .* but 0\.7 "),
        (
            {"sigma": [[1.0, 0.0], [0.0, 0.9]]},
            ValueError,
            r"^sigma: expected positive numbers .*, got 0\.0 for species 0 and 1$",
        ),
        ({"sigma": [[1.0, -1.0], [-1.0, 0.9]]}, ValueError, r"^sigma: expected positive numbers"),
        ({"sigma": [[1.0, 1e31], [1e31, 0.9]]}, ValueError, r"^sigma: expected positive numbers"),
        ({"sigma": [[1.0, np.nan], [np.nan, 0.9]]}, ValueError, r"^sigma: expected finite numbers, got nan at index \(0, 1\)$"),
        ({"sigma": [[1.0, np.inf], [np.inf, 0.9]]}, ValueError, r"^sigma: expected finite numbers, got inf"),
        ({"sigma": [1.0, 0.8]}, ValueError, r"^sigma: expected shape \(1, 1\), got shape \(2,\)$"),
        ({"sigma": [[1.0, 0.8]]}, ValueError, r"^sigma: expected shape \(1, 1\), got shape \(1, 2\)$"),
        ({"sigma": np.zeros((0, 0))}, ValueError, r"^sigma: expected at least one species"),
        ({"sigma": [[1.0, 0.8], [0.8]]}, TypeError, r"^sigma: expected an array of real numbers"),
        ({"sigma": "big"}, TypeError, r"^sigma: expected an array of real numbers, got 'big' \(str\)$"),
        ({"sigma": None}, TypeError, r"^sigma: expected an array of real numbers, got None"),
        ({"sigma": [[True, True], [True, True]]}, TypeError, r"^sigma: expected an array of real numbers, got type bool$"),
        ({"sigma": [[1j, 0], [0, 1j]]}, TypeError, r"^sigma: expected an array of real numbers, got type complex128$"),
        ({"epsilon": [[1.0]]}, ValueError, r"^epsilon: expected shape \(2, 2\), got shape \(1, 1\)$"),
        ({"epsilon": -1.0}, ValueError, r"^epsilon: expected positive numbers"),
        ({"cutoff": 0.0}, ValueError, r"^cutoff: expected positive numbers"),
        ({"cutoff": 0.01}, ValueError, r"^cutoff: expected numbers above 0\.01"),
        ({"cutoff": [[2.5, 2.0], [2.5, 2.5]]}, ValueError, r"^cutoff: expected a symmetric matrix"),
        ({"exponent": 10}, ValueError, r"^exponent: expected none, as 'lj_smooth' has no exponent to choose, got 10$"),
        ({"kind": "inverse_power", "exponent": 0}, ValueError, r"^exponent: expected an integer from 1 to 64, got 0$"),
        ({"kind": "inverse_power", "exponent": 65}, ValueError, r"^exponent: expected an integer from 1 to 64, got 65$"),
        ({"kind": "inverse_power", "exponent": 12.0}, TypeError, r"^exponent: expected an integer from 1 to 64, got 12\.0"),
        ({"kind": "inverse_power", "exponent": True}, TypeError, r"^exponent: expected an integer"),
        ({"kind": "wca", "cutoff": 2.5}, ValueError, r"^cutoff: expected none, as 'wca' has the fixed cutoff 1\.122"),
        (
            {"kind": "harmonic", "cutoff": [[1, 2], [2, 1]]},
            ValueError,
            r"^cutoff: expected none, as 'harmonic' has the fixed cut",
        ),
    ],
)
def test_bad_parameters(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PairPotential(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            {**GOOD, "sigm": 1.0},
            ValueError,
            r"^potential: expected keys among .*, got 'sigm'; the nearest valid key is 'sigma'$",
        ),
        ({**GOOD, "cut_off": 1.0}, ValueError, r"the nearest valid key is 'cutoff'$"),
        ({**GOOD, "???": 1.0}, ValueError, r"^potential: expected keys among .*, got '\?\?\?'$"),
        (
            {"kind": "wca", "sigma": 1.0},
            ValueError,
            r"^potential: expected the key 'epsilon', got only these keys: kind, sigma$",
        ),
        ([("kind", "wca")], TypeError, r"^potential: expected a table of keys and values, got .* \(list\)$"),
    ],
)
def test_bad_mappings(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PairPotential.from_dict(data)


# -- the many-particle reference --------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("kind", ["lj_smooth", "lj_shifted", "inverse_power", "wca", "harmonic"])
def test_the_reference_is_consistent_with_itself(kind: str, d: int) -> None:
    """Energies are half the sum of local energies; forces and virial are the derivatives of the energy."""
    rng = np.random.default_rng(2)
    potential = PairPotential(kind, np.array(TERNARY_SIGMA), np.array(TERNARY_EPSILON))
    n, box = 12, np.linspace(5.0, 6.0, d)
    lattice = np.stack(np.meshgrid(*[np.arange(4) + 0.5] * d, indexing="ij"), axis=-1).reshape(-1, d)[:n]
    positions = lattice * box / 4 * 0.6 + rng.uniform(-0.1, 0.1, (3, n, d))
    species = rng.integers(0, 3, (3, n))
    options: dict[str, Any] = {
        "kind": kind,
        "sigma": np.array(potential.sigma),
        "epsilon": np.array(potential.epsilon),
        "cutoff": np.array(potential.cutoff),
    }
    energy = reference.energy(positions, species, box=box, **options)
    forces = reference.forces(positions, species, box=box, **options)
    virial = reference.virial(positions, species, box=box, **options)
    assert energy.shape == (3,)
    assert (energy != 0.0).all()
    np.testing.assert_allclose(reference.local_energies(positions, species, box=box, **options).sum(axis=1), 2 * energy)
    np.testing.assert_allclose(forces.sum(axis=1), 0.0, atol=1e-9 * np.abs(forces).max())
    np.testing.assert_allclose(virial, virial.transpose(0, 2, 1), atol=1e-12 * np.abs(virial).max())

    h = 1e-5
    i, a = 5, d - 1
    moved = positions.copy()
    moved[:, i, a] += h
    up = reference.energy(moved, species, box=box, **options)
    moved[:, i, a] -= 2 * h
    down = reference.energy(moved, species, box=box, **options)
    np.testing.assert_allclose(forces[:, i, a], (down - up) / (2 * h), rtol=1e-6, atol=1e-6)

    # Stretching the axis `a` of box and positions by 1 + h changes U by -h W_aa.
    stretch = np.ones(d)
    stretch[a] += h
    up = reference.energy(positions * stretch, species, box=box * stretch, **options)
    stretch[a] -= 2 * h
    down = reference.energy(positions * stretch, species, box=box * stretch, **options)
    np.testing.assert_allclose(virial[:, a, a], (down - up) / (2 * h), rtol=1e-6, atol=1e-6)


def test_the_reference_agrees_with_a_loop_over_pairs() -> None:
    rng = np.random.default_rng(3)
    box = np.array([5.0, 7.0])
    positions = rng.uniform(0.0, box, (2, 9, 2))
    species = rng.integers(0, 3, 9)
    potential = PairPotential("lj_smooth", TERNARY_SIGMA, TERNARY_EPSILON)
    for k in range(2):
        total = 0.0
        for i in range(9):
            for j in range(i):
                images = [
                    positions[k, i] - positions[k, j] + box * np.array([p, q]) for p in (-1, 0, 1) for q in (-1, 0, 1)
                ]  # at least 2 x the cutoff: all images together are the minimum image
                total += sum(float(potential.energy(np.linalg.norm(v), species[i], species[j])) for v in images)
        sigma, epsilon = np.array(TERNARY_SIGMA), np.array(TERNARY_EPSILON)
        got = reference.energy(positions, species, box=box, kind="lj_smooth", sigma=sigma, epsilon=epsilon)[k]
        assert got == pytest.approx(total, rel=FP64_REDUCTION)
