#include "affinities/affinities.h"
#include "bindings/array.h"
#include "core/dtypes.h"

namespace emfast {

void register_affinities(py::module_& m) {
    // (labels, mask or None, ignored bit patterns, offsets, dtype u1 b1 f4, with valid) -> affinities, valid or None
    m.def("affinities", [](const py::object& library, const py::object& labels_, const py::object& mask_,
                           const std::vector<uint64_t>& ignored, const std::vector<std::array<int64_t, 3>>& offsets_,
                           const std::string& dtype, bool with_valid) {
        Call call(library);
        const Array labels = call.in(labels_, "labels");
        const Array mask = mask_.is_none() ? Array{} : call.in(mask_, "mask");
        std::vector<Point> offsets;
        for (const auto& o : offsets_) offsets.push_back({o[0], o[1], o[2]});
        std::vector<int64_t> shape = labels.shape;
        shape.insert(shape.begin(), static_cast<int64_t>(offsets.size()));
        const Array out = call.out(shape, dtype), valid = with_valid ? call.out(shape, "b1") : Array{};
        visit_width(labels.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                const auto view = labels.view<const T>();
                const bool all = ignored.empty() && !mask.data;
                const auto usable = ex.scratch<uint8_t>(all ? 0 : view.size());
                if (!all) affinities::usable<T>(ex, view, mask.as<const uint8_t>(), ignored, usable.data());
                const uint8_t* use = all ? nullptr : usable.data();
                if (dtype == "f4")
                    affinities::build<T, float>(ex, view, use, offsets, 1.0f, out.as<float>(), valid.as<uint8_t>());
                else
                    affinities::build<T, uint8_t>(ex, view, use, offsets, dtype == "b1" ? 1 : 255, out.as<uint8_t>(),
                                                  valid.as<uint8_t>());
            });
        });
        return py::make_tuple(out.object, with_valid ? valid.object : py::none());
    });
    // (labels, mask or None, offsets, first voxel and shape of a box inside) -> affinities, valid: f4, of the box
    m.def("affinities_within", [](const py::object& library, const py::object& labels_, const py::object& mask_,
                                  const std::vector<std::array<int64_t, 3>>& offsets_,
                                  const std::array<int64_t, 3>& begin, const std::array<int64_t, 3>& core) {
        Call call(library);
        const Array labels = call.in(labels_, "labels");
        const Array mask = mask_.is_none() ? Array{} : call.in(mask_, "mask");
        if (mask.data && (mask.shape != labels.shape || mask.itemsize != 1))
            refuse("mask must have the shape of labels and one byte for each voxel, got ", mask.dtype);
        const Shape whole = labels.volume();
        const int64_t sides[] = {whole.z, whole.y, whole.x};
        for (int a = 0; a < 3; ++a)
            if (begin[a] < 0 || core[a] < 0 || begin[a] > sides[a] - core[a])
                refuse("box must lie within labels, got ", core[a], " voxels from ", begin[a], " of ", sides[a]);
        std::vector<Point> offsets;
        for (const auto& o : offsets_) offsets.push_back({o[0], o[1], o[2]});
        const std::vector<int64_t> shape{static_cast<int64_t>(offsets.size()), core[0], core[1], core[2]};
        const Array out = call.out(shape, "f4"), valid = call.out(shape, "f4");
        visit_width(labels.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                affinities::within<T>(ex, labels.view<const T>(), mask.as<const uint8_t>(), offsets,
                                      {begin[0], begin[1], begin[2]}, {core[0], core[1], core[2]}, out.as<float>(),
                                      valid.as<float>());
            });
        });
        return py::make_tuple(out.object, valid.object);
    });
    // (labels, connectivity 6 18 26, inner) -> bool
    m.def("boundaries", [](const py::object& library, const py::object& labels_, int connectivity, bool inner) {
        Call call(library);
        const Array labels = call.in(labels_, "labels");
        const Array out = call.out(labels.shape, "b1");
        visit_width(labels.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                affinities::boundaries<T>(ex, labels.view<const T>(), connectivity, inner, out.as<uint8_t>());
            });
        });
        return out.object;
    });
}

}  // namespace emfast
