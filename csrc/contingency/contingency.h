// The contingency table of two label volumes: how many voxels every pair (true id, label) shares. Sparse: work and memory
// follow the pairs that occur, whatever the ids. Both volumes are read once.
//
// Ids are 64 bits: labels of fewer are widened, signed ones with their sign, so volumes of different dtypes meet here.
// A table is ordered by true id, then label, both by value; it depends on nothing but the counts.
#pragma once

#include <cstdint>
#include <vector>

#include "core/exec.h"
#include "core/ids.h"
#include "core/view.h"

namespace emfast::contingency {

struct Volumes {
    Shape shape;
    Ids truth, labels;
    Ids mask;  // data may be null; where it is 0 a voxel is not counted
    const int64_t* counts = nullptr;  // may be null; what a voxel counts for, else one
    std::vector<uint64_t> ignored;  // true ids that are not counted, ascending as unsigned numbers

    int64_t size() const { return shape.voxels(); }
};

// Pairs ascending by row, then column: places in the ids, which are ascending by value.
struct Table {
    int64_t truths = 0, labels = 0, pairs = 0;
    Scratch<uint64_t> truth_ids, label_ids;
    Scratch<int64_t> truth_sizes, label_sizes;  // sums of counts
    Scratch<int64_t> rows, columns, counts;
};

// The same as a view of arrays.
struct Parts {
    int64_t truths = 0, labels = 0, pairs = 0;
    const uint64_t *truth_ids = nullptr, *label_ids = nullptr;
    const int64_t *truth_sizes = nullptr, *label_sizes = nullptr;
    const int64_t *rows = nullptr, *columns = nullptr, *counts = nullptr;
};

Table count(Executor& ex, const Volumes& volumes);

// The table of both; the flips are those of its ids.
Table sum(Executor& ex, const Parts& a, const Parts& b, uint64_t truth_flip, uint64_t label_flip);

}  // namespace emfast::contingency
