#include "bindings/array.h"
#include "phantom/phantom.h"

namespace emfast {

void register_phantom(py::module_& m) {
    m.def("phantom",
          [](const py::object& library, const std::vector<int64_t>& shape, const std::vector<int64_t>& origin,
             const std::vector<double>& spacing, uint64_t seed, const std::vector<double>& options) {
              Call call(library);
              phantom::Settings s;
              s.shape = {shape.at(0), shape.at(1), shape.at(2)};
              for (int a = 0; a < 3; ++a) {
                  s.origin[a] = origin.at(a);
                  s.spacing[a] = static_cast<float>(spacing.at(a));
              }
              s.seed = seed;
              float* const members[] = {&s.calibre, &s.membrane, &s.mitochondria, &s.noise, &s.defects, &s.errors};
              for (int k = 0; k < 6; ++k) *members[k] = static_cast<float>(options.at(k));
              const Array image = call.out(shape, "uint8"), owner = call.out(shape, "uint32"),
                          mitochondria = call.out(shape, "uint32"),
                          affinities = call.out({3, shape[0], shape[1], shape[2]}, "uint8");
              const phantom::Result result{image.as<uint8_t>(), owner.as<uint32_t>(), mitochondria.as<uint32_t>(),
                                           affinities.as<uint8_t>()};
              call.run([&](Executor& ex) { phantom::make(ex, s, result); });
              return py::make_tuple(image.object, owner.object, mitochondria.object, affinities.object);
          });
}

}  // namespace emfast
