// Watershed on nearest affinities: fragments.
//
// The edge between a voxel and the one before it along an axis has the affinity stored at the later voxel. Its id is
// voxel * channels + channel. Edges that leave the volume or have a masked end do not exist. Edges are ordered by affinity,
// descending, then by id, ascending: a total order, in which the six edges of a voxel come, where affinities are equal, as
// -z -y -x +x +y +z.
//
// A voxel picks edges:
//   - none, and is background, if its largest affinity is `low` or less, or if it has no edge;
//   - its best edge in the order (strict), or all that share its largest affinity (waterz);
//   - every edge of affinity `high` or more.
// With waterz, voxels that picked several edges and none of `high` or more are then divided as waterz does: exits are voxels
// with a picked edge that its other end did not pick; from all exits, in raster order, a first-in-first-out flood goes over
// edges picked at both ends, and each voxel it takes from the queue keeps one edge, the last in order -z -y -x +z +y +x whose
// other end has not picked it or has been divided before.
// Fragments are what picked edges connect, numbered from 1 by their first voxel in raster order.
//
// Strict fragments are the components of a set of edges in which every edge is there or not by its two ends alone. So a
// volume may be cut into blocks. A block is given with a halo of one voxel on the sides where the volume goes on; `inner` is the
// box of its own voxels, which pick, while voxels of the halo take part in edges that were picked from inside. Fragments of
// the whole are what remains when the labels of all blocks are united wherever two blocks label the same voxel, both not 0.
#pragma once

#include <cstdint>
#include <vector>

#include "core/affinity.h"
#include "core/exec.h"
#include "core/view.h"

namespace emfast::watershed {

struct Box {
    Point begin, end;
    EMFAST_HD bool holds(const Point& p) const {
        return p.z >= begin.z && p.z < end.z && p.y >= begin.y && p.y < end.y && p.x >= begin.x && p.x < end.x;
    }
};

// The affinities of a volume. A null pointer: there are no edges along this axis.
template <class A>
struct Edges {
    Shape shape;
    const A *z, *y, *x;
    const uint8_t* mask;  // may be null
    int64_t plane = 0,
            row = 0;  // elements from one to the next of a block within a larger array, for the host's runs; 0: dense

    // Row r of an axis's values; the mask is dense.
    EMFAST_HD const A* line(const A* values, int64_t r) const {
        return values + (row ? r / shape.y * plane + r % shape.y * row : r * shape.x);
    }
    EMFAST_HD int64_t step(int axis) const { return axis == 0 ? shape.y * shape.x : axis == 1 ? shape.x : 1; }

    // The affinity between voxel i and the one before it along an axis, null where there is no such edge.
    EMFAST_HD const A* before(int axis, int64_t i, const Point& p) const {
        const A* values = axis == 0 ? z : axis == 1 ? y : x;
        if (!values || (axis == 0 ? p.z : axis == 1 ? p.y : p.x) == 0) return nullptr;
        return mask && !(mask[i] && mask[i - step(axis)]) ? nullptr : values + i;
    }
};

// Thresholds are compared in float32, as what NumPy and waterz would see: uint8 a counts as float(a) / 255.0f.
struct Options {
    float low = 0, high = 1;  // low < high
    bool waterz = false;
    Box inner;  // the whole volume, or the block without its halo (strict alone)
};

// Writes the fragments and returns their number. Refuses affinities that are not from 0 to 1.
template <class A, class Out>
int64_t fragments(Executor& ex, const Edges<A>& edges, const Options& options, Out* out);

// For each q (0 to 1) the smallest affinity that at least the share q of all edges does not exceed; 0 where there are none.
template <class A>
std::vector<float> quantiles(Executor& ex, const Edges<A>& edges, const std::vector<double>& q);

// Size-dependent single linkage (Zlateski & Seung 2015). pairs: n edges of the region graph of fragments 1 .. sizes.size() - 1,
// the largest affinity first. In that order each unites the regions at its ends if one of them has fewer than merge_size
// voxels by then. Regions of fewer than dust voxels are left out. table[k]: what fragment k becomes, numbered from 1 by the regions'
// smallest fragments; table[0] is 0. Returns the number of regions. One thread, host memory, also in _cuda.
int64_t link_by_size(const int64_t* pairs, int64_t n, std::vector<int64_t> sizes, int64_t merge_size, int64_t dust,
                     uint64_t* table);

}  // namespace emfast::watershed
