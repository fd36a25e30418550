// The Monte Carlo that the GPU runs, with its lanes emulated on the host, against the CPU backend: the same bits.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "backend.hpp"
#include "group_job.hpp"
#include "numbers.hpp"
#include "with_system.hpp"

using namespace glassnf;

namespace {

// Three species in two dimensions or two in three, on a jittered lattice, with all that a call of Monte Carlo needs.
struct Liquid {
  std::vector<double> coefficients, positions, energy, move_size, beta, record_energy, record_positions;
  std::vector<std::int32_t> images, species, record_species;
  std::vector<std::int64_t> ids, displacement_attempts, displacement_accepts, swap_attempts, swap_accepts, pair_evaluations;
  std::vector<std::uint64_t> thresholds;
  SystemView system{};
  std::int64_t replicas;

  Liquid(int dimension, std::int64_t n, std::int64_t count, double move, PotentialKind kind, bool uniform, double density)
      : replicas(count) {
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
    for (int k = 0; k < dimension; ++k) system.box[k] = std::pow(static_cast<double>(n) / density, 1.0 / dimension);
    system.cutoff = cut * 1.05;
    system.kind = static_cast<int>(kind);
    system.exponent = 12;
    system.coefficients = coefficients.data();
    system.energy_scale = 2.0;
    fill(move);
  }
  void fill(double move) {
    auto g = numbers::generator(5);
    const std::int64_t n = system.n;
    const int d = system.dimension;
    const auto side = static_cast<std::int64_t>(std::ceil(std::pow(static_cast<double>(n), 1.0 / d) - 1e-9));
    for (std::int64_t r = 0; r < replicas; ++r) {
      for (std::int64_t i = 0; i < n; ++i) {
        std::int64_t rest = i;
        for (int k = 0; k < d; ++k) {
          positions.push_back((static_cast<double>(rest % side) + numbers::uniform(g, 0.35, 0.65)) * system.box[k] /
                              static_cast<double>(side));
          rest /= side;
        }
        species.push_back(static_cast<std::int32_t>(i % 3));
      }
      ids.push_back(11 + 5 * r);
      move_size.push_back(move * (1.0 + 0.3 * static_cast<double>(r)));
      beta.push_back(1.5 + 0.5 * static_cast<double>(r));
    }
    images.assign(positions.size(), 0);
    energy.assign(ids.size(), 0.0);
    for (auto* counter : {&displacement_attempts, &displacement_accepts, &pair_evaluations}) counter->assign(ids.size(), 0);
    swap_attempts.assign(3 * ids.size(), 0);
    swap_accepts = swap_attempts;
    thresholds = {1ULL << 31, 3ULL << 30, 1ULL << 32};
  }
  MonteCarloBatch batch() {
    return {replicas, positions.data(), images.data(), species.data(), beta.data(), energy.data(), ids.data(), move_size.data()};
  }
  MonteCarloPlan plan(std::int64_t sweeps, const std::vector<std::int64_t>& at) {
    record_energy.assign(at.size() * ids.size(), 0.0);
    record_positions.assign(at.size() * positions.size(), 0.0);
    record_species.assign(at.size() * species.size(), 0);
    MonteCarloPlan result{};
    result.seed = 7;
    result.step = 40;
    result.sweeps = sweeps;
    result.swap_threshold = 1ULL << 30;
    result.pair_thresholds = thresholds.data();
    result.records = static_cast<std::int64_t>(at.size());
    result.record_at = at.data();
    return result;
  }
  MonteCarloOutput output() {
    return {record_energy.data(),        record_positions.data(), record_species.data(), displacement_attempts.data(),
            displacement_accepts.data(), swap_attempts.data(),    swap_accepts.data(),   pair_evaluations.data()};
  }
  bool same_state(const Liquid& other) const {
    return positions == other.positions && images == other.images && species == other.species && energy == other.energy &&
           record_energy == other.record_energy && record_positions == other.record_positions &&
           record_species == other.record_species && displacement_attempts == other.displacement_attempts &&
           displacement_accepts == other.displacement_accepts && swap_attempts == other.swap_attempts &&
           swap_accepts == other.swap_accepts;
  }
};

template <int Size, bool Cells>
void emulate(Liquid& liquid, const MonteCarloPlan& plan) {
  with_system(liquid.system, uniform_coefficients(liquid.system), [&]<int D, class P, bool Uniform>(P potential) {
    const SystemView& s = liquid.system;
    const GroupJob<D> job = group_job<D>(s, plan);
    const auto layout = ArenaLayout::make(s.n, D, s.species_count, Size, Cells ? largest_group_cells<D>(s.box, s.cutoff, s.n) : 0);
    std::vector<double> arena(static_cast<std::size_t>(layout.bytes / 8 + 8));
    const HostGroup<Size> group;
    for (std::int64_t r = 0; r < liquid.replicas; ++r) {
      const GroupReplica replica = group_replica(job, liquid.batch(), liquid.output(), r);
      GroupSampler<HostGroup<Size>, D, P, Uniform, Cells> sampler(group, job, replica, potential, s.coefficients,
                                                                  reinterpret_cast<char*>(arena.data()), layout);
      sampler.run();
    }
  });
}

void compare(int dimension, std::int64_t n, double move, PotentialKind kind, bool uniform, double density, std::int64_t sweeps) {
  if (!built_for(kind, dimension)) return;
  CAPTURE(dimension);
  CAPTURE(n);
  const std::vector<std::int64_t> at = {1, 2, sweeps / 2, sweeps};
  Liquid expected(dimension, n, 3, move, kind, uniform, density);
  Liquid fresh = expected;
  const MonteCarloPlan plan = expected.plan(sweeps, at);
  cpu::monte_carlo(expected.system, expected.batch(), plan, expected.output(), 1);
  const auto check = [&](auto&& run) {
    Liquid liquid = fresh;
    liquid.system.coefficients = liquid.coefficients.data();
    run(liquid, liquid.plan(sweeps, at));
    CHECK(liquid.same_state(expected));
  };
  check([](Liquid& l, const MonteCarloPlan& p) { emulate<8, false>(l, p); });
  check([](Liquid& l, const MonteCarloPlan& p) { emulate<32, false>(l, p); });
  check([](Liquid& l, const MonteCarloPlan& p) { emulate<1, true>(l, p); });
  check([](Liquid& l, const MonteCarloPlan& p) { emulate<8, true>(l, p); });
  check([](Liquid& l, const MonteCarloPlan& p) { emulate<32, true>(l, p); });
  REQUIRE(expected.displacement_accepts[0] > 0);
  REQUIRE(expected.swap_accepts[0] > 0);
}

}  // namespace

TEST_CASE("a group of lanes makes the trajectory of the CPU, bit for bit") {
  const auto lj = PotentialKind::lennard_jones;
  compare(2, 43, 0.12, lj, true, 1.19, 60);
  compare(2, 300, 0.08, lj, true, 1.19, 30);
  compare(2, 300, 0.3, lj, false, 1.0, 12);
  compare(3, 256, 0.1, lj, true, 1.0, 12);
  compare(3, 600, 0.05, lj, false, 1.0, 6);
  compare(2, 200, 0.1, PotentialKind::inverse_power, true, 0.9, 12);
  compare(3, 300, 0.1, PotentialKind::harmonic, true, 0.9, 12);
  compare(2, 3, 0.5, lj, true, 0.1, 100);
  // Cells of the cutoff alone would be halved for being more than the particles, those with a margin are not.
  compare(2, 1000, 0.05, PotentialKind::harmonic, true, 0.8, 10);
}

TEST_CASE("overlaps are left behind as on the CPU") {
  Liquid expected(2, 60, 1, 0.1, PotentialKind::lennard_jones, true, 1.0);
  for (std::size_t i = 0; i < 4; ++i) expected.positions[i + 4] = expected.positions[i] + 1e-6;
  Liquid liquid = expected;
  liquid.system.coefficients = liquid.coefficients.data();
  const std::vector<std::int64_t> at = {200};
  const MonteCarloPlan plan = expected.plan(200, at);
  cpu::monte_carlo(expected.system, expected.batch(), plan, expected.output(), 1);
  emulate<8, false>(liquid, liquid.plan(200, at));
  CHECK(liquid.positions == expected.positions);
  CHECK(liquid.energy == expected.energy);
}
