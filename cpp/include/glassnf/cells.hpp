// Grid of cells at least one cutoff wide, so that interacting particles are in the same or in neighbouring cells.
#pragma once

#include "glassnf/config.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

template <int D>
struct CellGrid {
  int per_side[D];
  double inverse_side[D];
  double box[D];

  GLASSNF_HD long long cells() const {
    long long n = 1;
    for (int k = 0; k < D; ++k) n *= per_side[k];
    return n;
  }
  // Index along axis k of a wrapped coordinate.
  GLASSNF_HD int along(int k, double x) const {
    const int c = static_cast<int>(x * inverse_side[k]);
    return c < per_side[k] ? c : per_side[k] - 1;
  }
  GLASSNF_HD long long index(const int* c) const {
    long long n = c[D - 1];
    for (int k = D - 2; k >= 0; --k) n = n * per_side[k] + c[k];
    return n;
  }
  GLASSNF_HD void coordinates(long long index, int* c) const {
    for (int k = 0; k < D; ++k) {
      c[k] = static_cast<int>(index % per_side[k]);
      index /= per_side[k];
    }
  }
  // Neighbour c + offset with periodic wrapping; shift is what to add to (x_neighbour - x).
  GLASSNF_HD int neighbour(int k, int c, int offset, double& shift) const {
    const int n = c + offset;
    shift = n < 0 ? -box[k] : n >= per_side[k] ? box[k] : 0.0;
    return n < 0 ? n + per_side[k] : n >= per_side[k] ? n - per_side[k] : n;
  }
};

// Cells per side for a cutoff; fewer than three along any axis means that a grid does not help and all pairs are used.
// A box side may hold a hair less than a whole number of cutoffs through rounding, hence the factor.
template <int D>
GLASSNF_HD bool make_grid(const double* box, double cutoff, double largest_cell_count, CellGrid<D>& grid) {
  double total = 1.0;
  for (int k = 0; k < D; ++k) {
    double m = box[k] / (cutoff * (1.0 + 1e-12));
    if (m < 3.0) return false;
    if (m > 1048576.0) m = 1048576.0;
    grid.per_side[k] = static_cast<int>(m);
    total *= grid.per_side[k];
  }
  // Dilute systems: no more cells than asked for.
  while (total > largest_cell_count) {
    int widest = 0;
    for (int k = 1; k < D; ++k)
      if (grid.per_side[k] > grid.per_side[widest]) widest = k;
    if (grid.per_side[widest] <= 3) break;
    total /= grid.per_side[widest];
    grid.per_side[widest] = grid.per_side[widest] / 2 < 3 ? 3 : grid.per_side[widest] / 2;
    total *= grid.per_side[widest];
  }
  for (int k = 0; k < D; ++k) {
    grid.box[k] = box[k];
    grid.inverse_side[k] = grid.per_side[k] / box[k];
  }
  return true;
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
