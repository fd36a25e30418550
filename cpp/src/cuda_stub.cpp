// Stands in for the CUDA backend in a build without CUDA.
#include "backend.hpp"

namespace glassnf::cuda {

bool built() { return false; }
int device_count() { return 0; }
const char* why_not() {
  return "this build of glassnf has no CUDA backend; install the CUDA toolkit and rebuild with "
         "GLASSNF_CUDA=ON pip install --no-cache-dir --force-reinstall .";
}

}  // namespace glassnf::cuda
