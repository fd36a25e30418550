// Exchanges of temperatures between replicas, on the CPU and on CUDA devices. Monte Carlo with exchanges is in
// register_monte_carlo.cpp, with whose arguments it shares most.
#include "tempering_arguments.hpp"

namespace glassnf::bindings {

namespace {

using Address = std::uintptr_t;

template <class... Extra, class Run, class... Names>
void define(py::module_& module, const char* name, const char* doc, Run run, const Names&... names) {
  module.def(
      name,
      [run](std::int64_t replicas, std::int64_t rungs, Address beta, Address move_size, Address energy, Address ids, Address order,
            Address velocities, std::int64_t components, std::uint64_t seed, std::uint64_t step, std::uint64_t interval,
            Address attempts, Address accepts, Address visits, Address trips, Address from_hot, Address from_cold, Extra... extra) {
        const TemperingBatch batch =
            tempering_batch(replicas, rungs, pointer<const double>(beta), pointer<const double>(move_size),
                            pointer<const double>(energy), pointer<const std::int64_t>(ids), order, velocities, components);
        check_interval(interval);
        require(step <= max_step, "step: expected at most 2^44");
        const TemperingCounts counts = tempering_counts(attempts, accepts, visits, trips, from_hot, from_cold);
        run(batch, TemperingRound{seed, step, interval}, counts, extra...);
      },
      py::kw_only(), py::arg("replicas"), py::arg("rungs"), py::arg("beta"), py::arg("move_size"), py::arg("energy"),
      py::arg("ids"), py::arg("order"), py::arg("velocities") = 0, py::arg("components") = 0, py::arg("seed"), py::arg("step"),
      py::arg("interval"), py::arg("attempts"), py::arg("accepts"), py::arg("visits"), py::arg("trips"), py::arg("from_hot"),
      py::arg("from_cold"), names..., doc);
}

}  // namespace

void register_parallel_tempering(py::module_& module) {
  define<>(
      module, "exchange",
      "One round of exchanges in ladders of `rungs` replicas: those of parity (step / interval) mod 2 swap beta and move_size, and "
      "their velocities are scaled.",
      [](const TemperingBatch& batch, const TemperingRound& round, const TemperingCounts& counts) {
        py::gil_scoped_release release;
        cpu::exchange(batch, round, counts);
      });
  define<int, Address>(
      module, "cuda_exchange", "The same for arrays on a CUDA device, on a stream; returns before the work is done.",
      [](const TemperingBatch& batch, const TemperingRound& round, const TemperingCounts& counts, int device, Address stream) {
        py::gil_scoped_release release;
        cuda::exchange(batch, round, counts, {device, pointer<void>(stream), false});
      },
      py::arg("device"), py::arg("stream"));
}

}  // namespace glassnf::bindings
