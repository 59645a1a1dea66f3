// The neighbours of every node: each once, ascending, with the sum of the costs of all edges to it.
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "multicut/multicut.h"

namespace emfast::multicut {

struct Neighbour {
    uint32_t node;
    bool plain;  // there is a plain edge to it
    int64_t cost;
};

class Adjacency {
  public:
    explicit Adjacency(const Problem& p) : starts_(p.nodes + 1), ends_(p.nodes) {
        auto both = [&](auto&& f) {
            for (int64_t e = 0; e < p.edges; ++e) {
                const uint32_t a = p.ends[2 * e], b = p.ends[2 * e + 1];
                if (a != b) f(a, b, e), f(b, a, e);
            }
        };
        both([&](uint32_t a, uint32_t, int64_t) { ++ends_[a]; });
        int64_t sum = 0;
        for (int64_t i = 0; i < p.nodes; ++i) {
            starts_[i] = sum;
            sum += std::exchange(ends_[i], sum);
        }
        starts_[p.nodes] = sum;
        lists_.resize(sum);
        both([&](uint32_t a, uint32_t b, int64_t e) { lists_[ends_[a]++] = {b, e < p.plain, p.costs[e]}; });
        for (int64_t i = 0; i < p.nodes; ++i) fold(i);
    }

    std::span<const Neighbour> operator[](uint32_t i) const {
        return {lists_.data() + starts_[i], lists_.data() + ends_[i]};
    }

  private:
    void fold(int64_t i) {
        Neighbour *first = lists_.data() + starts_[i], *last = lists_.data() + ends_[i];
        auto before = [](const Neighbour& a, const Neighbour& b) { return a.node < b.node; };
        if (!std::is_sorted(first, last, before)) std::sort(first, last, before);
        Neighbour* out = first;
        for (Neighbour* k = first; k < last; ++k) {
            if (out > first && out[-1].node == k->node) {
                out[-1].plain |= k->plain;
                out[-1].cost += k->cost;
            } else {
                *out++ = *k;
            }
        }
        ends_[i] = out - lists_.data();
    }

    std::vector<int64_t> starts_, ends_;
    std::vector<Neighbour> lists_;
};

}  // namespace emfast::multicut
