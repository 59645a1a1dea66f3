// A box of a larger array: its rows are dense, its planes and rows lie apart.
#pragma once

#include <cstring>
#include <type_traits>
#include <vector>

#include "core/view.h"

namespace emfast {

template <class T>
struct Lines {
    T* data = nullptr;
    Shape shape;
    int64_t plane = 0, row = 0;  // elements from one to the next

    EMFAST_HD bool dense() const { return row == shape.x && plane == shape.y * row; }
    EMFAST_HD T* operator()(int64_t r) const {
        return data + (plane == shape.y * row ? r * row : r / shape.y * plane + r % shape.y * row);
    }
    // Its elements side by side.
    std::vector<std::remove_const_t<T>> copied() const {
        std::vector<std::remove_const_t<T>> all(shape.voxels());
        for (int64_t r = 0; r < shape.rows(); ++r)
            std::memcpy(all.data() + r * shape.x, (*this)(r), shape.x * sizeof(T));
        return all;
    }
};

}  // namespace emfast
