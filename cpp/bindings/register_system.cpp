// A system as the kernels see it.
#include <cmath>

#include "glassnf/potentials.hpp"
#include "native.hpp"

namespace glassnf::bindings {

namespace {

NativeSystem make_system(std::int64_t n, const std::vector<double>& box, double cutoff, int kind, int exponent, int species_count,
                         const std::vector<double>& coefficients, double largest_epsilon) {
  require(n >= 1, "n: expected at least 1 particle, got " + std::to_string(n));
  require(box.size() == 2 || box.size() == 3, "box: expected 2 or 3 sides, got " + std::to_string(box.size()));
  require(kind >= 0 && kind <= 2, "kind: expected 0, 1 or 2, got " + std::to_string(kind));
  require(species_count >= 1, "species_count: expected at least 1, got " + std::to_string(species_count));
  const std::size_t expected = static_cast<std::size_t>(species_count) * species_count * coefficient_count;
  require(coefficients.size() == expected,
          "coefficients: expected " + std::to_string(expected) + " numbers, got " + std::to_string(coefficients.size()));
  require(largest_epsilon > 0.0 && std::isfinite(largest_epsilon), "largest_epsilon: expected a positive number");
  for (double side : box) require(std::isfinite(side) && side >= 2.0 * cutoff, "box: expected sides of at least two cutoffs");
  NativeSystem system;
  system.coefficients = coefficients;
  SystemView& view = system.view;
  view.dimension = static_cast<int>(box.size());
  view.n = n;
  view.species_count = species_count;
  for (int k = 0; k < 3; ++k) view.box[k] = k < view.dimension ? box[k] : 0.0;
  view.cutoff = cutoff;
  view.kind = kind;
  view.exponent = exponent;
  view.energy_scale = std::exp2(std::ceil(std::log2(largest_epsilon)));
  return system;
}

}  // namespace

void register_system(py::module_& module) {
  py::class_<NativeSystem>(module, "System", "A system as the kernels see it.")
      .def(py::init([](std::int64_t n, const std::vector<double>& box, double cutoff, int kind, int exponent, int species_count,
                       const std::vector<double>& coefficients, double largest_epsilon) {
             auto system = std::make_unique<NativeSystem>(
                 make_system(n, box, cutoff, kind, exponent, species_count, coefficients, largest_epsilon));
             system->view.coefficients = system->coefficients.data();
             return system;
           }),
           py::kw_only(), py::arg("n"), py::arg("box"), py::arg("cutoff"), py::arg("kind"), py::arg("exponent"),
           py::arg("species_count"), py::arg("coefficients"), py::arg("largest_epsilon"));
}

}  // namespace glassnf::bindings
