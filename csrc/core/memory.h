// Scratch memory. On the host large pieces are mapped lazily: a page costs nothing until it is touched, so a schedule may
// ask for its worst case. On the device an Allocator hands over the framework's own caching allocator (see bindings).
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace emfast {

// Where an executor gets its scratch. allocate throws std::bad_alloc; release may be called from any thread.
struct Allocator {
    virtual ~Allocator() = default;
    virtual void* allocate(int64_t bytes) = 0;
    virtual void release(void* data, int64_t bytes) noexcept = 0;
};

// Untouched memory of the host; zero where mapped, undefined below a mebibyte.
struct HostMemory final : Allocator {
    static constexpr int64_t mapped_from = int64_t(1) << 20;

    // Whether memory of that size comes as zeros, page by page as it is touched.
    static constexpr bool gives_zeros(int64_t bytes) {
#if defined(__linux__) && !defined(EMFAST_SANITIZE)
        return bytes >= mapped_from;
#else
        return bytes < 0;
#endif
    }

    void* allocate(int64_t bytes) override {
        if (bytes < 0) throw std::bad_alloc();
#if defined(__linux__) && !defined(EMFAST_SANITIZE)
        if (bytes >= mapped_from) {
            void* data =
                mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (data == MAP_FAILED) throw std::bad_alloc();
            madvise(data, bytes, MADV_HUGEPAGE);
            return data;
        }
#endif
        void* data = std::malloc(bytes ? bytes : 1);
        if (!data) throw std::bad_alloc();
        return data;
    }

    void release(void* data, int64_t bytes) noexcept override {
#if defined(__linux__) && !defined(EMFAST_SANITIZE)
        if (bytes >= mapped_from) {
            munmap(data, bytes);
            return;
        }
#endif
        (void)bytes;
        std::free(data);
    }
};

// Owns n elements of uninitialised scratch from an allocator that outlives it.
template <class T>
class Scratch {
  public:
    Scratch() = default;
    Scratch(Allocator& from, int64_t n) : from_(&from), n_(n) {
        data_ = static_cast<T*>(from.allocate(n * int64_t(sizeof(T))));
    }
    Scratch(Scratch&& other) noexcept { swap(other); }
    Scratch& operator=(Scratch&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Scratch() {
        if (data_) from_->release(data_, n_ * int64_t(sizeof(T)));
    }

    T* data() const { return data_; }
    int64_t size() const { return n_; }
    T& operator[](int64_t i) const { return data_[i]; }

  private:
    void swap(Scratch& other) noexcept {
        std::swap(from_, other.from_);
        std::swap(data_, other.data_);
        std::swap(n_, other.n_);
    }

    Allocator* from_ = nullptr;
    T* data_ = nullptr;
    int64_t n_ = 0;
};

}  // namespace emfast
