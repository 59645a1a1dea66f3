// How weights are read: shared by all siblings.
#pragma once

#include "core/key_table.h"
#include "mutex/mutex.h"

namespace emfast::mutex {

// The order of a weight is an unsigned integer that orders as its size does; 0 for no weight.
template <class A>
struct Weight {
    static constexpr int order_bits = sizeof(A) == 1 ? 8 : 31;

    EMFAST_HD static float widen(A a) {
        if constexpr (sizeof(A) == 2) return Affinity<Half>::widen(a);
        else return static_cast<float>(a);
    }
    EMFAST_HD static uint32_t of_affinity(A a, bool repulsive) {
        if constexpr (sizeof(A) == 1) return repulsive ? 255u - a : a;
        else return Affinity<float>::order(repulsive ? 1.0f - widen(a) : widen(a));
    }
    EMFAST_HD static uint32_t of_sign(A a, bool& repulsive) {
        if constexpr (sizeof(A) == 1) return a;
        else {
            if constexpr (sizeof(A) == 2) repulsive = a.bits >> 15;
            else repulsive = a < 0.0f;
            return Affinity<float>::order(widen(a));
        }
    }
    EMFAST_HD static bool finite(A a) {
        if constexpr (sizeof(A) == 1) return true;
        else if constexpr (sizeof(A) == 2) return (a.bits & 0x7fffu) < 0x7c00u;
        else return Affinity<float>::order(a) < 0x7f800000u;
    }
};

struct Edge {
    uint32_t order = 0;  // 0: there is none, or it decides nothing
    bool repulsive = false, bad = false;
};

template <class A>
EMFAST_HD inline Edge edge_of(A a, bool repulsive, bool has_sign) {
    Edge e;
    e.repulsive = repulsive;
    e.bad = !(has_sign ? Weight<A>::finite(a) : Affinity<A>::valid(a));
    if (!e.bad) e.order = has_sign ? Weight<A>::of_sign(a, e.repulsive) : Weight<A>::of_affinity(a, repulsive);
    return e;
}

// Whether the edge at voxel p, of a channel that is thinned, stays.
EMFAST_HD inline bool stays(const Thinning& t, const Point& p, uint64_t id) {
    if (t.random) return mix(id + mix(t.seed + 1)) % static_cast<uint64_t>(t.one_in()) == 0;
    return p.z % t.strides.z == 0 && p.y % t.strides.y == 0 && p.x % t.strides.x == 0;
}

}  // namespace emfast::mutex
