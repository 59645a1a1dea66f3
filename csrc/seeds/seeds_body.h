// The plain schedule, for every executor: Borůvka's rounds, the first over voxels, the others over what it leaves.
//
//   1. Every voxel that is no seed points at the neighbour across its first edge. That is the lowest neighbour, of equally
//      low ones the first: for neighbours of one voxel the order of edges is that of heights. Where the lowest neighbour is
//      as high as the voxel itself (flat), steps decide; they are found level by level, from the rims of plateaus inwards. A
//      plateau that no step reaches is a minimum without a seed: its inner edges come before those that leave it, so it is
//      united at once. (Steps that end early, at 65,534, prove nothing; there edges go by id.)
//   2. Pointers are followed: what points at one seed, or round one pair of voxels (each the other's choice), is a basin.
//   3. Edges between basins, unless both hold a seed. In rounds, every basin without a seed joins across its first edge, until
//      none has an edge left.
//
// What a voxel's word, and later an edge's end, says about a basin: `none`; a plain number, the index of its seed; or `top` and
// the number of a basin without a seed. While pointers are made, `open` marks a voxel that has none yet.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "components/components_body.h"
#include "seeds/seeds.h"

namespace emfast::seeds {

using components::Marks;

inline constexpr uint16_t unreached = 65535;

template <class Id>
inline constexpr Id open = Marks<Id>::none - 1;

// An edge in the total order: (height, rest).
struct Rank {
    uint64_t height = ~uint64_t(0), rest = ~uint64_t(0);
    EMFAST_HD bool operator<(const Rank& other) const {
        return height != other.height ? height < other.height : rest < other.rest;
    }
};

template <class Id>
struct Edge {
    Rank rank;
    Id a = 0, b = 0;
};

// ---- Voxels ----

template <class S, class Id>
struct Begin {
    const S* seeds;  // null: none
    const uint8_t* mask;
    Id* parent;
    EMFAST_HD void operator()(int64_t i) const {
        parent[i] = mask && !mask[i] ? Marks<Id>::none : seeds && seeds[i] ? static_cast<Id>(i) : open<Id>;
    }
};

template <class T, class Id>
struct Voxels {
    Field<T> field;
    Id* parent;
    uint16_t* steps;  // unreached: flat, and not yet (or never) reached; 1 and more: flat; 0: not flat
    bool minima_stay = false;  // a voxel below all its neighbours is a root, so that basins are those of minima

    EMFAST_HD Rank rank(int64_t i, int64_t q) const {
        const uint64_t a = field.order(i), b = field.order(q);
        const uint64_t both = a == b ? uint64_t(steps[i]) + steps[q] : 0, high = a > b ? a : b, low = a > b ? b : a;
        return {high << 32 | low, both << 40 | id(i, q)};
    }
    // The place of the earlier end is its code seen from the later one.
    EMFAST_HD uint64_t id(int64_t i, int64_t q) const {
        const int64_t last = i > q ? i : q;
        const Point p = point(field.shape, last), e = point(field.shape, i > q ? q : i);
        return static_cast<uint64_t>(13 * last + ((e.z - p.z + 1) * 9 + (e.y - p.y + 1) * 3 + e.x - p.x + 1));
    }
    EMFAST_HD bool equal(int64_t i, int64_t q) const { return field.order(i) == field.order(q); }
};

// The first edge of an open voxel, by heights alone.
template <class T, class Id>
struct Point1 : Voxels<T, Id> {
    uint64_t* bad;
    EMFAST_HD void operator()(int64_t i) const {
        const auto& field = this->field;
        if (this->parent[i] != Marks<Id>::none && !Height<T>::valid(field.height[i]))
            atomic_min(*bad, static_cast<uint64_t>(i));
        this->steps[i] = 0;
        if (this->parent[i] != open<Id>) return;
        int64_t to = -1;
        uint32_t least = 0;
        field.around(i, [&](int, int64_t q) {
            const uint32_t height = field.order(q);
            if (to < 0 || height < least) {
                to = q;
                least = height;
            }
        });
        if (to < 0) this->parent[i] = Marks<Id>::none;  // nobody around
        else if (least == field.order(i)) this->steps[i] = unreached;
        else if (this->minima_stay && least > field.order(i)) this->parent[i] = Marks<Id>::top | static_cast<Id>(i);
        else this->parent[i] = static_cast<Id>(to);
    }
};

// ---- Plateaus ----

// A flat voxel beside one of its height that is not flat.
template <class T, class Id>
struct AtRim : Voxels<T, Id> {
    EMFAST_HD bool operator()(int64_t i) const {
        if (this->steps[i] != unreached) return false;
        bool found = false;
        this->field.around(i, [&](int, int64_t q) { found |= this->equal(i, q) && this->steps[q] == 0; });
        return found;
    }
};

template <class T, class Id>
struct Reach : Voxels<T, Id> {
    const Id* level;
    uint16_t step;
    EMFAST_HD void operator()(int64_t j) const { this->steps[level[j]] = step; }
};

// Slot 27 j + code: the neighbour of that code of the level's voxel j belongs to the next level, and voxel j is the first to
// say so.
template <class T, class Id>
struct Spreads : Reach<T, Id> {
    EMFAST_HD int64_t target(int64_t slot) const {
        const auto i = static_cast<int64_t>(this->level[slot / 27]);
        return this->field.neighbour(i, point(this->field.shape, i), static_cast<int>(slot % 27));
    }
    EMFAST_HD bool operator()(int64_t slot) const {
        const int64_t q = target(slot);
        if (q < 0 || this->steps[q] != unreached) return false;
        const auto i = static_cast<int64_t>(this->level[slot / 27]);
        if (!this->equal(i, q)) return false;
        int64_t first = -1;
        this->field.around(q, [&](int, int64_t p) {
            if (first < 0 && this->steps[p] == this->step && this->equal(p, q)) first = p;
        });
        return first == i;
    }
};

template <class T, class Id>
struct ToVoxels {
    Spreads<T, Id> spreads;
    const int64_t* slots;
    Id* next;
    EMFAST_HD void operator()(int64_t j) const { next[j] = static_cast<Id>(spreads.target(slots[j])); }
};

// The first edge of a flat voxel: to the equally high neighbour of fewest steps, the first of them.
template <class T, class Id>
struct PointFlat : Voxels<T, Id> {
    bool reached_alone;
    EMFAST_HD void operator()(int64_t i) const {
        if (this->steps[i] == 0 || (reached_alone && this->steps[i] == unreached)) return;
        int64_t to = -1;
        this->field.around(i, [&](int, int64_t q) {
            if (this->equal(i, q) && (to < 0 || this->steps[q] < this->steps[to])) to = q;
        });
        this->parent[i] = static_cast<Id>(to);
    }
};

// Minima without a seed, united as components are: their voxels alone point at themselves and at each other.
template <class T, class Id>
struct BeginMinimum : Voxels<T, Id> {
    EMFAST_HD void operator()(int64_t i) const {
        if (this->steps[i] == unreached) this->parent[i] = static_cast<Id>(i);
    }
};

template <class T, class Id>
struct UniteMinimum : Voxels<T, Id> {
    EMFAST_HD void operator()(int64_t i) const {
        if (this->steps[i] != unreached) return;
        this->field.around(
            i,
            [&](int, int64_t q) {
                if (this->equal(i, q)) unite_shared(this->parent, static_cast<Id>(i), static_cast<Id>(q));
            },
            13);
    }
};

template <class T, class Id>
struct MarkMinimum : Voxels<T, Id> {
    EMFAST_HD void operator()(int64_t i) const {
        if (this->steps[i] == unreached && this->parent[i] == static_cast<Id>(i))
            this->parent[i] |= components::Marks<Id>::top;
    }
};

// Pointers of flat voxels, once steps are known.
template <class T, class Id>
void point_flats(Executor& ex, const Voxels<T, Id>& voxels, bool all_reached) {
    const int64_t n = voxels.field.shape.voxels();
    ex.for_each(n, PointFlat<T, Id>{voxels, all_reached});
    if (!all_reached) return;
    ex.for_each(n, BeginMinimum<T, Id>{voxels});
    ex.for_each(n, UniteMinimum<T, Id>{voxels});
    ex.for_each(n, MarkMinimum<T, Id>{voxels});
}

// Whether steps ended by themselves.
template <class T, class Id>
bool spread_steps(Executor& ex, const Voxels<T, Id>& voxels) {
    auto level = ex.select<Id>(voxels.field.shape.voxels(), AtRim<T, Id>{voxels});
    for (uint16_t step = 1; level.size() > 0; ++step) {
        const Reach<T, Id> reach{voxels, level.data(), step};
        ex.for_each(level.size(), reach);
        if (step + 1 == unreached) return false;
        const Spreads<T, Id> spreads{reach};
        const auto slots = ex.select<int64_t>(27 * level.size(), spreads);
        auto next = ex.scratch<Id>(slots.size());
        ex.for_each(slots.size(), ToVoxels<T, Id>{spreads, slots.data(), next.data()});
        level = std::move(next);
    }
    return true;
}

// ---- Basins ----

template <class Id>
EMFAST_HD inline bool is_voxel(Id word) {
    return word < Marks<Id>::top;
}

// Of two that point at each other the smaller one is a root and marked.
template <class Id>
struct Break {
    Id* parent;
    EMFAST_HD void operator()(int64_t i) const {
        const Id q = atomic_load(parent[i]), me = static_cast<Id>(i);
        if (is_voxel(q) && me < q && atomic_load(parent[q]) == me) atomic_store(parent[i], Marks<Id>::top | me);
    }
};

// Every voxel points at its root.
template <class Id>
struct Follow {
    Id* parent;
    EMFAST_HD void operator()(int64_t i) const {
        Id up = atomic_load(parent[i]);
        if (!is_voxel(up)) return;
        for (Id above = atomic_load(parent[up]); is_voxel(above) && above != up; above = atomic_load(parent[up]))
            up = above;
        atomic_store(parent[i], up);
    }
};

template <class Id>
struct IsMarked {
    const Id* parent;
    EMFAST_HD bool operator()(int64_t i) const { return parent[i] == (Marks<Id>::top | static_cast<Id>(i)); }
};

template <class Id>
struct Number {
    const Id* roots;
    Id* parent;
    EMFAST_HD void operator()(int64_t k) const { parent[roots[k]] = Marks<Id>::top | static_cast<Id>(k); }
};

// Roots' words go to their voxels.
template <class Id>
struct Inherit {
    Id* parent;
    EMFAST_HD void operator()(int64_t i) const {
        const Id up = atomic_load(parent[i]);
        if (is_voxel(up)) atomic_store(parent[i], atomic_load(parent[up]));
    }
};

template <class Id>
EMFAST_HD inline bool apart(Id a, Id b) {  // of different basins, not both with a seed
    return a != b && a != Marks<Id>::none && b != Marks<Id>::none && !(is_voxel(a) && is_voxel(b));
}

// Slot 13 i + code.
template <class T, class Id>
struct Crosses : Voxels<T, Id> {
    EMFAST_HD int64_t target(int64_t slot) const {
        return this->field.neighbour(slot / 13, point(this->field.shape, slot / 13), static_cast<int>(slot % 13));
    }
    EMFAST_HD bool operator()(int64_t slot) const {
        const Id a = this->parent[slot / 13];
        if (a == Marks<Id>::none) return false;
        const int64_t q = target(slot);
        return q >= 0 && apart(a, this->parent[q]);
    }
};

template <class T, class Id>
struct ToEdges {
    Crosses<T, Id> crosses;
    const int64_t* slots;
    Edge<Id>* edges;
    EMFAST_HD void operator()(int64_t j) const {
        const int64_t i = slots[j] / 13, q = crosses.target(slots[j]);
        edges[j] = {crosses.rank(i, q), crosses.parent[i], crosses.parent[q]};
    }
};

template <class T>
[[noreturn]] void refuse_height(const Shape& s, int64_t i) {
    const Point p = point(s, i);
    refuse("height must not be NaN, got one at (", p.z, ", ", p.y, ", ", p.x, ")");
}

// Basins and the edges between them.
template <class Id>
struct Basins {
    Id* words = nullptr;  // one a voxel
    Scratch<Edge<Id>> edges;
    int64_t edge_count = 0;  // of which some may join a basin to itself
    int64_t count = 0;  // without a seed
    bool minima_stay = false;
};

// basins.words has been begun.
template <class T, class Id>
void find_basins(Executor& ex, const Field<T>& field, Basins<Id>& basins) {
    const int64_t n = field.shape.voxels();
    Id* parent = basins.words;
    auto steps = ex.scratch<uint16_t>(n);
    const auto bad = ex.scratch<uint64_t>(1);
    ex.store(bad.data(), std::vector<uint64_t>{~uint64_t(0)});
    const Voxels<T, Id> voxels{field, parent, steps.data(), basins.minima_stay};
    ex.for_each(n, Point1<T, Id>{voxels, bad.data()});
    if (const uint64_t at = ex.fetch(bad.data()); at != ~uint64_t(0))
        refuse_height<T>(field.shape, static_cast<int64_t>(at));
    point_flats(ex, voxels, spread_steps(ex, voxels));
    ex.for_each(n, Break<Id>{parent});
    ex.for_each(n, Follow<Id>{parent});
    const auto roots = ex.select<Id>(n, IsMarked<Id>{parent});
    basins.count = roots.size();
    ex.for_each(roots.size(), Number<Id>{roots.data(), parent});
    ex.for_each(n, Inherit<Id>{parent});
    const Crosses<T, Id> crosses{voxels};
    const auto slots = ex.select<int64_t>(13 * n, crosses);
    basins.edge_count = slots.size();
    basins.edges = ex.scratch<Edge<Id>>(slots.size());
    ex.for_each(slots.size(), ToEdges<T, Id>{crosses, slots.data(), basins.edges.data()});
}

// ---- Rounds over basins ----

template <class Id>
struct Rounds {
    const Edge<Id>* edges;
    uint64_t *height, *rest;  // the first edge of each basin
    Id* joined;  // the word of what a basin joins, its own where it stands for itself

    EMFAST_HD static int64_t place(Id word) { return static_cast<int64_t>(word & ~Marks<Id>::top); }
};

template <class Id>
struct Reset : Rounds<Id> {
    bool first;
    EMFAST_HD void operator()(int64_t k) const {
        this->height[k] = this->rest[k] = ~uint64_t(0);
        if (first) this->joined[k] = Marks<Id>::top | static_cast<Id>(k);
    }
};

template <class Id>
struct LowerHeight : Rounds<Id> {
    EMFAST_HD void lower(Id word, const Rank& rank) const {
        if (!is_voxel(word)) atomic_min(this->height[this->place(word)], rank.height);
    }
    EMFAST_HD void operator()(int64_t j) const {
        const Edge<Id> e = this->edges[j];
        lower(e.a, e.rank);
        lower(e.b, e.rank);
    }
};

template <class Id>
struct LowerRest : Rounds<Id> {
    EMFAST_HD void lower(Id word, const Rank& rank) const {
        if (!is_voxel(word) && this->height[this->place(word)] == rank.height)
            atomic_min(this->rest[this->place(word)], rank.rest);
    }
    EMFAST_HD void operator()(int64_t j) const {
        const Edge<Id> e = this->edges[j];
        lower(e.a, e.rank);
        lower(e.b, e.rank);
    }
};

template <class Id>
struct Join : Rounds<Id> {
    EMFAST_HD void operator()(int64_t j) const {
        const Edge<Id> e = this->edges[j];
        auto first = [&](Id word) {
            return !is_voxel(word) && this->height[this->place(word)] == e.rank.height &&
                   this->rest[this->place(word)] == e.rank.rest;
        };
        if (first(e.a)) this->joined[this->place(e.a)] = e.b;
        if (first(e.b)) this->joined[this->place(e.b)] = e.a;
    }
};

// The three at once, for a single thread.
template <class Id>
struct JoinAlone : Rounds<Id> {
    void lower(Id word, const Edge<Id>& e, Id other) const {
        if (is_voxel(word)) return;
        const int64_t k = this->place(word);
        if (!(e.rank < Rank{this->height[k], this->rest[k]})) return;
        this->height[k] = e.rank.height;
        this->rest[k] = e.rank.rest;
        this->joined[k] = other;
    }
    void operator()(int64_t j) const {
        const Edge<Id> e = this->edges[j];
        lower(e.a, e, e.b);
        lower(e.b, e, e.a);
    }
};

template <class Id>
struct BreakJoined {
    Id* joined;
    EMFAST_HD void operator()(int64_t k) const {
        const Id me = Marks<Id>::top | static_cast<Id>(k), other = atomic_load(joined[k]);
        if (!is_voxel(other) && me < other && atomic_load(joined[Rounds<Id>::place(other)]) == me)
            atomic_store(joined[k], me);
    }
};

template <class Id>
struct FollowJoined {
    Id* joined;
    EMFAST_HD void operator()(int64_t k) const {
        Id up = atomic_load(joined[k]);
        while (!is_voxel(up)) {
            const Id above = atomic_load(joined[Rounds<Id>::place(up)]);
            if (above == up) break;
            up = above;
        }
        atomic_store(joined[k], up);
    }
};

template <class Id>
struct Rename {
    Edge<Id>* edges;
    const Id* joined;
    EMFAST_HD void operator()(int64_t j) const {
        Edge<Id>& e = edges[j];
        if (!is_voxel(e.a)) e.a = joined[Rounds<Id>::place(e.a)];
        if (!is_voxel(e.b)) e.b = joined[Rounds<Id>::place(e.b)];
    }
};

template <class Id>
struct IsApart {
    const Edge<Id>* edges;
    EMFAST_HD bool operator()(int64_t j) const { return apart(edges[j].a, edges[j].b); }
};

template <class Id>
struct Gather {
    const Edge<Id>* from;
    const int64_t* places;
    Edge<Id>* to;
    EMFAST_HD void operator()(int64_t j) const { to[j] = from[places[j]]; }
};

// What each basin without a seed ends up in: a seed's index, or one of the basins that no seed reaches.
template <class Id>
Scratch<Id> join_basins(Executor& ex, Basins<Id>& basins) {
    const int64_t n = basins.count;
    auto joined = ex.scratch<Id>(n);
    const auto height = ex.scratch<uint64_t>(n), rest = ex.scratch<uint64_t>(n);
    for (bool first = true;; first = false) {
        const int64_t m = basins.edge_count;
        const Rounds<Id> rounds{basins.edges.data(), height.data(), rest.data(), joined.data()};
        ex.for_each(n, Reset<Id>{rounds, first});
        if (m == 0) return joined;
#if EMFAST_BACKEND == EMFAST_CORE
        if (ex.threads() == 1) {
            ex.for_each(m, JoinAlone<Id>{rounds});
        } else
#endif
        {
            ex.for_each(m, LowerHeight<Id>{rounds});
            ex.for_each(m, LowerRest<Id>{rounds});
            ex.for_each(m, Join<Id>{rounds});
        }
        ex.for_each(n, BreakJoined<Id>{joined.data()});
        ex.for_each(n, FollowJoined<Id>{joined.data()});
        ex.for_each(m, Rename<Id>{basins.edges.data(), joined.data()});
        const auto left = ex.select<int64_t>(m, IsApart<Id>{basins.edges.data()});
        auto next = ex.scratch<Edge<Id>>(left.size());
        ex.for_each(left.size(), Gather<Id>{basins.edges.data(), left.data(), next.data()});
        basins.edges = std::move(next);
        basins.edge_count = left.size();
    }
}

// ---- Labels ----

template <class S, class Id>
struct Label {
    const Id *words, *joined;
    const S* seeds;
    S* out;
    EMFAST_HD void operator()(int64_t i) const {
        Id word = words[i];
        if (word != Marks<Id>::none && !is_voxel(word)) word = joined[Rounds<Id>::place(word)];
        out[i] = is_voxel(word) ? seeds[word] : S(0);
    }
};

template <class T, class S>
struct OnLine {
    Field<T> field;
    const S *seeds, *labels;
    uint8_t* on;
    EMFAST_HD bool later(int64_t i, int64_t q) const {
        const auto a = field.order(i), b = field.order(q);
        return a != b ? a > b : i > q;
    }
    EMFAST_HD void operator()(int64_t i) const {
        on[i] = 0;
        if (!labels[i] || seeds[i]) return;
        field.around(i, [&](int, int64_t q) {
            if (labels[q] && labels[q] != labels[i] && (seeds[q] || later(i, q))) on[i] = 1;
        });
    }
};

template <class S>
struct Clear {
    const uint8_t* on;
    S* labels;
    EMFAST_HD void operator()(int64_t i) const {
        if (on[i]) labels[i] = 0;
    }
};

template <class T, class S>
void draw_lines(Executor& ex, const Field<T>& field, const S* seeds, S* out) {
    const int64_t n = field.shape.voxels();
    const auto on = ex.scratch<uint8_t>(n);
    ex.for_each(n, OnLine<T, S>{field, seeds, out, on.data()});
    ex.for_each(n, Clear<S>{on.data(), out});
}

template <class T>
Field<T> field_of(const Shape& shape, const T* height, const uint8_t* mask, const Options& options) {
    return {shape, height, mask, options.axes, options.planar};
}

// find(basins, begin): the executor's way to the basins; begin(i) is what a voxel's word begins with.
template <class T, class Find>
void flood_by(Executor& ex, const Field<T>& field, const void* seeds_, int label_bytes, bool lines, void* out_,
              const Find& find) {
    const int64_t n = field.shape.voxels();
    visit_width(label_bytes, [&](auto zero) {
        using S = decltype(zero);
        const S* seeds = static_cast<const S*>(seeds_);
        S* out = static_cast<S*>(out_);
        auto with = [&](auto id) {
            using Id = decltype(id);
            Basins<Id> basins;
            constexpr bool in_place = std::is_same_v<S, Id>;  // words become labels where they lie
            const auto words = ex.scratch<Id>(in_place ? 0 : n);
            if constexpr (in_place) basins.words = out;
            else basins.words = words.data();
            find(basins, Begin<S, Id>{seeds, field.mask, basins.words});
            const auto joined = join_basins(ex, basins);
            ex.for_each(n, Label<S, Id>{basins.words, joined.data(), seeds, out});
        };
        if (n < (int64_t(1) << 31) - 2) with(uint32_t{});
        else with(uint64_t{});
        if (lines) draw_lines(ex, field, seeds, out);
    });
}

}  // namespace emfast::seeds

#define EMFAST_INSTANTIATE(T) \
    template void flood<T>(Executor&, const Shape&, const T*, const uint8_t*, const void*, int, const Options&, void*);
#define EMFAST_INSTANTIATE_QUEUE(S)                                                                                \
    template void flood_by_queue<S>(Executor&, const Shape&, const double*, const uint8_t*, const S*, int, double, \
                                    bool, S*);
