// Metropolis Monte Carlo with species swaps, on the CPU and on CUDA devices.
#include "glassnf/philox.hpp"
#include "native.hpp"
#include "tempering_arguments.hpp"

namespace glassnf::bindings {

namespace {

// Defines a function of the arguments that both backends take and of Extra arguments of its own, which
// run(system, batch, plan, output, extra...) gets.
template <class... Extra, class Run, class... Names>
void define(py::module_& module, const char* name, const char* doc, Run run, const Names&... names) {
  module.def(
      name,
      [run](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t images,
            std::uintptr_t species, std::uintptr_t beta, std::uintptr_t energy, std::uintptr_t ids, std::uintptr_t move_size,
            std::uint64_t seed, std::uint64_t step, std::int64_t sweeps, std::uint64_t swap_threshold,
            const std::vector<std::uint64_t>& pair_thresholds, const std::vector<std::int64_t>& record_at,
            std::uintptr_t record_energy, std::uintptr_t record_positions, std::uintptr_t record_species,
            std::uintptr_t displacement_attempts, std::uintptr_t displacement_accepts, std::uintptr_t swap_attempts,
            std::uintptr_t swap_accepts, std::uintptr_t pair_evaluations, std::uintptr_t completed, bool checkerboard,
            Extra... extra) {
        const std::size_t pairs = static_cast<std::size_t>(system.view.species_count) * (system.view.species_count - 1) / 2;
        require(replicas >= 1, "replicas: expected at least 1, got " + std::to_string(replicas));
        require(sweeps >= 0, "sweeps: expected a count, got " + std::to_string(sweeps));
        check_steps(step, sweeps, "sweeps");
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
                                  0,
                                  checkerboard};
        const MonteCarloOutput output{pointer<double>(record_energy),
                                      pointer<double>(record_positions),
                                      pointer<std::int32_t>(record_species),
                                      pointer<std::int64_t>(displacement_attempts),
                                      pointer<std::int64_t>(displacement_accepts),
                                      pointer<std::int64_t>(swap_attempts),
                                      pointer<std::int64_t>(swap_accepts),
                                      pointer<std::int64_t>(pair_evaluations)};
        run(system.view, batch, plan, output, extra...);
        if (completed) *pointer<std::int64_t>(completed) = sweeps;
      },
      py::arg("system"), py::kw_only(), py::arg("replicas"), py::arg("positions"), py::arg("images"), py::arg("species"),
      py::arg("beta"), py::arg("energy"), py::arg("ids"), py::arg("move_size"), py::arg("seed"), py::arg("step"), py::arg("sweeps"),
      py::arg("swap_threshold"), py::arg("pair_thresholds"), py::arg("record_at"), py::arg("record_energy") = 0,
      py::arg("record_positions") = 0, py::arg("record_species") = 0, py::arg("displacement_attempts"),
      py::arg("displacement_accepts"), py::arg("swap_attempts"), py::arg("swap_accepts"), py::arg("pair_evaluations"),
      py::arg("completed") = 0, py::arg("checkerboard") = false, names..., doc);
}

}  // namespace

void register_monte_carlo(py::module_& module) {
  define<int, int>(
      module, "monte_carlo",
      "Advance replicas in place by `sweeps` sweeps; recorded values and counters go to the given arrays, and "
      "the number of sweeps to `completed` once all is done.",
      [](const SystemView& system, const MonteCarloBatch& batch, MonteCarloPlan plan, const MonteCarloOutput& output, int search,
         int threads) {
        require(search >= 0 && search <= 2, "search: expected 0, 1 or 2, got " + std::to_string(search));
        checked_threads(threads);
        plan.search = search;
        py::gil_scoped_release release;
        cpu::monte_carlo(system, batch, plan, output, threads);
      },
      py::arg("search") = 0, py::arg("threads") = 1);
  define<int, std::uintptr_t, bool>(
      module, "cuda_monte_carlo",
      "The same for arrays on a CUDA device, on a stream, which it waits for; `completed` is an address in host memory.",
      [](const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
         int device, std::uintptr_t stream, bool mixed) {
        py::gil_scoped_release release;
        cuda::monte_carlo(system, batch, plan, output, {device, pointer<void>(stream), mixed});
      },
      py::arg("device"), py::arg("stream"), py::arg("mixed") = false);
  using Address = std::uintptr_t;
  define<std::int64_t, std::uint64_t, Address, Address, Address, Address, Address, Address, Address, Address, Address, int, int>(
      module, "parallel_tempering",
      "Like monte_carlo, with a round of exchanges in ladders of `rungs` replicas after each step that is a multiple of "
      "`interval`.",
      [](const SystemView& system, const MonteCarloBatch& batch, MonteCarloPlan plan, const MonteCarloOutput& output,
         std::int64_t rungs, std::uint64_t interval, Address order, Address attempts, Address accepts, Address visits,
         Address trips, Address from_hot, Address from_cold, Address record_order, Address velocities, int search, int threads) {
        require(search >= 0 && search <= 2, "search: expected 0, 1 or 2, got " + std::to_string(search));
        require(!plan.checkerboard, "checkerboard: expected sequential trials");
        require(plan.records == 0 || record_order, "record_order: expected the address of an array");
        checked_threads(threads);
        plan.search = search;
        const TemperingBatch ladders = tempering_batch(batch.replicas, rungs, batch.beta, batch.move_size, batch.energy, batch.ids,
                                                       order, velocities, system.n * system.dimension);
        const TemperingCounts counts = tempering_counts(attempts, accepts, visits, trips, from_hot, from_cold);
        check_interval(interval);
        py::gil_scoped_release release;
        cpu::parallel_tempering(system, batch, plan, output, ladders, interval, counts, {pointer<std::int32_t>(record_order)},
                                threads);
      },
      py::arg("rungs"), py::arg("interval"), py::arg("order"), py::arg("attempts"), py::arg("accepts"), py::arg("visits"),
      py::arg("trips"), py::arg("from_hot"), py::arg("from_cold"), py::arg("record_order") = 0, py::arg("velocities") = 0,
      py::arg("search") = 0, py::arg("threads") = 1);
}

}  // namespace glassnf::bindings
