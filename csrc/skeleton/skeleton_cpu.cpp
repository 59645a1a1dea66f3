#include "skeleton/engine.h"

namespace emfast::skeleton {

Trees trees(Executor& ex, const Objects& objects, const Rules& rules) {
    return run_on_host(objects, rules, ex.threads(), [&](int64_t n, const auto& f) { ex.for_chunks(n, 1, f); });
}

}  // namespace emfast::skeleton
