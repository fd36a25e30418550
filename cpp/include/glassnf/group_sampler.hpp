// Metropolis Monte Carlo of one replica by a group of lanes: the same trials, and in double precision the same decisions, as the CPU
// kernel of cpp/src/kernels/monte_carlo_kernel.cpp. Where that one keeps local energies and vectorises rows of neighbours, this one
// evaluates the row of the proposed and of the present state in one pass, so that the lanes of a warp do not part company.
//
// The state lives in an arena, on chip where it fits. Particles of a small replica lie in the order of their indices and all are
// neighbours. Those of a larger one (Cells) are sorted into cells wider than the cutoff by twice a margin, and stay in the order of the
// sorting until a trial would take one further than the margin out of its cell; then all are sorted anew. Two particles whose cells are
// not neighbours are never closer than the cutoff.
#pragma once

#include "glassnf/group_rows.hpp"
#include "glassnf/trial.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

inline constexpr int most_group_species = 16;
inline constexpr std::int64_t most_group_particles = 65535;  // indices of 16 bits
inline constexpr int most_cells_a_side = 1024;               // coordinates of cells of ten bits
inline constexpr std::int64_t sequential_by_default = 4096;  // beyond, one replica by one group is slow: checkerboard

// What all replicas of a call share.
template <int D>
struct GroupJob {
  double box[D], cutoff, energy_scale;
  int n, species_count, exponent;
  std::uint64_t seed, step, swap_threshold;
  std::int64_t sweeps, records;
  const double* coefficients;            // (S, S, coefficient_count)
  const std::uint64_t* pair_thresholds;  // (pairs,)
  const std::int64_t* record_at;         // (records,)
};

// The arrays of one replica; see MonteCarloBatch and MonteCarloOutput. Recorded arrays start at the replica's place in the first record;
// `record_stride` replicas lie between records.
struct GroupReplica {
  double* positions;
  std::int32_t* images;
  std::int32_t* species;
  double* energy;
  double beta, move_size;
  std::uint64_t id;
  std::int64_t record_stride;
  double* record_energy;
  double* record_positions;
  std::int32_t* record_species;
  std::int64_t *displacement_attempts, *displacement_accepts, *swap_attempts, *swap_accepts, *pair_evaluations;
};

// Memory of one replica, in bytes from the start of its arena.
struct ArenaLayout {
  std::int64_t coordinates, list_start, cell_of, queue, list, slot_of, particle_of, cell_start, species, bytes;

  // largest_cells: of the grid of any replica; 0 without cells.
  static GLASSNF_HD ArenaLayout make(std::int64_t n, int dimension, int species_count, int group_size, std::int64_t largest_cells) {
    const bool cells = largest_cells > 0;
    ArenaLayout a{};
    a.coordinates = 0;
    a.list_start = a.coordinates + 8 * n * dimension;
    a.cell_of = a.list_start + 4 * (species_count + 1);
    a.queue = a.cell_of + (cells ? 4 * n : 0);
    a.list = a.queue + (cells ? 4 * group_size : 0);
    a.slot_of = a.list + 2 * n;
    a.particle_of = a.slot_of + (cells ? 2 * n : 0);
    a.cell_start = a.particle_of + (cells ? 2 * n : 0);
    a.species = a.cell_start + (cells ? 2 * (largest_cells + 2) : 0);
    a.bytes = a.species + n;
    // Arenas of neighbouring groups start 64 bytes apart in the 128 bytes of the memory banks, so that they are read at once.
    a.bytes = (a.bytes + 127) / 128 * 128 + 64;
    return a;
  }
};

// The grid of a replica, wide enough for its moves; false where all pairs are as good.
template <int D>
GLASSNF_HD bool make_group_grid(const double* box, double cutoff, int n, double move_size, CellGrid<D>& grid) {
  double margin = 2.0 * move_size;
  if (margin < 0.02 * cutoff) margin = 0.02 * cutoff;
  if (!make_grid<D>(box, cutoff + 2.0 * margin, static_cast<double>(n), grid)) return false;
  long long line = 1;
  for (int k = 0; k < D; ++k) {
    line *= 3;
    if (grid.per_side[k] <= most_cells_a_side) continue;
    grid.per_side[k] = most_cells_a_side;
    grid.inverse_side[k] = most_cells_a_side / box[k];
  }
  return grid.cells() > line;
}

// No replica has more cells than this, whatever its moves: grids of wider cells may be halved less often by make_grid.
template <int D>
GLASSNF_HD std::int64_t largest_group_cells(const double* box, double cutoff, std::int64_t n) {
  double cells = 1.0;
  for (int k = 0; k < D; ++k) cells *= static_cast<double>(static_cast<std::int64_t>(minimum(box[k] / cutoff, 1e6)));
  const double most = n < 27 ? 27.0 : static_cast<double>(n);
  return static_cast<std::int64_t>(cells < 1.0 ? 1.0 : minimum(cells, most));
}

template <class Group, int D, class Potential, bool Uniform, bool Cells>
class GroupSampler {
  template <class T>
  using PerLane = typename Group::template PerLane<T>;

  const Group& group_;
  const GroupJob<D>& job_;
  const GroupReplica& replica_;
  PairChange<D, Potential, Uniform> change_;
  Places<D> places_;
  std::uint32_t* cell_of_;  // by slot: coordinates of its cell, ten bits each
  std::int32_t* list_start_;
  std::uint16_t *queue_, *list_, *slot_of_, *particle_of_, *cell_start_;
  CellGrid<D> grid_;
  double leave_[D];  // how far from the middle of its cell a particle may be
  bool all_pairs_ = true, rough_ = false, lists_stale_ = true;
  std::int64_t energy_quanta_ = 0;  // twice the potential energy
  double rough_energy_ = 0.0;
  std::int64_t attempts_ = 0, accepts_ = 0, evaluations_ = 0;

 public:
  GLASSNF_HD GroupSampler(const Group& group, const GroupJob<D>& job, const GroupReplica& replica, Potential potential,
                          const double* coefficients, char* arena, const ArenaLayout& layout)
      : group_(group),
        job_(job),
        replica_(replica),
        change_(PairChange<D, Potential, Uniform>::make(potential, coefficients, job.species_count, job.box, job.cutoff,
                                                        job.energy_scale)) {
    places_ = {reinterpret_cast<double*>(arena + layout.coordinates), reinterpret_cast<std::uint8_t*>(arena + layout.species),
               job.n};
    cell_of_ = reinterpret_cast<std::uint32_t*>(arena + layout.cell_of);
    list_start_ = reinterpret_cast<std::int32_t*>(arena + layout.list_start);
    queue_ = reinterpret_cast<std::uint16_t*>(arena + layout.queue);
    list_ = reinterpret_cast<std::uint16_t*>(arena + layout.list);
    slot_of_ = reinterpret_cast<std::uint16_t*>(arena + layout.slot_of);
    particle_of_ = reinterpret_cast<std::uint16_t*>(arena + layout.particle_of);
    cell_start_ = reinterpret_cast<std::uint16_t*>(arena + layout.cell_start);
    if constexpr (Cells) {
      CellGrid<D> grid{};  // made elsewhere than where it is kept, which leaves the latter in registers
      all_pairs_ = !make_group_grid<D>(job.box, job.cutoff, job.n, replica.move_size, grid);
      for_axes<D>([&](auto k) {
        grid_.per_side[k] = grid.per_side[k];
        grid_.inverse_side[k] = grid.inverse_side[k];
        grid_.box[k] = grid.box[k];
      });
      for (int k = 0; k < D && !all_pairs_; ++k) {
        const double side = job.box[k] / grid_.per_side[k];
        leave_[k] = (0.5 * side + 0.5 * (side - job.cutoff)) * (1.0 - 1e-9);
      }
    }
    arrange();
    make_energy();
  }

  // All sweeps of the job, with records; the replica's arrays are up to date when it returns.
  GLASSNF_HD void run() {
    std::int64_t next = 0;
    for (std::int64_t s = 0; s < job_.sweeps; ++s) {
      sweep(RandomKey{job_.seed, job_.step + static_cast<std::uint64_t>(s), replica_.id, Stream::monte_carlo_trial});
      if (rough_ || !summable(energy_quanta_)) {  // from a state that does not depend on how a run is cut into calls
        write_back();
        arrange();
        make_energy();
      }
      if (next < job_.records && job_.record_at[next] == s + 1) record(next++);
    }
    write_back();
    group_.once([&] {
      *replica_.energy = energy();
      *replica_.displacement_attempts += attempts_;
      *replica_.displacement_accepts += accepts_;
      *replica_.pair_evaluations += evaluations_;
    });
  }

 private:
  GLASSNF_HD double energy() const {
    return rough_ ? rough_energy_ : static_cast<double>(energy_quanta_) * (0.5 * change_.grid.quantum);
  }
  GLASSNF_HD std::int64_t quanta(double e) const { return static_cast<std::int64_t>(e * (1.0 / change_.grid.quantum)); }
  // Far from overflow.
  static GLASSNF_HD bool summable(std::int64_t quanta) {
    constexpr std::int64_t limit = std::int64_t(1) << 61;
    return -limit < quanta && quanta < limit;
  }
  GLASSNF_HD int slot_of(int particle) const {
    if constexpr (Cells)
      return slot_of_[particle];
    else
      return particle;
  }

  // ---- where particles are ------------------------------------------------------------------------------------------------------

  GLASSNF_HD void write_back() const {
    group_.lanes([&](int lane) {
      for (int slot = lane; slot < job_.n; slot += Group::size) {
        int p = slot;
        if constexpr (Cells) p = particle_of_[slot];
        for_axes<D>([&](auto k) { replica_.positions[p * D + k] = places_.x[k * places_.stride + slot]; });
        replica_.species[p] = places_.species[slot];
      }
    });
  }

  // From the replica's arrays into the arena.
  GLASSNF_HD void arrange() {
    if constexpr (Cells) sort_slots();
    group_.lanes([&](int lane) {
      for (int p = lane; p < job_.n; p += Group::size) {
        const int slot = slot_of(p);
        for_axes<D>([&](auto k) { places_.x[k * places_.stride + slot] = replica_.positions[p * D + k]; });
        places_.species[slot] = static_cast<std::uint8_t>(replica_.species[p]);
      }
    });
  }

  // Slots by cell, and within a cell by index: counting sort, a chunk of particles at a time.
  GLASSNF_HD void sort_slots() {
    const int cells = all_pairs_ ? 1 : static_cast<int>(grid_.cells());
    group_.lanes([&](int lane) {
      for (int c = lane; c < cells + 2; c += Group::size) cell_start_[c] = 0;
    });
    for (int pass = 0; pass < 2; ++pass) {
      for (int base = 0; base < job_.n; base += Group::size) {
        PerLane<std::int32_t> key;
        group_.lanes([&](int lane) { key[lane] = base + lane < job_.n ? cell_of_particle(base + lane) : -1; });
        const PerLane<std::uint32_t> same = group_.alike(key);
        PerLane<std::int32_t> slot;
        group_.lanes([&](int lane) {
          if (key[lane] >= 0) slot[lane] = cell_start_[key[lane] + 1] + bits_before(same[lane], lane);
        });
        group_.lanes([&](int lane) {
          if (key[lane] < 0) return;
          if (pass == 1) {
            slot_of_[base + lane] = static_cast<std::uint16_t>(slot[lane]);
            particle_of_[slot[lane]] = static_cast<std::uint16_t>(base + lane);
            cell_of_[slot[lane]] = packed_cell(base + lane);
          }
          if (bits_before(same[lane], lane) == 0)  // pass 0 counts into the cell after, pass 1 moves the start of this one
            cell_start_[key[lane] + 1 + (pass == 0)] =
                static_cast<std::uint16_t>(cell_start_[key[lane] + 1 + (pass == 0)] + count_bits(same[lane]));
        });
      }
      if (pass == 0)
        group_.once([&] {
          for (int c = 2; c < cells + 2; ++c) cell_start_[c] = static_cast<std::uint16_t>(cell_start_[c] + cell_start_[c - 1]);
        });
    }
  }
  GLASSNF_HD std::int32_t cell_of_particle(int p) const {
    if (all_pairs_) return 0;
    int c[D];
    for (int k = 0; k < D; ++k) c[k] = grid_.along(k, replica_.positions[p * D + k]);
    return static_cast<std::int32_t>(grid_.index(c));
  }
  GLASSNF_HD std::uint32_t packed_cell(int p) const {
    std::uint32_t packed = 0;
    for (int k = 0; k < D && !all_pairs_; ++k)
      packed |= static_cast<std::uint32_t>(grid_.along(k, replica_.positions[p * D + k])) << (10 * k);
    return packed;
  }
  GLASSNF_HD void unpack_cell(int slot, int* c) const {
    for (int k = 0; k < D; ++k) c[k] = static_cast<int>((cell_of_[slot] >> (10 * k)) & 1023u);
  }
  GLASSNF_HD bool leaves(int slot, const Vec<double, D>& to) const {
    int c[D];
    unpack_cell(slot, c);
    bool out = false;
    for_axes<D>([&](auto k) {
      const double middle = (c[k] + 0.5) * (job_.box[k] / grid_.per_side[k]);
      if (minimum_image_distance(to.at(k) - middle, job_.box[k]) > leave_[k]) out = true;
    });
    return out;
  }
  template <class Body>
  GLASSNF_HD void for_candidates(int slot, Body&& body) const {
    if constexpr (Cells)
      if (!all_pairs_) {
        int c[D];
        unpack_cell(slot, c);
        for_ranges<D>(grid_, cell_start_, c, body);
        return;
      }
    body(0, job_.n);
  }

  // Particles by species, in index order, as the CPU makes them at the start of a sweep.
  GLASSNF_HD void make_species_lists() {
    int filled = 0;
    for (int s = 0; s < job_.species_count; ++s) {
      group_.once([&] { list_start_[s] = filled; });
      for (int base = 0; base < job_.n; base += Group::size) {
        PerLane<bool> mine;
        group_.lanes([&](int lane) { mine[lane] = base + lane < job_.n && places_.species[slot_of(base + lane)] == s; });
        const std::uint32_t bits = group_.ballot(mine);
        group_.lanes([&](int lane) {
          if (mine[lane]) list_[filled + bits_before(bits, lane)] = static_cast<std::uint16_t>(base + lane);
        });
        filled += count_bits(bits);
      }
    }
    group_.once([&] { list_start_[job_.species_count] = filled; });
    lists_stale_ = false;
  }

  // ---- energies -----------------------------------------------------------------------------------------------------------------

  // Of the whole replica, and whether it is in the range of exact sums.
  GLASSNF_HD void make_energy() {
    energy_quanta_ = 0;
    rough_ = false;
    double total = 0.0;
    for (int i = 0; i < job_.n; ++i) {
      const Vec<double, D> x = places_.at(i);
      const int s = places_.species[i];
      PerLane<double> sum;
      group_.lanes([&](int lane) { sum[lane] = 0.0; });
      for_candidates(i, [&](int first, int last) {
        group_.lanes([&](int lane) {
          for (int j = first + lane; j < last; j += Group::size)
            if (j != i) sum[lane] += change_.energy(x, s, places_.at(j), places_.species[j]);
        });
      });
      const double e = group_.sum(sum);
      if (absolute(e) > change_.grid.limit || !summable(energy_quanta_)) rough_ = true;
      if (!rough_) energy_quanta_ += quanta(e);
      total += e;
    }
    rough_energy_ = 0.5 * total;
  }

  GLASSNF_HD double energy_change(const RowChange<D>& row) {
    if constexpr (Cells) {
      NearSum<Group, std::uint16_t, D, Potential, Uniform> near(group_, change_, places_, row, queue_);
      for_candidates(row.skip, [&](int first, int last) { near.add(first, last); });
      const double result = near.total();
      evaluations_ += 2 * near.evaluations;
      return result;
    } else {
      evaluations_ += 2 * (job_.n - (row.partner < 0 ? 1 : 2));
      return sum_all(group_, change_, places_, row, 0, job_.n);
    }
  }

  // ---- trials -------------------------------------------------------------------------------------------------------------------

  GLASSNF_HD void sweep(const RandomKey& key) {
    if (lists_stale_ && job_.swap_threshold > 0) make_species_lists();
    for (int first = 0; first < job_.n; first += Group::size) {
      PerLane<GroupTrial<D>> trials;
      group_.lanes([&](int lane) { trials[lane] = GroupTrial<D>::draw(key, static_cast<std::uint64_t>(first + lane)); });
      const int count = job_.n - first < Group::size ? job_.n - first : Group::size;
      for (int m = 0; m < count; ++m) {
        const GroupTrial<D> trial = group_.from(trials, m);
        try_move(trial);
      }
    }
  }

  // The verdict on a change of energy. Sums beyond the limit of exactness are made anew at the end of the sweep.
  GLASSNF_HD bool accepted(double change, double threshold) {
    if (!accept(replica_.beta, change, threshold)) return false;
    if (!rough_) {
      if (absolute(change) > change_.grid.limit)
        rough_ = true;
      else
        energy_quanta_ += 2 * quanta(change);
    }
    return true;
  }

  // A displacement changes one row of pair energies, a swap two. The first is evaluated in one place for both, so that groups of a warp
  // that make different trials stay together.
  GLASSNF_HD void try_move(const GroupTrial<D>& trial) {
    const bool swaps = trial.kind < job_.swap_threshold;
    RowChange<D> row, second{};
    int crossing[D] = {};
    int particle = 0, pair = 0;
    std::uint16_t *entry_a = nullptr, *entry_b = nullptr;
    if (swaps) {
      pair = propose_swap(trial, entry_a, entry_b, row, second);
    } else {
      ++attempts_;
      particle = static_cast<int>(scale_word(trial.pick, static_cast<std::uint64_t>(job_.n)));
      row = propose_displacement(trial, particle, crossing);
    }
    double change = energy_change(row);
    if (swaps) change += energy_change(second);
    const bool yes = accepted(change, trial.threshold);
    if (swaps) {
      finish_swap(pair, yes, entry_a, entry_b, row);
    } else if (yes) {
      ++accepts_;
      group_.once([&] {
        places_.set(row.skip, row.to);
        for_axes<D>([&](auto k) {
          if (crossing[k]) replica_.images[particle * D + k] += crossing[k];
        });
      });
    }
  }

  GLASSNF_HD RowChange<D> propose_displacement(const GroupTrial<D>& trial, int particle, int (&crossing)[D]) {
    int slot = slot_of(particle);
    RowChange<D> row;
    row.from = places_.at(slot);
    for_axes<D>(
        [&](auto k) { row.to.at(k) = wrap_once(row.from.at(k) + replica_.move_size * trial.step[k], job_.box[k], crossing[k]); });
    if constexpr (Cells)
      if (!all_pairs_ && leaves(slot, row.to)) {
        write_back();
        arrange();
        slot = slot_of(particle);
      }
    row.species_from = row.species_to = places_.species[slot];
    row.skip = slot;
    row.partner = -1;
    return row;
  }

  GLASSNF_HD int propose_swap(const GroupTrial<D>& trial, std::uint16_t*& entry_a, std::uint16_t*& entry_b, RowChange<D>& first,
                              RowChange<D>& second) {
    int a = 0, b = 0;
    const int pair = choose_pair(trial.pair, job_.pair_thresholds, job_.species_count, a, b);
    const int first_a = list_start_[a], count_a = list_start_[a + 1] - first_a;
    const int first_b = list_start_[b], count_b = list_start_[b + 1] - first_b;
    entry_a = list_ + first_a + scale_word(trial.pick, static_cast<std::uint64_t>(count_a));
    entry_b = list_ + first_b + scale_word(trial.second, static_cast<std::uint64_t>(count_b));
    const int i = slot_of(*entry_a), j = slot_of(*entry_b);
    // The energy of the pair (i, j) itself does not change.
    const Vec<double, D> xi = places_.at(i), xj = places_.at(j);
    first = {xi, xi, a, b, i, j};
    second = {xj, xj, b, a, j, i};
    return pair;
  }

  GLASSNF_HD void finish_swap(int pair, bool yes, std::uint16_t* entry_a, std::uint16_t* entry_b, const RowChange<D>& row) {
    group_.once([&] {
      replica_.swap_attempts[pair] += 1;
      if (!yes) return;
      replica_.swap_accepts[pair] += 1;
      places_.species[row.skip] = static_cast<std::uint8_t>(row.species_to);
      places_.species[row.partner] = static_cast<std::uint8_t>(row.species_from);
      const std::uint16_t kept = *entry_a;
      *entry_a = *entry_b;
      *entry_b = kept;
    });
    if (yes) lists_stale_ = true;
  }

  GLASSNF_HD void record(std::int64_t index) {
    const std::int64_t n = job_.n, skipped = index * replica_.record_stride;
    group_.once([&] { replica_.record_energy[skipped] = energy(); });
    if (!replica_.record_positions && !replica_.record_species) return;
    write_back();
    group_.lanes([&](int lane) {
      for (int i = lane; replica_.record_positions && i < job_.n * D; i += Group::size)
        replica_.record_positions[skipped * n * D + i] = replica_.positions[i] + replica_.images[i] * job_.box[i % D];
      for (int i = lane; replica_.record_species && i < job_.n; i += Group::size)
        replica_.record_species[skipped * n + i] = replica_.species[i];
    });
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
