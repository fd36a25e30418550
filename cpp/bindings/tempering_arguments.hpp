// The arguments of parallel tempering, checked.
#pragma once

#include "glassnf/philox.hpp"
#include "native.hpp"

namespace glassnf::bindings {

inline TemperingBatch tempering_batch(std::int64_t replicas, std::int64_t rungs, const double* beta, const double* move_size,
                                      const double* energy, const std::int64_t* ids, std::uintptr_t order,
                                      std::uintptr_t velocities, std::int64_t components) {
  require(rungs >= 2, "rungs: expected at least 2, got " + std::to_string(rungs));
  require(replicas >= 1 && replicas % rungs == 0, "replicas: expected a multiple of the number of temperatures");
  require(beta && move_size && energy && ids && order, "expected addresses of arrays");
  require(components >= 0, "components: expected a count, got " + std::to_string(components));
  // The caller's arrays, which exchanges write to.
  return {replicas / rungs, rungs, const_cast<double*>(beta),    const_cast<double*>(move_size),
          energy,           ids,   pointer<std::int32_t>(order), pointer<double>(velocities),
          components};
}

inline TemperingCounts tempering_counts(std::uintptr_t attempts, std::uintptr_t accepts, std::uintptr_t visits,
                                        std::uintptr_t trips, std::uintptr_t from_hot, std::uintptr_t from_cold) {
  require(attempts && accepts && visits && trips && from_hot && from_cold, "expected addresses of arrays");
  return {pointer<std::int64_t>(attempts), pointer<std::int64_t>(accepts),  pointer<std::int32_t>(visits),
          pointer<std::int64_t>(trips),    pointer<std::int64_t>(from_hot), pointer<std::int64_t>(from_cold)};
}

inline void check_interval(std::uint64_t interval) {
  require(interval >= 1 && interval <= max_step, "interval: expected an integer from 1 to 2^44, got " + std::to_string(interval));
}

}  // namespace glassnf::bindings
