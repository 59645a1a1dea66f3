// Where a segmentation differs from the truth: one pass over both volumes finds
//   regions  the voxels that a true object shares with a segment, for every pair that occurs,
//   sites    voxel faces between two segments inside one true object (splits), and between two true objects inside one
//            segment (merges). The background, ignored true ids and masked voxels are at no site.
// Both come with a row of cells: exact sums, a box, and a few of their voxels.
//
// A face belongs to its higher voxel, and so to the block that holds it: a block is given with the voxels before its core,
// and the rows of blocks that tile a volume add up to those of the whole, cell by cell. Coordinates and indices are those of
// the whole volume. Rows come in no order, and a key may come twice: the caller adds these up as well.
#pragma once

#include <cstdint>
#include <vector>

#include "core/exec.h"
#include "core/ids.h"
#include "core/mix.h"
#include "core/view.h"

namespace emfast::sites {

// The cells of a row. Of a site each face counts, at its higher voxel.
struct Layout {
    static constexpr int count = 0;  // faces along z, y, x; of a region its voxels, 0, 0
    static constexpr int sum = 3;  // of coordinates
    static constexpr int low = 6, high = 9;  // the box of all voxels, of both sides of a face; high is exclusive
    static constexpr int first = 12;  // the smallest index of a voxel
    static constexpr int samples = 13, sample_count = 8;
    static constexpr int width = samples + sample_count;
    static constexpr uint64_t none = ~uint64_t(0);
};

// A sample is the smallest mixed index among those with the same lowest bits: a random voxel, the same in every order.
// Indices come back by inverting `mix`. Only every eighth row along a diagonal is asked, so what is small may have none.
EMFAST_HD inline bool sampled_row(int64_t z, int64_t y) { return (z + y) % 8 == 0; }

enum Kind : uint64_t { split = 0, merge = 1 };

struct Volumes {
    Shape shape;
    Ids truth, labels;
    Ids mask;  // data may be null; where it is 0 a voxel is not looked at
    Point low{};  // where the core begins: 0 or 1 along each axis
    Point origin{};  // of the arrays in the whole volume
    Shape whole;
    bool has_background = true;
    uint64_t background = 0;  // a 64-bit id of both
    std::vector<uint64_t> ignored;  // true ids that are at no site

    EMFAST_HD int64_t size() const { return shape.voxels(); }
};

struct Table {
    int64_t regions = 0, sites = 0;
    Scratch<uint64_t> region_keys;  // rows of two: true id, label
    Scratch<uint64_t> site_keys;  // rows of four: kind, the id that holds both, the two ids, ascending by value
    Scratch<uint64_t> region_cells, site_cells;
};

Table find(Executor& ex, const Volumes& volumes);

// What voxels get that have a true id and a label.
struct Colours {
    int64_t count = 0;
    const uint64_t* pairs = nullptr;  // rows of two: true id, label
    const uint8_t* values = nullptr;
    uint8_t masked = 0;  // where the mask is 0
};

// Writes the value of each voxel's pair to out. Returns the smallest index of a voxel whose pair has none, -1 if all have.
int64_t paint(Executor& ex, const Volumes& volumes, const Colours& colours, uint8_t* out);

}  // namespace emfast::sites
