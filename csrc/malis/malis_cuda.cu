#include "core/team.h"
#include "core/threads.h"
#include "malis/engine.h"

namespace emfast::malis {

// Edges are joined one after another: the host does it.
void count(Executor& ex, const Graph& graph, uint64_t* pairs, uint64_t* sums) {
    const int64_t edges = graph.samples * graph.edges(), voxels = graph.samples * graph.shape.voxels();
    const auto affinities = ex.fetch(graph.affinities, edges);
    const auto target = ex.fetch(graph.target, edges);
    const auto known = graph.known ? ex.fetch(graph.known, edges) : std::vector<uint8_t>();
    const auto labels = graph.labels ? ex.fetch(graph.labels, voxels) : std::vector<uint32_t>();
    Graph here = graph;
    here.affinities = affinities.data();
    here.target = target.data();
    here.known = graph.known ? known.data() : nullptr;
    here.labels = graph.labels ? labels.data() : nullptr;
    std::vector<uint64_t> counts(edges), totals(4 * graph.samples);
    Team team(get_threads(), {});
    count_on_host(here, counts.data(), totals.data(), [&](int64_t n, const auto& f) {
        team.run(n, 1, [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; ++i) f(i);
        });
    });
    ex.store(pairs, counts);
    ex.store(sums, totals);
}

}  // namespace emfast::malis
