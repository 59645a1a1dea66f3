#include <chrono>
#include <stdexcept>
#include <thread>

#include <cub/cub.cuh>
#include <cuda/std/functional>

#include "core/exec_cuda.h"

namespace emfast {

namespace gpu {

void check(int error, const char* what) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // told once: the next launch must not find it again
    if (error == cudaErrorMemoryAllocation) throw std::bad_alloc();
    const auto code = static_cast<cudaError_t>(error);
    throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorName(code) + ": " +
                             cudaGetErrorString(code));
}

int device_count(std::string& reason) {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
        cudaGetLastError();
        reason = std::string("no CUDA device: ") + cudaGetErrorString(error);
        return 0;
    }
    if (count == 0) reason = "no CUDA device: the driver lists none";
    return count;
}

std::string describe() {
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess) cudaGetLastError();
    auto version = [](int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); };
    std::string text = "toolkit " + version(CUDART_VERSION) + "\ndriver " + (driver ? version(driver) : "none") + "\n";
    std::string reason;
    const int count = device_count(reason);
    for (int i = 0; i < count; ++i) {
        cudaDeviceProp p;
        if (cudaGetDeviceProperties(&p, i) != cudaSuccess) {
            cudaGetLastError();
            continue;
        }
        text += "device " + std::to_string(i) + " " + p.name + " sm_" + std::to_string(p.major) +
                std::to_string(p.minor) + " " + std::to_string(p.totalGlobalMem >> 20) + " MiB\n";
    }
    if (count == 0) text += reason + "\n";
    return text;
}

void wait(Stream stream, const std::function<bool()>& poll) {
    const auto s = static_cast<cudaStream_t>(stream);
    const auto start = std::chrono::steady_clock::now();
    auto next = start + std::chrono::milliseconds(50);
    for (;;) {
        const cudaError_t state = cudaStreamQuery(s);
        if (state == cudaSuccess) return;
        if (state != cudaErrorNotReady) check(state, "wait");
        cudaGetLastError();  // "not ready" is recorded as an error, which the next launch would take for its own
        const auto now = std::chrono::steady_clock::now();
        if (now > next) {
            next = now + std::chrono::milliseconds(50);
            if (poll && poll()) {
                cudaStreamSynchronize(s);  // scratch must not be freed under a running kernel
                throw Interrupted();
            }
        }
        if (now - start > std::chrono::microseconds(200)) std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
}

void copy(const void* from, void* to, int64_t bytes, Stream stream) {
    if (bytes <= 0) return;
    check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice,
                          static_cast<cudaStream_t>(stream)),
          "copy");
}

void fetch(const void* from, void* to, int64_t bytes, Stream stream, const std::function<bool()>& poll) {
    if (bytes <= 0) return;
    wait(stream, poll);  // the copy itself blocks: wait where Ctrl-C is heard
    check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost,
                          static_cast<cudaStream_t>(stream)),
          "fetch");
    wait(stream, nullptr);
}

void store(const void* from, void* to, int64_t bytes, Stream stream, const std::function<bool()>& poll) {
    if (bytes <= 0) return;
    check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                          static_cast<cudaStream_t>(stream)),
          "store");
    wait(stream, poll);  // the caller's memory may end now
}

namespace {

// CUB's two-step calls: ask how much room, take it, run.
template <class Call>
void with_room(Executor& ex, const char* what, const Call& call) {
    size_t bytes = 0;
    check(call(nullptr, bytes), what);
    auto room = ex.scratch<char>(static_cast<int64_t>(bytes) + 1);
    check(call(room.data(), bytes), what);
}

template <class T>
void scan_as(const void* from, void* to, void* total, int64_t n, Executor& ex) {
    const T* in = static_cast<const T*>(from);
    T* out = static_cast<T*>(to);
    auto sum = ex.scratch<T>(1);
    ex.copy(in + n - 1, sum.data(), 1);  // before it is overwritten, if in is out
    with_room(ex, "scan", [&](void* room, size_t& bytes) {
        return cub::DeviceScan::ExclusiveScan(room, bytes, in, out, ::cuda::std::plus<>{}, T(0), n, ex.stream());
    });
    const T last = ex.fetch(sum.data());
    *static_cast<T*>(total) = static_cast<T>(last + ex.fetch(out + n - 1));
}

template <class Key, class Value>
void sort_as(void* keys_, void* values_, int64_t n, Executor& ex) {
    Key* keys = static_cast<Key*>(keys_);
    Value* values = static_cast<Value*>(values_);
    auto other_keys = ex.scratch<Key>(n);
    auto other_values = ex.scratch<Value>(n);
    cub::DoubleBuffer<Key> k(keys, other_keys.data());
    cub::DoubleBuffer<Value> v(values, other_values.data());
    with_room(ex, "sort_pairs", [&](void* room, size_t& bytes) {
        return cub::DeviceRadixSort::SortPairs(room, bytes, k, v, n, 0, int(sizeof(Key)) * 8, ex.stream());
    });
    if (k.Current() != keys) ex.copy(k.Current(), keys, n);
    if (v.Current() != values) ex.copy(v.Current(), values, n);
}

}  // namespace

void scan(const void* in, void* out, void* total, int64_t n, int bytes, Executor& ex) {
    const auto as = bytes == 4 ? scan_as<uint32_t> : scan_as<uint64_t>;
    as(in, out, total, n, ex);
}

void sort_pairs(void* keys, int key_bytes, void* values, int value_bytes, int64_t n, Executor& ex) {
    const auto as = key_bytes == 4 ? (value_bytes == 4 ? sort_as<uint32_t, uint32_t> : sort_as<uint32_t, uint64_t>)
                                   : (value_bytes == 4 ? sort_as<uint64_t, uint32_t> : sort_as<uint64_t, uint64_t>);
    as(keys, values, n, ex);
}

}  // namespace gpu

void* StreamMemory::allocate(int64_t bytes) {
    void* data = nullptr;
    gpu::check(cudaMallocAsync(&data, static_cast<size_t>(bytes ? bytes : 1), static_cast<cudaStream_t>(stream_)),
               "allocate");
    return data;
}

void StreamMemory::release(void* data, int64_t) noexcept { cudaFreeAsync(data, static_cast<cudaStream_t>(stream_)); }

DeviceGuard::DeviceGuard(int device) {
    gpu::check(cudaGetDevice(&before_), "device");
    gpu::check(cudaSetDevice(device), "device");
}

DeviceGuard::~DeviceGuard() { cudaSetDevice(before_); }

}  // namespace emfast
