#include "core/dtypes.h"
#include "labels/objects_body.h"

namespace emfast::labels {
EMFAST_FOR_WIDTHS(EMFAST_OBJECTS)
}  // namespace emfast::labels
