#pragma once

#include "core/atomic.h"
#include "core/union_find.h"
#include "voxel_graph/voxel_graph.h"

namespace emfast::voxel_graph {

// The neighbour of p along a step; -1 outside.
EMFAST_HD inline int64_t neighbour(const Shape& s, const Point& p, const Step& step) {
    const int64_t z = p.z + step.z, y = p.y + step.y, x = p.x + step.x;
    const bool inside = z >= 0 && z < s.z && y >= 0 && y < s.y && x >= 0 && x < s.x;
    return inside ? s.index(z, y, x) : -1;
}

template <class T, class G>
struct Build {
    View<const T> labels;
    int connectivity;
    G* graph;
    EMFAST_HD void operator()(int64_t i) const {
        const Point p = point(labels.shape, i);
        uint32_t bits = 0;
        for (int bit = 0; bit < connectivity; ++bit) {
            const int64_t j = neighbour(labels.shape, p, step_of_bit(bit, connectivity == 4 || connectivity == 8));
            if (j < 0 || labels[j] == labels[i]) bits |= uint32_t(1) << bit;
        }
        graph[i] = static_cast<G>(bits);
    }
};

template <class Id>
struct OwnParent {
    Id* parent;
    EMFAST_HD void operator()(int64_t i) const { parent[i] = static_cast<Id>(i); }
};

template <class G, class Id>
struct Join {
    View<const G> graph;
    int connectivity;
    Id* parent;
    EMFAST_HD void operator()(int64_t i) const {
        const Point p = point(graph.shape, i);
        for (int bit = 0; bit < connectivity; ++bit) {
            if (!(graph[i] >> bit & 1)) continue;
            const int64_t j = neighbour(graph.shape, p, step_of_bit(bit, connectivity == 4 || connectivity == 8));
            if (j >= 0 && j < i) unite_shared(parent, static_cast<Id>(i), static_cast<Id>(j));
        }
    }
};

template <class Id>
struct MarkRoot {
    Id* parent;
    Id* marks;
    EMFAST_HD void operator()(int64_t i) const {
        const Id root = find_shared(parent, static_cast<Id>(i));
        atomic_store(parent[i], root);  // other threads may pass through it
        marks[i] = root == static_cast<Id>(i);
    }
};

template <class Id>
struct Number {
    const Id* ranks;
    Id* out;  // roots in, labels out
    EMFAST_HD void operator()(int64_t i) const { out[i] = ranks[out[i]] + 1; }
};

template <class T, class G>
void build_anywhere(Executor& ex, View<const T> labels, int connectivity, G* graph) {
    ex.for_each(labels.size(), Build<T, G>{labels, connectivity, graph});
}

template <class G, class Id>
int64_t components_anywhere(Executor& ex, View<const G> graph, int connectivity, Id* out) {
    const int64_t n = graph.size();
    ex.for_each(n, OwnParent<Id>{out});
    ex.for_each(n, Join<G, Id>{graph, connectivity, out});
    auto ranks = ex.scratch<Id>(n);
    ex.for_each(n, MarkRoot<Id>{out, ranks.data()});
    const Id count = ex.scan(ranks.data(), ranks.data(), n);
    ex.for_each(n, Number<Id>{ranks.data(), out});
    return static_cast<int64_t>(count);
}

}  // namespace emfast::voxel_graph

#define EMFAST_INSTANTIATE_BUILD(T)                                           \
    template void build<T, uint8_t>(Executor&, View<const T>, int, uint8_t*); \
    template void build<T, uint32_t>(Executor&, View<const T>, int, uint32_t*);
#define EMFAST_INSTANTIATE_COMPONENTS(G)                                                \
    template int64_t components<G, uint32_t>(Executor&, View<const G>, int, uint32_t*); \
    template int64_t components<G, uint64_t>(Executor&, View<const G>, int, uint64_t*);
