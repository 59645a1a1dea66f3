// The host's way: the sequential rule itself, level by level. A level is a range of weights with at most some millions of
// edges. Its edges are read off the grid, those that lie within a cluster already are left out (most of the later ones), and
// the rest is sorted and taken in order. With more threads the next level is read and sorted meanwhile; it may then see
// joins too late, and leaves out less.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <vector>

#include "core/isa.h"
#include "mutex/mutex_clusters.h"
#include "mutex/mutex_edges.h"

namespace emfast::mutex {

// An edge: key, voxel, channel and sign, so that of one level smaller entries come first, ties by id.
struct Entry {
    uint64_t bits;
    static constexpr int key_bits = 25, channel_bits = 6, key_at = 33 + channel_bits;
    static constexpr int64_t most_channels = 1 << channel_bits;
    uint32_t voxel() const { return static_cast<uint32_t>(bits >> (1 + channel_bits)); }
    int64_t channel() const { return bits >> 1 & (most_channels - 1); }
    bool repulsive() const { return bits & 1; }
};

// Orders from low to high - 1; at most `edges` edges have one.
struct Level {
    uint32_t low, high;
    int64_t edges;
};

// Orders times 2, plus 1 where they repel, of a row of values; says whether one of them is not welcome.
template <class A>
EMFAST_INLINE bool row_orders(const A* values, int64_t n, bool repulsive, bool has_sign, uint32_t* out) {
    uint32_t bad = 0;
    if (has_sign) {
        for (int64_t i = 0; i < n; ++i) {
            const Edge e = edge_of(values[i], repulsive, true);
            bad |= e.bad;
            out[i] = e.order << 1 | e.repulsive;
        }
    } else {
        for (int64_t i = 0; i < n; ++i) bad |= !Affinity<A>::valid(values[i]);
        if (repulsive)
            for (int64_t i = 0; i < n; ++i) out[i] = Weight<A>::of_affinity(values[i], true) << 1 | 1;
        else
            for (int64_t i = 0; i < n; ++i) out[i] = Weight<A>::of_affinity(values[i], false) << 1;
    }
    return bad != 0;
}

[[maybe_unused]] EMFAST_CLONES bool orders_of(const float* values, int64_t n, bool repulsive, bool has_sign,
                                              uint32_t* out) {
    return row_orders(values, n, repulsive, has_sign, out);
}
[[maybe_unused]] EMFAST_CLONES bool orders_of(const Half* values, int64_t n, bool repulsive, bool has_sign,
                                              uint32_t* out) {
    return row_orders(values, n, repulsive, has_sign, out);
}
[[maybe_unused]] EMFAST_CLONES bool orders_of(const uint8_t* values, int64_t n, bool repulsive, bool has_sign,
                                              uint32_t* out) {
    return row_orders(values, n, repulsive, has_sign, out);
}

// slots[x] gets a bit where the order is in the level.
[[maybe_unused]] EMFAST_CLONES void mark_level(const uint32_t* orders, int64_t n, uint32_t low, uint32_t span,
                                               uint64_t bit, uint64_t* slots) {
    for (int64_t x = 0; x < n; ++x) slots[x] |= (orders[x] >> 1) - low < span ? bit : 0;
}

// The edges of one row after another.
template <class A>
class Rows {
  public:
    explicit Rows(const Grid<A>& grid) : grid_(grid), orders_(grid.channels.size()) {
        for (auto& o : orders_) o.resize(grid.shape.x);
    }

    const std::vector<int64_t>& channels() const { return channels_; }  // those that have edges in the row
    const uint32_t* orders(int64_t k) const { return orders_[k].data(); }  // as of row_orders; 0 where there is no edge

    void read(int64_t row, int64_t& bad) {
        const Shape s = grid_.shape;
        const int64_t n = s.voxels(), count = static_cast<int64_t>(grid_.channels.size()), z = row / s.y, y = row % s.y;
        const Thinning& thinning = grid_.thinning;
        channels_.clear();
        for (int64_t k = 0; k < count; ++k) {
            const Channel& c = grid_.channels[k];
            const int64_t qz = z + c.offset.z, qy = y + c.offset.y;
            if (qz < 0 || qz >= s.z || qy < 0 || qy >= s.y) continue;
            const int64_t x0 = std::max<int64_t>(0, -c.offset.x), x1 = std::min(s.x, s.x - c.offset.x);
            if (x0 >= x1) continue;
            const bool thin = thinning.one_in() > 1 && c.repulsive;
            if (thin && !thinning.random && (z % thinning.strides.z || y % thinning.strides.y)) continue;
            channels_.push_back(k);
            uint32_t* orders = orders_[k].data();
            std::fill(orders, orders + x0, 0);
            std::fill(orders + x1, orders + s.x, 0);
            const int64_t i = s.index(z, y, x0), q = s.index(qz, qy, x0 + c.offset.x);
            const A* values = grid_.values + k * n + i;
            const bool doubtful = orders_of(values, x1 - x0, c.repulsive, grid_.has_sign, orders + x0);
            if (!thin && !grid_.mask && !doubtful) continue;
            for (int64_t x = 0; x < x1 - x0; ++x) {
                const bool there =
                    (!grid_.mask || (grid_.mask[i + x] && grid_.mask[q + x])) &&
                    (!thin || stays(thinning, {z, y, x0 + x}, static_cast<uint64_t>((i + x) * count + k)));
                const Edge e = edge_of(values[x], c.repulsive, grid_.has_sign);
                if (there && e.bad) {
                    const int64_t place = k * n + i + x;
                    bad = bad < 0 ? place : std::min(bad, place);
                }
                if (!there || e.bad) orders[x0 + x] = 0;
            }
        }
    }

  private:
    const Grid<A>& grid_;
    std::vector<std::vector<uint32_t>> orders_;
    std::vector<int64_t> channels_;
};

// Levels from the heaviest down; `bad` as in Outcome.
template <class A>
std::vector<Level> levels_of(Executor& ex, const Grid<A>& grid, int64_t at_once, int64_t& bad) {
    constexpr int shift = sizeof(A) == 1 ? 0 : 15;
    constexpr int64_t bins = sizeof(A) == 1 ? 256 : 1 << 16;
    const Shape s = grid.shape;
    std::vector<std::vector<int64_t>> counts(ex.threads(), std::vector<int64_t>(bins));
    std::vector<int64_t> first_bad(ex.threads(), -1);
    ex.for_chunks(s.rows(), ex.grain(s.rows(), (1 << 15) / s.x + 1), [&](int64_t begin, int64_t end, int worker) {
        Rows<A> rows(grid);
        int64_t* count = counts[worker].data();
        for (int64_t r = begin; r < end; ++r) {
            rows.read(r, first_bad[worker]);
            for (const int64_t k : rows.channels()) {
                const uint32_t* orders = rows.orders(k);
                for (int64_t x = 0; x < s.x; ++x) ++count[orders[x] >> (1 + shift)];
            }
        }
    });
    for (int w = 0; w < ex.threads(); ++w) {
        if (first_bad[w] >= 0) bad = bad < 0 ? first_bad[w] : std::min(bad, first_bad[w]);
        for (int64_t b = 0; w > 0 && b < bins; ++b) counts[0][b] += counts[w][b];
    }
    std::vector<Level> out;
    constexpr int64_t widest = int64_t(1) << (Entry::key_bits - shift);
    int64_t top = bins;
    while (top > 0) {
        int64_t low = top, edges = 0;
        while (low > 0 && top - low < widest && (edges == 0 || edges + counts[0][low - 1] <= at_once))
            edges += counts[0][--low];
        const auto from = static_cast<uint32_t>(std::max<int64_t>(low << shift, 1));  // 0 is no edge
        if (edges) out.push_back({from, static_cast<uint32_t>(top << shift), edges});
        top = low;
    }
    return out;
}

// Stable, by key. The result may be in either buffer; the pointers say which.
inline void sort_entries(uint64_t*& entries, uint64_t*& other, int64_t n) {
    uint64_t all = 0;
    for (int64_t i = 0; i < n; ++i) all |= entries[i];
    int bits = 0;
    while (all >> Entry::key_at >> bits) ++bits;
    if (bits == 0) return;
    const int passes = (bits + 8) / 9, digit = (bits + passes - 1) / passes;
    const uint64_t mask = (uint64_t(1) << digit) - 1;
    std::vector<std::array<int64_t, 512>> at(passes);
    for (auto& a : at) a.fill(0);
    for (int64_t i = 0; i < n; ++i)
        for (int p = 0; p < passes; ++p) ++at[p][entries[i] >> (Entry::key_at + p * digit) & mask];
    for (int p = 0; p < passes; ++p) {
        int64_t sum = 0;
        for (auto& a : at[p]) sum += std::exchange(a, sum);
        const int shift = Entry::key_at + p * digit;
        for (int64_t i = 0; i < n; ++i) other[at[p][entries[i] >> shift & mask]++] = entries[i];
        std::swap(entries, other);
    }
}

// The edges of a level between different clusters, in order. Threads read pieces of the volume, while one may still be
// taking the edges of the level before; whoever reads the last piece joins and sorts all.
template <class A>
class Reader {
  public:
    // No level has more than `most` edges.
    Reader(Executor& ex, const Grid<A>& grid, const Clusters& clusters, const std::vector<int64_t>& steps, int64_t most)
        : grid_(grid),
          clusters_(clusters),
          steps_(steps),
          counts_(ex.threads() == 1 ? 1 : std::min<int64_t>(grid.shape.rows(), 8 * ex.threads())),
          memory_{ex.scratch<uint64_t>(most), ex.scratch<uint64_t>(most)},
          entries_(memory_[0].data()),
          other_(memory_[1].data()) {
        // A piece has room for all its edges, of which a level has few: pages that are not touched cost nothing.
        if (pieces() > 1) read_ = ex.scratch<uint64_t>(grid.shape.voxels() * std::ssize(grid.channels));
    }

    int64_t pieces() const { return std::ssize(counts_); }

    void begin(const Level& level) {
        level_ = level;
        left_.store(pieces(), std::memory_order_relaxed);
    }

    void read(int64_t piece) {
        const int64_t rows = grid_.shape.rows(), first = rows * piece / pieces();
        counts_[piece] = read_rows(first, rows * (piece + 1) / pieces(), pieces() == 1 ? entries_ : room_of(first));
        if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) finish();
    }

    // Once all pieces are read: hands over the edges for a buffer to use next, and returns their number.
    int64_t exchange(uint64_t*& entries) {
        std::swap(entries, entries_);
        return count_;
    }

  private:
    uint64_t* room_of(int64_t row) const { return read_.data() + row * grid_.shape.x * std::ssize(grid_.channels); }

    int64_t read_rows(int64_t begin, int64_t end, uint64_t* out) const {
        const Shape s = grid_.shape;
        Rows<A> rows(grid_);
        std::vector<uint64_t> slots(s.x);
        int64_t n = 0, bad = -1;
        for (int64_t r = begin; r < end; ++r) {
            rows.read(r, bad);
            std::fill(slots.begin(), slots.end(), 0);
            for (const int64_t k : rows.channels())
                mark_level(rows.orders(k), s.x, level_.low, level_.high - level_.low, uint64_t(1) << k, slots.data());
            for (int64_t x = 0; x < s.x; ++x)
                for (uint64_t rest = slots[x]; rest; rest &= rest - 1) {
                    const int k = __builtin_ctzll(rest);
                    const auto i = static_cast<uint32_t>(r * s.x + x);
                    if (clusters_.together(i, static_cast<uint32_t>(i + steps_[k]))) continue;
                    const uint32_t order = rows.orders(k)[x];
                    out[n++] = uint64_t(level_.high - 1 - (order >> 1)) << Entry::key_at |
                               uint64_t(i) << (1 + Entry::channel_bits) | uint64_t(k) << 1 | (order & 1);
                }
        }
        return n;
    }

    void finish() {
        count_ = 0;
        for (int64_t p = 0; p < pieces(); ++p) {
            if (pieces() > 1) std::copy_n(room_of(grid_.shape.rows() * p / pieces()), counts_[p], entries_ + count_);
            count_ += counts_[p];
        }
        sort_entries(entries_, other_, count_);
    }

    const Grid<A>& grid_;
    const Clusters& clusters_;
    const std::vector<int64_t>& steps_;
    Level level_{};
    std::vector<int64_t> counts_;  // of edges by piece
    std::atomic<int64_t> left_{0};  // pieces to read
    Scratch<uint64_t> memory_[2], read_;
    uint64_t *entries_, *other_;
    int64_t count_ = 0;
};

// Takes edges in order. seeds, at the roots of clusters, may be null.
inline void take_level(Clusters& clusters, const uint64_t* entries, int64_t n, const std::vector<int64_t>& steps,
                       uint32_t* seeds) {
    constexpr int64_t far = 48, near = 20, close = 8;
    auto other_end = [&](const Entry& e) { return static_cast<uint32_t>(e.voxel() + steps[e.channel()]); };
    for (int64_t i = 0; i < n; ++i) {
        if (i + far < n) {
            const Entry later{entries[i + far]};
            clusters.prefetch(later.voxel());
            clusters.prefetch(other_end(later));
        }
        if (i + near < n) {
            const Entry later{entries[i + near]};
            clusters.prefetch_above(later.voxel());
            clusters.prefetch_above(other_end(later));
        }
        if (i + close < n) {
            const Entry later{entries[i + close]};
            clusters.prefetch_pair(later.voxel(), other_end(later));
        }
        const Entry e{entries[i]};
        const uint32_t a = clusters.root(e.voxel()), b = clusters.root(other_end(e));
        if (a == b) continue;
        if (e.repulsive()) {
            clusters.keep_apart(a, b);
        } else if (!(seeds && seeds[a] && seeds[b]) && !clusters.apart(a, b)) {
            const uint32_t seed = seeds ? seeds[a] | seeds[b] : 0;
            const uint32_t root = clusters.join(a, b);
            if (seeds) seeds[root] = seed;
        }
    }
}

}  // namespace emfast::mutex
