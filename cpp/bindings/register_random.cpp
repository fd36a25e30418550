// The counter-based random numbers, for Python code that draws from a named stream, and for tests.
#include <array>

#include <pybind11/native_enum.h>

#include "glassnf/trial.hpp"
#include "native.hpp"

namespace glassnf::bindings {

void register_random(py::module_& module) {
  py::native_enum<Stream>(module, "Stream", "enum.IntEnum", "The named streams of random numbers.")
      .value("MONTE_CARLO_TRIAL", Stream::monte_carlo_trial)
      .value("RANDOM_START", Stream::random_start)
      .value("RANDOM_SPECIES", Stream::random_species)
      .value("VELOCITIES", Stream::velocities)
      .value("THERMOSTAT", Stream::thermostat)
      .value("REPLICA_EXCHANGE", Stream::replica_exchange)
      .value("RESAMPLING", Stream::resampling)
      .value("PROPOSAL", Stream::proposal)
      .value("STATISTICS", Stream::statistics)
      .value("CHECKERBOARD", Stream::checkerboard)
      .value("CHECKERBOARD_GRID", Stream::checkerboard_grid)
      .finalize();
  module.def(
      "philox",
      [](const std::array<std::uint32_t, 4>& c, std::uint64_t key) {
        const auto block = philox4x32_10<std::uint64_t>(c[0], c[1], c[2], c[3], PhiloxKeys<std::uint64_t>(key));
        return std::array<std::uint64_t, 4>{block.w0, block.w1, block.w2, block.w3};
      },
      py::arg("counter"), py::arg("key"), "One block of Philox4x32-10: four 32-bit words.");
  module.def(
      "uniform",
      [](std::uint64_t seed, Stream stream, std::uint64_t step, std::uint64_t id, std::int64_t count, std::uintptr_t out) {
        require(step < max_step, "step: expected less than 2^44");
        require(id < max_id, "id: expected less than 2^40");
        require(count >= 0 && count <= (std::int64_t(1) << 33), "count: expected 0 to 2^33");
        double* values = pointer<double>(out);
        py::gil_scoped_release release;
        const RandomKey key{seed, step, id, stream};
        const PhiloxKeys<std::uint64_t> keys(seed);
        for (std::int64_t i = 0; i < count; i += 2) {
          const auto block = random_block<std::uint64_t>(key, keys, static_cast<std::uint64_t>(i / 2), 0);
          values[i] = unit_interval<double>(block.w0, block.w1);
          if (i + 1 < count) values[i + 1] = unit_interval<double>(block.w2, block.w3);
        }
      },
      py::arg("seed"), py::arg("stream"), py::arg("step"), py::arg("id"), py::arg("count"), py::arg("out"),
      "Fill `out` with `count` uniform numbers in (0, 1] of 52 bits.");
  module.def(
      "trial",
      [](std::uint64_t seed, std::uint64_t step, std::uint64_t id, std::uint64_t move) {
        const auto t =
            draw_trial<double>(RandomKey{seed, step, id, Stream::monte_carlo_trial}, PhiloxKeys<std::uint64_t>(seed), move);
        return py::make_tuple(t.pick, t.kind, t.pair, t.second, std::array<double, 3>{t.step[0], t.step[1], t.step[2]},
                              t.threshold);
      },
      py::arg("seed"), py::arg("step"), py::arg("id"), py::arg("move"),
      "The random numbers of one Monte Carlo trial: (pick, kind, pair, second, step, threshold), see trial.hpp.");
}

}  // namespace glassnf::bindings
