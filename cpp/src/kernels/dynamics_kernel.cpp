// Molecular dynamics and minimisation of a block of replicas: the integrators, over either kind of forces (dynamics_fields.hpp).
#include "dynamics_fields.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

// Advances the replicas of a field. A step is done by whole passes over the blocks, each element by the same operations in every lane.
template <int D, class Field>
class Integrator {
  const SystemView& system_;
  const DynamicsBatch& batch_;
  const DynamicsPlan& plan_;
  Field& field_;
  Workspace& workspace_;
  KineticQuantum kinetic_;
  double speed_limit_, force_limit_;
  Vec<Pack, D> box_;
  Pack decay_, noise_;
  double rescale_decay_;
  alignas(64) double beta_[pack_size];
  std::uint64_t ids_[pack_size];
  RandomKeys<PackU> random_;
  unsigned failed_ = 0;

  static PackU ids_of(const DynamicsBatch& batch, const Field& field, std::uint64_t* ids) {
    for (int l = 0; l < pack_size; ++l) ids[l] = static_cast<std::uint64_t>(batch.ids[field.replica_of_lane(l)]);
    return load(ids);
  }

 public:
  Integrator(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, Field& field, Workspace& workspace)
      : system_(system),
        batch_(batch),
        plan_(plan),
        field_(field),
        workspace_(workspace),
        kinetic_(KineticQuantum::from_scale(system.energy_scale)),
        speed_limit_(most_speed(system.cutoff, plan.timestep, system.energy_scale)),
        force_limit_(most_force(system.energy_scale)),
        decay_(1.0),
        noise_(0.0),
        rescale_decay_(1.0),
        random_(plan.seed, Stream::thermostat, ids_of(batch, field, ids_)) {
    for_axes<D>([&](auto k) { box_.at(k) = Pack(system.box[k]); });
    alignas(64) double decay[pack_size], noise[pack_size];
    for (int l = 0; l < pack_size; ++l) {
      beta_[l] = batch.beta[field.replica_of_lane(l)];
      const LangevinCoefficients c = LangevinCoefficients::make(plan.friction, plan.timestep, 1.0 / beta_[l]);
      decay[l] = c.decay;
      noise[l] = c.noise;
    }
    if (plan.thermostat == static_cast<int>(Thermostat::langevin)) {
      decay_ = load(decay);
      noise_ = load(noise);
    }
    if (plan.thermostat == static_cast<int>(Thermostat::rescaling))
      rescale_decay_ = exponential(maximum(-plan.timestep / plan.relaxation_time, -700.0));
    field_.forces();
    field_.pair_evaluations = 0;  // of steps only: what a call needs to set up depends on how a run is cut into calls
  }

  // One step, which is number `step` of the ensemble; false if a replica has blown up.
  bool step(std::uint64_t step) {
    const bool fine = plan_.thermostat == static_cast<int>(Thermostat::langevin) ? first_half<true>(step) : first_half<false>(step);
    if (!fine) return false;
    field_.after_drift(workspace_);
    field_.forces();
    if (!second_half()) return false;
    if (plan_.thermostat == static_cast<int>(Thermostat::rescaling)) rescale(step);
    return true;
  }

  // Which replicas of the field have blown up, a bit each.
  unsigned failed() const { return Field::one_replica ? failed_ != 0 : failed_; }

  void kinetic_energies(double* out) const {
    alignas(64) std::uint64_t quanta[pack_size];
    squared_speeds(quanta);
    for (int l = 0; l < pack_size; ++l) out[l] = kinetic_.energy(static_cast<std::int64_t>(quanta[l]));
  }

 private:
  // Kick, drift, for Langevin dynamics noise in the middle of the drift; coordinates back into the box.
  template <bool Langevin>
  [[gnu::noinline]] bool first_half(std::uint64_t step) {
    const BlockState<D>& s = field_.state;
    const Pack half(0.5 * plan_.timestep), drift(Langevin ? 0.5 * plan_.timestep : plan_.timestep), limit(speed_limit_),
        force_limit(force_limit_);
    PackU slow(~std::uint64_t(0));
    if constexpr (Langevin) random_.set_step(step);
    for (std::int64_t b = 0; b < s.blocks; ++b) {
      Vec<Pack, D> xi;
      PackU valid(0);
      if constexpr (Langevin) {
        xi = normal_vector<D, Pack>(random_, load(s.particle + b * pack_size));
        valid = load(s.valid + b * pack_size);
      }
      for_axes<D>([&](auto k) GLASSNF_INLINE {
        const std::int64_t at = s.at(b, k);
        const Pack f = load(s.f + at);
        slow = slow & less_mask(absolute(f), force_limit);
        Pack v = fused(half, f, load(s.v + at));
        Pack x = fused(drift, v, load(s.x + at));
        if constexpr (Langevin) {
          slow = slow & less_mask(absolute(v), limit);
          v = keep(fused(noise_, xi.at(k), decay_ * v), valid);
          x = fused(drift, v, x);
        }
        slow = slow & less_mask(absolute(v), limit);
        store(s.v + at, v);
        const Pack box = box_.at(k);
        const PackU below = less_mask(x, Pack(0.0));
        x = x + keep(box, below);
        const PackU above = ~less_mask(x, box);
        x = x - keep(box, above);
        store(s.x + at, x);
        store(s.images + at, load(s.images + at) - keep(Pack(1.0), below) + keep(Pack(1.0), above));
      });
    }
    return passed(slow);
  }

  // Kick. What has blown up must not come out of the last step of a call.
  [[gnu::noinline]] bool second_half() {
    const BlockState<D>& s = field_.state;
    const Pack half(0.5 * plan_.timestep), limit(speed_limit_), force_limit(force_limit_);
    PackU slow(~std::uint64_t(0));
    for (std::int64_t r = 0; r < s.blocks * D; ++r) {
      const std::int64_t at = r * pack_size;
      const Pack f = load(s.f + at), v = fused(half, f, load(s.v + at));
      slow = slow & less_mask(absolute(f), force_limit) & less_mask(absolute(v), limit);
      store(s.v + at, v);
    }
    return passed(slow);
  }

  // From a mask of the lanes that are fine; empty ones are, at rest.
  bool passed(PackU slow) {
    const unsigned fine = less_bits(from_bits(PackU(0)), from_bits(slow & PackU(0x3ff0000000000000ULL)));
    failed_ = ~fine & 0xffu;
    return !failed_;
  }

  void squared_speeds(std::uint64_t* quanta) const {
    const BlockState<D>& s = field_.state;
    field_.sum_by_lane(
        [&](std::int64_t b) GLASSNF_INLINE {
          PackU squares(0);
          for_axes<D>([&](auto k) GLASSNF_INLINE { squares = squares + kinetic_.square(load(s.v + s.at(b, k))); });
          return squares;
        },
        quanta);
  }

  [[gnu::noinline]] void rescale(std::uint64_t step) {
    alignas(64) double kinetic[pack_size], factor[pack_size];
    kinetic_energies(kinetic);
    const std::int64_t degrees = D * (system_.n > 1 ? system_.n - 1 : 1);
    for (int l = 0; l < pack_size; ++l) {
      if (l > 0 && (Field::one_replica || l >= field_.replicas())) {
        factor[l] = factor[0];
        continue;
      }
      RandomKeys<std::uint64_t> key(plan_.seed, Stream::thermostat, ids_[l]);
      key.set_step(step);
      factor[l] = rescaling_factor(key, rescale_decay_, kinetic[l], 1.0 / beta_[l], degrees);
    }
    const Pack by = load(factor);
    const BlockState<D>& s = field_.state;
    for (std::int64_t r = 0; r < s.blocks * D; ++r) store(s.v + r * pack_size, load(s.v + r * pack_size) * by);
  }
};

// Copies to the arrays of the caller.
template <int D, class Field>
void hand_back(const SystemView& system, const DynamicsBatch& batch, const Field& field) {
  const BlockState<D>& s = field.state;
  if constexpr (Field::one_replica) {
    for (std::int64_t p = 0; p < system.n; ++p)
      s.hand_back(batch, field.first(), system.n, p / pack_size, static_cast<int>(p % pack_size));
  } else {
    for (int l = 0; l < field.replicas(); ++l)
      for (std::int64_t b = 0; b < s.blocks; ++b) s.hand_back(batch, field.first() + l, system.n, b, l);
  }
}

template <int D, class Field>
void write_energies(const SystemView& system, const Field& field, double* out) {
  EnergySum sum(system.energy_scale);
  field.energies(sum);
  for (std::int64_t l = 0; l < field.replicas(); ++l) out[field.first() + l] = sum.energy(static_cast<int>(l));
}

template <int D, class Field>
void write_record(const SystemView& system, const DynamicsBatch& batch, const DynamicsOutput& output, const Field& field,
                  const Integrator<D, Field>& integrator, std::int64_t index) {
  const std::int64_t n = system.n, size = n * D;
  write_energies<D>(system, field, output.energy + index * batch.replicas);
  alignas(64) double kinetic[pack_size];
  integrator.kinetic_energies(kinetic);
  for (std::int64_t l = 0; l < field.replicas(); ++l) output.kinetic[index * batch.replicas + field.first() + l] = kinetic[l];
  if (!output.positions && !output.velocities && !output.species) return;
  hand_back<D>(system, batch, field);
  for (std::int64_t r = field.first(); r < field.first() + field.replicas(); ++r) {
    const std::int64_t target = index * batch.replicas + r;
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t from = r * size + i;
      if (output.positions) output.positions[target * size + i] = batch.positions[from] + batch.images[from] * system.box[i % D];
      if (output.velocities) output.velocities[target * size + i] = batch.velocities[from];
    }
    if (output.species)
      for (std::int64_t p = 0; p < n; ++p) output.species[target * n + p] = batch.species[r * n + p];
  }
}

template <int D, class Field>
void run_dynamics(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const DynamicsOutput& output,
                  Field& field, Workspace& workspace) {
  Integrator<D, Field> integrator(system, batch, plan, field, workspace);
  std::int64_t next = 0;
  for (std::int64_t s = 0; s < plan.steps; ++s) {
    if (!integrator.step(plan.step + static_cast<std::uint64_t>(s))) {
      for (int l = 0; l < field.replicas(); ++l)
        if (integrator.failed() >> l & 1) output.failure[field.first() + l] = s + 1;
      return;
    }
    if (next < plan.records && plan.record_at[next] == s + 1)
      write_record<D>(system, batch, output, field, integrator, plan.first_record + next++);
  }
  hand_back<D>(system, batch, field);
  write_energies<D>(system, field, batch.energy);
  for (std::int64_t r = field.first(); r < field.first() + field.replicas(); ++r)
    output.pair_evaluations[r] += field.pair_evaluations;
}

// ---- FIRE -------------------------------------------------------------------------------------------------------------------------------

// Fast inertial relaxation (Bitzek, Koskinen, Gahler, Moseler, Gumbsch, Phys. Rev. Lett. 97, 170201, 2006) with the semi-implicit Euler steps
// and the half step back of Guenole et al., Comput. Mater. Sci. 175, 109584 (2020). Each replica has a time step of its own, and stops where
// it is when its largest force component is small enough.
template <int D, class Field>
class Fire {
  static constexpr double grow = 1.1, shrink = 0.5, first_mixing = 0.25, mixing_decay = 0.99;
  static constexpr int patience = 20;

  const SystemView& system_;
  const MinimisePlan& plan_;
  Field& field_;
  Workspace& workspace_;
  Vec<Pack, D> box_;
  alignas(64) double timestep_[pack_size], mixing_[pack_size], back_[pack_size], moving_[pack_size];
  int downhill_[pack_size] = {};

 public:
  std::int64_t iterations[pack_size] = {};
  double largest_force[pack_size] = {};

  Fire(const SystemView& system, const MinimisePlan& plan, Field& field, Workspace& workspace)
      : system_(system), plan_(plan), field_(field), workspace_(workspace) {
    for_axes<D>([&](auto k) { box_.at(k) = Pack(system.box[k]); });
    for (int l = 0; l < pack_size; ++l) {
      timestep_[l] = plan.timestep;
      mixing_[l] = first_mixing;
      back_[l] = 0.0;
      moving_[l] = 1.0;
    }
    const BlockState<D>& s = field_.state;
    for (std::int64_t r = 0; r < s.blocks * D; ++r) store(s.v + r * pack_size, Pack(0.0));
    field_.forces();
  }

  void run() {
    for (std::int64_t i = 0; i <= plan_.most_iterations; ++i) {
      alignas(64) double p[pack_size], v2[pack_size], f2[pack_size];
      measure(p, v2, f2);
      bool any = false;
      for (int l = 0; l < pack_size; ++l) {
        if (moving_[l] != 0.0) iterations[l] = i;
        if (largest_force[l] <= plan_.tolerance || !(largest_force[l] < 1e300)) moving_[l] = 0.0;
        any = any || moving_[l] != 0.0;
        steer(l, p[l], v2[l], f2[l]);
      }
      if (!any || i == plan_.most_iterations) return;
      move();
      field_.after_drift(workspace_);
      field_.forces();
    }
  }

 private:
  alignas(64) double keep_[pack_size], pull_[pack_size];  // v = keep v + pull f

  // Sums of f v, v^2 and f^2 over each replica. Terms are scaled by the largest force and speed and rounded to multiples of 2^-40, so
  // that sums are exact and do not depend on the order of the particles, nor the minimum on how neighbours are found.
  void measure(double* power, double* speed2, double* force2) {
    const BlockState<D>& s = field_.state;
    Pack most_f(0.0), most_v(0.0);
    for (std::int64_t r = 0; r < s.blocks * D; ++r) {
      const Pack f = absolute(load(s.f + r * pack_size));
      const PackU finite = less_mask(f, Pack(1e300));  // what is no number counts as infinite
      most_f = maximum(from_bits((to_bits(f) & finite) | (to_bits(Pack(__builtin_inf())) & ~finite)), most_f);
      most_v = maximum(absolute(load(s.v + r * pack_size)), most_v);
    }
    alignas(64) double largest_speed[pack_size], over_f[pack_size], over_v[pack_size];
    store(largest_force, field_.largest(most_f));
    store(largest_speed, field_.largest(most_v));
    for (int l = 0; l < pack_size; ++l) {
      over_f[l] = largest_force[l] > 0.0 ? 1.0 / largest_force[l] : 0.0;
      over_v[l] = largest_speed[l] > 0.0 ? 1.0 / largest_speed[l] : 0.0;
    }
    const Pack scale_f = load(over_f), scale_v = load(over_v);
    scaled_sum(s.f, scale_f, s.v, scale_v, power);
    scaled_sum(s.v, scale_v, s.v, scale_v, speed2);
    scaled_sum(s.f, scale_f, s.f, scale_f, force2);
    for (int l = 0; l < pack_size; ++l) {
      power[l] *= largest_force[l] * largest_speed[l];
      speed2[l] *= largest_speed[l] * largest_speed[l];
      force2[l] *= largest_force[l] * largest_force[l];
    }
  }

  void scaled_sum(const double* a, Pack scale_a, const double* b, Pack scale_b, double* out) const {
    constexpr double magic = 1.5 * 4096.0, quantum = 1.0 / 1099511627776.0;  // 1.5 * 2^52 quanta
    const BlockState<D>& s = field_.state;
    alignas(64) std::uint64_t quanta[pack_size];
    field_.sum_by_lane(
        [&](std::int64_t block) GLASSNF_INLINE {
          PackU terms(0);
          for_axes<D>([&](auto k) GLASSNF_INLINE {
            const std::int64_t at = s.at(block, k);
            const Pack rounded = fused(load(a + at) * scale_a, load(b + at) * scale_b, Pack(magic));
            terms = terms + (to_bits(rounded) - PackU(to_bits(magic)));
          });
          return terms;
        },
        quanta);
    for (int l = 0; l < pack_size; ++l) out[l] = static_cast<double>(static_cast<std::int64_t>(quanta[l])) * quantum;
  }

  // Time step and mixing of a lane, from the power of the forces.
  void steer(int l, double power, double speed2, double force2) {
    back_[l] = 0.0;
    if (power > 0.0) {
      if (++downhill_[l] > patience) {
        timestep_[l] = minimum(timestep_[l] * grow, plan_.largest_timestep);
        mixing_[l] *= mixing_decay;
      }
    } else if (speed2 > 0.0) {
      downhill_[l] = 0;
      timestep_[l] *= shrink;
      mixing_[l] = first_mixing;
      back_[l] = -0.5 * timestep_[l] / shrink;  // half of the last step, back
      speed2 = 0.0;
    }
    // v += dt f, then v = (1 - mixing) v + mixing |v| f / |f|, with the speed before the kick.
    const double share = force2 > 0.0 ? mixing_[l] * square_root(speed2 / force2) : 0.0;
    keep_[l] = speed2 > 0.0 ? 1.0 - mixing_[l] : 0.0;
    pull_[l] = (speed2 > 0.0 ? (1.0 - mixing_[l]) : 1.0) * timestep_[l] + share;
  }

  void move() {
    const BlockState<D>& s = field_.state;
    const Pack keep_part = load(keep_), pull = load(pull_), timestep = load(timestep_), back = load(back_), moving = load(moving_);
    const Pack furthest(0.1 * system_.cutoff / 2.5);
    const PackU going = less_mask(Pack(0.0), moving);
    for (std::int64_t b = 0; b < s.blocks; ++b)
      for_axes<D>([&](auto k) GLASSNF_INLINE {
        const std::int64_t at = s.at(b, k);
        const Pack old = load(s.v + at), v = keep(fused(pull, load(s.f + at), keep_part * old), going);
        Pack dx = fused(timestep, v, back * old);
        dx = keep(maximum(minimum(dx, furthest), Pack(0.0) - furthest), going);
        Pack x = load(s.x + at) + dx;
        store(s.v + at, v);
        const Pack box = box_.at(k);
        const PackU below = less_mask(x, Pack(0.0));
        x = x + keep(box, below);
        const PackU above = ~less_mask(x, box);
        store(s.x + at, x - keep(box, above));
        store(s.images + at, load(s.images + at) - keep(Pack(1.0), below) + keep(Pack(1.0), above));
      });
  }
};

template <int D, class Field>
void run_fire(const SystemView& system, const DynamicsBatch& batch, const MinimisePlan& plan, const MinimiseOutput& output,
              Field& field, Workspace& workspace) {
  Fire<D, Field> fire(system, plan, field, workspace);
  fire.run();
  const BlockState<D>& s = field.state;
  for (std::int64_t r = 0; r < s.blocks * D; ++r) store(s.v + r * pack_size, Pack(0.0));
  hand_back<D>(system, batch, field);
  write_energies<D>(system, field, batch.energy);
  for (std::int64_t l = 0; l < field.replicas(); ++l) {
    output.iterations[field.first() + l] = fire.iterations[l];
    output.largest_force[field.first() + l] = fire.largest_force[l];
  }
}

// ---- entries of the kernel table ----------------------------------------------------------------------------------------------------------

// Calls f(field) with the forces that suit the block: replicas first .. first + count - 1.
template <class F>
void with_field(const SystemView& system, const DynamicsBatch& batch, std::int64_t first, std::int64_t count, bool lists,
                Workspace& workspace, F&& f) {
  with_system(system, [&]<int D, class P, bool Fast>(P potential) {
    if (lists) {
      ListField<D, P, Fast> field(system, batch, first, count, workspace, potential);
      f.template operator()<D>(field);
    } else {
      LaneField<D, P, Fast> field(system, batch, first, count, workspace, potential);
      f.template operator()<D>(field);
    }
  });
}

void dynamics(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const DynamicsOutput& output,
              std::int64_t first, std::int64_t count, bool lists, Workspace& workspace) {
  with_field(system, batch, first, count, lists, workspace,
             [&]<int D>(auto& field) { run_dynamics<D>(system, batch, plan, output, field, workspace); });
}

void minimise(const SystemView& system, const DynamicsBatch& batch, const MinimisePlan& plan, const MinimiseOutput& output,
              std::int64_t first, std::int64_t count, bool lists, Workspace& workspace) {
  with_field(system, batch, first, count, lists, workspace,
             [&]<int D>(auto& field) { run_fire<D>(system, batch, plan, output, field, workspace); });
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
