// The device's schedule: collect the ids in a key table, order them, then add every run to the cells of its label. A run
// lies along y within a column of at most 32 voxels: neighbouring threads read neighbouring voxels, and a run costs one
// atomic addition per cell. Additions, minima and maxima of integers commute, so arrival does not matter.
#pragma once

#include "core/columns.h"
#include "core/label_ids.h"
#include "statistics/statistics.h"

namespace emfast::statistics {

// 0 + 1 + … + n-1
EMFAST_HD inline int64_t sum_below(int64_t n) { return n * (n - 1) / 2; }

// 0 + 1 + 4 + … + (n-1)², modulo 2^64: the factor that 3 divides is divided before the product is taken.
EMFAST_HD inline uint64_t squares_below(uint64_t n) {
    if (n == 0) return 0;
    const uint64_t half = (n - 1) * n / 2, odd = 2 * n - 1;
    return half % 3 == 0 ? half / 3 * odd : half * (odd / 3);
}

// The cells of a label before its first voxel.
EMFAST_HD inline void start_cells(const Layout& layout, const Shape& shape, int64_t* c) {
    for (int k = 0; k < layout.width; ++k) c[k] = 0;
    c[Layout::first] = shape.voxels();
    c[Layout::low] = shape.z;
    c[Layout::low + 1] = shape.y;
    c[Layout::low + 2] = shape.x;
    if (layout.peak < layout.width) c[layout.peak + 1] = shape.voxels();
}

struct StartCells {
    Layout layout;
    Shape shape;
    int64_t* cells;
    EMFAST_HD void operator()(int64_t i) const { start_cells(layout, shape, cells + i * layout.width); }
};

// The bits of a float without its sign: integers that are ordered like the magnitudes.
inline constexpr uint32_t magnitude = 0x7fffffffu;

EMFAST_HD inline int64_t magnitude_bits(float value) {
    union {
        float f;
        uint32_t u;
    } both{value};
    return both.u & magnitude;
}

template <class T>
struct AddRuns {
    View<const T> labels;
    Options options;
    Layout layout;
    KeyTable table;
    const int64_t* rank;
    int64_t* cells;

    EMFAST_HD bool same(T label, int64_t z, int64_t y, int64_t x) const {
        const Shape& s = labels.shape;
        return z >= 0 && z < s.z && y >= 0 && y < s.y && x >= 0 && x < s.x && labels(z, y, x) == label;
    }

    EMFAST_HD void operator()(int64_t i) const {
        const Column at = column(labels.shape, i);
        const int64_t z = at.z, x = at.x;
        each_run(labels, at, [&](T label, int64_t y0, int64_t y1) {
            if (options.has_background && label == static_cast<T>(options.background)) return;
            int64_t* c = cells + rank[table.find(label)] * layout.width;
            const int64_t n = y1 - y0, sy = sum_below(y1) - sum_below(y0);
            auto add = [c](int cell, uint64_t amount) { atomic_add(c[cell], static_cast<int64_t>(amount)); };
            add(Layout::voxels, n);
            atomic_min(c[Layout::first], z * options.strides[0] + y0 * options.strides[1] + x * options.strides[2]);
            atomic_min(c[Layout::low], z);
            atomic_min(c[Layout::low + 1], y0);
            atomic_min(c[Layout::low + 2], x);
            atomic_max(c[Layout::high], z);
            atomic_max(c[Layout::high + 1], y1 - 1);
            atomic_max(c[Layout::high + 2], x);
            add(Layout::sum, z * n);
            add(Layout::sum + 1, sy);
            add(Layout::sum + 2, x * n);
            if (options.moments) {
                add(layout.moments, uint64_t(z) * z * n);
                add(layout.moments + 1, squares_below(y1) - squares_below(y0));
                add(layout.moments + 2, uint64_t(x) * x * n);
                add(layout.moments + 3, uint64_t(z) * sy);
                add(layout.moments + 4, uint64_t(z) * x * n);
                add(layout.moments + 5, uint64_t(x) * sy);
            }
            if (options.surface)
                for (int d = 0; d < directions; ++d) {
                    const Step step = direction(d);
                    int64_t equal = 0;
                    for (int64_t y = y0; y < y1; ++y) equal += same(label, z + step.z, y + step.y, x + step.x);
                    add(layout.equal + d, equal);
                }
            if (options.values) {
                int64_t largest = 0;
                for (int64_t y = y0; y < y1; ++y) {
                    const int64_t bits = magnitude_bits(options.values[labels.shape.index(z, y, x)]);
                    if (bits > largest) largest = bits;
                }
                atomic_max(c[layout.peak], largest);
            }
        });
    }
};

// After all largest values are known: the smallest flat index that has one.
template <class T>
struct FindPeaks {
    AddRuns<T> add;
    EMFAST_HD void operator()(int64_t i) const {
        const Column at = column(add.labels.shape, i);
        const int64_t z = at.z, x = at.x;
        each_run(add.labels, at, [&](T label, int64_t y0, int64_t y1) {
            const Options& o = add.options;
            if (o.has_background && label == static_cast<T>(o.background)) return;
            int64_t* c = add.cells + add.rank[add.table.find(label)] * add.layout.width + add.layout.peak;
            for (int64_t y = y0; y < y1; ++y)
                if (magnitude_bits(o.values[add.labels.shape.index(z, y, x)]) == c[0]) {
                    atomic_min(c[1], z * o.strides[0] + y * o.strides[1] + x * o.strides[2]);
                    return;
                }
        });
    }
};

struct Unflip {
    const uint64_t* keys;
    uint64_t flip;
    uint64_t* ids;
    EMFAST_HD void operator()(int64_t i) const { ids[i] = keys[i] ^ flip; }
};

template <class T>
Table measure_anywhere(Executor& ex, View<const T> labels, const Options& options) {
    const Layout layout(options);
    Table out;
    out.width = layout.width;
    const int64_t n = columns(labels.shape);
    if (labels.size() == 0) return out;
    const KeyTableMemory memory = collect_ids(ex, labels, options.has_background, options.background);
    const SortedKeys sorted = sorted_keys(ex, memory.table, options.flip, labels.size());
    out.count = sorted.count;
    out.ids = ex.scratch<uint64_t>(out.count);
    out.cells = ex.scratch<int64_t>(out.count * out.width);
    ex.for_each(out.count, Unflip{sorted.keys.data(), options.flip, out.ids.data()});
    ex.for_each(out.count, StartCells{layout, labels.shape, out.cells.data()});
    const AddRuns<T> add{labels, options, layout, memory.table, sorted.rank.data(), out.cells.data()};
    ex.for_each(n, add);
    if (options.values) ex.for_each(n, FindPeaks<T>{add});
    return out;
}

}  // namespace emfast::statistics
