// The device's schedule: true ids and labels get places in two key tables, a pair of places is a key of a third, and
// voxels are added at its place; all in one sweep, repeated with larger tables if one was full. A thread walks a column
// along y and adds a stretch of one pair at once.
#pragma once

#include "contingency/contingency.h"
#include "core/columns.h"
#include "core/key_table.h"
#include "core/ops.h"

namespace emfast::contingency {

struct CountColumn {
    Shape shape;
    Ids truth, labels, mask;
    const int64_t* counts;
    const uint64_t* ignored;
    int64_t ignored_count;
    KeyTable truths, segments, pairs;
    int64_t* sums;

    EMFAST_HD bool is_ignored(uint64_t id) const {
        int64_t low = 0, high = ignored_count;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (ignored[middle] < id) low = middle + 1;
            else high = middle;
        }
        return low < ignored_count && ignored[low] == id;
    }

    EMFAST_HD void add(uint64_t id, uint64_t label, int64_t n) const {
        if (n == 0 || is_ignored(id)) return;
        const int64_t row = truths.insert(id), column = segments.insert(label);
        if (row < 0 || column < 0) return;
        const int64_t place = pairs.insert(static_cast<uint64_t>(row) << 32 | static_cast<uint64_t>(column));
        if (place >= 0) atomic_add(sums[place], n);
    }

    EMFAST_HD void operator()(int64_t i) const {
        if (atomic_load(*truths.full) || atomic_load(*segments.full) || atomic_load(*pairs.full)) return;
        const Column c = column(shape, i);
        uint64_t id = 0, label = 0;
        int64_t n = 0;
        for (int64_t y = c.begin; y < c.end; ++y) {
            const int64_t at = shape.index(c.z, y, c.x);
            if (mask.data && mask[at] == 0) continue;
            const uint64_t next_id = truth[at], next_label = labels[at];
            if (next_id != id || next_label != label) {
                add(id, label, n);
                id = next_id;
                label = next_label;
                n = 0;
            }
            n += counts ? counts[at] : 1;
        }
        add(id, label, n);
    }
};

// The key of a pair, by the ranks of its ids.
struct RankPair {
    KeyTable pairs;
    const int64_t *places, *row_of, *column_of, *sums;
    uint64_t* keys;
    int64_t* counts;
    EMFAST_HD void operator()(int64_t i) const {
        const uint64_t pair = pairs.key(places[i]);
        keys[i] =
            static_cast<uint64_t>(row_of[pair >> 32]) << 32 | static_cast<uint64_t>(column_of[pair & 0xffffffffu]);
        counts[i] = sums[places[i]];
    }
};

// Splits sorted keys, and adds up the sizes.
struct WritePairs {
    const uint64_t* keys;
    const int64_t* counts;
    int64_t *rows, *columns, *counts_out, *truth_sizes, *label_sizes;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t row = static_cast<int64_t>(keys[i] >> 32), column = static_cast<int64_t>(keys[i] & 0xffffffffu);
        rows[i] = row;
        columns[i] = column;
        counts_out[i] = counts[i];
        atomic_add(truth_sizes[row], counts[i]);
        atomic_add(label_sizes[column], counts[i]);
    }
};

struct Flip {
    uint64_t* keys;
    uint64_t flip;
    EMFAST_HD void operator()(int64_t i) const { keys[i] ^= flip; }
};

// Adds to a table that has its ids what pairs (row << 32 | column) count; in any order, a pair may come again. Both arrays
// are overwritten.
inline void write_pairs(Executor& ex, Table& out, uint64_t* keys, int64_t* counts, int64_t n) {
    ex.sort_pairs(keys, counts, n);
    auto unique = ex.scratch<uint64_t>(n);
    auto sums = ex.scratch<int64_t>(n);
    out.pairs = ex.reduce_by_key(keys, counts, n, unique.data(), sums.data(), Plus{});
    out.rows = ex.scratch<int64_t>(out.pairs);
    out.columns = ex.scratch<int64_t>(out.pairs);
    out.counts = ex.scratch<int64_t>(out.pairs);
    out.truth_sizes = ex.scratch<int64_t>(out.truths);
    out.label_sizes = ex.scratch<int64_t>(out.labels);
    ex.fill(out.truth_sizes.data(), out.truths, int64_t(0));
    ex.fill(out.label_sizes.data(), out.labels, int64_t(0));
    ex.for_each(out.pairs, WritePairs{unique.data(), sums.data(), out.rows.data(), out.columns.data(),
                                      out.counts.data(), out.truth_sizes.data(), out.label_sizes.data()});
}

inline Table count_anywhere(Executor& ex, const Volumes& v) {
    Table out;
    if (v.size() == 0) return out;
    const int64_t ignored_count = static_cast<int64_t>(v.ignored.size());
    auto ignored = ex.scratch<uint64_t>(ignored_count);
    if (ignored_count > 0) ex.store(ignored.data(), v.ignored);
    // Most volumes fit at once: a table that is too large costs its filling, one that is too small a sweep.
    int64_t wanted[] = {first_places(v.size(), 18), first_places(v.size(), 18), first_places(v.size(), 22)};
    for (;;) {
        KeyTableMemory truths = empty_keys(ex, wanted[0]), segments = empty_keys(ex, wanted[1]),
                       pairs = empty_keys(ex, wanted[2]);
        auto sums = ex.scratch<int64_t>(pairs.table.places());
        ex.fill(sums.data(), pairs.table.places(), int64_t(0));
        ex.for_each(columns(v.shape),
                    CountColumn{v.shape, v.truth, v.labels, v.mask, v.counts, ignored.data(), ignored_count,
                                truths.table, segments.table, pairs.table, sums.data()});
        bool again = false;
        for (int k = 0; const KeyTableMemory* memory : {&truths, &segments, &pairs}) {
            if (ex.fetch(memory->full.data())) {
                wanted[k] *= 8;
                again = true;
            }
            ++k;
        }
        if (wanted[0] >= int64_t(1) << 32 || wanted[1] >= int64_t(1) << 32)
            refuse("contingency takes fewer than 2^30 ids on a device");
        if (again) continue;
        SortedKeys rows = sorted_keys(ex, truths.table, v.truth.flip(), truths.table.places());
        SortedKeys columns_of = sorted_keys(ex, segments.table, v.labels.flip(), segments.table.places());
        out.truths = rows.count;
        out.labels = columns_of.count;
        out.truth_ids = std::move(rows.keys);
        out.label_ids = std::move(columns_of.keys);
        ex.for_each(out.truths, Flip{out.truth_ids.data(), v.truth.flip()});
        ex.for_each(out.labels, Flip{out.label_ids.data(), v.labels.flip()});
        auto places = ex.select<int64_t>(pairs.table.places(), KeyTableHolds{pairs.table});
        auto keys = ex.scratch<uint64_t>(places.size());
        auto counts = ex.scratch<int64_t>(places.size());
        ex.for_each(places.size(), RankPair{pairs.table, places.data(), rows.rank.data(), columns_of.rank.data(),
                                            sums.data(), keys.data(), counts.data()});
        write_pairs(ex, out, keys.data(), counts.data(), places.size());
        return out;
    }
}

// ---- the sum of two tables

struct JoinIds {
    const uint64_t *a, *b;
    int64_t count;  // of a
    uint64_t flip;
    uint64_t* keys;
    int64_t* from;
    EMFAST_HD void operator()(int64_t i) const {
        keys[i] = (i < count ? a[i] : b[i - count]) ^ flip;
        from[i] = i;
    }
};

struct BeginsId {
    const uint64_t* keys;
    EMFAST_HD bool operator()(int64_t i) const { return i == 0 || keys[i] != keys[i - 1]; }
};

struct MarkIds {
    const uint64_t* keys;
    int64_t* marks;
    EMFAST_HD void operator()(int64_t i) const { marks[i] = BeginsId{keys}(i); }
};

// The rank of each id that was joined: marks before it, less one if it is none itself.
struct RankIds {
    const uint64_t* keys;
    const int64_t *from, *before;
    int64_t* rank;
    uint64_t* ids;
    uint64_t flip;
    EMFAST_HD void operator()(int64_t i) const {
        const bool begins = BeginsId{keys}(i);
        const int64_t place = before[i] - !begins;
        rank[from[i]] = place;
        if (begins) ids[place] = keys[i] ^ flip;
    }
};

struct JoinPairs {
    const int64_t *rows, *columns, *counts;
    const int64_t *row_of, *column_of;
    uint64_t* keys;
    int64_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        keys[i] = static_cast<uint64_t>(row_of[rows[i]]) << 32 | static_cast<uint64_t>(column_of[columns[i]]);
        out[i] = counts[i];
    }
};

// The ids of both, ascending, and where each of them went.
inline int64_t join_ids(Executor& ex, const uint64_t* a, int64_t a_count, const uint64_t* b, int64_t b_count,
                        uint64_t flip, Scratch<uint64_t>& ids, Scratch<int64_t>& rank) {
    const int64_t n = a_count + b_count;
    auto keys = ex.scratch<uint64_t>(n);
    auto from = ex.scratch<int64_t>(n), before = ex.scratch<int64_t>(n);
    rank = ex.scratch<int64_t>(n);
    ex.for_each(n, JoinIds{a, b, a_count, flip, keys.data(), from.data()});
    ex.sort_pairs(keys.data(), from.data(), n);
    ex.for_each(n, MarkIds{keys.data(), before.data()});
    const int64_t count = ex.scan(before.data(), before.data(), n);
    ids = ex.scratch<uint64_t>(count);
    ex.for_each(n, RankIds{keys.data(), from.data(), before.data(), rank.data(), ids.data(), flip});
    return count;
}

inline Table sum_anywhere(Executor& ex, const Parts& a, const Parts& b, uint64_t truth_flip, uint64_t label_flip) {
    Table out;
    Scratch<int64_t> row_of, column_of;
    out.truths = join_ids(ex, a.truth_ids, a.truths, b.truth_ids, b.truths, truth_flip, out.truth_ids, row_of);
    out.labels = join_ids(ex, a.label_ids, a.labels, b.label_ids, b.labels, label_flip, out.label_ids, column_of);
    auto keys = ex.scratch<uint64_t>(a.pairs + b.pairs);
    auto counts = ex.scratch<int64_t>(a.pairs + b.pairs);
    ex.for_each(a.pairs,
                JoinPairs{a.rows, a.columns, a.counts, row_of.data(), column_of.data(), keys.data(), counts.data()});
    ex.for_each(b.pairs, JoinPairs{b.rows, b.columns, b.counts, row_of.data() + a.truths, column_of.data() + a.labels,
                                   keys.data() + a.pairs, counts.data() + a.pairs});
    write_pairs(ex, out, keys.data(), counts.data(), a.pairs + b.pairs);
    return out;
}

}  // namespace emfast::contingency
