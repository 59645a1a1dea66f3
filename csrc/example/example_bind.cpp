#include "bindings/array.h"
#include "core/dtypes.h"
#include "example/example.h"

namespace emfast {

void register_example(py::module_& m) {
    m.def("example_scale_add",
          [](const py::object& library, const py::object& a_, const py::object& b_, int64_t factor) {
              Call call(library);
              const Array a = call.in(a_, "a"), b = call.in(b_, "b");
              require_same(a, "a", b, "b");
              const Array out = call.out(a.shape, a.dtype);
              visit_width(a.itemsize, [&](auto zero) {
                  using T = decltype(zero);
                  call.run([&](Executor& ex) {
                      example::scale_add<T>(ex, a.as<T>(), b.as<T>(), static_cast<T>(factor), out.as<T>(), a.size());
                  });
              });
              return out.object;
          });
    m.def("example_tile_minimum", [](const py::object& library, const py::object& a_) {
        Call call(library);
        const Array a = call.in(a_, "a");
        const Array out = call.out({(a.size() + example::tile_length - 1) / example::tile_length}, a.dtype);
        visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) { example::tile_minimum<T>(ex, a.as<T>(), out.as<T>(), a.size()); });
        });
        return out.object;
    });
}

}  // namespace emfast
