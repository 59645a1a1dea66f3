#include "bindings/array.h"

#include <memory>

namespace emfast {
namespace {

bool interrupted() {
    py::gil_scoped_acquire lock;
    return PyErr_CheckSignals() != 0;
}

std::string shape_text(const std::vector<int64_t>& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

// NumPy arrays and CUDA arrays describe themselves in the same words.
constexpr const char* interface_name =
    EMFAST_BACKEND == EMFAST_CUDA ? "__cuda_array_interface__" : "__array_interface__";

Array describe(const py::object& object, const char* name, bool box = false) {
    Array a;
    a.object = object;
    const py::dict d = object.attr(interface_name);
    const auto type = d["typestr"].cast<std::string>();  // "<u4"
    if (type.size() < 3 || type[0] == '>') refuse(name, " must be in native byte order, got ", type);
    a.dtype = type.substr(1);
    a.itemsize = std::stoi(type.substr(2));
    a.shape = d["shape"].cast<std::vector<int64_t>>();
    const py::object strides = d.contains("strides") ? py::object(d["strides"]) : py::none();
    if (box) {
        const int dims = a.dims();
        a.strides.assign(dims, 1);
        for (int i = dims - 2; i >= 0; --i) a.strides[i] = a.strides[i + 1] * a.shape[i + 1];
        for (int i = 0; !strides.is_none() && i < dims; ++i) {
            const int64_t bytes = strides[py::int_(i)].cast<int64_t>();
            if (bytes < 0 || bytes % a.itemsize != 0)
                refuse(name, " must have strides of whole elements, none below 0");
            a.strides[i] = bytes / a.itemsize;
        }
    } else if (!strides.is_none() && a.size() > 0) {
        int64_t expected = a.itemsize;
        for (int i = a.dims() - 1; i >= 0; --i) {
            if (a.shape[i] != 1 && strides[py::int_(i)].cast<int64_t>() != expected)
                refuse(name, " must be C-contiguous here (emfast._arrays sees to that)");
            expected *= a.shape[i];
        }
    }
    const py::tuple data = d["data"];
    a.data = reinterpret_cast<void*>(data[0].cast<uintptr_t>());
    return a;
}

}  // namespace

#if EMFAST_BACKEND == EMFAST_CUDA

// Scratch taken from the library's own caching allocator: an array of bytes, held until it is released. The array dies on
// the stream it was made for, which is what such allocators expect. cudaMallocAsync where the library lends none.
class LibraryMemory final : public Allocator {
  public:
    explicit LibraryMemory(py::object library) : library_(std::move(library)) {}
    ~LibraryMemory() override {
        py::gil_scoped_acquire lock;
        held_.clear();
        library_ = py::object();
    }
    void* allocate(int64_t bytes) override {
        py::gil_scoped_acquire lock;
        const Array a = describe(library_.attr("empty")(py::make_tuple(std::max<int64_t>(bytes, 1)), "u1"), "scratch");
        held_.emplace(a.data, a.object);
        return a.data;
    }
    void release(void* data, int64_t) noexcept override {
        py::gil_scoped_acquire lock;
        held_.erase(data);
    }

  private:
    py::object library_;
    std::unordered_map<void*, py::object> held_;
};

struct Call::Frame {
    explicit Frame(const py::object& library)
        : device(library.attr("device").cast<int>()),
          stream(reinterpret_cast<Stream>(library.attr("stream").cast<uintptr_t>())),
          memory(library.attr("lends_memory").cast<bool>() ? std::unique_ptr<Allocator>(new LibraryMemory(library))
                                                           : std::unique_ptr<Allocator>(new StreamMemory(stream))),
          executor(interrupted, *memory, stream) {}
    DeviceGuard device;
    Stream stream;
    std::unique_ptr<Allocator> memory;
    Executor executor;
};

#else

struct Call::Frame {
    explicit Frame(const py::object&) : executor(interrupted) {}
    Executor executor;
};

#endif

Call::Call(py::object library) : library_(std::move(library)), frame_(std::make_unique<Frame>(library_)) {}
Call::~Call() = default;

Executor& Call::executor() { return frame_->executor; }

Array Call::in(const py::object& array, const char* name) const { return describe(array, name); }

Array Call::in_box(const py::object& array, const char* name) const { return describe(array, name, true); }

Array Call::out(const std::vector<int64_t>& shape, const std::string& dtype) const {
    return describe(library_.attr("empty")(py::tuple(py::cast(shape)), dtype), "output");
}

void require_same(const Array& a, const char* a_name, const Array& b, const char* b_name) {
    if (a.shape != b.shape)
        refuse(b_name, " must have the shape of ", a_name, " ", shape_text(a.shape), ", got ", shape_text(b.shape));
    if (a.dtype != b.dtype) refuse(b_name, " must have the dtype of ", a_name, " (", a.dtype, "), got ", b.dtype);
}

}  // namespace emfast
