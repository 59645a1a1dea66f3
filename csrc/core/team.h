// The threads of one call. They start with the first parallel region and end with the call, so nothing outlives it:
// fork is safe, calls from several Python threads do not meet, and no pool has to be torn down at exit.
//
// A region is run(n, grain, f): the range [0, n) is handed out in pieces of at most grain, in order, and each piece is
// f(begin, end, worker). The caller is worker 0. Between its pieces the caller asks poll() (at most every 50 ms) whether
// the user interrupted; then no further piece is handed out and Interrupted is thrown. An exception in any worker stops
// the region and is thrown again in the caller.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "core/check.h"

namespace emfast {

class Team {
  public:
    using Poll = std::function<bool()>;

    Team(int threads, Poll poll) : threads_(std::max(1, threads)), poll_(std::move(poll)) {}
    Team(const Team&) = delete;
    ~Team() {
        {
            std::lock_guard lock(mutex_);
            closing_ = true;
        }
        wake_.notify_all();
        for (auto& t : workers_) t.join();
    }

    int threads() const { return threads_; }

    template <class F>
    void run(int64_t n, int64_t grain, F&& f) {
        if (n <= 0) return;
        grain = std::max<int64_t>(1, grain);
        next_.store(0, std::memory_order_relaxed);
        stop_.store(false, std::memory_order_relaxed);
        const int64_t pieces = (n - 1) / grain + 1;
        auto work = [&](int worker) {
            for (;;) {
                if (stop_.load(std::memory_order_relaxed)) return;
                const int64_t begin = next_.fetch_add(1, std::memory_order_relaxed) * grain;
                if (begin >= n) return;
                f(begin, std::min(begin + grain, n), worker);
                if (worker == 0) check_interrupt();
            }
        };
        if (threads_ == 1 || pieces == 1) return work(0);
        region(work, static_cast<int>(std::min<int64_t>(threads_, pieces)));
    }

    // For pieces that take long: ends them by Interrupted once the user asked or another piece failed.
    void poll(bool is_caller) {
        if (stop_.load(std::memory_order_relaxed)) throw Interrupted();
        if (is_caller) check_interrupt();
    }

  private:
    void check_interrupt() {
        if (!poll_) return;
        const auto now = std::chrono::steady_clock::now();
        if (now < next_poll_) return;
        next_poll_ = now + std::chrono::milliseconds(50);
        if (poll_()) {
            stop_.store(true, std::memory_order_relaxed);
            throw Interrupted();
        }
    }

    void region(const std::function<void(int)>& work, int wanted) {
        while (static_cast<int>(workers_.size()) < threads_ - 1)
            workers_.emplace_back([this, id = static_cast<int>(workers_.size()) + 1] { serve(id); });
        error_ = nullptr;
        {
            std::lock_guard lock(mutex_);
            work_ = &work;
            wanted_ = wanted;
            busy_ = static_cast<int>(workers_.size());
            ++round_;
        }
        wake_.notify_all();
        attempt(work, 0);
        std::unique_lock lock(mutex_);
        while (!done_.wait_for(lock, std::chrono::milliseconds(50), [&] { return busy_ == 0; })) {
            lock.unlock();
            attempt([this](int) { check_interrupt(); }, 0);
            lock.lock();
        }
        work_ = nullptr;
        if (error_) std::rethrow_exception(error_);
    }

    void attempt(const std::function<void(int)>& work, int id) {
        try {
            work(id);
        } catch (...) {
            stop_.store(true, std::memory_order_relaxed);
            std::lock_guard lock(mutex_);
            if (!error_) error_ = std::current_exception();
        }
    }

    void serve(int id) {
        int64_t seen = 0;
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return closing_ || round_ != seen; });
            if (closing_) return;
            seen = round_;
            const auto* work = id < wanted_ ? work_ : nullptr;
            lock.unlock();
            if (work) attempt(*work, id);
            lock.lock();
            if (--busy_ == 0) done_.notify_one();
        }
    }

    const int threads_;
    Poll poll_;
    std::chrono::steady_clock::time_point next_poll_ = std::chrono::steady_clock::now();
    std::atomic<int64_t> next_{0};
    std::atomic<bool> stop_{false};

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> workers_;
    const std::function<void(int)>* work_ = nullptr;
    std::exception_ptr error_;
    int64_t round_ = 0;
    int wanted_ = 0, busy_ = 0;
    bool closing_ = false;
};

}  // namespace emfast
