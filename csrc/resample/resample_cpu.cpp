// The host sibling goes row by row: positions of a row once for all arrays, in loops that compilers vectorise, then the
// reading. In a row whose source positions lie in one plane (no turn out of the section) z is found once.
#include <algorithm>

#include "resample/resample_body.h"

namespace emfast::resample {
namespace {

// What a row needs, made once for each thread.
struct Row {
    explicit Row(const Map& m)
        : nodes(m.columns),
          z(m.out.x),
          y(m.out.x),
          x(m.out.x),
          part_z(m.out.x),
          part_y(m.out.x),
          part_x(m.out.x),
          at(m.out.x),
          right(m.out.x),
          below(m.out.x),
          behind(m.out.x),
          near(m.out.x) {}
    std::vector<float> nodes, z, y, x, part_z, part_y, part_x;
    std::vector<int32_t> at, right, below, behind, near;  // voxels of the source, and steps to neighbours
};

[[maybe_unused]] EMFAST_CLONES void straight(float start, float by_y, float by_x, float y, int64_t n, float* out) {
    for (int64_t x = 0; x < n; ++x) out[x] = along(start, by_y, by_x, y, static_cast<float>(static_cast<int32_t>(x)));
}

[[maybe_unused]] EMFAST_CLONES void blend_nodes(const float* a, const float* b, float part, int64_t n, float* out) {
    for (int64_t k = 0; k < n; ++k) out[k] = blend(a[k], b[k], part);
}

[[maybe_unused]] EMFAST_CLONES void displace(const float* nodes, int64_t step, int64_t n, float* out) {
    const auto whole = static_cast<float>(step);
    for (int64_t from = 0, k = 0; from < n; from += step, ++k) {
        const int64_t count = std::min(step, n - from);
        for (int64_t j = 0; j < count; ++j)
            out[from + j] =
                out[from + j] + blend(nodes[k], nodes[k + 1], static_cast<float>(static_cast<int32_t>(j)) / whole);
    }
}

// Neighbours in the plane: the first of four, and the steps to the others.
[[maybe_unused]] EMFAST_CLONES void neighbours(const float* y, const float* x, int64_t n, int32_t size_y,
                                               int32_t size_x, int32_t row, int32_t* at, int32_t* right, int32_t* below,
                                               float* part_y, float* part_x) {
    for (int64_t i = 0; i < n; ++i) {
        const Between v = between(y[i], size_y), h = between(x[i], size_x);
        at[i] = v.first * row + h.first;
        right[i] = h.second - h.first;
        below[i] = (v.second - v.first) * row;
        part_y[i] = v.part;
        part_x[i] = h.part;
    }
}

// And along z, where that differs within a row.
[[maybe_unused]] EMFAST_CLONES void planes(const float* z, int64_t n, int32_t size_z, int32_t plane, int32_t* at,
                                           int32_t* behind, float* part_z) {
    for (int64_t i = 0; i < n; ++i) {
        const Between d = between(z[i], size_z);
        at[i] += d.first * plane;
        behind[i] = (d.second - d.first) * plane;
        part_z[i] = d.part;
    }
}

[[maybe_unused]] EMFAST_CLONES void near_plane(const float* y, const float* x, int64_t n, int32_t size_y,
                                               int32_t size_x, int32_t row, int32_t* near) {
    for (int64_t i = 0; i < n; ++i) {
        const int32_t v = nearest(y[i], size_y), h = nearest(x[i], size_x);
        near[i] = (v | h) < 0 ? -1 : v * row + h;
    }
}

[[maybe_unused]] EMFAST_CLONES void near_volume(const float* z, int64_t n, int32_t size_z, int32_t plane,
                                                int32_t* near) {
    for (int64_t i = 0; i < n; ++i) {
        const int32_t d = nearest(z[i], size_z);
        near[i] = (d | near[i]) < 0 ? -1 : d * plane + near[i];
    }
}

template <class T>
EMFAST_INLINE float corner_blend(const T* p, int32_t right, int32_t below, float part_y, float part_x) {
    const float a = static_cast<float>(p[0]), b = static_cast<float>(p[right]);
    const float c = static_cast<float>(p[below]), d = static_cast<float>(p[below + right]);
    return blend(blend(a, b, part_x), blend(c, d, part_x), part_y);
}

template <class T>
void read_plane(const T* in, const Row& r, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i)
        out[i] = corner_blend(in + r.at[i], r.right[i], r.below[i], r.part_y[i], r.part_x[i]);
}

template <class T>
void read_planes(const T* in, const T* behind, float part, const Row& r, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i)
        out[i] = blend(corner_blend(in + r.at[i], r.right[i], r.below[i], r.part_y[i], r.part_x[i]),
                       corner_blend(behind + r.at[i], r.right[i], r.below[i], r.part_y[i], r.part_x[i]), part);
}

template <class T>
void read_volume(const T* in, const Row& r, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) {
        const T* p = in + r.at[i];
        out[i] = blend(corner_blend(p, r.right[i], r.below[i], r.part_y[i], r.part_x[i]),
                       corner_blend(p + r.behind[i], r.right[i], r.below[i], r.part_y[i], r.part_x[i]), r.part_z[i]);
    }
}

// A row of output: section is its number among all, flat says that its positions share one z.
struct Rows {
    const Map& map;
    const Image& image;
    const std::vector<Labels>& labels;
    const std::vector<Mask>& masks;
    const int32_t size_z = map.source.z, size_y = map.source.y, size_x = map.source.x;

    void place(int64_t section, int64_t y, bool flat, Row& r) const {
        const float* s = map.sections + section * 9;
        float* const out[3] = {r.z.data(), r.y.data(), r.x.data()};
        const Cell v = map.axes ? cell(y, map.step) : Cell{0, 0};
        for (int axis = flat ? 1 : 0; axis < 3; ++axis) {
            straight(s[axis], s[3 + axis], s[6 + axis], static_cast<float>(y), map.out.x, out[axis]);
            const int channel = axis - 3 + map.axes;
            if (map.axes == 0 || channel < 0) continue;
            const float* a = map.grid + ((section * map.axes + channel) * map.rows + v.node) * map.columns;
            blend_nodes(a, a + map.columns, v.part, map.columns, r.nodes.data());
            displace(r.nodes.data(), map.step, map.out.x, out[axis]);
        }
    }

    template <class T>
    void read(int64_t sample, int64_t at, bool flat, float z, const Row& r) const {
        const Strides& s = image.strides;
        for (int64_t c = 0; c < image.channels; ++c) {
            const T* in = static_cast<const T*>(image.in) + sample * s.sample + c * s.channel;
            float* out = image.out + (sample * image.channels + c) * map.out.voxels() + at;
            if (!flat) {
                read_volume(in, r, map.out.x, out);
                continue;
            }
            const Between d = between(z, size_z);
            if (d.part == 0.0f) read_plane(in + d.first * s.section, r, map.out.x, out);
            else read_planes(in + d.first * s.section, in + d.second * s.section, d.part, r, map.out.x, out);
        }
    }

    void read_image(int64_t sample, int64_t at, bool flat, float z, Row& r) const {
        const auto row = static_cast<int32_t>(image.strides.row), plane = static_cast<int32_t>(image.strides.section);
        neighbours(r.y.data(), r.x.data(), map.out.x, size_y, size_x, row, r.at.data(), r.right.data(), r.below.data(),
                   r.part_y.data(), r.part_x.data());
        if (!flat) planes(r.z.data(), map.out.x, size_z, plane, r.at.data(), r.behind.data(), r.part_z.data());
        switch (image.pixel) {
            case Pixel::u8: read<uint8_t>(sample, at, flat, z, r); break;
            case Pixel::u16: read<uint16_t>(sample, at, flat, z, r); break;
            case Pixel::f32: read<float>(sample, at, flat, z, r); break;
        }
    }

    // The nearest voxels for an array of those strides; those of a row whose z is shared, within their section.
    void find(bool flat, const Strides& s, Row& r) const {
        near_plane(r.y.data(), r.x.data(), map.out.x, size_y, size_x, static_cast<int32_t>(s.row), r.near.data());
        if (!flat) near_volume(r.z.data(), map.out.x, size_z, static_cast<int32_t>(s.section), r.near.data());
    }

    void row(int64_t index, Row& r) const {
        const int64_t section = index / map.out.y, y = index % map.out.y, sample = section / map.out.z;
        const float* s = map.sections + section * 9;
        const bool flat = s[6] == 0.0f && map.axes < 3;
        const float z = along(s[0], s[3], s[6], static_cast<float>(y), 0.0f);
        place(section, y, flat, r);
        const int64_t n = map.out.x;
        if (image.channels > 0) read_image(sample, (index - sample * map.out.rows()) * n, flat, z, r);
        const int32_t d = flat ? nearest(z, size_z) : 0;
        const Strides* found = nullptr;
        const auto source = [&](const Strides& strides) {
            if (!found || !(*found == strides)) find(flat, *(found = &strides), r);
            return sample * strides.sample + std::max(d, 0) * strides.section;
        };
        for (const Labels& each : labels)
            visit_width(each.bytes, [&](auto zero) {
                using T = decltype(zero);
                const T* in = static_cast<const T*>(each.in) + source(each.strides);
                T* out = static_cast<T*>(each.out) + index * n;
                if (d < 0) std::fill(out, out + n, T(0));
                else
                    for (int64_t i = 0; i < n; ++i) out[i] = r.near[i] < 0 ? T(0) : in[r.near[i]];
            });
        for (const Mask& each : masks) {
            uint8_t* out = each.out + index * n;
            const int64_t from = source(each.strides);
            if (d < 0) std::fill(out, out + n, uint8_t(0));
            else if (each.in)
                for (int64_t i = 0; i < n; ++i) out[i] = r.near[i] >= 0 && each.in[from + r.near[i]] != 0;
            else
                for (int64_t i = 0; i < n; ++i) out[i] = r.near[i] >= 0;
        }
    }
};

}  // namespace

void run(Executor& ex, const Map& map, const Image& image, const std::vector<Labels>& labels,
         const std::vector<Mask>& masks) {
    if (map.out.voxels() * map.samples == 0) return;
    if constexpr (scrambled) return run_anywhere(ex, map, image, labels, masks);
    const Rows rows{map, image, labels, masks};
    const int64_t all = map.samples * map.out.rows();
    ex.for_chunks(all, ex.grain(all, (1 << 14) / map.out.x + 1), [&](int64_t begin, int64_t end, int) {
        Row buffers(map);
        for (int64_t i = begin; i < end; ++i) rows.row(i, buffers);
    });
}

}  // namespace emfast::resample
