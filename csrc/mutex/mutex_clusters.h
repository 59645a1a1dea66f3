// Clusters and the mutexes between them, for one thread: union-find, a set of pairs of roots, and a list of partners per
// root. When two clusters join, the one with the shorter list goes into the other, so that few pairs are entered anew;
// pairs of roots that are no more are never asked for and stay where they are.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/union_find.h"

namespace emfast::mutex {

// Node is uint16_t or uint32_t.
template <class Node>
class Clusters {
  public:
    using Pair = std::conditional_t<sizeof(Node) == 2, uint32_t, uint64_t>;

    void reset(int64_t n) {
        parent_.resize(n);
        lists_.resize(n);
        for (int64_t i = 0; i < n; ++i) parent_[i] = static_cast<Node>(i);
        std::memset(static_cast<void*>(lists_.data()), 0, n * sizeof(List));
        partners_.resize(1);
        if (places_.empty()) places_.resize(1 << 12);
        std::memset(places_.data(), 0, places_.size() * sizeof(Pair));
        shift_ = 8 * int(sizeof(uint64_t)) - bits_of(places_.size());
        held_ = 0;
    }

    Node root(Node i) { return find(parent_.data(), i); }
    bool has_partners(Node root) const { return lists_[root].first != 0; }

    // Whether a pair of roots is entered.
    bool apart(Node a, Node b) const {
        if (!lists_[a].first || !lists_[b].first) return false;
        return places_[place_of(pair_of(a, b))] != 0;
    }

    // Enters a pair of roots; false if it was there.
    bool keep_apart(Node a, Node b) {
        if (!enter(pair_of(a, b))) return false;
        link(a, new_partner(b));
        link(b, new_partner(a));
        return true;
    }

    // Joins two roots that are not apart; returns the root of both.
    Node join(Node a, Node b) {
        if (lists_[a].count < lists_[b].count || (lists_[a].count == lists_[b].count && a > b)) std::swap(a, b);
        parent_[b] = a;
        for (uint32_t at = lists_[b].first; at;) {
            const uint32_t next = partners_[at].next;
            if (enter(pair_of(a, root(partners_[at].node)))) link(a, at);
            at = next;
        }
        return a;
    }

    // Whether holds(partner's root) for any partner of a root.
    template <class Holds>
    bool any_partner(Node a, const Holds& holds) {
        for (uint32_t at = lists_[a].first; at; at = partners_[at].next)
            if (holds(root(partners_[at].node))) return true;
        return false;
    }

  private:
    struct List {
        uint32_t first, count;
    };
    struct Partner {
        uint32_t next;
        Node node;  // any of the partner's
    };

    static int bits_of(size_t power) {
        int bits = 0;
        while (power >>= 1) ++bits;
        return bits;
    }

    static Pair pair_of(Node a, Node b) {  // never 0: a and b differ
        return a < b ? (Pair(a) << (8 * sizeof(Node))) | b : (Pair(b) << (8 * sizeof(Node))) | a;
    }

    // Where the pair is, or the free place where it belongs.
    size_t place_of(Pair pair) const {
        const size_t mask = places_.size() - 1;
        size_t at = (uint64_t(pair) * 0x9E3779B97F4A7C15ull) >> shift_;
        while (places_[at] != 0 && places_[at] != pair) at = (at + 1) & mask;
        return at;
    }

    bool enter(Pair pair) {
        const size_t at = place_of(pair);
        if (places_[at]) return false;
        places_[at] = pair;
        if (++held_ * 2 > places_.size()) grow();
        return true;
    }

    void grow() {
        std::vector<Pair> old(places_.size() * 4);
        old.swap(places_);
        shift_ -= 2;
        for (const Pair pair : old)
            if (pair) places_[place_of(pair)] = pair;
    }

    uint32_t new_partner(Node node) {
        partners_.push_back({0, node});
        return static_cast<uint32_t>(partners_.size() - 1);
    }

    void link(Node root, uint32_t at) {
        partners_[at].next = lists_[root].first;
        lists_[root].first = at;
        ++lists_[root].count;
    }

    std::vector<Node> parent_;
    std::vector<List> lists_;
    std::vector<Partner> partners_;  // 0 is nobody
    std::vector<Pair> places_;
    int shift_ = 0;
    size_t held_ = 0;
};

}  // namespace emfast::mutex
