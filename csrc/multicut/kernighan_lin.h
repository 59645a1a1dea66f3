// Kernighan-Lin with joins (Keuper et al., arXiv:1505.06973), on parts that hang together.
//
// A step looks at two parts a and b, or at one part a and an empty b. Moving a node from its part to the other gains
// what the energy falls by. In a sequence of moves the next node is the one with the largest gain (ties: the smaller node)
// among those that have not moved and have, or had since the sequence began, a plain edge to the other part; where b is
// empty all nodes of a may move from the start. A sequence ends when no node may move, when a part is left empty, or when
// `patience` moves in a row, and four more for each node of the smaller part, have brought no better sum. Its best prefix
// is the shortest one of the largest sum. (Without the four nothing large ever moves: on the region graph of a phantom they
// gave three times what the moves alone did. Longer sequences take time and gave little.)
//
// Joining gains the sum of all costs between a and b. A join may be followed by moves out of it into an empty part, a
// sequence of the same kind in which the nodes with a plain edge between a and b may move from the start. It is looked at
// where the join and all that those nodes would gain by leaving, each alone, sum to more than 0.
//
// Of moves and join, the better is made if it gains (ties: the join). What then does not hang together by plain edges comes
// apart; lifted edges between such pieces take back some of the gain. If nothing remains of it all is put back, and the
// other is tried, and at last the join without moves.
//
// A round lists the parts by their smallest node, and all pairs of parts with a plain edge between them in that order,
// the first part first; it steps through the pairs, and then through the parts that are there then, again listed by their
// smallest node, each with an empty one until that gains nothing. Parts keep their place in a list while they change: of a
// part's pieces the one with the smallest node stays the part, the others, and what moves into an empty part, are new
// parts for the next list. Parts that are no more are passed over. Rounds end when one changes nothing.
//
// A step that was in vain is in vain again while its parts are the same, so it is left out. Steps are looked at ahead by
// all threads, against the parts as they are; they are taken in order, and looked at again if a step between changed
// one of their parts.
#pragma once

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "core/pause.h"
#include "multicut/adjacency.h"

namespace emfast::multicut {

inline constexpr uint32_t nobody = ~0u;

// Which part each node is in, the costs between each node and the others of its part, and the nodes of each part; a part
// without nodes is no more.
struct Parts {
    std::vector<uint32_t> of;
    std::vector<int64_t> held;
    std::vector<std::vector<uint32_t>> members;
};

// The best prefix of a sequence.
struct Moves {
    int64_t gain = 0;
    std::vector<uint32_t> nodes;
};

struct Proposal {
    Moves between;
    int64_t join = 0;
    Moves after_join;  // with the gain of the join
};

// Looks at one step after another without changing anything. Each thread has its own.
class Sequence {
  public:
    Sequence(const Adjacency& graph, const Parts& parts, int64_t patience)
        : graph_(graph), parts_(parts), patience_(patience), nodes_(parts.of.size()) {}

    // b may be nobody.
    void look(uint32_t a, uint32_t b, Proposal& out) {
        a_ = a, b_ = b;
        begin(false);
        out.join = 0;
        if (b == nobody) {
            for (const uint32_t i : parts_.members[a]) enter(i);
        } else {
            out.join = enter_border();
        }
        const int64_t hope = hope_of(out.join);
        walk(0, out.between);
        if (b == nobody || hope <= 0) {
            out.after_join.gain = 0;
            return;
        }
        begin(true);
        enter_border();
        walk(out.join, out.after_join);
    }

  private:
    struct Node {
        int64_t gain;
        uint32_t seen;  // in which sequence it was met last
        bool waits, moved;  // it may move; it has
    };
    struct Entry {
        int64_t gain;
        uint32_t node;
        bool operator<(const Entry& o) const { return gain != o.gain ? gain < o.gain : node > o.node; }
    };

    bool inside(uint32_t i) const { return parts_.of[i] == a_ || parts_.of[i] == b_; }
    bool in_a(uint32_t i) const { return (joined_ || parts_.of[i] == a_) != nodes_[i].moved; }

    void begin(bool joined) {
        joined_ = joined;
        heap_.clear();
        if (++now_ == 0) {  // stamps begin anew
            for (Node& n : nodes_) n.seen = 0;
            now_ = 1;
        }
    }

    // Costs to the other part are added by whoever finds them: a node with many neighbours need not look at them.
    Node& meet(uint32_t i) {
        Node& node = nodes_[i];
        if (node.seen != now_) node = {-parts_.held[i], now_, false, false};
        return node;
    }

    Node& enter(uint32_t i) {
        Node& node = meet(i);
        if (!node.waits) heap_.push_back({node.gain, i});
        node.waits = true;
        return node;
    }

    // All nodes with a plain edge between the two parts enter, found from the smaller one; returns the costs between.
    int64_t enter_border() {
        const bool a_is_smaller = parts_.members[a_].size() < parts_.members[b_].size();
        const uint32_t side = a_is_smaller ? a_ : b_, other = a_is_smaller ? b_ : a_;
        int64_t between = 0;
        for (const uint32_t i : parts_.members[side])
            for (const Neighbour& n : graph_[i]) {
                if (parts_.of[n.node] != other) continue;
                between += n.cost;
                for (const uint32_t end : {i, n.node})
                    (n.plain ? enter(end) : meet(end)).gain += joined_ ? -n.cost : n.cost;
            }
        return between;
    }

    // What a join gains, and what the nodes between the parts would gain by leaving it.
    int64_t hope_of(int64_t join) const {
        for (const Entry& e : heap_) join += std::max<int64_t>(0, -nodes_[e.node].gain - 2 * parts_.held[e.node]);
        return join;
    }

    int64_t size(uint32_t part) const { return part == nobody ? 0 : std::ssize(parts_.members[part]); }

    void walk(int64_t sum, Moves& out) {
        for (Entry& e : heap_) e.gain = nodes_[e.node].gain;
        std::make_heap(heap_.begin(), heap_.end());
        out.gain = sum;
        out.nodes.clear();
        const int64_t limit = patience_ + 4 * std::min(size(a_), size(b_));
        int64_t left[2] = {size(b_), size(a_)};  // in b, in a
        if (joined_) left[1] += std::exchange(left[0], 0);
        size_t best = 0;
        while (!heap_.empty() && int64_t(out.nodes.size() - best) < limit) {
            std::pop_heap(heap_.begin(), heap_.end());
            const Entry top = heap_.back();
            heap_.pop_back();
            if (nodes_[top.node].moved || nodes_[top.node].gain != top.gain) continue;
            sum += top.gain;
            out.nodes.push_back(top.node);
            if (sum > out.gain) {
                out.gain = sum;
                best = out.nodes.size();
            }
            const bool from = in_a(top.node);
            ++left[!from];
            if (--left[from] == 0) break;
            move(top.node);
        }
        out.nodes.resize(best);
    }

    void move(uint32_t moved) {
        nodes_[moved].moved = true;
        const bool side = in_a(moved);
        for (const Neighbour& n : graph_[moved]) {
            if (!inside(n.node)) continue;
            Node& node = meet(n.node);
            if (node.moved) continue;
            const bool here = in_a(n.node) == side;
            node.gain += here ? -2 * n.cost : 2 * n.cost;
            if (!node.waits && !n.plain) continue;
            node.waits = true;
            heap_.push_back({node.gain, n.node});
            std::push_heap(heap_.begin(), heap_.end());
        }
    }

    const Adjacency& graph_;
    const Parts& parts_;
    const int64_t patience_;
    std::vector<Node> nodes_;
    std::vector<Entry> heap_;  // an entry whose gain is not its node's is passed over
    uint32_t now_ = 0, a_ = 0, b_ = 0;
    bool joined_ = false;
};

// Runs f(begin, end, worker) over [0, n): by all threads where the executor is the host's.
template <class Ex, class F>
void in_pieces(Ex& ex, int64_t n, int64_t grain, F&& f) {
    if constexpr (requires { ex.for_chunks(n, grain, f); }) ex.for_chunks(n, grain, f);
    else if (n > 0) f(0, n, 0);
}

template <class Ex>
int threads_of(const Ex& ex) {
    if constexpr (requires { ex.threads(); }) return ex.threads();
    else return 1;
}

class KernighanLin {
  public:
    // `labels` do not exceed the number of nodes.
    KernighanLin(Executor& ex, const Problem& problem, int64_t patience, const uint32_t* labels)
        : ex_(ex), graph_(problem), ahead_(threads_of(ex) > 1 ? 1024 : 1), proposals_(ahead_), piece_(problem.nodes) {
        parts_.of.assign(labels, labels + problem.nodes);
        parts_.held.resize(problem.nodes);
        for (uint32_t i = 0; i < problem.nodes; ++i)
            for (const Neighbour& n : graph_[i])
                if (parts_.of[n.node] == parts_.of[i]) parts_.held[i] += n.cost;
        while (int64_t(parts_.members.size()) <= problem.nodes) new_part();
        std::vector<uint32_t> nodes(problem.nodes);
        std::iota(nodes.begin(), nodes.end(), 0u);
        find_pieces(nodes);
        settle(nodes);
        for (int w = 0; w < threads_of(ex); ++w) sequences_.emplace_back(graph_, parts_, patience);
    }

    void run() {
        int64_t before = -1, start = 0;
        do {
            start = clock_;
            step_through(pairs_changed_since(before));
            step_through(parts_to_split());
            before = start;
        } while (clock_ != start);
    }

    const Parts& parts() const { return parts_; }

  private:
    struct Step {
        uint32_t a, b;  // b may be nobody
    };

    uint32_t new_part() {
        parts_.members.emplace_back();
        changed_.push_back(clock_);
        split_.push_back(-1);
        return static_cast<uint32_t>(parts_.members.size() - 1);
    }

    // Parts by their smallest node.
    std::vector<uint32_t> parts_in_order() const {
        std::vector<uint32_t> out;
        std::vector<bool> listed(parts_.members.size());
        for (const uint32_t p : parts_.of) {
            if (!listed[p]) out.push_back(p);
            listed[p] = true;
        }
        return out;
    }

    // Of the pairs of a round those of which a part has changed. The others were tried as they are.
    std::vector<Step> pairs_changed_since(int64_t before) const {
        const std::vector<uint32_t> order = parts_in_order();
        std::vector<uint32_t> rank(parts_.members.size()), listed(parts_.members.size(), nobody);
        for (uint32_t r = 0; r < order.size(); ++r) rank[order[r]] = r;
        std::vector<std::pair<uint32_t, uint32_t>> pairs;  // of ranks
        for (const uint32_t p : order) {
            if (changed_[p] <= before) continue;
            listed[p] = p;
            for (const uint32_t i : parts_.members[p])
                for (const Neighbour& n : graph_[i]) {
                    const uint32_t q = parts_.of[n.node];
                    if (!n.plain || listed[q] == p) continue;
                    listed[q] = p;
                    if (rank[p] < rank[q] || changed_[q] <= before) pairs.push_back(std::minmax(rank[p], rank[q]));
                }
        }
        std::sort(pairs.begin(), pairs.end());
        std::vector<Step> out;
        for (const auto& [a, b] : pairs) out.push_back({order[a], order[b]});
        return out;
    }

    std::vector<Step> parts_to_split() const {
        std::vector<Step> out;
        for (const uint32_t p : parts_in_order())
            if (split_[p] < changed_[p]) out.push_back({p, nobody});
        return out;
    }

    bool is_there(const Step& s) const {
        return !parts_.members[s.a].empty() && (s.b == nobody || !parts_.members[s.b].empty());
    }
    bool has_changed_since(const Step& s, int64_t time) const {
        return changed_[s.a] > time || (s.b != nobody && changed_[s.b] > time);
    }

    void step_through(const std::vector<Step>& steps) {
        const auto total = static_cast<int64_t>(steps.size());
        for (int64_t begin = 0; begin < total; begin += ahead_) {
            const int64_t count = std::min(ahead_, total - begin), seen = clock_;
            in_pieces(ex_, count, 8, [&](int64_t from, int64_t to, int worker) {
                for (int64_t k = from; k < to; ++k) look(steps[begin + k], worker, proposals_[k]);
            });
            for (int64_t k = 0; k < count; ++k) {
                const Step& s = steps[begin + k];
                if (has_changed_since(s, seen)) look(s, 0, proposals_[k]);
                while (take(s, proposals_[k]) && s.b == nobody) {
                    look(s, 0, proposals_[k]);
                    pause(ex_);
                }
                if (s.b == nobody) split_[s.a] = clock_;
            }
        }
    }

    void look(const Step& s, int worker, Proposal& out) {
        if (is_there(s)) sequences_[worker].look(s.a, s.b, out);
        else out = {};
    }

    bool take(const Step& s, const Proposal& p) {
        const bool join_first = p.after_join.gain >= p.between.gain;
        for (const bool join : {join_first, !join_first})
            if (make(s, join ? p.after_join : p.between, join)) return true;
        return p.join > 0 && make(s, {p.join, {}}, true);
    }

    void put(uint32_t i, uint32_t part) {
        const uint32_t from = parts_.of[i];
        if (from == part) return;
        for (const Neighbour& n : graph_[i]) {
            const uint32_t other = parts_.of[n.node];
            const int64_t more = other == part ? n.cost : other == from ? -n.cost : 0;
            parts_.held[i] += more;
            parts_.held[n.node] += more;
        }
        parts_.of[i] = part;
    }

    // Moves between the parts, or a join and then moves out of it.
    bool make(const Step& s, const Moves& m, bool join) {
        if (m.gain <= 0) return false;
        std::vector<uint32_t> nodes = parts_.members[s.a];
        const size_t count = nodes.size();
        if (s.b != nobody) nodes.insert(nodes.end(), parts_.members[s.b].begin(), parts_.members[s.b].end());
        const uint32_t b = s.b == nobody || join ? new_part() : s.b;
        if (join)
            for (size_t k = count; k < nodes.size(); ++k) put(nodes[k], s.a);
        for (const uint32_t i : m.nodes) put(i, parts_.of[i] == s.a ? b : s.a);
        std::sort(nodes.begin(), nodes.end());
        find_pieces(nodes);
        if (m.gain <= taken_back(nodes)) {
            for (const uint32_t part : {s.a, s.b})
                if (part != nobody)
                    for (const uint32_t i : parts_.members[part]) put(i, part);
            return false;
        }
        ++clock_;
        for (const uint32_t part : {s.a, s.b, b}) {
            if (part == nobody) continue;
            parts_.members[part].clear();
            changed_[part] = clock_;
        }
        settle(nodes);
        return true;
    }

    // The smallest node of the piece of each node; `nodes` are all of some parts, ascending.
    void find_pieces(const std::vector<uint32_t>& nodes) {
        for (const uint32_t i : nodes) piece_[i] = nobody;
        std::vector<uint32_t> open;
        for (const uint32_t first : nodes) {
            if (piece_[first] != nobody) continue;
            piece_[first] = first;
            open.push_back(first);
            while (!open.empty()) {
                const uint32_t i = open.back();
                open.pop_back();
                for (const Neighbour& n : graph_[i]) {
                    if (!n.plain || parts_.of[n.node] != parts_.of[i] || piece_[n.node] != nobody) continue;
                    piece_[n.node] = first;
                    open.push_back(n.node);
                }
            }
        }
    }

    // The costs between pieces of one part: only lifted edges lie there.
    int64_t taken_back(const std::vector<uint32_t>& nodes) const {
        int64_t sum = 0;
        for (const uint32_t i : nodes)
            for (const Neighbour& n : graph_[i])
                if (n.node > i && parts_.of[n.node] == parts_.of[i] && piece_[n.node] != piece_[i]) sum += n.cost;
        return sum;
    }

    // Gives the nodes, ascending, to parts that are empty: the first piece to its part, every other to a new one.
    void settle(const std::vector<uint32_t>& nodes) {
        for (const uint32_t i : nodes) {
            if (piece_[i] != i) put(i, parts_.of[piece_[i]]);
            else if (!parts_.members[parts_.of[i]].empty()) put(i, new_part());
            parts_.members[parts_.of[i]].push_back(i);
        }
    }

    Executor& ex_;
    const Adjacency graph_;
    const int64_t ahead_;  // how many steps are looked at before one is taken
    Parts parts_;
    int64_t clock_ = 0;  // counts changes
    std::vector<int64_t> changed_, split_;  // when a part changed last, when it was last tried with an empty one
    std::vector<Sequence> sequences_;
    std::vector<Proposal> proposals_;
    std::vector<uint32_t> piece_;
};

}  // namespace emfast::multicut
