// The host's own way through the transform; the plain schedule of distance_body.h gives the same bits (tests compare them).
//
// Words stay in place, in the output itself. Rows are filled run by run from tables of squares. Along y and z a group of
// neighbouring columns, one cache line wide, is copied into a small buffer, and every row of it looks outwards step by step,
// all lanes at once, until no candidate can be nearer. Squares below 2^15 are most of what there is, so a group is tried
// in 16-bit lanes first and done again in wider ones if a result saturates. A group that has looked `near` rows far is
// finished by envelopes. A slice goes through x and y while it is in cache.
#include "distance/distance_body.h"

#include <bit>
#include <vector>

#include "core/dtypes.h"
#include "core/isa.h"

namespace emfast::distance {

#if EMFAST_BACKEND == EMFAST_CORE

namespace {

// ---- Along x

template <class U>
struct Squares {
    std::vector<U> up,
        down;  // up[k] = weight (k + 1)^2; the last m of down, before the padding, are m^2 ... 1 times weight
    int64_t n;

    Squares(uint64_t weight, int64_t n) : up(n + padding), down(n + padding), n(n) {
        for (int64_t k = 0; k < n; ++k) down[n - 1 - k] = up[k] = saturated<U>(weight, static_cast<uint64_t>(k + 1));
    }
    const U* falling(int64_t m) const { return down.data() + n - m; }

    static constexpr int64_t padding = 8;  // copies are of eight words
};

template <class T, class U>
struct Rows {
    const T* labels;
    Shape shape;
    bool border, with_sign;
    const Squares<U>* squares;
    U* out;
};

// The end of the run of equal labels that starts at x.
template <class T>
EMFAST_INLINE int64_t run_end(const T* a, int64_t x, int64_t n) {
    const T label = a[x++];
    if constexpr (sizeof(T) < 8 && std::endian::native == std::endian::little) {
        constexpr int per = 8 / sizeof(T);
        const uint64_t pattern = label * (~uint64_t(0) / static_cast<T>(~T(0)));
        for (; x + per <= n; x += per) {
            uint64_t eight;
            std::memcpy(&eight, a + x, 8);
            eight ^= pattern;
            if (eight) return x + __builtin_ctzll(eight) / int(8 * sizeof(T));
        }
    }
    while (x < n && a[x] == label) ++x;
    return x;
}

// Copies m words, and up to seven more.
template <class U>
EMFAST_INLINE void copy_eights(const U* from, U* to, int64_t m) {
    for (int64_t k = 0; k < m; k += 8) std::memcpy(to + k, from + k, 8 * sizeof(U));
}

template <class T, class U>
EMFAST_INLINE void flag_row(const T* a, const T* next_y, const T* next_z, const U* line, int64_t n, bool with_sign,
                            U* out) {
    if (with_sign)
        for (int64_t x = 0; x < n; ++x)
            out[x] = line[x] | (a[x] != next_y[x] ? Word<U>::next_y : U(0)) |
                     (a[x] != next_z[x] ? Word<U>::next_z : U(0)) | (a[x] == 0 ? Word<U>::outside : U(0));
    else
        for (int64_t x = 0; x < n; ++x) {
            const U y = (a[x] != next_y[x]) & (a[x] != 0) & (next_y[x] != 0) ? Word<U>::next_y : U(0);
            const U z = (a[x] != next_z[x]) & (a[x] != 0) & (next_z[x] != 0) ? Word<U>::next_z : U(0);
            out[x] = line[x] | y | z;
        }
}

// `line` holds a row and padding.
template <class T, class U>
EMFAST_INLINE void fill_rows(const Rows<T, U>& rows, int64_t begin, int64_t end, U* line) {
    const int64_t n = rows.shape.x, plane = rows.shape.y * n;
    for (int64_t r = begin; r < end; ++r) {
        const T* a = rows.labels + r * n;
        U* out = rows.out + r * n;
        for (int64_t x = 0; x < n;) {
            const int64_t to = run_end(a, x, n), m = to - x;
            if (a[x] == 0 && !rows.with_sign) {
                if (m == n) break;
                std::memset(line + x, 0, m * sizeof(U));
            } else {
                const bool left = rows.border || x > 0, right = rows.border || to < n;
                const int64_t rising = left ? (right ? (m + 1) / 2 : m) : 0;
                if (!left && !right) std::fill(line + x, line + to, Word<U>::far);
                copy_eights(rows.squares->up.data(), line + x, rising);
                if (right) copy_eights(rows.squares->falling(m - rising), line + x + rising, m - rising);
            }
            x = to;
        }
        if (!rows.with_sign && a[0] == 0 && run_end(a, 0, n) == n) {
            std::memset(out, 0, n * sizeof(U));
            continue;
        }
        const T* next_y = r % rows.shape.y + 1 < rows.shape.y ? a + n : a;
        const T* next_z = r / rows.shape.y + 1 < rows.shape.z ? a + plane : a;
        flag_row(a, next_y, next_z, line, n, rows.with_sign, out);
    }
}

// ---- Along y and z

template <class U>
struct Axis {
    U* words;
    int64_t n, stride;
    uint64_t weight;
    U next;
    bool border;
    const ToFloats<U>* floats;  // null unless this is the last axis
    bool single;  // a float's sqrt gives the bits of Finish, for squares below 2^24
};

// A group of columns is `lanes` wide; lane types are chosen for the vector instructions that compare them.
template <class L>
struct Group {
    typedef L Vector __attribute__((vector_size(32)));
    static constexpr int lanes = 64 / sizeof(L);
    static constexpr int64_t far = sizeof(L) == 2 ? 0x7fff : sizeof(L) == 4 ? Word<uint32_t>::far : Word<uint64_t>::far;
    static constexpr int64_t near = sizeof(L) == 2 ? 192 : sizeof(L) == 4 ? 64 : 16;
    static constexpr int64_t padding = near + 4;

    // Rows of one cache line: f the values, with padding of `far` on both sides; d the results; e all ones where the label
    // of the next row is another.
    L *f, *d, *e;
    L costs[padding + 1];
    L cap;  // steps that saturate

    static int64_t bytes(int64_t n) { return 64 * (3 * n + 2 * padding); }

    void place(char* memory, int64_t n, uint64_t weight) {
        f = reinterpret_cast<L*>(memory);
        std::fill(f, f + padding * lanes, static_cast<L>(far));
        f += padding * lanes;
        d = f + n * lanes;
        std::fill(d, d + padding * lanes, static_cast<L>(far));
        d += padding * lanes;
        e = d + n * lanes;
        for (int64_t k = 0; k <= padding; ++k)
            costs[k] = static_cast<L>(std::min<uint64_t>(far, saturated<uint64_t>(weight, static_cast<uint64_t>(k))));
        cap = static_cast<L>(std::min<double>(far, std::sqrt(double(far) / double(weight)) + 2));
    }
};

template <class V>
EMFAST_INLINE bool any(const V& mask) {
    typedef int64_t Quads __attribute__((vector_size(32)));
    Quads q;
    std::memcpy(&q, &mask, sizeof q);
    return ((q[0] | q[1]) | (q[2] | q[3])) != 0;
}

enum class Load { nothing, unbounded, plain, edges };

// Copies `count` columns from `base` on into the group.
template <class L, class U>
EMFAST_INLINE Load load(const Axis<U>& axis, const Group<L>& group, int64_t base, int count) {
    constexpr int lanes = Group<L>::lanes;
    constexpr U far = static_cast<U>(Group<L>::far);
    U all[lanes] = {}, least[lanes], part[lanes] = {};
    for (int l = 0; l < lanes; ++l) least[l] = far;
    for (int64_t p = 0; p < axis.n; ++p) {
        const U* row = axis.words + base + p * axis.stride;
        if (count < lanes) {
            std::memcpy(part, row, count * sizeof(U));
            row = part;
        }
        L* to = group.f + p * lanes;
        for (int l = 0; l < lanes; ++l) {
            const U raw = row[l], value = raw & Word<U>::far, v = value < far ? value : far;
            all[l] |= raw;
            least[l] = v < least[l] ? v : least[l];
            to[l] = static_cast<L>(v);
        }
    }
    U every = 0, lowest = far;
    for (int l = 0; l < lanes; ++l) {
        every |= all[l];
        lowest = least[l] < lowest ? least[l] : lowest;
    }
    if (!(every & Word<U>::far)) return Load::nothing;
    if (!(every & axis.next)) return lowest == far && !axis.border ? Load::unbounded : Load::plain;
    for (int64_t p = 0; p < axis.n; ++p) {
        const U* row = axis.words + base + p * axis.stride;
        if (count < lanes) {
            std::memcpy(part, row, count * sizeof(U));
            row = part;
        }
        for (int l = 0; l < lanes; ++l) group.e[p * lanes + l] = row[l] & axis.next ? static_cast<L>(-1) : L(0);
    }
    return Load::edges;
}

// d = min(f, weight * steps^2) with the steps to the next change of label in the column, or to the border.
template <class L, class U>
EMFAST_INLINE void boundaries(const Axis<U>& axis, const Group<L>& group, bool edges) {
    constexpr int lanes = Group<L>::lanes;
    const L cap = group.cap, weight = static_cast<L>(std::min<uint64_t>(axis.weight, Group<L>::far));
    L steps[lanes];
    for (int l = 0; l < lanes; ++l) steps[l] = axis.border ? L(0) : cap;
    for (int64_t p = 0; p < axis.n; ++p) {
        const L* e = group.e + (p - 1) * lanes;
        L* d = group.d + p * lanes;
        if (edges && p > 0)
            for (int l = 0; l < lanes; ++l) steps[l] &= static_cast<L>(~e[l]);
        for (int l = 0; l < lanes; ++l) {
            steps[l] = static_cast<L>(steps[l] < cap ? steps[l] + 1 : cap);
            d[l] = steps[l];
        }
    }
    for (int l = 0; l < lanes; ++l) steps[l] = axis.border ? L(0) : cap;
    for (int64_t p = axis.n - 1; p >= 0; --p) {
        const L *e = group.e + p * lanes, *f = group.f + p * lanes;
        L* d = group.d + p * lanes;
        if (edges)
            for (int l = 0; l < lanes; ++l) steps[l] &= static_cast<L>(~e[l]);
        for (int l = 0; l < lanes; ++l) {
            steps[l] = static_cast<L>(steps[l] < cap ? steps[l] + 1 : cap);
            const L m = d[l] < steps[l] ? d[l] : steps[l];
            const L square = static_cast<L>(m * m * weight);
            const L bound = m < cap - 1 ? square : static_cast<L>(Group<L>::far);
            d[l] = f[l] < bound ? f[l] : bound;
        }
    }
}

enum class Search { done, saturated, stalled };

// d = min over k of f[p +- k] + costs[k], from the d that is there.
template <class L>
EMFAST_INLINE Search search(const Group<L>& group, int64_t n) {
    typedef typename Group<L>::Vector V;
    typedef std::make_signed_t<L> S;
    typedef S Signed __attribute__((vector_size(32)));
    constexpr int lanes = Group<L>::lanes, half = lanes / 2;
    const V far = V{} + static_cast<L>(Group<L>::far);
    V reached = V{};
    for (int64_t p = 0; p < n; ++p) {
        V a, b;
        L* d = group.d + p * lanes;
        std::memcpy(&a, d, 32);
        std::memcpy(&b, d + half, 32);
        const L *up = group.f + p * lanes, *down = up;
        int64_t k = 1;
        for (;; k += 4) {
            const Signed most = (Signed)(a > b ? a : b);
            if (!any(most > static_cast<S>(group.costs[k])) || k >= n) break;
            if (k + 3 > Group<L>::near) return Search::stalled;
            for (int step = 0; step < 4; ++step) {
                up -= lanes;
                down += lanes;
                V ua, ub, da, db;
                std::memcpy(&ua, up, 32);
                std::memcpy(&ub, up + half, 32);
                std::memcpy(&da, down, 32);
                std::memcpy(&db, down + half, 32);
                const L cost = group.costs[k + step];
                ua = (ua < da ? ua : da) + cost;
                ub = (ub < db ? ub : db) + cost;
                a = a < ua ? a : ua;
                b = b < ub ? b : ub;
            }
        }
        if (k > 1) {
            std::memcpy(d, &a, 32);
            std::memcpy(d + half, &b, 32);
        }
        if (sizeof(L) == 2) {
            reached = (V)(a > b ? a : b);
            if (any((Signed)reached >= (Signed)far)) return Search::saturated;
        }
    }
    return Search::done;
}

template <class L>
struct LaneValues {
    const L* f;
    EMFAST_INLINE uint64_t operator()(int64_t q) const { return static_cast<uint64_t>(f[q * Group<L>::lanes]); }
};

struct SiteStack {
    uint32_t* sites;
    EMFAST_INLINE void put_site(int64_t k, uint32_t q) const { sites[k] = q; }
    EMFAST_INLINE uint32_t site(int64_t k) const { return sites[k]; }
};

// What search could not finish.
template <class L>
void envelopes(const Group<L>& group, int64_t n, uint64_t weight, uint32_t* stack) {
    constexpr int lanes = Group<L>::lanes;
    constexpr uint64_t far = static_cast<uint64_t>(Group<L>::far);
    const SiteStack sites{stack};
    for (int l = 0; l < lanes; ++l) {
        const LaneValues<L> values{group.f + l};
        const Envelope<LaneValues<L>, SiteStack> hull(values, sites, n, weight, far);
        if (hull.count == 0) continue;
        Descent<LaneValues<L>, SiteStack> best(hull);
        for (int64_t p = n - 1; p >= 0; --p) {
            L& d = group.d[p * lanes + l];
            const uint64_t found = hull.cost(best(p), p);
            if (found < static_cast<uint64_t>(d)) d = static_cast<L>(found);
        }
    }
}

template <class L, class U>
EMFAST_INLINE void finish_row(const Axis<U>& axis, const L* d, const U* raw, float* v) {
    constexpr int lanes = Group<L>::lanes;
    const Finish& finish = axis.floats->finish;
    L bits = 0;
    for (int l = 0; l < lanes; ++l) bits |= d[l];
    if (axis.single && static_cast<uint64_t>(bits) < uint64_t(1) << 24) {
        const float unit = static_cast<float>(finish.unit);
        for (int l = 0; l < lanes; ++l) v[l] = std::sqrt(static_cast<float>(static_cast<int32_t>(d[l]))) * unit;
    } else if (finish.squared) {
        for (int l = 0; l < lanes; ++l) v[l] = static_cast<float>(static_cast<double>(d[l]) * finish.unit_squared);
    } else {
        for (int l = 0; l < lanes; ++l) v[l] = static_cast<float>(std::sqrt(static_cast<double>(d[l])) * finish.unit);
    }
    if (sizeof(L) == sizeof(U)) {
        bool beyond = false;
        for (int l = 0; l < lanes; ++l) {
            beyond |= d[l] >= Group<L>::far;
            v[l] = d[l] >= Group<L>::far ? std::numeric_limits<float>::infinity() : v[l];
        }
        if (beyond && axis.floats->saturated) atomic_store(*axis.floats->saturated, 1);
    }
    if (finish.tanh > 0)
        for (int l = 0; l < lanes; ++l) v[l] = finish.shape(v[l]);
    else
        for (int l = 0; l < lanes; ++l) v[l] = v[l] < finish.clip ? v[l] : finish.clip;
    for (int l = 0; l < lanes; ++l) v[l] = raw[l] & Word<U>::outside ? -v[l] : v[l];
}

// Writes d, with the flags that the next axis needs, or as floats.
template <class L, class U>
EMFAST_INLINE void store(const Axis<U>& axis, const Group<L>& group, int64_t base, int count) {
    constexpr int lanes = Group<L>::lanes;
    constexpr U keep = Word<U>::next_z | Word<U>::outside;
    U part[lanes] = {};
    for (int64_t p = 0; p < axis.n; ++p) {
        U* row = axis.words + base + p * axis.stride;
        const L* d = group.d + p * lanes;
        std::memcpy(part, row, count * sizeof(U));
        if (!axis.floats) {
            for (int l = 0; l < lanes; ++l) part[l] = (part[l] & keep) | static_cast<U>(d[l]);
            std::memcpy(row, part, count * sizeof(U));
            continue;
        }
        U any_bit = 0;
        for (int l = 0; l < lanes; ++l) any_bit |= part[l];
        if (any_bit == 0 && sizeof(U) == sizeof(float)) continue;  // already 0.0f
        float v[lanes];
        finish_row(axis, d, part, v);
        std::memcpy(axis.floats->out + base + p * axis.stride, v, count * sizeof(float));
    }
}

// All of one group of `count` columns; false if lanes of this width are too narrow.
template <class L, class U>
EMFAST_INLINE bool transform_group(const Axis<U>& axis, const Group<L>& group, int64_t base, int count,
                                   uint32_t* stack) {
    const Load found = load(axis, group, base, count);
    const size_t bytes = axis.n * 64;
    if (found == Load::nothing && (!axis.floats || sizeof(U) == sizeof(float))) return true;
    if (found == Load::unbounded && sizeof(L) < sizeof(U)) return false;
    if (found == Load::edges || (axis.border && found != Load::nothing)) boundaries(axis, group, found == Load::edges);
    else std::memcpy(group.d, group.f, bytes);
    if (found == Load::plain || found == Load::edges) {
        const Search end = search(group, axis.n);
        if (end == Search::saturated) return false;
        if (end == Search::stalled) envelopes(group, axis.n, axis.weight, stack);
    }
    store(axis, group, base, count);
    return true;
}

// What a worker keeps from group to group.
struct Workplace {
    std::vector<char> memory;
    std::vector<uint32_t> stack;
    Group<uint16_t> narrow;
    Group<int32_t> middle;
    Group<int64_t> wide;
    int64_t skip = 0, penalty = 0;  // groups to go before 16 bits are tried again

    template <class U>
    void prepare(int64_t n, uint64_t weight) {
        stack.resize(n);
        if constexpr (sizeof(U) == 4) {
            memory.resize(Group<uint16_t>::bytes(n) + Group<int32_t>::bytes(n) + 64);
            char* at = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
            narrow.place(at, n, weight);
            middle.place(at + Group<uint16_t>::bytes(n), n, weight);
        } else {
            memory.resize(Group<int64_t>::bytes(n) + 64);
            wide.place(memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64, n, weight);
        }
    }
};

// `count` adjacent columns from `base` on.
EMFAST_CLONES void strip(const Axis<uint32_t>& axis, int64_t base, int64_t count, Workplace& place) {
    constexpr int narrow = Group<uint16_t>::lanes, middle = Group<int32_t>::lanes;
    for (int64_t from = 0; from < count; from += narrow) {
        const int width = static_cast<int>(std::min<int64_t>(narrow, count - from));
        if (place.skip > 0) {
            --place.skip;
        } else if (transform_group(axis, place.narrow, base + from, width, nullptr)) {
            place.penalty = 0;
            continue;
        } else {
            place.skip = place.penalty = std::min<int64_t>(2 * place.penalty + 1, 63);
        }
        for (int part = 0; part < width; part += middle)
            transform_group(axis, place.middle, base + from + part, std::min(middle, width - part), place.stack.data());
    }
}

EMFAST_CLONES void strip(const Axis<uint64_t>& axis, int64_t base, int64_t count, Workplace& place) {
    constexpr int lanes = Group<int64_t>::lanes;
    for (int64_t from = 0; from < count; from += lanes)
        transform_group(axis, place.wide, base + from, static_cast<int>(std::min<int64_t>(lanes, count - from)),
                        place.stack.data());
}

// Columns that are too few or too long for groups, one by one.
template <class U>
void single_column(const Axis<U>& axis, int64_t base, std::vector<U>& memory) {
    const int64_t n = axis.n;
    memory.resize(2 * n);
    U *f = memory.data(), *d = f + n;
    for (int64_t p = 0; p < n; ++p) f[p] = axis.words[base + p * axis.stride];
    const uint8_t yes = 1;
    const ColumnAxis<U> column{f, n, 1, axis.weight, axis.next, axis.border};
    ColumnFar<U, ToWords<U>>{column, ToWords<U>{d}, &yes}(0);
    for (int64_t p = 0; p < n; ++p) {
        if (axis.floats) (*axis.floats)(base + p * axis.stride, d[p] & Word<U>::far, d[p]);
        else axis.words[base + p * axis.stride] = d[p];
    }
}

// The pass along an axis over `blocks` blocks of `stride` adjacent columns each, `block` words apart.
template <class U>
class Pass {
  public:
    Pass(Executor& ex, const Axis<U>& axis, int64_t blocks, int64_t block)
        : ex_(ex),
          axis_(axis),
          blocks_(blocks),
          block_(block),
          grouped_(axis.stride >= 8 && axis.n <= int64_t(1) << 16),
          width_(grouped_ ? 64 : 1),
          strips_((axis.stride - 1) / width_ + 1),
          places_(grouped_ ? ex.threads() : 0),
          columns_(grouped_ ? 0 : ex.threads()) {
        const bool try_narrow = axis.weight * 16 <= 0x7fff;
        for (auto& place : places_) {
            place.template prepare<U>(axis.n, axis.weight);
            if (!try_narrow) place.skip = std::numeric_limits<int64_t>::max();
        }
    }

    void run() {
        const int64_t pieces = blocks_ * strips_;
        ex_.for_chunks(pieces, std::clamp<int64_t>(pieces / (ex_.threads() * 16), 1, 64),
                       [&](int64_t begin, int64_t end, int worker) {
                           for (int64_t i = begin; i < end; ++i) piece(i / strips_, i % strips_, worker);
                       });
    }
    void block(int64_t b, int worker) {
        for (int64_t s = 0; s < strips_; ++s) piece(b, s, worker);
    }

  private:
    void piece(int64_t b, int64_t s, int worker) {
        const int64_t from = s * width_, base = b * block_ + from;
        if (grouped_) strip(axis_, base, std::min(width_, axis_.stride - from), places_[worker]);
        else single_column(axis_, base, columns_[worker]);
    }

    Executor& ex_;
    const Axis<U> axis_;
    const int64_t blocks_, block_;
    const bool grouped_;
    const int64_t width_, strips_;
    std::vector<Workplace> places_;
    std::vector<std::vector<U>> columns_;
};

#define EMFAST_ROWS(T, U)                                                                  \
    EMFAST_CLONES void rows(const Rows<T, U>& task, int64_t begin, int64_t end, U* line) { \
        fill_rows(task, begin, end, line);                                                 \
    }
#define EMFAST_BOTH(T) EMFAST_ROWS(T, uint32_t) EMFAST_ROWS(T, uint64_t)
EMFAST_FOR_WIDTHS(EMFAST_BOTH)

template <class U>
Axis<U> axis_y(U* words, const Shape& shape, const Metric& metric, bool border, const ToFloats<U>* floats,
               bool single) {
    return {words, shape.y, shape.x, metric.y, Word<U>::next_y, border, floats, single};
}

template <class U>
Axis<U> axis_z(U* words, const Shape& shape, const Metric& metric, bool border, const ToFloats<U>* floats,
               bool single) {
    return {words, shape.z, shape.y * shape.x, metric.z, Word<U>::next_z, border, floats, single};
}

// Whether a float's sqrt gives the bits of Finish, for squares below 2^24.
bool float_sqrt_serves(const Metric& metric, const Style& style) {
    int exponent;
    return !style.squared && std::frexp(metric.unit, &exponent) == 0.5 && std::abs(exponent) < 64;
}

// The pass along x by itself.
template <class T, class U>
void all_rows(Executor& ex, const Rows<T, U>& task, std::vector<std::vector<U>>& lines) {
    ex.for_chunks(task.shape.rows(), std::max<int64_t>(1, (1 << 16) / task.shape.x),
                  [&](int64_t begin, int64_t end, int worker) { rows(task, begin, end, lines[worker].data()); });
}

// True if a result saturated that might be finite.
template <class U, class T>
bool transform_fast(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, const Style& style,
                    float* out) {
    const int64_t plane = shape.y * shape.x;
    const bool volume = metric.z != 0;
    auto wide = ex.scratch<U>(sizeof(U) == 8 ? shape.voxels() : 0);
    U* const words = sizeof(U) == 8 ? wide.data() : reinterpret_cast<U*>(out);

    int saturated = 0;
    const bool sure = sizeof(U) == 8 || fits(metric, shape);
    const ToFloats<U> floats{out, Finish(metric, style), sure ? nullptr : &saturated};
    const bool single = float_sqrt_serves(metric, style);

    const Squares<U> squares(metric.x, shape.x);
    const Rows<T, U> task{labels, shape, style.border, style.with_sign, &squares, words};
    std::vector<std::vector<U>> lines(ex.threads(), std::vector<U>(shape.x + Squares<U>::padding));
    Pass<U> y(ex, axis_y(words, shape, metric, style.border, volume ? nullptr : &floats, single), shape.z, plane);
    if (shape.z >= 4 * ex.threads()) {
        ex.for_chunks(shape.z, 1, [&](int64_t z, int64_t, int worker) {
            rows(task, z * shape.y, (z + 1) * shape.y, lines[worker].data());
            y.block(z, worker);
        });
    } else {
        all_rows(ex, task, lines);
        y.run();
    }
    if (volume) Pass<U>(ex, axis_z(words, shape, metric, style.border, &floats, single), 1, 0).run();
    return saturated != 0;
}

// ---- Nearest background: columns are copied out in strips of a few lines, and their distances worked out once

struct ColumnValues {
    const uint64_t* f;
    uint64_t operator()(int64_t q) const { return f[q]; }
};

template <bool along_z>
void nearest_columns(Executor& ex, const Entries& entries, int64_t* words) {
    const Shape& shape = entries.shape;
    const int64_t plane = shape.y * shape.x, n = along_z ? shape.z : shape.y, stride = along_z ? plane : shape.x;
    const uint64_t weight = along_z ? entries.metric.z : entries.metric.y;
    constexpr int64_t width = 16;
    const int64_t strips = (stride - 1) / width + 1;
    ex.for_chunks((along_z ? 1 : shape.z) * strips, 4, [&](int64_t begin, int64_t end, int) {
        std::vector<int64_t> entry(n * width);
        std::vector<uint64_t> f(n * width);
        std::vector<uint32_t> stack(n);
        const SiteStack sites{stack.data()};
        for (int64_t i = begin; i < end; ++i) {
            const int64_t first = i % strips * width, count = std::min(width, stride - first);
            int64_t* base = words + i / strips * plane + first;
            for (int64_t p = 0; p < n; ++p)
                for (int64_t l = 0; l < count; ++l) {
                    const int64_t e = base[p * stride + l], at = first + l;
                    entry[l * n + p] = e;
                    f[l * n + p] = along_z ? entries.after_y(e, at / shape.x, at % shape.x) : entries.after_x(e, at);
                }
            for (int64_t l = 0; l < count; ++l) {
                const ColumnValues values{f.data() + l * n};
                const Envelope<ColumnValues, SiteStack> hull(values, sites, n, weight, Word<uint64_t>::far);
                Descent<ColumnValues, SiteStack> best(hull);
                for (int64_t p = n - 1; p >= 0; --p) {
                    const int64_t q = best(p);
                    base[p * stride + l] = q < 0 ? -1 : q * stride + entry[l * n + q];
                }
            }
        }
    });
}

}  // namespace

template <class T>
void transform(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, const Style& style,
               float* out) {
    if (shape.voxels() == 0) return;
    if (worth_trying(metric, shape) && !transform_fast<uint32_t>(ex, labels, shape, metric, style, out)) return;
    transform_fast<uint64_t>(ex, labels, shape, metric, style, out);
}

template <class T, class U>
void row_words(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, const Style& style, U* out) {
    if (shape.voxels() == 0) return;
    const Squares<U> squares(metric.x, shape.x);
    std::vector<std::vector<U>> lines(ex.threads(), std::vector<U>(shape.x + Squares<U>::padding));
    all_rows(ex, Rows<T, U>{labels, shape, style.border, style.with_sign, &squares, out}, lines);
}

template <class U>
void column_words(Executor& ex, const U* words, const Shape& shape, const Metric& metric, bool border, U* out) {
    if (shape.voxels() == 0) return;
    std::memcpy(out, words, shape.voxels() * sizeof(U));  // a pass works in place
    Pass<U>(ex, axis_y<U>(out, shape, metric, border, nullptr, false), shape.z, shape.y * shape.x).run();
}

template <class U>
void column_distances(Executor& ex, const U* words, const Shape& shape, const Metric& metric, const Style& style,
                      float* out) {
    if (shape.voxels() == 0) return;
    auto wide = ex.scratch<U>(sizeof(U) == 8 ? shape.voxels() : 0);
    U* const own = sizeof(U) == 8 ? wide.data() : reinterpret_cast<U*>(out);
    std::memcpy(own, words, shape.voxels() * sizeof(U));
    const ToFloats<U> floats{out, Finish(metric, style), nullptr};
    const bool single = float_sqrt_serves(metric, style);
    if (metric.z) Pass<U>(ex, axis_z(own, shape, metric, style.border, &floats, single), 1, 0).run();
    else Pass<U>(ex, axis_y(own, shape, metric, style.border, &floats, single), shape.z, shape.y * shape.x).run();
}

template <class T>
void nearest(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, int64_t* out) {
    if (shape.voxels() == 0) return;
    const NearestInLongRow<T> row{labels, shape, out};
    ex.for_chunks(shape.rows(), std::max<int64_t>(1, (1 << 16) / shape.x), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r) row(r);
    });
    const Entries entries{shape, metric};
    nearest_columns<false>(ex, entries, out);
    if (metric.z != 0) nearest_columns<true>(ex, entries, out);
}

#endif

EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)
EMFAST_INSTANTIATE_WORDS(uint32_t)
EMFAST_INSTANTIATE_WORDS(uint64_t)

}  // namespace emfast::distance
