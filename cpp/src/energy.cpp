// Energies of a batch on the CPU: threads over replicas when there are many, over cells when there is one large replica.
#include "threads.hpp"

namespace glassnf::cpu {

namespace {

// Below this many pair evaluations a thread costs more than it gains.
constexpr double pairs_per_thread = 2e5;

int useful_threads(double pairs, int threads) {
  const double useful = pairs / pairs_per_thread;
  return useful < 1.0 ? 1 : useful < threads ? static_cast<int>(useful) : threads;
}

void one_by_cells(const SystemView& system, const EnergyBatch& batch, std::int64_t replica, int threads) {
  const KernelTable& table = kernels();
  WorkspaceOwner owner;
  const std::int64_t cells = table.energy_sort(system, batch, replica, *owner.workspace);
  constexpr std::int64_t piece = 64;
  parallel_for((cells + piece - 1) / piece, threads, [&](std::int64_t i, Workspace&) {
    const std::int64_t first = i * piece, last = first + piece < cells ? first + piece : cells;
    table.energy_cells(system, batch, replica, *owner.workspace, first, last);
  });
  table.energy_collect(system, batch, replica, *owner.workspace);
}

}  // namespace

void energy(const SystemView& system, const EnergyBatch& batch, int threads) {
  const KernelTable& table = kernels();
  const double n = static_cast<double>(system.n), replicas = static_cast<double>(batch.replicas);
  if (!uses_cells(system)) {
    // A few replicas per piece, so that small ones do not pay for scheduling.
    constexpr std::int64_t piece = 8;
    parallel_for((batch.replicas + piece - 1) / piece, useful_threads(0.5 * replicas * n * n, threads),
                 [&](std::int64_t i, Workspace& workspace) {
                   const std::int64_t end = (i + 1) * piece < batch.replicas ? (i + 1) * piece : batch.replicas;
                   table.energy_all_pairs(system, batch, i * piece, end, workspace);
                 });
  } else if (batch.replicas >= threads) {
    parallel_for(batch.replicas, useful_threads(50.0 * replicas * n, threads), [&](std::int64_t r, Workspace& workspace) {
      const std::int64_t cells = table.energy_sort(system, batch, r, workspace);
      table.energy_cells(system, batch, r, workspace, 0, cells);
      table.energy_collect(system, batch, r, workspace);
    });
  } else {
    for (std::int64_t r = 0; r < batch.replicas; ++r) one_by_cells(system, batch, r, useful_threads(50.0 * n, threads));
  }
}

}  // namespace glassnf::cpu
