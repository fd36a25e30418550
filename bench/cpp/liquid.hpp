// The liquid that the microbenchmarks move: replicas of ka2d at T = 0.5 on a lattice, with all that the functions of backend.hpp take.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "backend.hpp"

namespace glassnf::bench {

inline constexpr double temperature = 0.5, move_size = 0.12, reduced_cutoff = 2.5;
inline constexpr double density = 1290.0 / (32.8962 * 32.8962);
inline constexpr int species_count = 3, pair_count = 3;
inline constexpr double sigma[3][3] = {{1.0, 0.8, 0.9}, {0.8, 0.88, 0.8}, {0.9, 0.8, 0.94}};
inline constexpr double epsilon[3][3] = {{1.0, 1.5, 0.75}, {1.5, 0.5, 1.5}, {0.75, 1.5, 0.75}};
inline constexpr std::uint64_t one = std::uint64_t(1) << 32;  // probability 1 on the scale of MonteCarloPlan
inline constexpr std::uint64_t pair_thresholds[pair_count] = {one / 3, one / 3 * 2, one};

struct Liquid {
  std::vector<double> coefficients, positions, beta, energy, move_sizes;
  std::vector<std::int32_t> images, species;
  std::vector<std::int64_t> ids;
  SystemView system{};
  std::uint64_t step = 0;

  Liquid(std::int64_t n, std::int64_t replicas)
      : positions(replicas * n * 2),
        beta(replicas, 1.0 / temperature),
        energy(replicas),
        move_sizes(replicas, move_size),
        images(replicas * n * 2),
        species(replicas * n),
        ids(replicas) {
    const double xc = reduced_cutoff;
    for (int a = 0; a < species_count; ++a)
      for (int b = 0; b < species_count; ++b)
        for (const double c :
             {1.0 / (sigma[a][b] * sigma[a][b]), 4.0 * epsilon[a][b], xc * xc, 6.0 * std::pow(xc, -10) - 21.0 * std::pow(xc, -16),
              48.0 * std::pow(xc, -14) - 15.0 * std::pow(xc, -8), 10.0 * std::pow(xc, -6) - 28.0 * std::pow(xc, -12)})
          coefficients.push_back(c);
    system.dimension = 2;
    system.n = n;
    system.species_count = species_count;
    system.box[0] = system.box[1] = std::sqrt(static_cast<double>(n) / density);
    system.cutoff = xc;
    system.kind = 0;  // Lennard-Jones
    system.coefficients = coefficients.data();
    system.energy_scale = 2.0;
    start();
  }
  Liquid(const Liquid&) = delete;  // system points into coefficients
  Liquid& operator=(const Liquid&) = delete;

  std::int64_t n() const { return system.n; }
  std::int64_t replicas() const { return static_cast<std::int64_t>(beta.size()); }

  // The next sweeps; advance `step` after them.
  MonteCarloPlan plan(std::int64_t sweeps, std::uint64_t swap_threshold) const {
    MonteCarloPlan plan{};
    plan.seed = 7;
    plan.step = step;
    plan.sweeps = sweeps;
    plan.swap_threshold = swap_threshold;
    plan.pair_thresholds = pair_thresholds;
    return plan;
  }

  // Pairs within the cutoff region that an energy needs: all pairs, or those of a cell with its neighbours, once.
  double pairs_of_energy() const {
    const double count = static_cast<double>(n()), cells = std::floor(system.box[0] / system.cutoff);
    return cells > 3.0 ? 0.5 * count * (9.0 * count / (cells * cells) - 1.0) : 0.5 * count * (count - 1.0);
  }

 private:
  // A square lattice with species in the proportion 20 : 11 : 12, shuffled.
  void start() {
    std::mt19937_64 random(1);
    const std::int64_t count = n(), columns = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
    for (std::int64_t r = 0; r < replicas(); ++r) {
      ids[r] = r;
      std::int32_t* kinds = species.data() + r * count;
      for (std::int64_t i = 0; i < count; ++i) {
        kinds[i] = 43 * i < 20 * count ? 0 : 43 * i < 31 * count ? 1 : 2;
        for (int k = 0; k < 2; ++k) {
          const double place = static_cast<double>(k == 0 ? i % columns : i / columns) + 0.5;
          positions[(r * count + i) * 2 + k] = place * system.box[k] / static_cast<double>(columns);
        }
      }
      for (std::int64_t i = count - 1; i > 0; --i) std::swap(kinds[i], kinds[random() % static_cast<std::uint64_t>(i + 1)]);
    }
  }
};

}  // namespace glassnf::bench
