// A group of lanes that work on one replica together, on either machine: on the GPU a warp or part of one (cuda/device_group.cuh), on
// the host a loop. Algorithms written against it are compiled for both, so that what the GPU does is tested where there is none.
//
// Code of a group is the same for all its lanes and runs in step, except inside lanes(): the body runs once for every lane, and its
// writes are visible to all when lanes() returns. Within one lanes() no lane may read what another writes. A value that lanes carry
// from one lanes() to the next lives in a PerLane.
#pragma once

#include "glassnf/config.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

template <int Size>
struct HostGroup {
  static constexpr int size = Size;

  template <class T>
  struct PerLane {
    T value[Size];
    GLASSNF_HD T& operator[](int lane) { return value[lane]; }
    GLASSNF_HD const T& operator[](int lane) const { return value[lane]; }
  };

  template <class Body>
  GLASSNF_HD void lanes(Body&& body) const {
    for (int lane = 0; lane < Size; ++lane) body(lane);
  }
  // On one lane only.
  template <class Body>
  GLASSNF_HD void once(Body&& body) const {
    body();
  }
  template <class T>
  GLASSNF_HD T sum(const PerLane<T>& of) const {
    T total = of[0];
    for (int lane = 1; lane < Size; ++lane) total = total + of[lane];
    return total;
  }
  template <class T>
  GLASSNF_HD T from(const PerLane<T>& of, int lane) const {
    return of[lane];
  }
  // Bit per lane.
  GLASSNF_HD std::uint32_t ballot(const PerLane<bool>& of) const {
    std::uint32_t bits = 0;
    for (int lane = 0; lane < Size; ++lane) bits |= static_cast<std::uint32_t>(of[lane]) << lane;
    return bits;
  }
  // Bit per lane with the same key, for each lane.
  GLASSNF_HD PerLane<std::uint32_t> alike(const PerLane<std::int32_t>& key) const {
    PerLane<std::uint32_t> bits;
    for (int lane = 0; lane < Size; ++lane) {
      bits[lane] = 0;
      for (int other = 0; other < Size; ++other) bits[lane] |= static_cast<std::uint32_t>(key[other] == key[lane]) << other;
    }
    return bits;
  }
};

GLASSNF_HD int count_bits(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __popc(bits);
#else
  int count = 0;
  for (; bits; bits &= bits - 1) ++count;
  return count;
#endif
}
// How many of the bits belong to lanes before this one.
GLASSNF_HD int bits_before(std::uint32_t bits, int lane) { return count_bits(bits & ((std::uint32_t(1) << lane) - 1)); }

}  // namespace GLASSNF_ISA
}  // namespace glassnf
