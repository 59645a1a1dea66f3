// Labels shrunk and grown by a metric radius, given exact distances (csrc/distance): one decision per voxel, made on
// integers. Weights are squared spacings in a common unit, limits squared radii in that unit.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::morphology {

// out[i] = labels[i] == 0. Growing asks for the nearest voxel where this is 0.
template <class T>
void background(Executor& ex, const T* labels, int64_t n, uint8_t* out);

// out[i] is labels[i], or for background the label at nearest[i] if that is within the limit, else 0. nearest[i] is a flat
// index, or -1.
struct Grow {
    int64_t weights[3] = {};
    int64_t limit = 0;
};
template <class T>
void grow(Executor& ex, View<const T> labels, const int64_t* nearest, const Grow& how, T* out);

// out[i] is labels[i] if the squared distance to the nearest voxel of another label is above the limit, else 0. Distances
// are floats, so two integers may have become one: where `ties` offsets are given, a voxel whose distance equals `limit`
// goes only if one of them leads to another label (or outside, with `border`).
struct Shrink {
    float limit = 0;
    bool border = false;
    int64_t ties = 0;
    const int64_t* offsets = nullptr;  // ties rows of (z, y, x)
};
template <class T>
void shrink(Executor& ex, View<const T> labels, const float* squared, const Shrink& how, T* out);

}  // namespace emfast::morphology
