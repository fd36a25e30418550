"""Small valid files of every format, written by the package itself: where the fuzzers start."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import glassnf as gnf
from glassnf.io import RunFile, write_extxyz, write_gsd, write_lammps_dump
from glassnf.systems import PairPotential, System, custom


def little_system(dimension: int = 2) -> System:
    potential = PairPotential("inverse_power", sigma=[[1.0, 0.8], [0.8, 0.9]], epsilon=1.0)
    return custom("mixture", potential=potential, composition=(3, 2), box=[3.5, 4.0, 4.5][:dimension])


def little_ensemble(replicas: int = 2, dimension: int = 2, velocities: bool = True) -> gnf.Ensemble:
    rng = np.random.default_rng(5)
    system = little_system(dimension)
    shape = (replicas, system.n, dimension)
    return gnf.Ensemble.from_arrays(
        system,
        rng.uniform(-5.0, 5.0, shape),
        velocities=rng.normal(size=shape) if velocities else None,
        temperature=np.linspace(0.5, 1.0, replicas),
        seed=7,
        step=11,
    )


def _write(name: str, writer: Any, *arguments: Any, **options: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        writer(path, *arguments, **options)
        return path.read_bytes()


def _run(path: Path) -> None:
    ensemble = little_ensemble()
    run = RunFile.create(path, ensemble, {"program": "glassnf sample", "algorithm": "swap", "temperature": 0.5})
    run.append({"sweep": np.arange(3), "energy": np.zeros((3, 2))}, {"accepts": 3})
    run.checkpoint(ensemble, {"history": [1.0, 2.0], "ladder": np.array([0.5, 1.0])})


def hdf5() -> dict[str, bytes]:
    return {"ensemble": _write("a.h5", lambda path: little_ensemble().save(path)), "run": _write("a.h5", _run)}


def gsd() -> dict[str, bytes]:
    return {f"d{d}": _write("a.gsd", write_gsd, little_ensemble(dimension=d)) for d in (2, 3)}


def extxyz() -> dict[str, bytes]:
    atooms = (
        b"2\ncolumns:species,position,velocity step:3 cell:4.0,5.0,6.0 T:0.5\nA 1.0 2.0 3.0 0 0 0\nB 0.5 0.5 0.5 0 0 0\n"
        b"2\ncolumns:species,position,velocity step:4 cell:4.0,5.0,6.0 T:0.5\nA 1.5 2.0 3.0 0 0 0\nB 0.5 0.7 0.5 0 0 0\n"
    )
    ours = {f"d{d}": _write("a.xyz", write_extxyz, little_ensemble(dimension=d)) for d in (2, 3)}
    return {**ours, "atooms": atooms}


def lammps() -> dict[str, bytes]:
    scaled = (
        b"ITEM: UNITS\nlj\nITEM: TIMESTEP\n7\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n-1 3\n-1 4\n-1 5\n"
        b"ITEM: ATOMS id type xs ys zs\n2 1 0.5 0.5 0.25\n1 2 0.1 0.2 0.3\n"
    )
    tilted = scaled.replace(b"BOX BOUNDS pp", b"BOX BOUNDS xy xz yz pp").replace(b"-1 3", b"-1 3 0").replace(b"-1 4", b"-1 4 0")
    ours = {f"d{d}": _write("a.dump", write_lammps_dump, little_ensemble(dimension=d)) for d in (2, 3)}
    return {**ours, "scaled": scaled, "tilted": tilted.replace(b"-1 5", b"-1 5 0")}


def system_toml() -> dict[str, bytes]:
    return {name: _write("a.toml", lambda path, s=system: s.to_toml(path)) for name, system in _systems().items()}


def system_json() -> dict[str, bytes]:
    return {name: _write("a.json", lambda path, s=system: s.to_json(path)) for name, system in _systems().items()}


def _systems() -> dict[str, System]:
    return {"ka2d": gnf.systems.ka2d(), "little": little_system(3)}


def config() -> dict[str, bytes]:
    sample = b'system = "ka2d"\nparticles = 43\ntemperature = 0.5\nalgorithm = "swap"\nreplicas = 4\nsweeps = 100\nseed = 3\n'
    ladder = b'temperature = 0.5\nalgorithm = "pt"\ntemperatures = [0.5, 0.7, 1.0]\nladders = 2\nfixed_ladder = true\n'
    return {"sample": sample, "ladder": ladder, "range": b'T = 0.3\ntemperatures = "0.3:1:10"\nexplorer = "md"\n'}


def comparison() -> dict[str, bytes]:
    """The compare.json of a comparison that other tests use, without running one."""
    from comparison_data import comparison_data  # type: ignore[import-not-found]

    return {"small": json.dumps(comparison_data()).encode()}


def little_flow(layers: int) -> Any:
    from glassnf.flows.message_field import MessageField
    from glassnf.flows.radial_flow import RadialFlow
    from glassnf.flows.splines import RadialBasis, TemperatureBasis

    rng, pair_basis, message_basis = np.random.default_rng(3), RadialBasis(0.5, 1.7, 6), RadialBasis(0.5, 1.7, 5)
    pair = rng.normal(size=(layers + 1, 2, 3, pair_basis.size))
    message = rng.normal(size=(layers, 2, 2, 3, message_basis.size))
    field = MessageField(2, pair_basis, message_basis, TemperatureBasis(1.0, 2.0, 2), pair, message)
    return RadialFlow(little_system(), field, 1.0, 0.5, 4)


def flow() -> dict[str, bytes]:
    """Flows for the little system, with and without a layer of messages; and the description of a training with one."""
    shipped = gnf.flows.shipped(gnf.systems.ka2d())
    plain = {f"layers{layers}": _write("a.safetensors", little_flow(layers).save) for layers in (0, 1)}
    little = little_flow(0)
    little.report = shipped.report
    return {**plain, "report": _write("a.safetensors", little.save)}


TRAINING_SETTINGS: dict[str, Any] = {"hot": 1.0, "cold": 0.5, "samples": 4}


def training() -> dict[str, bytes]:
    """The checkpoint of a training after two temperatures and a layer."""
    from glassnf.flows._checkpoint import TrainingCheckpoint
    from glassnf.flows.regression import NodeSamples

    def write(path: Path) -> None:
        kept = TrainingCheckpoint(path, TRAINING_SETTINGS, resume=False)
        ensemble = little_ensemble()
        for beta in (1.0, 2.0):
            kept.add_node(NodeSamples(beta, ensemble.positions, ensemble.species, np.arange(2)), 0.5, 100)
        kept.add_layer(np.ones((1, 2, 3, 3)), np.ones((0, 2, 2, 3, 2)))

    return {"layer": _write("a.training", write)}


def parts() -> dict[str, bytes]:
    """A piece of an interrupted comparison: the result of one algorithm."""
    from comparison_data import comparison_data

    entry = comparison_data()["temperatures"][0]
    return {"entry": json.dumps(entry).encode()}
