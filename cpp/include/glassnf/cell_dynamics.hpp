// Molecular dynamics of replicas that are too large for a group of lanes, a particle at a time: what the threads of a GPU do between two
// launches of a kernel. In each step particles are moved and counted by cell, brought into the order of the cells, and within a cell of
// their indices; then the force on each is summed over the cells around it. Force sums are exact (ForceQuantum), so that trajectories
// have the bits of the CPU kernels, however those find neighbours.
#pragma once

#include "glassnf/cells.hpp"
#include "glassnf/group_rows.hpp"
#include "glassnf/particle_dynamics.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Some replicas of a batch and the memory that their steps need. Particles are numbered through all of them, cells too; a slot is a place in
// the order of the cells.
template <int D>
struct CellDynamics {
  DynamicsJob<D> job;
  CellGrid<D> grid;
  std::int64_t cells;            // of one replica; 1 where all pairs are as good, and slots are particles
  std::int64_t replicas, count;  // count: particles of all of them
  double *positions, *velocities;
  std::int32_t* images;
  const std::int32_t* species;
  const double* beta;
  const std::int64_t* ids;
  std::int64_t* failure;
  double* forces;             // (count, D)
  std::int32_t* counts;       // (cells + 1,) of all replicas: particles by cell; the last stays 0
  std::int32_t* start;        // (cells + 1,) first slot of each cell
  std::int32_t *key, *place;  // (count,) by particle: its cell, how many came there before it
  std::int32_t* loose;        // (count,) by slot: a particle of its cell
  std::int32_t* particle_of;  // (count,) by slot, in order
  double* x;                  // (D, count) by slot
  std::uint8_t* kinds;        // (count,) species by slot

  GLASSNF_HD std::int64_t replica_of(std::int64_t particle_or_slot) const { return particle_or_slot / job.n; }

  GLASSNF_HD Vec<double, D> position(std::int64_t particle) const {
    Vec<double, D> result;
    for_axes<D>([&](auto k) { result.at(k) = positions[particle * D + k]; });
    return result;
  }
  GLASSNF_HD Vec<double, D> at(std::int64_t slot) const {
    Vec<double, D> result;
    for_axes<D>([&](auto k) { result.at(k) = x[k * count + slot]; });
    return result;
  }

  // The first half of a step, number `step` of the ensemble. False if the particle has blown up: it is then left where it was, so that it
  // has a cell.
  GLASSNF_HD bool move(std::int64_t particle, std::uint64_t step) const {
    const std::int64_t r = replica_of(particle);
    RandomKeys<std::uint64_t> random(job.seed, Stream::thermostat, static_cast<std::uint64_t>(ids[r]));
    random.set_step(step);
    LangevinCoefficients noise{1.0, 0.0};
    if (job.langevin) noise = LangevinCoefficients::make(job.friction, job.timestep, 1.0 / beta[r]);
    Vec<double, D> place = position(particle), v, f;
    for_axes<D>([&](auto k) {
      v.at(k) = velocities[particle * D + k];
      f.at(k) = forces[particle * D + k];
    });
    int crossing[D] = {};
    if (!first_half(job, noise, random, static_cast<std::uint64_t>(particle - r * job.n), f, place, v, crossing)) return false;
    for_axes<D>([&](auto k) {
      positions[particle * D + k] = place.at(k);
      velocities[particle * D + k] = v.at(k);
      if (crossing[k]) images[particle * D + k] += crossing[k];
    });
    return true;
  }

  GLASSNF_HD std::int32_t cell_of(std::int64_t particle) const {
    int c[D];
    for_axes<D>([&](auto k) { c[k] = grid.along(k, positions[particle * D + k]); });
    return static_cast<std::int32_t>(replica_of(particle) * cells + grid.index(c));
  }
  GLASSNF_HD void scatter(std::int64_t particle) const {
    loose[start[key[particle]] + place[particle]] = static_cast<std::int32_t>(particle);
  }
  // Takes the particle at a place of `loose` to its slot.
  GLASSNF_HD void arrange(std::int64_t from) const {
    std::int64_t particle = from, slot = from;
    if (cells > 1) {
      particle = loose[from];
      const std::int64_t first = start[key[particle]], last = start[key[particle] + 1];
      slot = first;
      for (std::int64_t other = first; other < last; ++other) slot += loose[other] < particle;
    }
    particle_of[slot] = static_cast<std::int32_t>(particle);
    kinds[slot] = static_cast<std::uint8_t>(species[particle]);
    for_axes<D>([&](auto k) { x[k * count + slot] = positions[particle * D + k]; });
  }

  // Calls body(first, last) for the ranges of slots that may hold neighbours of the particle in a slot.
  template <class Body>
  GLASSNF_HD void around(std::int64_t slot, Body&& body) const {
    const std::int64_t r = replica_of(slot);
    if (cells <= 1) {
      body(static_cast<int>(r * job.n), static_cast<int>((r + 1) * job.n));
      return;
    }
    int c[D];
    grid.coordinates(key[particle_of[slot]] - r * cells, c);
    for_ranges<D>(grid, start + r * cells, c, body);
  }

  // Force on the particle in a slot; `scales`: PairLaw::force_scale by pair of species. Adds the number of its candidates.
  template <class Potential, bool Uniform>
  GLASSNF_HD Vec<double, D> force(const PairLaw<D, Potential, Uniform>& law, const double* scales, std::int64_t slot,
                                  std::int64_t& candidates) const {
    const Vec<double, D> own = at(slot);
    const int kind = kinds[slot];
    Vec<double, D> sum{};
    around(slot, [&](int first, int last) {
      candidates += last - first;
      for (int j = first; j < last; ++j) {
        const int other = kinds[j];
        law.add_force(own, at(j), law.table(kind, other), scales[kind * job.species_count + other], slot == j, sum);
      }
    });
    candidates -= 1;
    return sum;
  }
  template <class Potential, bool Uniform>
  GLASSNF_HD double energy(const PairLaw<D, Potential, Uniform>& law, std::int64_t slot) const {
    const Vec<double, D> own = at(slot);
    const int kind = kinds[slot];
    double row = 0.0;
    around(slot, [&](int first, int last) {
      for (int j = first; j < last; ++j) row += law.energy(own, at(j), law.table(kind, kinds[j]), slot == j);
    });
    return row;
  }

  // Keeps the force on the particle in a slot and, in a step, does its second half; false if the particle has blown up in it.
  GLASSNF_HD bool take(std::int64_t slot, const Vec<double, D>& f, bool kick) const {
    const std::int64_t particle = particle_of[slot];
    for_axes<D>([&](auto k) { forces[particle * D + k] = f.at(k); });
    if (!kick) return true;
    Vec<double, D> v;
    for_axes<D>([&](auto k) { v.at(k) = velocities[particle * D + k]; });
    const bool fine = second_half(job, f, v);
    for_axes<D>([&](auto k) { velocities[particle * D + k] = v.at(k); });
    return fine;
  }

  GLASSNF_HD std::uint64_t kinetic_quanta(std::int64_t particle) const {
    std::uint64_t sum = 0;
    for_axes<D>([&](auto k) { sum += job.kinetic_grid.square(velocities[particle * D + k]); });
    return sum;
  }
  GLASSNF_HD double rescaling(std::int64_t r, std::uint64_t quanta, std::uint64_t step) const {
    RandomKeys<std::uint64_t> random(job.seed, Stream::thermostat, static_cast<std::uint64_t>(ids[r]));
    random.set_step(step);
    const double kinetic = job.kinetic_grid.energy(static_cast<std::int64_t>(quanta));
    return rescaling_factor(random, job.rescaling_decay, kinetic, 1.0 / beta[r], job.degrees());
  }
};

// Twice the potential energy of a replica of any size, in quanta: two integers, high * 2^25 + low, that wrap as they are summed.
struct WideEnergy {
  std::uint64_t low, high;
  std::uint64_t rough;  // not zero once a row has left the range of exact sums

  static GLASSNF_HD WideEnergy of_row(double row, const EnergyQuantum& grid) {
    const bool exact = absolute(row) <= grid.limit;
    const std::int64_t quanta = exact ? static_cast<std::int64_t>(row * (1.0 / grid.quantum)) : 0;
    const std::int64_t low = quanta & ((std::int64_t(1) << 25) - 1);
    return {static_cast<std::uint64_t>(low), static_cast<std::uint64_t>((quanta - low) >> 25), exact ? 0u : 1u};
  }
  GLASSNF_HD double energy(const EnergyQuantum& grid) const {  // both terms are exact, and their sum is rounded once
    const double upper = static_cast<double>(static_cast<std::int64_t>(high)) * 33554432.0;
    return (upper + static_cast<double>(static_cast<std::int64_t>(low))) * (0.5 * grid.quantum);
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
