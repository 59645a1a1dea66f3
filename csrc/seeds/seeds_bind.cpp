#include "bindings/array.h"
#include "core/dtypes.h"
#include "seeds/markers.h"

namespace emfast {
namespace {

template <class F>
void visit_height(const std::string& dtype, F&& f) {
    if (dtype == "u1" || dtype == "b1") return f(uint8_t{});
    if (dtype == "u2") return f(uint16_t{});
    if (dtype == "u4") return f(uint32_t{});
    if (dtype == "i2") return f(int16_t{});
    if (dtype == "i4") return f(int32_t{});
    if (dtype == "f2") return f(Half{});
    if (dtype == "f4") return f(float{});
    refuse("values must be of 8, 16 or 32 bits, got ", dtype);
}

}  // namespace

void register_seeds(py::module_& m) {
    // (height, seeds, mask or None, axes 1 2 3, planar, lines) -> labels
    m.def("seeded_watershed", [](const py::object& library, const py::object& height_, const py::object& seeds_,
                                 const py::object& mask_, int axes, bool planar, bool lines) {
        Call call(library);
        const Array height = call.in(height_, "height"), seeds = call.in(seeds_, "seeds");
        const Array mask = mask_.is_none() ? Array{} : call.in(mask_, "mask");
        const Array out = call.out(seeds.shape, seeds.dtype);
        const seeds::Options options{axes, planar || height.dims() == 2, lines};
        visit_height(height.dtype, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                seeds::flood(ex, height.volume(), height.as<const T>(), mask.as<const uint8_t>(), seeds.data,
                             seeds.itemsize, options, out.data);
            });
        });
        return out.object;
    });
    // (height as doubles, seeds, mask or None, axes 1 2 3, compactness, lines) -> labels
    m.def("seeded_watershed_queue", [](const py::object& library, const py::object& height_, const py::object& seeds_,
                                       const py::object& mask_, int axes, double compactness, bool lines) {
        Call call(library);
        const Array height = call.in(height_, "height"), seeds = call.in(seeds_, "seeds");
        const Array mask = mask_.is_none() ? Array{} : call.in(mask_, "mask");
        const Array out = call.out(seeds.shape, seeds.dtype);
        visit_width(seeds.itemsize, [&](auto zero) {
            using S = decltype(zero);
            call.run([&](Executor& ex) {
                seeds::flood_by_queue(ex, height.volume(), height.as<const double>(), mask.as<const uint8_t>(),
                                      seeds.as<const S>(), axes, compactness, lines, out.as<S>());
            });
        });
        return out.object;
    });
    // (values, mask or None, h, axes 1 2 3, planar) -> bool
    m.def("h_maxima", [](const py::object& library, const py::object& values_, const py::object& mask_, double h,
                         int axes, bool planar) {
        Call call(library);
        const Array values = call.in(values_, "values");
        const Array mask = mask_.is_none() ? Array{} : call.in(mask_, "mask");
        const Array out = call.out(values.shape, "b1");
        const seeds::Options options{axes, planar || values.dims() == 2, false};
        visit_height(values.dtype, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                seeds::h_maxima(ex, values.volume(), values.as<const T>(), mask.as<const uint8_t>(), h, options,
                                out.as<uint8_t>());
            });
        });
        return out.object;
    });
    // (values, mask or None, threshold, separation, spacing, planar) -> (numbers, count)
    m.def("peaks", [](const py::object& library, const py::object& values_, const py::object& mask_, double threshold,
                      double separation, const std::array<double, 3>& spacing_, bool planar) {
        Call call(library);
        const Array values = call.in(values_, "values");
        const Array mask = mask_.is_none() ? Array{} : call.in(mask_, "mask");
        const Array out = call.out(values.shape, "u4");
        const double spacing[3] = {spacing_[0], spacing_[1], spacing_[2]};
        int64_t count = 0;
        visit_height(values.dtype, [&](auto zero) {
            using T = decltype(zero);
            call.run([&](Executor& ex) {
                count = seeds::peaks(ex, values.volume(), values.as<const T>(), mask.as<const uint8_t>(), threshold,
                                     separation, spacing, planar || values.dims() == 2, out.as<uint32_t>());
            });
        });
        return py::make_tuple(out.object, count);
    });
    // (affinities, planar, share) -> bool, or the place of an affinity that is not from 0 to 1
    m.def("above_mean",
          [](const py::object& library, const py::object& affinities_, bool planar, double share) -> py::object {
              Call call(library);
              const Array affinities = call.in(affinities_, "affinities");
              const Array out =
                  call.out(std::vector<int64_t>(affinities.shape.begin() + 1, affinities.shape.end()), "b1");
              Shape shape = affinities.volume();
              const bool picture = affinities.dims() == 3;
              if (picture) shape.z = 1;
              int64_t bad = -1;
              visit_affinity(affinities.dtype, [&](auto zero) {
                  using A = decltype(zero);
                  call.run([&](Executor& ex) {
                      bad = seeds::above_mean(ex, shape, affinities.as<const A>(), picture ? 2 : 3, planar, share,
                                              out.as<uint8_t>());
                  });
              });
              if (bad >= 0) return py::int_(bad);
              return out.object;
          });
}

}  // namespace emfast
