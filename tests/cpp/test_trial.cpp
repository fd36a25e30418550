#include <doctest/doctest.h>

#include "glassnf/simd.hpp"
#include "glassnf/trial.hpp"
#include "numbers.hpp"

using namespace glassnf;

TEST_CASE("eight trials drawn together are those drawn alone") {
  auto g = numbers::generator(2);
  for (int repeat = 0; repeat < 200; ++repeat) {
    const RandomKey key{g(), g() % max_step, g() % max_id, Stream::monte_carlo_trial};
    alignas(64) std::uint64_t moves[8], u[4][8];
    alignas(64) double f[4][8];
    for (auto& m : moves) m = g() & low_word;
    const TrialWords<Pack> pack = draw_trial<Pack>(key, PhiloxKeys<PackU>(key.seed), load(moves));
    store(u[0], pack.pick);
    store(u[1], pack.kind);
    store(u[2], pack.pair);
    store(u[3], pack.second);
    for (int k = 0; k < 3; ++k) store(f[k], pack.step[k]);
    store(f[3], pack.threshold);
    for (int l = 0; l < 8; ++l) {
      const TrialWords<double> one = draw_trial<double>(key, PhiloxKeys<std::uint64_t>(key.seed), moves[l]);
      REQUIRE(u[0][l] == one.pick);
      REQUIRE(u[1][l] == one.kind);
      REQUIRE(u[2][l] == one.pair);
      REQUIRE(u[3][l] == one.second);
      for (int k = 0; k < 3; ++k) {
        REQUIRE(numbers::bits(f[k][l]) == numbers::bits(one.step[k]));
        REQUIRE(std::fabs(one.step[k]) < 1.0);
      }
      REQUIRE(numbers::bits(f[3][l]) == numbers::bits(one.threshold));
      REQUIRE(one.threshold >= 0.0);
      REQUIRE(one.threshold < 36.05);  // -log 2^-52
    }
  }
}

TEST_CASE("steps are symmetric about zero and inside (-1, 1)") {
  CHECK(symmetric_unit<double>(0) == -symmetric_unit<double>(0xffffffff));
  CHECK(symmetric_unit<double>(0) > -1.0);
  CHECK(symmetric_unit<double>(0x80000000) == 0x1.0p-32);
  CHECK(symmetric_unit<double>(0x7fffffff) == -0x1.0p-32);
  auto g = numbers::generator(3);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t w = g() & low_word;
    CHECK(symmetric_unit<double>(w) == (static_cast<double>(w) + 0.5) / 2147483648.0 - 1.0);
    CHECK(symmetric_unit<double>(w) == -symmetric_unit<double>(low_word - w));
  }
}

TEST_CASE("uniform numbers fill (0, 1] on a grid of 2^-52") {
  CHECK(unit_interval<double>(0, 0) == 1.0);
  CHECK(unit_interval<double>(0xffffffff, 0xffffffff) == 0x1.0p-52);
  CHECK(unit_interval<double>(0x80000000, 0) == 0.5);
  CHECK(unit_interval<double>(0, 0xfff) == 1.0);  // the lowest 12 bits are not used
  CHECK(unit_interval<double>(0, 0x1000) == 1.0 - 0x1.0p-52);
}

TEST_CASE("integers below n are drawn evenly") {
  for (std::uint64_t n : {1, 2, 3, 43, 1290, 100000}) {
    CHECK(scale_word(0, n) == 0);
    CHECK(scale_word(0xffffffff, n) == n - 1);
    for (std::uint64_t k = 0; k < n; k += n / 40 + 1) {
      const std::uint64_t first = ((k << 32) + n - 1) / n;  // the first word that gives k
      CHECK(scale_word(first, n) == k);
      if (k > 0) CHECK(scale_word(first - 1, n) == k - 1);
    }
  }
}

TEST_CASE("acceptance") {
  CHECK(accept(2.0, -1.0, 0.0));
  CHECK(accept(2.0, 0.0, 0.0));
  CHECK(accept(2.0, 1.0, 2.0));
  CHECK_FALSE(accept(2.0, 1.0, 1.999));
  CHECK_FALSE(accept(2.0, 1e300, 36.0));
  CHECK(accept(0.0, 1e300, 0.0));
}
