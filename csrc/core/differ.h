// Where two rows differ, as bits: the scan behind runs (a row against itself, shifted by one) and contacts (a row against
// its neighbour). Host only.
#pragma once

#include <bit>
#include <cstdint>

namespace emfast {

inline int64_t bit_words(int64_t n) { return (n + 63) / 64; }

// Bit k of word w tells whether a[64 w + k] != b[64 w + k]; bits from n on are zero. Writes bit_words(n) words.
void differ_bits(const uint8_t* a, const uint8_t* b, int64_t n, uint64_t* bits);
void differ_bits(const uint16_t* a, const uint16_t* b, int64_t n, uint64_t* bits);
void differ_bits(const uint32_t* a, const uint32_t* b, int64_t n, uint64_t* bits);
void differ_bits(const uint64_t* a, const uint64_t* b, int64_t n, uint64_t* bits);

// The same against one value.
void differ_bits(const uint8_t* a, uint8_t value, int64_t n, uint64_t* bits);
void differ_bits(const uint16_t* a, uint16_t value, int64_t n, uint64_t* bits);
void differ_bits(const uint32_t* a, uint32_t value, int64_t n, uint64_t* bits);
void differ_bits(const uint64_t* a, uint64_t value, int64_t n, uint64_t* bits);

// f(begin, end) for every run of equal values of a row of n, from left to right. bits has room for bit_words(n) words.
template <class T, class F>
void each_run(const T* row, int64_t n, uint64_t* bits, F&& f) {
    if (n <= 0) return;
    differ_bits(row + 1, row, n - 1, bits);
    int64_t begin = 0;
    for (int64_t w = 0; w < bit_words(n - 1); ++w)
        for (uint64_t word = bits[w]; word; word &= word - 1) {
            const int64_t end = w * 64 + std::countr_zero(word) + 1;
            f(begin, end);
            begin = end;
        }
    f(begin, n);
}

}  // namespace emfast
