// Flow fields of one replica, particle by particle with eight of its neighbours at a time: of large replicas through cells, and of fields with
// messages by all pairs too. Every pair is seen from both sides.
#pragma once

#include "cell_ranges.hpp"
#include "coefficients.hpp"
#include "flow_batches.hpp"
#include "glassnf/flow_field.hpp"
#include "kernels.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

// A replica sorted by cell, made anew for every evaluation; in a box without cells, in the caller's order.
template <int D>
struct FlowOrder {
  const SystemView& system;
  CellGrid<D> grid;
  bool cells;
  std::int64_t n;
  std::int64_t *cell_of, *start, *order;
  double* wrapped;      // (n, D)
  double* x[D];         // (n + 8,) sorted
  std::uint64_t* code;  // (n + 8,) sorted: where the functions of the species begin, of pairs and, in the high word, of messages

  FlowOrder(const SystemView& view, const FlowTables& tables, bool with_cells, Workspace& workspace)
      : system(view), cells(with_cells), n(view.n) {
    if (cells) make_grid<D>(view.box, tables.reach(), 1.0 + static_cast<double>(n), grid);
    cell_of = static_cast<std::int64_t*>(reserve(workspace, 8, n * 8));
    start = static_cast<std::int64_t*>(reserve(workspace, 9, (count() + 2) * 8));
    order = static_cast<std::int64_t*>(reserve(workspace, 10, n * 8));
    wrapped = static_cast<double*>(reserve(workspace, 11, n * D * 8));
    const std::int64_t padded = n + pack_size;
    double* memory = static_cast<double*>(reserve(workspace, 12, D * padded * 8));
    for (int k = 0; k < D; ++k) x[k] = memory + k * padded;
    code = static_cast<std::uint64_t*>(reserve(workspace, 13, padded * 8));
  }
  std::int64_t count() const { return cells ? grid.cells() : 1; }

  // False if a coordinate cannot be put into the box.
  bool sort(const double* positions, const std::int32_t* species, const FlowTables& tables) const {
    const std::int64_t last = count() + 2;
    for (std::int64_t c = 0; c < last; ++c) start[c] = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      int c[D] = {};
      for (int k = 0; k < D; ++k) {
        std::int32_t sides;
        double& w = wrapped[i * D + k];
        if (!split_coordinate(positions[i * D + k], system.box[k], w, sides)) return false;
        if (cells) c[k] = grid.along(k, w);
      }
      cell_of[i] = cells ? grid.index(c) : 0;
      ++start[cell_of[i] + 2];
    }
    for (std::int64_t c = 2; c < last; ++c) start[c] += start[c - 1];
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t place = start[cell_of[i] + 1]++;
      order[place] = i;
      for (int k = 0; k < D; ++k) x[k][place] = wrapped[i * D + k];
      const std::int64_t a = species[i];
      code[place] = static_cast<std::uint64_t>(a * tables.pair_range.row_size() | a * tables.message_range.row_size() << 32);
    }
    for (std::int64_t i = n; i < n + pack_size; ++i) {
      for (int k = 0; k < D; ++k) x[k][i] = nowhere;
      code[i] = 0;
    }
    return true;
  }

  GLASSNF_HD void ranges_of(std::int64_t cell, CellRanges<D>& ranges) const {
    if (cells) {
      int c[D];
      grid.coordinates(cell, c);
      ranges.make(grid, start, c);
    } else {
      ranges.count = 1;
      ranges.range[0].first = 0;
      ranges.range[0].last = n;
    }
  }
};

// L layers of messages; the Jacobians of the lower ones are dense where L > 1.
template <int D, int L>
class FlowRows {
  static constexpr int blocks = D * D;

  const SystemView& system_;
  const FlowTables& tables_;
  const std::int32_t* species_;  // (n,)
  Workspace& workspace_;
  FlowOrder<D> sorted_;
  RadialGrid<Pack> grid_, message_grid_;
  Vec<Pack, D> box_, inverse_box_;
  std::int64_t first_, n_, size_, columns_;
  double* divergence_;  // (n,)
  double* sums_;        // (L + 1, n, 4) w, and before that its sums over pairs
  double* places_;      // (n, 4) position and code
  double* diagonal_;    // (L, n, D D) P_ii
  double* own_;         // (L, n, D D) K_i
  double* dense_;       // (L - 1, n, D D, columns) J, of which a row is (row of the block, column of the block, particle)
  double* row_;         // (D D, columns)

  // Neighbours within the range of the messages, (neighbours,) each; those of a particle are padded to whole packs.
  std::int64_t* from_;  // (n + 1,)
  std::int64_t* held_;  // (n,) how many
  std::int32_t* index_;
  double *unit_[D], *distance_, *code_, *projection_, *strength_[L ? L : 1];  // strength: E of every layer

 public:
  FlowRows(const SystemView& system, const FlowTables& tables, const std::int32_t* species, std::int64_t first, bool cells,
           Workspace& workspace)
      : system_(system),
        tables_(tables),
        species_(species + first * system.n),
        workspace_(workspace),
        sorted_(system, tables, cells, workspace),
        grid_(radial_grid(tables.pair_range)),
        first_(first),
        n_(system.n),
        size_((system.n * D + pack_size - 1) / pack_size * pack_size),
        columns_((system.n + pack_size - 1) / pack_size * pack_size + pack_size) {
    if constexpr (L > 0) message_grid_ = radial_grid(tables.message_range);
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      box_.at(k) = Pack(system.box[k]);
      inverse_box_.at(k) = Pack(1.0 / system.box[k]);
    });
    divergence_ = static_cast<double*>(reserve(workspace, 14, n_ * (1 + 4 * (L + 2) + 2 * L * blocks) * 8));
    sums_ = divergence_ + n_;
    places_ = sums_ + (L + 1) * n_ * 4;
    diagonal_ = places_ + n_ * 4;
    own_ = diagonal_ + L * n_ * blocks;
    if constexpr (L > 1) {
      dense_ = static_cast<double*>(reserve(workspace, 15, ((L - 1) * n_ + 1) * blocks * columns_ * 8));
      row_ = dense_ + (L - 1) * n_ * blocks * columns_;
    }
    if constexpr (L > 0) {
      from_ = static_cast<std::int64_t*>(reserve(workspace, 5, (2 * n_ + 1) * 8));
      held_ = from_ + n_ + 1;
    }
  }

  std::int64_t size() const { return size_; }
  std::int64_t replicas() const { return 1; }
  std::int64_t first() const { return first_; }
  std::int64_t at(int, std::int64_t i, int k) const { return i * D + k; }

  void take(const double* positions, double* x) const {
    for (std::int64_t c = 0; c < size_; ++c) x[c] = c < n_ * D ? positions[first_ * n_ * D + c] : 0.0;
  }

  // Velocities at x with the tables of one stage; returns the divergence.
  Pack evaluate(std::int64_t stage, const double* x, double* v) {
    if (!sorted_.sort(x, species_, tables_)) {
      const double none = from_bits(std::uint64_t(0x7ff8000000000000));
      for (std::int64_t c = 0; c < size_; ++c) v[c] = none;
      return Pack(none);
    }
    const std::int64_t s2 = system_.species_count * system_.species_count;
    const double* pair = tables_.pair + stage * (L + 1) * s2 * tables_.pair_range.row_size();
    if constexpr (L > 0) prepare();
    for (std::int64_t cell = 0; cell < sorted_.count(); ++cell) pairs(pair, cell);
    if constexpr (L > 0) {
      list_arrays();
      const double* messages = tables_.messages + stage * 2 * L * s2 * tables_.message_range.row_size();
      layers(pair, messages, std::make_integer_sequence<int, L>{});
    }
    if constexpr (L > 1) {
      if constexpr (L == 3)
        for (std::int64_t i = 0; i < n_; ++i) multiply(i);
      for (std::int64_t i = 0; i < n_; ++i) divergence_[i] += contracted(i);
    }
    for (std::int64_t i = 0; i < n_; ++i)
      for (int k = 0; k < D; ++k) v[sorted_.order[i] * D + k] = sum_at(L, i)[k];
    for (std::int64_t c = n_ * D; c < size_; ++c) v[c] = 0.0;
    double total = 0.0;
    for (std::int64_t i = 0; i < n_; ++i) total += divergence_[i];
    return Pack(total);
  }

 private:
  static GLASSNF_HD RadialGrid<Pack> radial_grid(const FlowRange& range) {
    return RadialGrid<Pack>::make(range.inner, range.outer, range.intervals);
  }
  double* sum_at(int layer, std::int64_t i) const { return sums_ + (layer * n_ + i) * 4; }
  double* dense_block(int layer, std::int64_t i) const { return dense_ + (layer * n_ + i) * blocks * columns_; }

  // Before the pairs: an empty Jacobian, and room for all neighbours that there might be.
  void prepare() {
    if constexpr (L > 1)
      for (std::int64_t c = 0; c < (L - 1) * n_ * blocks * columns_; c += pack_size) store(dense_ + c, Pack(0.0));
    std::int64_t most = pack_size;
    for (std::int64_t cell = 0; cell < sorted_.count(); ++cell) {
      CellRanges<D> ranges;
      sorted_.ranges_of(cell, ranges);
      std::int64_t around = pack_size;
      for (int r = 0; r < ranges.count; ++r) around += ranges.range[r].last - ranges.range[r].first;
      most += (sorted_.start[cell + 1] - sorted_.start[cell]) * around;
    }
    index_ = static_cast<std::int32_t*>(reserve(workspace_, 4, most * 4));
    from_[0] = 0;
    for (std::int64_t i = 0; i < n_; ++i) {
      for (int k = 0; k < D; ++k) places_[4 * i + k] = sorted_.x[k][i];
      if constexpr (D == 2) places_[4 * i + 2] = 0.0;
      places_[4 * i + 3] = from_bits(sorted_.code[i]);
    }
  }
  void list_arrays() {
    const std::int64_t size = from_[n_];
    double* memory = static_cast<double*>(reserve(workspace_, 6, (D + 3 + L) * size * 8));
    const auto next = [&] {
      double* here = memory;
      memory += size;
      return here;
    };
    for (int k = 0; k < D; ++k) unit_[k] = next();
    distance_ = next();
    code_ = next();
    projection_ = next();
    for (double*& strength : strength_) strength = next();
  }

  // All pair functions of the particles of a cell, the pair part of the divergence and of the Jacobians, and the lists.
  [[gnu::noinline]] void pairs(const double* pair, std::int64_t cell) {
    const RadialGrid<Pack> grid = grid_;
    const std::int64_t species_count = system_.species_count,
                       layer_size = species_count * species_count * tables_.pair_range.row_size();
    [[maybe_unused]] const Pack message_reach(tables_.message_range.outer);
    CellRanges<D> ranges;
    sorted_.ranges_of(cell, ranges);
    for (std::int64_t i = sorted_.start[cell]; i < sorted_.start[cell + 1]; ++i) {
      const double* row = pair + species_count * static_cast<std::int64_t>(sorted_.code[i] & 0xffffffff);
      DivergenceSum<Pack> divergence = DivergenceSum<Pack>::zero();
      Vec<Pack, D> xi, velocity[L + 1];
      [[maybe_unused]] Block<D, Pack> jacobian[L ? L : 1];
      for_axes<D>([&](auto k) GLASSNF_INLINE {
        xi.at(k) = Pack(sorted_.x[k][i]);
        for (auto& v : velocity) v.at(k) = Pack(0.0);
      });
      for (auto& j : jacobian) j = Block<D, Pack>::zero();
      [[maybe_unused]] std::int64_t found = 0;
      for (int r = 0; r < ranges.count; ++r)
        for (std::int64_t at = ranges.range[r].first, last = ranges.range[r].last; at < last; at += pack_size) {
          const std::int64_t left = last - at, self = i - at;
          PackU kept = load(trailing_masks.rows[left < pack_size ? left : pack_size]);
          if (self >= 0 && self < pack_size) kept = kept & load(lane_masks.rows[1 + self]);
          Vec<Pack, D> dx;
          for_axes<D>([&](auto k) GLASSNF_INLINE {
            dx.at(k) = minimum_image(xi.at(k) - load(sorted_.x[k] + at), box_.at(k), inverse_box_.at(k));
          });
          const Pack distance = square_root(dot(dx, dx));
          RadialPlace<Pack> place = locate(grid, distance);
          place.first = place.first + (load(sorted_.code + at) & PackU(0xffffffff));
          const auto layer = [&]<int M>() GLASSNF_INLINE {
            Radial<Pack> phi = radial_at(row + M * layer_size, place);
            phi = {keep(phi.value, kept), keep(phi.slope, kept)};
            move_along(velocity[M], phi.value, dx);
            if constexpr (M == L) {
              divergence.add(phi, distance);
            } else {
              const Bond<D, Pack> bond = Bond<D, Pack>::make(dx, distance);
              Block<D, Pack> here = Block<D, Pack>::zero();
              here.add_pair(phi, distance, grid.inverse_spacing, bond.e);
              for (int k = 0; k < blocks; ++k) {
                jacobian[M].entry[k] = jacobian[M].entry[k] + here.entry[k];
                if constexpr (M + 1 < L) {
                  double* to = dense_block(M, i) + k * columns_ + at;
                  store(to, load(to) - here.entry[k]);
                }
              }
            }
          };
          [&]<int... M>(std::integer_sequence<int, M...>) GLASSNF_INLINE { (layer.template operator()<M>(), ...); }
          (std::make_integer_sequence<int, L + 1>{});
          if constexpr (L > 0) {
            unsigned bits = less_bits(distance, message_reach);
            if (left < pack_size) bits &= (1u << left) - 1;
            if (self >= 0 && self < pack_size) bits &= ~(1u << self);
            found += write_set_bits(index_ + from_[i] + found, static_cast<std::int32_t>(at), bits);
          }
        }
      for (int m = 0; m <= L; ++m) for_axes<D>([&](auto k) GLASSNF_INLINE { sum_at(m, i)[k] = sum(velocity[m].at(k)); });
      divergence_[i] = sum(divergence.template total<D>(grid.inverse_spacing));
      if constexpr (L > 0) {
        for (int m = 0; m < L; ++m) {
          for (int k = 0; k < blocks; ++k) diagonal_[(m * n_ + i) * blocks + k] = sum(jacobian[m].entry[k]);
          if (D == 2) sum_at(m, i)[2] = 0.0;
          sum_at(m, i)[3] = 0.0;
        }
        held_[i] = found;
        for (; found % pack_size; ++found) index_[from_[i] + found] = static_cast<std::int32_t>(i);
        from_[i + 1] = from_[i] + found;
      }
    }
    if constexpr (L > 1) set_diagonal(0, sorted_.start[cell], sorted_.start[cell + 1]);
  }

  // The diagonal blocks of a dense Jacobian.
  void set_diagonal(int layer, std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = begin; i < end; ++i)
      for (int k = 0; k < blocks; ++k) dense_block(layer, i)[k * columns_ + i] = diagonal_[(layer * n_ + i) * blocks + k];
  }

  template <int... M>
  void layers(const double* pair, const double* messages, std::integer_sequence<int, M...>) {
    (
        [&] {
          for (std::int64_t i = 0; i < n_; ++i) message_row<M + 1>(pair, messages, i);
          if constexpr (M + 2 < L) set_diagonal(M + 1, 0, n_);
        }(),
        ...);
  }

  // The messages that i gets in one layer.
  template <int Layer>
  [[gnu::noinline]] void message_row(const double* pair, const double* messages, std::int64_t i) {
    constexpr bool top = Layer == L;
    const std::int64_t s = system_.species_count, pair_layer = s * s * tables_.pair_range.row_size(),
                       table_size = s * s * tables_.message_range.row_size();
    const std::uint64_t own_code = sorted_.code[i];
    const double* neighbours = messages + 2 * (Layer - 1) * table_size + s * static_cast<std::int64_t>(own_code >> 32);
    const double* row = pair + s * static_cast<std::int64_t>(own_code & 0xffffffff);
    Vec<Pack, D> w_i, velocity;
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      w_i.at(k) = Pack(sum_at(Layer - 1, i)[k]);
      velocity.at(k) = Pack(0.0);
    });
    Block<D, Pack> own = Block<D, Pack>::zero(), block = Block<D, Pack>::zero();
    Pack divergence(0.0);
    for (std::int64_t at = from_[i]; at < from_[i + 1]; at += pack_size) {
      const std::int64_t left = held_[i] - (at - from_[i]);
      const PackU kept = load(trailing_masks.rows[left < pack_size ? left : pack_size]);
      Bond<D, Pack> bond;
      Pack distance;
      PackU code;
      if constexpr (Layer == 1) {
        meet(i, at, bond, distance, code);
      } else {
        distance = load(distance_ + at);
        bond.inverse_distance = Pack(1.0) / maximum(distance, Pack(1e-100));
        for_axes<D>([&](auto k) GLASSNF_INLINE { bond.e.at(k) = load(unit_[k] + at); });
        code = load_bits(code_ + at);
      }
      RadialPlace<Pack> place = locate(message_grid_, distance);
      place.first = place.first + (code >> 32);
      Radial<Pack> e = radial_at(neighbours, place), c = radial_at(neighbours + table_size, place);
      e = {keep(e.value, kept), keep(e.slope, kept)};
      c = {keep(c.value, kept), keep(c.slope, kept)};
      Pack w[4];
      gather_records<4>(sum_at(Layer - 1, 0), index_ + at, w[0], w[1], w[2], w[3]);
      Vec<Pack, D> w_j;
      for_axes<D>([&](auto k) GLASSNF_INLINE { w_j.at(k) = w[k.value]; });
      const auto message = Message<D, Pack>::make(bond, e, c, w_j, w_i, message_grid_.inverse_spacing);
      move_along(velocity, message.along, bond.e);
      own.add(Pack(0.0), c.value, bond.e);
      const auto pair_projection = [&](int layer) GLASSNF_INLINE {
        RadialPlace<Pack> p = locate(grid_, distance);
        p.first = p.first + (code & PackU(0xffffffff));
        return projected(radial_at(row + layer * pair_layer, p), distance, grid_.inverse_spacing);
      };
      if constexpr (top) {
        const Pack below = Layer == 1 ? pair_projection(0) : load(projection_ + at);
        divergence = divergence + (message.trace(bond) - e.value * below);
        if constexpr (L > 1) store(strength_[Layer - 1] + at, e.value);
      } else {
        Block<D, Pack> here = Block<D, Pack>::zero();
        here.add_message(message, bond);
        for (int k = 0; k < blocks; ++k) block.entry[k] = block.entry[k] + here.entry[k];
        store(strength_[Layer - 1] + at, e.value);
        if constexpr (Layer + 1 == L)
          store(projection_ + at, pair_projection(Layer) + message.slope);
        else
          subtract_from_dense(Layer, i, at, left, here);
      }
    }
    for_axes<D>([&](auto k) GLASSNF_INLINE { sum_at(Layer, i)[k] += sum(velocity.at(k)); });
    double* k_i = own_ + ((Layer - 1) * n_ + i) * blocks;
    for (int k = 0; k < blocks; ++k) k_i[k] = sum(own.entry[k]);
    if constexpr (top) {
      double total = sum(divergence);
      for (int k = 0; k < blocks; ++k) total += k_i[k] * diagonal_[((Layer - 1) * n_ + i) * blocks + k];
      divergence_[i] += total;
    } else {
      for (int k = 0; k < blocks; ++k) diagonal_[(Layer * n_ + i) * blocks + k] += sum(block.entry[k]);
    }
  }

  // Eight neighbours of i for the first time; kept for later layers.
  GLASSNF_HD void meet(std::int64_t i, std::int64_t at, Bond<D, Pack>& bond, Pack& distance, PackU& code) {
    Pack record[4];
    gather_records<4>(places_, index_ + at, record[0], record[1], record[2], record[3]);
    Vec<Pack, D> dx;
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      dx.at(k) = minimum_image(Pack(sorted_.x[k][i]) - record[k.value], box_.at(k), inverse_box_.at(k));
    });
    distance = square_root(dot(dx, dx));
    bond = Bond<D, Pack>::make(dx, distance);
    code = to_bits(record[3]);
    if constexpr (L > 1) {
      for_axes<D>([&](auto k) GLASSNF_INLINE { store(unit_[k] + at, bond.e.at(k)); });
      store(distance_ + at, distance);
      store(code_ + at, record[3]);
    }
  }

  void subtract_from_dense(int layer, std::int64_t i, std::int64_t at, std::int64_t left, const Block<D, Pack>& block) const {
    for (int k = 0; k < blocks; ++k) {
      alignas(64) double lanes[pack_size];
      store(lanes, block.entry[k]);
      double* row = dense_block(layer, i) + k * columns_;
      for (int l = 0; l < pack_size && l < left; ++l) row[index_[at + l]] -= lanes[l];
    }
  }

  // Row i of G J for the particles of eight columns: out(a, c) += sum_k E e_a (e . J_k(:, c)) + (K_i J_i)(a, c).
  // G is that of layer `lower` + 1, J that of layer `lower`.
  GLASSNF_HD void multiply_columns(std::int64_t i, int lower, std::int64_t column, double* out, bool add) const {
    const double *jacobian = dense_block(lower, 0), *own = own_ + lower * n_ * blocks, *strength = strength_[lower];
    const std::int64_t block = blocks * columns_;
    for (int c = 0; c < D; ++c) {
      Vec<Pack, D> total;
      const double* of_i = jacobian + i * block + c * columns_ + column;
      for_axes<D>([&](auto a) GLASSNF_INLINE {
        total.at(a) = add ? load(out + (a.value * D + c) * columns_ + column) : Pack(0.0);
        for_axes<D>([&](auto b) GLASSNF_INLINE {
          total.at(a) = fused(Pack(own[i * blocks + a.value * D + b.value]), load(of_i + b.value * D * columns_), total.at(a));
        });
      });
      for (std::int64_t k = from_[i], end = from_[i] + held_[i]; k < end; ++k) {
        const double* of_k = jacobian + index_[k] * block + c * columns_ + column;
        Pack along = Pack(unit_[0][k]) * load(of_k);
        for (int b = 1; b < D; ++b) along = fused(Pack(unit_[b][k]), load(of_k + b * D * columns_), along);
        along = along * Pack(strength[k]);
        for_axes<D>([&](auto a) GLASSNF_INLINE { total.at(a) = fused(Pack(unit_[a][k]), along, total.at(a)); });
      }
      for_axes<D>([&](auto a) GLASSNF_INLINE { store(out + (a.value * D + c) * columns_ + column, total.at(a)); });
    }
  }

  // J^1 = P^1 + G^1 J^0, of three layers.
  [[gnu::noinline]] void multiply(std::int64_t i) const {
    for (std::int64_t column = 0; column < n_; column += pack_size) multiply_columns(i, 0, column, dense_block(1, i), true);
  }

  // tr of row i of G^(L-1) J^(L-2) with the column of G^L, which has the blocks of the row.
  [[gnu::noinline]] double contracted(std::int64_t i) const {
    std::uint64_t needed[most_dense_coordinates / 2 / pack_size / 64] = {};
    const auto mark = [&](std::int64_t z) { needed[z / pack_size / 64] |= std::uint64_t(1) << (z / pack_size % 64); };
    mark(i);
    for (std::int64_t k = from_[i]; k < from_[i] + held_[i]; ++k) mark(index_[k]);
    for (std::int64_t column = 0; column < n_; column += pack_size)
      if (needed[column / pack_size / 64] >> (column / pack_size % 64) & 1) multiply_columns(i, L - 2, column, row_, false);
    double total = 0.0;
    for (int k = 0; k < blocks; ++k) total += own_[((L - 1) * n_ + i) * blocks + k] * row_[k * columns_ + i];
    for (std::int64_t k = from_[i]; k < from_[i] + held_[i]; ++k) {
      double along = 0.0;
      for (int a = 0; a < D; ++a)
        for (int c = 0; c < D; ++c) along += unit_[a][k] * unit_[c][k] * row_[(a * D + c) * columns_ + index_[k]];
      total += strength_[L - 1][k] * along;
    }
    return total;
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
