// Bodies and the parallel schedule. Along x a block finds the changes of label of a row; along y and z every voxel looks
// outwards in its column until no candidate can be nearer, which is cheap where boundaries are near. A column with a voxel
// that has looked `near` voxels far without an answer is done again by one thread in linear time (Envelope), so there is no
// bad case. Neighbouring threads hold neighbouring x in both, so memory is read in whole lines.
#pragma once

#include <type_traits>

#include "core/atomic.h"
#include "distance/distance.h"
#include "distance/envelope.h"

namespace emfast::distance {

// What a word holds: a squared distance below the three flags.
template <class U>
struct Word {
    static constexpr U next_y = U(1) << (sizeof(U) * 8 - 1);  // the next voxel along y has another label
    static constexpr U next_z = U(1) << (sizeof(U) * 8 - 2);  // and along z
    static constexpr U outside = U(1) << (sizeof(U) * 8 - 3);  // the label is 0, and distances carry a sign
    static constexpr U far = outside - 1;  // the mask of the distance; itself stands for all beyond
    static constexpr int sign_shift =
        32 - int(sizeof(U) * 8) + 2;  // `outside` to the sign of a float; negative: to the right
};

// 32-bit words serve when no finite distance saturates, or probably none: they hold 64 voxels' distance along every axis.
// The second bound keeps weight * (p - q)^2 in 64 bits.
inline bool fits(const Metric& metric, const Shape& shape) { return metric.reach(shape) < Word<uint32_t>::far; }
inline bool worth_trying(const Metric& metric, const Shape& shape) {
    const uint64_t most = std::max(metric.z, std::max(metric.y, metric.x));
    return most * 4096.0 < Word<uint32_t>::far && metric.reach(shape) < 0x1p62;
}

// Two adjacent labels count as each other's background. Without sign, pairs with a 0 need no flag: the 0 itself has
// distance 0 and answers for it.
template <class T>
EMFAST_HD inline bool differ(T a, T b, bool with_sign) {
    return a != b && (with_sign || (a != 0 && b != 0));
}

template <class U>
EMFAST_HD inline U saturated(uint64_t weight, uint64_t k) {
    // k^2 first: with an axis beyond 2^31 voxels it would not fit, but neither would the volume.
    const uint64_t most = Word<U>::far;
    if (k == 0) return 0;
    return k > most || weight > most / k / k ? static_cast<U>(most) : static_cast<U>(weight * k * k);
}

// The squared distance along one axis to the next boundary, `before` steps up and `after` steps down (0: there is none).
template <class U>
EMFAST_HD inline U to_boundary(uint64_t weight, int64_t before, int64_t after) {
    const int64_t steps = before == 0 ? after : after == 0 ? before : before < after ? before : after;
    return steps == 0 ? Word<U>::far : saturated<U>(weight, static_cast<uint64_t>(steps));
}

template <class T, class U>
struct RowFlags {
    const T* labels;
    Shape shape;
    bool with_sign;

    // The flags of the voxel at p, whose label is `label`.
    EMFAST_HD U operator()(int64_t z, int64_t y, int64_t i, T label) const {
        U flags = 0;
        if (y + 1 < shape.y && differ(label, labels[i + shape.x], with_sign)) flags |= Word<U>::next_y;
        if (z + 1 < shape.z && differ(label, labels[i + shape.y * shape.x], with_sign)) flags |= Word<U>::next_z;
        if (with_sign && label == 0) flags |= Word<U>::outside;
        return flags;
    }
};

// The nearest set bit at or below and above a position, for the x passes of both transforms. `mask` has a bit per position,
// `before[w]` is the last set bit below word w, `after[w]` the first one above it; -1: none.
struct BitRow {
    uint64_t* mask;
    int64_t* before;
    int64_t* after;
    int64_t words;

    EMFAST_HD static int64_t bytes(int64_t words) { return words * (64 + 8 + 8 + 8); }
    EMFAST_HD static int64_t words_for(int64_t positions) { return (positions - 1) / 64 + 1; }

    EMFAST_HD static int lowest(uint64_t m) {
#if defined(__CUDA_ARCH__)
        return __ffsll(static_cast<long long>(m)) - 1;
#else
        return __builtin_ctzll(m);
#endif
    }
    EMFAST_HD static int highest(uint64_t m) {
#if defined(__CUDA_ARCH__)
        return 63 - __clzll(static_cast<long long>(m));
#else
        return 63 - __builtin_clzll(m);
#endif
    }

    // Gathers set(k) for k < positions. `memory` holds bytes(words).
    template <class Tile, class Set>
    EMFAST_HD BitRow(const Tile& tile, char* memory, int64_t positions, const Set& set) : words(words_for(positions)) {
        mask = reinterpret_cast<uint64_t*>(memory);
        before = reinterpret_cast<int64_t*>(mask + words);
        after = before + words;
        auto* bit = reinterpret_cast<uint8_t*>(after + words);
        tile.each(words * 64, [&](int64_t k) { bit[k] = k < positions && set(k) ? 1 : 0; });
        tile.each(words, [&](int64_t w) {
            uint64_t m = 0;
            for (int k = 0; k < 64; ++k) m |= uint64_t(bit[w * 64 + k]) << k;
            mask[w] = m;
        });
        tile.each(2, [&](int64_t side) {
            int64_t seen = -1;
            if (side == 0)
                for (int64_t w = 0; w < words; ++w) {
                    before[w] = seen;
                    if (mask[w]) seen = w * 64 + highest(mask[w]);
                }
            else
                for (int64_t w = words - 1; w >= 0; --w) {
                    after[w] = seen;
                    if (mask[w]) seen = w * 64 + lowest(mask[w]);
                }
        });
    }

    EMFAST_HD int64_t at_or_below(int64_t k) const {
        const uint64_t m = mask[k / 64] << (63 - k % 64);
        return m ? k - (63 - highest(m)) : before[k / 64];
    }
    EMFAST_HD int64_t at_or_above(int64_t k) const {
        const uint64_t m = mask[k / 64] >> (k % 64);
        return m ? k + lowest(m) : after[k / 64];
    }
};

// Rows longer than this are done by one thread each, for want of shared memory.
inline constexpr int64_t longest_tiled_row = 400;  // in words of 64 voxels

// One row along x: bit k of the row stands for a boundary between the voxels k - 1 and k.
template <class T, class U>
struct RowTile {
    RowFlags<T, U> flags;
    uint64_t weight;
    bool border;
    U* out;

    EMFAST_HD void operator()(const Tile& tile) const {
        const Shape& shape = flags.shape;
        const int64_t n = shape.x, z = tile.index / shape.y, y = tile.index % shape.y;
        const T* a = flags.labels + tile.index * n;
        const bool edge = border;
        const BitRow bits(tile, tile.shared, n + 1,
                          [=](int64_t k) { return k == 0 || k == n ? edge : a[k] != a[k - 1]; });
        tile.each(n, [&](int64_t k) {
            const T label = a[k];
            const int64_t below = bits.at_or_below(k), above = bits.at_or_above(k + 1);
            const U d = label == 0 && !flags.with_sign
                            ? U(0)
                            : to_boundary<U>(weight, below < 0 ? 0 : k - below + 1, above < 0 ? 0 : above - k);
            out[tile.index * n + k] = d | flags(z, y, tile.index * n + k, label);
        });
    }
};

template <class T, class U>
struct LongRow {
    RowFlags<T, U> flags;
    uint64_t weight;
    bool border;
    U* out;

    EMFAST_HD void operator()(int64_t r) const {
        const Shape& shape = flags.shape;
        const int64_t n = shape.x;
        const T* a = flags.labels + r * n;
        for (int64_t from = 0, to; from < n; from = to) {
            const T label = a[from];
            for (to = from + 1; to < n && a[to] == label; ++to) {
            }
            const bool left = border || from > 0, right = border || to < n;
            for (int64_t k = from; k < to; ++k) {
                const U d = label == 0 && !flags.with_sign
                                ? U(0)
                                : to_boundary<U>(weight, left ? k - from + 1 : 0, right ? to - k : 0);
                out[r * n + k] = d | flags(r / shape.y, r % shape.y, r * n + k, label);
            }
        }
    }
};

// Where results of a pass along y or z go: words for the next pass, or floats.
template <class U>
struct ToWords {
    U* out;
    static constexpr bool last = false;
    EMFAST_HD void operator()(int64_t i, uint64_t d, U raw) const {
        constexpr U keep = Word<U>::next_z | Word<U>::outside;
        out[i] = (d < Word<U>::far ? static_cast<U>(d) : Word<U>::far) | (raw & keep);
    }
    EMFAST_HD void put_site(int64_t i, uint32_t site) const { out[i] = site; }
    EMFAST_HD uint32_t site(int64_t i) const { return static_cast<uint32_t>(out[i]); }
};

template <class U>
struct ToFloats {
    float* out;
    Finish finish;
    int* saturated;  // set to 1 by a voxel beyond `far`; null where that means infinity
    static constexpr bool last = true;
    EMFAST_HD void operator()(int64_t i, uint64_t d, U raw) const {
        if (d >= Word<U>::far && saturated) atomic_store(*saturated, 1);
        const float v = d < Word<U>::far ? finish(d) : finish.infinite();
        out[i] = raw & Word<U>::outside ? -v : v;
    }
    EMFAST_HD void put_site(int64_t i, uint32_t site) const { memcpy(out + i, &site, sizeof site); }
    EMFAST_HD uint32_t site(int64_t i) const {
        uint32_t s;
        memcpy(&s, out + i, sizeof s);
        return s;
    }
};

template <class U>
struct ColumnAxis {
    const U* f;
    int64_t n, stride;  // voxels of a column and words between them
    uint64_t weight;
    U next;  // the flag of this axis
    bool border;

    EMFAST_HD int64_t start(int64_t column) const { return column / stride * stride * n + column % stride; }
    EMFAST_HD int64_t column(int64_t i) const { return i / (stride * n) * stride + i % stride; }
};

inline constexpr int64_t near = 64;

template <class U, class To>
struct ColumnNear {
    ColumnAxis<U> axis;
    To to;
    uint8_t* unfinished;  // one byte a column

    EMFAST_HD void operator()(int64_t i) const {
        constexpr uint64_t far = Word<U>::far;
        const int64_t p = i / axis.stride % axis.n;
        const U raw = axis.f[i];
        uint64_t d = raw & far;
        bool up = true, down = true, below = raw & axis.next;  // below: the edge that the next step down crosses
        if (axis.border && d) {
            const int64_t out = p + 1 < axis.n - p ? p + 1 : axis.n - p;
            const uint64_t edge = saturated<U>(axis.weight, static_cast<uint64_t>(out));
            if (edge < d) d = edge;
        }
        int64_t k = 1;
        for (; (up || down) && k <= near; ++k) {
            const uint64_t step = saturated<U>(axis.weight, static_cast<uint64_t>(k));
            if (step >= d) break;
            up = up && k <= p;
            if (up) {
                const U r = axis.f[i - k * axis.stride];
                up = !(r & axis.next);
                const uint64_t candidate = up ? (r & far) + step : step;
                if (candidate < d) d = candidate;
            }
            down = down && k < axis.n - p;
            if (down) {
                uint64_t candidate = step;
                if (below) {
                    down = false;
                } else {
                    const U r = axis.f[i + k * axis.stride];
                    candidate += r & far;
                    below = r & axis.next;
                }
                if (candidate < d) d = candidate;
            }
        }
        if ((up || down) && k > near && saturated<U>(axis.weight, static_cast<uint64_t>(k)) < d)
            atomic_store(unfinished[axis.column(i)], uint8_t(1));
        else to(i, d, raw);
    }
};

// A whole column by one thread, where ColumnNear gave up.
template <class U, class To>
struct ColumnFar {
    ColumnAxis<U> axis;
    To to;
    const uint8_t* unfinished;

    struct Values {
        const U* f;
        int64_t stride;
        EMFAST_HD uint64_t operator()(int64_t q) const { return f[q * stride] & Word<U>::far; }
    };
    struct Sites {
        To to;
        int64_t base, stride;
        EMFAST_HD void put_site(int64_t k, uint32_t q) const { to.put_site(base + k * stride, q); }
        EMFAST_HD uint32_t site(int64_t k) const { return to.site(base + k * stride); }
    };

    EMFAST_HD void operator()(int64_t column) const {
        if (!unfinished[column]) return;
        const int64_t n = axis.n, base = axis.start(column);
        const U* f = axis.f + base;
        const Values values{f, axis.stride};
        const Sites sites{to, base, axis.stride};
        const Envelope<Values, Sites> hull(values, sites, n, axis.weight, Word<U>::far);
        Descent<Values, Sites> best(hull);
        int64_t from = n, until = n;  // the run of equal labels around p
        for (int64_t p = n - 1; p >= 0; --p) {
            if (p < from) {
                until = p + 1;
                for (from = p; from > 0 && !(f[(from - 1) * axis.stride] & axis.next); --from) {
                }
            }
            const int64_t site = best(p);
            uint64_t d = site < 0 ? Word<U>::far : hull.cost(site, p);
            const U edge = to_boundary<U>(axis.weight, from > 0 || axis.border ? p - from + 1 : 0,
                                          until < n || axis.border ? until - p : 0);
            const U raw = f[p * axis.stride];
            if (raw & Word<U>::far && edge < d) d = edge;
            to(base + p * axis.stride, d, raw);
        }
    }
};

// One pass along y or z.
template <class U, class To>
void columns(Executor& ex, const ColumnAxis<U>& axis, int64_t voxels, const To& to) {
    const int64_t count = voxels / axis.n;
    auto unfinished = ex.scratch<uint8_t>(count);
    ex.fill(unfinished.data(), count, uint8_t(0));
    ex.for_each(voxels, ColumnNear<U, To>{axis, to, unfinished.data()});
    ex.for_each(count, ColumnFar<U, To>{axis, to, unfinished.data()});
}

template <class U>
ColumnAxis<U> axis_y(const U* words, const Shape& shape, const Metric& metric, bool border) {
    return {words, shape.y, shape.x, metric.y, Word<U>::next_y, border};
}

template <class U>
ColumnAxis<U> axis_z(const U* words, const Shape& shape, const Metric& metric, bool border) {
    return {words, shape.z, shape.y * shape.x, metric.z, Word<U>::next_z, border};
}

// The pass along x.
template <class T, class U>
void rows(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, const Style& style, U* out) {
    const RowFlags<T, U> flags{labels, shape, style.with_sign};
    const int64_t words = BitRow::words_for(shape.x + 1);
    if (words <= longest_tiled_row)
        ex.tiles(shape.rows(), 128, BitRow::bytes(words), RowTile<T, U>{flags, metric.x, style.border, out});
    else ex.for_each(shape.rows(), LongRow<T, U>{flags, metric.x, style.border, out});
}

// The schedule with words of type U. True if a result saturated that might be finite.
template <class U, class T>
bool transform_words(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, const Style& style,
                     float* out) {
    const int64_t voxels = shape.voxels();
    const bool sure = sizeof(U) == 8 || fits(metric, shape);
    const bool volume = metric.z != 0;
    // Words go out -> scratch -> out for a volume and scratch -> out for a picture; 64-bit words have no room in out.
    auto other = ex.scratch<U>(voxels);
    auto third = ex.scratch<U>(sizeof(U) == 8 && volume ? voxels : 0);
    U* const first = !volume ? other.data() : sizeof(U) == 8 ? third.data() : reinterpret_cast<U*>(out);

    rows(ex, labels, shape, metric, style, first);
    auto flag = ex.scratch<int>(1);
    if (!sure) ex.store(flag.data(), 0);
    const ToFloats<U> floats{out, Finish(metric, style), sure ? nullptr : flag.data()};
    const ColumnAxis<U> along_y = axis_y<U>(first, shape, metric, style.border);
    if (volume) {
        columns(ex, along_y, voxels, ToWords<U>{other.data()});
        columns(ex, axis_z<U>(other.data(), shape, metric, style.border), voxels, floats);
    } else {
        columns(ex, along_y, voxels, floats);
    }
    return !sure && ex.fetch(flag.data()) != 0;
}

#if EMFAST_BACKEND != EMFAST_CORE  // the host has a way of its own
template <class T>
void transform(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, const Style& style,
               float* out) {
    if (shape.voxels() == 0) return;
    if (worth_trying(metric, shape) && !transform_words<uint32_t>(ex, labels, shape, metric, style, out)) return;
    transform_words<uint64_t>(ex, labels, shape, metric, style, out);
}

template <class T, class U>
void row_words(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, const Style& style, U* out) {
    if (shape.voxels() > 0) rows(ex, labels, shape, metric, style, out);
}

template <class U>
void column_words(Executor& ex, const U* words, const Shape& shape, const Metric& metric, bool border, U* out) {
    if (shape.voxels() > 0) columns(ex, axis_y(words, shape, metric, border), shape.voxels(), ToWords<U>{out});
}

template <class U>
void column_distances(Executor& ex, const U* words, const Shape& shape, const Metric& metric, const Style& style,
                      float* out) {
    if (shape.voxels() == 0) return;
    const auto axis =
        metric.z ? axis_z(words, shape, metric, style.border) : axis_y(words, shape, metric, style.border);
    columns(ex, axis, shape.voxels(), ToFloats<U>{out, Finish(metric, style), nullptr});
}
#endif

// Nearest background. After the pass along x an entry is the x of the row's nearest background voxel, after y it is
// y * shape.x + x, after z the flat index. The distance so far follows from the entry, so none is stored.
struct Entries {
    Shape shape;
    Metric metric;

    EMFAST_HD static uint64_t along(uint64_t weight, int64_t a, int64_t b) {
        return weight * static_cast<uint64_t>((a - b) * (a - b));
    }
    // The squared distance from voxel (y, x) to the entry within its plane.
    EMFAST_HD uint64_t after_x(int64_t entry, int64_t x) const {
        return entry < 0 ? Word<uint64_t>::far : along(metric.x, entry, x);
    }
    EMFAST_HD uint64_t after_y(int64_t entry, int64_t y, int64_t x) const {
        return entry < 0 ? Word<uint64_t>::far
                         : along(metric.y, entry / shape.x, y) + along(metric.x, entry % shape.x, x);
    }
};

template <class T>
struct NearestInRow {
    const T* labels;
    Shape shape;
    int64_t* out;

    // The nearer of two neighbours (-1: there is none), the lower one where they tie.
    EMFAST_HD static int64_t nearer(int64_t k, int64_t below, int64_t above) {
        return below < 0 ? above : above < 0 || k - below <= above - k ? below : above;
    }
    EMFAST_HD void operator()(const Tile& tile) const {
        const int64_t n = shape.x;
        const T* a = labels + tile.index * n;
        int64_t* to = out + tile.index * n;
        const BitRow bits(tile, tile.shared, n, [=](int64_t k) { return a[k] == 0; });
        tile.each(n, [&](int64_t k) { to[k] = nearer(k, bits.at_or_below(k), bits.at_or_above(k)); });
    }
};

template <class T>
struct NearestInLongRow {
    const T* labels;
    Shape shape;
    int64_t* out;

    EMFAST_HD void operator()(int64_t r) const {
        const int64_t n = shape.x;
        int64_t below = -1, above = -1;
        for (int64_t k = 0; k < n; ++k) {
            if (labels[r * n + k] == 0) below = k;
            if (above < k)
                for (above = k; above < n && labels[r * n + above] != 0; ++above) {
                }
            out[r * n + k] = NearestInRow<T>::nearer(k, below, above < n ? above : -1);
        }
    }
};

// One column along y or z by one thread: the envelope's ties go to the first site, which has the smallest index.
template <bool along_z>
struct NearestInColumn {
    Entries entries;
    const int64_t* in;
    int64_t* out;

    struct Values {
        const Entries& entries;
        const int64_t* in;
        int64_t stride, y, x;
        EMFAST_HD uint64_t operator()(int64_t q) const {
            return along_z ? entries.after_y(in[q * stride], y, x) : entries.after_x(in[q * stride], x);
        }
    };
    struct Sites {
        int64_t* out;
        int64_t stride;
        EMFAST_HD void put_site(int64_t k, uint32_t q) const { out[k * stride] = q; }
        EMFAST_HD uint32_t site(int64_t k) const { return static_cast<uint32_t>(out[k * stride]); }
    };

    EMFAST_HD void operator()(int64_t column) const {
        const Shape& shape = entries.shape;
        const int64_t plane = shape.y * shape.x, x = column % shape.x;
        const int64_t n = along_z ? shape.z : shape.y, stride = along_z ? plane : shape.x;
        const int64_t base = along_z ? column : column / shape.x * plane + x;
        const int64_t scale = stride;  // what one step is worth in the index
        const Values values{entries, in + base, stride, along_z ? column / shape.x : 0, x};
        const Sites sites{out + base, stride};
        const Envelope<Values, Sites> hull(values, sites, n, along_z ? entries.metric.z : entries.metric.y,
                                           Word<uint64_t>::far);
        Descent<Values, Sites> best(hull);
        for (int64_t p = n - 1; p >= 0; --p) {
            const int64_t q = best(p);
            out[base + p * stride] = q < 0 ? -1 : q * scale + in[base + q * stride];
        }
    }
};

struct MeasureBody {
    const int64_t* nearest;
    Shape shape;
    Metric metric;
    Finish finish;
    float* out;

    EMFAST_HD void operator()(int64_t i) const {
        if (nearest[i] < 0) {
            out[i] = finish.infinite();
            return;
        }
        const Point a = point(shape, i), b = point(shape, nearest[i]);
        out[i] = finish(Entries::along(metric.z, a.z, b.z) + Entries::along(metric.y, a.y, b.y) +
                        Entries::along(metric.x, a.x, b.x));
    }
};

#if EMFAST_BACKEND != EMFAST_CORE  // the host has a way of its own
template <class T>
void nearest(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, int64_t* out) {
    if (shape.voxels() == 0) return;
    auto other = ex.scratch<int64_t>(shape.voxels());
    const bool volume = metric.z != 0;
    int64_t* const first = volume ? out : other.data();
    const int64_t words = BitRow::words_for(shape.x);
    if (words <= longest_tiled_row)
        ex.tiles(shape.rows(), 128, BitRow::bytes(words), NearestInRow<T>{labels, shape, first});
    else ex.for_each(shape.rows(), NearestInLongRow<T>{labels, shape, first});
    const Entries entries{shape, metric};
    int64_t* const second = volume ? other.data() : out;
    ex.for_each(shape.z * shape.x, NearestInColumn<false>{entries, first, second});
    if (volume) ex.for_each(shape.y * shape.x, NearestInColumn<true>{entries, second, out});
}
#endif

void measure(Executor& ex, const int64_t* nearest, const Shape& shape, const Metric& metric, bool squared, float* out) {
    Style style;
    style.squared = squared;
    ex.for_each(shape.voxels(), MeasureBody{nearest, shape, metric, Finish(metric, style), out});
}

// The volume of `barrier` at twice the resolution: voxels at even positions, the faces on their positive side next to them.
template <class T>
struct Doubled {
    const T* labels;
    const uint8_t* graph;
    int64_t graph_bytes;
    Shape shape, twice;
    bool border;
    uint8_t* out;

    EMFAST_HD void operator()(int64_t i) const {
        const Point at = point(twice, i);
        const int64_t voxel = shape.index(twice.z == 1 ? 0 : at.z / 2, at.y / 2, at.x / 2);
        const int odd_z = static_cast<int>(at.z % 2), odd_y = static_cast<int>(at.y % 2),
                  odd_x = static_cast<int>(at.x % 2);
        bool open = labels[voxel] != 0;
        if (odd_z + odd_y + odd_x == 1) {
            const int axis = (odd_x ? 2 : odd_y ? 1 : 0) - (twice.z == 1 ? 1 : 0);
            open = open && (graph[voxel * graph_bytes] >> (2 * axis) & 1);
        }
        if (border && ((at.z == twice.z - 1 && twice.z > 1) || at.y == twice.y - 1 || at.x == twice.x - 1))
            open = false;
        out[i] = open ? 1 : 0;
    }
};

struct EveryOther {
    const float* from;
    Shape shape, twice;
    float* out;

    EMFAST_HD void operator()(int64_t i) const {
        const Point at = point(shape, i);
        out[i] = from[twice.index(twice.z == 1 ? 0 : 2 * at.z, 2 * at.y, 2 * at.x)];
    }
};

template <class T>
void barrier(Executor& ex, const T* labels, const uint8_t* graph, int64_t graph_bytes, const Shape& shape,
             const Metric& metric, const Style& style, float* out) {
    if (shape.voxels() == 0) return;
    const Shape twice{metric.z ? 2 * shape.z : 1, 2 * shape.y, 2 * shape.x};
    auto open = ex.scratch<uint8_t>(twice.voxels());
    auto distances = ex.scratch<float>(twice.voxels());
    ex.for_each(twice.voxels(), Doubled<T>{labels, graph, graph_bytes, shape, twice, style.border, open.data()});
    Metric half = metric;
    half.unit = metric.unit / 2;
    half.unit_squared = metric.unit_squared / 4;
    transform<uint8_t>(ex, open.data(), twice, half, style, distances.data());
    ex.for_each(shape.voxels(), EveryOther{distances.data(), shape, twice, out});
}

#define EMFAST_INSTANTIATE(T)                                                                                         \
    template void transform<T>(Executor&, const T*, const Shape&, const Metric&, const Style&, float*);               \
    template void nearest<T>(Executor&, const T*, const Shape&, const Metric&, int64_t*);                             \
    template void barrier<T>(Executor&, const T*, const uint8_t*, int64_t, const Shape&, const Metric&, const Style&, \
                             float*);                                                                                 \
    template void row_words<T, uint32_t>(Executor&, const T*, const Shape&, const Metric&, const Style&, uint32_t*);  \
    template void row_words<T, uint64_t>(Executor&, const T*, const Shape&, const Metric&, const Style&, uint64_t*);

#define EMFAST_INSTANTIATE_WORDS(U)                                                            \
    template void column_words<U>(Executor&, const U*, const Shape&, const Metric&, bool, U*); \
    template void column_distances<U>(Executor&, const U*, const Shape&, const Metric&, const Style&, float*);

}  // namespace emfast::distance
