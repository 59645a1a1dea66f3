#include "seeds/markers_body.h"

#if EMFAST_BACKEND == EMFAST_CORE
#include "seeds/seeds_rows.h"
#endif
#include "seeds/seeds_queue.h"

namespace emfast::seeds {

// begin(i) writes the word that voxel i begins with.
template <class T, class Id, class Begins>
void find_anyhow(Executor& ex, const Field<T>& field, Basins<Id>& basins, const Begins& begin) {
#if EMFAST_BACKEND == EMFAST_CORE
    find_basins_by_rows(ex, field, basins, [&begin](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) begin(i);
    });
#else
    ex.for_each(field.shape.voxels(), begin);
    find_basins(ex, field, basins);
#endif
}

template <class T>
void flood(Executor& ex, const Shape& shape, const T* height, const uint8_t* mask, const void* seeds, int label_bytes,
           const Options& options, void* out) {
    if (shape.voxels() == 0) return;
    const Field<T> field = field_of(shape, height, mask, options);
    flood_by(ex, field, seeds, label_bytes, options.lines, out,
             [&](auto& basins, const auto& begin) { find_anyhow(ex, field, basins, begin); });
}

template <class T>
void h_maxima(Executor& ex, const Shape& shape, const T* values, const uint8_t* mask, double h, const Options& options,
              uint8_t* out) {
    if (shape.voxels() == 0) return;
    h_maxima_by(ex, field_of(shape, values, mask, options), h, out,
                [&](const auto& field, auto& basins, const auto& begin) { find_anyhow(ex, field, basins, begin); });
}

template <class T>
int64_t peaks(Executor& ex, const Shape& shape, const T* values, const uint8_t* mask, double threshold,
              double separation, const double (&spacing)[3], bool planar, uint32_t* out) {
    if (shape.voxels() == 0) return 0;
    return peaks_by(ex, Field<T>{shape, values, mask, 3, planar}, threshold, separation, spacing, out,
                    [&](const auto& field, auto& basins, const auto& begin) { find_anyhow(ex, field, basins, begin); });
}

template <class A>
int64_t above_mean(Executor& ex, const Shape& shape, const A* affinities, int channels, bool planar, double share,
                   uint8_t* out) {
    return above_mean_by(ex, AboveMean<A>{shape, affinities, channels, planar, share, out});
}

template <class S>
void flood_by_queue(Executor& ex, const Shape& shape, const double* height, const uint8_t* mask, const S* seeds,
                    int axes, double compactness, bool lines, S* out) {
    auto look_up = [&] { ex.for_chunks(1, 1, [](int64_t, int64_t, int) {}); };  // for Ctrl-C
    flood_in_queue(shape, height, mask, seeds, axes, compactness, lines, look_up, out);
}

EMFAST_FOR_HEIGHTS(EMFAST_INSTANTIATE)
EMFAST_FOR_HEIGHTS(EMFAST_INSTANTIATE_MARKERS)
EMFAST_FOR_AFFINITIES(EMFAST_INSTANTIATE_MEAN)
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE_QUEUE)

}  // namespace emfast::seeds
