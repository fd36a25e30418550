"""Steps near 2^32, 2^40 and the last one, ids as large as they may be, counters beyond 2^32: nothing is cut to 32 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import algorithms
import glassnf as gnf
from algorithms import JOBS, LADDER, bits, large, local, small, start
from glassnf import _core
from glassnf.ensemble import MAX_ID, MAX_STEP
from glassnf.samplers.monte_carlo import Counters

pytestmark = pytest.mark.filterwarnings("ignore::glassnf.samplers.PopulationCollapseWarning")

BOUNDARIES = (2**32, 2**40)
NEEDS_NO_STEP = {"nve", "inherent structures", "flow sampler"}


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=["2^32", "2^40"])
@pytest.mark.parametrize("name", sorted(JOBS.keys() - NEEDS_NO_STEP))
def test_steps_are_not_cut(name: str, boundary: int) -> None:
    """The steps that begin before the boundary and end after it are others than those of the same low words."""
    job = JOBS[name]
    across = job(1, boundary - 20)
    assert across.tobytes() != job(1, 2**32 - 20 if boundary == 2**40 else 2**33 - 20).tobytes()
    assert across.tobytes() != job(1, boundary - 20 + 2**32).tobytes()


def pieces(run: Callable[[gnf.Ensemble, int], object], ensemble: gnf.Ensemble, counts: list[int]) -> bytes:
    for count in counts:
        run(ensemble, count)
    return bits(ensemble).tobytes()


RUNS: dict[str, Callable[[], tuple[gnf.systems.System, Callable[[gnf.Ensemble, int], object]]]] = {
    "mc": lambda: (small(), gnf.MonteCarlo(small(), threads=1).run),
    "equilibration": lambda: (small(), gnf.MonteCarlo(small(), threads=1).equilibrate),
    "lists": lambda: (large(), gnf.MonteCarlo(large(), threads=1).run),
    "checkerboard": lambda: (large(), gnf.MonteCarlo(large(), threads=1, checkerboard=True).run),
    "langevin": lambda: (small(), algorithms.langevin(small()).run),
    "rescaling": lambda: (large(), gnf.MolecularDynamics(large(), timestep=0.002, thermostat="rescaling", threads=1).run),
    "hybrid": lambda: (small(), gnf.MolecularDynamics(small(), timestep=0.002, swap_every=8, threads=1).run),
    "pt": lambda: (small(), gnf.ParallelTempering(small(), LADDER, explorer=local(small()), sweeps_per_exchange=4).run),
    "pt, langevin": lambda: (
        small(),
        gnf.ParallelTempering(small(), LADDER, explorer=algorithms.langevin(small()), sweeps_per_exchange=4).run,
    ),
}


@pytest.mark.parametrize("boundary", [*BOUNDARIES, MAX_STEP], ids=["2^32", "2^40", "last"])
@pytest.mark.parametrize("name", sorted(RUNS.keys() - {"equilibration"}))  # whose blocks are cut at multiples of 20 only
def test_a_run_across_a_boundary_may_be_cut_there(name: str, boundary: int) -> None:
    system, run = RUNS[name]()
    after = 0 if boundary == MAX_STEP else 40
    ends = []
    for counts in ([40 + after], [20, 20, after]):
        ensemble = start(system, 1, boundary - 40, temperature=LADDER)
        ensemble.ids[:] = [MAX_ID, 2**32, 2**32 - 1]
        gnf.MonteCarlo(system, threads=1).explore(ensemble, 10 if boundary < MAX_STEP else 0)
        ensemble.step = boundary - 40
        ensemble.draw_velocities()
        ends.append(pieces(run, ensemble, [count for count in counts if count]))
        assert ensemble.step == boundary + after
        np.testing.assert_allclose(ensemble.energy, gnf.energy(system, ensemble.positions, ensemble.species), rtol=1e-9)
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", sorted(RUNS))
def test_beyond_the_last_step(name: str) -> None:
    system, run = RUNS[name]()
    ensemble = start(system, 1, MAX_STEP - 1, temperature=LADDER)
    before = ensemble.copy()
    with pytest.raises(ValueError, match=rf"^(sweeps|steps): expected step \+ \1 at most {MAX_STEP}, got {MAX_STEP - 1} \+ 2$"):
        run(ensemble, 2)
    assert ensemble.identical_to(before)


@pytest.mark.parametrize("checkerboard", [False, True])
@pytest.mark.parametrize("offset", [2**31 - 5, 2**32 - 5, 2**53 - 5])
def test_counters_have_64_bits(offset: int, checkerboard: bool) -> None:
    """Counters that begin high count as those that begin at zero, in kernels that add to what they are given."""
    system = large()
    sampler = gnf.MonteCarlo(system, threads=1, checkerboard=checkerboard)
    counted = []
    for begin in (0, offset):
        ensemble, counters = start(system, 1, 0, replicas=2), Counters.zeros(2, 3)
        fields = [getattr(counters, name) for name in Counters.__dataclass_fields__]
        for field in fields:
            field[...] = begin
        sampler.explore(ensemble, 3, counters)
        counted.append(np.concatenate([field.ravel() for field in fields]) - begin)
    assert counted[0].dtype == np.int64
    assert counted[0].sum() > 0
    assert counted[0][: fields[0].size].all()
    np.testing.assert_array_equal(*counted)


@pytest.mark.parametrize("step", [2**44, 2**64 - 1])
def test_kernels_refuse_steps_beyond_the_last(step: int) -> None:
    """Though step + sweeps would be small again in 64 bits."""
    system = small()
    sampler, ensemble = gnf.MonteCarlo(system, threads=1), start(system, 1, 0)
    before = ensemble.copy()
    counters, completed = Counters.zeros(3, 3), np.zeros(1, dtype=np.int64)
    arguments: dict[str, Any] = sampler.native_arguments(ensemble, 2, counters, completed, None)
    with pytest.raises(ValueError, match=r"step: expected step \+ sweeps to stay below 2\^44"):
        _core.monte_carlo(gnf._native.native_system(system), **{**arguments, "step": step}, threads=1)
    assert ensemble.identical_to(before)


@pytest.mark.parametrize("name", ["mc", "checkerboard", "langevin"])
def test_images_far_away(name: str) -> None:
    """A liquid far from the origin moves as one at the origin; its images have room for a run, or are refused."""
    system, run = RUNS[name]()
    ends = []
    for far in (0, 2**30, -(2**30)):
        ensemble = start(system, 1, 0, temperature=LADDER)
        ensemble.images[...] = far
        ensemble.positions[...] = gnf.ensemble.wrap_positions(ensemble.positions - ensemble.positions[:, :1], system.box)[0]
        ensemble.update_energy()
        run(ensemble, 20)
        ensemble.images -= far
        ends.append(bits(ensemble).tobytes())
        assert ensemble.images.any()
    assert ends[0] == ends[1] == ends[2]
    ensemble.images[0, 0, 0] = 2**30 + 1
    with pytest.raises(ValueError, match=f"images: expected integers from -{2**30} to {2**30}, got {2**30 + 1}"):
        run(ensemble, 1)
