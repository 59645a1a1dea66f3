// The host sibling of _core. A row is compared with itself, with the row before and with the section before, 64 voxels at
// a time; what is to be looked at are the bits where only one of truth and labels changes. Rows are taken in strips that
// stay in near memory. A run of one pair along x is one addition to its region. Every worker has tables of its own.
#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "core/dtypes.h"
#include "core/runs.h"
#include "sites/sites_body.h"

namespace emfast::sites {
namespace {

struct RegionKey {
    uint64_t truth, label;
    bool operator==(const RegionKey&) const = default;
    uint64_t hash() const { return truth * 0x9E3779B97F4A7C15ull ^ std::rotl(label * 0xC2B2AE3D27D4EB4Full, 32); }
};

struct SiteKey {
    uint64_t kind, owner, a, b;
    bool operator==(const SiteKey&) const = default;
    uint64_t hash() const {
        return (owner + kind) * 0x9E3779B97F4A7C15ull ^ std::rotl(a * 0xC2B2AE3D27D4EB4Full, 23) ^
               std::rotl(b * 0xD6E8FEB86659FD93ull, 41);
    }
};

// Keys with their cells, in the order in which they came. The same few keys come again and again, so they are looked for
// in a small table of recent ones first.
template <class Key>
class Rows {
  public:
    struct alignas(64) Row {
        Key key;
        uint64_t cells[Layout::width];
    };

    uint64_t* of(const Key& key) {
        const uint64_t hash = key.hash() * 0xD6E8FEB86659FD93ull;
        uint32_t& recent = recent_[hash >> (64 - recent_bits)];
        if (recent >= rows_.size() || rows_[recent].key != key) recent = place(key, hash);
        return rows_[recent].cells;
    }

    const std::vector<Row>& rows() const { return rows_; }

  private:
    static constexpr int recent_bits = 13;
    static constexpr uint32_t none = ~uint32_t(0);

    uint32_t place(const Key& key, uint64_t hash) {
        if ((rows_.size() + 1) * 2 > table_.size()) grow();
        const uint64_t mask = table_.size() - 1;
        uint64_t at = hash >> shift_;
        for (; table_[at] != none; at = (at + 1) & mask)
            if (rows_[table_[at]].key == key) return table_[at];
        if (rows_.size() >= none) refuse("compare takes fewer than 2^32 pairs of ids in a call");
        table_[at] = static_cast<uint32_t>(rows_.size());
        rows_.push_back({key, {}});
        start_cells(rows_.back().cells);
        return table_[at];
    }

    void grow() {
        table_.assign(std::max<size_t>(1024, table_.size() * 2), none);
        shift_ = 64 - std::countr_zero(table_.size());
        for (uint32_t k = 0; k < rows_.size(); ++k) {
            uint64_t at = (rows_[k].key.hash() * 0xD6E8FEB86659FD93ull) >> shift_;
            while (table_[at] != none) at = (at + 1) & (table_.size() - 1);
            table_[at] = k;
        }
    }

    std::vector<Row> rows_;
    std::vector<uint32_t> table_;
    std::vector<uint32_t> recent_ = std::vector<uint32_t>(size_t(1) << recent_bits, none);
    int shift_ = 64;
};

// Bit k is set where a[from + k] differs from a[other + k], k < n.
void differ(const Ids& ids, int64_t from, int64_t other, int64_t n, uint64_t* bits) {
    visit_width(ids.bytes, [&](auto zero) {
        using T = decltype(zero);
        const T* p = static_cast<const T*>(ids.data);
        differ_bits(p + from, p + other, n, bits);
    });
}

// Sets bit k where ids[from + k] is the value, k < n; others stay.
void mark_equal(const Ids& ids, uint64_t value, int64_t from, int64_t n, uint64_t* bits) {
    visit_width(ids.bytes, [&](auto zero) {
        using T = decltype(zero);
        const T* p = static_cast<const T*>(ids.data) + from;
        T wanted[64];
        std::fill_n(wanted, 64, static_cast<T>(value));
        if (ids.widened(wanted[0]) != value) return;  // no id of this width has it
        int64_t k = 0;
        for (; k + 64 <= n; k += 64) bits[k / 64] |= equal64(p + k, wanted);
        for (; k < n; ++k) bits[k / 64] |= uint64_t(p[k] == wanted[0]) << (k % 64);
    });
}

class Finder {
  public:
    static constexpr int64_t strip = 16, group = 32;  // rows and sections that are taken together

    explicit Finder(const Volumes& v)
        : sight_(v, v.ignored.data()),
          words_(bit_words(v.shape.x)),
          truth_bits_(words_),
          label_bits_(words_),
          mask_bits_(words_),
          hidden_(2 * (strip + 1) * words_) {}

    static int64_t pieces(const Volumes& v) { return strips(v) * ((v.shape.z - v.low.z - 1) / group + 1); }

    void piece(const Volumes& v, int64_t i) {
        const int64_t y0 = v.low.y + i % strips(v) * strip, y1 = std::min(y0 + strip, v.shape.y);
        const int64_t z0 = v.low.z + i / strips(v) * group, z1 = std::min(z0 + group, v.shape.z);
        if (z0 > 0) hide_rows(z0 - 1, y0, y1);
        for (int64_t z = z0; z < z1; ++z) {
            hide_rows(z, y0, y1);
            for (int64_t y = y0; y < y1; ++y) row(z, y, y0);
        }
    }

    Rows<RegionKey> regions;
    Rows<SiteKey> sites;

  private:
    static int64_t strips(const Volumes& v) { return (v.shape.y - v.low.y - 1) / strip + 1; }

    // The voxels of a row that are at no site: background or masked. Of the row before the strip too.
    uint64_t* hidden(int64_t z, int64_t y, int64_t y0) {
        return &hidden_[((z & 1) * (strip + 1) + y - y0 + 1) * words_];
    }

    void hide_rows(int64_t z, int64_t y0, int64_t y1) {
        const Shape& s = sight_.shape;
        for (int64_t y = std::max<int64_t>(0, y0 - 1); y < y1; ++y) {
            uint64_t* const bits = hidden(z, y, y0);
            std::fill_n(bits, words_, 0);
            const int64_t at = s.index(z, y, 0);
            if (sight_.has_background) {
                mark_equal(sight_.truth, sight_.background, at, s.x, bits);
                mark_equal(sight_.labels, sight_.background, at, s.x, bits);
            }
            if (sight_.mask.data) mark_equal(sight_.mask, 0, at, s.x, bits);
        }
    }

    void row(int64_t z, int64_t y, int64_t y0) {
        const Shape& s = sight_.shape;
        const int64_t at = s.index(z, y, 0);
        const uint64_t* const here = hidden(z, y, y0);
        compare(at + 1, at, s.x - 1);
        add_regions(z, y, at);
        // Bit k is the face between voxels k and k + 1.
        for (int64_t w = 0; w < bit_words(s.x - 1); ++w) {
            const uint64_t next = w + 1 < words_ ? here[w + 1] << 63 : 0;
            word(w, here[w] | here[w] >> 1 | next, z, y, at, 1, 2);
        }
        flush();
        if (y > 0) across(z, y, at, s.x, 1, here, hidden(z, y - 1, y0));
        if (z > 0) across(z, y, at, s.y * s.x, 0, here, hidden(z - 1, y, y0));
    }

    void compare(int64_t from, int64_t other, int64_t n) {
        differ(sight_.truth, from, other, n, truth_bits_.data());
        differ(sight_.labels, from, other, n, label_bits_.data());
    }

    void across(int64_t z, int64_t y, int64_t at, int64_t step, int axis, const uint64_t* here, const uint64_t* there) {
        compare(at, at - step, sight_.shape.x);
        if (sight_.low.x) truth_bits_[0] = (truth_bits_[0] & ~uint64_t(1)) | (label_bits_[0] & 1);
        for (int64_t w = 0; w < words_; ++w) word(w, here[w] | there[w], z, y, at, 0, axis);
        flush();
    }

    // The faces of a word at which one of truth and labels changes.
    void word(int64_t w, uint64_t hidden, int64_t z, int64_t y, int64_t at, int64_t shift, int axis) {
        for (uint64_t bits = (truth_bits_[w] ^ label_bits_[w]) & ~hidden; bits; bits &= bits - 1) {
            const int64_t x = w * 64 + std::countr_zero(bits) + shift;
            const int64_t steps[3] = {sight_.shape.y * sight_.shape.x, sight_.shape.x, 1};
            const uint64_t truth = sight_.truth[at + x], label = sight_.labels[at + x];
            const uint64_t truth_before = sight_.truth[at + x - steps[axis]];
            const uint64_t label_before = sight_.labels[at + x - steps[axis]];
            if (!open_ || truth != truth_ || label != label_ || truth_before != truth_before_ ||
                label_before != label_before_) {
                flush();
                truth_ = truth;
                label_ = label;
                truth_before_ = truth_before;
                label_before_ = label_before;
                begin(z, y, axis);
            }
            if (counted_) add(x);
        }
    }

    // A stretch of faces of one site along one axis of one row.
    void begin(int64_t z, int64_t y, int axis) {
        counted_ = false;
        open_ = true;
        if (!sight_.is_counted(truth_) || !sight_.is_counted(truth_before_)) return;
        counted_ = true;
        const bool is_split = truth_ == truth_before_;
        const uint64_t flip = is_split ? sight_.label_flip : sight_.truth_flip;
        uint64_t a = is_split ? label_before_ : truth_before_, b = is_split ? label_ : truth_;
        if ((b ^ flip) < (a ^ flip)) std::swap(a, b);
        cells_ = sites.of({is_split ? split : merge, is_split ? truth_ : label_, a, b});
        const Point& o = sight_.origin;
        z_ = z + o.z;
        y_ = y + o.y;
        axis_ = axis;
        sampled_ = sampled_row(z_, y_);
        row_index_ = sight_.index(z, y, 0);
        n_ = sum_ = 0;
    }

    EMFAST_INLINE void add(int64_t x) {
        if (n_ == 0) first_ = x;
        last_ = x;
        ++n_;
        sum_ += x;
        if (sampled_) sample_at(cells_, row_index_ + static_cast<uint64_t>(x));
    }

    void flush() {
        if (counted_ && n_ > 0) {
            const int64_t ox = sight_.origin.x;
            cells_[Layout::count + axis_] += static_cast<uint64_t>(n_);
            const int64_t sums[3] = {z_ * n_, y_ * n_, sum_ + ox * n_};
            const int64_t least[3] = {z_, y_, first_ + ox}, most[3] = {z_, y_, last_ + ox};
            widen(cells_, sums, least, most, axis_);
            cells_[Layout::first] = std::min(cells_[Layout::first], row_index_ + static_cast<uint64_t>(first_));
        }
        open_ = counted_ = false;
        n_ = 0;
    }

    static EMFAST_INLINE void sample_at(uint64_t* c, uint64_t index) {
        const uint64_t mixed = mix(index);
        uint64_t& slot = c[Layout::samples + mixed % Layout::sample_count];
        slot = std::min(slot, mixed);
    }

    static EMFAST_INLINE void widen(uint64_t* c, const int64_t* sums, const int64_t* least, const int64_t* most,
                                    int axis) {
        for (int k = 0; k < 3; ++k) {
            c[Layout::sum + k] += static_cast<uint64_t>(sums[k]);
            c[Layout::low + k] = std::min(c[Layout::low + k], static_cast<uint64_t>(least[k] - (k == axis)));
            c[Layout::high + k] = std::max(c[Layout::high + k], static_cast<uint64_t>(most[k] + 1));
        }
    }

    // The bits of the row's changes along x are there.
    void add_regions(int64_t z, int64_t y, int64_t at) {
        const int64_t nx = sight_.shape.x;
        const bool masked = sight_.mask.data != nullptr;
        if (masked) differ(sight_.mask, at + 1, at, nx - 1, mask_bits_.data());
        int64_t from = sight_.low.x;
        for (int64_t w = 0; w < bit_words(nx - 1); ++w)
            for (uint64_t bits = truth_bits_[w] | label_bits_[w] | (masked ? mask_bits_[w] : 0); bits;
                 bits &= bits - 1) {
                const int64_t to = w * 64 + std::countr_zero(bits) + 1;
                if (to <= from) continue;
                add_region(z, y, at, from, to);
                from = to;
            }
        if (from < nx) add_region(z, y, at, from, nx);
    }

    void add_region(int64_t z, int64_t y, int64_t at, int64_t from, int64_t to) {
        if (!sight_.shown(at + from)) return;
        uint64_t* const c = regions.of({sight_.truth[at + from], sight_.labels[at + from]});
        const Point& o = sight_.origin;
        const int64_t gz = z + o.z, gy = y + o.y, x0 = from + o.x, x1 = to + o.x, n = to - from;
        const int64_t sums[3] = {gz * n, gy * n, (x0 + x1 - 1) * n / 2};
        const int64_t least[3] = {gz, gy, x0}, most[3] = {gz, gy, x1 - 1};
        c[Layout::count] += static_cast<uint64_t>(n);
        widen(c, sums, least, most, -1);
        const uint64_t index = sight_.index(z, y, from);
        c[Layout::first] = std::min(c[Layout::first], index);
        if (!sampled_row(gz, gy)) return;
        for (int64_t x = 0; x < n; ++x) sample_at(c, index + static_cast<uint64_t>(x));
    }

    const Sight sight_;
    const int64_t words_;
    std::vector<uint64_t> truth_bits_, label_bits_, mask_bits_, hidden_;

    uint64_t* cells_ = nullptr;
    bool open_ = false, counted_ = false, sampled_ = false;  // is there a stretch, is it of a site
    uint64_t truth_ = 0, label_ = 0, truth_before_ = 0, label_before_ = 0, row_index_ = 0;
    int64_t z_ = 0, y_ = 0, n_ = 0, sum_ = 0, first_ = 0, last_ = 0;
    int axis_ = 0;
};

template <class Key>
int64_t gather(Executor& ex, const std::vector<Finder>& workers, Rows<Key> Finder::* table, Scratch<uint64_t>& keys,
               Scratch<uint64_t>& cells) {
    constexpr int64_t width = sizeof(Key) / sizeof(uint64_t);
    int64_t n = 0;
    for (const Finder& worker : workers) n += static_cast<int64_t>((worker.*table).rows().size());
    keys = ex.scratch<uint64_t>(n * width);
    cells = ex.scratch<uint64_t>(n * Layout::width);
    int64_t at = 0;
    for (const Finder& worker : workers)
        for (const auto& row : (worker.*table).rows()) {
            const auto* key = reinterpret_cast<const uint64_t*>(&row.key);
            std::copy_n(key, width, keys.data() + at * width);
            std::copy_n(row.cells, Layout::width, cells.data() + at * Layout::width);
            ++at;
        }
    return n;
}

Table find_rows(Executor& ex, const Volumes& v) {
    Table out;
    if (v.low.z >= v.shape.z || v.low.y >= v.shape.y || v.low.x >= v.shape.x) return out;
    std::vector<Finder> workers;
    for (int w = 0; w < ex.threads(); ++w) workers.emplace_back(v);
    ex.for_chunks(Finder::pieces(v), 1, [&](int64_t begin, int64_t end, int worker) {
        for (int64_t i = begin; i < end; ++i) workers[worker].piece(v, i);
    });
    out.regions = gather(ex, workers, &Finder::regions, out.region_keys, out.region_cells);
    out.sites = gather(ex, workers, &Finder::sites, out.site_keys, out.site_cells);
    return out;
}

// ---- a value for every pair

class Palette {
  public:
    static constexpr uint32_t none = 256;

    explicit Palette(const Colours& c) {
        while (places_.size() < 2 * static_cast<size_t>(c.count)) places_.resize(places_.size() * 2);
        shift_ = 64 - std::countr_zero(places_.size());
        for (int64_t i = 0; i < c.count; ++i) {
            const RegionKey key{c.pairs[2 * i], c.pairs[2 * i + 1]};
            Place* place = &places_[at(key)];
            while (place->value != none && !(place->key == key)) place = next(place);
            *place = {key, c.values[i]};
        }
    }

    // Of a pair; none where it has no value.
    uint32_t value(const RegionKey& key) const {
        const Place* place = &places_[at(key)];
        while (place->value != none && !(place->key == key)) place = next(place);
        return place->value;
    }

  private:
    struct Place {
        RegionKey key{};
        uint32_t value = none;
    };

    uint64_t at(const RegionKey& key) const { return (key.hash() * 0xD6E8FEB86659FD93ull) >> shift_; }
    const Place* next(const Place* place) const {
        return place + 1 < places_.data() + places_.size() ? place + 1 : places_.data();
    }
    Place* next(const Place* place) { return const_cast<Place*>(std::as_const(*this).next(place)); }

    std::vector<Place> places_ = std::vector<Place>(64);
    int shift_ = 58;
};

int64_t paint_rows(Executor& ex, const Volumes& v, const Colours& c, uint8_t* out) {
    const Palette palette(c);
    constexpr int64_t piece = 4096;
    std::vector<uint64_t> missing(ex.threads(), Layout::none);
    ex.for_chunks(v.size(), ex.grain(v.size()), [&](int64_t begin, int64_t end, int worker) {
        uint64_t changes[piece / 64], more[piece / 64];
        for (int64_t from = begin; from < end; from += piece) {
            const int64_t n = std::min(piece, end - from);
            differ(v.truth, from + 1, from, n - 1, changes);
            for (const Ids& ids : {v.labels, v.mask}) {
                if (!ids.data) continue;
                differ(ids, from + 1, from, n - 1, more);
                for (int64_t w = 0; w < bit_words(n - 1); ++w) changes[w] |= more[w];
            }
            auto fill = [&](int64_t first, int64_t last) {
                const int64_t i = from + first;
                uint32_t value = c.masked;
                if (!v.mask.data || v.mask[i]) value = palette.value({v.truth[i], v.labels[i]});
                if (value == Palette::none) missing[worker] = std::min(missing[worker], static_cast<uint64_t>(i));
                fill_run(out + from, first, last, n, static_cast<uint8_t>(value));
            };
            int64_t first = 0;
            for (int64_t w = 0; w < bit_words(n - 1); ++w)
                for (uint64_t bits = changes[w]; bits; bits &= bits - 1) {
                    const int64_t last = w * 64 + std::countr_zero(bits) + 1;
                    fill(first, last);
                    first = last;
                }
            fill(first, n);
        }
    });
    return static_cast<int64_t>(*std::min_element(missing.begin(), missing.end()));  // none is -1
}

}  // namespace

Table find(Executor& ex, const Volumes& volumes) {
    if constexpr (scrambled) return find_anywhere(ex, volumes);
    else return find_rows(ex, volumes);
}

int64_t paint(Executor& ex, const Volumes& volumes, const Colours& colours, uint8_t* out) {
    if constexpr (scrambled) return paint_anywhere(ex, volumes, colours, out);
    else return paint_rows(ex, volumes, colours, out);
}

}  // namespace emfast::sites
