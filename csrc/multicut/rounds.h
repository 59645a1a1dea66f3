// Edges contracted by rounds, many at once, in the manner of RAMA (Abbas and Swoboda, CVPR 2022; its contraction, not its
// message passing).
//
// A round. Each node with a positive edge looks along its best one: the largest cost, then the smaller id. Two that look at
// each other are a pair. Any other that looks at one of a pair asks to come in. Where a negative edge joins two that would
// come to the same pair, one of them stays out: of one of the pair and one that asks, the one that asks; of two that ask,
// the one whose best edge is the worse. (All requests count here, also those that are refused.) Then each pair and those
// that came in are one node, named after the smaller of the pair, and parallel edges one edge, as in the greedy way.
//
// The best of all edges joins a pair, so every round joins something until no edge is positive; a group holds no negative
// edge, so every round lowers the energy. Hubs take all that suits them in one round: rounds are few.
//
// Nodes, edges and what a round finds are arrays on the executor's side; nothing here asks for an order.
#pragma once

#include <limits>

#include "core/atomic.h"
#include "core/hd.h"
#include "core/ops.h"
#include "multicut/multicut.h"

namespace emfast::multicut::rounds {

inline constexpr uint32_t none = 0xffffffffu;

struct Weight {
    int64_t cost;
    int64_t id;
};

struct Joined {
    EMFAST_HD Weight operator()(const Weight& a, const Weight& b) const {
        return {a.cost + b.cost, a.id < b.id ? b.id : a.id};
    }
};

struct Edges {
    const uint64_t* ends;  // the smaller node << 32 | the larger
    const Weight* weights;

    EMFAST_HD uint32_t a(int64_t e) const { return static_cast<uint32_t>(ends[e] >> 32); }
    EMFAST_HD uint32_t b(int64_t e) const { return static_cast<uint32_t>(ends[e]); }
};

// What a round finds for each node.
struct Nodes {
    int64_t* best;  // the largest cost of its edges, 0 where none is positive
    int64_t* id;  // of the best edge
    uint32_t* other;  // the best edge's other end, or none
    uint32_t* group;  // the name of the pair that it is in or asks for; itself if neither
    uint8_t* refused;

    EMFAST_HD bool paired(uint32_t x) const { return other[x] != none && other[other[x]] == x; }
};

struct Forget {
    Edges edges;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t e) const {
        for (const uint32_t x : {edges.a(e), edges.b(e)}) {
            atomic_store(nodes.best[x], int64_t(0));
            atomic_store(nodes.id[x], std::numeric_limits<int64_t>::max());
            atomic_store(nodes.other[x], none);
            atomic_store(nodes.refused[x], uint8_t(0));
        }
    }
};

struct FindCost {
    Edges edges;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t e) const {
        const int64_t cost = edges.weights[e].cost;
        if (cost <= 0) return;
        atomic_max(nodes.best[edges.a(e)], cost);
        atomic_max(nodes.best[edges.b(e)], cost);
    }
};

struct FindId {
    Edges edges;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t e) const {
        const Weight& w = edges.weights[e];
        if (w.cost <= 0) return;
        for (const uint32_t x : {edges.a(e), edges.b(e)})
            if (nodes.best[x] == w.cost) atomic_min(nodes.id[x], w.id);
    }
};

struct FindOther {
    Edges edges;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t e) const {
        const uint32_t a = edges.a(e), b = edges.b(e);
        if (nodes.id[a] == edges.weights[e].id) nodes.other[a] = b;
        if (nodes.id[b] == edges.weights[e].id) nodes.other[b] = a;
    }
};

// For both ends of every edge, so that no node without edges is visited; the same value from all.
struct Ask {
    Edges edges;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t e) const {
        for (const uint32_t x : {edges.a(e), edges.b(e)}) atomic_store(nodes.group[x], wanted(x));
    }
    EMFAST_HD uint32_t wanted(uint32_t x) const {
        const uint32_t y = nodes.other[x];
        if (y == none || !nodes.paired(y)) return x;
        const uint32_t z = nodes.other[y];
        return y < z ? y : z;
    }
};

struct Refuse {
    Edges edges;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t e) const {
        const uint32_t a = edges.a(e), b = edges.b(e);
        if (edges.weights[e].cost < 0 && nodes.group[a] == nodes.group[b])
            atomic_store(nodes.refused[worse(a, b) ? a : b], uint8_t(1));
    }
    // Whether a is the one to stay out.
    EMFAST_HD bool worse(uint32_t a, uint32_t b) const {
        if (nodes.paired(a) != nodes.paired(b)) return nodes.paired(b);
        if (nodes.best[a] != nodes.best[b]) return nodes.best[a] < nodes.best[b];
        return nodes.id[a] > nodes.id[b];
    }
};

// Nodes that came in point to their pair's name; the pair's name points to itself.
struct Settle {
    Edges edges;
    Nodes nodes;
    uint32_t* parents;
    EMFAST_HD void operator()(int64_t e) const {
        for (const uint32_t x : {edges.a(e), edges.b(e)})
            atomic_store(parents[x], nodes.refused[x] ? x : nodes.group[x]);
    }
};

struct Rename {
    const uint32_t* parents;
    uint64_t* ends;
    EMFAST_HD void operator()(int64_t e) const {
        const uint32_t a = parents[ends[e] >> 32], b = parents[static_cast<uint32_t>(ends[e])];
        ends[e] = a < b ? uint64_t(a) << 32 | b : uint64_t(b) << 32 | a;
    }
};

// An edge of two nodes, not one.
struct Lives {
    const uint64_t* ends;
    EMFAST_HD bool operator()(int64_t e) const { return ends[e] >> 32 != static_cast<uint32_t>(ends[e]); }
};

struct TakeEnds {
    const uint64_t* ends;
    const uint32_t* places;
    uint64_t* out;
    EMFAST_HD void operator()(int64_t e) const { out[e] = ends[places[e]]; }
};

struct TakeWeights {
    const Weight* weights;
    const uint32_t* places;
    Weight* out;
    EMFAST_HD void operator()(int64_t e) const { out[e] = weights[places[e]]; }
};

struct IsPositive {
    const Weight* weights;
    EMFAST_HD int64_t operator()(int64_t e) const { return weights[e].cost > 0; }
};

struct Load {
    const uint32_t* from;
    const int64_t* costs;
    uint64_t* ends;
    Weight* weights;
    EMFAST_HD void operator()(int64_t e) const {
        ends[e] = uint64_t(from[2 * e]) << 32 | from[2 * e + 1];
        weights[e] = {costs[e], e};
    }
};

struct BeParent {
    uint32_t* parents;
    EMFAST_HD void operator()(int64_t i) const { parents[i] = static_cast<uint32_t>(i); }
};

// first[r] is the smallest node of the part whose root is r.
struct FindRoot {
    const uint32_t* parents;
    uint32_t *roots, *first;
    EMFAST_HD void operator()(int64_t i) const {
        auto x = static_cast<uint32_t>(i);
        while (parents[x] != x) x = parents[x];
        roots[i] = x;
        atomic_min(first[x], static_cast<uint32_t>(i));
    }
};

struct IsFirst {
    const uint32_t *roots, *first;
    uint32_t* out;
    EMFAST_HD void operator()(int64_t i) const { out[i] = first[roots[i]] == i; }
};

struct Label {
    const uint32_t *roots, *first, *ranks;
    uint32_t* labels;
    EMFAST_HD void operator()(int64_t i) const { labels[i] = ranks[first[roots[i]]] + 1; }
};

template <class Ex>
class Contraction {
  public:
    Contraction(Ex& ex, const Problem& p)
        : ex_(ex),
          nodes_(p.nodes),
          count_(p.edges),
          ends_(ex.template scratch<uint64_t>(p.edges)),
          weights_(ex.template scratch<Weight>(p.edges)),
          parents_(ex.template scratch<uint32_t>(p.nodes)),
          best_(ex.template scratch<int64_t>(p.nodes)),
          id_(ex.template scratch<int64_t>(p.nodes)),
          other_(ex.template scratch<uint32_t>(p.nodes)),
          group_(ex.template scratch<uint32_t>(p.nodes)),
          refused_(ex.template scratch<uint8_t>(p.nodes)) {
        ex.for_each(count_, Load{p.ends, p.costs, ends_.data(), weights_.data()});
        ex.for_each(nodes_, BeParent{parents_.data()});
    }

    void run() {
        contract();
        while (ex_.reduce(count_, int64_t(0), IsPositive{weights_.data()}, Larger{})) {
            choose();
            contract();
        }
    }

    int64_t number_parts(uint32_t* labels) {
        uint32_t *roots = group_.data(), *first = other_.data();
        auto ranks = ex_.template scratch<uint32_t>(nodes_);
        ex_.fill(first, nodes_, none);
        ex_.for_each(nodes_, FindRoot{parents_.data(), roots, first});
        ex_.for_each(nodes_, IsFirst{roots, first, ranks.data()});
        const int64_t parts = ex_.scan(ranks.data(), ranks.data(), nodes_);
        ex_.for_each(nodes_, Label{roots, first, ranks.data(), labels});
        return parts;
    }

  private:
    void choose() {
        const Edges edges{ends_.data(), weights_.data()};
        const Nodes nodes{best_.data(), id_.data(), other_.data(), group_.data(), refused_.data()};
        ex_.for_each(count_, Forget{edges, nodes});
        ex_.for_each(count_, FindCost{edges, nodes});
        ex_.for_each(count_, FindId{edges, nodes});
        ex_.for_each(count_, FindOther{edges, nodes});
        ex_.for_each(count_, Ask{edges, nodes});
        ex_.for_each(count_, Refuse{edges, nodes});
        ex_.for_each(count_, Settle{edges, nodes, parents_.data()});
    }

    void contract() {
        ex_.for_each(count_, Rename{parents_.data(), ends_.data()});
        const auto places = ex_.template select<uint32_t>(count_, Lives{ends_.data()});
        const int64_t left = places.size();
        auto ends = ex_.template scratch<uint64_t>(left);
        auto weights = ex_.template scratch<Weight>(left);
        ex_.for_each(left, TakeEnds{ends_.data(), places.data(), ends.data()});
        ex_.sort_pairs(ends.data(), places.data(), left);
        ex_.for_each(left, TakeWeights{weights_.data(), places.data(), weights.data()});
        count_ = ex_.reduce_by_key(ends.data(), weights.data(), left, ends_.data(), weights_.data(), Joined{});
    }

    Ex& ex_;
    const int64_t nodes_;
    int64_t count_;  // of edges that are left
    Scratch<uint64_t> ends_;
    Scratch<Weight> weights_;
    Scratch<uint32_t> parents_;
    Scratch<int64_t> best_, id_;
    Scratch<uint32_t> other_, group_;
    Scratch<uint8_t> refused_;
};

}  // namespace emfast::multicut::rounds
