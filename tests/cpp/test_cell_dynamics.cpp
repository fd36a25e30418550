// The molecular dynamics of large replicas on a GPU, its threads one after the other on the host, against the CPU backend: the same bits.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "dynamics_job.hpp"
#include "dynamics_liquid.hpp"
#include "glassnf/cell_dynamics.hpp"
#include "with_system.hpp"

using namespace glassnf;
using namespace dynamics_tests;

namespace {

// What cuda/cell_dynamics_kernels.cu does, kernel by kernel. Particles come into the cells in a wrong order, as they may on a GPU.
template <int D, class P, bool Uniform>
class Emulation {
  Liquid& liquid_;
  const DynamicsPlan& plan_;
  DynamicsOutput output_;
  CellDynamics<D> cells_{};
  std::vector<double> forces_, x_, scales_;
  std::vector<std::int32_t> counts_, start_, key_, place_, loose_, particle_of_;
  std::vector<std::uint8_t> kinds_;

 public:
  Emulation(Liquid& liquid, const SystemView& system, const DynamicsPlan& plan)
      : liquid_(liquid), plan_(plan), output_(liquid.output()) {
    const auto count = static_cast<std::size_t>(liquid.replicas * system.n);
    cells_.job = dynamics_job<D>(system, plan, 0);
    cells_.cells = make_grid<D>(system.box, system.cutoff, static_cast<double>(system.n), cells_.grid) ? cells_.grid.cells() : 1;
    const auto cells = static_cast<std::size_t>(liquid.replicas * cells_.cells) + 1;
    forces_.resize(count * D);
    x_.resize(count * D);
    for (auto* by_particle : {&key_, &place_, &loose_, &particle_of_}) by_particle->resize(count);
    counts_.resize(cells);
    start_.resize(cells);
    kinds_.resize(count);
    for (int a = 0; a < system.species_count; ++a)
      for (int b = 0; b < system.species_count; ++b)
        scales_.push_back(PairLaw<D, P, Uniform>::force_scale(CoefficientTable<double, Uniform>(system.coefficients, 3)(a, b)));
    const DynamicsBatch batch = liquid.batch();
    cells_.replicas = liquid.replicas;
    cells_.count = static_cast<std::int64_t>(count);
    cells_.positions = batch.positions;
    cells_.velocities = batch.velocities;
    cells_.images = batch.images;
    cells_.species = batch.species;
    cells_.beta = batch.beta;
    cells_.ids = batch.ids;
    cells_.failure = output_.failure;
    cells_.forces = forces_.data();
    cells_.counts = counts_.data();
    cells_.start = start_.data();
    cells_.key = key_.data();
    cells_.place = place_.data();
    cells_.loose = loose_.data();
    cells_.particle_of = particle_of_.data();
    cells_.x = x_.data();
    cells_.kinds = kinds_.data();
  }

  std::int64_t run() {
    arrange();
    forces(false, 0);
    std::int64_t next = 0, candidates = 0;
    for (std::int64_t done = 1; done <= plan_.steps; ++done) {
      const std::uint64_t step = plan_.step + static_cast<std::uint64_t>(done) - 1;
      for (std::int64_t p = 0; p < cells_.count; ++p) {
        std::int64_t& failure = cells_.failure[cells_.replica_of(p)];
        if (failure == 0 && !cells_.move(p, step)) failure = done;
      }
      arrange();
      candidates += forces(true, done);
      if (cells_.job.rescaling) rescale(step);
      if (next < plan_.records && plan_.record_at[next] == done) record(plan_.first_record + next++);
    }
    for (std::int64_t r = 0; r < cells_.replicas; ++r) liquid_.energy[static_cast<std::size_t>(r)] = energy(r);
    return candidates;
  }

 private:
  void arrange() {
    if (cells_.cells > 1) {
      std::fill(counts_.begin(), counts_.end(), 0);
      for (std::int64_t p = cells_.count - 1; p >= 0; --p) {
        cells_.key[p] = cells_.cell_of(p);
        cells_.place[p] = cells_.counts[cells_.key[p]]++;
      }
      std::int32_t sum = 0;
      for (std::size_t c = 0; c < counts_.size(); ++c) {
        start_[c] = sum;
        sum += counts_[c];
      }
      for (std::int64_t p = 0; p < cells_.count; ++p) cells_.scatter(p);
    }
    for (std::int64_t i = 0; i < cells_.count; ++i) cells_.arrange(i);
    bool ordered = true;
    for (std::int64_t i = 1; i < cells_.count; ++i) {
      const std::int32_t a = cells_.particle_of[i - 1], b = cells_.particle_of[i];
      if (!(cells_.cells > 1 ? cells_.key[a] < cells_.key[b] || (cells_.key[a] == cells_.key[b] && a < b) : a < b)) ordered = false;
    }
    REQUIRE(ordered);
  }
  std::int64_t forces(bool kick, std::int64_t done) {
    const PairLaw<D, P, Uniform> law(cells_.job, cells_.job.coefficients);
    std::int64_t candidates = 0;
    for (std::int64_t slot = 0; slot < cells_.count; ++slot)
      if (!cells_.take(slot, cells_.force(law, scales_.data(), slot, candidates), kick)) {
        std::int64_t& failure = cells_.failure[cells_.replica_of(slot)];
        if (failure == 0) failure = done;
      }
    return candidates;
  }
  std::uint64_t kinetic(std::int64_t r) const {
    std::uint64_t sum = 0;
    for (std::int64_t p = r * cells_.job.n; p < (r + 1) * cells_.job.n; ++p) sum += cells_.kinetic_quanta(p);
    return sum;
  }
  void rescale(std::uint64_t step) {
    for (std::int64_t r = 0; r < cells_.replicas; ++r) {
      const double factor = cells_.rescaling(r, kinetic(r), step);
      for (std::int64_t i = r * cells_.job.n * D; i < (r + 1) * cells_.job.n * D; ++i) cells_.velocities[i] *= factor;
    }
  }
  double energy(std::int64_t r) const {
    const PairLaw<D, P, Uniform> law(cells_.job, cells_.job.coefficients);
    WideEnergy sum{};
    for (std::int64_t slot = r * cells_.job.n; slot < (r + 1) * cells_.job.n; ++slot) {
      const WideEnergy row = WideEnergy::of_row(cells_.energy(law, slot), cells_.job.energy_grid);
      sum.low += row.low;
      sum.high += row.high;
      sum.rough += row.rough;
    }
    CHECK((sum.rough == 0 || cells_.failure[r] != 0));
    return sum.energy(cells_.job.energy_grid);
  }
  void record(std::int64_t index) {
    for (std::int64_t r = 0; r < cells_.replicas; ++r) {
      output_.energy[index * cells_.replicas + r] = energy(r);
      output_.kinetic[index * cells_.replicas + r] = cells_.job.kinetic_grid.energy(static_cast<std::int64_t>(kinetic(r)));
    }
    for (std::int64_t i = 0; i < cells_.count * D; ++i) {
      output_.positions[index * cells_.count * D + i] = cells_.positions[i] + cells_.images[i] * cells_.job.box[i % D];
      output_.velocities[index * cells_.count * D + i] = cells_.velocities[i];
    }
    for (std::int64_t p = 0; p < cells_.count; ++p) output_.species[index * cells_.count + p] = cells_.species[p];
  }
};

std::int64_t emulate(Liquid& liquid, const DynamicsPlan& plan) {
  const SystemView system = liquid.view();
  std::int64_t candidates = 0;
  with_system(system, uniform_coefficients(system),
              [&]<int D, class P, bool Uniform>(P) { candidates = Emulation<D, P, Uniform>(liquid, system, plan).run(); });
  return candidates;
}

void compare(int dimension, std::int64_t n, PotentialKind kind, bool uniform, Thermostat thermostat) {
  if (!built_for(kind, dimension)) return;
  CAPTURE(dimension);
  CAPTURE(n);
  CAPTURE(static_cast<int>(kind));
  CAPTURE(static_cast<int>(thermostat));
  Liquid expected(dimension, n, 2, kind, uniform), liquid = expected;
  const DynamicsPlan plan = plan_of(thermostat);
  cpu::molecular_dynamics(expected.view(), expected.batch(), plan, {}, expected.output(), 1);
  REQUIRE(expected.failure[0] == 0);
  const std::int64_t candidates = emulate(liquid, plan);
  liquid.check_same(expected);
  CHECK(candidates % 2 == 0);
  CHECK(candidates <= plan.steps * liquid.replicas * n * (n - 1));
}

}  // namespace

TEST_CASE("molecular dynamics with cells has the bits of the CPU") {
  for (const Thermostat thermostat : {Thermostat::none, Thermostat::langevin, Thermostat::rescaling})
    compare(2, 300, PotentialKind::lennard_jones, true, thermostat);
  compare(3, 400, PotentialKind::lennard_jones, false, Thermostat::langevin);
  compare(3, 1000, PotentialKind::harmonic, true, Thermostat::rescaling);
  compare(2, 290, PotentialKind::inverse_power, true, Thermostat::none);
  compare(2, 43, PotentialKind::lennard_jones, true, Thermostat::langevin);  // a box without cells
}

TEST_CASE("a large replica blows up at the step at which it does on the CPU, and has a cell for every particle") {
  Liquid expected(2, 300, 2, PotentialKind::lennard_jones, true);
  for (int k = 0; k < 2; ++k) expected.positions[2 * 300 + 2 * 9 + k] = expected.positions[2 * 300 + 2 * 8 + k] + 0.3;
  Liquid liquid = expected;
  DynamicsPlan plan = plan_of(Thermostat::langevin, 20, 0.02);
  plan.records = 0;
  cpu::molecular_dynamics(expected.view(), expected.batch(), plan, {}, expected.output(), 1);
  REQUIRE(expected.failure[1] > 0);
  emulate(liquid, plan);
  CHECK(liquid.failure[1] == expected.failure[1]);
  CHECK(liquid.failure[0] == 0);
}
