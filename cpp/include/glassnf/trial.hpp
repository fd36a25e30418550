// Trial moves of Metropolis Monte Carlo with species swaps, as functions of the random numbers alone.
//
// Trial `move` of a sweep uses two Philox blocks (draws 0 and 1), words w0 .. w7:
//   w0        particle to displace, or position in the list of the first species of a swap
//   w1        below swap_threshold (= swap_probability * 2^32): a swap; else a displacement
//   w2 w3 w4  displacement along x, y, z; for a swap, w2 chooses the pair of species
//   w5        position in the list of the second species of a swap
//   w6 w7     the acceptance variable u in (0, 1], on a grid of 2^-52
//
// A trial is accepted when beta dU <= -log u, which happens with probability min(1, exp(-beta dU)); the logarithm is made with the
// proposal, off the critical path. Integers below n are drawn as floor(w n / 2^32): any bias (below n / 2^32) does not depend on the
// configuration and keeps detailed balance exact.
#pragma once

#include "glassnf/math.hpp"
#include "glassnf/philox.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Proposals of several trials at once; F and U are double and uint64_t, or packs.
template <class F>
struct TrialWords {
  using U = typename BitsOf<F>::type;
  U pick;       // w0
  U kind;       // w1
  U pair;       // w2
  U second;     // w5
  F step[3];    // displacements in (-1, 1), to be multiplied by move_size
  F threshold;  // -log u >= 0
};

// (w + 1/2) / 2^31 - 1, symmetric about 0, exactly representable.
template <class F>
GLASSNF_HD F symmetric_unit(typename BitsOf<F>::type w) {
  return (exact_double<F>(w) + F(0.5)) * F(1.0 / 2147483648.0) - F(1.0);
}

// u = 2 - m in (0, 1], m in [1, 2) with 52 random bits.
template <class F>
GLASSNF_HD F unit_interval(typename BitsOf<F>::type high, typename BitsOf<F>::type low) {
  using U = typename BitsOf<F>::type;
  return F(2.0) - from_bits((high << 20) | (low >> 12) | U(0x3ff0000000000000ULL));
}

// From the draws first_draw and first_draw + 1 of a move.
template <class F>
GLASSNF_HD TrialWords<F> draw_trial(const RandomKey& key, const PhiloxKeys<typename BitsOf<F>::type>& keys,
                                    typename BitsOf<F>::type move, std::uint64_t first_draw = 0) {
  const auto a = random_block(key, keys, move, first_draw);
  const auto b = random_block(key, keys, move, first_draw + 1);
  TrialWords<F> t;
  t.pick = a.w0;
  t.kind = a.w1;
  t.pair = a.w2;
  t.second = b.w1;
  t.step[0] = symmetric_unit<F>(a.w2);
  t.step[1] = symmetric_unit<F>(a.w3);
  t.step[2] = symmetric_unit<F>(b.w0);
  t.threshold = negative_log(unit_interval<F>(b.w2, b.w3));
  return t;
}

GLASSNF_HD std::uint32_t scale_word(std::uint64_t word, std::uint64_t n) { return static_cast<std::uint32_t>((word * n) >> 32); }

// The pair of species of a swap, numbered (0,1), (0,2), ..., (1,2), ..., from cumulative weights on a scale of 2^32. The last takes
// what rounding leaves.
GLASSNF_HD int choose_pair(std::uint64_t word, const std::uint64_t* thresholds, int species_count, int& a, int& b) {
  const int pairs = species_count * (species_count - 1) / 2;
  int pair = 0;
  for (a = 0; a < species_count; ++a)
    for (b = a + 1; b < species_count; ++b, ++pair)
      if (word < thresholds[pair] || pair == pairs - 1) return pair;
  return 0;
}

// One trial in few bytes, to be handed from lane to lane.
template <int D>
struct GroupTrial {
  double step[D], threshold;
  std::uint32_t pick, kind, pair, second;

  // Makes the round keys anew each time: they would take registers.
  static GLASSNF_HD GroupTrial draw(const RandomKey& key, std::uint64_t move, std::uint64_t first_draw = 0) {
    const TrialWords<double> t = draw_trial<double>(key, PhiloxKeys<std::uint64_t>(key.seed), move, first_draw);
    GroupTrial trial;
    for (int k = 0; k < D; ++k) trial.step[k] = t.step[k];
    trial.threshold = t.threshold;
    trial.pick = static_cast<std::uint32_t>(t.pick);
    trial.kind = static_cast<std::uint32_t>(t.kind);
    trial.pair = static_cast<std::uint32_t>(t.pair);
    trial.second = static_cast<std::uint32_t>(t.second);
    return trial;
  }
};

GLASSNF_HD bool accept(double beta, double energy_change, double threshold) { return beta * energy_change <= threshold; }

}  // namespace GLASSNF_ISA
}  // namespace glassnf
