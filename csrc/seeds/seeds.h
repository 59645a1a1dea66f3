// Seeded watershed on a scalar map, and the markers to seed it with.
//
// flood: the cut of a minimum spanning forest that is rooted at the seeds. Voxels are the nodes, neighbours (6: faces, 18: and
// edges, 26: and corners; per section: those of the same z) are the edges, and edges are ordered by, one after the other,
//   1. the larger height of its two ends,
//   2. the smaller height of its two ends,
//   3. the sum of the steps of its two ends, if their heights are equal (else 0),
//   4. its id, 13 * (index of the later end) + (place of the earlier end among the 13 neighbours before it, in raster order).
// Edges join in that order, except that two trees that both hold a seed stay apart. Every voxel has the label of the seed in
// its tree, 0 if there is none. The order is total, so the answer is unique.
//
// Steps make plateaus fair: the steps of a voxel are the fewest moves over neighbours of the same height to a seed or to a voxel
// with a lower neighbour. Where there is none such, or it is further than 65,534, they count as 65,535.
//
// Lines: of two neighbours with different labels the one that comes later in the order (height, index) is turned to 0, unless
// it is a seed; then the other one, unless that is a seed too. All pairs are looked at before any voxel is changed.
//
// Heights are compared by value, -0 equals 0; NaN is refused; infinities are heights like others.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/affinity.h"
#include "core/exec.h"
#include "core/view.h"

namespace emfast::seeds {

// order(v): an unsigned integer of v's width that orders as the values do.
template <class T>
struct Height {
    using Bits = T;
    EMFAST_HD static bool valid(T) { return true; }
    EMFAST_HD static Bits order(T v) { return v; }
};
template <>
struct Height<int16_t> {
    using Bits = uint16_t;
    EMFAST_HD static bool valid(int16_t) { return true; }
    EMFAST_HD static Bits order(int16_t v) { return static_cast<Bits>(static_cast<Bits>(v) ^ 0x8000u); }
};
template <>
struct Height<int32_t> {
    using Bits = uint32_t;
    EMFAST_HD static bool valid(int32_t) { return true; }
    EMFAST_HD static Bits order(int32_t v) { return static_cast<Bits>(v) ^ 0x80000000u; }
};
template <>
struct Height<float> {
    using Bits = uint32_t;
    EMFAST_HD static bool valid(float v) { return v == v; }
    EMFAST_HD static Bits order(float v) {
        Bits bits;
        memcpy(&bits, &v, sizeof bits);
        if (bits == 0x80000000u) bits = 0;
        return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    }
};
template <>
struct Height<Half> {
    using Bits = uint16_t;
    EMFAST_HD static bool valid(Half v) { return (v.bits & 0x7fffu) <= 0x7c00u; }
    EMFAST_HD static Bits order(Half v) {
        const uint16_t bits = v.bits == 0x8000u ? uint16_t(0) : v.bits;
        return static_cast<Bits>(bits & 0x8000u ? ~bits : bits | 0x8000u);
    }
};

// A map of heights: where there is a voxel, and who is its neighbour. A neighbour has a code, 0 to 26, its place in raster order
// in the box of 27 voxels around.
template <class T>
struct Field {
    Shape shape;
    const T* height;
    const uint8_t* mask;  // may be null
    int axes;  // neighbours differ along at most that many axes: 1, 2, 3
    bool planar;  // neighbours have the same z

    EMFAST_HD auto order(int64_t i) const { return Height<T>::order(height[i]); }
    EMFAST_HD bool here(int64_t i) const { return !mask || mask[i]; }
    EMFAST_HD bool counts(int code) const {
        const int z = code / 9 - 1, y = code / 3 % 3 - 1, x = code % 3 - 1;
        const int moves = (z != 0) + (y != 0) + (x != 0);
        return moves > 0 && moves <= axes && !(planar && z != 0);
    }
    // The neighbour of that code, -1 if there is none.
    EMFAST_HD int64_t neighbour(int64_t i, const Point& p, int code) const {
        const int64_t z = code / 9 - 1, y = code / 3 % 3 - 1, x = code % 3 - 1;
        if (!counts(code) || p.z + z < 0 || p.z + z >= shape.z || p.y + y < 0 || p.y + y >= shape.y || p.x + x < 0 ||
            p.x + x >= shape.x)
            return -1;
        const int64_t q = i + shape.index(z, y, x);
        return here(q) ? q : -1;
    }
    // f(code, neighbour) for every neighbour, in raster order; of those before the voxel alone with last = 13.
    template <class F>
    EMFAST_HD void around(int64_t i, const F& f, int last = 27) const {
        const Point p = point(shape, i);
        if (axes == 1) {  // the same, spelled out
            auto look = [&](bool inside, int code, int64_t q) {
                if (inside && here(q)) f(code, q);
            };
            look(p.z > 0 && !planar, 4, i - shape.y * shape.x);
            look(p.y > 0, 10, i - shape.x);
            look(p.x > 0, 12, i - 1);
            if (last == 13) return;
            look(p.x + 1 < shape.x, 14, i + 1);
            look(p.y + 1 < shape.y, 16, i + shape.x);
            look(p.z + 1 < shape.z && !planar, 22, i + shape.y * shape.x);
            return;
        }
        for (int code = 0; code < last; ++code)
            if (const int64_t q = neighbour(i, p, code); q >= 0) f(code, q);
    }
};

struct Options {
    int axes = 1;
    bool planar = false;
    bool lines = false;
};

// seeds and out hold integers of that many bytes, 0: no seed. Voxels outside the mask get 0, and seeds there do not count.
template <class T>
void flood(Executor& ex, const Shape& shape, const T* height, const uint8_t* mask, const void* seeds, int label_bytes,
           const Options& options, void* out);

// The pixels of scikit-image 0.26: a binary heap of voxels by (height, age), with its ties among seeds; on the host, by one thread.
// With compactness > 0 a voxel's height is raised by compactness * its distance in voxels from the seed that reaches for it.
template <class S>
void flood_by_queue(Executor& ex, const Shape& shape, const double* height, const uint8_t* mask, const S* seeds,
                    int axes, double compactness, bool lines, S* out);

}  // namespace emfast::seeds

#define EMFAST_FOR_HEIGHTS(M) M(uint8_t) M(uint16_t) M(uint32_t) M(int16_t) M(int32_t) M(::emfast::Half) M(float)
