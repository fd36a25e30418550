#include <doctest/doctest.h>

#include "glassnf/math.hpp"
#include "glassnf/simd.hpp"
#include "numbers.hpp"

using namespace glassnf;

TEST_CASE("the negative logarithm is within two units of the last place") {
  auto g = numbers::generator(4);
  double worst = 0.0;
  const auto look = [&](double u) {
    const double error = numbers::ulps(negative_log(u), -std::log(static_cast<long double>(u)));
    if (error > worst) worst = error;
  };
  for (int i = 0; i < 200000; ++i) look(numbers::uniform(g, 0.0, 1.0) + 0x1.0p-60);
  for (int i = 0; i < 100000; ++i) look(std::ldexp(numbers::uniform(g, 0.5, 1.0), -static_cast<int>(g() % 53)));
  for (int i = 0; i < 100000; ++i) look(1.0 - std::ldexp(numbers::uniform(g, 0.5, 1.0), -static_cast<int>(g() % 52) - 1));
  for (int i = 0; i < 10000; ++i) look(std::ldexp(numbers::uniform(g, 0.5, 1.0), static_cast<int>(g() % 2000) - 1000));
  for (int k = 1; k <= 52; ++k) {
    look(std::ldexp(1.0, -k));
    look(1.0 - std::ldexp(1.0, -k));
  }
  CHECK(worst < 2.0);
  MESSAGE("largest error of negative_log: " << worst << " ulp");
}

TEST_CASE("the negative logarithm of one is zero, and it falls") {
  CHECK(negative_log(1.0) == 0.0);
  CHECK(negative_log(0.5) == doctest::Approx(0.693147180559945309).epsilon(1e-16));
  auto g = numbers::generator(5);
  for (int i = 0; i < 10000; ++i) {
    const double u = numbers::uniform(g, 1e-12, 1.0);
    REQUIRE(negative_log(u) >= negative_log(std::nextafter(u, 2.0)) - 1e-15 * (1.0 + negative_log(u)));
  }
  // Both sides of the places where the exponent is split off.
  for (double edge : {std::sqrt(0.5), 0.5, 0.25, 0.5 * std::sqrt(0.5)})
    for (double u : {std::nextafter(edge, 0.0), edge, std::nextafter(edge, 1.0)})
      CHECK(numbers::ulps(negative_log(u), -std::log(static_cast<long double>(u))) < 2.0);
}

TEST_CASE("integers become exact doubles") {
  for (std::uint64_t u : {std::uint64_t(0), std::uint64_t(1), std::uint64_t(0xffffffff), (std::uint64_t(1) << 52) - 1})
    CHECK(exact_double<double>(u) == static_cast<double>(u));
}

TEST_CASE("elementary functions") {
  CHECK(minimum(1.0, 2.0) == 1.0);
  CHECK(minimum(2.0, 1.0) == 1.0);
  CHECK(maximum(1.0, 2.0) == 2.0);
  CHECK(absolute(-3.0) == 3.0);
  CHECK(where_less(1.0, 2.0, 5.0) == 5.0);
  CHECK(where_less(2.0, 2.0, 5.0) == 0.0);
  CHECK(where_less(3.0, 2.0, 5.0) == 0.0);
  CHECK(fused(0x1.0000001p0, 0x1.0000001p0, -1.0) == std::fma(0x1.0000001p0, 0x1.0000001p0, -1.0));
  CHECK(from_bits(to_bits(-1.25)) == -1.25);
  CHECK(dot(Vec<double, 2>{3.0, 4.0}, Vec<double, 2>{3.0, 4.0}) == 25.0);
  CHECK(dot(Vec<double, 3>{1.0, 2.0, 3.0}, Vec<double, 3>{4.0, 5.0, 6.0}) == 32.0);
}
