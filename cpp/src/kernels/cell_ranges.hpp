// Particles sorted by cell: the ranges of places that hold the neighbours of a cell.
#pragma once

#include "glassnf/cells.hpp"
#include "glassnf/simd.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

// Lanes before k kept, for k = 0 .. 8: the last block of a range.
struct TrailingMasks {
  alignas(64) std::uint64_t rows[9][8];
  constexpr TrailingMasks() : rows{} {
    for (int k = 0; k <= 8; ++k)
      for (int l = 0; l < k; ++l) rows[k][l] = ~std::uint64_t(0);
  }
};
inline constexpr TrailingMasks trailing_masks{};

// Ranges of sorted particles around a cell: runs of neighbouring cells along x are contiguous unless they wrap.
template <int D>
struct CellRanges {
  struct Range {
    std::int64_t first, last;
    double shift[D];
  };
  Range range[D == 2 ? 9 : 27];
  int count = 0;

  GLASSNF_HD void make(const CellGrid<D>& grid, const std::int64_t* start, const int* c) {
    count = 0;
    for (int oz = -1; oz <= (D == 3 ? 1 : -1); ++oz)
      for (int oy = -1; oy <= 1; ++oy) {
        int n[D];
        double shift[D];
        n[1] = grid.neighbour(1, c[1], oy, shift[1]);
        if constexpr (D == 3) n[D - 1] = grid.neighbour(D - 1, c[D - 1], oz, shift[D - 1]);
        for (int ox = -1; ox <= 1; ++ox) {
          n[0] = grid.neighbour(0, c[0], ox, shift[0]);
          const std::int64_t cell = grid.index(n);
          if (ox > -1 && shift[0] == range[count - 1].shift[0]) {
            range[count - 1].last = start[cell + 1];
            continue;
          }
          Range& r = range[count++];
          r.first = start[cell];
          r.last = start[cell + 1];
          for (int k = 0; k < D; ++k) r.shift[k] = shift[k];
        }
      }
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
