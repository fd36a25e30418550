// Checkerboard Monte Carlo on the CPU: threads share out the active cells. The algorithm and its results are those of the GPU.
#include "glassnf/checkerboard.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

#include "threads.hpp"
#include "with_system.hpp"

namespace glassnf::cpu {

namespace {

constexpr std::int64_t piece = 64;  // cells that a thread takes at a time

template <class Group, int D, class Potential, bool Uniform>
class BoardSampler {
  const SystemView& system_;
  const MonteCarloBatch& batch_;
  const MonteCarloPlan& plan_;
  const MonteCarloOutput& output_;
  const std::int64_t replica_, n_;
  const int threads_;
  double *positions_, *energy_;
  std::int32_t *images_, *species_;
  PairChange<D, Potential, Uniform> change_;
  BoardJob<D> job_{};
  std::vector<double> x_;
  std::vector<std::uint8_t> kinds_;
  std::vector<std::int32_t> start_, particle_of_, cell_of_;
  __int128 quanta_ = 0;  // twice the potential energy
  bool rough_ = false;
  double rough_energy_ = 0.0;

 public:
  BoardSampler(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
               std::int64_t replica, int threads, Potential potential)
      : system_(system),
        batch_(batch),
        plan_(plan),
        output_(output),
        replica_(replica),
        n_(system.n),
        threads_(threads),
        positions_(batch.positions + replica * n_ * D),
        energy_(batch.energy + replica),
        images_(batch.images + replica * n_ * D),
        species_(batch.species + replica * n_),
        change_(PairChange<D, Potential, Uniform>::make(potential, system.coefficients, system.species_count, system.box,
                                                        system.cutoff, system.energy_scale)),
        x_(static_cast<std::size_t>(n_ * D)),
        kinds_(static_cast<std::size_t>(n_)),
        particle_of_(static_cast<std::size_t>(n_)),
        cell_of_(static_cast<std::size_t>(n_)) {
    if (!Checkerboard<D>::make(system.box, system.cutoff, static_cast<double>(n_), job_.board))
      throw std::invalid_argument("checkerboard: expected a box of at least four cutoffs a side");
    start_.resize(static_cast<std::size_t>(job_.board.grid.cells() + 2));
    job_.places = {x_.data(), kinds_.data(), n_};
    job_.particle_of = particle_of_.data();
    job_.images = images_;
    job_.species_count = system.species_count;
    job_.beta = batch.beta[replica];
    job_.move_size = batch.move_size[replica];
    job_.swap_threshold = plan.swap_threshold;
    job_.pair_thresholds = plan.pair_thresholds;
  }

  void run() {
    sort();
    make_energy();
    std::int64_t next = 0;
    for (std::int64_t s = 0; s < plan_.sweeps; ++s) {
      for (int sub = 0; sub < Checkerboard<D>::sub_sweeps; ++sub) sub_sweep(plan_.step + static_cast<std::uint64_t>(s), sub);
      if (rough_) {
        sort();
        make_energy();
      }
      if (next < plan_.records && plan_.record_at[next] == s + 1) record(next++);
    }
    *energy_ = energy();
  }

 private:
  double energy() const { return rough_ ? rough_energy_ : static_cast<double>(quanta_) * (0.5 * change_.grid.quantum); }

  // Counting sort of the particles by cell; within a cell by index.
  void sort() {
    const std::int64_t cells = job_.board.grid.cells();
    std::fill(start_.begin(), start_.end(), 0);
    for (std::int64_t p = 0; p < n_; ++p) {
      Vec<double, D> x;
      for_axes<D>([&](auto k) { x.at(k) = positions_[p * D + k]; });
      cell_of_[p] = static_cast<std::int32_t>(job_.board.cell_of(x));
      ++start_[cell_of_[p] + 1];
    }
    for (std::int64_t c = 1; c <= cells; ++c) start_[c] += start_[c - 1];
    std::vector<std::int32_t> next(start_.begin(), start_.end() - 1);
    for (std::int64_t p = 0; p < n_; ++p) {
      const std::int32_t slot = next[cell_of_[p]]++;
      particle_of_[slot] = static_cast<std::int32_t>(p);
      kinds_[slot] = static_cast<std::uint8_t>(species_[p]);
      for (int k = 0; k < D; ++k) x_[k * n_ + slot] = positions_[p * D + k];
    }
    job_.start = start_.data();
  }
  void write_back() {
    for (std::int64_t slot = 0; slot < n_; ++slot) {
      const std::int64_t p = particle_of_[slot];
      species_[p] = kinds_[slot];
      for (int k = 0; k < D; ++k) positions_[p * D + k] = x_[k * n_ + slot];
    }
  }

  // Of the sorted state, and whether it is in the range of exact sums.
  void make_energy() {
    quanta_ = 0;
    rough_ = false;
    double total = 0.0;
    const std::int64_t cells = job_.board.grid.cells();
    for (std::int64_t cell = 0; cell < cells; ++cell) {
      int c[D];
      job_.board.grid.coordinates(cell, c);
      for (std::int32_t i = start_[cell]; i < start_[cell + 1]; ++i) {
        double e = 0.0;
        for_ranges<D>(job_.board.grid, start_.data(), c, [&](int first, int last) {
          for (int j = first; j < last; ++j)
            if (j != i) e += change_.energy(job_.places.at(i), kinds_[i], job_.places.at(j), kinds_[j]);
        });
        if (absolute(e) > change_.grid.limit) rough_ = true;
        if (!rough_) quanta_ += static_cast<std::int64_t>(e * (1.0 / change_.grid.quantum));
        total += e;
      }
    }
    rough_energy_ = 0.5 * total;
  }

  void sub_sweep(std::uint64_t step, int sub) {
    const auto id = static_cast<std::uint64_t>(batch_.ids[replica_]);
    job_.board.place(plan_.seed, step, id, sub);
    job_.key = RandomKey{plan_.seed, step, id, Stream::checkerboard};
    job_.sub_sweep = sub;
    sort();
    std::atomic<std::int64_t> change{0}, attempts{0}, accepts{0}, evaluations{0};
    std::atomic<bool> rough{false};
    const int pairs = system_.species_count * (system_.species_count - 1) / 2;
    const auto add_swap = [&](int pair, bool yes) {
      std::atomic_ref<std::int64_t>(output_.swap_attempts[replica_ * pairs + pair]) += 1;
      if (yes) std::atomic_ref<std::int64_t>(output_.swap_accepts[replica_ * pairs + pair]) += 1;
    };
    const std::int64_t active = job_.board.active_cells();
    parallel_for((active + piece - 1) / piece, threads_, [&](std::int64_t i, Workspace&) {
      const Group group;
      std::int32_t queue[2 * Group::size];
      for (std::int64_t cell = i * piece; cell < std::min(active, (i + 1) * piece); ++cell) {
        const BoardCounts counts = CellSampler<Group, D, Potential, Uniform>(group, job_, change_, queue, cell).run(add_swap);
        change += counts.change;
        attempts += counts.attempts;
        accepts += counts.accepts;
        evaluations += counts.evaluations;
        if (counts.rough) rough = true;
      }
    });
    quanta_ += 2 * static_cast<__int128>(change.load());
    rough_ = rough_ || rough;
    output_.displacement_attempts[replica_] += attempts;
    output_.displacement_accepts[replica_] += accepts;
    output_.pair_evaluations[replica_] += evaluations;
    write_back();
  }

  void record(std::int64_t index) {
    const std::int64_t target = index * batch_.replicas + replica_;
    output_.energy[target] = energy();
    if (output_.positions)
      for (std::int64_t i = 0; i < n_ * D; ++i)
        output_.positions[target * n_ * D + i] = positions_[i] + images_[i] * system_.box[i % D];
    if (output_.species) std::copy(species_, species_ + n_, output_.species + target * n_);
  }
};

}  // namespace

void checkerboard(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan,
                  const MonteCarloOutput& output, int threads) {
  if (system.species_count > 256) throw std::invalid_argument("checkerboard: expected at most 256 species");
  with_system(system, uniform_coefficients(system), [&]<int D, class P, bool Uniform>(P potential) {
    for (std::int64_t r = 0; r < batch.replicas; ++r)
      if (plan.search == 1)  // for tests: the lanes of the GPU, one after the other
        BoardSampler<HostGroup<8>, D, P, Uniform>(system, batch, plan, output, r, threads, potential).run();
      else
        BoardSampler<HostGroup<1>, D, P, Uniform>(system, batch, plan, output, r, threads, potential).run();
  });
}

}  // namespace glassnf::cpu
