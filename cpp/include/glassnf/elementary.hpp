// Exponential, sine and cosine, and normal variates, by correctly rounded operations only: the same bits on every machine. Scalars and
// SIMD packs.
#pragma once

#include "glassnf/philox.hpp"
#include "glassnf/trial.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// a where the mask has ones, b where it has zeros.
template <class F>
GLASSNF_HD F select(typename BitsOf<F>::type mask, F a, F b) {
  return from_bits((to_bits(a) & mask) | (to_bits(b) & ~mask));
}

// e^x for -700 < x < 700, error below 2 ulp: x = k log 2 + r with |r| <= log(2) / 2, and the Taylor series of e^r.
GLASSNF_HD double exponential(double x) {
  const double magic = 6755399441055744.0;
  const double k = fused(x, 1.44269504088896338700, magic) - magic;
  const double r = fused(-k, 1.90821492927058770002e-10, fused(-k, 6.93147180369123816490e-01, x));
  double sum = 1.0 / 6227020800.0;  // 1 / 13!
  sum = fused(sum, r, 1.0 / 479001600.0);
  sum = fused(sum, r, 1.0 / 39916800.0);
  sum = fused(sum, r, 1.0 / 3628800.0);
  sum = fused(sum, r, 1.0 / 362880.0);
  sum = fused(sum, r, 1.0 / 40320.0);
  sum = fused(sum, r, 1.0 / 5040.0);
  sum = fused(sum, r, 1.0 / 720.0);
  sum = fused(sum, r, 1.0 / 120.0);
  sum = fused(sum, r, 1.0 / 24.0);
  sum = fused(sum, r, 1.0 / 6.0);
  sum = fused(sum, r, 0.5);
  sum = fused(sum, r, 1.0);
  sum = fused(sum, r, 1.0);
  return sum * from_bits(static_cast<std::uint64_t>(static_cast<std::int64_t>(k) + 1023) << 52);
}

// Sine and cosine of 2 pi u for u in [0, 1], error below 2e-16. 4 u = k + y with k whole; fdlibm's polynomials (k_sin.c, k_cos.c) serve
// the eighth of a turn about 0, and k turns the result.
template <class F>
GLASSNF_HD void sine_cosine_of_turns(F u, F& sine, F& cosine) {
  using U = typename BitsOf<F>::type;
  const F magic(6755399441055744.0);
  const F shifted = fused(F(4.0), u, magic);
  const U quarter = to_bits(shifted);
  const F y = (F(4.0) * u - (shifted - magic)) * F(1.57079632679489661923);
  const F z = y * y;
  F s(1.58969099521155010221e-10);
  s = fused(s, z, F(-2.50507602534068634195e-08));
  s = fused(s, z, F(2.75573137070700676789e-06));
  s = fused(s, z, F(-1.98412698298579493134e-04));
  s = fused(s, z, F(8.33333333332248946124e-03));
  s = fused(s, z, F(-1.66666666666666324348e-01));
  s = fused(z * y, s, y);
  F c(-1.13596475577881948265e-11);
  c = fused(c, z, F(2.08757232129817482790e-09));
  c = fused(c, z, F(-2.75573143513906633035e-07));
  c = fused(c, z, F(2.48015872894767294178e-05));
  c = fused(c, z, F(-1.38888888888741095749e-03));
  c = fused(c, z, F(4.16666666666666019037e-02));
  c = fused(z * z, c, fused(F(-0.5), z, F(1.0)));
  const U odd = U(0) - (quarter & U(1));
  sine = from_bits(to_bits(select(odd, c, s)) ^ ((quarter & U(2)) << 62));
  cosine = from_bits(to_bits(select(odd, s, c)) ^ (((quarter + U(1)) & U(2)) << 62));
}

// Two independent standard normal numbers from one block of random words (Box and Muller, Ann. Math. Stat. 29, 610, 1958).
template <class F>
GLASSNF_HD void normal_pair(const PhiloxBlock<typename BitsOf<F>::type>& block, F& a, F& b) {
  const F radius = square_root(F(2.0) * negative_log(unit_interval<F>(block.w0, block.w1)));
  F sine, cosine;
  sine_cosine_of_turns(unit_interval<F>(block.w2, block.w3), sine, cosine);
  a = radius * cosine;
  b = radius * sine;
}

// Standard normal numbers along the axes for one particle, or for a pack of them: draws 0 and, in three dimensions, 1 of the move.
template <int D, class F>
GLASSNF_HD Vec<F, D> normal_vector(const RandomKeys<typename BitsOf<F>::type>& key, typename BitsOf<F>::type move) {
  Vec<F, D> out;
  normal_pair(key.block(move, 0), out.x, out.y);
  if constexpr (D == 3) {
    F unused;
    normal_pair(key.block(move, 1), out.z, unused);
  }
  return out;
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
