// Monte Carlo of a batch on the CPU: replicas are independent, threads share them out.
#include "threads.hpp"

namespace glassnf::cpu {

void monte_carlo(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
                 int threads) {
  if (plan.checkerboard) {
    checkerboard(system, batch, plan, output, threads);
    return;
  }
  const KernelTable& table = kernels();
  parallel_for(batch.replicas, threads, [&](std::int64_t replica, Workspace& workspace) {
    table.monte_carlo(system, batch, plan, output, replica, workspace);
  });
}

}  // namespace glassnf::cpu
