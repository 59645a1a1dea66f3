// Markers: where to seed a watershed.
//
// h_maxima: a maximum is a set of voxels of one value, joined over neighbours, of which no neighbour is higher. Its depth is its
// value minus that of the highest pass to a higher maximum: of all ways to one, the largest least value on the way. Where
// there is none it is infinite. Voxels of maxima whose depth is h or more get 1. Values are subtracted as doubles.
//
// peaks: voxels above a threshold that have no higher neighbour (of 26, or of 8 in their section), taken by value, descending,
// then by index, ascending. One is left out if one taken before it is closer than `separation`; with a mask, if that is in the same
// part of the mask, joined over faces. What is taken is numbered from 1 in raster order. Squared distances are sums over
// z, y, x, in that order, as doubles.
#pragma once

#include "seeds/seeds.h"

namespace emfast::seeds {

template <class T>
void h_maxima(Executor& ex, const Shape& shape, const T* values, const uint8_t* mask, double h, const Options& options,
              uint8_t* out);

// Returns the number of peaks.
template <class T>
int64_t peaks(Executor& ex, const Shape& shape, const T* values, const uint8_t* mask, double threshold,
              double separation, const double (&spacing)[3], bool planar, uint32_t* out);

// 1 where the mean of a voxel's edges (to the voxels before and after it along every axis, as far as there are any) is above
// `share`. Sums are those of core/affinity.h's grid. Returns the first affinity (channel * voxels + voxel) that is read and not
// from 0 to 1, -1 if there is none.
template <class A>
int64_t above_mean(Executor& ex, const Shape& shape, const A* affinities, int channels, bool planar, double share,
                   uint8_t* out);

}  // namespace emfast::seeds
