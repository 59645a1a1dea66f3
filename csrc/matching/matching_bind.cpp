#include "bindings/array.h"
#include "matching/matching.h"

namespace emfast {
namespace {

matching::Graph graph_of(int64_t height, int64_t width, const Array& rows, const Array& columns) {
    require_same(rows, "rows", columns, "columns");
    return {height, width, rows.size(), rows.as<const int64_t>(), columns.as<const int64_t>()};
}

}  // namespace

// All on the host. A graph is (number of rows, number of columns, rows int64, columns int64).
void register_matching(py::module_& m) {
    // (graph, in the order to be taken) -> taken, uint8 per pair
    m.def("matching_greedy", [](const py::object& library, int64_t height, int64_t width, const py::object& rows_,
                                const py::object& columns_) {
        Call call(library);
        const Array rows = call.in(rows_, "rows"), columns = call.in(columns_, "columns");
        const auto graph = graph_of(height, width, rows, columns);
        const Array out = call.out(rows.shape, "u1");
        call.run([&](Executor&) { matching::greedy(graph, out.as<uint8_t>()); });
        return out.object;
    });
    // (graph with ascending rows, gains (pairs, 3) int64) -> taken, uint8 per pair
    m.def("matching_assign", [](const py::object& library, int64_t height, int64_t width, const py::object& rows_,
                                const py::object& columns_, const py::object& gains_) {
        Call call(library);
        const Array rows = call.in(rows_, "rows"), columns = call.in(columns_, "columns");
        const Array gains = call.in(gains_, "gains");
        const auto graph = graph_of(height, width, rows, columns);
        const Array out = call.out(rows.shape, "u1");
        call.run(
            [&](Executor& ex) { matching::assign(ex, graph, gains.as<const matching::Gain>(), out.as<uint8_t>()); });
        return out.object;
    });
}

}  // namespace emfast
