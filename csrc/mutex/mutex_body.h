// The parallel schedule. Clusters only ever join, and mutexes are only ever set, where the sequential run is known to do
// so; what that says about an edge e is read off the edges that are not decided yet. If e is the first of them at a
// cluster a, then at e's turn the sequential run knows all of a, and exactly a. So
//   - e repulsive: the mutex comes to stand, whatever the other end b is by then;
//   - e attractive: a joins b unless b is part of a cluster that a has a mutex with. That cannot be where each partner D of a
//     by mutex has its own first undecided edge later than e, for D is complete at e's turn, and not b; nor where e is
//     also first at b, for there is no mutex between a and b themselves.
// All edges for which this holds are decided in the same round, and the first edge of all is one of them. Of several
// edges between two clusters the first decides (a mutex before all), so they are folded after each round. A cluster
// without attractive edges never changes again: its edges are dropped.
//
//   1. On the grid, without a list of edges: a few rounds of joins to clusters' first edges, as long as no mutex is set.
//   2. The edges between clusters as pairs and keys; rounds until no attractive edge is undecided.
//   3. Labels in the order of the clusters' smallest voxels.
#pragma once

#include "core/ops.h"
#include "core/union_find.h"
#include "mutex/mutex_edges.h"

namespace emfast::mutex {

// Keys order as edges do, the larger first: order of the weight, inverted id, and the sign in the lowest bit.
inline constexpr uint64_t barred = ~uint64_t(0);  // the key of a pair with a mutex; no edge has it

EMFAST_HD inline bool repels(uint64_t key) { return key & 1; }

// Raises value to candidate; cheap where it is no gain.
EMFAST_HD inline void raise(uint64_t& value, uint64_t candidate) {
    if (atomic_load(value) < candidate) atomic_max(value, candidate);
}

// ---- Joining ----

struct Identity {
    uint32_t* parent;
    EMFAST_HD void operator()(int64_t i) const { parent[i] = static_cast<uint32_t>(i); }
};

struct Flatten {
    uint32_t* parent;
    EMFAST_HD void operator()(int64_t i) const {
        atomic_store(parent[i], find_shared(parent, static_cast<uint32_t>(i)));
    }
};

// The seed of a cluster is kept at its root.
struct CarrySeeds {
    const uint32_t* parent;
    uint32_t* seeds;
    EMFAST_HD void operator()(int64_t i) const {
        const uint32_t seed = atomic_load(seeds[i]);
        if (seed && parent[i] != i) atomic_store(seeds[parent[i]], seed);
    }
};

inline void settle(Executor& ex, int64_t n, uint32_t* parent, uint32_t* seeds) {
    ex.for_each(n, Flatten{parent});
    if (seeds) ex.for_each(n, CarrySeeds{parent, seeds});
}

// ---- Rounds over pairs of clusters ----

struct Pairs {
    uint64_t* pairs;  // smaller root above, larger below
    uint64_t* keys;
    EMFAST_HD uint32_t a(int64_t e) const { return static_cast<uint32_t>(pairs[e] >> 32); }
    EMFAST_HD uint32_t b(int64_t e) const { return static_cast<uint32_t>(pairs[e]); }
};

EMFAST_HD inline uint64_t pair_of(uint32_t a, uint32_t b) {
    return a < b ? uint64_t(a) << 32 | b : uint64_t(b) << 32 | a;
}

struct FirstOfCluster {
    Pairs edges;
    uint64_t* first;
    uint8_t* hope;  // whether it has an attractive edge
    EMFAST_HD void operator()(int64_t e) const {
        const uint64_t key = edges.keys[e];
        if (key == barred) return;
        raise(first[edges.a(e)], key);
        raise(first[edges.b(e)], key);
        if (repels(key)) return;
        atomic_store(hope[edges.a(e)], uint8_t(1));
        atomic_store(hope[edges.b(e)], uint8_t(1));
    }
};

// The first undecided edge of all clusters that this one has a mutex with.
struct FirstOfPartners {
    Pairs edges;
    const uint64_t* first;
    uint64_t* partners;
    EMFAST_HD void operator()(int64_t e) const {
        if (edges.keys[e] != barred) return;
        raise(partners[edges.a(e)], first[edges.b(e)]);
        raise(partners[edges.b(e)], first[edges.a(e)]);
    }
};

struct Decide {
    Pairs edges;
    const uint64_t *first, *partners;
    const uint32_t* seeds;
    uint32_t* parent;

    EMFAST_HD void operator()(int64_t e) const {
        const uint64_t key = edges.keys[e];
        if (key == barred) return;
        const uint32_t a = edges.a(e), b = edges.b(e);
        const bool seed_a = seeds && seeds[a], seed_b = seeds && seeds[b];
        const bool at_a = first[a] == key, at_b = first[b] == key;
        if (repels(key) ? at_a || at_b : seed_a && seed_b) {
            edges.keys[e] = barred;
        } else if (!repels(key)) {
            const bool sure_a = at_a && !seed_a && partners[a] < key, sure_b = at_b && !seed_b && partners[b] < key;
            if ((at_a && at_b) || sure_a || sure_b) unite_shared(parent, a, b);
        }
    }
};

struct StillMatters {
    Pairs edges;
    const uint32_t* parent;
    const uint8_t* hope;
    EMFAST_HD bool operator()(int64_t e) const {
        const uint32_t a = edges.a(e), b = edges.b(e);
        return hope[a] && hope[b] && parent[a] != parent[b];
    }
};

struct Renamed {
    Pairs edges;
    const uint32_t* parent;
    const int64_t* kept;
    Pairs out;
    EMFAST_HD void operator()(int64_t k) const {
        const int64_t e = kept[k];
        out.pairs[k] = pair_of(parent[edges.a(e)], parent[edges.b(e)]);
        out.keys[k] = edges.keys[e];
    }
};

struct EdgeList {
    int64_t n = 0;
    Scratch<uint64_t> pairs, keys;
    Pairs view() const { return {pairs.data(), keys.data()}; }
};

// One edge per pair: the first, or the mutex.
inline EdgeList fold(Executor& ex, EdgeList edges) {
    ex.sort_pairs(edges.pairs.data(), edges.keys.data(), edges.n);
    EdgeList out{0, ex.scratch<uint64_t>(edges.n), ex.scratch<uint64_t>(edges.n)};
    out.n =
        ex.reduce_by_key(edges.pairs.data(), edges.keys.data(), edges.n, out.pairs.data(), out.keys.data(), Larger{});
    return out;
}

// Decides all edges between n nodes. parent is flat before and after; seeds (may be null) are at roots.
inline void contract(Executor& ex, int64_t n, EdgeList edges, uint32_t* parent, uint32_t* seeds) {
    auto first = ex.scratch<uint64_t>(n), partners = ex.scratch<uint64_t>(n);
    auto hope = ex.scratch<uint8_t>(n);
    edges = fold(ex, std::move(edges));
    while (edges.n > 0) {
        const Pairs view = edges.view();
        ex.fill(first.data(), n, uint64_t(0));
        ex.fill(partners.data(), n, uint64_t(0));
        ex.fill(hope.data(), n, uint8_t(0));
        ex.for_each(edges.n, FirstOfCluster{view, first.data(), hope.data()});
        ex.for_each(edges.n, FirstOfPartners{view, first.data(), partners.data()});
        ex.for_each(edges.n, Decide{view, first.data(), partners.data(), seeds, parent});
        settle(ex, n, parent, seeds);
        const auto kept = ex.select<int64_t>(edges.n, StillMatters{view, parent, hope.data()});
        EdgeList rest{kept.size(), ex.scratch<uint64_t>(kept.size()), ex.scratch<uint64_t>(kept.size())};
        ex.for_each(rest.n, Renamed{view, parent, kept.data(), rest.view()});
        edges = fold(ex, std::move(rest));
    }
}

// ---- Labels ----

struct IsUnseededRoot {
    const uint32_t* parent;
    const uint8_t* mask;
    const uint32_t* seeds;
    uint32_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        out[i] = parent[i] == i && (!mask || mask[i]) && !(seeds && seeds[i]);
    }
};

struct WriteLabels {
    const uint32_t *parent, *rank, *seeds;
    const uint8_t* mask;
    uint32_t seed_count;
    uint32_t* labels;
    EMFAST_HD void operator()(int64_t i) const {
        const uint32_t root = parent[i];
        const bool seeded = seeds && seeds[root];
        labels[i] = mask && !mask[i] ? 0 : seeded ? seeds[root] : seed_count + rank[root] + 1;
    }
};

inline int64_t write_labels(Executor& ex, int64_t n, const uint32_t* parent, const uint8_t* mask, const uint32_t* seeds,
                            uint32_t seed_count, uint32_t* labels) {
    auto rank = ex.scratch<uint32_t>(n);
    ex.for_each(n, IsUnseededRoot{parent, mask, seeds, rank.data()});
    const uint32_t count = ex.scan(rank.data(), rank.data(), n);
    ex.for_each(n, WriteLabels{parent, rank.data(), seeds, mask, seed_count, labels});
    return int64_t(seed_count) + count;
}

// ---- Grids ----

template <class A>
struct GridEdges {
    Shape shape;
    const A* values;
    const uint8_t* mask;
    const Channel* channels;
    int64_t count;
    Thinning thinning;
    bool has_sign;
    int id_bits;

    // The voxel at the other end, or -1 where there is no edge.
    EMFAST_HD int64_t other(int64_t i, const Point& p, int64_t k) const {
        const Channel c = channels[k];
        const int64_t z = p.z + c.offset.z, y = p.y + c.offset.y, x = p.x + c.offset.x;
        if (z < 0 || z >= shape.z || y < 0 || y >= shape.y || x < 0 || x >= shape.x) return -1;
        const int64_t q = shape.index(z, y, x);
        if (mask && !(mask[i] && mask[q])) return -1;
        if (c.repulsive && thinning.one_in() > 1 && !stays(thinning, p, static_cast<uint64_t>(i * count + k)))
            return -1;
        return q;
    }
    EMFAST_HD Edge edge(int64_t i, int64_t k) const {
        return edge_of(values[k * shape.voxels() + i], channels[k].repulsive, has_sign);
    }
    EMFAST_HD uint64_t ids() const { return (uint64_t(1) << id_bits) - 1; }
    EMFAST_HD uint64_t key(const Edge& e, int64_t id) const {
        return uint64_t(e.order) << (id_bits + 1) | (ids() - static_cast<uint64_t>(id)) << 1 | (e.repulsive ? 1 : 0);
    }
    EMFAST_HD int64_t id(uint64_t key) const { return static_cast<int64_t>(ids() - (key >> 1 & ids())); }
};

template <class A>
struct FirstOnGrid {
    GridEdges<A> edges;
    const uint32_t* parent;
    uint64_t* first;
    uint64_t* bad;
    EMFAST_HD void operator()(int64_t i) const {
        const Point p = point(edges.shape, i);
        for (int64_t k = 0; k < edges.count; ++k) {
            const int64_t q = edges.other(i, p, k);
            if (q < 0) continue;
            const Edge e = edges.edge(i, k);
            if (e.bad) atomic_min(*bad, static_cast<uint64_t>(k * edges.shape.voxels() + i));
            const uint32_t a = parent[i], b = parent[q];
            if (e.order == 0 || a == b) continue;
            const uint64_t key = edges.key(e, i * edges.count + k);
            raise(first[a], key);
            raise(first[b], key);
        }
    }
};

template <class A>
struct JoinOnGrid {
    GridEdges<A> edges;
    const uint64_t* first;
    const uint32_t* seeds;
    uint32_t* parent;
    EMFAST_HD void operator()(int64_t i) const {
        const uint64_t key = first[i];
        if (key == 0 || repels(key) || (seeds && seeds[i])) return;
        const int64_t id = edges.id(key), u = id / edges.count;
        const Point o = edges.channels[id - u * edges.count].offset;
        unite_shared(parent, static_cast<uint32_t>(u), static_cast<uint32_t>(u + edges.shape.index(o.z, o.y, o.x)));
    }
};

template <class A>
struct IsOpenEdge {
    GridEdges<A> edges;
    const uint32_t* parent;
    EMFAST_HD bool operator()(int64_t id) const {
        const int64_t i = id / edges.count, k = id - i * edges.count, q = edges.other(i, point(edges.shape, i), k);
        return q >= 0 && parent[i] != parent[q] && edges.edge(i, k).order > 0;
    }
};

template <class A>
struct ListEdge {
    GridEdges<A> edges;
    const uint32_t* parent;
    const int64_t* kept;
    Pairs out;
    EMFAST_HD void operator()(int64_t e) const {
        const int64_t id = kept[e], i = id / edges.count, k = id - i * edges.count;
        out.pairs[e] = pair_of(parent[i], parent[edges.other(i, point(edges.shape, i), k)]);
        out.keys[e] = edges.key(edges.edge(i, k), id);
    }
};

// Every seed's smallest voxel.
struct FirstOfSeed {
    const uint32_t* seeds;
    const uint8_t* mask;
    uint32_t* first;
    EMFAST_HD void operator()(int64_t i) const {
        if (seeds[i] && (!mask || mask[i])) atomic_min(first[seeds[i]], static_cast<uint32_t>(i));
    }
};

struct JoinSeed {
    const uint32_t* seeds;
    const uint8_t* mask;
    const uint32_t* first;
    uint32_t *parent, *at_roots;
    EMFAST_HD void operator()(int64_t i) const {
        const bool seeded = seeds[i] && (!mask || mask[i]);
        at_roots[i] = seeded ? seeds[i] : 0;
        if (seeded) parent[i] = first[seeds[i]];
    }
};

template <class A>
Outcome by_rounds(Executor& ex, const Grid<A>& grid, uint32_t* labels) {
    constexpr int rounds_on_grid = 3;
    const int64_t n = grid.shape.voxels(), channels = static_cast<int64_t>(grid.channels.size());
    if (n == 0) return {0, -1};
    const int order_bits = grid.has_sign ? 31 : sizeof(A) == 1 ? 9 : 30;
    int id_bits = 1;
    while (id_bits < 62 && (n * channels - 1) >> id_bits) ++id_bits;
    if (id_bits + 1 + order_bits > 64)
        refuse("affinities must have fewer than 2**", 63 - order_bits, " edges on a device, got ", n * channels);
    const auto table = ex.scratch<Channel>(channels);
    ex.store(table.data(), grid.channels);
    const GridEdges<A> edges{grid.shape, grid.values,   grid.mask,     table.data(),
                             channels,   grid.thinning, grid.has_sign, id_bits};
    auto parent = ex.scratch<uint32_t>(n);
    ex.for_each(n, Identity{parent.data()});
    auto seeds = ex.scratch<uint32_t>(grid.seeds ? n : 0);
    uint32_t* at_roots = grid.seeds ? seeds.data() : nullptr;
    if (grid.seeds) {
        auto first = ex.scratch<uint32_t>(int64_t(grid.seed_count) + 1);
        ex.fill(first.data(), first.size(), ~uint32_t(0));
        ex.for_each(n, FirstOfSeed{grid.seeds, grid.mask, first.data()});
        ex.for_each(n, JoinSeed{grid.seeds, grid.mask, first.data(), parent.data(), at_roots});
    }
    {
        auto first = ex.scratch<uint64_t>(n);
        auto bad = ex.scratch<uint64_t>(1);
        ex.store(bad.data(), ~uint64_t(0));
        for (int round = 0; round < rounds_on_grid; ++round) {
            ex.fill(first.data(), n, uint64_t(0));
            ex.for_each(n, FirstOnGrid<A>{edges, parent.data(), first.data(), bad.data()});
            if (round == 0)
                if (const uint64_t place = ex.fetch(bad.data()); ~place) return {0, static_cast<int64_t>(place)};
            ex.for_each(n, JoinOnGrid<A>{edges, first.data(), at_roots, parent.data()});
            settle(ex, n, parent.data(), at_roots);
        }
    }
    {
        EdgeList rest;
        {
            const auto kept = ex.select<int64_t>(n * channels, IsOpenEdge<A>{edges, parent.data()});
            rest = {kept.size(), ex.scratch<uint64_t>(kept.size()), ex.scratch<uint64_t>(kept.size())};
            ex.for_each(rest.n, ListEdge<A>{edges, parent.data(), kept.data(), rest.view()});
        }
        contract(ex, n, std::move(rest), parent.data(), at_roots);
    }
    return {write_labels(ex, n, parent.data(), grid.mask, at_roots, grid.seed_count, labels), -1};
}

// ---- Graphs ----

struct OrderOfWeight {
    const double* weights;
    uint64_t* keys;
    uint32_t* index;
    EMFAST_HD void operator()(int64_t e) const {
        const double size = weights[e] < 0 ? -weights[e] : weights[e];
        uint64_t bits;
        std::memcpy(&bits, &size, sizeof bits);
        keys[e] = ~(bits & ~(uint64_t(1) << 63));
        index[e] = static_cast<uint32_t>(e);
    }
};

// The edges in their order.
inline Scratch<uint32_t> edges_in_order(Executor& ex, int64_t edges, const double* weights) {
    auto keys = ex.scratch<uint64_t>(edges);
    auto index = ex.scratch<uint32_t>(edges);
    ex.for_each(edges, OrderOfWeight{weights, keys.data(), index.data()});
    ex.sort_pairs(keys.data(), index.data(), edges);
    return index;
}

struct KeyOfRank {
    const uint32_t* index;
    const uint32_t* ends;
    const double* weights;
    int64_t edges;
    Pairs out;
    EMFAST_HD void operator()(int64_t k) const {
        const int64_t e = index[k];
        out.pairs[k] = pair_of(ends[2 * e], ends[2 * e + 1]);
        out.keys[k] = static_cast<uint64_t>(edges - k) << 1 | (weights[e] < 0 ? 1 : 0);
    }
};

struct JoinsTwo {
    const uint32_t* index;
    const uint32_t* ends;
    const double* weights;
    EMFAST_HD bool operator()(int64_t k) const {
        const int64_t e = index[k];
        return ends[2 * e] != ends[2 * e + 1] && weights[e] != 0;
    }
};

struct Picked {
    const int64_t* kept;
    Pairs from, out;
    EMFAST_HD void operator()(int64_t k) const {
        out.pairs[k] = from.pairs[kept[k]];
        out.keys[k] = from.keys[kept[k]];
    }
};

inline int64_t graph_by_rounds(Executor& ex, int64_t n, int64_t edges, const uint32_t* ends, const double* weights,
                               uint32_t* labels) {
    if (n == 0) return 0;
    auto parent = ex.scratch<uint32_t>(n);
    ex.for_each(n, Identity{parent.data()});
    const auto index = edges_in_order(ex, edges, weights);
    EdgeList all{edges, ex.scratch<uint64_t>(edges), ex.scratch<uint64_t>(edges)};
    ex.for_each(edges, KeyOfRank{index.data(), ends, weights, edges, all.view()});
    const auto kept = ex.select<int64_t>(edges, JoinsTwo{index.data(), ends, weights});
    EdgeList list{kept.size(), ex.scratch<uint64_t>(kept.size()), ex.scratch<uint64_t>(kept.size())};
    ex.for_each(list.n, Picked{kept.data(), all.view(), list.view()});
    contract(ex, n, std::move(list), parent.data(), nullptr);
    return write_labels(ex, n, parent.data(), nullptr, nullptr, 0, labels);
}

#define EMFAST_INSTANTIATE(A) template Outcome watershed<A>(Executor&, const Grid<A>&, uint32_t*);

}  // namespace emfast::mutex
