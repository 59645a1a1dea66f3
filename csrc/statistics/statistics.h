// Exact integer sums of every label of a volume: voxel counts, boxes, sums of coordinates and of their products, equal
// neighbours along the 13 directions (for the surface), and the place of the largest of given values. All that is a float
// (centroids, axes, areas) is derived from them in Python by one expression, so it is the same everywhere.
//
// Sums of products are kept modulo 2^64: the moments about a label's own box fit in 63 bits whenever voxels times the
// square of the box's longest side is below 2^62, and are then exact whatever the sums about the origin have done.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/steps.h"
#include "core/view.h"

namespace emfast::statistics {

struct Options {
    bool has_background = true;
    uint64_t background = 0;  // the bit pattern that is left out
    uint64_t flip = 0;  // the sign bit for signed labels: ids are ordered by value
    int64_t strides[3] = {};  // of the caller's flat index (C order of the caller's axes), along the axes of memory
    bool moments = false;
    bool surface = false;
    const float* values = nullptr;  // the largest magnitude per label is wanted, and where it is
};

// The cells of one label, in this order; groups that were not asked for take no room.
struct Layout {
    static constexpr int voxels = 0, first = 1, low = 2, high = 5, sum = 8, basic = 11;
    int moments, equal, peak, width;  // peak: bits of the largest magnitude, then its flat index

    EMFAST_HD explicit Layout(const Options& o)
        : moments(basic),
          equal(moments + (o.moments ? 6 : 0)),
          peak(equal + (o.surface ? directions : 0)),
          width(peak + (o.values ? 2 : 0)) {}
};

// Products in this order: zz yy xx zy zx yx. Equal neighbours in the order of core/steps.h.

struct Table {
    int64_t count = 0;
    int width = 0;
    Scratch<uint64_t> ids;  // ascending by value
    Scratch<int64_t> cells;  // count rows of width
};

template <class T>
Table measure(Executor& ex, View<const T> labels, const Options& options);

}  // namespace emfast::statistics
