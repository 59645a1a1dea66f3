// One name for atomic access to plain memory on both sides: std::atomic_ref under g++, cuda::atomic_ref (device scope)
// under nvcc. The helpers below are all relaxed: a schedule's verbs are separated by barriers (thread joins, kernel ends),
// so within one verb only the atomicity of each access matters.
#pragma once

#include <cstdint>

#include "core/hd.h"

#if defined(__CUDACC__)
#include <cuda/atomic>
namespace emfast {
template <class T>
using atomic_ref = ::cuda::atomic_ref<T, ::cuda::thread_scope_device>;
using ::cuda::memory_order_relaxed;
}  // namespace emfast
#else
#include <atomic>
namespace emfast {
template <class T>
using atomic_ref = std::atomic_ref<T>;
using std::memory_order_relaxed;
}  // namespace emfast
#endif

namespace emfast {

template <class T>
EMFAST_HD T atomic_load(const T& value) {
    return atomic_ref<T>(const_cast<T&>(value)).load(memory_order_relaxed);
}

template <class T>
EMFAST_HD void atomic_store(T& value, T desired) {
#if defined(__CUDA_ARCH__)
    if constexpr (sizeof(T) == 1) {  // a volatile store is relaxed; cuda::atomic_ref would exchange the word around it
        *static_cast<volatile T*>(&value) = desired;
        return;
    }
#endif
    atomic_ref<T>(value).store(desired, memory_order_relaxed);
}

template <class T>
EMFAST_HD T atomic_add(T& value, T amount) {
    return atomic_ref<T>(value).fetch_add(amount, memory_order_relaxed);
}

template <class T>
EMFAST_HD T atomic_or(T& value, T bits) {
    return atomic_ref<T>(value).fetch_or(bits, memory_order_relaxed);
}

// Lowers value to candidate if that is smaller; returns what was there before.
template <class T>
EMFAST_HD T atomic_min(T& value, T candidate) {
    atomic_ref<T> ref(value);
    T seen = ref.load(memory_order_relaxed);
    while (candidate < seen &&
           !ref.compare_exchange_weak(seen, candidate, memory_order_relaxed, memory_order_relaxed)) {
    }
    return seen;
}

template <class T>
EMFAST_HD T atomic_max(T& value, T candidate) {
    atomic_ref<T> ref(value);
    T seen = ref.load(memory_order_relaxed);
    while (seen < candidate &&
           !ref.compare_exchange_weak(seen, candidate, memory_order_relaxed, memory_order_relaxed)) {
    }
    return seen;
}

// Writes desired where expected stands; true if this call did it.
template <class T>
EMFAST_HD bool atomic_claim(T& value, T expected, T desired) {
    return atomic_ref<T>(value).compare_exchange_strong(expected, desired, memory_order_relaxed, memory_order_relaxed);
}

}  // namespace emfast
