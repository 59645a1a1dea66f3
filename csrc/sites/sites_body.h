// The device's schedule. All ids get places in one key table; regions are a second table with keys (place, place), pairs of
// ids at sites a third, sites a fourth with keys (place of the owner, place of the pair). A thread walks a column along y.
#pragma once

#include "core/columns.h"
#include "core/key_table.h"
#include "sites/sites.h"

namespace emfast::sites {

EMFAST_HD inline void start_cells(uint64_t* c) {
    for (int k = 0; k < Layout::width; ++k) c[k] = 0;
    for (int k = 0; k < 3; ++k) c[Layout::low + k] = Layout::none;
    for (int k = Layout::first; k < Layout::width; ++k) c[k] = Layout::none;
}

// What a body sees of the volumes.
struct Sight {
    Shape shape, whole;
    Ids truth, labels, mask;
    Point low, origin;
    bool has_background;
    uint64_t background, truth_flip, label_flip;
    const uint64_t* ignored;
    int64_t ignored_count;

    Sight(const Volumes& v, const uint64_t* ignored_ids)
        : shape(v.shape),
          whole(v.whole),
          truth(v.truth),
          labels(v.labels),
          mask(v.mask),
          low(v.low),
          origin(v.origin),
          has_background(v.has_background),
          background(v.background),
          truth_flip(v.truth.flip()),
          label_flip(v.labels.flip()),
          ignored(ignored_ids),
          ignored_count(static_cast<int64_t>(v.ignored.size())) {}

    EMFAST_HD bool shown(int64_t at) const { return !mask.data || mask[at] != 0; }
    EMFAST_HD bool is_object(uint64_t id) const { return !has_background || id != background; }
    EMFAST_HD bool is_counted(uint64_t id) const {
        for (int64_t k = 0; k < ignored_count; ++k)
            if (ignored[k] == id) return false;
        return true;
    }
    EMFAST_HD uint64_t index(int64_t z, int64_t y, int64_t x) const {
        return static_cast<uint64_t>(whole.index(z + origin.z, y + origin.y, x + origin.x));
    }

    // f(site) for the face below voxel q along an axis, if it is at one; `at` and `below` are the indices of its voxels.
    template <class F>
    EMFAST_HD void face(int64_t at, int64_t below, const F& f) const {
        const uint64_t t = truth[at], l = labels[at], t0 = truth[below], l0 = labels[below];
        if ((t == t0) == (l == l0)) return;
        if (!is_object(t) || !is_object(l) || !is_object(t0) || !is_object(l0)) return;
        if (!shown(at) || !shown(below) || !is_counted(t) || !is_counted(t0)) return;
        if (t == t0) {
            const bool ascending = (l0 ^ label_flip) < (l ^ label_flip);
            f(split, t, ascending ? l0 : l, ascending ? l : l0);
        } else {
            const bool ascending = (t0 ^ truth_flip) < (t ^ truth_flip);
            f(merge, l, ascending ? t0 : t, ascending ? t : t0);
        }
    }

    // f(z, y, x, axis, kind, owner, a, b) for the faces of a column of the core.
    template <class F>
    EMFAST_HD void each_face(int64_t i, const F& f) const {
        const Column c = column(shape, i);
        if (c.z < low.z || c.x < low.x) return;
        const int64_t steps[3] = {shape.y * shape.x, shape.x, 1};
        for (int64_t y = c.begin < low.y ? low.y : c.begin; y < c.end; ++y) {
            const int64_t at = shape.index(c.z, y, c.x), place[3] = {c.z, y, c.x};
            for (int axis = 0; axis < 3; ++axis)
                if (place[axis] > 0)
                    face(at, at - steps[axis], [&](Kind kind, uint64_t owner, uint64_t a, uint64_t b) {
                        f(c.z, y, c.x, axis, kind, owner, a, b);
                    });
        }
    }
};

struct CollectAllIds {
    Sight sight;
    KeyTable ids;
    EMFAST_HD void operator()(int64_t i) const {
        const Column c = column(sight.shape, i);
        uint64_t t = 0, l = 0;
        for (int64_t y = c.begin; y < c.end; ++y) {
            const int64_t at = sight.shape.index(c.z, y, c.x);
            if (y == c.begin || sight.truth[at] != t) ids.insert(t = sight.truth[at]);
            if (y == c.begin || sight.labels[at] != l) ids.insert(l = sight.labels[at]);
        }
    }
};

EMFAST_HD inline void sample(uint64_t* cells, uint64_t index) {
    const uint64_t mixed = mix(index);
    atomic_min(cells[Layout::samples + mixed % Layout::sample_count], mixed);
}

struct AddRegions {
    Sight sight;
    KeyTable ids, pairs;
    uint64_t* cells;

    EMFAST_HD void add(uint64_t t, uint64_t l, const Column& c, int64_t from, int64_t to) const {
        const int64_t place =
            pairs.insert(static_cast<uint64_t>(ids.find(t)) << 32 | static_cast<uint64_t>(ids.find(l)));
        if (place < 0) return;
        uint64_t* const cell = cells + place * Layout::width;
        const Point& o = sight.origin;
        const int64_t z = c.z + o.z, y0 = from + o.y, y1 = to + o.y, x = c.x + o.x, n = to - from;
        const int64_t sums[3] = {z * n, (y0 + y1 - 1) * n / 2, x * n}, least[3] = {z, y0, x}, most[3] = {z, y1 - 1, x};
        atomic_add(cell[Layout::count], static_cast<uint64_t>(n));
        for (int a = 0; a < 3; ++a) {
            atomic_add(cell[Layout::sum + a], static_cast<uint64_t>(sums[a]));
            atomic_min(cell[Layout::low + a], static_cast<uint64_t>(least[a]));
            atomic_max(cell[Layout::high + a], static_cast<uint64_t>(most[a] + 1));
        }
        atomic_min(cell[Layout::first], sight.index(c.z, from, c.x));
        for (int64_t y = from; y < to; ++y)
            if (sampled_row(z, y + o.y)) sample(cell, sight.index(c.z, y, c.x));
    }

    EMFAST_HD void operator()(int64_t i) const {
        const Column c = column(sight.shape, i);
        if (c.z < sight.low.z || c.x < sight.low.x) return;
        uint64_t t = 0, l = 0;
        int64_t from = -1;  // of the stretch; -1 where there is none
        for (int64_t y = c.begin < sight.low.y ? sight.low.y : c.begin; y < c.end; ++y) {
            const int64_t at = sight.shape.index(c.z, y, c.x);
            const bool shown = sight.shown(at);
            const uint64_t next_t = sight.truth[at], next_l = sight.labels[at];
            if (from >= 0 && (!shown || next_t != t || next_l != l)) {
                add(t, l, c, from, y);
                from = -1;
            }
            if (!shown || from >= 0) continue;
            t = next_t;
            l = next_l;
            from = y;
        }
        if (from >= 0) add(t, l, c, from, c.end);
    }
};

// The key of the two ids of a site; places are below 2^31.
EMFAST_HD inline uint64_t pair_key(const KeyTable& ids, Kind kind, uint64_t a, uint64_t b) {
    return kind << 63 | static_cast<uint64_t>(ids.find(a)) << 32 | static_cast<uint64_t>(ids.find(b));
}

struct CollectPairs {
    Sight sight;
    KeyTable ids, pairs;
    EMFAST_HD void operator()(int64_t i) const {
        sight.each_face(i, [&](int64_t, int64_t, int64_t, int, Kind kind, uint64_t, uint64_t a, uint64_t b) {
            pairs.insert(pair_key(ids, kind, a, b));
        });
    }
};

struct AddSites {
    Sight sight;
    KeyTable ids, pairs, sites;
    uint64_t* cells;
    EMFAST_HD void operator()(int64_t i) const {
        sight.each_face(
            i, [&](int64_t z, int64_t y, int64_t x, int axis, Kind kind, uint64_t owner, uint64_t a, uint64_t b) {
                const int64_t place = sites.insert(static_cast<uint64_t>(ids.find(owner)) << 32 |
                                                   static_cast<uint64_t>(pairs.find(pair_key(ids, kind, a, b))));
                if (place < 0) return;
                uint64_t* const cell = cells + place * Layout::width;
                const Point& o = sight.origin;
                const int64_t q[3] = {z + o.z, y + o.y, x + o.x};
                atomic_add(cell[Layout::count + axis], uint64_t(1));
                for (int k = 0; k < 3; ++k) {
                    atomic_add(cell[Layout::sum + k], static_cast<uint64_t>(q[k]));
                    atomic_min(cell[Layout::low + k], static_cast<uint64_t>(q[k] - (k == axis)));
                    atomic_max(cell[Layout::high + k], static_cast<uint64_t>(q[k] + 1));
                }
                const uint64_t index = sight.index(z, y, x);
                atomic_min(cell[Layout::first], index);
                if (sampled_row(q[0], q[1])) sample(cell, index);
            });
    }
};

struct StartCells {
    uint64_t* cells;
    EMFAST_HD void operator()(int64_t i) const { start_cells(cells + i * Layout::width); }
};

struct CopyCells {
    const int64_t* places;
    const uint64_t* cells;
    uint64_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        const int64_t row = i / Layout::width;
        out[i] = cells[places[row] * Layout::width + i % Layout::width];
    }
};

struct WriteRegionKeys {
    KeyTable ids, pairs;
    const int64_t* places;
    uint64_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        const uint64_t key = pairs.key(places[i]);
        out[2 * i] = ids.key(static_cast<int64_t>(key >> 32));
        out[2 * i + 1] = ids.key(static_cast<int64_t>(key & 0xffffffffu));
    }
};

struct WriteSiteKeys {
    KeyTable ids, pairs, sites;
    const int64_t* places;
    uint64_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        const uint64_t key = sites.key(places[i]), pair = pairs.key(static_cast<int64_t>(key & 0xffffffffu));
        out[4 * i] = pair >> 63;
        out[4 * i + 1] = ids.key(static_cast<int64_t>(key >> 32));
        out[4 * i + 2] = ids.key(static_cast<int64_t>(pair >> 32 & 0x7fffffffu));
        out[4 * i + 3] = ids.key(static_cast<int64_t>(pair & 0xffffffffu));
    }
};

// Fills a table of cells by sweep(table, cells), and copies the rows that are used.
template <class Sweep>
KeyTableMemory fill_cells(Executor& ex, int64_t most, Scratch<int64_t>& places, Scratch<uint64_t>& out,
                          const Sweep& sweep) {
    Scratch<uint64_t> cells;
    KeyTableMemory memory = fill_keys(ex, most, [&](const KeyTable& table) {
        cells = ex.scratch<uint64_t>(table.places() * Layout::width);
        ex.for_each(table.places(), StartCells{cells.data()});
        sweep(table, cells.data());
    });
    places = ex.select<int64_t>(memory.table.places(), KeyTableHolds{memory.table});
    out = ex.scratch<uint64_t>(places.size() * Layout::width);
    ex.for_each(places.size() * Layout::width, CopyCells{places.data(), cells.data(), out.data()});
    return memory;
}

inline Table find_anywhere(Executor& ex, const Volumes& v) {
    Table out;
    if (v.size() == 0) return out;
    auto ignored = ex.scratch<uint64_t>(static_cast<int64_t>(v.ignored.size()));
    if (!v.ignored.empty()) ex.store(ignored.data(), v.ignored);
    const Sight sight(v, ignored.data());
    const int64_t n = columns(v.shape);
    const KeyTableMemory ids =
        fill_keys(ex, v.size(), [&](const KeyTable& table) { ex.for_each(n, CollectAllIds{sight, table}); });
    if (ids.table.places() >= int64_t(1) << 31) refuse("compare takes fewer than 2^29 ids on a device");
    Scratch<int64_t> places;
    const KeyTableMemory regions = fill_cells(
        ex, v.size(), places, out.region_cells,
        [&](const KeyTable& table, uint64_t* cells) { ex.for_each(n, AddRegions{sight, ids.table, table, cells}); });
    out.regions = places.size();
    out.region_keys = ex.scratch<uint64_t>(2 * out.regions);
    ex.for_each(out.regions, WriteRegionKeys{ids.table, regions.table, places.data(), out.region_keys.data()});
    const KeyTableMemory pairs = fill_keys(
        ex, 3 * v.size(), [&](const KeyTable& table) { ex.for_each(n, CollectPairs{sight, ids.table, table}); });
    if (pairs.table.places() >= int64_t(1) << 32) refuse("compare takes fewer than 2^30 pairs of ids on a device");
    const KeyTableMemory sites =
        fill_cells(ex, 3 * v.size(), places, out.site_cells, [&](const KeyTable& table, uint64_t* cells) {
            ex.for_each(n, AddSites{sight, ids.table, pairs.table, table, cells});
        });
    out.sites = places.size();
    out.site_keys = ex.scratch<uint64_t>(4 * out.sites);
    ex.for_each(out.sites, WriteSiteKeys{ids.table, pairs.table, sites.table, places.data(), out.site_keys.data()});
    return out;
}

// ---- a value for every pair

// The place of a key, -1 where it is not in the table.
EMFAST_HD inline int64_t seek(const KeyTable& table, uint64_t key) {
    if (key == KeyTable::empty) return table.holds(table.places() - 1) ? table.places() - 1 : -1;
    uint64_t place = mix(key) & table.mask;
    for (int64_t step = 0; step < KeyTable::longest_probe && table.keys[place] != KeyTable::empty; ++step) {
        if (table.keys[place] == key) return static_cast<int64_t>(place);
        place = (place + 1) & table.mask;
    }
    return -1;
}

struct CollectColourIds {
    const uint64_t* pairs;
    KeyTable ids;
    EMFAST_HD void operator()(int64_t i) const { ids.insert(pairs[i]); }
};

struct CollectColours {
    const uint64_t* pairs;
    KeyTable ids, places;
    EMFAST_HD void operator()(int64_t i) const {
        places.insert(static_cast<uint64_t>(ids.find(pairs[2 * i])) << 32 |
                      static_cast<uint64_t>(ids.find(pairs[2 * i + 1])));
    }
};

struct StoreColours {
    const uint64_t* pairs;
    const uint8_t* values;
    KeyTable ids, places;
    uint8_t* of_place;
    EMFAST_HD void operator()(int64_t i) const {
        of_place[places.find(static_cast<uint64_t>(ids.find(pairs[2 * i])) << 32 |
                             static_cast<uint64_t>(ids.find(pairs[2 * i + 1])))] = values[i];
    }
};

struct Paint {
    Ids truth, labels, mask;
    KeyTable ids, places;
    const uint8_t* of_place;
    uint8_t masked;
    uint64_t* missing;
    uint8_t* out;
    EMFAST_HD void operator()(int64_t i) const {
        if (mask.data && mask[i] == 0) {
            out[i] = masked;
            return;
        }
        const int64_t t = seek(ids, truth[i]), l = seek(ids, labels[i]);
        const int64_t place =
            t < 0 || l < 0 ? -1 : seek(places, static_cast<uint64_t>(t) << 32 | static_cast<uint64_t>(l));
        if (place < 0) atomic_min(*missing, static_cast<uint64_t>(i));
        else out[i] = of_place[place];
    }
};

inline int64_t paint_anywhere(Executor& ex, const Volumes& v, const Colours& c, uint8_t* out) {
    const KeyTableMemory ids = fill_keys(
        ex, 2 * c.count, [&](const KeyTable& table) { ex.for_each(2 * c.count, CollectColourIds{c.pairs, table}); });
    if (ids.table.places() >= int64_t(1) << 32) refuse("error_map takes fewer than 2^30 ids on a device");
    const KeyTableMemory places = fill_keys(
        ex, c.count, [&](const KeyTable& table) { ex.for_each(c.count, CollectColours{c.pairs, ids.table, table}); });
    auto of_place = ex.scratch<uint8_t>(places.table.places());
    ex.for_each(c.count, StoreColours{c.pairs, c.values, ids.table, places.table, of_place.data()});
    auto missing = ex.scratch<uint64_t>(1);
    ex.store(missing.data(), Layout::none);
    ex.for_each(v.size(), Paint{v.truth, v.labels, v.mask, ids.table, places.table, of_place.data(), c.masked,
                                missing.data(), out});
    return static_cast<int64_t>(ex.fetch(missing.data()));  // none is -1
}

}  // namespace emfast::sites
