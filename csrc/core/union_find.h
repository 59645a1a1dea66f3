// Union-find over an array of parents in which a parent never exceeds its child, so that the root of a set is its
// smallest member whatever the order of unions: the project's tie rule for components.
//
// Two kinds, one result:
//   find / unite                 for one thread that owns the array (path halving)
//   find_shared / unite_shared   for many threads at once, lock free
// The shared kind needs no memory order beyond relaxed: parents only ever fall, every value ever stored in parent[i] is
// in the set of i, and a hook succeeds only on a root (compare-exchange), so no union is lost. Readers that need the
// final roots run in a later verb, after a barrier.
#pragma once

#include "core/atomic.h"

namespace emfast {

template <class Id>
EMFAST_HD Id find(Id* parent, Id i) {
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

template <class Id>
EMFAST_HD Id unite(Id* parent, Id a, Id b) {
    while (parent[a] != parent[b]) {  // interleaved walk with splicing (Rem): no separate find
        if (parent[a] < parent[b]) {
            const Id t = a;
            a = b;
            b = t;
        }
        const Id up = parent[a];
        parent[a] = parent[b];
        if (up == a) return parent[b];
        a = up;
    }
    return parent[a];
}

template <class Id>
EMFAST_HD Id find_shared(Id* parent, Id i) {
    Id up = atomic_load(parent[i]);
    while (up != i) {
        const Id above = atomic_load(parent[up]);
        if (above != up) atomic_min(parent[i], above);
        i = up;
        up = above;
    }
    return i;
}

template <class Id>
EMFAST_HD void unite_shared(Id* parent, Id a, Id b) {
    for (;;) {
        a = find_shared(parent, a);
        b = find_shared(parent, b);
        if (a == b) return;
        if (a < b) {
            const Id t = a;
            a = b;
            b = t;
        }
        if (atomic_claim(parent[a], a, b)) return;
    }
}

template <class Id>
EMFAST_HD void join(bool shared, Id* parent, Id a, Id b) {
    if (shared) unite_shared(parent, a, b);
    else unite(parent, a, b);
}

}  // namespace emfast
