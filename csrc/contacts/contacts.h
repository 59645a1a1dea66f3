// Which labels touch: for every pair of ids the faces they share along each axis, and all pairs of voxels that are
// neighbours under the connectivity. Each pair of neighbouring voxels is looked at once, from the voxel that comes first
// along one of 3, 9 or 13 directions. On a periodic axis the last voxel is followed by the first.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::contacts {

struct Options {
    bool has_background = true;
    uint64_t background = 0;  // pairs with this id are left out
    uint64_t flip = 0;  // the sign bit for signed labels: pairs are ordered by value
    int reach = 1;  // axes a neighbour may differ along: 1 faces, 2 edges too, 3 corners too
    bool periodic[3] = {};
};

inline constexpr int width = 4;  // faces along z, y, x; neighbours in all

struct Table {
    int64_t count = 0;
    Scratch<uint64_t> a, b;  // a < b by value; ascending by a, then b
    Scratch<int64_t> cells;  // count rows of width
};

template <class T>
Table count(Executor& ex, View<const T> labels, const Options& options);

}  // namespace emfast::contacts
