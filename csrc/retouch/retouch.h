// Changes of grey values in place, of images (samples, channels, z, y, x) of 32-bit floats: what microscopes, sections and
// cameras do to an image, and what does not change the labels. All parameters are those of a section, or of a box.
//
// Noise is a function of a section's key and of the voxel's place in it. Logarithms and powers are polynomials of our own,
// sums follow one order; so all modules give the same bits.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::retouch {

struct Images {
    float* data;
    int64_t samples, channels;
    Shape shape;

    EMFAST_HD int64_t sections() const { return samples * shape.z; }  // numbered sample * shape.z + z, of all channels
    EMFAST_HD int64_t plane() const { return shape.y * shape.x; }
    EMFAST_HD int64_t voxels() const { return samples * channels * shape.voxels(); }
    // The first voxel of a section of a channel.
    EMFAST_HD int64_t start(int64_t section, int64_t channel) const {
        const int64_t sample = section / shape.z;
        return ((sample * channels + channel) * shape.z + section - sample * shape.z) * plane();
    }
};

// The tones of a section, in this order:
//   v * gain + offset
//   low + range * u^gamma where u = (v - low) / range within 0 and 1; left out where gamma is 1
//   v + noise * a normal deviate; left out where noise is 0
//   within floor and ceiling
struct Tones {
    float gain, offset, low, range, gamma, noise, floor, ceiling;
};
// tones, keys: one for each section.
void tone(Executor& ex, const Images& images, const Tones* tones, const uint64_t* keys);

// means: samples * channels * z of them.
void means(Executor& ex, const Images& images, double* means);

// Each of `count` sections becomes a weighted sum of its voxels' neighbours, as they were before; beyond the border lies the last
// voxel. Section k has the taps starts[k] to starts[k + 1]; a tap is a step along z, y and x, and its weight.
struct Taps {
    int64_t count;
    const int64_t* sections;
    const int64_t* starts;
    const int32_t* steps;
    const float* weights;
};
void smooth(Executor& ex, const Images& images, const Taps& taps);

// Boxes take a value of their own, for all channels, one box after another. A box is seven numbers on the host: the sample,
// then from and to along z, y and x, within the shape.
void fill(Executor& ex, const Images& images, const int64_t* boxes, const float* values, int64_t count);

// Something lies over each of `count` sections: v + cover * (value - v), with a value and a cover for each voxel of a section.
// No section twice.
struct Layers {
    int64_t count;
    const int64_t* sections;
    const float* values;
    const float* covers;
};
void overlay(Executor& ex, const Images& images, const Layers& layers);

// Each of `count` sections is moved towards a flat histogram between low and high, by the share `amount`: v becomes the part of
// voxels below it, of `bins` bins with those of its own bin as far as v is in that. Channels on their own; no section twice.
inline constexpr int64_t bins = 256;
struct Flat {
    int64_t count;
    const int64_t* sections;
    const float* amounts;
    float low, high;
};
void equalise(Executor& ex, const Images& images, const Flat& flat);

}  // namespace emfast::retouch
