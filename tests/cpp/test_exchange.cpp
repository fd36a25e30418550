// Exchanges of temperatures, as functions of numbers alone.
#include <doctest/doctest.h>

#include "glassnf/exchange.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

using namespace glassnf;

namespace {

struct Ladder {
  std::vector<double> beta, move_size, energy;
  std::vector<std::int64_t> ids, attempts, accepts, trips, from_hot, from_cold;
  std::vector<std::int32_t> order, visits;

  explicit Ladder(std::size_t rungs)
      : beta(rungs),
        move_size(rungs),
        energy(rungs),
        ids(rungs),
        attempts(rungs - 1),
        accepts(rungs - 1),
        trips(1),
        from_hot(rungs),
        from_cold(rungs),
        order(rungs),
        visits(rungs) {
    for (std::size_t k = 0; k < rungs; ++k) {
      beta[k] = 1.0 + 0.5 * static_cast<double>(k);
      move_size[k] = 0.1 / beta[k];
      ids[k] = static_cast<std::int64_t>(k) + 7;
      order[k] = static_cast<std::int32_t>(k);
    }
  }
  LadderView view() {
    return {1, static_cast<std::int64_t>(beta.size()), beta.data(), move_size.data(), energy.data(), ids.data(), order.data()};
  }
  ExchangeCounts counts() {
    return {attempts.data(), accepts.data(), visits.data(), trips.data(), from_hot.data(), from_cold.data()};
  }
};

}  // namespace

TEST_CASE("exchanges are accepted with probability exp of the exponent") {
  // (beta_a - beta_b) (U_a - U_b) = -0.5 * 2 = -1; 20,000 trials, tolerance of five standard deviations.
  const int trials = 20000;
  int accepted = 0;
  for (int t = 0; t < trials; ++t) {
    const RandomKey key{11, static_cast<std::uint64_t>(t), 3, Stream::replica_exchange};
    accepted += accept_exchange(key, 4, 1.0, 2.0, 1.5, 0.0);
    CHECK(accept_exchange(key, 4, 1.0, 0.0, 1.5, 2.0));
    CHECK(accept_exchange(key, 4, 1.0, 2.0, 1.5, 2.0));
  }
  const double p = std::exp(-1.0);
  CHECK(std::fabs(accepted - trials * p) < 5.0 * std::sqrt(trials * p * (1.0 - p)));
}

TEST_CASE("an exchange swaps temperatures, move sizes and places, and nothing else") {
  Ladder ladder(4);
  ladder.energy = {5.0, 5.0, 5.0, 5.0};  // equal energies are always accepted
  CHECK(exchange_pair(ladder.view(), ladder.counts(), 1, 2, 0, 1));
  CHECK(ladder.beta == std::vector<double>{1.0, 2.0, 1.5, 2.5});
  CHECK(ladder.move_size == std::vector<double>{0.1, 0.1 / 2.0, 0.1 / 1.5, 0.1 / 2.5});
  CHECK(ladder.order == std::vector<std::int32_t>{0, 2, 1, 3});
  CHECK(ladder.attempts == std::vector<std::int64_t>{0, 1, 0});
  CHECK(ladder.accepts == std::vector<std::int64_t>{0, 1, 0});
  CHECK(velocity_factor(4.0, 1.0) == 2.0);
}

TEST_CASE("even and odd pairs take turns") {
  CHECK(exchange_parity(0, 5) == 0);
  CHECK(exchange_parity(5, 5) == 1);
  CHECK(exchange_parity(10, 5) == 0);
  CHECK(exchange_parity((std::uint64_t(1) << 43) + 1, 1) == 1);
}

TEST_CASE("always accepted, replicas go round like clockwork") {
  const std::int64_t rungs = 5;
  Ladder ladder(rungs);
  for (std::uint64_t step = 0; step < 110; ++step) {
    for (std::int64_t pair = exchange_parity(step, 1); pair + 1 < rungs; pair += 2)
      CHECK(exchange_pair(ladder.view(), ladder.counts(), 9, step, 0, pair));
    follow_replicas(ladder.view(), ladder.counts(), 0);
    if (step == 9) ladder.trips[0] = 0;
  }
  CHECK(ladder.trips[0] == 50);  // 100 rounds, five replicas, ten rounds a trip
  CHECK(ladder.from_hot[0] == 110);
  CHECK(ladder.from_cold[4] == 110);
  CHECK(ladder.from_cold[0] == 0);
}
