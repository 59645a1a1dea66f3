#include "bindings/array.h"
#include "core/dtypes.h"
#include "voxel_graph/voxel_graph.h"

namespace emfast {
namespace {

template <class F>
void visit_graph(bool wide, F&& f) {
    if (wide) f(uint32_t{});
    else f(uint8_t{});
}

}  // namespace

void register_voxel_graph(py::module_& m) {
    m.def("voxel_graph", [](const py::object& library, const py::object& labels_, int connectivity) {
        Call call(library);
        const Array labels = call.in(labels_, "labels");
        const bool wide = connectivity > 8;
        const Array graph = call.out(labels.shape, wide ? "uint32" : "uint8");
        visit_width(labels.itemsize, [&](auto zero) {
            visit_graph(wide, [&](auto none) {
                using T = decltype(zero);
                using G = decltype(none);
                call.run([&](Executor& ex) {
                    voxel_graph::build<T, G>(ex, labels.view<const T>(), connectivity, graph.as<G>());
                });
            });
        });
        return graph.object;
    });
    // -> labels (uint32, or uint64 where a component per voxel would not fit), number of components
    m.def("voxel_graph_components", [](const py::object& library, const py::object& graph_, int connectivity) {
        Call call(library);
        const Array graph = call.in(graph_, "graph");
        const bool wide = graph.size() >= int64_t(1) << 32;
        const Array out = call.out(graph.shape, wide ? "uint64" : "uint32");
        int64_t count = 0;
        visit_graph(graph.itemsize == 4, [&](auto none) {
            using G = decltype(none);
            call.run([&](Executor& ex) {
                count = wide ? voxel_graph::components(ex, graph.view<const G>(), connectivity, out.as<uint64_t>())
                             : voxel_graph::components(ex, graph.view<const G>(), connectivity, out.as<uint32_t>());
            });
        });
        return py::make_tuple(out.object, count);
    });
}

}  // namespace emfast
