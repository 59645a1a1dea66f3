// Host only: who encloses whom in a graph of objects and cavities (see objects.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace emfast::labels {

inline constexpr uint32_t nobody = ~uint32_t(0);

// For every node the outermost object that encloses it, or nobody. Edges between two nodes that touch the
// outside may be left out, edges may be repeated. Every node must be connected to one that touches the
// outside.
inline std::vector<uint32_t> enclosures(uint32_t nodes, const std::vector<std::pair<uint32_t, uint32_t>>& edges,
                                        const std::vector<uint8_t>& outside, const std::vector<uint8_t>& object) {
    std::vector<int64_t> begin(size_t(nodes) + 1, 0);
    for (const auto& [a, b] : edges) ++begin[a], ++begin[b];
    int64_t sum = 0;
    for (auto& b : begin) b = sum += b;
    std::vector<uint32_t> next(static_cast<size_t>(sum));
    for (const auto& [a, b] : edges) {
        next[--begin[a]] = b;
        next[--begin[b]] = a;
    }

    // Depth first from the outside, whose time is 0. low: the earliest time reached from a node's subtree by
    // one edge.
    std::vector<uint32_t> time(nodes, 0), low(nodes), above(nodes, nobody), seen;
    std::vector<int64_t> at(begin.begin(), begin.end() - 1);
    seen.reserve(nodes);
    std::vector<uint32_t> path;
    auto visit = [&](uint32_t node, uint32_t from) {
        above[node] = from;
        seen.push_back(node);
        time[node] = static_cast<uint32_t>(seen.size());
        path.push_back(node);
    };
    for (uint32_t start = 0; start < nodes; ++start) {
        if (!outside[start] || time[start]) continue;
        visit(start, nobody);
        while (!path.empty()) {
            const uint32_t node = path.back();
            if (at[node] == begin[node + 1]) {
                path.pop_back();
            } else if (const uint32_t other = next[at[node]++]; !time[other]) {
                visit(other, node);
            }
        }
    }
    for (auto node = seen.rbegin(); node != seen.rend(); ++node) low[*node] = outside[*node] ? 0 : time[*node];
    for (auto node = seen.rbegin(); node != seen.rend(); ++node) {
        for (int64_t e = begin[*node]; e < begin[*node + 1]; ++e) low[*node] = std::min(low[*node], time[next[e]]);
        if (above[*node] != nobody) low[above[*node]] = std::min(low[above[*node]], low[*node]);
    }
    std::vector<uint32_t> by(nodes, nobody);
    for (const uint32_t node : seen) {
        const uint32_t up = above[node];
        if (up == nobody) continue;
        if (by[up] != nobody) by[node] = by[up];
        else if (object[up] && low[node] >= time[up]) by[node] = up;
    }
    return by;
}

}  // namespace emfast::labels
