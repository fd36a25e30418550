"""What `FlowSampler` found, its checks, and its warnings."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _check
from ..ensemble import Ensemble
from ..observables._inputs import moderate
from ..observables.estimate import format_uncertainty
from ..observables.weights import WeightSummary, normalised_weights, weighted_mean
from ._population import copy_replicas, parents_of, reweight

if TYPE_CHECKING:
    from ..observables.equilibration import Verdict

__all__ = ["DominatedWeightsWarning", "FlowCheck", "FlowResult", "FlowStop", "warn_of_weights"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_LARGEST_SHARE = 0.1
_LARGE_SHARE = 0.01  # that makes a heavy tail matter: a fit to a tail of small weights may say anything


class DominatedWeightsWarning(UserWarning):
    """Few samples carry the weight: averages, and what their errors say, cannot be trusted."""


def warn_of_weights(summary: WeightSummary, temperature: float, stacklevel: int) -> None:
    """Warn, with numbers, where one sample has a tenth of the weight, or a hundredth of weights with a heavy tail.

    With fewer than 50 samples the shares are 5 times, with fewer than 1000 in the second case 10 times that of equal weights.
    """
    few = summary.largest > max(_LARGEST_SHARE, 5.0 / summary.samples)
    heavy = summary.pareto_k_limit < summary.pareto_k < math.inf
    heavy = heavy and summary.largest > max(_LARGE_SHARE, 10.0 / summary.samples)
    if not (few or heavy):
        return
    effective = summary.ess * summary.samples
    tail = f", Pareto k-hat is {summary.pareto_k:.2f}, with a limit of {summary.pareto_k_limit:.2f}"
    warnings.warn(
        f"flow sampler: at temperature {temperature:.4g} one of {summary.samples} samples has {summary.largest:.1%} of the "
        f"weight, the effective number of samples is {effective:.3g}{tail if math.isfinite(summary.pareto_k) else ''}: "
        "averages and errors are unreliable. Use smaller temperature steps, a better flow, or more samples",
        DominatedWeightsWarning,
        stacklevel=stacklevel,
    )


@dataclass(frozen=True)
class FlowStop:
    """One temperature on the way of a `FlowSampler`.

    Attributes
    ----------
    temperature : float, epsilon
    steps : int
        Of the integrator, from the temperature before; 0 if the flow integrates nothing.
    integration_error : float
        Largest difference of log w between `steps` and twice as many, over the `checked` configurations.
    checked : int
    ess, largest_weight, pareto_k : float
        Of the weights there, before resampling; see `FlowResult`.
    log_z : float
        log Z / Z(hot) there.
    resampled : bool
        Whether the samples were resampled and relaxed there.
    """

    temperature: float
    steps: int
    integration_error: float
    checked: int
    ess: float
    largest_weight: float
    pareto_k: float
    log_z: float
    resampled: bool


@dataclass(frozen=True)
class FlowCheck:
    """A flow against samples of the cold temperature that it has not made.

    The three estimates of log Z agree within their errors if the weights are right and the samples see the same regions.

    Attributes
    ----------
    log_z_forward, log_z_forward_error : float
        log Z(cold) / Z(hot) from hot samples carried forward.
    log_z_reverse, log_z_reverse_error : float
        From the cold samples carried backward.
    log_z_bar, log_z_bar_error : float
        From both, by Bennett's acceptance ratio.
    ess_reverse : float
        Kish's, from the hot samples, as a fraction: blind to regions that the flow does not reach.
    ess_forward : float
        1 / (mean w mean 1/w), from the cold samples.
    log_weights : (S,) float64
        Of the cold samples, from the map backward.
    reversibility_error : float
        Largest |log w| of cold samples carried backward and forward again, which would be 0.
    integration_error : float
        As in `FlowResult`, of the cold samples.
    steps : int
        Most steps of the integrator between two temperatures.
    wall_time : float, s
    """

    log_z_forward: float
    log_z_forward_error: float
    log_z_reverse: float
    log_z_reverse_error: float
    log_z_bar: float
    log_z_bar_error: float
    ess_reverse: float
    ess_forward: float
    log_weights: FloatArray = field(repr=False)
    reversibility_error: float
    integration_error: float
    steps: int
    wall_time: float

    def __str__(self) -> str:
        def number(name: str) -> str:
            return format_uncertainty(getattr(self, name), getattr(self, f"{name}_error"))

        rows = [
            ("forward", f"log Z ratio {number('log_z_forward')}, ESS by reverse weights {self.ess_reverse:.3g}"),
            ("reverse", f"log Z ratio {number('log_z_reverse')}, ESS by forward weights {self.ess_forward:.3g}"),
            ("both", f"log Z ratio {number('log_z_bar')} (BAR)"),
            (
                "integration",
                f"{self.steps} steps, error {self.integration_error:.2g}, there and back {self.reversibility_error:.2g}",
            ),
        ]
        return "\n".join(["Check of a flow", *(f"  {name:<13} {value}" for name, value in rows)])


@dataclass(frozen=True)
class FlowResult:
    """Weighted samples at the cold temperature, and what follows from them.

    All errors are jackknife errors over the replicas that the base samples come from.

    Attributes
    ----------
    ensemble : Ensemble
        S configurations at the cold temperature. Averages must be weighted; `resampled` gives configurations of equal weight.
    base : Ensemble
        The S configurations at the hot temperature, before the flow.
    temperatures : (stops,) float64, epsilon
        Falling, from hot to cold.
    n, dimension, samples : int
        Particles, dimensions, S.
    groups, base_groups : (S,) int64
        Replica that each sample comes from, of `ensemble` and of `base`: they differ where samples were resampled on the way.
    log_weights : (S,) float64
        Not normalised: the mean of exp(log_weights) is Z(cold) over Z of the last stop where samples were resampled, or of hot.
    energy_before, energy_after : (S,) float64, epsilon
        Of whole systems, before and after the last transport.
    mean_energy, mean_energy_error : float, epsilon
        <U> of a whole system.
    specific_heat, specific_heat_error : float
        (<U^2> - <U>^2) / (N T^2), per particle, without the ideal part, as in `observables.specific_heat`.
    log_z_ratio, log_z_ratio_error : float
        log Z(cold) / Z(hot) of configurational partition functions.
    ess : float
        Kish's effective sample size (sum w)^2 / (S sum w^2) of the weights above, as a fraction. Few samples flatter it.
    largest_weight : float
        As a share of all.
    pareto_k, pareto_k_limit : float
        Shape of the tail of the weights, and the largest with which averages can be trusted (Vehtari et al. 2024).
    stops : tuple of FlowStop
        One for every temperature but the first.
    steps : int
        Most steps of the integrator between two temperatures.
    integration_error : float
        Largest difference of log w that was found between the steps taken and twice as many.
    pair_evaluations, base_pair_evaluations : int
        Distances evaluated: in all, and by the base sampler.
    wall_time, base_time, flow_time, relax_time : float, s
        In all, for the base samples, for transport with its checks, and for relaxation at stops.
    provenance : dict
        Settings, seed, flow, versions.
    check : FlowCheck or None
        Against a reference, where one was given.
    """

    ensemble: Ensemble = field(repr=False)
    base: Ensemble = field(repr=False)
    temperatures: FloatArray = field(repr=False)
    n: int
    dimension: int
    samples: int
    groups: IntArray = field(repr=False)
    base_groups: IntArray = field(repr=False)
    log_weights: FloatArray = field(repr=False)
    energy_before: FloatArray = field(repr=False)
    energy_after: FloatArray = field(repr=False)
    mean_energy: float
    mean_energy_error: float
    specific_heat: float
    specific_heat_error: float
    log_z_ratio: float
    log_z_ratio_error: float
    ess: float
    largest_weight: float
    pareto_k: float
    pareto_k_limit: float
    stops: tuple[FlowStop, ...] = field(repr=False)
    steps: int
    integration_error: float
    pair_evaluations: int
    base_pair_evaluations: int
    wall_time: float
    base_time: float
    flow_time: float
    relax_time: float
    provenance: dict[str, Any] = field(repr=False)
    check: FlowCheck | None = field(default=None, repr=False)

    def __str__(self) -> str:
        n, path = self.n, " -> ".join(f"{t:.6g}" for t in self.temperatures)
        rows = [
            ("temperatures", path),
            ("samples", f"{self.samples} of {self.ensemble.system.name}, N = {n}, from {self.replicas} replicas"),
            ("energy/N", format_uncertainty(self.mean_energy / n, self.mean_energy_error / n)),
            ("specific heat", format_uncertainty(self.specific_heat, self.specific_heat_error)),
            ("log Z ratio", format_uncertainty(self.log_z_ratio, self.log_z_ratio_error)),
            ("ESS", f"{self.ess:.3g} of the samples, largest weight {self.largest_weight:.2g}, k-hat {self.pareto_k:.2f}"),
            ("integration", f"{self.steps} steps, error {self.integration_error:.2g}"),
            ("equilibrium", self.verdict.sentence),
            ("cost", f"{self.pair_evaluations:.4g} pair evaluations, {self.wall_time:.4g} s ({self.base_time:.4g} s base)"),
        ]
        text = "\n".join(["Flow sampler", *(f"  {name:<13} {value}" for name, value in rows)])
        return text if self.check is None else f"{text}\n{self.check}"

    @property
    def replicas(self) -> int:
        """Number of replicas of the base sampler that the samples come from."""
        return int(np.unique(self.groups).size)

    @property
    def weights(self) -> FloatArray:
        """Weights of sum 1, (S,)."""
        return normalised_weights(self.log_weights)[0]

    def average(self, values: npt.ArrayLike) -> tuple[float, float]:
        """Return the weighted mean of an observable of `ensemble`, with its error.

        Parameters
        ----------
        values : (S,) floats
        """
        return weighted_mean(moderate("values", _check.float_array("values", values)), self.log_weights, self.groups)

    def resampled(self, seed: int) -> Ensemble:
        """Return S configurations of equal weight, by systematic resampling: heavy ones more than once, light ones not at all.

        Parameters
        ----------
        seed : int
            From 0 to 2**64 - 1.
        """
        number = _check.integer("seed", seed, 0, 2**64 - 1)
        drawn = self.ensemble.copy()
        copy_replicas(drawn, parents_of(reweight(-self.log_weights, 1.0), number, drawn.step))
        return drawn

    @property
    def verdict(self) -> Verdict:
        """Whether base samples are in equilibrium and weights can be trusted; see docs/equilibration.md."""
        from .verdicts import of_flow

        return of_flow(self)
