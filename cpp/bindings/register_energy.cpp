// Energies, forces, virials.
#include "native.hpp"

namespace glassnf::bindings {

void register_energy(py::module_& module) {
  module.def(
      "energy",
      [](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t species, std::uintptr_t energy,
         std::uintptr_t forces, std::uintptr_t virial, int threads) {
        require(replicas >= 0, "replicas: expected a count, got " + std::to_string(replicas));
        require(replicas == 0 || (positions && species && energy), "positions, species, energy: expected addresses of arrays");
        checked_threads(threads);
        const EnergyBatch batch{replicas,
                                pointer<const double>(positions),
                                pointer<const std::int32_t>(species),
                                pointer<double>(energy),
                                pointer<double>(forces),
                                pointer<double>(virial)};
        py::gil_scoped_release release;
        cpu::energy(system.view, batch, threads);
      },
      py::arg("system"), py::kw_only(), py::arg("replicas").noconvert(), py::arg("positions").noconvert(),
      py::arg("species").noconvert(), py::arg("energy").noconvert(), py::arg("forces").noconvert() = 0,
      py::arg("virial").noconvert() = 0, py::arg("threads").noconvert() = 1,
      "Fill energy (R,), and forces (R, N, d) and virial (R, d, d) unless their address is 0. Positions are wrapped.");
}

}  // namespace glassnf::bindings
