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
#pragma once

#include "agglomerate/segments.h"
#include "core/threads.h"

namespace emfast::agglomerate {

template <class Policy, bool chains>
class Engine {
    using Graph = Segments<Policy, chains>;
    using Data = typename Policy::Data;
    using Edge = typename Graph::Edge;

    // What belongs to one thread.
    struct Worker {
        typename Graph::Worker& hand;
        bool on_caller = true;  // in the thread that may ask for Ctrl-C
        std::vector<uint32_t> walk = {};
        Merges merges = {};
        std::vector<Key> keys = {};  // of the merges, where their order is yet to be found
        int64_t steps = 0;
    };

  public:
    Engine(const Problem& p, const Rules& r, Team& team) : problem_(p), rules_(r), team_(team), graph_(p, r, team) {
        for (const auto& hand : graph_.workers) workers_.push_back(Worker{*hand});
    }

    Merges run() {
        obey();
        if constexpr (chains) follow();
        else queue();
        return finish();
    }

  private:
    Worker& first() { return workers_[0]; }

    void record(Worker& worker, uint32_t a, uint32_t b, double score, Key key, const Data& data = {}) {
        if (chains) worker.keys.push_back(key);
        Merges& merges = worker.merges;
        merges.a.push_back(a);
        merges.b.push_back(b);
        merges.scores.push_back(score);
        merges.rows.push_back(key == 0 ? -1 : int64_t(graph_.rows[slot_of(key)]));
        if constexpr (std::is_same_v<Policy, Mean>) {
            merges.sums.push_back(data.sum);
            merges.counts.push_back(data.count);
        }
    }

    // ---- pairs that the user forbids, then those that must be merged

    void obey() {
        for (size_t i = 0; i < rules_.cannot.size(); i += 2) {
            const auto slot = static_cast<uint32_t>(graph_.slots);
            const uint32_t a = rules_.cannot[i], b = rules_.cannot[i + 1];
            uint32_t found = no_slot;
            graph_.each_edge(a, [&](uint32_t s, Edge& e) {
                if (Graph::other(e, a) == b) found = s;
            });
            if (found != no_slot) {
                graph_.edges[found].key = forbidden(found);
                continue;
            }
            graph_.edges[graph_.slots++] = {forbidden(slot), Data{}, a, b};
            graph_.push(first().hand, a, Graph::entry(forbidden(slot)));
            graph_.push(first().hand, b, Graph::entry(forbidden(slot)));
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
            bool apart = graph_.rivals(a, b);
            graph_.each_edge(a, [&](uint32_t, Edge& e) { apart |= Graph::other(e, a) == b && is_forbidden(e.key); });
            if (apart) refuse("must_link and cannot_link must agree, but some fragments are in both");
            const uint32_t left = graph_.merge(first().hand, a, b);
            names[a ^ b ^ left] = left;
            record(first(), a, b, HUGE_VAL, 0);
        }
        musts_ = first().merges.a.size();
    }

    // ---- the queue

    void queue() {
        graph_.heap.clear();
        for (int64_t slot = 0; slot < graph_.slots; ++slot)
            if (graph_.edges[slot].a != no_slot && !is_forbidden(graph_.edges[slot].key))
                graph_.heap.push_back(graph_.edges[slot].key);
        std::make_heap(graph_.heap.begin(), graph_.heap.end());
        while (!graph_.heap.empty()) {
            const Key top = graph_.heap.front();
            std::pop_heap(graph_.heap.begin(), graph_.heap.end());
            graph_.heap.pop_back();
            Edge& e = graph_.edges[slot_of(top)];
            if (e.a == no_slot || e.key != top) continue;
            const double value = graph_.score(e);
            if (value < rules_.until) {
                if (!rules_.constrained) break;
                e.key = forbidden(slot_of(top));
                continue;
            }
            if (graph_.parted(e, value)) {
                if (graph_.rivals(e.a, e.b)) e.key = forbidden(slot_of(top));
                continue;
            }
            const uint32_t a = e.a, b = e.b;
            record(first(), a, b, value, top, e.data);
            graph_.merge(first().hand, a, b);
            poll(first());
        }
    }

    // ---- chains

    // Looks for Ctrl-C now and then.
    void poll(Worker& worker) {
        if ((++worker.steps & 0xffff) == 0) team_.poll(worker.on_caller);
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
                Worker& worker = workers_[i * step];
                worker.on_caller = thread == 0;
                const int64_t end = std::min((i + 1) * step * graph_.width, problem_.nodes);
                for (int64_t x = i * step * graph_.width; x < end; ++x)
                    follow_from(worker, static_cast<uint32_t>(x), stuck);
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
            const auto level = static_cast<uint8_t>(std::bit_width(uint64_t(e.a / graph_.width ^ e.b / graph_.width)));
            reach[e.a] = std::max(reach[e.a], level);
            reach[e.b] = std::max(reach[e.b], level);
        };
        if (!rules_.must.empty()) {  // what had to be merged has other ends than at first
            for (int64_t slot = 0; slot < graph_.slots; ++slot) part(graph_.edges[slot]);
            return reach;
        }
        for (const auto& hand : graph_.workers)
            for (const uint32_t slot : hand->foreign) part(graph_.edges[slot]);
        for (int64_t slot = problem_.edges; slot < graph_.slots; ++slot)
            part(graph_.edges[slot]);  // pairs that must stay apart
        return reach;
    }

    void follow_from(Worker& worker, uint32_t start, std::vector<uint8_t>& stuck) {
        auto is_stuck = [&](uint32_t x) { return !stuck.empty() && stuck[x]; };
        worker.walk.assign(1, start);
        while (!worker.walk.empty()) {
            const uint32_t x = worker.walk.back();
            double value = 0;
            const uint32_t slot = is_stuck(x) ? no_slot : graph_.best(x, value);
            if (slot == no_slot) {
                worker.walk.pop_back();
                continue;
            }
            const uint32_t y = Graph::other(graph_.edges[slot], x);
            if (is_stuck(y)) {
                stuck[x] = 1;
                continue;
            }
            if (graph_.best(y, value) != slot) {
                worker.walk.push_back(y);
                continue;
            }
            record(worker, x, y, value, graph_.edges[slot].key, graph_.edges[slot].data);
            worker.walk.back() = graph_.merge(worker.hand, x, y);
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
        if (problem_.frozen) {
            out.pending.resize(problem_.nodes);
            for (int64_t x = 0; x < problem_.nodes; ++x)
                if (may_merge(static_cast<uint32_t>(x))) out.pending[root(static_cast<uint32_t>(x))] = 1;
        }
        return out;
    }

    // Of a node that others were merged into, or none; those that were merged into others have no edges.
    bool may_merge(uint32_t x) {
        if (problem_.frozen[x]) return true;
        double value = 0;
        if constexpr (chains) return graph_.best(x, value) != no_slot;
        else return true;
    }

    // All workers' merges and keys; the first has those that had to be.
    Merges collect() {
        Merges all = std::move(first().merges);
        for (size_t i = 1; i < workers_.size(); ++i) {
            auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
            const Merges& more = workers_[i].merges;
            append(all.a, more.a);
            append(all.b, more.b);
            append(all.scores, more.scores);
            append(all.rows, more.rows);
            append(all.sums, more.sums);
            append(all.counts, more.counts);
            append(first().keys, workers_[i].keys);
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
    Graph graph_;
    std::vector<Worker> workers_;
    size_t musts_ = 0;
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
