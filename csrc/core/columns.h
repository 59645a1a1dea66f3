// The order in which a device walks a volume when neighbours of one label should be taken together: a column of at most
// 32 voxels along y. Neighbouring threads have neighbouring x, so their reads fall together.
#pragma once

#include "core/view.h"

namespace emfast {

inline constexpr int64_t column_length = 32;

struct Column {
    int64_t z, x, begin, end;  // y in [begin, end)
};

EMFAST_HD inline int64_t columns(const Shape& s) { return s.z * ((s.y + column_length - 1) / column_length) * s.x; }

EMFAST_HD inline Column column(const Shape& s, int64_t i) {
    const int64_t rest = i / s.x, pieces = (s.y + column_length - 1) / column_length;
    const int64_t begin = rest % pieces * column_length, end = begin + column_length;
    return {rest / pieces, i % s.x, begin, end < s.y ? end : s.y};
}

// f(label, begin, end) for every run of equal labels of a column.
template <class T, class F>
EMFAST_HD void each_run(const View<const T>& labels, const Column& c, const F& f) {
    int64_t begin = c.begin;
    T label = labels(c.z, begin, c.x);
    for (int64_t y = begin + 1; y < c.end; ++y) {
        const T next = labels(c.z, y, c.x);
        if (next == label) continue;
        f(label, begin, y);
        label = next;
        begin = y;
    }
    f(label, begin, c.end);
}

}  // namespace emfast
