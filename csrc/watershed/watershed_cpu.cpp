#include "watershed/watershed_body.h"

#include "runs/runs.h"

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

namespace emfast::runs {

template <class A>
Runs fragments_of(Executor& ex, const watershed::Edges<A>& edges, const watershed::Options& options, bool sizes) {
    const Shape shape = edges.shape;
    const watershed::Box* core = sizes ? &options.inner : nullptr;
#if EMFAST_BACKEND == EMFAST_CORE
    Runs found(shape);
    if (shape.voxels() == 0) return found;
    Collector into(found, core);
    auto with = [&](auto id) {
        watershed::FragmentRuns<decltype(id)> runs(ex, shape);
        found.sound = watershed::join_strict(ex, runs, edges, options).has_value();
        if (found.sound) runs.each_row([&](auto... row) { into.add(row...); });
    };
    if (shape.voxels() < (int64_t(1) << 31) - 2) with(uint32_t{});
    else with(uint64_t{});
    return found;
#else
    auto dense = [&](const A* values) {
        return values ? Lines<const A>{values, shape, edges.plane, edges.row}.copied() : std::vector<A>();
    };
    const bool apart = edges.row != 0;
    const auto z = dense(apart ? edges.z : nullptr), y = dense(apart ? edges.y : nullptr),
               x = dense(apart ? edges.x : nullptr);
    watershed::Edges<A> side = edges;
    if (apart) side = {shape, edges.z ? z.data() : nullptr, y.data(), x.data(), edges.mask};
    const auto out = ex.scratch<uint32_t>(shape.voxels());
    watershed::fragments(ex, side, options, out.data());
    return of_labels({out.data(), shape}, core);
#endif
}

#define EMFAST_INSTANTIATE_RUNS(A) \
    template Runs fragments_of<A>(Executor&, const watershed::Edges<A>&, const watershed::Options&, bool);
EMFAST_FOR_AFFINITIES(EMFAST_INSTANTIATE_RUNS)

}  // namespace emfast::runs
