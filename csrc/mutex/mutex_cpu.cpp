#include "mutex/mutex_body.h"
#include "mutex/mutex_tiles.h"

namespace emfast::mutex {
namespace {

// Takes edges, sorted, over nodes with mutexes from the start; seeds may be null. Leaves roots in `clusters`.
[[maybe_unused]] void take_in_order(Clusters<uint32_t>& clusters, const std::vector<Rest>& edges, uint32_t* seeds) {
    for (const Rest& e : edges) {
        const uint32_t a = clusters.root(e.a), b = clusters.root(e.b);
        if (a == b) continue;
        if (e.order_and_sign & 1) {
            clusters.keep_apart(a, b);
        } else if (!(seeds && seeds[a] && seeds[b]) && !clusters.apart(a, b)) {
            const uint32_t seed = seeds ? seeds[a] | seeds[b] : 0;
            const uint32_t root = clusters.join(a, b);
            if (seeds) seeds[root] = seed;
        }
    }
}

// In order of comes_before. The orders are sorted by all threads, ties by one.
[[maybe_unused]] std::vector<Rest> in_order(Executor& ex, const std::vector<Rest>& edges) {
    const auto n = static_cast<int64_t>(edges.size());
    auto keys = ex.scratch<uint32_t>(n);
    auto index = ex.scratch<uint32_t>(n);
    for (int64_t i = 0; i < n; ++i) {
        keys[i] = ~(edges[i].order_and_sign >> 1);
        index[i] = static_cast<uint32_t>(i);
    }
    ex.sort_pairs(keys.data(), index.data(), n);
    std::vector<Rest> out(n);
    ex.for_chunks(n, ex.grain(n), [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) out[i] = edges[index[i]];
    });
    for (int64_t i = 0; i < n;) {
        int64_t end = i + 1;
        while (end < n && keys[end] == keys[i]) ++end;
        if (end - i > 1) std::sort(out.begin() + i, out.begin() + end, comes_before);
        i = end;
    }
    return out;
}

template <class A, class Out>
[[maybe_unused]] Outcome by_tiles(Executor& ex, const Grid<A>& grid, Out* labels) {
    const Shape s = grid.shape;
    if (s.voxels() == 0) return {0, -1};
    if (grid.channels.size() > size_t(Entry::most_channels))
        refuse("affinities must have at most ", Entry::most_channels, " channels, got ", grid.channels.size());
    const Tiling tiling(s, grid.channels, grid.tile_bits);
    const int64_t tiles = tiling.count();
    std::vector<Solved> solved(tiles);
    std::vector<int64_t> bad(tiles, -1);
    {
        std::vector<std::unique_ptr<TileSolver<A>>> workers(ex.threads());
        ex.for_chunks(tiles, 1, [&](int64_t begin, int64_t end, int worker) {
            if (!workers[worker]) workers[worker] = std::make_unique<TileSolver<A>>(grid, tiling);
            for (int64_t t = begin; t < end; ++t) workers[worker]->solve(t, labels, solved[t], bad[t]);
        });
    }

    std::vector<uint32_t> base(tiles);
    uint64_t nodes = 0;
    for (int64_t t = 0; t < tiles; ++t) {
        base[t] = static_cast<uint32_t>(nodes);
        nodes += solved[t].clusters;
        if (nodes >> 32) refuse("affinities must leave fewer than 2**32 clusters in tiles, got more");
    }
    std::vector<uint8_t> open(nodes);
    std::vector<uint32_t> seeds(grid.seeds ? nodes : 0);
    std::vector<int64_t> first(nodes);
    ex.for_chunks(tiles, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t) {
            std::copy(solved[t].open.begin(), solved[t].open.end(), open.begin() + base[t]);
            std::copy(solved[t].first.begin(), solved[t].first.end(), first.begin() + base[t]);
            if (grid.seeds) std::copy(solved[t].seed.begin(), solved[t].seed.end(), seeds.begin() + base[t]);
        }
    });
    std::vector<std::vector<Rest>> outer(tiles);
    ex.for_chunks(tiles, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
            outer_edges(grid, tiling, t, labels, base.data(), open.data(), outer[t], bad[t]);
    });
    for (int64_t t = 1; t < tiles; ++t)
        if (bad[t] >= 0 && (bad[0] < 0 || bad[t] < bad[0])) bad[0] = bad[t];
    if (bad[0] >= 0) return {0, bad[0]};

    Clusters<uint32_t> clusters;
    clusters.reset(static_cast<int64_t>(nodes));
    std::vector<Rest> rest;
    for (int64_t t = 0; t < tiles; ++t) {
        for (Rest r : solved[t].rest) {
            r.a += base[t], r.b += base[t];
            rest.push_back(r);
        }
        rest.insert(rest.end(), outer[t].begin(), outer[t].end());
        outer[t] = {};
        for (const auto& [a, b] : solved[t].mutexes) clusters.keep_apart(base[t] + a, base[t] + b);
        solved[t] = {};
    }
    if (grid.seeds) {
        std::vector<uint32_t> seeded(size_t(grid.seed_count) + 1, ~0u);
        for (uint32_t i = 0; i < nodes; ++i) {
            if (!seeds[i]) continue;
            uint32_t& root = seeded[seeds[i]];
            if (root != ~0u) {
                const uint32_t seed = seeds[i];
                root = clusters.join(root, i);
                seeds[root] = seed;
            } else {
                root = i;
            }
        }
    }
    take_in_order(clusters, in_order(ex, rest), grid.seeds ? seeds.data() : nullptr);

    // Labels: seeds, then ranks of first voxels. Nodes of a tile are numbered by their first voxels already.
    std::vector<uint32_t> roots(nodes);
    std::vector<int64_t> first_of(nodes, std::numeric_limits<int64_t>::max());
    for (uint32_t i = 0; i < nodes; ++i) {
        roots[i] = clusters.root(i);
        first_of[roots[i]] = std::min(first_of[roots[i]], first[i]);
    }
    std::vector<std::pair<int64_t, uint32_t>> order;
    for (uint32_t i = 0; i < nodes; ++i)
        if (roots[i] == i && !(grid.seeds && seeds[i])) order.push_back({first_of[i], i});
    std::sort(order.begin(), order.end());
    std::vector<Out> name(nodes);
    Out next = static_cast<Out>(grid.seed_count);
    for (const auto& [at, root] : order) name[root] = ++next;
    if (grid.seeds)
        for (uint32_t i = 0; i < nodes; ++i)
            if (roots[i] == i && seeds[i]) name[i] = static_cast<Out>(seeds[i]);
    for (uint32_t i = 0; i < nodes; ++i)
        if (roots[i] != i) name[i] = name[roots[i]];
    ex.for_chunks(s.rows(), ex.grain(s.rows(), (1 << 15) / s.x + 1), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r)
            for (int64_t x = 0; x < s.x; ++x) {
                Out& label = labels[r * s.x + x];
                if (label) label = name[base[tiling.of(r / s.y, r % s.y, x)] + label - 1];
            }
    });
    return {static_cast<int64_t>(next), -1};
}

[[maybe_unused]] int64_t in_sequence(Executor& ex, int64_t n, int64_t edges, const uint32_t* ends,
                                     const double* weights, uint32_t* labels) {
    auto index = edges_in_order(ex, edges, weights);
    Clusters<uint32_t> clusters;
    clusters.reset(n);
    for (int64_t k = 0; k < edges; ++k) {
        const uint32_t e = index[k];
        const uint32_t a = clusters.root(ends[2 * e]), b = clusters.root(ends[2 * e + 1]);
        if (a == b) continue;
        if (weights[e] < 0) clusters.keep_apart(a, b);
        else if (weights[e] > 0 && !clusters.apart(a, b)) clusters.join(a, b);
    }
    std::vector<uint32_t> name(n);
    uint32_t next = 0;
    for (int64_t i = 0; i < n; ++i) {
        uint32_t& label = name[clusters.root(static_cast<uint32_t>(i))];
        if (!label) label = ++next;
        labels[i] = label;
    }
    return next;
}

}  // namespace

template <class A, class Out>
Outcome watershed(Executor& ex, const Grid<A>& grid, Out* labels) {
    if constexpr (scrambled) return by_rounds(ex, grid, labels);
    else return by_tiles(ex, grid, labels);
}

int64_t watershed_of_graph(Executor& ex, int64_t n, int64_t edges, const uint32_t* ends, const double* weights,
                           uint32_t* labels) {
    if constexpr (scrambled) return graph_by_rounds(ex, n, edges, ends, weights, labels);
    else return in_sequence(ex, n, edges, ends, weights, labels);
}

EMFAST_FOR_AFFINITIES(EMFAST_INSTANTIATE)

}  // namespace emfast::mutex
