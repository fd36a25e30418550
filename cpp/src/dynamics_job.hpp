// The structs of the backend as molecular dynamics on a GPU takes them; for the GPU, and for the tests that emulate it. And the stretches
// between the swaps of hybrid dynamics, which both backends go through.
#pragma once

#include <vector>

#include "backend.hpp"
#include "glassnf/group_dynamics.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Arrays as in the system and the plan: a GPU puts its own copies in their place.
template <int D>
GLASSNF_HOST DynamicsJob<D> dynamics_job(const SystemView& system, const DynamicsPlan& plan, std::int64_t steps_before) {
  DynamicsJob<D> job{};
  for (int k = 0; k < D; ++k) {
    job.box[k] = system.box[k];
    job.inverse_box[k] = 1.0 / system.box[k];
  }
  job.cutoff = system.cutoff;
  job.energy_scale = system.energy_scale;
  job.energy_grid = EnergyQuantum::from_scale(system.energy_scale);
  job.force_grid = ForceQuantum::from_scale(system.energy_scale);
  job.kinetic_grid = KineticQuantum::from_scale(system.energy_scale);
  job.q_cut_value = system.coefficients[q_cut];
  job.c4_value = system.coefficients[c4];
  job.c2_value = system.coefficients[c2];
  job.c0_value = system.coefficients[c0];
  job.langevin = plan.thermostat == static_cast<int>(Thermostat::langevin);
  job.rescaling = plan.thermostat == static_cast<int>(Thermostat::rescaling);
  job.timestep = plan.timestep;
  job.half = 0.5 * plan.timestep;
  job.drift = job.langevin ? 0.5 * plan.timestep : plan.timestep;
  job.speed_limit = most_speed(system.cutoff, plan.timestep, system.energy_scale);
  job.friction = plan.friction;
  job.rescaling_decay = job.rescaling ? exponential(maximum(-plan.timestep / plan.relaxation_time, -700.0)) : 1.0;
  job.n = static_cast<int>(system.n);
  job.species_count = system.species_count;
  job.exponent = system.exponent;
  job.seed = plan.seed;
  job.step = plan.step;
  job.steps = plan.steps;
  job.records = plan.records;
  job.first_record = plan.first_record;
  job.steps_before = steps_before;
  job.coefficients = system.coefficients;
  job.record_at = plan.record_at;
  return job;
}

// The arrays of one replica. Recorded arrays start at the replica's place in the first record; `stride` replicas lie between records.
template <int D>
struct DynamicsReplica {
  const DynamicsJob<D>& job;
  const DynamicsBatch& batch;
  const DynamicsOutput& output;
  std::int64_t r;

  GLASSNF_HD std::int64_t first() const { return r * job.n; }
  GLASSNF_HD double* positions() const { return batch.positions + first() * D; }
  GLASSNF_HD double* velocities() const { return batch.velocities + first() * D; }
  GLASSNF_HD std::int32_t* images() const { return batch.images + first() * D; }
  GLASSNF_HD const std::int32_t* species() const { return batch.species + first(); }
  GLASSNF_HD double beta() const { return batch.beta[r]; }
  GLASSNF_HD double* energy() const { return batch.energy + r; }
  GLASSNF_HD std::uint64_t id() const { return static_cast<std::uint64_t>(batch.ids[r]); }
  GLASSNF_HD std::int64_t stride() const { return batch.replicas; }
  GLASSNF_HD double* record_energy() const { return output.energy + r; }
  GLASSNF_HD double* record_kinetic() const { return output.kinetic + r; }
  GLASSNF_HD double* record_positions() const { return output.positions ? output.positions + first() * D : nullptr; }
  GLASSNF_HD double* record_velocities() const { return output.velocities ? output.velocities + first() * D : nullptr; }
  GLASSNF_HD std::int32_t* record_species() const { return output.species ? output.species + first() : nullptr; }
  GLASSNF_HD std::int64_t* pair_evaluations() const { return output.pair_evaluations + r; }
  GLASSNF_HD std::int64_t* failure() const { return output.failure + r; }
};

// Goes through a plan in stretches that end at multiples of `every` steps of the ensemble: run(stretch, done) advances, where `done` steps
// came before, and says whether to go on; swap(step) exchanges species. The plan's records are shared out.
template <class Run, class Swap>
GLASSNF_HOST void for_stretches(const DynamicsPlan& plan, std::int64_t every, Run&& run, Swap&& swap) {
  const auto interval = static_cast<std::uint64_t>(every);
  std::int64_t done = 0, recorded = 0;
  std::vector<std::int64_t> record_at;
  while (done < plan.steps) {
    DynamicsPlan stretch = plan;
    stretch.step = plan.step + static_cast<std::uint64_t>(done);
    const auto to_swap = static_cast<std::int64_t>(interval - stretch.step % interval);
    stretch.steps = plan.steps - done < to_swap ? plan.steps - done : to_swap;
    const std::int64_t end = done + stretch.steps;
    record_at.clear();
    for (std::int64_t r = recorded; r < plan.records && plan.record_at[r] <= end; ++r) record_at.push_back(plan.record_at[r] - done);
    stretch.records = static_cast<std::int64_t>(record_at.size());
    stretch.record_at = record_at.data();
    stretch.first_record = plan.first_record + recorded;
    if (!run(stretch, done)) return;
    recorded += stretch.records;
    done = end;
    const std::uint64_t now = plan.step + static_cast<std::uint64_t>(done);
    if (now % interval == 0) swap(now);
  }
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
