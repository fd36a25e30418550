// Metropolis Monte Carlo of one replica, with local energies kept for every particle.
//
// A trial evaluates one row of pair energies (the new one); the old local energy is known. Only an accepted move evaluates the old
// row as well, to update its neighbours. Sums are exact (potentials.hpp), so nothing drifts, and the result does not depend on the
// order in which cells hold their particles. A configuration with enormous local energies (overlaps) leaves the range of exact sums; the
// kernel then is `rough`: it trusts no cached energy, evaluates both rows of each trial, and rebuilds everything at the end of the sweep.
#include <new>
#include <type_traits>

#include "glassnf/trial.hpp"
#include "local_energy.hpp"
#include "neighbour_lists.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

inline constexpr int trial_chunk = 256;

// Proposals of a chunk of trials, drawn eight at a time.
struct TrialChunk {
  alignas(64) std::uint64_t pick[trial_chunk], kind[trial_chunk], pair[trial_chunk], second[trial_chunk];
  alignas(64) double step[3][trial_chunk], threshold[trial_chunk];

  GLASSNF_HD void draw(const RandomKey& key, const PhiloxKeys<PackU>& keys, std::int64_t first, std::int64_t count, int dimension) {
    for (int m = 0; m < count; m += pack_size) {
      alignas(64) std::uint64_t moves[pack_size];
      for (int k = 0; k < pack_size; ++k) moves[k] = first + m + k;
      const TrialWords<Pack> t = draw_trial<Pack>(key, keys, load(moves));
      store(pick + m, t.pick);
      store(kind + m, t.kind);
      store(pair + m, t.pair);
      store(second + m, t.second);
      for (int k = 0; k < dimension; ++k) store(step[k] + m, t.step[k]);
      store(threshold + m, t.threshold);
    }
  }
};

// How neighbours are found: all pairs in small boxes; neighbour lists in large ones; cells in large ones whose moves are too long for
// lists (dilute systems, high temperatures).
enum class Search { all_pairs, cells, lists };

template <int D>
Search choose_search(const SystemView& system, const MonteCarloPlan& plan, double move_size) {
  ListStorage<D> lists;
  if (plan.search != 1 && plan.search != 2 && ListStorage<D>::plan(system, move_size, lists)) return Search::lists;
  return plan.search != 1 && uses_cells(system) ? Search::cells : Search::all_pairs;
}

template <int D, class Potential, bool Fast, Search search>
class ReplicaSampler final : public MonteCarloEngine {
  static constexpr bool Cells = search == Search::cells, Lists = search == Search::lists;
  using Local = std::conditional_t<Lists, ListLocalEnergy<D, Potential, Fast>, LocalEnergy<D, Potential, Fast, Cells>>;
  using Storage = typename Local::Storage;
  using Around = typename Local::Around;
  using Row = typename Local::Row;

  const SystemView& system_;
  const MonteCarloPlan& plan_;
  Workspace& workspace_;
  CoefficientRows rows_;
  Local local_;
  Storage storage_;
  double* positions_;
  std::int32_t* images_;
  std::int32_t* species_;
  std::uint64_t id_;
  double beta_, move_size_, floor_energy_;
  int species_count_;
  double* terms_a_;
  double* terms_b_;
  typename Local::Items items_;
  Around around_all_;         // of all pairs: the same for every particle
  std::int64_t* list_;        // particles by species, in index order at the start of a sweep
  std::int64_t* list_start_;  // (S + 1,)
  __int128 energy_quanta_;    // twice the potential energy
  double quanta_per_energy_;
  bool prefetch_ = false;
  bool rough_ = false, lists_stale_ = true;
  bool plan_stale_ = false;  // the move size has changed since neighbour lists were made
  double rough_energy_ = 0.0;
  TrialChunk* chunk_ = nullptr;  // of the thread that advances
  PhiloxKeys<PackU> keys_;
  std::int64_t displacement_attempts_ = 0, displacement_accepts_ = 0, pair_evaluations_ = 0;
  std::int64_t *swap_attempts_, *swap_accepts_;

 public:
  ReplicaSampler(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
                 std::int64_t replica, Workspace& workspace, Potential potential)
      : system_(system), plan_(plan), workspace_(workspace), keys_(plan.seed) {
    const int pairs = system.species_count * (system.species_count - 1) / 2;
    swap_attempts_ = output.swap_attempts + replica * pairs;
    swap_accepts_ = output.swap_accepts + replica * pairs;
    id_ = static_cast<std::uint64_t>(batch.ids[replica]);
    const std::int64_t n = system.n;
    positions_ = batch.positions + replica * n * D;
    images_ = batch.images + replica * n * D;
    species_ = batch.species + replica * n;
    beta_ = batch.beta[replica];
    move_size_ = batch.move_size[replica];
    species_count_ = system.species_count;
    rows_ = CoefficientRows::fill(system, static_cast<double*>(reserve(workspace, 4, CoefficientRows::size(species_count_) * 8)));
    local_.potential = potential;
    local_.grid = EnergyQuantum::from_scale(system.energy_scale);
    quanta_per_energy_ = 1.0 / local_.grid.quantum;  // a power of two
    for (int k = 0; k < D; ++k) local_.box[k] = system.box[k];
    floor_energy_ = lowest_floor_energy(potential);
    list_ = static_cast<std::int64_t*>(reserve(workspace, 5, n * 8));
    list_start_ = static_cast<std::int64_t*>(reserve(workspace, 6, (species_count_ + 2) * 8));
    if constexpr (Lists) {
      Storage::plan(system, move_size_, storage_);
    } else {
      storage_.coefficients = rows_;
      storage_.n = n;
      storage_.cells = 1;
      storage_.grid = {};
      if constexpr (Cells) {
        make_grid<D>(system.box, system.cutoff, 1.0 + static_cast<double>(n), storage_.grid);
        storage_.cells = storage_.grid.cells();
      }
    }
    build(0);
    pair_evaluations_ = 0;  // of trials only: what a call needs to set up depends on how a run is cut into calls
  }

  void advance(std::uint64_t step, std::int64_t sweeps, Workspace& scratch) override {
    chunk_ = static_cast<TrialChunk*>(reserve(scratch, 16, static_cast<std::int64_t>(sizeof(TrialChunk))));
    if constexpr (Lists)
      if (plan_stale_) renew_lists();
    plan_stale_ = false;
    for (std::int64_t s = 0; s < sweeps; ++s)
      sweep(RandomKey{plan_.seed, step + static_cast<std::uint64_t>(s), id_, Stream::monte_carlo_trial});
  }

  double energy() const override {
    return rough_ ? rough_energy_ : static_cast<double>(energy_quanta_) * (0.5 * local_.grid.quantum);
  }

  bool set_temperature(double beta, double move_size) override {
    beta_ = beta;
    const bool changed = move_size != move_size_;
    move_size_ = move_size;
    if constexpr (Lists) {
      plan_stale_ = plan_stale_ || changed;
      return !changed || Storage::plan(system_, move_size, storage_);
    }
    if constexpr (Cells) return !changed || choose_search<D>(system_, plan_, move_size) == search;
    return true;
  }

  void count(const MonteCarloOutput& output, std::int64_t replica) override {
    output.displacement_attempts[replica] += displacement_attempts_;
    output.displacement_accepts[replica] += displacement_accepts_;
    output.pair_evaluations[replica] += pair_evaluations_;
    displacement_attempts_ = displacement_accepts_ = pair_evaluations_ = 0;
  }

  // The caller's arrays take the current state.
  void write_back() override {
    for (std::int64_t p = 0; p < system_.n; ++p) {
      storage_.coordinates(storage_.slot_of[p], positions_ + p * D);
      species_[p] = storage_.species_of(storage_.slot_of[p]);
    }
  }

 private:
  void sweep(const RandomKey& key) {
    if (lists_stale_) make_species_lists();
    const std::int64_t n = system_.n;
    for (std::int64_t first = 0; first < n; first += trial_chunk) {
      const std::int64_t count = n - first < trial_chunk ? n - first : trial_chunk;
      chunk_->draw(key, keys_, first, count, D);
      for (int m = 0; m < count; ++m) {
        if (search != Search::all_pairs && prefetch_) prefetch(m, count);
        if (chunk_->kind[m] < plan_.swap_threshold)
          swap(m);
        else
          displace(m);
      }
    }
    if (rough_) {
      write_back();
      rebuild();
    }
  }

  void rebuild() {
    if constexpr (Cells)
      build(storage_.cell_blocks);
    else
      build(0);
  }

  // Everything but the random numbers, from the caller's arrays.
  [[gnu::noinline]] void build(int cell_blocks) {
    arrange(cell_blocks);
    energy_quanta_ = 0;
    rough_ = false;
    double total = 0.0;
    for (std::int64_t p = 0; p < system_.n; ++p) {
      const std::int64_t slot = storage_.slot_of[p];
      double x[D];
      storage_.coordinates(slot, x);
      const double e = local_energy(x, storage_.species_of(slot), slot, terms_a_);
      if constexpr (search == Search::all_pairs) storage_.set_pair_energies(slot, terms_a_);
      storage_.set_energy(slot, e);
      if (absolute(e) > local_.grid.limit) rough_ = true;
      if (!rough_) energy_quanta_ += quanta(e);
      total += e;
    }
    rough_energy_ = 0.5 * total;
    lists_stale_ = true;
  }

  // Places of the particles, and scratch for rows.
  void arrange([[maybe_unused]] int cell_blocks) {
    std::int64_t packs;
    if constexpr (Lists) {
      storage_.fill(positions_, species_, workspace_);
      prefetch_ = storage_.n * (32 + storage_.width * 4) > (1 << 18);
      packs = storage_.width / pack_size;
    } else {
      storage_.fill(positions_, species_, cell_blocks, Cells, workspace_);
      prefetch_ = storage_.cells * storage_.cell_blocks * Storage::stride * 8 > (1 << 18);
      packs = Around::most(storage_.cell_blocks);
      items_ = static_cast<typename Local::Items>(
          reserve(workspace_, 9, packs * static_cast<std::int64_t>(sizeof(typename Around::Item))));
      if constexpr (!Cells) {
        const int nowhere_in_particular[D] = {};
        around_all_ = around(nowhere_in_particular);
      }
    }
    reserve_rows(packs);
  }

  // New neighbour lists; local energies are exact and stay as they are.
  [[gnu::noinline]] void renew_lists() {
    storage_.renew(workspace_);
    reserve_rows(storage_.width / pack_size);
  }

  // Scratch for two rows of pair energies.
  void reserve_rows(std::int64_t packs) {
    terms_a_ = static_cast<double*>(reserve(workspace_, 7, packs * 64));
    terms_b_ = static_cast<double*>(reserve(workspace_, 8, packs * 64));
  }

  void make_species_lists() {
    for (int s = 0; s <= species_count_ + 1; ++s) list_start_[s] = 0;
    for (std::int64_t p = 0; p < system_.n; ++p) ++list_start_[storage_.species_of(storage_.slot_of[p]) + 2];
    for (int s = 2; s <= species_count_ + 1; ++s) list_start_[s] += list_start_[s - 1];
    for (std::int64_t p = 0; p < system_.n; ++p) list_[list_start_[storage_.species_of(storage_.slot_of[p]) + 1]++] = p;
    lists_stale_ = false;
  }

  // Half the lowest energy that any pair has at the floor: a row below it holds no pair closer than the floor (attractions are nothing
  // beside it).
  double lowest_floor_energy(const Potential& potential) const {
    double lowest = 0.0;
    for (int a = 0; a < species_count_; ++a)
      for (int b = a; b < species_count_; ++b) {
        const double v = 0.5 * pair_energy(potential, q_floor, rows_.pair(a, b));
        if ((a == 0 && b == 0) || v < lowest) lowest = v;
      }
    return lowest;
  }

  // Exact: only called where |e| is far below 2^23 of the energy scale.
  GLASSNF_HD std::int64_t quanta(double e) const { return static_cast<std::int64_t>(e * quanta_per_energy_); }

  [[gnu::noinline]] double local_energy(const double* x, int species, std::int64_t self, double* terms) {
    const Around near = around_particle(self, x);
    pair_evaluations_ += near.particles - 1;
    return local_.template evaluate<true>(storage_, near, x, Row(rows_, species), self, terms);
  }

  // The blocks around the cell c. The list lives in items_, so it is good until the next call.
  GLASSNF_HD Around around(const int (&c)[D]) const {
    Around near;
    near.items = items_;
    near.make(storage_, c);
    return near;
  }
  GLASSNF_HD Around around_particle([[maybe_unused]] std::int64_t slot, [[maybe_unused]] const double* x) const {
    if constexpr (Lists) {
      const int packs = storage_.packs[slot];
      return {storage_.lists + slot * storage_.width, packs, packs * pack_size + 1};
    } else if constexpr (Cells) {
      int c[D];
      storage_.cell_of(x, c);
      return around(c);
    } else {
      return around_all_;
    }
  }

  // Fetch what later trials of the chunk will read.
  GLASSNF_HD void prefetch(int m, std::int64_t count) const {
    // In stages, each a few trials after the one whose result it needs.
    if constexpr (Lists) {
      if (m + 24 < count) __builtin_prefetch(storage_.slot_of + scale_word(chunk_->pick[m + 24], system_.n));
      if (m + 12 < count) {
        const std::int64_t slot = slot_of_trial(m + 12);
        const std::int32_t* list = storage_.lists + slot * storage_.width;
        for (int k = 0; k < storage_.width; k += 16) __builtin_prefetch(list + k);
        __builtin_prefetch(storage_.packs + slot);
        __builtin_prefetch(storage_.records + slot * Storage::record_size);
        __builtin_prefetch(storage_.origins + slot * D);
      }
      if (m + 5 < count) {
        const std::int64_t slot = slot_of_trial(m + 5);
        const std::int32_t* list = storage_.lists + slot * storage_.width;
        const int entries = storage_.packs[slot] * pack_size;
        for (int k = 0; k < entries; ++k)
          __builtin_prefetch(storage_.records + list[k] * static_cast<std::int64_t>(Storage::record_size));
      }
    } else if constexpr (Cells) {
      const std::int64_t cell = slot_of_trial(m + 3 < count ? m + 3 : m) / (storage_.cell_blocks * pack_size);
      const std::int64_t cell_stride = static_cast<std::int64_t>(storage_.cell_blocks) * Storage::stride;
      const std::int64_t line = storage_.grid.per_side[0], plane = D == 3 ? line * storage_.grid.per_side[1] : 0;
      for (int oz = D == 3 ? -1 : 0; oz <= (D == 3 ? 1 : 0); ++oz)
        for (int oy = -1; oy <= 1; ++oy)
          for (int ox = -1; ox <= 1; ++ox) {
            const std::int64_t neighbour = cell + oz * plane + oy * line + ox;
            if (neighbour < 0 || neighbour >= storage_.cells) continue;  // wraps around the box: not worth the arithmetic
            const double* block = storage_.blocks + neighbour * cell_stride;
            for (int k = 0; k < D + 1; ++k) __builtin_prefetch(block + k * pack_size);
          }
    }
  }
  GLASSNF_HD std::int64_t slot_of_trial(std::int64_t m) const { return storage_.slot_of[scale_word(chunk_->pick[m], system_.n)]; }

  void displace(int m) {
    ++displacement_attempts_;
    const std::int64_t particle = scale_word(chunk_->pick[m], system_.n);
    const std::int64_t slot = storage_.slot_of[particle];
    double old_x[D], x[D];
    int crossing[D] = {};
    storage_.coordinates(slot, old_x);
    for_axes<D>([&](auto k)
                    GLASSNF_INLINE { x[k] = wrap_once(old_x[k] + move_size_ * chunk_->step[k][m], local_.box[k], crossing[k]); });
    const int species = storage_.species_of(slot);
    const Row row(rows_, species);
    const Around near = around_particle(slot, x);
    double e = local_.template evaluate<false>(storage_, near, x, row, slot, terms_a_);
    pair_evaluations_ += near.particles - 1;
    if (!(e < floor_energy_)) [[unlikely]]  // some pair may be closer than the floor, which only matters when all is enormous
      e = local_energy(x, species, slot, terms_a_);
    const double old_e = rough_ ? local_energy(old_x, species, slot, terms_b_) : storage_.energy_of(slot);
    const double change = e - old_e;
    if (!accept(beta_, change, chunk_->threshold[m])) return;
    ++displacement_accepts_;
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      if (crossing[k]) images_[particle * D + k] += crossing[k];
    });
    if (e > local_.grid.limit || e < -local_.grid.limit) rough_ = true;
    std::int64_t old_cell = 0, cell = 0;
    if constexpr (Cells) {
      cell = storage_.cell_index(x);
      old_cell = storage_.cell_index(old_x);
    }
    if (rough_) {
      storage_.set_coordinates(slot, x);
    } else {
      pair_evaluations_ += evaluations_of_replacement(near);
      if (!Cells || cell == old_cell) {
        local_.template replace_terms<true>(storage_, near, old_x, row, slot, terms_a_);
      } else if constexpr (Cells) {
        local_.add_terms(near, terms_a_);
        local_.template replace_terms<false>(storage_, around_particle(slot, old_x), old_x, row, slot, nullptr);
      }
      storage_.set_coordinates(slot, x);
      storage_.set_energy(slot, e);
      energy_quanta_ += 2 * quanta(change);
    }
    if constexpr (Cells)
      if (cell != old_cell) enter_cell(slot, old_cell, cell);
    if constexpr (Lists)
      if (storage_.too_far(slot, x)) renew_lists();
  }

  [[gnu::noinline]] void enter_cell(std::int64_t slot, std::int64_t from, std::int64_t to) {
    if (!storage_.full(to)) {
      storage_.change_cell(slot, from, to);
      return;
    }
    const bool stale = lists_stale_, rough = rough_;
    write_back();
    build(storage_.cell_blocks + 1);
    lists_stale_ = stale;  // the lists hold particles, not slots, and go on being valid
    rough_ = rough_ || rough;
  }

  [[gnu::noinline]] void swap(int m) {
    int a = 0, b = 0;
    const int pair = choose_pair(chunk_->pair[m], plan_.pair_thresholds, species_count_, a, b);
    ++swap_attempts_[pair];
    const std::int64_t first_a = list_start_[a], first_b = list_start_[b];
    std::int64_t& entry_a = list_[first_a + scale_word(chunk_->pick[m], list_start_[a + 1] - first_a)];
    std::int64_t& entry_b = list_[first_b + scale_word(chunk_->second[m], list_start_[b + 1] - first_b)];
    const std::int64_t i = storage_.slot_of[entry_a], j = storage_.slot_of[entry_b];
    double xi[D], xj[D];
    storage_.coordinates(i, xi);
    storage_.coordinates(j, xj);
    const double shared = local_.pair(xi, xj, rows_.pair(a, b));
    // Rows with the new species count the pair (i, j) as two equal species; put its true energy in their place.
    const double ei = (local_energy(xi, b, i, terms_a_) - local_.pair(xi, xj, rows_.pair(b, b))) + shared;
    const double ej = (local_energy(xj, a, j, terms_b_) - local_.pair(xi, xj, rows_.pair(a, a))) + shared;
    double old_ei = storage_.energy_of(i), old_ej = storage_.energy_of(j);
    if (rough_) swap_old_energies(xi, xj, a, b, i, j, old_ei, old_ej);
    const double change = (ei + ej) - (old_ei + old_ej);
    if (!accept(beta_, change, chunk_->threshold[m])) return;
    ++swap_accepts_[pair];
    if (absolute(ei) > local_.grid.limit || absolute(ej) > local_.grid.limit) rough_ = true;
    if (!rough_) {
      swap_neighbours(xi, a, i, terms_a_);
      swap_neighbours(xj, b, j, terms_b_);
      storage_.set_energy(i, ei);
      storage_.set_energy(j, ej);
      if constexpr (search == Search::all_pairs) storage_.set_pair_energy(i, j, shared);
      energy_quanta_ += 2 * quanta(change);
    }
    storage_.set_species(i, b);
    storage_.set_species(j, a);
    const std::int64_t kept = entry_a;
    entry_a = entry_b;
    entry_b = kept;
    lists_stale_ = true;
  }

  // In rough mode: the old energies, evaluated into scratch that the rest of the trial does not need.
  void swap_old_energies(const double* xi, const double* xj, int a, int b, std::int64_t i, std::int64_t j, double& ei, double& ej) {
    ei = local_energy(xi, a, i, terms_a_);
    ej = local_energy(xj, b, j, terms_b_);
  }

  [[gnu::noinline]] void swap_neighbours(const double* x, int species, std::int64_t self, const double* terms) {
    const Around near = around_particle(self, x);
    pair_evaluations_ += evaluations_of_replacement(near);
    local_.template replace_terms<true>(storage_, near, x, Row(rows_, species), self, terms);
  }

  GLASSNF_HD std::int64_t evaluations_of_replacement(const Around& near) const {
    if constexpr (search == Search::all_pairs)
      if (storage_.pair_energies) return 0;
    return near.particles - 1;
  }
};

MonteCarloEngine* open_monte_carlo(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan,
                                   const MonteCarloOutput& output, std::int64_t replica, Workspace& workspace) {
  MonteCarloEngine* engine = nullptr;
  with_system(system, [&]<int D, class P, bool Fast>(P potential) {
    const auto with_search = [&]<Search search>() {
      using Sampler = ReplicaSampler<D, P, Fast, search>;
      static_assert(std::is_trivially_destructible_v<Sampler> && alignof(Sampler) <= 64);
      engine = new (reserve(workspace, 15, static_cast<std::int64_t>(sizeof(Sampler))))
          Sampler(system, batch, plan, output, replica, workspace, potential);
    };
    switch (choose_search<D>(system, plan, batch.move_size[replica])) {
      case Search::lists: with_search.template operator()<Search::lists>(); break;
      case Search::cells: with_search.template operator()<Search::cells>(); break;
      case Search::all_pairs: with_search.template operator()<Search::all_pairs>(); break;
    }
  });
  return engine;
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
