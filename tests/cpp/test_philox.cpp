#include <doctest/doctest.h>

#include <set>

#include "glassnf/philox.hpp"
#include "glassnf/simd.hpp"
#include "numbers.hpp"

using namespace glassnf;

namespace {

struct Known {
  std::uint64_t counter[4], key, words[4];
};

// The kat_vectors file of Random123.
const Known known[] = {
    {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

}  // namespace

TEST_CASE("Philox4x32-10 gives the published answers") {
  for (const Known& k : known) {
    const auto b =
        philox4x32_10<std::uint64_t>(k.counter[0], k.counter[1], k.counter[2], k.counter[3], PhiloxKeys<std::uint64_t>(k.key));
    CHECK(b.w0 == k.words[0]);
    CHECK(b.w1 == k.words[1]);
    CHECK(b.w2 == k.words[2]);
    CHECK(b.w3 == k.words[3]);
  }
}

TEST_CASE("a pack of counters gives the words of each counter alone") {
  auto g = numbers::generator(1);
  for (int repeat = 0; repeat < 200; ++repeat) {
    const std::uint64_t key = g();
    alignas(64) std::uint64_t c[4][8], w[4][8];
    for (auto& row : c)
      for (auto& word : row) word = g() & low_word;
    const auto b = philox4x32_10<PackU>(load(c[0]), load(c[1]), load(c[2]), load(c[3]), PhiloxKeys<PackU>(key));
    store(w[0], b.w0);
    store(w[1], b.w1);
    store(w[2], b.w2);
    store(w[3], b.w3);
    for (int l = 0; l < 8; ++l) {
      const auto one = philox4x32_10<std::uint64_t>(c[0][l], c[1][l], c[2][l], c[3][l], PhiloxKeys<std::uint64_t>(key));
      REQUIRE(w[0][l] == one.w0);
      REQUIRE(w[1][l] == one.w1);
      REQUIRE(w[2][l] == one.w2);
      REQUIRE(w[3][l] == one.w3);
      REQUIRE((one.w0 <= low_word && one.w1 <= low_word && one.w2 <= low_word && one.w3 <= low_word));
    }
  }
}

TEST_CASE("blocks of a key are those of its counter") {
  const RandomKey key{0x123456789abcdefULL, (std::uint64_t(5) << 32) + 7, (std::uint64_t(9) << 32) + 11, Stream::random_start};
  const PhiloxKeys<std::uint64_t> keys(key.seed);
  const auto a = random_block<std::uint64_t>(key, 13, 1), b = random_block<std::uint64_t>(key, keys, 13, 1);
  const auto c = philox4x32_10<std::uint64_t>(13, 7, 11, (2u << 24) | (1u << 20) | (5u << 8) | 9u, keys);
  CHECK((a.w0 == b.w0 && a.w1 == b.w1 && a.w2 == b.w2 && a.w3 == b.w3));
  CHECK((a.w0 == c.w0 && a.w1 == c.w1 && a.w2 == c.w2 && a.w3 == c.w3));
}

TEST_CASE("the parts of a counter do not overlap") {
  // Every bit of step, id, draw and stream lands on a bit of the counter of its own.
  std::set<std::pair<int, std::uint64_t>> seen;
  const RandomKey zero{0, 0, 0, static_cast<Stream>(0)};
  const auto note = [&](const RandomKey& key, std::uint64_t draw) {
    const std::uint64_t words[3] = {key.word1() ^ zero.word1(), key.word2() ^ zero.word2(), key.word3(draw) ^ zero.word3(0)};
    int changed = 0;
    for (int w = 0; w < 3; ++w)
      if (words[w]) {
        ++changed;
        CHECK(__builtin_popcountll(words[w]) == 1);
        CHECK(words[w] <= low_word);
        CHECK(seen.insert({w, words[w]}).second);
      }
    CHECK(changed == 1);
  };
  for (int b = 0; b < 44; ++b) note(RandomKey{0, std::uint64_t(1) << b, 0, static_cast<Stream>(0)}, 0);
  for (int b = 0; b < 40; ++b) note(RandomKey{0, 0, std::uint64_t(1) << b, static_cast<Stream>(0)}, 0);
  for (int b = 0; b < 4; ++b) note(zero, std::uint64_t(1) << b);
  for (int b = 0; b < 8; ++b) note(RandomKey{0, 0, 0, static_cast<Stream>(1u << b)}, 0);
  CHECK(seen.size() == 96);
  CHECK(max_step == std::uint64_t(1) << 44);
  CHECK(max_id == std::uint64_t(1) << 40);
}

TEST_CASE("streams keep their numbers") {
  CHECK(static_cast<int>(Stream::monte_carlo_trial) == 1);
  CHECK(static_cast<int>(Stream::random_start) == 2);
  CHECK(static_cast<int>(Stream::random_species) == 3);
  CHECK(static_cast<int>(Stream::velocities) == 4);
  CHECK(static_cast<int>(Stream::thermostat) == 5);
  CHECK(static_cast<int>(Stream::replica_exchange) == 6);
  CHECK(static_cast<int>(Stream::resampling) == 7);
  CHECK(static_cast<int>(Stream::proposal) == 8);
  CHECK(static_cast<int>(Stream::statistics) == 9);
}
