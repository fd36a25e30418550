// The structs of the backend as molecular dynamics on a GPU takes them; for the GPU, and for the tests that emulate it.
#pragma once

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
  job.force_limit = most_force(system.energy_scale);
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

}  // namespace GLASSNF_ISA
}  // namespace glassnf
