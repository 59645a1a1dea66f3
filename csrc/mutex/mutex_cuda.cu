#include "mutex/mutex_body.h"

namespace emfast::mutex {

template <class A>
Outcome watershed(Executor& ex, const Grid<A>& grid, uint32_t* labels) {
    return by_rounds(ex, grid, labels);
}

int64_t watershed_of_graph(Executor& ex, int64_t n, int64_t edges, const uint32_t* ends, const double* weights,
                           uint32_t* labels) {
    return graph_by_rounds(ex, n, edges, ends, weights, labels);
}

EMFAST_FOR_AFFINITIES(EMFAST_INSTANTIATE)

}  // namespace emfast::mutex
