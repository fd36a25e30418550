#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "backend.hpp"
#include "glassnf/resampling.hpp"
#include "numbers.hpp"

using namespace glassnf;

TEST_CASE("the exponential is within two units of the last place") {
  auto g = numbers::generator(6);
  double worst = 0.0;
  const auto look = [&](double x) {
    worst = std::max(worst, numbers::ulps(decaying_exponential(x), std::exp(static_cast<long double>(x))));
  };
  for (int i = 0; i < 200000; ++i) look(-numbers::uniform(g, 0.0, 1.0));
  for (int i = 0; i < 200000; ++i) look(-numbers::uniform(g, 0.0, 708.0));
  for (int i = 0; i < 100000; ++i) look(-std::ldexp(numbers::uniform(g, 0.5, 1.0), -static_cast<int>(g() % 60)));
  for (int k = 1; k <= 1000; ++k) look(-(k + 0.5) * 0.693147180559945309);
  CHECK(worst < 2.0);
  MESSAGE("largest error of decaying_exponential: " << worst << " ulp");
  CHECK(decaying_exponential(0.0) == 1.0);
  CHECK(decaying_exponential(-708.0) > 0.0);
  CHECK(decaying_exponential(-708.1) == 0.0);
  CHECK(decaying_exponential(-std::numeric_limits<double>::infinity()) == 0.0);
}

TEST_CASE("weights fit the grid, and sums do not overflow, for populations of any size") {
  for (std::int64_t replicas :
       {std::int64_t(1), std::int64_t(2), std::int64_t(2047), std::int64_t(2048), std::int64_t(99999), max_population}) {
    const WeightGrid grid(replicas);
    CHECK((replicas >> grid.size_bits) == 0);
    CHECK(grid.bits + grid.size_bits <= 62);
    const std::uint64_t largest = integer_weight(grid, -80.0, 0.3, -80.0), rounded = short_weight(grid, largest);
    CHECK(largest == std::uint64_t(1) << grid.bits);
    CHECK(static_cast<Wide>(rounded) * rounded * static_cast<std::uint64_t>(replicas) <= Wide(1) << 62);
    CHECK(static_cast<Wide>(largest) * static_cast<std::uint64_t>(replicas) <= Wide(1) << 62);
    CHECK(integer_weight(grid, 1e6, 0.3, -80.0) == 0);
    CHECK(points_below(0, replicas, largest, largest - 1) == 0);
    CHECK(points_below(largest, replicas, largest, 0) == replicas);
    CHECK(points_below(largest, replicas, largest, largest - 1) == replicas);
  }
}

TEST_CASE("parents do not depend on the order of the sums, and slots of survivors stay") {
  auto g = numbers::generator(7);
  for (int repeat = 0; repeat < 50; ++repeat) {
    const std::int64_t replicas = 1 + static_cast<std::int64_t>(g() % 3000);
    std::vector<double> energy(static_cast<std::size_t>(replicas));
    for (double& u : energy) u = numbers::uniform(g, -100.0, -90.0);
    std::vector<std::uint64_t> weights(energy.size());
    const double lowest = *std::min_element(energy.begin(), energy.end());
    const WeightSummary sums = cpu::reweight({replicas, energy.data()}, 0.4, lowest, weights.data());
    CHECK(sums.total == std::accumulate(weights.rbegin(), weights.rend(), std::uint64_t(0)));
    std::vector<std::int64_t> parents(energy.size()), children(energy.size(), 0);
    cpu::resample(replicas, weights.data(), 5, 9, parents.data());
    for (std::int64_t parent : parents) ++children[static_cast<std::size_t>(parent)];
    const std::uint64_t offset = random_offset(5, 9, sums.total);
    std::uint64_t below = 0;
    for (std::size_t r = 0; r < energy.size(); ++r) {
      const std::uint64_t end = below + weights[r];
      REQUIRE(children[r] == points_below(end, replicas, sums.total, offset) - points_below(below, replicas, sums.total, offset));
      if (children[r] > 0) REQUIRE(parents[r] == static_cast<std::int64_t>(r));
      below = end;
    }
    std::vector<double> copies = energy;
    const ReplicaArray array{copies.data(), sizeof(double)};
    cpu::gather(replicas, parents.data(), &array, 1, 2);
    for (std::size_t r = 0; r < energy.size(); ++r) REQUIRE(copies[r] == energy[static_cast<std::size_t>(parents[r])]);
  }
}
