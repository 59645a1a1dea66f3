// The region graph of a volume of fragments: one edge for every pair of different fragments, 0 left out, that some voxel
// edge joins. Channel k of the affinities holds, at voxel p, the voxel edge p -- p + offsets[k]; the value is never read
// where p + offsets[k] lies outside.
//
// A voxel edge belongs to its source p, the voxel that holds its value. So a block of a larger volume adds the voxel edges
// whose source lies in its core, reads as far beyond it as the offsets are long, and the sum over blocks that tile the
// volume is the graph of the whole. Ids are those of the whole volume: voxel * channels + channel.
//
// Sums are integers (core/affinity.h), so nothing depends on the order of addition.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/affinity.h"
#include "core/exec.h"
#include "core/view.h"

namespace emfast::region_graph {

struct Offset {
    int64_t z, y, x;
};

struct Options {
    std::vector<Offset> offsets;  // one per channel
    Point low{}, high{};  // the core: sources from low up to, not including, high
    Point origin{};  // of the array in the whole volume
    Shape whole;
    uint64_t flip = 0;  // the sign bit for signed labels: pairs are ordered by value
    bool histogram = false;
};

// The result's arrays. T is the labels' type as bit patterns, Bits that of the affinities.
struct Columns {
    void* edges = nullptr;  // rows of two T: u < v by value, rows ascending
    int64_t *counts = nullptr, *sums = nullptr;  // voxel edges, and the sum of their affinities on the grid
    void *low = nullptr, *high = nullptr;  // Bits: the smallest and largest affinity
    int64_t* faces = nullptr;  // rows of three: voxel faces shared across z, y, x (offsets of one step along one axis)
    int64_t* ids = nullptr;  // the smallest id of a voxel edge
    void* nodes = nullptr;  // T, ascending: every fragment with a voxel in the core, or at an edge
    int64_t* sizes = nullptr;  // voxels in the core
    int64_t* starts = nullptr;  // edges + 1: where an edge's bins begin
    uint8_t* bins = nullptr;  // ascending within an edge; none that is empty
    int64_t* bin_counts = nullptr;
};

// A finished graph that waits for its arrays.
class Build {
  public:
    virtual ~Build() = default;
    virtual void write(Executor& ex, const Columns& to) = 0;

    int64_t edges = 0, nodes = 0, bins = 0;
    int64_t refused = -1;  // the smallest (voxel in this array) * channels + channel of an affinity outside 0 to 1
};

template <class T, class A>
std::unique_ptr<Build> build(Executor& ex, View<const T> labels, const A* affinities, const Options& options);

}  // namespace emfast::region_graph
