// A bijection of 64-bit numbers that scatters neighbours.
#pragma once

#include <cstdint>

#include "core/hd.h"

namespace emfast {

EMFAST_HD inline uint64_t mix(uint64_t key) {
    key ^= key >> 32;
    key *= 0x9E3779B97F4A7C15ull;
    key ^= key >> 29;
    key *= 0xBF58476D1CE4E5B9ull;
    return key ^ (key >> 32);
}

}  // namespace emfast
