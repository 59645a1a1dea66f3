// Bodies (one index each) and schedules (a few verbs), shared by the host, the scrambled host and the device.
#pragma once

#include "example/example.h"

namespace emfast::example {

template <class T>
struct ScaleAdd {
    const T* a;
    const T* b;
    T factor;
    T* out;
    EMFAST_HD void operator()(int64_t i) const { out[i] = static_cast<T>(a[i] + factor * b[i]); }
};

// A tile loads its 64 elements into shared memory and halves them in six rounds.
template <class T>
struct TileMinimum {
    const T* a;
    T* out;
    int64_t n;

    EMFAST_HD void operator()(const Tile& tile) const {
        T* values = reinterpret_cast<T*>(tile.shared);
        const int64_t from = tile.index * tile_length;
        const T none = static_cast<T>(~T(0));
        tile.each(tile_length, [&](int64_t k) { values[k] = from + k < n ? a[from + k] : none; });
        for (int64_t half = tile_length / 2; half > 0; half /= 2)
            tile.each(half, [&](int64_t k) {
                if (values[k + half] < values[k]) values[k] = values[k + half];
            });
        tile.each(1, [&](int64_t) { out[tile.index] = values[0]; });
    }
};

template <class T>
void scale_add(Executor& ex, const T* a, const T* b, T factor, T* out, int64_t n) {
    ex.for_each(n, ScaleAdd<T>{a, b, factor, out});
}

template <class T>
void tile_minimum(Executor& ex, const T* a, T* out, int64_t n) {
    ex.tiles((n + tile_length - 1) / tile_length, 64, tile_length * sizeof(T), TileMinimum<T>{a, out, n});
}

#define EMFAST_INSTANTIATE(T)                                                  \
    template void scale_add<T>(Executor&, const T*, const T*, T, T*, int64_t); \
    template void tile_minimum<T>(Executor&, const T*, T*, int64_t);

}  // namespace emfast::example
