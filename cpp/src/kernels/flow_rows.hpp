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

// L layers of messages. Of two, the divergence needs tr(G^2 G^1 J^0), a sum over triplets of a particle and two of its neighbours; of three,
// the Jacobians of the lower layers are dense.
template <int D, int L>
class FlowRows {
  static constexpr int blocks = D * D, block_size = D == 2 ? 4 : 8;

  const SystemView& system_;
  const FlowTables& tables_;
  const std::int32_t* species_;  // (n,)
  Workspace& workspace_;
  FlowOrder<D> sorted_;
  RadialGrid<Pack> grid_, message_grid_;
  Vec<Pack, D> box_, inverse_box_;
  std::int64_t first_, n_, size_, columns_;
  double* divergence_;   // (n,)
  double* sums_;         // (L + 1, n, 4) w, and before that its sums over pairs
  double* places_;       // (n, 4) position and code
  double* diagonal_;     // (L, n, D D) P_ii
  double* own_;          // (L, n, D D) K_i
  double* pair_blocks_;  // of two layers: (n, n, block_size) the upper triangle of -J^0_ij, in whole records of four
  double* dense_;        // of three: (2, n, D D, columns) J, of which a row is (row of the block, column of the block, particle)
  double* row_;          // (D D, columns)

  // Neighbours: those of a particle one after the other, first those within the range of messages, padded to whole packs by itself.
  std::int64_t* from_;   // (n + 1,)
  std::int64_t* close_;  // (n,) how many are within the range of messages
  std::int32_t* index_;
  double *unit_[D], *distance_, *code_;
  double* projection_;           // e^T M e of the layer L - 1
  double* lower_projection_;     // of the layer 0, if there are two
  double* strength_[L ? L : 1];  // E of every layer

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
    from_ = static_cast<std::int64_t*>(reserve(workspace, 5, (2 * n_ + 1) * 8));
    close_ = from_ + n_ + 1;
    divergence_ = static_cast<double*>(reserve(workspace, 14, n_ * (1 + 4 * (L + 2) + 2 * L * blocks) * 8));
    sums_ = divergence_ + n_;
    places_ = sums_ + (L + 1) * n_ * 4;
    diagonal_ = places_ + n_ * 4;
    own_ = diagonal_ + L * n_ * blocks;
    if constexpr (L == 2) pair_blocks_ = static_cast<double*>(reserve(workspace, 15, n_ * n_ * block_size * 8));
    if constexpr (L == 3) {
      dense_ = static_cast<double*>(reserve(workspace, 15, (2 * n_ + 1) * blocks * columns_ * 8));
      row_ = dense_ + 2 * n_ * blocks * columns_;
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
    const double* messages = tables_.messages + stage * 2 * L * s2 * tables_.message_range.row_size();
    make_lists();
    for (std::int64_t i = 0; i < n_; ++i) {
      meet(i);
      pair_layers(pair, i, std::make_integer_sequence<int, L + 1>{});
    }
    message_layers(messages, std::make_integer_sequence<int, L>{});
    if constexpr (L == 2)
      for (std::int64_t i = 0; i < n_; ++i) divergence_[i] += triplets(i);
    if constexpr (L == 3) {
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

  // Who is within reach of whom, and memory for what comes.
  void make_lists() {
    const std::int64_t cells = sorted_.count();
    std::int64_t most = pack_size, most_around = 0;
    for (std::int64_t cell = 0; cell < cells; ++cell) {
      CellRanges<D> ranges;
      sorted_.ranges_of(cell, ranges);
      std::int64_t around = pack_size;
      for (int r = 0; r < ranges.count; ++r) around += ranges.range[r].last - ranges.range[r].first;
      most += (sorted_.start[cell + 1] - sorted_.start[cell]) * around;
      if (around > most_around) most_around = around;
    }
    index_ = static_cast<std::int32_t*>(reserve(workspace_, 4, (most + most_around + pack_size) * 4));
    std::int32_t* others = index_ + most;
    from_[0] = 0;
    for (std::int64_t cell = 0; cell < cells; ++cell) find_neighbours(cell, others);
    const std::int64_t size = from_[n_];
    double* memory = static_cast<double*>(reserve(workspace_, 6, (D + 4 + L) * size * 8));
    distance_ = memory;
    code_ = memory + size;
    projection_ = memory + 2 * size;
    for (int k = 0; k < D; ++k) unit_[k] = memory + (3 + k) * size;
    lower_projection_ = memory + (3 + D) * size;
    for (int l = 0; l < L; ++l) strength_[l] = memory + (4 + D + l) * size;
    for (std::int64_t i = 0; i < n_; ++i) {
      for (int k = 0; k < D; ++k) places_[4 * i + k] = sorted_.x[k][i];
      if constexpr (D == 2) places_[4 * i + 2] = 0.0;
      places_[4 * i + 3] = from_bits(sorted_.code[i]);
    }
    if constexpr (L == 2)
      for (std::int64_t c = 0; c < n_ * n_ * block_size; c += 4) store_four(pair_blocks_ + c, 0.0, 0.0, 0.0, 0.0);
    if constexpr (L == 3)
      for (std::int64_t c = 0; c < 2 * n_ * blocks * columns_; c += pack_size) store(dense_ + c, Pack(0.0));
  }

  [[gnu::noinline]] void find_neighbours(std::int64_t cell, std::int32_t* others) {
    const double pair_reach = tables_.pair_range.outer, message_reach = L ? tables_.message_range.outer : pair_reach;
    const Pack near2(message_reach * message_reach), far2(pair_reach * pair_reach);
    const Vec<Pack, D> box = box_;
    const FlowOrder<D> sorted = sorted_;
    CellRanges<D> ranges;
    sorted.ranges_of(cell, ranges);
    for (std::int64_t i = sorted.start[cell]; i < sorted.start[cell + 1]; ++i) {
      std::int32_t* const list = index_ + from_[i];
      std::int64_t close = 0, more = 0;
      Vec<Pack, D> xi;
      for_axes<D>([&](auto k) GLASSNF_INLINE { xi.at(k) = Pack(sorted.x[k][i]); });
      for (int r = 0; r < ranges.count; ++r)
        for (std::int64_t at = ranges.range[r].first, last = ranges.range[r].last; at < last; at += pack_size) {
          Vec<Pack, D> dx;
          for_axes<D>([&](auto k)
                          GLASSNF_INLINE { dx.at(k) = minimum_image_distance(xi.at(k) - load(sorted.x[k] + at), box.at(k)); });
          const Pack square = dot(dx, dx);
          unsigned bits = ~0u, here = less_bits(square, near2);
          if (last - at < pack_size) bits = (1u << (last - at)) - 1;
          if (i - at >= 0 && i - at < pack_size) bits &= ~(1u << (i - at));
          here &= bits;
          close += write_set_bits(list + close, static_cast<std::int32_t>(at), here);
          if constexpr (L > 0)
            more += write_set_bits(others + more, static_cast<std::int32_t>(at), less_bits(square, far2) & bits & ~here);
        }
      for (std::int64_t k = 0; k < more; ++k) list[close + k] = others[k];
      close_[i] = close;
      std::int64_t found = close + more;
      for (; found % pack_size; ++found) list[found] = static_cast<std::int32_t>(i);
      from_[i + 1] = from_[i] + found;
    }
  }

  // Directions and distances of the neighbours of i.
  [[gnu::noinline]] void meet(std::int64_t i) const {
    const Vec<Pack, D> box = box_, inverse_box = inverse_box_;
    double *const distances = distance_, *const codes = code_;
    const double* const places = places_;
    const std::int32_t* const index = index_;
    double* unit[D];
    Vec<Pack, D> xi;
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      unit[k] = unit_[k];
      xi.at(k) = Pack(places[4 * i + k]);
    });
    for (std::int64_t at = from_[i], end = from_[i + 1]; at < end; at += pack_size) {
      Vec<Pack, D> dx;
      Pack code;
      gather_vectors(places, index + at, dx, code);
      for_axes<D>([&](auto k) GLASSNF_INLINE { dx.at(k) = minimum_image(xi.at(k) - dx.at(k), box.at(k), inverse_box.at(k)); });
      const Pack distance = square_root(dot(dx, dx));
      const Bond<D, Pack> bond = Bond<D, Pack>::make(dx, distance);
      for_axes<D>([&](auto k) GLASSNF_INLINE { store(unit[k] + at, bond.e.at(k)); });
      store(distances + at, distance);
      store(codes + at, code);
    }
  }
  static GLASSNF_HD void gather_vectors(const double* records, const std::int32_t* index, Vec<Pack, D>& vector, Pack& rest) {
    Pack z;
    gather_records<4>(records, index, vector.x, vector.y, z, rest);
    if constexpr (D == 3) vector.z = z;
  }

  template <int... M>
  void pair_layers(const double* pair, std::int64_t i, std::integer_sequence<int, M...>) {
    (pair_layer<M>(pair, i), ...);
  }

  // The sum over pairs of one layer: of the highest with the divergence, of the others with the pair part of P.
  template <int M>
  [[gnu::noinline]] void pair_layer(const double* pair, std::int64_t i) {
    constexpr bool top = M == L;
    const std::int64_t s = system_.species_count;
    const double* const row =
        pair + s * (M * s * tables_.pair_range.row_size() + static_cast<std::int64_t>(sorted_.code[i] & 0xffffffff));
    const double *const distances = distance_, *const codes = code_;
    double* const projections = projection_;
    const RadialGrid<Pack> grid = grid_;
    DivergenceSum<Pack> divergence = DivergenceSum<Pack>::zero();
    Block<D, Pack> jacobian = Block<D, Pack>::zero();
    Vec<Pack, D> velocity;
    for_axes<D>([&](auto k) GLASSNF_INLINE { velocity.at(k) = Pack(0.0); });
    // Those who fill up the last pack have the distance zero, and a table need not be zero there.
    const std::int64_t end = from_[i + 1], last_pack = end - pack_size;
    const PackU in_last = load(trailing_masks.rows[pack_size - fill_of(i)]);
    for (std::int64_t at = from_[i]; at < end; at += pack_size) {
      const Pack distance = load(distances + at);
      Vec<Pack, D> e;
      for_axes<D>([&](auto k) GLASSNF_INLINE { e.at(k) = load(unit_[k] + at); });
      RadialPlace<Pack> place = locate(grid, distance);
      place.first = place.first + (load_bits(codes + at) & PackU(0xffffffff));
      Radial<Pack> phi = radial_at(row, place);
      if (at == last_pack) phi = {keep(phi.value, in_last), keep(phi.slope, in_last)};
      move_along(velocity, phi.value * distance, e);
      if constexpr (top) {
        divergence.add(phi, distance);
      } else {
        if constexpr (M + 1 == L) store(projections + at, projected(phi, distance, grid.inverse_spacing));
        Block<D, Pack> here = Block<D, Pack>::zero();
        here.add_pair(phi, distance, grid.inverse_spacing, e);
        jacobian.for_entries([&](auto a, auto c, Pack& entry) GLASSNF_INLINE { entry = entry + here.rows.at(a).at(c); });
        if constexpr (L == 2 && M == 0) {
          store_blocks(i, at, here);
          store(lower_projection_ + at, projected(phi, distance, grid.inverse_spacing));
        }
        if constexpr (L == 3 && M < 2) subtract_from_dense(M, i, at, here);
      }
    }
    for_axes<D>([&](auto k) GLASSNF_INLINE { sum_at(M, i)[k] = sum(velocity.at(k)); });
    if constexpr (top) {
      divergence_[i] = sum(divergence.template total<D>(grid.inverse_spacing));
    } else {
      for (int k = D; k < 4; ++k) sum_at(M, i)[k] = 0.0;
      double* diagonal = diagonal_ + (M * n_ + i) * blocks;
      jacobian.for_entries([&](auto a, auto c, Pack& entry) GLASSNF_INLINE { diagonal[a.value * D + c.value] = sum(entry); });
      if constexpr (L == 2 && M == 0) set_pair_diagonal(i, diagonal);
      if constexpr (L == 3 && M == 0) set_diagonal(0, i);
    }
  }
  std::int64_t fill_of(std::int64_t i) const {
    std::int64_t fill = 0;
    while (fill < from_[i + 1] - from_[i] && index_[from_[i + 1] - 1 - fill] == i) ++fill;
    return fill;
  }

  // The diagonal block of a dense Jacobian.
  void set_diagonal(int layer, std::int64_t i) const {
    for (int k = 0; k < blocks; ++k) dense_block(layer, i)[k * columns_ + i] = diagonal_[(layer * n_ + i) * blocks + k];
  }
  // Blocks of i with eight neighbours; those who fill up the pack have blocks of zeros.
  GLASSNF_HD void subtract_from_dense(int layer, std::int64_t i, std::int64_t at, Block<D, Pack>& block) const {
    block.for_entries([&](auto a, auto c, Pack& entry) GLASSNF_INLINE {
      alignas(64) double lanes[pack_size];
      store(lanes, entry);
      double* row = dense_block(layer, i) + (a.value * D + c.value) * columns_;
      for (int l = 0; l < pack_size; ++l) row[index_[at + l]] -= lanes[l];
    });
  }

  static GLASSNF_HD void store_four(double* to, double a, double b, double c, double d) {
    to[0] = a;
    to[1] = b;
    to[2] = c;
    to[3] = d;
  }
  // Blocks of i with eight neighbours.
  GLASSNF_HD void store_blocks(std::int64_t i, std::int64_t at, Block<D, Pack>& block) const {
    alignas(64) double lanes[block_size][pack_size];
    int row = 0;
    block.for_entries([&](auto a, auto c, Pack& entry) GLASSNF_INLINE {
      if constexpr (a.value <= c.value) store(lanes[row++], entry);
    });
    for (; row < block_size; ++row) store(lanes[row], Pack(0.0));
    for (int l = 0; l < pack_size; ++l) {
      double* to = pair_blocks_ + (i * n_ + index_[at + l]) * block_size;
      store_four(to, lanes[0][l], lanes[1][l], lanes[2][l], lanes[3][l]);
      if constexpr (D == 3) store_four(to + 4, lanes[4][l], lanes[5][l], lanes[6][l], lanes[7][l]);
    }
  }
  void set_pair_diagonal(std::int64_t i, const double* diagonal) const {
    double* to = pair_blocks_ + (i * n_ + i) * block_size;
    for (int a = 0; a < D; ++a)
      for (int c = a; c < D; ++c) *to++ = -diagonal[a * D + c];
  }

  template <int... M>
  void message_layers([[maybe_unused]] const double* messages, std::integer_sequence<int, M...>) {
    (
        [&] {
          for (std::int64_t i = 0; i < n_; ++i) message_row<M + 1>(messages, i);
        }(),
        ...);
  }

  // The messages that i gets in one layer.
  template <int Layer>
  [[gnu::noinline]] void message_row(const double* messages, std::int64_t i) {
    constexpr bool top = Layer == L;
    const std::int64_t s = system_.species_count, table_size = s * s * tables_.message_range.row_size();
    const double* const from_neighbours =
        messages + 2 * (Layer - 1) * table_size + s * static_cast<std::int64_t>(sorted_.code[i] >> 32);
    const double* const from_itself = from_neighbours + table_size;
    const double *const distances = distance_, *const codes = code_, *const below = sum_at(Layer - 1, 0);
    double *const projections = projection_, *const strength = strength_[Layer - 1];
    const RadialGrid<Pack> grid = message_grid_;
    Vec<Pack, D> w_i, velocity;
    for_axes<D>([&](auto k) GLASSNF_INLINE {
      w_i.at(k) = Pack(below[4 * i + k]);
      velocity.at(k) = Pack(0.0);
    });
    Block<D, Pack> own = Block<D, Pack>::zero(), block = Block<D, Pack>::zero();
    Pack divergence(0.0);
    for (std::int64_t at = from_[i], end = at + close_[i]; at < end; at += pack_size) {
      const PackU kept = load(trailing_masks.rows[end - at < pack_size ? end - at : pack_size]);
      const Pack distance = load(distances + at);
      Bond<D, Pack> bond;
      bond.inverse_distance = Pack(1.0) / maximum(distance, Pack(1e-100));
      for_axes<D>([&](auto k) GLASSNF_INLINE { bond.e.at(k) = load(unit_[k] + at); });
      RadialPlace<Pack> place = locate(grid, distance);
      place.first = place.first + (load_bits(codes + at) >> 32);
      Radial<Pack> e = radial_at(from_neighbours, place), c = radial_at(from_itself, place);
      e = {keep(e.value, kept), keep(e.slope, kept)};
      c = {keep(c.value, kept), keep(c.slope, kept)};
      Vec<Pack, D> w_j;
      Pack rest;
      gather_vectors(below, index_ + at, w_j, rest);
      const auto message = Message<D, Pack>::make(bond, e, c, w_j, w_i, grid.inverse_spacing);
      move_along(velocity, message.along, bond.e);
      own.add(Pack(0.0), c.value, bond.e);
      if constexpr (L > 1) store(strength + at, e.value);
      if constexpr (top) {
        divergence = divergence + (message.trace(bond) - e.value * load(projections + at));
      } else {
        Block<D, Pack> here = Block<D, Pack>::zero();
        here.add_message(message, bond);
        block.for_entries([&](auto a, auto b, Pack& entry) GLASSNF_INLINE { entry = entry + here.rows.at(a).at(b); });
        if constexpr (Layer + 1 == L)
          store(projections + at, load(projections + at) + message.slope);
        else
          subtract_from_dense(Layer, i, at, here);
      }
    }
    for_axes<D>([&](auto k) GLASSNF_INLINE { sum_at(Layer, i)[k] += sum(velocity.at(k)); });
    double *k_i = own_ + ((Layer - 1) * n_ + i) * blocks, *p_i = diagonal_ + (Layer * n_ + i) * blocks;
    own.for_entries([&](auto a, auto c, Pack& entry) GLASSNF_INLINE { k_i[a.value * D + c.value] = sum(entry); });
    if constexpr (top) {
      double total = sum(divergence);
      for (int k = 0; k < blocks; ++k) total += k_i[k] * p_i[k - n_ * blocks];
      divergence_[i] += total;
    } else {
      block.for_entries([&](auto a, auto c, Pack& entry) GLASSNF_INLINE { p_i[a.value * D + c.value] += sum(entry); });
      if constexpr (L == 3 && Layer == 1) set_diagonal(1, i);
    }
  }

  // left^T B right for the blocks B of eight particles; `index` in blocks from `base`.
  static GLASSNF_HD Pack through(const double* base, const std::int32_t* index, const Vec<Pack, D>& left,
                                 const Vec<Pack, D>& right) {
    Pack xx, xy, yy, rest;
    if constexpr (D == 2) {
      gather_records<3>(base, index, xx, xy, yy, rest);
      const Pack x = fused(xy, right.y, xx * right.x), y = fused(yy, right.y, xy * right.x);
      return fused(left.y, y, left.x * x);
    } else {
      alignas(32) std::int32_t twice[pack_size];
      for (int l = 0; l < pack_size; ++l) twice[l] = 2 * index[l];
      Pack xz, yz, zz, more;
      gather_records<4>(base, twice, xx, xy, xz, yy);
      gather_records<3>(base + 4, twice, yz, zz, rest, more);
      const Pack x = fused(xz, right.z, fused(xy, right.y, xx * right.x)), y = fused(yz, right.z, fused(yy, right.y, xy * right.x));
      const Pack z = fused(zz, right.z, fused(yz, right.y, xz * right.x));
      return fused(left.z, z, fused(left.y, y, left.x * x));
    }
  }
  static GLASSNF_HD Pack quadratic(const double* block, const Vec<Pack, D>& e) {
    Pack total(0.0);
    for_axes<D>([&](auto a) GLASSNF_INLINE {
      for_axes<D>([&](auto c) GLASSNF_INLINE { total = fused(Pack(block[a.value * D + c.value]) * e.at(a), e.at(c), total); });
    });
    return total;
  }

  // tr(G^2 G^1 J^0) of two layers, the part in which j is in the middle: sum over i and k of tr(G^2_ij G^1_jk J^0_ki), with
  //   E^2_ij E^1_jk (e_ij . e_jk) (e_jk^T J^0_ki e_ij) for two neighbours, in both orders at once because all blocks are symmetric,
  // and K^2_j or K^1_j in the place of G where i or k is j itself.
  [[gnu::noinline]] double triplets(std::int64_t j) const {
    const double *const lower = strength_[0], *const upper = strength_[1], *const below = lower_projection_;
    const double *const own_1 = own_ + j * blocks, *const own_2 = own_ + (n_ + j) * blocks,
                        *const jacobian = diagonal_ + j * blocks;
    const std::int32_t* const index = index_;
    const std::int64_t begin = from_[j], end = begin + close_[j];
    const auto direction = [&](std::int64_t at) GLASSNF_INLINE {
      Vec<Pack, D> e;
      for_axes<D>([&](auto k) GLASSNF_INLINE { e.at(k) = load(unit_[k] + at); });
      return e;
    };
    Pack total(0.0);
    for (std::int64_t at = begin; at < end; at += pack_size) {
      const Vec<Pack, D> e = direction(at);
      const Pack e_1 = load(lower + at), e_2 = load(upper + at);
      alignas(32) std::int32_t diagonal[pack_size];
      for (int l = 0; l < pack_size; ++l) diagonal[l] = index[at + l] * static_cast<std::int32_t>(n_ + 1);
      const Pack crossed = fused(e_1, quadratic(own_2, e), e_2 * quadratic(own_1, e));
      total = total - fused(e_1 * e_2, through(pair_blocks_, diagonal, e, e), crossed * load(below + at));
    }
    for (std::int64_t a = begin; a < end; ++a) {
      const double* const base = pair_blocks_ + index[a] * n_ * block_size;
      const Pack a_1(lower[a]), a_2(upper[a]);
      Vec<Pack, D> e_a;
      for_axes<D>([&](auto k) GLASSNF_INLINE { e_a.at(k) = Pack(unit_[k][a]); });
      std::int64_t at = begin + (a - begin) / pack_size * pack_size;
      PackU later = ~load(trailing_masks.rows[a - at + 1]);
      for (; at < end; at += pack_size) {
        const Vec<Pack, D> e_b = direction(at);
        const Pack strengths = keep(fused(a_1, load(upper + at), a_2 * load(lower + at)), later);
        total = total - (strengths * dot(e_a, e_b)) * through(base, index + at, e_a, e_b);
        later = ~PackU(0);
      }
    }
    double middle = 0.0;
    for (int a = 0; a < D; ++a)
      for (int b = 0; b < D; ++b)
        for (int c = 0; c < D; ++c) middle += jacobian[a * D + b] * own_2[b * D + c] * own_1[c * D + a];
    return sum(total) + middle;
  }

  // Row i of G J for the particles of eight columns: out(a, c) += sum_k E e_a (e . J_k(:, c)) + (K_i J_i)(a, c). G is that of the layer
  // `lower` + 1, J that of the layer `lower`.
  GLASSNF_HD void multiply_columns(std::int64_t i, int lower, std::int64_t column, double* out, bool add) const {
    const double *const jacobian = dense_block(lower, 0) + column, *const own = own_ + (lower * n_ + i) * blocks;
    const double* const strength = strength_[lower];
    const std::int64_t columns = columns_, block = blocks * columns;
    Block<D, Pack> total = Block<D, Pack>::zero();
    total.for_entries([&](auto a, auto c, Pack& entry) GLASSNF_INLINE {
      if (add) entry = load(out + (a.value * D + c.value) * columns + column);
      for_axes<D>([&](auto b) GLASSNF_INLINE {
        entry = fused(Pack(own[a.value * D + b.value]), load(jacobian + i * block + (b.value * D + c.value) * columns), entry);
      });
    });
    for (std::int64_t k = from_[i], end = from_[i] + close_[i]; k < end; ++k) {
      const double* of_k = jacobian + index_[k] * block;
      Vec<double, D> e;
      for_axes<D>([&](auto a) GLASSNF_INLINE { e.at(a) = unit_[a][k]; });
      for_axes<D>([&](auto c) GLASSNF_INLINE {
        Pack along = Pack(strength[k] * e.x) * load(of_k + c.value * columns);
        along = fused(Pack(strength[k] * e.y), load(of_k + (D + c.value) * columns), along);
        if constexpr (D == 3) along = fused(Pack(strength[k] * e.z), load(of_k + (2 * D + c.value) * columns), along);
        for_axes<D>([&](auto a) GLASSNF_INLINE { total.rows.at(a).at(c) = fused(Pack(e.at(a)), along, total.rows.at(a).at(c)); });
      });
    }
    total.for_entries([&](auto a, auto c, Pack& entry)
                          GLASSNF_INLINE { store(out + (a.value * D + c.value) * columns + column, entry); });
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
    for (std::int64_t k = from_[i]; k < from_[i] + close_[i]; ++k) mark(index_[k]);
    for (std::int64_t column = 0; column < n_; column += pack_size)
      if (needed[column / pack_size / 64] >> (column / pack_size % 64) & 1) multiply_columns(i, L - 2, column, row_, false);
    double total = 0.0;
    for (int k = 0; k < blocks; ++k) total += own_[((L - 1) * n_ + i) * blocks + k] * row_[k * columns_ + i];
    for (std::int64_t k = from_[i]; k < from_[i] + close_[i]; ++k) {
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
