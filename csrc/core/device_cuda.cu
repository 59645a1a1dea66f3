#include <chrono>
#include <stdexcept>
#include <thread>

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
