// Positions, reading, and the schedule with one launch for each array. The host sibling works by rows with the same
// functions.
#pragma once

#include "core/dtypes.h"
#include "core/isa.h"
#include "resample/resample.h"

namespace emfast::resample {

struct Position {
    float z, y, x;
};

EMFAST_HD EMFAST_INLINE float blend(float a, float b, float t) { return a + t * (b - a); }
EMFAST_HD EMFAST_INLINE float along(float start, float by_y, float by_x, float y, float x) {
    return (start + by_y * y) + by_x * x;
}

// A place between neighbours along one axis of n voxels: both, and how far it is to the second.
struct Between {
    int first, second;
    float part;
};

EMFAST_HD EMFAST_INLINE Between between(float p, int n) {
    const float last = static_cast<float>(n - 1);
    p = p > 0.0f ? p : 0.0f;
    p = p < last ? p : last;
    const int first = static_cast<int>(p);
    return {first, first + (first < n - 1 ? 1 : 0), p - static_cast<float>(first)};
}

// The nearest voxel along an axis; -1 outside.
EMFAST_HD EMFAST_INLINE int nearest(float p, int n) {
    const float beyond = static_cast<float>(n) + 1.0f;
    p = p + 0.5f;
    p = p > -1.0f ? p : -1.0f;
    p = p < beyond ? p : beyond;
    const int down = static_cast<int>(p);
    const int i = down - (p < static_cast<float>(down) ? 1 : 0);
    return i < n ? i : -1;
}

// How the nodes around a voxel of the output share its displacement.
struct Cell {
    int64_t node;
    float part;
};
EMFAST_HD EMFAST_INLINE Cell cell(int64_t at, int64_t step) {
    const int64_t node = at / step;
    return {node, static_cast<float>(at - node * step) / static_cast<float>(step)};
}

EMFAST_HD inline float displacement(const Map& m, int64_t section, int axis, int64_t y, int64_t x) {
    const Cell v = cell(y, m.step), h = cell(x, m.step);
    const float* a = m.grid + ((section * m.axes + axis) * m.rows + v.node) * m.columns + h.node;
    const float* b = a + m.columns;
    return blend(blend(a[0], b[0], v.part), blend(a[1], b[1], v.part), h.part);
}

EMFAST_HD inline Position position(const Map& m, int64_t section, int64_t y, int64_t x) {
    const float* s = m.sections + section * 9;
    const auto fy = static_cast<float>(y), fx = static_cast<float>(x);
    Position p{along(s[0], s[3], s[6], fy, fx), along(s[1], s[4], s[7], fy, fx), along(s[2], s[5], s[8], fy, fx)};
    if (m.axes == 3) p.z = p.z + displacement(m, section, 0, y, x);
    if (m.axes >= 2) {
        p.y = p.y + displacement(m, section, m.axes - 2, y, x);
        p.x = p.x + displacement(m, section, m.axes - 1, y, x);
    }
    return p;
}

template <class T>
EMFAST_HD EMFAST_INLINE float read_section(const T* in, int row, const Between& y, const Between& x) {
    const T *a = in + y.first * row, *b = in + y.second * row;
    const float top = blend(static_cast<float>(a[x.first]), static_cast<float>(a[x.second]), x.part);
    const float bottom = blend(static_cast<float>(b[x.first]), static_cast<float>(b[x.second]), x.part);
    return blend(top, bottom, y.part);
}

// Voxel i of all outputs: its section among all of them, and its place in that.
struct Voxel {
    int64_t section, y, x;
};
EMFAST_HD inline Voxel voxel(const Map& m, int64_t i) {
    const int64_t row = i / m.out.x, section = row / m.out.y;
    return {section, row - section * m.out.y, i - row * m.out.x};
}

template <class T>
struct ReadImage {
    Map map;
    const T* in;
    float* out;
    int64_t channels;
    Strides strides;
    EMFAST_HD void operator()(int64_t i) const {
        const Voxel v = voxel(map, i);
        const Position p = position(map, v.section, v.y, v.x);
        const Between z = between(p.z, map.source.z), y = between(p.y, map.source.y), x = between(p.x, map.source.x);
        const int64_t sample = v.section / map.out.z, n = map.out.voxels(), plane = strides.section;
        const int64_t at = i - sample * n;
        for (int64_t c = 0; c < channels; ++c) {
            const T* from = in + sample * strides.sample + c * strides.channel;
            const auto row = static_cast<int>(strides.row);
            float value = read_section(from + z.first * plane, row, y, x);
            if (z.part != 0.0f) value = blend(value, read_section(from + z.second * plane, row, y, x), z.part);
            out[(sample * channels + c) * n + at] = value;
        }
    }
};

// The voxel of the source that is nearest to voxel i of the output; -1 outside.
EMFAST_HD inline int64_t nearest_voxel(const Map& m, const Strides& strides, int64_t i) {
    const Voxel v = voxel(m, i);
    const Position p = position(m, v.section, v.y, v.x);
    const int z = nearest(p.z, m.source.z), y = nearest(p.y, m.source.y), x = nearest(p.x, m.source.x);
    if ((z | y | x) < 0) return -1;
    return v.section / m.out.z * strides.sample + z * strides.section + y * strides.row + x;
}

template <class T>
struct ReadLabels {
    Map map;
    const T* in;
    T* out;
    Strides strides;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t at = nearest_voxel(map, strides, i);
        out[i] = at < 0 ? T(0) : in[at];
    }
};

struct ReadMask {
    Map map;
    const uint8_t* in;
    uint8_t* out;
    Strides strides;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t at = nearest_voxel(map, strides, i);
        out[i] = at >= 0 && (!in || in[at] != 0);
    }
};

inline void run_anywhere(Executor& ex, const Map& map, const Image& image, const std::vector<Labels>& labels,
                         const std::vector<Mask>& masks) {
    const int64_t n = map.samples * map.out.voxels();
    const auto read = [&](auto zero) {
        using T = decltype(zero);
        ex.for_each(n, ReadImage<T>{map, static_cast<const T*>(image.in), image.out, image.channels, image.strides});
    };
    if (image.channels > 0) switch (image.pixel) {
            case Pixel::u8: read(uint8_t{}); break;
            case Pixel::u16: read(uint16_t{}); break;
            case Pixel::f32: read(float{}); break;
        }
    for (const Labels& each : labels)
        visit_width(each.bytes, [&](auto zero) {
            using T = decltype(zero);
            ex.for_each(n, ReadLabels<T>{map, static_cast<const T*>(each.in), static_cast<T*>(each.out), each.strides});
        });
    for (const Mask& each : masks) ex.for_each(n, ReadMask{map, each.in, each.out, each.strides});
}

}  // namespace emfast::resample
