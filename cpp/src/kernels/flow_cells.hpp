// Flow fields of one large replica through cells: particles are sorted by cell, and every pair is seen from both sides.
#pragma once

#include "cell_ranges.hpp"
#include "coefficients.hpp"
#include "flow_batches.hpp"
#include "glassnf/flow_field.hpp"
#include "kernels.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

// Coordinates are (n, D) as the caller's, padded to whole packs. The copy sorted by cell is made anew for every evaluation.
template <int D>
class FlowCells {
  const SystemView& system_;
  const FlowTables& tables_;
  const std::int32_t* species_;  // (n,)
  RadialGrid<Pack> grid_;
  CellGrid<D> cells_;
  std::int64_t first_, n_, size_;
  std::int64_t *cell_of_, *start_, *order_;
  double* wrapped_;         // (n, D)
  double* sorted_[D];       // (n + 8,)
  std::uint64_t* table_;    // (n + 8,) where in a row of tables those of the species begin, in sorted order
  double* own_divergence_;  // (n,)

 public:
  FlowCells(const SystemView& system, const FlowTables& tables, const std::int32_t* species, std::int64_t first, std::int64_t,
            Workspace& workspace)
      : system_(system),
        tables_(tables),
        species_(species + first * system.n),
        grid_(RadialGrid<Pack>::make(tables.pair_range.inner, tables.pair_range.outer, tables.pair_range.intervals)),
        first_(first),
        n_(system.n),
        size_((system.n * D + pack_size - 1) / pack_size * pack_size) {
    make_grid<D>(system.box, tables.pair_range.outer, 1.0 + static_cast<double>(n_), cells_);
    cell_of_ = static_cast<std::int64_t*>(reserve(workspace, 8, n_ * 8));
    start_ = static_cast<std::int64_t*>(reserve(workspace, 9, (cells_.cells() + 2) * 8));
    order_ = static_cast<std::int64_t*>(reserve(workspace, 10, n_ * 8));
    wrapped_ = static_cast<double*>(reserve(workspace, 11, n_ * D * 8));
    const std::int64_t padded = n_ + pack_size;
    double* memory = static_cast<double*>(reserve(workspace, 12, D * padded * 8));
    for (int k = 0; k < D; ++k) sorted_[k] = memory + k * padded;
    table_ = static_cast<std::uint64_t*>(reserve(workspace, 13, padded * 8));
    own_divergence_ = static_cast<double*>(reserve(workspace, 14, n_ * 8));
  }

  std::int64_t size() const { return size_; }
  std::int64_t replicas() const { return 1; }
  std::int64_t first() const { return first_; }
  std::int64_t at(int, std::int64_t i, int k) const { return i * D + k; }

  void take(const double* positions, double* x) const {
    for (std::int64_t c = 0; c < size_; ++c) x[c] = c < n_ * D ? positions[first_ * n_ * D + c] : 0.0;
  }

  Pack evaluate(std::int64_t stage, const double* x, double* v) const {
    if (!sort(x)) {
      const double none = from_bits(std::uint64_t(0x7ff8000000000000));
      for (std::int64_t c = 0; c < size_; ++c) v[c] = none;
      return Pack(none);
    }
    const std::int64_t s = system_.species_count;
    const double* pair = tables_.pair + stage * (tables_.layers + 1) * s * s * tables_.pair_range.row_size();
    for (std::int64_t cell = 0; cell < cells_.cells(); ++cell) pairs(pair, cell, v);
    for (std::int64_t c = n_ * D; c < size_; ++c) v[c] = 0.0;
    double total = 0.0;
    for (std::int64_t i = 0; i < n_; ++i) total += own_divergence_[i];
    return Pack(total);
  }

 private:
  // False if a coordinate cannot be put into the box.
  bool sort(const double* x) const {
    const std::int64_t cells = cells_.cells();
    for (std::int64_t c = 0; c < cells + 2; ++c) start_[c] = 0;
    for (std::int64_t i = 0; i < n_; ++i) {
      int c[D];
      for (int k = 0; k < D; ++k) {
        std::int32_t sides;
        double& w = wrapped_[i * D + k];
        if (!split_coordinate(x[i * D + k], system_.box[k], w, sides)) return false;
        c[k] = cells_.along(k, w);
      }
      cell_of_[i] = cells_.index(c);
      ++start_[cell_of_[i] + 2];
    }
    for (std::int64_t c = 2; c < cells + 2; ++c) start_[c] += start_[c - 1];
    for (std::int64_t i = 0; i < n_; ++i) {
      const std::int64_t place = start_[cell_of_[i] + 1]++;
      order_[place] = i;
      for (int k = 0; k < D; ++k) sorted_[k][place] = wrapped_[i * D + k];
      table_[place] = static_cast<std::uint64_t>(species_[i] * tables_.pair_range.row_size());
    }
    for (std::int64_t i = n_; i < n_ + pack_size; ++i) {
      for (int k = 0; k < D; ++k) sorted_[k][i] = nowhere;
      table_[i] = 0;
    }
    return true;
  }

  [[gnu::noinline]] void pairs(const double* pair, std::int64_t cell, double* v) const {
    const RadialGrid<Pack> grid = grid_;
    int c[D];
    cells_.coordinates(cell, c);
    CellRanges<D> ranges;
    ranges.make(cells_, start_, c);
    for (std::int64_t i = start_[cell]; i < start_[cell + 1]; ++i) {
      const double* row = pair + system_.species_count * static_cast<std::int64_t>(table_[i]);
      DivergenceSum<Pack> divergence = DivergenceSum<Pack>::zero();
      Vec<Pack, D> xi, vi;
      for_axes<D>([&](auto k) GLASSNF_INLINE {
        xi.at(k) = Pack(sorted_[k][i]);
        vi.at(k) = Pack(0.0);
      });
      for (int r = 0; r < ranges.count; ++r) {
        const auto& range = ranges.range[r];
        for (std::int64_t at = range.first; at < range.last; at += pack_size) {
          const std::int64_t left = range.last - at, self = i - at;
          PackU kept = load(trailing_masks.rows[left < pack_size ? left : pack_size]);
          if (self >= 0 && self < pack_size) kept = kept & load(lane_masks.rows[1 + self]);
          Vec<Pack, D> dx;
          for_axes<D>([&](auto k) GLASSNF_INLINE { dx.at(k) = (xi.at(k) - load(sorted_[k] + at)) - Pack(range.shift[k]); });
          const Pack distance = square_root(dot(dx, dx));
          RadialPlace<Pack> place = locate(grid, distance);
          place.first = place.first + load(table_ + at);
          Radial<Pack> phi = radial_at(row, place);
          phi = {keep(phi.value, kept), keep(phi.slope, kept)};
          divergence.add(phi, distance);
          move_along(vi, phi.value, dx);
        }
      }
      for_axes<D>([&](auto k) GLASSNF_INLINE { v[order_[i] * D + k] = sum(vi.at(k)); });
      own_divergence_[i] = sum(divergence.template total<D>(grid.inverse_spacing));
    }
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
