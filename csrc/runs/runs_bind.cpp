#include <algorithm>
#include <optional>

#include "bindings/array.h"
#include "core/dtypes.h"
#include "runs/runs.h"

#include <pybind11/numpy.h>

// Arrays of NumPy alone: what is larger than memory is read by the host.
namespace emfast {
namespace {

#if EMFAST_BACKEND != EMFAST_CUDA

using watershed::Box;

// A box of an array, as it lies: its rows are dense.
struct Lying {
    void* data;
    std::string dtype;
    int itemsize;
    Shape shape;
    int64_t channels, channel, plane, row;  // and elements from one to the next

    Lying(const py::array& array, const char* name, bool has_channels) {
        const int dims = static_cast<int>(array.ndim()), space = dims - has_channels;
        if (space < 2 || space > 3) refuse(name, " must have 2 or 3 axes of space, got ", space);
        const py::dtype type = array.dtype();
        itemsize = static_cast<int>(type.itemsize());
        dtype = std::string(1, type.kind()) + std::to_string(itemsize);
        auto side = [&](int axis) { return static_cast<int64_t>(array.shape(axis)); };
        auto step = [&](int axis) { return static_cast<int64_t>(array.strides(axis)) / itemsize; };
        shape = {space == 3 ? side(dims - 3) : 1, side(dims - 2), side(dims - 1)};
        channels = has_channels ? side(0) : 1;
        channel = has_channels ? step(0) : 0;
        row = step(dims - 2);
        plane = space == 3 ? step(dims - 3) : row * shape.y;
        if (shape.x > 1 && step(dims - 1) != 1) refuse(name, " must have dense rows here");
        data = const_cast<void*>(array.data());
    }
    template <class T>
    Lines<const T> lines() const {
        return {static_cast<const T*>(data), shape, plane, row};
    }
};

Box box_of(const std::array<int64_t, 6>& b, const Shape& within) {
    const Box box{{b[0], b[1], b[2]}, {b[3], b[4], b[5]}};
    auto inside = [](int64_t begin, int64_t end, int64_t n) { return 0 <= begin && begin <= end && end <= n; };
    if (!inside(b[0], b[3], within.z) || !inside(b[1], b[4], within.y) || !inside(b[2], b[5], within.x))
        refuse("box must lie within the runs");
    return box;
}

template <class T>
py::object given(Call& call, const std::vector<T>& values, const char* dtype) {
    const Array out = call.out({static_cast<int64_t>(values.size())}, dtype);
    std::copy(values.begin(), values.end(), out.as<T>());
    return out.object;
}

// -> bits, labels, runs before each row, first voxels, sizes; None where values are refused
py::object finish(Call& call, const runs::Runs& found) {
    if (!found.sound) return py::none();
    return py::make_tuple(given(call, found.bits, "u8"), given(call, found.labels, "u4"),
                          given(call, found.before, "i8"), given(call, found.first, "i8"),
                          given(call, found.sizes, "i8"));
}

py::object components_runs(const py::object& library, const py::array& labels_, int connectivity,
                           std::optional<uint64_t> background, bool sizes) {
    Call call(library);
    const Lying labels(labels_, "labels", false);
    const components::Options options{connectivity, background.has_value(), background.value_or(0),
                                      labels.dtype[0] == 'b' && background == uint64_t(0), false};
    const Shape& s = labels.shape;
    const Box all{{0, 0, 0}, {s.z, s.y, s.x}};
    std::optional<runs::Runs> found;
    visit_width(labels.itemsize, [&](auto zero) {
        using T = decltype(zero);
        call.run([&](Executor& ex) {
            found = runs::components_of<T>(ex, labels.lines<T>(), options, sizes ? &all : nullptr);
        });
    });
    return finish(call, *found);
}

py::object watershed_runs(const py::object& library, const py::array& affinities_, const py::object& mask_, float low,
                          float high, bool per_section, const std::array<int64_t, 6>& inner, bool sizes) {
    Call call(library);
    const Lying affinities(affinities_, "affinities", true);
    const Array mask = mask_.is_none() ? Array{} : call.in(mask_, "mask");
    const Shape shape = affinities.shape;
    const bool picture = affinities.channels == 2;
    const watershed::Options options{low, high, false, box_of(inner, shape)};
    std::optional<runs::Runs> found;
    visit_affinity(affinities.dtype, [&](auto zero) {
        using A = decltype(zero);
        const A* first = static_cast<const A*>(affinities.data);
        const int64_t c = affinities.channel;
        const watershed::Edges<A> edges{shape,
                                        picture || per_section ? nullptr : first,
                                        first + (picture ? 0 : c),
                                        first + (picture ? 1 : 2) * c,
                                        mask.as<const uint8_t>(),
                                        affinities.plane,
                                        affinities.row};
        call.run([&](Executor& ex) { found = runs::fragments_of<A>(ex, edges, options, sizes); });
    });
    return finish(call, *found);
}

void runs_spread(const py::object& library, const std::array<int64_t, 3>& shape_, const py::object& bits_,
                 const py::object& labels_, const py::object& before_, const std::array<int64_t, 6>& box_,
                 const py::object& table_, py::array out_) {
    Call call(library);
    const Shape shape{shape_[0], shape_[1], shape_[2]};
    const Array bits = call.in(bits_, "bits"), labels = call.in(labels_, "labels"), before = call.in(before_, "before"),
                table = call.in(table_, "table");
    if (bits.size() != shape.rows() * 2 * bit_words(shape.x) || bits.itemsize != 8 || labels.itemsize != 4 ||
        before.size() != shape.rows() + 1 || before.itemsize != 8)
        refuse("runs must be those of a block of their shape");
    const Box box = box_of(box_, shape);
    if (!out_.writeable()) refuse("out must be writeable");
    const Lying out(out_, "out", false);
    const Shape& s = out.shape;
    if (s.z != box.end.z - box.begin.z || s.y != box.end.y - box.begin.y || s.x != box.end.x - box.begin.x)
        refuse("out must have the shape of the box");
    if (out.itemsize != table.itemsize) refuse("out must have the dtype of table");
    visit_width(out.itemsize, [&](auto zero) {
        using Out = decltype(zero);
        call.run([&](Executor& ex) {
            runs::spread<Out>(ex,
                              {shape, bits.as<const uint64_t>(), labels.as<const uint32_t>(), labels.size(),
                               before.as<const int64_t>()},
                              box, table.as<const Out>(), table.size(), static_cast<Out*>(out.data), out.plane,
                              out.row);
        });
    });
}

#else

py::object on_host(const py::args&) { refuse("blocks are arrays of NumPy"); }
constexpr auto components_runs = on_host, watershed_runs = on_host, runs_spread = on_host;

#endif

}  // namespace

void register_runs(py::module_& m) {
    // (labels, connectivity, background bits or None, sizes)
    m.def("components_runs", components_runs);
    // (affinities, mask or None, low, high, per_section, begin and end of the inner box, sizes)
    m.def("watershed_runs", watershed_runs);
    // (shape of the block, bits, labels, runs before each row, begin and end of a box in it, table, out)
    m.def("runs_spread", runs_spread);
}

}  // namespace emfast
