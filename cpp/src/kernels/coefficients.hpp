// Coefficient tables of one species against all others, as SIMD look-ups.
#pragma once

#include "backend.hpp"
#include "glassnf/box.hpp"
#include "glassnf/potentials.hpp"
#include "glassnf/simd.hpp"
#include "with_system.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

// Rows [species][coefficient][padded species]. Capacity for any number of species comes from the workspace.
struct CoefficientRows {
  const double* data;
  int species, padded;

  static GLASSNF_HD int padded_count(int species_count) {
    return species_count <= small_table ? small_table : (species_count + 7) / 8 * 8;
  }
  static GLASSNF_HD std::int64_t size(int species_count) {
    return static_cast<std::int64_t>(species_count) * coefficient_count * padded_count(species_count);
  }
  static GLASSNF_HD CoefficientRows fill(const SystemView& system, double* memory) {
    const int s = system.species_count, padded = padded_count(s);
    for (int a = 0; a < s; ++a)
      for (int k = 0; k < coefficient_count; ++k)
        for (int b = 0; b < padded; ++b)
          memory[(a * coefficient_count + k) * padded + b] = system.coefficients[(a * s + (b < s ? b : 0)) * coefficient_count + k];
    return {memory, s, padded};
  }
  GLASSNF_HD const double* row(int species, Coefficient k) const { return data + (species * coefficient_count + k) * padded; }
  GLASSNF_HD PairCoefficients<double> pair(int a, int b) const {
    return {row(a, inverse_sigma2)[b], row(a, prefactor)[b], row(a, q_cut)[b], row(a, c4)[b], row(a, c2)[b], row(a, c0)[b]};
  }
};

// The row of one species. Fast: few species, with the same reduced cutoff and polynomial for all pairs, as in the built-in models.
template <bool Fast>
struct SpeciesRow {
  Table<Fast> inverse_sigma2_table, prefactor_table, q_cut_table, c4_table, c2_table, c0_table;
  double q_cut_value, c4_value, c2_value, c0_value;

  GLASSNF_HD SpeciesRow(const CoefficientRows& rows, int s)
      : inverse_sigma2_table(rows.row(s, inverse_sigma2)),
        prefactor_table(rows.row(s, prefactor)),
        q_cut_table(rows.row(s, q_cut)),
        c4_table(rows.row(s, c4)),
        c2_table(rows.row(s, c2)),
        c0_table(rows.row(s, c0)),
        q_cut_value(rows.row(0, q_cut)[0]),
        c4_value(rows.row(0, c4)[0]),
        c2_value(rows.row(0, c2)[0]),
        c0_value(rows.row(0, c0)[0]) {}

  GLASSNF_HD PairCoefficients<Pack> operator()(PackU code) const {
    if constexpr (Fast)
      return {inverse_sigma2_table(code), prefactor_table(code), Pack(q_cut_value), Pack(c4_value), Pack(c2_value), Pack(c0_value)};
    else
      return {inverse_sigma2_table(code), prefactor_table(code), q_cut_table(code), c4_table(code), c2_table(code), c0_table(code)};
  }
};

// Fast: few species, with the same reduced cutoff and polynomial for all pairs.
template <class F>
GLASSNF_HOST void with_system(const SystemView& system, F&& f) {
  with_system(system, system.species_count <= small_table && uniform_coefficients(system), f);
}

// Lanes to keep: row 0 keeps all, row 1 + k all but lane k.
struct LaneMasks {
  alignas(64) std::uint64_t rows[9][8];
  constexpr LaneMasks() : rows{} {
    for (int r = 0; r < 9; ++r)
      for (int l = 0; l < 8; ++l) rows[r][l] = l == r - 1 ? 0 : ~std::uint64_t(0);
  }
};
inline constexpr LaneMasks lane_masks{};

// Set one lane of a row of eight with full-width stores: a scalar store would stall the vector loads that soon follow.
GLASSNF_HD void set_lane(double* row, std::int64_t lane, double value) {
  const PackU kept = load(lane_masks.rows[1 + lane]);
  store(row, from_bits((load_bits(row) & kept) | (to_bits(Pack(value)) & ~kept)));
}

// Energy of one pair, with the same bits as a lane of the vectorised rows.
template <int D, class Potential>
GLASSNF_HD double one_pair_energy(const Potential& potential, const double* x, const double* y, const double* box,
                                  const PairCoefficients<double>& c, const EnergyQuantum& grid) {
  Vec<double, D> dx;
  for_axes<D>([&](auto k) GLASSNF_INLINE { dx.at(k) = minimum_image_distance(y[k] - x[k], box[k]); });
  return quantised_pair_energy<true>(potential, dot(dx, dx) * c.inverse_sigma2, c, grid);
}

// Coordinate of empty lanes: so far away that every potential is zero, and its square is still finite.
inline constexpr double nowhere = 1e100;

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
