// One-to-one matchings of true objects (rows) and segments (columns) along the pairs that overlap.
//
//   greedy    pairs are taken in the order in which they are given, where neither end is taken yet.
//   assign    the matching with the largest sum of gains: shortest augmenting paths, one row after another, over the
//             sparse list of pairs (Jonker and Volgenant, Computing 38, 1987). A row may stay free, so a component of the
//             graph that many rows and few columns make is solved like any other, and only what a path reaches is looked at.
//
// A gain is a triple, compared place by place from the first: how many wanted pairs, their quality, their size. So sums
// are integers, and what the first place decides no later one changes. Of several matchings with the same gain the answer
// is one and always the same: rows are matched in ascending order, and paths of equal length go through the column that
// was reached first.
#pragma once

#include <compare>
#include <cstdint>

#include "core/exec.h"

namespace emfast::matching {

struct Gain {
    int64_t wanted = 0, quality = 0, size = 0;

    auto operator<=>(const Gain&) const = default;
    Gain operator+(const Gain& o) const { return {wanted + o.wanted, quality + o.quality, size + o.size}; }
    Gain operator-(const Gain& o) const { return {wanted - o.wanted, quality - o.quality, size - o.size}; }
};

// The pair k is (rows[k], columns[k]), less than `height` and `width`. No pair comes twice.
struct Graph {
    int64_t height, width, pairs;
    const int64_t* rows;
    const int64_t* columns;
};

// taken[k] is 1 where the pair k is part of the matching, else 0. All on the host.
void greedy(const Graph& graph, uint8_t* taken);

// Rows ascend; gains are not negative, and the sum of all is less than 2^62 in every place.
void assign(Executor& ex, const Graph& graph, const Gain* gains, uint8_t* taken);

}  // namespace emfast::matching
