// Molecular dynamics of particles of mass 1: forces on a grid, integrators, thermostats, as functions of numbers.
//
// Velocity Verlet: v += dt/2 f, x += dt v, new forces, v += dt/2 f (Swope, Andersen, Berens, Wilson, J. Chem. Phys. 76, 637, 1982).
// Langevin dynamics by BAOAB: the same with x += dt/2 v, v = c v + sqrt((1 - c^2) T) xi, x += dt/2 v in the middle, c = exp(-gamma dt)
// (Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34). Stochastic velocity rescaling: velocity Verlet, then all velocities
// times one random factor (Bussi, Donadio, Parrinello, J. Chem. Phys. 126, 014101, 2007).
//
// Sums of pair forces are exact, like those of pair energies in Monte Carlo (potentials.hpp): each component of a pair force is rounded to
// a multiple of 2^-36 of the energy scale over sigma, and sums of such numbers are exact in double precision while they stay below 2^17 of
// that unit. So the force on a particle does not depend on the order in which its neighbours are found, and a trajectory not on how they are
// found, nor on when the lists of them were made. The rounding, 10^-11, is far below the error of any time step.
#pragma once

#include "glassnf/elementary.hpp"
#include "glassnf/potentials.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

enum class Thermostat : int { none = 0, langevin = 1, rescaling = 2 };

struct ForceQuantum {
  double magic;  // 1.5 * 2^52 quanta

  // scale: the largest epsilon, rounded up to a power of two.
  static GLASSNF_HD ForceQuantum from_scale(double scale) { return {1.5 * 4503599627370496.0 * (scale / 68719476736.0)}; }
  template <class F>
  GLASSNF_HD F product(F a, F b) const {
    return fused(a, b, F(magic)) - F(magic);
  }
};

// Minus V'(r) / r, without the continuation below q_floor: who gets there has blown up, and not-a-number says so.
// scale = -2 inverse_sigma2 prefactor.
template <class Potential, class F>
GLASSNF_HD F force_factor(const Potential& potential, F q, const PairCoefficients<F>& c, F scale) {
  F v, slope;
  potential.reduced_and_slope(q, c, v, slope);
  return where_less(q, c.q_cut, scale * slope);
}

// Squared speeds summed exactly, in whole quanta of 2^-34 of the energy scale; `most_speed` keeps them in range.
struct KineticQuantum {
  double magic, quantum;

  static GLASSNF_HD KineticQuantum from_scale(double scale) {
    const double quantum = scale / 17179869184.0;
    return {1.5 * 4503599627370496.0 * quantum, quantum};
  }
  // Quanta of v^2, as an integer in each lane.
  template <class F>
  GLASSNF_HD typename BitsOf<F>::type square(F v) const {
    using U = typename BitsOf<F>::type;
    return to_bits(fused(v, v, F(magic))) - U(to_bits(magic));
  }
  GLASSNF_HD double energy(std::int64_t quanta) const { return 0.5 * static_cast<double>(quanta) * quantum; }
};

// A particle that is faster than this has blown up: it would go a fifth of the cutoff in one time step, or have more than 2^16 times
// the energy scale.
GLASSNF_HD double most_speed(double cutoff, double timestep, double scale) {
  return minimum(0.2 * cutoff / timestep, 256.0 * square_root(scale));
}

// A force component beyond this leaves the range of exact sums, and counts as a blow-up too.
GLASSNF_HD double most_force(double scale) { return 65536.0 * scale; }

// What the middle of a BAOAB step does to a velocity: v = decay v + noise xi.
struct LangevinCoefficients {
  double decay, noise;

  static GLASSNF_HD LangevinCoefficients make(double friction, double timestep, double temperature) {
    const double c = exponential(maximum(-friction * timestep, -700.0));
    return {c, square_root((1.0 - c * c) * temperature)};
  }
};

// Sum of the squares of `count` standard normal numbers, twice a Gamma(count / 2) variate (Marsaglia and Tsang, ACM Trans. Math. Softw. 26,
// 363, 2000). Uses draw 0 of moves first, first + 1, ...
GLASSNF_HD double sum_of_squared_normals(const RandomKeys<std::uint64_t>& key, std::uint64_t first, std::int64_t count) {
  double a, b;
  if (count <= 0) return 0.0;
  if (count == 1) {
    normal_pair(key.block(first, 0), a, b);
    return a * a;
  }
  const double d = 0.5 * static_cast<double>(count) - 1.0 / 3.0, c = 1.0 / square_root(9.0 * d);
  for (std::uint64_t move = first;; move += 2) {
    normal_pair(key.block(move, 0), a, b);
    const double w = 1.0 + c * a;
    if (!(w > 0.0)) continue;
    const double v = w * w * w;
    const auto block = key.block(move + 1, 0);
    const double u = unit_interval<double>(block.w0, block.w1);
    // log u < a^2 / 2 + d - d v + d log v
    if (0.5 * a * a + d - d * v - d * negative_log(v) + negative_log(u) > 0.0) return 2.0 * d * v;
  }
}

// The factor of stochastic velocity rescaling (Bussi, Donadio, Parrinello 2007, eq. A7) for a kinetic energy and its degrees of freedom;
// decay = exp(-dt / relaxation time).
GLASSNF_HD double rescaling_factor(const RandomKeys<std::uint64_t>& key, double decay, double kinetic, double temperature,
                                   std::int64_t degrees) {
  if (!(kinetic > 0.0)) return 1.0;
  double normal, unused;
  normal_pair(key.block(0, 0), normal, unused);
  const double others = sum_of_squared_normals(key, 1, degrees - 1);
  const double share = 0.5 * temperature / kinetic * (1.0 - decay);
  const double square = decay + share * (normal * normal + others) + 2.0 * square_root(decay * share) * normal;
  const double factor = square_root(maximum(square, 0.0));
  return normal + square_root(decay / share) < 0.0 ? -factor : factor;
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
