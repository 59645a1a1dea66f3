// Agglomeration of a region graph: the two segments with the best score are merged, again and again, and edges between
// the same two segments become one. Scores are ordered by (score descending, id ascending); an edge that comes of two keeps
// the larger id, so it never outranks the better of them when the score does not. The answer is unique.
//
// Scores made of an edge alone are compared exactly:
//   mean                 sum / count, a quotient of integers
//   maximum, minimum     of the values
//   quantile             of the histogram
//   absolute             the value of largest magnitude (of two opposite ones the positive); with signed weights this is
//                        the mutex watershed
//   sum                  an integer
//   formula              doubles, by a program; may also speak of the segments' sizes
// The first five are reducible: the score of a joined edge is never better than the better of its two. See engine.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/exec.h"

namespace emfast::agglomerate {

enum class Score { mean, maximum, minimum, quantile, absolute, sum, formula };

// How: for tests, which compare them. The device takes rounds where they suit, all else is done on the host, by chains where
// the score is reducible.
enum class Schedule { any, chains, queue };

// A program for a stack of doubles.
enum class Op : int {
    number,
    mean,
    sum,
    count,
    minimum,
    maximum,
    quantile,
    smaller,
    larger,
    add,
    subtract,
    multiply,
    divide,
    negate,
    root,
    least,
    greatest,
    step
};

struct Instruction {
    Op op;
    double value = 0;  // the number, or the quantile
};

// Arrays live where the executor's do. Sums and values are the affinities' or the user's.
struct Problem {
    int64_t nodes = 0, edges = 0;
    const uint32_t* ends = nullptr;  // rows of two numbers of nodes
    const int64_t* ids = nullptr;
    const int64_t *sums = nullptr, *counts = nullptr;
    const double *low = nullptr, *high = nullptr;  // the smallest and largest value; absolute takes high
    const int64_t* starts = nullptr;  // histograms
    const uint8_t* bins = nullptr;
    const int64_t* bin_counts = nullptr;
    const int64_t* sizes = nullptr;  // of nodes
    const uint32_t* seeds = nullptr;  // of nodes: those with different ones are never merged; 0 is none
    const uint8_t* frozen =
        nullptr;  // nodes that are not merged, nor may be overtaken: the rest of the graph is elsewhere
};

struct Rules {
    Score score = Score::mean;
    uint64_t rank = 1, ranks = 2;  // quantile rank / ranks
    std::vector<Instruction> program;
    double unit = 1;  // grid steps in 1
    double until = 0;  // merge while score >= until
    int64_t big_size = -1;  // two segments this big are merged only if score >= big_score; -1: no such rule
    double big_score = 0;
    bool constrained = false;  // by magnitude: a pair whose score is below until is parted for good
    Schedule schedule = Schedule::any;
    std::vector<uint32_t> must, cannot;  // pairs of nodes
};

// Merges, best first. a < b are the smallest nodes of the two segments; row is that of the edge whose id the merged edge
// bears, -1 for a pair that must be merged.
struct Merges {
    std::vector<uint32_t> a, b;
    std::vector<double> scores;
    std::vector<int64_t> rows;
    std::vector<int64_t> sums, counts;  // the mean's exact quotient; 0 for other scores
    // Where nodes are frozen: of each segment, at its smallest node, whether it may yet be merged; 0 elsewhere.
    std::vector<uint8_t> pending;
};

Merges run(Executor& ex, const Problem& problem, const Rules& rules);

}  // namespace emfast::agglomerate
