// What the training of flows by regression needs.
#include <algorithm>
#include <cmath>

#include "native.hpp"

namespace glassnf::bindings {

namespace {

RadialRange radial_range(const std::string& name, const NativeSystem& system, double inner, double outer, int intervals) {
  const double half = 0.5 * *std::min_element(system.view.box, system.view.box + system.view.dimension);
  require(std::isfinite(inner) && inner > 0.0 && inner < outer, name + ": expected 0 < inner < outer");
  require(outer < half, name + ": expected a range of less than half the box, got " + std::to_string(outer));
  require(intervals >= 4 && intervals <= 4096, name + ": expected 4 to 4096 intervals, got " + std::to_string(intervals));
  return {inner, outer, intervals};
}

}  // namespace

void register_flow_features(py::module_& module) {
  module.def(
      "flow_features",
      [](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t species, std::uintptr_t forces,
         std::uintptr_t beta, double pair_inner, double pair_outer, int pair_intervals, double message_inner, double message_outer,
         int message_intervals, int layers, std::uintptr_t pair_coefficients, std::uintptr_t message_coefficients,
         std::uintptr_t features, int threads) {
        require(replicas >= 0, "replicas: expected a count, got " + std::to_string(replicas));
        require(replicas == 0 || (positions && species && forces && beta && features), "expected addresses of arrays");
        require(layers >= 0 && layers <= 8, "layers: expected 0 to 8, got " + std::to_string(layers));
        require(layers < 1 || pair_coefficients, "pair_coefficients: expected an address");
        require(layers < 2 || message_coefficients, "message_coefficients: expected an address");
        require(system.view.n <= 4096, "n: expected at most 4096 particles, got " + std::to_string(system.view.n));
        checked_threads(threads);
        const RadialRange pair = radial_range("pair", system, pair_inner, pair_outer, pair_intervals);
        const RadialRange message = radial_range("message", system, message_inner, message_outer, message_intervals);
        const std::int64_t pairs = system.view.species_count * (system.view.species_count + 1) / 2;
        const FlowFeatures job{replicas,
                               pointer<const double>(positions),
                               pointer<const std::int32_t>(species),
                               pointer<const double>(forces),
                               pointer<const double>(beta),
                               pair,
                               message,
                               layers,
                               pointer<const double>(pair_coefficients),
                               pointer<const double>(message_coefficients),
                               pairs * (pair.intervals - 3 + (layers ? 2 * (message.intervals - 3) : 0)),
                               pointer<double>(features)};
        py::gil_scoped_release release;
        cpu::flow_features(system.view, job, threads);
      },
      py::arg("system"), py::kw_only(), py::arg("replicas").noconvert(), py::arg("positions").noconvert(),
      py::arg("species").noconvert(), py::arg("forces").noconvert(), py::arg("beta").noconvert(), py::arg("pair_inner").noconvert(),
      py::arg("pair_outer").noconvert(), py::arg("pair_intervals").noconvert(), py::arg("message_inner").noconvert(),
      py::arg("message_outer").noconvert(), py::arg("message_intervals").noconvert(), py::arg("layers").noconvert(),
      py::arg("pair_coefficients").noconvert(), py::arg("message_coefficients").noconvert(), py::arg("features").noconvert(),
      py::arg("threads").noconvert() = 1,
      "Fill features (R, size): div phi + beta phi.F for the radial functions of the last of `layers` layers of messages.");
}

}  // namespace glassnf::bindings
