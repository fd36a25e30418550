// What the CUDA backend can say about this machine. No CUDA call is made before someone asks.
#include <cuda_runtime.h>

#include <string>

#include "backend.hpp"

namespace glassnf::cuda {

namespace {

struct Probe {
  int devices = 0;
  std::string reason;

  Probe() {
    const cudaError_t status = cudaGetDeviceCount(&devices);
    if (status != cudaSuccess) {
      devices = 0;
      reason = std::string("the CUDA runtime found no usable device: ") + cudaGetErrorString(status);
      cudaGetLastError();  // leave no error behind for other users of the runtime
    } else if (devices == 0) {
      reason = "there is no CUDA device on this machine";
    }
  }
};

const Probe& probe() {
  static const Probe result;
  return result;
}

}  // namespace

bool built() { return true; }
int device_count() { return probe().devices; }
const char* why_not() { return probe().reason.c_str(); }

}  // namespace glassnf::cuda
