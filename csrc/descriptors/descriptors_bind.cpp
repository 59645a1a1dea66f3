#include "bindings/array.h"
#include "descriptors/descriptors.h"

namespace emfast {

void register_descriptors(py::module_& m) {
    // (labels u4, count, weights by axis, scale by axis, planar) -> (10 or 6, z, y, x) f4
    m.def("shape_descriptors",
          [](const py::object& library, const py::object& labels_, int64_t count,
             const std::array<std::vector<int64_t>, 3>& weights, const std::array<double, 3>& scale, bool planar) {
              Call call(library);
              const Array labels = call.in(labels_, "labels");
              if (labels.dtype != "u4") refuse("labels must be uint32, got ", labels.dtype);
              if (count < 0) refuse("count must be at least 0, got ", count);
              for (const auto& row : weights)
                  if (row.size() % 2 == 0) refuse("weights must be odd in number along each axis, got ", row.size());
              if (planar && weights[0].size() != 1) refuse("weights must be one along z where the window is planar");
              const descriptors::Window window{weights, scale, planar};
              const Shape s = labels.volume();
              const Array out = call.out({window.channels(), s.z, s.y, s.x}, "f4");
              call.run([&](Executor& ex) {
                  descriptors::describe(ex, labels.view<const uint32_t>(), count, window, out.as<float>());
              });
              return out.object;
          });
}

}  // namespace emfast
