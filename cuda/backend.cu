// The CUDA backend behind the functions of backend.hpp: checks what the kernels cannot serve, and calls those of the potential at hand.
#include "glassnf/group_dynamics.hpp"
#include "glassnf/group_sampler.hpp"

#include "kernels.hpp"
#include "stretches.hpp"

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

template <class P>
void dynamics(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const DynamicsOutput& output,
              std::int64_t steps_before, const Target& target) {
  if (system.n <= most_group_dynamics)
    launch_dynamics<P>(system, batch, plan, output, steps_before, target);
  else
    launch_cell_dynamics<P>(system, batch, plan, output, steps_before, target);
}

// Stretches of dynamics, and between them sweeps of swap trials.
template <class P>
void hybrid(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const SwapPlan& swaps,
            const DynamicsOutput& output, const Target& target) {
  const Buffer<std::int64_t> displacements(batch.replicas, target);  // none are tried
  check(cudaMemsetAsync(displacements.get(), 0, static_cast<std::size_t>(batch.replicas) * sizeof(std::int64_t),
                        static_cast<cudaStream_t>(target.stream)),
        "reset of counts");
  const MonteCarloBatch moved{batch.replicas, batch.positions, batch.images, swaps.species,
                              batch.beta,     batch.energy,    batch.ids,    swaps.move_size};
  const MonteCarloOutput counts{nullptr,       nullptr,        nullptr,       displacements,
                                displacements, swaps.attempts, swaps.accepts, output.pair_evaluations};
  for_stretches(
      plan, swaps.every,
      [&](const DynamicsPlan& stretch, std::int64_t done) {
        dynamics<P>(system, batch, stretch, output, done, target);
        return true;
      },
      [&](std::uint64_t step) { launch_monte_carlo<P>(system, moved, swap_sweep_plan(plan, swaps, step), counts, target); });
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

void molecular_dynamics(const SystemView& system, const DynamicsBatch& batch, const DynamicsPlan& plan, const SwapPlan& swaps,
                        const DynamicsOutput& output, const Target& target) {
  const DeviceGuard guard(target.device);
  require(!target.mixed, "precision: molecular dynamics on a CUDA device is done in 'float64' only");
  require(swaps.every == 0 || system.n <= most_group_particles,
          "swap_every: molecular dynamics with swaps on a CUDA device takes at most " + std::to_string(most_group_particles) +
              " particles");
  with_potential(system, [&]<class P>() {
    if (swaps.every)
      hybrid<P>(system, batch, plan, swaps, output, target);
    else
      dynamics<P>(system, batch, plan, output, 0, target);
  });
  check(cudaStreamSynchronize(static_cast<cudaStream_t>(target.stream)), "molecular dynamics");
}

}  // namespace glassnf::cuda
