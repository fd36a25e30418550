// Flow fields of up to eight replicas by all pairs, one replica in each lane of a pack.
#pragma once

#include "flow_batches.hpp"
#include "glassnf/box.hpp"
#include "glassnf/flow_field.hpp"
#include "glassnf/simd.hpp"
#include "kernels.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

// Coordinates are (slots, D, 8). Particles are sorted by species, so that a pair of slots has the same tables in all lanes. A species has as
// many slots as the replica with most of it needs; `ragged` if some are empty in some lane. Lanes left over repeat the first replica.
// Nothing is summed across lanes: the result of a replica does not depend on its company.
template <int D>
class FlowLanes {
  const SystemView& system_;
  const FlowTables& tables_;
  RadialGrid<Pack> grid_;
  std::int64_t first_, count_, slots_ = 0;
  bool ragged_ = false;
  std::int64_t* start_;    // (S + 1,) first slot of each species
  std::uint64_t* valid_;   // (slots, 8) all ones where a lane has a particle
  std::int32_t* slot_of_;  // (8, n)

 public:
  // Scratch slots 0 to 7 of the workspace are the caller's.
  FlowLanes(const SystemView& system, const FlowTables& tables, const std::int32_t* species, std::int64_t first, std::int64_t count,
            Workspace& workspace)
      : system_(system),
        tables_(tables),
        grid_(RadialGrid<Pack>::make(tables.pair_range.inner, tables.pair_range.outer, tables.pair_range.intervals)),
        first_(first),
        count_(count) {
    const std::int64_t n = system.n;
    const int s = system.species_count;
    start_ = static_cast<std::int64_t*>(reserve(workspace, 8, (2 * s + 1) * 8));
    std::int64_t* next = start_ + s + 1;
    for (int a = 0; a <= s; ++a) start_[a] = 0;
    for (std::int64_t r = first; r < first + count; ++r) {
      for (int a = 0; a < s; ++a) next[a] = 0;
      for (std::int64_t i = 0; i < n; ++i) ++next[species[r * n + i]];
      for (int a = 0; a < s; ++a)
        if (next[a] > start_[a + 1]) start_[a + 1] = next[a];
    }
    for (int a = 0; a < s; ++a) start_[a + 1] += start_[a];
    slots_ = start_[s];
    ragged_ = slots_ > n;
    slot_of_ = static_cast<std::int32_t*>(reserve(workspace, 9, pack_size * n * 4));
    valid_ = static_cast<std::uint64_t*>(reserve(workspace, 10, slots_ * pack_size * 8));
    for (std::int64_t k = 0; k < slots_; ++k) store(valid_ + k * pack_size, PackU(0));
    for (int l = 0; l < pack_size; ++l) {
      for (int a = 0; a < s; ++a) next[a] = start_[a];
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t slot = next[species[replica_of_lane(l) * n + i]]++;
        slot_of_[l * n + i] = static_cast<std::int32_t>(slot);
        valid_[slot * pack_size + l] = ~std::uint64_t(0);
      }
    }
  }

  std::int64_t size() const { return slots_ * D * pack_size; }
  std::int64_t replicas() const { return count_; }
  std::int64_t first() const { return first_; }
  // Where coordinate k of particle i of the replica in lane l is.
  std::int64_t at(int l, std::int64_t i, int k) const { return (slot_of_[l * system_.n + i] * D + k) * pack_size + l; }

  void take(const double* positions, double* x) const {
    for (std::int64_t k = 0; k < slots_ * D; ++k) store(x + k * pack_size, Pack(0.0));
    for (int l = 0; l < pack_size; ++l)
      for (std::int64_t i = 0; i < system_.n; ++i)
        for (int k = 0; k < D; ++k) x[at(l, i, k)] = positions[(replica_of_lane(l) * system_.n + i) * D + k];
  }

  // Velocities at x with the tables of one stage; returns the divergence of each lane.
  Pack evaluate(std::int64_t stage, const double* x, double* v) const {
    const std::int64_t s = system_.species_count;
    const double* pair = tables_.pair + stage * (tables_.layers + 1) * s * s * tables_.pair_range.row_size();
    return ragged_ ? pairs<true>(pair, x, v) : pairs<false>(pair, x, v);
  }

 private:
  GLASSNF_HD std::int64_t replica_of_lane(int l) const { return first_ + (l < count_ ? l : 0); }

  GLASSNF_HD Vec<Pack, D> vector_at(const double* x, std::int64_t slot) const {
    Vec<Pack, D> out;
    for_axes<D>([&](auto k) GLASSNF_INLINE { out.at(k) = load(x + (slot * D + k) * pack_size); });
    return out;
  }

  template <bool Ragged>
  [[gnu::noinline]] Pack pairs(const double* pair, const double* x, double* v) const {
    const int species_count = system_.species_count;
    const std::int64_t* const start = start_;
    const std::uint64_t* const valid = valid_;
    const std::int64_t rows = tables_.pair_range.row_size();
    const RadialGrid<Pack> grid = grid_;
    Vec<Pack, D> box, inverse_box;
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      box.at(k) = Pack(system_.box[k]);
      inverse_box.at(k) = Pack(1.0 / system_.box[k]);
    });
    for (std::int64_t k = 0; k < slots_ * D; ++k) store(v + k * pack_size, Pack(0.0));
    DivergenceSum<Pack> divergence = DivergenceSum<Pack>::zero();
    for (int a = 0; a < species_count; ++a)
      for (std::int64_t i = start[a]; i < start[a + 1]; ++i) {
        const Vec<Pack, D> xi = vector_at(x, i);
        Vec<Pack, D> vi;
        for_axes<D>([&](auto k) GLASSNF_INLINE { vi.at(k) = Pack(0.0); });
        for (int b = a; b < species_count; ++b) {
          const double* table = pair + (a * species_count + b) * rows;
          for (std::int64_t j = b == a ? i + 1 : start[b], end = start[b + 1]; j < end; ++j) {
            Vec<Pack, D> dx;
            for_axes<D>([&](auto k) GLASSNF_INLINE {
              dx.at(k) = minimum_image(xi.at(k) - load(x + (j * D + k) * pack_size), box.at(k), inverse_box.at(k));
            });
            const Pack distance = square_root(dot(dx, dx));
            Radial<Pack> phi = radial_at(table, locate(grid, distance));
            if constexpr (Ragged) {
              const PackU both = load(valid + i * pack_size) & load(valid + j * pack_size);
              phi = {keep(phi.value, both), keep(phi.slope, both)};
            }
            divergence.add(phi, distance);
            for_axes<D>([&](auto k) GLASSNF_INLINE {
              double* vj = v + (j * D + k) * pack_size;
              const Pack step = phi.value * dx.at(k);
              vi.at(k) = vi.at(k) + step;
              store(vj, load(vj) - step);
            });
          }
        }
        for_axes<D>([&](auto k) GLASSNF_INLINE {
          double* own = v + (i * D + k) * pack_size;
          store(own, load(own) + vi.at(k));
        });
      }
    return Pack(2.0) * divergence.template total<D>(grid.inverse_spacing);
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
