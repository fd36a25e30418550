// The backend behind the plain structs: a few particles, against the scalar headers.
#include <doctest/doctest.h>

#include "backend.hpp"
#include "glassnf/box.hpp"
#include "glassnf/potentials.hpp"
#include "numbers.hpp"

using namespace glassnf;

namespace {

// One species of smooth Lennard-Jones, cutoff 2.5.
const double lj[6] = {
    1.0, 4.0, 6.25, 6 * 1.048576e-4 - 21 * 4.294967296e-7, 48 * 2.68435456e-6 - 15 * 6.5536e-4, 10 * 4.096e-3 - 28 * 1.6777216e-5};

SystemView view(std::int64_t n, double side) {
  SystemView system{};
  system.dimension = 2;
  system.n = n;
  system.species_count = 1;
  system.box[0] = system.box[1] = side;
  system.cutoff = 2.5;
  system.kind = 0;
  system.coefficients = lj;
  system.energy_scale = 1.0;
  return system;
}

struct Configuration {
  std::vector<double> positions;
  std::vector<std::int32_t> species;

  Configuration(std::int64_t per_side, double side) : species(static_cast<std::size_t>(per_side * per_side), 0) {
    auto g = numbers::generator(21);
    for (std::int64_t i = 0; i < per_side; ++i)
      for (std::int64_t j = 0; j < per_side; ++j) {
        positions.push_back((static_cast<double>(i) + numbers::uniform(g, 0.4, 0.6)) * side / static_cast<double>(per_side));
        positions.push_back((static_cast<double>(j) + numbers::uniform(g, 0.4, 0.6)) * side / static_cast<double>(per_side));
      }
  }
  double energy(double side) const {
    const PairCoefficients<double> c{lj[0], lj[1], lj[2], lj[3], lj[4], lj[5]};
    double u = 0.0;
    for (std::size_t i = 0; i < species.size(); ++i)
      for (std::size_t j = 0; j < i; ++j) {
        const Vec<double, 2> dx{minimum_image_distance(positions[2 * i] - positions[2 * j], side),
                                minimum_image_distance(positions[2 * i + 1] - positions[2 * j + 1], side)};
        u += pair_energy(LennardJones{0}, dot(dx, dx), c);
      }
    return u;
  }
};

}  // namespace

TEST_CASE("every instruction set gives the energy of the headers") {
  const std::string before = cpu::instruction_set();
  for (std::int64_t per_side : {3, 6, 14}) {
    const double side = per_side < 6 ? 6.0 : 1.1 * static_cast<double>(per_side);
    const Configuration configuration(per_side, side);
    const double expected = configuration.energy(side);
    double first = 0.0;
    for (const char* name : {"baseline", "avx2", "avx512"}) {
      if (!cpu::use_instruction_set(name)) continue;
      double u = 0.0;
      const EnergyBatch batch{1, configuration.positions.data(), configuration.species.data(), &u, nullptr, nullptr};
      cpu::energy(view(per_side * per_side, side), batch, 1);
      CHECK(u == doctest::Approx(expected).epsilon(1e-12));
      if (name == std::string("baseline")) first = u;
      CHECK(numbers::bits(u) == numbers::bits(first));
    }
  }
  CHECK(cpu::use_instruction_set(before.c_str()));
  CHECK_FALSE(cpu::use_instruction_set("no such"));
  CHECK(cpu::has_instruction_set("baseline"));
}

TEST_CASE("Monte Carlo keeps the energy it reports") {
  for (std::int64_t per_side : {3, 6, 14}) {
    const double side = per_side < 6 ? 6.0 : 1.1 * static_cast<double>(per_side);
    Configuration configuration(per_side, side);
    const std::int64_t n = per_side * per_side, record_at = 50;
    std::vector<std::int32_t> images(static_cast<std::size_t>(2 * n), 0);
    double energy = 0.0, recorded = 0.0;
    const double beta = 1.5, move_size = 0.15;
    const std::int64_t id = 3;
    std::int64_t attempts = 0, accepts = 0, no_swaps[1] = {}, evaluations = 0;
    MonteCarloBatch batch{};
    batch.replicas = 1;
    batch.positions = configuration.positions.data();
    batch.images = images.data();
    batch.species = configuration.species.data();
    batch.beta = &beta;
    batch.energy = &energy;
    batch.ids = &id;
    batch.move_size = &move_size;
    MonteCarloPlan plan{};
    plan.seed = 5;
    plan.sweeps = 50;
    plan.records = 1;
    plan.record_at = &record_at;
    MonteCarloOutput output{};
    output.energy = &recorded;
    output.displacement_attempts = &attempts;
    output.displacement_accepts = &accepts;
    output.swap_attempts = output.swap_accepts = no_swaps;
    output.pair_evaluations = &evaluations;
    cpu::monte_carlo(view(n, side), batch, plan, output, 1);
    CHECK(attempts == 50 * n);
    CHECK((accepts > 0 && accepts < attempts));
    CHECK(evaluations > 0);
    CHECK(recorded == energy);
    CHECK(energy == doctest::Approx(configuration.energy(side)).epsilon(1e-9));
    for (double x : configuration.positions) REQUIRE((x >= 0.0 && x < side));
  }
}
