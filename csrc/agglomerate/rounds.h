// The device's agglomeration: rounds of mutually best merges, for reducible scores and no rules.
//
// In a round every edge that is the best of both its ends is merged, all of them at once; engine.h says why that makes the
// queue's tree. Only what a round changes is looked at in the next: the edges of a merged segment are sorted by their other
// end, those that have come to run in parallel become one, and the best edges of segments with such an edge are sought
// anew, among their edges. So a round costs a glance at the ends of all edges, and the rest in proportion to its merges;
// a hub that takes its neighbours one by one makes many such rounds.
//
// A segment is named after its smallest node, so merges need no renaming; at the end they are sorted by their keys. Keys
// are two words here, for atomics.
#pragma once

#include <bit>
#include <utility>

#include "agglomerate/scores.h"
#include "core/atomic.h"
#include "core/ops.h"

namespace emfast::agglomerate::rounds {

inline constexpr uint64_t dead = 0;  // the ends of an edge that is no more: no edge joins 0 and 0

template <class Data>
struct Edges {
    uint64_t* ends;  // the smaller node << 32 | the larger
    uint64_t *high, *low;  // the key
    Data* data;

    EMFAST_HD uint32_t a(int64_t e) const { return static_cast<uint32_t>(ends[e] >> 32); }
    EMFAST_HD uint32_t b(int64_t e) const { return static_cast<uint32_t>(ends[e]); }
    EMFAST_HD uint32_t slot(int64_t e) const { return slot_of(Key(low[e])); }
    EMFAST_HD void set(int64_t e, Key key) const {
        high[e] = static_cast<uint64_t>(key >> 64);
        low[e] = static_cast<uint64_t>(key);
    }
    EMFAST_HD void move(int64_t e, int64_t to, const Edges& other) const {
        other.ends[to] = ends[e];
        other.high[to] = high[e];
        other.low[to] = low[e];
        other.data[to] = data[e];
    }
};

struct Nodes {
    uint64_t *high, *low;  // the best key of an open edge; 0 where there is none
    uint32_t* parents;
    uint8_t* changed;  // the best edge is to be sought anew
    uint8_t* merged;  // in this round
};

// Slot i is the edge with the i-th id.
template <class Policy>
struct Load {
    Policy policy;
    const uint32_t *rows, *from;
    Edges<typename Policy::Data> edges;
    EMFAST_HD void operator()(int64_t i) const {
        const uint32_t row = rows[i], a = from[2 * int64_t(row)], b = from[2 * int64_t(row) + 1];
        edges.ends[i] = a < b ? uint64_t(a) << 32 | b : uint64_t(b) << 32 | a;
        edges.data[i] = policy.load(row);
        edges.set(i, key_of(policy.value(edges.data[i], 0, 0), static_cast<uint32_t>(i)));
    }
};

struct Begin {
    Nodes nodes;
    EMFAST_HD void operator()(int64_t x) const {
        nodes.high[x] = nodes.low[x] = 0;
        nodes.parents[x] = static_cast<uint32_t>(x);
        nodes.changed[x] = 1;
        nodes.merged[x] = 0;
    }
};

// ---- the best edges of changed nodes

template <class Data>
struct HasChanged {
    Edges<Data> edges;
    Nodes nodes;
    EMFAST_HD bool operator()(int64_t e) const {
        return edges.ends[e] != dead && (nodes.changed[edges.a(e)] || nodes.changed[edges.b(e)]);
    }
};

template <class Policy>
struct FindHigh {
    Policy policy;
    double until;
    const uint32_t* list;
    Edges<typename Policy::Data> edges;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t e = list[i];
        if (policy.score(edges.data[e], 0, 0) < until) return;
        raise(edges.a(e), edges.high[e]);
        raise(edges.b(e), edges.high[e]);
    }
    EMFAST_HD void raise(uint32_t x, uint64_t high) const {
        if (nodes.changed[x]) atomic_max(nodes.high[x], high);
    }
};

template <class Policy>
struct FindLow {
    Policy policy;
    double until;
    const uint32_t* list;
    Edges<typename Policy::Data> edges;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t e = list[i];
        if (policy.score(edges.data[e], 0, 0) < until) return;
        raise(edges.a(e), e);
        raise(edges.b(e), e);
    }
    EMFAST_HD void raise(uint32_t x, int64_t e) const {
        if (nodes.changed[x] && nodes.high[x] == edges.high[e]) atomic_max(nodes.low[x], edges.low[e]);
    }
};

template <class Data>
struct IsBestOfBoth {
    const uint32_t* list;
    Edges<Data> edges;
    Nodes nodes;
    EMFAST_HD bool operator()(int64_t i) const {
        const int64_t e = list[i];
        return is_best(edges.a(e), e) && is_best(edges.b(e), e);
    }
    EMFAST_HD bool is_best(uint32_t x, int64_t e) const {
        return nodes.high[x] == edges.high[e] && nodes.low[x] == edges.low[e];
    }
};

template <class Data>
struct BeUnchanged {
    const uint32_t* list;
    Edges<Data> edges;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t e = list[i];
        atomic_store(nodes.changed[edges.a(e)], uint8_t(0));
        atomic_store(nodes.changed[edges.b(e)], uint8_t(0));
    }
};

// ---- merges

// Edge list[matches[i]] is merged and written to place first + i of `out`.
template <class Data>
struct Merge {
    const uint32_t *list, *matches;
    int64_t first;
    Edges<Data> edges, out;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t e = list[matches[i]];
        const uint32_t a = edges.a(e), b = edges.b(e);
        edges.move(e, first + i, out);
        edges.ends[e] = dead;
        nodes.parents[b] = a;
        nodes.merged[a] = nodes.merged[b] = nodes.changed[a] = 1;
    }
};

template <class Data>
struct IsTouched {
    Edges<Data> edges;
    Nodes nodes;
    EMFAST_HD bool operator()(int64_t e) const {
        return edges.ends[e] != dead && (nodes.merged[edges.a(e)] || nodes.merged[edges.b(e)]);
    }
};

template <class Data>
struct Rename {
    const uint32_t* touched;
    Edges<Data> edges;
    Nodes nodes;
    uint64_t* pairs;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t e = touched[i];
        const uint32_t a = nodes.parents[edges.a(e)], b = nodes.parents[edges.b(e)];
        pairs[i] = edges.ends[e] = a < b ? uint64_t(a) << 32 | b : uint64_t(b) << 32 | a;
    }
};

// Edges in a run of equal pairs become one, in the one with the largest slot. A run has four edges at most.
template <class Policy>
struct Join {
    Policy policy;
    int64_t n;
    const uint64_t* pairs;
    const uint32_t* touched;
    Edges<typename Policy::Data> edges;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t i) const {
        if (i > 0 && pairs[i] == pairs[i - 1]) return;
        int64_t stop = i + 1, kept = touched[i];
        for (; stop < n && pairs[stop] == pairs[i]; ++stop)
            if (edges.slot(kept) < edges.slot(touched[stop])) kept = touched[stop];
        if (stop == i + 1) return;
        auto data = edges.data[kept];
        for (int64_t k = i; k < stop; ++k) {
            const int64_t e = touched[k];
            if (e == kept) continue;
            policy.join(data, edges.data[e]);
            edges.ends[e] = dead;
        }
        edges.data[kept] = data;
        edges.set(kept, key_of(policy.value(data, 0, 0), edges.slot(kept)));
        atomic_store(nodes.changed[static_cast<uint32_t>(pairs[i] >> 32)], uint8_t(1));
        atomic_store(nodes.changed[static_cast<uint32_t>(pairs[i])], uint8_t(1));
    }
};

// All changed nodes are ends of touched edges, but those that have no edge left.
struct Forget {
    const uint64_t* pairs;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t i) const {
        forget(static_cast<uint32_t>(pairs[i] >> 32));
        forget(static_cast<uint32_t>(pairs[i]));
    }
    EMFAST_HD void forget(uint32_t x) const {
        if (!nodes.changed[x]) return;
        atomic_store(nodes.high[x], uint64_t(0));
        atomic_store(nodes.low[x], uint64_t(0));
    }
};

template <class Data>
struct BeUnmerged {
    int64_t first;
    Edges<Data> out;
    Nodes nodes;
    EMFAST_HD void operator()(int64_t i) const { nodes.merged[out.a(first + i)] = nodes.merged[out.b(first + i)] = 0; }
};

template <class Data>
struct IsAlive {
    Edges<Data> edges;
    EMFAST_HD bool operator()(int64_t e) const { return edges.ends[e] != dead; }
};

template <class Data>
struct Move {
    const uint32_t* from;
    Edges<Data> edges, to;
    EMFAST_HD void operator()(int64_t i) const { edges.move(from[i], i, to); }
};

// ---- the result

// The complement of a word of the keys, in a given order: ascending is best first.
struct Inverted {
    const uint64_t* words;
    const uint32_t* order;
    uint64_t* out;
    EMFAST_HD void operator()(int64_t i) const { out[i] = ~words[order[i]]; }
};

struct Iota {
    uint32_t* out;
    EMFAST_HD void operator()(int64_t i) const { out[i] = static_cast<uint32_t>(i); }
};

struct Word {
    const int64_t* from;
    uint64_t* out;
    EMFAST_HD void operator()(int64_t i) const { out[i] = static_cast<uint64_t>(from[i]); }
};

template <class Policy>
struct Write {
    Policy policy;
    const uint32_t *order, *rows;
    Edges<typename Policy::Data> from;
    uint32_t *a, *b;
    double* scores;
    int64_t *row, *sums, *counts;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t e = order[i];
        const auto& data = from.data[e];
        a[i] = from.a(e);
        b[i] = from.b(e);
        scores[i] = policy.score(data, 0, 0);
        row[i] = rows[from.slot(e)];
        if constexpr (requires { data.count; }) {
            sums[i] = data.sum;
            counts[i] = data.count;
        } else {
            sums[i] = counts[i] = 0;
        }
    }
};

template <class Ex, class Data>
class EdgeList {
  public:
    EdgeList(Ex& ex, int64_t n)
        : size(n),
          ends_(ex.template scratch<uint64_t>(n)),
          high_(ex.template scratch<uint64_t>(n)),
          low_(ex.template scratch<uint64_t>(n)),
          data_(ex.template scratch<Data>(n)) {}
    Edges<Data> view() { return {ends_.data(), high_.data(), low_.data(), data_.data()}; }
    int64_t size;

  private:
    Scratch<uint64_t> ends_, high_, low_;
    Scratch<Data> data_;
};

template <class Ex, class Policy>
class Rounds {
    using Data = typename Policy::Data;
    static constexpr int between = 4;  // rounds after which dead edges are let go

  public:
    Rounds(Ex& ex, const Problem& p, const Rules& r, const Policy& policy)
        : ex_(ex),
          until_(r.until),
          policy_(policy),
          edges_(ex, p.edges),
          found_(ex, std::min(p.edges, p.nodes)),
          high_(ex.template scratch<uint64_t>(p.nodes)),
          low_(ex.template scratch<uint64_t>(p.nodes)),
          parents_(ex.template scratch<uint32_t>(p.nodes)),
          rows_(ex.template scratch<uint32_t>(p.edges)),
          changed_(ex.template scratch<uint8_t>(p.nodes)),
          merged_(ex.template scratch<uint8_t>(p.nodes)) {
        found_.size = 0;
        ex.for_each(p.edges, Iota{rows_.data()});
        if (p.ids) {
            auto ids = ex.template scratch<uint64_t>(p.edges);
            ex.for_each(p.edges, Word{p.ids, ids.data()});
            ex.sort_pairs(ids.data(), rows_.data(), p.edges);
        }
        ex.for_each(p.edges, Load<Policy>{policy, rows_.data(), p.ends, edges_.view()});
        ex.for_each(p.nodes, Begin{nodes()});
    }

    Merges run() {
        for (int round = 1; merge_best(); ++round)
            if (round % between == 0) let_go();
        return finish();
    }

  private:
    Nodes nodes() { return {high_.data(), low_.data(), parents_.data(), changed_.data(), merged_.data()}; }

    // One round; false if nothing was left to merge.
    bool merge_best() {
        const Edges<Data> edges = edges_.view(), found = found_.view();
        const Nodes nodes = this->nodes();
        const auto list = ex_.template select<uint32_t>(edges_.size, HasChanged<Data>{edges, nodes});
        ex_.for_each(list.size(), FindHigh<Policy>{policy_, until_, list.data(), edges, nodes});
        ex_.for_each(list.size(), FindLow<Policy>{policy_, until_, list.data(), edges, nodes});
        const auto matches = ex_.template select<uint32_t>(list.size(), IsBestOfBoth<Data>{list.data(), edges, nodes});
        const int64_t merges = matches.size(), first = found_.size;
        if (!merges) return false;
        ex_.for_each(list.size(), BeUnchanged<Data>{list.data(), edges, nodes});
        ex_.for_each(merges, Merge<Data>{list.data(), matches.data(), first, edges, found, nodes});
        const auto touched = ex_.template select<uint32_t>(edges_.size, IsTouched<Data>{edges, nodes});
        const int64_t n = touched.size();
        auto pairs = ex_.template scratch<uint64_t>(n);
        ex_.for_each(n, Rename<Data>{touched.data(), edges, nodes, pairs.data()});
        ex_.sort_pairs(pairs.data(), touched.data(), n);
        ex_.for_each(n, Join<Policy>{policy_, n, pairs.data(), touched.data(), edges, nodes});
        ex_.for_each(n, Forget{pairs.data(), nodes});
        ex_.for_each(merges, BeUnmerged<Data>{first, found, nodes});
        found_.size += merges;
        return true;
    }

    void let_go() {
        const auto alive = ex_.template select<uint32_t>(edges_.size, IsAlive<Data>{edges_.view()});
        if (alive.size() * 5 > edges_.size * 4) return;
        EdgeList<Ex, Data> fewer(ex_, alive.size());
        ex_.for_each(alive.size(), Move<Data>{alive.data(), edges_.view(), fewer.view()});
        edges_ = std::move(fewer);
    }

    Merges finish() {
        const int64_t n = found_.size;
        const Edges<Data> found = found_.view();
        auto order = ex_.template scratch<uint32_t>(n);
        auto words = ex_.template scratch<uint64_t>(n);
        ex_.for_each(n, Iota{order.data()});
        ex_.for_each(n, Inverted{found.low, order.data(), words.data()});
        ex_.sort_pairs(words.data(), order.data(), n);
        ex_.for_each(n, Inverted{found.high, order.data(), words.data()});
        ex_.sort_pairs(words.data(), order.data(), n);
        auto a = ex_.template scratch<uint32_t>(n), b = ex_.template scratch<uint32_t>(n);
        auto scores = ex_.template scratch<double>(n);
        auto rows = ex_.template scratch<int64_t>(n), sums = ex_.template scratch<int64_t>(n);
        auto counts = ex_.template scratch<int64_t>(n);
        ex_.for_each(n, Write<Policy>{policy_, order.data(), rows_.data(), found, a.data(), b.data(), scores.data(),
                                      rows.data(), sums.data(), counts.data()});
        return {ex_.fetch(a.data(), n),
                ex_.fetch(b.data(), n),
                ex_.fetch(scores.data(), n),
                ex_.fetch(rows.data(), n),
                ex_.fetch(sums.data(), n),
                ex_.fetch(counts.data(), n),
                {}};
    }

    Ex& ex_;
    const double until_;
    const Policy policy_;
    EdgeList<Ex, Data> edges_, found_;
    Scratch<uint64_t> high_, low_;
    Scratch<uint32_t> parents_, rows_;
    Scratch<uint8_t> changed_, merged_;
};

// ---- which problems, and the call

inline bool suit(const Problem& p, const Rules& r) {
    const bool plain = r.must.empty() && r.cannot.empty() && !p.seeds && r.big_size < 0 && !p.frozen && !r.constrained;
    const bool apt =
        r.score == Score::mean || r.score == Score::maximum || r.score == Score::minimum || r.score == Score::absolute;
    return plain && apt && r.schedule == Schedule::any;
}

struct CountOf {
    const int64_t* counts;
    EMFAST_HD int64_t operator()(int64_t i) const { return counts[i]; }
};

struct WidthOf {
    const int64_t *sums, *counts;
    EMFAST_HD int64_t operator()(int64_t i) const { return Mean::width(sums[i], counts[i]); }
};

template <class Ex>
Merges run(Ex& ex, const Problem& p, const Rules& r) {
    switch (r.score) {
        case Score::maximum: return Rounds(ex, p, r, Extreme<Score::maximum>(p, r)).run();
        case Score::minimum: return Rounds(ex, p, r, Extreme<Score::minimum>(p, r)).run();
        case Score::absolute: return Rounds(ex, p, r, Extreme<Score::absolute>(p, r)).run();
        default: break;
    }
    const int64_t total = ex.reduce(p.edges, int64_t(0), CountOf{p.counts}, Plus{});
    const int64_t widest = ex.reduce(p.edges, int64_t(0), WidthOf{p.sums, p.counts}, Larger{});
    return Rounds(ex, p, r, Mean(p, r, total, widest)).run();
}

}  // namespace emfast::agglomerate::rounds
