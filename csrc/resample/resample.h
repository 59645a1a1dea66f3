// Images, labels and masks brought to a new grid of voxels by one map, for many samples at once.
//
// The map says where in its source a voxel (z, y, x) of the output lies: an affine of its own for each output section, so
// that whole sections may be shifted, turned or skipped, plus a displacement that is linear between the nodes of a grid.
// Images are read linearly along each axis, and clamped at the border of the source; labels and masks at the nearest voxel
// (halves go up), with 0 outside of the source. Where all positions are whole numbers, values are copied as they are: flips,
// transpositions and shifts are exact. Images must be finite.
//
// One expression computes a position, in 32-bit floats without contraction, so that all modules give the same bits.
#pragma once

#include <cstdint>
#include <vector>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::resample {

struct Map {
    int64_t samples;
    Shape out, source;  // of each sample; a voxel of a source is less than 2^31 elements from its first one
    // (samples, out.z, 9): the source position at (y, x) of that section is (s[0..2] + s[3..5] * y) + s[6..8] * x.
    const float* sections;
    // (samples, out.z, axes, rows, columns): displacements in source voxels, y and x (2 axes), z too (3), or none (0).
    // Node (j, k) is at y = j * step, x = k * step, and nodes reach beyond the last voxel: rows * step > out.y.
    const float* grid = nullptr;
    int axes = 0;
    int64_t rows = 0, columns = 0, step = 1;
};

// Where the samples, channels, sections and rows of a source begin, in elements from its first; along x it is dense. So a source
// may be a box inside of a larger array.
struct Strides {
    int64_t sample, channel, section, row;
    EMFAST_HD bool operator==(const Strides& o) const { return section == o.section && row == o.row; }
};

enum class Pixel { u8, u16, f32 };

struct Image {  // (samples, channels, z, y, x) of the source; out: float
    const void* in;
    Pixel pixel;
    int64_t channels;
    Strides strides;
    float* out;
};

struct Labels {  // (samples, z, y, x), bit patterns of 1, 2, 4 or 8 bytes
    const void* in;
    Strides strides;
    void* out;
    int bytes;
};

struct Mask {  // the same, bytes of which any but 0 is True; without one all of the source is
    const uint8_t* in;
    Strides strides;
    uint8_t* out;
};

// channels may be 0: no image.
void run(Executor& ex, const Map& map, const Image& image, const std::vector<Labels>& labels,
         const std::vector<Mask>& masks);

}  // namespace emfast::resample
