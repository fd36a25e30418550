// Features for the training of flows: configurations are independent, threads share them out.
#include "threads.hpp"

namespace glassnf::cpu {

void flow_features(const SystemView& system, const FlowFeatures& job, int threads) {
  constexpr std::int64_t block = 16;
  parallel_for((job.replicas + block - 1) / block, threads, [&](std::int64_t b, Workspace& workspace) {
    for (std::int64_t r = b * block; r < (b + 1) * block && r < job.replicas; ++r)
      kernels().flow_features(system, job, r, workspace);
  });
}

}  // namespace glassnf::cpu
