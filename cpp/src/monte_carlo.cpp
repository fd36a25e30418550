// Monte Carlo of a batch on the CPU: replicas are independent, threads share them out.
#include "threads.hpp"

namespace glassnf::cpu {

void record_configuration(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloOutput& output,
                          std::int64_t replica, std::int64_t index) {
  const std::int64_t n = system.n, d = system.dimension, target = index * batch.replicas + replica;
  if (output.positions)
    for (std::int64_t p = 0; p < n; ++p)
      for (int k = 0; k < d; ++k) {
        const std::int64_t from = (replica * n + p) * d + k;
        output.positions[(target * n + p) * d + k] = batch.positions[from] + batch.images[from] * system.box[k];
      }
  if (output.species)
    for (std::int64_t p = 0; p < n; ++p) output.species[target * n + p] = batch.species[replica * n + p];
}

void monte_carlo_of_replica(const KernelTable& table, const SystemView& system, const MonteCarloBatch& batch,
                            const MonteCarloPlan& plan, const MonteCarloOutput& output, std::int64_t replica,
                            Workspace& workspace) {
  MonteCarloEngine& engine = *table.open_monte_carlo(system, batch, plan, output, replica, workspace);
  std::int64_t done = 0;
  const auto advance_to = [&](std::int64_t sweeps) {
    engine.advance(plan.step + static_cast<std::uint64_t>(done), sweeps - done, workspace);
    done = sweeps;
  };
  for (std::int64_t index = 0; index < plan.records; ++index) {
    advance_to(plan.record_at[index]);
    output.energy[index * batch.replicas + replica] = engine.energy();
    if (output.positions || output.species) engine.write_back();
    record_configuration(system, batch, output, replica, index);
  }
  advance_to(plan.sweeps);
  engine.write_back();
  batch.energy[replica] = engine.energy();
  engine.count(output, replica);
}

void monte_carlo(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
                 int threads) {
  if (plan.checkerboard) {
    checkerboard(system, batch, plan, output, threads);
    return;
  }
  const KernelTable& table = kernels();
  parallel_for(batch.replicas, threads, [&](std::int64_t replica, Workspace& workspace) {
    monte_carlo_of_replica(table, system, batch, plan, output, replica, workspace);
  });
}

}  // namespace glassnf::cpu
