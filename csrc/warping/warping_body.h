// Bodies and the schedule: candidates find their neighbours among the candidates, groups come of union-find, and each group is
// swept by one thread.
#pragma once

#include "core/atomic.h"
#include "core/union_find.h"
#include "warping/warping.h"

namespace emfast::warping {

// The cube of 27 voxels around one as bits, 9 z + 3 y + x.
struct Cube {
    static constexpr uint32_t all = (1u << 27) - 1, center = 1u << 13;
    static constexpr uint32_t faces = 1u << 4 | 1u << 10 | 1u << 12 | 1u << 14 | 1u << 16 | 1u << 22;
    static constexpr uint32_t corners =
        1u << 0 | 1u << 2 | 1u << 6 | 1u << 8 | 1u << 18 | 1u << 20 | 1u << 24 | 1u << 26;
    static constexpr uint32_t first_x = 0111111111u, last_x = 0444444444u;  // x is 0, x is 2
    static constexpr uint32_t first_y = 0007007007u, last_y = 0700700700u;
    static constexpr uint32_t section = 0777000u;

    EMFAST_HD static uint32_t along_x(uint32_t m) { return m | (m & ~last_x) << 1 | (m & ~first_x) >> 1; }
    EMFAST_HD static uint32_t along_y(uint32_t m) { return m | (m & ~last_y) << 3 | (m & ~first_y) >> 3; }
    EMFAST_HD static uint32_t along_z(uint32_t m) { return (m | m << 9 | m >> 9) & all; }

    // All of `set` that is joined to `seed` over faces, or over faces, edges and corners.
    EMFAST_HD static uint32_t flood(uint32_t seed, uint32_t set, bool corners_too) {
        for (;;) {
            const uint32_t wider =
                corners_too ? along_z(along_y(along_x(seed))) : along_x(seed) | along_y(seed) | along_z(seed);
            const uint32_t next = wider & set;
            if (next == seed) return seed;
            seed = next;
        }
    }

    EMFAST_HD static uint32_t lowest(uint32_t m) { return m & (~m + 1); }

    // Whether flipping the centre changes no component of the object or of the background. In a section bits of the other two
    // sections must be clear.
    EMFAST_HD static bool simple(uint32_t object, bool planar) {
        const uint32_t space = (planar ? section : all) & ~center;
        const uint32_t near = object & space & ~(planar ? 0u : corners), touching = near & faces;
        if (!touching) return false;
        if (touching & ~flood(lowest(touching), near, false)) return false;
        const uint32_t background = space & ~object;
        if (!background) return false;
        return !(background & ~flood(lowest(background), background, true));
    }
};

// The volume around a voxel: f(neighbour's index, its bit) for those that exist.
struct Around {
    Shape shape;
    bool planar;

    template <class F>
    EMFAST_HD void operator()(int64_t i, const F& f) const {
        const Point p = point(shape, i);
        for (int z = planar ? 0 : -1; z <= (planar ? 0 : 1); ++z) {
            if (p.z + z < 0 || p.z + z >= shape.z) continue;
            for (int y = -1; y <= 1; ++y) {
                if (p.y + y < 0 || p.y + y >= shape.y) continue;
                for (int x = -1; x <= 1; ++x) {
                    if (p.x + x < 0 || p.x + x >= shape.x || (z == 0 && y == 0 && x == 0)) continue;
                    f(i + (z * shape.y + y) * shape.x + x, 1u << (9 * z + 3 * y + x + 13));
                }
            }
        }
    }
};

struct Number {
    const int64_t* candidates;
    int32_t* numbers;  // of voxels: the candidate's place from 1 on, 0 for none
    uint32_t* parents;
    EMFAST_HD void operator()(int64_t i) const {
        numbers[candidates[i]] = static_cast<int32_t>(i + 1);
        parents[i] = static_cast<uint32_t>(i);
    }
};

struct Join {
    const int64_t* candidates;
    const int32_t* numbers;
    uint32_t* parents;
    Around around;
    EMFAST_HD void operator()(int64_t i) const {
        around(candidates[i], [&](int64_t voxel, uint32_t bit) {
            if (bit < Cube::center && numbers[voxel])
                unite_shared(parents, static_cast<uint32_t>(i), static_cast<uint32_t>(numbers[voxel] - 1));
        });
    }
};

struct Group {
    uint32_t* parents;
    uint32_t* groups;
    uint32_t* order;
    EMFAST_HD void operator()(int64_t i) const {
        groups[i] = find_shared(parents, static_cast<uint32_t>(i));
        order[i] = static_cast<uint32_t>(i);
    }
};

struct Renumber {
    const int64_t* candidates;
    const uint32_t* order;
    int32_t* numbers;
    uint8_t* waiting;
    EMFAST_HD void operator()(int64_t k) const {
        numbers[candidates[order[k]]] = static_cast<int32_t>(k + 1);
        waiting[k] = 1;
    }
};

struct IsFirst {
    const uint32_t* groups;
    EMFAST_HD bool operator()(int64_t k) const { return k == 0 || groups[k] != groups[k - 1]; }
};

// One group, sweep by sweep. waiting: 1 where a candidate is to be looked at in this sweep, 2 in the next one.
struct Sweep {
    const int64_t* candidates;
    const uint32_t* order;
    const int64_t* starts;
    int64_t groups, n;
    int32_t* numbers;  // cleared where a candidate has flipped
    uint8_t* waiting;
    uint8_t* object;
    Around around;

    EMFAST_HD void operator()(int64_t group) const {
        const int64_t end = group + 1 < groups ? starts[group + 1] : n;
        int64_t from = starts[group], to = end;
        while (from < to) {
            int64_t next_from = end, next_to = from;  // what the next sweep looks at
            for (int64_t k = from; k < to; ++k) {
                if (!(waiting[k] & 1)) continue;
                waiting[k] &= 2;
                const int64_t voxel = candidates[order[k]];
                uint32_t cube = 0;
                around(voxel, [&](int64_t i, uint32_t bit) { cube |= object[i] ? bit : 0; });
                if (!Cube::simple(cube, around.planar)) continue;
                object[voxel] ^= 1;
                numbers[voxel] = 0;
                around(voxel, [&](int64_t i, uint32_t) {
                    const int64_t other = numbers[i] - 1;
                    if (other > k) {
                        waiting[other] |= 1;
                        if (other >= to) to = other + 1;
                    } else if (other >= 0) {
                        waiting[other] |= 2;
                        next_from = other < next_from ? other : next_from;
                        next_to = other + 1 > next_to ? other + 1 : next_to;
                    }
                });
            }
            for (int64_t k = next_from; k < next_to; ++k) waiting[k] = waiting[k] >> 1;
            from = next_from;
            to = next_to;
        }
    }
};

void warp(Executor& ex, View<uint8_t> object, bool planar, const int64_t* candidates, int64_t n) {
    if (n == 0) return;
    const Around around{object.shape, planar};
    auto numbers = ex.scratch<int32_t>(object.size());
    if (!HostMemory::gives_zeros(object.size() * 4) || EMFAST_BACKEND == EMFAST_CUDA)
        ex.fill(numbers.data(), object.size(), int32_t(0));
    auto parents = ex.scratch<uint32_t>(n), groups = ex.scratch<uint32_t>(n), order = ex.scratch<uint32_t>(n);
    auto waiting = ex.scratch<uint8_t>(n);
    ex.for_each(n, Number{candidates, numbers.data(), parents.data()});
    ex.for_each(n, Join{candidates, numbers.data(), parents.data(), around});
    ex.for_each(n, Group{parents.data(), groups.data(), order.data()});
    ex.sort_pairs(groups.data(), order.data(), n);
    ex.for_each(n, Renumber{candidates, order.data(), numbers.data(), waiting.data()});
    const auto starts = ex.select<int64_t>(n, IsFirst{groups.data()});
    ex.for_each(starts.size(), Sweep{candidates, order.data(), starts.data(), starts.size(), n, numbers.data(),
                                     waiting.data(), object.data, around});
}

}  // namespace emfast::warping
