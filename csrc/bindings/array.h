// Arrays in and out of Python, and the frame of a native call.
//
// The first argument of every native function is `library`, the adaptor of the caller's array library
// (python/emfast/_arrays.py): library.empty(shape, dtype) makes the outputs and, on a device, the scratch too, so that all
// memory is the framework's own; library.stream is the caller's stream, library.device the device's number.
// Arrays arrive C-contiguous and native-endian: _arrays.py has seen to that, here it is only verified. An operation that reads
// a box inside a larger array takes it with in_box, and heeds the strides.
//
//     Call call(library);                              // with the GIL
//     const Array a = call.in(a_, "labels"), out = call.out(a.shape, "uint32");
//     call.run([&](Executor& ex) { ... });             // without the GIL; Ctrl-C and exceptions come back
//     return out.object;
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "core/check.h"
#include "core/exec.h"
#include "core/view.h"

namespace emfast {

namespace py = pybind11;

struct Array {
    py::object object;  // the Python array itself: keeps the memory alive, is what a caller returns
    void* data = nullptr;
    std::vector<int64_t> shape;
    std::vector<int64_t> strides;  // in elements; only of in_box
    std::string dtype;  // NumPy's short form without byte order: "u4", "i8", "f4", "b1"
    int itemsize = 0;

    int64_t size() const {
        int64_t n = 1;
        for (int64_t s : shape) n *= s;
        return n;
    }
    int dims() const { return static_cast<int>(shape.size()); }

    // The last three axes as a volume; missing ones count one.
    Shape volume() const {
        const int64_t n = dims();
        return {n > 2 ? shape[n - 3] : 1, n > 1 ? shape[n - 2] : 1, n > 0 ? shape[n - 1] : 1};
    }

    template <class T>
    T* as() const {
        return static_cast<T*>(data);
    }
    template <class T>
    View<T> view() const {
        return {static_cast<T*>(data), volume()};
    }
};

class Call {
  public:
    explicit Call(py::object library);
    ~Call();
    Call(const Call&) = delete;

    Array in(const py::object& array, const char* name) const;
    Array in_box(const py::object& array, const char* name) const;
    Array out(const std::vector<int64_t>& shape, const std::string& dtype) const;

    // Runs f(Executor&) without the GIL. Outputs whose size is only known half way: finish one run, make them, run again.
    template <class F>
    void run(F&& f) {
        try {
            py::gil_scoped_release unlocked;
            f(executor());
        } catch (const Interrupted&) {
            throw py::error_already_set();
        }
    }

  private:
    struct Frame;
    Executor& executor();

    py::object library_;
    std::unique_ptr<Frame> frame_;
};

// ValueError unless two arrays agree in shape and dtype.
void require_same(const Array& a, const char* a_name, const Array& b, const char* b_name);

}  // namespace emfast
