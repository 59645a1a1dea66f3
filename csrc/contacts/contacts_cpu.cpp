// The host sibling of _core: a row is compared with each of its neighbouring rows by SIMD, and only where they differ is
// anything looked up; a stretch of one pair of ids is one addition. Each worker has a table of its own; they are folded at
// the end.
#include <algorithm>
#include <bit>
#include <vector>

#include "contacts/contacts_body.h"
#include "core/dtypes.h"
#include "core/runs.h"

namespace emfast::contacts {
namespace {

class Pairs {
  public:
    struct Entry {
        uint64_t a = 0, b = 0;  // equal where the entry is free
        int64_t cells[width] = {};
    };

    Pairs() : table_(256), recent_(1 << recent_bits) {}

    // The cells of a pair: in a small cache that is swept into the table when another pair wants the place. The row before
    // had the same pairs, so nearly all additions stay in the nearest memory.
    int64_t* cells(uint64_t a, uint64_t b) {
        if (b < a) std::swap(a, b);
        Entry& entry = recent_[((a * 0x9E3779B97F4A7C15ull) ^ (b * 0xC2B2AE3D27D4EB4Full)) >> (64 - recent_bits)];
        if (entry.a != a || entry.b != b) {
            add(entry);
            entry = {a, b, {}};
        }
        return entry.cells;
    }

    void sweep() {
        for (Entry& entry : recent_) {
            add(entry);
            entry = {};
        }
    }

    void add(const Entry& from) {
        if (from.a == from.b) return;
        if ((count_ + 1) * 2 > table_.size()) grow();
        Entry& entry = place(from.a, from.b);
        if (entry.a == entry.b) {
            entry = from;
            ++count_;
            return;
        }
        for (int k = 0; k < width; ++k) entry.cells[k] += from.cells[k];
    }

    template <class F>
    void each(F&& f) const {
        for (const Entry& entry : table_)
            if (entry.a != entry.b) f(entry);
    }

    size_t count() const { return count_; }

  private:
    static constexpr int recent_bits = 9;

    Entry& place(uint64_t a, uint64_t b) {
        uint64_t at = mix(a * 0x9E3779B97F4A7C15ull + b) & (table_.size() - 1);
        while (table_[at].a != table_[at].b && (table_[at].a != a || table_[at].b != b))
            at = (at + 1) & (table_.size() - 1);
        return table_[at];
    }

    void grow() {
        std::vector<Entry> old(table_.size() * 2);
        old.swap(table_);
        for (const Entry& entry : old)
            if (entry.a != entry.b) place(entry.a, entry.b) = entry;
    }

    std::vector<Entry> table_, recent_;
    size_t count_ = 0;
};

// Adds neighbours one by one and looks their pair up only when it changes.
template <class T>
class Adder {
  public:
    Adder(Pairs& pairs, const Options& o)
        : pairs_(pairs), has_background_(o.has_background), background_(static_cast<T>(o.background)) {}

    void start(int axis) { axis_ = axis; }

    void add(T a, T b) {
        if (a != a_ || b != b_) {
            flush();
            a_ = a;
            b_ = b;
        }
        ++n_;
    }

    void flush() {
        if (n_ > 0 && !(has_background_ && (a_ == background_ || b_ == background_))) {
            int64_t* cells = pairs_.cells(a_, b_);
            if (axis_ >= 0) cells[axis_] += n_;
            cells[3] += n_;
        }
        n_ = 0;
    }

  private:
    Pairs& pairs_;
    const bool has_background_;
    const T background_;
    T a_{}, b_{};
    int64_t n_ = 0;
    int axis_ = 0;
};

template <class T>
void count_row(const View<const T>& labels, int64_t r, const Options& o, uint64_t* bits, Adder<T>& adder) {
    const Shape& s = labels.shape;
    const T* row = labels.row(r);
    for (int d = 0; d < directions; ++d) {
        const Step step = direction(d);
        if (step.axes() > o.reach) continue;
        const int64_t z = moved(r / s.y, step.z, s.z, o.periodic[0]), y = moved(r % s.y, step.y, s.y, o.periodic[1]);
        if (z < 0 || y < 0) continue;
        const T* other = labels.row(z * s.y + y);
        const T *from = row + (step.x < 0), *to = other + (step.x > 0);
        const int64_t n = s.x - (step.x != 0);
        adder.start(face_axis(step));
        differ_bits(from, to, n, bits);
        for (int64_t w = 0; w < bit_words(n); ++w)
            for (uint64_t word = bits[w]; word; word &= word - 1) {
                const int64_t k = w * 64 + std::countr_zero(word);
                adder.add(from[k], to[k]);
            }
        if (step.x && o.periodic[2]) {
            const T a = row[step.x > 0 ? s.x - 1 : 0], b = other[step.x > 0 ? 0 : s.x - 1];
            if (a != b) adder.add(a, b);
        }
        adder.flush();
    }
}

template <class T>
Table count_rows(Executor& ex, View<const T> labels, const Options& o) {
    std::vector<Pairs> workers(ex.threads());
    const Shape shape = labels.shape;
    if (labels.size() > 0)
        ex.for_chunks(shape.rows(), ex.grain(shape.rows(), (1 << 16) / shape.x + 1),
                      [&](int64_t begin, int64_t end, int worker) {
                          std::vector<uint64_t> bits(bit_words(shape.x));
                          Adder<T> adder(workers[worker], o);
                          for (int64_t r = begin; r < end; ++r) count_row(labels, r, o, bits.data(), adder);
                      });
    Pairs& all = workers[0];
    for (Pairs& worker : workers) {
        worker.sweep();
        if (&worker == &all) continue;
        worker.each([&](const Pairs::Entry& from) { all.add(from); });
        worker = {};
    }
    std::vector<Pairs::Entry> rows;
    rows.reserve(all.count());
    all.each([&](Pairs::Entry entry) {
        entry.a ^= o.flip;
        entry.b ^= o.flip;
        if (entry.b < entry.a) std::swap(entry.a, entry.b);
        rows.push_back(entry);
    });
    std::sort(rows.begin(), rows.end(),
              [](const auto& p, const auto& q) { return p.a != q.a ? p.a < q.a : p.b < q.b; });
    Table out;
    out.count = static_cast<int64_t>(rows.size());
    out.a = ex.scratch<uint64_t>(out.count);
    out.b = ex.scratch<uint64_t>(out.count);
    out.cells = ex.scratch<int64_t>(out.count * width);
    for (int64_t i = 0; i < out.count; ++i) {
        out.a[i] = rows[i].a ^ o.flip;
        out.b[i] = rows[i].b ^ o.flip;
        std::copy_n(rows[i].cells, width, out.cells.data() + i * width);
    }
    return out;
}

}  // namespace

template <class T>
Table count(Executor& ex, View<const T> labels, const Options& options) {
    if constexpr (scrambled) return count_anywhere(ex, labels, options);
    else return count_rows(ex, labels, options);
}

#define EMFAST_INSTANTIATE(T) template Table count<T>(Executor&, View<const T>, const Options&);
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::contacts
