// Sorting by CUB, and sums in a fixed order.
#include "sorting.hpp"

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

namespace glassnf::cuda {

namespace {

constexpr int threads = 256;
constexpr std::int64_t piece = 4096;  // numbers that one block sums

__global__ void find_starts_kernel(const std::uint32_t* keys, std::int64_t count, std::int64_t cells, std::int32_t* start) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i > count) return;
  // The cells that begin at place i: those after the key before, up to the key here.
  const std::int64_t from = i == 0 ? 0 : static_cast<std::int64_t>(keys[i - 1]) + 1;
  const std::int64_t to = i == count ? cells : static_cast<std::int64_t>(keys[i]);
  for (std::int64_t c = from; c <= to; ++c) start[c] = static_cast<std::int32_t>(i);
}

__global__ void segmented_sum_kernel(const double* values, std::int64_t length, std::int64_t pieces, double scale, double* out) {
  __shared__ double partial[threads];
  const std::int64_t segment = blockIdx.x / pieces, first = (blockIdx.x % pieces) * piece;
  const std::int64_t last = first + piece < length ? first + piece : length;
  double total = 0.0;
  for (std::int64_t i = first + threadIdx.x; i < last; i += threads) total += values[segment * length + i];
  partial[threadIdx.x] = total;
  for (unsigned step = threads / 2; step > 0; step /= 2) {
    __syncthreads();
    if (threadIdx.x < step) partial[threadIdx.x] += partial[threadIdx.x + step];
  }
  if (threadIdx.x == 0) out[blockIdx.x] = scale * partial[0];
}

}  // namespace

void sort_pairs(Buffer<std::uint32_t>& keys, Buffer<std::int32_t>& values, std::int64_t count, std::int64_t keys_below,
                const Target& target) {
  const auto stream = static_cast<cudaStream_t>(target.stream);
  int bits = 1;
  while ((std::int64_t(1) << bits) < keys_below) ++bits;
  Buffer<std::uint32_t> other_keys(count, target);
  Buffer<std::int32_t> other_values(count, target);
  cub::DoubleBuffer<std::uint32_t> key_pair(keys.get(), other_keys.get());
  cub::DoubleBuffer<std::int32_t> value_pair(values.get(), other_values.get());
  std::size_t bytes = 0;
  check(cub::DeviceRadixSort::SortPairs(nullptr, bytes, key_pair, value_pair, count, 0, bits, stream), "plan of a sort");
  Buffer<char> scratch(static_cast<std::int64_t>(bytes) + 1, target);
  check(cub::DeviceRadixSort::SortPairs(scratch.get(), bytes, key_pair, value_pair, count, 0, bits, stream), "sort");
  if (key_pair.Current() != keys.get()) keys = std::move(other_keys);
  if (value_pair.Current() != values.get()) values = std::move(other_values);
}

void find_starts(const std::uint32_t* sorted_keys, std::int64_t count, std::int64_t cells, std::int32_t* start,
                 const Target& target) {
  find_starts_kernel<<<blocks_for(count + 1, threads), threads, 0, static_cast<cudaStream_t>(target.stream)>>>(sorted_keys, count,
                                                                                                               cells, start);
  check_launch("launch of find_starts");
}

Scan::Scan(std::int64_t count, const Target& target) : count_(count) {
  const std::int32_t* in = nullptr;
  std::int32_t* out = nullptr;
  check(cub::DeviceScan::ExclusiveSum(nullptr, bytes_, in, out, count_, static_cast<cudaStream_t>(target.stream)),
        "plan of a scan");
  scratch_ = Buffer<char>(static_cast<std::int64_t>(bytes_) + 1, target);
}

void Scan::operator()(const std::int32_t* in, std::int32_t* out, const Target& target) const {
  std::size_t bytes = bytes_;
  check(cub::DeviceScan::ExclusiveSum(scratch_.get(), bytes, in, out, count_, static_cast<cudaStream_t>(target.stream)), "scan");
}

void segmented_sum(const double* values, std::int64_t segments, std::int64_t length, double scale, double* out,
                   const Target& target) {
  const auto stream = static_cast<cudaStream_t>(target.stream);
  const std::int64_t pieces = (length + piece - 1) / piece;
  const auto blocks = static_cast<unsigned>(segments * pieces);
  if (pieces == 1) {
    segmented_sum_kernel<<<blocks, threads, 0, stream>>>(values, length, pieces, scale, out);
    check_launch("launch of segmented_sum");
    return;
  }
  const Buffer<double> partial(segments * pieces, target);
  segmented_sum_kernel<<<blocks, threads, 0, stream>>>(values, length, pieces, 1.0, partial.get());
  check_launch("launch of segmented_sum");
  segmented_sum(partial.get(), segments, pieces, scale, out, target);
}

}  // namespace glassnf::cuda
