// The sums that the energy kernels of the GPU make, on the host, in both precisions, against the CPU backend.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend.hpp"
#include "glassnf/particle_sums.hpp"
#include "numbers.hpp"

using namespace glassnf;

namespace {

// Three species of smooth Lennard-Jones at the density of ka2d, or two in three dimensions, on a jittered lattice.
struct Configuration {
  std::vector<double> coefficients, positions, forces, virial;
  std::vector<std::int32_t> species;
  SystemView system{};
  double energy = 0.0;

  Configuration(int dimension, std::int64_t per_side, double density) {
    const double sigma[3][3] = {{1, 0.8, 0.9}, {0.8, 0.88, 0.8}, {0.9, 0.8, 0.94}};
    const double epsilon[3][3] = {{1, 1.5, 0.75}, {1.5, 0.5, 1.5}, {0.75, 1.5, 0.75}};
    const double xc = 2.5, c4 = 6 / std::pow(xc, 10) - 21 / std::pow(xc, 16), c2 = 48 / std::pow(xc, 14) - 15 / std::pow(xc, 8);
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b)
        for (double c :
             {1 / (sigma[a][b] * sigma[a][b]), 4 * epsilon[a][b], xc * xc, c4, c2, 10 / std::pow(xc, 6) - 28 / std::pow(xc, 12)})
          coefficients.push_back(c);
    std::int64_t n = 1;
    for (int k = 0; k < dimension; ++k) n *= per_side;
    system.dimension = dimension;
    system.n = n;
    system.species_count = 3;
    system.cutoff = 2.5;
    system.coefficients = coefficients.data();
    system.energy_scale = 2.0;
    auto g = numbers::generator(9);
    for (int k = 0; k < dimension; ++k) system.box[k] = std::pow(static_cast<double>(n) / density, 1.0 / dimension);
    for (std::int64_t i = 0; i < n; ++i) {
      std::int64_t rest = i;
      for (int k = 0; k < dimension; ++k) {
        positions.push_back((static_cast<double>(rest % per_side) + numbers::uniform(g, 0.4, 0.6)) * system.box[k] /
                            static_cast<double>(per_side));
        rest /= per_side;
      }
      species.push_back(static_cast<std::int32_t>(i % 3));
    }
    forces.resize(positions.size());
    virial.resize(static_cast<std::size_t>(dimension * dimension));
    cpu::energy(system, {1, positions.data(), species.data(), &energy, forces.data(), virial.data()}, 1);
  }
};

// Largest errors relative to the largest value: energy, forces, virial.
struct Errors {
  double energy, forces, virial;
};

template <class Real, int D>
Errors errors(const Configuration& c) {
  const std::vector<Real> numbers(c.coefficients.begin(), c.coefficients.end());
  const CoefficientTable<Real, true> table(numbers.data(), 3);
  Coordinate<Real> axes[D];
  for (int k = 0; k < D; ++k) axes[k] = Coordinate<Real>(c.system.box[k]);
  const LennardJones potential{0};
  double energy = 0.0, virial[D * D] = {}, worst = 0.0, largest = 0.0;
  const auto at = [&](std::int64_t i, typename Coordinate<Real>::Stored(&x)[D]) {
    for (int k = 0; k < D; ++k) x[k] = axes[k].store(c.positions[static_cast<std::size_t>(i * D + k)]);
  };
  for (std::int64_t i = 0; i < c.system.n; ++i) {
    PairAccumulator<Real, D, LennardJones, true, true, true> pairs(potential, table, axes);
    typename Coordinate<Real>::Stored xi[D], xj[D];
    at(i, xi);
    for (std::int64_t j = 0; j < c.system.n; ++j)
      if (j != i) {
        at(j, xj);
        pairs.add(xi, c.species[static_cast<std::size_t>(i)], xj, c.species[static_cast<std::size_t>(j)]);
      }
    const auto& sums = pairs.finish();
    energy += 0.5 * sums.energy;
    for (int k = 0; k < D * D; ++k) virial[k] += 0.5 * sums.virial[k];
    for (int k = 0; k < D; ++k) {
      const double expected = c.forces[static_cast<std::size_t>(i * D + k)];
      worst = std::max(worst, std::abs(sums.force[k] - expected));
      largest = std::max(largest, std::abs(expected));
    }
  }
  double virial_error = 0.0, virial_scale = 0.0;
  for (int k = 0; k < D; ++k)
    for (int l = 0; l < D; ++l) {
      CHECK(virial[k * D + l] == virial[l * D + k]);
      virial_error = std::max(virial_error, std::abs(virial[k * D + l] - c.virial[static_cast<std::size_t>(k * D + l)]));
      virial_scale = std::max(virial_scale, std::abs(c.virial[static_cast<std::size_t>(k * D + l)]));
    }
  return {std::abs(energy / c.energy - 1.0), worst / largest, virial_error / virial_scale};
}

}  // namespace

TEST_CASE("sums per particle in double precision are those of the CPU backend") {
  for (const Errors& e : {errors<double, 2>({2, 7, 1.19}), errors<double, 2>({2, 36, 1.19}), errors<double, 3>({3, 9, 1.2})}) {
    CHECK(e.energy < 1e-12);
    CHECK(e.forces < 1e-12);
    CHECK(e.virial < 1e-12);
  }
}

TEST_CASE("sums per particle in single precision are off by a few millionths at most") {
  for (const Errors& e : {errors<float, 2>({2, 7, 1.19}), errors<float, 2>({2, 36, 1.19}), errors<float, 3>({3, 9, 1.2})}) {
    MESSAGE("relative errors in mixed precision: energy " << e.energy << ", forces " << e.forces << ", virial " << e.virial);
    CHECK(e.energy < 2e-6);
    CHECK(e.forces < 5e-6);
    CHECK(e.virial < 5e-6);
    CHECK(e.forces > 0.0);
  }
}
