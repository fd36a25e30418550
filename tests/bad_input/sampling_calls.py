"""Valid calls of everything that makes, moves or evaluates configurations."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import glassnf as gnf
from fuzz.seeds import little_system
from glassnf import flows, systems, torch_ops
from glassnf.systems import PairPotential, System

from .call import Call, New, call, method

SYSTEM = little_system()
POTENTIAL = SYSTEM.potential
WORK = (
    "sweeps",
    "steps",
    "equilibration_sweeps",
    "sweeps_per_step",
    "sweeps_per_exchange",
    "base_sweeps",
    "proposals",
    "max_iterations",
    "spacing",
    "max_steps",
    "iterations",
    "sweeps_per_stop",
    "matching_sweeps",
    "check_samples",
)
NAN_OF_NOTHING = "no trial of a kind was made, so that its acceptance is unknown"


@functools.cache
def _start() -> gnf.Ensemble:
    return gnf.Ensemble.random(SYSTEM, 4, 1.0, seed=1)


def ensemble(velocities: bool = False) -> gnf.Ensemble:
    made = _start().copy()
    if velocities:
        made.draw_velocities()
    return made


@functools.cache
def folder() -> Path:
    held = tempfile.TemporaryDirectory(prefix="glassnf-")
    _held.append(held)
    return Path(held.name)


_held: list[Any] = []
FRESH = New(ensemble)
MOVING = New(lambda: ensemble(velocities=True))


@functools.cache
def saved() -> Path:
    path = folder() / "saved.h5"
    ensemble().save(path)
    return path


def nothing(*_: Any, **__: Any) -> None:
    """Serve as a listener."""


def _fields() -> dict[str, Any]:
    source = ensemble(velocities=True)
    names = ("positions", "images", "species", "velocities", "beta", "energy", "ids", "move_size", "seed", "step", "device")
    return {name: getattr(source, name) for name in names}


def of_systems() -> dict[str, Call]:
    data = SYSTEM.to_dict()
    return {
        "glassnf.systems.PairPotential": call(
            PairPotential,
            kind="lj_smooth",
            sigma=np.ones((2, 2)),
            epsilon=np.ones((2, 2)),
            cutoff=np.full((2, 2), 2.5),
            exponent=None,
        ),
        "glassnf.systems.PairPotential.energy": call(
            POTENTIAL.energy, r=np.array([1.0, 1.5]), a=np.array([0, 1]), b=np.array([1, 1])
        ),
        "glassnf.systems.PairPotential.force": call(
            POTENTIAL.force, r=np.array([1.0, 1.5]), a=np.array([0, 1]), b=np.array([1, 1])
        ),
        "glassnf.systems.PairPotential.describe": call(POTENTIAL.describe, species_names=("A", "B")),
        "glassnf.systems.PairPotential.from_dict": call(
            PairPotential.from_dict, data=data["potential"], names={"data": "potential"}
        ),
        "glassnf.systems.System": call(
            System,
            name="a",
            species=np.array([0, 0, 1]),
            box=np.array([4.0, 4.0]),
            potential=POTENTIAL,
            species_names=("A", "B"),
        ),
        "glassnf.systems.System.from_dict": call(System.from_dict, data=data, names={"data": "system"}),
        "glassnf.systems.System.to_json": call(SYSTEM.to_json, path=str(folder() / "a.json")),
        "glassnf.systems.System.to_toml": call(SYSTEM.to_toml, path=str(folder() / "a.toml")),
        "glassnf.systems.by_name": call(systems.by_name, name="ka2d", n=43, names={"name": "system"}),
        "glassnf.systems.custom": call(
            systems.custom,
            name="a",
            potential=POTENTIAL,
            composition=np.array([3, 2]),
            box=np.array([4.0, 4.0]),
            species_names=("A", "B"),
        ),
        "glassnf.systems.custom:density": call(
            systems.custom,
            name="a",
            potential=POTENTIAL,
            species=np.array([0, 0, 1]),
            density=0.2,
            dimension=2,
            names={"density": "box"},
        ),
        "glassnf.systems.ka": call(systems.ka, n=200, density=1.2),
        "glassnf.systems.ka2d": call(systems.ka2d, n=43),
        "glassnf.systems.load": call(systems.load, path=_toml()),
        "glassnf.systems.register": call(systems.register, name="fuzz", factory=systems.ka2d, loose=("name",)),
    }


@functools.cache
def _toml() -> str:
    path = folder() / "little.toml"
    SYSTEM.to_toml(path)
    return str(path)


def of_energies() -> dict[str, Call]:
    source = ensemble()
    common = {"system": SYSTEM, "positions": source.positions, "species": source.species, "threads": 1, "precision": "float64"}
    names = ("energy", "energy_and_forces", "forces", "virial")
    calls = {f"glassnf.{name}": call(getattr(gnf, name), **common) for name in names}
    calls["glassnf.pressure"] = call(gnf.pressure, temperature=np.full(4, 0.5), **common)
    import torch

    tensor = torch.tensor(source.positions)
    kinds = torch.tensor(source.species)
    calls["glassnf.torch_ops.energy"] = call(
        torch_ops.energy, system=SYSTEM, positions=tensor, species=kinds, threads=1, precision="float64"
    )
    calls["glassnf.torch_ops.system_tensors"] = call(torch_ops.system_tensors, system=SYSTEM)
    calls["glassnf.ensemble.wrap_positions"] = call(
        gnf.ensemble.wrap_positions, positions=source.positions, box=np.array(SYSTEM.box)
    )
    return calls


def of_ensembles() -> dict[str, Call]:
    source = ensemble(velocities=True)
    given = {name: getattr(source, name) for name in ("positions", "species", "images", "velocities", "move_size")}
    return {
        "glassnf.Ensemble": call(gnf.Ensemble, system=SYSTEM, **_fields()),
        "glassnf.Ensemble.random": call(
            gnf.Ensemble.random, system=SYSTEM, replicas=2, temperature=np.array([0.5, 1.0]), seed=1, device="cpu"
        ),
        "glassnf.Ensemble.from_arrays": call(
            gnf.Ensemble.from_arrays,
            system=SYSTEM,
            **given,
            temperature=np.full(4, 0.5),
            seed=1,
            step=0,
            ids=np.arange(4),
            device="cpu",
        ),
        "glassnf.Ensemble.concatenate": call(
            gnf.Ensemble.concatenate, ensembles=[source[:2], source[2:]], names={"ensembles": "ids"}
        ),
        "glassnf.Ensemble.load": call(gnf.Ensemble.load, path=str(saved()), device="cpu"),
        "glassnf.Ensemble.save": method(ensemble, "save", path=str(folder() / "b.h5")),
        "glassnf.Ensemble.to": method(ensemble, "to", device="cpu"),
        "glassnf.Ensemble.identical_to": method(ensemble, "identical_to", other=source, loose=("other",)),
    }


def _run(name: str, sampler: Any, verb: str, **arguments: Any) -> dict[str, Call]:
    return {name: method(sampler, verb, work=WORK, nan=NAN_OF_NOTHING, **arguments)}


def of_samplers() -> dict[str, Call]:
    mc, md = (lambda: gnf.MonteCarlo(SYSTEM, threads=1)), (lambda: gnf.MolecularDynamics(SYSTEM, timestep=0.001, threads=1))
    record = {"record_every": 2, "record_positions": True, "progress": nothing}
    at = {"record_at": np.array([1, 2, 4])}
    return {
        "glassnf.MonteCarlo": call(
            gnf.MonteCarlo,
            system=SYSTEM,
            swap_probability=0.2,
            swap_weights=np.ones((2, 2)),
            target_acceptance=0.3,
            threads=1,
            checkerboard=None,
        ),
        **_run("glassnf.MonteCarlo.run", mc, "run", ensemble=FRESH, sweeps=4, **record),
        **_run("glassnf.MonteCarlo.run:at", mc, "run", ensemble=FRESH, sweeps=4, **at),
        **_run("glassnf.MonteCarlo.equilibrate", mc, "equilibrate", ensemble=FRESH, sweeps=40, progress=nothing),
        **_run("glassnf.MonteCarlo.explore", mc, "explore", ensemble=FRESH, sweeps=3),
        **_run("glassnf.MonteCarlo.adapt", mc, "adapt", ensemble=FRESH, sweeps=20),
        **_run("glassnf.MonteCarlo.prepare", mc, "prepare", ensemble=FRESH, sweeps=3),
        "glassnf.MolecularDynamics": call(
            gnf.MolecularDynamics,
            system=SYSTEM,
            timestep=0.001,
            thermostat="langevin",
            friction=1.0,
            relaxation_time=0.5,
            swap_every=5,
            swap_weights=np.ones((2, 2)),
            threads=1,
        ),
        **_run("glassnf.MolecularDynamics.run", md, "run", ensemble=MOVING, steps=4, record_velocities=True, **record),
        **_run("glassnf.MolecularDynamics.run:at", md, "run", ensemble=MOVING, steps=4, **at),
        **_run("glassnf.MolecularDynamics.equilibrate", md, "equilibrate", ensemble=MOVING, steps=40, progress=nothing),
        **_run("glassnf.MolecularDynamics.explore", md, "explore", ensemble=MOVING, sweeps=3),
        **_run("glassnf.MolecularDynamics.adapt", md, "adapt", ensemble=MOVING, sweeps=20),
        **_run("glassnf.MolecularDynamics.prepare", md, "prepare", ensemble=MOVING, sweeps=3),
        "glassnf.inherent_structures": call(
            gnf.inherent_structures,
            ensemble=FRESH,
            force_tolerance=1e-2,
            max_iterations=40,
            threads=1,
            progress=nothing,
            work=WORK,
        ),
        "glassnf.harvest": call(
            gnf.harvest,
            explorer=mc(),
            temperature=0.8,
            samples=8,
            seed=1,
            replicas=4,
            spacing=2,
            equilibration_sweeps=20,
            device="cpu",
            progress=nothing,
            work=WORK,
        ),
        "glassnf.geometric_ladder": call(
            gnf.geometric_ladder, first=0.5, last=1.0, count=4, names={"first": "temperatures", "last": "temperatures"}
        ),
        "glassnf.log_schedule": call(gnf.log_schedule, sweeps=1000, records=20),
        "glassnf.weighted_average": call(gnf.weighted_average, results=[_annealed(1), _annealed(2)]),
    }


@functools.cache
def _annealed(seed: int) -> Any:
    return annealing().run(16, seed)


def annealing() -> Any:
    explorer = gnf.MonteCarlo(SYSTEM, threads=1)
    return gnf.PopulationAnnealing(SYSTEM, 1.0, 0.9, explorer, sweeps_per_step=2, equilibration_sweeps=20)


def _tempering() -> Any:
    return gnf.ParallelTempering(
        SYSTEM, np.array([0.7, 0.8, 1.0]), gnf.MonteCarlo(SYSTEM, threads=1), ladders=2, sweeps_per_exchange=2
    )


@functools.cache
def _rungs() -> gnf.Ensemble:
    return _tempering().random(3)


@functools.cache
def _ladder_record() -> Any:
    return _tempering().run(_rungs().copy(), 40, record_every=2, record_positions=True)


def _state() -> dict[str, Any]:
    return dict(_ladder_record().state)


def of_outer() -> dict[str, Call]:
    rungs = New(lambda: _rungs().copy())
    record = {"record_every": 2, "record_positions": True, "progress": nothing}
    explorer = gnf.MonteCarlo(SYSTEM, threads=1)
    identity = flows.IdentityFlow(SYSTEM, hot=2.0, cold=0.5)
    common = {"flow_tolerance": 0.01, "flow_max_steps": 32}
    few = "with few records a rate or a barrier is unknown"
    return {
        "glassnf.ParallelTempering": call(
            gnf.ParallelTempering,
            system=SYSTEM,
            temperatures=np.array([0.7, 0.8, 1.0]),
            explorer=explorer,
            ladders=2,
            sweeps_per_exchange=2,
            flow=identity,
            flow_every=1,
            flow_position_tolerance=1e-3,
            **common,
            work=("flow_max_steps",),
        ),
        "glassnf.ParallelTempering.check": method(_tempering, "check", ensemble=New(lambda: _rungs().copy())),
        "glassnf.ParallelTempering.random": method(_tempering, "random", seed=3, device="cpu"),
        "glassnf.ParallelTempering.start": method(_tempering, "start", ensemble=New(lambda: _rungs().copy())),
        "glassnf.ParallelTempering.equilibrate": method(
            _tempering, "equilibrate", ensemble=rungs, sweeps=40, adapt_ladder=True, progress=nothing, work=WORK, nan=few
        ),
        "glassnf.ParallelTempering.run": method(_tempering, "run", ensemble=rungs, sweeps=8, **record, work=WORK, nan=few),
        "glassnf.ParallelTempering.run:at": method(
            _tempering,
            "run",
            ensemble=rungs,
            sweeps=8,
            record_at=np.array([2, 4, 8]),
            state=New(_state),
            work=WORK,
            nan=few,
        ),
        "glassnf.PTRecord.energy_at": method(_ladder_record, "energy_at", temperature=0.8),
        "glassnf.samplers.forward_backward": call(
            gnf.samplers.forward_backward, hot=New(_ladder_record), cold=New(_ladder_record), nan="checks without a number"
        ),
        "glassnf.PTRecord.place": method(_ladder_record, "place", temperature=0.8),
        "glassnf.PTRecord.positions_at": method(_ladder_record, "positions_at", temperature=0.8),
        "glassnf.PTRecord.mbar": method(_ladder_record, "mbar", discard=2),
        "glassnf.PopulationAnnealing": call(
            gnf.PopulationAnnealing,
            system=SYSTEM,
            start=1.0,
            target=0.8,
            explorer=explorer,
            sweeps_per_step=2,
            culling_fraction=0.1,
            equilibration_sweeps=10,
            adapt_move_size=True,
            block=8,
            record_energy=True,
            flow=identity,
            **common,
            work=(*WORK, "flow_max_steps"),
        ),
        "glassnf.PopulationAnnealing:ladder": call(
            gnf.PopulationAnnealing, system=SYSTEM, temperatures=np.array([1.0, 0.9, 0.8])
        ),
        "glassnf.PopulationAnnealing.run": method(annealing, "run", population=8, seed=1, device="cpu", progress=nothing),
        "glassnf.PopulationAnnealing.begin": method(annealing, "begin", population=8, seed=1, device="cpu"),
        "glassnf.PopulationAnnealing.advance": method(
            annealing, "advance", anneal=New(lambda: annealing().begin(8, 1)), progress=nothing
        ),
        "glassnf.PopulationAnnealing.finish": method(annealing, "finish", anneal=New(_finished)),
    }


def _finished() -> Any:
    outer = annealing()
    anneal = outer.begin(8, 1)
    while not anneal.finished:
        outer.advance(anneal)
    return anneal


def of_certificates() -> dict[str, Call]:
    certificate = gnf.certify.certify(quick=True, only="instruction sets")
    certificate.save(folder() / "certificate.json")
    return {
        "glassnf.certify.load": call(gnf.certify.load, path=str(folder() / "certificate.json")),
        "glassnf.certify.Certificate.save": method(lambda: certificate, "save", path=str(folder() / "e.json")),
    }


def calls() -> dict[str, Call]:
    parts = (of_systems, of_energies, of_ensembles, of_samplers, of_outer, of_certificates)
    return {name: found for part in parts for name, found in part().items()}
