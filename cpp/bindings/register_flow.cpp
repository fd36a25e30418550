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

// Defines a function of the arguments that both backends take and of Extra arguments of its own, which run(system, batch, plan, extra...)
// gets.
template <class... Extra, class Run, class... Names>
void define_trajectory(py::module_& module, const char* name, const char* doc, Run run, const Names&... names) {
  module.def(
      name,
      [run](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t images,
            std::uintptr_t species, std::uintptr_t log_jacobian, double inner, double outer, std::int64_t intervals,
            std::uintptr_t pair, int layers, double message_inner, double message_outer, std::int64_t message_intervals,
            std::uintptr_t messages, std::int64_t steps, double step_size, Extra... extra) {
        require(replicas >= 0, "replicas: expected a count, got " + std::to_string(replicas));
        require(replicas == 0 || (positions && images && species && log_jacobian), "expected addresses of arrays");
        const FlowTables tables = flow_tables(system.view, inner, outer, intervals, pair, layers, message_inner, message_outer,
                                              message_intervals, messages);
        require(steps >= 0, "steps: expected a count, got " + std::to_string(steps));
        require(std::isfinite(step_size), "step_size: expected a finite number");
        const FlowBatch batch{replicas, pointer<double>(positions), pointer<std::int32_t>(images),
                              pointer<const std::int32_t>(species), pointer<double>(log_jacobian)};
        run(system.view, batch, FlowPlan{tables, steps, step_size}, extra...);
      },
      py::arg("system"), py::kw_only(), py::arg("replicas"), py::arg("positions"), py::arg("images"), py::arg("species"),
      py::arg("log_jacobian"), py::arg("inner"), py::arg("outer"), py::arg("intervals"), py::arg("pair"), py::arg("layers") = 0,
      py::arg("message_inner") = 0.0, py::arg("message_outer") = 0.0, py::arg("message_intervals") = 0, py::arg("messages") = 0,
      py::arg("steps"), py::arg("step_size"), names..., doc);
}

template <class... Extra, class Run, class... Names>
void define_field(py::module_& module, const char* name, const char* doc, Run run, const Names&... names) {
  module.def(
      name,
      [run](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t species,
            std::uintptr_t velocity, std::uintptr_t divergence, double inner, double outer, std::int64_t intervals,
            std::uintptr_t pair, int layers, double message_inner, double message_outer, std::int64_t message_intervals,
            std::uintptr_t messages, Extra... extra) {
        require(replicas >= 0, "replicas: expected a count, got " + std::to_string(replicas));
        require(replicas == 0 || (positions && species && velocity && divergence), "expected addresses of arrays");
        const FlowTables tables = flow_tables(system.view, inner, outer, intervals, pair, layers, message_inner, message_outer,
                                              message_intervals, messages);
        const FlowFieldBatch batch{replicas, pointer<const double>(positions), pointer<const std::int32_t>(species),
                                   pointer<double>(velocity), pointer<double>(divergence)};
        run(system.view, batch, tables, extra...);
      },
      py::arg("system"), py::kw_only(), py::arg("replicas"), py::arg("positions"), py::arg("species"), py::arg("velocity"),
      py::arg("divergence"), py::arg("inner"), py::arg("outer"), py::arg("intervals"), py::arg("pair"), py::arg("layers") = 0,
      py::arg("message_inner") = 0.0, py::arg("message_outer") = 0.0, py::arg("message_intervals") = 0, py::arg("messages") = 0,
      names..., doc);
}

}  // namespace

void register_flow(py::module_& module) {
  define_trajectory<int, int>(
      module, "flow_trajectory",
      "Carry positions (R, N, d) along a flow, in place: add box crossings to images, fill log_jacobian (R,).",
      [](const SystemView& system, const FlowBatch& batch, const FlowPlan& plan, int search, int threads) {
        check_search(search);
        checked_threads(threads);
        py::gil_scoped_release release;
        cpu::flow_trajectory(system, batch, plan, search, threads);
      },
      py::arg("search") = 0, py::arg("threads") = 1);
  define_field<int, int>(
      module, "flow_field", "Fill velocity (R, N, d) and divergence (R,) of the field of one set of tables.",
      [](const SystemView& system, const FlowFieldBatch& batch, const FlowTables& tables, int search, int threads) {
        check_search(search);
        checked_threads(threads);
        py::gil_scoped_release release;
        cpu::flow_field(system, batch, tables, search, threads);
      },
      py::arg("search") = 0, py::arg("threads") = 1);
  define_trajectory<int, std::uintptr_t>(
      module, "cuda_flow_trajectory",
      "The same for arrays on a CUDA device, with tables in host memory. Returns before the work on the stream is done.",
      [](const SystemView& system, const FlowBatch& batch, const FlowPlan& plan, int device, std::uintptr_t stream) {
        py::gil_scoped_release release;
        cuda::flow_trajectory(system, batch, plan, {device, pointer<void>(stream), false});
      },
      py::arg("device"), py::arg("stream"));
  define_field<int, std::uintptr_t>(
      module, "cuda_flow_field",
      "The same for arrays on a CUDA device, with tables in host memory. Returns before the work on the stream is done.",
      [](const SystemView& system, const FlowFieldBatch& batch, const FlowTables& tables, int device, std::uintptr_t stream) {
        py::gil_scoped_release release;
        cuda::flow_field(system, batch, tables, {device, pointer<void>(stream), false});
      },
      py::arg("device"), py::arg("stream"));
}

}  // namespace glassnf::bindings
