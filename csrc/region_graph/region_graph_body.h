// The device's schedule: ids get ranks, a pair of ranks is a key of a second table, and voxel edges are added to the cells
// of the pair with atomics. Histograms are a third table with keys (edge, bin).
#pragma once

#include "core/label_ids.h"
#include "region_graph/region_graph.h"

namespace emfast::region_graph {

// The core as a range of indices, x fastest.
struct Core {
    Point low;
    Shape shape;
    EMFAST_HD Point operator()(int64_t i) const {
        const Point p = point(shape, i);
        return {p.z + low.z, p.y + low.y, p.x + low.x};
    }
};

inline Core core_of(const Options& o) { return {o.low, {o.high.z - o.low.z, o.high.y - o.low.y, o.high.x - o.low.x}}; }

// The axis of an offset of one step along one axis, else -1.
inline int axis_of(const Offset& o) {
    if (o.z * o.z + o.y * o.y + o.x * o.x != 1) return -1;
    return o.z ? 0 : o.y ? 1 : 2;
}

// Voxel edges of one channel, as far as they are looked at: both ends in different fragments.
template <class T, class A>
struct Channel {
    View<const T> labels;
    const A* values;
    Core core;
    Offset offset;
    Point origin;
    Shape whole;
    int64_t channel, channels;
    KeyTable ids;
    const int64_t* rank;

    // f(key of the pair, value, voxel)
    template <class F>
    EMFAST_HD void visit(int64_t i, const F& f) const {
        const Shape& s = labels.shape;
        const Point p = core(i);
        const int64_t z = p.z + offset.z, y = p.y + offset.y, x = p.x + offset.x;
        if (z < 0 || z >= s.z || y < 0 || y >= s.y || x < 0 || x >= s.x) return;
        const T a = labels(p.z, p.y, p.x), b = labels(z, y, x);
        if (a == b || a == 0 || b == 0) return;
        const uint64_t u = static_cast<uint64_t>(rank[ids.find(a)]), v = static_cast<uint64_t>(rank[ids.find(b)]);
        const int64_t at = s.index(p.z, p.y, p.x);
        f(u < v ? u << 32 | v : v << 32 | u, values[at], p);
    }
};

struct Cells {
    uint64_t *sum, *id;
    uint32_t *low, *high;
    int64_t *count, *faces;
};

template <class T, class A>
struct AddVoxelEdges {
    Channel<T, A> channel;
    int axis;
    KeyTable pairs;
    Cells cells;
    uint64_t* refused;

    EMFAST_HD void operator()(int64_t i) const {
        channel.visit(i, [&](uint64_t key, A value, const Point& p) {
            const int64_t voxel = channel.labels.shape.index(p.z, p.y, p.x);
            if (!Affinity<A>::valid(value)) {
                atomic_min(*refused, static_cast<uint64_t>(voxel * channel.channels + channel.channel));
                return;
            }
            const int64_t place = pairs.insert(key);
            if (place < 0) return;
            const Point& o = channel.origin;
            const int64_t id =
                channel.whole.index(p.z + o.z, p.y + o.y, p.x + o.x) * channel.channels + channel.channel;
            atomic_add(cells.sum[place], uint64_t(Affinity<A>::grid(value)));
            atomic_add(cells.count[place], int64_t(1));
            atomic_min(cells.id[place], static_cast<uint64_t>(id));
            atomic_min(cells.low[place], Affinity<A>::order(value));
            atomic_max(cells.high[place], Affinity<A>::order(value));
            if (axis >= 0) atomic_add(cells.faces[place * 3 + axis], int64_t(1));
        });
    }
};

template <class T, class A>
struct AddBins {
    Channel<T, A> channel;
    KeyTable pairs;
    const int64_t* rank;  // of a pair's place
    KeyTable bins;
    int64_t* counts;

    EMFAST_HD void operator()(int64_t i) const {
        channel.visit(i, [&](uint64_t key, A value, const Point&) {
            const uint64_t edge = static_cast<uint64_t>(rank[pairs.find(key)]);
            const int64_t place = bins.insert(edge << 8 | Affinity<A>::bin(value));
            if (place >= 0) atomic_add(counts[place], int64_t(1));
        });
    }
};

template <class T>
struct CountVoxels {
    View<const T> labels;
    Core core;
    KeyTable ids;
    const int64_t* rank;
    int64_t* sizes;
    EMFAST_HD void operator()(int64_t i) const {
        const Point p = core(i);
        const T label = labels(p.z, p.y, p.x);
        if (label != 0) atomic_add(sizes[rank[ids.find(label)]], int64_t(1));
    }
};

struct MarkEnds {
    const uint64_t* keys;
    uint32_t* used;
    EMFAST_HD void operator()(int64_t i) const {
        atomic_store(used[keys[i] >> 32], uint32_t(1));
        atomic_store(used[keys[i] & 0xffffffffu], uint32_t(1));
    }
};

struct IsNode {
    const uint32_t* used;
    const int64_t* sizes;
    EMFAST_HD bool operator()(int64_t i) const { return used[i] != 0 || sizes[i] != 0; }
};

template <class T, class Bits>
struct WriteEdges {
    const uint64_t *keys, *ids;  // keys of two ranks, ids by rank (flipped)
    const int64_t* places;
    uint64_t flip;
    Cells from;
    Columns to;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t place = places[i];
        static_cast<T*>(to.edges)[2 * i] = static_cast<T>(ids[keys[i] >> 32] ^ flip);
        static_cast<T*>(to.edges)[2 * i + 1] = static_cast<T>(ids[keys[i] & 0xffffffffu] ^ flip);
        to.counts[i] = from.count[place];
        to.sums[i] = static_cast<int64_t>(from.sum[place]);
        static_cast<Bits*>(to.low)[i] = static_cast<Bits>(from.low[place]);
        static_cast<Bits*>(to.high)[i] = static_cast<Bits>(from.high[place]);
        to.ids[i] = static_cast<int64_t>(from.id[place]);
        for (int k = 0; k < 3; ++k) to.faces[3 * i + k] = from.faces[3 * place + k];
    }
};

template <class T>
struct WriteNodes {
    const uint64_t* ids;
    uint64_t flip;
    const int64_t *ranks, *sizes;
    Columns to;
    EMFAST_HD void operator()(int64_t i) const {
        static_cast<T*>(to.nodes)[i] = static_cast<T>(ids[ranks[i]] ^ flip);
        to.sizes[i] = sizes[ranks[i]];
    }
};

struct WriteBins {
    const uint64_t* keys;
    const int64_t *places, *counts;
    Columns to;
    int64_t edges, bins;
    EMFAST_HD void operator()(int64_t i) const {  // every edge has a bin, so every start is written
        const int64_t edge = static_cast<int64_t>(keys[i] >> 8);
        if (i == 0 || static_cast<int64_t>(keys[i - 1] >> 8) != edge) to.starts[edge] = i;
        if (i == bins - 1) to.starts[edges] = bins;
        to.bins[i] = static_cast<uint8_t>(keys[i] & 255);
        to.bin_counts[i] = counts[places[i]];
    }
};

// Keys, ascending, with the places of their cells.
struct Ordered {
    KeyTableMemory memory;
    SortedKeys sorted;
};

template <class T, class A>
class BuildAnywhere final : public Build {
  public:
    BuildAnywhere(Executor& ex, View<const T> labels, const A* affinities, const Options& o) : flip_(o.flip) {
        if (labels.size() == 0) return;
        ids_.memory = collect_ids(ex, labels, true, 0);
        ids_.sorted = sorted_keys(ex, ids_.memory.table, o.flip, labels.size());
        const int64_t ids = ids_.sorted.count;
        if (ids >= int64_t(1) << 32) refuse("region_graph takes fewer than 2^32 fragments in a call");
        const Core core = core_of(o);
        auto channel = [&](size_t k) {
            return Channel<T, A>{labels,
                                 affinities + static_cast<int64_t>(k) * labels.size(),
                                 core,
                                 o.offsets[k],
                                 o.origin,
                                 o.whole,
                                 static_cast<int64_t>(k),
                                 static_cast<int64_t>(o.offsets.size()),
                                 ids_.memory.table,
                                 ids_.sorted.rank.data()};
        };
        auto bad = ex.template scratch<uint64_t>(1);
        ex.store(bad.data(), ~uint64_t(0));
        const int64_t most = core.shape.voxels() * static_cast<int64_t>(o.offsets.size()) + 1;
        pairs_.memory = fill_keys(ex, most, [&](const KeyTable& table) {
            const int64_t n = table.places();
            sum_ = zeros<uint64_t>(ex, n, 0);
            id_ = zeros<uint64_t>(ex, n, ~uint64_t(0));
            low_ = zeros<uint32_t>(ex, n, ~uint32_t(0));
            high_ = zeros<uint32_t>(ex, n, 0);
            count_ = zeros<int64_t>(ex, n, 0);
            faces_ = zeros<int64_t>(ex, 3 * n, 0);
            for (size_t k = 0; k < o.offsets.size(); ++k)
                ex.for_each(core.shape.voxels(),
                            AddVoxelEdges<T, A>{channel(k), axis_of(o.offsets[k]), table, cells(), bad.data()});
        });
        const uint64_t worst = ex.fetch(bad.data());
        if (worst != ~uint64_t(0)) {
            refused = static_cast<int64_t>(worst);
            return;
        }
        pairs_.sorted = sorted_keys(ex, pairs_.memory.table, 0, most);
        edges = pairs_.sorted.count;

        sizes_ = zeros<int64_t>(ex, ids, 0);
        auto used = zeros<uint32_t>(ex, ids, 0);
        ex.for_each(core.shape.voxels(),
                    CountVoxels<T>{labels, core, ids_.memory.table, ids_.sorted.rank.data(), sizes_.data()});
        ex.for_each(edges, MarkEnds{pairs_.sorted.keys.data(), used.data()});
        ranks_ = ex.template select<int64_t>(ids, IsNode{used.data(), sizes_.data()});
        nodes = ranks_.size();

        if (!o.histogram) return;
        bins_.memory = fill_keys(ex, most, [&](const KeyTable& table) {
            bin_counts_ = zeros<int64_t>(ex, table.places(), 0);
            for (size_t k = 0; k < o.offsets.size(); ++k)
                ex.for_each(core.shape.voxels(), AddBins<T, A>{channel(k), pairs_.memory.table,
                                                               pairs_.sorted.rank.data(), table, bin_counts_.data()});
        });
        bins_.sorted = sorted_keys(ex, bins_.memory.table, 0, most);
        bins = bins_.sorted.count;
    }

    void write(Executor& ex, const Columns& to) override {
        ex.for_each(edges, WriteEdges<T, typename Affinity<A>::Bits>{pairs_.sorted.keys.data(), ids_.sorted.keys.data(),
                                                                     pairs_.sorted.places.data(), flip_, cells(), to});
        ex.for_each(nodes, WriteNodes<T>{ids_.sorted.keys.data(), flip_, ranks_.data(), sizes_.data(), to});
        if (!to.starts) return;
        if (edges == 0) ex.store(to.starts, int64_t(0));
        ex.for_each(
            bins, WriteBins{bins_.sorted.keys.data(), bins_.sorted.places.data(), bin_counts_.data(), to, edges, bins});
    }

  private:
    template <class V>
    static Scratch<V> zeros(Executor& ex, int64_t n, V value) {
        auto out = ex.template scratch<V>(n);
        ex.fill(out.data(), n, value);
        return out;
    }
    Cells cells() const { return {sum_.data(), id_.data(), low_.data(), high_.data(), count_.data(), faces_.data()}; }

    const uint64_t flip_;
    Ordered ids_, pairs_, bins_;
    Scratch<uint64_t> sum_, id_;
    Scratch<uint32_t> low_, high_;
    Scratch<int64_t> count_, faces_, sizes_, ranks_, bin_counts_;
};

}  // namespace emfast::region_graph
