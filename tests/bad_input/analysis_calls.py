"""Valid calls of everything that analyses, compares, draws or stores."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

import glassnf as gnf
from comparison_data import comparison_data
from fuzz import seeds
from glassnf import compare, cuda, data, io, observables, plots

from .call import Call, New, call, method
from .sampling_calls import FRESH, SYSTEM, ensemble, folder, nothing

RNG = np.random.default_rng(11)
SERIES = RNG.normal(size=(40, 2))
TENSORS = RNG.normal(size=(20, 2, 2, 2))
BOX = np.array(SYSTEM.box)
POSITIONS = RNG.uniform(0.0, 3.0, (6, 2, 12, 2))
SPECIES = np.array([0] * 8 + [1] * 4)
TIMES = np.arange(6)
FLAT = "a constant series has no correlation time, which is NaN"
UNKNOWN = "a check that decides nothing may have no number"
FAR = "beyond the largest distance or time there is nothing to average, which is NaN"


def of_statistics() -> dict[str, Call]:
    o, prefix = observables, "glassnf.observables."
    plain = ("autocorrelation_time", "autocorrelation_time_per_replica", "effective_sample_size")
    calls = {name: call(getattr(o, name), series=SERIES, c=5.0, nan=FLAT) for name in plain}
    weights = {"log_weights": SERIES[:, 0]}
    groups = np.arange(40) // 4
    few = "few samples leave the error or the tail unknown"
    calls |= {
        "autocorrelation": call(o.autocorrelation, series=SERIES, max_lag=10, nan=FLAT),
        "blocking": call(o.blocking, series=SERIES, nan=FLAT),
        "equilibration_start": call(o.equilibration_start, series=SERIES, candidates=10, c=5.0, nan=FLAT),
        "estimate_mean": call(o.estimate_mean, series=SERIES, method="auto", nan=FLAT),
        "estimate_mean_per_replica": call(o.estimate_mean_per_replica, series=SERIES, method="gamma", nan=FLAT),
        "mean_energy": call(o.mean_energy, energy=SERIES, n=12, method="auto", nan=FLAT),
        "mean_energy_per_replica": call(o.mean_energy_per_replica, energy=SERIES, n=12, method="gamma", nan=FLAT),
        "specific_heat": call(
            o.specific_heat, energy=SERIES, temperature=0.5, n=12, dimension=2, kind="configurational", nan=FLAT
        ),
        "specific_heat_per_replica": call(
            o.specific_heat_per_replica,
            energy=SERIES,
            temperature=np.array([0.5, 0.6]),
            n=12,
            dimension=2,
            kind="configurational",
            nan=FLAT,
        ),
        "split_rhat": call(o.split_rhat, series=SERIES, rank_normalised=False, nan=FLAT),
        "bootstrap": call(
            o.bootstrap, samples=SERIES, statistic=np.mean, seed=1, resamples=20, block_size=2, confidence=0.9, nan=FLAT
        ),
        "jackknife": call(o.jackknife, samples=SERIES, statistic=np.mean, block_size=2, nan=FLAT),
        "reweight": call(o.reweight, energy=SERIES, beta=2.0, new_beta=2.1, observable=SERIES, nan=FLAT),
        "pressure_from_virial": call(o.pressure_from_virial, virial=TENSORS, n=12, box=BOX, temperature=np.array([0.5, 0.6])),
        "crossing_time": call(o.crossing_time, time=TIMES.astype(float), value=np.linspace(1.0, 0.0, 6), level=0.4, nan=FAR),
        "format_uncertainty": call(o.format_uncertainty, value=1.25, error=0.1, digits=2),
        "bennett_log_z": call(
            o.bennett_log_z,
            log_weights=SERIES[:, 0],
            target_log_weights=SERIES[:, 1],
            groups=groups,
            target_groups=groups,
            nan=few,
        ),
        "forward_ess": call(o.forward_ess, **weights, nan=few),
        "log_mean_exp": call(o.log_mean_exp, values=SERIES[:, 0], nan=few),
        "log_z_of_weights": call(o.log_z_of_weights, **weights, groups=groups, nan=few),
        "pareto_k": call(o.pareto_k, **weights, nan=few),
        "pareto_k_limit": call(o.pareto_k_limit, samples=40),
        "judge_chains": call(
            o.judge_chains, series=SERIES, from_cold=np.arange(SERIES.shape[1]) > 0, regular=True, nan=UNKNOWN
        ),
        "forward_backward": call(o.forward_backward, hot=SERIES, cold=SERIES, nan=UNKNOWN),
        "judge_weights": call(o.judge_weights, **weights, nan=UNKNOWN),
        "Verdict.of": call(o.Verdict.of, checks=[o.Check("a", 1.0, 2.0, True, "a")]),
        "weight_summary": call(o.weight_summary, **weights, nan=few),
        "weighted_energy": call(o.weighted_energy, energy=SERIES[:, 1], **weights, beta=2.0, n=12, groups=groups, nan=few),
        "weighted_mean": call(o.weighted_mean, values=SERIES[:, 1], **weights, groups=groups, nan=few),
        "random_overlap": call(o.random_overlap, n=12, box=BOX, a=0.3),
        "Estimate.scaled": call(_estimate().scaled, factor=2.0, shift=1.0),
        "Estimate.deviation": call(_estimate().deviation, other=0.5, nan="overflow is an infinite deviation"),
    }
    return {prefix + name: found for name, found in calls.items()}


def _estimate() -> observables.Estimate:
    return observables.estimate_mean(SERIES)


def of_structure() -> dict[str, Call]:
    o, prefix = observables, "glassnf.observables."
    moving = {"positions": POSITIONS, "times": TIMES}
    of = {"species": SPECIES, "of": 0, "origins": 2}
    correlation = o.self_overlap(POSITIONS, TIMES, a=0.3)
    still = {"positions": POSITIONS[0, 0], "box": BOX}
    calls = {
        "bond_order": call(o.bond_order, **still, k=6, neighbours="cutoff", cutoff=1.5, weighted=False),
        "steinhardt": call(
            o.steinhardt,
            positions=RNG.uniform(0, 4, (30, 3)),
            box=np.full(3, 4.0),
            degree=6,
            average=True,
            neighbours="nearest",
            number=12,
            weighted=False,
        ),
        "radial_distribution": call(
            o.radial_distribution, positions=POSITIONS, box=BOX, species=SPECIES, bins=20, r_max=1.5, nan=FAR
        ),
        "structure_factor": call(
            o.structure_factor, positions=POSITIONS, box=BOX, species=SPECIES, k_max=6.0, k_min=1.0, bins=5, nan=FAR
        ),
        "structure_factor_at": call(o.structure_factor_at, **still, vectors=2.0 * np.pi * np.eye(2) / BOX),
        "wave_vectors": call(o.wave_vectors, box=BOX, k=6.0, width=0.5, max_vectors=8),
        "self_overlap": call(o.self_overlap, **moving, a=0.3, **of, subtract_drift=True, nan=FAR),
        "collective_overlap": call(o.collective_overlap, **moving, box=BOX, a=0.3, origins=2, nan=FAR),
        "mean_square_displacement": call(o.mean_square_displacement, **moving, **of, subtract_drift=False, nan=FAR),
        "self_intermediate_scattering": call(
            o.self_intermediate_scattering,
            **moving,
            box=BOX,
            k=6.0,
            width=0.5,
            max_vectors=8,
            **of,
            subtract_drift=False,
            nan=FAR,
        ),
        "relaxation_time": call(o.relaxation_time, correlation=correlation, level=0.4, nan=FAR),
    }
    return {prefix + name: found for name, found in calls.items()}


def _file(name: str, content: bytes) -> str:
    path = folder() / name
    path.write_bytes(content)
    return str(path)


@functools.cache
def _run_file() -> io.RunFile:
    return io.RunFile.create(folder() / "run.h5", ensemble(), {"a": 1}, overwrite=True)


def of_files() -> dict[str, Call]:
    source = {"types": ("A", "B"), "steps": np.arange(4)}
    frames = io.read_gsd(_file("a.gsd", seeds.gsd()["d2"]))
    return {
        "glassnf.io.Frames.to_ensemble": call(frames.to_ensemble, system=SYSTEM, temperature=np.full(2, 0.5), seed=0, step=0),
        "glassnf.io.RunFile.create": call(
            io.RunFile.create, path=str(folder() / "new.h5"), ensemble=FRESH, parameters={"a": 1}, overwrite=True
        ),
        "glassnf.io.RunFile.recover": call(io.RunFile.recover, path=_file("r.h5", seeds.hdf5()["run"])),
        "glassnf.io.RunFile.open": call(io.RunFile.open, path=_file("r.h5", seeds.hdf5()["run"])),
        "glassnf.io.RunFile.append": method(_fresh_run, "append", records={"sweep": np.arange(3)}, counters={"accepts": 3}),
        "glassnf.io.RunFile.checkpoint": call(_run_file().checkpoint, ensemble=FRESH, state={"a": np.arange(3)}),
        "glassnf.io.atomic_write": call(_write_text, path=str(folder() / "text")),
        "glassnf.io.differences": call(io.differences, parameters_a={"a": 1}, parameters_b={"a": 2}),
        "glassnf.io.load_ensemble": call(io.load_ensemble, path=_file("e.h5", seeds.hdf5()["ensemble"])),
        "glassnf.io.save_ensemble": call(io.save_ensemble, path=str(folder() / "f.h5"), ensemble=FRESH),
        "glassnf.io.read": call(io.read, path=_file("b.gsd", seeds.gsd()["d2"]), system=SYSTEM, temperature=0.5, seed=1),
        "glassnf.io.write": call(io.write, path=str(folder() / "b.xyz"), ensemble=FRESH),
        "glassnf.io.read_extxyz": call(io.read_extxyz, path=_file("a.xyz", seeds.extxyz()["d2"]), dimension=2),
        "glassnf.io.read_gsd": call(io.read_gsd, path=_file("a.gsd", seeds.gsd()["d2"]), dimension=2),
        "glassnf.io.read_lammps_dump": call(io.read_lammps_dump, path=_file("a.dump", seeds.lammps()["d2"]), dimension=2),
        "glassnf.io.read_records": call(io.read_records, path=_file("r.h5", seeds.hdf5()["run"])),
        "glassnf.io.write_extxyz": call(io.write_extxyz, path=str(folder() / "c.xyz"), source=FRESH, **source),
        "glassnf.io.write_gsd": call(io.write_gsd, path=str(folder() / "c.gsd"), source=FRESH, **source),
        "glassnf.io.write_lammps_dump": call(
            io.write_lammps_dump, path=str(folder() / "c.dump"), source=FRESH, steps=np.arange(4)
        ),
        "glassnf.data.shipped_file": call(data.shipped_file, name="flow_ka2d_43.safetensors"),
    }


def _fresh_run() -> io.RunFile:
    run = _run_file()
    run._chunks.clear()
    run.counters.clear()
    return run


def _write_text(path: Any) -> None:
    with io.atomic_write(path) as temporary:
        temporary.write_text("text", encoding="utf-8")


@functools.cache
def _data() -> dict[str, Any]:
    import json

    from glassnf.compare.jsonable import dumps

    return dict(json.loads(dumps(comparison_data((0.4,), ("md", "swap")))))


def of_plots() -> dict[str, Call]:
    from matplotlib.figure import Figure

    axes = New(lambda: Figure().subplots())
    entry = _data()["temperatures"][0]
    common = {"observable": "mean_energy", "cost": "wall_time"}
    return {
        "glassnf.plots.comparison": call(plots.comparison, data=_data(), cost="wall_time"),
        "glassnf.plots.diagnostic_panels": call(plots.diagnostic_panels, algorithm=entry["algorithms"][1]),
        "glassnf.plots.diagnostics": call(plots.diagnostics, data=_data()),
        "glassnf.plots.energy_relaxation": call(plots.energy_relaxation, axes=axes, entry=entry),
        "glassnf.plots.equilibrium": call(plots.equilibrium, data=_data()),
        "glassnf.plots.error_against_cost": call(plots.error_against_cost, axes=axes, entry=entry, **common),
        "glassnf.plots.figures": call(plots.figures, data=_data()),
        "glassnf.plots.inline_svg": call(plots.inline_svg, figure=New(Figure), ident="a", title="b"),
        "glassnf.plots.observable_against_temperature": call(
            plots.observable_against_temperature, axes=axes, data=_data(), observable="mean_energy"
        ),
        "glassnf.plots.save": call(plots.save, figure=New(Figure), path=str(folder() / "a.png")),
        "glassnf.plots.speed_up": call(plots.speed_up, data=_data(), cost="wall_time"),
        "glassnf.plots.speed_up_against_temperature": call(
            plots.speed_up_against_temperature, axes=axes, data=_data(), **common, at_end_of_baseline=True
        ),
    }


def of_comparisons() -> dict[str, Call]:
    source = ensemble()
    where = {"positions": source.positions, "species": source.species}
    problem = lambda: compare.Problem(SYSTEM, 0.5, **where, start_temperature=1.0, seed=1, threads=1)  # noqa: E731
    settings = compare.Settings(SYSTEM, (0.5,), algorithms=("mc",))
    return {
        "glassnf.compare.Settings": call(
            compare.Settings,
            system=SYSTEM,
            temperatures=(0.5,),
            algorithms=("mc",),
            runs=8,
            seed=1,
            threads=1,
            device="cpu",
            seconds=10.0,
            sweeps=2000,
            reference_sweeps=4000,
            reference_replicas=8,
            reference=None,
            cache=False,
            start_temperature=1.0,
            start_sweeps=400,
            target_energy_error=0.02,
            target_heat_error=0.2,
            flow=None,
            tuning=0.0,
            stop_when_failed=False,
            profile=None,
        ),
        "glassnf.compare.Settings.least_budget": call(settings.least_budget, name="mc", names={"name": "algorithm"}),
        "glassnf.compare.Settings.obstacle": call(settings.obstacle, names={"name": "algorithm"}, name="mc", temperature=0.5),
        "glassnf.compare.compare": call(
            compare.compare, settings=settings, listener=nothing, loose=("listener", "folder", "resume")
        ),
        "glassnf.compare.Problem": call(
            compare.Problem,
            system=SYSTEM,
            temperature=0.5,
            **where,
            start_temperature=1.0,
            seed=1,
            threads=1,
            device="cpu",
            adaptation=10,
            listener=nothing,
        ),
        "glassnf.compare.Problem.of": call(compare.Problem.of, ensemble=source, temperature=0.5),
        "glassnf.compare.Problem.charge": method(problem, "charge", configurations=2, pair_evaluations=4.0),
        "glassnf.compare.Problem.energy": method(problem, "energy", **where),
        "glassnf.compare.Problem.energy_and_forces": method(problem, "energy_and_forces", **where),
        "glassnf.compare.Samples": call(
            compare.Samples,
            positions=source.positions,
            species=source.species,
            log_weights=np.zeros(4),
            loose=("positions", "species", "log_weights"),
            exact=False,  # it keeps what it was given; the comparison reads it
        ),
        "glassnf.compare.find_sampler": call(compare.find_sampler, where="own_samplers:Draws", names={"where": "sampler"}),
        "glassnf.compare.load_samplers": call(compare.load_samplers, where=("own_samplers:Draws",), names={"where": "sampler"}),
        "glassnf.compare.spec_of": call(compare.spec_of, kind=_Sampler, name="mine", names={"kind": "sampler"}),
        "glassnf.compare.get_algorithm": call(compare.get_algorithm, name="mc", names={"name": "algorithm"}),
        "glassnf.compare.register_algorithm": call(compare.register_algorithm, spec=compare.get_algorithm("mc")),
        "glassnf.compare.comparison_to_csv": call(compare.comparison_to_csv, data=_data()),
        "glassnf.compare.comparison_to_dict": call(compare.comparison_to_dict, comparison=None, command=None),
        "glassnf.compare.write_files": call(compare.write_files, data=_data(), folder=_results()),
    }


class _Sampler:
    """A sampler of a user's own, which does nothing."""

    def __init__(self, problem: Any) -> None:
        self.problem = problem

    def run(self, budget: int) -> Any:
        return None


def _results() -> Path:
    made = folder() / "results"
    made.mkdir(exist_ok=True)
    return made


def of_devices() -> dict[str, Call]:
    return {
        "glassnf.cuda.device_name": call(cuda.device_name, device="cuda"),
        "glassnf.cuda.memory": call(cuda.memory, device="cuda"),
        "glassnf.cuda.require": call(cuda.require, name="device", loose=("name",)),
    }


def calls() -> dict[str, Call]:
    parts = (of_statistics, of_structure, of_files, of_plots, of_comparisons, of_devices)
    return {name: found for part in parts for name, found in part().items()}


__all__ = ["calls", "gnf"]
