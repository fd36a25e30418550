// The molecular dynamics that the GPU runs, with its lanes emulated on the host, against the CPU backend: the same bits.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "backend.hpp"
#include "dynamics_job.hpp"
#include "numbers.hpp"
#include "with_system.hpp"

using namespace glassnf;

namespace {

constexpr double box_density = 1.0;
const std::vector<std::int64_t> record_steps = {1, 4, 5, 20};

// Three species on a jittered lattice with random velocities, and all that a call of molecular dynamics needs.
struct Liquid {
  std::vector<double> coefficients, positions, velocities, energy, beta;
  std::vector<double> record_energy, record_kinetic, record_positions, record_velocities;
  std::vector<std::int32_t> images, species, record_species;
  std::vector<std::int64_t> ids, pair_evaluations, failure;
  SystemView system{};
  std::int64_t replicas;

  Liquid(int dimension, std::int64_t n, std::int64_t count, PotentialKind kind, bool uniform) : replicas(count) {
    const int species_count = 3;
    const double sigma[3][3] = {{1, 0.8, 0.9}, {0.8, 0.88, 0.8}, {0.9, 0.8, 0.94}};
    const double epsilon[3][3] = {{1, 1.5, 0.75}, {1.5, 0.5, 1.5}, {0.75, 1.5, 0.75}};
    const double cut = kind == PotentialKind::harmonic ? 1.0 : 1.8;
    for (int a = 0; a < species_count; ++a)
      for (int b = 0; b < species_count; ++b) {
        const double xc = uniform ? cut : cut * (1.0 + 0.01 * (a + b));
        double c4 = 0.0, c2 = 0.0, c0 = 0.0;  // smooth at the cutoff, as in potentials.hpp
        if (kind == PotentialKind::lennard_jones) {
          c4 = 6 / std::pow(xc, 10) - 21 / std::pow(xc, 16);
          c2 = 48 / std::pow(xc, 14) - 15 / std::pow(xc, 8);
          c0 = 10 / std::pow(xc, 6) - 28 / std::pow(xc, 12);
        } else if (kind == PotentialKind::inverse_power) {
          c4 = -12 * 14 / 8.0 / std::pow(xc, 16);
          c2 = 12 * 16 / 4.0 / std::pow(xc, 14);
          c0 = -14 * 16 / 8.0 / std::pow(xc, 12);
        }
        for (double c : {1 / (sigma[a][b] * sigma[a][b]), 4 * epsilon[a][b], xc * xc, c4, c2, c0}) coefficients.push_back(c);
      }
    system.dimension = dimension;
    system.n = n;
    system.species_count = species_count;
    for (int k = 0; k < dimension; ++k)
      system.box[k] = std::pow(static_cast<double>(n) / box_density, 1.0 / dimension) * (k == 0 ? 1.01 : 1.0);
    system.cutoff = cut * 1.05;
    system.kind = static_cast<int>(kind);
    system.exponent = 12;
    system.energy_scale = 2.0;
    fill();
  }
  void fill() {
    auto g = numbers::generator(5);
    const std::int64_t n = system.n;
    const int d = system.dimension;
    const auto side = static_cast<std::int64_t>(std::ceil(std::pow(static_cast<double>(n), 1.0 / d) - 1e-9));
    for (std::int64_t r = 0; r < replicas; ++r) {
      for (std::int64_t i = 0; i < n; ++i) {
        std::int64_t rest = i;
        for (int k = 0; k < d; ++k) {
          positions.push_back((static_cast<double>(rest % side) + numbers::uniform(g, 0.4, 0.6)) * system.box[k] /
                              static_cast<double>(side));
          velocities.push_back(numbers::uniform(g, -1.5, 1.5));
          rest /= side;
        }
        species.push_back(static_cast<std::int32_t>((7 * i + i * i / 5) % 3));
      }
      ids.push_back(11 + 5 * r);
      beta.push_back(1.5 + 0.5 * static_cast<double>(r));
    }
    images.assign(positions.size(), 0);
    energy.assign(ids.size(), 0.0);
    pair_evaluations.assign(ids.size(), 0);
    failure = pair_evaluations;
    const std::size_t records = record_steps.size() + 1;  // the first belongs to somebody else
    record_energy.assign(records * ids.size(), 0.0);
    record_kinetic = record_energy;
    record_positions.assign(records * positions.size(), 0.0);
    record_velocities = record_positions;
    record_species.assign(records * species.size(), 0);
  }
  SystemView view() {
    system.coefficients = coefficients.data();
    return system;
  }
  DynamicsBatch batch() {
    return {replicas,    positions.data(), velocities.data(), images.data(), species.data(),
            beta.data(), energy.data(),    ids.data()};
  }
  DynamicsOutput output() {
    return {record_energy.data(),  record_kinetic.data(),   record_positions.data(), record_velocities.data(),
            record_species.data(), pair_evaluations.data(), failure.data()};
  }
  void check_same(const Liquid& other) const {
    CHECK(positions == other.positions);
    CHECK(velocities == other.velocities);
    CHECK(images == other.images);
    CHECK(energy == other.energy);
    CHECK(record_energy == other.record_energy);
    CHECK(record_kinetic == other.record_kinetic);
    CHECK(record_positions == other.record_positions);
    CHECK(record_velocities == other.record_velocities);
    CHECK(record_species == other.record_species);
    CHECK(failure == other.failure);
  }
};

DynamicsPlan plan_of(Thermostat thermostat, std::int64_t steps = 20, double timestep = 0.005) {
  DynamicsPlan plan{};
  plan.seed = 7;
  plan.step = (1ULL << 32) - 10;  // both words of the step change
  plan.steps = steps;
  plan.timestep = timestep;
  plan.thermostat = static_cast<int>(thermostat);
  plan.friction = 1.7;
  plan.relaxation_time = 0.08;
  plan.records = static_cast<std::int64_t>(record_steps.size());
  plan.record_at = record_steps.data();
  plan.first_record = 1;
  plan.search = 1;
  return plan;
}

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
      GroupDynamics<HostGroup<Size>, Tile, D, P, Uniform, DynamicsReplica<D>> dynamics(group, job, replica, system.coefficients, base,
                                                                                       layout);
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
