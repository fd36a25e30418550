// Molecular dynamics of many small replicas: a group of lanes per replica makes all steps of a call (group_dynamics.hpp), with the state of
// the replica in shared memory.
//
// Up to 96 particles take sixteen lanes, three particles each at a time: N = 43 fills 43 of 48 places, and a warp carries two replicas.
// More take a warp, four particles a lane at a time. Beyond 256 particles see cell_dynamics_kernels.cu.
#include "device_group.cuh"
#include "dynamics_job.hpp"
#include "kernels.hpp"

namespace glassnf::cuda {

namespace {

constexpr int threads_per_block = 128;
constexpr std::int64_t largest_half_warp = 96;

// As many as leave enough registers not to spill: 128, 168 or 255 a thread.
template <int Size, int D, bool Uniform>
constexpr int blocks_per_multiprocessor = Size == 16 && D == 2 && Uniform ? 4
                                          : D == 2 || Uniform             ? 3
                                                                          : 2;

template <int Size, int Tile, int D, class Potential, bool Uniform>
__global__ void __launch_bounds__(threads_per_block, (blocks_per_multiprocessor<Size, D, Uniform>))
    dynamics_kernel(const __grid_constant__ DynamicsJob<D> job, const __grid_constant__ DynamicsBatch batch,
                    const __grid_constant__ DynamicsOutput output, const __grid_constant__ DynamicsArena layout) {
  extern __shared__ __align__(128) char shared[];
  auto* table = reinterpret_cast<double*>(shared);
  const int coefficients = job.species_count * job.species_count * coefficient_count;
  for (int i = static_cast<int>(threadIdx.x); i < coefficients; i += static_cast<int>(blockDim.x)) table[i] = job.coefficients[i];
  __syncthreads();
  const int in_block = static_cast<int>(threadIdx.x) / Size;
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * (blockDim.x / Size) + in_block;
  if (r >= batch.replicas || output.failure[r] != 0) return;
  const std::int64_t table_bytes = (coefficients * 8 + 127) / 128 * 128;
  const DeviceGroup<Size> group;
  using Replica = DynamicsReplica<D>;
  GroupDynamics<DeviceGroup<Size>, Tile, D, Potential, Uniform, Replica> dynamics(
      group, job, Replica{job, batch, output, r}, table, shared + table_bytes + in_block * layout.bytes, layout);
  dynamics.run();
}

template <int Size, int Tile, int D, class Potential, bool Uniform>
void run(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const DynamicsOutput& output,
         std::int64_t steps_before, const Target& target) {
  const std::int64_t species = system.species_count, table_size = species * species * coefficient_count;
  const auto coefficients = upload(system.coefficients, table_size, target);
  const auto record_at = upload(plan.record_at, plan.records, target);
  DynamicsJob<D> job = dynamics_job<D>(system, plan, steps_before);
  job.coefficients = coefficients;
  job.record_at = record_at;
  const DynamicsArena layout = DynamicsArena::make(system.n, D, system.species_count);
  const std::int64_t table_bytes = (table_size * 8 + 127) / 128 * 128;
  int most_shared = 0;
  check(cudaDeviceGetAttribute(&most_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, target.device), "query of shared memory");
  // As many groups in a block as make a block of 128 threads and leave room for another block. One always fits: 256 particles in three
  // dimensions take 22 kB, and the table of the most species 12 kB.
  std::int64_t groups = threads_per_block / Size;
  while (groups > 1 && table_bytes + groups * layout.bytes > most_shared / 2) --groups;
  const std::int64_t shared_bytes = table_bytes + groups * layout.bytes;
  const auto kernel = dynamics_kernel<Size, Tile, D, Potential, Uniform>;
  // Always the most: other threads launch the same kernel.
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared), "choice of shared memory");
  kernel<<<blocks_for(batch.replicas, groups), static_cast<unsigned>(groups * Size), static_cast<std::size_t>(shared_bytes),
           static_cast<cudaStream_t>(target.stream)>>>(job, batch, output, layout);
  check_launch("launch of molecular dynamics");
}

}  // namespace

template <class Potential>
void launch_dynamics(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const DynamicsOutput& output,
                     std::int64_t steps_before, const Target& target) {
  with_shape<Potential>(system, [&]<int D, bool Uniform>() {
    if (system.n <= largest_half_warp)
      run<16, 3, D, Potential, Uniform>(system, batch, plan, output, steps_before, target);
    else
      run<warp_size, 4, D, Potential, Uniform>(system, batch, plan, output, steps_before, target);
  });
}

template void launch_dynamics<GLASSNF_POTENTIAL>(const SystemView&, const DynamicsBatch&, const DynamicsPlan&,
                                                 const DynamicsOutput&, std::int64_t, const Target&);

}  // namespace glassnf::cuda
