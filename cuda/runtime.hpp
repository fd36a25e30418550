// The CUDA runtime as the backend uses it: typed errors, the current device put back, memory of the stream.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>

#include "backend.hpp"

namespace glassnf::cuda {

// Throws Error or OutOfMemory unless status is success. `what`: the attempted operation.
void check(cudaError_t status, const char* what);
// After a kernel launch: errors of the launch itself. What happens while it runs shows at the next synchronisation.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

// Makes a device current, and the one before it again at the end.
class DeviceGuard {
  int before_ = -1;  // -1: the device was current already

 public:
  explicit DeviceGuard(int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;
};

// Scratch memory in the order of a stream, from a pool of our own that keeps some memory between calls.
template <class T>
class Buffer {
  T* data_ = nullptr;
  cudaStream_t stream_ = nullptr;

 public:
  Buffer() = default;
  Buffer(std::int64_t count, const Target& target);
  Buffer(Buffer&& other) noexcept : data_(other.data_), stream_(other.stream_) { other.data_ = nullptr; }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~Buffer() {
    if (data_ && cudaFreeAsync(data_, stream_) != cudaSuccess) cudaGetLastError();
  }
  T* get() const { return data_; }
  operator T*() const { return data_; }
};

void* allocate(std::int64_t bytes, const Target& target);

template <class T>
Buffer<T>::Buffer(std::int64_t count, const Target& target)
    : data_(static_cast<T*>(allocate(count * static_cast<std::int64_t>(sizeof(T)), target))),
      stream_(static_cast<cudaStream_t>(target.stream)) {}

// A copy of host numbers on the device. The host array may go at once: pageable memory is staged before cudaMemcpyAsync returns.
template <class T>
Buffer<T> upload(const T* host, std::int64_t count, const Target& target) {
  Buffer<T> buffer(count > 0 ? count : 1, target);
  if (count > 0)
    check(cudaMemcpyAsync(buffer.get(), host, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyHostToDevice,
                          static_cast<cudaStream_t>(target.stream)),
          "copy to the device");
  return buffer;
}

inline unsigned blocks_for(std::int64_t items, std::int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

}  // namespace glassnf::cuda
