// Every operation of a pack is that of a scalar on each lane, to the bit.
#include <doctest/doctest.h>

#include "glassnf/simd.hpp"
#include "numbers.hpp"

using namespace glassnf;
using numbers::bits;

namespace {

struct Lanes {
  alignas(64) double v[8];
};
struct Words {
  alignas(64) std::uint64_t v[8];
};
Lanes lanes(Pack p) {
  Lanes out;
  store(out.v, p);
  return out;
}
Words words(PackU p) {
  Words out;
  store(out.v, p);
  return out;
}

}  // namespace

TEST_CASE("loads and stores need no alignment") {
  double memory[17], copy[17] = {};
  for (int i = 0; i < 17; ++i) memory[i] = i + 0.5;
  for (int at = 0; at <= 9; ++at) {
    store(copy + at, load(memory + at));
    for (int l = 0; l < 8; ++l) CHECK(copy[at + l] == memory[at + l]);
  }
  CHECK(lanes(Pack(2.5)).v[7] == 2.5);
  CHECK(words(PackU(0x123456789abcdefULL)).v[3] == 0x123456789abcdefULL);
}

TEST_CASE("arithmetic") {
  const auto numbers_a = numbers::doubles(800);
  auto numbers_b = numbers_a, numbers_c = numbers_a;
  auto g = numbers::generator(11);
  for (std::size_t i = numbers_b.size(); i-- > 1;) {
    std::swap(numbers_b[i], numbers_b[g() % (i + 1)]);
    std::swap(numbers_c[i], numbers_c[g() % (i + 1)]);
  }
  for (std::size_t at = 0; at + 8 <= numbers_a.size(); at += 8) {
    const double *a = &numbers_a[at], *b = &numbers_b[at], *c = &numbers_c[at];
    const Pack pa = load(a), pb = load(b), pc = load(c);
    const Lanes sum_ = lanes(pa + pb), difference = lanes(pa - pb), product = lanes(pa * pb), quotient = lanes(pa / pb);
    const Lanes low = lanes(minimum(pa, pb)), high = lanes(maximum(pa, pb)), size = lanes(absolute(pa));
    const Lanes root = lanes(square_root(absolute(pa))), together = lanes(fused(pa, pb, pc)),
                chosen = lanes(where_less(pa, pb, pc));
    const Words mask = words(less_mask(pa, pb));
    for (int l = 0; l < 8; ++l) {
      REQUIRE(bits(sum_.v[l]) == bits(a[l] + b[l]));
      REQUIRE(bits(difference.v[l]) == bits(a[l] - b[l]));
      REQUIRE(bits(product.v[l]) == bits(a[l] * b[l]));
      if (a[l] != 0.0 || b[l] != 0.0) REQUIRE(bits(quotient.v[l]) == bits(a[l] / b[l]));
      REQUIRE(bits(low.v[l]) == bits(minimum(a[l], b[l])));
      REQUIRE(bits(high.v[l]) == bits(maximum(a[l], b[l])));
      REQUIRE(size.v[l] == absolute(a[l]));
      REQUIRE(root.v[l] == square_root(absolute(a[l])));
      REQUIRE(bits(together.v[l]) == bits(std::fma(a[l], b[l], c[l])));
      REQUIRE(chosen.v[l] == where_less(a[l], b[l], c[l]));
      REQUIRE(mask.v[l] == (a[l] < b[l] ? ~std::uint64_t(0) : 0));
    }
  }
}

TEST_CASE("integers") {
  auto g = numbers::generator(12);
  for (int repeat = 0; repeat < 200; ++repeat) {
    Words a, b;
    for (int l = 0; l < 8; ++l) {
      a.v[l] = g();
      b.v[l] = g();
    }
    const PackU pa = load(a.v), pb = load(b.v);
    const std::uint64_t factor = g() & 0xffffffff;
    const Words sum_ = words(pa + pb), difference = words(pa - pb), both = words(pa & pb), either = words(pa | pb),
                one = words(pa ^ pb), right = words(pa >> 12), left = words(pa << 20),
                product = words(multiply_low_words(pa, factor));
    for (int l = 0; l < 8; ++l) {
      REQUIRE(sum_.v[l] == a.v[l] + b.v[l]);
      REQUIRE(difference.v[l] == a.v[l] - b.v[l]);
      REQUIRE(both.v[l] == (a.v[l] & b.v[l]));
      REQUIRE(either.v[l] == (a.v[l] | b.v[l]));
      REQUIRE(one.v[l] == (a.v[l] ^ b.v[l]));
      REQUIRE(right.v[l] == a.v[l] >> 12);
      REQUIRE(left.v[l] == a.v[l] << 20);
      REQUIRE(product.v[l] == (a.v[l] & 0xffffffff) * factor);
    }
    for (int l = 0; l < 8; ++l) a.v[l] &= (std::uint64_t(1) << 52) - 1;
    const Lanes exact = lanes(exact_double<Pack>(load(a.v)));
    for (int l = 0; l < 8; ++l) REQUIRE(exact.v[l] == static_cast<double>(a.v[l]));
  }
}

TEST_CASE("bits pass between packs of doubles and of integers") {
  const double v[8] = {0.0, -0.0, 1.5, -2.5, 1e300, -1e-300, 3.0, 7.0};
  const Words as_words = words(to_bits(load(v)));
  const Lanes back = lanes(from_bits(load(as_words.v)));
  const Words direct = words(load_bits(v));
  for (int l = 0; l < 8; ++l) {
    CHECK(as_words.v[l] == bits(v[l]));
    CHECK(bits(back.v[l]) == bits(v[l]));
    CHECK(direct.v[l] == bits(v[l]));
  }
}

TEST_CASE("sums over lanes run in one order") {
  const auto v = numbers::doubles(400);
  for (std::size_t at = 0; at + 8 <= v.size(); at += 8) {
    const double* l = &v[at];
    REQUIRE(bits(sum(load(l))) == bits(((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))));
  }
}

TEST_CASE("the logarithm of a pack is that of its lanes") {
  auto g = numbers::generator(13);
  for (int repeat = 0; repeat < 5000; ++repeat) {
    Lanes u;
    for (double& x : u.v) x = std::ldexp(numbers::uniform(g, 0.5, 1.0), -static_cast<int>(g() % 53));
    const Lanes packed = lanes(negative_log(load(u.v)));
    for (int l = 0; l < 8; ++l) REQUIRE(bits(packed.v[l]) == bits(negative_log(u.v[l])));
  }
}

TEST_CASE("dot products of packs") {
  auto g = numbers::generator(14);
  Lanes x, y, z;
  for (int l = 0; l < 8; ++l) {
    x.v[l] = numbers::uniform(g, -3.0, 3.0);
    y.v[l] = numbers::uniform(g, -3.0, 3.0);
    z.v[l] = numbers::uniform(g, -3.0, 3.0);
  }
  const Vec<Pack, 2> flat{load(x.v), load(y.v)};
  const Vec<Pack, 3> deep{load(x.v), load(y.v), load(z.v)};
  const Lanes two = lanes(dot(flat, flat)), three = lanes(dot(deep, deep));
  for (int l = 0; l < 8; ++l) {
    const Vec<double, 2> a{x.v[l], y.v[l]};
    const Vec<double, 3> b{x.v[l], y.v[l], z.v[l]};
    CHECK(bits(two.v[l]) == bits(dot(a, a)));
    CHECK(bits(three.v[l]) == bits(dot(b, b)));
  }
}

template <bool Small>
void check_table(int entries) {
  alignas(64) double values[32];
  for (int s = 0; s < 32; ++s) values[s] = 10.0 + s;
  const Table<Small> table(values);
  auto g = numbers::generator(15);
  for (int repeat = 0; repeat < 50; ++repeat) {
    Words code;
    std::uint64_t species[8];
    for (int l = 0; l < 8; ++l) {
      species[l] = g() % static_cast<unsigned>(entries);
      code.v[l] = species_code(species[l]);
      REQUIRE(species_of_code(code.v[l]) == species[l]);
    }
    const Lanes found = lanes(table(load(code.v)));
    for (int l = 0; l < 8; ++l) REQUIRE(found.v[l] == values[species[l]]);
  }
}

TEST_CASE("tables by species") {
  for (int entries = 1; entries <= small_table; ++entries) check_table<true>(entries);
  for (int entries : {1, 4, 5, 8, 9, 17, 32}) check_table<false>(entries);
}

TEST_CASE("lanes that are less, as bits, and the numbers of set bits") {
  auto g = numbers::generator(16);
  for (int repeat = 0; repeat < 500; ++repeat) {
    Lanes a, b;
    unsigned expected = 0;
    for (int l = 0; l < 8; ++l) {
      a.v[l] = static_cast<double>(g() % 4);
      b.v[l] = static_cast<double>(g() % 4);
      if (a.v[l] < b.v[l]) expected |= 1u << l;
    }
    REQUIRE(less_bits(load(a.v), load(b.v)) == expected);
  }
  for (unsigned mask = 0; mask < 256; ++mask) {
    std::int32_t out[9];
    for (auto& o : out) o = -1;
    const int count = write_set_bits(out, 1000, mask);
    REQUIRE(count == __builtin_popcount(mask));
    int k = 0;
    for (int l = 0; l < 8; ++l)
      if (mask >> l & 1) REQUIRE(out[k++] == 1000 + l);
    REQUIRE(out[8] == -1);
  }
}

TEST_CASE("records are gathered by index") {
  alignas(64) double records[40][4];
  for (int r = 0; r < 40; ++r)
    for (int k = 0; k < 4; ++k) records[r][k] = 10.0 * r + k;
  auto g = numbers::generator(17);
  for (int repeat = 0; repeat < 100; ++repeat) {
    std::int32_t index[8];
    for (auto& i : index) i = static_cast<std::int32_t>(g() % 40);
    Pack a, b, c, d;
    gather_records<4>(&records[0][0], index, a, b, c, d);
    const Lanes columns[4] = {lanes(a), lanes(b), lanes(c), lanes(d)};
    for (int k = 0; k < 4; ++k)
      for (int l = 0; l < 8; ++l) REQUIRE(columns[k].v[l] == records[index[l]][k]);
    gather_records<3>(&records[0][0], index, a, b, c, d);
    const Lanes third = lanes(c);
    for (int l = 0; l < 8; ++l) REQUIRE(third.v[l] == records[index[l]][2]);
  }
}
