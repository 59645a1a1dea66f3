#include "bindings/array.h"
#include "contacts/contacts.h"
#include "core/dtypes.h"

namespace emfast {

void register_contacts(py::module_& m) {
    // -> a, b (uint64 bit patterns), cells (a row per pair: faces along the axes of memory as a volume, neighbours)
    m.def("contacts", [](const py::object& library, const py::object& labels_, std::optional<uint64_t> background,
                         bool is_signed, int reach, const std::vector<bool>& periodic) {
        Call call(library);
        const Array labels = call.in(labels_, "labels");
        contacts::Options options;
        options.has_background = background.has_value();
        options.background = background.value_or(0);
        options.flip = is_signed ? uint64_t(1) << (8 * labels.itemsize - 1) : 0;
        options.reach = reach;
        for (size_t a = 0; a < periodic.size(); ++a) options.periodic[3 - periodic.size() + a] = periodic[a];
        contacts::Table table;
        visit_width(labels.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) { table = contacts::count<T>(ex, labels.view<const T>(), options); });
        });
        const Array a = call.out({table.count}, "uint64"), b = call.out({table.count}, "uint64");
        const Array cells = call.out({table.count, contacts::width}, "int64");
        call.run([&](Executor& ex) {
            ex.copy(table.a.data(), a.as<uint64_t>(), table.count);
            ex.copy(table.b.data(), b.as<uint64_t>(), table.count);
            ex.copy(table.cells.data(), cells.as<int64_t>(), table.count * contacts::width);
            table = {};
        });
        return py::make_tuple(a.object, b.object, cells.object);
    });
}

}  // namespace emfast
