// The CUDA executor (_cuda): every verb is queued on the caller's stream; only scan, reduce, compact, reduce_by_key (their
// counts) and fetch wait for it, and they wait for the stream alone, never for the device. While waiting they poll for
// Ctrl-C. Scan and sort are CUB's, compiled once in device_cuda.cu; reduce, compact and the like are in tiled_verbs.h.
//
// Bindings are compiled by the host compiler and see the class and the verbs that only move memory (copy, fetch, store of a
// table); the others are there for nvcc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/hd.h"
#include "core/memory.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
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

class Executor;

namespace gpu {
int device_count(std::string& reason);  // 0 and a reason where no device can be used
std::string describe();  // toolkit, driver and devices, one a line
void wait(Stream stream, const std::function<bool()>& poll);
void check(int error, const char* what);
void copy(const void* from, void* to, int64_t bytes, Stream stream);  // within the device, queued
void fetch(const void* from, void* to, int64_t bytes, Stream stream, const std::function<bool()>& poll);
void store(const void* from, void* to, int64_t bytes, Stream stream, const std::function<bool()>& poll);
// The arrays have elements of that many bytes, 4 or 8.
void scan(const void* in, void* out, void* total, int64_t n, int bytes, Executor& ex);
void sort_pairs(void* keys, int key_bytes, void* values, int value_bytes, int64_t n, Executor& ex);
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

template <class T>
struct Fill {
    T* p;
    T value;
    EMFAST_HD void operator()(int64_t i) const { p[i] = value; }
};

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
}  // namespace emfast

#include "core/tiled_verbs.h"

namespace emfast {

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

    template <class T>
    T scan(const T* in, T* out, int64_t n) {
        static_assert(sizeof(T) == 4 || sizeof(T) == 8);
        T total = 0;
        if (n > 0) gpu::scan(in, out, &total, n, int(sizeof(T)), *this);
        return total;
    }

    template <class Key, class Value>
    void sort_pairs(Key* keys, Value* values, int64_t n) {
        static_assert(std::is_unsigned_v<Key> && (sizeof(Key) == 4 || sizeof(Key) == 8));
        static_assert(sizeof(Value) == 4 || sizeof(Value) == 8);
        if (n > 1) gpu::sort_pairs(keys, int(sizeof(Key)), values, int(sizeof(Value)), n, *this);
    }

    template <class T, class Value, class Op>
    T reduce(int64_t n, T first, const Value& value, const Op& op) {
        return tiled::reduce(*this, n, first, value, op);
    }

    template <class Holds, class Out>
    int64_t compact(int64_t n, const Holds& holds, Out* out) {
        return tiled::select(*this, n, holds, [out](int64_t) { return out; });
    }

    template <class Out, class Holds>
    Scratch<Out> select(int64_t n, const Holds& holds) {
        Scratch<Out> out;
        tiled::select(*this, n, holds, [&](int64_t count) {
            out = scratch<Out>(count);
            return out.data();
        });
        return out;
    }

    template <class Key, class Value, class Op>
    int64_t reduce_by_key(const Key* keys, const Value* values, int64_t n, Key* keys_out, Value* values_out,
                          const Op& op) {
        return tiled::reduce_by_key(*this, keys, values, n, keys_out, values_out, op);
    }

    template <class T>
    void fill(T* p, int64_t n, T value) {
        for_each(n, gpu::Fill<T>{p, value});
    }

    template <class T>
    void store(T* p, T value) {
        fill(p, 1, value);
    }

#endif

  private:
    Poll poll_;
    Allocator* memory_;
    Stream stream_;
};

}  // namespace emfast
