// MALIS (Turaga 2009), constrained (Funke 2018): how many pairs of voxels each edge of a maximum spanning tree decides.
//
// Edges join voxel p and p + offsets[k] inside the volume; id p * channels + k. In the order of their affinity, the
// largest first, then of the smaller id, an edge that joins two trees decides every pair of one voxel on either side.
// There are two passes:
//   positive   affinities min(a, target): an edge whose target is 1 counts the pairs of one label that it decides
//   negative   affinities max(a, target): an edge whose target is 0 counts the pairs of two labels that it decides
// Edges that are not known keep their affinity in both passes, and count nothing. Voxels of label 0 are in no pair.
//
// Without labels these are the parts that known edges of target 1 connect; a voxel on its own is then label 0.
#pragma once

#include <cstdint>
#include <vector>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::malis {

// Samples lie one after another, in each of them channels of affinities.
struct Graph {
    int64_t samples;
    Shape shape;
    std::vector<Point> offsets;
    const float* affinities;  // from 0 to 1; others are refused
    const uint8_t* target;
    const uint8_t* known;  // null: all
    const uint32_t* labels;  // null: from the target

    int64_t channels() const { return static_cast<int64_t>(offsets.size()); }
    int64_t edges() const { return channels() * shape.voxels(); }  // of a sample
};

// pairs (samples, channels, z, y, x): of the pass in which the edge may count; 0 where it joins nothing or leaves the
// volume. sums (samples, 4): the pairs of one label, and of two, there are; those counted in the positive pass, and in the
// negative. Samples have fewer than 2^32 edges, labels are below 2^32 - 1.
void count(Executor& ex, const Graph& graph, uint64_t* pairs, uint64_t* sums);

}  // namespace emfast::malis
