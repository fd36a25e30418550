"""Valid calls of flows, of the samplers along them, and of what runs keep."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import glassnf as gnf
from fuzz.seeds import little_ensemble, little_flow
from glassnf import flows, samplers, systems

from .call import Call, New, call, method
from .sampling_calls import SYSTEM, WORK, annealing, folder, nothing


def _metropolis() -> Any:
    base = gnf.MonteCarlo(SYSTEM, threads=1)
    return gnf.FlowMetropolis(SYSTEM, flows.IdentityFlow(SYSTEM, hot=2.0, cold=0.5), base, 1.0, 0.9, base_sweeps=2, sweeps=2)


def _chains() -> Any:
    return _metropolis().begin(4, 1, equilibration_sweeps=20)


def _sampler() -> Any:
    base = gnf.MonteCarlo(SYSTEM, threads=1)
    identity = flows.IdentityFlow(SYSTEM, hot=2.0, cold=0.5)
    return gnf.FlowSampler(SYSTEM, identity, base, 1.0, 0.9, replicas=8, spacing=2, equilibration_sweeps=20, check_samples=8)


@functools.cache
def _base() -> gnf.Ensemble:
    return gnf.Ensemble.random(SYSTEM, 24, 1.0, seed=3)


@functools.cache
def _cold() -> gnf.Ensemble:
    return gnf.Ensemble.random(SYSTEM, 24, 0.9, seed=3)


@functools.cache
def _flow_result() -> Any:
    return _sampler().run_from(_base())


def of_flow_samplers() -> dict[str, Call]:
    base, identity = gnf.MonteCarlo(SYSTEM, threads=1), flows.IdentityFlow(SYSTEM, hot=2.0, cold=0.5)
    few = "with few samples an error or a tail is unknown"
    common = {
        "system": SYSTEM,
        "flow": identity,
        "base": base,
        "hot": 1.0,
        "cold": 0.9,
        "explorer": base,
        "steps": 4,
        "tolerance": 0.01,
        "max_steps": 64,
    }
    groups = np.arange(24) // 3
    return {
        "glassnf.FlowMetropolis": call(
            gnf.FlowMetropolis, **common, base_sweeps=2, sweeps=2, device="cpu", threads=1, work=WORK
        ),
        "glassnf.FlowMetropolis.begin": method(
            _metropolis, "begin", names={"chains": "replicas"}, chains=4, seed=1, equilibration_sweeps=20, work=WORK
        ),
        "glassnf.FlowMetropolis.begin_from": method(
            _metropolis, "begin_from", cold=New(lambda: _cold().copy()), hot=New(lambda: _base().copy())
        ),
        "glassnf.FlowMetropolis.run": method(
            _metropolis,
            "run",
            chains=New(_chains),
            proposals=4,
            record_every=2,
            record_positions=True,
            progress=nothing,
            work=WORK,
            nan=few,
        ),
        "glassnf.FlowSampler": call(
            gnf.FlowSampler,
            **common,
            sweeps_per_stop=0,
            replicas=8,
            spacing=2,
            equilibration_sweeps=20,
            check_samples=8,
            threads=1,
            work=WORK,
        ),
        "glassnf.FlowSampler:stops": call(
            gnf.FlowSampler,
            system=SYSTEM,
            flow=identity,
            base=base,
            temperatures=np.array([1.0, 0.95, 0.9]),
            sweeps_per_stop=2,
            work=WORK,
        ),
        "glassnf.FlowSampler.run": method(
            _sampler,
            "run",
            samples=16,
            seed=1,
            device="cpu",
            reference=New(lambda: _cold().copy()),
            reference_groups=groups,
            progress=nothing,
            nan=few,
        ),
        "glassnf.FlowSampler.run_from": method(
            _sampler,
            "run_from",
            base=New(lambda: _base().copy()),
            groups=groups,
            seed=1,
            device="cpu",
            reference=New(lambda: _cold().copy()),
            reference_groups=groups,
            progress=nothing,
            nan=few,
        ),
        "glassnf.FlowSampler.check_against": method(
            _sampler,
            "check_against",
            names={"cold": "reference", "groups": "reference_groups"},
            result=New(_flow_result),
            cold=New(lambda: _cold().copy()),
            groups=groups,
            nan=few,
        ),
        "glassnf.FlowResult.resampled": method(_flow_result, "resampled", seed=1),
        "glassnf.FlowResult.average": method(_flow_result, "average", values=np.arange(24.0)),
    }


def of_flows() -> dict[str, Call]:
    flow = little_flow(1)
    field = flow.field
    source = little_ensemble()
    where = {"positions": source.positions, "species": source.species}
    tables = field.tables([1.0, 1.5])
    return {
        "glassnf.flows.IdentityFlow": call(flows.IdentityFlow, system=SYSTEM, hot=2.0, cold=0.5),
        "glassnf.flows.IdentityFlow.transport": call(
            flows.IdentityFlow(SYSTEM, 2.0, 0.5).transport, **where, beta_from=1.0, beta_to=1.5, steps=2, threads=1
        ),
        "glassnf.flows.RadialFlow": call(flows.RadialFlow, system=SYSTEM, field=field, hot=1.0, cold=0.5, steps=4, report=None),
        "glassnf.flows.RadialFlow.transport": call(
            flow.transport, **where, beta_from=1.0, beta_to=1.5, steps=2, threads=1, work=("steps",)
        ),
        "glassnf.flows.RadialFlow.velocity_and_divergence": call(flow.velocity_and_divergence, **where, beta=1.5, threads=1),
        "glassnf.flows.RadialFlow.for_system": call(flow.for_system, system=SYSTEM),
        "glassnf.flows.RadialFlow.save": call(flow.save, path=str(folder() / "a.safetensors")),
        "glassnf.flows.save": call(flows.save, path=str(folder() / "b.safetensors"), flow=flow),
        "glassnf.flows.load": call(flows.load, path=_flow_file(), system=SYSTEM),
        "glassnf.flows.shipped": call(flows.shipped, system=systems.ka2d()),
        "glassnf.flows.RadialBasis": call(flows.RadialBasis, inner=0.5, outer=1.7, intervals=6),
        "glassnf.flows.RadialBasis.table": call(field.pair_basis.table, coefficients=np.ones((2, 3))),
        "glassnf.flows.RadialBasis.check_box": call(field.pair_basis.check_box, name="field", system=SYSTEM, loose=("name",)),
        "glassnf.flows.TemperatureBasis": call(flows.TemperatureBasis, beta_hot=1.0, beta_cold=2.0, size=2),
        "glassnf.flows.MessageField": call(
            flows.MessageField,
            n_species=2,
            pair_basis=field.pair_basis,
            message_basis=field.message_basis,
            temperature_basis=field.temperature_basis,
            pair=field.pair,
            message=field.message,
        ),
        "glassnf.flows.MessageField.at": call(field.at, beta=1.5),
        "glassnf.flows.MessageField.tables": call(field.tables, betas=np.array([1.0, 1.5])),
        "glassnf.flows.TrainingReport.from_dict": call(
            flows.TrainingReport.from_dict, data=_report(), names={"data": "report"}
        ),
        "glassnf.flows.RadialTables": call(
            flows.RadialTables,
            inner=0.5,
            outer=1.7,
            pair=tables.pair,
            message_inner=0.5,
            message_outer=1.7,
            messages=tables.messages,
        ),
        "glassnf.flows.RadialTables.stage": call(tables.stage, index=1),
    }


@functools.cache
def _report() -> dict[str, Any]:
    shipped = flows.shipped(systems.ka2d())
    assert shipped is not None
    assert shipped.report is not None
    return shipped.report.to_dict()


@functools.cache
def _flow_file() -> str:
    path = folder() / "flow.safetensors"
    little_flow(1).save(path)
    return str(path)


def of_states() -> dict[str, Call]:
    chains, anneal = _chains(), annealing().begin(8, 1)
    chains.save(folder() / "chains.h5")
    anneal.save(folder() / "anneal.h5")
    return {
        "glassnf.samplers.FlowChains.load": call(samplers.FlowChains.load, path=str(folder() / "chains.h5")),
        "glassnf.samplers.FlowChains.save": method(_chains, "save", path=str(folder() / "c.h5")),
        "glassnf.samplers.Anneal.load": call(samplers.Anneal.load, path=str(folder() / "anneal.h5"), device="cpu"),
        "glassnf.samplers.Anneal.save": method(lambda: annealing().begin(8, 1), "save", path=str(folder() / "d.h5")),
    }


def calls() -> dict[str, Call]:
    parts = (of_flow_samplers, of_flows, of_states)
    return {name: found for part in parts for name, found in part().items()}
