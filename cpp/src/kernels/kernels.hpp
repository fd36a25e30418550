// What each instruction set offers: kernels on one replica, called through a table chosen at run time.
#pragma once

#include "backend.hpp"

namespace glassnf::cpu {

// Scratch memory of one thread. Kernels ask for more through the functions below, which live outside the files compiled for a
// particular instruction set.
struct Workspace;
// Returns 64-byte aligned memory of at least `bytes`, contents undefined; the slot's previous memory is released. Throws std::bad_alloc.
void* reserve(Workspace& workspace, int slot, std::int64_t bytes);

struct WorkspaceOwner {
  Workspace* workspace;
  WorkspaceOwner();
  ~WorkspaceOwner();
  WorkspaceOwner(const WorkspaceOwner&) = delete;
  WorkspaceOwner& operator=(const WorkspaceOwner&) = delete;
};

// For energies of one large replica: the cell-sorted copy made once and read by all threads.
struct SortedReplica;

struct KernelTable {
  const char* name;
  // All pairs of replicas first .. last - 1.
  void (*energy_all_pairs)(const SystemView&, const EnergyBatch&, std::int64_t first, std::int64_t last, Workspace&);
  // One replica through cells: `sort` prepares, `energy_cells` handles a range of cells and fills per-particle energies and virials.
  std::int64_t (*energy_sort)(const SystemView&, const EnergyBatch&, std::int64_t replica, Workspace&);
  void (*energy_cells)(const SystemView&, const EnergyBatch&, std::int64_t replica, Workspace&, std::int64_t first,
                       std::int64_t last);
  void (*energy_collect)(const SystemView&, const EnergyBatch&, std::int64_t replica, Workspace&);
  // Monte Carlo of one replica.
  void (*monte_carlo)(const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&, const MonteCarloOutput&,
                      std::int64_t replica, Workspace&);
  // Molecular dynamics of replicas first .. first + count - 1: up to eight by all pairs, or one by neighbour lists.
  void (*dynamics)(const SystemView&, const DynamicsBatch&, const DynamicsPlan&, const DynamicsOutput&, std::int64_t first,
                   std::int64_t count, bool lists, Workspace&);
  void (*minimise)(const SystemView&, const DynamicsBatch&, const MinimisePlan&, const MinimiseOutput&, std::int64_t first,
                   std::int64_t count, bool lists, Workspace&);
};

const KernelTable* kernels_baseline();
const KernelTable* kernels_avx2();
const KernelTable* kernels_avx512();
const KernelTable& kernels();

bool uses_cells(const SystemView& system);

// Checkerboard Monte Carlo, compiled once: its trials are scalar.
void checkerboard(const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&, const MonteCarloOutput&, int threads);

}  // namespace glassnf::cpu
