#include "surface/engine.h"

namespace emfast::surface {

namespace {
auto team_of(Executor& ex) {
    return [&ex](int64_t n, int64_t grain, const auto& f) { ex.for_chunks(n, grain, f); };
}
}  // namespace

Histograms distances(Executor& ex, const Task& task, const std::vector<Pair>& pairs) {
    return run_on_host(task, pairs, false, ex.threads(), team_of(ex));
}

Histograms mask_distances(Executor& ex, const Task& task) {
    const Box box = bounds_on_host(task, ex.threads(), team_of(ex));
    return run_on_host(task, {{{0, 0}, box}}, true, ex.threads(), team_of(ex));
}

}  // namespace emfast::surface
