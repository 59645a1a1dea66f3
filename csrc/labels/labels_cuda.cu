#include "core/dtypes.h"
#include "labels/labels_body.h"

namespace emfast::labels {
EMFAST_FOR_WIDTHS(EMFAST_LABELS_ONE)
}  // namespace emfast::labels
