#include "core/differ.h"

#include "core/isa.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace emfast {
namespace {

// 64 bytes, each 0 or 255, as 64 bits. SSE2 belongs to the baseline; elsewhere eight bytes are gathered by a multiply.
EMFAST_INLINE uint64_t pack(const uint8_t* bytes) {
#if defined(__SSE2__)
    uint64_t bits = 0;
    for (int q = 0; q < 4; ++q) {
        const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * q));
        bits |= uint64_t(uint32_t(_mm_movemask_epi8(part))) << (16 * q);
    }
    return bits;
#else
    uint64_t bits = 0;
    for (int q = 0; q < 8; ++q) {
        uint64_t eight = 0;
        for (int k = 0; k < 8; ++k) eight |= uint64_t(bytes[8 * q + k] & 1) << (8 * k);
        bits |= ((eight * 0x0102040810204080ull) >> 56) << (8 * q);
    }
    return bits;
#endif
}

// other(i) is what a[i] is compared with. Words of 64 values; the last one is taken from the end backwards, so that only
// rows shorter than 64 meet the slow loop.
template <class T, class Other>
EMFAST_INLINE uint64_t differ_word(const T* a, Other other, int64_t i) {
    alignas(64) uint8_t bytes[64];
    if constexpr (sizeof(T) == 8) {  // halves first: compilers do not vectorise the step from 8 bytes to 1
        alignas(64) uint32_t halves[64];
        for (int k = 0; k < 64; ++k) {
            const uint64_t bits = a[i + k] ^ other(i + k);
            halves[k] = static_cast<uint32_t>(bits) | static_cast<uint32_t>(bits >> 32);
        }
        for (int k = 0; k < 64; ++k) bytes[k] = halves[k] != 0 ? 255 : 0;
    } else {
        for (int k = 0; k < 64; ++k) bytes[k] = a[i + k] != other(i + k) ? 255 : 0;
    }
    return pack(bytes);
}

template <class T, class Other>
EMFAST_INLINE void differ_row(const T* a, Other other, int64_t n, uint64_t* bits) {
    int64_t i = 0;
    for (; i + 64 <= n; i += 64) bits[i / 64] = differ_word(a, other, i);
    if (i == n) return;
    if (n >= 64) {
        bits[i / 64] = differ_word(a, other, n - 64) >> (64 - (n - i));
        return;
    }
    uint64_t word = 0;
    for (int64_t k = 0; k < n; ++k) word |= uint64_t(a[k] != other(k)) << k;
    bits[0] = word;
}

}  // namespace

#define EMFAST_DIFFER(T)                                                                        \
    EMFAST_CLONES void differ_bits(const T* a, const T* b, int64_t n, uint64_t* bits) {         \
        differ_row(a, [=](int64_t i) __attribute__((always_inline)) { return b[i]; }, n, bits); \
    }                                                                                           \
    EMFAST_CLONES void differ_bits(const T* a, T value, int64_t n, uint64_t* bits) {            \
        differ_row(a, [=](int64_t) __attribute__((always_inline)) { return value; }, n, bits);  \
    }

EMFAST_DIFFER(uint8_t)
EMFAST_DIFFER(uint16_t)
EMFAST_DIFFER(uint32_t)
EMFAST_DIFFER(uint64_t)

}  // namespace emfast
