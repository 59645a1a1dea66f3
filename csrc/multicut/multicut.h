// Multicut: the partition of a graph into connected parts for which the costs of the edges between parts sum to the least.
// A positive cost attracts, a negative one repels. It is hard to solve; these are ways to come near.
//
// Lifted edges count in that sum like all others, but do not connect: only plain edges make a part hang together, and only
// parts with a plain edge between them may be joined.
//
//   greedy additive (Keuper et al., arXiv:1505.06973): join the ends of the edge with the largest cost while that is
//   positive. Edges that come to run in parallel become one, with the sum of their costs.
//
//   greedy fixation (Levinkov et al., GCPR 2019): take the edge whose cost is largest in size. If it is positive join its
//   ends, else fix it: its ends stay apart. An edge in parallel with a fixed one is fixed. Plain edges only.
//
//   rounds: many edges with positive costs at once, see rounds.h. Plain edges only.
//
//   Kernighan-Lin with joins (the same Keuper et al.): see kernighan_lin.h.
//
// Costs are integers, so that sums do not depend on an order. Ties go to the smaller id; an edge's id is its place, and
// edges that become one keep the larger.
#pragma once

#include <cstdint>

#include "core/exec.h"

namespace emfast::multicut {

// Edge e joins ends[2 e] and ends[2 e + 1], less than `nodes`; the first `plain` edges are plain, the others lifted. The
// sum of all |costs| is less than 2^61. All on the host, but for `contract`, whose arrays are the executor's.
struct Problem {
    int64_t nodes, edges, plain;
    const uint32_t* ends;
    const int64_t* costs;
};

// Labels count from 1 by the first node of each part; their number is returned.
int64_t greedy(const Problem& problem, bool fixation, uint32_t* labels);

// The same by rounds.
int64_t contract(Executor& ex, const Problem& problem, uint32_t* labels);

// The same for a partition that is improved until no step lowers its energy. `labels` holds where to begin: any numbers
// up to `nodes`; nodes of one number that no path of them connects are in different parts. See Sequence for `patience`.
int64_t kernighan_lin(Executor& ex, const Problem& problem, int64_t patience, uint32_t* labels);

// No partition has a lower energy than this, which is made from cycles of up to `longest` edges: see cycles.h.
int64_t bound(Executor& ex, const Problem& problem, int64_t longest);

}  // namespace emfast::multicut
