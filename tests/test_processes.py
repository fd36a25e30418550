"""Several processes: whatever a user may hand to another one goes there and works on with the same bits, forked or spawned."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import multiprocessing
import os
import pickle
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import algorithms
import glassnf as gnf
from algorithms import JOBS, LADDER, bits, local, small, start
from flows_for_tests import PairFlow
from glassnf.flows import FlowError
from glassnf.samplers import PopulationCollapseWarning

pytestmark = [
    pytest.mark.filterwarnings("ignore::glassnf.samplers.PopulationCollapseWarning"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # Python 3.12, of a process with threads
]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

MODULES = ("samplers", "flows", "observables", "systems", "io", "cuda", "ensemble")


def there_and_back(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def same(a: Any, b: Any) -> bool:
    """Whether two results are the same, field by field and bit by bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, gnf.Ensemble):
        return a.identical_to(b)
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if dataclasses.is_dataclass(a):
        return same(
            {f.name: getattr(a, f.name) for f in dataclasses.fields(a)},
            {f.name: getattr(b, f.name) for f in dataclasses.fields(b)},
        )
    return bool(a == b or (a != a and b != b))


# ---- pickles -----------------------------------------------------------------------------------------------------------------


def test_systems() -> None:
    for system in (small(), gnf.systems.ka(n=256)):
        back = there_and_back(system)
        assert back == system
        assert hash(back) == hash(system)
        assert not back.species.flags.writeable
        assert not back.box.flags.writeable
        assert there_and_back(system.potential) == system.potential


@pytest.mark.parametrize("velocities", [False, True])
def test_ensembles(velocities: bool) -> None:
    ensemble = start(small(), 3, 2**40)
    ensemble.ids[:] = [2**40 - 1, 5, 2**32]
    if velocities:
        ensemble.draw_velocities()
    back = there_and_back(ensemble)
    assert back.identical_to(ensemble)
    assert not np.shares_memory(back.positions, ensemble.positions)
    for sampled in (ensemble, back):
        local(small()).run(sampled, 5)
    assert back.identical_to(ensemble)


def test_an_ensemble_is_checked_when_it_is_unpickled() -> None:
    ensemble = start(small(), 3, 0)
    ensemble.positions[1, 4, 0] = np.nan
    with pytest.raises(ValueError, match="positions: expected finite"):
        there_and_back(ensemble)


def samplers() -> list[Any]:
    system = small()
    flow = PairFlow(system, 1.0, 0.8, strength=0.002)
    return [
        local(system),
        algorithms.langevin(system),
        gnf.ParallelTempering(system, LADDER, explorer=local(system)),
        gnf.PopulationAnnealing(system, temperatures=LADDER, explorer=local(system)),
        gnf.FlowMetropolis(system, flow, base=local(system), explorer=local(system)),
        gnf.FlowSampler(system, flow, base=local(system)),
    ]


@pytest.mark.parametrize("place", range(6))
def test_samplers(place: int) -> None:
    sampler = samplers()[place]
    back = there_and_back(sampler)
    assert type(back) is type(sampler)
    assert same(back.describe(), sampler.describe())
    if isinstance(sampler, gnf.MonteCarlo | gnf.MolecularDynamics):
        ensembles = [start(small(), 1, 0) for _ in range(2)]
        for mine, its in zip((sampler, back), ensembles, strict=True):
            mine.run(its, 10)
        assert ensembles[0].identical_to(ensembles[1])


def test_states_go_on_with_the_same_bits() -> None:
    system = small()
    pa = gnf.PopulationAnnealing(system, temperatures=LADDER, sweeps_per_step=5, explorer=local(system))
    anneal = pa.begin(16, seed=1)
    pa.advance(anneal)
    back = there_and_back(anneal)
    for state in (anneal, back):
        while not state.finished:
            pa.advance(state)
    assert bits(back.population, back.influence).tobytes() == bits(anneal.population, anneal.influence).tobytes()
    nf = gnf.FlowMetropolis(system, PairFlow(system, 1.0, 0.8, strength=0.002), base=local(system), explorer=local(system))
    chains = nf.begin(2, seed=1, equilibration_sweeps=10)
    nf.run(chains, 1)
    moved = there_and_back(chains)
    for these in (chains, moved):
        nf.run(these, 2)
    assert bits(moved.cold, moved.hot).tobytes() == bits(chains.cold, chains.hot).tobytes()


def results() -> list[Any]:
    """Return something of every kind that samplers and flows hand out."""
    system = small()
    mc, md = local(system), algorithms.langevin(system)
    ensemble = start(system, 1, 0)
    pt = gnf.ParallelTempering(system, LADDER, explorer=mc)
    ladder = pt.random(seed=1)
    pa = gnf.PopulationAnnealing(system, temperatures=LADDER, sweeps_per_step=5, explorer=mc)
    flow = PairFlow(system, 1.0, 0.8, strength=0.002)
    nf, sampler = gnf.FlowMetropolis(system, flow, base=mc, explorer=mc), gnf.FlowSampler(system, flow, base=mc)
    hot, cold = (start(system, 1, 0, replicas=8, temperature=t) for t in (1.0, 0.8))
    for side in (hot, cold):
        mc.run(side, 20)
    chains, found = nf.begin(2, seed=1, equilibration_sweeps=10), sampler.run_from(hot)
    anneals = [pa.run(16, seed) for seed in (1, 2)]
    shipped = gnf.flows.shipped(gnf.systems.ka2d())
    assert shipped is not None
    assisted = gnf.ParallelTempering(system, (1.0, 0.8), explorer=mc, flow=flow)
    batch = gnf.Ensemble.random(shipped.system, replicas=2, temperature=0.5, seed=1)
    return [
        mc.equilibrate(ensemble, 20),
        mc.run(ensemble, 4, record_every=2, record_positions=True),
        md.run(ensemble, 4, record_every=2, record_positions=True, record_velocities=True),
        gnf.inherent_structures(ensemble, force_tolerance=1e-3),
        pt.equilibrate(ladder, 200),
        pt.run(ladder, 40, record_every=10),
        assisted.run(assisted.random(seed=1), 4, record_every=2).transport,
        *anneals,
        pa.begin(16, seed=3),
        gnf.weighted_average(anneals),
        nf.run(chains, 1),
        chains,
        found,
        found.stops[0],
        sampler.check_against(found, cold),
        gnf.harvest(mc, 1.0, 4, 1, replicas=2, spacing=2, equilibration_sweeps=20),
        shipped,
        shipped.field,
        shipped.field.pair_basis,
        shipped.field.temperature_basis,
        shipped.report,
        *([shipped.report.nodes[0]] if shipped.report is not None else []),
        shipped.field.tables([2.0, 2.2, 2.4]),
        shipped.transport(batch.positions, batch.species, 2.0, 2.2, steps=2),
        gnf.flows.IdentityFlow(system, 1.0, 0.5),
        gnf.cuda.Memory(2, 3),
        *samplers(),
    ]


def test_results() -> None:
    for result in results():
        back = there_and_back(result)
        assert type(back) is type(result)
        if dataclasses.is_dataclass(result):
            assert same(back, result), type(result).__name__


def public_classes() -> dict[str, type]:
    found = {}
    for module in (importlib.import_module(f"glassnf.{name}") for name in MODULES):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) and not getattr(value, "_is_protocol", False):
                found[f"{module.__name__}.{name}"] = value
    return found


# What is not handed out by a short run: modules of torch, which pickle as torch has them, and what holds a file.
ELSEWHERE = {
    "EquivariantField",
    "TableField",
    "TorchFlow",
    "RunFile",
    "Ensemble",
    "System",
    "PairPotential",
    "FieldErrors",
    "PolishReport",
}


def test_every_public_class_is_known_here() -> None:
    seen = {type(result).__name__ for result in results()} | ELSEWHERE
    for name, kind in public_classes().items():
        if issubclass(kind, BaseException) or kind.__name__ in seen:
            continue
        if dataclasses.is_dataclass(kind):
            # Whatever its values are: what is pickled is the dictionary of its fields.
            empty = object.__new__(kind)
            empty.__dict__.update({f.name: np.arange(3) for f in dataclasses.fields(kind)})
            assert same(there_and_back(empty), empty), name
        else:
            raise AssertionError(f"{name}: is it pickled anywhere?")


def test_errors_come_back_from_other_processes_as_they_are() -> None:
    raised = [
        gnf.BlowUpError("blew up", 7, 2),
        FlowError("not finite", (1, 2)),
        *(
            kind("message")
            for kind in public_classes().values()
            if issubclass(kind, BaseException) and kind not in (gnf.BlowUpError, FlowError)
        ),
    ]
    assert len(raised) > 6
    for error in raised:
        back = there_and_back(error)
        assert type(back) is type(error)
        assert str(back) == str(error)
        assert same(back.__dict__, error.__dict__)


@pytest.mark.parametrize("module", ["EquivariantField", "TableField"])
def test_flows_of_torch(module: str) -> None:
    pytest.importorskip("torch")
    flows = gnf.flows
    system = gnf.systems.ka2d()
    shipped = flows.shipped(system)
    assert shipped is not None
    fields: dict[str, Callable[[], Any]] = {
        "EquivariantField": lambda: flows.EquivariantField(system, hot=0.5, cold=0.4),
        "TableField": lambda: flows.TableField(system, shipped.without_messages().field),
    }
    flow = flows.TorchFlow(system, fields[module](), hot=0.5, cold=0.4, steps=2)
    batch = gnf.Ensemble.random(system, replicas=1, temperature=0.5, seed=1)
    moved = [each.transport(batch.positions, batch.species, 2.0, 2.1) for each in (flow, there_and_back(flow))]
    assert same(*moved)
    assert same(there_and_back(flow).describe(), flow.describe())


# ---- processes ---------------------------------------------------------------------------------------------------------------


def job_elsewhere(name: str, seed: int) -> npt.NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PopulationCollapseWarning)
        return JOBS[name](seed, 0)


def advance(sampler: Any, ensemble: gnf.Ensemble) -> tuple[Any, gnf.Ensemble]:
    return sampler.run(ensemble, 10, record_every=5), ensemble


def fail(*_: Any) -> None:
    raise gnf.BlowUpError("blew up", 7, 2)


def in_child(work: Callable[[], bool]) -> bool:
    """Whether some work succeeds in a forked process, which ends at once, within a minute."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            threading.Timer(60.0, os._exit, (2,)).start()
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_fork
def test_forked_processes_have_the_bits_of_this_one() -> None:
    expected = {name: job(1, 0) for name, job in JOBS.items()}  # threads and tables have been in use here
    algorithms.monte_carlo(small())(1, 0)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        for name, found in zip(expected, pool.map(job_elsewhere, expected, [1] * len(expected)), strict=True):
            np.testing.assert_array_equal(found, expected[name], err_msg=name)


@needs_fork
def test_a_fork_while_native_threads_work() -> None:
    """The child has none of them, and works on; the ensemble that they were advancing is half advanced there, and refused."""
    system = small()
    mine, theirs, sampler = start(system, 1, 0), start(system, 2, 0), gnf.MonteCarlo(system, threads=2)
    begun, stop = threading.Event(), threading.Event()

    def progress(*_: Any) -> None:
        begun.set()
        if stop.is_set():
            raise StopIteration

    def keep_busy() -> None:
        with pytest.raises(StopIteration):
            sampler.run(theirs, 10**9, progress=progress)

    expected = mine.copy()
    sampler.run(expected, 20)

    def work() -> bool:
        sampler.run(mine, 20)
        with pytest.raises(RuntimeError, match="ensemble: expected one that no other thread is using"):
            sampler.run(theirs, 1)
        return mine.identical_to(expected)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        assert begun.wait(60.0)
        for _ in range(5):
            assert in_child(work)
    finally:
        stop.set()
        busy.join()
    sampler.run(theirs, 1)


@needs_fork
def test_a_fork_while_another_thread_makes_tables() -> None:
    from glassnf.flows import radial_flow

    flow = gnf.flows.shipped(gnf.systems.ka2d())
    assert flow is not None
    batch = gnf.Ensemble.random(flow.system, replicas=1, temperature=0.5, seed=1)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with radial_flow._lock:
            held.set()
            release.wait(60.0)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(60.0)
        assert in_child(lambda: flow.transport(batch.positions, batch.species, 2.0, 2.1, steps=2, threads=1).steps == 2)
    finally:
        release.set()
        holder.join()


def test_spawned_processes_go_on_with_what_they_are_given() -> None:
    system = small()
    mc, md = local(system), gnf.MolecularDynamics(system, timestep=0.002, threads=2)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for sampler in (mc, md):
            ensemble = start(system, 1, 0)
            record, moved = pool.submit(advance, sampler, ensemble).result()
            assert ensemble.step == 0  # it was a copy that moved
            expected, _ = advance(sampler, ensemble)
            assert moved.identical_to(ensemble)
            assert record.energy.tobytes() == expected.energy.tobytes()
        with pytest.raises(gnf.BlowUpError, match="blew up"):
            pool.submit(fail).result()
