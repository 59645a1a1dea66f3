// The plain schedule: union-find over voxels, for every executor.
//
//   1. tiles: each block joins the voxels of a 4 x 8 x 32 box in its own memory, and writes for each voxel the global index
//      of its box-local root. Raster order inside a box agrees with raster order of the volume, so local minima are
//      global names.
//   2. for_each over the voxels on the low faces of boxes: join across boxes with shared, lock-free unions.
//   3. compress: every voxel points at its root; roots in order of index are counted off by compact, and each root's own
//      entry becomes its rank with the top bit set.
//   4. write: one or two reads a voxel.
// Bytes on a device, 4-byte ids, 1-byte input, 4-byte output: 1 + 4 (tiles) + 8 (compress) + 4 (compact) + 8 (write) = 25.
//
// Background voxels hold `none`. The top bit is free: ids are 32-bit up to 2^31 voxels, 64-bit beyond.
#pragma once

#include <limits>
#include <type_traits>

#include "components/components.h"
#include "core/dtypes.h"
#include "core/ops.h"
#include "core/union_find.h"

namespace emfast::components {

template <class Id>
struct Marks {
    static constexpr Id top = Id(1) << (sizeof(Id) * 8 - 1);
    static constexpr Id none = ~Id(0);
};

template <class T>
struct Equal {
    EMFAST_HD bool operator()(T a, T b) const { return a == b; }
};

// |a - b| <= delta without overflow.
template <class T, class D>
struct Near {
    D delta;
    EMFAST_HD bool operator()(T a, T b) const {
        const T high = a < b ? b : a, low = a < b ? a : b;
        if constexpr (std::is_floating_point_v<T>) return high - low <= delta;
        else return static_cast<D>(static_cast<D>(high) - static_cast<D>(low)) <= delta;
    }
};

// The 13 neighbours that come before a voxel in raster order, faces first, then edges, then corners.
struct Offset {
    int8_t z, y, x;
};
EMFAST_HD inline Offset before(int k) {
    constexpr Offset table[13] = {{-1, 0, 0},  {0, -1, 0},  {0, 0, -1},  {-1, -1, 0}, {-1, 1, 0},
                                  {-1, 0, -1}, {-1, 0, 1},  {0, -1, -1}, {0, -1, 1},  {-1, -1, -1},
                                  {-1, -1, 1}, {-1, 1, -1}, {-1, 1, 1}};
    return table[k];
}
EMFAST_HD inline int neighbours_before(int connectivity) { return connectivity == 6 ? 3 : connectivity == 18 ? 9 : 13; }

inline constexpr int64_t box_z = 4, box_y = 8, box_x = 32, box_voxels = box_z * box_y * box_x;

struct Boxes {
    Shape shape;
    int64_t y, x, count;
    explicit Boxes(const Shape& s)
        : shape(s),
          y((s.y + box_y - 1) / box_y),
          x((s.x + box_x - 1) / box_x),
          count((s.z + box_z - 1) / box_z * y * x) {}
    EMFAST_HD Point corner(int64_t i) const { return {i / (y * x) * box_z, i / x % y * box_y, i % x * box_x}; }
};

template <class T, class Id, class Same>
struct Plain {
    const T* values;
    Id* parent;
    Boxes boxes;
    Same same;
    T background;
    bool has_background;
    int neighbours;

    EMFAST_HD bool foreground(T v) const { return !has_background || v != background; }
};

template <class T, class Id, class Same>
struct JoinInBox : Plain<T, Id, Same> {
    EMFAST_HD static int64_t local(int64_t z, int64_t y, int64_t x) { return (z * box_y + y) * box_x + x; }

    EMFAST_HD void operator()(const Tile& tile) const {
        uint32_t* root = reinterpret_cast<uint32_t*>(tile.shared);
        T* value = reinterpret_cast<T*>(tile.shared + box_voxels * sizeof(uint32_t));
        const Shape s = this->boxes.shape;
        const Point c = this->boxes.corner(tile.index);
        const int64_t nz = s.z - c.z < box_z ? s.z - c.z : box_z, ny = s.y - c.y < box_y ? s.y - c.y : box_y,
                      nx = s.x - c.x < box_x ? s.x - c.x : box_x;
        constexpr uint32_t nobody = ~uint32_t(0);

        tile.each(box_voxels, [&](int64_t k) {
            const int64_t z = k / (box_y * box_x), y = k / box_x % box_y, x = k % box_x;
            root[k] = nobody;
            if (z >= nz || y >= ny || x >= nx) return;
            value[k] = this->values[s.index(c.z + z, c.y + y, c.x + x)];
            if (this->foreground(value[k])) root[k] = static_cast<uint32_t>(k);
        });
        tile.each(box_voxels, [&](int64_t k) {
            if (atomic_load(root[k]) == nobody) return;
            const int64_t z = k / (box_y * box_x), y = k / box_x % box_y, x = k % box_x;
            for (int i = 0; i < this->neighbours; ++i) {
                const Offset o = before(i);
                const int64_t qz = z + o.z, qy = y + o.y, qx = x + o.x;
                if (qz < 0 || qy < 0 || qy >= box_y || qx < 0 || qx >= box_x) continue;
                const int64_t q = local(qz, qy, qx);
                if (atomic_load(root[q]) != nobody && this->same(value[k], value[q]))
                    unite_shared(root, static_cast<uint32_t>(k), static_cast<uint32_t>(q));
            }
        });
        tile.each(box_voxels, [&](int64_t k) {
            const int64_t z = k / (box_y * box_x), y = k / box_x % box_y, x = k % box_x;
            if (z >= nz || y >= ny || x >= nx) return;
            Id name = Marks<Id>::none;
            if (root[k] != nobody) {
                int64_t r = k;
                while (root[r] != r) r = root[r];
                name = static_cast<Id>(s.index(c.z + r / (box_y * box_x), c.y + r / box_x % box_y, c.x + r % box_x));
            }
            this->parent[s.index(c.z + z, c.y + y, c.x + x)] = name;
        });
    }
};

// Unions of voxel i with its earlier neighbours in other boxes.
template <class T, class Id, class Same>
struct JoinBoxes : Plain<T, Id, Same> {
    EMFAST_HD void operator()(int64_t i) const {
        const Shape s = this->boxes.shape;
        const Point p = point(s, i);
        const bool low_z = p.z % box_z == 0, low_y = p.y % box_y == 0, low_x = p.x % box_x == 0;
        const bool high_y = p.y % box_y == box_y - 1, high_x = p.x % box_x == box_x - 1;
        if (!(low_z || low_y || low_x || (this->neighbours > 3 && (high_y || high_x)))) return;
        if (atomic_load(this->parent[i]) == Marks<Id>::none) return;
        for (int k = 0; k < this->neighbours; ++k) {
            const Offset o = before(k);
            const bool leaves = (o.z < 0 && low_z) || (o.y < 0 && low_y) || (o.x < 0 && low_x) || (o.y > 0 && high_y) ||
                                (o.x > 0 && high_x);
            const int64_t z = p.z + o.z, y = p.y + o.y, x = p.x + o.x;
            if (!leaves || z < 0 || y < 0 || y >= s.y || x < 0 || x >= s.x) continue;
            const int64_t q = s.index(z, y, x);
            if (atomic_load(this->parent[q]) != Marks<Id>::none && this->same(this->values[i], this->values[q]))
                unite_shared(this->parent, static_cast<Id>(i), static_cast<Id>(q));
        }
    }
};

// Unions across opposite faces of the volume. Links says which ids two voxels have: their own indices here, their runs in
// the host's schedule.
template <class T, class Same, class Links>
struct JoinPeriodic {
    const T* values;
    Shape shape;
    Same same;
    T background;
    bool has_background;
    int neighbours;
    Links links;

    EMFAST_HD static int64_t wrap(int64_t v, int64_t n) { return v < 0 ? v + n : v >= n ? v - n : v; }

    EMFAST_HD void operator()(int64_t i) const {
        const Point p = point(shape, i);
        if (p.z != 0 && p.y != 0 && p.x != 0 && p.y != shape.y - 1 && p.x != shape.x - 1) return;
        if (has_background && values[i] == background) return;
        for (int k = 0; k < neighbours; ++k) {
            const Offset o = before(k);
            const int64_t z = wrap(p.z + o.z, shape.z), y = wrap(p.y + o.y, shape.y), x = wrap(p.x + o.x, shape.x);
            if (z == p.z + o.z && y == p.y + o.y && x == p.x + o.x) continue;
            const int64_t q = shape.index(z, y, x);
            if (has_background && values[q] == background) continue;
            if (same(values[i], values[q])) links.unite(i, q);
        }
    }
};

template <class Id>
struct VoxelLinks {
    Id* parent;
    EMFAST_HD void unite(int64_t i, int64_t q) const { unite_shared(parent, static_cast<Id>(i), static_cast<Id>(q)); }
};

template <class Id>
struct Compress {
    Id* parent;
    EMFAST_HD void operator()(int64_t i) const {
        Id up = atomic_load(parent[i]);
        if (up == Marks<Id>::none) return;
        for (Id above = atomic_load(parent[up]); above != up; above = atomic_load(parent[up])) up = above;
        atomic_store(parent[i], up);
    }
};

template <class Id>
struct IsRoot {
    const Id* parent;
    EMFAST_HD bool operator()(int64_t i) const { return parent[i] == static_cast<Id>(i); }
};

template <class Id>
struct NameRoot {
    const Id* roots;
    Id* parent;
    EMFAST_HD void operator()(int64_t k) const { parent[roots[k]] = Marks<Id>::top | static_cast<Id>(k + 1); }
};

template <class Id, class Out>
struct Spread {
    const Id* parent;
    Out* out;
    EMFAST_HD void operator()(int64_t i) const {
        Id up = parent[i];
        if (up == Marks<Id>::none) {
            out[i] = 0;
            return;
        }
        if (!(up & Marks<Id>::top)) up = parent[up];
        out[i] = static_cast<Out>(up & ~Marks<Id>::top);
    }
};

template <class Id>
class PlainLabelling final : public Labelling {
  public:
    PlainLabelling(Executor& ex, int64_t n) : parent_(ex.scratch<Id>(n)) {}

    template <class T, class Same>
    void run(Executor& ex, View<const T> values, Same same, T background, const Options& options) {
        const int64_t n = values.size();
        const Plain<T, Id, Same> plain{values.data,
                                       parent_.data(),
                                       Boxes(values.shape),
                                       same,
                                       background,
                                       options.has_background,
                                       neighbours_before(options.connectivity)};
        ex.tiles(plain.boxes.count, 256, box_voxels * (sizeof(uint32_t) + sizeof(T)), JoinInBox<T, Id, Same>{plain});
        ex.for_each(n, JoinBoxes<T, Id, Same>{plain});
        if (options.periodic)
            ex.for_each(n, JoinPeriodic<T, Same, VoxelLinks<Id>>{values.data, values.shape, same, background,
                                                                 options.has_background, plain.neighbours,
                                                                 VoxelLinks<Id>{parent_.data()}});
        ex.for_each(n, Compress<Id>{parent_.data()});
        const IsRoot<Id> is_root{parent_.data()};
        const auto roots = ex.select<Id>(n, is_root);
        count = roots.size();
        ex.for_each(count, NameRoot<Id>{roots.data(), parent_.data()});
    }

    void write(Executor& ex, void* out, int bytes) override {
        visit_width(bytes, [&](auto zero) {
            using Out = decltype(zero);
            ex.for_each(parent_.size(), Spread<Id, Out>{parent_.data(), static_cast<Out*>(out)});
        });
    }

  private:
    Scratch<Id> parent_;
};

template <class T, class Same>
std::unique_ptr<Labelling> label_plain(Executor& ex, View<const T> values, Same same, T background,
                                       const Options& options) {
    auto with = [&](auto zero) -> std::unique_ptr<Labelling> {
        auto labelling = std::make_unique<PlainLabelling<decltype(zero)>>(ex, values.size());
        labelling->run(ex, values, same, background, options);
        return labelling;
    };
    if (values.size() < (int64_t(1) << 31) - 1) return with(uint32_t{});
    return with(uint64_t{});
}

template <class T>
std::unique_ptr<Labelling> label_near(Executor& ex, View<const T> values, double delta, const Options& options) {
    if constexpr (std::is_floating_point_v<T>) {
        return label_plain(ex, values, Near<T, T>{static_cast<T>(delta)}, T(0), options);
    } else {
        using D = std::make_unsigned_t<T>;
        const double most = static_cast<double>(std::numeric_limits<D>::max());
        const D whole = delta >= most ? std::numeric_limits<D>::max() : static_cast<D>(delta);
        return label_plain(ex, values, Near<T, D>{whole}, T(0), options);
    }
}

}  // namespace emfast::components

#define EMFAST_FOR_NUMBERS(M) \
    M(uint8_t) M(uint16_t) M(uint32_t) M(uint64_t) M(int8_t) M(int16_t) M(int32_t) M(int64_t) M(float) M(double)
