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

// Defines a function of the arguments that both backends take and of Extra arguments of its own, which
// run(replicas, parents, arrays, extra...) gets.
template <class... Extra, class Run, class... Names>
void define_gather(py::module_& module, const char* name, const char* doc, Run run, const Names&... names) {
  module.def(
      name,
      [run](std::int64_t replicas, std::uintptr_t parents, const std::vector<std::pair<std::uintptr_t, std::int64_t>>& arrays,
            Extra... extra) {
        check_population(replicas);
        require(parents != 0, "parents: expected the address of an array");
        const auto* of = pointer<const std::int64_t>(parents);
        for (std::int64_t r = 0; r < replicas; ++r)
          require(0 <= of[r] && of[r] < replicas && of[of[r]] == of[r], "parents: expected slots that are their own parents");
        run(replicas, of, replica_arrays(arrays), extra...);
      },
      py::kw_only(), py::arg("replicas"), py::arg("parents"), py::arg("arrays"), names..., doc);
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
  define_gather<int>(
      module, "gather_replicas",
      "Copy, in place, every replica from the slot of its parent; `arrays` are pairs of address and bytes per replica.",
      [](std::int64_t replicas, const std::int64_t* parents, const std::vector<ReplicaArray>& arrays, int threads) {
        checked_threads(threads);
        py::gil_scoped_release release;
        cpu::gather(replicas, parents, arrays.data(), static_cast<int>(arrays.size()), threads);
      },
      py::arg("threads") = 1);
  define_gather<int, std::uintptr_t>(
      module, "cuda_gather_replicas",
      "The same for arrays on a CUDA device, on a stream; parents are in host memory, and parents of themselves.",
      [](std::int64_t replicas, const std::int64_t* parents, const std::vector<ReplicaArray>& arrays, int device,
         std::uintptr_t stream) {
        py::gil_scoped_release release;
        cuda::gather(replicas, parents, arrays.data(), static_cast<int>(arrays.size()), {device, pointer<void>(stream), false});
      },
      py::arg("device"), py::arg("stream"));
}

}  // namespace glassnf::bindings
