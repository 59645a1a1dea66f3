// Schedules of the markers. Maxima are the minima of the values' orders upside down, and an edge between basins is a pass. What is left to do, over basins and passes, is little and done on the host.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <vector>

#include "seeds/markers.h"
#include "seeds/seeds_body.h"

namespace emfast::seeds {

// The value of an order.
template <class T>
double value_of(typename Height<T>::Bits order) {
    if constexpr (std::is_same_v<T, float>) {
        const uint32_t bits = order & 0x80000000u ? order & 0x7fffffffu : ~order;
        float value;
        memcpy(&value, &bits, sizeof value);
        return value;
    } else if constexpr (std::is_same_v<T, Half>) {
        const auto bits = static_cast<uint16_t>(order & 0x8000u ? order & 0x7fffu : ~order);
        const int exponent = bits >> 10 & 31, fraction = bits & 1023;
        const double size = exponent == 31  ? std::numeric_limits<double>::infinity()
                            : exponent == 0 ? std::ldexp(fraction, -24)
                                            : std::ldexp(fraction + 1024, exponent - 25);
        return bits & 0x8000u ? -size : size;
    } else if constexpr (std::is_signed_v<T>) {
        return static_cast<double>(order) - static_cast<double>(uint64_t(1) << (8 * sizeof(T) - 1));
    } else {
        return static_cast<double>(order);
    }
}

template <class T>
struct Upside {
    Field<T> field;
    typename Height<T>::Bits* out;
    uint64_t* bad;
    EMFAST_HD void operator()(int64_t i) const {
        if (field.here(i) && !Height<T>::valid(field.height[i])) atomic_min(*bad, static_cast<uint64_t>(i));
        out[i] = static_cast<typename Height<T>::Bits>(~field.order(i));
    }
};

template <class K, class Id>
struct Lowest {
    const K* height;
    const Id* words;
    uint32_t* lowest;  // of each basin
    EMFAST_HD void operator()(int64_t i) const {
        if (words[i] != Marks<Id>::none)
            atomic_min(lowest[Rounds<Id>::place(words[i])], static_cast<uint32_t>(height[i]));
    }
};

template <class K, class Id>
struct MarkDeep {
    const K* height;
    const Id* words;
    const uint32_t* lowest;
    const uint8_t *deep, *mask;
    uint8_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        if (words[i] == Marks<Id>::none) {  // outside, or alone
            out[i] = !mask || mask[i];
            return;
        }
        const int64_t k = Rounds<Id>::place(words[i]);
        out[i] = deep[k] && height[i] == lowest[k];
    }
};

// Which basins' minima are h deep or more. Sets of basins are united pass by pass, the lowest first. A set knows its lowest value,
// and the list of those of its basins that have it and whose depth is not settled yet.
template <class T, class Id>
std::vector<uint8_t> deep_basins(const std::vector<uint32_t>& lowest, std::vector<Edge<Id>> passes, double h) {
    using Bits = typename Height<T>::Bits;
    auto value = [](uint32_t upside) { return value_of<T>(static_cast<Bits>(~upside)); };
    std::sort(passes.begin(), passes.end(), [](const auto& a, const auto& b) { return a.rank.height < b.rank.height; });
    const auto n = static_cast<int64_t>(lowest.size());
    std::vector<uint8_t> deep(n, 1);
    std::vector<uint32_t> least = lowest;
    std::vector<int64_t> set(n), first(n), last(n), next(n, -1);  // lists by first, last and next, -1: none
    std::iota(set.begin(), set.end(), int64_t(0));
    first = last = set;
    for (const Edge<Id>& e : passes) {
        int64_t a = find(set.data(), Rounds<Id>::place(e.a)), b = find(set.data(), Rounds<Id>::place(e.b));
        if (a == b) continue;
        if (b < a) std::swap(a, b);
        const auto pass = static_cast<uint32_t>(e.rank.height >> 32);
        auto settle = [&](int64_t s) {  // the set's minimum has met a lower one
            const bool keep = value(least[s]) - value(pass) >= h;
            for (int64_t k = first[s]; k >= 0 && !keep; k = next[k]) deep[k] = 0;
            first[s] = last[s] = -1;
        };
        const uint32_t of_a = least[a], of_b = least[b];
        if (of_a > of_b) settle(a);
        if (of_b > of_a) settle(b);
        if (first[a] < 0) {
            first[a] = first[b];
            last[a] = last[b];
        } else if (first[b] >= 0) {
            next[last[a]] = first[b];
            last[a] = last[b];
        }
        least[a] = std::min(of_a, of_b);
        set[b] = a;
    }
    return deep;
}

template <class T>
void refuse_nan(const Shape& shape, uint64_t at) {
    const Point p = point(shape, static_cast<int64_t>(at));
    refuse("values must not be NaN, got one at (", p.z, ", ", p.y, ", ", p.x, ")");
}

// find(field, basins): the executor's way to basins whose words have been begun.
template <class T, class Find>
void h_maxima_by(Executor& ex, const Field<T>& field, double h, uint8_t* out, const Find& find) {
    using K = typename Height<T>::Bits;
    const int64_t n = field.shape.voxels();
    const auto upside = ex.scratch<K>(n);
    const auto bad = ex.scratch<uint64_t>(1);
    ex.store(bad.data(), std::vector<uint64_t>{~uint64_t(0)});
    ex.for_each(n, Upside<T>{field, upside.data(), bad.data()});
    if (const uint64_t at = ex.fetch(bad.data()); at != ~uint64_t(0)) refuse_nan<T>(field.shape, at);
    const Field<K> turned{field.shape, upside.data(), field.mask, field.axes, field.planar};
    auto with = [&](auto id) {
        using Id = decltype(id);
        Basins<Id> basins;
        const auto words = ex.scratch<Id>(n);
        basins.words = words.data();
        basins.minima_stay = true;
        find(turned, basins, Begin<uint8_t, Id>{nullptr, field.mask, basins.words});
        const auto lowest = ex.scratch<uint32_t>(basins.count);
        ex.fill(lowest.data(), basins.count, ~uint32_t(0));
        ex.for_each(n, Lowest<K, Id>{upside.data(), basins.words, lowest.data()});
        const auto deep_ =
            deep_basins<T>(ex.fetch(lowest.data(), basins.count), ex.fetch(basins.edges.data(), basins.edge_count), h);
        const auto deep = ex.scratch<uint8_t>(basins.count);
        ex.store(deep.data(), deep_);
        ex.for_each(n, MarkDeep<K, Id>{upside.data(), basins.words, lowest.data(), deep.data(), field.mask, out});
    };
    if (n < (int64_t(1) << 31) - 2) with(uint32_t{});
    else with(uint64_t{});
}

// ---- Peaks ----

template <class T>
struct Peaks {
    Field<T> field;
    typename Height<T>::Bits above;  // by order
    bool none;  // nothing is above
    EMFAST_HD bool operator()(int64_t i) const {
        if (none || !field.here(i) || !Height<T>::valid(field.height[i])) return false;
        const auto own = field.order(i);
        if (own < above) return false;
        bool higher = false;
        field.around(i, [&](int, int64_t q) { higher |= field.order(q) > own; });
        return !higher;
    }
};

template <class T>
struct TakeOrder {
    Field<T> field;
    const int64_t* voxels;
    uint32_t* orders;
    EMFAST_HD void operator()(int64_t j) const { orders[j] = static_cast<uint32_t>(field.order(voxels[j])); }
};

// Numbers of parts are words less the top bit, above all numbers those of voxels that are alone.
template <class Id>
struct TakePart {
    const Id* words;
    const int64_t* voxels;
    int64_t count;
    int64_t* parts;
    EMFAST_HD void operator()(int64_t j) const {
        const Id word = words[voxels[j]];
        parts[j] = word == Marks<Id>::none ? count + voxels[j] : Rounds<Id>::place(word);
    }
};

template <class T>
struct FirstNaN {
    Field<T> field;
    EMFAST_HD uint64_t operator()(int64_t i) const {
        return field.here(i) && !Height<T>::valid(field.height[i]) ? static_cast<uint64_t>(i) : ~uint64_t(0);
    }
};

struct PutNumbers {
    const int64_t* voxels;
    uint32_t* out;
    EMFAST_HD void operator()(int64_t j) const { out[voxels[j]] = static_cast<uint32_t>(j + 1); }
};

// Those of the voxels that stay, ascending. Taken ones are kept in cells of the separation's size, so that a voxel looks at 27 cells.
inline std::vector<int64_t> keep_apart(const Shape& s, const std::vector<int64_t>& voxels,
                                       const std::vector<uint32_t>& orders, const std::vector<int64_t>& parts,
                                       double separation, const double (&spacing)[3], bool planar) {
    std::vector<int64_t> by(voxels.size()), kept;
    std::iota(by.begin(), by.end(), int64_t(0));
    std::stable_sort(by.begin(), by.end(), [&](int64_t a, int64_t b) { return orders[a] > orders[b]; });
    const double least = separation * separation;
    // Cells along an axis, a shade larger for rounding's sake; sections stand apart.
    const double size = std::max(separation, std::min({spacing[0], spacing[1], spacing[2]})) * (1 + 1e-9);
    auto cell = [&](int64_t c, int axis) {
        if (planar && axis == 0) return 3 * c;
        return static_cast<int64_t>(std::floor(static_cast<double>(c) * spacing[axis] / size));
    };
    auto key = [](int64_t z, int64_t y, int64_t x) {  // cells that share one are only looked at in vain
        return static_cast<uint64_t>(z + 1) << 42 ^ static_cast<uint64_t>(y + 1) << 21 ^ static_cast<uint64_t>(x + 1);
    };
    std::unordered_map<uint64_t, std::vector<int64_t>> cells;  // places in `voxels`
    for (int64_t k : by) {
        const Point p = point(s, voxels[k]);
        const int64_t z = cell(p.z, 0), y = cell(p.y, 1), x = cell(p.x, 2);
        bool near = false;
        for (int d = 0; d < 27 && !near; ++d) {
            const auto found = cells.find(key(z + d / 9 - 1, y + d / 3 % 3 - 1, x + d % 3 - 1));
            if (found == cells.end()) continue;
            for (int64_t other : found->second) {
                if (!parts.empty() && parts[other] != parts[k]) continue;
                const Point q = point(s, voxels[other]);
                const double dz = static_cast<double>(p.z - q.z) * spacing[0],
                             dy = static_cast<double>(p.y - q.y) * spacing[1],
                             dx = static_cast<double>(p.x - q.x) * spacing[2];
                near |= dz * dz + dy * dy + dx * dx < least;
            }
        }
        if (near) continue;
        cells[key(z, y, x)].push_back(k);
        kept.push_back(voxels[k]);
    }
    std::sort(kept.begin(), kept.end());
    return kept;
}

// The least order whose value is above the threshold; false if there is none.
template <class T>
bool order_above(double threshold, typename Height<T>::Bits& above) {
    using Bits = typename Height<T>::Bits;
    uint64_t from = 0, to = uint64_t(std::numeric_limits<Bits>::max()) + 1;
    if constexpr (std::is_same_v<T, float>) {
        from = 0x007fffffu;  // -infinity
        to = 0xff800001u;
    }
    if constexpr (std::is_same_v<T, Half>) {
        from = 0x03ffu;
        to = 0xfc01u;
    }
    const uint64_t end = to;
    while (from < to) {
        const uint64_t middle = from + (to - from) / 2;
        if (value_of<T>(static_cast<Bits>(middle)) > threshold) to = middle;
        else from = middle + 1;
    }
    above = static_cast<Bits>(from);
    return from < end;
}

// find(field, basins, begin): the executor's way to basins. Those of a level map are the parts of the mask.
template <class T, class Find>
int64_t peaks_by(Executor& ex, const Field<T>& field, double threshold, double separation, const double (&spacing)[3],
                 uint32_t* out, const Find& find) {
    const int64_t n = field.shape.voxels();
    if (const uint64_t at = ex.reduce(n, ~uint64_t(0), FirstNaN<T>{field}, Smaller{}); at != ~uint64_t(0))
        refuse_nan<T>(field.shape, at);
    typename Height<T>::Bits above{};
    const bool none = !order_above<T>(threshold, above);
    const auto voxels = ex.template select<int64_t>(n, Peaks<T>{field, above, none});
    const auto orders = ex.template scratch<uint32_t>(voxels.size());
    ex.for_each(voxels.size(), TakeOrder<T>{field, voxels.data(), orders.data()});
    std::vector<int64_t> parts;
    auto part_with = [&](auto id) {
        using Id = decltype(id);
        const auto words = ex.template scratch<Id>(n);
        Basins<Id> basins;
        basins.words = words.data();
        const Field<uint8_t> level{field.shape, field.mask, field.mask, 1, field.planar};
        find(level, basins, Begin<uint8_t, Id>{nullptr, field.mask, words.data()});
        const auto numbers = ex.template scratch<int64_t>(voxels.size());
        ex.for_each(voxels.size(), TakePart<Id>{words.data(), voxels.data(), basins.count, numbers.data()});
        parts = ex.fetch(numbers.data(), voxels.size());
    };
    if (field.mask && n < (int64_t(1) << 31) - 2) part_with(uint32_t{});
    else if (field.mask) part_with(uint64_t{});
    const auto kept = keep_apart(field.shape, ex.fetch(voxels.data(), voxels.size()),
                                 ex.fetch(orders.data(), voxels.size()), parts, separation, spacing, field.planar);
    const auto places = ex.template scratch<int64_t>(static_cast<int64_t>(kept.size()));
    ex.store(places.data(), kept);
    ex.fill(out, n, uint32_t(0));
    ex.for_each(places.size(), PutNumbers{places.data(), out});
    return places.size();
}

// ---- Mean affinities ----

inline constexpr int64_t none_bad = std::numeric_limits<int64_t>::max();

// Marks the voxel, and gives the first of its edges (channel * voxels + voxel) that is not from 0 to 1.
template <class A>
struct AboveMean {
    Shape shape;
    const A* affinities;
    int channels;
    bool planar;
    double share;
    uint8_t* out;
    EMFAST_HD int64_t operator()(int64_t i) const {
        const Point p = point(shape, i);
        const int64_t n = shape.voxels(), steps[3] = {shape.y * shape.x, shape.x, 1};
        const bool before[3] = {p.z > 0, p.y > 0, p.x > 0},
                   after[3] = {p.z + 1 < shape.z, p.y + 1 < shape.y, p.x + 1 < shape.x};
        uint64_t sum = 0, edges = 0;
        int64_t bad = none_bad;
        for (int c = 0; c < channels; ++c) {
            const int axis = c + 3 - channels;
            if (axis == 0 && planar) continue;
            for (int side = 0; side < 2; ++side) {
                if (!(side ? after : before)[axis]) continue;
                const int64_t at = c * n + i + side * steps[axis];
                if (Affinity<A>::valid(affinities[at])) sum += Affinity<A>::grid(affinities[at]);
                else bad = at < bad ? at : bad;
            }
            edges += before[axis] + after[axis];
        }
        out[i] = static_cast<double>(sum) > share * Affinity<A>::unit * static_cast<double>(edges);
        return bad;
    }
};

template <class A>
int64_t above_mean_by(Executor& ex, const AboveMean<A>& mean) {
    const int64_t bad = ex.reduce(mean.shape.voxels(), none_bad, mean, Smaller{});
    return bad == none_bad ? -1 : bad;
}

}  // namespace emfast::seeds

#define EMFAST_INSTANTIATE_MARKERS(T)                                                                                 \
    template void h_maxima<T>(Executor&, const Shape&, const T*, const uint8_t*, double, const Options&, uint8_t*);   \
    template int64_t peaks<T>(Executor&, const Shape&, const T*, const uint8_t*, double, double, const double (&)[3], \
                              bool, uint32_t*);
#define EMFAST_INSTANTIATE_MEAN(A) \
    template int64_t above_mean<A>(Executor&, const Shape&, const A*, int, bool, double, uint8_t*);
