// The stretches between the swaps of hybrid molecular dynamics, which both backends go through.
#pragma once

#include <algorithm>
#include <vector>

#include "backend.hpp"

namespace glassnf {

// Goes through a plan in stretches that end at multiples of `every` steps of the ensemble: run(stretch, done) advances, where `done` steps
// came before, and says whether to go on; swap(step) exchanges species, with the random numbers of the last time step, which no Monte Carlo
// that goes on from here will use again. The plan's records are shared out.
template <class Run, class Swap>
void for_stretches(const DynamicsPlan& plan, std::int64_t every, Run&& run, Swap&& swap) {
  const auto interval = static_cast<std::uint64_t>(every);
  std::int64_t done = 0, recorded = 0;
  std::vector<std::int64_t> record_at;
  while (done < plan.steps) {
    DynamicsPlan stretch = plan;
    stretch.step = plan.step + static_cast<std::uint64_t>(done);
    stretch.steps = std::min(plan.steps - done, static_cast<std::int64_t>(interval - stretch.step % interval));
    const std::int64_t end = done + stretch.steps;
    record_at.clear();
    for (std::int64_t r = recorded; r < plan.records && plan.record_at[r] <= end; ++r)
      record_at.push_back(plan.record_at[r] - done);
    stretch.records = static_cast<std::int64_t>(record_at.size());
    stretch.record_at = record_at.data();
    stretch.first_record = plan.first_record + recorded;
    if (!run(stretch, done)) return;
    recorded += stretch.records;
    done = end;
    const std::uint64_t now = plan.step + static_cast<std::uint64_t>(done);
    if (now % interval == 0) swap(now - 1);
  }
}

// The Monte Carlo sweep of a swap: its trials are all swaps.
inline MonteCarloPlan swap_sweep_plan(const DynamicsPlan& plan, const SwapPlan& swaps, std::uint64_t step) {
  return {plan.seed, step, 1, std::uint64_t(1) << 32, swaps.pair_thresholds, 0, nullptr, 0, false};
}

}  // namespace glassnf
