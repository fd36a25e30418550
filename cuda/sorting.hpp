// Particles of one or many replicas sorted by cell on the device.
#pragma once

#include "runtime.hpp"

namespace glassnf::cuda {

// Sorts `count` (key, value) pairs by key, 0 <= key < keys; equal keys keep their order. Keys and values are replaced.
void sort_pairs(Buffer<std::uint32_t>& keys, Buffer<std::int32_t>& values, std::int64_t count, std::int64_t keys_below,
                const Target& target);
// start[c] = number of sorted keys below c, for c = 0 .. cells.
void find_starts(const std::uint32_t* sorted_keys, std::int64_t count, std::int64_t cells, std::int32_t* start,
                 const Target& target);
// out[i] = in[0] + ... + in[i - 1] for `count` numbers, by one and the same scratch memory every time.
class Scan {
  std::int64_t count_ = 0;
  std::size_t bytes_ = 0;
  Buffer<char> scratch_;

 public:
  Scan() = default;
  Scan(std::int64_t count, const Target& target);
  void operator()(const std::int32_t* in, std::int32_t* out, const Target& target) const;
};
// out[s] = scale * sum of values[s * length .. (s + 1) * length), in an order that depends on `length` alone.
void segmented_sum(const double* values, std::int64_t segments, std::int64_t length, double scale, double* out,
                   const Target& target);

}  // namespace glassnf::cuda
