// The host's way: tiles of up to 65536 voxels, whose working set stays in the cache, then what they leave open.
//
// In a tile edges are taken in order, but edges that leave it ("outer") are not decided there. A cluster of the tile is
// *whole* as long as it is sure to be all of its cluster at that point of the sequential run; it is *open* once an
// attractive outer edge or an undecided edge of its own came by. What can be said for sure:
//   - two whole clusters: all is known;
//   - a whole cluster and an open one, repulsive edge: they differ, so the mutex stands;
//   - a whole cluster and an open one, attractive edge: they join if every mutex of the whole one is with whole clusters,
//     for those are not part of the open one; the result is open. If some mutex is with an open cluster, or with voxels
//     outside the tile, nobody knows yet: the edge stays undecided, and now both are open;
//   - two open clusters: the edge stays undecided, unless a mutex or an undecided edge that comes earlier is between them.
// Joins and mutexes found so are true ones of the sequential run. Hence the rule may go on with the clusters as nodes, with
// these mutexes from the start, over the undecided and the outer edges in their order, and gives the same partition: an
// attractive edge joins in one run iff it does so in the other (by induction over the edges; a premature join is no harm,
// since its two sides end up together anyway). Of several edges between two nodes only the first counts. Clusters that are
// whole at the end of their tile are complete. Seeded clusters are open from the start.
//
// Equal weights: an outer edge is taken to come before the tile's own, which can only leave more undecided.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <numeric>

#include "core/isa.h"
#include "mutex/mutex_clusters.h"
#include "mutex/mutex_edges.h"

namespace emfast::mutex {

// An edge between two clusters that is left for later.
struct Rest {
    uint64_t id;
    uint32_t order_and_sign;  // order * 2 + repulsive
    uint32_t a, b;
};

inline bool comes_before(const Rest& x, const Rest& y) {
    const uint32_t ox = x.order_and_sign >> 1, oy = y.order_and_sign >> 1;
    return ox != oy ? ox > oy : x.id < y.id;
}

// The volume cut into tiles whose sides are powers of two.
struct Tiling {
    Shape shape;
    int bits_z = 0, bits_y = 0, bits_x = 0;
    int64_t nz = 0, ny = 0, nx = 0;

    // Doubles, one by one, the axis across which most edges leave.
    Tiling(const Shape& s, const std::vector<Channel>& channels, int most_bits) : shape(s) {
        double reach[3] = {1e-3, 1e-3, 1e-3};
        for (const Channel& c : channels) {
            reach[0] += std::abs(double(c.offset.z));
            reach[1] += std::abs(double(c.offset.y));
            reach[2] += std::abs(double(c.offset.x));
        }
        const int64_t sides[3] = {s.z, s.y, s.x};
        int bits[3] = {0, 0, 0};
        for (int all = 0; all < most_bits; ++all) {
            int best = -1;
            for (int k = 0; k < 3; ++k) {
                if ((int64_t(1) << bits[k]) >= sides[k]) continue;
                if (best < 0 || reach[k] / double(1 << bits[k]) >= reach[best] / double(1 << bits[best])) best = k;
            }
            if (best < 0) break;
            ++bits[best];
        }
        bits_z = bits[0], bits_y = bits[1], bits_x = bits[2];
        nz = (s.z - 1) / (int64_t(1) << bits_z) + 1;
        ny = (s.y - 1) / (int64_t(1) << bits_y) + 1;
        nx = (s.x - 1) / (int64_t(1) << bits_x) + 1;
    }

    int64_t count() const { return nz * ny * nx; }
    int64_t of(int64_t z, int64_t y, int64_t x) const {
        return ((z >> bits_z) * ny + (y >> bits_y)) * nx + (x >> bits_x);
    }
    Point begin(int64_t tile) const {
        return {tile / (ny * nx) << bits_z, tile / nx % ny << bits_y, tile % nx << bits_x};
    }
    Point end(int64_t tile) const {
        const Point b = begin(tile);
        return {std::min(b.z + (int64_t(1) << bits_z), shape.z), std::min(b.y + (int64_t(1) << bits_y), shape.y),
                std::min(b.x + (int64_t(1) << bits_x), shape.x)};
    }
    int64_t place(const Point& p) const {  // in the tile
        const int64_t z = p.z & ((1 << bits_z) - 1), y = p.y & ((1 << bits_y) - 1), x = p.x & ((1 << bits_x) - 1);
        return (((z << bits_y) + y) << bits_x) + x;
    }
    int64_t voxels() const { return int64_t(1) << (bits_z + bits_y + bits_x); }
};

// What is known after a tile. Clusters are numbered from 0.
struct Solved {
    uint32_t clusters = 0;
    std::vector<uint8_t> open;
    std::vector<int64_t> first;  // voxel
    std::vector<uint32_t> seed;  // of each cluster, or empty
    std::vector<Rest> rest;
    std::vector<std::pair<uint32_t, uint32_t>> mutexes;  // of open clusters
};

inline constexpr int64_t buckets = 3;

// A tile's edge: the inverted order above, below it the channel and the place of its voxel.
struct Entry {
    uint64_t bits;
    static constexpr uint32_t outer = 1u << 31, repulsive = 1u << 30;
    static constexpr int64_t most_channels = 1 << 14;
    uint32_t low() const { return static_cast<uint32_t>(bits); }
    uint32_t order() const { return ~static_cast<uint32_t>(bits >> 32); }
    uint32_t place() const { return low() & 0xffff; }
    uint32_t channel() const { return low() >> 16 & (most_channels - 1); }
};

// Stable, ascending by the upper half. Both vectors end up sorted or spoilt; the result is in `entries`.
inline void sort_entries(std::vector<uint64_t>& entries, std::vector<uint64_t>& other) {
    const int64_t n = static_cast<int64_t>(entries.size());
    if (n < 2) return;
    uint32_t least = ~0u, most = 0;
    for (const uint64_t e : entries) {
        const auto key = static_cast<uint32_t>(e >> 32);
        least = std::min(least, key);
        most = std::max(most, key);
    }
    int bits = 0;
    while (bits < 32 && (most - least) >> bits) ++bits;
    if (bits == 0) return;
    const int passes = (bits + 9) / 10, digit = (bits + passes - 1) / passes;
    if (static_cast<int64_t>(other.size()) < n) other.resize(n);
    std::array<uint32_t, 1024> at;
    for (int pass = 0; pass < passes; ++pass) {
        const int shift = pass * digit;
        const uint32_t mask = (1u << digit) - 1;
        at.fill(0);
        for (int64_t i = 0; i < n; ++i) ++at[((static_cast<uint32_t>(entries[i] >> 32) - least) >> shift) & mask];
        uint32_t sum = 0;
        for (uint32_t d = 0; d <= mask; ++d) sum += std::exchange(at[d], sum);
        uint64_t* out = other.data();
        for (int64_t i = 0; i < n; ++i)
            out[at[((static_cast<uint32_t>(entries[i] >> 32) - least) >> shift) & mask]++] = entries[i];
        other.resize(n);
        entries.swap(other);
    }
}

// The orders of a row of values: 0 where the value is not welcome, and true if there was one.
template <class A>
EMFAST_INLINE bool row_orders(const A* values, int64_t n, bool repulsive, bool has_sign, uint32_t* out) {
    uint32_t bad = 0;
    if (has_sign) {
        for (int64_t i = 0; i < n; ++i) {
            const Edge e = edge_of(values[i], repulsive, true);
            bad |= e.bad;
            out[i] = e.order << 1 | e.repulsive;
        }
    } else if (repulsive) {
        for (int64_t i = 0; i < n; ++i) {
            bad |= !Affinity<A>::valid(values[i]);
            out[i] = Weight<A>::of_affinity(values[i], true) << 1 | 1;
        }
    } else {
        for (int64_t i = 0; i < n; ++i) {
            bad |= !Affinity<A>::valid(values[i]);
            out[i] = Weight<A>::of_affinity(values[i], false) << 1;
        }
    }
    return bad != 0;
}

// One worker's tools, kept from tile to tile.
template <class A>
class TileSolver {
  public:
    TileSolver(const Grid<A>& grid, const Tiling& tiling) : grid_(grid), tiling_(tiling) {
        for (const Channel& c : grid.channels)
            step_.push_back((((c.offset.z << tiling.bits_y) + c.offset.y) << tiling.bits_x) + c.offset.x);
    }

    // Writes the numbers of clusters + 1 into labels (0: masked).
    template <class Out>
    void solve(int64_t tile, Out* labels, Solved& out, int64_t& bad);

  private:
    void begin(int64_t tile);
    void add_outer();
    void add_own(int64_t& bad);
    void push(uint32_t order, uint32_t low) {
        const int b = order >= Limits::high ? 0 : order >= Limits::middle ? 1 : 2;
        bucket_[b].push_back(uint64_t(~order) << 32 | low);
    }
    void run(const std::vector<uint64_t>& entries, Solved& out);
    void leave(const Entry& e, uint32_t u, uint32_t v, Solved& out);

    // Buckets: the sorting of later edges can wait until most of them are known to lie within a cluster.
    struct Limits {
        static constexpr uint32_t high = sizeof(A) == 1 ? 252 : 0x3f7d70a4u;  // 0.99
        static constexpr uint32_t middle = sizeof(A) == 1 ? 128 : 0x3f000000u;
    };
    enum : uint8_t { is_open = 1, has_outer_mutex = 2 };

    const Grid<A>& grid_;
    const Tiling& tiling_;
    std::vector<int64_t> step_;
    Point from_{}, to_{};
    Clusters<uint16_t> clusters_;
    std::vector<uint8_t> state_;
    std::vector<uint32_t> pull_, push_, number_;
    std::vector<std::vector<uint32_t>> orders_;
    std::vector<uint64_t> bucket_[buckets], other_;
    std::vector<std::pair<uint16_t, uint16_t>> mutexes_;
};

template <class A>
void TileSolver<A>::begin(int64_t tile) {
    from_ = tiling_.begin(tile);
    to_ = tiling_.end(tile);
    const int64_t n = tiling_.voxels();
    clusters_.reset(n);
    state_.assign(n, 0);
    for (auto& b : bucket_) b.clear();
    mutexes_.clear();
}

// For each voxel the first outer edge that attracts, and the first that repels.
template <class A>
void TileSolver<A>::add_outer() {
    const Shape s = grid_.shape;
    const int64_t n = s.voxels(), channels = static_cast<int64_t>(grid_.channels.size());
    const bool thinned = grid_.thinning.one_in() > 1;
    pull_.assign(tiling_.voxels(), 0);
    push_.assign(tiling_.voxels(), 0);
    for (int64_t k = 0; k < channels; ++k)
        for (int sign = 1; sign >= -1; sign -= 2) {
            const Channel& c = grid_.channels[k];
            const Point o{sign * c.offset.z, sign * c.offset.y, sign * c.offset.x};
            for (int64_t z = from_.z; z < to_.z; ++z)
                for (int64_t y = from_.y; y < to_.y; ++y) {
                    const int64_t qz = z + o.z, qy = y + o.y;
                    if (qz < 0 || qz >= s.z || qy < 0 || qy >= s.y) continue;
                    const bool away = qz < from_.z || qz >= to_.z || qy < from_.y || qy >= to_.y;
                    auto part = [&](int64_t x0, int64_t x1) {
                        x0 = std::max({x0, from_.x, -o.x});
                        x1 = std::min({x1, to_.x, s.x - o.x});
                        const int64_t base = tiling_.place({z, y, from_.x}) - from_.x;
                        for (int64_t x = x0; x < x1; ++x) {
                            const int64_t i = s.index(z, y, x), q = s.index(qz, qy, x + o.x), at = sign > 0 ? i : q;
                            if (grid_.mask && !(grid_.mask[i] && grid_.mask[q])) continue;
                            const Edge e = edge_of(grid_.values[k * n + at], c.repulsive, grid_.has_sign);
                            if (thinned && c.repulsive &&
                                !stays(grid_.thinning, sign > 0 ? Point{z, y, x} : Point{qz, qy, x + o.x},
                                       static_cast<uint64_t>(at) * channels + k))
                                continue;
                            uint32_t& most = (e.repulsive ? push_ : pull_)[base + x];
                            most = std::max(most, e.order);
                        }
                    };
                    if (away) {
                        part(from_.x, to_.x);
                    } else if (o.x < 0) {
                        part(from_.x, std::min(from_.x - o.x, to_.x));
                    } else if (o.x > 0) {
                        part(std::max(to_.x - o.x, from_.x), to_.x);
                    }
                }
        }
    for (int64_t i = 0; i < tiling_.voxels(); ++i) {
        if (pull_[i]) push(pull_[i], Entry::outer | static_cast<uint32_t>(i));
        if (push_[i] && push_[i] > pull_[i]) push(push_[i], Entry::outer | Entry::repulsive | static_cast<uint32_t>(i));
    }
}

template <class A>
void TileSolver<A>::add_own(int64_t& bad) {
    const Shape s = grid_.shape;
    const int64_t n = s.voxels(), channels = static_cast<int64_t>(grid_.channels.size()), width = to_.x - from_.x;
    const bool thinned = grid_.thinning.one_in() > 1;
    orders_.resize(channels);
    for (auto& o : orders_) o.resize(width);
    std::vector<int64_t> active;
    for (int64_t z = from_.z; z < to_.z; ++z)
        for (int64_t y = from_.y; y < to_.y; ++y) {
            active.clear();
            for (int64_t k = 0; k < channels; ++k) {
                const Channel& c = grid_.channels[k];
                const int64_t qz = z + c.offset.z, qy = y + c.offset.y;
                if (qz < from_.z || qz >= to_.z || qy < from_.y || qy >= to_.y) continue;
                const int64_t x0 = std::max(from_.x, from_.x - c.offset.x), x1 = std::min(to_.x, to_.x - c.offset.x);
                if (x0 >= x1) continue;
                const bool thin = thinned && c.repulsive;
                if (thin && !grid_.thinning.random && (z % grid_.thinning.strides.z || y % grid_.thinning.strides.y))
                    continue;
                active.push_back(k);
                uint32_t* orders = orders_[k].data();
                std::fill(orders, orders + (x0 - from_.x), 0);
                std::fill(orders + (x1 - from_.x), orders + width, 0);
                const int64_t i = s.index(z, y, x0), q = s.index(qz, qy, x0 + c.offset.x);
                const A* values = grid_.values + k * n + i;
                uint32_t* at = orders + (x0 - from_.x);
                const bool doubtful = row_orders(values, x1 - x0, c.repulsive, grid_.has_sign, at);
                if (!thin && !grid_.mask && !doubtful) continue;
                for (int64_t x = 0; x < x1 - x0; ++x) {
                    const bool there =
                        (!grid_.mask || (grid_.mask[i + x] && grid_.mask[q + x])) &&
                        (!thin || stays(grid_.thinning, {z, y, x0 + x}, static_cast<uint64_t>(i + x) * channels + k));
                    const Edge e = edge_of(values[x], c.repulsive, grid_.has_sign);
                    if (there && e.bad) {
                        const int64_t place = k * n + i + x;
                        bad = bad < 0 ? place : std::min(bad, place);
                    }
                    if (!there || e.bad) at[x] = 0;
                }
            }
            const auto place = static_cast<uint32_t>(tiling_.place({z, y, from_.x}));
            for (int64_t x = 0; x < width; ++x)
                for (const int64_t k : active) {
                    const uint32_t o = orders_[k][x];
                    if (o > 1)
                        push(o >> 1, (o & 1 ? Entry::repulsive : 0) | static_cast<uint32_t>(k) << 16 |
                                         (place + static_cast<uint32_t>(x)));
                }
        }
}

// The edge stays undecided: both of its clusters, known by roots u and v, are open now.
template <class A>
void TileSolver<A>::leave(const Entry& e, uint32_t u, uint32_t v, Solved& out) {
    state_[u] |= is_open;
    state_[v] |= is_open;
    const uint32_t place = e.place();
    const int64_t x = place & ((1 << tiling_.bits_x) - 1), y = place >> tiling_.bits_x & ((1 << tiling_.bits_y) - 1),
                  z = place >> (tiling_.bits_x + tiling_.bits_y);
    const auto i = static_cast<uint64_t>(grid_.shape.index(from_.z + z, from_.y + y, from_.x + x));
    out.rest.push_back({i * grid_.channels.size() + e.channel(), e.order() << 1 | ((e.low() & Entry::repulsive) != 0),
                        place, static_cast<uint32_t>(place + step_[e.channel()])});
}

template <class A>
void TileSolver<A>::run(const std::vector<uint64_t>& entries, Solved& out) {
    for (const uint64_t bits : entries) {
        const Entry e{bits};
        uint16_t a = clusters_.root(static_cast<uint16_t>(e.place()));
        const bool repulsive = e.low() & Entry::repulsive;
        if (e.low() & Entry::outer) {
            state_[a] |= repulsive ? has_outer_mutex : is_open;
            continue;
        }
        const auto other = static_cast<uint16_t>(e.place() + step_[e.channel()]);
        uint16_t b = clusters_.root(other);
        if (a == b) continue;
        const bool open_a = state_[a] & is_open, open_b = state_[b] & is_open;
        if (open_a && open_b) {
            if (clusters_.keep_apart(a, b)) leave(e, a, b, out);
        } else if (repulsive) {
            if (clusters_.keep_apart(a, b)) mutexes_.push_back({static_cast<uint16_t>(e.place()), other});
        } else if (!clusters_.apart(a, b)) {
            if (open_a) std::swap(a, b);
            if (open_a || open_b) {  // b is open, a is whole
                const bool unsure = state_[a] & has_outer_mutex ||
                                    clusters_.any_partner(a, [&](uint16_t p) { return (state_[p] & is_open) != 0; });
                if (unsure) {
                    clusters_.keep_apart(a, b);
                    leave(e, a, b, out);
                    continue;
                }
            }
            const uint8_t both = state_[a] | state_[b];
            state_[clusters_.join(a, b)] = both;
        }
    }
}

template <class A>
template <class Out>
void TileSolver<A>::solve(int64_t tile, Out* labels, Solved& out, int64_t& bad) {
    const Shape s = grid_.shape;
    begin(tile);
    add_outer();
    add_own(bad);
    if (grid_.seeds)
        for (int64_t z = from_.z; z < to_.z; ++z)
            for (int64_t y = from_.y; y < to_.y; ++y)
                for (int64_t x = from_.x; x < to_.x; ++x)
                    if (grid_.seeds[s.index(z, y, x)]) state_[tiling_.place({z, y, x})] |= is_open;
    for (int64_t b = 0; b < buckets; ++b) {
        auto& entries = bucket_[b];
        if (b > 0)
            std::erase_if(entries, [&](uint64_t bits) {
                const Entry e{bits};
                if (e.low() & Entry::outer) return false;
                return clusters_.root(static_cast<uint16_t>(e.place())) ==
                       clusters_.root(static_cast<uint16_t>(e.place() + step_[e.channel()]));
            });
        sort_entries(entries, other_);
        run(entries, out);
    }

    number_.assign(tiling_.voxels(), 0);
    for (int64_t z = from_.z; z < to_.z; ++z)
        for (int64_t y = from_.y; y < to_.y; ++y)
            for (int64_t x = from_.x; x < to_.x; ++x) {
                const int64_t i = s.index(z, y, x);
                if (grid_.mask && !grid_.mask[i]) {
                    labels[i] = 0;
                    continue;
                }
                const uint16_t root = clusters_.root(static_cast<uint16_t>(tiling_.place({z, y, x})));
                if (!number_[root]) {
                    number_[root] = ++out.clusters;
                    out.first.push_back(i);
                    out.open.push_back(state_[root] & is_open);
                    if (grid_.seeds) out.seed.push_back(0);
                }
                labels[i] = static_cast<Out>(number_[root]);
                if (grid_.seeds && grid_.seeds[i]) out.seed[number_[root] - 1] = grid_.seeds[i];
            }
    auto number = [&](uint32_t place) { return number_[clusters_.root(static_cast<uint16_t>(place))] - 1; };
    for (Rest& r : out.rest) r.a = number(r.a), r.b = number(r.b);
    for (const auto& [u, v] : mutexes_) {
        const uint32_t a = number(u), b = number(v);
        if (out.open[a] && out.open[b]) out.mutexes.push_back({std::min(a, b), std::max(a, b)});
    }
    std::sort(out.mutexes.begin(), out.mutexes.end());
    out.mutexes.erase(std::unique(out.mutexes.begin(), out.mutexes.end()), out.mutexes.end());
}

// A voxel's best edges to clusters of other tiles: of all edges between two clusters the first.
template <class A, class Out>
void outer_edges(const Grid<A>& grid, const Tiling& tiling, int64_t tile, const Out* labels, const uint32_t* base,
                 const uint8_t* open, std::vector<Rest>& out, int64_t& bad) {
    const Shape s = grid.shape;
    const int64_t n = s.voxels(), channels = static_cast<int64_t>(grid.channels.size());
    const Point from = tiling.begin(tile), to = tiling.end(tile);
    const bool thinned = grid.thinning.one_in() > 1;
    std::vector<std::pair<uint64_t, uint32_t>> places(1 << 10);  // pair of clusters and its edge in out, + 1
    auto place_of = [&](uint64_t pair) {
        size_t at = mix(pair) & (places.size() - 1);
        while (places[at].second && places[at].first != pair) at = (at + 1) & (places.size() - 1);
        return at;
    };
    auto add = [&](const Rest& r) {
        const uint64_t pair = uint64_t(std::min(r.a, r.b)) << 32 | std::max(r.a, r.b);
        size_t at = place_of(pair);
        if (places[at].second) {
            Rest& old = out[places[at].second - 1];
            if (comes_before(r, old)) old = r;
            return;
        }
        out.push_back(r);
        places[at] = {pair, static_cast<uint32_t>(out.size())};
        if (out.size() * 2 < places.size()) return;
        auto full = std::move(places);
        places.assign(full.size() * 4, {});
        for (const auto& p : full)
            if (p.second) places[place_of(p.first)] = p;
    };
    for (int64_t k = 0; k < channels; ++k) {
        const Channel& c = grid.channels[k];
        const Point o = c.offset;
        for (int64_t z = from.z; z < to.z; ++z)
            for (int64_t y = from.y; y < to.y; ++y) {
                const int64_t qz = z + o.z, qy = y + o.y;
                if (qz < 0 || qz >= s.z || qy < 0 || qy >= s.y) continue;
                const bool away = qz < from.z || qz >= to.z || qy < from.y || qy >= to.y;
                auto part = [&](int64_t x0, int64_t x1) {
                    x0 = std::max({x0, from.x, -o.x});
                    x1 = std::min({x1, to.x, s.x - o.x});
                    for (int64_t x = x0; x < x1; ++x) {
                        const int64_t i = s.index(z, y, x), q = s.index(qz, qy, x + o.x);
                        if (labels[i] == 0 || labels[q] == 0) continue;
                        const uint64_t id = static_cast<uint64_t>(i) * channels + k;
                        if (thinned && c.repulsive && !stays(grid.thinning, {z, y, x}, id)) continue;
                        const Edge e = edge_of(grid.values[k * n + i], c.repulsive, grid.has_sign);
                        if (e.bad) bad = bad < 0 ? k * n + i : std::min(bad, k * n + i);
                        if (e.order == 0) continue;
                        const uint32_t a = base[tile] + static_cast<uint32_t>(labels[i] - 1),
                                       b = base[tiling.of(qz, qy, x + o.x)] + static_cast<uint32_t>(labels[q] - 1);
                        if (open[a] && open[b]) add({id, e.order << 1 | e.repulsive, a, b});
                    }
                };
                if (away) part(from.x, to.x);
                else if (o.x < 0) part(from.x, std::min(from.x - o.x, to.x));
                else if (o.x > 0) part(std::max(to.x - o.x, from.x), to.x);
            }
    }
}

}  // namespace emfast::mutex
