// Neighbour lists (Verlet, Phys. Rev. 159, 98, 1967) for Monte Carlo of large replicas.
//
// The list of a particle holds all that were closer than cutoff + skin when it was made. It serves as long as nobody has moved by more
// than half the skin, less what a trial may add, since; the first particle that does has all lists made anew. Sums of pair energies are
// exact (potentials.hpp), so when lists are made, and in which order they hold the neighbours, cannot change a result.
//
// Particles live in records of four doubles, x y (z) code, sorted by cell when lists are made. Lists are padded to packs of
// eight with the index of an empty record, which is too far away to interact.
#pragma once

#include <type_traits>

#include "cell_ranges.hpp"
#include "coefficients.hpp"
#include "glassnf/box.hpp"
#include "kernels.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

template <int D>
struct ListStorage {
  static constexpr int record_size = 4;

  CellGrid<D> grid;
  bool has_grid;
  std::int64_t n, cells, width;  // width: capacity of a list, a multiple of eight
  double box[D], reach, half_skin;
  double* records;            // (n + 1, 4) by slot; the last is empty
  double* energies;           // (n + 1,) by slot, in three dimensions
  double* origins;            // (n, D) by slot: where particles were when the lists were made
  std::int32_t* slot_of;      // (n,)
  std::int32_t* particle_of;  // (n,)
  std::int32_t* lists;        // (n, width) by slot
  std::int32_t* packs;        // (n,) by slot: packs of eight in use

  GLASSNF_HD void coordinates(std::int64_t slot, double* x) const {
    for (int k = 0; k < D; ++k) x[k] = records[slot * record_size + k];
  }
  // Writes the whole record at once: vector loads of it follow soon.
  GLASSNF_HD void set_coordinates(std::int64_t slot, const double* x) const {
    double record[record_size];
    for (int k = 0; k < record_size; ++k) record[k] = k < D ? x[k] : records[slot * record_size + k];
    __builtin_memcpy(records + slot * record_size, record, sizeof record);
  }
  GLASSNF_HD int species_of(std::int64_t slot) const {
    return static_cast<int>(species_of_code(to_bits(records[slot * record_size + D])));
  }
  GLASSNF_HD void set_species(std::int64_t slot, int s) const { records[slot * record_size + D] = from_bits(species_code(s)); }
  // In two dimensions the fourth number of a record is the local energy: who reads a neighbour has its energy in cache.
  GLASSNF_HD double& energy_at(std::int64_t slot) const {
    if constexpr (D == 2)
      return records[slot * record_size + 3];
    else
      return energies[slot];
  }
  GLASSNF_HD double energy_of(std::int64_t slot) const { return energy_at(slot); }
  GLASSNF_HD void set_energy(std::int64_t slot, double e) const { energy_at(slot) = e; }

  GLASSNF_HD bool too_far(std::int64_t slot, const double* x) const {
    double r2 = 0.0;
    for (int k = 0; k < D; ++k) {
      const double dx = minimum_image_distance(x[k] - origins[slot * D + k], box[k]);
      r2 += dx * dx;
    }
    return r2 > half_skin * half_skin;
  }

  // Sort the particles of the caller's arrays by cell and make the lists. Energies are zero.
  void fill(const double* positions, const std::int32_t* species, Workspace& workspace) {
    slot_of = static_cast<std::int32_t*>(reserve(workspace, 2, n * 4));
    packs = static_cast<std::int32_t*>(reserve(workspace, 12, n * 4));
    auto* loose = static_cast<Particle*>(reserve(workspace, 9, n * static_cast<std::int64_t>(sizeof(Particle))));
    for (std::int64_t p = 0; p < n; ++p) {
      for (int k = 0; k < D; ++k) loose[p].record[k] = positions[p * D + k];
      loose[p].record[D] = from_bits(species_code(species[p]));
      loose[p].energy = 0.0;
      loose[p].particle = p;
    }
    arrange(loose, workspace);
  }

  // The same from where the particles are now. They are nearly sorted already, so that everything is read and written in order.
  void renew(Workspace& workspace) {
    auto* loose = static_cast<Particle*>(reserve(workspace, 9, n * static_cast<std::int64_t>(sizeof(Particle))));
    for (std::int64_t slot = 0; slot < n; ++slot) {
      for (int k = 0; k <= D; ++k) loose[slot].record[k] = records[slot * record_size + k];
      loose[slot].energy = energy_of(slot);
      loose[slot].particle = particle_of[slot];
    }
    arrange(loose, workspace);
  }

 private:
  struct Particle {
    double record[record_size], energy;
    std::int64_t particle;
  };

  // Counting sort of particles by cell into the arrays by slot, and their lists.
  void arrange(const Particle* loose, Workspace& workspace) {
    const std::int64_t padded = n + pack_size;
    auto* start = static_cast<std::int64_t*>(reserve(workspace, 0, (cells + 2) * 8));
    records = static_cast<double*>(reserve(workspace, 1, (n + 1) * record_size * 8));
    particle_of = static_cast<std::int32_t*>(reserve(workspace, 3, n * 4));
    energies = static_cast<double*>(reserve(workspace, 10, (n + 1) * 8));
    origins = static_cast<double*>(reserve(workspace, 11, n * D * 8));
    auto* sorted = static_cast<double*>(reserve(workspace, 13, D * padded * 8));
    for (std::int64_t c = 0; c < cells + 2; ++c) start[c] = 0;
    for (std::int64_t i = 0; i < n; ++i) ++start[cell_of(loose[i].record) + 2];
    for (std::int64_t c = 2; c < cells + 2; ++c) start[c] += start[c - 1];
    for (std::int64_t i = 0; i < n; ++i) {
      const Particle& p = loose[i];
      const std::int64_t slot = start[cell_of(p.record) + 1]++;
      slot_of[p.particle] = static_cast<std::int32_t>(slot);
      particle_of[slot] = static_cast<std::int32_t>(p.particle);
      set_energy(slot, p.energy);
      for (int k = 0; k <= D; ++k) records[slot * record_size + k] = p.record[k];
      for (int k = 0; k < D; ++k) origins[slot * D + k] = sorted[k * padded + slot] = p.record[k];
    }
    for (int k = 0; k < D; ++k) {
      records[n * record_size + k] = nowhere;
      for (std::int64_t i = n; i < padded; ++i) sorted[k * padded + i] = nowhere;
    }
    set_species(n, 0);
    set_energy(n, 0.0);
    do {
      lists = static_cast<std::int32_t*>(reserve(workspace, 14, (n * width + pack_size) * 4));
    } while (!make_lists(start, sorted, padded));
  }

  GLASSNF_HD std::int64_t cell_of(const double* x) const {
    if (!has_grid) return 0;
    int c[D];
    for (int k = 0; k < D; ++k) c[k] = grid.along(k, x[k]);
    return grid.index(c);
  }

  // False if a list did not fit: width has grown, try again.
  bool make_lists(const std::int64_t* start, const double* sorted, std::int64_t padded) {
    for (std::int64_t cell = 0; cell < cells; ++cell) {
      CellRanges<D> ranges;
      if (has_grid) {
        int c[D];
        grid.coordinates(cell, c);
        ranges.make(grid, start, c);
      } else {
        ranges.count = 1;
        ranges.range[0].first = 0;
        ranges.range[0].last = n;
      }
      for (std::int64_t i = start[cell]; i < start[cell + 1]; ++i) {
        const std::int64_t found = find_neighbours(ranges, i, sorted, padded, lists + i * width);
        if (found > width) {
          width = (found + found / 4 + 16) / 16 * 16;
          return false;
        }
        packs[i] = static_cast<std::int32_t>((found + pack_size - 1) / pack_size);
      }
    }
    return true;
  }

  // Number of neighbours of i; writes them, padded, if they fit.
  GLASSNF_HD std::int64_t find_neighbours(const CellRanges<D>& ranges, std::int64_t i, const double* sorted, std::int64_t padded,
                                          std::int32_t* list) const {
    const Pack reach2(reach * reach);
    Vec<Pack, D> xi;
    for_axes<D>([&](auto k) GLASSNF_INLINE { xi.at(k) = Pack(sorted[k * padded + i]); });
    std::int64_t found = 0;
    for (int r = 0; r < ranges.count; ++r)
      for (std::int64_t at = ranges.range[r].first; at < ranges.range[r].last; at += pack_size) {
        Vec<Pack, D> dx;
        for_axes<D>([&](auto k) GLASSNF_INLINE {
          dx.at(k) = minimum_image_distance(load(sorted + k * padded + at) - xi.at(k), Pack(box[k]));
        });
        unsigned bits = less_bits(dot(dx, dx), reach2);
        const std::int64_t left = ranges.range[r].last - at;
        if (left < pack_size) bits &= (1u << left) - 1;
        if (i >= at && i < at + pack_size) bits &= ~(1u << (i - at));
        // Past the capacity only the count goes on; the last pack of a list may run over into the next list, which comes later.
        std::int32_t* out = found <= width ? list + found : list;
        found += write_set_bits(out, static_cast<std::int32_t>(at), bits);
      }
    if (found <= width)
      for (std::int64_t k = found; k % pack_size; ++k) list[k] = static_cast<std::int32_t>(n);
    return found;
  }

 public:
  // Whether lists pay for this system and these moves, and how to make them.
  static GLASSNF_HD bool plan(const SystemView& system, double move_size, ListStorage& out) {
    // A skin of seven move sizes lasts several sweeps in a dense liquid, even of 10^5 particles; much wider, lists hold too many.
    double skin = 7.0 * move_size;
    if (skin < 0.1 * system.cutoff) skin = 0.1 * system.cutoff;
    if (skin > 0.4 * system.cutoff) {
      if (move_size > 0.2 * system.cutoff) return false;
      skin = 0.4 * system.cutoff;
    }
    out.n = system.n;
    out.reach = system.cutoff + skin;
    // A trial is evaluated with the lists there are: it may take a particle at the limit further by a diagonal of the cube of moves.
    out.half_skin = 0.5 * (skin - square_root(static_cast<double>(D)) * move_size);
    double volume = 1.0, shortest = system.box[0];
    for (int k = 0; k < D; ++k) {
      out.box[k] = system.box[k];
      volume *= system.box[k];
      if (system.box[k] < shortest) shortest = system.box[k];
    }
    const double ball = D == 2 ? 3.14159265358979 : 4.18879020478639;
    const double expected = ball * (D == 3 ? out.reach : 1.0) * out.reach * out.reach * static_cast<double>(system.n) / volume;
    if (shortest < 2.0 * out.reach || expected > 0.6 * static_cast<double>(system.n)) return false;
    out.width = (static_cast<std::int64_t>(1.2 * expected) + 24) / 16 * 16;
    out.grid = {};
    out.has_grid = make_grid<D>(system.box, out.reach, 1.0 + static_cast<double>(system.n), out.grid);
    out.cells = out.has_grid ? out.grid.cells() : 1;
    return true;
  }
};

// Local energies over the neighbour list; the interface of LocalEnergy.
template <int D, class Potential, bool Fast>
struct ListLocalEnergy {
  using Storage = ListStorage<D>;
  using Row = SpeciesRow<Fast>;
  struct Around {
    const std::int32_t* list;
    int count;
    std::int64_t particles;
  };

  struct Items {};

  Potential potential;
  EnergyQuantum grid;
  double box[D];

  template <bool Floored>
  GLASSNF_HD Pack pack_energies(const Storage& storage, const std::int32_t* index, const Vec<Pack, D>& x, const Row& row) const {
    Pack a, b, c, d;
    gather_records<D + 1>(storage.records, index, a, b, c, d);
    Vec<Pack, D> dx;
    PackU code;
    if constexpr (D == 2) {
      dx = {a - x.x, b - x.y};
      code = to_bits(c);
    } else {
      dx = {a - x.x, b - x.y, c - x.z};
      code = to_bits(d);
    }
    for_axes<D>([&](auto k) GLASSNF_INLINE { dx.at(k) = minimum_image_distance(dx.at(k), Pack(box[k])); });
    const PairCoefficients<Pack> coefficients = row(code);
    return quantised_pair_energy<Floored>(potential, dot(dx, dx) * coefficients.inverse_sigma2, coefficients, grid);
  }

  template <bool Floored>
  GLASSNF_HD double evaluate(const Storage& storage, const Around& around, const double* x, const Row& row, std::int64_t,
                             double* terms) const {
    Vec<Pack, D> px;
    for_axes<D>([&](auto k) GLASSNF_INLINE { px.at(k) = Pack(x[k]); });
    Pack total(0.0);
    for (int e = 0; e < around.count; ++e) {
      const Pack v = pack_energies<Floored>(storage, around.list + e * pack_size, px, row);
      store(terms + e * pack_size, v);
      total = total + v;
    }
    return sum(total);
  }

  template <bool Add>
  GLASSNF_HD void replace_terms(const Storage& storage, const Around& around, const double* x, const Row& row, std::int64_t,
                                const double* terms) const {
    static_assert(Add);
    Vec<Pack, D> px;
    for_axes<D>([&](auto k) GLASSNF_INLINE { px.at(k) = Pack(x[k]); });
    for (int e = 0; e < around.count; ++e) {
      const std::int32_t* index = around.list + e * pack_size;
      alignas(64) double change[pack_size];
      store(change, load(terms + e * pack_size) - pack_energies<true>(storage, index, px, row));
      for (int l = 0; l < pack_size; ++l) storage.energy_at(index[l]) += change[l];
    }
  }

  GLASSNF_HD double pair(const double* x, const double* y, const PairCoefficients<double>& c) const {
    return one_pair_energy<D>(potential, x, y, box, c, grid);
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
