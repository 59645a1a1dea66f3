// A bound from below by a packing of conflicted cycles (Lange, Karrenbauer and Andres, ICML 2018). A cycle with a single
// negative edge cannot have that edge alone cut: where it is cut, so is a positive edge of the cycle. Hence, if an equal
// share of the size of all its costs is set aside, the cycle gives back that share of the sum of all negative costs, which
// is the plain bound. Shares of one edge's cost go to different cycles and never exceed it. For lifted edges this holds too.
//
// Costs between two nodes are summed first. Cycles of three edges are packed, then those of four, and so on up to `longest`.
// For a length, negative edges are taken in the order of their smaller node, then of the other. For each, while some of
// its cost is left, a path of that length less one is looked for over positive edges of which some is left: breadth
// first, from the end with fewer positive edges (ties: the smaller node), neighbours ascending; of the nodes from which
// the other end is reached, the first met is taken. The least that is left on the cycle is its share.
#pragma once

#include "core/union_find.h"
#include "multicut/adjacency.h"

namespace emfast::multicut {

class CyclePacking {
  public:
    explicit CyclePacking(const Problem& problem) : nodes_(problem.nodes), lists_(problem.nodes) {
        const Adjacency graph(problem);
        for (uint32_t a = 0; a < problem.nodes; ++a) {
            lists_[a].first = std::ssize(arcs_);
            for (const Neighbour& n : graph[a]) {
                if (n.cost > 0) {
                    arcs_.push_back({n.node, 0});
                } else if (n.cost < 0 && a < n.node) {
                    demands_.push_back({a, n.node, -n.cost});
                    bound_ += n.cost;
                }
            }
            lists_[a].last = std::ssize(arcs_);
        }
        // Both arcs of an edge share what is left of it. Seen from ascending nodes the arcs of a node come in their order.
        std::vector<int64_t> next(problem.nodes);
        for (uint32_t a = 0; a < problem.nodes; ++a) next[a] = lists_[a].first;
        for (uint32_t a = 0; a < problem.nodes; ++a)
            for (const Neighbour& n : graph[a])
                if (n.cost > 0 && n.node > a) {
                    arcs_[next[a]++].edge = arcs_[next[n.node]++].edge = static_cast<uint32_t>(left_.size());
                    left_.push_back(n.cost);
                }
        for (Demand& d : demands_)
            if (positive_edges(d.b) < positive_edges(d.a)) std::swap(d.a, d.b);
    }

    int64_t bound() const { return bound_; }

    // Packs cycles of so many edges, those of all lesser lengths being packed already; false where no cycle is left.
    // `pause` is called now and then.
    template <class F>
    bool pack(int64_t length, F&& pause) {
        forget_what_is_spent();
        for (size_t k = 0; k < demands_.size(); ++k) {
            Demand& d = demands_[k];
            while (d.left > 0 && find_path(d.a, d.b, length - 1)) take(d);
            if (k % 4096 == 4095) pause();
        }
        return !demands_.empty();
    }

  private:
    struct Arc {
        uint32_t node, edge;
    };
    struct List {
        int64_t first, last;
    };
    struct Demand {
        uint32_t a, b;
        int64_t left;
    };
    struct Node {
        uint32_t search, place;  // the search that met it last, its place in the queue
        uint32_t from, edge;  // whence
    };

    int64_t positive_edges(uint32_t i) const { return lists_[i].last - lists_[i].first; }

    // This changes no result: no path leads over a spent edge, or from one component of what is left to another.
    void forget_what_is_spent() {
        std::vector<uint32_t> parent(nodes_.size());
        for (uint32_t i = 0; i < parent.size(); ++i) parent[i] = i;
        for (uint32_t i = 0; i < lists_.size(); ++i) {
            int64_t last = lists_[i].first;
            for (int64_t k = lists_[i].first; k < lists_[i].last; ++k) {
                if (!left_[arcs_[k].edge]) continue;
                arcs_[last++] = arcs_[k];
                unite(parent.data(), i, arcs_[k].node);
            }
            lists_[i].last = last;
        }
        std::erase_if(demands_, [&](const Demand& d) {
            return d.left == 0 || find(parent.data(), d.a) != find(parent.data(), d.b);
        });
    }

    // path_ becomes the edges of a path of just that length; no shorter one is left.
    bool find_path(uint32_t a, uint32_t b, int64_t length) {
        if (++search_ == 0) {  // stamps begin anew
            for (Node& n : nodes_) n.search = 0;
            search_ = 1;
        }
        queue_.assign(1, a);
        nodes_[a].search = search_;
        size_t begin = 0;
        for (int64_t step = 1; step < length; ++step) {
            const size_t end = queue_.size();
            for (size_t k = begin; k < end; ++k) extend(queue_[k]);
            begin = end;
        }
        uint32_t place = ~0u, last = 0;
        for (int64_t k = lists_[b].first; k < lists_[b].last; ++k) {
            const Arc& arc = arcs_[k];
            const Node& n = nodes_[arc.node];
            if (!left_[arc.edge] || n.search != search_ || n.place >= place) continue;
            place = n.place;
            last = arc.edge;
        }
        if (place == ~0u) return false;
        path_.assign(1, last);
        for (uint32_t i = queue_[place]; i != a; i = nodes_[i].from) path_.push_back(nodes_[i].edge);
        return true;
    }

    void extend(uint32_t i) {
        for (int64_t k = lists_[i].first; k < lists_[i].last; ++k) {
            const Arc& arc = arcs_[k];
            if (!left_[arc.edge] || nodes_[arc.node].search == search_) continue;
            nodes_[arc.node] = {search_, static_cast<uint32_t>(queue_.size()), i, arc.edge};
            queue_.push_back(arc.node);
        }
    }

    void take(Demand& d) {
        int64_t share = d.left;
        for (const uint32_t e : path_) share = std::min(share, left_[e]);
        for (const uint32_t e : path_) left_[e] -= share;
        d.left -= share;
        bound_ += share;
    }

    std::vector<Node> nodes_;
    std::vector<List> lists_;  // of arcs, by node, ascending
    std::vector<Arc> arcs_;
    std::vector<int64_t> left_;  // of positive edges
    std::vector<Demand> demands_;  // negative edges
    std::vector<uint32_t> queue_, path_;
    uint32_t search_ = 0;
    int64_t bound_ = 0;
};

}  // namespace emfast::multicut
