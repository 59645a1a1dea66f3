// The host's own schedule: union-find over runs, a run being a stretch of equal foreground values along x.
//
// Each row is turned into bits, 64 voxels a word: `fg` marks foreground, `start` the first voxel of each run. A run's id is
// its rank in raster order, found by counting start bits, so no list of runs is stored. Two rows are joined a word at a
// time: `equal` marks where both hold the same value, and one union per stretch of it is enough. For edges and corners:
//
//   - v[x] = u[x-1] matters only where v[x] starts a run and v[x] != u[x] (else the runs met face to face);
//   - v[x] = u[x+1] likewise where v[x] ends a run;
//   - two earlier neighbours of v[x] that touch each other need but one union with it, for theirs is made elsewhere. With 26
//     neighbours the voxel behind, where equal, stands for all; in real volumes hardly anything else is left to do.
//
// The volume is cut into slabs of rows, each worked by one thread with plain unions (slabs.h, run_numbers.h). The first rows
// of each slab, whose earlier neighbours belong to the slab before, are joined afterwards with shared unions. The array of
// parents is mapped lazily and touched only at its used stretches.
//
// Scratch: 3 bits a voxel and 4 bytes a run.

#pragma once

#include <bit>

#include "components/run_numbers.h"
#include "core/isa.h"
#include "core/lines.h"
#include "core/runs.h"

namespace emfast::components {
namespace {

template <class T>
__attribute__((noinline)) uint64_t equal_few(const T* a, const T* b, int64_t n) {
    uint64_t word = 0;
    for (int64_t i = 0; i < n; ++i) word |= static_cast<uint64_t>(a[i] == b[i]) << i;
    return word;
}

// Bit i: a[i] == b[i], for i < n <= 64. later: not the first word of a row, so that what lies before may be read too.
template <class T>
EMFAST_INLINE uint64_t equal_bits(const T* a, const T* b, int64_t n, bool later) {
    const int64_t missing = 64 - n;
    if (n == 64 || later) return equal64(a - missing, b - missing) >> missing;
    return equal_few(a, b, n);
}

EMFAST_INLINE uint64_t low_bits(int64_t n) { return n >= 64 ? ~uint64_t(0) : (uint64_t(1) << n) - 1; }

// What all slabs share. Id is the type of run ids.
template <class Id>
struct Rows {
    Shape shape;
    int64_t words;  // a row
    uint64_t* fg;
    uint64_t* start;
    Id* before;  // id of the last run that begins before this word (one less than the row's first id at first)
    Id* parent;

    EMFAST_INLINE Id id(int64_t word, int bit) const {
        return before[word] + static_cast<Id>(std::popcount(start[word] << (63 - bit)));
    }
    Id id_at(int64_t voxel) const {
        const int64_t row = voxel / shape.x, x = voxel - row * shape.x;
        return id(row * words + (x >> 6), static_cast<int>(x & 63));
    }
};

// Marks the runs of rows [begin, end), with ids from `next` on.
template <class T, class Id>
EMFAST_INLINE Id mark_runs(const Rows<Id>& rows, const Lines<const T>& labels, int64_t begin, int64_t end, T background,
                           bool open, bool binary, Id next) {
    const int64_t width = rows.shape.x;
    alignas(16) T paper[128];
    for (T& p : paper) p = background;
    for (int64_t r = begin; r < end; ++r) {
        const T* v = labels(r);
        uint64_t* fg = rows.fg + r * rows.words;
        uint64_t* start = rows.start + r * rows.words;
        Id* before = rows.before + r * rows.words;
        uint64_t carry = 0;
        for (int64_t w = 0; w < rows.words; ++w) {
            const int64_t x = w * 64, n = std::min<int64_t>(64, width - x);
            const uint64_t f = open ? low_bits(n) : low_bits(n) & ~equal_bits<T>(v + x, paper + 64, n, x > 0);
            uint64_t s = f;
            if (f) {
                if (binary) {
                    s = f & ~((f << 1) | carry);
                } else if (x > 0) {
                    s = f & ~equal_bits(v + x, v + x - 1, n, true);
                } else {
                    s = f & ~((width > 64 ? equal64(v + 1, v) : equal_few(v + 1, v, n - 1)) << 1);
                }
            }
            carry = f >> 63;
            fg[w] = f;
            start[w] = s;
            before[w] = next - 1;
            const int count = std::popcount(s);
            for (int k = 0; k < count; ++k) rows.parent[next + k] = next + k;
            next += count;
        }
    }
    return next;
}

// A word of row r beside the same word of an earlier row.
template <class T, class Id>
struct Word {
    const Rows<Id>& rows;
    const Lines<const T>& labels;
    bool binary, shared;
    int64_t r, w;

    // Unions v[x] - u[x] of row q for x in mask, one a stretch. Returns where the two are equal.
    EMFAST_INLINE uint64_t faces(int64_t q, uint64_t mask) const {
        const int64_t x = w * 64, n = std::min<int64_t>(64, rows.shape.x - x);
        const int64_t rw = r * rows.words + w, qw = q * rows.words + w;
        uint64_t equal = mask & rows.fg[qw];
        if (equal && !binary) equal &= equal_bits(labels(r) + x, labels(q) + x, n, w > 0);
        for (uint64_t s = equal & ~((equal << 1) & ~rows.start[rw]); s; s &= s - 1) {
            const int b = std::countr_zero(s);
            join(shared, rows.parent, rows.id(rw, b), rows.id(qw, b));
        }
        return equal;
    }

    // Unions v[x] - u[x-1] where x in mask starts a run, and v[x] - u[x+1] where it ends one.
    EMFAST_INLINE void sides(int64_t q, uint64_t mask, uint64_t ends) const {
        const int64_t rw = r * rows.words + w, qw = q * rows.words + w;
        const uint64_t start = mask & rows.start[rw], end = mask & ends, other = rows.fg[qw];
        if (!(start | end)) return;
        const T* v = labels(r) + w * 64;
        const T* u = labels(q) + w * 64;
        const uint64_t left = w == 0 ? 0 : rows.fg[qw - 1] >> 63,
                       right = w + 1 == rows.words ? 0 : rows.fg[qw + 1] << 63;
        for (uint64_t s = start & ((other << 1) | left); s; s &= s - 1) {
            const int b = std::countr_zero(s);
            if (binary || v[b] == u[b - 1])
                join(shared, rows.parent, rows.id(rw, b), b ? rows.id(qw, b - 1) : rows.id(qw - 1, 63));
        }
        for (uint64_t s = end & ((other >> 1) | right); s; s &= s - 1) {
            const int b = std::countr_zero(s);
            if (binary || v[b] == u[b + 1])
                join(shared, rows.parent, rows.id(rw, b), b < 63 ? rows.id(qw, b + 1) : rows.id(qw + 1, 0));
        }
    }

    // Bits of row r whose right neighbour is not of the same run.
    EMFAST_INLINE uint64_t ends() const {
        const int64_t rw = r * rows.words + w;
        const bool last = w + 1 == rows.words;
        const uint64_t fg = (rows.fg[rw] >> 1) | (last ? 0 : rows.fg[rw + 1] << 63);
        const uint64_t start = (rows.start[rw] >> 1) | (last ? 0 : rows.start[rw + 1] << 63);
        return rows.fg[rw] & ~(fg & ~start);
    }
};

// All unions of row r with earlier rows: up (y-1), back (z-1), and the two rows back, above and below.
template <int connectivity, class T, class Id>
EMFAST_INLINE void join_row(const Rows<Id>& rows, const Lines<const T>& labels, bool binary, bool shared, int64_t r) {
    const int64_t y = r % rows.shape.y, up = r - 1, back = r - rows.shape.y;
    const bool has_up = y > 0, has_back = back >= 0, has_above = has_up && has_back,
               has_below = has_back && y + 1 < rows.shape.y;
    for (int64_t w = 0; w < rows.words; ++w) {
        const uint64_t f = rows.fg[r * rows.words + w];
        if (!f) continue;
        const Word<T, Id> word{rows, labels, binary, shared, r, w};
        if constexpr (connectivity == 6) {
            if (has_up) word.faces(up, f);
            if (has_back) word.faces(back, f);
        } else if constexpr (connectivity == 18) {
            const uint64_t ends = word.ends();
            const uint64_t met_up = has_up ? word.faces(up, f) : 0;
            const uint64_t met_back = has_back ? word.faces(back, f) : 0;
            if (has_up) word.sides(up, f & ~met_up, ends);
            if (has_back) word.sides(back, f & ~met_back, ends);
            if (has_above) word.faces(back - 1, f & ~met_up & ~met_back);
            if (has_below) word.faces(back + 1, f & ~met_back);
        } else {
            // back[x] touches all other earlier neighbours of v[x], so where it is met nothing is left to do; up[x] touches
            // all but the row below; above[x] and below[x] touch the sides of back, above[x] those of up.
            const uint64_t met_back = has_back ? word.faces(back, f) : 0;
            const uint64_t free = f & ~met_back;
            if (!free) continue;
            const uint64_t ends = word.ends();
            const uint64_t apart = has_up ? free & ~word.faces(up, free) : free;
            uint64_t met_below = 0, met_above = 0;
            if (has_below) {
                met_below = word.faces(back + 1, free);
                word.sides(back + 1, free & ~met_below, ends);
            }
            if (has_above) {
                met_above = word.faces(back - 1, apart);
                word.sides(back - 1, apart & ~met_above, ends);
            }
            if (has_back) word.sides(back, apart & ~met_above & ~met_below, ends);
            if (has_up) word.sides(up, apart & ~met_above, ends);
        }
    }
}

template <class T>
struct Job {
    Lines<const T> labels;
    T background;
    bool open;  // no background
    bool binary;
    int connectivity;
};

template <class T, class Id>
EMFAST_INLINE void join_rows(const Rows<Id>& rows, const Job<T>& job, bool shared, int64_t begin, int64_t end) {
    if (job.connectivity == 6)
        for (int64_t r = begin; r < end; ++r) join_row<6>(rows, job.labels, job.binary, shared, r);
    else if (job.connectivity == 18)
        for (int64_t r = begin; r < end; ++r) join_row<18>(rows, job.labels, job.binary, shared, r);
    else
        for (int64_t r = begin; r < end; ++r) join_row<26>(rows, job.labels, job.binary, shared, r);
}

enum class Part { slab, seam };

// slab: runs and unions of rows [begin, end), row by row so that the rows are still in cache, but no unions of rows before
// joined_from; returns one past the slab's last id. seam: the unions left out, with the slabs before.
template <class T, class Id>
EMFAST_INLINE Id work_rows(Part part, const Rows<Id>& rows, const Job<T>& job, int64_t begin, int64_t joined_from,
                           int64_t end) {
    Id next = static_cast<Id>(begin * rows.shape.x);
    if (part == Part::seam) {
        join_rows(rows, job, true, begin, joined_from);
        return next;
    }
    for (int64_t r = begin; r < end; ++r) {
        const Id first = next;
        next = mark_runs<T, Id>(rows, job.labels, r, r + 1, job.background, job.open, job.binary, next);
        if (r < joined_from) continue;
        join_rows(rows, job, false, r, r + 1);
        for (Id i = first; i < next; ++i) rows.parent[i] = rows.parent[rows.parent[i]];  // later unions find roots near
    }
    return next;
}

// Labels of a row: its runs' labels side by side, then spread by the bits.
template <class Id, class Out>
EMFAST_INLINE void spread_row(const Rows<Id>& rows, const Out* run_labels, int64_t r, Out* out) {
    const int64_t width = rows.shape.x;
    const Id first = rows.before[r * rows.words];
    for (int64_t w = 0; w < rows.words; ++w) {
        const int64_t rw = r * rows.words + w, x = w * 64, n = std::min<int64_t>(64, width - x);
        const uint64_t f = rows.fg[rw], s = rows.start[rw];
        const Out* label =
            run_labels + (rows.before[rw] - first);  // label[k]: of the k-th start in this word; [0]: open run
        Out* to = out + x;
        if (n == 64) {
            if (f == 0) {
                for (int i = 0; i < 64; ++i) to[i] = 0;
                continue;
            }
            if (f == ~uint64_t(0) && (s & ~uint64_t(1)) == 0) {
                const Out only = label[s & 1];
                for (int i = 0; i < 64; ++i) to[i] = only;
                continue;
            }
            const uint64_t turns = (f ^ (f << 1)) | s;  // where a run or a gap begins
            if (std::popcount(turns) <= 8) {
                spread_turns(f, s, turns, label, to);
                continue;
            }
        }
        int64_t k = 0;
        for (int64_t i = 0; i < n; ++i) {
            k += s >> i & 1;
            to[i] = static_cast<Out>(label[k] & -(f >> i & 1));  // no branch: noise would mispredict it
        }
    }
}

// Volumes beyond 2^31 voxels take the plain build: their time goes into memory.
#define EMFAST_SLAB(clones, T, Id)                                                                         \
    clones Id work(Part part, const Rows<Id>& rows, const Job<T>& job, int64_t begin, int64_t joined_from, \
                   int64_t end) {                                                                          \
        return work_rows<T, Id>(part, rows, job, begin, joined_from, end);                                 \
    }
EMFAST_SLAB(EMFAST_CLONES_BITS, uint8_t, uint32_t)
EMFAST_SLAB(EMFAST_CLONES_BITS, uint16_t, uint32_t)
EMFAST_SLAB(EMFAST_CLONES_BITS, uint32_t, uint32_t)
EMFAST_SLAB(EMFAST_CLONES_BITS, uint64_t, uint32_t)
EMFAST_SLAB(, uint8_t, uint64_t)
EMFAST_SLAB(, uint16_t, uint64_t)
EMFAST_SLAB(, uint32_t, uint64_t)
EMFAST_SLAB(, uint64_t, uint64_t)

#define EMFAST_SPREAD(clones, Id, Out)                                                     \
    clones void spread(const Rows<Id>& rows, const Out* run_labels, int64_t r, Out* out) { \
        spread_row<Id, Out>(rows, run_labels, r, out);                                     \
    }
EMFAST_FOR_IDS_AND_LABELS(EMFAST_SPREAD)
#undef EMFAST_SPREAD

template <class Id>
struct RunLinks {
    Rows<Id> rows;
    void unite(int64_t i, int64_t q) const { unite_shared(rows.parent, rows.id_at(i), rows.id_at(q)); }
};

template <class Id>
class RunLabelling final : public Labelling {
  public:
    template <class T>
    RunLabelling(Executor& ex, Lines<const T> labels, const Options& options)
        : rows_{labels.shape, bit_words(labels.shape.x), nullptr, nullptr, nullptr, nullptr},
          slabs_(labels.shape, ex.threads()),
          numbers_(slabs_, labels.shape.x) {
        const int64_t words = labels.shape.rows() * rows_.words;
        bits_ = ex.scratch<uint64_t>(2 * words);
        before_ = ex.scratch<Id>(words);
        parent_ = ex.scratch<Id>(labels.shape.voxels() + 1);
        rows_.fg = bits_.data();
        rows_.start = bits_.data() + words;
        rows_.before = before_.data();
        rows_.parent = parent_.data();
        if (labels.shape.voxels() == 0) return;

        const Job<T> job{labels, static_cast<T>(options.background), !options.has_background,
                         options.binary && options.has_background, options.connectivity};
        auto work_slab = [&](Part part, int64_t s) {
            return work(part, rows_, job, slabs_.row(s), slabs_.joined_from(s), slabs_.row(s + 1));
        };
        ex.for_chunks(slabs_.count, 1, [&](int64_t s, int64_t, int) { numbers_.ends[s] = work_slab(Part::slab, s); });
        ex.for_chunks(slabs_.count - 1, 1, [&](int64_t s, int64_t, int) { work_slab(Part::seam, s + 1); });
        if (options.periodic)  // of dense arrays alone
            ex.for_each(labels.shape.voxels(),
                        JoinPeriodic<T, Equal<T>, RunLinks<Id>>{
                            labels.data, labels.shape, Equal<T>{}, job.background, options.has_background,
                            neighbours_before(options.connectivity), RunLinks<Id>{rows_}});
        count = numbers_.number(ex, rows_);
    }

    template <class F>
    void each_row(F&& f) const {
        numbers_.each_row(rows_, f);
    }

    void write(Executor& ex, void* out, int bytes) override {
        visit_width(bytes, [&](auto zero) {
            using Out = decltype(zero);
            numbers_.write(ex, rows_, static_cast<Out*>(out),
                           [&](const Out* run_labels, int64_t r, Out* row) { spread(rows_, run_labels, r, row); });
        });
    }

  private:
    Rows<Id> rows_;
    Slabs slabs_;
    Scratch<uint64_t> bits_;
    Scratch<Id> before_, parent_;
    RunNumbers<Rows<Id>> numbers_;
};

}  // namespace
}  // namespace emfast::components
