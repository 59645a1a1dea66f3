// One thread: what is joined next depends on what was joined before. The graph is a list of edges per node, in which dead
// edges are skipped when met, and a table from pairs of nodes to edges; of two nodes the one with fewer edges goes into the
// other. The queue is a binary heap; an edge whose cost has changed enters it anew, and entries that do not agree with their
// edge are passed over.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "core/union_find.h"
#include "multicut/multicut.h"

namespace emfast::multicut {

class Contraction {
  public:
    Contraction(const Problem& p, bool fixation) : fixation_(fixation), parent_(p.nodes), lists_(p.nodes) {
        for (int64_t i = 0; i < p.nodes; ++i) parent_[i] = static_cast<uint32_t>(i);
        size_t room = 1024;
        while (room < size_t(p.edges) * 3) room *= 2;
        places_.resize(room);
        edges_.reserve(p.edges);
        for (int64_t e = 0; e < p.edges; ++e) {
            const uint32_t a = p.ends[2 * e], b = p.ends[2 * e + 1];
            if (a == b) continue;
            Place& place = places_[place_of(pair_of(a, b))];
            if (place.pair) {
                edges_[place.edge].cost += p.costs[e];
                edges_[place.edge].id = static_cast<uint32_t>(e);  // larger than all before
            } else {
                place = {pair_of(a, b), static_cast<uint32_t>(edges_.size())};
                edges_.push_back(
                    {p.costs[e], a, b, static_cast<uint32_t>(e), e < p.plain ? State::open : State::lifted});
                ++held_;
            }
        }
        for (const Edge& e : edges_) ++lists_[e.a].reserved, ++lists_[e.b].reserved;
        for (auto& l : lists_) l.edges.reserve(std::exchange(l.reserved, 0));
        for (uint32_t e = 0; e < edges_.size(); ++e) {
            lists_[edges_[e].a].edges.push_back(e);
            lists_[edges_[e].b].edges.push_back(e);
            if (wanted(edges_[e])) heap_.push_back(entry(e));
        }
        std::make_heap(heap_.begin(), heap_.end());
    }

    void run() {
        while (!heap_.empty()) {
            std::pop_heap(heap_.begin(), heap_.end());
            const Entry top = heap_.back();
            heap_.pop_back();
            Edge& e = edges_[top.edge];
            if (e.state != State::open || e.cost != top.cost || e.id != top.id) continue;
            if (e.cost > 0) join(top.edge);
            else e.state = State::fixed;
        }
    }

    uint32_t root(uint32_t i) { return find(parent_.data(), i); }

  private:
    enum class State : uint8_t { open, fixed, lifted, dead };  // lifted: no plain edge is in it
    struct Edge {
        int64_t cost;
        uint32_t a, b;  // roots
        uint32_t id;
        State state;
    };
    struct Entry {
        int64_t cost;
        uint32_t id, edge;
        bool operator<(const Entry& o) const {
            const int64_t size = cost < 0 ? -cost : cost, others = o.cost < 0 ? -o.cost : o.cost;
            return size != others ? size < others : id > o.id;
        }
    };
    struct Place {
        uint64_t pair = 0;
        uint32_t edge = 0;
    };
    struct List {
        std::vector<uint32_t> edges;
        size_t reserved = 0;
    };

    bool wanted(const Edge& e) const { return e.state == State::open && (fixation_ ? e.cost != 0 : e.cost > 0); }
    Entry entry(uint32_t e) const { return {edges_[e].cost, edges_[e].id, e}; }

    static uint64_t pair_of(uint32_t a, uint32_t b) {  // never 0: a and b differ
        return a < b ? uint64_t(a) << 32 | b : uint64_t(b) << 32 | a;
    }

    size_t place_of(uint64_t pair) const {
        const size_t mask = places_.size() - 1;
        size_t at = ((pair * 0x9E3779B97F4A7C15ull) >> 20) & mask;
        while (places_[at].pair && places_[at].pair != pair) at = (at + 1) & mask;
        return at;
    }

    void join(uint32_t joined) {
        uint32_t a = edges_[joined].a, b = edges_[joined].b;
        edges_[joined].state = State::dead;
        if (lists_[a].edges.size() < lists_[b].edges.size()) std::swap(a, b);
        parent_[b] = a;
        for (const uint32_t k : lists_[b].edges) {
            Edge& e = edges_[k];
            if (e.state == State::dead) continue;
            const uint32_t c = e.a == b ? e.b : e.a;
            Place* place = &places_[place_of(pair_of(a, c))];
            if (!place->pair) {
                e.a = a, e.b = c;
                lists_[a].edges.push_back(k);
                *place = {pair_of(a, c), k};
                if (++held_ * 3 > places_.size() * 2) grow();
                continue;
            }
            Edge& other = edges_[place->edge];
            other.cost += e.cost;
            other.id = std::max(other.id, e.id);
            if (e.state == State::fixed || other.state == State::lifted) other.state = e.state;
            e.state = State::dead;
            if (wanted(other)) {
                heap_.push_back(entry(place->edge));
                std::push_heap(heap_.begin(), heap_.end());
            }
        }
        lists_[b].edges = {};
    }

    // Pairs whose nodes are no more are forgotten.
    void grow() {
        std::vector<Place> old(places_.size());
        old.swap(places_);
        held_ = 0;
        for (const Place& p : old) {
            const auto a = static_cast<uint32_t>(p.pair >> 32), b = static_cast<uint32_t>(p.pair);
            if (p.pair && parent_[a] == a && parent_[b] == b) places_[place_of(p.pair)] = p, ++held_;
        }
        if (held_ * 3 <= places_.size()) return;
        old.assign(places_.size() * 2, {});
        old.swap(places_);
        for (const Place& p : old)
            if (p.pair) places_[place_of(p.pair)] = p;
    }

    const bool fixation_;
    std::vector<uint32_t> parent_;
    std::vector<List> lists_;
    std::vector<Edge> edges_;
    std::vector<Place> places_;
    std::vector<Entry> heap_;
    size_t held_ = 0;
};

}  // namespace emfast::multicut
