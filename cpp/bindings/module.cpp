// Table of contents of glassnf._core.
#include "native.hpp"

PYBIND11_MODULE(_core, module) {
  using namespace glassnf::bindings;
  module.doc() = "Native core of glassnf. Private: use the Python API of the package.";
  module.attr("__version__") = GLASSNF_VERSION;
  register_system(module);
  register_dynamics(module);
  register_energy(module);
  register_flow_features(module);
  register_flow(module);
  register_monte_carlo(module);
  register_parallel_tempering(module);
  register_random(module);
  register_resampling(module);
  register_runtime(module);
}
