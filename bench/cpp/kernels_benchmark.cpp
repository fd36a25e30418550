// The CPU kernels without Python: energies, energies with forces, and Monte Carlo sweeps of the ka2d liquid at T = 0.5, one thread,
// with every instruction set of this machine. Rates: moves/s, pairs/s (distances that the kernel had to evaluate), configurations/s.
#include <benchmark/benchmark.h>

#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend.hpp"

namespace {

using namespace glassnf;

constexpr double temperature = 0.5, move_size = 0.12, reduced_cutoff = 2.5;
constexpr double density = 1290.0 / (32.8962 * 32.8962);
constexpr int species_count = 3, pair_count = 3;
constexpr double sigma[3][3] = {{1.0, 0.8, 0.9}, {0.8, 0.88, 0.8}, {0.9, 0.8, 0.94}};
constexpr double epsilon[3][3] = {{1.0, 1.5, 0.75}, {1.5, 0.5, 1.5}, {0.75, 1.5, 0.75}};
constexpr std::uint64_t one = std::uint64_t(1) << 32;  // probability 1 on the scale of MonteCarloPlan

// Replicas of an equilibrated liquid.
class Liquid {
 public:
  Liquid(std::int64_t n, std::int64_t replicas, std::int64_t equilibration)
      : positions_(replicas * n * 2), forces_(replicas * n * 2), beta_(replicas, 1.0 / temperature), energy_(replicas),
        move_size_(replicas, move_size), images_(replicas * n * 2), species_(replicas * n), ids_(replicas),
        counters_(5, std::vector<std::int64_t>(replicas * pair_count)) {
    const double xc = reduced_cutoff;
    for (int a = 0; a < species_count; ++a)
      for (int b = 0; b < species_count; ++b)
        for (const double c : {1.0 / (sigma[a][b] * sigma[a][b]), 4.0 * epsilon[a][b], xc * xc,
                               6.0 * std::pow(xc, -10) - 21.0 * std::pow(xc, -16), 48.0 * std::pow(xc, -14) - 15.0 * std::pow(xc, -8),
                               10.0 * std::pow(xc, -6) - 28.0 * std::pow(xc, -12)})
          coefficients_.push_back(c);
    const double side = std::sqrt(static_cast<double>(n) / density);
    system_.dimension = 2;
    system_.n = n;
    system_.species_count = species_count;
    system_.box[0] = system_.box[1] = side;
    system_.cutoff = xc;
    system_.kind = 0;  // Lennard-Jones
    system_.coefficients = coefficients_.data();
    system_.energy_scale = 2.0;
    batch_.replicas = replicas;
    batch_.positions = positions_.data();
    batch_.images = images_.data();
    batch_.species = species_.data();
    batch_.beta = beta_.data();
    batch_.energy = energy_.data();
    batch_.ids = ids_.data();
    batch_.move_size = move_size_.data();
    start();
    sweeps(equilibration, one / 5);
  }

  // Advance by sweeps; returns the number of pairs evaluated.
  std::int64_t sweeps(std::int64_t count, std::uint64_t swap_threshold) {
    const std::uint64_t thresholds[pair_count] = {one / 3, one / 3 * 2, one};
    MonteCarloPlan plan{};
    plan.seed = 7;
    plan.step = step_;
    plan.sweeps = count;
    plan.swap_threshold = swap_threshold;
    plan.pair_thresholds = thresholds;
    for (auto& counter : counters_) counter.assign(counter.size(), 0);
    MonteCarloOutput output{};
    output.displacement_attempts = counters_[0].data();
    output.displacement_accepts = counters_[1].data();
    output.swap_attempts = counters_[2].data();
    output.swap_accepts = counters_[3].data();
    output.pair_evaluations = counters_[4].data();
    cpu::monte_carlo(system_, batch_, plan, output, 1);
    step_ += count;
    std::int64_t pairs = 0;
    for (std::int64_t r = 0; r < batch_.replicas; ++r) pairs += counters_[4][r];
    return pairs;
  }

  void energies(bool with_forces) {
    EnergyBatch batch{};
    batch.replicas = batch_.replicas;
    batch.positions = batch_.positions;
    batch.species = batch_.species;
    batch.energy = batch_.energy;
    batch.forces = with_forces ? forces_.data() : nullptr;
    cpu::energy(system_, batch, 1);
    benchmark::DoNotOptimize(energy_.data());
    benchmark::DoNotOptimize(forces_.data());
  }

  std::int64_t n() const { return system_.n; }
  std::int64_t replicas() const { return batch_.replicas; }
  // Pairs within the cutoff region that an energy needs: all pairs, or those of a cell with its neighbours, once.
  double pairs_of_energy() const {
    const double n = static_cast<double>(system_.n), cells = std::floor(system_.box[0] / system_.cutoff);
    return cells > 3.0 ? 0.5 * n * (9.0 * n / (cells * cells) - 1.0) : 0.5 * n * (n - 1.0);
  }

 private:
  // A square lattice with species in the proportion 20 : 11 : 12, shuffled.
  void start() {
    std::mt19937_64 random(1);
    const std::int64_t n = system_.n, columns = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(n))));
    for (std::int64_t r = 0; r < batch_.replicas; ++r) {
      ids_[r] = r;
      std::int32_t* species = species_.data() + r * n;
      for (std::int64_t i = 0; i < n; ++i) {
        species[i] = 43 * i < 20 * n ? 0 : 43 * i < 31 * n ? 1 : 2;
        for (int k = 0; k < 2; ++k) {
          const double place = static_cast<double>(k == 0 ? i % columns : i / columns) + 0.5;
          positions_[(r * n + i) * 2 + k] = place * system_.box[k] / static_cast<double>(columns);
        }
      }
      for (std::int64_t i = n - 1; i > 0; --i) std::swap(species[i], species[random() % static_cast<std::uint64_t>(i + 1)]);
    }
  }

  std::vector<double> coefficients_, positions_, forces_, beta_, energy_, move_size_;
  std::vector<std::int32_t> images_, species_;
  std::vector<std::int64_t> ids_;
  std::vector<std::vector<std::int64_t>> counters_;
  SystemView system_{};
  MonteCarloBatch batch_{};
  std::uint64_t step_ = 0;
};

// One liquid per size, equilibrated when first used.
Liquid& liquid(std::int64_t n) {
  static std::map<std::int64_t, std::unique_ptr<Liquid>> known;
  auto& entry = known[n];
  if (!entry) entry = std::make_unique<Liquid>(n, n < 1000 ? 64 : 1, n < 1000 ? 2000 : n < 10000 ? 1000 : 50);
  return *entry;
}

void rate(benchmark::State& state, const char* name, double per_iteration) {
  state.counters[name] = benchmark::Counter(per_iteration, benchmark::Counter::kIsIterationInvariantRate);
}

void energy(benchmark::State& state, const char* instruction_set, std::int64_t n, bool with_forces) {
  Liquid& l = liquid(n);
  cpu::use_instruction_set(instruction_set);
  for (auto _ : state) l.energies(with_forces);
  rate(state, "configurations/s", static_cast<double>(l.replicas()));
  rate(state, "pairs/s", static_cast<double>(l.replicas()) * l.pairs_of_energy());
}

void monte_carlo(benchmark::State& state, const char* instruction_set, std::int64_t n, std::uint64_t swap_threshold) {
  Liquid& l = liquid(n);
  cpu::use_instruction_set(instruction_set);
  const std::int64_t count = n < 1000 ? 20 : 20000 / n + 10;
  double pairs = 0.0;
  for (auto _ : state) pairs += static_cast<double>(l.sweeps(count, swap_threshold));
  rate(state, "moves/s", static_cast<double>(l.replicas() * count * n));
  state.counters["pairs/s"] = benchmark::Counter(pairs, benchmark::Counter::kIsRate);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const char* set : {"avx512", "avx2", "baseline"}) {
    if (!cpu::has_instruction_set(set)) continue;
    for (const std::int64_t n : {43, 1290, 100000}) {
      const std::string suffix = std::string("/") + set + "/N=" + std::to_string(n);
      const auto add = [&](const char* name, auto function) {
        benchmark::RegisterBenchmark((name + suffix).c_str(), function)->Unit(benchmark::kMillisecond);
      };
      add("energy", [=](benchmark::State& state) { energy(state, set, n, false); });
      add("forces", [=](benchmark::State& state) { energy(state, set, n, true); });
      add("displacements", [=](benchmark::State& state) { monte_carlo(state, set, n, 0); });
      add("swaps_20_percent", [=](benchmark::State& state) { monte_carlo(state, set, n, one / 5); });
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
