// What the bindings share. Arrays arrive as addresses that python/glassnf/_arrays.py has checked; sizes are checked again here.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend.hpp"
#include "glassnf/philox.hpp"

namespace glassnf::bindings {

namespace py = pybind11;

// Owns what a SystemView points to.
struct NativeSystem {
  SystemView view;
  std::vector<double> coefficients;
};

template <class T>
T* pointer(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

inline void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

// Without overflow, whatever the numbers are.
inline void check_steps(std::uint64_t step, std::int64_t count, const char* name) {
  require(step <= max_step && static_cast<std::uint64_t>(count) <= max_step - step,
          std::string("step: expected step + ") + name + " to stay below 2^44");
}

inline int checked_threads(int threads) {
  require(threads >= 1 && threads <= 4096, "threads: expected an integer from 1 to 4096, got " + std::to_string(threads));
  return threads;
}

void register_system(py::module_& module);
void register_dynamics(py::module_& module);
void register_energy(py::module_& module);
void register_flow_features(py::module_& module);
void register_flow(py::module_& module);
void register_monte_carlo(py::module_& module);
void register_parallel_tempering(py::module_& module);
void register_random(py::module_& module);
void register_resampling(py::module_& module);
void register_runtime(py::module_& module);

}  // namespace glassnf::bindings
