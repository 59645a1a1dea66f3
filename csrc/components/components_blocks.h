// The host's schedule for a mask (one foreground value) with 26 neighbours, or 8 in a picture.
//
// Whatever is foreground in a box of 2 x 2 x 2 voxels is connected. So four rows, two by two, make a thick row: its bit x is
// set where any of the four has voxel x, and a run of such bits is connected as it stands. A thick row has few runs where
// its rows have many (in even noise a sixteenth of them), and two thick rows meet where one's bits on the near side touch the
// other's, straight or aslant. Ids of runs, slabs and seams are as in components_runs.h, which also labels everything else.
//
// A run's id does not follow the raster order of its first voxel, only that of its thick row. So the first voxel of every
// component is marked in a plane of bits, and its label is the rank of its mark.
//
// Scratch: a bit a voxel for the mask, one for the marks, half a bit and 8 bytes a run: 0.3 bytes a voxel where runs are
// long, 0.4 in even noise, 1.3 at most.

#pragma once

#include <bit>
#include <cstring>
#include <optional>

#include "components/components_body.h"
#include "components/slabs.h"
#include "core/isa.h"
#include "core/runs.h"

namespace emfast::components {
namespace {

template <class Id>
struct ThickRows {
    Shape shape;
    int64_t words;  // a row
    int64_t deep, wide;  // thick rows along z and y
    uint64_t* fg;  // of every row
    uint64_t* start;  // of every thick row: the first bit of each run
    Id* before;  // as in Rows
    Id* parent;

    ThickRows(const Shape& s) : shape(s), words(bit_words(s.x)), deep((s.z + 1) / 2), wide((s.y + 1) / 2) {}

    int64_t count() const { return deep * wide; }
    int64_t most_runs() const { return (shape.x + 1) / 2; }  // of a thick row
    EMFAST_INLINE Id id(int64_t word, int bit) const {
        return before[word] + static_cast<Id>(std::popcount(start[word] << (63 - bit)));
    }
    // The bits of row (z, y), or none where the volume has no such row.
    EMFAST_INLINE const uint64_t* row(int64_t z, int64_t y) const {
        return z < shape.z && y < shape.y ? fg + (z * shape.y + y) * words : nullptr;
    }
    Id id_at(int64_t voxel) const {
        const Point p = point(shape, voxel);
        return id((p.z / 2 * wide + p.y / 2) * words + (p.x >> 6), static_cast<int>(p.x & 63));
    }
};

// One or two rows seen as one; either may be missing.
struct Pair {
    const uint64_t *a, *b;
    EMFAST_INLINE uint64_t operator[](int64_t w) const { return (a ? a[w] : 0) | (b ? b[w] : 0); }
    bool none() const { return !a && !b; }
};

// The mask of a row. False if some foreground voxel is not `value`.
template <class T>
EMFAST_INLINE bool read_mask_row(const T* labels, int64_t width, T background, std::optional<T> value, uint64_t* fg) {
    alignas(16) T nothing[64], something[64];
    for (int k = 0; k < 64; ++k) nothing[k] = background, something[k] = value.value_or(background);
    uint64_t others = 0;
    int64_t x = 0;
    for (; x + 64 <= width; x += 64) {
        const uint64_t f = ~equal64(labels + x, nothing);
        if (value) others |= f & ~equal64(labels + x, something);
        fg[x >> 6] = f;
    }
    if (x < width) {
        uint64_t f = 0;
        for (int64_t k = 0; x + k < width; ++k) {
            const T v = labels[x + k];
            f |= uint64_t(v != background) << k;
            others |= v != background && value && v != *value;
        }
        fg[x >> 6] = f;
    }
    return others == 0;
}

// Unions between thick row r, of which `mine` faces the other, and the earlier thick row q, of which `theirs` does.
template <class Id>
EMFAST_INLINE void meet(const ThickRows<Id>& rows, bool shared, int64_t r, Pair mine, int64_t q, Pair theirs,
                        const Pair (&all_of_q)[2]) {
    if (mine.none() || theirs.none()) return;
    uint64_t before = 0, now = theirs[0], met_before = 0;
    for (int64_t w = 0; w < rows.words; ++w) {
        const uint64_t after = w + 1 < rows.words ? theirs[w + 1] : 0, near = mine[w];
        const uint64_t left = (now << 1) | (before >> 63), right = (now >> 1) | (after << 63);
        const int64_t rw = r * rows.words + w, qw = q * rows.words + w;
        const uint64_t touch = near & (now | left | right);
        uint64_t met = 0;
        if (touch) {
            // Where q has bit x at all, its runs at x - 1, x and x + 1 are one.
            const uint64_t other = all_of_q[0][w] | all_of_q[1][w];
            const uint64_t turns = rows.start[rw] | rows.start[qw];
            met = touch & other;
            for (uint64_t s = met; s;) {
                const int b = std::countr_zero(s);
                join(shared, rows.parent, rows.id(rw, b), rows.id(qw, b));
                const uint64_t rest = b < 63 ? turns >> (b + 1) << (b + 1) : 0;  // the next run of either
                s = rest ? s & -(rest & -rest) : 0;
            }
            // Elsewhere the runs that end before x and begin after it are two. The union is made already where the
            // bits beside met.
            const uint64_t gone_left = ((met << 1) | (met_before >> 63)) & ~rows.start[rw];
            const uint64_t gone_right = (met & ~rows.start[rw]) >> 1;
            for (uint64_t s = touch & ~other & left & ~gone_left; s; s &= s - 1) {
                const int b = std::countr_zero(s);
                join(shared, rows.parent, rows.id(rw, b), b ? rows.id(qw, b - 1) : rows.id(qw - 1, 63));
            }
            for (uint64_t s = touch & ~other & right & ~gone_right; s; s &= s - 1) {
                const int b = std::countr_zero(s);
                join(shared, rows.parent, rows.id(rw, b), b < 63 ? rows.id(qw, b + 1) : rows.id(qw + 1, 0));
            }
        }
        met_before = met;
        before = now;
        now = after;
    }
}

template <class Id>
EMFAST_INLINE void join_thick_row(const ThickRows<Id>& rows, bool shared, int64_t r) {
    const int64_t z = r / rows.wide * 2, y = r % rows.wide * 2, wide = rows.wide;
    auto row = [&](int64_t dz, int64_t dy) { return rows.row(z + dz, y + dy); };
    auto pairs = [&](int64_t dz, int64_t dy, Pair(&all)[2]) {  // of the thick row there
        all[0] = {row(dz, dy), row(dz, dy + 1)};
        all[1] = {row(dz + 1, dy), row(dz + 1, dy + 1)};
    };
    Pair all[2];
    if (y > 0) {
        pairs(0, -2, all);
        meet(rows, shared, r, {row(0, 0), row(1, 0)}, r - 1, {row(0, -1), row(1, -1)}, all);
    }
    if (z == 0) return;
    pairs(-2, 0, all);
    meet(rows, shared, r, {row(0, 0), row(0, 1)}, r - wide, {row(-1, 0), row(-1, 1)}, all);
    if (y > 0) {
        pairs(-2, -2, all);
        meet(rows, shared, r, {row(0, 0), nullptr}, r - wide - 1, {row(-1, -1), nullptr}, all);
    }
    if (y + 2 < rows.shape.y) {
        pairs(-2, 2, all);
        meet(rows, shared, r, {row(0, 1), nullptr}, r - wide + 1, {row(-1, 2), nullptr}, all);
    }
}

// The runs of thick row r, whose mask has been read, with ids from `next` on.
template <class Id>
EMFAST_INLINE Id mark_thick_row(const ThickRows<Id>& rows, int64_t r, Id next) {
    const int64_t z = r / rows.wide * 2, y = r % rows.wide * 2;
    const Pair near{rows.row(z, y), rows.row(z, y + 1)}, far{rows.row(z + 1, y), rows.row(z + 1, y + 1)};
    uint64_t carry = 0;
    for (int64_t w = 0; w < rows.words; ++w) {
        const uint64_t f = near[w] | far[w], s = f & ~((f << 1) | carry);
        carry = f >> 63;
        rows.start[r * rows.words + w] = s;
        rows.before[r * rows.words + w] = next - 1;
        const int count = std::popcount(s);
        for (int k = 0; k < count; ++k) rows.parent[next + k] = next + k;
        next += count;
    }
    return next;
}

// to[j] = value where bit j of `low` is set, other where bit j of `high` is, else 0, for j < 8.
template <class Out>
EMFAST_INLINE void put8(Out* to, uint32_t low, Out value, uint32_t high, Out other) {
    if constexpr (sizeof(Out) == 1) {
        auto bytes = [](uint32_t bits) {  // bit j as byte j
            const uint64_t apart = bits * 0x0101010101010101u & 0x8040201008040201u;
            return (apart + 0x7F7F7F7F7F7F7F7Fu) >> 7 & 0x0101010101010101u;
        };
        const uint64_t word = bytes(low) * value | bytes(high) * other;
        std::memcpy(to, &word, 8);
    } else {
        for (int j = 0; j < 8; ++j) {
            const Out bit = Out(1) << j;
            to[j] = static_cast<Out>((low & bit ? value : Out(0)) | (high & bit ? other : Out(0)));
        }
    }
}

// The labels of row `fg` of thick row r: label[k] belongs to the k-th run, from 1 on.
template <class Id, class Out>
EMFAST_INLINE void spread_thick_row(const ThickRows<Id>& rows, int64_t r, const uint64_t* fg, const Out* labels,
                                    Out* out) {
    const Id first = rows.before[r * rows.words];
    for (int64_t w = 0; w < rows.words; ++w) {
        const int64_t rw = r * rows.words + w, n = std::min<int64_t>(64, rows.shape.x - w * 64);
        const uint64_t f = fg[w], s = rows.start[rw];
        const Out* label = labels + (rows.before[rw] - first);  // [0]: the run that is open already
        Out* to = out + w * 64;
        if (n < 64) {
            for (int64_t i = 0; i < n; ++i) {
                label += s >> i & 1;
                to[i] = f >> i & 1 ? *label : Out(0);
            }
        } else if (f == 0) {
            for (int i = 0; i < 64; ++i) to[i] = 0;
        } else if (f == ~uint64_t(0) && (s & ~uint64_t(1)) == 0) {
            const Out only = label[s & 1];
            for (int i = 0; i < 64; ++i) to[i] = only;
        } else if (const uint64_t turns = f ^ (f << 1); std::popcount(turns) <= 4) {
            spread_turns(f, s, turns, label, to);
        } else {
            for (int k = 0; k < 64; k += 8) {
                const uint32_t starts = s >> k & 255, bits = f >> k & 255, rest = starts & (starts - 1);
                const uint32_t low = (starts & -starts) - 1, high = ~low & (rest ? (rest & -rest) - 1 : ~0u);
                put8(to + k, bits & low, label[0], bits & high, label[starts != 0]);
                label += starts != 0;
                for (uint32_t more = rest; more; more &= more - 1) {  // few bytes have two starts
                    ++label;
                    for (int j = std::countr_zero(more); j < 8; ++j) to[k + j] = bits >> j & 1 ? *label : Out(0);
                }
            }
        }
    }
}

#define EMFAST_MASK(T)                                                                                      \
    EMFAST_CLONES_BITS bool read_mask(const T* labels, int64_t width, T background, std::optional<T> value, \
                                      uint64_t* fg) {                                                       \
        return read_mask_row<T>(labels, width, background, value, fg);                                      \
    }
EMFAST_FOR_WIDTHS(EMFAST_MASK)
#undef EMFAST_MASK

#define EMFAST_THICK(clones, Id)                                                                                   \
    clones void join_thick(const ThickRows<Id>& rows, bool shared, int64_t r) { join_thick_row(rows, shared, r); } \
    clones Id mark_thick(const ThickRows<Id>& rows, int64_t r, Id next) { return mark_thick_row(rows, r, next); }
EMFAST_THICK(EMFAST_CLONES_BITS, uint32_t)
EMFAST_THICK(, uint64_t)
#undef EMFAST_THICK

#define EMFAST_SPREAD(clones, Id, Out)                                                                          \
    clones void spread(const ThickRows<Id>& rows, int64_t r, const uint64_t* fg, const Out* labels, Out* out) { \
        spread_thick_row<Id, Out>(rows, r, fg, labels, out);                                                    \
    }
EMFAST_FOR_IDS_AND_LABELS(EMFAST_SPREAD)
#undef EMFAST_SPREAD

// What a look at a few voxels says: the one foreground value there may be. Nothing if there are two.
template <class T>
std::optional<T> likely_value(const View<const T>& labels, T background) {
    std::optional<T> value;
    const int64_t step = labels.size() / 8192 * 2 + 1;  // odd: not always the same column
    for (int64_t i = 0; i < labels.size(); i += step) {
        if (labels[i] == background || (value && labels[i] == *value)) continue;
        if (value) return {};
        value = labels[i];
    }
    for (int64_t i = 0; !value && i < labels.size(); ++i)
        if (labels[i] != background) value = labels[i];
    return value ? value : background;
}

template <class Id>
class MaskLabelling final : public Labelling {
  public:
    // Nothing if labels turn out to hold a second foreground value.
    template <class T>
    static std::unique_ptr<Labelling> make(Executor& ex, View<const T> labels, const Options& options) {
        const T background = static_cast<T>(options.background);
        std::optional<T> value;  // what is left to check
        if (!options.binary && !(value = likely_value(labels, background))) return nullptr;
        std::unique_ptr<MaskLabelling> made(new MaskLabelling(ex, labels.shape));
        if (!made->read(ex, labels, background, value)) return nullptr;
        if (options.periodic)
            ex.for_each(labels.size(),
                        JoinPeriodic<T, Equal<T>, ThickLinks>{labels.data, labels.shape, Equal<T>{}, background, true,
                                                              13, ThickLinks{made->rows_}});
        made->number(ex);
        return made;
    }

    void write(Executor& ex, void* out, int bytes) override {
        visit_width(bytes, [&](auto zero) { write_as(ex, static_cast<decltype(zero)*>(out)); });
    }

  private:
    struct ThickLinks {
        ThickRows<Id> rows;
        void unite(int64_t i, int64_t q) const { unite_shared(rows.parent, rows.id_at(i), rows.id_at(q)); }
    };

    MaskLabelling(Executor& ex, const Shape& shape)
        : rows_(shape),
          slabs_(rows_.count(), rows_.deep > 1 ? rows_.wide : 0, shape.voxels(), ex.threads()),
          end_(slabs_.count) {
        const int64_t words = rows_.count() * rows_.words;
        fg_ = ex.scratch<uint64_t>(shape.rows() * rows_.words);
        start_ = ex.scratch<uint64_t>(words);
        before_ = ex.scratch<Id>(words);
        parent_ = ex.scratch<Id>(rows_.count() * rows_.most_runs() + 1);
        rows_.fg = fg_.data();
        rows_.start = start_.data();
        rows_.before = before_.data();
        rows_.parent = parent_.data();
    }

    template <class T>
    bool read(Executor& ex, const View<const T>& labels, T background, std::optional<T> value) {
        uint8_t second = 0;  // a second value was seen
        ex.for_chunks(slabs_.count, 1, [&](int64_t s, int64_t, int) {
            Id next = first_id(s);
            for (int64_t r = slabs_.row(s); r < slabs_.row(s + 1); ++r) {
                const int64_t z = r / rows_.wide * 2, y = r % rows_.wide * 2;
                for (int64_t k = 0; k < 4; ++k) {
                    if (!rows_.row(z + k / 2, y + k % 2)) continue;
                    const int64_t row = (z + k / 2) * rows_.shape.y + y + k % 2;
                    if (!read_mask(labels.row(row), rows_.shape.x, background, value, rows_.fg + row * rows_.words))
                        atomic_store(second, uint8_t(1));
                }
                if (atomic_load(second)) return;
                const Id first = next;
                next = mark_thick(rows_, r, next);
                if (r < slabs_.joined_from(s)) continue;
                join_thick(rows_, false, r);
                for (Id i = first; i < next; ++i) rows_.parent[i] = rows_.parent[rows_.parent[i]];
            }
            end_[s] = next;
        });
        if (second) return false;
        ex.for_chunks(slabs_.count - 1, 1, [&](int64_t s, int64_t, int) {
            for (int64_t r = slabs_.row(s + 1); r < slabs_.joined_from(s + 1); ++r) join_thick(rows_, true, r);
        });
        return true;
    }

    Id first_id(int64_t slab) const { return static_cast<Id>(slabs_.row(slab) * rows_.most_runs()); }

    // f(run, thick row, first bit) for the runs of a slab.
    template <class F>
    void each_run_of(int64_t slab, F&& f) const {
        for (int64_t r = slabs_.row(slab); r < slabs_.row(slab + 1); ++r) {
            Id run = rows_.before[r * rows_.words] + 1;
            for (int64_t w = 0; w < rows_.words; ++w)
                for (uint64_t s = rows_.start[r * rows_.words + w]; s; s &= s - 1)
                    f(run++, r, w * 64 + std::countr_zero(s));
        }
    }

    // The first voxel, in raster order, of the run of thick row r that begins at x.
    Id first_voxel(int64_t r, int64_t x) const {
        const int64_t z = r / rows_.wide * 2, y = r % rows_.wide * 2;
        const Pair near{rows_.row(z, y), rows_.row(z, y + 1)}, far{rows_.row(z + 1, y), rows_.row(z + 1, y + 1)};
        int64_t end = x;
        for (int64_t w = x >> 6; w < rows_.words; ++w) {
            const int from = static_cast<int>(end & 63);
            const uint64_t gaps = ~(near[w] | far[w]) >> from << from;
            end = gaps ? w * 64 + std::countr_zero(gaps) : w * 64 + 64;
            if (gaps) break;
        }
        for (int64_t k = 0; k < 4; ++k) {
            const uint64_t* row = rows_.row(z + k / 2, y + k % 2);
            if (!row) continue;
            for (int64_t w = x >> 6; w * 64 < end; ++w) {
                uint64_t f = row[w];
                if (w == x >> 6) f = f >> (x & 63) << (x & 63);
                if (f == 0) continue;
                const int64_t at = w * 64 + std::countr_zero(f);
                if (at < end) return static_cast<Id>(rows_.shape.index(z + k / 2, y + k % 2, at));
                break;
            }
        }
        return 0;  // not reached: a run holds a voxel
    }

    // Roots' parents become their labels, marked with the top bit; the others' become roots.
    void number(Executor& ex) {
        const int64_t rows = rows_.shape.rows(), words = rows_.words;
        auto first = ex.scratch<Id>(rows_.count() * rows_.most_runs() + 1);
        auto marks = ex.scratch<uint64_t>(rows * words);
        auto rank = ex.scratch<int64_t>(rows);
        Id* parent = rows_.parent;
        ex.fill(marks.data(), rows * words, uint64_t(0));
        auto each_slab = [&](auto&& f) { ex.for_chunks(slabs_.count, 1, [&](int64_t s, int64_t, int) { f(s); }); };
        each_slab([&](int64_t s) {
            for (Id i = first_id(s); i < end_[s]; ++i) Compress<Id>{parent}(i);
        });
        each_slab([&](int64_t s) {
            each_run_of(s, [&](Id run, int64_t r, int64_t x) {
                if (parent[run] == run) first[run] = first_voxel(r, x);
            });
        });
        // A root is of its component's first layer of thick rows: later layers have nothing to add.
        each_slab([&](int64_t s) {
            each_run_of(s, [&](Id run, int64_t r, int64_t x) {
                const int64_t layer = r / rows_.wide * rows_.wide;
                if (parent[run] != run && parent[run] >= static_cast<Id>(rows_.before[layer * words] + 1))
                    atomic_min(first[parent[run]], first_voxel(r, x));
            });
        });
        auto mark_of = [&](Id voxel) -> std::pair<int64_t, int> {  // word, bit
            const int64_t row = voxel / rows_.shape.x, x = voxel - row * rows_.shape.x;
            return {row * words + (x >> 6), static_cast<int>(x & 63)};
        };
        each_slab([&](int64_t s) {
            for (Id i = first_id(s); i < end_[s]; ++i)
                if (parent[i] == i) {
                    const auto [word, bit] = mark_of(first[i]);
                    atomic_or(marks[word], uint64_t(1) << bit);
                }
        });
        ex.for_each(rows, [&](int64_t row) {
            rank[row] = 0;
            for (int64_t w = 0; w < words; ++w) rank[row] += std::popcount(marks[row * words + w]);
        });
        count = ex.scan(rank.data(), rank.data(), rows);
        each_slab([&](int64_t s) {
            for (Id i = first_id(s); i < end_[s]; ++i)
                if (parent[i] == i) {
                    const auto [word, bit] = mark_of(first[i]);
                    int64_t label = rank[word / words] + std::popcount(marks[word] << (63 - bit));
                    for (int64_t w = word / words * words; w < word; ++w) label += std::popcount(marks[w]);
                    first[i] = static_cast<Id>(label);
                }
        });
        each_slab([&](int64_t s) {
            for (Id i = first_id(s); i < end_[s]; ++i)
                if (parent[i] == i) parent[i] = Marks<Id>::top | first[i];
        });
    }

    template <class Out>
    void write_as(Executor& ex, Out* out) const {
        const Shape& shape = rows_.shape;
        const int64_t grain = std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, shape.x));
        ex.for_chunks(rows_.count(), grain, [&](int64_t begin, int64_t end, int) {
            std::vector<Out> labels(rows_.most_runs() + 1);
            for (int64_t r = begin; r < end; ++r) {
                const int64_t z = r / rows_.wide * 2, y = r % rows_.wide * 2, last = (r + 1) * rows_.words - 1;
                const Id before = rows_.before[r * rows_.words];
                const Id runs = rows_.before[last] + static_cast<Id>(std::popcount(rows_.start[last])) - before;
                for (Id k = 1; k <= runs; ++k) {
                    Id up = rows_.parent[before + k];
                    if (!(up & Marks<Id>::top)) up = rows_.parent[up];
                    labels[k] = static_cast<Out>(up & ~Marks<Id>::top);
                }
                for (int64_t k = 0; k < 4; ++k)
                    if (const uint64_t* fg = rows_.row(z + k / 2, y + k % 2))
                        spread(rows_, r, fg, labels.data(), out + shape.index(z + k / 2, y + k % 2, 0));
            }
        });
    }

    ThickRows<Id> rows_;
    Slabs slabs_;
    std::vector<Id> end_;
    Scratch<uint64_t> fg_, start_;
    Scratch<Id> before_, parent_;
};

}  // namespace
}  // namespace emfast::components
