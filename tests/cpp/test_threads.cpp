// Threads: calls from several threads at once, on one system that they share, have the bits of one thread; so have several threads
// within a call. Under the thread sanitizer these are the tests that matter.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "dynamics_liquid.hpp"

using namespace glassnf;
using namespace dynamics_tests;

namespace {

constexpr int rungs = 4;

// All that the functions of the backend advance, of a liquid of eight replicas.
struct State {
  Liquid liquid;
  std::vector<double> forces, virial, move_size;
  std::vector<std::uint64_t> thresholds = {1ULL << 31, 3ULL << 30, 1ULL << 32};
  std::vector<std::int64_t> displacements, accepts, swaps, swap_accepts, attempts, exchanges, trips, from_hot, from_cold,
      iterations;
  std::vector<std::int32_t> order, visits, record_order;

  explicit State(std::int64_t n)
      : liquid(2, n, 8, PotentialKind::lennard_jones, true),
        forces(liquid.positions.size()),
        virial(4 * liquid.ids.size()),
        move_size(liquid.ids.size(), 0.1),
        displacements(liquid.ids.size()),
        accepts(displacements),
        swaps(3 * liquid.ids.size()),
        swap_accepts(swaps),
        attempts(8),
        exchanges(8),
        trips(8),
        from_hot(8),
        from_cold(8),
        iterations(8),
        visits(8),
        record_order(16) {
    for (int r = 0; r < 8; ++r) {
      order.push_back(r % rungs);
      liquid.beta[static_cast<std::size_t>(r)] = 0.5 + 0.1 * (r % rungs);
    }
    // A margin for atoms that the lattice of the liquid puts close together.
    for (double& v : liquid.velocities) v *= 0.3;
  }
  MonteCarloBatch batch() {
    return {liquid.replicas,    liquid.positions.data(), liquid.images.data(), liquid.species.data(),
            liquid.beta.data(), liquid.energy.data(),    liquid.ids.data(),    move_size.data()};
  }
  MonteCarloPlan plan(bool checkerboard) const {
    static const std::vector<std::int64_t> at = {2, 5};
    return {7, (1ULL << 32) - 3, 6, 1ULL << 30, thresholds.data(), 2, at.data(), 0, checkerboard};
  }
  MonteCarloOutput output() {
    return {liquid.record_energy.data(),
            liquid.record_positions.data(),
            liquid.record_species.data(),
            displacements.data(),
            accepts.data(),
            swaps.data(),
            swap_accepts.data(),
            liquid.pair_evaluations.data()};
  }
  // Evaluations of pairs by dynamics depend on how neighbours are found, and that on how many replicas a thread has.
  void check_same(const State& other, bool evaluations) const {
    liquid.check_same(other.liquid);
    CHECK(liquid.species == other.liquid.species);
    CHECK(liquid.beta == other.liquid.beta);
    CHECK(liquid.ids == other.liquid.ids);
    if (evaluations) CHECK(liquid.pair_evaluations == other.liquid.pair_evaluations);
    CHECK(forces == other.forces);
    CHECK(virial == other.virial);
    CHECK(displacements == other.displacements);
    CHECK(accepts == other.accepts);
    CHECK(swaps == other.swaps);
    CHECK(swap_accepts == other.swap_accepts);
    CHECK(exchanges == other.exchanges);
    CHECK(trips == other.trips);
    CHECK(order == other.order);
    CHECK(record_order == other.record_order);
    CHECK(iterations == other.iterations);
  }
};

using Work = std::function<void(State&, const SystemView&, int threads)>;

void energies(State& s, const SystemView& system, int threads) {
  const EnergyBatch batch{s.liquid.replicas,      s.liquid.positions.data(), s.liquid.species.data(),
                          s.liquid.energy.data(), s.forces.data(),           s.virial.data()};
  cpu::energy(system, batch, threads);
}
// One replica, so that threads share its cells.
void energy_of_one(State& s, const SystemView& system, int threads) {
  const EnergyBatch batch{
      1, s.liquid.positions.data(), s.liquid.species.data(), s.liquid.energy.data(), s.forces.data(), s.virial.data()};
  cpu::energy(system, batch, threads);
}
void monte_carlo(State& s, const SystemView& system, int threads) {
  cpu::monte_carlo(system, s.batch(), s.plan(false), s.output(), threads);
}
void checkerboard(State& s, const SystemView& system, int threads) {
  MonteCarloBatch batch = s.batch();
  batch.replicas = 1;
  cpu::monte_carlo(system, batch, s.plan(true), s.output(), threads);
}
void dynamics(State& s, const SystemView& system, int threads) {
  DynamicsPlan plan = plan_of(Thermostat::langevin, 20, 0.001);
  plan.search = 0;
  const SwapPlan swaps{8, s.liquid.species.data(), s.move_size.data(), s.thresholds.data(), s.swaps.data(), s.swap_accepts.data()};
  cpu::molecular_dynamics(system, s.liquid.batch(), plan, swaps, s.liquid.output(), threads);
  CHECK(s.liquid.failure == std::vector<std::int64_t>(8));
}
void minimise(State& s, const SystemView& system, int threads) {
  const MinimisePlan plan{0.005, 0.05, 1e-3, 30, 0};
  cpu::minimise(system, s.liquid.batch(), plan, {s.iterations.data(), s.virial.data()}, threads);
}
// With more threads than ladders all share the replicas and meet at every exchange.
template <int Ladders>
void tempering(State& s, const SystemView& system, int threads) {
  const TemperingBatch ladders{Ladders,
                               8 / Ladders,
                               s.liquid.beta.data(),
                               s.move_size.data(),
                               s.liquid.energy.data(),
                               s.liquid.ids.data(),
                               s.order.data(),
                               s.liquid.velocities.data(),
                               2 * system.n};
  const TemperingCounts counts{s.attempts.data(), s.exchanges.data(), s.visits.data(),
                               s.trips.data(),    s.from_hot.data(),  s.from_cold.data()};
  cpu::parallel_tempering(system, s.batch(), s.plan(false), s.output(), ladders, 2, counts, {s.record_order.data()}, threads);
}
void gather(State& s, const SystemView&, int threads) {
  const std::vector<std::int64_t> parents = {0, 0, 2, 2, 4, 2, 0, 7};
  const ReplicaArray arrays[] = {{s.liquid.positions.data(), static_cast<std::int64_t>(s.liquid.positions.size())},
                                 {s.liquid.ids.data(), 8}};
  cpu::gather(8, parents.data(), arrays, 2, threads);
}

const std::vector<std::pair<const char*, Work>> works = {{"energies", energies},
                                                         {"energy of one", energy_of_one},
                                                         {"Monte Carlo", monte_carlo},
                                                         {"checkerboard", checkerboard},
                                                         {"dynamics", dynamics},
                                                         {"minimise", minimise},
                                                         {"tempering, 2 ladders", tempering<2>},
                                                         {"tempering, 1 ladder", tempering<1>},
                                                         {"gather", gather}};

}  // namespace

TEST_CASE("several threads, within calls and beside each other, have the bits of one") {
  for (const std::int64_t n : {48, 400}) {  // all pairs; lists and cells
    State start(n);
    // In one ladder of eight all temperatures differ.
    State in_one = start;
    for (int r = 0; r < 8; ++r) {
      in_one.order[static_cast<std::size_t>(r)] = r;
      in_one.liquid.beta[static_cast<std::size_t>(r)] = 0.5 + 0.1 * r;
    }
    const SystemView system = start.liquid.view();
    for (const auto& [label, work] : works) {
      const std::string name = label;
      CAPTURE(name);
      CAPTURE(n);
      if (n == 48 && name == "checkerboard") continue;  // needs a larger box
      const State& first = name == "tempering, 1 ladder" ? in_one : start;
      State expected = first;
      work(expected, system, 1);
      std::vector<State> found(4, first);
      std::vector<std::thread> threads;
      for (int t = 0; t < 4; ++t) threads.emplace_back([&, t, w = work] { w(found[static_cast<std::size_t>(t)], system, t + 1); });
      for (std::thread& thread : threads) thread.join();
      for (const State& state : found) state.check_same(expected, name != "dynamics" && name != "minimise");
    }
  }
}

TEST_CASE("an exception in one of several threads reaches the caller once all have ended") {
  State state(48);
  SystemView system = state.liquid.view();
  system.kind = 0;
  const std::vector<std::int64_t> parents = {1, 0, 2, 3, 4, 5, 6, 7};
  CHECK_THROWS_AS(cpu::gather(8, parents.data(), nullptr, 0, 4), std::invalid_argument);
  MonteCarloBatch batch = state.batch();
  batch.replicas = 1;
  CHECK_THROWS_AS(cpu::monte_carlo(system, batch, state.plan(true), state.output(), 4), std::invalid_argument);  // too small a box
}

TEST_CASE("instruction sets may be chosen while others compute") {
  State start(48);
  const SystemView system = start.liquid.view();
  State expected = start;
  monte_carlo(expected, system, 1);
  const std::string before = cpu::instruction_set();
  std::vector<State> found(2, start);
  std::vector<std::thread> threads;
  for (State& state : found) threads.emplace_back([&] { monte_carlo(state, system, 2); });
  for (int k = 0; k < 20; ++k)
    for (const char* name : {"baseline", "avx2", "avx512"}) cpu::use_instruction_set(name);
  for (std::thread& thread : threads) thread.join();
  CHECK(cpu::use_instruction_set(before.c_str()));
  for (const State& state : found) state.check_same(expected, true);
}
