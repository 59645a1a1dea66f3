// One voxel at a time, by all of its window; and the expression that makes channels of sums.
#pragma once

#include <cmath>

#include "core/hd.h"
#include "descriptors/descriptors.h"

namespace emfast::descriptors {

inline constexpr int sums = 10;  // 1, z, y, x, zz, yy, xx, zy, zx, yx

// Writes the channels of voxel i of n. The sums are whole numbers below 2^53.
struct Finish {
    double scale[3], whole;
    bool planar;
    int64_t n;
    float* out;

    EMFAST_HD void operator()(const double* sum, int64_t i) const {
        double mean[3], variance[3], correlation[3];
        for (int a = 0; a < 3; ++a) {
            mean[a] = sum[1 + a] / sum[0];
            const double v = sum[4 + a] / sum[0] - mean[a] * mean[a];
            variance[a] = v > 0.0 ? v : 0.0;
        }
        for (int k = 0; k < 3; ++k) {
            const int a = k == 2 ? 1 : 0, b = k == 0 ? 1 : 2;
            const double both = sqrt(variance[a] * variance[b]);
            const double c = both > 0.0 ? (sum[7 + k] / sum[0] - mean[a] * mean[b]) / both : 0.0;
            correlation[k] = c > 1.0 ? 1.0 : c < -1.0 ? -1.0 : c;
        }
        float* to = out + i;
        auto put = [&](double value) {
            *to = static_cast<float>(value);
            to += n;
        };
        const int first = planar ? 1 : 0;
        for (int a = first; a < 3; ++a) put(0.5 + 0.5 * (mean[a] * scale[a]));
        for (int a = first; a < 3; ++a) put(variance[a] * (scale[a] * scale[a]));
        for (int k = planar ? 2 : 0; k < 3; ++k) put(0.5 + 0.5 * correlation[k]);
        put(sum[0] / whole);
    }
};

inline Finish finish_of(const Window& window, int64_t n, float* out) {
    Finish f{{}, 1.0, window.planar, n, out};
    for (int a = 0; a < 3; ++a) {
        int64_t sum = 0;
        for (const int64_t w : window.weights[a]) sum += w;
        f.whole *= static_cast<double>(sum);
        f.scale[a] = window.scale[a];
    }
    return f;
}

struct Describe {
    View<const uint32_t> labels;
    const int64_t* weights;  // of z, then y, then x
    int64_t rz, ry, rx;
    Finish finish;

    EMFAST_HD void operator()(int64_t i) const {
        const uint32_t label = labels[i];
        const int64_t channels = finish.planar ? 6 : 10;
        if (label == 0) {
            for (int64_t c = 0; c < channels; ++c) finish.out[c * finish.n + i] = 0.0f;
            return;
        }
        const Point p = point(labels.shape, i);
        const int64_t *wz = weights + rz, *wy = wz + rz + 1 + ry, *wx = wy + ry + 1 + rx;
        int64_t total[sums] = {};
        for (int64_t z = -rz; z <= rz; ++z) {
            if (p.z + z < 0 || p.z + z >= labels.shape.z) continue;
            for (int64_t y = -ry; y <= ry; ++y) {
                if (p.y + y < 0 || p.y + y >= labels.shape.y) continue;
                for (int64_t x = -rx; x <= rx; ++x) {
                    if (p.x + x < 0 || p.x + x >= labels.shape.x) continue;
                    if (labels(p.z + z, p.y + y, p.x + x) != label) continue;
                    const int64_t w = wz[z] * wy[y] * wx[x];
                    const int64_t of[sums] = {1, z, y, x, z * z, y * y, x * x, z * y, z * x, y * x};
                    for (int k = 0; k < sums; ++k) total[k] += w * of[k];
                }
            }
        }
        double sum[sums];
        for (int k = 0; k < sums; ++k) sum[k] = static_cast<double>(total[k]);
        finish(sum, i);
    }
};

inline void describe_anywhere(Executor& ex, View<const uint32_t> labels, const Window& window, float* out) {
    std::vector<int64_t> all;
    for (const auto& row : window.weights) all.insert(all.end(), row.begin(), row.end());
    const auto table = ex.scratch<int64_t>(static_cast<int64_t>(all.size()));
    ex.store(table.data(), all);
    ex.for_each(labels.size(), Describe{labels, table.data(), window.radius(0), window.radius(1), window.radius(2),
                                        finish_of(window, labels.size(), out)});
}

}  // namespace emfast::descriptors
