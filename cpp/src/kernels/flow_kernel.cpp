// Flows of a batch: the field at given places, and its integral by the classical Runge-Kutta method of fourth order.
#include "flow_lanes.hpp"
#include "flow_rows.hpp"

namespace glassnf::cpu {
inline namespace GLASSNF_ISA {

namespace {

// Calls work(field) for replicas first .. first + count - 1.
template <class Work>
void with_field(const SystemView& system, const FlowTables& tables, const std::int32_t* species, std::int64_t first,
                std::int64_t count, bool cells, Workspace& workspace, Work&& work) {
  const auto in_dimension = [&]<int D>() {
    const auto in_rows = [&]<int L>() {
      FlowRows<D, L> field(system, tables, species, first, cells, workspace);
      work.template operator()<D>(field);
    };
    switch (tables.layers) {
      case 0:
        if (!cells) {
          FlowLanes<D> field(system, tables, species, first, count, workspace);
          return work.template operator()<D>(field);
        }
        return in_rows.template operator()<0>();
      case 1: return in_rows.template operator()<1>();
      case 2: return in_rows.template operator()<2>();
      default: return in_rows.template operator()<3>();
    }
  };
  system.dimension == 2 ? in_dimension.template operator()<2>() : in_dimension.template operator()<3>();
}

double* scratch(Workspace& workspace, int slot, std::int64_t size) {
  return static_cast<double*>(reserve(workspace, slot, size * 8));
}

// Steps of length h: k1 .. k4 at the stages 2 m, 2 m + 1 (twice), 2 m + 2; x += h (k1 + 2 k2 + 2 k3 + k4) / 6, and likewise the integral of the
// divergence, which is returned.
template <class Field>
Pack integrate(Field& field, const FlowPlan& plan, double* x, Workspace& workspace) {
  const std::int64_t size = field.size();
  double *y = scratch(workspace, 1, size), *v = scratch(workspace, 2, size), *sum_of_v = scratch(workspace, 3, size);
  const Pack half(0.5 * plan.step_size), whole(plan.step_size), sixth(plan.step_size / 6.0);
  Pack log_jacobian(0.0);
  // sum = (first ? 0 : sum) + weight v, and the next stage y = x + ahead v.
  const auto stage = [&](bool first, Pack weight, Pack ahead) {
    for (std::int64_t c = 0; c < size; c += pack_size) {
      const Pack velocity = load(v + c);
      store(sum_of_v + c, first ? velocity : fused(weight, velocity, load(sum_of_v + c)));
      store(y + c, fused(ahead, velocity, load(x + c)));
    }
  };
  for (std::int64_t m = 0; m < plan.steps; ++m) {
    Pack divergence = field.evaluate(2 * m, x, v);
    stage(true, Pack(1.0), half);
    divergence = fused(Pack(2.0), field.evaluate(2 * m + 1, y, v), divergence);
    stage(false, Pack(2.0), half);
    divergence = fused(Pack(2.0), field.evaluate(2 * m + 1, y, v), divergence);
    stage(false, Pack(2.0), whole);
    divergence = divergence + field.evaluate(2 * m + 2, y, v);
    for (std::int64_t c = 0; c < size; c += pack_size) store(x + c, fused(sixth, load(sum_of_v + c) + load(v + c), load(x + c)));
    log_jacobian = fused(sixth, divergence, log_jacobian);
  }
  return log_jacobian;
}

// Positions back to the caller, in the box. A coordinate that is lost becomes no number, and so does the log Jacobian of its replica.
template <int D, class Field>
void hand_back(const SystemView& system, const FlowBatch& batch, const Field& field, const double* x, Pack log_jacobian) {
  const double none = from_bits(std::uint64_t(0x7ff8000000000000));
  alignas(64) double by_lane[pack_size];
  store(by_lane, log_jacobian);
  for (int l = 0; l < field.replicas(); ++l) {
    const std::int64_t replica = field.first() + l;
    batch.log_jacobian[replica] = by_lane[l];
    for (std::int64_t i = 0; i < system.n; ++i)
      for (int k = 0; k < D; ++k) {
        const std::int64_t to = (replica * system.n + i) * D + k;
        std::int32_t sides = 0;
        if (!split_coordinate(x[field.at(l, i, k)], system.box[k], batch.positions[to], sides))
          batch.positions[to] = batch.log_jacobian[replica] = none;
        batch.images[to] += sides;
      }
  }
}

}  // namespace

void flow_trajectory(const SystemView& system, const FlowBatch& batch, const FlowPlan& plan, std::int64_t first, std::int64_t count,
                     bool cells, Workspace& workspace) {
  with_field(system, plan.tables, batch.species, first, count, cells, workspace, [&]<int D>(auto& field) {
    double* x = scratch(workspace, 0, field.size());
    field.take(batch.positions, x);
    const Pack log_jacobian = integrate(field, plan, x, workspace);
    hand_back<D>(system, batch, field, x, log_jacobian);
  });
}

void flow_field(const SystemView& system, const FlowFieldBatch& batch, const FlowTables& tables, std::int64_t first,
                std::int64_t count, bool cells, Workspace& workspace) {
  with_field(system, tables, batch.species, first, count, cells, workspace, [&]<int D>(auto& field) {
    double *x = scratch(workspace, 0, field.size()), *v = scratch(workspace, 1, field.size());
    field.take(batch.positions, x);
    alignas(64) double divergence[pack_size];
    store(divergence, field.evaluate(0, x, v));
    for (int l = 0; l < field.replicas(); ++l) {
      const std::int64_t replica = field.first() + l;
      batch.divergence[replica] = divergence[l];
      for (std::int64_t i = 0; i < system.n; ++i)
        for (int k = 0; k < D; ++k) batch.velocity[(replica * system.n + i) * D + k] = v[field.at(l, i, k)];
    }
  });
}

}  // namespace GLASSNF_ISA
}  // namespace glassnf::cpu
