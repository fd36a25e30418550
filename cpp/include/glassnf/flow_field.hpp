// The vector fields of the flows, dx/dbeta = v(x): what one pair of particles adds to the velocities and to the divergence.
//
// Pair field. With r = x_i - x_j (minimum image), d = |r| and a radial function phi_ab = phi_ba for each pair of species,
//   v_i = sum_{j != i} phi_ab(d) r.
// The derivative of phi r by x_i has the trace D phi + d phi', so that
//   div v = sum_i sum_{j != i} [D phi_ab(d) + d phi'_ab(d)],
// the same from both particles of a pair. All functions vanish smoothly within half a box, so that the minimum image makes no jump
// and the divergence has no term beside these.
//
// Messages. A chain of layers, like the expansion of a Newton step in a harmonic solid, with e = r / d:
//   w0_i = sum_j p0(d) r,
//   wl_i = sum_j pl(d) r + sum_j A_ij e,   A_ij = El(d) (e . w(l-1)_j) + Cl(d) (e . w(l-1)_i),   l = 1 .. L;   v = wL.
// Let J^l be the Jacobian of wl, in blocks J^l_ij = dwl_i / dx_j of D x D numbers. The chain rule makes it
//   J^l = P^l + G^l J^(l-1),   G_ij = E e e^T,   G_ii = K_i = sum_j C e e^T,
// where G is symmetric and P is the derivative at fixed w: P_ij = -M_ij and P_ii = sum_j M_ij with
//   M = d(p r + A e) / dr = (p + A/d) 1 + (d p' + A' - 2 A/d) e e^T + e q^T / d,   q = E w_j + C w_i,   A' = E' (e . w_j) + C' (e . w_i),
// because the gradient of A = q . e at fixed w is A' e + (q - A e) / d. Without messages A = q = 0, and e^T M e = p + d p' + A' always.
// The divergence is the trace
//   div v = tr P^L + tr(G^L P^(L-1)) + tr(G^L G^(L-1) J^(L-2)),
//   tr P^L = sum_i sum_j [D p + d p' + A' + (D - 1) A/d],   tr(G P) = sum_i [tr(K_i P_ii) - sum_j E e^T M_ij e].
// With one layer J^0 = P^0 and the last term is missing.
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

// The direction between two particles; none if they sit in one place.
template <int D, class F>
struct Bond {
  Vec<F, D> e;
  F inverse_distance;

  static GLASSNF_HD Bond make(const Vec<F, D>& r, const F& distance) {
    Bond bond;
    bond.inverse_distance = F(1.0) / maximum(distance, F(1e-100));
    for_axes<D>([&](auto k) GLASSNF_INLINE { bond.e.at(k) = r.at(k) * bond.inverse_distance; });
    return bond;
  }
};

// What j tells i. `slope` is A', and `pull` is q, of which A = q . e.
template <int D, class F>
struct Message {
  F along, slope;
  Vec<F, D> pull;

  static GLASSNF_HD Message make(const Bond<D, F>& bond, const Radial<F>& neighbours, const Radial<F>& own, const Vec<F, D>& w_j,
                                 const Vec<F, D>& w_i, const F& inverse_spacing) {
    Message m;
    for_axes<D>([&](auto k) GLASSNF_INLINE { m.pull.at(k) = fused(neighbours.value, w_j.at(k), own.value * w_i.at(k)); });
    m.along = dot(m.pull, bond.e);
    m.slope = inverse_spacing * fused(neighbours.slope, dot(w_j, bond.e), own.slope * dot(w_i, bond.e));
    return m;
  }
  // Of the trace of P: A' + (D - 1) A/d.
  GLASSNF_HD F trace(const Bond<D, F>& bond) const {
    return fused(F(static_cast<double>(D - 1)) * bond.inverse_distance, along, slope);
  }
};

// A block of D x D numbers, rows of columns.
template <int D, class F>
struct Block {
  Vec<Vec<F, D>, D> rows;

  static GLASSNF_HD Block zero() {
    Block b;
    b.for_entries([](auto, auto, F& entry) GLASSNF_INLINE { entry = F(0.0); });
    return b;
  }
  // Calls body(row, column, entry) for all entries.
  template <class Body>
  GLASSNF_HD void for_entries(Body&& body) {
    for_axes<D>([&](auto a) GLASSNF_INLINE { for_axes<D>([&](auto c) GLASSNF_INLINE { body(a, c, rows.at(a).at(c)); }); });
  }
  // += isotropic 1 + axial e e^T
  GLASSNF_HD void add(const F& isotropic, const F& axial, const Vec<F, D>& e) {
    for_axes<D>([&](auto a) GLASSNF_INLINE {
      const F along = axial * e.at(a);
      rows.at(a).at(a) = rows.at(a).at(a) + isotropic;
      for_axes<D>([&](auto c) GLASSNF_INLINE { rows.at(a).at(c) = fused(along, e.at(c), rows.at(a).at(c)); });
    });
  }
  // += M, the part of a pair function: value p and h p'.
  GLASSNF_HD void add_pair(const Radial<F>& p, const F& distance, const F& inverse_spacing, const Vec<F, D>& e) {
    add(p.value, distance * (inverse_spacing * p.slope), e);
  }
  // += M, the part of a message.
  GLASSNF_HD void add_message(const Message<D, F>& m, const Bond<D, F>& bond) {
    const F shared = m.along * bond.inverse_distance;
    add(shared, m.slope - (shared + shared), bond.e);
    for_axes<D>([&](auto a) GLASSNF_INLINE {
      const F along = bond.e.at(a) * bond.inverse_distance;
      for_axes<D>([&](auto c) GLASSNF_INLINE { rows.at(a).at(c) = fused(along, m.pull.at(c), rows.at(a).at(c)); });
    });
  }
};

// e^T M e of a pair function: p + d p'.
template <class F>
GLASSNF_HD F projected(const Radial<F>& p, const F& distance, const F& inverse_spacing) {
  return fused(distance, inverse_spacing * p.slope, p.value);
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
