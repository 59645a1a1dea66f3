// The CUDA executor (_cuda): every verb is queued on the caller's stream; only scan, reduce, compact, reduce_by_key (their
// counts) and fetch wait for it, and they wait for the stream alone, never for the device. While waiting they poll for
// Ctrl-C. The device's own verbs (scan, sort, select) are CUB's.
//
// Bindings are compiled by the host compiler and see the class and the verbs that only move memory (copy, fetch, store of a
// table); the others are there for nvcc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/hd.h"
#include "core/memory.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>

#include <cub/cub.cuh>
#include <cuda/std/functional>
#endif

namespace emfast {

inline constexpr bool scrambled = false;

using Stream = void*;  // cudaStream_t, spelled so that the host compiler needs no CUDA header

// Stream-ordered allocation for arrays of libraries that lend no allocator of their own.
class StreamMemory final : public Allocator {
  public:
    explicit StreamMemory(Stream stream) : stream_(stream) {}
    void* allocate(int64_t bytes) override;
    void release(void* data, int64_t bytes) noexcept override;

  private:
    Stream stream_;
};

namespace gpu {
int device_count(std::string& reason);  // 0 and a reason where no device can be used
std::string describe();  // toolkit, driver and devices, one a line
void wait(Stream stream, const std::function<bool()>& poll);
void check(int error, const char* what);
void copy(const void* from, void* to, int64_t bytes, Stream stream);  // within the device, queued
void fetch(const void* from, void* to, int64_t bytes, Stream stream, const std::function<bool()>& poll);
void store(const void* from, void* to, int64_t bytes, Stream stream, const std::function<bool()>& poll);
}  // namespace gpu

// Makes a device current for the calling thread, and the former one again at the end.
class DeviceGuard {
  public:
    explicit DeviceGuard(int device);
    ~DeviceGuard();
    DeviceGuard(const DeviceGuard&) = delete;

  private:
    int before_ = -1;
};

#if defined(__CUDACC__)

namespace gpu {

template <class Body>
__global__ void each_kernel(int64_t n, Body body) {
    const int64_t step = int64_t(gridDim.x) * blockDim.x;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) body(i);
}

template <class Kernel>
__global__ void tile_kernel(int64_t n, Kernel kernel);

}  // namespace gpu

// One block of a tiled kernel: see exec_host.h for the host's.
class Tile {
  public:
    __device__ Tile(int64_t index, char* memory) : index(index), shared(memory) {}

    template <class F>
    EMFAST_HD void each(int64_t n, F f) const {
#if defined(__CUDA_ARCH__)
        for (int64_t k = threadIdx.x; k < n; k += blockDim.x) f(k);
        __syncthreads();
#endif
    }

    const int64_t index;
    char* const shared;
};

namespace gpu {

template <class Kernel>
__global__ void tile_kernel(int64_t n, Kernel kernel) {
    extern __shared__ __align__(64) char shared_memory[];
    for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
        kernel(Tile(i, shared_memory));
        __syncthreads();
    }
}

}  // namespace gpu

#else
class Tile;
#endif

class Executor {
  public:
    using Poll = std::function<bool()>;

    Executor(Poll poll, Allocator& memory, Stream stream) : poll_(std::move(poll)), memory_(&memory), stream_(stream) {}

    template <class T>
    Scratch<T> scratch(int64_t n) {
        return Scratch<T>(*memory_, n);
    }

    template <class T>
    void copy(const T* from, T* to, int64_t n) {
        gpu::copy(from, to, n * int64_t(sizeof(T)), stream_);
    }

    template <class T>
    T fetch(const T* p) {
        T value;
        gpu::fetch(p, &value, sizeof value, stream_, poll_);
        return value;
    }

    template <class T>
    std::vector<T> fetch(const T* p, int64_t n) {
        std::vector<T> values(static_cast<size_t>(n));
        gpu::fetch(p, values.data(), n * int64_t(sizeof(T)), stream_, poll_);
        return values;
    }

    template <class T>
    void store(T* p, const std::vector<T>& values) {
        gpu::store(values.data(), p, int64_t(values.size() * sizeof(T)), stream_, poll_);
    }

#if defined(__CUDACC__)
    cudaStream_t stream() const { return static_cast<cudaStream_t>(stream_); }

    template <class Body>
    void for_each(int64_t n, const Body& body) {
        if (n <= 0) return;
        constexpr int block = 256;
        const int64_t blocks = std::min<int64_t>((n - 1) / block + 1, int64_t(1) << 20);
        gpu::each_kernel<<<static_cast<unsigned>(blocks), block, 0, stream()>>>(n, body);
        gpu::check(cudaGetLastError(), "for_each");
    }

    template <class Kernel>
    void tiles(int64_t n, int threads, int64_t shared, const Kernel& kernel) {
        if (n <= 0) return;
        if (shared > 48 * 1024)
            gpu::check(cudaFuncSetAttribute(gpu::tile_kernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            static_cast<int>(shared)),
                       "tiles: shared memory");
        const int64_t blocks = std::min<int64_t>(n, int64_t(1) << 30);
        gpu::tile_kernel<<<static_cast<unsigned>(blocks), threads, static_cast<size_t>(shared), stream()>>>(n, kernel);
        gpu::check(cudaGetLastError(), "tiles");
    }

    template <class In, class Out>
    Out scan(const In* in, Out* out, int64_t n) {
        if (n <= 0) return 0;
        auto total = scratch<Out>(1);
        Out* sum = total.data();
        for_each(1, [=] __device__(int64_t) { *sum = static_cast<Out>(in[n - 1]); });
        with_room("scan", [&](void* room, size_t& bytes) {
            return cub::DeviceScan::ExclusiveScan(room, bytes, in, out, ::cuda::std::plus<>{}, Out(0), n, stream());
        });
        for_each(1, [=] __device__(int64_t) { *sum += out[n - 1]; });
        return fetch(sum);
    }

    template <class T, class Value, class Op>
    T reduce(int64_t n, T first, const Value& value, const Op& op) {
        if (n <= 0) return first;
        auto result = scratch<T>(1);
        auto in = thrust::make_transform_iterator(thrust::counting_iterator<int64_t>(0), value);
        with_room("reduce", [&](void* room, size_t& bytes) {
            return cub::DeviceReduce::Reduce(room, bytes, in, result.data(), n, op, first, stream());
        });
        return fetch(result.data());
    }

    template <class Key, class Value>
    void sort_pairs(Key* keys, Value* values, int64_t n) {
        if (n <= 1) return;
        auto other_keys = scratch<Key>(n);
        auto other_values = scratch<Value>(n);
        cub::DoubleBuffer<Key> k(keys, other_keys.data());
        cub::DoubleBuffer<Value> v(values, other_values.data());
        with_room("sort_pairs", [&](void* room, size_t& bytes) {
            return cub::DeviceRadixSort::SortPairs(room, bytes, k, v, n, 0, int(sizeof(Key)) * 8, stream());
        });
        if (k.Current() != keys) copy(k.Current(), keys, n);
        if (v.Current() != values) copy(v.Current(), values, n);
    }

    template <class Key, class Value, class Op>
    int64_t reduce_by_key(const Key* keys, const Value* values, int64_t n, Key* keys_out, Value* values_out,
                          const Op& op) {
        if (n <= 0) return 0;
        auto count = scratch<int64_t>(1);
        with_room("reduce_by_key", [&](void* room, size_t& bytes) {
            return cub::DeviceReduce::ReduceByKey(room, bytes, keys, keys_out, values, values_out, count.data(), op, n,
                                                  stream());
        });
        return fetch(count.data());
    }

    template <class Holds, class Out>
    int64_t compact(int64_t n, const Holds& holds, Out* out) {
        if (n <= 0) return 0;
        auto count = scratch<int64_t>(1);
        with_room("compact", [&](void* room, size_t& bytes) {
            return cub::DeviceSelect::If(room, bytes, thrust::counting_iterator<int64_t>(0), out, count.data(), n,
                                         holds, stream());
        });
        return fetch(count.data());
    }

    template <class T>
    void fill(T* p, int64_t n, T value) {
        for_each(n, [=] __device__(int64_t i) { p[i] = value; });
    }

    template <class T>
    void store(T* p, T value) {
        for_each(1, [=] __device__(int64_t) { *p = value; });
    }

  private:
    // CUB's two-step calls: ask how much room, take it, run.
    template <class Call>
    void with_room(const char* what, const Call& call) {
        size_t bytes = 0;
        gpu::check(call(nullptr, bytes), what);
        auto room = scratch<char>(static_cast<int64_t>(bytes) + 1);
        gpu::check(call(room.data(), bytes), what);
    }
#endif

  private:
    Poll poll_;
    Allocator* memory_;
    Stream stream_;
};

}  // namespace emfast
