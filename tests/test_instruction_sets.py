"""Every instruction set that this machine has computes the same bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import cases
import glassnf as gnf
from glassnf import _core
from glassnf.systems import System

Choose = Callable[[str], None]

SYSTEMS = {
    "ka2d-43": gnf.systems.ka2d(43),
    "ka2d-300": gnf.systems.ka2d(300),
    "ka-1300": gnf.systems.ka(1300),
    **{
        f"{kind}-{species}-{len(cells)}d-{'uniform' if not different else 'different'}": cases.mixture(
            cases.potential(kind, species, different_cutoffs=different),
            60,
            cases.cells_box(cases.potential(kind, species, different_cutoffs=different), cells),
        )
        for kind in cases.KIND_NAMES
        for species, cells, different in (
            (1, (2.1, 2.5), False),
            (2, (4.1, 3.9), True),
            (4, (4.2, 5.0), False),
            (5, (2.1, 2.2, 2.6), False),
            (8, (4.2, 4.0, 3.1), False),
            (9, (4.0, 4.1), True),
        )
    },
}


def test_baseline_is_always_there() -> None:
    names = _core.instruction_sets()
    assert names[-1] == "baseline"
    assert set(names) <= {"avx512", "avx2", "baseline"}
    assert _core.instruction_set() in names


def test_unknown_names_are_refused(instruction_set: Choose) -> None:
    before = _core.instruction_set()
    for name in ("", "AVX2", "sse9"):
        with pytest.raises(ValueError, match=r"^name: expected one of instruction_sets\(\), got '"):
            instruction_set(name)
    assert _core.instruction_set() == before


@pytest.mark.parametrize("name", SYSTEMS)
def test_same_bits(name: str, instruction_set: Choose) -> None:
    system = SYSTEMS[name]
    positions, species = cases.lattice_batch(system, 3, seed=301)
    positions[2] = np.random.default_rng(302).uniform(0.0, 1.0, positions[2].shape) * system.box  # with overlaps
    results = []
    for choice in _core.instruction_sets():
        instruction_set(choice)
        assert _core.instruction_set() == choice
        u, f = gnf.energy_and_forces(system, positions, species)
        results.append((choice, [u, f, gnf.energy(system, positions, species), gnf.virial(system, positions, species)]))
    for choice, arrays in results[1:]:
        for array, first in zip(arrays, results[0][1], strict=True):
            np.testing.assert_array_equal(array, first, err_msg=choice)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("temperature", [0.6, 1e5])
def test_same_trajectories(name: str, temperature: float, instruction_set: Choose) -> None:
    system: System = SYSTEMS[name]
    positions, species = cases.lattice_batch(system, 2, seed=303)
    positions[1] = np.random.default_rng(304).uniform(0.0, 1.0, positions[1].shape) * system.box
    ends: list[tuple[str, gnf.Ensemble, gnf.MCRecord]] = []
    sweeps = 4 if system.n > 200 else 40
    for choice in _core.instruction_sets():
        instruction_set(choice)
        ensemble = gnf.Ensemble.from_arrays(
            system, positions, species=species, temperature=temperature, seed=305, move_size=0.2
        )
        record = gnf.MonteCarlo(system, swap_probability=0.3 if system.n_species > 1 else 0.0).run(
            ensemble, sweeps, record_every=1, record_positions=True
        )
        ends.append((choice, ensemble, record))
    for choice, ensemble, record in ends[1:]:
        assert ensemble.identical_to(ends[0][1]), choice
        for field in ("energy", "positions", "species", "displacement_accepts", "swap_attempts", "swap_accepts"):
            np.testing.assert_array_equal(getattr(record, field), getattr(ends[0][2], field), err_msg=f"{choice} {field}")
