// The CUDA backend behind the functions of backend.hpp: checks what the kernels cannot serve, and calls those of the potential at hand.
#include "glassnf/group_sampler.hpp"

#include "kernels.hpp"

namespace glassnf::cuda {

namespace {

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

template <class F>
void with_potential(const SystemView& system, F&& f) {
  require(system.species_count <= most_group_species, "system: expected at most " + std::to_string(most_group_species) +
                                                          " species on a CUDA device, got " + std::to_string(system.species_count));
  switch (static_cast<PotentialKind>(system.kind)) {
    case PotentialKind::lennard_jones: f.template operator()<LennardJones>(); break;
    case PotentialKind::inverse_power: f.template operator()<InversePower>(); break;
    case PotentialKind::harmonic: f.template operator()<Harmonic>(); break;
  }
}

}  // namespace

void energy(const SystemView& system, const EnergyBatch& batch, const Target& target) {
  const DeviceGuard guard(target.device);
  if (batch.replicas == 0) return;
  with_potential(system, [&]<class P>() { launch_energy<P>(system, batch, target); });
}

void monte_carlo(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
                 const Target& target) {
  const DeviceGuard guard(target.device);
  require(!target.mixed, "precision: Monte Carlo on a CUDA device is done in 'float64' only");
  require(plan.checkerboard || system.n <= most_group_particles, "n: sequential Monte Carlo on a CUDA device takes at most " +
                                                                     std::to_string(most_group_particles) +
                                                                     " particles; use checkerboard=True, or device=\"cpu\"");
  with_potential(system, [&]<class P>() {
    if (plan.checkerboard)
      launch_checkerboard<P>(system, batch, plan, output, target);
    else
      launch_monte_carlo<P>(system, batch, plan, output, target);
  });
}

}  // namespace glassnf::cuda
