// Flow fields and their trajectories.
#include <cmath>

#include "flow_batches.hpp"
#include "native.hpp"

namespace glassnf::bindings {

namespace {

FlowRange flow_range(const SystemView& system, const std::string& name, double inner, double outer, std::int64_t intervals) {
  require(std::isfinite(inner) && inner >= 0.0, name + "inner: expected a non-negative number, got " + std::to_string(inner));
  require(std::isfinite(outer) && outer > inner, name + "outer: expected a number above inner, got " + std::to_string(outer));
  for (int k = 0; k < system.dimension; ++k)
    require(outer <= 0.5 * system.box[k],
            name + "outer: expected at most half of every side of the box, got " + std::to_string(outer));
  require(intervals >= 1 && intervals <= 65536, name + "intervals: expected 1 to 65536, got " + std::to_string(intervals));
  return {inner, outer, intervals};
}

FlowTables flow_tables(const SystemView& system, double inner, double outer, std::int64_t intervals, std::uintptr_t pair,
                       int layers, double message_inner, double message_outer, std::int64_t message_intervals,
                       std::uintptr_t messages) {
  const FlowRange range = flow_range(system, "", inner, outer, intervals);
  require(pair != 0, "pair: expected the address of an array");
  require(layers >= 0 && layers <= 3, "layers: expected 0 to 3, got " + std::to_string(layers));
  FlowRange message_range{};
  if (layers > 0) {
    message_range = flow_range(system, "message_", message_inner, message_outer, message_intervals);
    require(messages != 0, "messages: expected the address of an array");
  }
  return {layers, range, message_range, pointer<const double>(pair), pointer<const double>(messages)};
}

void check_search(int search) { require(search >= 0 && search <= 2, "search: expected 0, 1 or 2, got " + std::to_string(search)); }

}  // namespace

void register_flow(py::module_& module) {
  module.def(
      "flow_trajectory",
      [](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t images, std::uintptr_t species,
         std::uintptr_t log_jacobian, double inner, double outer, std::int64_t intervals, std::uintptr_t pair, int layers,
         double message_inner, double message_outer, std::int64_t message_intervals, std::uintptr_t messages, std::int64_t steps,
         double step_size, int search, int threads) {
        require(replicas >= 0, "replicas: expected a count, got " + std::to_string(replicas));
        require(replicas == 0 || (positions && images && species && log_jacobian), "expected addresses of arrays");
        const FlowTables tables = flow_tables(system.view, inner, outer, intervals, pair, layers, message_inner, message_outer,
                                              message_intervals, messages);
        require(steps >= 0, "steps: expected a count, got " + std::to_string(steps));
        require(std::isfinite(step_size), "step_size: expected a finite number");
        check_search(search);
        checked_threads(threads);
        const FlowBatch batch{replicas, pointer<double>(positions), pointer<std::int32_t>(images),
                              pointer<const std::int32_t>(species), pointer<double>(log_jacobian)};
        py::gil_scoped_release release;
        cpu::flow_trajectory(system.view, batch, {tables, steps, step_size}, search, threads);
      },
      py::arg("system"), py::kw_only(), py::arg("replicas"), py::arg("positions"), py::arg("images"), py::arg("species"),
      py::arg("log_jacobian"), py::arg("inner"), py::arg("outer"), py::arg("intervals"), py::arg("pair"), py::arg("layers") = 0,
      py::arg("message_inner") = 0.0, py::arg("message_outer") = 0.0, py::arg("message_intervals") = 0, py::arg("messages") = 0,
      py::arg("steps"), py::arg("step_size"), py::arg("search") = 0, py::arg("threads") = 1,
      "Carry positions (R, N, d) along a flow, in place: add box crossings to images, fill log_jacobian (R,).");
  module.def(
      "flow_field",
      [](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t species,
         std::uintptr_t velocity, std::uintptr_t divergence, double inner, double outer, std::int64_t intervals,
         std::uintptr_t pair, int layers, double message_inner, double message_outer, std::int64_t message_intervals,
         std::uintptr_t messages, int search, int threads) {
        require(replicas >= 0, "replicas: expected a count, got " + std::to_string(replicas));
        require(replicas == 0 || (positions && species && velocity && divergence), "expected addresses of arrays");
        const FlowTables tables = flow_tables(system.view, inner, outer, intervals, pair, layers, message_inner, message_outer,
                                              message_intervals, messages);
        check_search(search);
        checked_threads(threads);
        const FlowFieldBatch batch{replicas, pointer<const double>(positions), pointer<const std::int32_t>(species),
                                   pointer<double>(velocity), pointer<double>(divergence)};
        py::gil_scoped_release release;
        cpu::flow_field(system.view, batch, tables, search, threads);
      },
      py::arg("system"), py::kw_only(), py::arg("replicas"), py::arg("positions"), py::arg("species"), py::arg("velocity"),
      py::arg("divergence"), py::arg("inner"), py::arg("outer"), py::arg("intervals"), py::arg("pair"), py::arg("layers") = 0,
      py::arg("message_inner") = 0.0, py::arg("message_outer") = 0.0, py::arg("message_intervals") = 0, py::arg("messages") = 0,
      py::arg("search") = 0, py::arg("threads") = 1,
      "Fill velocity (R, N, d) and divergence (R,) of the field of one set of tables.");
}

}  // namespace glassnf::bindings
