#include "core/dtypes.h"
#include "distance/distance_body.h"

namespace emfast::distance {
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)
}  // namespace emfast::distance
