// Energy, force and virial of one particle: a sum over its neighbours, in double precision, or with the arithmetic of each pair in
// single precision.
//
// Single precision keeps coordinates as integers, fractions of the box in units of 2^-32: differences are exact, and integer overflow
// is the minimum image. What is lost is 2^-33 of the box per coordinate, and the rounding of the pair's own arithmetic. Eight pairs at a
// time are summed in single precision, everything else in double.
#pragma once

#include "glassnf/box.hpp"
#include "glassnf/coefficient_table.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Coordinates as a kernel of the given precision keeps them, and differences of two of them, nearest images.
template <class Real>
struct Coordinate;

template <>
struct Coordinate<double> {
  using Stored = double;
  double length, inverse;

  Coordinate() = default;
  GLASSNF_HD explicit Coordinate(double side) : length(side), inverse(1.0 / side) {}
  GLASSNF_HD Stored store(double x) const { return x; }
  GLASSNF_HD double difference(Stored a, Stored b) const { return minimum_image(a - b, length, inverse); }
};

template <>
struct Coordinate<float> {
  using Stored = std::uint32_t;
  double per_length;
  float unit;

  Coordinate() = default;
  GLASSNF_HD explicit Coordinate(double side) : per_length(4294967296.0 / side), unit(static_cast<float>(side / 4294967296.0)) {}
  GLASSNF_HD Stored store(double x) const {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(x * per_length + 0.5));  // 2^32 becomes 0, its image
  }
  GLASSNF_HD float difference(Stored a, Stored b) const { return static_cast<float>(static_cast<std::int32_t>(a - b)) * unit; }
};

// Energy and virial are counted twice over all particles: each pair is met from both sides.
template <int D, bool Forces, bool Virial>
struct ParticleSums {
  double energy = 0.0, force[D] = {}, virial[Virial ? D * D : 1] = {};
};

template <class Real, int D, class Potential, bool Uniform, bool Forces, bool Virial>
class PairAccumulator {
  static_assert(Forces || !Virial);
  static constexpr int flush_after = sizeof(Real) == 4 ? 8 : 0;  // double sums directly

  const Potential& potential_;
  const CoefficientTable<Real, Uniform>& table_;
  const Coordinate<Real>* axes_;
  ParticleSums<D, Forces, Virial> sums_;
  Real energy_ = 0, force_[D] = {}, virial_[Virial ? D * D : 1] = {};
  int waiting_ = 0;

 public:
  using Stored = typename Coordinate<Real>::Stored;

  GLASSNF_HD PairAccumulator(const Potential& potential, const CoefficientTable<Real, Uniform>& table, const Coordinate<Real>* axes)
      : potential_(potential), table_(table), axes_(axes) {}

  GLASSNF_HD void add(const Stored (&x)[D], int species, const Stored (&y)[D], int other) {
    Vec<Real, D> dx;
    for_axes<D>([&](auto k) { dx.at(k) = axes_[k].difference(x[k], y[k]); });
    const PairCoefficients<Real> c = table_(species, other);
    const Real q = dot(dx, dx) * c.inverse_sigma2;
    if constexpr (!Forces) {
      energy_ += pair_energy(potential_, q, c);
    } else {
      Real v, factor;
      pair_energy_and_force(potential_, q, c, v, factor);
      energy_ += v;
      for_axes<D>([&](auto k) {
        force_[k] = fused(factor, dx.at(k), force_[k]);
        if constexpr (Virial)
          for_axes<D>([&](auto l) { virial_[k * D + l] = fused(factor, dx.at(k) * dx.at(l), virial_[k * D + l]); });
      });
    }
    if constexpr (flush_after > 0)
      if (++waiting_ == flush_after) flush();
  }
  GLASSNF_HD const ParticleSums<D, Forces, Virial>& finish() {
    flush();
    return sums_;
  }

 private:
  GLASSNF_HD void flush() {
    sums_.energy += static_cast<double>(energy_);
    energy_ = 0;
    waiting_ = 0;
    if constexpr (Forces)
      for (int k = 0; k < D; ++k) {
        sums_.force[k] += static_cast<double>(force_[k]);
        force_[k] = 0;
      }
    if constexpr (Virial)
      for (int k = 0; k < D * D; ++k) {
        sums_.virial[k] += static_cast<double>(virial_[k]);
        virial_[k] = 0;
      }
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
