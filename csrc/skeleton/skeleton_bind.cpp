#include <array>

#include "bindings/array.h"
#include "skeleton/skeleton.h"

namespace emfast {

void register_skeleton(py::module_& m) {
    // -> (components, starts, voxels, parents, radii), see skeleton.h
    m.def("skeletonize", [](const py::object& library, const py::object& components_, int64_t count,
                            const py::object& radii_, std::array<double, 3> spacing, double scale, double constant,
                            double penalty, int exponent, int64_t dust, const std::vector<int64_t>& ends) {
        Call call(library);
        const Array components = call.in(components_, "components"), radii = call.in(radii_, "radii");
        const skeleton::Objects objects{count, components.as<const uint32_t>(), radii.as<const float>(),
                                        components.volume(), &ends};
        const skeleton::Rules rules{spacing[0], spacing[1], spacing[2], scale, constant, penalty, exponent, dust};
        skeleton::Trees trees;
        call.run([&](Executor& ex) { trees = skeleton::trees(ex, objects, rules); });
        auto given = [&](const auto& values, const char* dtype) {
            using T = typename std::decay_t<decltype(values)>::value_type;
            const Array out = call.out({static_cast<int64_t>(values.size())}, dtype);
            call.run([&](Executor& ex) { ex.store(out.as<T>(), values); });
            return out.object;
        };
        return py::make_tuple(given(trees.components, "u4"), given(trees.starts, "i8"), given(trees.voxels, "i8"),
                              given(trees.parents, "i8"), given(trees.radii, "f4"));
    });
}

}  // namespace emfast
