// Energies, forces, virials, on the CPU and on CUDA devices.
#include "native.hpp"

namespace glassnf::bindings {

namespace {

EnergyBatch energy_batch(std::int64_t replicas, std::uintptr_t positions, std::uintptr_t species, std::uintptr_t energy,
                         std::uintptr_t forces, std::uintptr_t virial) {
  require(replicas >= 0, "replicas: expected a count, got " + std::to_string(replicas));
  require(replicas == 0 || (positions && species && energy), "positions, species, energy: expected addresses of arrays");
  return {replicas,
          pointer<const double>(positions),
          pointer<const std::int32_t>(species),
          pointer<double>(energy),
          pointer<double>(forces),
          pointer<double>(virial)};
}

}  // namespace

void register_energy(py::module_& module) {
  module.def(
      "energy",
      [](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t species, std::uintptr_t energy,
         std::uintptr_t forces, std::uintptr_t virial, int threads) {
        const EnergyBatch batch = energy_batch(replicas, positions, species, energy, forces, virial);
        checked_threads(threads);
        py::gil_scoped_release release;
        cpu::energy(system.view, batch, threads);
      },
      py::arg("system"), py::kw_only(), py::arg("replicas").noconvert(), py::arg("positions").noconvert(),
      py::arg("species").noconvert(), py::arg("energy").noconvert(), py::arg("forces").noconvert() = 0,
      py::arg("virial").noconvert() = 0, py::arg("threads").noconvert() = 1,
      "Fill energy (R,), and forces (R, N, d) and virial (R, d, d) unless their address is 0. Positions are wrapped.");
  module.def(
      "cuda_energy",
      [](const NativeSystem& system, std::int64_t replicas, std::uintptr_t positions, std::uintptr_t species, std::uintptr_t energy,
         std::uintptr_t forces, std::uintptr_t virial, int device, std::uintptr_t stream, bool mixed) {
        const EnergyBatch batch = energy_batch(replicas, positions, species, energy, forces, virial);
        py::gil_scoped_release release;
        cuda::energy(system.view, batch, {device, pointer<void>(stream), mixed});
      },
      py::arg("system"), py::kw_only(), py::arg("replicas").noconvert(), py::arg("positions").noconvert(),
      py::arg("species").noconvert(), py::arg("energy").noconvert(), py::arg("forces").noconvert() = 0,
      py::arg("virial").noconvert() = 0, py::arg("device").noconvert(), py::arg("stream").noconvert(), py::arg("mixed") = false,
      "The same for arrays on a CUDA device. Returns before the work on the stream is done.");
}

}  // namespace glassnf::bindings
