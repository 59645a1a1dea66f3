#include "bindings/array.h"
#include "core/dtypes.h"
#include "morphology/morphology.h"

namespace emfast {

void register_morphology(py::module_& m) {
    m.def("morphology_background", [](const py::object& library, const py::object& labels_) {
        Call call(library);
        const Array labels = call.in(labels_, "labels"), out = call.out(labels.shape, "uint8");
        visit_width(labels.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                morphology::background<T>(ex, labels.as<const T>(), labels.size(), out.as<uint8_t>());
            });
        });
        return out.object;
    });
    m.def("morphology_grow", [](const py::object& library, const py::object& labels_, const py::object& nearest_,
                                const std::vector<int64_t>& weights, int64_t limit) {
        Call call(library);
        const Array labels = call.in(labels_, "labels"), nearest = call.in(nearest_, "nearest");
        if (nearest.shape != labels.shape || nearest.dtype != "i8")
            refuse("nearest must be int64 of the shape of labels");
        const Array out = call.out(labels.shape, labels.dtype);
        morphology::Grow how;
        for (size_t a = 0; a < weights.size(); ++a) how.weights[3 - weights.size() + a] = weights[a];
        how.limit = limit;
        visit_width(labels.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                morphology::grow<T>(ex, labels.view<const T>(), nearest.as<const int64_t>(), how, out.as<T>());
            });
        });
        return out.object;
    });
    m.def("morphology_shrink", [](const py::object& library, const py::object& labels_, const py::object& squared_,
                                  float limit, bool border, const py::object& offsets_) {
        Call call(library);
        const Array labels = call.in(labels_, "labels"), squared = call.in(squared_, "squared");
        const Array offsets = call.in(offsets_, "offsets");
        if (squared.shape != labels.shape || squared.dtype != "f4")
            refuse("squared must be float32 of the shape of labels");
        const Array out = call.out(labels.shape, labels.dtype);
        const morphology::Shrink how{limit, border, offsets.size() / 3, offsets.as<const int64_t>()};
        visit_width(labels.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                morphology::shrink<T>(ex, labels.view<const T>(), squared.as<const float>(), how, out.as<T>());
            });
        });
        return out.object;
    });
}

}  // namespace emfast
