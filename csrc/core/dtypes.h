// The closed lists of element types, each visited once per call.
// Labels are compared for equality only, so kernels see them as bit patterns of 1, 2, 4 or 8 bytes: signed, unsigned and
// bool arrays of one width share one instantiation. Where an order of values matters (unique), the caller says so.
#pragma once

#include <cstdint>

#include "core/check.h"

namespace emfast {

// Calls f with a value of the unsigned type of that many bytes.
template <class F>
decltype(auto) visit_width(int bytes, F&& f) {
    switch (bytes) {
        case 1: return f(uint8_t{});
        case 2: return f(uint16_t{});
        case 4: return f(uint32_t{});
        case 8: return f(uint64_t{});
    }
    refuse("labels must be integers of 1, 2, 4 or 8 bytes, got ", bytes, " bytes");
}

}  // namespace emfast

// One line per type in a sibling: EMFAST_FOR_WIDTHS(INSTANTIATE) with a local macro INSTANTIATE(T).
#define EMFAST_FOR_WIDTHS(M) M(uint8_t) M(uint16_t) M(uint32_t) M(uint64_t)
