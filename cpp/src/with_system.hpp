// From a system described by numbers to code compiled for it.
#pragma once

#include <stdexcept>
#include <utility>

#include "backend.hpp"
#include "glassnf/potentials.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Whether the kernels for a pair potential are part of this build.
constexpr bool built_for([[maybe_unused]] PotentialKind kind, [[maybe_unused]] int dimension) {
#if defined(GLASSNF_FEW_KERNELS)
  return kind == PotentialKind::lennard_jones && dimension == 2;
#else
  return true;
#endif
}

// Whether all pairs of species have the same reduced cutoff and polynomial, as in the built-in models.
GLASSNF_HOST bool uniform_coefficients(const SystemView& system) {
  const int pairs = system.species_count * system.species_count;
  for (int p = 1; p < pairs; ++p)
    for (int k = q_cut; k < coefficient_count; ++k)
      if (system.coefficients[p * coefficient_count + k] != system.coefficients[k]) return false;
  return true;
}

// Calls f.template operator()<D, Potential, flag>(potential) for the system at hand.
template <class F>
GLASSNF_HOST void with_system(const SystemView& system, bool flag, F&& f) {
#if defined(GLASSNF_FEW_KERNELS)
  if (!built_for(static_cast<PotentialKind>(system.kind), system.dimension))
    throw std::invalid_argument("potential: this build, for tests, knows Lennard-Jones in two dimensions only");
  if (flag)
    f.template operator()<2, LennardJones, true>(LennardJones{0});
  else
    f.template operator()<2, LennardJones, false>(LennardJones{0});
#else
  const auto with_potential = [&](auto potential) GLASSNF_INLINE {
    using P = decltype(potential);
    if (system.dimension == 2) {
      if (flag)
        f.template operator()<2, P, true>(potential);
      else
        f.template operator()<2, P, false>(potential);
    } else {
      if (flag)
        f.template operator()<3, P, true>(potential);
      else
        f.template operator()<3, P, false>(potential);
    }
  };
  switch (static_cast<PotentialKind>(system.kind)) {
    case PotentialKind::lennard_jones: with_potential(LennardJones{0}); break;
    case PotentialKind::inverse_power: with_potential(InversePower{system.exponent}); break;
    case PotentialKind::harmonic: with_potential(Harmonic{0}); break;
  }
#endif
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
