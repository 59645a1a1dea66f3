// Targets made from labels: affinities and boundaries.
//
// affinities: channel k at voxel p says whether p and p + offset[k] belong to the same object: their labels are equal and not
// 0. An edge is valid if both ends lie in the volume and are usable (neither masked nor of an ignored label). An edge that is
// not valid has affinity 0.
//
// boundaries: a voxel is marked if one of its neighbours (6, 18 or 26; in a picture 6 means 4, the others 8) holds another
// label. With `inner`, voxels of label 0 are not marked.
#pragma once

#include <cstdint>
#include <vector>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::affinities {

// usable[i]: 1 where mask (if any) is not 0 and the label is none of `ignored` (bit patterns). T is unsigned.
template <class T>
void usable(Executor& ex, View<const T> labels, const uint8_t* mask, const std::vector<uint64_t>& ignored,
            uint8_t* out);

// out: offsets.size() volumes with `one` where the affinity is 1. usable and valid (as many volumes, 0 or 1) may be null.
template <class T, class Out>
void build(Executor& ex, View<const T> labels, const uint8_t* usable, const std::vector<Point>& offsets, Out one,
           Out* out, uint8_t* valid);

template <class T>
void boundaries(Executor& ex, View<const T> labels, int connectivity, bool inner, uint8_t* out);

// The same of the voxels of a box inside the volume alone, as targets of a network: both 0 or 1, (channels, box). An edge
// that ends in the volume exists; mask may be null.
template <class T>
void within(Executor& ex, View<const T> labels, const uint8_t* mask, const std::vector<Point>& offsets,
            const Point& begin, const Shape& core, float* out, float* valid);

}  // namespace emfast::affinities
