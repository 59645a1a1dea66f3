#include <array>

#include "bindings/array.h"
#include "core/dtypes.h"
#include "distance/distance.h"

namespace emfast {

namespace {

// Squared spacings in units, in the order of the array's axes, and the unit. A picture has no axis z.
distance::Metric metric_of(const Array& labels, const std::vector<uint64_t>& weights, double unit,
                           double unit_squared) {
    const size_t n = weights.size();
    if (static_cast<int>(n) != labels.dims() || n < 2 || n > 3) refuse("weights must have one value per axis");
    return {n == 3 ? weights[0] : 0, weights[n - 2], weights[n - 1], unit, unit_squared};
}

distance::Style style_of(bool border, bool with_sign, bool squared, float clip, double tanh) {
    distance::Style style;
    style.border = border;
    style.with_sign = with_sign;
    style.squared = squared;
    style.clip = clip;
    style.tanh = tanh;
    return style;
}

template <class F>
void visit_words(int itemsize, F&& f) {
    if (itemsize == 4) f(uint32_t{});
    else if (itemsize == 8) f(uint64_t{});
    else refuse("words must have 4 or 8 bytes, got ", itemsize);
}

}  // namespace

void register_distance(py::module_& m) {
    m.def("distance_transform",
          [](const py::object& library, const py::object& labels_, const std::vector<uint64_t>& weights, double unit,
             double unit_squared, bool border, bool with_sign, bool squared, float clip, double tanh) {
              Call call(library);
              const Array labels = call.in(labels_, "labels");
              const auto metric = metric_of(labels, weights, unit, unit_squared);
              const auto style = style_of(border, with_sign, squared, clip, tanh);
              const Array out = call.out(labels.shape, "f4");
              visit_width(labels.itemsize, [&](auto zero) {
                  using T = decltype(zero);
                  call.run([&](Executor& ex) {
                      distance::transform<T>(ex, labels.as<T>(), labels.volume(), metric, style, out.as<float>());
                  });
              });
              return out.object;
          });
    // The transform axis by axis, see row_words: words of 4 or 8 bytes, unsigned.
    m.def("distance_rows", [](const py::object& library, const py::object& labels_,
                              const std::vector<uint64_t>& weights, bool border, bool with_sign, bool wide) {
        Call call(library);
        const Array labels = call.in(labels_, "labels");
        const auto metric = metric_of(labels, weights, 1, 1);
        const auto style = style_of(border, with_sign, false, 0, 0);
        const Array out = call.out(labels.shape, wide ? "u8" : "u4");
        visit_width(labels.itemsize, [&](auto zero) {
            using T = decltype(zero);
            visit_words(out.itemsize, [&](auto word) {
                using U = decltype(word);
                call.run([&](Executor& ex) {
                    distance::row_words<T, U>(ex, labels.as<T>(), labels.volume(), metric, style, out.as<U>());
                });
            });
        });
        return out.object;
    });
    m.def("distance_columns",
          [](const py::object& library, const py::object& words_, const std::vector<uint64_t>& weights, bool border) {
              Call call(library);
              const Array words = call.in(words_, "words"), out = call.out(words.shape, words.dtype);
              const auto metric = metric_of(words, weights, 1, 1);
              visit_words(words.itemsize, [&](auto word) {
                  using U = decltype(word);
                  call.run([&](Executor& ex) {
                      distance::column_words<U>(ex, words.as<U>(), words.volume(), metric, border, out.as<U>());
                  });
              });
              return out.object;
          });
    m.def("distance_last_columns",
          [](const py::object& library, const py::object& words_, const std::vector<uint64_t>& weights, double unit,
             double unit_squared, bool border, bool squared, float clip, double tanh) {
              Call call(library);
              const Array words = call.in(words_, "words"), out = call.out(words.shape, "f4");
              const auto metric = metric_of(words, weights, unit, unit_squared);
              const auto style = style_of(border, false, squared, clip, tanh);
              visit_words(words.itemsize, [&](auto word) {
                  using U = decltype(word);
                  call.run([&](Executor& ex) {
                      distance::column_distances<U>(ex, words.as<U>(), words.volume(), metric, style, out.as<float>());
                  });
              });
              return out.object;
          });
    m.def("distance_barrier",
          [](const py::object& library, const py::object& labels_, const py::object& graph_,
             const std::vector<uint64_t>& weights, double unit, double unit_squared, bool border, bool squared) {
              Call call(library);
              const Array labels = call.in(labels_, "labels"), graph = call.in(graph_, "voxel_graph");
              if (graph.shape != labels.shape) refuse("voxel_graph must have the shape of labels");
              const auto metric = metric_of(labels, weights, unit, unit_squared);
              distance::Style style;
              style.border = border;
              style.squared = squared;
              const Array out = call.out(labels.shape, "f4");
              visit_width(labels.itemsize, [&](auto zero) {
                  using T = decltype(zero);
                  call.run([&](Executor& ex) {
                      distance::barrier<T>(ex, labels.as<T>(), graph.as<uint8_t>(), graph.itemsize, labels.volume(),
                                           metric, style, out.as<float>());
                  });
              });
              return out.object;
          });
    m.def("distance_nearest",
          [](const py::object& library, const py::object& labels_, const std::vector<uint64_t>& weights) {
              Call call(library);
              const Array labels = call.in(labels_, "labels");
              const auto metric = metric_of(labels, weights, 1, 1);
              const Array out = call.out(labels.shape, "i8");
              visit_width(labels.itemsize, [&](auto zero) {
                  using T = decltype(zero);
                  call.run([&](Executor& ex) {
                      distance::nearest<T>(ex, labels.as<T>(), labels.volume(), metric, out.as<int64_t>());
                  });
              });
              return out.object;
          });
    m.def("distance_measure", [](const py::object& library, const py::object& nearest_,
                                 const std::vector<uint64_t>& weights, double unit, double unit_squared, bool squared) {
        Call call(library);
        const Array nearest = call.in(nearest_, "nearest");
        const auto metric = metric_of(nearest, weights, unit, unit_squared);
        const Array out = call.out(nearest.shape, "f4");
        call.run([&](Executor& ex) {
            distance::measure(ex, nearest.as<int64_t>(), nearest.volume(), metric, squared, out.as<float>());
        });
        return out.object;
    });
}

}  // namespace emfast
