// Elementary functions for scalars. simd.hpp adds overloads for packs, so that one templated formula serves both.
// Nothing here calls the C math library except sqrt and fma, which are correctly rounded everywhere: results are the same bits on every
// machine.
#pragma once

#include <cmath>
#include <cstring>

#include "glassnf/config.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

GLASSNF_HD double minimum(double a, double b) { return a < b ? a : b; }
GLASSNF_HD double maximum(double a, double b) { return a > b ? a : b; }
GLASSNF_HD double absolute(double a) { return fabs(a); }
GLASSNF_HD double square_root(double a) { return sqrt(a); }
// a * b + c, rounded once. Written where it is meant; the compiler contracts nothing by itself (-ffp-contract=off, --fmad=false), so
// every machine computes the same bits. Without hardware support the C library emulates it: slow, and still the same bits.
GLASSNF_HD double fused(double a, double b, double c) { return fma(a, b, c); }

// a where x < y, else 0.
GLASSNF_HD double where_less(double x, double y, double a) { return x < y ? a : 0.0; }

// The same in single precision, for the mixed-precision kernels.
GLASSNF_HD float minimum(float a, float b) { return a < b ? a : b; }
GLASSNF_HD float maximum(float a, float b) { return a > b ? a : b; }
GLASSNF_HD float absolute(float a) { return fabsf(a); }
GLASSNF_HD float square_root(float a) { return sqrtf(a); }
GLASSNF_HD float fused(float a, float b, float c) { return fmaf(a, b, c); }
GLASSNF_HD float where_less(float x, float y, float a) { return x < y ? a : 0.0F; }

GLASSNF_HD double from_bits(std::uint64_t u) {
#if defined(__CUDA_ARCH__)
  return __longlong_as_double(static_cast<long long>(u));
#else
  double d;
  std::memcpy(&d, &u, sizeof d);
  return d;
#endif
}
GLASSNF_HD std::uint64_t to_bits(double d) {
#if defined(__CUDA_ARCH__)
  return static_cast<std::uint64_t>(__double_as_longlong(d));
#else
  std::uint64_t u;
  std::memcpy(&u, &d, sizeof u);
  return u;
#endif
}

template <class F>
struct BitsOf;
template <>
struct BitsOf<double> {
  using type = std::uint64_t;
};

// Exact conversion of integers below 2^52 to double.
template <class F>
GLASSNF_HD F exact_double(typename BitsOf<F>::type u) {
  using U = typename BitsOf<F>::type;
  return from_bits(u | U(0x4330000000000000ULL)) - F(4503599627370496.0);
}

// -log(u) for normal positive u, error below 2 ulp.
// Method of fdlibm's e_log.c: u = 2^k m with m in [sqrt(1/2), sqrt(2)), s = (m - 1)/(m + 1),
// log m = 2 s + s R(s^2), with the minimax polynomial R of fdlibm; here in Horner form without branches.
template <class F>
GLASSNF_HD F negative_log(F u) {
  using U = typename BitsOf<F>::type;
  const U bits = to_bits(u);
  // Adding 1 - sqrt(1/2) to the mantissa field carries into the exponent exactly when the mantissa is at least sqrt(2).
  const U shifted = bits + U(0x3ff0000000000000ULL - 0x3fe6a09e667f3bcdULL);
  const U exponent = shifted >> 52;
  const F k = exact_double<F>(exponent) - F(1023.0);
  const U mantissa = (shifted & U(0x000fffffffffffffULL)) + U(0x3fe6a09e667f3bcdULL);
  const F f = from_bits(mantissa) - F(1.0);
  const F s = f / (f + F(2.0));
  const F z = s * s;
  F r = F(1.479819860511658591e-01);
  r = fused(r, z, F(1.531383769920937332e-01));
  r = fused(r, z, F(1.818357216161805012e-01));
  r = fused(r, z, F(2.222219843214978396e-01));
  r = fused(r, z, F(2.857142874366239149e-01));
  r = fused(r, z, F(3.999999999940941908e-01));
  r = fused(r, z, F(6.666666666666735130e-01));
  r = r * z;
  const F half_square = F(0.5) * f * f;
  const F log_mantissa = f - (half_square - s * (half_square + r));
  return F(0.0) - (k * F(6.93147180369123816490e-01) + (k * F(1.90821492927058770002e-10) + log_mantissa));
}

// A short vector with named members, which compilers keep in registers, and a loop over its axes that is unrolled by construction:
// for_axes<D>([&](auto k) { a.at(k) ... }).
template <int K>
struct Axis {
  static constexpr int value = K;
  GLASSNF_HD constexpr operator int() const { return K; }
};

template <class F, int D>
struct Vec;
template <class F>
struct Vec<F, 2> {
  F x, y;
  GLASSNF_HD F& at(Axis<0>) { return x; }
  GLASSNF_HD F& at(Axis<1>) { return y; }
  GLASSNF_HD const F& at(Axis<0>) const { return x; }
  GLASSNF_HD const F& at(Axis<1>) const { return y; }
};
template <class F>
struct Vec<F, 3> {
  F x, y, z;
  GLASSNF_HD F& at(Axis<0>) { return x; }
  GLASSNF_HD F& at(Axis<1>) { return y; }
  GLASSNF_HD F& at(Axis<2>) { return z; }
  GLASSNF_HD const F& at(Axis<0>) const { return x; }
  GLASSNF_HD const F& at(Axis<1>) const { return y; }
  GLASSNF_HD const F& at(Axis<2>) const { return z; }
};

template <int D, class Body>
GLASSNF_HD void for_axes(Body&& body) {
  body(Axis<0>{});
  body(Axis<1>{});
  if constexpr (D == 3) body(Axis<2>{});
}

template <class F>
GLASSNF_HD F dot(const Vec<F, 2>& a, const Vec<F, 2>& b) {
  return fused(a.y, b.y, a.x * b.x);
}
template <class F>
GLASSNF_HD F dot(const Vec<F, 3>& a, const Vec<F, 3>& b) {
  return fused(a.z, b.z, fused(a.y, b.y, a.x * b.x));
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
