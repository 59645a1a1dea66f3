#include "seeds/markers_body.h"

namespace emfast::seeds {

template <class T>
void flood(Executor& ex, const Shape& shape, const T* height, const uint8_t* mask, const void* seeds, int label_bytes,
           const Options& options, void* out) {
    const Field<T> field = field_of(shape, height, mask, options);
    if (shape.voxels() == 0) return;
    flood_by(ex, field, seeds, label_bytes, options.lines, out, [&](auto& basins, const auto& begin) {
        ex.for_each(shape.voxels(), begin);
        find_basins(ex, field, basins);
    });
}

template <class T>
void h_maxima(Executor& ex, const Shape& shape, const T* values, const uint8_t* mask, double h, const Options& options,
              uint8_t* out) {
    if (shape.voxels() == 0) return;
    h_maxima_by(ex, field_of(shape, values, mask, options), h, out,
                [&](const auto& field, auto& basins, const auto& begin) {
                    ex.for_each(shape.voxels(), begin);
                    find_basins(ex, field, basins);
                });
}

template <class T>
int64_t peaks(Executor& ex, const Shape& shape, const T* values, const uint8_t* mask, double threshold,
              double separation, const double (&spacing)[3], bool planar, uint32_t* out) {
    if (shape.voxels() == 0) return 0;
    return peaks_by(ex, Field<T>{shape, values, mask, 3, planar}, threshold, separation, spacing, out,
                    [&](const auto& field, auto& basins, const auto& begin) {
                        ex.for_each(shape.voxels(), begin);
                        find_basins(ex, field, basins);
                    });
}

template <class A>
int64_t above_mean(Executor& ex, const Shape& shape, const A* affinities, int channels, bool planar, double share,
                   uint8_t* out) {
    return above_mean_by(ex, AboveMean<A>{shape, affinities, channels, planar, share, out});
}

template <class S>
void flood_by_queue(Executor&, const Shape&, const double*, const uint8_t*, const S*, int, double, bool, S*) {
    refuse("a queue runs on the host: its arrays cannot be on a device");
}

EMFAST_FOR_HEIGHTS(EMFAST_INSTANTIATE)
EMFAST_FOR_HEIGHTS(EMFAST_INSTANTIATE_MARKERS)
EMFAST_FOR_AFFINITIES(EMFAST_INSTANTIATE_MEAN)
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE_QUEUE)

}  // namespace emfast::seeds
