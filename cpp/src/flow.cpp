// Flows of a batch on the CPU: blocks of replicas are independent, threads share them out.
#include <algorithm>

#include "flow_batches.hpp"
#include "glassnf/cells.hpp"
#include "threads.hpp"

namespace glassnf::cpu {

namespace {

constexpr int lanes = 8;

template <int D>
std::int64_t cells_of(const SystemView& system, double reach) {
  CellGrid<D> grid;
  return make_grid<D>(system.box, reach, 1.0 + static_cast<double>(system.n), grid) ? grid.cells() : 0;
}

// Whether cells, where each particle looks at all of its neighbourhood, cost less than all pairs, which a pair field meets once, in eight
// replicas side by side. The choice does not depend on the number of replicas, so that a replica has the same bits in any company.
bool cells_pay(const SystemView& system, std::int64_t cells, bool once) {
  const double around = (system.dimension == 2 ? 9.0 : 27.0) / static_cast<double>(cells);
  return around < (once ? 0.75 : 1.0);
}

// Blocks of replicas: of pair fields up to eight by all pairs, else one. Results of the two ways are the same but for rounding.
struct FlowBlocks {
  bool cells;
  std::int64_t replicas, size;

  FlowBlocks(const SystemView& system, const FlowTables& tables, std::int64_t number, int search, int threads) : replicas(number) {
    const double reach = tables.reach();
    if (tables.layers > 1 && system.n * system.dimension > most_dense_coordinates)
      throw std::invalid_argument("layers: expected at most one for more than " +
                                  std::to_string(most_dense_coordinates / system.dimension) + " particles, got " +
                                  std::to_string(tables.layers));
    // With few replicas, rather all threads at work than all lanes.
    size = std::clamp<std::int64_t>(number / threads, 1, lanes);
    const std::int64_t grid = system.dimension == 2 ? cells_of<2>(system, reach) : cells_of<3>(system, reach);
    if (search == 2 && !grid) throw std::invalid_argument("search: expected a box of three or more cells a side");
    cells = grid && (search == 0 ? cells_pay(system, grid, tables.layers == 0) : search == 2);
    if (cells || tables.layers) size = 1;
  }
  std::int64_t count() const { return (replicas + size - 1) / size; }

  template <class Work>
  void run(int threads, const Work& work) const {
    parallel_for(count(), threads, [&](std::int64_t b, Workspace& workspace) {
      const std::int64_t first = b * size;
      work(first, std::min(size, replicas - first), workspace);
    });
  }
};

}  // namespace

void flow_trajectory(const SystemView& system, const FlowBatch& batch, const FlowPlan& plan, int search, int threads) {
  const FlowBlocks blocks(system, plan.tables, batch.replicas, search, threads);
  blocks.run(threads, [&](std::int64_t first, std::int64_t count, Workspace& workspace) {
    kernels().flow_trajectory(system, batch, plan, first, count, blocks.cells, workspace);
  });
}

void flow_field(const SystemView& system, const FlowFieldBatch& batch, const FlowTables& tables, int search, int threads) {
  const FlowBlocks blocks(system, tables, batch.replicas, search, threads);
  blocks.run(threads, [&](std::int64_t first, std::int64_t count, Workspace& workspace) {
    kernels().flow_field(system, batch, tables, first, count, blocks.cells, workspace);
  });
}

}  // namespace glassnf::cpu
