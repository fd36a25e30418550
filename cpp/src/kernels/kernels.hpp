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

// Monte Carlo of one replica, ready to go on: sweeps may be done in pieces, and the temperature may change in between, without
// setting up anything anew. It lives in a workspace of its own, which ends it, and refers to the structs that opened it.
class MonteCarloEngine {
 public:
  // Sweeps of the steps `step`, `step` + 1, ...; `scratch` is of the thread that calls, and may be the engine's own workspace.
  virtual void advance(std::uint64_t step, std::int64_t sweeps, Workspace& scratch) = 0;
  virtual double energy() const = 0;
  // False if the engine cannot go on with this move size: write back, and open another one.
  virtual bool set_temperature(double beta, double move_size) = 0;
  virtual void write_back() = 0;
  // Add what has been counted since the last call (swaps are counted at once).
  virtual void count(const MonteCarloOutput& output, std::int64_t replica) = 0;

 protected:
  ~MonteCarloEngine() = default;
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
  MonteCarloEngine* (*open_monte_carlo)(const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&, const MonteCarloOutput&,
                                        std::int64_t replica, Workspace&);
  // Molecular dynamics of replicas first .. first + count - 1: up to eight by all pairs, or one by neighbour lists.
  void (*dynamics)(const SystemView&, const DynamicsBatch&, const DynamicsPlan&, const DynamicsOutput&, std::int64_t first,
                   std::int64_t count, bool lists, Workspace&);
  void (*minimise)(const SystemView&, const DynamicsBatch&, const MinimisePlan&, const MinimiseOutput&, std::int64_t first,
                   std::int64_t count, bool lists, Workspace&);
  void (*flow_features)(const SystemView&, const FlowFeatures&, std::int64_t replica, Workspace&);
  // Flows of replicas first .. first + count - 1: up to eight by all pairs, or one through cells.
  void (*flow_trajectory)(const SystemView&, const FlowBatch&, const FlowPlan&, std::int64_t first, std::int64_t count, bool cells,
                          Workspace&);
  void (*flow_field)(const SystemView&, const FlowFieldBatch&, const FlowTables&, std::int64_t first, std::int64_t count,
                     bool cells, Workspace&);
};

const KernelTable* kernels_baseline();
const KernelTable* kernels_avx2();
const KernelTable* kernels_avx512();
const KernelTable& kernels();

bool uses_cells(const SystemView& system);

// All sweeps of a plan for one replica.
void monte_carlo_of_replica(const KernelTable&, const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&,
                            const MonteCarloOutput&, std::int64_t replica, Workspace&);

// Record the present configuration of a replica, if the output wants it, as record `index`.
void record_configuration(const SystemView&, const MonteCarloBatch&, const MonteCarloOutput&, std::int64_t replica,
                          std::int64_t index);

// Checkerboard Monte Carlo, compiled once: its trials are scalar.
void checkerboard(const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&, const MonteCarloOutput&, int threads);

}  // namespace glassnf::cpu
