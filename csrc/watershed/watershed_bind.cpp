#include "bindings/array.h"
#include "watershed/watershed.h"

namespace emfast {
namespace {

Shape shape_of(const Array& affinities) {
    Shape shape = affinities.volume();
    if (affinities.dims() == 3) shape.z = 1;  // there it is the channels
    return shape;
}

// Affinities of two channels are those of a picture; without sections' edges those along z are left out.
template <class A>
watershed::Edges<A> edges_of(const Array& affinities, const Array& mask, bool per_section) {
    const Shape shape = shape_of(affinities);
    const A* first = affinities.as<const A>();
    const int64_t n = shape.voxels();
    const bool picture = affinities.dims() == 3;
    return {shape, picture || per_section ? nullptr : first, first + (picture ? 0 : n), first + (picture ? 1 : 2) * n,
            mask.as<const uint8_t>()};
}

}  // namespace

void register_watershed(py::module_& m) {
    // (affinities, mask or None, low, high, waterz, per_section, begin and end of the inner box) -> (fragments, count)
    m.def("watershed", [](const py::object& library, const py::object& affinities_, const py::object& mask_, float low,
                          float high, bool waterz, bool per_section, const std::array<int64_t, 6>& inner) {
        Call call(library);
        const Array affinities = call.in(affinities_, "affinities");
        const Array mask = mask_.is_none() ? Array{} : call.in(mask_, "mask");
        const Shape shape = shape_of(affinities);
        const watershed::Options options{
            low, high, waterz, {{inner[0], inner[1], inner[2]}, {inner[3], inner[4], inner[5]}}};
        const bool wide = shape.voxels() > (int64_t(1) << 32) - 2;
        const std::vector<int64_t> out_shape(affinities.shape.begin() + 1, affinities.shape.end());
        const Array out = call.out(out_shape, wide ? "u8" : "u4");
        int64_t count = 0;
        visit_affinity(affinities.dtype, [&](auto zero) {
            using A = decltype(zero);
            const auto edges = edges_of<A>(affinities, mask, per_section);
            call.run([&](Executor& ex) {
                count = wide ? watershed::fragments(ex, edges, options, out.as<uint64_t>())
                             : watershed::fragments(ex, edges, options, out.as<uint32_t>());
            });
        });
        return py::make_tuple(out.object, count);
    });
    // (affinities, mask or None, per_section, shares) -> affinities
    m.def("affinity_quantiles", [](const py::object& library, const py::object& affinities_, const py::object& mask_,
                                   bool per_section, const std::vector<double>& shares) {
        Call call(library);
        const Array affinities = call.in(affinities_, "affinities");
        const Array mask = mask_.is_none() ? Array{} : call.in(mask_, "mask");
        std::vector<float> found;
        visit_affinity(affinities.dtype, [&](auto zero) {
            using A = decltype(zero);
            const auto edges = edges_of<A>(affinities, mask, per_section);
            call.run([&](Executor& ex) { found = watershed::quantiles(ex, edges, shares); });
        });
        return found;
    });
    // (pairs (n, 2) int64, sizes int64, merge_size, dust) -> (table, regions); host arrays alone
    m.def("link_by_size", [](const py::object& library, const py::object& pairs_, const py::object& sizes_,
                             int64_t merge_size, int64_t dust) {
        Call call(library);
        const Array pairs = call.in(pairs_, "pairs"), sizes = call.in(sizes_, "sizes");
        const Array table = call.out(sizes.shape, "u8");
        int64_t count = 0;
        call.run([&](Executor&) {
            const auto* first = sizes.as<const int64_t>();
            count = watershed::link_by_size(pairs.as<const int64_t>(), pairs.shape[0],
                                            std::vector<int64_t>(first, first + sizes.size()), merge_size, dust,
                                            table.as<uint64_t>());
        });
        return py::make_tuple(table.object, count);
    });
}

}  // namespace emfast
