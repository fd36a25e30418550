// Metropolis Monte Carlo of one large replica in many places at once (Anderson, Jankowski, Grubb, Engel, Glotzer, J. Comput. Phys. 254,
// 27, 2013).
//
// A grid of cells at least one cutoff wide, with an even number along every axis, is laid over the box at a random place. Cells of even
// coordinates are active: no two of them touch, so that particles of different active cells do not interact. Every active cell makes as
// many trials as it holds particles, on its own particles only; a displacement that would leave the cell is rejected, and swaps choose
// both particles in the cell. Given the grid, each trial keeps detailed balance, the numbers of particles of each species in a cell do
// not change, and the place of the grid does not depend on the configuration: the Boltzmann distribution is invariant. 2^d such
// sub-sweeps make a sweep, N trials on average.
//
// The order of trials differs from that of sequential Monte Carlo; the results are the same for any number of threads and on any machine.
#pragma once

#include "glassnf/group_rows.hpp"
#include "glassnf/trial.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

template <int D>
struct Checkerboard {
  CellGrid<D> grid;
  double origin[D];

  static constexpr int sub_sweeps = D == 2 ? 4 : 8;

  // False if the box is too small for four cells a side.
  static GLASSNF_HD bool make(const double* box, double cutoff, double largest_cell_count, Checkerboard& board) {
    // Not fewer cells than a thousand for want of particles: halving them must leave four a side.
    if (!make_grid<D>(box, cutoff, largest_cell_count < 1024.0 ? 1024.0 : largest_cell_count, board.grid)) return false;
    for (int k = 0; k < D; ++k) {
      board.grid.per_side[k] = board.grid.per_side[k] / 2 * 2;
      if (board.grid.per_side[k] < 4) return false;
      board.grid.inverse_side[k] = board.grid.per_side[k] / box[k];
      board.origin[k] = 0.0;
    }
    return true;
  }
  // Uniform over two cells along every axis, which also chooses which cells are active.
  GLASSNF_HD void place(std::uint64_t seed, std::uint64_t step, std::uint64_t id, int sub_sweep) {
    const RandomKey key{seed, step, id, Stream::checkerboard_grid};
    const auto block = random_block<std::uint64_t>(key, static_cast<std::uint64_t>(sub_sweep), 0);
    const std::uint64_t words[3] = {block.w0, block.w1, block.w2};
    for (int k = 0; k < D; ++k)
      origin[k] = (static_cast<double>(words[k]) + 0.5) * (1.0 / 4294967296.0) * (2.0 * grid.box[k] / grid.per_side[k]);
  }
  GLASSNF_HD int along(int k, double x) const {
    const double y = x - origin[k];
    return grid.along(k, y < 0.0 ? y + grid.box[k] : y);
  }
  GLASSNF_HD std::int64_t cell_of(const Vec<double, D>& x) const {
    int c[D];
    for_axes<D>([&](auto k) { c[k] = along(k, x.at(k)); });
    return grid.index(c);
  }
  GLASSNF_HD std::int64_t active_cells() const {
    std::int64_t count = 1;
    for (int k = 0; k < D; ++k) count *= grid.per_side[k] / 2;
    return count;
  }
  GLASSNF_HD void active_cell(std::int64_t index, int* c) const {
    for (int k = 0; k < D; ++k) {
      c[k] = 2 * static_cast<int>(index % (grid.per_side[k] / 2));
      index /= grid.per_side[k] / 2;
    }
  }
};

// What the active cells of a sub-sweep share.
template <int D>
struct BoardJob {
  Checkerboard<D> board;
  Places<D> places;                 // sorted by cell
  const std::int32_t* start;        // (cells + 1,) where each cell begins
  const std::int32_t* particle_of;  // (N,)
  std::int32_t* images;             // (N, d) by particle
  RandomKey key;
  int sub_sweep, species_count;
  double beta, move_size;
  std::uint64_t swap_threshold;
  const std::uint64_t* pair_thresholds;
};

// What one cell did. Change: of the potential energy, in quanta.
struct BoardCounts {
  std::int64_t change, attempts, accepts, evaluations;
  bool rough;
};

template <class Group, int D, class Potential, bool Uniform>
class CellSampler {
  template <class T>
  using PerLane = typename Group::template PerLane<T>;

  const Group& group_;
  const BoardJob<D>& job_;
  const PairChange<D, Potential, Uniform>& change_;
  std::int32_t* queue_;
  int cell_[D], first_, last_;
  BoardCounts counts_{};

 public:
  // Queue: 2 * Group::size numbers. run() reports every swap by add_swap(pair, accepted).
  GLASSNF_HD CellSampler(const Group& group, const BoardJob<D>& job, const PairChange<D, Potential, Uniform>& change,
                         std::int32_t* queue, std::int64_t active)
      : group_(group), job_(job), change_(change), queue_(queue) {
    job.board.active_cell(active, cell_);
    const std::int64_t cell = job.board.grid.index(cell_);
    first_ = job.start[cell];
    last_ = job.start[cell + 1];
  }

  template <class Add>
  GLASSNF_HD BoardCounts run(Add&& add_swap) {
    for (int first = first_; first < last_; first += Group::size) {
      PerLane<GroupTrial<D>> trials;
      group_.lanes([&](int lane) {
        trials[lane] =
            GroupTrial<D>::draw(job_.key, static_cast<std::uint64_t>(first + lane), 2 * static_cast<std::uint64_t>(job_.sub_sweep));
      });
      const int count = last_ - first < Group::size ? last_ - first : Group::size;
      for (int m = 0; m < count; ++m) {
        const GroupTrial<D> trial = group_.from(trials, m);
        if (trial.kind < job_.swap_threshold)
          swap(trial, add_swap);
        else
          displace(trial);
      }
    }
    return counts_;
  }

 private:
  GLASSNF_HD double energy_change(const RowChange<D>& row) {
    NearSum<Group, std::int32_t, D, Potential, Uniform> near(group_, change_, job_.places, row, queue_);
    for_ranges<D>(job_.board.grid, job_.start, cell_, [&](int first, int last) { near.add(first, last); });
    const double result = near.total();
    counts_.evaluations += 2 * near.evaluations;
    return result;
  }

  GLASSNF_HD bool accepted(double change, double threshold) {
    if (!accept(job_.beta, change, threshold)) return false;
    if (absolute(change) > change_.grid.limit)
      counts_.rough = true;
    else
      counts_.change += static_cast<std::int64_t>(change * (1.0 / change_.grid.quantum));
    return true;
  }

  GLASSNF_HD void displace(const GroupTrial<D>& trial) {
    ++counts_.attempts;
    const int slot = first_ + static_cast<int>(scale_word(trial.pick, static_cast<std::uint64_t>(last_ - first_)));
    RowChange<D> row;
    int crossing[D] = {};
    bool leaves = false;
    row.from = job_.places.at(slot);
    for_axes<D>([&](auto k) {
      row.to.at(k) = wrap_once(row.from.at(k) + job_.move_size * trial.step[k], change_.box[k], crossing[k]);
      leaves = leaves || job_.board.along(k, row.to.at(k)) != cell_[k];
    });
    if (leaves) return;
    row.species_from = row.species_to = job_.places.species[slot];
    row.skip = slot;
    row.partner = -1;
    if (!accepted(energy_change(row), trial.threshold)) return;
    ++counts_.accepts;
    group_.once([&] {
      job_.places.set(slot, row.to);
      for_axes<D>([&](auto k) {
        if (crossing[k]) job_.images[static_cast<std::int64_t>(job_.particle_of[slot]) * D + k] += crossing[k];
      });
    });
  }

  template <class Add>
  GLASSNF_HD void swap(const GroupTrial<D>& trial, Add&& add_swap) {
    int a = 0, b = 0;
    const int pair = choose_pair(trial.pair, job_.pair_thresholds, job_.species_count, a, b);
    const int count_a = count_of(a), count_b = count_of(b);
    bool yes = false;
    if (count_a > 0 && count_b > 0) {
      const int i = place_of(a, static_cast<int>(scale_word(trial.pick, static_cast<std::uint64_t>(count_a))));
      const int j = place_of(b, static_cast<int>(scale_word(trial.second, static_cast<std::uint64_t>(count_b))));
      const Vec<double, D> xi = job_.places.at(i), xj = job_.places.at(j);
      double change = energy_change(RowChange<D>{xi, xi, a, b, i, j});
      change += energy_change(RowChange<D>{xj, xj, b, a, j, i});
      yes = accepted(change, trial.threshold);
      if (yes)
        group_.once([&] {
          job_.places.species[i] = static_cast<std::uint8_t>(b);
          job_.places.species[j] = static_cast<std::uint8_t>(a);
        });
    }
    group_.once([&] { add_swap(pair, yes); });
  }

  GLASSNF_HD std::uint32_t of_species(int species, int base) const {
    PerLane<bool> mine;
    group_.lanes([&](int lane) { mine[lane] = base + lane < last_ && job_.places.species[base + lane] == species; });
    return group_.ballot(mine);
  }
  GLASSNF_HD int count_of(int species) const {
    int count = 0;
    for (int base = first_; base < last_; base += Group::size) count += count_bits(of_species(species, base));
    return count;
  }
  // Place of the nth particle of a species in the cell, counted from 0.
  GLASSNF_HD int place_of(int species, int nth) const {
    for (int base = first_; base < last_; base += Group::size) {
      std::uint32_t bits = of_species(species, base);
      const int count = count_bits(bits);
      if (nth >= count) {
        nth -= count;
        continue;
      }
      for (; nth > 0; --nth) bits &= bits - 1;
      return base + count_bits((bits & (~bits + 1)) - 1);
    }
    return first_;
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
