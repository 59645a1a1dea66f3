// The host's own way to basins and their edges; the answer is that of the plain schedule.
//
//   1. Rows: the lowest neighbour of every voxel of a row, by vectorised compares of the rows around it, read into a buffer as
//      orders of heights with the largest order where nobody is. Voxels whose neighbours all have that order take the
//      plain body.
//   2. Plateaus: one queue (a vector a level, cut among threads), which also makes the pointers.
//   3. Roots by walks in raster order that leave short pointers behind, so most walks are two steps long.
//   4. Edges: rows of words compared 64 at a time; a small table a thread keeps the first edge of recent pairs, so that the list is little
//      longer than one edge a pair. Of edges to seeds a basin needs its first alone, whichever the seed.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "core/isa.h"
#include "core/runs.h"
#include "seeds/seeds_body.h"

namespace emfast::seeds {
namespace {

// ---- The lowest neighbours of a row ----

// For each x: the least of values[x] and best[x]; where values is less, its code.
#define EMFAST_LOWER(K)                                                                                                \
    EMFAST_CLONES void lower(const K* __restrict values, K code, int64_t n, K* __restrict best, K* __restrict codes) { \
        for (int64_t x = 0; x < n; ++x) {                                                                              \
            const bool less = values[x] < best[x];                                                                     \
            codes[x] = less ? code : codes[x];                                                                         \
            best[x] = less ? values[x] : best[x];                                                                      \
        }                                                                                                              \
    }
EMFAST_LOWER(uint8_t)
EMFAST_LOWER(uint16_t)
EMFAST_LOWER(uint32_t)

#define EMFAST_ORDERS(T)                                                                            \
    EMFAST_CLONES void orders(const T* __restrict in, int64_t n, Height<T>::Bits* __restrict out) { \
        for (int64_t x = 0; x < n; ++x) out[x] = Height<T>::order(in[x]);                           \
    }                                                                                               \
    EMFAST_CLONES bool all_valid(const T* in, int64_t n) {                                          \
        int bad = 0;                                                                                \
        for (int64_t x = 0; x < n; ++x) bad |= !Height<T>::valid(in[x]);                            \
        return !bad;                                                                                \
    }
EMFAST_FOR_HEIGHTS(EMFAST_ORDERS)

#define EMFAST_HIDE(K)                                                                                   \
    EMFAST_CLONES void hide(const uint8_t* __restrict mask, int64_t n, K* __restrict values) {           \
        for (int64_t x = 0; x < n; ++x) values[x] = mask[x] ? values[x] : std::numeric_limits<K>::max(); \
    }
EMFAST_HIDE(uint8_t)
EMFAST_HIDE(uint16_t)
EMFAST_HIDE(uint32_t)

template <class T, class Id>
class RowPointer {
  public:
    using K = typename Height<T>::Bits;
    static constexpr K nobody = std::numeric_limits<K>::max();

    RowPointer(const Voxels<T, Id>& voxels) : voxels_(voxels), width_(voxels.field.shape.x) {
        needed_[4] = true;
        for (int code = 0; code < 27; ++code)
            if (voxels.field.counts(code)) {
                codes_.push_back(static_cast<uint8_t>(code));
                needed_[code / 3] = true;
                step_[code] = voxels.field.shape.index(code / 9 - 1, code / 3 % 3 - 1, code % 3 - 1);
            }
        for (auto& row : rows_) row.assign(width_ + 2, nobody);
        best_.resize(width_);
        chosen_.resize(width_);
    }

    // Pointers of the row's open voxels. Whether any is flat; false in `good` where there is NaN.
    bool operator()(int64_t r, std::atomic<bool>& good) {
        const Field<T>& field = voxels_.field;
        const Shape s = field.shape;
        const int64_t z = r / s.y, y = r % s.y;
        bool there[9];
        for (int k = 0; k < 9; ++k) {
            const int64_t rz = z + k / 3 - 1, ry = y + k % 3 - 1;
            there[k] = needed_[k] && rz >= 0 && rz < s.z && ry >= 0 && ry < s.y;
            if (there[k]) load(rz * s.y + ry, rows_[k].data() + 1);
        }
        std::fill(best_.begin(), best_.end(), nobody);
        std::fill(chosen_.begin(), chosen_.end(), K(27));
        for (uint8_t code : codes_)
            if (there[code / 3])
                lower(rows_[code / 3].data() + code % 3, K(code), width_, best_.data(), chosen_.data());
        const int64_t at = r * width_;
        if (!all_valid(field.height + at, width_)) check(at, good);
        const K* own = rows_[4].data() + 1;
        Id* parent = voxels_.parent + at;
        uint16_t* steps = voxels_.steps + at;
        bool flats = false;
        for (int64_t x = 0; x < width_; ++x) {
            steps[x] = 0;
            if (parent[x] != open<Id>) continue;
            if (chosen_[x] == K(27)) {
                uint64_t bad = 0;  // looked for above
                Point1<T, Id>{voxels_, &bad}(at + x);
                flats |= steps[x] != 0;
            } else if (best_[x] == own[x]) {
                steps[x] = unreached;
                flats = true;
            } else if (voxels_.minima_stay && best_[x] > own[x]) {
                parent[x] = Marks<Id>::top | static_cast<Id>(at + x);
            } else {
                parent[x] = static_cast<Id>(at + x + step_[chosen_[x]]);
            }
        }
        return flats;
    }

  private:
    void load(int64_t r, K* out) const {
        orders(voxels_.field.height + r * width_, width_, out);
        if (voxels_.field.mask) hide(voxels_.field.mask + r * width_, width_, out);
    }
    void check(int64_t at, std::atomic<bool>& good) const {
        for (int64_t i = at; i < at + width_; ++i)
            if (voxels_.field.here(i) && !Height<T>::valid(voxels_.field.height[i]))
                good.store(false, std::memory_order_relaxed);
    }

    Voxels<T, Id> voxels_;
    int64_t width_;
    std::vector<uint8_t> codes_;
    int64_t step_[27] = {};
    std::vector<K> rows_[9], best_, chosen_;  // rows with one element more at either end
    bool needed_[9] = {};
};

// ---- Plateaus ----

template <class T, class Id>
class Plateaus {
  public:
    Plateaus(const Voxels<T, Id>& voxels) : voxels_(voxels) {}

    // Whether steps ended by themselves.
    bool run(Executor& ex) {
        const int64_t n = voxels_.field.shape.voxels();
        auto level = pieces(ex, n, ex.grain(n), [&](int64_t i, std::vector<Id>& out) {
            if (AtRim<T, Id>{voxels_}(i)) out.push_back(static_cast<Id>(i));
        });
        for (uint16_t step = 1; !level.empty(); ++step) {
            for (Id i : level) voxels_.steps[i] = step;
            if (step + 1 == unreached) return false;
            level = pieces(ex, static_cast<int64_t>(level.size()), 1 << 13, [&](int64_t j, std::vector<Id>& out) {
                const auto i = static_cast<int64_t>(level[j]);
                const auto height = voxels_.field.order(i);
                voxels_.field.around(i, [&](int, int64_t q) {
                    if (voxels_.field.order(q) != height) return;
                    if (atomic_claim(voxels_.steps[q], unreached, waiting)) out.push_back(static_cast<Id>(q));
                });
            });
        }
        return true;
    }

  private:
    static constexpr uint16_t waiting = 65534;

    template <class F>
    std::vector<Id> pieces(Executor& ex, int64_t n, int64_t grain, const F& f) {
        std::vector<std::vector<Id>> parts((n + grain - 1) / grain);
        ex.for_chunks(n, grain, [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; ++i) f(i, parts[begin / grain]);
        });
        if (parts.size() == 1) return std::move(parts[0]);
        std::vector<Id> all;
        for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
        return all;
    }

    Voxels<T, Id> voxels_;
};

// ---- Roots ----

// Follows i's pointers to the root, marks it if it is one of two that point at each other, and shortens the way.
template <class Id>
EMFAST_INLINE void follow(Id* parent, Id i) {
    Id up = atomic_load(parent[i]);
    if (!is_voxel(up) || up == i) return;
    Id at = i, root;
    for (;;) {  // up is the parent of at
        const Id above = atomic_load(parent[up]);
        if (above == up || !is_voxel(above)) {
            root = up;
            break;
        }
        if (above == at) {
            root = std::min(at, up);
            atomic_store(parent[root], Marks<Id>::top | root);
            break;
        }
        at = up;
        up = above;
    }
    for (Id p = i; p != root;) {
        const Id next = atomic_load(parent[p]);
        if (!is_voxel(next)) break;
        atomic_store(parent[p], root);
        p = next;
    }
}

// ---- Edges ----

// Where edges go: memory for the worst case, of which threads claim blocks. The rest of a block joins nothing.
template <class Id>
class EdgeBlocks {
  public:
    static constexpr int64_t block = 4096;

    EdgeBlocks(Executor& ex, int64_t most) : edges_(ex.scratch<Edge<Id>>((most / block + ex.threads() + 1) * block)) {}
    Edge<Id>* claim() { return edges_.data() + next_.fetch_add(1, std::memory_order_relaxed) * block; }
    void hand_over(Basins<Id>& basins) {
        basins.edge_count = next_.load() * block;
        basins.edges = std::move(edges_);
    }

  private:
    Scratch<Edge<Id>> edges_;
    std::atomic<int64_t> next_{0};
};

template <class T, class Id>
class EdgeList {
  public:
    static constexpr int bits = 14;

    EdgeList(const Voxels<T, Id>& voxels, EdgeBlocks<Id>& blocks)
        : voxels_(voxels), blocks_(blocks), table_(int64_t(1) << bits) {}

    // The edges of row r to the rows (and voxels) before it.
    void row(int64_t r) {
        const Shape s = voxels_.field.shape;
        const int64_t z = r / s.y, y = r % s.y;
        differ_.resize(bit_words(s.x));
        for (int code = 0; code < 13; ++code) {
            const int64_t dz = code / 9 - 1, dy = code / 3 % 3 - 1, dx = code % 3 - 1;
            if (!voxels_.field.counts(code) || z + dz < 0 || y + dy < 0 || y + dy >= s.y) continue;
            const int64_t from = dx < 0 ? 1 : 0, to = dx > 0 ? s.x - 1 : s.x, step = s.index(dz, dy, dx);
            if (from >= to) continue;
            const int64_t at = r * s.x + from;
            differ_bits(voxels_.parent + at, voxels_.parent + at + step, to - from, differ_.data());
            for (int64_t w = 0; w < bit_words(to - from); ++w)
                for (uint64_t some = differ_[w]; some; some &= some - 1) {
                    const int64_t i = at + w * 64 + __builtin_ctzll(some);
                    const Id a = voxels_.parent[i], b = voxels_.parent[i + step];
                    if (apart(a, b)) add(i, i + step, code, a, b);
                }
        }
    }

    // Call once all rows are done.
    void finish() {
        for (const Edge<Id>& e : table_)
            if (e.a != e.b) put(e);
        while (at_ != end_) *at_++ = {};
    }

  private:
    void put(const Edge<Id>& e) {
        if (at_ == end_) {
            at_ = blocks_.claim();
            end_ = at_ + EdgeBlocks<Id>::block;
        }
        *at_++ = e;
    }

    void add(int64_t i, int64_t q, int code, Id a, Id b) {
        if (is_voxel(a) || (!is_voxel(b) && b < a)) std::swap(a, b);  // a has no seed; both have none: a < b
        const uint64_t x = voxels_.field.order(i), y = voxels_.field.order(q);
        Rank rank{x > y ? x << 32 | y : y << 32 | x, static_cast<uint64_t>(13 * i + code)};
        if (x == y) rank.rest |= (uint64_t(voxels_.steps[i]) + voxels_.steps[q]) << 40;
        const bool seeded = is_voxel(b);
        const uint64_t key =
            (static_cast<uint64_t>(a) << 32 ^ (seeded ? 0 : static_cast<uint64_t>(b))) * uint64_t(0x9e3779b97f4a7c15);
        Edge<Id>& e = table_[key >> (64 - bits)];
        if (e.a == a && e.a != e.b && (e.b == b || (seeded && is_voxel(e.b)))) {
            if (rank < e.rank) e = {rank, a, b};
            return;
        }
        if (e.a != e.b) put(e);
        e = {rank, a, b};
    }

    Voxels<T, Id> voxels_;
    EdgeBlocks<Id>& blocks_;
    std::vector<Edge<Id>> table_;
    Edge<Id>*at_ = nullptr, *end_ = nullptr;
    std::vector<uint64_t> differ_;
};

// ---- The whole ----

// start(from, to) begins the words of these voxels.
template <class T, class Id>
void find_basins_by_rows(Executor& ex, const Field<T>& field, Basins<Id>& basins,
                         const std::function<void(int64_t, int64_t)>& start) {
    const Shape s = field.shape;
    const int64_t n = s.voxels(), thick = std::max<int64_t>(1, (int64_t(1) << 16) / s.x);
    Id* parent = basins.words;
    auto steps = ex.scratch<uint16_t>(n);
    const Voxels<T, Id> voxels{field, parent, steps.data(), basins.minima_stay};
    std::atomic<bool> good{true}, flats{false};
    ex.for_chunks(s.rows(), thick, [&](int64_t begin, int64_t end, int) {
        RowPointer<T, Id> point_row(voxels);
        bool some = false;
        for (int64_t r = begin; r < end; ++r) {
            start(r * s.x, (r + 1) * s.x);
            some |= point_row(r, good);
        }
        if (some) flats.store(true, std::memory_order_relaxed);
    });
    if (!good) {
        const auto first = ex.reduce(
            n, ~uint64_t(0),
            [&](int64_t i) {
                return field.here(i) && !Height<T>::valid(field.height[i]) ? static_cast<uint64_t>(i) : ~uint64_t(0);
            },
            Smaller{});
        refuse_height<T>(s, static_cast<int64_t>(first));
    }
    if (flats) point_flats(ex, voxels, Plateaus<T, Id>(voxels).run(ex));
    ex.for_chunks(n, ex.grain(n), [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) follow(parent, static_cast<Id>(i));
    });
    const int64_t piece = ex.grain(n);
    std::vector<int64_t> counts((n + piece - 1) / piece);
    ex.for_chunks(n, piece, [&](int64_t begin, int64_t end, int) {
        int64_t count = 0;
        for (int64_t i = begin; i < end; ++i) count += IsMarked<Id>{parent}(i);
        counts[begin / piece] = count;
    });
    for (int64_t& c : counts) basins.count += std::exchange(c, basins.count);
    ex.for_chunks(n, piece, [&](int64_t begin, int64_t end, int) {
        int64_t next = counts[begin / piece];
        for (int64_t i = begin; i < end; ++i)
            if (IsMarked<Id>{parent}(i)) parent[i] = Marks<Id>::top | static_cast<Id>(next++);
    });
    ex.for_each(n, Inherit<Id>{parent});
    int before = 0;
    for (int code = 0; code < 13; ++code) before += field.counts(code);
    EdgeBlocks<Id> blocks(ex, before * n);
    std::vector<std::unique_ptr<EdgeList<T, Id>>> lists(ex.threads());
    ex.for_chunks(s.rows(), thick, [&](int64_t begin, int64_t end, int worker) {
        if (!lists[worker]) lists[worker] = std::make_unique<EdgeList<T, Id>>(voxels, blocks);
        for (int64_t r = begin; r < end; ++r) lists[worker]->row(r);
    });
    for (const auto& list : lists)
        if (list) list->finish();
    blocks.hand_over(basins);
}

}  // namespace
}  // namespace emfast::seeds
