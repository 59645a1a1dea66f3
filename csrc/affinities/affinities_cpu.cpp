// The host sibling compares rows with rows, in loops that compilers vectorise: all channels of a row before the next row, so
// that labels come from the cache and the outputs are written once.
#include <algorithm>

#include "affinities/affinities_body.h"
#include "core/isa.h"

namespace emfast::affinities {
namespace {

template <class T, class Out>
EMFAST_INLINE void compare(const T* a, const T* b, int64_t n, Out one, Out* out) {
    for (int64_t i = 0; i < n; ++i) out[i] = (a[i] == b[i]) & (a[i] != 0) ? one : Out(0);
}

template <class Out>
EMFAST_INLINE void clear_where_not(const uint8_t* good, int64_t n, Out* out) {
    for (int64_t i = 0; i < n; ++i) out[i] = good[i] ? out[i] : Out(0);
}

template <class T>
EMFAST_INLINE void or_differ(const T* a, const T* b, int64_t n, uint8_t* out) {
    for (int64_t i = 0; i < n; ++i) out[i] |= a[i] != b[i];
}

template <class T>
EMFAST_INLINE void and_labelled(const T* a, int64_t n, uint8_t* out) {
    for (int64_t i = 0; i < n; ++i) out[i] &= a[i] != 0;
}

// Both results at once: mask is where both ends are known, or null.
template <class T>
EMFAST_INLINE void compare_known(const T* a, const T* b, const uint8_t* known_a, const uint8_t* known_b, int64_t n,
                                 float* out, float* valid) {
    if (!known_a) {
        for (int64_t i = 0; i < n; ++i) out[i] = (a[i] == b[i]) & (a[i] != 0) ? 1.0f : 0.0f;
        for (int64_t i = 0; i < n; ++i) valid[i] = 1.0f;
        return;
    }
    for (int64_t i = 0; i < n; ++i)
        out[i] = (a[i] == b[i]) & (a[i] != 0) & (known_a[i] != 0) & (known_b[i] != 0) ? 1.0f : 0.0f;
    for (int64_t i = 0; i < n; ++i) valid[i] = (known_a[i] != 0) & (known_b[i] != 0) ? 1.0f : 0.0f;
}

// Plain functions, so that each can be compiled for several instruction sets. _emu has no use for them.
#define EMFAST_ROWS(T)                                                                                            \
    [[maybe_unused]] EMFAST_CLONES void same(const T* a, const T* b, int64_t n, uint8_t one, uint8_t* out) {      \
        compare(a, b, n, one, out);                                                                               \
    }                                                                                                             \
    [[maybe_unused]] EMFAST_CLONES void same(const T* a, const T* b, int64_t n, float one, float* out) {          \
        compare(a, b, n, one, out);                                                                               \
    }                                                                                                             \
    [[maybe_unused]] EMFAST_CLONES void differ(const T* a, const T* b, int64_t n, uint8_t* out) {                 \
        or_differ(a, b, n, out);                                                                                  \
    }                                                                                                             \
    [[maybe_unused]] EMFAST_CLONES void same_known(const T* a, const T* b, const uint8_t* known_a,                \
                                                   const uint8_t* known_b, int64_t n, float* out, float* valid) { \
        compare_known(a, b, known_a, known_b, n, out, valid);                                                     \
    }                                                                                                             \
    [[maybe_unused]] EMFAST_CLONES void labelled(const T* a, int64_t n, uint8_t* out) { and_labelled(a, n, out); }
EMFAST_FOR_WIDTHS(EMFAST_ROWS)

[[maybe_unused]] EMFAST_CLONES void both(const uint8_t* a, const uint8_t* b, int64_t n, uint8_t* out) {
    for (int64_t i = 0; i < n; ++i) out[i] = a[i] & b[i];
}
[[maybe_unused]] EMFAST_CLONES void keep(const uint8_t* good, int64_t n, uint8_t* out) {
    clear_where_not(good, n, out);
}
[[maybe_unused]] EMFAST_CLONES void keep(const uint8_t* good, int64_t n, float* out) { clear_where_not(good, n, out); }

// Rows a chunk takes: few enough that threads share the work, many enough to pay.
int64_t rows_at_once(Executor& ex, const Shape& s) { return ex.grain(s.rows(), (1 << 15) / s.x + 1); }

template <class T, class Out>
void build_rows(Executor& ex, View<const T> labels, const uint8_t* usable, const std::vector<Point>& offsets, Out one,
                Out* out, uint8_t* valid) {
    const Shape s = labels.shape;
    const int64_t n = labels.size();
    if (n == 0) return;
    ex.for_chunks(s.rows(), rows_at_once(ex, s), [&](int64_t begin, int64_t end, int) {
        std::vector<uint8_t> good(s.x, 1);  // which edges of a row are valid
        for (int64_t r = begin; r < end; ++r)
            for (size_t k = 0; k < offsets.size(); ++k) {
                const Point o = offsets[k];
                const int64_t at = static_cast<int64_t>(k) * n + r * s.x, z = r / s.y + o.z, y = r % s.y + o.y;
                const bool here = z >= 0 && z < s.z && y >= 0 && y < s.y;
                const int64_t from = here ? std::clamp<int64_t>(-o.x, 0, s.x) : s.x,
                              to = here ? std::clamp<int64_t>(s.x - o.x, from, s.x) : s.x;
                const int64_t p = r * s.x + from, q = (z * s.y + y) * s.x + from + o.x;
                std::fill(out + at, out + at + from, Out(0));
                if (to > from) same(labels.data + p, labels.data + q, to - from, one, out + at + from);
                std::fill(out + at + to, out + at + s.x, Out(0));
                if (usable && to > from) {
                    both(usable + p, usable + q, to - from, good.data());
                    keep(good.data(), to - from, out + at + from);
                }
                if (!valid) continue;
                std::fill(valid + at, valid + at + from, uint8_t(0));
                std::copy(good.data(), good.data() + (to - from), valid + at + from);
                std::fill(valid + at + to, valid + at + s.x, uint8_t(0));
            }
    });
}

template <class T>
void within_rows(Executor& ex, View<const T> labels, const uint8_t* mask, const std::vector<Point>& offsets,
                 const Point& begin, const Shape& core, float* out, float* valid) {
    const Shape s = labels.shape;
    const int64_t n = core.voxels();
    if (n == 0) return;
    ex.for_chunks(core.rows(), rows_at_once(ex, core), [&](int64_t first, int64_t last, int) {
        for (int64_t r = first; r < last; ++r)
            for (size_t k = 0; k < offsets.size(); ++k) {
                const Point o = offsets[k];
                const int64_t at = static_cast<int64_t>(k) * n + r * core.x;
                const int64_t z = begin.z + r / core.y, y = begin.y + r % core.y;
                const bool here = z + o.z >= 0 && z + o.z < s.z && y + o.y >= 0 && y + o.y < s.y;
                const int64_t from = here ? std::clamp<int64_t>(-o.x - begin.x, 0, core.x) : core.x,
                              to = here ? std::clamp<int64_t>(s.x - o.x - begin.x, from, core.x) : core.x;
                for (float* row : {out + at, valid + at}) {
                    std::fill(row, row + from, 0.0f);
                    std::fill(row + to, row + core.x, 0.0f);
                }
                if (to <= from) continue;
                const int64_t p = s.index(z, y, begin.x + from), q = s.index(z + o.z, y + o.y, begin.x + from + o.x);
                same_known(labels.data + p, labels.data + q, mask ? mask + p : nullptr, mask ? mask + q : nullptr,
                           to - from, out + at + from, valid + at + from);
            }
    });
}

template <class T>
void boundaries_rows(Executor& ex, View<const T> labels, int connectivity, bool inner, uint8_t* out) {
    const Shape s = labels.shape;
    if (labels.size() == 0) return;
    ex.for_chunks(s.rows(), rows_at_once(ex, s), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r) {
            uint8_t* row = out + r * s.x;
            std::fill(row, row + s.x, uint8_t(0));
            for (int d = 0; d < 2 * directions; ++d) {
                const Step step = either_way(d);
                const int64_t z = r / s.y + step.z, y = r % s.y + step.y, from = step.x < 0;
                if (!touches(step, connectivity) || z < 0 || z >= s.z || y < 0 || y >= s.y) continue;
                differ(labels.row(r) + from, labels.row(z * s.y + y) + (step.x > 0), s.x - (step.x != 0), row + from);
            }
            if (inner) labelled(labels.row(r), s.x, row);
        }
    });
}

}  // namespace

template <class T, class Out>
void build(Executor& ex, View<const T> labels, const uint8_t* usable, const std::vector<Point>& offsets, Out one,
           Out* out, uint8_t* valid) {
    if constexpr (scrambled) build_anywhere(ex, labels, usable, offsets, one, out, valid);
    else build_rows(ex, labels, usable, offsets, one, out, valid);
}

template <class T>
void boundaries(Executor& ex, View<const T> labels, int connectivity, bool inner, uint8_t* out) {
    if constexpr (scrambled) boundaries_anywhere(ex, labels, connectivity, inner, out);
    else boundaries_rows(ex, labels, connectivity, inner, out);
}

template <class T>
void within(Executor& ex, View<const T> labels, const uint8_t* mask, const std::vector<Point>& offsets,
            const Point& begin, const Shape& core, float* out, float* valid) {
    if constexpr (scrambled) within_anywhere(ex, labels, mask, offsets, begin, core, out, valid);
    else within_rows(ex, labels, mask, offsets, begin, core, out, valid);
}

EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::affinities
