#include "bindings/array.h"
#include "embedding/embedding.h"

namespace emfast {

void register_embedding(py::module_& m) {
    // points (n, d) and places (k, d) int32, gaps (k,) int64 -> (n,) uint32
    m.def("embedding_nearest", [](const py::object& library, const py::object& points_, const py::object& places_,
                                  const py::object& gaps_, int64_t far) {
        Call call(library);
        const Array points = call.in(points_, "points"), places = call.in(places_, "places");
        const Array gaps = call.in(gaps_, "gaps"), out = call.out({points.shape[0]}, "u4");
        call.run([&](Executor& ex) {
            embedding::nearest(ex, points.as<const int32_t>(), points.shape[0], points.shape[1],
                               places.as<const int32_t>(), gaps.as<const int64_t>(), places.shape[0], far,
                               out.as<uint32_t>());
        });
        return out.object;
    });
}

}  // namespace emfast
