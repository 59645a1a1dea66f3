// Label volumes whose ids are read as 64 bits: those of fewer are widened, signed ones with their sign, so that volumes of
// different dtypes meet without a template for each pair of them.
#pragma once

#include <cstdint>

#include "core/hd.h"

namespace emfast {

struct Ids {
    static constexpr uint64_t sign_bit = uint64_t(1) << 63;

    const void* data = nullptr;
    int bytes = 8;
    bool is_signed = false;

    uint64_t flip() const { return is_signed ? sign_bit : 0; }  // XORed onto ids it makes them ascend by value

    EMFAST_HD uint64_t operator[](int64_t i) const {
        uint64_t bits = 0;
        switch (bytes) {
            case 1: bits = static_cast<const uint8_t*>(data)[i]; break;
            case 2: bits = static_cast<const uint16_t*>(data)[i]; break;
            case 4: bits = static_cast<const uint32_t*>(data)[i]; break;
            default: return static_cast<const uint64_t*>(data)[i];
        }
        return widened(bits);
    }

    // A value of fewer than eight bytes as an id.
    EMFAST_HD uint64_t widened(uint64_t bits) const {
        const int spare = 64 - 8 * bytes;
        return is_signed ? static_cast<uint64_t>(static_cast<int64_t>(bits << spare) >> spare) : bits;
    }
};

}  // namespace emfast
