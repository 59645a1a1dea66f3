// A volume's rows cut into slabs, each worked by one thread with plain unions. The first rows of a slab, whose earlier
// neighbours belong to the slab before, are joined afterwards with shared unions.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "core/isa.h"
#include "core/view.h"

namespace emfast::components {

struct Slabs {
    static constexpr int64_t voxels = int64_t(1) << 25;  // a slab at most: bounds the time between looks at Ctrl-C

    int64_t rows, reach, count;

    Slabs(const Shape& shape, int threads) : Slabs(shape.rows(), shape.z > 1 ? shape.y : 0, shape.voxels(), threads) {}

    // layer: rows from one to the same place in the next layer, 0 if there is but one layer.
    Slabs(int64_t rows, int64_t layer, int64_t all_voxels, int threads)
        : rows(rows), reach(layer + 1) {  // rows back to the earliest neighbour
        const int64_t wanted = std::max<int64_t>(all_voxels / voxels + 1, threads > 1 ? threads * 4 : 1);
        const int64_t thick = layer ? 8 * layer : 64;  // thin slabs are all seam
        count = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, rows / thick));
    }

    int64_t row(int64_t slab) const { return rows * slab / count; }
    int64_t joined_from(int64_t slab) const { return slab == 0 ? 0 : std::min(row(slab + 1), row(slab) + reach); }
};

// The labels of 64 voxels with few turns, where a run or a gap begins. label[k] is that of the k-th start among them, [0] that
// of the run that is open.
template <class Out>
EMFAST_INLINE void spread_turns(uint64_t fg, uint64_t start, uint64_t turns, const Out* label, Out* to) {
    const Out at_first = fg & 1 ? label[start & 1] : Out(0);
    for (int i = 0; i < 64; ++i) to[i] = at_first;
    for (turns &= ~uint64_t(1); turns; turns &= turns - 1) {
        const int b = std::countr_zero(turns);
        const Out value = fg >> b & 1 ? label[std::popcount(start << (63 - b))] : Out(0);
        for (int i = 0; i < 64; ++i) to[i] = i >= b ? value : to[i];
    }
}

}  // namespace emfast::components

// M(clones, type of run ids, type of labels). Volumes beyond 2^31 voxels take the plain build: their time goes into memory.
#define EMFAST_FOR_IDS_AND_LABELS(M)          \
    M(EMFAST_CLONES_BITS, uint32_t, uint8_t)  \
    M(EMFAST_CLONES_BITS, uint32_t, uint16_t) \
    M(EMFAST_CLONES_BITS, uint32_t, uint32_t) \
    M(EMFAST_CLONES_BITS, uint32_t, uint64_t) \
    M(, uint64_t, uint8_t) M(, uint64_t, uint16_t) M(, uint64_t, uint32_t) M(, uint64_t, uint64_t)
