// Fork-join over independent pieces of work. Threads are made per call (tens of microseconds), so nothing survives a fork().
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/kernels.hpp"

namespace glassnf::cpu {

// Calls work(index, workspace) for index in [0, count), each exactly once, on up to `threads` threads. The first exception is
// rethrown after all threads have ended.
template <class Work>
void parallel_for(std::int64_t count, int threads, Work&& work) {
  if (threads > count) threads = static_cast<int>(count);
  std::atomic<std::int64_t> next{0};
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto loop = [&] {
    try {
      WorkspaceOwner owner;
      for (std::int64_t i; (i = next.fetch_add(1)) < count;) work(i, *owner.workspace);
    } catch (...) {
      next.store(count);
      const std::lock_guard<std::mutex> lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) {
    try {
      others.emplace_back(loop);
    } catch (const std::system_error&) {
      break;  // no more threads to be had: the ones there are do the work
    }
  }
  loop();
  for (std::thread& thread : others) thread.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace glassnf::cpu
