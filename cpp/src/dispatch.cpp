// Choice of instruction set at run time, and scratch memory of the kernels.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "glassnf/cells.hpp"
#include "kernels/kernels.hpp"

namespace glassnf::cpu {

namespace {

const KernelTable* find(const char* name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
#if defined(GLASSNF_HAS_AVX512)
  if (!std::strcmp(name, "avx512"))
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma")
               ? kernels_avx512()
               : nullptr;
#endif
#if defined(GLASSNF_HAS_AVX2)
  if (!std::strcmp(name, "avx2")) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? kernels_avx2() : nullptr;
#endif
  return std::strcmp(name, "baseline") ? nullptr : kernels_baseline();
}

const KernelTable* best() {
  for (const char* name : {"avx512", "avx2"})
    if (const KernelTable* table = find(name)) return table;
  return kernels_baseline();
}

std::atomic<const KernelTable*>& current() {
  static std::atomic<const KernelTable*> table{best()};
  return table;
}

}  // namespace

const KernelTable& kernels() { return *current().load(std::memory_order_relaxed); }
const char* instruction_set() { return kernels().name; }
bool has_instruction_set(const char* name) { return find(name) != nullptr; }
bool use_instruction_set(const char* name) {
  const KernelTable* table = find(name);
  if (table) current().store(table, std::memory_order_relaxed);
  return table != nullptr;
}

bool uses_cells(const SystemView& system) {
  if (system.dimension == 2) {
    CellGrid<2> grid;
    return make_grid<2>(system.box, system.cutoff, 1.0 + static_cast<double>(system.n), grid) && grid.cells() > 9;
  }
  CellGrid<3> grid;
  return make_grid<3>(system.box, system.cutoff, 1.0 + static_cast<double>(system.n), grid) && grid.cells() > 27;
}

struct Workspace {
  static constexpr int slots = 17;
  void* memory[slots] = {};
  std::int64_t bytes[slots] = {};
};

void* reserve(Workspace& workspace, int slot, std::int64_t bytes) {
  if (bytes > workspace.bytes[slot]) {
    std::free(workspace.memory[slot]);
    workspace.memory[slot] = nullptr;
    workspace.bytes[slot] = 0;
    // Large arrays are read at random places: huge pages spare most of the address translation.
    constexpr std::size_t huge = std::size_t(1) << 21;
    const std::size_t alignment = static_cast<std::size_t>(bytes) >= huge ? huge : 64;
    const std::size_t rounded = (static_cast<std::size_t>(bytes) + alignment - 1) / alignment * alignment;
    workspace.memory[slot] = std::aligned_alloc(alignment, rounded);
    if (!workspace.memory[slot]) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    if (alignment == huge) madvise(workspace.memory[slot], rounded, MADV_HUGEPAGE);
#endif
    workspace.bytes[slot] = static_cast<std::int64_t>(rounded);
  }
  return workspace.memory[slot];
}

WorkspaceOwner::WorkspaceOwner() : workspace(new Workspace) {}
WorkspaceOwner::~WorkspaceOwner() {
  for (void* memory : workspace->memory) std::free(memory);
  delete workspace;
}

}  // namespace glassnf::cpu
