// Radial functions of the flow fields, in tables: piecewise cubics of the distance d on uniform knots.
//
// A table of K intervals reaches from `inner` to `outer` and has K + 2 rows of four doubles. Rows 1 .. K are the intervals, of width
// h = (outer - inner) / K: with s = (d - knot) / h in [0, 1),
//   phi = c0 + s (c1 + s (c2 + s c3)),   h dphi/dd = c1 + 2 s c2 + 3 s^2 c3.
// Row 0 stands for all smaller distances and row K + 1 for all larger ones: both are zero, and phi is twice continuously differentiable
// everywhere. A table never looks at memory outside itself, whatever the distance: one that is no number is looked up in row K + 1 and
// gives no number, because s is none either.
#pragma once

#include "glassnf/math.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Where distances lie. t = d / h + offset is half a row more than the number of the row: rounding it gives the row, and clamping it
// to [-1/4, K + 3/4] before keeps the row inside the table.
template <class F>
struct RadialGrid {
  F inverse_spacing;  // 1 / h
  F offset;           // 1/2 - inner / h
  F last;             // K + 3/4

  static GLASSNF_HD RadialGrid make(double inner, double outer, std::int64_t intervals) {
    const double inverse = static_cast<double>(intervals) / (outer - inner);
    return {F(inverse), F(0.5 - inner * inverse), F(static_cast<double>(intervals) + 0.75)};
  }
};

template <class F>
struct RadialPlace {
  typename BitsOf<F>::type first;  // of c0 in the table
  F s;
};

// Adding 1.5 * 2^52 rounds to the nearest integer, which stands in the lowest bits of the sum. On a knot s may be 1 in the row before.
template <class F>
GLASSNF_HD RadialPlace<F> locate(const RadialGrid<F>& grid, const F& distance) {
  using U = typename BitsOf<F>::type;
  const F magic(6755399441055744.0);
  const F t = fused(distance, grid.inverse_spacing, grid.offset);
  const F row = maximum(minimum(t, grid.last), F(-0.25)) + magic;  // minimum(NaN, last) is last
  return {(to_bits(row) & U(0xffffff)) << 2, (t - (row - magic)) + F(0.5)};
}

// A row of the table; simd.hpp has the overload for packs.
GLASSNF_HD void four_at(const double* table, std::uint64_t first, double& a, double& b, double& c, double& d) {
  const double* row = table + first;
  a = row[0];
  b = row[1];
  c = row[2];
  d = row[3];
}

template <class F>
struct Radial {
  F value;  // phi
  F slope;  // h dphi/dd
};

template <class F>
GLASSNF_HD Radial<F> radial_at(const double* table, const RadialPlace<F>& place) {
  F c0, c1, c2, c3;
  four_at(table, place.first, c0, c1, c2, c3);
  const F s = place.s, twice = s + s, thrice = F(3.0) * (s * s);
  return {fused(s, fused(s, fused(s, c3, c2), c1), c0), fused(thrice, c3, fused(twice, c2, c1))};
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
