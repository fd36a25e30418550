// Local energies: the energy of one particle with all others, on the quantum grid of potentials.hpp, vectorised over the others.
#pragma once

#include <type_traits>

#include "slot_storage.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

// The coefficients of one species with the particles of a block of expanded storage.
template <int D>
struct ExpandedRow {
  int offset;
  double q_cut_value, c4_value, c2_value, c0_value;

  GLASSNF_HD ExpandedRow(const CoefficientRows& rows, int s)
      : offset(SlotStorage<D, true>::coefficient_offset(s)),
        q_cut_value(rows.row(0, q_cut)[0]),
        c4_value(rows.row(0, c4)[0]),
        c2_value(rows.row(0, c2)[0]),
        c0_value(rows.row(0, c0)[0]) {}
  GLASSNF_HD PairCoefficients<Pack> operator()(const double* block) const {
    return {load(block + offset), load(block + offset + pack_size), Pack(q_cut_value), Pack(c4_value), Pack(c2_value),
            Pack(c0_value)};
  }
};
template <int D, bool Fast>
GLASSNF_HD PairCoefficients<Pack> block_coefficients(const SpeciesRow<Fast>& row, const double* block) {
  return row(load_bits(block + SlotStorage<D, false>::code_offset));
}
template <int D>
GLASSNF_HD PairCoefficients<Pack> block_coefficients(const ExpandedRow<D>& row, const double* block) {
  return row(block);
}

template <int D, class Potential, bool Fast, bool Cells>
struct LocalEnergy {
  using Storage = SlotStorage<D, Fast && !Cells>;
  using Around = Neighbourhood<D, Cells>;
  using Items = typename Around::Item*;
  using Row = std::conditional_t<Fast && !Cells, ExpandedRow<D>, SpeciesRow<Fast>>;

  Potential potential;
  EnergyQuantum grid;
  double box[D];

  // Energies of a particle at x with the eight particles of a block.
  template <bool Floored>
  GLASSNF_HD Pack block_energies(const double* block, const Vec<Pack, D>& x, const double* shift, const Row& row) const {
    Vec<Pack, D> dx;
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      const Pack difference = load(block + k * pack_size) - x.at(k);
      if constexpr (Cells)
        dx.at(k) = difference + Pack(shift[k]);
      else
        dx.at(k) = minimum_image_distance(difference, Pack(box[k]));
    });
    const PairCoefficients<Pack> c = block_coefficients<D>(row, block);
    return quantised_pair_energy<Floored>(potential, dot(dx, dx) * c.inverse_sigma2, c, grid);
  }

  // Calls visit(block, energies) for every block around x; the lane of `self` is zero.
  template <bool Floored, class Visit>
  GLASSNF_HD void for_blocks(const Storage& storage, const Around& around, const double* x, const Row& row, std::int64_t self,
                             Visit&& visit) const {
    Vec<Pack, D> px;
    for_axes<D>([&](auto k) GLASSNF_INLINE { px.at(k) = Pack(x[k]); });
    if constexpr (!Cells) {
      const double* block = storage.blocks;
      const std::uint64_t* mask = storage.mask_with_hole + storage.slots() - self;
      for (int b = 0; b < storage.cell_blocks; ++b, block += Storage::stride, mask += pack_size)
        visit(block, keep(block_energies<Floored>(block, px, nullptr, row), load(mask)));
    } else {
      const double* self_block = storage.blocks + (self >> 3) * Storage::stride;
      const std::int64_t self_row = 1 + (self & 7);
      for (int e = 0; e < around.count; ++e) {
        const auto& item = around.items[e];
        // Row 0 keeps all lanes. Arithmetic rather than a choice: a branch here would be mispredicted once per row.
        const std::int64_t mask_row = -static_cast<std::int64_t>(item.block == self_block) & self_row;
        visit(item.block, keep(block_energies<Floored>(item.block, px, item.shift, row), load(lane_masks.rows[mask_row])));
      }
    }
  }

  // Local energy at x; the terms go to `terms`, in the order of for_blocks.
  template <bool Floored>
  GLASSNF_HD double evaluate(const Storage& storage, const Around& around, const double* x, const Row& row, std::int64_t self,
                             double* terms) const {
    Pack total(0.0);
    for_blocks<Floored>(storage, around, x, row, self, [&](const double*, Pack v) GLASSNF_INLINE {
      store(terms, v);
      terms += pack_size;
      total = total + v;
    });
    return sum(total);
  }

  // Subtract the energies with a particle at x from the local energies of its neighbours; add `terms` if not null.
  template <bool Add>
  GLASSNF_HD void replace_terms(const Storage& storage, const Around& around, const double* x, const Row& row, std::int64_t self,
                                const double* terms) const {
    if constexpr (!Cells)
      if (storage.pair_energies) {
        replace_known_terms(storage, self, terms);
        return;
      }
    for_blocks<true>(storage, around, x, row, self, [&](const double* block, Pack v) GLASSNF_INLINE {
      double* energies = const_cast<double*>(block) + Storage::energy_offset;
      if constexpr (Add) {
        v = v - load(terms);
        terms += pack_size;
      }
      store(energies, load(energies) - v);
    });
  }
  // The same with the old terms from the matrix of pair energies.
  GLASSNF_HD void replace_known_terms(const Storage& storage, std::int64_t self, const double* terms) const {
    const double* row = storage.pair_energies + self * storage.slots();
    for (int b = 0; b < storage.cell_blocks; ++b) {
      double* energies = storage.blocks + b * Storage::stride + Storage::energy_offset;
      store(energies, load(energies) + (load(terms + b * pack_size) - load(row + b * pack_size)));
    }
    storage.set_pair_energies(self, terms);
  }
  GLASSNF_HD void add_terms(const Around& around, const double* terms) const {
    for (int e = 0; e < around.count; ++e, terms += pack_size) {
      double* energies = const_cast<double*>(around.items[e].block) + Storage::energy_offset;
      store(energies, load(energies) + load(terms));
    }
  }

  // One pair, with the same bits as in block_energies.
  GLASSNF_HD double pair(const double* x, const double* y, const PairCoefficients<double>& c) const {
    return one_pair_energy<D>(potential, x, y, box, c, grid);
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
