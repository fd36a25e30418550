// The CPU kernels without Python: energies, energies with forces, and Monte Carlo sweeps of the ka2d liquid at T = 0.5, one thread,
// with every instruction set of this machine. Rates: moves/s, pairs/s (distances that the kernel had to evaluate), configurations/s.
#include <benchmark/benchmark.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "liquid.hpp"

namespace {

using namespace glassnf;
using bench::one, bench::pair_count;

// Replicas of an equilibrated liquid.
class Liquid : public bench::Liquid {
 public:
  Liquid(std::int64_t n, std::int64_t replicas, std::int64_t equilibration)
      : bench::Liquid(n, replicas), forces_(positions.size()), counters_(5, std::vector<std::int64_t>(replicas * pair_count)) {
    sweeps(equilibration, one / 5);
  }

  // Advance by sweeps; returns the number of pairs evaluated.
  std::int64_t sweeps(std::int64_t count, std::uint64_t swap_threshold) {
    MonteCarloBatch batch{};
    batch.replicas = replicas();
    batch.positions = positions.data();
    batch.images = images.data();
    batch.species = species.data();
    batch.beta = beta.data();
    batch.energy = energy.data();
    batch.ids = ids.data();
    batch.move_size = move_sizes.data();
    for (auto& counter : counters_) counter.assign(counter.size(), 0);
    MonteCarloOutput output{};
    output.displacement_attempts = counters_[0].data();
    output.displacement_accepts = counters_[1].data();
    output.swap_attempts = counters_[2].data();
    output.swap_accepts = counters_[3].data();
    output.pair_evaluations = counters_[4].data();
    cpu::monte_carlo(system, batch, plan(count, swap_threshold), output, 1);
    step += static_cast<std::uint64_t>(count);
    std::int64_t pairs = 0;
    for (std::int64_t r = 0; r < replicas(); ++r) pairs += counters_[4][r];
    return pairs;
  }

  void energies(bool with_forces) {
    EnergyBatch batch{};
    batch.replicas = replicas();
    batch.positions = positions.data();
    batch.species = species.data();
    batch.energy = energy.data();
    batch.forces = with_forces ? forces_.data() : nullptr;
    cpu::energy(system, batch, 1);
    benchmark::DoNotOptimize(energy.data());
    benchmark::DoNotOptimize(forces_.data());
  }

 private:
  std::vector<double> forces_;
  std::vector<std::vector<std::int64_t>> counters_;
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
