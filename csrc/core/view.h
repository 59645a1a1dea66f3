// Shapes and views. A volume is three-dimensional, axes (z, y, x), stored in C order; a picture is a volume of depth one.
// Views own nothing. Indices are 64-bit everywhere: a volume may hold more than 2^31 voxels.
#pragma once

#include <cstdint>

#include "core/hd.h"

namespace emfast {

struct Shape {
    int64_t z = 0, y = 0, x = 0;

    EMFAST_HD int64_t voxels() const { return z * y * x; }
    EMFAST_HD int64_t rows() const { return z * y; }
    EMFAST_HD int64_t index(int64_t iz, int64_t iy, int64_t ix) const { return (iz * y + iy) * x + ix; }
};

struct Point {
    int64_t z, y, x;
};

// The coordinates of linear index i.
EMFAST_HD inline Point point(const Shape& shape, int64_t i) {
    const int64_t row = i / shape.x;
    return {row / shape.y, row % shape.y, i - row * shape.x};
}

template <class T>
struct View {
    T* data = nullptr;
    Shape shape;

    EMFAST_HD T& operator[](int64_t i) const { return data[i]; }
    EMFAST_HD T& operator()(int64_t z, int64_t y, int64_t x) const { return data[shape.index(z, y, x)]; }
    EMFAST_HD T* row(int64_t r) const { return data + r * shape.x; }
    EMFAST_HD int64_t size() const { return shape.voxels(); }
};

}  // namespace emfast
