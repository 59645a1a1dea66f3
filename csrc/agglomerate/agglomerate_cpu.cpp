#include "agglomerate/engine.h"

namespace emfast::agglomerate {

Merges run(Executor& ex, const Problem& p, const Rules& r) { return run_on_host(p, r, ex.team()); }

}  // namespace emfast::agglomerate
