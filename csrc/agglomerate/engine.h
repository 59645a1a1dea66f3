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
// The edge of a pair is found in one of two ways. The few edges of a small segment are marked in an array by neighbour; a
// hub, a segment with many, keeps a table of its own.
#pragma once

#include <functional>
#include <numeric>

#include "agglomerate/scores.h"
#include "agglomerate/table.h"

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
    static constexpr uint32_t many = scrambled ? 5 : 32;  // edges of a segment that has a table

    struct Edge {
        Key key;  // current
        Data data;
        uint32_t a, b;  // both no_slot once it is no more
    };
    struct List {
        Entry* data = nullptr;
        uint32_t length = 0, capacity = 0;
    };

  public:
    Engine(const Problem& p, const Rules& r, std::function<void()> poll)
        : problem_(p), rules_(r), policy_(p, r), poll_(std::move(poll)) {
        const auto extra = static_cast<int64_t>(r.cannot.size() / 2);
        if (p.edges + extra >= int64_t(no_slot) || p.nodes >= int64_t(no_slot))
            refuse("agglomerate takes fewer than 2^32 edges in a call");
        sizes_.resize(needs_sizes() ? p.nodes : 0);
        if (needs_sizes()) std::copy_n(p.sizes, p.nodes, sizes_.data());
        if (p.seeds) seeds_.assign(p.seeds, p.seeds + p.nodes);
        load(extra);
        marks_.assign(p.nodes, no_slot);
        hub_.resize(p.nodes);
    }

    Merges run() {
        obey();
        if constexpr (chains) follow();
        else queue();
        return finish();
    }

  private:
    static uint32_t slot_in(Entry entry) {
        if constexpr (chains) return slot_of(entry);
        else return entry;
    }
    bool needs_sizes() const { return Policy::sized || rules_.big_size >= 0; }
    int64_t size(uint32_t x) const { return sizes_.empty() ? 0 : sizes_[x]; }

    // The key of an edge that is not forbidden.
    Key key_for(const Edge& e, uint32_t slot) const {
        Key value = policy_.value(e.data, size(e.a), size(e.b));
        if (rules_.constrained) {  // by magnitude, whatever the sign
            const double score = policy_.score(e.data, size(e.a), size(e.b));
            if (score < rules_.until) value = mirrored(e);
        }
        return key_of(value, slot);
    }
    // The value of the opposite score.
    Key mirrored(const Edge& e) const {
        Data data = e.data;
        if constexpr (requires { data.value; }) data.value = -data.value;
        else if constexpr (requires { data.sum; }) data.sum = -data.sum;
        return policy_.value(data, size(e.a), size(e.b));
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
        lists_.resize(n);
        for (int64_t i = 0; i < 2 * m; ++i) ++lists_[p.ends[i]].capacity;
        for (size_t i = 0; i < rules_.cannot.size(); ++i) ++lists_[rules_.cannot[i]].capacity;
        Entry* block = pool_.exactly(2 * (m + extra));
        for (List& list : lists_) {
            list.data = block;
            block += list.capacity;
        }
        edges_ = lazy<Edge>(m + extra);
        for (int64_t slot = 0; slot < m; ++slot) {
            const int64_t row = rows_[slot];
            Edge& e = edges_[slot];
            e.a = p.ends[2 * row];
            e.b = p.ends[2 * row + 1];
            e.data = policy_.load(row);
            e.key = key_for(e, static_cast<uint32_t>(slot));
            append(lists_[e.a], entry(e.key));
            append(lists_[e.b], entry(e.key));
        }
        slots_ = m;
        if constexpr (chains)
            for (const List& list : lists_) make_heap(list);
    }

    static Entry entry(Key key) {
        if constexpr (chains) return key;
        else return slot_of(key);
    }
    static void append(List& list, Entry e) { list.data[list.length++] = e; }

    void push(uint32_t x, Entry e) {
        List& list = lists_[x];
        if (list.length == list.capacity) {
            const uint32_t capacity = std::bit_ceil(std::max<uint32_t>(8, list.capacity + 1));
            Entry* data = pool_.take(capacity);
            std::copy_n(list.data, list.length, data);
            pool_.give(list.data, list.capacity);
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
    uint32_t merge(uint32_t x, uint32_t y) {
        uint32_t large = x, small = y;
        if (std::pair(hub_[small] > 0, lists_[small].length) > std::pair(hub_[large] > 0, lists_[large].length))
            std::swap(large, small);
        if (!sizes_.empty()) sizes_[large] += sizes_[small];
        if (!seeds_.empty() && !seeds_[large]) seeds_[large] = seeds_[small];
        if (!hub_[large] && lists_[large].length > many) make_hub(large);
        if (!hub_[large])
            each_edge(large, [&](uint32_t slot, Edge& e) {
                const uint32_t w = other(e, large);
                marks_[w] = slot;
                marked_.push_back(w);
            });
        find_twins(small, large);
        const List list = lists_[small];
        for (uint32_t i = 0; i < list.length; ++i) {
            const uint32_t slot = slot_in(list.data[i]), twin = twins_[i];
            Edge& e = edges_[slot];
            if (!joins(e, small)) continue;  // no more, or met twice
            const uint32_t w = other(e, small);
            if (w == large) {
                e.a = e.b = no_slot;
                if (hub_[large]) table(large).remove(small);
                continue;
            }
            uint32_t kept = slot;
            if (twin == no_slot) {
                (e.a == small ? e.a : e.b) = large;
                push(large, entry(e.key));
            } else {
                kept = join(large, w, slot, twin);
            }
            if (hub_[large] && kept != twin) table(large).set(w, kept);
            if (hub_[w]) {
                table(w).remove(small);
                if (kept != twin) table(w).set(large, kept);
            }
        }
        for (const uint32_t w : marked_) marks_[w] = no_slot;
        marked_.clear();
        pool_.give(lists_[small].data, lists_[small].capacity);
        lists_[small] = {};
        if (hub_[small]) {
            table(small) = {};
            free_tables_.push_back(hub_[small]);
            hub_[small] = 0;
        }
        if constexpr (Policy::sized)
            if (policy_.by_size) each_edge(large, [&](uint32_t slot, Edge& e) { renew(slot, e); });
        return large;
    }

    // twins_[i] is the edge of large with the neighbour at the other end of edge i of small. All are looked up before the
    // merge, so that the memory of many can be on its way at once.
    void find_twins(uint32_t small, uint32_t large) {
        const List& list = lists_[small];
        twins_.assign(list.length, no_slot);
        for (uint32_t i = 0; i < list.length; ++i) __builtin_prefetch(&edges_[slot_in(list.data[i])]);
        if (hub_[large])
            for (uint32_t i = 0; i < list.length; ++i) {
                const Edge& e = edges_[slot_in(list.data[i])];
                if (joins(e, small)) table(large).prefetch(other(e, small));
            }
        for (uint32_t i = 0; i < list.length; ++i) {
            const Edge& e = edges_[slot_in(list.data[i])];
            if (!joins(e, small)) continue;
            const uint32_t w = other(e, small);
            const uint32_t twin = hub_[large] ? table(large).get(w) : marks_[w];
            twins_[i] = twin;
            if (twin != no_slot) __builtin_prefetch(&edges_[twin]);
            __builtin_prefetch(&lists_[w]);
            if (hub_[w]) table(w).prefetch(small);
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
    uint32_t join(uint32_t large, uint32_t w, uint32_t from_small, uint32_t from_large) {
        const uint32_t kept = std::max(from_small, from_large), lost = std::min(from_small, from_large);
        Edge &e = edges_[kept], &gone = edges_[lost];
        const Key kept_key = e.key, lost_key = gone.key;
        const bool parted = is_forbidden(kept_key) || is_forbidden(lost_key);
        if (!parted) policy_.join(e.data, gone.data);
        gone.a = gone.b = no_slot;
        e.a = large;
        e.b = w;
        e.key = parted ? forbidden(kept) : key_for(e, kept);
        if constexpr (chains) {
            // In each list an entry must bound the edge from above. That of the lost edge bounds nothing any more.
            const bool short_of = lost_key >> 32 > kept_key >> 32;
            if (kept == from_small || short_of) push(large, entry(e.key));
            if (short_of) push(w, entry(e.key));
        } else {
            if (kept == from_small) push(large, kept);
            if (!is_forbidden(e.key)) put(e.key);
        }
        return kept;
    }

    Table<uint32_t>& table(uint32_t x) { return tables_[hub_[x] - 1]; }

    void make_hub(uint32_t x) {
        if (free_tables_.empty()) {
            tables_.emplace_back();
            hub_[x] = static_cast<uint32_t>(tables_.size());
        } else {
            hub_[x] = free_tables_.back();
            free_tables_.pop_back();
        }
        each_edge(x, [&](uint32_t slot, Edge& e) { table(x).set(other(e, x), slot); });
    }

    void record(uint32_t a, uint32_t b, double score, Key key, const Data& data = {}) {
        if (chains) keys_.push_back(key);
        merges_.a.push_back(a);
        merges_.b.push_back(b);
        merges_.scores.push_back(score);
        merges_.rows.push_back(key == 0 ? -1 : int64_t(rows_[slot_of(key)]));
        if constexpr (std::is_same_v<Policy, Mean>) {
            merges_.sums.push_back(data.sum);
            merges_.counts.push_back(data.count);
        }
    }

    double score(const Edge& e) const { return policy_.score(e.data, size(e.a), size(e.b)); }

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
            push(a, entry(forbidden(slot)));
            push(b, entry(forbidden(slot)));
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
            const uint32_t left = merge(a, b);
            names[a ^ b ^ left] = left;
            record(a, b, HUGE_VAL, 0);
        }
        musts_ = merges_.a.size();
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
            record(a, b, value, top, e.data);
            merge(a, b);
            poll();
        }
    }

    // ---- chains

    void poll() {
        if ((++steps_ & 0xffff) == 0) poll_();
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

    void follow() {
        std::vector<uint32_t> walk;
        std::vector<uint8_t> stuck(problem_.frozen ? problem_.nodes : 0);  // waits for a frozen node
        if (problem_.frozen) std::copy_n(problem_.frozen, problem_.nodes, stuck.data());
        auto is_stuck = [&](uint32_t x) { return !stuck.empty() && stuck[x]; };
        for (uint32_t start = 0; start < problem_.nodes; ++start) {
            walk.assign(1, start);
            while (!walk.empty()) {
                const uint32_t x = walk.back();
                double value = 0;
                const uint32_t slot = is_stuck(x) ? no_slot : best(x, value);
                if (slot == no_slot) {
                    walk.pop_back();
                    continue;
                }
                const uint32_t y = other(edges_[slot], x);
                if (is_stuck(y)) {
                    stuck[x] = 1;
                    continue;
                }
                if (best(y, value) != slot) {
                    walk.push_back(y);
                    continue;
                }
                record(x, y, value, edges_[slot].key, edges_[slot].data);
                walk.back() = merge(x, y);
                poll();
            }
        }
    }

    // ---- the result

    // In the queue's order, each merge named after the smallest nodes of its two segments.
    Merges finish() {
        const auto n = static_cast<int64_t>(merges_.a.size());
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
            const uint32_t a = root(merges_.a[from]), b = root(merges_.b[from]);
            smallest[std::max(a, b)] = std::min(a, b);
            out.a[i] = std::min(a, b);
            out.b[i] = std::max(a, b);
            out.scores[i] = merges_.scores[from];
            out.rows[i] = merges_.rows[from];
            if (merges_.sums.empty()) continue;
            out.sums[i] = merges_.sums[from];
            out.counts[i] = merges_.counts[from];
        }
        return out;
    }

    // Best first; those that had to be merged stay at the head.
    void sort(std::vector<uint32_t>& order) {
        std::sort(order.begin() + static_cast<int64_t>(musts_), order.end(),
                  [&](uint32_t i, uint32_t j) { return keys_[i] > keys_[j]; });
    }

    const Problem& problem_;
    const Rules& rules_;
    Policy policy_;
    std::function<void()> poll_;  // asks for Ctrl-C
    Pool<Entry> pool_;
    Scratch<Edge> edges_;
    Scratch<uint32_t> rows_;  // of slots
    std::vector<List> lists_;
    std::vector<uint32_t> marks_;  // slot by neighbour
    std::vector<uint32_t> marked_, twins_;
    std::vector<uint32_t> hub_;  // 0, or one more than the place of its table
    std::vector<uint32_t> free_tables_;
    std::vector<Table<uint32_t>> tables_;
    std::vector<int64_t> sizes_;
    std::vector<uint32_t> seeds_;
    std::vector<Key> queue_, keys_;
    Merges merges_;
    size_t musts_ = 0;
    int64_t slots_ = 0, steps_ = 0;
};

// Runs the engine that the rules ask for.
template <class Policy>
Merges run_with(const Problem& p, const Rules& r, const std::function<void()>& poll) {
    if constexpr (Policy::reducible)
        if (!r.in_order && !r.constrained) return Engine<Policy, true>(p, r, poll).run();
    return Engine<Policy, false>(p, r, poll).run();
}

inline Merges run_on_host(const Problem& p, const Rules& r, const std::function<void()>& poll) {
    switch (r.score) {
        case Score::mean: return run_with<Mean>(p, r, poll);
        case Score::maximum: return run_with<Extreme<Score::maximum>>(p, r, poll);
        case Score::minimum: return run_with<Extreme<Score::minimum>>(p, r, poll);
        case Score::absolute: return run_with<Extreme<Score::absolute>>(p, r, poll);
        case Score::quantile: return run_with<Quantile>(p, r, poll);
        case Score::sum: return run_with<Sum>(p, r, poll);
        case Score::formula: break;
    }
    return run_with<Formula>(p, r, poll);
}

}  // namespace emfast::agglomerate
