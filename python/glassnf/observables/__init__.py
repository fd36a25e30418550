"""What is measured on configurations and time series: functions of plain arrays, with error bars.

Nothing here imports the samplers. Statistics and thermodynamics need NumPy only; pair correlations and bond order need freud,
the overlap of large systems scipy (``pip install 'glassnf[analysis]'``), both imported on first use.
"""

from __future__ import annotations

from glassnf.observables.dynamics import (
    TimeCorrelation,
    collective_overlap,
    crossing_time,
    mean_square_displacement,
    random_overlap,
    relaxation_time,
    self_intermediate_scattering,
    self_overlap,
)
from glassnf.observables.equilibration import Check, Verdict, forward_backward, judge_chains
from glassnf.observables.estimate import Estimate, format_uncertainty
from glassnf.observables.order import bond_order, steinhardt
from glassnf.observables.outer_checks import judge_weights
from glassnf.observables.resampling import Blocking, Bootstrap, blocking, bootstrap, jackknife
from glassnf.observables.statistics import (
    AutocorrelationTime,
    Equilibration,
    autocorrelation,
    autocorrelation_time,
    autocorrelation_time_per_replica,
    effective_sample_size,
    equilibration_start,
    estimate_mean,
    estimate_mean_per_replica,
    split_rhat,
)
from glassnf.observables.structure import (
    RadialDistribution,
    StructureFactor,
    radial_distribution,
    structure_factor,
    structure_factor_at,
    wave_vectors,
)
from glassnf.observables.thermodynamics import (
    Reweighting,
    mean_energy,
    mean_energy_per_replica,
    pressure_from_virial,
    reweight,
    specific_heat,
    specific_heat_per_replica,
)
from glassnf.observables.weights import (
    WeightedEnergy,
    WeightSummary,
    bennett_log_z,
    forward_ess,
    log_mean_exp,
    log_z_of_weights,
    pareto_k,
    pareto_k_limit,
    weight_summary,
    weighted_energy,
    weighted_mean,
)

__all__ = [
    "AutocorrelationTime",
    "Blocking",
    "Bootstrap",
    "Check",
    "Equilibration",
    "Estimate",
    "RadialDistribution",
    "Reweighting",
    "StructureFactor",
    "TimeCorrelation",
    "Verdict",
    "WeightSummary",
    "WeightedEnergy",
    "autocorrelation",
    "autocorrelation_time",
    "autocorrelation_time_per_replica",
    "bennett_log_z",
    "blocking",
    "bond_order",
    "bootstrap",
    "collective_overlap",
    "crossing_time",
    "effective_sample_size",
    "equilibration_start",
    "estimate_mean",
    "estimate_mean_per_replica",
    "format_uncertainty",
    "forward_backward",
    "forward_ess",
    "jackknife",
    "judge_chains",
    "judge_weights",
    "log_mean_exp",
    "log_z_of_weights",
    "mean_energy",
    "mean_energy_per_replica",
    "mean_square_displacement",
    "pareto_k",
    "pareto_k_limit",
    "pressure_from_virial",
    "radial_distribution",
    "random_overlap",
    "relaxation_time",
    "reweight",
    "self_intermediate_scattering",
    "self_overlap",
    "specific_heat",
    "specific_heat_per_replica",
    "split_rhat",
    "steinhardt",
    "structure_factor",
    "structure_factor_at",
    "wave_vectors",
    "weight_summary",
    "weighted_energy",
    "weighted_mean",
]
