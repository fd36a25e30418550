// The liquid that the tests of molecular dynamics move.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "backend.hpp"
#include "glassnf/dynamics.hpp"
#include "numbers.hpp"

namespace dynamics_tests {

using namespace glassnf;

inline constexpr double box_density = 1.0;
inline const std::vector<std::int64_t> record_steps = {1, 4, 5, 20};

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
    return {replicas, positions.data(), velocities.data(), images.data(), species.data(), beta.data(), energy.data(), ids.data()};
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

inline DynamicsPlan plan_of(Thermostat thermostat, std::int64_t steps = 20, double timestep = 0.005) {
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

}  // namespace dynamics_tests
