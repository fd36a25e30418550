// The forces of molecular dynamics, in two ways with the same results (dynamics.hpp): all pairs of up to eight small replicas, one in each
// lane of a pack, or neighbour lists of one large replica.
//
// Either keeps its particles in blocks of eight lanes: coordinate k of lane l of block b is x[(b * D + k) * 8 + l], and so are
// velocities, forces, and box crossings. In LaneField a block holds the same slot of eight replicas, in ListField eight particles of one.
#pragma once

#include "cell_ranges.hpp"
#include "coefficients.hpp"
#include "glassnf/dynamics.hpp"
#include "kernels.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

template <int D>
struct BlockState {
  std::int64_t blocks;
  double *x, *v, *f, *images;
  std::uint64_t* particle;  // (blocks, 8) index in the caller's arrays
  std::uint64_t* valid;     // (blocks, 8) all ones where a lane has a particle

  static GLASSNF_HD std::int64_t at(std::int64_t block, int k) { return (block * D + k) * pack_size; }

  void reserve_for(std::int64_t count, Workspace& workspace) {
    blocks = count;
    const std::int64_t size = count * D * pack_size;
    x = static_cast<double*>(reserve(workspace, 0, 4 * size * 8));
    v = x + size;
    f = v + size;
    images = f + size;
    particle = static_cast<std::uint64_t*>(reserve(workspace, 1, 2 * count * pack_size * 8));
    valid = particle + count * pack_size;
  }
  // Lane l of block b takes particle p of a replica, or hands it back.
  GLASSNF_HD void take(const DynamicsBatch& batch, std::int64_t replica, std::int64_t n, std::int64_t b, int l,
                       std::int64_t p) const {
    particle[b * pack_size + l] = static_cast<std::uint64_t>(p);
    valid[b * pack_size + l] = ~std::uint64_t(0);
    for (int k = 0; k < D; ++k) {
      const std::int64_t from = (replica * n + p) * D + k, to = at(b, k) + l;
      x[to] = batch.positions[from];
      v[to] = batch.velocities[from];
      images[to] = batch.images[from];
      f[to] = 0.0;
    }
  }
  GLASSNF_HD void hand_back(const DynamicsBatch& batch, std::int64_t replica, std::int64_t n, std::int64_t b, int l) const {
    const auto p = static_cast<std::int64_t>(particle[b * pack_size + l]);
    for (int k = 0; k < D; ++k) {
      const std::int64_t to = (replica * n + p) * D + k, from = at(b, k) + l;
      batch.positions[to] = x[from];
      batch.velocities[to] = v[from];
      batch.images[to] = static_cast<std::int32_t>(images[from]);
    }
  }
};

// Exact sums of quantised energies for eight lanes: row sums in double precision, whole quanta in 64-bit integers.
struct EnergySum {
  EnergyQuantum grid;
  std::int64_t quanta[pack_size] = {};
  double total[pack_size] = {};
  bool rough[pack_size] = {};

  explicit EnergySum(double scale) : grid(EnergyQuantum::from_scale(scale)) {}
  void add(const double* row) {
    for (int l = 0; l < pack_size; ++l) add(l, row[l]);
  }
  void add(int lane, double row) {
    // Half a row: of overlaps, whose energies leave the range of exact sums, the plain sum has to do.
    if (!(absolute(row) <= grid.limit)) rough[lane] = true;
    if (!rough[lane]) quanta[lane] += static_cast<std::int64_t>(row * (1.0 / grid.quantum));
    total[lane] += row;
  }
  double energy(int lane) const { return rough[lane] ? total[lane] : static_cast<double>(quanta[lane]) * grid.quantum; }
};

// ---- all pairs ------------------------------------------------------------------------------------------------------------------------

template <int D, class Potential, bool Fast>
class LaneField {
  const SystemView& system_;
  Potential potential_;
  ForceQuantum grid_;
  std::int64_t first_, count_;
  std::int64_t* start_;  // (S + 1,) first slot of each species

 public:
  static constexpr bool one_replica = false;
  BlockState<D> state;
  std::int64_t pair_evaluations = 0;  // of one replica

  // Replicas first .. first + count - 1 of the batch. Lanes left over repeat the first.
  LaneField(const SystemView& system, const DynamicsBatch& batch, std::int64_t first, std::int64_t count, Workspace& workspace,
            Potential potential)
      : system_(system), potential_(potential), grid_(ForceQuantum::from_scale(system.energy_scale)), first_(first), count_(count) {
    const std::int64_t n = system.n;
    const int s = system.species_count;
    start_ = static_cast<std::int64_t*>(reserve(workspace, 2, (2 * s + 1) * 8));
    std::int64_t* next = start_ + s + 1;
    for (int a = 0; a <= s; ++a) start_[a] = 0;
    for (std::int64_t i = 0; i < n; ++i) ++start_[batch.species[first * n + i] + 1];
    for (int a = 0; a < s; ++a) start_[a + 1] += start_[a];
    state.reserve_for(n, workspace);
    for (int l = 0; l < pack_size; ++l) {
      const std::int64_t replica = first + (l < count ? l : 0);
      for (int a = 0; a < s; ++a) next[a] = start_[a];
      for (std::int64_t i = 0; i < n; ++i) {
        const int a = batch.species[replica * n + i];
        state.take(batch, replica, n, next[a] < start_[a + 1] ? next[a]++ : start_[a], l, i);
      }
    }
  }

  std::int64_t first() const { return first_; }
  std::int64_t replicas() const { return count_; }
  GLASSNF_HD std::int64_t replica_of_lane(int lane) const { return first_ + (lane < count_ ? lane : 0); }

  // Sum over a replica of something that every block has: here lane by lane.
  template <class Of>
  GLASSNF_HD void sum_by_lane(const Of& of, std::uint64_t* out) const {
    PackU total(0);
    for (std::int64_t b = 0; b < state.blocks; ++b) total = total + of(b);
    store(out, total);
  }
  GLASSNF_HD Pack largest(Pack by_lane) const { return by_lane; }

  // Whether the particles may go on: they always may.
  GLASSNF_HD void after_drift(Workspace&) {}

  [[gnu::noinline]] void forces() {
    const std::int64_t n = system_.n;
    pair_evaluations += n * (n - 1) / 2;
    // Copies on the stack: stores of forces might change members.
    const double* const x = state.x;
    double* const f = state.f;
    const Potential potential = potential_;
    const Pack magic(grid_.magic);
    const std::int64_t* const start = start_;
    const int species_count = system_.species_count;
    for (std::int64_t r = 0; r < n * D; ++r) store(f + r * pack_size, Pack(0.0));
    Vec<Pack, D> box, inverse_box;
    set_box(box, inverse_box);
    for (int a = 0; a < species_count; ++a)
      for (std::int64_t i = start[a], end = start[a + 1]; i < end; ++i) {
        Vec<Pack, D> xi, fi;
        for_axes<D>([&](auto k) GLASSNF_INLINE {
          xi.at(k) = load(x + state.at(i, k));
          fi.at(k) = Pack(0.0);
        });
        for (int b = a; b < species_count; ++b) {
          const PairCoefficients<Pack> c = coefficients(a, b);
          const Pack scale = Pack(-2.0) * c.inverse_sigma2 * c.prefactor;
          for (std::int64_t j = b == a ? i + 1 : start[b], last = start[b + 1]; j < last; ++j) {
            Vec<Pack, D> dx;
            for_axes<D>([&](auto k) GLASSNF_INLINE {
              dx.at(k) = minimum_image(xi.at(k) - load(x + state.at(j, k)), box.at(k), inverse_box.at(k));
            });
            const Pack factor = force_factor(potential, dot(dx, dx) * c.inverse_sigma2, c, scale);
            for_axes<D>([&](auto k) GLASSNF_INLINE {
              const Pack force = fused(factor, dx.at(k), magic) - magic;
              double* fj = f + state.at(j, k);
              fi.at(k) = fi.at(k) + force;
              store(fj, load(fj) - force);
            });
          }
        }
        for_axes<D>([&](auto k) GLASSNF_INLINE {
          double* own = f + state.at(i, k);
          store(own, load(own) + fi.at(k));
        });
      }
  }

  [[gnu::noinline]] void energies(EnergySum& sum) const {
    Vec<Pack, D> box, inverse_box;
    set_box(box, inverse_box);
    for (int a = 0; a < system_.species_count; ++a)
      for (std::int64_t i = start_[a]; i < start_[a + 1]; ++i) {
        Pack row(0.0);
        for (int b = a; b < system_.species_count; ++b) {
          const PairCoefficients<Pack> c = coefficients(a, b);
          for (std::int64_t j = b == a ? i + 1 : start_[b]; j < start_[b + 1]; ++j) {
            Vec<Pack, D> dx;
            for_axes<D>([&](auto k) GLASSNF_INLINE {
              dx.at(k) = minimum_image_distance(load(state.x + state.at(i, k)) - load(state.x + state.at(j, k)), box.at(k));
            });
            row = row + quantised_pair_energy<true>(potential_, dot(dx, dx) * c.inverse_sigma2, c, sum.grid);
          }
        }
        alignas(64) double by_lane[pack_size];
        store(by_lane, row);
        sum.add(by_lane);
      }
  }

 private:
  GLASSNF_HD PairCoefficients<Pack> coefficients(int a, int b) const {
    const double* p = system_.coefficients + (a * system_.species_count + b) * coefficient_count;
    return {Pack(p[inverse_sigma2]), Pack(p[prefactor]), Pack(p[q_cut]), Pack(p[c4]), Pack(p[c2]), Pack(p[c0])};
  }
  GLASSNF_HD void set_box(Vec<Pack, D>& box, Vec<Pack, D>& inverse_box) const {
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      box.at(k) = Pack(system_.box[k]);
      inverse_box.at(k) = Pack(1.0 / system_.box[k]);
    });
  }
};

// ---- neighbour lists ------------------------------------------------------------------------------------------------------------------

// Subtract the forces in the lanes of a pack from the records of the particles that the lanes stand for. Records have two doubles in two
// dimensions, four in three.
template <int D>
GLASSNF_HD void subtract_from_records(double* records, const std::int32_t* index, const Vec<Pack, D>& force) {
#if defined(__AVX2__)
  const auto four = [&](const std::int32_t* i, __m256d fx, __m256d fy, [[maybe_unused]] __m256d fz) GLASSNF_INLINE {
    const __m256d even = _mm256_unpacklo_pd(fx, fy), odd = _mm256_unpackhi_pd(fx, fy);
    if constexpr (D == 2) {
      const auto put = [&](std::int32_t at, __m128d f) GLASSNF_INLINE {
        double* r = records + 2 * static_cast<std::int64_t>(at);
        _mm_store_pd(r, _mm_sub_pd(_mm_load_pd(r), f));
      };
      put(i[0], _mm256_castpd256_pd128(even));
      put(i[1], _mm256_castpd256_pd128(odd));
      put(i[2], _mm256_extractf128_pd(even, 1));
      put(i[3], _mm256_extractf128_pd(odd, 1));
    } else {
      const __m256d zero = _mm256_setzero_pd(), z_even = _mm256_unpacklo_pd(fz, zero), z_odd = _mm256_unpackhi_pd(fz, zero);
      const auto put = [&](std::int32_t at, __m256d f) GLASSNF_INLINE {
        double* r = records + 4 * static_cast<std::int64_t>(at);
        _mm256_store_pd(r, _mm256_sub_pd(_mm256_load_pd(r), f));
      };
      put(i[0], _mm256_permute2f128_pd(even, z_even, 0x20));
      put(i[1], _mm256_permute2f128_pd(odd, z_odd, 0x20));
      put(i[2], _mm256_permute2f128_pd(even, z_even, 0x31));
      put(i[3], _mm256_permute2f128_pd(odd, z_odd, 0x31));
    }
  };
  const Pack z = [&] {
    if constexpr (D == 3)
      return force.z;
    else
      return force.y;  // not looked at
  }();
#if defined(__AVX512F__)
  four(index, _mm512_castpd512_pd256(force.x.v0), _mm512_castpd512_pd256(force.y.v0), _mm512_castpd512_pd256(z.v0));
  four(index + 4, _mm512_extractf64x4_pd(force.x.v0, 1), _mm512_extractf64x4_pd(force.y.v0, 1), _mm512_extractf64x4_pd(z.v0, 1));
#else
  four(index, force.x.v0, force.y.v0, z.v0);
  four(index + 4, force.x.v1, force.y.v1, z.v1);
#endif
#else
  constexpr int stride = D == 2 ? 2 : 4;
  alignas(64) double lanes[D][pack_size];
  for_axes<D>([&](auto k) GLASSNF_INLINE { store(lanes[k], force.at(k)); });
  for (int l = 0; l < pack_size; ++l)
    for (int k = 0; k < D; ++k) records[stride * static_cast<std::int64_t>(index[l]) + k] -= lanes[k][l];
#endif
}

// Verlet lists that hold every pair once, made anew when a particle has moved by more than half the skin since they were made.
template <int D, class Potential, bool Fast>
class ListField {
  static constexpr int record_size = 4, force_size = D == 2 ? 2 : 4;
  // In packs_: a particle so far inside the box that while the lists last neither it nor its neighbours can cross a side.
  static constexpr std::int32_t inside = 1 << 30, most_packs = inside - 1;

  const SystemView& system_;
  Potential potential_;
  ForceQuantum grid_;
  CoefficientRows rows_;
  std::int64_t replica_, n_, cells_, width_;
  CellGrid<D> cell_grid_;
  bool has_grid_;
  double skin_;
  double* reach2_;         // (S, padded) squared range of the lists by pair of species
  double* scale_;          // (S, padded) see force_factor
  double* records_;        // (n + 1, 4) x y (z) species code; the last is too far away to interact
  double* force_records_;  // (n + 1, force_size)
  double* origins_;        // like x: where the particles were when the lists were made
  std::int32_t* lists_;    // (n, width) by slot
  std::int32_t* packs_;    // (n,) packs of eight in use, and `inside`

 public:
  static constexpr bool one_replica = true;
  BlockState<D> state;
  std::int64_t pair_evaluations = 0;

  // The skin: wide enough to last for ten steps or more, narrow enough to hold few pairs in vain.
  static GLASSNF_HD double skin(const SystemView& system) { return 0.12 * system.cutoff; }

  ListField(const SystemView& system, const DynamicsBatch& batch, std::int64_t replica, std::int64_t, Workspace& workspace,
            Potential potential)
      : system_(system),
        potential_(potential),
        grid_(ForceQuantum::from_scale(system.energy_scale)),
        replica_(replica),
        n_(system.n),
        skin_(skin(system)) {
    const int s = system.species_count;
    rows_ = CoefficientRows::fill(system, static_cast<double*>(reserve(workspace, 4, CoefficientRows::size(s) * 8)));
    reach2_ = static_cast<double*>(reserve(workspace, 5, 2 * s * rows_.padded * 8));
    scale_ = reach2_ + s * rows_.padded;
    double volume = 1.0;
    for (int k = 0; k < D; ++k) volume *= system.box[k];
    for (int a = 0; a < s; ++a)
      for (int b = 0; b < rows_.padded; ++b) {
        const PairCoefficients<double> c = rows_.pair(a, b);
        const double reach = square_root(c.q_cut / c.inverse_sigma2) + skin_;
        reach2_[a * rows_.padded + b] = reach * reach;
        scale_[a * rows_.padded + b] = -2.0 * c.inverse_sigma2 * c.prefactor;
      }
    const double reach = system.cutoff + skin_;
    has_grid_ = make_grid<D>(system.box, reach, 1.0 + static_cast<double>(n_), cell_grid_);
    cells_ = has_grid_ ? cell_grid_.cells() : 1;
    const double ball = D == 2 ? 3.14159265358979 : 4.18879020478639 * reach;
    const double expected = 0.5 * ball * reach * reach * static_cast<double>(n_) / volume;
    width_ = (static_cast<std::int64_t>(1.6 * expected) + 24) / 16 * 16;
    state.reserve_for((n_ + pack_size - 1) / pack_size, workspace);
    records_ = static_cast<double*>(reserve(workspace, 6, (n_ + 1) * record_size * 8));
    force_records_ = static_cast<double*>(reserve(workspace, 7, (n_ + 1) * force_size * 8));
    origins_ = static_cast<double*>(reserve(workspace, 8, state.blocks * D * pack_size * 8));
    packs_ = static_cast<std::int32_t*>(reserve(workspace, 9, n_ * 4));
    for (std::int64_t p = 0; p < n_; ++p) {
      state.take(batch, replica, n_, p / pack_size, static_cast<int>(p % pack_size), p);
      records_[p * record_size + D] = from_bits(species_code(batch.species[replica * n_ + p]));
    }
    for (std::int64_t p = n_; p < state.blocks * pack_size; ++p) empty(p);
    renew(workspace);
  }

  std::int64_t first() const { return replica_; }
  std::int64_t replicas() const { return 1; }
  GLASSNF_HD std::int64_t replica_of_lane(int) const { return replica_; }

  template <class Of>
  GLASSNF_HD void sum_by_lane(const Of& of, std::uint64_t* out) const {
    PackU lanes(0);
    for (std::int64_t b = 0; b < state.blocks; ++b) lanes = lanes + of(b);
    store(out, lanes);
    std::uint64_t total = 0;
    for (int l = 0; l < pack_size; ++l) total += out[l];
    for (int l = 0; l < pack_size; ++l) out[l] = total;
  }
  GLASSNF_HD Pack largest(Pack by_lane) const {
    alignas(64) double lanes[pack_size];
    store(lanes, by_lane);
    double most = lanes[0];
    for (int l = 1; l < pack_size; ++l) most = maximum(most, lanes[l]);
    return Pack(most);
  }

  // The records follow the particles, and the lists where one has gone too far. Coordinates are finite (the integrator has looked).
  GLASSNF_HD void after_drift(Workspace& workspace) {
    Pack furthest(0.0);
    for (std::int64_t b = 0; b < state.blocks; ++b) {
      Vec<Pack, D> dx;
      for_axes<D>([&](auto k) GLASSNF_INLINE {
        dx.at(k) = minimum_image_distance(load(state.x + state.at(b, k)) - load(origins_ + state.at(b, k)), Pack(system_.box[k]));
      });
      furthest = maximum(furthest, keep(dot(dx, dx), load(state.valid + b * pack_size)));
    }
    if (less_bits(Pack(0.25 * skin_ * skin_), furthest))
      renew(workspace);
    else
      write_records();
  }

  [[gnu::noinline]] void forces() {
    double* const forces = force_records_;
    for (std::int64_t i = 0; i < (n_ + 1) * force_size; ++i) forces[i] = 0.0;
    Vec<Pack, D> box, inverse_box;
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      box.at(k) = Pack(system_.box[k]);
      inverse_box.at(k) = Pack(1.0 / system_.box[k]);
    });
    const Potential potential = potential_;
    const Pack magic(grid_.magic);
    const double* const records = records_;
    std::int64_t packs = 0;
    // Of the particle in slot i on those of its list, and theirs on it.
    const auto one = [&]<bool Inside>(std::int64_t i, int used) GLASSNF_INLINE {
      const int species = species_of(i);
      const SpeciesRow<Fast> row(rows_, species);
      const Table<Fast> scale_row(scale_ + species * rows_.padded);
      Vec<Pack, D> xi, fi;
      for_axes<D>([&](auto k) GLASSNF_INLINE {
        xi.at(k) = Pack(records[i * record_size + k]);
        fi.at(k) = Pack(0.0);
      });
      const std::int32_t* const list = lists_ + i * width_;
      for (const std::int32_t* index = list; index < list + used * pack_size; index += pack_size) {
        PackU code;
        Vec<Pack, D> dx = gather(records, index, code);
        for_axes<D>([&](auto k) GLASSNF_INLINE {
          dx.at(k) = xi.at(k) - dx.at(k);
          if constexpr (!Inside) dx.at(k) = minimum_image_or_far(dx.at(k), box.at(k), inverse_box.at(k));
        });
        const PairCoefficients<Pack> c = row(code);
        const Pack factor = force_factor(potential, dot(dx, dx) * c.inverse_sigma2, c, scale_row(code));
        Vec<Pack, D> force;
        for_axes<D>([&](auto k) GLASSNF_INLINE {
          force.at(k) = fused(factor, dx.at(k), magic) - magic;
          fi.at(k) = fi.at(k) + force.at(k);
        });
        subtract_from_records<D>(forces, index, force);
      }
      for_axes<D>([&](auto k) GLASSNF_INLINE { forces[i * force_size + k] += sum(fi.at(k)); });
    };
    for (std::int64_t i = 0; i < n_; ++i) {
      const int used = packs_[i] & most_packs;
      packs += used;
      if (packs_[i] & inside)
        one.template operator()<true>(i, used);
      else
        one.template operator()<false>(i, used);
    }
    pair_evaluations += packs * pack_size;
    for (std::int64_t i = 0; i < n_; ++i)
      for (int k = 0; k < D; ++k) state.f[state.at(i / pack_size, k) + i % pack_size] = forces[i * force_size + k];
  }

  [[gnu::noinline]] void energies(EnergySum& sums) const {
    for (std::int64_t i = 0; i < n_; ++i) {
      const SpeciesRow<Fast> row(rows_, species_of(i));
      Pack total(0.0);
      for (int e = 0; e < (packs_[i] & most_packs); ++e) {
        PackU code;
        Vec<Pack, D> dx = gather(records_, lists_ + i * width_ + e * pack_size, code);
        for_axes<D>([&](auto k) GLASSNF_INLINE {
          dx.at(k) = minimum_image_distance(Pack(records_[i * record_size + k]) - dx.at(k), Pack(system_.box[k]));
        });
        const PairCoefficients<Pack> c = row(code);
        total = total + quantised_pair_energy<true>(potential_, dot(dx, dx) * c.inverse_sigma2, c, sums.grid);
      }
      sums.add(0, sum(total));
    }
    for (int l = 1; l < pack_size; ++l) {
      sums.quanta[l] = sums.quanta[0];
      sums.total[l] = sums.total[0];
      sums.rough[l] = sums.rough[0];
    }
  }

 private:
  GLASSNF_HD int species_of(std::int64_t slot) const {
    return static_cast<int>(species_of_code(to_bits(records_[slot * record_size + D])));
  }
  static GLASSNF_HD Vec<Pack, D> gather(const double* records, const std::int32_t* index, PackU& code) {
    Pack a, b, c, d;
    gather_records<D + 1>(records, index, a, b, c, d);
    if constexpr (D == 2) {
      code = to_bits(c);
      return {a, b};
    } else {
      code = to_bits(d);
      return {a, b, c};
    }
  }
  GLASSNF_HD void empty(std::int64_t slot) const {
    const std::int64_t b = slot / pack_size, l = slot % pack_size;
    state.particle[slot] = 0;
    state.valid[slot] = 0;
    for (int k = 0; k < D; ++k)
      state.x[state.at(b, k) + l] = state.v[state.at(b, k) + l] = state.f[state.at(b, k) + l] = state.images[state.at(b, k) + l] =
          0.0;
  }
  GLASSNF_HD void write_records() const {
    for (std::int64_t i = 0; i < n_; ++i)
      for (int k = 0; k < D; ++k) records_[i * record_size + k] = state.x[state.at(i / pack_size, k) + i % pack_size];
  }

  struct Loose {
    double x[D], v[D], images[D], code;
    std::uint64_t particle;
  };

  // Sort the particles by cell and make their lists.
  [[gnu::noinline]] void renew(Workspace& workspace) {
    auto* loose = static_cast<Loose*>(reserve(workspace, 10, n_ * static_cast<std::int64_t>(sizeof(Loose))));
    auto* start = static_cast<std::int64_t*>(reserve(workspace, 11, (cells_ + 2) * 8));
    const std::int64_t padded = n_ + pack_size;
    auto* sorted = static_cast<double*>(reserve(workspace, 12, (D + 1) * padded * 8));
    for (std::int64_t c = 0; c < cells_ + 2; ++c) start[c] = 0;
    for (std::int64_t i = 0; i < n_; ++i) {
      Loose& p = loose[i];
      for (int k = 0; k < D; ++k) {
        const std::int64_t from = state.at(i / pack_size, k) + i % pack_size;
        p.x[k] = state.x[from];
        p.v[k] = state.v[from];
        p.images[k] = state.images[from];
      }
      p.code = records_[i * record_size + D];
      p.particle = state.particle[i];
      ++start[cell_of(p.x) + 2];
    }
    for (std::int64_t c = 2; c < cells_ + 2; ++c) start[c] += start[c - 1];
    for (std::int64_t i = 0; i < n_; ++i) {
      const Loose& p = loose[i];
      const std::int64_t slot = start[cell_of(p.x) + 1]++;
      state.particle[slot] = p.particle;
      records_[slot * record_size + D] = p.code;
      sorted[D * padded + slot] = p.code;
      for (int k = 0; k < D; ++k) {
        const std::int64_t to = state.at(slot / pack_size, k) + slot % pack_size;
        state.x[to] = origins_[to] = sorted[k * padded + slot] = records_[slot * record_size + k] = p.x[k];
        state.v[to] = p.v[k];
        state.images[to] = p.images[k];
      }
    }
    for (int k = 0; k < D; ++k) {
      records_[n_ * record_size + k] = nowhere;
      for (std::int64_t i = n_; i < padded; ++i) sorted[k * padded + i] = nowhere;
    }
    for (std::int64_t i = n_; i < padded; ++i) sorted[D * padded + i] = from_bits(species_code(0));
    records_[n_ * record_size + D] = from_bits(species_code(0));
    do {
      lists_ = static_cast<std::int32_t*>(reserve(workspace, 13, (n_ * width_ + pack_size) * 4));
    } while (!make_lists(start, sorted, padded));
  }

  GLASSNF_HD std::int64_t cell_of(const double* x) const {
    if (!has_grid_) return 0;
    int c[D];
    for (int k = 0; k < D; ++k) c[k] = cell_grid_.along(k, x[k]);
    return cell_grid_.index(c);
  }

  // False if a list did not fit: width has grown, try again.
  bool make_lists(const std::int64_t* start, const double* sorted, std::int64_t padded) {
    for (std::int64_t cell = 0; cell < cells_; ++cell) {
      CellRanges<D> ranges;
      if (has_grid_) {
        int c[D];
        cell_grid_.coordinates(cell, c);
        ranges.make(cell_grid_, start, c);
      } else {
        ranges.count = 1;
        ranges.range[0].first = 0;
        ranges.range[0].last = n_;
      }
      for (std::int64_t i = start[cell]; i < start[cell + 1]; ++i) {
        const std::int64_t found = find_later_neighbours(ranges, i, sorted, padded, lists_ + i * width_);
        if (found > width_) {
          width_ = (found + found / 4 + 16) / 16 * 16;
          return false;
        }
        packs_[i] = static_cast<std::int32_t>((found + pack_size - 1) / pack_size);
        bool far = true;
        for (int k = 0; k < D; ++k) {
          const double x = sorted[k * padded + i], margin = system_.cutoff + 2.0 * skin_;
          far = far && x > margin && x < system_.box[k] - margin;
        }
        if (far) packs_[i] |= inside;
      }
    }
    return true;
  }

  // Number of neighbours of i in later slots; writes them, padded, if they fit.
  GLASSNF_HD std::int64_t find_later_neighbours(const CellRanges<D>& ranges, std::int64_t i, const double* sorted,
                                                std::int64_t padded, std::int32_t* list) const {
    const Table<Fast> reach2(reach2_ + species_of(i) * rows_.padded);
    Vec<Pack, D> xi;
    for_axes<D>([&](auto k) GLASSNF_INLINE { xi.at(k) = Pack(sorted[k * padded + i]); });
    std::int64_t found = 0;
    for (int r = 0; r < ranges.count; ++r) {
      const std::int64_t last = ranges.range[r].last;
      for (std::int64_t at = ranges.range[r].first > i ? ranges.range[r].first : i + 1; at < last; at += pack_size) {
        Vec<Pack, D> dx;
        for_axes<D>([&](auto k) GLASSNF_INLINE {
          dx.at(k) = minimum_image_distance(load(sorted + k * padded + at) - xi.at(k), Pack(system_.box[k]));
        });
        unsigned bits = less_bits(dot(dx, dx), reach2(load_bits(sorted + D * padded + at)));
        if (last - at < pack_size) bits &= (1u << (last - at)) - 1;
        // Past the capacity only the count goes on; the last pack of a list may run over into the next list, which comes later.
        std::int32_t* out = found <= width_ ? list + found : list;
        found += write_set_bits(out, static_cast<std::int32_t>(at), bits);
      }
    }
    if (found <= width_)
      for (std::int64_t k = found; k % pack_size; ++k) list[k] = static_cast<std::int32_t>(n_);
    return found;
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
