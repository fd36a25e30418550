// Molecular dynamics of larger replicas, all of a call side by side: a thread per particle, some kernels per step (cell_dynamics.hpp).
// Buffers are made once per call, and the host waits for nothing.
#include "glassnf/cell_dynamics.hpp"

#include "dynamics_job.hpp"
#include "kernels.hpp"
#include "sorting.hpp"

namespace glassnf::cuda {

namespace {

constexpr int threads = 128;
constexpr std::int64_t slice_particles = std::int64_t(1) << 24;  // particles advanced side by side, but at least one replica

// Sums by replica, which the kernels add to.
struct Totals {
  unsigned long long *kinetic, *evaluations, *low, *high, *rough;
};

__device__ std::int64_t thread_index() { return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

// Add the value of each thread of a warp to the total of its replica; whole numbers, so that the order does not count. All threads of the
// warp take part.
__device__ void add_by_replica(unsigned long long* totals, std::int64_t replica, unsigned long long value) {
  if (__all_sync(0xffffffffu, replica == __shfl_sync(0xffffffffu, replica, 0))) {
    for (int step = warp_size / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    if (threadIdx.x % warp_size == 0 && value) atomicAdd(totals + replica, value);
  } else if (value) {
    atomicAdd(totals + replica, value);
  }
}

// The first failure of a replica stays.
template <int D>
__device__ void fail(const CellDynamics<D>& cells, std::int64_t replica, std::int64_t step_of_call) {
  atomicCAS(reinterpret_cast<unsigned long long*>(cells.failure + replica), 0ULL, static_cast<unsigned long long>(step_of_call));
}

// First half of a step, and who is in which cell. A replica that has failed stays where it is.
template <int D>
__global__ void __launch_bounds__(threads)
    move_kernel(const __grid_constant__ CellDynamics<D> cells, bool move, std::uint64_t step, std::int64_t step_of_call) {
  const std::int64_t p = thread_index();
  if (p >= cells.count) return;
  if (move && cells.failure[cells.replica_of(p)] == 0 && !cells.move(p, step)) fail(cells, cells.replica_of(p), step_of_call);
  if (cells.cells <= 1) return;
  const std::int32_t cell = cells.cell_of(p);
  cells.key[p] = cell;
  cells.place[p] = atomicAdd(cells.counts + cell, 1);
}

template <int D>
__global__ void scatter_kernel(const __grid_constant__ CellDynamics<D> cells) {
  const std::int64_t p = thread_index();
  if (p < cells.count) cells.scatter(p);
}

template <int D>
__global__ void arrange_kernel(const __grid_constant__ CellDynamics<D> cells) {
  const std::int64_t i = thread_index();
  if (i >= cells.count) return;
  cells.arrange(i);
  for (std::int64_t cell = i; cell < cells.replicas * cells.cells; cell += cells.count)
    cells.counts[cell] = 0;  // for the next step
}

// The table of coefficients and, behind it, PairLaw::force_scale by pair of species.
template <int D, class Potential, bool Uniform>
__device__ void load_tables(const DynamicsJob<D>& job, double* table) {
  const int pairs = job.species_count * job.species_count;
  for (int i = static_cast<int>(threadIdx.x); i < pairs * coefficient_count; i += threads) table[i] = job.coefficients[i];
  for (int i = static_cast<int>(threadIdx.x); i < pairs; i += threads) {
    const double* c = job.coefficients + i * coefficient_count;
    table[pairs * coefficient_count + i] = PairLaw<D, Potential, Uniform>::force_scale({c[0], c[1], c[2], c[3], c[4], c[5]});
  }
  __syncthreads();
}

template <int D, class Potential, bool Uniform>
__global__ void __launch_bounds__(threads, 5) force_kernel(const __grid_constant__ CellDynamics<D> cells, bool kick,
                                                           std::int64_t step_of_call, unsigned long long* evaluations) {
  extern __shared__ __align__(16) double table[];
  load_tables<D, Potential, Uniform>(cells.job, table);
  const std::int64_t slot = thread_index();
  std::int64_t candidates = 0;
  if (slot < cells.count) {
    const PairLaw<D, Potential, Uniform> law(cells.job, table);
    const double* scales = table + cells.job.species_count * cells.job.species_count * coefficient_count;
    if (!cells.take(slot, cells.force(law, scales, slot, candidates), kick)) fail(cells, cells.replica_of(slot), step_of_call);
  }
  const std::int64_t r = cells.replica_of(slot < cells.count ? slot : cells.count - 1);
  if (kick) add_by_replica(evaluations, r, static_cast<unsigned long long>(candidates));
}

template <int D, class Potential, bool Uniform>
__global__ void __launch_bounds__(threads, 6)
    row_kernel(const __grid_constant__ CellDynamics<D> cells, const __grid_constant__ Totals totals, double* rows) {
  extern __shared__ __align__(16) double table[];
  load_tables<D, Potential, Uniform>(cells.job, table);
  const std::int64_t slot = thread_index();
  WideEnergy energy{};
  if (slot < cells.count) {
    const double row = cells.energy(PairLaw<D, Potential, Uniform>(cells.job, table), slot);
    rows[cells.particle_of[slot]] = row;
    energy = WideEnergy::of_row(row, cells.job.energy_grid);
  }
  const std::int64_t r = cells.replica_of(slot < cells.count ? slot : cells.count - 1);
  add_by_replica(totals.low, r, energy.low);
  add_by_replica(totals.high, r, energy.high);
  add_by_replica(totals.rough, r, energy.rough);
}

template <int D>
__global__ void kinetic_kernel(const __grid_constant__ CellDynamics<D> cells, unsigned long long* kinetic) {
  const std::int64_t p = thread_index();
  const std::int64_t r = cells.replica_of(p < cells.count ? p : cells.count - 1);
  add_by_replica(kinetic, r, p < cells.count ? cells.kinetic_quanta(p) : 0);
}

template <int D>
__global__ void factor_kernel(const __grid_constant__ CellDynamics<D> cells, std::uint64_t step, unsigned long long* kinetic,
                              double* factors) {
  const std::int64_t r = thread_index();
  if (r >= cells.replicas) return;
  factors[r] = cells.rescaling(r, kinetic[r], step);
  kinetic[r] = 0;
}

template <int D>
__global__ void rescale_kernel(const __grid_constant__ CellDynamics<D> cells, const double* factors) {
  const std::int64_t p = thread_index();
  if (p >= cells.count) return;
  const double factor = factors[cells.replica_of(p)];
  for_axes<D>([&](auto k) { cells.velocities[p * D + k] *= factor; });
}

// Energies of the replicas, and the totals back to zero; `kinetic` may be null.
template <int D>
__global__ void energy_kernel(const __grid_constant__ CellDynamics<D> cells, const __grid_constant__ Totals totals,
                              const double* plain, double* energy, double* kinetic) {
  const std::int64_t r = thread_index();
  if (r >= cells.replicas) return;
  const WideEnergy sum{totals.low[r], totals.high[r], totals.rough[r]};
  energy[r] = sum.rough ? plain[r] : sum.energy(cells.job.energy_grid);
  if (kinetic) kinetic[r] = cells.job.kinetic_grid.energy(static_cast<std::int64_t>(totals.kinetic[r]));
  totals.low[r] = totals.high[r] = totals.rough[r] = totals.kinetic[r] = 0;
}

// Each pair has been met from both sides.
__global__ void count_kernel(std::int64_t replicas, const unsigned long long* evaluations, std::int64_t* pair_evaluations) {
  const std::int64_t r = thread_index();
  if (r < replicas) pair_evaluations[r] += static_cast<std::int64_t>(evaluations[r] / 2);
}

template <int D>
__global__ void record_kernel(const __grid_constant__ CellDynamics<D> cells, double* positions, double* velocities,
                              std::int32_t* species) {
  const std::int64_t p = thread_index();
  if (p >= cells.count) return;
  for_axes<D>([&](auto k) {
    const std::int64_t i = p * D + k;
    if (positions) positions[i] = cells.positions[i] + cells.images[i] * cells.job.box[k];
    if (velocities) velocities[i] = cells.velocities[i];
  });
  if (species) species[p] = cells.species[p];
}

template <int D, class Potential, bool Uniform>
class CellRun {
  const DynamicsBatch& batch_;
  const DynamicsPlan& plan_;
  const DynamicsOutput& output_;
  const Target& target_;
  cudaStream_t stream_;
  std::int64_t first_;  // replica
  CellDynamics<D> cells_{};
  std::size_t shared_bytes_;
  Buffer<double> coefficients_, forces_, x_, rows_, plain_, factors_;
  Buffer<std::int32_t> counts_, start_, key_, place_, loose_, particle_of_;
  Buffer<std::uint8_t> kinds_;
  Buffer<unsigned long long> totals_memory_;
  Totals totals_{};
  Scan scan_;

 public:
  CellRun(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const DynamicsOutput& output,
          std::int64_t steps_before, const Target& target, std::int64_t first, std::int64_t replicas)
      : batch_(batch),
        plan_(plan),
        output_(output),
        target_(target),
        stream_(static_cast<cudaStream_t>(target.stream)),
        first_(first) {
    const std::int64_t n = system.n, pairs = std::int64_t(system.species_count) * system.species_count;
    shared_bytes_ = static_cast<std::size_t>(pairs * (coefficient_count + 1) * 8);
    cells_.job = dynamics_job<D>(system, plan, steps_before);
    cells_.cells = make_grid<D>(system.box, system.cutoff, static_cast<double>(n), cells_.grid) ? cells_.grid.cells() : 1;
    cells_.replicas = replicas;
    cells_.count = replicas * n;
    cells_.positions = batch.positions + first * n * D;
    cells_.velocities = batch.velocities + first * n * D;
    cells_.images = batch.images + first * n * D;
    cells_.species = batch.species + first * n;
    cells_.beta = batch.beta + first;
    cells_.ids = batch.ids + first;
    cells_.failure = output.failure + first;
    cells_.job.coefficients = make(coefficients_, upload(system.coefficients, pairs * coefficient_count, target));
    cells_.forces = make(forces_, cells_.count * D);
    cells_.x = make(x_, cells_.count * D);
    cells_.kinds = make(kinds_, cells_.count);
    cells_.particle_of = make(particle_of_, cells_.count);
    if (cells_.cells > 1) {
      cells_.counts = make(counts_, replicas * cells_.cells + 1);
      cells_.start = make(start_, replicas * cells_.cells + 1);
      cells_.key = make(key_, cells_.count);
      cells_.place = make(place_, cells_.count);
      cells_.loose = make(loose_, cells_.count);
      clear(cells_.counts, replicas * cells_.cells + 1);
      scan_ = Scan(replicas * cells_.cells + 1, target);
    }
    make(rows_, cells_.count);
    make(plain_, replicas);
    make(factors_, replicas);
    unsigned long long* totals = make(totals_memory_, 5 * replicas);
    totals_ = {totals, totals + replicas, totals + 2 * replicas, totals + 3 * replicas, totals + 4 * replicas};
    clear(totals, 5 * replicas);
  }

  void run() {
    move(false, 0, 0);
    forces(false, 0);
    std::int64_t next = 0;
    for (std::int64_t done = 1; done <= plan_.steps; ++done) {
      const std::uint64_t step = plan_.step + static_cast<std::uint64_t>(done) - 1;
      move(true, step, cells_.job.steps_before + done);
      forces(true, cells_.job.steps_before + done);
      if (cells_.job.rescaling) rescale(step);
      if (next < plan_.records && plan_.record_at[next] == done) record(plan_.first_record + next++);
    }
    energies(batch_.energy + first_, nullptr);
    count_kernel<<<blocks_for(cells_.replicas, threads), threads, 0, stream_>>>(cells_.replicas, totals_.evaluations,
                                                                                output_.pair_evaluations + first_);
    check_launch("launch of count");
  }

 private:
  template <class T>
  T* make(Buffer<T>& buffer, std::int64_t count) {
    return make(buffer, Buffer<T>(count, target_));
  }
  template <class T>
  T* make(Buffer<T>& buffer, Buffer<T>&& made) {
    buffer = std::move(made);
    return buffer.get();
  }
  template <class T>
  void clear(T* data, std::int64_t count) {
    check(cudaMemsetAsync(data, 0, static_cast<std::size_t>(count) * sizeof(T), stream_), "reset of counts");
  }
  unsigned blocks() const { return blocks_for(cells_.count, threads); }

  void move(bool moves, std::uint64_t step, std::int64_t step_of_call) {
    move_kernel<D><<<blocks(), threads, 0, stream_>>>(cells_, moves, step, step_of_call);
    check_launch("launch of move");
    if (cells_.cells > 1) {
      scan_(cells_.counts, cells_.start, target_);
      scatter_kernel<D><<<blocks(), threads, 0, stream_>>>(cells_);
      check_launch("launch of scatter");
    }
    arrange_kernel<D><<<blocks(), threads, 0, stream_>>>(cells_);
    check_launch("launch of arrange");
  }
  void forces(bool kick, std::int64_t step_of_call) {
    force_kernel<D, Potential, Uniform>
        <<<blocks(), threads, shared_bytes_, stream_>>>(cells_, kick, step_of_call, totals_.evaluations);
    check_launch("launch of forces");
  }
  void kinetic() {
    kinetic_kernel<D><<<blocks(), threads, 0, stream_>>>(cells_, totals_.kinetic);
    check_launch("launch of kinetic energies");
  }
  void rescale(std::uint64_t step) {
    kinetic();
    factor_kernel<D><<<blocks_for(cells_.replicas, threads), threads, 0, stream_>>>(cells_, step, totals_.kinetic, factors_.get());
    check_launch("launch of factors");
    rescale_kernel<D><<<blocks(), threads, 0, stream_>>>(cells_, factors_.get());
    check_launch("launch of rescale");
  }
  // Of the particles as they were arranged last.
  void energies(double* energy, double* kinetic_energy) {
    row_kernel<D, Potential, Uniform><<<blocks(), threads, shared_bytes_, stream_>>>(cells_, totals_, rows_.get());
    check_launch("launch of energies");
    segmented_sum(rows_, cells_.replicas, cells_.job.n, 0.5, plain_, target_);
    if (kinetic_energy) kinetic();
    energy_kernel<D>
        <<<blocks_for(cells_.replicas, threads), threads, 0, stream_>>>(cells_, totals_, plain_.get(), energy, kinetic_energy);
    check_launch("launch of energy sums");
  }
  void record(std::int64_t index) {
    const std::int64_t replica = index * batch_.replicas + first_, particle = replica * cells_.job.n;
    energies(output_.energy + replica, output_.kinetic + replica);
    if (!output_.positions && !output_.velocities && !output_.species) return;
    record_kernel<D><<<blocks(), threads, 0, stream_>>>(cells_, output_.positions ? output_.positions + particle * D : nullptr,
                                                        output_.velocities ? output_.velocities + particle * D : nullptr,
                                                        output_.species ? output_.species + particle : nullptr);
    check_launch("launch of record");
  }
};

}  // namespace

template <class Potential>
void launch_cell_dynamics(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan,
                          const DynamicsOutput& output, std::int64_t steps_before, const Target& target) {
  with_shape<Potential>(system, [&]<int D, bool Uniform>() {
    const std::int64_t slice = system.n >= slice_particles ? 1 : slice_particles / system.n;
    for (std::int64_t first = 0; first < batch.replicas; first += slice) {
      const std::int64_t replicas = batch.replicas - first < slice ? batch.replicas - first : slice;
      CellRun<D, Potential, Uniform>(system, batch, plan, output, steps_before, target, first, replicas).run();
    }
  });
}

template void launch_cell_dynamics<GLASSNF_POTENTIAL>(const SystemView&, const DynamicsBatch&, const DynamicsPlan&,
                                                      const DynamicsOutput&, std::int64_t, const Target&);

}  // namespace glassnf::cuda
