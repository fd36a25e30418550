"""Monte Carlo against exact distributions: few particles by quadrature, species on a frozen lattice by enumeration.

Every chi-square test has a false-alarm rate of 1e-5 (tolerances.FALSE_ALARM) and a fixed seed. Samples are the last
configurations of tens of thousands of independent replicas, so that nothing is correlated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import cases
import glassnf as gnf
from glassnf.certify.frozen import Frozen
from glassnf.certify.pairs import count_distances, distance_bins
from glassnf.certify.reference import minimum_image, reduced_energy
from glassnf.certify.statistics import chi_square_p, symmetry_p
from glassnf.systems import PairPotential, custom
from replay import Replay
from tolerances import CACHED_ENERGY, FALSE_ALARM, STATISTICAL

pytest.importorskip("scipy.stats")

Array = npt.NDArray[Any]


# ----------------------------------------------------------------------------------------------- two particles, by quadrature

PAIRS = [
    (PairPotential("lj_smooth", 1.0, 1.0), 2),
    (PairPotential("lj_smooth", 1.0, 1.0), 3),
    (PairPotential("lj_shifted", 0.9, 0.8), 2),
    (PairPotential("wca", 1.0, 1.0), 3),
    (PairPotential("inverse_power", 1.0, 1.0), 2),
    (PairPotential("inverse_power", 1.0, 1.0, 1.5, 7), 3),
    (PairPotential("harmonic", 1.0, 1.0), 2),
]
PAIR_IDS = [f"{pair.kind}-{d}" for pair, d in PAIRS]


@pytest.mark.parametrize("temperature", [0.4, 1.0])
@pytest.mark.parametrize(("pair", "dimension"), PAIRS, ids=PAIR_IDS)
def test_two_particles_in_a_box(pair: PairPotential, dimension: int, temperature: float, device: str) -> None:
    replicas = 20_000
    system = custom("pair", potential=pair, composition=(2,), box=2.2 * pair.cutoff_distance, dimension=dimension)
    start = np.zeros((replicas, 2, dimension))
    start[:, 1] = 0.5 * system.box
    ensemble = gnf.Ensemble.from_arrays(system, start, temperature=temperature, seed=101, move_size=0.3 * system.box[0])
    ensemble = ensemble.to(device)
    gnf.MonteCarlo(system, swap_probability=0.0).run(ensemble, 60)
    ensemble = ensemble.to("cpu")
    edges, probabilities = distance_bins(system, 1.0 / temperature)
    counts = np.bincount(count_distances(system, ensemble.positions, edges), minlength=probabilities.size)
    assert chi_square_p(counts, replicas * probabilities) > FALSE_ALARM
    if pair.kind == "lj_smooth":  # the test has power: a wrong temperature fails it
        _, wrong = distance_bins(system, 1.5 / temperature)
        assert chi_square_p(counts, replicas * wrong) < FALSE_ALARM
    centre = minimum_image(ensemble.positions[:, 0] - 0.5 * system.box, system.box) / system.box
    cells = np.floor((centre + 0.5) * 6).astype(int) % 6
    index = np.ravel_multi_index(tuple(cells.T), (6,) * dimension)
    assert (
        chi_square_p(np.bincount(index, minlength=6**dimension), np.full(6**dimension, replicas / 6**dimension)) > FALSE_ALARM
    )


@pytest.mark.parametrize(("pair", "dimension"), PAIRS, ids=PAIR_IDS)
@pytest.mark.parametrize("sweeps", [1, 5])
def test_exact_samples_of_two_particles_stay_exact(pair: PairPotential, dimension: int, sweeps: int) -> None:
    """Samples by rejection, a few sweeps, the same distribution; transitions between bins are as many both ways."""
    temperature, wanted = 0.7, 60_000
    system = custom("pair", potential=pair, composition=(2,), box=2.2 * pair.cutoff_distance, dimension=dimension)
    rng = np.random.default_rng(102)
    delta = rng.uniform(-0.5, 0.5, (25 * wanted, dimension)) * system.box
    u = reduced_energy(pair, np.linalg.norm(delta, axis=1), 0, 0)
    lowest = reduced_energy(pair, np.linspace(0.7, 2.6, 5000), 0, 0).min()
    delta = delta[rng.random(u.size) < np.exp((lowest - u) / temperature)][:wanted]
    assert len(delta) == wanted
    first = rng.uniform(0.0, 1.0, (wanted, dimension)) * system.box
    positions = np.mod(np.stack([first, first + delta], axis=1), system.box)
    ensemble = gnf.Ensemble.from_arrays(system, positions, temperature=temperature, seed=103, move_size=0.3)
    edges, probabilities = distance_bins(system, 1.0 / temperature)
    before = count_distances(system, ensemble.positions, edges)
    assert chi_square_p(np.bincount(before, minlength=32), wanted * probabilities) > FALSE_ALARM
    gnf.MonteCarlo(system, swap_probability=0.0).run(ensemble, sweeps)
    after = count_distances(system, ensemble.positions, edges)
    assert (before != after).mean() > 0.1
    assert chi_square_p(np.bincount(after, minlength=32), wanted * probabilities) > FALSE_ALARM
    transitions = np.bincount(before * 32 + after, minlength=32 * 32).reshape(32, 32)
    assert symmetry_p(transitions) > FALSE_ALARM


# --------------------------------------------------------------------------- three unlike particles, both moves, by convolution


def test_three_unlike_particles_with_swaps() -> None:
    """The separation of A and B has the density exp(-beta V_AB) times the convolution of those of V_AC and V_BC."""
    replicas, temperature, points, bins = 40_000, 0.6, 1024, 16
    pair = PairPotential(
        "lj_smooth",
        sigma=[[1.0, 1.0, 0.8], [1.0, 1.0, 1.1], [0.8, 1.1, 1.0]],
        epsilon=[[1.0, 0.6, 1.4], [0.6, 1.0, 1.0], [1.4, 1.0, 1.0]],
    )
    side = 2.1 * pair.cutoff_distance
    system = custom("three", potential=pair, composition=(1, 1, 1), box=[side, side])
    start = np.array([[0.1, 0.1], [0.45, 0.5], [0.75, 0.85]]) * side
    ensemble = gnf.Ensemble.from_arrays(
        system, np.tile(start, (replicas, 1, 1)), temperature=temperature, seed=104, move_size=0.25 * side
    )
    gnf.MonteCarlo(system, swap_probability=0.3).run(ensemble, 60)
    order = np.argsort(ensemble.species, axis=1)
    by_species = np.take_along_axis(ensemble.positions, order[:, :, None], axis=1)

    x = minimum_image(np.arange(points) / points * side, np.array(side))
    r = np.hypot(x[:, None], x[None, :])
    factor = {(a, b): np.exp(-reduced_energy(pair, r, a, b) / temperature) for a, b in ((0, 1), (0, 2), (1, 2))}
    fold = np.abs(x) / (0.5 * side) * bins
    place = np.minimum(fold.astype(int), bins - 1)
    on_edge = fold == np.rint(fold)  # grid points on a border between bins count half on either side
    for a, b, c in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        ac, bc = factor[min(a, c), max(a, c)], factor[min(b, c), max(b, c)]
        around = np.fft.irfft2(np.fft.rfft2(ac) * np.fft.rfft2(bc), s=r.shape)
        density = factor[a, b] * around
        membership = np.zeros((points, bins))
        membership[np.arange(points), place] = np.where(on_edge, 0.5, 1.0)
        membership[np.arange(points), np.where(fold == 0, 0, place - on_edge)] += np.where(on_edge, 0.5, 0.0)
        expected = membership.T @ density @ membership
        delta = np.abs(minimum_image(by_species[:, b] - by_species[:, a], system.box))
        cell = np.minimum((delta / (0.5 * side) * bins).astype(int), bins - 1)
        counts = np.bincount(cell[:, 0] * bins + cell[:, 1], minlength=bins**2)
        assert chi_square_p(counts, expected.ravel() / expected.sum() * replicas) > FALSE_ALARM
        assert chi_square_p(counts, np.roll(expected, 1, axis=0).ravel() / expected.sum() * replicas) < FALSE_ALARM


# ------------------------------------------------------------------------------------- species on a frozen lattice, enumerated


UNEVEN = [[0.0, 1.0, 5.0], [1.0, 0.0, 0.3], [5.0, 0.3, 0.0]]
CHAIN = [[7.0, 1.0, 0.0], [1.0, 7.0, 2.0], [0.0, 2.0, 7.0]]  # A and C exchange by way of B only; the diagonal is ignored


@pytest.mark.parametrize(
    ("composition", "weights"),
    [((3, 3), None), ((2, 4), None), ((2, 2, 2), None), ((2, 2, 2), UNEVEN), ((3, 2, 1), None), ((3, 1, 2), CHAIN)],
    ids=str,
)
def test_species_on_a_frozen_lattice(composition: tuple[int, ...], weights: Any, device: str) -> None:
    replicas = 20_000
    frozen = Frozen(composition, temperature=0.8 if weights is CHAIN else 0.35)  # relaxes in at most 4 sweeps
    assert 2.0 < np.ptp(frozen.energy) / frozen.temperature < 12.0
    start = np.tile(frozen.states[0], (replicas, 1))
    ensemble = frozen.ensemble(start, seed=106).to(device)
    mc = gnf.MonteCarlo(frozen.system, swap_probability=1.0, swap_weights=weights)
    record = mc.run(ensemble, 30)
    ensemble = ensemble.to("cpu")
    np.testing.assert_array_equal(ensemble.positions, np.tile(frozen.positions, (replicas, 1, 1)))
    counts = np.bincount(frozen.state_of(ensemble.species), minlength=len(frozen.states))
    assert chi_square_p(counts, replicas * frozen.probabilities) > FALSE_ALARM
    np.testing.assert_array_equal(record.displacement_attempts, 0)
    attempts = record.swap_attempts.sum(axis=0)
    assert attempts.sum() == 2 * 30 * frozen.system.n * replicas
    if weights is not None:
        expected = np.array(weights)
    else:
        expected = np.outer(composition, composition).astype(float)
    upper = np.triu_indices(len(composition), k=1)
    if len(composition) > 2:
        expected = expected[upper] / expected[upper].sum() * attempts[upper].sum()
        allowed = expected > 0.0
        assert not attempts[upper][~allowed].any()
        assert chi_square_p(attempts[upper][allowed], expected[allowed]) > FALSE_ALARM


def test_species_on_a_frozen_lattice_through_cells() -> None:
    replicas = 20_000
    frozen = Frozen((28, 2), temperature=0.3, cells=(4.1, 4.3))
    assert len(frozen.states) == 435
    ensemble = frozen.ensemble(np.tile(frozen.states[7], (replicas, 1)), seed=107)
    gnf.MonteCarlo(frozen.system, swap_probability=1.0).run(ensemble, 8)
    counts = np.bincount(frozen.state_of(ensemble.species), minlength=435)
    assert chi_square_p(counts, replicas * frozen.probabilities) > FALSE_ALARM


def test_swaps_among_moves_too_small_to_matter() -> None:
    replicas = 20_000
    frozen = Frozen((2, 2, 2), temperature=0.35)
    ensemble = frozen.ensemble(np.tile(frozen.states[5], (replicas, 1)), seed=108, move_size=1e-9)
    gnf.MonteCarlo(frozen.system, swap_probability=0.4).run(ensemble, 30)
    counts = np.bincount(frozen.state_of(ensemble.species), minlength=len(frozen.states))
    assert chi_square_p(counts, replicas * frozen.probabilities) > FALSE_ALARM
    assert np.abs(ensemble.positions - frozen.positions).max() < 1e-6


@pytest.mark.parametrize(("composition", "weights"), [((2, 2), None), ((2, 1, 1), None), ((2, 1, 1), UNEVEN)], ids=str)
def test_transitions_between_enumerated_states(composition: tuple[int, ...], weights: Any) -> None:
    """One sweep of N trials from exact samples: every transition as often as the matrix says, and as its reverse."""
    replicas = 60_000
    frozen = Frozen(composition, temperature=0.4)
    states = len(frozen.states)
    matrix = np.linalg.matrix_power(frozen.transition_matrix(weights), frozen.system.n)
    start = frozen.draw(replicas, seed=109)
    before = frozen.state_of(start)
    ensemble = frozen.ensemble(start, seed=110)
    gnf.MonteCarlo(frozen.system, swap_probability=1.0, swap_weights=weights).run(ensemble, 1)
    after = frozen.state_of(ensemble.species)
    assert (before != after).mean() > 0.1
    transitions = np.bincount(before * states + after, minlength=states**2).reshape(states, states)
    expected = replicas * frozen.probabilities[:, None] * matrix
    assert chi_square_p(transitions, expected) > FALSE_ALARM
    assert symmetry_p(transitions) > FALSE_ALARM


@pytest.mark.parametrize("sweeps", [1, 3, 10])
def test_exact_assignments_stay_exact(sweeps: int) -> None:
    replicas = 20_000
    frozen = Frozen((2, 2, 2), temperature=0.4)
    ensemble = frozen.ensemble(frozen.draw(replicas, seed=111), seed=112)
    gnf.MonteCarlo(frozen.system, swap_probability=1.0, swap_weights=UNEVEN).run(ensemble, sweeps)
    counts = np.bincount(frozen.state_of(ensemble.species), minlength=len(frozen.states))
    assert chi_square_p(counts, replicas * frozen.probabilities) > FALSE_ALARM


# ------------------------------------------------------------------------------------------------------------- one particle


@pytest.mark.parametrize("dimension", [2, 3])
def test_one_particle_fills_the_box_evenly_and_diffuses(dimension: int) -> None:
    replicas, sweeps, move = 20_000, 400, 0.5
    system = custom("one", potential=PairPotential("lj_smooth", 1.0, 1.0), composition=(1,), box=[5.0, 6.0, 5.5][:dimension])
    start = np.tile(0.3 * system.box, (replicas, 1, 1))
    ensemble = gnf.Ensemble.from_arrays(system, start, temperature=1.0, seed=113, move_size=move)
    record = gnf.MonteCarlo(system, swap_probability=0.0).run(ensemble, sweeps, record_at=[sweeps], record_positions=True)
    np.testing.assert_array_equal(record.displacement_attempts, sweeps)
    np.testing.assert_array_equal(record.displacement_accepts, sweeps)
    np.testing.assert_array_equal(ensemble.energy, 0.0)
    cells = np.floor(ensemble.positions[:, 0] / system.box * 5).astype(int)
    counts = np.bincount(np.ravel_multi_index(tuple(cells.T), (5,) * dimension), minlength=5**dimension)
    assert chi_square_p(counts, np.full(5**dimension, replicas / 5**dimension)) > FALSE_ALARM
    # Unwrapped: a walk of `sweeps` steps uniform in [-move, move]; each axis has variance sweeps move^2 / 3, within 5 sigma.
    assert record.positions is not None
    walk = record.positions[0, :, 0] - start[:, 0]
    np.testing.assert_array_equal(record.positions[0], ensemble.unwrapped())
    variance = sweeps * move**2 / 3.0
    assert np.abs(walk.mean(axis=0)).max() < STATISTICAL * math.sqrt(variance / replicas)
    assert np.abs((walk**2).mean(axis=0) / variance - 1.0).max() < STATISTICAL * math.sqrt(2.0 / replicas)
    assert ensemble.images.min() < -2
    assert ensemble.images.max() > 2


# ------------------------------------------------------------------------------------------------ move by move against a replay


def replayed(ensemble: gnf.Ensemble, replica: int, swap_probability: float, weights: Any = None) -> Replay:
    return Replay(
        ensemble.system,
        ensemble.positions[replica],
        ensemble.species[replica],
        float(ensemble.beta[replica]),
        float(ensemble.move_size[replica]),
        ensemble.seed,
        int(ensemble.ids[replica]),
        swap_probability,
        None if weights is None else np.array(weights, dtype=np.float64),
    )


def follow(ensemble: gnf.Ensemble, sweeps: int, swap_probability: float, weights: Any = None) -> list[Replay]:
    """Advance sampler and replay side by side: every sweep ends in the same state, with the same counts of every kind.

    A replica is followed up to a decision that rounding may turn, if there is one.
    """
    replays = [replayed(ensemble, r, swap_probability, weights) for r in range(ensemble.replicas)]
    mc = gnf.MonteCarlo(ensemble.system, swap_probability=swap_probability, swap_weights=weights)
    images = ensemble.images.copy()
    totals = np.zeros((2, ensemble.replicas), dtype=np.int64)
    swaps = np.zeros((2, ensemble.replicas, ensemble.system.n_species, ensemble.system.n_species), dtype=np.int64)
    for sweep in range(1, sweeps + 1):
        step = ensemble.step
        record = mc.run(ensemble, 1)
        totals += record.displacement_attempts, record.displacement_accepts
        swaps += record.swap_attempts, record.swap_accepts
        for r, copy in enumerate(replays):
            if copy.ambiguous:
                continue
            copy.sweep(step)
            if copy.ambiguous:
                continue
            np.testing.assert_array_equal(ensemble.positions[r], copy.positions)
            np.testing.assert_array_equal(ensemble.species[r], copy.species)
            np.testing.assert_array_equal(ensemble.images[r] - images[r], copy.images)
            np.testing.assert_array_equal(totals[:, r], copy.displacements)
            np.testing.assert_array_equal(swaps[:, r], [copy.swap_attempts, copy.swap_accepts])
            assert totals[0, r] + copy.swap_attempts.sum() // 2 == sweep * ensemble.n
            assert ensemble.energy[r] == pytest.approx(copy.energy(), rel=CACHED_ENERGY, abs=CACHED_ENERGY)
    return replays


@pytest.mark.parametrize("n", [43, 44, 150])
@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_every_move_of_ka2d(n: int, temperature: float) -> None:
    system = gnf.systems.ka2d(n)
    ensemble = gnf.Ensemble.random(system, 2, temperature, seed=114)
    copies = follow(ensemble, 4, 0.2)
    assert all(copy.displacements[1] > 0 and not copy.ambiguous for copy in copies)
    assert sum(copy.swap_accepts.sum() for copy in copies) > 0


@pytest.mark.parametrize("kind", cases.KIND_NAMES)
@pytest.mark.parametrize("species", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("cells", [(2.2, 2.6), (4.1, 5.0), (2.1, 2.3, 2.2), (4.0, 3.1, 4.0)], ids=str)
def test_every_move_of_other_systems(kind: str, species: int, cells: tuple[float, ...]) -> None:
    pair = cases.potential(kind, species, different_cutoffs=species in (2, 9))
    box = cases.cells_box(pair, cells)
    n = max(2 * species, min(60, round(0.9 * float(np.prod(box)))))
    system = cases.mixture(pair, n, box)
    positions, kinds = cases.lattice_batch(system, 1, seed=115)
    ensemble = gnf.Ensemble.from_arrays(system, positions, species=kinds, temperature=1.5, seed=116, move_size=0.3, ids=[5])
    ensemble.images[:] = 3
    (copy,) = follow(ensemble, 3, 0.3 if species > 1 else 0.0)
    assert not copy.ambiguous


@pytest.mark.parametrize("kind", cases.KIND_NAMES)
@pytest.mark.parametrize("cells", [(2.2, 2.6), (4.1, 5.0)], ids=str)
def test_every_move_out_of_overlaps(kind: str, cells: tuple[float, ...]) -> None:
    """From particles on top of each other, some inside the core where potentials are constant, at several temperatures."""
    pair = cases.potential(kind, 2)
    box = cases.cells_box(pair, cells)
    system = cases.mixture(pair, 24, box)
    rng = np.random.default_rng(117)
    coincident = np.tile(0.4 * box, (24, 1))
    doubled = np.repeat(rng.uniform(0.0, 1.0, (12, 2)) * box, 2, axis=0)
    near = np.mod(doubled + rng.uniform(-0.004, 0.004, doubled.shape), box)
    apart = cases.jittered_lattice(rng, 24, box)
    apart[1] = apart[0] + 0.003
    positions = np.stack([coincident, doubled, near, apart])
    followed = []
    for temperature, move in ((0.001, 0.003), (0.5, 0.1), (30.0, 0.4), (1e6, 0.004)):
        for swap_probability in (0.0, 0.3):
            ensemble = gnf.Ensemble.from_arrays(system, positions, temperature=temperature, seed=118, move_size=move)
            followed += [not copy.ambiguous for copy in follow(ensemble, 3, swap_probability)]
    assert np.mean(followed) > 0.25


def test_swap_weights_are_followed_move_by_move() -> None:
    system = gnf.systems.ka2d(43)
    for weights in (UNEVEN, CHAIN, [[0, 0, 1], [0, 0, 0], [1, 0, 0]]):
        ensemble = gnf.Ensemble.random(system, 1, 1.0, seed=119)
        (copy,) = follow(ensemble, 4, 0.9, weights)
        assert not copy.ambiguous
        assert copy.swap_attempts.sum() > 0


def test_swap_acceptance_by_pair_of_species() -> None:
    system = gnf.systems.ka2d(43)
    ensemble = gnf.Ensemble.random(system, 3, 1.0, seed=120)
    copies = [replayed(ensemble, r, 0.5) for r in range(3)]
    record = gnf.MonteCarlo(system, swap_probability=0.5).run(ensemble, 4)
    for r, copy in enumerate(copies):
        for step in range(4):
            copy.sweep(step)
        np.testing.assert_array_equal(record.swap_attempts[r], copy.swap_attempts)
        np.testing.assert_array_equal(record.swap_accepts[r], copy.swap_accepts)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(record.swap_acceptance[r], copy.swap_accepts / copy.swap_attempts)
    assert np.isnan(record.swap_acceptance[:, [0, 1, 2], [0, 1, 2]]).all()


@pytest.mark.parametrize(
    ("step", "replica"), [(2**32 - 2, 0), (2**40 - 2, 2**32 - 1), (2**43 + 17, 2**32), (2**44 - 10, 2**40 - 1)], ids=str
)
def test_large_steps_and_ids(step: int, replica: int) -> None:
    system = gnf.systems.ka2d(43)
    start = gnf.Ensemble.random(system, 1, 1.0, seed=121)
    ensemble = gnf.Ensemble.from_arrays(
        system, start.positions, species=start.species, temperature=1.0, seed=2**64 - 1, step=step, ids=[replica]
    )
    (copy,) = follow(ensemble, 4, 0.2)
    assert not copy.ambiguous
    assert ensemble.step == step + 4
