// Checkerboard Monte Carlo of large replicas (checkerboard.hpp): for each sub-sweep particles are sorted by cell, and eight lanes work on each
// active cell. Replicas follow each other: one of them fills the device.
#include "glassnf/checkerboard.hpp"

#include "device_group.cuh"
#include "kernels.hpp"
#include "sorting.hpp"

namespace glassnf::cuda {

namespace {

constexpr int threads = 128;
constexpr int lanes = 8;
using Group = DeviceGroup<lanes>;

// Numbers that go on through a call, on the device. Counters are those of MonteCarloOutput for one replica.
struct BoardTotals {
  // Change of the energy since it was last summed up, high * 2^25 + low quanta; both wrap as signed numbers do.
  unsigned long long low, high;
  unsigned long long rough;  // not zero once sums left the range of exactness
};

__device__ void add(std::int64_t* counter, std::int64_t value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(counter), static_cast<unsigned long long>(value));
}

// Arrays of one replica.
struct BoardArrays {
  double* positions;
  std::int32_t *images, *species;
  double* x;
  std::uint8_t* kinds;
  std::int64_t *attempts, *accepts, *swap_attempts, *swap_accepts, *evaluations;
  BoardTotals* totals;
};

template <int D>
__global__ void board_keys_kernel(const __grid_constant__ Checkerboard<D> board, std::int64_t n, const double* positions,
                                  std::uint32_t* keys, std::int32_t* particles) {
  const std::int64_t p = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (p >= n) return;
  Vec<double, D> x;
  for_axes<D>([&](auto k) { x.at(k) = positions[p * D + k]; });
  keys[p] = static_cast<std::uint32_t>(board.cell_of(x));
  particles[p] = static_cast<std::int32_t>(p);
}

// Between the order of the particles and that of the cells.
template <int D, bool Gather>
__global__ void move_kernel(std::int64_t n, const __grid_constant__ BoardArrays arrays, const std::int32_t* particle_of) {
  const std::int64_t slot = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (slot >= n) return;
  const std::int64_t p = particle_of[slot];
  if constexpr (Gather) {
    for_axes<D>([&](auto k) { arrays.x[k * n + slot] = arrays.positions[p * D + k]; });
    arrays.kinds[slot] = static_cast<std::uint8_t>(arrays.species[p]);
  } else {
    for_axes<D>([&](auto k) { arrays.positions[p * D + k] = arrays.x[k * n + slot]; });
    arrays.species[p] = arrays.kinds[slot];
  }
}

template <int D, class Potential, bool Uniform>
__global__ void __launch_bounds__(threads)
    board_kernel(const __grid_constant__ BoardJob<D> job, const __grid_constant__ PairChange<D, Potential, Uniform> given,
                 const __grid_constant__ BoardArrays arrays) {
  extern __shared__ __align__(16) double table[];
  __shared__ std::int32_t queues[threads / lanes][2 * lanes];
  const int coefficients = job.species_count * job.species_count * coefficient_count;
  for (int i = static_cast<int>(threadIdx.x); i < coefficients; i += threads) table[i] = given.table.data[i];
  __syncthreads();
  const std::int64_t cell = static_cast<std::int64_t>(blockIdx.x) * (threads / lanes) + threadIdx.x / lanes;
  if (cell >= job.board.active_cells()) return;
  PairChange<D, Potential, Uniform> change = given;
  change.table = {table, job.species_count};
  const Group group;
  CellSampler<Group, D, Potential, Uniform> sampler(group, job, change, queues[threadIdx.x / lanes], cell);
  const BoardCounts counts = sampler.run([&](int pair, bool yes) {
    add(arrays.swap_attempts + pair, 1);
    if (yes) add(arrays.swap_accepts + pair, 1);
  });
  group.once([&] {
    const std::int64_t low = counts.change & ((std::int64_t(1) << 25) - 1);
    atomicAdd(&arrays.totals->low, static_cast<unsigned long long>(low));
    atomicAdd(&arrays.totals->high, static_cast<unsigned long long>((counts.change - low) >> 25));
    if (counts.rough) atomicOr(&arrays.totals->rough, 1ULL);
    add(arrays.attempts, counts.attempts);
    add(arrays.accepts, counts.accepts);
    add(arrays.evaluations, counts.evaluations);
  });
}

// Local energy of every sorted particle, as a number and in quanta.
template <int D, class Potential, bool Uniform>
__global__ void __launch_bounds__(threads)
    local_energy_kernel(const __grid_constant__ BoardJob<D> job, const __grid_constant__ PairChange<D, Potential, Uniform> change,
                        std::int64_t n, const std::uint32_t* keys, double* terms, double* quanta_low, double* quanta_high) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int c[D];
  job.board.grid.coordinates(keys[i], c);
  const Vec<double, D> x = job.places.at(static_cast<int>(i));
  const int s = job.places.species[i];
  double e = 0.0;
  for_ranges<D>(job.board.grid, job.start, c, [&](int first, int last) {
    for (int j = first; j < last; ++j)
      if (j != i) e += change.energy(x, s, job.places.at(j), job.places.species[j]);
  });
  terms[i] = e;
  // A local energy in the range of exact sums has fewer than 2^50 quanta: two halves, whose sums are exact for any N.
  const bool exact = absolute(e) <= change.grid.limit;
  const std::int64_t quanta = exact ? static_cast<std::int64_t>(e * (1.0 / change.grid.quantum)) : 0;
  const std::int64_t low = quanta & ((std::int64_t(1) << 25) - 1);
  quanta_low[i] = static_cast<double>(low);
  quanta_high[i] = exact ? static_cast<double>((quanta - low) >> 25) : 1e300;  // marks a sum as not exact
}

__global__ void record_kernel(std::int64_t count, int dimension, const double* positions, const std::int32_t* images, double bx,
                              double by, double bz, double* out) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int k = static_cast<int>(i % dimension);
  out[i] = positions[i] + images[i] * (k == 0 ? bx : k == 1 ? by : bz);
}

template <int D, class Potential, bool Uniform>
class BoardRun {
  const SystemView& system_;
  const MonteCarloBatch& batch_;
  const MonteCarloPlan& plan_;
  const MonteCarloOutput& output_;
  const Target& target_;
  const std::int64_t replica_, n_;
  cudaStream_t stream_;
  BoardJob<D> job_{};
  PairChange<D, Potential, Uniform> change_;
  BoardArrays arrays_{};
  std::uint64_t id_ = 0;
  Buffer<double> coefficients_, x_;
  Buffer<std::uint64_t> thresholds_;
  Buffer<std::uint8_t> kinds_;
  Buffer<std::uint32_t> keys_;
  Buffer<std::int32_t> particle_of_, start_;
  Buffer<BoardTotals> totals_;
  std::int64_t base_quanta_ = 0, base_rest_ = 0;  // twice the energy when last summed up: base_quanta_ * 2^25 + base_rest_
  bool rough_ = false;
  double rough_energy_ = 0.0;

 public:
  BoardRun(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
           const Target& target, std::int64_t replica)
      : system_(system),
        batch_(batch),
        plan_(plan),
        output_(output),
        target_(target),
        replica_(replica),
        n_(system.n),
        stream_(static_cast<cudaStream_t>(target.stream)),
        change_(PairChange<D, Potential, Uniform>::make(Potential{system.exponent}, system.coefficients, system.species_count,
                                                        system.box, system.cutoff, system.energy_scale)) {
    if (!Checkerboard<D>::make(system.box, system.cutoff, static_cast<double>(n_), job_.board))
      throw std::invalid_argument("checkerboard: expected a box of at least four cutoffs a side");
    const std::int64_t species = system.species_count, pairs = species * (species - 1) / 2;
    coefficients_ = upload(system.coefficients, species * species * coefficient_count, target);
    thresholds_ = upload(plan.pair_thresholds, pairs, target);
    x_ = Buffer<double>(n_ * D, target);
    kinds_ = Buffer<std::uint8_t>(n_, target);
    keys_ = Buffer<std::uint32_t>(n_, target);
    particle_of_ = Buffer<std::int32_t>(n_, target);
    start_ = Buffer<std::int32_t>(job_.board.grid.cells() + 1, target);
    totals_ = Buffer<BoardTotals>(1, target);
    change_.table.data = coefficients_;
    arrays_ = {batch.positions + replica * n_ * D,
               batch.images + replica * n_ * D,
               batch.species + replica * n_,
               x_,
               kinds_,
               output.displacement_attempts + replica,
               output.displacement_accepts + replica,
               output.swap_attempts + replica * pairs,
               output.swap_accepts + replica * pairs,
               output.pair_evaluations + replica,
               totals_};
    job_.places = {x_, kinds_, n_};
    job_.images = arrays_.images;
    job_.start = start_;
    job_.species_count = system.species_count;
    job_.swap_threshold = plan.swap_threshold;
    job_.pair_thresholds = thresholds_;
    fetch(&job_.beta, batch.beta + replica);
    fetch(&job_.move_size, batch.move_size + replica);
    fetch(&id_, reinterpret_cast<const std::uint64_t*>(batch.ids + replica));
  }

  void run() {
    sort();
    make_energy();
    std::int64_t next = 0;
    for (std::int64_t s = 0; s < plan_.sweeps; ++s) {
      for (int sub = 0; sub < Checkerboard<D>::sub_sweeps; ++sub) sub_sweep(plan_.step + static_cast<std::uint64_t>(s), sub);
      if (next < plan_.records && plan_.record_at[next] == s + 1) record(next++);
    }
    put(batch_.energy + replica_, energy());
  }

 private:
  template <class T>
  void fetch(T* host, const T* device) {
    check(cudaMemcpyAsync(host, device, sizeof(T), cudaMemcpyDeviceToHost, stream_), "copy from the device");
    check(cudaStreamSynchronize(stream_), "checkerboard Monte Carlo");
  }
  void put(double* device, double value) {
    check(cudaMemcpyAsync(device, &value, sizeof value, cudaMemcpyHostToDevice, stream_), "copy to the device");
    check(cudaStreamSynchronize(stream_), "checkerboard Monte Carlo");
  }

  void sort() {
    board_keys_kernel<D><<<blocks_for(n_, threads), threads, 0, stream_>>>(job_.board, n_, arrays_.positions, keys_, particle_of_);
    check_launch("launch of board_keys");
    sort_pairs(keys_, particle_of_, n_, job_.board.grid.cells(), target_);
    find_starts(keys_, n_, job_.board.grid.cells(), start_, target_);
    job_.particle_of = particle_of_;
    move_kernel<D, true><<<blocks_for(n_, threads), threads, 0, stream_>>>(n_, arrays_, particle_of_);
    check_launch("launch of move");
  }

  void sub_sweep(std::uint64_t step, int sub) {
    job_.board.place(plan_.seed, step, id_, sub);
    job_.key = RandomKey{plan_.seed, step, id_, Stream::checkerboard};
    job_.sub_sweep = sub;
    sort();
    const std::size_t bytes = static_cast<std::size_t>(system_.species_count * system_.species_count * coefficient_count) * 8;
    board_kernel<D, Potential, Uniform>
        <<<blocks_for(job_.board.active_cells(), threads / lanes), threads, bytes, stream_>>>(job_, change_, arrays_);
    check_launch("launch of checkerboard Monte Carlo");
    move_kernel<D, false><<<blocks_for(n_, threads), threads, 0, stream_>>>(n_, arrays_, particle_of_);
    check_launch("launch of move");
  }

  // Of the sorted state. Changes are counted from here.
  void make_energy() {
    const Buffer<double> terms(3 * n_, target_), sums(3, target_);
    local_energy_kernel<D, Potential, Uniform><<<blocks_for(n_, threads), threads, 0, stream_>>>(
        job_, change_, n_, keys_, terms.get(), terms.get() + n_, terms.get() + 2 * n_);
    check_launch("launch of local energies");
    segmented_sum(terms, 3, n_, 1.0, sums, target_);
    check(cudaMemsetAsync(totals_.get(), 0, sizeof(BoardTotals), stream_), "reset of totals");
    double total[3];
    check(cudaMemcpyAsync(total, sums.get(), sizeof total, cudaMemcpyDeviceToHost, stream_), "copy from the device");
    check(cudaStreamSynchronize(stream_), "checkerboard Monte Carlo");
    rough_ = !(total[2] < 1e200);
    rough_energy_ = 0.5 * total[0];
    base_quanta_ = rough_ ? 0 : static_cast<std::int64_t>(total[2]);
    base_rest_ = static_cast<std::int64_t>(total[1]);
  }

  double energy() {
    BoardTotals totals{};
    check(cudaMemcpyAsync(&totals, totals_.get(), sizeof totals, cudaMemcpyDeviceToHost, stream_), "copy from the device");
    check(cudaStreamSynchronize(stream_), "checkerboard Monte Carlo");
    if (rough_ || totals.rough) {
      sort();
      make_energy();
      if (rough_) return rough_energy_;
      totals = {};
    }
    const __int128 high = static_cast<__int128>(base_quanta_) + 2 * static_cast<__int128>(static_cast<std::int64_t>(totals.high));
    const __int128 low = static_cast<__int128>(base_rest_) + 2 * static_cast<__int128>(static_cast<std::int64_t>(totals.low));
    const __int128 quanta = high * (std::int64_t(1) << 25) + low;
    return static_cast<double>(quanta) * (0.5 * change_.grid.quantum);
  }

  void record(std::int64_t index) {
    const std::int64_t place = index * batch_.replicas + replica_;
    put(output_.energy + place, energy());
    if (output_.positions) {
      record_kernel<<<blocks_for(n_ * D, threads), threads, 0, stream_>>>(n_ * D, D, arrays_.positions, arrays_.images,
                                                                          system_.box[0], system_.box[1], system_.box[2],
                                                                          output_.positions + place * n_ * D);
      check_launch("launch of record");
    }
    if (output_.species)
      check(cudaMemcpyAsync(output_.species + place * n_, arrays_.species, static_cast<std::size_t>(n_) * sizeof(std::int32_t),
                            cudaMemcpyDeviceToDevice, stream_),
            "copy of species");
  }
};

}  // namespace

template <class Potential>
void launch_checkerboard(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan,
                         const MonteCarloOutput& output, const Target& target) {
  with_shape<Potential>(system, [&]<int D, bool Uniform>() {
    for (std::int64_t r = 0; r < batch.replicas; ++r) BoardRun<D, Potential, Uniform>(system, batch, plan, output, target, r).run();
  });
}

template void launch_checkerboard<GLASSNF_POTENTIAL>(const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&,
                                                     const MonteCarloOutput&, const Target&);

}  // namespace glassnf::cuda
