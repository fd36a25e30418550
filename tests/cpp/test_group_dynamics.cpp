// The molecular dynamics that the GPU runs, with its lanes emulated on the host, against the CPU backend: the same bits.
#include <doctest/doctest.h>

#include <vector>

#include "dynamics_job.hpp"
#include "dynamics_liquid.hpp"
#include "with_system.hpp"

using namespace glassnf;
using namespace dynamics_tests;

namespace {

template <int Size, int Tile>
void emulate(Liquid& liquid, const DynamicsPlan& plan) {
  const SystemView system = liquid.view();
  with_system(system, uniform_coefficients(system), [&]<int D, class P, bool Uniform>(P) {
    const DynamicsJob<D> job = dynamics_job<D>(system, plan, 0);
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

void compare(int dimension, std::int64_t n, PotentialKind kind, bool uniform, Thermostat thermostat) {
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
