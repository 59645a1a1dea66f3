#pragma once

#include "affinities/affinities.h"
#include "core/dtypes.h"
#include "core/steps.h"

namespace emfast::affinities {

EMFAST_HD inline bool inside(const Shape& s, int64_t z, int64_t y, int64_t x) {
    return z >= 0 && z < s.z && y >= 0 && y < s.y && x >= 0 && x < s.x;
}

template <class T>
struct Usable {
    const T* labels;
    const uint8_t* mask;
    const T* ignored;
    int64_t count;
    uint8_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        bool good = !mask || mask[i];
        for (int64_t k = 0; k < count; ++k) good = good && labels[i] != ignored[k];
        out[i] = good;
    }
};

template <class T>
void usable(Executor& ex, View<const T> labels, const uint8_t* mask, const std::vector<uint64_t>& ignored,
            uint8_t* out) {
    const auto table = ex.scratch<T>(static_cast<int64_t>(ignored.size()));
    ex.store(table.data(), std::vector<T>(ignored.begin(), ignored.end()));
    ex.for_each(labels.size(), Usable<T>{labels.data, mask, table.data(), table.size(), out});
}

template <class T, class Out>
struct Build {
    View<const T> labels;
    const uint8_t* usable;
    const Point* offsets;
    Out one;
    Out* out;
    uint8_t* valid;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t n = labels.size(), k = i / n, p = i - k * n;
        const Point at = point(labels.shape, p), o = offsets[k];
        const int64_t z = at.z + o.z, y = at.y + o.y, x = at.x + o.x;
        const bool here = inside(labels.shape, z, y, x);
        const int64_t q = here ? labels.shape.index(z, y, x) : p;
        const bool exists = here && (!usable || (usable[p] && usable[q]));
        out[i] = exists && labels[p] == labels[q] && labels[p] != 0 ? one : Out(0);
        if (valid) valid[i] = exists;
    }
};

template <class T, class Out>
void build_anywhere(Executor& ex, View<const T> labels, const uint8_t* usable, const std::vector<Point>& offsets,
                    Out one, Out* out, uint8_t* valid) {
    const auto table = ex.scratch<Point>(static_cast<int64_t>(offsets.size()));
    ex.store(table.data(), offsets);
    ex.for_each(labels.size() * table.size(), Build<T, Out>{labels, usable, table.data(), one, out, valid});
}

template <class T>
struct Within {
    View<const T> labels;
    const uint8_t* mask;
    const Point* offsets;
    Point begin;
    Shape core;
    float *out, *valid;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t n = core.voxels(), k = i / n;
        const Point at = point(core, i - k * n), o = offsets[k];
        const int64_t z = begin.z + at.z, y = begin.y + at.y, x = begin.x + at.x;
        const int64_t p = labels.shape.index(z, y, x);
        const bool here = inside(labels.shape, z + o.z, y + o.y, x + o.x);
        const int64_t q = here ? labels.shape.index(z + o.z, y + o.y, x + o.x) : p;
        const bool exists = here && (!mask || (mask[p] && mask[q]));
        out[i] = exists && labels[p] == labels[q] && labels[p] != 0 ? 1.0f : 0.0f;
        valid[i] = exists ? 1.0f : 0.0f;
    }
};

template <class T>
void within_anywhere(Executor& ex, View<const T> labels, const uint8_t* mask, const std::vector<Point>& offsets,
                     const Point& begin, const Shape& core, float* out, float* valid) {
    const auto table = ex.scratch<Point>(static_cast<int64_t>(offsets.size()));
    ex.store(table.data(), offsets);
    ex.for_each(core.voxels() * table.size(), Within<T>{labels, mask, table.data(), begin, core, out, valid});
}

// Step d of 26: the 13 directions and their opposites.
EMFAST_HD inline Step either_way(int d) {
    const Step s = direction(d % directions);
    return d < directions ? s : Step{-s.z, -s.y, -s.x};
}

EMFAST_HD inline bool touches(const Step& s, int connectivity) {
    return s.axes() <= (connectivity == 6 ? 1 : connectivity == 18 ? 2 : 3);
}

template <class T>
struct Boundaries {
    View<const T> labels;
    int connectivity;
    bool inner;
    uint8_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        const Point p = point(labels.shape, i);
        bool marked = false;
        for (int d = 0; d < 2 * directions; ++d) {
            const Step s = either_way(d);
            if (!touches(s, connectivity) || !inside(labels.shape, p.z + s.z, p.y + s.y, p.x + s.x)) continue;
            marked = marked || labels(p.z + s.z, p.y + s.y, p.x + s.x) != labels[i];
        }
        out[i] = marked && !(inner && labels[i] == 0);
    }
};

template <class T>
void boundaries_anywhere(Executor& ex, View<const T> labels, int connectivity, bool inner, uint8_t* out) {
    ex.for_each(labels.size(), Boundaries<T>{labels, connectivity, inner, out});
}

#define EMFAST_INSTANTIATE_BUILD(T, Out)                                                                        \
    template void build<T, Out>(Executor&, View<const T>, const uint8_t*, const std::vector<Point>&, Out, Out*, \
                                uint8_t*);
#define EMFAST_INSTANTIATE(T)                                                                                  \
    template void usable<T>(Executor&, View<const T>, const uint8_t*, const std::vector<uint64_t>&, uint8_t*); \
    template void boundaries<T>(Executor&, View<const T>, int, bool, uint8_t*);                                \
    template void within<T>(Executor&, View<const T>, const uint8_t*, const std::vector<Point>&, const Point&, \
                            const Shape&, float*, float*);                                                     \
    EMFAST_INSTANTIATE_BUILD(T, uint8_t)                                                                       \
    EMFAST_INSTANTIATE_BUILD(T, float)

}  // namespace emfast::affinities
