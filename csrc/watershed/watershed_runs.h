// The host's own schedule: picks by vectorised compares of rows, then union-find over runs of voxels joined along x.
//
// A row's picks are one byte a voxel, made for 16 or 32 voxels at a time; they are turned into planes of bits, 64 voxels a
// word. A run is a stretch of voxels joined along x; its id is its rank in raster order, found by counting `start` bits.
// Rows are joined a word at a time, and links that others imply are left out by word logic:
//
//   y[x] is implied by y[x-1] if both rows join x-1 and x;
//   z[x] likewise, or by z of the row above if this row and the row behind it are both joined to the row above them.
//
// Each is implied by links of voxels that come before it, so what remains connects the same.
//
// The volume is cut into slabs of rows, each worked by one thread with plain unions, numbered as components are
// (components/run_numbers.h). The first rows of each slab, whose neighbours belong to the slab before, are joined afterwards
// with shared unions.
//
// Scratch: 6 bits a voxel, 4 bytes a run; with waterz's plateaus a byte a voxel for the picks.
#pragma once

#include <atomic>
#include <bit>
#include <optional>

#include "components/run_numbers.h"
#include "core/isa.h"
#include "core/runs.h"
#include "core/union_find.h"
#include "watershed/watershed_body.h"

namespace emfast::watershed {
namespace {

using components::Slabs;

// ---- Picks of a row ----

// Affinities as signed integers of their own width: for 0 to 1 their order is that of the values, and -0 is below all.
template <class A>
struct Raw;
template <>
struct Raw<uint8_t> {
    using type = uint8_t;
};
template <>
struct Raw<Half> {
    using type = int16_t;
};
template <>
struct Raw<float> {
    using type = int32_t;
};

template <class V>
struct RowLimits {
    V low, high, any;  // any: all bits or none
};

// Rows of edges: those of the voxels themselves (z, y, x) and those of the voxels after them (ny, nz; x[i + 1]). Returns the
// largest bit pattern among z, y and x.
template <bool waterz, class V>
EMFAST_INLINE uint32_t pick(const V* __restrict z, const V* __restrict y, const V* __restrict x, const V* __restrict ny,
                            const V* __restrict nz, int64_t n, RowLimits<V> limits, uint8_t* __restrict picks) {
    using U = std::make_unsigned_t<V>;
    const V low = limits.low, high = limits.high;
    const U any = static_cast<U>(limits.any);
    U worst = 0;
    for (int64_t i = 0; i < n; ++i) {
        const V a = z[i], b = y[i], c = x[i], d = x[i + 1], e = ny[i], f = nz[i];
        const U w1 = U(a) > U(b) ? U(a) : U(b), w = w1 > U(c) ? w1 : U(c);
        worst = worst > w ? worst : w;
        const V ab = a > b ? a : b, cd = c > d ? c : d, ef = e > f ? e : f, abcd = ab > cd ? ab : cd,
                most = abcd > ef ? abcd : ef, least = most < high ? most : high;
        U bits = (a >= least ? U(1) : U(0)) | (b >= least ? U(2) : U(0)) | (c >= least ? U(4) : U(0)) |
                 (d >= least ? U(8) : U(0)) | (e >= least ? U(16) : U(0)) | (f >= least ? U(32) : U(0));
        const U full = most >= high ? any : U(0), first = bits & (U(0) - bits);
        if constexpr (waterz) bits |= bits != first ? static_cast<U>(~full & U(several)) : U(0);
        else bits &= static_cast<U>(full | first);
        picks[i] = static_cast<uint8_t>(most > low ? bits : U(0));
    }
    return worst;
}

#define EMFAST_PICK(V)                                                                                       \
    EMFAST_CLONES uint32_t pick_row(const V* z, const V* y, const V* x, const V* ny, const V* nz, int64_t n, \
                                    RowLimits<V> limits, bool waterz, uint8_t* picks) {                      \
        return waterz ? pick<true>(z, y, x, ny, nz, n, limits, picks)                                        \
                      : pick<false>(z, y, x, ny, nz, n, limits, picks);                                      \
    }
EMFAST_PICK(uint8_t)
EMFAST_PICK(int16_t)
EMFAST_PICK(int32_t)

#define EMFAST_GATE(V)                                                                            \
    EMFAST_CLONES void gate(const V* in, const uint8_t* a, const uint8_t* b, int64_t n, V* out) { \
        for (int64_t i = 0; i < n; ++i) out[i] = (a[i] != 0) & (b[i] != 0) ? in[i] : V(0);        \
    }
EMFAST_GATE(uint8_t)
EMFAST_GATE(int16_t)
EMFAST_GATE(int32_t)

// The rows of edges that picks of a row need, one reader a thread.
template <class A>
class RowPicker {
  public:
    using V = typename Raw<A>::type;

    RowPicker(const Edges<A>& edges, const Limits& limits, bool waterz)
        : edges_(edges),
          limits_{static_cast<V>(limits.low), static_cast<V>(limits.high), static_cast<V>(limits.any ? -1 : 0)},
          waterz_(waterz),
          width_(edges.shape.x),
          buffer_(width_ * 6 + 2) {}

    // Picks of row r; false where it has an affinity that is not from 0 to 1.
    bool operator()(int64_t r, uint8_t* picks) {
        const Shape s = edges_.shape;
        V* spare = buffer_.data();  // stays 0
        const V* z = row(edges_.z, r, s.y, r >= s.y, 1);
        const V* nz = row(edges_.z, r + s.y, s.y, r + s.y < s.rows(), 2);
        const V* y = row(edges_.y, r, 1, r % s.y > 0, 3);
        const V* ny = row(edges_.y, r + 1, 1, r % s.y + 1 < s.y, 4);
        V* x = spare + 5 * width_;
        const V* values = raw(edges_.line(edges_.x, r));
        if (edges_.mask) {
            const uint8_t* mask = edges_.mask + r * width_;
            gate(values + 1, mask + 1, mask, width_ - 1, x + 1);
        } else {
            std::copy(values + 1, values + width_, x + 1);
        }
        const uint32_t worst = pick_row(z, y, x, ny, nz, width_, limits_, waterz_, picks);
        return worst <= order_of_one<A> || (negative_zeros(z) && negative_zeros(y) && negative_zeros(x));
    }

  private:
    static const V* raw(const A* values) { return reinterpret_cast<const V*>(values); }

    const V* row(const A* values, int64_t r, int64_t rows_back, bool here, int64_t place) {
        if (!values || !here) return buffer_.data();
        const V* in = raw(edges_.line(values, r));
        if (!edges_.mask) return in;
        V* out = buffer_.data() + place * width_;
        gate(in, edges_.mask + r * width_, edges_.mask + (r - rows_back) * width_, width_, out);
        return out;
    }

    // Whether all that is not from 0 to 1 is -0.
    bool negative_zeros(const V* values) const {
        for (int64_t i = 0; i < width_; ++i) {
            const auto bits = static_cast<std::make_unsigned_t<V>>(values[i]);
            if (bits > order_of_one<A> && (bits << 1 & std::numeric_limits<decltype(bits)>::max()) != 0) return false;
        }
        return true;
    }

    Edges<A> edges_;
    RowLimits<V> limits_;
    bool waterz_;
    int64_t width_;
    std::vector<V> buffer_;  // a row of zeros, four gated rows, x with a zero at either end
};

// Picks of a block's rows: its own voxels pick, and those of the halo, one voxel thick, the edges that were picked from inside.
template <class A>
class BlockPicker {
  public:
    BlockPicker(const Edges<A>& edges, const Limits& limits, const Box& inner)
        : pick_(edges, limits, false), shape_(edges.shape), inner_(inner), beside_(edges.shape.x) {}

    // As of RowPicker.
    bool operator()(int64_t r, uint8_t* picks) {
        const int64_t z = r / shape_.y, y = r % shape_.y;
        const bool sound = pick_(r, picks);
        const bool in_z = z >= inner_.begin.z && z < inner_.end.z, in_y = y >= inner_.begin.y && y < inner_.end.y;
        if (in_z && in_y) {
            around(picks);
            return sound;
        }
        std::fill(picks, picks + shape_.x, uint8_t(0));
        if (in_y && z + 1 == inner_.begin.z) from(r + shape_.y, 5, picks);
        if (in_y && z == inner_.end.z) from(r - shape_.y, 0, picks);
        if (in_z && y + 1 == inner_.begin.y) from(r + 1, 4, picks);
        if (in_z && y == inner_.end.y) from(r - 1, 1, picks);
        return sound;
    }

  private:
    // The ends of a row of the block.
    void around(uint8_t* picks) const {
        const int64_t begin = inner_.begin.x, end = inner_.end.x;
        std::fill(picks, picks + begin, uint8_t(0));
        std::fill(picks + end, picks + shape_.x, uint8_t(0));
        if (begin > 0 && picks[begin] & back_bit(3)) picks[begin - 1] = 1 << 3;
        if (end < shape_.x && picks[end - 1] & back_bit(2)) picks[end] = 1 << 2;
    }

    // A row of the halo, whose neighbours in direction k are row q of the block.
    void from(int64_t q, int k, uint8_t* picks) {
        pick_(q, beside_.data());
        for (int64_t x = inner_.begin.x; x < inner_.end.x; ++x)
            picks[x] = beside_[x] & back_bit(k) ? static_cast<uint8_t>(1 << k) : uint8_t(0);
    }

    RowPicker<A> pick_;
    Shape shape_;
    Box inner_;
    std::vector<uint8_t> beside_;
};

// ---- Planes of bits and unions ----

template <class Id>
struct Rows {
    Shape shape;
    int64_t words;  // a row
    uint64_t *fg, *start;  // voxels of fragments, first voxels of runs
    uint64_t *up, *down, *front, *back;  // picked edges -y, +y, -z, +z
    Id* before;  // id of the last run that begins before this word (one less than the row's first id at first)
    Id* parent;

    EMFAST_INLINE Id id(int64_t word, int bit) const {
        return before[word] + static_cast<Id>(std::popcount(start[word] << (63 - bit)));
    }
    EMFAST_INLINE uint64_t along_x(int64_t word) const { return fg[word] & ~start[word]; }
    EMFAST_INLINE uint64_t along_y(int64_t word) const { return up[word] | down[word - words]; }
    EMFAST_INLINE uint64_t along_z(int64_t word) const { return front[word] | back[word - shape.y * words]; }
};

// plane[k], bit i: bit k of picks[i], k < 6.
EMFAST_INLINE void planes64(const uint8_t* picks, uint64_t* plane) {
    for (int k = 0; k < 6; ++k) plane[k] = 0;
#if defined(__SSE2__)
    for (int i = 0; i < 64; i += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(picks + i));
        auto take = [&](int k, __m128i shifted) {
            plane[k] |= uint64_t(static_cast<uint16_t>(_mm_movemask_epi8(shifted))) << i;
        };
        take(0, _mm_slli_epi16(bytes, 7));
        take(1, _mm_slli_epi16(bytes, 6));
        take(2, _mm_slli_epi16(bytes, 5));
        take(3, _mm_slli_epi16(bytes, 4));
        take(4, _mm_slli_epi16(bytes, 3));
        take(5, _mm_slli_epi16(bytes, 2));
    }
#else
    for (int i = 0; i < 64; ++i)
        for (int k = 0; k < 6; ++k) plane[k] |= uint64_t(picks[i] >> k & 1) << i;
#endif
}

// Planes and runs of row r, ids from `next` on.
template <class Id>
EMFAST_INLINE Id mark(const Rows<Id>& rows, int64_t r, const uint8_t* picks, Id next) {
    const int64_t width = rows.shape.x;
    uint64_t carry = 0;
    for (int64_t w = 0; w < rows.words; ++w) {
        const int64_t rw = r * rows.words + w, n = std::min<int64_t>(64, width - w * 64);
        uint64_t plane[6];
        if (n == 64) {
            planes64(picks + w * 64, plane);
        } else {
            uint8_t rest[64] = {};
            std::memcpy(rest, picks + w * 64, n);
            planes64(rest, plane);
        }
        const uint64_t f = plane[0] | plane[1] | plane[2] | plane[3] | plane[4] | plane[5];
        const uint64_t s = f & ~(plane[2] | plane[3] << 1 | carry);
        carry = plane[3] >> 63;
        rows.fg[rw] = f;
        rows.start[rw] = s;
        rows.front[rw] = plane[0];
        rows.up[rw] = plane[1];
        rows.down[rw] = plane[4];
        rows.back[rw] = plane[5];
        rows.before[rw] = next - 1;
        const int count = std::popcount(s);
        for (int k = 0; k < count; ++k) rows.parent[next + k] = next + k;
        next += count;
    }
    return next;
}

// Unions of row r with the row above and the row behind.
template <class Id>
EMFAST_INLINE void join_row(const Rows<Id>& rows, bool shared, int64_t r) {
    const bool above = r % rows.shape.y > 0, behind = r >= rows.shape.y;
    const int64_t to_up = rows.words, to_back = rows.shape.y * rows.words;
    for (int64_t rw = r * rows.words; rw < (r + 1) * rows.words; ++rw) {
        const uint64_t x = rows.along_x(rw);
        uint64_t y = 0;
        if (above) {
            y = rows.along_y(rw);
            const int64_t q = rw - to_up;
            for (uint64_t s = y & ~(y << 1 & x & rows.along_x(q)); s; s &= s - 1) {
                const int b = std::countr_zero(s);
                join(shared, rows.parent, rows.id(rw, b), rows.id(q, b));
            }
        }
        if (behind) {
            const int64_t q = rw - to_back;
            const uint64_t z = rows.along_z(rw);
            uint64_t s = z & ~(z << 1 & x & rows.along_x(q));
            if (above) s &= ~(y & rows.along_z(rw - to_up) & rows.along_y(q));
            for (; s; s &= s - 1) {
                const int b = std::countr_zero(s);
                join(shared, rows.parent, rows.id(rw, b), rows.id(q, b));
            }
        }
    }
}

// A row's planes and runs, and, if asked for, its unions; returns one past its last id.
template <class Id>
EMFAST_INLINE Id work_row(const Rows<Id>& rows, int64_t r, const uint8_t* picks, Id first, bool joined) {
    const Id next = mark(rows, r, picks, first);
    if (!joined) return next;
    join_row(rows, false, r);
    for (Id i = first; i < next; ++i) rows.parent[i] = rows.parent[rows.parent[i]];  // later unions find roots near
    return next;
}

// For eight voxels with these start bits: how many start among the voxels up to each, less one if the first does.
struct Counts8 {
    uint8_t of[256][8];
    constexpr Counts8() : of{} {
        for (int bits = 0; bits < 256; ++bits)
            for (int i = 0; i < 8; ++i)
                of[bits][i] =
                    static_cast<uint8_t>(std::popcount(static_cast<unsigned>(bits & ((2 << i) - 1))) - (bits & 1));
    }
};
constexpr Counts8 counts8;

// Labels of a row of 32 bits: eight voxels at a time, a permutation of the labels of eight runs. run_labels[0] is any value
// and seven more than there are runs may be read.
typedef uint32_t Eight __attribute__((vector_size(32)));
typedef uint8_t EightBytes __attribute__((vector_size(8)));

template <class Id>
EMFAST_INLINE void spread_row(const Rows<Id>& rows, const uint32_t* run_labels, int64_t r, uint32_t* out) {
    const int64_t width = rows.shape.x;
    const Id first = rows.before[r * rows.words];  // one less than the row's first id, modulo its width
    for (int64_t w = 0; w < rows.words; ++w) {
        const int64_t rw = r * rows.words + w, n = std::min<int64_t>(64, width - w * 64);
        const uint32_t* label = run_labels + static_cast<Id>(rows.before[rw] - first);
        uint64_t f = rows.fg[rw], s = rows.start[rw];
        uint32_t* to = out + w * 64;
        uint32_t rest[64];
        uint32_t* at = n == 64 ? to : rest;
        for (int64_t i = 0; i < n; i += 8, f >>= 8, s >>= 8) {
            const auto starts = static_cast<uint8_t>(s), there = static_cast<uint8_t>(f);
            Eight labels;
            EightBytes counts;
            std::memcpy(&labels, label + (starts & 1), sizeof labels);
            std::memcpy(&counts, counts8.of[starts], sizeof counts);
            Eight lanes = __builtin_shuffle(labels, __builtin_convertvector(counts, Eight));
            if (there != 255) {
                const Eight bit = {1, 2, 4, 8, 16, 32, 64, 128};
                lanes = (bit & uint32_t(there)) != 0 ? lanes : Eight{};
            }
            std::memcpy(at + i, &lanes, sizeof lanes);
            label += std::popcount(starts);
        }
        if (n < 64) std::memcpy(to, rest, n * sizeof(uint32_t));
    }
}

template <class Id>
EMFAST_INLINE void spread_row(const Rows<Id>& rows, const uint64_t* run_labels, int64_t r, uint64_t* out) {
    const Id first = rows.before[r * rows.words];
    for (int64_t x = 0; x < rows.shape.x; ++x) {
        const int64_t rw = r * rows.words + x / 64;
        out[x] = rows.fg[rw] >> (x % 64) & 1
                     ? run_labels[static_cast<Id>(rows.id(rw, static_cast<int>(x % 64)) - first)]
                     : 0;
    }
}

#define EMFAST_RUNS(clones, Id)                                                                      \
    clones Id work(const Rows<Id>& rows, int64_t r, const uint8_t* picks, Id first, bool joined) {   \
        return work_row(rows, r, picks, first, joined);                                              \
    }                                                                                                \
    clones void join_seam(const Rows<Id>& rows, int64_t r) { join_row(rows, true, r); }              \
    clones void spread(const Rows<Id>& rows, const uint32_t* run_labels, int64_t r, uint32_t* out) { \
        spread_row(rows, run_labels, r, out);                                                        \
    }                                                                                                \
    clones void spread(const Rows<Id>& rows, const uint64_t* run_labels, int64_t r, uint64_t* out) { \
        spread_row(rows, run_labels, r, out);                                                        \
    }
EMFAST_RUNS(EMFAST_CLONES_BITS, uint32_t)
EMFAST_RUNS(, uint64_t)

template <class Id>
class FragmentRuns {
  public:
    FragmentRuns(Executor& ex, const Shape& shape) : slabs_(shape, ex.threads()), numbers_(slabs_, shape.x) {
        const int64_t words = bit_words(shape.x), all = shape.rows() * words;
        bits_ = ex.scratch<uint64_t>(6 * all);
        before_ = ex.scratch<Id>(all);
        parent_ = ex.scratch<Id>(shape.voxels() + 1);
        uint64_t* p = bits_.data();
        rows_ = {shape,       words,       p,           p + all,        p + 2 * all,
                 p + 3 * all, p + 4 * all, p + 5 * all, before_.data(), parent_.data()};
    }

    // row_picks(slab) -> f(row) -> the row's picks. Returns the number of fragments.
    template <class RowPicks>
    int64_t join_all(Executor& ex, const RowPicks& row_picks) {
        ex.for_chunks(slabs_.count, 1, [&](int64_t k, int64_t, int) {
            auto picks_of = row_picks(k);
            Id next = numbers_.first_id(k);
            for (int64_t r = slabs_.row(k), from = slabs_.joined_from(k); r < slabs_.row(k + 1); ++r)
                next = work(rows_, r, picks_of(r), next, r >= from);
            numbers_.ends[k] = next;
        });
        ex.for_chunks(slabs_.count - 1, 1, [&](int64_t k, int64_t, int) {
            for (int64_t r = slabs_.row(k + 1); r < slabs_.joined_from(k + 1); ++r) join_seam(rows_, r);
        });
        return numbers_.number(ex, rows_);
    }

    template <class Out>
    void write(Executor& ex, Out* out) const {
        numbers_.write(ex, rows_, out,
                       [&](const Out* run_labels, int64_t r, Out* row) { spread(rows_, run_labels, r, row); });
    }

    template <class F>
    void each_row(F&& f) const {
        numbers_.each_row(rows_, f);
    }

    const Slabs& slabs() const { return slabs_; }

  private:
    Slabs slabs_;
    Rows<Id> rows_{};
    Scratch<uint64_t> bits_;
    Scratch<Id> before_, parent_;
    components::RunNumbers<Rows<Id>> numbers_;
};

// ---- Plateaus as waterz divides them, on the host ----
//
// Only voxels marked `several` are divided, and they matter to each other only along edges picked at both ends; so the sets
// they form that way have queues of their own. Sets inside a slab are flooded by the slab's thread. Those that cross
// between slabs are found by a walk from there, marked `seam` and flooded last, by one thread.
class HostPlateaus {
  public:
    HostPlateaus(const Shape& shape, uint8_t* picks, const Slabs& slabs)
        : shape_(shape), picks_(picks), slabs_(slabs), exits_(slabs.count) {}

    void divide(Executor& ex) {
        ex.for_chunks(slabs_.count, 1, [&](int64_t k, int64_t, int) { find_exits(k); });
        for (int64_t k = 1; k < slabs_.count; ++k) mark_seam(k);
        std::vector<std::vector<int64_t>> late(slabs_.count);
        ex.for_chunks(slabs_.count, 1, [&](int64_t k, int64_t, int) {
            std::vector<int64_t> queue;
            for (int64_t i : exits_[k]) (read(i) & seam ? late[k] : queue).push_back(i);
            flood(queue);
        });
        std::vector<int64_t> queue;
        for (const auto& exits : late) queue.insert(queue.end(), exits.begin(), exits.end());
        flood(queue);
    }

  private:
    static constexpr uint8_t seam = 128;

    // Other slabs may write to a neighbour of another set meanwhile; the bit that is asked for stays.
    uint8_t read(int64_t i) const { return atomic_load(picks_[i]); }
    bool mutual(uint8_t of_i, int64_t i, int k) const {
        return of_i >> k & 1 && read(i + step_of(shape_, k)) & back_bit(k);
    }

    void find_exits(int64_t k) {
        const int64_t end = slabs_.row(k + 1) * shape_.x;
        for (int64_t i = slabs_.row(k) * shape_.x; i < end; ++i) {
            if (i + 8 <= end) {  // eight at a time: they are rare
                uint64_t eight;
                std::memcpy(&eight, picks_ + i, 8);
                if (!(eight & 0x4040404040404040u)) {
                    i += 7;
                    continue;
                }
            }
            const uint8_t p = picks_[i];
            if (!(p & several)) continue;
            for (int d = 0; d < 6; ++d)
                if (p >> d & 1 && !mutual(p, i, d)) {
                    exits_[k].push_back(i);
                    break;
                }
        }
    }

    void mark_seam(int64_t k) {
        const int64_t begin = slabs_.row(k) * shape_.x, end = slabs_.joined_from(k) * shape_.x;
        std::vector<int64_t> stack;
        for (int64_t i = begin; i < end; ++i) {
            if ((picks_[i] & (several | seam)) != several) continue;
            for (int d = 0; d < 3; ++d)
                if (const int64_t q = i + step_of(shape_, d);
                    q < begin && mutual(picks_[i], i, d) && picks_[q] & several) {
                    picks_[i] |= seam;
                    stack.push_back(i);
                    break;
                }
            while (!stack.empty()) {
                const int64_t p = stack.back();
                stack.pop_back();
                for (int d = 0; d < 6; ++d) {
                    const int64_t q = p + step_of(shape_, d);
                    if (!mutual(picks_[p], p, d) || (picks_[q] & (several | seam)) != several) continue;
                    picks_[q] |= seam;
                    stack.push_back(q);
                }
            }
        }
    }

    // A voxel in the queue is no longer marked `several`.
    void flood(std::vector<int64_t>& queue) {
        for (int64_t i : queue) atomic_store(picks_[i], static_cast<uint8_t>(read(i) & ~several));
        for (size_t at = 0; at < queue.size(); ++at) {
            const int64_t i = queue[at];
            const uint8_t p = read(i);
            uint8_t kept = 0;
            for (int d = 0; d < 6; ++d) {
                const int k = waterz_direction(d);
                if (!(p >> k & 1)) continue;
                const int64_t q = i + step_of(shape_, k);
                const uint8_t other = read(q);
                if (!(other & back_bit(k))) {
                    kept = static_cast<uint8_t>(1 << k);
                } else if (other & several) {
                    atomic_store(picks_[q], static_cast<uint8_t>(other & ~several));
                    queue.push_back(q);
                }
            }
            atomic_store(picks_[i], kept);
        }
    }

    Shape shape_;
    uint8_t* picks_;
    const Slabs& slabs_;
    std::vector<std::vector<int64_t>> exits_;
};

// ---- The whole ----

// Each row goes on to its planes while it is in the cache. Empty where an affinity is not from 0 to 1.
template <class Id, class A>
std::optional<int64_t> join_strict(Executor& ex, FragmentRuns<Id>& runs, const Edges<A>& edges,
                                   const Options& options) {
    const Limits limits = limits_of<A>(options.low, options.high);
    std::atomic<bool> bad{false};
    auto with = [&](auto make) {
        return runs.join_all(ex, [&](int64_t) {
            return [&bad, picker = make(),
                    picks = std::vector<uint8_t>(edges.shape.x)](int64_t r) mutable -> const uint8_t* {
                if (!picker(r, picks.data())) bad.store(true, std::memory_order_relaxed);
                return picks.data();
            };
        });
    };
    const int64_t count = whole(options.inner, edges.shape)
                              ? with([&] { return RowPicker<A>(edges, limits, false); })
                              : with([&] { return BlockPicker<A>(edges, limits, options.inner); });
    return bad ? std::nullopt : std::optional(count);
}

// Picks of the whole, plateaus divided.
template <class Id, class A>
std::optional<int64_t> join_waterz(Executor& ex, FragmentRuns<Id>& runs, const Edges<A>& edges,
                                   const Options& options) {
    const Shape shape = edges.shape;
    const auto picks = ex.scratch<uint8_t>(shape.voxels());
    std::atomic<bool> bad{false};
    ex.for_chunks(runs.slabs().count, 1, [&](int64_t k, int64_t, int) {
        RowPicker<A> picker(edges, limits_of<A>(options.low, options.high), true);
        for (int64_t r = runs.slabs().row(k); r < runs.slabs().row(k + 1); ++r)
            if (!picker(r, picks.data() + r * shape.x)) bad.store(true, std::memory_order_relaxed);
    });
    if (bad) return std::nullopt;
    HostPlateaus(shape, picks.data(), runs.slabs()).divide(ex);
    return runs.join_all(ex, [&](int64_t) {
        return [row = picks.data(), width = shape.x](int64_t r) -> const uint8_t* { return row + r * width; };
    });
}

template <class Id, class A, class Out>
int64_t fragments_of_runs(Executor& ex, const Edges<A>& edges, const Options& options, Out* out) {
    const Shape shape = edges.shape;
    FragmentRuns<Id> runs(ex, shape);
    const auto count = options.waterz ? join_waterz(ex, runs, edges, options) : join_strict(ex, runs, edges, options);
    if (!count) {
        const auto first = ex.reduce(
            3 * shape.voxels(), ~uint64_t(0),
            [&](int64_t k) {
                const int64_t i = k % shape.voxels();
                const A* a = edges.before(static_cast<int>(k / shape.voxels()), i, point(shape, i));
                return a && !Affinity<A>::valid(*a) ? static_cast<uint64_t>(k) : ~uint64_t(0);
            },
            Smaller{});
        refuse_affinity(ex, edges, first);
    }
    runs.write(ex, out);
    return *count;
}

}  // namespace
}  // namespace emfast::watershed
