#include "core/threads.h"

#include "core/thread_limit.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif

namespace emfast {
namespace {

std::atomic<int> chosen{0};
thread_local int limit = 0;  // of this thread; 0 is none

int affinity() {
#if defined(__linux__)
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return static_cast<int>(std::thread::hardware_concurrency());
}

// The cgroup's quota in processors, rounded up; a large number where there is none.
int quota() {
    std::ifstream v2("/sys/fs/cgroup/cpu.max");
    std::string limit;
    double period = 0;
    if (v2 >> limit >> period && limit != "max" && period > 0)
        return std::max(1, static_cast<int>(std::ceil(std::strtod(limit.c_str(), nullptr) / period)));
    std::ifstream v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    double micros = 0;
    if (v1 >> micros && v1_period >> period && micros > 0 && period > 0)
        return std::max(1, static_cast<int>(std::ceil(micros / period)));
    return 1 << 20;
}

int for_all() {
    const int n = chosen.load(std::memory_order_relaxed);
    if (n > 0) return n;
    if (const char* text = std::getenv("EMFAST_THREADS")) {
        const int wanted = std::atoi(text);
        if (wanted > 0) return wanted;
    }
    return available_processors();
}

}  // namespace

int available_processors() { return std::max(1, std::min(affinity(), quota())); }

int get_threads() {
    const int n = for_all();
    return limit > 0 ? std::min(limit, n) : n;
}

int limit_threads(int n) { return std::exchange(limit, n); }

void set_threads(int n) { chosen.store(n, std::memory_order_relaxed); }

}  // namespace emfast
