// Comparisons of 64 elements at a time, and the runs of equal values that come of them. The comparison needs no more than
// SSE2, which every x86-64 has, and keeps up with memory: no clones are needed. Other processors take the
// plain loop.
#pragma once

#include <cstdint>

#include "core/isa.h"

#if defined(__SSE2__) && !defined(__CUDACC__)
#include <emmintrin.h>
#endif

namespace emfast {

// Bit k is set where a[k] == b[k], k < 64.
template <class T>
EMFAST_INLINE uint64_t equal64(const T* a, const T* b) {
    uint64_t word = 0;
#if defined(__SSE2__) && !defined(__CUDACC__)
    constexpr int lanes = 16 / sizeof(T);  // elements in a register
    auto equal = [a, b](int k) {
        const __m128i va = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + k));
        const __m128i vb = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + k));
        if constexpr (sizeof(T) == 1) return _mm_cmpeq_epi8(va, vb);
        if constexpr (sizeof(T) == 2) return _mm_cmpeq_epi16(va, vb);
        return _mm_cmpeq_epi32(va, vb);
    };
    for (int k = 0; k < 64; k += 16) {
        __m128i same;
        if constexpr (sizeof(T) == 1) {
            same = equal(k);
        } else if constexpr (sizeof(T) == 2) {
            same = _mm_packs_epi16(equal(k), equal(k + lanes));
        } else {
            auto words = [&](int at) {  // four elements as four words; of eight bytes both halves must agree
                if constexpr (sizeof(T) == 4) return equal(at);
                const __m128 low = _mm_castsi128_ps(equal(at)), high = _mm_castsi128_ps(equal(at + 2));
                return _mm_and_si128(_mm_castps_si128(_mm_shuffle_ps(low, high, 0x88)),
                                     _mm_castps_si128(_mm_shuffle_ps(low, high, 0xdd)));
            };
            same =
                _mm_packs_epi16(_mm_packs_epi32(words(k), words(k + 4)), _mm_packs_epi32(words(k + 8), words(k + 12)));
        }
        word |= uint64_t(static_cast<uint16_t>(_mm_movemask_epi8(same))) << k;
    }
#else
    for (int k = 0; k < 64; ++k) word |= uint64_t(a[k] == b[k]) << k;
#endif
    return word;
}

// Bit k is set where p[k] differs from p[k - 1], k < 64: p[-1] must be readable.
template <class T>
EMFAST_INLINE uint64_t changes64(const T* p) {
    return ~equal64(p, p - 1);
}

// The words that n bits need.
inline int64_t bit_words(int64_t n) { return (n + 63) / 64; }

// Bit k of word w is set where a[64 w + k] differs from b[64 w + k]; bits from n on are clear.
template <class T>
EMFAST_INLINE void differ_bits(const T* a, const T* b, int64_t n, uint64_t* bits) {
    int64_t i = 0;
    for (; i + 64 <= n; i += 64) bits[i / 64] = ~equal64(a + i, b + i);
    if (i == n) return;
    if (n >= 64) {  // the last 64 once more, without what has been seen
        bits[i / 64] = ~equal64(a + n - 64, b + n - 64) >> (64 - (n - i));
        return;
    }
    bits[0] = 0;
    for (int64_t k = 0; k < n; ++k) bits[0] |= uint64_t(a[k] != b[k]) << k;
}

// Calls f(from, to) for every run of equal elements of p within [begin, end), in order.
template <class T, class F>
EMFAST_INLINE void each_run(const T* p, int64_t begin, int64_t end, F&& f) {
    if (begin >= end) return;
    int64_t from = begin, i = begin + 1;
    for (; i + 64 <= end; i += 64)
        for (uint64_t changed = changes64(p + i); changed; changed &= changed - 1) {
            const int64_t to = i + __builtin_ctzll(changed);
            f(from, to);
            from = to;
        }
    if (i < end && end - 64 > begin) {  // the rest: the last 64 once more, without what has been seen
        const int64_t at = end - 64;
        for (uint64_t changed = changes64(p + at) >> (i - at) << (i - at); changed; changed &= changed - 1) {
            const int64_t to = at + __builtin_ctzll(changed);
            f(from, to);
            from = to;
        }
    } else {
        for (; i < end; ++i)
            if (p[i] != p[i - 1]) {
                f(from, i);
                from = i;
            }
    }
    f(from, end);
}

// Writes value to out[from .. to). May also write whatever it likes to out[to .. room), which the caller fills later: the
// first sixteen elements need no branch then, and runs of label volumes are seldom much longer.
template <class T>
EMFAST_INLINE void fill_run(T* out, int64_t from, int64_t to, int64_t room, T value) {
    constexpr int64_t step = sizeof(T) == 8 ? 8 : 16;
    auto block = [out, value](int64_t at) {
        for (int64_t k = 0; k < step; ++k) out[at + k] = value;
    };
    if (to + step <= room) {
        block(from);
        for (int64_t i = from + step; i < to; i += step) block(i);
    } else {
        for (int64_t i = from; i < to; ++i) out[i] = value;
    }
}

}  // namespace emfast
