// Reweighting and systematic resampling of a population, on integers.
//
// A population at beta becomes one at beta' when replica r is copied with expectation tau_r = w_r / mean(w), w_r = exp(-(beta' - beta) U_r).
// Weights are taken relative to the largest and rounded to a grid of 2^-bits, as integers w_r <= 2^bits. Sums of integers do not depend on
// their order, so any number of threads, and any device, finds the same total, the same cumulative sums and the same parents. The grid
// is as fine as 64-bit sums allow: bits = 51 up to 2047 replicas, one less for every doubling.
//
// Systematic resampling (Kitagawa, J. Comput. Graph. Stat. 5, 1, 1996; Gessert, Janke, Weigel, Phys. Rev. E 108, 065309, 2023, compare the
// schemes in population annealing): with W the total and T one random integer uniform in [0, W), replica r whose cumulative weights are
// [C, C + w) gets as many children as there are k = 0 ... R - 1 with C <= (k W + T) / R < C + w. That is floor or ceil of tau_r, tau_r
// on average over T, and R in all.
//
// A replica with children stays in its slot; the surplus copies, in the order of their parents, go to the slots of the replicas without, in
// the order of the slots. So only the slots of the culled replicas are written, none of them is read, and doing it twice does no harm.
#pragma once

#include "glassnf/math.hpp"
#include "glassnf/philox.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

inline constexpr std::int64_t max_population = std::int64_t(1) << 24;

__extension__ typedef unsigned __int128 Wide;  // of host and device compilers

// exp(x) for x <= 0, error below 2 ulp; 0 below -708, where results would be subnormal.
// x = k log 2 + r with |r| <= log(2) / 2, log 2 in two parts as in fdlibm, of which k times the first is exact, and the Taylor series of
// exp(r) up to r^13, whose rest is below 5e-18; then 2^k goes into the exponent. Additions and multiplications only: unlike
// `exponential` of elementary.hpp it is fast in code for machines without fused multiply-add, of which weights of whole populations are made.
GLASSNF_HD double decaying_exponential(double x) {
  if (!(x >= -708.0)) return 0.0;
  constexpr double shift = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer, which then lies in the low bits
  const double shifted = x * 1.44269504088896338700 + shift;
  const double k = shifted - shift;
  const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  // The low bits of `shifted` are k in two's complement; shifting them into the exponent field of p multiplies by 2^k.
  return from_bits(to_bits(p) + (to_bits(shifted) << 52));
}

// How weights of a population are rounded. Sums of up to R weights, and products of a weight with R, stay below 2^62.
struct WeightGrid {
  std::int64_t replicas;
  int bits;          // of a weight: w <= 2^bits
  int size_bits;     // R < 2^size_bits
  int dropped_bits;  // of a weight before it is squared

  GLASSNF_HD explicit WeightGrid(std::int64_t population) : replicas(population), size_bits(0) {
    while ((population >> size_bits) != 0) ++size_bits;
    bits = 62 - size_bits < 51 ? 62 - size_bits : 51;
    const int kept = (62 - size_bits) / 2;
    dropped_bits = bits > kept ? bits - kept : 0;
  }
};

// The weight of a replica; `extreme` is the energy of the replica of the largest weight: the lowest for beta_step > 0, else the highest.
GLASSNF_HD std::uint64_t integer_weight(const WeightGrid& grid, double energy, double beta_step, double extreme) {
  const double relative = decaying_exponential(0.0 - beta_step * (energy - extreme));
  const double scaled = relative * static_cast<double>(std::uint64_t(1) << grid.bits);
  return static_cast<std::uint64_t>(to_bits(scaled + 4503599627370496.0) - 0x4330000000000000ULL);  // + 2^52 rounds to an integer
}

// What a replica adds to the expected number of culled ones: max(0, 1 - tau) = max(0, W - R w) / W, on a grid of 2^size_bits / W.
GLASSNF_HD std::uint64_t culled_share(const WeightGrid& grid, std::uint64_t weight, std::uint64_t total) {
  const std::uint64_t expected = weight * static_cast<std::uint64_t>(grid.replicas);
  return expected < total ? (total - expected) >> grid.size_bits : 0;
}

GLASSNF_HD std::uint64_t short_weight(const WeightGrid& grid, std::uint64_t weight) { return weight >> grid.dropped_bits; }

// Sums over a population, in any order.
struct WeightSums {
  std::uint64_t total;          // of the weights
  std::uint64_t culled;         // of culled_share
  std::uint64_t short_total;    // of short_weight
  std::uint64_t short_squares;  // of its square
};

struct Reweighting {
  std::uint64_t total;
  double log_mean;  // log of the mean of w_r / w_max
  double culled;    // expected fraction of replicas without children
  double ess;       // (sum w)^2 / (R sum w^2)
};

GLASSNF_HD Reweighting summarize(const WeightGrid& grid, const WeightSums& sums) {
  const double replicas = static_cast<double>(grid.replicas), total = static_cast<double>(sums.total);
  const double short_total = static_cast<double>(sums.short_total);
  Reweighting result;
  result.total = sums.total;
  const double largest = static_cast<double>(std::uint64_t(1) << grid.bits);
  result.log_mean = 0.0 - negative_log(total / largest / replicas);
  const double share = static_cast<double>(sums.culled) * static_cast<double>(std::uint64_t(1) << grid.size_bits);
  result.culled = share / total / replicas;
  result.ess = short_total / static_cast<double>(sums.short_squares) * (short_total / replicas);
  return result;
}

// T: uniform in [0, W), off by less than 2^-64 in every cumulative probability.
GLASSNF_HD std::uint64_t random_offset(std::uint64_t seed, std::uint64_t step, std::uint64_t total) {
  const auto block = random_block<std::uint64_t>(RandomKey{seed, step, 0, Stream::resampling}, 0, 0);
  return static_cast<std::uint64_t>((static_cast<Wide>((block.w0 << 32) | block.w1) * total) >> 64);
}

// How many k >= 0 there are with (k W + T) / R < C. Children of a replica: points_below(C + w) - points_below(C).
GLASSNF_HD std::int64_t points_below(std::uint64_t cumulative, std::int64_t replicas, std::uint64_t total, std::uint64_t offset) {
  const Wide end = static_cast<Wide>(cumulative) * static_cast<std::uint64_t>(replicas);
  return end <= offset ? 0 : static_cast<std::int64_t>((end - offset + (total - 1)) / total);
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
