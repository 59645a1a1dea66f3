#include "agglomerate/engine.h"

namespace emfast::agglomerate {

Merges run(Executor& ex, const Problem& p, const Rules& r) {
    return run_on_host(p, r, [&] { ex.for_chunks(1, 1, [](int64_t, int64_t, int) {}); });
}

}  // namespace emfast::agglomerate
