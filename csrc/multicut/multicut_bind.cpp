#include "bindings/array.h"
#include "multicut/multicut.h"

namespace emfast {

void register_multicut(py::module_& m) {
    // (number of nodes, ends (n, 2) uint32, costs int64, fixation) -> (labels, count); all on the host
    m.def("multicut_greedy", [](const py::object& library, int64_t nodes, const py::object& ends_,
                                const py::object& costs_, bool fixation) {
        Call call(library);
        const Array ends = call.in(ends_, "edges"), costs = call.in(costs_, "costs");
        const Array out = call.out({nodes}, "u4");
        int64_t count = 0;
        call.run([&](Executor&) {
            count = multicut::greedy(nodes, costs.size(), ends.as<const uint32_t>(), costs.as<const int64_t>(),
                                     fixation, out.as<uint32_t>());
        });
        return py::make_tuple(out.object, count);
    });
}

}  // namespace emfast
