// The region graph while it is agglomerated: segments with lists of edges, and the merge of two of them.
//
// A list is a heap of keys where `chains` is true, else slots in no order. Entries of lists go stale: an edge tells whether
// it still joins the segment, and its key. The edge of a pair is found in one of two ways. The few edges of a small segment
// are marked in an array by neighbour; a hub, a segment with many, keeps a table of its own.
//
// Nodes are cut in ranges by number, a worker for each. Workers that touch no common segment and no common neighbour may
// merge at the same time.
#pragma once

#include <memory>
#include <numeric>

#include "agglomerate/scores.h"
#include "agglomerate/table.h"
#include "core/team.h"

namespace emfast::agglomerate {

// Sorts values by key, ascending; equal keys keep their order.
inline void sort_by_key(uint64_t* keys, uint32_t* values, int64_t n) {
    constexpr int digit = 11;
    auto other_keys = lazy<uint64_t>(n);
    auto other_values = lazy<uint32_t>(n);
    uint64_t *from = keys, *to = other_keys.data(), all = 0;
    uint32_t *from_values = values, *to_values = other_values.data();
    for (int64_t i = 0; i < n; ++i) all |= keys[i];
    std::vector<int64_t> starts(1 << digit);
    for (int shift = 0; shift < 64 && all >> shift; shift += digit) {
        std::fill(starts.begin(), starts.end(), 0);
        for (int64_t i = 0; i < n; ++i) ++starts[from[i] >> shift & ((1 << digit) - 1)];
        std::exclusive_scan(starts.begin(), starts.end(), starts.begin(), int64_t(0));
        for (int64_t i = 0; i < n; ++i) {
            const int64_t at = starts[from[i] >> shift & ((1 << digit) - 1)]++;
            to[at] = from[i];
            to_values[at] = from_values[i];
        }
        std::swap(from, to);
        std::swap(from_values, to_values);
    }
    if (from == keys) return;
    std::copy_n(from, n, keys);
    std::copy_n(from_values, n, values);
}

template <class Policy, bool chains>
class Segments {
  public:
    using Entry = std::conditional_t<chains, Key, uint32_t>;
    using Data = typename Policy::Data;

    struct Edge {
        Key key;  // current
        Data data;
        uint32_t a, b;  // both no_slot once it is no more
    };
    struct List {
        Entry* data = nullptr;
        uint32_t length = 0, capacity = 0;
    };

    // What belongs to one thread.
    struct Worker {
        Worker(const Problem& p, const Rules& r) : policy(p, r) {}
        Policy policy;
        Pool<Entry> pool;
        std::vector<uint32_t> marked, twins, foreign;
    };

    Segments(const Problem& p, const Rules& r, Team& team) : problem(p), rules(r), team_(team) {
        const auto extra = static_cast<int64_t>(r.cannot.size() / 2);
        if (p.edges + extra >= int64_t(no_slot) || p.nodes >= int64_t(no_slot))
            refuse("agglomerate takes fewer than 2^32 edges in a call");
        sizes_.resize(needs_sizes() ? p.nodes : 0);
        if (needs_sizes()) std::copy_n(p.sizes, p.nodes, sizes_.data());
        if (p.seeds) seeds_.assign(p.seeds, p.seeds + p.nodes);
        workers.resize(chains ? std::clamp<int64_t>(p.nodes / least_range, 1, team.threads()) : 1);
        width = p.nodes / std::ssize(workers) + 1;
        team.run(std::ssize(workers), 1, [&](int64_t i, int64_t, int) { workers[i] = std::make_unique<Worker>(p, r); });
        load(extra);
        marks_.assign(p.nodes, no_slot);
        hubs_.resize(p.nodes);
    }

    static bool joins(const Edge& e, uint32_t x) { return e.a == x || e.b == x; }
    static uint32_t other(const Edge& e, uint32_t x) { return e.a ^ e.b ^ x; }
    int64_t size(uint32_t x) const { return sizes_.empty() ? 0 : sizes_[x]; }
    double score(const Edge& e) const { return policy().score(e.data, size(e.a), size(e.b)); }

    bool rivals(uint32_t a, uint32_t b) const {
        return !seeds_.empty() && seeds_[a] && seeds_[b] && seeds_[a] != seeds_[b];
    }
    // Whether rules on seeds or sizes forbid the edge, whose score is given.
    bool parted(const Edge& e, double value) const {
        if (rivals(e.a, e.b)) return true;
        return rules.big_size >= 0 && std::min(size(e.a), size(e.b)) >= rules.big_size && value < rules.big_score;
    }

    // f(slot, edge) for the edges of x, none twice unless f leaves it as it is.
    template <class F>
    void each_edge(uint32_t x, const F& f) {
        const List list = lists_[x];  // f may move it
        for (uint32_t i = 0; i < list.length; ++i) {
            const uint32_t slot = slot_in(list.data[i]);
            Edge& e = edges[slot];
            if (joins(e, x)) f(slot, e);
        }
    }

    // An entry for a new edge of x, in its list.
    void push(Worker& worker, uint32_t x, Entry e) {
        List& list = lists_[x];
        if (list.length == list.capacity) {
            const uint32_t capacity = std::bit_ceil(std::max<uint32_t>(8, list.capacity + 1));
            Entry* data = worker.pool.take(capacity);
            std::copy_n(list.data, list.length, data);
            worker.pool.give(list.data, list.capacity);
            list.data = data;
            list.capacity = capacity;
        }
        append(list, e);
        if constexpr (chains) rise(list);
    }

    // The best edge of x, or no_slot.
    uint32_t best(uint32_t x, double& value) {
        List& list = lists_[x];
        if (list.length > 4)  // one of these is the next top
            for (int c = 1; c <= 4; ++c) __builtin_prefetch(&edges[slot_of(list.data[c])]);
        while (list.length) {
            const Key top = list.data[0];
            const uint32_t slot = slot_of(top);
            Edge& e = edges[slot];
            if (!joins(e, x)) {
                if (--list.length) sift(list, list.data[list.length]);
            } else if (e.key != top) {
                sift(list, e.key);
            } else if (is_forbidden(top)) {
                return no_slot;
            } else {
                value = score(e);
                if (value < rules.until) return no_slot;
                if (!parted(e, value)) return slot;
                e.key = forbidden(slot);
            }
        }
        return no_slot;
    }

    // Makes one segment of x and y, which keeps the name of one of them: that is returned.
    uint32_t merge(Worker& worker, uint32_t x, uint32_t y) {
        uint32_t large = x, small = y;
        if (std::pair(!!hubs_[small], lists_[small].length) > std::pair(!!hubs_[large], lists_[large].length))
            std::swap(large, small);
        if (!sizes_.empty()) sizes_[large] += sizes_[small];
        if (!seeds_.empty() && !seeds_[large]) seeds_[large] = seeds_[small];
        if (!hubs_[large] && lists_[large].length > many) make_hub(large);
        if (!hubs_[large])
            each_edge(large, [&](uint32_t slot, Edge& e) {
                const uint32_t w = other(e, large);
                marks_[w] = slot;
                worker.marked.push_back(w);
            });
        find_twins(worker, small, large);
        const List list = lists_[small];
        for (uint32_t i = 0; i < list.length; ++i) {
            const uint32_t slot = slot_in(list.data[i]), twin = worker.twins[i];
            Edge& e = edges[slot];
            if (!joins(e, small)) continue;  // no more, or met twice
            const uint32_t w = other(e, small);
            if (w == large) {
                e.a = e.b = no_slot;
                if (hubs_[large]) hubs_[large]->remove(small);
                continue;
            }
            uint32_t kept = slot;
            if (twin == no_slot) {
                (e.a == small ? e.a : e.b) = large;
                push(worker, large, entry(e.key));
            } else {
                kept = join(worker, large, w, slot, twin);
            }
            if (hubs_[large] && kept != twin) hubs_[large]->set(w, kept);
            if (hubs_[w]) {
                hubs_[w]->remove(small);
                if (kept != twin) hubs_[w]->set(large, kept);
            }
        }
        for (const uint32_t w : worker.marked) marks_[w] = no_slot;
        worker.marked.clear();
        worker.pool.give(lists_[small].data, lists_[small].capacity);
        lists_[small] = {};
        hubs_[small].reset();
        if constexpr (Policy::sized)
            if (policy().by_size) each_edge(large, [&](uint32_t slot, Edge& e) { renew(slot, e); });
        return large;
    }

    void put(Key key) {
        heap.push_back(key);
        std::push_heap(heap.begin(), heap.end());
    }

    static Entry entry(Key key) {
        if constexpr (chains) return key;
        else return slot_of(key);
    }

    const Problem& problem;
    const Rules& rules;
    std::vector<std::unique_ptr<Worker>> workers;
    int64_t width = 0;  // nodes of a range
    Scratch<Edge> edges;  // by slot
    int64_t slots = 0;
    Scratch<uint32_t> rows;  // of slots
    std::vector<Key> heap;  // where chains is false: keys of edges, the best at the front, stale ones among them

  private:
    using Neighbours = Table<uint32_t>;  // slots of a segment's edges, by neighbour
    static constexpr uint32_t many = scrambled ? 5 : 32;  // edges of a segment that has a table
    static constexpr int64_t least_range = scrambled ? 2 : 1 << 12;  // nodes worth a worker

    const Policy& policy() const { return workers[0]->policy; }  // for what changes nothing in it
    bool needs_sizes() const { return Policy::sized || rules.big_size >= 0; }

    // f(range, first node, end) for every range, by its worker.
    template <class F>
    void each_range(const F& f) {
        team_.run(static_cast<int64_t>(workers.size()), 1, [&](int64_t i, int64_t, int) {
            f(i, std::min(i * width, problem.nodes), std::min((i + 1) * width, problem.nodes));
        });
    }

    // ---- loading

    void load(int64_t extra) {
        const Problem& p = problem;
        const int64_t m = p.edges, n = p.nodes;
        rows = lazy<uint32_t>(m);
        std::iota(rows.data(), rows.data() + m, 0u);
        if (p.ids) {
            auto ids = lazy<uint64_t>(m);
            std::copy_n(p.ids, m, ids.data());
            sort_by_key(ids.data(), rows.data(), m);
        }
        edges = lazy<Edge>(m + extra);
        lists_.resize(n);
        each_range([&](int64_t range, int64_t, int64_t) { load_edges(range); });
        each_range([&](int64_t range, int64_t begin, int64_t end) { load_lists(range, begin, end); });
        slots = m;
    }

    // The slots that a range's worker loads. Nodes are numbered by their first voxels and slots by the edges' first, so most
    // of their ends are in the range; the others are found in the worker's `foreign` slots.
    std::pair<int64_t, int64_t> slots_of(int64_t range) const {
        const auto ranges = static_cast<int64_t>(workers.size());
        return {problem.edges * range / ranges, problem.edges * (range + 1) / ranges};
    }

    void load_edges(int64_t range) {
        Worker& worker = *workers[range];
        const auto [begin, end] = slots_of(range);
        for (int64_t slot = begin; slot < end; ++slot) {
            const int64_t row = rows[slot];
            Edge& e = edges[slot];
            e.a = problem.ends[2 * row];
            e.b = problem.ends[2 * row + 1];
            e.data = worker.policy.load(row);
            e.key = key_for(e, static_cast<uint32_t>(slot));
            const bool mine_a = e.a / width == range, mine_b = e.b / width == range;
            if (mine_a) ++lists_[e.a].capacity;  // other workers count the others
            if (mine_b) ++lists_[e.b].capacity;
            if (!mine_a || !mine_b) worker.foreign.push_back(static_cast<uint32_t>(slot));
        }
    }

    // The lists of the nodes from begin to end.
    void load_lists(int64_t range, int64_t begin, int64_t end) {
        auto mine = [&](uint32_t x) { return x / width == range; };
        auto each_foreign = [&](const auto& f) {  // of the others' slots those that may have an end here
            for (size_t k = 0; k < workers.size(); ++k)
                if (static_cast<int64_t>(k) != range)
                    for (const uint32_t slot : workers[k]->foreign) f(edges[slot]);
        };
        each_foreign([&](const Edge& e) {
            if (mine(e.a)) ++lists_[e.a].capacity;
            if (mine(e.b)) ++lists_[e.b].capacity;
        });
        for (const uint32_t x : rules.cannot)
            if (mine(x)) ++lists_[x].capacity;
        int64_t entries = 0;
        for (int64_t x = begin; x < end; ++x) entries += lists_[x].capacity;
        Entry* block = workers[range]->pool.exactly(entries);
        for (int64_t x = begin; x < end; ++x) {
            lists_[x].data = block;
            block += lists_[x].capacity;
        }
        auto enter = [&](const Edge& e) {
            if (mine(e.a)) append(lists_[e.a], entry(e.key));
            if (mine(e.b)) append(lists_[e.b], entry(e.key));
        };
        const auto [first, last] = slots_of(range);
        for (int64_t slot = first; slot < last; ++slot) enter(edges[slot]);
        each_foreign(enter);
        if constexpr (chains)
            for (int64_t x = begin; x < end; ++x) make_heap(lists_[x]);
    }

    // ---- lists

    static uint32_t slot_in(Entry entry) {
        if constexpr (chains) return slot_of(entry);
        else return entry;
    }
    static void append(List& list, Entry e) { list.data[list.length++] = e; }

    // Heaps have four children to a node: four keys are a cache line.
    // Puts an entry in the place at `at` or below.
    static void sift(const List& list, Key key, uint32_t at = 0) {
        const uint32_t n = list.length;
        Key* const data = list.data;
        for (uint32_t child; (child = 4 * at + 1) < n;) {
            uint32_t best = child;
            const uint32_t end = std::min(child + 4, n);
            for (uint32_t c = child + 1; c < end; ++c)
                if (data[best] < data[c]) best = c;
            if (!(key < data[best])) break;
            data[at] = data[best];
            at = best;
        }
        data[at] = key;
    }
    static void make_heap(const List& list) {
        for (uint32_t at = list.length > 1 ? (list.length - 2) / 4 + 1 : 0; at-- > 0;) sift(list, list.data[at], at);
    }
    static void rise(const List& list) {  // the last entry
        Key* const data = list.data;
        uint32_t at = list.length - 1;
        const Key key = data[at];
        for (; at > 0 && data[(at - 1) / 4] < key; at = (at - 1) / 4) data[at] = data[(at - 1) / 4];
        data[at] = key;
    }

    // ---- keys

    // The key of an edge that is not forbidden.
    Key key_for(const Edge& e, uint32_t slot) const {
        Key value = policy().value(e.data, size(e.a), size(e.b));
        if (rules.constrained) {  // by magnitude, whatever the sign
            const double score = policy().score(e.data, size(e.a), size(e.b));
            if (score < rules.until) value = mirrored(e);
        }
        return key_of(value, slot);
    }
    // The value of the opposite score.
    Key mirrored(const Edge& e) const {
        Data data = e.data;
        if constexpr (requires { data.value; }) data.value = -data.value;
        else if constexpr (requires { data.sum; }) data.sum = -data.sum;
        return policy().value(data, size(e.a), size(e.b));
    }
    void renew(uint32_t slot, Edge& e) {
        if (is_forbidden(e.key)) return;
        const Key key = key_for(e, slot);
        if (key == e.key) return;
        e.key = key;
        if (!chains) put(key);
    }

    // ---- merging

    // twins[i] is the edge of large with the neighbour at the other end of edge i of small. All are looked up before the
    // merge, so that the memory of many can be on its way at once.
    void find_twins(Worker& worker, uint32_t small, uint32_t large) {
        const List& list = lists_[small];
        worker.twins.assign(list.length, no_slot);
        for (uint32_t i = 0; i < list.length; ++i) __builtin_prefetch(&edges[slot_in(list.data[i])]);
        if (hubs_[large])
            for (uint32_t i = 0; i < list.length; ++i) {
                const Edge& e = edges[slot_in(list.data[i])];
                if (joins(e, small)) hubs_[large]->prefetch(other(e, small));
            }
        for (uint32_t i = 0; i < list.length; ++i) {
            const Edge& e = edges[slot_in(list.data[i])];
            if (!joins(e, small)) continue;
            const uint32_t w = other(e, small);
            const uint32_t twin = hubs_[large] ? hubs_[large]->get(w) : marks_[w];
            worker.twins[i] = twin;
            if (twin != no_slot) __builtin_prefetch(&edges[twin]);
            __builtin_prefetch(&lists_[w]);
            if (hubs_[w]) hubs_[w]->prefetch(small);
        }
    }

    // The edges (small, w) and (large, w) become one, in the slot of the larger id: that is returned.
    uint32_t join(Worker& worker, uint32_t large, uint32_t w, uint32_t from_small, uint32_t from_large) {
        const uint32_t kept = std::max(from_small, from_large), lost = std::min(from_small, from_large);
        Edge &e = edges[kept], &gone = edges[lost];
        const Key kept_key = e.key, lost_key = gone.key;
        const bool parted = is_forbidden(kept_key) || is_forbidden(lost_key);
        if (!parted) worker.policy.join(e.data, gone.data);
        gone.a = gone.b = no_slot;
        e.a = large;
        e.b = w;
        e.key = parted ? forbidden(kept) : key_for(e, kept);
        if constexpr (chains) {
            // In each list an entry must bound the edge from above. That of the lost edge bounds nothing any more.
            const bool short_of = lost_key >> 32 > kept_key >> 32;
            if (kept == from_small || short_of) push(worker, large, entry(e.key));
            if (short_of) push(worker, w, entry(e.key));
        } else {
            if (kept == from_small) push(worker, large, kept);
            if (!is_forbidden(e.key)) put(e.key);
        }
        return kept;
    }

    void make_hub(uint32_t x) {
        hubs_[x] = std::make_unique<Neighbours>();
        each_edge(x, [&](uint32_t slot, Edge& e) { hubs_[x]->set(other(e, x), slot); });
    }

    Team& team_;
    std::vector<List> lists_;
    std::vector<uint32_t> marks_;  // slot by neighbour
    std::vector<std::unique_ptr<Neighbours>> hubs_;
    std::vector<int64_t> sizes_;
    std::vector<uint32_t> seeds_;
};

}  // namespace emfast::agglomerate
