// The mutex watershed (Wolf et al., arXiv:1904.12654): a partition of voxels, or of the nodes of a graph, from weights that
// attract and weights that repel. No threshold, no seeds.
//
// Edges are ordered by the size of their weight, descending, then by id, ascending: a total order. Taken in this order, an
// attractive edge joins the clusters of its two ends unless a mutex stands between them, and a repulsive edge puts a mutex
// between the clusters of its ends if these differ. A joined cluster has the mutexes of both. Edges of weight 0 decide
// nothing. Whatever the schedule, the partition is the one of this sequential rule.
//
// On a grid, channel k at voxel i is the edge i -- i + offset[k]; its id is i * channels + k. Edges that leave the volume or
// have a masked end do not exist. Values are affinities a from 0 to 1, where an attractive channel weighs a and a repulsive
// one 1 - a (255 - a for uint8; rounded to float32 for floats), or signed weights, of which the negative ones repel.
// Repulsive channels may be thinned: to the voxels of a grid of strides, or at random to one edge in as many.
//
// Seeds (0: none) are joined from the start where equal, and kept apart where not.
#pragma once

#include <cstdint>
#include <vector>

#include "core/affinity.h"
#include "core/exec.h"
#include "core/view.h"

namespace emfast::mutex {

struct Channel {
    Point offset;
    bool repulsive;
};

struct Thinning {
    Point strides{1, 1, 1};
    bool random = false;
    uint64_t seed = 0;

    EMFAST_HD int64_t one_in() const { return strides.z * strides.y * strides.x; }
};

template <class A>
struct Grid {
    Shape shape;
    const A* values;
    const uint8_t* mask;  // may be null
    const uint32_t* seeds;  // may be null; 0, or from 1 to seed_count
    uint32_t seed_count;
    std::vector<Channel> channels;
    Thinning thinning;
    bool has_sign;  // float types alone
    int64_t edges_at_once = 0;  // host: how many are sorted at once; 0 lets it choose
};

struct Outcome {
    int64_t segments;
    int64_t bad;  // channel * voxels + voxel of the first value that is not welcome, or -1
};

// Labels of segments: those with a seed bear its number, the others follow from seed_count + 1 on, by their first voxel.
// 0 outside the mask. Fewer than 2^32 - 1 voxels.
template <class A>
Outcome watershed(Executor& ex, const Grid<A>& grid, uint32_t* labels);

// The same on a graph of n nodes. Edge e joins ends[2 e] and ends[2 e + 1], less than n, and has the id e. Weights are
// finite. Labels count from 1 by the first node of each cluster; their number is returned.
int64_t watershed_of_graph(Executor& ex, int64_t n, int64_t edges, const uint32_t* ends, const double* weights,
                           uint32_t* labels);

}  // namespace emfast::mutex
