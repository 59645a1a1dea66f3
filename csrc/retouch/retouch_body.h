// Numbers, bodies and the schedules that run anywhere.
#pragma once

#include <cstring>

#include "core/atomic.h"
#include "core/isa.h"
#include "core/mix.h"
#include "retouch/retouch.h"

namespace emfast::retouch {

// ---- Numbers: + - * / and sqrt alone ---------------------------------------------------------------------------------

EMFAST_HD EMFAST_INLINE int32_t bits_of(float v) {
    int32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}
EMFAST_HD EMFAST_INLINE float of_bits(int32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

// For normal v > 0, within 1e-7 or a relative 1e-7. With m = (1 + s) / (1 - s), ln m = 2 (s + s^3/3 + s^5/5 + ...).
EMFAST_HD EMFAST_INLINE float log2_of(float v) {
    const int32_t bits = bits_of(v) - 0x3f3504f3;  // the mantissa is brought to sqrt(1/2) … sqrt(2)
    const int32_t power = bits >> 23;
    const float m = of_bits((bits & 0x7fffff) + 0x3f3504f3);
    const float s = (m - 1.0f) / (m + 1.0f), q = s * s;
    const float series = s * (2.0f + q * (2.0f / 3 + q * (2.0f / 5 + q * (2.0f / 7 + q * (2.0f / 9)))));
    return static_cast<float>(power) + series * 1.44269504f;
}

// 2^p for p within -126 and 126, within a relative 1e-7 and the rounding of p: the Taylor series around whole numbers.
EMFAST_HD EMFAST_INLINE float exp2_of(float p) {
    p = p > -126.0f ? p : -126.0f;
    p = p < 126.0f ? p : 126.0f;
    const int32_t whole = static_cast<int32_t>(p + (p < 0 ? -0.5f : 0.5f));
    const float t = (p - static_cast<float>(whole)) * 0.69314718f;
    const float series =
        1.0f +
        t * (1.0f + t * (1.0f / 2 + t * (1.0f / 6 + t * (1.0f / 24 + t * (1.0f / 120 + t * (1.0f / 720 + t / 5040))))));
    return series * of_bits((whole + 127) << 23);
}

// A normal deviate (Box and Muller); at most 5.8.
EMFAST_HD EMFAST_INLINE float normal(uint32_t first, uint32_t second, uint32_t counter) {
    const uint32_t a = mix32(first + counter * 0x9e3779b1u), b = mix32(a + second);
    const float u = static_cast<float>(static_cast<int32_t>(a >> 8) + 1) * (1.0f / 16777216.0f);  // 0 < u <= 1
    const float w = static_cast<float>(static_cast<int32_t>(b >> 8)) * (1.0f / 16777216.0f) - 0.5f;
    const float x = (0.25f - (w < 0 ? -w : w)) * 6.28318531f, q = x * x;  // cos(2 pi w) = sin(x), |x| <= pi / 2
    const float sine = x * (1.0f - q * (1.0f / 6 - q * (1.0f / 120 - q * (1.0f / 5040 - q * (1.0f / 362880)))));
    return __builtin_sqrtf(log2_of(u) * -1.38629436f) * sine;
}

EMFAST_HD EMFAST_INLINE float power(float v, const Tones& t) {
    float u = (v - t.low) / t.range;
    u = u > 1e-30f ? u : 1e-30f;
    u = u < 1.0f ? u : 1.0f;
    return t.low + t.range * exp2_of(t.gamma * log2_of(u));
}

EMFAST_HD EMFAST_INLINE float within(float v, float low, float high) {
    v = v > low ? v : low;
    return v < high ? v : high;
}

// The two halves of a section's key, for one channel.
struct Key {
    uint32_t first, second;
};
EMFAST_HD EMFAST_INLINE Key key_of(uint64_t key, int64_t channel) {
    const uint64_t mixed = mix(mix(key) + static_cast<uint64_t>(channel));
    return {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
}

EMFAST_HD EMFAST_INLINE int64_t held(int64_t i, int64_t n) { return i < 0 ? 0 : i < n ? i : n - 1; }

// ---- Bodies ------------------------------------------------------------------------------------------------------------

struct Tone {
    Images images;
    const Tones* tones;
    const uint64_t* keys;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t plane = images.plane(), channel_section = i / plane, counter = i - channel_section * plane;
        const int64_t sample_channel = channel_section / images.shape.z, sample = sample_channel / images.channels;
        const int64_t section = sample * images.shape.z + channel_section - sample_channel * images.shape.z;
        const Tones& t = tones[section];
        float v = images.data[i] * t.gain + t.offset;
        if (t.gamma != 1.0f) v = power(v, t);
        if (t.noise != 0.0f) {
            const Key key = key_of(keys[section], sample_channel - sample * images.channels);
            v = v + t.noise * normal(key.first, key.second, static_cast<uint32_t>(counter));
        }
        images.data[i] = within(v, t.floor, t.ceiling);
    }
};

inline constexpr int lanes = 8;  // sums of a row that are added at last, so that they can be built side by side

struct RowSum {
    const float* in;
    double* sums;
    int64_t n;
    EMFAST_HD EMFAST_INLINE void operator()(int64_t row) const {
        const float* v = in + row * n;
        double sum[lanes] = {};
        int64_t x = 0;
        for (; x + lanes <= n; x += lanes)
            for (int j = 0; j < lanes; ++j) sum[j] += static_cast<double>(v[x + j]);
        for (int j = 0; x + j < n; ++j) sum[j] += static_cast<double>(v[x + j]);
        double all = 0;
        for (int j = 0; j < lanes; ++j) all += sum[j];
        sums[row] = all;
    }
};

struct SectionMean {
    const double* sums;
    double* means;
    int64_t rows, columns;
    EMFAST_HD void operator()(int64_t section) const {
        double sum = 0;
        for (int64_t y = 0; y < rows; ++y) sum += sums[section * rows + y];
        means[section] = sum / (static_cast<double>(rows) * static_cast<double>(columns));
    }
};

struct Smooth {
    Images images;
    Taps taps;
    float* out;  // (count, channels, y, x)
    EMFAST_HD void operator()(int64_t i) const {
        const Shape& s = images.shape;
        const int64_t x = i % s.x, y = i / s.x % s.y, each = i / images.plane();
        const int64_t k = each / images.channels, section = taps.sections[k], z = section % s.z;
        const float* in = images.data + images.start(section, each % images.channels) - z * images.plane();
        float sum = 0;
        for (int64_t t = taps.starts[k]; t < taps.starts[k + 1]; ++t) {
            const int32_t* step = taps.steps + 3 * t;
            const float v = in[s.index(held(z + step[0], s.z), held(y + step[1], s.y), held(x + step[2], s.x))];
            sum = sum + taps.weights[t] * v;
        }
        out[i] = sum;
    }
};

struct PutBack {
    Images images;
    const int64_t* sections;
    const float* from;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t plane = images.plane(), each = i / plane;
        images.data[images.start(sections[each / images.channels], each % images.channels) + i % plane] = from[i];
    }
};

struct Fill {
    Images images;
    int64_t sample, from_z, from_y, from_x;
    Shape box;
    float value;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t channel = i / box.voxels();
        const Point p = point(box, i - channel * box.voxels());
        const int64_t volume = sample * images.channels + channel;
        images.data[volume * images.shape.voxels() + images.shape.index(from_z + p.z, from_y + p.y, from_x + p.x)] =
            value;
    }
};

struct Overlay {
    Images images;
    Layers layers;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t plane = images.plane(), each = i / plane, k = each / images.channels;
        const int64_t here = i - each * plane, from = k * plane + here;
        float& v = images.data[images.start(layers.sections[k], each % images.channels) + here];
        v = v + layers.covers[from] * (layers.values[from] - v);
    }
};

// Which bin, and how far in it.
struct Bin {
    int64_t bin;
    float part;
};
EMFAST_HD EMFAST_INLINE Bin bin_of(float v, float low, float high) {
    const float at = within((v - low) / (high - low) * static_cast<float>(bins), 0.0f, static_cast<float>(bins));
    const int64_t bin = held(static_cast<int64_t>(at), bins);
    return {bin, at - static_cast<float>(bin)};
}

struct Count {
    Images images;
    Flat flat;
    uint32_t* counts;  // (count, channels, bins)
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t plane = images.plane(), each = i / plane;
        const int64_t start = images.start(flat.sections[each / images.channels], each % images.channels);
        const Bin at = bin_of(images.data[start + i - each * plane], flat.low, flat.high);
        atomic_add(counts[each * bins + at.bin], 1u);
    }
};

struct Accumulate {
    uint32_t* counts;
    EMFAST_HD void operator()(int64_t i) const {
        uint32_t sum = 0;
        for (int64_t b = 0; b < bins; ++b) counts[i * bins + b] = sum += counts[i * bins + b];
    }
};

struct Flatten {
    Images images;
    Flat flat;
    const uint32_t* counts;  // up to and with each bin
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t plane = images.plane(), each = i / plane, k = each / images.channels;
        float& v = images.data[images.start(flat.sections[k], each % images.channels) + i - each * plane];
        const Bin at = bin_of(v, flat.low, flat.high);
        const uint32_t* upto = counts + each * bins + at.bin;
        const auto below = static_cast<float>(at.bin ? upto[-1] : 0u), with = static_cast<float>(*upto);
        const float share = (below + at.part * (with - below)) / static_cast<float>(plane);
        v = v + flat.amounts[k] * (flat.low + share * (flat.high - flat.low) - v);
    }
};

// ---- Schedules -----------------------------------------------------------------------------------------------------------

inline void tone_anywhere(Executor& ex, const Images& images, const Tones* tones, const uint64_t* keys) {
    ex.for_each(images.voxels(), Tone{images, tones, keys});
}

inline void smooth_anywhere(Executor& ex, const Images& images, const Taps& taps) {
    const int64_t n = taps.count * images.channels * images.plane();
    auto out = ex.scratch<float>(n);
    ex.for_each(n, Smooth{images, taps, out.data()});
    ex.for_each(n, PutBack{images, taps.sections, out.data()});
}

void means(Executor& ex, const Images& images, double* means) {
    const int64_t rows = images.samples * images.channels * images.shape.rows();
    auto sums = ex.scratch<double>(rows);
    ex.for_each(rows, RowSum{images.data, sums.data(), images.shape.x});
    ex.for_each(images.sections() * images.channels, SectionMean{sums.data(), means, images.shape.y, images.shape.x});
}

void fill(Executor& ex, const Images& images, const int64_t* boxes, const float* values, int64_t count) {
    for (int64_t k = 0; k < count; ++k) {
        const int64_t* b = boxes + 7 * k;
        const Shape box{b[2] - b[1], b[4] - b[3], b[6] - b[5]};
        ex.for_each(images.channels * box.voxels(), Fill{images, b[0], b[1], b[3], b[5], box, values[k]});
    }
}

void overlay(Executor& ex, const Images& images, const Layers& layers) {
    ex.for_each(layers.count * images.channels * images.plane(), Overlay{images, layers});
}

void equalise(Executor& ex, const Images& images, const Flat& flat) {
    const int64_t each = flat.count * images.channels;
    auto counts = ex.scratch<uint32_t>(each * bins);
    ex.fill(counts.data(), each * bins, 0u);
    ex.for_each(each * images.plane(), Count{images, flat, counts.data()});
    ex.for_each(each, Accumulate{counts.data()});
    ex.for_each(each * images.plane(), Flatten{images, flat, counts.data()});
}

}  // namespace emfast::retouch
