// Host only: numbers for labels (or other keys) in the order of their coming.
#pragma once

#include <cstdint>
#include <new>
#include <vector>

#include "core/isa.h"

namespace emfast::labels {

// A hash table from labels to 0, 1, 2 ... in the order of entering. Open addressing; labels of one or two
// bytes are looked up directly.
template <class T>
class Numbers {
  public:
    static constexpr bool direct = sizeof(T) <= 2;
    static constexpr uint32_t none = ~uint32_t(0);

    Numbers() : cells_(direct ? size_t(1) << (sizeof(T) * 8 % 64) : 64) {}

    uint32_t find(T label) const { return cells_[place(label)].number - 1; }  // none if it is not here

    // The label's number; `fresh` is called with it before it is first returned.
    template <class F>
    EMFAST_INLINE uint32_t enter(T label, F&& fresh) {
        Cell& cell = cells_[place(label)];
        if (cell.number) [[likely]]
            return cell.number - 1;
        if (size_ >= none - 1) throw std::bad_alloc();
        cell = {label, ++size_};
        const uint32_t number = size_ - 1;
        fresh(number);
        if (!direct && size_ * size_t(2) > cells_.size()) grow();
        return number;
    }

    uint32_t size() const { return size_; }

  private:
    struct Cell {
        T label = 0;
        uint32_t number = 0;  // plus one; 0 is vacant
    };

    EMFAST_INLINE size_t place(T label) const {
        if constexpr (direct) return label;
        const size_t mask = cells_.size() - 1;
        size_t at = scatter(label) & mask;
        while (cells_[at].number && cells_[at].label != label) at = (at + 1) & mask;
        return at;
    }

    static uint64_t scatter(T label) {
        const uint64_t x = uint64_t(label) * 0x9E3779B97F4A7C15u;
        return x ^ (x >> 32);
    }

    void grow() {
        std::vector<Cell> old(cells_.size() * 4);
        old.swap(cells_);
        for (const Cell& cell : old)
            if (cell.number) cells_[place(cell.label)] = cell;
    }

    std::vector<Cell> cells_;
    uint32_t size_ = 0;
};

}  // namespace emfast::labels
