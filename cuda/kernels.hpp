// What the files of one pair potential offer; each is compiled once per potential, in an object of its own.
#pragma once

#include "runtime.hpp"
#include "with_system.hpp"

namespace glassnf::cuda {

template <class Potential>
void launch_energy(const SystemView&, const EnergyBatch&, const Target&);
template <class Potential>
void launch_monte_carlo(const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&, const MonteCarloOutput&, const Target&);
template <class Potential>
void launch_checkerboard(const SystemView&, const MonteCarloBatch&, const MonteCarloPlan&, const MonteCarloOutput&, const Target&);
// Molecular dynamics; they return before the work is done. `steps_before`: of the same call, in launches before. Replicas that have failed
// stay as they are.
template <class Potential>
void launch_dynamics(const SystemView&, const DynamicsBatch&, const DynamicsPlan&, const DynamicsOutput&, std::int64_t steps_before,
                     const Target&);
template <class Potential>
void launch_cell_dynamics(const SystemView&, const DynamicsBatch&, const DynamicsPlan&, const DynamicsOutput&,
                          std::int64_t steps_before, const Target&);

// Calls f.template operator()<D, Uniform>(). Only Lennard-Jones, the potential of the built-in models, has kernels for pairs
// with one and the same reduced cutoff and polynomial.
template <class Potential, class F>
void with_shape(const SystemView& system, F&& f) {
  if constexpr (std::is_same_v<Potential, LennardJones>)
    if (uniform_coefficients(system)) {
      if (system.dimension == 2)
        f.template operator()<2, true>();
      else
        f.template operator()<3, true>();
      return;
    }
  if (system.dimension == 2)
    f.template operator()<2, false>();
  else
    f.template operator()<3, false>();
}

inline constexpr int warp_size = 32;

}  // namespace glassnf::cuda
