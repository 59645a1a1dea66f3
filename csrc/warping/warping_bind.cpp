#include "bindings/array.h"
#include "warping/warping.h"

namespace emfast {

void register_warping(py::module_& m) {
    // Changes `object`, uint8 of 0 and 1, in place; candidates: int64, ascending flat indices; ranked: uint32, their places
    // in the order of trial.
    m.def("warp", [](const py::object& library, const py::object& object_, const py::object& candidates_,
                     const py::object& ranked_, bool planar) {
        Call call(library);
        const Array object = call.in(object_, "object"), candidates = call.in(candidates_, "candidates");
        const Array ranked = call.in(ranked_, "ranked");
        if (candidates.size() >= (int64_t(1) << 31) - 1)
            refuse("object must differ from the prediction in fewer than 2^31 - 1 voxels, got ", candidates.size());
        call.run([&](Executor& ex) {
            warping::warp(ex, object.view<uint8_t>(), planar, candidates.as<const int64_t>(),
                          ranked.as<const uint32_t>(), candidates.size());
        });
    });
}

}  // namespace emfast
