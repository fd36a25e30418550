// Flows of one replica by a group of lanes, with up to two layers of messages. The formulas are those of flow_field.hpp.
//
// The state lives in an arena, on chip. Each lane owns the particles lane, lane + size, ...: it sums up what they get from all others,
// every pair from both sides, and moves them. With two layers the divergence has the term tr(G^2 G^1 J^0), a sum over triplets: of a
// particle j, two neighbours k and z within the range of messages, and the block J^0_kz; it runs over lists of neighbours, which are not
// in the arena. Results differ from those of the CPU kernels in the order of sums.
#pragma once

#include "glassnf/box.hpp"
#include "glassnf/flow_field.hpp"
#include "glassnf/group.hpp"

namespace glassnf {
inline namespace GLASSNF_ISA {

inline constexpr int most_group_layers = 2;

// What is the same for all replicas of a call.
template <int D>
struct FlowJob {
  double box[D], inverse_box[D];
  RadialGrid<double> grid, message_grid;
  double message_reach2;
  int n, species_count;
  std::int64_t pair_row, message_row;  // doubles of one function
  const double *pair, *messages;       // as in FlowTables
  std::int64_t steps;
  double step_size;
};

// One replica. A trajectory, or the field at one place if `velocity` is not null.
struct FlowReplica {
  double* positions;
  std::int32_t* images;
  const std::int32_t* species;
  double* log_jacobian;
  const double* places;
  double *velocity, *divergence;
  std::uint16_t* neighbours;  // (n, n), of two layers
};

// Memory of one replica, in bytes from the start of its arena.
struct FlowArena {
  std::int64_t start, place, sum, velocity, below, pair_jacobian, local_jacobian, own, count, species, bytes;

  static GLASSNF_HD FlowArena make(std::int64_t n, int dimension, int layers) {
    const std::int64_t vectors = 8 * n * dimension, blocks = vectors * dimension;
    FlowArena a{};
    a.start = 0;
    a.place = a.start + vectors;
    a.sum = a.place + vectors;
    a.velocity = a.sum + vectors;
    a.below = a.velocity + vectors;
    a.pair_jacobian = a.below + vectors * layers;
    a.local_jacobian = a.pair_jacobian + (layers > 0 ? blocks : 0);
    a.own = a.local_jacobian + (layers > 1 ? blocks : 0);
    a.count = a.own + (layers > 1 ? blocks : 0);
    a.species = a.count + (layers > 1 ? 2 * n : 0);
    a.bytes = a.species + n;
    // Arenas of neighbouring groups start 64 bytes apart in the 128 bytes of the memory banks.
    a.bytes = (a.bytes + 127) / 128 * 128 + 64;
    return a;
  }
};

template <class Group, int D, int L>
class GroupFlow {
  template <class T>
  using PerLane = typename Group::template PerLane<T>;
  using Vector = Vec<double, D>;
  using Matrix = Block<D, double>;

  const Group& group_;
  const FlowJob<D>& job_;
  const FlowReplica replica_;
  Vector *x_, *y_, *sum_, *v_, *below_;  // start of the step, stage, sum of velocities, velocities, w of the lower layers (L, n)
  Matrix *pair_jacobian_, *local_jacobian_, *own_;  // J^0_ii; of two layers P^1_ii and K^1_i
  std::uint16_t* count_;                            // neighbours
  std::uint8_t* species_;

 public:
  GLASSNF_HD GroupFlow(const Group& group, const FlowJob<D>& job, const FlowReplica& replica, char* arena, const FlowArena& layout)
      : group_(group), job_(job), replica_(replica) {
    x_ = reinterpret_cast<Vector*>(arena + layout.start);
    y_ = reinterpret_cast<Vector*>(arena + layout.place);
    sum_ = reinterpret_cast<Vector*>(arena + layout.sum);
    v_ = reinterpret_cast<Vector*>(arena + layout.velocity);
    below_ = reinterpret_cast<Vector*>(arena + layout.below);
    pair_jacobian_ = reinterpret_cast<Matrix*>(arena + layout.pair_jacobian);
    local_jacobian_ = reinterpret_cast<Matrix*>(arena + layout.local_jacobian);
    own_ = reinterpret_cast<Matrix*>(arena + layout.own);
    count_ = reinterpret_cast<std::uint16_t*>(arena + layout.count);
    species_ = reinterpret_cast<std::uint8_t*>(arena + layout.species);
    const double* places = replica.velocity ? replica.places : replica.positions;
    own_particles([&](int i) {
      species_[i] = static_cast<std::uint8_t>(replica.species[i]);
      for_axes<D>([&](auto k) { y_[i].at(k) = x_[i].at(k) = places[i * D + k]; });
    });
  }

  GLASSNF_HD void run() {
    if (replica_.velocity)
      field();
    else
      trajectory();
  }

 private:
  template <class Each>
  GLASSNF_HD void own_particles(const Each& each) const {
    group_.lanes([&](int lane) {
      for (int i = lane; i < job_.n; i += Group::size) each(i);
    });
  }

  GLASSNF_HD void field() {
    const double divergence = evaluate(0);
    own_particles([&](int i) { for_axes<D>([&](auto k) { replica_.velocity[i * D + k] = v_[i].at(k); }); });
    group_.once([&] { *replica_.divergence = divergence; });
  }

  // Classical Runge-Kutta steps; the operations of the CPU kernel.
  GLASSNF_HD void trajectory() {
    const double h = job_.step_size, sixth = h / 6.0;
    double log_jacobian = 0.0;
    for (std::int64_t m = 0; m < job_.steps; ++m) {
      double divergence = 0.0;
      for (int stage = 0; stage < 4; ++stage) {  // the field is evaluated in one place: its code is long
        const bool middle = stage == 1 || stage == 2;
        const double found = evaluate(2 * m + (stage + 1) / 2);
        divergence = fused(middle ? 2.0 : 1.0, found, divergence);
        const double ahead = stage == 2 ? h : 0.5 * h;
        own_particles([&](int i) {
          for_axes<D>([&](auto k) {
            const double v = v_[i].at(k), before = stage == 0 ? 0.0 : sum_[i].at(k);
            const double sum = middle ? fused(2.0, v, before) : before + v;
            sum_[i].at(k) = sum;
            if (stage == 3) x_[i].at(k) = fused(sixth, sum, x_[i].at(k));
            y_[i].at(k) = stage == 3 ? x_[i].at(k) : fused(ahead, v, x_[i].at(k));
          });
        });
      }
      log_jacobian = fused(sixth, divergence, log_jacobian);
    }
    hand_back(log_jacobian);
  }

  // A coordinate that is lost becomes no number, and so does the log Jacobian.
  GLASSNF_HD void hand_back(double log_jacobian) {
    PerLane<bool> lost;
    const double none = from_bits(std::uint64_t(0x7ff8000000000000));
    group_.lanes([&](int lane) {
      lost[lane] = false;
      for (int i = lane; i < job_.n; i += Group::size)
        for_axes<D>([&](auto k) {
          std::int32_t sides = 0;
          double& to = replica_.positions[i * D + k];
          if (!split_coordinate(x_[i].at(k), job_.box[k], to, sides)) {
            to = none;
            lost[lane] = true;
          }
          replica_.images[i * D + k] += sides;
        });
    });
    const bool any = group_.ballot(lost) != 0;
    group_.once([&] { *replica_.log_jacobian = any ? none : log_jacobian; });
  }

  // ---- the field ------------------------------------------------------------------------------------------------------------------

  // Velocities at y with the tables of a stage; returns the divergence, to all lanes.
  GLASSNF_HD double evaluate(std::int64_t stage) {
    const std::int64_t pairs = static_cast<std::int64_t>(job_.species_count) * job_.species_count;
    const double* pair = job_.pair + stage * (L + 1) * pairs * job_.pair_row;
    const double* messages = L > 0 ? job_.messages + stage * 2 * L * pairs * job_.message_row : nullptr;
    PerLane<double> divergence;
    group_.lanes([&](int lane) {
      divergence[lane] = 0.0;
      for (int i = lane; i < job_.n; i += Group::size) divergence[lane] += pair_sums(pair, i);
    });
    if constexpr (L > 0)
      group_.lanes([&](int lane) {
        for (int i = lane; i < job_.n; i += Group::size) divergence[lane] += message_sums<1>(pair, messages, i);
      });
    if constexpr (L > 1)
      group_.lanes([&](int lane) {
        for (int i = lane; i < job_.n; i += Group::size)
          divergence[lane] += message_sums<2>(pair, messages, i) + triplets(pair, messages, i);
      });
    return group_.sum(divergence);
  }

  GLASSNF_HD Vector image(int i, int j) const {
    Vector r;
    for_axes<D>([&](auto k) { r.at(k) = minimum_image(y_[i].at(k) - y_[j].at(k), job_.box[k], job_.inverse_box[k]); });
    return r;
  }
  // Number of the function of the species of i and j within a layer.
  GLASSNF_HD std::int64_t kinds(int i, int j) const { return species_[i] * job_.species_count + species_[j]; }
  GLASSNF_HD std::int64_t all_kinds() const { return static_cast<std::int64_t>(job_.species_count) * job_.species_count; }
  GLASSNF_HD Radial<double> pair_radial(const double* pair, int layer, std::int64_t kind, const RadialPlace<double>& place) const {
    return radial_at(pair + (layer * all_kinds() + kind) * job_.pair_row, place);
  }
  // E (which = 0) or C (1) of a layer, from 1.
  GLASSNF_HD Radial<double> message_radial(const double* messages, int layer, int which, std::int64_t kind,
                                           const RadialPlace<double>& place) const {
    return radial_at(messages + ((2 * (layer - 1) + which) * all_kinds() + kind) * job_.message_row, place);
  }

  // What i gets from pairs in all layers; returns its part of the divergence of the highest.
  GLASSNF_HD double pair_sums(const double* pair, int i) const {
    Vector velocity[L + 1];
    Matrix jacobian[L > 0 ? L : 1];
    unrolled_layers([&](auto m) {
      for_axes<D>([&](auto k) { velocity[m.value].at(k) = 0.0; });
      if constexpr (m.value < L) jacobian[m.value] = Matrix::zero();
    });
    auto divergence = DivergenceSum<double>::zero();
    for (int j = 0; j < job_.n; ++j) {
      if (j == i) continue;
      const Vector r = image(i, j);
      const double distance = square_root(dot(r, r));
      const auto place = locate(job_.grid, distance);
      const std::int64_t kind = kinds(i, j);
      unrolled_layers([&](auto m) {
        const auto phi = pair_radial(pair, m.value, kind, place);
        move_along(velocity[m.value], phi.value, r);
        if constexpr (m.value == L)
          divergence.add(phi, distance);
        else
          jacobian[m.value].add_pair(phi, distance, job_.grid.inverse_spacing, Bond<D, double>::make(r, distance).e);
      });
    }
    v_[i] = velocity[L];
    unrolled_layers([&](auto m) {
      if constexpr (m.value < L) below_[m.value * job_.n + i] = velocity[m.value];
    });
    if constexpr (L > 0) pair_jacobian_[i] = jacobian[0];
    if constexpr (L > 1) local_jacobian_[i] = jacobian[1];
    return divergence.template total<D>(job_.grid.inverse_spacing);
  }
  template <class Body>
  static GLASSNF_HD void unrolled_layers(Body&& body) {
    body(Axis<0>{});
    if constexpr (L > 0) body(Axis<1>{});
    if constexpr (L > 1) body(Axis<2>{});
  }

  // tr(A B) of blocks, one of which is symmetric.
  static GLASSNF_HD double contracted(const Matrix& a, const Matrix& b) {
    double total = 0.0;
    for_axes<D>([&](auto k) { total += dot(a.rows.at(k), b.rows.at(k)); });
    return total;
  }
  static GLASSNF_HD Vector times(const Matrix& a, const Vector& x) {
    Vector y;
    for_axes<D>([&](auto k) { y.at(k) = dot(a.rows.at(k), x); });
    return y;
  }

  // What i gets from messages of a layer; returns its part of the divergence, but for the triplets.
  template <int Layer>
  GLASSNF_HD double message_sums(const double* pair, const double* messages, int i) const {
    constexpr bool top = Layer == L;
    const Vector* below = below_ + (Layer - 1) * job_.n;
    Vector* const result = top ? v_ : below_ + Layer * job_.n;
    Vector velocity = result[i];
    Matrix own = Matrix::zero(), local = Matrix::zero(), lower_own = Matrix::zero(), upper_own = Matrix::zero();
    double divergence = 0.0;
    int found = 0;
    for (int j = 0; j < job_.n; ++j) {
      const Vector r = image(i, j);
      const double square = dot(r, r);
      if (j == i || !(square < job_.message_reach2)) continue;
      const double distance = square_root(square);
      const auto bond = Bond<D, double>::make(r, distance);
      const auto place = locate(job_.message_grid, distance), pair_place = locate(job_.grid, distance);
      const std::int64_t kind = kinds(i, j);
      const auto e = message_radial(messages, Layer, 0, kind, place), c = message_radial(messages, Layer, 1, kind, place);
      const auto message = Message<D, double>::make(bond, e, c, below[j], below[i], job_.message_grid.inverse_spacing);
      move_along(velocity, message.along, bond.e);
      own.add(0.0, c.value, bond.e);
      const auto pair_projection = [&](int layer) {
        return projected(pair_radial(pair, layer, kind, pair_place), distance, job_.grid.inverse_spacing);
      };
      if constexpr (!top) {
        local.add_message(message, bond);
        replica_.neighbours[i * job_.n + found++] = static_cast<std::uint16_t>(j);
      } else if constexpr (L == 1) {
        divergence += message.trace(bond) - e.value * pair_projection(0);
      } else {
        const auto e1 = message_radial(messages, 1, 0, kind, place), c1 = message_radial(messages, 1, 1, kind, place);
        const auto lower = Message<D, double>::make(bond, e1, c1, below_[j], below_[i], job_.message_grid.inverse_spacing);
        divergence += message.trace(bond) - e.value * (pair_projection(1) + lower.slope);
        // Of the product G^2 G^1 J^0: k = i of the triplets, and what has a diagonal block of G^1 or G^2.
        divergence += e.value * e1.value * dot(bond.e, times(pair_jacobian_[j], bond.e));
        const double j0 = pair_projection(0);
        lower_own.add(0.0, e1.value * j0, bond.e);
        upper_own.add(0.0, e.value * j0, bond.e);
      }
    }
    result[i] = velocity;
    if constexpr (top) {
      divergence += contracted(own, L == 1 ? pair_jacobian_[i] : local_jacobian_[i]);
      if constexpr (L > 1) {
        divergence -= contracted(lower_own, own) + contracted(upper_own, own_[i]);
        for_axes<D>([&](auto k) {  // tr(K^2 K^1 J^0)
          Vector unit;
          for_axes<D>([&](auto a) { unit.at(a) = a.value == k.value ? 1.0 : 0.0; });
          divergence += times(own, times(own_[i], times(pair_jacobian_[i], unit))).at(k);
        });
      }
    } else {
      own_[i] = own;
      for_axes<D>([&](auto a) { for_axes<D>([&](auto b) { local_jacobian_[i].rows.at(a).at(b) += local.rows.at(a).at(b); }); });
      count_[i] = static_cast<std::uint16_t>(found);
    }
    return divergence;
  }

  struct Neighbour {
    Vector e;
    double strength[2];  // E of the two layers
  };
  GLASSNF_HD Neighbour neighbour(const double* messages, int j, int k) const {
    const Vector r = image(j, k);
    const double distance = square_root(dot(r, r));
    const auto place = locate(job_.message_grid, distance);
    const std::int64_t kind = kinds(j, k);
    return {Bond<D, double>::make(r, distance).e,
            {message_radial(messages, 1, 0, kind, place).value, message_radial(messages, 2, 0, kind, place).value}};
  }
  // The sum over pairs k, z of neighbours of j of E^2_jz E^1_jk (e_jz . e_jk) (e_jk^T J^0_kz e_jz), k and z in both orders.
  GLASSNF_HD double triplets(const double* pair, const double* messages, int j) const {
    const std::uint16_t* list = replica_.neighbours + j * job_.n;
    double total = 0.0;
    for (int a = 0; a < count_[j]; ++a) {
      const int k = list[a];
      const Neighbour first = neighbour(messages, j, k);
      for (int b = a + 1; b < count_[j]; ++b) {
        const int z = list[b];
        const Neighbour second = neighbour(messages, j, z);
        const Vector r = image(k, z);
        const double distance = square_root(dot(r, r));
        const auto p = pair_radial(pair, 0, kinds(k, z), locate(job_.grid, distance));
        const Vector u = Bond<D, double>::make(r, distance).e;
        const double cosine = dot(first.e, second.e), axial = distance * (job_.grid.inverse_spacing * p.slope);
        const double j0 = fused(p.value, cosine, axial * (dot(first.e, u) * dot(second.e, u)));  // minus the block
        const double strengths = fused(first.strength[0], second.strength[1], first.strength[1] * second.strength[0]);
        total = fused(-strengths * cosine, j0, total);
      }
    }
    return total;
  }
};

}  // namespace GLASSNF_ISA
}  // namespace glassnf
