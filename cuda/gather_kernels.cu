// Copies of replicas for population annealing (resampling.hpp). Parents stay in their slots, so that what is read is not written, and copying
// in place needs no second copy of the population.
#include <vector>

#include "runtime.hpp"

namespace glassnf::cuda {

namespace {

constexpr int threads = 256;

struct Copy {
  std::int64_t to, from;
};

template <class Word>
__global__ void gather_kernel(const Copy* copies, std::int64_t count, std::int64_t words, Word* data) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count * words) return;
  const Copy copy = copies[i / words];
  data[copy.to * words + i % words] = data[copy.from * words + i % words];
}

template <class Word>
bool run(const ReplicaArray& array, const Copy* copies, std::int64_t count, const Target& target) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(Word));
  if (array.bytes % size != 0 || reinterpret_cast<std::uintptr_t>(array.data) % size != 0) return false;
  const std::int64_t words = array.bytes / size;
  gather_kernel<Word><<<blocks_for(count * words, threads), threads, 0, static_cast<cudaStream_t>(target.stream)>>>(
      copies, count, words, static_cast<Word*>(array.data));
  check_launch("launch of gather");
  return true;
}

}  // namespace

void gather(std::int64_t replicas, const std::int64_t* parents, const ReplicaArray* arrays, int count, const Target& target) {
  const DeviceGuard guard(target.device);
  std::vector<Copy> copies;
  for (std::int64_t r = 0; r < replicas; ++r)
    if (parents[r] != r) copies.push_back({r, parents[r]});
  if (copies.empty()) return;
  const auto number = static_cast<std::int64_t>(copies.size());
  const auto on_device = upload(copies.data(), number, target);
  for (int a = 0; a < count; ++a)
    run<uint4>(arrays[a], on_device, number, target) || run<uint2>(arrays[a], on_device, number, target) ||
        run<unsigned>(arrays[a], on_device, number, target) || run<unsigned char>(arrays[a], on_device, number, target);
}

}  // namespace glassnf::cuda
