// Pair potentials, each written once: energy and derivative as functions of q = (r / sigma_ab)^2, for scalars (CUDA, tests) and for
// SIMD packs (CPU).
//
// Sign convention: the force on i from j is F_ij = force_factor * (r_i - r_j), with
//   force_factor = -V'(r) / r = -2 (dV/dq) / sigma_ab^2,
// positive where the pair repels.
//
// Every potential is zero for q >= q_cut, and continued as the constant V(q_floor), with zero force, for q < q_floor = 10^-4
// (r < 0.01 sigma): overlapping particles have an enormous but finite energy.
#pragma once

#include "glassnf/math.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

inline constexpr double q_floor = 1e-4;

// Coefficients of one pair of species, in the order of the coefficient tables that cross the language border.
enum Coefficient { inverse_sigma2 = 0, prefactor = 1, q_cut = 2, c4 = 3, c2 = 4, c0 = 5, coefficient_count = 6 };

template <class F>
struct PairCoefficients {
  F inverse_sigma2, prefactor, q_cut, c4, c2, c0;
};

enum class PotentialKind : int { lennard_jones = 0, inverse_power = 1, harmonic = 2 };

// Each potential is V = prefactor * reduced(q); slope is d reduced / dq.

// The even polynomial c4 q^2 + c2 q + c0 that smooths or shifts a potential at its cutoff.
template <class F>
GLASSNF_HD F even_polynomial(F q, const PairCoefficients<F>& c) {
  return fused(fused(c.c4, q, c.c2), q, c.c0);
}
template <class F>
GLASSNF_HD F even_polynomial_slope(F q, const PairCoefficients<F>& c) {
  return fused(F(2.0) * c.c4, q, c.c2);
}

// Lennard-Jones, reduced = q^-6 - q^-3 + c4 q^2 + c2 q + c0, prefactor 4 epsilon.
// With c4 = 6 x_c^-10 - 21 x_c^-16, c2 = 48 x_c^-14 - 15 x_c^-8, c0 = 10 x_c^-6 - 28 x_c^-12 the potential and its first two
// derivatives vanish at x_c (lj_smooth); with c4 = c2 = 0 it is cut and shifted (lj_shifted, wca).
struct LennardJones {
  int exponent;  // unused

  template <class F>
  GLASSNF_HD F reduced(F q, const PairCoefficients<F>& c) const {
    const F i = F(1.0) / q;
    const F i3 = i * i * i;
    return fused(i3, i3 - F(1.0), even_polynomial(q, c));
  }
  // slope = -6 q^-7 + 3 q^-4 + 2 c4 q + c2
  template <class F>
  GLASSNF_HD void reduced_and_slope(F q, const PairCoefficients<F>& c, F& v, F& slope) const {
    const F i = F(1.0) / q;
    const F i3 = i * i * i;
    v = fused(i3, i3 - F(1.0), even_polynomial(q, c));
    slope = fused(i * i3, fused(F(-6.0), i3, F(3.0)), even_polynomial_slope(q, c));
  }
};

// Inverse power, reduced = q^(-n/2) + c4 q^2 + c2 q + c0, prefactor epsilon, smooth to second order at x_c:
// c4 = -n (n+2)/8 x_c^(-n-4), c2 = n (n+4)/4 x_c^(-n-2), c0 = -(n+2)(n+4)/8 x_c^-n.
struct InversePower {
  int exponent;

  // q^(-n/2) by repeated squaring; one square root when n is odd.
  template <class F>
  GLASSNF_HD F power(F i) const {
    F result = (exponent & 1) ? square_root(i) : F(1.0);
    F base = i;
    for (int m = exponent >> 1; m > 0; m >>= 1) {
      if (m & 1) result = result * base;
      base = base * base;
    }
    return result;
  }
  template <class F>
  GLASSNF_HD F reduced(F q, const PairCoefficients<F>& c) const {
    return power(F(1.0) / q) + even_polynomial(q, c);
  }
  // slope = -(n/2) q^(-n/2-1) + 2 c4 q + c2
  template <class F>
  GLASSNF_HD void reduced_and_slope(F q, const PairCoefficients<F>& c, F& v, F& slope) const {
    const F i = F(1.0) / q;
    const F p = power(i);
    v = p + even_polynomial(q, c);
    slope = fused(F(-0.5 * exponent) * p, i, even_polynomial_slope(q, c));
  }
};

// Harmonic repulsion, reduced = (1 - x)^2 / 2 for x < 1, prefactor epsilon.
struct Harmonic {
  int exponent;  // unused

  template <class F>
  GLASSNF_HD F reduced(F q, const PairCoefficients<F>&) const {
    const F gap = F(1.0) - square_root(q);
    return F(0.5) * gap * gap;
  }
  // slope = -(1 - x) / (2 x)
  template <class F>
  GLASSNF_HD void reduced_and_slope(F q, const PairCoefficients<F>&, F& v, F& slope) const {
    const F x = square_root(q);
    const F gap = F(1.0) - x;
    v = F(0.5) * gap * gap;
    slope = F(-0.5) * gap / x;
  }
};

// Energy of a pair at any q, cut and floored.
template <class Potential, class F>
GLASSNF_HD F pair_energy(const Potential& potential, F q, const PairCoefficients<F>& c) {
  return where_less(q, c.q_cut, c.prefactor * potential.reduced(maximum(q, F(q_floor)), c));
}

template <class Potential, class F>
GLASSNF_HD void pair_energy_and_force(const Potential& potential, F q, const PairCoefficients<F>& c, F& v, F& force_factor) {
  F slope;
  potential.reduced_and_slope(maximum(q, F(q_floor)), c, v, slope);
  v = where_less(q, c.q_cut, c.prefactor * v);
  force_factor = where_less(F(q_floor), q, where_less(q, c.q_cut, F(-2.0) * c.inverse_sigma2 * c.prefactor * slope));
}

// The Monte Carlo kernels sum pair energies exactly. Every pair energy is rounded to a multiple of a quantum of 2^-40 of the energy
// scale; sums of such numbers are exact in double precision while they stay below 2^13 of that scale, whatever their order. So
// local energies can be updated for ever without drift, and cell order, SIMD width and thread count cannot change a result.
// Adding and subtracting `magic` = 1.5 * 2^12 * scale rounds to the quantum; larger numbers are rounded more coarsely by the same
// two operations, and the kernels recompute what they touched (see local_energy_limit).
struct EnergyQuantum {
  double magic;    // 1.5 * 2^52 quanta
  double quantum;  // 2^-40 * scale
  double limit;    // local energies beyond this (2^8 * scale) are not trusted to sum exactly

  // scale: the largest epsilon, rounded up to a power of two.
  static GLASSNF_HD EnergyQuantum from_scale(double scale) {
    const double quantum = scale / 1099511627776.0;
    return {1.5 * 4503599627370496.0 * quantum, quantum, 256.0 * scale};
  }
  template <class F>
  GLASSNF_HD F product(F a, F b) const {
    return fused(a, b, F(magic)) - F(magic);
  }
};

// Pair energy on the quantum grid. V(q_cut) is zero up to rounding for the continuous potentials used here, so clamping q to
// q_cut and rounding gives exactly zero beyond the cutoff, one operation cheaper than a mask. Floored = false leaves out the clamp to
// q_floor; the kernels evaluate again with it when the sum comes out beyond EnergyQuantum::limit.
template <bool Floored, class Potential, class F>
GLASSNF_HD F quantised_pair_energy(const Potential& potential, F q, const PairCoefficients<F>& c, const EnergyQuantum& grid) {
  const F clamped = minimum(Floored ? maximum(q, F(q_floor)) : q, c.q_cut);
  return grid.product(c.prefactor, potential.reduced(clamped, c));
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
