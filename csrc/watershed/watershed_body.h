// The plain schedule, for every executor.
//
//   1. picks: one byte a voxel, bit k for the edge in direction k (-z -y -x +x +y +z); the halo's picks from inside.
//   2. waterz alone: exits, then the flood level by level. A level is an array of voxels in the order of the queue; a voxel
//      of the next level goes to the first of its neighbours in it (atomic minimum of places), and the next level's order
//      is found by compaction over (place, direction). Ranks in the queue tell who came before whom, hence who keeps what.
//   3. unions as in components: boxes in shared memory, then across boxes, then compression and numbering.
// Bytes on a device, float32: 12 (affinities) + 1 (picks) + 1 + 4 (boxes) + 1 + 8 (compress) + 4 (compact) + 8 (write) = 39.
#pragma once

#include <cmath>
#include <limits>

#include "components/components_body.h"
#include "watershed/watershed.h"

namespace emfast::watershed {

inline constexpr uint8_t edge_bits = 63;
inline constexpr uint8_t several = 64;  // picked several edges, all below `high`: to be divided

EMFAST_HD inline int axis_of(int k) { return k < 3 ? k : 5 - k; }
EMFAST_HD inline int64_t step_of(const Shape& s, int k) {
    const int64_t step = axis_of(k) == 0 ? s.y * s.x : axis_of(k) == 1 ? s.x : 1;
    return k < 3 ? -step : step;
}
EMFAST_HD inline uint8_t back_bit(int k) {
    return static_cast<uint8_t>(32 >> k);
}  // of direction k, seen from its target

// waterz's order of directions, -z -y -x +z +y +x.
EMFAST_HD inline int waterz_direction(int d) { return d < 3 ? d : 8 - d; }

// Thresholds as orders of Affinity<A>.
struct Limits {
    uint32_t low = 0;  // background is at most this
    uint32_t high = 0;  // every edge from this on is picked
    bool any = false;  // there are affinities of `high` or more
};

template <class A>
float value_of(uint32_t order) {
    if constexpr (sizeof(A) == 1) return static_cast<float>(order) / 255.0f;
    else if constexpr (sizeof(A) == 2) return Affinity<Half>::widen(Half{static_cast<uint16_t>(order)});
    else {
        float value;
        std::memcpy(&value, &order, sizeof value);
        return value;
    }
}

template <class A>
inline constexpr uint32_t order_of_one = sizeof(A) == 1   ? 255u
                                         : sizeof(A) == 2 ? 0x3c00u
                                                          : 0x3f800000u;

template <class A>
Limits limits_of(float low, float high) {
    // How many orders satisfy a condition that holds for the lower ones.
    auto count = [](auto&& holds) {
        uint32_t from = 0, to = order_of_one<A> + 1;
        while (from < to) {
            const uint32_t middle = from + (to - from) / 2;
            if (holds(value_of<A>(middle))) from = middle + 1;
            else to = middle;
        }
        return from;
    };
    const uint32_t below = count([&](float v) { return v < high; });
    return {count([&](float v) { return v <= low; }) - 1, std::min(below, order_of_one<A>), below <= order_of_one<A>};
}

template <class A>
struct Pick {
    Edges<A> edges;
    Limits limits;
    bool waterz;
    Box inner;
    uint8_t* picks;
    uint64_t* bad;

    EMFAST_HD void operator()(int64_t i) const {
        const Shape s = edges.shape;
        const Point p = point(s, i);
        uint32_t value[6], most = 0;
        for (int k = 0; k < 6; ++k) {
            const int axis = axis_of(k);
            Point q = p;
            int64_t at = i;
            bool here = true;
            if (k > 2) {
                int64_t& c = axis == 0 ? q.z : axis == 1 ? q.y : q.x;
                here = ++c < (axis == 0 ? s.z : axis == 1 ? s.y : s.x);
                at += step_of(s, k);
            }
            const A* a = here ? edges.before(axis, at, q) : nullptr;
            if (a && k < 3 && !Affinity<A>::valid(*a))
                atomic_min(*bad,
                           static_cast<uint64_t>(axis) * static_cast<uint64_t>(s.voxels()) + static_cast<uint64_t>(i));
            value[k] = a ? Affinity<A>::order(*a) : 0;
            most = most < value[k] ? value[k] : most;
        }
        uint8_t bits = 0;
        if (most > limits.low && inner.holds(p)) {
            const bool full = limits.any && most >= limits.high;
            const uint32_t least = full ? limits.high : most;
            for (int k = 0; k < 6; ++k) bits |= static_cast<uint8_t>((value[k] >= least) << k);
            const auto first = static_cast<uint8_t>(bits & -bits);
            if (!full && !waterz) bits = first;
            if (!full && bits != first) bits |= several;
        }
        picks[i] = bits;
    }
};

// A voxel of the halo picks the edges that were picked from inside.
struct PickInHalo {
    Shape shape;
    Box inner;
    uint8_t* picks;
    EMFAST_HD void operator()(int64_t i) const {
        const Point p = point(shape, i);
        if (inner.holds(p)) return;
        uint8_t bits = 0;
        for (int k = 0; k < 6; ++k) {
            Point q = p;
            (axis_of(k) == 0 ? q.z : axis_of(k) == 1 ? q.y : q.x) += k < 3 ? -1 : 1;
            if (inner.holds(q) && picks[i + step_of(shape, k)] & back_bit(k)) bits |= static_cast<uint8_t>(1 << k);
        }
        picks[i] = bits;
    }
};

// ---- Plateaus as waterz divides them ----

template <class Id>
struct Plateaus {
    static constexpr Id top = components::Marks<Id>::top, none = components::Marks<Id>::none;
    Shape shape;
    const uint8_t* picks;
    Id* rank;  // place in the queue; `top` and the place of the neighbour that wants it; none

    EMFAST_HD bool mutual(int64_t i, int k) const {
        return picks[i] >> k & 1 && picks[i + step_of(shape, k)] & back_bit(k);
    }
};

template <class Id>
struct IsExit : Plateaus<Id> {
    EMFAST_HD bool operator()(int64_t i) const {
        if (!(this->picks[i] & several)) return false;
        for (int k = 0; k < 6; ++k)
            if (this->picks[i] >> k & 1 && !this->mutual(i, k)) return true;
        return false;
    }
};

template <class Id>
struct Enqueue : Plateaus<Id> {
    const Id* level;
    Id ahead;
    EMFAST_HD void operator()(int64_t j) const { this->rank[level[j]] = ahead + static_cast<Id>(j); }
};

template <class Id>
struct Want : Plateaus<Id> {
    const Id* level;
    EMFAST_HD void operator()(int64_t j) const {
        const auto i = static_cast<int64_t>(level[j]);
        for (int k = 0; k < 6; ++k) {
            const int64_t q = i + step_of(this->shape, k);
            if (this->mutual(i, k) && this->picks[q] & several)
                atomic_min(this->rank[q], this->top | static_cast<Id>(j));  // ranks are smaller and stay
        }
    }
};

// Slot 6 j + d: direction d of place j.
template <class Id>
struct Gets : Plateaus<Id> {
    const Id* level;
    EMFAST_HD int64_t target(int64_t slot) const {
        return static_cast<int64_t>(level[slot / 6]) +
               step_of(this->shape, waterz_direction(static_cast<int>(slot % 6)));
    }
    EMFAST_HD bool operator()(int64_t slot) const {
        const int k = waterz_direction(static_cast<int>(slot % 6));
        return this->mutual(static_cast<int64_t>(level[slot / 6]), k) &&
               this->rank[target(slot)] == (this->top | static_cast<Id>(slot / 6));
    }
};

template <class Id>
struct ToVoxels {
    Gets<Id> gets;
    const int64_t* slots;
    Id* next;
    EMFAST_HD void operator()(int64_t j) const { next[j] = static_cast<Id>(gets.target(slots[j])); }
};

template <class Id>
struct Divide : Plateaus<Id> {
    uint8_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        uint8_t bits = this->picks[i] & edge_bits;
        const Id mine = bits ? this->rank[i] : this->none;
        if (mine < this->top)
            for (int d = 0; d < 6; ++d) {
                const int k = waterz_direction(d);
                if (!(this->picks[i] >> k & 1)) continue;
                if (!this->mutual(i, k) || this->rank[i + step_of(this->shape, k)] < mine)
                    bits = static_cast<uint8_t>(1 << k);
            }
        out[i] = bits;
    }
};

// rank: one a voxel, for the time of the call.
template <class Id>
void divide_plateaus(Executor& ex, const Shape& shape, Scratch<uint8_t>& picks, Id* rank) {
    const int64_t n = shape.voxels();
    ex.fill(rank, n, Plateaus<Id>::none);
    const Plateaus<Id> plateaus{shape, picks.data(), rank};
    auto level = ex.select<Id>(n, IsExit<Id>{plateaus});
    Id ahead = 0;
    while (level.size() > 0) {
        ex.for_each(level.size(), Enqueue<Id>{plateaus, level.data(), ahead});
        ahead += static_cast<Id>(level.size());
        ex.for_each(level.size(), Want<Id>{plateaus, level.data()});
        const Gets<Id> gets{plateaus, level.data()};
        const auto slots = ex.select<int64_t>(6 * level.size(), gets);
        auto next = ex.scratch<Id>(slots.size());
        ex.for_each(slots.size(), ToVoxels<Id>{gets, slots.data(), next.data()});
        level = std::move(next);
    }
    auto divided = ex.scratch<uint8_t>(n);
    ex.for_each(n, Divide<Id>{plateaus, divided.data()});
    picks = std::move(divided);
}

// ---- Unions ----

template <class Id>
struct Linked {
    const uint8_t* picks;
    Id* parent;
    components::Boxes boxes;

    // Whether voxels i and q, the one before it along axis k, are joined.
    EMFAST_HD static bool joined(uint8_t of_i, uint8_t of_q, int k) { return (of_i >> k & 1) || of_q & back_bit(k); }
};

template <class Id>
struct JoinInBox : Linked<Id> {
    EMFAST_HD void operator()(const Tile& tile) const {
        using namespace components;
        uint32_t* root = reinterpret_cast<uint32_t*>(tile.shared);
        uint8_t* bits = reinterpret_cast<uint8_t*>(tile.shared + box_voxels * sizeof(uint32_t));
        const Shape s = this->boxes.shape, box{box_z, box_y, box_x};
        const Point c = this->boxes.corner(tile.index);
        auto inside = [&](const Point& p) { return c.z + p.z < s.z && c.y + p.y < s.y && c.x + p.x < s.x; };
        tile.each(box_voxels, [&](int64_t k) {
            const Point p = point(box, k);
            root[k] = static_cast<uint32_t>(k);
            bits[k] = inside(p) ? this->picks[s.index(c.z + p.z, c.y + p.y, c.x + p.x)] : 0;
        });
        tile.each(box_voxels, [&](int64_t k) {
            const Point p = point(box, k);
            for (int axis = 0; axis < 3; ++axis) {
                const int64_t q = k + step_of(box, axis);
                if ((axis == 0 ? p.z : axis == 1 ? p.y : p.x) > 0 && this->joined(bits[k], bits[q], axis))
                    unite_shared(root, static_cast<uint32_t>(k), static_cast<uint32_t>(q));
            }
        });
        tile.each(box_voxels, [&](int64_t k) {
            const Point p = point(box, k);
            if (!inside(p)) return;
            Id name = Marks<Id>::none;
            if (bits[k] & edge_bits) {
                int64_t r = k;
                while (root[r] != r) r = root[r];
                const Point at = point(box, r);
                name = static_cast<Id>(s.index(c.z + at.z, c.y + at.y, c.x + at.x));
            }
            this->parent[s.index(c.z + p.z, c.y + p.y, c.x + p.x)] = name;
        });
    }
};

template <class Id>
struct JoinBoxes : Linked<Id> {
    EMFAST_HD void operator()(int64_t i) const {
        const Shape s = this->boxes.shape;
        const Point p = point(s, i);
        const bool low[3] = {p.z > 0 && p.z % components::box_z == 0, p.y > 0 && p.y % components::box_y == 0,
                             p.x > 0 && p.x % components::box_x == 0};
        for (int axis = 0; axis < 3; ++axis) {
            if (!low[axis]) continue;
            const int64_t q = i + step_of(s, axis);
            if (this->joined(this->picks[i], this->picks[q], axis))
                unite_shared(this->parent, static_cast<Id>(i), static_cast<Id>(q));
        }
    }
};

template <class Id, class Out>
int64_t join_picks(Executor& ex, const Shape& shape, const uint8_t* picks, Id* parent, Out* out) {
    const int64_t n = shape.voxels();
    const Linked<Id> linked{picks, parent, components::Boxes(shape)};
    ex.tiles(linked.boxes.count, 256, components::box_voxels * (sizeof(uint32_t) + 1), JoinInBox<Id>{linked});
    ex.for_each(n, JoinBoxes<Id>{linked});
    ex.for_each(n, components::Compress<Id>{parent});
    const auto roots = ex.template select<Id>(n, components::IsRoot<Id>{parent});
    ex.for_each(roots.size(), components::NameRoot<Id>{roots.data(), parent});
    ex.for_each(n, components::Spread<Id, Out>{parent, out});
    return roots.size();
}

// Refuses the first bad affinity; `at` is axis * voxels + voxel.
template <class A>
[[noreturn]] void refuse_affinity(Executor& ex, const Edges<A>& edges, uint64_t at) {
    const Shape s = edges.shape;
    const auto n = static_cast<uint64_t>(s.voxels());
    const int axis = static_cast<int>(at / n);
    const auto i = static_cast<int64_t>(at % n);
    const Point p = point(s, i);
    const A bad = ex.fetch((axis == 0 ? edges.z : axis == 1 ? edges.y : edges.x) + i);
    float value = 0;
    if constexpr (sizeof(A) == 4) value = bad;
    if constexpr (sizeof(A) == 2) {
        value = bad.bits & 0x7c00u ? Affinity<Half>::widen(bad) : 0.0f;
        if ((bad.bits & 0x7fffu) >= 0x7c00u)
            value =
                bad.bits & 0x3ffu ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
        if (bad.bits & 0x8000u) value = -value;
    }
    refuse("affinities must be from 0 to 1, got ", std::isnan(value) ? std::string("nan") : std::to_string(value),
           " in channel ", std::string(1, "zyx"[axis]), " at (", p.z, ", ", p.y, ", ", p.x, ")");
}

inline bool whole(const Box& box, const Shape& s) {
    return box.begin.z == 0 && box.begin.y == 0 && box.begin.x == 0 && box.end.z == s.z && box.end.y == s.y &&
           box.end.x == s.x;
}

template <class Id, class A, class Out>
int64_t fragments_with(Executor& ex, const Edges<A>& edges, const Options& options, Out* out) {
    const Shape shape = edges.shape;
    const int64_t n = shape.voxels();
    auto picks = ex.scratch<uint8_t>(n);
    const auto bad = ex.scratch<uint64_t>(1);
    ex.store(bad.data(), std::vector<uint64_t>{~uint64_t(0)});
    const Limits limits = limits_of<A>(options.low, options.high);
    ex.for_each(n, Pick<A>{edges, limits, options.waterz, options.inner, picks.data(), bad.data()});
    if (const uint64_t at = ex.fetch(bad.data()); at != ~uint64_t(0)) refuse_affinity(ex, edges, at);
    if (!whole(options.inner, shape)) ex.for_each(n, PickInHalo{shape, options.inner, picks.data()});
    const auto parent = ex.scratch<Id>(n);
    if (options.waterz) divide_plateaus(ex, shape, picks, parent.data());
    return join_picks(ex, shape, picks.data(), parent.data(), out);
}

template <class A, class Out>
int64_t fragments_anywhere(Executor& ex, const Edges<A>& edges, const Options& options, Out* out) {
    const int64_t n = edges.shape.voxels();
    if (n == 0) return 0;
    if (n < (int64_t(1) << 31) - 1) return fragments_with<uint32_t>(ex, edges, options, out);
    return fragments_with<uint64_t>(ex, edges, options, out);
}

// ---- Quantiles: two histograms, of the upper and the lower 15 bits of the orders ----

inline constexpr int64_t quantile_bins = int64_t(1) << 15;

// Counts orders whose upper part is `upper` by their lower part; with upper < 0 all orders by their upper part.
template <class A>
struct CountOrders {
    Edges<A> edges;
    int64_t upper;
    uint64_t* counts;

    EMFAST_HD static constexpr int shift() { return sizeof(A) == 4 ? 15 : 0; }
    template <class Add>
    EMFAST_HD void visit(int64_t i, const Add& add) const {
        const Point p = point(edges.shape, i);
        for (int axis = 0; axis < 3; ++axis) {
            const A* a = edges.before(axis, i, p);
            if (!a || !Affinity<A>::valid(*a)) continue;
            const uint32_t order = Affinity<A>::order(*a);
            if (upper < 0) add(order >> shift());
            else if (order >> shift() == static_cast<uint64_t>(upper)) add(order & (quantile_bins - 1));
        }
    }
    EMFAST_HD void operator()(int64_t i) const {
        visit(i, [&](uint64_t bin) { atomic_add(counts[bin], uint64_t(1)); });
    }
};

// count(body, counts): runs the body over all voxels into `counts`, which is on the host afterwards.
template <class A, class Count>
std::vector<float> quantiles_by(const Edges<A>& edges, const std::vector<double>& q, const Count& count) {
    const std::vector<uint64_t> upper = count(CountOrders<A>{edges, -1, nullptr});
    uint64_t total = 0;
    for (uint64_t c : upper) total += c;
    std::vector<float> found;
    for (double share : q) {
        const auto wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(total)));
        uint64_t rank = std::clamp<uint64_t>(wanted, 1, std::max<uint64_t>(total, 1));  // from 1
        auto seek = [&](const std::vector<uint64_t>& counts) {
            uint32_t bin = 0;
            while (rank > counts[bin]) rank -= counts[bin++];
            return bin;
        };
        if (total == 0) {
            found.push_back(0);
            continue;
        }
        uint32_t order = seek(upper);
        if constexpr (CountOrders<A>::shift() > 0)
            order = order << CountOrders<A>::shift() | seek(count(CountOrders<A>{edges, int64_t(order), nullptr}));
        found.push_back(value_of<A>(order));
    }
    return found;
}

template <class A>
std::vector<float> quantiles_anywhere(Executor& ex, const Edges<A>& edges, const std::vector<double>& q) {
    const auto counts = ex.scratch<uint64_t>(quantile_bins);
    return quantiles_by(edges, q, [&](CountOrders<A> body) {
        ex.fill(counts.data(), quantile_bins, uint64_t(0));
        body.counts = counts.data();
        ex.for_each(edges.shape.voxels(), body);
        return ex.fetch(counts.data(), quantile_bins);
    });
}

// ---- Linkage ----

inline int64_t link_in_order(const int64_t* pairs, int64_t n, std::vector<int64_t> sizes, int64_t merge_size,
                             int64_t dust, uint64_t* table) {
    const auto m = static_cast<int64_t>(sizes.size());
    std::vector<int64_t> region(m);
    for (int64_t k = 0; k < m; ++k) region[k] = k;
    for (int64_t j = 0; j < n; ++j) {
        int64_t a = find(region.data(), pairs[2 * j]), b = find(region.data(), pairs[2 * j + 1]);
        if (a == b || std::min(sizes[a], sizes[b]) >= merge_size) continue;
        if (b < a) std::swap(a, b);
        region[b] = a;
        sizes[a] += sizes[b];
    }
    uint64_t count = 0;
    for (int64_t k = 0; k < m; ++k) {  // a region's name is its smallest fragment, so it comes first
        const int64_t r = find(region.data(), k);
        table[k] = r < k ? table[r] : k > 0 && sizes[k] >= dust ? ++count : 0;
    }
    return static_cast<int64_t>(count);
}

}  // namespace emfast::watershed

#define EMFAST_INSTANTIATE(A)                                                                       \
    template int64_t fragments<A, uint32_t>(Executor&, const Edges<A>&, const Options&, uint32_t*); \
    template int64_t fragments<A, uint64_t>(Executor&, const Edges<A>&, const Options&, uint64_t*); \
    template std::vector<float> quantiles<A>(Executor&, const Edges<A>&, const std::vector<double>&);
