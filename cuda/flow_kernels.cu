// Flows of many replicas: a group of lanes per replica makes all steps of a call (group_flow.hpp), with the state of the replica in shared
// memory. Radial functions are read through the cache. Up to 96 particles take sixteen lanes, more take a warp.
#include <algorithm>

#include "device_group.cuh"
#include "flow_job.hpp"
#include "runtime.hpp"

namespace glassnf::cuda {

namespace {

constexpr int threads_per_block = 128;
constexpr std::int64_t largest_half_warp = 96;
constexpr std::int64_t list_bytes_at_once = std::int64_t(1) << 28;  // of lists of neighbours: more replicas take several launches

// As many as leave enough registers not to spill: 80, 128 or 255 a thread.
template <int L>
constexpr int blocks_per_multiprocessor = L == 0   ? 6
                                          : L == 1 ? 4
                                                   : 2;

template <int Size, int D, int L>
__global__ void __launch_bounds__(threads_per_block, blocks_per_multiprocessor<L>)
    flow_kernel(const __grid_constant__ FlowJob<D> job, const __grid_constant__ FlowArrays arrays,
                const __grid_constant__ FlowArena layout, std::int64_t first, std::int64_t last, std::uint16_t* neighbours) {
  extern __shared__ __align__(128) char shared[];
  const int in_block = static_cast<int>(threadIdx.x) / Size;
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * (blockDim.x / Size) + in_block, r = first + index;
  if (r >= last) return;
  const std::int64_t n = job.n;
  const DeviceGroup<Size> group;
  GroupFlow<DeviceGroup<Size>, D, L> flow(group, job, arrays.replica(r, n, D, neighbours ? neighbours + index * n * n : nullptr),
                                          shared + in_block * layout.bytes, layout);
  flow.run();
}

template <int Size, int D, int L>
void launch(const FlowJob<D>& job, const FlowArrays& arrays, const Target& target) {
  const FlowArena layout = FlowArena::make(job.n, D, L);
  int most_shared = 0;
  check(cudaDeviceGetAttribute(&most_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, target.device), "query of shared memory");
  if (layout.bytes > most_shared)
    throw std::invalid_argument("n: the state of " + std::to_string(job.n) + " particles in a flow of " + std::to_string(L) +
                                " layers takes " + std::to_string(layout.bytes) + " bytes of shared memory, and this device has " +
                                std::to_string(most_shared) + "; use device=\"cpu\"");
  // As many groups in a block as make a block of 128 threads and leave room for another block.
  std::int64_t groups = threads_per_block / Size;
  while (groups > 1 && groups * layout.bytes > most_shared / 2) --groups;
  const auto kernel = flow_kernel<Size, D, L>;
  // Always the most: other threads launch the same kernel.
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared), "choice of shared memory");
  const std::int64_t n = job.n, list = n * n, fit = list_bytes_at_once / (2 * list);
  const std::int64_t at_once = L < 2 ? arrays.replicas : std::min(arrays.replicas, fit > 0 ? fit : 1);
  Buffer<std::uint16_t> neighbours;
  if (L > 1) neighbours = Buffer<std::uint16_t>(at_once * list, target);
  for (std::int64_t first = 0; first < arrays.replicas; first += at_once) {
    const std::int64_t last = std::min(arrays.replicas, first + at_once);
    kernel<<<blocks_for(last - first, groups), static_cast<unsigned>(groups * Size),
             static_cast<std::size_t>(groups * layout.bytes), static_cast<cudaStream_t>(target.stream)>>>(
        job, arrays, layout, first, last, neighbours.get());
    check_launch("launch of a flow");
  }
}

template <int D, int L>
void run(const SystemView& system, const FlowTables& tables, std::int64_t steps, double step_size, const FlowArrays& arrays,
         const Target& target) {
  const std::int64_t stages = 2 * steps + 1, kinds = static_cast<std::int64_t>(system.species_count) * system.species_count;
  const auto pair = upload(tables.pair, stages * (L + 1) * kinds * tables.pair_range.row_size(), target);
  const auto messages = upload(tables.messages, stages * 2 * L * kinds * tables.message_range.row_size(), target);
  FlowJob<D> job = flow_job<D>(system, tables, steps, step_size);
  job.pair = pair;
  job.messages = messages;
  if (system.n <= largest_half_warp)
    launch<16, D, L>(job, arrays, target);
  else
    launch<32, D, L>(job, arrays, target);
}

void flow(const SystemView& system, const FlowTables& tables, std::int64_t steps, double step_size, const FlowArrays& arrays,
          const Target& target) {
  const DeviceGuard guard(target.device);
  if (target.mixed) throw std::invalid_argument("precision: flows on a CUDA device are integrated in 'float64' only");
  if (tables.layers > most_group_layers)
    throw std::invalid_argument("layers: expected at most " + std::to_string(most_group_layers) + " on a CUDA device, got " +
                                std::to_string(tables.layers));
  if (system.n > 65535 || system.species_count > 255)
    throw std::invalid_argument("n: expected at most 65535 particles of at most 255 species on a CUDA device");
  if (arrays.replicas == 0) return;
  const auto in_dimension = [&]<int D>() {
    switch (tables.layers) {
      case 0: return run<D, 0>(system, tables, steps, step_size, arrays, target);
      case 1: return run<D, 1>(system, tables, steps, step_size, arrays, target);
      default: return run<D, 2>(system, tables, steps, step_size, arrays, target);
    }
  };
  system.dimension == 2 ? in_dimension.template operator()<2>() : in_dimension.template operator()<3>();
}

}  // namespace

void flow_trajectory(const SystemView& system, const FlowBatch& batch, const FlowPlan& plan, const Target& target) {
  flow(system, plan.tables, plan.steps, plan.step_size, FlowArrays::make(batch), target);
}

void flow_field(const SystemView& system, const FlowFieldBatch& batch, const FlowTables& tables, const Target& target) {
  flow(system, tables, 0, 0.0, FlowArrays::make(batch), target);
}

}  // namespace glassnf::cuda
