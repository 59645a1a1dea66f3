#include "bindings/array.h"
#include "core/dtypes.h"
#include "statistics/statistics.h"

namespace emfast {

void register_statistics(py::module_& m) {
    // -> ids (uint64 bit patterns), cells (a row per id, columns as in statistics::Layout)
    m.def("statistics", [](const py::object& library, const py::object& labels_, std::optional<uint64_t> background,
                           bool is_signed, const std::vector<int64_t>& strides, bool moments, bool surface,
                           const py::object& values_) {
        Call call(library);
        const Array labels = call.in(labels_, "labels");
        statistics::Options options;
        options.has_background = background.has_value();
        options.background = background.value_or(0);
        options.flip = is_signed ? uint64_t(1) << (8 * labels.itemsize - 1) : 0;
        for (size_t a = 0; a < strides.size(); ++a) options.strides[3 - strides.size() + a] = strides[a];
        options.moments = moments;
        options.surface = surface;
        if (!values_.is_none()) {
            const Array values = call.in(values_, "values");
            if (values.shape != labels.shape || values.dtype != "f4")
                refuse("values must be float32 of the shape of labels");
            options.values = values.as<const float>();
        }
        statistics::Table table;
        visit_width(labels.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) { table = statistics::measure<T>(ex, labels.view<const T>(), options); });
        });
        const Array ids = call.out({table.count}, "uint64"), cells = call.out({table.count, table.width}, "int64");
        call.run([&](Executor& ex) {
            ex.copy(table.ids.data(), ids.as<uint64_t>(), table.count);
            ex.copy(table.cells.data(), cells.as<int64_t>(), table.count * table.width);
            table = {};
        });
        return py::make_tuple(ids.object, cells.object);
    });
}

}  // namespace emfast
