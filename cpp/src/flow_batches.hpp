// The plain structs of the flows (glassnf/flow_field.hpp), as backend.hpp has those of everything else.
#pragma once

#include "backend.hpp"

namespace glassnf {

// Fields of two layers or more have a dense Jacobian: N d is at most this.
inline constexpr std::int64_t most_dense_coordinates = 2048;

// Radial functions (glassnf/radial_table.hpp) on uniform knots.
struct FlowRange {
  double inner, outer;  // of distances; outer is at most half of every side of the box
  std::int64_t intervals;

  std::int64_t row_size() const { return 4 * (intervals + 2); }  // doubles of one function
};

// The functions of a field, one set for each stage of the integrator. All are symmetric in the pair of species.
struct FlowTables {
  int layers;  // of messages, L
  FlowRange pair_range, message_range;
  const double* pair;      // (stages, L + 1, S, S, intervals + 2, 4)
  const double* messages;  // (stages, L, 2, S, S, intervals + 2, 4): E and C of each layer; null without messages

  double reach() const { return layers > 0 && message_range.outer > pair_range.outer ? message_range.outer : pair_range.outer; }
};

struct FlowBatch {
  std::int64_t replicas;
  double* positions;            // (R, N, d)
  std::int32_t* images;         // (R, N, d), crossings added to
  const std::int32_t* species;  // (R, N)
  double* log_jacobian;         // (R,)
};

struct FlowPlan {
  FlowTables tables;  // 2 steps + 1 stages: beginning, middle of the first step, its end, ...
  std::int64_t steps;
  double step_size;  // in beta, of either sign
};

// The field at given places, with the first set of tables.
struct FlowFieldBatch {
  std::int64_t replicas;
  const double* positions;      // (R, N, d)
  const std::int32_t* species;  // (R, N)
  double* velocity;             // (R, N, d)
  double* divergence;           // (R,)
};

namespace cuda {

// Like those of the CPU, with arrays of the batch on the device and tables in host memory, for up to two layers; they return before the work
// is done. Results differ from those of the CPU in the order of sums.
void flow_trajectory(const SystemView& system, const FlowBatch& batch, const FlowPlan& plan, const Target& target);
void flow_field(const SystemView& system, const FlowFieldBatch& batch, const FlowTables& tables, const Target& target);

}  // namespace cuda

}  // namespace glassnf
