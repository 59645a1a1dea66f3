#include "core/dtypes.h"
#include "morphology/morphology_body.h"

namespace emfast::morphology {
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)
}  // namespace emfast::morphology
