// The structs of the backend as a group of lanes takes them; for the GPU, and for the tests that emulate it.
#pragma once

#include "backend.hpp"
#include "glassnf/group_sampler.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Arrays as in the system and the plan: a GPU puts its own copies in their place.
template <int D>
GLASSNF_HOST GroupJob<D> group_job(const SystemView& system, const MonteCarloPlan& plan) {
  GroupJob<D> job{};
  for (int k = 0; k < D; ++k) job.box[k] = system.box[k];
  job.cutoff = system.cutoff;
  job.energy_scale = system.energy_scale;
  job.n = static_cast<int>(system.n);
  job.species_count = system.species_count;
  job.exponent = system.exponent;
  job.seed = plan.seed;
  job.step = plan.step;
  job.swap_threshold = plan.swap_threshold;
  job.sweeps = plan.sweeps;
  job.records = plan.records;
  job.coefficients = system.coefficients;
  job.pair_thresholds = plan.pair_thresholds;
  job.record_at = plan.record_at;
  return job;
}

template <int D>
GLASSNF_HD GroupReplica group_replica(const GroupJob<D>& job, const MonteCarloBatch& batch, const MonteCarloOutput& output,
                                      std::int64_t r) {
  const std::int64_t n = job.n, pairs = job.species_count * (job.species_count - 1) / 2;
  return {batch.positions + r * n * D,
          batch.images + r * n * D,
          batch.species + r * n,
          batch.energy + r,
          batch.beta[r],
          batch.move_size[r],
          static_cast<std::uint64_t>(batch.ids[r]),
          batch.replicas,
          output.energy + r,
          output.positions ? output.positions + r * n * D : nullptr,
          output.species ? output.species + r * n : nullptr,
          output.displacement_attempts + r,
          output.displacement_accepts + r,
          output.swap_attempts + r * pairs,
          output.swap_accepts + r * pairs,
          output.pair_evaluations + r};
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
