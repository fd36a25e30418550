// Packs of eight doubles (Pack) and of eight 64-bit integers (PackU), whatever the width of the machine's registers: one 512-bit,
// two 256-bit or four 128-bit registers. Because the pack is always eight wide and fused multiply-adds are explicit, every instruction
// set computes the same bits. GCC and Clang vector extensions do the arithmetic; intrinsics only where those have no
// operator. Host only.
#pragma once

#include "glassnf/math.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace glassnf {
inline namespace GLASSNF_ISA {

#if defined(__AVX512F__)
inline constexpr int register_bytes = 64;
#elif defined(__AVX2__)
inline constexpr int register_bytes = 32;
#else
inline constexpr int register_bytes = 16;
#endif

inline constexpr int pack_size = 8;
inline constexpr int registers = 64 / register_bytes;
typedef double NativeF __attribute__((vector_size(register_bytes)));
typedef unsigned long long NativeU __attribute__((vector_size(register_bytes)));
typedef long long NativeI __attribute__((vector_size(register_bytes)));

// Registers are separate members, because compilers keep those in registers where they would leave an array in memory.
template <class Native>
struct Registers {
#if defined(__AVX512F__)
  Native v0;
#elif defined(__AVX2__)
  Native v0, v1;
#else
  Native v0, v1, v2, v3;
#endif
};

// The register-wise result of op(register of a, register of b, ...).
template <class P, class Op, class... A>
GLASSNF_HD P each(Op op, const A&... a) {
  P out;
  out.v0 = op(a.v0...);
#if !defined(__AVX512F__)
  out.v1 = op(a.v1...);
#if !defined(__AVX2__)
  out.v2 = op(a.v2...);
  out.v3 = op(a.v3...);
#endif
#endif
  return out;
}

GLASSNF_HD NativeF broadcast(double s) {
#if defined(__AVX512F__)
  return NativeF{s, s, s, s, s, s, s, s};
#elif defined(__AVX2__)
  return NativeF{s, s, s, s};
#else
  return NativeF{s, s};
#endif
}
GLASSNF_HD NativeU broadcast(unsigned long long s) {
#if defined(__AVX512F__)
  return NativeU{s, s, s, s, s, s, s, s};
#elif defined(__AVX2__)
  return NativeU{s, s, s, s};
#else
  return NativeU{s, s};
#endif
}

struct PackU : Registers<NativeU> {
  PackU() = default;
  GLASSNF_HD explicit PackU(std::uint64_t s) {
    *this = each<PackU>([s]() GLASSNF_INLINE { return broadcast(static_cast<unsigned long long>(s)); });
  }
};

struct Pack : Registers<NativeF> {
  Pack() = default;
  GLASSNF_HD Pack(double s) {  // NOLINT: a scalar stands for a pack of equal lanes
    *this = each<Pack>([s]() GLASSNF_INLINE { return broadcast(s); });
  }
};

template <>
struct BitsOf<Pack> {
  using type = PackU;
};

// Register by register: a copy of the whole pack would go through memory.
template <class P, class Native>
GLASSNF_HD P load_as(const void* p) {
  typedef Native Unaligned __attribute__((aligned(8), may_alias));
  const Unaligned* q = static_cast<const Unaligned*>(p);
  P out;
  out.v0 = q[0];
#if !defined(__AVX512F__)
  out.v1 = q[1];
#if !defined(__AVX2__)
  out.v2 = q[2];
  out.v3 = q[3];
#endif
#endif
  return out;
}
template <class P, class Native>
GLASSNF_HD void store_as(void* p, const P& a) {
  typedef Native Unaligned __attribute__((aligned(8), may_alias));
  Unaligned* q = static_cast<Unaligned*>(p);
  q[0] = a.v0;
#if !defined(__AVX512F__)
  q[1] = a.v1;
#if !defined(__AVX2__)
  q[2] = a.v2;
  q[3] = a.v3;
#endif
#endif
}
GLASSNF_HD Pack load(const double* p) { return load_as<Pack, NativeF>(p); }
GLASSNF_HD PackU load(const std::uint64_t* p) { return load_as<PackU, NativeU>(p); }
GLASSNF_HD PackU load_bits(const double* p) { return load_as<PackU, NativeU>(p); }
GLASSNF_HD void store(double* p, Pack a) { store_as<Pack, NativeF>(p, a); }
GLASSNF_HD void store(std::uint64_t* p, PackU a) { store_as<PackU, NativeU>(p, a); }

#define GLASSNF_BINARY(P, op)                                                   \
  GLASSNF_HD P operator op(P a, P b) {                                          \
    return each<P>([](auto x, auto y) GLASSNF_INLINE { return x op y; }, a, b); \
  }
GLASSNF_BINARY(Pack, +)
GLASSNF_BINARY(Pack, -)
GLASSNF_BINARY(Pack, *)
GLASSNF_BINARY(Pack, /)
GLASSNF_BINARY(PackU, +)
GLASSNF_BINARY(PackU, -)
GLASSNF_BINARY(PackU, &)
GLASSNF_BINARY(PackU, |)
GLASSNF_BINARY(PackU, ^)
#undef GLASSNF_BINARY

GLASSNF_HD PackU operator~(PackU a) {
  return each<PackU>([](auto x) GLASSNF_INLINE { return ~x; }, a);
}
GLASSNF_HD PackU operator>>(PackU a, int n) {
  return each<PackU>([n](auto x) GLASSNF_INLINE { return x >> n; }, a);
}
GLASSNF_HD PackU operator<<(PackU a, int n) {
  return each<PackU>([n](auto x) GLASSNF_INLINE { return x << n; }, a);
}

GLASSNF_HD Pack from_bits(PackU u) {
  return each<Pack>([](auto x) GLASSNF_INLINE { return reinterpret_cast<NativeF>(x); }, u);
}
GLASSNF_HD PackU to_bits(Pack f) {
  return each<PackU>([](auto x) GLASSNF_INLINE { return reinterpret_cast<NativeU>(x); }, f);
}

GLASSNF_HD PackU multiply_low_words(PackU a, std::uint64_t b) {
  const auto multiply = [b](NativeU x) GLASSNF_INLINE {
#if defined(__AVX512F__)
    return reinterpret_cast<NativeU>(_mm512_mul_epu32(reinterpret_cast<__m512i>(x), _mm512_set1_epi64(static_cast<long long>(b))));
#elif defined(__AVX2__)
    return reinterpret_cast<NativeU>(_mm256_mul_epu32(reinterpret_cast<__m256i>(x), _mm256_set1_epi64x(static_cast<long long>(b))));
#elif defined(__SSE2__)
    return reinterpret_cast<NativeU>(_mm_mul_epu32(reinterpret_cast<__m128i>(x), _mm_set1_epi64x(static_cast<long long>(b))));
#else
    return (x & 0xffffffffULL) * b;
#endif
  };
  return each<PackU>(multiply, a);
}

// min(a, b) = a < b ? a : b, lane by lane, as the scalar overload.
GLASSNF_HD Pack minimum(Pack a, Pack b) {
  const auto op = [](NativeF x, NativeF y) GLASSNF_INLINE -> NativeF {
#if defined(__AVX512F__)
    return _mm512_min_pd(x, y);
#elif defined(__AVX2__)
    return _mm256_min_pd(x, y);
#elif defined(__SSE2__)
    return _mm_min_pd(x, y);
#else
    return x < y ? x : y;
#endif
  };
  return each<Pack>(op, a, b);
}
GLASSNF_HD Pack maximum(Pack a, Pack b) {
  const auto op = [](NativeF x, NativeF y) GLASSNF_INLINE -> NativeF {
#if defined(__AVX512F__)
    return _mm512_max_pd(x, y);
#elif defined(__AVX2__)
    return _mm256_max_pd(x, y);
#elif defined(__SSE2__)
    return _mm_max_pd(x, y);
#else
    return x > y ? x : y;
#endif
  };
  return each<Pack>(op, a, b);
}
GLASSNF_HD Pack square_root(Pack a) {
  const auto op = [](NativeF x) GLASSNF_INLINE -> NativeF {
#if defined(__AVX512F__)
    return _mm512_sqrt_pd(x);
#elif defined(__AVX2__)
    return _mm256_sqrt_pd(x);
#elif defined(__SSE2__)
    return _mm_sqrt_pd(x);
#else
    return NativeF{sqrt(x[0]), sqrt(x[1])};
#endif
  };
  return each<Pack>(op, a);
}
GLASSNF_HD Pack fused(Pack a, Pack b, Pack c) {
  const auto op = [](NativeF x, NativeF y, NativeF z) GLASSNF_INLINE -> NativeF {
#if defined(__AVX512F__)
    return _mm512_fmadd_pd(x, y, z);
#elif defined(__AVX2__)
    return _mm256_fmadd_pd(x, y, z);
#elif defined(__aarch64__)
    return vfmaq_f64(z, x, y);
#else
    return NativeF{fma(x[0], y[0], z[0]), fma(x[1], y[1], z[1])};
#endif
  };
  return each<Pack>(op, a, b, c);
}
GLASSNF_HD Pack absolute(Pack a) { return from_bits(to_bits(a) & PackU(0x7fffffffffffffffULL)); }

GLASSNF_HD PackU less_mask(Pack a, Pack b) {
  return each<PackU>([](NativeF x, NativeF y) GLASSNF_INLINE { return reinterpret_cast<NativeU>(x < y); }, a, b);
}
GLASSNF_HD Pack where_less(Pack x, Pack y, Pack a) { return from_bits(to_bits(a) & less_mask(x, y)); }
// a where the mask has ones, else 0.
GLASSNF_HD Pack keep(Pack a, PackU mask) { return from_bits(to_bits(a) & mask); }

// Bit l is set where a < b in lane l.
GLASSNF_HD unsigned less_bits(Pack a, Pack b) {
#if defined(__AVX512F__)
  return _mm512_cmp_pd_mask(a.v0, b.v0, _CMP_LT_OQ);
#elif defined(__AVX2__)
  const PackU m = less_mask(a, b);
  return static_cast<unsigned>(_mm256_movemask_pd(reinterpret_cast<__m256d>(m.v0)) |
                               (_mm256_movemask_pd(reinterpret_cast<__m256d>(m.v1)) << 4));
#else
  alignas(64) std::uint64_t m[8];
  store(m, less_mask(a, b));
  unsigned bits = 0;
  for (int l = 0; l < 8; ++l) bits |= static_cast<unsigned>(m[l] & 1) << l;
  return bits;
#endif
}

// Numbers of the set bits of every 8-bit mask, first to last.
struct BitNumbers {
  alignas(64) std::uint8_t rows[256][8];
  constexpr BitNumbers() : rows{} {
    for (int m = 0; m < 256; ++m)
      for (int l = 0, k = 0; l < 8; ++l)
        if (m >> l & 1) rows[m][k++] = static_cast<std::uint8_t>(l);
  }
};
inline constexpr BitNumbers bit_numbers{};

// Write base + l for every set bit l of an 8-bit mask, in order, and return how many; always touches out[0 .. 7].
GLASSNF_HD int write_set_bits(std::int32_t* out, std::int32_t base, unsigned mask) {
#if defined(__AVX2__)
  const __m256i numbers = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bit_numbers.rows[mask])));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_add_epi32(numbers, _mm256_set1_epi32(base)));
#else
  for (int k = 0; k < 8; ++k) out[k] = base + bit_numbers.rows[mask][k];
#endif
  return __builtin_popcount(mask);
}

// The first `columns` (3 or 4) columns of the eight records of four doubles at the given indices.
template <int Columns>
GLASSNF_HD void gather_records(const double* records, const std::int32_t* index, Pack& a, Pack& b, Pack& c, Pack& d) {
#if defined(__AVX512F__)
  const __m256i at = _mm256_slli_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(index)), 2);
  a.v0 = _mm512_i32gather_pd(at, records, 8);
  b.v0 = _mm512_i32gather_pd(at, records + 1, 8);
  c.v0 = _mm512_i32gather_pd(at, records + 2, 8);
  if constexpr (Columns == 4) d.v0 = _mm512_i32gather_pd(at, records + 3, 8);
#elif defined(__AVX2__)
  const auto transpose = [&](const std::int32_t* i, NativeF& va, NativeF& vb, NativeF& vc, NativeF& vd) GLASSNF_INLINE {
    const __m256d r0 = _mm256_loadu_pd(records + 4 * static_cast<std::int64_t>(i[0]));
    const __m256d r1 = _mm256_loadu_pd(records + 4 * static_cast<std::int64_t>(i[1]));
    const __m256d r2 = _mm256_loadu_pd(records + 4 * static_cast<std::int64_t>(i[2]));
    const __m256d r3 = _mm256_loadu_pd(records + 4 * static_cast<std::int64_t>(i[3]));
    const __m256d ac01 = _mm256_unpacklo_pd(r0, r1), ac23 = _mm256_unpacklo_pd(r2, r3);
    const __m256d bd01 = _mm256_unpackhi_pd(r0, r1), bd23 = _mm256_unpackhi_pd(r2, r3);
    va = _mm256_permute2f128_pd(ac01, ac23, 0x20);
    vb = _mm256_permute2f128_pd(bd01, bd23, 0x20);
    vc = _mm256_permute2f128_pd(ac01, ac23, 0x31);
    if constexpr (Columns == 4) vd = _mm256_permute2f128_pd(bd01, bd23, 0x31);
  };
  transpose(index, a.v0, b.v0, c.v0, d.v0);
  transpose(index + 4, a.v1, b.v1, c.v1, d.v1);
#else
  alignas(64) double columns[4][8];
  for (int l = 0; l < 8; ++l)
    for (int k = 0; k < Columns; ++k) columns[k][l] = records[4 * static_cast<std::int64_t>(index[l]) + k];
  a = load(columns[0]);
  b = load(columns[1]);
  c = load(columns[2]);
  if constexpr (Columns == 4) d = load(columns[3]);
#endif
}

// The four doubles from table[first] on, for the index in each lane; the overload of radial_table.hpp for packs.
GLASSNF_HD void four_at(const double* table, PackU first, Pack& a, Pack& b, Pack& c, Pack& d) {
#if defined(__AVX512F__)
  const __m512i at = reinterpret_cast<__m512i>(first.v0);
  a.v0 = _mm512_i64gather_pd(at, table, 8);
  b.v0 = _mm512_i64gather_pd(at, table + 1, 8);
  c.v0 = _mm512_i64gather_pd(at, table + 2, 8);
  d.v0 = _mm512_i64gather_pd(at, table + 3, 8);
#elif defined(__AVX2__)
  alignas(64) std::uint64_t at[pack_size];
  store(at, first);
  const auto transpose = [table](const std::uint64_t* i, NativeF& va, NativeF& vb, NativeF& vc, NativeF& vd) GLASSNF_INLINE {
    const __m256d r0 = _mm256_loadu_pd(table + i[0]), r1 = _mm256_loadu_pd(table + i[1]);
    const __m256d r2 = _mm256_loadu_pd(table + i[2]), r3 = _mm256_loadu_pd(table + i[3]);
    const __m256d ac01 = _mm256_unpacklo_pd(r0, r1), ac23 = _mm256_unpacklo_pd(r2, r3);
    const __m256d bd01 = _mm256_unpackhi_pd(r0, r1), bd23 = _mm256_unpackhi_pd(r2, r3);
    va = _mm256_permute2f128_pd(ac01, ac23, 0x20);
    vb = _mm256_permute2f128_pd(bd01, bd23, 0x20);
    vc = _mm256_permute2f128_pd(ac01, ac23, 0x31);
    vd = _mm256_permute2f128_pd(bd01, bd23, 0x31);
  };
  transpose(at, a.v0, b.v0, c.v0, d.v0);
  transpose(at + 4, a.v1, b.v1, c.v1, d.v1);
#else
  alignas(64) std::uint64_t at[pack_size];
  alignas(64) double columns[4][pack_size];
  store(at, first);
  for (int l = 0; l < pack_size; ++l)
    for (int k = 0; k < 4; ++k) columns[k][l] = table[at[l] + static_cast<std::uint64_t>(k)];
  a = load(columns[0]);
  b = load(columns[1]);
  c = load(columns[2]);
  d = load(columns[3]);
#endif
}

// Sum over lanes in one fixed order: ((0+4)+(2+6)) + ((1+5)+(3+7)).
GLASSNF_HD double sum(Pack a) {
#if defined(__AVX512F__)
  const __m256d h = _mm512_castpd512_pd256(a.v0) + _mm512_extractf64x4_pd(a.v0, 1);
#elif defined(__AVX2__)
  const __m256d h = a.v0 + a.v1;
#endif
#if defined(__AVX2__)
  const __m128d q = _mm256_castpd256_pd128(h) + _mm256_extractf128_pd(h, 1);
  return q[0] + q[1];
#else
  double l[8];
  store(l, a);
  return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
#endif
}

// A table of per-species values, looked up by species code. The code of species s is 2 s | (2 s + 1) << 32: the pair of 32-bit
// indices that picks a double out of a register on AVX2.
GLASSNF_HD std::uint64_t species_code(std::uint64_t s) { return (2 * s) | ((2 * s + 1) << 32); }
GLASSNF_HD std::uint64_t species_of_code(std::uint64_t code) { return (code & 0xffffffffULL) >> 1; }

// Tables of at most `small_table` entries (padded to that) stay in registers.
#if defined(__AVX512F__)
inline constexpr int small_table = 8;
#else
inline constexpr int small_table = 4;
#endif

template <bool Small>
struct Table {
  const double* data;
#if defined(__AVX512F__)
  __m512d reg;
#elif defined(__AVX2__)
  __m256d reg;
#endif
  GLASSNF_HD explicit Table(const double* p) : data(p) {
    if constexpr (Small) {
#if defined(__AVX512F__)
      reg = _mm512_loadu_pd(p);
#elif defined(__AVX2__)
      reg = _mm256_loadu_pd(p);
#endif
    }
  }
  GLASSNF_HD Pack operator()(PackU code) const {
#if defined(__AVX512F__)
    if constexpr (Small) {
      Pack out;
      out.v0 = _mm512_permutexvar_pd(_mm512_srli_epi64(reinterpret_cast<__m512i>(code.v0), 1), reg);
      return out;
    }
#elif defined(__AVX2__)
    if constexpr (Small)
      return each<Pack>(
          [this](NativeU c) GLASSNF_INLINE -> NativeF {
            return _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(reg), reinterpret_cast<__m256i>(c)));
          },
          code);
#endif
    alignas(64) std::uint64_t codes[pack_size];
    alignas(64) double values[pack_size];
    store(codes, code);
    for (int k = 0; k < pack_size; ++k) values[k] = data[species_of_code(codes[k])];
    return load(values);
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
