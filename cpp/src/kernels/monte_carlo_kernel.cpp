// Metropolis Monte Carlo of one replica, with local energies kept for every particle.
//
// A trial evaluates one row of pair energies (the new one); the old local energy is known. Only an accepted move evaluates the old
// row as well, to update its neighbours. Sums are exact (potentials.hpp), so nothing drifts, and the result does not depend on the
// order in which cells hold their particles. A configuration with enormous local energies (overlaps) leaves the range of exact sums; the
// kernel then is `rough`: it trusts no cached energy, evaluates both rows of each trial, and rebuilds everything at the end of the sweep.
#include "glassnf/trial.hpp"
#include "local_energy.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

inline constexpr int trial_chunk = 64;

// Proposals of a chunk of trials, drawn eight at a time.
struct TrialChunk {
  alignas(64) std::uint64_t pick[trial_chunk], kind[trial_chunk], pair[trial_chunk], second[trial_chunk];
  alignas(64) double step[3][trial_chunk], threshold[trial_chunk];

  GLASSNF_HD void draw(const RandomKey& key, std::int64_t first, std::int64_t count, int dimension) {
    for (int m = 0; m < count; m += pack_size) {
      alignas(64) std::uint64_t moves[pack_size];
      for (int k = 0; k < pack_size; ++k) moves[k] = first + m + k;
      const TrialWords<Pack> t = draw_trial<Pack>(key, load(moves));
      store(pick + m, t.pick);
      store(kind + m, t.kind);
      store(pair + m, t.pair);
      store(second + m, t.second);
      for (int k = 0; k < dimension; ++k) store(step[k] + m, t.step[k]);
      store(threshold + m, t.threshold);
    }
  }
};

template <int D, class Potential, bool Fast, bool Cells>
class ReplicaSampler {
  using Local = LocalEnergy<D, Potential, Fast, Cells>;
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
  double beta_, move_size_;
  int species_count_, pairs_;
  double* terms_a_;
  double* terms_b_;
  std::int64_t* list_;        // particles by species, in index order at the start of a sweep
  std::int64_t* list_start_;  // (S + 1,)
  __int128 energy_quanta_;    // twice the potential energy
  double quanta_per_energy_;
  bool prefetch_ = false;
  bool rough_ = false, lists_stale_ = true;
  double rough_energy_ = 0.0;
  TrialChunk chunk_;

 public:
  std::int64_t displacement_attempts = 0, displacement_accepts = 0, pair_evaluations = 0;
  std::int64_t *swap_attempts, *swap_accepts;

  ReplicaSampler(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, std::int64_t replica,
                            Workspace& workspace, Potential potential)
      : system_(system), plan_(plan), workspace_(workspace) {
    const std::int64_t n = system.n;
    positions_ = batch.positions + replica * n * D;
    images_ = batch.images + replica * n * D;
    species_ = batch.species + replica * n;
    beta_ = batch.beta[replica];
    move_size_ = batch.move_size[replica];
    species_count_ = system.species_count;
    pairs_ = species_count_ * (species_count_ - 1) / 2;
    rows_ = CoefficientRows::fill(
        system, static_cast<double*>(reserve(workspace, 4, CoefficientRows::size(species_count_) * 8)));
    local_.potential = potential;
    local_.grid = EnergyQuantum::from_scale(system.energy_scale);
    quanta_per_energy_ = 1.0 / local_.grid.quantum;  // a power of two
    for (int k = 0; k < D; ++k) local_.box[k] = system.box[k];
    list_ = static_cast<std::int64_t*>(reserve(workspace, 5, n * 8));
    list_start_ = static_cast<std::int64_t*>(reserve(workspace, 6, (species_count_ + 2) * 8));
    storage_.coefficients = rows_;
    storage_.n = n;
    storage_.cells = 1;
    storage_.grid = {};
    if constexpr (Cells) {
      make_grid<D>(system.box, system.cutoff, 1.0 + static_cast<double>(n), storage_.grid);
      storage_.cells = storage_.grid.cells();
    }
    build(0);
  }

  GLASSNF_HD double energy() const {
    return rough_ ? rough_energy_ : static_cast<double>(energy_quanta_) * (0.5 * local_.grid.quantum);
  }

  void sweep(const RandomKey& key) {
    if (lists_stale_) make_lists();
    const std::int64_t n = system_.n;
    for (std::int64_t first = 0; first < n; first += trial_chunk) {
      const std::int64_t count = n - first < trial_chunk ? n - first : trial_chunk;
      chunk_.draw(key, first, count, D);
      for (int m = 0; m < count; ++m) {
        if (Cells && prefetch_) prefetch(m + 3 < count ? m + 3 : m);
        if (chunk_.kind[m] < plan_.swap_threshold)
          swap(m);
        else
          displace(m);
      }
    }
    if (rough_) {
      write_back();
      build(storage_.cell_blocks);
    }
  }

  // The caller's arrays take the current state.
  void write_back() {
    for (std::int64_t p = 0; p < system_.n; ++p) {
      storage_.coordinates(storage_.slot_of[p], positions_ + p * D);
      species_[p] = storage_.species_of(storage_.slot_of[p]);
    }
  }

 private:
  [[gnu::noinline]] void build(int cell_blocks) {
    storage_.fill(positions_, species_, cell_blocks, Cells, workspace_);
    const std::int64_t most = static_cast<std::int64_t>(Around::capacity) * storage_.cell_blocks * 64;
    terms_a_ = static_cast<double*>(reserve(workspace_, 7, most));
    terms_b_ = static_cast<double*>(reserve(workspace_, 8, most));
    prefetch_ = storage_.cells * storage_.cell_blocks * Storage::stride * 8 > (1 << 18);
    energy_quanta_ = 0;
    rough_ = false;
    double total = 0.0;
    for (std::int64_t p = 0; p < system_.n; ++p) {
      const std::int64_t slot = storage_.slot_of[p];
      double x[D];
      storage_.coordinates(slot, x);
      const double e = local_energy(x, storage_.species_of(slot), slot, terms_a_);
      storage_.energy_of(slot) = e;
      if (absolute(e) > local_.grid.limit) rough_ = true;
      if (!rough_) energy_quanta_ += quanta(e);
      total += e;
    }
    rough_energy_ = 0.5 * total;
    lists_stale_ = true;
  }

  void make_lists() {
    for (int s = 0; s <= species_count_ + 1; ++s) list_start_[s] = 0;
    for (std::int64_t p = 0; p < system_.n; ++p) ++list_start_[storage_.species_of(storage_.slot_of[p]) + 2];
    for (int s = 2; s <= species_count_ + 1; ++s) list_start_[s] += list_start_[s - 1];
    for (std::int64_t p = 0; p < system_.n; ++p) list_[list_start_[storage_.species_of(storage_.slot_of[p]) + 1]++] = p;
    lists_stale_ = false;
  }

  // Exact: only called where |e| is far below 2^23 of the energy scale.
  GLASSNF_HD std::int64_t quanta(double e) const { return static_cast<std::int64_t>(e * quanta_per_energy_); }

  [[gnu::noinline]] double local_energy(const double* x, int species, std::int64_t self, double* terms) {
    Around around;
    int c[D] = {};
    if constexpr (Cells) storage_.cell_of(x, c);
    around.make(storage_, c);
    pair_evaluations += around.particles - 1;
    return local_.template evaluate<true>(storage_, around, x, Row(rows_, species), self, terms);
  }

  GLASSNF_HD void prefetch(int m) const {
    const std::int64_t slot = storage_.slot_of[scale_word(chunk_.pick[m], system_.n)];
    const std::int64_t cell = slot / (storage_.cell_blocks * pack_size);
    int c[D];
    storage_.grid.coordinates(cell, c);
    Around around;
    around.make(storage_, c);
    for (int e = 0; e < Around::capacity; ++e)
      for (int k = 0; k < D + 1; ++k) __builtin_prefetch(around.entries[e].blocks + k * pack_size);
  }

  void displace(int m) {
    ++displacement_attempts;
    const std::int64_t particle = scale_word(chunk_.pick[m], system_.n);
    const std::int64_t slot = storage_.slot_of[particle];
    double old_x[D], x[D];
    int crossing[D] = {}, c[D] = {};
    storage_.coordinates(slot, old_x);
    for (int k = 0; k < D; ++k) x[k] = wrap_once(old_x[k] + move_size_ * chunk_.step[k][m], system_.box[k], crossing[k]);
    const int species = storage_.species_of(slot);
    const Row row(rows_, species);
    Around around;
    if constexpr (Cells) storage_.cell_of(x, c);
    around.make(storage_, c);
    double e = local_.template evaluate<false>(storage_, around, x, row, slot, terms_a_);
    pair_evaluations += around.particles - 1;
    if (!(e <= local_.grid.limit)) e = local_energy(x, species, slot, terms_a_);
    const double old_e = rough_ ? local_energy(old_x, species, slot, terms_b_) : storage_.energy_of(slot);
    const double change = e - old_e;
    if (!accept(beta_, change, chunk_.threshold[m])) return;
    ++displacement_accepts;
    for (int k = 0; k < D; ++k) images_[particle * D + k] += crossing[k];
    if (e > local_.grid.limit || e < -local_.grid.limit) rough_ = true;
    std::int64_t old_cell = 0, cell = 0;
    if constexpr (Cells) {
      cell = storage_.grid.index(c);
      old_cell = storage_.cell_index(old_x);
    }
    if (rough_) {
      storage_.set_coordinates(slot, x);
    } else {
      pair_evaluations += around.particles - 1;
      if (cell == old_cell) {
        local_.template replace_terms<true>(storage_, around, old_x, row, slot, terms_a_);
      } else {
        local_.add_terms(around, terms_a_);
        storage_.cell_of(old_x, c);
        around.make(storage_, c);
        local_.template replace_terms<false>(storage_, around, old_x, row, slot, nullptr);
      }
      storage_.set_coordinates(slot, x);
      storage_.energy_of(slot) = e;
      energy_quanta_ += 2 * quanta(change);
    }
    if (cell != old_cell) enter_cell(slot, old_cell, cell);
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
    const int pair = choose_pair(chunk_.pair[m], a, b);
    ++swap_attempts[pair];
    const std::int64_t first_a = list_start_[a], first_b = list_start_[b];
    std::int64_t& entry_a = list_[first_a + scale_word(chunk_.pick[m], list_start_[a + 1] - first_a)];
    std::int64_t& entry_b = list_[first_b + scale_word(chunk_.second[m], list_start_[b + 1] - first_b)];
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
    if (!accept(beta_, change, chunk_.threshold[m])) return;
    ++swap_accepts[pair];
    if (absolute(ei) > local_.grid.limit || absolute(ej) > local_.grid.limit) rough_ = true;
    if (!rough_) {
      swap_neighbours(xi, a, i, terms_a_);
      swap_neighbours(xj, b, j, terms_b_);
      storage_.energy_of(i) = ei;
      storage_.energy_of(j) = ej;
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
    Around around;
    int c[D] = {};
    if constexpr (Cells) storage_.cell_of(x, c);
    around.make(storage_, c);
    pair_evaluations += around.particles - 1;
    local_.template replace_terms<true>(storage_, around, x, Row(rows_, species), self, terms);
  }

  GLASSNF_HD int choose_pair(std::uint64_t word, int& a, int& b) const {
    int pair = 0;
    for (a = 0; a < species_count_; ++a)
      for (b = a + 1; b < species_count_; ++b, ++pair)
        if (word < plan_.pair_thresholds[pair] || pair == pairs_ - 1) return pair;
    return 0;
  }
};

void record(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloOutput& output, std::int64_t replica,
            std::int64_t index, double energy) {
  const std::int64_t n = system.n, d = system.dimension, target = index * batch.replicas + replica;
  output.energy[target] = energy;
  if (output.positions)
    for (std::int64_t p = 0; p < n; ++p)
      for (int k = 0; k < d; ++k) {
        const std::int64_t from = (replica * n + p) * d + k;
        output.positions[(target * n + p) * d + k] = batch.positions[from] + batch.images[from] * system.box[k];
      }
  if (output.species)
    for (std::int64_t p = 0; p < n; ++p) output.species[target * n + p] = batch.species[replica * n + p];
}

void monte_carlo(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
                 std::int64_t replica, Workspace& workspace) {
  const auto run = [&](auto& sampler) {
    const int pairs = system.species_count * (system.species_count - 1) / 2;
    sampler.swap_attempts = output.swap_attempts + replica * pairs;
    sampler.swap_accepts = output.swap_accepts + replica * pairs;
    std::int64_t next = 0;
    for (std::int64_t s = 0; s < plan.sweeps; ++s) {
      sampler.sweep(RandomKey{plan.seed, plan.step + static_cast<std::uint64_t>(s), static_cast<std::uint64_t>(batch.ids[replica]),
                              Stream::monte_carlo_trial});
      if (next < plan.records && plan.record_at[next] == s + 1) {
        if (output.positions || output.species) sampler.write_back();
        record(system, batch, output, replica, next++, sampler.energy());
      }
    }
    sampler.write_back();
    batch.energy[replica] = sampler.energy();
    output.displacement_attempts[replica] += sampler.displacement_attempts;
    output.displacement_accepts[replica] += sampler.displacement_accepts;
    output.pair_evaluations[replica] += sampler.pair_evaluations;
  };
  with_system(system, [&]<int D, class P, bool Fast>(P potential) {
    if (uses_cells(system) && !plan.force_all_pairs) {
      ReplicaSampler<D, P, Fast, true> sampler(system, batch, plan, replica, workspace, potential);
      run(sampler);
    } else {
      ReplicaSampler<D, P, Fast, false> sampler(system, batch, plan, replica, workspace, potential);
      run(sampler);
    }
  });
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
