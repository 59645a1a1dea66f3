#include "bindings/array.h"
#include "mutex/mutex.h"

namespace emfast {

void register_mutex(py::module_& m) {
    // (affinities, offsets, which repel, mask or None, seeds (uint32) or None, their number, has sign, strides, random,
    // seed of chance, edges to sort at once or 0) -> (labels, count), or the place of the first value that is not welcome
    m.def("mutex_watershed",
          [](const py::object& library, const py::object& affinities_,
             const std::vector<std::array<int64_t, 3>>& offsets, const std::vector<bool>& repulsive,
             const py::object& mask_, const py::object& seeds_, uint32_t seed_count, bool has_sign,
             const std::array<int64_t, 3>& strides, bool random, uint64_t chance, int64_t edges_at_once) -> py::object {
              Call call(library);
              const Array affinities = call.in(affinities_, "affinities");
              const Array mask = mask_.is_none() ? Array{} : call.in(mask_, "mask");
              const Array seeds = seeds_.is_none() ? Array{} : call.in(seeds_, "seeds");
              Shape shape = affinities.volume();
              if (affinities.dims() == 3) shape.z = 1;  // there it is the channels
              std::vector<mutex::Channel> channels;
              for (size_t k = 0; k < offsets.size(); ++k)
                  channels.push_back({{offsets[k][0], offsets[k][1], offsets[k][2]}, repulsive[k]});
              const mutex::Thinning thinning{{strides[0], strides[1], strides[2]}, random, chance};
              if (shape.voxels() > (int64_t(1) << 32) - 2)
                  refuse("affinities must have fewer than 2**32 - 1 voxels, got ", shape.voxels());
              const std::vector<int64_t> out_shape(affinities.shape.begin() + 1, affinities.shape.end());
              const Array out = call.out(out_shape, "u4");
              mutex::Outcome outcome{};
              visit_affinity(affinities.dtype, [&](auto zero) {
                  using A = decltype(zero);
                  const mutex::Grid<A> grid{shape,
                                            affinities.as<const A>(),
                                            mask.as<const uint8_t>(),
                                            seeds.as<const uint32_t>(),
                                            seed_count,
                                            channels,
                                            thinning,
                                            has_sign,
                                            edges_at_once};
                  call.run([&](Executor& ex) { outcome = mutex::watershed(ex, grid, out.as<uint32_t>()); });
              });
              if (outcome.bad >= 0) return py::int_(outcome.bad);
              return py::make_tuple(out.object, outcome.segments);
          });
    // (number of nodes, ends (n, 2) uint32, weights float64) -> (labels, count)
    m.def("mutex_watershed_graph",
          [](const py::object& library, int64_t nodes, const py::object& ends_, const py::object& weights_) {
              Call call(library);
              const Array ends = call.in(ends_, "edges"), weights = call.in(weights_, "weights");
              const Array out = call.out({nodes}, "u4");
              int64_t count = 0;
              call.run([&](Executor& ex) {
                  count = mutex::watershed_of_graph(ex, nodes, weights.size(), ends.as<const uint32_t>(),
                                                    weights.as<const double>(), out.as<uint32_t>());
              });
              return py::make_tuple(out.object, count);
          });
}

}  // namespace emfast
