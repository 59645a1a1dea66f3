#include "agglomerate/engine.h"
#include "agglomerate/rounds.h"

namespace emfast::agglomerate {

Merges run(Executor& ex, const Problem& p, const Rules& r) {
    if constexpr (scrambled)
        if (rounds::suit(p, r)) return rounds::run(ex, p, r);
    return run_on_host(p, r, ex.team());
}

}  // namespace emfast::agglomerate
