#include "core/dtypes.h"
#include "distance/distance_body.h"

namespace emfast::distance {
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)
EMFAST_INSTANTIATE_WORDS(uint32_t)
EMFAST_INSTANTIATE_WORDS(uint64_t)
}  // namespace emfast::distance
