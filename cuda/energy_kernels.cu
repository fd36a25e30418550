// Energies, forces and virials of a batch: a thread per particle, over all particles of a small replica in shared memory, or over
// particles sorted by cell. Every sum has a fixed order, so that equal input gives equal bits.
#include "glassnf/group_rows.hpp"
#include "glassnf/particle_sums.hpp"

#include "kernels.hpp"
#include "sorting.hpp"

namespace glassnf::cuda {

namespace {

constexpr int most_threads = 256;
constexpr std::int64_t largest_small = 1024;                     // particles of a replica that goes to shared memory as a whole
constexpr std::int64_t slice_particles = std::int64_t(1) << 24;  // particles sorted at a time

template <int D>
struct EnergyJob {
  double box[D], cutoff;
  std::int64_t n, replicas, first_replica;
  int species_count, exponent, replicas_per_block;
  const double* coefficients;
  CellGrid<D> grid;
  std::int64_t cells;  // of one replica; 1 without a grid
};

// The coefficients in shared memory, in the precision of the pairs; returns where free shared memory begins.
template <class Real>
__device__ char* load_table(const double* coefficients, int species_count, char* shared) {
  auto* table = reinterpret_cast<Real*>(shared);
  const int count = species_count * species_count * coefficient_count;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    table[i] = static_cast<Real>(coefficients[i]);
  return shared + (count * sizeof(Real) + 15) / 16 * 16;
}

// Sum over a warp, in a fixed order, of `count` numbers `stride` apart.
__device__ double warp_sum(const double* values, int count, int stride) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  double total = 0.0;
  for (int i = lane; i < count; i += warp_size) total += values[i * stride];
  for (int step = warp_size / 2; step > 0; step /= 2) total += __shfl_xor_sync(0xffffffffu, total, step);
  return total;
}

// Several small replicas to a block, so that few of its threads are idle.
template <class Real, int D, class Potential, bool Uniform, bool Forces, bool Virial>
__global__ void __launch_bounds__(most_threads)
    small_energy_kernel(const __grid_constant__ EnergyJob<D> job, const __grid_constant__ EnergyBatch batch) {
  using Axis_ = Coordinate<Real>;
  using Stored = typename Axis_::Stored;
  constexpr int per_particle = 1 + (Virial ? D * D : 0);
  extern __shared__ __align__(16) char shared[];
  char* free = load_table<Real>(job.coefficients, job.species_count, shared);
  const int n = static_cast<int>(job.n), k_replicas = job.replicas_per_block, places = k_replicas * n;
  auto* terms = reinterpret_cast<double*>(free);                       // (places, per_particle)
  auto* x = reinterpret_cast<Stored*>(terms + places * per_particle);  // (D, places)
  auto* species = reinterpret_cast<std::uint8_t*>(x + places * D);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * k_replicas;
  const int here = static_cast<int>(job.replicas - first < k_replicas ? job.replicas - first : k_replicas);
  const int used = here * n;
  Axis_ axes[D];
  for_axes<D>([&](auto k) { axes[k] = Axis_(job.box[k]); });
  for (int i = static_cast<int>(threadIdx.x); i < used; i += static_cast<int>(blockDim.x)) {
    for_axes<D>([&](auto k) { x[k * places + i] = axes[k].store(batch.positions[(first * n + i) * D + k]); });
    species[i] = static_cast<std::uint8_t>(batch.species[first * n + i]);
  }
  __syncthreads();
  const CoefficientTable<Real, Uniform> table(reinterpret_cast<const Real*>(shared), job.species_count);
  const Potential potential{job.exponent};
  for (int i = static_cast<int>(threadIdx.x); i < used; i += static_cast<int>(blockDim.x)) {
    const int begin = i / n * n;
    Stored xi[D];
    for_axes<D>([&](auto k) { xi[k] = x[k * places + i]; });
    const int si = species[i];
    PairAccumulator<Real, D, Potential, Uniform, Forces, Virial> pairs(potential, table, axes);
    for (int j = begin; j < begin + n; ++j) {
      if (j == i) continue;
      Stored xj[D];
      for_axes<D>([&](auto k) { xj[k] = x[k * places + j]; });
      pairs.add(xi, si, xj, species[j]);
    }
    const auto& sums = pairs.finish();
    terms[i * per_particle] = sums.energy;
    if constexpr (Forces)
      if (batch.forces) for_axes<D>([&](auto k) { batch.forces[(first * n + i) * D + k] = sums.force[k]; });
    if constexpr (Virial)
      for (int k = 0; k < D * D; ++k) terms[i * per_particle + 1 + k] = sums.virial[k];
  }
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / warp_size;
  for (int task = static_cast<int>(threadIdx.x) / warp_size; task < here * per_particle; task += warps) {
    const int replica = task / per_particle, component = task % per_particle;
    const double total = 0.5 * warp_sum(terms + replica * n * per_particle + component, n, per_particle);
    if (threadIdx.x % warp_size == 0) {
      if (component == 0)
        batch.energy[first + replica] = total;
      else if (batch.virial)
        batch.virial[(first + replica) * D * D + component - 1] = total;
    }
  }
}

// ---- large replicas ------------------------------------------------------------------------------------------------------------

template <int D>
__global__ void cell_keys_kernel(const __grid_constant__ EnergyJob<D> job, const double* positions, std::uint32_t* keys,
                                 std::int32_t* particles) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= job.replicas * job.n) return;
  std::int64_t cell = 0;
  if (job.cells > 1) {
    int c[D];
    for_axes<D>([&](auto k) { c[k] = job.grid.along(k, positions[(job.first_replica * job.n + i) * D + k]); });
    cell = job.grid.index(c);
  }
  keys[i] = static_cast<std::uint32_t>(i / job.n * job.cells + cell);
  particles[i] = static_cast<std::int32_t>(i);
}

template <class Stored>
struct SortedParticles {
  Stored* x;  // (D, count)
  std::uint8_t* species;
  std::int32_t* particle;
  std::uint32_t* key;
  std::int32_t* start;
};

template <class Real, int D>
__global__ void gather_kernel(const __grid_constant__ EnergyJob<D> job, const __grid_constant__ EnergyBatch batch,
                              SortedParticles<typename Coordinate<Real>::Stored> sorted) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, count = job.replicas * job.n;
  if (i >= count) return;
  const std::int64_t from = job.first_replica * job.n + sorted.particle[i];
  for_axes<D>([&](auto k) { sorted.x[k * count + i] = Coordinate<Real>(job.box[k]).store(batch.positions[from * D + k]); });
  sorted.species[i] = static_cast<std::uint8_t>(batch.species[from]);
}

// Terms: (1 + D * D or 1, particles of the slice).
template <class Real, int D, class Potential, bool Uniform, bool Forces, bool Virial>
__global__ void __launch_bounds__(most_threads)
    large_energy_kernel(const __grid_constant__ EnergyJob<D> job, const __grid_constant__ EnergyBatch batch,
                        SortedParticles<typename Coordinate<Real>::Stored> sorted, double* terms) {
  using Stored = typename Coordinate<Real>::Stored;
  extern __shared__ __align__(16) char shared[];
  load_table<Real>(job.coefficients, job.species_count, shared);
  __syncthreads();
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, count = job.replicas * job.n;
  if (i >= count) return;
  const CoefficientTable<Real, Uniform> table(reinterpret_cast<const Real*>(shared), job.species_count);
  const Potential potential{job.exponent};
  Coordinate<Real> axes[D];
  for_axes<D>([&](auto k) { axes[k] = Coordinate<Real>(job.box[k]); });
  Stored xi[D];
  for_axes<D>([&](auto k) { xi[k] = sorted.x[k * count + i]; });
  const int si = sorted.species[i];
  PairAccumulator<Real, D, Potential, Uniform, Forces, Virial> pairs(potential, table, axes);
  const auto add = [&](int first, int last) {
    for (int j = first; j < last; ++j) {
      if (j == i) continue;
      Stored xj[D];
      for_axes<D>([&](auto k) { xj[k] = sorted.x[k * count + j]; });
      pairs.add(xi, si, xj, sorted.species[j]);
    }
  };
  const std::int64_t replica = sorted.key[i] / job.cells;
  const std::int32_t* start = sorted.start + replica * job.cells;
  if (job.cells > 1) {
    int c[D];
    std::int64_t cell = sorted.key[i] % job.cells;
    for_axes<D>([&](auto k) {
      c[k] = static_cast<int>(cell % job.grid.per_side[k]);
      cell /= job.grid.per_side[k];
    });
    for_ranges<D>(job.grid, start, c, add);
  } else {
    add(start[0], start[1]);
  }
  const auto& sums = pairs.finish();
  const std::int64_t p = sorted.particle[i], n = job.n;
  // Terms of one replica and one component lie together, for the sums that follow.
  constexpr int per_particle = 1 + (Virial ? D * D : 0);
  double* mine = terms + (p / n * per_particle) * n + p % n;
  mine[0] = sums.energy;
  if constexpr (Forces)
    if (batch.forces) for_axes<D>([&](auto k) { batch.forces[(job.first_replica * n + p) * D + k] = sums.force[k]; });
  if constexpr (Virial)
    for (int k = 0; k < D * D; ++k) mine[(1 + k) * n] = sums.virial[k];
}

template <int D>
__global__ void spread_kernel(const double* sums, std::int64_t replicas, std::int64_t first, bool with_virial, double* energy,
                              double* virial) {
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (r >= replicas) return;
  const int per_replica = 1 + (with_virial ? D * D : 0);
  energy[first + r] = sums[r * per_replica];
  if (with_virial && virial)
    for (int k = 0; k < D * D; ++k) virial[(first + r) * D * D + k] = sums[r * per_replica + 1 + k];
}

// ---- launches ------------------------------------------------------------------------------------------------------------------

// False where a replica does not fit into shared memory.
template <class Real, int D, class Potential, bool Uniform, bool Forces, bool Virial>
bool run_small(EnergyJob<D> job, const EnergyBatch& batch, const Target& target) {
  constexpr int per_particle = 1 + (Virial ? D * D : 0);
  job.replicas_per_block = static_cast<int>(job.n >= most_threads ? 1 : most_threads / job.n);
  const std::int64_t places = job.replicas_per_block * job.n;
  const std::int64_t table =
      (job.species_count * job.species_count * coefficient_count * std::int64_t(sizeof(Real)) + 15) / 16 * 16;
  const std::int64_t bytes = table + places * (8 * per_particle + D * std::int64_t(sizeof(typename Coordinate<Real>::Stored)) + 1);
  int most_shared = 0;
  check(cudaDeviceGetAttribute(&most_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, target.device), "query of shared memory");
  if (bytes > most_shared) return false;
  const auto threads =
      static_cast<unsigned>(places >= most_threads ? most_threads : (places + warp_size - 1) / warp_size * warp_size);
  const auto kernel = small_energy_kernel<Real, D, Potential, Uniform, Forces, Virial>;
  // Always the most: other threads launch the same kernel.
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared), "choice of shared memory");
  kernel<<<blocks_for(job.replicas, job.replicas_per_block), threads, static_cast<std::size_t>(bytes),
           static_cast<cudaStream_t>(target.stream)>>>(job, batch);
  check_launch("launch of energies");
  return true;
}

template <class Real, int D, class Potential, bool Uniform, bool Forces, bool Virial>
void run_slice(const EnergyJob<D>& job, const EnergyBatch& batch, const Target& target) {
  using Stored = typename Coordinate<Real>::Stored;
  constexpr int per_particle = 1 + (Virial ? D * D : 0);
  constexpr int threads = 128;
  const auto stream = static_cast<cudaStream_t>(target.stream);
  const std::int64_t count = job.replicas * job.n, cells = job.replicas * job.cells;
  Buffer<std::uint32_t> keys(count, target);
  Buffer<std::int32_t> particles(count, target);
  cell_keys_kernel<D><<<blocks_for(count, threads), threads, 0, stream>>>(job, batch.positions, keys, particles);
  check_launch("launch of cell_keys");
  sort_pairs(keys, particles, count, cells, target);
  const Buffer<std::int32_t> start(cells + 1, target);
  find_starts(keys, count, cells, start, target);
  const Buffer<Stored> x(count * D, target);
  const Buffer<std::uint8_t> species(count, target);
  const SortedParticles<Stored> sorted{x, species, particles, keys, start};
  gather_kernel<Real, D><<<blocks_for(count, threads), threads, 0, stream>>>(job, batch, sorted);
  check_launch("launch of gather");
  const Buffer<double> terms(count * per_particle, target);
  const std::size_t bytes =
      (static_cast<std::size_t>(job.species_count * job.species_count * coefficient_count) * sizeof(Real) + 15) / 16 * 16;
  large_energy_kernel<Real, D, Potential, Uniform, Forces, Virial>
      <<<blocks_for(count, threads), threads, bytes, stream>>>(job, batch, sorted, terms);
  check_launch("launch of energies");
  const Buffer<double> sums(job.replicas * per_particle, target);
  segmented_sum(terms, job.replicas * per_particle, job.n, 0.5, sums, target);
  spread_kernel<D><<<blocks_for(job.replicas, threads), threads, 0, stream>>>(sums, job.replicas, job.first_replica, Virial,
                                                                              batch.energy, batch.virial);
  check_launch("launch of spread");
}

template <class Real, int D, class Potential, bool Uniform, bool Forces, bool Virial>
void run(const SystemView& system, const EnergyBatch& batch, const Target& target) {
  const auto coefficients =
      upload(system.coefficients, std::int64_t(system.species_count) * system.species_count * coefficient_count, target);
  EnergyJob<D> job{};
  for (int k = 0; k < D; ++k) job.box[k] = system.box[k];
  job.cutoff = system.cutoff;
  job.n = system.n;
  job.replicas = batch.replicas;
  job.species_count = system.species_count;
  job.exponent = system.exponent;
  job.coefficients = coefficients;
  if (system.n <= largest_small && run_small<Real, D, Potential, Uniform, Forces, Virial>(job, batch, target)) return;
  const bool grid = make_grid<D>(system.box, system.cutoff, static_cast<double>(system.n), job.grid);
  job.cells = grid ? job.grid.cells() : 1;
  const std::int64_t slice = system.n >= slice_particles ? 1 : slice_particles / system.n;
  for (std::int64_t first = 0; first < batch.replicas; first += slice) {
    job.first_replica = first;
    job.replicas = batch.replicas - first < slice ? batch.replicas - first : slice;
    run_slice<Real, D, Potential, Uniform, Forces, Virial>(job, batch, target);
  }
}

}  // namespace

template <class Potential>
void launch_energy(const SystemView& system, const EnergyBatch& batch, const Target& target) {
  with_shape<Potential>(system, [&]<int D, bool Uniform>() {
    if (target.mixed && batch.virial)
      run<float, D, Potential, Uniform, true, true>(system, batch, target);
    else if (target.mixed && batch.forces)
      run<float, D, Potential, Uniform, true, false>(system, batch, target);
    else if (target.mixed)
      run<float, D, Potential, Uniform, false, false>(system, batch, target);
    else if (batch.virial)
      run<double, D, Potential, Uniform, true, true>(system, batch, target);
    else if (batch.forces)
      run<double, D, Potential, Uniform, true, false>(system, batch, target);
    else
      run<double, D, Potential, Uniform, false, false>(system, batch, target);
  });
}

template void launch_energy<GLASSNF_POTENTIAL>(const SystemView&, const EnergyBatch&, const Target&);

}  // namespace glassnf::cuda
