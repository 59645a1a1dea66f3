// The host sibling of _core: rows are cut into runs by SIMD compares (core/runs.h), a run is one update of its label's
// cells, and each worker has a table of its own. Tables are folded at the end: integers, so the order does not matter.
#include <algorithm>
#include <bit>
#include <vector>

#include "core/dtypes.h"
#include "core/isa.h"
#include "core/runs.h"
#include "statistics/statistics_body.h"

namespace emfast::statistics {
namespace {

// Label to cells, for one thread. A small cache in front of the hash answers nearly all questions: the row before had
// the same labels.
class Cells {
  public:
    Cells(const Layout& layout, const Shape& shape) : layout_(layout), shape_(shape) { grow(256); }

    int64_t* of(uint64_t id) {
        Entry& recent = cache_[(id * 0x9E3779B97F4A7C15ull) >> (64 - cache_bits)];
        if (recent.id != id || recent.slot < 0) recent = {id, slot(id)};
        return &cells_[recent.slot * layout_.width];
    }

    int64_t count() const { return static_cast<int64_t>(ids_.size()); }
    uint64_t id(int64_t slot) const { return ids_[slot]; }
    const int64_t* row(int64_t slot) const { return &cells_[slot * layout_.width]; }

    void fold(const Cells& other) {
        for (int64_t s = 0; s < other.count(); ++s) {
            int64_t* to = of(other.id(s));
            const int64_t* from = other.row(s);
            to[Layout::voxels] += from[Layout::voxels];
            to[Layout::first] = std::min(to[Layout::first], from[Layout::first]);
            for (int a = 0; a < 3; ++a) {
                to[Layout::low + a] = std::min(to[Layout::low + a], from[Layout::low + a]);
                to[Layout::high + a] = std::max(to[Layout::high + a], from[Layout::high + a]);
            }
            for (int k = Layout::sum; k < layout_.peak; ++k) add(to[k], from[k]);
            if (layout_.peak < layout_.width) raise_peak(to + layout_.peak, from[layout_.peak], from[layout_.peak + 1]);
        }
    }

    static void raise_peak(int64_t* peak, int64_t bits, int64_t index) {
        if (bits < peak[0] || (bits == peak[0] && index >= peak[1])) return;
        peak[0] = bits;
        peak[1] = index;
    }

    static void add(int64_t& cell, uint64_t amount) {
        cell = static_cast<int64_t>(static_cast<uint64_t>(cell) + amount);
    }

  private:
    struct Entry {
        uint64_t id = 0;
        int64_t slot = -1;
    };
    static constexpr int cache_bits = 9;

    int64_t slot(uint64_t id) {
        uint64_t place = mix(id) & mask_;
        for (; table_[place].slot >= 0; place = (place + 1) & mask_)
            if (table_[place].id == id) return table_[place].slot;
        const int64_t fresh = count();
        table_[place] = {id, fresh};
        ids_.push_back(id);
        cells_.resize(cells_.size() + layout_.width);
        start_cells(layout_, shape_, &cells_[fresh * layout_.width]);
        if (ids_.size() * 2 > table_.size()) grow(table_.size() * 2);
        return fresh;
    }

    void grow(size_t places) {
        table_.assign(places, {});
        mask_ = places - 1;
        for (int64_t s = 0; s < count(); ++s) {
            uint64_t place = mix(ids_[s]) & mask_;
            while (table_[place].slot >= 0) place = (place + 1) & mask_;
            table_[place] = {ids_[s], s};
        }
    }

    Layout layout_;
    Shape shape_;
    std::vector<Entry> table_;
    uint64_t mask_ = 0;
    std::vector<uint64_t> ids_;
    std::vector<int64_t> cells_;
    Entry cache_[1 << cache_bits];
};

// For one row: along each of the 13 directions, the bits of the voxels that differ from their neighbour. Bit k belongs to
// the voxel k + shift; bits from length on have no neighbour inside the volume.
struct Neighbours {
    int64_t words;
    std::vector<uint64_t> bits;
    int64_t shift[directions], length[directions];

    explicit Neighbours(int64_t nx) : words(bit_words(nx)), bits(directions * words) {}

    template <class T>
    void compare(const View<const T>& labels, int64_t z, int64_t y) {
        const Shape& s = labels.shape;
        const T* row = labels.row(z * s.y + y);
        for (int d = 0; d < directions; ++d) {
            const Step step = direction(d);
            const int64_t oz = z + step.z, oy = y + step.y;
            shift[d] = step.x < 0 ? 1 : 0;
            const bool inside = oz < s.z && oy >= 0 && oy < s.y;
            length[d] = inside ? s.x - (step.x != 0) : 0;
            if (inside)
                differ_bits(row + shift[d], labels.row(oz * s.y + oy) + (step.x > 0), length[d], &bits[d * words]);
        }
    }
};

// equal[d] += the voxels of [x0, x1) that are equal to their neighbour in direction d.
EMFAST_CLONES void count_equal(const Neighbours& near, int64_t x0, int64_t x1, int64_t* equal) {
    for (int d = 0; d < directions; ++d) {
        const int64_t begin = std::max<int64_t>(0, x0 - near.shift[d]),
                      end = std::min(x1 - near.shift[d], near.length[d]);
        if (begin >= end) continue;
        const uint64_t* bits = &near.bits[d * near.words];
        int64_t differ = 0;
        const int64_t first = begin / 64, last = (end - 1) / 64;
        for (int64_t w = first; w <= last; ++w) {
            uint64_t word = bits[w];
            if (w == first) word &= ~uint64_t(0) << (begin % 64);
            if (w == last) word &= ~uint64_t(0) >> (63 - (end - 1) % 64);
            differ += __builtin_popcountll(word);
        }
        equal[d] += end - begin - differ;
    }
}

// The largest magnitude of n floats, as bits: integers compare like them, and compilers vectorise that.
EMFAST_CLONES uint32_t largest_magnitude(const uint32_t* values, int64_t n) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; ++i) {
        const uint32_t bits = values[i] & magnitude;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

template <class T>
Table measure_runs(Executor& ex, View<const T> labels, const Options& o) {
    const Layout layout(o);
    const Shape shape = labels.shape;
    std::vector<Cells> workers(ex.threads(), Cells(layout, shape));
    if (labels.size() > 0)
        ex.for_chunks(shape.rows(), ex.grain(shape.rows(), (1 << 16) / shape.x + 1),
                      [&](int64_t begin, int64_t end, int worker) {
                          Cells& cells = workers[worker];
                          Neighbours near(o.surface ? shape.x : 0);
                          for (int64_t r = begin; r < end; ++r) {
                              const T* row = labels.row(r);
                              const int64_t z = r / shape.y, y = r % shape.y;
                              const int64_t start = z * o.strides[0] + y * o.strides[1];
                              if (o.surface) near.compare(labels, z, y);
                              each_run(row, 0, shape.x, [&](int64_t x0, int64_t x1) {
                                  const T label = row[x0];
                                  if (o.has_background && label == static_cast<T>(o.background)) return;
                                  int64_t* c = cells.of(label);
                                  const int64_t n = x1 - x0, sx = (x0 + x1 - 1) * n / 2;
                                  c[Layout::voxels] += n;
                                  c[Layout::first] = std::min(c[Layout::first], start + x0 * o.strides[2]);
                                  c[Layout::low] = std::min(c[Layout::low], z);
                                  c[Layout::low + 1] = std::min(c[Layout::low + 1], y);
                                  c[Layout::low + 2] = std::min(c[Layout::low + 2], x0);
                                  c[Layout::high] = std::max(c[Layout::high], z);
                                  c[Layout::high + 1] = std::max(c[Layout::high + 1], y);
                                  c[Layout::high + 2] = std::max(c[Layout::high + 2], x1 - 1);
                                  c[Layout::sum] += z * n;
                                  c[Layout::sum + 1] += y * n;
                                  c[Layout::sum + 2] += sx;
                                  if (o.moments) {
                                      int64_t* m = c + layout.moments;
                                      Cells::add(m[0], uint64_t(z) * z * n);
                                      Cells::add(m[1], uint64_t(y) * y * n);
                                      Cells::add(m[2], squares_below(x1) - squares_below(x0));
                                      Cells::add(m[3], uint64_t(z) * y * n);
                                      Cells::add(m[4], uint64_t(z) * sx);
                                      Cells::add(m[5], uint64_t(y) * sx);
                                  }
                                  if (o.surface) count_equal(near, x0, x1, c + layout.equal);
                                  if (o.values) {
                                      const auto* values = reinterpret_cast<const uint32_t*>(o.values) + r * shape.x;
                                      const uint32_t largest = largest_magnitude(values + x0, n);
                                      if (largest >= c[layout.peak]) {
                                          int64_t x = x0;
                                          while ((values[x] & magnitude) != largest) ++x;
                                          Cells::raise_peak(c + layout.peak, largest, start + x * o.strides[2]);
                                      }
                                  }
                              });
                          }
                      });

    Cells& all = workers[0];
    for (size_t w = 1; w < workers.size(); ++w) {
        all.fold(workers[w]);
        workers[w] = Cells(layout, {});
    }
    std::vector<int64_t> order(all.count());
    for (int64_t i = 0; i < all.count(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](int64_t a, int64_t b) { return (all.id(a) ^ o.flip) < (all.id(b) ^ o.flip); });
    Table out;
    out.count = all.count();
    out.width = layout.width;
    out.ids = ex.scratch<uint64_t>(out.count);
    out.cells = ex.scratch<int64_t>(out.count * out.width);
    for (int64_t i = 0; i < out.count; ++i) {
        out.ids[i] = all.id(order[i]);
        std::copy_n(all.row(order[i]), out.width, out.cells.data() + i * out.width);
    }
    return out;
}

}  // namespace

template <class T>
Table measure(Executor& ex, View<const T> labels, const Options& options) {
    if constexpr (scrambled) return measure_anywhere(ex, labels, options);
    else return measure_runs(ex, labels, options);
}

#define EMFAST_INSTANTIATE(T) template Table measure<T>(Executor&, View<const T>, const Options&);
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::statistics
