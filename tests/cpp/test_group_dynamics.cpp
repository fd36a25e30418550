// The molecular dynamics that the GPU runs, with its lanes emulated on the host, against the CPU backend: the same bits.
#include <doctest/doctest.h>

#include <vector>

#include "dynamics_job.hpp"
#include "dynamics_liquid.hpp"
#include "group_job.hpp"
#include "stretches.hpp"
#include "with_system.hpp"

using namespace glassnf;
using namespace dynamics_tests;

namespace {

template <int Size, int Tile>
void emulate(Liquid& liquid, const DynamicsPlan& plan, std::int64_t steps_before = 0) {
  const SystemView system = liquid.view();
  with_system(system, uniform_coefficients(system), [&]<int D, class P, bool Uniform>(P) {
    const DynamicsJob<D> job = dynamics_job<D>(system, plan, steps_before);
    const auto layout = DynamicsArena::make(system.n, D, system.species_count);
    std::vector<double> arena(static_cast<std::size_t>(layout.bytes / 8 + 16));
    auto* base = reinterpret_cast<char*>((reinterpret_cast<std::uintptr_t>(arena.data()) + 15) / 16 * 16);
    const HostGroup<Size> group;
    const DynamicsBatch batch = liquid.batch();
    const DynamicsOutput output = liquid.output();
    for (std::int64_t r = 0; r < liquid.replicas; ++r) {
      const DynamicsReplica<D> replica{job, batch, output, r};
      GroupDynamics<HostGroup<Size>, Tile, D, P, Uniform, DynamicsReplica<D>> dynamics(group, job, replica, system.coefficients,
                                                                                       base, layout);
      dynamics.run();
    }
  });
}

// Species swaps between stretches of dynamics, and what they need.
struct Swaps {
  std::vector<double> move_size;
  std::vector<std::uint64_t> thresholds = {1ULL << 31, 3ULL << 30, 1ULL << 32};
  std::vector<std::int64_t> attempts, accepts, displacements;

  explicit Swaps(const Liquid& liquid)
      : move_size(liquid.ids.size(), 0.1), attempts(3 * liquid.ids.size()), accepts(attempts), displacements(liquid.ids.size()) {}
  SwapPlan plan(Liquid& liquid, std::int64_t every) {
    return {every, liquid.species.data(), move_size.data(), thresholds.data(), attempts.data(), accepts.data()};
  }
};

// As cuda/backend.cu does it.
void emulate_hybrid(Liquid& liquid, Swaps& swaps, const DynamicsPlan& plan, std::int64_t every) {
  const SystemView system = liquid.view();
  const SwapPlan swap_plan = swaps.plan(liquid, every);
  const MonteCarloBatch batch{liquid.replicas,    liquid.positions.data(), liquid.images.data(), liquid.species.data(),
                              liquid.beta.data(), liquid.energy.data(),    liquid.ids.data(),    swaps.move_size.data()};
  const MonteCarloOutput output{nullptr,
                                nullptr,
                                nullptr,
                                swaps.displacements.data(),
                                swaps.displacements.data(),
                                swaps.attempts.data(),
                                swaps.accepts.data(),
                                liquid.pair_evaluations.data()};
  for_stretches(
      plan, every,
      [&](const DynamicsPlan& stretch, std::int64_t done) {
        emulate<16, 3>(liquid, stretch, done);
        return true;
      },
      [&](std::uint64_t step) {
        with_system(system, uniform_coefficients(system), [&]<int D, class P, bool Uniform>(P potential) {
          const GroupJob<D> job = group_job<D>(system, swap_sweep_plan(plan, swap_plan, step));
          const auto layout = ArenaLayout::make(system.n, D, system.species_count, 8, 0);
          std::vector<double> arena(static_cast<std::size_t>(layout.bytes / 8 + 8));
          const HostGroup<8> group;
          for (std::int64_t r = 0; r < liquid.replicas; ++r) {
            const GroupReplica replica = group_replica(job, batch, output, r);
            GroupSampler<HostGroup<8>, D, P, Uniform, false>(group, job, replica, potential, system.coefficients,
                                                             reinterpret_cast<char*>(arena.data()), layout)
                .run();
          }
        });
      });
}

void compare(int dimension, std::int64_t n, PotentialKind kind, bool uniform, Thermostat thermostat) {
  if (!built_for(kind, dimension)) return;
  CAPTURE(dimension);
  CAPTURE(n);
  CAPTURE(static_cast<int>(kind));
  CAPTURE(static_cast<int>(thermostat));
  const Liquid fresh(dimension, n, 3, kind, uniform);
  const DynamicsPlan plan = plan_of(thermostat);
  Liquid expected = fresh;
  cpu::molecular_dynamics(expected.view(), expected.batch(), plan, {}, expected.output(), 1);
  REQUIRE(expected.failure[0] == 0);
  REQUIRE(expected.energy[0] != 0.0);
  const auto check = [&](auto&& run) {
    Liquid liquid = fresh;
    run(liquid);
    liquid.check_same(expected);
    CHECK(liquid.pair_evaluations == expected.pair_evaluations);
  };
  check([&](Liquid& l) { emulate<1, 1>(l, plan); });
  check([&](Liquid& l) { emulate<8, 2>(l, plan); });
  check([&](Liquid& l) { emulate<16, 3>(l, plan); });
  check([&](Liquid& l) { emulate<32, 4>(l, plan); });
}

}  // namespace

TEST_CASE("molecular dynamics by a group of lanes has the bits of the CPU") {
  for (const Thermostat thermostat : {Thermostat::none, Thermostat::langevin, Thermostat::rescaling}) {
    compare(2, 43, PotentialKind::lennard_jones, true, thermostat);
    compare(2, 100, PotentialKind::lennard_jones, false, thermostat);
    compare(3, 125, PotentialKind::lennard_jones, true, thermostat);
    compare(2, 49, PotentialKind::inverse_power, true, thermostat);
    compare(3, 96, PotentialKind::harmonic, true, thermostat);
  }
  compare(2, 16, PotentialKind::harmonic, true, Thermostat::langevin);
  compare(3, 256, PotentialKind::lennard_jones, false, Thermostat::langevin);
}

TEST_CASE("dynamics and swaps in turn have the bits of the CPU") {
  for (const std::int64_t every : {1, 4, 7, 1000}) {
    CAPTURE(every);
    Liquid expected(2, 43, 3, PotentialKind::lennard_jones, true), liquid = expected;
    Swaps swaps(liquid), expected_swaps(liquid);
    const DynamicsPlan plan = plan_of(Thermostat::langevin);
    cpu::molecular_dynamics(expected.view(), expected.batch(), plan, expected_swaps.plan(expected, every), expected.output(), 1);
    emulate_hybrid(liquid, swaps, plan, every);
    liquid.check_same(expected);
    CHECK(liquid.species == expected.species);
    CHECK(swaps.attempts == expected_swaps.attempts);
    CHECK(swaps.accepts == expected_swaps.accepts);
    CHECK((swaps.attempts[0] > 0) == (every < 1000));
  }
}

TEST_CASE("no steps and one step at a time") {
  const Liquid fresh(2, 43, 2, PotentialKind::lennard_jones, true);
  DynamicsPlan plan = plan_of(Thermostat::rescaling, 6);
  plan.records = 0;
  Liquid at_once = fresh, in_pieces = fresh;
  emulate<16, 3>(at_once, plan);
  plan.steps = 0;
  emulate<16, 3>(in_pieces, plan);
  CHECK(in_pieces.positions == fresh.positions);
  CHECK(in_pieces.energy[1] != 0.0);
  plan.steps = 1;
  for (int s = 0; s < 6; ++s, ++plan.step) emulate<16, 3>(in_pieces, plan);
  in_pieces.check_same(at_once);
  CHECK(in_pieces.pair_evaluations == at_once.pair_evaluations);
}

TEST_CASE("a group of lanes blows up at the step at which the CPU does") {
  for (const Thermostat thermostat : {Thermostat::none, Thermostat::langevin}) {
    Liquid fresh(2, 43, 3, PotentialKind::lennard_jones, true);
    for (int k = 0; k < 2; ++k) fresh.positions[2 * 43 + 2 * 9 + k] = fresh.positions[2 * 43 + 2 * 8 + k] + 0.35;  // of replica 1
    Liquid expected = fresh;
    const DynamicsPlan plan = plan_of(thermostat, 20, 0.02);
    cpu::molecular_dynamics(expected.view(), expected.batch(), plan, {}, expected.output(), 1);
    REQUIRE(expected.failure[1] > 0);
    Liquid liquid = fresh;
    emulate<16, 3>(liquid, plan);
    CHECK(liquid.failure[1] == expected.failure[1]);
    CHECK(liquid.failure[0] == 0);
  }
}

TEST_CASE("energies of overlaps are plain sums") {
  Liquid fresh(2, 43, 1, PotentialKind::lennard_jones, true);
  for (int k = 0; k < 2; ++k) fresh.positions[2 * 9 + k] = fresh.positions[2 * 8 + k] + 1e-3;
  DynamicsPlan plan = plan_of(Thermostat::none, 0);
  plan.records = 0;
  Liquid expected = fresh, liquid = fresh;
  cpu::molecular_dynamics(expected.view(), expected.batch(), plan, {}, expected.output(), 1);
  emulate<16, 3>(liquid, plan);
  CHECK(expected.energy[0] > 1e20);
  CHECK(liquid.energy[0] == doctest::Approx(expected.energy[0]).epsilon(1e-12));
}
