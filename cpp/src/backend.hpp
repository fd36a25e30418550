// The plain structs and functions of a backend. The CPU backend (this folder) and the CUDA backend (cuda/) implement the same
// functions; bindings see nothing else. Functions take pointers into arrays laid out as in docs/design.md ("Vocabulary"), advance them
// in place, keep no state, and throw std::invalid_argument or std::runtime_error.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace glassnf {

// A system without its particles.
struct SystemView {
  int dimension;
  std::int64_t n;
  int species_count;
  double box[3];
  double cutoff;               // largest cutoff distance
  int kind;                    // PotentialKind
  int exponent;                // of InversePower
  const double* coefficients;  // (S, S, coefficient_count), symmetric
  double energy_scale;         // largest epsilon, rounded up to a power of two
};

struct EnergyBatch {
  std::int64_t replicas;
  const double* positions;      // (R, N, d), wrapped
  const std::int32_t* species;  // (R, N)
  double* energy;               // (R,)
  double* forces;               // (R, N, d) or null
  double* virial;               // (R, d, d) or null
};

struct MonteCarloBatch {
  std::int64_t replicas;
  double* positions;        // (R, N, d), wrapped
  std::int32_t* images;     // (R, N, d)
  std::int32_t* species;    // (R, N)
  const double* beta;       // (R,)
  double* energy;           // (R,)
  const std::int64_t* ids;  // (R,)
  const double* move_size;  // (R,)
};

// Species pairs are numbered (0,1), (0,2), ..., (0,S-1), (1,2), ...
struct MonteCarloPlan {
  std::uint64_t seed;
  std::uint64_t step;  // of the first sweep
  std::int64_t sweeps;
  std::uint64_t swap_threshold;          // swap_probability * 2^32
  const std::uint64_t* pair_thresholds;  // (pairs,) cumulative weights * 2^32
  std::int64_t records;
  const std::int64_t* record_at;  // (records,) increasing, in 1 .. sweeps: record after that many sweeps
  int search;                     // for tests: 0 choose, 1 all pairs, 2 cells where the box has them (of a checkerboard: 1 emulates
                                  // the lanes of a GPU); results are the same
  bool checkerboard;              // trials in many places at once, in another order (checkerboard.hpp)
};

struct MonteCarloOutput {
  double* energy;                       // (records, R)
  double* positions;                    // (records, R, N, d) unwrapped, or null
  std::int32_t* species;                // (records, R, N), or null
  std::int64_t* displacement_attempts;  // (R,), added to
  std::int64_t* displacement_accepts;   // (R,), added to
  std::int64_t* swap_attempts;          // (R, pairs), added to
  std::int64_t* swap_accepts;           // (R, pairs), added to
  std::int64_t* pair_evaluations;       // (R,), added to
};

// Parallel tempering: ladders of replicas that exchange temperatures (glassnf/exchange.hpp).
struct TemperingBatch {
  std::int64_t ladders, rungs;  // R = ladders * rungs replicas
  double* beta;                 // (R,)
  double* move_size;            // (R,)
  const double* energy;         // (R,)
  const std::int64_t* ids;      // (R,)
  std::int32_t* order;          // (ladders, rungs): which replica of the ladder sits at each rung, the hottest first
  double* velocities;           // (R, components), or null
  std::int64_t components;      // N * d
};

// One round of exchanges, after the sweep that made the step what it is.
struct TemperingRound {
  std::uint64_t seed, step;
  std::uint64_t interval;  // sweeps between rounds: the parity is that of step / interval
};

struct TemperingCounts {
  std::int64_t* attempts;   // (ladders, rungs - 1), added to
  std::int64_t* accepts;    // (ladders, rungs - 1), added to
  std::int32_t* visits;     // (R,): the end of the ladder seen last (LastVisit), kept from call to call
  std::int64_t* trips;      // (ladders,): round trips, added to
  std::int64_t* from_hot;   // (ladders, rungs): rounds after which the replica there came from the hot end, added to
  std::int64_t* from_cold;  // (ladders, rungs): ... from the cold end, added to
};

// Beside the output of Monte Carlo, whose energies (records, R) are by replica.
struct TemperingOutput {
  std::int32_t* order;  // (records, ladders, rungs)
};

struct DynamicsBatch {
  std::int64_t replicas;
  double* positions;            // (R, N, d), wrapped
  double* velocities;           // (R, N, d)
  std::int32_t* images;         // (R, N, d)
  const std::int32_t* species;  // (R, N)
  const double* beta;           // (R,)
  double* energy;               // (R,)
  const std::int64_t* ids;      // (R,)
};

struct DynamicsPlan {
  std::uint64_t seed;
  std::uint64_t step;  // of the first time step
  std::int64_t steps;
  double timestep;
  int thermostat;          // Thermostat of dynamics.hpp
  double friction;         // of Langevin dynamics, 1/tau
  double relaxation_time;  // of stochastic velocity rescaling, tau
  std::int64_t records;
  const std::int64_t* record_at;  // (records,) increasing, in 1 .. steps: record after that many steps
  std::int64_t first_record;      // index of the first of them in the output
  int search;                     // for tests: 0 choose, 1 all pairs, 2 neighbour lists; results are the same
};

struct DynamicsOutput {
  double* energy;                  // (records, R) potential energy
  double* kinetic;                 // (records, R) kinetic energy
  double* positions;               // (records, R, N, d) unwrapped, or null
  double* velocities;              // (records, R, N, d), or null
  std::int32_t* species;           // (records, R, N), or null
  std::int64_t* pair_evaluations;  // (R,), added to
  std::int64_t* failure;           // (R,) set to the step, from 1, at which a replica blew up; the caller puts the batch back
};

// Exchanges of species between stretches of molecular dynamics: a Monte Carlo sweep of swap trials after every step whose number, the step
// of the ensemble, is a multiple of `every`; 0 for none.
struct SwapPlan {
  std::int64_t every;
  std::int32_t* species;                 // (R, N), as in the batch
  const double* move_size;               // (R,)
  const std::uint64_t* pair_thresholds;  // as in MonteCarloPlan
  std::int64_t* attempts;                // (R, pairs), added to
  std::int64_t* accepts;                 // (R, pairs), added to
};

struct MinimisePlan {
  double timestep, largest_timestep;
  double tolerance;  // largest component of a force, at the end
  std::int64_t most_iterations;
  int search;
};

struct MinimiseOutput {
  std::int64_t* iterations;  // (R,)
  double* largest_force;     // (R,)
};

// Flows; these structs are in flow_batches.hpp.
struct FlowTables;
struct FlowBatch;
struct FlowPlan;
struct FlowFieldBatch;

// Population annealing (resampling.hpp). Energies of the replicas, in host or device memory.
struct Population {
  std::int64_t replicas;
  const double* energy;  // (R,)
};

struct WeightSummary {
  std::uint64_t total;  // of the integer weights
  double log_mean;      // log of the mean weight relative to the largest
  double culled;        // expected fraction of replicas without children
  double ess;           // effective sample size as a fraction
};

// An array with one piece of memory per replica.
struct ReplicaArray {
  void* data;
  std::int64_t bytes;  // per replica
};

// Uniform knots of radial functions.
struct RadialRange {
  double inner, outer;
  int intervals;
};

// Features of configurations for the training of flows, as flow_features_kernel.cpp explains. Radial functions have a set of coefficients
// for each unordered pair of species (a, b), in the order 00, 01, ..., 11, 12, ...
struct FlowFeatures {
  std::int64_t replicas;
  const double* positions;      // (R, N, d) wrapped
  const std::int32_t* species;  // (R, N)
  const double* forces;         // (R, N, d)
  const double* beta;           // (R,)
  RadialRange pair, message;
  int layers;                          // of messages in the field whose features are wanted
  const double* pair_coefficients;     // (layers, pairs, intervals - 3) of the layers below
  const double* message_coefficients;  // (layers - 1, 2, pairs, intervals - 3): from the neighbour, from the particle itself
  std::int64_t size;                   // of the features of a configuration
  double* features;                    // (R, size): pair functions; then messages from the neighbour, from the particle itself
};

namespace cpu {

void flow_features(const SystemView& system, const FlowFeatures& job, int threads);
void energy(const SystemView& system, const EnergyBatch& batch, int threads);
void monte_carlo(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
                 int threads);
void molecular_dynamics(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const SwapPlan& swaps,
                        const DynamicsOutput& output, int threads);
// Moves the replicas to the minima of their basins; velocities become zero.
void minimise(const SystemView& system, const DynamicsBatch& batch, const MinimisePlan& plan, const MinimiseOutput& output,
              int threads);

// Carries replicas along a flow in place, and gives the integral of the divergence. Where a replica is lost, its log Jacobian is no number
// and its positions mean nothing. `search` is for tests: 0 choose, 1 all pairs, 2 cells; results differ in rounding.
void flow_trajectory(const SystemView& system, const FlowBatch& batch, const FlowPlan& plan, int search, int threads);
void flow_field(const SystemView& system, const FlowFieldBatch& batch, const FlowTables& tables, int search, int threads);

// `extreme` is the energy of the largest weight; weights (R,) are written. `resample` writes parents (R,), and `gather` copies replicas from
// the slots of their parents, in place.
WeightSummary reweight(const Population& population, double beta_step, double extreme, std::uint64_t* weights);
void resample(std::int64_t replicas, const std::uint64_t* weights, std::uint64_t seed, std::uint64_t step, std::int64_t* parents);
void gather(std::int64_t replicas, const std::int64_t* parents, const ReplicaArray* arrays, int count, int threads);

// One round of exchanges in every ladder.
void exchange(const TemperingBatch& batch, const TemperingRound& round, const TemperingCounts& counts);
// Monte Carlo with a round of exchanges after each step that is a multiple of `interval`; arrays of `batch` and `ladders` are the same.
// Records of a step are made after its exchanges.
void parallel_tempering(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan,
                        const MonteCarloOutput& output, const TemperingBatch& ladders, std::uint64_t interval,
                        const TemperingCounts& counts, const TemperingOutput& tempering, int threads);

// Instruction sets: "avx512", "avx2", "baseline".
const char* instruction_set();
bool use_instruction_set(const char* name);  // false if this machine or build lacks it
bool has_instruction_set(const char* name);

}  // namespace cpu

namespace cuda {

// Of the CUDA runtime; `code` is its cudaError_t, 0 for errors of ours.
struct Error : std::runtime_error {
  int code;
  explicit Error(const std::string& what, int error_code = 0) : std::runtime_error(what), code(error_code) {}
};
struct OutOfMemory : Error {
  using Error::Error;
};

// Where to run: a device, one of its streams (a cudaStream_t), and whether pairs are computed in single precision.
struct Target {
  int device;
  void* stream;
  bool mixed;
};

// Like those of the CPU, with arrays of the batch and the output on the device. `energy` returns before the work is done;
// `monte_carlo` and `molecular_dynamics` wait for the stream. Molecular dynamics has the bits of the CPU; where a replica blows up, the
// others go on to the end.
void energy(const SystemView& system, const EnergyBatch& batch, const Target& target);
void monte_carlo(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
                 const Target& target);
void molecular_dynamics(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const SwapPlan& swaps,
                        const DynamicsOutput& output, const Target& target);
// With all arrays on the device; returns before the work is done.
void exchange(const TemperingBatch& batch, const TemperingRound& round, const TemperingCounts& counts, const Target& target);
// With the arrays on the device, and parents in host memory; returns before the work is done.
void gather(std::int64_t replicas, const std::int64_t* parents, const ReplicaArray* arrays, int count, const Target& target);

bool built();
int device_count();     // 0 without a usable device; never throws
const char* why_not();  // empty when a device is usable
std::string device_name(int device);
void memory(int device, std::int64_t& free_bytes, std::int64_t& total_bytes);

}  // namespace cuda

}  // namespace glassnf
