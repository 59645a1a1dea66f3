// How surface.h is done, for a team of threads: `parallel(n, grain, f)` calls f(begin, end, worker) for pieces of [0, n).
// Small pairs are shared out whole; a large pair is worked on by all, section by section. Both take the same steps.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>

#include "core/dtypes.h"
#include "core/isa.h"
#include "core/memory.h"
#include "distance/envelope.h"
#include "surface/surface.h"

namespace emfast::surface {

namespace {

inline constexpr int64_t large = int64_t(1) << 19;  // voxels from which a pair is worked on by all threads

// ---- Members and places

template <class T>
EMFAST_INLINE void members(const T* row, T id, bool all, int64_t n, uint8_t* __restrict out) {
    if (all)
        for (int64_t x = 0; x < n; ++x) out[x] = row[x] != 0;
    else
        for (int64_t x = 0; x < n; ++x) out[x] = row[x] == id;
}

EMFAST_CLONES void member_row(const Labels& labels, int64_t at, uint64_t id, bool all, int64_t n, uint8_t* out) {
    switch (labels.bytes) {
        case 1: return members(static_cast<const uint8_t*>(labels.data) + at, static_cast<uint8_t>(id), all, n, out);
        case 2: return members(static_cast<const uint16_t*>(labels.data) + at, static_cast<uint16_t>(id), all, n, out);
        case 4: return members(static_cast<const uint32_t*>(labels.data) + at, static_cast<uint32_t>(id), all, n, out);
        default: return members(static_cast<const uint64_t*>(labels.data) + at, id, all, n, out);
    }
}

// A row of members and those around it; where there is no row, one of zeros or ones takes its place.
struct Rows {
    const uint8_t *here, *before_y, *after_y, *before_z, *after_z;
    uint8_t left, right;  // what lies beyond the ends
};

// 0 < x < n - 1; the ends are the caller's.
EMFAST_CLONES void voxel_middle(const Rows& r, int64_t n, uint8_t* __restrict out) {
    const uint8_t *here = r.here, *a = r.before_y, *b = r.after_y, *c = r.before_z, *d = r.after_z;
    for (int64_t x = 1; x + 1 < n; ++x) {
        const uint8_t deep = a[x] & b[x] & c[x] & d[x] & here[x - 1] & here[x + 1];
        out[x] = here[x] & static_cast<uint8_t>(deep ^ 1);
    }
}

inline void voxel_row(const Rows& r, int64_t n, uint8_t* out) {
    voxel_middle(r, n, out);
    for (const int64_t x : {int64_t(0), n - 1}) {
        const uint8_t left = x > 0 ? r.here[x - 1] : r.left, right = x + 1 < n ? r.here[x + 1] : r.right;
        const uint8_t deep = r.before_y[x] & r.after_y[x] & r.before_z[x] & r.after_z[x] & left & right;
        out[x] = r.here[x] & static_cast<uint8_t>(deep ^ 1);
    }
}

// The rows at (z - 1, y - 1), (z - 1, y), (z, y - 1), (z, y) around a row of corners.
struct Quad {
    const uint8_t *a, *b, *c, *d;
    uint8_t full;  // the code of corners with all voxels inside

    EMFAST_INLINE uint8_t code(int64_t before, int64_t after) const {
        const auto all = static_cast<uint8_t>(a[before] << 7 | a[after] << 6 | b[before] << 5 | b[after] << 4 |
                                              c[before] << 3 | c[after] << 2 | d[before] << 1 | d[after]);
        return all == full ? uint8_t(0) : all;
    }
};

EMFAST_CLONES void cell_middle(const Quad& quad, int64_t n, uint8_t* __restrict out) {
    const Quad q = quad;
    for (int64_t x = 1; x < n; ++x) out[x] = q.code(x - 1, x);
}

// The codes of n + 1 corners, 0 where they are all alike.
inline void cell_row(const Quad& q, int64_t n, uint8_t* out) {
    cell_middle(q, n, out);
    out[0] = static_cast<uint8_t>(q.a[0] << 6 | q.b[0] << 4 | q.c[0] << 2 | q.d[0]);
    out[n] = static_cast<uint8_t>(q.a[n - 1] << 7 | q.b[n - 1] << 5 | q.c[n - 1] << 3 | q.d[n - 1] << 1);
}

// f(x) for every byte that is not 0, in order.
template <class F>
EMFAST_INLINE bool each_set(const uint8_t* row, int64_t n, F&& f) {
    bool any = false;
    int64_t x = 0;
    for (; x + 8 <= n; x += 8) {
        uint64_t eight;
        std::memcpy(&eight, row + x, 8);
        if (!eight) continue;
        any = true;
        for (int64_t k = x; k < x + 8; ++k)
            if (row[k]) f(k);
    }
    for (; x < n; ++x)
        if (row[x]) {
            any = true;
            f(x);
        }
    return any;
}

// ---- Squared distances

template <class U>
inline constexpr U beyond = sizeof(U) == 4 ? U(1) << 30 : U(1) << 60;  // above every square, and twice it still fits

// weight k^2 for k < n, rising and falling.
template <class U>
struct Squares {
    std::vector<U> up, down;

    Squares(uint64_t weight, int64_t n) : up(n), down(n) {
        for (int64_t k = 0; k < n; ++k)
            down[n - 1 - k] = up[k] = static_cast<U>(weight * static_cast<uint64_t>(k) * static_cast<uint64_t>(k));
    }
    void rise(int64_t from, int64_t count, U* out) const { std::copy_n(up.data() + from, count, out); }
    void fall(int64_t from, int64_t count, U* out) const {  // from, from - 1, ...
        std::copy_n(down.data() + down.size() - 1 - from, count, out);
    }
};

// The distance along a row to its nearest place; false, and nothing written, where it has none.
template <class U>
bool fill_row(const uint8_t* places, const Squares<U>& squares, int64_t n, U* out) {
    int64_t last = -1;
    each_set(places, n, [&](int64_t x) {
        if (last < 0) {
            squares.fall(x, x, out);
        } else if (const int64_t gap = x - last - 1; gap > 0) {
            const int64_t half = (gap + 1) / 2;
            squares.rise(1, half, out + last + 1);
            squares.fall(gap - half, gap - half, out + last + 1 + half);
        }
        out[x] = 0;
        last = x;
    });
    if (last >= 0) squares.rise(1, n - 1 - last, out + last + 1);
    return last >= 0;
}

// A strip of neighbouring columns along y, one cache line wide.
template <class U>
struct Strip {
    static constexpr int lanes = 64 / sizeof(U);
    static constexpr int64_t near = 40;  // steps a voxel looks before the strip is done by envelopes

    struct Values {
        const U* f;
        EMFAST_HD uint64_t operator()(int64_t q) const { return static_cast<uint64_t>(f[q * lanes]); }
    };
    struct Stack {
        uint32_t* sites;
        EMFAST_HD void put_site(int64_t k, uint32_t q) const { sites[k] = q; }
        EMFAST_HD uint32_t site(int64_t k) const { return sites[k]; }
    };

    // With room for `near` rows before and after.
    std::vector<U> memory, costs;
    std::vector<uint32_t> stack;
    uint64_t weight;
    int64_t n;

    Strip(uint64_t weight, int64_t n)
        : memory((n + 2 * near) * lanes, beyond<U>), costs(near + 2), stack(n), weight(weight), n(n) {
        const uint64_t most = static_cast<uint64_t>(beyond<U>);
        for (int64_t k = 0; k < near + 2; ++k) {
            const auto steps = static_cast<uint64_t>(k);
            costs[k] = static_cast<U>(k && weight > most / steps / steps ? most : weight * steps * steps);
        }
    }

    void envelopes(U* column, int64_t stride, int count) {
        const U* f = memory.data() + near * lanes;
        const Stack sites{stack.data()};
        for (int l = 0; l < count; ++l) {
            const Values values{f + l};
            const distance::Envelope<Values, Stack> hull(values, sites, n, weight, static_cast<uint64_t>(beyond<U>));
            if (hull.count == 0) continue;
            distance::Descent<Values, Stack> best(hull);
            for (int64_t p = n - 1; p >= 0; --p) column[p * stride + l] = static_cast<U>(hull.cost(best(p), p));
        }
    }
};

// In place: the columns of one strip.
template <class U>
EMFAST_INLINE void strip_down(Strip<U>& strip, U* column, int64_t stride, int count) {
    constexpr int lanes = Strip<U>::lanes;
    U* f = strip.memory.data() + Strip<U>::near * lanes;
    for (int64_t p = 0; p < strip.n; ++p) std::memcpy(f + p * lanes, column + p * stride, count * sizeof(U));
    const U* const costs = strip.costs.data();
    for (int64_t p = 0; p < strip.n; ++p) {
        U best[lanes];
        const U *up = f + p * lanes, *down = up;
        std::memcpy(best, up, sizeof best);
        for (int64_t k = 1; k < strip.n; k += 2) {
            U beaten = 0;
            for (int l = 0; l < lanes; ++l) beaten |= costs[k] - best[l];
            if (beaten >= 0) break;  // no difference is negative: nothing nearer is left
            if (k >= Strip<U>::near) return strip.envelopes(column, stride, count);
            for (int step = 0; step < 2; ++step) {
                const U cost = costs[k + step];
                up -= lanes;
                down += lanes;
                for (int l = 0; l < lanes; ++l) {
                    const U nearer = (up[l] < down[l] ? up[l] : down[l]) + cost;
                    best[l] = nearer < best[l] ? nearer : best[l];
                }
            }
        }
        std::memcpy(column + p * stride, best, count * sizeof(U));
    }
}

EMFAST_CLONES void strip_of(Strip<int32_t>& strip, int32_t* column, int64_t stride, int count) {
    strip_down(strip, column, stride, count);
}
EMFAST_CLONES void strip_of(Strip<int64_t>& strip, int64_t* column, int64_t stride, int count) {
    strip_down(strip, column, stride, count);
}

// The square of a place: what its column along z offers.
template <class U>
EMFAST_INLINE U look_along_z(const U* field, int64_t z, int64_t depth, int64_t plane, const U* costs) {
    U best = *field;
    for (int64_t k = 1; costs[k] < best; ++k) {
        const bool before = k <= z, after = k < depth - z;
        if (!before && !after) break;
        U nearest = beyond<U>;
        if (before) nearest = field[-k * plane];
        if (after) nearest = std::min(nearest, field[k * plane]);
        best = std::min(best, nearest + costs[k]);
    }
    return best;
}

// The steps to the rows nearest to a place, by the square of their length.
template <class U>
struct NearSteps {
    struct Step {
        U cost;
        int64_t z, y;
    };
    static constexpr int64_t reach = 12, most = 160;
    std::vector<Step> steps;
    U end = beyond<U>;  // all that are shorter are listed

    void build(const Shape& shape, const uint64_t* weights) {
        auto along = [](uint64_t weight, int64_t k) {
            const auto length = static_cast<uint64_t>(k * k), whole = static_cast<uint64_t>(beyond<U>);
            return k && weight > whole / length ? whole : weight * length;
        };
        const int64_t far_z = std::min(shape.z - 1, reach), far_y = std::min(shape.y - 1, reach);
        uint64_t last = static_cast<uint64_t>(beyond<U>);
        if (far_z < shape.z - 1) last = std::min(last, along(weights[0], far_z + 1));
        if (far_y < shape.y - 1) last = std::min(last, along(weights[1], far_y + 1));
        end = static_cast<U>(last);
        for (int64_t z = -far_z; z <= far_z; ++z)
            for (int64_t y = -far_y; y <= far_y; ++y)
                if (const uint64_t cost = along(weights[0], z) + along(weights[1], y); cost < last)
                    steps.push_back({static_cast<U>(cost), z, y});
        std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.cost < b.cost; });
        if (static_cast<int64_t>(steps.size()) > most) {
            end = steps[most].cost;
            steps.resize(most);
        }
    }
};

// The rows of the other surface around a place. Objects that match lie close to each other, so a place finds its answer in
// the nearest of them, and columns need not be filled at all.
template <class U>
class NearRows {
  public:
    NearRows(const Shape& shape, const uint64_t* weights, const NearSteps<U>& steps, const uint8_t* filled,
             const U* field)
        : n_(shape),
          steps_(steps),
          filled_(filled),
          field_(field),
          z_(squares(weights[0], shape.z)),
          y_(squares(weights[1], shape.y)) {}

    // The square of the place x in the row (z, y), if it is below `end`; at least `end` otherwise.
    EMFAST_INLINE U near(int64_t z, int64_t y, int64_t x) const {
        U best = beyond<U>;
        for (const auto& step : steps_.steps) {
            if (step.cost >= best) return best;
            look(z + step.z, y + step.y, x, step.cost, best);
        }
        return best;
    }
    U end() const { return steps_.end; }

    // The same without an end, from what `near` found.
    U wide(int64_t z, int64_t y, int64_t x, U best) const {
        for (int64_t k = 0; k < n_.z && z_[k] < best; ++k)
            for (const int64_t side : {z - k, z + k})
                for (int64_t j = 0; j < n_.y && z_[k] + y_[j] < best; ++j) {
                    look(side, y - j, x, z_[k] + y_[j], best);
                    look(side, y + j, x, z_[k] + y_[j], best);
                }
        return best;
    }

    // How many rows that looks at, about.
    double work(U best) const {
        const double rows = double(n_.z) * double(n_.y);
        const double step = std::max(1.0, double(n_.z > 1 ? z_[1] : U(1))) * double(n_.y > 1 ? y_[1] : U(1));
        return best >= beyond<U> ? rows : std::min(rows, 3.2 * double(best) / std::sqrt(step) + 1);
    }

  private:
    EMFAST_INLINE void look(int64_t z, int64_t y, int64_t x, U cost, U& best) const {
        if (z < 0 || z >= n_.z || y < 0 || y >= n_.y) return;
        const int64_t row = z * n_.y + y;
        if (filled_[row]) best = std::min(best, field_[row * n_.x + x] + cost);
    }
    static std::vector<U> squares(uint64_t weight, int64_t n) {
        std::vector<U> out(n + 1);
        for (int64_t k = 0; k <= n; ++k)
            out[k] = static_cast<U>(weight * static_cast<uint64_t>(k) * static_cast<uint64_t>(k));
        return out;
    }

    Shape n_;
    const NearSteps<U>& steps_;
    const uint8_t* filled_;
    const U* field_;
    std::vector<U> z_, y_;
};

// ---- Histograms

// Small keys are counted in a table, others kept.
struct Counter {
    static constexpr uint64_t dense = uint64_t(1) << 16;
    std::vector<int64_t> table;
    uint64_t top = 0;  // keys of the table are below
    std::vector<uint64_t> others;

    void add(uint64_t key) {
        if (key >= dense) {
            others.push_back(key);
            return;
        }
        if (key >= top) {
            top = key + 1;
            if (table.size() < top) table.resize(std::max<uint64_t>(top, std::min(dense, 2 * top)));
        }
        ++table[key];
    }
    void take(Counter& other) {
        if (table.size() < other.top) table.resize(other.top);
        top = std::max(top, other.top);
        for (uint64_t key = 0; key < other.top; ++key) table[key] += other.table[key];
        others.insert(others.end(), other.others.begin(), other.others.end());
        other.clear();
    }
    void clear() {
        std::fill_n(table.begin(), top, 0);
        top = 0;
        others.clear();
    }
    // f(key, count), ascending.
    template <class F>
    void each(F&& f) {
        for (uint64_t key = 0; key < top; ++key)
            if (table[key]) f(key, table[key]);
        std::sort(others.begin(), others.end());
        for (size_t k = 0; k < others.size();) {
            size_t to = k + 1;
            while (to < others.size() && others[to] == others[k]) ++to;
            f(others[k], static_cast<int64_t>(to - k));
            k = to;
        }
    }
};

// ---- A pair

struct Serial {
    template <class F>
    void operator()(int64_t n, int64_t, F&& f) const {
        if (n > 0) f(int64_t(0), n, 0);
    }
};

struct Directed {
    std::vector<int64_t> squares, counts;
    std::vector<uint8_t> codes;
};

// The memory of a worker, kept from pair to pair.
class Place {
  public:
    template <class T>
    class Buffer {
      public:
        T* need(HostMemory& memory, int64_t n) {
            if (n > held_.size()) held_ = Scratch<T>(memory, n);
            return held_.data();
        }

      private:
        Scratch<T> held_;
    };

    // Both ways; `all`: the objects are all voxels other than 0.
    template <class Parallel>
    std::array<Directed, 2> run(const Task& task, const Pair& pair, bool all, int workers, const Parallel& parallel) {
        const Box& box = pair.box;
        const Shape size{box.end[0] - box.begin[0], box.end[1] - box.begin[1], box.end[2] - box.begin[2]};
        grid_ = size;
        if (task.sites == Sites::cells) grid_ = {size.z + (task.picture ? 0 : 1), size.y + 1, size.x + 1};
        std::array<bool, 2> found{};
        for (int side = 0; side < 2; ++side) found[side] = find(task, pair, side, all, size, parallel);
        std::array<Directed, 2> out;
        for (int side = 0; side < 2; ++side) {
            if (!found[side]) continue;
            out[side] = found[1 - side] ? ask(task, side, workers, parallel) : nowhere(task, side);
        }
        return out;
    }

  private:
    // The places of one object, as bytes of the grid; whether there are any.
    template <class Parallel>
    bool find(const Task& task, const Pair& pair, int side, bool all, const Shape& size, const Parallel& parallel) {
        const Box& box = pair.box;
        uint8_t* inside = inside_.need(memory_, std::max<int64_t>(1, size.voxels()));
        uint8_t* places = places_[side].need(memory_, std::max<int64_t>(1, grid_.voxels()));
        if (size.voxels() == 0) {  // rows without a voxel have no ends to look at
            std::fill_n(places, grid_.voxels(), uint8_t(0));
            return false;
        }
        uint8_t* const to = task.sites == Sites::points ? places : inside;
        const int64_t grain = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, grid_.x));
        parallel(size.rows(), grain, [&](int64_t begin, int64_t end, int) {
            for (int64_t r = begin; r < end; ++r) {
                const int64_t at = task.shape.index(box.begin[0] + r / size.y, box.begin[1] + r % size.y, box.begin[2]);
                member_row(task.labels[side], at, pair.id[side], all, size.x, to + r * size.x);
            }
        });
        const std::vector<uint8_t> zeros(size.x + 1, 0), ones(size.x + 1, 1);
        std::atomic<bool> any{false};
        parallel(grid_.rows(), grain, [&](int64_t begin, int64_t end, int) {
            uint8_t here = 0;
            for (int64_t r = begin; r < end; ++r) {
                uint8_t* out = places + r * grid_.x;
                const int64_t z = r / grid_.y, y = r % grid_.y;
                if (task.sites == Sites::voxels)
                    voxel_row(around(task, box, size, inside, z, y, zeros, ones), size.x, out);
                if (task.sites == Sites::cells) {
                    auto row = [&](int64_t rz, int64_t ry) {
                        const bool in = rz >= 0 && rz < size.z && ry >= 0 && ry < size.y;
                        return in ? inside + (rz * size.y + ry) * size.x : zeros.data();
                    };
                    const int64_t before = task.picture ? -1 : z - 1;
                    const Quad quad{row(before, y - 1), row(before, y), row(z, y - 1), row(z, y),
                                    uint8_t(task.picture ? 15 : 255)};
                    cell_row(quad, size.x, out);
                }
                for (int64_t x = 0; x < grid_.x; ++x) here |= out[x];
            }
            if (here) any.store(true, std::memory_order_relaxed);
        });
        return any.load();
    }

    static Rows around(const Task& task, const Box& box, const Shape& size, const uint8_t* inside, int64_t z, int64_t y,
                       const std::vector<uint8_t>& zeros, const std::vector<uint8_t>& ones) {
        const int64_t extent[3] = {task.shape.z, task.shape.y, task.shape.x};
        // Beyond a face of the box nothing belongs to the object, unless the volume ends there and that is no boundary.
        auto low = [&](int axis) { return box.begin[axis] == 0 && !task.border; };
        auto high = [&](int axis) { return box.end[axis] == extent[axis] && !task.border; };
        auto row = [&](int64_t rz, int64_t ry) { return inside + (rz * size.y + ry) * size.x; };
        auto edge = [&](bool open) { return open ? ones.data() : zeros.data(); };
        Rows r{};
        r.here = row(z, y);
        r.before_y = y > 0 ? row(z, y - 1) : edge(low(1));
        r.after_y = y + 1 < size.y ? row(z, y + 1) : edge(high(1));
        r.before_z = z > 0 ? row(z - 1, y) : edge(task.picture || low(0));
        r.after_z = z + 1 < size.z ? row(z + 1, y) : edge(task.picture || high(0));
        r.left = low(2);
        r.right = high(2);
        return r;
    }

    template <class Parallel>
    Directed ask(const Task& task, int side, int workers, const Parallel& parallel) {
        const double reach = double(task.weight[0]) * double(grid_.z) * double(grid_.z) +
                             double(task.weight[1]) * double(grid_.y) * double(grid_.y) +
                             double(task.weight[2]) * double(grid_.x) * double(grid_.x);
        if (reach < double(beyond<int32_t>)) return ask_in(task, side, workers, narrow_, near_narrow_, parallel);
        return ask_in(task, side, workers, wide_, near_wide_, parallel);
    }

    // Distances of the places of `side` to those of the other one: first from the rows nearest to each, and for those that
    // are farther from all rows, or from columns if that is less work.
    template <class U, class Parallel>
    Directed ask_in(const Task& task, int side, int workers, Buffer<U>& buffer, NearSteps<U>& steps,
                    const Parallel& parallel) {
        const Shape& n = grid_;
        const uint8_t *from = places_[side].need(memory_, 0), *to = places_[1 - side].need(memory_, 0);
        U* field = buffer.need(memory_, n.voxels());
        uint8_t* filled = filled_.need(memory_, n.rows());
        const Squares<U> squares(task.weight[2], n.x);
        const int64_t grain = std::max<int64_t>(1, 65536 / n.x);
        parallel(n.rows(), grain, [&](int64_t begin, int64_t end, int) {
            for (int64_t r = begin; r < end; ++r) filled[r] = fill_row(to + r * n.x, squares, n.x, field + r * n.x);
        });
        const uint64_t codes = task.sites == Sites::cells ? 256 : 1;
        if (static_cast<int>(counters_.size()) < workers) counters_.resize(workers);
        auto add = [&](int worker, int64_t place, U square) {
            counters_[worker].add(static_cast<uint64_t>(square) * codes + (codes > 1 ? from[place] : 0));
        };
        if (steps.steps.empty()) steps.build(task.shape, task.weight);
        const NearRows<U> rows(n, task.weight, steps, filled, field);
        std::vector<std::vector<Far<U>>> far(workers);
        parallel(n.rows(), grain, [&](int64_t begin, int64_t end, int worker) {
            for (int64_t r = begin; r < end; ++r)
                each_set(from + r * n.x, n.x, [&](int64_t x) {
                    const U square = rows.near(r / n.y, r % n.y, x);
                    if (square <= rows.end()) add(worker, r * n.x + x, square);
                    else far[worker].push_back({r * n.x + x, square});
                });
        });
        std::vector<Far<U>> all;
        double work = 0;
        for (const auto& part : far) all.insert(all.end(), part.begin(), part.end());
        for (const Far<U>& f : all) work += rows.work(f.square);
        const bool by_columns = work > 3 * double(n.voxels());
        if (by_columns) fill_columns(task, n, filled, field, parallel);
        const std::vector<U> costs = along_z<U>(task.weight[0], n.z);
        parallel(static_cast<int64_t>(all.size()), 64, [&](int64_t begin, int64_t end, int worker) {
            for (int64_t k = begin; k < end; ++k) {
                const Point p = point(n, all[k].place);
                add(worker, all[k].place,
                    by_columns ? look_along_z(field + all[k].place, p.z, n.z, n.y * n.x, costs.data())
                               : rows.wide(p.z, p.y, p.x, all[k].square));
            }
        });
        for (int w = 1; w < workers; ++w) counters_[0].take(counters_[w]);
        Directed out;
        counters_[0].each([&](uint64_t key, int64_t count) {
            out.squares.push_back(static_cast<int64_t>(key / codes));
            out.codes.push_back(static_cast<uint8_t>(key % codes));
            out.counts.push_back(count);
        });
        counters_[0].clear();
        return out;
    }

    template <class U>
    struct Far {
        int64_t place;
        U square;  // the best so far
    };

    template <class U>
    static std::vector<U> along_z(uint64_t weight, int64_t depth) {
        std::vector<U> costs(depth + 1);
        for (int64_t k = 0; k <= depth; ++k)
            costs[k] = static_cast<U>(weight * static_cast<uint64_t>(k) * static_cast<uint64_t>(k));
        return costs;
    }

    // The field along y as well.
    template <class U, class Parallel>
    static void fill_columns(const Task& task, const Shape& n, const uint8_t* filled, U* field,
                             const Parallel& parallel) {
        parallel(n.z, 1, [&](int64_t begin, int64_t end, int) {
            Strip<U> strip(task.weight[1], n.y);
            for (int64_t z = begin; z < end; ++z) {
                bool any = false;
                for (int64_t r = z * n.y; r < (z + 1) * n.y; ++r) {
                    any |= filled[r];
                    if (!filled[r]) std::fill_n(field + r * n.x, n.x, beyond<U>);
                }
                if (!any) continue;
                for (int64_t x = 0; x < n.x; x += Strip<U>::lanes)
                    strip_of(strip, field + z * n.y * n.x + x, n.x,
                             static_cast<int>(std::min<int64_t>(Strip<U>::lanes, n.x - x)));
            }
        });
    }

    // There is no other surface.
    Directed nowhere(const Task& task, int side) {
        const uint8_t* places = places_[side].need(memory_, 0);
        std::array<int64_t, 256> counts{};
        for (int64_t i = 0; i < grid_.voxels(); ++i) ++counts[places[i]];
        Directed out;
        for (int code = 1; code < 256; ++code)
            if (counts[code]) {
                out.squares.push_back(-1);
                out.codes.push_back(task.sites == Sites::cells ? static_cast<uint8_t>(code) : uint8_t(0));
                out.counts.push_back(counts[code]);
            }
        return out;
    }

    HostMemory memory_;
    Shape grid_;
    Buffer<uint8_t> inside_, places_[2], filled_;
    Buffer<int32_t> narrow_;
    Buffer<int64_t> wide_;
    NearSteps<int32_t> near_narrow_;
    NearSteps<int64_t> near_wide_;
    std::vector<Counter> counters_;
};

inline void append(Histograms& to, const Directed& part) {
    to.squares.insert(to.squares.end(), part.squares.begin(), part.squares.end());
    to.codes.insert(to.codes.end(), part.codes.begin(), part.codes.end());
    to.counts.insert(to.counts.end(), part.counts.begin(), part.counts.end());
    to.starts.push_back(static_cast<int64_t>(to.squares.size()));
}

inline int64_t volume(const Box& box) {
    return (box.end[0] - box.begin[0]) * (box.end[1] - box.begin[1]) * (box.end[2] - box.begin[2]);
}

template <class Parallel>
Histograms run_on_host(const Task& task, const std::vector<Pair>& pairs, bool all, int workers,
                       const Parallel& parallel) {
    std::vector<std::array<Directed, 2>> found(pairs.size());
    std::vector<int64_t> small;
    {
        Place place;
        for (size_t k = 0; k < pairs.size(); ++k) {
            if (volume(pairs[k].box) < large) small.push_back(static_cast<int64_t>(k));
            else found[k] = place.run(task, pairs[k], all, workers, parallel);
        }
    }
    std::vector<Place> places(workers);
    parallel(static_cast<int64_t>(small.size()), 1, [&](int64_t begin, int64_t end, int worker) {
        for (int64_t k = begin; k < end; ++k)
            found[small[k]] = places[worker].run(task, pairs[small[k]], all, 1, Serial{});
    });
    Histograms out;
    out.starts.push_back(0);
    for (const auto& both : found)
        for (const Directed& part : both) append(out, part);
    return out;
}

// The box of what is not 0.
template <class Parallel>
Box bounds_on_host(const Task& task, int workers, const Parallel& parallel) {
    const Shape& n = task.shape;
    const Box none{{n.z, n.y, n.x}, {0, 0, 0}};
    std::vector<Box> boxes(workers, none);
    parallel(n.rows(), std::max<int64_t>(1, 65536 / std::max<int64_t>(1, n.x)),
             [&](int64_t begin, int64_t end, int worker) {
                 std::vector<uint8_t> row(n.x);
                 Box& box = boxes[worker];
                 for (int64_t r = begin; r < end; ++r)
                     for (const Labels& labels : task.labels) {
                         member_row(labels, r * n.x, 0, true, n.x, row.data());
                         int64_t first = n.x, last = -1;
                         each_set(row.data(), n.x, [&](int64_t x) {
                             first = std::min(first, x);
                             last = x;
                         });
                         if (last < 0) continue;
                         const int64_t at[3] = {r / n.y, r % n.y, first}, to[3] = {r / n.y, r % n.y, last};
                         for (int a = 0; a < 3; ++a) {
                             box.begin[a] = std::min(box.begin[a], at[a]);
                             box.end[a] = std::max(box.end[a], to[a] + 1);
                         }
                     }
             });
    Box all = none;
    for (const Box& box : boxes)
        for (int a = 0; a < 3; ++a) {
            all.begin[a] = std::min(all.begin[a], box.begin[a]);
            all.end[a] = std::max(all.end[a], box.end[a]);
        }
    return all.end[0] > all.begin[0] ? all : Box{};
}

}  // namespace

}  // namespace emfast::surface
