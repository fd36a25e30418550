"""Comparison of sampling algorithms: the cost of knowing an equilibrium average to a given accuracy.

K independent runs of each algorithm start from a high temperature. After each of a series of budgets, the root-mean-square
error of <U>/N and of C_v over the runs, against a reference, is a curve of error against cost; the ratio of the costs of two
algorithms at equal error is the speed-up of one over the other. Names are imported when they are first used.

>>> from glassnf import systems
>>> from glassnf.compare import Settings, compare
>>> settings = Settings(systems.ka2d(n=43), temperatures=(0.5,), sweeps=2000, reference_sweeps=4000, seconds=None)
>>> comparison = compare(settings)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .algorithms import (
        Algorithm,
        AlgorithmSpec,
        Cost,
        DiagnosedAlgorithm,
        Diagnosis,
        Estimate,
        RunOptions,
        Trace,
        TrainedAlgorithm,
        Training,
        algorithm_names,
        get_algorithm,
        register_algorithm,
    )
    from .plugin import find_sampler, load_samplers, spec_of
    from .problem import PluginError, Problem, Sampler, Samples
    from .report import comparison_to_csv, comparison_to_dict, write_files
    from .results import Comparison
    from .runner import Event, compare
    from .settings import Settings
    from .verdict import Verdict

__all__ = [
    "Algorithm",
    "AlgorithmSpec",
    "Comparison",
    "Cost",
    "DiagnosedAlgorithm",
    "Diagnosis",
    "Estimate",
    "Event",
    "PluginError",
    "Problem",
    "RunOptions",
    "Sampler",
    "Samples",
    "Settings",
    "Trace",
    "TrainedAlgorithm",
    "Training",
    "Verdict",
    "algorithm_names",
    "compare",
    "comparison_to_csv",
    "comparison_to_dict",
    "find_sampler",
    "get_algorithm",
    "load_samplers",
    "register_algorithm",
    "spec_of",
    "write_files",
]

_HOMES: Final = {
    "algorithms": (
        "Algorithm",
        "AlgorithmSpec",
        "Cost",
        "DiagnosedAlgorithm",
        "Diagnosis",
        "Estimate",
        "RunOptions",
        "Trace",
        "TrainedAlgorithm",
        "Training",
        "algorithm_names",
        "get_algorithm",
        "register_algorithm",
    ),
    "plugin": ("find_sampler", "load_samplers", "spec_of"),
    "problem": ("PluginError", "Problem", "Sampler", "Samples"),
    "report": ("comparison_to_csv", "comparison_to_dict", "write_files"),
    "results": ("Comparison",),
    "runner": ("Event", "compare"),
    "settings": ("Settings",),
    "verdict": ("Verdict",),
}
_MODULES: Final = {name: module for module, names in _HOMES.items() for name in names}

__getattr__, __dir__ = lazy_names(__name__, _MODULES, __all__)
