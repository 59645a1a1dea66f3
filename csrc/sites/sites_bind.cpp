#include "sites/sites.h"

#include "bindings/array.h"

namespace emfast {
namespace {

Ids ids(const Array& a) { return {a.data, a.itemsize, a.dtype[0] == 'i'}; }

}  // namespace

void register_sites(py::module_& m) {
    m.attr("site_cells") = sites::Layout::width;
    m.attr("site_samples") = sites::Layout::sample_count;
    // -> region keys, region cells, site keys, site cells (uint64; rows as in sites.h). Points are along z, y, x; mask may be
    // None; background (None: there is none) and ignored are bit patterns of 64 bits.
    m.def("sites",
          [](const py::object& library, const py::object& truth_, const py::object& labels_, const py::object& mask_,
             const std::array<int64_t, 3>& low, const std::array<int64_t, 3>& origin,
             const std::array<int64_t, 3>& whole, std::optional<uint64_t> background, std::vector<uint64_t> ignored) {
              Call call(library);
              const Array truth = call.in(truth_, "truth"), labels = call.in(labels_, "labels");
              sites::Volumes v;
              v.shape = truth.volume();
              v.truth = ids(truth);
              v.labels = ids(labels);
              if (!mask_.is_none()) v.mask = ids(call.in(mask_, "mask"));
              v.low = {low[0], low[1], low[2]};
              v.origin = {origin[0], origin[1], origin[2]};
              v.whole = {whole[0], whole[1], whole[2]};
              v.has_background = background.has_value();
              v.background = background.value_or(0);
              v.ignored = std::move(ignored);
              sites::Table table;
              call.run([&](Executor& ex) { table = sites::find(ex, v); });
              constexpr int64_t width = sites::Layout::width;
              const Array region_keys = call.out({table.regions, 2}, "uint64"),
                          region_cells = call.out({table.regions, width}, "uint64"),
                          site_keys = call.out({table.sites, 4}, "uint64"),
                          site_cells = call.out({table.sites, width}, "uint64");
              call.run([&](Executor& ex) {
                  ex.copy(table.region_keys.data(), region_keys.as<uint64_t>(), region_keys.size());
                  ex.copy(table.region_cells.data(), region_cells.as<uint64_t>(), region_cells.size());
                  ex.copy(table.site_keys.data(), site_keys.as<uint64_t>(), site_keys.size());
                  ex.copy(table.site_cells.data(), site_cells.as<uint64_t>(), site_cells.size());
                  table = {};
              });
              return py::make_tuple(region_keys.object, region_cells.object, site_keys.object, site_cells.object);
          });
    // -> the values of voxels' pairs (uint8), the smallest index of a voxel that has none (-1: all have). pairs: rows of
    // bit patterns of 64 bits.
    m.def("sites_paint", [](const py::object& library, const py::object& truth_, const py::object& labels_,
                            const py::object& mask_, const py::object& pairs_, const py::object& values_, int masked) {
        Call call(library);
        const Array truth = call.in(truth_, "truth"), labels = call.in(labels_, "labels");
        const Array pairs = call.in(pairs_, "pairs"), values = call.in(values_, "values");
        sites::Volumes v;
        v.shape = truth.volume();
        v.truth = ids(truth);
        v.labels = ids(labels);
        if (!mask_.is_none()) v.mask = ids(call.in(mask_, "mask"));
        const sites::Colours colours{values.size(), pairs.as<const uint64_t>(), values.as<const uint8_t>(),
                                     static_cast<uint8_t>(masked)};
        const Array out = call.out(truth.shape, "uint8");
        int64_t missing = -1;
        if (truth.size() > 0)
            call.run([&](Executor& ex) { missing = sites::paint(ex, v, colours, out.as<uint8_t>()); });
        return py::make_tuple(out.object, missing);
    });
}

}  // namespace emfast
