#include "core/dtypes.h"
#include "example/example_body.h"

namespace emfast::example {
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)
}  // namespace emfast::example
