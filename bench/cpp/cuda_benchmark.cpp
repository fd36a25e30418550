// The CUDA kernels without Python: energies, energies with forces and virials, time steps of molecular dynamics and Monte Carlo sweeps of
// the ka2d liquid at T = 0.5, in double and mixed precision, timed by CUDA events. Rates: moves/s, time steps/s of one replica,
// pairs/s (distances that the kernel had to evaluate), configurations/s.
#include <benchmark/benchmark.h>
#include <cuda_runtime.h>

#include <cstdio>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "liquid.hpp"

namespace {

using namespace glassnf;
using bench::one, bench::pair_count;

void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

// An array in device memory.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t size) : size_(size) { check(cudaMalloc(&data_, size * sizeof(T))); }
  explicit DeviceArray(const std::vector<T>& from) : DeviceArray(from.size()) {
    check(cudaMemcpy(data_, from.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  void clear() { check(cudaMemset(data_, 0, size_ * sizeof(T))); }
  std::vector<T> host() const {
    std::vector<T> copy(size_);
    check(cudaMemcpy(copy.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
    return copy;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

// Two events on the stream that all kernels go to.
class Timer {
 public:
  Timer() {
    check(cudaStreamCreate(&stream_));
    check(cudaEventCreate(&before_));
    check(cudaEventCreate(&after_));
  }
  template <class Work>
  double seconds(Work&& work) {
    check(cudaEventRecord(before_, stream_));
    work();
    check(cudaEventRecord(after_, stream_));
    check(cudaEventSynchronize(after_));
    float milliseconds = 0.0F;
    check(cudaEventElapsedTime(&milliseconds, before_, after_));
    return 1e-3 * static_cast<double>(milliseconds);
  }
  cudaStream_t stream() const { return stream_; }

 private:
  cudaStream_t stream_{};
  cudaEvent_t before_{}, after_{};
};

Timer& timer() {
  static Timer shared;
  return shared;
}

cuda::Target target(bool mixed) { return {0, timer().stream(), mixed}; }

// Replicas of an equilibrated liquid on the device.
class DeviceLiquid : public bench::Liquid {
 public:
  DeviceLiquid(std::int64_t n, std::int64_t replicas, std::int64_t equilibration)
      : bench::Liquid(n, replicas),
        positions_(positions),
        beta_(beta),
        energy_(energy),
        move_sizes_(move_sizes),
        forces_(positions.size()),
        virial_(4 * energy.size()),
        velocities_(positions.size()),
        images_(images),
        species_(species),
        ids_(ids),
        counters_(5 * pair_count * ids.size()) {
    clear_counters();
    velocities_.clear();
    sweeps(equilibration, one / 5);
    check(cudaStreamSynchronize(timer().stream()));
  }

  // Large replicas move on a checkerboard.
  void sweeps(std::int64_t count, std::uint64_t swap_threshold) {
    MonteCarloBatch batch{};
    batch.replicas = replicas();
    batch.positions = positions_.data();
    batch.images = images_.data();
    batch.species = species_.data();
    batch.beta = beta_.data();
    batch.energy = energy_.data();
    batch.ids = ids_.data();
    batch.move_size = move_sizes_.data();
    MonteCarloPlan sweeps = plan(count, swap_threshold);
    sweeps.checkerboard = n() > 5000;
    MonteCarloOutput output{};
    std::int64_t* const counters = counters_.data();
    const std::int64_t stride = replicas() * pair_count;
    output.displacement_attempts = counters;
    output.displacement_accepts = counters + stride;
    output.swap_attempts = counters + 2 * stride;
    output.swap_accepts = counters + 3 * stride;
    output.pair_evaluations = counters + 4 * stride;
    cuda::monte_carlo(system, batch, sweeps, output, target(false));
    step += static_cast<std::uint64_t>(count);
  }

  // Time steps of Langevin dynamics at rest in the beginning, or at constant energy.
  void steps(std::int64_t count, bool langevin) {
    const DynamicsBatch batch{replicas(),      positions_.data(), velocities_.data(), images_.data(),
                              species_.data(), beta_.data(),      energy_.data(),     ids_.data()};
    DynamicsPlan plan{};
    plan.seed = 7;
    plan.step = step;
    plan.steps = count;
    plan.timestep = 0.002;
    plan.thermostat = langevin ? 1 : 0;
    plan.friction = 1.0;
    std::int64_t* const counters = counters_.data();
    DynamicsOutput output{};
    output.failure = counters;  // stays 0
    output.pair_evaluations = counters + 4 * replicas() * pair_count;
    cuda::molecular_dynamics(system, batch, plan, {}, output, target(false));
    step += static_cast<std::uint64_t>(count);
  }

  void energies(bool with_forces, bool with_virial, bool mixed) {
    EnergyBatch batch{};
    batch.replicas = replicas();
    batch.positions = positions_.data();
    batch.species = species_.data();
    batch.energy = energy_.data();
    batch.forces = with_forces ? forces_.data() : nullptr;
    batch.virial = with_virial ? virial_.data() : nullptr;
    cuda::energy(system, batch, target(mixed));
  }

  void clear_counters() { counters_.clear(); }
  // Since they were cleared.
  double pairs_evaluated() const {
    const std::vector<std::int64_t> counters = counters_.host();
    double pairs = 0.0;
    for (std::int64_t r = 0; r < replicas(); ++r) pairs += static_cast<double>(counters[4 * replicas() * pair_count + r]);
    return pairs;
  }

 private:
  DeviceArray<double> positions_, beta_, energy_, move_sizes_, forces_, virial_, velocities_;
  DeviceArray<std::int32_t> images_, species_;
  DeviceArray<std::int64_t> ids_, counters_;
};

// One liquid per size, equilibrated when first used.
DeviceLiquid& liquid(std::int64_t n) {
  static std::map<std::int64_t, std::unique_ptr<DeviceLiquid>> known;
  auto& entry = known[n];
  if (!entry) entry = std::make_unique<DeviceLiquid>(n, n < 1000 ? 65536 : n < 5000 ? 1024 : 1, n < 1000 ? 400 : 100);
  return *entry;
}

void rate(benchmark::State& state, const char* name, double per_iteration) {
  state.counters[name] = benchmark::Counter(per_iteration, benchmark::Counter::kIsIterationInvariantRate);
}

void energy(benchmark::State& state, std::int64_t n, bool with_forces, bool with_virial, bool mixed) {
  DeviceLiquid& l = liquid(n);
  l.energies(with_forces, with_virial, mixed);
  for (auto _ : state) state.SetIterationTime(timer().seconds([&] { l.energies(with_forces, with_virial, mixed); }));
  rate(state, "configurations/s", static_cast<double>(l.replicas()));
  rate(state, "pairs/s", static_cast<double>(l.replicas()) * l.pairs_of_energy());
}

void monte_carlo(benchmark::State& state, std::int64_t n, std::uint64_t swap_threshold) {
  DeviceLiquid& l = liquid(n);
  const std::int64_t count = n < 1000 ? 20 : 10;
  l.sweeps(1, swap_threshold);
  l.clear_counters();
  for (auto _ : state) state.SetIterationTime(timer().seconds([&] { l.sweeps(count, swap_threshold); }));
  rate(state, "moves/s", static_cast<double>(l.replicas() * count * n));
  state.counters["pairs/s"] = benchmark::Counter(l.pairs_evaluated(), benchmark::Counter::kIsRate);
}

void dynamics(benchmark::State& state, std::int64_t n, bool langevin) {
  DeviceLiquid& l = liquid(n);
  const std::int64_t count = n < 1000 ? 100 : 20;
  l.clear_counters();
  l.steps(20, langevin);
  l.clear_counters();
  for (auto _ : state) state.SetIterationTime(timer().seconds([&] { l.steps(count, langevin); }));
  rate(state, "steps/s", static_cast<double>(l.replicas() * count));
  state.counters["pairs/s"] = benchmark::Counter(l.pairs_evaluated(), benchmark::Counter::kIsRate);
}

// An error ends one benchmark, not all.
template <class Function>
auto guarded(Function function) {
  return [function](benchmark::State& state) {
    try {
      function(state);
    } catch (const std::exception& error) {
      state.SkipWithError(error.what());
    }
  };
}

void register_all() {
  for (const std::int64_t n : {43, 1290, 1000000})
    for (const bool mixed : {false, true}) {
      const std::string suffix = std::string(mixed ? "/mixed" : "/float64") + "/N=" + std::to_string(n);
      const auto add = [&](const char* name, auto function) {
        benchmark::RegisterBenchmark((name + suffix).c_str(), guarded(function))->UseManualTime()->Unit(benchmark::kMillisecond);
      };
      add("energy", [=](benchmark::State& state) { energy(state, n, false, false, mixed); });
      add("forces", [=](benchmark::State& state) { energy(state, n, true, false, mixed); });
      add("forces_and_virial", [=](benchmark::State& state) { energy(state, n, true, true, mixed); });
      if (mixed) continue;
      add("time_steps", [=](benchmark::State& state) { dynamics(state, n, false); });
      add("time_steps_langevin", [=](benchmark::State& state) { dynamics(state, n, true); });
      add("displacements", [=](benchmark::State& state) { monte_carlo(state, n, 0); });
      add("swaps_20_percent", [=](benchmark::State& state) { monte_carlo(state, n, one / 5); });
    }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  if (cuda::device_count() == 0) {
    std::fprintf(stderr, "no CUDA benchmarks: %s\n", cuda::why_not());
    return 2;
  }
  register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
