// Energies, forces and virials of a batch. Sums run in one fixed order, whatever the number of threads and the instruction set.
#include "cell_ranges.hpp"
#include "coefficients.hpp"
#include "glassnf/box.hpp"
#include "glassnf/cells.hpp"
#include "kernels.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

template <int D>
inline constexpr int virial_size = D*(D + 1) / 2;  // xx xy yy, or xx xy yy xz yz zz

// Energy, force and virial of one particle with the eight of a block of coordinates.
template <int D, class Potential, bool Fast, bool Cells>
struct BlockInteraction {
  Potential potential;
  double box[D], inverse_box[D];

  template <bool Forces, class Row>
  GLASSNF_HD Pack operator()(const double* const* x, std::int64_t at, PackU code, const Vec<Pack, D>& xi, const double* shift,
                             const Row& row, Vec<Pack, D>& dx, Pack& force_factor) const {
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      const Pack difference = xi.at(k) - load(x[k] + at);
      if constexpr (Cells)
        dx.at(k) = difference - Pack(shift[k]);
      else
        dx.at(k) = minimum_image(difference, Pack(box[k]), Pack(inverse_box[k]));
    });
    const PairCoefficients<Pack> c = row(code);
    const Pack q = dot(dx, dx) * c.inverse_sigma2;
    if constexpr (Forces) {
      Pack v;
      pair_energy_and_force(potential, q, c, v, force_factor);
      return v;
    } else {
      return pair_energy(potential, q, c);
    }
  }
};

// Lanes after k kept, for k = 0 .. 7: the first block of a half loop over j > i.
struct LeadingMasks {
  alignas(64) std::uint64_t rows[8][8];
  constexpr LeadingMasks() : rows{} {
    for (int k = 0; k < 8; ++k)
      for (int l = k + 1; l < 8; ++l) rows[k][l] = ~std::uint64_t(0);
  }
};
inline constexpr LeadingMasks leading_masks{};
template <int D>
GLASSNF_HD void add_virial(Pack* virial, const Vec<Pack, D>& dx, Pack force_factor) {
  for_axes<D>([&](auto a) GLASSNF_INLINE {
    for_axes<D>([&](auto b) GLASSNF_INLINE {
      constexpr int w = a.value * (a.value + 1) / 2 + b.value;
      if constexpr (b.value <= a.value) virial[w] = virial[w] + force_factor * dx.at(a) * dx.at(b);
    });
  });
}
template <int D>
GLASSNF_HD void expand_virial(const double* packed, double* tensor) {
  int w = 0;
  for (int a = 0; a < D; ++a)
    for (int b = 0; b <= a; ++b, ++w) tensor[a * D + b] = tensor[b * D + a] = packed[w];
}

// ---- all pairs: every pair once, forces on both -------------------------------------------------------------------------------

template <int D, class Potential, bool Fast, bool Forces, bool Virial>
void all_pairs(const SystemView& system, const EnergyBatch& batch, std::int64_t replica, Workspace& workspace,
               Potential potential) {
  const std::int64_t n = system.n, padded = (n + pack_size - 1) / pack_size * pack_size;
  double* memory = static_cast<double*>(reserve(workspace, 0, (2 * D + 1) * padded * 8));
  double *x[D], *f[D], *code = memory + 2 * D * padded;
  for (int k = 0; k < D; ++k) {
    x[k] = memory + k * padded;
    f[k] = memory + (D + k) * padded;
  }
  const double* positions = batch.positions + replica * n * D;
  const std::int32_t* species = batch.species + replica * n;
  double* forces = batch.forces ? batch.forces + replica * n * D : nullptr;
  for (std::int64_t i = 0; i < padded; ++i) {
    for (int k = 0; k < D; ++k) {
      x[k][i] = i < n ? positions[i * D + k] : nowhere;
      f[k][i] = 0.0;
    }
    code[i] = from_bits(species_code(i < n ? species[i] : 0));
  }
  const CoefficientRows rows =
      CoefficientRows::fill(system, static_cast<double*>(reserve(workspace, 1, CoefficientRows::size(system.species_count) * 8)));
  BlockInteraction<D, Potential, Fast, false> interaction;
  interaction.potential = potential;
  for (int k = 0; k < D; ++k) {
    interaction.box[k] = system.box[k];
    interaction.inverse_box[k] = 1.0 / system.box[k];
  }
  Pack energy(0.0), virial[virial_size<D>];
  for (Pack& w : virial) w = Pack(0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    const SpeciesRow<Fast> row(rows, species[i]);
    Vec<Pack, D> xi, fi, dx;
    Pack force_factor(0.0);
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      xi.at(k) = Pack(x[k][i]);
      fi.at(k) = Pack(0.0);
    });
    const auto block = [&]<bool Masked>(std::int64_t at, [[maybe_unused]] PackU kept) GLASSNF_INLINE {
      Pack v = interaction.template operator()<Forces>(x, at, load_bits(code + at), xi, nullptr, row, dx, force_factor);
      if constexpr (Masked) {
        v = keep(v, kept);
        force_factor = keep(force_factor, kept);
      }
      energy = energy + v;
      if constexpr (Forces)
        for_axes<D>([&](auto k) GLASSNF_INLINE {
          const Pack fk = force_factor * dx.at(k);
          fi.at(k) = fi.at(k) + fk;
          store(f[k] + at, load(f[k] + at) - fk);
        });
      if constexpr (Virial) add_virial<D>(virial, dx, force_factor);
    };
    // In the first block the particles up to i have had their turn; the last may have empty lanes.
    const std::int64_t first = i & ~std::int64_t(7), last = padded - pack_size;
    const PackU after = load(leading_masks.rows[i & 7]), held = load(trailing_masks.rows[n - last]);
    if (first == last) {
      block.template operator()<true>(first, after & held);
    } else {
      block.template operator()<true>(first, after);
      for (std::int64_t at = first + pack_size; at < last; at += pack_size) block.template operator()<false>(at, held);
      block.template operator()<true>(last, held);
    }
    // The force on i from the later ones goes to the caller's array, that from the earlier ones is in f: a scalar store into f would
    // stall the vector loads of the next row.
    if constexpr (Forces)
      if (forces) for_axes<D>([&](auto k) GLASSNF_INLINE { forces[i * D + k] = sum(fi.at(k)); });
  }
  batch.energy[replica] = sum(energy);
  if (Forces && forces)
    for (std::int64_t i = 0; i < n; ++i)
      for (int k = 0; k < D; ++k) forces[i * D + k] += f[k][i];
  if constexpr (Virial) {
    double w[virial_size<D>];
    for (int k = 0; k < virial_size<D>; ++k) w[k] = sum(virial[k]);
    expand_virial<D>(w, batch.virial + replica * D * D);
  }
}

// ---- all pairs of eight small replicas at once, one in each lane -------------------------------------------------------------------

// Beyond this number of particles a single replica would wait too long for seven empty lanes.
inline constexpr std::int64_t lanes_limit = 128;

// Particles of up to eight replicas, sorted by species, so that the coefficients of a pair of slots are the same in all lanes. A
// species has as many slots as the replica with most of it needs; `ragged` if some of them are empty in some lane.
template <int D>
struct LaneStorage {
  std::int64_t slots;
  bool ragged;
  std::int64_t* start;    // (S + 1,) first slot of each species
  double* x;              // (slots, D, 8)
  double* f;              // (slots, D, 8)
  std::uint64_t* valid;   // (slots, 8) all ones where a lane has a particle
  std::int32_t* slot_of;  // (8, n)

  LaneStorage(const SystemView& system, const EnergyBatch& batch, std::int64_t first, std::int64_t count, Workspace& workspace) {
    const std::int64_t n = system.n;
    const int s = system.species_count;
    start = static_cast<std::int64_t*>(reserve(workspace, 2, (2 * s + 1) * 8));
    std::int64_t* next = start + s + 1;
    for (int a = 0; a <= s; ++a) start[a] = 0;
    for (std::int64_t r = first; r < first + count; ++r) {
      for (int a = 0; a < s; ++a) next[a] = 0;
      for (std::int64_t i = 0; i < n; ++i) ++next[batch.species[r * n + i]];
      for (int a = 0; a < s; ++a)
        if (next[a] > start[a + 1]) start[a + 1] = next[a];
    }
    for (int a = 0; a < s; ++a) start[a + 1] += start[a];
    slots = start[s];
    ragged = slots > n;
    x = static_cast<double*>(reserve(workspace, 0, 2 * D * slots * pack_size * 8));
    f = x + D * slots * pack_size;
    slot_of = static_cast<std::int32_t*>(reserve(workspace, 3, pack_size * n * 4));
    valid = static_cast<std::uint64_t*>(reserve(workspace, 4, slots * pack_size * 8));
    for (std::int64_t k = 0; k < 2 * D * slots; ++k) store(x + k * pack_size, Pack(0.0));
    if (ragged)
      for (std::int64_t k = 0; k < slots; ++k) store(valid + k * pack_size, PackU(0));
    for (std::int64_t l = 0; l < count; ++l) {
      for (int a = 0; a < s; ++a) next[a] = start[a];
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t slot = next[batch.species[(first + l) * n + i]]++;
        slot_of[l * n + i] = static_cast<std::int32_t>(slot);
        if (ragged) valid[slot * pack_size + l] = ~std::uint64_t(0);
        for (int k = 0; k < D; ++k) x[(slot * D + k) * pack_size + l] = batch.positions[((first + l) * n + i) * D + k];
      }
    }
  }
};

// No lane waits, and nothing is summed across lanes: the result of a replica does not depend on its company.
template <int D, class Potential, bool Forces, bool Virial, bool Ragged>
void lane_sums(const SystemView& system, const LaneStorage<D>& lanes, Potential potential, Pack& energy, Pack* virial) {
  Vec<Pack, D> box, inverse_box;
  for_axes<D>([&](auto k) GLASSNF_INLINE {
    box.at(k) = Pack(system.box[k]);
    inverse_box.at(k) = Pack(1.0 / system.box[k]);
  });
  for (int a = 0; a < system.species_count; ++a)
    for (std::int64_t i = lanes.start[a]; i < lanes.start[a + 1]; ++i) {
      Vec<Pack, D> xi, fi;
      for_axes<D>([&](auto k) GLASSNF_INLINE {
        xi.at(k) = load(lanes.x + (i * D + k) * pack_size);
        fi.at(k) = Pack(0.0);
      });
      for (int b = a; b < system.species_count; ++b) {
        const double* p = system.coefficients + (a * system.species_count + b) * coefficient_count;
        const PairCoefficients<Pack> c{
            Pack(p[inverse_sigma2]), Pack(p[prefactor]), Pack(p[q_cut]), Pack(p[c4]), Pack(p[c2]), Pack(p[c0])};
        const Pack scale(p[inverse_sigma2] * p[prefactor]);
        for (std::int64_t j = b == a ? i + 1 : lanes.start[b]; j < lanes.start[b + 1]; ++j) {
          Vec<Pack, D> dx;
          for_axes<D>([&](auto k) GLASSNF_INLINE {
            dx.at(k) = minimum_image(xi.at(k) - load(lanes.x + (j * D + k) * pack_size), box.at(k), inverse_box.at(k));
          });
          const Pack q = dot(dx, dx) * c.inverse_sigma2;
          PackU inside = less_mask(q, c.q_cut);
          if constexpr (Ragged) inside = inside & load(lanes.valid + i * pack_size) & load(lanes.valid + j * pack_size);
          const Pack floored = maximum(q, Pack(q_floor));
          if constexpr (Forces) {
            Pack v, slope;
            potential.reduced_and_slope(floored, c, v, slope);
            energy = fused(keep(c.prefactor, inside), v, energy);
            // Minus half the force factor of potentials.hpp.
            const Pack factor = where_less(Pack(q_floor), q, keep(scale, inside) * slope);
            for_axes<D>([&](auto k) GLASSNF_INLINE {
              double* fj = lanes.f + (j * D + k) * pack_size;
              fi.at(k) = fused(factor, dx.at(k), fi.at(k));
              store(fj, fused(factor, dx.at(k), load(fj)));
            });
            if constexpr (Virial) add_virial<D>(virial, dx, factor);
          } else {
            energy = fused(keep(c.prefactor, inside), potential.reduced(floored, c), energy);
          }
        }
      }
      if constexpr (Forces)
        for_axes<D>([&](auto k) GLASSNF_INLINE {
          double* own = lanes.f + (i * D + k) * pack_size;
          store(own, Pack(2.0) * (load(own) - fi.at(k)));
        });
    }
}

template <int D, class Potential, bool Forces, bool Virial>
void all_pairs_in_lanes(const SystemView& system, const EnergyBatch& batch, std::int64_t first, std::int64_t count,
                        Workspace& workspace, Potential potential) {
  const std::int64_t n = system.n;
  const LaneStorage<D> lanes(system, batch, first, count, workspace);
  Pack energy(0.0), virial[virial_size<D>];
  for (Pack& w : virial) w = Pack(0.0);
  if (lanes.ragged)
    lane_sums<D, Potential, Forces, Virial, true>(system, lanes, potential, energy, virial);
  else
    lane_sums<D, Potential, Forces, Virial, false>(system, lanes, potential, energy, virial);
  alignas(64) double by_lane[1 + virial_size<D>][pack_size];
  store(by_lane[0], energy);
  for (int k = 0; k < virial_size<D>; ++k) store(by_lane[1 + k], virial[k]);
  for (std::int64_t l = 0; l < count; ++l) {
    const std::int64_t replica = first + l;
    batch.energy[replica] = by_lane[0][l];
    if (Forces && batch.forces)
      for (std::int64_t i = 0; i < n; ++i)
        for (int k = 0; k < D; ++k)
          batch.forces[(replica * n + i) * D + k] = lanes.f[(lanes.slot_of[l * n + i] * D + k) * pack_size + l];
    if constexpr (Virial) {
      double w[virial_size<D>];
      for (int k = 0; k < virial_size<D>; ++k) w[k] = -2.0 * by_lane[1 + k][l];
      expand_virial<D>(w, batch.virial + replica * D * D);
    }
  }
}

template <int D, class Potential, bool Fast, bool Forces, bool Virial>
void all_pairs_range(const SystemView& system, const EnergyBatch& batch, std::int64_t first, std::int64_t last,
                     Workspace& workspace, Potential potential) {
  if (system.n > lanes_limit) {
    for (std::int64_t r = first; r < last; ++r)
      all_pairs<D, Potential, Fast, Forces, Virial>(system, batch, r, workspace, potential);
    return;
  }
  for (std::int64_t r = first; r < last; r += pack_size)
    all_pairs_in_lanes<D, Potential, Forces, Virial>(system, batch, r, last - r < pack_size ? last - r : pack_size, workspace,
                                                     potential);
}

void energy_all_pairs(const SystemView& system, const EnergyBatch& batch, std::int64_t first, std::int64_t last,
                      Workspace& workspace) {
  with_system(system, [&]<int D, class P, bool Fast>(P potential) {
    if (batch.virial)
      all_pairs_range<D, P, Fast, true, true>(system, batch, first, last, workspace, potential);
    else if (batch.forces)
      all_pairs_range<D, P, Fast, true, false>(system, batch, first, last, workspace, potential);
    else
      all_pairs_range<D, P, Fast, false, false>(system, batch, first, last, workspace, potential);
  });
}

// ---- cells: particles sorted by cell, every pair seen from both sides, so that cells are independent -----------------------------

// The sorted copy of a replica in a workspace.
template <int D>
struct Sorted {
  CellGrid<D> grid;
  std::int64_t n, cells;
  const std::int64_t* start;  // (cells + 1,)
  const std::int64_t* order;  // (n,) index of the particle at each sorted place
  const double* x[D];
  const double* code;
  double* energies;  // (n,) local energies, in sorted order
  double* virials;   // (n, virial_size), in sorted order

  static Sorted open(const SystemView& system, Workspace& workspace, bool with_virial, bool make);
};

template <int D>
Sorted<D> Sorted<D>::open(const SystemView& system, Workspace& workspace, bool with_virial, bool make) {
  // `make` asks for memory; later calls find the same pointers in the header kept in slot 0.
  if (!make) return *static_cast<Sorted*>(reserve(workspace, 0, 0));
  auto* s = static_cast<Sorted*>(reserve(workspace, 0, sizeof(Sorted)));
  s->n = system.n;
  make_grid<D>(system.box, system.cutoff, 1.0 + static_cast<double>(system.n), s->grid);
  s->cells = s->grid.cells();
  const std::int64_t padded = s->n + pack_size;
  s->start = static_cast<std::int64_t*>(reserve(workspace, 1, (s->cells + 2) * 8));
  s->order = static_cast<std::int64_t*>(reserve(workspace, 2, s->n * 8));
  double* memory = static_cast<double*>(reserve(workspace, 3, (D + 1) * padded * 8));
  for (int k = 0; k < D; ++k) s->x[k] = memory + k * padded;
  s->code = memory + D * padded;
  s->energies = static_cast<double*>(reserve(workspace, 4, s->n * 8));
  s->virials = static_cast<double*>(reserve(workspace, 5, with_virial ? s->n * virial_size<D> * 8 : 8));
  return *s;
}

template <int D>
std::int64_t sort(const SystemView& system, const EnergyBatch& batch, std::int64_t replica, Workspace& workspace) {
  const Sorted<D> s = Sorted<D>::open(system, workspace, batch.virial != nullptr, true);
  const double* positions = batch.positions + replica * s.n * D;
  const std::int32_t* species = batch.species + replica * s.n;
  auto* start = const_cast<std::int64_t*>(s.start);
  auto* order = const_cast<std::int64_t*>(s.order);
  for (std::int64_t c = 0; c < s.cells + 2; ++c) start[c] = 0;
  const auto cell_of = [&](std::int64_t i) {
    int c[D];
    for (int k = 0; k < D; ++k) c[k] = s.grid.along(k, positions[i * D + k]);
    return s.grid.index(c);
  };
  for (std::int64_t i = 0; i < s.n; ++i) ++start[cell_of(i) + 2];
  for (std::int64_t c = 2; c < s.cells + 2; ++c) start[c] += start[c - 1];
  for (std::int64_t i = 0; i < s.n; ++i) {
    const std::int64_t place = start[cell_of(i) + 1]++;
    order[place] = i;
    for (int k = 0; k < D; ++k) const_cast<double*>(s.x[k])[place] = positions[i * D + k];
    const_cast<double*>(s.code)[place] = from_bits(species_code(species[i]));
  }
  for (std::int64_t i = s.n; i < s.n + pack_size; ++i) {
    for (int k = 0; k < D; ++k) const_cast<double*>(s.x[k])[i] = nowhere;
    const_cast<double*>(s.code)[i] = from_bits(species_code(0));
  }
  return s.cells;
}

template <int D, class Potential, bool Fast, bool Forces, bool Virial>
void cells_range(const SystemView& system, const EnergyBatch& batch, std::int64_t replica, Workspace& workspace, std::int64_t first,
                 std::int64_t last, Potential potential, const CoefficientRows& rows) {
  const Sorted<D> s = Sorted<D>::open(system, workspace, Virial, false);
  BlockInteraction<D, Potential, Fast, true> interaction;
  interaction.potential = potential;
  for (std::int64_t cell = first; cell < last; ++cell) {
    int c[D];
    s.grid.coordinates(cell, c);
    CellRanges<D> ranges;
    ranges.make(s.grid, s.start, c);
    for (std::int64_t i = s.start[cell]; i < s.start[cell + 1]; ++i) {
      const SpeciesRow<Fast> row(rows, static_cast<int>(species_of_code(to_bits(s.code[i]))));
      Vec<Pack, D> xi, fi, dx;
      Pack force_factor(0.0), energy(0.0), virial[virial_size<D>];
      for_axes<D>([&](auto k) GLASSNF_INLINE {
        xi.at(k) = Pack(s.x[k][i]);
        fi.at(k) = Pack(0.0);
      });
      for (Pack& w : virial) w = Pack(0.0);
      for (int r = 0; r < ranges.count; ++r) {
        const auto& range = ranges.range[r];
        for (std::int64_t at = range.first; at < range.last; at += pack_size) {
          const std::int64_t left = range.last - at, self = i - at;
          PackU kept = load(trailing_masks.rows[left < pack_size ? left : pack_size]);
          if (self >= 0 && self < pack_size) kept = kept & load(lane_masks.rows[1 + self]);
          energy = energy + keep(interaction.template operator()<Forces>(s.x, at, load_bits(s.code + at), xi, range.shift, row, dx,
                                                                         force_factor),
                                 kept);
          force_factor = keep(force_factor, kept);
          if constexpr (Forces) for_axes<D>([&](auto k) GLASSNF_INLINE { fi.at(k) = fi.at(k) + force_factor * dx.at(k); });
          if constexpr (Virial) add_virial<D>(virial, dx, force_factor);
        }
      }
      s.energies[i] = sum(energy);
      if constexpr (Forces)
        if (batch.forces)
          for_axes<D>([&](auto k) GLASSNF_INLINE { batch.forces[(replica * s.n + s.order[i]) * D + k] = sum(fi.at(k)); });
      if constexpr (Virial)
        for (int k = 0; k < virial_size<D>; ++k) s.virials[i * virial_size<D> + k] = sum(virial[k]);
    }
  }
}

std::int64_t energy_sort(const SystemView& system, const EnergyBatch& batch, std::int64_t replica, Workspace& workspace) {
  CoefficientRows::fill(system, static_cast<double*>(reserve(workspace, 6, CoefficientRows::size(system.species_count) * 8)));
  return system.dimension == 2 ? sort<2>(system, batch, replica, workspace) : sort<3>(system, batch, replica, workspace);
}

void energy_cells(const SystemView& system, const EnergyBatch& batch, std::int64_t replica, Workspace& workspace,
                  std::int64_t first, std::int64_t last) {
  const CoefficientRows rows{static_cast<const double*>(reserve(workspace, 6, 0)), system.species_count,
                             CoefficientRows::padded_count(system.species_count)};
  with_system(system, [&]<int D, class P, bool Fast>(P potential) {
    if (batch.virial)
      cells_range<D, P, Fast, true, true>(system, batch, replica, workspace, first, last, potential, rows);
    else if (batch.forces)
      cells_range<D, P, Fast, true, false>(system, batch, replica, workspace, first, last, potential, rows);
    else
      cells_range<D, P, Fast, false, false>(system, batch, replica, workspace, first, last, potential, rows);
  });
}

// Sum over values with stride, pairwise, so that the rounding error grows as log n.
double pairwise_sum(const double* values, std::int64_t n, int stride) {
  if (n <= 64) {
    double total = 0.0;
    for (std::int64_t i = 0; i < n; ++i) total += values[i * stride];
    return total;
  }
  const std::int64_t half = n / 2;
  return pairwise_sum(values, half, stride) + pairwise_sum(values + half * stride, n - half, stride);
}

template <int D>
void collect(const SystemView& system, const EnergyBatch& batch, std::int64_t replica, Workspace& workspace) {
  const Sorted<D> s = Sorted<D>::open(system, workspace, batch.virial != nullptr, false);
  batch.energy[replica] = 0.5 * pairwise_sum(s.energies, s.n, 1);
  if (batch.virial) {
    double w[virial_size<D>];
    for (int k = 0; k < virial_size<D>; ++k) w[k] = 0.5 * pairwise_sum(s.virials + k, s.n, virial_size<D>);
    expand_virial<D>(w, batch.virial + replica * D * D);
  }
}

void energy_collect(const SystemView& system, const EnergyBatch& batch, std::int64_t replica, Workspace& workspace) {
  system.dimension == 2 ? collect<2>(system, batch, replica, workspace) : collect<3>(system, batch, replica, workspace);
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
