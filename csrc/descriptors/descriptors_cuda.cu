#include "descriptors/descriptors_body.h"

namespace emfast::descriptors {

void describe(Executor& ex, View<const uint32_t> labels, int64_t, const Window& window, float* out) {
    describe_anywhere(ex, labels, window, out);
}

}  // namespace emfast::descriptors
