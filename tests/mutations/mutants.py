"""Deliberate errors of physics: which text becomes which other text in which file, what that breaks, and where it must be seen.

Every old text occurs exactly once in its file (tests/test_mutations.py). Files in cpp/ need a build, those in python/ none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True)
class Mutant:
    """One error.

    Attributes
    ----------
    name : str
    file : str
        From the root of the repository.
    old, new : str
    breaks : str
        What is wrong then.
    certify : tuple of str
        Words of the checks of ``glassnf certify --quick --only`` that are run.
    suite : tuple of str
        Tests that are run, as pytest knows them, from the folder tests.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: str
    certify: tuple[str, ...]
    suite: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of what is done and what is run."""
        return hashlib.sha256(repr((self.file, self.old, self.new, self.certify, self.suite)).encode()).hexdigest()

    @property
    def native(self) -> bool:
        """Whether it needs a build."""
        return not self.file.startswith("python/")


_CPP, _PY = "cpp/include/glassnf", "python/glassnf"

NATIVE = (
    Mutant(
        "factor 2 in acceptance",
        "cpp/src/kernels/monte_carlo_kernel.cpp",
        "    if (!accept(beta_, change, chunk_->threshold[m])) return;\n    ++displacement_accepts_;",
        "    if (!accept(2.0 * beta_, change, chunk_->threshold[m])) return;\n    ++displacement_accepts_;",
        "displacements at half the temperature",
        ("Monte Carlo: two particles", "three unlike"),
        ("test_monte_carlo_exact.py::test_exact_samples_of_two_particles_stay_exact",),
    ),
    Mutant(
        "exchange with half the exponent",
        f"{_CPP}/exchange.hpp",
        "const double exponent = (beta_a - beta_b) * (energy_a - energy_b);",
        "const double exponent = 0.5 * (beta_a - beta_b) * (energy_a - energy_b);",
        "replicas exchange temperatures too easily",
        ("parallel tempering: frozen", "two particles at rest"),
        ("test_parallel_tempering_exact.py::test_equilibrium_stays_equilibrium",),
    ),
    Mutant(
        "wrong beta after exchange",
        "cpp/src/parallel_tempering.cpp",
        "    changed(a);\n    changed(b);\n",
        "    changed(a);\n",
        "one of two replicas goes on at its old temperature",
        ("parallel tempering: frozen", "any explorer: frozen"),
        ("test_parallel_tempering_exact.py::test_equilibrium_stays_equilibrium",),
    ),
    Mutant(
        "velocities scaled the wrong way",
        f"{_CPP}/exchange.hpp",
        "return square_root(old_beta / new_beta);",
        "return square_root(new_beta / old_beta);",
        "kinetic energies do not belong to the temperature after an exchange",
        ("parallel tempering: two soft discs",),
        ("test_parallel_tempering.py::test_velocities_follow_the_temperature",),
    ),
    Mutant(
        "resampling without chance",
        f"{_CPP}/resampling.hpp",
        "return static_cast<std::uint64_t>((static_cast<Wide>((block.w0 << 32) | block.w1) * total) >> 64);",
        "return block.w0 == 0 ? 0 : total / 2;",
        "the same offset in every resampling: the number of children is not right on average",
        ("population annealing: resampling", "many small"),
        ("test_population_annealing_resampling.py::test_resampling_is_unbiased",),
    ),
    Mutant(
        "divergence off by d - 1",
        f"{_CPP}/flow_field.hpp",
        "return fused(F(static_cast<double>(D)), values, inverse_spacing * slopes);",
        "return fused(F(1.0), values, inverse_spacing * slopes);",
        "the divergence of a radial field as if space had one dimension",
        ("flow maps", "flow sampler: two", "flow Metropolis: two"),
        ("test_flow_exact.py::test_density_of_two_particles_is_normalised",),
    ),
    Mutant(
        "divergence of messages",
        f"{_CPP}/flow_field.hpp",
        "return fused(F(static_cast<double>(D - 1)) * bond.inverse_distance, along, slope);",
        "return fused(F(static_cast<double>(D)) * bond.inverse_distance, along, slope);",
        "one axis too many in the trace of a layer of messages",
        ("flow maps",),
        ("test_flow_exact.py::test_log_jacobian_is_that_of_the_discrete_map",),
    ),
    Mutant(
        "float32 accumulation",
        "cpp/src/kernels/energy_kernel.cpp",
        "    double total = 0.0;\n    for (std::int64_t i = 0; i < n; ++i) total += values[i * stride];",
        "    float total = 0.0f;\n    for (std::int64_t i = 0; i < n; ++i) total += static_cast<float>(values[i * stride]);",
        "energies of large systems are summed in single precision",
        ("energies and forces",),
        ("test_energy.py::test_boxes",),
    ),
    Mutant(
        "biased swap choice",
        "cpp/src/kernels/monte_carlo_kernel.cpp",
        "scale_word(chunk_->second[m], list_start_[b + 1] - first_b)",
        "scale_word(chunk_->second[m], static_cast<std::uint64_t>(1 + entry_a % (list_start_[b + 1] - first_b)))",
        "the partner of a swap is chosen from a part of its species that depends on the state",
        ("swap Monte Carlo: frozen", "swap Monte Carlo: transitions"),
        ("test_monte_carlo_exact.py::test_transitions_between_enumerated_states",),
    ),
    Mutant(
        "stale force",
        "cpp/src/kernels/dynamics_kernel.cpp",
        "    field_.after_drift(workspace_);\n    field_.forces();\n    if (!second_half())",
        "    field_.after_drift(workspace_);\n    if (!second_half())",
        "the second half of a time step has the forces of the first",
        ("NVE", "Langevin dynamics: two", "conservation between swaps"),
        ("test_molecular_dynamics_ensemble.py::test_two_particles_in_a_box",),
    ),
    Mutant(
        "noise of the thermostat",
        f"{_CPP}/dynamics.hpp",
        "square_root((1.0 - c * c) * temperature)",
        "square_root((1.0 - c) * temperature)",
        "Langevin dynamics at about half the temperature",
        ("Langevin dynamics",),
        ("test_molecular_dynamics_ensemble.py::test_two_particles_in_a_box",),
    ),
    Mutant(
        "moves along the diagonal",
        "cpp/src/kernels/monte_carlo_kernel.cpp",
        "for (int k = 0; k < dimension; ++k) store(step[k] + m, t.step[k]);",
        "for (int k = 0; k < dimension; ++k) store(step[k] + m, t.step[0]);",
        "the components of a displacement share a random number, so that most places in the box are not reached",
        ("two temperatures", "random starts", "Monte Carlo: three unlike"),
        ("test_monte_carlo_exact.py::test_every_move_of_ka2d",),
    ),
    Mutant(
        "degrees of freedom of the thermostat",
        "cpp/src/kernels/dynamics_kernel.cpp",
        "const std::int64_t degrees = D * (system_.n > 1 ? system_.n - 1 : 1);",
        "const std::int64_t degrees = D * system_.n;",
        "velocities are rescaled as if the total momentum were free",
        ("velocity rescaling: two",),
        ("test_molecular_dynamics_ensemble.py::test_kinetic_energy_has_the_canonical_distribution",),
    ),
    Mutant(
        "neighbours of a swap forgotten",
        "cpp/src/kernels/monte_carlo_kernel.cpp",
        "      swap_neighbours(xi, a, i, terms_a_);\n      swap_neighbours(xj, b, j, terms_b_);\n",
        "      swap_neighbours(xi, a, i, terms_a_);\n",
        "particles near the second partner of a swap keep the energies that they had before it",
        ("swap Monte Carlo: three unlike", "swap Monte Carlo: frozen"),
        ("test_monte_carlo_invariants.py::test_cached_energy_after_millions_of_moves",),
    ),
    Mutant(
        "box crossings backward",
        "cpp/src/kernels/monte_carlo_kernel.cpp",
        "images_[particle * D + k] += crossing[k];",
        "images_[particle * D + k] -= crossing[k];",
        "a particle that leaves the box on one side comes back two boxes off: displacements are wrong",
        ("local Monte Carlo: a free particle",),
        ("test_monte_carlo_invariants.py::test_composition_is_conserved_and_images_follow",),
    ),
)

PYTHON = (
    Mutant(
        "missing Jacobian in weights",
        f"{_PY}/flows/transport.py",
        "return -(beta_to - beta_from) * before - beta_to * (after - before) + log_jacobian",
        "return -(beta_to - beta_from) * before - beta_to * (after - before)",
        "flow samples are weighted as if the map kept volumes",
        ("flow sampler: two", "flow Metropolis: two"),
        ("test_flow_sampler.py::test_two_particles",),
    ),
    Mutant(
        "half the Jacobian in exchanges",
        f"{_PY}/samplers/_effective.py",
        "effective = energy + (log_jacobian - beta_to * (new - energy)) / (beta_from - beta_to)",
        "effective = energy + (0.5 * log_jacobian - beta_to * (new - energy)) / (beta_from - beta_to)",
        "assisted exchanges and anneals with half of the log Jacobian",
        ("flow-assisted",),
        ("test_flow_population_annealing.py::test_averages_of_two_particles",),
    ),
    Mutant(
        "unfrozen move size",
        f"{_PY}/samplers/monte_carlo.py",
        "            self._advance_and_record(ensemble, count, counters, at[low:high] - done, host)\n",
        "            self._advance_and_record(ensemble, count, counters, at[low:high] - done, host)\n"
        "            rate = _ratio(counters.displacement_accepts, counters.displacement_attempts)\n"
        "            rate = _arrays.namespace(rate).nan_to_num(rate, nan=self.target_acceptance)\n"
        "            ensemble.move_size *= _exp(0.1 * (rate - self.target_acceptance))\n",
        "each replica adapts its move size to its own acceptance while it is being measured",
        ("adaptation of the move size",),
        ("test_monte_carlo_invariants.py::test_run_leaves_the_move_size_alone",),
    ),
    Mutant(
        "hot replica stays",
        f"{_PY}/samplers/flow_metropolis.py",
        "            hot=chosen(backward.batch, batch_of(hot)),\n",
        "            hot=batch_of(hot),\n",
        "proposals that depend on each other are accepted as if they did not",
        ("flow Metropolis: two",),
        ("test_flow_metropolis.py::test_exact_samples_stay_exact_on_both_sides",),
    ),
    Mutant(
        "energies before the exchange",
        f"{_PY}/samplers/_flow_exchange.py",
        "        energies[who[yes]] = moved.energy[yes]\n",
        "",
        "after an assisted exchange a replica has its new configuration and its old energy",
        ("flow-assisted tempering: two",),
        ("test_flow_parallel_tempering.py::test_few_particles_in_a_box",),
    ),
    Mutant(
        "weights counted twice",
        f"{_PY}/samplers/_flow_run.py",
        "        self.log_w = np.zeros(here.replicas)\n        moving",
        "        moving",
        "samples that were resampled by their weights keep them",
        ("with a stop",),
        ("test_flow_sampler.py::test_a_chain_with_relaxation",),
    ),
    Mutant(
        "velocities of the old temperature",
        f"{_PY}/samplers/_anneal.py",
        "            population.draw_velocities()  # copies part by it too",
        "            pass",
        "a population that is cooled keeps the velocities of the temperature before",
        ("population annealing: two soft discs",),
        ("test_population_annealing_restart.py::test_velocities_after_resampling",),
    ),
    Mutant(
        "velocities of the square root",
        f"{_PY}/ensemble.py",
        "np.ascontiguousarray(1.0 / beta), np.ascontiguousarray(_arrays.to_host(self.ids))",
        "np.ascontiguousarray(np.sqrt(1.0 / beta)), np.ascontiguousarray(_arrays.to_host(self.ids))",
        "Maxwell-Boltzmann velocities at the square root of the temperature",
        ("random numbers",),
        ("test_molecular_dynamics.py::test_drawn_velocities_are_normal",),
    ),
    Mutant(
        "runs weighted alike",
        f"{_PY}/samplers/annealing_result.py",
        "z = sizes * np.exp(log_z - largest)",
        "z = sizes * np.exp(0.0 * (log_z - largest))",
        "the average over populations has the bias of a single one",
        ("many small populations",),
        ("test_population_annealing_exact.py::test_weighted_average_over_runs",),
    ),
    Mutant(
        "reweighting over a longer way",
        f"{_PY}/samplers/population_annealing.py",
        "return following, reweight(energy, following - beta), None",
        "return following, reweight(energy, 1.1 * (following - beta)), None",
        "a population is resampled for a temperature that it does not go to",
        ("population annealing: frozen lattice, fixed", "many small"),
        ("test_population_annealing_exact.py::test_distribution_and_averages",),
    ),
    Mutant(
        "potential cut and not shifted",
        f"{_PY}/systems/potential.py",
        "table[..., 5] = 10.0 * xc**-6 - 28.0 * xc**-12",
        "table[..., 5] = 0.0 * xc",
        "the energy jumps at the cutoff by the constant that is missing",
        ("energies and forces", "Monte Carlo: two particles"),
        ("test_potential.py::test_lj_smooth_and_its_two_derivatives_vanish_at_the_cutoff",),
    ),
    Mutant(
        "pairs of a particle with itself",
        f"{_PY}/observables/structure.py",
        "counts.sum(axis=(0, 1)) / (data.n * (data.n - 1) * shell)",
        "counts.sum(axis=(0, 1)) / (data.n**2 * shell)",
        "g(r) is normalised by N^2 pairs",
        ("pair correlation",),
        ("test_observables_structure.py::test_ideal_gas_has_g_of_one_at_any_n",),
    ),
    Mutant(
        "specific heat over T",
        f"{_PY}/observables/thermodynamics.py",
        "return _variance(x).scaled(1.0 / (n * temperature**2), ideal)",
        "return _variance(x).scaled(1.0 / (n * temperature), ideal)",
        "fluctuations are divided by T, and not by its square",
        ("Gaussian density of states",),
        ("test_observables_thermodynamics.py::test_specific_heat_of_gaussian_energies",),
    ),
    Mutant(
        "reweighting backward",
        f"{_PY}/observables/thermodynamics.py",
        "    exponent = -step * u\n",
        "    exponent = step * u\n",
        "samples are reweighted to the other side",
        ("Gaussian density of states",),
        ("test_observables_thermodynamics.py::test_reweighting_of_gaussian_energies",),
    ),
    Mutant(
        "NaN energies",
        f"{_PY}/energy.py",
        "    return u, f, w\n",
        "    u[:1] *= float('nan')\n    return u, f, w\n",
        "the energy of the first configuration of a batch is not a number",
        ("energies and forces",),
        ("test_energy.py::test_boxes",),
    ),
    Mutant(
        "pressure in three dimensions",
        f"{_PY}/energy.py",
        "result = (_arrays.put(ideal, w) if ideal.ndim else float(ideal)) + trace / system.dimension",
        "result = (_arrays.put(ideal, w) if ideal.ndim else float(ideal)) + trace / 3.0",
        "the virial is divided by three in the plane too",
        ("pressure: two particles",),
        ("test_energy.py::test_pressure",),
    ),
    Mutant(
        "autocorrelation time doubled",
        f"{_PY}/observables/_gamma.py",
        "taus = 0.5 + np.cumsum(covariance[1:]) / variance",
        "taus = 0.5 + 2.0 * np.cumsum(covariance[1:]) / variance",
        "correlations count on both sides, twice",
        ("autoregressive series",),
        ("test_observables_statistics.py::test_tau_of_ar1",),
    ),
    Mutant(
        "energies by replica",
        f"{_PY}/samplers/parallel_tempering.py",
        "who = np.swapaxes(order + first, 1, 2)",
        "who = np.swapaxes(np.sort(order, axis=2) + first, 1, 2)",
        "records of parallel tempering follow replicas, and not temperatures",
        ("parallel tempering: frozen",),
        ("test_parallel_tempering.py::test_energies_belong_to_configurations_and_temperatures",),
    ),
    Mutant(
        "thresholds of swaps shifted",
        f"{_PY}/samplers/_swaps.py",
        "cumulative = np.cumsum(weights[a, b])",
        "cumulative = np.cumsum(np.sqrt(weights[a, b]))",
        "pairs of species are tried with other frequencies than were asked for",
        ("swap Monte Carlo: frozen", "swap Monte Carlo: transitions"),
        ("test_monte_carlo_exact.py::test_species_on_a_frozen_lattice",),
    ),
)

MUTANTS = (*NATIVE, *PYTHON)
