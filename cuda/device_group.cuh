// A group of lanes on the GPU: a warp or an aligned part of one. The interface, and what it promises, is that of glassnf/group.hpp.
// Groups of one warp may go different ways; every exchange names the lanes that take part.
#pragma once

#include "glassnf/group.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

template <int Size>
struct DeviceGroup {
  static constexpr int size = Size;

  template <class T>
  struct PerLane {
    T value;
    GLASSNF_HD T& operator[](int) { return value; }
    GLASSNF_HD const T& operator[](int) const { return value; }
  };

#if defined(__CUDA_ARCH__)
  unsigned mask;
  int lane, first;  // this thread's lane, and the warp's lane of lane 0

  __device__ __forceinline__ DeviceGroup() {
    const unsigned in_warp = threadIdx.x & 31u;
    lane = static_cast<int>(in_warp % Size);
    first = static_cast<int>(in_warp) - lane;
    mask = Size == 32 ? 0xffffffffu : ((1u << (Size % 32)) - 1u) << first;
  }
  template <class Body>
  __device__ __forceinline__ void lanes(Body&& body) const {
    body(lane);
    __syncwarp(mask);
  }
  template <class Body>
  __device__ __forceinline__ void once(Body&& body) const {
    if (lane == 0) body();
    __syncwarp(mask);
  }
  template <class T>
  __device__ __forceinline__ T sum(const PerLane<T>& of) const {
    T total = of.value;
#pragma unroll
    for (int step = Size / 2; step > 0; step /= 2) total = total + __shfl_xor_sync(mask, total, step, Size);
    return total;
  }
  template <class T>
  __device__ __forceinline__ T from(const PerLane<T>& of, int source) const {
    static_assert(sizeof(T) % 4 == 0);
    constexpr int words = sizeof(T) / 4;
    union Words {
      T value;
      unsigned word[words];
      __device__ Words() {}
    } result;
    result.value = of.value;
#pragma unroll
    for (int w = 0; w < words; ++w) result.word[w] = __shfl_sync(mask, result.word[w], source, Size);
    return result.value;
  }
  __device__ __forceinline__ std::uint32_t ballot(const PerLane<bool>& of) const {
    return __ballot_sync(mask, of.value) >> first & (Size == 32 ? 0xffffffffu : (1u << (Size % 32)) - 1u);
  }
  __device__ __forceinline__ PerLane<std::uint32_t> alike(const PerLane<std::int32_t>& key) const {
    return {__match_any_sync(mask, key.value) >> first};
  }
#else  // never called: host code is only compiled
  template <class Body>
  void lanes(Body&&) const {}
  template <class Body>
  void once(Body&&) const {}
  template <class T>
  T sum(const PerLane<T>& of) const {
    return of.value;
  }
  template <class T>
  T from(const PerLane<T>& of, int) const {
    return of.value;
  }
  std::uint32_t ballot(const PerLane<bool>&) const { return 0; }
  PerLane<std::uint32_t> alike(const PerLane<std::int32_t>&) const { return {0}; }
#endif
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
