// The table of one instruction set; compiled once for each, like the kernels.
#include "glassnf/config.hpp"
#include "kernels.hpp"

#define GLASSNF_STRING_(x) #x
#define GLASSNF_STRING(x) GLASSNF_STRING_(x)
#define GLASSNF_JOIN_(a, b) a##b
#define GLASSNF_JOIN(a, b) GLASSNF_JOIN_(a, b)

namespace glassnf::cpu {

inline namespace GLASSNF_ISA {
void energy_all_pairs(const SystemView&, const EnergyBatch&, std::int64_t, std::int64_t, Workspace&);
std::int64_t energy_sort(const SystemView&, const EnergyBatch&, std::int64_t, Workspace&);
void energy_cells(const SystemView&, const EnergyBatch&, std::int64_t, Workspace&, std::int64_t, std::int64_t);
void energy_collect(const SystemView&, const EnergyBatch&, std::int64_t, Workspace&);
MonteCarloEngine* open_monte_carlo(const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&, const MonteCarloOutput&,
                                   std::int64_t, Workspace&);
void dynamics(const SystemView&, const DynamicsBatch&, const DynamicsPlan&, const DynamicsOutput&, std::int64_t, std::int64_t, bool,
              Workspace&);
void minimise(const SystemView&, const DynamicsBatch&, const MinimisePlan&, const MinimiseOutput&, std::int64_t, std::int64_t, bool,
              Workspace&);
void flow_features(const SystemView&, const FlowFeatures&, std::int64_t, Workspace&);
void flow_trajectory(const SystemView&, const FlowBatch&, const FlowPlan&, std::int64_t, std::int64_t, bool, Workspace&);
void flow_field(const SystemView&, const FlowFieldBatch&, const FlowTables&, std::int64_t, std::int64_t, bool, Workspace&);
}  // namespace GLASSNF_ISA

const KernelTable* GLASSNF_JOIN(kernels_, GLASSNF_ISA)() {
  static constexpr KernelTable table = {GLASSNF_STRING(GLASSNF_ISA),  GLASSNF_ISA::energy_all_pairs, GLASSNF_ISA::energy_sort,
                                        GLASSNF_ISA::energy_cells,    GLASSNF_ISA::energy_collect,   GLASSNF_ISA::open_monte_carlo,
                                        GLASSNF_ISA::dynamics,        GLASSNF_ISA::minimise,         GLASSNF_ISA::flow_features,
                                        GLASSNF_ISA::flow_trajectory, GLASSNF_ISA::flow_field};
  return &table;
}

}  // namespace glassnf::cpu
