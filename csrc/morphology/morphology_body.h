#pragma once

#include "morphology/morphology.h"

namespace emfast::morphology {

template <class T>
struct IsBackground {
    const T* labels;
    uint8_t* out;
    EMFAST_HD void operator()(int64_t i) const { out[i] = labels[i] == T(0); }
};

template <class T>
struct GrowVoxel {
    View<const T> labels;
    const int64_t* nearest;
    Grow how;
    T* out;
    EMFAST_HD void operator()(int64_t i) const {
        const T label = labels[i];
        out[i] = label;
        if (label != T(0) || nearest[i] < 0) return;
        const Point p = point(labels.shape, i), q = point(labels.shape, nearest[i]);
        const int64_t z = p.z - q.z, y = p.y - q.y, x = p.x - q.x;
        if (how.weights[0] * z * z + how.weights[1] * y * y + how.weights[2] * x * x <= how.limit)
            out[i] = labels[nearest[i]];
    }
};

template <class T>
struct ShrinkVoxel {
    View<const T> labels;
    const float* squared;
    Shrink how;
    T* out;

    EMFAST_HD bool touches(int64_t i) const {
        const Shape& s = labels.shape;
        const Point p = point(s, i);
        for (int64_t k = 0; k < how.ties; ++k) {
            const int64_t* o = how.offsets + 3 * k;
            const int64_t z = p.z + o[0], y = p.y + o[1], x = p.x + o[2];
            const bool inside = z >= 0 && z < s.z && y >= 0 && y < s.y && x >= 0 && x < s.x;
            if (inside ? labels(z, y, x) != labels[i] : how.border) return true;
        }
        return false;
    }

    EMFAST_HD void operator()(int64_t i) const {
        const float d = squared[i];
        const bool stays = d > how.limit || (d == how.limit && how.ties > 0 && !touches(i));
        out[i] = stays ? labels[i] : T(0);
    }
};

template <class T>
void background(Executor& ex, const T* labels, int64_t n, uint8_t* out) {
    ex.for_each(n, IsBackground<T>{labels, out});
}

template <class T>
void grow(Executor& ex, View<const T> labels, const int64_t* nearest, const Grow& how, T* out) {
    ex.for_each(labels.size(), GrowVoxel<T>{labels, nearest, how, out});
}

template <class T>
void shrink(Executor& ex, View<const T> labels, const float* squared, const Shrink& how, T* out) {
    ex.for_each(labels.size(), ShrinkVoxel<T>{labels, squared, how, out});
}

#define EMFAST_INSTANTIATE(T)                                                         \
    template void background<T>(Executor&, const T*, int64_t, uint8_t*);              \
    template void grow<T>(Executor&, View<const T>, const int64_t*, const Grow&, T*); \
    template void shrink<T>(Executor&, View<const T>, const float*, const Shrink&, T*);

}  // namespace emfast::morphology
