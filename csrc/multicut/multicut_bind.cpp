#include "bindings/array.h"
#include "multicut/multicut.h"

namespace emfast {
namespace {

multicut::Problem problem_of(int64_t nodes, int64_t plain, const Array& ends, const Array& costs) {
    return {nodes, costs.size(), plain, ends.as<const uint32_t>(), costs.as<const int64_t>()};
}

}  // namespace

// Arrays are on the host, but for the rounds. A problem is (number of nodes, number of plain edges, ends (n, 2) uint32, costs int64).
void register_multicut(py::module_& m) {
    // (problem, fixation) -> (labels, count)
    m.def("multicut_greedy", [](const py::object& library, int64_t nodes, int64_t plain, const py::object& ends_,
                                const py::object& costs_, bool fixation) {
        Call call(library);
        const Array ends = call.in(ends_, "edges"), costs = call.in(costs_, "costs");
        const Array out = call.out({nodes}, "u4");
        int64_t count = 0;
        call.run([&](Executor&) {
            count = multicut::greedy(problem_of(nodes, plain, ends, costs), fixation, out.as<uint32_t>());
        });
        return py::make_tuple(out.object, count);
    });
    // problem -> (labels, count)
    m.def("multicut_rounds", [](const py::object& library, int64_t nodes, int64_t plain, const py::object& ends_,
                                const py::object& costs_) {
        Call call(library);
        const Array ends = call.in(ends_, "edges"), costs = call.in(costs_, "costs");
        const Array out = call.out({nodes}, "u4");
        int64_t count = 0;
        call.run([&](Executor& ex) {
            count = multicut::contract(ex, problem_of(nodes, plain, ends, costs), out.as<uint32_t>());
        });
        return py::make_tuple(out.object, count);
    });
    // (problem, labels to begin with, each less than the number of nodes, patience) -> count; in place
    m.def("multicut_kernighan_lin", [](const py::object& library, int64_t nodes, int64_t plain, const py::object& ends_,
                                       const py::object& costs_, const py::object& labels_, int64_t patience) {
        Call call(library);
        const Array ends = call.in(ends_, "edges"), costs = call.in(costs_, "costs");
        const Array labels = call.in(labels_, "labels");
        int64_t count = 0;
        call.run([&](Executor& ex) {
            count = multicut::kernighan_lin(ex, problem_of(nodes, plain, ends, costs), patience, labels.as<uint32_t>());
        });
        return count;
    });
    // (problem, most edges of a cycle) -> bound
    m.def("multicut_bound", [](const py::object& library, int64_t nodes, int64_t plain, const py::object& ends_,
                               const py::object& costs_, int64_t longest) {
        Call call(library);
        const Array ends = call.in(ends_, "edges"), costs = call.in(costs_, "costs");
        int64_t bound = 0;
        call.run([&](Executor& ex) { bound = multicut::bound(ex, problem_of(nodes, plain, ends, costs), longest); });
        return bound;
    });
}

}  // namespace emfast
