// What this build and this machine can do.
#include "glassnf/group_sampler.hpp"
#include "native.hpp"

namespace glassnf::bindings {

void register_runtime(py::module_& module) {
  module.def("instruction_set", &cpu::instruction_set, "The instruction set in use.");
  module.def(
      "instruction_sets",
      [] {
        std::vector<std::string> names;
        for (const char* name : {"avx512", "avx2", "baseline"})
          if (cpu::has_instruction_set(name)) names.emplace_back(name);
        return names;
      },
      "The instruction sets that this build and this machine have, fastest first.");
  module.def(
      "use_instruction_set",
      [](const std::string& name) {
        require(cpu::use_instruction_set(name.c_str()), "name: expected one of instruction_sets(), got '" + name + "'");
      },
      py::arg("name"), "Choose an instruction set; results do not depend on it.");
  module.def("cuda_built", &cuda::built);
  module.def("cuda_device_count", &cuda::device_count);
  module.def("cuda_why_not", &cuda::why_not);
  module.def("cuda_device_name", &cuda::device_name, py::arg("device"));
  module.def(
      "cuda_memory",
      [](int device) {
        std::int64_t free_bytes = 0, total_bytes = 0;
        cuda::memory(device, free_bytes, total_bytes);
        return std::make_pair(free_bytes, total_bytes);
      },
      py::arg("device"), "Free and total memory of a device, in bytes.");
  module.def(
      "cuda_sequential_limit", [](const NativeSystem&) { return sequential_by_default; }, py::arg("system"),
      "Largest number of particles for which Monte Carlo on a CUDA device is sequential unless asked otherwise.");
  // The last one registered is tried first.
  py::register_exception<cuda::Error>(module, "CudaError", PyExc_RuntimeError);
  py::register_exception<cuda::OutOfMemory>(module, "CudaOutOfMemoryError", module.attr("CudaError"));
}

}  // namespace glassnf::bindings
