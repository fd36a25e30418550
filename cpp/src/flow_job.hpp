// The structs of the backend as flows on a GPU take them; for the GPU, and for the tests that emulate it.
#pragma once

#include "flow_batches.hpp"
#include "glassnf/group_flow.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Tables as in the plan: a GPU puts its own copies in their place.
template <int D>
GLASSNF_HOST FlowJob<D> flow_job(const SystemView& system, const FlowTables& tables, std::int64_t steps, double step_size) {
  FlowJob<D> job{};
  for (int k = 0; k < D; ++k) {
    job.box[k] = system.box[k];
    job.inverse_box[k] = 1.0 / system.box[k];
  }
  const FlowRange &pair = tables.pair_range, &message = tables.message_range;
  job.grid = RadialGrid<double>::make(pair.inner, pair.outer, pair.intervals);
  if (tables.layers > 0) job.message_grid = RadialGrid<double>::make(message.inner, message.outer, message.intervals);
  job.message_reach2 = message.outer * message.outer;
  job.n = static_cast<int>(system.n);
  job.species_count = system.species_count;
  job.pair_row = pair.row_size();
  job.message_row = message.row_size();
  job.pair = tables.pair;
  job.messages = tables.messages;
  job.steps = steps;
  job.step_size = step_size;
  return job;
}

// Of both kinds of calls; arrays that a call has not are null.
struct FlowArrays {
  std::int64_t replicas;
  double* positions;
  std::int32_t* images;
  const std::int32_t* species;
  double* log_jacobian;
  const double* places;
  double *velocity, *divergence;

  static GLASSNF_HOST FlowArrays make(const FlowBatch& b) {
    return {b.replicas, b.positions, b.images, b.species, b.log_jacobian, nullptr, nullptr, nullptr};
  }
  static GLASSNF_HOST FlowArrays make(const FlowFieldBatch& b) {
    return {b.replicas, nullptr, nullptr, b.species, nullptr, b.positions, b.velocity, b.divergence};
  }
  GLASSNF_HD FlowReplica replica(std::int64_t r, std::int64_t n, int dimension, std::uint16_t* neighbours) const {
    const std::int64_t size = n * dimension;
    if (velocity)
      return {nullptr, nullptr, species + r * n, nullptr, places + r * size, velocity + r * size, divergence + r, neighbours};
    return {positions + r * size, images + r * size, species + r * n, log_jacobian + r, nullptr, nullptr, nullptr, neighbours};
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
