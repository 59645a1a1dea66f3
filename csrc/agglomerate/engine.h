// The host's agglomeration: segments with lists of edges, merged by a queue or by chains.
//
// Queue: one heap of keys for the whole graph. Right for every score; the definition in code.
//
// Chains: for reducible scores. A heap of keys for each segment; from any segment walk to its best neighbour, from there to
// that one's best, and so on. Keys rise along the walk, so it ends at a pair that are each other's best, which is merged,
// and a segment goes on absorbing while its best is its neighbour's best too. The merges are put in order at the end.
//
// Why the chains make the queue's tree (the argument of Müllner, arXiv:1109.2378, section 2.3, with a total order in the
// place of distinct distances). Let e = (x, y) be best among the edges of x and among those of y. Until the queue comes to
// e it merges neither x nor y, for that would take an edge of x or y that is better than e. Merges elsewhere may join
// (x, z) and (x, w); the joined edge has a score not better than the better of the two (reducible) and the larger id, so
// it is not better than e either. Hence e stays the best of both ends, the queue merges it some day, and nothing the queue
// does before that day sees x or y otherwise than apart. So merging e now and deleting it from the queue's list leaves
// all other merges as they are. By induction both make the same set of merges, with the same scores. And the queue's order
// is that of (score, id): what a merge makes is not better than the edge it merged, which was the best of all.
// Rules that forbid an edge keep this: forbidden is the worst score, an edge with a forbidden parent is forbidden, seeds
// and sizes only grow more forbidding as segments grow. A rule on sizes looks at x and y when e is the best of one of them,
// and then that one is as large as it will be when the queue comes to e (all its merges were better than e).
// So chains may start anywhere, and start in the order of nodes: neighbours in number are neighbours in memory.
//
// Threads: the nodes are cut in ranges by number. A merge writes to the two segments and to their neighbours, so a worker
// that leaves alone every node with a neighbour in another range, and all that wait for one, meets nobody: it follows the
// chains of its range with nothing locked. Then ranges are joined in pairs and the chains followed again, until all is
// one range. By the argument above the merges are the same.
//
// The edge of a pair is found in one of two ways. The few edges of a small segment are marked in an array by neighbour; a
// hub, a segment with many, keeps a table of its own.
#pragma once

#include <memory>
#include <numeric>

#include "agglomerate/scores.h"
#include "agglomerate/table.h"
#include "core/team.h"
#include "core/threads.h"

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
class Engine {
    using Entry = std::conditional_t<chains, Key, uint32_t>;
    using Data = typename Policy::Data;
    using Neighbours = Table<uint32_t>;  // slots of a segment's edges, by neighbour
    static constexpr uint32_t many = scrambled ? 5 : 32;  // edges of a segment that has a table
    static constexpr int64_t least_range = scrambled ? 2 : 1 << 12;  // nodes worth a worker

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
        bool on_caller = true;  // in the thread that may ask for Ctrl-C
        Pool<Entry> pool;
        std::vector<uint32_t> marked, twins, walk, foreign;
        Merges merges;
        std::vector<Key> keys;  // of the merges, where their order is yet to be found
        int64_t steps = 0;
    };

  public:
    Engine(const Problem& p, const Rules& r, Team& team) : problem_(p), rules_(r), team_(team) {
        const auto extra = static_cast<int64_t>(r.cannot.size() / 2);
        if (p.edges + extra >= int64_t(no_slot) || p.nodes >= int64_t(no_slot))
            refuse("agglomerate takes fewer than 2^32 edges in a call");
        sizes_.resize(needs_sizes() ? p.nodes : 0);
        if (needs_sizes()) std::copy_n(p.sizes, p.nodes, sizes_.data());
        if (p.seeds) seeds_.assign(p.seeds, p.seeds + p.nodes);
        workers_.resize(chains ? std::clamp<int64_t>(p.nodes / least_range, 1, team.threads()) : 1);
        const auto ranges = static_cast<int64_t>(workers_.size());
        width_ = p.nodes / ranges + 1;
        team.run(ranges, 1, [&](int64_t i, int64_t, int) { workers_[i] = std::make_unique<Worker>(p, r); });
        load(extra);
        marks_.assign(p.nodes, no_slot);
        hubs_.resize(p.nodes);
    }

    Merges run() {
        obey();
        if constexpr (chains) follow();
        else queue();
        return finish();
    }

  private:
    Worker& first() { return *workers_[0]; }
    const Policy& policy() const { return workers_[0]->policy; }  // for what changes nothing in it

    // f(range, first node, end) for every range, by its worker.
    template <class F>
    void each_range(const F& f) {
        team_.run(static_cast<int64_t>(workers_.size()), 1, [&](int64_t i, int64_t, int) {
            f(i, std::min(i * width_, problem_.nodes), std::min((i + 1) * width_, problem_.nodes));
        });
    }

    static uint32_t slot_in(Entry entry) {
        if constexpr (chains) return slot_of(entry);
        else return entry;
    }
    bool needs_sizes() const { return Policy::sized || rules_.big_size >= 0; }
    int64_t size(uint32_t x) const { return sizes_.empty() ? 0 : sizes_[x]; }

    // The key of an edge that is not forbidden.
    Key key_for(const Edge& e, uint32_t slot) const {
        Key value = policy().value(e.data, size(e.a), size(e.b));
        if (rules_.constrained) {  // by magnitude, whatever the sign
            const double score = policy().score(e.data, size(e.a), size(e.b));
            if (score < rules_.until) value = mirrored(e);
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

    // ---- the graph

    void load(int64_t extra) {
        const Problem& p = problem_;
        const int64_t m = p.edges, n = p.nodes;
        rows_ = lazy<uint32_t>(m);
        std::iota(rows_.data(), rows_.data() + m, 0u);
        if (p.ids) {
            auto ids = lazy<uint64_t>(m);
            std::copy_n(p.ids, m, ids.data());
            sort_by_key(ids.data(), rows_.data(), m);
        }
        edges_ = lazy<Edge>(m + extra);
        lists_.resize(n);
        each_range([&](int64_t range, int64_t, int64_t) { load_edges(range); });
        each_range([&](int64_t range, int64_t begin, int64_t end) { load_lists(range, begin, end); });
        slots_ = m;
    }

    // The slots that a range's worker loads. Nodes are numbered by their first voxels and slots by the edges' first, so most
    // of their ends are in the range; the others are found in the worker's `foreign` slots.
    std::pair<int64_t, int64_t> slots_of(int64_t range) const {
        const auto ranges = static_cast<int64_t>(workers_.size());
        return {problem_.edges * range / ranges, problem_.edges * (range + 1) / ranges};
    }

    void load_edges(int64_t range) {
        Worker& worker = *workers_[range];
        const auto [begin, end] = slots_of(range);
        for (int64_t slot = begin; slot < end; ++slot) {
            const int64_t row = rows_[slot];
            Edge& e = edges_[slot];
            e.a = problem_.ends[2 * row];
            e.b = problem_.ends[2 * row + 1];
            e.data = worker.policy.load(row);
            e.key = key_for(e, static_cast<uint32_t>(slot));
            const bool mine_a = e.a / width_ == range, mine_b = e.b / width_ == range;
            if (mine_a) ++lists_[e.a].capacity;  // other workers count the others
            if (mine_b) ++lists_[e.b].capacity;
            if (!mine_a || !mine_b) worker.foreign.push_back(static_cast<uint32_t>(slot));
        }
    }

    // The lists of the nodes from begin to end.
    void load_lists(int64_t range, int64_t begin, int64_t end) {
        auto mine = [&](uint32_t x) { return x / width_ == range; };
        auto each_foreign = [&](const auto& f) {  // of the others' slots those that may have an end here
            for (size_t k = 0; k < workers_.size(); ++k)
                if (static_cast<int64_t>(k) != range)
                    for (const uint32_t slot : workers_[k]->foreign) f(edges_[slot]);
        };
        each_foreign([&](const Edge& e) {
            if (mine(e.a)) ++lists_[e.a].capacity;
            if (mine(e.b)) ++lists_[e.b].capacity;
        });
        for (const uint32_t x : rules_.cannot)
            if (mine(x)) ++lists_[x].capacity;
        int64_t entries = 0;
        for (int64_t x = begin; x < end; ++x) entries += lists_[x].capacity;
        Entry* block = workers_[range]->pool.exactly(entries);
        for (int64_t x = begin; x < end; ++x) {
            lists_[x].data = block;
            block += lists_[x].capacity;
        }
        auto enter = [&](const Edge& e) {
            if (mine(e.a)) append(lists_[e.a], entry(e.key));
            if (mine(e.b)) append(lists_[e.b], entry(e.key));
        };
        const auto [first, last] = slots_of(range);
        for (int64_t slot = first; slot < last; ++slot) enter(edges_[slot]);
        each_foreign(enter);
        if constexpr (chains)
            for (int64_t x = begin; x < end; ++x) make_heap(lists_[x]);
    }

    static Entry entry(Key key) {
        if constexpr (chains) return key;
        else return slot_of(key);
    }
    static void append(List& list, Entry e) { list.data[list.length++] = e; }

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

    bool joins(const Edge& e, uint32_t x) const { return e.a == x || e.b == x; }
    static uint32_t other(const Edge& e, uint32_t x) { return e.a ^ e.b ^ x; }

    // ---- one merge

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
            Edge& e = edges_[slot];
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

    // twins[i] is the edge of large with the neighbour at the other end of edge i of small. All are looked up before the
    // merge, so that the memory of many can be on its way at once.
    void find_twins(Worker& worker, uint32_t small, uint32_t large) {
        const List& list = lists_[small];
        worker.twins.assign(list.length, no_slot);
        for (uint32_t i = 0; i < list.length; ++i) __builtin_prefetch(&edges_[slot_in(list.data[i])]);
        if (hubs_[large])
            for (uint32_t i = 0; i < list.length; ++i) {
                const Edge& e = edges_[slot_in(list.data[i])];
                if (joins(e, small)) hubs_[large]->prefetch(other(e, small));
            }
        for (uint32_t i = 0; i < list.length; ++i) {
            const Edge& e = edges_[slot_in(list.data[i])];
            if (!joins(e, small)) continue;
            const uint32_t w = other(e, small);
            const uint32_t twin = hubs_[large] ? hubs_[large]->get(w) : marks_[w];
            worker.twins[i] = twin;
            if (twin != no_slot) __builtin_prefetch(&edges_[twin]);
            __builtin_prefetch(&lists_[w]);
            if (hubs_[w]) hubs_[w]->prefetch(small);
        }
    }

    // f(slot, edge) for the edges of x, none twice unless f leaves it as it is.
    template <class F>
    void each_edge(uint32_t x, const F& f) {
        const List list = lists_[x];  // f may move it
        for (uint32_t i = 0; i < list.length; ++i) {
            const uint32_t slot = slot_in(list.data[i]);
            Edge& e = edges_[slot];
            if (joins(e, x)) f(slot, e);
        }
    }

    // The edges (small, w) and (large, w) become one, in the slot of the larger id: that is returned.
    uint32_t join(Worker& worker, uint32_t large, uint32_t w, uint32_t from_small, uint32_t from_large) {
        const uint32_t kept = std::max(from_small, from_large), lost = std::min(from_small, from_large);
        Edge &e = edges_[kept], &gone = edges_[lost];
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

    void record(Worker& worker, uint32_t a, uint32_t b, double score, Key key, const Data& data = {}) {
        if (chains) worker.keys.push_back(key);
        Merges& merges = worker.merges;
        merges.a.push_back(a);
        merges.b.push_back(b);
        merges.scores.push_back(score);
        merges.rows.push_back(key == 0 ? -1 : int64_t(rows_[slot_of(key)]));
        if constexpr (std::is_same_v<Policy, Mean>) {
            merges.sums.push_back(data.sum);
            merges.counts.push_back(data.count);
        }
    }

    double score(const Edge& e) const { return policy().score(e.data, size(e.a), size(e.b)); }

    bool rivals(uint32_t a, uint32_t b) const {
        return !seeds_.empty() && seeds_[a] && seeds_[b] && seeds_[a] != seeds_[b];
    }
    // Whether rules on seeds or sizes forbid the edge, whose score is given.
    bool parted(const Edge& e, double value) const {
        if (rivals(e.a, e.b)) return true;
        return rules_.big_size >= 0 && std::min(size(e.a), size(e.b)) >= rules_.big_size && value < rules_.big_score;
    }

    // ---- pairs that the user forbids, then those that must be merged

    void obey() {
        for (size_t i = 0; i < rules_.cannot.size(); i += 2) {
            const auto slot = static_cast<uint32_t>(slots_);
            const uint32_t a = rules_.cannot[i], b = rules_.cannot[i + 1];
            uint32_t found = no_slot;
            each_edge(a, [&](uint32_t s, Edge& e) {
                if (other(e, a) == b) found = s;
            });
            if (found != no_slot) {
                edges_[found].key = forbidden(found);
                continue;
            }
            edges_[slots_++] = {forbidden(slot), Data{}, a, b};
            push(first(), a, entry(forbidden(slot)));
            push(first(), b, entry(forbidden(slot)));
        }
        if (rules_.must.empty()) return;
        std::vector<uint32_t> names(problem_.nodes);
        std::iota(names.begin(), names.end(), 0u);
        auto name = [&](uint32_t x) {
            while (names[x] != x) x = names[x] = names[names[x]];
            return x;
        };
        for (size_t i = 0; i < rules_.must.size(); i += 2) {
            const uint32_t a = name(rules_.must[i]), b = name(rules_.must[i + 1]);
            if (a == b) continue;
            bool apart = rivals(a, b);
            each_edge(a, [&](uint32_t, Edge& e) { apart |= other(e, a) == b && is_forbidden(e.key); });
            if (apart) refuse("must_link and cannot_link must agree, but some fragments are in both");
            const uint32_t left = merge(first(), a, b);
            names[a ^ b ^ left] = left;
            record(first(), a, b, HUGE_VAL, 0);
        }
        musts_ = first().merges.a.size();
    }

    // ---- the queue

    void put(Key key) {
        queue_.push_back(key);
        std::push_heap(queue_.begin(), queue_.end());
    }
    void renew(uint32_t slot, Edge& e) {
        if (is_forbidden(e.key)) return;
        const Key key = key_for(e, slot);
        if (key == e.key) return;
        e.key = key;
        if (!chains) put(key);
    }

    void queue() {
        queue_.clear();
        for (int64_t slot = 0; slot < slots_; ++slot)
            if (edges_[slot].a != no_slot && !is_forbidden(edges_[slot].key)) queue_.push_back(edges_[slot].key);
        std::make_heap(queue_.begin(), queue_.end());
        while (!queue_.empty()) {
            const Key top = queue_.front();
            std::pop_heap(queue_.begin(), queue_.end());
            queue_.pop_back();
            Edge& e = edges_[slot_of(top)];
            if (e.a == no_slot || e.key != top) continue;
            const double value = score(e);
            if (value < rules_.until) {
                if (!rules_.constrained) break;
                e.key = forbidden(slot_of(top));
                continue;
            }
            if (parted(e, value)) {
                if (rivals(e.a, e.b)) e.key = forbidden(slot_of(top));
                continue;
            }
            const uint32_t a = e.a, b = e.b;
            record(first(), a, b, value, top, e.data);
            merge(first(), a, b);
            poll(first());
        }
    }

    // ---- chains

    // Looks for Ctrl-C now and then.
    void poll(Worker& worker) {
        if ((++worker.steps & 0xffff) == 0) team_.poll(worker.on_caller);
    }

    // The best edge of x, or no_slot.
    uint32_t best(uint32_t x, double& value) {
        List& list = lists_[x];
        if (list.length > 4)  // one of these is the next top
            for (int c = 1; c <= 4; ++c) __builtin_prefetch(&edges_[slot_of(list.data[c])]);
        while (list.length) {
            const Key top = list.data[0];
            const uint32_t slot = slot_of(top);
            Edge& e = edges_[slot];
            if (!joins(e, x)) {
                if (--list.length) sift(list, list.data[list.length]);
            } else if (e.key != top) {
                sift(list, e.key);
            } else if (is_forbidden(top)) {
                return no_slot;
            } else {
                value = score(e);
                if (value < rules_.until) return no_slot;
                if (!parted(e, value)) return slot;
                e.key = forbidden(slot);
            }
        }
        return no_slot;
    }

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

    // Ranges are joined in pairs, level by level; at the last all nodes are one.
    void follow() {
        const auto ranges = static_cast<int64_t>(workers_.size());
        const int levels = std::bit_width(static_cast<uint64_t>(ranges - 1));
        std::vector<uint8_t> reach = reaches(levels);
        std::vector<uint8_t> stuck(reach.size());  // waits for a node that must be left alone
        for (int level = 0; level <= levels; ++level) {
            const int64_t step = int64_t(1) << level;
            for (size_t x = 0; x < stuck.size(); ++x) stuck[x] = reach[x] > level;
            if (level == levels && !problem_.frozen) stuck.clear();
            team_.run((ranges - 1) / step + 1, 1, [&](int64_t i, int64_t, int thread) {
                Worker& worker = *workers_[i * step];
                worker.on_caller = thread == 0;
                const int64_t end = std::min((i + 1) * step * width_, problem_.nodes);
                for (int64_t x = i * step * width_; x < end; ++x) follow_from(worker, static_cast<uint32_t>(x), stuck);
            });
        }
    }

    // For each node the level at which all its neighbours are in one range with it; frozen ones never are. Empty if
    // there is but one level and nothing frozen.
    std::vector<uint8_t> reaches(int levels) {
        std::vector<uint8_t> reach(levels > 0 || problem_.frozen ? problem_.nodes : 0);
        if (reach.empty()) return reach;
        if (problem_.frozen)
            for (int64_t x = 0; x < problem_.nodes; ++x) reach[x] = problem_.frozen[x] ? 255 : 0;
        auto part = [&](const Edge& e) {
            if (e.a == no_slot) return;
            const auto level = static_cast<uint8_t>(std::bit_width(uint64_t(e.a / width_ ^ e.b / width_)));
            reach[e.a] = std::max(reach[e.a], level);
            reach[e.b] = std::max(reach[e.b], level);
        };
        if (!rules_.must.empty()) {  // what had to be merged has other ends than at first
            for (int64_t slot = 0; slot < slots_; ++slot) part(edges_[slot]);
            return reach;
        }
        for (const auto& worker : workers_)
            for (const uint32_t slot : worker->foreign) part(edges_[slot]);
        for (int64_t slot = problem_.edges; slot < slots_; ++slot) part(edges_[slot]);  // pairs that must stay apart
        return reach;
    }

    void follow_from(Worker& worker, uint32_t start, std::vector<uint8_t>& stuck) {
        auto is_stuck = [&](uint32_t x) { return !stuck.empty() && stuck[x]; };
        worker.walk.assign(1, start);
        while (!worker.walk.empty()) {
            const uint32_t x = worker.walk.back();
            double value = 0;
            const uint32_t slot = is_stuck(x) ? no_slot : best(x, value);
            if (slot == no_slot) {
                worker.walk.pop_back();
                continue;
            }
            const uint32_t y = other(edges_[slot], x);
            if (is_stuck(y)) {
                stuck[x] = 1;
                continue;
            }
            if (best(y, value) != slot) {
                worker.walk.push_back(y);
                continue;
            }
            record(worker, x, y, value, edges_[slot].key, edges_[slot].data);
            worker.walk.back() = merge(worker, x, y);
            poll(worker);
        }
    }

    // ---- the result

    // In the queue's order, each merge named after the smallest nodes of its two segments.
    Merges finish() {
        const Merges found = collect();
        const auto n = static_cast<int64_t>(found.a.size());
        std::vector<uint32_t> order(n);
        std::iota(order.begin(), order.end(), 0u);
        if (chains) sort(order);
        std::vector<uint32_t> smallest(problem_.nodes);
        std::iota(smallest.begin(), smallest.end(), 0u);
        auto root = [&](uint32_t x) {
            while (smallest[x] != x) x = smallest[x] = smallest[smallest[x]];
            return x;
        };
        Merges out;
        out.a.resize(n);
        out.b.resize(n);
        out.scores.resize(n);
        out.rows.resize(n);
        out.sums.resize(n);
        out.counts.resize(n);
        for (int64_t i = 0; i < n; ++i) {
            const uint32_t from = order[i];
            const uint32_t a = root(found.a[from]), b = root(found.b[from]);
            smallest[std::max(a, b)] = std::min(a, b);
            out.a[i] = std::min(a, b);
            out.b[i] = std::max(a, b);
            out.scores[i] = found.scores[from];
            out.rows[i] = found.rows[from];
            if (found.sums.empty()) continue;
            out.sums[i] = found.sums[from];
            out.counts[i] = found.counts[from];
        }
        return out;
    }

    // All workers' merges and keys; the first has those that had to be.
    Merges collect() {
        Merges all = std::move(first().merges);
        for (size_t i = 1; i < workers_.size(); ++i) {
            auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
            const Merges& more = workers_[i]->merges;
            append(all.a, more.a);
            append(all.b, more.b);
            append(all.scores, more.scores);
            append(all.rows, more.rows);
            append(all.sums, more.sums);
            append(all.counts, more.counts);
            append(first().keys, workers_[i]->keys);
        }
        return all;
    }

    // Best first; those that had to be merged stay at the head.
    void sort(std::vector<uint32_t>& order) {
        const std::vector<Key>& keys = first().keys;
        std::vector<std::pair<Key, uint32_t>> ranked;  // keys side by side: sorting them by number misses the cache
        for (size_t i = musts_; i < keys.size(); ++i) ranked.emplace_back(keys[i], static_cast<uint32_t>(i));
        std::sort(ranked.begin(), ranked.end(), [](const auto& x, const auto& y) { return x.first > y.first; });
        for (size_t i = musts_; i < keys.size(); ++i) order[i] = ranked[i - musts_].second;
    }

    const Problem& problem_;
    const Rules& rules_;
    Team& team_;
    std::vector<std::unique_ptr<Worker>> workers_;
    int64_t width_ = 0;  // nodes of a range
    Scratch<Edge> edges_;
    Scratch<uint32_t> rows_;  // of slots
    std::vector<List> lists_;
    std::vector<uint32_t> marks_;  // slot by neighbour
    std::vector<std::unique_ptr<Neighbours>> hubs_;
    std::vector<int64_t> sizes_;
    std::vector<uint32_t> seeds_;
    std::vector<Key> queue_;
    size_t musts_ = 0;
    int64_t slots_ = 0;
};

// Runs the engine that the rules ask for.
template <class Policy>
Merges run_with(const Problem& p, const Rules& r, Team& team) {
    if constexpr (Policy::reducible)
        if (r.schedule != Schedule::queue && !r.constrained) return Engine<Policy, true>(p, r, team).run();
    return Engine<Policy, false>(p, r, team).run();
}

inline Merges run_on_host(const Problem& p, const Rules& r, Team& team) {
    switch (r.score) {
        case Score::mean: return run_with<Mean>(p, r, team);
        case Score::maximum: return run_with<Extreme<Score::maximum>>(p, r, team);
        case Score::minimum: return run_with<Extreme<Score::minimum>>(p, r, team);
        case Score::absolute: return run_with<Extreme<Score::absolute>>(p, r, team);
        case Score::quantile: return run_with<Quantile>(p, r, team);
        case Score::sum: return run_with<Sum>(p, r, team);
        case Score::formula: break;
    }
    return run_with<Formula>(p, r, team);
}

}  // namespace emfast::agglomerate
