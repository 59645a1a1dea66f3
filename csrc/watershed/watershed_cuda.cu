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

int64_t link_by_size(const int64_t* pairs, int64_t n, std::vector<int64_t> sizes, int64_t merge_size, int64_t dust,
                     uint64_t* table) {
    return link_in_order(pairs, n, std::move(sizes), merge_size, dust, table);
}

EMFAST_FOR_AFFINITIES(EMFAST_INSTANTIATE)

}  // namespace emfast::watershed
