// Local shape descriptors (Sheridan 2023): what a weighted window around each voxel of an object holds of that object.
//
// The window is a product of one row of weights per axis, whole numbers, so that all sums are exact whatever the order of
// additions. Of the voxels of the window that hold the label of the middle one, with m the mean of their places seen from
// there and C their covariance, both in units of the scale:
//   offset      (m + 1) / 2 along each axis
//   variance    C_aa along each axis
//   correlation (C_ab / sqrt(C_aa C_bb) + 1) / 2 for zy, zx, yx; one half where a variance is 0
//   size        their weight as a share of the window's
// in this order of channels: 10; or 6 without z. Label 0 is background: all channels are 0 there.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::descriptors {

// Weights of 2 r + 1 voxels along z, y, x; `scale` is a voxel along each axis in units of the scale. The product of the
// three sums, times the square of the largest r, is below 2^53. planar: the window has one section, and z no channels.
struct Window {
    std::array<std::vector<int64_t>, 3> weights;
    std::array<double, 3> scale;
    bool planar;

    int64_t radius(int axis) const { return static_cast<int64_t>(weights[axis].size()) / 2; }
    int64_t channels() const { return planar ? 6 : 10; }
};

// labels hold 0 to count. out: (channels, z, y, x).
void describe(Executor& ex, View<const uint32_t> labels, int64_t count, const Window& window, float* out);

}  // namespace emfast::descriptors
