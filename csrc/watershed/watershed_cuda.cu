#include "watershed/watershed_body.h"

namespace emfast::watershed {

template <class A, class Out>
int64_t fragments(Executor& ex, const Edges<A>& edges, const Options& options, Out* out) {
    return fragments_anywhere(ex, edges, options, out);
}

template <class A>
std::vector<float> quantiles(Executor& ex, const Edges<A>& edges, const std::vector<double>& q) {
    return quantiles_anywhere(ex, edges, q);
}

EMFAST_FOR_AFFINITIES(EMFAST_INSTANTIATE)

}  // namespace emfast::watershed
