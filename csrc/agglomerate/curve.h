// How good every cut of a merge tree is, in one pass: variation of information and the adapted Rand error, updated merge
// by merge from a table of overlaps n_ij of fragments i with true objects j.
//
//   split = H(segments | truth) = (sum_j f(t_j) - sum_ij f(n_ij)) / N, f(n) = n log2 n   (objects cut in parts)
//   merge = H(truth | segments) = (sum_i f(s_i) - sum_ij f(n_ij)) / N                    (segments of several objects)
//   rand  = 1 - 2 sum_ij n_ij^2 / (sum_i s_i^2 + sum_j t_j^2), exact integers up to the quotient
//
// A merge joins two rows of the table, the shorter into the longer.
#pragma once

#include <cmath>
#include <numeric>
#include <utility>

#include "agglomerate/table.h"

namespace emfast::agglomerate {

struct Overlaps {
    int64_t nodes, truths, length;
    const uint32_t *fragment, *truth;
    const int64_t* count;
};

struct Curve {  // one value for the fragments, then one after each merge
    std::vector<double> split, merge, rand;
};

using Square = unsigned __int128;

inline double f(int64_t n) { return n > 0 ? static_cast<double>(n) * std::log2(static_cast<double>(n)) : 0.0; }
inline Square square(int64_t n) { return Square(static_cast<uint64_t>(n)) * static_cast<uint64_t>(n); }

inline Curve curve(const Overlaps& o, int64_t merges, const uint32_t* a, const uint32_t* b) {
    auto key = [](uint32_t s, uint32_t t) { return uint64_t(s) << 32 | t; };
    std::vector<std::vector<uint32_t>> rows(o.nodes);  // the objects that a segment overlaps
    std::vector<int64_t> sizes(o.nodes), objects(o.truths), cells;
    Table<uint64_t> cell;  // (segment, object) -> place in cells
    for (int64_t i = 0; i < o.length; ++i) {
        const uint32_t s = o.fragment[i], t = o.truth[i];
        sizes[s] += o.count[i];
        objects[o.truth[i]] += o.count[i];
        const uint32_t found = cell.get(key(s, t));
        if (found != Table<uint64_t>::none) {
            cells[found] += o.count[i];
            continue;
        }
        cell.set(key(s, t), static_cast<uint32_t>(cells.size()));
        cells.push_back(o.count[i]);
        rows[s].push_back(t);
    }
    const int64_t total = std::accumulate(objects.begin(), objects.end(), int64_t(0));
    // Sums of f are long double, so that adding and taking away 10^7 times leaves the digits of a double.
    long double of_sizes = 0, of_objects = 0, of_cells = 0;
    Square sizes2 = 0, objects2 = 0, cells2 = 0;
    for (const int64_t n : sizes) of_sizes += f(n), sizes2 += square(n);
    for (const int64_t n : objects) of_objects += f(n), objects2 += square(n);
    for (const int64_t n : cells) of_cells += f(n), cells2 += square(n);

    Curve out;
    auto note = [&] {
        const auto n = static_cast<long double>(std::max<int64_t>(total, 1));
        out.split.push_back(std::max(0.0, static_cast<double>((of_objects - of_cells) / n)));
        out.merge.push_back(std::max(0.0, static_cast<double>((of_sizes - of_cells) / n)));
        out.rand.push_back(total ? 1 - 2 * static_cast<double>(cells2) / static_cast<double>(sizes2 + objects2) : 0.0);
    };
    note();
    std::vector<uint32_t> name(o.nodes);  // the node under whose number a segment's row is kept, by its smallest node
    std::iota(name.begin(), name.end(), 0u);
    for (int64_t i = 0; i < merges; ++i) {
        uint32_t large = name[a[i]], small = name[b[i]];
        if (rows[large].size() < rows[small].size()) std::swap(large, small);
        name[a[i]] = large;
        of_sizes += f(sizes[large] + sizes[small]) - f(sizes[large]) - f(sizes[small]);
        sizes2 += 2 * Square(static_cast<uint64_t>(sizes[large])) * static_cast<uint64_t>(sizes[small]);
        sizes[large] += sizes[small];
        for (const uint32_t t : rows[small]) {
            const uint32_t from = cell.get(key(small, t)), to = cell.get(key(large, t));
            cell.remove(key(small, t));
            if (to == Table<uint64_t>::none) {
                cell.set(key(large, t), from);
                rows[large].push_back(t);
                continue;
            }
            of_cells += f(cells[to] + cells[from]) - f(cells[to]) - f(cells[from]);
            cells2 += 2 * Square(static_cast<uint64_t>(cells[to])) * static_cast<uint64_t>(cells[from]);
            cells[to] += cells[from];
        }
        rows[small] = {};
        note();
    }
    return out;
}

}  // namespace emfast::agglomerate
