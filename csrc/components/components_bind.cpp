#include "bindings/array.h"
#include "components/components.h"
#include "core/dtypes.h"

namespace emfast {
namespace {

// The smallest unsigned type that holds count.
std::string smallest(int64_t count) {
    return count < 1 << 8 ? "u1" : count < 1 << 16 ? "u2" : count < int64_t(1) << 32 ? "u4" : "u8";
}

int64_t capacity(const std::string& dtype) {
    const int bits = (dtype[1] - '0') * 8 - (dtype[0] == 'i' ? 1 : 0);
    return bits >= 63 ? INT64_MAX : (int64_t(1) << bits) - 1;
}

// Calls f with a value of the type NumPy calls dtype.
template <class F>
auto visit_number(const std::string& dtype, F&& f) {
    if (dtype == "u1") return f(uint8_t{});
    if (dtype == "u2") return f(uint16_t{});
    if (dtype == "u4") return f(uint32_t{});
    if (dtype == "u8") return f(uint64_t{});
    if (dtype == "i1") return f(int8_t{});
    if (dtype == "i2") return f(int16_t{});
    if (dtype == "i4") return f(int32_t{});
    if (dtype == "i8") return f(int64_t{});
    if (dtype == "f4") return f(float{});
    if (dtype == "f8") return f(double{});
    refuse("labels with a delta must be integers, float32 or float64, got ", dtype);
}

py::tuple finish(Call& call, const Array& labels, std::string dtype, components::Labelling& found) {
    if (dtype.empty()) dtype = smallest(found.count);
    if (found.count > capacity(dtype)) refuse("dtype must hold ", found.count, " components, got ", dtype);
    const Array out = call.out(labels.shape, dtype);
    call.run([&](Executor& ex) { found.write(ex, out.data, out.itemsize); });
    return py::make_tuple(out.object, found.count);
}

}  // namespace

void register_components(py::module_& m) {
    // (labels, connectivity, background bits or None, periodic, dtype or "") -> (labels, count)
    m.def("components", [](const py::object& library, const py::object& labels_, int connectivity,
                           std::optional<uint64_t> background, bool periodic, const std::string& dtype) {
        Call call(library);
        const Array labels = call.in(labels_, "labels");
        const components::Options options{connectivity, background.has_value(), background.value_or(0),
                                          labels.dtype[0] == 'b' && background == uint64_t(0), periodic};
        return visit_width(labels.itemsize, [&](auto zero) {
            using T = decltype(zero);
            std::unique_ptr<components::Labelling> found;
            call.run([&](Executor& ex) { found = components::label<T>(ex, labels.view<const T>(), options); });
            return finish(call, labels, dtype, *found);
        });
    });
    // (values, connectivity, delta, zero is background, periodic, dtype or "") -> (labels, count)
    m.def("components_near", [](const py::object& library, const py::object& values_, int connectivity, double delta,
                                bool has_background, bool periodic, const std::string& dtype) {
        Call call(library);
        const Array values = call.in(values_, "labels");
        const components::Options options{connectivity, has_background, 0, false, periodic};
        return visit_number(values.dtype, [&](auto zero) {
            using T = decltype(zero);
            std::unique_ptr<components::Labelling> found;
            call.run(
                [&](Executor& ex) { found = components::label_near<T>(ex, values.view<const T>(), delta, options); });
            return finish(call, values, dtype, *found);
        });
    });
}

}  // namespace emfast
