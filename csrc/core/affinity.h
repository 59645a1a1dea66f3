// Affinities: how the three element types are read. uint8 0..255 stands for 0..1; float16 is a pattern of 16 bits.
// Valid values are 0 to 1; for such values the order of the bit patterns is the order of the values, once -0 is +0.
//
//   valid(a)     within 0 and 1 (NaN is not)
//   order(a)     an unsigned integer that orders as the values do; the bit pattern of a (+0 for -0)
//   grid(a)      the integer that sums are made of: a itself for uint8 (steps of 1/255), else a in steps of 2^-24, rounded
//                to the nearest, halves up
//   bin(a)       of 256: a itself for uint8, else floor(256 a), 255 for 1
#pragma once

#include <cstdint>
#include <cstring>

#include "core/check.h"
#include "core/hd.h"

namespace emfast {

struct Half {
    uint16_t bits;
};

template <class A>
struct Affinity;

template <>
struct Affinity<uint8_t> {
    using Bits = uint8_t;
    static constexpr double unit = 255;  // grid steps in 1
    EMFAST_HD static bool valid(uint8_t) { return true; }
    EMFAST_HD static uint32_t order(uint8_t a) { return a; }
    EMFAST_HD static uint32_t grid(uint8_t a) { return a; }
    EMFAST_HD static uint32_t bin(uint8_t a) { return a; }
};

template <>
struct Affinity<float> {
    using Bits = uint32_t;
    static constexpr double unit = 16777216;
    EMFAST_HD static bool valid(float a) { return a >= 0.0f && a <= 1.0f; }
    EMFAST_HD static uint32_t order(float a) {
        uint32_t bits;
        std::memcpy(&bits, &a, sizeof bits);
        return bits & 0x7fffffffu;
    }
    EMFAST_HD static uint32_t grid(float a) {  // in doubles, where adding one half is exact
        return static_cast<uint32_t>(static_cast<int32_t>(static_cast<double>(a) * unit + 0.5));
    }
    EMFAST_HD static uint32_t bin(float a) {
        const int32_t b = static_cast<int32_t>(a * 256.0f);
        return static_cast<uint32_t>(b < 255 ? b : 255);
    }
};

template <>
struct Affinity<Half> {
    using Bits = uint16_t;
    static constexpr double unit = 16777216;
    EMFAST_HD static float widen(Half a) {  // right for 0 to 1: shifted into place, the exponent's bias made good
        const uint32_t bits = uint32_t(a.bits & 0x7fffu) << 13;
        float shifted;
        std::memcpy(&shifted, &bits, sizeof shifted);
        return shifted * 5.192296858534828e33f;  // 2^112
    }
    EMFAST_HD static bool valid(Half a) { return a.bits <= 0x3c00u || a.bits == 0x8000u; }
    EMFAST_HD static uint32_t order(Half a) { return a.bits & 0x7fffu; }
    EMFAST_HD static uint32_t grid(Half a) { return Affinity<float>::grid(widen(a)); }
    EMFAST_HD static uint32_t bin(Half a) { return Affinity<float>::bin(widen(a)); }
};

// Calls f with a value of the element type of an array of affinities: "u1", "f2" or "f4".
template <class F>
decltype(auto) visit_affinity(const std::string& dtype, F&& f) {
    if (dtype == "u1") return f(uint8_t{});
    if (dtype == "f2") return f(Half{});
    if (dtype == "f4") return f(float{});
    refuse("affinities must be uint8, float16 or float32, got ", dtype);
}

}  // namespace emfast

// One line per type in a sibling: EMFAST_FOR_AFFINITIES(INSTANTIATE) with a local macro INSTANTIATE(A).
#define EMFAST_FOR_AFFINITIES(M) M(uint8_t) M(::emfast::Half) M(float)
