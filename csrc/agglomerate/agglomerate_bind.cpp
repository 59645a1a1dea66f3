#include "agglomerate/agglomerate.h"

#include "agglomerate/curve.h"
#include "bindings/array.h"

namespace emfast {
namespace {

template <class T>
const T* data_or_null(const Call& call, const py::object& array, const char* name, std::vector<Array>& kept) {
    if (array.is_none()) return nullptr;
    kept.push_back(call.in(array, name));
    return kept.back().as<const T>();
}

template <class T>
py::object given(Call& call, const std::vector<T>& values, const char* dtype) {
    const Array out = call.out({static_cast<int64_t>(values.size())}, dtype);
    call.run([&](Executor& ex) { ex.store(out.as<T>(), values); });
    return out.object;
}

}  // namespace

void register_agglomerate(py::module_& m) {
    // arrays: ends, ids, sums, counts, low, high, starts, bins, bin_counts, sizes, seeds, frozen; None where there is none.
    // -> (a, b, scores, rows, sums, counts, pending)
    m.def("agglomerate",
          [](const py::object& library, int64_t nodes, int64_t edges, const std::vector<py::object>& arrays, int score,
             std::pair<uint64_t, uint64_t> quantile, const std::vector<std::pair<int, double>>& program, double unit,
             double until, int64_t big_size, double big_score, bool constrained, int schedule,
             const std::vector<uint32_t>& must, const std::vector<uint32_t>& cannot) {
              Call call(library);
              agglomerate::Problem p;
              agglomerate::Rules r;
              std::vector<Array> kept;
              p.nodes = nodes;
              p.edges = edges;
              p.ends = data_or_null<uint32_t>(call, arrays[0], "edges", kept);
              p.ids = data_or_null<int64_t>(call, arrays[1], "ids", kept);
              p.sums = data_or_null<int64_t>(call, arrays[2], "sums", kept);
              p.counts = data_or_null<int64_t>(call, arrays[3], "counts", kept);
              p.low = data_or_null<double>(call, arrays[4], "minima", kept);
              p.high = data_or_null<double>(call, arrays[5], "maxima", kept);
              p.starts = data_or_null<int64_t>(call, arrays[6], "starts", kept);
              p.bins = data_or_null<uint8_t>(call, arrays[7], "bins", kept);
              p.bin_counts = data_or_null<int64_t>(call, arrays[8], "bin_counts", kept);
              p.sizes = data_or_null<int64_t>(call, arrays[9], "sizes", kept);
              p.seeds = data_or_null<uint32_t>(call, arrays[10], "seeds", kept);
              p.frozen = data_or_null<uint8_t>(call, arrays[11], "frozen", kept);
              r.score = static_cast<agglomerate::Score>(score);
              r.rank = quantile.first;
              r.ranks = quantile.second;
              for (const auto& [op, value] : program) r.program.push_back({static_cast<agglomerate::Op>(op), value});
              r.unit = unit;
              r.until = until;
              r.big_size = big_size;
              r.big_score = big_score;
              r.constrained = constrained;
              r.schedule = static_cast<agglomerate::Schedule>(schedule);
              r.must = must;
              r.cannot = cannot;
              agglomerate::Merges merges;
              call.run([&](Executor& ex) { merges = agglomerate::run(ex, p, r); });
              return py::make_tuple(given(call, merges.a, "uint32"), given(call, merges.b, "uint32"),
                                    given(call, merges.scores, "float64"), given(call, merges.rows, "int64"),
                                    given(call, merges.sums, "int64"), given(call, merges.counts, "int64"),
                                    given(call, merges.pending, "uint8"));
          });
    // overlaps: fragments (numbers of nodes), truths (numbers), counts; a, b of the merges.
    // -> (split, merge, rand): merges + 1 values each
    m.def("agglomerate_curve", [](const py::object& library, int64_t nodes, int64_t truths, const py::object& fragment_,
                                  const py::object& truth_, const py::object& count_, const py::object& a_,
                                  const py::object& b_) {
        Call call(library);
        const Array fragment = call.in(fragment_, "fragments"), truth = call.in(truth_, "truths");
        const Array count = call.in(count_, "counts"), a = call.in(a_, "a"), b = call.in(b_, "b");
        agglomerate::Curve curve;
        call.run([&](Executor& ex) {
            const auto fragments = ex.fetch(fragment.as<const uint32_t>(), fragment.size());
            const auto objects = ex.fetch(truth.as<const uint32_t>(), truth.size());
            const auto counts = ex.fetch(count.as<const int64_t>(), count.size());
            const auto first = ex.fetch(a.as<const uint32_t>(), a.size());
            const auto second = ex.fetch(b.as<const uint32_t>(), b.size());
            curve =
                agglomerate::curve({nodes, truths, fragment.size(), fragments.data(), objects.data(), counts.data()},
                                   a.size(), first.data(), second.data());
        });
        return py::make_tuple(given(call, curve.split, "float64"), given(call, curve.merge, "float64"),
                              given(call, curve.rand, "float64"));
    });
}

}  // namespace emfast
