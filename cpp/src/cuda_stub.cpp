// Stands in for the CUDA backend in a build without CUDA.
#include "flow_batches.hpp"

namespace glassnf::cuda {

bool built() { return false; }
int device_count() { return 0; }
const char* why_not() {
  return "this build of glassnf has no CUDA backend; install the CUDA toolkit and rebuild with "
         "GLASSNF_CUDA=ON pip install --no-cache-dir --force-reinstall .";
}

void energy(const SystemView&, const EnergyBatch&, const Target&) { throw Error(why_not()); }
void monte_carlo(const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&, const MonteCarloOutput&, const Target&) {
  throw Error(why_not());
}
void molecular_dynamics(const SystemView&, const DynamicsBatch&, const DynamicsPlan&, const SwapPlan&, const DynamicsOutput&,
                        const Target&) {
  throw Error(why_not());
}
void exchange(const TemperingBatch&, const TemperingRound&, const TemperingCounts&, const Target&) { throw Error(why_not()); }
void gather(std::int64_t, const std::int64_t*, const ReplicaArray*, int, const Target&) { throw Error(why_not()); }
void flow_trajectory(const SystemView&, const FlowBatch&, const FlowPlan&, const Target&) { throw Error(why_not()); }
void flow_field(const SystemView&, const FlowFieldBatch&, const FlowTables&, const Target&) { throw Error(why_not()); }
std::string device_name(int) { throw Error(why_not()); }
void memory(int, std::int64_t&, std::int64_t&) { throw Error(why_not()); }

}  // namespace glassnf::cuda
