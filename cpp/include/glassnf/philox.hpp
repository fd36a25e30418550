// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11.
//
// A random number is a pure function of (seed, stream, step, replica id, move, draw). The key is the 64-bit seed; the 128-bit
// counter holds the rest without overlap:
//
//   word 0   move index within the sweep           32 bits
//   word 1   step, low part                        32 bits
//   word 2   replica id, low part                  32 bits
//   word 3   stream (8) | draw (4) | step, high part (12) | replica id, high part (8)
//
// so step < 2^44 and id < 2^40. One block gives four 32-bit words.
//
// The code is templated on the integer type: std::uint64_t (one counter, host and device) or a SIMD pack of eight. Each 32-bit word
// is held in the low half of a 64-bit lane; high halves may hold garbage between rounds, which the multiplications ignore.
#pragma once

#include "glassnf/config.hpp"
#include "glassnf/streams.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

inline constexpr std::uint64_t max_step = std::uint64_t(1) << 44;
inline constexpr std::uint64_t max_id = std::uint64_t(1) << 40;
inline constexpr std::uint64_t low_word = 0xffffffffULL;

// Product of the low 32 bits of a with a 32-bit constant.
GLASSNF_HD std::uint64_t multiply_low_words(std::uint64_t a, std::uint64_t b) { return (a & low_word) * b; }

template <class U>
struct PhiloxBlock {
  U w0, w1, w2, w3;
};

// The round keys, which depend on the seed alone: made once, used for every block.
template <class U>
struct PhiloxKeys {
  U k0[10], k1[10];

  PhiloxKeys() = default;
  GLASSNF_HD explicit PhiloxKeys(std::uint64_t seed) {
    for (int round = 0; round < 10; ++round) {
      k0[round] = U((seed + static_cast<std::uint64_t>(round) * 0x9E3779B9ULL) & low_word);
      k1[round] = U(((seed >> 32) + static_cast<std::uint64_t>(round) * 0xBB67AE85ULL) & low_word);
    }
  }
};

template <class U>
GLASSNF_HD PhiloxBlock<U> philox4x32_10(U c0, U c1, U c2, U c3, const PhiloxKeys<U>& keys) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#elif !defined(__CUDACC__)
#pragma GCC unroll 10
#endif
  for (int round = 0; round < 10; ++round) {
    const U p0 = multiply_low_words(c0, 0xD2511F53ULL);
    const U p1 = multiply_low_words(c2, 0xCD9E8D57ULL);
    c0 = (p1 >> 32) ^ c1 ^ keys.k0[round];
    c1 = p1;
    c2 = (p0 >> 32) ^ c3 ^ keys.k1[round];
    c3 = p0;
  }
  const U mask = U(low_word);
  return {c0 & mask, c1 & mask, c2 & mask, c3 & mask};
}

// Where in the random numbers we are: everything but the move and the draw.
struct RandomKey {
  std::uint64_t seed, step, id;
  Stream stream;

  GLASSNF_HD std::uint64_t word1() const { return step & low_word; }
  GLASSNF_HD std::uint64_t word2() const { return id & low_word; }
  GLASSNF_HD std::uint64_t word3(std::uint64_t draw) const {
    return (static_cast<std::uint64_t>(stream) << 24) | (draw << 20) | ((step >> 32) << 8) | (id >> 32);
  }
};

template <class U>
GLASSNF_HD PhiloxBlock<U> random_block(const RandomKey& key, const PhiloxKeys<U>& keys, U move, std::uint64_t draw) {
  return philox4x32_10(move, U(key.word1()), U(key.word2()), U(key.word3(draw)), keys);
}
template <class U>
GLASSNF_HD PhiloxBlock<U> random_block(const RandomKey& key, U move, std::uint64_t draw) {
  return random_block(key, PhiloxKeys<U>(key.seed), move, draw);
}

// The same for replicas of different ids side by side in the lanes of a pack.
template <class U>
struct RandomKeys {
  PhiloxKeys<U> keys;
  U word1, word2, word3;

  // `id` in each lane.
  GLASSNF_HD RandomKeys(std::uint64_t seed, Stream stream, U id) : keys(seed), word1(U(0)) {
    word2 = id & U(low_word);
    word3 = U(static_cast<std::uint64_t>(stream) << 24) | (id >> 32);
    base_ = word3;
  }
  GLASSNF_HD void set_step(std::uint64_t step) {
    word1 = U(step & low_word);
    word3 = base_ | U((step >> 32) << 8);
  }
  GLASSNF_HD PhiloxBlock<U> block(U move, std::uint64_t draw) const {
    return philox4x32_10(move, word1, word2, word3 | U(draw << 20), keys);
  }

 private:
  U base_;
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
