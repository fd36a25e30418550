// Every use of random numbers in glassnf has a stream of its own, named here and nowhere else.
// A stream's number is part of the counter (philox.hpp): never reuse or renumber one, or old runs stop being reproducible.
#pragma once

#include <cstdint>

namespace glassnf {

enum class Stream : std::uint32_t {
  monte_carlo_trial = 1,   // the trial moves of MonteCarlo
  random_start = 2,        // positions of Ensemble.random
  random_species = 3,      // order of the species in Ensemble.random
  velocities = 4,          // Maxwell-Boltzmann velocities
  thermostat = 5,          // Langevin noise, stochastic velocity rescaling
  replica_exchange = 6,    // exchange decisions of ParallelTempering
  resampling = 7,          // PopulationAnnealing
  proposal = 8,            // independence Metropolis on flow proposals
  statistics = 9,          // bootstrap
  checkerboard = 10,       // the trial moves of MonteCarlo(checkerboard=True)
  checkerboard_grid = 11,  // where the cells of a checkerboard lie
};

}  // namespace glassnf
