// Sequential Monte Carlo of many replicas: a group of lanes per replica makes all sweeps of a call (group_sampler.hpp), with the state of
// the replica in shared memory.
//
// Small replicas take eight lanes: enough for the rows of N = 43, and a warp then carries four replicas, which share the cost of
// everything that is done once per trial. Larger ones, in boxes that cells divide, take a warp.
#include "device_group.cuh"
#include "group_job.hpp"
#include "kernels.hpp"

namespace glassnf::cuda {

namespace {

constexpr int threads_per_block = 128;
constexpr std::int64_t largest_all_pairs = 256;  // above, a warp and cells

template <int D, class Potential, bool Uniform, int Size, bool Cells>
__global__ void __launch_bounds__(threads_per_block)
    monte_carlo_kernel(const __grid_constant__ GroupJob<D> job, const __grid_constant__ MonteCarloBatch batch,
                       const __grid_constant__ MonteCarloOutput output, const __grid_constant__ ArenaLayout layout,
                       char* far_arenas) {
  extern __shared__ __align__(128) char shared[];
  auto* table = reinterpret_cast<double*>(shared);
  const int coefficients = job.species_count * job.species_count * coefficient_count;
  for (int i = static_cast<int>(threadIdx.x); i < coefficients; i += static_cast<int>(blockDim.x)) table[i] = job.coefficients[i];
  __syncthreads();
  const int in_block = static_cast<int>(threadIdx.x) / Size;
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * (blockDim.x / Size) + in_block;
  if (r >= batch.replicas) return;
  const std::int64_t table_bytes = (coefficients * 8 + 127) / 128 * 128;
  // Eight lanes always work on chip; knowing it, the compiler addresses shared memory directly.
  char* arena = Cells && far_arenas ? far_arenas + r * layout.bytes : shared + table_bytes + in_block * layout.bytes;
  const GroupReplica replica = group_replica(job, batch, output, r);
  const DeviceGroup<Size> group;
  GroupSampler<DeviceGroup<Size>, D, Potential, Uniform, Cells> sampler(group, job, replica, Potential{job.exponent}, table, arena,
                                                                        layout);
  sampler.run();
}

template <int D, class Potential, bool Uniform, int Size, bool Cells>
void run(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
         const Target& target) {
  const std::int64_t species = system.species_count, table_size = species * species * coefficient_count;
  const auto coefficients = upload(system.coefficients, table_size, target);
  const auto thresholds = upload(plan.pair_thresholds, species * (species - 1) / 2, target);
  const auto record_at = upload(plan.record_at, plan.records, target);
  GroupJob<D> job = group_job<D>(system, plan);
  job.coefficients = coefficients;
  job.pair_thresholds = thresholds;
  job.record_at = record_at;

  std::int64_t cells = 0;
  if constexpr (Cells) cells = largest_group_cells<D>(system.box, system.cutoff, system.n);
  const ArenaLayout layout = ArenaLayout::make(system.n, D, system.species_count, Size, cells);
  const std::int64_t table_bytes = (table_size * 8 + 127) / 128 * 128;
  int most_shared = 0;
  check(cudaDeviceGetAttribute(&most_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, target.device), "query of shared memory");
  // As many groups in a block as make a block of 128 threads and fit; a group that does not fit alone keeps its arena in device memory.
  std::int64_t groups = threads_per_block / Size;
  while (groups > 1 && table_bytes + groups * layout.bytes > most_shared / 2) --groups;
  const bool on_chip = table_bytes + groups * layout.bytes <= most_shared;
  const std::int64_t shared_bytes = table_bytes + (on_chip ? groups * layout.bytes : 0);
  Buffer<char> far_arenas;
  if (!on_chip) far_arenas = Buffer<char>(batch.replicas * layout.bytes, target);

  const auto kernel = monte_carlo_kernel<D, Potential, Uniform, Size, Cells>;
  // Always the most: other threads launch the same kernel.
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared), "choice of shared memory");
  kernel<<<blocks_for(batch.replicas, groups), static_cast<unsigned>(groups * Size), static_cast<std::size_t>(shared_bytes),
           static_cast<cudaStream_t>(target.stream)>>>(job, batch, output, layout, far_arenas);
  check_launch("launch of Monte Carlo");
  check(cudaStreamSynchronize(static_cast<cudaStream_t>(target.stream)), "Monte Carlo");
}

}  // namespace

template <class Potential>
void launch_monte_carlo(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan,
                        const MonteCarloOutput& output, const Target& target) {
  with_shape<Potential>(system, [&]<int D, bool Uniform>() {
    if (system.n <= largest_all_pairs)
      run<D, Potential, Uniform, 8, false>(system, batch, plan, output, target);
    else
      run<D, Potential, Uniform, warp_size, true>(system, batch, plan, output, target);
  });
}

template void launch_monte_carlo<GLASSNF_POTENTIAL>(const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&,
                                                    const MonteCarloOutput&, const Target&);

}  // namespace glassnf::cuda
