"""Several Python threads: samplers have the bits of one thread, and an ensemble in use is refused to all others."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import algorithms
import glassnf as gnf
from algorithms import JOBS, local, small, start
from flows_for_tests import PairFlow
from glassnf._exclusive import Turn, exclusive

IN_USE = "expected one that no other thread is using, got one in use"

pytestmark = pytest.mark.filterwarnings("ignore::glassnf.samplers.PopulationCollapseWarning")


def test_algorithms_in_threads_have_the_bits_of_one() -> None:
    expected = {(name, seed): job(seed, 0) for name, job in JOBS.items() for seed in (1, 2)}
    with ThreadPoolExecutor(4) as pool:
        found = {key: pool.submit(JOBS[key[0]], key[1], 0) for key in expected}
        for key, future in found.items():
            np.testing.assert_array_equal(future.result(), expected[key], err_msg=str(key))


def test_a_sampler_may_serve_many_threads() -> None:
    system = small()
    samplers: dict[str, tuple[Any, Callable[[int], Any]]] = {
        "mc": (gnf.MonteCarlo(system, threads=2), lambda seed: start(system, seed, 0)),
        "md": (gnf.MolecularDynamics(system, timestep=0.002, threads=2, swap_every=5), lambda seed: start(system, seed, 0)),
    }

    def run(name: str, seed: int) -> npt.NDArray[Any]:
        sampler, begin = samplers[name]
        ensemble = begin(seed)
        for _ in range(5):
            sampler.run(ensemble, 20)
        return algorithms.bits(ensemble)

    expected = {(name, seed): run(name, seed) for name in samplers for seed in range(6)}
    with ThreadPoolExecutor(6) as pool:
        for key, found in zip(expected, pool.map(lambda key: run(*key), expected), strict=True):
            np.testing.assert_array_equal(found, expected[key], err_msg=str(key))


def test_a_flow_may_serve_many_threads() -> None:
    system = gnf.systems.ka2d()
    flow = gnf.flows.shipped(system)
    assert flow is not None
    ways = [(1.0 / t, 1.0 / s) for t, s in ((0.5, 0.45), (0.45, 0.5), (0.5, 0.42), (0.48, 0.4))]
    batch = gnf.Ensemble.random(system, replicas=2, temperature=0.5, seed=1)

    def carry(way: tuple[float, float]) -> npt.NDArray[Any]:
        moved = flow.transport(batch.positions, batch.species, *way, steps=4, threads=1)
        return algorithms.bits(moved.positions, moved.log_jacobian)

    expected = [carry(way) for way in ways]
    flow = pickle.loads(pickle.dumps(flow))  # without tables
    assert not flow._tables
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(carry, ways * 4), expected * 4, strict=True):
            np.testing.assert_array_equal(found, wanted)


# ---- what is in use --------------------------------------------------------------------------------------------------------


@contextmanager
def in_use(work: Callable[[Any], object]) -> Iterator[None]:
    """Have another thread do some work, and stop it in its first report of progress while the body runs."""
    reached, go_on = threading.Event(), threading.Event()

    def progress(*_: Any) -> None:
        reached.set()
        assert go_on.wait(60.0)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, progress)
        try:
            assert reached.wait(60.0), future.exception(0.0)
            yield
        finally:
            go_on.set()
        future.result()


def refused(noun: str, *attempts: Callable[[], object]) -> None:
    for attempt in attempts:
        with pytest.raises(RuntimeError, match=f"^{noun}: {IN_USE}"):
            attempt()


@pytest.mark.parametrize("name", ["mc", "equilibration", "md", "pt"])
def test_an_ensemble_in_use_is_refused(name: str, tmp_path: Path) -> None:
    system = small()
    mc, md = local(system), algorithms.langevin(system)
    pt = gnf.ParallelTempering(system, algorithms.LADDER, explorer=local(system))
    ensemble = pt.random(seed=1)
    ensemble.draw_velocities()
    work: dict[str, Callable[[Any], object]] = {
        "mc": lambda progress: mc.run(ensemble, 20, progress=progress),
        "equilibration": lambda progress: mc.equilibrate(ensemble, 20, progress=progress),
        "md": lambda progress: md.run(ensemble, 20, progress=progress),
        "pt": lambda progress: pt.run(ensemble, 20, progress=progress),
    }
    other = gnf.ParallelTempering(system, algorithms.LADDER, explorer=local(system))
    attempts: list[Callable[[], object]] = [
        lambda: mc.run(ensemble, 1),
        lambda: mc.run(sweeps=1, ensemble=ensemble),
        lambda: mc.equilibrate(ensemble, 1),
        lambda: mc.explore(ensemble, 1),
        lambda: md.run(ensemble, 1),
        lambda: md.adapt(ensemble, 1),
        lambda: other.run(ensemble, 1),
        lambda: other.equilibrate(ensemble, 100),
        lambda: gnf.inherent_structures(ensemble),
        lambda: gnf.PopulationAnnealing(system, temperatures=(1.0, 0.9)).run(ensemble),
        lambda: ensemble.save(tmp_path / "torn.h5"),
        lambda: pickle.dumps(ensemble),
        lambda: copy.deepcopy(ensemble),
        lambda: ensemble[0],
        ensemble.copy,
        ensemble.validate,
        ensemble.update_energy,
        ensemble.draw_velocities,
        ensemble.wrap,
    ]
    before = ensemble.copy()
    with in_use(work[name]):
        refused("ensemble", *attempts)
    assert not list(tmp_path.iterdir())
    assert ensemble.step == before.step + 20
    again = before
    {"mc": mc.run, "equilibration": mc.equilibrate, "md": md.run, "pt": other.run}[name](again, 20)
    assert ensemble.identical_to(again)
    mc.run(ensemble, 1)


def test_brief_work_waits_for_brief_work(tmp_path: Path) -> None:
    """Threads that only copy, check and save an ensemble do not disturb each other, nor keep a sampler from beginning."""
    ensemble = start(small(), 1, 0)
    expected, sampler = ensemble.copy(), local(small())
    sampler.run(expected, 20)
    alone = ensemble.copy()

    def look(thread: int) -> None:
        for k in range(20):
            path = tmp_path / f"{thread}-{k % 2}.h5"
            for copied in (ensemble.copy(), pickle.loads(pickle.dumps(ensemble)), copy.deepcopy(ensemble)):
                assert copied.identical_to(alone)
            ensemble.validate()
            ensemble.update_energy()
            assert ensemble[thread % 3].replicas == 1
            ensemble.save(path)
            assert gnf.Ensemble.load(path).identical_to(alone)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(look, range(6))) == [None] * 6
    reading, stop = threading.Event(), threading.Event()

    def save_slowly() -> None:
        with ensemble._turn.taken(briefly=True):
            reading.set()
            assert stop.wait(60.0)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(save_slowly)
        assert reading.wait(60.0)
        begun = pool.submit(sampler.run, ensemble, 20)
        assert not begun.done()
        assert ensemble.step == 0
        stop.set()
        slow.result()
        begun.result()
    assert ensemble.identical_to(expected)


def test_the_thread_that_uses_an_ensemble_may_look_at_it(tmp_path: Path) -> None:
    ensemble = start(small(), 1, 0)
    local(small()).run(ensemble, 20, progress=lambda *_: ensemble.save(tmp_path / "now.h5"))
    assert gnf.Ensemble.load(tmp_path / "now.h5").identical_to(ensemble)


def test_states_of_other_algorithms_in_use_are_refused(tmp_path: Path) -> None:
    system = small()
    pt = gnf.ParallelTempering(system, algorithms.LADDER, explorer=local(system))
    mine, theirs = pt.random(seed=1), pt.random(seed=2)
    with in_use(lambda progress: pt.equilibrate(mine, 200, progress=progress)):
        refused("sampler", lambda: pt.run(theirs, 1), lambda: pt.equilibrate(theirs, 200), lambda: pickle.dumps(pt))
    pa = gnf.PopulationAnnealing(system, temperatures=(1.0, 0.98), explorer=local(system))
    anneal = pa.begin(16, seed=1)
    with in_use(lambda progress: pa.advance(anneal, progress=progress)):
        refused(
            "anneal",
            lambda: pa.advance(anneal),
            lambda: pa.finish(anneal),
            lambda: anneal.save(tmp_path / "torn.h5"),
            lambda: pickle.dumps(anneal),
        )
    nf = gnf.FlowMetropolis(system, PairFlow(system, 1.0, 0.9, strength=0.002), base=local(system), explorer=local(system))
    chains = nf.begin(2, seed=1, equilibration_sweeps=10)
    with in_use(lambda progress: nf.run(chains, 1, progress=progress)):
        refused("chains", lambda: nf.run(chains, 1), lambda: chains.save(tmp_path / "torn.h5"), lambda: pickle.dumps(chains))
    assert not list(tmp_path.iterdir())
    assert chains.proposals == 1


def test_a_turn_is_given_back_whatever_happens() -> None:
    class Thing:
        _turn = Turn("thing")

        @exclusive("self", "other")
        def work(self, other: Any) -> Any:
            raise ZeroDivisionError

    first, second = Thing(), Thing()
    second._turn = Turn("second")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            first.work(second)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        pool.submit(first.work, second).result()
    with second._turn.taken(), ThreadPoolExecutor(1) as pool:
        with pytest.raises(RuntimeError, match=f"^second: {IN_USE}"):
            pool.submit(first.work, other=second).result()
        with pytest.raises(ZeroDivisionError):  # the turn of the first was given back
            pool.submit(first.work, None).result()
