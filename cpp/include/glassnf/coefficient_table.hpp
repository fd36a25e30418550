// Coefficients of all pairs of species, as scalar code looks them up.
#pragma once

#include "glassnf/potentials.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Coefficients (S, S, coefficient_count). Uniform: all pairs have the same reduced cutoff and polynomial, which then stay in registers.
template <class Real, bool Uniform>
struct CoefficientTable {
  const Real* data;
  int species;
  Real q_cut_value, c4_value, c2_value, c0_value;

  GLASSNF_HD CoefficientTable(const Real* table, int species_count)
      : data(table),
        species(species_count),
        q_cut_value(table[q_cut]),
        c4_value(table[c4]),
        c2_value(table[c2]),
        c0_value(table[c0]) {}

  GLASSNF_HD PairCoefficients<Real> operator()(int a, int b) const {
    const Real* pair = data + (a * species + b) * coefficient_count;
    if constexpr (Uniform)
      return {pair[inverse_sigma2], pair[prefactor], q_cut_value, c4_value, c2_value, c0_value};
    else
      return {pair[inverse_sigma2], pair[prefactor], pair[q_cut], pair[c4], pair[c2], pair[c0]};
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
