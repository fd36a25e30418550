// Molecular dynamics a particle at a time, for the lanes of a GPU: the first half of a step, the force and the energy of a pair. The
// operations are those of the packs in cpp/src/kernels/dynamics_kernel.cpp, in the same order, so that trajectories have the same bits.
#pragma once

#include "glassnf/box.hpp"
#include "glassnf/coefficient_table.hpp"
#include "glassnf/dynamics.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// What all replicas of a call share. All that the steps need again and again is here and not made where it is needed: on a GPU these are
// constants, which take no registers.
template <int D>
struct DynamicsJob {
  double box[D], inverse_box[D], cutoff, energy_scale;
  EnergyQuantum energy_grid;
  ForceQuantum force_grid;
  KineticQuantum kinetic_grid;
  double q_cut_value, c4_value, c2_value, c0_value;  // of the first pair of species, for potentials where all have the same
  double timestep, half, drift;  // kick by half the time step; drift by all of it, or by half of it on either side of the noise
  double speed_limit, force_limit, friction;
  double rescaling_decay;  // exp(-timestep / relaxation time)
  int n, species_count, exponent;
  bool langevin, rescaling;
  std::uint64_t seed, step;  // of the first time step
  std::int64_t steps, records, first_record;
  std::int64_t steps_before;      // of the same call, in launches before this one
  const double* coefficients;     // (S, S, coefficient_count)
  const std::int64_t* record_at;  // (records,)

  GLASSNF_HD std::int64_t degrees() const { return D * static_cast<std::int64_t>(n > 1 ? n - 1 : 1); }
};

// First half of a step: kick, drift, for Langevin dynamics noise in the middle of the drift; coordinates back into the box. False if the
// particle has become too fast.
template <int D>
GLASSNF_HD bool first_half(const DynamicsJob<D>& job, const LangevinCoefficients& noise, const RandomKeys<std::uint64_t>& key,
                           std::uint64_t particle, const Vec<double, D>& f, Vec<double, D>& x, Vec<double, D>& v,
                           int (&crossing)[D]) {
  Vec<double, D> xi{};
  if (job.langevin) xi = normal_vector<D, double>(key, particle);
  bool fine = true;
  for_axes<D>([&](auto k) {
    if (!(absolute(f.at(k)) < job.force_limit)) fine = false;
    double speed = fused(job.half, f.at(k), v.at(k));
    double place = fused(job.drift, speed, x.at(k));
    if (job.langevin) {
      if (!(absolute(speed) < job.speed_limit)) fine = false;
      speed = fused(noise.noise, xi.at(k), noise.decay * speed);
      place = fused(job.drift, speed, place);
    }
    if (!(absolute(speed) < job.speed_limit)) fine = false;
    v.at(k) = speed;
    x.at(k) = wrap_once(place, job.box[k], crossing[k]);
  });
  return fine;
}

// Second half of a step: kick. False as above.
template <int D>
GLASSNF_HD bool second_half(const DynamicsJob<D>& job, const Vec<double, D>& f, Vec<double, D>& v) {
  bool fine = true;
  for_axes<D>([&](auto k) {
    v.at(k) = fused(job.half, f.at(k), v.at(k));
    if (!(absolute(f.at(k)) < job.force_limit && absolute(v.at(k)) < job.speed_limit)) fine = false;
  });
  return fine;
}

// Forces and energies of pairs, on the grids on which they are summed exactly. A particle and itself have neither.
template <int D, class Potential, bool Uniform>
struct PairLaw {
  const DynamicsJob<D>& job;
  Potential potential;
  CoefficientTable<double, Uniform> table;

  GLASSNF_HD PairLaw(const DynamicsJob<D>& of, const double* coefficients)
      : job(of), potential{of.exponent}, table(coefficients, of.species_count) {
    table.q_cut_value = of.q_cut_value;
    table.c4_value = of.c4_value;
    table.c2_value = of.c2_value;
    table.c0_value = of.c0_value;
  }

  static GLASSNF_HD double force_scale(const PairCoefficients<double>& c) { return -2.0 * c.inverse_sigma2 * c.prefactor; }

  GLASSNF_HD void add_force(const Vec<double, D>& xi, const Vec<double, D>& xj, const PairCoefficients<double>& c, double scale,
                            bool itself, Vec<double, D>& force) const {
    Vec<double, D> dx;
    for_axes<D>([&](auto k) {
      // minimum_image, with the difference the other way round instead of a change of sign.
      const double magic = 6755399441055744.0, d = xi.at(k) - xj.at(k);
      dx.at(k) = fused(magic - fused(d, job.inverse_box[k], magic), job.box[k], d);
    });
    const double q = dot(dx, dx) * c.inverse_sigma2;
    const double factor = force_factor(potential, itself ? c.q_cut : q, c, scale);
    for_axes<D>([&](auto k) { force.at(k) += job.force_grid.product(factor, dx.at(k)); });
  }

  GLASSNF_HD double energy(const Vec<double, D>& xi, const Vec<double, D>& xj, const PairCoefficients<double>& c,
                           bool itself) const {
    Vec<double, D> dx;
    for_axes<D>([&](auto k) { dx.at(k) = minimum_image_for_square(xi.at(k) - xj.at(k), job.box[k]); });
    const double q = dot(dx, dx) * c.inverse_sigma2;
    return quantised_pair_energy<true>(potential, itself ? c.q_cut : q, c, job.energy_grid);
  }
};

// Row sums of pair energies, in whole quanta as integers; both ends of a pair add it. Of overlaps, whose energies leave the range of exact
// sums, the plain sum has to do.
struct RowSum {
  std::int64_t quanta = 0;
  double total = 0.0;
  bool rough = false;

  GLASSNF_HD void add(double row, const EnergyQuantum& grid) {
    if (!(absolute(row) <= grid.limit)) rough = true;
    if (!rough) quanta += static_cast<std::int64_t>(row * (1.0 / grid.quantum));
    total += row;
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
