// What a trial changes, summed by a group of lanes over the particles around: the difference of two rows of pair energies, that of the
// proposed state and that of the present one. The sum is exact (EnergyQuantum), so neither the number of lanes nor the order counts.
#pragma once

#include "glassnf/box.hpp"
#include "glassnf/cells.hpp"
#include "glassnf/coefficient_table.hpp"
#include "glassnf/group.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

// Particles as the rows see them: coordinates axis by axis, and species.
template <int D>
struct Places {
  double* x;  // coordinate k of place i at x[k * stride + i]
  std::uint8_t* species;
  std::int64_t stride;

  GLASSNF_HD Vec<double, D> at(int i) const {
    Vec<double, D> result;
    for_axes<D>([&](auto k) { result.at(k) = x[k * stride + i]; });
    return result;
  }
  GLASSNF_HD void set(int i, const Vec<double, D>& value) const {
    for_axes<D>([&](auto k) { x[k * stride + i] = value.at(k); });
  }
};

// From where to where, and as what. Places `skip` and `partner` do not count.
template <int D>
struct RowChange {
  Vec<double, D> from, to;
  int species_from, species_to;
  int skip, partner;
};

template <int D, class Potential, bool Uniform>
struct PairChange {
  Potential potential;
  CoefficientTable<double, Uniform> table;
  EnergyQuantum grid;
  double box[D];
  double reach2;  // square of the largest cutoff distance

  static GLASSNF_HD PairChange make(const Potential& potential, const double* coefficients, int species_count, const double* box,
                                    double cutoff, double energy_scale) {
    PairChange result{potential, {coefficients, species_count}, EnergyQuantum::from_scale(energy_scale), {}, 0.0};
    for_axes<D>([&](auto k) { result.box[k] = box[k]; });
    result.reach2 = cutoff * cutoff * (1.0 + 1e-12);
    return result;
  }

  GLASSNF_HD double distance2(const Vec<double, D>& a, const Vec<double, D>& b) const {
    Vec<double, D> dx;
    for_axes<D>([&](auto k) { dx.at(k) = minimum_image_for_square(a.at(k) - b.at(k), box[k]); });
    return dot(dx, dx);
  }
  GLASSNF_HD double energy(const Vec<double, D>& a, int sa, const Vec<double, D>& b, int sb) const {
    const PairCoefficients<double> c = table(sa, sb);
    return quantised_pair_energy<true>(potential, distance2(a, b) * c.inverse_sigma2, c, grid);
  }
  GLASSNF_HD bool near(const Places<D>& places, const RowChange<D>& row, int j) const {
    const Vec<double, D> y = places.at(j);
    return distance2(row.to, y) < reach2 || distance2(row.from, y) < reach2;
  }
  GLASSNF_HD double operator()(const Places<D>& places, const RowChange<D>& row, int j) const {
    const Vec<double, D> y = places.at(j);
    const int s = places.species[j];
    return energy(row.to, row.species_to, y, s) - energy(row.from, row.species_from, y, s);
  }
};

// Sum over places first .. last - 1, every one of which may be near.
template <class Group, int D, class Potential, bool Uniform>
GLASSNF_HD double sum_all(const Group& group, const PairChange<D, Potential, Uniform>& change, const Places<D>& places,
                          const RowChange<D>& row, int first, int last) {
  typename Group::template PerLane<double> sum;
  group.lanes([&](int lane) {
    double total = 0.0;
    for (int j = first + lane; j < last; j += Group::size) {
      const double term = change(places, row, j);
      total += j != row.skip && j != row.partner ? term : 0.0;
    }
    sum[lane] = total;
  });
  return group.sum(sum);
}

// The same over ranges most of whose places are too far away: near ones are collected, and evaluated when there is one for every lane.
// Queue: 2 * Group::size numbers.
template <class Group, class Index, int D, class Potential, bool Uniform>
struct NearSum {
  const Group& group;
  const PairChange<D, Potential, Uniform>& change;
  const Places<D>& places;
  const RowChange<D>& row;
  Index* queue;
  int waiting = 0;
  std::int64_t evaluations = 0;
  typename Group::template PerLane<double> sum;

  GLASSNF_HD NearSum(const Group& g, const PairChange<D, Potential, Uniform>& c, const Places<D>& p, const RowChange<D>& r,
                     Index* q)
      : group(g), change(c), places(p), row(r), queue(q) {
    group.lanes([&](int lane) { sum[lane] = 0.0; });
  }
  GLASSNF_HD void add(int first, int last) {
    for (int base = first; base < last; base += Group::size) {
      typename Group::template PerLane<bool> hit;
      group.lanes([&](int lane) {
        const int j = base + lane;
        hit[lane] = j < last && j != row.skip && j != row.partner && change.near(places, row, j);
      });
      const std::uint32_t hits = group.ballot(hit);
      group.lanes([&](int lane) {
        if (hit[lane]) queue[waiting + bits_before(hits, lane)] = static_cast<Index>(base + lane);
      });
      waiting += count_bits(hits);
      if (waiting >= Group::size) {
        evaluate(Group::size);
        waiting -= Group::size;
        group.lanes([&](int lane) {
          if (lane < waiting) queue[lane] = queue[Group::size + lane];
        });
      }
    }
  }
  GLASSNF_HD double total() {
    evaluate(waiting);
    waiting = 0;
    return group.sum(sum);
  }

 private:
  GLASSNF_HD void evaluate(int count) {
    evaluations += count;
    group.lanes([&](int lane) {
      if (lane < count) sum[lane] += change(places, row, static_cast<int>(queue[lane]));
    });
  }
};

// Calls body(first, last) for the ranges of places in the cells around cell c of a grid of at least three cells a side; places are
// sorted by cell and `start` says where each begins. Cells that are neighbours along x lie together.
template <int D, class Start, class Body>
GLASSNF_HD void for_ranges(const CellGrid<D>& grid, const Start* start, const int* c, Body&& body) {
  const int wide = grid.per_side[0];
  const bool wraps = c[0] == 0 || c[0] == wide - 1;
  // One place in the code that calls body: it is long, and would otherwise be there many times over.
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
  for (int line = 0; line < (D == 3 ? 9 : 3) * 2; ++line) {
    if ((line & 1) && !wraps) continue;
    int y = c[1] + (line / 2) % 3 - 1;
    y = y < 0 ? y + grid.per_side[1] : y >= grid.per_side[1] ? y - grid.per_side[1] : y;
    std::int64_t row = y;
    if constexpr (D == 3) {
      int z = c[D - 1] + line / 6 - 1;
      z = z < 0 ? z + grid.per_side[D - 1] : z >= grid.per_side[D - 1] ? z - grid.per_side[D - 1] : z;
      row += static_cast<std::int64_t>(z) * grid.per_side[1];
    }
    const Start* cells = start + row * wide;
    int first = c[0] > 0 ? c[0] - 1 : 0, last = c[0] < wide - 1 ? c[0] + 1 : wide - 1;
    if (line & 1) first = last = c[0] == 0 ? wide - 1 : 0;
    body(static_cast<int>(cells[first]), static_cast<int>(cells[last + 1]));
  }
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf
