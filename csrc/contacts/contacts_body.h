// The device's schedule: ids get places in a key table, a pair of places is a key of a second table, and faces are added
// to the cells of the pair. A thread walks a column along y for each direction and adds a stretch of one pair at once.
#pragma once

#include "contacts/contacts.h"
#include "core/label_ids.h"
#include "core/steps.h"

namespace emfast::contacts {

// The cell that a neighbour along this step counts in, beside the last: its axis, or -1 where it shares no face.
EMFAST_HD inline int face_axis(const Step& step) {
    if (step.axes() != 1) return -1;
    return step.z ? 0 : step.y ? 1 : 2;
}

// i + step on an axis of length n; -1 where that is outside.
EMFAST_HD inline int64_t moved(int64_t i, int step, int64_t n, bool periodic) {
    i += step;
    if (i >= 0 && i < n) return i;
    if (!periodic) return -1;
    return i < 0 ? i + n : i - n;
}

template <class T>
struct AddContacts {
    View<const T> labels;
    Options options;
    KeyTable ids, pairs;
    int64_t* cells;

    EMFAST_HD void add(T a, T b, int axis, int64_t n) const {
        const uint64_t p = ids.find(a), q = ids.find(b);
        const int64_t place = pairs.insert(p < q ? p << 32 | q : q << 32 | p);
        if (place < 0) return;
        if (axis >= 0) atomic_add(cells[place * width + axis], n);
        atomic_add(cells[place * width + 3], n);
    }

    EMFAST_HD void operator()(int64_t i) const {
        const Shape& s = labels.shape;
        const Column c = column(s, i);
        const T background = static_cast<T>(options.background);
        for (int d = 0; d < directions; ++d) {
            const Step step = direction(d);
            if (step.axes() > options.reach) continue;
            const int64_t z = moved(c.z, step.z, s.z, options.periodic[0]);
            const int64_t x = moved(c.x, step.x, s.x, options.periodic[2]);
            if (z < 0 || x < 0) continue;
            T last_a{}, last_b{};
            int64_t n = 0;
            for (int64_t y = c.begin; y < c.end; ++y) {
                const int64_t other = moved(y, step.y, s.y, options.periodic[1]);
                if (other < 0) continue;
                const T a = labels(c.z, y, c.x), b = labels(z, other, x);
                if (a == b || (options.has_background && (a == background || b == background))) continue;
                if (n > 0 && (a != last_a || b != last_b)) {
                    add(last_a, last_b, face_axis(step), n);
                    n = 0;
                }
                last_a = a;
                last_b = b;
                ++n;
            }
            if (n > 0) add(last_a, last_b, face_axis(step), n);
        }
    }
};

// One end of each pair, by value: the smaller (first) or the larger.
struct EndOfPair {
    KeyTable ids, pairs;
    const int64_t* places;
    uint64_t flip;
    bool first;
    uint64_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        const uint64_t pair = pairs.key(places[i]);
        const uint64_t p = ids.key(static_cast<int64_t>(pair >> 32)) ^ flip;
        const uint64_t q = ids.key(static_cast<int64_t>(pair & 0xffffffffu)) ^ flip;
        out[i] = (p < q) == first ? p : q;
    }
};

struct WriteRows {
    const int64_t* places;
    const int64_t* from;
    uint64_t flip;
    uint64_t *a, *b;
    int64_t* cells;
    EMFAST_HD void operator()(int64_t i) const {
        a[i] ^= flip;
        b[i] ^= flip;
        for (int k = 0; k < width; ++k) cells[i * width + k] = from[places[i] * width + k];
    }
};

template <class T>
Table count_anywhere(Executor& ex, View<const T> labels, const Options& options) {
    Table out;
    if (labels.size() == 0) return out;
    const KeyTableMemory ids = collect_ids(ex, labels, options.has_background, options.background);
    if (ids.table.places() >= int64_t(1) << 32) refuse("contacts takes fewer than 2^30 labels on a device");
    Scratch<int64_t> sums;
    const KeyTableMemory pairs = fill_keys(ex, labels.size() * directions, [&](const KeyTable& table) {
        sums = ex.scratch<int64_t>(table.places() * width);
        ex.fill(sums.data(), table.places() * width, int64_t(0));
        ex.for_each(columns(labels.shape), AddContacts<T>{labels, options, ids.table, table, sums.data()});
    });
    auto places = ex.scratch<int64_t>(pairs.table.places());
    out.count = ex.compact(pairs.table.places(), KeyTableHolds{pairs.table}, places.data());
    out.a = ex.scratch<uint64_t>(out.count);
    out.b = ex.scratch<uint64_t>(out.count);
    out.cells = ex.scratch<int64_t>(out.count * width);
    const EndOfPair smaller{ids.table, pairs.table, places.data(), options.flip, true, out.a.data()};
    const EndOfPair larger{ids.table, pairs.table, places.data(), options.flip, false, out.b.data()};
    ex.for_each(out.count, larger);
    ex.sort_pairs(out.b.data(), places.data(), out.count);
    ex.for_each(out.count, smaller);
    ex.sort_pairs(out.a.data(), places.data(), out.count);
    ex.for_each(out.count, larger);
    ex.for_each(out.count,
                WriteRows{places.data(), sums.data(), options.flip, out.a.data(), out.b.data(), out.cells.data()});
    return out;
}

}  // namespace emfast::contacts
