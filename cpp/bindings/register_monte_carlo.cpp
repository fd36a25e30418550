// Metropolis Monte Carlo with species swaps.
#include "glassnf/philox.hpp"
#include "native.hpp"

namespace glassnf::bindings {

void register_monte_carlo(py::module_& module) {
  module.def(
      "monte_carlo",
      [](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t images, std::uintptr_t species,
         std::uintptr_t beta, std::uintptr_t energy, std::uintptr_t ids, std::uintptr_t move_size, std::uint64_t seed,
         std::uint64_t step, std::int64_t sweeps, std::uint64_t swap_threshold, const std::vector<std::uint64_t>& pair_thresholds,
         const std::vector<std::int64_t>& record_at, std::uintptr_t record_energy, std::uintptr_t record_positions,
         std::uintptr_t record_species, std::uintptr_t displacement_attempts, std::uintptr_t displacement_accepts,
         std::uintptr_t swap_attempts, std::uintptr_t swap_accepts, std::uintptr_t pair_evaluations, std::uintptr_t completed,
         int search, int threads) {
        const std::size_t pairs = static_cast<std::size_t>(system.view.species_count) * (system.view.species_count - 1) / 2;
        require(replicas >= 1, "replicas: expected at least 1, got " + std::to_string(replicas));
        require(sweeps >= 0, "sweeps: expected a count, got " + std::to_string(sweeps));
        require(step + static_cast<std::uint64_t>(sweeps) <= max_step, "step: expected step + sweeps to stay below 2^44");
        require(swap_threshold == 0 || pairs > 0, "swap_threshold: swaps need at least two species");
        require(pair_thresholds.size() == pairs, "pair_thresholds: expected one number per pair of species");
        require(positions && images && species && beta && energy && ids && move_size && displacement_attempts &&
                    displacement_accepts && swap_attempts && swap_accepts && pair_evaluations,
                "expected addresses of arrays");
        require(record_at.empty() || record_energy, "record_energy: expected the address of an array");
        std::int64_t previous = 0;
        for (std::int64_t at : record_at) {
          require(at > previous && at <= sweeps, "record_at: expected increasing sweep numbers from 1 to sweeps");
          previous = at;
        }
        require(search >= 0 && search <= 2, "search: expected 0, 1 or 2, got " + std::to_string(search));
        checked_threads(threads);
        const MonteCarloBatch batch{replicas,
                                    pointer<double>(positions),
                                    pointer<std::int32_t>(images),
                                    pointer<std::int32_t>(species),
                                    pointer<const double>(beta),
                                    pointer<double>(energy),
                                    pointer<const std::int64_t>(ids),
                                    pointer<const double>(move_size)};
        const MonteCarloPlan plan{seed,
                                  step,
                                  sweeps,
                                  swap_threshold,
                                  pair_thresholds.data(),
                                  static_cast<std::int64_t>(record_at.size()),
                                  record_at.data(),
                                  search};
        const MonteCarloOutput output{pointer<double>(record_energy),
                                      pointer<double>(record_positions),
                                      pointer<std::int32_t>(record_species),
                                      pointer<std::int64_t>(displacement_attempts),
                                      pointer<std::int64_t>(displacement_accepts),
                                      pointer<std::int64_t>(swap_attempts),
                                      pointer<std::int64_t>(swap_accepts),
                                      pointer<std::int64_t>(pair_evaluations)};
        py::gil_scoped_release release;
        cpu::monte_carlo(system.view, batch, plan, output, threads);
        if (completed) *pointer<std::int64_t>(completed) = sweeps;
      },
      py::arg("system"), py::kw_only(), py::arg("replicas"), py::arg("positions"), py::arg("images"), py::arg("species"),
      py::arg("beta"), py::arg("energy"), py::arg("ids"), py::arg("move_size"), py::arg("seed"), py::arg("step"), py::arg("sweeps"),
      py::arg("swap_threshold"), py::arg("pair_thresholds"), py::arg("record_at"), py::arg("record_energy") = 0,
      py::arg("record_positions") = 0, py::arg("record_species") = 0, py::arg("displacement_attempts"),
      py::arg("displacement_accepts"), py::arg("swap_attempts"), py::arg("swap_accepts"), py::arg("pair_evaluations"),
      py::arg("completed") = 0, py::arg("search") = 0, py::arg("threads") = 1,
      "Advance replicas in place by `sweeps` sweeps; recorded values and counters go to the given arrays, and "
      "the number of sweeps to `completed` once all is done.");
}

}  // namespace glassnf::bindings
