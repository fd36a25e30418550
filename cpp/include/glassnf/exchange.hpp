// Exchanges of temperatures between the replicas of a ladder (parallel tempering; Swendsen and Wang, Phys. Rev. Lett. 57, 2607, 1986;
// Hukushima and Nemoto, J. Phys. Soc. Jpn. 65, 1604, 1996).
//
// A ladder has M temperatures, its rungs, numbered from the hottest (rung 0) to the coldest, and M replicas. Replicas keep their
// configurations and change places: an exchange of the rungs k and k + 1 swaps the inverse temperatures and the move sizes of the two
// replicas that sit there. With a and b these replicas it is accepted with probability
//
//   min(1, exp[(beta_a - beta_b) (U_a - U_b)]),   that is when   -(beta_a - beta_b) (U_a - U_b) <= -log u,
//
// which leaves the product of the Boltzmann distributions of all rungs invariant. Velocities are scaled by sqrt(beta_old / beta_new),
// so that kinetic energies follow the new temperature and drop out of the acceptance.
//
// Deterministic even-odd scheme (Okabe et al., Chem. Phys. Lett. 335, 435, 2001; non-reversible, Syed, Bouchard-Cote, Deligiannidis,
// Doucet, J. R. Stat. Soc. B 84, 321, 2022): round t attempts the pairs (k, k + 1) with k = t mod 2. A replica that is always accepted
// goes straight from one end to the other.
//
// u has the stream replica_exchange, the step of the exchange, the id of the first replica of the ladder, and the pair k as move: it
// depends neither on who computes it nor on the other ladders.
#pragma once

#include "glassnf/trial.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Ladders of replicas; those of ladder l are l * rungs .. (l + 1) * rungs - 1.
struct LadderView {
  std::int64_t ladders, rungs;
  double* beta;             // (R,)
  double* move_size;        // (R,)
  const double* energy;     // (R,)
  const std::int64_t* ids;  // (R,)
  std::int32_t* order;      // (ladders, rungs): which replica of the ladder sits at each rung
};

// What exchanges count; all of it is added to.
struct ExchangeCounts {
  std::int64_t* attempts;   // (ladders, rungs - 1)
  std::int64_t* accepts;    // (ladders, rungs - 1)
  std::int32_t* visits;     // (R,): LastVisit
  std::int64_t* trips;      // (ladders,): round trips from the hot end to the cold end and back
  std::int64_t* from_hot;   // (ladders, rungs): rounds after which the replica at the rung had last been at the hot end
  std::int64_t* from_cold;  // (ladders, rungs): ... at the cold end
};

// Which end of the ladder a replica has seen last, and whether a round trip is under way.
enum LastVisit : std::int32_t { visited_none = 0, visited_hot = 1, visited_cold_after_hot = 2, visited_cold = 3 };

GLASSNF_HD int exchange_parity(std::uint64_t step, std::uint64_t interval) { return static_cast<int>((step / interval) & 1); }

GLASSNF_HD bool accept_exchange(const RandomKey& key, std::uint64_t pair, double beta_a, double energy_a, double beta_b,
                                double energy_b) {
  const double exponent = (beta_a - beta_b) * (energy_a - energy_b);
  if (exponent >= 0.0) return true;
  const PhiloxBlock<std::uint64_t> words = random_block(key, pair, 0);
  return -exponent <= negative_log(unit_interval<double>(words.w0, words.w1));
}

// Factor of the velocities of a replica that changes its temperature.
GLASSNF_HD double velocity_factor(double old_beta, double new_beta) { return square_root(old_beta / new_beta); }

// Attempt one pair of a ladder; pairs of one round touch different replicas. Returns whether it was accepted.
GLASSNF_HD bool exchange_pair(const LadderView& view, const ExchangeCounts& counts, std::uint64_t seed, std::uint64_t step,
                              std::int64_t ladder, std::int64_t pair) {
  const std::int64_t first = ladder * view.rungs, place = ladder * (view.rungs - 1) + pair;
  std::int32_t* order = view.order + first + pair;
  const std::int64_t a = first + order[0], b = first + order[1];
  ++counts.attempts[place];
  const RandomKey key{seed, step, static_cast<std::uint64_t>(view.ids[first]), Stream::replica_exchange};
  if (!accept_exchange(key, static_cast<std::uint64_t>(pair), view.beta[a], view.energy[a], view.beta[b], view.energy[b]))
    return false;
  ++counts.accepts[place];
  const double beta = view.beta[a], move_size = view.move_size[a];
  view.beta[a] = view.beta[b];
  view.beta[b] = beta;
  view.move_size[a] = view.move_size[b];
  view.move_size[b] = move_size;
  const std::int32_t hot = order[0];
  order[0] = order[1];
  order[1] = hot;
  return true;
}

// After all pairs of a round: who has come to an end of the ladder, and who came from which.
GLASSNF_HD void follow_replicas(const LadderView& view, const ExchangeCounts& counts, std::int64_t ladder) {
  const std::int64_t first = ladder * view.rungs, last = first + view.rungs - 1;
  std::int32_t& hot = counts.visits[first + view.order[first]];
  if (hot == visited_cold_after_hot) ++counts.trips[ladder];
  hot = visited_hot;
  std::int32_t& cold = counts.visits[first + view.order[last]];
  if (cold == visited_hot) cold = visited_cold_after_hot;
  if (cold == visited_none) cold = visited_cold;
  for (std::int64_t place = first; place <= last; ++place) {
    const std::int32_t visit = counts.visits[first + view.order[place]];
    counts.from_hot[place] += visit == visited_hot;
    counts.from_cold[place] += visit >= visited_cold_after_hot;
  }
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
