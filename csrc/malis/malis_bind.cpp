#include "bindings/array.h"
#include "malis/malis.h"

namespace emfast {

void register_malis(py::module_& m) {
    // affinities f4, target b1, known b1 or None: (n, c, z, y, x); labels u4 (n, z, y, x) or None
    // -> pairs u8 of the shape of affinities, sums u8 (n, 4)
    m.def("malis_pairs",
          [](const py::object& library, const py::object& affinities_, const py::object& target_,
             const py::object& known_, const py::object& labels_, const std::vector<std::array<int64_t, 3>>& offsets) {
              Call call(library);
              const Array affinities = call.in(affinities_, "affinities"), target = call.in(target_, "target");
              const Array known = known_.is_none() ? Array{} : call.in(known_, "mask");
              const Array labels = labels_.is_none() ? Array{} : call.in(labels_, "labels");
              malis::Graph graph{affinities.shape[0],          affinities.volume(),        {},
                                 affinities.as<const float>(), target.as<const uint8_t>(), known.as<const uint8_t>(),
                                 labels.as<const uint32_t>()};
              for (const auto& o : offsets) graph.offsets.push_back({o[0], o[1], o[2]});
              if (graph.edges() > int64_t(UINT32_MAX))
                  refuse("affinities must have fewer than 2^32 values a sample, got ", graph.edges());
              const Array pairs = call.out(affinities.shape, "u8"), sums = call.out({graph.samples, 4}, "u8");
              call.run([&](Executor& ex) { malis::count(ex, graph, pairs.as<uint64_t>(), sums.as<uint64_t>()); });
              return py::make_tuple(pairs.object, sums.object);
          });
}

}  // namespace emfast
