// The nearest of several places, for points of whole numbers in any number of dimensions.
#pragma once

#include <cstdint>

#include "core/exec.h"

namespace emfast::embedding {

// places: count rows of d numbers. gaps: for each place the squared distance to the nearest other, or less: a point nearer to
// a place than half that distance has no nearer one. out[i] is the number of the place nearest to point i from 1, of
// equally near ones the first; 0 if none is within the squared distance far. Numbers are below 2^24 in size, so that sums
// of squares of up to 64 differences fit.
void nearest(Executor& ex, const int32_t* points, int64_t n, int64_t d, const int32_t* places, const int64_t* gaps,
             int64_t count, int64_t far, uint32_t* out);

}  // namespace emfast::embedding
