// Population annealing on the CPU: weights, parents, and copies of replicas.
#include <cstring>

#include "glassnf/resampling.hpp"
#include "threads.hpp"

namespace glassnf::cpu {

WeightSummary reweight(const Population& population, double beta_step, double extreme, std::uint64_t* weights) {
  const WeightGrid grid(population.replicas);
  WeightSums sums{0, 0, 0, 0};
  for (std::int64_t r = 0; r < population.replicas; ++r) {
    weights[r] = integer_weight(grid, population.energy[r], beta_step, extreme);
    const std::uint64_t rounded = short_weight(grid, weights[r]);
    sums.total += weights[r];
    sums.short_total += rounded;
    sums.short_squares += rounded * rounded;
  }
  for (std::int64_t r = 0; r < population.replicas; ++r) sums.culled += culled_share(grid, weights[r], sums.total);
  const Reweighting result = summarize(grid, sums);
  return {result.total, result.log_mean, result.culled, result.ess};
}

void resample(std::int64_t replicas, const std::uint64_t* weights, std::uint64_t seed, std::uint64_t step, std::int64_t* parents) {
  std::uint64_t total = 0;
  for (std::int64_t r = 0; r < replicas; ++r) total += weights[r];
  const std::uint64_t offset = random_offset(seed, step, total);
  std::vector<std::int64_t> surplus, vacant;
  std::uint64_t cumulative = 0;
  std::int64_t below = 0;
  for (std::int64_t r = 0; r < replicas; ++r) {
    cumulative += weights[r];
    const std::int64_t end = points_below(cumulative, replicas, total, offset), children = end - below;
    below = end;
    parents[r] = r;
    if (children == 0) vacant.push_back(r);
    for (std::int64_t copy = 1; copy < children; ++copy) surplus.push_back(r);
  }
  for (std::size_t i = 0; i < vacant.size(); ++i) parents[vacant[i]] = surplus[i];
}

void gather(std::int64_t replicas, const std::int64_t* parents, const ReplicaArray* arrays, int count, int threads) {
  for (std::int64_t r = 0; r < replicas; ++r) {
    const std::int64_t parent = parents[r];
    if (parent < 0 || parent >= replicas || parents[parent] != parent)
      throw std::invalid_argument("parents: expected replicas that are their own parents");
  }
  constexpr std::int64_t piece = 256;
  parallel_for((replicas + piece - 1) / piece, threads, [&](std::int64_t i, Workspace&) {
    const std::int64_t end = (i + 1) * piece < replicas ? (i + 1) * piece : replicas;
    for (std::int64_t r = i * piece; r < end; ++r)
      if (parents[r] != r)
        for (int a = 0; a < count; ++a) {
          char* base = static_cast<char*>(arrays[a].data);
          std::memcpy(base + r * arrays[a].bytes, base + parents[r] * arrays[a].bytes, static_cast<std::size_t>(arrays[a].bytes));
        }
  });
}

}  // namespace glassnf::cpu
