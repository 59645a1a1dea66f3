// The host sibling: tones and sums of neighbours by rows, in loops that compilers vectorise.
#include <algorithm>
#include <limits>

#include "retouch/retouch_body.h"

namespace emfast::retouch {
namespace {

[[maybe_unused]] EMFAST_CLONES void scale(float gain, float offset, int64_t n, float* v) {
    for (int64_t x = 0; x < n; ++x) v[x] = v[x] * gain + offset;
}

[[maybe_unused]] EMFAST_CLONES void raise(const Tones& t, int64_t n, float* v) {
    for (int64_t x = 0; x < n; ++x) v[x] = power(v[x], t);
}

[[maybe_unused]] EMFAST_CLONES void disturb(float noise, Key key, uint32_t counter, int64_t n, float* v) {
    const auto count = static_cast<int32_t>(n);
    for (int32_t x = 0; x < count; ++x)
        v[x] = v[x] + noise * normal(key.first, key.second, counter + static_cast<uint32_t>(x));
}

[[maybe_unused]] EMFAST_CLONES void bound(float low, float high, int64_t n, float* v) {
    for (int64_t x = 0; x < n; ++x) v[x] = within(v[x], low, high);
}

[[maybe_unused]] EMFAST_CLONES void add_weighted(const float* in, float weight, int64_t n, float* out) {
    for (int64_t x = 0; x < n; ++x) out[x] = out[x] + weight * in[x];
}

void tone_rows(Executor& ex, const Images& images, const Tones* tones, const uint64_t* keys) {
    const Shape& s = images.shape;
    if (images.voxels() == 0) return;
    constexpr float none = std::numeric_limits<float>::infinity();
    const int64_t rows = images.samples * images.channels * s.rows();
    ex.for_chunks(rows, ex.grain(rows, (1 << 14) / s.x + 1), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r) {
            const int64_t y = r % s.y, z = r / s.y % s.z, volume = r / s.rows(), channel = volume % images.channels;
            const int64_t section = volume / images.channels * s.z + z;
            const Tones& t = tones[section];
            float* v = images.data + r * s.x;
            if (t.gain != 1.0f || t.offset != 0.0f) scale(t.gain, t.offset, s.x, v);
            if (t.gamma != 1.0f) raise(t, s.x, v);
            if (t.noise != 0.0f)
                disturb(t.noise, key_of(keys[section], channel), static_cast<uint32_t>(y * s.x), s.x, v);
            if (t.floor != -none || t.ceiling != none) bound(t.floor, t.ceiling, s.x, v);
        }
    });
}

// A row of a tap: what reaches beyond the border takes the last voxel.
void add_tap(const float* in, int64_t step, float weight, int64_t n, float* out) {
    const int64_t from = std::clamp<int64_t>(-step, 0, n), to = std::clamp<int64_t>(n - step, from, n);
    for (int64_t x = 0; x < from; ++x) out[x] = out[x] + weight * in[0];
    if (to > from) add_weighted(in + from + step, weight, to - from, out + from);
    for (int64_t x = to; x < n; ++x) out[x] = out[x] + weight * in[n - 1];
}

void smooth_rows(Executor& ex, const Images& images, const Taps& taps) {
    const Shape& s = images.shape;
    const int64_t rows = taps.count * images.channels * s.y;
    if (rows * s.x == 0) return;
    auto out = ex.scratch<float>(rows * s.x);
    ex.for_chunks(rows, ex.grain(rows, (1 << 12) / s.x + 1), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r) {
            const int64_t y = r % s.y, each = r / s.y, k = each / images.channels, section = taps.sections[k];
            const int64_t z = section % s.z;
            const float* in = images.data + images.start(section, each % images.channels) - z * images.plane();
            float* row = out.data() + r * s.x;
            std::fill(row, row + s.x, 0.0f);
            for (int64_t t = taps.starts[k]; t < taps.starts[k + 1]; ++t) {
                const int32_t* step = taps.steps + 3 * t;
                const int64_t from = s.index(held(z + step[0], s.z), held(y + step[1], s.y), 0);
                add_tap(in + from, step[2], taps.weights[t], s.x, row);
            }
        }
    });
    ex.for_each(rows * s.x, PutBack{images, taps.sections, out.data()});
}

}  // namespace

void tone(Executor& ex, const Images& images, const Tones* tones, const uint64_t* keys) {
    if constexpr (scrambled) tone_anywhere(ex, images, tones, keys);
    else tone_rows(ex, images, tones, keys);
}

void smooth(Executor& ex, const Images& images, const Taps& taps) {
    if constexpr (scrambled) smooth_anywhere(ex, images, taps);
    else smooth_rows(ex, images, taps);
}

}  // namespace emfast::retouch
