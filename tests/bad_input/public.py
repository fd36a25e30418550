"""Which functions are public: all that the modules below `glassnf` list, and the methods of the classes among them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import glassnf

EXEMPT = {
    "glassnf.cli.app": "the command line, which has tests of its own",
    "glassnf.certify.certify": "takes a minute where all of it runs; see test_certify.py",
    "glassnf.cli.main": "the command line, which has tests of its own",
    "glassnf.MonteCarlo.counters": "for samplers of the package, which pass what they have checked",
    "glassnf.MonteCarlo.native_arguments": "for samplers of the package, which pass what they have checked",
    "glassnf.MonteCarlo.new_counters": "for samplers of the package, which pass what they have checked",
    "glassnf.MonteCarlo.uses_checkerboard": "for samplers of the package, which pass what they have checked",
    "glassnf.samplers.Anneal": "made by PopulationAnnealing.begin and by load, which check",
    "glassnf.samplers.Anneal.enter": "for PopulationAnnealing",
    "glassnf.samplers.Anneal.from_state": "for load and the command line, which pass what a file held; see tests/fuzz",
    "glassnf.samplers.FlowChains": "made by FlowMetropolis.begin and by load, which check",
    "glassnf.samplers.FlowChains.enter": "for FlowMetropolis",
    "glassnf.samplers.FlowChains.from_state": "for load and the command line, which pass what a file held; see tests/fuzz",
    "glassnf.flows.EquivariantField": "a torch module, with the methods of all torch modules; see test_torch_field.py",
    "glassnf.flows.TableField": "a torch module, with the methods of all torch modules; see test_torch_field.py",
    "glassnf.flows.TorchFlow": "takes minutes with torch; see test_torch_field.py",
    "glassnf.flows.field_errors": "takes minutes with torch; see test_torch_field.py",
    "glassnf.flows.polish": "takes minutes with torch; see test_flow_polish.py",
    "glassnf.flows.train": "takes minutes; see test_flow_training.py",
    "glassnf.io.RunFile": "made by create and open, which check",
}

RECORDS = {
    "Certificate",
    "Equilibration",
    "FlowResult",
    "InherentStructures",
    "MCRecord",
    "MDRecord",
    "PAResult",
    "PTEquilibration",
    "PTRecord",
    "AutocorrelationTime",
    "Blocking",
    "Bootstrap",
    "Estimate",
    "RadialDistribution",
    "Reweighting",
    "StructureFactor",
    "TimeCorrelation",
    "WeightSummary",
    "WeightedEnergy",
    "Comparison",
    "Cost",
    "Diagnosis",
    "Event",
    "RunOptions",
    "Trace",
    "Training",
    "Verdict",
    "Frames",
    "FieldErrors",
    "NodeReport",
    "PolishReport",
    "TrainingReport",
    "Transport",
    "FlowCheck",
    "FlowExchanges",
    "FlowMetropolisRecord",
    "FlowStop",
    "Harvest",
    "WeightedAverage",
    "Memory",
    "SystemTensors",
    "AlgorithmSpec",
    "Check",
}
"""Plain records that functions of the package return, or hand to those of a user; nobody checks what a user writes in there."""


def modules() -> list[str]:
    return ["glassnf", *(f"glassnf.{m.name}" for m in pkgutil.iter_modules(glassnf.__path__) if not m.name.startswith("_"))]


def _members(name: str, kind: type) -> Iterator[tuple[str, Any]]:
    for member, value in inspect.getmembers(kind):
        if member.startswith("_") or not (inspect.isfunction(value) or inspect.ismethod(value)):
            continue
        if value.__module__.startswith("glassnf"):
            yield f"{name}.{member}", value


def public() -> dict[str, Any]:
    """Return all public functions, classes and methods by the name under which they are listed first."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for module_name in modules():
        module = importlib.import_module(module_name)
        for listed in getattr(module, "__all__", ()):
            value, name = getattr(module, listed), f"{module_name}.{listed}"
            if inspect.ismodule(value) or not callable(value) or id(value) in seen:
                continue
            seen.add(id(value))
            if not inspect.isclass(value):
                found[name] = value
            elif not issubclass(value, BaseException) and not getattr(value, "_is_protocol", False):
                found[name] = value
                found.update(_members(name, value))
    return found


def takes_arguments(value: Any) -> bool:
    parameters = [name for name in inspect.signature(value).parameters if name != "self"]
    return bool(parameters)


def needed() -> list[str]:
    """Return the names for which there must be a call."""
    names = []
    for name, value in public().items():
        kind = name.split(".")[-1]
        skipped = (
            name in EXEMPT
            or kind in RECORDS
            or any(name.startswith(f"{exempt}.") for exempt in EXEMPT if "Field" in exempt or "TorchFlow" in exempt)
        )
        if not skipped and takes_arguments(value):
            names.append(name)
    return names
