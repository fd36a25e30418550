// Molecular dynamics of one replica by a group of lanes: the bits of the CPU kernel (cpp/src/kernels/dynamics_kernel.cpp).
//
// The state lives in an arena, on chip. Particles are in slots, sorted by species, so that the coefficients of a pair change with the
// species of the partner only. Each lane owns the slots lane, lane + size, ...: it moves them and sums up their forces over all
// partners, every pair from both sides. It takes `tile` of its slots through the partners at a time: a partner is read once for all of
// them, and their chains of operations run side by side. Force sums are exact (ForceQuantum), so that neither the order of the
// slots nor the number of lanes counts.
#pragma once

#include "glassnf/group.hpp"
#include "glassnf/particle_dynamics.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Beyond, cells save more than the sorting of the particles costs (cell_dynamics.hpp).
inline constexpr std::int64_t most_group_dynamics = 256;

// Memory of one replica, in bytes from the start of its arena.
struct DynamicsArena {
  std::int64_t places, velocities, forces, images, start, particle_of, species, bytes;

  static GLASSNF_HD DynamicsArena make(std::int64_t n, int dimension, int species_count) {
    DynamicsArena a{};
    a.places = 0;
    a.velocities = a.places + 8 * n * dimension;
    a.forces = a.velocities + 8 * n * dimension;
    a.images = a.forces + 8 * n * dimension;
    a.start = a.images + 4 * n * dimension;
    a.particle_of = a.start + 4 * (species_count + 1);
    a.species = a.particle_of + 2 * n;
    a.bytes = a.species + n;
    // Arenas of neighbouring groups start 64 bytes apart in the 128 bytes of the memory banks.
    a.bytes = (a.bytes + 127) / 128 * 128 + 64;
    return a;
  }
};

// Calls body(Axis<0>{}) ... body(Axis<Count - 1>{}): a loop unrolled by construction, which leaves arrays in registers.
template <int Count, class Body>
GLASSNF_HD void unrolled(Body&& body) {
  if constexpr (Count > 0) {
    unrolled<Count - 1>(body);
    body(Axis<Count - 1>{});
  }
}

// Replica: the arrays of one replica in a batch and its output (cpp/src/dynamics_job.hpp), found when they are needed, since few registers
// are free while forces are summed.
template <class Group, int Tile, int D, class Potential, bool Uniform, class Replica>
class GroupDynamics {
  template <class T>
  using PerLane = typename Group::template PerLane<T>;
  using Vector = Vec<double, D>;
  // Two coordinates are read at once.
  struct alignas(D == 2 ? 16 : 8) Place {
    double x[D];
  };

  const Group& group_;
  const DynamicsJob<D>& job_;
  const Replica replica_;
  const PairLaw<D, Potential, Uniform> law_;
  LangevinCoefficients noise_{1.0, 0.0};
  Place* places_;
  double *v_, *f_;  // axis by axis
  std::int32_t *images_, *start_;
  std::uint16_t* particle_of_;
  std::uint8_t* species_;

 public:
  GLASSNF_HD GroupDynamics(const Group& group, const DynamicsJob<D>& job, const Replica& replica, const double* coefficients,
                           char* arena, const DynamicsArena& layout)
      : group_(group), job_(job), replica_(replica), law_(job, coefficients) {
    places_ = reinterpret_cast<Place*>(arena + layout.places);
    v_ = reinterpret_cast<double*>(arena + layout.velocities);
    f_ = reinterpret_cast<double*>(arena + layout.forces);
    images_ = reinterpret_cast<std::int32_t*>(arena + layout.images);
    start_ = reinterpret_cast<std::int32_t*>(arena + layout.start);
    particle_of_ = reinterpret_cast<std::uint16_t*>(arena + layout.particle_of);
    species_ = reinterpret_cast<std::uint8_t*>(arena + layout.species);
    if (job.langevin) noise_ = LangevinCoefficients::make(job.friction, job.timestep, 1.0 / replica.beta());
    arrange();
  }

  // All steps of the job, with records. The replica's arrays are up to date when it returns, unless it has blown up: then its failure has
  // the step, from 1.
  GLASSNF_HD void run() {
    std::int64_t next = 0;
    for (std::int64_t done = 0;; ++done) {  // forces and energies are evaluated in one place each: their code is long
      const std::uint64_t step = job_.step + static_cast<std::uint64_t>(done) - 1;  // of the ensemble
      if (done > 0 && !move(step)) {
        group_.once([&] { *replica_.failure() = job_.steps_before + done; });
        return;
      }
      if (!make_forces(done > 0)) {
        group_.once([&] { *replica_.failure() = job_.steps_before + done; });
        return;
      }
      if (job_.rescaling && done > 0) rescale(step);
      const bool last = done == job_.steps, recorded = done > 0 && next < job_.records && job_.record_at[next] == done;
      if (!last && !recorded) continue;
      const double potential = energy();
      if (recorded) record(job_.first_record + next++, potential);
      if (!last) continue;
      hand_back();
      group_.once([&] {
        *replica_.energy() = potential;
        *replica_.pair_evaluations() += job_.steps * (static_cast<std::int64_t>(job_.n) * (job_.n - 1) / 2);
      });
      return;
    }
  }

 private:
  GLASSNF_HD Vector at(int slot) const {
    const Place place = places_[slot];
    Vector result;
    for_axes<D>([&](auto k) { result.at(k) = place.x[k]; });
    return result;
  }
  template <class Each>
  GLASSNF_HD void own_slots(const Each& each) const {
    group_.lanes([&](int lane) {
      for (int slot = lane; slot < job_.n; slot += Group::size) each(slot);
    });
  }

  // ---- between the replica's arrays and the arena -------------------------------------------------------------------------------

  // Slots by species, and within a species by index.
  GLASSNF_HD void arrange() {
    const int n = job_.n;
    group_.lanes([&](int lane) {
      for (int b = lane; b <= job_.species_count; b += Group::size) {
        int before = 0;
        for (int p = 0; p < n; ++p) before += replica_.species()[p] < b;
        start_[b] = before;
      }
      for (int p = lane; p < n; p += Group::size) {
        const std::int32_t own = replica_.species()[p];
        int slot = 0;
        for (int q = 0; q < n; ++q) {
          const std::int32_t other = replica_.species()[q];
          slot += other < own || (other == own && q < p);
        }
        particle_of_[slot] = static_cast<std::uint16_t>(p);
        species_[slot] = static_cast<std::uint8_t>(own);
        for_axes<D>([&](auto k) {
          places_[slot].x[k] = replica_.positions()[p * D + k];
          v_[k * n + slot] = replica_.velocities()[p * D + k];
          images_[k * n + slot] = replica_.images()[p * D + k];
        });
      }
    });
  }
  GLASSNF_HD void hand_back() const {
    own_slots([&](int slot) {
      const int p = particle_of_[slot];
      for_axes<D>([&](auto k) {
        replica_.positions()[p * D + k] = places_[slot].x[k];
        replica_.velocities()[p * D + k] = v_[k * job_.n + slot];
        replica_.images()[p * D + k] = images_[k * job_.n + slot];
      });
    });
  }
  GLASSNF_HD void record(std::int64_t index, double potential) const {
    const std::int64_t skipped = index * replica_.stride(), n = job_.n;
    const double kinetic = kinetic_energy();
    group_.once([&] {
      replica_.record_energy()[skipped] = potential;
      replica_.record_kinetic()[skipped] = kinetic;
    });
    if (!replica_.record_positions() && !replica_.record_velocities() && !replica_.record_species()) return;
    own_slots([&](int slot) {
      const std::int64_t p = particle_of_[slot];
      for_axes<D>([&](auto k) {
        const std::int64_t to = (skipped * n + p) * D + k;
        if (replica_.record_positions()) replica_.record_positions()[to] = places_[slot].x[k] + images_[k * n + slot] * job_.box[k];
        if (replica_.record_velocities()) replica_.record_velocities()[to] = v_[k * n + slot];
      });
      if (replica_.record_species()) replica_.record_species()[skipped * n + p] = species_[slot];
    });
  }

  // ---- a step -----------------------------------------------------------------------------------------------------------------------

  // False if a particle has blown up.
  GLASSNF_HD bool move(std::uint64_t step) {
    RandomKeys<std::uint64_t> key(job_.seed, Stream::thermostat, replica_.id());
    key.set_step(step);
    const int n = job_.n;
    PerLane<bool> wild;
    group_.lanes([&](int lane) {
      wild[lane] = false;
      for (int slot = lane; slot < n; slot += Group::size) {
        Vector x = at(slot), v, f;
        for_axes<D>([&](auto k) {
          v.at(k) = v_[k * n + slot];
          f.at(k) = f_[k * n + slot];
        });
        int crossing[D] = {};
        if (!first_half(job_, noise_, key, particle_of_[slot], f, x, v, crossing)) wild[lane] = true;
        Place place;
        for_axes<D>([&](auto k) {
          place.x[k] = x.at(k);
          v_[k * n + slot] = v.at(k);
          images_[k * n + slot] += crossing[k];
        });
        places_[slot] = place;
      }
    });
    return group_.ballot(wild) == 0;
  }

  // Forces, and with `kick` the second half of the step; false if a particle has blown up in it.
  GLASSNF_HD bool make_forces(bool kick) {
    const int n = job_.n;
    PerLane<bool> wild;
    group_.lanes([&](int lane) {
      wild[lane] = false;
      for (int first = lane; first - lane < n; first += Group::size * Tile) {
        int own[Tile];
        Vector x[Tile], force[Tile];
        unrolled<Tile>([&](auto t) {
          own[t] = first + t * Group::size < n ? first + t * Group::size : n - 1;  // the last slot once more, for nothing
          x[t] = at(own[t]);
          force[t] = Vector{};
        });
        for (int b = 0; b < job_.species_count; ++b) {
          PairCoefficients<double> c[Tile];
          double scale[Tile];
          unrolled<Tile>([&](auto t) {
            c[t] = law_.table(species_[own[t]], b);
            scale[t] = law_.force_scale(c[t]);
          });
          for (int j = start_[b]; j < start_[b + 1]; ++j) {
            const Vector y = at(j);
            unrolled<Tile>([&](auto t) { law_.add_force(x[t], y, c[t], scale[t], own[t] == j, force[t]); });
          }
        }
        unrolled<Tile>([&](auto t) {
          if (first + t * Group::size >= n) return;
          for_axes<D>([&](auto k) { f_[k * n + own[t]] = force[t].at(k); });
          if (!kick) return;
          Vector v;
          for_axes<D>([&](auto k) { v.at(k) = v_[k * n + own[t]]; });
          if (!second_half(job_, force[t], v)) wild[lane] = true;
          for_axes<D>([&](auto k) { v_[k * n + own[t]] = v.at(k); });
        });
      }
    });
    return group_.ballot(wild) == 0;
  }

  GLASSNF_HD double energy() const {
    PerLane<std::int64_t> quanta;
    PerLane<double> totals;
    PerLane<bool> rough;
    group_.lanes([&](int lane) {
      RowSum sum;
      for (int slot = lane; slot < job_.n; slot += Group::size) {
        const Vector x = at(slot);
        double row = 0.0;
        for (int b = 0; b < job_.species_count; ++b) {
          const PairCoefficients<double> c = law_.table(species_[slot], b);
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
          for (int j = start_[b]; j < start_[b + 1]; ++j) row += law_.energy(x, at(j), c, slot == j);
        }
        sum.add(row, job_.energy_grid);
      }
      quanta[lane] = sum.quanta;
      totals[lane] = sum.total;
      rough[lane] = sum.rough;
    });
    const std::int64_t twice = group_.sum(quanta);
    const double plain = group_.sum(totals);
    return group_.ballot(rough) ? 0.5 * plain : static_cast<double>(twice) * (0.5 * job_.energy_grid.quantum);
  }

  GLASSNF_HD double kinetic_energy() const {
    PerLane<std::int64_t> quanta;
    group_.lanes([&](int lane) {
      std::uint64_t sum = 0;
      for (int slot = lane; slot < job_.n; slot += Group::size)
        for_axes<D>([&](auto k) { sum += job_.kinetic_grid.square(v_[k * job_.n + slot]); });
      quanta[lane] = static_cast<std::int64_t>(sum);
    });
    return job_.kinetic_grid.energy(group_.sum(quanta));
  }

  // Every lane finds the factor for itself.
  GLASSNF_HD void rescale(std::uint64_t step) {
    const double kinetic = kinetic_energy();
    RandomKeys<std::uint64_t> key(job_.seed, Stream::thermostat, replica_.id());
    key.set_step(step);
    const double factor = rescaling_factor(key, job_.rescaling_decay, kinetic, 1.0 / replica_.beta(), job_.degrees());
    own_slots([&](int slot) { for_axes<D>([&](auto k) { v_[k * job_.n + slot] *= factor; }); });
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
