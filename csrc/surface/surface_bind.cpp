#include <array>

#include "bindings/array.h"
#include "surface/surface.h"

namespace emfast {

namespace {

surface::Task task_of(const Array& truth, const Array& labels, std::array<uint64_t, 3> weights,
                      const std::string& sites, bool border) {
    if (truth.shape != labels.shape) refuse("labels must have the shape of truth");
    surface::Task task;
    task.labels[0] = {truth.data, truth.itemsize};
    task.labels[1] = {labels.data, labels.itemsize};
    task.shape = truth.volume();
    task.picture = truth.dims() < 3;
    for (int a = 0; a < 3; ++a) task.weight[a] = weights[a];
    task.sites = sites == "cells"    ? surface::Sites::cells
                 : sites == "points" ? surface::Sites::points
                                     : surface::Sites::voxels;
    task.border = border;
    return task;
}

}  // namespace

void register_surface(py::module_& m) {
    // pairs: (n, 2) uint64, bits of labels; boxes: (n, 6) int64, beginnings and ends; None for both: everything but 0
    // -> (starts, squares, codes, counts), see surface.h
    m.def("surface_distances",
          [](const py::object& library, const py::object& truth_, const py::object& labels_,
             const std::vector<std::array<uint64_t, 2>>& ids, const std::vector<std::array<int64_t, 6>>& boxes,
             bool masks, std::array<uint64_t, 3> weights, const std::string& sites, bool border) {
              Call call(library);
              const Array truth = call.in(truth_, "truth"), labels = call.in(labels_, "labels");
              const surface::Task task = task_of(truth, labels, weights, sites, border);
              if (ids.size() != boxes.size()) refuse("there must be as many boxes as pairs");
              std::vector<surface::Pair> pairs;
              for (size_t k = 0; k < ids.size(); ++k) {
                  const auto& b = boxes[k];
                  const Shape& n = task.shape;
                  const bool fits = 0 <= b[0] && b[0] < b[3] && b[3] <= n.z && 0 <= b[1] && b[1] < b[4] &&
                                    b[4] <= n.y && 0 <= b[2] && b[2] < b[5] && b[5] <= n.x;
                  if (!fits) refuse("boxes must lie in the volume");
                  pairs.push_back({{ids[k][0], ids[k][1]}, {{b[0], b[1], b[2]}, {b[3], b[4], b[5]}}});
              }
              surface::Histograms found;
              call.run([&](Executor& ex) {
                  found = masks ? surface::mask_distances(ex, task) : surface::distances(ex, task, pairs);
              });
              auto given = [&](const auto& values, const char* dtype) {
                  using T = typename std::decay_t<decltype(values)>::value_type;
                  const Array out = call.out({static_cast<int64_t>(values.size())}, dtype);
                  call.run([&](Executor& ex) { ex.store(out.as<T>(), values); });
                  return out.object;
              };
              return py::make_tuple(given(found.starts, "i8"), given(found.squares, "i8"), given(found.codes, "u1"),
                                    given(found.counts, "i8"));
          });
}

}  // namespace emfast
