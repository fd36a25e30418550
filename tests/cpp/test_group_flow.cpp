// The flows that the GPU runs, with its lanes emulated on the host, against the CPU backend: the same but for the order of sums.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "flow_job.hpp"
#include "glassnf/radial_table.hpp"
#include "numbers.hpp"

using namespace glassnf;

namespace {

// Replicas on a jittered lattice, and tables of random functions that need not be smooth: both backends read the same ones.
struct Flow {
  SystemView system{};
  std::vector<double> positions, pair, messages;
  std::vector<std::int32_t> species;
  FlowTables tables{};
  std::int64_t replicas = 3, steps = 2;

  Flow(int dimension, std::int64_t n, int layers) {
    auto g = numbers::generator(3);
    system.dimension = dimension;
    system.n = n;
    system.species_count = 2;
    const double side = std::pow(static_cast<double>(n), 1.0 / dimension);
    const auto places = static_cast<std::int64_t>(std::ceil(side - 1e-9));
    for (int k = 0; k < dimension; ++k) system.box[k] = side * (k == 0 ? 1.05 : 1.0);
    for (std::int64_t r = 0; r < replicas; ++r)
      for (std::int64_t i = 0; i < n; ++i) {
        std::int64_t rest = i;
        for (int k = 0; k < dimension; ++k, rest /= places)
          positions.push_back((static_cast<double>(rest % places) + numbers::uniform(g, 0.1, 0.9)) * system.box[k] /
                              static_cast<double>(places));
        species.push_back(static_cast<std::int32_t>((3 * i + r) % 2));
      }
    const std::int64_t rows = 18, message_rows = 10;
    pair = functions(g, 5 * (layers + 1), rows);
    messages = functions(g, 5 * layers * 2, message_rows);
    const double reach = 0.49 * side;
    tables = {layers, {0.3, reach, rows - 2}, {0.4, 0.8 * reach, message_rows - 2}, pair.data(), messages.data()};
  }
  // Sets of functions (S, S, rows, 4), symmetric, of small slope, and zero in the first and the last row.
  static std::vector<double> functions(std::mt19937_64& g, std::int64_t sets, std::int64_t rows) {
    std::vector<double> all;
    for (std::int64_t set = 0; set < sets; ++set) {
      std::vector<double> kinds[3];
      for (auto& kind : kinds) {
        kind.assign(static_cast<std::size_t>(4 * rows), 0.0);
        for (std::int64_t k = 4; k < 4 * rows - 4; ++k) kind[static_cast<std::size_t>(k)] = numbers::uniform(g, -0.3, 0.3);
      }
      for (int k : {0, 1, 1, 2}) all.insert(all.end(), kinds[k].begin(), kinds[k].end());
    }
    return all;
  }
};

struct Result {
  std::vector<double> positions, log_jacobian, velocity, divergence;
  std::vector<std::int32_t> images;

  explicit Result(const Flow& flow)
      : positions(flow.positions),
        log_jacobian(static_cast<std::size_t>(flow.replicas)),
        velocity(flow.positions.size()),
        divergence(log_jacobian),
        images(flow.positions.size()) {}
  FlowBatch batch(const Flow& flow) {
    return {flow.replicas, positions.data(), images.data(), flow.species.data(), log_jacobian.data()};
  }
  FlowFieldBatch field(const Flow& flow) {
    return {flow.replicas, flow.positions.data(), flow.species.data(), velocity.data(), divergence.data()};
  }
};

template <int Size, int D, int L>
void emulate(const Flow& flow, const FlowArrays& arrays, std::int64_t steps, double step_size) {
  const FlowJob<D> job = flow_job<D>(flow.system, flow.tables, steps, step_size);
  const FlowArena layout = FlowArena::make(job.n, D, L);
  std::vector<double> arena(static_cast<std::size_t>(layout.bytes / 8 + 8));
  std::vector<std::uint16_t> neighbours(static_cast<std::size_t>(job.n * job.n));
  const HostGroup<Size> group;
  for (std::int64_t r = 0; r < arrays.replicas; ++r)
    GroupFlow<HostGroup<Size>, D, L>(group, job, arrays.replica(r, job.n, D, neighbours.data()),
                                     reinterpret_cast<char*>(arena.data()), layout)
        .run();
}

void close(const std::vector<double>& found, const std::vector<double>& expected) {
  double largest = 1.0;
  for (double x : expected) largest = std::max(largest, std::fabs(x));
  for (std::size_t i = 0; i < found.size(); ++i) REQUIRE(std::fabs(found[i] - expected[i]) <= 1e-12 * largest);
}

template <int Size, int D, int L>
void compare(std::int64_t n) {
  const Flow flow(D, n, L);
  Result cpu(flow), gpu(flow);
  const double h = 0.01;
  cpu::flow_field(flow.system, cpu.field(flow), flow.tables, 1, 1);
  emulate<Size, D, L>(flow, FlowArrays::make(gpu.field(flow)), 0, 0.0);
  close(gpu.velocity, cpu.velocity);
  close(gpu.divergence, cpu.divergence);
  CHECK(std::fabs(cpu.divergence[0]) > 0.1);
  cpu::flow_trajectory(flow.system, cpu.batch(flow), {flow.tables, flow.steps, h}, 1, 1);
  emulate<Size, D, L>(flow, FlowArrays::make(gpu.batch(flow)), flow.steps, h);
  close(gpu.log_jacobian, cpu.log_jacobian);
  for (std::size_t i = 0; i < gpu.positions.size(); ++i) {
    const double box = flow.system.box[i % D];
    REQUIRE(std::fabs(gpu.positions[i] + gpu.images[i] * box - cpu.positions[i] - cpu.images[i] * box) <= 1e-12 * box);
  }
  CHECK(cpu.positions != flow.positions);
}

}  // namespace

TEST_CASE("flows by a group of lanes agree with the CPU backend") {
  compare<16, 2, 0>(25);
  compare<16, 2, 1>(25);
  compare<16, 2, 2>(25);
  compare<8, 3, 0>(27);
  compare<8, 3, 1>(27);
  compare<8, 3, 2>(27);
  compare<32, 2, 2>(49);
}

TEST_CASE("a lost replica of a group has no Jacobian") {
  Flow flow(2, 16, 1);
  for (double bad : {1e300, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    flow.positions[3] = bad;
    Result result(flow);
    emulate<16, 2, 1>(flow, FlowArrays::make(result.batch(flow)), flow.steps, 0.01);
    CHECK(!std::isfinite(result.log_jacobian[0]));
    CHECK(std::isfinite(result.log_jacobian[1]));
  }
}
