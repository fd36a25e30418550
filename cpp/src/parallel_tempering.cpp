// Parallel tempering on the CPU. Between two exchanges a replica of N = 43 needs some ten microseconds, as much as it costs to make a
// thread or to set up a replica; so the engines of all replicas stay open for the whole call, and so do the threads. Ladders do not
// know of each other: where there are enough of them each thread takes whole ladders. Otherwise the threads share the replicas, each
// always the same ones, and wait for each other at every exchange.
#include <barrier>
#include <memory>

#include "glassnf/exchange.hpp"
#include "threads.hpp"

namespace glassnf::cpu {

namespace {

LadderView view_of(const TemperingBatch& b) { return {b.ladders, b.rungs, b.beta, b.move_size, b.energy, b.ids, b.order}; }
ExchangeCounts counts_of(const TemperingCounts& c) { return {c.attempts, c.accepts, c.visits, c.trips, c.from_hot, c.from_cold}; }

// The velocities of a replica that has just changed its temperature.
void scale_velocities(const TemperingBatch& batch, std::int64_t replica, double old_beta) {
  const double factor = velocity_factor(old_beta, batch.beta[replica]);
  double* v = batch.velocities + replica * batch.components;
  for (std::int64_t k = 0; k < batch.components; ++k) v[k] *= factor;
}

// One round in one ladder; changed(replica) is called for those that have another temperature now.
template <class Changed>
void exchange_ladder(const TemperingBatch& batch, const TemperingRound& round, const TemperingCounts& tempering,
                     std::int64_t ladder, Changed&& changed) {
  const LadderView view = view_of(batch);
  const ExchangeCounts counts = counts_of(tempering);
  for (std::int64_t pair = exchange_parity(round.step, round.interval); pair + 1 < view.rungs; pair += 2) {
    if (!exchange_pair(view, counts, round.seed, round.step, ladder, pair)) continue;
    const std::int64_t first = ladder * view.rungs;
    const std::int64_t a = first + view.order[first + pair], b = first + view.order[first + pair + 1];
    if (batch.velocities) {
      scale_velocities(batch, a, view.beta[b]);
      scale_velocities(batch, b, view.beta[a]);
    }
    changed(a);
    changed(b);
  }
  follow_replicas(view, counts, ladder);
}

// The state of one call.
class Tempering {
  struct Replica {
    Workspace* memory = nullptr;  // of the engine, from open() to close()
    MonteCarloEngine* engine = nullptr;
    bool reopen = false;
  };

  const SystemView& system_;
  const MonteCarloBatch& batch_;
  const MonteCarloPlan& plan_;
  const MonteCarloOutput& output_;
  const TemperingBatch& ladders_;
  const TemperingCounts& counts_;
  const TemperingOutput& tempering_;
  const std::uint64_t interval_;
  const KernelTable& table_;
  std::unique_ptr<Replica[]> replicas_;

 public:
  Tempering(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan, const MonteCarloOutput& output,
            const TemperingBatch& ladders, std::uint64_t interval, const TemperingCounts& counts, const TemperingOutput& tempering)
      : system_(system),
        batch_(batch),
        plan_(plan),
        output_(output),
        ladders_(ladders),
        counts_(counts),
        tempering_(tempering),
        interval_(interval),
        table_(kernels()),
        replicas_(new Replica[static_cast<std::size_t>(batch.replicas)]) {}

  void open(std::int64_t replica, Workspace& memory) {
    Replica& r = replicas_[static_cast<std::size_t>(replica)];
    r.memory = &memory;
    r.engine = table_.open_monte_carlo(system_, batch_, plan_, output_, replica, memory);
    r.reopen = false;
  }

  void close(std::int64_t replica) {
    Replica& r = replicas_[static_cast<std::size_t>(replica)];
    r.engine->write_back();
    r.engine->count(output_, replica);
  }

  void advance(std::int64_t replica, std::int64_t done, std::int64_t sweeps, Workspace& scratch) {
    Replica& r = replicas_[static_cast<std::size_t>(replica)];
    if (r.reopen) {
      close(replica);
      open(replica, *r.memory);
    }
    r.engine->advance(plan_.step + static_cast<std::uint64_t>(done), sweeps, scratch);
    batch_.energy[replica] = r.engine->energy();
  }

  // The sweep, counted from the start of the call, after `done` at which replicas of a ladder next meet.
  std::int64_t next_stop(std::int64_t done, std::int64_t record) const {
    const std::uint64_t step = plan_.step + static_cast<std::uint64_t>(done);
    std::int64_t stop = done + static_cast<std::int64_t>(interval_ - step % interval_);
    if (record < plan_.records && plan_.record_at[record] < stop) stop = plan_.record_at[record];
    return stop < plan_.sweeps ? stop : plan_.sweeps;
  }

  bool records_at(std::int64_t done, std::int64_t record) const {
    return record < plan_.records && plan_.record_at[record] == done;
  }

  // What happens to a ladder when its replicas meet.
  void meet(std::int64_t ladder, std::int64_t done, std::int64_t record) {
    const std::uint64_t step = plan_.step + static_cast<std::uint64_t>(done);
    if (step % interval_ == 0)
      exchange_ladder(ladders_, {plan_.seed, step, interval_}, counts_, ladder, [&](std::int64_t replica) {
        Replica& r = replicas_[static_cast<std::size_t>(replica)];
        if (!r.engine->set_temperature(ladders_.beta[replica], ladders_.move_size[replica])) r.reopen = true;
      });
    if (records_at(done, record)) record_ladder(ladder, record);
  }

 private:
  void record_ladder(std::int64_t ladder, std::int64_t index) {
    const std::int64_t rungs = ladders_.rungs;
    for (std::int64_t replica = ladder * rungs; replica < (ladder + 1) * rungs; ++replica) {
      output_.energy[index * batch_.replicas + replica] = batch_.energy[replica];
      tempering_.order[index * batch_.replicas + replica] = ladders_.order[replica];
      if (output_.positions || output_.species) replicas_[static_cast<std::size_t>(replica)].engine->write_back();
      record_configuration(system_, batch_, output_, replica, index);
    }
  }
};

// Workspaces for the replicas of one thread. Fresh memory costs as much as some sweeps, so that ladders use it one after the other.
class Memory {
  std::unique_ptr<WorkspaceOwner[]> owners_;

 public:
  explicit Memory(std::int64_t replicas) : owners_(new WorkspaceOwner[static_cast<std::size_t>(replicas)]) {}
  Workspace& operator[](std::int64_t place) { return *owners_[static_cast<std::size_t>(place)].workspace; }
};

void one_ladder(Tempering& tempering, const MonteCarloPlan& plan, std::int64_t rungs, std::int64_t ladder, Memory& memory,
                Workspace& scratch) {
  const std::int64_t first = ladder * rungs, last = first + rungs;
  for (std::int64_t r = first; r < last; ++r) tempering.open(r, memory[r - first]);
  bool upwards = true;  // to and fro: what was in use last may still be in the caches
  for (std::int64_t done = 0, record = 0; done < plan.sweeps; upwards = !upwards) {
    const std::int64_t stop = tempering.next_stop(done, record);
    for (std::int64_t k = 0; k < rungs; ++k) tempering.advance(upwards ? first + k : last - 1 - k, done, stop - done, scratch);
    done = stop;
    tempering.meet(ladder, done, record);
    record += tempering.records_at(done, record);
  }
  for (std::int64_t r = first; r < last; ++r) tempering.close(r);
}

// Threads that share all replicas, in step. An exception of one of them ends all at the next meeting, and is thrown by run().
class Team {
  Tempering& tempering_;
  const MonteCarloPlan& plan_;
  const std::int64_t ladders_, rungs_;
  std::int64_t done_ = 0, record_ = 0;
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  std::mutex mutex_;

  template <class Work>
  void guarded(Work&& work) noexcept {
    try {
      work();
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
      failed_.store(true);
    }
  }

  void meet() noexcept {
    guarded([&] {
      if (failed_.load()) return;
      done_ = tempering_.next_stop(done_, record_);
      for (std::int64_t ladder = 0; ladder < ladders_; ++ladder) tempering_.meet(ladder, done_, record_);
      record_ += tempering_.records_at(done_, record_);
    });
  }

  template <class Barrier>
  void member(int number, int size, Barrier& barrier) noexcept {
    const std::int64_t replicas = ladders_ * rungs_;
    const auto for_mine = [&](auto&& work) {
      guarded([&] {
        for (std::int64_t r = number; r < replicas; r += size) work(r);
      });
    };
    std::unique_ptr<Memory> memory;  // the last one is scratch
    guarded([&] { memory = std::make_unique<Memory>(replicas / size + 2); });
    if (memory) for_mine([&](std::int64_t r) { tempering_.open(r, (*memory)[r / size]); });
    // done_ changes only while all wait, so that all leave the loop together.
    while (done_ < plan_.sweeps) {
      if (!failed_.load()) {
        const std::int64_t stop = tempering_.next_stop(done_, record_);
        for_mine([&](std::int64_t r) { tempering_.advance(r, done_, stop - done_, (*memory)[replicas / size + 1]); });
      }
      barrier.arrive_and_wait();
      if (stopped_) return;
    }
    for_mine([&](std::int64_t r) { tempering_.close(r); });
  }

  bool stopped_ = false;  // failed_ as all saw it at the last meeting

 public:
  Team(Tempering& tempering, const MonteCarloPlan& plan, std::int64_t ladders, std::int64_t rungs)
      : tempering_(tempering), plan_(plan), ladders_(ladders), rungs_(rungs) {}

  void run(int threads) {
    std::atomic<int> size{0};
    const auto completion = [this]() noexcept {
      meet();
      stopped_ = failed_.load();
    };
    using Barrier = std::barrier<decltype(completion)>;
    std::unique_ptr<Barrier> barrier;
    std::vector<std::thread> others;
    for (int number = 1; number < threads; ++number) {
      try {
        others.emplace_back([this, number, &size, &barrier] {
          size.wait(0);
          if (barrier) member(number, size.load(), *barrier);
        });
      } catch (const std::system_error&) {
        break;  // no more threads to be had: the ones there are do the work
      }
    }
    const int members = static_cast<int>(others.size()) + 1;
    guarded([&] { barrier = std::make_unique<Barrier>(members, completion); });
    size.store(members);
    size.notify_all();
    if (barrier) member(0, members, *barrier);
    for (std::thread& thread : others) thread.join();
    if (error_) std::rethrow_exception(error_);
  }
};

}  // namespace

void exchange(const TemperingBatch& batch, const TemperingRound& round, const TemperingCounts& counts) {
  for (std::int64_t ladder = 0; ladder < batch.ladders; ++ladder)
    exchange_ladder(batch, round, counts, ladder, [](std::int64_t) {});
}

void parallel_tempering(const SystemView& system, const MonteCarloBatch& batch, const MonteCarloPlan& plan,
                        const MonteCarloOutput& output, const TemperingBatch& ladders, std::uint64_t interval,
                        const TemperingCounts& counts, const TemperingOutput& output_of_ladders, int threads) {
  Tempering tempering(system, batch, plan, output, ladders, interval, counts, output_of_ladders);
  if (threads > batch.replicas) threads = static_cast<int>(batch.replicas);
  if (threads <= ladders.ladders) {
    std::atomic<std::int64_t> next{0};
    parallel_for(threads, threads, [&](std::int64_t, Workspace& scratch) {
      Memory memory(ladders.rungs);
      for (std::int64_t ladder; (ladder = next.fetch_add(1)) < ladders.ladders;)
        one_ladder(tempering, plan, ladders.rungs, ladder, memory, scratch);
    });
  } else {
    Team(tempering, plan, ladders.ladders, ladders.rungs).run(threads);
  }
}

}  // namespace glassnf::cpu
