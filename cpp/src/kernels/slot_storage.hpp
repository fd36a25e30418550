// Particles of one replica in blocks of eight, for the Monte Carlo kernel.
//
// A block holds x[8] y[8] (z[8]) code[8] energy[8]: coordinates, species codes and local energies of up to eight particles of one
// cell. Expanded storage, for small systems that fit the first-level cache, also holds two rows for each species s: inverse_sigma2 and
// prefactor of the pair (s, species of the lane), which saves the look-ups. Cell c owns blocks c * cell_blocks .. (c + 1) * cell_blocks - 1 and fills its slots from the first on. Without a grid there is
// one cell, and the slot of a particle is its index.
#pragma once

#include "coefficients.hpp"
#include "glassnf/box.hpp"
#include "glassnf/cells.hpp"
#include "kernels.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

template <int D, bool Expanded>
struct SlotStorage {
  static constexpr int rows = D + 2 + (Expanded ? 2 * small_table : 0);
  static constexpr int stride = rows * pack_size;
  static constexpr int code_offset = D * pack_size;
  static constexpr int energy_offset = (D + 1) * pack_size;
  static constexpr int coefficient_offset(int species) { return (D + 2 + 2 * species) * pack_size; }

  CoefficientRows coefficients;
  CellGrid<D> grid;
  std::int64_t n, cells;
  int cell_blocks;
  double* blocks;
  // Of all pairs only: a mask of ones with a hole, to be read so that the hole falls on the particle itself; and, for small systems, the
  // matrix of pair energies (n, slots), so that an accepted move need not evaluate the row it leaves.
  std::uint64_t* mask_with_hole;  // (2 * slots,), the hole at index `slots`
  double* pair_energies;          // or null
  std::int32_t* count;            // (cells,)
  std::int32_t* slot_of;          // (n,)
  std::int32_t* particle_of;      // (cells * cell_blocks * 8,)

  // The matrix should stay in the first-level cache.
  static constexpr std::int64_t matrix_limit = 56;

  GLASSNF_HD std::int64_t slots() const { return cells * cell_blocks * pack_size; }
  // Row and column of one particle in the matrix of pair energies.
  GLASSNF_HD void set_pair_energies(std::int64_t slot, const double* terms) const {
    if (!pair_energies) return;
    const std::int64_t width = slots();
    for (std::int64_t b = 0; b < width; b += pack_size) store(pair_energies + slot * width + b, load(terms + b));
    for (std::int64_t j = 0; j < n; ++j) pair_energies[j * width + slot] = terms[j];
  }
  GLASSNF_HD void set_pair_energy(std::int64_t i, std::int64_t j, double v) const {
    if (pair_energies) pair_energies[i * slots() + j] = pair_energies[j * slots() + i] = v;
  }

  GLASSNF_HD double* block_of(std::int64_t slot) const { return blocks + (slot >> 3) * stride; }
  GLASSNF_HD double* lane(std::int64_t slot) const { return block_of(slot) + (slot & 7); }
  GLASSNF_HD double energy_of(std::int64_t slot) const { return lane(slot)[energy_offset]; }
  GLASSNF_HD void set_energy(std::int64_t slot, double e) const { set_lane(block_of(slot) + energy_offset, slot & 7, e); }
  GLASSNF_HD int species_of(std::int64_t slot) const { return static_cast<int>(species_of_code(to_bits(lane(slot)[code_offset]))); }
  GLASSNF_HD void set_species(std::int64_t slot, int s) const {
    double* p = lane(slot);
    p[code_offset] = from_bits(species_code(s));
    if constexpr (Expanded)
      for (int t = 0; t < coefficients.species; ++t) {
        p[coefficient_offset(t)] = coefficients.row(t, inverse_sigma2)[s];
        p[coefficient_offset(t) + pack_size] = coefficients.row(t, prefactor)[s];
      }
  }
  GLASSNF_HD void coordinates(std::int64_t slot, double* x) const {
    const double* p = lane(slot);
    for (int k = 0; k < D; ++k) x[k] = p[k * pack_size];
  }
  GLASSNF_HD void set_coordinates(std::int64_t slot, const double* x) const {
    for_axes<D>([&](auto k) GLASSNF_INLINE { set_lane(block_of(slot) + k * pack_size, slot & 7, x[k]); });
  }
  GLASSNF_HD void make_empty(std::int64_t slot) const {
    double* p = lane(slot);
    for (int k = 0; k < D; ++k) p[k * pack_size] = nowhere;
    p[energy_offset] = 0.0;
    set_species(slot, 0);
  }
  GLASSNF_HD void cell_of(const double* x, int* c) const {
    for (int k = 0; k < D; ++k) c[k] = grid.along(k, x[k]);
  }

  // Fill from the caller's arrays, particles in index order within each cell. Local energies are left zero.
  void fill(const double* positions, const std::int32_t* species, int cell_blocks_wanted, bool use_grid, Workspace& workspace) {
    count = static_cast<std::int32_t*>(reserve(workspace, 0, cells * 4));
    for (std::int64_t c = 0; c < cells; ++c) count[c] = 0;
    int largest = 0;
    for (std::int64_t p = 0; p < n; ++p) {
      const std::int64_t c = use_grid ? cell_index(positions + p * D) : 0;
      if (++count[c] > largest) largest = count[c];
    }
    cell_blocks = (largest + pack_size - 1) / pack_size;
    if (cell_blocks < cell_blocks_wanted) cell_blocks = cell_blocks_wanted;
    const std::int64_t slots = cells * cell_blocks * pack_size;
    blocks = static_cast<double*>(reserve(workspace, 1, slots / pack_size * stride * 8));
    slot_of = static_cast<std::int32_t*>(reserve(workspace, 2, n * 4));
    particle_of = static_cast<std::int32_t*>(reserve(workspace, 3, slots * 4));
    if (!use_grid) {
      mask_with_hole = static_cast<std::uint64_t*>(reserve(workspace, 10, 2 * slots * 8));
      for (std::int64_t s = 0; s < 2 * slots; ++s) mask_with_hole[s] = s == slots ? 0 : ~std::uint64_t(0);
      pair_energies = n <= matrix_limit ? static_cast<double*>(reserve(workspace, 11, n * slots * 8)) : nullptr;
    }
    for (std::int64_t s = 0; s < slots; ++s) make_empty(s);
    for (std::int64_t c = 0; c < cells; ++c) count[c] = 0;
    for (std::int64_t p = 0; p < n; ++p) {
      const std::int64_t c = use_grid ? cell_index(positions + p * D) : 0;
      const std::int64_t slot = c * cell_blocks * pack_size + count[c]++;
      slot_of[p] = static_cast<std::int32_t>(slot);
      particle_of[slot] = static_cast<std::int32_t>(p);
      set_coordinates(slot, positions + p * D);
      set_species(slot, species[p]);
    }
  }
  GLASSNF_HD std::int64_t cell_index(const double* x) const {
    int c[D];
    cell_of(x, c);
    return grid.index(c);
  }

  GLASSNF_HD bool full(std::int64_t cell) const { return count[cell] == cell_blocks * pack_size; }

  // Move the particle in `slot` of cell `from` to the end of cell `to`, which is not full; the hole is filled by the last of `from`.
  GLASSNF_HD std::int64_t change_cell(std::int64_t slot, std::int64_t from, std::int64_t to) const {
    const std::int64_t target = to * cell_blocks * pack_size + count[to]++;
    copy_slot(target, slot);
    const std::int64_t last = from * cell_blocks * pack_size + --count[from];
    if (last != slot) copy_slot(slot, last);
    make_empty(last);
    return target;
  }
  GLASSNF_HD void copy_slot(std::int64_t target, std::int64_t source) const {
    double* a = lane(target);
    const double* b = lane(source);
    for (int k = 0; k < rows; ++k) a[k * pack_size] = b[k * pack_size];
    particle_of[target] = particle_of[source];
    slot_of[particle_of[source]] = static_cast<std::int32_t>(target);
  }
};

// The blocks that can hold neighbours of a point: those of its cell and of the cells around it, as one flat list.
template <int D, bool Cells>
struct Neighbourhood {
  struct Item {
    const double* block;
    double shift[D];
  };
  Item* items;  // from the workspace; `most` bounds their number
  int count;
  std::int64_t particles;

  static GLASSNF_HD std::int64_t most(int cell_blocks) { return (Cells ? (D == 2 ? 9 : 27) : 1) * (cell_blocks + 2); }

  template <bool Expanded>
  GLASSNF_HD void make(const SlotStorage<D, Expanded>& storage, const int* c) {
    using Storage = SlotStorage<D, Expanded>;
    if constexpr (!Cells) {
      count = storage.cell_blocks;
      particles = storage.n;
      for (int b = 0; b < count; ++b) items[b].block = storage.blocks + b * Storage::stride;
    } else {
      const CellGrid<D>& grid = storage.grid;
      const std::int64_t cell_stride = static_cast<std::int64_t>(storage.cell_blocks) * Storage::stride;
      std::int64_t along[D][3];
      double shift[D][3];
      std::int64_t step = 1;
      for_axes<D>([&](auto k) GLASSNF_INLINE {
        for (int o = 0; o < 3; ++o) along[k][o] = grid.neighbour(k, c[k], o - 1, shift[k][o]) * step;
        step *= grid.per_side[k];
      });
      count = 0;
      particles = 0;
      for (int oz = 0; oz < (D == 3 ? 3 : 1); ++oz)
        for (int oy = 0; oy < 3; ++oy)
          for (int ox = 0; ox < 3; ++ox) {
            const std::int64_t cell = along[0][ox] + along[1][oy] + (D == 3 ? along[D - 1][oz] : 0);
            const double* block = storage.blocks + cell * cell_stride;
            const int held = storage.count[cell];
            particles += held;
            // Most cells fill one or two blocks: both are written without a branch, and counted if they are used.
            const auto put = [&](const double* b, int used) GLASSNF_INLINE {
              Item& item = items[count];
              item.block = b;
              item.shift[0] = shift[0][ox];
              item.shift[1] = shift[1][oy];
              if constexpr (D == 3) item.shift[D - 1] = shift[D - 1][oz];
              count += used;
            };
            put(block, held > 0);
            put(block + Storage::stride, held > pack_size);
            for (int b = 2; b * pack_size < held; ++b) put(block + b * Storage::stride, 1);
          }
    }
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
