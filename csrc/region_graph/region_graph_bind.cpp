#include "bindings/array.h"
#include "core/dtypes.h"
#include "region_graph/region_graph.h"

namespace emfast {
namespace {

using Three = std::vector<int64_t>;

Point point_of(const Three& p) { return {p[0], p[1], p[2]}; }

}  // namespace

void register_region_graph(py::module_& m) {
    // -> (edges, counts, sums, low, high, faces, ids, nodes, sizes, starts, bins, bin_counts), the last three None without
    // histogram; or the number of the first affinity that is refused.
    m.def("region_graph",
          [](const py::object& library, const py::object& labels_, const py::object& affinities_,
             const std::vector<Three>& offsets, const Three& low, const Three& high, const Three& origin,
             const Three& whole, bool is_signed, bool histogram) -> py::object {
              Call call(library);
              const Array labels = call.in(labels_, "fragments"), affinities = call.in(affinities_, "affinities");
              region_graph::Options o;
              for (const Three& offset : offsets) o.offsets.push_back({offset[0], offset[1], offset[2]});
              o.low = point_of(low);
              o.high = point_of(high);
              o.origin = point_of(origin);
              o.whole = {whole[0], whole[1], whole[2]};
              o.flip = is_signed ? uint64_t(1) << (8 * labels.itemsize - 1) : 0;
              o.histogram = histogram;
              std::unique_ptr<region_graph::Build> build;
              visit_width(labels.itemsize, [&](auto zero) {
                  visit_affinity(affinities.dtype, [&](auto value) {
                      using T = decltype(zero);
                      using A = decltype(value);
                      call.run([&](Executor& ex) {
                          build = region_graph::build<T, A>(ex, labels.view<const T>(), affinities.as<const A>(), o);
                      });
                  });
              });
              if (build->refused >= 0) {
                  const int64_t refused = build->refused;
                  call.run([&](Executor&) { build.reset(); });
                  return py::int_(refused);
              }
              const int64_t n = build->edges;
              const std::string label = "u" + std::to_string(labels.itemsize);
              const Array edges = call.out({n, 2}, label), counts = call.out({n}, "int64"),
                          sums = call.out({n}, "int64");
              const Array smallest = call.out({n}, affinities.dtype), largest = call.out({n}, affinities.dtype);
              const Array faces = call.out({n, 3}, "int64"), ids = call.out({n}, "int64");
              const Array nodes = call.out({build->nodes}, label), sizes = call.out({build->nodes}, "int64");
              region_graph::Columns to{edges.data,
                                       counts.as<int64_t>(),
                                       sums.as<int64_t>(),
                                       smallest.data,
                                       largest.data,
                                       faces.as<int64_t>(),
                                       ids.as<int64_t>(),
                                       nodes.data,
                                       sizes.as<int64_t>(),
                                       nullptr,
                                       nullptr,
                                       nullptr};
              py::object starts_ = py::none(), bins_ = py::none(), bin_counts_ = py::none();
              if (histogram) {
                  const Array starts = call.out({n + 1}, "int64"), bins = call.out({build->bins}, "uint8");
                  const Array bin_counts = call.out({build->bins}, "int64");
                  to.starts = starts.as<int64_t>();
                  to.bins = bins.as<uint8_t>();
                  to.bin_counts = bin_counts.as<int64_t>();
                  starts_ = starts.object;
                  bins_ = bins.object;
                  bin_counts_ = bin_counts.object;
              }
              call.run([&](Executor& ex) {
                  build->write(ex, to);
                  build.reset();
              });
              return py::make_tuple(edges.object, counts.object, sums.object, smallest.object, largest.object,
                                    faces.object, ids.object, nodes.object, sizes.object, starts_, bins_, bin_counts_);
          });
}

}  // namespace emfast
