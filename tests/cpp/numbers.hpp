// Numbers to test with: the same at every run.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace numbers {

inline std::mt19937_64 generator(std::uint64_t seed) { return std::mt19937_64(seed); }

inline double uniform(std::mt19937_64& g, double low, double high) {
  return low + (high - low) * (static_cast<double>(g() >> 11) * 0x1.0p-53);
}

// Finite numbers of all signs and sizes, and special ones.
inline std::vector<double> doubles(std::size_t count) {
  std::vector<double> out = {0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, -1e300, 1e100, 2.2250738585072014e-308, 4503599627370496.0};
  auto g = generator(7);
  while (out.size() < count) out.push_back(std::ldexp(uniform(g, -1.0, 1.0), static_cast<int>(g() % 600) - 300));
  out.resize((out.size() + 7) / 8 * 8, 3.0);
  return out;
}

inline std::uint64_t bits(double x) {
  std::uint64_t u;
  __builtin_memcpy(&u, &x, sizeof u);
  return u;
}

// Distance of x from the exact value in units of the last place of the exact value.
inline double ulps(double x, long double exact) {
  if (static_cast<long double>(x) == exact) return 0.0;
  const double nearest = static_cast<double>(exact);
  const long double unit = std::nextafter(std::fabs(nearest), std::numeric_limits<double>::infinity()) - std::fabs(nearest);
  return static_cast<double>(std::fabs(static_cast<long double>(x) - exact) / unit);
}

}  // namespace numbers
