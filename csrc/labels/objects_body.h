// Bodies and schedules of the objects: a union-find over voxels, the smallest voxel of an object being its
// root.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/ops.h"
#include "core/union_find.h"
#include "labels/enclosed.h"
#include "labels/objects.h"

namespace emfast::labels {

// Does an object of this size and place stay?
struct Sieve {
    int64_t low, high;
    Border border;
    bool invert;
    EMFAST_HD bool keeps(int64_t size, bool touches) const {
        bool stays = size >= low && size < high;
        if (touches && border != Border::ignore) stays = border == Border::keep;
        return stays != invert;
    }
};

EMFAST_HD inline bool on_border(const Grid& grid, const Point& p, bool per_section) {
    const Shape& s = grid.shape;
    return p.x == 0 || p.x == s.x - 1 || p.y == 0 || p.y == s.y - 1 ||
           (!per_section && !grid.planar && (p.z == 0 || p.z == s.z - 1));
}

// The number of axes a step may change.
inline int reach_of(int connectivity) { return connectivity == 6 ? 1 : connectivity == 18 ? 2 : 3; }

// Ids of 32 bits suffice where every voxel has one to spare.
template <class F>
decltype(auto) visit_id(int64_t voxels, F&& f) {
    if (voxels < int64_t(std::numeric_limits<uint32_t>::max()) - (int64_t(1) << 24)) return f(uint32_t{});
    return f(uint64_t{});
}

#if EMFAST_BACKEND != EMFAST_CORE

template <class Id>
struct Alone {
    Id* parent;
    EMFAST_HD void operator()(int64_t i) const { parent[i] = static_cast<Id>(i); }
};

// Joins a voxel with those of its neighbours that come before it. Reach is the number of axes a step may
// change: 1, 2, 3 for connectivity 6, 18, 26. Label 0 is joined with zero_reach; 0 leaves its voxels alone.
template <class T, class Id>
struct Join {
    const T* labels;
    Grid grid;
    int reach, zero_reach;
    bool per_section;
    Id* parent;
    EMFAST_HD void operator()(int64_t i) const {
        const T label = labels[i];
        const int most = label ? reach : zero_reach;
        const Shape& s = grid.shape;
        const Point p = point(s, i);
        for (int dz = per_section ? 0 : -1; dz <= 0; ++dz)
            for (int dy = -1; dy <= (dz ? 1 : 0); ++dy)
                for (int dx = -1; dx <= (dz || dy ? 1 : -1); ++dx) {
                    if ((dz != 0) + (dy != 0) + (dx != 0) > most) continue;
                    if (p.z + dz < 0 || p.y + dy < 0 || p.y + dy >= s.y || p.x + dx < 0 || p.x + dx >= s.x) continue;
                    const int64_t j = s.index(p.z + dz, p.y + dy, p.x + dx);
                    if (labels[j] == label) unite_shared(parent, static_cast<Id>(i), static_cast<Id>(j));
                }
    }
};

template <class Id>
struct Flatten {
    Id* parent;
    EMFAST_HD void operator()(int64_t i) const {
        const Id root = find_shared(parent, static_cast<Id>(i));
        atomic_store(parent[i], root);
    }
};

// At every root the object's size (its runs add their ends and take away their begins) and whether it touches
// the border.
template <class T, class Id>
struct Measure {
    const T* labels;
    Grid grid;
    bool per_section;
    const Id* parent;
    Id* size;
    uint8_t* touches;
    EMFAST_HD void operator()(int64_t i) const {
        const Shape& s = grid.shape;
        const Point p = point(s, i);
        const bool begins = p.x == 0 || labels[i - 1] != labels[i], ends = p.x == s.x - 1 || labels[i + 1] != labels[i];
        const Id root = parent[i];
        if (begins || ends)
            atomic_add(size[root], static_cast<Id>((ends ? Id(i) + 1 : Id(0)) - (begins ? Id(i) : Id(0))));
        if (on_border(grid, p, per_section)) atomic_store(touches[root], uint8_t(1));
    }
};

template <class T, class Id>
struct IsObject {
    const T* labels;
    const Id* parent;
    EMFAST_HD bool operator()(int64_t i) const { return labels[i] != 0 && parent[i] == static_cast<Id>(i); }
};

template <class Id>
struct IsRoot {
    const Id* parent;
    EMFAST_HD bool operator()(int64_t i) const { return parent[i] == static_cast<Id>(i); }
};

template <class Id>
struct Stays {
    Sieve sieve;
    const Id *roots, *size;
    const uint8_t* touches;
    uint8_t* keep;
    EMFAST_HD void operator()(int64_t k) const {
        keep[roots[k]] = sieve.keeps(static_cast<int64_t>(size[roots[k]]), touches[roots[k]]);
    }
};

template <class Id>
struct KeepAt {
    const Id* roots;
    const uint8_t* keep;
    EMFAST_HD bool operator()(int64_t k) const { return keep[roots[k]]; }
};

template <class Id>
struct SizeKey {
    const Id *roots, *size;
    uint64_t* keys;
    EMFAST_HD void operator()(int64_t k) const { keys[k] = ~uint64_t(size[roots[k]]); }
};

template <class Id>
struct KeepFirst {
    const Id* roots;
    int64_t k;
    uint8_t* keep;
    EMFAST_HD void operator()(int64_t i) const { keep[roots[i]] = i < k; }
};

template <class T, class Id>
struct WriteKept {
    const T* labels;
    const Id* parent;
    const uint8_t* keep;
    T* out;
    EMFAST_HD void operator()(int64_t i) const { out[i] = labels[i] != 0 && keep[parent[i]] ? labels[i] : T(0); }
};

template <class T, class Id>
struct Objects {
    Objects(Executor& ex, const T* labels, const Grid& grid, int reach, int zero_reach, bool per_section)
        : n(grid.shape.voxels()),
          labels(labels),
          parent(ex.scratch<Id>(n)),
          size(ex.scratch<Id>(n)),
          touches(ex.scratch<uint8_t>(n)) {
        ex.for_each(n, Alone<Id>{parent.data()});
        ex.for_each(n, Join<T, Id>{labels, grid, reach, zero_reach, per_section, parent.data()});
        ex.for_each(n, Flatten<Id>{parent.data()});
        ex.fill(size.data(), n, Id(0));
        ex.fill(touches.data(), n, uint8_t(0));
        ex.for_each(n, Measure<T, Id>{labels, grid, per_section, parent.data(), size.data(), touches.data()});
    }

    int64_t write(Executor& ex, const Id* roots, int64_t count, const uint8_t* keep, T* out) const {
        ex.for_each(n, WriteKept<T, Id>{labels, parent.data(), keep, out});
        auto kept = ex.scratch<Id>(count);
        return ex.compact(count, KeepAt<Id>{roots, keep}, kept.data());
    }

    int64_t n;
    const T* labels;
    Scratch<Id> parent, size;
    Scratch<uint8_t> touches;
};

template <class T>
int64_t dust(Executor& ex, const T* labels, const Grid& grid, int connectivity, int64_t low, int64_t high,
             Border border, bool invert, T* out) {
    const int64_t n = grid.shape.voxels();
    if (n == 0) return 0;
    return visit_id(n, [&](auto id) {
        using Id = decltype(id);
        const Objects<T, Id> objects(ex, labels, grid, reach_of(connectivity), 0, false);
        auto keep = ex.scratch<uint8_t>(n);
        const auto roots = ex.select<Id>(n, IsObject<T, Id>{labels, objects.parent.data()});
        const int64_t count = roots.size();
        ex.for_each(count, Stays<Id>{Sieve{low, high, border, invert}, roots.data(), objects.size.data(),
                                     objects.touches.data(), keep.data()});
        return objects.write(ex, roots.data(), count, keep.data(), out);
    });
}

template <class T>
int64_t largest(Executor& ex, const T* labels, const Grid& grid, int connectivity, int64_t k, T* out) {
    const int64_t n = grid.shape.voxels();
    if (n == 0) return 0;
    return visit_id(n, [&](auto id) {
        using Id = decltype(id);
        const Objects<T, Id> objects(ex, labels, grid, reach_of(connectivity), 0, false);
        auto keep = ex.scratch<uint8_t>(n);
        const auto roots = ex.select<Id>(n, IsObject<T, Id>{labels, objects.parent.data()});
        const int64_t count = roots.size();
        auto keys = ex.scratch<uint64_t>(count);
        ex.for_each(count, SizeKey<Id>{roots.data(), objects.size.data(), keys.data()});
        ex.sort_pairs(keys.data(), roots.data(), count);
        ex.for_each(count, KeepFirst<Id>{roots.data(), k, keep.data()});
        return objects.write(ex, roots.data(), count, keep.data(), out);
    });
}

// ---- holes ----

template <class Id>
struct NumberRoots {
    const Id* roots;
    Id* number;  // at the root
    EMFAST_HD void operator()(int64_t k) const { number[roots[k]] = static_cast<Id>(k); }
};

// Face k of voxel i is index 3 i + k: towards the voxel before it along axis x, y, z.
template <class Id>
struct Face {
    Grid grid;
    bool per_section;
    const Id *parent, *number;
    const uint8_t* touches;

    // The two nodes that share the face, if they differ and one of them is inside; false otherwise.
    EMFAST_HD bool nodes(int64_t f, uint64_t& a, uint64_t& b) const {
        const int64_t i = f / 3, axis = f % 3;
        const Shape& s = grid.shape;
        const Point p = point(s, i);
        if (axis == 0 ? p.x == 0 : axis == 1 ? p.y == 0 : per_section || p.z == 0) return false;
        const int64_t j = i - (axis == 0 ? 1 : axis == 1 ? s.x : s.x * s.y);
        const Id u = parent[i], v = parent[j];
        if (u == v || (touches[u] && touches[v])) return false;
        a = number[u < v ? u : v];
        b = number[u < v ? v : u];
        return true;
    }
    EMFAST_HD int64_t operator()(int64_t f) const {  // 1 if it is an edge
        uint64_t a, b;
        return nodes(f, a, b);
    }
};

template <class Id>
struct EdgeKey {
    Face<Id> face;
    const int64_t* faces;
    uint64_t* keys;
    EMFAST_HD void operator()(int64_t k) const {
        uint64_t a = 0, b = 0;
        face.nodes(faces[k], a, b);
        keys[k] = a << 32 | b;
    }
};

template <class T, class Id>
struct DescribeNode {
    const T* labels;
    const Id* roots;
    const uint8_t* touches;
    uint8_t *outside, *object;
    EMFAST_HD void operator()(int64_t k) const {
        outside[k] = touches[roots[k]];
        object[k] = labels[roots[k]] != 0;
    }
};

template <class T, class Id>
struct WriteFilled {
    const T* labels;
    const Id *parent, *number, *roots;
    const uint32_t* by;
    T* out;
    EMFAST_HD void operator()(int64_t i) const {
        const uint32_t who = by[number[parent[i]]];
        out[i] = who == nobody ? labels[i] : labels[roots[who]];
    }
};

template <class T>
struct Differs {
    const T *a, *b;
    EMFAST_HD int64_t operator()(int64_t i) const { return a[i] != b[i]; }
};

template <class T>
int64_t fill_holes(Executor& ex, const T* labels, const Grid& grid, bool per_section, T* out) {
    const int64_t n = grid.shape.voxels();
    if (n == 0) return 0;
    return visit_id(n, [&](auto id) {
        using Id = decltype(id);
        const Objects<T, Id> objects(ex, labels, grid, 3, 1, per_section);
        auto number = ex.scratch<Id>(n);
        const auto roots = ex.select<Id>(n, IsRoot<Id>{objects.parent.data()});
        const int64_t nodes = roots.size();
        if (nodes >= int64_t(nobody))
            refuse("labels must fall into fewer than 2**32 - 1 objects and cavities, got ", nodes);
        ex.for_each(nodes, NumberRoots<Id>{roots.data(), number.data()});
        const Face<Id> face{grid, per_section, objects.parent.data(), number.data(), objects.touches.data()};
        std::vector<std::pair<uint32_t, uint32_t>> edges;
        {
            const auto faces = ex.select<int64_t>(3 * n, face);
            const int64_t all = faces.size();
            auto keys = ex.scratch<uint64_t>(all);
            auto distinct = ex.scratch<uint64_t>(all);
            auto first = ex.scratch<int64_t>(all);
            ex.for_each(all, EdgeKey<Id>{face, faces.data(), keys.data()});
            ex.sort_pairs(keys.data(), faces.data(), all);
            const int64_t count =
                ex.reduce_by_key(keys.data(), faces.data(), all, distinct.data(), first.data(), Smaller{});
            for (const uint64_t key : ex.fetch(distinct.data(), count))
                edges.emplace_back(static_cast<uint32_t>(key >> 32), static_cast<uint32_t>(key));
        }
        auto outside = ex.scratch<uint8_t>(nodes);
        auto object = ex.scratch<uint8_t>(nodes);
        auto by = ex.scratch<uint32_t>(nodes);
        ex.for_each(nodes,
                    DescribeNode<T, Id>{labels, roots.data(), objects.touches.data(), outside.data(), object.data()});
        ex.store(by.data(), enclosures(static_cast<uint32_t>(nodes), edges, ex.fetch(outside.data(), nodes),
                                       ex.fetch(object.data(), nodes)));
        ex.for_each(n, WriteFilled<T, Id>{labels, objects.parent.data(), number.data(), roots.data(), by.data(), out});
        return ex.reduce(n, int64_t(0), Differs<T>{labels, out}, Plus{});
    });
}

#endif

#define EMFAST_OBJECTS(T)                                                                                \
    template int64_t dust<T>(Executor&, const T*, const Grid&, int, int64_t, int64_t, Border, bool, T*); \
    template int64_t largest<T>(Executor&, const T*, const Grid&, int, int64_t, T*);                     \
    template int64_t fill_holes<T>(Executor&, const T*, const Grid&, bool, T*);

}  // namespace emfast::labels
