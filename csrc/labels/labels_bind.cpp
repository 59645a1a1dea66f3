#include <optional>

#include "bindings/array.h"
#include "core/dtypes.h"
#include "labels/enclosed.h"
#include "labels/labels.h"
#include "labels/objects.h"

namespace emfast {
namespace {

using labels::Index;
using labels::Missing;
using labels::Points;
using labels::Rank;

bool is_signed(const Array& a) { return a.dtype[0] == 'i'; }

Rank rank_named(const std::string& order, const Array& a) {
    if (order == "first") return Rank::first;
    if (order == "size") return Rank::size;
    return is_signed(a) ? Rank::signed_value : Rank::value;
}

const char* smallest(uint64_t largest) {
    return largest <= UINT8_MAX ? "u1" : largest <= UINT16_MAX ? "u2" : largest <= UINT32_MAX ? "u4" : "u8";
}

labels::Grid grid(const Array& a) { return {a.volume(), a.dims() < 3}; }

// A Python integer of either sign as the bits of a label.
uint64_t bits(const py::int_& value) {
    if (value < py::int_(0)) return static_cast<uint64_t>(value.cast<int64_t>());
    return value.cast<uint64_t>();
}

}  // namespace

void register_labels(py::module_& m) {
    // -> ids, counts, first
    m.def("labels_unique", [](const py::object& library, const py::object& labels_, const std::string& order) {
        Call call(library);
        const Array a = call.in(labels_, "labels");
        return visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            std::optional<Index<T>> index;
            call.run([&](Executor& ex) { index.emplace(ex, a.as<T>(), a.size(), rank_named(order, a)); });
            const Array ids = call.out({index->size()}, a.dtype), counts = call.out({index->size()}, "i8"),
                        first = call.out({index->size()}, "i8");
            call.run([&](Executor& ex) { index->write(ex, ids.as<T>(), counts.as<int64_t>(), first.as<int64_t>()); });
            return py::make_tuple(ids.object, counts.object, first.object);
        });
    });

    // -> renumbered labels, old ids, new ids; dtype "" is the smallest that fits, limit the largest id that
    // dtype holds
    m.def("labels_renumber", [](const py::object& library, const py::object& labels_, const std::string& order,
                                uint64_t start, bool keep_zero, std::string dtype, uint64_t limit) {
        Call call(library);
        const Array a = call.in(labels_, "labels");
        return visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            std::optional<Index<T>> index;
            call.run(
                [&](Executor& ex) { index.emplace(ex, a.as<T>(), a.size(), rank_named(order, a), keep_zero, true); });
            const int64_t size = index->size();
            const bool kept = keep_zero && index->begins_with_zero();
            const uint64_t numbered = uint64_t(size) - kept;
            if (numbered && start > UINT64_MAX - (numbered - 1))
                refuse("start must leave room for ", numbered, " ids below 2**64, got ", start);
            const uint64_t largest = numbered ? start + numbered - 1 : 0;
            if (dtype.empty()) dtype = smallest(largest);
            else if (largest > limit)
                refuse("dtype must hold ids up to ", largest, ", got one that holds up to ", limit);
            const Array out = call.out(a.shape, dtype), old_ids = call.out({size}, a.dtype),
                        new_ids = call.out({size}, dtype);
            visit_width(out.itemsize, [&](auto out_zero) {
                using Out = decltype(out_zero);
                call.run([&](Executor& ex) {
                    index->write(ex, old_ids.as<T>(), nullptr, nullptr);
                    labels::number<Out>(ex, size, kept, start, new_ids.as<Out>());
                    index->template spread<Out>(ex, new_ids.as<Out>(), out.as<Out>());
                });
            });
            return py::make_tuple(out.object, old_ids.object, new_ids.object);
        });
    });

    // keys None: values is indexed by label. missing: "error", "keep" or an integer
    // -> remapped labels, index of the first label that is missing or -1, its bits
    m.def("labels_remap", [](const py::object& library, const py::object& labels_, const py::object& keys_,
                             const py::object& values_, const py::object& missing) {
        Call call(library);
        const Array a = call.in(labels_, "labels"), values = call.in(values_, "values");
        const Array keys = keys_.is_none() ? Array{} : call.in(keys_, "keys");
        if (keys.data && keys.itemsize != a.itemsize) refuse("keys must have the width of labels");
        const Array out = call.out(a.shape, values.dtype);
        int64_t lost = -1;
        uint64_t lost_label = 0;
        visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            visit_width(out.itemsize, [&](auto out_zero) {
                using Out = decltype(out_zero);
                labels::Remap<T, Out> job{a.as<T>(),      a.size(), keys.as<T>(), values.as<Out>(), values.size(),
                                          Missing::value, 0,        is_signed(a), out.as<Out>()};
                if (py::isinstance<py::str>(missing))
                    job.missing = missing.cast<std::string>() == "keep" ? Missing::keep : Missing::error;
                else job.otherwise = static_cast<Out>(bits(missing));
                static const T nothing = 0;
                if (!keys_.is_none() && !job.keys) job.keys = &nothing;  // an empty table is still a table
                call.run([&](Executor& ex) {
                    lost = labels::remap(ex, job);
                    if (lost >= 0) lost_label = ex.fetch(job.labels + lost);
                });
            });
        });
        return py::make_tuple(out.object, lost, lost_label);
    });

    // -> ids, offsets, indices
    m.def("labels_points", [](const py::object& library, const py::object& labels_, bool skip_zero) {
        Call call(library);
        const Array a = call.in(labels_, "labels");
        return visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            std::optional<Points<T>> points;
            call.run([&](Executor& ex) { points.emplace(ex, a.as<T>(), a.size(), is_signed(a), skip_zero); });
            const bool narrow = a.size() <= INT32_MAX;
            const Array ids = call.out({points->size()}, a.dtype), offsets = call.out({points->size() + 1}, "i8"),
                        indices = call.out({points->voxels()}, narrow ? "i4" : "i8");
            call.run([&](Executor& ex) {
                if (narrow)
                    points->template write<int32_t>(ex, ids.as<T>(), offsets.as<int64_t>(), indices.as<int32_t>());
                else points->template write<int64_t>(ex, ids.as<T>(), offsets.as<int64_t>(), indices.as<int64_t>());
            });
            return py::make_tuple(ids.object, offsets.object, indices.object);
        });
    });

    // -> least, most, as bits
    m.def("labels_extremes", [](const py::object& library, const py::object& labels_) {
        Call call(library);
        const Array a = call.in(labels_, "labels");
        if (a.size() == 0) refuse("labels must not be empty");
        return visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            labels::Extremes<T> found{};
            call.run([&](Executor& ex) { found = labels::extremes<T>(ex, a.as<T>(), a.size(), is_signed(a)); });
            return py::make_tuple(uint64_t(found.least), uint64_t(found.most));
        });
    });

    m.def("labels_narrow", [](const py::object& library, const py::object& labels_, const std::string& dtype) {
        Call call(library);
        const Array a = call.in(labels_, "labels"), out = call.out(a.shape, dtype);
        visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            visit_width(out.itemsize, [&](auto out_zero) {
                using Out = decltype(out_zero);
                call.run([&](Executor& ex) { labels::narrow<T, Out>(ex, a.as<T>(), a.size(), out.as<Out>()); });
            });
        });
        return out.object;
    });

    m.def("labels_gather", [](const py::object& library, const py::object& labels_, const py::object& indices_) {
        Call call(library);
        const Array a = call.in(labels_, "labels"), indices = call.in(indices_, "indices"),
                    out = call.out(indices.shape, a.dtype);
        visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                labels::gather<T>(ex, a.as<T>(), indices.as<int64_t>(), indices.size(), out.as<T>());
            });
        });
        return out.object;
    });

    // border: "ignore", "keep" or "remove"; high < 0 is no bound -> labels, number of objects kept
    m.def("labels_dust", [](const py::object& library, const py::object& labels_, int connectivity, int64_t low,
                            int64_t high, const std::string& border, bool invert) {
        Call call(library);
        const Array a = call.in(labels_, "labels"), out = call.out(a.shape, a.dtype);
        const auto rule = border == "keep"     ? labels::Border::keep
                          : border == "remove" ? labels::Border::remove
                                               : labels::Border::ignore;
        int64_t kept = 0;
        visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                kept = labels::dust<T>(ex, a.as<T>(), grid(a), connectivity, low, high < 0 ? INT64_MAX : high, rule,
                                       invert, out.as<T>());
            });
        });
        return py::make_tuple(out.object, kept);
    });

    m.def("labels_largest", [](const py::object& library, const py::object& labels_, int connectivity, int64_t k) {
        Call call(library);
        const Array a = call.in(labels_, "labels"), out = call.out(a.shape, a.dtype);
        int64_t kept = 0;
        visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run(
                [&](Executor& ex) { kept = labels::largest<T>(ex, a.as<T>(), grid(a), connectivity, k, out.as<T>()); });
        });
        return py::make_tuple(out.object, kept);
    });

    // -> labels, number of voxels changed
    m.def("labels_fill_holes", [](const py::object& library, const py::object& labels_, bool per_section) {
        Call call(library);
        const Array a = call.in(labels_, "labels"), out = call.out(a.shape, a.dtype);
        int64_t changed = 0;
        visit_width(a.itemsize, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                changed = labels::fill_holes<T>(ex, a.as<T>(), grid(a), per_section, out.as<T>());
            });
        });
        return py::make_tuple(out.object, changed);
    });

    // Who encloses whom, for fill_holes where the objects of a volume are found block by block; on the host.
    // edges (n, 2) uint32, outside and object a byte per node -> the node that encloses each, or 2**32 - 1
    m.def("labels_enclosures", [](const py::object& library, const py::object& edges_, const py::object& outside_,
                                  const py::object& object_) {
        Call call(library);
        const Array edges = call.in(edges_, "edges"), outside = call.in(outside_, "outside"),
                    object = call.in(object_, "object");
        const int64_t nodes = outside.size();
        if (nodes >= int64_t(labels::nobody))
            refuse("labels must fall into fewer than 2**32 - 1 objects and cavities, got ", nodes);
        const Array out = call.out(outside.shape, "u4");
        call.run([&](Executor&) {
            const auto* node = edges.as<const uint32_t>();
            std::vector<std::pair<uint32_t, uint32_t>> pairs;
            pairs.reserve(edges.shape[0]);
            for (int64_t k = 0; k < edges.shape[0]; ++k) pairs.emplace_back(node[2 * k], node[2 * k + 1]);
            const auto *is_outside = outside.as<const uint8_t>(), *is_object = object.as<const uint8_t>();
            const auto by = labels::enclosures(static_cast<uint32_t>(nodes), pairs, {is_outside, is_outside + nodes},
                                               {is_object, is_object + nodes});
            std::copy(by.begin(), by.end(), out.as<uint32_t>());
        });
        return out.object;
    });
}

}  // namespace emfast
