// Rounds of parallel tempering (exchange.hpp), all ladders in one launch: a block decides on the pairs of a ladder side by side. Where there
// are velocities, another kernel scales those of the replicas that have changed their temperature.
#include "glassnf/exchange.hpp"

#include "runtime.hpp"

namespace glassnf::cuda {

namespace {

constexpr int threads = 64;

// Factors of the velocities by replica; null without velocities.
__global__ void __launch_bounds__(threads)
    exchange_kernel(const __grid_constant__ LadderView view, const __grid_constant__ ExchangeCounts counts,
                    const __grid_constant__ TemperingRound round, double* factors) {
  const std::int64_t ladder = blockIdx.x, first = ladder * view.rungs, thread = threadIdx.x;
  if (factors)
    for (std::int64_t rung = thread; rung < view.rungs; rung += threads) factors[first + rung] = 1.0;
  __syncthreads();
  for (std::int64_t pair = exchange_parity(round.step, round.interval) + 2 * thread; pair + 1 < view.rungs; pair += 2 * threads) {
    if (!exchange_pair(view, counts, round.seed, round.step, ladder, pair) || !factors) continue;
    const std::int64_t a = first + view.order[first + pair], b = first + view.order[first + pair + 1];
    factors[a] = velocity_factor(view.beta[b], view.beta[a]);
    factors[b] = velocity_factor(view.beta[a], view.beta[b]);
  }
  __syncthreads();
  if (thread == 0) follow_replicas(view, counts, ladder);
}

__global__ void scale_kernel(std::int64_t count, std::int64_t components, const double* factors, double* velocities) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) velocities[i] *= factors[i / components];
}

}  // namespace

void exchange(const TemperingBatch& batch, const TemperingRound& round, const TemperingCounts& tempering, const Target& target) {
  const DeviceGuard guard(target.device);
  const auto stream = static_cast<cudaStream_t>(target.stream);
  const std::int64_t replicas = batch.ladders * batch.rungs, count = replicas * batch.components;
  const bool moving = batch.velocities && count > 0;
  if (replicas == 0) return;
  const LadderView view{batch.ladders, batch.rungs, batch.beta, batch.move_size, batch.energy, batch.ids, batch.order};
  const ExchangeCounts counts{tempering.attempts, tempering.accepts,  tempering.visits,
                              tempering.trips,    tempering.from_hot, tempering.from_cold};
  Buffer<double> factors;
  if (moving) factors = Buffer<double>(replicas, target);
  exchange_kernel<<<static_cast<unsigned>(batch.ladders), threads, 0, stream>>>(view, counts, round, factors.get());
  check_launch("launch of exchanges");
  if (!moving) return;
  scale_kernel<<<blocks_for(count, 256), 256, 0, stream>>>(count, batch.components, factors.get(), batch.velocities);
  check_launch("launch of scaled velocities");
}

}  // namespace glassnf::cuda
