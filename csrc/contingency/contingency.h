// The contingency table of two label volumes: how many voxels every pair (true id, label) shares. Sparse: work and memory
// follow the pairs that occur, whatever the ids. Both volumes are read once.
//
// Ids are 64 bits: labels of fewer are widened, signed ones with their sign, so volumes of different dtypes meet here.
// A table is ordered by true id, then label, both by value; it depends on nothing but the counts.
#pragma once

#include <cstdint>
#include <vector>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::contingency {

inline constexpr uint64_t sign_bit = uint64_t(1) << 63;

// A label volume as it lies in memory.
struct Ids {
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
        const int spare = 64 - 8 * bytes;
        return is_signed ? static_cast<uint64_t>(static_cast<int64_t>(bits << spare) >> spare) : bits;
    }
};

struct Volumes {
    Shape shape;
    Ids truth, labels;
    Ids mask;  // data may be null; where it is 0 a voxel is not counted
    const int64_t* counts = nullptr;  // may be null; what a voxel counts for, else one
    std::vector<uint64_t> ignored;  // true ids that are not counted, ascending as unsigned numbers

    int64_t size() const { return shape.voxels(); }
};

// Pairs ascending by row, then column: places in the ids, which are ascending by value.
struct Table {
    int64_t truths = 0, labels = 0, pairs = 0;
    Scratch<uint64_t> truth_ids, label_ids;
    Scratch<int64_t> truth_sizes, label_sizes;  // sums of counts
    Scratch<int64_t> rows, columns, counts;
};

// The same as a view of arrays.
struct Parts {
    int64_t truths = 0, labels = 0, pairs = 0;
    const uint64_t *truth_ids = nullptr, *label_ids = nullptr;
    const int64_t *truth_sizes = nullptr, *label_sizes = nullptr;
    const int64_t *rows = nullptr, *columns = nullptr, *counts = nullptr;
};

Table count(Executor& ex, const Volumes& volumes);

// The table of both; the flips are those of its ids.
Table sum(Executor& ex, const Parts& a, const Parts& b, uint64_t truth_flip, uint64_t label_flip);

}  // namespace emfast::contingency
