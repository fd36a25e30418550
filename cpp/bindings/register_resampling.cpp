// Weights, systematic resampling and copies of replicas, for population annealing.
#include <cmath>

#include "glassnf/resampling.hpp"
#include "native.hpp"

namespace glassnf::bindings {

namespace {

void check_population(std::int64_t replicas) {
  require(replicas >= 1 && replicas <= max_population,
          "replicas: expected 1 to " + std::to_string(max_population) + ", got " + std::to_string(replicas));
}

std::vector<ReplicaArray> replica_arrays(const std::vector<std::pair<std::uintptr_t, std::int64_t>>& arrays) {
  std::vector<ReplicaArray> result;
  for (const auto& [address, bytes] : arrays) {
    require(address && bytes > 0, "arrays: expected addresses of arrays and bytes per replica");
    result.push_back({pointer<void>(address), bytes});
  }
  return result;
}

}  // namespace

void register_resampling(py::module_& module) {
  module.def(
      "reweight",
      [](std::int64_t replicas, std::uintptr_t energy, double beta_step, double extreme, std::uintptr_t weights) {
        check_population(replicas);
        require(energy && weights, "expected addresses of arrays");
        require(std::isfinite(beta_step) && std::isfinite(extreme), "beta_step, extreme: expected finite numbers");
        WeightSummary sums;
        {
          py::gil_scoped_release release;
          sums = cpu::reweight({replicas, pointer<const double>(energy)}, beta_step, extreme, pointer<std::uint64_t>(weights));
        }
        return py::make_tuple(sums.total, sums.log_mean, sums.culled, sums.ess);
      },
      py::kw_only(), py::arg("replicas"), py::arg("energy"), py::arg("beta_step"), py::arg("extreme"), py::arg("weights"),
      "Write the integer weights of a change of beta and return (their sum, the log of their mean relative to the largest, the "
      "expected fraction of culled replicas, the effective sample size as a fraction).");
  module.def(
      "resample",
      [](std::int64_t replicas, std::uintptr_t weights, std::uint64_t seed, std::uint64_t step, std::uintptr_t parents) {
        check_population(replicas);
        require(weights && parents, "expected addresses of arrays");
        require(step < max_step, "step: expected less than 2^44");
        const std::uint64_t* w = pointer<const std::uint64_t>(weights);
        const WeightGrid grid(replicas);
        std::uint64_t total = 0;
        for (std::int64_t r = 0; r < replicas; ++r) {
          require(w[r] <= std::uint64_t(1) << grid.bits, "weights: expected integers up to 2^" + std::to_string(grid.bits));
          total += w[r];
        }
        require(total > 0, "weights: expected a positive sum");
        py::gil_scoped_release release;
        cpu::resample(replicas, w, seed, step, pointer<std::int64_t>(parents));
      },
      py::kw_only(), py::arg("replicas"), py::arg("weights"), py::arg("seed"), py::arg("step"), py::arg("parents"),
      "Systematic resampling: write the parent of every slot; replicas with children stay in their slots.");
  module.def(
      "gather_replicas",
      [](std::int64_t replicas, std::uintptr_t parents, const std::vector<std::pair<std::uintptr_t, std::int64_t>>& arrays,
         int threads) {
        check_population(replicas);
        require(parents != 0, "parents: expected the address of an array");
        checked_threads(threads);
        const std::vector<ReplicaArray> views = replica_arrays(arrays);
        py::gil_scoped_release release;
        cpu::gather(replicas, pointer<const std::int64_t>(parents), views.data(), static_cast<int>(views.size()), threads);
      },
      py::kw_only(), py::arg("replicas"), py::arg("parents"), py::arg("arrays"), py::arg("threads") = 1,
      "Copy, in place, every replica from the slot of its parent; `arrays` are pairs of address and bytes per replica.");
}

}  // namespace glassnf::bindings
