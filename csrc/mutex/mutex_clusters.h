// Clusters and the mutexes between them, for one thread: union-find, a set of pairs of roots, and a list of partners per
// root. When two clusters join, the one with the shorter list goes into the other, so that few pairs are entered anew;
// pairs of roots that are no more are never asked for, and are forgotten when the set grows.
//
// Nodes are voxels in random order, and memory is far: whoever walks over edges asks for it some edges ahead (prefetch).
// Meanwhile another thread may ask whether two nodes are together.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/atomic.h"
#include "core/check.h"
#include "core/exec.h"

namespace emfast::mutex {

class Clusters {
  public:
    // n clusters of one node each. There will be at most so many pairs.
    Clusters(Executor& ex, int64_t n, int64_t most_pairs)
        : ex_(ex),
          parent_(ex.scratch<uint32_t>(n)),
          lists_(ex.scratch<List>(n)),
          partners_(ex.scratch<Partner>(2 * std::min(most_pairs, int64_t(1) << 31) + 1)) {
        ex.for_chunks(n, ex.grain(n, 1 << 16), [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; ++i) parent_[i] = static_cast<uint32_t>(i);
            std::memset(static_cast<void*>(lists_.data() + begin), 0, (end - begin) * sizeof(List));
        });
        take(1 << 12);
    }

    uint32_t root(uint32_t i) {
        for (;;) {
            const uint32_t up = atomic_load(parent_[i]);
            if (up == i) return i;
            const uint32_t above = atomic_load(parent_[up]);
            if (above == up) return up;
            atomic_store(parent_[i], above);
            i = above;
        }
    }

    // For other threads too: true only if they are, false perhaps too late.
    bool together(uint32_t a, uint32_t b) const { return seen_root(a) == seen_root(b); }

    // Asks for what a later call will need of node i: first its parent, then, that being here, what is above it.
    void prefetch(uint32_t i) const { __builtin_prefetch(&parent_[i]); }
    void prefetch_above(uint32_t i) const {
        const uint32_t up = atomic_load(parent_[i]);
        __builtin_prefetch(&parent_[up]);
        __builtin_prefetch(&lists_[up]);
    }

    // At last, that being here too, what a mutex between two nodes or a join needs.
    void prefetch_pair(uint32_t i, uint32_t j) const {
        const uint32_t a = seen_root(i), b = seen_root(j);
        if (a == b) return;
        __builtin_prefetch(&places_[home_of(pair_of(a, b))]);
        __builtin_prefetch(&partners_[lists_[a].first]);
        __builtin_prefetch(&partners_[lists_[b].first]);
    }

    // Whether a mutex is between two roots.
    bool apart(uint32_t a, uint32_t b) const {
        if (!lists_[a].first || !lists_[b].first) return false;
        return places_[place_of(pair_of(a, b))] != 0;
    }

    // Puts a mutex between two roots.
    void keep_apart(uint32_t a, uint32_t b) {
        if (!enter(pair_of(a, b))) return;
        link(a, new_partner(b));
        link(b, new_partner(a));
    }

    // Joins two roots that are not apart; returns the root of both.
    uint32_t join(uint32_t a, uint32_t b) {
        if (lists_[a].count < lists_[b].count || (lists_[a].count == lists_[b].count && a > b)) std::swap(a, b);
        atomic_store(parent_[b], a);
        constexpr int batch = 16;
        uint32_t at = lists_[b].first, entries[batch], nodes[batch];
        uint64_t pairs[batch];
        while (at) {
            int n = 0;
            for (; at && n < batch; ++n, at = partners_[at].next) {
                entries[n] = at;
                nodes[n] = partners_[at].node;
                prefetch(nodes[n]);
            }
            for (int k = 0; k < n; ++k) {
                nodes[k] = atomic_load(parent_[nodes[k]]);
                prefetch(nodes[k]);
            }
            for (int k = 0; k < n; ++k) {
                nodes[k] = root(nodes[k]);
                pairs[k] = pair_of(a, nodes[k]);
                __builtin_prefetch(&places_[home_of(pairs[k])]);
            }
            for (int k = 0; k < n; ++k) {
                if (enter(pairs[k])) {
                    partners_[entries[k]].node = nodes[k];  // the next walk is shorter
                    link(a, entries[k]);
                } else {
                    partners_[entries[k]].next = free_;
                    free_ = entries[k];
                }
            }
        }
        return a;
    }

  private:
    struct List {
        uint32_t first, count;
    };
    struct Partner {
        uint32_t next;
        uint32_t node;  // any of the partner's
    };

    uint32_t seen_root(uint32_t i) const {
        for (uint32_t up = atomic_load(parent_[i]); up != i; up = atomic_load(parent_[i])) i = up;
        return i;
    }

    static uint64_t pair_of(uint32_t a, uint32_t b) {  // never 0: a and b differ
        return a < b ? uint64_t(a) << 32 | b : uint64_t(b) << 32 | a;
    }

    int64_t home_of(uint64_t pair) const { return static_cast<int64_t>((pair * 0x9E3779B97F4A7C15ull) >> shift_); }

    // Where the pair is, or the free place where it belongs.
    int64_t place_of(uint64_t pair) const {
        int64_t at = home_of(pair);
        while (places_[at] != 0 && places_[at] != pair) at = (at + 1) & (places_.size() - 1);
        return at;
    }

    bool enter(uint64_t pair) {
        const int64_t at = place_of(pair);
        if (places_[at]) return false;
        places_[at] = pair;
        if (++held_ * 5 > places_.size() * 3) grow();
        return true;
    }

    void grow() {
        const Scratch<uint64_t> old = std::move(places_);
        auto lives = [&](uint32_t i) { return parent_[i] == i; };
        int64_t living = 0;
        for (int64_t i = 0; i < old.size(); ++i) {
            if (old[i] && lives(uint32_t(old[i] >> 32)) && lives(uint32_t(old[i]))) ++living;
            else old[i] = 0;
        }
        take(living * 10 > old.size() * 3 ? old.size() * 2 : old.size());
        for (int64_t i = 0; i < old.size(); ++i)
            if (old[i]) places_[place_of(old[i])] = old[i];
        held_ = living;
    }

    void take(int64_t room) {  // a power of two
        places_ = ex_.scratch<uint64_t>(room);
        if (room * 8 < HostMemory::mapped_from) std::memset(places_.data(), 0, room * 8);
        shift_ = 64;
        while (room >>= 1) --shift_;
    }

    uint32_t new_partner(uint32_t node) {
        uint32_t at = free_;
        if (at) {
            free_ = partners_[at].next;
        } else {
            if (used_ == partners_.size() || used_ >> 32) refuse("affinities must need fewer than 2**31 mutexes");
            at = static_cast<uint32_t>(used_++);
        }
        partners_[at].node = node;
        return at;
    }

    void link(uint32_t root, uint32_t at) {
        partners_[at].next = lists_[root].first;
        lists_[root].first = at;
        ++lists_[root].count;
    }

    Executor& ex_;
    Scratch<uint32_t> parent_;
    Scratch<List> lists_;
    Scratch<Partner> partners_;  // 0 is nobody
    Scratch<uint64_t> places_;
    uint32_t free_ = 0;
    int64_t used_ = 1, held_ = 0;
    int shift_ = 0;
};

}  // namespace emfast::mutex
