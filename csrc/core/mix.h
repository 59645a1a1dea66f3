// Bijections that scatter neighbours, of 64-bit and of 32-bit numbers.
#pragma once

#include <cstdint>

#include "core/hd.h"
#include "core/isa.h"

namespace emfast {

EMFAST_HD inline uint64_t mix(uint64_t key) {
    key ^= key >> 32;
    key *= 0x9E3779B97F4A7C15ull;
    key ^= key >> 29;
    key *= 0xBF58476D1CE4E5B9ull;
    return key ^ (key >> 32);
}

EMFAST_HD EMFAST_INLINE uint32_t mix32(uint32_t key) {  // good avalanche (lowbias32 by C. Wellons)
    key ^= key >> 16;
    key *= 0x7feb352du;
    key ^= key >> 15;
    key *= 0x846ca68bu;
    return key ^ (key >> 16);
}

}  // namespace emfast
