#include "mutex/mutex_body.h"
#include "mutex/mutex_levels.h"

namespace emfast::mutex {
namespace {

template <class A>
[[maybe_unused]] Outcome by_levels(Executor& ex, const Grid<A>& grid, uint32_t* labels) {
    const Shape s = grid.shape;
    const int64_t n = s.voxels(), channels = static_cast<int64_t>(grid.channels.size());
    if (n == 0) return {0, -1};
    if (channels > Entry::most_channels)
        refuse("affinities must have at most ", Entry::most_channels, " channels, got ", channels);
    int64_t bad = -1;
    const int64_t at_once = grid.edges_at_once ? grid.edges_at_once : std::max<int64_t>(1 << 20, n * channels / 12);
    const std::vector<Level> levels = levels_of(ex, grid, at_once, bad);
    if (bad >= 0) return {0, bad};
    int64_t most = 0, edges = 0;
    for (const Level& l : levels) most = std::max(most, l.edges), edges += l.edges;
    std::vector<int64_t> steps;
    for (const Channel& c : grid.channels) steps.push_back(s.index(c.offset.z, c.offset.y, c.offset.x));

    Clusters clusters(ex, n, edges);
    auto seeds = ex.scratch<uint32_t>(grid.seeds ? n : 0);
    if (grid.seeds) {
        std::vector<uint32_t> seeded(size_t(grid.seed_count) + 1, ~0u);
        for (int64_t i = 0; i < n; ++i) {
            seeds[i] = grid.mask && !grid.mask[i] ? 0 : grid.seeds[i];
            if (!seeds[i]) continue;
            uint32_t& root = seeded[seeds[i]];
            root = root == ~0u ? static_cast<uint32_t>(i) : clusters.join(root, static_cast<uint32_t>(i));
        }
    }
    uint32_t* at_roots = grid.seeds ? seeds.data() : nullptr;
    {
        Reader<A> reader(ex, grid, clusters, steps, most);
        const auto memory = ex.scratch<uint64_t>(most);
        uint64_t* entries = memory.data();
        int64_t count = 0;
        for (size_t l = 0; l <= levels.size(); ++l) {
            const int64_t pieces = l < levels.size() ? reader.pieces() : 0;
            if (pieces) reader.begin(levels[l]);
            ex.for_chunks(1 + pieces, 1, [&](int64_t begin, int64_t end, int) {
                for (int64_t part = begin; part < end; ++part) {
                    if (part == 0) take_level(clusters, entries, count, steps, at_roots);
                    else reader.read(part - 1);
                }
            });
            count = pieces ? reader.exchange(entries) : 0;
        }
    }

    // A root may come after other voxels of its cluster: labels are kept at roots until all have one.
    std::fill(labels, labels + n, 0u);
    if (grid.seeds)
        for (int64_t i = 0; i < n; ++i)
            if (seeds[i]) labels[clusters.root(static_cast<uint32_t>(i))] = seeds[i];
    uint32_t last = grid.seed_count;
    for (int64_t i = 0; i < n; ++i) {
        if (grid.mask && !grid.mask[i]) continue;
        uint32_t& label = labels[clusters.root(static_cast<uint32_t>(i))];
        if (!label) label = ++last;
        labels[i] = label;
    }
    return {last, -1};
}

[[maybe_unused]] int64_t in_sequence(Executor& ex, int64_t n, int64_t edges, const uint32_t* ends,
                                     const double* weights, uint32_t* labels) {
    const auto index = edges_in_order(ex, edges, weights);
    Clusters clusters(ex, n, edges);
    for (int64_t k = 0; k < edges; ++k) {
        const uint32_t e = index[k];
        const uint32_t a = clusters.root(ends[2 * int64_t(e)]), b = clusters.root(ends[2 * int64_t(e) + 1]);
        if (a == b) continue;
        if (weights[e] < 0) clusters.keep_apart(a, b);
        else if (weights[e] > 0 && !clusters.apart(a, b)) clusters.join(a, b);
    }
    std::fill(labels, labels + n, 0u);
    uint32_t last = 0;
    for (int64_t i = 0; i < n; ++i) {
        uint32_t& label = labels[clusters.root(static_cast<uint32_t>(i))];
        if (!label) label = ++last;
        labels[i] = label;
    }
    return last;
}

}  // namespace

template <class A>
Outcome watershed(Executor& ex, const Grid<A>& grid, uint32_t* labels) {
    if constexpr (scrambled) return by_rounds(ex, grid, labels);
    else return by_levels(ex, grid, labels);
}

int64_t watershed_of_graph(Executor& ex, int64_t n, int64_t edges, const uint32_t* ends, const double* weights,
                           uint32_t* labels) {
    if constexpr (scrambled) return graph_by_rounds(ex, n, edges, ends, weights, labels);
    else return in_sequence(ex, n, edges, ends, weights, labels);
}

EMFAST_FOR_AFFINITIES(EMFAST_INSTANTIATE)

}  // namespace emfast::mutex
