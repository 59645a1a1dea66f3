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

// The volume with a rim of background, so that a voxel has all its neighbours at fixed distances. Sections of a planar one
// need no rim along z.
struct Rim {
    Shape shape;
    bool planar;

    EMFAST_HD int64_t row() const { return shape.x + 2; }
    EMFAST_HD int64_t section() const { return (shape.y + 2) * (shape.x + 2); }
    EMFAST_HD int64_t voxels() const { return (shape.z + (planar ? 0 : 2)) * section(); }
    EMFAST_HD int64_t place(int64_t i) const {
        const Point p = point(shape, i);
        return (p.z + (planar ? 0 : 1)) * section() + (p.y + 1) * row() + p.x + 1;
    }
    // f(the voxel before the three of a row, the bit of the first of them) for the rows around a place.
    template <class F>
    EMFAST_HD void rows(int64_t at, const F& f) const {
        for (int z = planar ? 0 : -1; z <= (planar ? 0 : 1); ++z)
            for (int y = -1; y <= 1; ++y) f(at + z * section() + y * row() - 1, 9 * z + 3 * y + 12);
    }
};

struct Surround {
    Rim rim;
    const uint8_t* object;
    uint8_t* out;
    EMFAST_HD void operator()(int64_t r) const {
        const int64_t z = r / rim.shape.y, y = r % rim.shape.y;
        const uint8_t* from = object + r * rim.shape.x;
        uint8_t* to = out + (z + (rim.planar ? 0 : 1)) * rim.section() + (y + 1) * rim.row() + 1;
        for (int64_t x = 0; x < rim.shape.x; ++x) to[x] = from[x];
    }
};

struct Number {
    Rim rim;
    const int64_t* candidates;
    int32_t* numbers;  // of places: the candidate's from 1 on, 0 for none
    uint32_t* parents;
    EMFAST_HD void operator()(int64_t i) const {
        numbers[rim.place(candidates[i])] = static_cast<int32_t>(i + 1);
        parents[i] = static_cast<uint32_t>(i);
    }
};

struct Join {
    Rim rim;
    const int64_t* candidates;
    const int32_t* numbers;
    uint32_t* parents;
    EMFAST_HD void operator()(int64_t i) const {
        rim.rows(rim.place(candidates[i]), [&](int64_t at, int bit) {
            for (int x = 0; x < 3 && bit + x < 13; ++x)
                if (numbers[at + x])
                    unite_shared(parents, static_cast<uint32_t>(i), static_cast<uint32_t>(numbers[at + x] - 1));
        });
    }
};

// The candidates in the order of trial, with their groups.
struct Group {
    uint32_t* parents;
    const uint32_t* ranked;
    uint32_t* groups;
    uint32_t* order;
    EMFAST_HD void operator()(int64_t k) const {
        order[k] = ranked[k];
        groups[k] = find_shared(parents, ranked[k]);
    }
};

struct Renumber {
    Rim rim;
    const int64_t* candidates;
    const uint32_t* order;
    int32_t* numbers;
    int64_t* places;
    uint8_t* waiting;
    uint8_t* wide;
    EMFAST_HD void operator()(int64_t k) const {
        places[k] = rim.place(candidates[order[k]]);
        numbers[places[k]] = static_cast<int32_t>(k + 1);
        wide[places[k]] |= 2;
        waiting[k] = 1;
    }
};

struct Return {
    const int64_t* candidates;
    const uint32_t* order;
    const int64_t* places;
    const uint8_t* wide;
    uint8_t* object;
    EMFAST_HD void operator()(int64_t k) const { object[candidates[order[k]]] = wide[places[k]] & 1; }
};

struct IsFirst {
    const uint32_t* groups;
    EMFAST_HD bool operator()(int64_t k) const { return k == 0 || groups[k] != groups[k - 1]; }
};

// One group, sweep by sweep. waiting: 1 where a candidate is to be looked at in this sweep, 2 in the next one.
struct Sweep {
    Rim rim;
    const int64_t* places;
    const int64_t* starts;
    int64_t groups, n;
    const int32_t* numbers;
    uint8_t* waiting;
    uint8_t* object;  // with its rim; bit 1 is set in candidates that have not flipped

    EMFAST_HD void operator()(int64_t group) const {
        const int64_t end = group + 1 < groups ? starts[group + 1] : n;
        int64_t from = starts[group], to = end;
        while (from < to) {
            int64_t next_from = end, next_to = from;  // what the next sweep looks at
            for (int64_t k = from; k < to; ++k) {
                if (!(waiting[k] & 1)) continue;
                waiting[k] &= 2;
                uint32_t cube = 0, left = 0;
                rim.rows(places[k], [&](int64_t at, int bit) {
                    const uint32_t a = object[at], b = object[at + 1], c = object[at + 2];
                    cube |= ((a & 1) | (b & 1) << 1 | (c & 1) << 2) << bit;
                    left |= (a >> 1 | (b & 2) | (c & 2) << 1) << bit;
                });
                if (!Cube::simple(cube, rim.planar)) continue;
                object[places[k]] = static_cast<uint8_t>((object[places[k]] & 1) ^ 1);
                left &= ~Cube::center;
                rim.rows(places[k], [&](int64_t at, int bit) {
                    for (int x = 0; x < 3; ++x) {
                        if (!(left >> (bit + x) & 1)) continue;
                        const int64_t other = numbers[at + x] - 1;
                        if (other > k) {
                            waiting[other] |= 1;
                            if (other >= to) to = other + 1;
                        } else {
                            waiting[other] |= 2;
                            next_from = other < next_from ? other : next_from;
                            next_to = other + 1 > next_to ? other + 1 : next_to;
                        }
                    }
                });
            }
            for (int64_t k = next_from; k < next_to; ++k) waiting[k] = waiting[k] >> 1;
            from = next_from;
            to = next_to;
        }
    }
};

template <class T>
Scratch<T> zeros(Executor& ex, int64_t n) {
    auto out = ex.scratch<T>(n);
    if (EMFAST_BACKEND == EMFAST_CUDA || !HostMemory::gives_zeros(n * int64_t(sizeof(T)))) ex.fill(out.data(), n, T(0));
    return out;
}

void warp(Executor& ex, View<uint8_t> object, bool planar, const int64_t* candidates, const uint32_t* ranked,
          int64_t n) {
    if (n == 0) return;
    const Rim rim{object.shape, planar};
    auto wide = zeros<uint8_t>(ex, rim.voxels());
    auto numbers = zeros<int32_t>(ex, rim.voxels());
    auto parents = ex.scratch<uint32_t>(n), groups = ex.scratch<uint32_t>(n), order = ex.scratch<uint32_t>(n);
    auto places = ex.scratch<int64_t>(n);
    auto waiting = ex.scratch<uint8_t>(n);
    ex.for_each(object.shape.rows(), Surround{rim, object.data, wide.data()});
    ex.for_each(n, Number{rim, candidates, numbers.data(), parents.data()});
    ex.for_each(n, Join{rim, candidates, numbers.data(), parents.data()});
    ex.for_each(n, Group{parents.data(), ranked, groups.data(), order.data()});
    ex.sort_pairs(groups.data(), order.data(), n);
    ex.for_each(n, Renumber{rim, candidates, order.data(), numbers.data(), places.data(), waiting.data(), wide.data()});
    const auto starts = ex.select<int64_t>(n, IsFirst{groups.data()});
    ex.for_each(starts.size(), Sweep{rim, places.data(), starts.data(), starts.size(), n, numbers.data(),
                                     waiting.data(), wide.data()});
    ex.for_each(n, Return{candidates, order.data(), places.data(), wide.data(), object.data});
}

}  // namespace emfast::warping
