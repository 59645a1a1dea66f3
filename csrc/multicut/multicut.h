// Multicut: the partition of a graph for which the costs of the edges between its parts sum to the least. A positive cost
// attracts, a negative one repels. It is hard to solve; these are greedy ways.
//
//   greedy additive (Keuper et al., arXiv:1505.06973): join the ends of the edge with the largest cost while that is
//   positive. Edges that come to run in parallel become one, with the sum of their costs.
//
//   greedy fixation (Levinkov et al., GCPR 2019): take the edge whose cost is largest in size. If it is positive join its
//   ends, else fix it: its ends stay apart. An edge in parallel with a fixed one is fixed.
//
// Costs are integers, so that sums do not depend on an order. Ties go to the smaller id; an edge's id is its place, and
// edges that become one keep the larger.
#pragma once

#include <cstdint>

#include "core/exec.h"

namespace emfast::multicut {

// Edge e joins ends[2 e] and ends[2 e + 1], less than n, on the host. The sum of all |costs| is less than 2^62. Labels
// count from 1 by the first node of each part; returns their number.
int64_t greedy(int64_t n, int64_t edges, const uint32_t* ends, const int64_t* costs, bool fixation, uint32_t* labels);

}  // namespace emfast::multicut
