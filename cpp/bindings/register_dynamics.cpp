// Molecular dynamics, minimisation and Maxwell-Boltzmann velocities.
#include <cmath>

#include "glassnf/dynamics.hpp"
#include "native.hpp"

namespace glassnf::bindings {

namespace {

bool positive(double x) { return std::isfinite(x) && x > 0.0; }

// Velocities of one replica at its temperature, without motion of the whole if there are several particles.
template <int D>
void maxwell(std::uint64_t seed, std::uint64_t step, std::uint64_t id, std::int64_t n, double temperature, double* velocities) {
  RandomKeys<std::uint64_t> key(seed, Stream::velocities, id);
  key.set_step(step);
  const double width = std::sqrt(temperature);
  double mean[D] = {};
  for (std::int64_t i = 0; i < n; ++i) {
    const Vec<double, D> normal = normal_vector<D, double>(key, static_cast<std::uint64_t>(i));
    for_axes<D>([&](auto k) {
      velocities[i * D + k] = width * normal.at(k);
      mean[k] += velocities[i * D + k];
    });
  }
  if (n < 2) return;
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < D; ++k) velocities[i * D + k] -= mean[k] / static_cast<double>(n);
}

DynamicsBatch dynamics_batch(std::int64_t replicas, std::uintptr_t positions, std::uintptr_t velocities, std::uintptr_t images,
                             std::uintptr_t species, std::uintptr_t beta, std::uintptr_t energy, std::uintptr_t ids) {
  require(replicas >= 1, "replicas: expected at least 1, got " + std::to_string(replicas));
  require(positions && velocities && images && species && beta && energy && ids, "expected addresses of arrays");
  return {replicas,
          pointer<double>(positions),
          pointer<double>(velocities),
          pointer<std::int32_t>(images),
          pointer<const std::int32_t>(species),
          pointer<const double>(beta),
          pointer<double>(energy),
          pointer<const std::int64_t>(ids)};
}

// Defines a function of the arguments that both backends take and of Extra arguments of its own, which
// run(system, batch, plan, swaps, output, extra...) gets.
template <class... Extra, class Run, class... Names>
void define_dynamics(py::module_& module, const char* name, const char* doc, Run run, const Names&... names) {
  module.def(
      name,
      [run](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t velocities,
            std::uintptr_t images, std::uintptr_t species, std::uintptr_t beta, std::uintptr_t energy, std::uintptr_t ids,
            std::uint64_t seed, std::uint64_t step, std::int64_t steps, double timestep, int thermostat, double friction,
            double relaxation_time, const std::vector<std::int64_t>& record_at, std::uintptr_t record_energy,
            std::uintptr_t record_kinetic, std::uintptr_t record_positions, std::uintptr_t record_velocities,
            std::uintptr_t record_species, std::uintptr_t pair_evaluations, std::uintptr_t failure, std::int64_t swap_every,
            const std::vector<std::uint64_t>& pair_thresholds, std::uintptr_t move_size, std::uintptr_t swap_attempts,
            std::uintptr_t swap_accepts, std::uintptr_t completed, Extra... extra) {
        const DynamicsBatch batch = dynamics_batch(replicas, positions, velocities, images, species, beta, energy, ids);
        require(steps >= 0, "steps: expected a count, got " + std::to_string(steps));
        check_steps(step, steps, "steps");
        require(positive(timestep), "timestep: expected a positive number, got " + std::to_string(timestep));
        require(thermostat >= 0 && thermostat <= 2, "thermostat: expected 0, 1 or 2, got " + std::to_string(thermostat));
        require(thermostat != 1 || positive(friction), "friction: expected a positive number, got " + std::to_string(friction));
        require(thermostat != 2 || positive(relaxation_time),
                "relaxation_time: expected a positive number, got " + std::to_string(relaxation_time));
        require(pair_evaluations && failure, "expected addresses of arrays");
        require(record_at.empty() || (record_energy && record_kinetic),
                "record_energy, record_kinetic: expected addresses of arrays");
        std::int64_t previous = 0;
        for (std::int64_t at : record_at) {
          require(at > previous && at <= steps, "record_at: expected increasing step numbers from 1 to steps");
          previous = at;
        }
        const std::size_t pairs = static_cast<std::size_t>(system.view.species_count) * (system.view.species_count - 1) / 2;
        require(swap_every >= 0, "swap_every: expected a count, got " + std::to_string(swap_every));
        require(swap_every == 0 || (pairs > 0 && pair_thresholds.size() == pairs && move_size && swap_attempts && swap_accepts),
                "swap_every: swaps need thresholds for each pair of species and addresses of arrays");
        const DynamicsPlan plan{seed,
                                step,
                                steps,
                                timestep,
                                thermostat,
                                friction,
                                relaxation_time,
                                static_cast<std::int64_t>(record_at.size()),
                                record_at.data(),
                                0,
                                0};
        const SwapPlan swaps{swap_every,
                             pointer<std::int32_t>(species),
                             pointer<const double>(move_size),
                             pair_thresholds.data(),
                             pointer<std::int64_t>(swap_attempts),
                             pointer<std::int64_t>(swap_accepts)};
        const DynamicsOutput output{pointer<double>(record_energy),        pointer<double>(record_kinetic),
                                    pointer<double>(record_positions),     pointer<double>(record_velocities),
                                    pointer<std::int32_t>(record_species), pointer<std::int64_t>(pair_evaluations),
                                    pointer<std::int64_t>(failure)};
        run(system.view, batch, plan, swaps, output, extra...);
        if (completed) *pointer<std::int64_t>(completed) = steps;
      },
      py::arg("system"), py::kw_only(), py::arg("replicas"), py::arg("positions"), py::arg("velocities"), py::arg("images"),
      py::arg("species"), py::arg("beta"), py::arg("energy"), py::arg("ids"), py::arg("seed"), py::arg("step"), py::arg("steps"),
      py::arg("timestep"), py::arg("thermostat"), py::arg("friction"), py::arg("relaxation_time"), py::arg("record_at"),
      py::arg("record_energy") = 0, py::arg("record_kinetic") = 0, py::arg("record_positions") = 0,
      py::arg("record_velocities") = 0, py::arg("record_species") = 0, py::arg("pair_evaluations"), py::arg("failure"),
      py::arg("swap_every") = 0, py::arg("pair_thresholds") = std::vector<std::uint64_t>{}, py::arg("move_size") = 0,
      py::arg("swap_attempts") = 0, py::arg("swap_accepts") = 0, py::arg("completed") = 0, names..., doc);
}

}  // namespace

void register_dynamics(py::module_& module) {
  define_dynamics<int, int>(
      module, "molecular_dynamics",
      "Advance replicas in place by `steps` time steps. Where one blows up, `failure` has the step, and the caller puts its arrays "
      "back.",
      [](const SystemView& system, const DynamicsBatch& batch, DynamicsPlan plan, const SwapPlan& swaps,
         const DynamicsOutput& output, int search, int threads) {
        require(search >= 0 && search <= 2, "search: expected 0, 1 or 2, got " + std::to_string(search));
        plan.search = search;
        checked_threads(threads);
        py::gil_scoped_release release;
        cpu::molecular_dynamics(system, batch, plan, swaps, output, threads);
      },
      py::arg("search") = 0, py::arg("threads") = 1);
  define_dynamics<int, std::uintptr_t>(
      module, "cuda_molecular_dynamics",
      "The same for arrays on a CUDA device, on a stream, which it waits for; `completed` is an address in host memory.",
      [](const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const SwapPlan& swaps,
         const DynamicsOutput& output, int device, std::uintptr_t stream) {
        py::gil_scoped_release release;
        cuda::molecular_dynamics(system, batch, plan, swaps, output, {device, pointer<void>(stream), false});
      },
      py::arg("device"), py::arg("stream"));
  module.def(
      "minimise",
      [](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t velocities,
         std::uintptr_t images, std::uintptr_t species, std::uintptr_t beta, std::uintptr_t energy, std::uintptr_t ids,
         double timestep, double largest_timestep, double tolerance, std::int64_t most_iterations, std::uintptr_t iterations,
         std::uintptr_t largest_force, int search, int threads) {
        const DynamicsBatch batch = dynamics_batch(replicas, positions, velocities, images, species, beta, energy, ids);
        require(positive(timestep) && positive(largest_timestep) && positive(tolerance), "expected positive numbers");
        require(most_iterations >= 0, "most_iterations: expected a count, got " + std::to_string(most_iterations));
        require(iterations && largest_force, "expected addresses of arrays");
        require(search >= 0 && search <= 2, "search: expected 0, 1 or 2, got " + std::to_string(search));
        checked_threads(threads);
        const MinimisePlan plan{timestep, largest_timestep, tolerance, most_iterations, search};
        const MinimiseOutput output{pointer<std::int64_t>(iterations), pointer<double>(largest_force)};
        py::gil_scoped_release release;
        cpu::minimise(system.view, batch, plan, output, threads);
      },
      py::arg("system"), py::kw_only(), py::arg("replicas"), py::arg("positions"), py::arg("velocities"), py::arg("images"),
      py::arg("species"), py::arg("beta"), py::arg("energy"), py::arg("ids"), py::arg("timestep"), py::arg("largest_timestep"),
      py::arg("tolerance"), py::arg("most_iterations"), py::arg("iterations"), py::arg("largest_force"), py::arg("search") = 0,
      py::arg("threads") = 1, "Move replicas to the minima of their basins by FIRE; their energies are made current.");
  module.def(
      "maxwell_velocities",
      [](std::int64_t replicas, std::int64_t n, int dimension, std::uintptr_t temperature, std::uintptr_t ids, std::uint64_t seed,
         std::uint64_t step, std::uintptr_t velocities) {
        require(replicas >= 0 && n >= 0 && (dimension == 2 || dimension == 3), "expected counts, and 2 or 3 dimensions");
        require(step < max_step, "step: expected less than 2^44");
        require(replicas == 0 || (temperature && ids && velocities), "expected addresses of arrays");
        py::gil_scoped_release release;
        for (std::int64_t r = 0; r < replicas; ++r) {
          const auto id = static_cast<std::uint64_t>(pointer<const std::int64_t>(ids)[r]);
          const double t = pointer<const double>(temperature)[r];
          double* v = pointer<double>(velocities) + r * n * dimension;
          dimension == 2 ? maxwell<2>(seed, step, id, n, t, v) : maxwell<3>(seed, step, id, n, t, v);
        }
      },
      py::kw_only(), py::arg("replicas"), py::arg("n"), py::arg("dimension"), py::arg("temperature"), py::arg("ids"),
      py::arg("seed"), py::arg("step"), py::arg("velocities"),
      "Fill velocities (R, N, d) with normal numbers of variance `temperature` (R,), the mean of each replica taken off.");
}

}  // namespace glassnf::bindings
