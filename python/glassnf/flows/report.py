"""What training a flow has found out about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from .. import _check

__all__ = ["NodeReport", "TrainingReport"]


@dataclass(frozen=True)
class NodeReport:
    """The fit at one temperature; figures are of samples held out of the fit.

    Attributes
    ----------
    temperature : float, epsilon
    samples, held_out : int
        Configurations of the fit, and those held out.
    energy_spread : float, epsilon
        Standard deviation of the potential energy U.
    explained_train, explained : float
        Fraction of the variance of U that the field explains: 1 - var(U - div v - beta v.F) / var(U), of the fit and held out.
    residual_spread : float, epsilon
        Standard deviation of what is left: log weights gain it per unit of beta.
    largest_z : float
        Largest |mean| of a feature in units of its standard error. The exact means are zero, so that a large number is a wrong
        divergence or samples that are not in equilibrium.
    basin_spread : float or None, epsilon
        Standard deviation of the inherent-structure energies.
    ceiling : float or None
        1 - basin_spread^2 / energy_spread^2: what a field that keeps every configuration in its basin can explain at most.
    """

    temperature: float
    samples: int
    held_out: int
    energy_spread: float
    explained_train: float
    explained: float
    residual_spread: float
    largest_z: float
    basin_spread: float | None
    ceiling: float | None


@dataclass(frozen=True)
class TrainingReport:
    """How a flow was trained, and how well.

    Attributes
    ----------
    nodes : tuple of NodeReport
        From the hottest to the coldest.
    expected_ess : float
        exp(-s^2), where s is the integral of the residual spread over beta: the effective sample size from `hot` to `cold` if
        log weights are normal and each configuration keeps its residual on the way.
    ceiling_ess : float or None
        The same for the spread of inherent-structure energies: that of an ideal flow that stays in its basin.
    plain_ess, measured_ess : float or None
        Of held-out configurations reweighted from `hot` to `cold` without the flow and with it, as a fraction.
    measured_samples : int
        How many configurations that was; a small number flatters.
    integration_error : float or None
        Largest change of a log weight among them when the number of steps is doubled.
    sample_seconds, fit_seconds : float
        Wall time of making the samples, and of the rest.
    pair_evaluations : int
        Spent on the samples.
    provenance : dict
        Sampler, seed, numbers of samples and everything else that decides on the result.
    """

    nodes: tuple[NodeReport, ...]
    expected_ess: float
    ceiling_ess: float | None
    plain_ess: float | None
    measured_ess: float | None
    measured_samples: int
    integration_error: float | None
    sample_seconds: float
    fit_seconds: float
    pair_evaluations: int
    provenance: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as numbers, strings, lists and dictionaries."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainingReport:
        """Return the report that `to_dict` gave."""
        values = _check.keys("report", data, [field.name for field in fields(cls)])
        if not isinstance(values["nodes"], (list, tuple)):
            raise TypeError(f"report: expected a list of nodes, got {_check.describe(values['nodes'])}")
        names = [field.name for field in fields(NodeReport)]
        nodes = tuple(NodeReport(**_numbers(_check.keys("report", node, names))) for node in values["nodes"])
        provenance = values["provenance"]
        if not isinstance(provenance, dict) or not all(isinstance(key, str) for key in provenance):
            raise TypeError(f"report: expected a table of keys and values as provenance, got {_check.describe(provenance)}")
        rest = {name: value for name, value in values.items() if name not in ("nodes", "provenance")}
        return cls(nodes=nodes, provenance=provenance, **_numbers(rest))


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """Return values after checking that each is a number, finite or not, or None; TypeError otherwise."""
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise TypeError(f"report: expected a number for {name}, got {_check.describe(value)}")
    return values
