// Molecular dynamics of a batch on the CPU: blocks of replicas are independent, threads share them out.
#include <algorithm>

#include "stretches.hpp"
#include "threads.hpp"

namespace glassnf::cpu {

namespace {

constexpr int lanes = 8;

// Whether neighbour lists cost less than all pairs of eight replicas side by side, whose idle lanes are paid for. In cycles of an AVX2
// processor; results do not depend on it.
bool lists_pay(const SystemView& system, std::int64_t replicas) {
  const double n = static_cast<double>(system.n), reach = 1.12 * system.cutoff;
  double volume = 1.0;
  for (int k = 0; k < system.dimension; ++k) volume *= system.box[k];
  const double ball = system.dimension == 2 ? 3.14159 * reach * reach : 4.18879 * reach * reach * reach;
  const double neighbours = std::min(0.5 * ball * n / volume, 0.5 * n);
  const double by_lists = n * (80.0 + 8.0 * neighbours);
  const double by_pairs = 0.5 * n * n * 35.0 / static_cast<double>(std::min<std::int64_t>(replicas, lanes));
  return by_lists < by_pairs;
}

class Blocks {
 public:
  bool lists;
  std::int64_t replicas, size, count;

  Blocks(const SystemView& system, std::int64_t number, int search, int threads) : replicas(number) {
    // With few replicas, rather all threads at work than all lanes.
    const std::int64_t in_lanes = std::clamp<std::int64_t>(number / threads, 1, lanes);
    lists = search == 0 ? lists_pay(system, in_lanes) : search == 2;
    size = lists ? 1 : in_lanes;
    count = (number + size - 1) / size;
  }
  std::int64_t first(std::int64_t block) const { return block * size; }
  std::int64_t in(std::int64_t block) const { return std::min(size, replicas - block * size); }
};

// A sweep of swap trials of one replica.
void swap_sweep(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const SwapPlan& swaps,
                const DynamicsOutput& output, std::uint64_t step, std::int64_t replica, Workspace& workspace) {
  std::int64_t displacements = 0;
  const int pairs = system.species_count * (system.species_count - 1) / 2;
  const std::int64_t size = system.n * system.dimension;
  const MonteCarloBatch one{1,
                            batch.positions + replica * size,
                            batch.images + replica * size,
                            swaps.species + replica * system.n,
                            batch.beta + replica,
                            batch.energy + replica,
                            batch.ids + replica,
                            swaps.move_size + replica};
  const MonteCarloPlan trials = swap_sweep_plan(plan, swaps, step);
  const MonteCarloOutput counts{nullptr,
                                nullptr,
                                nullptr,
                                &displacements,
                                &displacements,
                                swaps.attempts + replica * pairs,
                                swaps.accepts + replica * pairs,
                                output.pair_evaluations + replica};
  monte_carlo_of_replica(kernels(), system, one, trials, counts, 0, workspace);
}

// A block of replicas through all steps of the plan: stretches of dynamics, and between them swaps. Forces are made anew at the start of
// each stretch, so that none is older than the last swap.
void hybrid(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const SwapPlan& swaps,
            const DynamicsOutput& output, std::int64_t first, std::int64_t count, bool lists, Workspace& workspace) {
  for_stretches(
      plan, swaps.every,
      [&](const DynamicsPlan& stretch, std::int64_t done) {
        kernels().dynamics(system, batch, stretch, output, first, count, lists, workspace);
        bool fine = true;
        for (std::int64_t r = first; r < first + count; ++r)
          if (output.failure[r]) {
            output.failure[r] += done;
            fine = false;
          }
        return fine;
      },
      [&](std::uint64_t now) {
        for (std::int64_t r = first; r < first + count; ++r) swap_sweep(system, batch, plan, swaps, output, now, r, workspace);
      });
}

}  // namespace

void molecular_dynamics(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const SwapPlan& swaps,
                        const DynamicsOutput& output, int threads) {
  const Blocks blocks(system, batch.replicas, plan.search, threads);
  parallel_for(blocks.count, threads, [&](std::int64_t b, Workspace& workspace) {
    if (swaps.every)
      hybrid(system, batch, plan, swaps, output, blocks.first(b), blocks.in(b), blocks.lists, workspace);
    else
      kernels().dynamics(system, batch, plan, output, blocks.first(b), blocks.in(b), blocks.lists, workspace);
  });
}

void minimise(const SystemView& system, const DynamicsBatch& batch, const MinimisePlan& plan, const MinimiseOutput& output,
              int threads) {
  const Blocks blocks(system, batch.replicas, plan.search, threads);
  parallel_for(blocks.count, threads, [&](std::int64_t b, Workspace& workspace) {
    kernels().minimise(system, batch, plan, output, blocks.first(b), blocks.in(b), blocks.lists, workspace);
  });
}

}  // namespace glassnf::cpu
