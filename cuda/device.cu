// What the CUDA backend can say about this machine, and the runtime behind runtime.hpp. No CUDA call is made before someone asks.
#include <map>
#include <mutex>
#include <utility>

#include "runtime.hpp"

namespace glassnf::cuda {

namespace {

struct Probe {
  int devices = 0;
  std::string reason;

  Probe() {
    const cudaError_t status = cudaGetDeviceCount(&devices);
    if (status == cudaSuccess && devices > 0) return;
    devices = 0;
    cudaGetLastError();  // leave no error behind for other users of the runtime
    if (status == cudaErrorInsufficientDriver)
      reason = "the NVIDIA driver is missing or older than this build of glassnf (CUDA " + std::to_string(CUDART_VERSION / 1000) +
               "." + std::to_string(CUDART_VERSION % 1000 / 10) + "); install a newer driver, or use device=\"cpu\"";
    else if (status == cudaSuccess || status == cudaErrorNoDevice)
      reason = "there is no CUDA device on this machine, or CUDA_VISIBLE_DEVICES hides it; use device=\"cpu\"";
    else
      reason = std::string("the CUDA runtime found no usable device: ") + cudaGetErrorString(status);
  }
};

const Probe& probe() {
  static const Probe result;
  return result;
}

// One pool per device, made at first use, kept until the process ends.
cudaMemPool_t pool_of(int device) {
  static std::mutex mutex;
  static std::map<int, cudaMemPool_t> pools;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = pools.find(device);
  if (found != pools.end()) return found->second;
  cudaMemPoolProps properties = {};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device;
  cudaMemPool_t pool = nullptr;
  check(cudaMemPoolCreate(&pool, &properties), "creation of a memory pool");
  std::uint64_t keep = std::uint64_t(256) << 20;  // bytes that stay with us between calls
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "set-up of a memory pool");
  return pools[device] = pool;
}

}  // namespace

bool built() { return true; }
int device_count() { return probe().devices; }
const char* why_not() { return probe().reason.c_str(); }

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // errors that can be left behind are; the process stays usable
  const int code = static_cast<int>(status);
  const std::string reason = std::string(what) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation)
    throw OutOfMemory(reason + "; use fewer replicas, or free memory that other libraries hold on this device", code);
  if (status == cudaErrorNoKernelImageForDevice)
    throw Error(reason + "; rebuild glassnf for this device, for instance with CUDAARCHS=native pip install .", code);
  throw Error(reason, code);
}

DeviceGuard::DeviceGuard(int device) {
  if (device_count() == 0) throw Error(why_not());
  if (device < 0 || device >= device_count())
    throw Error("device: expected a CUDA device from 0 to " + std::to_string(device_count() - 1) + ", got " +
                std::to_string(device));
  int current = -1;
  check(cudaGetDevice(&current), "query of the current device");
  if (current == device) return;
  check(cudaSetDevice(device), "choice of the device");
  before_ = current;
}
DeviceGuard::~DeviceGuard() {
  if (before_ >= 0 && cudaSetDevice(before_) != cudaSuccess) cudaGetLastError();  // not an error of what comes next
}

void* allocate(std::int64_t bytes, const Target& target) {
  void* memory = nullptr;
  const std::string what = "allocation of " + std::to_string(bytes) + " bytes on device " + std::to_string(target.device);
  check(cudaMallocFromPoolAsync(&memory, static_cast<std::size_t>(bytes), pool_of(target.device),
                                static_cast<cudaStream_t>(target.stream)),
        what.c_str());
  return memory;
}

std::string device_name(int device) {
  const DeviceGuard guard(device);
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "query of a device");
  return properties.name;
}

void memory(int device, std::int64_t& free_bytes, std::int64_t& total_bytes) {
  const DeviceGuard guard(device);
  std::size_t free_size = 0, total_size = 0;
  check(cudaMemGetInfo(&free_size, &total_size), "query of the memory of a device");
  free_bytes = static_cast<std::int64_t>(free_size);
  total_bytes = static_cast<std::int64_t>(total_size);
}

}  // namespace glassnf::cuda
