#include "contingency/contingency.h"

#include <algorithm>

#include "bindings/array.h"

namespace emfast {
namespace {

Ids ids(const Array& a) { return {a.data, a.itemsize, a.dtype[0] == 'i'}; }

template <class T>
py::object given(Call& call, const Scratch<T>& values, int64_t n, const char* dtype) {
    const Array out = call.out({n}, dtype);
    if (n > 0) call.run([&](Executor& ex) { ex.copy(values.data(), out.as<T>(), n); });
    return out.object;
}

py::tuple given(Call& call, const contingency::Table& t, bool truth_signed, bool labels_signed) {
    return py::make_tuple(given(call, t.truth_ids, t.truths, truth_signed ? "int64" : "uint64"),
                          given(call, t.label_ids, t.labels, labels_signed ? "int64" : "uint64"),
                          given(call, t.truth_sizes, t.truths, "int64"), given(call, t.label_sizes, t.labels, "int64"),
                          given(call, t.rows, t.pairs, "int64"), given(call, t.columns, t.pairs, "int64"),
                          given(call, t.counts, t.pairs, "int64"));
}

// Keeps the arrays in `kept`.
contingency::Parts parts(const Call& call, const std::vector<py::object>& arrays, std::vector<Array>& kept) {
    for (const py::object& array : arrays) kept.push_back(call.in(array, "table"));
    const Array* a = &kept[kept.size() - arrays.size()];
    return {a[0].size(),
            a[1].size(),
            a[4].size(),
            a[0].as<const uint64_t>(),
            a[1].as<const uint64_t>(),
            a[2].as<const int64_t>(),
            a[3].as<const int64_t>(),
            a[4].as<const int64_t>(),
            a[5].as<const int64_t>(),
            a[6].as<const int64_t>()};
}

}  // namespace

void register_contingency(py::module_& m) {
    // A table is (truth_ids, label_ids, truth_sizes, label_sizes, rows, columns, counts); ids are int64 where the labels
    // are signed, else uint64. mask and counts may be None; ignored are bit patterns of 64 bits.
    m.def("contingency", [](const py::object& library, const py::object& truth_, const py::object& labels_,
                            const py::object& mask_, const py::object& counts_, std::vector<uint64_t> ignored) {
        Call call(library);
        const Array truth = call.in(truth_, "truth"), labels = call.in(labels_, "labels");
        contingency::Volumes v;
        v.shape = truth.volume();
        v.shape.z *= truth.size() / std::max<int64_t>(1, v.shape.voxels());  // further axes
        v.truth = ids(truth);
        v.labels = ids(labels);
        if (!mask_.is_none()) v.mask = ids(call.in(mask_, "mask"));
        if (!counts_.is_none()) v.counts = call.in(counts_, "counts").as<const int64_t>();
        std::sort(ignored.begin(), ignored.end());
        v.ignored = std::move(ignored);
        contingency::Table table;
        call.run([&](Executor& ex) { table = contingency::count(ex, v); });
        const py::tuple out = given(call, table, v.truth.is_signed, v.labels.is_signed);
        call.run([&](Executor&) { table = {}; });
        return out;
    });
    m.def("contingency_sum", [](const py::object& library, const std::vector<py::object>& a_,
                                const std::vector<py::object>& b_) {
        Call call(library);
        std::vector<Array> kept;
        kept.reserve(a_.size() + b_.size());
        const contingency::Parts a = parts(call, a_, kept), b = parts(call, b_, kept);
        const bool truth_signed = kept[0].dtype[0] == 'i', labels_signed = kept[1].dtype[0] == 'i';
        contingency::Table table;
        call.run([&](Executor& ex) {
            table = contingency::sum(ex, a, b, truth_signed ? Ids::sign_bit : 0, labels_signed ? Ids::sign_bit : 0);
        });
        const py::tuple out = given(call, table, truth_signed, labels_signed);
        call.run([&](Executor&) { table = {}; });
        return out;
    });
}

}  // namespace emfast
