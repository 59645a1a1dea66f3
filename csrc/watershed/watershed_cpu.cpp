#include "watershed/watershed_body.h"

#if EMFAST_BACKEND == EMFAST_CORE
#include "watershed/watershed_runs.h"
#endif

namespace emfast::watershed {

template <class A, class Out>
int64_t fragments(Executor& ex, const Edges<A>& edges, const Options& options, Out* out) {
#if EMFAST_BACKEND == EMFAST_CORE
    const int64_t n = edges.shape.voxels();
    if (n == 0) return 0;
    if (n < (int64_t(1) << 31) - 2) return fragments_of_runs<uint32_t>(ex, edges, options, out);
    return fragments_of_runs<uint64_t>(ex, edges, options, out);
#else
    return fragments_anywhere(ex, edges, options, out);
#endif
}

template <class A>
std::vector<float> quantiles(Executor& ex, const Edges<A>& edges, const std::vector<double>& q) {
#if EMFAST_BACKEND == EMFAST_CORE
    const int64_t n = edges.shape.voxels();
    return quantiles_by(edges, q, [&](CountOrders<A> body) {  // a histogram a thread
        std::vector<std::vector<uint64_t>> counts(ex.threads());
        ex.for_chunks(n, ex.grain(n), [&](int64_t begin, int64_t end, int worker) {
            counts[worker].resize(quantile_bins);
            uint64_t* mine = counts[worker].data();
            for (int64_t i = begin; i < end; ++i) body.visit(i, [mine](uint64_t bin) { ++mine[bin]; });
        });
        std::vector<uint64_t> all(quantile_bins);
        for (const auto& some : counts)
            for (size_t bin = 0; bin < some.size(); ++bin) all[bin] += some[bin];
        return all;
    });
#else
    return quantiles_anywhere(ex, edges, q);
#endif
}

int64_t link_by_size(const int64_t* pairs, int64_t n, std::vector<int64_t> sizes, int64_t merge_size, int64_t dust,
                     uint64_t* table) {
    return link_in_order(pairs, n, std::move(sizes), merge_size, dust, table);
}

EMFAST_FOR_AFFINITIES(EMFAST_INSTANTIATE)

}  // namespace emfast::watershed
