// The vector fields of the flows, dx/dbeta = v(x): what one pair of particles adds to the velocities and to the divergence.
//
// Pair field. With r = x_i - x_j (minimum image), d = |r| and a radial function phi_ab = phi_ba for each pair of species,
//   v_i = sum_{j != i} phi_ab(d) r.
// The derivative of phi r by x_i has the trace D phi + d phi', so that
//   div v = sum_i sum_{j != i} [D phi_ab(d) + d phi'_ab(d)],
// the same from both particles of a pair. All functions vanish smoothly within half a box, so that the minimum image makes no jump
// and the divergence has no term beside these.
#pragma once

#include "glassnf/radial_table.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// The two sums from which a divergence is made: of phi, and of d h phi'.
template <class F>
struct DivergenceSum {
  F values, slopes;

  static GLASSNF_HD DivergenceSum zero() { return {F(0.0), F(0.0)}; }
  GLASSNF_HD void add(const Radial<F>& phi, const F& distance) {
    values = values + phi.value;
    slopes = fused(distance, phi.slope, slopes);
  }
  template <int D>
  GLASSNF_HD F total(const F& inverse_spacing) const {
    return fused(F(static_cast<double>(D)), values, inverse_spacing * slopes);
  }
};

// v += f r.
template <int D, class F>
GLASSNF_HD void move_along(Vec<F, D>& v, const F& f, const Vec<F, D>& r) {
  for_axes<D>([&](auto k) GLASSNF_INLINE { v.at(k) = fused(f, r.at(k), v.at(k)); });
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
