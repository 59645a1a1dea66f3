// Connected components of a label volume.
//
// Two voxels are joined if they are neighbours (6: faces, 18: and edges, 26: and corners; in a picture 6 means 4, 18 and 26
// mean 8) and hold the same value (or, with a tolerance, values that differ by at most delta). Background voxels are joined
// with nobody and get 0. A component is named after its smallest voxel index, and final labels are the ranks of those names
// from 1: numbering by first appearance in raster (z, y, x) order, whatever the executor.
//
// label() finds the components and their number; write() spreads the labels into an output whose type was chosen meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::components {

struct Options {
    int connectivity = 26;  // 6, 18 or 26
    bool has_background = true;  // false: every value is labelled
    uint64_t background = 0;  // its bits, in the width of the labels
    bool binary = false;  // the input holds only 0 and 1 (bool)
    bool periodic = false;  // opposite faces of the volume touch
};

class Labelling {
  public:
    virtual ~Labelling() = default;
    // out holds one unsigned integer of that many bytes a voxel; the count must fit.
    virtual void write(Executor& ex, void* out, int bytes) = 0;

    int64_t count = 0;
};

// T is an unsigned type: labels are compared as bits.
template <class T>
std::unique_ptr<Labelling> label(Executor& ex, View<const T> labels, const Options& options);

// Neighbours are joined if |a - b| <= delta; options.background is not used, zero is the background if there is one. T is any integer or float
// type; for integers delta is a whole number below 2^64. NaN is joined with nobody.
template <class T>
std::unique_ptr<Labelling> label_near(Executor& ex, View<const T> values, double delta, const Options& options);

}  // namespace emfast::components
